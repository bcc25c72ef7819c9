"""Records of older schemas -> the present one, as plain JSON values, one schema at a time.

Schema 3: wide records for the case, the run, its cohort and the model card; the logit by place beside
the maps.
Schema 2: one record for audited and stopped cases; metrics, scales and pictures of maps by the map's
key beside the maps; sentences instead of messages. A sentence stays as it was recorded.
Schema 1: has no checks, trust, masking, flags and events; they read as absent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Content = dict[str, Any]
MISSING_KINDS = {
    "lungs": "lungs_missing",
    "marker": "markers_missing",
    "annotation": "annotation_missing",
}
POSITIONS = ("centroid", "peak")
NO_METRIC = {"threshold", "undefined", "region"}


def upgraded(content: Content, kind: str) -> Content:
    """The content of a record of an older schema, as the present schema has it.

    It keeps the number of the schema that it was written in.
    """
    steps = [TO_SCHEMA_4]
    if content["schema_version"] < 3:
        steps.insert(0, TO_SCHEMA_3)
    for upgrades in steps:
        upgrade = upgrades.get(kind)
        if upgrade is not None:
            content = upgrade(content)
    return content


# ---- schemas 1 and 2 -> 3


def _case(old: Content) -> Content:
    old = {
        **old,
        "metadata_hmac": old.get("told_hmac"),
        "quality": [_check(check) for check in old.get("quality", ())],
    }
    if old.get("trust"):
        checks = [_check(check) for check in old["trust"]["checks"]]
        old["trust"] = {**old["trust"], "checks": checks}
    if old.get("status") != "ok":
        return old
    maps = [_map(old, facts) for facts in old.get("maps", ())]
    missing = {kind: old[name] for kind, name in MISSING_KINDS.items() if old.get(name)}
    map_pictures = {facts["key"] for facts in old.get("maps", ())}
    pictures = {
        role: file for role, file in old.get("pictures", {}).items() if role not in map_pictures
    }
    return {
        **old,
        "input": {"placement": old["placement"], "preprocessing": old.get("preprocessing", ())},
        "maps": maps,
        "regions": {
            "found": old.get("regions", ()),
            "missing": missing,
            "controls": old.get("controls", {}),
        },
        "probes": {
            "masking": old.get("masking", ()),
            "masking_missing": old.get("masking_missing", {}),
            "exposure": old.get("exposure", {}),
            "mean_replaced": old.get("as_usual", {}),
        },
        "flags": {"raised": old.get("flags", ()), "undefined": old.get("flags_undefined", {})},
        "pictures": pictures,
    }


def _check(old: Content) -> Content:
    return {**old, "detail": old.get("what")}


def _map(old: Content, facts: Content) -> Content:
    key = facts["key"]
    focus = old.get("focus", {}).get(key, {})
    in_regions = old.get("region_focus", {}).get(key, ())
    return {
        "facts": facts,
        "threshold": focus.get("threshold", 0.5),
        "metrics": _measurements(focus),
        "in_regions": {measured["region"]: _measurements(measured) for measured in in_regions},
        "scale": old.get("scales", {}).get(key),
        "picture": old.get("pictures", {}).get(key),
        "is_faint": key in old.get("faint", ()),
    }


def _measurements(old: Content) -> Content:
    """Metrics that stood as fields -> values and reasons; positions stood as two fields each.

    An older schema left out a field that was undefined and had its reason, and a metric that it did
    not know has neither.
    """
    undefined = dict(old.get("undefined", {}))
    values = {key: value for key, value in old.items() if key not in NO_METRIC}
    values |= dict.fromkeys(undefined)
    for name in POSITIONS:
        row, column = f"{name}_row_fraction", f"{name}_column_fraction"
        if row not in values:
            continue
        ends = values.pop(row), values.pop(column, None)
        reason = undefined.pop(row, None) or undefined.pop(column, None)
        undefined.pop(column, None)
        values[name] = None if None in ends else ends
        if values[name] is None:
            undefined[name] = reason or "not recorded"
    known = {key: value for key, value in values.items() if value is not None or key in undefined}
    return {"values": known, "undefined": undefined}


def _cohort(old: Content) -> Content:
    changed = {**old, "dependence": [_check(check) for check in old.get("dependence", ())]}
    for name in ("distributions", "acceptance"):
        changed[name] = [_with_counts(part) for part in old.get(name, ())]
    return {**changed, "unlabelled": _counted(old.get("unlabelled", {}))}


def _with_counts(part: Content) -> Content:
    return {**part, "undefined": _counted(part.get("undefined", {}))}


def _counted(counts: dict[str, int]) -> list[Content]:
    return [{"reason": reason, "num_cases": count} for reason, count in counts.items()]


def _run(old: Content) -> Content:
    checks = [_check(check) for check in old.get("checks", ())]
    return {**old, "mean_input_sha256": old.get("usual_sha256"), "checks": checks}


TO_SCHEMA_3: dict[str, Callable[[Content], Content]] = {
    "CaseRecord": _case,
    "CohortRecord": _cohort,
    "RunRecord": _run,
}


# ---- schema 3 -> 4


def _picked(old: Content, names: dict[str, str]) -> Content:
    """The fields that a record has, by their new names: old name -> new name."""
    return {new: old[name] for name, new in names.items() if name in old}


def _same(*names: str) -> dict[str, str]:
    """Fields that keep their names."""
    return dict(zip(names, names, strict=True))


def _case_4(old: Content) -> Content:
    new = {**old, "hashes": _picked(old, _same("file_hmac", "metadata_hmac", "file_sha256"))}
    if old.get("budget"):
        new["maps"] = [_with_budget(drawn, old["budget"]) for drawn in old["maps"]]
    return new


def _with_budget(drawn: Content, budget: Content) -> Content:
    """A map with the logit by place where that is of this map."""
    return {**drawn, "budget": budget} if drawn["facts"]["key"] == budget["map"] else drawn


COHORT_CASES = {
    **_same("statuses", "unlabelled", "num_patients", "patients", "prevalence"),
    "prevalence_source": "prevalence_source",
    "num_cases_of_known_patients": "num_of_known_patients",
}


def _cohort_4(old: Content) -> Content:
    reliability = {"reliability": "bins", "ece_if_calibrated": "ece_if_calibrated"}
    return {
        **old,
        "cases": _picked(old, COHORT_CASES),
        "reliability": _picked(old, reliability),
    }


COSTS = _same("wall_s", "cpu_s", "peak_memory_mib")
CALIBRATION = {
    "calibrated_cases": "num_cases",
    **_same("scale", "scale_source", "scales", "checks", "cascade", "mean_input_sha256"),
    **_same("logit_spread", "parity"),
}


def _run_4(old: Content) -> Content:
    model = old["model"]
    if model.get("card"):
        model = {**model, "card": _card_4(model["card"])}
    return {
        **old,
        "model": model,
        "cases": _picked(
            old, _same("num_cases", "num_found", "counts", "case_id_key", "crosswalk_sha256")
        ),
        "software": _picked(
            old, _same("versions", "engine", "packages", "code", "segmenter_sha256")
        ),
        "calibration": _picked(old, CALIBRATION),
        "costs": _picked(old, COSTS),
        "legs": [{**leg, "costs": _picked(leg, COSTS)} for leg in old.get("legs", ())],
    }


def _card_4(old: Content) -> Content:
    population = _picked(old, {"population": "description", **_same("age_years", "views")})
    data = {
        "data": "description",
        "data_licence": "licence",
        "data_sha256": "sha256",
        "num_cases": "num_cases",
    }
    operation = _same("class_names", "threshold", "threshold_source", "temperature")
    return {
        **old,
        "population": population,
        "data": _picked(old, data),
        "operation": _picked(old, operation),
    }


TO_SCHEMA_4: dict[str, Callable[[Content], Content]] = {
    "CaseRecord": _case_4,
    "CohortRecord": _cohort_4,
    "RunRecord": _run_4,
}

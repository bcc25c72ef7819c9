"""Records of older schemas -> the present one, as plain JSON values.

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
    """The content of a record of schema 1 or 2, as the present schema has it.

    It keeps the number of the schema that it was written in.
    """
    upgrade = UPGRADES.get(kind)
    return content if upgrade is None else upgrade(content)


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


UPGRADES: dict[str, Callable[[Content], Content]] = {
    "CaseRecord": _case,
    "CohortRecord": _cohort,
    "RunRecord": _run,
}

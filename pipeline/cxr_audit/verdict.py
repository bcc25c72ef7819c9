"""CaseRecord, limits -> flags: what a reader has to know of this case, by rule, each with its reason in numbers.

    outside_lungs       the lungs hold less of the positive evidence than so many times their share of the area
    marker, border      replaced by the run's mean radiograph, it moves the logit by so much (the border, which holds
                        anatomy, also by so much of the logits' spread over the run); or so much of the positive
                        evidence lies there, and so many times what the area alone would give
    exposure            the logit differs by so much between the whole radiograph darker and brighter: such a shortcut
                        has no place that a map could show
    diffuse             so much of the radiograph is high focus
    near_threshold      the logit is less than that far from the threshold's
    low_contrast_input  the check of the input's contrast failed
    out_of_population   a check of view, age or of what the picture shows failed

A rule that cannot be applied gives no flag but a reason, in `flags_undefined`: never an unspoken "no". Where the
evidence lies is judged only where the target class is predicted: the positive part of the map is what speaks for it,
and where it is not predicted there is little of it. The limits are keys of the config's section `acceptance`;
docs/flags.md derives their defaults. Refuses nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from cxr_audit.config import Acceptance
from cxr_audit.records import FLAGS, CaseRecord, Flag, RegionFocus
from cxr_audit.vocabulary import Text

# A rule's answer: is the flag raised, None = cannot be said; and why.
Answer = tuple[bool | None, Text]


def flagged(record: CaseRecord, limits: Acceptance, spread: float | None) -> CaseRecord:
    """The record with the flags that these limits raise; one that was not audited as it is."""
    if record.status != "ok":
        return record
    flags, undefined = judge(record, limits, spread)
    return replace(record, flags=flags, flags_undefined=undefined)


def judge(
    record: CaseRecord, limits: Acceptance, spread: float | None = None
) -> tuple[tuple[Flag, ...], dict[str, Text]]:
    """The flags of an audited case.

    Parameters
    ----------
    record : all but its flags; the first map is the one that is judged.
    spread : `RunRecord.logit_spread`; None where it is not known, and limits nothing.

    Returns
    -------
    The flags that are raised, in the order of `FLAGS`, and by name why others could not be judged.
    """
    limits = _of_run(limits, spread or 0.0)
    answers = {name: RULES[name](record, limits) for name in FLAGS}
    raised = tuple(Flag(name, reason) for name, (is_raised, reason) in answers.items() if is_raised)
    return raised, {
        name: reason for name, (is_raised, reason) in answers.items() if is_raised is None
    }


def _of_run(limits: Acceptance, spread: float) -> Acceptance:
    """The limits with that of the border as it is for logits of this spread."""
    border = max(limits.flag_border_log_odds, limits.flag_border_spread * spread)
    return limits.model_copy(update={"flag_border_log_odds": border})


def _outside_lungs(record: CaseRecord, limits: Acceptance) -> Answer:
    if missing := _no_evidence(record):
        return None, missing
    lungs = next(
        iter(_focus(record, [one.name for one in record.regions if one.kind == "lungs"])), None
    )
    if lungs is None:
        return None, record.lungs_missing or "the lungs were not looked for"
    if lungs.enrichment is None or lungs.relevance_mass_accuracy is None:
        return None, lungs.undefined["enrichment"]
    limit = limits.flag_outside_lungs_enrichment
    return lungs.enrichment < limit, (
        f"{_percent(lungs.relevance_mass_accuracy)} of the positive evidence lies in the lungs, "
        f"{lungs.enrichment:.1f} times their share of the area; limit {limit:g}"
    )


def _marker(record: CaseRecord, limits: Acceptance) -> Answer:
    if record.markers_missing:
        return None, record.markers_missing
    names = [region.name for region in record.regions if region.kind == "marker"]
    if not names:
        return False, ""
    return _at(record, limits, names, limits.flag_marker_log_odds, "the markers were not measured")


def _border(record: CaseRecord, limits: Acceptance) -> Answer:
    return _at(
        record, limits, ["border"], limits.flag_border_log_odds, "the border was not measured"
    )


def _at(
    record: CaseRecord, limits: Acceptance, names: Sequence[str], log_odds: float, missing: str
) -> Answer:
    """Does one of these regions carry the answer? By what replacing it does, or by where the evidence lies."""
    answers = [
        one for one in (_as_usual(record, log_odds, names), _by_map(record, limits, names)) if one
    ]
    if not answers:
        return None, _no_evidence(record) or missing
    raised = [str(reason) for is_raised, reason in answers if is_raised]
    return bool(raised), "; ".join(raised)


def _as_usual(record: CaseRecord, limit: float, names: Sequence[str]) -> Answer | None:
    changes = {name: record.as_usual[name] for name in names if name in record.as_usual}
    if not changes:
        return None
    strongest = max(changes, key=lambda name: abs(changes[name]))
    return _moved(f"{strongest} replaced by the run's mean radiograph", changes[strongest], limit)


def _by_map(record: CaseRecord, limits: Acceptance, names: Sequence[str]) -> Answer | None:
    if _no_evidence(record):
        return None
    measured = [
        (
            share >= limits.flag_region_share and ratio >= limits.flag_region_enrichment,
            ratio,
            share,
            one.region,
        )
        for one in _focus(record, names)
        if (share := one.relevance_mass_accuracy) is not None
        and (ratio := one.enrichment) is not None
    ]
    if not measured:
        return None
    is_beyond, ratio, share, region = max(measured, key=lambda one: one[:2])
    return is_beyond, (
        f"{_percent(share)} of the positive evidence lies at {region}, {ratio:.1f} times its share of the "
        f"area; limits {_percent(limits.flag_region_share)} and {limits.flag_region_enrichment:g} times"
    )


def _exposure(record: CaseRecord, limits: Acceptance) -> Answer:
    if not record.exposure:
        return None, "the radiograph was not tried darker and brighter"
    swing = record.exposure["brighter"] - record.exposure["darker"]
    return _moved("from darker to brighter, exposure", swing, limits.flag_exposure_log_odds)


def _diffuse(record: CaseRecord, limits: Acceptance) -> Answer:
    if missing := _no_evidence(record):
        return None, missing
    found = record.focus[record.maps[0].key]
    if found.high_focus_fraction is None:
        return None, found.undefined["high_focus_fraction"]
    limit = limits.flag_diffuse_high_focus
    return found.high_focus_fraction > limit, (
        f"{_percent(found.high_focus_fraction)} of the radiograph is high focus; limit {_percent(limit)}"
    )


def _near_threshold(record: CaseRecord, limits: Acceptance) -> Answer:
    prediction = record.prediction
    if prediction is None or prediction.threshold is None:
        return None, "no threshold: the highest score decides"
    away = abs(prediction.logit - math.log(prediction.threshold / (1 - prediction.threshold)))
    limit = limits.flag_near_threshold_log_odds
    return away < limit, f"The logit is {away:.2f} log-odds from the threshold's; limit {limit:g}"


def _by_checks(record: CaseRecord, names: Sequence[str]) -> Answer:
    """Raised where one of these checks of the input failed, unknown where one was not run and none failed."""
    checks = [check for check in record.quality if check.name in names]
    failed = [str(check.reason or check.what) for check in checks if check.state == "failed"]
    if failed:
        return True, "; ".join(failed)
    not_run = [str(check.reason or check.what) for check in checks if check.state == "not_run"]
    if not_run or not checks:
        return None, "; ".join(not_run) or "the input was not checked for it"
    return False, ""


RULES: dict[str, Callable[[CaseRecord, Acceptance], Answer]] = {
    "outside_lungs": _outside_lungs,
    "marker": _marker,
    "border": _border,
    "exposure": _exposure,
    "diffuse": _diffuse,
    "near_threshold": _near_threshold,
    "low_contrast_input": lambda record, limits: _by_checks(record, ("contrast",)),
    "out_of_population": lambda record, limits: _by_checks(record, ("view", "age", "not_a_chest")),
}


def _no_evidence(record: CaseRecord) -> str | None:
    """Why where the positive evidence lies says nothing about the answer."""
    prediction = record.prediction
    if not record.maps or prediction is None:
        return "no map"
    if prediction.predicted != prediction.target_class:
        return f"{prediction.target_class} is not predicted: where evidence for it lies decides nothing"
    return None


def _focus(record: CaseRecord, names: Sequence[str]) -> list[RegionFocus]:
    return [one for one in record.region_focus.get(record.maps[0].key, ()) if one.region in names]


def _moved(how: str, change: float, limit: float) -> Answer:
    return abs(change) >= limit, (
        f"{how} {'raises' if change > 0 else 'lowers'} the logit by {abs(change):.1f}; limit {limit:.2g}"
    )


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.0f} %"

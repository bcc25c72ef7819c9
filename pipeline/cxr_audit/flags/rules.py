"""The rules, one function a flag, bound by key to `vocabulary.FLAGS`.

outside_lungs   most of the positive evidence lies outside the lungs; and they hold no more of it
                than the control maps centre or edges, which do not use the classifier, have there;
                or most of the contour and the map's maximum lie outside them
marker, border  replaced by the run's mean radiograph, it moves the logit by so much (the border,
                which holds anatomy, also by so much of the logits' spread over the run); or so much
                of the positive evidence lies there, and so many times what the area alone gives
exposure        the logit differs by so much between the whole image darker and brighter: this
                dependence has no place that a map could show
diffuse         so much of the radiograph is high focus
near_threshold  the logit is less than that far from that of the threshold
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from cxr_audit.config import Acceptance
from cxr_audit.records import MARKERS, AuditedCase, Check, CheckState, Measurements
from cxr_audit.vocabulary import Text, message

MOST = 0.5
CONTROLS = ("centre", "edges")
"""Maps that look like an explanation of a chest radiograph and do not use the classifier."""

Answer = tuple[bool | None, Text]
"""Is the flag raised, None = it cannot be said; and why."""


def outside_lungs(case: AuditedCase, limits: Acceptance) -> Answer:
    """Whether the lungs hold little of the evidence."""
    reason = without_evidence(case)
    if reason is not None:
        return None, reason
    lungs = case.in_region("lungs")
    if lungs is None:
        missing = case.regions.missing.get("lungs")
        return None, missing or message("regions.lungs_not_looked_for")
    share = lungs.number("relevance_mass_accuracy")
    if share is None:
        return None, lungs.undefined["relevance_mass_accuracy"]
    if share >= MOST:
        return False, message("flags.within_limits")
    contour = contour_in_lungs(case, lungs)
    is_peak_outside = lungs["pointing_game_hit"] is False
    limit = limits.flag_outside_lungs_contour
    if contour is not None and contour < limit and is_peak_outside:
        return True, message("flags.contour_outside", share=share, contour=contour, limit=limit)
    return _no_more_than_controls(case, share, limits.flag_outside_lungs_controls)


def _no_more_than_controls(case: AuditedCase, share: float, limit: float) -> Answer:
    """Whether the better of two control maps has as much evidence in the lungs."""
    region = case.regions.first("lungs")
    shares = case.regions.controls.get(region.name, {}) if region else {}
    in_lungs = {name: shares[name] for name in CONTROLS if name in shares}
    if not in_lungs:
        return None, message("flags.no_control")
    best = max(in_lungs, key=in_lungs.__getitem__)
    return share <= limit * in_lungs[best], message(
        "flags.no_more_than_controls",
        share=share,
        control=best,
        of_control=in_lungs[best],
        limit=limit,
    )


def contour_in_lungs(case: AuditedCase, lungs: Measurements) -> float | None:
    """The share of the high-focus area that lies in the lungs; None where there is no such area.

    From Dice = 2 both / (lungs + area), both shares of what the model saw.
    """
    if case.first_map is None:
        return None
    area = case.first_map.metrics.number("high_focus_fraction")
    dice, of_lungs = lungs.number("dice"), lungs.number("chance")
    if not area or dice is None or of_lungs is None:
        return None
    return min(1.0, dice * (of_lungs + area) / (2 * area))


def marker(case: AuditedCase, limits: Acceptance) -> Answer:
    """Whether a marker carries the output."""
    missing = case.regions.missing.get("marker")
    if missing is not None:
        return None, missing
    names = [region.name for region in case.regions.of_kind("marker")]
    if not names:
        return False, message("flags.no_marker")
    return _carries(case, limits, [*names, MARKERS], limits.flag_marker_log_odds)


def border(case: AuditedCase, limits: Acceptance) -> Answer:
    """Whether the border carries the output."""
    return _carries(case, limits, ["border"], limits.flag_border_log_odds)


def exposure(case: AuditedCase, limits: Acceptance) -> Answer:
    """Whether the output depends on the brightness of the whole image."""
    changes = case.probes.exposure
    if not changes:
        return None, message("flags.brightness_not_tried")
    swing = changes["brighter"] - changes["darker"]
    limit = limits.flag_exposure_log_odds
    code = "flags.brightness_raises" if swing > 0 else "flags.brightness_lowers"
    return abs(swing) >= limit, message(code, change=abs(swing), limit=limit)


def diffuse(case: AuditedCase, limits: Acceptance) -> Answer:
    """Whether most of the radiograph is high focus."""
    reason = without_evidence(case)
    if reason is not None or case.first_map is None:
        return None, reason or message("flags.no_map")
    metrics = case.first_map.metrics
    share = metrics.number("high_focus_fraction")
    if share is None:
        return None, metrics.undefined["high_focus_fraction"]
    limit = limits.flag_diffuse_high_focus
    return share > limit, message("flags.high_focus", share=share, limit=limit)


def near_threshold(case: AuditedCase, limits: Acceptance) -> Answer:
    """Whether the output is close to the threshold."""
    prediction = case.prediction
    if prediction.threshold is None:
        return None, message("flags.no_threshold")
    threshold_logit = math.log(prediction.threshold / (1 - prediction.threshold))
    distance = abs(prediction.logit - threshold_logit)
    limit = limits.flag_near_threshold_log_odds
    return distance < limit, message("flags.near_threshold", distance=distance, limit=limit)


def by_checks(case: AuditedCase, names: Sequence[str]) -> Answer:
    """Raised where one of these checks of the input failed; not assessed where one was not run."""
    checks = [check for check in case.quality if check.name in names]
    failed = _reasons(checks, "failed")
    if failed:
        return True, _together(failed)
    not_run = _reasons(checks, "not_run")
    if not_run:
        return None, _together(not_run)
    if not checks:
        return None, message("flags.input_not_checked")
    return False, message("flags.checks_passed")


def factor_changes(case: AuditedCase, spread: float | None) -> dict[str, float]:
    """By factor, the difference between the highest and the lowest logit over its usual range.

    Parameters
    ----------
    spread : standard deviation of the logit within a label, the unit; None = there is no unit.
    """
    if not spread:
        return {}
    changes = {}
    for key, (low, high) in case.probes.factors.items():
        changes[key] = (max(0.0, low, high) - min(0.0, low, high)) / spread
    return changes


def by_factor(change: float | None, limits: Acceptance) -> Answer:
    """Raised where a factor moves the output of this case by much."""
    if change is None:
        return None, message("flags.no_spread")
    limit = limits.flag_factor_spread
    return change >= limit, message("flags.factor_moves", change=change, limit=limit)


RULES: dict[str, Callable[[AuditedCase, Acceptance], Answer]] = {
    "outside_lungs": outside_lungs,
    "marker": marker,
    "border": border,
    "exposure": exposure,
    "diffuse": diffuse,
    "near_threshold": near_threshold,
}


def without_evidence(case: AuditedCase) -> Text | None:
    """Why the place of the positive evidence says nothing about the output; None where it does."""
    if not case.maps:
        return message("flags.no_map")
    prediction = case.prediction
    if prediction.predicted != prediction.target_class:
        return message("flags.class_not_predicted", target=prediction.target_class)
    return None


def _carries(
    case: AuditedCase, limits: Acceptance, names: Sequence[str], log_odds: float
) -> Answer:
    """Whether one of these regions carries the output: by replacing it, or by its evidence."""
    answers = [_by_replacing(case, log_odds, names), _by_evidence(case, limits, names)]
    given = [answer for answer in answers if answer is not None]
    if not given:
        return None, without_evidence(case) or message("flags.not_measured", regions=list(names))
    reasons = [reason for is_raised, reason in given if is_raised]
    if not reasons and answers[0] is None:
        return None, message("flags.not_replaced")
    if not reasons:
        return False, message("flags.within_limits")
    return True, _together(reasons)


def _by_replacing(case: AuditedCase, limit: float, names: Sequence[str]) -> Answer | None:
    replaced = case.probes.mean_replaced
    changes = {name: replaced[name] for name in names if name in replaced}
    if not changes:
        return None
    strongest = max(changes, key=lambda name: abs(changes[name]))
    change = changes[strongest]
    direction = "raises" if change > 0 else "lowers"
    values = {"change": abs(change), "limit": limit}
    if strongest == "border":
        return abs(change) >= limit, message(f"flags.border_replaced_{direction}", **values)
    reason = message(f"flags.replaced_{direction}", region=strongest, **values)
    return abs(change) >= limit, reason


def _by_evidence(case: AuditedCase, limits: Acceptance, names: Sequence[str]) -> Answer | None:
    if without_evidence(case) is not None or case.first_map is None:
        return None
    strongest: tuple[bool, float, float, str] | None = None
    for name in names:
        measured = case.first_map.in_regions.get(name)
        if measured is None:
            continue
        share, enrichment = (
            measured.number("relevance_mass_accuracy"),
            measured.number("enrichment"),
        )
        if share is None or enrichment is None:
            continue
        is_beyond = (
            share >= limits.flag_region_share and enrichment >= limits.flag_region_enrichment
        )
        candidate = is_beyond, enrichment, share, name
        if strongest is None or candidate[:2] > strongest[:2]:
            strongest = candidate
    if strongest is None:
        return None
    is_beyond, enrichment, share, name = strongest
    return is_beyond, message(
        "flags.evidence_at",
        share=share,
        region=name,
        enrichment=enrichment,
        share_limit=limits.flag_region_share,
        enrichment_limit=limits.flag_region_enrichment,
    )


def _reasons(checks: Sequence[Check], state: CheckState) -> list[Text]:
    """Why checks are in a state that is not passed."""
    return [check.reason for check in checks if check.state == state and check.reason is not None]


def _together(reasons: Sequence[Text]) -> Text:
    return reasons[0] if len(reasons) == 1 else message("flags.several", reasons=list(reasons))

"""Page 2: scores, the logit by region, metrics of the map, checks of the explanation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cxr_audit.records import (
    AuditedCase,
    Check,
    Measurements,
    Prediction,
    RegionFacts,
    RunRecord,
)
from cxr_audit.report.case_page.layout import Picture
from cxr_audit.report.language import _, plural, said
from cxr_audit.report.names import (
    check_label,
    check_meaning,
    check_title,
    label,
    metric_label,
    metric_text,
    region_name,
    region_title,
    title,
)
from cxr_audit.report.words import (
    CHECK_STATES,
    DASH,
    TRUST_STATES,
    View,
    number,
    percent,
    quoted,
    score,
    sentence,
    signed,
    stopped_short,
)
from cxr_audit.vocabulary import MAP_METRICS, REGION_KINDS, REGION_METRICS
from cxr_audit.vocabulary.regions import kinds_of_cases

REGIONS_MM = 44.0
MARKERS_LISTED = 2
IN_TABLE = ("relevance_mass_accuracy", "chance", "enrichment")
"""Metrics of a region that the table of regions has columns for."""
CONTROLS = ("edges", "random", "centre")
WITH_CONTROLS = ("lungs", "mediastinum")
"""Kinds of regions whose control maps are printed; the record has those of all regions."""


def class_scores(prediction: Prediction) -> list[tuple[str, str]]:
    """Each class with its score, and what it is in this case."""
    roles = (
        (_("predicted"), prediction.predicted),
        (_("reference label"), prediction.expected),
        (_("explained"), prediction.target_class),
    )
    rows = []
    for name, value in prediction.class_scores.items():
        marks = ", ".join(role for role, class_name in roles if class_name == name)
        rows.append((quoted(name), f"{score(value)} {marks}".rstrip()))
    rows.append((sentence(said(prediction.scalar)), number(prediction.logit)))
    return rows


def further_inputs(case: AuditedCase) -> list[tuple[str, str]]:
    """What each input beside the image contributes to the logit."""
    rows = []
    for value in case.input.further:
        name = _("Input {name} ({origin})", name=quoted(value.name), origin=said(value.origin))
        told = "" if value.category is None else f"{quoted(value.category)}: "
        if value.contribution is None:
            words = _("contribution not computed")
        else:
            change = signed(value.contribution)
            words = _("{change} log-odds against its reference value", change=change)
        rows.append((name, f"{told}{words}"))
    return rows


# ---- regions


@dataclass(frozen=True, slots=True)
class RegionRow:
    """A row of the table of regions.

    Parameters
    ----------
    name : with its share of the area.
    is_part : of the region above it.
    is_total : of all rows.
    evidence, controls, ratio : None where there is none.
    reason : why the evidence is undefined.
    log_odds : its part of the logit.
    """

    name: str
    is_part: bool = False
    is_total: bool = False
    evidence: str | None = None
    controls: str | None = None
    ratio: str | None = None
    reason: str | None = None
    log_odds: str | None = None


def regions_view(case: AuditedCase, pictures: Mapping[str, str]) -> View | None:
    """How much of the first map's evidence lies in each region, beside its part of the logit."""
    if case.first_map is None or not (case.regions.found or case.budget):
        return None
    rows = region_rows(case)
    shape = case.radiograph.rows, case.radiograph.columns
    missing = case.regions.missing.get("lungs")
    picture = None
    if "regions" in pictures:
        picture = Picture.within(pictures["regions"], shape, REGIONS_MM, REGIONS_MM)
    reasons = {row.reason for row in rows if row.name and row.reason}
    is_undefined = not any(row.evidence for row in rows)
    return {
        "rows": rows,
        "has_evidence": not is_undefined,
        "controls": "; ".join(row.controls for row in rows if row.controls),
        "has_log_odds": case.budget is not None,
        "undefined": reasons.pop() if is_undefined and len(reasons) == 1 else None,
        "picture": picture,
        "legend": ", ".join(_outlined(case)),
        "missing": sentence(stopped_short(said(missing))) if missing else None,
        "are_sides_stated": case.radiograph.image_left is not None,
        "budget": case.budget,
        "budget_map": case.budget_map.key if case.budget_map else None,
        "scalar": said(case.prediction.scalar),
    }


def region_rows(case: AuditedCase) -> list[RegionRow]:
    """Regions in order, then the parts of the logit that lie in none, then the logit."""
    log_odds = _log_odds(case)
    unlisted = _unlisted_markers(case)
    rows = []
    for region in case.regions.found:
        kind = REGION_KINDS.get(region.kind)
        is_listed = kind is None or kind.is_listed
        if is_listed and region.name not in unlisted:
            rows.append(_region_row(case, region, log_odds.pop(region.name, None)))
    if case.budget is None:
        return rows
    if unlisted:
        total = sum(value for name, value in case.budget.parts if name in unlisted)
        words = plural("{num} more marker", "{num} more markers", len(unlisted))
        rows.append(RegionRow(words, log_odds=signed(total)))
    for name, value in log_odds.items():
        if name not in unlisted:
            words = sentence(region_name(name, case.radiograph))
            rows.append(RegionRow(words, log_odds=value))
    rows.append(RegionRow(_("Logit"), is_total=True, log_odds=signed(case.budget.logit)))
    return rows


def _region_row(case: AuditedCase, region: RegionFacts, log_odds: str | None) -> RegionRow:
    assert case.first_map is not None
    measured = case.first_map.in_regions.get(region.name, Measurements())
    share, ratio = measured.number("relevance_mass_accuracy"), measured.number("enrichment")
    reason = next(iter(measured.undefined.values()), None)
    is_zone, name = region.kind == "zone", region_name(region.name, case.radiograph)
    controls = case.regions.controls.get(region.name)
    return RegionRow(
        name=f"{region_title(region, case.radiograph)} ({percent(region.area_fraction)})",
        is_part=is_zone,
        evidence=None if share is None else percent(share),
        controls=None
        if not controls or share is None or region.kind not in WITH_CONTROLS
        else f"{name} {_controls(controls)}",
        ratio=None if ratio is None else number(ratio, 1),
        reason=said(reason),
        log_odds=log_odds,
    )


def _controls(shares: Mapping[str, float]) -> str:
    """What the control maps have there: "22 %, 21 %, 37 %"."""
    return ", ".join(percent(shares[name]) if name in shares else DASH for name in CONTROLS)


def _unlisted_markers(case: AuditedCase) -> list[str]:
    """All markers but those with most of the evidence; the logit has one row for them."""
    if case.budget is None or case.first_map is None:
        return []
    measured = case.first_map.in_regions

    def share(name: str) -> float:
        return measured.get(name, Measurements()).number("relevance_mass_accuracy") or 0.0

    markers = [region.name for region in case.regions.of_kind("marker")]
    return sorted(markers, key=share, reverse=True)[MARKERS_LISTED:]


def _log_odds(case: AuditedCase) -> dict[str, str]:
    """The parts of the logit by name; the lungs have the sum of their zones."""
    if case.budget is None:
        return {}
    values = dict(case.budget.parts)
    zones = [region.name for region in case.regions.of_kind("zone") if region.name in values]
    if zones:
        values["lungs"] = sum(values[name] for name in zones)
    return {name: signed(value) for name, value in values.items()}


def _outlined(case: AuditedCase) -> list[str]:
    """What the picture of the regions outlines."""
    kinds = {region.kind for region in case.regions.found}
    return [label(kind) for kind in REGION_KINDS if kind.is_outlined and kind.key in kinds]


def other_metrics(case: AuditedCase) -> list[tuple[str, str]]:
    """The metrics of the regions that a case has one of, beyond those of the table."""
    rows = []
    for kind in kinds_of_cases():
        region = case.regions.first(kind.key)
        measured = case.in_region(kind.key)
        if region is None or measured is None:
            continue
        for metric in REGION_METRICS:
            if metric.key in IN_TABLE or not metric.is_printed or metric.key not in measured.values:
                continue
            value, _reason = metric_text(metric, measured, case.radiograph)
            if value is not None:
                rows.append((sentence(metric_label(metric, label(kind))), value))
    return rows


# ---- metrics of the map


def metric_rows(case: AuditedCase) -> list[tuple[str, str]]:
    """Each metric of the first map: name, value or reason; one row where one reason is for all."""
    first = case.first_map
    if first is None:
        return []
    rows, reasons = [], set()
    for metric in MAP_METRICS:
        if not metric.is_printed or metric.key not in first.metrics.values:
            continue
        value, reason = metric_text(metric, first.metrics, case.radiograph)
        reasons.add(reason)
        rows.append((title(metric), value or _("undefined: {reason}", reason=reason)))
    if len(reasons) == 1 and None not in reasons:
        return [(_("All"), _("undefined: {reason}", reason=reasons.pop()))]
    return rows


# ---- checks of the explanation


def trust_view(case: AuditedCase, run: RunRecord) -> View | None:
    """The state of the explanation and every check, once a model or of this case."""
    if case.trust is None:
        return None
    _shape, words = TRUST_STATES[case.trust.state]
    checks = [(check, _("model")) for check in run.calibration.checks]
    checks += [(check, _("case")) for check in case.trust.checks]
    rows = [_check_row(check, scope) for check, scope in checks if check.state != "not_run"]
    return {"title": _(words), "rows": rows + _not_run(checks)}


def _check_row(check: Check, scope: str) -> tuple[str, str]:
    """For example "Stability (case)", "passed 0.93 (at least 0.90)"."""
    name = _("{check} ({scope})", check=check_title(check.name), scope=scope)
    facts = [_(CHECK_STATES[check.state])]
    if check.value is not None:
        facts.append(_small(check.value))
    if check.limit:
        facts.append(f"({said(check.limit)})")
    if check.state == "failed":
        facts += [said(check.reason or ""), f"({check_meaning(check)})"]
    return name, " ".join(facts)


def _not_run(checks: Sequence[tuple[Check, str]]) -> list[tuple[str, str]]:
    """The checks that were not run, those with one reason together."""
    names: dict[tuple[str, str], list[str]] = {}
    for check, scope in checks:
        if check.state == "not_run":
            key = scope, said(check.reason or "")
            names.setdefault(key, []).append(check_label(check.name))
    words = CHECK_STATES["not_run"]
    state = _(words)
    return [
        (
            _("{check} ({scope})", check=sentence(", ".join(found)), scope=scope),
            f"{state} ({reason})",
        )
        for (scope, reason), found in names.items()
    ]


def _small(value: float) -> str:
    """Two decimals; four of what these do not show."""
    if 0 < abs(value) < 0.00005:
        return f"<{number(0.0001, 4)}"
    return number(value, 4 if 0 < abs(value) < 0.005 else 2)

"""Page 1: what the model said, from where, and what speaks against relying on it."""

from __future__ import annotations

from collections.abc import Mapping

from cxr_audit.records import AuditedCase, MapRecord, RunRecord
from cxr_audit.report.case_page.alerts import find_alerts, not_assessed_names, short_alerts
from cxr_audit.report.case_page.answer import output, scope, validated
from cxr_audit.report.case_page.evidence import Evidence, find_evidence
from cxr_audit.report.case_page.layout import Picture, fitted
from cxr_audit.report.language import N_, _
from cxr_audit.report.names import method_name
from cxr_audit.report.words import (
    DRAWN,
    View,
    clipped,
    full_stop,
    number,
    percent,
    quoted,
    times,
)

MOST_ALERTS = 3
LIMITS_LENGTH = 112
MAP_MM = 27.0
INPUT_MM = 30.0

CHECKED = {
    "passed": N_("The map reflects this model."),
    "caution": N_("Read the map with caution: see Alerts."),
    "not_interpretable": N_("Do not interpret the map: see Alerts."),
}


def first_page(case: AuditedCase, run: RunRecord, pictures: Mapping[str, str], paper: str) -> View:
    """What stands on page 1.

    Parameters
    ----------
    case : its first map is the one that is shown.
    run : with the model's card.
    pictures : role or key of a map -> URL.
    paper : key of `layout.PICTURE_MM`.
    """
    card, first = run.model.card, case.first_map
    alerts = find_alerts(case)
    found_scope = scope(case, card)
    shape = case.radiograph.rows, case.radiograph.columns
    said_here = short_alerts(alerts[:MOST_ALERTS])
    marked = pictures.get("marked") or (pictures.get(first.key) if first else None)
    return {
        "view": case.radiograph.view_position or _("view not stated"),
        "scope": found_scope,
        "output": output(case.prediction, card, case.label),
        "validated": validated(
            case.prediction, card, found_scope, run.config.get("cohort", {}).get("prevalence")
        ),
        "sides": sides(case),
        "plain": fitted(pictures.get("radiograph"), shape, paper),
        "marked": fitted(marked, shape, paper),
        "marked_alt": _marked_alt(case, first),
        "size": _size(case),
        "key": _key(case, first, "marked" in pictures),
        "evidence": find_evidence(case, first) if first else _without_map(),
        "map": _small_map(first, shape, pictures),
        "checked": _(CHECKED[case.trust.state]) if case.trust else _("The map was not checked."),
        "alerts": said_here,
        "is_abridged": said_here != [full_stop(alert.text) for alert in alerts],
        "more": max(0, len(alerts) - MOST_ALERTS),
        "not_assessed": clipped(not_assessed_names(case), 50),
        "limits": _limits(run),
    }


def sides(case: AuditedCase) -> tuple[str, str]:
    """What stands above the image's left and right edge."""
    match case.radiograph.image_left:
        case "right":
            return _("R"), _("L")
        case "left":
            return _("L"), _("R")
    return _("side unknown"), ""


def _size(case: AuditedCase) -> str:
    facts = case.radiograph
    size = _("{size} px", size=times(facts.rows, facts.columns))
    if facts.pixel_spacing_mm is None:
        return size
    rows, columns = facts.pixel_spacing_mm
    height, width = facts.rows * rows / 10, facts.columns * columns / 10
    return _("{size}, {area} cm", size=size, area=times(height, width))


def _key(case: AuditedCase, first: MapRecord | None, is_marked: bool) -> str:
    """What the lines on the marked picture are."""
    if first is None:
        return _("No map was computed.")
    class_name = quoted(first.facts.class_name)
    sentences = []
    if first.facts.status not in DRAWN:
        sentences.append(_("No contour: no evidence for {name}.", name=class_name))
    elif first.is_faint:
        sentences.append(_("No contour: the map stays below a quarter of the colour scale."))
    else:
        share = _("half") if first.threshold == 0.5 else percent(first.threshold)
        sentences.append(
            _(
                "Solid: strongest evidence for {name} (from {share} of the maximum).",
                name=class_name,
                share=share,
            )
        )
    if is_marked and case.regions.first("lungs"):
        sentences.append(_("Dashed: lungs."))
    sentences.append(_cell(case, first))
    return " ".join(sentences)


def _cell(case: AuditedCase, first: MapRecord) -> str:
    """The size of one cell of the map on the radiograph."""
    placement, facts = case.input.placement, case.radiograph
    rows = placement.input_rows / first.facts.grid_rows / placement.scale_rows
    columns = placement.input_columns / first.facts.grid_columns / placement.scale_columns
    if facts.pixel_spacing_mm is None:
        return _("Map cell: {size} px.", size=times(rows, columns))
    row_mm, column_mm = facts.pixel_spacing_mm
    return _("Map cell: {size} mm.", size=times(rows * row_mm, columns * column_mm))


def _marked_alt(case: AuditedCase, first: MapRecord | None) -> str:
    if first is None:
        return _("The radiograph. No map was computed.")
    if first.is_faint or first.facts.status not in DRAWN:
        return _("The radiograph with the outline of the lungs; no contour of the evidence.")
    return _(
        "The radiograph with a contour around the strongest evidence for {name}.",
        name=quoted(first.facts.class_name),
    )


def _small_map(
    first: MapRecord | None, shape: tuple[int, int], pictures: Mapping[str, str]
) -> View | None:
    if first is None or first.key not in pictures:
        return None
    values = {"method": method_name(first.facts.method), "name": quoted(first.facts.class_name)}
    return {
        "picture": Picture.within(pictures[first.key], shape, MAP_MM, MAP_MM),
        "alt": _("The radiograph with the {method} map for {name} in colour.", **values),
        "title": _("Full map: {method}", **values),
    }


def _without_map() -> Evidence:
    return Evidence(_("No class activation map was computed."), (), ())


def _limits(run: RunRecord) -> str:
    """The card's limits in two lines; whole under Provenance."""
    card = run.model.card
    if card is None or not card.limits:
        return _("No limits are stated.")
    return f'"{clipped(" ".join(card.limits), LIMITS_LENGTH)}"'


def small_picture(case: AuditedCase, pictures: Mapping[str, str]) -> View | None:
    """The model input."""
    placement = case.input.placement
    shape = placement.input_rows, placement.input_columns
    if "model_input" not in pictures:
        return None
    return {
        "picture": Picture.within(pictures["model_input"], shape, INPUT_MM, INPUT_MM),
        "size": _("{size} px", size=times(*shape)),
        "logit": number(case.prediction.logit),
    }

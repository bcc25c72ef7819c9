"""Page 1: what the model said, from where, and what speaks against relying on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cxr_audit.records import AuditedCase, MapRecord, ModelCard, OutputBin, Prediction, RunRecord
from cxr_audit.report.case_page.alerts import (
    POPULATION,
    find_alerts,
    not_assessed_names,
    short_alerts,
)
from cxr_audit.report.case_page.evidence import Evidence, find_evidence
from cxr_audit.report.case_page.layout import Picture, fitted
from cxr_audit.report.language import N_, _, joined, plural, said
from cxr_audit.report.names import check_label, method_name
from cxr_audit.report.words import (
    DRAWN,
    View,
    clipped,
    full_stop,
    number,
    percent,
    quoted,
    score,
    stopped_short,
    times,
)
from cxr_audit.vocabulary import FLAGS, Text

MOST_ALERTS = 3
LEAST_CASES = 20
"""Validation cases in a bin below which no share of them is shown."""
LIMITS_LENGTH = 110
MAP_MM = 27.0
INPUT_MM = 30.0

# state -> the words of the scope line
SCOPES = {
    "inside": N_("IN SCOPE."),
    "outside": N_("OUTSIDE SCOPE."),
    "unknown": N_("SCOPE UNKNOWN."),
}
# Where the score lies; "just", where two decimals cannot tell.
REACHED = {
    "far": N_("(threshold {threshold})"),
    "just above": N_("(just above the threshold of {threshold})"),
    "just below": N_("(just below the threshold of {threshold})"),
    "at": N_("(at the threshold of {threshold})"),
}
CHECKED = {
    "passed": N_("The map reflects this model (checks: page 2)."),
    "caution": N_("Read the map with caution: see Alerts."),
    "not_interpretable": N_("Do not interpret the map: see Alerts."),
}


@dataclass(frozen=True, slots=True)
class Scope:
    """Whether the case belongs to what the model was made for.

    Parameters
    ----------
    state : key of `SCOPES`.
    word : the state in words.
    reason : sentences.
    """

    state: str
    word: str
    reason: str


@dataclass(frozen=True, slots=True)
class Output:
    """What the model said, in one line and the line below it.

    Parameters
    ----------
    main : the predicted class and its score.
    threshold : in brackets.
    notes : sentences: what the score is, the source of the threshold, the reference label.
    """

    main: str
    threshold: str
    notes: str


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
    marked = pictures.get("marked") or (pictures.get(first.key) if first else None)
    return {
        "view": case.radiograph.view_position or _("view not stated"),
        "scope": found_scope,
        "output": output(case.prediction, card, case.label),
        "validated": validated(case.prediction, card, found_scope),
        "sides": sides(case),
        "plain": fitted(pictures.get("radiograph"), shape, paper),
        "marked": fitted(marked, shape, paper),
        "marked_alt": _marked_alt(case, first),
        "size": _size(case),
        "key": _key(case, first, "marked" in pictures),
        "evidence": find_evidence(case, first) if first else _without_map(),
        "map": _small_map(first, shape, pictures),
        "checked": _(CHECKED[case.trust.state]) if case.trust else _("The map was not checked."),
        "alerts": short_alerts(alerts[:MOST_ALERTS]),
        "more": max(0, len(alerts) - MOST_ALERTS),
        "not_assessed": clipped(not_assessed_names(case), 70),
        "limits": _limits(run),
    }


def scope(case: AuditedCase, card: ModelCard | None) -> Scope:
    """Inside, outside or unknown, by the checks that the flag of the population names."""
    state, reason = _scope(case)
    sentences = [full_stop(said(reason))] if reason else []
    if not reason:
        names = ", ".join(check_label(name) for name in FLAGS[POPULATION].checks)
        sentences.append(_("Checks passed: {names}.", names=names))
    if card is None:
        sentences.append(_("The model has no model card."))
    else:
        population = quoted(clipped(card.population, 70))
        sentences.append(_("Model made for: {population}.", population=population))
    return Scope(state, _(SCOPES[state]), clipped(joined(" ", sentences), 150))


def _scope(case: AuditedCase) -> tuple[str, Text | None]:
    for flag in case.flags.raised:
        if flag.name == POPULATION:
            return "outside", flag.reason
    if POPULATION in case.flags.undefined:
        return "unknown", case.flags.undefined[POPULATION]
    checks = {check.name: check for check in case.quality}
    for name in FLAGS[POPULATION].checks:
        check = checks.get(name)
        if check is None or check.state == "not_run":
            words = _("not checked: {name}", name=check_label(name))
            return "unknown", check.reason if check else words
        if check.state == "failed":
            return "outside", check.reason
    return "inside", None


def output(prediction: Prediction, card: ModelCard | None, label: str | None) -> Output:
    """The model's answer in words."""
    predicted = quoted(prediction.predicted)
    notes = []
    if prediction.threshold is None:
        shown = score(prediction.class_scores[prediction.predicted])
        main = _("{predicted}, score {score}", predicted=predicted, score=shown)
        threshold = plural(
            "(of {num} class)", "(highest of {num} classes)", len(prediction.class_scores)
        )
    else:
        shown = score(prediction.probability)
        if prediction.predicted == prediction.target_class:
            main = _("{predicted}, score {score}", predicted=predicted, score=shown)
        else:
            main = _(
                "{predicted}; score for {target} {score}",
                predicted=predicted,
                target=quoted(prediction.target_class),
                score=shown,
            )
        reached = _reached(prediction.probability, prediction.threshold)
        threshold = _(REACHED[reached], threshold=score(prediction.threshold))
        source = clipped(stopped_short(said(prediction.threshold_source)), 60)
        notes.append(full_stop(_("Threshold: {source}", source=source)))
    if card is None or card.temperature is None:
        notes.insert(0, _("Not a calibrated probability."))
    notes.append(_reference(prediction, label))
    return Output(main, threshold, joined(" ", notes))


def _reference(prediction: Prediction, label: str | None) -> str:
    if prediction.is_correct is None:
        if label is None:
            return _("Reference label: none.")
        return _("Reference label: {label}, not a class of the model.", label=quoted(label))
    words = (
        N_("Reference label: {label}. Agrees with the model.")
        if prediction.is_correct
        else N_("Reference label: {label}. Disagrees with the model.")
    )
    return _(words, label=quoted(prediction.expected))


def _reached(probability: float, threshold: float) -> str:
    """Key of `REACHED`."""
    if probability == threshold:
        return "at"
    if score(probability) != score(threshold):
        return "far"
    return "just above" if probability > threshold else "just below"


def validated(prediction: Prediction, card: ModelCard | None, found_scope: Scope) -> str | None:
    """What such a score meant in validation cases.

    Only inside the model's population, and only where the card counts enough cases of this class.
    """
    validation = card.validation if card else None
    if validation is None or found_scope.state != "inside":
        return None
    if validation.class_name != prediction.target_class:
        return None
    counted = next((b for b in validation.bins if _is_in(prediction.probability, b)), None)
    if counted is None or counted.num_cases < LEAST_CASES:
        return None
    total = sum(one_bin.num_cases for one_bin in validation.bins)
    labelled = sum(one_bin.num_labelled for one_bin in validation.bins)
    return _(
        "Of {num} validation cases with a score from {low} to {high}, {share} had this label "
        "(prevalence {prevalence}; {data}).",
        num=counted.num_cases,
        low=score(counted.low),
        high=score(counted.high),
        share=percent(counted.num_labelled / counted.num_cases),
        prevalence=percent(labelled / total),
        data=quoted(clipped(validation.data, 40)),
    )


def _is_in(probability: float, counted: OutputBin) -> bool:
    return counted.low <= probability < counted.high or probability == counted.high == 1


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

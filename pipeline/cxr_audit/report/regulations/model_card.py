"""The model card, pre-filled.

Mitchell et al., FAT* 2019, in the order of the FDA's example (2025 draft, appendix E). What the
model brought stands in quotation marks.
"""

from __future__ import annotations

from cxr_audit.records import CohortRecord, ModelCard, RunRecord
from cxr_audit.report.language import _, grouped, said
from cxr_audit.report.names import column_label
from cxr_audit.report.words import TIMES, View, counted, in_brackets, quoted, score

FIGURES = ("auc", "sensitivity", "specificity", "ece", "brier")
Row = tuple[str, str | None]


def model_card_rows(run: RunRecord, cohort: CohortRecord) -> list[View]:
    """Name and value; what the run cannot know is left to the submitter."""
    rows = [*_identity(run), *_figures(run, cohort), *_limits(run.model.card)]
    return [
        {
            "name": name,
            "value": value or _("to be filled by the submitter"),
            "is_open": value is None,
        }
        for name, value in rows
    ]


def _identity(run: RunRecord) -> list[Row]:
    model, card = run.model, run.model.card
    size = f" {TIMES} ".join(map(str, model.input_shape))
    classes = ", ".join(quoted(name) for name in model.class_names)
    return [
        (_("Model"), f"{model.name}, SHA-256 {model.sha256}"),
        (
            _("Architecture"),
            _("{num} parameters; {head}", num=counted(model.parameters), head=said(model.head)),
        ),
        (_("Developer, version, date, contact, regulatory status"), None),
        (_("Intended use"), quoted(card.intended_use) if card else None),
        (_("Intended users, place in the workflow, degree of automation"), None),
        (_("Population"), quoted(card.population.description) if card else None),
        (_("Input"), f"{size}; {quoted(card.input)}" if card else size),
        (
            _("Output"),
            _("{output}; classes {classes}", output=model.output_activation, classes=classes),
        ),
        *_unavailable(run),
    ]


def _unavailable(run: RunRecord) -> list[Row]:
    """What cannot be asked of a model that is not opened."""
    unavailable = run.model.unavailable
    if unavailable is None:
        return []
    return [(_("Not available for this model"), said(unavailable))]


def _figures(run: RunRecord, cohort: CohortRecord) -> list[Row]:
    here = []
    for key in FIGURES:
        found = cohort.metrics[key]
        if found.value is not None:
            interval = in_brackets(found.interval_95)
            here.append(f"{column_label(key)} {score(found.value)}{interval}")
    labelled = grouped(sum(cohort.outcomes.values()))
    nothing = _("nothing: no audited case has a label")
    rows: list[Row] = [
        (_("Measured in this run: {num} labelled cases", num=labelled), "; ".join(here) or nothing)
    ]
    measured: dict[str, list[str]] = {}
    for figure in run.model.card.measured if run.model.card else ():
        data = _("{data}, {num} cases", data=figure.data, num=grouped(figure.num_cases))
        words = f"{figure.what} {score(figure.value)}{in_brackets(figure.interval_95)}"
        measured.setdefault(data, []).append(words)
    for data, figures in measured.items():
        rows.append((_("Measured by its developer: {data}", data=data), "; ".join(figures)))
    return rows


def _limits(card: ModelCard | None) -> list[Row]:
    limits = data = counts = None
    if card and card.limits:
        limits = " ".join(quoted(text) for text in card.limits)
    if card and card.data.description:
        licence = quoted(card.data.licence) or _("not stated")
        data = _("{data}; licence {licence}", data=quoted(card.data.description), licence=licence)
    if card and card.data.num_cases:
        parts = [f"{part} {grouped(num)}" for part, num in sorted(card.data.num_cases.items())]
        counts = ", ".join(parts)
    return [
        (_("Limits"), limits),
        (_("Risks, human oversight, ethical considerations"), None),
        (_("Training data"), data),
        (_("Cases in the data"), counts),
    ]

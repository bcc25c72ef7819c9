"""Section 4: performance, calibration, subgroups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cxr_audit.records import AuditedCase, CohortRecord
from cxr_audit.report.language import N_, _, grouped, said
from cxr_audit.report.names import definition, title
from cxr_audit.report.run_report.artefacts import capped
from cxr_audit.report.run_report.estimates import estimate_view, num_cases
from cxr_audit.report.words import DASH, View, number, percent, quoted, sentence
from cxr_audit.vocabulary import RUN_METRICS

IN_SUBGROUPS = ("auc", "sensitivity", "specificity")
MOST_GROUPS = 12
DARK = 0.6
"""Share of a cell of the confusion matrix from which its words are white."""

Bins = list[tuple[float, float, tuple[float, float] | None]]


def performance_view(cohort: CohortRecord) -> View | None:
    """Every metric of the run with its interval; None without labels."""
    if not any(cohort.outcomes.values()):
        return None
    rows = [
        {
            "name": title(row),
            "meaning": definition(row),
            "found": estimate_view(cohort.metrics[row.key]),
        }
        for row in RUN_METRICS
        if row.key in cohort.metrics
    ]
    prevalence = _("undefined")
    if cohort.cases.prevalence is not None:
        prevalence = f"{number(cohort.cases.prevalence)} ({said(cohort.cases.prevalence_source)})"
    return {"rows": rows, "method": sentence(said(cohort.method)), "prevalence": prevalence}


def confusion(cohort: CohortRecord) -> View | None:
    """Labels in rows, predictions in columns, of the target class; shares are of a row."""
    if not any(cohort.outcomes.values()):
        return None
    rows = (
        (N_("label positive"), ("true_positive", "false_negative")),
        (N_("label negative"), ("false_positive", "true_negative")),
    )
    return {
        "target": quoted(cohort.target_class),
        "rows": [
            {"label": _(label), "cells": _cells([cohort.outcomes[name] for name in names])}
            for label, names in rows
        ],
    }


def _cells(counts: Sequence[int]) -> list[View]:
    total = sum(counts)
    cells = []
    for count in counts:
        share = count / total if total else 0.0
        cells.append(
            {
                "count": grouped(count),
                "share": percent(share) if total else DASH,
                "opacity": f"{0.75 * share:.2f}",
                "is_dark": share > DARK,
            }
        )
    return cells


def roc(cases: Sequence[AuditedCase]) -> tuple[list[float], list[float]] | None:
    """The corners of the ROC curve, equal scores as one step; None with one class only."""
    scores = Counter(
        (case.prediction.probability, case.outcome in ("true_positive", "false_negative"))
        for case in cases
        if case.outcome
    )
    num_positive = sum(count for (_score, is_positive), count in scores.items() if is_positive)
    num_negative = scores.total() - num_positive
    if not num_positive or not num_negative:
        return None
    across, up = [0.0], [0.0]
    false, true = 0, 0
    for score in sorted({score for score, _is_positive in scores}, reverse=True):
        true += scores[score, True]
        false += scores[score, False]
        across.append(false / num_negative)
        up.append(true / num_positive)
    return across, up


def operating_point(cohort: CohortRecord) -> tuple[float, float] | None:
    """Where the threshold lies on the ROC curve."""
    sensitivity = cohort.metrics["sensitivity"].value
    specificity = cohort.metrics["specificity"].value
    if sensitivity is None or specificity is None:
        return None
    return 1 - specificity, sensitivity


def bins(cohort: CohortRecord) -> Bins:
    """Mean output, observed share and its interval, of the bins that hold cases."""
    return [
        (counted.mean_probability, counted.observed.value, counted.observed.interval_95)
        for counted in cohort.reliability.bins
        if counted.mean_probability is not None and counted.observed.value is not None
    ]


def reliability_note(cohort: CohortRecord) -> str:
    """What the reliability diagram shows."""
    sentences = [_("Points: bins of 0.1; lines: 95 % intervals.")]
    if any(interval is None for _mean, _share, interval in bins(cohort)):
        sentences.append(_("Open points: too few patients for an interval."))
    if cohort.reliability.ece_if_calibrated is not None:
        limit = number(cohort.reliability.ece_if_calibrated)
        sentences.append(_("A calibrated model has an ECE below {limit} here.", limit=limit))
    return " ".join(sentences)


def subgroups(cohort: CohortRecord) -> View:
    """Each group that is large enough, and what is not shown."""
    rows = [
        {
            "column": column.column,
            "value": quoted(group.value),
            "cases": f"{grouped(group.num_positive)} / {grouped(group.num_negative)}",
            "metrics": [estimate_view(group.metrics[name]) for name in IN_SUBGROUPS],
        }
        for column in cohort.subgroups
        for group in column.groups
    ]
    return {**capped(rows, MOST_GROUPS), "notes": "; ".join(_group_notes(cohort))}


def _group_notes(cohort: CohortRecord) -> list[str]:
    notes = []
    for column in cohort.subgroups:
        if column.reason:
            notes.append(f"{column.column}: {said(column.reason)}")
        if column.groups and column.num_suppressed_values:
            words = _(
                "{num} smaller values ({cases})",
                num=column.num_suppressed_values,
                cases=num_cases(column.num_suppressed_cases),
            )
            notes.append(f"{column.column}: {words}")
        if column.groups and column.num_missing:
            words = _("{cases} without a value", cases=num_cases(column.num_missing))
            notes.append(f"{column.column}: {words}")
    return notes

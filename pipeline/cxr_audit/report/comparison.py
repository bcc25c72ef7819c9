"""Comparison -> the plain words and finished numbers that `compare.html.j2` sets.

All arithmetic and rounding happen here. Three decimals: a comparison exists to show small changes,
and each has its interval beside it. What is undefined keeps its reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from cxr_audit.records import (
    ChangedCase,
    ComparedRun,
    Comparison,
    Difference,
    Estimate,
    PairedMetric,
    Transition,
)
from cxr_audit.report.language import N_, _, current, grouped, in_line, plural, said
from cxr_audit.report.names import check_title, column_title, flag_title
from cxr_audit.report.words import (
    BANNER,
    CHECK_STATES,
    DASH,
    STATUSES,
    TRUST_WORDS,
    Rows,
    View,
    number,
    percent,
    quoted,
    score,
    sentence,
    signed,
    utc,
    w3c,
)
from cxr_audit.vocabulary import RUN_METRICS

PLOT = 100.0  # the picture's user units along each side
MOST_POINTS = 2000
MOST_ROWS = 60
DECIMALS = 3
PARTS = {"config": N_("config"), "model": N_("model"), "software": N_("software")}


def comparison_view(comparison: Comparison) -> View:
    """Everything that `compare.html.j2` prints."""
    a, b = comparison.a, comparison.b
    return {
        "language": current().code,
        "page": _("Page {page} of {pages}").replace("{pages}", "").split("{page}"),
        "banner": _(BANNER),
        "title": _("Comparison of run {a} with run {b}", a=_name(a, b), b=_name(b, a)),
        "a": _run(a),
        "b": _run(b),
        "created": w3c(b.started),
        "target": quoted(comparison.target_class),
        "summary": _summary(comparison),
        "cases": _cases(comparison),
        "differences": [_difference(difference) for difference in comparison.differences],
        "classes": _table(comparison.transitions.classes, quoted),
        "statuses": _table(comparison.transitions.statuses, lambda status: _(STATUSES[status])),
        "trust": _trust(comparison.transitions.trust),
        "flags": [
            {"name": flag_title(name), "counts": counts}
            for name, counts in comparison.transitions.flags.items()
        ],
        "checks": [
            {
                "name": check_title(name),
                "states": [_(CHECK_STATES[state]) if state else DASH for state in states],
            }
            for name, states in comparison.transitions.checks.items()
        ],
        "performance": _performance(comparison),
        "num_labelled": grouped(comparison.answers.num_labelled),
        "mcnemar": _mcnemar(comparison),
        "metrics": [_metric(metric) for metric in comparison.metrics if _is_measured(metric)],
        "plot": _plot(comparison),
        "changed": [_changed(case) for case in comparison.changed],
        "most_rows": MOST_ROWS,
        "method": sentence(said(comparison.method)),
        "patients": said(comparison.patients),
    }


def _name(run: ComparedRun, other: ComparedRun) -> str:
    """With its time where the other run has the same name."""
    return f"{run.name} ({utc(run.started)})" if run.name == other.name else run.name


def _run(run: ComparedRun) -> View:
    rows = [
        (_("Run"), run.name),
        (_("Started"), utc(run.started)),
        (_("Cases"), grouped(run.num_cases)),
        (_("Model"), run.model),
        (_("Model SHA-256"), run.model_sha256),
        (_("Config SHA-256"), run.config_sha256),
        (_("SHA-256 of SHA256SUMS"), run.sha256sums_sha256),
    ]
    return {"name": run.name, "rows": rows}


def _summary(comparison: Comparison) -> list[str]:
    moved = sum(case.is_another_class for case in comparison.changed)
    share = comparison.another_class
    counts = {"num": grouped(moved), "total": grouped(share.num_cases)}
    line = _("{num} of {total} cases audited in both runs changed class.", **counts)
    if share.value is not None:
        line = _(
            "{num} of {total} cases audited in both runs changed class ({share}; {interval}).",
            share=percent(share.value, 1),
            interval=_interval(share),
            **counts,
        )
    lines = [line]
    for metric in comparison.performance:
        if metric.metric == "auc" and metric.a is not None and metric.b is not None:
            words = _(
                "AUC {before} in A, {after} in B: change {change}.",
                before=score(metric.a, DECIMALS),
                after=score(metric.b, DECIMALS),
                change=_change(metric.change),
            )
            lines.append(words)
    changes = {metric.metric: metric.change for metric in comparison.metrics}
    if changes["probability"].value is not None:
        lines.append(_("Mean score: change {change}.", change=_change(changes["probability"])))
    num = len(comparison.differences)
    if not num:
        return [*lines, _("Config, model and software are the same.")]
    keys = plural("{num} key", "{num} keys", num)
    return [*lines, _("Different: {keys} of config, model and software.", keys=keys)]


def _cases(comparison: Comparison) -> Rows:
    matching = comparison.matching
    only = _("{a} in A, {b} in B", a=grouped(len(matching.only_a)), b=grouped(len(matching.only_b)))
    matched = _("{num} cases, by {key}", num=grouped(matching.num_matched), key=said(matching.by))
    return [
        (_("Matched"), matched),
        (_("In one run only"), only),
        (_("Matched, but files differ"), grouped(matching.num_other_bytes)),
        (_("Patients"), said(comparison.patients)),
    ]


def _difference(difference: Difference) -> View:
    return {
        "part": _(PARTS[difference.part]),
        "name": difference.name,
        "a": _plain(difference.a),
        "b": _plain(difference.b),
    }


def _plain(value: Any) -> str:
    if value is None:
        return DASH
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _table(steps: Sequence[Transition], words: Callable[[str], str]) -> View:
    """Rows: A, columns: B."""
    names = sorted({step.a for step in steps} | {step.b for step in steps})
    counts = {(step.a, step.b): step.num_cases for step in steps}
    rows = []
    for a in names:
        cells = [{"count": counts.get((a, b), 0), "is_same": a == b} for b in names]
        rows.append({"name": words(a), "cells": cells})
    return {"names": [words(name) for name in names], "rows": rows}


def _trust(steps: Sequence[Transition]) -> View | None:
    """None where neither run checked an explanation."""
    if all({step.a, step.b} == {"none"} for step in steps):
        return None
    return _table(steps, lambda state: _(TRUST_WORDS[state]))


def _performance(comparison: Comparison) -> list[View]:
    if not comparison.answers.num_labelled:
        return []
    return [_metric(metric) for metric in comparison.performance]


def _mcnemar(comparison: Comparison) -> str | None:
    answers = comparison.answers
    if answers.p_value is None:
        return None
    p_value = f"p = {number(answers.p_value, DECIMALS)}"
    if answers.p_value < 10**-DECIMALS:
        p_value = f"p < {number(10**-DECIMALS, DECIMALS)}"
    return _(
        "{gained} wrong in A and right in B, {lost} right in A and wrong in B, "
        "of {total} labelled cases; McNemar's exact test: {p_value}.",
        gained=grouped(answers.num_wrong_then_right),
        lost=grouped(answers.num_right_then_wrong),
        total=grouped(answers.num_labelled),
        p_value=p_value,
    )


def _is_measured(metric: PairedMetric) -> bool:
    return bool(metric.change.num_cases or metric.num_only_a or metric.num_only_b)


def _metric(metric: PairedMetric) -> View:
    is_score = metric.metric in RUN_METRICS or metric.metric in ("accuracy", "probability")
    form = score if is_score else number
    change = metric.change
    return {
        "name": _("Accuracy") if metric.metric == "accuracy" else column_title(metric.metric),
        "a": DASH if metric.a is None else form(metric.a, DECIMALS),
        "b": DASH if metric.b is None else form(metric.b, DECIMALS),
        "change": DASH if change.value is None else _signed(change.value),
        "interval": _between(change, is_change=True),
        "is_beyond": _is_beyond(change),
        "num_cases": change.num_cases,
        "only": [metric.num_only_a, metric.num_only_b],
    }


def _is_beyond(change: Estimate) -> bool:
    """The interval excludes 0, and the change can be seen in the decimals that are shown."""
    low, high = change.interval_95 or (0.0, 0.0)
    return low * high > 0 and float(f"{change.value:.{DECIMALS}f}") != 0


def _plot(comparison: Comparison) -> View:
    """The score of each case in A (across) and in B (up), in user units; y runs down."""
    scores = comparison.scores
    step = max(1, -(-len(scores) // MOST_POINTS))
    shown = scores[::step]
    a, b = comparison.a.threshold, comparison.b.threshold
    words = _("{num} of {total} cases", num=grouped(len(shown)), total=grouped(len(scores)))
    if a is not None and b is not None:
        thresholds = _("thresholds {a} in A and {b} in B", a=score(a), b=score(b))
        words = f"{words}; {thresholds}"
    return {
        "size": PLOT,
        "points": [{"x": round(PLOT * x, 2), "y": round(PLOT * (1 - y), 2)} for x, y in shown],
        "thresholds": _threshold_lines(a, b),
        "labels": _plot_labels(),
        "words": words,
    }


def _threshold_lines(a: float | None, b: float | None) -> list[View]:
    lines = []
    if a is not None:
        across = round(PLOT * a, 2)
        lines.append({"x1": across, "y1": 0, "x2": across, "y2": PLOT})
    if b is not None:
        down = round(PLOT * (1 - b), 2)
        lines.append({"x1": 0, "y1": down, "x2": PLOT, "y2": down})
    return lines


def _plot_labels() -> list[View]:
    return [
        {"x": 0, "y": 106, "anchor": "start", "text": "0"},
        {"x": 50, "y": 106, "anchor": "middle", "text": _("score in A")},
        {"x": PLOT, "y": 106, "anchor": "end", "text": "1"},
        {"x": -3, "y": PLOT, "anchor": "end", "text": "0"},
        {"x": -3, "y": 4, "anchor": "end", "text": "1"},
    ]


def _changed(case: ChangedCase) -> View:
    a, b = case.probability
    return {
        "case_id": case.case_id,
        "other_id": case.case_id_b if case.case_id_b != case.case_id else None,
        "label": case.label or "",
        "predicted": [name or DASH for name in case.predicted],
        "is_another_class": case.is_another_class,
        "outputs": [DASH if value is None else score(value) for value in (a, b)],
        "change": DASH if a is None or b is None else _signed(b - a),
        "notes": "; ".join(_notes(case)),
    }


def _notes(case: ChangedCase) -> list[str]:
    notes = []
    if case.status[0] != case.status[1]:
        before, after = (_(STATUSES[status]) for status in case.status)
        notes.append(_("{before}, then {after}", before=before, after=after))
    if case.trust[0] != case.trust[1]:
        before, after = (_(TRUST_WORDS[state or "none"]) for state in case.trust)
        notes.append(_("explanation checks {before}, then {after}", before=before, after=after))
    gone = [in_line(flag_title(name)) for name in case.flags_gone]
    new = [in_line(flag_title(name)) for name in case.flags_new]
    notes += [_("no longer: {flag}", flag=words) for words in gone]
    notes += [_("new: {flag}", flag=words) for words in new]
    return notes


def _change(estimate: Estimate) -> str:
    assert estimate.value is not None
    return f"{_signed(estimate.value)} ({_interval(estimate, is_change=True)})"


def _interval(estimate: Estimate, is_change: bool = False) -> str:
    words = _between(estimate, is_change)
    return words if estimate.interval_95 is None else _("95 % interval {ends}", ends=words)


def _between(estimate: Estimate, is_change: bool = False) -> str:
    """The ends of the interval, or why there is none."""
    if estimate.interval_95 is None:
        return said(estimate.reason or "")
    low, high = estimate.interval_95
    if is_change:
        return _("{low} to {high}", low=_signed(low), high=_signed(high))
    return _("{low} to {high}", low=percent(low, 1), high=percent(high, 1))


def _signed(value: float) -> str:
    return signed(value, DECIMALS)

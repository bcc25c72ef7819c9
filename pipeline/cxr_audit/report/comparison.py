"""Comparison -> the plain words and finished numbers that `compare.html.j2` sets.

All arithmetic and rounding happen here. Three decimals: a comparison exists to show small changes, and each has its
interval beside it. What is undefined keeps its reason.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from cxr_audit.glossary import FLAG_WORDS, GLOSSARY, OF_RUN, check_name
from cxr_audit.records import (
    ChangedCase,
    ComparedRun,
    Comparison,
    Difference,
    Estimate,
    PairedMetric,
    Transition,
)
from cxr_audit.report.language import said
from cxr_audit.report.words import (
    BANNER,
    CHECK_STATES,
    DASH,
    STATUS_WORDS,
    TRUST_WORDS,
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

PLOT = 100.0  # the picture's user units along each side
MOST_POINTS = 2000
MOST_ROWS = 60
DECIMALS = 3


def comparison_view(found: Comparison) -> View:
    """Everything that `compare.html.j2` prints."""
    return {
        "banner": BANNER,
        "title": f"Comparison of run {_name(found.a, found.b)} with run {_name(found.b, found.a)}",
        "a": _run(found.a),
        "b": _run(found.b),
        "created": w3c(found.b.started),
        "target": quoted(found.target_class),
        "summary": _summary(found),
        "cases": _cases(found),
        "differences": [_difference(one) for one in found.differences],
        "classes": _table(found.classes, quoted),
        "statuses": _table(found.statuses, lambda word: STATUS_WORDS[word]),
        "trust": _table(found.trust, lambda word: TRUST_WORDS[word])
        if _is_known(found.trust)
        else None,
        "flags": [
            {"name": FLAG_WORDS[name], "counts": counts} for name, counts in found.flags.items()
        ],
        "checks": [
            {
                "name": sentence(check_name(name)),
                "states": [CHECK_STATES[state] if state else DASH for state in states],
            }
            for name, states in found.checks.items()
        ],
        "performance": [_metric(one) for one in found.performance] if found.num_labelled else [],
        "num_labelled": found.num_labelled,
        "mcnemar": _mcnemar(found),
        "metrics": [
            _metric(one)
            for one in found.metrics
            if one.change.num_cases or one.num_only_a or one.num_only_b
        ],
        "plot": _plot(found),
        "changed": [_changed(case) for case in found.changed],
        "most_rows": MOST_ROWS,
        "method": sentence(said(found.method)),
        "patients": said(found.patients),
    }


def _name(one: ComparedRun, other: ComparedRun) -> str:
    """With its time where the other has the same name."""
    return f"{one.name} ({utc(one.started)})" if one.name == other.name else one.name


def _run(one: ComparedRun) -> View:
    return {
        "name": one.name,
        "rows": [
            ("Run", one.name),
            ("Started", utc(one.started)),
            ("Cases", str(one.num_cases)),
            ("Model", one.model),
            ("Model SHA-256", one.model_sha256),
            ("Config SHA-256", one.config_sha256),
            ("SHA-256 of SHA256SUMS", one.sha256sums_sha256),
        ],
    }


def _summary(found: Comparison) -> list[str]:
    moved = [case for case in found.changed if case.is_another_class]
    share = found.another_class
    lines = [
        f"{len(moved)} of {share.num_cases} cases audited in both runs changed class"
        + (f" ({percent(share.value, 1)}; {_interval(share)})." if share.value is not None else ".")
    ]
    auc = next((one for one in found.performance if one.metric == "auc"), None)
    if auc is not None and auc.change.value is not None and auc.a is not None and auc.b is not None:
        lines.append(
            f"AUC {score(auc.a, DECIMALS)} in A, {score(auc.b, DECIMALS)} in B: change {_change(auc.change)}."
        )
    output = next(one for one in found.metrics if one.metric == "probability")
    if output.change.value is not None:
        lines.append(f"Mean model output: change {_change(output.change)}.")
    num = len(found.differences)
    keys = f"{num} key{'s' * (num != 1)} of config, model and software"
    return [*lines, f"Different: {keys}." if num else "Config, model and software are the same."]


def _cases(found: Comparison) -> list[tuple[str, str]]:
    return [
        ("Matched", f"{found.num_matched} cases, by {said(found.matched_by)}"),
        ("In one run only", f"{len(found.only_a)} in A, {len(found.only_b)} in B"),
        ("Matched, but of other bytes", str(found.num_other_bytes)),
        ("Patients", said(found.patients)),
    ]


def _difference(one: Difference) -> View:
    return {"part": one.part, "name": one.name, "a": _plain(one.a), "b": _plain(one.b)}


def _plain(value: Any) -> str:
    if value is None:
        return DASH
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _table(steps: Sequence[Transition], word: Any) -> View:
    """Rows: A, columns: B."""
    names = sorted({step.a for step in steps} | {step.b for step in steps})
    counts = {(step.a, step.b): step.num_cases for step in steps}
    return {
        "names": [word(name) for name in names],
        "rows": [
            {
                "name": word(a),
                "cells": [{"count": counts.get((a, b), 0), "is_same": a == b} for b in names],
            }
            for a in names
        ],
    }


def _is_known(steps: Sequence[Transition]) -> bool:
    return any({step.a, step.b} != {"none"} for step in steps)


def _mcnemar(found: Comparison) -> str | None:
    if found.p_value is None:
        return None
    small = f"p < 0.{'0' * (DECIMALS - 1)}1"
    p_value = small if found.p_value < 10**-DECIMALS else f"p = {number(found.p_value, DECIMALS)}"
    return (
        f"{found.num_wrong_then_right} wrong in A and right in B, {found.num_right_then_wrong} right in A and wrong in "
        f"B, of {found.num_labelled} labelled cases; McNemar's exact test: {p_value}."
    )


def _metric(one: PairedMetric) -> View:
    form = score if one.metric in (*OF_RUN, "probability") else number
    return {
        "name": GLOSSARY[one.metric].title,
        "a": DASH if one.a is None else form(one.a, DECIMALS),
        "b": DASH if one.b is None else form(one.b, DECIMALS),
        "change": DASH if one.change.value is None else _signed(one.change.value),
        "interval": one.change.reason
        if one.change.interval_95 is None
        else _between(one.change, is_change=True),
        "is_beyond": _is_beyond(one.change),
        "num_cases": one.change.num_cases,
        "only": [one.num_only_a, one.num_only_b],
    }


def _is_beyond(change: Estimate) -> bool:
    """The interval does not hold 0, and the change can be seen in the decimals that are shown."""
    low, high = change.interval_95 or (0.0, 0.0)
    return low * high > 0 and float(f"{change.value:.{DECIMALS}f}") != 0


def _plot(found: Comparison) -> View:
    """The output of each case in A (across) and in B (up), in user units of the picture; y runs down."""
    step = max(1, -(-len(found.scores) // MOST_POINTS))
    shown = found.scores[::step]
    one, two = found.thresholds
    return {
        "size": PLOT,
        "points": [{"x": round(PLOT * a, 2), "y": round(PLOT * (1 - b), 2)} for a, b in shown],
        "thresholds": [
            *(
                []
                if one is None
                else [{"x1": round(PLOT * one, 2), "y1": 0, "x2": round(PLOT * one, 2), "y2": PLOT}]
            ),
            *(
                []
                if two is None
                else [{"x1": 0, "y1": (y := round(PLOT * (1 - two), 2)), "x2": PLOT, "y2": y}]
            ),
        ],
        "labels": [
            {"x": x, "y": y, "anchor": anchor, "text": text}
            for x, y, anchor, text in (
                *(
                    (0, 106, "start", "0"),
                    (50, 106, "middle", "output in A"),
                    (PLOT, 106, "end", "1"),
                ),
                *((-3, PLOT, "end", "0"), (-3, 4, "end", "1")),
            )
        ],
        "words": f"{len(shown)} of {len(found.scores)} cases"
        + (
            f"; thresholds {score(one)} in A and {score(two)} in B"
            if one is not None and two is not None
            else ""
        ),
    }


def _changed(case: ChangedCase) -> View:
    one, two = case.probability
    flags = [f"no longer {FLAG_WORDS[name].lower()}" for name in case.flags_gone]
    flags += [f"now {FLAG_WORDS[name].lower()}" for name in case.flags_new]
    words = []
    if case.status[0] != case.status[1]:
        words.append(f"{STATUS_WORDS[case.status[0]]}, then {STATUS_WORDS[case.status[1]]}")
    if case.trust[0] != case.trust[1]:
        words.append(
            "trust " + ", then ".join(TRUST_WORDS[state or "none"] for state in case.trust)
        )
    return {
        "case_id": case.case_id,
        "other_id": case.case_id_b if case.case_id_b != case.case_id else None,
        "label": case.label or "",
        "predicted": [name or DASH for name in case.predicted],
        "is_another_class": case.is_another_class,
        "outputs": [DASH if value is None else score(value) for value in (one, two)],
        "change": DASH if one is None or two is None else _signed(two - one),
        "notes": "; ".join([*words, *flags]),
    }


def _change(one: Estimate) -> str:
    assert one.value is not None
    return f"{_signed(one.value)} ({_interval(one, is_change=True)})"


def _interval(one: Estimate, is_change: bool = False) -> str:
    return (
        said(one.reason or "")
        if one.interval_95 is None
        else f"95 % interval {_between(one, is_change)}"
    )


def _between(one: Estimate, is_change: bool = False) -> str:
    if one.interval_95 is None:
        return said(one.reason or "")
    return " to ".join(_signed(end) if is_change else percent(end, 1) for end in one.interval_95)


def _signed(value: float) -> str:
    return signed(value, DECIMALS)

"""What the output depends on over the run: factors by their effect, in words and counts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cxr_audit.records import Check, CohortRecord
from cxr_audit.report.language import N_, _, grouped, said
from cxr_audit.report.names import check_meaning, check_title
from cxr_audit.report.words import CHECK_STATES, DASH, View, full_stop, number, sentence

VERDICTS = {
    "uses": N_("uses it"),
    "not_used": N_("does not use it"),
    "undecided": N_("undecided"),
    "not_examined": N_("not examined"),
}


def dependence_rows(cohort: CohortRecord) -> list[View]:
    """Each check over the run: state, share, limit and what it means."""
    return [_dependence(check) for check in cohort.dependence]


def _dependence(check: Check) -> View:
    meaning = full_stop(check_meaning(check))
    if check.state != "passed" and check.reason:
        meaning += " " + full_stop(said(check.reason))
    return {
        "name": check_title(check.name),
        "meaning": meaning,
        "state": _(CHECK_STATES[check.state]),
        "value": DASH if check.value is None else number(check.value),
        "limit": said(check.limit) or DASH,
    }


def factor_rows(factors: Iterable[Any]) -> list[View]:
    """The factors of `cohort.json`, the most important first, and those not examined.

    Parameters
    ----------
    factors : each with `factor`, `verdict`, `effect`, `unit`, `interval_95`, `num_cases`,
        `num_patients` and `reason`.
    """
    return [_factor(found) for found in factors]


def _factor(found: Any) -> View:
    effect = DASH
    if found.effect is not None:
        effect = f"{number(found.effect)} {said(found.unit) or ''}".rstrip()
    interval = DASH
    if found.interval_95 is not None:
        low, high = found.interval_95
        interval = _("{low} to {high}", low=number(low), high=number(high))
    return {
        "name": sentence(said(found.factor)),
        "verdict": _(VERDICTS.get(found.verdict, found.verdict)),
        "effect": effect,
        "interval": interval,
        "basis": f"{grouped(found.num_cases)} / {grouped(found.num_patients)}",
        "reason": full_stop(said(found.reason)) if found.reason else "",
    }

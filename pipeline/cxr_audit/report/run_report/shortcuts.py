"""Checks over the run of markers, border and brightness, in words."""

from __future__ import annotations

from cxr_audit.records import Check, CohortRecord
from cxr_audit.report.language import _, said
from cxr_audit.report.names import check_meaning, check_title
from cxr_audit.report.words import CHECK_STATES, DASH, View, full_stop, number


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

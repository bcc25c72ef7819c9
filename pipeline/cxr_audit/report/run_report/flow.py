"""Case flow: how many radiographs there were, and what became of them."""

from __future__ import annotations

from collections.abc import Sequence

from cxr_audit.records import CaseRecord, CohortRecord, RunRecord
from cxr_audit.report.language import _, grouped
from cxr_audit.report.words import Rows


def case_flow(cases: Sequence[CaseRecord], run: RunRecord, cohort: CohortRecord) -> Rows:
    """Stages in order with their numbers; each stage is part of the one above it."""
    found = run.cases.num_found or len(cases)
    labelled = sum(cohort.outcomes.values())
    unlabelled = cohort.cases.statuses["ok"] - labelled
    chosen = grouped(len(cases))
    if run.cases.num_found:
        chosen = _("{num}, evenly spaced (--limit)", num=chosen)
    return [
        (_("Radiographs found"), grouped(found)),
        (_("Chosen for this run"), chosen),
        (_("Failed: could not be read or computed"), grouped(cohort.cases.statuses["failed"])),
        (_("Excluded: not fit to be audited"), grouped(cohort.cases.statuses["excluded"])),
        (_("Audited"), grouped(cohort.cases.statuses["ok"])),
        (_("Without a label, in no figure of performance"), grouped(unlabelled)),
        (_("With a label: these make the figures"), grouped(labelled)),
        (_("Answered wrongly"), grouped(_wrong(cohort))),
    ]


def _wrong(cohort: CohortRecord) -> int:
    return cohort.outcomes["false_positive"] + cohort.outcomes["false_negative"]

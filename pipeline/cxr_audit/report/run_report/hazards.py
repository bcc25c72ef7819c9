"""Section 2: what may go wrong, what this run checked, and what it found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from cxr_audit.records import AuditedCase, CaseRecord, CohortRecord, RunRecord, audited
from cxr_audit.report.language import N_, _, grouped, in_line
from cxr_audit.report.names import flag_title
from cxr_audit.report.run_report.estimates import known_figures, num_cases
from cxr_audit.report.words import CHECK_STATES, View
from cxr_audit.vocabulary import FLAGS

# part that was replaced -> what is unexpected for a classifier that uses the lungs
UNEXPECTED = {
    "lungs": N_("class unchanged with the lungs masked"),
    "all but the lungs": N_("class changed with all but the lungs masked"),
    "border": N_("class changed with the border masked"),
    "marker": N_("class changed with a marker masked"),
}


def hazard_rows(cases: Sequence[CaseRecord], run: RunRecord, cohort: CohortRecord) -> list[View]:
    """Hazard, check and result; a result of None was not measured."""
    done, metrics = audited(cases), cohort.metrics
    rows = (
        (
            _("The file is not a usable frontal radiograph"),
            _("reading, checks of the input"),
            _unreadable(cases, cohort),
        ),
        (
            _("Grey values differ from those of the training data"),
            _("decisions and warnings of ingestion"),
            _warned(cases),
        ),
        (
            _("The output is wrong"),
            _("sensitivity, specificity"),
            known_figures(metrics, ("sensitivity", "specificity")),
        ),
        (
            _("The output is not calibrated"),
            _("calibration error"),
            known_figures(metrics, ("ece",)),
        ),
        (
            _("Performance is worse for some patients"),
            _("subgroups of the config"),
            _subgroups(cohort),
        ),
        (
            _("The output depends on a shortcut instead of the lungs"),
            _("evidence in lungs, border, markers; image brightness"),
            _flagged(done),
        ),
        (
            _("The output does not depend on the lungs"),
            _("masking"),
            _masked(done),
        ),
        (
            _("The map does not show what the model used"),
            _("sum of the map compared with the logit; explanation checks"),
            _explained(done, run),
        ),
        (
            _("The same input gives another output"),
            _("repeated inference, bit by bit"),
            _repeated(run),
        ),
        (
            _("The model or the files are exchanged later"),
            _("SHA-256 of the model and of every file"),
            _("in run.json and SHA256SUMS"),
        ),
        (
            _("A patient can be recognised"),
            _("pseudonyms, allow-list of attributes"),
            _("names stay in private/"),
        ),
    )
    return [{"hazard": hazard, "check": check, "result": result} for hazard, check, result in rows]


def _unreadable(cases: Sequence[CaseRecord], cohort: CohortRecord) -> str:
    words = _(
        "{failed} failed, {excluded} excluded of {total}",
        failed=grouped(cohort.cases.statuses["failed"]),
        excluded=grouped(cohort.cases.statuses["excluded"]),
        total=grouped(len(cases)),
    )
    if not any(case.quality for case in cases):
        return words
    failing = sum(any(check.state == "failed" for check in case.quality) for case in cases)
    return f"{words}; " + _("{num} failed a check of the input", num=grouped(failing))


def num_warned(cases: Sequence[CaseRecord]) -> int:
    """Radiographs that were read with a warning."""
    return sum(bool(case.radiograph and case.radiograph.warnings) for case in cases)


def _warned(cases: Sequence[CaseRecord]) -> str:
    values = {"num": grouped(num_warned(cases)), "total": grouped(len(cases))}
    return _("{num} of {total} with a warning", **values)


def _subgroups(cohort: CohortRecord) -> str | None:
    shown = sum(len(column.groups) for column in cohort.subgroups)
    hidden = sum(column.num_suppressed_values for column in cohort.subgroups)
    if not shown and not hidden:
        return None
    return _("{shown} groups shown, {hidden} too small to show", shown=shown, hidden=hidden)


def _flagged(cases: Sequence[AuditedCase]) -> str | None:
    """How many cases are flagged, of those in which each flag could be assessed."""
    if not any(case.flags.raised or case.flags.undefined for case in cases):
        return None
    words = []
    for row in FLAGS:
        if row.checks or not row.limits or row.key == "near_threshold":
            continue
        assessed = [case for case in cases if row.key not in case.flags.undefined]
        raised = sum(row.key in case.flags.names for case in assessed)
        values = {"num": grouped(raised), "total": grouped(len(assessed))}
        words.append(_("{flag}: {num} of {total}", flag=in_line(flag_title(row.key)), **values))
    return "; ".join(words)


def _masked(cases: Sequence[AuditedCase]) -> str | None:
    """By part: how many maskings are unexpected, of those that can say something."""
    masked = [case for case in cases if case.probes.masking]
    if not masked:
        return None
    answers: dict[str, list[bool]] = {part: [] for part in UNEXPECTED}
    for case in masked:
        for masking in case.probes.masking:
            if masking.is_bad_news is not None:
                part = masking.removed if masking.removed in UNEXPECTED else "marker"
                answers[part].append(masking.is_bad_news)
    words = [_("{num} of {total} masked", num=len(masked), total=num_cases(len(cases)))]
    for part, is_bad in answers.items():
        if is_bad:
            values = {"num": grouped(sum(is_bad)), "total": grouped(len(is_bad))}
            words.append(_("{what}: {num} of {total}", what=_(UNEXPECTED[part]), **values))
    return "; ".join(words)


def _explained(cases: Sequence[AuditedCase], run: RunRecord) -> str | None:
    words = []
    maps = [case.first_map.facts for case in cases if case.first_map]
    gaps = [abs(facts.gap) for facts in maps if facts.gap is not None]
    if gaps:
        words.append(_("largest difference to the logit {gap}", gap=f"{max(gaps):.0e}"))
    if run.calibration.checks:
        states = Counter[str](check.state for check in run.calibration.checks)
        counts = [
            f"{states[state]} {_(words)}"
            for state, words in CHECK_STATES.items()
            if states[state] or state != "undecided"  # what only a check of the run can be
        ]
        words.append(_("checks: {counts}", counts=", ".join(counts)))
    return "; ".join(words) or None


def _repeated(run: RunRecord) -> str | None:
    results = {True: _("identical results"), False: _("different results")}
    repeated = run.model.is_deterministic
    return None if repeated is None else results[repeated]

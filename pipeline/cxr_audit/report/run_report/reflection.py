"""What stays open before a decision, and what later runs should be compared with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import median

from cxr_audit.records import (
    AuditedCase,
    CaseRecord,
    CohortRecord,
    ProtocolRecord,
    RunRecord,
    audited,
)
from cxr_audit.report.language import _, grouped
from cxr_audit.report.names import check_label
from cxr_audit.report.run_report.estimates import known_figures, num_cases, share_of
from cxr_audit.report.run_report.hazards import num_warned
from cxr_audit.report.words import (
    OUTCOMES,
    View,
    calibrated_before,
    number,
    quoted,
    score,
)

MOST_RUNS = 5
MANY = 20
"""Cases of a class below which a share is known to no better than about 0.2."""


def open_points(
    cases: Sequence[CaseRecord],
    run: RunRecord,
    cohort: CohortRecord,
    protocol: ProtocolRecord | None = None,
) -> list[str]:
    """What this run leaves open, each by rule.

    Parameters
    ----------
    cases, run, cohort : of the run.
    protocol : what was fixed before data were seen.
    """
    done = audited(cases)
    points = (
        _of_protocol(run, protocol),
        _of_checks(done, cases, run, cohort),
        _of_cases(cases, run, cohort),
        _of_labels(done, cohort),
        _of_model(done, run, cohort),
    )
    return [point for group in points for point in group]


def _of_protocol(run: RunRecord, protocol: ProtocolRecord | None) -> Iterator[str]:
    sealed = protocol.sealed if protocol else None
    if sealed is None:
        yield _("No protocol was sealed: the criteria may have been set after data were seen.")
    elif sealed.created > run.started:
        yield _("The protocol was sealed after the run started.")
    if protocol and protocol.earlier:
        names = ", ".join(one.name for one in protocol.earlier[:MOST_RUNS])
        yield _("Earlier runs saw the same files: {names}.", names=names)
    if run.software.code is not None and run.software.code.changed:
        yield _("The code was edited after it was installed or committed.")


def _of_checks(
    done: Sequence[AuditedCase],
    cases: Sequence[CaseRecord],
    run: RunRecord,
    cohort: CohortRecord,
) -> Iterator[str]:
    failed = [
        check_label(check.name) for check in run.calibration.checks if check.state == "failed"
    ]
    if failed:
        names = ", ".join(failed)
        yield _("Failed checks of the model's explanations: {names}.", names=names)
    depends = [check_label(check.name) for check in cohort.dependence if check.state == "failed"]
    if depends:
        yield _("Failed checks over the whole run: {names}.", names=", ".join(depends))
    mistrusted = num_not_interpretable(done)
    if mistrusted:
        yield _("Maps that must not be interpreted: {cases}.", cases=num_cases(mistrusted))
    unfit = sum(any(check.state == "failed" for check in case.quality) for case in cases)
    if unfit:
        yield _("Failed a check of the input: {cases}.", cases=num_cases(unfit))
    flagged = sum(bool(case.flags.raised) for case in done)
    if flagged:
        yield _("Flagged: {cases}.", cases=num_cases(flagged))


def _of_cases(cases: Sequence[CaseRecord], run: RunRecord, cohort: CohortRecord) -> Iterator[str]:
    if run.cases.num_found:
        yield _(
            "{num} of {found} available radiographs were audited (evenly spaced, --limit).",
            num=grouped(len(cases)),
            found=grouped(run.cases.num_found),
        )
    if not cohort.cases.statuses["ok"]:
        yield _("No case was audited.")
    failed = cohort.cases.statuses["failed"]
    if failed:
        words = num_cases(failed)
        yield _("Failed, and part of no figure: {cases}; see cases.csv.", cases=words)


def _of_labels(done: Sequence[AuditedCase], cohort: CohortRecord) -> Iterator[str]:
    outcomes, target = cohort.outcomes, quoted(cohort.target_class) or ""
    positive = outcomes["true_positive"] + outcomes["false_negative"]
    negative = outcomes["true_negative"] + outcomes["false_positive"]
    if done and not positive + negative:
        yield _("No audited case has a label: performance, calibration and errors are not known.")
    if positive + negative and positive < MANY:
        values = {"num": grouped(positive), "target": target}
        yield _("Only {num} positives ({target}): sensitivity is imprecise.", **values)
    if positive + negative and negative < MANY:
        yield _("Only {num} negatives: specificity is imprecise.", num=grouped(negative))
    if cohort.cases.num_of_known_patients != sum(cohort.cases.statuses.values()):
        yield _("Patients are not known for all cases: intervals may be too narrow.")
    ece, limit = cohort.metrics["ece"].value, cohort.reliability.ece_if_calibrated
    if ece is not None and limit is not None and ece > limit:
        yield _("The calibration error is larger than that of a calibrated model.")
    if not any(column.groups for column in cohort.subgroups):
        yield _("No subgroup is large enough: performance across groups is not known.")
    if not cohort.acceptance:
        yield _("No acceptance criterion was set.")


def _of_model(done: Sequence[AuditedCase], run: RunRecord, cohort: CohortRecord) -> Iterator[str]:
    missing = sum("lungs" in case.regions.missing for case in done)
    if missing:
        words = num_cases(missing)
        yield _("Lungs not found, and part of no lung metric: {cases}.", cases=words)
    if run.model.card is None:
        yield _("The model has no model card: intended use and population are not known.")
    if not run.config.get("preprocess", {}).get("scaling_source"):
        yield _("The source of the value range is not stated (preprocess.scaling_source).")
    if not run.calibration.checks and not any(case.trust for case in done):
        yield _("The explanations were not checked.")
    for words in calibrated_before(run):
        yield _("The checks of the model and the colour scale were {when}.", when=words)
    if run.model.is_deterministic is False:
        yield _("Repeated inference gives different results.")
    if not any(case.probes.masking or case.probes.exposure for case in done):
        yield _("Robustness to changes of the input was not measured.")
    yield _("Human-AI performance was not assessed.")


def num_not_interpretable(cases: Sequence[AuditedCase]) -> int:
    """Cases whose explanation must not be interpreted."""
    states = [case.trust.state for case in cases if case.trust]
    return states.count("not_interpretable")


# ---- monitoring


def monitoring(cases: Sequence[CaseRecord], cohort: CohortRecord) -> list[View]:
    """What later runs and the site should compare with this one."""
    done = audited(cases)
    scores = [case.prediction.probability for case in done]
    called = sum(case.prediction.predicted == cohort.target_class for case in done)
    stopped = cohort.cases.statuses["failed"] + cohort.cases.statuses["excluded"]
    target = quoted(cohort.target_class) or _("the target class")
    in_cohort = _("cohort.json, once labels are known")
    trust = None
    if any(case.trust for case in done):
        trust = share_of(num_not_interpretable(done), len(done))
    rows = (
        (_("Files not audited"), share_of(stopped, len(cases)), "cases.csv"),
        (
            _("Radiographs with a warning"),
            share_of(num_warned(cases), len(cases)),
            "case.json",
        ),
        (
            _("Predicted {target}", target=target),
            share_of(called, len(done)),
            _("cases.csv: predicted; changes before labels arrive"),
        ),
        (
            _("Median output"),
            score(median(scores)) if scores else None,
            "cases.csv: probability",
        ),
        (
            _("Sensitivity, specificity"),
            known_figures(cohort.metrics, ("sensitivity", "specificity")),
            in_cohort,
        ),
        (_("Calibration error"), known_figures(cohort.metrics, ("ece",)), in_cohort),
        (
            _("Median evidence in the lungs relative to their area"),
            _medians(cohort, "lungs_enrichment"),
            "cases.csv: lungs_enrichment",
        ),
        (_("Maps that must not be interpreted"), trust, "case.json: trust"),
    )
    return [{"name": name, "value": value, "where": where} for name, value, where in rows]


def _medians(cohort: CohortRecord, metric: str) -> str | None:
    """By outcome, where it is defined."""
    words = [
        f"{_(OUTCOMES[found.outcome])} {number(found.quantiles[3])}"
        for found in cohort.distributions
        if found.metric == metric and found.quantiles
    ]
    return ", ".join(words) or None

"""Criteria, metrics and cases -> which criteria a run meets.

What is undefined never helps: a metric without a value, or without the bound that is compared, is
not met, with its reason; a case whose number is undefined does not count towards a share that has
to be large, and does count towards one that has to be small. A share of masking is of the masked
cases, one of an annotation of the annotated ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxr_audit.cohort.cases import OF_STATUS
from cxr_audit.cohort.columns import Cases
from cxr_audit.cohort.intervals import Bools, Resampling
from cxr_audit.config import Acceptance, Criterion
from cxr_audit.records import Check, CountedReason, CriterionResult, Estimate
from cxr_audit.vocabulary import FLAGS, RUN_METRICS, TRUST_CHECKS, Message, message
from cxr_audit.vocabulary.checks import criteria_of_model
from cxr_audit.vocabulary.names import flag_column, of_map, of_masking, of_regions

STATUSES = {"failed": "cohort.share_failed", "excluded": "cohort.share_excluded"}
BOUNDS = {"lower": "cohort.lower_end", "upper": "cohort.upper_end"}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What criteria are judged by.

    Parameters
    ----------
    metrics : of the run, by key.
    cases : all cases of the run.
    groups : which of them, by the names of `Criterion.cases`; (N,) each.
    resampling : draws the patients of some cases, (N,).
    checks : of the model and of the run.
    """

    metrics: Mapping[str, Estimate]
    cases: Cases
    groups: Mapping[str, Bools]
    resampling: Callable[[Bools], Resampling]
    checks: Sequence[Check] = ()


def judge(acceptance: Acceptance, evidence: Evidence) -> tuple[CriterionResult, ...]:
    """Each criterion with what was found."""
    results: list[CriterionResult] = []
    for criterion in acceptance.criteria:
        if criterion.metric in criteria_of_model():
            results.append(_of_model(criterion.metric, evidence.checks))
        elif criterion.metric in evidence.metrics:
            results.append(_result(criterion, evidence.metrics[criterion.metric], ()))
        else:
            results.append(_of_share(criterion, evidence))
    return tuple(results)


def _of_model(name: str, checks: Sequence[Check]) -> CriterionResult:
    """Whether a check of the model was passed. One that was not run is not."""
    check = next((check for check in checks if check.name == name), None)
    if check is None:
        check = Check(name, "not_run", reason=message("cohort.check_not_made"))
    reason = check.reason or message("cohort.single_check")
    return CriterionResult(
        message("cohort.check_of_model", check=TRUST_CHECKS[name].label),
        check.state == "passed",
        Estimate(check.value, 0, 0, reason=reason),
        reason=check.reason if check.state == "not_run" else None,
        metric=name,
        limit=message("cohort.passed"),
    )


def _of_share(criterion: Criterion, evidence: Evidence) -> CriterionResult:
    """A criterion that is a share of cases."""
    name, cases = criterion.metric, evidence.cases
    if name in OF_STATUS:
        among = np.ones(len(cases), bool)
        hits, undefined = _status(cases, name), np.zeros(len(cases), bool)
    else:
        among = evidence.groups[criterion.cases] & cases.in_share(name)
        hits, undefined = _hits(criterion, cases), ~cases.is_defined(name) & among
    missing = message("cohort.no_such_case", cases=_cases_name(criterion))
    draws = evidence.resampling(among)
    everyone = np.ones(int(among.sum()), bool)
    estimate = draws.share(hits[among], everyone, missing)
    if among.any() and undefined[among].all():
        reason = message("cohort.undefined_in_every_case")
        estimate = Estimate(None, estimate.num_cases, estimate.num_patients, reason=reason)
    reasons = cases.undefined(name, among) if name not in OF_STATUS else ()
    return _result(criterion, estimate, reasons)


def _status(cases: Cases, name: str) -> Bools:
    return np.array([case.status == name for case in cases.summaries], bool)


def _hits(criterion: Criterion, cases: Cases) -> Bools:
    """Cases for which the condition holds; an undefined one counts against the criterion."""
    values = cases.values(criterion.metric)
    with np.errstate(invalid="ignore"):
        if criterion.above is not None:
            hits = values > criterion.above
        elif criterion.below is not None:
            hits = values < criterion.below
        else:
            hits = values == 1
    if criterion.share_at_most is not None:
        hits = hits | ~cases.is_defined(criterion.metric)
    return np.asarray(hits, bool)


def _result(
    criterion: Criterion, estimate: Estimate, undefined: tuple[CountedReason, ...]
) -> CriterionResult:
    number = bound_of(estimate, criterion.bound)
    is_lowest, limit = limit_of(criterion)
    is_met = number is not None and (number >= limit if is_lowest else number <= limit)
    return CriterionResult(
        criterion_text(criterion),
        is_met,
        estimate,
        undefined,
        reason=estimate.reason if number is None else None,
        metric=criterion.metric,
        limit=message("cohort.at_least" if is_lowest else "cohort.at_most", limit=limit),
        limit_value=limit,
        bound=criterion.bound,
    )


def bound_of(estimate: Estimate, bound: str) -> float | None:
    """The estimate, or an end of its interval."""
    if bound == "estimate":
        return estimate.value
    if estimate.interval_95 is None:
        return None
    return estimate.interval_95[0 if bound == "lower" else 1]


def limit_of(criterion: Criterion) -> tuple[bool, float]:
    """Whether it is the lowest number that is good enough, or the highest; and which."""
    for limit in (criterion.at_least, criterion.share_at_least):
        if limit is not None:
            return True, limit
    for limit in (criterion.at_most, criterion.share_at_most):
        if limit is not None:
            return False, limit
    raise ValueError(f"the criterion {criterion.metric} has no limit")


def criterion_text(criterion: Criterion) -> Message:
    """For example "share of true positive cases with evidence in the lungs ... above 1.5"."""
    text = _without_bound(criterion)
    if criterion.bound in BOUNDS:
        return message(BOUNDS[criterion.bound], criterion=text)
    return text


def _without_bound(criterion: Criterion) -> Message:
    name, cases = criterion.metric, _cases_name(criterion)
    if name in RUN_METRICS:
        return message("cohort.metric", metric=RUN_METRICS[name].label)
    if name in STATUSES:
        return message(STATUSES[name], cases=cases)
    for flag in FLAGS:
        if name == flag_column(flag.key):
            return message("cohort.share_flagged", cases=cases, flag=flag.label)
    label = column_label(name)
    if criterion.above is not None:
        limit = criterion.above
        return message("cohort.share_above", cases=cases, metric=label, limit=limit)
    if criterion.below is not None:
        limit = criterion.below
        return message("cohort.share_below", cases=cases, metric=label, limit=limit)
    return message("cohort.share_with", cases=cases, metric=label)


def column_label(name: str) -> str:
    """A number or fact of a case in words."""
    if name == "trust_passed":
        return "trust state passed"
    return (of_map() | of_regions() | of_masking())[name].label


def _cases_name(criterion: Criterion) -> Message:
    code = "all_cases" if criterion.cases == "all" else criterion.cases
    return message(f"cohort.{code}")

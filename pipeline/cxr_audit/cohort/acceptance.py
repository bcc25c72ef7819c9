"""Criteria, metrics and cases -> which criteria a run meets.

met           the interval lies on the right side of the limit
not met       it lies on the wrong side
undecided     it holds the limit: too few cases, and the record says how many are needed
not examined  there is no value, with the reason; or the check was not run

By default the less favourable end of the interval decides: the lower one for "at least", the
upper one for "at most". A criterion may name another `bound`; the estimate, or the favourable
end, decides without a third answer. A share is of the cases that could be assessed; the others
are counted beside it. A share of masking is of the masked cases, one of an annotation of the
annotated ones. How many cases fail or are excluded is a count of this run: there, the estimate
decides by default.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxr_audit.cohort.cases import OF_STATUS
from cxr_audit.cohort.columns import Cases
from cxr_audit.cohort.intervals import MIN_PATIENTS, Bools, Resampling
from cxr_audit.cohort.shares import number_of, number_that_excludes
from cxr_audit.config import Acceptance, Criterion
from cxr_audit.records import (
    Bound,
    Check,
    CheckState,
    CountedReason,
    CriterionResult,
    CriterionState,
    Estimate,
)
from cxr_audit.vocabulary import FLAGS, RUN_METRICS, TRUST_CHECKS, Message, message
from cxr_audit.vocabulary.checks import criteria_of_model
from cxr_audit.vocabulary.names import flag_column, of_map, of_masking, of_regions

STATUSES = {"failed": "cohort.share_failed", "excluded": "cohort.share_excluded"}
BOUNDS = {"lower": "cohort.lower_end", "upper": "cohort.upper_end"}
STATES_OF_CHECKS: dict[CheckState, CriterionState] = {
    "passed": "met",
    "failed": "not_met",
    "undecided": "undecided",
    "not_run": "not_examined",
}


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
            results.append(_of_model(criterion, evidence.checks))
        elif criterion.metric in evidence.metrics:
            results.append(_result(criterion, evidence.metrics[criterion.metric], ()))
        else:
            results.append(_of_share(criterion, evidence))
    return tuple(results)


def _of_model(criterion: Criterion, checks: Sequence[Check]) -> CriterionResult:
    """Whether a check of the model or of the run was passed."""
    name = criterion.metric
    check = next((check for check in checks if check.name == name), None)
    if check is None:
        check = Check(name, "not_run", reason=message("cohort.check_not_made"))
    missing = None if check.interval_95 else check.reason or message("cohort.single_check")
    state = STATES_OF_CHECKS[check.state]
    return CriterionResult(
        criterion_text(criterion),
        state == "met",
        Estimate(check.value, 0, 0, check.interval_95, missing),
        reason=check.reason if state in ("undecided", "not_examined") else None,
        metric=name,
        limit=message("cohort.passed"),
        state=state,
    )


def _of_share(criterion: Criterion, evidence: Evidence) -> CriterionResult:
    """A criterion that is a share of cases."""
    name, cases = criterion.metric, evidence.cases
    if name in OF_STATUS:
        judged = np.ones(len(cases), bool)
        hits = np.array([case.status == name for case in cases.summaries], bool)
        undefined: tuple[CountedReason, ...] = ()
    else:
        among = evidence.groups[criterion.cases] & cases.in_share(name)
        judged = among & cases.is_defined(name)
        hits = _hits(criterion, cases)
        undefined = cases.undefined(name, among)
    code = "cohort.undefined_in_every_case" if undefined else "cohort.no_such_case"
    missing = message(code, cases=_cases_name(criterion))
    everyone = np.ones(int(judged.sum()), bool)
    estimate = evidence.resampling(judged).share(hits[judged], everyone, missing)
    return _result(criterion, estimate, undefined)


def _hits(criterion: Criterion, cases: Cases) -> Bools:
    """Cases for which the condition holds; never an undefined one."""
    values = cases.values(criterion.metric)
    if criterion.above is not None:
        return np.asarray(values > criterion.above)
    if criterion.below is not None:
        return np.asarray(values < criterion.below)
    return np.asarray(values == 1)


def _result(
    criterion: Criterion, estimate: Estimate, undefined: tuple[CountedReason, ...]
) -> CriterionResult:
    """What an estimate says about a criterion."""
    requirement = Requirement.of(criterion)
    state = requirement.state(estimate)
    num_needed, reason = None, None
    if state == "not_examined":
        reason = estimate.reason
    elif state == "undecided":
        num_needed = requirement.num_needed(estimate)
        reason = _why_undecided(requirement, estimate, num_needed)
    code = "cohort.at_least" if requirement.is_lowest else "cohort.at_most"
    return CriterionResult(
        criterion_text(criterion),
        state == "met",
        estimate,
        undefined,
        reason=reason,
        metric=criterion.metric,
        limit=message(code, limit=requirement.limit),
        limit_value=requirement.limit,
        bound=requirement.bound,
        state=state,
        num_needed=num_needed,
    )


def _why_undecided(requirement: Requirement, estimate: Estimate, num_needed: int | None) -> Message:
    if num_needed is None:
        return message("cohort.never_decided", limit=requirement.limit)
    if estimate.interval_95 is None:
        reason = estimate.reason or ""
        return message("cohort.no_interval", reason=reason, needed=num_needed)
    low, high = estimate.interval_95
    return message(
        "cohort.undecided", low=low, high=high, limit=requirement.limit, needed=num_needed
    )


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a number has to be.

    Parameters
    ----------
    limit : the number.
    is_lowest : it is the lowest number that is good enough, else the highest.
    bound : what of an estimate is compared with it.
    metric : whose estimate it is.
    """

    limit: float
    is_lowest: bool
    bound: Bound
    metric: str

    @classmethod
    def of(cls, criterion: Criterion) -> Requirement:
        """By the config; the bound is by default the less favourable end of the interval."""
        is_lowest, limit = limit_of(criterion)
        bound = criterion.bound
        if bound is None:
            bound = "lower" if is_lowest else "upper"
            if criterion.metric in OF_STATUS:
                bound = "estimate"
        return cls(limit, is_lowest, bound, criterion.metric)

    def state(self, estimate: Estimate) -> CriterionState:
        """Met, not met, undecided or not examined."""
        if estimate.value is None:
            return "not_examined"
        if self.bound == "estimate":
            return "met" if self._is_good(estimate.value) else "not_met"
        if estimate.interval_95 is None:
            return "undecided"
        low, high = estimate.interval_95
        worse, better = (low, high) if self.is_lowest else (high, low)
        is_less_favourable = self.bound == ("lower" if self.is_lowest else "upper")
        if self._is_good(worse if is_less_favourable else better):
            return "met"
        return "undecided" if is_less_favourable and self._is_good(better) else "not_met"

    def _is_good(self, number: float) -> bool:
        return number >= self.limit if self.is_lowest else number <= self.limit

    def num_needed(self, estimate: Estimate) -> int | None:
        """How many cases would decide, if the estimate stays; None where no number would."""
        value, interval = estimate.value, estimate.interval_95
        if value is None or value == self.limit:
            return None
        if self.metric == "ece":
            return _num_by_root(value, interval, self.limit, estimate.num_cases)
        needed = number_that_excludes(self.limit, value)
        if interval is not None:
            needed *= estimate.num_cases / number_of(value, interval)
        return max(MIN_PATIENTS, math.ceil(needed), estimate.num_cases + 1)


def _num_by_root(
    value: float, interval: tuple[float, float] | None, limit: float, num_cases: int
) -> int | None:
    """How many cases would decide if the width of the interval falls with their square root."""
    if interval is None:
        return None
    reach = value - interval[0] if limit < value else interval[1] - value
    needed = math.ceil(num_cases * (reach / (value - limit)) ** 2)
    return max(MIN_PATIENTS, needed, num_cases + 1)


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
    if criterion.metric in criteria_of_model():
        return message("cohort.check_of_model", check=TRUST_CHECKS[criterion.metric].label)
    text, bound = _without_bound(criterion), Requirement.of(criterion).bound
    return message(BOUNDS[bound], criterion=text) if bound in BOUNDS else text


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

"""Criteria, metrics and cases -> which criteria a run meets.

What is undefined never helps: a metric without a value, or without the bound that is asked for, is not met, with its
reason; a case whose number is undefined does not count towards a share that has to be large, and does
count towards one that has to be small. A share of what masking changed is of the cases
that masking asked, one of what lies in an annotation is of the cases that have one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from cxr_audit.cohort.cases import case_values, is_asked
from cxr_audit.cohort.intervals import Resampling
from cxr_audit.config import Acceptance, Criterion
from cxr_audit.glossary import FLAG_WORDS, GLOSSARY, OF_RUN, check_name
from cxr_audit.records import MODEL_CHECKS, CaseRecord, Check, CriterionResult, Estimate

Cases = Sequence[CaseRecord]
STATUSES = {"failed": "that failed", "excluded": "that were excluded"}
BOUNDS = {
    "estimate": "",
    "lower": ", lower end of the 95 % interval",
    "upper": ", upper end of the 95 % interval",
}
LIMITS = ("at_least", "at_most", "share_at_least", "share_at_most")


def judge(
    acceptance: Acceptance,
    metrics: Mapping[str, Estimate],
    records: Cases,
    groups: Mapping[str, Cases],
    resampling: Callable[[Cases], Resampling],
    checks: Sequence[Check] = (),
) -> tuple[CriterionResult, ...]:
    """Each criterion with what was found.

    Parameters
    ----------
    metrics : of the run, by name.
    records : all cases, which the shares of failed and excluded ones are of.
    groups : those that the other shares may be of, by the names of `Criterion.cases`.
    resampling : draws the patients of some cases.
    checks : of the explanation, those made once a model.
    """
    results = []
    for criterion in acceptance.criteria:
        if criterion.metric in MODEL_CHECKS:
            results.append(_of_model(criterion.metric, checks))
        elif criterion.metric in metrics:
            results.append(_result(criterion, metrics[criterion.metric], {}))
        else:
            cases = records if criterion.metric in STATUSES else groups[criterion.cases]
            cases = [record for record in cases if is_asked(record, criterion.metric)]
            results.append(_result(criterion, *_share(criterion, cases, resampling(cases))))
    return tuple(results)


def _of_model(name: str, checks: Sequence[Check]) -> CriterionResult:
    """Whether a check of the model was passed. One that was not run is not."""
    check = next((check for check in checks if check.name == name), None)
    if check is None:
        check = Check(name, name, "not_run", reason="the check was not made")
    found = Estimate(
        check.value, 0, 0, reason=check.reason or "one check of the model, without an interval"
    )
    unjudged = check.reason if check.state == "not_run" else None
    is_met, words = check.state == "passed", f"check of the model: {check_name(name)}"
    return CriterionResult(words, is_met, found, reason=unjudged, metric=name, limit="passed")


def _share(
    criterion: Criterion, cases: Cases, draws: Resampling
) -> tuple[Estimate, dict[str, int]]:
    """The share of some cases for which a criterion's condition holds; how many are undefined, by reason."""
    name, hits, undefined = criterion.metric, [], Counter[str]()
    for record in cases:
        values, reasons = case_values(record)
        value = record.status == name if name in STATUSES else values[name]
        if value is None:
            undefined[str(reasons[name])] += 1
            hits.append(criterion.share_at_most is not None)
        elif criterion.above is not None:
            hits.append(value > criterion.above)
        else:
            hits.append(value < criterion.below if criterion.below is not None else bool(value))
    found = draws.share(
        np.array(hits, bool),
        np.ones(len(hits), bool),
        f"no {criterion.cases.replace('_', ' ')} case",
    )
    if cases and undefined.total() == len(cases):
        found = Estimate(
            None, found.num_cases, found.num_patients, reason="undefined in every case"
        )
    return found, dict(undefined)


def _result(criterion: Criterion, found: Estimate, undefined: dict[str, int]) -> CriterionResult:
    ends = dict(zip(("lower", "upper"), found.interval_95 or (None, None), strict=True))
    number = {"estimate": found.value, **ends}[criterion.bound]
    is_lowest, limit = _limit(criterion)
    is_met = number is not None and (number >= limit if is_lowest else number <= limit)
    return CriterionResult(
        _words(criterion),
        is_met,
        found,
        undefined,
        reason=found.reason if number is None else None,
        metric=criterion.metric,
        limit=f"at {'least' if is_lowest else 'most'} {limit:g}",
        limit_value=limit,
        bound=criterion.bound,
    )


def _limit(criterion: Criterion) -> tuple[bool, float]:
    """Is it the lowest number that is good enough, or the highest; and which."""
    limits = ((key.endswith("at_least"), getattr(criterion, key)) for key in LIMITS)
    return next((is_lowest, limit) for is_lowest, limit in limits if limit is not None)


def _words(criterion: Criterion) -> str:
    """For example "share of true positive cases with evidence in the lungs against chance above 1.5"."""
    name, bound = criterion.metric, BOUNDS[criterion.bound]
    if name in OF_RUN:
        return OF_RUN[name].name + bound
    cases = "cases" if criterion.cases == "all" else f"{criterion.cases.replace('_', ' ')} cases"
    if name in STATUSES:
        return f"share of {cases} {STATUSES[name]}{bound}"
    if name.startswith("flag_"):
        return f'share of {cases} flagged "{FLAG_WORDS[name.removeprefix("flag_")]}"{bound}'
    limits = [
        f" {side} {limit:g}"
        for side in ("above", "below")
        if (limit := getattr(criterion, side)) is not None
    ]
    return f"share of {cases} with {GLOSSARY[name].name}{''.join(limits)}{bound}"

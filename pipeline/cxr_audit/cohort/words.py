"""CohortRecord -> lines of plain English text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from cxr_audit.cohort.acceptance import column_label
from cxr_audit.records import (
    Check,
    CohortRecord,
    CriterionResult,
    Estimate,
    SubgroupColumn,
    WrongCase,
)
from cxr_audit.vocabulary import RUN_METRICS, TRUST_CHECKS, Message, decimals_beside

IN_SUBGROUPS = ("auc", "sensitivity", "specificity")
NUM_WRONG = 5
STATES = {
    "met": "met",
    "not_met": "NOT MET",
    "undecided": "UNDECIDED",
    "not_examined": "NOT EXAMINED",
}


def in_words(cohort: CohortRecord) -> str:
    """A summary for people: counts, metrics, subgroups, worst errors, acceptance."""
    return "\n".join(_lines(cohort))


def _lines(cohort: CohortRecord) -> Iterator[str]:
    statuses = cohort.cases.statuses
    yield (
        f"{_cases(sum(statuses.values()))} of {_patients(cohort.cases.num_patients)} "
        f"({cohort.cases.patients}): {statuses['ok']} audited, {statuses['excluded']} excluded, "
        f"{statuses['failed']} failed"
    )
    for counted in cohort.cases.unlabelled:
        yield f"  {counted.num_cases} audited, but not measured: {counted.reason}"
    if any(cohort.outcomes.values()):
        yield from _performance(cohort)
        for column in cohort.subgroups:
            yield from _subgroups(column)
        yield from _worst("false positives", cohort.false_positives)
        yield from _worst("false negatives", cohort.false_negatives)
    else:
        yield "no audited case has a label that names a class: nothing to measure"
    yield from _hit_rates(cohort)
    for check in cohort.dependence:
        detail = check.reason or f"{_of_check(check)}, {check.limit}"
        label = TRUST_CHECKS[check.name].label
        yield f"  {label:36} {check.state.replace('_', ' ')}: {detail}"
    for result in cohort.acceptance:
        yield from _criterion(result)


def _of_check(check: Check) -> str:
    """The value of a check, with more decimals where two cannot tell it from its limit."""
    assert check.value is not None
    stated = check.limit.values if isinstance(check.limit, Message) else {}
    limits = [limit for limit in stated.values() if isinstance(limit, float)]
    limit = limits[0] if limits else None
    return f"{check.value:.{decimals_beside([check.value], limit)}f}"


def _performance(cohort: CohortRecord) -> Iterator[str]:
    counts = [f"{count} {name.replace('_', ' ')}" for name, count in cohort.outcomes.items()]
    yield f'for class "{cohort.target_class}": {", ".join(counts)}'
    prevalence = "undefined"
    if cohort.cases.prevalence is not None:
        prevalence = f"{cohort.cases.prevalence:.3f}, {cohort.cases.prevalence_source}"
    yield f"prevalence of the predictive values: {prevalence}"
    for name, estimate in cohort.metrics.items():
        yield f"  {_metric(name):36} {_estimate(estimate)}"
    if cohort.reliability.ece_if_calibrated is not None:
        limit = f"{cohort.reliability.ece_if_calibrated:.3f}"
        yield f"  {'':36} a calibrated model's ECE would stay below {limit} here"


def _subgroups(column: SubgroupColumn) -> Iterator[str]:
    yield f"by {column.column}" + (f": {column.reason}" if column.reason else "")
    for group in column.groups:
        counts = f"{group.num_positive} positive, {group.num_negative} negative"
        yield f'  "{group.value}", {counts}'
        for name in IN_SUBGROUPS:
            yield f"    {_metric(name):34} {_estimate(group.metrics[name])}"
    if column.groups and column.num_suppressed_values:
        cases = _cases(column.num_suppressed_cases)
        yield f"  not shown: {column.num_suppressed_values} smaller values, {cases}"
    if column.groups and column.num_missing:
        yield f"  without a value: {_cases(column.num_missing)}"


def _worst(title: str, wrong: tuple[WrongCase, ...]) -> Iterator[str]:
    worst = [f"{case.case_id} ({_number(case.probability)})" for case in wrong[:NUM_WRONG]]
    if worst:
        yield f"worst {title}: {', '.join(worst)}"


def _hit_rates(cohort: CohortRecord) -> Iterator[str]:
    shown = {kind: rate for kind, rate in cohort.hit_rates.items() if rate.num_cases}
    for kind, rate in shown.items():
        yield f"  {column_label(f'{kind}_pointing_game_hit'):36} {_estimate(rate)}"
    if shown:
        yield f"  {'':36} a map without positive evidence is a miss"


def _criterion(result: CriterionResult) -> Iterator[str]:
    key = f" [{result.metric}]" if result.metric else ""
    state = result.state or ("met" if result.is_met else "not_met")
    shown = STATES[state]
    yield f"{shown:12}  {result.in_words}{key}: {_estimate(result.found, result.limit_value)}"
    if result.reason is not None and result.reason != result.found.reason:
        yield f"{'':14}{result.reason}"
    for counted in result.undefined:
        cases = _cases(counted.num_cases)
        yield f"{'':14}not assessed in {cases}: {counted.reason}"


def _metric(name: str) -> str:
    row = RUN_METRICS.get(name)
    return name if row is None else row.label


def _estimate(estimate: Estimate, limit: float | None = None) -> str:
    """Value and interval; with more decimals where three cannot tell a number from the limit."""
    numbers = [estimate.value, *(estimate.interval_95 or ())]
    decimals = decimals_beside([number for number in numbers if number is not None], limit, 3)
    value = "undefined" if estimate.value is None else _number(estimate.value, decimals)
    interval = str(estimate.reason)
    if estimate.interval_95 is not None:
        interval = " to ".join(_number(end, decimals) for end in estimate.interval_95)
    counts = ""
    if estimate.num_cases:
        counts = f"; {_cases(estimate.num_cases)}, {_patients(estimate.num_patients)}"
    return f"{value}  ({interval}{counts})"


def _number(value: float, decimals: int = 3) -> str:
    """Fixed decimals; neither 0.000 nor 1.000 unless it is exactly that."""
    last = 10.0**-decimals
    if 0 < value < last / 2:
        return f"<{last:.{decimals}f}"
    return f">{1 - last:.{decimals}f}" if 1 - last / 2 <= value < 1 else f"{value:.{decimals}f}"


def _cases(count: int) -> str:
    return f"{count} case{'s' * (count != 1)}"


def _patients(count: int) -> str:
    return f"{count} patient{'s' * (count != 1)}"

"""CohortRecord -> lines of plain text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from cxr_audit.glossary import GLOSSARY, OF_RUN, check_name
from cxr_audit.records import PERFORMANCE_METRICS, CohortRecord, Estimate

IN_SUBGROUPS = ("auc", "sensitivity", "specificity")
NUM_WRONG = 5


def in_words(cohort: CohortRecord) -> str:
    """A summary for people: counts, metrics, subgroups, worst errors, acceptance."""
    return "\n".join(_lines(cohort))


def _lines(cohort: CohortRecord) -> Iterator[str]:
    statuses, outcomes = cohort.statuses, cohort.outcomes
    yield (
        f"{_cases(sum(statuses.values()))} of {_patients(cohort.num_patients)} ({cohort.patients}): "
        f"{statuses['ok']} audited, {statuses['excluded']} excluded, {statuses['failed']} failed"
    )
    for reason, count in cohort.unlabelled.items():
        yield f"  {count} audited, but not measured: {reason}"
    if any(outcomes.values()):
        yield from _measured(cohort)
    else:
        yield "no audited case has a label that names a class: nothing to measure"
    for kind, rate in cohort.hit_rates.items():
        if rate.num_cases:
            yield f"  {GLOSSARY[f'{kind}_pointing_game_hit'].name:36} {_estimate(rate)}"
    if any(rate.num_cases for rate in cohort.hit_rates.values()):
        yield f"  {'':36} a map without positive evidence is a miss"
    for check in cohort.dependence:
        found = check.reason or f"{check.value:.2f}, {check.limit}"
        yield f"  {check_name(check.name):36} {check.state.replace('_', ' ')}: {found}"
    for result in cohort.acceptance:
        key = f" [{result.metric}]" if result.metric else ""
        yield f"{'met    ' if result.is_met else 'NOT MET'}  {result.in_words}{key}: {_estimate(result.found)}"
        for reason, count in result.undefined.items():
            yield f"         undefined in {_cases(count)}, counted against: {reason}"


def _measured(cohort: CohortRecord) -> Iterator[str]:
    counts = ", ".join(
        f"{count} {name.replace('_', ' ')}" for name, count in cohort.outcomes.items()
    )
    yield f'for class "{cohort.target_class}": {counts}'
    at = (
        "undefined"
        if cohort.prevalence is None
        else f"{cohort.prevalence:.3f}, {cohort.prevalence_source}"
    )
    yield f"prevalence of the predictive values: {at}"
    for name in PERFORMANCE_METRICS:
        yield f"  {OF_RUN[name].name:36} {_estimate(cohort.metrics[name])}"
    if cohort.ece_if_calibrated is not None:
        yield f"  {'':36} a calibrated model's ECE would stay below {cohort.ece_if_calibrated:.3f} here"
    for column in cohort.subgroups:
        yield f"by {column.column}" + (f": {column.reason}" if column.reason else "")
        for group in column.groups:
            yield f'  "{group.value}", {group.num_positive} positive, {group.num_negative} negative'
            yield from (
                f"    {OF_RUN[name].name:34} {_estimate(group.metrics[name])}"
                for name in IN_SUBGROUPS
            )
        if column.groups and column.num_suppressed_values:
            yield f"  not shown: {column.num_suppressed_values} smaller values, {_cases(column.num_suppressed_cases)}"
        if column.groups and column.num_missing:
            yield f"  without a value: {_cases(column.num_missing)}"
    for title, wrong in (
        ("false positives", cohort.false_positives),
        ("false negatives", cohort.false_negatives),
    ):
        if wrong:
            worst = ", ".join(
                f"{case.case_id} ({_number(case.probability)})" for case in wrong[:NUM_WRONG]
            )
            yield f"worst {title}: {worst}"


def _estimate(one: Estimate) -> str:
    value = "undefined" if one.value is None else _number(one.value)
    interval = one.reason if one.interval_95 is None else " to ".join(map(_number, one.interval_95))
    of = f"; {_cases(one.num_cases)}, {_patients(one.num_patients)}" if one.num_cases else ""
    return f"{value}  ({interval}{of})"


def _number(value: float) -> str:
    """Three decimals; neither 0.000 nor 1.000 unless it is exactly that."""
    return "<0.001" if 0 < value < 0.0005 else ">0.999" if 0.9995 <= value < 1 else f"{value:.3f}"


def _cases(count: int) -> str:
    return f"{count} case{'s' * (count != 1)}"


def _patients(count: int) -> str:
    return f"{count} patient{'s' * (count != 1)}"

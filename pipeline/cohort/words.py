"""CohortRecord -> lines of plain text for a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline.records import CohortRecord, Estimate

NAMES = {
    "auc": "AUC",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "ppv": "positive predictive value",
    "npv": "negative predictive value",
    "brier": "Brier score",
    "ece": "calibration error (ECE)",
}
HITS = {"lungs": "map's maximum in the lungs", "annotation": "... in the annotation"}
IN_SUBGROUPS = ("auc", "sensitivity", "specificity")
NUM_WRONG = 5


def in_words(cohort: CohortRecord) -> str:
    """A summary for people: counts, metrics, subgroups, worst errors, acceptance."""
    return "\n".join(_lines(cohort))


def _lines(cohort: CohortRecord) -> Iterator[str]:
    statuses, outcomes = cohort.statuses, cohort.outcomes
    yield (
        f"{sum(statuses.values())} cases of {cohort.num_patients} patients ({cohort.patients}): "
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
            yield f"  {HITS[kind]:26} {_estimate(rate)}"
    for check in cohort.dependence:
        found = check.reason or f"{check.value:.2f}, {check.limit}"
        yield f"  {check.name.replace('_', ' '):26} {check.state.replace('_', ' ')}: {found}"
    for result in cohort.acceptance:
        yield f"{'met    ' if result.is_met else 'NOT MET'}  {result.criterion}: {_estimate(result.found)}"
        for reason, count in result.undefined.items():
            yield f"         undefined in {count} cases, counted against: {reason}"


def _measured(cohort: CohortRecord) -> Iterator[str]:
    counts = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in cohort.outcomes.items())
    yield f'for class "{cohort.target_class}": {counts}'
    at = "undefined" if cohort.prevalence is None else f"{cohort.prevalence:.3f}, {cohort.prevalence_source}"
    yield f"prevalence of the predictive values: {at}"
    for name, estimate in cohort.metrics.items():
        yield f"  {NAMES[name]:26} {_estimate(estimate)}"
    if cohort.ece_if_calibrated is not None:
        yield f"  {'':26} a calibrated model's ECE would stay below {cohort.ece_if_calibrated:.3f} here"
    for column in cohort.subgroups:
        yield f"by {column.column}" + (f": {column.reason}" if column.reason else "")
        for group in column.groups:
            yield f'  "{group.value}", {group.num_positive} positive, {group.num_negative} negative'
            yield from (f"    {NAMES[name]:24} {_estimate(group.metrics[name])}" for name in IN_SUBGROUPS)
        if column.groups and column.num_suppressed_values:
            yield f"  not shown: {column.num_suppressed_values} smaller values, {column.num_suppressed_cases} cases"
        if column.groups and column.num_missing:
            yield f"  without a value: {column.num_missing} cases"
    for title, wrong in (("false positives", cohort.false_positives), ("false negatives", cohort.false_negatives)):
        if wrong:
            worst = ", ".join(f"{case.case_id} ({case.probability:.2f})" for case in wrong[:NUM_WRONG])
            yield f"worst {title}: {worst}"


def _estimate(one: Estimate) -> str:
    value = "undefined" if one.value is None else f"{one.value:.3f}"
    interval = one.reason if one.interval_95 is None else "{:.3f} to {:.3f}".format(*one.interval_95)
    return f"{value}  ({interval}; {one.num_cases} cases, {one.num_patients} patients)"

"""What a run would say at another threshold: from its records, without the classifier.

The curve has the sensitivity and specificity at each threshold with their 95 % intervals, the
predictive values at a prevalence (Bayes), and what these mean for 1000 patients.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from cxr_audit.cohort.describe import number_patients
from cxr_audit.cohort.intervals import Resampling
from cxr_audit.cohort.performance import Outputs, Sample, npv, ppv
from cxr_audit.config import Cohort
from cxr_audit.errors import ConfigError
from cxr_audit.records import AuditedCase, CaseRecord, CaseSource, Estimate, Prediction
from cxr_audit.vocabulary import message

PER = 1000
GRID = tuple(number / 20 for number in range(1, 20))


def at_threshold(records: Iterable[CaseRecord], threshold: float) -> Iterator[CaseRecord]:
    """The cases as they would be decided at another threshold.

    Flags are those of the run; the caller judges them again.

    Parameters
    ----------
    threshold : probability from which the target class is predicted.

    Raises
    ------
    ConfigError : the highest of several scores decides, not a threshold.
    """
    source = message("cohort.what_if_threshold")
    for record in require_threshold(records):
        if not isinstance(record, AuditedCase):
            yield record
            continue
        prediction = record.prediction
        predicted = prediction.target_class
        if prediction.probability < threshold:
            predicted = _other_class(prediction)
        changed = replace(
            prediction, threshold=threshold, threshold_source=source, predicted=predicted
        )
        yield replace(record, prediction=changed)


def _other_class(prediction: Prediction) -> str:
    """What is predicted below the threshold; of several labels it is the last, "not" the target."""
    others = [name for name in prediction.class_scores if name != prediction.target_class]
    return others[-1]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a threshold decides.

    Parameters
    ----------
    threshold : probability from which the target class is predicted.
    is_of_run : the run decided by this one.
    sensitivity, specificity : with their 95 % intervals.
    ppv, npv : at the prevalence of the curve.
    found, missed, false_alarms : of 1000 patients at that prevalence; None where the sensitivity or
        the specificity is not known.
    """

    threshold: float
    is_of_run: bool
    sensitivity: Estimate
    specificity: Estimate
    ppv: Estimate
    npv: Estimate
    found: float | None
    missed: float | None
    false_alarms: float | None


@dataclass(frozen=True, slots=True)
class Curve:
    """The decisions at all thresholds, in ascending order.

    Parameters
    ----------
    target_class : whose output is compared with the threshold.
    prevalence : share of patients with the target class.
    is_stated : by the config; else the share of the run's own labels.
    num_positive, num_negative : labelled, audited cases.
    """

    target_class: str
    prevalence: float
    is_stated: bool
    num_positive: int
    num_negative: int
    decisions: tuple[Decision, ...]


def curve(
    records: Iterable[CaseRecord],
    sources: Sequence[CaseSource],
    config: Cohort,
    seed: int,
    more: Sequence[float] = (),
) -> Curve:
    """The decisions at thresholds from 0.05 to 0.95, at that of the run, and at further ones.

    Parameters
    ----------
    records : of all cases.
    sources : what is known of the same cases beside their pixels.
    config : prevalence and rounds of resampling.
    seed : of the resampling of patients.
    more : further thresholds.

    Raises
    ------
    ConfigError : no case has a label that names a class.
    """
    cases = [record for record in records if isinstance(record, AuditedCase) and record.outcome]
    if not cases:
        raise ConfigError(
            "no audited case has a label that names a class: sensitivity and specificity are not "
            "known",
            "set ingest.labels and run again",
        )
    own = {case.prediction.threshold for case in cases}
    thresholds = sorted({*GRID, *more, *(each for each in own if each is not None)})
    patient_of = {source.case_id: source.patient_id for source in sources}
    numbers, _ = number_patients({case.case_id: patient_of.get(case.case_id) for case in cases})
    target = cases[0].prediction.target_class
    positive = np.array([case.label == target for case in cases])
    probability = np.array([case.prediction.probability for case in cases])
    patients = np.array([numbers[case.case_id] for case in cases], np.intp)
    draws = Resampling(patients, config.rounds, seed)
    prevalence = config.prevalence or float(positive.mean())
    decisions = []
    for threshold in thresholds:
        outputs = Outputs(positive, probability, probability >= threshold, patients)
        sample = Sample(outputs, draws, config.prevalence)
        decisions.append(_decision(threshold, threshold in own, sample, prevalence))
    return Curve(
        target,
        prevalence,
        config.prevalence is not None,
        int(positive.sum()),
        int((~positive).sum()),
        tuple(decisions),
    )


def _decision(threshold: float, is_of_run: bool, sample: Sample, prevalence: float) -> Decision:
    found = missed = false_alarms = None
    if sample.sensitivity.value is not None:
        found = PER * prevalence * sample.sensitivity.value
        missed = PER * prevalence - found
    if sample.specificity.value is not None:
        false_alarms = PER * (1 - prevalence) * (1 - sample.specificity.value)
    return Decision(
        threshold,
        is_of_run,
        sample.sensitivity,
        sample.specificity,
        ppv(sample),
        npv(sample),
        found,
        missed,
        false_alarms,
    )


def require_threshold(records: Iterable[CaseRecord]) -> Iterator[CaseRecord]:
    """The same cases, refused where no threshold decides.

    Raises
    ------
    ConfigError : the highest of several scores decides.
    """
    for record in records:
        if isinstance(record, AuditedCase) and record.prediction.threshold is None:
            raise ConfigError(
                "this classifier has no threshold: of more than two classes the one with the "
                "highest score is predicted",
                "leave --threshold and --curve out",
            )
        yield record


def curve_lines(found: Curve) -> Iterator[list[str]]:
    """The curve as a table: the head, then a row for each threshold."""
    yield [
        "threshold",
        "sensitivity",
        "specificity",
        "PPV",
        "NPV",
        f"found in {PER}",
        "missed",
        "false alarms",
    ]
    for row in found.decisions:
        mark = " (run)" if row.is_of_run else ""
        counts = [row.found, row.missed, row.false_alarms]
        shown = ["-" if count is None else f"{count:.0f}" for count in counts]
        shares = (row.sensitivity, row.specificity, row.ppv, row.npv)
        yield [f"{row.threshold:.3g}{mark}", *(_share(share) for share in shares), *shown]


def _share(estimate: Estimate) -> str:
    if estimate.value is None:
        return "-"
    if estimate.interval_95 is None:
        return f"{estimate.value:.2f}"
    low, high = estimate.interval_95
    return f"{estimate.value:.2f} ({low:.2f} to {high:.2f})"

"""Labelled outputs -> the metrics of `RUN_METRICS`, and calibration, with intervals.

The target class stands against all others (one-vs-rest), so that the same words hold for two
classes and for more. Predictive values at the run's own prevalence are shares of the called and
the not called cases, and its prevalence is part of their uncertainty; at a stated prevalence they
follow from sensitivity and specificity by Bayes' rule. Calibration: ten bins of equal width of
the output for the target class (Naeini et al., AAAI 2015).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from cxr_audit.cohort.intervals import Bools, Doubles, Integers, Resampling, predictive_value
from cxr_audit.records import Estimate, ReliabilityBin
from cxr_audit.vocabulary import RUN_METRICS, message

NUM_BINS = 10


@dataclass(frozen=True, slots=True)
class Outputs:
    """N labelled, audited cases; (N,) each.

    Parameters
    ----------
    positive : the label is the target class.
    probability : the output for the target class.
    called : the target class is predicted.
    patients : whose it is, any integers.
    """

    positive: Bools
    probability: Doubles
    called: Bools
    patients: Integers

    def of(self, chosen: Bools) -> Outputs:
        """Some of them."""
        return Outputs(
            self.positive[chosen],
            self.probability[chosen],
            self.called[chosen],
            self.patients[chosen],
        )

    @property
    def bins(self) -> Integers:
        """Which of the ten bins each output is in."""
        return np.minimum((self.probability * NUM_BINS).astype(np.intp), NUM_BINS - 1)

    @property
    def outcomes(self) -> dict[str, Bools]:
        """Which cases are which, by `records.Outcome`."""
        return {
            "true_positive": self.positive & self.called,
            "false_positive": ~self.positive & self.called,
            "true_negative": ~self.positive & ~self.called,
            "false_negative": self.positive & ~self.called,
        }


@dataclass(frozen=True, slots=True)
class Performance:
    """The metrics of some cases.

    Parameters
    ----------
    metrics : by key of `RUN_METRICS`.
    ece_if_calibrated : see `Resampling.ece`.
    reliability : the ten bins.
    """

    metrics: dict[str, Estimate]
    ece_if_calibrated: float | None
    reliability: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class Sample:
    """What a metric is computed from.

    Parameters
    ----------
    outputs : the cases.
    draws : their patients, resampled.
    prevalence : for the predictive values; None = that of these cases.
    """

    outputs: Outputs
    draws: Resampling
    prevalence: float | None

    @cached_property
    def sensitivity(self) -> Estimate:
        missing = message("cohort.no_positive")
        return self.draws.share(self.outputs.called, self.outputs.positive, missing)

    @cached_property
    def specificity(self) -> Estimate:
        missing = message("cohort.no_negative")
        return self.draws.share(~self.outputs.called, ~self.outputs.positive, missing)

    @cached_property
    def ece(self) -> tuple[Estimate, float | None]:
        outputs = self.outputs
        return self.draws.ece(outputs.positive, outputs.probability, outputs.bins)


def performance(outputs: Outputs, prevalence: float | None, rounds: int, seed: int) -> Performance:
    """Every metric of some cases.

    Parameters
    ----------
    outputs : the cases.
    prevalence : for the predictive values; None = that of these cases.
    rounds, seed : of the resampling of patients.
    """
    sample = Sample(outputs, Resampling(outputs.patients, rounds, seed), prevalence)
    metrics: dict[str, Estimate] = {}
    for row in RUN_METRICS:
        metrics[row.key] = (row.function or FUNCTIONS[row.key])(sample)
    bins = tuple(_bin(number, sample) for number in range(NUM_BINS))
    return Performance(metrics, sample.ece[1], bins)


def auc(sample: Sample) -> Estimate:
    """The area under the ROC curve."""
    return sample.draws.auc(sample.outputs.positive, sample.outputs.probability)


def ppv(sample: Sample) -> Estimate:
    """The positive predictive value."""
    outputs, prevalence = sample.outputs, sample.prevalence
    if prevalence is not None:
        odds = (1 - prevalence) / prevalence
        return _of_all(sample, predictive_value(sample.sensitivity, sample.specificity, odds))
    missing = message("cohort.none_called_positive")
    return _of_two_classes(sample, sample.draws.share(outputs.positive, outputs.called, missing))


def npv(sample: Sample) -> Estimate:
    """The negative predictive value."""
    outputs, prevalence = sample.outputs, sample.prevalence
    if prevalence is not None:
        odds = prevalence / (1 - prevalence)
        return _of_all(sample, predictive_value(sample.specificity, sample.sensitivity, odds))
    missing = message("cohort.none_called_negative")
    return _of_two_classes(sample, sample.draws.share(~outputs.positive, ~outputs.called, missing))


def brier(sample: Sample) -> Estimate:
    """The Brier score."""
    outputs = sample.outputs
    return sample.draws.mean((outputs.probability - outputs.positive) ** 2)


FUNCTIONS: dict[str, Callable[[Sample], Estimate]] = {
    "auc": auc,
    "sensitivity": lambda sample: sample.sensitivity,
    "specificity": lambda sample: sample.specificity,
    "ppv": ppv,
    "npv": npv,
    "brier": brier,
    "ece": lambda sample: sample.ece[0],
}


def _of_all(sample: Sample, estimate: Estimate) -> Estimate:
    """A predictive value by Bayes' rule is of all patients."""
    return replace(estimate, num_patients=sample.draws.num_patients)


def _of_two_classes(sample: Sample, estimate: Estimate) -> Estimate:
    """At the prevalence of one class only, a predictive value says nothing."""
    positive = sample.outputs.positive
    if positive.any() and not positive.all():
        return estimate
    reason = message("cohort.one_class")
    return replace(estimate, value=None, interval_95=None, reason=reason)


def _bin(number: int, sample: Sample) -> ReliabilityBin:
    outputs = sample.outputs
    inside = outputs.bins == number
    mean = float(outputs.probability[inside].mean()) if inside.any() else None
    observed = sample.draws.share(outputs.positive, inside, message("cohort.empty_bin"))
    return ReliabilityBin(number / NUM_BINS, (number + 1) / NUM_BINS, mean, observed)

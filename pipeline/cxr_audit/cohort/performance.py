"""Labelled outputs -> AUC, sensitivity, specificity, predictive values, Brier score, calibration, with intervals.

The target class stands against all others (one-vs-rest), so that the same words hold for two classes and for more.
Predictive values at the run's own prevalence are shares of the called and the not called cases, and its prevalence
is part of their uncertainty; at a stated prevalence they follow from sensitivity and specificity by Bayes' rule.
Calibration: ten bins of equal width of the output for the target class (Naeini et al., AAAI 2015).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cxr_audit.cohort.intervals import Bools, Doubles, Integers, Resampling, predictive_value
from cxr_audit.records import Estimate, ReliabilityBin

NUM_BINS = 10


@dataclass(frozen=True, slots=True)
class Outputs:
    """N labelled, audited cases: is it of the target class, the output for that class, was it called so, and whose
    it is (any integers); (N,) each."""

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
    """`metrics` by name; `ece_if_calibrated` see `Resampling.ece`."""

    metrics: dict[str, Estimate]
    ece_if_calibrated: float | None
    reliability: tuple[ReliabilityBin, ...]


def performance(outputs: Outputs, prevalence: float | None, rounds: int, seed: int) -> Performance:
    """Every metric of some cases.

    Parameters
    ----------
    prevalence : for the predictive values; None = that of these cases.
    rounds, seed : of the resampling of patients.
    """
    positive, probability, called = outputs.positive, outputs.probability, outputs.called
    draws = Resampling(outputs.patients, rounds, seed)
    bins = np.minimum((probability * NUM_BINS).astype(np.intp), NUM_BINS - 1)
    sensitivity = draws.share(called, positive, "no positive case")
    specificity = draws.share(~called, ~positive, "no negative case")
    if prevalence is None:
        one_class = None if positive.any() and not positive.all() else "one class only"
        ppv = draws.share(positive, called, "no case was called positive")
        npv = draws.share(~positive, ~called, "no case was called negative")
    else:
        one_class, odds = None, (1 - prevalence) / prevalence
        num_patients = draws.times.shape[1]
        ppv = replace(predictive_value(sensitivity, specificity, odds), num_patients=num_patients)
        npv = replace(
            predictive_value(specificity, sensitivity, 1 / odds), num_patients=num_patients
        )
    if one_class:
        ppv, npv = (
            replace(one, value=None, interval_95=None, reason=one_class) for one in (ppv, npv)
        )
    ece, calibrated = draws.ece(positive, probability, bins)
    metrics = {
        "auc": draws.auc(positive, probability),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "ppv": ppv,
        "npv": npv,
        "brier": draws.mean((probability - positive) ** 2),
        "ece": ece,
    }
    return Performance(
        metrics, calibrated, tuple(_bin(n, outputs, bins == n, draws) for n in range(NUM_BINS))
    )


def _bin(number: int, outputs: Outputs, inside: Bools, draws: Resampling) -> ReliabilityBin:
    mean = float(outputs.probability[inside].mean()) if inside.any() else None
    observed = draws.share(outputs.positive, inside, "no case in this bin")
    return ReliabilityBin(number / NUM_BINS, (number + 1) / NUM_BINS, mean, observed)

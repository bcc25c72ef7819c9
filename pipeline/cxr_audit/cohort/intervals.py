"""Labelled outputs and their patients -> estimates with 95 % intervals.

Images of one patient resemble each other, so patients are resampled, not images. From the resamples only the
standard error is taken; the interval is then a score interval (Wilson, 1927) for the share of an effective number
of cases, value (1 - value) / error^2, which Korn and Graubard (Survey Methodology 24, 1998) never let exceed
the number of cases and shrink where patients are few; Dean and Pagano (J Surv Stat Methodol 3, 2015) find it the best
for clustered shares near 0 or 1. AUC and Brier score lie in [0, 1] too and are treated alike. Where no resample
differs (no error was made) the patients count by Kish's number, (sum m)^2 / sum m^2 for m cases a patient,
and for the AUC the smaller class decides (its variance is at most A (1 - A) / min(m, n): Birnbaum and Klose,
Ann Math Stat 28, 1957). The percentile bootstrap is not used: with few patients or near 1 it covers 70 to 90 %
instead of 95 (`python -m benchmarks.coverage`), and at 1 its interval has no width. What does not hold: the Brier score
of few cases nearly all of which are right covers about 88 %, since a rare large error that no case has shown cannot
be resampled; the AUC near 1 covers up to 99 %, because well separated normal scores are worth more than their number
of cases, which skewed ones are not: the limit protects those.

What cannot be known is None with its reason: one class only, scores that are all equal, nothing called. Below
`MIN_PATIENTS` patients a value has no interval.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_audit.records import Estimate

Z = 1.959963984540054  # of the standard normal distribution, 97.5 %
MIN_PATIENTS = 10
TOO_FEW = f"no interval below {MIN_PATIENTS} patients"
NO_ERROR = 1e-9  # below it the resamples differ by rounding only
BLOCK = 2**22  # numbers held at once

Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]


class Resampling:
    """Patients drawn with replacement, `rounds` times; every estimate of a set of cases uses the same draws.

    Parameters
    ----------
    patients : (N,) whose case it is: any numbers, the same for the same patient.
    rounds : number of resamples.
    seed : the same seed gives the same draws.
    """

    def __init__(self, patients: Integers, rounds: int, seed: int) -> None:
        names, self.patients = np.unique(patients, return_inverse=True)
        rng, size = np.random.default_rng(seed), names.size
        self.times = np.zeros((rounds, size), np.uint8)  # how often each patient was drawn
        for drawn in self.times if size else ():
            drawn[:] = np.bincount(rng.integers(0, size, size), minlength=size)

    def share(self, hits: Bools, among: Bools, missing: str) -> Estimate:
        """The share of hits among some cases; (N,) each. `missing` is the reason where there are none."""
        if not among.any():
            return Estimate(None, 0, 0, reason=missing)
        found = _ratio(*self._sums(hits & among, among).T)
        return self._estimate(found, among, at_most=int(among.sum()))

    def mean(self, values: Doubles) -> Estimate:
        """The mean of values in [0, 1], (N,)."""
        everyone = np.ones(values.shape, bool)
        if not values.size:
            return Estimate(None, 0, 0, reason="no case")
        return self._estimate(_ratio(*self._sums(values, everyone).T), everyone, at_most=math.inf)

    def auc(self, positive: Bools, scores: Doubles) -> Estimate:
        """Probability that a positive case scores higher than a negative one, ties counting half (Mann-Whitney)."""
        num_cases, num_patients = positive.size, num_different(self.patients)
        if positive.all() or not positive.any():
            missing = "negative" if positive.any() else "positive"
            return Estimate(None, num_cases, num_patients, reason=f"no {missing} case")
        if scores.min() == scores.max():
            return Estimate(
                None, num_cases, num_patients, reason="all scores are equal: they rank nothing"
            )
        size = max(1, BLOCK // num_cases)
        whole = auc_of(positive, scores, np.ones((1, num_cases)))
        resampled = (
            auc_of(positive, scores, self.times[n : n + size, self.patients])
            for n in range(0, len(self.times), size)
        )
        found = np.concatenate([whole, *resampled])
        smaller = min((positive, ~positive), key=lambda side: kish_number(self.patients[side]))
        estimate = self._estimate(found, smaller, at_most=num_cases)
        return _of_each_kind(replace(estimate, num_cases=num_cases, num_patients=num_patients))

    def ece(
        self, positive: Bools, probability: Doubles, bins: Integers
    ) -> tuple[Estimate, float | None]:
        """Expected calibration error, sum over bins of |sum of (probability - positive)| / N, and what it would stay
        below in 97.5 % of such samples if the classifier were calibrated.

        Noise alone makes it larger than 0, and resampling doubles that bias: a percentile interval hardly ever
        holds the truth of a calibrated classifier. So the lower end is 0 unless the value exceeds what the resamples
        of |sum* - sum| reach, and else the bias-corrected normal limit; the upper end is value + 1.96 errors.

        Parameters
        ----------
        positive, probability : (N,)
        bins : (N,) which bin a case is in: 0 .. number of bins - 1.
        """
        num_cases, num_patients = positive.size, num_different(self.patients)
        if num_cases == 0:
            return Estimate(None, 0, 0, reason="no case"), None
        excess = (probability - positive) * (bins == np.arange(bins.max() + 1)[:, None])
        sums = self._sums(*excess, np.ones(num_cases, bool))
        shares = sums[:, :-1] / sums[:, -1:]
        found, noise = np.abs(shares).sum(1), np.abs(shares[1:] - shares[0]).sum(1)
        value = float(found[0])
        error = float(found[1:].std()) * math.sqrt(num_patients / max(1, num_patients - 1))
        if num_patients < MIN_PATIENTS or error < NO_ERROR:
            reason = (
                TOO_FEW
                if num_patients < MIN_PATIENTS
                else "no interval: every resample gives the same"
            )
            return Estimate(value, num_cases, num_patients, reason=reason), None
        calibrated, reach = float(np.quantile(noise, 0.975)), Z * error
        lower = (
            0.0 if value <= calibrated else max(0.0, 2 * value - float(found[1:].mean()) - reach)
        )
        return Estimate(
            value, num_cases, num_patients, (lower, min(1.0, value + reach))
        ), calibrated

    def mean_change(self, changes: Doubles) -> Estimate:
        """The mean of what changed in each case from one run to another, (N,), in any unit."""
        if not changes.size:
            return Estimate(None, 0, 0, reason="no case has it in both runs")
        if not changes.any():
            return Estimate(0.0, changes.size, self.times.shape[1], reason="the same in every case")
        found = _ratio(*self._sums(changes, np.ones(changes.shape, bool)).T)
        return self._change(found, changes.size, self.times.shape[1], self.times.shape[1])

    def auc_change(self, positive: Bools, before: Doubles, after: Doubles) -> Estimate:
        """The AUC of the scores after minus that of those before, of the same cases, (N,) each, and resampled with
        the same patients: what both share cancels (as in DeLong and others, Biometrics 44, 1988)."""
        num_cases, num_patients = positive.size, num_different(self.patients)
        if positive.all() or not positive.any():
            missing = "negative" if positive.any() else "positive"
            return Estimate(None, num_cases, num_patients, reason=f"no {missing} case")
        size = max(1, BLOCK // num_cases)
        times = np.concatenate([np.ones((1, self.times.shape[1]), np.uint8), self.times])
        blocks = (times[n : n + size, self.patients] for n in range(0, len(times), size))
        found = np.concatenate(
            [auc_of(positive, after, w) - auc_of(positive, before, w) for w in blocks]
        )
        smaller = min(num_different(self.patients[side]) for side in (positive, ~positive))
        return _of_each_kind(self._change(found, num_cases, num_patients, smaller))

    def _change(
        self, found: Doubles, num_cases: int, num_patients: int, effective: int
    ) -> Estimate:
        """A change and its interval by Student's t of `effective` patients, from a statistic and its resamples."""
        value = float(found[0])
        if effective < MIN_PATIENTS:
            return Estimate(value, num_cases, num_patients, reason=TOO_FEW)
        error = float(np.nanstd(found[1:])) * math.sqrt(num_patients / (num_patients - 1))
        if error < NO_ERROR:
            return Estimate(
                value, num_cases, num_patients, reason="no interval: every resample gives the same"
            )
        reach = t_quantile(effective - 1) * error
        return Estimate(value, num_cases, num_patients, (value - reach, value + reach))

    def _sums(self, *columns: npt.NDArray[Any]) -> Doubles:
        """The sum of each column (N,), of the cases as they are and in each resample: (1 + rounds, columns)."""
        num_patients = self.times.shape[1]
        by_patient = np.stack(
            [np.bincount(self.patients, column, num_patients) for column in columns], 1
        )
        size = max(1, BLOCK // num_patients)
        resampled = (self.times[n : n + size] @ by_patient for n in range(0, len(self.times), size))
        return np.concatenate([by_patient.sum(0, keepdims=True), *resampled])

    def _estimate(self, found: Doubles, among: Bools, at_most: float) -> Estimate:
        """The value and its score interval, from a statistic of some cases and its resamples, (1 + rounds,).
        `at_most` limits the effective number of cases."""
        patients, value = self.patients[among], float(found[0])
        num_cases, num_patients = patients.size, num_different(patients)
        if num_patients < MIN_PATIENTS:
            return Estimate(value, num_cases, num_patients, reason=TOO_FEW)
        error = float(np.nanstd(found[1:])) * math.sqrt(num_patients / (num_patients - 1))
        effective = (
            kish_number(patients)
            if error < NO_ERROR
            else min(value * (1 - value) / error**2, at_most)
        )
        effective *= (t_quantile(num_cases - 1) / t_quantile(num_patients - 1)) ** 2
        return Estimate(value, num_cases, num_patients, score_interval(value, effective))


def _of_each_kind(one: Estimate) -> Estimate:
    """An AUC counts the patients of the rarer kind, and its reason says so."""
    return (
        replace(one, reason=f"{TOO_FEW} of each kind, positive and negative")
        if one.reason == TOO_FEW
        else one
    )


def auc_of(positive: Bools, scores: Doubles, weights: npt.NDArray[Any]) -> Doubles:
    """The Mann-Whitney AUC for each row of case weights (n, N); NaN where a row has one class only. (n,)"""
    order = np.argsort(scores, kind="stable")
    ordered, is_positive = scores[order], positive[order]
    weight = weights[:, order].astype(np.float64)
    below = np.zeros(
        (len(weight), scores.size + 1)
    )  # weight of the negative cases before each place
    np.cumsum(weight * ~is_positive, axis=1, out=below[:, 1:])
    of_positive, score = weight[:, is_positive], ordered[is_positive]
    lower, upper = np.searchsorted(ordered, score, "left"), np.searchsorted(ordered, score, "right")
    wins = (of_positive * (below[:, lower] + below[:, upper])).sum(1) / 2
    return _ratio(wins, of_positive.sum(1) * below[:, -1])


def predictive_value(right: Estimate, other: Estimate, odds: float) -> Estimate:
    """A predictive value by Bayes' rule at a stated prevalence: 1 / (1 + odds (1 - other) / right).

    Its interval comes from those of the two shares, taken as independent, since they are of different cases (MOVER
    for a ratio: Donner and Zou, Stat Methods Med Res 21, 2012); it has a width where the specificity is 1.

    Parameters
    ----------
    right, other : sensitivity and specificity for the positive one, the other way round for the negative one.
    odds : against what the value predicts, at that prevalence.
    """
    num_cases, num_patients = (
        right.num_cases + other.num_cases,
        right.num_patients + other.num_patients,
    )
    if right.value is None or other.value is None:
        return Estimate(None, num_cases, num_patients, reason=right.reason or other.reason)
    wrong = 1 - other.value
    if right.value == wrong == 0:
        return Estimate(None, num_cases, num_patients, reason="no case was called so")
    value = right.value / (right.value + odds * wrong)
    if right.interval_95 is None or other.interval_95 is None:
        return Estimate(value, num_cases, num_patients, reason=right.reason or other.reason)
    (low, high), (wrong_high, wrong_low) = right.interval_95, (1 - end for end in other.interval_95)
    product = wrong * right.value
    near, far = wrong_low * (2 * wrong - wrong_low), high * (2 * right.value - high)
    smallest = near / (product + math.sqrt(max(0.0, product**2 - near * far))) if near > 0 else 0.0
    near, far = wrong_high * (2 * wrong - wrong_high), low * (2 * right.value - low)
    largest = (
        (product + math.sqrt(max(0.0, product**2 - near * far))) / far if far > 0 else math.inf
    )
    interval = 1 / (1 + odds * largest), 1 / (1 + odds * smallest)
    return Estimate(value, num_cases, num_patients, interval)


def score_interval(share: float, number: float) -> tuple[float, float]:
    """Wilson's 95 % interval of a share of `number` cases, which need not be whole."""
    centre = (share + Z**2 / (2 * number)) / (1 + Z**2 / number)
    reach = (
        Z / (1 + Z**2 / number) * math.sqrt(share * (1 - share) / number + (Z / (2 * number)) ** 2)
    )
    # At 0 and 1 centre and reach differ by rounding only.
    return max(0.0, centre - reach) if share > 0 else 0.0, min(
        1.0, centre + reach
    ) if share < 1 else 1.0


def kish_number(patients: Integers) -> float:
    """How many independent cases those of some patients are worth if a patient's cases are all alike."""
    counts = np.bincount(patients).astype(float)
    return float(counts.sum() ** 2 / (counts**2).sum())


def num_different(patients: Integers) -> int:
    return int(np.unique(patients).size)


def t_quantile(degrees: int) -> float:
    """97.5 % quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))


def _ratio(over: Doubles, under: Doubles) -> Doubles:
    """NaN where nothing is below the line."""
    found: Doubles = np.divide(over, under, out=np.full(over.shape, np.nan), where=under > 0)
    return found

"""Labelled outputs and their patients -> estimates with 95 % intervals.

Images of one patient resemble each other, so patients are resampled, not images. From the
resamples only the standard error is taken; the interval is then a score interval (Wilson, 1927)
for the share of an effective number of cases, value (1 - value) / error^2, which Korn and
Graubard (Survey Methodology 24, 1998) never let exceed the number of cases and reduce where
patients are few; Dean and Pagano (J Surv Stat Methodol 3, 2015) find it the best for clustered
shares near 0 or 1. AUC and Brier score lie in [0, 1] too and are treated alike. Where no resample
differs (no error was made) the patients count by Kish's number, (sum m)^2 / sum m^2 for m cases a
patient, and for the AUC the smaller class decides (its variance is at most A (1 - A) / min(m, n):
Birnbaum and Klose, Ann Math Stat 28, 1957). The percentile bootstrap is not used: with few
patients or near 1 it covers 70 to 90 % instead of 95 (`python -m benchmarks.coverage`), and at 1
its interval has no width. Known limits: the interval of the Brier score of few cases nearly all
of which are right covers about 88 %, since a rare large error that no case has shown cannot be
resampled; that of the AUC near 1 covers up to 99 %, because well separated normal scores are
worth more than their number of cases. Skewed ones are not, and the cap by that number protects
those.

What cannot be known is None with its reason: one class only, scores that are all equal, nothing
called. Below `MIN_PATIENTS` patients a value has no interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_audit.cohort.shares import (
    Bools,
    Doubles,
    Integers,
    Z,
    auc_of,
    kish_number,
    num_different,
    predictive_value,
    ratio,
    score_interval,
    t_quantile,
)
from cxr_audit.records import Estimate
from cxr_audit.vocabulary import Message, Text, message

__all__ = [
    "MIN_PATIENTS",
    "Bools",
    "Doubles",
    "Integers",
    "Resampling",
    "auc_of",
    "kish_number",
    "predictive_value",
    "score_interval",
]

MIN_PATIENTS = 10
NO_ERROR = 1e-9  # below it the resamples differ by rounding only
BLOCK = 2**22  # numbers held at once


class Resampling:
    """Patients drawn with replacement, `rounds` times.

    Every estimate of a set of cases uses the same draws.

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

    @property
    def num_patients(self) -> int:
        return self.times.shape[1]

    def share(self, hits: Bools, among: Bools, missing: Text) -> Estimate:
        """The share of hits among some cases.

        Parameters
        ----------
        hits, among : (N,)
        missing : the reason where there is no such case.
        """
        if not among.any():
            return Estimate(None, 0, 0, reason=missing)
        shares = ratio(*self._sums(hits & among, among).T)
        return self._estimate(shares, among, at_most=int(among.sum()))

    def mean(self, values: Doubles) -> Estimate:
        """The mean of values in [0, 1], (N,)."""
        everyone = np.ones(values.shape, bool)
        if not values.size:
            return Estimate(None, 0, 0, reason=message("cohort.no_case"))
        means = ratio(*self._sums(values, everyone).T)
        return self._estimate(means, everyone, at_most=math.inf)

    def auc(self, positive: Bools, scores: Doubles) -> Estimate:
        """Probability that a positive case scores above a negative one, ties counting half.

        Parameters
        ----------
        positive, scores : (N,)
        """
        num_cases, num_patients = positive.size, num_different(self.patients)
        missing = one_class(positive)
        if missing is None and scores.min() == scores.max():
            missing = message("cohort.scores_equal")
        if missing is not None:
            return Estimate(None, num_cases, num_patients, reason=missing)
        size = max(1, BLOCK // num_cases)
        areas = [auc_of(positive, scores, np.ones((1, num_cases)))]
        for start in range(0, len(self.times), size):
            weights = self.times[start : start + size, self.patients]
            areas.append(auc_of(positive, scores, weights))
        smaller = min((positive, ~positive), key=lambda side: kish_number(self.patients[side]))
        estimate = self._estimate(np.concatenate(areas), smaller, at_most=num_cases)
        return _of_each_kind(replace(estimate, num_cases=num_cases, num_patients=num_patients))

    def ece(
        self, positive: Bools, probability: Doubles, bins: Integers
    ) -> tuple[Estimate, float | None]:
        """Expected calibration error, sum over bins of |sum of (probability - positive)| / N.

        Noise alone makes it larger than 0, and resampling doubles that bias: a percentile
        interval hardly ever holds the truth of a calibrated classifier. So the lower end is 0
        unless the value exceeds what the resamples of |sum* - sum| reach, and else the
        bias-corrected normal limit; the upper end is value + 1.96 errors.

        Parameters
        ----------
        positive, probability : (N,)
        bins : (N,) which bin a case is in: 0 .. number of bins - 1.

        Returns
        -------
        The estimate, and the value that a calibrated classifier stays below in 97.5 % of such
        samples.
        """
        num_cases, num_patients = positive.size, num_different(self.patients)
        if num_cases == 0:
            return Estimate(None, 0, 0, reason=message("cohort.no_case")), None
        excess = (probability - positive) * (bins == np.arange(bins.max() + 1)[:, None])
        sums = self._sums(*excess, np.ones(num_cases, bool))
        shares = sums[:, :-1] / sums[:, -1:]
        errors, noise = np.abs(shares).sum(1), np.abs(shares[1:] - shares[0]).sum(1)
        value = float(errors[0])
        error = float(errors[1:].std()) * math.sqrt(num_patients / max(1, num_patients - 1))
        reason = _no_interval(num_patients, error)
        if reason is not None:
            return Estimate(value, num_cases, num_patients, reason=reason), None
        calibrated, reach = float(np.quantile(noise, 0.975)), Z * error
        lower = 0.0
        if value > calibrated:
            lower = max(0.0, 2 * value - float(errors[1:].mean()) - reach)
        interval = lower, min(1.0, value + reach)
        return Estimate(value, num_cases, num_patients, interval), calibrated

    def mean_change(self, changes: Doubles) -> Estimate:
        """The mean change of each case from one run to another, (N,), in any unit."""
        num_cases, num_patients = changes.size, self.num_patients
        if not num_cases:
            return Estimate(None, 0, 0, reason=message("cohort.not_in_both"))
        if not changes.any():
            reason = message("cohort.same_in_every_case")
            return Estimate(0.0, num_cases, num_patients, reason=reason)
        means = ratio(*self._sums(changes, np.ones(changes.shape, bool)).T)
        return self._change(means, num_cases, num_patients, num_patients)

    def auc_change(self, positive: Bools, before: Doubles, after: Doubles) -> Estimate:
        """The AUC of the scores after minus that of those before, of the same cases.

        Both are resampled with the same patients: what they share cancels (as in DeLong and others,
        Biometrics 44, 1988).

        Parameters
        ----------
        positive, before, after : (N,)
        """
        num_cases, num_patients = positive.size, num_different(self.patients)
        missing = one_class(positive)
        if missing is not None:
            return Estimate(None, num_cases, num_patients, reason=missing)
        size = max(1, BLOCK // num_cases)
        times = np.concatenate([np.ones((1, self.num_patients), np.uint8), self.times])
        changes: list[Doubles] = []
        for start in range(0, len(times), size):
            weights = times[start : start + size, self.patients]
            later, earlier = (auc_of(positive, scores, weights) for scores in (after, before))
            changes.append(later - earlier)
        smaller = min(num_different(self.patients[side]) for side in (positive, ~positive))
        estimate = self._change(np.concatenate(changes), num_cases, num_patients, smaller)
        return _of_each_kind(estimate)

    def of_sums(
        self, statistic: Callable[[Doubles], Doubles], *columns: npt.NDArray[Any]
    ) -> Estimate:
        """A statistic of sums over cases, in any unit, with Student's t over patients.

        Parameters
        ----------
        statistic : sums (k, 1 + rounds) of the columns -> (1 + rounds,).
        columns : k columns of numbers, (N,) each.
        """
        num_cases, num_patients = columns[0].size, self.num_patients
        if num_patients < MIN_PATIENTS:
            return Estimate(None, num_cases, num_patients, reason=too_few_patients())
        with np.errstate(invalid="ignore"):  # a resample may have no spread: NaN, left out
            values = statistic(self._sums(*columns).T)
        return self._change(values, num_cases, num_patients, num_patients)

    def _change(
        self, statistic: Doubles, num_cases: int, num_patients: int, effective: int
    ) -> Estimate:
        """A change and its interval by Student's t of `effective` patients.

        Parameters
        ----------
        statistic : (1 + rounds,), of the cases as they are and of each resample.
        num_cases, num_patients : of the estimate.
        effective : patients that count for the interval.
        """
        value = float(statistic[0])
        if effective < MIN_PATIENTS:
            return Estimate(value, num_cases, num_patients, reason=too_few_patients())
        error = float(np.nanstd(statistic[1:])) * math.sqrt(num_patients / (num_patients - 1))
        if error < NO_ERROR:
            reason = message("cohort.resamples_equal")
            return Estimate(value, num_cases, num_patients, reason=reason)
        reach = t_quantile(effective - 1) * error
        return Estimate(value, num_cases, num_patients, (value - reach, value + reach))

    def _sums(self, *columns: npt.NDArray[Any]) -> Doubles:
        """The sum of each column (N,) of the cases and of each resample: (1 + rounds, columns)."""
        num_patients = self.num_patients
        sums_a_patient = [np.bincount(self.patients, column, num_patients) for column in columns]
        by_patient = np.stack(sums_a_patient, 1)
        size = max(1, BLOCK // num_patients)
        starts = range(0, len(self.times), size)
        resampled = [self.times[start : start + size] @ by_patient for start in starts]
        return np.concatenate([by_patient.sum(0, keepdims=True), *resampled])

    def _estimate(self, statistic: Doubles, among: Bools, at_most: float) -> Estimate:
        """The value and its score interval.

        Parameters
        ----------
        statistic : (1 + rounds,), of the cases as they are and of each resample.
        among : the cases that count, (N,).
        at_most : limits the effective number of cases.
        """
        patients, value = self.patients[among], float(statistic[0])
        num_cases, num_patients = patients.size, num_different(patients)
        if num_patients < MIN_PATIENTS:
            return Estimate(value, num_cases, num_patients, reason=too_few_patients())
        error = float(np.nanstd(statistic[1:])) * math.sqrt(num_patients / (num_patients - 1))
        if error < NO_ERROR:
            effective = kish_number(patients)
        else:
            effective = min(value * (1 - value) / error**2, at_most)
        effective *= (t_quantile(num_cases - 1) / t_quantile(num_patients - 1)) ** 2
        return Estimate(value, num_cases, num_patients, score_interval(value, effective))


def one_class(positive: Bools) -> Message | None:
    """Which class has no case; None where both have."""
    if not positive.any():
        return message("cohort.no_positive")
    return message("cohort.no_negative") if positive.all() else None


def too_few_patients() -> Message:
    """Why there is no interval."""
    return message("cohort.too_few_patients", limit=MIN_PATIENTS)


def _no_interval(num_patients: int, error: float) -> Message | None:
    """Why there is no interval; None where there is one."""
    if num_patients < MIN_PATIENTS:
        return too_few_patients()
    return message("cohort.resamples_equal") if error < NO_ERROR else None


def _of_each_kind(estimate: Estimate) -> Estimate:
    """An AUC counts the patients of the rarer kind, and its reason says so."""
    if estimate.reason != too_few_patients():
        return estimate
    return replace(estimate, reason=message("cohort.too_few_of_a_kind", limit=MIN_PATIENTS))

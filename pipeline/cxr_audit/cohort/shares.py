"""Formulas of shares, AUC and predictive values; NumPy and SciPy, no resampling."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_audit.records import Estimate
from cxr_audit.vocabulary import message

Z = 1.959963984540054  # of the standard normal distribution, 97.5 %

Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]
Integers = npt.NDArray[np.intp]
Interval = tuple[float, float]


def auc_of(positive: Bools, scores: Doubles, weights: npt.NDArray[Any]) -> Doubles:
    """The Mann-Whitney AUC for each row of case weights.

    Parameters
    ----------
    positive, scores : (N,)
    weights : (n, N)

    Returns
    -------
    (n,), NaN where a row has one class only.
    """
    order = np.argsort(scores, kind="stable")
    ordered, is_positive = scores[order], positive[order]
    weight = weights[:, order].astype(np.float64)
    below = np.zeros((len(weight), scores.size + 1))  # negative weight before each place
    np.cumsum(weight * ~is_positive, axis=1, out=below[:, 1:])
    positive_weight, score = weight[:, is_positive], ordered[is_positive]
    lower = np.searchsorted(ordered, score, "left")
    upper = np.searchsorted(ordered, score, "right")
    wins = (positive_weight * (below[:, lower] + below[:, upper])).sum(1) / 2
    return ratio(wins, positive_weight.sum(1) * below[:, -1])


def predictive_value(right: Estimate, other: Estimate, odds: float) -> Estimate:
    """A predictive value by Bayes' rule at a stated prevalence: 1 / (1 + odds (1 - other) / right).

    Its interval comes from those of the two shares, taken as independent, since they are of
    different cases (MOVER for a ratio: Donner and Zou, Stat Methods Med Res 21, 2012); it has a
    width where the specificity is 1.

    Parameters
    ----------
    right, other : sensitivity and specificity for the positive one; specificity and sensitivity for
        the negative one.
    odds : against what the value predicts, at that prevalence.
    """
    num_cases = right.num_cases + other.num_cases
    num_patients = right.num_patients + other.num_patients
    if right.value is None or other.value is None:
        return Estimate(None, num_cases, num_patients, reason=right.reason or other.reason)
    wrong = 1 - other.value
    if right.value == wrong == 0:
        code = "cohort.none_called_so"
        return Estimate(None, num_cases, num_patients, reason=message(code))
    value = right.value / (right.value + odds * wrong)
    if right.interval_95 is None or other.interval_95 is None:
        return Estimate(value, num_cases, num_patients, reason=right.reason or other.reason)
    wrong_interval = 1 - other.interval_95[1], 1 - other.interval_95[0]
    smallest, largest = ratio_interval(wrong, wrong_interval, right.value, right.interval_95)
    interval = 1 / (1 + odds * largest), 1 / (1 + odds * smallest)
    return Estimate(value, num_cases, num_patients, interval)


def ratio_interval(
    over: float, over_interval: Interval, under: float, under_interval: Interval
) -> Interval:
    """The interval of over / under, from those of two independent shares (MOVER)."""
    over_low, over_high = over_interval
    low, high = under_interval
    product = over * under
    smallest, largest = 0.0, math.inf
    near, far = over_low * (2 * over - over_low), high * (2 * under - high)
    if near > 0:
        smallest = near / (product + math.sqrt(max(0.0, product**2 - near * far)))
    near, far = over_high * (2 * over - over_high), low * (2 * under - low)
    if far > 0:
        largest = (product + math.sqrt(max(0.0, product**2 - near * far))) / far
    return smallest, largest


def score_interval(share: float, number: float) -> Interval:
    """Wilson's 95 % interval of a share of `number` cases, which need not be whole."""
    centre = (share + Z**2 / (2 * number)) / (1 + Z**2 / number)
    error = math.sqrt(share * (1 - share) / number + (Z / (2 * number)) ** 2)
    reach = Z / (1 + Z**2 / number) * error
    # At 0 and 1, centre and reach differ by rounding only.
    lower = max(0.0, centre - reach) if share > 0 else 0.0
    upper = min(1.0, centre + reach) if share < 1 else 1.0
    return lower, upper


def number_of(share: float, interval: Interval) -> float:
    """Of how many cases a share has this score interval: `score_interval`, inverted.

    With h half the width, x = z^2 / n solves (h^2 - 1/4) x^2 + (2 h^2 - p (1 - p)) x + h^2 = 0.
    """
    half = (interval[1] - interval[0]) / 2
    a, b, c = half**2 - 0.25, 2 * half**2 - share * (1 - share), half**2
    root = math.sqrt(max(0.0, b**2 - 4 * a * c))
    return Z**2 * 2 * a / (-b - root)


def number_that_excludes(limit: float, share: float) -> float:
    """From how many cases on the score interval of a share no longer holds a limit.

    The interval holds the limits L with (p - L)^2 <= z^2 L (1 - L) / n. Infinite where they are
    equal.
    """
    if share == limit:
        return math.inf
    return Z**2 * limit * (1 - limit) / (share - limit) ** 2


def kish_number(patients: Integers) -> float:
    """How many independent cases some are worth if a patient's cases are all alike."""
    counts = np.bincount(patients).astype(float)
    return float(counts.sum() ** 2 / (counts**2).sum())


def num_different(patients: Integers) -> int:
    return int(np.unique(patients).size)


def t_quantile(degrees: int) -> float:
    """97.5 % quantile of Student's t."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, 0.975))


def ratio(over: Doubles, under: Doubles) -> Doubles:
    """NaN where nothing is below the line."""
    nothing = np.full(over.shape, np.nan)
    ratio: Doubles = np.divide(over, under, out=nothing, where=under > 0)
    return ratio

"""A criterion and an assumed truth -> how many cases a run needs to meet it.

A share (also the AUC, by the number of cases that it is worth) has Wilson's interval. The number
is the smallest from which on the chance is at least `power` that the less favourable end of the
interval lies on the right side of the limit, if the true value is the assumed one; by the
binomial distribution, exactly. Cases are those of different patients that the share is of: for a
sensitivity the positive ones. The AUC of n positive and n negative cases has the variance of
Hanley and McNeil (Radiology 143, 1982).

For the Brier and the calibration error the number depends on how the outputs are distributed, for
checks of the model on the classifier: there is none, with the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from cxr_audit.cohort.acceptance import Requirement, criterion_text
from cxr_audit.cohort.intervals import MIN_PATIENTS
from cxr_audit.cohort.shares import Z, score_interval
from cxr_audit.config import Acceptance, Criterion
from cxr_audit.vocabulary import RUN_METRICS, Message, Text, message
from cxr_audit.vocabulary.checks import criteria_of_model

MOST_CASES = 1_000_000
OF_METRICS = {
    "sensitivity": "cohort.positive_cases",
    "specificity": "cohort.negative_cases",
    "ppv": "cohort.called_cases",
    "npv": "cohort.not_called_cases",
    "auc": "cohort.cases_of_each_class",
}


@dataclass(frozen=True, slots=True)
class Need:
    """How many cases a criterion needs.

    Parameters
    ----------
    criterion : in words.
    limit : its number; None for a check of the model.
    assumed : the true value that was assumed.
    num_cases : None where there is no number, with the `reason`.
    cases : which cases these are.
    """

    criterion: Text
    limit: float | None = None
    assumed: float | None = None
    num_cases: int | None = None
    cases: Text | None = None
    reason: Text | None = None


def power_table(
    acceptance: Acceptance, assumed: Mapping[str, float] | None = None, power: float = 0.8
) -> tuple[Need, ...]:
    """How many cases each criterion needs.

    Parameters
    ----------
    acceptance : of the config.
    assumed : by metric, its true value; by default halfway from the limit to the best there is.
    power : chance that the run meets the criterion, in (0, 1).
    """
    return tuple(_need(criterion, assumed or {}, power) for criterion in acceptance.criteria)


def _need(criterion: Criterion, assumed: Mapping[str, float], power: float) -> Need:
    name = criterion.metric
    if name in criteria_of_model():
        return Need(criterion_text(criterion), reason=message("cohort.power_of_check"))
    text, requirement = criterion_text(criterion), Requirement.of(criterion)
    best = 1.0 if requirement.is_lowest else 0.0
    true_value = assumed.get(name, (requirement.limit + best) / 2)
    reason = _no_number(requirement)
    if reason is not None:
        return Need(text, requirement.limit, true_value, reason=reason)
    number = auc_cases_needed if name == "auc" else cases_needed
    num_cases = number(requirement.limit, true_value, requirement.is_lowest, power)
    missing = None if num_cases else message("cohort.power_never", assumed=true_value)
    return Need(text, requirement.limit, true_value, num_cases, cases_of(criterion), missing)


def _no_number(requirement: Requirement) -> Message | None:
    """Why a criterion of a run has no number of cases."""
    if requirement.bound == "estimate":
        return message("cohort.power_of_count")
    if requirement.metric in ("brier", "ece"):
        return message("cohort.power_of_error")
    return None


def cases_of(criterion: Criterion) -> Message:
    """The cases that a criterion's number is of."""
    name = criterion.metric
    if name in RUN_METRICS:
        return message(OF_METRICS[name])
    return message("cohort.all_cases" if criterion.cases == "all" else f"cohort.{criterion.cases}")


def cases_needed(limit: float, assumed: float, is_lowest: bool, power: float) -> int | None:
    """From how many cases on a share meets its limit by the less favourable end of its interval.

    Parameters
    ----------
    limit : of the share.
    assumed : the true share.
    is_lowest : the limit is the lowest share that is good enough, else the highest.
    power : chance of meeting it, in (0, 1).

    Returns
    -------
    None where no number up to a million is enough.
    """
    if not is_lowest:
        limit, assumed = 1 - limit, 1 - assumed
    if assumed <= limit or limit >= 1:
        return None

    def chance(num: int) -> float:
        return chance_of_meeting(limit, assumed, num)

    return _smallest(chance, power)


def chance_of_meeting(limit: float, assumed: float, num: int) -> float:
    """The chance that the lower end of Wilson's interval reaches a limit.

    Parameters
    ----------
    limit : of the share.
    assumed : the true share.
    num : of cases.
    """
    from scipy.special import bdtrc

    hits = fewest_hits(limit, num)
    if hits > num:
        return 0.0
    return 1.0 if hits == 0 else float(bdtrc(hits - 1, num, assumed))


def fewest_hits(limit: float, num: int) -> int:
    """The fewest hits of `num` cases whose interval reaches the limit; num + 1 where none do."""
    # The interval holds the limits L with (p - L)^2 <= z^2 L (1 - L) / n.
    share = limit + Z * math.sqrt(limit * (1 - limit) / num)
    hits = min(num + 1, max(0, math.floor(num * share)))
    while hits <= num and score_interval(hits / num, num)[0] < limit:
        hits += 1
    return hits


def auc_cases_needed(limit: float, assumed: float, is_lowest: bool, power: float) -> int | None:
    """From how many positive and as many negative cases on an AUC meets its limit.

    Parameters and result are those of `cases_needed`. The AUC is taken as a share of the effective
    number of cases, A (1 - A) / variance.
    """
    if (assumed <= limit) if is_lowest else (assumed >= limit):
        return None

    def chance(num: int) -> float:
        variance = hanley_mcneil(assumed, num, num)
        worth = assumed * (1 - assumed) / variance if variance else float(num)
        # The estimate is nearly normal around the truth; it has to reach the end of the interval.
        side = 1 if is_lowest else -1
        needed = limit + side * Z * math.sqrt(limit * (1 - limit) / worth)
        distance = side * (assumed - needed) / math.sqrt(variance or 1e-12)
        return _normal(distance)

    return _smallest(chance, power)


def hanley_mcneil(auc: float, num_positive: int, num_negative: int) -> float:
    """The variance of an AUC, for exponential scores."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    positive = (num_positive - 1) * (q1 - auc**2)
    negative = (num_negative - 1) * (q2 - auc**2)
    return (auc * (1 - auc) + positive + negative) / (num_positive * num_negative)


def _smallest(chance: Callable[[int], float], power: float) -> int | None:
    """The smallest number from which on the chance stays at `power` or above.

    The chance of a share is no steady function of the number: it falls a little before each number
    at which one hit more may be missing.
    """
    high = MIN_PATIENTS
    while chance(high) < power:
        high *= 2
        if high > MOST_CASES:
            return None
    numbers = np.arange(MIN_PATIENTS, 2 * high + 1)
    if high > 2000:
        numbers = np.unique(np.linspace(MIN_PATIENTS, 2 * high, 4000).astype(int))
    enough = [chance(int(number)) >= power for number in numbers]
    last_short = max((place for place, is_met in enumerate(enough) if not is_met), default=-1)
    return int(numbers[min(last_short + 1, numbers.size - 1)])


def _normal(distance: float) -> float:
    return 0.5 * (1 + math.erf(distance / math.sqrt(2)))

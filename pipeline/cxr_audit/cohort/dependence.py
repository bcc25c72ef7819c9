"""Cases, limits -> does the output of a run depend on markers, the border or the brightness?

Every radiograph has a border and a brightness, and some logits move with them: how far one logit
moves (the flags) does not say that they make the difference between cases. Each check compares
the change of a case's own logit (paired), whatever its direction (unsigned), with the spread of
the logit between cases:

marker    of the cases that have a marker, the share that is flagged for it: how many radiographs
          have one does not matter
border    the standard deviation of the change with the border replaced by the run's mean
          radiograph, over that of the logit. The same change in every case makes no difference
          between cases, and is 0; two parts of the border whose effects cancel are seen
exposure  the standard deviation of the logit over one image as it is, darker and brighter (root
          mean square over the cases), over that between the images. A logit that rises as well as
          falls with brightness, from case to case or on both sides of one value, is seen

The 95 % interval over patients decides: passed where all of it is at or below the limit, failed
where all of it is above, else undecided. With fewer than `MIN_PATIENTS` patients, or where the
logit hardly differs between cases (`NEARLY_CONSTANT`), a check is not run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cxr_audit.cohort.columns import Cases
from cxr_audit.cohort.intervals import MIN_PATIENTS, Doubles, Integers, Resampling
from cxr_audit.config import Acceptance
from cxr_audit.records import Check, Estimate
from cxr_audit.vocabulary import Text, message

CHECKS = ("marker_dependence", "border_dependence", "exposure_dependence")
NEARLY_CONSTANT = 0.1
"""Standard deviation of the logit, log-odds, below which an output is nearly constant.

Two standard deviations to either side are then 10 percentage points at most.
"""


@dataclass(frozen=True)
class Changes:
    """Changes of the logit, case by case, NaN where it was not measured; (N,) each.

    Parameters
    ----------
    logit : as the case is.
    border : with the border replaced.
    brightness : the variance of the logit over the image as it is, darker and brighter.
    """

    logit: Doubles
    border: Doubles
    brightness: Doubles

    @classmethod
    def of(cls, cases: Cases) -> Changes:
        """Of every case; a case that was stopped has none."""
        logit = [case.logit for case in cases.summaries]
        border = [case.border_change for case in cases.summaries]
        brightness = [
            None if case.exposure is None else float(np.var([0.0, *case.exposure]))
            for case in cases.summaries
        ]
        return cls(np.array(logit, float), np.array(border, float), np.array(brightness, float))


def dependence(
    cases: Cases,
    limits: Acceptance,
    patients: Mapping[str, int],
    rounds: int = 2000,
    seed: int = 0,
) -> tuple[Check, ...]:
    """The checks of `vocabulary.checks.checks_of_run`; failed = the output depends on it.

    Parameters
    ----------
    cases : all cases of the run.
    limits : of the config.
    patients : the number of each case's patient.
    rounds, seed : of the resampling of patients.
    """
    changes = Changes.of(cases)
    numbers: Integers = np.array([patients[case.case_id] for case in cases.summaries], np.intp)
    spread = _spread(changes.logit)
    if spread is not None and spread < NEARLY_CONSTANT:
        reason = message("cohort.nearly_constant", spread=spread, limit=NEARLY_CONSTANT)
        return tuple(Check(name, "not_run", reason=reason) for name in CHECKS)
    has_border = ~np.isnan(changes.border)
    moments = _moments(changes.logit[has_border], changes.border[has_border])
    border = Resampling(numbers[has_border], rounds, seed).of_sums(ratio_of_spreads, *moments)
    has_brightness = ~np.isnan(changes.brightness)
    moments = _moments(changes.logit[has_brightness], changes.brightness[has_brightness])
    draws = Resampling(numbers[has_brightness], rounds, seed)
    brightness = draws.of_sums(spread_within_cases, *moments)
    has_marker = np.array([case.has_marker for case in cases.summaries], bool)
    has_marker &= cases.is_defined("flag_marker")
    flagged = cases.values("flag_marker")[has_marker] == 1
    draws = Resampling(numbers[has_marker], rounds, seed)
    marker = draws.share(flagged, np.ones(flagged.shape, bool), message("cohort.no_marker"))
    return (
        _judged("marker_dependence", marker, limits.dependence_marker_share),
        _judged("border_dependence", border, limits.dependence_border_spread),
        _judged("exposure_dependence", brightness, limits.dependence_exposure_spread),
    )


def _spread(logit: Doubles) -> float | None:
    """The standard deviation of the logits that there are."""
    known = logit[~np.isnan(logit)]
    return float(known.std()) if known.size else None


def _moments(logit: Doubles, change: Doubles) -> tuple[Doubles, ...]:
    """What the statistics are sums of: 1, y, y^2, c, c^2, with y around its mean."""
    centred = logit - logit.mean() if logit.size else logit
    return np.ones(logit.size), centred, centred**2, change, change**2


def ratio_of_spreads(sums: Doubles) -> Doubles:
    """Standard deviation of the change over that of the logit, from sums (5, n) of `_moments`."""
    number, y, y2, change, change2 = sums
    return np.sqrt(_variance(number, change, change2) / _variance(number, y, y2))


def spread_within_cases(sums: Doubles) -> Doubles:
    """Standard deviation within cases over that of the logit between them, from sums (5, n).

    The change is a variance.
    """
    number, y, y2, variance, _ = sums
    return np.asarray(np.sqrt(variance / number / _variance(number, y, y2)))


def _variance(number: Doubles, total: Doubles, squares: Doubles) -> Doubles:
    return np.maximum(squares / number - (total / number) ** 2, 0)


def _judged(name: str, estimate: Estimate, limit: float) -> Check:
    """The check of an estimate whose interval decides."""
    shown = message("cohort.at_most", limit=limit)
    value, num = estimate.value, estimate.num_patients
    if value is None or num < MIN_PATIENTS:
        reason = message("cohort.dependence_few_patients", num=num, needed=MIN_PATIENTS)
        return Check(name, "not_run", None, shown, reason)
    # Where every resample gives the same, so does the interval.
    low, high = estimate.interval_95 or (value, value)
    interval = max(0.0, low), high
    detail = message(f"cohort.{name}", num=estimate.num_cases)
    if interval[1] <= limit:
        return Check(name, "passed", value, shown, None, detail, interval)
    if interval[0] > limit:
        reason = message("cohort.output_depends", value=value, limit=limit)
        return Check(name, "failed", value, shown, reason, detail, interval)
    why = _undecided(estimate, interval, limit)
    return Check(name, "undecided", value, shown, why, detail, interval)


def _undecided(estimate: Estimate, interval: tuple[float, float], limit: float) -> Text:
    """Why a check is undecided; the width of an interval falls with their square root."""
    value = estimate.value or 0.0
    low, high = interval
    if value == limit:
        return message("cohort.interval_holds_limit", low=low, high=high, limit=limit)
    reach = value - low if value > limit else high - value
    needed = math.ceil(estimate.num_patients * (reach / (value - limit)) ** 2)
    return message(
        "cohort.undecided_patients", low=low, high=high, limit=limit, needed=max(needed, 1)
    )

"""Cases, limits -> does the output of a run depend on markers, the border or the brightness?

Every radiograph has a border and a brightness, and some logits move with them: how far one logit
moves (the flags) does not say that they make the difference between cases. So, of all audited
cases:

marker    the share of those in which it could be assessed that are flagged for it
border    the share of the variance of the logit y between cases that the border brings,
          cov(b, y) / var(y), where b is what the logit loses with the border replaced by the run's
          mean radiograph; the shares of parts whose sum is y add up to 1
exposure  the AUC of the logit between the radiographs made brighter and the same made darker: 0.5
          where it cannot tell one from the other; below, it falls with brightness, and counts alike

With fewer than `MIN_PATIENTS` patients a check is not run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from cxr_audit.cohort.columns import Cases
from cxr_audit.cohort.intervals import MIN_PATIENTS, Doubles, auc_of
from cxr_audit.config import Acceptance
from cxr_audit.records import Check
from cxr_audit.vocabulary import message

CHECKS = ("marker_dependence", "border_dependence", "exposure_dependence")


def dependence(cases: Cases, limits: Acceptance, patients: Mapping[str, int]) -> tuple[Check, ...]:
    """The checks of `vocabulary.checks.checks_of_run`; failed = the output depends on it.

    Parameters
    ----------
    cases : all cases of the run.
    limits : of the config.
    patients : the number of each case's patient.
    """
    marked: dict[str, float] = {}
    bordered: dict[str, tuple[float, float]] = {}
    exposed: dict[str, tuple[float, float]] = {}
    is_flagged, is_assessed = cases.values("flag_marker"), cases.is_defined("flag_marker")
    for place, case in enumerate(cases.summaries):
        if case.logit is None:
            continue
        if is_assessed[place]:
            marked[case.case_id] = is_flagged[place]
        if case.border_change is not None:
            bordered[case.case_id] = case.logit, -case.border_change
        if case.exposure is not None:
            darker, brighter = case.exposure
            exposed[case.case_id] = case.logit + darker, case.logit + brighter
    found: dict[str, tuple[Mapping[str, Any], Callable[[Doubles], Any], float]] = {
        "marker_dependence": (marked, np.mean, limits.dependence_marker_share),
        "border_dependence": (bordered, variance_share, limits.dependence_border_variance),
        "exposure_dependence": (exposed, told_apart, limits.dependence_exposure_auc),
    }
    return tuple(_check(name, patients, *found[name]) for name in CHECKS)


def variance_share(values: Doubles) -> float:
    """cov(b, y) / var(y) of rows (y, b), (N, 2); 0 where y never differs."""
    spread = float(values[:, 0].var())
    return float(np.cov(values.T, bias=True)[0, 1]) / spread if spread else 0.0


def told_apart(values: Doubles) -> float:
    """The AUC between two columns (N, 2), in the direction in which it is at least 0.5."""
    is_second = np.repeat([False, True], len(values))
    auc = float(auc_of(is_second, values.T.ravel(), np.ones((1, values.size)))[0])
    return max(auc, 1 - auc)


def _check(
    name: str,
    patients: Mapping[str, int],
    by_case: Mapping[str, Any],
    measure: Callable[[Doubles], Any],
    limit: float,
) -> Check:
    shown = message("cohort.at_most", limit=limit)
    num = len({patients[case_id] for case_id in by_case})
    if num < MIN_PATIENTS:
        reason = message("cohort.dependence_few_patients", num=num, needed=MIN_PATIENTS)
        return Check(name, "not_run", None, shown, reason)
    value = float(measure(np.array(list(by_case.values()), np.float64)))
    if value <= limit:
        return Check(name, "passed", value, shown)
    reason = message("cohort.output_depends", value=value, limit=limit)
    return Check(name, "failed", value, shown, reason)

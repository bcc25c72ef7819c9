"""CaseRecords, limits -> do the answers of a run depend on markers, the border or the exposure: a `Check` each.

Every radiograph has a border and an exposure, and some logits move with them: how far one logit moves (the flags of
`cxr_audit.verdict`) does not say that they make the difference between cases. So, of all audited cases:

    marker    the share of those in which it could be judged that are flagged for it
    border    the share of the variance of the logit y between cases that the border brings, cov(b, y) / var(y), where
              b is what the logit loses where the border is as usual in the run; the shares of parts whose sum is y
              add up to 1
    exposure  the AUC of the logit between the radiographs made brighter and the same made darker: 0.5 where it cannot
              tell one from the other; below, it falls with exposure, and counts as much

Refuses what is known of fewer than `MIN_PATIENTS` patients: the check is not run, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from cxr_audit.cohort.intervals import MIN_PATIENTS, Doubles, auc_of
from cxr_audit.config import Acceptance
from cxr_audit.records import DEPENDENCE, CaseRecord, Check

WHAT = {
    "marker_dependence": "share of the cases flagged for a marker",
    "border_dependence": "share of the variance of the logit between cases that the border brings",
    "exposure_dependence": "AUC of the logit between radiographs made brighter and the same made darker",
}


def dependence(
    records: Sequence[CaseRecord], limits: Acceptance, patients: Mapping[str, int]
) -> tuple[Check, ...]:
    """A check of each of `records.DEPENDENCE`; failed = the answers depend on it. `patients`: of each case."""
    audited = [
        (record, record.prediction.logit)
        for record in records
        if record.status == "ok" and record.prediction
    ]
    judged = [r for r, _ in audited if "marker" not in r.flags_undefined]
    marked = {r.case_id: any(flag.name == "marker" for flag in r.flags) for r in judged}
    bordered = {r.case_id: (y, -r.as_usual["border"]) for r, y in audited if "border" in r.as_usual}
    exposed = {
        r.case_id: (y + r.exposure["darker"], y + r.exposure["brighter"])
        for r, y in audited
        if r.exposure
    }
    found: dict[str, tuple[Mapping[str, Any], Callable[[Doubles], Any], float]] = {
        "marker_dependence": (marked, np.mean, limits.dependence_marker_share),
        "border_dependence": (bordered, variance_share, limits.dependence_border_variance),
        "exposure_dependence": (exposed, told_apart, limits.dependence_exposure_auc),
    }
    return tuple(_check(name, patients, *found[name]) for name in DEPENDENCE)


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
    of_case: Mapping[str, Any],
    measure: Callable[[Doubles], Any],
    limit: float,
) -> Check:
    words = f"at most {limit:g}"
    num = len({patients[case_id] for case_id in of_case})
    if num < MIN_PATIENTS:
        few = f"it takes {MIN_PATIENTS} patients of whom it is known; there are {num}"
        return Check(name, WHAT[name], "not_run", None, words, few)
    value = float(measure(np.array(list(of_case.values()), np.float64)))
    if value <= limit:
        return Check(name, WHAT[name], "passed", value, words)
    return Check(name, WHAT[name], "failed", value, words, f"{value:.2f}: the answers depend on it")

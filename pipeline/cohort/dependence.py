"""CaseRecords, limits -> do the answers of a run depend on markers, the border or the exposure: a `Check` each.

Every radiograph has a border and an exposure, and some logits move with them: how far one logit moves (the flags of
`pipeline.verdict`) does not say that they make the difference between cases. So, of all audited cases:

    marker    the share of those in which it could be judged that are flagged for it
    border    the share of the variance of the logit y between cases that the border brings, cov(b, y) / var(y), where
              b is what the logit loses where the border is as usual in the run; the shares of parts whose sum is y
              add up to 1
    exposure  the AUC of the logit between the radiographs made brighter and the same made darker: 0.5 where it cannot
              tell one from the other; below, it falls with exposure, and counts as much

Refuses what fewer than `MIN_PATIENTS` cases say: the check is not run, with the reason.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.cohort.intervals import MIN_PATIENTS, Doubles, auc_of
from pipeline.config import Acceptance
from pipeline.records import DEPENDENCE, CaseRecord, Check

WHAT = {
    "marker_dependence": "share of the cases flagged for a marker",
    "border_dependence": "share of the variance of the logit between cases that the border brings",
    "exposure_dependence": "AUC of the logit between radiographs made brighter and the same made darker",
}


def dependence(records: Sequence[CaseRecord], limits: Acceptance) -> tuple[Check, ...]:
    """A check of each of `records.DEPENDENCE`; failed = the answers depend on it."""
    audited = [(record, record.prediction.logit) for record in records if record.status == "ok" and record.prediction]
    judged = [record for record, _ in audited if "marker" not in record.flags_undefined]
    bordered = [(y, -record.as_usual["border"]) for record, y in audited if "border" in record.as_usual]
    exposed = [(y + r.exposure["darker"], y + r.exposure["brighter"]) for r, y in audited if r.exposure]
    found = {
        "marker_dependence": (len(judged), _share(judged), limits.dependence_marker_share),
        "border_dependence": (len(bordered), variance_share(np.array(bordered)), limits.dependence_border_variance),
        "exposure_dependence": (len(exposed), told_apart(np.array(exposed)), limits.dependence_exposure_auc),
    }
    return tuple(_check(name, *found[name]) for name in DEPENDENCE)


def variance_share(values: Doubles) -> float:
    """cov(b, y) / var(y) of rows (y, b), (N, 2); 0 where y never differs."""
    if len(values) < 2 or not (spread := float(values[:, 0].var())):
        return 0.0
    return float(np.cov(values.T, bias=True)[0, 1]) / spread


def told_apart(values: Doubles) -> float:
    """The AUC between two columns (N, 2), in the direction in which it is at least 0.5."""
    if not len(values):
        return 0.5
    is_second = np.repeat([False, True], len(values))
    auc = float(auc_of(is_second, values.T.ravel(), np.ones((1, values.size)))[0])
    return max(auc, 1 - auc)


def _share(judged: Sequence[CaseRecord]) -> float:
    return sum(any(flag.name == "marker" for flag in record.flags) for record in judged) / max(1, len(judged))


def _check(name: str, num_cases: int, value: float, limit: float) -> Check:
    words = f"at most {limit:g}"
    if num_cases < MIN_PATIENTS:
        return Check(
            name, WHAT[name], "not_run", None, words, f"it is known of {num_cases} cases, fewer than {MIN_PATIENTS}"
        )
    if value <= limit:
        return Check(name, WHAT[name], "passed", value, words)
    return Check(name, WHAT[name], "failed", value, words, f"{value:.2f}: the answers depend on it")

"""Checks that outputs and maps differ between radiographs.

An output that hardly varies, or one map for every radiograph, passes every check of the explanation
itself: such a map may well be faithful to such a model. It says nothing of a case, and is a finding
of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from cxr_audit.records import Check, ClassActivationMap
from cxr_audit.vocabulary import message

OUTPUT = "output_variation"
MAPS = "map_variation"
# Fewer cases do not show a spread.
FEWEST = 8
# Spread of a probability below which the answer is the same for nearly every case.
OUTPUT_LIMIT = 0.01
# Mean rank correlation between cases above which there is one map for all.
MAPS_LIMIT = 0.95
# So many cases are compared pair by pair.
COMPARED = 32


def check_output_varies(probabilities: Sequence[float]) -> Check:
    """Whether the reported probability of the target class varies over a sample.

    Parameters
    ----------
    probabilities : one a case, in [0, 1].

    Returns
    -------
    The spread from the 5th to the 95th percentile, failed where it is below 0.01; not run for fewer
    than 8 cases.
    """
    values = np.asarray(probabilities, np.float64)
    values = values[np.isfinite(values)]
    limit = message("explain.limit_output_varies", limit=OUTPUT_LIMIT)
    if len(values) < FEWEST:
        return _not_run(OUTPUT, len(values))
    low, high = (float(edge) for edge in np.percentile(values, (5, 95)))
    spread = high - low
    if spread >= OUTPUT_LIMIT:
        return Check(OUTPUT, "passed", spread, limit)
    reason = message("explain.output_hardly_varies", low=low, high=high)
    return Check(OUTPUT, "failed", spread, limit, reason)


def check_maps_vary(maps: Sequence[ClassActivationMap]) -> Check:
    """Whether the maps of different radiographs differ.

    Parameters
    ----------
    maps : one a case, of one method and layer. Maps without evidence or order are left out: they
        are counted by their status elsewhere.

    Returns
    -------
    The mean Spearman correlation over the pairs of up to 32 maps, spread over the sample; failed
    above 0.95, not run for fewer than 8 maps.
    """
    chosen = [
        case_map.values.ravel()
        for case_map in maps
        if case_map.facts.status in ("ok", "negative_only")
    ]
    chosen = [values for values in chosen if np.ptp(values) > 0]
    if len(chosen) < FEWEST:
        return _not_run(MAPS, len(chosen))
    num = min(COMPARED, len(chosen))
    compared = [chosen[n * len(chosen) // num] for n in range(num)]
    mean = _mean_rank_correlation(np.stack(compared))
    limit = message("explain.limit_maps_vary", limit=MAPS_LIMIT)
    if mean <= MAPS_LIMIT:
        return Check(MAPS, "passed", mean, limit)
    return Check(MAPS, "failed", mean, limit, message("explain.map_hardly_varies"))


def _mean_rank_correlation(maps: npt.NDArray[np.floating]) -> float:
    """Of maps (N, cells): the mean over all pairs; ties share their mean rank."""
    ranks = rankdata(maps, axis=1)
    ranks -= ranks.mean(1, keepdims=True)
    ranks /= np.linalg.norm(ranks, axis=1, keepdims=True)
    correlations = [first @ second for first, second in combinations(ranks, 2)]
    return float(np.mean(correlations))


def _not_run(name: str, num: int) -> Check:
    reason = message("explain.too_few_cases", num=num, needed=FEWEST)
    return Check(name, "not_run", reason=reason)

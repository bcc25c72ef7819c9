"""The explained logit, split by place."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from cxr_audit.records import Floats, LogitBudget, MapFacts


def budget(values: Floats, facts: MapFacts, shares: Mapping[str, Floats]) -> LogitBudget | None:
    """What each region's cells, the rest, and the bias add to the explained logit.

    Parameters
    ----------
    values : (h, w), the signed map in logits.
    facts : of the map.
    shares : name of a region -> share (h, w) of each cell's area inside it. Regions do not overlap;
        a cell that lies partly in one counts by its area, and what lies in none is "elsewhere".

    Returns
    -------
    None for a map that is not in logits or not finite. Where the map does not promise to add up,
    the last part says what it leaves open.

    Raises
    ------
    ValueError : regions overlap.
    """
    if facts.gap is None:
        return None
    signed = values.astype(np.float64)
    rest = np.ones(values.shape)
    for share in shares.values():
        rest -= share.astype(np.float64)
    if rest.min() < -1e-5:
        raise ValueError(
            f"the regions {', '.join(shares)} overlap: a cell has a share of {1 - rest.min():.4g}"
        )
    parts = {name: float((signed * share).sum()) for name, share in shares.items()}
    if rest.max() > 1e-5:
        parts["elsewhere"] = float((signed * rest).sum())
    if facts.bias is not None:
        parts["bias" if facts.layer != "input" else "logit of the baseline"] = facts.bias
    logit = float(signed.sum()) + (facts.bias or 0.0) + facts.gap
    if not facts.is_exact:
        parts["not accounted for"] = logit - sum(parts.values())
    return LogitBudget(logit, tuple(parts.items()), facts.is_exact)

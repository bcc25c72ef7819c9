"""Two maps of one grid -> how similar they are, whatever their unit.

Spearman's rank correlation (ties share their mean rank) and SSIM (Wang et al., IEEE TIP 2004, eq.
13: uniform windows, K1 0.01, K2 0.03) of maps scaled to [0, 1] each. Both are in [-1, 1]. A map
of one value has no order and no structure: its similarity with any map is 0.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view
from scipy.stats import rankdata

from cxr_audit.records import Floats

Doubles = npt.NDArray[np.float64]
WINDOW = 7


def spearman(a: Floats, b: Floats) -> Doubles:
    """Rank correlation of maps (..., h, w), pair by pair: (...,)."""
    ranks = [rankdata(maps.reshape(*maps.shape[:-2], -1), axis=-1) for maps in (a, b)]
    x, y = (rank - rank.mean(-1, keepdims=True) for rank in ranks)
    return _ratio((x * y).sum(-1), np.sqrt((x * x).sum(-1) * (y * y).sum(-1)))


def ssim(a: Floats, b: Floats) -> Doubles:
    """Mean structural similarity of maps (..., h, w), pair by pair: (...,).

    Windows have 7 x 7 cells; on a smaller grid, the largest odd size that fits.
    """
    side = min(WINDOW, *a.shape[-2:])
    side -= 1 - side % 2
    window = (side, side)
    x = sliding_window_view(_scaled(a), window, axis=(-2, -1))
    y = sliding_window_view(_scaled(b), window, axis=(-2, -1))
    mean_x, mean_y = x.mean((-2, -1)), y.mean((-2, -1))
    unbiased = side**2 / max(1, side**2 - 1)
    var_x, var_y = x.var((-2, -1)) * unbiased, y.var((-2, -1)) * unbiased
    covariance = ((x * y).mean((-2, -1)) - mean_x * mean_y) * unbiased
    c1, c2 = 0.01**2, 0.03**2
    value = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    has_structure = (np.ptp(a, (-2, -1)) > 0) & (np.ptp(b, (-2, -1)) > 0)
    return np.asarray(np.where(has_structure, value.mean((-2, -1)), 0.0))


def _scaled(maps: Floats) -> Doubles:
    low = maps.min((-2, -1), keepdims=True).astype(np.float64)
    return _ratio(maps - low, maps.max((-2, -1), keepdims=True) - low)


def _ratio(above: Doubles, below: Doubles) -> Doubles:
    """0 where there is nothing to divide by."""
    return np.divide(above, below, out=np.zeros_like(above, np.float64), where=below > 0)

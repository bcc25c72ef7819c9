"""Rank correlation and SSIM of maps, against loops and hand calculation."""

from __future__ import annotations

import numpy as np
import pytest
from cxr_audit.trust.similarity import spearman, ssim
from scipy import stats


def slow_ssim(a: np.ndarray, b: np.ndarray, side: int) -> float:
    """Wang et al. 2004, eq. 13, window by window."""
    x, y = ((m - m.min()) / (m.max() - m.min()) for m in (a.astype(float), b.astype(float)))
    found = []
    for r in range(a.shape[0] - side + 1):
        for c in range(a.shape[1] - side + 1):
            p, q = (m[r : r + side, c : c + side].ravel() for m in (x, y))
            (vp, cov), (_, vq) = np.cov(p, q)
            above = (2 * p.mean() * q.mean() + 1e-4) * (2 * cov + 9e-4)
            found.append(above / ((p.mean() ** 2 + q.mean() ** 2 + 1e-4) * (vp + vq + 9e-4)))
    return float(np.mean(found))


@pytest.mark.parametrize(("shape", "side"), [((14, 14), 7), ((8, 10), 7), ((4, 4), 3)])
def test_ssim_and_spearman_equal_independent_ones(shape: tuple[int, int], side: int) -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 3, *shape)).astype(np.float32)
    b = np.round(b, 1)  # ties
    np.testing.assert_allclose(
        ssim(a, b), [slow_ssim(x, y, side) for x, y in zip(a, b, strict=True)], rtol=1e-6
    )
    expected = [stats.spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(spearman(a, b), expected, rtol=1e-10)


def test_a_map_is_like_itself_in_any_unit_and_like_nothing_where_it_is_flat() -> None:
    a = np.random.default_rng(1).normal(size=(7, 7)).astype(np.float32)
    assert spearman(a, 3 * a + 2) == pytest.approx(1)
    assert ssim(a, 3 * a + 2) == pytest.approx(1, abs=1e-5)
    assert spearman(a, -a) == pytest.approx(-1)
    flat = np.full((7, 7), 2, np.float32)
    assert (spearman(a, flat), ssim(a, flat), spearman(flat, flat), ssim(flat, flat)) == (
        0,
        0,
        0,
        0,
    )

"""(map, where it lies) -> FocusMetrics, LogitBudget. NumPy only.

The metrics are about the positive part S+ of the map, the budget about all of it. Shares are exact over
cells: a cell that lies partly in a region counts by its area. The high-focus fraction is measured on the
heatmap that the reader sees. A map without positive part leaves every metric undefined, with the reason:
never 0, never a hit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_audit.records import (
    FOCUS_METRICS,
    REGION_METRICS,
    Floats,
    FocusMetrics,
    LogitBudget,
    MapFacts,
    MapStatus,
    Mask,
    Region,
    RegionFocus,
)
from cxr_audit.vocabulary import Text

REASONS: dict[MapStatus, str] = {
    "dead": "the map is zero everywhere",
    "negative_only": "the map has no positive part: nothing speaks for this class",
    "saturated": "the gradient is lost in float32",
    "not_finite": "the map is not finite",
}


def measure(
    values: Floats,
    status: MapStatus,
    heatmap: Floats,
    seen: Mask,
    radiograph_share: Floats,
    border_share: Floats,
    left_share: Floats,
    cell_positions: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]],
    threshold: float,
) -> FocusMetrics:
    """Focus metrics of one class activation map.

    Parameters
    ----------
    values : (h, w), the signed map on its own grid.
    heatmap, seen : (rows, columns), the map over the radiograph, and where the model saw it.
    radiograph_share : (h, w), share of each cell's area on the radiograph; the rest is padding.
    border_share : (h, w), share of each cell's area in the region `border`: the same as in `measure_regions`.
    left_share : (h, w), share of each cell's area in the left half of the radiograph.
    cell_positions : rows (h,) and columns (w,) of the cell centres, in fractions of the radiograph.
    threshold : share of the heatmap's maximum from which a pixel is high focus.
    """
    if status in REASONS:
        return undefined(threshold, REASONS[status])
    positive = np.maximum(values.astype(np.float64), 0)
    on_radiograph = positive * radiograph_share
    mass, total = on_radiograph.sum(), positive.sum()
    if mass <= 0:
        return undefined(threshold, "all positive evidence lies in padding")
    found: dict[str, Any] = {"padding_fraction": float(1 - mass / total)}

    is_high = _high_focus(heatmap, seen, threshold)
    found["high_focus_fraction"] = high = float(is_high.sum() / seen.sum())
    found["num_components"] = _num_areas(is_high)
    found["focus_band"] = "diffuse" if high > 0.7 else "regional" if high >= 0.3 else "focal"
    rows, columns = cell_positions
    found["centroid_row_fraction"] = float(on_radiograph.sum(1) @ rows / mass)
    found["centroid_column_fraction"] = float(on_radiograph.sum(0) @ columns / mass)
    peak = np.unravel_index(np.argmax(np.where(seen, heatmap, -np.inf)), heatmap.shape)
    found["peak_row_fraction"] = float((peak[0] + 0.5) / heatmap.shape[0])
    found["peak_column_fraction"] = float((peak[1] + 0.5) / heatmap.shape[1])
    cells = (on_radiograph / mass)[radiograph_share > 0]
    found["entropy"], found["gini"] = _entropy(cells), _gini(cells)
    found["left_right_balance"] = float(1 - 2 * (positive * left_share).sum() / mass)
    found["border_fraction"] = float((positive * border_share).sum() / mass)
    found["border_chance"] = float(border_share.sum() / radiograph_share.sum())
    reasons: dict[str, Text] = {
        name: "the map has a single cell" for name in ("entropy", "gini") if found[name] is None
    }
    return FocusMetrics(threshold=threshold, **found, undefined=reasons)


def measure_regions(
    values: Floats,
    status: MapStatus,
    heatmap: Floats,
    seen: Mask,
    radiograph_share: Floats,
    regions: Sequence[Region],
    shares: Floats,
    half_cell_px: tuple[float, float],
    threshold: float,
) -> tuple[RegionFocus, ...]:
    """How much of the positive evidence of one map lies in each region, and how well the two coincide.

    Parameters
    ----------
    values, radiograph_share : (h, w), see `measure`.
    heatmap, seen, threshold : (rows, columns) on the regions' grid, see `measure`.
    regions : their masks on one grid (rows, columns).
    shares : (N, h, w), share of each cell's area inside each region.
    half_cell_px : half a cell's (rows, columns) in pixels of the regions' grid: the pointing game's tolerance.
    """
    positive = (
        np.maximum(values.astype(np.float64), 0)
        if status not in REASONS
        else np.zeros(values.shape)
    )
    mass, area = float((positive * radiograph_share).sum()), float(radiograph_share.sum())
    if mass <= 0:
        reason = REASONS.get(status, "all positive evidence lies in padding")
        return tuple(
            RegionFocus(r.facts.name, undefined=dict.fromkeys(REGION_METRICS, reason))
            for r in regions
        )
    ranked = np.where(seen, heatmap, -np.inf)
    peak = np.unravel_index(np.argmax(ranked), ranked.shape)
    window = tuple(
        slice(max(0, round(at + 0.5 - half)), round(at + 0.5 + half) + 1)
        for at, half in zip(map(int, peak), half_cell_px, strict=True)
    )
    areas = {"": _high_focus(heatmap, seen, threshold), "_otsu": _above_otsu(heatmap, seen)}
    ordered, found = np.sort(ranked, None), []
    for region, share in zip(regions, shares, strict=True):
        name, inside = region.facts.name, float((positive * share).sum() / mass)
        visible = region.mask & seen
        num_pixels, chance = int(visible.sum()), float(share.sum() / area)
        if not num_pixels or chance <= 0:
            reason = (
                "the region is empty"
                if not region.mask.any()
                else "the model did not see the region"
            )
            found.append(RegionFocus(name, undefined=dict.fromkeys(REGION_METRICS, reason)))
            continue
        overlaps: dict[str, float] = {}
        undefined: dict[str, Text] = {}
        for suffix, high in areas.items():
            if high is None:
                undefined |= dict.fromkeys(
                    (f"iou{suffix}", f"dice{suffix}"), "the map has one value: no threshold"
                )
                continue
            both, either = int((visible & high).sum()), num_pixels + int(high.sum())
            overlaps |= {f"iou{suffix}": both / (either - both), f"dice{suffix}": 2 * both / either}
        found.append(
            RegionFocus(
                name,
                relevance_mass_accuracy=inside,
                chance=chance,
                enrichment=inside / chance,
                relevance_rank_accuracy=_rank_accuracy(ranked[visible], ordered),
                pointing_game_hit=bool(region.mask[window].any()),
                **overlaps,
                undefined=undefined,
            )
        )
    return tuple(found)


def controls(
    maps: Mapping[str, Floats], radiograph_share: Floats, regions: Sequence[Region], shares: Floats
) -> dict[str, dict[str, float]]:
    """What share of each control's evidence lies in each region: region -> control -> relevance mass accuracy.

    Parameters
    ----------
    maps : name -> (h, w), nowhere negative. One that is zero on the radiograph has no share.
    radiograph_share, shares : see `measure_regions`, of the controls' grid.
    """
    masses = {name: float((values * radiograph_share).sum()) for name, values in maps.items()}
    return {
        region.facts.name: {
            name: float((maps[name] * share).sum() / mass)
            for name, mass in masses.items()
            if mass > 0
        }
        for region, share in zip(regions, shares, strict=True)
    }


def budget(values: Floats, facts: MapFacts, shares: Mapping[str, Floats]) -> LogitBudget | None:
    """The explained logit, split by place: what each region's cells, the rest, and the bias add to it.

    Parameters
    ----------
    values : (h, w), the signed map in logits.
    shares : name of a region -> share (h, w) of each cell's area inside it. Regions do not overlap; a cell that lies
        partly in one counts by its area, and what lies in none is the part "elsewhere".

    Returns
    -------
    None for a map that is not in logits or not finite. Where the map does not promise to add up, the last part
    says what it leaves open.

    Raises
    ------
    ValueError : where regions overlap.
    """
    if facts.gap is None:
        return None
    signed = values.astype(np.float64)
    rest = 1 - sum((share.astype(np.float64) for share in shares.values()), np.zeros(values.shape))
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
    return LogitBudget(facts.key, logit, tuple(parts.items()), facts.is_exact)


def undefined(threshold: float, reason: str) -> FocusMetrics:
    """No metric at all, and why."""
    return FocusMetrics(threshold=threshold, undefined=dict.fromkeys(FOCUS_METRICS, reason))


def _entropy(shares: npt.NDArray[np.float64]) -> float | None:
    """Shannon entropy of the cells' shares over log(number of cells); None for a single cell."""
    if shares.size == 1:
        return None
    present = shares[shares > 0]
    return float(abs(-(present * np.log(present)).sum() / np.log(shares.size)))


def _gini(shares: npt.NDArray[np.float64]) -> float | None:
    """Gini index of shares that add up to 1 (Hurley and Rickard, arXiv 0811.4706); None for a single cell."""
    if shares.size == 1:
        return None
    below = shares.size - np.arange(shares.size) - 0.5
    return abs(float(1 - 2 * (np.sort(shares) @ below) / shares.size))  # never -0.0 or its rounding


def _high_focus(heatmap: Floats, seen: Mask, threshold: float) -> Mask:
    """What the contour encloses."""
    return np.asarray((heatmap >= threshold * heatmap.max()) & (heatmap > 0) & seen)


def _above_otsu(heatmap: Floats, seen: Mask) -> Mask | None:
    """What lies above Otsu's threshold of the positive part, in 256 levels; None where there is one level only."""
    positive = np.maximum(heatmap, 0)
    levels = (positive * (255 / np.maximum(positive.max(), np.float32(1e-30)))).astype(np.uint8)
    counts = np.bincount(levels[seen], minlength=256).astype(np.float64)
    below = counts.cumsum()
    sums = (counts * np.arange(256)).cumsum()
    above = below[-1] - below
    splits = (below > 0) & (above > 0)
    if not splits.any():
        return None
    difference = np.zeros(256)
    np.divide(sums, below, out=difference, where=splits)
    difference -= np.divide(sums[-1] - sums, above, out=np.zeros(256), where=splits)
    return np.asarray((levels > np.argmax(below * above * difference**2)) & seen)


def _rank_accuracy(inside: Floats, ordered: Floats) -> float:
    """Of as many highest pixels as a region has, the share inside: `inside` has its pixels, `ordered` all of them.

    Where the last place is shared by several pixels, they count by their share: ties have no order."""
    lowest = ordered[-inside.size]
    first, last = (int(np.searchsorted(ordered, lowest, side)) for side in ("left", "right"))
    shared = (inside.size - (ordered.size - last)) / (last - first)
    return float(((inside > lowest).sum() + shared * (inside == lowest).sum()) / inside.size)


def _num_areas(mask: Mask) -> int:
    """Areas of a mask: its runs along rows, joined where they touch one of the row above, also at a corner."""
    steps = np.diff(np.pad(mask, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(steps == 1)
    ends = np.nonzero(steps == -1)[1]
    wide = mask.shape[1] + 2
    first = np.searchsorted(rows * wide + ends, (rows - 1) * wide + starts, "left")
    last = np.searchsorted(rows * wide + starts, (rows - 1) * wide + ends, "right")
    parents = list(range(len(rows)))

    def root(run: int) -> int:
        while parents[run] != run:
            parents[run] = run = parents[parents[run]]
        return run

    for run, (low, high) in enumerate(zip(first.tolist(), last.tolist(), strict=True)):
        for other in range(low, high):
            parents[root(other)] = root(run)
    return sum(parent == run for run, parent in enumerate(parents))

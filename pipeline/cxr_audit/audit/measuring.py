"""(maps, regions, placement) -> focus metrics, what controls score, logit budget: rooms that do not know each other,
brought together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from cxr_audit import focus, regions
from cxr_audit import preprocess as geometry
from cxr_audit.records import (
    ClassActivationMap,
    Floats,
    FocusMetrics,
    LogitBudget,
    MapFacts,
    Placement,
    Region,
    RegionFocus,
)


def measure(
    class_map: ClassActivationMap,
    finite: Floats,
    placement: Placement,
    found: tuple[Region, ...],
    region_shares: Floats,
    threshold: float,
) -> tuple[FocusMetrics, tuple[RegionFocus, ...]]:
    """Stage 6 of one map, on the grid of the regions."""
    values, status, size = class_map.values, class_map.facts.status, found[0].mask.shape
    heatmap, seen = geometry.restore(finite, placement, *size), geometry.seen(placement, *size)
    grid = class_map.facts.grid_rows, class_map.facts.grid_columns
    share, on_left, centres = geometry.cell_shares(placement, *grid)
    border = region_shares[[region.facts.kind for region in found].index("border")]
    half_cell = geometry.half_cell(placement, *grid, *size)
    return (
        focus.measure(values, status, heatmap, seen, share, border, on_left, centres, threshold),
        focus.measure_regions(
            values, status, heatmap, seen, share, found, region_shares, half_cell, threshold
        ),
    )


def controls(
    maps: dict[str, Floats],
    placement: Placement,
    found: tuple[Region, ...],
    region_shares: Callable[[int, int], Floats],
) -> dict[str, dict[str, float]]:
    """What share of each control lies in each region."""
    rows, columns = next(iter(maps.values())).shape
    on_radiograph, *_ = geometry.cell_shares(placement, rows, columns)
    return focus.controls(maps, on_radiograph, found, region_shares(rows, columns))


def budget(
    maps: Sequence[ClassActivationMap],
    target_class: str,
    placement: Placement,
    found: tuple[Region, ...],
) -> LogitBudget | None:
    """The target class's logit by region, from the first map that adds up, else the first in logits."""
    of_target = [m for m in maps if m.facts.class_name == target_class and not m.facts.against]
    of_target = [m for m in of_target if m.facts.gap is not None]
    chosen = next((m for m in of_target if m.facts.is_exact), of_target[0] if of_target else None)
    if chosen is None:
        return None
    grid, parts = (chosen.facts.grid_rows, chosen.facts.grid_columns), regions.partition(found)
    shares = dict(
        zip(
            parts,
            geometry.region_shares(placement, *grid, np.stack(list(parts.values()))),
            strict=True,
        )
    )
    on_radiograph, *_ = geometry.cell_shares(placement, *grid)
    if on_radiograph.min() < 1:
        shares["padding"] = 1 - on_radiograph
    return focus.budget(chosen.values, chosen.facts, shares)


def scale_key(facts: MapFacts) -> str:
    """Maps of one method at one layer share a colour scale."""
    return f"{facts.method}@{facts.layer}"


def round_up(value: float) -> float:
    """To two significant digits."""
    digit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(f"{np.ceil(value / digit) * digit:.3g}")

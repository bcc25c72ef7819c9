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
    GridGeometry,
    LogitBudget,
    MapFacts,
    Measurements,
    Placement,
    Region,
)


def measure(
    class_map: ClassActivationMap,
    finite: Floats,
    placement: Placement,
    found: tuple[Region, ...],
    region_shares: Floats,
    threshold: float,
) -> tuple[Measurements, dict[str, Measurements]]:
    """Metrics of one map, and in each region, on the grid of the regions.

    Parameters
    ----------
    class_map : the map.
    finite : its values, zero where they are not finite.
    placement : where the radiograph lies in the model input.
    found : the regions of the case, one of them the border.
    region_shares : (N, h, w), share of each cell's area inside each region.
    threshold : share of the map's maximum from which a pixel is high focus.
    """
    rows, columns = found[0].mask.shape
    facts = class_map.facts
    grid = facts.grid_rows, facts.grid_columns
    radiograph_share, left_share, cell_positions = geometry.cell_shares(
        placement, *grid, facts.geometry
    )
    border = [region.facts.kind for region in found].index("border")
    evidence = focus.MapEvidence(
        values=class_map.values,
        status=facts.status,
        heatmap=geometry.restore(finite, placement, rows, columns, facts.geometry),
        seen=geometry.seen(placement, rows, columns, facts.geometry),
        radiograph_share=radiograph_share,
        left_share=left_share,
        border_share=region_shares[border],
        cell_positions=cell_positions,
        half_cell_px=geometry.half_cell(placement, *grid, rows, columns, facts.geometry),
        threshold=threshold,
    )
    return focus.measure(evidence), focus.measure_regions(evidence, found, region_shares)


def controls(
    maps: dict[str, Floats],
    placement: Placement,
    found: tuple[Region, ...],
    region_shares: Callable[[int, int, GridGeometry | None], Floats],
    class_maps: Sequence[ClassActivationMap],
) -> dict[str, dict[str, float]]:
    """What share of each control lies in each region; controls lie where the maps of their size do."""
    rows, columns = next(iter(maps.values())).shape
    same = (m.facts.geometry for m in class_maps if m.values.shape == (rows, columns))
    grid = next(same, None)
    on_radiograph, *_ = geometry.cell_shares(placement, rows, columns, grid)
    return focus.control_shares(maps, on_radiograph, found, region_shares(rows, columns, grid))


def budget_map(maps: Sequence[ClassActivationMap], target_class: str) -> int | None:
    """The place of the map that the target class's logit is split by; None where there is none.

    The first that adds up, else the first in logits.
    """
    in_logits = None
    for place, class_map in enumerate(maps):
        facts = class_map.facts
        if facts.class_name != target_class or facts.against or facts.gap is None:
            continue
        if facts.is_exact:
            return place
        if in_logits is None:
            in_logits = place
    return in_logits


def budget(
    chosen: ClassActivationMap, placement: Placement, found: tuple[Region, ...]
) -> LogitBudget | None:
    """The explained logit by region, split by the cells of a map."""
    grid, parts = (chosen.facts.grid_rows, chosen.facts.grid_columns), regions.partition(found)
    shares = dict(
        zip(
            parts,
            geometry.region_shares(
                placement, *grid, np.stack(list(parts.values())), chosen.facts.geometry
            ),
            strict=True,
        )
    )
    on_radiograph, *_ = geometry.cell_shares(placement, *grid, chosen.facts.geometry)
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

"""Metrics of a map in a region, one function each, bound by key to `vocabulary.REGION_METRICS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from cxr_audit.focus.evidence import MapEvidence, no_evidence
from cxr_audit.focus.metrics import Result
from cxr_audit.records import Floats, Mask, Measurements, Region, Value
from cxr_audit.vocabulary import REGION_METRICS, Message, Text, message


@dataclass(frozen=True)
class RegionEvidence:
    """A map and one region.

    Parameters
    ----------
    evidence : the map.
    mask : bool (rows, columns), the region on the heatmap's grid.
    share : (h, w), share of each cell's area inside the region.
    is_above_otsu : bool (rows, columns); None where the map has one value only.
    """

    evidence: MapEvidence
    mask: Mask
    share: Floats
    is_above_otsu: Mask | None

    @cached_property
    def visible(self) -> Mask:
        """What the model saw of the region."""
        return self.mask & self.evidence.seen

    @cached_property
    def num_pixels(self) -> int:
        return int(self.visible.sum())

    @cached_property
    def chance(self) -> float:
        """The region's share of what the model saw."""
        return float(self.share.sum() / self.evidence.area)

    @cached_property
    def inside(self) -> float:
        """The share of the evidence inside the region."""
        return float((self.evidence.positive * self.share).sum() / self.evidence.mass)


def measure_regions(
    evidence: MapEvidence, regions: Sequence[Region], shares: Floats
) -> dict[str, Measurements]:
    """All metrics of a map in each region.

    Parameters
    ----------
    evidence : the map.
    regions : their masks on the heatmap's grid.
    shares : (N, h, w), share of each cell's area inside each region.

    Returns
    -------
    Name of the region -> its metrics.
    """
    keys = REGION_METRICS.keys()
    reason = no_evidence(evidence)
    if reason is not None:
        return {region.facts.name: Measurements.none_of(keys, reason) for region in regions}
    is_above_otsu = above_otsu(evidence.heatmap, evidence.seen)
    measured: dict[str, Measurements] = {}
    for region, share in zip(regions, shares, strict=True):
        subject = RegionEvidence(evidence, region.mask, share, is_above_otsu)
        measured[region.facts.name] = _measure(subject)
    return measured


def _measure(subject: RegionEvidence) -> Measurements:
    if not subject.num_pixels or subject.chance <= 0:
        code = "focus.region_not_seen" if subject.mask.any() else "focus.region_empty"
        return Measurements.none_of(REGION_METRICS.keys(), message(code))
    values: dict[str, Value] = {}
    undefined: dict[str, Text] = {}
    for row in REGION_METRICS:
        result = (row.function or FUNCTIONS[row.key])(subject)
        if isinstance(result, Message):
            undefined[row.key] = result
            values[row.key] = None
        else:
            values[row.key] = result
    return Measurements(values, undefined)


def relevance_rank_accuracy(subject: RegionEvidence) -> float:
    """Of as many highest pixels as the region has, the share inside.

    Where several pixels share the last place, they count by their share: ties have no order.
    """
    ordered = subject.evidence.ordered
    inside = subject.evidence.visible_heatmap[subject.visible]
    lowest = ordered[-inside.size]
    first = int(np.searchsorted(ordered, lowest, "left"))
    last = int(np.searchsorted(ordered, lowest, "right"))
    share_of_ties = (inside.size - (ordered.size - last)) / (last - first)
    num_above = (inside > lowest).sum()
    num_tied = (inside == lowest).sum()
    return float((num_above + share_of_ties * num_tied) / inside.size)


def pointing_game_hit(subject: RegionEvidence) -> bool:
    """Whether the maximum lies inside, or within half a cell of the region."""
    row, column = subject.evidence.peak
    half_rows, half_columns = subject.evidence.half_cell_px
    window = subject.mask[_around(row, half_rows), _around(column, half_columns)]
    return bool(window.any())


def _around(pixel: int, half: float) -> slice:
    return slice(max(0, round(pixel + 0.5 - half)), round(pixel + 0.5 + half) + 1)


def intersection_over_union(subject: RegionEvidence, is_high: Mask | None) -> float | Message:
    """Of the visible part of the region and another area."""
    if is_high is None:
        return message("focus.one_value")
    both = int((subject.visible & is_high).sum())
    return both / (subject.num_pixels + int(is_high.sum()) - both)


def dice(subject: RegionEvidence, is_high: Mask | None) -> float | Message:
    """Of the visible part of the region and another area."""
    if is_high is None:
        return message("focus.one_value")
    both = int((subject.visible & is_high).sum())
    return 2 * both / (subject.num_pixels + int(is_high.sum()))


FUNCTIONS: dict[str, Callable[[RegionEvidence], Result]] = {
    "relevance_mass_accuracy": lambda subject: subject.inside,
    "chance": lambda subject: subject.chance,
    "enrichment": lambda subject: subject.inside / subject.chance,
    "relevance_rank_accuracy": relevance_rank_accuracy,
    "pointing_game_hit": pointing_game_hit,
    "iou": lambda subject: intersection_over_union(subject, subject.evidence.is_high),
    "dice": lambda subject: dice(subject, subject.evidence.is_high),
    "iou_otsu": lambda subject: intersection_over_union(subject, subject.is_above_otsu),
    "dice_otsu": lambda subject: dice(subject, subject.is_above_otsu),
}


def above_otsu(heatmap: Floats, seen: Mask) -> Mask | None:
    """What lies above Otsu's threshold of the positive part, in 256 levels.

    Returns
    -------
    bool (rows, columns); None where there is one level only.
    """
    positive = np.maximum(heatmap, 0)
    largest = np.maximum(positive.max(), np.float32(1e-30))
    levels = (positive * (255 / largest)).astype(np.uint8)
    visible = levels[seen]
    if visible.size == 0 or visible.min() == visible.max():
        return None
    flags = cv2.THRESH_BINARY + cv2.THRESH_OTSU
    threshold, _ = cv2.threshold(visible.reshape(1, -1), 0, 255, flags)
    return np.asarray((levels > threshold) & seen)


def control_shares(
    maps: Mapping[str, Floats],
    radiograph_share: Floats,
    regions: Sequence[Region],
    shares: Floats,
) -> dict[str, dict[str, float]]:
    """What share of each control's evidence lies in each region.

    Parameters
    ----------
    maps : name -> (h, w), nowhere negative. One that is zero on the radiograph has no share.
    radiograph_share : (h, w), share of each cell's area on the radiograph.
    regions : N regions.
    shares : (N, h, w), share of each cell's area inside each region.

    Returns
    -------
    Region -> control -> relevance mass accuracy.
    """
    masses = {name: float((values * radiograph_share).sum()) for name, values in maps.items()}
    found: dict[str, dict[str, float]] = {}
    for region, share in zip(regions, shares, strict=True):
        found[region.facts.name] = {
            name: float((maps[name] * share).sum() / mass)
            for name, mass in masses.items()
            if mass > 0
        }
    return found

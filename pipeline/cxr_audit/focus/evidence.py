"""A map and where its cells lie: what every metric is computed from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from cxr_audit.records import Floats, MapStatus, Mask
from cxr_audit.vocabulary import Message, message

Doubles = npt.NDArray[np.float64]

WITHOUT_EVIDENCE = {
    "dead": "focus.map_is_zero",
    "negative_only": "focus.no_positive_part",
    "saturated": "focus.gradient_lost",
    "not_finite": "focus.not_finite",
}


@dataclass(frozen=True)
class MapEvidence:
    """One class activation map on one radiograph.

    Parameters
    ----------
    values : (h, w), the signed map on its own grid.
    status : whether it holds positive evidence.
    heatmap : (rows, columns), the map over the radiograph as the reader sees it.
    seen : bool (rows, columns), where the model saw the radiograph.
    radiograph_share : (h, w), share of each cell's area on the radiograph; the rest is padding.
    left_share : (h, w), share of each cell's area in the left half of the radiograph.
    border_share : (h, w), share of each cell's area in the region `border`.
    cell_positions : rows (h,) and columns (w,) of the cell centres, in fractions of the radiograph.
    half_cell_px : half a cell's (rows, columns) in pixels of the heatmap.
    threshold : share of the heatmap's maximum from which a pixel is high focus.
    """

    values: Floats
    status: MapStatus
    heatmap: Floats
    seen: Mask
    radiograph_share: Floats
    left_share: Floats
    border_share: Floats
    cell_positions: tuple[Doubles, Doubles]
    half_cell_px: tuple[float, float]
    threshold: float

    @cached_property
    def positive(self) -> Doubles:
        """The positive part of the map."""
        return np.maximum(self.values.astype(np.float64), 0)

    @cached_property
    def on_radiograph(self) -> Doubles:
        """The positive evidence of each cell that lies on the radiograph."""
        return self.positive * self.radiograph_share

    @cached_property
    def mass(self) -> float:
        """The positive evidence on the radiograph."""
        return float(self.on_radiograph.sum())

    @cached_property
    def area(self) -> float:
        """The area of the radiograph, in cells."""
        return float(self.radiograph_share.sum())

    @cached_property
    def cell_shares(self) -> Doubles:
        """The share of the evidence in each cell that lies on the radiograph, at least in part."""
        return (self.on_radiograph / self.mass)[self.radiograph_share > 0]

    @cached_property
    def is_high(self) -> Mask:
        """What the contour encloses."""
        reaches = self.heatmap >= self.threshold * self.heatmap.max()
        return np.asarray(reaches & (self.heatmap > 0) & self.seen)

    @cached_property
    def visible_heatmap(self) -> Floats:
        """The heatmap where the model saw the radiograph, minus infinity elsewhere."""
        return np.where(self.seen, self.heatmap, np.float32(-np.inf))

    @cached_property
    def peak(self) -> tuple[int, int]:
        """Row and column of the maximum, in pixels of the heatmap."""
        row, column = np.unravel_index(np.argmax(self.visible_heatmap), self.heatmap.shape)
        return int(row), int(column)

    @cached_property
    def ordered(self) -> Floats:
        """All values of the visible heatmap, ascending."""
        return np.sort(self.visible_heatmap, None)


def no_evidence(evidence: MapEvidence) -> Message | None:
    """Why no metric of this map is defined; None where metrics are."""
    if evidence.status in WITHOUT_EVIDENCE:
        return message(WITHOUT_EVIDENCE[evidence.status])
    if evidence.mass <= 0:
        return message("focus.all_in_padding")
    return None

"""Radiograph -> regions: lungs, zones, text markers, border: where evidence may lie, by name."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.records import Mask, Region, RegionKind
from pipeline.regions.lungs import Lungs, LungSegmenter, find_lungs, segmenter_input
from pipeline.regions.markers import find_markers
from pipeline.regions.zones import find_zones

__all__ = ["LungSegmenter", "Lungs", "find_lungs", "find_markers", "find_regions", "segmenter_input"]

GRID_PX = 256


def find_regions(
    picture: npt.NDArray[np.uint8], lungs: Lungs | None, markers: tuple[Region, ...] = ()
) -> tuple[Region, ...]:
    """All regions of one radiograph, on one grid: the aspect of the picture, 256 pixels along its longer side.

    Parameters
    ----------
    picture : uint8 (rows, columns), the radiograph as displayed, at any size.
    lungs : from `find_lungs`; None = not looked for. Where they were not found there is nothing that needs them.
    markers : from `find_markers`.
    """
    factor = min(1.0, GRID_PX / max(picture.shape))
    rows, columns = (max(1, round(side * factor)) for side in picture.shape)
    grey = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32) / np.float32(255)
    found, both = [], None
    if lungs is not None and lungs.reason is None:
        both = _on_grid(lungs.right, rows, columns), _on_grid(lungs.left, rows, columns)
        masks = {"lungs": both[0] | both[1], "right lung": both[0], "left lung": both[1]}
        for name, mask in masks.items():
            kind: RegionKind = "lungs" if name == "lungs" else "lung"
            found.append(Region.of(mask, name, kind, "the lung segmenter", lungs.confidence))
    found += find_zones(np.asarray(grey, np.float32), both, lungs.confidence if lungs and both else None)
    for marker in markers:
        facts = marker.facts
        mask = _on_grid(marker.mask, rows, columns, 0.25)
        found.append(Region.of(mask, facts.name, facts.kind, facts.found_by, facts.confidence))
    return tuple(found)


def _on_grid(mask: Mask, rows: int, columns: int, share: float = 0.5) -> Mask:
    """The mask on another grid over the same radiograph: pixels of which at least that share is inside."""
    shares = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(shares >= share, np.bool_)

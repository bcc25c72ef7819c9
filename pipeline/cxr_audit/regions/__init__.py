"""Radiograph -> regions: lungs, zones, text markers, border, what is annotated: where evidence may lie, by name."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from cxr_audit.records import Mask, Region
from cxr_audit.regions.lungs import Lungs, LungSegmenter, segmenter_input
from cxr_audit.regions.markers import find_markers
from cxr_audit.regions.zones import BORDER, find_zones
from cxr_audit.vocabulary import Text
from cxr_audit.vocabulary.regions import by_precedence

__all__ = [
    "BORDER",
    "LungSegmenter",
    "Lungs",
    "annotation",
    "find_markers",
    "find_regions",
    "partition",
    "segmenter_input",
]

GRID_PX = 256
# Who owns a pixel that lies in several regions: a marker before the lung that it lies on, and so on.
PRECEDENCE: tuple[str, ...] = by_precedence()


def find_regions(
    picture: npt.NDArray[np.uint8],
    lungs: Lungs | None,
    given: tuple[Region, ...] = (),
    is_mirrored: bool = False,
) -> tuple[Region, ...]:
    """All regions of one radiograph, on one grid: the aspect of the picture, 256 pixels along its longer side.

    Parameters
    ----------
    picture : uint8 (rows, columns), the radiograph as displayed, at any size.
    lungs : from `LungSegmenter.find`; None = not looked for. Where none were found nothing needs them.
    given : from `find_markers`, and of `annotation`.
    is_mirrored : the patient's left is on the left of the picture.
    """
    factor = min(1.0, GRID_PX / max(picture.shape))
    rows, columns = (max(1, round(side * factor)) for side in picture.shape)
    grey = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA).astype(
        np.float32
    ) / np.float32(255)
    found, both = [], None
    if lungs is not None and lungs.reason is None:
        right, left = (lungs.left, lungs.right) if is_mirrored else (lungs.right, lungs.left)
        both = _on_grid(right, rows, columns), _on_grid(left, rows, columns)
        masks = {"lungs": both[0] | both[1], "right lung": both[0], "left lung": both[1]}
        for name, mask in masks.items():
            kind: str = "lungs" if name == "lungs" else "lung"
            found.append(Region.of(mask, name, kind, "the lung segmenter", lungs.confidence))
    found += find_zones(
        np.asarray(grey, np.float32), both, lungs.confidence if lungs and both else None
    )
    for region in given:
        facts = region.facts
        mask = _on_grid(region.mask, rows, columns, 0.25 if facts.kind == "marker" else 0.5)
        found.append(Region.of(mask, facts.name, facts.kind, facts.found_by, facts.confidence))
    known = np.logical_or.reduce(
        [region.mask for region in found if region.facts.kind in PRECEDENCE]
    )
    return (*found, Region.of(~known, "elsewhere", "elsewhere", "what lies in none of these"))


def annotation(mask: Mask, found_by: Text) -> Region:
    """What a manifest annotates, bool (rows, columns) of the radiograph, with at most 512 pixels a side."""
    factor = min(1.0, 2 * GRID_PX / max(mask.shape))
    rows, columns = (max(1, round(side * factor)) for side in mask.shape)
    return Region.of(_on_grid(mask, rows, columns), "annotation", "annotation", found_by)


def partition(found: Sequence[Region]) -> dict[str, Mask]:
    """Masks of the regions, by name, that do not overlap: each pixel in the first region of `PRECEDENCE` alone."""
    parts: dict[str, Mask] = {}
    free = np.ones(found[0].mask.shape, np.bool_)
    for region in sorted(
        (region for region in found if region.facts.kind in PRECEDENCE),
        key=lambda region: PRECEDENCE.index(region.facts.kind),
    ):
        parts[region.facts.name] = region.mask & free
        free &= ~region.mask
    return parts


def _on_grid(mask: Mask, rows: int, columns: int, share: float = 0.5) -> Mask:
    """The mask on another grid over the same radiograph: pixels of which at least that share is inside; of a mask too
    small for that, those that it covers most."""
    shares = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray((shares >= min(share, float(shares.max()))) & (shares > 0), np.bool_)

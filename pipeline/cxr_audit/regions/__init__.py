"""Radiograph -> regions, by name: lungs, zones, markers, border, what is annotated.

Where evidence may lie.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

from cxr_audit.records import Floats, Mask, Region
from cxr_audit.regions.lungs import Lungs, LungSegmenter, segmenter_input
from cxr_audit.regions.markers import find_markers
from cxr_audit.regions.zones import BORDER, find_zones, thorax
from cxr_audit.vocabulary import REGION_KINDS, Text, message
from cxr_audit.vocabulary.regions import by_precedence

__all__ = [
    "BORDER",
    "LungSegmenter",
    "Lungs",
    "annotation",
    "find_markers",
    "find_regions",
    "on_grid",
    "partition",
    "segmenter_input",
    "thorax",
]

GRID_PX = 256
# Who owns a pixel that lies in several regions: a marker before the lung that it lies on.
PRECEDENCE: tuple[str, ...] = by_precedence()


def find_regions(
    picture: npt.NDArray[np.uint8],
    lungs: Lungs | None,
    given: tuple[Region, ...] = (),
    is_mirrored: bool = False,
) -> tuple[Region, ...]:
    """All regions of one radiograph, on one grid: the aspect of the image, 256 pixels along its
    longer side.

    Parameters
    ----------
    picture : uint8 (rows, columns), the radiograph as displayed, at any size.
    lungs : from `LungSegmenter.find`; None = not looked for.
    given : from `find_markers`, and of `annotation`.
    is_mirrored : the patient's left is on the left of the image.

    Returns
    -------
    The lungs first where they were found, then their zones, what is outside the body, the border,
    the corners, what was given, and the rest.
    """
    picture = on_grid(picture)
    rows, columns = picture.shape
    grey = np.asarray(picture.astype(np.float32) / np.float32(255), np.float32)
    regions: list[Region] = []
    both, confidence = None, None
    if lungs is not None and lungs.reason is None:
        right, left = (lungs.left, lungs.right) if is_mirrored else (lungs.right, lungs.left)
        both = _on_grid(right, rows, columns), _on_grid(left, rows, columns)
        confidence = lungs.confidence
        regions += _lungs(both, lungs, is_mirrored)
    regions += find_zones(grey, both, confidence)
    for region in given:
        facts = region.facts
        share = 0.25 if facts.kind == "marker" else 0.5
        mask = _on_grid(region.mask, rows, columns, share)
        regions.append(Region.of(mask, facts.name, facts.kind, facts.found_by, facts.confidence))
    regions += _of_other_packages(grey)
    owned = [region.mask for region in regions if region.facts.kind in PRECEDENCE]
    rest = ~np.logical_or.reduce(owned)
    return (*regions, Region.of(rest, "elsewhere", "elsewhere", message("regions.rest")))


def _of_other_packages(grey: Floats) -> list[Region]:
    """Regions of the kinds that plug-ins add: grey values in [0, 1] -> mask or None."""
    regions = []
    for kind in REGION_KINDS:
        mask = None if kind.function is None else kind.function(grey)
        if mask is not None:
            found_by = message("regions.by_package", package=kind.package)
            regions.append(Region.of(mask, kind.key, kind.key, found_by))
    return regions


def _lungs(both: tuple[Mask, Mask], lungs: Lungs, is_mirrored: bool) -> list[Region]:
    """Both lungs and each of them; how they were found says where one may be cut."""
    how = message("regions.by_segmenter")
    warning = lungs.mirrored().warning if is_mirrored else lungs.warning
    if warning is not None:
        how = message("regions.by_segmenter_with_warning", warning=warning)
    right, left = both
    return [
        Region.of(right | left, "lungs", "lungs", how, lungs.confidence),
        Region.of(right, "right lung", "lung", how, lungs.confidence),
        Region.of(left, "left lung", "lung", how, lungs.confidence),
    ]


def on_grid(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """A radiograph as displayed, uint8, on the grid of `find_regions`; one that is on it stays."""
    factor = min(1.0, GRID_PX / max(picture.shape))
    rows, columns = (max(1, round(side * factor)) for side in picture.shape)
    small = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)


def annotation(mask: Mask, found_by: Text) -> Region:
    """What a manifest annotates.

    Parameters
    ----------
    mask : bool (rows, columns) of the radiograph; kept with at most 512 pixels a side.
    found_by : how it was given.
    """
    factor = min(1.0, 2 * GRID_PX / max(mask.shape))
    rows, columns = (max(1, round(side * factor)) for side in mask.shape)
    return Region.of(_on_grid(mask, rows, columns), "annotation", "annotation", found_by)


def partition(regions: Sequence[Region]) -> dict[str, Mask]:
    """Masks of the regions, by name, that do not overlap: each pixel belongs to the first region of
    `PRECEDENCE` alone."""
    parts: dict[str, Mask] = {}
    free = np.ones(regions[0].mask.shape, np.bool_)
    owners = [region for region in regions if region.facts.kind in PRECEDENCE]
    for region in sorted(owners, key=lambda region: PRECEDENCE.index(region.facts.kind)):
        parts[region.facts.name] = region.mask & free
        free &= ~region.mask
    return parts


def _on_grid(mask: Mask, rows: int, columns: int, share: float = 0.5) -> Mask:
    """The mask on another grid over the same radiograph: pixels of which at least that share is
    inside; of a mask too small for that, those that it covers most."""
    shares = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray((shares >= min(share, float(shares.max()))) & (shares > 0), np.bool_)

"""Two lung masks and the radiograph -> zones: where a reader would say that something lies.

Definitions, on any grid that covers the radiograph. Right and left lung are the patient's; corners
are the image's.

- lung zones: thirds of each lung's own height, from its first to its last row; a row belongs to the
  third that its centre lies in, so that the zones of a lung are a partition of it
- mediastinum: in every row that both lungs have, what lies between them, from one medial edge to
  the other: with the heart as far as the lungs reach down
- thorax: the hull of both lungs, which also holds consolidated lung that a mask leaves out
- outside the body: dark, joined to the image's edge, not inside the hull of the lungs. Dark is the
  lowest 15 % of the grey range, 10 % where no lungs keep black lung tissue out; letters in it are
  part of it
- border: the outer 5 %, here and in `focus`; corners: 15 % of the height by 15 % of the width. By
  pixel centres

Refuses lungs that are no masks of this grid or too flat to have three zones (`ValueError`). Without
lungs there are no zones and no mediastinum, and a lung as black as air that touches the image's
edge cannot be told from it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from cxr_audit.records import Floats, Mask, Region
from cxr_audit.vocabulary import message

BORDER = 0.05
CORNER = 0.15
DARK, DARK_WITHOUT_LUNGS = 0.15, 0.10  # of the range from the 0.5th to the 99th percentile
ISLAND = 0.01  # largest share of the image of an island in the outside: a letter; an arm is larger

ZONES = ("upper", "middle", "lower")


def find_zones(
    pixels: Floats, lungs: tuple[Mask, Mask] | None, confidence: float | None = None
) -> list[Region]:
    """Zones of a radiograph.

    Parameters
    ----------
    pixels : float32 (rows, columns) in [0, 1]: the radiograph, on the grid of the lung masks.
    lungs : the patient's right and left lung, bool (rows, columns) each; None where not found.
    confidence : of the lungs, in [0, 1]; what is made from them has the same.

    Returns
    -------
    Six lung zones and the mediastinum where there are lungs, what is outside the body where there
    is something, the border, four corners. Only the border and the corners overlap with others.

    Raises
    ------
    ValueError
        A mask does not fit the grid, is not bool, or has fewer than three rows.
    """
    regions = [] if lungs is None else _zones_of_lungs(pixels.shape, lungs, confidence)
    outside = outside_body(pixels, lungs)
    if outside.any():
        how = message("regions.dark_at_edge")
        regions.append(Region.of(outside, "outside the body", "outside_body", how))
    ring = message("regions.outer_ring", share=BORDER)
    regions.append(Region.of(border(pixels.shape), "border", "border", ring))
    for name, mask in corners(pixels.shape).items():
        regions.append(Region.of(mask, name, "corner", message("regions.at_corner", share=CORNER)))
    return regions


def _zones_of_lungs(
    shape: tuple[int, ...], lungs: tuple[Mask, Mask], confidence: float | None
) -> list[Region]:
    """Six zones, and the mediastinum where there is something between the lungs."""
    regions = []
    how = message("regions.third_of_lung")
    for side, lung in zip(("right", "left"), lungs, strict=True):
        if lung.shape != shape or lung.dtype != np.bool_:
            raise ValueError(f"a lung mask is {lung.dtype} {lung.shape}, expected bool {shape}")
        for zone, mask in zip(ZONES, thirds(lung), strict=True):
            regions.append(Region.of(mask, f"{side} {zone} zone", "zone", how, confidence))
    between = mediastinum(*lungs)
    if between.any():
        how = message("regions.between_lungs")
        regions.append(Region.of(between, "mediastinum", "mediastinum", how, confidence))
    return regions


def thirds(lung: Mask) -> tuple[Mask, Mask, Mask]:
    """Upper, middle and lower third of a mask's own height; `ValueError` below three rows."""
    rows = np.flatnonzero(lung.any(axis=1))
    height = int(np.ptp(rows) + 1) if rows.size else 0
    if height < 3:
        raise ValueError(
            f"a lung of {height} rows has no three zones; pass None where lungs were not found"
        )
    third = ((2 * (np.arange(lung.shape[0]) - rows[0]) + 1) * 3) // (2 * height)
    upper, middle, lower = (lung & (third == n)[:, None] for n in range(3))
    return upper, middle, lower


def mediastinum(right: Mask, left: Mask) -> Mask:
    """What lies between two lungs in the rows that both have. On a mirrored image as well."""
    on_left, on_right = sorted((right, left), key=lambda lung: float(np.nonzero(lung)[1].mean()))
    columns = np.arange(right.shape[1])
    last = np.where(on_left, columns, -1).max(axis=1, keepdims=True)
    first = np.where(on_right, columns, right.shape[1]).min(axis=1, keepdims=True)
    is_common = (last >= 0) & (first < right.shape[1])
    return np.asarray(is_common & (columns > last) & (columns < first))


def thorax(right: Mask, left: Mask) -> Mask:
    """The smallest convex area that holds both lungs: with what a mask leaves out between them,
    behind the heart, or where a lung is consolidated on the inner side of its outline."""
    return _hull(right | left)


def outside_body(pixels: Floats, lungs: tuple[Mask, Mask] | None) -> Mask:
    """Air, collimation and padding round the body: see the definitions above."""
    grey = cv2.medianBlur(np.ascontiguousarray(pixels, np.float32), 3)
    low, high = np.percentile(grey, (0.5, 99))
    if high <= low:
        return np.zeros(pixels.shape, np.bool_)
    dark = grey <= low + (DARK_WITHOUT_LUNGS if lungs is None else DARK) * (high - low)
    if lungs is not None:
        dark &= ~_hull(lungs[0] | lungs[1])
    outside = _parts(dark, lambda touches, size: touches)
    largest = ISLAND * pixels.size
    return outside | _parts(~outside, lambda touches, size: ~touches & (size <= largest))


def border(shape: tuple[int, ...]) -> Mask:
    """The outer ring."""
    inner = [np.abs((np.arange(side) + 0.5) / side - 0.5) < 0.5 - BORDER for side in shape]
    return ~np.logical_and.outer(*inner)


def corners(shape: tuple[int, ...]) -> dict[str, Mask]:
    """The four corners by name, as displayed."""
    rows, columns = ((np.arange(side) + 0.5) / side for side in shape)
    ends = {"upper": rows < CORNER, "lower": rows > 1 - CORNER}
    sides = {"left": columns < CORNER, "right": columns > 1 - CORNER}
    masks = {}
    for end, side in itertools.product(ends, sides):
        masks[f"{end} {side} corner"] = np.logical_and.outer(ends[end], sides[side])
    return masks


def _hull(mask: Mask) -> Mask:
    """Smallest convex area that holds the mask."""
    points = cv2.findNonZero(mask.astype(np.uint8))
    filled = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(filled, cv2.convexHull(points), 1)
    return filled > 0


def _parts(mask: Mask, is_kept: Callable[[Mask, npt.NDArray[np.int32]], Mask]) -> Mask:
    """The 4-connected parts of a mask that are kept, by whether they touch the image's edge and by
    their size."""
    num, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    touches = np.zeros(num, np.bool_)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        touches[edge] = True
    kept = is_kept(touches, stats[:, cv2.CC_STAT_AREA])
    kept[0] = False
    return np.asarray(kept[labels])

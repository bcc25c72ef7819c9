"""Lines on a radiograph: the contour of the evidence, lungs, regions. Pure NumPy and OpenCV.

Every line has a dark halo, so that it is seen on black, on white and in grey print.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cxr_audit.records import Mask, Region
from cxr_audit.vocabulary import REGION_KINDS

Bytes = npt.NDArray[np.uint8]
Colour = tuple[int, int, int]

MOST_HAZE = 0.3
HALO: Colour = (24, 24, 24)
LINE: Colour = (255, 255, 255)
SOFT: Colour = (190, 190, 190)
MARK: Colour = (255, 234, 70)  # the bright end of cividis
LUNG: Colour = (120, 205, 245)
DASH, PERIOD = 12, 20
"""Length of a dash, and of a dash with its gap, in line widths."""


def marked(
    picture: Bytes,
    heatmap: npt.NDArray[np.float32],
    covered: Mask,
    regions: Sequence[Region] = (),
    threshold: float = 0.5,
    has_contour: bool = True,
    haze: float = 0.0,
) -> Bytes:
    """A radiograph with one contour around the strongest evidence and the lungs dashed.

    Inside and outside the lines the radiograph stays as it is, unless haze is asked for.

    Parameters
    ----------
    picture : uint8 (r, c).
    heatmap : float32 (r, c), signed.
    covered : bool (r, c), True where the model saw the radiograph.
    regions : those of the kind "lung" are dashed; their masks cover the picture at any resolution.
    threshold : the contour encloses heatmap >= threshold * its maximum.
    has_contour : False for a map that is faint.
    haze : opacity of the colour inside the contour, 0 to 0.3.

    Returns
    -------
    uint8 RGB (r, c, 3).

    Raises
    ------
    ValueError : the shapes differ, or more haze than 0.3.
    """
    if not picture.shape == heatmap.shape == covered.shape:
        raise ValueError(f"shapes differ: {picture.shape}, {heatmap.shape}, {covered.shape}")
    if not 0 <= haze <= MOST_HAZE:
        raise ValueError(f"expected haze from 0 to {MOST_HAZE}, received {haze}")
    drawn: Bytes = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
    for region in regions:
        if region.facts.kind == "lung":
            for outline in _outlines(region.mask, picture.shape):
                _dashes(drawn, outline)
    evidence = np.where(covered, heatmap, np.float32(0))
    highest = float(evidence.max())
    if not has_contour or not 0 < highest < np.inf or np.isnan(evidence.min()):
        return drawn
    inside = (evidence >= threshold * highest) & covered
    if haze:
        colour = (1 - haze) * drawn[inside] + haze * np.asarray(MARK, np.float32)
        drawn[inside] = np.rint(colour).astype(np.uint8)
    return contour(drawn, inside, MARK, 2)


def outlines(picture: Bytes, regions: Sequence[Region]) -> Bytes:
    """A radiograph with its regions.

    Lungs are outlined, with thin lines between their zones; a frame stands around each marker, and
    dots along what is annotated. Other kinds that the vocabulary outlines have a thin line.

    Parameters
    ----------
    picture : uint8 (r, c).
    regions : their masks cover the picture at any resolution.

    Returns
    -------
    uint8 RGB (r, c, 3).
    """
    drawn: Bytes = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
    width = _width(picture.shape)
    for kind, colour, thickness in _lines(regions):
        for region in regions:
            if region.facts.kind == kind:
                lines = _outlines(region.mask, picture.shape)
                _draw(drawn, lines, colour, thickness * width, width)
    for region in regions:
        if region.facts.kind == "annotation":
            for outline in _outlines(region.mask, picture.shape):
                _dots(drawn, outline)
        elif region.facts.kind == "marker" and region.mask.any():
            _framed(drawn, region.mask)
    return drawn


def _lines(regions: Sequence[Region]) -> list[tuple[str, Colour, int]]:
    """(kind, colour, widths of the line), the finest first."""
    drawn_otherwise = {"lungs", "lung", "zone", "marker", "annotation"}
    kinds = {region.facts.kind for region in regions} - drawn_otherwise
    others = [row.key for row in REGION_KINDS if row.is_outlined and row.key in kinds]
    return [("zone", SOFT, 1), *[(kind, SOFT, 1) for kind in others], ("lung", LINE, 2)]


def contour(drawn: Bytes, inside: Mask, colour: Colour = LINE, widths: int = 1) -> Bytes:
    """One line around an area, in place; widths grow with the picture.

    Parameters
    ----------
    drawn : uint8 RGB (r, c, 3).
    inside : bool (r, c).
    colour : of the line.
    widths : its thickness, in widths.
    """
    width = _width(inside.shape)
    lines, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    _draw(drawn, lines, colour, widths * width, width)
    return drawn


def _width(shape: tuple[int, ...]) -> int:
    return max(1, round(max(shape) / 450))


def _draw(drawn: Bytes, lines: Sequence[Any], colour: Colour, thickness: int, halo: int) -> None:
    """Lines with a halo of its own width on both sides, in place."""
    cv2.drawContours(drawn, lines, -1, HALO, thickness + 2 * halo, cv2.LINE_AA)
    cv2.drawContours(drawn, lines, -1, colour, thickness, cv2.LINE_AA)


def _dashes(drawn: Bytes, outline: npt.NDArray[np.int32]) -> None:
    """A dashed line, in place."""
    width = _width(drawn.shape)
    points = outline[:, 0]
    steps = np.hypot(*np.diff(points, axis=0, append=points[:1]).T)
    along = np.concatenate([[0.0], np.cumsum(steps)[:-1]])
    is_dash = (along % (PERIOD * width)) < DASH * width
    ends = np.flatnonzero(np.diff(is_dash.astype(np.int8)) != 0) + 1
    for part in np.split(np.arange(len(points)), ends):
        if is_dash[part[0]]:
            dash = [points[part].reshape(-1, 1, 2)]
            cv2.polylines(drawn, dash, False, HALO, 3 * width, cv2.LINE_AA)
            cv2.polylines(drawn, dash, False, LUNG, width, cv2.LINE_AA)


def _dots(drawn: Bytes, outline: npt.NDArray[np.int32]) -> None:
    """A dotted line, in place."""
    width = _width(drawn.shape)
    for column, row in outline[:: 8 * width, 0].tolist():
        for colour, radius in ((HALO, 3 * width), (MARK, 2 * width)):
            cv2.circle(drawn, (column, row), radius, colour, cv2.FILLED, cv2.LINE_AA)


def _framed(drawn: Bytes, mask: Mask) -> None:
    """A frame around a mask, in place."""
    rows, columns, _channels = drawn.shape
    width = _width(drawn.shape)
    top, bottom = _span(np.asarray(mask.any(1)), rows, 3 * width)
    left, right = _span(np.asarray(mask.any(0)), columns, 3 * width)
    for colour, thickness in ((HALO, 4 * width), (MARK, 2 * width)):
        cv2.rectangle(drawn, (left, top), (right, bottom), colour, thickness, cv2.LINE_AA)


def _span(is_inside: npt.NDArray[np.bool_], size: int, margin: int) -> tuple[int, int]:
    """First and last pixel of a mask along one axis of the picture, with a margin."""
    inside = np.flatnonzero(is_inside)
    scale = size / is_inside.size
    first = max(0, int(inside[0] * scale) - margin)
    last = min(size - 1, int((inside[-1] + 1) * scale) + margin)
    return first, last


def _outlines(mask: Mask, shape: tuple[int, ...]) -> Sequence[Any]:
    """The outlines of a mask on a picture of this shape: (n, 1, 2) as (column, row) each."""
    rows, columns = shape[:2]
    enlarged = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_LINEAR)
    inside = (enlarged >= 0.5).astype(np.uint8)
    lines, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    return list(lines)

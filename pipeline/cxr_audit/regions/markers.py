"""Radiograph -> marker regions: letters, burned-in text, other foreign objects, by sharp outlines.

Anatomy is the projection of rounded bodies: its edges are ramps, and they fade along an outline.
Lead, ink and plastic end abruptly, and all round. So: what a top-hat leaves (bright, or dark for
black print) at four levels of contrast is a candidate; it stays where its outline is steep almost
everywhere, in units of the image's own anatomy, and where its surroundings lie beyond the contrast:
a sliver of a body edge has one side only. Neighbours join to one marker. Refuses nothing: an image
without such outlines has no markers. Faint leads and tubes inside the body are missed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from cxr_audit.records import Floats, Mask, Region
from cxr_audit.vocabulary import message

# Longest side in pixels of the grid that is searched, and of the masks: a letter of 20 px at 1024
# has 10 here.
GRID = 512
# Shares of the longest side.
WIDEST = 0.06  # stroke or solid object that the top-hat leaves; what is wider is anatomy
GLYPH = 0.010  # of a text
SMALLEST = 0.012  # anything else: smaller are vessels on end, calcifications, screws
LARGEST_LETTER = 0.15
GAP = 0.014  # between the parts of one marker
# Contrast of a candidate and gradient a pixel, in grey levels of 255.
LEVELS = (20, 40, 80, 140)
FLOOR = 12  # where there is no anatomy to compare with
# Outlines.
STEEP = 2.6  # times the gradient that three quarters of the picture stay below
BAR = 2.5  # times as long as wide, in one piece, its outline at most
SMOOTH = 1.1  # times the box round it: a blurred word is as slim, but rougher
OUTLINE = 0.8  # share of the outline that is steep
SIDES = 0.75  # share of the surroundings that lie beyond half the contrast

What = Literal["letter", "text", "foreign object"]
Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Shape:
    """A closed outline.

    Parameters
    ----------
    points : (n, 1, 2) as (column, row).
    sharpness : mean gradient in units of the limit.
    seen : in which of the eight searches (bright and black, four levels) it was seen.
    """

    points: npt.NDArray[np.int32]
    sharpness: float
    seen: int


def find_markers(pixels: Floats) -> list[Region]:
    """Markers of a radiograph, from the top down.

    They are named 'letter 1', 'text 1', 'foreign object 1' and so on.

    Parameters
    ----------
    pixels : float32 (rows, columns) in [0, 1], 0 = black as displayed.

    Returns
    -------
    Regions of kind 'marker'. Masks cover the radiograph with at most 512 pixels a side: the object
    with the gaps inside it and one pixel round it. `confidence` is 1 - 1 / (2 s), s = the sharpest
    outline's mean gradient over the limit: 0.5 at the limit, 0.75 at twice it. It orders markers;
    it is no probability.
    """
    grid = _reduced(pixels)
    shapes = list(_shapes(grid))
    regions: list[Region] = []
    numbers: Counter[str] = Counter()
    for mask, what, sharpness in _joined(shapes, grid.shape):
        numbers[what] += 1
        name, confidence = f"{what} {numbers[what]}", 1 - 0.5 / max(1.0, sharpness)
        how = message("regions.sharp_outline", what=what)
        regions.append(Region.of(mask, name, "marker", how, confidence))
    return regions


def _reduced(pixels: Floats) -> Bytes:
    scale = min(1.0, GRID / max(pixels.shape))
    rows, columns = (max(1, round(side * scale)) for side in pixels.shape)
    small = cv2.resize(pixels, (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.convertScaleAbs(small, alpha=255), np.uint8)


def _shapes(grid: Bytes) -> Iterator[_Shape]:
    """Candidates whose outline is steep, and beyond which the image is darker (brighter, for black
    print)."""
    longest = max(grid.shape)
    edge = _gradient(grid)
    steep = _steep(edge)
    near = cv2.dilate((edge >= steep).astype(np.uint8), _square(longest * GAP))
    if not near.any():
        return
    wide = _square(longest * WIDEST)
    for is_black, signed in enumerate((grid, cv2.bitwise_not(grid))):
        hat = _top_hat(signed, wide) * near
        for index, level in enumerate(LEVELS):
            outlines = cv2.findContours(
                (hat >= level).view(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
            )[0]
            outlines = [outline for outline in outlines if len(outline) >= 2 * longest * GLYPH]
            if not outlines:
                continue
            for outline, sharpness in _steep_outlines(outlines, edge, steep):
                box = cv2.boundingRect(outline)
                if _free_sides(outline, box, signed, level) >= SIDES:
                    yield _Shape(outline, sharpness, len(LEVELS) * is_black + index)


def _steep_outlines(
    outlines: list[npt.NDArray[np.int32]], edge: Floats, steep: float
) -> list[tuple[npt.NDArray[np.int32], float]]:
    """The outlines that are steep, with their mean gradient over the limit.

    All at once: there are hundreds. Points on the image's edge say nothing; an outline that is
    mostly there is none.
    """
    lengths = np.array([len(outline) for outline in outlines])
    starts = np.cumsum(lengths) - lengths
    columns, rows = np.concatenate(outlines)[:, 0].T
    last_row, last_column = edge.shape[0] - 1, edge.shape[1] - 1
    inner = (columns > 0) & (rows > 0) & (columns < last_column) & (rows < last_row)
    gradients = edge[rows, columns] * inner
    num_inner = np.maximum(np.add.reduceat(inner, starts, dtype=np.float64), 1)
    share = np.add.reduceat(gradients >= steep, starts, dtype=np.float64) / num_inner
    sharpness = np.add.reduceat(gradients, starts, dtype=np.float64) / num_inner / steep
    chosen = np.flatnonzero((2 * num_inner >= lengths) & (share >= OUTLINE))
    return [(outlines[index], float(sharpness[index])) for index in chosen]


def _free_sides(
    outline: npt.NDArray[np.int32], box: tuple[int, int, int, int], signed: Bytes, level: int
) -> float:
    """Share of the surroundings, two and three pixels off, darker than the outline by half the
    level or more."""
    x, y, width, height = box
    top, left = max(0, y - 3), max(0, x - 3)
    view = signed[top : y + height + 3, left : x + width + 3]
    inside = np.zeros(view.shape, np.uint8)
    cv2.drawContours(inside, [outline], -1, 1, cv2.FILLED, offset=(-left, -top))
    ring = cv2.dilate(inside, _square(7)) > cv2.dilate(inside, _square(3))
    limit = np.median(signed[outline[:, 0, 1], outline[:, 0, 0]]) - level / 2
    return float((view[ring] < limit).mean()) if ring.any() else 1.0


def _joined(shapes: list[_Shape], size: tuple[int, ...]) -> Iterator[tuple[Mask, What, float]]:
    """Shapes with a small gap between them are one marker: its mask, what it is, how sharp."""
    longest = max(size)
    ink = np.zeros(size, np.uint8)
    for shape in shapes:  # one by one: together, nested outlines would cut holes into each other
        cv2.drawContours(ink, [shape.points], -1, 1, cv2.FILLED)
    closed = _closed(ink, _square(longest * GAP))
    num, labels, stats, _ = cv2.connectedComponentsWithStats(cv2.dilate(closed, _square(3)))
    sharpest, num_seen = np.zeros(num), np.zeros((num, 2 * len(LEVELS)), np.int32)
    for shape in shapes:
        label = labels[shape.points[0, 0, 1], shape.points[0, 0, 0]]
        sharpest[label] = max(sharpest[label], shape.sharpness)
        num_seen[label, shape.seen] += 1
    for label in range(1, num):
        x, y, width, height = (int(value) for value in stats[label, :4])
        if max(width, height) - 2 < SMALLEST * longest:
            continue
        view = np.s_[y : y + height, x : x + width]
        has_print = num_seen[label, : len(LEVELS)].any() and num_seen[label, len(LEVELS) :].any()
        if not has_print and _is_bar(ink[view] * (labels[view] == label)):
            continue
        what = _what(width, height, int(num_seen[label].max()), longest)
        yield labels == label, what, float(sharpest[label])


def _closed(ink: Bytes, gap: Bytes) -> Bytes:
    """Closing, also at the image's edge."""
    pad = gap.shape[0]
    padded = cv2.copyMakeBorder(ink, pad, pad, pad, pad, cv2.BORDER_CONSTANT)
    closed = cv2.morphologyEx(padded, cv2.MORPH_CLOSE, gap)[pad:-pad, pad:-pad]
    return np.asarray(closed, np.uint8)


def _what(width: int, height: int, num_glyphs: int, longest: int) -> What:
    """What an object is, by the box round it and by how many outlines it has."""
    if num_glyphs >= 3:
        return "text"
    is_small = max(width, height) - 2 <= LARGEST_LETTER * longest
    return "letter" if is_small and 0.25 <= width / height <= 1.6 else "foreign object"


def _is_bar(part: Bytes) -> bool:
    """A single straight bar, slimmer than any letter: a sliver of skin, the film's or the
    collimator's edge."""
    outlines = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[0]
    if len(outlines) > 1:
        return False
    width, height = cv2.minAreaRect(outlines[0])[1]
    is_slim = max(width, height) + 1 >= BAR * (min(width, height) + 1)
    return is_slim and bool(cv2.arcLength(outlines[0], True) <= SMOOTH * 2 * (width + height))


def _top_hat(grid: Bytes, wide: Bytes) -> Bytes:
    """The edge pixels go on outside: what is bright up to the image's edge is not a stroke."""
    pad = wide.shape[0]
    padded = cv2.copyMakeBorder(grid, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    return np.asarray(
        cv2.morphologyEx(padded, cv2.MORPH_TOPHAT, wide)[pad:-pad, pad:-pad], np.uint8
    )


def _gradient(grid: Bytes) -> Floats:
    """Largest gradient within a pixel (Scharr), in grey levels a pixel.

    In integers up to NumPy's root: OpenCV's `magnitude` depends in the last bit on where the array
    lies in memory.
    """
    across, down = (cv2.Scharr(grid, cv2.CV_16S, dx, 1 - dx).astype(np.int32) for dx in (1, 0))
    magnitude = np.sqrt((across * across + down * down).astype(np.float32)) / 32
    return np.asarray(cv2.dilate(magnitude, _square(3)), np.float32)


def _steep(edge: Floats) -> float:
    """The limit of steep.

    Padding and collimation, without any gradient, do not count as image; and where a marker is all
    that has one, it is not measured by itself: a tenth of the image, at least, is steeper than the
    usual.
    """
    counts = cv2.calcHist([edge], [0], None, [1024], [0.5, 128.5]).ravel()
    steeper = counts[::-1].cumsum()[::-1]
    num = max(0.25 * float(steeper[0]), 0.1 * edge.size)
    usual = 0.5 + np.count_nonzero(steeper >= num) / 8
    return max(STEEP * usual, FLOOR)


def _square(side: float) -> Bytes:
    """A structuring element of odd side, 3 or more."""
    return np.ones((max(3, round(side) | 1),) * 2, np.uint8)

"""Heatmaps and lungs of many cases -> their mean, aligned on the lungs, by outcome.

Every radiograph is stretched so that the bounding box of its lungs falls on one square. What lies
around it within `MARGIN` of the box's size is kept, and what lies outside the radiograph counts
as no evidence. That aligns size and place, not shape: it is no registration of anatomy. A case
without lungs is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

from cxr_audit.records import Floats, Mask

RASTER = 96
MARGIN = 0.25
Box = tuple[float, float, float, float]
"""Top, left, height and width in fractions of the radiograph."""


@dataclass(frozen=True, slots=True)
class MeanMap:
    """The mean over some cases.

    Parameters
    ----------
    num_cases : how many.
    values : float32 (96, 96), mean positive evidence, in the map's unit.
    lungs : float32 (96, 96), share of the cases that have lung there.
    """

    num_cases: int
    values: Floats
    lungs: Floats


def mean_maps(cases: Iterable[tuple[str, Floats, Mask]]) -> dict[str, MeanMap]:
    """The mean map of each outcome.

    Parameters
    ----------
    cases : outcome; signed evidence on the radiograph (rows, columns); lungs on the radiograph, at
        any resolution.
    """
    sums: dict[str, Floats] = {}
    counts: dict[str, int] = {}
    for outcome, evidence, lungs in cases:
        box = lungs_box(lungs)
        positive = on_lungs(np.maximum(evidence, 0), box)
        aligned = np.stack([positive, on_lungs(lungs.astype(np.float32), box)])
        sums[outcome] = sums.get(outcome, np.float32(0)) + aligned
        counts[outcome] = counts.get(outcome, 0) + 1
    means: dict[str, MeanMap] = {}
    for outcome, total in sums.items():
        values, lungs = total / np.float32(counts[outcome])
        means[outcome] = MeanMap(counts[outcome], values, lungs)
    return means


def lungs_box(lungs: Mask) -> Box:
    """The bounding box of the lungs."""
    rows, columns = np.flatnonzero(lungs.any(1)), np.flatnonzero(lungs.any(0))
    if rows.size == 0:
        raise ValueError("no lungs to align a map on")
    height, width = lungs.shape
    top, left = rows[0] / height, columns[0] / width
    return top, left, (rows[-1] + 1) / height - top, (columns[-1] + 1) / width - left


def on_lungs(picture: Floats, box: Box) -> Floats:
    """A picture of the radiograph (rows, columns), resampled (bilinear) around the box."""
    top, left, height, width = box
    row_step, row_start = _axis(top, height, picture.shape[0])
    column_step, column_start = _axis(left, width, picture.shape[1])
    matrix = np.array([[column_step, 0, column_start], [0, row_step, row_start]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(picture, matrix, (RASTER, RASTER), flags=flags), np.float32)


def _axis(start: float, length: float, size: int) -> tuple[float, float]:
    """Step and first place, in pixels of the picture, of the raster's pixels along one axis."""
    step = (1 + 2 * MARGIN) * length * size / RASTER
    return step, (start - MARGIN * length) * size + step / 2 - 0.5

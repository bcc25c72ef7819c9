"""One model input -> control maps, which do not depend on the classifier.

Adebayo et al., arXiv 1810.03292: a map that a method draws for a classifier that has learned
nothing is no explanation. `edges` looks at the image only, `random` at nothing, `centre` at the
frame only. In no unit.
"""

from __future__ import annotations

import zlib

import cv2
import numpy as np

from cxr_audit.explain.probing import cell_edges, sum_cells
from cxr_audit.records import Floats, GridGeometry

CENTRE = 0.2


def edges(
    x: Floats, grid: tuple[int, int], seed: int, geometry: GridGeometry | None = None
) -> Floats:
    """Length of the Sobel gradient of the grey image, summed over each cell.

    Parameters
    ----------
    x : model input (rows, columns, channels)
    grid : (h, w)
    seed : of the random control; not used here
    geometry : where the cells lie in the input; None = an even division of it

    Returns
    -------
    float32 (h, w)
    """
    grey = np.ascontiguousarray(x.mean(2))
    along_columns = cv2.Sobel(grey, cv2.CV_32F, 1, 0, borderType=cv2.BORDER_REPLICATE)
    along_rows = cv2.Sobel(grey, cv2.CV_32F, 0, 1, borderType=cv2.BORDER_REPLICATE)
    return sum_cells(np.hypot(along_columns, along_rows), grid, geometry)


def random(
    x: Floats, grid: tuple[int, int], seed: int, geometry: GridGeometry | None = None
) -> Floats:
    """Uniform in [0, 1), the same for the same seed and case.

    Parameters
    ----------
    x : model input (rows, columns, channels)
    grid : (h, w)
    seed : of the numbers
    geometry : not used here

    Returns
    -------
    float32 (h, w)
    """
    return generator(x, seed).random(grid, np.float32)


def centre(
    x: Floats, grid: tuple[int, int], seed: int, geometry: GridGeometry | None = None
) -> Floats:
    """A Gaussian in the middle of the input, its deviation a fifth of each side.

    Parameters
    ----------
    x : model input (rows, columns, channels)
    grid : (h, w)
    seed : of the random control; not used here
    geometry : where the cells lie in the input; None = an even division of it

    Returns
    -------
    float32 (h, w)
    """
    axes = (None, None) if geometry is None else (geometry.rows, geometry.columns)
    along = []
    for axis, cells, size in zip(axes, grid, x.shape, strict=False):
        edges = cell_edges(axis, cells, size) / size
        place = (edges[1:] + edges[:-1]) / 2
        along.append(np.exp(-((place - 0.5) ** 2) / (2 * CENTRE**2)))
    return np.asarray(np.outer(*along), np.float32)


def generator(x: Floats, seed: int) -> np.random.Generator:
    """Random numbers of one case: by the run's seed and the case's pixels, whatever its place in a
    batch.
    """
    return np.random.default_rng([seed, zlib.crc32(x.tobytes())])


CONTROLS = {"edges": edges, "random": random, "centre": centre}

"""Grey values -> generic low-level statistics, by scale, orientation and place.

They name no cue: moments and percentiles of the histogram, energies of Haar wavelets by level and
orientation, and for each of 6 x 6 cells its mean, spread and fine detail.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from cxr_audit.records import Floats
from cxr_audit.vocabulary.factors import CELLS, LEVELS, PERCENTILES

SIDE = 96
LEAST = 1e-4


def low_level(grey: Floats) -> Floats:
    """The statistics of one image.

    Parameters
    ----------
    grey : the model input as grey values (rows, columns) in [0, 1], without padding.

    Returns
    -------
    float32, in the order of `vocabulary.factors.low_level_names`.
    """
    image = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float64)
    mean, spread = image.mean(), image.std() + LEAST
    normal = (image - mean) / spread
    values = [mean, spread, float((normal**3).mean()), float((normal**4).mean())]
    values += [float(value) for value in np.percentile(image, PERCENTILES)]
    details = _haar(image)
    for level in details:
        values += [float(np.log(band.std() + LEAST)) for band in level]
    fine = np.sqrt(sum(band**2 for band in details[0]))
    cell = SIDE // CELLS
    for row in range(CELLS):
        for column in range(CELLS):
            rows = slice(row * cell, (row + 1) * cell)
            columns = slice(column * cell, (column + 1) * cell)
            inside = image[rows, columns]
            half = fine[row * cell // 2 : (row + 1) * cell // 2]
            half = half[:, column * cell // 2 : (column + 1) * cell // 2]
            values += [float(inside.mean()), float(inside.std())]
            values.append(float(np.log(half.mean() + LEAST)))
    return np.array(values, np.float32)


def _haar(image: npt.NDArray[np.float64]) -> list[tuple[npt.NDArray[np.float64], ...]]:
    """Horizontal, vertical and diagonal detail of each level, the finest first."""
    levels: list[tuple[npt.NDArray[np.float64], ...]] = []
    for _ in range(LEVELS):
        upper_left, upper_right = image[::2, ::2], image[::2, 1::2]
        lower_left, lower_right = image[1::2, ::2], image[1::2, 1::2]
        horizontal = (upper_left + upper_right - lower_left - lower_right) / 2
        vertical = (upper_left - upper_right + lower_left - lower_right) / 2
        diagonal = (upper_left - upper_right - lower_left + lower_right) / 2
        levels.append((horizontal, vertical, diagonal))
        image = (upper_left + upper_right + lower_left + lower_right) / 2
    return levels

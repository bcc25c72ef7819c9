"""Plain measurements of one radiograph, one function a factor, bound by key to
`vocabulary.FACTORS`.

All but compression are measured on the model input as grey values, so that a change of the input
can be measured with the same function. Sharpness, noise and compression are relative to the
contrast: a change of contrast alone leaves them as they are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from cxr_audit.records import Floats, Mask
from cxr_audit.vocabulary.factors import FACTORS

LEAST = 1e-6  # added to what a logarithm is taken of
BLOCK = 8
EVEN = 0.01
"""Standard deviation, of the grey range, below which a row or column is even."""
# Immerkaer's difference of two Laplacians; its response to noise has 6 times its deviation.
NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


def brightness(grey: Floats) -> float:
    """Mean grey value."""
    return float(grey.mean())


def contrast(grey: Floats) -> float:
    """Standard deviation of the grey values."""
    return float(grey.std())


def tone_curve(grey: Floats) -> float:
    """Where the mean lies between the 5th (0) and the 95th percentile (1)."""
    low, high = np.percentile(grey, (5, 95))
    return float((grey.mean() - low) / max(float(high - low), LEAST))


def sharpness(grey: Floats) -> float:
    """ln(standard deviation of detail between 1 and 2 pixels over that of the image)."""
    fine = cv2.GaussianBlur(grey, (0, 0), 1.0) - cv2.GaussianBlur(grey, (0, 0), 2.0)
    return math.log((float(fine.std()) + LEAST) / (contrast(grey) + LEAST))


def noise(grey: Floats) -> float:
    """ln(noise over the standard deviation of the image), by the median of Immerkaer's filter.

    The median of the absolute response is used, not its mean, since edges respond as well.
    """
    response = cv2.filter2D(grey, -1, NOISE_KERNEL)[1:-1, 1:-1]
    deviation = float(np.median(np.abs(response))) / 0.6745 / 6
    return math.log((deviation + LEAST) / (contrast(grey) + LEAST))


def compression(pixels: Floats) -> float:
    """ln(mean step across borders of 8 x 8 blocks over the mean step elsewhere).

    Parameters
    ----------
    pixels : the radiograph on its own grid, since blocks lie on that.
    """
    ratios = []
    for axis in (0, 1):
        if pixels.shape[axis] < 2 * BLOCK:
            return 0.0
        steps = np.abs(np.diff(pixels, axis=axis)).mean(1 - axis)
        across = np.arange(len(steps)) % BLOCK == BLOCK - 1
        ratio = (steps[across].mean() + LEAST) / (steps[~across].mean() + LEAST)
        ratios.append(math.log(float(ratio)))
    return float(np.mean(ratios))


def collimation(grey: Floats) -> float:
    """Share of the image in even rows and columns along its edges."""
    shares = []
    for axis in (0, 1):
        is_even = grey.std(1 - axis) < EVEN
        uneven = np.flatnonzero(~is_even)
        if not uneven.size:
            return 1.0
        shares.append(1 - (uneven[-1] - uneven[0] + 1) / is_even.size)
    return float(1 - (1 - shares[0]) * (1 - shares[1]))


ON_INPUT: dict[str, Callable[[Floats], float]] = {
    "brightness": brightness,
    "contrast": contrast,
    "tone_curve": tone_curve,
    "sharpness": sharpness,
    "noise": noise,
    "collimation": collimation,
}
ON_RADIOGRAPH: dict[str, Callable[[Floats], float]] = {"compression": compression}


def measure(grey: Floats, pixels: Floats, num_markers: int | None) -> dict[str, float]:
    """All factors of a radiograph but those of its lungs, by key.

    Parameters
    ----------
    grey : the model input as grey values (rows, columns) in [0, 1], without padding.
    pixels : the radiograph (rows, columns) in [0, 1].
    num_markers : found on it; None where they were not looked for.
    """
    values = {key: function(grey) for key, function in ON_INPUT.items()}
    for key, function in ON_RADIOGRAPH.items():
        values[key] = function(pixels)
    rows, columns = pixels.shape
    values = {key: float(value) for key, value in values.items()}
    values["source_resolution"] = math.log(rows * columns)
    values["aspect"] = math.log(columns / rows)
    if num_markers is not None:
        values["markers"] = float(num_markers)
    for row in FACTORS:
        if row.function is not None:
            values[row.key] = float(row.function(grey))
    return values


@dataclass(frozen=True, slots=True)
class LungGeometry:
    """Where the lungs lie, in shares of the sides of the image.

    Parameters
    ----------
    top, left, bottom, right : of both lungs together.
    tilt_deg : angle of the line through their centres, clockwise.
    """

    top: float
    left: float
    bottom: float
    right: float
    tilt_deg: float

    @classmethod
    def of(cls, first: Mask, second: Mask, aspect: float) -> LungGeometry | None:
        """From the masks of both lungs (rows, columns); None where one is empty.

        Parameters
        ----------
        first : the lung on the left of the image.
        aspect : width over height of the image that the masks lie on.
        """
        if not first.any() or not second.any():
            return None
        both = first | second
        rows, columns = np.flatnonzero(both.any(1)), np.flatnonzero(both.any(0))
        height, width = both.shape
        centre_row, centre_column = np.argwhere(first).mean(0)
        other_row, other_column = np.argwhere(second).mean(0)
        down = (other_row - centre_row) / height
        right = (other_column - centre_column) / width * aspect
        return cls(
            float(rows[0] / height),
            float(columns[0] / width),
            float((rows[-1] + 1) / height),
            float((columns[-1] + 1) / width),
            math.degrees(math.atan2(down, right)),
        )


def measure_lungs(lungs: LungGeometry) -> dict[str, float]:
    """The factors of the lungs, by key."""
    height, width = lungs.bottom - lungs.top, lungs.right - lungs.left
    return {
        "zoom": math.sqrt(height * width),
        "body_width": math.log(width / height),
        "position": (lungs.left + lungs.right) / 2,
        "position_vertical": (lungs.top + lungs.bottom) / 2,
        "tilt": lungs.tilt_deg,
    }

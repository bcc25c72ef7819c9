"""Grey values and a target -> the image with one factor at the target, as near as can be.

A tone or detail factor is moved by one family of changes with one strength. The strength at which
the measurement reaches the target is found by bisection; the families are made so that the mean
(and for the tone curve and detail also the contrast) stays. A factor of the lungs is moved by
moving the image: how far follows from the measured value and the target. What comes in from beyond
the edge repeats the edge.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import cv2
import numpy as np

from cxr_audit.factors import panel
from cxr_audit.records import Floats

ROUNDS = 10  # of the bisection
MOST_PX = 1024  # longest side on which compression is applied
MOST_SCALE = 1.5
Family = Callable[[Floats, float], Floats]


def _shifted(grey: Floats, strength: float) -> Floats:
    return np.asarray(np.clip(grey + np.float32(0.5 * strength), 0, 1), np.float32)


def _gained(grey: Floats, strength: float) -> Floats:
    mean = grey.mean()
    return np.asarray(np.clip(mean + 3.0**strength * (grey - mean), 0, 1), np.float32)


def _curved(grey: Floats, strength: float) -> Floats:
    """Another display curve, with mean and contrast as before."""
    curved = np.clip(grey, 0, 1) ** np.float32(3.0**-strength)
    return _like(curved, grey)


def _focused(grey: Floats, strength: float) -> Floats:
    """Blurred below 0, by unsharp masking sharper above."""
    if strength < 0:
        return _like(cv2.GaussianBlur(grey, (0, 0), max(-4 * strength, 0.05)), grey)
    soft = cv2.GaussianBlur(grey, (0, 0), 1.5)
    return _like(grey + np.float32(5 * strength) * (grey - soft), grey)


def _noisy(grey: Floats, strength: float) -> Floats:
    """With noise that does not depend on the image; below 0 with the finest detail taken out."""
    if strength < 0:
        smooth = cv2.GaussianBlur(grey, (3, 3), 0)
        return np.asarray(grey - np.float32(strength) * (smooth - grey), np.float32)
    grain = np.random.default_rng(0).standard_normal(grey.shape, np.float32)
    return np.asarray(np.clip(grey + np.float32(0.25 * strength) * grain, 0, 1), np.float32)


def _like(changed: Floats, grey: Floats) -> Floats:
    """With the mean and the contrast of another image."""
    gain = grey.std() / max(float(changed.std()), panel.LEAST)
    moved = grey.mean() + gain * (changed - changed.mean())
    return np.asarray(np.clip(moved, 0, 1), np.float32)


FAMILIES: dict[str, Family] = {
    "brightness": _shifted,
    "contrast": _gained,
    "tone_curve": _curved,
    "sharpness": _focused,
    "noise": _noisy,
}
"""Each is the image itself at strength 0, and raises the measurement with the strength, -1 to 1."""

BY_MOVING = ("zoom", "body_width", "position", "position_vertical", "tilt")


def move(
    key: str, grey: Floats, value: float, target: float, radiograph: tuple[int, int]
) -> Floats | None:
    """The image with one factor at a target.

    Parameters
    ----------
    key : of the factor.
    grey : (rows, columns) in [0, 1], without padding.
    value : of the factor as it is.
    target : value to reach.
    radiograph : rows and columns of the radiograph, on whose grid blocks of a compression lie.

    Returns
    -------
    float32 like `grey`; None where the factor cannot be moved there.
    """
    if key in FAMILIES:
        return _by_strength(FAMILIES[key], panel.ON_INPUT[key], grey, value, target)
    if key == "compression":
        return _compressed(grey, value, target, radiograph)
    if key in BY_MOVING:
        return _warped(grey, *_warp(key, value, target))
    return None


def _by_strength(
    family: Family, measured: Callable[[Floats], float], grey: Floats, value: float, target: float
) -> Floats:
    is_up = target > value
    low, high = 0.0, 1.0
    for _ in range(ROUNDS):
        middle = (low + high) / 2
        reached = measured(family(grey, middle if is_up else -middle))
        if (reached < target) == is_up:
            low = middle
        else:
            high = middle
    return family(grey, high if is_up else -high)


def _compressed(
    grey: Floats, value: float, target: float, radiograph: tuple[int, int]
) -> Floats | None:
    """JPEG on the radiograph's own grid, as strong as the target; it cannot be undone."""
    if target <= value:
        return None
    shrink = min(1.0, MOST_PX / max(radiograph))
    size = max(1, round(radiograph[1] * shrink)), max(1, round(radiograph[0] * shrink))
    large = cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR)
    pixels = np.round(np.clip(large, 0, 1) * 255).astype(np.uint8)
    nearest = None
    for quality in (50, 30, 20, 14, 10, 7, 5):
        encoded = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        decoded = np.float32(1 / 255) * np.asarray(
            cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE), np.float32
        )
        nearest = decoded
        if panel.compression(decoded) >= target:
            break
    assert nearest is not None
    back = cv2.resize(nearest, grey.shape[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(back, np.float32)


def _warp(key: str, value: float, target: float) -> tuple[float, float, float, float, float]:
    """Scale of rows and columns, shift down and right in shares of the side, angle clockwise."""
    change = target - value
    if key == "zoom":
        scale = float(np.clip(target / max(value, panel.LEAST), 1 / MOST_SCALE, MOST_SCALE))
        return scale, scale, 0.0, 0.0, 0.0
    if key == "body_width":
        scale = float(np.clip(math.exp(change), 1 / MOST_SCALE, MOST_SCALE))
        return 1.0, scale, 0.0, 0.0, 0.0
    if key == "position":
        return 1.0, 1.0, 0.0, change, 0.0
    if key == "position_vertical":
        return 1.0, 1.0, change, 0.0, 0.0
    return 1.0, 1.0, 0.0, 0.0, change


def _warped(
    grey: Floats, rows_by: float, columns_by: float, down: float, right: float, angle: float
) -> Floats:
    rows, columns = grey.shape
    centre_x, centre_y = (columns - 1) / 2, (rows - 1) / 2
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    turn = np.array([[cosine, -sine], [sine, cosine]]) @ np.diag([columns_by, rows_by])
    centre = np.array([centre_x, centre_y])
    offset = centre - turn @ centre + np.array([right * columns, down * rows])
    matrix = np.concatenate([turn, offset[:, None]], 1)
    moved = cv2.warpAffine(
        grey, matrix, (columns, rows), None, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    )
    return np.asarray(moved, np.float32)

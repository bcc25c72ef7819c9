"""The name of a shortcut -> what it adds to the rays, or to the finished picture, and exactly
where.

What a classifier may learn instead of the disease. Tubes and ECG leads are in the beam and are
projected like bone; markers, text, border and bias lie on the picture.
"""

from __future__ import annotations

import cv2
import numpy as np

from cxr_audit.reference.phantom.projection import Floats, Grid, Mask, step, tubes

IN_BEAM = ("tube", "leads")
ON_PICTURE = ("marker_r", "marker_l", "text", "border", "bias")
SHORTCUTS = IN_BEAM + ON_PICTURE
TEXTS = ("PORTABLE", "PA ERECT", "SUPINE", "AP 14:20", "ERECT", "BED 7")
BIAS = 0.08


def in_beam(rng: np.random.Generator, name: str, grid: Grid) -> Floats:
    """What a tube or ECG leads add to the rays.

    Parameters
    ----------
    rng : random stream of the shortcut
    name : "tube" or "leads"
    grid : where the path lengths are taken

    Returns
    -------
    float32 (rows, columns)
        Path length in mm of lead-equivalent absorber.
    """
    along = np.linspace(0, 1, 60)
    if name == "tube":  # a breathing or feeding tube with its opaque line, down the middle
        end = rng.uniform(110, 330)
        x = 3 * np.sin(3 * along + rng.uniform(0, 3)) + np.maximum(end - 250, 0) * 0.5 * along**6
        y = -140 + (end + 140) * along
        line = np.stack([x, y, 0 * along], axis=1)[None]
        body = 0.12 * tubes(grid, line, 3.6, wall=0.8)
        opaque_line = 0.35 * tubes(grid, line + np.asarray([2.2, 0, 0]), 0.6)
        return np.asarray(body + opaque_line, np.float32)
    total = np.zeros(grid.shape, np.float32)
    for side, y0 in ((-1, 80), (1, 80), (1, 250), (-1, 262))[: rng.integers(3, 5)]:
        at = np.asarray([side * rng.uniform(70, 125), y0 + rng.uniform(-12, 12), 100.0])
        out = np.asarray([side * rng.uniform(170, 300), y0 + rng.uniform(-150, 150), 100.0])
        sag = np.sin(np.pi * along)[:, None] * rng.normal(0, 30, 3) * [1, 1, 0]
        wire = at + (out - at) * along[:, None] + sag
        total += 0.9 * tubes(grid, wire[None], 0.75)
        column, row = grid.project(at)
        away = np.hypot(grid.x - column, grid.y - row)
        total += 1.2 * step(5.5 - away, 1) + 0.35 * step(10 - away, 1)
    return total


def on_picture(
    rng: np.random.Generator, name: str, shown: Floats, marker_px: float
) -> tuple[Floats, Mask]:
    """Draw a shortcut on the finished picture.

    Parameters
    ----------
    rng : random stream of the shortcut
    name : one of `ON_PICTURE`
    shown : float32 (rows, columns) in [0, 1]
    marker_px : height of capitals in pixels at 1024 rows

    Returns
    -------
    float32 (rows, columns), bool (rows, columns)
        The picture with the shortcut, and the mask of the shortcut.
    """
    rows, columns = shown.shape
    height = max(3.0, marker_px * rows / 1024)
    if name == "bias":
        return np.asarray(np.minimum(shown + BIAS, 1), np.float32), np.ones(shown.shape, np.bool_)
    if name == "border":
        width = max(1, round(0.02 * rows * rng.uniform(0.7, 1.6)))
        mask = np.ones(shown.shape, np.bool_)
        mask[width:-width, width:-width] = False
        return np.where(mask, np.float32(rng.uniform(0.85, 1.0)), shown).astype(np.float32), mask
    text = {"marker_r": "R", "marker_l": "L"}.get(name) or TEXTS[rng.integers(len(TEXTS))]
    ink = _letters(text, height if name != "text" else 0.6 * height)
    ink_rows, ink_columns = min(ink.shape[0], rows), min(ink.shape[1], columns)
    ink = ink[:ink_rows, :ink_columns]
    if name == "text":
        top = round(rng.choice([0.02, 0.9]) * rows)
    else:
        top = round(rng.uniform(0.03, 0.16) * rows)
    edge = round(rng.uniform(0.02, 0.08) * columns)
    is_left_half = name == "marker_r" or (name == "text" and rng.random() < 0.5)
    left = edge if is_left_half else columns - edge - ink_columns
    top, left = int(np.clip(top, 0, rows - ink_rows)), int(np.clip(left, 0, columns - ink_columns))
    place = np.s_[top : top + ink_rows, left : left + ink_columns]
    picture, mask = shown.copy(), np.zeros(shown.shape, np.bool_)
    picture[place] = picture[place] * (1 - ink) + np.float32(rng.uniform(0.88, 1.0)) * ink
    mask[place] = ink > 0.5
    return picture, mask


def _letters(text: str, height_px: float) -> Floats:
    """Capitals of that height, coverage in [0, 1], cut to their box; drawn large, then averaged
    down.
    """
    scale, thick = 8.0, 22
    (width, tall), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, thick)
    canvas = np.zeros((tall + 120, width + 120), np.uint8)
    cv2.putText(
        canvas, text, (60, tall + 60), cv2.FONT_HERSHEY_DUPLEX, scale, 255, thick, cv2.LINE_AA
    )
    inked = np.argwhere(canvas > 127)
    (top, left), (bottom, right) = inked.min(axis=0), inked.max(axis=0) + 1
    canvas = canvas[top:bottom, left:right]
    rows = max(3, round(height_px))
    columns = max(2, round(canvas.shape[1] * height_px / canvas.shape[0]))
    small = cv2.resize(canvas.astype(np.float32), (columns, rows), interpolation=cv2.INTER_AREA)
    return np.asarray(small / 255, np.float32)

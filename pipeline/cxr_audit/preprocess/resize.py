"""A radiograph -> the model-input grid, as grey values."""

from __future__ import annotations

import cv2
import numpy as np

from cxr_audit.records import Floats, Placement


def resample(pixels: Floats, placement: Placement) -> Floats:
    """The radiograph on the model-input grid, (input rows, input columns) in [0, 1]; padding is 0.

    Area averaging when shrinking (no aliasing), bilinear when enlarging.
    """
    size = (
        round(placement.radiograph_rows * placement.scale_rows),
        round(placement.radiograph_columns * placement.scale_columns),
    )
    shrinks = placement.scale_rows < 1 or placement.scale_columns < 1
    resized = cv2.resize(
        pixels, (size[1], size[0]), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    canvas = np.zeros((placement.input_rows, placement.input_columns), np.float32)
    rows, rows_from = _overlap(placement.offset_rows, size[0], placement.input_rows)
    columns, columns_from = _overlap(placement.offset_columns, size[1], placement.input_columns)
    canvas[rows, columns] = resized[rows_from, columns_from]
    return np.asarray(np.clip(canvas, 0, 1), np.float32)


def _overlap(offset: int, size: int, extent: int) -> tuple[slice, slice]:
    """Where `size` pixels shifted by `offset` meet an input of `extent` pixels: (in the input, in the image)."""
    start, stop = max(offset, 0), min(offset + size, extent)
    return slice(start, stop), slice(start - offset, stop - offset)

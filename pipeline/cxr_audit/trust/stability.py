"""Model inputs -> slightly changed ones, under which a reliable map keeps its order. NumPy only.

Each change is smaller than the difference of two exposures of one patient. Shifts are by 1/64 of
the side, and the edge is repeated; noise has 2 % of the input's range; contrast is 90 %, around
the mean.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cxr_audit.explain.controls import generator
from cxr_audit.records import Floats

SHIFT = 1 / 64
NOISE = 0.02
CONTRAST = 0.9


def _shifted(x: Floats, sign: int) -> Floats:
    """Down and to the right for sign 1, up and to the left for -1."""
    pads = [max(1, round(SHIFT * side)) for side in x.shape[:2]]
    padded = np.pad(x, [(pads[0], pads[0]), (pads[1], pads[1]), (0, 0)], "edge")
    rows, columns = (
        slice(pad - sign * pad, pad - sign * pad + side)
        for pad, side in zip(pads, x.shape[:2], strict=True)
    )
    return padded[rows, columns]


def _with_noise(x: Floats, seed: int) -> Floats:
    deviation = np.float32(NOISE * np.ptp(x))
    return x + deviation * generator(x, seed).standard_normal(x.shape, np.float32)


def _with_contrast(x: Floats) -> Floats:
    mean = x.mean((0, 1))
    return np.asarray(mean + np.float32(CONTRAST) * (x - mean), np.float32)


CHANGES: dict[str, Callable[[Floats, int], Floats]] = {
    "shifted down and right": lambda x, seed: _shifted(x, 1),
    "shifted up and left": lambda x, seed: _shifted(x, -1),
    "noise": _with_noise,
    "less contrast": lambda x, seed: _with_contrast(x),
}

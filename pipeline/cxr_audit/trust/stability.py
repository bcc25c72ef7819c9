"""Model inputs -> slightly changed ones, under which a map that can be relied on keeps its order. NumPy only.

Each change is smaller than what two exposures of one patient differ by. Shifts are by 1/64 of the side, and the edge
goes on; noise has 2 % of the input's range; contrast is 90 % of it, around the mean.
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
    pads = [max(1, round(SHIFT * n)) for n in x.shape[:2]]
    padded = np.pad(x, [*((pad, pad) for pad in pads), (0, 0)], "edge")
    rows, columns = (
        slice(pad - sign * pad, pad - sign * pad + n)
        for pad, n in zip(pads, x.shape[:2], strict=True)
    )
    return padded[rows, columns]


def _with_noise(x: Floats, seed: int) -> Floats:
    return x + np.float32(NOISE * np.ptp(x)) * generator(x, seed).standard_normal(
        x.shape, np.float32
    )


def _with_contrast(x: Floats) -> Floats:
    mean = x.mean((0, 1))
    return np.asarray(mean + np.float32(CONTRAST) * (x - mean), np.float32)


CHANGES: dict[str, Callable[[Floats, int], Floats]] = {
    "shifted down and right": lambda x, seed: _shifted(x, 1),
    "shifted up and left": lambda x, seed: _shifted(x, -1),
    "noise": _with_noise,
    "less contrast": lambda x, seed: _with_contrast(x),
}

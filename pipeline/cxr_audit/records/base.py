"""What the other modules of this room share."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SCHEMA_VERSION = 4


OLDEST_READABLE = 1  # see `older`


Floats = npt.NDArray[np.float32]


Mask = npt.NDArray[np.bool_]


def require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def read_only(array: Floats, ndim: int, name: str) -> None:
    require(array.dtype == np.float32, f"{name} must be float32, received {array.dtype}")
    require(array.ndim == ndim, f"{name} must have {ndim} dimensions, received {array.shape}")
    require(array.size > 0, f"{name} is empty: {array.shape}")
    array.setflags(write=False)

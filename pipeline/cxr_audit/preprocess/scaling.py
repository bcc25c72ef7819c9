"""Grey values in [0, 1] -> the value range that the model was trained on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cxr_audit.config import Preprocess

Doubles = npt.NDArray[np.float64]

# Scaling of a pixel in [0, 1], for each channel in the model's channel order: pixel * scale + offset.
# imagenet and caffe are those of keras.applications.imagenet_utils (modes torch and caffe);
# txv is torchxrayvision.datasets.normalize: 8-bit values to [-1024, 1024].
_MEAN, _DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
SCALINGS: dict[str, tuple[float | Doubles, float | Doubles]] = {
    "unit": (1.0, 0.0),
    "minus_one_one": (2.0, -1.0),
    "imagenet": (1 / _DEVIATION, -_MEAN / _DEVIATION),
    "caffe": (255.0, -np.array([103.939, 116.779, 123.68])),
    "raw_255": (255.0, 0.0),
    "txv": (2048.0, -1024.0),
}


def scaling_of(settings: Preprocess) -> tuple[Doubles, Doubles]:
    """Scale and offset for each channel (1 or 3,)."""
    scale: float | Doubles | None
    offset: float | Doubles | None
    if settings.scaling is None:
        scale, offset = settings.scale, settings.offset
    else:
        scale, offset = SCALINGS[settings.scaling]
    return np.atleast_1d(np.asarray(scale, np.float64)), np.atleast_1d(
        np.asarray(offset, np.float64)
    )

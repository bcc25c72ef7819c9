"""Grey values in [0, 1] -> the value range that the model was trained on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cxr_audit.config import Preprocess
from cxr_audit.records import Floats

Doubles = npt.NDArray[np.float64]

# Scaling of a pixel in [0, 1] by channel, in the model's channel order: pixel * scale + offset.
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
KERAS_EPSILON = 1e-6


def scaling_of(settings: Preprocess) -> tuple[Doubles, Doubles]:
    """Scale and offset for each channel (1 or 3,)."""
    scale: float | Doubles | None
    offset: float | Doubles | None
    if settings.scaling is None:
        scale, offset = settings.scale, settings.offset
    else:
        scale, offset = SCALINGS[settings.scaling]
    return (
        np.atleast_1d(np.asarray(scale, np.float64)),
        np.atleast_1d(np.asarray(offset, np.float64)),
    )


def scaled(grey: Floats, settings: Preprocess) -> Floats:
    """Grey values (rows, columns) -> model input (rows, columns, channels), float32."""
    scale, offset = scaling_of(settings)
    tensor = np.repeat(grey[..., None], settings.channels, axis=2) * scale + offset
    return tensor.astype(np.float32)


def moments(grey: Floats, settings: Preprocess) -> tuple[float, float] | None:
    """Mean and divisor of per-image standardisation, of all pixels with the padding; None where
    the config asks for none. An even image is divided by 1, as MONAI's NormalizeIntensity does."""
    if settings.standardise is None:
        return None
    mean, deviation = float(grey.mean(dtype=np.float64)), float(grey.std(dtype=np.float64))
    if settings.standardise == "tensorflow":
        deviation = max(deviation, 1 / np.sqrt(grey.size * settings.channels))
    elif settings.standardise == "keras":
        deviation += KERAS_EPSILON
    return mean, deviation or 1.0


def standardised(grey: Floats, by: tuple[float, float] | None) -> Floats:
    """(grey - mean) / divisor."""
    return grey if by is None else np.asarray((grey - by[0]) / by[1], np.float32)

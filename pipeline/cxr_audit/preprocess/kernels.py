"""Weights of one axis, (output size, input size): resampling is `rows @ pixels @ columns.T`.

Coordinates are half-pixel centres. Each function reproduces one library and says which.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from cxr_audit.records import Floats

Doubles = npt.NDArray[np.float64]
Kernel = Callable[[Doubles], Doubles]


def triangle(x: Doubles) -> Doubles:
    """Linear interpolation; radius 1."""
    return np.asarray(np.clip(1 - np.abs(x), 0, None), np.float64)


def keys(x: Doubles) -> Doubles:
    """Cubic convolution, a = -0.5 (Keys, IEEE Trans ASSP 1981); radius 2."""
    return _cubic(x, -0.5)


def lanczos(x: Doubles) -> Doubles:
    """Windowed sinc of radius 3."""
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0)


KERNELS: dict[str, tuple[Kernel, float]] = {
    "bilinear": (triangle, 1.0),
    "bicubic": (keys, 2.0),
    "lanczos": (lanczos, 3.0),
}


@functools.lru_cache(maxsize=64)
def filtered(size: int, full: int, interpolation: str, antialias: bool) -> Floats:
    """TensorFlow's ScaleAndTranslate, ResizeBilinear and ResizeBicubic, Pillow's filters.

    Parameters
    ----------
    size, full : pixels of the output and of the input.
    interpolation : a key of `KERNELS`.
    antialias : the kernel is widened by the factor of reduction.

    Taps outside the image are left out and the rest is divided by its sum.
    """
    kernel, radius = KERNELS[interpolation]
    scale = full / size
    width = max(scale, 1.0) if antialias else 1.0
    distance = _centres(size, scale)[:, None] - (np.arange(full) + 0.5)[None]
    weights = kernel(distance / width) * (np.abs(distance) <= radius * width)
    return _frozen(weights / weights.sum(axis=1, keepdims=True))


@functools.lru_cache(maxsize=64)
def averaged(size: int, full: int) -> Floats:
    """TensorFlow's area: the mean over exactly the pixel's own area, with shares of pixels."""
    edges = np.arange(size + 1) * (full / size)
    pixels = np.arange(full + 1, dtype=np.float64)
    overlap = np.minimum(edges[1:, None], pixels[1:]) - np.maximum(edges[:-1, None], pixels[:-1])
    return _frozen(np.clip(overlap, 0, None) / (full / size))


@functools.lru_cache(maxsize=64)
def pooled(size: int, full: int) -> Floats:
    """PyTorch's area (adaptive average pooling): the plain mean of all pixels that are touched."""
    index, pixels = np.arange(size), np.arange(full)
    first = index * full // size
    behind = -(-(index + 1) * full // size)
    touched = (pixels >= first[:, None]) & (pixels < behind[:, None])
    return _frozen(touched / touched.sum(axis=1, keepdims=True))


@functools.lru_cache(maxsize=64)
def torch_bicubic(size: int, full: int) -> Floats:
    """PyTorch's bicubic without antialiasing: a = -0.75, pixels beyond the edge repeat it."""
    centre = _centres(size, full / size) - 0.5
    below = np.floor(centre).astype(int)
    weights = np.zeros((size, full))
    for tap in range(-1, 3):
        index = np.clip(below + tap, 0, full - 1)
        np.add.at(weights, (np.arange(size), index), _cubic(centre - (below + tap), -0.75))
    return _frozen(weights)


@functools.lru_cache(maxsize=64)
def smoothed(full: int, sigma: float) -> Floats:
    """MONAI's GaussianSmooth, (full, full): the integral over each pixel, 0 beyond the edge."""
    from scipy.special import erf

    tail = int(max(sigma * 4, 0.5) + 0.5)
    distance = np.arange(full)[:, None] - np.arange(full)[None]
    factor = 0.70710678 / sigma
    weights = 0.5 * (erf(factor * (distance + 0.5)) - erf(factor * (distance - 0.5)))
    return _frozen(np.where(np.abs(distance) <= tail, weights, 0))


def nearest(size: int, full: int, from_centre: bool) -> npt.NDArray[np.intp]:
    """Which pixel is taken: the one below the output pixel's centre, or below its first edge.

    In single precision, as TensorFlow (centre) and PyTorch (edge) compute it.

    Parameters
    ----------
    size : number of output pixels.
    full : number of input pixels.
    from_centre : False = from the first edge.

    Returns
    -------
    (size,), indices of input pixels.
    """
    scale = np.float32(full) / np.float32(size)
    position = (np.arange(size, dtype=np.float32) + np.float32(0.5 * from_centre)) * scale
    return np.asarray(np.minimum(np.floor(position), full - 1), np.intp)


def _cubic(x: Doubles, a: float) -> Doubles:
    """Cubic convolution with the free parameter `a`."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * a - 4 * a
    return np.asarray(np.where(x <= 1, near, np.where(x < 2, far, 0)), np.float64)


def _centres(size: int, scale: float) -> Doubles:
    return (np.arange(size, dtype=np.float64) + 0.5) * scale


def _frozen(weights: npt.NDArray[np.float64]) -> Floats:
    single = np.asarray(weights, np.float32)
    single.setflags(write=False)
    return single

"""A radiograph -> grey values on the model-input grid, with the arithmetic of several libraries."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

from cxr_audit.preprocess import kernels
from cxr_audit.preprocess.presets import DEFAULT, Recipe
from cxr_audit.records import Floats, Placement

Size = tuple[int, int]
"""Rows and columns."""
Grey = npt.NDArray[np.uint8] | Floats
"""0 to 255, in whole numbers where both ends are rounded."""

Box = tuple[int, int, int, int]
"""First row and column, rows and columns."""

WHOLE_NUMBERS = ("pillow", "keras", "opencv", "torchvision")
"""Libraries that resize 8-bit images without leaving 8 bits."""

_OPENCV = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}
# TorchXRayVision resizes in its own value range, in which beyond the edge lies mid-grey.
_TXV = 1024


def resample(pixels: Floats, placement: Placement, recipe: Recipe = DEFAULT) -> Floats:
    """The radiograph on the model-input grid.

    Parameters
    ----------
    pixels : float32 (rows, columns) in [0, 1].
    placement : where it lies in the model input.
    recipe : how; by default area averaging when shrinking (no aliasing), bilinear when enlarging.

    Returns
    -------
    float32 (input rows, input columns), `recipe.pad_value` where there is no radiograph. In
    [0, 1], except that bicubic and lanczos overshoot at edges where nothing is rounded after.
    """
    size = placement.input_rows, placement.input_columns
    if recipe.frames_first:
        start, frame = _window(placement)
        if recipe.numerics == "keras" and min(start) >= 0:
            return _resized(pixels, size, recipe, (*start, *frame))
        return _resized(_framed(pixels, start, frame, recipe.pad_value), size, recipe)
    inner = (
        round(placement.radiograph_rows * placement.scale_rows),
        round(placement.radiograph_columns * placement.scale_columns),
    )
    offset = round(placement.offset_rows), round(placement.offset_columns)
    resized = _resized(pixels, inner, recipe)
    start = -offset[0], -offset[1]
    return _framed(resized, start, size, recipe.pad_value)


def _window(placement: Placement) -> tuple[tuple[int, int], Size]:
    """First pixel and size of the part of the radiograph that fills the input."""
    start = (
        round(-placement.offset_rows / placement.scale_rows),
        round(-placement.offset_columns / placement.scale_columns),
    )
    size = (
        round(placement.input_rows / placement.scale_rows),
        round(placement.input_columns / placement.scale_columns),
    )
    return start, size


def _framed(pixels: Floats, start: tuple[int, int], size: Size, pad_value: float) -> Floats:
    """`size` pixels from `start` on, which may be negative, padded where the image ends."""
    canvas = np.full(size, pad_value, np.float32)
    rows, rows_from = _overlap(-start[0], pixels.shape[0], size[0])
    columns, columns_from = _overlap(-start[1], pixels.shape[1], size[1])
    canvas[rows, columns] = pixels[rows_from, columns_from]
    return canvas


def _overlap(offset: int, size: int, extent: int) -> tuple[slice, slice]:
    """Where `size` pixels shifted by `offset` meet `extent` pixels: (on these, of the image)."""
    start, stop = max(offset, 0), min(offset + size, extent)
    return slice(start, stop), slice(start - offset, stop - offset)


def _resized(pixels: Floats, size: Size, recipe: Recipe, box: Box | None = None) -> Floats:
    """The whole image, or what is in a box of it, at another size; grey values in [0, 1]."""
    if recipe.numerics == "area" and recipe.rounding == "none":
        return np.asarray(np.clip(_by_area(pixels, size), 0, 1), np.float32)
    grey: Grey = pixels * np.float32(255)
    if recipe.rounding in ("before", "both"):
        grey = np.rint(grey)
    if recipe.rounding == "both" and recipe.numerics in WHOLE_NUMBERS:
        grey = grey.astype(np.uint8)
    if box is not None:
        resized = _by_pillow(grey, size, recipe, box)
    else:
        resized = _LIBRARIES[recipe.numerics](grey, size, recipe)
    if recipe.rounding in ("after", "both"):
        resized = np.clip(np.rint(resized), 0, 255)
    return np.asarray(resized, np.float32) / np.float32(255)


def _by_area(pixels: Grey, size: Size, recipe: Recipe = DEFAULT) -> Floats:
    """Area averaging when shrinking, bilinear when enlarging, both as OpenCV computes them."""
    shrinks = size[0] < pixels.shape[0] or size[1] < pixels.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (size[1], size[0]), interpolation=how))


def _by_pillow(pixels: Grey, size: Size, recipe: Recipe, box: Box | None = None) -> Grey:
    """Pillow: on 8-bit pixels in fixed point, rounded after each axis; else in floating point.

    With a box, as `load_img` of Keras crops, filters reach beyond it.
    """
    from PIL import Image

    filters = {
        "nearest": Image.Resampling.NEAREST,
        "bilinear": Image.Resampling.BILINEAR,
        "bicubic": Image.Resampling.BICUBIC,
        "area": Image.Resampling.BOX,
        "lanczos": Image.Resampling.LANCZOS,
    }
    image = Image.fromarray(pixels)
    corners = None
    if box is not None:
        top, left, rows, columns = box
        corners = left, top, left + columns, top + rows
    resized = image.resize((size[1], size[0]), filters[recipe.interpolation], corners)
    return np.asarray(resized)


def _by_opencv(pixels: Grey, size: Size, recipe: Recipe) -> Grey:
    how = _OPENCV[recipe.interpolation]
    return np.asarray(cv2.resize(pixels, (size[1], size[0]), interpolation=how))


def _by_tensorflow(pixels: Grey, size: Size, recipe: Recipe) -> Grey:
    if recipe.interpolation == "nearest":
        return _picked(pixels, size, from_centre=True)
    if recipe.interpolation == "area":
        return _weighted(pixels, size, kernels.averaged)
    return _weighted(
        pixels,
        size,
        lambda part, full: kernels.filtered(part, full, recipe.interpolation, recipe.antialias),
    )


def _by_torchvision(pixels: Grey, size: Size, recipe: Recipe) -> Grey:
    """On PIL images it is Pillow; tensors without antialiasing go to `interpolate`."""
    if recipe.antialias or recipe.interpolation == "nearest":
        return _by_pillow(pixels, size, recipe)
    if recipe.interpolation == "bicubic":
        return _weighted(pixels, size, kernels.torch_bicubic)
    return _by_tensorflow(pixels, size, recipe)


def _by_torchxrayvision(pixels: Grey, size: Size, recipe: Recipe) -> Grey:
    """Engine "skimage" (bilinear) or "cv2" (area), after `normalize`."""
    in_range = np.asarray(pixels * np.float32(2 * _TXV / 255) - np.float32(_TXV), np.float32)
    if recipe.interpolation == "area":
        resized = cv2.resize(in_range, (size[1], size[0]), interpolation=cv2.INTER_AREA)
    else:
        resized = _by_skimage(in_range, size, recipe.antialias)
    return np.asarray((resized + _TXV) * np.float32(255 / (2 * _TXV)), np.float32)


def _by_skimage(pixels: Floats, size: Size, antialias: bool) -> Floats:
    """skimage.transform.resize of order 1 with mode "constant": 0 beyond the edge."""
    from scipy import ndimage

    factors = pixels.shape[0] / size[0], pixels.shape[1] / size[1]
    smooth = pixels
    if antialias and max(factors) > 1:
        sigmas = [max(0.0, (factor - 1) / 2) for factor in factors]
        smooth = ndimage.gaussian_filter(pixels, sigmas, mode="grid-constant", cval=0)
    zooms = 1 / factors[0], 1 / factors[1]
    resized = ndimage.zoom(smooth, zooms, order=1, mode="grid-constant", grid_mode=True)
    return np.asarray(np.clip(resized, pixels.min(), pixels.max()), np.float32)


def _by_monai(pixels: Grey, size: Size, recipe: Recipe) -> Grey:
    if recipe.interpolation == "nearest":
        return _picked(pixels, size, from_centre=False)
    if recipe.interpolation == "area":
        return _weighted(pixels, size, kernels.pooled)
    if recipe.antialias:
        pixels = _smoothed(pixels, size)
    if recipe.interpolation == "bicubic":
        return _weighted(pixels, size, kernels.torch_bicubic)
    return _weighted(
        pixels, size, lambda part, full: kernels.filtered(part, full, "bilinear", False)
    )


def _smoothed(pixels: Grey, size: Size) -> Floats:
    """MONAI's antialiasing: a Gaussian along each axis that shrinks."""
    smooth = np.asarray(pixels, np.float32)
    for axis, (full, part) in enumerate(zip(pixels.shape, size, strict=True)):
        if full > part:
            weights = kernels.smoothed(full, (full / part - 1) / 2)
            smooth = weights @ smooth if axis == 0 else smooth @ weights.T
    return smooth


def _weighted(pixels: Grey, size: Size, weights: Callable[[int, int], Floats]) -> Floats:
    rows = weights(size[0], pixels.shape[0])
    columns = weights(size[1], pixels.shape[1])
    return np.asarray(rows @ np.asarray(pixels, np.float32) @ columns.T, np.float32)


def _picked(pixels: Grey, size: Size, from_centre: bool) -> Grey:
    rows = kernels.nearest(size[0], pixels.shape[0], from_centre)
    columns = kernels.nearest(size[1], pixels.shape[1], from_centre)
    return pixels[np.ix_(rows, columns)]


_LIBRARIES: dict[str, Callable[[Grey, Size, Recipe], Grey]] = {
    "area": _by_area,
    "pillow": _by_pillow,
    "keras": _by_pillow,
    "opencv": _by_opencv,
    "tensorflow": _by_tensorflow,
    "torchvision": _by_torchvision,
    "torchxrayvision": _by_torchxrayvision,
    "monai": _by_monai,
}

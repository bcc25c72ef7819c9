"""Steps that change grey values, before or after the radiograph is resized."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from cxr_audit.config import Preprocess
from cxr_audit.records import Floats
from cxr_audit.vocabulary import Message, message

CLAHE_TILES = 8


def adjust(pixels: Floats, settings: Preprocess) -> tuple[Floats, list[Message]]:
    """The grey values after the steps that a config asks for, and what they were.

    Parameters
    ----------
    pixels : float32 (rows, columns) in [0, 1].
    settings : the steps: percentiles, min_max, equalise, clahe and gamma, in this order.

    Returns
    -------
    Grey values in [0, 1], and a message for each step.
    """
    steps = []
    if settings.percentiles is not None:
        low, high = settings.percentiles
        pixels = stretched(pixels, *np.percentile(pixels, (low, high)))
        steps.append(message("preprocess.contrast.percentiles", low=low, high=high))
    if settings.min_max:
        pixels = stretched(pixels, float(pixels.min()), float(pixels.max()))
        steps.append(message("preprocess.contrast.min_max"))
    if settings.equalise is not None:
        pixels = equalised(pixels, settings.equalise)
        steps.append(message("preprocess.contrast.equalise", library=settings.equalise))
    if settings.clahe is not None:
        pixels = equalise(pixels, settings.clahe, settings.clahe_tiles)
        steps.append(
            message(
                "preprocess.contrast.clahe",
                clip_limit=settings.clahe,
                tiles=settings.clahe_tiles,
            )
        )
    if settings.gamma is not None:
        pixels = np.asarray(np.clip(pixels, 0, 1) ** np.float32(settings.gamma), np.float32)
        steps.append(message("preprocess.contrast.gamma", gamma=settings.gamma))
    return pixels, steps


def normalised_again(pixels: Floats, settings: Preprocess) -> Floats:
    """Grey values after the steps that undo a change of brightness: what a pipeline with such steps
    makes of a radiograph that is displayed darker or brighter."""
    brightness = settings.model_copy(update={"clahe": None, "gamma": None})
    return adjust(pixels, brightness)[0]


def stretched(pixels: Floats, low: float, high: float) -> Floats:
    """Stretch grey values linearly and limit them to [0, 1]; an even image becomes 0.

    Parameters
    ----------
    pixels : float32 (rows, columns).
    low, high : the grey values that become 0 and 1.

    Returns
    -------
    float32 (rows, columns) in [0, 1].
    """
    if high <= low:
        return np.zeros_like(pixels)
    return np.asarray(np.clip((pixels - low) / (high - low), 0, 1), np.float32)


def equalise(pixels: Floats, clip_limit: float, tiles: int = CLAHE_TILES) -> Floats:
    """CLAHE on 8-bit grey values (Zuiderveld, Graphics Gems IV, 1994; OpenCV's clip limit).

    Parameters
    ----------
    pixels : float32 (rows, columns) in [0, 1].
    clip_limit : above 0.
    tiles : along each side.

    Returns
    -------
    float32 (rows, columns) in [0, 1].
    """
    clahe = cv2.createCLAHE(clip_limit, (tiles, tiles))
    return np.asarray(clahe.apply(_eight_bits(pixels)), np.float32) / np.float32(255)


def equalised(pixels: Floats, library: str) -> Floats:
    """Histogram equalisation of 8-bit grey values, in [0, 1].

    Parameters
    ----------
    library : opencv (cv2.equalizeHist), pil (ImageOps.equalize) or skimage
        (skimage.exposure.equalize_hist, which does not round and maps the darkest value not to 0).
    """
    grey = _eight_bits(pixels)
    if library == "skimage":
        counts = np.bincount(grey.ravel(), minlength=256)
        return np.asarray((np.cumsum(counts) / grey.size)[grey], np.float32)
    if library == "pil":
        from PIL import Image, ImageOps

        flat = np.asarray(ImageOps.equalize(Image.fromarray(grey)))
    else:
        flat = cv2.equalizeHist(grey)
    return np.asarray(flat, np.float32) / np.float32(255)


def _eight_bits(pixels: Floats) -> npt.NDArray[np.uint8]:
    return np.round(pixels * 255).astype(np.uint8)

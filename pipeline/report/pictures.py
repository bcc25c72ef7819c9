"""Pixels and heatmaps -> the pictures of a case, at print size. Pure NumPy and OpenCV.

Colours are cividis (Nunez et al., PLoS ONE 2018): perceptually uniform, the same to colour-blind eyes,
and monotone in grey print. The scale is fixed by the run, never stretched to one case.
Refuses arrays that are not of the stated type and shape.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

SHORTEST_PX = 450
MOST_OPAQUE = 0.65
_HALO = (24, 24, 24)
_LINE = (255, 255, 255)


def display(pixels: npt.NDArray[np.float32], longest_px: int = 900) -> Bytes:
    """A radiograph at print size.

    Parameters
    ----------
    pixels : float32 (rows, columns) in [0, 1]
    longest_px : the longer side is reduced to this by area averaging

    Returns
    -------
    uint8 (r, c), the aspect kept. Pictures whose longer side is below 450 px are enlarged to 450
    (cubic), so that contours drawn on them are smooth.
    """
    rows, columns = pixels.shape
    longest = max(rows, columns)
    factor = min(1.0, longest_px / longest)
    if longest < SHORTEST_PX:
        factor = min(SHORTEST_PX, longest_px) / longest
    size = (max(1, round(columns * factor)), max(1, round(rows * factor)))
    if size != (columns, rows):
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)


def encode_png(pixels: npt.NDArray[np.float32], bits: int) -> bytes:
    """PNG of a radiograph, float32 (rows, columns) in [0, 1], at full size with 8 or 16 bits a pixel."""
    if bits not in (8, 16):
        raise ValueError(f"expected 8 or 16 bits, received {bits}")
    white = (1 << bits) - 1
    done, encoded = cv2.imencode(".png", np.rint(pixels.astype(np.float64) * white).astype(f"uint{bits}"))
    if not done:  # pragma: no cover - OpenCV raises on everything known
        raise ValueError(f"OpenCV could not encode a picture of {pixels.shape}")
    return encoded.tobytes()


def encode_jpeg(image: Bytes, quality: int = 90) -> bytes:
    """JPEG of a grey (r, c) or RGB (r, c, 3) picture; colour is not subsampled (4:4:4). Deterministic."""
    if image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise ValueError(f"expected uint8 (r, c) or (r, c, 3), received {image.dtype} {image.shape}")
    options = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if image.ndim == 3:
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        image = image[..., ::-1]
    done, encoded = cv2.imencode(".jpg", np.ascontiguousarray(image), options)
    if not done:  # pragma: no cover - OpenCV raises on everything known
        raise ValueError(f"OpenCV could not encode a picture of {image.shape}")
    return encoded.tobytes()


def overlay(
    picture: Bytes,
    heatmap: npt.NDArray[np.float32],
    covered: Mask,
    scale: float,
    threshold: float = 0.5,
) -> Bytes:
    """A radiograph with the positive part of one map and one contour.

    Parameters
    ----------
    picture : uint8 (r, c)
    heatmap : float32 (r, c), signed, in logit units
    covered : bool (r, c), True where the model saw the radiograph; elsewhere nothing is drawn
    scale : upper end of the run's colour scale, in the heatmap's units
    threshold : the contour encloses heatmap >= threshold * its maximum, the region that
        `FocusMetrics.high_focus_fraction` measures

    Returns
    -------
    uint8 RGB (r, c, 3). The plain radiograph where the map has no positive or no finite evidence.
    """
    if not picture.shape == heatmap.shape == covered.shape:
        raise ValueError(f"shapes differ: {picture.shape}, {heatmap.shape}, {covered.shape}")
    if not scale > 0:
        raise ValueError(f"the colour scale must end above 0, received {scale}")
    drawn: Bytes = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
    evidence: Any = np.where(covered, heatmap, np.float32(0))
    highest = float(evidence.max())
    if not 0 < highest < np.inf or np.isnan(evidence.min()):
        return drawn
    colour, see_through = _ramp()
    _, positive = cv2.threshold(evidence, 0, 0, cv2.THRESH_TOZERO)
    level = cv2.convertScaleAbs(positive, alpha=255 / scale)
    below = cv2.multiply(picture, cv2.LUT(level, see_through), scale=1 / 255)
    drawn = cv2.add(cv2.cvtColor(below, cv2.COLOR_GRAY2RGB), cv2.LUT(cv2.merge([level] * 3), colour))
    return _contour(drawn, (evidence >= threshold * highest) & covered)


def colour_bar_stops() -> list[str]:
    """The colour scale from 0 to its end, as 16 CSS colours at even distances."""
    return ["#{:02x}{:02x}{:02x}".format(*_cividis()[level]) for level in range(0, 256, 17)]


def _cividis() -> Bytes:
    """(256, 3) RGB; OpenCV gives BGR."""
    levels = np.arange(256, dtype=np.uint8)[:, None]
    return np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_CIVIDIS)[:, 0, ::-1], dtype=np.uint8)


@lru_cache(1)
def _ramp() -> tuple[Bytes, Bytes]:
    """Premultiplied colours (1, 256, 3) and what is left of the radiograph (1, 256), of 255.

    Opacity rises from 0, so that weak evidence leaves the radiograph as it is."""
    opacity = MOST_OPAQUE * (np.arange(256) / 255) ** 0.8
    colour = np.rint(_cividis() * opacity[:, None]).astype(np.uint8)
    return colour[None], np.rint(255 * (1 - opacity)).astype(np.uint8)[None]


def _contour(drawn: Bytes, region: Mask) -> Bytes:
    """One white line with a dark halo around the region, in place; widths grow with the picture."""
    lines, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    width = max(1, round(max(region.shape) / 450))
    for colour, thickness in ((_HALO, 3 * width), (_LINE, width)):
        cv2.drawContours(drawn, lines, -1, colour, thickness, cv2.LINE_AA)
    return drawn

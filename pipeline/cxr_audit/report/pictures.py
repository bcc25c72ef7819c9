"""Pixels and heatmaps -> the pictures of a case, at print size. Pure NumPy and OpenCV.

Colours are cividis (Nunez et al., PLoS ONE 2018): perceptually uniform, the same to colour-blind
eyes, and monotone in grey print. The scale is fixed by the run, never stretched to one case. Lines:
`contours`. Refuses arrays that are not of the stated type and shape.
"""

from __future__ import annotations

from functools import cache, lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cxr_audit.records import Mask
from cxr_audit.report.contours import contour

Bytes = npt.NDArray[np.uint8]

# Page 1 prints two pictures of 87 mm by at most 112 mm at 300 dpi.
PRINTED_PX = (1322, 1028)
SHORTEST_PX = 450
MOST_OPAQUE = 0.65
FAINT = 0.25
"""Share of the colour scale: a contour around less would show next to nothing as a place."""


def display(pixels: npt.NDArray[np.float32], longest_px: int | None = None) -> Bytes:
    """A radiograph at print size.

    Parameters
    ----------
    pixels : float32 (rows, columns) in [0, 1].
    longest_px : the longer side is reduced to this by area averaging; None = to the size that page
        1 prints at 300 dpi.

    Returns
    -------
    uint8 (r, c), the aspect kept. Pictures whose longer side is below 450 px are enlarged to 450
    (cubic), so that contours drawn on them are smooth.
    """
    rows, columns = pixels.shape
    longest = max(rows, columns)
    if longest_px is None:
        factor = min(1.0, PRINTED_PX[0] / rows, PRINTED_PX[1] / columns)
    else:
        factor = min(1.0, longest_px / longest)
    if longest < SHORTEST_PX:
        factor = min(SHORTEST_PX, longest_px or SHORTEST_PX) / longest
    size = (max(1, round(columns * factor)), max(1, round(rows * factor)))
    if size != (columns, rows):
        interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
        pixels = cv2.resize(pixels, size, interpolation=interpolation)
    return np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)


def encode_png(pixels: npt.NDArray[np.float32], bits: int) -> bytes:
    """PNG of a radiograph, float32 (rows, columns) in [0, 1], at full size.

    Parameters
    ----------
    pixels : float32 (rows, columns) in [0, 1].
    bits : 8 or 16 a pixel.
    """
    if bits not in (8, 16):
        raise ValueError(f"expected 8 or 16 bits, received {bits}")
    white = (1 << bits) - 1
    done, encoded = cv2.imencode(
        ".png", np.rint(pixels.astype(np.float64) * white).astype(f"uint{bits}")
    )
    if not done:  # pragma: no cover - OpenCV raises on everything known
        raise ValueError(f"OpenCV could not encode a picture of {pixels.shape}")
    return encoded.tobytes()


def encode_jpeg(image: Bytes, most_bytes: int | None = None) -> bytes:
    """JPEG of a grey (r, c) or RGB (r, c, 3) picture, colour not subsampled (4:4:4). Deterministic.

    Parameters
    ----------
    image : uint8.
    most_bytes : the quality is 90, and lower, to 60 at least, where the file would be larger: noise
        has no limit.
    """
    if image.dtype != np.uint8 or image.ndim not in (2, 3):
        raise ValueError(
            f"expected uint8 (r, c) or (r, c, 3), received {image.dtype} {image.shape}"
        )
    options = []
    if image.ndim == 3:
        options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    for quality in (90, 80, 70, 60):
        done, encoded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality, *options])
        if not done:  # pragma: no cover - OpenCV raises on everything known
            raise ValueError(f"OpenCV could not encode a picture of {image.shape}")
        if most_bytes is None or len(encoded) <= most_bytes:
            break
    return encoded.tobytes()


def is_faint(highest: float, scale: float) -> bool:
    """Whether a map with this maximum has evidence, but nowhere a quarter of the colour scale."""
    return 0 < highest < FAINT * scale


def overlay(
    picture: Bytes,
    heatmap: npt.NDArray[np.float32],
    covered: Mask,
    scale: float,
    threshold: float = 0.5,
    edges: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]] | None = None,
    has_contour: bool = True,
) -> Bytes:
    """A radiograph with the positive part of one map and one contour.

    Parameters
    ----------
    picture : uint8 (r, c)
    heatmap : float32 (r, c), signed
    covered : bool (r, c), True where the model saw the radiograph; elsewhere nothing is drawn
    scale : upper end of the colour scale, in the heatmap's units
    threshold : the contour encloses heatmap >= threshold * its maximum, the region that the metric
        `high_focus_fraction` measures
    edges : rows and columns, in pixels of the picture, of the lines between the map's cells; None =
        not drawn
    has_contour : False for a map that `is_faint`

    Returns
    -------
    uint8 RGB (r, c, 3). The plain radiograph where the map has no positive or no finite evidence.
    """
    if not picture.shape == heatmap.shape == covered.shape:
        raise ValueError(f"shapes differ: {picture.shape}, {heatmap.shape}, {covered.shape}")
    if not scale > 0:
        raise ValueError(f"the colour scale must end above 0, received {scale}")
    drawn: Bytes = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
    evidence: Any = heatmap if covered.all() else np.where(covered, heatmap, np.float32(0))
    highest = float(evidence.max())
    if not 0 < highest < np.inf or np.isnan(evidence.min()):
        return drawn
    colour, see_through = _ramp()
    _, positive = cv2.threshold(evidence, 0, 0, cv2.THRESH_TOZERO)
    level = cv2.convertScaleAbs(positive, alpha=255 / scale)
    below = cv2.multiply(picture, cv2.LUT(level, see_through), scale=1 / 255)
    drawn = cv2.add(cv2.cvtColor(below, cv2.COLOR_GRAY2RGB), cv2.applyColorMap(level, colour))
    if edges is not None:
        _cells(drawn, edges)
    return contour(drawn, (evidence >= threshold * highest) & covered) if has_contour else drawn


def mean_map_picture(
    values: npt.NDArray[np.float32], lungs: npt.NDArray[np.float32], scale: float
) -> Bytes:
    """Mean evidence in colour, with the line around where most cases have lung.

    Parameters
    ----------
    values : float32 (r, c), 0 and more
    lungs : float32 (r, c), share of the cases with lung there
    scale : upper end of the colour scale, in the values' unit

    Returns
    -------
    uint8 RGB (4 r, 4 c, 3).
    """
    size = (4 * values.shape[1], 4 * values.shape[0])
    level = cv2.convertScaleAbs(
        cv2.resize(values, size, interpolation=cv2.INTER_LINEAR), alpha=255 / scale
    )
    inside = cv2.resize(lungs, size, interpolation=cv2.INTER_LINEAR) >= 0.5
    return contour(np.ascontiguousarray(_cividis()[level]), inside)


def colour_bar_stops() -> list[str]:
    """The colour scale from 0 to its end, as 16 CSS colours at even distances."""
    return ["#{:02x}{:02x}{:02x}".format(*_cividis()[level]) for level in range(0, 256, 17)]


@cache
def _cividis() -> Bytes:
    """(256, 3) RGB; OpenCV gives BGR."""
    levels = np.arange(256, dtype=np.uint8)[:, None]
    return np.asarray(cv2.applyColorMap(levels, cv2.COLORMAP_CIVIDIS)[:, 0, ::-1], dtype=np.uint8)


@lru_cache(1)
def _ramp() -> tuple[Bytes, Bytes]:
    """Premultiplied colours (256, 1, 3) and what is left of the radiograph (1, 256), of 255.

    Opacity rises from 0, so that weak evidence leaves the radiograph as it is."""
    opacity = MOST_OPAQUE * (np.arange(256) / 255) ** 0.8
    colour = np.rint(_cividis() * opacity[:, None]).astype(np.uint8)
    return colour[:, None], np.rint(255 * (1 - opacity)).astype(np.uint8)[None]


def _cells(drawn: Bytes, edges: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]) -> None:
    """Thin lines between cells, in place, half see-through."""
    rows, columns = (np.rint(at).astype(int) for at in edges)
    rows, columns = (
        rows[(rows > 0) & (rows < drawn.shape[0])],
        columns[(columns > 0) & (columns < drawn.shape[1])],
    )
    drawn[rows] = drawn[rows] // 2 + 64
    drawn[:, columns] = drawn[:, columns] // 2 + 64

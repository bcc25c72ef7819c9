"""Pixels and heatmaps -> the pictures of a case, at print size. Pure NumPy and OpenCV.

Colours are cividis (Nunez et al., PLoS ONE 2018): perceptually uniform, the same to colour-blind eyes,
and monotone in grey print. The scale is fixed by the run, never stretched to one case.
Refuses arrays that are not of the stated type and shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cxr_audit.records import Mask, Region

Bytes = npt.NDArray[np.uint8]

# Page 1 prints two pictures of 87 mm by at most 112 mm at 300 dpi.
PRINTED_PX = (1322, 1028)
SHORTEST_PX = 450
MOST_OPAQUE = 0.65
MOST_HAZE = 0.3
FAINT = 0.25  # of the colour scale; a contour around less would show a place where the model sees next to nothing
_HALO = (24, 24, 24)
_LINE = (255, 255, 255)
_SOFT = (190, 190, 190)
_MARK = (255, 234, 70)  # the bright end of cividis
_LUNG = (120, 205, 245)


def display(pixels: npt.NDArray[np.float32], longest_px: int | None = None) -> Bytes:
    """A radiograph at print size.

    Parameters
    ----------
    pixels : float32 (rows, columns) in [0, 1].
    longest_px : the longer side is reduced to this by area averaging; None = to the size that page 1
        prints at 300 dpi.

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
    """PNG of a radiograph, float32 (rows, columns) in [0, 1], at full size with 8 or 16 bits a pixel."""
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
    """JPEG of a grey (r, c) or RGB (r, c, 3) picture; colour is not subsampled (4:4:4). Deterministic.

    The quality is 90, and lower, to 60 at least, where the file would be larger than `most_bytes`: noise has no limit.
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
    """Whether a map with this maximum has evidence, but nowhere a quarter of the colour scale: it gets no contour."""
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
    threshold : the contour encloses heatmap >= threshold * its maximum, the region that
        `FocusMetrics.high_focus_fraction` measures
    edges : rows and columns, in pixels of the picture, of the lines between the map's cells; None = not drawn
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
    return _contour(drawn, (evidence >= threshold * highest) & covered) if has_contour else drawn


def marked(
    picture: Bytes,
    heatmap: npt.NDArray[np.float32],
    covered: Mask,
    regions: Sequence[Region] = (),
    threshold: float = 0.5,
    has_contour: bool = True,
    haze: float = 0.0,
) -> Bytes:
    """A radiograph with one contour around the strongest evidence and the lungs dashed.

    Legible in grey print: the contour is bright with a dark halo on both sides, and only the lungs
    are dashed. Inside and outside the lines the radiograph stays as it is, unless haze is asked for.

    Parameters
    ----------
    picture : uint8 (r, c).
    heatmap : float32 (r, c), signed.
    covered : bool (r, c), True where the model saw the radiograph.
    regions : those of the kind "lung" are dashed; their masks cover the picture at any resolution.
    threshold : the contour encloses heatmap >= threshold * its maximum.
    has_contour : False for a map that `is_faint`.
    haze : opacity of the colour inside the contour, 0 to 0.3.

    Returns
    -------
    uint8 RGB (r, c, 3).
    """
    if not picture.shape == heatmap.shape == covered.shape:
        raise ValueError(f"shapes differ: {picture.shape}, {heatmap.shape}, {covered.shape}")
    if not 0 <= haze <= MOST_HAZE:
        raise ValueError(f"expected haze from 0 to {MOST_HAZE}, received {haze}")
    drawn: Bytes = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
    rows, columns = picture.shape
    width = max(1, round(max(picture.shape) / 450))
    for region in regions:
        if region.facts.kind == "lung":
            for outline in _outlines(region.mask, rows, columns):
                _dashes(drawn, outline, width)
    evidence = np.where(covered, heatmap, np.float32(0))
    highest = float(evidence.max())
    if not has_contour or not 0 < highest < np.inf or np.isnan(evidence.min()):
        return drawn
    inside = (evidence >= threshold * highest) & covered
    if haze:
        colour = (1 - haze) * drawn[inside] + haze * np.asarray(_MARK, np.float32)
        drawn[inside] = np.rint(colour).astype(np.uint8)
    return _contour(drawn, inside, _MARK, 2)


def _dashes(drawn: Bytes, outline: npt.NDArray[np.int32], width: int) -> None:
    """A dashed line with a dark halo, in place: 12 pixels and a gap of 8, times the width."""
    points = outline[:, 0]
    steps = np.hypot(*np.diff(points, axis=0, append=points[:1]).T)
    along = np.concatenate([[0.0], np.cumsum(steps)[:-1]])
    is_dash = (along % (20 * width)) < 12 * width
    ends = np.flatnonzero(np.diff(is_dash.astype(np.int8)) != 0) + 1
    for part in np.split(np.arange(len(points)), ends):
        if is_dash[part[0]]:
            dash = [points[part].reshape(-1, 1, 2)]
            cv2.polylines(drawn, dash, False, _HALO, 3 * width, cv2.LINE_AA)
            cv2.polylines(drawn, dash, False, _LUNG, width, cv2.LINE_AA)


def outlines(picture: Bytes, regions: Sequence[Region]) -> Bytes:
    """A radiograph with the outlines of its lungs, thin lines between their zones, a frame around each marker, and
    dots along what is annotated.

    Parameters
    ----------
    picture : uint8 (r, c)
    regions : their masks cover the picture at any resolution

    Returns
    -------
    uint8 RGB (r, c, 3).
    """
    drawn: Bytes = cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
    rows, columns = picture.shape
    width = max(1, round(max(picture.shape) / 450))
    for kind, colour, thickness in (("zone", _SOFT, width), ("lung", _LINE, 2 * width)):
        for region in regions:
            if region.facts.kind == kind:
                found = _outlines(region.mask, rows, columns)
                cv2.drawContours(drawn, found, -1, _HALO, thickness + 2 * width, cv2.LINE_AA)
                cv2.drawContours(drawn, found, -1, colour, thickness, cv2.LINE_AA)
    for region in regions:
        if region.facts.kind == "annotation":
            for outline in _outlines(region.mask, rows, columns):
                for column, row in outline[:: 8 * width, 0].tolist():
                    for colour, radius in ((_HALO, 3 * width), (_MARK, 2 * width)):
                        cv2.circle(drawn, (column, row), radius, colour, cv2.FILLED, cv2.LINE_AA)
        if region.facts.kind == "marker" and region.mask.any():
            top, bottom, left, right = _frame(region.mask, rows, columns, 3 * width)
            for colour, thickness in ((_HALO, 4 * width), (_MARK, 2 * width)):
                cv2.rectangle(drawn, (left, top), (right, bottom), colour, thickness, cv2.LINE_AA)
    return drawn


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
    return _contour(np.ascontiguousarray(_cividis()[level]), inside)


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
    """Thin lines between cells, in place, half see-through so that the radiograph stays in sight."""
    rows, columns = (np.rint(at).astype(int) for at in edges)
    rows, columns = (
        rows[(rows > 0) & (rows < drawn.shape[0])],
        columns[(columns > 0) & (columns < drawn.shape[1])],
    )
    drawn[rows] = drawn[rows] // 2 + 64
    drawn[:, columns] = drawn[:, columns] // 2 + 64


def _contour(
    drawn: Bytes, region: Mask, line: tuple[int, int, int] = _LINE, times: int = 1
) -> Bytes:
    """One line with a dark halo around the region, in place; widths grow with the picture."""
    lines, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    width = max(1, round(max(region.shape) / 450))
    for colour, thickness in ((_HALO, (times + 2) * width), (line, times * width)):
        cv2.drawContours(drawn, lines, -1, colour, thickness, cv2.LINE_AA)
    return drawn


def _outlines(mask: Mask, rows: int, columns: int) -> Sequence[Any]:
    """The outlines of a mask on a picture of (rows, columns): (n, 1, 2) as (column, row) each."""
    enlarged = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_LINEAR)
    found, _ = cv2.findContours(
        (enlarged >= 0.5).astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    )
    return list(found)


def _frame(mask: Mask, rows: int, columns: int, margin: int) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of a mask's box on a picture of (rows, columns), with a margin."""
    edges = []
    for axis, size in ((1, rows), (0, columns)):
        inside = np.flatnonzero(mask.any(axis))
        scale = size / mask.shape[1 - axis]
        edges += [
            max(0, int(inside[0] * scale) - margin),
            min(size - 1, int((inside[-1] + 1) * scale) + margin),
        ]
    return edges[0], edges[1], edges[2], edges[3]

"""Where a radiograph lies in the model input, and the exact way back.

Geometry has half-pixel centres: pixel i covers [i, i + 1), its centre lies at i + 0.5. Because a
placement only scales and shifts, rows and columns separate, and every resampling of a map is
`rows_matrix @ values @ columns_matrix.T`.
"""

from __future__ import annotations

import functools
import math
from dataclasses import replace
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from cxr_audit.records import Floats, Placement, Resize
from cxr_audit.vocabulary.presets import Convention

Doubles = npt.NDArray[np.float64]
Size = tuple[int, int]
"""Rows and columns."""


def place(
    rows: int,
    columns: int,
    input_rows: int,
    input_columns: int,
    resize: Resize,
    convention: Convention = "own",
    short_side: int | None = None,
) -> Placement:
    """Where a radiograph lies in the model input.

    Parameters
    ----------
    rows, columns, input_rows, input_columns : sizes in pixels.
    resize : stretch fills the input and changes the aspect; letterbox fits all of the radiograph
        and pads; center_crop fills the input and cuts what stands over; pad_resize and crop_resize
        pad or cut the radiograph to the input's aspect before they resize it.
    convention : how whole pixels are chosen; sizes are whole pixels, so scales are exact ratios.
    short_side : pixels of the shorter side after center_crop has resized and before it cuts.
    """
    size, full = (input_rows, input_columns), (rows, columns)
    if resize in ("crop_resize", "pad_resize"):
        return _framed_first(full, size, is_padded=resize == "pad_resize", convention=convention)
    if resize == "stretch":
        resized, offset = size, (0, 0)
    elif resize == "letterbox":
        resized, offset = _letterboxed(full, size, convention)
    else:
        resized = _covering(full, size, convention, short_side)
        offset = (
            -_crop_start(resized[0], input_rows, convention),
            -_crop_start(resized[1], input_columns, convention),
        )
    return Placement(
        rows, columns, *size, resized[0] / rows, resized[1] / columns, offset[0], offset[1]
    )


def _framed_first(full: Size, size: Size, is_padded: bool, convention: Convention) -> Placement:
    """The radiograph cropped or padded to the input's aspect on its own pixels, then resized."""
    # As `smart_resize` of Keras: the other side that has the input's aspect, rounded down.
    other = full[1] * size[0] // size[1], full[0] * size[1] // size[0]
    if is_padded:
        frame = max(full[0], other[0]), max(full[1], other[1])
        start = -((frame[0] - full[0]) // 2), -((frame[1] - full[1]) // 2)
    else:
        frame = max(1, min(full[0], other[0])), max(1, min(full[1], other[1]))
        start = (
            _crop_start(full[0], frame[0], "halves" if convention == "halves" else "tensorflow"),
            _crop_start(full[1], frame[1], "halves" if convention == "halves" else "tensorflow"),
        )
    scales = size[0] / frame[0], size[1] / frame[1]
    return Placement(*full, *size, *scales, -start[0] * scales[0], -start[1] * scales[1])


def _letterboxed(full: Size, size: Size, convention: Convention) -> tuple[Size, Size]:
    """Size and offset of a radiograph that fits into the input."""
    if convention == "tensorflow":  # tf.image.resize_with_pad
        ratio = max(full[0] / size[0], full[1] / size[1])
        exact = full[0] / ratio, full[1] / ratio
        resized = max(1, math.floor(exact[0])), max(1, math.floor(exact[1]))
        offset = math.floor((size[0] - exact[0]) / 2), math.floor((size[1] - exact[1]) / 2)
        return resized, (max(0, offset[0]), max(0, offset[1]))
    scale = min(size[0] / full[0], size[1] / full[1])
    resized = max(1, round(full[0] * scale)), max(1, round(full[1] * scale))
    return resized, ((size[0] - resized[0]) // 2, (size[1] - resized[1]) // 2)


def _covering(full: Size, size: Size, convention: Convention, short_side: int | None) -> Size:
    """Size of a radiograph that covers the input, its aspect kept."""
    scale = max(size[0] / full[0], size[1] / full[1])
    if short_side is not None:
        scale = short_side / min(full)
    if convention != "torchvision":
        return max(1, round(full[0] * scale)), max(1, round(full[1] * scale))
    # torchvision.transforms.Resize(n): the shorter side is n, the longer one rounded down.
    short = short_side if short_side is not None else round(min(full) * scale)
    long = short * max(full) // min(full)
    return (short, long) if full[0] <= full[1] else (long, short)


def _crop_start(full: int, part: int, convention: Convention) -> int:
    """First of `part` pixels cut from the middle of `full`; negative where they are padded."""
    if convention == "own":
        return -((part - full) // 2)
    if convention == "halves":
        return full // 2 - part // 2
    if convention == "torchvision":
        return round((full - part) / 2)
    return (full - part) // 2


def sampled_from_edges(placement: Placement) -> Placement:
    """Nearest neighbour that takes the pixel at the *first edge* of an output pixel moves the
    radiograph towards its end: by the mean distance of what is taken from the half-pixel centre.

    With a ratio radiograph / input of p / q in lowest terms that is 1/2 - 1 / (2 p) input pixels.
    """
    shifts = []
    for scale, full in (
        (placement.scale_rows, placement.radiograph_rows),
        (placement.scale_columns, placement.radiograph_columns),
    ):
        ratio = Fraction(full, round(full * scale))
        shifts.append(0.5 - 1 / (2 * ratio.numerator))
    return replace(
        placement,
        offset_rows=placement.offset_rows + shifts[0],
        offset_columns=placement.offset_columns + shifts[1],
    )


def restore(values: Floats, placement: Placement, rows: int, columns: int) -> Floats:
    """A map on a layer's grid -> heatmap over the radiograph.

    Parameters
    ----------
    values : (grid rows, grid columns).
    placement : where the radiograph lies in the model input.
    rows, columns : size of the heatmap.

    Returns
    -------
    float32 (rows, columns): bilinear between cell centres, constant beyond the outermost ones. What
    the model did not see (cropped away) is 0; see `seen`.
    """
    along_rows = _interpolation(rows, values.shape[0], *_axis(placement, 0))
    along_columns = _interpolation(columns, values.shape[1], *_axis(placement, 1))
    return np.asarray(along_rows @ values @ along_columns.T, np.float32)


def seen(placement: Placement, rows: int, columns: int) -> npt.NDArray[np.bool_]:
    """Which pixels of the radiograph at (rows, columns) the model saw.

    Bool; False where the radiograph was cropped away.
    """
    inside = [
        _is_inside(size, *_axis(placement, axis)) for axis, size in enumerate((rows, columns))
    ]
    return np.outer(*inside)


def box_share(
    placement: Placement, grid_rows: int, grid_columns: int, box: tuple[float, float, float, float]
) -> Floats:
    """Share of each cell's area inside a box.

    Parameters
    ----------
    placement : where the radiograph lies in the model input.
    grid_rows, grid_columns : cells of the grid.
    box : top, left, bottom, right in pixels of the radiograph.

    Returns
    -------
    float32 (grid_rows, grid_columns) in [0, 1].
    """
    shares = []
    for axis, cells in enumerate((grid_rows, grid_columns)):
        _, scale, offset, extent = _axis(placement, axis)
        edges = np.arange(cells + 1) * (extent / cells)
        low, high = (box[axis] * scale + offset, box[axis + 2] * scale + offset)
        length = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
        shares.append(np.clip(length, 0, None) / (extent / cells))
    return np.asarray(np.outer(*shares), np.float32)


def cell_edges(
    placement: Placement, grid_rows: int, grid_columns: int, rows: int, columns: int
) -> tuple[Doubles, Doubles]:
    """Where the lines between cells run on the radiograph.

    Parameters
    ----------
    placement : where the radiograph lies in the model input.
    grid_rows, grid_columns : cells of the grid.
    rows, columns : size in pixels at which the radiograph is drawn.

    Returns
    -------
    Rows and columns of the lines, (grid_rows + 1,) and (grid_columns + 1,), in these pixels.
    """
    edges = []
    for axis, (cells, size) in enumerate(((grid_rows, rows), (grid_columns, columns))):
        full, scale, offset, extent = _axis(placement, axis)
        on_input = np.arange(cells + 1) * (extent / cells)
        edges.append(np.asarray((on_input - offset) / scale * (size / full), np.float64))
    return edges[0], edges[1]


def cell_shares(
    placement: Placement, grid_rows: int, grid_columns: int
) -> tuple[Floats, Floats, tuple[Doubles, Doubles]]:
    """Where the cells of a grid lie on the radiograph.

    Parameters
    ----------
    placement : where the radiograph lies in the model input.
    grid_rows, grid_columns : cells of the grid.

    Returns
    -------
    Each cell's share on the radiograph and in its left half, (grid_rows, grid_columns) in [0, 1],
    and the rows and columns of the cell centres in fractions of the radiograph.
    """
    rows, columns = placement.radiograph_rows, placement.radiograph_columns
    centres = []
    for axis, cells in enumerate((grid_rows, grid_columns)):
        size, scale, offset, extent = _axis(placement, axis)
        centres.append(((np.arange(cells) + 0.5) * (extent / cells) - offset) / scale / size)
    whole, left = (0, 0, rows, columns), (0, 0, rows, columns / 2)
    share, on_left = (box_share(placement, grid_rows, grid_columns, box) for box in (whole, left))
    return share, on_left, (centres[0], centres[1])


def half_cell(
    placement: Placement, grid_rows: int, grid_columns: int, rows: int, columns: int
) -> tuple[float, float]:
    """Half a cell's height and width, in pixels of the radiograph drawn at (rows, columns)."""
    halves = []
    for axis, (cells, pixels) in enumerate(((grid_rows, rows), (grid_columns, columns))):
        size, scale, _, extent = _axis(placement, axis)
        halves.append(extent / cells / scale / size * pixels / 2)
    return halves[0], halves[1]


def region_shares(
    placement: Placement, grid_rows: int, grid_columns: int, masks: npt.NDArray[np.bool_]
) -> Floats:
    """Share of each cell's area inside each mask.

    Parameters
    ----------
    placement : where the radiograph lies in the model input.
    grid_rows, grid_columns : cells of the grid.
    masks : bool (N, rows, columns), on any grid that covers the radiograph.

    Returns
    -------
    float32 (N, grid_rows, grid_columns) in [0, 1].
    """
    weights = []
    for axis, cells in enumerate((grid_rows, grid_columns)):
        size, scale, offset, extent = _axis(placement, axis)
        pixel = (
            np.arange(masks.shape[1 + axis] + 1) * (size / masks.shape[1 + axis]) * scale + offset
        )
        cell = np.arange(cells + 1) * (extent / cells)
        overlap = np.minimum(cell[1:, None], pixel[None, 1:]) - np.maximum(
            cell[:-1, None], pixel[None, :-1]
        )
        weights.append((np.clip(overlap, 0, None) / (extent / cells)).astype(np.float32))
    rows, columns = masks.any((0, 2)), masks.any((0, 1))  # a marker is a small part of them
    inside = masks[:, rows][:, :, columns].astype(np.float32)
    return np.asarray(weights[0][:, rows] @ (inside @ weights[1][:, columns].T), np.float32)


def _axis(placement: Placement, axis: int) -> tuple[int, float, float, int]:
    """(radiograph size, scale, offset, input size) of one axis."""
    if axis == 0:
        return (
            placement.radiograph_rows,
            placement.scale_rows,
            placement.offset_rows,
            placement.input_rows,
        )
    return (
        placement.radiograph_columns,
        placement.scale_columns,
        placement.offset_columns,
        placement.input_columns,
    )


def _positions(size: int, full: int, scale: float, offset: float) -> Doubles:
    """Centres of `size` pixels over a radiograph of `full` pixels, in edge coordinates of the model
    input."""
    return (np.arange(size, dtype=np.float64) + 0.5) * (full / size) * scale + offset


def _is_inside(
    size: int, full: int, scale: float, offset: float, extent: int
) -> npt.NDArray[np.bool_]:
    position = _positions(size, full, scale, offset)
    return (position >= 0) & (position <= extent)


@functools.lru_cache(maxsize=256)
def _interpolation(
    size: int, cells: int, full: int, scale: float, offset: float, extent: int
) -> Doubles:
    """Bilinear weights (size, cells); a row of zeros where the pixel lies outside the input."""
    cell = np.clip(_positions(size, full, scale, offset) * (cells / extent) - 0.5, 0, cells - 1)
    below = np.minimum(np.floor(cell).astype(int), max(cells - 2, 0))
    weights = np.zeros((size, cells))
    index = np.arange(size)
    weights[index, below] = 1 - (cell - below)
    weights[index, np.minimum(below + 1, cells - 1)] += cell - below
    weights[~_is_inside(size, full, scale, offset, extent)] = 0
    weights.setflags(write=False)
    return weights

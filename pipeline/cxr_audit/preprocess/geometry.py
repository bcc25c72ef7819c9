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

from cxr_audit.records import Floats, GridAxis, GridGeometry, Placement, Resize
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


def restore(
    values: Floats,
    placement: Placement,
    rows: int,
    columns: int,
    grid: GridGeometry | None = None,
) -> Floats:
    """A map on a layer's grid -> heatmap over the radiograph.

    Parameters
    ----------
    values : (grid rows, grid columns).
    placement : where the radiograph lies in the model input.
    rows, columns : size of the heatmap.
    grid : where the cells lie in the model input; None = an even division of it.

    Returns
    -------
    float32 (rows, columns): bilinear between cell centres, constant beyond the outermost ones. What
    the model did not see (cropped away) is 0; see `seen`.
    """
    grid_rows, grid_columns = values.shape
    on_rows, on_columns = _grid_axes(placement, grid_rows, grid_columns, grid)
    along_rows = _interpolation(rows, grid_rows, *_axis(placement, 0), on_rows)
    along_columns = _interpolation(columns, grid_columns, *_axis(placement, 1), on_columns)
    return np.asarray(along_rows @ values @ along_columns.T, np.float32)


def seen(
    placement: Placement, rows: int, columns: int, grid: GridGeometry | None = None
) -> npt.NDArray[np.bool_]:
    """Which pixels of the radiograph the model saw.

    Parameters
    ----------
    placement : how the radiograph lies in the model input.
    rows, columns : size at which the radiograph is drawn.
    grid : the cells of the map; None = they cover the whole input.

    Returns
    -------
    bool (rows, columns): False where the radiograph was cropped away, or where the model itself
    crops its input and no cell of `grid` sees it.
    """
    on_rows, on_columns = _grid_axes(placement, 1, 1, grid)
    inside_rows = _is_inside(rows, *_axis(placement, 0)[:3], on_rows)
    inside_columns = _is_inside(columns, *_axis(placement, 1)[:3], on_columns)
    return np.outer(inside_rows, inside_columns)


def box_share(
    placement: Placement,
    grid_rows: int,
    grid_columns: int,
    box: tuple[float, float, float, float],
    grid: GridGeometry | None = None,
) -> Floats:
    """Share of each cell's area inside a box.

    Parameters
    ----------
    placement : where the radiograph lies in the model input.
    grid_rows, grid_columns : cells of the grid.
    box : top, left, bottom, right in pixels of the radiograph.
    grid : where the cells lie in the model input; None = an even division of it.

    Returns
    -------
    float32 (grid_rows, grid_columns) in [0, 1].
    """
    shares = []
    on_input = _grid_axes(placement, grid_rows, grid_columns, grid)
    for axis, cells in enumerate((grid_rows, grid_columns)):
        _, scale, offset, _ = _axis(placement, axis)
        edges = _edges(on_input[axis], cells)
        low, high = (box[axis] * scale + offset, box[axis + 2] * scale + offset)
        length = np.minimum(edges[1:], high) - np.maximum(edges[:-1], low)
        shares.append(_share(np.clip(length, 0, None), np.diff(edges)))
    return np.asarray(np.outer(*shares), np.float32)


def cell_edges(
    placement: Placement,
    grid_rows: int,
    grid_columns: int,
    rows: int,
    columns: int,
    grid: GridGeometry | None = None,
) -> tuple[Doubles, Doubles]:
    """Where the lines between cells run on the radiograph.

    Parameters
    ----------
    placement : where the radiograph lies in the model input.
    grid_rows, grid_columns : cells of the grid.
    rows, columns : size in pixels at which the radiograph is drawn.
    grid : where the cells lie in the model input; None = an even division of it.

    Returns
    -------
    Rows and columns of the lines, (grid_rows + 1,) and (grid_columns + 1,), in these pixels.
    """
    edges = []
    on_input = _grid_axes(placement, grid_rows, grid_columns, grid)
    for axis, (cells, size) in enumerate(((grid_rows, rows), (grid_columns, columns))):
        full, scale, offset, _ = _axis(placement, axis)
        lines = _edges(on_input[axis], cells)
        edges.append(np.asarray((lines - offset) / scale * (size / full), np.float64))
    return edges[0], edges[1]


def cell_shares(
    placement: Placement, grid_rows: int, grid_columns: int, grid: GridGeometry | None = None
) -> tuple[Floats, Floats, tuple[Doubles, Doubles]]:
    """Where the cells of a grid lie on the radiograph.

    Parameters
    ----------
    placement : where the radiograph lies in the model input.
    grid_rows, grid_columns : cells of the grid.
    grid : where the cells lie in the model input; None = an even division of it.

    Returns
    -------
    Each cell's share on the radiograph and in its left half, (grid_rows, grid_columns) in [0, 1],
    and the rows and columns of the cell centres in fractions of the radiograph.
    """
    rows, columns = placement.radiograph_rows, placement.radiograph_columns
    centres = []
    on_input = _grid_axes(placement, grid_rows, grid_columns, grid)
    for axis, cells in enumerate((grid_rows, grid_columns)):
        size, scale, offset, _ = _axis(placement, axis)
        cell = on_input[axis]
        middle = np.clip(cell.offset + (np.arange(cells) + 0.5) * cell.jump, cell.low, cell.high)
        centres.append((middle - offset) / scale / size)
    whole, left = (0, 0, rows, columns), (0, 0, rows, columns / 2)
    share, on_left = (
        box_share(placement, grid_rows, grid_columns, box, grid) for box in (whole, left)
    )
    return share, on_left, (centres[0], centres[1])


def half_cell(
    placement: Placement,
    grid_rows: int,
    grid_columns: int,
    rows: int,
    columns: int,
    grid: GridGeometry | None = None,
) -> tuple[float, float]:
    """Half a cell's height and width, in pixels of the radiograph.

    Parameters
    ----------
    placement : how the radiograph lies in the model input.
    grid_rows, grid_columns : cells of the map.
    rows, columns : size at which the radiograph is drawn.
    grid : where the cells lie; None = an even division of the input.

    Returns
    -------
    float, float
    """
    halves = []
    on_input = _grid_axes(placement, grid_rows, grid_columns, grid)
    for axis, pixels in enumerate((rows, columns)):
        size, scale, _, _ = _axis(placement, axis)
        halves.append(on_input[axis].jump / scale / size * pixels / 2)
    return halves[0], halves[1]


def region_shares(
    placement: Placement,
    grid_rows: int,
    grid_columns: int,
    masks: npt.NDArray[np.bool_],
    grid: GridGeometry | None = None,
) -> Floats:
    """Share of each cell's area inside each mask.

    Parameters
    ----------
    placement : where the radiograph lies in the model input.
    grid_rows, grid_columns : cells of the grid.
    masks : bool (N, rows, columns), on any grid that covers the radiograph.
    grid : where the cells lie in the model input; None = an even division of it.

    Returns
    -------
    float32 (N, grid_rows, grid_columns) in [0, 1].
    """
    weights = []
    on_input = _grid_axes(placement, grid_rows, grid_columns, grid)
    for axis, cells in enumerate((grid_rows, grid_columns)):
        size, scale, offset, _ = _axis(placement, axis)
        pixel = (
            np.arange(masks.shape[1 + axis] + 1) * (size / masks.shape[1 + axis]) * scale + offset
        )
        cell = _edges(on_input[axis], cells)
        overlap = np.minimum(cell[1:, None], pixel[None, 1:]) - np.maximum(
            cell[:-1, None], pixel[None, :-1]
        )
        share = _share(np.clip(overlap, 0, None), np.diff(cell)[:, None])
        weights.append(share.astype(np.float32))
    rows, columns = masks.any((0, 2)), masks.any((0, 1))  # a marker is a small part of them
    inside = masks[:, rows][:, :, columns].astype(np.float32)
    return np.asarray(weights[0][:, rows] @ (inside @ weights[1][:, columns].T), np.float32)


def _grid_axes(
    placement: Placement, grid_rows: int, grid_columns: int, grid: GridGeometry | None
) -> tuple[GridAxis, GridAxis]:
    """Where cells lie in the model input: as `grid` says, else as an even division of it."""
    if grid is not None:
        return grid.rows, grid.columns
    rows, columns = placement.input_rows, placement.input_columns
    return (
        GridAxis(rows / grid_rows, 0, 0, rows),
        GridAxis(columns / grid_columns, 0, 0, columns),
    )


def _edges(axis: GridAxis, cells: int) -> Doubles:
    """Where cells begin and end in the model input, (cells + 1,).

    Half-way between two centres; the outermost cells reach as far as the grid sees.
    """
    edges = axis.offset + np.arange(cells + 1) * axis.jump
    edges[0], edges[-1] = axis.low, axis.high
    return np.asarray(np.clip(edges, axis.low, axis.high), np.float64)


def _share(part: Doubles, whole: Doubles) -> Doubles:
    """part / whole, 0 of a cell that lies in the padding of a layer and owns no pixel."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


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
    size: int, full: int, scale: float, offset: float, on_input: GridAxis
) -> npt.NDArray[np.bool_]:
    position = _positions(size, full, scale, offset)
    return (position >= on_input.low) & (position <= on_input.high)


@functools.lru_cache(maxsize=256)
def _interpolation(
    size: int, cells: int, full: int, scale: float, offset: float, extent: int, on_input: GridAxis
) -> Doubles:
    """Bilinear weights (size, cells); a row of zeros where the pixel lies outside the input."""
    position = _positions(size, full, scale, offset)
    cell = np.clip((position - on_input.offset) / on_input.jump - 0.5, 0, cells - 1)
    below = np.minimum(np.floor(cell).astype(int), max(cells - 2, 0))
    weights = np.zeros((size, cells))
    index = np.arange(size)
    weights[index, below] = 1 - (cell - below)
    weights[index, np.minimum(below + 1, cells - 1)] += cell - below
    weights[~_is_inside(size, full, scale, offset, on_input)] = 0
    weights.setflags(write=False)
    return weights

"""Where a radiograph lies in the model input, and the exact way back.

Geometry has half-pixel centres: pixel i covers [i, i + 1), its centre lies at i + 0.5. Because a
placement only scales and shifts, rows and columns separate, and every resampling of a map is
`rows_matrix @ values @ columns_matrix.T`.
"""

from __future__ import annotations

import functools

import numpy as np
import numpy.typing as npt

from cxr_audit.records import Floats, Placement, Resize

Doubles = npt.NDArray[np.float64]


def place(
    rows: int, columns: int, input_rows: int, input_columns: int, resize: Resize
) -> Placement:
    """Where a radiograph of (rows, columns) lies in a model input of (input_rows, input_columns).

    stretch fills the input and changes the aspect; letterbox fits all of it and pads; center_crop fills
    the input and cuts what stands over. Sizes are whole pixels, so scales are exact ratios.
    """
    if resize == "stretch":
        resized = (input_rows, input_columns)
    else:
        fit = min if resize == "letterbox" else max
        scale = fit(input_rows / rows, input_columns / columns)
        resized = (max(1, round(rows * scale)), max(1, round(columns * scale)))
    return Placement(
        rows,
        columns,
        input_rows,
        input_columns,
        resized[0] / rows,
        resized[1] / columns,
        (input_rows - resized[0]) // 2,
        (input_columns - resized[1]) // 2,
    )


def restore(values: Floats, placement: Placement, rows: int, columns: int) -> Floats:
    """A map on a layer's grid -> heatmap (rows, columns) over the radiograph at that size.

    Bilinear between cell centres, constant beyond the outermost ones. What the model did not see
    (cropped away) is 0; see `seen`.
    """
    along_rows = _interpolation(rows, values.shape[0], *_axis(placement, 0))
    along_columns = _interpolation(columns, values.shape[1], *_axis(placement, 1))
    return np.asarray(along_rows @ values @ along_columns.T, np.float32)


def seen(placement: Placement, rows: int, columns: int) -> npt.NDArray[np.bool_]:
    """Which pixels of the radiograph at (rows, columns) the model saw: bool, False where cropped away."""
    inside = [
        _is_inside(size, *_axis(placement, axis)) for axis, size in enumerate((rows, columns))
    ]
    return np.outer(*inside)


def box_share(
    placement: Placement, grid_rows: int, grid_columns: int, box: tuple[float, float, float, float]
) -> Floats:
    """Share of each cell's area inside a box (top, left, bottom, right) in radiograph pixels."""
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
    """Where the lines between cells run on the radiograph drawn at (rows, columns): in its pixels."""
    edges = []
    for axis, (cells, size) in enumerate(((grid_rows, rows), (grid_columns, columns))):
        full, scale, offset, extent = _axis(placement, axis)
        on_input = np.arange(cells + 1) * (extent / cells)
        edges.append(np.asarray((on_input - offset) / scale * (size / full), np.float64))
    return edges[0], edges[1]


def cell_shares(
    placement: Placement, grid_rows: int, grid_columns: int
) -> tuple[Floats, Floats, tuple[Doubles, Doubles]]:
    """What `focus` needs to know of a grid: each cell's share on the radiograph and in its left half, and the cell
    centres' rows and columns in fractions of the radiograph."""
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
    """Half a cell's (rows, columns) in pixels of the radiograph at (rows, columns)."""
    halves = []
    for axis, (cells, pixels) in enumerate(((grid_rows, rows), (grid_columns, columns))):
        size, scale, _, extent = _axis(placement, axis)
        halves.append(extent / cells / scale / size * pixels / 2)
    return halves[0], halves[1]


def region_shares(
    placement: Placement, grid_rows: int, grid_columns: int, masks: npt.NDArray[np.bool_]
) -> Floats:
    """Share of each cell's area inside each mask: (N, rows, columns) bool over the radiograph -> (N, h, w)."""
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


def _axis(placement: Placement, axis: int) -> tuple[int, float, int, int]:
    """(radiograph size, scale, offset, input size) of one axis."""
    p = placement
    if axis == 0:
        return p.radiograph_rows, p.scale_rows, p.offset_rows, p.input_rows
    return p.radiograph_columns, p.scale_columns, p.offset_columns, p.input_columns


def _positions(size: int, full: int, scale: float, offset: int) -> Doubles:
    """Centres of `size` pixels over a radiograph of `full` pixels, in model-input edge coordinates."""
    return (np.arange(size, dtype=np.float64) + 0.5) * (full / size) * scale + offset


def _is_inside(
    size: int, full: int, scale: float, offset: int, extent: int
) -> npt.NDArray[np.bool_]:
    position = _positions(size, full, scale, offset)
    return (position >= 0) & (position <= extent)


@functools.lru_cache(maxsize=256)
def _interpolation(
    size: int, cells: int, full: int, scale: float, offset: int, extent: int
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

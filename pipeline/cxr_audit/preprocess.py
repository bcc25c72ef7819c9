"""Radiograph -> ModelInput, and its exact undo (`restore`) beside it.

Geometry has half-pixel centres: pixel i covers [i, i + 1), its centre lies at i + 0.5. Because a
placement only scales and shifts, rows and columns separate, and every resampling of a map is
`rows_matrix @ values @ columns_matrix.T`.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence

import cv2
import numpy as np
import numpy.typing as npt

from cxr_audit.config import Preprocess
from cxr_audit.records import TOUCHES, Decision, Floats, ModelInput, Placement, Radiograph, Resize

Doubles = npt.NDArray[np.float64]

# Scaling of a pixel in [0, 1], for each channel in the model's channel order: pixel * scale + offset.
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
CLAHE_TILES = 8
SHIFTS = {"darker": -0.1, "brighter": 0.1}  # of the grey range
FEWEST = 8  # radiographs whose mean is what is usual


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


def equalise(pixels: Floats, clip_limit: float) -> Floats:
    """CLAHE on 8-bit grey values, 8x8 tiles (Zuiderveld, Graphics Gems IV, 1994; OpenCV's clip limit)."""
    clahe = cv2.createCLAHE(clip_limit, (CLAHE_TILES, CLAHE_TILES))
    grey = np.round(pixels * 255).astype(np.uint8)
    return np.asarray(clahe.apply(grey), np.float32) / np.float32(255)


def resample(pixels: Floats, placement: Placement) -> Floats:
    """The radiograph on the model-input grid, (input rows, input columns) in [0, 1]; padding is 0.

    Area averaging when shrinking (no aliasing), bilinear when enlarging.
    """
    size = (
        round(placement.radiograph_rows * placement.scale_rows),
        round(placement.radiograph_columns * placement.scale_columns),
    )
    shrinks = placement.scale_rows < 1 or placement.scale_columns < 1
    resized = cv2.resize(
        pixels, (size[1], size[0]), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    canvas = np.zeros((placement.input_rows, placement.input_columns), np.float32)
    rows, rows_from = _overlap(placement.offset_rows, size[0], placement.input_rows)
    columns, columns_from = _overlap(placement.offset_columns, size[1], placement.input_columns)
    canvas[rows, columns] = resized[rows_from, columns_from]
    return np.asarray(np.clip(canvas, 0, 1), np.float32)


def preprocess(
    radiograph: Radiograph, settings: Preprocess
) -> tuple[ModelInput, Floats, tuple[Decision, ...]]:
    """The model input, the grey image the model sees before scaling (rows, columns) in [0, 1], and what was done."""
    pixels = radiograph.pixels
    decisions = []
    if settings.clahe is not None:
        pixels = equalise(pixels, settings.clahe)
        tiles = f"{CLAHE_TILES}x{CLAHE_TILES} tiles, 8-bit grey values"
        decisions.append(
            Decision("Contrast", f"CLAHE, clip limit {settings.clahe:g}, {tiles}", "config")
        )
    rows, columns = pixels.shape
    placement = place(rows, columns, settings.rows, settings.columns, settings.resize)
    grey = resample(pixels, placement)
    scale, offset = scaling_of(settings)
    tensor = np.repeat(grey[..., None], settings.channels, axis=2) * scale + offset
    named = settings.scaling or f"pixel * {settings.scale:g} + {settings.offset:g}"
    decisions += [
        Decision(
            "Resize",
            f"{settings.resize}, {placement.radiograph_rows}x{placement.radiograph_columns} to "
            f"{settings.rows}x{settings.columns} (rows x columns)",
            "config",
        ),
        Decision(
            "Value range",
            f"{named}, channels {settings.channels}",
            settings.scaling_source or "config",
        ),
    ]
    return ModelInput(tensor.astype(np.float32), placement), grey, tuple(decisions)


def scaling_of(settings: Preprocess) -> tuple[Doubles, Doubles]:
    """Scale and offset for each channel (1 or 3,)."""
    scale: float | Doubles | None
    offset: float | Doubles | None
    if settings.scaling is None:
        scale, offset = settings.scale, settings.offset
    else:
        scale, offset = SCALINGS[settings.scaling]
    return np.atleast_1d(np.asarray(scale, np.float64)), np.atleast_1d(
        np.asarray(offset, np.float64)
    )


def exposures(model_input: ModelInput, settings: Preprocess) -> dict[str, Floats]:
    """The model input as of the radiograph displayed darker and brighter by `SHIFTS`, cut off at black and white;
    padding stays. `settings` are those that it was made with."""
    tensor, placement = model_input.tensor, model_input.placement
    scale, offset = scaling_of(settings)
    rows, columns, _ = tensor.shape
    on_radiograph, *_ = cell_shares(placement, rows, columns)
    grey = (tensor - offset) / scale
    return {
        name: (
            tensor + on_radiograph[..., None] * scale * (np.clip(grey + by, 0, 1) - grey)
        ).astype(np.float32)
        for name, by in SHIFTS.items()
    }


def usual(model_inputs: Sequence[ModelInput]) -> Floats | None:
    """The mean of some model inputs of a run (rows, columns, channels), each pixel of those that have radiograph there;
    padding where none has. None of fewer than `FEWEST`."""
    if len(model_inputs) < FEWEST:
        return None
    tensors = np.stack([one.tensor for one in model_inputs]).astype(np.float64)
    _, rows, columns, _ = tensors.shape
    shares = [cell_shares(one.placement, rows, columns)[0] for one in model_inputs]
    weights = np.stack(shares)[..., None].astype(np.float64)
    weights += ~(weights > 0).any(0)
    return np.asarray((tensors * weights).sum(0) / weights.sum(0), np.float32)


def as_usual(
    model_input: ModelInput,
    usual: Floats,
    markers: Mapping[str, npt.NDArray[np.bool_]],
    border: float,
) -> dict[str, Floats]:
    """The model input with each marker and the border, by name, replaced by what is `usual` there; padding stays.

    Parameters
    ----------
    markers : name -> mask over the radiograph, bool, on any grid.
    border : width of the outer ring, in shares of the radiograph's sides.

    What lies in a pixel that touches the part is replaced whole. A part that the model does not see has no entry.
    """
    tensor, placement = model_input.tensor, model_input.placement
    rows, columns, _ = tensor.shape
    on_radiograph, *_ = cell_shares(placement, rows, columns)
    height, width = placement.radiograph_rows, placement.radiograph_columns
    inner = height * border, width * border, height * (1 - border), width * (1 - border)
    interior = box_share(placement, rows, columns, inner)
    shares = {
        name: region_shares(placement, rows, columns, mask[None])[0]
        for name, mask in markers.items()
    }
    parts = {
        name: share > TOUCHES
        for name, share in (shares | {"border": on_radiograph - interior}).items()
    }
    return {
        name: np.where(part[..., None], usual, tensor) for name, part in parts.items() if part.any()
    }


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


def _overlap(offset: int, size: int, extent: int) -> tuple[slice, slice]:
    """Where `size` pixels shifted by `offset` meet an input of `extent` pixels: (in the input, in the image)."""
    start, stop = max(offset, 0), min(offset + size, extent)
    return slice(start, stop), slice(start - offset, stop - offset)

"""The steps of a network -> where the cells of every tensor lie in the image, and what they see of
it.

Along one axis of a tensor, cell i is centred at the input pixel `centre + i * jump` and sees the
pixels `first + i * jump` to `last + i * jump`. A window of size k, stride s, dilation d and padding
p makes of them jump * s, first - jump * p, last + jump * (d (k - 1) - p) (Araujo, Norris and Sim,
"Computing receptive fields of convolutional neural networks", Distill 2019). Crops, flips,
transpositions and resizing are followed alike; a jump is negative where an axis runs backwards.
Borders cut a field off. A squeeze-and-excitation, or a pooling of the whole grid, sees the whole
image.

An axis is spatial only as long as every step in between is one that is known here. Channels,
tokens, heads and windows have no place in the image (None), and after a step that is not known, or
that mixes the cases of a batch, nothing has (`UnknownPlace`, with the name of that step).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from keras import tree

from cxr_audit.classifier.graph import Graph, Step, Value
from cxr_audit.records import Floats, GridAxis, GridGeometry

_CELL_BY_CELL = {
    # layers
    "Activation",
    "ActivityRegularization",
    "AlphaDropout",
    "BatchNormalization",
    "Dropout",
    "ELU",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "LayerScale",
    "LeakyReLU",
    "Linear",
    "LogOdds",
    "Normalization",
    "PReLU",
    "ReLU",
    "Rescaling",
    "SpatialDropout2D",
    "StochasticDepth",
    # Keras operations
    "Abs",
    "Absolute",
    "Cast",
    "Clip",
    "Elu",
    "Erf",
    "Exp",
    "Gelu",
    "HardSigmoid",
    "HardSilu",
    "LeakyRelu",
    "Log",
    "LogSigmoid",
    "Negative",
    "Relu",
    "Relu6",
    "Rsqrt",
    "Selu",
    "Sigmoid",
    "Silu",
    "Softplus",
    "Sqrt",
    "Square",
    "Tanh",
}
_MERGING = {
    "Add",
    "Average",
    "CustomScaleLayer",  # of InceptionResNetV2: x + scale * y
    "Divide",
    "Maximum",
    "Minimum",
    "Multiply",
    "Power",
    "Subtract",
    "TrueDivide",
}
_WINDOWS = {"AveragePooling2D", "Conv2D", "DepthwiseConv2D", "MaxPooling2D", "SeparableConv2D"}
_GLOBAL_POOLING = {"GlobalAveragePooling2D", "GlobalMaxPooling2D"}
_REDUCTIONS = {"Amax", "Max", "Mean", "Min", "Sum"}
# Pixels beside its own that a resized cell reads, in pixels before the resizing.
_REACH = {"nearest": 0, "bilinear": 1, "bicubic": 2, "lanczos3": 3, "lanczos5": 5}


@dataclass(frozen=True, slots=True)
class Axis:
    """Where the cells along one axis of a tensor lie, in input pixels.

    Parameters
    ----------
    jump : from one cell to the next; negative where the axis runs backwards.
    first, last : the pixels that cell 0 sees, borders not counted; infinite = the whole image.
    centre : the pixel at which cell 0 is centred.
    of : 0 = along the rows of the image, 1 = along its columns.
    low, high : the first and last pixel that any cell sees.
    """

    jump: float
    first: float
    last: float
    centre: float
    of: int
    low: float
    high: float

    @property
    def size_px(self) -> float:
        """Length of the receptive field."""
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class UnknownPlace:
    """A tensor whose cells have no known place: `step` is the first step that could not be
    followed.
    """

    step: str


Axes = tuple[Axis | None, ...]
"""One entry for each axis but the batch; None where an axis is not one of the image."""

Places = Axes | UnknownPlace
Field = tuple[Axis, Axis] | None
Shape = tuple[Any, ...]


class _NotFollowed(Exception):
    """A step that is not known here."""


@dataclass(frozen=True, eq=False)
class Tokens:
    """Which tokens are cells.

    Parameters
    ----------
    of_cells : the token of each cell, row by row.
    others : tokens that do not depend on the image, such as a class token.
    values : float32 (others, channels), what these are.
    """

    of_cells: tuple[int, ...]
    others: tuple[int, ...]
    values: Floats


@dataclass(frozen=True, slots=True)
class Grid:
    """A tensor of cells: (batch, rows, columns, channels), or with rows and columns exchanged or
    reversed.

    `size` is (rows, columns) along the image's own axes, whatever the order in the tensor. `tokens`
    is given for a tensor (batch, tokens, channels) whose tokens are cells.
    """

    geometry: GridGeometry
    size: tuple[int, int]
    is_transposed: bool = False
    is_reversed: tuple[bool, bool] = (False, False)
    tokens: Tokens | None = None


def receptive_fields(
    graph: Graph, shapes: Sequence[tuple[Step, Shape]], input_shape: tuple[int, int, int]
) -> dict[str, Field]:
    """The receptive field of every layer.

    Parameters
    ----------
    graph : the steps.
    shapes : every step with its output's shape at the audit's input size (`Classifier.shapes`).
    input_shape : (rows, columns, channels) of the model input, in pixels.

    Returns
    -------
    Layer name -> axes along rows and columns; None where the layer is no grid.
    """
    known = places(graph, shapes, input_shape)
    return {step.name: _field(known[step.outputs[0]]) for step in graph.steps}


def places(
    graph: Graph, shapes: Sequence[tuple[Step, Shape]], input_shape: tuple[int, int, int]
) -> dict[int, Places]:
    """Where the cells of every value of a graph lie.

    Parameters
    ----------
    shapes : every step with its output's shape at the audit's input size.
    input_shape : (rows, columns, channels) of the model input, in pixels.
    """
    start = tuple(Axis(1, 0, 0, 0, axis, 0, size - 1) for axis, size in enumerate(input_shape[:2]))
    known: dict[int, Places] = {graph.input: (*start, None)}
    sizes: dict[int, Shape] = {graph.input: (None, *input_shape)}
    for step, shape in shapes:
        after = _follow(step, shape, known, sizes)
        for value in step.outputs:
            known[value] = after if len(step.outputs) == 1 else UnknownPlace(step.name)
            sizes[value] = shape
    return known


def grid_of(where: Places, shape: Shape) -> Grid | None:
    """The grid of a tensor; None where it has no two axes of the image before its channels."""
    if isinstance(where, UnknownPlace) or len(where) != 3 or len(shape) != 4:
        return None
    first, second, channels = where
    if first is None or second is None or channels is not None or first.of == second.of:
        return None
    if min(shape[1], shape[2]) < 2:
        return None
    axes = [(first, int(shape[1])), (second, int(shape[2]))]
    is_transposed = first.of == 1
    rows, columns = reversed(axes) if is_transposed else axes
    geometry = GridGeometry(_on_image(*rows), _on_image(*columns))
    return Grid(
        geometry, (rows[1], columns[1]), is_transposed, (rows[0].jump < 0, columns[0].jump < 0)
    )


def _on_image(axis: Axis, cells: int) -> GridAxis:
    """An axis in the direction of the image's own."""
    centre = axis.centre if axis.jump > 0 else axis.centre + (cells - 1) * axis.jump
    jump = abs(axis.jump)
    field = math.ceil(axis.size_px) if math.isfinite(axis.size_px) else None
    return GridAxis(jump, centre + 0.5 - jump / 2, axis.low, axis.high + 1, field)


def _field(where: Places) -> Field:
    if isinstance(where, UnknownPlace):
        return None
    rows = next((axis for axis in where if axis is not None and axis.of == 0), None)
    columns = next((axis for axis in where if axis is not None and axis.of == 1), None)
    return None if rows is None or columns is None else (rows, columns)


def _follow(step: Step, shape: Shape, known: dict[int, Places], sizes: dict[int, Shape]) -> Places:
    before: list[Axes] = []
    for value in step.inputs:
        where = known[value]
        if isinstance(where, UnknownPlace):
            return where
        before.append(where)
    if not before:
        return UnknownPlace(step.name)
    given = [sizes[value] for value in step.inputs]
    try:
        after = _after(step, shape, before, given)
    except _NotFollowed:
        return UnknownPlace(step.name)
    if len(after) != len(shape) - 1:
        return UnknownPlace(step.name)
    bounded: list[Axis | None] = []
    for axis, size in zip(after, shape[1:], strict=True):
        bounded.append(None if axis is None else _bounded(axis, size))
    return tuple(bounded)


def _bounded(axis: Axis, cells: int) -> Axis:
    """With the pixels that its cells see at all."""
    way = (cells - 1) * axis.jump
    low = max(axis.low, axis.first + min(way, 0))
    high = min(axis.high, axis.last + max(way, 0))
    if low > high:
        raise _NotFollowed
    return replace(axis, low=low, high=high)


def _after(step: Step, shape: Shape, before: list[Axes], given: list[Shape]) -> Axes:
    """The axes after a step that is known; raises `_NotFollowed` for any other."""
    kind = type(step.operation).__name__
    if kind in _MERGING:
        return _merged(before, given, shape)
    if kind == "Concatenate":
        return _concatenated(step.operation.axis, before, given, shape)
    if len(before) != 1:
        raise _NotFollowed
    axes, size = before[0], given[0]
    if kind == "Channels":
        return axes if step.operation.is_image else (None,)
    if kind in _CELL_BY_CELL:
        return axes
    if kind.startswith("Random"):  # augmentation is the identity at inference
        return _unchanged(axes, size, shape)
    if kind in ("Dense", "Logits"):
        return (*axes[:-1], None)
    if kind in _WINDOWS:
        return _through_windows(step.operation, kind, axes, size)
    return _FOLLOWED[kind](step, shape, axes, size) if kind in _FOLLOWED else _refuse()


def _refuse() -> Axes:
    raise _NotFollowed


def _unchanged(axes: Axes, size: Shape, shape: Shape) -> Axes:
    if tuple(size[1:]) != tuple(shape[1:]):
        raise _NotFollowed
    return axes


def _merged(before: list[Axes], given: list[Shape], shape: Shape) -> Axes:
    """Element by element, with an axis of one cell spread over the others."""
    merged: list[Axis | None] = []
    length = len(shape) - 1
    if any(len(axes) > length for axes in before):
        raise _NotFollowed
    for place in range(length):
        at = place - length  # shapes are aligned at their ends
        present = []
        for axes, size in zip(before, given, strict=True):
            if -at <= len(axes):
                present.append((axes[at], size[at]))
        merged.append(_union(present, int(shape[at])))
    return tuple(merged)


def _concatenated(axis: int, before: list[Axes], given: list[Shape], shape: Shape) -> Axes:
    along = axis % len(shape) - 1
    if along < 0:
        raise _NotFollowed  # the cases of a batch
    merged: list[Axis | None] = []
    for place in range(len(shape) - 1):
        present = [(axes[place], size[place + 1]) for axes, size in zip(before, given, strict=True)]
        if place == along:
            if any(axis is not None for axis, _ in present):
                raise _NotFollowed
            merged.append(None)
        else:
            merged.append(_union(present, int(shape[place + 1])))
    return tuple(merged)


def _union(present: list[tuple[Axis | None, Any]], cells: int) -> Axis | None:
    """One axis from those of several tensors: what any of them sees, centred at their mean."""
    spatial = [axis for axis, size in present if axis is not None and size == cells]
    if not spatial:
        return None
    others = [size for axis, size in present if axis is None or size != cells]
    first = spatial[0]
    has_same_steps = all((axis.of, axis.jump) == (first.of, first.jump) for axis in spatial)
    if not has_same_steps or any(size != 1 for size in others):
        raise _NotFollowed
    merged = replace(
        first,
        first=min(axis.first for axis in spatial),
        last=max(axis.last for axis in spatial),
        centre=sum(axis.centre for axis in spatial) / len(spatial),
        low=min(axis.low for axis in spatial),
        high=max(axis.high for axis in spatial),
    )
    if others:  # a tensor of one cell, which sees the whole image
        return replace(merged, first=-math.inf, last=math.inf)
    return merged


def _through_windows(layer: Any, kind: str, axes: Axes, size: Shape) -> Axes:
    if len(axes) != 3:
        raise _NotFollowed
    sizes = layer.pool_size if "Pooling" in kind else layer.kernel_size
    dilations = getattr(layer, "dilation_rate", (1, 1))
    after: list[Axis | None] = []
    for place in range(2):
        axis, k, s, d = axes[place], sizes[place], layer.strides[place], dilations[place]
        is_padded = layer.padding == "same"
        padding = _same_padding(size[place + 1], k, s, d) if is_padded else 0
        after.append(None if axis is None else _window(axis, k, s, d, padding))
    return (*after, None)


def _window(axis: Axis, size: int, stride: int, dilation: int, padding: int) -> Axis:
    to_first = -axis.jump * padding
    to_last = axis.jump * (dilation * (size - 1) - padding)
    return replace(
        axis,
        jump=axis.jump * stride,
        first=axis.first + min(to_first, to_last),
        last=axis.last + max(to_first, to_last),
        centre=axis.centre + (to_first + to_last) / 2,
    )


def _same_padding(length: int, size: int, stride: int, dilation: int) -> int:
    """TensorFlow's: the rest, halved, the smaller half before."""
    whole = (math.ceil(length / stride) - 1) * stride + dilation * (size - 1) + 1
    return max(whole - length, 0) // 2


def _moved(axis: Axis | None, cells: float) -> Axis | None:
    """The axis whose cell 0 is so many cells further on."""
    if axis is None:
        return None
    way = axis.jump * cells
    return replace(axis, first=axis.first + way, last=axis.last + way, centre=axis.centre + way)


def _resized(axis: Axis | None, cells: int, new: int, reach: int) -> Axis | None:
    """Half-pixel centres, as `tf.image.resize` has them; `reach` in cells before."""
    if axis is None:
        return None
    ratio = cells / new
    way = axis.jump * ((ratio - 1) / 2)
    margin = abs(axis.jump) * (reach + (abs(ratio - 1)) / 2) if new != cells else 0.0
    return replace(
        axis,
        jump=axis.jump * ratio,
        first=axis.first + way - margin,
        last=axis.last + way + margin,
        centre=axis.centre + way,
    )


def _sees_all(axes: Axes) -> Axes:
    return tuple(
        None if axis is None else replace(axis, first=-math.inf, last=math.inf) for axis in axes
    )


def _axes_of(axis: Any, length: int) -> set[int]:
    """The axes of an operation, counted from 0; the batch must not be among them."""
    numbers = axis if isinstance(axis, list | tuple) else (axis,)
    over = {number % length for number in numbers}
    if 0 in over:
        raise _NotFollowed
    return over


def _normalised(step: Step, shape: Shape, axes: Axes, size: Shape) -> Axes:
    """A normalisation or a softmax: over the channels of a cell, or over cells too."""
    kind, axis = type(step.operation).__name__, step.operation.axis
    over = _axes_of(axis, len(shape))
    is_of_cells = kind == "GroupNormalization" or any(axes[a - 1] is not None for a in over)
    return _sees_all(axes) if is_of_cells else axes


def _pooled(step: Step, shape: Shape, axes: Axes, size: Shape) -> Axes:
    return (None,) * (len(shape) - 1)


def _reduced(step: Step, shape: Shape, axes: Axes, size: Shape) -> Axes:
    axis = step.operation.axis
    if axis is None:
        raise _NotFollowed
    over = _axes_of(axis, len(size))
    left = []
    for place, axis_before in enumerate(axes, start=1):
        if place not in over:
            left.append(axis_before)
        elif step.operation.keepdims:
            left.append(None)
    return tuple(left)


def _permuted(step: Step, shape: Shape, axes: Axes, size: Shape) -> Axes:
    """Permute counts the axes from 1, without the batch; Transpose counts it."""
    operation = step.operation
    order = getattr(operation, "dims", None)
    if order is None:
        whole = operation.axes
        if whole is None or whole[0] != 0:
            raise _NotFollowed
        order = whole[1:]
    return tuple(axes[place - 1] for place in order)


def _reshaped(step: Step, shape: Shape, axes: Axes, size: Shape) -> Axes:
    """Keep axes in front and at the end whose length stays the same; the others have no place."""
    old, new = list(size[1:]), list(shape[1:])
    if None in old or None in new or math.prod(old) != math.prod(new):
        raise _NotFollowed
    after: list[Axis | None] = [None] * len(new)
    front = 0
    while front < min(len(old), len(new)) and old[front] == new[front]:
        after[front] = axes[front]
        front += 1
    back = 1
    while back <= min(len(old), len(new)) - front and old[-back] == new[-back]:
        after[-back] = axes[-back]
        back += 1
    return tuple(after)


def _cropped(step: Step, shape: Shape, axes: Axes, size: Shape) -> Axes:
    (top, _), (left, _) = step.operation.cropping
    return (_moved(axes[0], top), _moved(axes[1], left), *axes[2:])


def _padded(step: Step, shape: Shape, axes: Axes, size: Shape) -> Axes:
    (top, _), (left, _) = step.operation.padding
    return (_moved(axes[0], -top), _moved(axes[1], -left), *axes[2:])


def _center_cropped(step: Step, shape: Shape, axes: Axes, size: Shape) -> Axes:
    if size[1] < shape[1] or size[2] < shape[2]:
        raise _NotFollowed  # it resizes what is too small
    top, left = (size[1] - shape[1]) // 2, (size[2] - shape[2]) // 2
    return (_moved(axes[0], top), _moved(axes[1], left), *axes[2:])


def _patched(step: Step, shape: Shape, axes: Axes, size: Shape) -> Axes:
    """Each patch becomes one cell: a window whose pixels are the channels."""
    operation = step.operation
    strides = operation.strides or operation.size
    sizes, steps, dilations = map(_pair, (operation.size, strides, operation.dilation_rate or 1))
    after: list[Axis | None] = []
    for place in range(2):
        axis, k, s, d = axes[place], sizes[place], steps[place], dilations[place]
        is_padded = operation.padding == "same"
        padding = _same_padding(size[place + 1], k, s, d) if is_padded else 0
        after.append(None if axis is None else _window(axis, k, s, d, padding))
    return (*after, None)


def _pair(setting: Any) -> tuple[int, int]:
    return (setting, setting) if isinstance(setting, int) else (setting[0], setting[1])


def _upsampled(step: Step, shape: Shape, axes: Axes, size: Shape) -> Axes:
    reach = _REACH.get(step.operation.interpolation, 5)
    rows = _resized(axes[0], size[1], shape[1], reach)
    return (rows, _resized(axes[1], size[2], shape[2], reach), *axes[2:])


def _resize(step: Step, shape: Shape, axes: Axes, size: Shape) -> Axes:
    """The layer Resizing and the operation behind it."""
    operation = step.operation
    if operation.crop_to_aspect_ratio or operation.pad_to_aspect_ratio:
        raise _NotFollowed
    reach = _REACH.get(operation.interpolation, 5)
    after: list[Axis | None] = []
    for place in range(2):
        cells, new = size[place + 1], shape[place + 1]
        if operation.antialias and new < cells:
            reach = math.ceil(reach * cells / new)
        after.append(_resized(axes[place], cells, new, reach))
    return (*after, *axes[2:])


def _flipped(step: Step, shape: Shape, axes: Axes, size: Shape) -> Axes:
    axis = step.operation.axis
    if axis is None:
        raise _NotFollowed
    over = _axes_of(axis, len(size))
    flipped = list(axes)
    for place in over:
        flipped[place - 1] = _strided(axes[place - 1], size[place] - 1, -1)
    return tuple(flipped)


def _strided(axis: Axis | None, start: int, step: int) -> Axis | None:
    moved = _moved(axis, start)
    return None if moved is None else replace(moved, jump=moved.jump * step)


def _keys(step: Step, length: int) -> list[Any]:
    """The key of a slice with an entry for each axis; the batch stays whole."""
    leaves = (*step.args, *step.kwargs.values())
    arguments = [leaf for leaf in leaves if not isinstance(leaf, Value)]
    key = arguments[0] if len(arguments) == 1 else None
    if not isinstance(key, list | tuple):
        raise _NotFollowed
    keys = list(key)
    if any(isinstance(leaf, Value) for leaf in tree.flatten(keys)) or None in keys:
        raise _NotFollowed
    if Ellipsis in keys:
        at = keys.index(Ellipsis)
        keys[at : at + 1] = [slice(None)] * (length - len(keys) + 1)
    keys += [slice(None)] * (length - len(keys))
    if keys[0] != slice(None):
        raise _NotFollowed
    return keys


def _sliced(step: Step, shape: Shape, axes: Axes, size: Shape) -> Axes:
    """x[:, a:b:c, ...]; the batch stays whole."""
    keys = _keys(step, len(size))
    after = []
    for chosen, axis, cells in zip(keys[1:], axes, size[1:], strict=True):
        if isinstance(chosen, slice):
            start, _, stride = chosen.indices(cells)
            after.append(_strided(axis, start, stride))
        elif axis is not None:
            raise _NotFollowed  # one row of the image alone
    return tuple(after)


_FOLLOWED: dict[str, Callable[[Step, Shape, Axes, Shape], Axes]] = {
    **dict.fromkeys(_GLOBAL_POOLING, _pooled),
    **dict.fromkeys(_REDUCTIONS, _reduced),
    **dict.fromkeys(("Permute", "Transpose"), _permuted),
    **dict.fromkeys(("ExpandDims", "Flatten", "Reshape", "Squeeze"), _reshaped),
    **dict.fromkeys(("GroupNormalization", "LayerNormalization", "Softmax"), _normalised),
    **dict.fromkeys(("Resize", "Resizing"), _resize),
    "UnitNormalization": _normalised,
    "CenterCrop": _center_cropped,
    "Cropping2D": _cropped,
    "ExtractPatches": _patched,
    "Flip": _flipped,
    "GetItem": _sliced,
    "UpSampling2D": _upsampled,
    "ZeroPadding2D": _padded,
}

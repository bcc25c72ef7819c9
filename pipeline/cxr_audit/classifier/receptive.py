"""The steps of a network -> the receptive field of every layer: how many input pixels one cell can see.

Along one axis, cell i sees the input pixels i * jump + first ... i * jump + last; a window of size k, stride s,
dilation d and padding p before makes of it jump * s, first - jump * p, last + jump * (d (k - 1) - p)
(Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks", Distill 2019). Borders cut it
off. A squeeze-and-excitation, or a pooling of the whole grid, sees the whole image. A layer that is not known
here has no receptive field that we would state: None.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from cxr_audit.classifier.graph import Graph, Step

_CELL_BY_CELL = {
    "Activation",
    "Add",
    "AlphaDropout",
    "Average",
    "BatchNormalization",
    "Concatenate",
    "Dense",
    "Dropout",
    "ELU",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "LayerScale",
    "LeakyReLU",
    "Linear",
    "Maximum",
    "Minimum",
    "Multiply",
    "Normalization",
    "PReLU",
    "ReLU",
    "Rescaling",
    "SpatialDropout2D",
    "StochasticDepth",
    "Subtract",
    # Keras operations, and the custom layer of InceptionResNetV2
    "CustomScaleLayer",
    "Relu",
    "Relu6",
    "Sigmoid",
    "Silu",
    "TrueDivide",
}
_WINDOWS = {"AveragePooling2D", "Conv2D", "DepthwiseConv2D", "MaxPooling2D", "SeparableConv2D"}
_WHOLE_GRID = {"Flatten", "GlobalAveragePooling2D", "GlobalMaxPooling2D"}


@dataclass(frozen=True, slots=True)
class Axis:
    """What the cells see along rows or columns, in input pixels; infinite where they see the whole image."""

    jump: int
    first: float
    last: float

    @property
    def size_px(self) -> float:
        return self.last - self.first + 1


Field = tuple[Axis, Axis] | None
_EVERYTHING = (Axis(1, -math.inf, math.inf),) * 2


def receptive_fields(
    graph: Graph, shapes: list[tuple[Step, tuple[Any, ...]]], input_shape: tuple[int, int, int]
) -> dict[str, Field]:
    """Layer name -> (rows, columns), or None where it is not known; `shapes` as `Classifier.shapes`."""
    fields: dict[int, Field] = {graph.input: (Axis(1, 0, 0), Axis(1, 0, 0))}
    sizes: dict[int, tuple[Any, ...]] = {graph.input: (None, *input_shape)}
    for step, shape in shapes:
        seen = _see(step, [fields[value] for value in step.inputs], sizes[step.inputs[0]])
        fields.update((value, seen) for value in step.outputs)
        sizes.update((value, shape) for value in step.outputs)
    return {step.name: fields[step.outputs[0]] for step in graph.steps}


def _see(step: Step, before: list[Field], shape: tuple[Any, ...]) -> Field:
    layer, kind = step.operation, type(step.operation).__name__
    known = [field for field in before if field is not None]
    if len(known) < len(before):
        return None
    field = (_union([axes[0] for axes in known]), _union([axes[1] for axes in known]))
    if field == _EVERYTHING or kind in _WHOLE_GRID:
        return _EVERYTHING
    if kind in _CELL_BY_CELL or kind.startswith(
        "Random"
    ):  # augmentation is the identity at inference
        return field
    if kind == "LayerNormalization":
        return field if layer.axis in (-1, 3, [-1], [3], (-1,), (3,)) else _EVERYTHING
    if kind in ("ZeroPadding2D", "Cropping2D"):
        before_px = [
            side[0] for side in getattr(layer, "padding" if kind == "ZeroPadding2D" else "cropping")
        ]
        sign = 1 if kind == "ZeroPadding2D" else -1
        return _both(
            _window(axis, 1, 1, 1, sign * pad) for axis, pad in zip(field, before_px, strict=True)
        )
    if kind in _WINDOWS:
        sizes = layer.pool_size if "Pooling" in kind else layer.kernel_size
        dilations = getattr(layer, "dilation_rate", (1, 1))
        axes = []
        for axis, length, k, s, d in zip(
            field, shape[1:3], sizes, layer.strides, dilations, strict=True
        ):
            padding = _same_padding(length, k, s, d) if layer.padding == "same" else 0
            axes.append(_window(axis, k, s, d, padding))
        return _both(axes)
    return None


def _union(axes: list[Axis]) -> Axis:
    return Axis(max(a.jump for a in axes), min(a.first for a in axes), max(a.last for a in axes))


def _window(axis: Axis, size: int, stride: int, dilation: int, padding: int) -> Axis:
    first = axis.first - axis.jump * padding
    return Axis(
        axis.jump * stride, first, axis.last + axis.jump * (dilation * (size - 1) - padding)
    )


def _same_padding(length: int, size: int, stride: int, dilation: int) -> int:
    """TensorFlow's: the rest, halved, the smaller half before."""
    return int(
        max((math.ceil(length / stride) - 1) * stride + dilation * (size - 1) + 1 - length, 0) // 2
    )


def _both(axes: Any) -> tuple[Axis, Axis]:
    rows, columns = axes
    return rows, columns

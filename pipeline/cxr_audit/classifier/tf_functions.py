"""TensorFlow functions in a network of Keras 2 -> Keras operations that compute the same.

Keras 2 writes `x * 2` as a TFOpLambda layer around `tf.math.multiply`, with its arguments by
name. A function that is not in `FUNCTIONS`, or an argument that its row does not name, is
refused.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from keras.src import ops

from cxr_audit.errors import ModelError


@dataclass(frozen=True)
class Function:
    """One TensorFlow function.

    Attributes
    ----------
    operation : class of the Keras operation.
    second : name of the argument that may be a second tensor.
    settings : name of an argument -> name of the operation's setting.
    defaults : the operation's settings where TensorFlow's default is another, or none is given.
    same : arguments that change nothing, with the only value that is read.
    """

    operation: Callable[..., Any]
    second: str | None = None
    settings: dict[str, str] = field(default_factory=dict)
    defaults: dict[str, Any] = field(default_factory=dict)
    same: dict[str, Any] = field(default_factory=dict)


_REDUCTION = {"axis": "axis", "keepdims": "keepdims"}
_AXIS = {"axis": "axis"}

_TWO_TENSORS: dict[str, Callable[..., Any]] = {
    "__operators__.add": ops.numpy.Add,
    "math.add": ops.numpy.Add,
    "math.subtract": ops.numpy.Subtract,
    "math.multiply": ops.numpy.Multiply,
    "math.divide": ops.numpy.TrueDivide,
    "math.truediv": ops.numpy.TrueDivide,
    "math.floordiv": ops.numpy.FloorDivide,
    "math.maximum": ops.numpy.Maximum,
    "math.minimum": ops.numpy.Minimum,
    "math.pow": ops.numpy.Power,
}
_ONE_TENSOR: dict[str, Callable[..., Any]] = {
    "math.abs": ops.numpy.Absolute,
    "math.exp": ops.numpy.Exp,
    "math.log": ops.numpy.Log,
    "math.log1p": ops.numpy.Log1p,
    "math.negative": ops.numpy.Negative,
    "math.rsqrt": ops.math.Rsqrt,
    "math.sigmoid": ops.nn.Sigmoid,
    "math.softplus": ops.nn.Softplus,
    "math.sqrt": ops.numpy.Sqrt,
    "math.square": ops.numpy.Square,
    "math.tanh": ops.numpy.Tanh,
    "nn.elu": ops.nn.Elu,
    "nn.relu": ops.nn.Relu,
    "nn.relu6": ops.nn.Relu6,
    "nn.selu": ops.nn.Selu,
    "nn.sigmoid": ops.nn.Sigmoid,
    "nn.softplus": ops.nn.Softplus,
    "nn.softsign": ops.nn.Softsign,
    "nn.tanh": ops.numpy.Tanh,
    "sigmoid": ops.nn.Sigmoid,
    "stop_gradient": ops.core.StopGradient,
}
_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "math.reduce_max": ops.numpy.Max,
    "math.reduce_mean": ops.numpy.Mean,
    "math.reduce_min": ops.numpy.Min,
    "math.reduce_prod": ops.numpy.Prod,
    "math.reduce_std": ops.numpy.Std,
    "math.reduce_sum": ops.numpy.Sum,
    "math.reduce_variance": ops.numpy.Var,
}

FUNCTIONS: dict[str, Function] = {
    **{name: Function(kind, second="y") for name, kind in _TWO_TENSORS.items()},
    **{name: Function(kind) for name, kind in _ONE_TENSOR.items()},
    **{name: Function(kind, settings=_REDUCTION) for name, kind in _REDUCTIONS.items()},
    "cast": Function(ops.core.Cast, settings={"dtype": "dtype"}),
    "clip_by_value": Function(
        ops.numpy.Clip, settings={"clip_value_min": "x_min", "clip_value_max": "x_max"}
    ),
    "concat": Function(ops.numpy.Concatenate, settings=_AXIS),
    "expand_dims": Function(ops.numpy.ExpandDims, settings=_AXIS),
    "image.flip_left_right": Function(ops.numpy.Flip, defaults={"axis": 2}),
    "image.grayscale_to_rgb": Function(ops.numpy.Repeat, defaults={"repeats": 3, "axis": -1}),
    "image.resize": Function(
        ops.image.Resize,
        settings={"size": "size", "method": "interpolation", "antialias": "antialias"},
        defaults={"data_format": "channels_last"},
        same={"preserve_aspect_ratio": False},
    ),
    "image.rgb_to_grayscale": Function(
        ops.image.RGBToGrayscale, defaults={"data_format": "channels_last"}
    ),
    "linalg.matmul": Function(
        ops.numpy.Matmul, second="b", same={"transpose_a": False, "transpose_b": False}
    ),
    "nn.bias_add": Function(ops.numpy.Add, second="bias", same={"data_format": "NHWC"}),
    "nn.gelu": Function(
        ops.nn.Gelu, settings={"approximate": "approximate"}, defaults={"approximate": False}
    ),
    "nn.leaky_relu": Function(
        ops.nn.LeakyRelu, settings={"alpha": "negative_slope"}, defaults={"negative_slope": 0.2}
    ),
    "nn.silu": Function(ops.nn.Silu, same={"beta": 1.0}),
    "nn.softmax": Function(ops.nn.Softmax, settings=_AXIS),
    "nn.swish": Function(ops.nn.Silu, same={"beta": 1.0}),
    "repeat": Function(ops.numpy.Repeat, settings={"repeats": "repeats", "axis": "axis"}),
    "reshape": Function(ops.numpy.Reshape, settings={"shape": "newshape"}),
    "squeeze": Function(ops.numpy.Squeeze, settings=_AXIS),
    "stack": Function(ops.numpy.Stack, settings=_AXIS),
    "tile": Function(ops.numpy.Tile, settings={"multiples": "repeats"}),
    "transpose": Function(ops.numpy.Transpose, settings={"perm": "axes"}),
}
_RESIZE_METHODS = ("bilinear", "nearest", "bicubic", "lanczos3", "lanczos5")


def factory(name: str, layer: str, options: dict[str, Any]) -> tuple[Callable[[], Any], str | None]:
    """What makes the operation of one TFOpLambda, and the name of its second tensor argument.

    Parameters
    ----------
    name : of the function below `tf`, such as math.multiply.
    layer : name of the layer, for the refusal.
    options : the arguments beside the first, those that are None left out.

    Raises
    ------
    ModelError : a function or an argument that has no row here.
    """
    row = FUNCTIONS.get(name)
    if row is None:
        raise _refusal(name, layer, "")
    settings = dict(row.defaults)
    for option, value in options.items():
        if option == row.second:
            continue
        if option in row.settings:
            settings[row.settings[option]] = tuple(value) if isinstance(value, list) else value
        elif option not in row.same or value != row.same[option]:
            raise _refusal(name, layer, f" with {option}={value!r}"[:100])
    if name == "image.resize" and settings.get("interpolation", "bilinear") not in _RESIZE_METHODS:
        raise _refusal(name, layer, f" with method={settings['interpolation']!r}"[:100])
    return functools.partial(row.operation, name=layer, **settings), row.second


def _refusal(name: str, layer: str, detail: str) -> ModelError:
    return ModelError(
        f"the file was saved by Keras 2 and calls tf.{name}{detail}, which is not read here",
        f"rebuild the model with a Keras layer in its place ({layer}), and save it as .keras",
    )

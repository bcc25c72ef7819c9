"""The network in an `.h5` file -> one that Keras 3 builds: files of Keras 2, and files of Keras 3 with operators.

What stands between such a file and Keras 3:

    names with a slash      `conv1/conv` in every DenseNet of Keras 2 becomes `conv1_conv`, as Keras 3 calls it
    lists of one            the axis `[3]` of a Keras 2 batch normalization becomes 3, so do its lists of one output
    operators of Keras 2    `x * 2` was saved as a TFOpLambda around `tf.math.multiply`
    operators of Keras 3    `x * 2` is saved as `Multiply`, and read back as the merging layer of that name

Only the functions in `_FUNCTIONS` are taken, each as the Keras operation that computes the same; a file with any
other is refused by the function's name.
"""

from __future__ import annotations

import functools
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
from keras.src import ops
from keras.src.legacy.saving import legacy_h5_format

from cxr_audit.errors import ModelError

# TensorFlow function of a TFOpLambda -> Keras operation. `axis` and `keepdims` mean the same on both sides.
_FUNCTIONS: dict[str, Any] = {
    "__operators__.add": ops.numpy.Add,
    "math.add": ops.numpy.Add,
    "math.subtract": ops.numpy.Subtract,
    "math.multiply": ops.numpy.Multiply,
    "math.divide": ops.numpy.TrueDivide,
    "math.truediv": ops.numpy.TrueDivide,
    "math.maximum": ops.numpy.Maximum,
    "math.minimum": ops.numpy.Minimum,
    "math.reduce_mean": ops.numpy.Mean,
    "math.reduce_sum": ops.numpy.Sum,
    "math.reduce_max": ops.numpy.Max,
    "math.sigmoid": ops.nn.Sigmoid,
    "math.square": ops.numpy.Square,
    "math.tanh": ops.numpy.Tanh,
    "nn.relu": ops.nn.Relu,
    "nn.relu6": ops.nn.Relu6,
    "nn.sigmoid": ops.nn.Sigmoid,
    "nn.silu": ops.nn.Silu,
    "nn.softmax": ops.nn.Softmax,
    "nn.swish": ops.nn.Silu,
    "concat": ops.numpy.Concatenate,
}
_CONSTANT = "_CONSTANT_VALUE"  # Keras 2 writes a number in the place of a tensor so


def load_h5(path: Path, config: Any, custom_objects: dict[str, Any]) -> keras.Model:
    """The model in an `.h5` file whose network is `config`; raises what Keras raises, and `ModelError`."""
    factories: dict[str, Callable[[], Any]] = {}
    adapted = _adapt(config, factories)
    if adapted == config:
        return keras.saving.load_model(
            path, custom_objects=custom_objects, compile=False, safe_mode=True
        )
    # The weights are read in the order of the layers, not by name.
    with h5py.File(io.BytesIO(path.read_bytes()), "r+") as file:
        file.attrs["model_config"] = json.dumps(adapted)
        return legacy_h5_format.load_model_from_hdf5(
            file, {**custom_objects, **factories}, compile=False
        )


def _adapt(node: Any, factories: dict[str, Callable[[], Any]]) -> Any:
    """The same JSON with names and operators as Keras 3 reads them; operators are added to `factories`."""
    if isinstance(node, list):
        return [_adapt(item, factories) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _adapt(value, factories) for key, value in node.items()}
    for key in ("name", "keras_history", "inbound_nodes", "input_layers", "output_layers"):
        if key in node:
            node[key] = _without_slash(node[key])
    for key in ("input_layers", "output_layers"):
        if isinstance(node.get(key), list) and len(node[key]) == 1:
            (node[key],) = node[key]
    if "output_layers" in node:
        _count_calls_from_0(node)
    return _adapt_layer(node, factories) if "inbound_nodes" in node else node


def _adapt_layer(node: Any, factories: dict[str, Callable[[], Any]]) -> Any:
    kind, settings = node["class_name"], node["config"]
    if kind == "TFOpLambda":
        return _operation_of_keras_2(node, factories)
    if node.get("module", "").startswith("tf_keras"):
        del node["module"]
    if isinstance(settings.get("axis"), list) and len(settings["axis"]) == 1:
        (settings["axis"],) = settings["axis"]
    for key in _UNUSED.get(kind, ()):
        settings.pop(key, None)
    if settings.keys().isdisjoint(
        ("trainable", "dtype", "layers")
    ):  # every layer has one of them, no operation has
        cls = next((vars(room)[kind] for room in _ROOMS if kind in vars(room)), None)
        if cls is not None:
            settings = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.items()}
            return _operation(
                node, functools.partial(cls, **settings), node["inbound_nodes"], factories
            )
    return node


def _count_calls_from_0(network: Any) -> None:
    """Keras 2 counts the calls of a Sequential used as a layer from 1, Keras 3 from 0."""
    for name in [
        layer["name"] for layer in network["layers"] if layer["class_name"] == "Sequential"
    ]:
        uses = list(_uses(network["output_layers"], name))
        for layer in network["layers"]:
            uses += _uses(layer["inbound_nodes"], name)
        if all(use[1] >= 1 for use in uses):
            for use in uses:
                use[1] -= 1


def _uses(node: Any, name: str) -> Iterator[Any]:
    """Every [name, call, output, ...] below a node."""
    if isinstance(node, dict):
        node = list(node.values())
    if isinstance(node, list):
        if len(node) >= 3 and node[0] == name and isinstance(node[1], int):
            yield node
        for item in node:
            yield from _uses(item, name)


# Settings that Keras 2 wrote for layers that have no use for them.
_UNUSED = {
    "DepthwiseConv2D": ("groups",),
    "Conv2DTranspose": ("groups",),
    "SeparableConv2D": ("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"),
}
_ROOMS = (ops.numpy, ops.nn, ops.math, ops.core)


def _without_slash(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_slash(item) for item in value]
    return value.replace("/", "_") if isinstance(value, str) else value


def _operation(
    node: Any, make: Callable[[], Any], calls: Any, factories: dict[str, Callable[[], Any]]
) -> Any:
    """A layer's entry that Keras reads as a call of `make`: it looks the class up by its name."""
    known_as = f"operation {len(factories)}"
    factories[known_as] = make
    return {"class_name": known_as, "config": {}, "name": node["name"], "inbound_nodes": calls}


def _operation_of_keras_2(node: Any, factories: dict[str, Callable[[], Any]]) -> Any:
    function = node["config"]["function"]
    cls = _FUNCTIONS.get(function)
    calls, settings = [], {}
    for call in node["inbound_nodes"]:
        is_list = isinstance(call[0], list)  # the function's first argument is a list of tensors
        first = [_tensor(item) for item in call] if is_list else _tensor(call)
        options = {
            k: v
            for k, v in (call[0] if is_list else call)[3].items()
            if v is not None and k != "name"
        }
        args = [first] + ([_tensor(options.pop("y"))] if "y" in options else [])
        settings = {k: tuple(v) if isinstance(v, list) else v for k, v in options.items()}
        if cls is None or not settings.keys() <= {"axis", "keepdims"}:
            raise ModelError(
                f"the file was saved by Keras 2 and calls tf.{function}, which is not read here",
                f"rebuild the model with a Keras layer in its place ({node['name']}), and save it as .keras",
            )
        calls.append({"args": args, "kwargs": {}})
    assert cls is not None  # an operation is called at least once
    return _operation(node, functools.partial(cls, name=node["name"], **settings), calls, factories)


def _tensor(value: Any) -> Any:
    """A number, or a tensor as Keras 3 writes it; its shape and type are known when it is computed."""
    if not isinstance(value, list):
        return value
    if value[0] == _CONSTANT:
        return value[2]
    history = {"shape": [], "dtype": "float32", "keras_history": value[:3]}
    return {"class_name": "__keras_tensor__", "config": history}

"""The network in an older model file -> JSON that Keras 3 builds.

Read are files of Keras 2, and `.h5` files of Keras 3 with operators.

What stands between such a file and Keras 3:

    names with a slash      `conv1/conv` in every DenseNet of Keras 2 becomes `conv1_conv`
    lists of one            the axis `[3]` of a batch normalization, the list of one output
    calls counted from 1    of a network that is a layer of another network
    tensors in arguments    the value of a MultiHeadAttention, of an Attention
    number types            a policy such as mixed_float16 was an object, now it is its name
    operators of Keras 2    `x * 2` was saved as a TFOpLambda around `tf.math.multiply`
    operators of Keras 3    `x * 2` is saved as `Multiply`, and read back as the merging layer
    renamed layers          SyncBatchNormalization, the scaling layer of InceptionResNetV2
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

from keras.src import ops

from cxr_audit.classifier.tf_functions import factory
from cxr_audit.errors import ModelError

Factories = dict[str, Any]

_CONSTANT = "_CONSTANT_VALUE"  # Keras 2 writes a number in the place of a tensor so
_NETWORKS = ("Functional", "Model", "Sequential")

# Settings that Keras 2 wrote for layers that have no use for them.
_UNUSED = {
    "BatchNormalization": ("renorm", "renorm_clipping", "renorm_momentum", "virtual_batch_size"),
    "DepthwiseConv2D": ("groups",),
    "Conv2DTranspose": ("groups",),
    "MultiHeadAttention": ("query_shape", "key_shape", "value_shape"),
    "SeparableConv2D": ("groups", "kernel_initializer", "kernel_regularizer", "kernel_constraint"),
}
_RENAMED = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "Custom>CustomScaleLayer": "CustomScaleLayer",
    "Model": "Functional",
    "SyncBatchNormalization": "BatchNormalization",
    "Experimental>SyncBatchNormalization": "BatchNormalization",
}
# Keys of an entry that hold names of layers.
_WITH_NAMES = ("name", "keras_history", "inbound_nodes", "input_layers", "output_layers")
_ELLIPSIS: dict[str, Any] = {"class_name": "ellipsis of a slice", "config": {}}
_OPERATIONS = (ops.numpy, ops.nn, ops.math, ops.core)


def adapt_archive(config: Any, factories: Factories) -> Any:
    """The network of a `.keras` file of Keras 2, whose layers are written as in an `.h5` file.

    Raises
    ------
    ModelError : as `adapt` does; a layer whose weights such a file keeps under another name.
    """
    network = adapt(_without_modules(config), factories)
    if isinstance(network, dict):
        functional = network.get("class_name") == "Functional"
        network["module"] = "keras.src.models.functional" if functional else "keras"
        network["registered_name"] = None
    return network


def _without_modules(node: Any) -> Any:
    if isinstance(node, list):
        return [_without_modules(item) for item in node]
    if not isinstance(node, dict):
        return node
    if node.get("class_name") == "SyncBatchNormalization":
        raise ModelError(
            "a SyncBatchNormalization of Keras 2 is read from .h5 files only",
            "in the program that made the model, save it as .h5",
        )
    kept = {key: _without_modules(value) for key, value in node.items()}
    if "class_name" in node:
        for key in ("module", "registered_name", "build_config", "compile_config"):
            kept.pop(key, None)
    return kept


class _Ellipsis:
    """Stands for `...`: Keras 3.15 decodes it twice in an `.h5` file, and fails the second time."""

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        return ...


def adapt(config: Any, factories: Factories) -> Any:
    """The same network as Keras 3 reads it.

    Parameters
    ----------
    config : the network's JSON.
    factories : filled with what makes each operation, by the class name that the result names.

    Raises
    ------
    ModelError : a TensorFlow function that is not read here.
    """
    factories[_ELLIPSIS["class_name"]] = _Ellipsis
    if isinstance(config, list):
        return [adapt(item, factories) for item in config]
    if not isinstance(config, dict):
        return config
    node = {}
    for key, value in config.items():
        adapted = _mark_ellipsis(value) if key == "inbound_nodes" else adapt(value, factories)
        node[key] = _without_slash(adapted) if key in _WITH_NAMES else adapted
    if "layers" in node and "output_layers" in node:
        _adapt_network(node)
    if isinstance(node.get("class_name"), str) and isinstance(node.get("config"), dict):
        return _adapt_object(node, factories)
    return node


def _mark_ellipsis(value: Any) -> Any:
    if isinstance(value, list):
        return [_mark_ellipsis(item) for item in value]
    if isinstance(value, dict):
        if value.get("class_name") == "__ellipsis__" and "config" in value:
            return dict(_ELLIPSIS)
        return {key: _mark_ellipsis(item) for key, item in value.items()}
    return value


def _without_slash(value: Any) -> Any:
    """Names of layers without a slash; the texts among a call's other arguments stay."""
    if isinstance(value, str):
        return value.replace("/", "_")
    if isinstance(value, list):
        return [_without_slash(item) for item in value]
    if isinstance(value, dict):
        return {key: _rename_tensors(item) for key, item in value.items()}
    return value


def _rename_tensors(value: Any) -> Any:
    if _is_tensor(value):
        return [_without_slash(value[0]), *value[1:]]
    if isinstance(value, list):
        return [_rename_tensors(item) for item in value]
    if isinstance(value, dict):
        renamed = {}
        for key, item in value.items():
            rename = _without_slash if key == "keras_history" else _rename_tensors
            renamed[key] = rename(item)
        return renamed
    return value


def _adapt_network(network: dict[str, Any]) -> None:
    for key in ("input_layers", "output_layers"):
        if isinstance(network.get(key), list) and len(network[key]) == 1:
            (network[key],) = network[key]
    for layer in network["layers"]:
        if _is_network(layer) and layer.get("inbound_nodes"):
            _count_calls_from_0(network, layer["name"], len(layer["inbound_nodes"]))


def _is_network(layer: Any) -> bool:
    return layer.get("class_name") in _NETWORKS or "layers" in layer.get("config", {})


def _count_calls_from_0(network: dict[str, Any], name: str, num_calls: int) -> None:
    """Keras 2 counts the calls of a network used as a layer from 1, where it has an input layer."""
    uses = list(_uses(network["output_layers"], name))
    for layer in network["layers"]:
        uses += _uses(layer.get("inbound_nodes"), name)
    if max((use[1] for use in uses), default=0) >= num_calls:
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


def _adapt_object(node: dict[str, Any], factories: Factories) -> Any:
    settings = node["config"]
    if node["class_name"] in ("TFOpLambda", "SlicingOpLambda"):
        return _operation_of_keras_2(node, factories)
    if node["class_name"] in ("Policy", "DTypePolicy") and set(settings) == {"name"}:
        return settings["name"]
    node["class_name"] = _RENAMED.get(node["class_name"], node["class_name"])
    if str(node.get("module", "")).startswith("tf_keras"):
        del node["module"]
    _adapt_settings(node["class_name"], settings)
    if not node.get("inbound_nodes"):
        return node
    settings.pop("batch_input_shape", None)  # the network says what such a layer gets
    make = _operation_of_keras_3(node["class_name"], settings)
    if make is not None:
        return _operation(node, make, node["inbound_nodes"], factories)
    node["inbound_nodes"] = [_call(call) for call in node["inbound_nodes"]]
    return node


def _adapt_settings(kind: str, settings: dict[str, Any]) -> None:
    if isinstance(settings.get("axis"), list) and len(settings["axis"]) == 1:
        (settings["axis"],) = settings["axis"]
    for key in (*_UNUSED.get(kind, ()), "rng_type"):  # the generator of tf-keras' random layers
        settings.pop(key, None)
    if kind == "LeakyReLU" and "alpha" in settings:
        settings["negative_slope"] = settings.pop("alpha")


def _operation_of_keras_3(kind: str, settings: dict[str, Any]) -> Callable[[], Any] | None:
    """What makes the operation that an entry names; None where the entry is a layer."""
    if not settings.keys().isdisjoint(("trainable", "dtype", "layers")):
        return None  # every layer has one of these settings
    operation = _operation_class(kind)
    if operation is None:
        return None
    arguments = {}
    for key, value in settings.items():
        arguments[key] = tuple(value) if isinstance(value, list) else value
    return functools.partial(operation, **arguments)


def _operation_class(kind: str) -> Any:
    for module in _OPERATIONS:
        if kind in vars(module):
            return vars(module)[kind]
    return None


def _call(call: Any) -> Any:
    """A layer's call; as Keras 3 writes it where an argument beside the first holds a tensor."""
    if not isinstance(call, list) or not call:
        return call
    inputs = [call] if isinstance(call[0], str) else call
    arguments = _arguments(inputs)
    if not any(_is_tensor(value) for value in arguments.values()):
        return call
    tensors = [_tensor(item) for item in inputs]
    first = tensors[0] if len(tensors) == 1 else tensors
    return {
        "args": [first],
        "kwargs": {key: _argument(value) for key, value in arguments.items()},
    }


def _arguments(inputs: list[Any]) -> dict[str, Any]:
    """The arguments of a call beside its inputs, each [name, call, output, arguments]."""
    if not all(isinstance(item, list) and len(item) >= 3 for item in inputs):
        return {}
    arguments = inputs[-1][3] if len(inputs[-1]) > 3 else {}
    return arguments if isinstance(arguments, dict) else {}


def _is_tensor(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) in (3, 4)
        and isinstance(value[0], str)
        and all(isinstance(number, int) for number in value[1:3])
    )


def _argument(value: Any) -> Any:
    return _tensor(value) if _is_tensor(value) else value


def _tensor(value: Any) -> Any:
    """A number, or a tensor as Keras 3 writes it; shape and type are known when it is computed."""
    if not _is_tensor(value):
        if isinstance(value, list) and value and value[0] == _CONSTANT:
            return _constant(value[2])
        return _constant(value)
    if value[0] == _CONSTANT:
        return _constant(value[2])
    history = {"shape": [], "dtype": "float32", "keras_history": value[:3]}
    return {"class_name": "__keras_tensor__", "config": history}


def _constant(value: Any) -> Any:
    """A number, or an array such as the mean of each channel."""
    if isinstance(value, list):
        return {"class_name": "__numpy__", "config": {"value": value, "dtype": "float32"}}
    return value


def _operation(
    node: dict[str, Any], make: Callable[[], Any], calls: Any, factories: Factories
) -> Any:
    """A layer's entry that Keras reads as a call of `make`: it looks the class up by its name."""
    known_as = f"operation {len(factories)}"
    factories[known_as] = make
    return {"class_name": known_as, "config": {}, "name": node["name"], "inbound_nodes": calls}


def _operation_of_keras_2(node: dict[str, Any], factories: Factories) -> Any:
    if node["class_name"] == "SlicingOpLambda":
        return _slicing(node, factories)
    make: Callable[[], Any] | None = None
    calls = []
    first_options: dict[str, Any] | None = None
    for call in node["inbound_nodes"]:
        first, options = _first_and_options(call)
        make, second = factory(node["config"]["function"], node["name"], options)
        if first_options not in (None, _settings(options, second)):
            raise _called_differently(node)
        first_options = _settings(options, second)
        args = [first]
        if second is not None and second in options:
            args.append(_tensor(options[second]))
        calls.append({"args": args, "kwargs": {}})
    if make is None:
        raise ModelError(f"the layer {node['name']} is never called", "save the model again")
    return _operation(node, make, calls, factories)


def _settings(options: dict[str, Any], second: str | None) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != second}


def _called_differently(node: dict[str, Any]) -> ModelError:
    return ModelError(
        f"the layer {node['name']} is called twice with other settings",
        "save the model again with a layer for each call",
    )


def _first_and_options(call: Any) -> tuple[Any, dict[str, Any]]:
    """The first argument (a tensor, a number or a list of tensors), and the others by name."""
    several = isinstance(call[0], list)
    first = [_tensor(item) for item in call] if several else _tensor(call)
    arguments = call[0][3] if several else call[3]
    options = {k: v for k, v in arguments.items() if v is not None and k != "name"}
    return first, options


def _slicing(node: dict[str, Any], factories: Factories) -> Any:
    """`x[..., ::-1]`: an operation that takes the key as an argument of its call."""
    if node["config"]["function"] != "__operators__.getitem":
        factory(node["config"]["function"], node["name"], {})  # refuses it by its name
    calls = []
    for call in node["inbound_nodes"]:
        first, options = _first_and_options(call)
        key = options.get("slice_spec", [])
        parts = key if isinstance(key, list) else [key]
        calls.append({"args": [first, [_part(part) for part in parts]], "kwargs": {}})
    make = functools.partial(ops.numpy.GetItem, name=node["name"])
    return _operation(node, make, calls, factories)


def _part(part: Any) -> Any:
    """One element of a key as Keras 3 writes it."""
    if not isinstance(part, dict):
        return part
    if part.get("class_name") == "__ellipsis__":
        return dict(_ELLIPSIS)
    bounds = {name: part.get(name) for name in ("start", "stop", "step")}
    return {"class_name": "__slice__", "config": bounds}

"""What may stand in a network's JSON: Keras' own layers, operations and settings, by name.

Everything that Keras could look up, import or run because a file names it goes through this list
first. Layers that run code, or read other files (vocabularies), are not on it.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import keras
from keras.src import ops
from keras.src.applications.convnext import LayerScale, StochasticDepth
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

from cxr_audit.errors import ModelError

APPLICATION_LAYERS = {
    "CustomScaleLayer": CustomScaleLayer,
    "LayerScale": LayerScale,
    "StochasticDepth": StochasticDepth,
}
# Layers that run code from the file or from elsewhere.
UNSAFE = ("Lambda", "TorchModuleWrapper", "FlaxLayer", "JaxLayer", "TFSMLayer")
# Layers that read files, or have no place in front of an image.
_LEFT_OUT = {
    *UNSAFE,
    "HashedCrossing",
    "Hashing",
    "IntegerLookup",
    "Layer",
    "StringLookup",
    "TextVectorization",
}
_VALUES = {
    "__bytes__",
    "__ellipsis__",
    "__keras_tensor__",
    "__numpy__",
    "__slice__",
    "__tensor__",
    "__tuple__",
}
_NETWORKS = {"Functional", "Sequential", "Model"}
_OF_KERAS_2 = {"Policy", "TFOpLambda", "SlicingOpLambda"}
_QUANTIZED = ("QuantizedDTypePolicy", "QuantizedFloat8DTypePolicy", "GPTQDTypePolicy")
_MODULE = re.compile(r"(builtins|(keras|tf_keras)(\.[a-z0-9_]+)*)\Z")
_QUANTIZED_NAME = re.compile(r"(int8|int4|float8|gptq|awq)_from_")


def _classes(module: Any, base: type) -> set[str]:
    names: set[str] = set()
    for name, value in vars(module).items():
        if inspect.isclass(value) and issubclass(value, base):
            names.update((name, value.__name__))
    return names


def _allowed_classes() -> set[str]:
    names = _classes(keras.layers, keras.layers.Layer) | _classes(
        keras.initializers, keras.Initializer
    )
    names |= _classes(keras.regularizers, keras.Regularizer)
    names |= _classes(keras.constraints, keras.constraints.Constraint)
    names |= _classes(keras.dtype_policies, keras.dtype_policies.DTypePolicy)
    names |= {"DTypePolicyMap", "SeedGenerator"}
    for module in (ops.numpy, ops.nn, ops.math, ops.core, ops.image, ops.linalg):
        names |= _classes(module, keras.Operation)
    names |= _VALUES | _NETWORKS | _OF_KERAS_2 | set(APPLICATION_LAYERS)
    return names - _LEFT_OUT


ALLOWED = _allowed_classes()
_FUNCTIONS = {name for name, value in vars(keras.activations).items() if inspect.isfunction(value)}
_RENAMED = ("SyncBatchNormalization", "BatchNormalizationV1", "BatchNormalizationV2")


def check_classes(path: Path, config: Any, registered: Collection[str] = ()) -> None:
    """Raise `ModelError` for a network with anything that is not Keras' own, or registered by a
    package that the config names.

    Parameters
    ----------
    path : of the model, for the message.
    config : the network's JSON.
    registered : names under which packages have registered their classes, "package>Class".
    """
    objects = list(_objects(config))
    names = {node["class_name"].replace("__lambda__", "Lambda") for node in objects}
    unsafe = sorted(names & set(UNSAFE))
    if unsafe:
        raise ModelError(
            f"{path} holds {', '.join(unsafe)}: code inside a model file is not run",
            "replace the Lambda by Keras layers (Rescaling, Normalization, ops on tensors) "
            "and save it again",
        )
    for node in objects:
        _check_quantization(path, node)
    for node in objects:
        names_of_node = {node["class_name"], str(node.get("registered_name"))}
        if not names_of_node.intersection(registered):
            _check_class(path, node)


def _check_class(path: Path, node: dict[str, Any]) -> None:
    kind, module = node["class_name"], node.get("module")
    if module is not None and not (isinstance(module, str) and _MODULE.match(module)):
        raise ModelError(
            f"{path} has a layer of the class {kind!r} of {str(module)[:100]}, "
            "which is no module of Keras",
            _CUSTOM,
        )
    if kind == "function":
        name = node.get("config")
        if not isinstance(name, str) or name not in _FUNCTIONS:
            raise ModelError(
                f"{path} uses the function {str(name)[:100]!r}, which Keras does not define",
                "use one of Keras' own activations",
            )
        return
    plain = kind.rsplit(">", 1)[-1]
    if plain not in ALLOWED and plain not in _RENAMED:
        raise ModelError(
            f"{path} has a layer of the class {kind[:100]!r}, which neither Keras nor "
            "keras.applications defines",
            _CUSTOM,
        )


_CUSTOM = (
    "custom layers need the installed package that registers them, named in "
    "classifier.custom_objects; or save a model of Keras' own layers, without training parts"
)


def _check_quantization(path: Path, node: dict[str, Any]) -> None:
    settings = node.get("config")
    name = settings.get("name") if isinstance(settings, dict) else None
    policy = isinstance(name, str) and "Policy" in node["class_name"]
    if node["class_name"] in _QUANTIZED or (policy and _QUANTIZED_NAME.match(str(name))):
        raise ModelError(
            f"{path} is quantized ({str(name or node['class_name'])[:60]}): its weights are "
            "integers with a scale, which the explanations do not compute with",
            "audit the model as it was before model.quantize(...), and compare its outputs with "
            "those of the quantized model",
        )


def _objects(node: Any) -> Iterator[dict[str, Any]]:
    """Every description of an object, at whatever depth."""
    pending = [node]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if "class_name" in node:
                yield node if isinstance(node["class_name"], str) else {"class_name": "?"}
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)

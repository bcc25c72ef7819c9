"""A model file -> a Keras model, in safe mode.

`.keras` and legacy `.h5` are read, the `.h5` of Keras 2 as well (`legacy.py`). A Lambda layer is Python code inside
a file and is refused before Keras sees it; so is every class that neither Keras nor keras.applications defines.
Weights must be finite.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
from keras.src.applications.convnext import LayerScale, StochasticDepth
from keras.src.applications.inception_resnet_v2 import CustomScaleLayer

from cxr_audit.classifier.legacy import load_h5
from cxr_audit.errors import ModelError

APPLICATION_LAYERS = {
    "CustomScaleLayer": CustomScaleLayer,
    "LayerScale": LayerScale,
    "StochasticDepth": StochasticDepth,
}

# Layers that run code from the file or from elsewhere.
_UNSAFE = {"Lambda", "TorchModuleWrapper", "FlaxLayer", "JaxLayer", "TFSMLayer"}
_CONVERT = "in the program that made it, call model.save('classifier.keras') and audit that file"
_REBUILD = "rebuild the network in Keras, copy its weights, and save it as .keras"
_FROM_PYTORCH = (
    f"of TorchXRayVision: cxr-audit import-torchxrayvision WEIGHTS.pt OUT.keras; else {_REBUILD}"
)
_OTHER_FORMATS = {
    ".pb": ("a TensorFlow graph", _CONVERT),
    ".tflite": ("a TensorFlow Lite model", _CONVERT),
    ".onnx": ("an ONNX model", _REBUILD),
    ".pt": ("a PyTorch model", _FROM_PYTORCH),
    ".pth": ("a PyTorch model", _FROM_PYTORCH),
}


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal. Raises `ModelError` where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(
            f"cannot read the model {path}: {error.strerror}", "see classifier.path"
        ) from error


def load_keras(path: Path, sha256: str | None = None) -> keras.Model:
    """The Keras model in `path`, not compiled.

    Raises
    ------
    ModelError : missing, another file than `sha256` says, another format, unsafe or unknown layers, damaged,
        weights that are not finite.
    """
    _refuse_other_formats(path)
    found = file_sha256(path)
    if sha256 is not None and found != sha256.lower():
        raise ModelError(
            f"{path} is not the model of the config: its SHA-256 is {found}, expected {sha256.lower()}",
            "audit the file that was meant, or set classifier.sha256 to the new value",
        )
    config = read_config(path)
    refuse_unsafe_layers(path, config)
    _refuse_keras_2(path)
    try:
        if zipfile.is_zipfile(path):
            model = keras.saving.load_model(
                path, custom_objects=APPLICATION_LAYERS, compile=False, safe_mode=True
            )
        else:
            model = load_h5(path, config, APPLICATION_LAYERS)
    except (
        OSError,
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RuntimeError,
        ImportError,
    ) as error:
        raise ModelError(
            f"Keras {keras.__version__} cannot load {path}: {_reason(error)}",
            "custom layers cannot be audited safely; save a model of Keras' own layers, without training parts",
        ) from error
    for weight in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
            raise ModelError(
                f"the weight {weight.path} of {path} is not finite",
                "the training diverged; use another file",
            )
    return model


def _reason(error: Exception) -> str:
    """The point of one of Keras' long messages."""
    unknown = re.search(r"Could not locate class '(\w+)'", str(error))
    if unknown:
        return f"it has a layer of the class {unknown.group(1)!r}, which neither Keras nor keras.applications defines"
    innermost = str(error).rsplit("Exception encountered: ", 1)[-1]
    lines = innermost.strip().splitlines() or [type(error).__name__]
    return lines[0][:300]


def _refuse_other_formats(path: Path) -> None:
    if not path.exists():
        raise ModelError(
            f"no such model: {path}",
            "give a .keras or .h5 file; in a config, classifier.path is relative to the config's folder",
        )
    if (path / "keras_metadata.pb").exists():
        raise ModelError(
            f"{path} is a SavedModel folder of Keras 2, expected a .keras or .h5 file",
            _keras_2_hint(path),
        )
    if path.is_dir():
        kind = "a SavedModel folder" if (path / "saved_model.pb").exists() else "a folder"
        raise ModelError(f"{path} is {kind}, expected a .keras or .h5 file", _CONVERT)
    suffix = path.suffix.lower()
    if suffix in _OTHER_FORMATS:
        kind, hint = _OTHER_FORMATS[suffix]
        raise ModelError(f"{path} is {kind}, expected a .keras or .h5 file", hint)
    if path.name.lower().endswith(".weights.h5"):
        raise ModelError(
            f"{path} holds weights without a network",
            "save the whole model: model.save('classifier.keras')",
        )
    if suffix not in (".keras", ".h5", ".hdf5"):
        raise ModelError(f"{path} is no .keras or .h5 file", _CONVERT)


def read_config(path: Path) -> Any:
    """The network's JSON, read without building anything."""
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return json.loads(archive.read("config.json"))
        with h5py.File(path, "r") as file:
            if "model_config" not in file.attrs:
                raise ModelError(
                    f"{path} holds no network, only weights or other data",
                    "save the whole model: model.save('classifier.keras')",
                )
            return json.loads(file.attrs["model_config"])
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ModelError(
            f"{path} is damaged or no Keras model", "copy it again, or save it again"
        ) from error


def _refuse_keras_2(path: Path) -> None:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            known = "metadata.json" in archive.namelist()
            version = (
                str(json.loads(archive.read("metadata.json")).get("keras_version")) if known else ""
            )
        if version.startswith("2."):
            raise ModelError(
                f"{path} was saved by Keras {version}, whose .keras files Keras 3 cannot read",
                _keras_2_hint(path),
            )


def _keras_2_hint(path: Path) -> str:
    return f"cxr-audit convert {path} {path.with_name(path.stem + '-keras3.keras')}"


def refuse_unsafe_layers(path: Path, config: Any) -> None:
    """Raises `ModelError` for a network with layers that are code."""
    unsafe = sorted({name for name in _class_names(config) if name in _UNSAFE})
    if unsafe:
        raise ModelError(
            f"{path} holds {', '.join(unsafe)}: code inside a model file is not run",
            "replace the Lambda by Keras layers (Rescaling, Normalization, ops on tensors) and save it again",
        )


def _class_names(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("class_name"), str):
            yield node["class_name"]
        for value in node.values():
            yield from _class_names(value)
    elif isinstance(node, list):
        for value in node:
            yield from _class_names(value)

"""A model file -> a Keras model, in safe mode.

`.keras` and legacy `.h5` are read, the `.h5` of Keras 2 as well (`legacy.py`). No file is trusted:

    model_file.py   a process that can do nothing else reads the network and the arrays
    allowed.py      every class that the network names must be Keras' own, and no Lambda
    custom.py       or registered by an installed package that the config names and pins
    budget.py       the network may build no more parameters than the file holds
    clean_copy.py   Keras loads a copy that holds the checked network and the arrays, nothing else

Weights must be finite.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cxr_audit.classifier.allowed import APPLICATION_LAYERS, check_classes
from cxr_audit.classifier.budget import ParameterBudget, name_initializers
from cxr_audit.classifier.clean_copy import write_clean_copy
from cxr_audit.classifier.custom import Package, custom_objects
from cxr_audit.classifier.legacy import Factories, adapt, adapt_archive
from cxr_audit.classifier.model_file import ModelContent, file_sha256, read_model
from cxr_audit.errors import ModelError

__all__ = ["file_sha256", "load_keras"]

_CONVERT = "in the program that made it, call model.save('classifier.keras') and audit that file"
_SAVE_H5 = (
    "in the program that made it (TensorFlow up to 2.15, or tf-keras): "
    "tf.keras.models.load_model(PATH).save('classifier.h5'), and audit that file"
)
_REBUILD = "rebuild the network in Keras, copy its weights, and save it as .keras"
_FROM_PYTORCH = (
    f"of TorchXRayVision: cxr-audit import-torchxrayvision WEIGHTS.pt OUT.keras; else {_REBUILD}"
)
_OTHER_FORMATS = {
    ".pb": ("a TensorFlow graph", _CONVERT),
    ".tflite": ("a TensorFlow Lite model", _CONVERT),
    ".onnx": ("an ONNX model", "set classifier.path to it in a config: it is audited by asking"),
    ".pt": ("a PyTorch model", _FROM_PYTORCH),
    ".pth": ("a PyTorch model", _FROM_PYTORCH),
}
_OPENS_ELSEWHERE = (
    "if it opens in the program that made it, save it there again as .keras with Keras 3; "
    "custom layers cannot be audited"
)


def load_keras(
    path: Path, sha256: str | None = None, packages: Sequence[Package] = ()
) -> keras.Model:
    """The Keras model in `path`, not compiled.

    Parameters
    ----------
    path : a `.keras` or `.h5` file.
    sha256 : of the file that is meant, hexadecimal; None: any.
    packages : whose registered layers the model may use; their code runs.

    Raises
    ------
    ModelError : missing, another file than `sha256` says, another format, unsafe or unknown layers,
        damaged, more parameters than values, weights that are not finite; a package that is not
        the one that is meant.
    """
    _refuse_other_formats(path)
    content = read_model(path)
    if sha256 is not None and content.sha256 != sha256.lower():
        raise ModelError(
            f"{path} is not the model of the config: its SHA-256 is {content.sha256}, "
            f"expected {sha256.lower()}",
            "audit the file that was meant, or set classifier.sha256 to the new value",
        )
    content = replace(content, config=_without_training(content.config))
    registered = custom_objects(packages)
    check_classes(path, content.config, registered)
    model = _build(path, content, registered)
    _check_finite(path, model)
    return model


def _build(path: Path, content: ModelContent, registered: dict[str, Any]) -> keras.Model:
    budget = ParameterBudget(content.num_values)
    try:
        factories: Factories = {}
        config = name_initializers(_as_keras_3(content, factories))
        known = {**registered, **APPLICATION_LAYERS, **budget.initializers(), **factories}
        scope = keras.saving.custom_object_scope(known)
        with tempfile.TemporaryDirectory() as folder, scope:
            copy = write_clean_copy(content, config, Path(folder))
            return keras.saving.load_model(copy, compile=False, safe_mode=True)
    except ModelError:
        raise
    except Exception as error:  # Keras raises whatever the file makes it raise
        raise ModelError(
            f"Keras {keras.__version__} cannot load {path}: {_reason(error)}",
            _OPENS_ELSEWHERE,
        ) from error
    finally:
        budget.open = False


def _as_keras_3(content: ModelContent, factories: Factories) -> Any:
    """The network's JSON as Keras 3 reads it."""
    if content.kind == "h5":
        return adapt(content.config, factories)
    if (content.keras_version or "").startswith("2."):
        return adapt_archive(content.config, factories)
    return content.config


def _without_training(config: Any) -> Any:
    """A network's JSON without optimizer, loss and metrics, at any depth: they are never built."""
    if isinstance(config, list):
        return [_without_training(part) for part in config]
    if not isinstance(config, dict):
        return config
    return {
        key: _without_training(value)
        for key, value in config.items()
        if not (key == "compile_config" and "class_name" in config)
    }


def _check_finite(path: Path, model: keras.Model) -> None:
    for weight in model.weights:
        if not np.isfinite(keras.ops.convert_to_numpy(weight)).all():
            raise ModelError(
                f"the weight {weight.path} of {path} is not finite",
                "the training diverged; use another file",
            )


def _reason(error: Exception) -> str:
    """The point of one of Keras' long messages."""
    innermost = str(error).rsplit("Exception encountered: ", 1)[-1]
    lines = innermost.strip().splitlines() or [type(error).__name__]
    return re.sub(r"\s+", " ", lines[0])[:300]


def _refuse_other_formats(path: Path) -> None:
    if not path.exists():
        raise ModelError(
            f"no such model: {path}",
            "give a .keras or .h5 file; in a config, classifier.path is relative to the config's "
            "folder",
        )
    if path.is_dir():
        saved = (path / "saved_model.pb").exists() or (path / "keras_metadata.pb").exists()
        kind = "a SavedModel folder" if saved else "a folder"
        raise ModelError(
            f"{path} is {kind}, expected a .keras or .h5 file", _SAVE_H5 if saved else _CONVERT
        )
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
        raise ModelError(f"{path} is not a .keras or .h5 file", _CONVERT)

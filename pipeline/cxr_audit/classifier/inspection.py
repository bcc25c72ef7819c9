"""A model file -> what it is, for `cxr-audit inspect` and for a first config."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cxr_audit.classifier.classifier import Classifier
from cxr_audit.classifier.front import ValueRange, read_value_range
from cxr_audit.classifier.graph import flatten
from cxr_audit.classifier.load import file_sha256, load_keras
from cxr_audit.classifier.onnx_file import OnnxFile
from cxr_audit.classifier.receptive import Field, receptive_fields
from cxr_audit.errors import ModelError

_MAX_CARD_BYTES = 2**20


def inspect_model(path: Path, output_name: str | None = None) -> dict[str, Any]:
    """Plain facts of a model, JSON-ready.

    `output_name` chooses one of several outputs.
    `layers` are those with a grid, from the first convolution to the logit. A model card beside
    the file (the same name with the suffix .json, as `import-torchxrayvision` writes it) is used
    where its SHA-256 is that of the file. Of an ONNX file there are no layers: it is only asked.
    Raises `ModelError` as `load_keras`, `OnnxFile` and `Classifier` do.
    """
    if path.suffix.lower() == ".onnx":
        return _inspect_onnx(path)
    model = load_keras(path)
    sha256 = file_sha256(path)
    shape = flatten(model, (224, 224, 3), output_name).input_shape
    if len(shape) != 4:
        raise ModelError(
            f"the model takes {shape}, expected one image (batch, rows, columns, channels)",
            "audit an image classifier of one input",
        )
    rows, columns, channels = (
        size or default for size, default in zip(shape[1:], (224, 224, 3), strict=True)
    )
    sizes = "x".join(str(size or "any") for size in shape[1:])
    classifier = Classifier(model, (rows, columns, channels), output_name=output_name)
    target = classifier.split()
    card = _card(path, sha256)
    operation = card.get("operation", card)  # a converted model has no such part
    if "scaling" in card:
        value_range = ValueRange(card["scaling"], "its model card")
    else:
        value_range = read_value_range(classifier)
    return {
        "file": path.name,
        "sha256": sha256,
        "name": classifier.name,
        "keras": keras.__version__,
        "parameters": classifier.parameters,
        "input": f"{sizes} (rows x columns x channels)",
        "rows": rows,
        "columns": columns,
        "channels": channels,
        "scaling_guess": value_range.scaling,
        "scaling_reason": value_range.reason,
        "resize": card.get("resize"),
        "output_units": classifier.num_units,
        "output_activation": classifier.output_activation,
        "class_names": operation.get("class_names"),
        "threshold": operation.get("threshold"),
        "threshold_source": operation.get("threshold_source"),
        "target_layer": target.layer.name,
        "head": target.head_in_words,
        "logit_is_sum_of_cells": target.is_affine,
        "layers": _layers(classifier),
    }


def _inspect_onnx(path: Path) -> dict[str, Any]:
    """The facts of a model that is only asked."""
    model = OnnxFile(path)
    rows, columns, channels = (
        size or default for size, default in zip(model.shape, (224, 224, 3), strict=True)
    )
    sizes = "x".join(str(size or "any") for size in model.shape)
    outputs, _ = model.answer(np.zeros((1, rows, columns, channels), np.float32))
    unknown = "an ONNX file does not say it"
    return {
        "file": path.name,
        "sha256": model.sha256,
        "name": path.name,
        "parameters": model.parameters,
        "input": f"{sizes} (rows x columns x channels), in the file as {model.layout}",
        "rows": rows,
        "columns": columns,
        "channels": channels,
        "scaling_guess": None,
        "scaling_reason": unknown,
        "resize": None,
        "output_units": outputs.shape[1],
        "output_activation": model.activation or "not known; set classifier.output",
        "class_names": None,
        "threshold": None,
        "threshold_source": None,
        "target_layer": None,
        "head": "not known: the model is only asked",
        "logit_is_sum_of_cells": False,
        "layers": [],
    }


def _layers(classifier: Classifier) -> list[dict[str, Any]]:
    """The layers with a grid, from the first convolution to the logit."""
    fields = receptive_fields(classifier.graph, classifier.shapes, classifier.input_shape)
    layers = []
    for candidate in classifier.candidates:
        is_affine = classifier.split(candidate.name).is_affine
        layers.append(
            {
                "name": candidate.name,
                "kind": candidate.kind,
                "grid": f"{candidate.grid[0]}x{candidate.grid[1]}",
                "channels": candidate.channels,
                "receptive_field": _in_words(fields[candidate.name]),
                "head": "affine" if is_affine else "not affine",
            }
        )
    return layers


def _card(path: Path, sha256: str) -> dict[str, Any]:
    beside = path.with_suffix(".json")
    if not beside.is_file() or beside.stat().st_size > _MAX_CARD_BYTES:
        return {}
    try:
        card = json.loads(beside.read_text("utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return card if isinstance(card, dict) and card.get("sha256") == sha256 else {}


def _in_words(field: Field) -> str | None:
    """Size in input pixels; None where it is not known."""
    if field is None:
        return None
    sizes = [axis.size_px for axis in field]
    if not all(map(math.isfinite, sizes)):
        return "whole image"
    return "x".join(f"{size:.0f}" for size in sizes) + " px"

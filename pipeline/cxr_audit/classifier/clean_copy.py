"""What was read of a model file -> a file that holds only this, for Keras to load.

Keras loads from a path. It is given a copy that this module writes: the checked network, the
plain arrays, no training state, no links, no assets.
"""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import h5py

from cxr_audit.classifier.model_file import ModelContent

_MAX_ATTRIBUTE_BYTES = 64_000  # of one HDF5 attribute


def write_clean_copy(content: ModelContent, config: Any, folder: Path) -> Path:
    """Write the model into `folder` and return its path.

    Parameters
    ----------
    content : what was read of the original.
    config : the network's JSON as Keras 3 shall read it.
    """
    if content.kind == "h5":
        path = folder / "model.h5"
        with h5py.File(path, "w") as file:
            file.attrs["model_config"] = json.dumps(config)
            file.attrs["keras_version"] = content.keras_version or ""
            _write_tree(file.create_group("model_weights"), content)
        return path
    path = folder / "model.keras"
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        _write_tree(file, content)
    metadata = {"keras_version": content.keras_version, "date_saved": ""}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps(metadata))
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", weights.getbuffer())
    return path


def _write_tree(root: Any, content: ModelContent) -> None:
    for path, attributes in content.groups.items():
        group = root.require_group(path) if path else root
        for name, value in attributes.items():
            _write_attribute(group, name, value)
    for path, array in content.arrays.items():
        dataset = root.create_dataset(path, data=array.values)
        for name, value in array.attributes.items():
            _write_attribute(dataset, name, value)


def _write_attribute(node: Any, name: str, value: Any) -> None:
    """Rows of names in parts below HDF5's limit, numbered as Keras reads them."""
    if not isinstance(value, list):
        node.attrs[name] = value
        return
    names = [item.encode("utf-8") for item in value]
    width = max((len(item) for item in names), default=1)
    step = max(1, _MAX_ATTRIBUTE_BYTES // max(1, width))
    if len(names) <= step:
        node.attrs.create(name, names, shape=(len(names),), dtype=f"S{max(1, width)}")
        return
    for part, start in enumerate(range(0, len(names), step)):
        rows = names[start : start + step]
        node.attrs.create(f"{name}{part}", rows, dtype=f"S{width}")

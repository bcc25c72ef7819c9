"""A model that only Keras 2 can read -> a `.keras` file that computes the same.

Keras 3 reads neither SavedModel folders nor the `.keras` files of Keras 2. Keras 2 (the package tf-keras, an extra)
reads them in a process of its own, `keras2_reader.py`, and writes an `.h5`, which `load_keras` knows; both networks
then have to give the same answer on the same noise. Files with code inside are refused before anything reads them.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

from cxr_audit.classifier.load import load_keras, read_config, refuse_unsafe_layers
from cxr_audit.errors import ModelError

TOLERANCE = 1e-4


def convert(old: Path, new: Path) -> None:
    """Write the model `old` (.h5, .keras or a SavedModel folder) as `new` (.keras).

    Raises
    ------
    ModelError : tf-keras is missing where it is needed, code in the file, a network that Keras 3 cannot build, or
        one that answers differently.
    """
    if new.suffix != ".keras":
        raise ModelError(f"{new} has not the suffix .keras", "give a name such as classifier.keras")
    if old.suffix.lower() in (".h5", ".hdf5"):
        load_keras(old).save(new)
        return
    _refuse_code(old)
    if importlib.util.find_spec("tf_keras") is None:
        raise ModelError(
            "converting this file needs Keras 2, which is not installed",
            "pip install 'cxr-audit[keras2]', or pip install tf-keras",
        )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reader = Path(__file__).with_name("keras2_reader.py")
        done = subprocess.run(
            [sys.executable, str(reader), str(old), str(folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise ModelError(
                f"Keras 2 cannot read {old}: {(done.stderr.strip().splitlines() or ['no reason given'])[-1][:300]}",
                "custom layers cannot be converted safely; save a model of Keras' own layers",
            )
        model = load_keras(folder / "model.h5")
        with np.load(folder / "answer.npz") as answer:
            _check_same(model, answer["images"], answer["output"])
        model.save(new)


def _refuse_code(old: Path) -> None:
    metadata = old / "keras_metadata.pb"
    if metadata.is_file():
        classes = re.findall(rb'"class_name": "(\w+)"', metadata.read_bytes())
        refuse_unsafe_layers(old, [{"class_name": name.decode()} for name in classes])
    elif old.suffix.lower() == ".keras" and old.is_file():
        refuse_unsafe_layers(old, read_config(old))
    else:
        raise ModelError(
            f"{old} is no .h5 or .keras file and no SavedModel folder that Keras wrote",
            "give what model.save() wrote",
        )


def _check_same(model: keras.Model, images: np.ndarray, expected: np.ndarray) -> None:
    gap = float(np.abs(np.asarray(model(images, training=False)) - expected).max())
    if not gap <= TOLERANCE:
        raise ModelError(
            f"the converted model answers differently, by {gap:.2g} (at most {TOLERANCE:g})",
            "rebuild the model in Keras 3 and copy its weights",
        )

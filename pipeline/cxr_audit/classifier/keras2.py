"""A model file of an older Keras -> a `.keras` file that computes the same."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from cxr_audit.classifier.load import load_keras
from cxr_audit.errors import ModelError

TOLERANCE = 1e-4


def convert(old: Path, new: Path) -> None:
    """Write the model `old` (.h5 or .keras) as `new` (.keras), and compare both on noise.

    Raises
    ------
    ModelError : code in the file, a network that Keras 3 cannot build, a SavedModel folder, or a
        new file whose outputs differ.
    """
    if new.suffix != ".keras":
        raise ModelError(f"{new} has not the suffix .keras", "give a name such as classifier.keras")
    model = load_keras(old)
    model.save(new)
    noise = _noise(model)
    gaps = []
    for before, after in zip(_outputs(model, noise), _outputs(load_keras(new), noise), strict=True):
        gaps.append(float(np.abs(before - after).max()))
    if not max(gaps) <= TOLERANCE:
        raise ModelError(
            f"{new} answers otherwise than {old}, by {max(gaps):.2g} (at most {TOLERANCE:g})",
            "rebuild the model in Keras 3 and copy its weights",
        )


def _noise(model: keras.Model) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    shapes = [[size or 64 for size in tensor.shape[1:]] for tensor in model.inputs]
    return [generator.random((2, *shape), np.float32) for shape in shapes]


def _outputs(model: keras.Model, images: list[np.ndarray]) -> list[np.ndarray]:
    outputs = model(images if len(images) > 1 else images[0], training=False)
    return [np.asarray(output) for output in keras.tree.flatten(outputs)]

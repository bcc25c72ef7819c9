"""Run by `keras2.convert` in a process of its own: a Keras 2 model -> `model.h5`, and its answer to noise.

Imports nothing of this project: here `keras` is Keras 2. Arguments: the model, the folder to write to.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import tf_keras


def read(model_path: str, folder: Path) -> None:
    model = tf_keras.models.load_model(model_path, compile=False)
    shape = [size or 224 for size in model.input_shape[1:3]] + [model.input_shape[3] or 3]
    images = np.random.default_rng(0).random((2, *shape), np.float32)
    np.savez(folder / "answer.npz", images=images, output=np.asarray(model(images, training=False)))
    model.save(folder / "model.h5")


if __name__ == "__main__":
    read(sys.argv[1], Path(sys.argv[2]))

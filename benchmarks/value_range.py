"""Is the value range of a model chosen rightly from one radiograph?

    .venv/bin/python -m benchmarks.value_range [--seeds FIRST LAST]

Small convolutional networks learn on phantoms in each value range; then the range is hidden, and
`explain` without a config has to find it from one other phantom.
"""

from __future__ import annotations

import argparse
from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from cxr_audit.classifier import Classifier

SIZE = 64
SCALINGS = ("unit", "minus_one_one", "imagenet", "caffe", "raw_255")
TRAINED_ON = 2001, 2048


def greys(first: int, last: int) -> tuple[np.ndarray, np.ndarray]:
    """Phantoms as grey values (N, rows, columns) in [0, 1], every second one with pneumonia."""
    from cxr_audit.reference.phantom.phantom import training_pixels

    seeds = range(first, last + 1)
    labels = np.asarray([seed % 2 for seed in seeds], np.float32)
    names = ["PNEUMONIA" if label else "NORMAL" for label in labels]
    pixels = [training_pixels(seed, name, SIZE) for seed, name in zip(seeds, names, strict=True)]
    return np.stack(pixels), labels


def trained(scaling: str, pixels: np.ndarray, labels: np.ndarray) -> Classifier:
    """A network that has learned the phantoms in a value range."""
    from cxr_audit.classifier import Classifier  # noqa: I001  first: it silences TensorFlow's start-up
    import keras

    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            layers.Conv2D(8, 3, 2, padding="same"),
            layers.BatchNormalization(momentum=0.9),
            layers.ReLU(),
            layers.Conv2D(16, 3, 2, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1, "sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(1e-2), "binary_crossentropy")
    inputs = np.stack([in_range(grey, scaling) for grey in pixels])
    model.fit(inputs, labels, batch_size=8, epochs=20, verbose=0)
    return Classifier(model, (SIZE, SIZE, 3))


def in_range(grey: np.ndarray, scaling: str) -> np.ndarray:
    """The model input (rows, columns, 3)."""
    from cxr_audit.preprocess import SCALINGS

    scale, offset = SCALINGS[scaling]
    return (np.repeat(grey[..., None], 3, 2) * scale + offset).astype(np.float32)


def measure(first: int, last: int) -> dict[str, Counter[str]]:
    """By the value range of the training: how often each one was chosen."""
    from cxr_audit.classifier.value_range import try_value_ranges

    learned = greys(*TRAINED_ON)
    pixels, _ = greys(first, last)
    results = {}
    for scaling in SCALINGS:
        classifier = trained(scaling, *learned)
        chosen: Counter[str] = Counter()
        for grey in pixels:
            inputs = {name: in_range(grey, name) for name in SCALINGS}
            chosen[try_value_ranges(classifier, inputs).scaling or "none"] += 1
        results[scaling] = chosen
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs=2, type=int, default=(1001, 1040))
    results = measure(*parser.parse_args().seeds)
    num_wrong = 0
    for scaling, chosen in results.items():
        print(f"{scaling:15} {dict(chosen)}")
        num_wrong += sum(num for name, num in chosen.items() if name not in (scaling, "none"))
    print(f"{num_wrong} wrong choices")
    return 1 if num_wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())

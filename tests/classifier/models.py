"""Small models for tests, built by hand."""

from __future__ import annotations

import keras
import numpy as np

layers = keras.layers


def small_backbone(
    shape: tuple[int, int, int] = (32, 32, 3), name: str = "backbone"
) -> keras.Model:
    image = keras.Input(shape)
    x = layers.Conv2D(6, 3, 2, padding="same", name="conv1")(image)
    x = layers.BatchNormalization(name="norm1")(x)
    x = layers.Activation("relu", name="relu1")(x)
    y = layers.Conv2D(6, 3, padding="same", name="conv2")(x)
    x = layers.Activation("relu", name="relu2")(layers.Add(name="add")([x, y]))
    x = layers.Conv2D(8, 3, 2, padding="same", activation="relu", name="conv3")(x)
    return keras.Model(image, x, name=name)


def nested(units: int = 1, activation: str | None = "sigmoid", head: str = "gap") -> keras.Model:
    """Sequential(backbone, pooling, Dropout, Dense): how most pneumonia classifiers are built."""
    pooling = {
        "gap": [layers.GlobalAveragePooling2D(name="gap")],
        "gmp": [layers.GlobalMaxPooling2D(name="gmp")],
        "flatten": [layers.Flatten(name="flatten")],
        "mlp": [layers.Flatten(name="flatten"), layers.Dense(5, "relu", name="hidden")],
    }[head]
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            small_backbone(),
            *pooling,
            layers.Dropout(0.5, name="dropout"),
            layers.Dense(units, activation, name="output"),
        ]
    )
    rng = np.random.default_rng(5)
    for weight in model.weights:
        if "variance" not in weight.path:
            weight.assign(rng.normal(0, 0.3, weight.shape))
    return model


def images(num: int, shape: tuple[int, int, int] = (32, 32, 3), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).random((num, *shape), np.float32)


def corner_detector() -> keras.Model:
    """Sees only the top left 4x4 pixels of 16x16: a 4x4 grid whose Flatten -> Dense reads cell (0,
    0) only.
    """
    image = keras.Input((16, 16, 1))
    x = layers.Conv2D(1, 4, 4, use_bias=False, name="cells")(image)
    model = keras.Model(
        image, layers.Dense(1, "sigmoid", name="output")(layers.Flatten(name="flatten")(x))
    )
    kernel = np.zeros((16, 1))
    kernel[0] = 3
    model.get_layer("cells").set_weights([np.full((4, 4, 1, 1), 1 / 16)])
    model.get_layer("output").set_weights([kernel, np.asarray([-1.0])])
    return model

"""Receptive fields against the support of a gradient: the pixels that move the middle cell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from cxr_audit.classifier import Classifier
from cxr_audit.classifier.receptive import receptive_fields

from tests.classifier.models import layers

SIZE = (41, 38)


def stack(*operations: Any) -> Callable[[Any], Any]:
    def build(x: Any) -> Any:
        for operation in operations:
            x = operation(x)
        return x

    return build


def residual(x: Any) -> Any:
    y = layers.Conv2D(2, 5, 2, padding="same")(x)
    return layers.Add()(
        [layers.Conv2D(2, 1, 2, padding="same")(x), layers.Conv2D(2, (1, 3), padding="same")(y)]
    )


NETWORKS: dict[str, Callable[[Any], Any]] = {
    "valid": stack(layers.Conv2D(2, 3), layers.Conv2D(2, (5, 2), 2)),
    "same, even sizes": stack(
        layers.Conv2D(2, 4, 2, padding="same"), layers.Conv2D(2, 3, 3, padding="same")
    ),
    "dilated": stack(
        layers.Conv2D(2, 3, dilation_rate=3), layers.DepthwiseConv2D(3, dilation_rate=2)
    ),
    "padded and cropped": stack(
        layers.ZeroPadding2D(((3, 1), (0, 2))),
        layers.Conv2D(2, 3, 2),
        layers.Cropping2D(((2, 1), (1, 0))),
    ),
    "pooled": stack(
        layers.Conv2D(2, 3),
        layers.AveragePooling2D(3, 2),
        layers.AveragePooling2D(2, padding="same"),
    ),
    "separable": stack(
        layers.SeparableConv2D(2, 5, 2, padding="same"), layers.BatchNormalization()
    ),
    "residual": residual,
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_field_is_the_support_of_the_gradient(name: str) -> None:
    image = keras.Input((*SIZE, 1))
    features = NETWORKS[name](image)
    model = keras.Model(image, layers.Dense(1)(layers.GlobalAveragePooling2D()(features)))
    for weight in model.trainable_variables:  # positive: nothing cancels
        weight.assign(np.random.default_rng(1).uniform(0.5, 1, weight.shape))
    classifier = Classifier(model, (*SIZE, 1))
    split = classifier.split()
    field = receptive_fields(classifier.graph, classifier.shapes, classifier.input_shape)[
        split.layer.name
    ]
    assert field is not None

    cell = [size // 2 for size in split.layer.grid]
    batch = tf.constant(np.random.default_rng(2).random((1, *SIZE, 1), np.float32))
    with tf.GradientTape() as tape:
        tape.watch(batch)
        value = tf.reduce_sum(keras.Model(image, features)(batch)[0, cell[0], cell[1]])
    moves = np.asarray(tape.gradient(value, batch))[0, ..., 0] != 0
    for axis, size, index, seen in zip(
        field, SIZE, cell, (moves.any(1), moves.any(0)), strict=True
    ):
        first, last = int(index * axis.jump + axis.first), int(index * axis.jump + axis.last)
        assert 0 <= first <= last < size, (
            "the middle cell must not touch the border, or nothing is tested"
        )
        assert (seen.argmax(), size - 1 - seen[::-1].argmax()) == (first, last)


def test_a_squeeze_and_excitation_sees_the_whole_image() -> None:
    image = keras.Input((16, 16, 1))
    x = layers.Conv2D(4, 3, name="conv")(image)
    gate = layers.Dense(4, "sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Conv2D(4, 3, name="after")(layers.Multiply(name="gated")([x, gate]))
    classifier = Classifier(keras.Model(image, layers.Dense(1)(layers.Flatten()(x))), (16, 16, 1))
    fields = receptive_fields(classifier.graph, classifier.shapes, classifier.input_shape)
    assert fields["conv"][0].size_px == 3
    assert fields["gated"][0].size_px == fields["after"][1].size_px == float("inf")


def test_what_is_not_known_is_not_stated() -> None:
    image = keras.Input((16, 16, 1))
    x = layers.Conv2DTranspose(2, 3, 2)(layers.Conv2D(2, 3)(image))
    x = layers.Conv2D(2, 3, name="after")(x)
    classifier = Classifier(keras.Model(image, layers.Dense(1)(layers.Flatten()(x))), (16, 16, 1))
    assert (
        receptive_fields(classifier.graph, classifier.shapes, classifier.input_shape)["after"]
        is None
    )


def test_upsampling_sees_what_its_source_sees() -> None:
    """A 3x3 window behind 2x nearest upsampling of single pixels: cells 1 to 3 are copies of pixels
    0, 1, 1.
    """
    image = keras.Input((16, 16, 1))
    x = layers.UpSampling2D(2)(layers.Conv2D(2, 1)(image))
    x = layers.Conv2D(2, 3, name="after")(x)
    classifier = Classifier(keras.Model(image, layers.Dense(1)(layers.Flatten()(x))), (16, 16, 1))
    rows, _ = receptive_fields(classifier.graph, classifier.shapes, classifier.input_shape)["after"]
    assert rows.jump == 0.5
    for cell in range(28):
        exact = cell // 2, (cell + 2) // 2
        assert cell * rows.jump + rows.first <= exact[0]
        assert cell * rows.jump + rows.last >= exact[1]
    assert rows.centre == 0.25  # upsampled cell 1, half-pixel centres: 1.5 / 2 - 0.5


def test_of_a_published_network() -> None:
    """VGG16's block5_conv3 sees 196x196 pixels, block5_pool 212x212 (Araujo et al., Distill 2019,
    table 1).
    """
    model = keras.applications.VGG16(weights=None, include_top=False, input_shape=(32, 32, 3))
    head = layers.Dense(1)(layers.GlobalAveragePooling2D()(model.output))
    classifier = Classifier(keras.Model(model.input, head), (32, 32, 3))
    fields = receptive_fields(classifier.graph, classifier.shapes, classifier.input_shape)
    assert fields["block5_conv3"][0].size_px == 196
    assert fields["block5_pool"][1].size_px == 212

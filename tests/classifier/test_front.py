"""The value range of the input, read from whatever stands in front of the first weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from cxr_audit.classifier import Classifier, load_keras
from cxr_audit.classifier.front import read_value_range
from keras.applications import imagenet_utils

from tests.classifier.models import layers

ZOO = Path(__file__).parent / "zoo"
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])


def augmented(x: Any) -> Any:
    for layer in (layers.RandomFlip(), layers.RandomRotation(0.1), layers.RandomZoom(0.1)):
        x = layer(x)
    return layers.Rescaling(1 / 255)(layers.RandomContrast(0.2)(x))


FRONTS: dict[str, tuple[Callable[[Any], Any], str | None]] = {
    "four augmentations, then 1/255": (augmented, "raw_255"),
    "1/255 by an operation": (lambda x: x / 255.0, "raw_255"),
    "times 1/255, backwards": (lambda x: keras.ops.flip(x, 2) * (1 / 255), "raw_255"),
    "1/127.5 - 1": (layers.Rescaling(1 / 127.5, -1.0), "raw_255"),
    "1/255, then ImageNet": (
        lambda x: layers.Normalization(mean=MEAN, variance=DEVIATION**2)(
            layers.Rescaling(1 / 255)(x)
        ),
        "raw_255",
    ),
    "ImageNet": (layers.Normalization(mean=MEAN, variance=DEVIATION**2), "unit"),
    "ImageNet in 8 bits": (
        layers.Normalization(mean=255 * MEAN, variance=(255 * DEVIATION) ** 2),
        "raw_255",
    ),
    "2 x - 1": (layers.Rescaling(2.0, -1.0), "unit"),
    "(x + 1) / 2": (layers.Rescaling(0.5, 0.5), "minus_one_one"),
    "preprocess_input, tf": (lambda x: imagenet_utils.preprocess_input(x, mode="tf"), "raw_255"),
    "preprocess_input, torch": (
        lambda x: imagenet_utils.preprocess_input(x, mode="torch"),
        "raw_255",
    ),
    "preprocess_input, caffe": (
        lambda x: imagenet_utils.preprocess_input(x, mode="caffe"),
        "raw_255",
    ),
    "resized first": (lambda x: layers.Rescaling(1 / 255)(layers.Resizing(16, 16)(x)), "raw_255"),
    "nothing": (layers.RandomFlip(), None),
    "12 bits": (layers.Rescaling(1 / 4095), None),
    "standardised": (lambda x: x - keras.ops.mean(x, axis=(1, 2, 3), keepdims=True), None),
    "a square": (lambda x: keras.ops.square(x), None),
}


@pytest.mark.parametrize("name", FRONTS)
def test_the_front_is_read_whatever_its_order(name: str) -> None:
    build, scaling = FRONTS[name]
    image = keras.Input((32, 32, 3))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(build(image)))
    found = read_value_range(Classifier(keras.Model(image, layers.Dense(1)(x)), (32, 32, 3)))
    assert found.scaling == scaling, found.reason


@pytest.mark.parametrize(
    ("name", "scaling"),
    [("aug4_rescale", "raw_255"), ("op_div255", "raw_255"), ("randomcrop", None)],
)
def test_of_strangers_models(name: str, scaling: str | None) -> None:
    model = load_keras(ZOO / f"{name}.keras")
    found = read_value_range(Classifier(model, tuple(model.input_shape[1:])))
    assert found.scaling == scaling, found.reason


def test_a_backbone_without_its_preprocessing_is_asked_about_and_one_with_it_is_read() -> None:
    """ResNet50 in a file does not say whether its program used preprocess_input or 1/255."""
    for build, settings, scaling in (
        (keras.applications.ResNet50, {}, None),
        (keras.applications.EfficientNetB0, {}, "raw_255"),
        (keras.applications.MobileNetV3Small, {}, "raw_255"),
        (keras.applications.MobileNetV3Small, {"include_preprocessing": False}, None),
    ):
        model = build(
            weights=None, include_top=False, pooling="avg", input_shape=(64, 64, 3), **settings
        )
        whole = keras.Sequential([model, layers.Dense(1, "sigmoid")])
        found = read_value_range(Classifier(whole, (64, 64, 3)))
        assert found.scaling == scaling, (model.name, found.reason)
        if scaling is None:
            assert "keras.applications trains" in found.reason

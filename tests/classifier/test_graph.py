"""Any Keras graph is walked: subclasses, shared parts, layers in front, every kind of head; the
rest is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from cxr_audit.classifier import Classifier
from cxr_audit.errors import ModelError

from tests.classifier.models import images, layers, small_backbone

SHAPE = (32, 32, 3)


def randomised(model: keras.Model) -> keras.Model:
    rng = np.random.default_rng(3)
    for weight in model.weights:
        if "seed" not in weight.path:
            weight.assign(
                rng.uniform(0.5, 1.5, weight.shape)
                if "variance" in weight.path
                else rng.normal(0, 0.3, weight.shape)
            )
    return model


def assert_split_everywhere(
    model: keras.Model, logits: np.ndarray, names: tuple[str, ...] = ()
) -> Classifier:
    """Features then head give `logits`, at `names`, or at every candidate."""
    classifier = Classifier(model, SHAPE)
    for name in names or [candidate.name for candidate in classifier.candidates]:
        found = classifier.split(name)._forward_steps(images(2))[2]
        np.testing.assert_allclose(found, logits, atol=1e-5, err_msg=name)
    return classifier


def call(model: keras.Model) -> np.ndarray:
    return np.asarray(model(images(2), training=False))


def attention(x: Any) -> Any:
    weights = layers.Conv2D(1, 1, name="score")(x)
    weights = layers.Softmax(axis=(1, 2), name="weights")(weights)
    return keras.ops.sum(layers.Multiply(name="weighted")([x, weights]), axis=(1, 2))


HEADS: dict[str, Callable[[Any], Any]] = {
    "gap": layers.GlobalAveragePooling2D(),
    "gmp": layers.GlobalMaxPooling2D(),
    "flatten": layers.Flatten(),
    "attention pooling": attention,
    "batch norm, dropouts": lambda x: layers.Dropout(0.5)(
        layers.GlobalAveragePooling2D()(
            layers.SpatialDropout2D(0.3)(layers.BatchNormalization()(x))
        )
    ),
    "several dense": lambda x: layers.Dense(5, "relu")(
        layers.Dense(7, "gelu")(layers.Flatten()(x))
    ),
    "tokens": lambda x: layers.GlobalAveragePooling1D()(
        layers.MultiHeadAttention(2, 4)(*[layers.Reshape((-1, 8))(x)] * 2)
    ),
}


@pytest.mark.parametrize("head", HEADS)
def test_every_kind_of_head(head: str) -> None:
    backbone = small_backbone()
    model = randomised(
        keras.Model(backbone.input, layers.Dense(2, name="logits")(HEADS[head](backbone.output)))
    )
    classifier = assert_split_everywhere(model, call(model))
    assert classifier.split().is_affine is (head in ("gap", "flatten", "batch norm, dropouts"))


def test_layers_in_front_stay_in_place_and_augmentation_is_off() -> None:
    image = keras.Input(SHAPE)
    x = layers.RandomFlip()(layers.RandomRotation(0.5)(layers.RandomContrast(0.5)(image)))
    x = layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[1.0, 2.0, 3.0])(
        layers.Rescaling(2.0, -1.0, name="in_front")(x)
    )
    x = layers.GlobalAveragePooling2D()(small_backbone()(x))
    model = randomised(keras.Model(image, layers.Dense(1)(x)))
    classifier = assert_split_everywhere(model, call(model))
    assert classifier.candidates[0].name == "backbone/conv1"  # nothing before the first convolution
    with pytest.raises(ModelError, match="before the first convolution"):
        classifier.split("in_front")


def test_a_backbone_called_twice_can_be_cut_at_either_call() -> None:
    image = keras.Input(SHAPE)
    backbone, pool = small_backbone(), layers.GlobalAveragePooling2D()
    both = layers.Concatenate()(
        [pool(backbone(image)), pool(backbone(layers.Rescaling(-1.0, 1.0)(image)))]
    )
    model = randomised(keras.Model(image, layers.Dense(1)(both)))
    classifier = assert_split_everywhere(model, call(model))
    assert {"backbone/conv3", "backbone/conv3#2"} < {
        candidate.name for candidate in classifier.candidates
    }
    assert classifier.split("backbone/conv3").sides  # the other call goes around the cut
    assert not classifier.split("backbone/conv3").is_affine


def test_backbones_in_backbones() -> None:
    model: keras.Model = small_backbone(name="inner")
    for depth in range(3):
        image = keras.Input(SHAPE)
        model = keras.Model(
            image, layers.Conv2D(4, 3, name=f"after{depth}")(model(image)), name=f"level{depth}"
        )
    model = randomised(
        keras.Sequential([keras.Input(SHAPE), model, layers.Flatten(), layers.Dense(1)])
    )
    classifier = assert_split_everywhere(
        model, call(model), ("level2/level1/level0/inner/conv1", "level2/after2")
    )
    assert classifier.split().layer.name == "level2/after2"


class Subclassed(keras.Model):
    """A functional core inside a class, as Keras' own guides write it."""

    def __init__(self) -> None:
        super().__init__()
        self.core, self.pool, self.out = (
            small_backbone(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(1),
        )
        self.drop = layers.Dropout(0.5)

    def call(self, x: Any, training: bool = False) -> Any:
        if training:
            raise AssertionError("never in training mode")
        return self.out(self.drop(self.pool(self.core(x * 2 - 1))))


class Opaque(Subclassed):
    def call(self, x: Any, training: bool = False) -> Any:
        return super().call(x.numpy(), training)


def test_a_subclassed_model_alone_and_inside_another() -> None:
    model = Subclassed()
    model(images(1), training=False)
    logits = call(randomised(model))
    classifier = assert_split_everywhere(model, logits, ("backbone/conv1", "backbone/conv3"))
    assert classifier.split().pooled_weights is not None
    image = keras.Input(SHAPE)
    outer = keras.Model(
        image, layers.Dense(1, use_bias=False, kernel_initializer="ones")(model(image))
    )
    assert_split_everywhere(outer, logits, (f"{model.name}/backbone/conv3",))


def test_a_subclassed_model_whose_call_is_no_graph_is_refused() -> None:
    model = Opaque()
    with pytest.raises(ModelError, match="has no weights yet"):
        Classifier(model, SHAPE)
    model.built = True
    with pytest.raises(ModelError, match=r"call\(\) cannot be read as a graph: .*numpy"):
        Classifier(model, SHAPE)


def test_a_probability_that_is_no_activation_is_explained_by_its_log_odds() -> None:
    image = keras.Input(SHAPE)
    pooled = layers.GlobalAveragePooling2D()(small_backbone()(image))
    heads = [layers.Dense(1, "sigmoid")(pooled), layers.Dense(1, "sigmoid")(pooled)]
    model = randomised(keras.Model(image, layers.Average()(heads)))
    p = call(model).astype(np.float64)
    classifier = assert_split_everywhere(model, np.log(p / (1 - p)))
    assert classifier.scalar("class 1").code == "classifier.scalar_log_odds"
    assert classifier.predict(np.log(p / (1 - p))[0], None).probability == pytest.approx(
        p[0, 0], rel=1e-6
    )
    assert not classifier.split().is_affine


def test_a_saturated_probability_has_finite_log_odds() -> None:
    image = keras.Input(SHAPE)
    pooled = layers.GlobalAveragePooling2D()(layers.Conv2D(1, 3)(image))
    sure = layers.Dense(
        2,
        "sigmoid",
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant(200.0),
    )
    model = keras.Model(image, layers.Average()([sure(pooled), sure(pooled)]))
    logits = Classifier(model, SHAPE).split()._forward_steps(images(1))[2]
    assert np.isfinite(logits).all()
    assert np.asarray(logits).min() > 16


def test_an_activation_below_a_reshape_is_taken_off() -> None:
    image = keras.Input(SHAPE)
    pooled = layers.GlobalAveragePooling2D()(small_backbone()(image))
    model = randomised(
        keras.Model(
            image, layers.Flatten()(layers.Reshape((1, 2))(layers.Dense(2, "softmax")(pooled)))
        )
    )
    classifier = Classifier(model, SHAPE)
    assert classifier.output_activation == "softmax"
    z = np.asarray(classifier.split()._forward_steps(images(2))[2])
    np.testing.assert_allclose(np.exp(z) / np.exp(z).sum(1, keepdims=True), call(model), atol=1e-6)


def test_half_precision_is_said_and_claims_no_exact_budget() -> None:
    policy = keras.DTypePolicy("mixed_float16")
    image = keras.Input(SHAPE)
    x = layers.GlobalAveragePooling2D(dtype=policy)(
        layers.Conv2D(4, 3, name="conv", dtype=policy)(image)
    )
    model = randomised(keras.Model(image, layers.Dense(1, "sigmoid", dtype="float32")(x)))
    split = Classifier(model, SHAPE).split()
    logits = np.asarray(split._forward_steps(images(2))[2], np.float64)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), call(model), atol=1e-5)
    assert split.head_in_words.code == "classifier.head_half_precision"
    assert split.head_in_words.values["precision"] == "float16"
    assert not split.is_affine
    assert split.bias(np.ones(1, np.float32)) is None


def test_a_map_of_classes_is_no_classifier() -> None:
    image = keras.Input(SHAPE)
    with pytest.raises(ModelError, match="expected one score a class"):
        Classifier(
            keras.Model(image, layers.Conv2D(2, 1, activation="softmax")(small_backbone()(image))),
            SHAPE,
        )


@pytest.mark.parametrize("name", ["my conv 1", "conv(1)", "_conv", "___", "\u80ba"])
def test_a_layer_may_have_any_name_that_keras_takes(name: str) -> None:
    """TensorFlow takes fewer in a graph. The name is kept for the user."""
    inputs = keras.Input(SHAPE)
    features = layers.Conv2D(4, 3, activation="relu", name=name)(inputs)
    model = randomised(
        keras.Model(inputs, layers.Dense(2)(layers.GlobalAveragePooling2D()(features)))
    )
    expected = call(model)
    target = Classifier(model, SHAPE).split(name)
    assert target.layer.name == name
    np.testing.assert_allclose(target.forward(images(2), None)[2], expected, atol=1e-5)


def test_channels_first_is_refused() -> None:
    image = keras.Input((3, 32, 32))
    x = layers.GlobalAveragePooling2D(data_format="channels_first")(image)
    with pytest.raises(ModelError, match="channels first"):
        Classifier(keras.Model(image, layers.Dense(1)(x)), (3, 32, 32))


def test_two_outputs_are_refused_by_name() -> None:
    backbone = small_backbone()
    pooled = layers.GlobalAveragePooling2D()(backbone.output)
    model = keras.Model(
        backbone.input, [layers.Dense(1, name="a")(pooled), layers.Dense(1, name="b")(pooled)]
    )
    with pytest.raises(ModelError, match="has 2 outputs"):
        Classifier(model, SHAPE)

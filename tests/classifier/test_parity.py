"""The gate, on strangers' models whose last layers were read wrongly, and on models built here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from cxr_audit.classifier import Classifier, check_parity, load_keras
from cxr_audit.classifier.output import Stated
from cxr_audit.errors import ModelError
from cxr_audit.explain import Explainer

from tests.classifier.models import images, layers, nested

ZOO = Path(__file__).parent / "zoo"
SHAPE = (32, 32, 3)


def opened(name: str, output: Stated | None = None) -> tuple[Classifier, np.ndarray]:
    """A model and inputs in [0, 1], for which its answers are neither 0 nor 1."""
    model = load_keras(ZOO / f"{name}.keras")
    shape = tuple(model.input_shape[1:])
    return Classifier(model, shape, output=output), images(4, shape)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("prob_model", "softmax"),
        ("seq_softmax_layer", "softmax"),
        ("rescale_p", "sigmoid"),
        ("cast_p", "sigmoid"),
        ("clip_p", "sigmoid"),
        ("prod_p", "probabilities"),
        ("norm_sum1", "probabilities"),
        ("ensemble3", "probabilities"),
        ("op_div255", "softmax"),
        ("vit_ops", "sigmoid"),
        ("randomcrop", "sigmoid"),
        ("aug4_rescale", "sigmoid"),
    ],
)
def test_the_reported_probability_is_the_models(name: str, kind: str) -> None:
    classifier, inputs = opened(name)
    parity = check_parity(classifier, inputs)
    assert (parity.output, parity.num_inputs, parity.is_stated) == (kind, 4, False)
    assert parity.largest_output_difference < 1e-6
    # Not by the gate's own figure alone: the model's answer against the report's, case by case.
    answers = classifier.model.predict(inputs, verbose=0)
    logits = classifier.split().forward(inputs, None)[2]
    for answer, values in zip(answers, logits, strict=True):
        assert classifier.predict(values, None).probability == pytest.approx(answer[-1], abs=1e-5)
        assert 0.001 < answer[-1] < 0.999


def test_a_softmax_over_one_unit_is_refused_by_its_name() -> None:
    with pytest.raises(ModelError, match=r"'dense_5' is a softmax over one unit"):
        opened("softmax1")


def test_fourteen_logits_are_asked_about() -> None:
    classifier, inputs = opened("multi14_logits")
    for ask in (lambda: check_parity(classifier, inputs), lambda: Explainer(classifier)):
        with pytest.raises(ModelError, match="one softmax") as caught:
            ask()
        assert "classifier.output" in str(caught.value.hint)
    z = opened("multi14_logits")[0].model.predict(inputs, verbose=0).astype(np.float64)
    labels, _ = opened("multi14_logits", "multi_label")
    assert check_parity(labels, inputs).output == "multi_label"
    assert labels.labels[-1] == "not class 13"
    assert labels.predict(z[0], None).probability == pytest.approx(1 / (1 + np.exp(-z[0, 13])))
    one, _ = opened("multi14_logits", "softmax")
    assert check_parity(one, inputs).is_stated
    expected = np.exp(z[0, 13]) / np.exp(z[0]).sum()
    assert one.predict(z[0], None).probability == pytest.approx(expected)
    with pytest.raises(ModelError, match="14 logits may be one softmax"):
        opened("multi14_logits", "logits")


def ending(build: Any, units: int = 1, activation: str | None = "sigmoid") -> keras.Model:
    """A small classifier with something behind its last dense layer; its outputs vary with the
    image.
    """
    image = keras.Input(SHAPE)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3, activation="relu")(image))
    model = keras.Model(image, build(layers.Dense(units, activation)(x)))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.normal(0, 0.5, weight.shape))
    return model


ops = keras.ops
RECOGNISED = {
    "operation sigmoid": (lambda x: ops.sigmoid(x), 1, None, "sigmoid"),
    "operation softmax": (lambda x: ops.softmax(x), 2, None, "softmax"),
    "activation layer": (layers.Activation("sigmoid"), 1, None, "sigmoid"),
    "softmax layer": (layers.Softmax(), 3, None, "softmax"),
    "dropout behind": (layers.Dropout(0.5), 1, "sigmoid", "sigmoid"),
    "clipped to [0, 1]": (lambda x: ops.clip(x, 0.1, 0.9), 1, "sigmoid", "probabilities"),
    "logits in a scaling": (layers.Rescaling(7.0, 3.0), 1, None, "sigmoid"),
}


@pytest.mark.parametrize("name", RECOGNISED)
def test_what_follows_the_last_dense_layer_is_recognised(name: str) -> None:
    build, units, activation, kind = RECOGNISED[name]
    classifier = Classifier(ending(build, units, activation), SHAPE)
    assert check_parity(classifier, images(8)).output == kind


ASKED = {
    "scaled probability": (layers.Rescaling(0.5), "sigmoid"),
    "one minus a probability": (lambda x: 1.0 - x, "sigmoid"),
    "weighted mean": (lambda x: 0.3 * x + 0.7 * ops.square(x), "sigmoid"),
    "hard sigmoid": (lambda x: ops.hard_sigmoid(x), None),
    "power": (lambda x: x**2, "sigmoid"),
}


@pytest.mark.parametrize("name", ASKED)
def test_what_is_not_recognised_is_asked_about_and_never_taken_for_a_logit(name: str) -> None:
    build, activation = ASKED[name]
    model = ending(build, 1, activation)
    with pytest.raises(ModelError, match="cannot be read") as caught:
        check_parity(Classifier(model, SHAPE), images(8))
    assert "classifier.output" in str(caught.value.hint)
    said = Classifier(model, SHAPE, output="probabilities")
    assert check_parity(said, images(8)).largest_probability_difference < 1e-5


def test_a_linear_layer_whose_outputs_look_like_probabilities_is_asked_about() -> None:
    """A head trained by regression to 0 and 1: 0.476 is the answer, not sigmoid(0.476) = 0.62."""
    model = ending(layers.Identity(), 1, None)
    dense = model.layers[-2]
    kernel, bias = dense.get_weights()
    dense.set_weights([kernel * 0.01, bias * 0 + 0.476])
    with pytest.raises(ModelError, match="probabilities or logits") as caught:
        check_parity(Classifier(model, SHAPE), images(8))
    assert "classifier.output" in str(caught.value.hint)
    said = Classifier(model, SHAPE, output="probabilities")
    check_parity(said, images(8))
    probability = said.predict(said.split().forward(images(1), None)[2][0], None).probability
    assert probability == pytest.approx(0.476, abs=0.02)
    logits = Classifier(model, SHAPE, output="logits")
    assert check_parity(logits, images(8)).is_stated


def test_outputs_that_are_said_to_be_probabilities_and_are_none() -> None:
    model = ending(layers.Rescaling(50.0), 1, None)
    with pytest.raises(ModelError, match="but the outputs are none"):
        check_parity(Classifier(model, SHAPE, output="probabilities"), images(8))
    several = ending(lambda x: ops.hard_sigmoid(x), 3, None)
    with pytest.raises(ModelError, match="do not sum to 1"):
        check_parity(Classifier(several, SHAPE, output="probabilities"), images(8))


@pytest.mark.parametrize(
    ("activation", "units", "output"),
    [
        ("sigmoid", 1, "logits"),
        ("softmax", 2, "sigmoid"),
        ("softmax", 2, "multi_label"),
        ("sigmoid", 1, "softmax"),
        ("sigmoid", 1, "multi_label"),
        ("sigmoid", 3, "softmax"),
    ],
)
def test_a_config_that_contradicts_the_last_layer_is_refused(
    activation: str, units: int, output: Stated
) -> None:
    with pytest.raises(ModelError, match=f"classifier.output is {output}"):
        Classifier(nested(units, activation), SHAPE, output=output)


def test_two_labels_are_no_two_classes() -> None:
    classifier = Classifier(nested(2, "sigmoid"), SHAPE, ("Mass", "Nodule"), output="multi_label")
    assert classifier.labels == ("Mass", "Nodule", "not Nodule")
    assert not classifier.is_binary
    assert check_parity(classifier, images(4)).output == "multi_label"


def test_a_network_that_is_another_one_is_refused_with_the_numbers() -> None:
    model = nested()
    classifier = Classifier(model, SHAPE)
    check_parity(classifier, images(4))
    other = nested()
    other.get_layer("output").bias.assign([1.0])
    classifier.model = other
    with pytest.raises(ModelError, match=r"differ by up to .*; expected at most 0\.0001"):
        check_parity(classifier, images(4))


def test_an_answer_that_is_not_finite_is_refused() -> None:
    model = nested()
    model.get_layer("output").bias.assign([np.nan])
    with pytest.raises(ModelError, match="4 of 4 outputs"):
        check_parity(Classifier(model, SHAPE), images(4))


def test_half_precision_is_compared_to_its_own_rounding() -> None:
    policy = keras.DTypePolicy("mixed_float16")
    image = keras.Input(SHAPE)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3, dtype=policy)(image))
    model = keras.Model(image, layers.Dense(1, "sigmoid", dtype=policy)(x))
    parity = check_parity(Classifier(model, SHAPE), images(8))
    assert parity.tolerance == 2.0**-11
    assert parity.largest_probability_difference <= 2.0**-11


def test_a_softmax_over_another_axis_is_refused() -> None:
    image = keras.Input(SHAPE)
    x = layers.Dense(4)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image)))
    x = layers.Flatten()(layers.Softmax(axis=1)(layers.Reshape((1, 4))(x)))
    with pytest.raises(ModelError, match="runs over axis 1"):
        Classifier(keras.Model(image, x), SHAPE)


def test_whole_number_weights_are_computed_as_the_model_computes_them() -> None:
    """A file of such a model is refused when it is loaded; of an open one nothing is called exact."""
    model = ending(layers.Identity(), 2, "softmax")
    next(layer for layer in model.layers if isinstance(layer, layers.Dense)).quantize("int8")
    classifier = Classifier(model, SHAPE)
    assert check_parity(classifier, images(8)).largest_probability_difference < 1e-6
    assert not classifier.split().is_affine

"""Splitting: features and head reproduce the model; classes, thresholds, layers are checked."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
from cxr_audit.classifier import Classifier, load_keras
from cxr_audit.errors import ModelError

from tests.classifier.models import corner_detector, images, layers, nested


@pytest.mark.parametrize("head", ["gap", "gmp", "flatten", "mlp"])
@pytest.mark.parametrize(
    ("units", "activation"),
    [(1, "sigmoid"), (2, "softmax"), (4, "softmax"), (3, "sigmoid"), (2, None)],
)
def test_features_then_head_give_the_models_own_scores(
    head: str, units: int, activation: str | None
) -> None:
    model = nested(units, activation, head)
    classifier = Classifier(model, (32, 32, 3))
    batch = images(3)
    expected = model.predict(batch, verbose=0)
    for layer in ("backbone/conv1", "backbone/relu1", "auto"):
        _, _, logits, _ = classifier.split(layer).forward(batch, None)
        if activation is None:
            np.testing.assert_allclose(logits, expected, atol=1e-5)
            continue
        given = [classifier.predict(z, None).class_scores for z in logits]
        scores = [[one[name] for name in classifier.class_names[-units:]] for one in given]
        np.testing.assert_allclose(scores, expected, atol=1e-6)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_saved_model_is_the_same_model(tmp_path: Path, suffix: str) -> None:
    model = nested()
    model.save(tmp_path / f"model{suffix}")
    loaded = Classifier(load_keras(tmp_path / f"model{suffix}"), (32, 32, 3))
    logits = loaded.split().forward(images(2), None)[2]
    np.testing.assert_allclose(
        logits, Classifier(model, (32, 32, 3)).split().forward(images(2), None)[2], atol=1e-6
    )


def test_skip_connection_around_the_split() -> None:
    image = keras.Input((16, 16, 1))
    x = layers.Conv2D(2, 3, padding="same", name="a")(image)
    y = layers.Conv2D(2, 3, padding="same", name="b")(x)
    z = layers.GlobalAveragePooling2D()(layers.Add(name="sum")([x, y]))
    model = keras.Model(image, layers.Dense(1, "sigmoid")(z))
    classifier = Classifier(model, (16, 16, 1))
    split = classifier.split("b")
    assert len(split.sides) == 1
    batch = images(2, (16, 16, 1))
    logits = split.forward(batch, None)[2]
    np.testing.assert_allclose(
        1 / (1 + np.exp(-logits)), model.predict(batch, verbose=0), atol=1e-6
    )
    assert not split.is_affine


def test_a_separate_activation_layer_is_taken_off() -> None:
    image = keras.Input((16, 16, 1))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(3, 3)(image))
    model = keras.Model(image, layers.Activation("softmax")(layers.Dense(2)(x)))
    classifier = Classifier(model, (16, 16, 1))
    assert classifier.output_activation == "softmax"
    assert classifier.split().pooled_weights is not None


def test_a_shared_backbone_gets_numbered_names() -> None:
    shared = layers.Conv2D(1, 3, padding="same", name="shared")
    image = keras.Input((8, 8, 1))
    model = keras.Model(
        image, layers.Dense(1)(layers.GlobalAveragePooling2D()(shared(shared(image))))
    )
    names = [candidate.name for candidate in Classifier(model, (8, 8, 1)).candidates]
    assert names == ["shared", "shared#2"]


def test_the_threshold_decides_and_the_scalar_is_said() -> None:
    classifier = Classifier(nested(), (32, 32, 3), ("NORMAL", "PNEUMONIA"), None, 0.8, "validation")
    prediction = classifier.predict(np.asarray([1.0]), "PNEUMONIA")
    # sigmoid(1) = 0.7311 is below 0.8
    assert prediction.probability == pytest.approx(0.7310586)
    assert prediction.predicted == "NORMAL"
    assert prediction.is_correct is False
    assert prediction.class_scores == pytest.approx({"NORMAL": 0.2689414, "PNEUMONIA": 0.7310586})


def test_the_explained_scalar_of_each_kind_of_output() -> None:
    one = Classifier(nested(1), (32, 32, 3), ("N", "P"))
    assert one.selector("P").tolist() == [1]
    assert one.selector("N").tolist() == [-1]
    two = Classifier(nested(2, "softmax"), (32, 32, 3), ("N", "P"))
    assert two.selector("P").tolist() == [-1, 1]
    assert two.predict(np.asarray([0.5, 2.0]), None).logit == pytest.approx(1.5)
    four = Classifier(nested(4, "softmax"), (32, 32, 3), ("a", "b", "c", "d"))
    assert four.selector("b").tolist() == [0, 1, 0, 0]
    assert four.predict(np.asarray([0.0, 3.0, 1.0, 2.0]), None).predicted == "b"


def test_of_several_labels_the_target_is_predicted_from_its_threshold_on() -> None:
    names = ("Effusion", "Pneumonia", "Mass")
    several = Classifier(nested(3, "sigmoid"), (32, 32, 3), names, "Pneumonia", 0.3, "validation")
    assert several.labels == (*names, "not Pneumonia")
    assert several.selector("not Pneumonia").tolist() == [0, -1, 0]
    # sigmoid(-0.5) = 0.3775 is above 0.3, though Effusion's score is the highest.
    above = several.predict(np.asarray([3.0, -0.5, 0.0]), "Effusion")
    assert (above.predicted, above.expected, above.is_correct) == (
        "Pneumonia",
        "not Pneumonia",
        False,
    )
    assert above.class_scores["not Pneumonia"] == pytest.approx(0.6224593)
    assert (above.threshold, above.threshold_source) == (0.3, "validation")
    # sigmoid(-1) = 0.2689 is below.
    below = several.predict(np.asarray([3.0, -1.0, 0.0]), "Pneumonia")
    assert (below.predicted, below.expected) == ("not Pneumonia", "Pneumonia")
    assert several.predict(np.asarray([0.0, 0.0, 0.0]), None).expected is None


def test_one_class_name_is_enough_for_one_unit() -> None:
    assert Classifier(nested(), (32, 32, 3), ("PNEUMONIA",)).class_names == (
        "not PNEUMONIA",
        "PNEUMONIA",
    )


def test_every_layer_with_a_grid_is_a_candidate_and_auto_is_the_last() -> None:
    classifier = Classifier(nested(), (32, 32, 3))
    assert [c.name for c in classifier.candidates][-3:] == [
        "backbone/add",
        "backbone/relu2",
        "backbone/conv3",
    ]
    assert classifier.candidates[-1].grid == (8, 8)
    assert classifier.split().layer.name == "backbone/conv3"


def test_an_open_input_size_is_measured() -> None:
    image = keras.Input((None, None, 1))
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3, 2, padding="same", name="c")(image))
    assert Classifier(keras.Model(image, layers.Dense(1)(x)), (20, 10, 1)).candidates[0].grid == (
        10,
        5,
    )


def error_of(function, *arguments) -> ModelError:
    with pytest.raises(ModelError) as caught:
        function(*arguments)
    assert caught.value.hint
    return caught.value


def test_a_model_of_another_shape_says_what_to_set() -> None:
    error = error_of(Classifier, nested(), (224, 224, 3))
    assert "takes 32x32x3" in str(error)
    assert error.hint == "set preprocess.rows: 32, preprocess.columns: 32, preprocess.channels: 3"


def test_an_unknown_layer_names_a_near_one() -> None:
    assert "perhaps you meant 'backbone/conv3'" in str(
        error_of(Classifier(nested(), (32, 32, 3)).split, "backbone/conv33")
    )


def test_a_pooled_layer_has_no_grid() -> None:
    assert "has no grid of cells" in str(error_of(Classifier(nested(), (32, 32, 3)).split, "gap"))


def test_an_unknown_class_names_a_near_one() -> None:
    error = error_of(Classifier, nested(), (32, 32, 3), ("NORMAL", "PNEUMONIA"), "PNEUMONA")
    assert "perhaps you meant 'PNEUMONIA'" in str(error)


@pytest.mark.parametrize("names", [("a", "b", "c"), ()])
def test_a_wrong_number_of_class_names(names: tuple[str, ...]) -> None:
    model = nested(2, "softmax")
    if names:
        assert "has 2 output units, but classifier.class_names has 3 names" in str(
            error_of(Classifier, model, (32, 32, 3), names)
        )
    else:
        assert Classifier(model, (32, 32, 3)).class_names == ("class 0", "class 1")


def test_a_threshold_for_many_classes_is_refused() -> None:
    assert "predicts the largest score" in str(
        error_of(Classifier, nested(4, "softmax"), (32, 32, 3), (), None, 0.4)
    )


def test_two_inputs_are_refused_by_name() -> None:
    a, b = keras.Input((8, 8, 1), name="image"), keras.Input((3,), name="age")
    x = layers.Concatenate()([layers.Flatten()(layers.Conv2D(1, 3)(a)), b])
    error = error_of(Classifier, keras.Model([a, b], layers.Dense(1)(x)), (8, 8, 1))
    assert "image" in str(error)


def test_no_convolution_and_no_grid() -> None:
    image = keras.Input((8, 8, 1))
    dense = keras.Model(image, layers.Dense(1)(layers.Flatten()(image)))
    assert "has no convolution" in str(error_of(Classifier(dense, (8, 8, 1)).split))
    whole = keras.Model(image, layers.Dense(1)(layers.Flatten()(layers.Conv2D(1, 8)(image))))
    assert "has a grid larger than 1x1" in str(error_of(Classifier(whole, (8, 8, 1)).split))


def test_an_output_with_another_activation_is_asked_about() -> None:
    classifier = Classifier(nested(1, "tanh"), (32, 32, 3))
    assert "'tanh'" in str(error_of(classifier.output.require_answer))


def test_property_9_a_corner_detector_puts_everything_in_its_corner() -> None:
    from cxr_audit.explain import Explainer

    classifier = Classifier(corner_detector(), (16, 16, 1))
    explainer = Explainer(classifier, ("hirescam",))
    batch = images(1, (16, 16, 1)) + 0.5
    (class_map,) = explainer.explain(batch, [None]).maps[0]
    assert class_map.values[0, 0] == pytest.approx(3 * batch[0, :4, :4].mean(), rel=1e-5)
    assert np.abs(class_map.values).sum() == pytest.approx(abs(class_map.values[0, 0]))
    masked = batch.copy()
    masked[0, :4, :4] = 0
    assert explainer.explain(masked, [None]).logits[0, 0] == pytest.approx(-1)
    assert class_map.facts.bias == -1

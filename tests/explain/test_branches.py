"""Models of several branches: the map of every branch, put together; never silently the last's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from cxr_audit.classifier import Classifier, check_parity, load_keras
from cxr_audit.errors import ModelError
from cxr_audit.explain import Explainer

from tests.classifier.models import images, layers, small_backbone

ZOO = Path(__file__).parent.parent / "classifier" / "zoo"
SHAPE = (32, 32, 3)


def opened(name: str) -> Classifier:
    model = load_keras(ZOO / f"{name}.keras")
    return Classifier(model, tuple(model.input_shape[1:]))


def randomised(model: keras.Model, seed: int = 3) -> keras.Model:
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        if "variance" not in weight.path:
            weight.assign(rng.normal(0, 0.3, weight.shape))
    return model


def explained(classifier: Classifier, batch: np.ndarray, method: str = "hirescam") -> Any:
    return Explainer(classifier, (method,)).explain(batch, [None] * len(batch))


def test_an_ensemble_in_logits_is_the_sum_of_its_members_maps() -> None:
    """The mean of two members' logits: half of each one's own map, and the whole logit in the cells
    and the bias.
    """
    image = keras.Input(SHAPE)
    members = [randomised(small_backbone(name=f"member{n}"), n) for n in range(2)]
    dense = [layers.Dense(1, name=f"logit{n}") for n in range(2)]
    pool = layers.GlobalAveragePooling2D()
    logits = [head(pool(member(image))) for head, member in zip(dense, members, strict=True)]
    average = layers.Average()(logits)
    classifier = Classifier(keras.Model(image, layers.Activation("sigmoid")(average)), SHAPE)
    batch = images(3)
    result = explained(classifier, batch)
    expected = np.zeros((3, 8, 8))
    for member, head in zip(members, dense, strict=True):
        activations = np.asarray(member(batch), np.float64)
        kernel = np.asarray(head.kernel, np.float64)[:, 0]
        expected += activations @ kernel / 64 / 2
    for n, (class_map,) in enumerate(result.maps):
        np.testing.assert_allclose(class_map.values, expected[n], atol=1e-5)
        facts = class_map.facts
        assert facts.is_exact
        assert set(facts.layer.split(" + ")) == {"member0/conv3", "member1/conv3"}
        assert facts.how.code == "explain.branches"
        shares = [branch["values"]["share"] for branch in facts.how.values["branches"]]
        assert sum(shares) == pytest.approx(1)
        total = class_map.values.sum(dtype=np.float64) + facts.bias
        assert total == pytest.approx(result.logits[n, 0], abs=1e-4)


def test_a_strangers_ensemble_of_probabilities_has_every_member_in_its_map() -> None:
    """Of log(p / (1 - p)) with p the mean of three sigmoids: the chain rule by hand."""
    classifier = opened("ensemble3")
    batch = images(2, classifier.input_shape)
    result = explained(classifier, batch)
    (class_map,) = result.maps[0]
    assert class_map.facts.layer.count("+") == 2
    assert class_map.facts.gap is not None
    assert not class_map.facts.is_exact
    members = [classifier.model.get_layer(f"net{n}") for n in range(3)]
    scores = [float(member.predict(batch[:1], verbose=0)[0, 0]) for member in members]
    mean = np.mean(scores)
    expected = np.zeros((8, 8))
    for member, score in zip(members, scores, strict=True):
        inner = keras.Model(member.inputs, member.layers[-3].output)
        kernel = member.layers[-1].get_weights()[0][:, 0].astype(np.float64)
        logits = inner.predict(batch[:1], verbose=0)[0].astype(np.float64) @ kernel / 64
        expected += logits * score * (1 - score) / 3 / (mean * (1 - mean))
    np.testing.assert_allclose(class_map.values, expected, atol=1e-5)


def test_scales_are_put_on_the_finest_grid_and_add_up() -> None:
    classifier = opened("multiscale")
    batch = images(3, classifier.input_shape)
    result = explained(classifier, batch)
    selectors = np.ones((3, 1), np.float32)
    coarse = classifier.split("conv2d_65").forward(batch, selectors)
    fine_layer = classifier.model.get_layer("conv2d_63").output
    fine = keras.Model(classifier.model.inputs, fine_layer).predict(batch, verbose=0)
    kernel = classifier.model.layers[-1].get_weights()[0][:, 0]
    for n, (class_map,) in enumerate(result.maps):
        assert class_map.values.shape == (32, 32)
        assert class_map.facts.is_exact
        total = class_map.values.sum(dtype=np.float64) + class_map.facts.bias
        assert total == pytest.approx(result.logits[n, 0], rel=1e-4)
        rest = class_map.values - fine[n] @ kernel[:16] / 32**2
        # What the coarse branch brings lies evenly in the fine cells of each of its cells.
        of_coarse = (np.asarray(coarse[0])[n] * coarse[3][n]).sum(-1)
        assert rest.sum() == pytest.approx(of_coarse.sum(), rel=1e-3)
        np.testing.assert_allclose(rest[6, 6], rest[7, 8], atol=1e-6)


def test_a_flipped_second_look_lies_where_it_looked() -> None:
    """Test-time augmentation: a backbone asked for the image and for its mirror image. A cue at the
    left is found at the left by both, and the map of a symmetric pair is the plain map.
    """
    image = keras.Input((32, 32, 1))
    conv = layers.Conv2D(1, 3, 4, padding="same", kernel_initializer="ones", name="conv")
    pool = layers.GlobalAveragePooling2D()
    looks = [pool(conv(image)), pool(conv(keras.ops.flip(image, 2)))]
    dense = layers.Dense(1, kernel_initializer="ones", name="logit")
    mean = layers.Average()(looks)
    classifier = Classifier(
        keras.Model(image, layers.Activation("sigmoid")(dense(mean))), (32, 32, 1)
    )
    batch = np.zeros((1, 32, 32, 1), np.float32)
    batch[0, 9, 5] = 1
    (class_map,) = explained(classifier, batch).maps[0]
    assert class_map.facts.layer == "conv + conv#2"
    row, column = np.unravel_index(class_map.values.argmax(), (8, 8))
    assert (row, column) == (2, 1)
    assert class_map.values[:, 4:].sum() == 0


def test_branches_that_see_different_parts_are_asked_about() -> None:
    image = keras.Input(SHAPE)
    pool = layers.GlobalAveragePooling2D()
    upper = layers.Conv2D(2, 3, 4, name="upper")(layers.Cropping2D(((0, 16), (0, 0)))(image))
    lower = layers.Conv2D(2, 3, 4, name="lower")(layers.Cropping2D(((16, 0), (0, 0)))(image))
    both = layers.Concatenate()([pool(upper), pool(lower)])
    classifier = Classifier(keras.Model(image, layers.Dense(1, "sigmoid")(both)), SHAPE)
    with pytest.raises(ModelError, match="no grid in common") as caught:
        Explainer(classifier)
    assert "upper" in str(caught.value.hint)
    (class_map,) = Explainer(classifier, ("hirescam",), "lower").explain(images(1), [None]).maps[0]
    assert class_map.facts.how.code == "explain.other_paths"


@pytest.mark.parametrize("method", ["grad-cam", "layercam", "grad-cam++", "eigen-cam", "score-cam"])
def test_every_method_takes_all_branches(method: str) -> None:
    classifier = opened("multiscale")
    batch = images(1, classifier.input_shape)
    (class_map,) = explained(classifier, batch, method).maps[0]
    assert class_map.values.shape == (32, 32)
    assert np.isfinite(class_map.values).all()
    assert check_parity(classifier, batch).largest_output_difference < 1e-5


def test_grad_cam_of_several_scales_is_the_sum_of_each_scales_own() -> None:
    """For a pooling head Grad-CAM is HiResCAM, on every grid."""
    classifier = opened("multiscale")
    batch = images(1, classifier.input_shape)
    (grad_cam,), (hirescam,) = (
        explained(classifier, batch, method).maps[0] for method in ("grad-cam", "hirescam")
    )
    np.testing.assert_allclose(grad_cam.values, hirescam.values, atol=1e-6)


def test_the_name_of_the_branches_is_a_target_layer_as_well() -> None:
    classifier = opened("ensemble3")
    name = classifier.split().layer.name
    assert Explainer(classifier, target_layer=name).only_first().target.layer.name == name

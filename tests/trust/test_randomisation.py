"""Property 6: the map changes with the weights; every weight changes; an explanation that
ignores them fails."""

from __future__ import annotations

import random

import cv2
import keras
import numpy as np
import pytest
from cxr_audit.classifier import Classifier
from cxr_audit.explain import Explainer
from cxr_audit.trust import randomisation
from cxr_audit.trust.randomisation import randomise, untrained
from cxr_audit.trust.similarity import ssim
from cxr_audit.vocabulary import Message, message

from tests.classifier.models import layers, nested

SHAPE = (32, 32, 3)


def chests(num: int, common: float = 4, places: int = 1) -> np.ndarray:
    """Smooth images that share a build, each with bright places of its own.

    Parameters
    ----------
    num : of images.
    common : how strong the shared build is: how alike maps of two cases are.
    places : own bright places; of several, each is bright or dark.
    """
    rng = np.random.default_rng(0)
    build = cv2.GaussianBlur(rng.random((32, 32)).astype(np.float32), (0, 0), 3) * common
    images = []
    for _ in range(num):
        own = np.zeros((32, 32), np.float32)
        for _ in range(places):
            sign = rng.choice([1, -1]) if places > 1 else 1
            own[tuple(rng.integers(4, 28, 2))] = 40 * sign
        images.append(build + cv2.GaussianBlur(own, (0, 0), 3))
    return np.repeat(np.stack(images)[..., None], 3, 3).astype(np.float32)


@pytest.mark.parametrize("head", ["gap", "flatten", "mlp"])
def test_a_map_of_the_classifier_passes_and_the_classifier_stays_as_it_was(head: str) -> None:
    model = nested(head=head)
    before = model.get_weights()
    explainer, inputs = Explainer(Classifier(model, SHAPE)), chests(16, common=1, places=3)
    maps = [m[0].values for m in explainer.explain(inputs, [None] * 16).maps]
    state = random.getstate()
    found = randomise(explainer, inputs, 4, seed=1)
    assert (found.check.state, found.check.reason) == ("passed", None)
    assert found.check.value == found.stages[-1].ssim < 1
    assert random.getstate() == state
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(maps, explainer.explain(inputs, [None] * 16).maps, strict=True):
        np.testing.assert_array_equal(old, new[0].values)


def test_a_limit_that_no_similarity_can_reach_is_not_run() -> None:
    """Maps of different cases are so alike that the limit is above 1, the largest SSIM there is."""
    check = randomise(
        Explainer(Classifier(nested(head="mlp"), SHAPE)), chests(8, common=1, places=3), 8, seed=1
    ).check
    assert isinstance(check.reason, Message)
    assert (check.state, check.reason.code) == ("not_run", "trust.cannot_fail")
    assert check.reason.values["limit"] >= 1


def test_the_cascade_goes_from_the_head_to_the_first_layer_over_every_layer_with_weights() -> None:
    explainer = Explainer(Classifier(nested(), SHAPE))
    stages = randomise(explainer, chests(8), 8, seed=1).stages
    assert [stage.layer for stage in stages] == [
        *("output", "backbone/conv3", "backbone/conv2", "backbone/norm1", "backbone/conv1")
    ]
    assert [stage.num_layers for stage in stages] == [1, 2, 3, 4, 5]


def test_the_same_seed_gives_the_same_check_whatever_the_batch() -> None:
    explainer = Explainer(Classifier(nested(), SHAPE))
    first, second = (randomise(explainer, chests(6), size, seed=3) for size in (6, 4))
    assert first.check.value == pytest.approx(second.check.value, abs=1e-4)
    assert first.check.value != pytest.approx(
        randomise(explainer, chests(6), 6, seed=4).check.value, abs=1e-4
    )


@pytest.mark.parametrize("control", ["edges", "centre"])
def test_an_explanation_that_ignores_the_weights_fails(control: str) -> None:
    check = randomise(
        Explainer(Classifier(nested(), SHAPE), (control,)), chests(8), 8, seed=1
    ).check
    assert check.state == "failed"
    assert check.value == pytest.approx(1, abs=1e-5)
    assert check.reason is not None


def test_every_weight_of_every_kind_of_layer_is_made_anew() -> None:
    """1x1, depthwise and separable convolutions, moving means, a shared layer, a frozen one, a
    nested backbone."""
    shared = layers.Conv2D(4, 1, name="shared", bias_initializer="random_normal")
    inner_image = keras.Input((16, 16, 4))
    inner = layers.DepthwiseConv2D(3, padding="same", name="depthwise")(inner_image)
    inner = layers.BatchNormalization(name="norm")(
        layers.SeparableConv2D(4, 3, padding="same", name="separable")(inner)
    )
    inner = layers.PReLU(alpha_initializer="random_uniform", name="prelu")(inner)
    image = keras.Input((16, 16, 3))
    x = layers.Normalization(mean=0.5, variance=2.0, name="inputs")(image)
    x = shared(shared(layers.Conv2D(4, 1, name="one_by_one", trainable=False)(x)))
    x = layers.GlobalAveragePooling2D()(keras.Model(inner_image, inner, name="backbone")(x))
    model = keras.Model(image, layers.Dense(2, "softmax", name="output")(x))
    rng = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(rng.uniform(0.1, 1, weight.shape))
    classifier = Classifier(model, (16, 16, 3))
    operations = {id(step.operation): step.operation for step in classifier.graph.steps}
    changed = untrained(classifier, seed=0)
    names = {step.name for step in classifier.graph.steps if id(step.operation) in changed}
    assert names == {
        *("one_by_one", "shared", "shared#2", "output"),
        *(f"backbone/{name}" for name in ("depthwise", "separable", "norm", "prelu")),
    }
    num = 0
    for key, fresh in changed.items():
        assert fresh is not operations[key]
        for old, new in zip(operations[key].weights, fresh.weights, strict=True):
            assert old.shape == new.shape
            assert not np.any(np.asarray(old) == np.asarray(new)), old.path
            num += 1
    assert num == sum(
        len(layer.weights)
        for layer in {id(o): o for o in operations.values()}.values()
        if hasattr(layer, "weights")
    )


def test_the_closed_form_of_a_pooling_head_uses_the_new_weights() -> None:
    classifier = Classifier(nested(), SHAPE)
    explainer, batch = Explainer(classifier), chests(2)
    assert explainer.target.pooled_weights is not None  # read, and kept
    head = {
        key: new
        for key, new in untrained(classifier, 0).items()
        if hasattr(new, "kernel") and new.kernel.ndim == 2
    }
    other = explainer.only_first(classifier.exchanged(head))
    features = np.asarray(explainer.target.forward(batch, None)[0])
    kernel = np.asarray(next(iter(head.values())).kernel)[:, 0]
    for n, maps in enumerate(other.explain(batch, [None] * 2).maps):
        np.testing.assert_allclose(
            maps[0].values, features[n] @ kernel / features[n, ..., 0].size, rtol=1e-4, atol=1e-6
        )


def test_a_control_that_does_otherwise_breaks_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    explainer = Explainer(Classifier(nested(), SHAPE))
    monkeypatch.setattr(
        randomisation, "_limit", lambda alike, pairs: 2.0
    )  # a limit that lets everything through
    through = randomise(explainer, chests(6), 6, seed=1).check
    assert through.state == "not_run"
    control_passed = message("trust.control_passed", control="edges")
    assert through.reason == message("trust.broken", reasons=[control_passed])
    monkeypatch.setattr(
        randomisation, "_limit", lambda alike, pairs: -2.0
    )  # and one that lets nothing through
    nothing = randomise(explainer, chests(6), 6, seed=1).check
    assert nothing.state == "not_run"
    control_failed = message("trust.control_failed")
    assert nothing.reason == message("trust.broken", reasons=[control_failed])


def test_the_limit_is_what_pairs_share_and_two_standard_errors() -> None:
    """Of the pairs of a, b, c each case's mean is known from `ssim` alone. A map with itself has
    1."""
    a, b, c = (np.random.default_rng(n).random((6, 6)).astype(np.float32) for n in range(3))
    ab, ac, bc = (float(ssim(x[None], y[None])[0]) for x, y in ((a, b), (a, c), (b, c)))
    pairs = np.array([(ab + ac) / 2, (ab + bc) / 2, (ac + bc) / 2])
    more = 1 - pairs
    error = np.sqrt(((more - more.mean()) ** 2).sum() / 2 / 3)
    own = np.stack([a, b, c])
    np.testing.assert_allclose(randomisation._with_others(own), pairs, atol=1e-12)
    assert randomisation._limit(np.ones(3), pairs) == pytest.approx(pairs.mean() + 2 * error)
    for other in (own, -own):  # a map against is as alike as one for
        np.testing.assert_allclose(randomisation._alike(ssim, own, other), 1)


def test_pairs_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of maps of one cell, alike by their product: 1, 2, 4 have 2, 4 and 8. Each pair is asked
    for once."""
    asked: list[float] = []

    def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        asked.extend((a * b).ravel())
        return np.asarray((a * b).sum((-2, -1)))

    monkeypatch.setattr(randomisation, "ssim", product)
    pairs = randomisation._with_others(np.array([1, 2, 4], np.float32).reshape(3, 1, 1))
    assert sorted(asked) == [2, 4, 8]
    assert pairs.tolist() == [3, 5, 6]
    # Alike by 4, 5, 9: 1, 0 and 3 more than others, their standard deviation the root of 7 / 3.
    assert randomisation._limit(np.array([4.0, 5.0, 9.0]), pairs) == pytest.approx(
        14 / 3 + 2 * (7 / 9) ** 0.5
    )


def test_dead_maps_and_small_samples_are_not_run_with_the_reason() -> None:
    model = nested()
    model.get_layer("output").set_weights([np.zeros((8, 1)), np.asarray([2.0])])
    dead = randomise(Explainer(Classifier(model, SHAPE)), chests(6), 6, seed=0).check
    assert (dead.state, dead.value) == ("not_run", None)
    assert dead.reason == message("trust.too_few", num=0, total=6, needed=4)
    few = randomise(Explainer(Classifier(nested(), SHAPE)), chests(3), 6, seed=0).check
    assert few.reason == message("trust.too_few", num=3, total=3, needed=4)

"""Properties of `explanations.md`, named by their number, and methods against plain NumPy."""

from __future__ import annotations

import resource
from pathlib import Path

import keras
import numpy as np
import pytest

from pipeline.classifier import Classifier, load_keras
from pipeline.explain import METHODS, Explainer
from tests.classifier.models import images, layers, nested

SHAPE = (32, 32, 3)


def first_maps(explainer: Explainer, batch: np.ndarray) -> np.ndarray:
    return np.stack([maps[0].values for maps in explainer.explain(batch, [None] * len(batch)).maps])


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_property_1_nested_inception_resnet_equals_its_flat_twin(tmp_path: Path, suffix: str) -> None:
    keras.utils.set_random_seed(1)
    backbone = keras.applications.InceptionResNetV2(weights=None, include_top=False, input_shape=(107, 107, 3))
    tail = [layers.GlobalAveragePooling2D(), layers.Dropout(0.3), layers.Dense(1, "sigmoid")]
    model = keras.Sequential([keras.Input((107, 107, 3)), backbone, *tail])
    model.save(tmp_path / f"m{suffix}")
    x = backbone.output
    for layer in tail:
        x = layer(x)
    flat = keras.Model(backbone.input, x)
    batch = images(2, (107, 107, 3))
    explain = [
        first_maps(Explainer(Classifier(m, (107, 107, 3))), batch) for m in (load_keras(tmp_path / f"m{suffix}"), flat)
    ]
    assert np.abs(explain[0]).max() > 0
    np.testing.assert_allclose(explain[0], explain[1], atol=1e-5)


@pytest.mark.parametrize("head", ["gap", "flatten", "mlp"])
def test_property_2_a_shift_of_the_logit_leaves_the_map(head: str) -> None:
    model = nested(head=head)
    before = Explainer(Classifier(model, SHAPE)).explain(images(2), [None, None])
    kernel, bias = model.get_layer("output").get_weights()
    for shift in (5, 20, 40):
        model.get_layer("output").set_weights([kernel, bias + shift])
        after = Explainer(Classifier(model, SHAPE)).explain(images(2), [None, None])
        np.testing.assert_allclose(after.logits, before.logits + shift, rtol=1e-5)
        for old, new in zip(before.maps, after.maps, strict=True):
            np.testing.assert_allclose(new[0].values, old[0].values, atol=1e-6)
            assert new[0].facts.status == old[0].facts.status == "ok"


@pytest.mark.parametrize(("head", "method"), [("gap", "grad-cam"), ("gap", "hirescam"), ("flatten", "hirescam")])
@pytest.mark.parametrize(("units", "activation"), [(1, "sigmoid"), (2, "softmax"), (4, "softmax")])
def test_property_3_the_signed_map_and_the_bias_are_the_logit(
    head: str, method: str, units: int, activation: str
) -> None:
    model = nested(units, activation, head)
    classifier = Classifier(model, SHAPE)
    batch = images(3)
    result = Explainer(classifier, (method,), classes=classifier.class_names).explain(batch, [None] * 3)
    scores = model.predict(batch, verbose=0).astype(np.float64)
    for n in range(3):
        for class_map in result.maps[n]:
            facts, values = class_map.facts, class_map.values
            index = classifier.class_names.index(facts.class_name)
            if units == 1:  # from the model's own probability, not from our logits
                expected = np.log(scores[n, 0] / (1 - scores[n, 0])) * (1 if index else -1)
            elif units == 2:
                expected = np.log(scores[n, index] / scores[n, 1 - index])
            else:
                expected = result.logits[n, index]
            assert facts.is_exact
            assert values.sum(dtype=np.float64) + facts.bias == pytest.approx(expected, abs=1e-4)


def test_a_head_that_is_not_affine_promises_nothing() -> None:
    (class_map,) = Explainer(Classifier(nested(head="mlp"), SHAPE), ("hirescam",)).explain(images(1), [None]).maps[0]
    assert not class_map.facts.is_exact
    assert class_map.facts.bias is None


def test_property_5_and_12_dead_saturated_and_constant_models_get_a_status() -> None:
    model = nested()
    model.get_layer("output").set_weights([np.zeros((8, 1)), np.asarray([2.0])])
    (constant,) = Explainer(Classifier(model, SHAPE)).explain(images(1), [None]).maps[0]
    assert constant.facts.status == "saturated"  # activations without any gradient
    dead = nested()
    for weight in dead.layers[0].get_layer("conv3").weights:
        weight.assign(np.zeros(weight.shape))
    (nothing,) = Explainer(Classifier(dead, SHAPE)).explain(images(1), [None]).maps[0]
    assert nothing.facts.status == "dead"
    negative = nested()
    negative.get_layer("output").set_weights([-np.ones((8, 1)), np.zeros(1)])
    (against,) = Explainer(Classifier(negative, SHAPE)).explain(images(1), [None]).maps[0]
    assert against.facts.status == "negative_only"


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_property_12_a_constant_image_is_explained_without_nan(value: float) -> None:
    result = Explainer(Classifier(nested(), SHAPE), tuple(METHODS)).explain(
        np.full((1, *SHAPE), value, np.float32), [None]
    )
    assert all(np.isfinite(class_map.values).all() for class_map in result.maps[0])


def test_an_answer_that_is_not_finite_gets_a_status() -> None:
    model = nested()
    model.get_layer("output").set_weights([np.ones((8, 1)), np.asarray([np.inf])])
    ((class_map,),) = Explainer(Classifier(model, SHAPE)).explain(images(1), [None]).maps
    assert class_map.facts.status == "not_finite"
    assert class_map.facts.bias is None


@pytest.mark.parametrize("head", ["gap", "mlp"])
def test_property_7_a_batch_of_mixed_classes_equals_the_single_cases(head: str) -> None:
    classifier = Classifier(nested(4, "softmax", head), SHAPE, ("a", "b", "c", "d"))
    explainer = Explainer(classifier)
    batch = images(6)
    labels = ["a", "b", "c", "d", "a", None]
    together = explainer.explain(batch, labels)
    assert {len(maps) for maps in together.maps} != {1}
    for n in range(6):
        alone = explainer.explain(batch[n : n + 1], labels[n : n + 1])
        assert [m.facts.key for m in together.maps[n]] == [m.facts.key for m in alone.maps[0]]
        for one, other in zip(together.maps[n], alone.maps[0], strict=True):
            np.testing.assert_allclose(one.values, other.values, atol=1e-6)
    order = [3, 0, 5, 1, 4, 2]
    shuffled = explainer.explain(batch[order], [labels[n] for n in order])
    for place, n in enumerate(order):
        np.testing.assert_allclose(shuffled.maps[place][0].values, together.maps[n][0].values, atol=1e-6)


@pytest.mark.slow
def test_property_8_many_batches_one_trace_and_no_growth() -> None:
    explainer = Explainer(Classifier(nested(head="mlp"), SHAPE))
    batch = images(4)
    for _ in range(50):
        explainer.explain(batch, [None] * 4)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(450):
        explainer.explain(batch, [None] * 4)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss <= 1.02 * before
    assert explainer.target._with_gradients.experimental_get_tracing_count() == 1


def test_a_wrong_prediction_adds_the_maps_of_both_classes() -> None:
    classifier = Classifier(nested(4, "softmax"), SHAPE, ("a", "b", "c", "d"))
    batch = images(1)
    predicted = classifier.predict(classifier.split().forward(batch, None)[2][0], None).predicted
    expected = next(name for name in "abc" if name != predicted)
    maps = Explainer(classifier).explain(batch, [expected]).maps[0]
    shown = {m.facts.class_name for m in maps}
    assert {predicted, expected} <= shown
    right = Explainer(classifier).explain(batch, [predicted]).maps[0]
    assert len(right) == 1


def test_further_layers_and_methods_have_keys_and_grids() -> None:
    explainer = Explainer(Classifier(nested(), SHAPE), ("grad-cam", "layercam"), layers=("backbone/relu1",))
    maps = explainer.explain(images(1), [None]).maps[0]
    assert [m.facts.key for m in maps] == ["grad-cam", "layercam", "grad-cam@backbone/relu1"]
    assert maps[2].values.shape == (16, 16)


# Property 10: independent references, written as loops from the papers' formulas.


def numerical_gradients(explainer: Explainer, features: np.ndarray) -> np.ndarray:
    """dy/dA by central differences through the head."""
    split, gradients = explainer.target, np.zeros_like(features, np.float64)
    for index in np.ndindex(*features.shape):
        step = np.zeros_like(features)
        step[index] = 1e-2
        high, low = (np.asarray(split._head_steps(features + s, ()))[0, 0] for s in (step, -step))
        gradients[index] = (high - low) / 2e-2
    return gradients


def test_property_10_gradients_agree_with_differences() -> None:
    explainer = Explainer(Classifier(nested(head="flatten"), SHAPE))
    features, _, _, gradients = explainer.target.forward(images(1), np.ones((1, 1), np.float32))
    np.testing.assert_allclose(gradients, numerical_gradients(explainer, np.asarray(features)), atol=2e-3)


def first_right_singular_vector(cells: np.ndarray) -> np.ndarray:
    """By power iteration; of the two signs the one under which the projections sum to a positive number."""
    v = np.ones(cells.shape[1])
    for _ in range(500):
        v = cells.T.astype(float) @ (cells @ v)
        v /= np.linalg.norm(v)
    return v if (cells @ v).sum() >= 0 else -v


@pytest.mark.parametrize("method", list(METHODS))
def test_property_10_methods_agree_with_loops(method: str) -> None:
    rng = np.random.default_rng(3)
    activations = np.maximum(rng.normal(size=(2, 4, 5, 3)), 0).astype(np.float32)
    gradients = rng.normal(size=(2, 4, 5, 3)).astype(np.float32)
    activations[..., 2] = 0  # a dead channel
    gradients[0, 0, 0] = 0
    expected = np.zeros((2, 4, 5))
    for n, i, j, k in np.ndindex(2, 4, 5, 3):
        a, g = activations[n, :, :, k].astype(float), gradients[n, :, :, k].astype(float)
        if method == "hirescam":
            weight = g[i, j]
        elif method == "layercam":
            weight = max(g[i, j], 0)
        elif method == "grad-cam":
            weight = sum(g.ravel()) / 20
        elif method == "eigen-cam":
            weight = first_right_singular_vector(activations[n].reshape(20, 3))[k]
        elif method == "xgrad-cam":
            weight = sum((a * g).ravel()) / a.sum() if a.sum() else 0
        else:
            weight = 0.0
            for value in g.ravel():
                bottom = 2 * value**2 + a.sum() * value**3
                weight += (value**2 / bottom if value and bottom else 0) * max(value, 0)
        expected[n, i, j] += weight * a[i, j]
    np.testing.assert_allclose(METHODS[method](activations, gradients), expected, rtol=1e-4, atol=1e-5)


def test_all_methods_agree_on_global_average_pooling() -> None:
    """There Grad-CAM = XGrad-CAM = HiResCAM (explanations.md, "Features and head")."""
    maps = (
        Explainer(Classifier(nested(), SHAPE), ("grad-cam", "xgrad-cam", "hirescam")).explain(images(1), [None]).maps[0]
    )
    for other in maps[1:]:
        np.testing.assert_allclose(other.values, maps[0].values, atol=1e-6)

"""Properties of `explanations.md`, named by their number, and methods against plain NumPy."""

from __future__ import annotations

import resource
from pathlib import Path

import keras
import numpy as np
import pytest
from cxr_audit import focus
from cxr_audit.classifier import Classifier, load_keras
from cxr_audit.errors import ModelError
from cxr_audit.explain import CONTROLS, Explainer, Probing
from cxr_audit.explain.methods import FUNCTIONS
from cxr_audit.preprocess import cell_shares, place, region_shares
from cxr_audit.records import ClassActivationMap

from tests.classifier.models import images, layers, nested

SHAPE = (32, 32, 3)
PROBES = ("score-cam", "integrated-gradients", "smoothgrad")
EVERYTHING = (*FUNCTIONS, "layercam-fused", *PROBES, *CONTROLS)
QUICK = Probing(steps=8)


def first_maps(explainer: Explainer, batch: np.ndarray) -> np.ndarray:
    return np.stack([maps[0].values for maps in explainer.explain(batch, [None] * len(batch)).maps])


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_property_1_nested_inception_resnet_equals_its_flat_twin(
    tmp_path: Path, suffix: str
) -> None:
    keras.utils.set_random_seed(1)
    backbone = keras.applications.InceptionResNetV2(
        weights=None, include_top=False, input_shape=(107, 107, 3)
    )
    tail = [layers.GlobalAveragePooling2D(), layers.Dropout(0.3), layers.Dense(1, "sigmoid")]
    model = keras.Sequential([keras.Input((107, 107, 3)), backbone, *tail])
    model.save(tmp_path / f"m{suffix}")
    x = backbone.output
    for layer in tail:
        x = layer(x)
    flat = keras.Model(backbone.input, x)
    batch = images(2, (107, 107, 3))
    explain = [
        first_maps(Explainer(Classifier(m, (107, 107, 3))), batch)
        for m in (load_keras(tmp_path / f"m{suffix}"), flat)
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


def test_a_wrong_answer_of_several_labels_is_explained_from_both_sides() -> None:
    classifier = Classifier(nested(3, "sigmoid"), SHAPE, ("a", "b", "c"), "b", 1e-6)
    first, *further = Explainer(classifier).explain(images(1), ["c"]).maps[0]
    (against,) = (one for one in further if one.facts.class_name == "not b")
    assert first.facts.class_name == "b"
    np.testing.assert_array_equal(against.values, -first.values)


@pytest.mark.parametrize(
    ("head", "method"), [("gap", "grad-cam"), ("gap", "hirescam"), ("flatten", "hirescam")]
)
@pytest.mark.parametrize(("units", "activation"), [(1, "sigmoid"), (2, "softmax"), (4, "softmax")])
def test_property_3_the_signed_map_and_the_bias_are_the_logit(
    head: str, method: str, units: int, activation: str
) -> None:
    model = nested(units, activation, head)
    classifier = Classifier(model, SHAPE)
    batch = images(3)
    result = Explainer(classifier, (method,), classes=classifier.class_names).explain(
        batch, [None] * 3
    )
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
    (class_map,) = (
        Explainer(Classifier(nested(head="mlp"), SHAPE), ("hirescam",))
        .explain(images(1), [None])
        .maps[0]
    )
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


def every_map(model: keras.Model, batch: np.ndarray) -> dict[str, ClassActivationMap]:
    explainer = Explainer(
        Classifier(model, SHAPE), EVERYTHING, layers=("backbone/relu1",), probing=QUICK
    )
    return {
        class_map.facts.key: class_map for class_map in explainer.explain(batch, [None]).maps[0]
    }


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_property_12_a_constant_image_is_explained_without_nan(value: float) -> None:
    maps = every_map(nested(), np.full((1, *SHAPE), value, np.float32))
    assert all(np.isfinite(class_map.values).all() for class_map in maps.values())
    assert maps["edges"].facts.status == "dead"
    if value == 0:  # the input is the baseline: nothing to attribute
        assert maps["integrated-gradients"].facts.status == "dead"
        assert maps["integrated-gradients"].facts.gap == pytest.approx(0, abs=1e-6)


def test_property_12_a_constant_output_gets_a_status_from_every_method() -> None:
    model = nested()
    model.get_layer("output").set_weights([np.zeros((8, 1)), np.asarray([2.0])])
    maps = every_map(model, images(1))
    lost = {
        "grad-cam",
        "hirescam",
        "grad-cam++",
        "layercam",
        "xgrad-cam",
        "grad-cam@backbone/relu1",
    }
    assert {key for key, one in maps.items() if one.facts.status == "saturated"} == lost
    assert {key for key, one in maps.items() if one.facts.status == "dead"} == {
        "layercam-fused",
        "integrated-gradients",
        "smoothgrad",
    }


def test_weights_that_are_not_finite_get_a_status_from_every_method() -> None:
    model = nested()
    kernel, bias = model.get_layer("output").get_weights()
    model.get_layer("output").set_weights([kernel * np.nan, bias])
    maps = every_map(model, images(1))
    asked = {key: one.facts for key, one in maps.items() if key not in CONTROLS}
    assert {facts.status for facts in asked.values()} == {"not_finite"}
    assert {facts.gap for facts in asked.values()} == {None}


def test_a_mixed_precision_model_gets_float32_maps() -> None:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        maps = every_map(nested(), images(1))
    finally:
        keras.config.set_dtype_policy(policy)
    assert all(
        one.values.dtype == np.float32 and np.isfinite(one.values).all() for one in maps.values()
    )
    assert maps["grad-cam"].facts.status == "ok"


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
    for at, n in enumerate(order):
        np.testing.assert_allclose(
            shuffled.maps[at][0].values, together.maps[n][0].values, atol=1e-6
        )


@pytest.mark.parametrize("method", [*PROBES, "random"])
def test_property_7_a_case_does_not_depend_on_its_place(method: str) -> None:
    """Neither on who stands beside it; a place without a case gets nothing."""
    explainer = Explainer(Classifier(nested(), SHAPE), (method,), probing=QUICK)
    batch = images(3)
    together = explainer.explain(batch, [None] * 3).maps
    turned = explainer.explain(batch[::-1].copy(), [None] * 3, [True, False, True]).maps
    np.testing.assert_allclose(turned[0][0].values, together[2][0].values, atol=1e-6)
    np.testing.assert_allclose(turned[2][0].values, together[0][0].values, atol=1e-6)
    assert turned[1] == ()


def test_property_8_every_method_keeps_its_one_trace() -> None:
    explainer = Explainer(
        Classifier(nested(), SHAPE), EVERYTHING, layers=("backbone/relu1",), probing=QUICK
    )
    for seed in range(3):
        explainer.explain(images(3, seed=seed), [None] * 3)
    (split,) = explainer.layers
    functions = (explainer.target._forward, explainer._input_gradients, split._with_gradients)
    assert [function.experimental_get_tracing_count() for function in functions] == [1, 1, 1]


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
    explainer = Explainer(
        Classifier(nested(), SHAPE), ("grad-cam", "layercam"), layers=("backbone/relu1",)
    )
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
    np.testing.assert_allclose(
        gradients, numerical_gradients(explainer, np.asarray(features)), atol=2e-3
    )


def first_right_singular_vector(cells: np.ndarray) -> np.ndarray:
    """By power iteration; of the two signs the one under which the projections sum to a positive
    number.
    """
    v = np.ones(cells.shape[1])
    for _ in range(500):
        v = cells.T.astype(float) @ (cells @ v)
        v /= np.linalg.norm(v)
    return v if (cells @ v).sum() >= 0 else -v


@pytest.mark.parametrize("method", list(FUNCTIONS))
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
    np.testing.assert_allclose(
        FUNCTIONS[method](activations, gradients), expected, rtol=1e-4, atol=1e-5
    )


def test_on_global_average_pooling_three_methods_are_one_and_computed_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There Grad-CAM = XGrad-CAM = HiResCAM (explanations.md, "Features and head")."""
    split = Classifier(nested(), SHAPE).split()
    features, _, _, gradients = split.forward(images(1), np.ones((1, 1), np.float32))
    one, *others = (
        FUNCTIONS[m](np.asarray(features), gradients) for m in ("grad-cam", "xgrad-cam", "hirescam")
    )
    for other in others:
        np.testing.assert_allclose(other, one, atol=1e-6)
    calls = []
    for name, method in FUNCTIONS.items():
        monkeypatch.setitem(
            FUNCTIONS,
            name,
            lambda a, g, name=name, method=method: calls.append(name) or method(a, g),
        )
    asked = ("xgrad-cam", "grad-cam", "hirescam", "layercam")
    maps = Explainer(Classifier(nested(), SHAPE), asked).explain(images(1), [None]).maps[0]
    assert calls == ["xgrad-cam", "layercam"]
    assert maps[0].facts.how is None
    for class_map in maps[1:3]:
        assert class_map.facts.how.code == "explain.twin"
        assert class_map.facts.how.values == {"method": "xgrad-cam"}
    calls.clear()
    Explainer(Classifier(nested(head="flatten"), SHAPE), asked).explain(images(1), [None])
    assert calls == list(asked)  # there they differ


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ("gap", ["grad-cam"]),
        ("flatten", ["hirescam", "grad-cam"]),
        ("mlp", ["hirescam", "grad-cam"]),
    ],
)
def test_the_default_is_the_method_that_adds_up(head: str, expected: list[str]) -> None:
    maps = Explainer(Classifier(nested(head=head), SHAPE)).explain(images(1), [None]).maps[0]
    assert [class_map.facts.method for class_map in maps] == expected


def test_property_6_the_map_changes_with_the_weights() -> None:
    """A 1x1 convolution's weights really change it, and only what asks the classifier changes. The
    check of a run, cascading re-initialisation, belongs to `trust`.
    """
    image = keras.Input(SHAPE)
    x = layers.Conv2D(6, 3, 2, padding="same", activation="relu")(image)
    x = layers.Conv2D(6, 1, activation="relu", name="pointwise")(x)
    x = layers.Conv2D(6, 3, 2, padding="same", activation="relu", name="last")(x)
    model = keras.Model(image, layers.Dense(1)(layers.GlobalAveragePooling2D()(x)))
    keras.utils.set_random_seed(3)
    for weight in model.weights:
        weight.assign(np.random.default_rng(len(weight.shape)).normal(0.05, 0.4, weight.shape))
    methods = tuple(m for m in EVERYTHING if m != "layercam-fused")

    def maps() -> dict[str, np.ndarray]:
        found = (
            Explainer(Classifier(model, SHAPE), methods, probing=QUICK)
            .explain(images(1), [None])
            .maps[0]
        )
        return {class_map.facts.key: class_map.values for class_map in found}

    before = maps()
    pointwise = model.get_layer("pointwise")
    kernel, bias = pointwise.get_weights()
    pointwise.set_weights([np.random.default_rng(9).normal(0.05, 0.4, kernel.shape), bias])
    after = maps()
    for key in methods:
        change = np.abs(after[key] - before[key]).max() / np.abs(before[key]).max()
        assert change == 0 if key in CONTROLS else change > 0.01, key


def test_property_10_integrated_gradients_agree_with_a_riemann_sum() -> None:
    """Against 400 midpoints through Keras' own call, pixel by pixel, summed over 8 x 8 blocks."""
    import tensorflow as tf

    model, x = nested(units=2, activation=None), images(1)
    classifier = Classifier(model, SHAPE, ("a", "b"))
    explainer = Explainer(
        classifier, ("integrated-gradients",), probing=Probing(steps=128, black=(0.1,))
    )
    ((class_map,),) = explainer.explain(x, [None]).maps
    start, total = np.full_like(x, 0.1), np.zeros_like(x)
    for chunk in np.array_split((np.arange(400) + 0.5) / 400, 4):
        path = tf.constant(start + chunk[:, None, None, None].astype(np.float32) * (x - start))
        with tf.GradientTape() as tape:
            tape.watch(path)
            logits = model(path, training=False)
            y = tf.reduce_sum(logits[:, 1] - logits[:, 0])
        total += tape.gradient(y, path).numpy().sum(0) / 400
    expected = ((x - start) * total)[0].sum(2).reshape(4, 8, 4, 8).sum((1, 3))
    np.testing.assert_allclose(class_map.values, expected, atol=0.02 * np.abs(expected).max())
    (at_start,), (at_x,) = (np.diff(model.predict(one, verbose=0)[0]) for one in (start, x))
    assert class_map.facts.bias == pytest.approx(at_start, abs=1e-4)
    assert class_map.facts.gap == pytest.approx(at_x - at_start - class_map.values.sum(), abs=1e-4)
    assert abs(class_map.facts.gap) < 0.02 * abs(at_x - at_start)
    assert not class_map.facts.is_exact
    assert class_map.facts.how.code == "explain.integrated_gradients"
    assert class_map.facts.how.values == {"baseline": "black", "num": 128}


def test_property_11_score_cam_of_one_sigmoid_unit_has_two_sides() -> None:
    model, batch = nested(), images(1)
    kernel, bias = model.get_layer("output").get_weights()
    model.get_layer("output").set_weights(
        [20 * kernel, bias]
    )  # so that the channels' scores differ by logits
    sides = [
        Explainer(Classifier(model, SHAPE, ("no", "yes"), name), ("score-cam",))
        .explain(batch, [None])
        .maps[0][0]
        for name in ("yes", "no")
    ]
    features = np.asarray(Classifier(model, SHAPE).split().forward(batch, None)[0])[0]

    def shape(values: np.ndarray) -> np.ndarray:
        return values / np.abs(values).max()

    assert np.abs(shape(sides[0].values) - shape(sides[1].values)).max() > 0.05
    for side in sides:
        assert np.abs(shape(side.values) - shape(features.sum(2))).max() > 0.05
    assert sides[0].facts.unit != "logit"
    few = Explainer(Classifier(model, SHAPE), ("score-cam",), probing=Probing(score_cam_channels=3))
    how = few.explain(batch, [None]).maps[0][0].facts.how
    assert how.code == "explain.score_cam"
    assert how.values == {"num": 3, "total": 8, "background": "black"}
    assert few.passes == {"score-cam": 3}


@pytest.mark.parametrize("head", ["gap", "flatten"])
def test_a_contrast_is_the_difference_of_two_logits(head: str) -> None:
    model, batch = nested(3, "softmax", head), images(2)
    classifier = Classifier(model, SHAPE, ("a", "b", "c"))
    result = Explainer(classifier, ("hirescam",), classes=("a",), against=("a",)).explain(
        batch, [None] * 2
    )
    probabilities = model.predict(batch, verbose=0).astype(np.float64)
    for n in range(2):
        target, other, contrast = result.maps[n]
        assert contrast.facts.key == "hirescam:c-a"
        assert (contrast.facts.class_name, contrast.facts.against) == ("c", "a")
        np.testing.assert_allclose(contrast.values, target.values - other.values, atol=1e-5)
        total = contrast.values.sum(dtype=np.float64) + contrast.facts.bias
        assert total == pytest.approx(np.log(probabilities[n, 2] / probabilities[n, 0]), abs=1e-4)
        assert contrast.facts.is_exact


def test_a_contrast_of_two_classes_or_with_oneself_is_refused() -> None:
    with pytest.raises(ModelError, match="already against the other class"):
        Explainer(Classifier(nested(2, "softmax"), SHAPE, ("a", "b")), against=("a",))
    with pytest.raises(ModelError, match="names the explained class 'c'"):
        Explainer(Classifier(nested(3, "softmax"), SHAPE, ("a", "b", "c")), against=("c",))


def test_an_unknown_method_is_refused_by_its_name() -> None:
    with pytest.raises(ModelError, match=r"'gradcam'\. Perhaps you meant 'grad-cam'") as caught:
        Explainer(Classifier(nested(), SHAPE), ("gradcam",))
    assert "integrated-gradients" in str(caught.value.hint)


def test_layers_come_from_shallow_to_deep_and_fuse_on_the_finest_grid() -> None:
    explainer = Explainer(
        Classifier(nested(), SHAPE),
        ("grad-cam", "layercam-fused"),
        layers=("backbone/add", "backbone/relu1"),
    )
    maps = explainer.explain(images(1), [None]).maps[0]
    assert [m.facts.key for m in maps[2:]] == ["grad-cam@backbone/relu1", "grad-cam@backbone/add"]
    assert maps[1].values.shape == (16, 16)
    assert maps[1].facts.how.code == "explain.fused"
    assert maps[1].facts.how.values == {"layers": "backbone/conv3, backbone/relu1, backbone/add"}
    assert maps[1].values.max() == pytest.approx(np.tanh(2), rel=1e-5)  # the finest layer's maximum


@pytest.mark.parametrize("method", ["hirescam", "grad-cam"])
@pytest.mark.parametrize("head", ["gap", "flatten", "mlp"])
def test_property_3_the_budget_by_regions_adds_up_to_the_logit(head: str, method: str) -> None:
    """Regions drawn at random; the logit is taken from the model's own probability."""
    model, batch = nested(head=head), images(1)
    ((class_map,),) = Explainer(Classifier(model, SHAPE), (method,)).explain(batch, [None]).maps
    placement = place(90, 70, 32, 32, "letterbox")
    drawn = np.random.default_rng(2).integers(0, 3, (90, 70))
    shares = {
        name: region_shares(placement, 8, 8, (drawn == n)[None])[0]
        for n, name in enumerate(("left lung", "marker"))
    }
    shares["padding"] = 1 - cell_shares(placement, 8, 8)[0]
    budget = focus.budget(class_map.values, class_map.facts, shares)
    assert budget is not None
    probability = float(model.predict(batch, verbose=0)[0, 0])
    assert budget.logit == pytest.approx(np.log(probability / (1 - probability)), abs=1e-4)
    assert sum(value for _, value in budget.parts) == pytest.approx(budget.logit, abs=1e-4)
    is_exact = (head, method) in (("gap", "hirescam"), ("gap", "grad-cam"), ("flatten", "hirescam"))
    assert budget.is_exact == is_exact
    names = [name for name, _ in budget.parts]
    assert names[:4] == ["left lung", "marker", "padding", "elsewhere"]
    assert ("not accounted for" in names) != is_exact
    assert ("bias" in names) == (head != "mlp")

"""Findings of their own: an output that hardly varies, and one map for every radiograph."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from cxr_audit.classifier import Classifier
from cxr_audit.explain import Explainer, check_maps_vary, check_output_varies
from cxr_audit.records import ClassActivationMap, MapFacts
from scipy.stats import spearmanr

from tests.classifier.models import images, layers, nested

SHAPE = (32, 32, 3)


def a_map(values: np.ndarray, status: str = "ok") -> ClassActivationMap:
    values = np.asarray(values, np.float32)
    facts = MapFacts("m", "hirescam", "layer", "P", status, *values.shape)
    return ClassActivationMap(values, facts)


def test_a_spread_by_hand() -> None:
    """0, 0.01, ... 0.2: percentiles 5 and 95 of 21 equally spaced values are the second and the
    last but one.
    """
    check = check_output_varies([n / 100 for n in range(21)])
    assert (check.state, check.value) == ("passed", pytest.approx(0.18))


def test_one_answer_for_all_fails_whatever_a_single_case_says() -> None:
    check = check_output_varies([0.7301 + n * 1e-5 for n in range(40)] + [0.1])
    assert check.state == "failed"
    assert check.value < 0.01
    assert check.reason.code == "explain.output_hardly_varies"


@pytest.mark.parametrize("num", [0, 1, 7])
def test_few_cases_are_not_run(num: int) -> None:
    rng = np.random.default_rng(0)
    for check in (
        check_output_varies([0.5] * num),
        check_maps_vary([a_map(rng.random((4, 4))) for _ in range(num)]),
    ):
        assert (check.state, check.value) == ("not_run", None)
        assert check.reason.values == {"num": num, "needed": 8}


def test_the_correlation_of_maps_is_spearmans() -> None:
    rng = np.random.default_rng(1)
    common = rng.random((6, 5))
    maps = [common + 0.5 * rng.random((6, 5)) for _ in range(9)]
    expected = [
        spearmanr(maps[a].astype(np.float32).ravel(), maps[b].astype(np.float32).ravel()).statistic
        for a in range(9)
        for b in range(a)
    ]
    check = check_maps_vary([a_map(values) for values in maps])
    assert check.value == pytest.approx(np.mean(expected))
    assert check.state == "passed"


def test_dead_and_constant_maps_are_left_out() -> None:
    rng = np.random.default_rng(2)
    good = [a_map(rng.random((4, 4))) for _ in range(7)]
    dead = [a_map(np.zeros((4, 4)), "dead"), a_map(np.ones((4, 4)))]
    assert check_maps_vary(good + dead).state == "not_run"


def test_a_classifier_that_always_looks_at_one_place_is_found_and_another_is_not() -> None:
    image = keras.Input(SHAPE)
    x = layers.Conv2D(1, 4, 4, kernel_initializer="zeros", bias_initializer="ones")(image)
    always = Classifier(keras.Model(image, layers.Dense(1, "sigmoid")(layers.Flatten()(x))), SHAPE)
    for classifier, state in (
        (always, "failed"),
        (Classifier(nested(head="flatten"), SHAPE), "passed"),
    ):
        batch = images(12)
        result = Explainer(classifier, ("hirescam",)).explain(batch, [None] * 12)
        assert check_maps_vary([maps[0] for maps in result.maps]).state == state
        scores = [classifier.predict(z, None).probability for z in result.logits]
        assert check_output_varies(scores).state == ("failed" if state == "failed" else "passed")

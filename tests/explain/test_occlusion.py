"""Maps that need nothing but answers, against sums by hand."""

from __future__ import annotations

import numpy as np
import pytest
from cxr_audit.classifier import Classifier
from cxr_audit.errors import ModelError
from cxr_audit.explain import Explainer, Probing
from cxr_audit.explain.occlusion import occlusion, random_mask, rise

from tests.classifier.models import corner_detector

RNG = np.random.default_rng(0)


def linear(weights: np.ndarray):
    """Two logits: a sum over weighted pixels, and twice its negative."""

    def ask(inputs: np.ndarray) -> np.ndarray:
        y = np.einsum("nijk,ijk->n", inputs, weights)
        return np.stack([y, -2 * y], 1).astype(np.float32)

    return ask


def test_occlusion_of_a_weighted_sum_is_the_sum_over_each_cell() -> None:
    """y = sum w x: replacing a cell by b loses sum w (x - b) there, whatever the rest is."""
    x, start, weights = (RNG.random((10, 7, 2), np.float32) for _ in range(3))
    found = occlusion(x, start, linear(weights), cells=3, at_once=4)
    by_hand = (weights * (x - start)).sum(2)
    rows, columns = (0, 3, 7, 10), (0, 2, 5, 7)  # thirds of 10 and 7, as whole pixels
    for i in range(3):
        for j in range(3):
            cell = by_hand[rows[i] : rows[i + 1], columns[j] : columns[j + 1]].sum()
            assert found[i, j, 0] == pytest.approx(cell, abs=1e-5)
            assert found[i, j, 1] == pytest.approx(-2 * cell, abs=1e-5)


def test_rise_of_a_weighted_sum_orders_the_cells_as_their_evidence() -> None:
    """One bright patch: y = sum w m x, and the map is highest there."""
    x = np.full((28, 28, 1), 0.1, np.float32)
    weights = np.ones((28, 28, 1), np.float32)
    x[4:8, 20:24] = 5
    ask = linear(weights)
    found = rise(x, np.zeros_like(x), ask, 2000, (7, 7), np.random.default_rng(1), 100)
    assert np.unravel_index(found[..., 0].argmax(), (7, 7)) == (1, 5)
    np.testing.assert_allclose(found[..., 1], -2 * found[..., 0], rtol=1e-4, atol=1e-4)
    # Each seed draws other masks; the evidence stays where it is, noise does not.
    other = rise(x, np.zeros_like(x), ask, 2000, (7, 7), np.random.default_rng(2), 100)
    assert np.corrcoef(found[..., 0].ravel(), other[..., 0].ravel())[0, 1] > 0.95
    same = rise(x, np.zeros_like(x), ask, 2000, (7, 7), np.random.default_rng(1), 64)
    np.testing.assert_allclose(same, found, rtol=1e-4, atol=1e-3)


def test_rise_follows_equation_6_of_the_paper() -> None:
    """S = sum_i y(x m_i) m_i / (N E[M]), with the mean of y taken off; one pixel a cell."""
    x, weights = (RNG.random((14, 14, 1), np.float32) for _ in range(2))
    masks = [random_mask((14, 14), rng) for rng in [np.random.default_rng(5)] for _ in range(50)]
    y = np.array([(weights * x * mask[..., None]).sum() for mask in masks])
    expected = sum((v - y.mean()) * m for v, m in zip(y, masks, strict=True)) / (50 * 0.5)
    rng = np.random.default_rng(5)
    found = rise(x, np.zeros_like(x), linear(weights), 50, (14, 14), rng, 16)
    np.testing.assert_allclose(found[..., 0], expected, rtol=1e-3, atol=1e-3)


def test_masks_keep_half_on_average_and_are_not_constant() -> None:
    rng = np.random.default_rng(0)
    masks = np.stack([random_mask((30, 22), rng) for _ in range(400)])
    assert masks.shape == (400, 30, 22)
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert abs(masks.mean() - 0.5) < 0.02
    assert masks.std((1, 2)).min() > 0.1


@pytest.mark.parametrize("method", ["occlusion", "rise"])
def test_a_keras_model_that_reads_one_corner_is_found_by_asking(method: str) -> None:
    """The corner detector sees the top left 4 x 4 pixels of 16 x 16 only."""
    model = corner_detector()
    for weight in model.weights:
        weight.assign(np.abs(np.asarray(weight)))
    weights = model.get_layer("output").kernel
    only_first = np.zeros(weights.shape, np.float32)
    only_first[0] = 3
    weights.assign(only_first)
    settings = Probing(occlusion_cells=4, rise_masks=400)
    explainer = Explainer(Classifier(model, (16, 16, 1)), (method,), probing=settings)
    result = explainer.explain(np.ones((2, 16, 16, 1), np.float32), [None, None])
    first = result.maps[0][0]
    assert np.unravel_index(first.values.argmax(), first.values.shape) == (0, 0)
    assert first.facts.layer == "input"
    assert first.facts.gap is None  # it promises no sum
    assert first.facts.geometry is None
    if method == "occlusion":
        black = explainer.ask(np.zeros((1, 16, 16, 1), np.float32), 1)[0, 0]
        assert first.values[0, 0] == pytest.approx(result.logits[0, 0] - black, abs=1e-5)
        assert np.count_nonzero(first.values) == 1
    assert explainer.passes == {method: 17 if method == "occlusion" else 400}


def test_an_unknown_method_is_still_refused_by_name() -> None:
    with pytest.raises(ModelError, match="oclusion"):
        Explainer(Classifier(corner_detector(), (16, 16, 1)), ("oclusion",))

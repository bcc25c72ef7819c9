"""Methods that ask the classifier again, on functions whose answer is known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
from cxr_audit.explain.controls import CONTROLS
from cxr_audit.explain.explain import Probing
from cxr_audit.explain.methods import fuse
from cxr_audit.explain.probing import (
    baseline,
    grid_of,
    integrated_gradients,
    score_cam,
    smoothgrad,
    sum_cells,
)

RNG = np.random.default_rng(0)
X = RNG.random((6, 5, 2)).astype(np.float32)
A, B = RNG.normal(size=X.shape), RNG.normal(size=X.shape)


def quadratic(inputs: np.ndarray) -> np.ndarray:
    return (A * inputs**2 + B * inputs).sum((1, 2, 3))


def gradient_of_quadratic(inputs: np.ndarray) -> np.ndarray:
    return 2 * A * inputs + B


@pytest.mark.parametrize("name", ["black", "mean", "blurred"])
@pytest.mark.parametrize("at_once", [1, 3, 100])
def test_integrated_gradients_of_a_quadratic_is_its_difference(name: str, at_once: int) -> None:
    start = baseline(X, name, np.asarray([0.1, -0.2], np.float32)).astype(np.float64)
    asked = []

    def gradient(inputs: np.ndarray) -> np.ndarray:
        asked.append(len(inputs))
        return gradient_of_quadratic(inputs)

    found = integrated_gradients(X, start, gradient, 4, at_once)
    # The function is a sum over pixels, so each pixel's share is its own difference.
    np.testing.assert_allclose(found, A * (X**2 - start**2) + B * (X - start), rtol=1e-4, atol=1e-5)
    assert max(asked) <= at_once
    assert sum(asked) == 4


def test_baselines() -> None:
    assert (
        baseline(X, "black", np.asarray([0.1, -0.2], np.float32))[2, 3] == np.float32([0.1, -0.2])
    ).all()
    np.testing.assert_allclose(baseline(X, "mean", np.zeros(1, np.float32))[0, 0], X.mean((0, 1)))
    step = np.zeros((32, 64, 1), np.float32)
    step[:, 32:] = 1
    blurred = baseline(step, "blurred", np.zeros(1, np.float32))
    # A Gaussian of 64 / 16 = 4 px over a step: its cumulative distribution, half a pixel off the
    # edge.
    from math import erf

    assert blurred.shape == step.shape
    assert blurred[16, 32, 0] == pytest.approx(0.5 * (1 + erf(0.5 / 4 / np.sqrt(2))), abs=2e-3)


def test_smoothgrad_is_the_mean_gradient_and_its_seed_is_its_own() -> None:
    def run(seed: int, at_once: int = 7) -> np.ndarray:
        return smoothgrad(X, gradient_of_quadratic, 400, np.random.default_rng(seed), at_once)

    # Noise has the mean 0 and the deviation 0.15 (max - min): 400 draws, so within 5 standard
    # errors.
    error = 5 * 2 * np.abs(A) * 0.15 * np.ptp(X) / np.sqrt(400)
    assert (np.abs(run(1) - gradient_of_quadratic(X)) < error).all()
    assert np.array_equal(run(1), run(1))
    assert not np.array_equal(run(1), run(2))
    np.testing.assert_allclose(
        run(1, 7), run(1, 400), atol=1e-5
    )  # the numbers do not depend on the chunks


@pytest.mark.parametrize("num_channels", [None, 2])
def test_property_10_score_cam_agrees_with_a_loop(num_channels: int | None) -> None:
    x = RNG.random((6, 6, 1)).astype(np.float32)
    activations = RNG.random((3, 3, 4)).astype(np.float32)
    activations[..., 1] = 0.7  # constant: no place, no weight
    start = np.full_like(x, 0.25)
    asked = []

    def score(inputs: np.ndarray) -> np.ndarray:
        asked.append(len(inputs))
        return np.asarray([3 * one[:3].mean() - one[3:].mean() for one in inputs])

    found, num = score_cam(x, activations, score, start, 2, num_channels)
    channels = [0, 2, 3]
    if num_channels:
        channels = sorted(channels, key=lambda k: -activations[..., k].std())[:num_channels]
    exponentials = {}
    for k in channels:
        low, high = activations[..., k].min(), activations[..., k].max()
        mask = np.zeros((6, 6))
        for i, j in np.ndindex(
            6, 6
        ):  # bilinear between cell centres, which lie at 0.5, 2.5, 4.5 of 6 pixels
            at = [np.clip((p + 0.5) / 2 - 0.5, 0, 2) for p in (i, j)]
            for r, c in np.ndindex(3, 3):
                near = max(0, 1 - abs(at[0] - r)) * max(0, 1 - abs(at[1] - c))
                mask[i, j] += near * (activations[r, c, k] - low) / (high - low)
        masked = 0.25 + (x[..., 0] - 0.25) * mask
        exponentials[k] = np.exp(3 * masked[:3].mean() - masked[3:].mean())
    expected = sum(e * activations[..., k] for k, e in exponentials.items()) / sum(
        exponentials.values()
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert num == len(channels)
    assert max(asked) <= 2


def test_score_cam_of_constant_channels_is_empty() -> None:
    found, num = score_cam(
        X, np.ones((2, 2, 3), np.float32), lambda inputs: np.zeros(len(inputs)), X * 0, 4
    )
    assert num == 0
    assert not found.any()


def test_sums_over_cells_keep_the_total_and_split_a_pixel_by_area() -> None:
    np.testing.assert_allclose(sum_cells(np.asarray([[1, 2, 4]], np.float32), (1, 2)), [[2, 5]])
    values = RNG.normal(size=(107, 61)).astype(np.float32)
    grid = grid_of(values.shape)
    assert grid == (13, 8)
    assert sum_cells(values, grid).sum() == pytest.approx(values.sum(), abs=1e-3)
    assert grid_of((224, 224, 3)) == (28, 28)


def test_fused_layercam_by_hand() -> None:
    fine = np.asarray([[[4, 0], [-3, 2]]], np.float32)
    coarse = np.asarray([[[5]]], np.float32)
    none = np.asarray([[[-1]]], np.float32)
    np.testing.assert_allclose(fuse([fine, none]), [[[np.tanh(2), 0], [0, np.tanh(1)]]], rtol=1e-6)
    np.testing.assert_allclose(fuse([coarse, fine]), np.full((1, 2, 2), np.tanh(2)), rtol=1e-6)


def test_edges_lie_where_the_image_changes() -> None:
    x = np.zeros((16, 16, 3), np.float32)
    x[:, 6:] = 1
    found = CONTROLS["edges"](x, (4, 4), 0)
    assert found[:, 1].min() > 0  # columns 4 to 7 hold the step
    assert not found[:, [0, 2, 3]].any()


def test_random_is_of_the_seed_and_the_case() -> None:
    draw = CONTROLS["random"]
    assert np.array_equal(draw(X, (7, 7), 1), draw(X.copy(), (7, 7), 1))
    assert not np.array_equal(draw(X, (7, 7), 1), draw(X, (7, 7), 2))
    assert not np.array_equal(draw(X, (7, 7), 1), draw(X + 1, (7, 7), 1))


def test_centre_is_a_gaussian_in_the_middle() -> None:
    found = CONTROLS["centre"](X, (5, 5), 0)
    assert found[2, 2] == 1
    assert found[2, 4] == pytest.approx(np.exp(-(0.4**2) / (2 * 0.2**2)))
    np.testing.assert_allclose(found, found[::-1, ::-1])
    np.testing.assert_allclose(found, found.T)


def test_black_of_a_standardised_input_is_its_own_darkest_value() -> None:
    """Each image has another black after standardisation: 0 would be its mean."""
    x = np.random.default_rng(1).normal(0, 1, (5, 4, 2)).astype(np.float32)
    darkest = baseline(x, "darkest", np.zeros(1, np.float32))
    np.testing.assert_array_equal(darkest, np.broadcast_to(x.min((0, 1)), x.shape))
    assert Probing(black=None).baseline_name == "darkest"
    assert Probing(black=None, baseline="mean").baseline_name == "mean"

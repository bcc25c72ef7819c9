"""Deletion, insertion and ROAD on functions whose answers are known by hand."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from cxr_audit.records import GridAxis, GridGeometry
from cxr_audit.trust.faithfulness import Gains, Series, Subject, impute, order_of, solve
from cxr_audit.trust.faithfulness import measure as measure_all

GRID = (7, 1)  # as many cells as steps: each step takes one cell more


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def measure(
    x: np.ndarray,
    values: np.ndarray,
    fill: np.ndarray,
    score: Any,
    rng: Any,
    geometry: GridGeometry | None = None,
) -> Gains:
    subject = Subject(x, values, fill, rng, Series(), geometry)
    (gains,) = measure_all([subject], lambda inputs: score(np.stack(list(inputs))))
    return gains


def corner(batch: np.ndarray) -> np.ndarray:
    """Sees the first cell only: 10 where it is 1."""
    return 10 * batch[:, :4, :, 0].mean((1, 2))


def column() -> np.ndarray:
    """28 x 4 pixels, seven cells; all ones."""
    return np.ones((28, 4, 1), np.float32)


def test_the_areas_of_a_classifier_that_sees_one_cell() -> None:
    assert Series().steps == 7
    values = np.asarray([[5], [4], [3], [2], [1], [0], [-1]], np.float32)
    gains = measure(column(), values, np.zeros_like(column()), corner, rng())
    # Moved by k cells, the first cell is the k-th to go, then y is 0. Deletion of n cells before
    # it: y = 10 for n + 1 points out of 8 on a curve of seven trapezes: area 10 (n + 0.5) / 7.
    moved = [10 * (k + 0.5) / 7 for k in range(1, 7)]
    own = 10 * 0.5 / 7
    assert gains.by_map["deletion"] in [pytest.approx(area - own) for area in moved]
    # Put back first, y is 10 from the first step on: area 10 (7 - 0.5) / 7; k steps later 10 (6.5
    # - k) / 7.
    assert gains.by_map["insertion"] == pytest.approx(gains.by_map["deletion"])
    # The centre outwards: the first cell is one of the last two to go.
    assert gains.by_centre["deletion"] - gains.by_map["deletion"] in [
        pytest.approx(own - 10 * (k + 0.5) / 7) for k in (5, 6)
    ]


def test_road_is_what_is_lost_beyond_the_surroundings_and_turns_with_the_map() -> None:
    x = np.zeros((28, 4, 1), np.float32)
    x[:4] = 1
    values = np.asarray([[3], [0], [0], [0], [0], [0], [0]], np.float32)
    forth = measure(x, values, np.zeros_like(x), corner, rng()).by_map["road"]
    back = measure(x, -values, np.zeros_like(x), corner, rng()).by_map["road"]
    # Without its cell nothing is left of the first one but noise; the last to go, it stays whole.
    assert forth == pytest.approx(10, abs=0.2)
    assert back == pytest.approx(-10, abs=0.2)


def test_a_classifier_that_answers_the_same_gives_no_gain_and_no_crash() -> None:
    gains = measure(
        column(),
        np.eye(7, 1, dtype=np.float32),
        np.zeros_like(column()),
        lambda b: np.ones(len(b)),
        rng(),
    )
    assert set(gains.by_map.values()) == {0.0}


def test_the_cost_that_is_stated_is_what_is_asked() -> None:
    asked: list[int] = []

    def score(batch: np.ndarray) -> np.ndarray:
        asked.append(len(batch))
        return corner(batch)

    measure(column(), np.eye(7, 1, dtype=np.float32), np.zeros_like(column()), score, rng())
    assert asked == [Series().num_inputs] == [46]


def test_several_cases_are_asked_together_and_each_gets_its_own_answers() -> None:
    """The second case is the first with half the signal: half of each gain, but for ROAD's noise."""
    series = Series(3, (0.5,), has_centre=False)
    assert series.num_inputs == 2 + 4 * 2 + 2
    values = np.asarray([[5], [4], [3], [2], [1], [0], [-1]], np.float32)
    cases = [Subject(x, values, np.zeros_like(x), rng(), series) for x in (column(), column() / 2)]
    asked: list[int] = []

    def score(inputs: Any) -> np.ndarray:
        batch = np.stack(list(inputs))
        asked.append(len(batch))
        return corner(batch)

    whole, half = measure_all(cases, score)
    assert asked == [2 * series.num_inputs]
    assert whole.by_centre == {}
    for name in ("deletion", "insertion"):
        assert half.by_map[name] == pytest.approx(whole.by_map[name] / 2)
        assert whole.by_map[name] > 0


def test_cells_of_one_value_are_in_random_order_the_same_for_the_same_seed() -> None:
    values = np.asarray([[0, 0, 9, 0, 0, 0]], np.float32)
    orders = {tuple(order_of(values, np.random.default_rng(seed))) for seed in range(20)}
    assert {order[0] for order in orders} == {2}
    assert len({order[1] for order in orders}) > 2
    assert tuple(order_of(values, rng())) == tuple(order_of(values, rng()))


def test_linear_imputation_solves_the_papers_equations() -> None:
    x = np.random.default_rng(3).random((6, 5, 2), np.float32)
    missing = np.zeros((6, 5), bool)
    missing[1:4, 1:3] = missing[5, 4] = missing[0, 0] = True
    filled = solve(x, missing)
    np.testing.assert_array_equal(filled[~missing], x[~missing])
    for r, c in np.argwhere(missing):
        beside = [
            (filled[r + i, c + j], 1 / 6 if 0 in (i, j) else 1 / 12)
            for i, j in itertools.product((-1, 0, 1), repeat=2)
            if (i, j) != (0, 0) and 0 <= r + i < 6 and 0 <= c + j < 5
        ]
        mean = sum(weight * value for value, weight in beside) / sum(weight for _, weight in beside)
        np.testing.assert_allclose(filled[r, c], mean, atol=1e-6)


def test_imputation_goes_on_with_a_ramp_and_keeps_what_is_there() -> None:
    ramp = np.tile(np.linspace(0, 1, 56, dtype=np.float32)[:, None, None], (1, 56, 3))
    missing = np.zeros((56, 56), bool)
    missing[24:32, 16:40] = True
    filled = impute(ramp, missing)
    assert np.abs(filled - ramp).max() < 0.03  # a harmonic surface through a ramp is the ramp
    np.testing.assert_array_equal(filled[:24], ramp[:24])


def test_cells_are_removed_where_they_lie_and_not_by_an_even_division() -> None:
    """A grid of 2 x 1 cells that sees the pixels 8 to 16 of 28 only: what lies elsewhere stays."""
    axes = GridAxis(4, 8, 8, 16, 4), GridAxis(4, 0, 0, 4, 4)
    asked: list[np.ndarray] = []

    def score(batch: np.ndarray) -> np.ndarray:
        asked.append(batch)
        return 10 * batch[:, 8:12, :, 0].mean((1, 2))

    values = np.asarray([[2], [1]], np.float32)
    zeros = np.zeros_like(column())
    geometry = GridGeometry(*axes)
    gains = measure(column(), values, zeros, score, rng(), geometry)
    # Its cell first: y is 0 from the first step on; moved, the cell is the last to go.
    removed = asked[0][2]
    np.testing.assert_array_equal(removed[8:12], 0)
    np.testing.assert_array_equal(np.delete(removed, np.s_[8:12], 0), 1)
    assert gains.by_map["deletion"] > 0


def test_a_cell_in_the_padding_of_a_layer_removes_nothing() -> None:
    axes = GridAxis(4, -4, 0, 28, 4), GridAxis(4, 0, 0, 4, 4)
    asked: list[np.ndarray] = []

    def score(batch: np.ndarray) -> np.ndarray:
        asked.append(batch)
        return corner(batch)

    values = np.arange(8, 0, -1, dtype=np.float32)[:, None]
    measure(column(), values, np.zeros_like(column()), score, rng(), GridGeometry(*axes))
    np.testing.assert_array_equal(asked[0][2], column())

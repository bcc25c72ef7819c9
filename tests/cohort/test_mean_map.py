"""Maps laid on the lungs: by hand, on rasters where the answer is a copy or a shift."""

from __future__ import annotations

import numpy as np
import pytest
from cxr_audit.cohort import RASTER, mean_maps
from cxr_audit.cohort.mean_map import MARGIN, lungs_box, on_lungs


def lungs(top: int, left: int, height: int, width: int, size: int = 120) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[top : top + height, left : left + width] = True
    return mask


def test_the_box_of_two_lungs_is_around_both() -> None:
    mask = lungs(30, 12, 60, 24) | lungs(24, 84, 48, 12)
    assert lungs_box(mask) == pytest.approx((24 / 120, 12 / 120, 66 / 120, 84 / 120))


def test_no_lungs_are_refused() -> None:
    with pytest.raises(ValueError, match="no lungs"):
        lungs_box(np.zeros((8, 8), bool))


def test_lungs_that_fill_their_place_leave_a_picture_as_it_is() -> None:
    """With a margin of a quarter on each side, lungs of two thirds in the middle map the
    radiograph onto itself."""
    assert MARGIN == 0.25
    picture = np.random.default_rng(0).random((RASTER, RASTER)).astype(np.float32)
    np.testing.assert_allclose(on_lungs(picture, (1 / 6, 1 / 6, 2 / 3, 2 / 3)), picture, atol=1e-5)


def test_evidence_moves_with_the_lungs() -> None:
    """The same chest in two corners of two radiographs: one and the same mean, and negative
    evidence is none."""
    laid = []
    for top, left in ((30, 30), (42, 36)):
        evidence = np.full((120, 120), -1, np.float32)
        evidence[top : top + 10, left + 20 : left + 30] = 2
        laid.append(
            mean_maps([("true_positive", evidence, lungs(top, left, 60, 48))])["true_positive"]
        )
    np.testing.assert_allclose(laid[0].values, laid[1].values, atol=1e-6)
    assert laid[0].values.min() == 0
    assert laid[0].values.max() == 2
    # The patch lies at rows 0 to 1/6, columns 20/48 to 30/48 of the lungs; they take the middle
    # two thirds.
    row, column = RASTER * (1 / 6 + 2 / 3 * 5 / 60), RASTER * (1 / 6 + 2 / 3 * 25 / 48)
    assert laid[0].values[int(row), int(column)] == 2
    assert laid[0].lungs.mean() == pytest.approx(4 / 9, abs=0.02)


def test_the_mean_of_each_outcome_is_its_own() -> None:
    mask = lungs(20, 20, 80, 80)
    flat = [np.full((60, 60), value, np.float32) for value in (1.0, 3.0, 5.0)]
    found = mean_maps([("a", flat[0], mask), ("b", flat[2], mask), ("a", flat[1], mask)])
    middle = slice(RASTER // 4, 3 * RASTER // 4)
    assert {name: one.num_cases for name, one in found.items()} == {"a": 2, "b": 1}
    np.testing.assert_allclose(found["a"].values[middle, middle], 2)
    np.testing.assert_allclose(found["b"].values[middle, middle], 5)


def test_outside_the_radiograph_is_no_evidence() -> None:
    found = mean_maps([("a", np.ones((60, 60), np.float32), lungs(0, 0, 120, 120))])["a"]
    assert found.values[0].max() == 0
    assert found.values[RASTER // 2, RASTER // 2] == 1

"""Measurements by hand calculation, and that each factor has its function."""

from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from cxr_audit.factors import LungGeometry, low_level, measure, measure_lungs, move, panel
from cxr_audit.factors.moves import BY_MOVING, FAMILIES
from cxr_audit.vocabulary.factors import (
    FACTORS,
    FactorRow,
    low_level_names,
    measured_factors,
    moved_factors,
)

RNG = np.random.default_rng(3)


def smooth(rows: int = 96, columns: int = 96) -> np.ndarray:
    """A picture with structure at every scale, from 0.1 to 0.9."""
    grain = RNG.standard_normal((rows, columns)).astype(np.float32)
    image = sum(cv2.GaussianBlur(grain, (0, 0), s) * s for s in (1.0, 2.0, 4.0, 12.0))
    low, high = np.percentile(image, (1, 99))
    return np.clip(0.1 + 0.8 * (image - low) / (high - low), 0, 1).astype(np.float32)


def test_every_factor_is_measured_and_every_moved_one_can_be_moved() -> None:
    lungs = LungGeometry(0.2, 0.2, 0.8, 0.7, 0.0)
    values = measure(smooth(), smooth(), 0) | measure_lungs(lungs)
    numbers = {row.key for row in FACTORS if row.measured_on in ("input", "lungs", "file")}
    assert set(values) == {key for key in numbers if not FACTORS[key].is_words}
    assert {row.key for row in moved_factors()} == {*FAMILIES, *BY_MOVING, "compression"}


def test_tone_factors_by_hand() -> None:
    grey = np.full((10, 10), 0.2, np.float32)
    grey[:, 5:] = 0.6
    assert panel.brightness(grey) == pytest.approx(0.4)
    assert panel.contrast(grey) == pytest.approx(0.2)
    assert panel.tone_curve(grey) == pytest.approx(0.5)


def test_noise_is_the_deviation_that_was_added() -> None:
    ramp = np.linspace(0.2, 0.8, 256, dtype=np.float32)
    image = np.tile(ramp, (256, 1))
    noisy = image + 0.02 * RNG.standard_normal(image.shape).astype(np.float32)
    found = math.exp(panel.noise(noisy)) * noisy.std()
    assert found == pytest.approx(0.02, rel=0.05)


def test_contrast_alone_leaves_sharpness_and_noise() -> None:
    image = smooth()
    flat = (0.5 + 0.5 * (image - 0.5)).astype(np.float32)
    assert panel.sharpness(flat) == pytest.approx(panel.sharpness(image), abs=1e-3)
    assert panel.noise(flat) == pytest.approx(panel.noise(image), abs=1e-3)


def test_blocks_of_a_compression_are_seen_on_their_grid_only() -> None:
    image = smooth(128, 128)
    pixels = np.round(image * 255).astype(np.uint8)
    decoded = cv2.imdecode(
        cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 5])[1], cv2.IMREAD_GRAYSCALE
    )
    blocks = decoded.astype(np.float32) / 255
    assert panel.compression(blocks) > panel.compression(image) + 0.3
    assert panel.compression(blocks[4:, 4:]) < 0.1


def test_collimation_is_the_even_share() -> None:
    image = smooth(100, 100)
    image[:, :10] = 0
    image[:, -10:] = 0
    assert panel.collimation(image) == pytest.approx(0.2)
    assert panel.collimation(np.zeros((8, 8), np.float32)) == 1.0


def test_lungs_by_hand() -> None:
    first, second = np.zeros((100, 100), bool), np.zeros((100, 100), bool)
    first[20:60, 10:30] = True
    second[30:70, 60:80] = True
    lungs = LungGeometry.of(first, second, aspect=1.0)
    assert lungs is not None
    values = measure_lungs(lungs)
    assert values["zoom"] == pytest.approx(math.sqrt(0.5 * 0.7))
    assert values["body_width"] == pytest.approx(math.log(0.7 / 0.5))
    assert values["position"] == pytest.approx(0.45)
    assert values["position_vertical"] == pytest.approx(0.45)
    assert values["tilt"] == pytest.approx(math.degrees(math.atan2(10, 50)))
    assert LungGeometry.of(first, np.zeros((100, 100), bool), 1.0) is None


@pytest.mark.parametrize("key", sorted(FAMILIES))
@pytest.mark.parametrize("step", [-0.05, 0.05])
def test_a_move_reaches_its_target(key: str, step: float) -> None:
    image = smooth()
    value = panel.ON_INPUT[key](image)
    target = value + step
    moved = move(key, image, value, target, (96, 96))
    assert moved is not None
    assert panel.ON_INPUT[key](moved) == pytest.approx(target, abs=0.02)


def test_moves_of_one_factor_leave_the_mean_and_the_contrast() -> None:
    image = smooth()
    for key in ("tone_curve", "sharpness"):
        value = panel.ON_INPUT[key](image)
        moved = move(key, image, value, value - 0.05, (96, 96))
        assert moved is not None
        assert moved.mean() == pytest.approx(float(image.mean()), abs=0.01)
        assert moved.std() == pytest.approx(float(image.std()), abs=0.01)


def box(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    image = np.zeros((100, 100), np.float32)
    image[top:bottom, left:right] = 1
    return image


def extent(image: np.ndarray) -> tuple[float, float, float, float]:
    rows, columns = np.flatnonzero(image.max(1) > 0.5), np.flatnonzero(image.max(0) > 0.5)
    return rows[0], columns[0], rows[-1] + 1, columns[-1] + 1


def test_moving_the_image_moves_the_lungs_to_the_target() -> None:
    image = box(30, 30, 70, 70)
    cases = {
        "zoom": (0.4, 0.48, (26, 26, 74, 74)),
        "body_width": (0.0, math.log(1.2), (30, 26, 70, 74)),
        "position": (0.5, 0.6, (30, 40, 70, 80)),
        "position_vertical": (0.5, 0.4, (20, 30, 60, 70)),
    }
    for key, (value, target, expected) in cases.items():
        moved = move(key, image, value, target, (100, 100))
        assert moved is not None
        assert extent(moved) == pytest.approx(expected, abs=1.01), key


def test_a_tilt_is_clockwise() -> None:
    image = np.zeros((101, 101), np.float32)
    image[48:53, 10:91] = 1
    moved = move("tilt", image, 0.0, 20.0, (101, 101))
    assert moved is not None
    right = np.flatnonzero(moved[:, 80] > 0.5).mean()
    assert right == pytest.approx(50 + 30 * math.tan(math.radians(20)), abs=1.5)


def test_compression_cannot_be_undone() -> None:
    image = smooth()
    assert move("compression", image, 0.5, 0.1, (96, 96)) is None
    moved = move("compression", image, panel.compression(image), 0.3, (96, 96))
    assert moved is not None
    assert panel.compression(moved) > panel.compression(image)


def test_low_level_statistics_have_names_and_see_their_cell() -> None:
    image = np.full((96, 96), 0.5, np.float32)
    image[16:32, 32:48] = 1  # row 2, column 3 of six
    values = dict(zip(low_level_names(), low_level(image), strict=True))
    assert values["cell row 2 column 3:mean"] == pytest.approx(1.0)
    assert values["cell row 1 column 1:mean"] == pytest.approx(0.5)
    assert values["histogram:mean"] == pytest.approx(0.5 + 0.5 / 36)


def test_wavelets_tell_orientations_apart() -> None:
    rows = np.tile(np.array([[0.0], [1.0]], np.float32), (48, 96))
    values = dict(zip(low_level_names(), low_level(rows), strict=True))
    assert values["detail level 1:vertical"] == values["detail level 1:diagonal"]
    # Alternating rows, 0 and 1: every horizontal detail is (0 + 0 - 1 - 1) / 2, without spread.
    half = rows.copy()
    half[48:] = 0.5
    values = dict(zip(low_level_names(), low_level(half), strict=True))
    assert values["detail level 1:horizontal"] == pytest.approx(math.log(0.5), abs=0.01)


def test_a_factor_of_another_package_is_measured() -> None:
    row = FactorRow(
        key="toy", label="toy", definition="A toy.", function=lambda grey: float(grey.max())
    )
    FACTORS.add(row)
    try:
        image = smooth()
        assert measure(image, image, None)["toy"] == pytest.approx(float(image.max()))
        assert "toy" in {factor.key for factor in measured_factors()}
        assert "markers" not in measure(image, image, None)  # they were not looked for
    finally:
        FACTORS.remove("toy")

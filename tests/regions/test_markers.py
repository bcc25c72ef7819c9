"""Letters drawn as rectangles, so that their masks are known; blank pictures; real radiographs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from cxr_audit.records import Floats, Mask
from cxr_audit.regions import find_markers


def chest(side: int = 512) -> Floats:
    """Air, a soft-edged torso with two dark lungs and ribs: ramps only, as in anatomy."""
    rows, columns = np.mgrid[0:side, 0:side] / side - 0.5
    grey = 0.75 / (1 + np.exp((np.abs(columns) - 0.4) * 60))
    for centre in (-0.18, 0.18):
        lung = 1 / (1 + np.exp(((columns - centre) ** 2 / 0.014 + rows**2 / 0.09 - 1) * 4))
        grey -= lung * (0.4 - 0.08 * np.sin(rows * 70 + 8 * np.abs(columns)))
    return np.clip(grey, 0, 1).astype(np.float32)


def letter_l(shape: tuple[int, int], top: int, left: int, height: int) -> Mask:
    """An L: an upright of a fifth of its height, a foot of the same width and 0.6 of the height."""
    mask = np.zeros(shape, np.bool_)
    stroke = max(1, height // 5)
    mask[top : top + height, left : left + stroke] = True
    mask[top + height - stroke : top + height, left : left + round(0.6 * height)] = True
    return mask


def with_ink(grey: Floats, ink: Mask, value: float) -> Floats:
    planted = grey.copy()
    planted[ink] = value
    return planted


def test_chest_without_markers() -> None:
    assert find_markers(chest()) == []


@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (2, 900), (30, 30), (700, 500)])
def test_constant_pictures_have_none(shape: tuple[int, int], value: float) -> None:
    assert find_markers(np.full(shape, value, np.float32)) == []


@pytest.mark.parametrize("side", [512, 1024])
@pytest.mark.parametrize(
    ("top", "left"), [(0.03, 0.03), (0.5, 0.02), (0.12, 0.47), (0.35, 0.3), (0.9, 0.9)]
)
@pytest.mark.parametrize("height", [20, 40, 80])
def test_letter_is_found_where_it_is(side: int, top: float, left: float, height: int) -> None:
    """Heights at 1024. Of the ink 90 % are covered; the box is the letter's with at most 3 pixels
    of the grid more."""
    shape = (side, side)
    ink = letter_l(shape, round(top * side), round(left * side), height * side // 1024)
    found = find_markers(with_ink(chest(side), ink, 1.0))
    assert [region.facts.name for region in found] == ["letter 1"]
    region = found[0]
    assert region.mask.shape == (512, 512)
    assert region.facts.kind == "marker"
    on_grid = cv2.resize(ink.astype(np.float32), (512, 512), interpolation=cv2.INTER_AREA)
    assert on_grid[region.mask].sum() >= 0.9 * on_grid.sum()
    x, y, width, height_px = cv2.boundingRect((on_grid > 0).astype(np.uint8))
    rows, columns = np.nonzero(region.mask)
    assert y - 3 <= rows.min()
    assert rows.max() <= y + height_px + 2
    assert x - 3 <= columns.min()
    assert columns.max() <= x + width + 2


def test_soft_edge_of_the_same_contrast_is_no_marker() -> None:
    """The same letter out of focus is what anatomy looks like."""
    ink = letter_l((512, 512), 60, 230, 40).astype(np.float32)
    for sigma, num in ((0.5, 1), (6.0, 0)):
        soft = cv2.GaussianBlur(ink, (0, 0), sigma)
        grey = chest()
        assert len(find_markers(grey + soft / soft.max() * (1 - grey))) == num


def test_black_print_on_a_white_plate() -> None:
    grey = chest()
    grey[20:80, 30:120] = 0.95
    ink = letter_l(grey.shape, 35, 60, 30)
    found = find_markers(with_ink(grey, ink, 0.05))
    assert len(found) == 1
    assert found[0].mask[ink].mean() >= 0.9


def test_text_is_one_region_with_all_its_glyphs() -> None:
    ink = np.zeros((512, 512), np.bool_)
    for n in range(4):
        ink |= letter_l(ink.shape, 20, 360 + 14 * n, 15)
    found = find_markers(with_ink(chest(), ink, 0.9))
    assert [region.facts.name for region in found] == ["text 1"]
    assert found[0].mask[ink].mean() >= 0.9


def test_ring_is_found() -> None:
    """An electrode: 24 px wide, over the lung."""
    ink = cv2.circle(np.zeros((512, 512), np.uint8), (160, 250), 10, 1, 3) > 0
    found = find_markers(with_ink(chest(), ink, 0.95))
    assert len(found) == 1
    assert found[0].mask[ink].mean() >= 0.9


def test_edges_of_collimation_and_film_are_no_markers() -> None:
    grey = chest()
    grey[:40] = grey[470:] = 0.0
    grey[:, :25] = 0.0
    assert find_markers(grey) == []
    grey[468:470] = 1.0  # a bright line along it
    assert find_markers(grey) == []


def test_names_go_from_the_top_down_and_are_the_same_each_time() -> None:
    shape = (512, 512)
    ink = letter_l(shape, 30, 20, 24) | letter_l(shape, 300, 470, 24)
    grey = with_ink(chest(), ink, 1.0)
    first, again = find_markers(grey), find_markers(grey)
    assert [region.facts.name for region in first] == ["letter 1", "letter 2"]
    assert np.nonzero(first[0].mask)[0].max() < 70
    assert np.nonzero(first[1].mask)[0].min() > 290
    for one, other in zip(first, again, strict=True):
        assert one.facts == other.facts
        assert np.array_equal(one.mask, other.mask)


def test_sharper_is_more_confident() -> None:
    ink = letter_l((512, 512), 30, 20, 40)
    faint, strong = (
        find_markers(with_ink(chest(), ink, value))[0].facts.confidence for value in (0.3, 1.0)
    )
    assert faint is not None
    assert strong is not None
    assert 0.5 <= faint < strong < 1


@pytest.mark.parametrize("shape", [(3000, 2400), (2000, 3000)])
def test_large_radiographs_keep_their_proportions(shape: tuple[int, int]) -> None:
    ink = letter_l(shape, 200, 200, 120)
    found = find_markers(with_ink(np.full(shape, 0.2, np.float32), ink, 0.9))
    assert len(found) == 1
    assert max(found[0].mask.shape) == 512
    ratio = found[0].mask.shape[0] / found[0].mask.shape[1]
    assert ratio == pytest.approx(shape[0] / shape[1], rel=0.002)


@pytest.mark.realdata
def test_marker_of_a_real_radiograph_and_little_else(shared_data: Path) -> None:
    """A Kermany radiograph with an R of 14 x 9 pixels at its left edge, and nothing else that was
    put there."""
    grey = cv2.imread(
        str(shared_data / "kermany/test/NORMAL/IM-0110-0001.jpeg"), cv2.IMREAD_GRAYSCALE
    )
    assert grey is not None
    found = find_markers(grey.astype(np.float32) / 255)
    assert [region.facts.name for region in found] == ["letter 1"]
    rows, columns = np.nonzero(found[0].mask)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == pytest.approx(
        (54, 69, 20, 29), abs=3
    )

"""Areas counted by hand on lungs made of rectangles."""

from __future__ import annotations

import numpy as np
import pytest
from cxr_audit.records import Floats, Mask, Region
from cxr_audit.regions import zones


def box(shape: tuple[int, int], top: int, bottom: int, left: int, right: int) -> Mask:
    mask = np.zeros(shape, np.bool_)
    mask[top:bottom, left:right] = True
    return mask


@pytest.fixture
def lungs() -> tuple[Mask, Mask]:
    """The right lung 30 rows high from row 20, the left 24 from row 26; 30 columns between them."""
    return box((100, 200), 20, 50, 40, 80), box((100, 200), 26, 50, 110, 160)


@pytest.fixture
def pixels() -> Floats:
    """A torso of 0.6 with lungs of 0.3 in black air 20 columns wide on both sides."""
    grey = np.zeros((100, 200), np.float32)
    grey[:, 20:180] = 0.6
    grey[20:50, 40:80] = grey[26:50, 110:160] = 0.3
    return grey


def by_name(regions: list[Region]) -> dict[str, Region]:
    return {region.facts.name: region for region in regions}


def test_all_regions_and_their_kinds(pixels: Floats, lungs: tuple[Mask, Mask]) -> None:
    found = zones.find_zones(pixels, lungs, 0.9)
    assert [
        (region.facts.name, region.facts.kind, region.facts.confidence) for region in found
    ] == [
        ("right upper zone", "zone", 0.9),
        ("right middle zone", "zone", 0.9),
        ("right lower zone", "zone", 0.9),
        ("left upper zone", "zone", 0.9),
        ("left middle zone", "zone", 0.9),
        ("left lower zone", "zone", 0.9),
        ("mediastinum", "mediastinum", 0.9),
        ("outside the body", "outside_body", None),
        ("border", "border", None),
        ("upper left corner", "corner", None),
        ("upper right corner", "corner", None),
        ("lower left corner", "corner", None),
        ("lower right corner", "corner", None),
    ]


def test_areas(pixels: Floats, lungs: tuple[Mask, Mask]) -> None:
    found = {
        name: region.mask.sum() for name, region in by_name(zones.find_zones(pixels, lungs)).items()
    }
    assert found == {
        **{f"right {third} zone": 10 * 40 for third in ("upper", "middle", "lower")},
        **{f"left {third} zone": 8 * 50 for third in ("upper", "middle", "lower")},
        "mediastinum": 24 * 30,  # rows 26 to 49, columns 80 to 109
        "outside the body": 2 * 100 * 20,
        "border": 100 * 200 - 90 * 180,
        **{
            f"{end} {side} corner": 15 * 30
            for end in ("upper", "lower")
            for side in ("left", "right")
        },
    }


def test_place_of_zones_and_corners(pixels: Floats, lungs: tuple[Mask, Mask]) -> None:
    found = by_name(zones.find_zones(pixels, lungs))
    assert np.array_equal(found["right middle zone"].mask, box((100, 200), 30, 40, 40, 80))
    assert np.array_equal(found["left lower zone"].mask, box((100, 200), 42, 50, 110, 160))
    assert np.array_equal(found["mediastinum"].mask, box((100, 200), 26, 50, 80, 110))
    assert np.array_equal(found["lower right corner"].mask, box((100, 200), 85, 100, 170, 200))


@pytest.mark.parametrize(
    ("height", "expected"), [(3, (1, 1, 1)), (4, (1, 2, 1)), (5, (2, 1, 2)), (7, (2, 3, 2))]
)
def test_heights_that_three_does_not_divide(height: int, expected: tuple[int, int, int]) -> None:
    """By row centres: of 4 rows, 0.5 | 1.5 2.5 | 3.5 with the cuts at 1.33 and 2.67."""
    parts = zones.thirds(box((12, 5), 2, 2 + height, 1, 2))
    assert tuple(int(part.sum()) for part in parts) == expected


def test_zones_partition_lungs_of_any_shape() -> None:
    lung = np.random.default_rng(0).random((61, 47)) < 0.3
    parts = zones.thirds(lung)
    assert np.array_equal(np.sum(parts, axis=0), lung.astype(int))


def test_mediastinum_ends_at_the_nearest_lung_pixel_of_each_row() -> None:
    right, left = box((6, 20), 1, 5, 2, 6), box((6, 20), 1, 5, 14, 18)
    right[2, 8] = True  # row 2: columns 9 to 13 instead of 6 to 13
    left[3] = False  # the left lung has no row 3
    between = zones.mediastinum(right, left)
    assert between.sum(axis=1).tolist() == [0, 8, 5, 0, 8, 0]


def test_mediastinum_of_a_mirrored_picture(lungs: tuple[Mask, Mask]) -> None:
    mirrored = zones.mediastinum(lungs[0][:, ::-1], lungs[1][:, ::-1])
    assert np.array_equal(mirrored, zones.mediastinum(*lungs)[:, ::-1])


def test_black_lung_at_the_picture_edge_is_no_air_where_it_is_known() -> None:
    grey = np.full((60, 60), 0.6, np.float32)
    lungs = box((60, 60), 10, 40, 0, 20), box((60, 60), 10, 40, 40, 60)
    grey[lungs[0] | lungs[1]] = 0.0
    grey[55:] = 0.0
    assert np.array_equal(zones.outside_body(grey, lungs), box((60, 60), 55, 60, 0, 60))


def test_dark_bowel_gas_is_inside_and_a_letter_in_the_air_outside() -> None:
    grey = np.zeros((100, 100), np.float32)
    grey[:, 30:] = 0.6
    grey[60:70, 60:70] = 0.0  # gas: dark, not joined to the edge
    grey[20:28, 10:15] = 1.0  # a letter: 40 of 10000 pixels
    assert np.array_equal(zones.outside_body(grey, None), box((100, 100), 0, 100, 0, 30))


def test_an_arm_in_the_air_is_not_outside() -> None:
    grey = np.zeros((100, 100), np.float32)
    grey[:, 50:] = 0.6
    grey[20:60, 10:30] = 0.6  # 800 pixels, 8 %
    arm = box((100, 100), 20, 60, 10, 30)
    assert (zones.outside_body(grey, None) & arm).sum() <= 4  # the median takes its four corners


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_without_lungs_and_without_contrast(value: float) -> None:
    found = zones.find_zones(np.full((40, 40), value, np.float32), None)
    assert [region.facts.kind for region in found] == [
        "border",
        "corner",
        "corner",
        "corner",
        "corner",
    ]


def test_the_thorax_is_the_hull_of_both_lungs() -> None:
    """Two squares: the hull is the box round them; a corner taken off one stays outside."""
    right, left = box((40, 80), 10, 30, 10, 30), box((40, 80), 10, 30, 50, 70)
    assert np.array_equal(zones.thorax(right, left), box((40, 80), 10, 30, 10, 70))
    right[10:20, 10:20] = False
    hull = zones.thorax(right, left)
    assert not hull[10, 10]
    assert hull[25, 40]
    assert (hull & right).sum() == right.sum()


def test_border_is_a_twentieth_of_each_side() -> None:
    assert np.array_equal(zones.border((20, 40)), ~box((20, 40), 1, 19, 2, 38))


@pytest.mark.parametrize(
    ("right", "message"),
    [
        (np.zeros((9, 10), np.bool_), r"bool \(9, 10\), expected bool \(10, 10\)"),
        (np.ones((10, 10), np.uint8), "uint8"),
        (np.zeros((10, 10), np.bool_), "0 rows"),
        (box((10, 10), 4, 6, 0, 3), "2 rows"),
    ],
)
def test_refuses_what_is_no_lung(right: Mask, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        zones.find_zones(np.zeros((10, 10), np.float32), (right, box((10, 10), 0, 9, 6, 9)))

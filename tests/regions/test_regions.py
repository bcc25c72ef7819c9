"""Regions of one radiograph on one grid, and their partition."""

from __future__ import annotations

import numpy as np
import pytest
from cxr_audit.records import Mask, Region
from cxr_audit.regions import Lungs, annotation, find_regions, partition
from cxr_audit.vocabulary import Message


def block(rows: slice, columns: slice, shape: tuple[int, int] = (256, 256)) -> Mask:
    mask = np.zeros(shape, np.bool_)
    mask[rows, columns] = True
    return mask


GREY = np.full((600, 300), 128, np.uint8)
RIGHT, LEFT = block(slice(64, 160), slice(32, 96)), block(slice(64, 160), slice(160, 224))
FOUND = Lungs(RIGHT, LEFT, 0.9)


def names(regions: tuple[Region, ...]) -> set[str]:
    return {region.facts.name for region in regions}


def test_all_masks_lie_on_one_grid_with_the_pictures_aspect() -> None:
    marker = Region.of(
        block(slice(10, 20), slice(10, 20), (512, 256)), "letter 1", "marker", "planted", 0.8
    )
    found = find_regions(GREY, FOUND, (marker,))
    assert {region.mask.shape for region in found} == {(256, 128)}
    masks = {region.facts.name: region.mask for region in found}
    # Of 256 columns the grid keeps 128: the right lung's 32 to 96 become 16 to 48; rows stay.
    assert np.array_equal(masks["right lung"], block(slice(64, 160), slice(16, 48), (256, 128)))
    assert np.array_equal(masks["lungs"], masks["right lung"] | masks["left lung"])
    assert np.array_equal(masks["letter 1"], block(slice(5, 10), slice(5, 10), (256, 128)))
    assert next(r.facts for r in found if r.facts.name == "lungs").area_fraction == pytest.approx(
        2 * 96 * 32 / 32768
    )


def test_elsewhere_is_what_lies_in_none_of_the_others() -> None:
    """A box below the lungs that somebody drew takes nothing away."""
    drawn = annotation(block(slice(400, 480), slice(100, 150), (512, 256)), "a box")
    found = find_regions(GREY, FOUND, (drawn,))
    elsewhere = found[-1]
    assert (elsewhere.facts.name, elsewhere.facts.kind) == ("elsewhere", "elsewhere")
    assert np.array_equal(
        elsewhere.mask, sum(part.astype(int) for part in partition(found).values()) == 0
    )
    assert elsewhere.mask[220, 60]  # in the box


def test_without_lungs_nothing_that_needs_them() -> None:
    empty = np.zeros((256, 256), np.bool_)
    for lungs in (None, Lungs(empty, empty, 0.1, "lungs not found: nothing looks like lung")):
        found = find_regions(GREY, lungs)
        assert not {"lungs", "right lung", "mediastinum", "right upper zone"} & names(found)
        assert "border" in names(found)


def test_a_marker_survives_the_grid_and_owns_its_pixels() -> None:
    """A 20 px letter of a 1024 px radiograph, over the lung: 5 px here, and the zone does not have
    it."""
    letter = Region.of(
        block(slice(200, 210), slice(100, 110), (512, 256)), "letter 1", "marker", "planted", 0.8
    )
    found = find_regions(GREY, FOUND, (letter,))
    parts = partition(found)
    assert parts["letter 1"].sum() == 25
    total = sum(part.astype(int) for part in parts.values())
    assert total.max() == 1  # no pixel twice
    zones = sum(parts[name].sum() for name in parts if name.endswith("zone"))
    lungs = next(region.mask for region in found if region.facts.name == "lungs")
    assert zones == lungs.sum() - (lungs & parts["letter 1"]).sum()
    assert "lungs" not in parts


def test_an_annotation_lies_on_the_grid_and_in_no_budget() -> None:
    drawn = annotation(block(slice(100, 300), slice(0, 600), (1200, 600)), "a box of the manifest")
    assert max(drawn.mask.shape) == 512
    found = find_regions(GREY, FOUND, (drawn,))
    (one,) = (region for region in found if region.facts.kind == "annotation")
    assert one.facts.found_by == "a box of the manifest"
    # 100 to 300 of 1200 rows are 21.3 to 64 of 256.
    assert np.array_equal(np.flatnonzero(one.mask.all(axis=1)), np.arange(21, 64))
    assert "annotation" not in partition(found)


def test_an_annotation_of_a_few_pixels_does_not_vanish() -> None:
    drawn = annotation(
        block(slice(1000, 1002), slice(700, 703), (2000, 1500)), "a box of the manifest"
    )
    (one,) = (
        region for region in find_regions(GREY, None, (drawn,)) if region.facts.kind == "annotation"
    )
    assert 1 <= one.mask.sum() <= 2
    assert one.mask[
        128, 59
    ]  # 1001 of 2000 rows and 701.5 of 1500 columns, on 256 x 128: 128.1 and 59.9


def test_of_a_mirrored_radiograph_the_sides_are_exchanged() -> None:
    masks, mirrored = (
        {
            region.facts.name: region.mask
            for region in find_regions(GREY, FOUND, is_mirrored=is_mirrored)
        }
        for is_mirrored in (False, True)
    )
    for name in ("{} lung", "{} upper zone", "{} lower zone"):
        for side, other in (("right", "left"), ("left", "right")):
            np.testing.assert_array_equal(mirrored[name.format(side)], masks[name.format(other)])
    assert masks["right lung"].any()
    assert not (masks["right lung"] & masks["left lung"]).any()
    np.testing.assert_array_equal(mirrored["lungs"], masks["lungs"])


@pytest.mark.parametrize("is_mirrored", [False, True])
def test_lungs_say_where_one_may_be_cut(is_mirrored: bool) -> None:
    """30 of 96 rows of one lung are left: 0.31 of the other."""
    cut = Lungs(RIGHT & block(slice(64, 94), slice(0, 256)), LEFT, 0.9)
    facts = {region.facts.name: region.facts for region in find_regions(GREY, cut, (), is_mirrored)}
    for name in ("lungs", "right lung", "left lung"):
        how = facts[name].found_by
        assert isinstance(how, Message)
        warning = how.values["warning"]
        assert warning["code"] == "regions.lung_may_be_cut"
        assert warning["values"]["ratio"] == pytest.approx(30 / 96)
        assert warning["values"]["side"] == ("left lung" if is_mirrored else "right lung")
    whole = {region.facts.name: region.facts for region in find_regions(GREY, FOUND)}
    assert isinstance(whole["lungs"].found_by, Message)
    assert whole["lungs"].found_by.code == "regions.by_segmenter"

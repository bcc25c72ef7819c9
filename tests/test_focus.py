"""Focus metrics against hand-computed values."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from cxr_audit import focus
from cxr_audit.audit import measuring
from cxr_audit.focus import MapEvidence
from cxr_audit.focus.in_region import FUNCTIONS as REGION_FUNCTIONS
from cxr_audit.focus.in_region import above_otsu
from cxr_audit.focus.metrics import FUNCTIONS as MAP_FUNCTIONS
from cxr_audit.preprocess import cell_shares, place, region_shares, restore, seen
from cxr_audit.records import (
    ClassActivationMap,
    MapFacts,
    MapStatus,
    Measurements,
    Placement,
    Region,
)
from cxr_audit.regions import find_regions, zones
from cxr_audit.vocabulary import MAP_METRICS, REGION_METRICS, message
from scipy import ndimage

REASONS: dict[MapStatus, str] = {
    "dead": "focus.map_is_zero",
    "negative_only": "focus.no_positive_part",
    "saturated": "focus.gradient_lost",
    "not_finite": "focus.not_finite",
}


def evidence_of(
    values: list[list[float]],
    placement: Placement | None = None,
    status: MapStatus = "ok",
    shape: tuple[int, int] | None = None,
) -> MapEvidence:
    """A map on its radiograph; the heatmap is at the radiograph's size unless another is given."""
    grid = np.asarray(values, np.float32)
    placement = placement or place(100, 100, 100, 100, "stretch")
    rows, columns = shape or (placement.radiograph_rows, placement.radiograph_columns)
    share, on_left, centres = cell_shares(placement, *grid.shape)
    border = zones.border((placement.radiograph_rows, placement.radiograph_columns))
    (border_share,) = region_shares(placement, *grid.shape, border[None])
    return MapEvidence(
        values=grid,
        status=status,
        heatmap=restore(grid, placement, rows, columns),
        seen=seen(placement, rows, columns),
        radiograph_share=share,
        left_share=on_left,
        border_share=border_share,
        cell_positions=centres,
        half_cell_px=(rows / grid.shape[0] / 2, columns / grid.shape[1] / 2),
        threshold=0.5,
    )


def measure(
    values: list[list[float]], placement: Placement | None = None, status: MapStatus = "ok"
) -> Measurements:
    return focus.measure(evidence_of(values, placement, status))


def test_an_even_map() -> None:
    metrics = measure([[1, 1], [1, 1]])
    assert metrics["high_focus_fraction"] == 1
    assert metrics["focus_band"] == "diffuse"
    assert metrics["centroid"] == (0.5, 0.5)
    assert metrics["entropy"] == pytest.approx(1)
    # Ring of 5 % on each side: 1 - 0.9 * 0.9
    assert metrics["border_fraction"] == pytest.approx(0.19)
    assert metrics["border_chance"] == pytest.approx(0.19)
    assert metrics["padding_fraction"] == 0


def test_one_cell_of_sixteen() -> None:
    grid = [[0, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    metrics = measure(grid)
    # Bilinear hat of 50 px base each way; above half its height: |x|, |y| hats with product >=
    # 1/2. Area of {(1 - a)(1 - b) >= 1/2, 0 <= a, b}: 1/2 - ln(2)/2, in units of (25 px)^2, four
    # quadrants.
    assert metrics["high_focus_fraction"] == pytest.approx(
        4 * (0.5 - np.log(2) / 2) * 25**2 / 100**2, abs=0.003
    )
    assert metrics["focus_band"] == "focal"
    assert metrics["centroid"] == (0.375, 0.375)
    assert metrics["peak"][0] == pytest.approx(0.375, abs=0.01)
    assert metrics["entropy"] == 0
    assert metrics["border_fraction"] == 0


def test_the_border_of_the_metrics_is_the_border_of_the_regions() -> None:
    # 64 pixels a side: the centres of three lie within 3.2 of an edge.
    placement, chance = place(64, 64, 64, 64, "stretch"), 1 - (58 / 64) ** 2
    found = find_regions(np.full((64, 64), 128, np.uint8), None)
    shares = region_shares(placement, 2, 2, np.stack([region.mask for region in found]))
    class_map = ClassActivationMap(
        np.asarray([[3, 0], [0, 1]], np.float32), facts_of(None, None, False)
    )
    metrics, rows = measuring.measure(class_map, class_map.values, placement, found, shares, 0.5)
    border = rows["border"]
    assert metrics["border_fraction"] == border["relevance_mass_accuracy"] == pytest.approx(chance)
    assert metrics["border_chance"] == border["chance"] == pytest.approx(chance)


def test_entropy_of_two_equal_cells_of_four() -> None:
    assert measure([[3, 3], [0, -9]])["entropy"] == pytest.approx(np.log(2) / np.log(4))


def test_negative_cells_do_not_count() -> None:
    assert measure([[1, -5], [0, -3]])["centroid"][0] == 0.25


def test_evidence_in_padding_is_reported_and_left_out_of_the_rest() -> None:
    # 50x100 letterboxed into 100x100: the middle two of four rows of cells are on the radiograph.
    placement = place(50, 100, 100, 100, "letterbox")
    metrics = measure([[1] * 4, [1] * 4, [0] * 4, [0] * 4], placement)
    assert metrics["padding_fraction"] == 0.5
    assert metrics["centroid"][0] == pytest.approx(0.25)


@pytest.mark.parametrize("status", ["dead", "negative_only", "saturated", "not_finite"])
def test_property_5_a_map_without_positive_part_is_undefined_with_its_reason(
    status: MapStatus,
) -> None:
    metrics = measure([[0, 0], [0, 0]], status=status)
    assert metrics.values == dict.fromkeys(MAP_METRICS.keys())
    assert metrics.undefined == dict.fromkeys(MAP_METRICS.keys(), message(REASONS[status]))


def test_evidence_in_padding_only_is_undefined() -> None:
    placement = place(50, 100, 100, 100, "letterbox")
    metrics = measure([[1] * 4, [0] * 4, [0] * 4, [0] * 4], placement)
    assert metrics.undefined["peak"] == message("focus.all_in_padding")


def test_the_gini_index_by_hand() -> None:
    assert measure([[1, 1], [1, 1]])["gini"] == pytest.approx(0)
    # One of n cells: 1 - 1/n. Shares (0, 0, 1/2, 1/2): 1 - 2 (1/2 x 1.5 + 1/2 x 0.5) / 4.
    assert measure([[0, 7], [-2, 0]])["gini"] == pytest.approx(3 / 4)
    assert measure([[3, 3], [0, 0]])["gini"] == pytest.approx(1 / 2)


def test_the_balance_of_left_and_right() -> None:
    assert measure([[2, 0], [3, 0]])["left_right_balance"] == -1
    assert measure([[1, 3], [0, 0]])["left_right_balance"] == pytest.approx(0.5)
    # Three columns: the middle one counts half for each side.
    assert measure([[1, 4, 1]])["left_right_balance"] == pytest.approx(0)
    # The middle half of the width is all that the model saw: its left half is the radiograph's
    # left.
    assert measure([[3, 1]], place(100, 200, 100, 100, "center_crop"))[
        "left_right_balance"
    ] == pytest.approx(-0.5)


def test_areas_of_high_focus_are_counted_where_they_touch() -> None:
    one_hot = np.zeros((8, 8))
    one_hot[1, 1] = 1
    assert measure(one_hot.tolist())["num_components"] == 1
    one_hot[6, 6] = one_hot[1, 6] = 0.9
    assert measure(one_hot.tolist())["num_components"] == 3
    one_hot[1, 1:7] = 1  # a bridge
    assert measure(one_hot.tolist())["num_components"] == 2
    ring = np.ones((8, 8))
    ring[2:6, 2:6] = 0
    assert measure(ring.tolist())["num_components"] == 1


def test_areas_against_an_independent_count() -> None:
    rng = np.random.default_rng(3)
    for density in (0.02, 0.3, 0.5, 0.8):
        mask = rng.random((60, 45)) < density
        evidence = replace(
            evidence_of([[1, 1], [1, 1]], shape=(60, 45)), heatmap=mask.astype(np.float32)
        )
        expected = ndimage.label(mask, np.ones((3, 3)))[1]
        assert focus.measure(evidence)["num_components"] == expected


def test_a_single_cell_has_no_entropy() -> None:
    metrics = measure([[2]])
    assert metrics["entropy"] is None
    assert metrics.undefined == dict.fromkeys(("entropy", "gini"), message("focus.single_cell"))
    assert metrics["high_focus_fraction"] == 1


def test_the_bands_meet_at_their_limits() -> None:
    # The left 3 of 10 columns at full height; nearest-cell grids make the share exact enough by
    # construction.
    grid = np.zeros((1, 1000))
    for share, band in ((0.29, "focal"), (0.31, "regional"), (0.69, "regional"), (0.71, "diffuse")):
        grid[:] = 0
        grid[:, : int(share * 1000)] = 1
        assert measure(grid.tolist())["focus_band"] == band


def measure_regions(
    values: list[list[float]],
    *masks: np.ndarray,
    placement: Placement | None = None,
    status: MapStatus = "ok",
) -> list[Measurements]:
    placement = placement or place(100, 100, 100, 100, "stretch")
    evidence = evidence_of(values, placement, status, masks[0].shape)
    regions = [
        Region.of(mask, f"region {n}", "lung", "drawn by hand") for n, mask in enumerate(masks)
    ]
    shares = region_shares(placement, *evidence.values.shape, np.stack(masks))
    measured = focus.measure_regions(evidence, regions, shares)
    return [measured[f"region {n}"] for n in range(len(masks))]


def block(rows: slice, columns: slice, shape: tuple[int, int] = (40, 40)) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[rows, columns] = True
    return mask


LEFT, RIGHT = block(slice(None), slice(0, 20)), block(slice(None), slice(20, 40))


def test_shares_of_two_halves_add_up_to_the_map() -> None:
    left, right = measure_regions([[3, 1], [0, 4]], LEFT, RIGHT)
    assert left["relevance_mass_accuracy"] == pytest.approx(3 / 8)
    assert right["relevance_mass_accuracy"] == pytest.approx(5 / 8)
    assert left["chance"] == right["chance"] == pytest.approx(0.5)
    assert right["enrichment"] == pytest.approx(1.25)


def test_a_region_counts_a_cell_by_its_area() -> None:
    # Columns 10 to 30 of 40: half of each of the four cells.
    (middle,) = measure_regions([[3, 1], [0, 4]], block(slice(None), slice(10, 30)))
    assert middle["relevance_mass_accuracy"] == pytest.approx(0.5)
    assert middle["chance"] == pytest.approx(0.5)


def test_an_even_map_scores_its_chance_everywhere() -> None:
    for found in measure_regions([[2, 2], [2, 2]], LEFT, block(slice(0, 4), slice(0, 4))):
        assert found["enrichment"] == pytest.approx(1)
        assert found["relevance_mass_accuracy"] == pytest.approx(found["chance"])
        # All pixels tie: as many as chance has it are inside.
        assert found["relevance_rank_accuracy"] == pytest.approx(found["chance"])


def test_the_highest_pixels_of_a_slope_are_on_its_side() -> None:
    # Falls from left to right: the highest half of the pixels is the left half, exactly.
    left, right = measure_regions([[4, 3, 2, 1]], LEFT, RIGHT)
    assert (left["relevance_rank_accuracy"], right["relevance_rank_accuracy"]) == (1, 0)
    assert (left["pointing_game_hit"], right["pointing_game_hit"]) == (True, False)


def test_a_peak_within_half_a_cell_is_a_hit() -> None:
    # The peak of cell (1, 1) of 4x4 on 40x40 lies between pixels 14 and 15; half a cell is 5
    # pixels.
    grid = [[0, 0, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    near, far = measure_regions(
        grid, block(slice(0, 40), slice(20, 40)), block(slice(0, 40), slice(22, 40))
    )
    assert (near["pointing_game_hit"], far["pointing_game_hit"]) == (True, False)


def test_what_the_model_did_not_see_is_no_chance() -> None:
    # The middle 50 of 100 columns are all that the model saw: of the left half of the radiograph,
    # one half.
    placement = place(100, 200, 100, 100, "center_crop")
    left, edge = measure_regions(
        [[1, 3]], LEFT, block(slice(None), slice(0, 10)), placement=placement
    )
    assert left["chance"] == pytest.approx(0.5)
    assert left["relevance_mass_accuracy"] == pytest.approx(0.25)
    assert edge.undefined["enrichment"] == message("focus.region_not_seen")


def test_the_overlap_with_the_area_of_high_focus() -> None:
    # One column of 40 pixels, ten a cell, falling from 4 to 1 between the centres at 5, 15, 25,
    # 35: 4 - (p - 5) / 10. At least 2 up to p = 25: the upper 25 pixels.
    slope = [[4], [3], [2], [1]]
    upper, lower, whole = (
        block(rows, slice(None)) for rows in (slice(0, 20), slice(20, 40), slice(0, 40))
    )
    found = measure_regions(slope, upper, lower, whole)
    assert [one["iou"] for one in found] == pytest.approx([20 / 25, 5 / 40, 25 / 40])
    assert [one["dice"] for one in found] == pytest.approx([40 / 45, 10 / 45, 50 / 65])


def test_otsu_finds_the_two_levels_of_a_map() -> None:
    # Four hundred columns of 5, then six hundred of 4: half of the maximum does not part them,
    # Otsu does.
    grid = np.full((1, 1000), 4.0)
    grid[:, :400] = 5
    left, right = (
        block(slice(None), columns, (10, 1000)) for columns in (slice(0, 400), slice(400, 1000))
    )
    for one, iou, otsu in zip(
        measure_regions(grid.tolist(), left, right), (0.4, 0.6), (1, 0), strict=True
    ):
        assert (one["iou"], one["iou_otsu"]) == pytest.approx((iou, otsu))
        assert (one["dice"], one["dice_otsu"]) == pytest.approx((2 * iou / (1 + iou), otsu))


def test_otsu_against_an_independent_threshold() -> None:
    heatmap = np.random.default_rng(2).gamma(2, 1, (50, 40)).astype(np.float32)
    levels = (heatmap * (255 / heatmap.max())).astype(np.uint8)
    limit, _ = cv2.threshold(levels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    assert np.array_equal(above_otsu(heatmap, np.ones(heatmap.shape, bool)), levels > limit)


def test_a_map_of_one_value_has_no_otsu_threshold() -> None:
    (one,) = measure_regions([[2, 2], [2, 2]], LEFT)
    assert (one["iou"], one["dice"]) == pytest.approx((0.5, 2 / 3))
    assert one.undefined == dict.fromkeys(("iou_otsu", "dice_otsu"), message("focus.one_value"))


def test_what_the_controls_score() -> None:
    left, right = (
        Region.of(mask, name, "lung", "by hand")
        for mask, name in ((LEFT, "left"), (RIGHT, "right"))
    )
    shares = np.asarray([[[1, 0], [1, 0]], [[0, 1], [0, 1]]], np.float32)
    maps = {"a": np.asarray([[3, 1], [0, 0]], np.float32), "none": np.zeros((2, 2), np.float32)}
    assert focus.control_shares(maps, np.ones((2, 2), np.float32), [left, right], shares) == {
        "left": {"a": 0.75},
        "right": {"a": 0.25},
    }


def test_an_empty_region_is_undefined_never_a_hit() -> None:
    (empty,) = measure_regions([[1, 3]], np.zeros((40, 40), bool))
    assert empty["pointing_game_hit"] is None
    assert empty.undefined == dict.fromkeys(REGION_METRICS.keys(), message("focus.region_empty"))


@pytest.mark.parametrize("status", ["dead", "negative_only", "saturated", "not_finite"])
def test_property_5_regions_of_a_map_without_positive_part_are_undefined(status: MapStatus) -> None:
    (found,) = measure_regions([[0, 0]], LEFT, status=status)
    assert found.undefined == dict.fromkeys(REGION_METRICS.keys(), message(REASONS[status]))


def facts_of(bias: float | None, gap: float | None, is_exact: bool) -> MapFacts:
    return MapFacts("hirescam", "hirescam", "layer", "class", "ok", 2, 2, bias, gap, is_exact)


HALF = np.asarray([[1, 0.5], [0, 0]], np.float32)
LOWER = np.asarray([[0, 0], [1, 1]], np.float32)
SIGNED = np.asarray([[2, -4], [1, 3]], np.float32)


def test_a_budget_by_hand() -> None:
    budget = focus.budget(SIGNED, facts_of(-0.5, 0.0, True), {"lungs": HALF, "marker": LOWER})
    assert budget is not None
    # 2 - 4/2; 1 + 3; the other half of -4; the bias. Together 1.5.
    assert budget.parts == (("lungs", 0.0), ("marker", 4.0), ("elsewhere", -2.0), ("bias", -0.5))
    assert budget.logit == 1.5


def test_what_is_not_accounted_for_is_a_part_of_its_own() -> None:
    budget = focus.budget(SIGNED, facts_of(None, 0.25, False), {"marker": LOWER})
    assert budget is not None
    assert budget.parts == (("marker", 4.0), ("elsewhere", -2.0), ("not accounted for", 0.25))
    assert budget.logit == 2.25
    assert not budget.is_exact


def test_a_path_from_a_baseline_names_its_start() -> None:
    facts = MapFacts("ig", "integrated-gradients", "input", "class", "ok", 2, 2, -0.5, 0.01, False)
    budget = focus.budget(SIGNED, facts, {})
    assert budget is not None
    assert [name for name, _ in budget.parts] == [
        "elsewhere",
        "logit of the baseline",
        "not accounted for",
    ]


def test_a_map_in_no_logits_has_no_budget_and_regions_must_not_overlap() -> None:
    assert focus.budget(SIGNED, facts_of(None, None, False), {}) is None
    with pytest.raises(ValueError, match="the regions lungs, marker overlap"):
        focus.budget(SIGNED, facts_of(0.0, 0.0, True), {"lungs": HALF, "marker": HALF})


def test_every_row_has_a_function_and_every_function_a_row() -> None:
    assert tuple(MAP_FUNCTIONS) == tuple(row.key for row in MAP_METRICS if row.function is None)
    rows = tuple(row.key for row in REGION_METRICS if row.function is None)
    assert tuple(REGION_FUNCTIONS) == rows

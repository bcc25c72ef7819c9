"""Preprocessing: hand-computed values, and geometry that comes back."""

from typing import get_args

import numpy as np
import pytest
from cxr_audit.config import Preprocess
from cxr_audit.preprocess import (
    SCALINGS,
    box_share,
    cell_edges,
    cell_shares,
    half_cell,
    place,
    preprocess,
    recipe_of,
    region_shares,
    resample,
    restore,
    seen,
)
from cxr_audit.records import Placement, Radiograph, RadiographFacts, Resize, SourceFile

SOURCE = SourceFile("0" * 64, "0" * 64, "PNG", None, "test")
RESIZES = get_args(Resize)


def radiograph(pixels: np.ndarray) -> Radiograph:
    pixels = np.asarray(pixels, np.float32)
    return Radiograph("case", pixels, RadiographFacts(*pixels.shape, SOURCE))


@pytest.mark.parametrize(
    ("scaling", "channels", "expected"),
    [
        ("unit", 1, [0.2]),
        ("minus_one_one", 3, [-0.6, -0.6, -0.6]),
        ("raw_255", 1, [51.0]),
        ("txv", 1, [2048 * 0.2 - 1024]),
        # keras.applications mode "torch": (0.2 - mean) / deviation, RGB
        ("imagenet", 3, [(0.2 - 0.485) / 0.229, (0.2 - 0.456) / 0.224, (0.2 - 0.406) / 0.225]),
        # keras.applications mode "caffe": BGR, 51 - mean
        ("caffe", 3, [51 - 103.939, 51 - 116.779, 51 - 123.68]),
    ],
)
def test_scalings(scaling: str, channels: int, expected: list[float]) -> None:
    settings = Preprocess(rows=2, columns=2, channels=channels, scaling=scaling)
    model_input, _, _ = preprocess(radiograph(np.full((4, 4), 0.2)), settings)
    np.testing.assert_allclose(
        model_input.tensor, np.broadcast_to(expected, (2, 2, channels)), rtol=1e-5, atol=1e-5
    )


def test_every_named_scaling_of_the_config_exists() -> None:
    names = Preprocess.model_json_schema()["properties"]["scaling"]["anyOf"][0]["enum"]
    assert set(names) == set(SCALINGS)


def test_explicit_scale_and_offset() -> None:
    settings = Preprocess(rows=2, columns=2, channels=1, scale=10.0, offset=-3.0)
    model_input, _, decisions = preprocess(radiograph(np.full((2, 2), 0.5)), settings)
    assert np.all(model_input.tensor == 2.0)
    assert decisions[-1].how.code == "preprocess.scaling.explicit"
    assert decisions[-1].how.values == {"scale": 10.0, "offset": -3.0, "channels": 1}


def test_letterbox_of_a_wide_image_by_hand() -> None:
    # 100x200 into 50x50: scale 1/4, so 25x50 pixels, 12 rows of padding above
    assert place(100, 200, 50, 50, "letterbox") == Placement(100, 200, 50, 50, 0.25, 0.25, 12, 0)


def test_center_crop_of_a_wide_image_by_hand() -> None:
    # 100x200 into 50x50: scale 1/2, so 50x100 pixels, 25 columns cut on the left
    assert place(100, 200, 50, 50, "center_crop") == Placement(100, 200, 50, 50, 0.5, 0.5, 0, -25)


def test_padding_is_black_and_the_image_lies_where_the_placement_says() -> None:
    placement = place(100, 200, 50, 50, "letterbox")
    resized = resample(np.ones((100, 200), np.float32), placement)
    assert np.all(resized[12:37] == 1)
    assert resized[:12].sum() + resized[37:].sum() == 0


def test_shrinking_averages_areas() -> None:
    checkerboard = (np.indices((64, 64)).sum(0) % 2).astype(np.float32)
    np.testing.assert_allclose(resample(checkerboard, place(64, 64, 8, 8, "stretch")), 0.5)


def test_restore_uses_half_pixel_centres() -> None:
    # A 2x2 map over 4x4 pixels: cell centres at 1 and 3, pixel centres at 0.5, 1.5, 2.5, 3.5.
    heatmap = restore(np.asarray([[0, 4], [0, 4]], np.float32), place(4, 4, 8, 8, "stretch"), 4, 4)
    np.testing.assert_allclose(heatmap, np.tile([0, 1, 3, 4], (4, 1)))


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("cells", [5, 7, 8, 14])
@pytest.mark.parametrize("shape", [(300, 200), (200, 300), (97, 211)])
def test_property_4_a_one_hot_cell_comes_back_to_its_place(
    resize: Resize, cells: int, shape: tuple[int, int]
) -> None:
    """The maximum of the heatmap lies within 0.5 px of the cell's centre on the radiograph.

    Flips are no part of a placement: radiographs are never flipped.
    """
    placement = place(*shape, 224, 224, resize)
    row, column = cells // 2, cells // 2 - 1
    one_hot = np.zeros((cells, cells), np.float32)
    one_hot[row, column] = 1
    heatmap = restore(one_hot, placement, *shape)
    # By hand, independent of the code: input position of the centre, then the affine's inverse.
    expected_row = ((row + 0.5) * 224 / cells - placement.offset_rows) / placement.scale_rows
    expected_column = (
        (column + 0.5) * 224 / cells - placement.offset_columns
    ) / placement.scale_columns
    found_row, found_column = np.unravel_index(heatmap.argmax(), shape)
    assert abs(found_row + 0.5 - expected_row) <= 0.5 + 1e-6
    assert abs(found_column + 0.5 - expected_column) <= 0.5 + 1e-6


@pytest.mark.parametrize("resize", RESIZES)
def test_a_bright_spot_goes_through_the_model_input_and_back(resize: Resize) -> None:
    """Forward by OpenCV, back by `restore`: two implementations of one geometry."""
    pixels = np.zeros((300, 200), np.float32)
    pixels[140:150, 90:100] = 1
    placement = place(300, 200, 224, 224, resize)
    recipe = recipe_of(Preprocess(scaling="unit", resize=resize))
    back = restore(resample(pixels, placement, recipe), placement, 300, 200)
    rows, columns = np.indices(back.shape) + 0.5
    assert abs((back * rows).sum() / back.sum() - 145) < 0.5
    assert abs((back * columns).sum() / back.sum() - 95) < 0.5


def test_seen_is_false_where_the_crop_cut() -> None:
    mask = seen(place(100, 200, 50, 50, "center_crop"), 100, 200)
    assert mask[:, 50:150].all()
    assert not mask[:, :50].any()
    assert not mask[:, 150:].any()


def test_shares_of_cells_are_areas() -> None:
    # 50x100 letterboxed into 100x100: rows 25 to 75 hold it; four cells of 25 rows: 0, 1, 1, 0.
    share, _, (rows, columns) = cell_shares(place(50, 100, 100, 100, "letterbox"), 4, 4)
    np.testing.assert_allclose(share, np.outer([0, 1, 1, 0], np.ones(4)))
    np.testing.assert_allclose(rows, [-0.25, 0.25, 0.75, 1.25])
    np.testing.assert_allclose(columns, [0.125, 0.375, 0.625, 0.875])
    # A box over the upper left quarter and half a cell more.
    quarter = box_share(place(100, 100, 100, 100, "stretch"), 2, 2, (0, 0, 50, 75))
    np.testing.assert_allclose(quarter, [[1, 0.5], [0, 0]])


def test_shares_of_cells_in_a_mask_are_areas_at_any_resolution() -> None:
    # 100x200 letterboxed into 40x40: rows 10 to 30 hold it. 4x4 cells of 10 px = 50 px of it.
    placement = place(100, 200, 40, 40, "letterbox")
    mask = np.zeros((100, 200), bool)
    mask[25:100, 60:150] = True
    expected = np.outer([0, 0.5, 1, 0], [0, 0.8, 1, 0])
    np.testing.assert_allclose(region_shares(placement, 4, 4, mask[None])[0], expected, atol=2e-6)
    np.testing.assert_allclose(
        region_shares(placement, 4, 4, mask[None, ::5, ::10])[0], expected, atol=2e-6
    )
    rest = region_shares(placement, 4, 4, ~mask[None])[0]
    np.testing.assert_allclose(rest + expected, np.outer([0, 1, 1, 0], np.ones(4)), atol=2e-6)


@pytest.mark.parametrize("resize", RESIZES)
def test_lines_between_cells_lie_on_the_radiograph(resize: Resize) -> None:
    placement = place(100, 200, 40, 40, resize)
    rows, columns = cell_edges(placement, 2, 4, 50, 100)  # drawn at half size
    expected = {
        "stretch": ([0, 25, 50], [0, 25, 50, 75, 100]),
        "letterbox": (
            [-25, 25, 75],
            [0, 25, 50, 75, 100],
        ),  # 10 px of padding = 50 px of the radiograph
        "center_crop": ([0, 25, 50], [25, 37.5, 50, 62.5, 75]),
        "crop_resize": ([0, 25, 50], [25, 37.5, 50, 62.5, 75]),
        "pad_resize": ([-25, 25, 75], [0, 25, 50, 75, 100]),
    }[resize]
    np.testing.assert_allclose(rows, expected[0])
    np.testing.assert_allclose(columns, expected[1])


def test_clahe_raises_local_contrast_and_is_recorded() -> None:
    rng = np.random.default_rng(0)
    flat = 0.5 + 0.02 * rng.standard_normal((64, 64))
    settings = Preprocess(rows=64, columns=64, channels=1, scaling="unit", clahe=2.0)
    model_input, _, decisions = preprocess(radiograph(flat.clip(0, 1)), settings)
    assert model_input.tensor.std() > 1.2 * flat.std()
    step = decisions[0].how.values["step"]
    assert step["code"] == "preprocess.contrast.clahe"
    assert step["values"] == {"clip_limit": 2.0, "tiles": 8}


def test_a_constant_image_stays_finite() -> None:
    for value in (0.0, 1.0):
        settings = Preprocess(scaling="imagenet", clahe=2.0)
        assert np.isfinite(
            preprocess(radiograph(np.full((10, 10), value)), settings)[0].tensor
        ).all()


def test_half_a_cell_in_pixels_of_the_radiograph() -> None:
    # 200x100 stretched to 56x56, cells of 8: half a cell is 4/56 of the radiograph's side.
    placement = place(200, 100, 56, 56, "stretch")
    assert half_cell(placement, 7, 7, 50, 25) == pytest.approx((50 * 4 / 56, 25 * 4 / 56))


def test_region_shares_of_a_letterbox_leave_the_padding_out() -> None:
    # 50x100 letterboxed into 100x100: rows of cells 0 and 3 of 4 are padding, the mask is the
    # upper half.
    mask = np.zeros((1, 10, 20), bool)
    mask[0, :5] = True
    shares = region_shares(place(50, 100, 100, 100, "letterbox"), 4, 4, mask)
    np.testing.assert_allclose(shares[0], np.repeat([[0], [1], [0], [0]], 4, 1), atol=1e-6)

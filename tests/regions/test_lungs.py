"""Two lungs from a probability map drawn by hand; the shipped network on real radiographs and on
what is no chest."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from cxr_audit.errors import ModelError
from cxr_audit.reference import WEIGHTS, card_of
from cxr_audit.reference.phantom import Spec, draw
from cxr_audit.regions.lungs import (
    SIZE,
    Lungs,
    LungSegmenter,
    find_lungs,
    on_radiograph,
    segmenter_input,
)
from cxr_audit.vocabulary import Message

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE]


def ellipse(row: float, column: float, height: float, width: float) -> Mask:
    """Filled ellipse with half axes `height` and `width`."""
    return np.asarray(((ROWS - row) / height) ** 2 + ((COLUMNS - column) / width) ** 2 <= 1)


RIGHT, LEFT = ellipse(120, 75, 80, 35), ellipse(120, 180, 80, 35)


def probability(mask: Mask, inside: float = 0.98, outside: float = 0.01) -> Floats:
    return np.where(mask, inside, outside).astype(np.float32)


@pytest.fixture(scope="module")
def segmenter() -> LungSegmenter:
    return LungSegmenter(WEIGHTS / "lungs.keras")


def test_the_patients_right_lung_is_on_the_left_of_the_image() -> None:
    lungs = find_lungs(probability(RIGHT | LEFT))
    assert lungs.reason is None
    np.testing.assert_array_equal(lungs.right, RIGHT)
    np.testing.assert_array_equal(lungs.left, LEFT)
    assert lungs.right.mean() == pytest.approx(np.pi * 80 * 35 / SIZE**2, rel=0.01)


def test_confidence_is_the_expected_dice() -> None:
    """With p inside and q outside: 2 p A / (p A + q B + A)."""
    area = int((RIGHT | LEFT).sum())
    expected = 2 * 0.9 * area / (0.9 * area + 0.05 * (SIZE**2 - area) + area)
    lungs = find_lungs(probability(RIGHT | LEFT, 0.9, 0.05))
    assert lungs.confidence == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("bridge", [2, 6, 12])
def test_lungs_that_touch_are_separated(bridge: int) -> None:
    touching = RIGHT | LEFT | ((abs(ROWS - 90) < bridge) & (COLUMNS > 75) & (COLUMNS < 180))
    lungs = find_lungs(probability(touching))
    assert lungs.reason is None
    assert (lungs.right & RIGHT).sum() >= 0.99 * RIGHT.sum()
    assert (lungs.left & LEFT).sum() >= 0.99 * LEFT.sum()
    assert not (lungs.right & lungs.left).any()
    np.testing.assert_array_equal((lungs.right | lungs.left) & (RIGHT | LEFT), RIGHT | LEFT)


def test_a_tail_along_the_wall_is_cut_off() -> None:
    tail = (abs(COLUMNS - 75) < 2) & (ROWS > 195) & (ROWS < 245)
    lungs = find_lungs(probability(RIGHT | LEFT | tail))
    assert not lungs.right[202:].any()
    assert (lungs.right & RIGHT).sum() >= 0.99 * RIGHT.sum()


def test_holes_are_filled_and_fragments_dropped() -> None:
    hole, bubble = ellipse(120, 75, 12, 12), ellipse(235, 200, 8, 12)
    lungs = find_lungs(probability((RIGHT & ~hole) | LEFT | bubble))
    assert lungs.right[hole].all()
    np.testing.assert_array_equal(lungs.left, LEFT)


def test_a_lung_in_two_parts_stays_one_lung() -> None:
    band = abs(ROWS - 120) < 5
    lungs = find_lungs(probability(RIGHT | (LEFT & ~band)))
    assert lungs.reason is None
    np.testing.assert_array_equal(lungs.left, LEFT & ~band)


@pytest.mark.parametrize(
    ("mask", "codes"),
    [
        (np.zeros((SIZE, SIZE), np.bool_), ["nothing_like_lung"]),
        (np.ones((SIZE, SIZE), np.bool_), ["one_area"]),
        (RIGHT, ["one_area"]),
        (ellipse(60, 128, 35, 80) | ellipse(180, 128, 35, 80), ["not_beside"]),
        (RIGHT | ellipse(120, 180, 80, 12), ["lung_too_flat"]),
        (RIGHT | ellipse(120, 190, 22, 22), ["areas_differ", "one_area"]),
        (RIGHT & (COLUMNS > 75) | LEFT, None),
        (np.roll(RIGHT | LEFT, -75, axis=1) & (COLUMNS < 180), ["lung_cut_off"]),
        (np.roll(RIGHT | LEFT, 120, axis=0) & (ROWS > 100), ["lung_cut_off"]),
        (RIGHT & (ROWS % 24 > 11) | LEFT, ["one_area", "lung_too_ragged"]),
    ],
)
def test_what_cannot_be_two_lungs_is_refused_with_the_reason(
    mask: Mask, codes: list[str] | None
) -> None:
    lungs = find_lungs(probability(mask))
    if codes is None:
        assert lungs.reason is None
        return
    reason = reason_of(lungs)
    assert reason["code"].removeprefix("regions.") in codes
    assert not lungs.right.any()
    assert not lungs.left.any()
    assert lungs.warning is None


def reason_of(lungs: Lungs) -> dict[str, Any]:
    assert isinstance(lungs.reason, Message)
    assert lungs.reason.code == "regions.lungs_not_found"
    return lungs.reason.values["reason"]


def test_a_lung_that_is_cut_off_is_named_with_the_edge() -> None:
    """The image's left part is the patient's right lung."""
    shifted = np.roll(RIGHT | LEFT, -75, axis=1) & (COLUMNS < 180)
    reason = reason_of(find_lungs(probability(shifted)))
    assert reason["values"] == {"side": "right lung", "edge": "left"}
    reason = reason_of(find_lungs(probability(np.roll(RIGHT | LEFT, 120, axis=0) & (ROWS > 100))))
    assert reason["values"]["edge"] == "lower"


def test_an_uncertain_segmentation_is_refused() -> None:
    reason = reason_of(find_lungs(probability(RIGHT | LEFT, inside=0.6, outside=0.2)))
    assert reason["code"] == "regions.uncertain"
    assert reason["values"]["least"] == 0.8


@pytest.mark.parametrize(("rows", "is_cut"), [(0, False), (70, False), (90, True)])
def test_a_lung_below_half_of_the_other_may_be_cut(rows: int, is_cut: bool) -> None:
    """Two blocks of 160 rows, the left one with fewer: 160, 90 or 70 of 160 are 1, 0.56, 0.44."""
    mask = np.zeros((SIZE, SIZE), np.bool_)
    mask[50:210, 40:100] = mask[50 + rows : 210, 156:216] = True
    lungs = find_lungs(probability(mask))
    assert lungs.reason is None
    assert lungs.area_ratio == pytest.approx((160 - rows) / 160)
    if not is_cut:
        assert lungs.warning is None
        return
    assert lungs.warning is not None
    assert lungs.warning.code == "regions.lung_may_be_cut"
    assert lungs.warning.values == {
        "side": "left lung",
        "ratio": pytest.approx(70 / 160),
        "limit": 0.5,
    }
    mirrored = lungs.mirrored().warning
    assert mirrored is not None
    assert mirrored.values["side"] == "right lung"


@pytest.mark.realdata
def test_consolidated_lungs_are_warned_of_and_normal_ones_are_not(
    segmenter: LungSegmenter, shared_data: Path
) -> None:
    """Of each kind the first 40 of the test part by name; a mask that lost a lung is named."""
    shares = {}
    for kind in ("NORMAL", "PNEUMONIA"):
        files = sorted((shared_data / "kermany" / "test" / kind).iterdir())[:40]
        found = segmenter.find(np.stack([segmenter_input(_read(file)) for file in files]))
        shares[kind] = sum(lungs.warning is not None for lungs in found)
    assert shares["NORMAL"] == 0
    assert shares["PNEUMONIA"] >= 1


def test_labels_lie_on_the_radiographs_own_pixels() -> None:
    lungs = find_lungs(probability(RIGHT | LEFT))
    labels = on_radiograph(lungs, 1024, 512)
    assert labels.shape == (1024, 512)
    assert labels.dtype == np.uint8
    assert set(np.unique(labels)) == {0, 1, 2}
    # Each pixel of the grid covers 4x2 pixels: areas grow eightfold, centres by half-pixel centres.
    assert (labels == 1).sum() == pytest.approx(8 * RIGHT.sum(), rel=0.01)
    rows, columns = np.nonzero(labels == 2)
    assert rows.mean() == pytest.approx((120 + 0.5) * 4 - 0.5, abs=0.3)
    assert columns.mean() == pytest.approx((180 + 0.5) * 2 - 0.5, abs=0.3)


def test_input_does_not_depend_on_exposure_nor_on_the_side() -> None:
    image = np.random.default_rng(1).random((300, 400), np.float32)
    seen = segmenter_input(image)
    assert seen.shape == (SIZE, SIZE)
    assert seen.dtype == np.float32
    assert 0 <= seen.min() <= seen.max() <= 1
    assert abs(segmenter_input(image * np.float32(0.3) + np.float32(0.5)) - seen).mean() < 0.01
    np.testing.assert_allclose(
        segmenter_input(image[:, ::-1]).mean(0), seen.mean(0)[::-1], atol=0.02
    )
    assert np.ptp(segmenter_input(np.full((64, 64), 0.4, np.float32))) == 0


def test_batches_of_any_size(segmenter: LungSegmenter) -> None:
    images = np.random.default_rng(2).random((17, SIZE, SIZE), np.float32)
    together = segmenter.probabilities(images)
    assert together.shape == (17, SIZE, SIZE)
    np.testing.assert_allclose(segmenter.probabilities(images[16:])[0], together[16], atol=1e-5)
    assert segmenter.probabilities(images[:0]).shape == (0, SIZE, SIZE)


def test_the_mirror_image_gets_the_mirrored_probabilities(segmenter: LungSegmenter) -> None:
    image = segmenter_input(np.where(RIGHT | LEFT, 0.1, 0.8).astype(np.float32))
    both = segmenter.probabilities(np.stack([image, image[:, ::-1]]))
    np.testing.assert_allclose(both[1], both[0][:, ::-1], atol=1e-4)


def test_altered_weights_are_refused(tmp_path: Path) -> None:
    weights = tmp_path / "lungs.keras"
    data = bytearray((WEIGHTS / "lungs.keras").read_bytes())
    data[len(data) // 2] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ModelError, match=r"cannot read the lung segmenter .*lungs\.json"):
        LungSegmenter(weights)
    shutil.copy(WEIGHTS / "lungs.json", tmp_path)
    with pytest.raises(ModelError, match="not the lung segmenter of its card"):
        LungSegmenter(weights)
    (tmp_path / "lungs.json").write_text("{}")
    with pytest.raises(ModelError, match="no model card with a sha256"):
        LungSegmenter(weights)


def _no_chests() -> dict[str, Floats]:
    rng = np.random.default_rng(3)
    ramp = np.linspace(0, 1, 512, dtype=np.float32)
    wedge = np.repeat(np.repeat(np.linspace(0, 1, 8, dtype=np.float32), 64)[None], 512, 0)
    blocks = (
        0.2 + 0.6 * cv2.blur((np.indices((512, 512)).sum(0) // 64 % 2).astype(np.float32), (9, 9))
    ).astype("f4")
    return {
        "blank": np.full((512, 512), 0.5, np.float32),
        "black": np.zeros((512, 512), np.float32),
        "noise": rng.random((512, 512), np.float32),
        "smooth noise": cv2.resize(
            rng.random((6, 6), np.float32), (512, 512), interpolation=cv2.INTER_CUBIC
        ).clip(0, 1),
        "gradient": np.repeat(ramp[None], 512, 0),
        "step wedge": wedge,
        "chessboard": blocks,
    }


@pytest.mark.parametrize("name", list(_no_chests()))
def test_what_is_no_chest_has_no_lungs(segmenter: LungSegmenter, name: str) -> None:
    lungs = find_lungs(segmenter.probabilities(segmenter_input(_no_chests()[name])[None])[0])
    assert lungs.reason is not None


def _read(path: Path) -> Floats:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.float32) / np.float32(255)


@pytest.mark.realdata
def test_held_out_radiographs(segmenter: LungSegmenter, shared_data: Path) -> None:
    """Three of the test part: near the hand-drawn masks upright, refused when turned."""
    for name in ("CHNCXR_0010_0", "CHNCXR_0011_0", "MCUCXR_0041_0"):
        image = segmenter_input(_read(shared_data / "lungs" / "images" / f"{name}.jpg"))
        turned = [image, np.rot90(image), np.rot90(image, 2), np.rot90(image, 3)]
        upright, *others = (find_lungs(p) for p in segmenter.probabilities(np.stack(turned)))
        truth = _read(shared_data / "lungs" / "masks" / f"{name}.png") > 0.5
        mask = on_radiograph(upright, *truth.shape) > 0
        assert 2 * (mask & truth).sum() / (mask.sum() + truth.sum()) > 0.94
        assert all(lungs.reason is not None for lungs in others)


@pytest.mark.realdata
def test_an_extremity_has_no_lungs(segmenter: LungSegmenter, shared_data: Path) -> None:
    from cxr_audit.ingest import discover, read

    (case,) = discover(shared_data / "dicom" / "nema-rg3-extremity-mono1-10bit-jpeg2000.dcm")
    lungs = find_lungs(segmenter.probabilities(segmenter_input(read(case).pixels)[None])[0])
    assert lungs.reason is not None


def test_the_card_is_of_these_weights() -> None:
    card = card_of("lungs")
    assert (WEIGHTS / card.weights).stat().st_size <= 4_000_000
    figures = {(one.what, one.data): one.value for one in card.measured}
    assert figures["Dice", "Montgomery and Shenzhen, held out"] >= 0.955
    adults = "adults (COVID-19 Image Data Collection)"
    assert figures["Share of the masks inside the radiologists' lung boxes", adults] >= 0.95
    assert figures["IoU of boxes round the masks with the radiologists'", adults] >= 0.77
    assert all(value <= 0.02 for (what, _), value in figures.items() if what == "Lungs not found")
    assert all(value >= 0.95 for (what, _), value in figures.items() if what.startswith("Refused"))


def test_where_there_are_no_lungs_the_picture_is_turned_and_inverted(
    segmenter: LungSegmenter,
) -> None:
    """A phantom, four times: as it is, its head to the left, upside down, its negative; and what is
    no chest."""
    chest = segmenter_input(draw(Spec(5, "F", "adult"), 256, 240).pixels)
    pictures = [
        chest,
        np.rot90(chest),
        np.rot90(chest, 2),
        1 - chest,
        *map(segmenter_input, _no_chests().values()),
    ]
    upright, left, down, negative, *none = segmenter.find(np.stack(pictures))
    assert upright.reason is None
    assert (upright.turn_deg, upright.is_negative) == (0, False)
    assert (left.turn_deg, left.is_negative) == (270, False)
    assert (down.turn_deg, down.is_negative) == (180, False)
    assert (negative.turn_deg, negative.is_negative) == (0, True)
    for lungs in (left, down, negative):
        assert lungs.reason is not None
        assert not lungs.right.any()
        assert lungs.area_fraction == pytest.approx(upright.area_fraction, rel=0.1)
    assert {(lungs.turn_deg, lungs.is_negative, lungs.area_fraction < 0.07) for lungs in none} == {
        (0, False, True)
    }


def test_area_edge_and_tilt_of_lungs() -> None:
    """Two blocks of 60 x 40 of 256 x 256, the left one 20 rows lower, on the lower edge; centres
    100 columns apart."""
    mask = np.zeros((SIZE, SIZE), np.bool_)
    mask[176:236, 60:100] = mask[196:256, 160:200] = True
    lungs = find_lungs(probability(mask))
    assert lungs.area_fraction == pytest.approx(2 * 60 * 40 / SIZE**2)
    assert lungs.edge_fraction == pytest.approx(40 / SIZE)
    found = replace(
        lungs,
        reason=None,
        right=mask & (np.arange(SIZE) < 128),
        left=mask & (np.arange(SIZE) >= 128),
    )
    assert found.angle_deg(500, 500) == pytest.approx(np.degrees(np.arctan(20 / 100)))
    assert found.angle_deg(1000, 500) == pytest.approx(np.degrees(np.arctan(2 * 20 / 100)))
    missing = replace(lungs, reason="lungs not found")
    assert missing.angle_deg(500, 500) is None
    assert replace(missing, turn_deg=270).angle_deg(500, 500) == 270
    assert replace(missing, is_negative=True).angle_deg(500, 500) == 0

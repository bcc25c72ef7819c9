"""The segmenter's training: parts that share no patient, augmentation that keeps the truth, figures by hand."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from cxr_audit.records import Mask
from cxr_audit.reference import train_lungs
from cxr_audit.reference.train_lungs import (
    SIZE,
    augment,
    build_segmenter,
    cloud,
    dice,
    expose,
    loss,
    mean_with_interval,
    measure_boxes,
    parts_of,
)
from cxr_audit.regions.lungs import Lungs

NAMES = [f"MCUCXR_{k:04}_0" for k in range(120)] + [f"CHNCXR_{k:04}_1" for k in range(240)]


def box(top: int, left: int, bottom: int, right: int) -> Mask:
    mask = np.zeros((SIZE, SIZE), np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def test_each_source_has_its_own_fifth_and_twelfth() -> None:
    parts = parts_of(NAMES, 1)
    for source, number in (("MCUCXR", 120), ("CHNCXR", 240)):
        of_source = parts[[name.startswith(source) for name in NAMES]]
        assert (of_source == "test").sum() == number // 5
        assert (of_source == "validation").sum() == number // 12
        assert (of_source == "train").sum() == number - number // 5 - number // 12
    np.testing.assert_array_equal(parts, parts_of(NAMES, 1))
    assert (parts != parts_of(NAMES, 2)).any()


def test_one_million_parameters_at_most() -> None:
    assert build_segmenter().count_params() <= 1_000_000


def test_loss_by_hand() -> None:
    """Truth 1, 0 against 0.8, 0.4: cross-entropy (-ln 0.8 - ln 0.6) / 2, Dice (2 * 0.8 + 1) / (1 + 1.2 + 1)."""
    truth, found = (np.asarray(v, np.float32).reshape(1, 1, 2, 1) for v in ([1, 0], [0.8, 0.4]))
    expected = -(np.log(0.8) + np.log(0.6)) / 2 + 1 - 2.6 / 3.2
    assert float(loss(truth, found)) == pytest.approx(expected, rel=1e-4)


def test_augmentation_is_repeatable_and_in_range() -> None:
    rng = np.random.default_rng(5)
    image = rng.integers(0, 256, (SIZE, SIZE), np.uint8)
    mask = np.where(box(60, 40, 200, 110) | box(60, 150, 200, 220), 255, 0).astype(np.uint8)
    empty = 0
    for seed in range(40):
        seen, lung = augment(image, mask, np.random.default_rng(seed))
        again, _ = augment(image, mask, np.random.default_rng(seed))
        np.testing.assert_array_equal(seen, again)
        assert seen.shape == lung.shape == (SIZE, SIZE)
        assert seen.dtype == lung.dtype == np.float32
        assert 0 <= seen.min() <= seen.max() <= 1
        assert 0 <= lung.min() <= lung.max() <= 1
        empty += not lung.any()
    assert 1 <= empty <= 15  # about 15 % show no upright chest


def test_exposure_never_inverts() -> None:
    ramp = np.repeat(np.linspace(0, 1, SIZE, dtype=np.float32)[None], SIZE, 0)
    for seed in range(50):
        exposed = expose(ramp, np.random.default_rng(seed)).mean(axis=0)
        assert np.corrcoef(exposed, ramp[0])[0, 1] > 0.5


def test_opacities_only_brighten() -> None:
    image = np.random.default_rng(1).random((SIZE, SIZE), np.float32)
    mask = box(60, 40, 200, 110).astype(np.float32)
    brightest = 0.0
    for seed in range(20):
        clouded = cloud(image, mask, np.random.default_rng(seed))
        assert (clouded >= image - 1e-6).all()
        brightest = max(brightest, float((clouded - image).max()))
    assert brightest > 0.5


def test_dice_by_hand() -> None:
    assert dice(box(0, 0, 10, 10), box(0, 5, 10, 15)) == pytest.approx(0.5)
    assert dice(box(0, 0, 0, 0), box(0, 0, 0, 0)) == 1


def test_boxes_by_hand() -> None:
    """Boxes in the pixels of a file of 512x1024; masks on the 256 grid, one quarter of each outside its box."""
    annotation = {
        "width": 1024,
        "height": 512,
        "boxes": [
            {
                "label": "right_lung",
                "x": 80,
                "y": 40,
                "w": 240,
                "h": 160,
            },  # grid: 20..80, rows 20..100
            {"label": "left_lung", "x": 480, "y": 40, "w": 240, "h": 160},  # grid: 120..180
        ],
    }
    lungs = Lungs(box(40, 20, 120, 80), box(40, 120, 120, 180), 0.9)
    figures = measure_boxes(lungs, annotation)
    assert figures["inside_boxes"] == pytest.approx(0.75)
    assert figures["box_iou"] == pytest.approx(60 / 100)
    empty = box(0, 0, 0, 0)
    assert measure_boxes(Lungs(empty, empty, 0.1, "none"), annotation) == {
        "inside_boxes": 0,
        "box_iou": 0,
    }


def test_interval_of_a_mean() -> None:
    """The standard error of 400 fair coins is 0.025."""
    mean, interval = mean_with_interval([0.0, 1.0] * 200, 1)
    assert mean == 0.5
    assert interval == pytest.approx((0.5 - 1.96 * 0.025, 0.5 + 1.96 * 0.025), abs=0.005)


@pytest.mark.slow
def test_one_command_trains_and_writes_the_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("images", "masks"):
        (tmp_path / "lungs" / folder).mkdir(parents=True)
    mask = np.where(box(60, 40, 200, 110) | box(60, 150, 200, 220), 255, 0).astype(np.uint8)
    for k in range(12):
        for name in (f"CHNCXR_{k:04}_0", f"MCUCXR_{k:04}_1"):
            cv2.imwrite(str(tmp_path / "lungs" / "images" / f"{name}.jpg"), 255 - mask // 2)
            cv2.imwrite(str(tmp_path / "lungs" / "masks" / f"{name}.png"), mask)
    data, output = str(tmp_path / "lungs"), str(tmp_path / "out")
    options = ["--data", data, "--output", output, "--epochs", "2", "--batch", "8"]
    monkeypatch.setattr(sys, "argv", ["train_lungs", *options])
    train_lungs.main()
    card = json.loads((tmp_path / "out" / "lungs.json").read_text("utf-8"))
    assert card["data"]["num_cases"] == {"train": 18, "validation": 2, "test": 4}
    assert card["weights"] == "lungs.keras"
    dice_of = next(one for one in card["measured"] if one["what"] == "Dice")
    assert 0 <= dice_of["value"] <= 1
    assert dice_of["num_cases"] == 4
    assert not (tmp_path / "out" / "unfinished").exists() or not list(
        (tmp_path / "out" / "unfinished").iterdir()
    )

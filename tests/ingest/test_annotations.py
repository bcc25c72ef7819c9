"""Boxes and masks of a manifest, on the radiograph's own pixels."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cxr_audit.errors import UnreadableFile, UnsupportedRadiograph, UnusableAnnotation
from cxr_audit.ingest import read_annotation
from cxr_audit.records import Box, CaseSource
from PIL import Image

ROWS, COLUMNS = 30, 40


def read(*boxes: Box, mask: Path | None = None, max_pixels: int = 10_000) -> Any:
    return read_annotation(
        CaseSource("a", Path("x"), "x", boxes=boxes, mask=mask), ROWS, COLUMNS, max_pixels
    )


def saved(folder: Path, pixels: np.ndarray, name: str = "mask.png") -> Path:
    Image.fromarray(pixels).save(folder / name)
    return folder / name


def drawn(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((ROWS, COLUMNS), bool)
    mask[rows, columns] = True
    return mask


def test_nothing_annotated_is_none() -> None:
    assert read() is None


def test_boxes_are_rows_and_columns_of_the_upright_radiograph() -> None:
    area, words = read(Box(row_px=5, column_px=10, height_px=4, width_px=20))
    assert np.array_equal(area, drawn(slice(5, 9), slice(10, 30)))
    assert (words.code, words.values) == ("ingest.boxes", {"num": 1})
    area, words = read(Box(0, 0, 2, 2), Box(28, 38, 2, 2), Box(10.6, 0.2, 3, 0.1))
    expected = (
        drawn(slice(0, 2), slice(0, 2))
        | drawn(slice(28, 30), slice(38, 40))
        | drawn(slice(11, 14), slice(0, 1))
    )
    assert np.array_equal(area, expected)
    assert (words.code, words.values) == ("ingest.boxes", {"num": 3})


@pytest.mark.parametrize("box", [Box(0, 0, 31, 40), Box(0, 0, 30.5, 41)])
def test_a_pixel_beyond_is_rounding(box: Box) -> None:
    assert read(box)[0].all()


@pytest.mark.parametrize(
    "box", [Box(0, 0, 31.5, 10), Box(0, 30, 5, 12), Box(30, 0, 1, 1), Box(500, 500, 10, 10)]
)
def test_a_box_outside_is_refused_never_cut(box: Box) -> None:
    with pytest.raises(
        UnusableAnnotation, match="box 2 reaches beyond the radiograph of 30 x 40 pixels"
    ) as caught:
        read(Box(0, 0, 1, 1), box)
    assert caught.value.hint


@pytest.mark.parametrize(
    "kind",
    [
        "0 and 1",
        "0 and 255",
        "1 bit",
        "16 bit",
        "palette",
        "palette, white first",
        "colour",
        "alpha",
        "only alpha",
        "only alpha on white",
    ],
)
def test_every_pixel_that_is_not_0_is_inside(tmp_path: Path, kind: str) -> None:
    inside = drawn(slice(3, 9), slice(4, 20))
    grey = (255 * inside).astype(np.uint8)
    pixels = {
        "0 and 1": inside.astype(np.uint8),
        "0 and 255": grey,
        "1 bit": inside,
        "16 bit": 9 * inside.astype("<u2"),
    }
    pixels["colour"] = np.dstack([0 * grey, grey, 0 * grey])
    pixels["alpha"] = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    pixels["only alpha"] = np.dstack([0 * grey, 0 * grey, 0 * grey, grey])
    pixels["only alpha on white"] = np.dstack([0 * grey + 255] * 3 + [grey])
    path = tmp_path / "mask.png"
    if kind == "palette":
        image = Image.fromarray(inside.astype(np.uint8), "P")
        image.putpalette([0, 0, 0, 255, 255, 255])
        image.save(path)
    elif kind == "palette, white first":  # the index of white is 0
        image = Image.fromarray((~inside).astype(np.uint8), "P")
        image.putpalette([255, 255, 255, 0, 0, 0])
        image.save(path)
    else:
        saved(tmp_path, pixels[kind])
    area, words = read(mask=path)
    assert np.array_equal(area, inside)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    assert (words.code, words.values) == ("ingest.mask", {"sha256": sha256[:12]})


def test_boxes_and_mask_are_one_area(tmp_path: Path) -> None:
    path = saved(tmp_path, drawn(slice(0, 5), slice(0, 5)), "mask.tif")
    area, words = read(Box(4, 4, 2, 2), mask=path)
    assert np.array_equal(area, drawn(slice(0, 5), slice(0, 5)) | drawn(slice(4, 6), slice(4, 6)))
    assert words.code == "ingest.boxes_and_mask"
    assert words.values["boxes"]["code"] == "ingest.boxes"
    assert words.values["mask"]["code"] == "ingest.mask"


def test_masks_that_cannot_be_used(tmp_path: Path) -> None:
    full = np.full((ROWS, COLUMNS), 255, np.uint8)
    full[0, 0] = 254
    whole = saved(tmp_path, full, "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("Doe^Jane")
    wrong = {
        saved(
            tmp_path, full.T, "turned.png"
        ): "the mask has 40 x 30 pixels .*, the radiograph 30 x 40",
        saved(tmp_path, 0 * full, "black.png"): "black everywhere",
        saved(tmp_path, full, "full.png"): "covers the whole radiograph",
        saved(tmp_path, full, "mask.jpg"): "no PNG or TIFF",
        tmp_path / "cut.png": "damaged or cut short",
        tmp_path / "text.png": "no PNG or TIFF",
    }
    for path, words in wrong.items():
        with pytest.raises(UnusableAnnotation, match=words) as caught:
            read(mask=path)
        assert str(tmp_path) not in str(caught.value) + str(caught.value.__context__)
    with pytest.raises(UnreadableFile, match="does not exist"):
        read(mask=tmp_path / "gone.png")
    with pytest.raises(UnsupportedRadiograph, match="the limit is 1000"):
        read(mask=tmp_path / "whole.png", max_pixels=1000)

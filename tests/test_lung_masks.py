"""`cxr-audit lungs`: a mask on the radiograph's own pixels, a line a file, and a bad file that stops nothing."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from cxr_audit.cli import app
from cxr_audit.errors import ConfigError
from cxr_audit.lung_masks import write_lung_masks
from typer.testing import CliRunner

runner = CliRunner()


def _lines(output: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (output / "lungs.jsonl").read_text("utf-8").splitlines()]


def test_a_bad_file_and_a_blank_one_are_lines_with_reasons(tmp_path: Path) -> None:
    images = tmp_path / "images"
    (images / "b").mkdir(parents=True)
    cv2.imwrite(str(images / "a.png"), np.full((64, 64), 128, np.uint8))
    (images / "b" / "notes.txt").write_text("no image")
    done = runner.invoke(app, ["lungs", str(images), "--output", str(tmp_path / "out")])
    assert done.exit_code == 4, done.output
    blank, broken = _lines(tmp_path / "out")
    assert blank["file"] == str(images / "a.png")
    assert blank["status"] == "not found"
    assert str(blank["reason"]).startswith("lungs not found: ")
    assert broken["status"] == "failed"
    assert broken["reason"]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["lungs.jsonl"]


def test_a_used_output_folder_is_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((64, 64), 128, np.uint8))
    (tmp_path / "lungs.jsonl").write_text("")
    with pytest.raises(ConfigError, match="exists already"):
        write_lung_masks([tmp_path / "a.png"], tmp_path, lambda *_: None)


@pytest.mark.realdata
def test_masks_lie_on_the_radiographs_own_pixels(tmp_path: Path, shared_data: Path) -> None:
    """A DICOM of 1955x1841 and a JPEG of 512x512, given twice: the second mask gets a number."""
    dicom = shared_data / "dicom" / "nema-rg1-chest-pa-mono1-15bit-jpeg2000.dcm"
    jpeg = shared_data / "lungs" / "images" / "CHNCXR_0010_0.jpg"
    lines = write_lung_masks([dicom, jpeg, jpeg], tmp_path / "out", lambda *_: None)
    assert [line.mask for line in lines] == [
        f"{dicom.stem}.png",
        "CHNCXR_0010_0.png",
        "CHNCXR_0010_0-2.png",
    ]
    for line, size in zip(lines, ((1955, 1841), (512, 512), (512, 512)), strict=True):
        mask = cv2.imread(str(tmp_path / "out" / str(line.mask)), cv2.IMREAD_UNCHANGED)
        assert mask.shape == size
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) == {0, 1, 2}
        assert np.nonzero(mask == 1)[1].mean() < size[1] / 2 < np.nonzero(mask == 2)[1].mean()
        assert line.right_area_fraction == pytest.approx((mask == 1).mean(), abs=0.002)
        assert line.left_area_fraction == pytest.approx((mask == 2).mean(), abs=0.002)

"""The demo's radiographs: the same bytes each time, valid DICOM, and the anatomy where it should be."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pydicom
import pytest

from pipeline.reference import radiographs
from pipeline.reference.radiographs import DRAWN, draw_radiograph, write_radiographs


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_radiographs(tmp_path_factory.mktemp("demo")).parent


@pytest.fixture(scope="module")
def normal() -> npt.NDArray[np.float32]:
    return draw_radiograph(np.random.default_rng(7))


def _hashes(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def _shown(path: Path) -> npt.NDArray[np.float64]:
    """As displayed, by the definition of the photometric interpretation alone."""
    if path.suffix != ".dcm":
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        return pixels / np.iinfo(pixels.dtype).max
    ds = pydicom.dcmread(path)
    stored = np.frombuffer(ds.PixelData, "<u2").reshape(ds.Rows, ds.Columns) / (2**ds.BitsStored - 1)
    return 1 - stored if ds.PhotometricInterpretation == "MONOCHROME1" else stored


def test_the_same_seed_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    assert _hashes(write_radiographs(tmp_path).parent) == _hashes(folder)


def test_another_seed_gives_other_chests_and_other_uids(folder: Path, tmp_path: Path) -> None:
    first, second = _hashes(folder), _hashes(write_radiographs(tmp_path, seed=2).parent)
    assert all(first[drawn.name] != second[drawn.name] for drawn in DRAWN)
    uids = [pydicom.dcmread(f / "synthetic-1.dcm").SOPInstanceUID for f in (folder, tmp_path)]
    assert uids[0] != uids[1]


def test_manifest_lists_every_file_once(folder: Path) -> None:
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["path", "label", "patient_id", "kind"]
    assert sorted(row["path"] for row in rows) == sorted(p.name for p in folder.iterdir() if p.name != "manifest.csv")
    labels = [row["label"] for row in rows if row["kind"] == "synthetic radiograph"]
    assert sorted(labels) == ["NORMAL"] * 3 + ["PNEUMONIA"] * 3
    assert all(row["label"] == "" for row in rows if row["kind"] != "synthetic radiograph")


@pytest.mark.parametrize("name", [drawn.name for drawn in DRAWN if drawn.format.startswith("mono")])
def test_dicom_is_a_valid_file_without_a_person(folder: Path, name: str) -> None:
    ds = pydicom.dcmread(folder / name)
    assert ds.SOPClassUID.name == "Digital X-Ray Image Storage - For Presentation"
    assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID
    assert ds.SOPInstanceUID.is_valid
    assert ds.pixel_array.shape == (ds.Rows, ds.Columns)
    assert ds.pixel_array.max() <= 4095
    assert str(ds.PatientName) == "Synthetic^Radiograph"
    assert ds.StudyDate == ""


def test_real_radiographs_are_byte_for_byte_those_of_pydicom_data(folder: Path) -> None:
    for name in radiographs.REAL:
        assert (folder / name).read_bytes()[128:132] == b"DICM"
        assert pydicom.dcmread(folder / name, stop_before_pixels=True).ViewPosition == "PA"


@pytest.mark.parametrize("drawn", DRAWN, ids=lambda drawn: drawn.name)
def test_lungs_are_darker_than_what_lies_between_and_below(folder: Path, drawn: radiographs._Drawn) -> None:
    shown = _shown(folder / drawn.name)
    rows, columns = shown.shape
    band = shown[int(0.38 * rows) : int(0.6 * rows)]
    mediastinum = band[:, int(0.47 * columns) : int(0.53 * columns)].mean()
    lungs = [band[:, int(a * columns) : int(b * columns)].mean() for a, b in ((0.2, 0.4), (0.65, 0.83))]
    belly = shown[int(0.88 * rows) :, int(0.3 * columns) : int(0.4 * columns)].mean()
    air = shown[: int(0.03 * rows), : int(0.04 * columns)].mean()
    assert min(lungs) < 0.7 * mediastinum
    assert max(lungs) < 0.95 * mediastinum
    assert min(lungs) < belly
    assert air < min(lungs)


@pytest.mark.parametrize("opacity", [drawn.opacity for drawn in DRAWN if drawn.opacity])
def test_an_opacity_brightens_its_place(opacity: tuple[float, float, float]) -> None:
    without, with_it = (draw_radiograph(np.random.default_rng(3), which) for which in (None, opacity))
    x, y, radius = (value / radiographs.SPACING_MM for value in opacity)
    row, column, half = round(y), round(x + without.shape[1] / 2), round(radius / 2)
    place = np.s_[row - half : row + half, column - half : column + half]
    assert with_it[place].mean() > without[place].mean() + 0.1


def test_marker_stands_on_the_patients_side(normal: npt.NDArray[np.float32]) -> None:
    for marker, is_left_half in (("R", True), ("L", False)):
        marked = draw_radiograph(np.random.default_rng(7), marker=marker)
        columns = np.nonzero(marked != normal)[1]
        assert columns.size > 0
        assert (columns.mean() < normal.shape[1] / 2) == is_left_half


def test_a_missing_sample_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(radiographs, "get_testdata_file", lambda name, download: None)
    with pytest.raises(radiographs.ConfigError, match="pydicom-data"):
        write_radiographs(tmp_path)

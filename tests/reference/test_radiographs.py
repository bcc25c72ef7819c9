"""The demo's radiographs: what was promised is there, the same bytes each time, the anatomy as displayed."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from cxr_audit.errors import NotARadiograph
from cxr_audit.ingest import discover, read
from cxr_audit.reference import radiographs
from cxr_audit.reference.radiographs import write_radiographs
from pydicom.data import get_testdata_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_radiographs(tmp_path_factory.mktemp("demo")).parent


@pytest.fixture(scope="module")
def rows(folder):
    with (folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        return {row["path"]: row for row in csv.DictReader(file)}


@pytest.fixture(scope="module")
def shown(folder):
    """Pixels as the audit reads them, by file name; None for what it refuses."""
    pixels = {}
    for case in discover(folder / "manifest.csv", "label"):
        try:
            pixels[case.relative_path] = read(case).pixels
        except NotARadiograph:
            pixels[case.relative_path] = None
    return pixels


def hashes(folder):
    return {
        path.relative_to(folder): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def mask(folder, row, name):
    return cv2.imread(str(folder / row["masks"] / f"{name}.png"), cv2.IMREAD_GRAYSCALE) > 0


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(folder, tmp_path):
    again, other = (write_radiographs(tmp_path / str(seed), seed).parent for seed in (1, 2))
    assert hashes(again) == hashes(folder)
    phantoms = [path for path in hashes(folder) if path.name.startswith("phantom")]
    assert len(phantoms) == 12
    assert all(hashes(folder)[path] != hashes(other)[path] for path in phantoms)


def test_the_demo_holds_what_it_promises(folder, rows, shown):
    assert sorted(rows) == sorted(
        path.name for path in folder.iterdir() if path.suffix not in ("", ".csv")
    )
    chests = [row for row in rows.values() if row["seed"]]
    assert len(chests) == 11
    assert {row["sex"] for row in chests} == {"F", "M"}
    assert {row["age_band"] for row in chests} == {"child", "adult", "elderly"}
    assert {row["label"] for row in chests} == {"NORMAL", "PNEUMONIA"}
    assert {finding for row in chests for finding in row["finding"].split("+")} == {
        "", "consolidation", "patchy", "interstitial", "effusion", "nodule",
    }  # fmt: skip
    kinds = " / ".join(row["kind"] for row in rows.values())
    for promised in (
        "real radiograph",
        "planted shortcuts",
        "poor quality",
        "mirrored",
        "no chest",
        "not a radiograph",
    ):
        assert promised in kinds
    assert [name for name, pixels in shown.items() if pixels is None] == ["notes.txt"]
    assert {Path(name).suffix for name in rows} == {".dcm", ".png", ".jpg", ".txt"}
    assert all(row["label"] == "" for row in rows.values() if not row["seed"])


def test_the_real_radiograph_is_byte_for_byte_that_of_pydicom_data(folder):
    assert (folder / "RG1_UNCI.dcm").read_bytes() == Path(
        get_testdata_file("RG1_UNCI.dcm", download=False)
    ).read_bytes()


def test_dicom_files_differ_in_flavour_and_name_no_person(folder, rows):
    datasets = [
        pydicom.dcmread(folder / name)
        for name in rows
        if name.startswith("phantom") and name.endswith(".dcm")
    ]
    assert len({ds.file_meta.TransferSyntaxUID for ds in datasets}) == len(datasets) == 4
    assert {ds.Modality for ds in datasets} == {"CR", "DX"}
    assert {ds.PhotometricInterpretation for ds in datasets} == {"MONOCHROME1", "MONOCHROME2"}
    for ds in datasets:
        assert str(ds.PatientName) == "Synthetic^Radiograph"
        assert ds.StudyDate == ""
        assert ds.SOPInstanceUID.is_valid
        assert ds.file_meta.MediaStorageSOPInstanceUID == ds.SOPInstanceUID


def test_hearts_point_to_the_right_of_the_picture_but_for_the_mirrored_one(folder, rows, shown):
    """By the truth: the heart's middle against the lungs', and bright where the truth says heart."""
    for name, row in rows.items():
        if not row["seed"]:
            continue
        heart = mask(folder, row, "heart")
        lungs = mask(folder, row, "right_lung") | mask(folder, row, "left_lung")
        points_right = np.nonzero(heart)[1].mean() > np.nonzero(lungs)[1].mean()
        assert points_right == ("mirrored" not in row["kind"]), name
        if not row["finding"]:
            assert shown[name][heart].mean() > 1.2 * shown[name][lungs].mean(), name


def test_poor_quality_is_poor(folder, rows, shown):
    """Noise in the belly, beyond what a blur of 2 px leaves, against that of a proper exposure."""

    def grain(name):
        pixels = shown[name]
        belly = (pixels - cv2.GaussianBlur(pixels, (0, 0), 2))[-120:-40, 300:400]
        return belly.std()

    (poor,) = (name for name, row in rows.items() if "poor quality" in row["kind"])
    assert grain(poor) > 3 * grain("phantom-01.dcm")


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(
        radiographs.ConfigError, match=r"cannot write the folder .*: Not a directory"
    ):
        write_radiographs(tmp_path / "file" / "demo")


def test_a_missing_sample_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(radiographs, "get_testdata_file", lambda name, download: None)
    with pytest.raises(radiographs.ConfigError, match="pydicom-data"):
        write_radiographs(tmp_path)

"""Files show the phantom: values by pydicom, then the formulas of the standard by hand, beside what ingest shows."""

from __future__ import annotations

import csv
import hashlib
import json
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pydicom
import pytest
from cxr_audit.errors import ConfigError
from cxr_audit.ingest import discover, read
from cxr_audit.reference.phantom import Spec, draw
from cxr_audit.reference.phantom.files import (
    COMPRESSED,
    NATIVE,
    DicomOptions,
    write_cases,
    write_dicom,
    write_image,
)

PIXELS = draw(Spec(3, "F", "adult"), 96, 80).pixels


def curve(t):
    """The documented curve of the tables: t + 0.4 t (1 - t)."""
    return t + 0.4 * t * (1 - t)


def linear(x, center, width):
    """PS3.3 C.11.2.1.2.1"""
    return np.clip((x - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


# options, display value by hand from the stored value, largest rounding error by hand
FLAVOURS = {
    "8 bits": (DicomOptions(bits_stored=8), lambda x: linear(x, 128, 256), 0.5 / 255),
    "8 bits in 16": (
        DicomOptions(bits_stored=8, bits_allocated=16),
        lambda x: linear(x, 128, 256),
        0.5 / 255,
    ),
    "12 bits, CR": (DicomOptions("CR"), lambda x: linear(x, 2048, 4096), 0.5 / 4095),
    "15 bits, MONOCHROME1": (
        DicomOptions(bits_stored=15, photometric_interpretation="MONOCHROME1"),
        lambda x: 1 - linear(x, 16384, 32768),
        0.5 / 32767,
    ),
    "16 bits signed, LINEAR_EXACT": (
        DicomOptions(bits_stored=16, is_signed=True, window="LINEAR_EXACT"),
        lambda x: np.clip((x + 0.5) / 65535 + 0.5, 0, 1),
        0.5 / 65535,
    ),
    "14 bits, SIGMOID": (  # ends: 1 / (1 + e^12) = 6e-6; steepest in the middle: slope 1 / width
        DicomOptions(bits_stored=14, window="SIGMOID"),
        lambda x: 1 / (1 + np.exp(-4 * (x - 8191.5) / 2730.5)),
        0.5 / 2730.5 + 6.2e-6,
    ),
    "10 bits, negative slope": (  # 1023 .. 0 -> -1546 .. 500
        DicomOptions(bits_stored=10, rescale=(-2.0, 500.0)),
        lambda x: linear(500 - 2 * x, -522.5, 2047),
        0.5 / 1023,
    ),
    "12 bits signed, fractional slope": (  # -2048 .. 2047 -> -502 .. 521.75
        DicomOptions(is_signed=True, rescale=(0.25, 10.0), window="LINEAR_EXACT"),
        lambda x: np.clip((0.25 * x + 10 - 9.875) / 1023.75 + 0.5, 0, 1),
        0.5 / 4095,
    ),
    "VOI LUT of 10 bits": (
        DicomOptions(voi_lut=10),
        lambda x: np.rint(1023 * curve(x / 4095)) / 1023,
        0.5 * 1.4 / 4095 + 0.5 / 1023,
    ),
    "VOI LUT of 65536 entries, signed": (
        DicomOptions(bits_stored=16, is_signed=True, voi_lut=16),
        lambda x: np.rint(65535 * curve((x + 32768) / 65535)) / 65535,
        0.5 * 1.4 / 65535 + 0.5 / 65535,
    ),
    "modality LUT": (
        DicomOptions(rescale=None, modality_lut=True),
        lambda x: linear(np.rint(65535 * curve(x / 4095)), 32768, 65536),
        0.5 * 1.4 / 4095 + 0.5 / 65535,
    ),
    "modality LUT, signed, MONOCHROME1": (
        DicomOptions(
            rescale=None,
            modality_lut=True,
            is_signed=True,
            photometric_interpretation="MONOCHROME1",
        ),
        lambda x: 1 - linear(np.rint(65535 * curve((x + 2048) / 4095)), 32768, 65536),
        0.5 * 1.4 / 4095 + 0.5 / 65535,
    ),
    "no rescale": (DicomOptions(rescale=None), lambda x: linear(x, 2048, 4096), 0.5 / 4095),
}


def through(path, options, padding=None):
    write_dicom(path, PIXELS, options, padding)
    (case,) = discover(path)
    return read(case), pydicom.dcmread(path)


@pytest.mark.parametrize("name", FLAVOURS)
def test_every_flavour_shows_the_same_picture(tmp_path, name):
    options, by_hand, tolerance = FLAVOURS[name]
    radiograph, dataset = through(tmp_path / "x.dcm", options)
    stored = dataset.pixel_array.astype(float)
    assert stored.min() >= (-(2 ** (options.bits_stored - 1)) if options.is_signed else 0)
    assert np.abs(by_hand(stored) - PIXELS).max() < 1.001 * tolerance + 1e-6
    assert radiograph.pixels == pytest.approx(by_hand(stored), abs=1e-6)
    assert (dataset.Modality, dataset.BitsStored) == (options.sop_class, options.bits_stored)
    assert dataset.PhotometricInterpretation == options.photometric_interpretation


def test_without_a_window_the_reader_takes_the_own_range(tmp_path):
    radiograph, dataset = through(tmp_path / "x.dcm", DicomOptions(window=None, rescale=None))
    assert "WindowCenter" not in dataset
    stored = dataset.pixel_array.astype(float)
    assert stored == pytest.approx(4095 * PIXELS, abs=0.501)
    assert radiograph.pixels == pytest.approx((stored - stored.min()) / np.ptp(stored), abs=1e-6)


@pytest.mark.parametrize("photometric_interpretation", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize(("is_signed", "padding"), [(False, 1), (True, 1), (False, 5), (True, 5)])
def test_padding_is_black_and_keeps_out_of_the_image(
    tmp_path, photometric_interpretation, is_signed, padding
):
    outside = np.zeros(PIXELS.shape, bool)
    outside[:, :9] = True
    options = DicomOptions(
        photometric_interpretation=photometric_interpretation, is_signed=is_signed, padding=padding
    )
    radiograph, dataset = through(tmp_path / "x.dcm", options, outside)
    lowest = -2048 if is_signed else 0
    assert dataset.PixelPaddingValue == lowest
    assert dataset.get("PixelPaddingRangeLimit", lowest) == lowest + padding - 1
    stored = dataset.pixel_array.astype(float)
    assert (stored[outside] == lowest).all()
    assert stored[~outside].min() >= lowest + padding
    assert (radiograph.pixels[outside] == 0).all()
    assert np.abs(radiograph.pixels - PIXELS)[~outside].max() < 0.51 / (4095 - padding)


@pytest.mark.parametrize(
    "name", [*NATIVE, *(n for n, (*_, lossy) in COMPRESSED.items() if not lossy)]
)
@pytest.mark.parametrize("bits", [8, 16])
def test_lossless_transfer_syntaxes_keep_every_value(tmp_path, name, bits):
    options = DicomOptions(bits_stored=bits, transfer_syntax=name)
    plain, _ = through(tmp_path / "plain.dcm", replace(options, transfer_syntax="explicit"))
    radiograph, dataset = through(tmp_path / "x.dcm", options)
    assert (
        dataset.file_meta.TransferSyntaxUID
        == {**NATIVE, **{k: v[0] for k, v in COMPRESSED.items()}}[name]
    )
    assert radiograph.facts.source.pixel_sha256 == plain.facts.source.pixel_sha256
    assert np.array_equal(radiograph.pixels, plain.pixels)
    assert dataset.LossyImageCompression == "00"


@pytest.mark.parametrize("name", ["big endian", "rle"])
def test_tables_survive_the_order_of_bytes(tmp_path, name):
    radiograph, _ = through(tmp_path / "x.dcm", DicomOptions(voi_lut=12, transfer_syntax=name))
    assert np.abs(radiograph.pixels - PIXELS).max() < 0.5 * 1.4 / 4095 + 0.5 / 4095 + 1e-6


@pytest.mark.parametrize(
    ("name", "bits"),
    [("jpeg baseline", 8), ("jpeg extended", 12), ("jpeg-ls near", 12), ("jpeg 2000 lossy", 12)],
)
def test_lossy_transfer_syntaxes_say_so_and_stay_close(tmp_path, name, bits):
    radiograph, dataset = through(
        tmp_path / "x.dcm", DicomOptions(bits_stored=bits, transfer_syntax=name)
    )
    assert dataset.LossyImageCompression == "01"
    assert float(dataset.LossyImageCompressionRatio) > 1
    assert np.abs(radiograph.pixels - PIXELS).mean() < 0.01
    assert not np.array_equal(
        np.rint(radiograph.pixels * (2**bits - 1)), np.rint(PIXELS * (2**bits - 1))
    )


def test_jpeg_near_lossless_keeps_within_its_error(tmp_path):
    radiograph, _ = through(tmp_path / "x.dcm", DicomOptions(transfer_syntax="jpeg-ls near"))
    assert np.abs(radiograph.pixels - PIXELS).max() <= 2.501 / 4095


@pytest.mark.parametrize(
    "wrong",
    [
        {"bits_stored": 7}, {"bits_stored": 17}, {"bits_stored": 12, "bits_allocated": 8}, {"bits_allocated": 32},
        {"rescale": (0.0, 1.0)}, {"modality_lut": True}, {"voi_lut": 7}, {"voi_lut": 8, "rescale": (0.5, 0.0)},
        {"padding": 4096}, {"transfer_syntax": "htj2k"}, {"transfer_syntax": "jpeg baseline"},
        {"transfer_syntax": "jpeg lossless", "is_signed": True},
        {"transfer_syntax": "rle", "bits_stored": 8, "bits_allocated": 16},
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused(wrong):
    with pytest.raises(ConfigError) as error:
        DicomOptions(**wrong)
    assert error.value.hint


def test_plain_images_hold_the_pixels(tmp_path):
    for name, bits, white, tolerance in (
        ("a.png", 16, 65535, 0.501),
        ("b.png", 8, 255, 0.501),
        ("c.jpg", 8, 255, 20),
    ):
        write_image(tmp_path / name, PIXELS, bits)
        stored = cv2.imread(str(tmp_path / name), cv2.IMREAD_UNCHANGED)
        assert np.abs(stored - PIXELS * white).max() < tolerance
    with pytest.raises(ConfigError):
        write_image(tmp_path / "d.bmp", PIXELS)


def hashes(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


@pytest.mark.parametrize("file_format", ["png", "png8", "jpeg", "dicom"])
def test_cases_come_with_their_truth(tmp_path, file_format):
    spec = Spec(4, "M", "adult", ("consolidation",), ("marker_r", "leads"))
    manifest = write_cases(tmp_path, [spec], 96, 80, file_format)
    with manifest.open(newline="") as file:
        (row,) = csv.DictReader(file)
    phantom = draw(spec, 96, 80)
    assert (row["label"], row["sex"], row["age_band"], row["rows"], row["columns"]) == (
        "PNEUMONIA",
        "M",
        "adult",
        "96",
        "80",
    )
    assert (row["finding"], row["shortcut"], row["seed"]) == (
        "consolidation",
        "marker_r+leads",
        "4",
    )
    assert {
        name: tuple(box) for name, box in json.loads(row["mask_boxes"]).items()
    } == phantom.boxes
    assert tuple(map(int, row["boxes"].split(","))) == phantom.boxes["consolidation"]
    masks = {
        path.stem: cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        for path in (tmp_path / row["masks"]).iterdir()
    }
    assert set(masks) == {"right_lung", "left_lung", "heart", "consolidation", "marker_r", "leads"}
    for name, mask in masks.items():
        assert np.array_equal(mask > 0, phantom.masks[name])
    (case,) = discover(manifest, "label")
    assert case.label == "PNEUMONIA"
    tolerance = {"png": 1e-5, "png8": 0.0021, "jpeg": 0.08, "dicom": 1e-3}[file_format]
    assert np.abs(read(case).pixels - phantom.pixels).max() < tolerance


def test_the_command_writes_the_same_bytes_as_another_process(tmp_path):
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        command = [
            "-m",
            "cxr_audit.cli",
            "phantom",
            folder,
            "--cases",
            2,
            "--seed",
            5,
            "--size",
            64,
            "--format",
            "dicom",
        ]
        done = subprocess.run(
            [sys.executable, *map(str, command)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == str(folder / "manifest.csv")
        assert "phantoms: 2 of 2" in done.stderr
    assert hashes(folders[0]) == hashes(folders[1])
    assert len([name for name in hashes(folders[0]) if name.endswith(".dcm")]) == 2


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--size", "32", "64 .. 3000"),
        ("--format", "bmp", "png8"),
        ("--shortcut", "logo", "marker_r"),
    ],
)
def test_the_command_names_the_range(tmp_path, option, value, said):
    command = [sys.executable, "-m", "cxr_audit.cli", "phantom", str(tmp_path / "x"), option, value]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert said in done.stderr

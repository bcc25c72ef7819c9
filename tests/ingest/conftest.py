"""Files to read: DICOM made here, plain images, and the sources that need data from outside.

A test marked `trap(row)` stands in build/dicom-traps.md, which every run writes: trap, section,
test, result.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cxr_audit.ingest import discover, read
from cxr_audit.records import Radiograph
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

TRAPS = {
    "inversion": (
        "MONOCHROME1; with INVERSE; MONOCHROME2 with INVERSE",
        "PS3.3 C.7.6.3.1.2, C.8.11.3.1.2",
    ),
    "modality": ("Rescale, negative slope, identity; Modality LUT sequence", "PS3.3 C.11.1"),
    "window": (
        "Several windows; LINEAR, LINEAR_EXACT, SIGMOID; empty, zero",
        "PS3.3 C.11.2.1.2, C.11.2.1.3",
    ),
    "voi-lut": (
        "VOI LUT beside a window; LUT wider than its data; 0 = 65,536 entries; signed first value; "
        "choice",
        "PS3.3 C.11.2.1.1",
    ),
    "padding": ("Padding value and range", "PS3.3 C.7.5.1.1.2"),
    "bits": (
        "Bits Allocated, Bits Stored, High Bit, signed; 8, 10, 12, 14, 15, 16 bits",
        "PS3.5 8.1.1",
    ),
    "syntaxes": ("Transfer syntaxes; a missing codec names what to install", "PS3.5 A"),
    "lossy": ("Lossy history", "PS3.3 C.7.6.1.1.5"),
    "frames": ("Several frames, colour, overlays", "PS3.3 C.7.6.6, C.7.6.3.1.2, C.9.2"),
    "spacing": ("Pixel spacing, imager pixel spacing, aspect ratio, 0.0", "PS3.3 10.7.1.3"),
    "view": ("View position, orientation, laterality", "PS3.3 C.8.11.5, C.7.6.1.1.1"),
    "kind": (
        "Burned-in annotation, image type, FOR PROCESSING, quality control, output of a model",
        "PS3.3 C.7.6.1.1.2",
    ),
    "population": ("Body part, age out of the model's population", "PS3.3 C.7.2.2, PS3.16 L"),
    "exposure": ("Exposure and deviation index", "PS3.3 C.8.1.2"),
    "damage": ("No preamble, no meta, truncated, corrupt, not an image", "PS3.10 7.1"),
    "bombs": (
        "Sizes, frames, deflated data, header lengths, PNG, JPEG, JPEG 2000: limits before "
        "allocation",
        "PS3.5 7",
    ),
    "plain": (
        "JPEG, PNG, TIFF: orientation, CMYK, 16 bits, palette, alpha, colour, truncated",
        "TIFF 6.0, PNG, EXIF",
    ),
    "charset": ("Character sets", "PS3.3 C.12.1.1.2"),
}
DOCUMENT = Path(__file__).parents[2] / "build" / "dicom-traps.md"
results = pytest.StashKey[dict[str, list[tuple[str, str]]]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    marker = item.get_closest_marker("trap")
    if marker is not None and (report.when == "call" or not report.passed):
        row = item.config.stash.setdefault(results, {}).setdefault(marker.args[0], [])
        row.append((item.nodeid.removeprefix("tests/ingest/").replace("|", "\\|"), report.outcome))
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    found = session.config.stash.get(results, None)
    if found is None:
        return
    lines = ["# DICOM traps", "", "Written by the last run of the tests.", ""]
    lines += ["| Trap | Standard | Test | Result |", "|---|---|---|---|"]
    for row, (trap, section) in TRAPS.items():
        for test, outcome in found.get(row, [("none in this run", "not tested")]):
            lines.append(f"| {trap} | {section} | `{test}` | {outcome} |")
    DOCUMENT.parent.mkdir(exist_ok=True)
    DOCUMENT.write_text("\n".join(lines) + "\n", encoding="utf-8")


REALDATA = Path(
    os.environ.get("CXR_AUDIT_SHARED_DATA") or Path(__file__).parents[3] / "shared" / "data"
)


@pytest.fixture
def realdata() -> Path:
    if not REALDATA.is_dir():
        pytest.skip("no ../shared/data beside the repository")
    return REALDATA


@pytest.fixture
def dicom() -> Callable[..., Dataset]:
    """A CR dataset with these stored values; a keyword sets an element, None leaves it out."""

    def build(
        stored: Any, transfer_syntax: str = ExplicitVRLittleEndian, **elements: Any
    ) -> Dataset:
        stored = np.asarray(stored)
        bits = 8 * stored.dtype.itemsize
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = transfer_syntax
        dataset.file_meta.MediaStorageSOPClassUID = (
            elements.get("SOPClassUID") or ComputedRadiographyImageStorage
        )
        dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["cxr-audit"])
        dataset.SOPClassUID = ComputedRadiographyImageStorage
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
        dataset.Modality = "CR"
        dataset.Rows, dataset.Columns = stored.shape[:2]
        dataset.SamplesPerPixel = 1 if stored.ndim == 2 else 3
        dataset.PhotometricInterpretation = "MONOCHROME2" if stored.ndim == 2 else "RGB"
        if stored.ndim == 3:
            dataset.PlanarConfiguration = 0
        dataset.BitsAllocated = dataset.BitsStored = bits
        dataset.HighBit = bits - 1
        dataset.PixelRepresentation = int(stored.dtype.kind == "i")
        for keyword, element in elements.items():
            if element is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, element)
        if "BitsStored" in elements and "HighBit" not in elements:
            dataset.HighBit = dataset.BitsStored - 1
        if "PixelData" not in elements:
            raw = stored.astype(stored.dtype.newbyteorder("<")).tobytes()
            dataset.PixelData = raw + b"\x00" * (len(raw) % 2)
            dataset["PixelData"].VR = (
                "OW" if bits == 16 or transfer_syntax == ImplicitVRLittleEndian else "OB"
            )
        return dataset

    return build


@pytest.fixture
def save(tmp_path: Path) -> Callable[..., Path]:
    def write(dataset: Dataset, name: str = "image.dcm", conform: bool = True) -> Path:
        path = tmp_path / name
        dataset.save_as(path, enforce_file_format=conform)
        return path

    return write


@pytest.fixture
def read_path() -> Callable[[Path], Radiograph]:
    def read_one(path: Path) -> Radiograph:
        (case,) = discover(path)
        return read(case)

    return read_one


@pytest.fixture
def show(
    dicom: Callable[..., Dataset],
    save: Callable[..., Path],
    read_path: Callable[[Path], Radiograph],
) -> Callable[..., Radiograph]:
    """Stored values and elements -> what a reader sees."""

    def through(stored: Any, **elements: Any) -> Radiograph:
        return read_path(save(dicom(stored, **elements)))

    return through

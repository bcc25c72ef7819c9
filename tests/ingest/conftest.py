"""Files to read: DICOM made here from scratch, plain images, and the sources that need data from outside."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

from pipeline.ingest import discover, read
from pipeline.records import Radiograph

REALDATA = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture
def realdata() -> Path:
    if not REALDATA.is_dir():
        pytest.skip("no ../shared/data beside the repository")
    return REALDATA


@pytest.fixture
def dicom() -> Callable[..., Dataset]:
    """A CR dataset with the given stored values; each keyword is an element to set, None one to leave out."""

    def build(stored: Any, transfer_syntax: str = ExplicitVRLittleEndian, **elements: Any) -> Dataset:
        stored = np.asarray(stored)
        bits = 8 * stored.dtype.itemsize
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = transfer_syntax
        dataset.file_meta.MediaStorageSOPClassUID = elements.get("SOPClassUID") or ComputedRadiographyImageStorage
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
            dataset["PixelData"].VR = "OW" if bits == 16 or transfer_syntax == ImplicitVRLittleEndian else "OB"
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
    dicom: Callable[..., Dataset], save: Callable[..., Path], read_path: Callable[[Path], Radiograph]
) -> Callable[..., Radiograph]:
    """Stored values and elements -> what a reader sees."""

    def through(stored: Any, **elements: Any) -> Radiograph:
        return read_path(save(dicom(stored, **elements)))

    return through

"""Small runs over DICOM files, and checkers from other projects."""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from cxr_audit.evidence import RunFolder
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    generate_uid,
)

STUDY = "1.2.826.0.1.3680043.10.999.1"
JAPANESE = "Yamada^Tarou=山田^太郎=やまだ^たろう"


def radiograph(number: int, **changes: Any) -> Dataset:
    """A DX of 60 x 50 pixels of a patient with a name."""
    rng = np.random.default_rng(number)
    grey = cv2.GaussianBlur(rng.random((60, 50)).astype(np.float32), (0, 0), 4)
    stored = cv2.normalize(grey, None, 0, 4095, cv2.NORM_MINMAX).astype("<u2")
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.StudyInstanceUID = f"{STUDY}.{number}"
    dataset.SeriesInstanceUID = f"{STUDY}.{number}.1"
    dataset.SOPInstanceUID = f"{STUDY}.{number}.1.1"
    dataset.PatientName, dataset.PatientID = f"Doe^Jane{number}", f"MRN-{number}"
    dataset.PatientBirthDate, dataset.PatientSex = "19500102", "F"
    dataset.StudyDate, dataset.StudyTime = "20260102", "101112"
    dataset.AccessionNumber, dataset.StudyID = f"A{number}", f"S{number}"
    dataset.ReferringPhysicianName = "Roe^Richard"
    dataset.Modality, dataset.ViewPosition = "DX", "PA"
    dataset.PatientOrientation, dataset.PixelSpacing = ["L", "F"], [0.4, 0.4]
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelData = stored.tobytes()
    dataset["PixelData"].VR = "OW"
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    return dataset


def file_of(dataset: Dataset) -> bytes:
    """A dataset as a file."""
    data = io.BytesIO()
    dataset.save_as(data, enforce_file_format=True)
    return data.getvalue()


def write_sources(folder: Path) -> None:
    """Three DICOM radiographs, a PNG, and a file that is no radiograph."""
    folder.mkdir(parents=True)
    radiograph(1).save_as(folder / "1 Doe^Jane.dcm", enforce_file_format=True)
    other = radiograph(
        2,
        SOPClassUID=ComputedRadiographyImageStorage,
        Modality="CR",
        SpecificCharacterSet="ISO_IR 192",
        PatientName=JAPANESE,
        PixelSpacing=[0, 0],
        TimezoneOffsetFromUTC="+0900",
    )
    other.save_as(folder / "2.dcm", enforce_file_format=True)
    radiograph(3, PatientName="Mononym").save_as(folder / "3.dcm", enforce_file_format=True)
    cv2.imwrite(str(folder / "4.png"), (radiograph(4).pixel_array // 16).astype(np.uint8))
    (folder / "5.txt").write_text("not a radiograph\n")


CONFIG = """\
run: {{name: test, output: runs}}
ingest: {{source: sources}}
quality: {{exclude: []}}
preprocess: {{rows: 32, columns: 32, scaling: unit}}
classifier: {{path: {model}, class_names: [PNEUMONIA, NORMAL], target_class: PNEUMONIA}}
trust: {{randomisation: false, faithfulness: none, stability: none}}
regions: {{lungs: none}}
engine: {{batch_size: 4, workers: 1}}
"""


def case_of(folder: RunFolder, number: int) -> str:
    """The id of the case that a source file became."""
    for line in (folder.private / "crosswalk.csv").read_text("utf-8").splitlines()[1:]:
        case_id, name = line.split(",")[:2]
        if name.startswith(str(number)):
            return case_id
    raise LookupError(number)


def objects_below(path: Path) -> dict[tuple[str, str], pydicom.FileDataset]:
    """(case id, kind) -> the object, of those that lie in a folder."""
    return {
        (file.parent.name, file.stem.partition("-")[0]): pydicom.dcmread(file)
        for file in sorted(path.rglob("*.dcm"))
    }


def verified(report: Dataset, reader: str) -> Dataset:
    """Our own report, verified by a person (PS3.3 C.17.2)."""
    copy = pydicom.dcmread(report.filename)
    copy.SOPInstanceUID = copy.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    instance, series, study = Dataset(), Dataset(), Dataset()
    instance.ReferencedSOPClassUID = report.SOPClassUID
    instance.ReferencedSOPInstanceUID = report.SOPInstanceUID
    series.SeriesInstanceUID, series.ReferencedSOPSequence = report.SeriesInstanceUID, [instance]
    study.StudyInstanceUID, study.ReferencedSeriesSequence = report.StudyInstanceUID, [series]
    copy.PredecessorDocumentsSequence = [study]
    copy.VerificationFlag = "VERIFIED"
    observer = Dataset()
    observer.VerifyingObserverName, observer.VerifyingOrganization = reader, "A hospital"
    observer.VerificationDateTime = "20260301120000"
    observer.VerifyingObserverIdentificationCodeSequence = []
    copy.VerifyingObserverSequence = [observer]
    return copy


def program(name: str) -> str:
    """A checker of Debian, or the test is skipped."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"no {name}: apt-get install dcmtk dicom3tools")
    return path

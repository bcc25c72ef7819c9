"""The source file of a case -> who and which examination its objects belong to.

The identifiers are the patient's real ones. They are read on the way out and stay in memory; what
is written goes below `private/` or to the server that the user names. A source that is no DICOM
image of a study is refused: nothing could say which patient its objects belong to.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta, timezone

import pydicom
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import UID

from cxr_audit.errors import UnsupportedRadiograph
from cxr_audit.vocabulary import message

# Patient, Patient Study, General Study, Frame of Reference: what is copied to every object of the
# study (PS3.3 C.7.1.1, C.7.2.1, C.7.2.2). The first group is of type 1 or 2: empty where absent.
REQUIRED = (
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
    *("StudyInstanceUID", "StudyDate", "StudyTime", "StudyID"),
    *("AccessionNumber", "ReferringPhysicianName"),
)
OPTIONAL = (
    *("IssuerOfPatientID", "TypeOfPatientID", "PatientBirthTime"),
    *("PatientIdentityRemoved", "DeidentificationMethod", "StudyDescription", "PatientAge"),
    *("PatientSize", "PatientWeight", "TimezoneOffsetFromUTC"),
)
# What objects that refer to the image need to know of it.
IMAGE = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "Modality", "Rows", "Columns"),
    *("NumberOfFrames", "PatientOrientation", "Laterality", "ImageLaterality"),
    *("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod"),
)
UTF_8 = "ISO_IR 192"
SEXES = ("M", "F", "O")


@dataclass(frozen=True)
class Subject:
    """Whom and what the objects of a case are about.

    Parameters
    ----------
    header : the attributes of `REQUIRED`, `OPTIONAL` and `IMAGE` that can be used, in UTF-8.
    pixel_spacing_mm : (row, column) in the patient; None where the file states none that is
        positive.
    frame : of a multi-frame image, from 1 on; None = a single-frame image.
    """

    header: Dataset
    pixel_spacing_mm: tuple[float, float] | None = None
    frame: int | None = None

    @property
    def study_uid(self) -> str:
        return str(self.header.StudyInstanceUID)

    @property
    def series_uid(self) -> str:
        return str(self.header.SeriesInstanceUID)

    @property
    def instance_uid(self) -> str:
        return str(self.header.SOPInstanceUID)

    @property
    def class_uid(self) -> str:
        return str(self.header.SOPClassUID)

    @property
    def zone(self) -> timezone | None:
        """The time zone of the file's times; None where the file does not say."""
        offset = str(self.header.get("TimezoneOffsetFromUTC", ""))
        if len(offset) != 5 or not offset[1:].isdecimal():
            return None
        span = timedelta(hours=int(offset[1:3]), minutes=int(offset[3:]))
        return timezone(-span if offset[0] == "-" else span)


def read_subject(data: bytes, frame: int | None = None) -> Subject:
    """The subject of a source file.

    Parameters
    ----------
    data : the file.
    frame : which frame was audited, from 1 on; None = the file has one.

    Raises
    ------
    UnsupportedRadiograph : the file is no DICOM image, or its UIDs cannot be referred to.
    """
    with quiet():
        source = _parse(data)
        header = Dataset()
        for keyword in (*REQUIRED, *OPTIONAL, *IMAGE):
            _copy(source, header, keyword)
        spacing = _spacing(source)
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID"):
        value = str(header.get(keyword, ""))
        if not UID(value).is_valid:
            raise UnsupportedRadiograph(message("export.no_uid", attribute=keyword))
    for keyword in REQUIRED:
        if keyword not in header:
            setattr(header, keyword, "")
    header.SpecificCharacterSet = UTF_8
    is_multi_frame = int(header.get("NumberOfFrames", 1) or 1) > 1
    return Subject(header, spacing, frame if is_multi_frame else None)


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings of pydicom and highdicom, which quote values and names."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _parse(data: bytes) -> Dataset:
    source = Dataset()
    try:
        source = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True, force=True)
        source.decode()
    except (InvalidDicomError, OSError, ValueError, LookupError, AttributeError):
        pass
    if "SOPInstanceUID" not in source:
        raise UnsupportedRadiograph(message("export.no_dicom"), message("export.no_dicom_hint"))
    return source


def _copy(source: Dataset, header: Dataset, keyword: str) -> None:
    """One attribute, without what is no value of its kind: the text would be refused by a server."""
    try:
        value = source.get(keyword)
        if value is None:
            return
        if keyword.endswith(("PhysicianName", "PatientName")):
            value = str(value)
        if keyword == "PatientSex" and value not in SEXES:
            return
        element = pydicom.DataElement(
            pydicom.datadict.tag_for_keyword(keyword) or 0,
            pydicom.datadict.dictionary_VR(keyword),
            value,
            validation_mode=pydicom.config.RAISE,
        )
    except (ValueError, TypeError, LookupError, AttributeError):
        return
    header.add(element)


def _spacing(source: Dataset) -> tuple[float, float] | None:
    """Pixel Spacing in mm as (row, column); 0.0 and other numbers that are no distance are none."""
    try:
        rows, columns = (float(value) for value in source.PixelSpacing)
    except (AttributeError, TypeError, ValueError):
        return None
    return (rows, columns) if rows > 0 and columns > 0 else None

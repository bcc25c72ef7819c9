"""What all objects share: patient and study, series, equipment, times and file meta information."""

from __future__ import annotations

import importlib.metadata
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import highdicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.sr.codedict import codes
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import DA, TM

from cxr_audit.config import Export
from cxr_audit.export.codes import PROCESSING, short
from cxr_audit.export.results import CaseResult, Device
from cxr_audit.export.subject import OPTIONAL, REQUIRED, UTF_8, Subject
from cxr_audit.export.uids import device_uid, uid_of

NAME = "cxr-audit"
MANUFACTURER = "The cxr-audit maintainers"
IMPLEMENTATION_UID = uid_of("implementation", NAME)
TEXTS = {"SH", "LO", "ST", "LT", "UC", "UT", "PN"}
"""VRs whose values the attribute Specific Character Set is about."""
LONG = 64  # characters of the VR LO
BANNER = "Model audit - not a diagnosis - not for clinical decisions"


@dataclass(frozen=True)
class Making:
    """What an object is made from.

    Parameters
    ----------
    result, subject : what it says, and whom it is about.
    settings : the config's section `export`.
    generation : names the evidence and what it supersedes; the UIDs follow from it.
    """

    result: CaseResult
    subject: Subject
    settings: Export
    generation: str

    @property
    def made(self) -> datetime:
        """When the results were made, in the time zone of the source file or of this machine."""
        return self.result.started.astimezone(self.subject.zone).replace(microsecond=0)

    def series_uid(self, kind: str) -> str:
        return uid_of("series", self.subject.instance_uid, kind, self.generation)

    def instance_uid(self, kind: str) -> str:
        return uid_of("instance", self.subject.instance_uid, kind, self.generation)

    def series(self, kind: str, offset: int, description: str) -> dict[str, Any]:
        """Arguments that highdicom's classes take for series, equipment and times.

        Parameters
        ----------
        kind : of the object; its series and its instance are named by it.
        offset : of the series number from the first one.
        description : of the series.
        """
        made = self.made
        return {
            "series_instance_uid": self.series_uid(kind),
            "series_number": self.settings.series_number + offset,
            "sop_instance_uid": self.instance_uid(kind),
            "instance_number": 1,
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": NAME,
            "software_versions": version(),
            "device_serial_number": version(),
            "series_description": short(description, LONG),
            "content_date": DA(made.date()),
            "content_time": TM(made.time()),
            "series_date": DA(made.date()),
            "series_time": TM(made.time()),
            "contributing_equipment": self.equipment(),
        }

    def equipment(self) -> list[highdicom.ContributingEquipment]:
        """The networks whose results the object has, each with its Device UID."""
        made_by = short(self.settings.manufacturer, LONG)
        items = [_equipment(self.result.device, made_by, "Classifier under audit")]
        if self.result.segmenter is not None:
            items.append(_equipment(self.result.segmenter, MANUFACTURER, "Outlines the lungs"))
        return items


def version() -> str:
    """The version of this program."""
    return short(importlib.metadata.version(NAME), LONG)


def _equipment(device: Device, made_by: str, what: str) -> highdicom.ContributingEquipment:
    item = highdicom.ContributingEquipment(
        manufacturer=made_by,
        purpose_of_reference=PROCESSING,
        manufacturer_model_name=short(device.name, LONG),
        software_versions=f"sha256:{device.sha256[:16]}",
        device_serial_number=device.sha256,
        contribution_description=what,
    )
    item.DeviceUID = device_uid(device.sha256)
    return item


def algorithm(making: Making) -> highdicom.AlgorithmIdentificationSequence:
    """The classifier as the macro Algorithm Identification has it (PS3.3 10.16)."""
    device = making.result.device
    return highdicom.AlgorithmIdentificationSequence(
        name=short(device.name, LONG),
        family=codes.DCM.ArtificialIntelligence,
        version=f"sha256:{device.sha256[:16]}",
        source=short(making.settings.manufacturer, LONG),
    )


def source_reference(subject: Subject) -> Dataset:
    """A reference to the radiograph, with the purpose that it was processed (CID 7202)."""
    reference = Dataset()
    reference.ReferencedSOPClassUID = subject.class_uid
    reference.ReferencedSOPInstanceUID = subject.instance_uid
    if subject.frame is not None:
        reference.ReferencedFrameNumber = subject.frame
    purpose = Dataset()
    purpose.CodeValue = "121322"
    purpose.CodingSchemeDesignator = "DCM"
    purpose.CodeMeaning = "Source image for image processing operation"
    reference.PurposeOfReferenceCodeSequence = Sequence([purpose])
    return reference


def add_subject(dataset: Dataset, subject: Subject) -> None:
    """Patient and study, as the source file has them."""
    for keyword in (*REQUIRED, *OPTIONAL):
        if keyword in subject.header:
            dataset.add(subject.header[keyword])
    dataset.SpecificCharacterSet = UTF_8


def add_equipment(dataset: Dataset, making: Making, kind: str, offset: int, words: str) -> None:
    """Series, equipment, times and UIDs of an object that highdicom has no class for."""
    series = making.series(kind, offset, words)
    dataset.SeriesInstanceUID = series["series_instance_uid"]
    dataset.SeriesNumber = series["series_number"]
    dataset.SOPInstanceUID = series["sop_instance_uid"]
    dataset.InstanceNumber = 1
    dataset.Manufacturer = series["manufacturer"]
    dataset.ManufacturerModelName = series["manufacturer_model_name"]
    dataset.SoftwareVersions = series["software_versions"]
    dataset.DeviceSerialNumber = series["device_serial_number"]
    dataset.SeriesDescription = series["series_description"]
    dataset.SeriesDate = dataset.ContentDate = series["content_date"]
    dataset.SeriesTime = dataset.ContentTime = series["content_time"]
    dataset.ContributingEquipmentSequence = Sequence(series["contributing_equipment"])


def finish(dataset: Dataset, making: Making) -> Dataset:
    """The last step of every object: subject, times that do not depend on now, file meta.

    The same evidence gives the same bytes: libraries write the time of the call, which is replaced
    by the time of the run.
    """
    add_subject(dataset, making.subject)
    made = making.made
    dataset.InstanceCreationDate = DA(made.date())
    dataset.InstanceCreationTime = TM(made.time())
    for item in dataset.get("ContributingEquipmentSequence", ()):
        if "ContributionDateTime" in item:
            del item.ContributionDateTime
    if _is_ascii(dataset):
        del dataset.SpecificCharacterSet  # the default repertoire, which every reader knows
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = "CXR_AUDIT"
    dataset.file_meta = meta
    dataset.preamble = b"\0" * 128
    return dataset


def _is_ascii(dataset: Dataset) -> bool:
    """Whether every text of an object is of the default repertoire (ISO-IR 6)."""
    for element in dataset.iterall():
        if element.VR in TEXTS and not str(element.value).isascii():
            return False
    return True

"""The case report -> Encapsulated PDF (PS3.3 A.45.1, C.24.2)."""

from __future__ import annotations

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import EncapsulatedPDFStorage

from cxr_audit.export.codes import own
from cxr_audit.export.modules import BANNER, Making, add_equipment, finish, source_reference

KIND = "pdf"
TITLE = "Model audit of a chest radiograph"


def encapsulated_pdf(making: Making) -> Dataset:
    """The object; `EncapsulatedDocument` is the PDF byte for byte.

    An odd number of bytes gets one zero after it, as DICOM wants; `EncapsulatedDocumentLength`
    says where the PDF ends (PS3.3 C.24.2).
    """
    pdf = making.result.pdf
    assert pdf is not None
    dataset = Dataset()
    dataset.SOPClassUID = EncapsulatedPDFStorage
    dataset.Modality = "DOC"
    dataset.ConversionType = "WSD"
    add_equipment(dataset, making, KIND, 0, f"{TITLE} (PDF)")
    dataset.AcquisitionDateTime = ""
    dataset.BurnedInAnnotation = "NO"
    dataset.RecognizableVisualFeatures = "NO"
    dataset.DocumentTitle = f"{TITLE}. {BANNER}"
    dataset.ConceptNameCodeSequence = Sequence([own("case-report", "Model audit report")])
    dataset.VerificationFlag = "UNVERIFIED"
    dataset.SourceInstanceSequence = Sequence([source_reference(making.subject)])
    dataset.MIMETypeOfEncapsulatedDocument = "application/pdf"
    dataset.EncapsulatedDocumentLength = len(pdf)
    dataset.EncapsulatedDocument = pdf + b"\0" * (len(pdf) % 2)
    return finish(dataset, making)


def pdf_of(dataset: Dataset) -> bytes:
    """The PDF of an object, without the byte that makes its length even."""
    data = bytes(dataset.EncapsulatedDocument)
    length = dataset.get("EncapsulatedDocumentLength")
    return data if length is None else data[: int(length)]

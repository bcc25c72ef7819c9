"""The Image Pixel module of a DICOM file (PS3.3 C.7.6.3), checked before anything is decoded.

Refuses objects without pixels, other modalities, several frames where none is chosen, palettes,
float pixels, unknown transfer syntaxes. An attribute that is missing is named.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydicom import uid
from pydicom._uid_dict import UID_dictionary
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID

from cxr_audit.errors import NotARadiograph, UnreadableFile, UnsupportedRadiograph
from cxr_audit.ingest.decoding import PLUGINS, syntax_name
from cxr_audit.ingest.elements import PARSER_ERRORS, integer, is_present, value
from cxr_audit.ingest.image import check_size
from cxr_audit.ingest.notes import Display, Notes
from cxr_audit.vocabulary import Message, message

RADIOGRAPHY = frozenset({"CR", "DX"})
ALMOST_RADIOGRAPHY = frozenset({"DR", "RG", "OT", "SC"})
OTHER_MODALITIES = frozenset(
    {
        "AU", "BI", "CT", "DOC", "ECG", "ES", "GM", "IO", "KO", "MG", "MR", "NM", "OP", "OPT", "PR",
        "PT", "PX", "RF", "RTDOSE", "RTIMAGE", "RTPLAN", "RTSTRUCT", "SEG", "SM", "SR", "US", "XA",
        "XC",
    }
)  # fmt: skip
RADIOGRAPHY_CLASSES = frozenset(
    {
        uid.ComputedRadiographyImageStorage,
        uid.DigitalXRayImageStorageForPresentation,
        uid.DigitalXRayImageStorageForProcessing,
    }
)
CAPTURE_CLASSES = frozenset(
    {
        uid.SecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleByteSecondaryCaptureImageStorage,
        uid.MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
        uid.MultiFrameTrueColorSecondaryCaptureImageStorage,
    }
)
NATIVE = frozenset(
    {
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    }
)
PHOTOMETRIC_INTERPRETATIONS = {
    1: ("MONOCHROME1", "MONOCHROME2"),
    3: ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"),
}
TAGS = {
    "Rows": "(0028,0010)",
    "Columns": "(0028,0011)",
    "BitsAllocated": "(0028,0100)",
    "BitsStored": "(0028,0101)",
    "PixelRepresentation": "(0028,0103)",
    "PlanarConfiguration": "(0028,0006)",
    "PhotometricInterpretation": "(0028,0004)",
}


@dataclass(frozen=True, slots=True)
class Header:
    """The checked values; `frame` counts from 1."""

    rows: int
    columns: int
    samples: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    is_signed: bool
    photometric_interpretation: str
    transfer_syntax: UID
    frames: int
    frame: int

    @property
    def is_native(self) -> bool:
        return self.transfer_syntax in NATIVE


def check_header(dataset: FileDataset, max_pixels: int, display: Display, notes: Notes) -> Header:
    """The header of something that can be read as one radiograph.

    Parameters
    ----------
    dataset
    max_pixels : the largest number of pixels that is decoded.
    display : names the frame.
    notes

    Raises
    ------
    NotARadiograph, UnreadableFile, UnsupportedRadiograph
    """
    _check_object(dataset, notes)
    frames, frame = _check_frames(dataset, display.frame, notes)
    rows, columns = _required(dataset, "Rows", notes), _required(dataset, "Columns", notes)
    check_size(rows, columns, max_pixels)
    samples = integer(dataset, "SamplesPerPixel", notes) or 1
    photometric_interpretation = _photometric_interpretation(dataset, samples)
    allocated, stored, high_bit = _check_bits(dataset, notes)
    is_signed = _is_signed(dataset, notes)
    if samples == 3 and (is_signed or stored != allocated):
        problem = message("ingest.odd_colour")
        raise UnsupportedRadiograph(problem, message("ingest.export_plain"))
    syntax = _transfer_syntax(dataset, notes)
    if samples == 3 and syntax in NATIVE:
        _required(dataset, "PlanarConfiguration", notes)
    return Header(
        rows=rows,
        columns=columns,
        samples=samples,
        bits_allocated=allocated,
        bits_stored=stored,
        high_bit=high_bit,
        is_signed=is_signed,
        photometric_interpretation=photometric_interpretation,
        transfer_syntax=syntax,
        frames=frames,
        frame=frame,
    )


def _check_frames(dataset: Dataset, asked: int | None, notes: Notes) -> tuple[int, int]:
    """The number of frames, and the one that is read."""
    frames = max(integer(dataset, "NumberOfFrames", notes) or 1, 1)
    if frames > 1 and asked is None:
        problem = message("ingest.several_frames", num=frames)
        raise UnsupportedRadiograph(problem, message("ingest.choose_frame"))
    frame = asked or 1
    if not 1 <= frame <= frames:
        raise UnsupportedRadiograph(message("ingest.frame_absent", frame=frame, num=frames))
    if frames > 1:
        how = message("ingest.frame_how", frame=frame, num=frames)
        notes.decide(message("ingest.frame"), how, message("ingest.frame_why"))
    return frames, frame


def _check_object(dataset: FileDataset, notes: Notes) -> None:
    """Refuse an object that its class, its modality or missing pixels show to be no radiograph."""
    sop_class = _sop_class(dataset)
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise NotARadiograph(message("ingest.float_pixels", kind=_class_name(sop_class)))
    has_pixels = "PixelData" in dataset
    is_known = sop_class in RADIOGRAPHY_CLASSES | CAPTURE_CLASSES
    is_image = is_known or "Rows" in dataset or "BitsStored" in dataset
    if not has_pixels and not is_image:
        if sop_class is None:
            raise UnreadableFile(message("ingest.no_class"), message("ingest.copy_again"))
        problem = message("ingest.no_pixel_object", kind=_class_name(sop_class))
        raise NotARadiograph(problem, message("ingest.leave_out"))
    modality = str(value(dataset, "Modality") or "").strip().upper()
    _refuse_other_modality(modality)
    if not has_pixels:
        raise UnreadableFile(message("ingest.no_pixels"), message("ingest.copy_again"))
    _check_modality(dataset, modality, is_known, notes)
    if sop_class in CAPTURE_CLASSES:
        notes.warn(message("ingest.capture"))
    elif sop_class not in RADIOGRAPHY_CLASSES:
        notes.warn(message("ingest.other_class"))


def _refuse_other_modality(modality: str) -> None:
    if modality in OTHER_MODALITIES:
        meaning = message(f"ingest.modality_{modality.lower()}")
        problem = message("ingest.other_modality", modality=modality, meaning=meaning)
        raise NotARadiograph(problem, message("ingest.leave_out"))


def _check_modality(dataset: Dataset, modality: str, is_known: bool, notes: Notes) -> None:
    """`is_known`: the kind of DICOM object is that of a radiograph or of a capture."""
    if modality in RADIOGRAPHY:
        return
    if modality in ALMOST_RADIOGRAPHY:
        notes.warn(message(f"ingest.almost_{modality.lower()}"))
        return
    is_absent = not is_present(dataset, "Modality")
    if not is_known:
        code = "ingest.modality_missing" if is_absent else "ingest.modality_unknown"
        raise NotARadiograph(message(code), message("ingest.leave_out"))
    if is_absent:
        notes.warn(message("ingest.modality_by_class"))
    else:
        notes.misread("Modality", message("ingest.unknown_term"))


def _sop_class(dataset: FileDataset) -> UID | None:
    stated = value(dataset, "SOPClassUID") or value(dataset.file_meta, "MediaStorageSOPClassUID")
    return UID(str(stated)) if isinstance(stated, str) else None


def _class_name(sop_class: UID | None) -> str | Message:
    """The standard's name; a UID that the standard does not know is not echoed."""
    if sop_class is not None and sop_class in UID_dictionary:
        return str(sop_class.name)
    return message("ingest.unknown_class")


def _required(dataset: Dataset, keyword: str, notes: Notes) -> int:
    """An integer without which there are no pixels; absent and unreadable are told apart."""
    number = integer(dataset, keyword, notes)
    if number is not None:
        return number
    code = "ingest.unreadable_attribute" if is_present(dataset, keyword) else "ingest.lacks"
    problem = message(code, tag=TAGS[keyword], keyword=keyword)
    raise UnreadableFile(problem, message("ingest.copy_again"))


def _photometric_interpretation(dataset: Dataset, samples: int) -> str:
    if not is_present(dataset, "PhotometricInterpretation"):
        keyword = "PhotometricInterpretation"
        raise UnsupportedRadiograph(message("ingest.lacks", tag=TAGS[keyword], keyword=keyword))
    stated = str(value(dataset, "PhotometricInterpretation") or "").strip().upper()
    if stated == "PALETTE COLOR":
        raise UnsupportedRadiograph(message("ingest.palette"), message("ingest.leave_out"))
    if stated not in PHOTOMETRIC_INTERPRETATIONS.get(samples, ()):
        raise UnsupportedRadiograph(message("ingest.photometric", samples=samples))
    return stated


def _check_bits(dataset: Dataset, notes: Notes) -> tuple[int, int, int]:
    """Bits Allocated, Bits Stored, High Bit (PS3.5 8.1.1)."""
    allocated = _required(dataset, "BitsAllocated", notes)
    if allocated not in (8, 16):
        problem = message("ingest.bits_allocated", num=allocated)
        raise UnsupportedRadiograph(problem, message("ingest.export_plain"))
    if is_present(dataset, "BitsStored"):
        stored = _required(dataset, "BitsStored", notes)
    else:
        notes.warn(message("ingest.no_bits_stored"))
        stored = allocated
    if not 1 < stored <= allocated:
        problem = message("ingest.bits_stored", num=stored, limit=allocated)
        raise UnreadableFile(problem, message("ingest.copy_again"))
    return allocated, stored, _high_bit(dataset, allocated, stored, notes)


def _high_bit(dataset: Dataset, allocated: int, stored: int, notes: Notes) -> int:
    high_bit = integer(dataset, "HighBit", notes)
    if high_bit is None:
        return stored - 1
    if not stored - 1 <= high_bit < allocated:
        notes.warn(message("ingest.high_bit_ignored", high_bit=high_bit, stored=stored))
        return stored - 1
    if high_bit != stored - 1:
        notes.warn(message("ingest.high_bit", high_bit=high_bit, expected=stored - 1))
    return high_bit


def _is_signed(dataset: Dataset, notes: Notes) -> bool:
    """Absent is read as unsigned, with a warning; unreadable is refused."""
    if not is_present(dataset, "PixelRepresentation"):
        notes.warn(message("ingest.no_representation"))
        return False
    representation = _required(dataset, "PixelRepresentation", notes)
    if representation not in (0, 1):
        raise UnreadableFile(message("ingest.pixel_representation", num=representation))
    return representation == 1


def _transfer_syntax(dataset: FileDataset, notes: Notes) -> UID:
    stated = value(dataset.file_meta, "TransferSyntaxUID")
    if isinstance(stated, str) and stated:
        syntax = UID(stated)
        if syntax not in NATIVE and syntax not in PLUGINS:
            problem = message("ingest.syntax_unsupported", syntax=syntax_name(syntax))
            raise UnsupportedRadiograph(problem, message("ingest.export_plain"))
        if syntax in NATIVE and _is_encapsulated(dataset):
            problem = message("ingest.encapsulated_native", syntax=syntax_name(syntax))
            raise UnsupportedRadiograph(problem, message("ingest.export_plain"))
        return syntax
    if _is_encapsulated(dataset):
        problem = message("ingest.no_syntax")
        raise UnsupportedRadiograph(problem, message("ingest.export_plain"))
    notes.warn(message("ingest.syntax_guessed"))
    is_implicit, is_little = dataset.original_encoding
    if not is_little:
        return uid.ExplicitVRBigEndian
    return uid.ImplicitVRLittleEndian if is_implicit else uid.ExplicitVRLittleEndian


def _is_encapsulated(dataset: Dataset) -> bool:
    """Whether Pixel Data has an undefined length, as only fragments may (PS3.5 A.4)."""
    try:
        return bool(dataset["PixelData"].is_undefined_length)
    except PARSER_ERRORS:
        return False

"""DICOM bytes -> display pixels in [0, 1] and facts.

PS3.5 and PS3.10 for the file (pydicom reads, `decoding` decompresses), PS3.3 C.7.6.3 for the pixels, `grayscale`
for what is displayed. Refuses objects without pixels, other modalities, several frames where none is chosen,
palettes, float pixels; checks every size before memory is taken.
"""

from __future__ import annotations

import io
import logging
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import uid
from pydicom._uid_dict import UID_dictionary
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from cxr_audit.errors import CaseError, NotARadiograph, UnreadableFile, UnsupportedRadiograph
from cxr_audit.ingest.attributes import (
    PARSER_ERRORS,
    attributes,
    floats,
    integer,
    note_compression,
    patient_orientation,
    pixel_spacing,
    value,
    values,
    view_position,
    warn_about,
)
from cxr_audit.ingest.decoding import (
    COPY_AGAIN,
    EXPORT_PLAIN,
    PLUGINS,
    check_codestream,
    choose_plugin,
    decode_apart,
    installed_version,
    syntax_name,
)
from cxr_audit.ingest.grayscale import (
    Display,
    GrayHeader,
    LookupTable,
    Notes,
    grayscale_table,
    value_range,
)
from cxr_audit.ingest.image import check_size, stored_sha256, to_grey
from cxr_audit.records import Floats, RadiographFacts, SourceFile

# pydicom's log lines and warnings quote elements' values; nothing of them may reach a log.
logging.getLogger("pydicom").setLevel(logging.CRITICAL + 1)
logging.getLogger("pylibjpeg").setLevel(logging.CRITICAL + 1)
logging.getLogger("openjpeg").setLevel(logging.CRITICAL + 1)

RADIOGRAPHY = frozenset({"CR", "DX"})
ALMOST_RADIOGRAPHY = {
    "DR": "the modality is DR, which the standard does not know; read as digital radiography",
    "RG": "the modality is RG: a conventional film, digitised",
    "OT": "the modality is OT (other): the header does not say whether this is a radiograph",
    "SC": "the modality is SC (secondary capture): the header does not say whether this is a radiograph",
}
OTHER_MODALITIES = {
    "AU": "audio", "BI": "biomagnetic imaging", "CT": "computed tomography", "DOC": "a document",
    "ECG": "an ECG",
    "ES": "endoscopy", "GM": "general microscopy", "IO": "intra-oral radiography",
    "KO": "a key object selection",
    "MG": "mammography", "MR": "magnetic resonance", "NM": "nuclear medicine", "OP": "ophthalmic photography",
    "OPT": "ophthalmic tomography", "PR": "a presentation state", "PT": "positron emission tomography",
    "PX": "panoramic radiography", "RF": "fluoroscopy", "RTDOSE": "a radiotherapy dose",
    "RTIMAGE": "a radiotherapy image", "RTPLAN": "a radiotherapy plan",
    "RTSTRUCT": "a radiotherapy structure set",
    "SEG": "a segmentation", "SM": "slide microscopy", "SR": "a structured report", "US": "ultrasound",
    "XA": "angiography", "XC": "photography",
}  # fmt: skip
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
# Parsing ends after so many reads: a header of millions of empty elements costs time, not memory.
MAX_READS = 50_000
INFLATED_ASIDE = 2**26


@dataclass(frozen=True, slots=True)
class _Header:
    """The Image Pixel module (PS3.3 C.7.6.3), checked."""

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


def is_bare_dataset(data: bytes) -> bool:
    """Whether bytes without the DICM prefix look like a dataset: the first element is of group 2 or 8."""
    if len(data) < 8:
        return False
    little, big = struct.unpack("<HH", data[:4]), struct.unpack(">HH", data[:4])
    if little[0] not in (2, 8) and big[0] not in (2, 8):
        return False
    if re.fullmatch(rb"[A-Z]{2}", data[4:6]):
        return True
    return bool(little[0] in (2, 8) and int.from_bytes(data[4:8], "little") < min(len(data), 1024))


def probe_dicom(data: bytes, max_pixels: int, display: Display) -> None:
    """Raise what the header shows to be wrong; the pixels stay as they are."""
    with _quiet_parser():
        notes = Notes()
        dataset = _parse(data, max_pixels)
        header = _check(dataset, max_pixels, display.frame, notes)
        _pixel_bytes(dataset, header, notes)
        if not header.is_native:
            choose_plugin(header.transfer_syntax, header.bits_stored)


def read_dicom(
    data: bytes, file_sha256: str, max_pixels: int, display: Display
) -> tuple[Floats, RadiographFacts, str | None]:
    """Decode and prepare for display.

    Returns
    -------
    pixels : float32 (rows, columns) in [0, 1], 0 = black as displayed; padding is 0
    facts : RadiographFacts
        Attributes from the allow-list only.
    sop_instance_uid : str or None
        Names the examination; it must stay in memory.
    """
    notes = Notes()
    with _quiet_parser() as parser_warnings:
        dataset = _parse(data, max_pixels)
        header = _check(dataset, max_pixels, display.frame, notes)
        decoded, photometric_interpretation, decoder = _decode(
            dataset, header, _pixel_bytes(dataset, header, notes)
        )
        stored = _stored(decoded, header, notes)
        with ThreadPoolExecutor(1) as aside:
            pixel_sha256 = aside.submit(stored_sha256, stored)  # takes as long as the whole chain
            if header.samples == 1:
                pixels = _grey(dataset, header, stored, display, notes)
            else:
                pixels = _colour(header, stored, photometric_interpretation, notes)
        spacing = pixel_spacing(dataset, notes)
        note_compression(dataset, header.transfer_syntax, notes)
        warn_about(dataset, notes)
        kept = attributes(dataset)
        view = view_position(dataset)
        orientation = patient_orientation(dataset)
        instance = str(value(dataset, "SOPInstanceUID") or "").strip() or None
    if parser_warnings:
        count = len(parser_warnings)
        notes.warn(f"{count} warning{'s' if count > 1 else ''} from the DICOM parser")
    facts = RadiographFacts(
        rows=header.rows,
        columns=header.columns,
        source=SourceFile(
            file_sha256, pixel_sha256.result(), "DICOM", header.transfer_syntax.name, decoder
        ),
        pixel_spacing_mm=spacing,
        view_position=view,
        patient_orientation=orientation,
        attributes=kept,
        decisions=tuple(notes.decisions),
        warnings=tuple(notes.warnings),
    )
    return pixels, facts, instance


@contextmanager
def _quiet_parser() -> Iterator[list[warnings.WarningMessage]]:
    """Count pydicom's warnings, print none: they quote values."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


def _parse(data: bytes, max_pixels: int) -> FileDataset:
    """The dataset, plausible as an image or at least as a DICOM object."""
    has_prefix = data[128:132] == b"DICM"
    failure: CaseError
    try:
        _check_deflated(data, 2 * max_pixels + INFLATED_ASIDE)
        dataset = pydicom.dcmread(_CountedReads(data), force=True)
        is_plausible = value(dataset, "SOPClassUID") is not None or (
            integer(dataset, "Rows") is not None and integer(dataset, "Columns") is not None
        )
        if has_prefix or is_plausible:
            return dataset
        failure = NotARadiograph("the file is neither an image of a known format nor DICOM")
    except CaseError:
        raise
    except (*PARSER_ERRORS, zlib.error, pydicom.errors.InvalidDicomError) as error:
        failure = UnreadableFile(
            f"the DICOM file is damaged or cut short ({type(error).__name__})", COPY_AGAIN
        )
    raise failure  # outside the handler: the parser's words stay out


class _CountedReads(io.BytesIO):
    """Bytes that can be read so many times and no more."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._left = (
            MAX_READS + len(data) // 1024
        )  # an undefined length is searched in steps of some KiB

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise UnsupportedRadiograph("the DICOM file has too many elements for a radiograph")
        return super().read(size)


def _check_deflated(data: bytes, max_bytes: int) -> None:
    """Refuse a deflated dataset that grows beyond all measure, before pydicom inflates it as a whole."""
    # PS3.10 7.1: the group length comes first, 12 bytes, Explicit VR Little Endian.
    length = int.from_bytes(data[140:144], "little")
    if (
        data[128:132] != b"DICM"
        or uid.DeflatedExplicitVRLittleEndian.encode() not in data[144:1024]
    ):
        return
    if data[132:140] != b"\x02\x00\x00\x00UL\x04\x00":
        raise UnreadableFile(
            "the deflated DICOM file lacks the length of its file meta information", COPY_AGAIN
        )
    if uid.DeflatedExplicitVRLittleEndian.encode() not in data[144 : 144 + length]:
        return
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    rest, total = data[144 + length :], 0
    while rest and not inflater.eof:
        total += len(inflater.decompress(rest, 2**20))
        rest = inflater.unconsumed_tail
        if total > max_bytes:
            raise UnsupportedRadiograph("the deflated DICOM file inflates beyond the pixel limit")
    if not inflater.eof:
        raise UnreadableFile("the deflated DICOM file is cut short", COPY_AGAIN)


def _check(dataset: FileDataset, max_pixels: int, frame: int | None, notes: Notes) -> _Header:
    """The header of something that can be read as one radiograph."""
    _check_object(dataset, notes)
    frames = integer(dataset, "NumberOfFrames") or 1
    if frames > 1 and frame is None:
        raise UnsupportedRadiograph(
            f"the DICOM object has {frames} frames, a radiograph has one",
            "Choose one: ingest.frame, from 1 on.",
        )
    if not 1 <= (frame or 1) <= max(frames, 1):
        raise UnsupportedRadiograph(f"frame {frame} is asked for, the DICOM object has {frames}")
    if frames > 1:
        notes.decide("frame", f"{frame} of {frames}", "the config chose it (PS3.3 C.7.6.6)")
    rows, columns = (
        _required(dataset, "Rows", "(0028,0010)"),
        _required(dataset, "Columns", "(0028,0011)"),
    )
    check_size(rows, columns, max_pixels)
    photometric_interpretation = (
        str(value(dataset, "PhotometricInterpretation") or "").strip().upper()
    )
    samples = integer(dataset, "SamplesPerPixel") or 1
    _check_photometric_interpretation(photometric_interpretation, samples)
    allocated, stored, high_bit = _check_bits(dataset, notes)
    representation = integer(dataset, "PixelRepresentation") or 0
    if representation not in (0, 1):
        raise UnreadableFile(
            f"(0028,0103) 'Pixel Representation' is {representation}, it must be 0 or 1"
        )
    if samples == 3 and (representation == 1 or stored != allocated):
        raise UnsupportedRadiograph(
            "colour pixels that are signed or do not fill their bytes", EXPORT_PLAIN
        )
    syntax = _transfer_syntax(dataset, notes)
    return _Header(
        rows,
        columns,
        samples,
        allocated,
        stored,
        high_bit,
        representation == 1,
        photometric_interpretation,
        syntax,
        max(frames, 1),
        frame or 1,
    )


def _check_object(dataset: FileDataset, notes: Notes) -> None:
    """Refuse what is no radiograph by its class, its modality or for want of pixels."""
    sop_class = _sop_class(dataset)
    modality = str(value(dataset, "Modality") or "").strip().upper()
    has_pixels = "PixelData" in dataset
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise NotARadiograph(
            f"a DICOM object with float pixels, a computed map ({_class_name(sop_class)})"
        )
    is_image = (
        sop_class in RADIOGRAPHY_CLASSES | CAPTURE_CLASSES
        or "Rows" in dataset
        or "BitsStored" in dataset
    )
    if not has_pixels and sop_class is None and not is_image:
        raise UnreadableFile(
            "the DICOM file does not say what it holds: it is damaged or cut short", COPY_AGAIN
        )
    if not has_pixels and not is_image:
        raise NotARadiograph(
            f"a DICOM object without pixels ({_class_name(sop_class)})", "Leave it out."
        )
    if modality in OTHER_MODALITIES:
        raise NotARadiograph(
            f"the modality is {modality}, {OTHER_MODALITIES[modality]}; expected CR or DX",
            "Leave it out.",
        )
    if not has_pixels:
        raise UnreadableFile("the DICOM file has no pixels, or ends before them", COPY_AGAIN)
    if modality in ALMOST_RADIOGRAPHY:
        notes.warn(ALMOST_RADIOGRAPHY[modality])
    elif modality not in RADIOGRAPHY:
        if sop_class not in RADIOGRAPHY_CLASSES | CAPTURE_CLASSES:
            raise NotARadiograph(
                "the modality is missing or unknown; expected CR or DX", "Leave it out."
            )
        notes.warn("the modality is missing or unknown; taken from the kind of DICOM object")
    if sop_class in CAPTURE_CLASSES:
        notes.warn(
            "a Secondary Capture: not the detector's own image, its grey scale may have been changed"
        )
    elif sop_class not in RADIOGRAPHY_CLASSES:
        notes.warn("the kind of DICOM object is not a radiograph's, the modality is")


def _sop_class(dataset: FileDataset) -> UID | None:
    found = value(dataset, "SOPClassUID") or value(dataset.file_meta, "MediaStorageSOPClassUID")
    return UID(str(found)) if isinstance(found, str) else None


def _class_name(sop_class: UID | None) -> str:
    """The standard's name; an UID that the standard does not know is not echoed."""
    known = sop_class is not None and sop_class in UID_dictionary
    return (
        sop_class.name
        if known and sop_class is not None
        else "of a kind that the standard does not know"
    )


def _required(dataset: Dataset, keyword: str, tag: str) -> int:
    found = integer(dataset, keyword)
    if found is None:
        raise UnreadableFile(f"the DICOM header lacks {tag} '{keyword}'", COPY_AGAIN)
    return found


def _check_photometric_interpretation(photometric_interpretation: str, samples: int) -> None:
    expected = {
        1: ("MONOCHROME1", "MONOCHROME2"),
        3: ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"),
    }
    if photometric_interpretation == "PALETTE COLOR":
        raise UnsupportedRadiograph(
            "a palette image: its values are colours, not brightness", "Leave it out."
        )
    if photometric_interpretation not in expected.get(samples, ()):
        raise UnsupportedRadiograph(
            f"(0028,0004) 'Photometric Interpretation' with {samples} samples a pixel does not tell what"
            " is black; expected MONOCHROME1, MONOCHROME2, RGB or YBR"
        )


def _check_bits(dataset: Dataset, notes: Notes) -> tuple[int, int, int]:
    """Bits Allocated, Bits Stored, High Bit (PS3.5 8.1.1)."""
    allocated = _required(dataset, "BitsAllocated", "(0028,0100)")
    if allocated not in (8, 16):
        raise UnsupportedRadiograph(
            f"(0028,0100) 'Bits Allocated' is {allocated}; expected 8 or 16", EXPORT_PLAIN
        )
    stored = integer(dataset, "BitsStored")
    if stored is None:
        notes.warn("Bits Stored is missing and was taken as Bits Allocated")
        stored = allocated
    if not 1 < stored <= allocated:
        raise UnreadableFile(
            f"(0028,0101) 'Bits Stored' is {stored}, it must be 2 to {allocated}", COPY_AGAIN
        )
    high_bit = integer(dataset, "HighBit")
    if high_bit is None or not stored - 1 <= high_bit < allocated:
        if high_bit is not None:
            notes.warn(f"High Bit {high_bit} does not fit Bits Stored {stored} and was ignored")
        high_bit = stored - 1
    elif high_bit != stored - 1:
        notes.warn(
            f"High Bit is {high_bit}, the standard asks for {stored - 1}; the values were shifted down"
        )
    return allocated, stored, high_bit


def _transfer_syntax(dataset: FileDataset, notes: Notes) -> UID:
    found = value(dataset.file_meta, "TransferSyntaxUID")
    if isinstance(found, str) and found:
        syntax = UID(found)
        if syntax in NATIVE or syntax in PLUGINS:
            return syntax
        raise UnsupportedRadiograph(
            f"the pixels are stored as {syntax_name(syntax)}, which is not decoded here",
            EXPORT_PLAIN,
        )
    if _is_encapsulated(dataset):
        raise UnsupportedRadiograph(
            "the pixels are compressed and the header does not say how", EXPORT_PLAIN
        )
    is_implicit, is_little = dataset.original_encoding
    notes.warn("the header does not name its transfer syntax; it was guessed from the bytes")
    if not is_little:
        return uid.ExplicitVRBigEndian
    return uid.ImplicitVRLittleEndian if is_implicit else uid.ExplicitVRLittleEndian


def _is_encapsulated(dataset: Dataset) -> bool:
    try:
        return bool(dataset["PixelData"].is_undefined_length)
    except PARSER_ERRORS:
        return False


def _pixel_bytes(dataset: FileDataset, header: _Header, notes: Notes) -> bytes:
    """The frame as stored: native pixels, or one codestream, refused where cut short, before it is decoded."""
    data = value(dataset, "PixelData")
    if not isinstance(data, bytes) or not data:
        raise UnreadableFile("the DICOM file has no pixels, or ends before them", COPY_AGAIN)
    if not header.is_native:
        frame = _frame(data, header)
        if header.transfer_syntax != uid.RLELossless:
            check_codestream(
                frame, header.rows, header.columns, header.samples, header.bits_allocated
            )
        return frame
    size = header.rows * header.columns * header.samples * (header.bits_allocated // 8)
    if header.photometric_interpretation == "YBR_FULL_422":
        size = size // 3 * 2
    size *= header.frames
    if len(data) < size:
        raise UnreadableFile(f"the pixels are cut short: {len(data)} bytes of {size}", COPY_AGAIN)
    if len(data) > size + size % 2:
        notes.warn("the pixel data is longer than the image; the rest was left out")
    return data


def _frame(data: bytes, header: _Header) -> bytes:
    failure: UnreadableFile
    try:
        return get_frame(data, header.frame - 1, number_of_frames=header.frames)
    except PARSER_ERRORS as error:
        failure = UnreadableFile(
            f"the compressed pixels are damaged ({type(error).__name__})", COPY_AGAIN
        )
    raise failure


def _decode(
    dataset: FileDataset, header: _Header, frame: bytes
) -> tuple[npt.NDArray[Any], str, str]:
    """The one frame's samples, their photometric interpretation, the decoder's name."""
    # As checked, where the dataset itself may be silent; the unused bits are ours to mask.
    options: dict[str, Any] = {
        "index": header.frame - 1 if header.is_native else 0,
        "raw": True,
        "transfer_syntax_uid": str(header.transfer_syntax),
        "number_of_frames": header.frames if header.is_native else 1,
        "samples_per_pixel": header.samples,
        "bits_stored": header.bits_stored,
        "pixel_representation": int(header.is_signed),
        "photometric_interpretation": header.photometric_interpretation,
        "allow_excess_frames": False,
        "correct_unused_bits": False,
    }
    if header.is_native:
        decoded, found = _uncompressed(dataset, options | {"view_only": True})
        name = f"pydicom {installed_version('pydicom')} (uncompressed)"
    else:
        plugin, distribution = choose_plugin(header.transfer_syntax, header.bits_stored)
        options |= {
            "rows": header.rows,
            "columns": header.columns,
            "bits_allocated": header.bits_allocated,
            "planar_configuration": integer(dataset, "PlanarConfiguration") or 0,
            "pixel_keyword": "PixelData",
            "pixel_vr": "OB",
            "decoding_plugin": plugin,
        }
        decoded, found = decode_apart(frame, options)
        name = f"{distribution} {installed_version(distribution)}"
    expected = (
        (header.rows, header.columns) if header.samples == 1 else (header.rows, header.columns, 3)
    )
    if decoded.shape != expected or decoded.dtype.itemsize > 2:
        raise UnreadableFile(
            "the decoded pixels have another shape than the header says", COPY_AGAIN
        )
    return decoded, found, name


def _uncompressed(dataset: FileDataset, options: dict[str, Any]) -> tuple[npt.NDArray[Any], str]:
    failure: UnreadableFile
    try:
        decoder = get_decoder(options.pop("transfer_syntax_uid"))
        decoded, properties = decoder.as_array(dataset, **options)
        return decoded, str(properties["photometric_interpretation"])
    except PARSER_ERRORS as error:
        failure = UnreadableFile(
            f"the pixels cannot be decoded ({type(error).__name__})", COPY_AGAIN
        )
    raise failure


def _stored(decoded: npt.NDArray[Any], header: _Header, notes: Notes) -> npt.NDArray[Any]:
    """Stored values: Bits Stored cut out below High Bit, sign-extended (PS3.5 8.1.1)."""
    unsigned, signed = (
        np.dtype(f"u{decoded.dtype.itemsize}"),
        np.dtype(f"i{decoded.dtype.itemsize}"),
    )
    as_stored = signed if header.is_signed else unsigned
    cells = decoded.astype(decoded.dtype.newbyteorder("="), copy=False).view(unsigned)
    shift = header.high_bit + 1 - header.bits_stored if header.is_native else 0
    low, high = value_range(header.bits_stored, header.is_signed)
    if (
        shift == 0
        and (as_extended := cells.view(as_stored)).min() >= low
        and as_extended.max() <= high
    ):
        return as_extended  # most files; nothing to cut out
    mask = unsigned.type((1 << header.bits_stored) - 1)
    if shift == 0 and (cells > mask).any():
        notes.warn(
            "bits outside Bits Stored were in use and were masked; an old overlay, or a wrong Bits Stored"
        )
    stored: npt.NDArray[Any] = (cells >> unsigned.type(shift)) & mask
    if header.is_signed:
        top = unsigned.type(1 << (header.bits_stored - 1))
        stored = ((stored ^ top) - top).view(signed)
    return stored


def _grey(
    dataset: FileDataset, header: _Header, stored: npt.NDArray[Any], display: Display, notes: Notes
) -> Floats:
    """The grayscale chain as one table, applied. A cell is the stored value with its sign extended or zeros above,
    so the table of the 2 ** Bits Stored patterns repeats over the cells'."""
    cells = stored.view(f"u{stored.itemsize}")
    num_cells, num_patterns = 1 << 8 * stored.itemsize, 1 << header.bits_stored
    # float32 counts: exact below 2 ** 24, and above only shares of them are used
    counts = (
        cv2.calcHist([cells], [0], None, [num_cells], [0, num_cells])
        .reshape(-1, num_patterns)
        .sum(axis=0)
    )
    table = grayscale_table(_gray_header(dataset, header), counts, display, notes)
    pixels: Floats = cv2.LUT(cells, np.tile(table, num_cells // num_patterns))
    return pixels


def _gray_header(dataset: FileDataset, header: _Header) -> GrayHeader:
    is_little = header.transfer_syntax != uid.ExplicitVRBigEndian
    modality_luts = _lookup_tables(dataset, "ModalityLUTSequence", is_little)
    return GrayHeader(
        bits_stored=header.bits_stored,
        is_signed=header.is_signed,
        photometric_interpretation=header.photometric_interpretation,
        presentation_lut_shape=_text(dataset, "PresentationLUTShape"),
        padding_value=integer(dataset, "PixelPaddingValue"),
        padding_range_limit=integer(dataset, "PixelPaddingRangeLimit"),
        modality_lut=modality_luts[0] if modality_luts else None,
        rescale_slope=_number(dataset, "RescaleSlope"),
        rescale_intercept=_number(dataset, "RescaleIntercept"),
        voi_luts=tuple(_lookup_tables(dataset, "VOILUTSequence", is_little)),
        window_centers=floats(dataset, "WindowCenter"),
        window_widths=floats(dataset, "WindowWidth"),
        window_explanations=tuple(
            str(text) for text in values(dataset, "WindowCenterWidthExplanation")
        ),
        voi_lut_function=_text(dataset, "VOILUTFunction"),
    )


def _text(dataset: Dataset, keyword: str) -> str | None:
    found = value(dataset, keyword)
    return found if isinstance(found, str) else None


def _number(dataset: Dataset, keyword: str) -> float | None:
    found = floats(dataset, keyword)
    return found[0] if len(found) == 1 else None


def _lookup_tables(dataset: FileDataset, keyword: str, is_little: bool) -> list[LookupTable]:
    """The items of a LUT sequence; one that is incomplete comes back empty, so that the chain can say so."""
    tables = []
    for item in values(dataset, keyword):
        descriptor = floats(item, "LUTDescriptor")
        data = value(item, "LUTData")
        if len(descriptor) != 3 or data is None:
            tables.append(LookupTable((1, 0, 16), b""))
            continue
        if not isinstance(data, bytes):
            data = [int(entry) for entry in (data if isinstance(data, list) else [data])]
        size, first, bits = (int(number) for number in descriptor)
        tables.append(LookupTable((size, first, bits), data, is_little))
    return tables


def _colour(
    header: _Header, stored: npt.NDArray[Any], photometric_interpretation: str, notes: Notes
) -> Floats:
    """Brightness. YBR_FULL carries it as its first channel, by the same weights (PS3.3 C.7.6.3.1.2)."""
    white = (1 << header.bits_stored) - 1
    if photometric_interpretation in ("YBR_FULL", "YBR_FULL_422"):
        notes.decide(
            "colour channels", "the brightness channel Y was taken", "PS3.3 C.7.6.3.1.2, YBR_FULL"
        )
        middle = (white + 1) // 2
        distance = np.abs(stored[..., 1:].astype(np.int32) - middle).max(axis=2)
        if np.mean(distance > white // 32) > 1e-3:
            notes.warn(
                "the image holds real colour (annotations, or not a plain radiograph); shown as brightness"
            )
        brightness: Floats = (stored[..., 0] / np.float64(white)).astype(np.float32)
        return brightness
    return to_grey(stored, white, notes.decisions, notes.warnings)

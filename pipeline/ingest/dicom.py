"""DICOM bytes -> display pixels in [0, 1] and facts.

PS3.5 and PS3.10 for the file (pydicom reads and decompresses), PS3.3 C.7.6.3 for the pixels, `grayscale` for
what is displayed. Refuses objects without pixels, other modalities, several frames, palettes, float pixels;
checks every size before memory is taken, and that compressed pixels reach their end marker.
"""

from __future__ import annotations

import io
import logging
import pickle
import re
import struct
import subprocess
import sys
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import uid
from pydicom._uid_dict import UID_dictionary
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import UID

from pipeline.errors import CaseError, NotARadiograph, UnreadableFile, UnsupportedRadiograph
from pipeline.ingest.attributes import (
    PARSER_ERRORS,
    attributes,
    floats,
    integer,
    patient_orientation,
    pixel_spacing,
    term,
    value,
    values,
    warn_about,
)
from pipeline.ingest.grayscale import GrayHeader, LookupTable, Notes, grayscale_table
from pipeline.ingest.image import check_size, stored_sha256, strict_pillow, to_grey
from pipeline.records import Floats, RadiographFacts, SourceFile

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

# Which plugin decodes what, in this order; never pylibjpeg-libjpeg (GPL). (plugin, distribution)
OPENJPEG = ("pylibjpeg", "pylibjpeg-openjpeg")
GDCM = ("gdcm", "python-gdcm")
PILLOW = ("pillow", "pillow")
PLUGINS: dict[str, tuple[tuple[str, str], ...]] = {
    uid.JPEGBaseline8Bit: (PILLOW, GDCM),
    uid.JPEGExtended12Bit: (PILLOW, GDCM),
    uid.JPEGLossless: (GDCM,),
    uid.JPEGLosslessSV1: (GDCM,),
    uid.JPEGLSLossless: (("pyjpegls", "pyjpegls"), GDCM),
    uid.JPEGLSNearLossless: (("pyjpegls", "pyjpegls"), GDCM),
    uid.JPEG2000Lossless: (OPENJPEG, GDCM),
    uid.JPEG2000: (OPENJPEG, GDCM),
    uid.HTJ2KLossless: (OPENJPEG,),
    uid.HTJ2KLosslessRPCL: (OPENJPEG,),
    uid.HTJ2K: (OPENJPEG,),
    uid.RLELossless: (("pydicom", "pydicom"),),
}
NATIVE = frozenset(
    {
        uid.ImplicitVRLittleEndian,
        uid.ExplicitVRLittleEndian,
        uid.ExplicitVRBigEndian,
        uid.DeflatedExplicitVRLittleEndian,
    }
)
DECODE_TIMEOUT_S = 300
DECODE_APART = """
import pickle, sys
from pydicom.pixels.decoders.base import get_decoder
data, options = pickle.load(sys.stdin.buffer)
decoded, properties = get_decoder(options.pop("transfer_syntax_uid")).as_array(data, **options)
pickle.dump((decoded, str(properties["photometric_interpretation"])), sys.stdout.buffer)
"""
END_MARKER = b"\xff\xd9"  # the last bytes of a JPEG, JPEG-LS, JPEG 2000 and HTJ2K codestream alike
COPY_AGAIN = "Copy it again from its origin."
EXPORT_PLAIN = "Export it from the PACS uncompressed (Explicit VR Little Endian)."


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
    is_native: bool


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


def probe_dicom(data: bytes, max_pixels: int) -> None:
    """Raise what the header shows to be wrong; the pixels stay as they are."""
    with _quiet_parser():
        notes = Notes()
        dataset = _parse(data, max_pixels)
        header = _check(dataset, max_pixels, notes)
        _check_pixel_data(dataset, header, notes)
        if not header.is_native:
            _plugin(header)


def read_dicom(data: bytes, file_sha256: str, max_pixels: int) -> tuple[Floats, RadiographFacts]:
    """Decode and prepare for display.

    Returns
    -------
    pixels : float32 (rows, columns) in [0, 1], 0 = black as displayed; padding is 0
    facts : RadiographFacts
        Attributes from the allow-list only.
    """
    notes = Notes()
    with _quiet_parser() as parser_warnings:
        dataset = _parse(data, max_pixels)
        header = _check(dataset, max_pixels, notes)
        _check_pixel_data(dataset, header, notes)
        decoded, photometric_interpretation, decoder = _decode(dataset, header)
        stored = _stored(decoded, header, notes)
        if header.samples == 1:
            pixels = _grey(dataset, header, stored, notes)
        else:
            pixels = _colour(header, stored, photometric_interpretation, notes)
        spacing = pixel_spacing(dataset, notes)
        warn_about(dataset, notes)
        kept = attributes(dataset)
        view = term(dataset, "ViewPosition")
        orientation = patient_orientation(dataset)
    if parser_warnings:
        count = len(parser_warnings)
        notes.warn(f"{count} warning{'s' if count > 1 else ''} from the DICOM parser")
    facts = RadiographFacts(
        rows=header.rows,
        columns=header.columns,
        source=SourceFile(file_sha256, stored_sha256(stored), "DICOM", header.transfer_syntax.name, decoder),
        pixel_spacing_mm=spacing,
        view_position=view,
        patient_orientation=orientation,
        attributes=kept,
        decisions=tuple(notes.decisions),
        warnings=tuple(notes.warnings),
    )
    return pixels, facts


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
        _check_deflated(data, 8 * max_pixels + 2**26)
        dataset = pydicom.dcmread(io.BytesIO(data), force=True)
        is_plausible = value(dataset, "SOPClassUID") is not None or (
            integer(dataset, "Rows") is not None and integer(dataset, "Columns") is not None
        )
        if has_prefix or is_plausible:
            return dataset
        failure = NotARadiograph("the file is neither an image of a known format nor DICOM")
    except CaseError:
        raise
    except (*PARSER_ERRORS, zlib.error, pydicom.errors.InvalidDicomError) as error:
        failure = UnreadableFile(f"the DICOM file is damaged or cut short ({type(error).__name__})", COPY_AGAIN)
    raise failure  # outside the handler: the parser's words stay out


def _check_deflated(data: bytes, max_bytes: int) -> None:
    """Refuse a deflated dataset that grows beyond all measure, before pydicom inflates it as a whole."""
    # PS3.10 7.1: the group length comes first, 12 bytes, Explicit VR Little Endian.
    length = int.from_bytes(data[140:144], "little")
    if data[128:132] != b"DICM" or uid.DeflatedExplicitVRLittleEndian.encode() not in data[144:1024]:
        return
    if data[132:140] != b"\x02\x00\x00\x00UL\x04\x00":
        raise UnreadableFile("the deflated DICOM file lacks the length of its file meta information", COPY_AGAIN)
    if uid.DeflatedExplicitVRLittleEndian.encode() not in data[144 : 144 + length]:
        return
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    rest, total = data[144 + length :], 0
    while rest and not inflater.eof:
        total += len(inflater.decompress(rest, 2**24))
        rest = inflater.unconsumed_tail
        if total > max_bytes:
            raise UnsupportedRadiograph("the deflated DICOM file inflates beyond the pixel limit")
    if not inflater.eof:
        raise UnreadableFile("the deflated DICOM file is cut short", COPY_AGAIN)


def _check(dataset: FileDataset, max_pixels: int, notes: Notes) -> _Header:
    """The header of something that can be read as one radiograph."""
    _check_object(dataset, notes)
    frames = integer(dataset, "NumberOfFrames")
    if frames is not None and frames > 1:
        raise UnsupportedRadiograph(f"the DICOM object has {frames} frames, a radiograph has one", "Split it.")
    rows, columns = _required(dataset, "Rows", "(0028,0010)"), _required(dataset, "Columns", "(0028,0011)")
    check_size(rows, columns, max_pixels)
    photometric_interpretation = str(value(dataset, "PhotometricInterpretation") or "").strip().upper()
    samples = integer(dataset, "SamplesPerPixel") or 1
    _check_photometric_interpretation(photometric_interpretation, samples)
    allocated, stored, high_bit = _check_bits(dataset, notes)
    representation = integer(dataset, "PixelRepresentation") or 0
    if representation not in (0, 1):
        raise UnreadableFile(f"(0028,0103) 'Pixel Representation' is {representation}, it must be 0 or 1")
    if samples == 3 and (representation == 1 or stored != allocated):
        raise UnsupportedRadiograph("colour pixels that are signed or do not fill their bytes", EXPORT_PLAIN)
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
        syntax in NATIVE,
    )


def _check_object(dataset: FileDataset, notes: Notes) -> None:
    """Refuse what is no radiograph by its class, its modality or for want of pixels."""
    sop_class = _sop_class(dataset)
    modality = str(value(dataset, "Modality") or "").strip().upper()
    has_pixels = "PixelData" in dataset
    if "FloatPixelData" in dataset or "DoubleFloatPixelData" in dataset:
        raise NotARadiograph(f"a DICOM object with float pixels, a computed map ({_class_name(sop_class)})")
    is_image = sop_class in RADIOGRAPHY_CLASSES | CAPTURE_CLASSES or "Rows" in dataset or "BitsStored" in dataset
    if not has_pixels and sop_class is None and not is_image:
        raise UnreadableFile("the DICOM file does not say what it holds: it is damaged or cut short", COPY_AGAIN)
    if not has_pixels and not is_image:
        raise NotARadiograph(f"a DICOM object without pixels ({_class_name(sop_class)})", "Leave it out.")
    if modality in OTHER_MODALITIES:
        raise NotARadiograph(
            f"the modality is {modality}, {OTHER_MODALITIES[modality]}; expected CR or DX", "Leave it out."
        )
    if not has_pixels:
        raise UnreadableFile("the DICOM file has no pixels, or ends before them", COPY_AGAIN)
    if modality in ALMOST_RADIOGRAPHY:
        notes.warn(ALMOST_RADIOGRAPHY[modality])
    elif modality not in RADIOGRAPHY:
        if sop_class not in RADIOGRAPHY_CLASSES | CAPTURE_CLASSES:
            raise NotARadiograph("the modality is missing or unknown; expected CR or DX", "Leave it out.")
        notes.warn("the modality is missing or unknown; taken from the kind of DICOM object")
    if sop_class in CAPTURE_CLASSES:
        notes.warn("a Secondary Capture: not the detector's own image, its grey scale may have been changed")
    elif sop_class not in RADIOGRAPHY_CLASSES:
        notes.warn("the kind of DICOM object is not a radiograph's, the modality is")


def _sop_class(dataset: FileDataset) -> UID | None:
    found = value(dataset, "SOPClassUID") or value(dataset.file_meta, "MediaStorageSOPClassUID")
    return UID(str(found)) if isinstance(found, str) else None


def _class_name(sop_class: UID | None) -> str:
    """The standard's name; an UID that the standard does not know is not echoed."""
    known = sop_class is not None and sop_class in UID_dictionary
    return sop_class.name if known and sop_class is not None else "of a kind that the standard does not know"


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
        raise UnsupportedRadiograph("a palette image: its values are colours, not brightness", "Leave it out.")
    if photometric_interpretation not in expected.get(samples, ()):
        raise UnsupportedRadiograph(
            f"(0028,0004) 'Photometric Interpretation' with {samples} samples a pixel does not tell what"
            " is black; expected MONOCHROME1, MONOCHROME2, RGB or YBR"
        )


def _check_bits(dataset: Dataset, notes: Notes) -> tuple[int, int, int]:
    """Bits Allocated, Bits Stored, High Bit (PS3.5 8.1.1)."""
    allocated = _required(dataset, "BitsAllocated", "(0028,0100)")
    if allocated not in (8, 16):
        raise UnsupportedRadiograph(f"(0028,0100) 'Bits Allocated' is {allocated}; expected 8 or 16", EXPORT_PLAIN)
    stored = integer(dataset, "BitsStored")
    if stored is None:
        notes.warn("Bits Stored is missing and was taken as Bits Allocated")
        stored = allocated
    if not 1 < stored <= allocated:
        raise UnreadableFile(f"(0028,0101) 'Bits Stored' is {stored}, it must be 2 to {allocated}", COPY_AGAIN)
    high_bit = integer(dataset, "HighBit")
    if high_bit is None or not stored - 1 <= high_bit < allocated:
        if high_bit is not None:
            notes.warn(f"High Bit {high_bit} does not fit Bits Stored {stored} and was ignored")
        high_bit = stored - 1
    elif high_bit != stored - 1:
        notes.warn(f"High Bit is {high_bit}, the standard asks for {stored - 1}; the values were shifted down")
    return allocated, stored, high_bit


def _transfer_syntax(dataset: FileDataset, notes: Notes) -> UID:
    found = value(dataset.file_meta, "TransferSyntaxUID")
    if isinstance(found, str) and found:
        syntax = UID(found)
        if syntax in NATIVE or syntax in PLUGINS:
            return syntax
        raise UnsupportedRadiograph(
            f"the pixels are stored as {_syntax_name(syntax)}, which is not decoded here", EXPORT_PLAIN
        )
    if _is_encapsulated(dataset):
        raise UnsupportedRadiograph("the pixels are compressed and the header does not say how", EXPORT_PLAIN)
    is_implicit, is_little = dataset.original_encoding
    notes.warn("the header does not name its transfer syntax; it was guessed from the bytes")
    if not is_little:
        return uid.ExplicitVRBigEndian
    return uid.ImplicitVRLittleEndian if is_implicit else uid.ExplicitVRLittleEndian


def _syntax_name(syntax: UID) -> str:
    return syntax.name if syntax in UID_dictionary else "a private transfer syntax"


def _is_encapsulated(dataset: Dataset) -> bool:
    try:
        return bool(dataset["PixelData"].is_undefined_length)
    except PARSER_ERRORS:
        return False


def _check_pixel_data(dataset: FileDataset, header: _Header, notes: Notes) -> None:
    """Refuse pixels that are cut short, before they are decoded."""
    data = value(dataset, "PixelData")
    if not isinstance(data, bytes) or not data:
        raise UnreadableFile("the DICOM file has no pixels, or ends before them", COPY_AGAIN)
    if header.is_native:
        size = header.rows * header.columns * header.samples * (header.bits_allocated // 8)
        if header.photometric_interpretation == "YBR_FULL_422":
            size = size // 3 * 2
        if len(data) < size:
            raise UnreadableFile(f"the pixels are cut short: {len(data)} bytes of {size}", COPY_AGAIN)
        if len(data) > size + size % 2:
            notes.warn("the pixel data is longer than the image; the rest was left out")
        return
    frame = _frame(data)
    if header.transfer_syntax == uid.RLELossless:
        return
    if END_MARKER not in frame.rstrip(b"\x00")[-3:]:  # some writers pad with FF
        raise UnreadableFile("the compressed pixels end before their end marker", COPY_AGAIN)
    size_inside = _codestream_size(frame)
    if size_inside is not None and size_inside != (header.rows, header.columns):
        raise UnreadableFile("the compressed pixels have another size than the header says", COPY_AGAIN)


def _frame(data: bytes) -> bytes:
    failure: UnreadableFile
    try:
        return get_frame(data, 0, number_of_frames=1)
    except PARSER_ERRORS as error:
        failure = UnreadableFile(f"the compressed pixels are damaged ({type(error).__name__})", COPY_AGAIN)
    raise failure


def _codestream_size(frame: bytes) -> tuple[int, int] | None:
    """Rows and columns that the codestream announces: a decoder takes memory by these, not by the header."""
    start = frame[:4096].find(b"\xff\x4f\xff\x51")
    if start >= 0 and len(frame) >= start + 24:  # ISO/IEC 15444-1 A.5.1, SIZ
        width, height, x, y = struct.unpack(">4I", frame[start + 8 : start + 24])
        return height - y, width - x
    position = 2
    while position + 9 <= len(frame) and frame[position] == 0xFF:
        marker = frame[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:  # SOF; F7: JPEG-LS
            height, width = struct.unpack(">HH", frame[position + 5 : position + 9])
            return height, width
        else:
            position += 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
    return None


def _plugin(header: _Header) -> tuple[str, str]:
    """The first installed plugin and the distribution that it comes from."""
    syntax = header.transfer_syntax
    if syntax == uid.JPEGExtended12Bit and header.bits_stored > 8:
        raise UnsupportedRadiograph("JPEG Extended with 12 bits is not decoded here", EXPORT_PLAIN)
    available = get_decoder(syntax).available_plugins
    for plugin, distribution in PLUGINS[syntax]:
        if plugin in available and _is_installed(distribution):
            return plugin, distribution
    needed = PLUGINS[syntax][0][1]
    raise UnsupportedRadiograph(f"no decoder for {_syntax_name(syntax)} is installed", f"Install {needed}.")


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def _decode(dataset: FileDataset, header: _Header) -> tuple[npt.NDArray[Any], str, str]:
    """Decompress the one frame: the decoder's array, its photometric interpretation, the decoder's name."""
    plugin, distribution = ("", "") if header.is_native else _plugin(header)
    name = f"{distribution} {version(distribution)}" if plugin else f"pydicom {version('pydicom')} (uncompressed)"
    # As checked, where the dataset itself may be silent; the unused bits are ours to mask.
    options: dict[str, Any] = {
        "index": 0,
        "raw": True,
        "decoding_plugin": plugin,
        "transfer_syntax_uid": str(header.transfer_syntax),
        "number_of_frames": 1,
        "samples_per_pixel": header.samples,
        "bits_stored": header.bits_stored,
        "pixel_representation": int(header.is_signed),
        "photometric_interpretation": header.photometric_interpretation,
        "allow_excess_frames": False,
        "correct_unused_bits": False,
    }
    failure: UnreadableFile
    try:
        with strict_pillow():
            decoded, found = _decode_apart(dataset, options) if plugin == GDCM[0] else _as_array(dataset, options)
        expected = (header.rows, header.columns) if header.samples == 1 else (header.rows, header.columns, 3)
        if decoded.shape == expected and decoded.dtype.itemsize <= 2:
            return decoded, found, name
        failure = UnreadableFile("the decoded pixels have another shape than the header says", COPY_AGAIN)
    except (*PARSER_ERRORS, subprocess.TimeoutExpired) as error:
        failure = UnreadableFile(f"the pixels cannot be decoded ({type(error).__name__})", COPY_AGAIN)
    raise failure


def _as_array(dataset: FileDataset, options: dict[str, Any]) -> tuple[npt.NDArray[Any], str]:
    decoded, properties = get_decoder(options.pop("transfer_syntax_uid")).as_array(dataset, **options)
    return decoded, str(properties["photometric_interpretation"])


def _decode_apart(dataset: FileDataset, options: dict[str, Any]) -> tuple[npt.NDArray[Any], str]:
    """Decode in a process of its own: GDCM ends its process at a damaged JPEG; the run must go on."""
    options |= {
        "rows": integer(dataset, "Rows"),
        "columns": integer(dataset, "Columns"),
        "bits_allocated": integer(dataset, "BitsAllocated"),
        "planar_configuration": integer(dataset, "PlanarConfiguration") or 0,
        "pixel_keyword": "PixelData",
        "pixel_vr": "OB",
    }
    request = pickle.dumps((value(dataset, "PixelData"), options))
    command = [sys.executable, "-W", "ignore", "-c", DECODE_APART]
    child = subprocess.run(command, input=request, capture_output=True, timeout=DECODE_TIMEOUT_S, check=False)
    if child.returncode != 0:
        raise ValueError("the decoder gave up")
    decoded, photometric_interpretation = pickle.loads(child.stdout)
    return decoded, photometric_interpretation


def _stored(decoded: npt.NDArray[Any], header: _Header, notes: Notes) -> npt.NDArray[Any]:
    """Stored values: Bits Stored cut out below High Bit, sign-extended (PS3.5 8.1.1)."""
    unsigned, signed = np.dtype(f"u{decoded.dtype.itemsize}"), np.dtype(f"i{decoded.dtype.itemsize}")
    cells = decoded.astype(decoded.dtype.newbyteorder("=")).view(unsigned)
    shift = header.high_bit + 1 - header.bits_stored if header.is_native else 0
    width = 8 * unsigned.itemsize
    if header.bits_stored >= width:
        return cells.view(signed) if header.is_signed else cells
    mask = unsigned.type((1 << header.bits_stored) - 1)
    stored: npt.NDArray[Any] = (cells >> unsigned.type(shift)) & mask
    if header.is_signed:
        top = unsigned.type(1 << (header.bits_stored - 1))
        stored = ((stored ^ top) - top).view(signed)
    if shift == 0 and (stored.view(unsigned) != cells).any() and (cells > mask).any():
        notes.warn("bits outside Bits Stored were in use and were masked; an old overlay, or a wrong Bits Stored")
    return stored


def _grey(dataset: FileDataset, header: _Header, stored: npt.NDArray[Any], notes: Notes) -> Floats:
    """The grayscale chain as one table, applied."""
    mask = (1 << header.bits_stored) - 1
    patterns = stored.astype(np.int32) & mask
    counts = np.bincount(patterns.ravel(), minlength=mask + 1)
    table = grayscale_table(_gray_header(dataset, header), counts, notes)
    pixels: Floats = table[patterns]
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


def _colour(header: _Header, stored: npt.NDArray[Any], photometric_interpretation: str, notes: Notes) -> Floats:
    """Brightness. YBR_FULL carries it as its first channel, by the same weights (PS3.3 C.7.6.3.1.2)."""
    white = (1 << header.bits_stored) - 1
    if photometric_interpretation in ("YBR_FULL", "YBR_FULL_422"):
        notes.decide("colour channels", "the brightness channel Y was taken", "PS3.3 C.7.6.3.1.2, YBR_FULL")
        middle = (white + 1) // 2
        distance = np.abs(stored[..., 1:].astype(np.int32) - middle).max(axis=2)
        if np.mean(distance > white // 32) > 1e-3:
            notes.warn("the image holds real colour (annotations, or not a plain radiograph); shown as brightness")
        brightness: Floats = (stored[..., 0] / np.float64(white)).astype(np.float32)
        return brightness
    return to_grey(stored, white, notes.decisions, notes.warnings)

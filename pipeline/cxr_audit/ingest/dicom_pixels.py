"""Pixel Data and a checked header -> stored values; stored values -> display values in [0, 1].

PS3.5 8.1.1 and A.4 for the stored values, `grayscale` for what is displayed.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pydicom import uid
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import generate_fragments, get_frame, parse_basic_offsets
from pydicom.pixels.decoders.base import get_decoder

from cxr_audit.errors import UnreadableFile
from cxr_audit.ingest import codestream
from cxr_audit.ingest.codestream import Announced
from cxr_audit.ingest.decoding import Decoded, decode_frame, installed_version
from cxr_audit.ingest.dicom_header import Header
from cxr_audit.ingest.elements import (
    PARSER_ERRORS,
    integer,
    is_present,
    number,
    numbers,
    terms,
    value,
    values,
)
from cxr_audit.ingest.grayscale import GrayHeader, grayscale_table, value_range
from cxr_audit.ingest.image import blocks, to_grey
from cxr_audit.ingest.lookup import LookupTable
from cxr_audit.ingest.notes import Display, Notes
from cxr_audit.records import Floats
from cxr_audit.vocabulary import message

Stored = npt.NDArray[Any]
ALWAYS_LOSSY = frozenset({uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit})
LUT_SHAPES = ("IDENTITY", "INVERSE")
# Chroma further from grey than this share of the range, in more than this share of the pixels.
CHROMA_SPREAD, CHROMA_FRACTION = 1 / 32, 1e-3


@dataclass(frozen=True, slots=True)
class PixelBytes:
    """The frames as stored: native pixels, or one codestream and what it says of itself."""

    data: bytes
    stated: Announced | None = None


def pixel_bytes(dataset: FileDataset, header: Header, notes: Notes) -> PixelBytes:
    """The bytes to decode, refused where they are cut short.

    Parameters
    ----------
    dataset : the object.
    header : what its header says of the pixels.
    notes : gets warnings.

    Raises
    ------
    UnreadableFile, UnsupportedRadiograph
    """
    data = value(dataset, "PixelData")
    if not isinstance(data, bytes) or not data:
        raise UnreadableFile(message("ingest.empty_pixels"), message("ingest.copy_again"))
    if header.is_native:
        return PixelBytes(_native(data, header, notes))
    frame = _frame(data, header)
    if header.transfer_syntax == uid.RLELossless:
        return PixelBytes(frame)
    frame, num_after = codestream.complete(frame)
    if num_after:
        notes.warn(message("ingest.bytes_after_end", num=num_after))
    stated = codestream.check(
        frame, header.rows, header.columns, header.samples, header.bits_allocated
    )
    return PixelBytes(frame, stated)


def _native(data: bytes, header: Header, notes: Notes) -> bytes:
    size = header.rows * header.columns * header.samples * (header.bits_allocated // 8)
    if header.photometric_interpretation == "YBR_FULL_422":
        size = size // 3 * 2
    size *= header.frames
    if len(data) < size:
        problem = message("ingest.pixels_short", num=len(data), expected=size)
        raise UnreadableFile(problem, message("ingest.copy_again"))
    if len(data) > size + size % 2:
        notes.warn(message("ingest.pixels_long"))
    return data


def _frame(data: bytes, header: Header) -> bytes:
    """One codestream. A single frame owns all fragments, whatever the offset table says."""
    failure: UnreadableFile
    try:
        buffer = io.BytesIO(data)
        parse_basic_offsets(buffer)
        fragments = list(generate_fragments(buffer))
        if header.frames == 1:
            return b"".join(fragments)
        if len(fragments) == header.frames:
            return fragments[header.frame - 1]
        return get_frame(data, header.frame - 1, number_of_frames=header.frames)
    except PARSER_ERRORS as error:
        problem = message("ingest.fragments_damaged", error=type(error).__name__)
        failure = UnreadableFile(problem, message("ingest.copy_again"))
    raise failure  # outside the handler: the parser's words stay out


def is_lossy(header: Header, pixels: PixelBytes) -> bool:
    """Whether the coding of the pixels itself loses information."""
    is_lossy_stream = pixels.stated is not None and pixels.stated.is_lossy
    return is_lossy_stream or header.transfer_syntax in ALWAYS_LOSSY


def decode(
    dataset: FileDataset, header: Header, pixels: PixelBytes, display: Display, notes: Notes
) -> Decoded:
    """The one frame's samples.

    Parameters
    ----------
    dataset, header, pixels
    display : `damaged_pixels` says whether pixels that the codec calls damaged are refused.
    notes

    Raises
    ------
    UnreadableFile, UnsupportedRadiograph
    """
    options = _options(header)
    if header.is_native:
        decoded = _uncompressed(dataset, header, options)
    else:
        decoded = _compressed(dataset, header, pixels, options)
    expected: tuple[int, ...] = (header.rows, header.columns)
    if header.samples == 3:
        expected = (*expected, 3)
    if decoded.samples.shape != expected or decoded.samples.dtype.itemsize > 2:
        raise UnreadableFile(message("ingest.decoded_shape"), message("ingest.copy_again"))
    if decoded.is_damaged:
        notes.damaged(display)
    if decoded.is_second_opinion:
        notes.warn(message("ingest.second_decoder"))
    return decoded


def _options(header: Header) -> dict[str, Any]:
    """For pydicom's decoders: as checked, where the dataset itself may be silent.

    The unused bits are ours to mask.
    """
    return {
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


def _uncompressed(dataset: FileDataset, header: Header, options: dict[str, Any]) -> Decoded:
    failure: UnreadableFile
    try:
        decoder = get_decoder(header.transfer_syntax)
        del options["transfer_syntax_uid"]
        samples, properties = decoder.as_array(dataset, **options | {"view_only": True})
        name = f"pydicom {installed_version('pydicom')} (uncompressed)"
        return Decoded(samples, str(properties["photometric_interpretation"]), name)
    except PARSER_ERRORS as error:
        problem = message("ingest.undecodable", error=type(error).__name__)
        failure = UnreadableFile(problem, message("ingest.copy_again"))
    raise failure


def _compressed(
    dataset: FileDataset, header: Header, pixels: PixelBytes, options: dict[str, Any]
) -> Decoded:
    """Codecs give bytes for a precision of at most 8 bits, whatever Bits Allocated says."""
    stated = pixels.stated
    is_narrow = stated is not None and stated.precision <= 8 < header.bits_allocated
    bits_allocated = 8 if is_narrow else header.bits_allocated
    options |= {
        "rows": header.rows,
        "columns": header.columns,
        "bits_allocated": bits_allocated,
        "bits_stored": min(header.bits_stored, bits_allocated),
        "planar_configuration": integer(dataset, "PlanarConfiguration", Notes()) or 0,
        "pixel_keyword": "PixelData",
        "pixel_vr": "OB",
    }
    decoded = decode_frame(pixels.data, options)
    if not is_narrow:
        return decoded
    kind = "i" if header.is_signed else "u"
    return replace(decoded, samples=decoded.samples.astype(f"{kind}2"))


def stored_values(decoded: Stored, header: Header, pixels: PixelBytes, notes: Notes) -> Stored:
    """Bits Stored cut out below High Bit, sign-extended (PS3.5 8.1.1).

    A lossy codec may overshoot: there a value beyond Bits Stored is the brightest or the darkest
    one. Elsewhere it carries bits that are not of the image, and these are masked.

    Parameters
    ----------
    decoded : integers (rows, columns) or (rows, columns, samples), as the decoder gives them.
    header : bits, sign and High Bit.
    pixels : what the codestream says of itself.
    notes : gets a warning where values are limited or masked.

    Returns
    -------
    Integers of the same shape, signed where the header says so.
    """
    kind = "i" if header.is_signed else "u"
    unsigned = np.dtype(f"u{decoded.dtype.itemsize}")
    as_stored = np.dtype(f"{kind}{decoded.dtype.itemsize}")
    cells = decoded.astype(decoded.dtype.newbyteorder("="), copy=False).view(unsigned)
    shift = header.high_bit + 1 - header.bits_stored if header.is_native else 0
    low, high = value_range(header.bits_stored, header.is_signed)
    extended = cells.view(as_stored)
    if shift == 0 and extended.min() >= low and extended.max() <= high:
        return extended  # most files; nothing to cut out
    stated = pixels.stated
    if stated is not None and stated.is_lossy and _has_true_sign(header, stated):
        notes.warn(message("ingest.saturated"))
        saturated: Stored = np.clip(extended, low, high)
        return saturated
    return _masked(cells, shift, header, notes)


def _masked(cells: Stored, shift: int, header: Header, notes: Notes) -> Stored:
    """Bits Stored of unsigned cells above `shift`, with the sign of the header."""
    unsigned = cells.dtype
    mask = unsigned.type((1 << header.bits_stored) - 1)
    if shift == 0 and (cells > mask).any():
        notes.warn(message("ingest.bits_masked"))
    masked: Stored = (cells >> unsigned.type(shift)) & mask
    if header.is_signed:
        top = unsigned.type(1 << (header.bits_stored - 1))
        masked = ((masked ^ top) - top).view(f"i{unsigned.itemsize}")
    return masked


def _has_true_sign(header: Header, stated: Announced) -> bool:
    """Whether a sample is the stored value itself, not the bit pattern of a negative one."""
    return not header.is_signed or not stated.is_twos_complement


def grey(
    dataset: FileDataset, header: Header, stored: Stored, display: Display, notes: Notes
) -> Floats:
    """The grayscale chain as one table, applied.

    A cell is the stored value with its sign extended or zeros above, so the table of the
    2 ** Bits Stored patterns repeats over the cells'.

    Parameters
    ----------
    dataset : with the attributes of the chain.
    header : bits and sign.
    stored : integers (rows, columns).
    display : which VOI transform and window.
    notes : gets the decisions and warnings.

    Returns
    -------
    float32 (rows, columns) in [0, 1], 0 = black as displayed.
    """
    cells = stored.view(f"u{stored.itemsize}")
    num_cells, num_patterns = 1 << 8 * stored.itemsize, 1 << header.bits_stored
    # float32 counts: exact below 2 ** 24, and above only shares of them are used
    histogram = cv2.calcHist([cells], [0], None, [num_cells], [0, num_cells])
    counts = histogram.reshape(-1, num_patterns).sum(axis=0)
    table = grayscale_table(_gray_header(dataset, header, notes), counts, display, notes)
    pixels: Floats = cv2.LUT(cells, np.tile(table, num_cells // num_patterns))
    return pixels


def _gray_header(dataset: FileDataset, header: Header, notes: Notes) -> GrayHeader:
    is_little = header.transfer_syntax != uid.ExplicitVRBigEndian
    modality_luts = _lookup_tables(dataset, "ModalityLUTSequence", is_little, notes)
    slope = number(dataset, "RescaleSlope", notes)
    intercept = number(dataset, "RescaleIntercept", notes)
    centers = numbers(dataset, "WindowCenter", notes)
    widths = numbers(dataset, "WindowWidth", notes)
    problems = notes.not_understood
    return GrayHeader(
        bits_stored=header.bits_stored,
        is_signed=header.is_signed,
        photometric_interpretation=header.photometric_interpretation,
        presentation_lut_shape=_lut_shape(dataset, notes),
        padding_value=integer(dataset, "PixelPaddingValue", notes),
        padding_range_limit=integer(dataset, "PixelPaddingRangeLimit", notes),
        modality_lut=modality_luts[0] if modality_luts else None,
        rescale_slope=slope,
        rescale_intercept=intercept,
        has_unreadable_rescale=not {"RescaleSlope", "RescaleIntercept"}.isdisjoint(problems),
        voi_luts=tuple(_lookup_tables(dataset, "VOILUTSequence", is_little, notes)),
        window_centers=centers,
        window_widths=widths,
        has_unreadable_window=not {"WindowCenter", "WindowWidth"}.isdisjoint(problems),
        window_explanations=tuple(
            str(text) for text in values(dataset, "WindowCenterWidthExplanation")
        ),
        voi_lut_function=_text(dataset, "VOILUTFunction"),
    )


def _lut_shape(dataset: Dataset, notes: Notes) -> str | None:
    stated = terms(dataset, "PresentationLUTShape")
    if stated and stated[0] in LUT_SHAPES:
        return stated[0]
    if is_present(dataset, "PresentationLUTShape"):
        notes.misread("PresentationLUTShape", message("ingest.unknown_term"))
    return None


def _text(dataset: Dataset, keyword: str) -> str | None:
    content = value(dataset, keyword)
    return content if isinstance(content, str) else None


def _lookup_tables(
    dataset: FileDataset, keyword: str, is_little: bool, notes: Notes
) -> list[LookupTable]:
    """The items of a LUT sequence; an incomplete one is empty, so that the chain can say so."""
    items = values(dataset, keyword)
    if not items and is_present(dataset, keyword):
        notes.misread(keyword, message("ingest.unreadable_element"))
    tables = []
    for item in items:
        descriptor = numbers(item, "LUTDescriptor", notes)
        data = value(item, "LUTData")
        whole = [int(entry) for entry in descriptor if entry is not None]
        if len(descriptor) != 3 or len(whole) != 3 or data is None:
            tables.append(LookupTable((1, 0, 16), b""))
            continue
        if not isinstance(data, bytes):
            data = [int(entry) for entry in (data if isinstance(data, list) else [data])]
        size, first, bits = whole
        tables.append(LookupTable((size, first, bits), data, is_little))
    return tables


def colour(header: Header, stored: Stored, photometric_interpretation: str, notes: Notes) -> Floats:
    """Brightness. YBR_FULL carries it as its first channel, by the same weights.

    PS3.3 C.7.6.3.1.2.

    Parameters
    ----------
    header : bits of a sample.
    stored : integers (rows, columns, 3).
    photometric_interpretation : of the samples as decoded.
    notes : gets the decision, and a warning where the image has colour.

    Returns
    -------
    float32 (rows, columns) in [0, 1].
    """
    white = (1 << header.bits_stored) - 1
    if photometric_interpretation not in ("YBR_FULL", "YBR_FULL_422"):
        return to_grey(stored, white, notes)
    how = message("ingest.luma_channel")
    notes.decide(message("ingest.colour_channels"), how, message("ingest.luma_channel_why"))
    middle = (white + 1) // 2
    brightness = np.empty(stored.shape[:2], np.float32)
    num_coloured = 0
    for rows in blocks(stored):
        distance = np.abs(stored[rows, :, 1:].astype(np.int32) - middle).max(axis=2)
        num_coloured += int((distance > white * CHROMA_SPREAD).sum())
        brightness[rows] = stored[rows, :, 0] / np.float64(white)
    if num_coloured > CHROMA_FRACTION * brightness.size:
        notes.warn(message("ingest.real_colour"))
    return brightness

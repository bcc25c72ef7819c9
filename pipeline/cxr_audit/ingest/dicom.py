"""DICOM bytes -> display pixels in [0, 1] and facts.

PS3.5 and PS3.10 for the file: pydicom reads, `decoding` decompresses. `dicom_header` refuses what
is no radiograph, before memory is taken; `dicom_pixels` makes the pixels.
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

import pydicom
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag, Tag

from cxr_audit.errors import CaseError, NotARadiograph, UnreadableFile, UnsupportedRadiograph
from cxr_audit.ingest.attributes import attributes, view_position
from cxr_audit.ingest.cautions import (
    note_compression,
    patient_orientation,
    pixel_spacing,
    warn_about,
)
from cxr_audit.ingest.decoding import choose_plugins
from cxr_audit.ingest.dicom_header import Header, check_header
from cxr_audit.ingest.dicom_pixels import (
    PixelBytes,
    colour,
    decode,
    grey,
    is_lossy,
    pixel_bytes,
    stored_values,
)
from cxr_audit.ingest.elements import PARSER_ERRORS, integer, value
from cxr_audit.ingest.image import stored_sha256
from cxr_audit.ingest.notes import Display, Notes
from cxr_audit.records import Floats, RadiographFacts, SourceFile
from cxr_audit.vocabulary import message

# pydicom's log lines and warnings quote elements' values; nothing of them may reach a log.
for _logger in ("pydicom", "pylibjpeg", "openjpeg"):
    logging.getLogger(_logger).setLevel(logging.CRITICAL + 1)

# Parsing ends after so many reads: a header of millions of empty elements costs time, not memory.
MAX_READS = 50_000
PIXEL_DATA, ROWS = Tag("PixelData"), Tag("Rows")
UNDEFINED_LENGTH = 0xFFFFFFFF
INFLATED_ASIDE = 2**26
GROUP_LENGTH = b"\x02\x00\x00\x00UL\x04\x00"  # (0002,0000), PS3.10 7.1


def is_bare_dataset(data: bytes) -> bool:
    """Whether bytes without the DICM prefix look like a dataset: they begin in group 2 or 8."""
    if len(data) < 8:
        return False
    little, big = struct.unpack("<H", data[:2])[0], struct.unpack(">H", data[:2])[0]
    if little not in (2, 8) and big not in (2, 8):
        return False
    if re.fullmatch(rb"[A-Z]{2}", data[4:6]):
        return True
    length = int.from_bytes(data[4:8], "little")
    return little in (2, 8) and length < min(len(data), 1024)


def probe_dicom(
    data: bytes, max_pixels: int, display: Display
) -> tuple[str | None, dict[str, str]]:
    """Raise the errors that the header shows; the pixels are not decoded.

    Parameters
    ----------
    data : the file's bytes.
    max_pixels : the largest image that is read.
    display : which frame, VOI transform and window.

    Returns
    -------
    The SOP Instance UID, which must stay in memory, and the attributes of the allow-list.

    Raises
    ------
    NotARadiograph, UnreadableFile, UnsupportedRadiograph
    """
    with _quiet_parser():
        notes = Notes()
        dataset = _parse(data, max_pixels)
        header = check_header(dataset, max_pixels, display, notes)
        pixels = pixel_bytes(dataset, header, notes)
        if not header.is_native:
            choose_plugins(header.transfer_syntax, header.bits_stored)
        facts = _header_facts(dataset, header, pixels, notes)
        _refuse_unreadable(display, notes)
        return _instance(dataset), facts.attributes


def read_dicom(
    data: bytes, file_sha256: str, max_pixels: int, display: Display
) -> tuple[Floats, RadiographFacts, str | None]:
    """Decode and prepare for display.

    Parameters
    ----------
    data, file_sha256
    max_pixels : the largest image that is decoded.
    display : what the standard leaves open, and what to do with what cannot be read.

    Returns
    -------
    pixels : float32 (rows, columns) in [0, 1], 0 = black as displayed; padding is 0
    facts : RadiographFacts
        Attributes from the allow-list only.
    sop_instance_uid : str or None
        Names the examination; it must stay in memory.

    Raises
    ------
    NotARadiograph, UnreadableFile, UnsupportedRadiograph
    """
    notes = Notes()
    with _quiet_parser() as parser_warnings:
        dataset = _parse(data, max_pixels)
        header = check_header(dataset, max_pixels, display, notes)
        raw = pixel_bytes(dataset, header, notes)
        decoded = decode(dataset, header, raw, display, notes)
        stored = stored_values(decoded.samples, header, raw, notes)
        with ThreadPoolExecutor(1) as aside:
            pixel_sha256 = aside.submit(stored_sha256, stored)  # takes as long as the whole chain
            if header.samples == 1:
                pixels = grey(dataset, header, stored, display, notes)
            else:
                pixels = colour(header, stored, decoded.photometric_interpretation, notes)
        header_facts = _header_facts(dataset, header, raw, notes)
        instance = _instance(dataset)
    _refuse_unreadable(display, notes)
    if parser_warnings:
        notes.warn(message("ingest.parser_warnings", num=len(parser_warnings)))
    syntax = header.transfer_syntax.name
    source = SourceFile(file_sha256, pixel_sha256.result(), "DICOM", syntax, decoded.decoder)
    facts = RadiographFacts(
        rows=header.rows,
        columns=header.columns,
        source=source,
        pixel_spacing_mm=header_facts.spacing,
        view_position=header_facts.view,
        patient_orientation=header_facts.orientation,
        attributes=header_facts.attributes,
        decisions=tuple(notes.decisions),
        warnings=tuple(notes.warnings),
        not_understood=dict(sorted(notes.not_understood.items())),
    )
    return pixels, facts, instance


@dataclass(frozen=True, slots=True)
class _HeaderFacts:
    spacing: tuple[float, float] | None
    view: str | None
    orientation: tuple[str, str] | None
    attributes: dict[str, str]


def _header_facts(
    dataset: FileDataset, header: Header, pixels: PixelBytes, notes: Notes
) -> _HeaderFacts:
    """What the header says beside the pixels, with every warning."""
    spacing = pixel_spacing(dataset, notes)
    note_compression(dataset, is_lossy(header, pixels), notes)
    warn_about(dataset, notes)
    return _HeaderFacts(
        spacing=spacing,
        view=view_position(dataset, notes),
        orientation=patient_orientation(dataset, notes),
        attributes=attributes(dataset, notes),
    )


def _refuse_unreadable(display: Display, notes: Notes) -> None:
    if display.unreadable_values == "refuse" and notes.not_understood:
        problem = message("ingest.unreadable_values", keywords=sorted(notes.not_understood))
        raise UnreadableFile(problem, message("ingest.unreadable_values_hint"))


def _instance(dataset: FileDataset) -> str | None:
    return str(value(dataset, "SOPInstanceUID") or "").strip() or None


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
        if "PixelData" not in dataset:
            _refuse_cut(data)
        if has_prefix or _is_plausible(dataset):
            return dataset
        failure = NotARadiograph(message("ingest.neither"))
    except CaseError:
        raise
    except (*PARSER_ERRORS, zlib.error, pydicom.errors.InvalidDicomError) as error:
        problem = message("ingest.dicom_damaged", error=type(error).__name__)
        failure = UnreadableFile(problem, message("ingest.copy_again"))
    raise failure  # outside the handler: the parser's words stay out


def _refuse_cut(data: bytes) -> None:
    """Refuse an image that ends inside its pixels or before them; pydicom leaves out what is cut."""
    stream = _CountedReads(data)
    seen: set[int] = {0}
    ends = [0]

    def note(tag: BaseTag, vr: str | None, length: int) -> bool:
        seen.add(tag)
        ends.append(stream.tell() + (0 if length == UNDEFINED_LENGTH else length))
        return False

    read_partial(stream, stop_when=note, force=True)
    is_deflated = len(set(ends)) < len(ends)  # the elements lie in another stream
    if ROWS not in seen or is_deflated:
        return
    copy_again = message("ingest.copy_again")
    if PIXEL_DATA in seen:
        raise UnreadableFile(message("ingest.ends_in_pixels"), copy_again)
    if ends[-1] != len(data):
        raise UnreadableFile(message("ingest.ends_before_pixels"), copy_again)


def _is_plausible(dataset: FileDataset) -> bool:
    if value(dataset, "SOPClassUID") is not None:
        return True
    aside = Notes()
    return all(integer(dataset, keyword, aside) is not None for keyword in ("Rows", "Columns"))


class _CountedReads(io.BytesIO):
    """Bytes that can be read so many times and no more."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        # an undefined length is searched in steps of some KiB
        self._left = MAX_READS + len(data) // 1024

    def read(self, size: int | None = -1, /) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise UnsupportedRadiograph(message("ingest.many_elements"))
        return super().read(size)


def _check_deflated(data: bytes, max_bytes: int) -> None:
    """Refuse a deflated dataset that grows beyond all measure, before pydicom inflates it."""
    # PS3.10 7.1: the group length comes first, 12 bytes, Explicit VR Little Endian.
    length = int.from_bytes(data[140:144], "little")
    syntax = uid.DeflatedExplicitVRLittleEndian.encode()
    if data[128:132] != b"DICM" or syntax not in data[144:1024]:
        return
    copy_again = message("ingest.copy_again")
    if data[132:140] != GROUP_LENGTH:
        raise UnreadableFile(message("ingest.deflated_no_length"), copy_again)
    if syntax not in data[144 : 144 + length]:
        return
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    rest, total = data[144 + length :], 0
    while rest and not inflater.eof:
        total += len(inflater.decompress(rest, 2**20))
        rest = inflater.unconsumed_tail
        if total > max_bytes:
            raise UnsupportedRadiograph(message("ingest.deflated_bomb"))
    if not inflater.eof:
        raise UnreadableFile(message("ingest.deflated_short"), copy_again)

"""What a JPEG, JPEG-LS or JPEG 2000 codestream says of itself, read before anything is decoded.

ITU-T T.81 B, T.87 C, ISO/IEC 15444-1 A. No decoder is called.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace

from cxr_audit.errors import UnreadableFile, UnsupportedRadiograph
from cxr_audit.vocabulary import message

END_MARKER = b"\xff\xd9"  # the last bytes of each of these codestreams
PADDING = b"\x00\xff"
MAX_SCANS = 200  # a progressive JPEG needs some ten; each costs a pass over the whole image
MAX_MARKERS = 10_000

SOI_J2K = b"\xff\x4f\xff\x51"
SOF_JPEG_LS, SOS, COD, COC, SOT, SOD = 0xF7, 0xDA, 0x52, 0x53, 0x90, 0x93
NOT_A_FRAME = (0xC4, 0xC8, 0xCC)  # tables and extensions among the numbers of frame headers
LOSSLESS_FRAMES = (0xC3, 0xC7, 0xCB, 0xCF)
PROGRESSIVE_FRAMES = (0xC2, 0xC6, 0xCA, 0xCE)
# Styles of code-blocks (ISO/IEC 15444-1 table A.19; the last of 15444-15).
BYPASS, TERMINATE_EACH_PASS, PREDICTABLE_TERMINATION, HIGH_THROUGHPUT = 0x01, 0x04, 0x10, 0x40


@dataclass(frozen=True, slots=True)
class Announced:
    """The frame header. `is_lossy`: the coding itself loses information.

    `is_twos_complement`: negative samples are bit patterns (JPEG knows no sign), so that a value
    beyond the stored bits cannot be told from a sign.
    """

    size: tuple[int, int]
    samples: int
    precision: int
    is_lossy: bool
    is_progressive: bool = False
    is_twos_complement: bool = True


def complete(frame: bytes) -> tuple[bytes, int]:
    """The codestream up to its end marker, and how many bytes other than padding follow.

    Raises
    ------
    UnreadableFile
        There is no end marker.
    """
    end = frame.rfind(END_MARKER)
    if end < 0:
        raise UnreadableFile(message("ingest.no_end_marker"), message("ingest.copy_again"))
    end += len(END_MARKER)
    return frame[:end], len(frame[end:].strip(PADDING))


def without_padding(frame: bytes) -> bytes | None:
    """A codestream without the zeros before its end marker, None where there are none."""
    body = frame[: -len(END_MARKER)]
    stripped = body.rstrip(b"\x00")
    return None if len(stripped) == len(body) else stripped + END_MARKER


def announced(frame: bytes) -> Announced | None:
    """What a codestream says of itself, None where it is none."""
    start = frame[:4096].find(SOI_J2K)
    if start >= 0 and len(frame) >= start + 43:
        return _jpeg_2000(frame, start)
    return _jpeg(frame)


def _jpeg_2000(frame: bytes, start: int) -> Announced:
    """ISO/IEC 15444-1 A.5.1 (SIZ) and A.6.1 (COD: the wavelet, 0 is the irreversible 9-7)."""
    width, height, x, y = struct.unpack(">4I", frame[start + 8 : start + 24])
    samples = int.from_bytes(frame[start + 40 : start + 42], "big")
    depth = frame[start + 42]
    is_lossy = False
    position = start + 2
    for _ in range(MAX_MARKERS):
        marker = frame[position + 1 : position + 2]
        if frame[position : position + 1] != b"\xff" or not marker or marker[0] == SOT:
            break
        if marker[0] == COD:
            is_lossy = frame[position + 13 : position + 14] == b"\x00"
            break
        position += 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
    return Announced(
        size=(height - y, width - x),
        samples=samples,
        precision=(depth & 0x7F) + 1,
        is_lossy=is_lossy,
        is_twos_complement=not depth & 0x80,
    )


def with_end_checks(frame: bytes) -> bytes:
    """A JPEG 2000 codestream for which OpenJPEG says whether the pixels of a code-block end well.

    A code-block is one arithmetic codeword without a checksum, and damage in it gives other pixels.
    But a decoder of a sound one ends at its last byte; after damage it ends too early or too late.
    OpenJPEG compares the two where the codestream announces predictable termination, and decodes
    the same samples. The flag is set here, for every tile that has a style for which this holds.

    Parameters
    ----------
    frame : up to its end marker.
    """
    start = frame[:4096].find(SOI_J2K)
    if start < 0:
        return frame
    flagged = bytearray(frame)
    num_samples = int.from_bytes(frame[start + 40 : start + 42], "big")
    position, next_tile = start + 2, 0
    for _ in range(MAX_MARKERS):
        if frame[position : position + 1] != b"\xff" or position + 14 > len(frame):
            break
        marker = frame[position + 1]
        if marker == SOD:
            if next_tile <= position:  # the last tile may leave its length open
                break
            position = next_tile
            continue
        if marker == SOT:
            length = int.from_bytes(frame[position + 6 : position + 10], "big")
            next_tile = position + length
        elif marker == COD:
            _announce_termination(flagged, position + 12)
        elif marker == COC:
            _announce_termination(flagged, position + (9 if num_samples < 257 else 10))
        position += 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
    return bytes(flagged)


def _announce_termination(frame: bytearray, position: int) -> None:
    """Set the flag in a style, unless the codeword has parts that OpenJPEG does not check."""
    if not frame[position] & (BYPASS | TERMINATE_EACH_PASS | HIGH_THROUGHPUT):
        frame[position] |= PREDICTABLE_TERMINATION


def _jpeg(frame: bytes) -> Announced | None:
    """ITU-T T.81 B.2.2 (frame header); T.87 C.2.3 (NEAR in the header of a JPEG-LS scan)."""
    header = None
    position = 2
    for _ in range(MAX_MARKERS):
        if position + 10 > len(frame) or frame[position] != 0xFF:
            break
        marker = frame[position + 1]
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if _is_frame(marker) and header is None:
            header = _frame_header(frame, position, marker)
            if marker != SOF_JPEG_LS:
                return header
        elif marker == SOS:
            if header is None:
                return None
            near = position + 5 + 2 * frame[position + 4]
            return replace(header, is_lossy=frame[near : near + 1] not in (b"", b"\x00"))
        position += 2 + int.from_bytes(frame[position + 2 : position + 4], "big")
    return header


def _is_frame(marker: int) -> bool:
    return marker == SOF_JPEG_LS or (0xC0 <= marker <= 0xCF and marker not in NOT_A_FRAME)


def _frame_header(frame: bytes, position: int, marker: int) -> Announced:
    fields = frame[position + 4 : position + 10]
    precision, height, width, samples = struct.unpack(">BHHB", fields)
    return Announced(
        size=(height, width),
        samples=samples,
        precision=precision,
        is_lossy=marker not in (*LOSSLESS_FRAMES, SOF_JPEG_LS),
        is_progressive=marker in PROGRESSIVE_FRAMES,
    )


def check(
    frame: bytes, rows: int, columns: int, samples: int, bits_allocated: int
) -> Announced | None:
    """Refuse a codestream that announces another image than the header.

    Decoders take memory by the codestream, not by the header.

    Parameters
    ----------
    frame : up to its end marker.
    rows, columns, samples, bits_allocated : of the header.

    Returns
    -------
    Announced or None
        None where this is no codestream at all; the decoder says so.

    Raises
    ------
    UnreadableFile, UnsupportedRadiograph
    """
    stated = announced(frame)
    if stated is None:
        return None
    if stated.size != (rows, columns):
        raise UnreadableFile(message("ingest.codestream_size"), message("ingest.copy_again"))
    if stated.samples != samples or stated.precision > bits_allocated:
        raise UnreadableFile(message("ingest.codestream_samples"), message("ingest.copy_again"))
    if stated.is_progressive and frame.count(b"\xff\xda") > MAX_SCANS:
        problem = message("ingest.many_scans", limit=MAX_SCANS)
        raise UnsupportedRadiograph(problem, message("ingest.export_plain"))
    return stated

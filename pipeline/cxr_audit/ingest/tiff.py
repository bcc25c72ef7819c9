"""The first directory of a TIFF (TIFF 6.0, section 2), and what Pillow cannot read of it rightly.

Pillow has no rule for 9 to 15 bits a pixel but one, inverts WhiteIsZero at some depths only, and
keeps 8 of 16 bits of a colour. The directory is read here, so that white is that of the file's own
bit depth.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES = 256, 257, 258, 259, 262, 277
ORIENTATION, PREDICTOR, TILE_WIDTH, SAMPLE_FORMAT, JPEG_TABLES = 274, 317, 322, 339, 347
# Offsets and byte counts, of strips and of tiles.
PIECES = ((273, 279), (324, 325))
KNOWN = frozenset(
    {WIDTH, LENGTH, BITS, COMPRESSION, PHOTOMETRIC, SAMPLES, ORIENTATION, PREDICTOR, TILE_WIDTH}
    | {SAMPLE_FORMAT, JPEG_TABLES, *PIECES[0], *PIECES[1]}
)
TYPES = {1: "B", 3: "H", 4: "I", 7: "B"}  # BYTE, SHORT, LONG, UNDEFINED
MAX_ENTRIES, MAX_VALUES = 4096, 2**20

WHITE_IS_ZERO, BLACK_IS_ZERO = 0, 1
SIGNED = 2
JPEG = 7
# None, LZW, Deflate (two numbers) and PackBits: bytes go in and come out.
BYTEWISE = (1, 5, 8, 32773, 32946)


@dataclass(frozen=True, slots=True)
class Entry:
    """A field of the directory: its values, and where in the file they stand."""

    values: tuple[int, ...]
    position: int
    type: int


@dataclass(frozen=True, slots=True)
class Tiff:
    """The known fields of the first directory. `order` is "<" or ">"."""

    order: str
    entries: dict[int, Entry]

    def first(self, tag: int, default: int = 0) -> int:
        entry = self.entries.get(tag)
        return entry.values[0] if entry is not None and entry.values else default

    @property
    def bits(self) -> int:
        return self.first(BITS, 1)

    @property
    def samples(self) -> int:
        return self.first(SAMPLES, 1)

    @property
    def photometric(self) -> int:
        return self.first(PHOTOMETRIC, -1)

    @property
    def is_white_zero(self) -> bool:
        return self.photometric == WHITE_IS_ZERO and self.samples == 1

    @property
    def is_signed(self) -> bool:
        return self.first(SAMPLE_FORMAT, 1) == SIGNED

    @property
    def is_odd_depth(self) -> bool:
        """Whether a pixel is one number of 9 to 15 bits, packed without gaps."""
        is_grey = self.samples == 1 and self.photometric in (WHITE_IS_ZERO, BLACK_IS_ZERO)
        return is_grey and 8 < self.bits < 16 and self.first(SAMPLE_FORMAT, 1) == 1

    @property
    def is_unpackable(self) -> bool:
        """Whether `unpacked` can read an odd depth."""
        is_bytewise = self.first(COMPRESSION, 1) in BYTEWISE and self.first(PREDICTOR, 1) == 1
        return is_bytewise and self.first(TILE_WIDTH) * self.bits % 8 == 0


def directory(data: bytes) -> Tiff | None:
    """The first directory, None where it is damaged or cut short."""
    order = "<" if data[:2] == b"II" else ">"
    try:
        (start,) = struct.unpack_from(f"{order}I", data, 4)
        (count,) = struct.unpack_from(f"{order}H", data, start)
        entries = dict(_entries(data, order, start + 2, min(count, MAX_ENTRIES)))
    except struct.error:
        return None
    return Tiff(order, entries) if entries.keys() >= {WIDTH, LENGTH} else None


def _entries(data: bytes, order: str, start: int, count: int) -> Iterator[tuple[int, Entry]]:
    for position in range(start, start + 12 * count, 12):
        tag, kind, num = struct.unpack_from(f"{order}HHI", data, position)
        if tag not in KNOWN or kind not in TYPES or num > MAX_VALUES:
            continue
        letter = TYPES[kind]
        place = position + 8
        if num * struct.calcsize(letter) > 4:
            (place,) = struct.unpack_from(f"{order}I", data, place)
        values = struct.unpack_from(f"{order}{num}{letter}", data, place)
        yield tag, Entry(values, place, kind)


def end_of_pixels(tiff: Tiff) -> int:
    """Where the last strip or tile ends by the directory, 0 where it names none."""
    ends = [0]
    for offsets, counts in PIECES:
        if offsets in tiff.entries and counts in tiff.entries:
            pairs = zip(tiff.entries[offsets].values, tiff.entries[counts].values, strict=False)
            ends.extend(start + length for start, length in pairs)
    return max(ends)


def jpeg_pieces(data: bytes, tiff: Tiff) -> Iterator[bytes]:
    """The strips or tiles of a TIFF with JPEG compression, each as a whole JPEG (TIFF TN2)."""
    if tiff.first(COMPRESSION, 1) != JPEG:
        return
    tables = bytes(tiff.entries[JPEG_TABLES].values) if JPEG_TABLES in tiff.entries else b""
    for offsets, counts in PIECES:
        if offsets not in tiff.entries or counts not in tiff.entries:
            continue
        pairs = zip(tiff.entries[offsets].values, tiff.entries[counts].values, strict=False)
        for start, length in pairs:
            piece = data[start : start + length]
            # the tables without their end marker, the piece without its start marker
            yield tables[:-2] + piece[2:] if tables else piece


def patched(data: bytes, tiff: Tiff, changes: dict[int, int]) -> bytes:
    """The file with other first values in some fields.

    Parameters
    ----------
    data : the file's bytes.
    tiff : its directory.
    changes : tag -> new first value; the directory must have these tags.
    """
    copy = bytearray(data)
    for tag, value in changes.items():
        entry = tiff.entries[tag]
        struct.pack_into(f"{tiff.order}{TYPES[entry.type]}", copy, entry.position, value)
    return bytes(copy)


def unpacked(data: bytes, tiff: Tiff) -> npt.NDArray[np.uint16]:
    """The values of a TIFF of odd depth, (rows, columns), as the file stores them.

    Pillow reads the file as one of 8 bits, whose pixels are then the bytes of each row; a row
    begins at a whole byte, its bits follow from the highest (TIFF 6.0, FillOrder).
    """
    columns, bits = tiff.first(WIDTH), tiff.bits
    row_bytes = -(-columns * bits // 8)
    changes = {WIDTH: row_bytes, BITS: 8, PHOTOMETRIC: BLACK_IS_ZERO}
    if TILE_WIDTH in tiff.entries:
        changes[TILE_WIDTH] = tiff.first(TILE_WIDTH) * bits // 8
    if ORIENTATION in tiff.entries:  # Pillow would turn the bytes
        changes[ORIENTATION] = 1
    with Image.open(io.BytesIO(patched(data, tiff, changes)), formats=("TIFF",)) as image:
        packed = np.asarray(image)
    values = np.empty((packed.shape[0], columns), np.uint16)
    for row, line in enumerate(packed):
        digits = np.unpackbits(line)[: columns * bits].reshape(columns, bits)
        padded = np.pad(digits, ((0, 0), (16 - bits, 0)))
        values[row] = np.packbits(padded, axis=1).view(">u2").ravel()
    return values

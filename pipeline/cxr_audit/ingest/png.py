"""The chunks of a PNG (ISO/IEC 15948): whether the file is whole and its pixels are sound.

Pillow does not look at the checksums of pixel data.
"""

from __future__ import annotations

import struct
import zlib

SIGNATURE_BYTES = 8
PIXELS, END = b"IDAT", b"IEND"


def is_complete(data: bytes) -> bool:
    """Whether the end chunk is there."""
    return b"IEND\xaeB`\x82" in data


def has_damaged_pixels(data: bytes) -> bool:
    """Whether the checksum of a chunk of pixel data is wrong."""
    position = SIGNATURE_BYTES
    while position + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data) or name == END:
            return False
        if name == PIXELS:
            (stated,) = struct.unpack_from(">I", data, end)
            if zlib.crc32(memoryview(data)[position + 4 : end]) != stated:
                return True
        position = end + 4
    return False


def bit_depth(data: bytes) -> int:
    """Bits a channel."""
    return data[24]

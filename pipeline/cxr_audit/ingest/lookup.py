"""A Modality or VOI LUT as stored -> its first value and entries (PS3.3 C.11.1.1, C.11.2.1.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_audit.ingest.notes import Notes
from cxr_audit.vocabulary import message

Values = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A Modality or VOI LUT item as stored: the second descriptor still lacks its sign."""

    descriptor: tuple[int, int, int]
    data: Sequence[int] | bytes
    is_little_endian: bool = True


def unpack(lut: LookupTable, is_signed: bool, name: str, notes: Notes) -> tuple[int, Values] | None:
    """First value mapped and entries; None where the table is unusable, with a warning.

    PS3.3 C.11.1.1.1 and C.11.2.1.1: 0 entries mean 65,536; the sign of the first value is that of
    the input; entries of 8 bits may be packed in pairs, the first in the low byte.

    Parameters
    ----------
    lut
    is_signed
        Whether the values to look up may be negative.
    name
        Of the table, for warnings: "modality LUT" or "VOI LUT".
    notes
    """
    size = (lut.descriptor[0] & 0xFFFF) or 65536
    first = signed16(lut.descriptor[1], is_signed)
    entries = _entries(lut, size)
    if entries is None or entries.size == 0 or entries.max() == 0:
        notes.warn(message("ingest.lut_unusable", table=name))
        return None
    if entries.size < size:
        notes.warn(message("ingest.lut_short", table=name, stated=size, num=int(entries.size)))
    return first, entries.astype(np.float64)


def _entries(lut: LookupTable, size: int) -> npt.NDArray[np.uint16] | None:
    order = "<" if lut.is_little_endian else ">"
    is_narrow = lut.descriptor[2] <= 8
    if isinstance(lut.data, bytes):
        if is_narrow and len(lut.data) in (size, size + size % 2):
            return np.frombuffer(lut.data, np.uint8)[:size].astype(np.uint16)
        whole = lut.data[: len(lut.data) // 2 * 2]
        words = np.frombuffer(whole, f"{order}u2").astype(np.uint16)
    else:
        if not all(-32768 <= entry <= 65535 for entry in lut.data):
            return None
        words = np.array([entry & 0xFFFF for entry in lut.data], np.uint16)
    if is_narrow and words.size == (size + 1) // 2 and size > 1:
        return words.astype("<u2").view(np.uint8)[:size].astype(np.uint16)
    return words[:size]


def look_up(values: Values, first: int, entries: Values) -> Values:
    """The entries of values (PS3.3 C.11.1.1.1).

    Values below the first one of the table take its first entry, values above its last one the
    last entry.

    Parameters
    ----------
    values : of any shape.
    first : the value of the first entry.
    entries : (entries,).
    """
    positions = np.clip(np.rint(values) - first, 0, entries.size - 1)
    looked_up: Values = entries[positions.astype(np.int64)]
    return looked_up


def signed16(value: int, is_signed: bool) -> int:
    """A value of VR US or SS with the sign that its meaning asks for, whatever its VR."""
    return value - 65536 if is_signed and value > 32767 else value

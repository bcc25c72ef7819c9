"""The only way by which this room reads an element of a DICOM dataset.

Three states: absent, understood, present but not understood. The third is noted
(`Notes.misread`), never taken for the first. Numbers in text (VR DS and IS, PS3.5 6.2) are read
value by value, because one bad value must not hide the good ones beside it.
"""

from __future__ import annotations

import math
import re
import struct
from typing import Any

from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from cxr_audit.errors import UnsupportedRadiograph
from cxr_audit.ingest.notes import Notes
from cxr_audit.vocabulary import message

# What pydicom raises on damaged or odd files, while parsing or on the first access to an element.
PARSER_ERRORS = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError,
    RuntimeError, SyntaxError, TypeError, ValueError, struct.error,
    BytesLengthException,
)  # fmt: skip

# Longer than any element that is read here, pixels aside: seven tables of 65,536 entries.
MAX_ELEMENT_BYTES = 2**20
MAX_NUMBER_CHARACTERS = 64

NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
DECIMAL_COMMA = re.compile(r"[-+]?(\d+),(\d+)")
WITH_UNIT = re.compile(rf"({NUMBER.pattern})\s*([A-Za-z%][A-Za-z%/^.]*)")
# A length in another unit would be wrong by a factor; for other attributes DCMTK ignores the unit.
LENGTHS = frozenset({"PixelSpacing", "ImagerPixelSpacing"})

# Value representations that may be padded by spaces or nulls (PS3.5 6.2).
TEXTS = frozenset(
    [
        "AE",
        "AS",
        "CS",
        "DA",
        "DS",
        "DT",
        "IS",
        "LO",
        "LT",
        "PN",
        "SH",
        "ST",
        "TM",
        "UC",
        "UI",
        "UR",
        "UT",
    ]
)

Number = float | None


def value(dataset: Dataset, keyword: str) -> Any:
    """An element's value, None where it is absent, empty or not readable as what it should be.

    Raises
    ------
    UnsupportedRadiograph
        The element is longer than any such element can be; found out before it is converted.
    """
    try:
        if keyword in dataset and keyword != "PixelData":
            _check_length(dataset.get_item(keyword), keyword)
        content = dataset.get(keyword)
        if isinstance(content, MultiValue | Sequence):
            content = list(content)
    except PARSER_ERRORS:
        return None
    return None if content in ("", b"", []) else content


def _check_length(element: Any, keyword: str) -> None:
    if not isinstance(element, RawDataElement):
        return
    num_bytes = len(element.value or b"")
    if num_bytes > MAX_ELEMENT_BYTES:
        problem = message("ingest.element_too_long", keyword=keyword, num=num_bytes)
        raise UnsupportedRadiograph(problem)


def values(dataset: Dataset, keyword: str) -> list[Any]:
    """An element's values as a list, empty where it is absent or unreadable."""
    content = value(dataset, keyword)
    if content is None:
        return []
    return content if isinstance(content, list) else [content]


def is_present(dataset: Dataset, keyword: str) -> bool:
    """Whether an element is there and is not blank, readable or not."""
    if keyword not in dataset:
        return False
    element: object = dataset.get_item(keyword)
    if isinstance(element, RawDataElement):
        content = element.value or b""
        is_text = _vr(element, keyword) in TEXTS
        return bool(content.strip(b" \0") if is_text else content)
    return value(dataset, keyword) is not None


def terms(dataset: Dataset, keyword: str) -> list[str]:
    """The values as stripped capitals, an empty one for a blank value."""
    return [str(item).strip(" \0").upper() for item in values(dataset, keyword)]


def texts(dataset: Dataset, keyword: str) -> list[str] | None:
    """The values as stripped text; [] = absent or blank, None = present but unreadable."""
    if not is_present(dataset, keyword):
        return []
    element: object = dataset.get_item(keyword)
    if isinstance(element, RawDataElement) and _vr(element, keyword) in ("DS", "IS"):
        _check_length(element, keyword)
        parts = (element.value or b"").decode("latin-1").split("\\")
        return [part.strip(" \0") for part in parts]
    content = values(dataset, keyword)
    return [str(item).strip() for item in content] if content else None


def _vr(element: RawDataElement, keyword: str) -> str:
    """The value representation, by the dictionary where the file has none or an unknown one."""
    if element.VR in (None, "UN"):
        return dictionary_VR(tag_for_keyword(keyword) or 0)
    return str(element.VR)


def numbers(dataset: Dataset, keyword: str, notes: Notes) -> tuple[Number, ...]:
    """The numbers of an element, None in place of a value that is blank or no number.

    Parameters
    ----------
    dataset, keyword
    notes
        Receives a warning where a number was not written as the standard asks, and the keyword
        where a value cannot be read.

    Returns
    -------
    tuple
        Empty where the element is absent or blank. Blank values at the end are left out.
    """
    parts = texts(dataset, keyword)
    if parts is None:
        notes.misread(keyword, message("ingest.unreadable_element"))
        return ()
    if parts and not parts[-1]:
        notes.warn(message("ingest.blank_values", keyword=keyword))
        while parts and not parts[-1]:
            parts.pop()
    values = tuple(_number(part, keyword, notes) for part in parts)
    num_bad = sum(number is None for number in values)
    if num_bad:
        problem = message("ingest.not_numbers", num=num_bad, total=len(values))
        notes.misread(keyword, problem)
    return values


def _number(text: str, keyword: str, notes: Notes) -> Number:
    """One value. A comma that may separate thousands is not understood."""
    if len(text) > MAX_NUMBER_CHARACTERS:
        return None
    if NUMBER.fullmatch(text):
        return _finite(text)
    comma = DECIMAL_COMMA.fullmatch(text)
    if comma:
        whole, fraction = comma.groups()
        if len(fraction) == 3 and len(whole) <= 3 and whole.strip("0"):
            return None
        notes.warn(message("ingest.decimal_comma", keyword=keyword))
        return _finite(text.replace(",", "."))
    unit = WITH_UNIT.fullmatch(text)
    if unit and (keyword not in LENGTHS or unit[2].upper() == "MM"):
        notes.warn(message("ingest.number_with_unit", keyword=keyword))
        return _finite(unit[1])
    return None


def _finite(text: str) -> Number:
    number = float(text)
    return number if math.isfinite(number) else None


def number(dataset: Dataset, keyword: str, notes: Notes) -> Number:
    """The number of an element that has one; the first of several, as DCMTK takes it.

    Parameters
    ----------
    dataset : with the element or without it.
    keyword : of the element.
    notes : gets a warning for several values, and for a value that is no number.
    """
    values = numbers(dataset, keyword, notes)
    if len(values) > 1:
        notes.warn(message("ingest.several_values", keyword=keyword, num=len(values)))
    return values[0] if values else None


def integer(dataset: Dataset, keyword: str, notes: Notes) -> int | None:
    """The integer of an element that has one; None where it is absent or no integer.

    Parameters
    ----------
    dataset : with the element or without it.
    keyword : of the element.
    notes : gets a warning for several values, and for a value that is no integer.
    """
    value = number(dataset, keyword, notes)
    if value is None:
        return None
    if not value.is_integer():
        notes.misread(keyword, message("ingest.no_integer"))
        return None
    return int(value)

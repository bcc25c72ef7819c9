"""Two values of JSON -> where they differ."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

LONGEST = 60  # characters of a value in words


def differences(
    one: Any, other: Any, tolerance: float = 0.0, place: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """The places where two values differ, with what stands there in each.

    Parameters
    ----------
    one, other : what `json.loads` gives.
    tolerance : of numbers, absolute or relative; 0 = they have to be equal.
    place : of both values in a greater one.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:
            inside = f"{place}.{key}" if place else str(key)
            yield from differences(one.get(key), other.get(key), tolerance, inside)
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, (left, right) in enumerate(zip(one, other, strict=True)):
            yield from differences(left, right, tolerance, f"{place}[{number}]")
    elif not _is_close(one, other, tolerance):
        yield place, one, other


def short(value: Any) -> str:
    """A value in at most `LONGEST` characters."""
    text = json.dumps(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def _is_close(one: Any, other: Any, tolerance: float) -> bool:
    if not _is_number(one) or not _is_number(other):
        return bool(one == other)
    return math.isclose(one, other, rel_tol=tolerance, abs_tol=tolerance)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

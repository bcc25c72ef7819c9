"""Bands of the radiograph whose replacement shows where a cue lies."""

from __future__ import annotations

from dataclasses import dataclass

BANDS = 8


@dataclass(frozen=True, slots=True)
class Band:
    """A band over the whole width or height of the radiograph.

    Parameters
    ----------
    name : "row 1" is the uppermost, "column 1" the leftmost as displayed.
    box : top, left, bottom, right in shares of the radiograph.
    """

    name: str
    box: tuple[float, float, float, float]


def bands() -> tuple[Band, ...]:
    """Eight rows and eight columns."""
    found = []
    for number in range(BANDS):
        low, high = number / BANDS, (number + 1) / BANDS
        found.append(Band(f"row {number + 1}", (low, 0.0, high, 1.0)))
    for number in range(BANDS):
        low, high = number / BANDS, (number + 1) / BANDS
        found.append(Band(f"column {number + 1}", (0.0, low, 1.0, high)))
    return tuple(found)

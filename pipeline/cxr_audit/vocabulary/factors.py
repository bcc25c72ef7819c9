"""Factors that an output can depend on: properties of the whole image, and places.

The functions that measure and move a property are bound by key in `cxr_audit.factors`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from cxr_audit.vocabulary.registry import Registry, Row

FactorKind = Literal["place", "no_place"]
MeasuredOn = Literal["input", "lungs", "file", "place", "run", "nothing"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorRow(Row):
    """A factor.

    Parameters
    ----------
    kind : whether it has a place in the image.
    measured_on : the model input, the lungs found, what the file states, places of the radiograph
        that are replaced, all cases of the run together; or nothing, so that it is never examined.
    unit : of the measured value.
    is_moved : whether the input is also made with the factor changed, and the classifier asked.
    is_words : its values are words, not numbers.
    function : measures it on the model input as grey values; only in rows of other packages.
    """

    kind: FactorKind = "no_place"
    measured_on: MeasuredOn = "input"
    unit: str = ""
    is_moved: bool = False
    is_words: bool = False
    function: Callable[..., Any] | None = None


FACTORS = Registry(
    "factor",
    (
        FactorRow(
            key="brightness",
            label="image brightness",
            definition="Mean grey value of the model input.",
            unit="grey range",
            is_moved=True,
        ),
        FactorRow(
            key="contrast",
            label="image contrast",
            definition="Standard deviation of the grey values.",
            unit="grey range",
            is_moved=True,
        ),
        FactorRow(
            key="tone_curve",
            label="tone curve",
            definition="Position of the mean grey value between the 5th and the 95th percentile.",
            unit="share",
            is_moved=True,
        ),
        FactorRow(
            key="sharpness",
            label="image sharpness",
            definition="Logarithm of the standard deviation of fine detail over that of the image.",
            unit="natural logarithm",
            is_moved=True,
        ),
        FactorRow(
            key="noise",
            label="image noise",
            definition="Logarithm of the estimated noise over the standard deviation of the image.",
            unit="natural logarithm",
            source="Immerkaer, Computer Vision and Image Understanding 64, 1996",
            is_moved=True,
        ),
        FactorRow(
            key="compression",
            label="compression blocks",
            definition="Logarithm of the step across borders of 8 x 8 blocks of the radiograph over "
            "the step elsewhere.",
            unit="natural logarithm",
            source="Wang, Sheikh and Bovik, ICIP 2002",
            is_moved=True,
        ),
        FactorRow(
            key="zoom",
            label="zoom",
            definition="Size of the lungs in the model input, square root of width times height.",
            measured_on="lungs",
            unit="share of the side",
            is_moved=True,
        ),
        FactorRow(
            key="body_width",
            label="body width",
            definition="Logarithm of the width of the lungs over their height in the model input.",
            measured_on="lungs",
            unit="natural logarithm",
            is_moved=True,
        ),
        FactorRow(
            key="position",
            label="horizontal position",
            definition="Horizontal centre of the lungs in the model input.",
            measured_on="lungs",
            unit="share of the side",
            is_moved=True,
        ),
        FactorRow(
            key="position_vertical",
            label="vertical position",
            definition="Vertical centre of the lungs in the model input.",
            measured_on="lungs",
            unit="share of the side",
            is_moved=True,
        ),
        FactorRow(
            key="tilt",
            label="in-plane tilt",
            definition="Angle of the line through the centres of both lungs, clockwise.",
            measured_on="lungs",
            unit="degrees",
            is_moved=True,
        ),
        FactorRow(
            key="collimation",
            label="collimation",
            definition="Share of the model input in even rows and columns along its edges.",
            unit="share",
        ),
        FactorRow(
            key="source_resolution",
            label="resolution of the source",
            definition="Logarithm of the number of pixels of the radiograph.",
            measured_on="file",
            unit="natural logarithm",
        ),
        FactorRow(
            key="aspect",
            label="aspect of the source",
            definition="Logarithm of width over height of the radiograph.",
            measured_on="file",
            unit="natural logarithm",
        ),
        FactorRow(
            key="photometric",
            label="photometric interpretation",
            definition="Whether low values are black or white in the file.",
            measured_on="file",
            is_words=True,
        ),
        FactorRow(
            key="device",
            label="device",
            definition="Manufacturer and model that the file states.",
            measured_on="file",
            is_words=True,
        ),
        FactorRow(
            key="view",
            label="view",
            definition="View position that the file states.",
            measured_on="file",
            is_words=True,
        ),
        FactorRow(
            key="markers",
            label="number of markers",
            definition="Number of side markers, texts and other foreign objects that were found.",
            measured_on="file",
            unit="markers",
        ),
        FactorRow(
            key="marker",
            label="a side marker or text",
            definition="Markers that were found are replaced by the run's mean radiograph.",
            kind="place",
            measured_on="place",
            is_moved=True,
        ),
        FactorRow(
            key="border",
            label="the image border",
            definition="The border is replaced by the run's mean radiograph.",
            kind="place",
            measured_on="place",
            is_moved=True,
        ),
        FactorRow(
            key="place",
            label="a place of the radiograph",
            definition="Each of eight horizontal and eight vertical bands is replaced by the run's "
            "mean radiograph, also over the lungs.",
            kind="place",
            measured_on="place",
            is_moved=True,
        ),
        FactorRow(
            key="low_level",
            label="an unnamed low-level property",
            definition="Share of the logit within a label that generic image statistics predict "
            "for patients left out.",
            measured_on="run",
        ),
        FactorRow(
            key="objects",
            label="objects without a fixed place",
            definition="Tubes, lines, leads and devices that lie elsewhere in each radiograph and "
            "are not found by the marker search.",
            kind="place",
            measured_on="nothing",
        ),
    ),
)


def measured_factors() -> tuple[FactorRow, ...]:
    """Factors that are a number of each case."""
    on = ("input", "lungs", "file")
    return tuple(row for row in FACTORS if row.measured_on in on and not row.is_words)


def moved_factors() -> tuple[FactorRow, ...]:
    """Factors without a place that are changed in the input."""
    return tuple(row for row in FACTORS if row.is_moved and row.kind == "no_place")


def factor_words(factor: str) -> str:
    """A factor of a verdict in words: its label, or the name of its band."""
    row = FACTORS.get(factor)
    if row is not None:
        return row.label
    return factor.removeprefix("place_").replace("_", " ")


CELLS = 6
LEVELS = 4
PERCENTILES = (1, 5, 25, 50, 75, 95, 99)
ORIENTATIONS = ("horizontal", "vertical", "diagonal")


@cache
def low_level_names() -> tuple[str, ...]:
    """The generic image statistics in order; what stands before the colon is the group."""
    names = [f"histogram:{name}" for name in ("mean", "spread", "skewness", "kurtosis")]
    names += [f"histogram:percentile {percent}" for percent in PERCENTILES]
    for level in range(1, LEVELS + 1):
        names += [f"detail level {level}:{orientation}" for orientation in ORIENTATIONS]
    for row in range(1, CELLS + 1):
        for column in range(1, CELLS + 1):
            cell = f"cell row {row} column {column}"
            names += [f"{cell}:mean", f"{cell}:spread", f"{cell}:detail"]
    return tuple(names)


def is_of_whole_image(name: str) -> bool:
    """Whether a statistic is of the whole image, not of a cell."""
    return not name.startswith("cell")

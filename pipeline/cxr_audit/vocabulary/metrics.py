"""What is measured: of a map, of a map in a region, of a case, of a run.

The functions that compute them are bound by key: `focus.metrics`, `focus.in_region`,
`cohort.performance`. A row from another package brings its `function`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from cxr_audit.vocabulary.registry import Registry, Row

Kind = Literal["fraction", "number", "integer", "word", "yes_no", "position", "signed", "ratio"]
"""fraction: in [0, 1], printed as a percentage; position: (row, column) in fractions of the
radiograph; word: one of `words`; signed: printed with its sign; ratio: printed with one decimal."""

Datatype = Literal["string", "number", "integer", "boolean"]
DATATYPES: dict[str, Datatype] = {"integer": "integer", "word": "string", "yes_no": "boolean"}
AXES = ("row", "column")


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(Row):
    """One figure.

    Parameters
    ----------
    kind : what its value is, and with it how it is printed.
    words : the values of a word.
    is_printed : whether page 2 of a case PDF has it.
    function : computes it; only in rows of other packages.
    """

    kind: Kind = "number"
    words: tuple[str, ...] = ()
    is_printed: bool = True
    function: Callable[..., Any] | None = None

    @property
    def datatype(self) -> Datatype:
        """As CSVW has it (W3C, Metadata Vocabulary for Tabular Data, 2015)."""
        return DATATYPES.get(self.kind, "number")

    def columns(self) -> tuple[str, ...]:
        """Its columns in a table: one, or one an axis."""
        if self.kind == "position":
            return tuple(f"{self.key}_{axis}_fraction" for axis in AXES)
        return (self.key,)


MAP_METRICS = Registry(
    "metric of a map",
    (
        Metric(
            key="high_focus_fraction",
            label="high-focus area",
            definition="Share of the radiograph where the map reaches the configured share of its "
            "maximum: what the contour encloses.",
            kind="fraction",
        ),
        Metric(
            key="focus_band",
            label="focus band",
            definition="Of the high-focus area: focal below 30 % of the radiograph, regional to "
            "70 %, then diffuse.",
            kind="word",
            words=("focal", "regional", "diffuse"),
        ),
        Metric(
            key="centroid",
            label="centre of the evidence",
            definition="Mean position of the positive evidence, in fractions of the radiograph from "
            "its upper left corner.",
            kind="position",
        ),
        Metric(
            key="peak",
            label="highest point",
            definition="Position of the map's maximum, in fractions of the radiograph from its "
            "upper left corner.",
            kind="position",
        ),
        Metric(
            key="entropy",
            label="spread (entropy)",
            definition="Shannon entropy of the map's cells over its maximum: 0 = all evidence in "
            "one cell, 1 = the same everywhere.",
        ),
        Metric(
            key="border_fraction",
            label="evidence in the border",
            definition="Share of the positive evidence in the outer 5 % ring.",
            kind="fraction",
        ),
        Metric(
            key="border_chance",
            label="the border's share of the area",
            definition="What a map that is the same everywhere would have in the outer 5 % ring.",
            kind="fraction",
        ),
        Metric(
            key="padding_fraction",
            label="evidence in padding",
            definition="Share of the positive evidence outside the radiograph, in padding that was "
            "added for the model.",
            kind="fraction",
        ),
        Metric(
            key="gini",
            label="concentration (Gini)",
            definition="Gini index of the map's cells: 0 = the same everywhere, nearly 1 = all "
            "evidence in one cell.",
            source="Hurley and Rickard, arXiv 0811.4706",
        ),
        Metric(
            key="num_components",
            label="separate areas",
            definition="Number of separate areas that the contour encloses.",
            kind="integer",
        ),
        Metric(
            key="left_right_balance",
            label="left-right balance",
            definition="-1 = all positive evidence in the image's left half, +1 = all in its right.",
            kind="signed",
        ),
    ),
)

# {region} = "the lungs", for example.
REGION_METRICS = Registry(
    "metric of a region",
    (
        Metric(
            key="relevance_mass_accuracy",
            label="evidence in {region}",
            definition="Share of the positive evidence that lies in {region}.",
            kind="fraction",
            source="Arras et al., Information Fusion 2022",
        ),
        Metric(
            key="chance",
            label="share of the area: {region}",
            definition="What a map that is the same everywhere would have in {region}.",
            kind="fraction",
        ),
        Metric(
            key="enrichment",
            label="evidence in {region} relative to its area",
            definition="Share of the positive evidence in {region} over its share of the area; "
            "1 = a map that is the same everywhere.",
            kind="ratio",
        ),
        Metric(
            key="relevance_rank_accuracy",
            label="highest pixels in {region}",
            definition="Of as many highest pixels as the region has, the share in {region}.",
            kind="fraction",
            source="Arras et al., Information Fusion 2022",
        ),
        Metric(
            key="pointing_game_hit",
            label="the map's maximum in {region}",
            definition="Whether the map's maximum lies in {region}, or within half a cell of it.",
            kind="yes_no",
            source="Zhang et al., arXiv 1608.00507",
        ),
        Metric(
            key="iou",
            label="IoU with {region}",
            definition="Intersection over union of the high-focus area and {region}.",
            kind="fraction",
        ),
        Metric(
            key="dice",
            label="Dice with {region}",
            definition="Dice coefficient of the high-focus area and {region}.",
            kind="fraction",
        ),
        Metric(
            key="iou_otsu",
            label="IoU with {region}, Otsu's threshold",
            definition="Intersection over union of what lies above Otsu's threshold and {region}.",
            kind="fraction",
            source="Saporta et al., Nature Machine Intelligence 2022",
        ),
        Metric(
            key="dice_otsu",
            label="Dice with {region}, Otsu's threshold",
            definition="Dice coefficient of what lies above Otsu's threshold and {region}.",
            kind="fraction",
            source="Saporta et al., Nature Machine Intelligence 2022",
        ),
    ),
)


RUN_METRICS = Registry(
    "metric of a run",
    (
        Metric(
            key="auc",
            label="AUC",
            definition="Chance that a positive case scores above a negative one.",
        ),
        Metric(
            key="sensitivity",
            label="sensitivity",
            definition="Share of the positive cases that were called positive.",
            kind="fraction",
        ),
        Metric(
            key="specificity",
            label="specificity",
            definition="Share of the negative cases that were called negative.",
            kind="fraction",
        ),
        Metric(
            key="ppv",
            label="positive predictive value",
            definition="Share of the cases called positive that are positive.",
            kind="fraction",
        ),
        Metric(
            key="npv",
            label="negative predictive value",
            definition="Share of the cases called negative that are negative.",
            kind="fraction",
        ),
        Metric(
            key="brier",
            label="Brier score",
            definition="Mean squared error of the output; 0 is best.",
        ),
        Metric(
            key="ece",
            label="calibration error (ECE)",
            definition="Mean difference between output and observed share, ten bins; 0 is best.",
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskingNumber(Metric):
    """Change of the explained logit with a part of the radiograph blurred.

    Parameters
    ----------
    part : what is blurred: the kind of a region, or the name of a masking.
    """

    part: str


MASKING_NUMBERS = Registry(
    "number of masking",
    (
        MaskingNumber(
            key="masking_lungs_change",
            label="change of the logit with the lungs blurred",
            definition="Explained logit with the lungs blurred minus before, in log-odds.",
            kind="signed",
            part="lungs",
        ),
        MaskingNumber(
            key="masking_all_but_lungs_change",
            label="change of the logit with all but the lungs blurred",
            definition="Explained logit with all but the lungs blurred minus before, in log-odds.",
            kind="signed",
            part="all but the lungs",
        ),
        MaskingNumber(
            key="masking_marker_change",
            label="change of the logit with a marker blurred",
            definition="Explained logit with a marker blurred minus before, in log-odds; of several "
            "markers the largest change.",
            kind="signed",
            part="marker",
        ),
        MaskingNumber(
            key="masking_border_change",
            label="change of the logit with the border blurred",
            definition="Explained logit with the border blurred minus before, in log-odds.",
            kind="signed",
            part="border",
        ),
    ),
)

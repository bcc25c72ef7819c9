"""The key of a metric, flag, check or column -> its name in words, and what it is.

One table for the terminal, the run report, the index, the comparison and `cases.csv-metadata.json`: the same thing is
called the same everywhere. Names begin small, as they stand within a sentence; those of flags are
headings. An unknown key is a `KeyError`, but a check without an entry is called as its key is.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Datatype = Literal["string", "number", "integer", "boolean"]


class Term(NamedTuple):
    """`datatype` as CSVW has it (W3C, Metadata Vocabulary for Tabular Data, 2015)."""

    name: str
    meaning: str
    datatype: Datatype = "number"

    @property
    def title(self) -> str:
        """The name as a heading has it."""
        return self.name[0].upper() + self.name[1:]


FLAG_WORDS = {
    "outside_lungs": "Evidence outside the lungs",
    "marker": "A marker counts",
    "border": "The border counts",
    "exposure": "The exposure counts",
    "diffuse": "Map over most of the picture",
    "near_threshold": "Near the threshold",
    "low_contrast_input": "Low contrast",
    "out_of_population": "Outside the model's population",
}

OF_RUN = {
    "auc": Term("AUC", "chance that a positive case scores above a negative one"),
    "accuracy": Term(
        "accuracy", "share of the labelled cases that were called as they are labelled"
    ),
    "sensitivity": Term("sensitivity", "share of the positive cases that were called positive"),
    "specificity": Term("specificity", "share of the negative cases that were not called positive"),
    "ppv": Term("positive predictive value", "share of the called cases that are positive"),
    "npv": Term("negative predictive value", "share of the cases not called that are negative"),
    "brier": Term("Brier score", "mean squared error of the output; 0 is best"),
    "ece": Term("calibration error (ECE)", "output against observed share, ten bins; 0 is best"),
}

OF_OUTPUT = {
    "predicted": Term(
        "predicted class",
        "the class that the threshold, or the highest score, decides for",
        "string",
    ),
    "target_class": Term(
        "explained class", "the class that logit, probability and maps are of", "string"
    ),
    "logit": Term("logit", "the explained scalar, log-odds"),
    "probability": Term("model output", "for the explained class, 0 to 1"),
    "threshold": Term("threshold", "of the model output; empty where the highest score decides"),
    "is_correct": Term(
        "is as labelled", "whether the predicted class is the expected one", "boolean"
    ),
    "outcome": Term(
        "outcome",
        "of the explained class against all others: true_positive, false_positive, true_negative or false_negative",
        "string",
    ),
}

OF_MAP = {
    "high_focus_fraction": Term(
        "high-focus area", "share of the radiograph inside the contour, 0 to 1"
    ),
    "focus_band": Term(
        "focus band", "of that area: focal below 0.3, regional to 0.7, then diffuse", "string"
    ),
    "centroid_row_fraction": Term(
        "centre of the evidence, from the top", "fraction of the radiograph's height"
    ),
    "centroid_column_fraction": Term(
        "centre of the evidence, from the left", "fraction of the radiograph's width"
    ),
    "peak_row_fraction": Term("highest point, from the top", "fraction of the radiograph's height"),
    "peak_column_fraction": Term(
        "highest point, from the left", "fraction of the radiograph's width"
    ),
    "entropy": Term("spread (entropy)", "0 = all evidence in one cell, 1 = the same everywhere"),
    "border_fraction": Term(
        "evidence in the border", "share of the positive evidence in the outer 5 % ring, 0 to 1"
    ),
    "border_chance": Term(
        "the border's share of the area", "what border_fraction would be of an even map, 0 to 1"
    ),
    "padding_fraction": Term(
        "evidence in padding", "share of the evidence outside the radiograph, 0 to 1"
    ),
    "gini": Term(
        "concentration (Gini)", "0 = the same everywhere, nearly 1 = all evidence in one cell"
    ),
    "num_components": Term("separate areas", "how many areas the contour encloses", "integer"),
    "left_right_balance": Term(
        "left and right", "-1 = all in the image's left half, +1 = all in its right"
    ),
}

# {0} = "the lungs", for example.
IN_REGION = {
    "relevance_mass_accuracy": Term(
        "evidence in {0}", "share of the positive evidence that lies in {0}, 0 to 1"
    ),
    "chance": Term(
        "share of the area: {0}",
        "of what the model saw: what an even map would have in {0}, 0 to 1",
    ),
    "enrichment": Term(
        "evidence in {0} against chance",
        "share of the evidence over share of the area; 1 = even map",
    ),
    "relevance_rank_accuracy": Term(
        "highest pixels in {0}",
        "of as many highest pixels as the region has, the share in {0}, 0 to 1",
    ),
    "pointing_game_hit": Term(
        "the map's maximum in {0}", "within half a cell (pointing game)", "boolean"
    ),
    "iou": Term("IoU with {0}", "of the high-focus area and {0}, 0 to 1"),
    "dice": Term("Dice with {0}", "of the high-focus area and {0}, 0 to 1"),
    "iou_otsu": Term(
        "IoU with {0}, by Otsu's threshold", "of what lies above Otsu's threshold and {0}, 0 to 1"
    ),
    "dice_otsu": Term(
        "Dice with {0}, by Otsu's threshold", "of what lies above Otsu's threshold and {0}, 0 to 1"
    ),
}
REGIONS = {"lungs": "the lungs", "annotation": "the annotation"}
OF_REGION = {
    f"{kind}_{key}": Term(one.name.format(region), one.meaning.format(region), one.datatype)
    for kind, region in REGIONS.items()
    for key, one in IN_REGION.items()
}

OF_MASKING = {
    "masking_lungs_change": Term(
        "change of the logit without the lungs", "with them blurred, log-odds"
    ),
    "masking_all_but_lungs_change": Term(
        "change of the logit from the lungs alone", "with all else blurred, log-odds"
    ),
    "masking_marker_change": Term(
        "change of the logit without a marker",
        "with it blurred, log-odds; of several the largest change",
    ),
    "masking_border_change": Term(
        "change of the logit without the border", "with it blurred, log-odds"
    ),
}

OF_CASE = {
    "trust_passed": Term("trust state passed", "whether trust_state is passed", "boolean"),
    **{
        f"flag_{name}": Term(
            words[0].lower() + words[1:], "flag, by rule; empty = could not be judged", "boolean"
        )
        for name, words in FLAG_WORDS.items()
    },
}

# Where the key of a check, its underscores taken for spaces, is not its name.
CHECK_NAMES = {
    "road": "ROAD",
    "blank": "not blank",
    "not_a_chest": "frontal chest",
    "duplicate_uid": "duplicate UID",
    "burned_in_annotation": "annotation burned in",
}

GLOSSARY = {
    **OF_RUN,
    **OF_OUTPUT,
    **OF_MAP,
    **OF_REGION,
    **OF_MASKING,
    **OF_CASE,
}


def check_name(key: str) -> str:
    """A check of the input or of an explanation, in words."""
    return CHECK_NAMES.get(key, key.replace("_", " "))

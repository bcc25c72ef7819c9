"""Metrics of a whole map, one function each, bound by key to `vocabulary.MAP_METRICS`."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from cxr_audit.focus.evidence import MapEvidence, no_evidence
from cxr_audit.records import Measurements, Value
from cxr_audit.vocabulary import MAP_METRICS, Message, Text, message

FOCAL_BELOW = 0.3
DIFFUSE_ABOVE = 0.7

Result = Value | Message
"""A value, or why there is none."""


def measure(evidence: MapEvidence) -> Measurements:
    """All metrics of a map, in the order of the vocabulary."""
    reason = no_evidence(evidence)
    if reason is not None:
        return Measurements.none_of(MAP_METRICS.keys(), reason)
    values: dict[str, Value] = {}
    undefined: dict[str, Text] = {}
    for row in MAP_METRICS:
        result = (row.function or FUNCTIONS[row.key])(evidence)
        if isinstance(result, Message):
            undefined[row.key] = result
            values[row.key] = None
        else:
            values[row.key] = result
    return Measurements(values, undefined)


def high_focus_fraction(evidence: MapEvidence) -> float:
    """Share of the radiograph that the contour encloses."""
    return float(evidence.is_high.sum() / evidence.seen.sum())


def focus_band(evidence: MapEvidence) -> str:
    """How large the high-focus area is, in a word."""
    share = high_focus_fraction(evidence)
    if share > DIFFUSE_ABOVE:
        return "diffuse"
    return "regional" if share >= FOCAL_BELOW else "focal"


def centroid(evidence: MapEvidence) -> tuple[float, float]:
    """Mean position of the evidence."""
    rows, columns = evidence.cell_positions
    row = float(evidence.on_radiograph.sum(1) @ rows / evidence.mass)
    column = float(evidence.on_radiograph.sum(0) @ columns / evidence.mass)
    return row, column


def peak(evidence: MapEvidence) -> tuple[float, float]:
    """Centre of the pixel that holds the maximum."""
    row, column = evidence.peak
    rows, columns = evidence.heatmap.shape
    return (row + 0.5) / rows, (column + 0.5) / columns


def entropy(evidence: MapEvidence) -> float | Message:
    """Shannon entropy of the cells' shares over log(number of cells)."""
    shares = evidence.cell_shares
    if shares.size == 1:
        return message("focus.single_cell")
    present = shares[shares > 0]
    return float(abs(-(present * np.log(present)).sum() / np.log(shares.size)))


def gini(evidence: MapEvidence) -> float | Message:
    """Gini index of the cells' shares."""
    shares = evidence.cell_shares
    if shares.size == 1:
        return message("focus.single_cell")
    below = shares.size - np.arange(shares.size) - 0.5
    # Never -0.0 or what rounding makes of it.
    return abs(float(1 - 2 * (np.sort(shares) @ below) / shares.size))


def border_fraction(evidence: MapEvidence) -> float:
    """Share of the evidence in the outer ring."""
    return float((evidence.positive * evidence.border_share).sum() / evidence.mass)


def border_chance(evidence: MapEvidence) -> float:
    """The ring's share of the radiograph's area."""
    return float(evidence.border_share.sum() / evidence.radiograph_share.sum())


def padding_fraction(evidence: MapEvidence) -> float:
    """Share of the evidence outside the radiograph."""
    return float(1 - evidence.mass / evidence.positive.sum())


def num_components(evidence: MapEvidence) -> int:
    """Separate areas of the high-focus area; areas that touch at a corner count as one."""
    num_labels, _ = cv2.connectedComponents(evidence.is_high.astype(np.uint8), connectivity=8)
    return num_labels - 1


def left_right_balance(evidence: MapEvidence) -> float:
    """Evidence in the image's right half minus that in its left half, over both."""
    in_left = (evidence.positive * evidence.left_share).sum()
    return float(1 - 2 * in_left / evidence.mass)


FUNCTIONS: dict[str, Callable[[MapEvidence], Result]] = {
    "high_focus_fraction": high_focus_fraction,
    "focus_band": focus_band,
    "centroid": centroid,
    "peak": peak,
    "entropy": entropy,
    "border_fraction": border_fraction,
    "border_chance": border_chance,
    "padding_fraction": padding_fraction,
    "gini": gini,
    "num_components": num_components,
    "left_right_balance": left_right_balance,
}

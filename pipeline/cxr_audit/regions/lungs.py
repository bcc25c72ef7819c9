"""Radiograph -> right and left lung, or why they were not found.

Two steps that run in different places: `segmenter_input` (a light process) and `LungSegmenter.find`
(by batch), which is `probabilities`, the only part that needs TensorFlow, and `find_lungs`. The
right lung is the patient's: on the left of a radiograph as displayed; a mirrored radiograph cannot
be told from its pixels. The lung behind the heart is not in the masks. Weights whose SHA-256 is not
that of their card are refused. What is no pair of lungs gets a reason and no mask.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from cxr_audit.errors import ModelError
from cxr_audit.records import Floats, Mask
from cxr_audit.vocabulary import Message, Text, message

SIZE = 256
BATCH = 16

# Tails along the chest wall or over the diaphragm: narrower than 2 * 3 + 1 px, longer than 24. The
# sharp costophrenic angles are shorter than that.
TAIL_RADIUS_PX = 3
TAIL_LENGTH_PX = 20
# A component smaller than this share of the smaller lung is no part of a lung (stomach bubble, air
# beside the body).
FRAGMENT_FRACTION = 0.1
# What two lungs look like on the square grid; set on the training and validation parts, see the
# model card.
LEAST_CONFIDENCE = 0.8
LEAST_AREA_FRACTION = 0.02
LARGEST_AREA_FRACTION = 0.4
LEAST_SIDE_FRACTION = 0.1
LEAST_RATIO = 0.25
LEAST_SOLIDITY = 0.6
LEAST_COMMON_HEIGHT = 0.5
# Below this ratio of the smaller to the larger lung, one may have lost what is consolidated.
USUAL_RATIO = 0.5
# Largest share of a lung's width or height that may lie along an edge of the image.
LARGEST_CUT = {"upper": 0.7, "lower": 0.5, "left": 0.85, "right": 0.85}


@dataclass(frozen=True, slots=True)
class Lungs:
    """Where the lungs are.

    Parameters
    ----------
    right, left : bool (256, 256) on a grid over the whole radiograph; empty where not found.
    confidence : in [0, 1], the Dice coefficient to expect if the probabilities are right.
    reason : why no lungs were found.
    area_fraction, edge_fraction : share of the image, and of the one of its edges that has most,
        that looks like lung, whether or not lungs were found.
    turn_deg, is_negative : where lungs were not found, but are in the image turned
        counter-clockwise by so much, or in its negative.
    """

    right: Mask
    left: Mask
    confidence: float
    reason: Text | None = None
    area_fraction: float = 0.0
    edge_fraction: float = 0.0
    turn_deg: int = 0
    is_negative: bool = False

    @property
    def area_ratio(self) -> float | None:
        """Area of the smaller lung over that of the larger; None where they were not found."""
        areas = sorted((int(self.right.sum()), int(self.left.sum())))
        return areas[0] / areas[1] if self.reason is None and areas[1] else None

    @property
    def warning(self) -> Message | None:
        """That one lung may be cut: consolidated lung is as white as the chest wall, and the mask
        may leave it out."""
        ratio = self.area_ratio
        if ratio is None or ratio >= USUAL_RATIO:
            return None
        side = "right lung" if self.right.sum() < self.left.sum() else "left lung"
        return message("regions.lung_may_be_cut", side=side, ratio=ratio, limit=USUAL_RATIO)

    def mirrored(self) -> Lungs:
        """The same lungs where the patient's left is on the left of the image."""
        return replace(self, right=self.left, left=self.right)

    def angle_deg(self, rows: int, columns: int) -> float | None:
        """By how much the lungs are rotated in the image.

        The angle between the line through their centres and the rows of the radiograph, or
        `turn_deg`; None where there are no lungs either way.
        """
        if self.reason is not None:
            return self.turn_deg if self.turn_deg or self.is_negative else None
        row, column = np.argwhere(self.right).mean(axis=0)
        other_row, other_column = np.argwhere(self.left).mean(axis=0)
        height, width = abs(other_row - row) * rows, abs(other_column - column) * columns
        return math.degrees(math.atan2(height, width))


def segmenter_input(pixels: Floats) -> Floats:
    """Grey values (rows, columns) in [0, 1] -> what the network sees, float32 (256, 256) in [0, 1].

    The whole radiograph, stretched to the square (half-pixel centres); its 1st to 99th percentile
    spread over [0, 1], then CLAHE (clip limit 2, 8x8 tiles), so that exposure and window hardly
    matter.
    """
    shrinks = pixels.shape[0] > SIZE or pixels.shape[1] > SIZE
    square = cv2.resize(
        pixels, (SIZE, SIZE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    )
    low, high = np.percentile(square, [1, 99])
    grey = np.clip((square - low) * (255 / max(float(high - low), 1e-3)), 0, 255).astype(np.uint8)
    return np.asarray(cv2.createCLAHE(2.0, (8, 8)).apply(grey), np.float32) / np.float32(255)


# Quarter turns and whether the negative; all but the upright positive.
OTHER_POSES = (
    *((quarters, False) for quarters in (1, 2, 3)),
    *((quarters, True) for quarters in (0, 1, 2, 3)),
)


class LungSegmenter:
    """The network, loaded once.

    Parameters
    ----------
    weights
        A `.keras` file, its model card beside it: the same name with `.json`, key `sha256`.

    Raises
    ------
    ModelError : no such file, no card, or another file than the card's.
    """

    def __init__(self, weights: Path) -> None:
        self.sha256 = _check_weights(weights)
        os.environ["KERAS_BACKEND"] = "tensorflow"  # read when keras is imported
        import keras
        import tensorflow as tf

        model = keras.saving.load_model(weights, compile=False, safe_mode=True)

        self.parameters = int(model.count_params())

        def forward(batch: Any) -> Any:
            mirrored = model(batch[:, :, ::-1], training=False)[:, :, ::-1]
            return (model(batch, training=False)[..., 0] + mirrored[..., 0]) / 2

        self._forward = tf.function(
            forward, [tf.TensorSpec((BATCH, SIZE, SIZE, 1), tf.float32)], autograph=False
        )

    def probabilities(self, batch: Floats) -> Floats:
        """Probability of lung, float32 (N, 256, 256), of `segmenter_input`s (N, 256, 256).

        The mean over the image and its mirror image. Any N; computed 16 at a time.
        """
        padded = np.zeros((-(-len(batch) // BATCH) * BATCH, SIZE, SIZE, 1), np.float32)
        padded[: len(batch), ..., 0] = batch
        starts = range(0, len(padded), BATCH)
        parts = [np.asarray(self._forward(padded[start : start + BATCH])) for start in starts]
        return np.concatenate([np.zeros((0, SIZE, SIZE), np.float32), *parts])[: len(batch)]

    def find(self, batch: Floats) -> list[Lungs]:
        """The lungs of `segmenter_input`s (N, 256, 256).

        Where there are none, the network is asked again with the image turned by 90, 180 and 270
        degrees, and with their negatives.
        """
        result = []
        for image, probability in zip(batch, self.probabilities(batch), strict=True):
            lungs = find_lungs(probability)
            result.append(lungs if lungs.reason is None else self._otherwise(image, lungs))
        return result

    def _otherwise(self, image: Floats, lungs: Lungs) -> Lungs:
        """What is found in the turned image or its negative, beside the reason for the upright."""
        images = [np.rot90(_as_posed(image, pose[1]), pose[0]) for pose in OTHER_POSES]
        best: tuple[float, tuple[int, bool], Lungs] | None = None
        for pose, probability in zip(
            OTHER_POSES, self.probabilities(np.stack(images)), strict=True
        ):
            other = find_lungs(probability)
            if other.reason is None and (best is None or (other.confidence, pose) > best[:2]):
                best = other.confidence, pose, other
        if best is None:
            return lungs
        _, (quarters, is_negative), other = best
        return replace(
            lungs,
            area_fraction=other.area_fraction,
            edge_fraction=other.edge_fraction,
            turn_deg=90 * quarters,
            is_negative=is_negative,
        )


def _as_posed(image: Floats, is_negative: bool) -> Floats:
    return 1 - image if is_negative else image


def _check_weights(weights: Path) -> str:
    """The SHA-256 of the weights, which is the card's."""
    card = weights.with_suffix(".json")
    hint = "the package is incomplete or was changed: install cxr-audit again"
    try:
        expected = json.loads(card.read_text("utf-8"))["sha256"]
        sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(
            f"cannot read the lung segmenter {error.filename}: {error.strerror}", hint
        ) from error
    except (ValueError, KeyError) as error:
        raise ModelError(f"{card} is no model card with a sha256", hint) from error
    if sha256 != expected:
        raise ModelError(
            f"{weights} is not the lung segmenter of its card: its SHA-256 is {sha256}, expected "
            f"{expected}",
            hint,
        )
    return sha256


def find_lungs(probability: Floats) -> Lungs:
    """Probability of lung (256, 256) -> the right and the left lung, or why they were not found."""
    likely = probability >= 0.5
    edges = (likely[0], likely[-1], likely[:, 0], likely[:, -1])
    area, edge = float(likely.mean()), max(float(pixels.mean()) for pixels in edges)
    mask = _without_tails(likely)
    both = float(probability.sum()) + int(mask.sum())
    confidence = 2 * float(probability[mask].sum()) / both if both else 0.0
    parts = _separate(mask)
    if mask.mean() < LEAST_AREA_FRACTION:
        why: Message | None = message("regions.nothing_like_lung")
    else:
        why = _implausible(parts, confidence)
    if why is not None:
        empty = np.zeros_like(mask)
        reason = message("regions.lungs_not_found", reason=why)
        return Lungs(empty, empty, confidence, reason, area, edge)
    right, left = parts
    return Lungs(right, left, confidence, None, area, edge)


def on_radiograph(lungs: Lungs, rows: int, columns: int) -> npt.NDArray[np.uint8]:
    """The lungs on the grid of a radiograph.

    Parameters
    ----------
    lungs : the masks of both.
    rows, columns : of the radiograph.

    Returns
    -------
    uint8 (rows, columns): 0 background, 1 right lung, 2 left lung.
    """
    labels = np.zeros((rows, columns), np.uint8)
    for label, mask in ((1, lungs.right), (2, lungs.left)):
        share = cv2.resize(mask.astype(np.float32), (columns, rows), interpolation=cv2.INTER_LINEAR)
        labels[share > 0.5] = label
    return labels


def _without_tails(mask: Mask) -> Mask:
    """The mask without what an opening takes away in long pieces."""
    disc = cv2.getStructuringElement(
        cv2.MORPH_ELLIPSE, (2 * TAIL_RADIUS_PX + 1, 2 * TAIL_RADIUS_PX + 1)
    )
    thin = mask & (cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, disc) == 0)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(thin.astype(np.uint8), connectivity=8)
    lengths = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].max(axis=1)
    lengths[0] = 0  # all that is not thin
    return np.asarray(mask & (lengths <= TAIL_LENGTH_PX)[labels])


def _separate(mask: Mask) -> list[Mask]:
    """The two largest parts, image left first, without holes.

    Lungs that touch are cut where they are narrowest: erosion by growing discs until two parts of
    some size remain; every pixel goes to the nearer of the two. One mask, or none, where there
    never are two.
    """
    image = mask.astype(np.uint8)
    for radius in (0, 1, 2, 3, 5, 7, 9, 12):
        eroded = cv2.erode(
            image, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        )
        number, labels, stats, _ = cv2.connectedComponentsWithStats(eroded, connectivity=4)
        order = 1 + np.argsort(stats[1:, cv2.CC_STAT_AREA])[::-1]
        areas = stats[order, cv2.CC_STAT_AREA]
        if number > 2 and areas[1] >= LEAST_RATIO * areas[0]:
            halves = _split(mask, [labels == order[0], labels == order[1]])
            return [_filled(half) for half in halves]
    return [mask] if mask.any() else []


def _split(mask: Mask, cores: list[Mask]) -> list[Mask]:
    """`mask` divided between its two cores, image left first, fragments dropped.

    An area with both cores is cut by distance; one without any goes as a whole to the core whose
    columns are nearer.
    """
    cores = sorted(cores, key=_column)
    near_first, near_second = (
        cv2.distanceTransform((~core).astype(np.uint8), cv2.DIST_L2, 5) for core in cores
    )
    halves = [np.zeros_like(mask), np.zeros_like(mask)]
    number, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=4)
    smallest = FRAGMENT_FRACTION * min(int(core.sum()) for core in cores)
    for label in range(1, number):
        area = labels == label
        holds = [bool((area & core).any()) for core in cores]
        if all(holds):
            is_first = near_first <= near_second
            halves[0] |= area & is_first
            halves[1] |= area & ~is_first
        elif any(holds):
            halves[holds.index(True)] |= area
        elif area.sum() >= smallest:
            distances = [abs(_column(area) - _column(core)) for core in cores]
            halves[int(np.argmin(distances))] |= area
    return halves


def _column(mask: Mask) -> float:
    """Mean column of a mask's pixels."""
    return float(np.nonzero(mask)[1].mean())


def _filled(mask: Mask) -> Mask:
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return np.asarray(
        cv2.drawContours(np.zeros(mask.shape, np.uint8), contours, -1, 1, cv2.FILLED), np.bool_
    )


def _implausible(parts: list[Mask], confidence: float) -> Message | None:
    """Why these are no two lungs; None where they may be."""
    if len(parts) < 2:
        return message("regions.one_area")
    for side, part in zip(("right lung", "left lung"), parts, strict=True):
        if (why := _implausible_lung(side, part)) is not None:
            return why
    areas = [float(part.mean()) for part in parts]
    if min(areas) < LEAST_RATIO * max(areas):
        return message("regions.areas_differ")
    (_, top, _, height), (_, other_top, _, other_height) = (_box(part) for part in parts)
    common = min(top + height, other_top + other_height) - max(top, other_top)
    if common < LEAST_COMMON_HEIGHT * min(height, other_height):
        return message("regions.not_beside")
    if confidence < LEAST_CONFIDENCE:
        return message("regions.uncertain", confidence=confidence, least=LEAST_CONFIDENCE)
    return None


def _implausible_lung(side: str, part: Mask) -> Message | None:
    """Why this is no lung; None where it may be."""
    area, box = float(part.mean()), _box(part)
    if not LEAST_AREA_FRACTION <= area <= LARGEST_AREA_FRACTION:
        return message(
            "regions.lung_area",
            side=side,
            share=area,
            least=LEAST_AREA_FRACTION,
            largest=LARGEST_AREA_FRACTION,
        )
    edge = _cut_off(part, box)
    if edge is not None:
        return message("regions.lung_cut_off", side=side, edge=edge)
    if min(box[2], box[3]) < LEAST_SIDE_FRACTION * SIZE:
        return message("regions.lung_too_flat", side=side)
    hull = cv2.convexHull(np.argwhere(part).astype(np.int32)[:, None])
    if part.sum() < LEAST_SOLIDITY * cv2.contourArea(hull):
        return message("regions.lung_too_ragged", side=side)
    return None


def _box(part: Mask) -> tuple[int, int, int, int]:
    """x, y, width, height."""
    x, y, width, height = cv2.boundingRect(part.astype(np.uint8))
    return x, y, width, height


def _cut_off(mask: Mask, box: tuple[int, int, int, int]) -> str | None:
    """The edge of the image along which most of a lung's width or height lies."""
    _, _, width, height = box
    contact = {
        "upper": mask[0].sum() / width,
        "lower": mask[-1].sum() / width,
        "left": mask[:, 0].sum() / height,
        "right": mask[:, -1].sum() / height,
    }
    return next((edge for edge, share in contact.items() if share > LARGEST_CUT[edge]), None)

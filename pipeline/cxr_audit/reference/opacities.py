"""One lung made white in part or throughout, as consolidation and effusion make it.

The lung masks that the segmenter learns from show mostly healthy lungs. Lung that is as white as the
chest wall has to be learnt from radiographs in which it was made white, with the mask kept.
"""

from __future__ import annotations

import cv2
import numpy as np

from cxr_audit.records import Floats, Mask

LEAST_LUNG_PX = 200
PARTS = ("whole", "below a level", "above a level", "between two levels", "near the edge")
CHANCES = (0.3, 0.25, 0.2, 0.15, 0.1)


def one_lung(mask: Floats, rng: np.random.Generator) -> Mask | None:
    """One of the two largest components of a lung mask (rows, columns) in [0, 1].

    None where it has fewer than `LEAST_LUNG_PX` pixels.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats((mask > 0.5).astype(np.uint8))
    if count < 2:
        return None
    areas = stats[1:, cv2.CC_STAT_AREA]
    largest = np.argsort(areas)[::-1][:2]
    chosen = int(rng.choice(largest))
    if areas[chosen] < LEAST_LUNG_PX:
        return None
    return np.asarray(labels == chosen + 1, np.bool_)


def part_of(lung: Mask, rng: np.random.Generator) -> Mask:
    """The part of a lung (rows, columns) that becomes white: one of `PARTS`, drawn."""
    rows, columns = np.nonzero(lung)
    top, bottom = int(rows.min()), int(rows.max())
    y, x = np.mgrid[: lung.shape[0], : lung.shape[1]].astype(np.float32)
    tilted = y + (x - columns.mean()) * np.float32(rng.uniform(-0.5, 0.5))
    first, second = np.sort(rng.uniform(top, bottom, 2))
    part = str(rng.choice(PARTS, p=CHANCES))
    chosen = np.ones(lung.shape, np.bool_)
    if part in ("below a level", "between two levels"):
        chosen &= tilted >= first
    if part in ("above a level", "between two levels"):
        chosen &= tilted <= second
    if part == "near the edge":
        depth = cv2.distanceTransform(lung.astype(np.uint8), cv2.DIST_L2, 3)
        chosen &= depth <= rng.uniform(0.2, 0.8) * depth.max()
    return np.asarray(lung & chosen, np.bool_)


def whiten(image: Floats, mask: Floats, rng: np.random.Generator, noise: Floats) -> Floats:
    """A radiograph with one lung white in part or throughout.

    Parameters
    ----------
    image, mask
        Radiograph in [0, 1] and share of lung in each pixel, both (rows, columns).
    rng
        Draws the lung, its part, how white it becomes and how far the whiteness spills over its edge.
    noise
        Random field (rows, columns) about [0, 1]: the texture of the opacity.

    Returns
    -------
    Floats
        The changed radiograph; the same one where no lung is large enough.
    """
    lung = one_lung(mask, rng)
    if lung is None:
        return image
    white = part_of(lung, rng).astype(np.uint8)
    spill = int(rng.integers(0, 14)) if rng.random() < 0.7 else 0
    if spill:
        white = cv2.dilate(white, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (spill, spill)))
    softness = float(rng.uniform(1, 8))
    weight = cv2.GaussianBlur(white.astype(np.float32), (0, 0), softness)
    weight *= np.float32(rng.uniform(0.6, 1))
    # Ribs and vessels keep a share of their contrast; soft tissue of the same image gives the level.
    detail = image - cv2.GaussianBlur(image, (0, 0), 6)
    level = np.quantile(image, rng.uniform(0.65, 0.97))
    texture = (noise - np.float32(0.5)) * np.float32(rng.uniform(0, 0.2))
    tissue = level + texture + detail * np.float32(rng.uniform(0, 0.8))
    return np.asarray(image + weight * np.maximum(tissue - image, 0), np.float32)

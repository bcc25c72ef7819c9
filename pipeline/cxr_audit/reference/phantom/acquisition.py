"""Path lengths -> the pixels of a radiograph: Beer-Lambert, scatter veil, blur, quantum and
electronic noise, display.

Monochromatic at the effective energy of a chest tube voltage (near 60 keV): NIST XCOM gives
0.0206/mm for water; bone is what cortical bone adds to it. The display curve is that of a processed
radiograph: logarithm, some of the wide range traded for detail, an S-shaped curve.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cxr_audit.reference.phantom.projection import Floats, Mask, blur

WATER_PER_MM, BONE_PER_MM, LEAD_PER_MM = 0.0206, 0.05, 0.5
# Below this optical depth the detector is saturated: the air beside the body is black.
DIRECT = 0.35


@dataclass(frozen=True, slots=True)
class Exposure:
    """`quanta` per mm2 in air at the detector; sizes in mm; `scatter` over primary."""

    quanta: float
    electronic: float
    scatter: float
    blur_mm: float
    latitude: float
    detail: float
    contrast: float
    brightness: float
    hardness: float


def expose(
    rng: np.random.Generator,
    water: Floats,
    bone: Floats,
    metal: Floats,
    body: Mask,
    pixel_mm: float,
    how: Exposure,
) -> Floats:
    """Take the radiograph.

    Parameters
    ----------
    rng : random stream of the noise
    water, bone, metal : float32 (rows, columns), mm
        Path lengths.
    body : bool (rows, columns)
        Where the body is; it sets the range of the display.
    pixel_mm : size of a pixel
    how : the exposure and the display curve

    Returns
    -------
    float32 (rows, columns) in [0, 1], 0 = black as displayed
    """
    depth = WATER_PER_MM * water + BONE_PER_MM * bone + LEAD_PER_MM * metal
    primary = np.exp(-depth)
    signal = blur(primary, how.blur_mm / pixel_mm) + how.scatter * blur(primary, 32 / pixel_mm)
    quanta = how.quanta * pixel_mm**2
    grain = rng.standard_normal(signal.shape, dtype=np.float32)
    signal = signal + grain * np.sqrt(signal / quanta + (how.electronic / quanta) ** 2)
    density = -np.log(np.maximum(signal, 1e-4))
    density -= how.latitude * (blur(density, 26 / pixel_mm) - density.mean())
    density += how.detail * (
        1.6 * (density - blur(density, 12 / pixel_mm))
        + 0.5 * (density - blur(density, 2 / pixel_mm))
    )
    inside = blur(density, 3 / pixel_mm)[::4, ::4][body[::4, ::4]]
    low, high = np.percentile(inside, (3, 98)) if inside.size else (0.0, 1.0)
    low, high = low - 0.28 * (high - low), high + 0.05 * (high - low)
    level = (density - low) / max(high - low, 1e-3)
    shown = 1 / (1 + np.exp(-how.hardness * (how.contrast * (level - 0.5) + how.brightness)))
    ends = 1 / (1 + np.exp(how.hardness * 0.62)), 1 / (1 + np.exp(-how.hardness * 0.62))
    grey = np.clip((shown - ends[0]) / (ends[1] - ends[0]), 0, 1)
    return np.asarray(np.clip(depth / DIRECT, 0, 1) * grey, np.float32)

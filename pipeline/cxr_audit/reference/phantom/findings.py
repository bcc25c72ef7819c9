"""A projected chest and the name of a finding -> the water that it adds, in mm.

Opacities replace the air of the lung: they can add no more than the air that the ray meets.
Consolidation keeps to a lobe and leaves the bronchi open (air bronchograms); patchy opacities lie
in both lungs; interstitial ones are a net of fine lines. Effusion and nodule are distractors: they
are no pneumonia.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cxr_audit.reference.phantom.anatomy import LUNG_AIR, Chest
from cxr_audit.reference.phantom.projection import Floats, Mask, dome, noise, step, tubes

# A pixel belongs to a finding where it adds at least this share of the most that it adds anywhere.
MASK_SHARE = 0.2


def consolidation(rng: np.random.Generator, chest: Chest) -> Floats:
    """One lobe, or a large part of it, filled; sharp at the fissure, with air in its bronchi."""
    grid = chest.grid
    side, x_mid, y_mid, wide, tall, top, bottom, edge = LOBES[list(LOBES)[rng.integers(len(LOBES))]]
    size = rng.uniform(0.8, 1.15)
    x0, y0 = side * x_mid + rng.uniform(-8, 8), y_mid + rng.uniform(-8, 8)
    away = np.hypot((grid.x - x0) / (wide * size), (grid.y - y0) / (tall * size))
    cloud = 0.16 * noise(rng, grid, 18) + 0.07 * noise(rng, grid, 7)
    fill = step(1 - away + cloud, 0.55)
    slant = grid.y - 0.12 * side * (grid.x - x0)
    fill = fill * step(slant - top, edge) * step(bottom - slant, edge)
    density = rng.uniform(0.55, 0.9)
    texture = 1 + 0.08 * noise(rng, grid, 5) + 0.1 * noise(rng, grid, 12)
    fill = fill * density * texture
    start = np.asarray([side * 30.0, 157.0, -4.0])
    along = np.linspace(0, 1, 12)[:, None]
    x = x0 + rng.normal(0, 0.55 * wide, 7)
    y = y0 + rng.normal(0, 0.55 * tall, 7)
    ends = np.stack([x, y, rng.normal(0, 20, 7)], axis=1)
    bend = rng.normal(0, 9, (7, 1, 3))
    bronchi = start + along * (ends[:, None] - start) + np.sin(np.pi * along) * bend
    air = 1.6 * tubes(grid, bronchi, np.linspace(2.3, 1.0, 12))
    added = LUNG_AIR * chest.lung * np.clip(fill, 0, 0.95)
    return np.asarray(np.maximum(added - air * np.minimum(1, fill / 0.4), 0.3 * added), np.float32)


# Side, middle x and y, half width and height, limits above and below (fissures), their width;
# in mm of the standard adult.
LOBES = {
    "right upper": (-1, 68, 108, 58, 62, -200, 166, 5),
    "right middle": (-1, 58, 206, 46, 42, 166, 500, 5),
    "right lower": (-1, 84, 246, 52, 56, 150, 500, 30),
    "left upper": (1, 70, 120, 54, 66, -200, 190, 30),
    "left lower": (1, 74, 240, 52, 58, 165, 500, 30),
}


def patchy(rng: np.random.Generator, chest: Chest) -> Floats:
    """Several clouds without sharp limits, in both lungs."""
    grid = chest.grid
    cloud = 0.2 * noise(rng, grid, 15) + 0.08 * noise(rng, grid, 7)
    fill = np.zeros(grid.shape, np.float32)
    for number in range(rng.integers(4, 9)):
        side = (-1, 1)[number % 2]
        x0, y0, r = side * rng.uniform(40, 105), rng.uniform(95, 255), rng.uniform(17, 36)
        away = np.hypot((grid.x - x0) / r, (grid.y - y0) / (1.2 * r))
        fill = np.maximum(fill, rng.uniform(0.25, 0.6) * step(1 - away + cloud, 1.5))
    fill = fill * (1 + 0.1 * noise(rng, grid, 4) + 0.12 * noise(rng, grid, 9))
    return np.asarray(LUNG_AIR * chest.lung * np.clip(fill, 0, 0.9), np.float32)


def interstitial(rng: np.random.Generator, chest: Chest) -> Floats:
    """A net of fine lines with a haze, densest round the hila and at the bases."""
    grid = chest.grid
    net = np.zeros(grid.shape, np.float32)
    for grain, weight in ((9.0, 0.9), (5.0, 1.0), (3.2, 0.6)):
        net += weight * np.maximum(1 - 2.6 * np.abs(noise(rng, grid, grain)), 0)
    near = np.exp(-(((np.abs(grid.x) - 45) / 55) ** 2) - ((grid.y - 165) / 62) ** 2)
    base = 0.8 * step(grid.y - 205, 90)
    where = np.clip(near + base + 0.25 * noise(rng, grid, 30), 0.15, 1.1) * rng.uniform(0.75, 1.1)
    added = where * (8 * net + 12 + 4 * noise(rng, grid, 14))
    return np.asarray(np.clip(added, 0, 0.6 * chest.lung), np.float32)


def effusion(rng: np.random.Generator, chest: Chest) -> Floats:
    """Fluid at the base of one side, its upper limit rising towards the chest wall (meniscus)."""
    grid = chest.grid
    side = (-1, 1)[rng.integers(2)]
    lung = chest.left if side > 0 else chest.right
    if not lung.any():
        return np.zeros(grid.shape, np.float32)
    wall = float(np.abs(grid.x[0, lung.any(axis=0)]).max())
    level = float(chest.floor[0, lung.any(axis=0)].min()) + rng.uniform(-30, 4)
    gap = np.maximum(wall - side * grid.x, 0)
    top = level - 42 * np.exp(-gap / 16)
    fill = step(grid.y - top, 9) * (side * grid.x > 8)
    return np.asarray(LUNG_AIR * chest.lung * fill, np.float32)


def nodule(rng: np.random.Generator, chest: Chest) -> Floats:
    """One round solid body in the lung."""
    grid = chest.grid
    rows, columns = np.nonzero((chest.right | chest.left) & (chest.lung > 70))
    if rows.size == 0:
        return np.zeros(grid.shape, np.float32)
    pick = rng.integers(rows.size)
    x0, y0, r = grid.x[0, columns[pick]], grid.y[rows[pick], 0], rng.uniform(6, 15)
    rough = 0.12 * noise(rng, grid, 5)
    distance2 = ((grid.x - x0) / r) ** 2 + ((grid.y - y0) / r) ** 2
    return np.asarray(LUNG_AIR * 2 * r * dome(distance2 * (1 + rough)), np.float32)


PNEUMONIA: dict[str, Callable[[np.random.Generator, Chest], Floats]] = {
    "consolidation": consolidation,
    "patchy": patchy,
    "interstitial": interstitial,
}
FINDINGS = {**PNEUMONIA, "effusion": effusion, "nodule": nodule}


def finding_mask(added: Floats) -> Mask:
    """Where a finding is: at least `MASK_SHARE` of the most that it adds."""
    return np.asarray((added > 0) & (added >= MASK_SHARE * added.max()), np.bool_)

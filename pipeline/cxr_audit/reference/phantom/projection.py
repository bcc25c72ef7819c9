"""Bodies in mm -> path lengths along the rays, in mm, on a grid.

Two ways, both line integrals: a closed form for each pixel (`dome`: the chord of a rounded body),
and for curved thin bodies (ribs, vessels, tubes) mass laid down along the body and gathered by the
pixel that its ray meets, which is the chord times the length that a pixel sees: a rib seen along
its curve is bright at the chest wall.

x grows to the image's right (the patient's left), y downwards, z to the front; x = 0 is the spine,
z = 0 the middle.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Real = npt.NDArray[np.floating[Any]]
Knots = Mapping[int, float]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

SOURCE_MM = 1500.0  # from the source to the middle of the chest


@dataclass(frozen=True, slots=True)
class Grid:
    """Pixel centres in mm: `x` float32 (1, columns), `y` float32 (rows, 1); rows and columns may
    differ in size.

    `turn` is the patient's rotation in radians; `source` +1 where the source stands behind (PA), -1
    before (AP).
    """

    x: Floats
    y: Floats
    turn: float
    source: int

    @property
    def pixel_mm(self) -> tuple[float, float]:
        return float(self.y[1, 0] - self.y[0, 0]), float(self.x[0, 1] - self.x[0, 0])

    @property
    def shape(self) -> tuple[int, int]:
        return self.y.size, self.x.size

    def x_at(self, depth_mm: float) -> Floats:
        """The x that a body at this depth had before the patient turned."""
        return np.asarray(self.x - depth_mm * np.sin(self.turn), np.float32)

    def project(self, points: Doubles) -> Doubles:
        """(..., 3) -> (..., 2): turned, then seen from the source."""
        x, y, z = points[..., 0], points[..., 1], points[..., 2]
        cos, sin = np.cos(self.turn), np.sin(self.turn)
        x, z = x * cos + z * sin, z * cos - x * sin
        near = SOURCE_MM / (SOURCE_MM + self.source * z)
        middle = float(self.y.mean())
        return np.stack([x * near, middle + (y - middle) * near], axis=-1)

    def gather(self, x: Doubles, y: Doubles, volume_mm3: Doubles) -> Floats:
        """Share volumes between the four pixels nearest to each place.

        Parameters
        ----------
        x, y : (places,)
            Places in mm. A place outside the pixel centres is left out.
        volume_mm3 : (places,)

        Returns
        -------
        float32 (rows, columns), mm
        """
        rows, columns = self.shape
        row_mm, column_mm = self.pixel_mm
        right, down = (x - float(self.x[0, 0])) / column_mm, (y - float(self.y[0, 0])) / row_mm
        inside = (right >= 0) & (right < columns - 1) & (down >= 0) & (down < rows - 1)
        right, down, volume_mm3 = right[inside], down[inside], volume_mm3[inside]
        column, row = right.astype(np.int64), down.astype(np.int64)
        right, down, first = right - column, down - row, row * columns + column
        total = np.zeros(rows * columns)
        for step, share in (
            (0, (1 - right) * (1 - down)),
            (1, right * (1 - down)),
            (columns, (1 - right) * down),
            (columns + 1, right * down),
        ):
            total += np.bincount(first + step, share * volume_mm3, rows * columns)
        return np.asarray(total.reshape(rows, columns) / (row_mm * column_mm), np.float32)


def tubes(
    grid: Grid,
    points: Doubles,
    half_height: float | Doubles,
    half_depth: float | Doubles | None = None,
    wall: float | None = None,
    inner: float = 0.0,
) -> Floats:
    """Path length through curved bodies of elliptical section.

    Parameters
    ----------
    grid : Grid
    points : (bodies, points, 3)
        The middle lines, mm.
    half_height, half_depth : mm, broadcast to (bodies, points)
        Semi-axes of the section, upright and across; depth None = round.
    wall : mm, optional
        Thickness of the shell; None = solid.
    inner : in [0, 1]
        What the inside of a hollow body counts.

    Returns
    -------
    float32 (rows, columns), mm
    """
    bodies, coarse, _ = points.shape
    half_height = np.broadcast_to(np.asarray(half_height, float), (bodies, coarse))
    if half_depth is None:
        half_depth = half_height
    else:
        half_depth = np.broadcast_to(np.asarray(half_depth, float), (bodies, coarse))
    step = min(grid.pixel_mm)
    longest = float(np.linalg.norm(np.diff(points, axis=1), axis=2).max()) * (coarse - 1)
    fine = int(np.clip(np.ceil(longest / step), coarse, 4000))
    points = _refined(points, fine)
    half_height, half_depth = _refined(half_height, fine), _refined(half_depth, fine)

    length = np.linalg.norm(np.gradient(points, axis=1), axis=2)
    seen = grid.project(points)
    tangent = np.gradient(seen, axis=1)
    tangent /= np.maximum(np.linalg.norm(tangent, axis=2, keepdims=True), 1e-9)
    across = np.stack([-tangent[..., 1], tangent[..., 0]], axis=-1)
    half = np.hypot(half_height * across[..., 1], half_depth * across[..., 0])
    depth = half_height * half_depth / half
    number = max(3, int(np.ceil(2 * half.max() / step)))
    place = (np.arange(number) + 0.5) / number * 2 - 1
    chord = np.sqrt(1 - place**2) * np.ones_like(half)[..., None]
    if wall is not None:
        hollow = 1 - np.minimum(wall / np.minimum(half_height, half_depth), 0.9)[..., None]
        chord -= (1 - inner) * np.sqrt(np.clip(hollow**2 - place**2, 0, None))
    volume = 2 * depth[..., None] * chord * (length * 2 * half / number)[..., None]
    x = seen[..., 0, None] + place * (half * across[..., 0])[..., None]
    y = seen[..., 1, None] + place * (half * across[..., 1])[..., None]
    return grid.gather(x.ravel(), y.ravel(), volume.ravel())


def _refined(values: Doubles, number: int) -> Doubles:
    """Values (bodies, points, ...) between the points, in `number` equal steps: linear."""
    coarse = values.shape[1]
    along = np.linspace(0, coarse - 1, number)
    low = np.minimum(along.astype(int), coarse - 2)
    share = along - low
    share = share.reshape(share.shape + (1,) * (values.ndim - 2))
    return np.asarray(values[:, low] * (1 - share) + values[:, low + 1] * share)


def dome(r2: Real) -> Floats:
    """Chord of an ellipsoid over its middle one, from the squared distance to its middle: 1 at 0, 0
    from 1 on.
    """
    return np.asarray(np.sqrt(np.maximum(1 - r2, 0)), np.float32)


def step(distance: Real, width: float) -> Floats:
    """0 below, 1 above, a straight ramp of `width` between."""
    return np.asarray(np.clip(distance / width + 0.5, 0, 1), np.float32)


def curve(knots: Knots, at: Real, smooth: float = 0.0) -> Floats:
    """A smoothed line through knots.

    Parameters
    ----------
    knots : position: value
    at : positions, of any shape
    smooth : standard deviation of the Gaussian, in the unit of the positions; 0 = none

    Returns
    -------
    float32, of the shape of `at`
    """
    fine = np.linspace(min(knots), max(knots), 400)
    values = np.interp(fine, list(knots), list(knots.values())).astype(np.float32)
    if smooth:
        sigma = smooth / float(fine[1] - fine[0])
        values = cv2.GaussianBlur(values[None], (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)[0]
    return np.asarray(np.interp(at, fine, values), np.float32)


def blur(image: Floats, sigma_px: float) -> Floats:
    """Gaussian; a wide one on a smaller image, where it costs little."""
    if sigma_px <= 0:
        return image
    shrink = int(min(sigma_px // 4, min(image.shape) // 8))
    if shrink < 2:
        return np.asarray(
            cv2.GaussianBlur(image, (0, 0), sigma_px, borderType=cv2.BORDER_REPLICATE), np.float32
        )
    rows, columns = image.shape
    small = cv2.resize(image, (columns // shrink, rows // shrink), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), sigma_px / shrink, borderType=cv2.BORDER_REPLICATE)
    return np.asarray(
        cv2.resize(small, (columns, rows), interpolation=cv2.INTER_LINEAR), np.float32
    )


def noise(rng: np.random.Generator, grid: Grid, grain_mm: float) -> Floats:
    """Smooth noise of unit variance.

    It is made on a coarse grid and enlarged, so its cost does not grow with the picture.

    Parameters
    ----------
    rng : random stream of the noise
    grid : where the noise is taken
    grain_mm : size of its features

    Returns
    -------
    float32 (rows, columns)
    """
    rows, columns = grid.shape
    row_mm, column_mm = grid.pixel_mm
    small = (
        max(4, round(rows * row_mm / (0.8 * grain_mm))) + 2,
        max(4, round(columns * column_mm / (0.8 * grain_mm))) + 2,
    )
    coarse = rng.standard_normal(small, dtype=np.float32)
    coarse = cv2.GaussianBlur(coarse, (0, 0), 1.0)
    coarse /= coarse.std()
    return np.asarray(
        cv2.resize(coarse, (columns, rows), interpolation=cv2.INTER_CUBIC), np.float32
    )

"""A body and a grid -> path lengths in mm through soft tissue and bone, and where the lungs and the
heart are.

Lengths are those of a standard adult; `Body.scale` makes the person of it. The proportions follow
what the adult and paediatric radiographs of the public sets show (Jaeger 2014, Kermany 2018): a
child is wider for its height, its heart larger, its ribs flatter and thinner, its arms raised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np

from cxr_audit.reference.phantom.projection import (
    Doubles,
    Floats,
    Grid,
    Mask,
    blur,
    curve,
    dome,
    noise,
    step,
    tubes,
)

Sex = Literal["F", "M"]
AgeBand = Literal["child", "adult", "elderly"]

LUNG_AIR = 0.76  # share of the lung's volume that is air


@dataclass(frozen=True, slots=True)
class Body:
    """One person. Everything without a unit is a factor on the standard adult."""

    sex: Sex
    age_band: AgeBand
    scale: float
    wide: float
    heart: float
    knob: float
    thymus: float
    fat_mm: float
    breast: float
    bone: float
    slope: float
    arms_up: float
    tilt_heart: float
    right_dome_mm: float
    left_dome_mm: float
    bubble: float
    lean_mm: float
    vessels: float


def draw_body(rng: np.random.Generator, sex: Sex, age_band: AgeBand, inspiration: float) -> Body:
    """Draw a person.

    Parameters
    ----------
    rng : random stream of the person's body
    sex : "F" or "M"
    age_band : "child", "adult" or "elderly"
    inspiration : in [0, 1]
        0 = breathed out, 1 = deep.

    Returns
    -------
    Body
    """
    is_child, is_old = age_band == "child", age_band == "elderly"
    uniform = rng.uniform
    lift = 34 * (inspiration - 0.75)
    shallow = 1 - inspiration
    if is_child:
        scale = uniform(0.52, 0.68)
    elif sex == "F":
        scale = uniform(0.9, 1.0)
    else:
        scale = uniform(0.98, 1.1)
    right = -lift + uniform(-7, 7) - 14 * is_child
    return Body(
        sex=sex,
        age_band=age_band,
        scale=scale,
        wide=uniform(0.95, 1.08) + 0.04 * is_child,
        heart=uniform(0.86, 1.06) + 0.07 * is_child + 0.08 * is_old + 0.16 * shallow,
        knob=0.25 if is_child else uniform(0.75, 1.05) + 0.25 * is_old,
        thymus=uniform(0, 1) ** 2 * is_child,
        fat_mm=uniform(8, 16) if is_child else uniform(8, 30),
        breast=uniform(0.55, 1.2) * (sex == "F" and not is_child),
        bone=uniform(0.85, 1.15) * (1.2 if is_child else 0.82 if is_old else 1.0),
        slope=uniform(0.9, 1.12) * (0.72 if is_child else 1.05 if is_old else 1.0),
        arms_up=uniform(0, 1) if is_child else 0.0,
        tilt_heart=uniform(-7, 7) - 6 * shallow,
        right_dome_mm=right,
        left_dome_mm=right + uniform(4, 18),
        bubble=uniform(0, 1),
        lean_mm=uniform(-5, 5),
        vessels=uniform(0.85, 1.15),
    )


@dataclass(frozen=True, slots=True)
class Chest:
    """Projected anatomy; all (rows, columns). Lengths in mm of the standard adult.

    `cavity` is the path through both lungs, `right` and `left` the lung fields that are seen (the
    shadows of the heart, the mediastinum and the diaphragm excluded, as in the Montgomery and
    Shenzhen masks).
    """

    body: Body
    grid: Grid
    water: Floats
    bone: Floats
    lung: Floats
    right: Mask
    left: Mask
    heart: Mask
    trunk: Mask
    floor: Floats


def build(rng: np.random.Generator, body: Body, grid: Grid) -> Chest:
    """Project a person.

    Parameters
    ----------
    rng : random stream of the anatomy
    body : the person
    grid : where the path lengths are taken

    Returns
    -------
    Chest
        Path lengths and masks, all of the grid's shape.
    """
    x, y = np.asarray(grid.x / body.wide, np.float32), grid.y
    water, trunk = _trunk(body, x, y)
    fields = {side: _lung(body, x, y, side) for side in (-1, 1)}
    cavity = fields[-1] + fields[1]
    floors = {side: _floor(body, grid.x / body.wide, side) for side in (-1, 1)}
    heart, middle = _middle(body, grid)
    floor = np.where(grid.x < 0, floors[-1], floors[1]).astype(np.float32)
    # Below the dome the lung goes on behind it, in the recess, and thins out.
    below = np.maximum(y - floor, 0) / 46
    behind = 1 - np.sqrt(np.sqrt(np.minimum(below, 1)))
    air = cavity * behind
    solid = np.maximum(heart, middle)
    lung = np.maximum(air - solid * np.minimum(1, air / 60), 0)
    seen = (y < floor) & (solid < 12) & (cavity > 22)
    masks = {side: _largest(seen & (fields[side] > 0)) for side in (-1, 1)}
    tissue = 0.06 * noise(rng, grid, 26) + 0.03 * noise(rng, grid, 9)
    grain = (
        0.014 * noise(rng, grid, 5) + 0.012 * noise(rng, grid, 2.4) + 0.03 * noise(rng, grid, 40)
    )
    vessels = _vessels(rng, body, grid) * np.minimum(1, lung / 110)
    water = water * (1 + 0.4 * tissue * (lung <= 0)) + 9 * tissue
    water -= LUNG_AIR * np.maximum(lung * (1 + grain) - vessels, 0)
    water -= 1.1 * _airways(body, grid)
    water -= _belly_gas(rng, body, grid, floors[1])
    water += _breasts(body, grid)
    water = np.maximum(np.where(trunk > 0, water, 0), _arms(body, grid) * (cavity <= 0))
    return Chest(
        body=body,
        grid=grid,
        water=np.asarray(water, np.float32),
        bone=np.asarray(_skeleton(rng, body, grid) * body.bone, np.float32),
        lung=np.asarray(lung, np.float32),
        right=masks[-1],
        left=masks[1],
        heart=np.asarray((heart > 12) & (y < floor + 12), np.bool_),
        trunk=np.asarray(trunk > 0, np.bool_),
        floor=floor,
    )


# Outer and inner half-width of the cavity and its depth, all by height: y (mm): mm
LATERAL = {
    38: 50,
    44: 62,
    52: 73,
    62: 83,
    80: 96,
    110: 110,
    150: 122,
    200: 131,
    250: 136,
    300: 138,
    345: 134,
}
MEDIAL = {38: 44, 44: 30, 52: 22, 62: 17, 80: 12, 110: 9, 345: 9}
DEPTH = {38: 0, 50: 52, 62: 72, 80: 96, 110: 128, 150: 154, 200: 162, 345: 150}


def _lung(body: Body, x: Floats, y: Floats, side: int) -> Floats:
    """Chord of one side of the cavity, down to its recess."""
    shift = 3 * side
    lateral, medial = curve(LATERAL, y, 6), curve(MEDIAL, y, 6)
    half, middle = (lateral - medial) / 2, (lateral + medial) / 2
    depth = np.sqrt(curve({key: value**2 for key, value in DEPTH.items()}, y, 3))
    u = (side * x - middle) / np.maximum(half, 1)
    u2 = u * u
    top = np.maximum(y - 38 - shift, 0) / 14
    return np.asarray(
        depth * dome(0.3 * u2 + 0.7 * u2 * u2) * np.minimum(1, np.sqrt(top)) * (y > 38), np.float32
    )


def _floor(body: Body, x: Floats, side: int) -> Floats:
    """Height of the diaphragm's dome at each column, y in mm."""
    top = 262 + (body.right_dome_mm if side < 0 else body.left_dome_mm)
    away = side * x - (60 if side < 0 else 64)
    outer = 44 * (np.maximum(away, 0) / 72) ** 2.6
    inner = (16 if side < 0 else 12) * (np.maximum(-away, 0) / 60) ** 2
    return np.asarray(top + outer + inner, np.float32)


def _trunk(body: Body, x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Water path of neck, shoulders and trunk without its cavities, and its squared margin (> 0
    inside).
    """
    fat = body.fat_mm
    child = body.age_band == "child"
    shoulder = (158 if child else 206) + 0.5 * fat
    width = {
        -200: 56, -16: 58, 4: 74, 22: 118, 40: 0.8 * shoulder, 60: 0.94 * shoulder,
        90: shoulder, 125: shoulder - 2, 150: shoulder - 12, 175: 140 + fat,
        205: 138 + fat, 260: 143 + fat, 340: 146 + fat, 520: 150 + fat,
    }  # fmt: skip
    depth = {
        -200: 130, 0: 140, 40: 170, 80: 192, 130: 206 + fat, 200: 210 + 1.4 * fat,
        270: 216 + 1.6 * fat, 340: 216 + 1.8 * fat,
    }  # fmt: skip
    half, thick = curve(width, y, 7), curve(depth, y, 12)
    u = x / half
    u2 = u * u
    margin = 1 - u2
    chord = thick * dome(0.15 * u2 + 0.85 * u2 * u2 * u2)
    # Shoulders are thinner than the chest between them.
    thin = curve({-200: 0, 20: 0, 60: 0.2, 130: 0.16, 175: 0.04, 215: 0, 500: 0}, y, 10)
    chord *= 1 - thin * step(np.abs(x) - 118, 50)
    return np.asarray(chord, np.float32), np.asarray(margin, np.float32)


def _middle(body: Body, grid: Grid) -> tuple[Floats, Floats]:
    """Chords of the heart, and of the great vessels and what else lies between the lungs."""
    large, y = body.heart, grid.y - body.lean_mm * 0.3
    x = grid.x_at(28)
    base = min(body.right_dome_mm, body.left_dome_mm) * 0.55

    def ellipse(cx: float, cy: float, a: float, b: float, degrees: float = 0.0) -> Floats:
        angle = np.deg2rad(degrees)
        cos, sin = np.cos(angle), np.sin(angle)
        return dome(
            np.asarray(
                (((x - cx) * cos + (y - cy) * sin) / a) ** 2
                + (((y - cy) * cos - (x - cx) * sin) / b) ** 2,
                np.float32,
            )
        )

    turn = 36 + body.tilt_heart
    left = ellipse(25 * large, 230 + base, 70 * large, 52 * large, turn)
    right = 0.9 * ellipse(-8, 224 + base, 33 * large, 50 * large)
    outflow = 0.8 * ellipse(22, 182 + 0.7 * base, 33 * (0.5 + 0.5 * large), 52, -24)
    heart = 108 * (left**4 + right**4 + outflow**4) ** 0.25
    column = curve({-200: 46, 20: 44, 50: 32, 80: 27, 140: 26, 180: 29, 260: 32, 500: 40}, y, 10)
    off = curve({-200: 0, 90: 0, 150: -2, 300: -1, 500: 0}, y, 8)
    slab = 88 * np.maximum(1 - ((grid.x_at(8) - off) / (1.12 * column)) ** 2, 0)
    knob = 70 * ellipse(17 + 6 * body.knob, 118, 18 * body.knob, 22 * body.knob)
    trunk = 62 * ellipse(24, 152, 20, 24)
    cava = 48 * ellipse(-14, 150, 17, 58)
    aorta = 44 * dome(((grid.x_at(-45) - 20) / (11 + 4 * body.knob)) ** 2) * step(y - 120, 12)
    hila = 26 * np.maximum(ellipse(-31, 162, 13, 26, 12), ellipse(35, 153, 13, 24, -14))
    thymus = (
        50
        * body.thymus
        * np.maximum(ellipse(-14, 112, 36, 46, 14), 0.9 * ellipse(14, 110, 34, 44, -12))
    )
    great = np.maximum.reduce([slab, knob, trunk, cava, aorta, hila, thymus])
    return np.asarray(heart, np.float32), np.asarray(great, np.float32)


def _airways(body: Body, grid: Grid) -> Floats:
    """Air of the trachea and the two main bronchi."""
    ring = np.linspace(0, 1, 20)
    line = np.stack([-2 + 1.5 * np.sin(2 * ring), -120 + 258 * ring, -12 - 14 * ring], axis=1)
    right = np.stack([-2 - 26 * ring, 137 + 22 * ring, -26 - 6 * ring], axis=1)
    left = np.stack([-2 + 38 * ring, 137 + 20 * ring, -26 - 8 * ring], axis=1)
    return 0.85 * tubes(grid, line[None], 8.2) + 0.6 * tubes(grid, np.stack([right, left]), 5.6)


def _belly_gas(rng: np.random.Generator, body: Body, grid: Grid, floor: Floats) -> Floats:
    """Stomach bubble with its fluid level, and a few gas-filled loops of bowel."""
    gas = np.zeros(grid.shape, np.float32)
    x, y = grid.x, grid.y
    top = float(floor.min())
    wobble = 0.22 * noise(rng, grid, 16)
    if body.bubble > 0.2:
        cx, cy, a, b = (
            58 + rng.uniform(-12, 18),
            top + 14 + rng.uniform(4, 14),
            rng.uniform(18, 36),
            rng.uniform(9, 18),
        )
        level = step(cy + 0.5 * b - y, 1.5) if body.bubble > 0.6 else 1.0
        gas += 46 * dome(((x - cx) / a) ** 2 + ((y - cy) / b) ** 2 + wobble) * level
    for _ in range(rng.integers(0, 4)):
        cx, cy, r = rng.uniform(10, 115), top + rng.uniform(38, 90), rng.uniform(8, 15)
        gas += 22 * dome(((x - cx) / (1.5 * r)) ** 2 + ((y - cy) / r) ** 2 + 1.6 * wobble)
    return np.asarray(gas * step(y - floor - 4, 3), np.float32)


def _breasts(body: Body, grid: Grid) -> Floats:
    if not body.breast:
        return np.zeros(grid.shape, np.float32)
    size = body.breast
    total = np.zeros(grid.shape, np.float32)
    for side in (-1, 1):
        x = (side * grid.x_at(95) - 84 * body.wide - 6 * size) / (64 * (0.75 + 0.3 * size))
        y = (grid.y - 222 - 12 * size) / (66 * (0.7 + 0.3 * size))
        y = np.where(y < 0, 0.8 * y, y)
        total += 40 * size * dome(x * x + y * y)
    return total


def _arms(body: Body, grid: Grid) -> Floats:
    """Upper arms beside the trunk: hanging, or raised as a child's are held."""
    thick = (30.0 if body.age_band == "child" else 40.0) + 0.3 * body.fat_mm
    arms = np.zeros(grid.shape, np.float32)
    for line in _arm_path(body):
        (x0, y0), (x1, y1) = line[0, :2], line[-1, :2]
        along = ((grid.x - x0) * (x1 - x0) + (grid.y - y0) * (y1 - y0)) / (
            (x1 - x0) ** 2 + (y1 - y0) ** 2
        )
        along = np.clip(along, 0, 1)
        away2 = (grid.x - x0 - along * (x1 - x0)) ** 2 + (grid.y - y0 - along * (y1 - y0)) ** 2
        arms = np.maximum(arms, 2 * thick * dome(away2 / thick**2))
    return arms


def _arm_path(body: Body) -> Doubles:
    """Middle lines of both upper arms, (2, points, 3)."""
    along = np.linspace(0, 1, 12)
    joint = np.asarray([(140 if body.age_band == "child" else 172) * body.wide, 84, -8.0])
    angle = np.deg2rad(66 - 130 * body.arms_up) if body.age_band == "child" else np.deg2rad(66)
    direction = np.asarray([np.cos(angle), np.sin(angle), 0])
    line = joint + 240 * along[:, None] * direction
    return np.stack([line, line * [-1, 1, 1]])


def vertebra_y(number: float) -> float:
    """Middle of a thoracic vertebra; T1 = 1, cervical ones below 1."""
    if number < 1:
        return 26 + 15.5 * (number - 1)
    return 26 + 19.5 * (number - 1) + 0.42 * max(number - 1, 0) ** 2


def _skeleton(rng: np.random.Generator, body: Body, grid: Grid) -> Floats:
    return np.asarray(
        _ribs(rng, body, grid)
        + _spine(rng, body, grid)
        + _shoulders(rng, body, grid)
        + _sternum(body, grid),
        np.float32,
    )


def _ribs(rng: np.random.Generator, body: Body, grid: Grid) -> Floats:
    """Hoops from the spine round the cage to where the cartilage begins (which shows little)."""
    hoops, heights, depths = [], [], []
    is_child = body.age_band == "child"
    for number in range(1, 13):
        start = vertebra_y(number) + 2
        drop = body.slope * (34 + 15 * min(number, 4) + 4.5 * max(number - 4, 0))
        y_side = start + 0.42 * drop
        end = {11: 78.0, 12: 52.0}.get(number, 152 - 5.0 * max(number - 4, 0))
        for side in (-1, 1):
            theta = np.deg2rad(np.linspace(7, end + rng.uniform(-4, 4), 60))
            part = (np.rad2deg(theta) - 7) / 145
            fall = part**1.55 - 0.1 * np.sin(np.pi * np.minimum(part / 0.42, 1)) ** 2
            y = start + drop * fall + rng.normal(0, 1.0)
            wide = (
                curve(LATERAL, y, 6) * 0.55
                + 0.45 * float(curve(LATERAL, np.asarray([y_side]), 6)[0])
            ) + (2 if is_child else 3.5)
            deep = 0.5 * curve(
                {0: 60, 50: 80, 80: 108, 110: 140, 150: 168, 200: 184, 500: 190}, y, 6
            )
            x = side * body.wide * np.maximum(wide * np.sin(theta) ** 0.92, 17 + 6 * part)
            hoops.append(np.stack([x, y, -deep * np.cos(theta) - 4], axis=1))
            front = np.clip((np.rad2deg(theta) - 90) / 50, 0, 1)
            size = (0.68 if number == 1 else 0.8 if number == 12 else 1.0) * (
                0.86 if is_child else 1
            )
            neck = np.clip((np.rad2deg(theta) - 4) / 14, 0.55, 1)
            heights.append((6.0 + 1.5 * front) * size * neck)
            depths.append(
                3.6 * size * np.clip(6 * (1 - part / part[-1]), 0.12, 1) * (1 - 0.55 * front)
            )
    hoop = np.stack(hoops)
    return 1.4 * tubes(grid, hoop, np.stack(heights), np.stack(depths), wall=0.8, inner=0.22)


@dataclass(frozen=True, slots=True)
class _Vertebra:
    """One vertebral body, seen from the front; lengths in mm."""

    x: float
    y: float
    half_width: float
    half_height: float
    depth: float


def _vertebra(number: int, bend: float) -> _Vertebra:
    """The vertebra of that number in a spine that bends to the side by `bend` mm."""
    y = vertebra_y(number)
    pitch = vertebra_y(number + 0.5) - vertebra_y(number - 0.5)
    return _Vertebra(
        x=bend * np.sin(y / 110),
        y=y,
        half_width=11.5 + 0.75 * max(number, 0),
        half_height=0.4 * pitch,
        depth=10 + 0.9 * max(number, 0),
    )


def _spine(rng: np.random.Generator, body: Body, grid: Grid) -> Floats:
    """Bodies with their end plates, pedicles, transverse and spinous processes."""
    step_mm = min(grid.pixel_mm)
    bend = rng.uniform(-3.5, 3.5)
    density = 0.5 if body.age_band == "child" else 0.36
    bars, rings, spines = [], [], []
    xs, ys, volumes = [], [], []
    for number in range(-6, 16):
        vertebra = _vertebra(number, bend)
        x, y, volume = _vertebral_body(vertebra, step_mm, density)
        xs.append(x)
        ys.append(y)
        volumes.append(volume)
        for side in (-1, 1):
            rings.append(_pedicle(vertebra, side))
            bars.append(_transverse_process(vertebra, side))
        spines.append(_spinous_process(vertebra))
    volumes_all = np.concatenate(volumes)
    depths = np.full(volumes_all.size, -62.0)
    places = np.stack([np.concatenate(xs), np.concatenate(ys), depths], axis=1)
    seen = grid.project(places)
    total = np.zeros(grid.shape, np.float32)
    total += grid.gather(seen[:, 0], seen[:, 1], volumes_all)
    total += tubes(grid, np.stack(rings), 1.1)
    total += 0.7 * tubes(grid, np.stack(bars), 3.2, wall=0.8, inner=0.3)
    return total + tubes(grid, np.stack(spines), 2.4, wall=0.8, inner=0.25)


def _vertebral_body(
    vertebra: _Vertebra, step_mm: float, density: float
) -> tuple[Doubles, Doubles, Doubles]:
    """Places x, y (mm) and volumes (mm3) of the bone of a vertebral body: shell and end plates."""
    half_width, half_height = vertebra.half_width, vertebra.half_height
    across = _cell_centres(half_width, step_mm)
    down = _cell_centres(half_height, step_mm)
    hollow = np.sqrt(np.clip(0.9 - across**2, 0, None))
    shell = 2 * vertebra.depth * (np.sqrt(1 - across**2) - 0.87 * hollow)
    plates = 0.55 * vertebra.depth * np.clip((np.abs(down) - 0.82) / 0.12, 0, 1)
    chord = shell[None] + plates[:, None] * np.sqrt(1 - across**2)[None] + 1.5
    waist = 1 - 0.09 * (1 - down**2)
    x = vertebra.x + half_width * across[None] * waist[:, None]
    y = np.broadcast_to((vertebra.y + half_height * down)[:, None], chord.shape)
    volume = density * chord * 4 * half_width * half_height / chord.size
    return x.ravel(), y.ravel(), volume.ravel()


def _cell_centres(half_mm: float, step_mm: float) -> Doubles:
    """Centres of equal cells of about `step_mm` that fill -half_mm .. half_mm, in [-1, 1]."""
    number = round(2 * half_mm / step_mm) + 1
    return (np.arange(number) + 0.5) / number * 2 - 1


def _pedicle(vertebra: _Vertebra, side: int) -> Doubles:
    """Its outline, (25, 3)."""
    turn = np.linspace(0, 2 * np.pi, 25)
    x = vertebra.x + side * 0.62 * vertebra.half_width + 2.6 * np.cos(turn)
    y = vertebra.y - 0.25 * vertebra.half_height + 0.42 * vertebra.half_height * np.sin(turn)
    return np.stack([x, y, 0 * turn - 78], axis=1)


def _transverse_process(vertebra: _Vertebra, side: int) -> Doubles:
    """Its middle line, (25, 3)."""
    x = vertebra.x + side * np.linspace(6, 9 + vertebra.half_width, 25)
    lift = 4 * np.abs(np.linspace(0, 1, 25))
    return np.stack([x, vertebra.y - 2 - lift, np.full(25, -84.0)], axis=1)


def _spinous_process(vertebra: _Vertebra) -> Doubles:
    """Its middle line, (25, 3)."""
    drop = np.linspace(0, 1, 25)
    return np.stack([vertebra.x + 0 * drop, vertebra.y + (2 + 8 * drop), -84 - 14 * drop], axis=1)


ALONG = np.linspace(0, 1, 40)  # positions along a bone of the shoulder
FLIPS = np.asarray([[-1, 1, 1], [1, 1, 1]])[:, None]  # the left bone -> the right and the left one


def _shoulders(rng: np.random.Generator, body: Body, grid: Grid) -> Floats:
    """Clavicles, scapulae, upper arms."""
    is_child = body.age_band == "child"
    reach = (118 if is_child else 142) * body.wide
    lift = rng.uniform(-8, 8) + (-8 if is_child else 0) - 10 * body.arms_up
    total = _clavicles(grid, reach, lift)
    for bone in (*_scapulae(body, grid, reach, lift), *_humeri(body, grid)):
        total = total + bone
    return total


def _clavicles(grid: Grid, reach: float, lift: float) -> Floats:
    rise = 84 + (55 + lift - 84) * ALONG**0.9 - 7 * np.sin(1.9 * np.pi * ALONG)
    depth = 62 - 70 * ALONG + 14 * np.sin(2 * np.pi * ALONG)
    line = _both(np.stack([12 + (reach - 12) * ALONG, rise, depth], axis=1))
    ends = np.clip(12 * np.minimum(ALONG, 1 - ALONG), 0.2, 1)
    thick = (5.0 + 1.8 * (2 * ALONG - 1) ** 2) * ends
    return np.asarray(1.7 * tubes(grid, line, thick, wall=1.5, inner=0.3), np.float32)


def _scapulae(body: Body, grid: Grid, reach: float, lift: float) -> tuple[Floats, Floats, Floats]:
    """Borders, spine and plate of both.

    A scapula is a thin plate between three corners, with a thicker outer border and a spine that
    ends as acromion.
    """
    out = 12 + 10 * body.arms_up
    upper = np.asarray([94 + out, 64 + lift, -70.0])
    lower = np.asarray([106 + out, 184 + lift, -84.0])
    socket = np.asarray([reach + 2, 90 + lift, -40.0])
    acromion = np.asarray([reach + 14, 56 + lift, -20.0])
    outer = _both(_bow(lower, socket, -7.0))
    inner = _both(_bow(upper, lower, -6.0))
    spine = _both(_bow(upper + np.asarray([4, 22, 0]), acromion))
    outer_border = 0.7 * tubes(grid, outer, np.linspace(1.8, 4, 40), wall=1.1, inner=0.4)
    borders = outer_border + 0.6 * tubes(grid, inner, 1.1)
    height = np.linspace(1.8, 7, 40) * np.clip(12 * (1 - ALONG), 0.2, 1)
    ridge = 0.8 * tubes(grid, spine, height, 3.0, wall=1.0, inner=0.3)
    top = _bow(socket, upper, 4.0)
    plate = np.zeros(grid.shape, np.float32)
    for side in range(2):
        plate += _filled(grid, np.concatenate([inner[side], outer[side], top * FLIPS[side]]))
    return borders, ridge, 1.0 * blur(plate, 1.5 / min(grid.pixel_mm))


def _humeri(body: Body, grid: Grid) -> tuple[Floats, Floats]:
    """Round heads in the sockets, and shafts whose wall is thick."""
    thin = 0.72 if body.age_band == "child" else 1.0
    shaft = _arm_path(body)
    head = shaft[:, :1] + np.stack([0 * ALONG, 40 * ALONG - 16, 0 * ALONG], axis=1)
    ball = 21 * thin * np.sqrt(np.clip(1.02 - (2 * ALONG - 1) ** 2, 0.05, 1))
    heads = 0.8 * tubes(grid, head, ball, wall=0.9, inner=0.4)
    width = np.linspace(12, 10, 11) * thin
    return heads, tubes(grid, shaft[:, 1:], width, wall=2.4, inner=0.1)


def _both(line: Doubles) -> Doubles:
    """The line of a left bone -> those of the right and the left one, (2, points, 3)."""
    return np.asarray(line * FLIPS, np.float64)


def _bow(start: Doubles, end: Doubles, bulge: float = 0.0) -> Doubles:
    """A line between two points that bulges to the side by `bulge` mm, (40, 3)."""
    line = start + (end - start) * ALONG[:, None]
    line[:, 0] += bulge * np.sin(np.pi * ALONG)
    return line


def _filled(grid: Grid, outline: Doubles) -> Floats:
    """The share of each pixel inside a projected outline, in [0, 1]."""
    row_mm, column_mm = grid.pixel_mm
    edge = (grid.project(outline) - [grid.x[0, 0], grid.y[0, 0]]) / [column_mm, row_mm]
    shape = np.zeros(grid.shape, np.uint8)
    cv2.fillPoly(shape, [np.round(edge * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return np.asarray(shape / np.float32(255), np.float32)


def _sternum(body: Body, grid: Grid) -> Floats:
    along = np.linspace(0, 1, 30)
    bone = np.stack([0 * along, 78 + 38 * along, 82 + 8 * along], axis=1)
    ends = np.clip(5 * np.minimum(along, 1 - along), 0.1, 1)
    return 0.35 * tubes(
        grid, bone[None], 10 + 12 * (1 - along), 4.0 * np.sqrt(ends), wall=0.7, inner=0.3
    )


def _vessels(rng: np.random.Generator, body: Body, grid: Grid) -> Floats:
    """Arteries and veins that branch and thin out from the hila, in three dimensions."""
    place, direction, radius = _stems(rng, body)
    total = np.zeros(grid.shape, np.float32)
    along = np.linspace(0, 1, 8)
    least = max(0.32, 0.3 * min(grid.pixel_mm))
    for generation in range(8):
        if radius.size == 0:
            break
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        length = (24.0 if generation == 0 else 25 * 0.88**generation) * rng.uniform(
            0.7, 1.3, radius.size
        )
        bend = rng.normal(0, 0.16, direction.shape)
        points = place[:, None] + length[:, None, None] * (
            along[:, None] * direction[:, None] + (along**2)[:, None] * bend[:, None]
        )
        total += tubes(grid, points, radius[:, None] * np.linspace(1, 0.84, 8))
        ends, onward = points[:, -1], direction + 2 * bend
        turn = rng.uniform(0.25, 0.62, radius.size)[:, None] * _unit(
            rng.normal(size=direction.shape)
        )
        place = np.concatenate([ends, ends])
        direction = np.concatenate([onward + turn, onward - turn * rng.uniform(0.6, 1.3)])
        radius = np.concatenate([0.83 * radius, 0.66 * radius])
        kept = radius > least
        place, direction, radius = place[kept], direction[kept], radius[kept]
    return total


def _stems(rng: np.random.Generator, body: Body) -> tuple[Doubles, Doubles, Doubles]:
    """Places (16, 3), directions (16, 3) and radii (16,) of the vessels at both hila, in mm."""
    stems = 8
    fan = np.concatenate([np.linspace(-72, 82, stems)] * 2)
    angle = np.deg2rad(fan + rng.normal(0, 7, 2 * stems))
    side = np.repeat([-1.0, 1.0], stems)
    y = np.where(side < 0, 160, 150) + rng.normal(0, 7, 2 * stems)
    z = rng.normal(0, 6, 2 * stems)
    place = np.stack([side * 30, y, z], axis=1)
    forward = rng.normal(0, 0.5, 2 * stems)
    direction = np.stack([side * np.cos(angle), np.sin(angle), forward], axis=1)
    radius = 4.5 * (1 + 0.22 * np.sin(angle)) * rng.uniform(0.85, 1.15, 2 * stems) * body.vessels
    return place, direction, radius


def _unit(vectors: Doubles) -> Doubles:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float64)


def _largest(mask: Mask) -> Mask:
    """The largest connected part."""
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=4)
    if count < 2:
        return mask
    return np.asarray(parts == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA])), np.bool_)

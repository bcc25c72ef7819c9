"""A specification -> a chest radiograph with its ground truth.

The same specification and size give the same pixels; anatomy, findings, shortcuts and exposure have
their own random streams, so the same seed shows the same person with and without a finding. Refuses
what is out of range (`RANGES`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from cxr_audit.errors import ConfigError
from cxr_audit.reference.phantom import findings, shortcuts
from cxr_audit.reference.phantom.acquisition import Exposure, expose
from cxr_audit.reference.phantom.anatomy import LUNG_AIR, AgeBand, Chest, Sex, build, draw_body
from cxr_audit.reference.phantom.projection import Floats, Grid, Mask

SEXES, AGE_BANDS = ("F", "M"), ("child", "adult", "elderly")
LABELS = ("NORMAL", "PNEUMONIA")
RANGES = {
    "rotation_deg": (-15.0, 15.0),
    "tilt_deg": (-15.0, 15.0),
    "inspiration": (0.0, 1.0),
    "exposure": (0.02, 10.0),
    "collimation": (0.0, 0.15),
    "stretch": (0.6, 1.7),
    "marker_px": (20.0, 200.0),
}
SIZES = (64, 3000)


@dataclass(frozen=True, slots=True)
class Spec:
    """What to draw. None = drawn by the seed.

    rotation_deg: the patient turned about the upright axis; tilt_deg: the picture turned
    inspiration: 0 = breathed out, 1 = deep
    exposure: dose at the detector over the usual one; less is noisier
    collimation: share of the field's sides that the shutters cut off
    stretch: width of a pixel over its height, as in files stretched to squares
    marker_px: height of marker letters at 1024 rows
    is_mirrored: the finished picture flipped left to right (its markers as well)
    """

    seed: int
    sex: Sex | None = None
    age_band: AgeBand | None = None
    findings: tuple[str, ...] = ()
    shortcuts: tuple[str, ...] = ()
    rotation_deg: float | None = None
    tilt_deg: float | None = None
    inspiration: float | None = None
    exposure: float | None = None
    collimation: float | None = None
    stretch: float = 1.0
    marker_px: float = 36.0
    is_mirrored: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**63:
            raise ConfigError(
                f"phantom seed {self.seed} is out of range", "Give 0 .. 9223372036854775807."
            )
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise ConfigError(
                    f"phantom {name} {value} is out of range", f"Give {low:g} .. {high:g}."
                )
        for name, given, allowed in (
            ("sex", (self.sex,), (None, *SEXES)),
            ("age_band", (self.age_band,), (None, *AGE_BANDS)),
            ("findings", self.findings, tuple(findings.FINDINGS)),
            ("shortcuts", self.shortcuts, shortcuts.SHORTCUTS),
        ):
            for value in given:
                if value not in allowed:
                    choices = ", ".join(str(choice) for choice in allowed if choice is not None)
                    raise ConfigError(
                        f"phantom {name} {value!r} is unknown", f"Give one of: {choices}."
                    )

    @property
    def label(self) -> str:
        return LABELS[any(name in findings.PNEUMONIA for name in self.findings)]


@dataclass(frozen=True, slots=True)
class Phantom:
    """`pixels` float32 (rows, columns) in [0, 1], 0 = black as displayed. `spec` as resolved:
    nothing None.

    `masks` bool (rows, columns): right_lung and left_lung (of the patient; the visible field,
    without the shadows of heart, mediastinum and diaphragm), heart, and each planted finding and
    shortcut by its name. `pixel_spacing_mm` is (row, column) at the patient.
    """

    spec: Spec
    pixels: Floats
    masks: dict[str, Mask] = field(default_factory=dict)
    pixel_spacing_mm: tuple[float, float] = (1.0, 1.0)

    @property
    def boxes(self) -> dict[str, tuple[int, int, int, int]]:
        """x, y, width, height in pixels round each mask that is not empty."""
        boxes: dict[str, tuple[int, int, int, int]] = {}
        for name, mask in self.masks.items():
            if mask.any():
                x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
                boxes[name] = x, y, width, height
        return boxes


def draw(spec: Spec, rows: int = 1024, columns: int = 1024) -> Phantom:
    """Draw a phantom.

    Parameters
    ----------
    spec : what to draw
    rows, columns : in 64 .. 3000
        The size of the picture in pixels.

    Returns
    -------
    Phantom

    Raises
    ------
    ConfigError
        Rows or columns outside 64 .. 3000.
    """
    for name, size in (("rows", rows), ("columns", columns)):
        if not SIZES[0] <= size <= SIZES[1]:
            raise ConfigError(
                f"phantom {name} {size} is out of range", f"Give {SIZES[0]} .. {SIZES[1]}."
            )
    spec, look = _resolve(spec)
    sex, age_band = spec.sex or "M", spec.age_band or "adult"
    body = draw_body(_stream(spec, "body"), sex, age_band, spec.inspiration or 0.0)
    grid, to_grid, (row_mm, column_mm) = _field(spec, look, rows, columns)
    spacing = row_mm * body.scale, column_mm * body.scale
    chest = build(_stream(spec, "anatomy"), body, grid)

    def place(image: Floats) -> Floats:
        """From the grid of the anatomy to the pixels of the picture."""
        how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        return np.asarray(
            cv2.warpAffine(
                image, to_grid, (columns, rows), flags=how, borderMode=cv2.BORDER_REPLICATE
            )
        )

    def place_mask(mask: Mask) -> Mask:
        return np.asarray(place(mask.astype(np.float32)) > 0.5, np.bool_)

    water, metal, on_grid = _plant(spec, chest)
    masks = {name: place_mask(mask) for name, mask in on_grid.items()}
    shown = expose(
        _stream(spec, "noise"),
        place(water) * body.scale,
        place(chest.bone) * body.scale,
        place(metal),
        place_mask(chest.trunk),
        float(np.sqrt(spacing[0] * spacing[1])),
        look.exposure,
    )
    shown, masks = _finish(spec, shown, masks)
    return Phantom(spec, shown, masks, spacing)


def _plant(spec: Spec, chest: Chest) -> tuple[Floats, Floats, dict[str, Mask]]:
    """Path lengths in water and metal with what was planted, and the masks, all on the grid."""
    shape = chest.grid.shape
    lungs = {"right_lung": chest.right, "left_lung": chest.left}
    opacity = np.zeros(shape, np.float32)
    planted = {}
    for name in spec.findings:
        added = findings.FINDINGS[name](_stream(spec, name), chest)
        planted[name] = findings.finding_mask(added)
        if name == "effusion":  # fluid hides the lung; opacities lie in it
            lungs = {key: mask & ~planted[name] for key, mask in lungs.items()}
        opacity = opacity + added
    # Findings together replace no more than the air there is.
    water = chest.water + np.minimum(opacity, LUNG_AIR * chest.lung)
    metal = np.zeros(shape, np.float32)
    for name in spec.shortcuts:
        if name in shortcuts.IN_BEAM:
            added = shortcuts.in_beam(_stream(spec, name), name, chest.grid)
            planted[name] = np.asarray(added > 0.1, np.bool_)
            metal = metal + added
    return water, metal, {**lungs, "heart": chest.heart, **planted}


def _finish(spec: Spec, shown: Floats, masks: dict[str, Mask]) -> tuple[Floats, dict[str, Mask]]:
    """The picture and its masks after shutters, what lies on the picture, and the mirror."""
    shown, open_field = _collimate(_stream(spec, "shutters"), shown, spec.collimation or 0.0)
    masks = {name: mask & open_field for name, mask in masks.items()}
    for name in spec.shortcuts:
        if name in shortcuts.ON_PICTURE:
            rng = _stream(spec, name)
            shown, masks[name] = shortcuts.on_picture(rng, name, shown, spec.marker_px)
    if spec.is_mirrored:
        shown = np.ascontiguousarray(shown[:, ::-1])
        masks = {name: np.ascontiguousarray(mask[:, ::-1]) for name, mask in masks.items()}
    return shown, masks


def case_spec(
    seed: int, label: str | None = None, child_fraction: float = 0.3, **fixed: object
) -> Spec:
    """A varied case.

    The seed draws label, findings, distractors and shortcuts independently of each other.

    Parameters
    ----------
    seed : of the case
    label : "NORMAL" or "PNEUMONIA", optional
        None = drawn.
    child_fraction : in [0, 1]
        Probability of a child.
    **fixed
        Fields of `Spec` that are not drawn.

    Returns
    -------
    Spec

    Raises
    ------
    ConfigError
        The label is unknown, or a fixed field is out of range.
    """
    rng = np.random.default_rng((seed, 77))
    is_ill = bool(rng.random() < 0.5)
    if label is not None:
        if label not in LABELS:
            raise ConfigError(
                f"phantom label {label!r} is unknown", f"Give one of: {', '.join(LABELS)}."
            )
        is_ill = label == LABELS[1]
    age = _draw_age_band(rng, child_fraction)
    planted = _draw_findings(rng, is_ill)
    cues = _draw_shortcuts(rng)
    stretch = float(rng.uniform(1.0, 1.45)) if age == "child" else 1.0
    spec = Spec(
        seed=seed,
        age_band=age,
        findings=planted,
        shortcuts=cues,
        stretch=stretch,
        marker_px=float(rng.uniform(22, 60)),
    )
    return replace(spec, **fixed)  # type: ignore[arg-type]


def _draw_age_band(rng: np.random.Generator, child_fraction: float) -> AgeBand:
    if rng.random() < child_fraction:
        return "child"
    return "elderly" if rng.random() < 0.35 else "adult"


def _draw_findings(rng: np.random.Generator, is_ill: bool) -> tuple[str, ...]:
    """One kind of pneumonia or two where the case is ill, and distractors; in the usual order."""
    kinds = list(findings.PNEUMONIA)
    planted = set()
    if is_ill:
        number = 1 + (rng.random() < 0.2)
        planted = {kinds[kind] for kind in rng.choice(3, number, replace=False)}
    for name in ("effusion", "nodule"):
        if rng.random() < 0.12:
            planted.add(name)
    return tuple(name for name in findings.FINDINGS if name in planted)


def _draw_shortcuts(rng: np.random.Generator) -> tuple[str, ...]:
    cues = []
    if rng.random() < 0.8:
        cues.append("marker_r" if rng.random() < 0.6 else "marker_l")
    for name, probability in (("text", 0.2), ("tube", 0.1), ("leads", 0.1)):
        if rng.random() < probability:
            cues.append(name)
    return tuple(cues)


def cohort(cases: int, seed: int, confounders: Sequence[str] = ()) -> list[Spec]:
    """Varied cases; every second one has pneumonia.

    Parameters
    ----------
    cases : how many
    seed : of the cohort
    confounders : names of shortcuts
        Planted in every case with pneumonia and in no other; no other shortcut is then planted. A
        classifier must not learn them.

    Returns
    -------
    list of Spec
    """
    specs = []
    for number in range(cases):
        label = LABELS[number % 2]
        spec = case_spec(1_000_003 * seed + number, label)
        if confounders:
            spec = replace(spec, shortcuts=tuple(confounders) if label == LABELS[1] else ())
        specs.append(spec)
    return specs


def training_pixels(seed: int, label: str, size: int = 224, child_fraction: float = 0.6) -> Floats:
    """Pixels of a varied case, for training a classifier. The cost grows with `size` squared.

    Parameters
    ----------
    seed : of the case
    label : "NORMAL" or "PNEUMONIA"
    size : rows and columns, in 64 .. 3000
    child_fraction : in [0, 1]
        Probability of a child.

    Returns
    -------
    float32 (size, size) in [0, 1], 0 = black as displayed
    """
    return draw(case_spec(seed, label, child_fraction), size, size).pixels


@dataclass(frozen=True, slots=True)
class _Look:
    """What the seed decides beyond the body."""

    exposure: Exposure
    top_mm: float
    bottom_mm: float
    half_width_mm: float
    middle_mm: float


def _stream(spec: Spec, name: str) -> np.random.Generator:
    return np.random.default_rng([spec.seed, *name.encode()])


def _resolve(spec: Spec) -> tuple[Spec, _Look]:
    """Every None decided by the seed."""
    rng = _stream(spec, "spec")
    sex: Sex = "F" if rng.random() < 0.5 else "M"
    quarter = rng.random()
    age: AgeBand = "adult"
    if quarter < 0.25:
        age = "child"
    elif quarter < 0.5:
        age = "elderly"
    decided = {
        "sex": sex,
        "age_band": age,
        "rotation_deg": float(np.clip(rng.normal(0, 2.2), -8, 8)),
        "tilt_deg": float(np.clip(rng.normal(0, 1.3), -5, 5)),
        "inspiration": float(rng.uniform(0.5, 1.0)),
        "exposure": float(np.clip(np.exp(rng.normal(0, 0.5)), 0.2, 4)),
        "collimation": float(rng.uniform(0.0, 0.05) * (rng.random() < 0.35)),
    }
    open_choices = {name: value for name, value in decided.items() if getattr(spec, name) is None}
    spec = replace(spec, **open_choices)  # type: ignore[arg-type]
    is_child = spec.age_band == "child"
    exposure = Exposure(
        quanta=1.5e5 * (spec.exposure or 1.0),
        electronic=6.0,
        scatter=rng.uniform(0.3, 0.7),
        blur_mm=rng.uniform(0.12, 0.28),
        latitude=rng.uniform(0.5, 0.8),
        detail=rng.uniform(0.35, 0.8),
        contrast=rng.uniform(0.75, 1.0),
        brightness=rng.uniform(-0.12, 0.08),
        hardness=rng.uniform(3.2, 4.4),
    )
    look = _Look(
        exposure=exposure,
        top_mm=rng.uniform(-38, 12) if is_child else rng.uniform(-22, 16),
        bottom_mm=rng.uniform(330, 392),
        half_width_mm=rng.uniform(152, 190) if is_child else rng.uniform(166, 208),
        middle_mm=rng.uniform(-8, 8),
    )
    return spec, look


def _field(
    spec: Spec, look: _Look, rows: int, columns: int
) -> tuple[Grid, Floats, tuple[float, float]]:
    """The grid of the anatomy, the map from picture to grid, the picture's spacing in mm of the
    standard adult.
    """
    tall, wide = look.bottom_mm - look.top_mm, 2 * look.half_width_mm
    row_mm = max(tall / rows, wide / (columns * spec.stretch))
    column_mm = row_mm * spec.stretch
    middle = look.middle_mm, look.top_mm + tall / 2
    side = max(rows, columns)
    shrink = min(1.0, max(min(side, 256), min(0.68 * side, 1200)) / side)
    margin = 1.06
    shape = round(margin * rows * shrink), round(margin * columns * shrink)
    steps = row_mm / shrink, column_mm / shrink
    x = middle[0] + (np.arange(shape[1]) - (shape[1] - 1) / 2) * steps[1]
    y = middle[1] + (np.arange(shape[0]) - (shape[0] - 1) / 2) * steps[0]
    grid = Grid(
        np.asarray(x[None], np.float32),
        np.asarray(y[:, None], np.float32),
        np.deg2rad(spec.rotation_deg or 0.0),
        1,
    )
    # picture (column, row) -> mm -> turned -> grid (column, row)
    angle = np.deg2rad(spec.tilt_deg or 0.0)
    turn = np.asarray([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = np.diag([1 / steps[1], 1 / steps[0]]) @ turn @ np.diag([column_mm, row_mm])
    centre = np.asarray([(shape[1] - 1) / 2, (shape[0] - 1) / 2])
    shift = centre - linear @ [(columns - 1) / 2, (rows - 1) / 2]
    return grid, np.column_stack([linear, shift]), (row_mm, column_mm)


def _collimate(rng: np.random.Generator, shown: Floats, share: float) -> tuple[Floats, Mask]:
    """Shutters: black outside a slightly turned rectangle."""
    rows, columns = shown.shape
    if share == 0:
        return shown, np.ones(shown.shape, np.bool_)
    cut = share * rng.uniform(0.2, 1.0, 4)
    skew = rng.uniform(-0.006, 0.006, 4)
    corners = np.asarray(
        [
            (cut[0] + skew[0], cut[1] + skew[1]),
            (1 - cut[2] + skew[2], cut[1] - skew[1]),
            (1 - cut[2] - skew[2], 1 - cut[3] + skew[3]),
            (cut[0] - skew[0], 1 - cut[3] - skew[3]),
        ]
    ) * [columns, rows]
    field_open = np.zeros(shown.shape, np.uint8)
    cv2.fillConvexPoly(field_open, np.round(corners).astype(np.int32), 1)
    dark = np.where(field_open > 0, shown, np.float32(0.01))
    return np.asarray(dark, np.float32), np.asarray(field_open > 0, np.bool_)

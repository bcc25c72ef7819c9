"""What travels between the rooms: frozen dataclasses, checked at birth, arrays read-only.

An invalid record is refused (`ValueError`), never repaired. Arrays are (rows, columns), points
(row, column); suffixes `_mm`, `_px`; `_fraction` is in [0, 1]. What is undefined is None and has a reason.
Records without arrays are also the JSON of the run folder: `to_json` and `from_json` at the end.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import numpy as np
import numpy.typing as npt

from cxr_audit.errors import ConfigError
from cxr_audit.vocabulary import Message, Text

SCHEMA_VERSION = 2
OLDEST_READABLE = 1  # has no checks, trust, masking, flags and events: they read as absent

Floats = npt.NDArray[np.float32]
CaseStatus = Literal["ok", "excluded", "failed"]
MapStatus = Literal["ok", "dead", "negative_only", "saturated", "not_finite"]
Resize = Literal["stretch", "letterbox", "center_crop"]
VoiTransform = Literal["if_present", "lut", "window", "required", "off", "percentile"]
Outcome = Literal["true_positive", "false_positive", "true_negative", "false_negative"]
CheckState = Literal["passed", "failed", "not_run"]
Bound = Literal["estimate", "lower", "upper"]
Fill = Literal["blurred", "mean"]
TrustState = Literal["passed", "caution", "not_interpretable"]
RegionKind = Literal[
    "lungs",
    "lung",
    "zone",
    "mediastinum",
    "outside_body",
    "marker",
    "border",
    "corner",
    "annotation",
    "elsewhere",
]
Mask = npt.NDArray[np.bool_]


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def _read_only(array: Floats, ndim: int, name: str) -> None:
    _require(array.dtype == np.float32, f"{name} must be float32, received {array.dtype}")
    _require(array.ndim == ndim, f"{name} must have {ndim} dimensions, received {array.shape}")
    _require(array.size > 0, f"{name} is empty: {array.shape}")
    array.setflags(write=False)


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """A file in a zip, by its place in the archive's directory."""

    archive: Path
    index: int


@dataclass(frozen=True, slots=True)
class ServerInstance:
    """A SOP instance on a DICOMweb server: the address of its WADO-RS resource, and its UID."""

    url: str
    uid: str


@dataclass(frozen=True, slots=True)
class Box:
    """An annotated rectangle on the upright radiograph: its upper left corner and its size, in pixels."""

    row_px: float
    column_px: float
    height_px: float
    width_px: float

    def __post_init__(self) -> None:
        corner, size = (self.row_px, self.column_px), (self.height_px, self.width_px)
        _require(all(math.isfinite(v) and v >= 0 for v in corner), f"a box begins at {corner}")
        _require(all(math.isfinite(v) and v > 0 for v in size), f"a box of {size} pixels")


@dataclass(frozen=True, slots=True)
class CaseSource:
    """One case as found, before it is read. Everything but `case_id`, `label`, `file_sha256` and `told_hmac` may name a
    person: it goes to the private crosswalk only, never into a report, a record or a log. `told_hmac` stands for all
    that the run is told of the case beside its file, the bytes of its mask too."""

    case_id: str
    location: Path | ZipEntry | ServerInstance
    relative_path: str
    file_sha256: str | None = None
    label: str | None = None
    patient_id: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    split: str | None = None
    boxes: tuple[Box, ...] = ()
    mask: Path | None = None
    told_hmac: str | None = None


@dataclass(frozen=True, slots=True)
class SourceFile:
    """Where the pixels came from. `transfer_syntax` is the DICOM UID's name, None for plain images; `instance_hmac`
    stands for the SOP Instance UID, which names an examination: HMAC-SHA-256 with the key of the case ids."""

    file_sha256: str
    pixel_sha256: str
    format: str
    transfer_syntax: str | None
    decoder: str
    instance_hmac: str | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """One assumption: `what` was decided, `how`, and the section of the standard or the `why`."""

    what: Text
    how: Text
    why: Text = ""


@dataclass(frozen=True, slots=True)
class RadiographFacts:
    """A radiograph without its pixels. `attributes` is the allow-list only; `pixel_spacing_mm` is
    (row, column). `not_understood`: attributes that are present but cannot be read, by keyword, with
    the kind of problem (never the text itself); absent attributes are not listed."""

    rows: int
    columns: int
    source: SourceFile
    pixel_spacing_mm: tuple[float, float] | None = None
    view_position: str | None = None
    patient_orientation: tuple[str, str] | None = None
    attributes: dict[str, str] = field(default_factory=dict)
    decisions: tuple[Decision, ...] = ()
    warnings: tuple[Text, ...] = ()
    not_understood: dict[str, Message] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(
            self.rows > 0 and self.columns > 0, f"a radiograph of {self.rows}x{self.columns} pixels"
        )
        if self.pixel_spacing_mm is not None:
            _require(
                all(s > 0 for s in self.pixel_spacing_mm), f"pixel spacing {self.pixel_spacing_mm}"
            )

    @property
    def image_left(self) -> Literal["right", "left"] | None:
        """Which side of the patient lies at the image's left, None where the file does not say: PS3.3 C.7.6.1.1.1, the
        first value of Patient Orientation is where the rows run to."""
        sides: dict[str, Literal["right", "left"]] = {"L": "right", "R": "left"}
        return sides.get(self.patient_orientation[0][:1]) if self.patient_orientation else None


@dataclass(frozen=True, slots=True)
class Radiograph:
    """`pixels` float32 (rows, columns) in [0, 1], 0 = black as displayed. `sop_instance_uid` names the examination:
    it stays in memory."""

    case_id: str
    pixels: Floats
    facts: RadiographFacts
    sop_instance_uid: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        _read_only(self.pixels, 2, "pixels")
        _require(
            self.pixels.shape == (self.facts.rows, self.facts.columns),
            f"pixels {self.pixels.shape} do not fit the facts {self.facts.rows}x{self.facts.columns}",
        )
        low, high = float(self.pixels.min()), float(self.pixels.max())
        _require(low >= 0 and high <= 1, f"pixels must lie in [0, 1], received [{low}, {high}]")


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the radiograph lies in the model input. With half-pixel centres, for rows (columns alike):

        input = (radiograph + 0.5) * scale + offset - 0.5

    `offset_*` in model-input pixels: positive = padding before, negative = cropped.
    """

    radiograph_rows: int
    radiograph_columns: int
    input_rows: int
    input_columns: int
    scale_rows: float
    scale_columns: float
    offset_rows: int = 0
    offset_columns: int = 0

    def __post_init__(self) -> None:
        sizes = (self.radiograph_rows, self.radiograph_columns, self.input_rows, self.input_columns)
        _require(min(sizes) > 0, f"sizes must be positive, received {sizes}")
        _require(self.scale_rows > 0 and self.scale_columns > 0, "scales must be positive")


TOUCHES = 1e-3  # share of a pixel of the model input from which a part is in it; less is rounding


@dataclass(frozen=True, slots=True)
class ModelInput:
    """`tensor` float32 (rows, columns, channels), in the range that the model was trained on."""

    tensor: Floats
    placement: Placement

    def __post_init__(self) -> None:
        _read_only(self.tensor, 3, "tensor")
        _require(bool(np.isfinite(self.tensor).all()), "the model input is not finite")


@dataclass(frozen=True, slots=True)
class Prediction:
    """`logit` is the explained scalar of `target_class`: z, -z, z1 - z0 or z_c (`scalar` says which, in words).
    `threshold` is None where the highest score decides: with more than two classes."""

    target_class: str
    scalar: Text
    logit: float
    probability: float
    class_scores: dict[str, float]
    threshold: float | None
    threshold_source: Text
    predicted: str
    expected: str | None = None

    def __post_init__(self) -> None:
        _require(math.isfinite(self.logit), f"logit {self.logit} is not finite")
        _require(0 <= self.probability <= 1, f"probability {self.probability} is not in [0, 1]")
        _require(
            self.predicted in self.class_scores, f"predicted class {self.predicted!r} has no score"
        )

    @property
    def is_correct(self) -> bool | None:
        """None where no class is expected."""
        return None if self.expected is None else self.predicted == self.expected


@dataclass(frozen=True, slots=True)
class MapFacts:
    """A class activation map without its values; `key` names the array in `map.npz`.

    `bias` and `gap`: logit = sum of the signed map + bias + gap, for maps in logit units. A bias of None counts as 0:
    the head has none that could be told apart. `is_exact` where the method promises gap = 0 (|gap| <= 1e-4).
    `against`: the explained scalar is the logit of `class_name` minus that of this class.
    `how`: what was assumed or left out on the way; `is_class_blind`: the same map for every class.
    """

    key: str
    method: str
    layer: str
    class_name: str
    status: MapStatus
    grid_rows: int
    grid_columns: int
    bias: float | None = None
    gap: float | None = None
    is_exact: bool = False
    against: str | None = None
    unit: str = "logit"
    how: Text | None = None
    is_class_blind: bool = False


@dataclass(frozen=True, slots=True)
class ClassActivationMap:
    """`values` float32 (grid rows, grid columns): signed, in `facts.unit`, on the layer's own grid."""

    values: Floats
    facts: MapFacts

    def __post_init__(self) -> None:
        _read_only(self.values, 2, "values")
        _require(
            self.values.shape == (self.facts.grid_rows, self.facts.grid_columns),
            "values do not fit the grid",
        )


@dataclass(frozen=True, slots=True)
class RegionFacts:
    """A region without its mask. `found_by` says how, in words; `confidence` in [0, 1], None where it is a
    definition (a ring, a corner); `area_fraction` is its share of the radiograph."""

    name: str
    kind: RegionKind
    found_by: Text
    area_fraction: float
    confidence: float | None = None

    def __post_init__(self) -> None:
        _require(
            0 <= self.area_fraction <= 1, f"area fraction {self.area_fraction} is not in [0, 1]"
        )
        _require(
            self.confidence is None or 0 <= self.confidence <= 1, f"confidence {self.confidence}"
        )


@dataclass(frozen=True, slots=True)
class Region:
    """`mask` bool (rows, columns): a grid that covers the radiograph exactly, at its own or a lower resolution."""

    mask: Mask
    facts: RegionFacts

    def __post_init__(self) -> None:
        _require(
            self.mask.dtype == np.bool_ and self.mask.ndim == 2,
            "a mask is a bool array of two dimensions",
        )
        self.mask.setflags(write=False)

    @classmethod
    def of(
        cls,
        mask: Mask,
        name: str,
        kind: RegionKind,
        found_by: Text,
        confidence: float | None = None,
    ) -> Region:
        """A region with its area measured from its mask."""
        return cls(mask, RegionFacts(name, kind, found_by, float(mask.mean()), confidence))


@dataclass(frozen=True, slots=True)
class FocusMetrics:
    """Where the positive evidence of one map lies. Every None has its reason in `undefined`.

    high_focus_fraction: share of the radiograph at or above `threshold` x the map's maximum
    focus_band: focal (< 0.3), regional (0.3 to 0.7), diffuse (> 0.7) of high_focus_fraction
    centroid_*, peak_*: position in fractions of the radiograph, (0, 0) = its upper left corner
    entropy: Shannon entropy of the map's cells, over its maximum: 0 = one cell, 1 = even
    border_fraction, border_chance: share of the evidence in the outer 5 % ring; the ring's share of the image
    padding_fraction: share of the evidence that fell into padding, outside the radiograph
    gini: Gini index of the map's cells: 0 = even, 1 - 1 / cells = one cell (Hurley and Rickard, arXiv 0811.4706)
    num_components: areas that the contour of high focus encloses, counted as one where they touch
    left_right_balance: evidence in the image's right half minus that in its left half, of both: -1 = all left
    """

    threshold: float
    high_focus_fraction: float | None = None
    focus_band: Literal["focal", "regional", "diffuse"] | None = None
    centroid_row_fraction: float | None = None
    centroid_column_fraction: float | None = None
    peak_row_fraction: float | None = None
    peak_column_fraction: float | None = None
    entropy: float | None = None
    border_fraction: float | None = None
    border_chance: float | None = None
    padding_fraction: float | None = None
    gini: float | None = None
    num_components: int | None = None
    left_right_balance: float | None = None
    undefined: dict[str, Text] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in FOCUS_METRICS:
            value = getattr(self, name)
            _require(
                (value is None) == (name in self.undefined),
                f"{name}: a value or a reason, not both",
            )
            _require(
                value is None or isinstance(value, str) or math.isfinite(value),
                f"{name} is not finite",
            )


FOCUS_METRICS = (
    "high_focus_fraction",
    "focus_band",
    "centroid_row_fraction",
    "centroid_column_fraction",
    "peak_row_fraction",
    "peak_column_fraction",
    "entropy",
    "border_fraction",
    "border_chance",
    "padding_fraction",
    "gini",
    "num_components",
    "left_right_balance",
)


@dataclass(frozen=True, slots=True)
class RegionFocus:
    """How much of one map's positive evidence lies in one region. Every None has its reason in `undefined`.

    relevance_mass_accuracy: share of the positive evidence inside (Arras et al., 2022; energy-based pointing game)
    chance: the region's share of what the model saw of the radiograph, what an even map would score
    enrichment: the ratio of the two
    relevance_rank_accuracy: of as many highest pixels as the region has, the share inside (Arras et al., 2022)
    pointing_game_hit: is the maximum inside, or within half a cell of it
    iou, dice: of the region and the area of high focus
    iou_otsu, dice_otsu: of the region and what lies above Otsu's threshold of the positive part (Otsu, IEEE Trans
        Syst Man Cybern 1979), as Saporta et al., Nature Machine Intelligence 2022, binarise maps
    """

    region: str
    relevance_mass_accuracy: float | None = None
    chance: float | None = None
    enrichment: float | None = None
    relevance_rank_accuracy: float | None = None
    pointing_game_hit: bool | None = None
    iou: float | None = None
    dice: float | None = None
    iou_otsu: float | None = None
    dice_otsu: float | None = None
    undefined: dict[str, Text] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in REGION_METRICS:
            value = getattr(self, name)
            _require(
                (value is None) == (name in self.undefined),
                f"{name}: a value or a reason, not both",
            )
            _require(value is None or math.isfinite(value), f"{name} is not finite")


REGION_METRICS = (
    "relevance_mass_accuracy",
    "chance",
    "enrichment",
    "relevance_rank_accuracy",
    "pointing_game_hit",
    "iou",
    "dice",
    "iou_otsu",
    "dice_otsu",
)


@dataclass(frozen=True, slots=True)
class LogitBudget:
    """The explained logit split by place: `parts`, (name, logits), add up to `logit` within 1e-4 where `is_exact`.
    Else the last part, "not accounted for", is what the map of the key `map` leaves open."""

    map: str
    logit: float
    parts: tuple[tuple[str, float], ...]
    is_exact: bool

    def __post_init__(self) -> None:
        values = [value for _, value in self.parts]
        _require(
            all(math.isfinite(v) for v in (self.logit, *values)),
            f"a part is not finite: {self.parts}",
        )
        gap = abs(self.logit - sum(values))
        _require(gap <= 1e-4 * max(1.0, abs(self.logit)), f"the parts miss the logit by {gap:g}")


@dataclass(frozen=True, slots=True)
class Check:
    """One check of an input or of an explanation: what was done, what was found, the limit in words ("at least 0.5"),
    passed, failed or not run. `reason` says why it is not passed."""

    name: str
    what: Text
    state: CheckState
    value: float | None = None
    limit: Text | None = None
    reason: Text | None = None

    def __post_init__(self) -> None:
        _require(
            (self.state == "passed") == (self.reason is None),
            f"{self.name}: a reason exactly where not passed",
        )
        _require(
            self.value is None or math.isfinite(self.value),
            f"{self.name}: {self.value} is not finite",
        )


@dataclass(frozen=True, slots=True)
class Trust:
    """Whether the explanation itself may be believed, by rule from its checks; each reason in words."""

    state: TrustState
    reasons: tuple[Text, ...]
    checks: tuple[Check, ...]

    def __post_init__(self) -> None:
        _require(
            (self.state == "passed") == (not self.reasons),
            "reasons exactly where the state is not passed",
        )


@dataclass(frozen=True, slots=True)
class Masking:
    """The classifier asked again with a part of the radiograph replaced: `change` is the explained logit then minus
    before. `removed` names what was replaced; `is_bad_news` where a classifier that reads lungs would not do so, None
    where neither is."""

    removed: str
    fill: Fill
    logit: float
    change: float
    is_bad_news: bool | None = None

    def __post_init__(self) -> None:
        _require(
            math.isfinite(self.logit) and math.isfinite(self.change), f"{self.removed}: not finite"
        )


FLAGS = (
    "outside_lungs",
    "marker",
    "border",
    "exposure",
    "diffuse",
    "near_threshold",
    "low_contrast_input",
    "out_of_population",
)
"""What a case can be flagged for, see `cxr_audit.verdict`."""


@dataclass(frozen=True, slots=True)
class Flag:
    """What a reader of this case has to know about it, by rule: a name and the reason in words."""

    name: str
    reason: Text


@dataclass(frozen=True, slots=True)
class CaseRecord:
    """`case.json`: everything of a case but arrays, paths and times. The first map is the one of the numbers;
    `focus` and `region_focus` have one entry a map key; `pictures` maps a role to a file name in the case's folder.

    told_hmac: stands for label, patient, split, boxes, mask and further columns as the run was told them: HMAC-SHA-256
        with the key of the case ids
    quality: the checks of the input
    lungs_missing: why no lungs were found; None where they were or were not looked for
    markers_missing: why markers were not looked for; None where they were
    annotation_missing: why the boxes or the mask of the manifest cannot be used; None where they are or there are none
    controls: region -> control -> its relevance mass accuracy there, on the grid of the target layer; a control that
        is zero everywhere has none
    exposure: the change of the explained logit where the radiograph is made "darker" and "brighter"
    as_usual: the same where a marker, by name, or the "border" is replaced by the mean of a sample of the run's
        radiographs (`usual.npz`); empty where the sample is too small
    masking_missing: the reason for each part that could not be replaced, by name; empty, as `masking` is, where the
        case was not asked again
    flags_undefined: which flags could not be judged, and why
    scales: the upper end of a map's colours where that is the map's own and not the run's
    faint: keys of the maps that stay below a quarter of their colours: they are drawn without a contour
    """

    case_id: str
    status: CaseStatus
    reason: Text | None = None
    error: str | None = None
    hint: Text | None = None
    label: str | None = None
    file_sha256: str | None = None
    told_hmac: str | None = None
    radiograph: RadiographFacts | None = None
    placement: Placement | None = None
    preprocessing: tuple[Decision, ...] = ()
    quality: tuple[Check, ...] = ()
    prediction: Prediction | None = None
    maps: tuple[MapFacts, ...] = ()
    focus: dict[str, FocusMetrics] = field(default_factory=dict)
    regions: tuple[RegionFacts, ...] = ()
    lungs_missing: Text | None = None
    markers_missing: Text | None = None
    annotation_missing: Text | None = None
    region_focus: dict[str, tuple[RegionFocus, ...]] = field(default_factory=dict)
    controls: dict[str, dict[str, float]] = field(default_factory=dict)
    budget: LogitBudget | None = None
    masking: tuple[Masking, ...] = ()
    exposure: dict[str, float] = field(default_factory=dict)
    as_usual: dict[str, float] = field(default_factory=dict)
    masking_missing: dict[str, Text] = field(default_factory=dict)
    trust: Trust | None = None
    flags: tuple[Flag, ...] = ()
    flags_undefined: dict[str, Text] = field(default_factory=dict)
    pictures: dict[str, str] = field(default_factory=dict)
    scales: dict[str, float] = field(default_factory=dict)
    faint: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        _require(
            (self.status == "ok") == (self.reason is None),
            "a reason exactly where the status is not ok",
        )
        _require(
            self.status != "ok" or self.prediction is not None, "an audited case has a prediction"
        )

    @property
    def outcome(self) -> Outcome | None:
        """Of the target class against all others; None where the case was not audited or no label names a class."""
        one = self.prediction
        if self.status != "ok" or one is None or self.label not in one.class_scores:
            return None
        if one.predicted == one.target_class:
            return "true_positive" if self.label == one.target_class else "false_positive"
        return "false_negative" if self.label == one.target_class else "true_negative"


@dataclass(frozen=True, slots=True)
class Estimate:
    """One figure of a run with its 95 % interval, over `num_cases` of `num_patients`. `reason` says why the value,
    or only its interval, is None."""

    value: float | None
    num_cases: int
    num_patients: int
    interval_95: tuple[float, float] | None = None
    reason: Text | None = None

    def __post_init__(self) -> None:
        numbers = [
            number for number in (self.value, *(self.interval_95 or ())) if number is not None
        ]
        _require(all(math.isfinite(number) for number in numbers), f"{numbers} are not finite")
        _require(
            (self.interval_95 is None) == (self.reason is not None),
            "an interval or a reason, not both",
        )
        _require(self.value is not None or self.interval_95 is None, "an interval without a value")


PERFORMANCE_METRICS = ("auc", "sensitivity", "specificity", "ppv", "npv", "brier", "ece")
"""Of a whole run or subgroup, see `cxr_audit.cohort.performance`."""

REGIONS_OF_CASES = ("lungs", "annotation")
"""Kinds of which a case has one region at most: its metrics are numbers of the case."""

MASKING_NUMBERS = {
    "masking_lungs_change": "lungs",
    "masking_all_but_lungs_change": "all but the lungs",
    "masking_marker_change": "marker",
    "masking_border_change": "border",
}
"""Change of the explained logit with a part blurred, by that part; of several markers the one that changes it most."""

DEPENDENCE = ("marker_dependence", "border_dependence", "exposure_dependence")
"""Does a whole run depend on it, see `cxr_audit.cohort.dependence`."""

MODEL_CHECKS = ("randomisation", "deletion", "insertion", "road", *DEPENDENCE)
"""Once a model: of the explanation, see `cxr_audit.trust`, and what it depends on; as criteria name them."""

CASE_NUMBERS = (
    *(name for name in FOCUS_METRICS if name != "focus_band"),
    *(
        f"{kind}_{name}"
        for kind in REGIONS_OF_CASES
        for name in REGION_METRICS
        if name != "pointing_game_hit"
    ),
    *MASKING_NUMBERS,
)
CASE_FLAGS = (
    *(f"{kind}_pointing_game_hit" for kind in REGIONS_OF_CASES),
    *(f"flag_{name}" for name in FLAGS),
    "trust_passed",
    "failed",
    "excluded",
)
"""Of one case (its first map): numbers and what is true or false, named as criteria and `cases.csv` name them."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The cases whose output for the target class lies in [low, high), the last bin with 1: its mean, and the share
    of positives."""

    low: float
    high: float
    mean_probability: float | None
    observed: Estimate


@dataclass(frozen=True, slots=True)
class Subgroup:
    """The labelled, audited cases with one value of a column."""

    value: str
    num_positive: int
    num_negative: int
    metrics: dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class SubgroupColumn:
    """A run split by one column. Values with fewer cases than the config's minimum are counted, never named;
    `num_missing` labelled, audited cases have no value; `reason` where no group can be shown."""

    column: str
    groups: tuple[Subgroup, ...]
    num_missing: int = 0
    num_suppressed_values: int = 0
    num_suppressed_cases: int = 0
    reason: Text | None = None


@dataclass(frozen=True, slots=True)
class WrongCase:
    """A false positive or negative with the metrics of its first map; None where they are undefined."""

    case_id: str
    label: str
    predicted: str
    probability: float
    metrics: dict[str, float | bool | str | None]


@dataclass(frozen=True, slots=True)
class Distribution:
    """One metric over the audited cases of one outcome; "no_label" where there is none. `undefined` counts cases by
    reason. Numbers have `quantiles` (at `QUANTILES`), words and yes/no have `counts` by value."""

    metric: str
    outcome: str
    num_cases: int
    undefined: dict[str, int] = field(default_factory=dict)
    quantiles: tuple[float, ...] | None = None
    counts: dict[str, int] | None = None


QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True, slots=True)
class CriterionResult:
    """One acceptance criterion with what was found. `undefined` counts cases by reason: they count against the
    criterion. `reason` says why it could not be evaluated, and is then not met.

    criterion, limit: in words: what is asked for, and what it has to be ("at least 0.8", "passed"); an older record
        has both in `criterion`
    metric: as the config names it
    limit_value: the number of `limit`; None for a check of the model, which has its own
    bound: what of `found` is compared with it: the estimate, or an end of its interval
    """

    criterion: Text
    is_met: bool
    found: Estimate
    undefined: dict[str, int] = field(default_factory=dict)
    reason: Text | None = None
    metric: str | None = None
    limit: Text | None = None
    limit_value: float | None = None
    bound: Bound = "estimate"

    def __post_init__(self) -> None:
        _require(self.reason is None or not self.is_met, "what could not be evaluated is not met")

    @property
    def in_words(self) -> str:
        """For example "AUC at least 0.9"."""
        return f"{self.criterion} {self.limit or ''}".rstrip()


@dataclass(frozen=True, slots=True)
class CohortRecord:
    """`cohort.json`: what a run says about the classifier. With more than two classes the target class stands
    against all others. Excluded, failed and unlabelled cases are in `statuses` and `unlabelled` and in no metric.

    patients, prevalence_source, method: in words: who was resampled, which prevalence, how intervals were made
    num_cases_of_known_patients: each other case counts as a patient of its own; None in an older record
    ece_if_calibrated: what the ECE of a calibrated classifier stays below in 97.5 % of such runs
    false_positives, false_negatives: the most wrong first
    hit_rates: share of the audited cases whose map's maximum lies in the lungs, and in what a manifest annotates, of
        those that have it (Saporta et al., Nature Machine Intelligence 2022); an undefined one is no hit
    dependence: whether the answers depend on markers, the border or the exposure over the run; failed = they do
    """

    target_class: str | None
    statuses: dict[CaseStatus, int]
    unlabelled: dict[str, int]
    num_patients: int
    patients: Text
    outcomes: dict[str, int]
    prevalence: float | None
    prevalence_source: Text
    method: Text
    metrics: dict[str, Estimate]
    ece_if_calibrated: float | None
    reliability: tuple[ReliabilityBin, ...]
    subgroups: tuple[SubgroupColumn, ...]
    false_positives: tuple[WrongCase, ...]
    false_negatives: tuple[WrongCase, ...]
    distributions: tuple[Distribution, ...]
    acceptance: tuple[CriterionResult, ...] = ()
    hit_rates: dict[str, Estimate] = field(default_factory=dict)
    dependence: tuple[Check, ...] = ()
    num_cases_of_known_patients: int | None = None
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure of a model card: what, on which data, of how many cases; the interval from resampled patients."""

    what: str
    data: str
    value: float
    num_cases: int
    interval_95: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class OutputBin:
    """The validation cases whose output lies in [low, high), the last bin with 1: how many there are, and how many of
    these have the label, with the score interval of their share (Wilson, 1927)."""

    low: float
    high: float
    num_cases: int
    num_labelled: int
    interval_95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Validation:
    """How often the cases of `data` had the label `class_name`, by the classifier's output for that class."""

    data: str
    class_name: str
    bins: tuple[OutputBin, ...]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model is for, what it was made from and measured at, and where it ends (Mitchell et al., Model Cards
    for Model Reporting, FAT* 2019). Bound to its weights by `sha256`; so is the threshold.

    age_years, views: the population again, to compare with: first and last year of age, both within; view positions
    data_sha256, num_cases: of each part of the data by name
    threshold, threshold_source, temperature, class_names: of a classifier only; the logits of `weights` are
        divided by `temperature` already
    """

    name: str
    weights: str
    sha256: str
    parameters: int
    input: str
    intended_use: str
    population: str
    limits: tuple[str, ...]
    data: str | None = None
    data_licence: str | None = None
    data_sha256: dict[str, str] = field(default_factory=dict)
    num_cases: dict[str, int] = field(default_factory=dict)
    measured: tuple[Measured, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    threshold: float | None = None
    threshold_source: str | None = None
    temperature: float | None = None
    age_years: tuple[int, int] | None = None
    views: tuple[str, ...] = ()
    validation: Validation | None = None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What was audited. `grid` is the target layer's (rows, columns); `head` says how the logit is read from it;
    `labels` are what a case may be: the classes, and "not" the target where several may hold at once."""

    name: str
    sha256: str
    parameters: int
    input_shape: tuple[int, int, int]
    output_activation: str
    class_names: tuple[str, ...]
    target_layer: str
    grid: tuple[int, int]
    head: Text
    is_exact: bool
    is_deterministic: bool | None = None
    labels: tuple[str, ...] = ()
    card: ModelCard | None = None


@dataclass(frozen=True, slots=True)
class CascadeStage:
    """How alike the maps still are to the classifier's own once `num_layers`, from the head to `layer`, have untrained
    weights: means over the sample, in [-1, 1]."""

    layer: str
    num_layers: int
    spearman: float
    ssim: float


@dataclass(frozen=True, slots=True)
class RunRecord:
    """`run.json`. Times are UTC, ISO 8601; `scale` is the upper end of the run's colour scale in log-odds a cell,
    for the first map of each case; `scales` has one for each `method@layer` drawn. `checks` are those of the
    explanation that are made once a model, `cascade` the stages of the one that takes its weights away; scales and
    checks are from a sample of the `calibrated_cases` that the run then had. `wall_s` is
    what the composer waited for, `cpu_s` what the stages used in all processes. `usual_sha256` is that of `usual.npz`,
    the mean model input of that sample, None where it is too small; `logit_spread` is the standard deviation of the
    explained logit over it. Runs with the same `case_id_key`, a fingerprint, name the same file by the same case id.
    `num_found` is how many radiographs there were to choose from, where `--limit` asked for fewer."""

    name: str
    status: Literal["running", "finished"]
    started: str
    config: dict[str, Any]
    config_sha256: str
    seed: int
    model: ModelFacts
    num_cases: int
    versions: dict[str, str]
    engine: dict[str, Any]
    scale: float | None = None
    scale_source: Text | None = None
    scales: dict[str, float] = field(default_factory=dict)
    calibrated_cases: int | None = None
    checks: tuple[Check, ...] = ()
    cascade: tuple[CascadeStage, ...] = ()
    finished: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    wall_s: dict[str, float] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)
    peak_memory_mib: dict[str, float] = field(default_factory=dict)
    crosswalk_sha256: str | None = None
    segmenter_sha256: str | None = None
    usual_sha256: str | None = None
    logit_spread: float | None = None
    case_id_key: str | None = None
    num_found: int | None = None
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One of two runs that are compared: its name, and what its folder was sealed with."""

    name: str
    started: str
    num_cases: int
    model: str
    model_sha256: str
    config_sha256: str
    sha256sums_sha256: str


@dataclass(frozen=True, slots=True)
class Difference:
    """What two runs were made with differently: `part` is config, model or software; None where a run has no such
    key."""

    part: Literal["config", "model", "software"]
    name: str
    a: Any
    b: Any


@dataclass(frozen=True, slots=True)
class PairedMetric:
    """One figure over the cases that have it in both runs: in A, in B, and the `change` B minus A. `num_only_a` and
    `num_only_b` cases have it in one run only."""

    metric: str
    a: float | None
    b: float | None
    change: Estimate
    num_only_a: int = 0
    num_only_b: int = 0


@dataclass(frozen=True, slots=True)
class Transition:
    """How many cases were `a` in run A and are `b` in run B."""

    a: str
    b: str
    num_cases: int


@dataclass(frozen=True, slots=True)
class ChangedCase:
    """A case whose status, class, flags or trust differ, or whose score changed most: the value in A and in B."""

    case_id: str
    case_id_b: str
    label: str | None
    status: tuple[CaseStatus, CaseStatus]
    predicted: tuple[str | None, str | None]
    probability: tuple[float | None, float | None]
    trust: tuple[TrustState | None, TrustState | None]
    flags_gone: tuple[str, ...]
    flags_new: tuple[str, ...]

    @property
    def is_another_class(self) -> bool:
        return self.predicted[0] != self.predicted[1] and None not in self.predicted


@dataclass(frozen=True, slots=True)
class Comparison:
    """`compare.json`: what changed from run A to run B, over the cases that both have.

    matched_by, patients, method: in words
    num_other_bytes: matched cases whose files differ
    only_a, only_b: ids of cases that the other run has not
    another_class: share of the cases audited in both that changed class
    num_wrong_then_right, num_right_then_wrong, p_value: labelled cases; exact test of McNemar (Psychometrika 12, 1947)
    flags: by name, cases that have it in A only, in both, in B only
    checks: those of the explanation that are made once a model, by name: their state in A and in B
    scores: (probability in A, in B) of each case audited in both, in the order of A
    """

    a: ComparedRun
    b: ComparedRun
    target_class: str
    thresholds: tuple[float | None, float | None]
    matched_by: Text
    num_matched: int
    num_other_bytes: int
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    patients: Text
    method: Text
    differences: tuple[Difference, ...]
    statuses: tuple[Transition, ...]
    classes: tuple[Transition, ...]
    another_class: Estimate
    num_labelled: int
    num_wrong_then_right: int
    num_right_then_wrong: int
    p_value: float | None
    performance: tuple[PairedMetric, ...]
    metrics: tuple[PairedMetric, ...]
    flags: dict[str, tuple[int, int, int]]
    trust: tuple[Transition, ...]
    checks: dict[str, tuple[CheckState | None, CheckState | None]]
    changed: tuple[ChangedCase, ...]
    scores: tuple[tuple[float, float], ...]
    schema_version: int = SCHEMA_VERSION


Record = TypeVar("Record")


def to_json(record: Any) -> bytes:
    """A record as indented UTF-8 JSON with a final newline; the same record gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(record, order="deterministic"), indent=2) + b"\n"


@dataclass(frozen=True, slots=True)
class _Versioned:
    schema_version: int = SCHEMA_VERSION


def from_json(data: bytes, kind: type[Record]) -> Record:
    """The record back, with the schema version that it was written in.

    Raises `ValueError` naming the field where the JSON is not one of these records, `ConfigError` where its schema
    version is one that is not read here.
    """
    try:
        version = msgspec.json.decode(data, type=_Versioned).schema_version
        if OLDEST_READABLE <= version <= SCHEMA_VERSION:
            return msgspec.json.decode(data, type=kind)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a {kind.__name__}: {error}") from error
    age = "newer" if version > SCHEMA_VERSION else "older"
    raise ConfigError(
        f"a {kind.__name__} of schema version {version} is {age} than what is read here: "
        f"{OLDEST_READABLE} to {SCHEMA_VERSION}",
        "use the cxr-audit that wrote it: run.json names it under versions",
    )

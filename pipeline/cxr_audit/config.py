"""An audit config: YAML -> one frozen, validated object.

One section a room, one level deep. Unknown keys are refused with the nearest known one, and all problems
are reported at once with file, line and key. Relative paths are relative to the config's folder.
The only room that knows pydantic and YAML.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    FiniteFloat,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_after_validator_function

from cxr_audit.errors import ConfigError
from cxr_audit.records import Bound, Outcome, Resize, VoiTransform
from cxr_audit.vocabulary import METHODS, QUALITY_CHECKS, RUN_METRICS, Registry, load_plugins
from cxr_audit.vocabulary.checks import Action, criteria_of_model
from cxr_audit.vocabulary.names import case_yes_or_no, criteria
from cxr_audit.vocabulary.presets import (
    PRESETS,
    Interpolation,
    Preset,
    PresetName,
    Rounding,
    unsupported,
)

REFERENCE = "reference"
# Where and how a run is made, not what is asked of it.
PLACES = ("run.output", "run.name", "engine.name", "engine.workers", "privacy.key_file")


def _printable(text: str) -> str:
    """What is printed must show itself: no control character, and none that turns the direction of what follows."""
    if text.isspace() or not text.isprintable():
        raise ValueError("holds nothing but spaces, or a character that cannot be printed")
    return text


Name = Annotated[str, Field(min_length=1, max_length=100), AfterValidator(_printable)]
Origin = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_printable)]
Words = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_printable)]
# In YAML a class may be written as a number or a yes/no word; it is a name all the same.
ClassName = Annotated[Name, BeforeValidator(lambda v: str(v) if isinstance(v, int | float) else v)]


class Known:
    """A name of a table of the vocabulary, also of a row that another package has added.

    Parameters
    ----------
    table : where it must have a row.
    """

    def __init__(self, table: Registry[Any]) -> None:
        self._table = table

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return no_info_after_validator_function(self._known, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "enum": list(self._table.keys())}

    def _known(self, name: str) -> str:
        return str(self._table[name].key)


class CriterionName:
    """The JSON Schema of a metric that a criterion can name."""

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return {**handler(schema), "enum": list(criteria())}


Method = Annotated[str, Known(METHODS)]
QualityCheck = Annotated[str, Known(QUALITY_CHECKS)]


def _by_default(action: Action) -> tuple[str, ...]:
    return tuple(check.key for check in QUALITY_CHECKS if check.action == action)


Share = Annotated[float, Field(ge=0, le=1)]
Percentile = Annotated[float, Field(ge=0, le=100)]
Year = Annotated[int, Field(ge=0, le=150)]
Count = Annotated[int, Field(ge=0)]
ViewPosition = Literal["PA", "AP", "LL", "RL", "RLD", "LLD", "RLO", "LLO", "LAT", "LATERAL"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class Run(_Section):
    """Where the run lands: `<output>/<name>/`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = Field(
        description="name of the run and of its folder: letters, digits, dot, dash, underscore"
    )
    output: Path = Field(Path("reports"), description="folder for runs, relative to this config")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(0, description="seed of everything random")


class Ingest(_Section):
    """Which radiographs, and where their labels come from."""

    source: Annotated[str, Field(min_length=1, max_length=4096)] = Field(
        description="a folder, a glob, one file, a manifest (.csv, .parquet), a .zip, a DICOMDIR, a DICOMweb server "
        "(dicomweb+https://HOST/PATH?Modality=DX), or the word reference (radiographs that ship)"
    )
    labels: Name = Field(
        "none", description="none | folder (the parent folder's name) | a manifest column"
    )
    split: Name | None = Field(
        None, description="only the rows of a manifest whose column split says so"
    )
    manifest: Path | None = Field(
        None,
        description="of a DICOMweb server: a .csv or .parquet whose column SOPInstanceUID says which of the "
        "radiographs found are audited, with a column for the labels, split and the rest",
    )
    voi_transform: VoiTransform = Field(
        "if_present",
        description="DICOM grey values: if_present (VOI LUT, else window, else own range) | lut, window, required "
        "(either), or the file is refused | off (own range) | percentile (own range without its ends)",
    )
    window: Annotated[int, Field(ge=1)] | Name = Field(
        1, description="which of several DICOM windows: its number from 1 on, or its explanation"
    )
    frame: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description="which frame of a multi-frame DICOM file, from 1 on; empty = such files are refused",
    )
    max_pixels: Annotated[int, Field(ge=1, le=1_000_000_000)] = Field(
        64_000_000,
        description="the largest radiograph that is read; checked before memory is taken",
    )
    unreadable_values: Literal["warn", "refuse"] = Field(
        "warn",
        description="header values that are present but cannot be read: warn (what needs them is "
        "not assessed) | refuse (the file has failed)",
    )
    damaged_pixels: Literal["refuse", "warn"] = Field(
        "refuse",
        description="pixels that a decoder calls damaged, and fills in: refuse (the file has "
        "failed) | warn",
    )


class Privacy(_Section):
    """What keeps patients unknown."""

    key_file: Path | None = Field(
        None,
        description="the secret of the case ids, at least 16 bytes; else CXR_AUDIT_CASE_ID_KEY, else a key made once "
        "in <run.output>/.case-id-key. The same key gives the same ids",
    )


class Quality(_Section):
    """Whether a radiograph is fit to be audited. One beyond a limit is audited with a caution, unless listed here."""

    exclude: tuple[QualityCheck, ...] = Field(
        default_factory=lambda: _by_default("exclude"),
        description="a radiograph that fails one of these checks is excluded",
    )
    fail: tuple[QualityCheck, ...] = Field(
        default_factory=lambda: _by_default("fail"),
        description="a radiograph that fails one of these checks is recorded as failed",
    )
    blank_range: Share = Field(
        0.02, description="blank: least span of the grey values, of the full range"
    )
    contrast_range: Share = Field(
        0.15,
        description="contrast: least span of the grey values inside the exposed field, without 5 % at either end",
    )
    clipped_fraction: Share = Field(
        0.05,
        description="clipping: largest share of the picture's middle that is wholly black or white",
    )
    collimated_fraction: Share = Field(
        0.3, description="collimation: largest share of the picture that an even frame takes"
    )
    rotation_deg: Annotated[float, Field(ge=0, le=180)] = Field(
        25, description="rotation: largest angle of the line between the two lungs, in degrees"
    )
    cropped_fraction: Share = Field(
        0.25, description="crop: largest share of one edge of the picture that lies in lung"
    )
    lungs_fraction: Share = Field(
        0.07,
        description="not_a_chest: least share of the picture that looks like lung, where no two lungs are found",
    )
    views: tuple[ViewPosition, ...] = Field(
        (), description="view: those in scope; empty = the model card's, else PA and AP"
    )
    age_years: tuple[Year, Year] | None = Field(
        None,
        description="age: first and last year in scope, for example [18, 89]; empty = the model card's",
    )

    @model_validator(mode="after")
    def _one_action(self) -> Quality:
        if both := sorted(set(self.exclude) & set(self.fail)):
            raise ValueError(f"{both[0]} stands under exclude and under fail: choose one")
        if self.age_years is not None and self.age_years[0] > self.age_years[1]:
            raise ValueError(f"age_years ends before it begins: {list(self.age_years)}")
        return self


class Preprocess(_Section):
    """Radiograph -> model input. Must be what the classifier was trained with."""

    rows: Annotated[int, Field(ge=1, le=4096)] = Field(
        224, description="height of the model input in pixels"
    )
    columns: Annotated[int, Field(ge=1, le=4096)] = Field(
        224, description="width of the model input in pixels"
    )
    channels: Literal[1, 3] = Field(3, description="1 (grey) or 3 (the grey value three times)")
    resize: Resize = Field(
        "stretch",
        description="stretch (aspect changes) | letterbox (resized, then padded) | center_crop "
        "(resized, then cut) | pad_resize (padded, then resized) | crop_resize (cut, then resized)",
    )
    preset: PresetName | None = Field(
        None,
        description="resize and round as this pipeline does: keras-generator | "
        "keras-image-dataset | tf-image | pil | opencv | torchvision | torchxrayvision | monai; "
        "empty = an area average without rounding",
    )
    interpolation: Interpolation | None = Field(
        None,
        description="nearest | bilinear | bicubic | area | lanczos; empty = the preset's default",
    )
    antialias: bool | None = Field(
        None, description="filter before pixels are left out; empty = the preset's default"
    )
    rounding: Rounding | None = Field(
        None,
        description="grey values rounded to 8 bits: none | before (resizing) | after | both; "
        "empty = as the preset",
    )
    short_side: Annotated[int, Field(ge=1, le=8192)] | None = Field(
        None,
        description="of center_crop: the shorter side in pixels after resizing, before cutting, "
        "for example 256; empty = as little as covers the input",
    )
    pad_value: Annotated[float, Field(ge=0, le=255)] = Field(
        0, description="grey value of the padding, of 255: 0 = black"
    )
    scaling: Literal["unit", "minus_one_one", "imagenet", "caffe", "raw_255", "txv"] | None = Field(
        None,
        description="unit [0, 1] | minus_one_one [-1, 1] | imagenet (mean and deviation, RGB) | caffe (BGR minus "
        "mean, 0-255) | raw_255 [0, 255] | txv [-1024, 1024]; or give scale and offset instead",
    )
    scaling_source: Origin | None = Field(
        None,
        description="where the value range is known from, or that it is a guess; printed in every report",
    )
    scale: float | None = Field(
        None, description="explicit: input = pixel * scale + offset, pixel in [0, 1]"
    )
    offset: float | None = Field(None, description="explicit: see scale")
    clahe: Annotated[float, Field(gt=0, le=40)] | None = Field(
        None,
        description="clip limit of contrast-limited adaptive histogram equalisation; empty = off",
    )
    clahe_tiles: Annotated[int, Field(ge=1, le=64)] = Field(
        8, description="tiles of it along each side"
    )
    equalise: Literal["opencv", "pil", "skimage"] | None = Field(
        None, description="histogram equalisation as this library computes it; empty = off"
    )
    percentiles: tuple[Percentile, Percentile] | None = Field(
        None, description="these two of each image become black and white, for example [1, 99]"
    )
    min_max: bool = Field(False, description="spread each image from black to white")
    gamma: Annotated[float, Field(gt=0, le=10)] | None = Field(
        None, description="grey values in [0, 1] to this power; empty = off"
    )
    contrast_at: Literal["before", "after"] = Field(
        "before",
        description="percentiles, min_max, equalise, clahe and gamma, in this order: before or "
        "after resizing",
    )
    standardise: Literal["tensorflow", "keras", "plain"] | None = Field(
        None,
        description="each image minus its mean, over its standard deviation: tensorflow "
        "(per_image_standardization) | keras (samplewise_*) | plain; with scaling: unit",
    )

    @model_validator(mode="before")
    @classmethod
    def _with_the_resize_of_its_preset(cls, given: Any) -> Any:
        if not isinstance(given, dict) or given.get("resize") is not None:
            return given
        rows: Mapping[Any, Preset] = PRESETS
        row = rows.get(given.get("preset"))
        return given if row is None else {**given, "resize": row.resize}

    @model_validator(mode="after")
    def _fits_its_preset(self) -> Preprocess:
        if why := unsupported(self.preset, self.interpolation, self.antialias):
            raise ValueError(why)
        if self.short_side is not None and self.resize != "center_crop":
            raise ValueError(f"short_side needs resize: center_crop, but resize is {self.resize}")
        if self.percentiles is not None and self.percentiles[0] >= self.percentiles[1]:
            raise ValueError(f"percentiles must ascend: {list(self.percentiles)}")
        if self.standardise is not None and self.scaling not in (None, "unit"):
            raise ValueError(
                f"standardise is followed by scaling: unit, or scale and offset, not {self.scaling}"
            )
        return self

    @model_validator(mode="after")
    def _one_scaling(self) -> Preprocess:
        explicit = (self.scale is not None, self.offset is not None)
        if (self.scaling is not None) == any(explicit) or any(explicit) != all(explicit):
            raise ValueError("give either scaling, or both scale and offset")
        if self.scaling in ("imagenet", "caffe") and self.channels == 1:
            raise ValueError(
                f"scaling {self.scaling} has a mean for each of 3 channels, but channels is 1"
            )
        return self


class Validation(_Section):
    """How often validation cases had the target class's label, by the classifier's output: page 1 says it of each case.

    `cohort.json` of a run over these cases has such bins under `reliability`: of its `num_cases`, the share `value`.
    """

    data: Name = Field(description="which cases, in a few words")
    bins: Annotated[tuple[tuple[Share, Share, Count, Count], ...], Field(min_length=1)] = Field(
        description="each [from, to, cases with an output from here to below there, how many of these have the label]"
    )

    @field_validator("bins")
    @classmethod
    def _count(
        cls, bins: tuple[tuple[float, float, int, int], ...]
    ) -> tuple[tuple[float, float, int, int], ...]:
        end = 0.0
        for low, high, cases, labelled in bins:
            if any(edge != round(edge, 2) for edge in (low, high)):
                raise ValueError(
                    f"{[low, high]}: what is printed has two decimals, and so have the ends of bins"
                )
            if not end <= low < high or labelled > cases:
                bad = [low, high, cases, labelled]
                raise ValueError(
                    f"{bad}: bins ascend, and no more cases have the label than there are"
                )
            end = high
        return bins


class Card(_Section):
    """What its developer says of the classifier, printed in quotation marks in the case PDFs and the run report."""

    intended_use: Words = Field(description="what it is for, for whom")
    population: Words = Field(description="whose radiographs it was made for")
    limits: tuple[Words, ...] = Field(
        (), description="what it cannot tell; page 1 has the first four"
    )
    data: Words | None = Field(None, description="what it was trained on")
    data_licence: Words | None = Field(None, description="the licence of that")
    validation: Validation | None = Field(
        None, description="what its output meant in validation cases"
    )


class Classifier(_Section):
    """The Keras model under audit."""

    path: Name = Field(
        description="a .keras or .h5 file, or the word reference (the classifier that ships)"
    )
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = Field(
        None,
        description="SHA-256 of the file; another file is refused. `cxr-audit inspect` prints it",
    )
    class_names: tuple[ClassName, ...] = Field(
        (),
        description="one name an output unit, in order; two for one sigmoid unit: [negative, positive]",
    )
    target_class: ClassName | None = Field(
        None, description="the class to explain; default: the last of class_names"
    )
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="probability from which the target class is predicted (one or two classes); default 0.5",
    )
    threshold_source: Origin | None = Field(
        None, description="where the threshold comes from; printed in every report"
    )
    output: Literal["logits", "probabilities", "softmax", "sigmoid", "multi_label"] | None = Field(
        None,
        description="what the outputs are, where the last layer does not say: logits | probabilities | "
        "softmax | sigmoid | multi_label (the last three: logits of that); default: read from the model",
    )
    reference_outputs: Path | None = Field(
        None,
        description="a .csv with the outputs of the pipeline in production: a column path (or case) "
        "and one for each class, with probabilities; the run is refused if they differ",
    )
    tolerance: Annotated[float, Field(gt=0, le=1)] = Field(
        0.01, description="largest difference to reference_outputs that is the same pipeline"
    )
    card: Card | None = Field(
        None,
        description="its model card: {intended_use: ..., population: ..., limits: [...], data: ..., data_licence: ..., "
        "validation: {data: ..., bins: [[from, to, cases, of these with the label], ...]}}; reference has its own",
    )

    # Checked key by key, so that a mistake elsewhere in the section does not hide these.
    @field_validator("class_names")
    @classmethod
    def _are_unique(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) != len(names):
            raise ValueError("a name stands here twice")
        return names

    @field_validator("target_class")
    @classmethod
    def _is_a_class(cls, name: str | None, info: ValidationInfo) -> str | None:
        names = info.data.get("class_names")
        if name is not None and names and name not in names:
            raise ValueError(f"{name!r} is none of class_names{_perhaps(name, names)}")
        return name


class Explain(_Section):
    """Which class activation maps."""

    methods: tuple[Method, ...] = Field(
        (),
        description="the first gives the numbers; empty = grad-cam for global average pooling and "
        "one dense layer, else hirescam, grad-cam",
    )
    target_layer: Name = Field(
        "auto", description="auto = the last layer with a grid; `cxr-audit inspect` lists them"
    )
    layers: tuple[Name, ...] = Field(
        (), description="further layers, drawn side by side, shallow to deep"
    )
    classes: tuple[ClassName, ...] = Field((), description="further classes, drawn side by side")
    against: tuple[ClassName, ...] = Field(
        (),
        description="classes to contrast with the target (more than two classes): its logit minus theirs",
    )
    baseline: Literal["black", "blurred", "mean"] = Field(
        "black",
        description="the input without evidence, for integrated-gradients and score-cam: black | blurred | mean",
    )
    steps: Annotated[int, Field(ge=1, le=1024)] = Field(
        32, description="path steps of integrated-gradients, noisy copies of smoothgrad"
    )
    score_cam_channels: Annotated[int, Field(ge=1)] | None = Field(
        None, description="score-cam asks this many channels, those that vary most; empty = all"
    )

    @model_validator(mode="after")
    def _fused_from_layers(self) -> Explain:
        if "layercam-fused" in self.methods and not self.layers:
            raise ValueError("the method layercam-fused needs further layers: set explain.layers")
        return self

    @field_validator("methods")
    @classmethod
    def _each_once(cls, methods: tuple[Method, ...]) -> tuple[Method, ...]:
        if len(set(methods)) != len(methods):
            raise ValueError("a method stands here twice")
        return methods


class Trust(_Section):
    """Whether an explanation may itself be believed: the checks and their limits."""

    sample: Annotated[int, Field(ge=1, le=256)] = Field(
        32,
        description="radiographs, spread over the run, for checks once a model and for the colour scale",
    )
    randomisation: bool = Field(
        True, description="does the map depend on the trained weights; once a model"
    )
    faithfulness: Literal["all", "sample", "none"] = Field(
        "sample",
        description="deletion, insertion, ROAD: sample = once a model | all = of each case as well | none",
    )
    stability: Literal["all", "sample", "none"] = Field(
        "all",
        description="small changes of the input: all = of each case | sample = once a model | none",
    )
    gain: FiniteFloat = Field(
        0.0, description="log-odds that a map has to win over chance in deletion, insertion, ROAD"
    )
    stability_mean: Annotated[float, Field(ge=-1, le=1)] = Field(
        0.9, description="lowest mean rank correlation under small changes"
    )
    stability_worst: Annotated[float, Field(ge=-1, le=1)] = Field(
        0.8, description="lowest rank correlation under any one of them"
    )
    agreement_lowest: Annotated[float, Field(ge=-1, le=1)] = Field(
        0.5, description="lowest rank correlation with the map of another method"
    )


class Regions(_Section):
    """Which regions are looked for on each radiograph; border and corners are always there."""

    lungs: Literal["reference", "none"] = Field(
        "reference",
        description="reference (the segmenter that ships; gives lungs, zones, mediastinum) | none",
    )
    markers: bool = Field(
        True, description="look for letters, burned-in text and other foreign objects"
    )


class Focus(_Section):
    """Where the evidence lies."""

    high_focus_threshold: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5, description="share of the map's maximum from which a pixel counts as high focus"
    )


class Masking(_Section):
    """The causal check: the classifier is asked again with lungs, all but lungs, markers and border replaced."""

    cases: Annotated[int, Field(ge=1)] | Literal["all", "none"] = Field(
        64,
        description="a number (so many cases, spread evenly over the run) | all | none; about ten passes a case",
    )


class Cohort(_Section):
    """Performance of the whole run, with 95 % intervals from resampled patients."""

    prevalence: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description="share of the target class for the predictive values; default: the run's own",
    )
    subgroups: tuple[Name, ...] = Field(
        ("ViewPosition", "PatientSex", "PatientAge"),
        description="DICOM attributes that ingestion allows, and manifest columns; their values are printed",
    )
    min_cases: Annotated[int, Field(ge=1)] = Field(
        20,
        description="labelled cases below which a subgroup is not shown; a share of 20 is known to within 0.20",
    )
    rounds: Annotated[int, Field(ge=200, le=100_000)] = Field(
        2000, description="times that patients are resampled"
    )

    @field_validator("subgroups")
    @classmethod
    def _name_no_patient(cls, columns: tuple[str, ...]) -> tuple[str, ...]:
        if private := [
            name for name in columns if re.sub(r"[\W_]", "", name.lower()) in PRIVATE_COLUMNS
        ]:
            raise ValueError(f"{private[0]!r} names patients")
        return columns


PRIVATE_COLUMNS = (
    *("caseid", "path", "patientid", "patientname", "patientbirthdate", "accessionnumber"),
    *("sopinstanceuid", "studyinstanceuid", "seriesinstanceuid"),
)


class Criterion(_Section):
    """One thing that a run has to show."""

    metric: Annotated[Name, CriterionName()] = Field(
        description="a metric of the run; a number of each case, or what is true or false of it; or "
        "a check of the model, which has no limit here"
    )
    cases: Literal["all", Outcome] = Field(
        "all",
        description="which cases a share is of: all | true_positive | false_positive | true_negative | ...",
    )
    above: FiniteFloat | None = Field(
        None, description="a case counts where its number is above this"
    )
    below: FiniteFloat | None = Field(
        None, description="a case counts where its number is below this"
    )
    bound: Bound | None = Field(
        None,
        description="what is compared with the limit: estimate, or the lower or upper end of its 95 % "
        "interval; default: the less favourable end (of failed and excluded: the estimate)",
    )
    at_least: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="limit of a metric of the run"
    )
    at_most: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description="limit of a metric of the run"
    )
    share_at_least: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None,
        description="limit of the share, of the cases whose number is defined",
    )
    share_at_most: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None,
        description="limit of the share, of the cases whose number is defined",
    )

    @field_validator("metric")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in criteria():
            raise ValueError(f"unknown metric{_perhaps(name, criteria())}")
        return name

    @model_validator(mode="after")
    def _fits_its_metric(self) -> Criterion:
        given = {key for key in type(self).model_fields if getattr(self, key) is not None} - {
            "metric",
            "bound",
        }
        given -= {"cases"} if self.cases == "all" else set()
        if self.metric in criteria_of_model():
            if given or self.cases != "all":
                raise ValueError(f"{self.metric} is passed or not: give no limit and no cases")
        elif self.metric in RUN_METRICS:
            if len(given) != 1 or not given <= {"at_least", "at_most"}:
                raise ValueError(
                    f"{self.metric} is one number of the run: give either at_least or at_most, no more"
                )
        elif len(given & {"share_at_least", "share_at_most"}) != 1 or given & {
            "at_least",
            "at_most",
        }:
            raise ValueError(
                f"{self.metric} is of each case: give either share_at_least or share_at_most"
            )
        elif len(given & {"above", "below"}) != (self.metric not in case_yes_or_no()):
            count = "neither above nor" if self.metric in case_yes_or_no() else "either above or"
            raise ValueError(
                f"{self.metric} is {'yes or no' if self.metric in case_yes_or_no() else 'a number'}: give {count} below"
            )
        elif self.metric in ("failed", "excluded") and self.cases != "all":
            raise ValueError(f"{self.metric} cases have no outcome: leave cases out")
        return self


class Acceptance(_Section):
    """What a case is flagged for, and what a run has to show; if it does not, the command ends with exit code 6."""

    flag_outside_lungs_controls: Annotated[FiniteFloat, Field(ge=0)] = Field(
        1.0,
        description="outside_lungs: most of the evidence lies outside the lungs, and they hold at most "
        "so many times what the control maps centre or edges have there;",
    )
    flag_outside_lungs_contour: Annotated[float, Field(ge=0, le=1)] = Field(
        0.25,
        description="or less than this share of the contour, and not the map's maximum",
    )
    flag_marker_log_odds: Annotated[FiniteFloat, Field(gt=0)] = Field(
        0.5,
        description="marker: replaced by the run's mean radiograph, it moves the logit by this or more;",
    )
    flag_border_log_odds: Annotated[FiniteFloat, Field(gt=0)] = Field(
        0.7,
        description="border: replaced by the run's mean radiograph, it moves the logit by this or more",
    )
    flag_border_spread: Annotated[FiniteFloat, Field(ge=0)] = Field(
        0.35, description="and by so much of the standard deviation of the run's logits;"
    )
    flag_region_share: Annotated[float, Field(gt=0, le=1)] = Field(
        0.05, description="marker, border: or this share of the positive evidence lies there,"
    )
    flag_region_enrichment: Annotated[FiniteFloat, Field(ge=0)] = Field(
        1.5, description="and so many times the share of the area"
    )
    flag_exposure_log_odds: Annotated[FiniteFloat, Field(gt=0)] = Field(
        1.5, description="exposure: the logit differs by this or more between darker and brighter"
    )
    flag_diffuse_high_focus: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="diffuse: more of the radiograph is above focus.high_focus_threshold"
    )
    flag_near_threshold_log_odds: Annotated[FiniteFloat, Field(ge=0)] = Field(
        1.0, description="near_threshold: the logit is less than this from the threshold's"
    )
    dependence_marker_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.3, description="marker_dependence: more of the cases with a marker are flagged for it"
    )
    dependence_border_spread: Annotated[FiniteFloat, Field(ge=0)] = Field(
        0.63,
        description="border_dependence: the change by the border spreads by more, in standard "
        "deviations of the logit",
    )
    dependence_exposure_spread: Annotated[FiniteFloat, Field(ge=0)] = Field(
        0.59,
        description="exposure_dependence: over one image darker and brighter the logit spreads by "
        "more, in standard deviations of the logit between images",
    )
    criteria: tuple[Criterion, ...] = Field(
        (),
        description="a list of {metric: auc, bound: lower, at_least: 0.9} (or at_most: ), or of {metric: "
        "lungs_enrichment, cases: true_positive, above: 1.5, share_at_least: 0.8} (or below: , share_at_most: )",
    )


class Report(_Section):
    """What is written."""

    documents: bool = Field(
        True, description="a PDF for every case; false = records and pictures only"
    )
    scale: Literal["run", "case"] = Field(
        "run",
        description="colours: run = one scale for all cases, which compares; case = each map to its own maximum",
    )
    cells: bool = Field(False, description="draw the cells of the map's grid over it")
    paper: Literal["a4", "letter"] = Field("a4", description="size of the PDFs' pages")
    language: Literal["en", "de"] = Field(
        "en",
        description="of the PDF of a case; records, run report, index and comparison are in English",
    )


class Engine(_Section):
    """Where the work runs."""

    name: Literal["local"] = Field("local", description="local = worker processes on this machine")
    workers: Annotated[int, Field(ge=1, le=256)] | None = Field(
        None, description="processes that read and render; default: the machine's cores"
    )
    batch_size: Annotated[int, Field(ge=1, le=1024)] = Field(
        16, description="radiographs a model call"
    )


class AuditConfig(BaseModel):
    """A whole audit. `cxr-audit schema` prints this as JSON Schema."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="cxr-audit config")

    run: Run
    ingest: Ingest
    privacy: Privacy = Privacy()
    quality: Quality = Quality()
    preprocess: Preprocess
    classifier: Classifier
    explain: Explain = Explain()
    trust: Trust = Trust()
    regions: Regions = Regions()
    focus: Focus = Focus()
    masking: Masking = Masking()
    cohort: Cohort = Cohort()
    acceptance: Acceptance = Acceptance()
    report: Report = Report()
    engine: Engine = Engine()

    def resolved(self) -> dict[str, Any]:
        """Plain JSON values, every key present."""
        return self.model_dump(mode="json")

    def sha256(self) -> str:
        """Identity of what the config asks for: of all but `PLACES`."""
        asked = {
            section: kept
            for section, keys in self.resolved().items()
            if (
                kept := {
                    key: value for key, value in keys.items() if f"{section}.{key}" not in PLACES
                }
            )
        }
        return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def load_config(path: str | Path, overrides: Sequence[str] = ()) -> AuditConfig:
    """Read, override and validate a config.

    Parameters
    ----------
    path : the YAML file.
    overrides : `section.key=value`, the value parsed as YAML; an empty value unsets the key.

    Raises
    ------
    ConfigError : naming every problem with file, line and key.
    """
    load_plugins()
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"cannot read the config {path}: {reason}", "cxr-audit init writes one"
        ) from error
    return _with_absolute_paths(
        _validated(_parse(text, str(path)), overrides), path.resolve().parent
    )


def config_of(values: dict[str, Any], overrides: Sequence[str] = ()) -> AuditConfig:
    """A config from section -> key -> value, without a file; paths are relative to where the program runs.

    Raises `ConfigError` as `load_config` does.
    """
    return _with_absolute_paths(
        _validated(_Document("the command line", values, {}, [], set()), overrides), Path.cwd()
    )


def _validated(document: _Document, overrides: Sequence[str]) -> AuditConfig:
    for override in overrides:
        _apply(document, override)
    document.values = _without_empty(document.values)
    try:
        config = AuditConfig.model_validate(document.values)
    except ValidationError as error:
        document.problems.extend(_problems(error, document))
    if document.problems:
        lines = [f"{where}: {message}" for _, where, message in sorted(document.problems)]
        count = "a problem" if len(lines) == 1 else f"{len(lines)} problems"
        raise ConfigError(
            f"{count} in the config\n" + "\n".join(lines), "cxr-audit schema prints every key"
        )
    return config


# Keys of the section acceptance of schema 2 and older, whose measures have been replaced.
FORMER_LIMITS = (
    "dependence_border_variance",
    "dependence_exposure_auc",
    "flag_outside_lungs_enrichment",
)


def measured_by(resolved: Mapping[str, Any]) -> tuple[Cohort, Acceptance]:
    """The two sections that a run is measured by, from its record.

    Defaults stand for what is newer than the record, and for limits of what is measured otherwise now.
    """
    cohort, acceptance = resolved.get("cohort", {}), resolved.get("acceptance", {})
    acceptance = {key: value for key, value in acceptance.items() if key not in FORMER_LIMITS}
    try:
        return Cohort.model_validate(cohort), Acceptance.model_validate(acceptance)
    except ValidationError as error:
        raise ConfigError(
            f"the run's own config cannot be used here: {error.errors()[0]['msg']}",
            "give another with cxr-audit cohort RUN --config CONFIG",
        ) from error


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a config; editors use it to complete and check."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **AuditConfig.model_json_schema(),
    }


def starter(values: dict[str, dict[str, tuple[Any, str]]]) -> str:
    """A commented config with every key. `values[section][key]` = (value, remark) replaces the default."""
    lines = [
        "# An audit config. Paths are relative to this file; keys with a # before them show their default.",
        "#   cxr-audit check FILE    what can be known without running",
        "#   cxr-audit run FILE      the audit",
    ]
    for name, section in AuditConfig.model_fields.items():
        kind: Any = section.annotation
        lines += ["", f"# {kind.__doc__}", f"{name}:"]
        if not values.get(name):
            lines[-1] = f"# {name}:"
        for key, field in kind.model_fields.items():
            if key in values.get(name, {}):
                value, remark = values[name][key]
                lines.append(f"  # {remark or field.description}")
                lines.append(f"  {key}: {_yaml(value)}")
            else:
                default = field.get_default(call_default_factory=True)
                lines.append(
                    f"  # {key}: {_yaml(default)}"
                    + (f"    # {field.description}" if field.description else "")
                )
    return "\n".join(lines) + "\n"


def _yaml(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        value = list(value)
    return yaml.safe_dump(
        str(value) if isinstance(value, Path) else value, default_flow_style=True, width=1000
    ).split("\n")[0]


@dataclass
class _Document:
    file: str
    values: dict[str, Any]
    lines: dict[tuple[str, ...], int]
    problems: list[tuple[int, str, str]]
    overridden: set[tuple[str, ...]]

    def add(self, key: tuple[str, ...], message: str) -> None:
        dotted = ".".join(key)
        known = next((k for n in range(len(key), -1, -1) if (k := key[:n]) in self.lines), ())
        line = self.lines.get(known, 1)
        place = f"{self.file}:{line}" if self.lines else self.file
        # A section that is there by an override alone is named by it.
        given = min(
            (one for one in self.overridden if one[:1] == key and key not in self.lines),
            default=key,
        )
        where = f"--set {'.'.join(given)}" if given[:2] in self.overridden else f"{place}: {dotted}"
        self.problems.append((line, where, message))


def _parse(text: str, file: str) -> _Document:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        raise ConfigError(f"{where}: not YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: not YAML: {error}") from error
    if not isinstance(root, yaml.MappingNode) or not isinstance(values, dict):
        raise ConfigError(
            f"{file}: a config is a mapping of sections (run, ingest, ...)",
            "cxr-audit init writes one",
        )
    document = _Document(file, values, {}, [], set())
    for key, node in _keys(root, ()):
        first = document.lines.get(key)
        document.lines[key] = node.start_mark.line + 1
        if first is not None:
            document.add(key, f"given twice, first in line {first}")
    return document


def _keys(node: yaml.Node, prefix: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], yaml.Node]]:
    """Sections, their keys, and the keys of what a list holds; nothing is deeper."""
    items: Iterable[tuple[str, yaml.Node, yaml.Node]] = ()
    if isinstance(node, yaml.MappingNode) and len(prefix) != 2:
        items = ((str(key_node.value), key_node, value_node) for key_node, value_node in node.value)
    elif isinstance(node, yaml.SequenceNode):
        items = ((str(number), item, item) for number, item in enumerate(node.value))
    for name, here, below in items if len(prefix) < 4 else ():
        yield (*prefix, name), here
        yield from _keys(below, (*prefix, name))


def _apply(document: _Document, override: str) -> None:
    name, equals, text = override.partition("=")
    key = tuple(part.strip() for part in name.split("."))
    if not equals or len(key) != 2 or not all(key):
        raise ConfigError(
            f"--set {override}: expected section.key=value", "for example --set engine.batch_size=8"
        )
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {override}: the value is not YAML") from error
    section = document.values.setdefault(key[0], {})
    if not isinstance(section, dict):
        raise ConfigError(f"--set {override}: {key[0]} is not a section in {document.file}")
    document.overridden.add(key)
    if text.strip() == "":
        section.pop(key[1], None)
    else:
        section[key[1]] = value


def _problems(error: ValidationError, document: _Document) -> Iterator[tuple[int, str, str]]:
    found = _Document(document.file, {}, document.lines, [], document.overridden)
    for item in error.errors():
        key = tuple(str(part) for part in item["loc"])
        match item["type"]:
            case "extra_forbidden":
                message = f"unknown {'section' if len(key) == 1 else 'key'}{_perhaps(key[-1], _names(key[:-1]))}"
            case "missing":
                message = "missing; it has no default"
            case "model_type" | "model_attributes_type" | "dict_type":
                message = "expected a section with keys"
            case "tuple_type":
                message = f"expected a list, as [a, b], received {item['input']!r}"
            case "value_error":
                message = str(item["ctx"]["error"])
            case "literal_error":
                message = f"{item['msg'].lower()}, received {item['input']!r}{_perhaps(item['input'], _choices(item))}"
            case _:
                message = f"{item['msg'][0].lower()}{item['msg'][1:]}, received {item['input']!r}"
        found.add(key, message)
    yield from found.problems


def _names(key: tuple[str, ...]) -> list[str]:
    """The keys that may stand at a place of the config."""
    kind: Any = AuditConfig
    for part in key:
        kind = get_args(kind)[0] if part.isdigit() else kind.model_fields[part].annotation
        kind = get_args(kind)[0] if isinstance(kind, UnionType) else kind  # a section or nothing
    return list(kind.model_fields)


def _without_empty(values: dict[str, Any]) -> dict[str, Any]:
    """A key left empty takes its default, a section left empty those of its keys."""
    given = {name: {} if section is None else section for name, section in values.items()}
    return {
        name: {key: value for key, value in section.items() if value is not None}
        if isinstance(section, dict)
        else section
        for name, section in given.items()
    }


def _choices(item: Any) -> list[str]:
    return [part.strip(" '") for part in item["ctx"]["expected"].replace(" or ", ",").split(",")]


def _perhaps(word: Any, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(str(word), known, 1, 0.5)
    return f". Perhaps you meant {near[0]!r}" if near else f". Known: {', '.join(known)}"


def _with_absolute_paths(config: AuditConfig, folder: Path) -> AuditConfig:
    def absolute(value: str) -> str:
        if value == REFERENCE or "://" in value:
            return value
        try:
            return os.path.normpath(folder / Path(value).expanduser())
        except RuntimeError:
            raise ConfigError("a path begins with ~ and a user that this machine has not") from None

    run = config.run.model_copy(update={"output": Path(absolute(str(config.run.output)))})
    manifest, key_file = (
        path and Path(absolute(str(path)))
        for path in (config.ingest.manifest, config.privacy.key_file)
    )
    ingest = config.ingest.model_copy(
        update={"source": absolute(config.ingest.source), "manifest": manifest}
    )
    outputs = config.classifier.reference_outputs
    classifier = config.classifier.model_copy(
        update={
            "path": absolute(config.classifier.path),
            "reference_outputs": outputs and Path(absolute(str(outputs))),
        }
    )
    privacy = config.privacy.model_copy(update={"key_file": key_file})
    return config.model_copy(
        update={"run": run, "ingest": ingest, "privacy": privacy, "classifier": classifier}
    )

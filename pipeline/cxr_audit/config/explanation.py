"""Sections on maps, regions and their checks."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
    FiniteFloat,
    field_validator,
    model_validator,
)

from cxr_audit.config.types import ClassName, Method, Name, Section, by_depth
from cxr_audit.vocabulary.depths import DEFAULT_DEPTH, DEPTHS

STANDARD = DEPTHS[DEFAULT_DEPTH]


class Explain(Section):
    """Which class activation maps."""

    methods: tuple[Method, ...] = Field(
        (),
        description="the first gives the numbers; empty = grad-cam for global average pooling and "
        "one dense layer, token-integrated-gradients for transformers, else hirescam, grad-cam; "
        "occlusion for an ONNX file or a command",
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
        description=(
            "classes to contrast with the target (more than two classes): its logit minus theirs"
        ),
    )
    baseline: Literal["black", "blurred", "mean"] = Field(
        "black",
        description=(
            "the input without evidence, for integrated gradients (of pixels and of tokens), "
            "score-cam, occlusion and rise: black | blurred | mean"
        ),
    )
    steps: Annotated[int, Field(ge=1, le=1024)] = Field(
        32, description="path steps of integrated gradients, noisy copies of smoothgrad"
    )
    score_cam_channels: Annotated[int, Field(ge=1)] | None = Field(
        None, description="score-cam asks this many channels, those that vary most; empty = all"
    )

    occlusion_cells: Annotated[int, Field(ge=2, le=64)] = Field(
        8, description="cells of occlusion along each side; one pass a cell"
    )
    rise_masks: Annotated[int, Field(ge=16, le=16384)] = Field(
        1000, description="random masks of rise; one pass a mask"
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


class Trust(Section):
    """Whether an explanation may itself be believed: the checks and their limits."""

    sample: Annotated[int, Field(ge=1, le=256)] = Field(
        32,
        description=(
            "radiographs, spread over the run, for checks once a model and for the colour scale"
        ),
    )
    randomisation: bool = Field(
        True, description="does the map depend on the trained weights; once a model"
    )
    faithfulness: Literal["all", "sample", "none"] = Field(
        "sample",
        description=(
            "deletion, insertion, ROAD: sample = once a model | all = of each case as well | none"
        ),
    )
    stability: Literal["all", "sample", "none"] = Field(
        STANDARD.stability,
        description="small changes of the input: all = of each case | sample = once a model | "
        f"none; {by_depth('stability')}",
    )
    gain: FiniteFloat = Field(
        0.0, description="log-odds that a map has to win over chance in deletion, insertion, ROAD"
    )
    stability_mean: Annotated[float, Field(ge=-1, le=1)] = Field(
        0.9, description="lowest mean rank correlation under small changes"
    )
    stability_brightness: Annotated[float, Field(ge=-1, le=1)] = Field(
        0.7, description="lowest rank correlation with the image darker and brighter"
    )
    stability_worst: Annotated[float, Field(ge=-1, le=1)] = Field(
        0.8, description="lowest rank correlation under any one of them"
    )
    agreement_lowest: Annotated[float, Field(ge=-1, le=1)] = Field(
        0.5, description="lowest rank correlation with the map of another method"
    )


class Regions(Section):
    """Which regions are looked for on each radiograph; border and corners are always there."""

    lungs: Literal["reference", "none"] = Field(
        "reference",
        description="reference (the segmenter that ships; gives lungs, zones, mediastinum) | none",
    )
    markers: bool = Field(
        True, description="look for letters, burned-in text and other foreign objects"
    )


class Focus(Section):
    """Where the evidence lies."""

    high_focus_threshold: Annotated[float, Field(gt=0, lt=1)] = Field(
        0.5, description="share of the map's maximum from which a pixel counts as high focus"
    )


class Factors(Section):
    """What the output depends on: the logit with one property changed, or one band replaced."""

    cases: Annotated[int, Field(ge=1)] | Literal["all", "none"] = Field(
        STANDARD.factors,
        description=(
            "a number (so many cases, spread evenly over the run) | all | none; up to 36 passes a "
            f"case; {by_depth('factors')}"
        ),
    )


class Masking(Section):
    """The logit of a changed input: parts replaced, and the image darker and brighter."""

    cases: Annotated[int, Field(ge=1)] | Literal["all", "none"] = Field(
        STANDARD.masking,
        description=(
            "a number (so many cases, spread evenly over the run) | all | none; about ten "
            f"passes a case; {by_depth('masking')}"
        ),
    )
    probes: Annotated[int, Field(ge=1)] | Literal["all", "none"] = Field(
        STANDARD.probes,
        description=(
            "cases that are asked with the image darker and brighter, and with border and markers "
            "replaced by the run's mean radiograph: a number | all | none; up to four passes a "
            f"case; {by_depth('probes')}"
        ),
    )

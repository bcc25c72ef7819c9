"""Sections on the classifier and what it is given."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    FiniteFloat,
    ValidationInfo,
    field_validator,
    model_validator,
)

from cxr_audit.config.types import (
    ClassName,
    Count,
    Name,
    Origin,
    Percentile,
    Section,
    Share,
    Words,
    perhaps,
)
from cxr_audit.records import Resize
from cxr_audit.vocabulary.presets import (
    PRESETS,
    Interpolation,
    Preset,
    PresetName,
    Rounding,
    unsupported,
)


class Preprocess(Section):
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
        description=(
            "unit [0, 1] | minus_one_one [-1, 1] | imagenet (mean and deviation, RGB) | "
            "caffe (BGR minus mean, 0-255) | raw_255 [0, 255] | txv [-1024, 1024]; or give "
            "scale and offset instead"
        ),
    )
    scaling_source: Origin | None = Field(
        None,
        description=(
            "where the value range is known from, or that it is a guess; printed in every report"
        ),
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

    model: Name | None = Field(
        None,
        description="a .keras or .h5 file that prepares the model input after scaling, with steps "
        "that work pixel by pixel; empty = none. It is audited together with the classifier",
    )
    model_sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = Field(
        None, description="SHA-256 of that file; another file is refused"
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


class Validation(Section):
    """How often validation cases had the label of the target class, by the output; for page 1.

    `cohort.json` of a run over these cases has such bins under `reliability`: `num_cases`, and the
    share `value` of them that have the label.
    """

    data: Name = Field(description="which cases, in a few words")
    untuned: bool = Field(
        False,
        description="nothing was chosen on these cases (threshold, temperature, stopping time); "
        "page 1 reports them only then",
    )
    bins: Annotated[tuple[tuple[Share, Share, Count, Count], ...], Field(min_length=1)] = Field(
        description=(
            "each [from, to, cases with an output from here to below there, how many of "
            "these have the label]"
        )
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


class Card(Section):
    """What the developer says of the classifier; quoted in the case PDFs and the run report."""

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


class CustomObjects(Section):
    """An installed package whose registered Keras layers the model may use; its code runs."""

    module: Annotated[str, Field(pattern=r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*$")] = Field(
        description="the module to import, such as keras_hub"
    )
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = Field(
        None, description="of the package's files; `cxr-audit check` prints it where it is missing"
    )


class FurtherInput(Section):
    """An input of the model beside the image, such as age or sex. A case without a value stops,
    unless `missing` says what stands for it.
    """

    name: Name = Field(description="of the model's input")
    column: Name | None = Field(None, description="the column of the manifest that has the value")
    attribute: Literal["PatientAge", "PatientSex", "ViewPosition"] | None = Field(
        None, description="or the DICOM attribute; an age is a band of ten years, such as 50-59"
    )
    values: dict[str, tuple[FiniteFloat, ...]] = Field(
        {}, description="what each category becomes, such as {F: [0], M: [1]}; empty = a number"
    )
    scale: FiniteFloat = Field(1.0, description="of a number: value * scale + offset")
    offset: FiniteFloat = Field(0.0, description="see scale")
    missing: str | None = Field(
        None, description="the value that stands for a missing one; empty = the case stops"
    )
    reference: str = Field(
        description="the value that its contribution to the logit is measured against"
    )

    @field_validator("missing", "reference", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int | float) else value

    @model_validator(mode="after")
    def _has_numbers(self) -> FurtherInput:
        if (self.column is None) == (self.attribute is None):
            raise ValueError("give either column or attribute")
        if len({len(numbers) for numbers in self.values.values()}) > 1:
            raise ValueError("every category of values needs as many numbers")
        for text in (self.missing, self.reference):
            if text is not None and self.numbers(text) is None:
                raise ValueError(f"{text!r} is none of values, or no number")
        return self

    def numbers(self, text: str) -> tuple[float, ...] | None:
        """What the model is given for a value; None where it is none of the categories, or no
        number.
        """
        if self.values:
            return self.values.get(text.strip())
        try:
            number = float(text)
        except ValueError:
            return None
        return (number * self.scale + self.offset,) if math.isfinite(number) else None


class Classifier(Section):
    """The model under audit."""

    path: Name | None = Field(
        None,
        description="a .keras, .h5 or .onnx file (extra onnx), or the word reference (the "
        "classifier that ships)",
    )
    command: Annotated[tuple[Name, ...], Field(max_length=64)] = Field(
        (),
        description="in the place of path: a program and its arguments that answers scores, for "
        "example [python, score.py, weights.pt]; see docs/models.md",
    )
    command_seconds: Annotated[FiniteFloat, Field(gt=0)] = Field(
        120, description="longest time in which the program answers a batch, its start included"
    )
    layout: Literal["nhwc", "nchw"] | None = Field(
        None,
        description="axes of an ONNX file's input: nhwc (channels last) | nchw; default: by the "
        "place of its 1 or 3 channels",
    )
    sha256: Annotated[str, Field(pattern=r"^[0-9a-fA-F]{64}$")] | None = Field(
        None,
        description="SHA-256 of the file; another file is refused. `cxr-audit inspect` prints it",
    )
    custom_objects: tuple[CustomObjects, ...] = Field(
        (),
        description=(
            "packages with layers that the model file uses, each {module: ..., sha256: ...}; "
            "their code runs, so name only what you trust; empty = Keras' own layers alone"
        ),
    )
    inputs: tuple[FurtherInput, ...] = Field(
        (),
        description=(
            "further inputs of the model beside the image, each {name: ..., column: ... or "
            "attribute: ..., values: {...}, missing: ..., reference: ...}"
        ),
    )
    output_name: Name | None = Field(
        None, description="of a model with several outputs, the one to audit, by its name"
    )
    class_names: tuple[ClassName, ...] = Field(
        (),
        description=(
            "one name an output unit, in order; two for one sigmoid unit: [negative, positive]"
        ),
    )
    target_class: ClassName | None = Field(
        None, description="the class to explain; default: the last of class_names"
    )
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = Field(
        None,
        description=(
            "probability from which the target class is predicted (one or two classes); default 0.5"
        ),
    )
    threshold_source: Origin | None = Field(
        None, description="where the threshold comes from; printed in every report"
    )
    output: Literal["logits", "probabilities", "softmax", "sigmoid", "multi_label"] | None = Field(
        None,
        description=(
            "what the outputs are, where the last layer does not say: logits | "
            "probabilities | softmax | sigmoid | multi_label (the last three: logits of "
            "that); default: read from the model"
        ),
    )
    reference_outputs: Path | None = Field(
        None,
        description=(
            "a .csv with the outputs of the pipeline in production: a column path (or case) "
            "and one for each class, with probabilities; the run is refused if they differ"
        ),
    )
    tolerance: Annotated[float, Field(gt=0, le=1)] = Field(
        0.01, description="largest difference to reference_outputs that is the same pipeline"
    )
    card: Card | None = Field(
        None,
        description=(
            "its model card: {intended_use: ..., population: ..., limits: [...], data: ..., "
            "data_licence: ..., validation: {data: ..., untuned: true, bins: [[from, to, cases, of "
            "these with the label], ...]}}; reference has its own"
        ),
    )

    @model_validator(mode="after")
    def _one_model(self) -> Classifier:
        if (self.path is None) == (not self.command):
            raise ValueError("give either path, or command")
        return self

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
            raise ValueError(f"{name!r} is none of class_names{perhaps(name, names)}")
        return name

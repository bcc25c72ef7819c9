"""Sections on the run, the radiographs and whether they are fit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    model_validator,
)

from cxr_audit.config.types import (
    DepthName,
    Name,
    QualityCheck,
    Section,
    Share,
    ViewPosition,
    Words,
    Year,
    by_default,
)
from cxr_audit.records import VoiTransform
from cxr_audit.vocabulary.depths import DEFAULT_DEPTH


class Run(Section):
    """Where the run lands: `<output>/<name>/`."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")] = Field(
        description="name of the run and of its folder: letters, digits, dot, dash, underscore"
    )
    output: Path = Field(Path("reports"), description="folder for runs, relative to this config")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(0, description="seed of everything random")
    depth: DepthName = Field(
        DEFAULT_DEPTH,
        description=(
            "how much is asked of each case: full | standard (at most five passes a case) | "
            "screening (one pass a case, all else of a sample); docs/depth.md has the table. A key "
            "that is set in this file wins over it"
        ),
    )
    claim: Words | None = Field(None, description="what the run is to show, in one sentence")
    operator: Name | None = Field(None, description="who runs the audit; printed in the run report")
    organisation: Name | None = Field(None, description="for whom; printed in the run report")
    host: Name | None = Field(None, description="name of the machine; empty = it is not recorded")
    protocol: Path | None = Field(
        None,
        description=(
            "made by cxr-audit protocol before data were seen; a config that asks for anything "
            "else is refused"
        ),
    )


class Ingest(Section):
    """Which radiographs, and where their labels come from."""

    source: Annotated[str, Field(min_length=1, max_length=4096)] = Field(
        description=(
            "a folder, a glob, one file, a manifest (.csv, .parquet), a .zip, a DICOMDIR, a "
            "DICOMweb server (dicomweb+https://HOST/PATH?Modality=DX), or the word reference "
            "(radiographs that ship)"
        )
    )
    labels: Name = Field(
        "none", description="none | folder (the parent folder's name) | a manifest column"
    )
    split: Name | None = Field(
        None, description="only the rows of a manifest whose column split says so"
    )
    dataset: Words | None = Field(None, description="name of the set; printed in the run report")
    period: Words | None = Field(None, description="when its radiographs were made")
    inclusion: Words | None = Field(None, description="how its radiographs were chosen")
    label_origin: Words | None = Field(None, description="who or what made its labels, and how")
    manifest: Path | None = Field(
        None,
        description=(
            "of a DICOMweb server: a .csv or .parquet whose column SOPInstanceUID says which "
            "of the radiographs found are audited, with a column for the labels, split and "
            "the rest"
        ),
    )
    voi_transform: VoiTransform = Field(
        "if_present",
        description=(
            "DICOM grey values: if_present (VOI LUT, else window, else own range) | lut, "
            "window, required (either), or the file is refused | off (own range) | "
            "percentile (own range without its ends)"
        ),
    )
    window: Annotated[int, Field(ge=1)] | Name = Field(
        1, description="which of several DICOM windows: its number from 1 on, or its explanation"
    )
    frame: Annotated[int, Field(ge=1)] | None = Field(
        None,
        description=(
            "which frame of a multi-frame DICOM file, from 1 on; empty = such files are refused"
        ),
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


class Privacy(Section):
    """What keeps patients unknown."""

    key_file: Path | None = Field(
        None,
        description=(
            "the secret of the case ids, at least 16 bytes; else CXR_AUDIT_CASE_ID_KEY, else "
            "a key made once in <run.output>/.case-id-key. The same key gives the same ids"
        ),
    )


class Quality(Section):
    """Limits of quality; a radiograph beyond one is audited with a caution, unless listed here."""

    exclude: tuple[QualityCheck, ...] = Field(
        default_factory=lambda: by_default("exclude"),
        description="a radiograph that fails one of these checks is excluded",
    )
    fail: tuple[QualityCheck, ...] = Field(
        default_factory=lambda: by_default("fail"),
        description="a radiograph that fails one of these checks is recorded as failed",
    )
    blank_range: Share = Field(
        0.02, description="blank: least span of the grey values, of the full range"
    )
    contrast_range: Share = Field(
        0.15,
        description=(
            "contrast: least span of the grey values inside the exposed field, without 5 % "
            "at either end"
        ),
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
        description=(
            "not_a_chest: least share of the picture that looks like lung, where no two "
            "lungs are found"
        ),
    )
    views: tuple[ViewPosition, ...] = Field(
        (), description="view: those in scope; empty = the model card's, else PA and AP"
    )
    age_years: tuple[Year, Year] | None = Field(
        None,
        description=(
            "age: first and last year in scope, for example [18, 89]; empty = the model card's"
        ),
    )

    @model_validator(mode="after")
    def _one_action(self) -> Quality:
        if both := sorted(set(self.exclude) & set(self.fail)):
            raise ValueError(f"{both[0]} stands under exclude and under fail: choose one")
        if self.age_years is not None and self.age_years[0] > self.age_years[1]:
            raise ValueError(f"age_years ends before it begins: {list(self.age_years)}")
        return self

"""Sections on documents and where the work runs."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    Field,
    FiniteFloat,
)

from cxr_audit.config.types import Section


class Report(Section):
    """What is written."""

    documents: bool = Field(
        True, description="a PDF for every case; false = records and pictures only"
    )
    scale: Literal["run", "case"] = Field(
        "run",
        description=(
            "colours: run = one scale for all cases, which compares; case = each map to its "
            "own maximum"
        ),
    )
    cells: bool = Field(False, description="draw the cells of the map's grid over it")
    haze: Annotated[float, Field(ge=0, le=0.3)] = Field(
        0.0, description="opacity of the colour inside the contour of page 1; 0 = the contour alone"
    )
    paper: Literal["a4", "letter"] = Field("a4", description="size of the PDFs' pages")
    language: Literal["en", "de"] = Field(
        "en",
        description="of the PDFs and the index; records and comparisons are in English",
    )


class Engine(Section):
    """Where the work runs."""

    name: Literal["local"] = Field("local", description="local = processes on this machine")
    runtime: Literal["tensorflow", "onnxruntime"] = Field(
        "tensorflow",
        description=(
            "what computes a Keras model's forward passes: tensorflow | onnxruntime (extra onnx; "
            "refused unless it answers as TensorFlow does on the sample)"
        ),
    )
    workers: Annotated[int, Field(ge=1, le=256)] | None = Field(
        None, description="processes that read and render; default: the machine's cores"
    )
    auditors: Annotated[int, Field(ge=1, le=64)] | None = Field(
        None, description="processes that run the networks; default: one a GPU, else one"
    )
    batch_size: Annotated[int, Field(ge=1, le=1024)] = Field(
        16, description="radiographs a model call"
    )
    case_seconds: Annotated[FiniteFloat, Field(gt=0)] = Field(
        300, description="a case that takes longer than this, twice, has failed"
    )
    case_mib: Annotated[FiniteFloat, Field(gt=0)] = Field(
        2048, description="a case that needs more memory than this (MiB), twice, has failed"
    )

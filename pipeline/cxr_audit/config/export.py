"""The section `export`: which DICOM objects are made of the results."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cxr_audit.config.types import Origin, Section

CodedClass = tuple[
    Annotated[str, Field(min_length=1, max_length=16)],
    Annotated[str, Field(min_length=1, max_length=16)],
    Annotated[str, Field(min_length=1, max_length=64)],
]


class Export(Section):
    """Which DICOM objects `cxr-audit export` makes of a case, and how it delivers them."""

    pdf: bool = Field(True, description="the case report as Encapsulated PDF")
    report: bool = Field(
        True,
        description=(
            "a structured report (Comprehensive 3D SR, TID 1500): output, threshold, contour, "
            "metrics, flags"
        ),
    )
    picture: bool = Field(
        True,
        description="page 1's marked picture as Secondary Capture, its warning burned in",
    )
    segmentation: bool = Field(
        False,
        description=(
            "lungs and contour as Segmentation; only where the file states a Pixel Spacing above 0"
        ),
    )
    findings: dict[str, CodedClass] = Field(
        {},
        description=(
            "codes of classes, for example {PNEUMONIA: [233604007, SCT, Pneumonia]}; classes with "
            "usual names have one"
        ),
    )
    manufacturer: Origin = Field(
        "not stated", description="who makes the classifier; printed in every object"
    )
    series_number: Annotated[int, Field(ge=1, le=9999)] = Field(
        9101, description="number of the first series of the objects in the study"
    )
    aet: Annotated[str, Field(pattern=r"^[A-Z0-9_ -]{1,16}$")] = Field(
        "CXR_AUDIT", description="our application entity title, for C-STORE and C-FIND"
    )
    tries: Annotated[int, Field(ge=1, le=10)] = Field(
        4, description="how often an object is sent, with longer waits, before it stays queued"
    )

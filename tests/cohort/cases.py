"""Cases written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cxr_audit.records import (
    CaseRecord,
    CaseSource,
    FocusMetrics,
    MapFacts,
    Prediction,
    RadiographFacts,
    RegionFacts,
    RegionFocus,
    SourceFile,
)

METRICS = {
    "high_focus_fraction": 0.2,
    "focus_band": "focal",
    "centroid_row_fraction": 0.5,
    "centroid_column_fraction": 0.5,
    "peak_row_fraction": 0.5,
    "peak_column_fraction": 0.5,
    "entropy": 0.6,
    "border_fraction": 0.1,
    "border_chance": 0.19,
    "padding_fraction": 0.0,
    "gini": 0.7,
    "num_components": 1,
    "left_right_balance": 0.0,
}


def a_case(
    case_id: str,
    label: str | None,
    probability: float,
    attributes: dict[str, str] | None = None,
    enrichment: float | None = 2.0,
    classes: tuple[str, ...] = ("N", "P"),
    predicted: str | None = None,
    **metrics: Any,
) -> CaseRecord:
    """An audited case of target class P, called from 0.5; without enrichment its map is dead."""
    shares = {name: (1 - probability) / (len(classes) - 1) for name in classes} | {"P": probability}
    called = predicted or ("P" if probability >= 0.5 else "N")
    region, dead = RegionFacts("lungs", "lungs", "by hand", 0.25), "the map is zero everywhere"
    if enrichment is None:
        lungs = RegionFocus("lungs", undefined=dict.fromkeys(RegionFocus.__slots__[1:-1], dead))
        focus = FocusMetrics(0.5, undefined=dict.fromkeys(METRICS, dead))
    else:
        lungs = RegionFocus(
            "lungs", enrichment / 4, 0.25, enrichment, 0.5, enrichment > 1, 0.2, 0.3, 0.2, 0.3
        )
        focus = FocusMetrics(0.5, **{**METRICS, **metrics})
    return CaseRecord(
        case_id,
        "ok",
        label=label,
        radiograph=RadiographFacts(
            8, 8, SourceFile("0" * 64, "1" * 64, "PNG", None, "cv2"), attributes=attributes or {}
        ),
        prediction=Prediction("P", "z", 0.0, probability, shares, 0.5, "by hand", called, label),
        maps=(
            MapFacts(
                "grad-cam", "grad-cam", "last", "P", "dead" if enrichment is None else "ok", 7, 7
            ),
        ),
        focus={"grad-cam": focus},
        regions=(region,),
        region_focus={"grad-cam": (lungs,)},
    )


def a_failure(case_id: str, label: str | None = None) -> CaseRecord:
    return CaseRecord(
        case_id, "failed", reason="the file is empty", error="UnreadableFile", label=label
    )


def a_source(case_id: str, patient_id: str | None = None, **metadata: str) -> CaseSource:
    return CaseSource(case_id, Path("x"), "x", None, patient_id=patient_id, metadata=metadata)

"""Cases written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cxr_audit.records import (
    AuditedCase,
    CaseSource,
    InputRecord,
    MapFacts,
    MapRecord,
    Measurements,
    Placement,
    Prediction,
    RadiographFacts,
    RegionFacts,
    RegionsRecord,
    SourceFile,
    StoppedCase,
)
from cxr_audit.vocabulary import MAP_METRICS, REGION_METRICS, message

METRICS: dict[str, Any] = {
    "high_focus_fraction": 0.2,
    "focus_band": "focal",
    "centroid": (0.5, 0.5),
    "peak": (0.5, 0.5),
    "entropy": 0.6,
    "border_fraction": 0.1,
    "border_chance": 0.19,
    "padding_fraction": 0.0,
    "gini": 0.7,
    "num_components": 1,
    "left_right_balance": 0.0,
}
DEAD = message("focus.map_is_zero")
PLACEMENT = Placement(8, 8, 8, 8, 1.0, 1.0)


def in_region(share: float, chance: float, is_hit: bool = False) -> Measurements:
    """So much of the evidence in a region of this share of the area."""
    return Measurements(
        {
            "relevance_mass_accuracy": share,
            "chance": chance,
            "enrichment": share / chance,
            "relevance_rank_accuracy": 0.5,
            "pointing_game_hit": is_hit,
            "iou": 0.2,
            "dice": 0.3,
            "iou_otsu": 0.2,
            "dice_otsu": 0.3,
        }
    )


def a_case(
    case_id: str,
    label: str | None,
    probability: float,
    attributes: dict[str, str] | None = None,
    enrichment: float | None = 2.0,
    classes: tuple[str, ...] = ("N", "P"),
    predicted: str | None = None,
    **metrics: Any,
) -> AuditedCase:
    """An audited case of target class P, called from 0.5; without enrichment its map is dead."""
    shares = {name: (1 - probability) / (len(classes) - 1) for name in classes} | {"P": probability}
    called = predicted or ("P" if probability >= 0.5 else "N")
    facts = MapFacts("grad-cam", "grad-cam", "last", "P", "ok", 7, 7)
    if enrichment is None:
        facts = MapFacts("grad-cam", "grad-cam", "last", "P", "dead", 7, 7)
        lungs = Measurements.none_of(REGION_METRICS.keys(), DEAD)
        of_map = Measurements.none_of(MAP_METRICS.keys(), DEAD)
    else:
        lungs = in_region(enrichment / 4, 0.25, is_hit=enrichment > 1)
        of_map = Measurements({**METRICS, **metrics})
    source = SourceFile("0" * 64, "1" * 64, "PNG", None, "cv2")
    return AuditedCase(
        case_id,
        RadiographFacts(8, 8, source, attributes=attributes or {}),
        InputRecord(PLACEMENT),
        Prediction("P", "z", 0.0, probability, shares, 0.5, "by hand", called, label),
        label=label,
        maps=(MapRecord(facts, 0.5, of_map, {"lungs": lungs}),),
        regions=RegionsRecord((RegionFacts("lungs", "lungs", "by hand", 0.25),)),
    )


def a_failure(case_id: str, label: str | None = None, **changes: Any) -> StoppedCase:
    return StoppedCase(
        case_id, "failed", "the file is empty", "UnreadableFile", label=label, **changes
    )


def a_source(case_id: str, patient_id: str | None = None, **metadata: str) -> CaseSource:
    return CaseSource(case_id, Path("x"), "x", None, patient_id=patient_id, metadata=metadata)

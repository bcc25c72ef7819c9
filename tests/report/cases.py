"""Cases written by hand, and how to read a PDF."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from typing import Any

import pypdf
from cxr_audit.records import (
    AuditedCase,
    CaseHashes,
    Check,
    InputRecord,
    MapFacts,
    MapRecord,
    Masking,
    Measurements,
    Placement,
    Prediction,
    Probes,
    RadiographFacts,
    RegionFacts,
    RegionsRecord,
    SourceFile,
    StoppedCase,
)
from cxr_audit.report.words import BANNER
from cxr_audit.vocabulary import MAP_METRICS, REGION_METRICS, message

FORBIDDEN = (
    r"diagnos\w*",
    r"detected",
    r"confirms?",
    r"rules? out",
    r"normal",
    r"healthy",
    r"confidence",
    r"explains? why",
)

METRICS = {
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


def in_region(
    share: float, area: float, is_hit: bool = False, rank_accuracy: float = 0.5
) -> Measurements:
    """Metrics of a region."""
    return Measurements(
        {
            "relevance_mass_accuracy": share,
            "chance": area,
            "enrichment": share / area,
            "relevance_rank_accuracy": rank_accuracy,
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
    enrichment: float | None = 2.0,
    classes: tuple[str, ...] = ("N", "P"),
    **metrics: Any,
) -> AuditedCase:
    """An audited case of target class P, called from 0.5; without enrichment its map is dead."""
    scores = {name: (1 - probability) / (len(classes) - 1) for name in classes}
    scores["P"] = probability
    called = "P" if probability >= 0.5 else "N"
    if enrichment is None:
        lungs = Measurements.none_of(REGION_METRICS.keys(), DEAD)
        focus = Measurements.none_of(MAP_METRICS.keys(), DEAD)
    else:
        lungs = in_region(enrichment / 4, 0.25, enrichment > 1)
        focus = Measurements({**METRICS, **metrics})
    status = "dead" if enrichment is None else "ok"
    facts = MapFacts("grad-cam", "grad-cam", "last", "P", status, 7, 7)
    return AuditedCase(
        case_id,
        RadiographFacts(8, 8, SourceFile("0" * 64, "1" * 64, "PNG", None, "cv2")),
        InputRecord(Placement(8, 8, 8, 8, 1.0, 1.0)),
        Prediction("P", "z", 0.0, probability, scores, 0.5, "by hand", called, label),
        label=label,
        maps=(MapRecord(facts, 0.5, focus, {"lungs": lungs}),),
        regions=RegionsRecord((RegionFacts("lungs", "lungs", "by hand", 0.25),)),
    )


def a_failure(case_id: str, label: str | None = None, reason: str = "empty file") -> StoppedCase:
    return StoppedCase(case_id, "failed", reason, error="UnreadableFile", label=label)


def failed(**changes: Any) -> StoppedCase:
    """A case whose file is cut short."""
    record = StoppedCase(
        "case-00c1",
        "failed",
        reason="The file ends after 1,204 of 3,145,728 bytes.",
        error="UnreadableFile",
        hint="Export it again.",
        hashes=CaseHashes(file_sha256="e" * 64),
    )
    return replace(record, **changes)


def pages(data: bytes) -> list[str]:
    """The text of each page of a PDF, every gap as one space."""
    texts = [page.extract_text() for page in pypdf.PdfReader(io.BytesIO(data)).pages]
    return [re.sub(r"\s+", " ", text) for text in texts]


def own_words(text: str) -> str:
    """Without what stands in quotation marks, and without the banner."""
    return re.sub(r'"[^"]*"', '""', text.replace(BANNER, ""))


MODEL_CHECKS = (
    Check("randomisation", "passed", 0.05, "below 0.33, maps of different cases"),
    Check("deletion", "passed", 1.08, "above 0.42, 32 cases"),
    Check("road", "failed", 0.1, "above 0.69, 32 cases", "it costs no more"),
)
CASE_CHECKS = (
    Check("agreement", "not_run", reason="no other method on this grid"),
    Check("worst_stability", "failed", 0.43, "at least 0.80", "one change changes the map"),
)
CHECKS = (
    Check("contrast", "failed", 0.081, "at least 0.15", "the contrast is low (0.08)"),
    Check("clipping", "passed", 0.0, "at most 0.05"),
    Check("view", "not_run", reason="the file states no view"),
    Check("age", "not_run", reason="the file states no age"),
)

REGIONS = (
    RegionFacts("lungs", "lungs", "the segmenter", 0.34, 0.93),
    RegionFacts("right lung", "lung", "the segmenter", 0.18, 0.93),
    RegionFacts("left lung", "lung", "the segmenter", 0.16, 0.93),
    RegionFacts("right upper zone", "zone", "upper third of the right lung", 0.05),
    RegionFacts("right lower zone", "zone", "lower third of the right lung", 0.06),
    RegionFacts("mediastinum", "mediastinum", "between the lungs", 0.2),
    RegionFacts("letter 1", "marker", "sharp outline", 0.004, 0.81),
    RegionFacts("border", "border", "outer 5 %", 0.19),
)
NOT_SEEN = message("focus.region_not_seen")


def with_regions(record: AuditedCase) -> AuditedCase:
    """With regions, and what was measured there of the first map."""
    measured = {
        "lungs": in_region(0.62, 0.34, True),
        "right lung": in_region(0.47, 0.18, True),
        "left lung": in_region(0.15, 0.16),
        "right upper zone": Measurements.none_of(REGION_METRICS.keys(), NOT_SEEN),
        "right lower zone": in_region(0.45, 0.06, True),
        "mediastinum": in_region(0.3, 0.2),
        "letter 1": in_region(0.12, 0.004),
        "border": in_region(0.1, 0.19),
    }
    first = replace(record.maps[0], in_regions=measured)
    regions = RegionsRecord(REGIONS, {}, {"lungs": {"edges": 0.31, "random": 0.3, "centre": 0.334}})
    return replace(record, maps=(first, *record.maps[1:]), regions=regions)


def masked(record: AuditedCase) -> AuditedCase:
    """With lungs, all else and five letters replaced, and a border that was not."""
    answers = (
        ("lungs", -2.104, -0.5, True, True),
        ("all but the lungs", 0.001, -1.25, None, False),
        *((f"letter {n}", -0.1 * n, 0.1 * n, False, n == 5) for n in range(1, 6)),
    )
    rows = []
    for name, blurred, mean, is_bad_blurred, is_bad_mean in answers:
        logit = record.prediction.logit
        rows.append(Masking(name, "blurred", logit + blurred, blurred, is_bad_blurred))
        rows.append(Masking(name, "mean", logit + mean, mean, is_bad_mean))
    letters = tuple(RegionFacts(f"letter {n}", "marker", "outline", 0.004) for n in range(1, 6))
    known = tuple(region for region in record.regions.found if region.kind != "marker")
    missing = {"border": message("focus.region_not_seen")}
    return replace(
        record,
        regions=replace(record.regions, found=(*known, *letters)),
        probes=Probes(tuple(rows), missing),
    )

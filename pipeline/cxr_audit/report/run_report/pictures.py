"""The pictures of the run report."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from cxr_audit.records import (
    AuditedCase,
    CaseRecord,
    CohortRecord,
    Distribution,
    Floats,
    RunRecord,
    WrongCase,
    audited,
)
from cxr_audit.report import plots
from cxr_audit.report.language import _, grouped
from cxr_audit.report.names import column_title
from cxr_audit.report.pictures import encode_jpeg, mean_map_picture
from cxr_audit.report.run_report.factors import band_shares
from cxr_audit.report.run_report.performance import bins, operating_point, roc
from cxr_audit.report.words import OUTCOMES

MOST_ERRORS = 12
"""Wrong answers of a kind that are shown with their picture."""
PLOT_MM = 56.0
# metric -> what a map that is the same everywhere would have
FOCUS = {
    "high_focus_fraction": None,
    "lungs_relevance_mass_accuracy": None,
    "lungs_enrichment": 1.0,
    "border_fraction": None,
    "entropy": None,
}


class MeanMap(Protocol):
    """As `cxr_audit.cohort.mean_map` makes it."""

    num_cases: int
    values: Floats
    lungs: Floats


def summary_pictures(
    cases: Sequence[CaseRecord],
    run: RunRecord,
    cohort: CohortRecord,
    mean_maps: Mapping[str, MeanMap],
) -> dict[str, bytes]:
    """The pictures that the report draws itself, by role: SVG, and JPEG for mean maps.

    Parameters
    ----------
    cases, run, cohort : records of the run.
    mean_maps : by outcome.
    """
    pictures = {}
    points = roc(audited(cases))
    if points:
        point = operating_point(cohort)
        pictures["roc"] = plots.roc(*points, point, PLOT_MM).encode()
    counted = bins(cohort)
    if counted:
        pictures["reliability"] = plots.reliability(counted, PLOT_MM).encode()
    focus = _focus(cohort)
    if focus:
        pictures["focus"] = focus.encode()
    if run.calibration.cascade:
        stages = [
            (stage.num_layers, stage.spearman, stage.ssim) for stage in run.calibration.cascade
        ]
        pictures["cascade"] = plots.cascade(stages, 100, 40).encode()
    shares = band_shares(cohort)
    if shares:
        pictures["places"] = plots.places(*shares, 70, 62).encode()
    scale = mean_map_scale(mean_maps)
    if scale:
        for outcome, mean_map in mean_maps.items():
            drawn = mean_map_picture(mean_map.values, mean_map.lungs, scale)
            pictures[f"mean_{outcome}"] = encode_jpeg(drawn)
    return pictures


def worst_cases(
    cases: Sequence[CaseRecord], cohort: CohortRecord
) -> dict[str, tuple[WrongCase, AuditedCase]]:
    """The most wrong cases that the report shows, by role of their picture."""
    known = {case.case_id: case for case in audited(cases)}
    found = {}
    for kind in ("positive", "negative"):
        for place, wrong in enumerate(wrong_cases(cohort, kind)[:MOST_ERRORS]):
            found[f"worst_{kind}_{place}"] = wrong, known[wrong.case_id]
    return found


def wrong_cases(cohort: CohortRecord, kind: str) -> tuple[WrongCase, ...]:
    """False positives or false negatives, the most wrong first."""
    return cohort.false_positives if kind == "positive" else cohort.false_negatives


def mean_map_scale(mean_maps: Mapping[str, MeanMap]) -> float:
    """One upper end for all outcomes, so that they compare.

    The largest value, rounded up to the two digits that are printed; 0 where nothing is drawn.
    """
    largest = max((float(found.values.max()) for found in mean_maps.values()), default=0.0)
    if largest <= 0:
        return 0.0
    digit = 10.0 ** (math.floor(math.log10(largest)) - 1)
    return float(f"{math.ceil(largest / digit - 1e-9) * digit:.2g}")


def _focus(cohort: CohortRecord) -> str | None:
    """Distributions by outcome; one case alone makes none."""
    outcomes = _drawn_outcomes(cohort)
    panels = [_panel(cohort, metric, outcomes) for metric in FOCUS]
    has_boxes = any(box for panel in panels for box in panel.boxes)
    if not has_boxes or max(outcomes.values(), default=0) < 2:
        return None
    labels = [f"{_(OUTCOMES[name])} ({grouped(count)})" for name, count in outcomes.items()]
    return plots.boxes(panels, labels, 178, 14 + 6.5 * len(labels))


def _drawn_outcomes(cohort: CohortRecord) -> dict[str, int]:
    """Outcomes with at least one audited case."""
    unlabelled = sum(counted.num_cases for counted in cohort.cases.unlabelled)
    counts = {**cohort.outcomes, "no_label": unlabelled}
    return {name: counts[name] for name in OUTCOMES if counts[name]}


def _panel(cohort: CohortRecord, metric: str, outcomes: Iterable[str]) -> plots.Panel:
    by_outcome = {found.outcome: found for found in cohort.distributions if found.metric == metric}
    title = column_title(metric)
    if metric == "lungs_enrichment":
        title = _("… relative to the area")
    boxes = tuple(_box(by_outcome.get(outcome)) for outcome in outcomes)
    return plots.Panel(title, boxes, FOCUS[metric])


def _box(found: Distribution | None) -> plots.Box | None:
    if found is None or found.quantiles is None:
        return None
    _least, lowest, low, middle, high, highest, _most = found.quantiles
    return lowest, low, middle, high, highest

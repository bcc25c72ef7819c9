"""The colour scale of maps in words."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_audit.records import MapRecord, RunRecord
from cxr_audit.report.language import _, joined, said
from cxr_audit.report.pictures import colour_bar_stops
from cxr_audit.report.words import (
    calibrated_before,
    number,
    sentence,
    stopped_short,
    unit_words,
)


@dataclass(frozen=True, slots=True)
class Scale:
    """A colour scale from 0 upwards.

    Parameters
    ----------
    gradient : its colours, as CSS has them.
    end : what the brightest colour stands for; None where nothing was drawn.
    unit : of a cell.
    source : where the end is from.
    others : the ends of the other methods and layers, where they differ.
    is_own : the scale is this map's own, and compares with no other map.
    """

    gradient: str
    end: str | None
    unit: str
    source: str | None
    others: str | None
    is_own: bool


def find_scale(run: RunRecord, drawn: MapRecord | None = None) -> Scale:
    """The scale of a map; without one, that of the run."""
    own = drawn.scale if drawn else None
    end = run.calibration.scale if own is None else own
    if drawn and own is None:
        end = run.calibration.scales.get(f"{drawn.facts.method}@{drawn.facts.layer}", end)
    source = None
    if run.calibration.scale_source:
        parts = [stopped_short(said(run.calibration.scale_source))]
        if run.calibration.scale is not None:
            parts += calibrated_before(run)
        source = sentence(joined("; ", parts))
    return Scale(
        gradient=", ".join(colour_bar_stops()),
        end=None if end is None else number(end, 2 if end >= 0.01 else 3),
        unit=unit_words(drawn.facts.unit if drawn else "logit"),
        source=source,
        others=_others(run),
        is_own=own is not None,
    )


def _others(run: RunRecord) -> str | None:
    if len(set(run.calibration.scales.values())) < 2:
        return None
    ends = [
        _("{map}: 0 to {end}", map=key.replace("@", ", "), end=number(end))
        for key, end in sorted(run.calibration.scales.items())
    ]
    return "; ".join(ends)

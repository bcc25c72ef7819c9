"""Records -> `Panel`: the audited cases of a run by factor. One pass; at most `MOST` are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cxr_audit.cohort.factors import Panel
from cxr_audit.cohort.intervals import Doubles
from cxr_audit.records import AuditedCase, CaseRecord
from cxr_audit.vocabulary.factors import FACTORS, low_level_names, measured_factors

MOST = 4000
"""Cases beside those that were asked; more are thinned out evenly."""
WORDS = {
    "photometric": ("PhotometricInterpretation",),
    "device": ("Manufacturer", "ManufacturerModelName"),
    "view": ("ViewPosition",),
}


@dataclass(frozen=True, slots=True)
class Kept:
    """What is kept of a case.

    Parameters
    ----------
    words : factors in words that the file states.
    places : change of the logit with a band or the border replaced.
    marker : the largest change with a marker replaced; None where there is none.
    """

    case_id: str
    label: str | None
    logit: float
    measured: dict[str, float]
    words: dict[str, str]
    factors: dict[str, tuple[float, float]]
    places: dict[str, float]
    marker: float | None
    low_level: tuple[float, ...]

    @classmethod
    def of(cls, case: AuditedCase) -> Kept:
        probes = case.probes
        markers = [probes.mean_replaced[name] for name in probes.mean_replaced if name != "border"]
        places = dict(probes.bands)
        if "border" in probes.mean_replaced:
            places["border"] = probes.mean_replaced["border"]
        return cls(
            case.case_id,
            case.label,
            case.prediction.logit,
            case.input.measured,
            _words(case),
            probes.factors,
            places,
            max(markers, key=abs, default=None),
            case.input.low_level,
        )


def _words(case: AuditedCase) -> dict[str, str]:
    """The factors in words that the file states."""
    attributes, found = case.radiograph.attributes, {}
    for key, names in WORDS.items():
        stated = [attributes[name] for name in names if name in attributes]
        if stated:
            found[key] = " ".join(stated)
    return found


class PanelBuilder:
    """Takes the records of a run, one by one."""

    def __init__(self) -> None:
        self._asked: list[Kept] = []
        self._others: list[Kept] = []
        self._step, self._seen = 1, 0

    def add(self, record: CaseRecord) -> None:
        """A case; one that was stopped, or has no factor, is left out."""
        if not isinstance(record, AuditedCase) or not record.input.measured:
            return
        if record.probes.factors or record.probes.bands:
            self._asked.append(Kept.of(record))
            return
        if self._seen % self._step == 0:
            self._others.append(Kept.of(record))
        self._seen += 1
        if len(self._others) > MOST:
            self._others = self._others[::2]
            self._step *= 2

    def panel(self, patients: Mapping[str, int]) -> Panel:
        """Everything by factor.

        Parameters
        ----------
        patients : the number of each case's patient.
        """
        return panel_of([*self._asked, *self._others], patients)


def panel_of(cases: Sequence[Kept], patients: Mapping[str, int]) -> Panel:
    """Cases by factor.

    Parameters
    ----------
    patients : the number of each case's patient.
    """
    names = {case.label for case in cases}
    numbers = {name: number for number, name in enumerate(sorted(names, key=str))}
    place_names = {name for case in cases for name in case.places}
    statistics = None
    if cases and all(len(case.low_level) == len(low_level_names()) for case in cases):
        statistics = np.array([case.low_level for case in cases], float)
    marker = [case.marker for case in cases]
    return Panel(
        logit=np.array([case.logit for case in cases], float),
        labels=np.array([numbers[case.label] for case in cases], np.intp),
        patients=np.array([patients[case.case_id] for case in cases], np.intp),
        values={row.key: _column(cases, row.key) for row in measured_factors()},
        words={
            row.key: tuple(case.words.get(row.key) for case in cases)
            for row in FACTORS
            if row.is_words
        },
        ranges=_ranges(cases),
        places={
            name: np.array([case.places.get(name, np.nan) for case in cases], float)
            for name in sorted(place_names)
        },
        marker=np.array(marker, float),
        statistics=statistics,
    )


def _column(cases: Sequence[Kept], key: str) -> Doubles:
    return np.array([case.measured.get(key, np.nan) for case in cases], float)


def _ranges(cases: Sequence[Kept]) -> dict[str, Doubles]:
    """By factor, the difference between the highest and the lowest logit; NaN where not asked."""
    keys = {key for case in cases for key in case.factors}
    ranges = {}
    for key in sorted(keys):
        column = np.full(len(cases), np.nan)
        for n, case in enumerate(cases):
            if key in case.factors:
                low, high = case.factors[key]
                column[n] = max(0.0, low, high) - min(0.0, low, high)
        ranges[key] = column
    return ranges

"""Cases -> one small summary a case, and their numbers by column: one pass, no record is kept."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cxr_audit.cohort.cases import Values, case_values, counts_in_share, value_columns
from cxr_audit.cohort.intervals import Bools, Doubles
from cxr_audit.cohort.panel import PanelBuilder
from cxr_audit.records import (
    AuditedCase,
    CaseRecord,
    CaseStatus,
    CountedReason,
    Outcome,
    TrustState,
)
from cxr_audit.vocabulary import MASKING_NUMBERS, REGION_METRICS, Text
from cxr_audit.vocabulary.metrics import Datatype
from cxr_audit.vocabulary.names import of_map, of_masking, of_regions, region_column
from cxr_audit.vocabulary.regions import kinds_of_cases

DEFINED = -1


@dataclass(frozen=True, slots=True)
class CaseSummary:
    """What is kept of a case beside its numbers.

    Parameters
    ----------
    case_id, status, label, file_sha256, file_hmac, outcome : as in the record.
    target_class, predicted, logit, probability, threshold, is_correct : of the prediction; None
        for a case that was stopped.
    is_labelled : an audited case whose label names a class.
    trust : the state; None where it was not checked.
    flags : those raised.
    regions : kinds of which a case has one region at most and this one has it.
    has_marker : a marker was found.
    marker_change : change of the logit with a marker replaced by the run's mean radiograph; of
        several the largest.
    border_change : the same with the border.
    exposure : change of the logit with the image darker, and brighter.
    """

    case_id: str
    status: CaseStatus
    label: str | None = None
    file_sha256: str | None = None
    outcome: Outcome | None = None
    target_class: str | None = None
    predicted: str | None = None
    logit: float | None = None
    probability: float | None = None
    threshold: float | None = None
    is_correct: bool | None = None
    is_labelled: bool = False
    trust: TrustState | None = None
    flags: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    has_marker: bool = False
    marker_change: float | None = None
    border_change: float | None = None
    exposure: tuple[float, float] | None = None
    file_hmac: str | None = None

    @classmethod
    def of(cls, case: CaseRecord) -> CaseSummary:
        """The summary of a case, audited or stopped."""
        if not isinstance(case, AuditedCase):
            return cls(
                case.case_id,
                case.status,
                case.label,
                case.hashes.file_sha256,
                file_hmac=case.hashes.file_hmac,
            )
        prediction, probes = case.prediction, case.probes
        exposure = None
        if probes.exposure:
            exposure = probes.exposure["darker"], probes.exposure["brighter"]
        return cls(
            case_id=case.case_id,
            status=case.status,
            label=case.label,
            file_sha256=case.hashes.file_sha256,
            file_hmac=case.hashes.file_hmac,
            outcome=case.outcome,
            target_class=prediction.target_class,
            predicted=prediction.predicted,
            logit=prediction.logit,
            probability=prediction.probability,
            threshold=prediction.threshold,
            is_correct=prediction.is_correct,
            is_labelled=case.label in prediction.class_scores,
            trust=None if case.trust is None else case.trust.state,
            flags=case.flags.names,
            regions=tuple(kind.key for kind in kinds_of_cases() if case.regions.first(kind.key)),
            has_marker=case.regions.first("marker") is not None,
            marker_change=marker_change(case),
            border_change=probes.mean_replaced.get("border"),
            exposure=exposure,
        )

    @property
    def is_audited(self) -> bool:
        return self.status == "ok"


def marker_change(case: AuditedCase) -> float | None:
    """The largest change of the logit with a marker replaced by the run's mean radiograph."""
    replaced = case.probes.mean_replaced
    return max((replaced[name] for name in replaced if name != "border"), key=abs, default=None)


class Cases:
    """Many cases, by column.

    Parameters
    ----------
    records : read once, in order.
    attributes : names whose value of each case is kept, beside what is always kept.
    attribute_of : gives the value of a case.
    """

    def __init__(
        self,
        records: Iterable[CaseRecord],
        attributes: Sequence[str] = (),
        attribute_of: Callable[[CaseRecord, str], str | None] | None = None,
    ) -> None:
        self.summaries: list[CaseSummary] = []
        self.factors = PanelBuilder()
        self.attributes: dict[str, list[str | None]] = {name: [] for name in attributes}
        self._values = {name: array("d") for name in value_columns()}
        self._reasons = {name: array("i") for name in value_columns()}
        self._not_in_share = {name: array("i") for name in _partial_columns()}
        self._texts: dict[Text, int] = {}
        self._words: dict[str, int] = {}
        known: dict[str | None, str | None] = {}  # one object for all equal values
        for record in records:
            self._add(record)
            for name in attributes:
                value = attribute_of(record, name) if attribute_of else None
                self.attributes[name].append(known.setdefault(value, value))

    def __len__(self) -> int:
        return len(self.summaries)

    def _add(self, record: CaseRecord) -> None:
        place = len(self.summaries)
        self.summaries.append(CaseSummary.of(record))
        self.factors.add(record)
        values, reasons = case_values(record)
        for name, column in self._values.items():
            column.append(self._number(values[name]))
            reason = DEFINED
            if values[name] is None:
                reason = self._texts.setdefault(reasons[name], len(self._texts))
            self._reasons[name].append(reason)
        for name, places in self._not_in_share.items():
            if not counts_in_share(record, name):
                places.append(place)

    def values(self, column: str) -> Doubles:
        """All values of a column, NaN where undefined; yes = 1; words by an arbitrary number."""
        return np.array(self._values[column], np.float64)

    def is_defined(self, column: str) -> Bools:
        return np.asarray(np.array(self._reasons[column], np.intp) == DEFINED)

    def in_share(self, column: str) -> Bools:
        """Which cases a share of the column is of; see `counts_in_share`."""
        inside = np.ones(len(self), bool)
        if column in self._not_in_share:
            inside[np.array(self._not_in_share[column], np.intp)] = False
        return inside

    def has_status(self, *statuses: CaseStatus) -> Bools:
        return np.array([case.status in statuses for case in self.summaries], bool)

    def has_region(self, kind: str) -> Bools:
        """Which cases have a region of a kind of which a case has one at most."""
        return np.array([kind in case.regions for case in self.summaries], bool)

    def is_labelled(self) -> Bools:
        return np.array([case.is_labelled for case in self.summaries], bool)

    def undefined(self, column: str, among: Bools) -> tuple[CountedReason, ...]:
        """How many of some cases have no value, by reason; the reasons by their English text."""
        indices = np.array(self._reasons[column], np.intp)[among]
        counts = np.bincount(indices[indices != DEFINED], minlength=len(self._texts))
        reasons = [
            CountedReason(text, int(count))
            for text, count in zip(self._texts, counts, strict=True)
            if count
        ]
        return tuple(sorted(reasons, key=lambda counted: str(counted.reason)))

    def word_counts(self, column: str, among: Bools) -> dict[str, int]:
        """How many of some cases have each value of words or of yes and no."""
        values = self.values(column)[among & self.is_defined(column)]
        numbers, counts = np.unique(values, return_counts=True)
        words = [str(self._value(column, number)).lower() for number in numbers]
        return dict(sorted(zip(words, map(int, counts), strict=True)))

    def values_of(self, place: int) -> Values:
        """All values of one case."""
        values: Values = {}
        for name, column in self._values.items():
            is_defined = self._reasons[name][place] == DEFINED
            values[name] = self._value(name, column[place]) if is_defined else None
        return values

    def _number(self, value: Any) -> float:
        """A value as it is kept: a word by its number."""
        if value is None:
            return math.nan
        if isinstance(value, str):
            return float(self._words.setdefault(value, len(self._words)))
        return float(value)

    def _value(self, column: str, number: float) -> float | int | bool | str:
        """A value as it was before `_number`."""
        datatype = datatypes()[column]
        if datatype == "string":
            return list(self._words)[int(number)]
        if datatype == "boolean":
            return bool(number)
        return int(number) if datatype == "integer" else float(number)


def datatypes() -> dict[str, Datatype]:
    """Of each column of `case_values`."""
    described = of_map() | of_regions() | of_masking()
    types: dict[str, Datatype] = dict.fromkeys(value_columns(), "boolean")
    return types | {name: column.datatype for name, column in described.items()}


def _partial_columns() -> list[str]:
    """Columns of which not every case counts in a share."""
    names = list(MASKING_NUMBERS.keys())
    for kind in kinds_of_cases():
        if kind.key == "annotation":
            names += [region_column(kind, metric) for metric in REGION_METRICS]
    return names

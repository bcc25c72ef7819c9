"""Two runs -> the cases that both have, in pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cxr_audit.cohort.columns import Cases, CaseSummary
from cxr_audit.records import CaseRecord, RunRecord

Run = tuple[RunRecord, str, Iterable[CaseRecord]]
"""A run, the SHA-256 of its `SHA256SUMS`, and its cases."""


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two runs."""

    run: RunRecord
    sha256sums: str
    cases: Cases

    @classmethod
    def of(cls, run: Run) -> Side:
        record, sha256sums, cases = run
        return cls(record, sha256sums, Cases(cases))


@dataclass(frozen=True, slots=True)
class Pair:
    """One case in both runs, with its place in each."""

    a: CaseSummary
    b: CaseSummary
    place_a: int
    place_b: int

    @property
    def is_audited(self) -> bool:
        """In both runs."""
        return self.a.is_audited and self.b.is_audited


def match(a: Sequence[CaseSummary], b: Sequence[CaseSummary], is_same_key: bool) -> list[Pair]:
    """The cases that two runs share, in the order of A.

    Parameters
    ----------
    a, b : the cases of each run.
    is_same_key : the case ids of both come from one key. Then cases are matched by id, else by the
        file's SHA-256; of several equal files the first is matched with the first.
    """
    places_a, places_b = _keyed(a, is_same_key), _keyed(b, is_same_key)
    common = sorted((places_a[key], places_b[key]) for key in places_a if key in places_b)
    return [Pair(a[place_a], b[place_b], place_a, place_b) for place_a, place_b in common]


def _keyed(cases: Sequence[CaseSummary], is_same_key: bool) -> dict[tuple[str, int], int]:
    """Key of a case -> its place."""
    if is_same_key:
        return {(case.case_id, 0): place for place, case in enumerate(cases)}
    num_equal: Counter[str] = Counter()
    places: dict[tuple[str, int], int] = {}
    for place in sorted(range(len(cases)), key=lambda place: cases[place].case_id):
        sha256 = cases[place].file_sha256
        if sha256 is not None:
            places[sha256, num_equal[sha256]] = place
            num_equal[sha256] += 1
    return places

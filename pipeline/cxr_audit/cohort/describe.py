"""Cases and their patients -> CohortRecord.

Only audited cases with a label that names a class are measured; all others are counted, with the
reason. Where a patient is not known, the case counts as a patient of its own, and the record says
for how many. The records are read once, and none is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

import numpy as np

from cxr_audit.cohort.acceptance import Evidence, judge
from cxr_audit.cohort.columns import Cases, CaseSummary
from cxr_audit.cohort.dependence import dependence
from cxr_audit.cohort.factors import factor_verdicts
from cxr_audit.cohort.intervals import Bools, Integers, Resampling
from cxr_audit.cohort.performance import Outputs, performance
from cxr_audit.config import Acceptance, Cohort
from cxr_audit.records import (
    QUANTILES,
    CaseRecord,
    CaseSource,
    CaseStatus,
    Check,
    CohortCases,
    CohortRecord,
    CountedReason,
    Distribution,
    Estimate,
    Reliability,
    Subgroup,
    SubgroupColumn,
    WrongCase,
)
from cxr_audit.vocabulary import Message, message
from cxr_audit.vocabulary.names import case_numbers, case_words, case_yes_or_no
from cxr_audit.vocabulary.regions import kinds_of_cases

LONGEST_VALUE = 60  # characters of a subgroup's value


def describe(
    records: Iterable[CaseRecord],
    sources: Iterable[CaseSource],
    config: Cohort,
    acceptance: Acceptance,
    seed: int,
    checks: Sequence[Check] = (),
) -> CohortRecord:
    """What a run says about the classifier.

    Parameters
    ----------
    records : of all cases, whatever their status; read once.
    sources : what is known of the same cases beside their pixels; a case that is missing here has
        no patient.
    config, acceptance : of the run.
    seed : of the resampling of patients.
    checks : of the explanation, those made once a model.
    """
    known = {source.case_id: source for source in sources}

    def attribute(case: CaseRecord, column: str) -> str | None:
        return _attribute(case, known.get(case.case_id), column)

    cases = Cases(records, config.subgroups, attribute)
    return _Description(cases, known, config, seed).record(acceptance, checks)


class _Description:
    """A run whose cases are known by column.

    Parameters
    ----------
    cases : all cases.
    known : what is known of them beside their pixels, by case id.
    config : the section `cohort`.
    seed : of the resampling of patients.
    """

    def __init__(
        self, cases: Cases, known: Mapping[str, CaseSource], config: Cohort, seed: int
    ) -> None:
        self.cases, self.config, self.seed = cases, config, seed
        self.patient_of: dict[str, str | None] = {}
        for case in cases.summaries:
            source = known.get(case.case_id)
            self.patient_of[case.case_id] = source.patient_id if source else None
        self.numbers, self.patients_text = number_patients(self.patient_of)
        self.patients: Integers = np.array(
            [self.numbers[case.case_id] for case in cases.summaries], np.intp
        )
        self.is_audited = cases.has_status("ok")
        self.is_labelled = cases.is_labelled()
        self.outputs = self._outputs()
        self.outcomes: dict[str, Bools] = {}
        for name, inside in self.outputs.outcomes.items():
            self.outcomes[name] = self._of_all(inside)

    def record(self, acceptance: Acceptance, checks: Sequence[Check]) -> CohortRecord:
        """Everything together."""
        cases, config, seed = self.cases, self.config, self.seed
        whole = performance(self.outputs, config.prevalence, config.rounds, seed)
        depends = dependence(cases, acceptance, self.numbers, config.rounds, seed)
        groups = {**self.outcomes, "all": self.is_audited}
        evidence = Evidence(whole.metrics, cases, groups, self._resampling, (*checks, *depends))
        targets = (case.target_class for case in cases.summaries if case.is_audited)
        return CohortRecord(
            target_class=next(targets, None),
            cases=self._cases(),
            outcomes={name: int(inside.sum()) for name, inside in self.outcomes.items()},
            method=message("cohort.method", rounds=config.rounds, seed=seed),
            metrics=whole.metrics,
            reliability=Reliability(whole.reliability, whole.ece_if_calibrated),
            subgroups=tuple(self._subgroups(column) for column in config.subgroups),
            false_positives=self._ranked("false_positive", -1),
            false_negatives=self._ranked("false_negative", 1),
            distributions=tuple(self._distributions()),
            acceptance=judge(acceptance, evidence),
            dependence=depends,
            factors=factor_verdicts(
                cases.factors.panel(self.numbers), acceptance, config.rounds, seed
            ),
            hit_rates={kind.key: self._hit_rate(kind.key) for kind in kinds_of_cases()},
        )

    def _cases(self) -> CohortCases:
        """Which cases the figures are of."""
        statuses = Counter(case.status for case in self.cases.summaries)
        is_known = [name is not None for name in self.patient_of.values()]
        is_stated = bool(self.config.prevalence)
        source = "cohort.prevalence_stated" if is_stated else "cohort.prevalence_of_run"
        return CohortCases(
            statuses={status: statuses[status] for status in get_args(CaseStatus)},
            unlabelled=self._unlabelled(),
            num_patients=len(set(self.numbers.values())),
            patients=self.patients_text,
            prevalence=self._prevalence(),
            prevalence_source=message(source),
            num_of_known_patients=sum(is_known),
        )

    def _resampling(self, among: Bools) -> Resampling:
        return Resampling(self.patients[among], self.config.rounds, self.seed)

    def _of_all(self, of_labelled: Bools) -> Bools:
        """A choice among the labelled cases as one among all."""
        chosen = np.zeros(len(self.cases), bool)
        chosen[np.flatnonzero(self.is_labelled)[of_labelled]] = True
        return chosen

    def _outputs(self) -> Outputs:
        labelled = [case for case in self.cases.summaries if case.is_labelled]
        return Outputs(
            positive=np.array([case.label == case.target_class for case in labelled], bool),
            probability=np.array([case.probability for case in labelled], float),
            called=np.array([case.predicted == case.target_class for case in labelled], bool),
            patients=self.patients[self.is_labelled],
        )

    def _prevalence(self) -> float | None:
        if self.config.prevalence:
            return self.config.prevalence
        return float(self.outputs.positive.mean()) if self.is_labelled.any() else None

    def _unlabelled(self) -> tuple[CountedReason, ...]:
        """How many audited cases cannot be measured, by reason."""
        counts: Counter[str] = Counter()
        for case in self.cases.summaries:
            if case.is_audited and not case.is_labelled:
                counts["cohort.no_label" if case.label is None else "cohort.unknown_label"] += 1
        return tuple(CountedReason(message(code), num) for code, num in sorted(counts.items()))

    def _hit_rate(self, kind: str) -> Estimate:
        """The share of cases whose map's maximum lies in a region, of those that have it."""
        column = f"{kind}_pointing_game_hit"
        has_region = self.cases.has_region(kind)
        hits = self.cases.values(column)[has_region] == 1
        everyone = np.ones(hits.shape, bool)
        missing = message("cohort.no_region")
        return self._resampling(has_region).share(hits, everyone, missing)

    def _ranked(self, outcome: str, sign: int) -> tuple[WrongCase, ...]:
        """Wrong cases, the most wrong first."""
        places = np.flatnonzero(self.outcomes[outcome])
        wrong = [_wrong_case(self.cases, int(place)) for place in places]
        return tuple(sorted(wrong, key=lambda case: (sign * case.probability, case.case_id)))

    def _subgroups(self, column: str) -> SubgroupColumn:
        """The labelled cases split by one column."""
        config = self.config
        chosen = np.flatnonzero(self.is_labelled)
        values = [self.cases.attributes[column][place] for place in chosen]
        counts = Counter(value for value in values if value is not None)
        shown = sorted(value for value, count in counts.items() if count >= config.min_cases)
        groups: list[Subgroup] = []
        for value in shown:
            members = self.outputs.of(np.array([own == value for own in values]))
            result = performance(members, config.prevalence, config.rounds, self.seed)
            num_positive = int(members.positive.sum())
            num_negative = counts[value] - num_positive
            groups.append(Subgroup(value, num_positive, num_negative, result.metrics))
        return SubgroupColumn(
            column,
            tuple(groups),
            num_missing=values.count(None),
            num_suppressed_values=len(counts) - len(shown),
            num_suppressed_cases=counts.total() - sum(counts[value] for value in shown),
            reason=None if shown else _no_group(config, bool(counts)),
        )

    def _distributions(self) -> list[Distribution]:
        """Every metric by outcome."""
        words = distributed_words()
        groups = {**self.outcomes, "no_label": self.is_audited & ~self.is_labelled}
        found: list[Distribution] = []
        for metric in (*case_numbers(), *words):
            is_defined, values = self.cases.is_defined(metric), self.cases.values(metric)
            for outcome, inside in groups.items():
                defined = values[inside & is_defined]
                quantiles, counts = None, None
                if metric in words:
                    counts = self.cases.word_counts(metric, inside)
                elif defined.size:
                    quantiles = tuple(map(float, np.quantile(defined, QUANTILES)))
                undefined = self.cases.undefined(metric, inside)
                num = int(inside.sum())
                found.append(Distribution(metric, outcome, num, undefined, quantiles, counts))
        return found


def distributed_words() -> tuple[str, ...]:
    """Columns of words, hits and flags whose values are counted by outcome."""
    own = [
        name
        for name in case_yes_or_no()
        if name.endswith("_pointing_game_hit") or name.startswith("flag_")
    ]
    return (*case_words(), *own)


def number_patients(patient_of: Mapping[str, str | None]) -> tuple[dict[str, int], Message]:
    """A number for each case's patient, and for how many cases the patient is known.

    Parameters
    ----------
    patient_of : by case id; None where it is not known, and then the case gets its own number.
    """
    numbers: dict[tuple[str, bool], int] = {}
    numbered: dict[str, int] = {}
    for case_id, name in patient_of.items():
        key = (name or case_id, name is None)
        numbered[case_id] = numbers.setdefault(key, len(numbers))
    num, num_known = len(numbered), sum(name is not None for name in patient_of.values())
    if num_known == num:
        return numbered, message("cohort.patients_known", known=num_known, num=num)
    if num_known:
        return numbered, message("cohort.patients_partly_known", known=num_known, num=num)
    return numbered, message("cohort.patients_unknown", num=num)


def _attribute(case: CaseRecord, source: CaseSource | None, column: str) -> str | None:
    """A case's value of a column: an attribute that ingestion allows, else the manifest's."""
    attribute = case.radiograph.attributes.get(column) if case.radiograph else None
    stated = source.metadata.get(column, "") if source else ""
    return attribute or _printable(stated) or None


def _printable(text: str) -> str:
    """A manifest's cell as it may be printed: short, and without what would turn or hide text."""
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    return shown if len(shown) <= LONGEST_VALUE else f"{shown[:LONGEST_VALUE]}…"


def _no_group(config: Cohort, has_values: bool) -> Message:
    """Why no subgroup is shown."""
    if has_values:
        return message("cohort.groups_too_small", limit=config.min_cases)
    return message("cohort.no_value")


def _wrong_case(cases: Cases, place: int) -> WrongCase:
    case: CaseSummary = cases.summaries[place]
    return WrongCase(
        case.case_id,
        case.label or "",
        case.predicted or "",
        case.probability or 0.0,
        cases.values_of(place),
    )

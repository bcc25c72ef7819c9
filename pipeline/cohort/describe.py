"""CaseRecords and their patients -> CohortRecord.

Only audited cases with a label that names a class are measured; all others are counted, with why. Where a patient
is not known, the case counts as a patient of its own, and the record says for how many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.cohort.acceptance import judge
from pipeline.cohort.cases import case_values
from pipeline.cohort.intervals import Integers, Resampling, num_different
from pipeline.cohort.performance import Outputs, performance
from pipeline.config import Acceptance, Cohort
from pipeline.records import (
    CASE_NUMBERS,
    QUANTILES,
    CaseRecord,
    CaseSource,
    CaseStatus,
    CohortRecord,
    Distribution,
    Subgroup,
    SubgroupColumn,
    WrongCase,
)

NUM_BINS = 20
WORDS = ("focus_band", "lungs_pointing_game_hit")


def describe(
    records: Sequence[CaseRecord], sources: Sequence[CaseSource], asked: Cohort, acceptance: Acceptance, seed: int
) -> CohortRecord:
    """What a run says about the classifier.

    Parameters
    ----------
    records : of all cases, whatever their status.
    sources : what is known of the same cases beside their pixels; a case that is missing here has no patient.
    """
    known = {source.case_id: source for source in sources}
    audited = [record for record in records if record.prediction is not None and record.status == "ok"]
    labelled = [record for record in audited if _unlabelled(record) is None]
    outputs = outputs_of(labelled, known)
    whole = performance(outputs, asked.prevalence, asked.rounds, seed)
    outcomes: dict[str, list[CaseRecord]] = {
        name: [record for record, is_in in zip(labelled, inside, strict=True) if is_in]
        for name, inside in outputs.outcomes.items()
    }
    statuses: dict[CaseStatus, int] = {"ok": 0, "excluded": 0, "failed": 0}
    for record in records:
        statuses[record.status] += 1
    num_known = sum(bool(known[record.case_id].patient_id) for record in records if record.case_id in known)
    prevalence = asked.prevalence or (float(outputs.positive.mean()) if labelled else None)
    groups = {**outcomes, "no_label": [record for record in audited if _unlabelled(record)]}
    return CohortRecord(
        target_class=audited[0].prediction.target_class if audited and audited[0].prediction else None,
        statuses=statuses,
        unlabelled=dict(Counter(reason for record in audited if (reason := _unlabelled(record)))),
        num_patients=num_different(patients(records, known)),
        patients=f"known for {num_known} of {len(records)} cases"
        + ("" if num_known == len(records) else "; each other case counts as a patient of its own"),
        outcomes={name: len(members) for name, members in outcomes.items()},
        prevalence=prevalence,
        prevalence_source="stated in the config" if asked.prevalence else "of this run",
        method=f"patients resampled {asked.rounds} times, seed {seed}; see pipeline/cohort/intervals.py",
        metrics=whole.metrics,
        ece_if_calibrated=whole.ece_if_calibrated,
        reliability=whole.reliability,
        subgroups=tuple(_subgroups(column, labelled, known, outputs, asked, seed) for column in asked.subgroups),
        false_positives=_ranked(outcomes["false_positive"], -1),
        false_negatives=_ranked(outcomes["false_negative"], 1),
        distributions=tuple(_distributions(groups)),
        acceptance=judge(
            acceptance,
            whole.metrics,
            records,
            {**outcomes, "all": audited},
            lambda cases: Resampling(patients(cases, known), asked.rounds, seed),
        ),
    )


def outputs_of(labelled: Sequence[CaseRecord], known: Mapping[str, CaseSource]) -> Outputs:
    """The outputs of audited cases with a label, as arrays."""
    predictions = [record.prediction for record in labelled if record.prediction is not None]
    of_target = [
        (r.label == p.target_class, p.predicted == p.target_class) for r, p in zip(labelled, predictions, strict=True)
    ]
    positive, called = np.array(of_target, bool).reshape(-1, 2).T
    return Outputs(positive, np.array([p.probability for p in predictions], float), called, patients(labelled, known))


def patients(records: Sequence[CaseRecord], known: Mapping[str, CaseSource]) -> Integers:
    """A number for each case's patient, (N,): the same where the patient is."""
    names = [
        ("patient", known[r.case_id].patient_id)
        if r.case_id in known and known[r.case_id].patient_id
        else ("case", r.case_id)
        for r in records
    ]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], np.intp)


def _unlabelled(record: CaseRecord) -> str | None:
    """Why an audited case cannot be measured."""
    if record.label is None:
        return "no label"
    return None if record.prediction and record.label in record.prediction.class_scores else "the label is no class"


def _subgroups(
    column: str,
    labelled: Sequence[CaseRecord],
    known: Mapping[str, CaseSource],
    outputs: Outputs,
    asked: Cohort,
    seed: int,
) -> SubgroupColumn:
    values = [_value(record, known.get(record.case_id), column) for record in labelled]
    counts = Counter(value for value in values if value is not None)
    shown = sorted(value for value, count in counts.items() if count >= asked.min_cases)
    groups = []
    for value in shown:
        members = outputs.of(np.array([one == value for one in values]))
        found = performance(members, asked.prevalence, asked.rounds, seed)
        num_positive = int(members.positive.sum())
        groups.append(Subgroup(value, num_positive, members.positive.size - num_positive, found.metrics))
    if shown:
        reason = None
    else:
        reason = f"every value has fewer than {asked.min_cases} cases" if counts else "no case has a value"
    return SubgroupColumn(
        column,
        tuple(groups),
        num_missing=values.count(None),
        num_suppressed_values=len(counts) - len(shown),
        num_suppressed_cases=sum(count for value, count in counts.items() if value not in shown),
        reason=reason,
    )


def _value(record: CaseRecord, source: CaseSource | None, column: str) -> str | None:
    """A case's value of a column: an attribute that ingestion allows, else the manifest's."""
    attribute = record.radiograph.attributes.get(column) if record.radiograph else None
    return attribute or (source.metadata.get(column) if source else None) or None


def _ranked(wrong: Sequence[CaseRecord], sign: int) -> tuple[WrongCase, ...]:
    found = [
        WrongCase(r.case_id, r.label or "", p.predicted, p.probability, case_values(r)[0])
        for r in wrong
        if (p := r.prediction) is not None
    ]
    return tuple(sorted(found, key=lambda case: (sign * case.probability, case.case_id)))


def _distributions(groups: Mapping[str, Sequence[CaseRecord]]) -> list[Distribution]:
    """Every metric by outcome; the histograms of one metric share their edges."""
    measured = {outcome: [case_values(record) for record in records] for outcome, records in groups.items()}
    everything = [values for members in measured.values() for values, _ in members]
    found = []
    for metric in (*CASE_NUMBERS, *WORDS):
        numbers = [values[metric] for values in everything if values[metric] is not None]
        edges = np.linspace(0, max([1.0, *numbers]), NUM_BINS + 1) if metric not in WORDS else None
        for outcome, members in measured.items():
            defined = [values[metric] for values, _ in members if values[metric] is not None]
            reasons = Counter(reasons[metric] for values, reasons in members if values[metric] is None)
            shape: dict[str, Any] = {}
            if edges is None:
                shape["counts"] = {str(word).lower(): count for word, count in sorted(Counter(defined).items())}
            elif defined:
                shape["quantiles"] = tuple(map(float, np.quantile(defined, QUANTILES)))
                shape["edges"] = tuple(map(float, edges))
                shape["histogram"] = tuple(map(int, np.histogram(defined, edges)[0]))
            found.append(Distribution(metric, outcome, len(members), dict(sorted(reasons.items())), **shape))
    return found

"""CaseRecords and their patients -> CohortRecord.

Only audited cases with a label that names a class are measured; all others are counted, with why. Where a patient
is not known, the case counts as a patient of its own, and the record says for how many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any, get_args

import numpy as np

from cxr_audit.cohort.acceptance import judge
from cxr_audit.cohort.cases import case_values
from cxr_audit.cohort.dependence import dependence
from cxr_audit.cohort.intervals import Integers, Resampling
from cxr_audit.cohort.performance import Outputs, performance
from cxr_audit.config import Acceptance, Cohort
from cxr_audit.records import (
    CASE_NUMBERS,
    FLAGS,
    QUANTILES,
    REGIONS_OF_CASES,
    CaseRecord,
    CaseSource,
    CaseStatus,
    Check,
    CohortRecord,
    Distribution,
    Estimate,
    Subgroup,
    SubgroupColumn,
    WrongCase,
)

LONGEST_VALUE = 60  # characters of a subgroup's value
WORDS = (
    "focus_band",
    *(f"{kind}_pointing_game_hit" for kind in REGIONS_OF_CASES),
    *(f"flag_{name}" for name in FLAGS),
)


def describe(
    records: Sequence[CaseRecord],
    sources: Sequence[CaseSource],
    asked: Cohort,
    acceptance: Acceptance,
    seed: int,
    checks: Sequence[Check] = (),
) -> CohortRecord:
    """What a run says about the classifier.

    Parameters
    ----------
    records : of all cases, whatever their status.
    sources : what is known of the same cases beside their pixels; a case that is missing here has no patient.
    checks : of the explanation, those made once a model.
    """
    known = {source.case_id: source for source in sources}
    patient_of = {
        r.case_id: (known[r.case_id].patient_id if r.case_id in known else None) for r in records
    }
    patients, patients_known = number_patients(patient_of)
    audited = [record for record in records if record.status == "ok"]
    labelled = [record for record in audited if _unlabelled(record) is None]
    unlabelled = [record for record in audited if _unlabelled(record) is not None]
    outputs = _outputs(labelled, patients)
    whole = performance(outputs, asked.prevalence, asked.rounds, seed)
    outcomes = {name: list(compress(labelled, inside)) for name, inside in outputs.outcomes.items()}
    statuses = Counter(record.status for record in records)
    depends = dependence(records, acceptance, patients)
    return CohortRecord(
        target_class=next(
            (record.prediction.target_class for record in audited if record.prediction), None
        ),
        statuses={status: statuses[status] for status in get_args(CaseStatus)},
        unlabelled=dict(Counter(_unlabelled(record) or "" for record in unlabelled)),
        num_patients=len(set(patients.values())),
        patients=patients_known,
        outcomes={name: len(members) for name, members in outcomes.items()},
        prevalence=asked.prevalence or (float(outputs.positive.mean()) if labelled else None),
        prevalence_source="stated in the config" if asked.prevalence else "of this run",
        method="Wilson score intervals, which hold the true value in about 95 of 100 such runs, with errors from "
        f"patients resampled {asked.rounds} times, seed {seed}; the calibration error's are bias-corrected instead",
        metrics=whole.metrics,
        ece_if_calibrated=whole.ece_if_calibrated,
        reliability=whole.reliability,
        subgroups=tuple(
            _subgroups(
                column, [_value(record, known, column) for record in labelled], outputs, asked, seed
            )
            for column in asked.subgroups
        ),
        false_positives=_ranked(outcomes["false_positive"], -1),
        false_negatives=_ranked(outcomes["false_negative"], 1),
        distributions=tuple(_distributions({**outcomes, "no_label": unlabelled})),
        acceptance=judge(
            acceptance,
            whole.metrics,
            records,
            {**outcomes, "all": audited},
            lambda cases: Resampling(_of(cases, patients), asked.rounds, seed),
            (*checks, *depends),
        ),
        dependence=depends,
        num_cases_of_known_patients=sum(name is not None for name in patient_of.values()),
        hit_rates={
            kind: _hit_rate(cases, f"{kind}_pointing_game_hit", _of(cases, patients), asked, seed)
            for kind in REGIONS_OF_CASES
            for cases in [
                [record for record in audited if kind in {region.kind for region in record.regions}]
            ]
        },
    )


def _hit_rate(
    cases: Sequence[CaseRecord], name: str, patients: Integers, asked: Cohort, seed: int
) -> Estimate:
    """The share of some cases whose map's maximum lies where `name` says."""
    hits = np.array([case_values(record)[0][name] is True for record in cases], bool)
    draws = Resampling(patients, asked.rounds, seed)
    return draws.share(hits, np.ones(len(hits), bool), "no case has this region")


def number_patients(patient_of: Mapping[str, str | None]) -> tuple[dict[str, int], str]:
    """A number for each case's patient, a case without one gets its own; and in words how many are known."""
    numbers: dict[tuple[str, bool], int] = {}
    numbered = {
        case_id: numbers.setdefault((name or case_id, name is None), len(numbers))
        for case_id, name in patient_of.items()
    }
    num_known = sum(name is not None for name in patient_of.values())
    others = "each other case" if num_known else "each case"
    own = "" if num_known == len(numbered) else f"; {others} counts as a patient of its own"
    return numbered, f"known for {num_known} of {len(numbered)} cases{own}"


def _of(cases: Sequence[CaseRecord], patients: Mapping[str, int]) -> Integers:
    return np.array([patients[record.case_id] for record in cases], np.intp)


def _outputs(labelled: Sequence[CaseRecord], patients: Mapping[str, int]) -> Outputs:
    predictions = [
        (record.label, record.prediction) for record in labelled if record.prediction is not None
    ]
    return Outputs(
        positive=np.array([label == p.target_class for label, p in predictions], bool),
        probability=np.array([p.probability for _, p in predictions], float),
        called=np.array([p.predicted == p.target_class for _, p in predictions], bool),
        patients=_of(labelled, patients),
    )


def _unlabelled(record: CaseRecord) -> str | None:
    """Why an audited case cannot be measured."""
    if record.label is None:
        return "no label"
    return (
        None
        if record.prediction and record.label in record.prediction.class_scores
        else "the label is no class"
    )


def _value(record: CaseRecord, known: Mapping[str, CaseSource], column: str) -> str | None:
    """A case's value of a column: an attribute that ingestion allows, else the manifest's."""
    attribute = record.radiograph.attributes.get(column) if record.radiograph else None
    source = known.get(record.case_id)
    return attribute or _printable(source.metadata.get(column, "") if source else "") or None


def _printable(text: str) -> str:
    """A stranger's cell as it may be printed: short, and without what would turn or hide the text around it."""
    shown = "".join(one if one.isprintable() else "\ufffd" for one in text)
    return shown if len(shown) <= LONGEST_VALUE else f"{shown[:LONGEST_VALUE]}…"


def _subgroups(
    column: str, values: Sequence[str | None], outputs: Outputs, asked: Cohort, seed: int
) -> SubgroupColumn:
    counts = Counter(value for value in values if value is not None)
    shown = sorted(value for value, count in counts.items() if count >= asked.min_cases)
    groups = []
    for value in shown:
        members = outputs.of(np.array([one == value for one in values]))
        found = performance(members, asked.prevalence, asked.rounds, seed)
        num_positive = int(members.positive.sum())
        groups.append(Subgroup(value, num_positive, counts[value] - num_positive, found.metrics))
    too_few = (
        f"every value has fewer than {asked.min_cases} cases" if counts else "no case has a value"
    )
    return SubgroupColumn(
        column,
        tuple(groups),
        num_missing=values.count(None),
        num_suppressed_values=len(counts) - len(shown),
        num_suppressed_cases=counts.total() - sum(counts[value] for value in shown),
        reason=None if shown else too_few,
    )


def _ranked(wrong: Sequence[CaseRecord], sign: int) -> tuple[WrongCase, ...]:
    found = [
        WrongCase(r.case_id, r.label or "", p.predicted, p.probability, case_values(r)[0])
        for r in wrong
        if (p := r.prediction) is not None
    ]
    return tuple(sorted(found, key=lambda case: (sign * case.probability, case.case_id)))


def _distributions(groups: Mapping[str, Sequence[CaseRecord]]) -> list[Distribution]:
    """Every metric by outcome."""
    measured = {
        outcome: [case_values(record) for record in records] for outcome, records in groups.items()
    }
    found = []
    for metric in (*CASE_NUMBERS, *WORDS):
        for outcome, members in measured.items():
            defined = [values[metric] for values, _ in members if values[metric] is not None]
            reasons = Counter(
                str(reasons[metric]) for values, reasons in members if values[metric] is None
            )
            shape: dict[str, Any] = {}
            if metric in WORDS:
                shape["counts"] = {
                    str(word).lower(): count for word, count in sorted(Counter(defined).items())
                }
            elif defined:
                shape["quantiles"] = tuple(map(float, np.quantile(defined, QUANTILES)))
            found.append(
                Distribution(metric, outcome, len(members), dict(sorted(reasons.items())), **shape)
            )
    return found

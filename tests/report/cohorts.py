"""A cohort's record from cases, by definition: what the run report prints, without its statistics."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from statistics import quantiles
from typing import Any, NamedTuple

from cxr_audit.records import (
    AuditedCase,
    CaseRecord,
    CohortCases,
    CohortRecord,
    CountedReason,
    CriterionResult,
    Distribution,
    Estimate,
    Reliability,
    WrongCase,
    audited,
)
from cxr_audit.vocabulary import RUN_METRICS, message


class MeanMap(NamedTuple):
    """As `cxr_audit.cohort.mean_maps` makes it."""

    num_cases: int
    values: Any
    lungs: Any


OUTCOMES = ("true_positive", "false_positive", "true_negative", "false_negative")
ENOUGH = 10


def estimate(value: float | None, num_cases: int, reason: str = "no case") -> Estimate:
    """With an interval of a tenth to both sides, where there are ten cases."""
    if value is None:
        return Estimate(None, num_cases, num_cases, reason=reason)
    if num_cases < ENOUGH:
        return Estimate(value, num_cases, num_cases, reason="no interval below 10 patients")
    ends = max(0.0, value - 0.1), min(1.0, value + 0.1)
    return Estimate(value, num_cases, num_cases, ends)


def auc(positive: Sequence[float], negative: Sequence[float]) -> float | None:
    """Mann-Whitney by pairs; equal scores count half."""
    if not positive or not negative:
        return None
    wins = [(p > n) + (p == n) / 2 for p, n in itertools.product(positive, negative)]
    return sum(wins) / len(wins)


def described(
    cases: Sequence[CaseRecord], acceptance: tuple[CriterionResult, ...] = ()
) -> CohortRecord:
    """The record of a run of these cases; every case has a patient of its own."""
    done = audited(cases)
    by_outcome = {name: [case for case in done if case.outcome == name] for name in OUTCOMES}
    counts = {name: len(members) for name, members in by_outcome.items()}
    labelled = [case for case in done if case.outcome]
    statuses = Counter(case.status for case in cases)
    unlabelled = len(done) - len(labelled)
    target = done[0].prediction.target_class if done else None
    positive = [c for c in labelled if c.label == target]
    negative = [c for c in labelled if c.label != target]
    found = {
        "auc": auc(*([c.prediction.probability for c in side] for side in (positive, negative))),
        "sensitivity": _share(counts["true_positive"], len(positive)),
        "specificity": _share(counts["true_negative"], len(negative)),
        "ppv": _share(counts["true_positive"], counts["true_positive"] + counts["false_positive"]),
        "npv": _share(counts["true_negative"], counts["true_negative"] + counts["false_negative"]),
        "brier": 0.2 if labelled else None,
        "ece": 0.1 if labelled else None,
    }
    reason = "one class only" if labelled else "no case"
    assert set(found) == set(RUN_METRICS.keys())
    lungs = [case.in_region("lungs") for case in done]
    hits = [found for found in lungs if found and found["pointing_game_hit"] is True]
    return CohortRecord(
        target_class=target,
        cases=CohortCases(
            statuses={status: statuses[status] for status in ("ok", "excluded", "failed")},
            unlabelled=(CountedReason("no label", unlabelled),) if unlabelled else (),
            num_patients=len(cases),
            patients=message("cohort.patients_known", known=len(cases), num=len(cases)),
            prevalence=_share(len(positive), len(labelled)),
            prevalence_source=message("cohort.prevalence_of_run"),
            num_of_known_patients=len(cases),
        ),
        outcomes=counts,
        method="by hand",
        metrics={key: estimate(value, len(labelled), reason) for key, value in found.items()},
        reliability=Reliability(),
        subgroups=(),
        false_positives=_wrong(by_outcome["false_positive"], -1),
        false_negatives=_wrong(by_outcome["false_negative"], 1),
        distributions=tuple(_distributions({**by_outcome, "no_label": _without(done)})),
        acceptance=acceptance,
        hit_rates={"lungs": estimate(_share(len(hits), len(done)), len(done))},
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _without(cases: Sequence[AuditedCase]) -> list[AuditedCase]:
    return [case for case in cases if not case.outcome]


def _wrong(cases: Sequence[AuditedCase], sign: int) -> tuple[WrongCase, ...]:
    ordered = sorted(cases, key=lambda case: sign * case.prediction.probability)
    return tuple(
        WrongCase(
            case.case_id,
            case.label or "",
            case.prediction.predicted,
            case.prediction.probability,
            {"lungs_relevance_mass_accuracy": 0.5},
        )
        for case in ordered
    )


def _distributions(groups: dict[str, list[AuditedCase]]) -> list[Distribution]:
    found = []
    for metric in ("high_focus_fraction", "entropy", "border_fraction"):
        for outcome, members in groups.items():
            values = [case.maps[0].metrics.number(metric) for case in members if case.maps]
            known = [value for value in values if value is not None]
            reasons = Counter(
                str(case.maps[0].metrics.reason(metric))
                for case in members
                if case.maps and case.maps[0].metrics[metric] is None
            )
            undefined = tuple(CountedReason(reason, num) for reason, num in reasons.items())
            shape = None
            if known:
                middle = quantiles(known, n=4) if len(known) > 1 else known * 3
                low, high = min(known), max(known)
                shape = (low, low, *middle, high, high)
            found.append(Distribution(metric, outcome, len(members), undefined, shape))
    return found

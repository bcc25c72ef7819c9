"""Criteria: met, not met, not to be evaluated; what is undefined never helps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cxr_audit.cohort import describe
from cxr_audit.config import Acceptance, Cohort, Criterion
from cxr_audit.records import (
    AuditedCase,
    CaseRecord,
    CountedReason,
    CriterionResult,
    Masking,
    Probes,
    RegionFacts,
)
from cxr_audit.vocabulary import message

from tests.cohort.cases import DEAD, a_case, a_failure

# 20 true positives: 14 enriched in the lungs, 4 not, 2 with a dead map; 20 true negatives; 2
# failed.
RECORDS = [
    *(a_case(f"p{n}", "P", 0.9, enrichment=2.0 if n < 14 else 1.0) for n in range(18)),
    *(a_case(f"d{n}", "P", 0.9, enrichment=None) for n in range(2)),
    *(a_case(f"n{n}", "N", 0.2) for n in range(20)),
    *(a_failure(f"f{n}") for n in range(2)),
]
ENRICHED = {"metric": "lungs_enrichment", "cases": "true_positive", "above": 1.5}


def judged(records: list[CaseRecord] = RECORDS, **criterion: object) -> CriterionResult:
    acceptance = Acceptance(criteria=(Criterion(**criterion),))
    (result,) = describe(records, [], Cohort(rounds=200), acceptance, 0).acceptance
    return result


@pytest.mark.parametrize(
    ("criterion", "value", "is_met"),
    [
        ({"metric": "auc", "at_least": 0.99}, 1.0, True),
        ({"metric": "auc", "bound": "lower", "at_least": 0.99}, 1.0, False),
        ({"metric": "brier", "at_most": 0.1}, 0.025, True),
        ({"metric": "brier", "bound": "upper", "at_most": 0.02}, 0.025, False),
        ({**ENRICHED, "share_at_least": 0.7}, 14 / 20, True),
        ({**ENRICHED, "share_at_least": 0.71}, 14 / 20, False),
        ({**ENRICHED, "bound": "lower", "share_at_least": 0.7}, 14 / 20, False),
        (
            {
                "metric": "lungs_enrichment",
                "cases": "true_positive",
                "below": 1.5,
                "share_at_most": 0.25,
            },
            6 / 20,
            False,
        ),
        (
            {
                "metric": "lungs_enrichment",
                "cases": "true_negative",
                "below": 1.5,
                "share_at_most": 0,
            },
            0.0,
            True,
        ),
        ({"metric": "lungs_pointing_game_hit", "share_at_least": 0.8}, 34 / 40, True),
        ({"metric": "failed", "share_at_most": 0.05}, 2 / 42, True),
        ({"metric": "failed", "share_at_most": 0}, 2 / 42, False),
        ({"metric": "excluded", "share_at_most": 0}, 0.0, True),
    ],
)
def test_met_or_not(criterion: dict[str, object], value: float, is_met: bool) -> None:
    result = judged(**criterion)
    assert result.found.value == pytest.approx(value)
    assert (result.is_met, result.reason) == (is_met, None)


def test_what_is_undefined_is_counted_against_the_criterion() -> None:
    assert judged(**ENRICHED, share_at_least=0.7).undefined == (CountedReason(DEAD, 2),)


@pytest.mark.parametrize(
    ("records", "criterion", "reason"),
    [
        (RECORDS[:20], {"metric": "auc", "at_least": 0}, message("cohort.no_negative")),
        (
            RECORDS,
            {**ENRICHED, "cases": "false_positive", "share_at_least": 0},
            message("cohort.no_such_case", cases=message("cohort.false_positive")),
        ),
        (
            RECORDS[18:20],
            {**ENRICHED, "share_at_most": 1},
            message("cohort.undefined_in_every_case"),
        ),
        (
            RECORDS[:5],
            {"metric": "sensitivity", "bound": "lower", "at_least": 0},
            message("cohort.too_few_patients", limit=10),
        ),
    ],
)
def test_what_cannot_be_evaluated_is_not_met(
    records: list[CaseRecord], criterion: dict, reason: object
) -> None:
    result = judged(records, **criterion)
    assert (result.is_met, result.reason) == (False, reason)


@pytest.mark.parametrize(
    ("criterion", "words"),
    [
        (
            {**ENRICHED, "bound": "lower", "share_at_least": 0.8},
            "share of true positive cases with evidence in the lungs relative to its area above 1.5, "
            "lower end of the 95 % interval at least 0.8",
        ),
        ({"metric": "npv", "at_most": 1}, "negative predictive value at most 1"),
        ({"metric": "failed", "share_at_most": 0.01}, "share of cases that failed at most 0.01"),
        (
            {"metric": "flag_marker", "share_at_most": 0},
            'share of cases flagged "Output depends on a side marker or text" at most 0',
        ),
        (
            {"metric": "lungs_pointing_game_hit", "share_at_least": 0.5},
            "share of cases with the map's maximum in the lungs at least 0.5",
        ),
        ({"metric": "road"}, "check of the model: ROAD passed"),
    ],
)
def test_a_criterion_in_words(criterion: dict, words: str) -> None:
    result = judged(**criterion)
    assert (result.in_words, result.metric) == (words, criterion["metric"])
    assert result.bound == criterion.get("bound", "estimate")
    assert result.limit_value == next(
        (value for key, value in criterion.items() if key.endswith(("least", "most"))), None
    )


def test_a_share_of_what_masking_changed_is_of_the_cases_that_it_asked() -> None:
    """Of ten cases four were asked again; two of these have a marker, one of which carries the answer."""

    no_lungs = message("regions.lungs_not_looked_for")

    def masked(record: AuditedCase, *changes: float) -> AuditedCase:
        markers = tuple(
            RegionFacts(f"letter {n}", "marker", "by hand", 0.01) for n in range(len(changes))
        )
        rows = [Masking(f"letter {n}", "blurred", 0.0, change) for n, change in enumerate(changes)]
        rows += [Masking(f"letter {n}", "mean", 0.0, -9.0) for n in range(len(changes))]
        rows.append(Masking("border", "blurred", 0.0, 0.25))
        missing = {"lungs": no_lungs, "all but the lungs": no_lungs}
        regions = replace(record.regions, found=(*record.regions.found, *markers))
        return replace(record, regions=regions, probes=Probes(tuple(rows), missing))

    plain = [a_case(f"p{n}", "P", 0.9) for n in range(10)]
    cases = [
        masked(plain[0], 0.5, -2.0, 1.0),
        masked(plain[1], -0.5),
        masked(plain[2]),
        masked(plain[3]),
        *plain[4:],
    ]
    result = judged(cases, metric="masking_marker_change", below=-1, share_at_most=0.4)
    assert (result.found.value, result.found.num_cases, result.is_met, result.undefined) == (
        0.5,
        2,
        False,
        (),
    )
    result = judged(cases, metric="masking_border_change", below=-1, share_at_most=0)
    assert (result.found.value, result.found.num_cases, result.is_met) == (0, 4, True)
    result = judged(cases, metric="masking_lungs_change", below=-1, share_at_least=0.5)
    assert (result.is_met, result.undefined) == (False, (CountedReason(no_lungs, 4),))
    assert judged(plain, metric="masking_border_change", below=-1, share_at_most=1).is_met is False


def test_the_hit_rate_counts_an_undefined_map_as_no_hit() -> None:
    """Peaks in the lungs: 14 + 20 enriched ones of 40 audited; 4 outside, 2 dead maps."""
    rates = describe(RECORDS, [], Cohort(rounds=200), Acceptance(), 0).hit_rates
    assert (rates["lungs"].value, rates["lungs"].num_cases) == (34 / 40, 40)
    low, high = rates["lungs"].interval_95
    assert low < 34 / 40 < high
    assert (rates["annotation"].value, rates["annotation"].reason) == (
        None,
        message("cohort.no_region"),
    )

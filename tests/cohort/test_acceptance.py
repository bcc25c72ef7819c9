"""Criteria: met, not met, not to be evaluated; what is undefined never helps."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cxr_audit.cohort import describe
from cxr_audit.config import Acceptance, Cohort, Criterion
from cxr_audit.records import (
    AuditedCase,
    CaseRecord,
    Check,
    CheckState,
    CountedReason,
    CriterionResult,
    Masking,
    Probes,
    RegionFacts,
)
from cxr_audit.vocabulary import Message, message

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


ESTIMATE = {"bound": "estimate"}


@pytest.mark.parametrize(
    ("criterion", "value", "state"),
    [
        # By hand: Wilson's interval of 20 of 20 is 0.84 to 1; of 14 of 20 it is 0.48 to 0.86.
        ({"metric": "sensitivity", "at_least": 0.83}, 1.0, "met"),
        ({"metric": "sensitivity", "at_least": 0.85}, 1.0, "undecided"),
        ({"metric": "sensitivity", **ESTIMATE, "at_least": 1}, 1.0, "met"),
        ({"metric": "auc", "bound": "upper", "at_least": 0.99}, 1.0, "met"),
        # 0.01 and 0.04 as often: a standard error of 0.0024.
        ({"metric": "brier", "at_most": 0.024}, 0.025, "undecided"),
        ({"metric": "brier", "at_most": 0.02}, 0.025, "not_met"),
        ({"metric": "brier", **ESTIMATE, "at_most": 0.02}, 0.025, "not_met"),
        ({"metric": "brier", "at_most": 0.9}, 0.025, "met"),
        ({**ENRICHED, "share_at_least": 0.5}, 14 / 18, "met"),
        ({**ENRICHED, "share_at_least": 0.7}, 14 / 18, "undecided"),
        ({**ENRICHED, "share_at_least": 0.95}, 14 / 18, "not_met"),
        ({**ENRICHED, **ESTIMATE, "share_at_least": 0.77}, 14 / 18, "met"),
        ({**ENRICHED, "bound": "upper", "share_at_least": 0.9}, 14 / 18, "met"),
        ({**ENRICHED, "bound": "upper", "share_at_least": 0.95}, 14 / 18, "not_met"),
        (
            {
                "metric": "lungs_enrichment",
                "cases": "true_negative",
                "below": 1.5,
                "share_at_most": 0.2,
            },
            0.0,
            "met",
        ),
        ({"metric": "failed", "share_at_most": 0.05}, 2 / 42, "met"),
        ({"metric": "failed", "share_at_most": 0}, 2 / 42, "not_met"),
        ({"metric": "excluded", "share_at_most": 0}, 0.0, "met"),
        ({"metric": "failed", "bound": "upper", "share_at_most": 0.05}, 2 / 42, "undecided"),
    ],
)
def test_the_less_favourable_end_decides_by_default(
    criterion: dict[str, object], value: float, state: str
) -> None:
    result = judged(**criterion)
    assert result.found.value == pytest.approx(value)
    assert (result.state, result.is_met) == (state, state == "met")
    assert (result.reason is None) == (state != "undecided")


def test_cases_that_were_not_assessed_are_beside_the_share_of_the_others() -> None:
    result = judged(**ENRICHED, share_at_least=0.5)
    assert (result.found.value, result.found.num_cases) == (14 / 18, 18)
    assert result.undefined == (CountedReason(DEAD, 2),)
    # Nor do they count where a share has to be small.
    small = judged(metric="lungs_enrichment", cases="true_positive", below=1.5, share_at_most=0.5)
    assert (small.found.value, small.state) == (4 / 18, "met")


def test_an_undecided_criterion_says_how_many_cases_decide() -> None:
    """14 of 18 against 0.7: from n on where (p - L)^2 = z^2 L (1 - L) / n, as score intervals
    go."""
    result = judged(**ENRICHED, share_at_least=0.7)
    expected = 1.96**2 * 0.7 * 0.3 / (14 / 18 - 0.7) ** 2
    assert result.num_needed == pytest.approx(expected, rel=0.1)  # resampled, of 18 cases
    assert isinstance(result.reason, Message)
    assert result.reason.code == "cohort.undecided"
    assert result.reason.values["needed"] == result.num_needed
    # As many as that, with the same share, do decide.
    factor = -(-result.num_needed // 18)
    cases = [
        a_case(f"{n}", "P", 0.9, enrichment=2.0 if n % 18 < 14 else 1.0) for n in range(18 * factor)
    ]
    assert judged(cases, **ENRICHED, share_at_least=0.7).state == "met"


def test_a_limit_that_no_number_of_cases_decides() -> None:
    never = judged(metric="lungs_pointing_game_hit", cases="true_negative", share_at_least=1)
    assert (never.found.value, never.state, never.num_needed) == (1.0, "undecided", None)
    assert never.reason == message("cohort.never_decided", limit=1.0)


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
            message("cohort.undefined_in_every_case", cases=message("cohort.true_positive")),
        ),
        (RECORDS, {"metric": "road"}, message("cohort.check_not_made")),
    ],
)
def test_what_has_no_value_was_not_examined(
    records: list[CaseRecord], criterion: dict, reason: object
) -> None:
    result = judged(records, **criterion)
    assert (result.is_met, result.state, result.reason) == (False, "not_examined", reason)


def test_below_ten_patients_a_criterion_is_undecided() -> None:
    result = judged(RECORDS[:5], metric="sensitivity", at_least=0.5)
    assert (result.found.value, result.state) == (1.0, "undecided")
    few = message("cohort.too_few_patients", limit=10)
    assert result.reason == message("cohort.no_interval", reason=few, needed=10)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("passed", "met"),
        ("failed", "not_met"),
        ("undecided", "undecided"),
        ("not_run", "not_examined"),
    ],
)
def test_a_check_of_the_model(state: CheckState, expected: str) -> None:
    reason = None if state == "passed" else "why"
    check = Check("road", state, 0.5, reason=reason, interval_95=(0.4, 0.6))
    acceptance = Acceptance(criteria=(Criterion(metric="road"),))
    (result,) = describe(RECORDS, [], Cohort(rounds=200), acceptance, 0, [check]).acceptance
    assert (result.state, result.found.interval_95) == (expected, (0.4, 0.6))
    assert result.reason == (reason if expected in ("undecided", "not_examined") else None)


@pytest.mark.parametrize(
    ("criterion", "words"),
    [
        (
            {**ENRICHED, "bound": "lower", "share_at_least": 0.8},
            "share of true positive cases with evidence in the lungs relative to its area above "
            "1.5, lower end of the 95 % interval at least 0.8",
        ),
        (
            {"metric": "npv", "at_most": 1},
            "negative predictive value, upper end of the 95 % interval at most 1",
        ),
        ({"metric": "failed", "share_at_most": 0.01}, "share of cases that failed at most 0.01"),
        (
            {"metric": "flag_marker", "share_at_most": 0},
            'share of cases flagged "Output depends on a side marker or text", '
            "upper end of the 95 % interval at most 0",
        ),
        (
            {"metric": "lungs_pointing_game_hit", "share_at_least": 0.5},
            "share of cases with the map's maximum in the lungs, lower end of the 95 % interval "
            "at least 0.5",
        ),
        ({"metric": "road"}, "check of the model: ROAD passed"),
    ],
)
def test_a_criterion_in_words(criterion: dict, words: str) -> None:
    result = judged(**criterion)
    assert (result.in_words, result.metric) == (words, criterion["metric"])
    is_lowest = any(key.endswith("at_least") for key in criterion)
    unfavourable = "lower" if is_lowest else "upper"
    if criterion["metric"] in ("road", "failed"):
        unfavourable = "estimate"
    assert result.bound == criterion.get("bound", unfavourable)
    assert result.limit_value == next(
        (value for key, value in criterion.items() if key.endswith(("least", "most"))), None
    )


def test_a_share_of_what_masking_changed_is_of_the_cases_that_it_asked() -> None:
    """Of ten cases four were asked again; two of these have a marker, one of which carries the
    answer."""

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
    assert (result.found.value, result.found.num_cases, result.undefined) == (0.5, 2, ())
    assert result.state == "undecided"
    result = judged(cases, metric="masking_border_change", below=-1, share_at_most=0)
    assert (result.found.value, result.found.num_cases, result.state) == (0, 4, "undecided")
    result = judged(cases, metric="masking_lungs_change", below=-1, share_at_least=0.5)
    assert (result.state, result.undefined) == ("not_examined", (CountedReason(no_lungs, 4),))
    unmasked = judged(plain, metric="masking_border_change", below=-1, share_at_most=1)
    assert unmasked.state == "not_examined"


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

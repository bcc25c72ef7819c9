"""Cases that a criterion needs: against a sum over the binomial distribution, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cxr_audit.cohort.intervals import score_interval
from cxr_audit.cohort.power import (
    auc_cases_needed,
    cases_needed,
    chance_of_meeting,
    fewest_hits,
    hanley_mcneil,
    power_table,
)
from cxr_audit.config import Acceptance, Criterion
from cxr_audit.vocabulary import message


def wilson_lower(hits: int, num: int) -> float:
    """By the roots of (p - L)^2 = z^2 L (1 - L) / n in L."""
    z2, share = 1.959963984540054**2, hits / num
    a, b, c = 1 + z2 / num, -(2 * share + z2 / num), share**2
    return (-b - math.sqrt(max(0.0, b * b - 4 * a * c))) / (2 * a)


def chance(limit: float, assumed: float, num: int) -> float:
    return sum(
        math.comb(num, hits) * assumed**hits * (1 - assumed) ** (num - hits)
        for hits in range(num + 1)
        if wilson_lower(hits, num) >= limit
    )


@pytest.mark.parametrize(
    ("limit", "assumed", "num"), [(0.8, 0.9, 50), (0.9, 0.97, 120), (0.5, 0.75, 11), (0.95, 1, 80)]
)
def test_the_chance_is_the_sum_over_the_hits_that_are_enough(
    limit: float, assumed: float, num: int
) -> None:
    assert chance_of_meeting(limit, assumed, num) == pytest.approx(chance(limit, assumed, num))


def test_from_the_number_on_the_chance_is_enough_and_just_before_it_is_not() -> None:
    num = cases_needed(0.8, 0.9, True, 0.8)
    assert num is not None
    assert chance(0.8, 0.9, num - 1) < 0.8
    assert all(chance(0.8, 0.9, more) >= 0.8 for more in range(num, num + 60))


def test_a_share_that_has_to_be_small_is_the_other_share_that_has_to_be_large() -> None:
    assert cases_needed(0.2, 0.1, False, 0.8) == cases_needed(0.8, 0.9, True, 0.8)


def test_what_no_number_decides_has_none() -> None:
    assert cases_needed(0.9, 0.9, True, 0.8) is None
    assert cases_needed(0.9, 0.85, True, 0.8) is None
    assert cases_needed(0.0, 0.0, False, 0.8) is None
    assert auc_cases_needed(0.9, 0.85, True, 0.8) is None


@pytest.mark.parametrize("num", [10, 37, 200])
@pytest.mark.parametrize("limit", [0.5, 0.9, 0.99])
def test_one_hit_fewer_is_not_enough(limit: float, num: int) -> None:
    hits = fewest_hits(limit, num)
    assert hits == num + 1 or score_interval(hits / num, num)[0] >= limit
    assert score_interval((hits - 1) / num, num)[0] < limit


def test_the_variance_of_an_auc_is_that_of_a_simulation() -> None:
    """Exponential scores, of which the positive ones are r times as large: A = r / (1 + r)."""
    rng, auc = np.random.default_rng(0), 0.9
    positive = rng.exponential(auc / (1 - auc), (4000, 30))
    negative = rng.exponential(1, (4000, 40))
    areas = (positive[:, :, None] > negative[:, None, :]).mean((1, 2))
    assert areas.mean() == pytest.approx(auc, abs=0.005)
    assert areas.var() == pytest.approx(hanley_mcneil(auc, 30, 40), rel=0.08)


def test_an_auc_of_the_number_meets_its_limit_as_often_as_that() -> None:
    """With the interval of the audit itself, on exponential scores."""
    from cxr_audit.cohort.intervals import Resampling

    num = auc_cases_needed(0.8, 0.9, True, 0.8)
    assert num is not None
    rng, is_positive = np.random.default_rng(1), np.arange(2 * num) < num
    met = 0
    for seed in range(100):
        scores = np.where(is_positive, rng.exponential(9, 2 * num), rng.exponential(1, 2 * num))
        interval = Resampling(np.arange(2 * num), 200, seed).auc(is_positive, scores).interval_95
        met += interval is not None and interval[0] >= 0.8
    assert 0.68 <= met / 100 <= 0.93


def test_a_table_of_criteria() -> None:
    criteria = (
        Criterion(metric="sensitivity", at_least=0.8),
        Criterion(metric="lungs_enrichment", cases="true_positive", above=1.5, share_at_least=0.8),
        Criterion(metric="flag_marker", share_at_most=0.2),
        Criterion(metric="ece", at_most=0.1),
        Criterion(metric="road"),
        Criterion(metric="flag_border", share_at_most=0),
        Criterion(metric="failed", share_at_most=0.1),
    )
    sensitivity, enrichment, marker, ece, road, border, failed = power_table(
        Acceptance(criteria=criteria)
    )
    assert (failed.num_cases, failed.reason) == (None, message("cohort.power_of_count"))
    expected = cases_needed(0.8, 0.9, True, 0.8)
    assert (sensitivity.num_cases, enrichment.num_cases, marker.num_cases) == (expected,) * 3
    assert (sensitivity.cases, enrichment.cases) == (
        message("cohort.positive_cases"),
        message("cohort.true_positive"),
    )
    assert (sensitivity.assumed, marker.assumed) == pytest.approx((0.9, 0.1))
    assert (ece.num_cases, road.num_cases, border.num_cases) == (None, None, None)
    assert ece.reason == message("cohort.power_of_error")
    assert border.reason == message("cohort.power_never", assumed=0.0)
    stated = power_table(Acceptance(criteria=criteria[:1]), {"sensitivity": 0.85})
    assert stated[0].num_cases is not None
    assert stated[0].num_cases > expected

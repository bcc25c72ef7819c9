"""Shares, AUC, predictive values and their intervals: by hand, by enumeration, against scipy and
scikit-learn."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from cxr_audit.cohort.intervals import (
    Resampling,
    auc_of,
    kish_number,
    predictive_value,
    score_interval,
)
from cxr_audit.records import Estimate
from cxr_audit.vocabulary import message
from scipy import stats
from sklearn.metrics import roc_auc_score

ROUNDS = 2000


def alone(size: int) -> Resampling:
    """Every case a patient of its own."""
    return Resampling(np.arange(size), ROUNDS, 1)


def wilson(share: float, number: float) -> tuple[float, float]:
    """Where the distance of the share from the truth is 1.96 standard errors of the truth: roots
    of a quadratic."""
    z2 = stats.norm.ppf(0.975) ** 2
    low, high = sorted(np.roots([1 + z2 / number, -2 * share - z2 / number, share**2]))
    return low, high


def test_auc_with_ties_is_the_share_of_won_pairs() -> None:
    """Pairs (3, 2), (3, 1), 2 x (2, 1) are won, 2 x (2, 2) are halves: 4 + 1 of 6."""
    scores, positive = np.array([3.0, 2, 2, 2, 1]), np.array([True, True, True, False, False])
    assert alone(5).auc(positive, scores).value == pytest.approx(5 / 6)


def test_auc_of_weighted_cases_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    scores, positive = rng.integers(0, 12, 80) / 12, rng.random(80) < 0.4
    weights = rng.integers(0, 4, (5, 80))
    expected = [roc_auc_score(positive, scores, sample_weight=row) for row in weights]
    np.testing.assert_allclose(auc_of(positive, scores, weights), expected)


def test_resamples_are_those_of_all_draws_of_patients() -> None:
    """Three patients with 2, 1 and 2 images: the 27 ordered draws with replacement, written out."""
    patients = np.array([7, 7, 3, 9, 9])
    hits = np.array([1, 0, 1, 0, 0])
    names, counts = [7, 3, 9], []
    for draw in itertools.product(names, repeat=3):
        cases = np.concatenate([np.flatnonzero(patients == name) for name in draw])
        counts.append(hits[cases].mean())
    draws = Resampling(patients, 20_000, 3)
    weights = draws.times[:, draws.patients].astype(float)
    found = (weights * hits).sum(1) / weights.sum(1)
    for share in set(counts):
        expected = np.mean(np.isclose(counts, share))
        assert np.mean(np.isclose(found, share)) == pytest.approx(expected, abs=0.015)
    assert np.isclose(found[:, None], list(set(counts))).any(1).all()


def test_the_score_interval_is_scipys() -> None:
    expected = stats.binomtest(27, 30).proportion_ci(method="wilson")
    assert score_interval(0.9, 30) == pytest.approx((expected.low, expected.high))
    for number in (19, 35, 72):  # at 0 and 1 nothing is left of rounding
        assert (score_interval(0.0, number)[0], score_interval(1.0, number)[1]) == (0.0, 1.0)


def test_a_share_of_single_images_has_the_binomial_error() -> None:
    """Error^2 = p (1 - p) / n, times n / (n - 1): an effective number of n - 1."""
    hits = np.arange(200) < 150
    found = alone(200).share(hits, np.ones(200, bool), "")
    assert (found.value, found.num_cases, found.num_patients) == (0.75, 200, 200)
    assert found.interval_95 == pytest.approx(wilson(0.75, 199), abs=2e-3)


def test_images_of_one_patient_that_are_all_alike_count_once() -> None:
    hits, everyone = np.arange(120) < 90, np.ones(120, bool)
    once = alone(120).share(hits, everyone, "")
    patients = np.repeat(np.arange(120), 4)
    fourfold = Resampling(patients, ROUNDS, 1).share(np.repeat(hits, 4), np.repeat(everyone, 4), "")
    as_images = alone(480).share(np.repeat(hits, 4), np.repeat(everyone, 4), "")
    assert (fourfold.num_cases, fourfold.num_patients) == (480, 120)
    width = {
        name: one.interval_95[1] - one.interval_95[0]
        for name, one in locals().items()
        if isinstance(one, Estimate)
    }
    assert width["fourfold"] == pytest.approx(width["once"], rel=0.03)
    assert width["as_images"] == pytest.approx(width["once"] / 2, rel=0.05)


def test_a_share_of_one_has_a_width_by_kishs_number() -> None:
    """30 patients, one with 6 images: 35^2 / (36 + 29) cases; Wilson's lower end at 1 is n / (n
    + z^2)."""
    patients = np.concatenate([np.zeros(6, int), np.arange(1, 30)])
    assert kish_number(patients) == pytest.approx(35**2 / 65)
    everyone = np.ones(35, bool)
    low, high = Resampling(patients, ROUNDS, 1).share(everyone, everyone, "").interval_95
    number = 35**2 / 65 * (stats.t.ppf(0.975, 34) / stats.t.ppf(0.975, 29)) ** 2
    assert low == pytest.approx(number / (number + stats.norm.ppf(0.975) ** 2))
    assert high == 1


def test_classes_that_are_told_apart_still_leave_doubt() -> None:
    """AUC 1 of 20 and 30 cases: as many as the smaller class has."""
    positive = np.arange(50) < 20
    found = alone(50).auc(positive, positive + 0.5)
    assert found.value == 1
    assert found.interval_95[0] == pytest.approx(20 / (20 + stats.norm.ppf(0.975) ** 2))


def test_the_auc_has_the_error_of_hanley_and_mcneil() -> None:
    """Radiology 143, 1982, for exponential scores, for which their formula is exact."""
    rng, n = np.random.default_rng(5), 400
    positive = np.arange(2 * n) < n
    found = alone(2 * n).auc(positive, rng.exponential(np.where(positive, 4.0, 1.0)))
    a, q1, q2 = found.value, found.value / (2 - found.value), 2 * found.value**2 / (1 + found.value)
    error = np.sqrt((a * (1 - a) + (n - 1) * (q1 - a**2) + (n - 1) * (q2 - a**2)) / n**2)
    assert found.interval_95[1] - found.interval_95[0] == pytest.approx(2 * 1.96 * error, rel=0.06)


def test_predictive_values_follow_from_bayes_rule() -> None:
    """Of 1000, 100 ill: 90 called; of 900 others 180 called: 90 / 270. Not called: 720 of 730."""
    sensitivity, specificity = (
        Estimate(0.9, 50, 50, (0.8, 0.95)),
        Estimate(0.8, 60, 60, (0.7, 0.88)),
    )
    ppv = predictive_value(sensitivity, specificity, 0.9 / 0.1)
    npv = predictive_value(specificity, sensitivity, 0.1 / 0.9)
    assert (ppv.value, npv.value) == pytest.approx((90 / 270, 720 / 730))
    assert ppv.interval_95[0] < ppv.value < ppv.interval_95[1]
    assert npv.interval_95[0] < npv.value < npv.interval_95[1]


def test_a_predictive_value_of_many_cases_has_the_logit_error() -> None:
    """Mercaldo, Lau and Zhou, Stat Med 26, 2007: var = (1 - se) / (se n1) + sp / ((1 - sp) n0),
    on the log-odds."""
    n, se, sp, odds = 20_000, 0.9, 0.8, 9.0
    found = predictive_value(
        Estimate(se, n, n, wilson(se, n)), Estimate(sp, n, n, wilson(sp, n)), odds
    )
    centre, error = (
        np.log(se / ((1 - sp) * odds)),
        np.sqrt((1 - se) / (se * n) + sp / ((1 - sp) * n)),
    )
    expected = [1 / (1 + np.exp(-(centre + side * 1.96 * error))) for side in (-1, 1)]
    assert found.interval_95 == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize(
    ("right", "other", "value"),
    [((0.9, (0.8, 0.95)), (1.0, (0.9, 1.0)), 1.0), ((0.0, (0.0, 0.1)), (0.8, (0.7, 0.9)), 0.0)],
    ids=["no false call", "no right call"],
)
def test_a_predictive_value_at_the_end_keeps_a_width(
    right: tuple, other: tuple, value: float
) -> None:
    found = predictive_value(
        *(Estimate(share, 50, 50, interval) for share, interval in (right, other)), 9.0
    )
    assert found.value == value
    low, high = found.interval_95
    assert 0 <= low <= value <= high <= 1
    assert high - low > 0.05


def test_nothing_called_has_no_predictive_value() -> None:
    found = predictive_value(
        Estimate(0.0, 50, 50, (0.0, 0.1)), Estimate(1.0, 50, 50, (0.9, 1.0)), 9.0
    )
    assert (found.value, found.reason) == (None, message("cohort.none_called_so"))


def test_the_calibration_error_by_hand() -> None:
    """Five times 0.2 with 2 positives: |1 - 2|; five times 0.8 with 3: |4 - 3|; together 2 of
    10."""
    positive = np.array([1, 1, 0, 0, 0, 1, 1, 1, 0, 0], bool)
    probability = np.repeat([0.2, 0.8], 5)
    found, calibrated = alone(10).ece(positive, probability, np.repeat([2, 8], 5))
    assert found.value == pytest.approx(0.2)
    assert found.interval_95[0] == 0  # ten cases show no more than noise
    assert calibrated > 0.2
    far, calibrated = alone(10).ece(np.arange(10) < 9, np.full(10, 0.1), np.ones(10, int))
    assert far.value == pytest.approx(0.8)
    assert far.interval_95[0] > calibrated
    same, calibrated = alone(10).ece(np.ones(10, bool), np.full(10, 0.1), np.ones(10, int))
    assert same.value == pytest.approx(0.9)
    assert (same.interval_95, calibrated) == (None, None)
    assert same.reason == message("cohort.resamples_equal")


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (alone(12).auc(np.ones(12, bool), np.arange(12.0)), "cohort.no_negative"),
        (alone(12).auc(np.zeros(12, bool), np.arange(12.0)), "cohort.no_positive"),
        (
            alone(12).auc(np.arange(12) < 6, np.full(12, 0.3)),
            "cohort.scores_equal",
        ),
        (
            alone(12).share(np.ones(12, bool), np.zeros(12, bool), message("cohort.empty_bin")),
            "cohort.empty_bin",
        ),
        (alone(0).mean(np.zeros(0)), "cohort.no_case"),
        (alone(0).ece(np.zeros(0, bool), np.zeros(0), np.zeros(0, int))[0], "cohort.no_case"),
        (alone(0).auc(np.zeros(0, bool), np.zeros(0)), "cohort.no_positive"),
    ],
)
def test_what_cannot_be_known_has_its_reason(found: Estimate, code: str) -> None:
    assert (found.value, found.interval_95, found.reason) == (None, None, message(code))


def test_few_patients_have_a_value_but_no_interval() -> None:
    patients, everyone = np.repeat(np.arange(9), 5), np.ones(45, bool)
    found = Resampling(patients, ROUNDS, 1).share(np.arange(45) < 36, everyone, "")
    assert (found.value, found.interval_95, found.reason) == (
        0.8,
        None,
        message("cohort.too_few_patients", limit=10),
    )


def test_an_auc_needs_ten_patients_of_either_class() -> None:
    found = alone(30).auc(np.arange(30) < 9, np.arange(30.0))
    assert (found.value, found.interval_95, found.num_patients) == (0, None, 30)
    change = alone(30).auc_change(np.arange(30) < 9, np.arange(30.0), -np.arange(30.0))
    assert change.value == 1
    assert found.reason == change.reason == message("cohort.too_few_of_a_kind", limit=10)


def test_the_same_seed_gives_the_same_interval() -> None:
    hits, everyone = np.arange(40) < 30, np.ones(40, bool)
    one, two, other = (
        Resampling(np.arange(40), 500, seed).share(hits, everyone, "") for seed in (1, 1, 2)
    )
    assert one == two
    assert one.interval_95 != other.interval_95

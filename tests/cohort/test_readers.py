"""Agreement of raters beside an independent implementation, a simulation and a hand calculation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cxr_audit.cohort import cohens_kappa, rater_agreement, summarise_readers
from cxr_audit.records import CANNOT_SAY, ReaderAnswer

from tests.report.cases import a_case


def rated(both: int, first: int, second: int, neither: int) -> list[tuple[str, str]]:
    """Pairs of classes: both "P", only the first, only the second, neither."""
    pairs = [("P", "P")] * both + [("P", "N")] * first
    return pairs + [("N", "P")] * second + [("N", "N")] * neither


def test_kappa_by_hand() -> None:
    """35 of 50 the same; by chance 0.5 * 0.6 + 0.5 * 0.4 = 0.5; (0.7 - 0.5) / 0.5 = 0.4."""
    kappa, error = cohens_kappa(rated(20, 5, 10, 15))
    assert kappa == pytest.approx(0.4)
    # Fleiss, Cohen and Everitt, equation 13, term by term.
    same = 0.4 * (1 - 1.1 * 0.6) ** 2 + 0.3 * (1 - 0.9 * 0.6) ** 2
    other = 0.36 * (0.1 * (0.6 + 0.5) ** 2 + 0.2 * (0.4 + 0.5) ** 2)
    assert error == pytest.approx(np.sqrt((same + other - (0.4 - 0.5 * 0.6) ** 2) / 50) / 0.5)


def test_kappa_of_three_classes_is_that_of_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn is not installed")
    rng = np.random.default_rng(4)
    one = rng.choice(list("ABC"), 200, p=(0.5, 0.3, 0.2))
    other = np.where(rng.random(200) < 0.6, one, rng.choice(list("ABC"), 200))
    kappa, _error = cohens_kappa(list(zip(one, other, strict=True)))
    assert kappa == pytest.approx(metrics.cohen_kappa_score(one, other))


def test_the_standard_error_is_that_of_repeated_sampling() -> None:
    rng = np.random.default_rng(5)
    pairs = rated(30, 8, 12, 50)
    _kappa, error = cohens_kappa(pairs)
    draws = rng.integers(0, 100, (3000, 100))
    found = [cohens_kappa([pairs[place] for place in draw])[0] for draw in draws]
    assert error == pytest.approx(np.std(found), rel=0.05)


def test_what_is_undefined_has_a_reason() -> None:
    nothing = rater_agreement("A", "B", {"a": "P"}, {"b": "P"})
    assert (nothing.num, nothing.kappa) == (0, None)
    assert str(nothing.reason) == "no case was rated by both"
    constant = rater_agreement("A", "B", dict.fromkeys("abc", "P"), {"a": "P", "b": "P", "c": "N"})
    assert (constant.num, constant.num_same, constant.kappa) == (3, 2, None)
    assert "one class throughout" in str(constant.reason)
    few = rater_agreement("A", "B", {"a": "P", "b": "N"}, {"a": "P", "b": "N"})
    assert (few.kappa, few.interval_95) == (1.0, None)


def test_answers_are_summed_by_reader_and_compared_in_pairs() -> None:
    cases = [a_case(f"c{n}", "P" if n % 2 else "N", 0.9 if n < 6 else 0.1) for n in range(12)]
    first = [ReaderAnswer(case.case_id, "A", reading=case.label) for case in cases]
    first[0] = replace(first[0], reading=CANNOT_SAY, agreement="disagree")
    second = [ReaderAnswer("c1", "B", agreement="agree", location="plausible")]
    record = summarise_readers([*second, *first], cases)
    assert [answer.reader for answer in record.answers[:3]] == ["A", "A", "B"]
    one, two = record.summaries
    assert (one.num_cases, one.num_readings, one.num_undecided) == (12, 12, 1)
    assert (two.agreement, two.location) == ({"agree": 1}, {"plausible": 1})
    pairs = {(pair.first, pair.second): pair for pair in record.pairs}
    assert set(pairs) == {("A", "model"), ("A", "reference label")}
    assert pairs["A", "reference label"].num_same == pairs["A", "reference label"].num == 11
    assert (pairs["A", "model"].num, pairs["A", "model"].num_same) == (11, 6)

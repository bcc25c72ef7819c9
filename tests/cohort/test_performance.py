"""Every metric of some cases, against a table worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from cxr_audit.cohort.performance import Outputs, performance
from cxr_audit.vocabulary import message

# 12 positive, 9 of them called; 20 negative, 4 of them called.
POSITIVE = np.arange(32) < 12
CALLED = np.concatenate([np.arange(12) < 9, np.arange(20) < 4])
PROBABILITY = np.where(CALLED, 0.9, 0.3)


def values(prevalence: float | None = None, **changed: np.ndarray) -> dict[str, float | None]:
    outputs = {
        "positive": POSITIVE,
        "probability": PROBABILITY,
        "called": CALLED,
        "patients": np.arange(32),
    } | changed
    return {
        name: one.value
        for name, one in performance(Outputs(**outputs), prevalence, 200, 0).metrics.items()
    }


def test_a_table_by_hand() -> None:
    """AUC: 9 x 16 pairs won, 9 x 4 + 3 x 16 halves, of 12 x 20. Bins 0.3: 19 x 0.3 - 3; 0.9: 13
    x 0.9 - 9."""
    assert values() == pytest.approx(
        {
            "auc": (144 + 42) / 240,
            "sensitivity": 9 / 12,
            "specificity": 16 / 20,
            "ppv": 9 / 13,
            "npv": 16 / 19,
            "brier": (9 * 0.01 + 3 * 0.49 + 4 * 0.81 + 16 * 0.09) / 32,
            "ece": (2.7 + 2.7) / 32,
        }
    )


def test_at_the_runs_prevalence_bayes_gives_the_same_predictive_values() -> None:
    stated, own = values(12 / 32), values()
    assert (stated["ppv"], stated["npv"]) == pytest.approx((own["ppv"], own["npv"]))


def test_at_another_prevalence() -> None:
    """Of 1000: 100 positive, 75 called; 900 negative, 180 called."""
    found = values(0.1)
    assert (found["ppv"], found["npv"]) == pytest.approx((75 / 255, 720 / 745))


def test_reliability_bins_hold_every_case() -> None:
    probability = np.concatenate([[0.0, 1.0], np.full(15, 0.25), np.full(15, 0.95)])
    found = performance(
        Outputs(POSITIVE, probability, CALLED, np.arange(32)), None, 200, 0
    ).reliability
    assert [one.observed.num_cases for one in found] == [1, 0, 15, 0, 0, 0, 0, 0, 0, 16]
    assert found[2].mean_probability == pytest.approx(0.25)
    assert found[2].observed.value == pytest.approx(10 / 15)
    assert (found[1].mean_probability, found[1].observed.value) == (None, None)
    assert found[1].observed.reason == message("cohort.empty_bin")
    assert (found[0].low, found[9].high) == (0, 1)


@pytest.mark.parametrize(
    ("changed", "missing"),
    [
        ({"positive": np.ones(32, bool)}, {"auc", "specificity", "ppv", "npv"}),
        ({"positive": np.zeros(32, bool)}, {"auc", "sensitivity", "ppv", "npv"}),
        ({"called": np.zeros(32, bool)}, {"ppv"}),
        ({"probability": np.full(32, 0.4)}, {"auc"}),
    ],
    ids=["positive only", "negative only", "nothing called", "constant scores"],
)
def test_bad_samples_leave_the_rest_defined(
    changed: dict[str, np.ndarray], missing: set[str]
) -> None:
    assert {name for name, value in values(**changed).items() if value is None} == missing


def test_no_case_at_all() -> None:
    nothing = np.zeros(0, bool)
    found = performance(Outputs(nothing, np.zeros(0), nothing, np.zeros(0, int)), None, 200, 0)
    assert all(one.value is None and one.reason for one in found.metrics.values())
    assert found.ece_if_calibrated is None

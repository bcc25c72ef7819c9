"""The statistics of the reference classifier's card, against hand-computed values."""

from __future__ import annotations

import numpy as np
import pytest
from cxr_audit.reference.train_classifier import (
    bootstrap,
    choose_threshold,
    expected_calibration_error,
    held_out,
    patient_of,
    temperature_of,
)


def test_temperature_of_logits_that_are_twice_too_large() -> None:
    # Three of four are right at +-log(3) * 2; the log-odds of three in four are log(3).
    logits = 2 * np.log(3) * np.array([1, 1, 1, 1, -1, -1, -1, -1])
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 1])
    assert temperature_of(labels, logits) == pytest.approx(2, rel=1e-3)


def test_calibration_error_by_hand() -> None:
    # Bin 0.2-0.3: mean 0.25, observed 1/2, of 2; bin 0.9-1: mean 0.95, observed 1, of 2; 1.0 belongs to the last bin.
    scores, labels = np.array([0.25, 0.25, 0.9, 1.0]), np.array([0, 1, 1, 1])
    assert expected_calibration_error(labels, scores) == pytest.approx((0.25 * 2 + 0.05 * 2) / 4)


def test_threshold_lies_between_the_classes() -> None:
    assert choose_threshold(
        np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.6, 0.9])
    ) == pytest.approx(0.5)


def test_bootstrap_resamples_patients_not_images() -> None:
    """All images of a patient come together: one patient a class makes every resample's statistic the same."""
    labels, scores = np.array([0, 0, 1, 1]), np.array([0.1, 0.3, 0.6, 0.8])

    def mean_of_positives(y: np.ndarray, p: np.ndarray) -> float:
        return float(p[y == 1].mean())

    low, high = bootstrap(
        mean_of_positives, labels, scores, ["a", "a", "b", "b"], seed=1, rounds=50
    )
    assert low == high == pytest.approx(0.7)
    low, high = bootstrap(
        mean_of_positives, labels, scores, ["a", "b", "c", "d"], seed=1, rounds=200
    )
    assert low == pytest.approx(0.6)
    assert high == pytest.approx(0.8)


def test_patients_stay_on_one_side() -> None:
    assert patient_of("person12_virus_3.jpeg") == "person12"
    assert patient_of("NORMAL2-IM-0123-0001.jpeg") == "IM-0123"
    with pytest.raises(ValueError, match="no patient"):
        patient_of("image.jpeg")
    patients = [f"p{n // 3}" for n in range(300)]
    chosen = held_out(patients, seed=3)
    assert len({p for p, c in zip(patients, chosen, strict=True) if c}) == 10
    assert all(
        len({bool(c) for p, c in zip(patients, chosen, strict=True) if p == name}) == 1
        for name in set(patients)
    )

"""The intervals hold the truth as often as they say: the quick form of `python -m
benchmarks.coverage`."""

from __future__ import annotations

from benchmarks.coverage import World, coverage


def test_patients_are_needed_for_95_percent() -> None:
    """200 samples: 95 % has a standard error of 1.5 %."""
    shares = coverage(
        World("", 60, 2, images=(2, 4), alike=0.9, sharpen=2), samples=200, rounds=200
    )
    for metric in ("auc", "sensitivity", "specificity", "ppv", "npv"):
        assert 0.91 <= shares[metric, "ours"][0] <= 0.99, metric
        assert shares[metric, "images"][0] < 0.88, metric

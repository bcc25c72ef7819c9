"""What a run asks of its factors: by hand, and through a whole run."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from cxr_audit import preprocess as geometry
from cxr_audit.audit.factors import (
    BAND,
    HIGH,
    LOW,
    changed_inputs,
    read_changes,
    spread_within_label,
    usual_ranges,
)
from cxr_audit.config import Preprocess
from cxr_audit.records import ModelInput

from tests.audit.runs import rows_of, run

SETTINGS = Preprocess(rows=32, columns=32, channels=3, scaling="minus_one_one")


def an_input(
    seed: int = 0, resize: str = "stretch", rows: int = 40, columns: int = 40
) -> ModelInput:
    grey = np.random.default_rng(seed).random((32, 32)).astype(np.float32)
    grey = 0.2 + 0.5 * cv2.GaussianBlur(grey, (0, 0), 2)
    placement = geometry.place(rows, columns, 32, 32, resize)
    shares, *_ = geometry.cell_shares(placement, 32, 32)
    grey = np.where(shares > 0.5, grey, 0).astype(np.float32)
    return ModelInput((np.repeat(grey[..., None], 3, 2) * 2 - 1).astype(np.float32), placement)


def test_grey_values_are_those_of_the_radiograph_and_go_back_unchanged() -> None:
    seen = an_input(resize="letterbox", rows=20, columns=40)
    grey, where = geometry.grey_of(seen, SETTINGS)
    assert grey.shape == (16, 32)
    assert 0.2 < grey.min() < grey.max() < 0.7
    again = geometry.with_grey(seen, grey, where, SETTINGS)
    assert again == pytest.approx(seen.tensor, abs=1e-6)
    black = geometry.with_grey(seen, np.zeros_like(grey), where, SETTINGS)
    assert np.all(black == -1)


def test_a_shift_of_brightness_is_undone_by_standardisation_of_each_image() -> None:
    settings = Preprocess(
        rows=32, columns=32, channels=1, scale=1.0, offset=0.0, standardise="plain"
    )
    grey = np.random.default_rng(1).random((32, 32)).astype(np.float32)
    mean, deviation = float(grey.mean()), float(grey.std())
    tensor = ((grey - mean) / deviation)[..., None].astype(np.float32)
    placement = geometry.place(32, 32, 32, 32, "stretch")
    seen = ModelInput(tensor, placement, (mean, deviation))
    found, where = geometry.grey_of(seen, settings)
    assert found == pytest.approx(grey, abs=1e-5)
    shifted = geometry.with_grey(seen, found + np.float32(0.1), where, settings)
    assert shifted == pytest.approx(tensor, abs=1e-4)


def test_usual_ranges_are_percentiles_of_what_was_seen() -> None:
    values = [{"brightness": n / 20, "tilt": 3.0} for n in range(21)]
    assert usual_ranges(values) == {"brightness": pytest.approx((0.05, 0.95))}
    assert usual_ranges(values[:7]) == {}


def test_each_factor_is_moved_to_both_ends_unless_it_lies_beyond() -> None:
    seen = an_input()
    mean = np.zeros((32, 32, 3), np.float32)
    grey, _ = geometry.grey_of(seen, SETTINGS)
    value = float(grey.mean())
    ranges = {"brightness": (value - 0.1, value + 0.1), "contrast": (0.0, 1.0)}
    made = dict(changed_inputs(seen, {"brightness": value}, ranges, mean, SETTINGS))
    assert {name for name, end in made if end == BAND} == {
        *(f"row {n}" for n in range(1, 9)),
        *(f"column {n}" for n in range(1, 9)),
    }
    for end, expected in ((LOW, value - 0.1), (HIGH, value + 0.1)):
        changed = (made["brightness", end][..., 0] + 1) / 2
        assert changed.mean() == pytest.approx(expected, abs=2e-3)
    assert ("contrast", LOW) not in made  # the case has no such value
    # 32 rows, eight bands: the third is rows 8 to 11.
    band = made["row 3", BAND]
    assert np.all(band[8:12] == 0)
    assert np.array_equal(band[12:], seen.tensor[12:])
    beyond = dict(
        changed_inputs(
            seen, {"brightness": value}, {"brightness": (value + 0.1, 1.0)}, None, SETTINGS
        )
    )
    assert set(beyond) == {("brightness", HIGH)}


def test_an_end_without_an_input_changes_nothing() -> None:
    changes = [("zoom", HIGH), ("row 1", BAND)]
    moved, bands = read_changes(changes, [1.5, 0.25], 1.0, ["zoom", "tilt"])
    assert moved == {"zoom": (0.0, 0.5), "tilt": (0.0, 0.0)}
    assert bands == {"row 1": -0.75}


def test_spread_within_label_by_hand() -> None:
    logits = [("a", 0.0), ("a", 2.0)] * 2 + [("b", 10.0), ("b", 14.0)] * 2
    # Variances 1 and 4, four cases each.
    assert spread_within_label(logits) == pytest.approx(np.sqrt(2.5))
    assert spread_within_label(logits[:4]) is None


def test_a_run_asks_a_sample_for_its_factors(config_file: Path) -> None:
    folder = run(config_file, "factors.cases=4")
    ranges = folder.read_run().calibration.factor_ranges
    assert {"brightness", "contrast", "sharpness"} <= set(ranges)
    assert "zoom" not in ranges  # no lungs are looked for here
    records = [folder.read_case(row["case_id"]) for row in rows_of(folder)]
    asked = [bool(record.probes.factors) for record in records if record]
    assert asked == [n % 2 == 0 for n in range(8)]
    for record, row in zip(records, rows_of(folder), strict=True):
        assert record is not None
        assert record.input.measured["source_resolution"] == pytest.approx(np.log(60 * 50))
        if record.probes.factors:
            assert set(record.probes.factors) == set(ranges)
            assert len(record.probes.bands) == 16
            assert row["flag_depends_on_contrast"] in ("True", "False")
        else:
            assert row["flag_depends_on_contrast"] == ""
    written = json.loads((folder.path / "cohort.json").read_text())["factors"]
    assert {"brightness", "device", "objects"} <= {verdict["factor"] for verdict in written}
    keys = {
        *("factor", "kind", "verdict", "effect", "unit", "interval_95"),
        *("num_cases", "num_patients", "reason"),
    }
    assert all(set(verdict) == keys for verdict in written)
    # Eight patients are too few for a verdict.
    assert {verdict["verdict"] for verdict in written} == {"not_examined"}
    nothing = run(config_file, "factors.cases=none", "run.name=nothing")
    assert not any(
        record.probes.factors for record in map(nothing.read_case, nothing.case_ids()) if record
    )

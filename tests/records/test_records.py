"""Records are valid from birth and come back from JSON."""

from __future__ import annotations

import json
from dataclasses import fields, is_dataclass, replace

import cxr_audit.records as records_module
import numpy as np
import pytest
from cxr_audit.records import (
    AuditedCase,
    CaseRecord,
    ClassActivationMap,
    Estimate,
    InputRecord,
    LogitBudget,
    MapFacts,
    MapRecord,
    Measurements,
    ModelInput,
    Placement,
    Prediction,
    Radiograph,
    RadiographFacts,
    SourceFile,
    StoppedCase,
    case_from_json,
    to_json,
)
from cxr_audit.vocabulary import message

SOURCE = SourceFile("0" * 64, "1" * 64, "DICOM", "JPEG 2000", "openjpeg")
FACTS = RadiographFacts(2, 3, SOURCE, (0.1, 0.2), "PA", ("L", "F"), {"Modality": "CR"})
PREDICTION = Prediction("P", "logit", 0.5, 0.62, {"N": 0.38, "P": 0.62}, 0.5, "default", "P", None)


AUDITED = AuditedCase(
    "a",
    FACTS,
    InputRecord(Placement(2, 3, 4, 4, 2.0, 4 / 3, 0.0, 0.0)),
    PREDICTION,
    maps=(
        MapRecord(
            MapFacts("k", "grad-cam", "conv", "P", "ok", 2, 2),
            0.5,
            Measurements(
                {"entropy": 0.5, "centroid": (0.25, 0.5), "focus_band": "focal", "gini": None},
                {"gini": message("focus.single_cell")},
            ),
        ),
    ),
)
STOPPED = StoppedCase("a", "failed", message("focus.single_cell"), error="UnreadableFile")


@pytest.mark.parametrize("record", [AUDITED, STOPPED], ids=["audited", "stopped"])
def test_a_case_comes_back_from_its_json(record: CaseRecord) -> None:
    assert case_from_json(to_json(record)) == record
    assert to_json(case_from_json(to_json(record))) == to_json(record)


def test_a_message_carries_code_values_and_english() -> None:
    reason = json.loads(to_json(STOPPED))["reason"]
    assert reason == {
        "code": "focus.single_cell",
        "values": {},
        "text": "the map has a single cell",
    }


def test_no_record_is_wide() -> None:
    """A record with many fields is several records."""
    records = [value for value in vars(records_module).values() if is_dataclass(value)]
    assert len(records) > 30
    wide = {record.__name__ for record in records if len(fields(record)) > 15}
    assert not wide


@pytest.mark.parametrize(
    ("orientation", "side"),
    [
        (("L", "F"), "right"),
        (("LP", "F"), "right"),
        (("R", "F"), "left"),
        (("A", "F"), None),
        (None, None),
    ],
)
def test_the_rows_run_to_the_side_that_is_not_at_the_image_left(
    orientation: tuple[str, str] | None, side: str | None
) -> None:
    assert replace(FACTS, patient_orientation=orientation).image_left == side


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"case_id": "a", "status": "fine"}', b'{"case_id": 3, "status": "ok"}']
)
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a record of a case"):
        case_from_json(data)


@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((2, 3)),
        np.zeros((2, 2), np.float32),
        np.full((2, 3), 1.5, np.float32),
        np.full((2, 3), np.nan, np.float32),
        np.zeros((2, 3, 1), np.float32),
    ],
    ids=["float64", "shape", "range", "nan", "ndim"],
)
def test_pixels_that_are_no_radiograph(pixels: np.ndarray) -> None:
    with pytest.raises(ValueError, match="pixels"):
        Radiograph("a", pixels, FACTS)


@pytest.mark.parametrize(
    ("value", "interval", "reason"),
    [
        (0.5, None, None),
        (0.5, (0.4, 0.6), "too few"),
        (None, (0.4, 0.6), None),
        (float("nan"), None, "no case"),
        (0.5, (0.4, float("inf")), None),
    ],
    ids=["no reason", "both", "no value", "nan", "infinite"],
)
def test_an_estimate_has_an_interval_or_a_reason(
    value: float | None, interval: tuple[float, float] | None, reason: str | None
) -> None:
    with pytest.raises(ValueError, match=r"interval|finite"):
        Estimate(value, 10, 10, interval, reason)


def test_arrays_are_read_only() -> None:
    radiograph = Radiograph("a", np.zeros((2, 3), np.float32), FACTS)
    with pytest.raises(ValueError, match="read-only"):
        radiograph.pixels[0, 0] = 1


def test_other_invalid_records() -> None:
    with pytest.raises(ValueError, match="not finite"):
        ModelInput(np.full((2, 2, 1), np.inf, np.float32), Placement(2, 2, 2, 2, 1, 1))
    with pytest.raises(ValueError, match="scales"):
        Placement(2, 2, 2, 2, 0, 1)
    with pytest.raises(ValueError, match="grid"):
        ClassActivationMap(np.zeros((2, 2), np.float32), MapFacts("k", "m", "l", "c", "ok", 3, 3))
    with pytest.raises(ValueError, match="a value or a reason, not both"):
        Measurements({"entropy": None})
    with pytest.raises(ValueError, match="a value or a reason, not both"):
        Measurements({"entropy": 0.5}, {"entropy": "both"})
    with pytest.raises(ValueError, match="entropy is not finite"):
        Measurements({"entropy": float("nan")})
    with pytest.raises(ValueError, match="peak is not finite"):
        Measurements({"peak": (0.5, float("inf"))})


def test_a_budget_that_misses_the_logit_is_refused() -> None:
    LogitBudget(1.5, (("lungs", 2.0), ("bias", -0.5)), True)
    with pytest.raises(ValueError, match=r"the parts miss the logit by 0\.1"):
        LogitBudget(1.5, (("lungs", 2.1), ("bias", -0.5)), True)
    with pytest.raises(ValueError, match="not finite"):
        LogitBudget(1.5, (("lungs", float("nan")),), True)

"""Records -> the cases by factor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from cxr_audit.cohort import panel as room
from cxr_audit.cohort.panel import PanelBuilder
from cxr_audit.records import AuditedCase, Probes

from tests.cohort.cases import a_case, a_failure


def measured(number: int, **probes: object) -> AuditedCase:
    """A case whose brightness is its number."""
    case = a_case(str(number), "NP"[number % 2], 0.5, {"Manufacturer": "A"})
    return replace(
        case,
        input=replace(case.input, measured={"brightness": float(number)}),
        probes=Probes(**probes),  # type: ignore[arg-type]
    )


def test_a_case_by_factor() -> None:
    builder = PanelBuilder()
    builder.add(
        measured(
            1,
            factors={"brightness": (-0.5, 1.5), "tilt": (0.2, 0.3)},
            bands={"row 1": 0.4},
            mean_replaced={"border": -0.1, "letter 1": 0.2, "text 1": -0.7},
        )
    )
    builder.add(measured(2))
    builder.add(a_failure("3"))
    builder.add(a_case("4", "N", 0.5))  # of an older version, without measurements
    panel = builder.panel({"1": 7, "2": 8})
    assert panel.patients.tolist() == [7, 8]
    assert panel.values["brightness"].tolist() == [1, 2]
    assert np.isnan(panel.values["zoom"]).all()
    # Between the highest and the lowest logit, the image as it is among them.
    assert panel.ranges["brightness"] == pytest.approx([2.0, np.nan], nan_ok=True)
    assert panel.ranges["tilt"] == pytest.approx([0.3, np.nan], nan_ok=True)
    assert panel.places["row 1"] == pytest.approx([0.4, np.nan], nan_ok=True)
    assert panel.places["border"] == pytest.approx([-0.1, np.nan], nan_ok=True)
    assert panel.marker == pytest.approx([-0.7, np.nan], nan_ok=True)
    assert panel.words["device"] == ("A", "A")
    assert panel.words["view"] == (None, None)
    assert panel.statistics is None
    assert panel.labels[0] != panel.labels[1]


def test_many_cases_are_thinned_out_evenly_and_those_asked_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(room, "MOST", 10)
    builder = PanelBuilder()
    for number in range(100):
        is_asked = number % 25 == 0
        builder.add(measured(number, bands={"row 1": 0.0}) if is_asked else measured(number))
    panel = builder.panel({str(number): number for number in range(100)})
    kept = sorted(panel.values["brightness"])
    assert {0, 25, 50, 75} <= set(kept)
    others = [number for number in kept if number % 25]
    assert 5 <= len(others) <= 10
    assert max(np.diff(others)) <= 2 * min(np.diff(others))

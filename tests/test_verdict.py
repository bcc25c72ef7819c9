"""Flags by rule, on records written by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cxr_audit.cohort.cases import case_values
from cxr_audit.config import Acceptance, Preprocess
from cxr_audit.preprocess import FEWEST, as_usual, exposures, place, usual
from cxr_audit.records import FLAGS, CaseRecord, Check, ModelInput, RegionFacts, RegionFocus
from cxr_audit.verdict import judge

from tests.cohort.cases import a_case

LIMITS = Acceptance(
    flag_outside_lungs_enrichment=1.2,
    flag_marker_log_odds=1.0,
    flag_border_log_odds=2.0,
    flag_region_share=0.1,
    flag_region_enrichment=3.0,
    flag_exposure_log_odds=1.5,
    flag_diffuse_high_focus=0.7,
    flag_near_threshold_log_odds=0.5,
)


def case(logit: float = 4.0, enrichment: float | None = 2.0, **changes: Any) -> CaseRecord:
    """Called P from the threshold 0.5, that is from the logit 0; with a marker and the border as regions."""
    record = a_case("1", "P", 0.98 if logit > 0 else 0.02, enrichment=enrichment)
    assert record.prediction
    regions = (
        *record.regions,
        RegionFacts("letter 1", "marker", "by hand", 0.01),
        RegionFacts("border", "border", "by hand", 0.19),
    )
    return replace(
        record, prediction=replace(record.prediction, logit=logit), regions=regions, **changes
    )


def at(record: CaseRecord, region: str, share: float, chance: float) -> CaseRecord:
    """The same, with so much of the evidence in a region."""
    one = RegionFocus(region, share, chance, share / chance, 0.5, False, 0.2, 0.3, 0.2, 0.3)
    return replace(record, region_focus={"grad-cam": (*record.region_focus["grad-cam"], one)})


def reasons(record: CaseRecord) -> dict[str, str]:
    return {flag.name: flag.reason for flag in judge(record, LIMITS)[0]}


def test_nothing_is_raised_where_nothing_is_over_a_limit() -> None:
    record = at(
        at(case(exposure={"darker": -0.7, "brighter": 0.7}), "letter 1", 0.02, 0.01),
        "border",
        0.1,
        0.19,
    )
    flags, undefined = judge(record, LIMITS)
    assert flags == ()
    assert set(undefined) == {"low_contrast_input", "out_of_population"}


def test_evidence_outside_the_lungs() -> None:
    # A quarter of the area, 1.1 times as much of the evidence.
    assert reasons(case(enrichment=1.1)) == {
        "outside_lungs": "28 % of the positive evidence lies in the lungs, 1.1 times their share of the area; limit 1.2"
    }


def test_a_marker_is_judged_by_what_the_usual_in_its_place_does() -> None:
    record = at(case(as_usual={"letter 1": -1.3, "border": 0.4}), "letter 1", 0.02, 0.01)
    assert reasons(record) == {
        "marker": "letter 1 replaced by the run's mean radiograph lowers the logit by 1.3; limit 1"
    }
    assert reasons(replace(record, as_usual={"letter 1": -0.9, "border": 1.9})) == {}


def test_the_border_is_judged_where_the_class_is_not_predicted_too() -> None:
    record = case(logit=-3, as_usual={"border": 2.8})
    assert reasons(record) == {
        "border": "border replaced by the run's mean radiograph raises the logit by 2.8; limit 2"
    }
    # Where the run's logits differ by 10 as a rule, 0.3 of that is more than 2.8.
    spread_out = LIMITS.model_copy(update={"flag_border_spread": 0.3})
    assert judge(record, spread_out, 9.0)[0]
    assert not judge(record, spread_out, 10.0)[0]
    quiet = replace(record, as_usual={"border": 0.1})
    assert "border" not in {**reasons(quiet), **judge(quiet, LIMITS)[1]}


def test_of_several_markers_the_one_that_counts_most() -> None:
    record = case()
    second = RegionFacts("text 1", "marker", "by hand", 0.01)
    record = replace(
        record, regions=(*record.regions, second), as_usual={"letter 1": 0.2, "text 1": 3.0}
    )
    assert reasons(record) == {
        "marker": "text 1 replaced by the run's mean radiograph raises the logit by 3.0; limit 1"
    }


def test_where_nothing_usual_is_known_the_map_decides_by_share_and_enrichment_together() -> None:
    assert reasons(at(case(), "letter 1", 0.2, 0.05)) == {
        "marker": "20 % of the positive evidence lies at letter 1, 4.0 times its share of the area; "
        "limits 10 % and 3 times"
    }
    assert reasons(at(case(), "letter 1", 0.2, 0.1)) == {}  # twice its area: no
    assert reasons(at(case(), "letter 1", 0.09, 0.01)) == {}  # nine times its area, but little
    assert set(reasons(at(case(), "border", 0.6, 0.19))) == {"border"}


def test_no_marker_found_is_no_flag_and_none_looked_for_is_unknown() -> None:
    record = case()
    found = replace(record, regions=tuple(one for one in record.regions if one.kind != "marker"))
    assert "marker" not in judge(found, LIMITS)[1]
    reason = "the markers were not looked for"
    assert judge(replace(found, markers_missing=reason), LIMITS)[1]["marker"] == reason


def test_exposure_by_the_swing_from_darker_to_brighter() -> None:
    assert reasons(case(exposure={"darker": -1.0, "brighter": 0.6})) == {
        "exposure": "from darker to brighter, exposure raises the logit by 1.6; limit 1.5"
    }
    assert (
        reasons(case(exposure={"darker": 1.6, "brighter": 1.4})) == {}
    )  # both the same way: no direction
    assert "darker and brighter" in judge(case(), LIMITS)[1]["exposure"]


def test_near_the_threshold_in_log_odds() -> None:
    assert reasons(case(logit=0.4)) == {
        "near_threshold": "The logit is 0.40 log-odds from the threshold's; limit 0.5"
    }
    record = case(logit=1.6)
    assert record.prediction
    # log(0.8 / 0.2) = 1.386
    assert "near_threshold" in reasons(
        replace(record, prediction=replace(record.prediction, threshold=0.8))
    )
    unknown = replace(record, prediction=replace(record.prediction, threshold=None))
    assert "highest score" in judge(unknown, LIMITS)[1]["near_threshold"]


def test_where_the_class_is_not_predicted_the_place_of_evidence_is_not_judged() -> None:
    record = at(case(logit=-3, enrichment=0.1), "border", 0.9, 0.19)
    flags, undefined = judge(record, LIMITS)
    assert flags == ()
    assert {"outside_lungs", "border", "diffuse"} <= set(undefined)
    assert "P is not predicted" in undefined["border"]


def test_an_empty_map_gives_reasons_and_no_flag() -> None:
    flags, undefined = judge(case(enrichment=None), LIMITS)
    assert flags == ()
    assert undefined["outside_lungs"] == undefined["diffuse"] == "the map is zero everywhere"


def test_no_lungs_is_a_reason() -> None:
    record = replace(
        case(), regions=(), region_focus={}, lungs_missing="lungs not found: one is missing"
    )
    assert judge(record, LIMITS)[1]["outside_lungs"] == "lungs not found: one is missing"


@pytest.mark.parametrize(
    ("check", "flag"),
    [
        ("contrast", "low_contrast_input"),
        ("view", "out_of_population"),
        ("age", "out_of_population"),
    ],
)
def test_checks_of_the_input(check: str, flag: str) -> None:
    failed = Check(check, "what was done", "failed", 0.1, "at least 0.2", "the range is 0.1")
    assert reasons(case(quality=(failed,))) == {flag: "the range is 0.1"}
    flags, undefined = judge(
        case(quality=(Check(check, "what was done", "not_run", reason="no attribute"),)),
        LIMITS,
        None,
    )
    assert (flags, undefined[flag]) == ((), "no attribute")
    assert (
        flag
        not in judge(
            case(quality=(Check(check, "what was done", "passed", 0.3, "at least 0.2"),)), LIMITS
        )[1]
    )


def test_flags_are_columns_with_a_reason_where_unknown() -> None:
    record = case(exposure={"darker": 2.0, "brighter": -1.0})
    flags, undefined = judge(record, LIMITS)
    values, why = case_values(replace(record, flags=flags, flags_undefined=undefined))
    assert values["flag_exposure"] is True
    assert values["flag_near_threshold"] is False
    assert values["flag_low_contrast_input"] is None
    assert why["flag_low_contrast_input"] == "the input was not checked for it"
    failed = CaseRecord("2", "failed", reason="the file is empty")
    assert {case_values(failed)[0][f"flag_{name}"] for name in FLAGS} == {None}


@pytest.mark.parametrize(
    ("scaling", "low", "high"), [("unit", 0.0, 1.0), ("minus_one_one", -1.0, 1.0)]
)
def test_exposures_move_grey_by_a_tenth_within_black_and_white_and_leave_padding(
    scaling: Any, low: float, high: float
) -> None:
    # 2 x 4 letterboxed into 4 x 4: the first and the last row are padding.
    grey = np.array(
        [
            [0.0, 0.0, 0.0, 0.0],
            [0.05, 0.25, 0.5, 0.95],
            [0.05, 0.25, 0.5, 0.95],
            [0.0, 0.0, 0.0, 0.0],
        ]
    )
    shown = ModelInput(
        (low + (high - low) * grey[..., None]).astype(np.float32), place(2, 4, 4, 4, "letterbox")
    )
    made = exposures(shown, Preprocess(rows=4, columns=4, scaling=scaling, channels=1))
    for name, row in {"darker": [0.0, 0.15, 0.4, 0.85], "brighter": [0.15, 0.35, 0.6, 1.0]}.items():
        expected = np.array([[0.0] * 4, row, row, [0.0] * 4])
        assert made[name].dtype == np.float32
        np.testing.assert_allclose((made[name][..., 0] - low) / (high - low), expected, atol=1e-6)


def test_usual_is_the_mean_of_what_is_radiograph() -> None:
    # Letterboxed into 4 x 4: wide ones have radiograph in the two middle rows, square ones everywhere.
    grey = np.linspace(0, 0.7, FEWEST)
    wide, square = place(2, 4, 4, 4, "letterbox"), place(4, 4, 4, 4, "letterbox")
    padded = np.array([0.0, 1.0, 1.0, 0.0])[:, None, None] * np.ones((1, 4, 1))
    some = [ModelInput((grey[0] * padded).astype(np.float32), wide)]
    some += [ModelInput(np.full((4, 4, 1), one, np.float32), square) for one in grey[1:]]
    found = usual(some)
    assert found is not None
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[1:3], grey.mean(), atol=1e-6)  # eight of eight
    np.testing.assert_allclose(
        found[[0, 3]], grey[1:].mean(), atol=1e-6
    )  # the wide one has padding there
    assert usual(some[:-1]) is None


def test_parts_as_usual_touch_no_other_pixel_and_no_padding() -> None:
    # 4 x 8 letterboxed into 8 x 8: rows 2 to 5; a border of an eighth is half a row and one column.
    tensor = np.zeros((8, 8, 1), np.float32)
    marker = np.zeros((4, 8), bool)
    marker[1, 2:4] = True
    away = np.zeros((4, 8), bool)
    made = as_usual(
        ModelInput(tensor, place(4, 8, 8, 8, "letterbox")),
        np.ones((8, 8, 1), np.float32),
        {"letter 1": marker, "letter 2": away},
        0.125,
    )
    assert set(made) == {"letter 1", "border"}  # nothing of letter 2 is seen
    letter, ring = np.zeros((8, 8)), np.zeros((8, 8))
    letter[3, 2:4] = 1
    ring[[2, 5]] = 1
    ring[2:6, [0, 7]] = 1
    np.testing.assert_array_equal(made["letter 1"][..., 0], letter)
    np.testing.assert_array_equal(made["border"][..., 0], ring)

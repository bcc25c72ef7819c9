"""Flags by rule, on records written by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cxr_audit.cohort.cases import case_values
from cxr_audit.config import Acceptance, Preprocess
from cxr_audit.flags import flagged, judge
from cxr_audit.flags.rules import RULES
from cxr_audit.preprocess import FEWEST, as_usual, exposures, place, usual
from cxr_audit.records import (
    AuditedCase,
    Check,
    Measurements,
    ModelInput,
    Probes,
    RegionFacts,
    RegionsRecord,
)
from cxr_audit.vocabulary import FLAGS, Message, Text, message

from tests.cohort.cases import DEAD, a_case, a_failure, in_region

LIMITS = Acceptance(
    flag_outside_lungs_controls=1.0,
    flag_outside_lungs_contour=0.25,
    flag_marker_log_odds=1.0,
    flag_border_log_odds=2.0,
    flag_region_share=0.1,
    flag_region_enrichment=3.0,
    flag_exposure_log_odds=1.5,
    flag_diffuse_high_focus=0.7,
    flag_near_threshold_log_odds=0.5,
)


def case(
    logit: float = 4.0,
    enrichment: float | None = 2.0,
    replaced: dict[str, float] | None = None,
    exposure: dict[str, float] | None = None,
    quality: tuple[Check, ...] = (),
) -> AuditedCase:
    """Called P from the threshold 0.5, that is from the logit 0; with a marker and the border."""
    record = a_case("1", "P", 0.98 if logit > 0 else 0.02, enrichment=enrichment)
    return replace(
        record,
        prediction=replace(record.prediction, logit=logit),
        regions=RegionsRecord(
            (
                *record.regions.found,
                RegionFacts("letter 1", "marker", "by hand", 0.01),
                RegionFacts("border", "border", "by hand", 0.19),
            ),
            controls={"lungs": {"centre": 0.25, "edges": 0.25}},
        ),
        probes=Probes(mean_replaced=replaced or {}, exposure=exposure or {}),
        quality=quality,
    )


def at(record: AuditedCase, region: str, share: float, chance: float) -> AuditedCase:
    """The same, with so much of the evidence in a region."""
    first = record.maps[0]
    in_regions = {**first.in_regions, region: in_region(share, chance)}
    return replace(record, maps=(replace(first, in_regions=in_regions),))


def with_regions(record: AuditedCase, *found: RegionFacts, **missing: Text) -> AuditedCase:
    return replace(record, regions=RegionsRecord(found, missing))


def with_prediction(record: AuditedCase, **changes: Any) -> AuditedCase:
    return replace(record, prediction=replace(record.prediction, **changes))


def reasons(record: AuditedCase) -> dict[str, Text]:
    return {flag.name: flag.reason for flag in judge(record, LIMITS).raised}


def undefined(record: AuditedCase) -> dict[str, Text]:
    return judge(record, LIMITS).undefined


def test_every_row_has_a_rule_and_every_rule_a_row() -> None:
    rows = [row.key for row in FLAGS if not (row.function or row.checks or row.factor)]
    assert list(RULES) == rows


def test_nothing_is_raised_where_nothing_is_over_a_limit() -> None:
    record = at(case(exposure={"darker": -0.7, "brighter": 0.7}), "letter 1", 0.02, 0.01)
    flags = judge(at(record, "border", 0.1, 0.19), LIMITS)
    assert flags.raised == ()
    assert set(flags.undefined) == {
        *("low_contrast_input", "out_of_population"),
        *("marker", "border"),  # their evidence is small, but they were not replaced
    }
    assert flags.undefined["border"] == message("flags.not_replaced")
    probes = replace(record.probes, mean_replaced={"letter 1": 0.4, "border": -0.3})
    flags = judge(replace(at(record, "border", 0.1, 0.19), probes=probes), LIMITS)
    assert flags.raised == ()
    assert set(flags.undefined) == {"low_contrast_input", "out_of_population"}


def test_markers_that_were_replaced_at_once_are_judged_together() -> None:
    record = case(exposure={"darker": 0, "brighter": 0}, replaced={"markers": -1.2, "border": 0.1})
    expected = message("flags.replaced_lowers", region="markers", change=1.2, limit=1.0)
    assert reasons(record)["marker"] == expected


def with_controls(record: AuditedCase, centre: float, edges: float) -> AuditedCase:
    """The same, with so much of the evidence of two controls in the lungs."""
    controls = {"lungs": {"centre": centre, "edges": edges, "random": 0.9}}
    return replace(record, regions=replace(record.regions, controls=controls))


def test_evidence_in_the_lungs_is_compared_with_the_better_control() -> None:
    # A quarter of the area; 1.2 times as much of the evidence: 0.3.
    for centre, edges, name in (
        (0.36, 0.31, "centre"),
        (0.29, 0.32, "edges"),
        (0.3, 0.1, "centre"),
    ):
        record = with_controls(case(enrichment=1.2), centre, edges)
        expected = message(
            "flags.no_more_than_controls",
            share=1.2 / 4,
            control=name,
            of_control=max(centre, edges),
            limit=1.0,
        )
        assert reasons(record) == {"outside_lungs": expected}
    above = with_controls(case(enrichment=1.2), 0.29, 0.25)
    assert reasons(above) == {}
    stricter = LIMITS.model_copy(update={"flag_outside_lungs_controls": 1.2})
    assert judge(above, stricter).names == ("outside_lungs",)


def test_most_of_the_evidence_in_the_lungs_is_no_flag_whatever_the_controls() -> None:
    """Lungs that fill most of the image, as the controls do."""
    assert reasons(with_controls(case(enrichment=2.1), 0.9, 0.9)) == {}  # 0.525


def test_a_contour_and_a_maximum_outside_the_lungs() -> None:
    """A tenth of the image is high focus, a quarter is lung. Of the contour a fifth lies in the
    lungs: Dice 2 x 0.02 / 0.35. The controls have less in the lungs, and it is flagged."""
    record = with_controls(with_contour(case(enrichment=1.6), 0.1, 0.2, is_hit=False), 0.2, 0.2)
    (flag,) = judge(record, LIMITS).raised
    assert isinstance(flag.reason, Message)
    assert flag.reason.code == "flags.contour_outside"
    assert flag.reason.values == pytest.approx({"share": 0.4, "contour": 0.2, "limit": 0.25})
    for contour, is_hit in ((0.2, True), (0.3, False)):
        other = with_contour(case(enrichment=1.6), 0.1, contour, is_hit)
        assert reasons(with_controls(other, 0.2, 0.2)) == {}


def with_contour(record: AuditedCase, area: float, inside: float, is_hit: bool) -> AuditedCase:
    """The same, with so much of the image high focus, and so much of that in the lungs."""
    first = record.maps[0]
    dice = 2 * inside * area / (area + 0.25)
    lungs = {**first.in_regions["lungs"].values, "dice": dice, "pointing_game_hit": is_hit}
    metrics = {**first.metrics.values, "high_focus_fraction": area}
    in_regions = {**first.in_regions, "lungs": Measurements(lungs)}
    changed = replace(first, metrics=Measurements(metrics), in_regions=in_regions)
    return replace(record, maps=(changed,))


def test_without_a_control_the_lungs_are_not_assessed() -> None:
    record = case(enrichment=1.5)
    without = replace(record, regions=replace(record.regions, controls={}))
    assert undefined(without)["outside_lungs"] == message("flags.no_control")


def replaced(region: str, change: float, limit: float) -> Text:
    direction = "raises" if change > 0 else "lowers"
    values = {"change": abs(change), "limit": limit}
    if region == "border":
        return message(f"flags.border_replaced_{direction}", **values)
    return message(f"flags.replaced_{direction}", region=region, **values)


def test_a_marker_is_judged_by_what_the_mean_radiograph_in_its_place_does() -> None:
    record = at(case(replaced={"letter 1": -1.3, "border": 0.4}), "letter 1", 0.02, 0.01)
    assert reasons(record) == {"marker": replaced("letter 1", -1.3, 1.0)}
    quiet = Probes(mean_replaced={"letter 1": -0.9, "border": 1.9})
    assert reasons(replace(record, probes=quiet)) == {}


def test_the_border_is_judged_where_the_class_is_not_predicted_too() -> None:
    record = case(logit=-3, replaced={"border": 2.8})
    assert reasons(record) == {"border": replaced("border", 2.8, 2.0)}
    # Where the run's logits differ by 10 as a rule, 0.3 of that is more than 2.8.
    spread_out = LIMITS.model_copy(update={"flag_border_spread": 0.3})
    assert judge(record, spread_out, 9.0).raised
    assert not judge(record, spread_out, 10.0).raised
    quiet = replace(record, probes=Probes(mean_replaced={"border": 0.1}))
    assert "border" not in {**reasons(quiet), **undefined(quiet)}


def test_of_several_markers_the_one_with_the_largest_change() -> None:
    record = case(replaced={"letter 1": 0.2, "text 1": 3.0})
    second = RegionFacts("text 1", "marker", "by hand", 0.01)
    record = with_regions(record, *record.regions.found, second)
    assert reasons(record) == {"marker": replaced("text 1", 3.0, 1.0)}


def test_without_a_mean_radiograph_the_map_decides_by_share_and_enrichment_together() -> None:
    expected = message(
        "flags.evidence_at",
        share=0.2,
        region="letter 1",
        enrichment=0.2 / 0.05,
        share_limit=0.1,
        enrichment_limit=3.0,
    )
    assert reasons(at(case(), "letter 1", 0.2, 0.05)) == {"marker": expected}
    assert reasons(at(case(), "letter 1", 0.2, 0.1)) == {}  # twice its area: no
    assert reasons(at(case(), "letter 1", 0.09, 0.01)) == {}  # nine times its area, but little
    assert set(reasons(at(case(), "border", 0.6, 0.19))) == {"border"}


def test_no_marker_found_is_no_flag_and_none_looked_for_is_unknown() -> None:
    record = case()
    others = tuple(region for region in record.regions.found if region.kind != "marker")
    assert "marker" not in undefined(with_regions(record, *others))
    reason = message("regions.markers_not_looked_for")
    assert undefined(with_regions(record, *others, marker=reason))["marker"] == reason


def test_brightness_by_the_swing_from_darker_to_brighter() -> None:
    swing = 0.6 - -1.0
    expected = message("flags.brightness_raises", change=swing, limit=1.5)
    assert reasons(case(exposure={"darker": -1.0, "brighter": 0.6})) == {"exposure": expected}
    # Both the same way: no direction.
    assert reasons(case(exposure={"darker": 1.6, "brighter": 1.4})) == {}
    assert undefined(case())["exposure"] == message("flags.brightness_not_tried")


def test_near_the_threshold_in_log_odds() -> None:
    expected = message("flags.near_threshold", distance=0.4, limit=0.5)
    assert reasons(case(logit=0.4)) == {"near_threshold": expected}
    # log(0.8 / 0.2) = 1.386
    assert "near_threshold" in reasons(with_prediction(case(logit=1.6), threshold=0.8))
    unknown = with_prediction(case(logit=1.6), threshold=None)
    assert undefined(unknown)["near_threshold"] == message("flags.no_threshold")


def test_where_the_class_is_not_predicted_the_place_of_evidence_is_not_judged() -> None:
    flags = judge(at(case(logit=-3, enrichment=0.1), "border", 0.9, 0.19), LIMITS)
    assert flags.raised == ()
    assert {"outside_lungs", "border", "diffuse"} <= set(flags.undefined)
    assert flags.undefined["border"] == message("flags.class_not_predicted", target="P")


def test_an_empty_map_gives_reasons_and_no_flag() -> None:
    flags = judge(case(enrichment=None), LIMITS)
    assert flags.raised == ()
    assert flags.undefined["outside_lungs"] == flags.undefined["diffuse"] == DEAD


def test_no_lungs_is_a_reason() -> None:
    record = with_regions(case(), lungs="one lung is missing")
    assert undefined(record)["outside_lungs"] == "one lung is missing"


@pytest.mark.parametrize(
    ("check", "flag"),
    [
        ("contrast", "low_contrast_input"),
        ("view", "out_of_population"),
        ("age", "out_of_population"),
    ],
)
def test_checks_of_the_input(check: str, flag: str) -> None:
    failed = Check(check, "failed", 0.1, "at least 0.2", "the range is 0.1")
    assert reasons(case(quality=(failed,))) == {flag: "the range is 0.1"}
    not_run = judge(case(quality=(Check(check, "not_run", reason="no attribute"),)), LIMITS)
    assert (not_run.raised, not_run.undefined[flag]) == ((), "no attribute")
    passed = case(quality=(Check(check, "passed", 0.3, "at least 0.2"),))
    assert flag not in {**reasons(passed), **undefined(passed)}


def test_flags_are_columns_with_a_reason_where_unknown() -> None:
    record = flagged(case(exposure={"darker": 2.0, "brighter": -1.0}), LIMITS, None)
    values, why = case_values(record)
    assert values["flag_exposure"] is True
    assert values["flag_near_threshold"] is False
    assert values["flag_low_contrast_input"] is None
    assert why["flag_low_contrast_input"] == message("flags.input_not_checked")
    failed = a_failure("2")
    assert {case_values(failed)[0][f"flag_{name}"] for name in FLAGS.keys()} == {None}  # noqa: SIM118
    assert flagged(failed, LIMITS, None) is failed


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
    # Letterboxed into 4 x 4: wide ones have radiograph in the two middle rows, square ones
    # everywhere.
    grey = np.linspace(0, 0.7, FEWEST)
    wide, square = place(2, 4, 4, 4, "letterbox"), place(4, 4, 4, 4, "letterbox")
    padded = np.array([0.0, 1.0, 1.0, 0.0])[:, None, None] * np.ones((1, 4, 1))
    some = [ModelInput((grey[0] * padded).astype(np.float32), wide)]
    some += [ModelInput(np.full((4, 4, 1), value, np.float32), square) for value in grey[1:]]
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

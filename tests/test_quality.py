"""Checks of the input on arrays whose numbers are worked out by hand."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from cxr_audit import quality
from cxr_audit.config import Quality
from cxr_audit.records import Check, RadiographFacts, SourceFile
from cxr_audit.vocabulary import QUALITY_CHECKS, message
from cxr_audit.vocabulary.checks import QualityCheck
from cxr_audit.vocabulary.messages.quality import MESSAGES

ASKED = Quality()
SOURCE = SourceFile("f", "p", "DICOM", None, "d")


def by_name(checks: tuple[Check, ...]) -> dict[str, Check]:
    return {check.name: check for check in checks}


def states(checks: tuple[Check, ...]) -> dict[str, str]:
    return {check.name: check.state for check in checks}


def ramp(low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """101 x 101, every row and column spans the same; percentile p of all pixels is low + (high
    - low) p / 100."""
    steps = (np.arange(101)[:, None] + np.arange(101)) % 101
    return (low + (high - low) * steps / 100).astype(np.float32)


def facts(view: str | None = None, **attributes: str) -> RadiographFacts:
    return RadiographFacts(8, 8, SOURCE, view_position=view, attributes=attributes)


# ---- the picture alone


def test_the_spans_of_a_ramp_are_those_of_its_percentiles() -> None:
    checks = by_name(quality.check_picture(ramp(0.2, 0.7), ASKED))
    assert checks["blank"].value == pytest.approx(0.98 * 0.5, abs=1e-6)
    assert checks["contrast"].value == pytest.approx(0.90 * 0.5, abs=1e-6)
    assert checks["clipping"].value == 0
    assert checks["collimation"].value == 0
    assert set(states(tuple(checks.values())).values()) == {"passed"}
    assert checks["contrast"].limit == message("quality.at_least", limit=0.15)


@pytest.mark.parametrize(("high", "state"), [(0.4 + 0.1668, "passed"), (0.4 + 0.1665, "failed")])
def test_contrast_fails_below_its_limit(high: float, state: str) -> None:
    """0.9 of the ramp's span against 0.15."""
    assert by_name(quality.check_picture(ramp(0.4, high), ASKED))["contrast"].state == state


def test_a_blank_picture_is_blank_and_without_contrast() -> None:
    blank = np.full((60, 50), 0.4, np.float32)
    blank[:3, :4] = 1  # a mark: 0.4 % of the picture
    checks = by_name(quality.check_picture(blank, ASKED))
    assert checks["blank"].value == pytest.approx(0)
    assert checks["blank"].reason == message(
        "quality.blank", value=checks["blank"].value, limit=0.02
    )
    assert checks["contrast"].state == "failed"


def test_an_even_frame_is_no_contrast_and_counts_as_collimation() -> None:
    """101 x 101 in 181 x 141: 1 - 10201 / 25521 of the picture is frame, whatever its grey
    value."""
    for grey in (0.0, 0.5, 1.0):
        framed = np.full((181, 141), grey, np.float32)
        framed[40:141, 20:121] = ramp(0.4, 0.5)
        checks = by_name(quality.check_picture(framed, ASKED))
        assert checks["collimation"].value == pytest.approx(1 - 101**2 / (181 * 141))
        assert checks["collimation"].state == "failed"
        assert checks["contrast"].value == pytest.approx(0.09, abs=1e-6)


def test_clipping_counts_the_middle_only() -> None:
    """Of the middle 52 x 52 of a ramp from -0.5 to 1.5, counted pixel by pixel."""
    raw = ramp(-0.5, 1.5)
    expected = np.mean(
        [not 2.5 / 255 < raw[r, c] < 1 - 2.5 / 255 for r in range(25, 76) for c in range(25, 76)]
    )
    assert quality.clipped_fraction(np.clip(raw, 0, 1)) == pytest.approx(expected)
    aside = np.full((100, 100), 0.5, np.float32)
    aside[:25] = 0
    assert quality.clipped_fraction(aside) == 0


def test_a_large_picture_is_sampled_not_changed() -> None:
    large = np.kron(ramp(0.2, 0.7), np.ones((10, 10), np.float32))
    assert by_name(quality.check_picture(large, ASKED))["blank"].value == pytest.approx(
        0.49, abs=0.01
    )


# ---- the lungs


def test_lungs_found_upright() -> None:
    checks = quality.check_lungs(ASKED, 0.05, 0.1, 12.0, False)
    assert set(states(checks).values()) == {"passed"}
    assert by_name(checks)["rotation"].value == 12


@pytest.mark.parametrize(
    ("turn", "value", "state"), [(25.1, 25.1, "failed"), (90, 90, "failed"), (270, 90, "failed")]
)
def test_a_turned_chest_is_a_chest(turn: float, value: float, state: str) -> None:
    checks = by_name(quality.check_lungs(ASKED, 0.3, 0, turn, False))
    assert (checks["rotation"].value, checks["rotation"].state) == (value, state)
    assert checks["not_a_chest"].state == checks["inversion"].state == "passed"


def test_lungs_in_the_negative_only() -> None:
    checks = by_name(quality.check_lungs(ASKED, 0.3, 0, 0, True))
    assert checks["inversion"].state == "failed"
    assert checks["inversion"].reason == message("quality.inverted")
    assert checks["rotation"].state == "passed"


def test_nothing_like_lung_is_no_chest_and_white_lungs_are_one() -> None:
    assert states(quality.check_lungs(ASKED, 0.069, 0.9, None, False)) == {
        "inversion": "not_run",
        "rotation": "not_run",
        "crop": "not_run",
        "not_a_chest": "failed",
    }
    white = states(quality.check_lungs(ASKED, 0.071, 0.26, None, False))
    assert white["not_a_chest"] == "passed"
    assert white["crop"] == "failed"  # lungs cut off by an edge are not found as lungs


def test_lungs_that_were_not_looked_for_have_a_reason() -> None:
    for check in quality.lungs_not_looked_for():
        assert check.state == "not_run"
        assert check.reason == message("quality.lungs_not_looked_for")


# ---- what the file says


@pytest.mark.parametrize(
    ("view", "scope", "state"),
    [
        ("PA", (), "passed"),
        ("AP", (), "passed"),
        ("LL", (), "failed"),
        ("AP", ("PA",), "failed"),
        (None, (), "not_run"),
    ],
)
def test_view(view: str | None, scope: tuple[str, ...], state: str) -> None:
    assert states(quality.check_header(facts(view), scope, None, 0))["view"] == state


@pytest.mark.parametrize(
    ("band", "scope", "state"),
    [
        ("10-19", (10, 19), "passed"),
        ("0-9", (1, 5), "not_run"),
        ("10-19", (1, 5), "failed"),
        ("10-19", (20, 89), "failed"),
        ("10-19", (19, 89), "not_run"),
        ("90+", (18, 150), "passed"),
        ("90+", (18, 89), "failed"),
        (None, (1, 5), "not_run"),
        ("40-49", None, "not_run"),
    ],
)
def test_age_is_known_as_a_band_only(band: str | None, scope: quality.Ages, state: str) -> None:
    known = facts() if band is None else facts(PatientAge=band)
    check = by_name(quality.check_header(known, (), scope, 0))["age"]
    assert check.state == state
    assert (check.reason is None) == (state == "passed")


@pytest.mark.parametrize(
    ("stated", "texts", "state"),
    [
        ("YES", 0, "failed"),
        ("NO", 2, "failed"),
        ("NO", 0, "passed"),
        (None, 0, "passed"),
        ("NO", None, "passed"),
        (None, None, "not_run"),
    ],
)
def test_burned_in_annotation(stated: str | None, texts: int | None, state: str) -> None:
    known = facts() if stated is None else facts(BurnedInAnnotation=stated)
    assert states(quality.check_header(known, (), None, texts))["burned_in_annotation"] == state


@pytest.mark.parametrize(
    ("attributes", "state"),
    [
        ({"ImageType": "ORIGINAL\\PRIMARY"}, "passed"),
        ({"ImageType": "DERIVED\\PRIMARY"}, "failed"),
        ({"ImageType": "ORIGINAL\\SECONDARY"}, "failed"),
        ({"ImageType": "ORIGINAL\\PRIMARY\\POST_PROCESSED"}, "failed"),
        ({"ImageType": "ORIGINAL\\PRIMARY", "PresentationIntentType": "FOR PROCESSING"}, "failed"),
        ({"QualityControlImage": "YES"}, "failed"),
        ({}, "not_run"),
    ],
)
def test_image_type(attributes: dict[str, str], state: str) -> None:
    assert states(quality.check_header(facts(**attributes), (), None, 0))["image_type"] == state


# ---- seen before


def test_the_earlier_case_of_the_run_is_named_whatever_was_noted_first() -> None:
    one, two, three = (
        replace(SOURCE, pixel_sha256=p, instance_hmac=u)
        for p, u in (("x", "1"), ("x", None), ("y", "1"))
    )
    sources = {"a": one, "b": two, "c": three}
    for order in itertools.permutations(sources):
        duplicates = quality.Duplicates(["a", "failed", "b", "c"])
        for case_id in order:
            duplicates.note(case_id, sources[case_id])
        assert states(duplicates.checks("a", one)) == {
            "duplicate_uid": "passed",
            "duplicate_pixels": "passed",
        }
        uid, pixels = duplicates.checks("b", two)
        assert (uid.state, uid.reason) == ("not_run", message("quality.no_uid"))
        assert pixels.reason == message("quality.same_pixels", case="a")
        uid, pixels = duplicates.checks("c", three)
        assert uid.reason == message("quality.same_uid", case="a")
        assert pixels.state == "passed"


# ---- what the config asks for


def test_what_is_listed_is_excluded_or_has_failed_and_failing_comes_first() -> None:
    checks = (
        Check("contrast", "failed", 0.1, "at least 0.15", "the contrast is low"),
        Check("view", "failed", None, "PA", "the view is LL"),
        Check("age", "not_run", None, None, "no age"),
    )
    assert quality.action(checks, Quality(exclude=("blank", "age"))) is None
    assert quality.action(checks, Quality(exclude=("contrast", "view")))[:2] == (
        "excluded",
        message("quality.several", reasons=["the contrast is low", "the view is LL"]),
    )
    status, reason, hint = quality.action(checks, Quality(exclude=("view",), fail=("contrast",)))
    assert (status, reason) == ("failed", "the contrast is low")
    assert hint == message("quality.hint", checks=["contrast"], key="fail")


def test_one_action_a_check_and_ages_in_order() -> None:
    with pytest.raises(ValueError, match="blank stands under exclude and under fail"):
        Quality(fail=("blank",))
    with pytest.raises(ValueError, match="ends before it begins"):
        Quality(age_years=(6, 5))


def test_every_check_has_its_place() -> None:
    checks = (
        *quality.check_lungs(ASKED, 0.3, 0, 0, False),
        *quality.Duplicates(["a"]).checks("a", SOURCE),
        *quality.check_header(facts(), (), None, 0),
        *quality.check_picture(ramp(), ASKED),
    )
    assert tuple(check.name for check in quality.in_order(checks)) == QUALITY_CHECKS.keys()


def test_every_row_has_a_function_and_every_function_a_row() -> None:
    bound = {
        "picture": quality.PICTURE_CHECKS,
        "lungs": quality.LUNG_CHECKS,
        "header": quality.HEADER_CHECKS,
        "run": quality.RUN_CHECKS,
    }
    for stage, functions in bound.items():
        rows = [row.key for row in QUALITY_CHECKS if row.stage == stage and row.function is None]
        assert list(functions) == rows


def test_a_check_of_another_package_is_made_with_the_others() -> None:
    def darkest(pixels: np.ndarray, limits: Quality) -> Check:
        return Check("darkest", "passed", float(pixels.min()))

    QUALITY_CHECKS.add(
        QualityCheck(
            key="darkest", label="darkest", definition="d", stage="picture", function=darkest
        )
    )
    try:
        checks = quality.check_picture(ramp(0.25, 0.5), ASKED)
        assert by_name(quality.in_order(checks))["darkest"].value == 0.25
    finally:
        QUALITY_CHECKS.remove("darkest")


def test_a_check_of_another_package_that_returns_another_name_is_refused() -> None:
    QUALITY_CHECKS.add(
        QualityCheck(
            key="darkest",
            label="darkest",
            definition="d",
            stage="picture",
            function=lambda pixels, limits: Check("blank", "passed"),
        )
    )
    try:
        with pytest.raises(ValueError, match="darkest"):
            quality.check_picture(ramp(), ASKED)
    finally:
        QUALITY_CHECKS.remove("darkest")


def test_no_report_calls_a_patient_or_an_image_healthy() -> None:
    words = str(MESSAGES).lower()
    forbidden = (
        "diagnosis",
        "detected",
        "confirms",
        "rules out",
        "normal",
        "healthy",
        "confidence",
    )
    assert not [word for word in forbidden if word in words]

"""What the pages of a case say."""

from __future__ import annotations

import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from cxr_audit.records import (
    Check,
    Flag,
    FlagsRecord,
    LogitBudget,
    Masking,
    Measurements,
    Operation,
    OutputBin,
    Probes,
    RegionFacts,
    RegionsRecord,
    StoppedCase,
    Trust,
    Validation,
)
from cxr_audit.report.case_page import case_view
from cxr_audit.report.case_page.alerts import Alert, short_alerts
from cxr_audit.report.case_page.answer import at_prevalence, output, scope, validated
from cxr_audit.report.case_page.evidence import find_evidence, find_shares
from cxr_audit.report.words import BANNER, place
from cxr_audit.vocabulary import MAP_METRICS, REGION_METRICS, message

from tests.report.cases import (
    CASE_CHECKS,
    CHECKS,
    FORBIDDEN,
    MODEL_CHECKS,
    failed,
    in_region,
    masked,
    own_words,
    pages,
    with_regions,
)
from tests.report.conftest import CARD

POPULATION = ("view", "age", "not_a_chest")
MINUS = "\N{MINUS SIGN}"


def test_three_pages_and_one_of_other_maps(renderer, make, run):
    record, folder = make()
    first, second, third, fourth = pages(renderer.case_pdf(record, run, folder))
    for page, text in enumerate((first, second, third, fourth), 1):
        assert BANNER in text
        assert f"Page {page} of 4" in text
        assert record.case_id in text
    assert 'Model output: "PNEUMONIA", score 0.71 (threshold 0.50)' in first
    assert "Threshold: model card." in first
    assert 'Reference label: "NORMAL". Disagrees with the model.' in first
    assert "Map cell: 6 \N{MULTIPLICATION SIGN} 5 mm." in first
    assert "A plausible map does not make the answer right." in first
    assert "Pixel Spacing is detector spacing." in first
    assert "an adult is out of population" in first
    for part in (
        "Inside the border +1.02",
        "Outer border (5 %) +0.19",
        f"Bias {MINUS}0.31",
        "Logit +0.90",
        "High-focus area 12 %",
        "image right (patient's left)",
    ):
        assert part in second
    assert "Reference label and predicted class" in fourth
    assert 'No map was computed for "NORMAL".' in fourth
    hashes = ("c" * 64, "d" * 64, "a" * 64, "b" * 64)
    for text in (*hashes, "PS3.3 C.11.2.1.2", "MONOCHROME2", "keras 3.15.1", "Seed"):
        assert text in third


# ---- scope


def checks_of_population(**states: str) -> tuple[Check, ...]:
    return tuple(
        Check(name, state, reason=None if state == "passed" else f"why of {name}")
        for name, state in states.items()
    )


@pytest.mark.parametrize(
    ("states", "flags", "state", "words"),
    [
        (
            dict.fromkeys(POPULATION, "passed"),
            FlagsRecord(),
            "inside",
            "Checks passed: view, age, frontal chest.",
        ),
        (
            {"view": "passed", "age": "not_run", "not_a_chest": "passed"},
            FlagsRecord(),
            "unknown",
            "Why of age.",
        ),
        (
            {"view": "failed", "age": "not_run", "not_a_chest": "passed"},
            FlagsRecord(),
            "outside",
            "Why of view.",
        ),
        ({}, FlagsRecord(), "unknown", "Not checked: view."),
        (
            dict.fromkeys(POPULATION, "passed"),
            FlagsRecord((Flag("out_of_population", "an adult"),)),
            "outside",
            "An adult.",
        ),
        (
            dict.fromkeys(POPULATION, "passed"),
            FlagsRecord((), {"out_of_population": "no card"}),
            "unknown",
            "No card.",
        ),
    ],
)
def test_the_scope_line(make, states, flags, state, words):
    record = replace(make()[0], quality=checks_of_population(**states), flags=flags)
    found = scope(record, CARD)
    assert found.state == state
    assert found.reason == f'{words} Model made for: "children of 1 to 5 years".'


def test_the_scope_line_stands_on_page_1(renderer, make, run):
    record, folder = make()
    record = replace(record, quality=CHECKS)
    first, *_ = pages(renderer.case_pdf(record, run, folder))
    assert "SCOPE UNKNOWN. The file states no view." in first


# ---- the answer


@pytest.mark.parametrize(
    ("probability", "threshold", "main", "reached"),
    [
        (0.71, 0.319, '"PNEUMONIA", score 0.71', "(threshold 0.32)"),
        (0.999, 0.319, '"PNEUMONIA", score >0.99', "(threshold 0.32)"),
        (0.3201, 0.319, '"PNEUMONIA", score 0.32', "(just above the threshold of 0.32)"),
        (0.5, 0.5, '"PNEUMONIA", score 0.50', "(at the threshold of 0.50)"),
    ],
)
def test_a_score_that_rounds_to_the_threshold_says_its_side(
    make, probability, threshold, main, reached
):
    prediction = replace(make()[0].prediction, probability=probability, threshold=threshold)
    answer = output(prediction, None, None)
    assert (answer.main, answer.threshold) == (main, reached)


def test_another_class_is_predicted(make):
    prediction = replace(make()[0].prediction, predicted="NORMAL", probability=0.3151)
    answer = output(replace(prediction, threshold=0.319), None, "NORMAL")
    assert answer.main == '"NORMAL"; score for "PNEUMONIA" 0.32'
    assert answer.threshold == "(just below the threshold of 0.32)"
    answer = output(replace(prediction, threshold=None), None, "NORMAL")
    assert (answer.main, answer.threshold) == ('"NORMAL", score 0.29', "(highest of 2 classes)")


def test_what_the_score_and_the_label_are(make):
    prediction = make()[0].prediction
    calibrated = replace(CARD, operation=Operation(temperature=1.4))
    assert "calibrated" not in output(prediction, calibrated, "NORMAL").notes
    assert "Not a calibrated probability." in output(prediction, CARD, "NORMAL").notes
    unlabelled = replace(prediction, expected=None)
    assert "Reference label: none." in output(unlabelled, CARD, None).notes
    words = 'Reference label: "TB", not a class of the model.'
    assert words in output(unlabelled, CARD, "TB").notes
    right = replace(prediction, expected="PNEUMONIA")
    assert 'Reference label: "PNEUMONIA". Agrees' in output(right, CARD, "PNEUMONIA").notes


@pytest.mark.parametrize(
    ("score", "state", "words"),
    [
        (0.8, "inside", "Of 31 validation cases with a score from 0.80 to 0.90, 77 % had this"),
        (0.8, "outside", None),
        (0.8, "unknown", None),
        (1.0, "inside", None),  # one case only
        (0.7, "inside", None),  # no bin
    ],
)
def test_validation_cases_are_named_inside_the_population_and_where_there_are_many(
    make, score, state, words
):
    """Prevalence over all bins: (24 + 1) of 32."""
    bins = (OutputBin(0.8, 0.9, 31, 24, (0.6, 0.89)), OutputBin(0.9, 1.0, 1, 1, (0.21, 1.0)))
    prediction = replace(make()[0].prediction, probability=score)
    for name in ("PNEUMONIA", "NORMAL"):
        card = replace(CARD, validation=Validation("our validation", name, bins, True))
        found_scope = scope(make(f"case-{name}")[0], card)
        found = validated(prediction, card, replace(found_scope, state=state))
        if words is None or name == "NORMAL":
            assert found is None
        else:
            assert found is not None
            assert found.startswith(words)
            assert '(prevalence 78 %; "our validation")' in found
            tuned = replace(card, validation=replace(card.validation, is_untuned=False))
            assert validated(prediction, tuned, replace(found_scope, state=state)) is None


def test_a_share_at_another_prevalence_by_hand():
    """24 of 31 at 25 of 32: a likelihood ratio of (24/7) / (25/7) = 0.96; odds of 1/9 times that."""
    assert at_prevalence(24 / 31, 25 / 32, 0.1) == pytest.approx((0.96 / 9) / (1 + 0.96 / 9))
    assert at_prevalence(24 / 31, 25 / 32, 25 / 32) == pytest.approx(24 / 31)
    assert at_prevalence(0.5, 0.5, None) is None


# ---- where the evidence lies


def test_the_bar_adds_up_and_the_sentence_names_the_zones(renderer, make, run):
    record, folder = make()
    record = with_regions(record)
    shares = find_shares(record, record.maps[0])
    expected = {"right lung": 0.47, "left lung": 0.15, "mediastinum": 0.3, "outside": 0.08}
    assert shares == pytest.approx(expected)
    first = pages(renderer.case_pdf(record, run, folder))[0]
    assert "Mostly over the right lung (lower zone) and the mediastinum." in first
    assert "right lung 47 %" in first
    assert "Control maps: 30 % to 33 % in the lungs." in first
    assert "Solid: strongest evidence for" in first
    assert "Dashed: lungs." in first


def test_without_a_stated_side_places_are_those_of_the_image(renderer, make, run):
    record, folder = make()
    record = with_regions(record)
    facts = replace(record.radiograph, patient_orientation=None)
    first, second, *_ = pages(renderer.case_pdf(replace(record, radiograph=facts), run, folder))
    assert "side unknown" in first
    assert "Mostly over the lung at image left (lower zone) and the mediastinum." in first
    assert "Lower zone, image left (6 %)" in second
    assert "The file does not state the patient's side" in second
    for text in (first, second):
        assert not re.search(r"\b(right|left) (lung|upper|lower)", text)
        assert "patient's left" not in text


@pytest.mark.parametrize(
    ("orientation", "sides"), [(("L", "F"), ("R", "L")), (("R", "F"), ("L", "R"))]
)
def test_the_side_letters_are_those_of_the_file(make, run, orientation, sides):
    record = make()[0]
    facts = replace(record.radiograph, patient_orientation=orientation)
    view = case_view(replace(record, radiograph=facts), run, {})
    assert view["clinician"]["sides"] == sides


@pytest.mark.parametrize(
    ("right", "left", "middle", "words"),
    [
        (0.55, 0.1, 0.1, "Mostly over the right lung."),
        (0.1, 0.1, 0.1, "Mostly over areas outside lungs and mediastinum."),
        (0.3, 0.25, 0.2, "Spread widely; the largest part lies over the right lung."),
    ],
)
def test_the_sentence_on_the_place(make, right, left, middle, words):
    record = make()[0]
    measured = {
        "right lung": in_region(right, 0.2),
        "left lung": in_region(left, 0.2),
        "mediastinum": in_region(middle, 0.2),
    }
    first = replace(record.maps[0], in_regions=measured)
    assert find_evidence(record, first).place == words


def test_lungs_that_were_not_found_are_said_with_the_reason(renderer, make, run):
    record, folder = make()
    reason = "lungs not found: one area only, expected two"
    record = replace(record, regions=RegionsRecord(missing={"lungs": reason}))
    first, second, *_ = pages(renderer.case_pdf(record, run, folder))
    words = "Lungs not found: one area only, expected two."
    assert f"{words} The evidence is centred in: middle third, image centre." in first
    assert words in second


def test_an_annotation_is_compared_with_its_area(renderer, make, run):
    record, folder = make()
    record = with_regions(record)
    area = RegionFacts("annotation", "annotation", "2 boxes of the manifest", 0.1)
    measured = {**record.maps[0].in_regions, "annotation": in_region(0.4, 0.1)}
    regions = replace(record.regions, found=(*record.regions.found, area))
    record = replace(
        record,
        maps=(replace(record.maps[0], in_regions=measured),),
        regions=regions,
        pictures={**record.pictures, "regions": "radiograph.jpg"},
    )
    first, second, third, *_ = pages(renderer.case_pdf(record, run, folder))
    assert "In the annotated area: 40 % (by area alone 10 %)." in first
    assert "Annotation (10 %)" in second
    assert "Outlined: the lungs, the mediastinum, a marker, the annotation." in second
    assert "2 boxes of the manifest" in third
    refused = replace(regions, missing={"annotation": "box 1 reaches beyond the radiograph"})
    first = pages(renderer.case_pdf(replace(record, regions=refused), run, folder))[0]
    assert "Box 1 reaches beyond the radiograph." in first


def test_a_faint_map_has_no_contour_in_words_either(renderer, make, run):
    record, folder = make()
    words = "No contour: the map stays below a quarter of the colour scale."
    assert words not in " ".join(pages(renderer.case_pdf(record, run, folder)))
    record = replace(record, maps=(replace(record.maps[0], is_faint=True),))
    first, *_, last = pages(renderer.case_pdf(record, run, folder))
    assert words in first
    assert "Solid:" not in first
    assert words in last  # beside the reference class


@pytest.mark.parametrize(
    ("status", "words"),
    [
        ("dead", "The map is zero everywhere. Nothing is drawn."),
        ("negative_only", "The whole map is evidence against this class."),
        ("not_finite", "The map holds values that are not finite."),
    ],
)
def test_undefined_metrics_give_their_reason(renderer, make, run, status, words):
    record, folder = make(expected="PNEUMONIA")
    first_map = record.maps[0]
    undefined = Measurements.none_of(MAP_METRICS.keys(), message("focus.map_is_zero"))
    facts = replace(first_map.facts, status=status)
    record = replace(record, maps=(replace(first_map, facts=facts, metrics=undefined),))
    first, second, *_ = pages(renderer.case_pdf(record, run, folder))
    assert words in first
    assert "No contour: no evidence" in first
    assert second.count("All undefined: the map is zero everywhere") == 1


def test_places_in_words(make):
    facts = make()[0].radiograph
    assert place((0.1, 0.9), facts) == "upper third, image right (patient's left)"
    assert place((0.5, 0.5), facts) == "middle third, image centre"
    unknown = replace(facts, patient_orientation=None)
    assert place((0.99, 0.0), unknown) == "lower third, image left"
    turned = replace(facts, patient_orientation=("R", "F"))
    assert place((0.99, 0.0), turned) == "lower third, image left (patient's left)"
    assert place((0.99, 1.0), turned) == "lower third, image right (patient's right)"


# ---- alerts


def test_the_state_of_the_explanation_and_every_check(renderer, make, run):
    record, folder = make(expected="PNEUMONIA")
    first, *_ = pages(renderer.case_pdf(record, run, folder))
    assert "The map was not checked." in first
    trust = Trust("caution", ("it costs no more", "one change changes the map"), CASE_CHECKS)
    checked = replace(run, calibration=replace(run.calibration, checks=MODEL_CHECKS))
    first, second, *_ = pages(renderer.case_pdf(replace(record, trust=trust), checked, folder))
    assert "Explanation checks: caution" in first
    assert "Read the map with caution" in first
    reasons = "it costs no more; one change changes the map"
    assert f"Explanation checks: caution: {reasons}." in first  # whole on page 1, once
    assert reasons not in second
    for row in (
        "Randomisation (model): passed 0.05 (below 0.33, maps of different cases)",
        "Agreement (case): not run (no other method on this grid)",
        "Worst stability (case): failed 0.43 (at least 0.80) one change changes the map "
        "(Lowest rank correlation of the map under small changes of the input)",
    ):
        assert row in second
    passed = replace(record, trust=Trust("passed", (), ()))
    first, *_ = pages(renderer.case_pdf(passed, checked, folder))
    assert "The map reflects this model" in first


def test_at_most_three_alerts_and_the_rest_is_counted(renderer, run, make):
    record, folder = make(warnings=("The contrast", "a lossy image", "a second", "a third"))
    reason = message("flags.border_replaced_raises", change=4.2, limit=1.8)
    flags = FlagsRecord(
        (Flag("border", reason), Flag("low_contrast_input", "the contrast is low")),
        {"marker": message("regions.markers_not_looked_for"), "out_of_population": "no age"},
    )
    record = replace(record, quality=CHECKS, flags=flags)
    first, second, third, *_ = pages(renderer.case_pdf(record, run, folder))
    whole = (
        "Output depends on the image border: with the border replaced by the run's mean radiograph"
    )
    assert f"{whole}, the logit rises by 4.2 (limit 1.8)." in first
    assert "Low image contrast: the contrast is low." in first
    # The check that raised the flag is not said twice; the warnings of reading follow.
    assert first.count("contrast is low") == 1
    assert "3 more on page 2." in first
    assert "Not assessed: output depends on a side marker or text." in first
    assert f"{whole}, the logit rises by 4.2 (limit 1.8)" in second
    assert "A third" in second
    assert "Output depends on a side marker or text: markers were not looked for" in second
    assert "contrast 0.08 (at least 0.15)" in third
    assert "clipping 0.00 (at most 0.05)" in third
    assert "view (the file states no view), age (the file states no age)" in third


def test_page_1_says_what_the_header_has_and_nobody_can_read(renderer, run, make):
    """Before other warnings of the file, and without the text of the header."""
    problem = message("ingest.age_without_unit")
    warnings = (
        message("ingest.codestream_size"),
        message("ingest.capture"),
        message("ingest.not_understood", keyword="PatientAge", problem=problem),
    )
    record, folder = make(warnings=warnings, expected="PNEUMONIA")
    record = replace(record, flags=FlagsRecord())
    first = pages(renderer.case_pdf(record, run, folder))[0]
    assert "PatientAge is present but cannot be read" in " ".join(first.split())


def test_alerts_of_many_words_give_up_their_reasons():
    long = Alert("Output depends on the image border", "one word after another " * 4)
    assert short_alerts([long]) == [f"{long.text.rstrip()}."]
    assert short_alerts([long] * 3) == ["Output depends on the image border."] * 3
    (clipped,) = short_alerts([Alert("many words " * 30)])
    assert len(clipped) <= 131
    assert clipped.endswith("…")


def test_no_alert_is_said(renderer, run, make):
    record, folder = make(warnings=(), expected="PNEUMONIA")
    assert "Alerts None." in pages(renderer.case_pdf(record, run, folder))[0]


# ---- stopped cases


@pytest.mark.parametrize("status", ["failed", "excluded"])
def test_failed_and_excluded_cases_are_one_page(renderer, run, tmp_path, status):
    (text,) = pages(renderer.case_pdf(failed(status=status), run, tmp_path))
    was = "was " * (status == "excluded")
    assert f"This case {was}{status}. There is no model output for it." in text
    assert "1,204 of 3,145,728 bytes." in text
    assert "Export it again." in text
    assert "UnreadableFile" in text
    assert "e" * 64 in text
    # How the model does elsewhere says nothing of a case without an output.
    assert "Model card" not in text


def test_an_excluded_case_is_one_page_with_its_radiograph_and_checks(renderer, run, make):
    whole, folder = make(warnings=())
    record = StoppedCase(
        whole.case_id,
        "excluded",
        reason="the contrast is low",
        hint="look at the radiograph",
        radiograph=replace(whole.radiograph, decisions=()),
        quality=CHECKS,
        pictures={"radiograph": "radiograph.jpg"},
    )
    (text,) = pages(renderer.case_pdf(record, run, folder))
    assert "This case was excluded. There is no model output for it. The contrast is low." in text
    assert "contrast 0.08 (at least 0.15)" in text
    assert "Reviewer" not in text


# ---- numbers


def test_every_region_is_listed_and_why_one_is_undefined(renderer, make, run):
    record, folder = make()
    second = pages(renderer.case_pdf(with_regions(record), run, folder))[1]
    assert "Lungs (34 %) 62 % (1.8)" in second.replace("  ", " ")
    reason = "the region lies outside what the model saw"
    assert f"Right upper zone (5 %) undefined: {reason}" in second
    assert "Letter 1 (<1 %) 12 % (30.0)" in second
    assert "lungs 31 %, 30 %, 33 %" in second
    assert "Highest pixels in the lungs: 50 %" in second


def test_what_is_undefined_for_all_regions_is_said_once(renderer, make, run):
    record, folder = make()
    record = with_regions(record)
    undefined = Measurements.none_of(REGION_METRICS.keys(), message("focus.no_positive_part"))
    measured = dict.fromkeys(record.maps[0].in_regions, undefined)
    record = replace(record, maps=(replace(record.maps[0], in_regions=measured),))
    second = pages(renderer.case_pdf(record, run, folder))[1]
    reason = "the whole map is evidence against this class"
    assert f"Evidence and ratio are undefined: {reason}." in second
    assert second.count(reason) == 1
    assert "Region (area) Log-odds" in second


def test_of_many_markers_the_logit_has_one_row(renderer, make, run):
    record, folder = make()
    names = [f"letter {n}" for n in range(1, 6)]
    shares = {"letter 2": 0.2, "letter 4": 0.1, "letter 5": 0.06}
    found = tuple(RegionFacts(name, "marker", "by hand", 0.05) for name in names)
    measured = {name: in_region(shares.get(name, 0.01), 0.05) for name in names}
    parts = (*((name, 0.25) for name in names), ("bias", 0.25))
    record = replace(
        record,
        maps=(replace(record.maps[0], in_regions=measured, budget=LogitBudget(1.5, parts, True)),),
        regions=RegionsRecord(found),
    )
    second = pages(renderer.case_pdf(record, run, folder))[1]
    assert "Letter 2 (5 %) +0.25 20 % (4.0)" in second
    assert "Letter 4 (5 %) +0.25 10 % (2.0)" in second
    assert "3 more markers +0.75" in second
    without = replace(record, maps=(replace(record.maps[0], budget=None),))
    second = pages(renderer.case_pdf(without, run, folder))[1]
    assert "Letter 3 (5 %)" in second  # nothing adds up the rest of the markers


def test_checks_of_the_input_have_the_unit_of_their_number(make, run):
    limits = {
        "contrast": (0.75, "at least 0.15"),
        "rotation": (4.58, "at most 25"),
        "burned_in_annotation": (5.0, "none"),
    }
    quality = tuple(Check(name, "passed", *values) for name, values in limits.items())
    (row,) = case_view(replace(make()[0], quality=quality), run, {})["checks"]
    assert row[1] == (
        "contrast 0.75 (at least 0.15), in-plane tilt 4.6° (at most 25), no burned-in text 5 (none)"
    )


def test_masking_is_told_in_words(renderer, make, run):
    record, folder = make()
    not_asked = case_view(record, run, {})["dependence"]
    assert not not_asked["has_masking"]
    assert not_asked["rows"] == [
        (
            False,
            "Not assessed for this case: masking, image brightness, border and markers by the mean "
            "radiograph.",
        )
    ]
    first, second, *_ = pages(renderer.case_pdf(masked(record), run, folder))
    assert "The lungs replaced: lowers the logit by 2.10 (blurred) or 0.50 (mean)." in second
    both = "does not change the logit (blurred) or lowers the logit by 1.25 (mean)."
    assert f"Everything but the lungs replaced: {both}" in second
    # Of five markers the two that change it most; what only one fill shows is said to be so.
    moved = "lowers the logit by 0.50 (blurred) or raises the logit by 0.50 (mean)"
    assert f"Letter 5 replaced: {moved}. Seen with one fill only; not flagged." in second
    assert "Letter 2 replaced" not in second
    assert "3 more markers change the logit by 0.30 or less each." in second
    reason = "the region lies outside what the model saw"
    assert f"The image border: not replaced, {reason}." in second
    assert "With the lungs masked, the predicted class stays the same" in first


def test_the_mean_radiograph_and_brightness_are_told(make, run):
    changes = {"letter 1": 0.1, "letter 2": -0.6, "letter 3": 0.3, "letter 4": -0.2, "border": 2.5}
    probes = Probes(
        masking=tuple(Masking("lungs", fill, 0.8, 0.001, False) for fill in ("blurred", "mean")),
        mean_replaced=changes,
        exposure={"darker": -0.5, "brighter": 0.7},
    )
    view = case_view(replace(make()[0], probes=probes), run, {})
    assert [text for _is_bad, text in view["dependence"]["rows"]] == [
        "The lungs replaced: does not change the logit.",
        "Replaced by the run's mean radiograph: the image border raises the logit by 2.50, "
        "letter 2 lowers the logit by 0.60, letter 3 raises the logit by 0.30.",
        "Brightness: darker image lowers the logit by 0.50, "
        "brighter image raises the logit by 0.70.",
    ]


# ---- other maps


def test_a_right_answer_has_no_comparison_of_classes(renderer, make, run):
    record, folder = make(expected="PNEUMONIA")
    text = pages(renderer.case_pdf(record, run, folder))
    assert len(text) == 3
    assert "Agrees with the model." in text[0]


def test_both_classes_stand_side_by_side_when_the_answer_is_wrong(renderer, make, run):
    maps = (("grad-cam", "PNEUMONIA"), ("grad-cam", "NORMAL"), ("layercam", "PNEUMONIA"))
    record, folder = make(maps=maps)
    text = " ".join(pages(renderer.case_pdf(record, run, folder)))
    assert 'Reference label: "NORMAL", score 0.29' in text
    assert "No map was computed" not in text
    assert "All maps" in text
    assert "LayerCAM" in text


# ---- words and colours


def test_forbidden_words_are_in_no_document(renderer, make, run, tmp_path):
    right, folder = make("case-right", expected="PNEUMONIA")
    wrong, other = make("case-wrong", maps=(("grad-cam", "PNEUMONIA"), ("grad-cam", "NORMAL")))
    bare = replace(run, model=replace(run.model, card=None))
    documents = [
        renderer.case_pdf(masked(with_regions(right)), run, folder),
        renderer.case_pdf(wrong, bare, other),
        renderer.case_pdf(failed(), run, tmp_path),
    ]
    for status in ("dead", "negative_only", "saturated", "not_finite"):
        first = right.maps[0]
        facts = replace(first.facts, status=status, is_exact=False)
        case = replace(right, maps=(replace(first, facts=facts),))
        documents.append(renderer.case_pdf(case, run, folder))
    for document in documents:
        text = own_words(" ".join(pages(document)))
        for word in FORBIDDEN:
            assert not re.search(rf"\b{word}\b", text, re.IGNORECASE), word
        sizes = re.sub(r"\d+\.\d+ \N{MULTIPLICATION SIGN}", "", text)
        assert not re.search(r"\b[01]\.\d{3,}\b(?! (mm|rows|columns))", sizes)


def test_the_printed_colour_bar_is_the_colour_map(renderer, make, run):
    """The colours along the printed bar, from left to right, are OpenCV's cividis."""
    pdfium = pytest.importorskip("pypdfium2", reason="pypdfium2 is not installed")
    record, folder = make(expected="PNEUMONIA")
    with pdfium.PdfDocument(renderer.case_pdf(record, run, folder)) as document:
        page = document[0].render(scale=300 / 72).to_numpy()[:, :, 2::-1].astype(int)
    levels = np.arange(256, dtype=np.uint8)[:, None]
    cividis = cv2.applyColorMap(levels, cv2.COLORMAP_CIVIDIS)[:, 0, ::-1].astype(int)
    bright = np.abs(page - cividis[-1]).max(-1) < 4
    bright[: page.shape[0] // 2] = False  # the contour has the colour of the scale's end
    row, right = (
        np.argwhere(bright)[len(np.argwhere(bright)) // 2][0],
        np.argwhere(bright)[:, 1].max(),
    )
    width = round(27 * 300 / 25.4)
    found = page[row, right - width + 1 : right + 1]
    expected = cividis[np.linspace(0, 255, width).round().astype(int)]
    assert np.abs(found - expected)[5:-5].max() < 12

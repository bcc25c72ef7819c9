"""The run report on records written by hand: what stands first, what is counted, what is not measured."""

from __future__ import annotations

import io
import itertools
import re
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import get_args

import numpy as np
import pypdf
import pytest
from cxr_audit.cohort import describe
from cxr_audit.cohort.mean_map import MeanMap
from cxr_audit.config import Acceptance, Cohort, Criterion, Preprocess
from cxr_audit.records import (
    CascadeStage,
    CaseRecord,
    Check,
    CohortRecord,
    CriterionResult,
    Estimate,
    Fill,
    Flag,
    Masking,
    RunRecord,
    Trust,
    from_json,
    to_json,
)
from cxr_audit.report import Renderer, encode_jpeg
from cxr_audit.report.pictures import mean_map_picture
from cxr_audit.report.summary import SCALINGS, _estimate, _roc, summary_view
from cxr_audit.report.words import percent, score

from tests.cohort.cases import a_case, a_failure
from tests.report.test_documents import FORBIDDEN, own_words, pages

CRITERIA = (
    Criterion(metric="auc", at_least=0.5),
    Criterion(metric="failed", share_at_most=0.0),
    Criterion(metric="lungs_enrichment", cases="true_positive", above=1.5, share_at_least=0.8),
    Criterion(metric="randomisation"),
)
MEANS = {
    "true_positive": MeanMap(3, np.full((96, 96), 0.25, np.float32), np.ones((96, 96), np.float32))
}


def described(records: list[CaseRecord], criteria: tuple[Criterion, ...] = ()) -> CohortRecord:
    return describe(records, [], Cohort(rounds=200, min_cases=5), Acceptance(criteria=criteria), 0)


def labelled() -> list[CaseRecord]:
    """12 positive and 12 negative cases; of each, 9 on the right side."""
    return [
        a_case(
            f"{label}{n:02}", label, 0.3 + 0.01 * n if (label == "P") == (n < 3) else 0.6 + 0.01 * n
        )
        for label in ("P", "N")
        for n in range(12)
    ]


def report(
    renderer,
    run: RunRecord,
    records: list[CaseRecord],
    cohort: CohortRecord | None = None,
    means=None,
) -> bytes:
    cohort = cohort or described(records)
    return renderer.summary_pdf(records, run, cohort, means or {}, Path("nowhere"))


def assert_allowed(text: str) -> None:
    for word in FORBIDDEN:
        assert not re.search(rf"\b{word}\b", own_words(text), re.IGNORECASE), word


def streams(document: bytes) -> set[bytes]:
    """The pictures as they are in the file."""
    found = [
        page["/Resources"].get("/XObject", {})
        for page in pypdf.PdfReader(io.BytesIO(document)).pages
    ]
    pictures = [one.get_object() for objects in found for one in objects.values()]
    return {one._data for one in pictures if one["/Subtype"] == "/Image"}


def view(run: RunRecord, records: list[CaseRecord], cohort: CohortRecord | None = None) -> dict:
    return summary_view(records, run, cohort or described(records), {}, {})


def test_acceptance_stands_first_then_the_six_stages(renderer, run) -> None:
    records = [*labelled(), a_failure("f")]
    found = pages(report(renderer, run, records, described(records, CRITERIA), MEANS))
    text = " ".join(found)
    heads = [
        "Acceptance",
        "1 Scoping",
        "2 Mapping",
        "3 Artefacts",
        "4 Testing",
        "5 Reflection",
        "6 What to watch after",
    ]
    heads += ["Annex A: regulatory map", "Annex B: model card", "Annex C: CLAIM 2024 checklist"]
    places = [text.index(head) for head in heads]
    assert places == sorted(places)
    assert "2 of 4 acceptance criteria not met." in found[0]
    assert (
        "Not judged Check of the model: randomisation randomisation "
        "The check was not made: counts as not met passed undefined"
    ) in found[0]
    assert "Not met Share of cases that failed failed at most 0 0.04" in found[0]
    assert re.search(r"Met AUC auc at least 0\.5 0\.\d\d", found[0])
    assert "25: 24 audited, 0 excluded, 1 failed" in found[0]
    assert len(found) <= 8
    assert_allowed(text)


def test_pictures_are_in_the_document_and_its_bytes_are_always_the_same(renderer, run) -> None:
    document = report(renderer, run, labelled(), means=MEANS)
    assert document == report(renderer, run, labelled(), means=MEANS)
    text = " ".join(pages(document))
    assert "1 − specificity" in text  # from the SVG of the ROC
    assert "Observed share" in text
    assert "True positive (9)" in text
    mean = MEANS["true_positive"]
    assert streams(document) == {encode_jpeg(mean_map_picture(mean.values, mean.lungs, 0.25))}


def test_the_cohort_and_the_config_are_attached(renderer, run) -> None:
    reader = pypdf.PdfReader(io.BytesIO(report(renderer, run, labelled())))
    assert sorted(reader.attachments) == ["cohort.json", "config.json"]
    assert b'pdfaid:part="3"' in reader.trailer["/Root"]["/Metadata"].get_object().get_data()


@pytest.mark.parametrize(
    ("records", "words"),
    [
        ([a_case("a", None, 0.9)], "no audited case has a label that names a class"),
        ([a_case("a", "P", 0.9)], "Labelled otherwise: 0 cases"),
        ([a_case(f"{n}", "P", 0.9) for n in range(4)], "One class only"),
        ([a_failure("f")], "No case was audited"),
        ([a_case("a", "P", 0.9, enrichment=None)], "Map is empty"),
    ],
)
def test_runs_with_little_in_them_have_sensible_pages(renderer, run, records, words) -> None:
    bare = replace(run, model=replace(run.model, card=None))
    found = pages(report(renderer, bare, records))
    text = " ".join(found)
    assert words in text
    assert "to be filled by the submitter" in text
    assert len(found) <= 6
    assert_allowed(text)


def test_a_limited_run_says_of_how_many(renderer, run) -> None:
    words = "Audited were 24 of the 1,200 radiographs that there are"
    assert words in " ".join(pages(report(renderer, replace(run, num_found=1200), labelled())))
    assert "Audited were" not in " ".join(pages(report(renderer, run, labelled())))
    for found, words in (
        (1200, "24 of 1,200 found (--limit): 24 audited"),
        (None, "24: 24 audited"),
    ):
        assert dict(view(replace(run, num_found=found), labelled())["glance"])["Cases"].startswith(
            words
        )


def test_a_long_list_is_cut_and_says_so(renderer, run) -> None:
    failures = [replace(a_failure(f"f{n}"), reason=f"broken in way {n:02}") for n in range(30)]
    text = " ".join(pages(report(renderer, run, [*labelled(), *failures])))
    assert len(set(re.findall(r"Broken in way \d\d", text))) == 10
    assert "20 more rows: see cases.csv" in text


def test_every_row_of_the_maskings_is_printed(renderer, run) -> None:
    parts = ("lungs", "all but the lungs", "border", "letter 1", "text 1", "foreign object 1")
    tried = tuple(Masking(part, fill, 0.0, 1.0) for part in parts for fill in get_args(Fill))
    usual = dict.fromkeys(("border", "letter 1", "text 1", "foreign object 1"), 1.0)
    records = [replace(record, masking=tried, as_usual=usual) for record in labelled()]
    assert len(view(run, records)["masking"]["rows"]) == 6 * len(get_args(Fill)) + 4 > 14
    assert "more rows" not in " ".join(pages(report(renderer, run, records)))


def test_the_roc_has_the_area_that_pairs_give() -> None:
    """Mann-Whitney by brute force; equal outputs count half."""
    rng = np.random.default_rng(3)
    records = [
        a_case(f"{n}", "PN"[n % 2], float(p)) for n, p in enumerate(rng.integers(0, 12, 60) / 12)
    ]
    across, up = _roc([*records, a_case("u", None, 0.5), a_failure("f", "P")])
    assert (across[0], up[0], across[-1], up[-1]) == (0, 0, 1, 1)
    positive = [r.prediction.probability for r in records if r.label == "P"]
    negative = [r.prediction.probability for r in records if r.label == "N"]
    wins = [(p > n) + (p == n) / 2 for p, n in itertools.product(positive, negative)]
    assert np.trapezoid(up, across) == pytest.approx(np.mean(wins))
    assert described(records).metrics["auc"].value == pytest.approx(np.mean(wins))


@pytest.mark.parametrize(
    ("largest", "end"), [(0.25, "0.25"), (0.2501, "0.26"), (0.0071, "0.0071"), (0.29, "0.29")]
)
def test_the_end_of_the_mean_maps_scale_is_the_number_that_is_printed(
    run, largest: float, end: str
) -> None:
    """Never below the largest value; no finer than two digits. 0.29 / 0.01 is 28.999... in binary."""
    values = np.full((96, 96), largest, np.float64)
    means = {"true_positive": MeanMap(3, values, np.ones((96, 96), np.float32))}
    records = labelled()
    found = summary_view(records, run, described(records), means, {"mean_true_positive": "x"})[
        "mean_maps"
    ]
    assert found["end"] == end


def test_the_steps_of_the_randomisation_are_drawn(renderer, run) -> None:
    stages = (CascadeStage("dense", 1, 0.6, 0.5), CascadeStage("conv", 9, 0.1, 0.0))
    text = " ".join(pages(report(renderer, replace(run, cascade=stages), with_all_checks())))
    assert "Layers without trained weights" in text  # from the SVG
    assert 'layers with weights: 9, the first being "dense"' in text
    assert "Layers without trained weights" not in " ".join(
        pages(report(renderer, run, with_all_checks()))
    )


def test_the_figure_that_is_compared_is_marked(run) -> None:
    """Met, although the estimate alone would not be: the row has to say which figure it was."""
    cohort = described(labelled(), (Criterion(metric="sensitivity", bound="upper", at_least=0.8),))
    (row,) = view(run, labelled(), cohort)["acceptance"]["rows"]
    assert (row["state"][1], row["value"], row["bound"]) == ("Met", "0.75", "upper")
    assert row["what"] == "Sensitivity, upper end of the 95 % interval"
    assert float(row["ends"][1]) > 0.8


@pytest.mark.parametrize(
    ("criterion", "is_far"),
    [
        (Criterion(metric="sensitivity", bound="upper", at_least=0.8), True),
        (Criterion(metric="ece", bound="lower", at_most=0.1), True),
        (Criterion(metric="sensitivity", bound="lower", at_least=0.8), False),
        (Criterion(metric="sensitivity", at_least=0.8), False),
    ],
)
def test_a_limit_that_few_cases_make_easy_is_explained(renderer, run, criterion, is_far) -> None:
    text = " ".join(pages(report(renderer, run, labelled(), described(labelled(), (criterion,)))))
    assert (
        "met unless the whole interval misses it: the data do not contradict the claim" in text
    ) == is_far


def test_reasons_of_one_kind_are_counted_together(run) -> None:
    one = CriterionResult("c", True, Estimate(0.9, 12, 12, (0.8, 0.95)))
    lungs = {"lungs not found: too ragged": 8, "lungs not found: one area only, expected two": 2}
    for undefined, note in (
        (
            {**lungs, "no map": 1},
            "Counted against it, in 10 cases: lungs not found, in 8 too ragged, in 2 one area only, expected two; "
            "counted against it, in 1 case: no map",
        ),
        (
            {"lungs not found: too ragged": 8},
            "Counted against it, in 8 cases: lungs not found: too ragged",
        ),
    ):
        cohort = replace(described(labelled()), acceptance=(replace(one, undefined=undefined),))
        assert view(run, labelled(), cohort)["acceptance"]["rows"][0]["note"] == note


def test_a_criterion_of_an_older_record_keeps_its_words(run) -> None:
    old = CriterionResult(
        "auc at least 0.5", True, Estimate(0.6, 9, 9, reason="no interval below 10 patients")
    )
    cohort = replace(described(labelled()), acceptance=(old,), num_cases_of_known_patients=None)
    (row,) = view(run, labelled(), from_json(to_json(cohort), CohortRecord))["acceptance"]["rows"]
    assert (row["what"], row["key"], row["limit"], row["value"]) == (
        "Auc at least 0.5",
        None,
        "–",
        "0.60",
    )


def test_every_scaling_of_a_config_has_words() -> None:
    assert set(SCALINGS) == set(
        get_args(get_args(Preprocess.model_fields["scaling"].annotation)[0])
    )


def test_markers_of_one_kind_are_counted_together(run) -> None:
    """The second letter of one case is no relative of another's second letter."""
    one, two = labelled()[:2]
    names = ("letter 1", "letter 2", "foreign object 1")
    one = replace(
        one, masking=tuple(Masking(name, "mean", 0.0, n + 1.0) for n, name in enumerate(names))
    )
    two = replace(two, masking=(Masking("letter 1", "mean", 0.0, 9.0),))
    rows = view(run, [one, two])["masking"]["rows"]
    assert [(row["removed"], row["count"], row["cells"]) for row in rows] == [
        ("Letter", "3", ["+2.00"]),
        ("Foreign object", "1", ["+3.00"]),
    ]


def test_a_check_that_could_not_be_made_everywhere_says_what_it_is(run) -> None:
    not_run = Check("age", "could not be checked", "not_run", reason="the file states no age")
    made = Check("age", "age in years", "passed", 3.0, "1 to 5")
    one, two, *_ = labelled()
    for records in (
        [replace(one, quality=(not_run,)), replace(two, quality=(made,))],
        [replace(one, quality=(made,))],
    ):
        (row,) = view(run, records)["quality"]["rows"]
        assert (row["what"], row["limit"]) == ("Age in years", "1 to 5")
    (row,) = view(run, [replace(one, quality=(not_run,))])["quality"]["rows"]
    assert (row["what"], row["limit"]) == ("The file states no age", "–")


def test_one_class_has_no_roc() -> None:
    assert _roc([a_case("a", "P", 0.9), a_case("b", "P", 0.2)]) is None


def test_outcomes_are_those_of_the_cohort() -> None:
    records = [*labelled(), a_case("u", None, 0.9), a_case("x", "Q", 0.9), a_failure("f", "P")]
    cohort = described(records)
    for outcome, count in cohort.outcomes.items():
        assert (
            sum(record.outcome == outcome for record in records)
            == count
            == {True: 9, False: 3}["true" in outcome]
        )
    assert sum(record.outcome is None for record in records) == 3


@pytest.mark.parametrize(
    ("value", "limit", "text"),
    [
        (0.9312, None, "0.93"),
        (0.9996, None, ">0.99"),
        (0.9996, 0.999, ">0.999"),
        (0.8996, 0.9, "0.8996"),
        (0.904, 0.9, "0.904"),
        (0.95, 0.9, "0.95"),
        (0.9, 0.9, "0.90"),
    ],
)
def test_a_number_beside_its_limit_is_told_apart_from_it(
    value: float, limit: float | None, text: str
) -> None:
    assert _estimate(Estimate(value, 5, 5, reason="no interval"), limit)["value"] == text


def with_checks(record: CaseRecord, n: int) -> CaseRecord:
    state = ("passed", "caution", "not_interpretable")[n % 3]
    stable = Check("stability", "shifted by 2 pixels", "passed", 0.9, "at least 0.8")
    dark = Check(
        "exposure",
        "share of black",
        "failed" if n == 0 else "passed",
        0.3,
        "at most 0.2",
        "dark" if n == 0 else None,
    )
    return replace(
        record,
        trust=Trust(state, () if state == "passed" else ("it moves",), (stable,)),
        flags=(Flag("marker", "12 %"),) if n % 4 == 0 else (),
        masking=(
            Masking("lungs", "blurred", 0.0, -float(n), n == 1),
            Masking("border", "mean", 0.0, 0.25 * n),
        ),
        quality=(dark, Check("side", "marker of the side", "not_run", reason="no marker")),
    )


def with_all_checks() -> list[CaseRecord]:
    return [with_checks(record, n) for n, record in enumerate(labelled())]


def test_trust_flags_masking_and_quality_are_counted_by_outcome(renderer, run) -> None:
    records = [with_checks(record, n) for n, record in enumerate(labelled())]
    checked = replace(
        run,
        checks=(
            Check("randomisation", "weights replaced", "failed", 0.9, "at most 0.3", "too alike"),
        ),
    )
    found = view(checked, records)
    positive = [n for n, record in enumerate(records) if record.outcome == "true_positive"]
    assert len(positive) == 9
    assert [row["name"] for row in found["trust"]["rows"]] == [
        "Passed",
        "Caution",
        "Not interpretable",
    ]
    assert [row["total"] for row in found["trust"]["rows"]] == ["8", "8", "8"]
    assert found["trust"]["columns"][0] == "True positive"
    assert [row["cells"][0] for row in found["trust"]["rows"]] == [
        str(sum(n % 3 == k for n in positive)) for k in range(3)
    ]
    (flag,) = found["flags"]["rows"]
    assert (flag["total"], flag["cells"][0]) == ("6", str(sum(n % 4 == 0 for n in positive)))
    records = [replace(record, as_usual={"letter 2": -0.5 * n}) for n, record in enumerate(records)]
    (usual,) = [
        row
        for row in view(checked, records)["masking"]["rows"]
        if row["fill"] == "the run's mean radiograph"
    ]
    assert (usual["removed"], usual["count"], usual["bad"]) == ("Letter", "24", "\N{EN DASH}")
    assert usual["cells"][0] == f"\N{MINUS SIGN}{0.5 * median(positive):.2f}"
    border, lungs = found["masking"]["rows"]
    assert (lungs["removed"], lungs["fill"], lungs["count"], lungs["bad"]) == (
        "Lungs",
        "blurred",
        "24",
        "1",
    )
    assert lungs["cells"][0] == f"\N{MINUS SIGN}{median(positive):.2f}"
    assert border["cells"][0] == f"+{0.25 * median(positive):.2f}"
    assert {row["name"]: row["cells"] for row in found["quality"]["rows"]} == {
        "Exposure": ["23", "1", "0"],
        "Side": ["0", "0", "24"],
    }
    assert found["unmeasured"] == []
    assert "Failed checks of the model's explanations: randomisation." in found["open"]
    assert "Failed a check of the input: 1 case." in found["open"]
    text = " ".join(pages(report(renderer, checked, records)))
    for words in (
        "Trust in the map",
        "Randomisation Weights replaced. Too alike",
        "A marker counts 6",
    ):
        assert words in text


def test_how_often_the_maximum_lies_in_the_lungs(run) -> None:
    """Enrichment above 1 is a hit in the records by hand."""
    records = [a_case(f"{n}", "P", 0.9, enrichment=2.0 if n < 9 else 0.5) for n in range(12)]
    low, high = described(records).hit_rates["lungs"].interval_95
    assert view(run, records)["hits"] == f"lungs 0.75 ({low:.2f} to {high:.2f}; 12 cases)"


def test_what_was_not_measured_says_so(run) -> None:
    found = view(run, labelled())
    assert len(found["unmeasured"]) == 4
    assert (found["trust"], found["flags"], found["masking"], found["quality"]) == (
        None,
        None,
        None,
        None,
    )
    results = {one["hazard"]: one["result"] for one in found["mapping"]}
    assert results["The lungs do not decide the output, or another part does"] is None
    assert "Whether the maps can be trusted was not checked." in found["open"]


def test_a_hazard_says_what_was_not_run_and_of_how_many(run) -> None:
    """Each masking of the lungs says something only where the class was called: None elsewhere."""
    states = ("passed", "failed", "not_run", "not_run")
    checks = tuple(
        Check(f"c{n}", "what", one, reason=None if one == "passed" else "why")
        for n, one in enumerate(states)
    )
    masked = (
        Masking("lungs", "mean", 0.0, 1.0, True),
        Masking("all but the lungs", "mean", 0.0, 1.0, False),
        Masking("border", "mean", 0.0, 1.0, False),
        Masking("letter 1", "mean", 0.0, 1.0, True),
        Masking("text 2", "mean", 0.0, 1.0, False),
    )
    one, two, *rest = labelled()
    undecided = Masking("lungs", "mean", 0.0, 1.0, None)
    records = [replace(one, masking=masked), replace(two, masking=(undecided, masked[1])), *rest]
    results = {
        one["hazard"]: one["result"]
        for one in view(replace(run, checks=checks), records)["mapping"]
    }
    assert results["The map does not show what the model used"].endswith(
        "checks: 1 passed, 1 failed, 2 not run"
    )
    assert results["The lungs do not decide the output, or another part does"] == (
        "2 of 24 cases masked. Maskings after which the class stays without the lungs: 1 of 1; changes with the lungs "
        "alone: 0 of 2; changes without the border: 0 of 1; changes without a marker: 1 of 2"
    )


def test_the_confusion_matrix_has_labels_in_rows(run) -> None:
    records = labelled()[:-2]  # 10 negative ones are left: 3 of them below, 7 above the threshold
    rows = view(run, records)["confusion"]["rows"]
    cohort = described(records)
    assert [[cell["count"] for cell in row["cells"]] for row in rows] == [
        [str(cohort.outcomes[name]) for name in names]
        for names in (("true_positive", "false_negative"), ("false_positive", "true_negative"))
    ]
    assert [cell["share"] for cell in rows[0]["cells"]] == ["75 %", "25 %"]


def test_a_letterheads_rules_have_the_last_word(renderer, run, tmp_path) -> None:
    """Over `summary.css` too, which sets the size of these headings: larger ones take more pages."""
    (tmp_path / "letterhead.css").write_text("h2.stage { font-size: 30pt; }")
    records = labelled()
    theirs, ours = (report(one, run, records) for one in (Renderer(tmp_path), renderer))
    assert len(pages(theirs)) > len(pages(ours))


def test_the_worst_cases_come_with_their_pictures(renderer, run, make) -> None:
    record, folder = make("case-wrong", classes=("N", "P"), maps=(("grad-cam", "P"),), expected="N")
    cohort = described([record])
    assert [one.case_id for one in cohort.false_positives] == ["case-wrong"]
    document = renderer.summary_pdf([record], run, cohort, {}, folder.parent)
    assert 'False positives of "P", highest output first' in " ".join(pages(document))
    assert (folder / "overlay-0.jpg").read_bytes() in streams(document)


@pytest.mark.parametrize(
    ("value", "as_score", "as_percent"),
    [
        (0, "0.00", "0 %"),
        (0.001, "<0.01", "<1 %"),
        (0.005, "<0.01", "<1 %"),
        (0.994, "0.99", "99 %"),
        (0.9951, ">0.99", ">99 %"),
        (1, "1.00", "100 %"),
    ],
)
def test_nothing_is_rounded_to_none_or_all(value: float, as_score: str, as_percent: str) -> None:
    assert (score(value), percent(value)) == (as_score, as_percent)

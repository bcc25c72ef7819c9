"""The run report on records written by hand: what stands first, what is counted, what is missing."""

from __future__ import annotations

import hashlib
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
from cxr_audit.cohort import summarise_readers
from cxr_audit.config import Preprocess
from cxr_audit.records import (
    AuditedCase,
    CascadeStage,
    CaseHashes,
    CaseRecord,
    Check,
    CohortRecord,
    CountedReason,
    CriterionResult,
    EarlierRun,
    Estimate,
    Fill,
    Flag,
    FlagsRecord,
    Masking,
    Probes,
    Protocol,
    ProtocolRecord,
    ReaderAnswer,
    RunRecord,
    Trust,
    audited,
)
from cxr_audit.report import Renderer, encode_jpeg
from cxr_audit.report.pictures import mean_map_picture
from cxr_audit.report.run_report import annexes_view, summary_view
from cxr_audit.report.run_report.artefacts import SCALINGS
from cxr_audit.report.run_report.estimates import estimate_view
from cxr_audit.report.run_report.performance import roc
from cxr_audit.report.run_report.who import set_sha256
from cxr_audit.report.words import percent, score
from cxr_audit.vocabulary import OUTPUT_FILES, Message, message

from tests.report.cases import FORBIDDEN, a_case, a_failure, own_words, pages
from tests.report.cohorts import MeanMap, auc, described

FAR = Message("cohort.at_least", {"limit": 0.8}, "at least 0.8")
CRITERIA = (
    CriterionResult("AUC", True, Estimate(0.6, 24, 24, (0.5, 0.7)), (), None, "auc", "at least 0.5", 0.5),
    CriterionResult(
        "share of cases that failed",
        False,
        Estimate(0.04, 25, 25, (0.0, 0.2)),
        (),
        None,
        "failed",
        "at most 0",
        0.0,
    ),
    CriterionResult(
        "check of the model: randomisation",
        False,
        Estimate(None, 0, 0, reason="the check was not made"),
        (),
        "the check was not made",
        "randomisation",
        "passed",
    ),
)  # fmt: skip
MEANS = {
    "true_positive": MeanMap(3, np.full((96, 96), 0.25, np.float32), np.ones((96, 96), np.float32))
}


def labelled() -> list[AuditedCase]:
    """12 positive and 12 negative cases; of each, 9 on the right side."""
    cases = []
    for label in ("P", "N"):
        for n in range(12):
            is_high = (label == "P") != (n < 3)
            probability = (0.6 if is_high else 0.3) + 0.01 * n
            cases.append(a_case(f"{label}{n:02}", label, probability))
    return cases


def report(
    renderer: Renderer,
    run: RunRecord,
    cases: list[CaseRecord],
    cohort: CohortRecord | None = None,
    means: dict | None = None,
) -> bytes:
    cohort = cohort or described(cases)
    return renderer.summary_pdf(cases, run, cohort, means or {}, Path("nowhere"))


def view(run: RunRecord, cases: list[CaseRecord], cohort: CohortRecord | None = None) -> dict:
    return summary_view(cases, run, cohort or described(cases), {}, {})


def limited(run: RunRecord) -> RunRecord:
    return replace(run, cases=replace(run.cases, num_found=1200))


def annexes(run: RunRecord, cases: list[CaseRecord]) -> dict:
    return annexes_view(cases, run, described(cases))


def assert_allowed(text: str) -> None:
    for word in FORBIDDEN:
        assert not re.search(rf"\b{word}\b", own_words(text), re.IGNORECASE), word


def streams(document: bytes) -> set[bytes]:
    """The pictures as they are in the file."""
    found = set()
    for page in pypdf.PdfReader(io.BytesIO(document)).pages:
        for holder in page["/Resources"].get("/XObject", {}).values():
            picture = holder.get_object()
            if picture["/Subtype"] == "/Image":
                found.add(picture._data)
    return found


def test_claim_and_verdict_stand_first_then_what_a_decision_needs(renderer, run) -> None:
    cases = [*labelled(), a_failure("f")]
    stated = {"claim": "fit for triage", "operator": "A. Examiner", "organisation": "St. Example"}
    ours = replace(run, config={"run": stated, "ingest": {"dataset": "spring set"}})
    found = pages(report(renderer, ours, cases, described(cases, CRITERIA), MEANS))
    text = " ".join(found)
    heads = [
        "2 of 3 acceptance criteria not met. Not examined: 1.",
        "Claim fit for triage",
        "1 Who and with what",
        "Operator A. Examiner",
        "Organisation St. Example",
        "Code not recorded by the version that made this run",
        "2 Data",
        "Name of the set spring set",
        "3 Protocol",
        "none was sealed",
        "4 Case flow",
        "5 Criteria",
        "6 Performance",
        "7 Calibration and subgroups",
        "8 Errors",
        "9 What the output depends on",
        "10 Explanations",
        "11 Open points",
        "12 Decision",
        "13 Integrity",
        "UNSIGNED when this document was made",
        "14 Glossary and methods",
    ]
    places = [text.index(head) for head in heads]
    assert places == sorted(places)
    assert heads[0] in found[0]
    assert "Population of this run 24 radiographs of 25 patients" in found[0]
    unjudged = "Not examined Check of the model: randomisation randomisation"
    assert f"{unjudged} The check was not made. passed undefined" in text
    assert "Not met Share of cases that failed failed at most 0 0.04" in text
    assert re.search(r"Met AUC auc at least 0\.5 0\.\d\d", text)
    assert "25: 24 audited, 0 excluded, 1 failed" in found[0]
    assert len(found) <= 9
    assert_allowed(text)


def test_no_page_of_the_report_is_half_empty(renderer, run) -> None:
    """But for the last one before the glossary, and the glossary."""
    cases = [*labelled(), a_failure("f")]
    found = pages(report(renderer, run, cases, described(cases, CRITERIA), MEANS))
    assert all(len(text.split()) > 120 for text in found[:-2])


def test_the_cases_flow_from_found_to_wrong(run) -> None:
    found = dict(view(limited(run), [*labelled(), a_failure("f")])["flow"])
    assert list(found.values()) == [
        "1,200",
        "25, evenly spaced (--limit)",
        "1",
        "0",
        "24",
        "0",
        "24",
        "6",
    ]


def test_the_hash_of_the_set_does_not_depend_on_the_order(run) -> None:
    cases = [
        replace(case, hashes=CaseHashes(file_hmac=f"{n:064x}")) for n, case in enumerate(labelled())
    ]
    num, found = set_sha256(cases)
    assert (num, found) == set_sha256(cases[::-1])
    lines = "".join(sorted(f"{n:064x}\n" for n in range(24)))
    assert found == hashlib.sha256(lines.encode()).hexdigest()
    assert set_sha256(cases[1:])[1] != found


def test_a_protocol_and_earlier_runs_are_named(run) -> None:
    sealed = Protocol(
        "2026-11-20T08:00:00Z", "a" * 64, {}, "0.1.0", "b" * 64, "c" * 64, sha256="d" * 64
    )
    earlier = EarlierRun("spring", "2026-11-01T08:00:00Z", "e" * 64, 24, False)
    record = ProtocolRecord(sealed, (earlier,), 24)
    cases = labelled()
    found = summary_view(cases, run, described(cases), {}, {}, record)
    rows = dict(found["protocol"]["rows"])
    assert rows["Protocol SHA-256"] == "d" * 64
    assert rows["Criteria fixed"].startswith("2026-11-20 08:00 UTC, before the run started")
    assert found["protocol"]["earlier"][0]["shared"] == "24"
    assert "Earlier runs saw the same files: spring." in found["open"]
    assert not [point for point in found["open"] if "protocol" in point]
    late = replace(record, sealed=replace(sealed, created="2030-01-01T00:00:00Z"))
    found = summary_view(cases, run, described(cases), {}, {}, late)
    assert "AFTER the run started" in dict(found["protocol"]["rows"])["Criteria fixed"]
    assert "The protocol was sealed after the run started." in found["open"]


def test_answers_of_readers_have_their_numbers(renderer, run) -> None:
    cases = labelled()
    answers = [ReaderAnswer(case.case_id, "AB", None, case.label, "agree") for case in cases]
    record = summarise_readers(answers, cases)
    found = summary_view(cases, run, described(cases), {}, {}, None, record)["readers"]
    assert [row["name"] for row in found["pairs"]] == ["AB and model", "AB and reference label"]
    assert found["pairs"][0]["same"] == "18 of 24 (75 %)"
    assert found["pairs"][0]["kappa"].startswith("0.50 (")
    assert found["summaries"][0]["agreement"] == "agree: 24"


def test_the_annexes_are_a_document_of_their_own_and_attached(renderer, run) -> None:
    cases = labelled()
    document = renderer.annexes_pdf(cases, run, described(cases))
    text = " ".join(pages(document))
    heads = [
        "Annex A: regulatory map",
        "Annex B: model card",
        "Annex C: CLAIM 2024 checklist",
        "Annex D: hazards",
        "Annex E: baseline for monitoring",
        "Annex F: files of the run folder",
    ]
    places = [text.index(head) for head in heads]
    assert places == sorted(places)
    assert "to be filled by the submitter" in text
    reader = pypdf.PdfReader(io.BytesIO(report(renderer, run, cases)))
    assert reader.attachments["annexes.pdf"] == [document]


def test_the_files_of_the_run_folder_are_those_of_the_vocabulary(run) -> None:
    names = [name for name, _what in annexes(run, labelled())["outputs"]]
    assert names == [row.key for row in OUTPUT_FILES if row.place != "private"]


def test_pictures_are_in_the_document_and_its_bytes_are_always_the_same(renderer, run) -> None:
    document = report(renderer, run, labelled(), means=MEANS)
    assert document == report(renderer, run, labelled(), means=MEANS)
    text = " ".join(pages(document))
    assert "1 − specificity" in text  # from the SVG of the ROC
    assert "True positive (9)" in text
    mean = MEANS["true_positive"]
    assert streams(document) == {encode_jpeg(mean_map_picture(mean.values, mean.lungs, 0.25))}


def test_the_cohort_and_the_config_are_attached(renderer, run) -> None:
    reader = pypdf.PdfReader(io.BytesIO(report(renderer, run, labelled())))
    assert sorted(reader.attachments) == ["annexes.pdf", "cohort.json", "config.json"]
    assert b'pdfaid:part="3"' in reader.trailer["/Root"]["/Metadata"].get_object().get_data()


@pytest.mark.parametrize(
    ("cases", "words"),
    [
        ([a_case("a", None, 0.9)], "no audited case has a label that names a class"),
        ([a_case("a", "P", 0.9)], "Only 0 negatives: specificity is imprecise"),
        ([a_case(f"{n}", "P", 0.9) for n in range(4)], "One class only"),
        ([a_failure("f")], "No case was audited"),
        ([a_case("a", "P", 0.9, enrichment=None)], "Map is empty"),
    ],
)
def test_runs_with_little_in_them_have_sensible_pages(renderer, run, cases, words) -> None:
    bare = replace(run, model=replace(run.model, card=None))
    found = pages(report(renderer, bare, cases))
    text = " ".join(found)
    assert words in text
    assert len(found) <= 7
    assert_allowed(text)


def test_a_limited_run_says_of_how_many(renderer, run) -> None:
    words = "24 of 1,200 available radiographs were audited"
    limited_run = replace(run, cases=replace(run.cases, num_found=1200))
    assert words in " ".join(view(limited_run, labelled())["open"])
    assert "available" not in " ".join(view(run, labelled())["open"])
    limited = dict(view(limited_run, labelled())["glance"])["Cases"]
    assert limited.startswith("24 of 1,200 found (--limit): 24 audited")
    assert dict(view(run, labelled())["glance"])["Cases"].startswith("24: 24 audited")


def test_a_long_list_is_cut_and_says_so(renderer, run) -> None:
    failures = [a_failure(f"f{n}", reason=f"broken in way {n:02}") for n in range(30)]
    text = " ".join(pages(report(renderer, run, [*labelled(), *failures])))
    assert len(set(re.findall(r"Broken in way \d\d", text))) == 10
    assert "20 more rows: see cases.csv" in text


def test_every_row_of_the_maskings_is_printed(renderer, run) -> None:
    parts = ("lungs", "all but the lungs", "border", "letter 1", "text 1", "foreign object 1")
    tried = tuple(Masking(part, fill, 0.0, 1.0) for part in parts for fill in get_args(Fill))
    changes = dict.fromkeys(("border", "letter 1", "text 1", "foreign object 1"), 1.0)
    probes = Probes(tried, mean_replaced=changes)
    cases = [replace(case, probes=probes) for case in labelled()]
    assert len(view(run, cases)["masking"]["rows"]) == 6 * len(get_args(Fill)) + 4 > 14
    assert "more rows" not in " ".join(pages(report(renderer, run, cases)))


def test_the_roc_has_the_area_that_pairs_give() -> None:
    """Mann-Whitney by brute force; equal scores count half."""
    rng = np.random.default_rng(3)
    outputs = rng.integers(0, 12, 60) / 12
    cases = [a_case(f"{n}", "PN"[n % 2], float(output)) for n, output in enumerate(outputs)]
    across, up = roc([*cases, a_case("u", None, 0.5)]) or ([], [])
    assert (across[0], up[0], across[-1], up[-1]) == (0, 0, 1, 1)
    positive = [case.prediction.probability for case in cases if case.label == "P"]
    negative = [case.prediction.probability for case in cases if case.label == "N"]
    wins = [(p > n) + (p == n) / 2 for p, n in itertools.product(positive, negative)]
    assert np.trapezoid(up, across) == pytest.approx(np.mean(wins))
    assert auc(positive, negative) == pytest.approx(np.mean(wins))


@pytest.mark.parametrize(
    ("largest", "end"), [(0.25, "0.25"), (0.2501, "0.26"), (0.0071, "0.0071"), (0.29, "0.29")]
)
def test_the_end_of_the_mean_maps_scale_is_the_number_that_is_printed(run, largest, end) -> None:
    """Never below the largest value; no finer than two digits. 0.29 / 0.01 is 28.999... in binary."""
    values = np.full((96, 96), largest, np.float64)
    means = {"true_positive": MeanMap(3, values, np.ones((96, 96), np.float32))}
    cases = labelled()
    urls = {"mean_true_positive": "x"}
    assert summary_view(cases, run, described(cases), means, urls)["mean_maps"]["end"] == end


def test_the_steps_of_the_randomisation_are_drawn(renderer, run) -> None:
    stages = (CascadeStage("dense", 1, 0.6, 0.5), CascadeStage("conv", 9, 0.1, 0.0))
    text = " ".join(
        pages(
            report(
                renderer,
                replace(run, calibration=replace(run.calibration, cascade=stages)),
                with_all_checks(),
            )
        )
    )
    assert "Layers without trained weights" in text  # from the SVG
    assert 'Layers with weights: 9, the first is "dense".' in text
    without = " ".join(pages(report(renderer, run, with_all_checks())))
    assert "Layers without trained weights" not in without


def test_the_figure_that_is_compared_is_marked(run) -> None:
    """Met, although the estimate alone would not be: the row has to say which figure it was."""
    result = CriterionResult(
        "sensitivity, upper end of the 95 % interval",
        True,
        Estimate(0.75, 12, 12, (0.45, 0.93)),
        metric="sensitivity",
        limit=FAR,
        limit_value=0.8,
        bound="upper",
    )
    found = view(run, labelled(), described(labelled(), (result,)))["acceptance"]
    (row,) = found["rows"]
    assert (row["state"][1], row["found"].value, row["bound"]) == ("Met", "0.75", "upper")
    assert row["name"] == "Sensitivity, upper end of the 95 % interval"
    assert found["is_lenient"]


@pytest.mark.parametrize(
    ("bound", "code", "is_lenient"),
    [
        ("upper", "cohort.at_least", True),
        ("lower", "cohort.at_most", True),
        ("lower", "cohort.at_least", False),
        ("upper", "cohort.at_most", False),
        ("estimate", "cohort.at_least", False),
    ],
)
def test_a_limit_that_few_cases_make_easy_is_explained(
    renderer, run, bound, code, is_lenient
) -> None:
    limit = Message(code, {"limit": 0.8}, "limit")
    found = Estimate(0.75, 12, 12, (0.4, 0.9))
    result = CriterionResult("c", True, found, (), None, "auc", limit, 0.8, bound)
    text = " ".join(pages(report(renderer, run, labelled(), described(labelled(), (result,)))))
    assert ("the data do not contradict the claim" in text) == is_lenient


def test_reasons_are_counted_with_their_cases(run) -> None:
    reasons = (
        CountedReason("no map", 1),
        CountedReason("too ragged", 8),
        CountedReason("one area only", 2),
        CountedReason("cut off", 1),
    )
    result = CriterionResult("c", True, Estimate(0.9, 12, 12, (0.8, 0.95)), reasons)
    (row,) = view(run, labelled(), described(labelled(), (result,)))["acceptance"]["rows"]
    assert row["note"] == (
        "Undefined, and counted against it: too ragged (8 cases); one area only (2 cases); "
        "cut off (1 case); 1 more reason."
    )


def test_every_scaling_of_a_config_has_words() -> None:
    annotation = Preprocess.model_fields["scaling"].annotation
    assert set(SCALINGS) >= set(get_args(get_args(annotation)[0]))


def test_markers_of_one_kind_are_counted_together(run) -> None:
    """The second letter of one case is no relative of another's second letter."""
    one, two = labelled()[:2]
    names = ("letter 1", "letter 2", "foreign object 1")
    maskings = tuple(Masking(name, "mean", 0.0, n + 1.0) for n, name in enumerate(names))
    one = replace(one, probes=Probes(maskings))
    two = replace(two, probes=Probes((Masking("letter 1", "mean", 0.0, 9.0),)))
    rows = view(run, [one, two])["masking"]["rows"]
    assert [(row["removed"], row["count"], row["cells"]) for row in rows] == [
        ("Letter", "3", ["+2.00"]),
        ("Foreign object", "1", ["+3.00"]),
    ]


def test_a_check_that_could_not_be_made_everywhere_has_its_limit(run) -> None:
    not_run = Check("age", "not_run", reason="the file states no age")
    made = Check("age", "passed", 3.0, "1 to 5")
    one, two, *_ = labelled()
    for cases, limit in (
        ([replace(one, quality=(not_run,)), replace(two, quality=(made,))], "1 to 5"),
        ([replace(one, quality=(made,))], "1 to 5"),
        ([replace(one, quality=(not_run,))], "–"),
    ):
        (row,) = view(run, cases)["quality"]["rows"]
        assert row["limit"] == limit
        assert row["meaning"] == "The age that the file states, as a band of ten years"


def test_one_class_has_no_roc() -> None:
    assert roc([a_case("a", "P", 0.9), a_case("b", "P", 0.2)]) is None


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
def test_a_number_beside_its_limit_is_told_apart_from_it(value, limit, text) -> None:
    assert estimate_view(Estimate(value, 5, 5, reason="no interval"), limit).value == text


def with_checks(case: AuditedCase, n: int) -> AuditedCase:
    state = ("passed", "caution", "not_interpretable")[n % 3]
    stable = Check("stability", "passed", 0.9, "at least 0.8")
    is_dark = n == 0
    contrast = Check(
        "contrast",
        "failed" if is_dark else "passed",
        0.3,
        "at least 0.2",
        "dark" if is_dark else None,
    )
    maskings = (
        Masking("lungs", "blurred", 0.0, -float(n), n == 1),
        Masking("border", "mean", 0.0, 0.25 * n),
    )
    return replace(
        case,
        trust=Trust(state, () if state == "passed" else ("it moves",), (stable,)),
        flags=FlagsRecord((Flag("marker", "12 %"),) if n % 4 == 0 else ()),
        probes=Probes(maskings),
        quality=(contrast, Check("side", "not_run", reason="no marker")),
    )


def with_all_checks() -> list[AuditedCase]:
    return [with_checks(case, n) for n, case in enumerate(labelled())]


def test_checks_flags_and_quality_are_counted_by_outcome(renderer, run) -> None:
    cases = with_all_checks()
    failed = Check("randomisation", "failed", 0.9, "at most 0.3", "too alike")
    checked = replace(run, calibration=replace(run.calibration, checks=(failed,)))
    found = view(checked, cases)
    positive = [n for n, case in enumerate(cases) if case.outcome == "true_positive"]
    assert len(positive) == 9
    rows = {row["name"]: row for row in found["validity"]["rows"]}
    assert rows["Randomisation"]["scope"] == "model"
    assert rows["Randomisation"]["result"] == "failed 0.90"
    assert rows["Stability"]["scope"] == "24 cases"
    assert rows["Stability"]["result"] == "passed: 24"
    assert rows["Explanation checks"]["result"] == "passed: 8; caution: 8; not interpretable: 8"
    (flag,) = found["flags"]["rows"]
    assert flag["total"] == "6 of 24 (25 %)"
    assert flag["cells"][0] == str(sum(n % 4 == 0 for n in positive))
    assert {row["name"]: row["cells"] for row in found["quality"]["rows"]} == {
        "Contrast": ["23", "1", "0"],
        "Side": ["0", "0", "24"],
    }
    assert found["unmeasured"] == []
    assert "Failed checks of the model's explanations: randomisation." in found["open"]
    assert "Failed a check of the input: 1 case." in found["open"]
    text = " ".join(pages(report(renderer, checked, cases)))
    for words in (
        "Explanation checks",
        "Randomisation Whether the map changes when the trained weights are replaced layer by "
        "layer. Too alike.",
        "Output depends on a side marker or text 6 of 24 (25 %)",
    ):
        assert words in text


def test_maskings_have_the_median_change_by_outcome(run) -> None:
    cases = with_all_checks()
    positive = [n for n, case in enumerate(cases) if case.outcome == "true_positive"]
    changed = [
        replace(case, probes=replace(case.probes, mean_replaced={"letter 2": -0.5 * n}))
        for n, case in enumerate(cases)
    ]
    rows = {(row["removed"], row["fill"]): row for row in view(run, changed)["masking"]["rows"]}
    mean = rows["Letter", "the run's mean radiograph"]
    assert (mean["count"], mean["unexpected"]) == ("24", "\N{EN DASH}")
    assert mean["cells"][0] == f"\N{MINUS SIGN}{0.5 * median(positive):.2f}"
    lungs, border = rows["Lungs", "blurred"], rows["Border", "mean"]
    assert (lungs["count"], lungs["unexpected"]) == ("24", "1")
    assert lungs["cells"][0] == f"\N{MINUS SIGN}{median(positive):.2f}"
    assert border["cells"][0] == f"+{0.25 * median(positive):.2f}"


def test_how_often_the_maximum_lies_in_the_lungs(run) -> None:
    """Enrichment above 1 is a hit in the records by hand."""
    cases = [a_case(f"{n}", "P", 0.9, enrichment=2.0 if n < 9 else 0.5) for n in range(12)]
    assert view(run, cases)["hits"] == "the lungs 0.75 (0.65 to 0.85), 12 cases"


def test_what_was_not_measured_says_so(run) -> None:
    found = view(run, labelled())
    assert len(found["unmeasured"]) == 4
    assert all(found[name] is None for name in ("flags", "masking", "quality"))
    results = {row["hazard"]: row["result"] for row in annexes(run, labelled())["hazards"]}
    assert results["The output does not depend on the lungs"] is None
    assert "The explanations were not checked." in found["open"]


def test_a_hazard_says_what_was_not_run_and_of_how_many(run) -> None:
    """Each masking of the lungs says something only where the class was called: None elsewhere."""
    states = ("passed", "failed", "not_run", "not_run")
    checks = tuple(
        Check(f"c{n}", state, reason=None if state == "passed" else "why")
        for n, state in enumerate(states)
    )
    answers = {
        "lungs": True,
        "all but the lungs": False,
        "border": False,
        "letter 1": True,
        "text 2": False,
    }
    masked = tuple(Masking(part, "mean", 0.0, 1.0, is_bad) for part, is_bad in answers.items())
    undecided = Masking("lungs", "mean", 0.0, 1.0, None)
    one, two, *rest = labelled()
    cases = [
        replace(one, probes=Probes(masked)),
        replace(two, probes=Probes((undecided, masked[1]))),
        *rest,
    ]
    checked = replace(run, calibration=replace(run.calibration, checks=checks))
    rows = annexes(checked, cases)["hazards"]
    results = {row["hazard"]: row["result"] for row in rows}
    explained = results["The map does not show what the model used"]
    assert explained.endswith("checks: 1 passed, 1 failed, 2 not run")
    assert results["The output does not depend on the lungs"] == (
        "2 of 24 cases masked; class unchanged with the lungs masked: 1 of 1; "
        "class changed with all but the lungs masked: 0 of 2; "
        "class changed with the border masked: 0 of 1; class changed with a marker masked: 1 of 2"
    )


def test_the_confusion_matrix_has_labels_in_rows(run) -> None:
    cases = labelled()[:-2]  # 10 negatives are left: 3 above, 7 below the threshold
    rows = view(run, cases)["confusion"]["rows"]
    counts = [[cell["count"] for cell in row["cells"]] for row in rows]
    assert counts == [["9", "3"], ["3", "7"]]
    assert [cell["share"] for cell in rows[0]["cells"]] == ["75 %", "25 %"]


def test_a_letterheads_rules_have_the_last_word(renderer, run, tmp_path) -> None:
    """Over `summary.css` too, which sets the size of these headings: larger ones take more pages."""
    (tmp_path / "letterhead.css").write_text("h2.stage { font-size: 60pt; }")
    theirs = report(Renderer(tmp_path), run, labelled())
    assert len(pages(theirs)) > len(pages(report(renderer, run, labelled())))


def test_the_worst_cases_come_with_their_pictures(renderer, run, make) -> None:
    record, folder = make("case-wrong", classes=("N", "P"), maps=(("grad-cam", "P"),), expected="N")
    cohort = described([record])
    assert [wrong.case_id for wrong in cohort.false_positives] == ["case-wrong"]
    document = renderer.summary_pdf([record], run, cohort, {}, folder.parent)
    assert 'False positives of "P", highest output first' in " ".join(pages(document))
    assert (folder / record.pictures["marked"]).read_bytes() in streams(document)
    text = " ".join(pages(document))
    assert 'label "N"; predicted "P"; score' in text
    assert "threshold" in text


def test_a_german_report_has_no_english_sentence(renderer, run) -> None:
    german = replace(run, config={"report": {"language": "de"}})
    cases = [*with_all_checks(), a_failure("f")]
    in_lungs = message("cohort.metric", metric="evidence in the lungs relative to its area")
    passed, undefined = message("cohort.passed"), message("cohort.check_not_made")
    nothing = Estimate(None, 0, 0, reason=undefined)
    criteria = (CriterionResult(in_lungs, False, nothing, (), undefined, "auc", passed),)
    document = report(renderer, german, cases, described(cases, criteria), MEANS)
    text = " ".join(pages(document))
    assert pypdf.PdfReader(io.BytesIO(document)).trailer["/Root"]["/Lang"] == "de"
    for words in (
        "Prüfplan",
        "NICHT SIGNIERT",
        "Leistung",
        "Spezifität",
        "1.612.345",
        "Richtig positiv (9)",
        "zur Fläche: Lunge",
    ):
        assert words in text
    english = (" the ", " of ", " with ", " not ", " were ")
    text = own_words(text).replace("CSV on the Web", "")
    for word in english:
        assert word not in text, text[text.index(word) - 40 : text.index(word) + 40]


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


def test_only_audited_cases_are_measured(run) -> None:
    cases = [*labelled(), a_failure("f", "P")]
    assert len(audited(cases)) == 24
    assert dict(view(run, cases)["glance"])["With a label"] == "24 of 24 audited"

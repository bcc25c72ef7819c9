from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import reduce
from html.parser import HTMLParser
from operator import getitem
from unittest.mock import Mock
from xml.etree import ElementTree

import cv2
import numpy as np
import pikepdf
import pypdf
import pytest
from cxr_audit.errors import ConfigError
from cxr_audit.records import (
    FOCUS_METRICS,
    REGION_METRICS,
    CaseRecord,
    Check,
    Decision,
    FocusMetrics,
    LogitBudget,
    Masking,
    OutputBin,
    RegionFacts,
    RegionFocus,
    Trust,
    Validation,
    to_json,
)
from cxr_audit.report import Renderer
from cxr_audit.report.documents import data_folder
from cxr_audit.report.view import _budget, _prediction, case_view
from cxr_audit.report.words import BANNER, place, score, sentence
from PIL import ImageFile
from scipy.stats import binomtest

from tests.report.conftest import CARD

FORBIDDEN = (
    r"diagnos\w*",
    r"detected",
    r"confirms?",
    r"rules? out",
    r"normal",
    r"healthy",
    r"confidence",
    r"explains? why",
)


def pages(data: bytes) -> list[str]:
    return [
        re.sub(r"\s+", " ", page.extract_text()) for page in pypdf.PdfReader(io.BytesIO(data)).pages
    ]


def own_words(text: str) -> str:
    return re.sub(r'"[^"]*"', '""', text.replace(BANNER, ""))


def failed(**changes) -> CaseRecord:
    record = CaseRecord(
        "case-00c1",
        "failed",
        reason="The file ends after 1,204 of 3,145,728 bytes.",
        error="UnreadableFile",
        hint="Export it again.",
        file_sha256="e" * 64,
    )
    return replace(record, **changes)


def test_a_case_is_three_pages_and_one_of_other_maps_with_everything_that_a_reader_needs(
    renderer, make, run
):
    record, folder = make()
    first, second, third, fourth = pages(renderer.case_pdf(record, run, folder))
    for page, text in enumerate((first, second, third, fourth), 1):
        assert BANNER in text
        assert f"Page {page} of 4" in text
        assert record.case_id in text
    assert 'Model output for "PNEUMONIA": 0.71; threshold 0.50.' in first
    assert "The output is above the threshold (model card). Predicted class" in first
    assert 'The expected label is "NORMAL": they differ.' in first
    assert "The contour encloses 12 % of the radiograph (focal)." in first
    assert "image right (patient's left)" in first
    assert "29 % of the evidence lies in the outer border (19 % by area alone)." in first
    cell = "16 x 16 px of the model input = 43 x 36 px of the radiograph = 6 x 5 mm"
    assert cell.replace(" x ", " \N{MULTIPLICATION SIGN} ") in first
    own = first.index("Own reading, made before the model's output was seen")
    assert own < first.index("With the model's output in view")
    assert "Pixel Spacing is detector spacing." in first
    assert "an adult is out of population" in first
    assert "Logit budget: where the log-odds come from" in second
    for part in (
        "Inside the border +1.02",
        "Outer border (5 %) +0.19",
        "Bias \N{MINUS SIGN}0.31",
        "Logit +0.90",
    ):
        assert part in second
    assert "Expected against predicted" in fourth
    assert 'No map was computed for "NORMAL".' in fourth
    for text in (
        "c" * 64,
        "d" * 64,
        "a" * 64,
        "b" * 64,
        "PS3.3 C.11.2.1.2",
        "MONOCHROME2",
        "keras 3.15.1",
        "Seed",
    ):
        assert text in third


MODEL_CHECKS = (
    Check(
        "randomisation",
        "SSIM once no trained weight is left",
        "passed",
        0.05,
        "below 0.33, maps of different cases",
    ),
    Check(
        "deletion",
        "log-odds lost beyond a moved map (centre first: 0.59)",
        "passed",
        1.08,
        "above 0.42, 32 cases",
    ),
    Check(
        "road",
        "lowest minus highest cells imputed",
        "failed",
        0.1,
        "above 0.69, 32 cases",
        "it costs no more",
    ),
)
CASE_CHECKS = (
    Check("agreement", "lowest rank correlation", "not_run", reason="no other method on this grid"),
    Check(
        "worst_stability",
        "lowest rank correlation",
        "failed",
        0.43,
        "at least 0.80",
        "one change changes the map",
    ),
)


def test_the_trust_state_stands_on_page_1_with_its_reasons_and_every_check_on_page_2(
    renderer, make, run
):
    record, folder = make(expected="PNEUMONIA")
    first, _, _ = pages(renderer.case_pdf(record, run, folder))
    assert "Whether the map itself can be trusted was not checked in this run." in first
    trust = Trust(
        "caution", ("it costs no more", "one change changes the map", "a third reason"), CASE_CHECKS
    )
    checked = replace(run, checks=MODEL_CHECKS)
    first, second, *_ = pages(renderer.case_pdf(replace(record, trust=trust), checked, folder))
    assert (
        "Explanation checks: caution. It costs no more. One change changes the map. All of them"
        in first
    )
    assert "2 passed, 2 failed, 1 not run, and 1 more reason" in first
    assert "was not checked" not in first
    for row in (
        "Randomisation (model) passed: 0.05; below 0.33, maps of different cases (SSIM once no trained weight is left)",
        "Agreement (case) not run: no other method on this grid",
        "Worst stability (case) failed: 0.43; at least 0.80 (lowest rank correlation)",
    ):
        assert row in second
    passed = replace(record, trust=Trust("passed", (), ()))
    assert (
        "Explanation checks passed. All of them stand under Numbers: 2 passed"
        in pages(renderer.case_pdf(passed, checked, folder))[0]
    )
    assert (
        own_words(" ".join(pages(renderer.case_pdf(passed, checked, folder)))).count("confidence")
        == 0
    )


def test_a_right_answer_has_no_debug_view(renderer, make, run):
    record, folder = make(expected="PNEUMONIA")
    text = " ".join(pages(renderer.case_pdf(record, run, folder)))
    assert "Expected against predicted" not in text
    assert "The expected label is the same." in text


def test_both_classes_stand_side_by_side_when_the_answer_is_wrong(renderer, make, run):
    record, folder = make(
        maps=(("grad-cam", "PNEUMONIA"), ("grad-cam", "NORMAL"), ("layercam", "PNEUMONIA"))
    )
    text = " ".join(pages(renderer.case_pdf(record, run, folder)))
    assert 'Expected: "NORMAL", score 0.29' in text
    assert "No map was computed" not in text
    assert "All maps" in text
    assert "layercam" in text


def test_undefined_metrics_give_their_reason(renderer, make, run):
    record, folder = make()
    key = record.maps[0].key
    undefined = dict.fromkeys(FOCUS_METRICS, "the map has no positive evidence")
    record = replace(
        record,
        maps=(replace(record.maps[0], status="dead"),),
        focus={key: FocusMetrics(0.5, undefined=undefined)},
    )
    first, second, *_ = pages(renderer.case_pdf(record, run, folder))
    assert "Map is empty" in first
    assert "No focus region: the map has no positive evidence." in first
    assert second.count("All undefined: the map has no positive evidence") == 1


@pytest.mark.parametrize("status", ["failed", "excluded"])
def test_failed_and_excluded_cases_are_one_page(renderer, run, tmp_path, status):
    (text,) = pages(renderer.case_pdf(failed(status=status), run, tmp_path))
    assert f"This case {'was ' * (status == 'excluded')}{status}; " in text
    assert "1,204 of 3,145,728" in text
    assert "Export it again." in text
    assert "UnreadableFile" in text
    assert "e" * 64 in text
    assert (
        "Model card (in" not in text
    )  # how the model does elsewhere says nothing of a case without an output


CHECKS = (
    Check(
        "contrast",
        "span",
        "failed",
        0.081,
        "at least 0.15",
        "the contrast is low (0.08; expected: at least 0.15)",
    ),
    Check("clipping", "share", "passed", 0.0, "at most 0.05"),
    Check("view", "could not be checked", "not_run", reason="the file states no view"),
    Check("age", "could not be checked", "not_run", reason="the file states no age"),
)


def test_cautions_come_first_and_every_check_is_in_the_provenance(renderer, run, make):
    record, folder = make(warnings=("The contrast", "the contrast is low", "a lossy image"))
    first, _, last, *_ = pages(renderer.case_pdf(replace(record, quality=CHECKS), run, folder))
    caution = "The contrast is low (0.08; expected: at least 0.15)"
    assert first.index(caution) < first.index("A lossy image")
    assert first.count("contrast is low") == 1  # the check's reason says what the warning says
    assert caution in last
    assert "contrast 0.08 (at least 0.15)" in last
    assert "clipping 0.00 (at most 0.05)" in last
    assert "view (the file states no view), age (the file states no age)" in last


def test_without_a_caution_the_page_says_how_many_checks_there_were(renderer, run, make):
    record, folder = make(warnings=())
    first, *_ = pages(renderer.case_pdf(replace(record, quality=CHECKS[1:]), run, folder))
    assert (
        "1 of 3 checks of the input were made, all passed. Not made: view, age. Reading the radiograph"
        in first
    )


def test_an_excluded_case_is_one_page_with_its_radiograph_and_checks(renderer, run, make):
    whole, folder = make(warnings=())
    record = CaseRecord(
        whole.case_id,
        "excluded",
        reason="the contrast is low",
        hint="look at the radiograph",
        radiograph=replace(whole.radiograph, decisions=()),
        quality=CHECKS,
        pictures={"radiograph": whole.pictures["radiograph"]},
    )
    (text,) = pages(renderer.case_pdf(record, run, folder))
    assert "This case was excluded; no output of the model is given for it." in text
    assert "contrast 0.08 (at least 0.15)" in text
    assert "Model input as" not in text
    assert "Reviewer" not in text


def test_forbidden_words_are_in_no_document(renderer, make, run, tmp_path):
    right, folder = make("case-right", expected="PNEUMONIA")
    wrong, other = make("case-wrong", maps=(("grad-cam", "PNEUMONIA"), ("grad-cam", "NORMAL")))
    bare = replace(run, model=replace(run.model, card=None))
    documents = [
        renderer.case_pdf(right, run, folder),
        renderer.case_pdf(wrong, bare, other),
        renderer.case_pdf(failed(), run, tmp_path),
    ]
    for status in ("dead", "negative_only", "saturated", "not_finite"):
        case = replace(right, maps=(replace(right.maps[0], status=status, is_exact=False),))
        documents.append(renderer.case_pdf(case, run, folder))
    for document in documents:
        text = own_words(" ".join(pages(document)))
        for word in FORBIDDEN:
            assert not re.search(rf"\b{word}\b", text, re.IGNORECASE), word
        assert not re.search(
            r"\b[01]\.\d{3,}\b(?! (mm|rows|columns))",
            re.sub(r"\d+\.\d+ \N{MULTIPLICATION SIGN}", "", text),
        )


def test_the_same_records_give_the_same_bytes_in_any_process(renderer, make, run, tmp_path):
    record, folder = make()
    first = renderer.case_pdf(record, run, folder)
    assert first == renderer.case_pdf(record, run, folder)
    (tmp_path / "record.json").write_bytes(to_json(record))
    (tmp_path / "run.json").write_bytes(to_json(run))
    code = (
        "import sys, hashlib, pathlib; from cxr_audit.records import *; from cxr_audit.report import Renderer\n"
        "t = pathlib.Path(sys.argv[1]); f = pathlib.Path(sys.argv[2])\n"
        "record = from_json((t / 'record.json').read_bytes(), CaseRecord)\n"
        "run = from_json((t / 'run.json').read_bytes(), RunRecord)\n"
        "sys.stdout.buffer.write(Renderer().case_pdf(record, run, f))"
    )
    moved = folder.rename(tmp_path / "moved")
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path, moved], capture_output=True, check=True
    )
    assert done.stdout == first


def test_two_cases_with_equal_names_keep_their_own_pictures(renderer, make, run, tmp_path):
    """A shared cache would show the first case's map in the second's document."""
    embedded = []
    for name, where in (("one", (0.2, 0.2)), ("two", (0.8, 0.8))):
        record, folder = make(name, place=where)
        reader = pypdf.PdfReader(io.BytesIO(renderer.case_pdf(record, run, folder)))
        objects = [
            one.get_object()
            for page in reader.pages
            for one in page["/Resources"]["/XObject"].values()
        ]
        streams = {one._data for one in objects if one["/Subtype"] == "/Image"}
        assert streams == {
            (folder / name).read_bytes() for name in record.pictures.values()
        }  # byte for byte
        embedded.append(streams)
    overlays = embedded[0] ^ embedded[1]
    assert len(overlays) == 2


def test_archival_form(renderer, make, run):
    record, folder = make()
    reader = pypdf.PdfReader(io.BytesIO(renderer.case_pdf(record, run, folder)))
    root = reader.trailer["/Root"]
    assert root["/Lang"] == "en"
    assert root["/MarkInfo"]["/Marked"]
    assert "/StructTreeRoot" in root
    metadata = root["/Metadata"].get_object().get_data()
    assert b'pdfaid:part="3"' in metadata
    assert b'pdfaid:conformance="A"' in metadata
    assert reader.metadata.title == f"Model audit of case {record.case_id}"
    assert reader.metadata["/CreationDate"] == "D:20261121184207Z"
    assert json.loads(reader.attachments["case.json"][0]) == json.loads(to_json(record))
    assert json.loads(reader.attachments["config.json"][0]) == run.config
    values = np.load(io.BytesIO(reader.attachments["map.npz"][0]))
    assert values[record.maps[0].key].shape == (14, 14)
    figures = [one for one in _structure(root["/StructTreeRoot"]) if one.get("/S") == "/Figure"]
    assert len(figures) == 4
    assert all(one["/Alt"].startswith("The radiograph") for one in figures)
    fonts = {
        one.get_object()["/BaseFont"] for one in reader.pages[0]["/Resources"]["/Font"].values()
    }
    assert fonts
    assert all("Plex" in font for font in fonts)


def test_validators_find_no_error(renderer, make, run, tmp_path):
    """pdfua checks parts of PDF/UA-1; verapdf, where it is installed, all of it and of PDF/A-3a that a machine can."""
    pdfua = pytest.importorskip("pdfua", reason="pdfua is not installed")
    record, folder = make(maps=(("grad-cam", "PNEUMONIA"), ("grad-cam", "NORMAL")))
    path = tmp_path / "case.pdf"
    path.write_bytes(renderer.case_pdf(with_regions(record), run, folder))
    with pikepdf.open(path) as document:
        assert document.check_pdf_syntax() == []
        assert all("/EF" in one.obj for one in document.attachments.values())
        assert "/JavaScript" not in document.Root.Names
        assert "/OpenAction" not in document.Root
        streams = [one for one in document.objects if isinstance(one, pikepdf.Stream)]
        pictures = [one for one in streams if one.get("/Subtype") == "/Image"]
        assert len(pictures) == 4
        assert not any(one.get("/Interpolate", False) for one in pictures)  # ISO 19005-3, 6.2.8
        with document.open_metadata() as metadata:
            assert metadata["pdfuaid:part"] == "1"
            assert metadata["pdfaid:part"] == "3"
    assert [
        one for one in pdfua.validate(str(path)).findings if one.severity is pdfua.Severity.ERROR
    ] == []
    if (verapdf := shutil.which("verapdf")) is not None:
        for flavour in ("3a", "ua1"):
            done = subprocess.run(
                [verapdf, "--flavour", flavour, path], capture_output=True, text=True
            )
            assert done.returncode == 0, done.stdout


def _structure(node):
    node = node.get_object()
    if isinstance(node, dict):
        yield node
        kids = node.get("/K", [])
        for kid in kids if isinstance(kids, list) else [kids]:
            if not isinstance(kid, int):
                yield from _structure(kid)


@pytest.mark.parametrize("shape", [(3000, 300), (300, 3000), (60, 60)])
@pytest.mark.parametrize(("num_classes", "paper"), [(1, "a4"), (2, "letter"), (20, "a4")])
def test_extremes_keep_page_1_on_page_1(renderer, make, run, shape, num_classes, paper):
    classes = tuple(f"class {n} with a rather long name" for n in range(num_classes))
    record, folder = make(
        "x" * 90, shape, classes=classes, expected=classes[0], warnings=("many words " * 180,) * 5
    )
    run = replace(run, config={"report": {"paper": paper}})
    first, *rest = pages(renderer.case_pdf(record, run, folder))
    assert "Reviewer" in first
    assert "Date:" in first
    assert "2 more under Provenance" in first
    assert "".join(rest).count("many words") > 100


def test_a_reason_of_2000_characters(renderer, run, tmp_path):
    text = " ".join(
        pages(renderer.case_pdf(failed(reason="no space " * 222, hint="y" * 500), run, tmp_path))
    )
    assert text.lower().count("no space") == 222


def test_names_cannot_load_or_inject_anything(renderer, make, run):
    evil = '<img src="file:///etc/passwd"><style>@import "http://example.org/x.css"</style><script>alert(1)</script>'
    record, folder = make("case-evil", warnings=(evil,))
    record = replace(
        record, label=evil, radiograph=replace(record.radiograph, attributes={"Modality": evil})
    )
    data = renderer.case_pdf(record, run, folder)
    assert "file:///etc/passwd" in " ".join(pages(data))
    assert b"root:" not in data
    html = renderer.index_html([record], run)
    assert "<script>alert" not in html


def test_the_fetcher_denies_everything_else(renderer, tmp_path, make, run):
    (tmp_path / "case.css").write_text(
        'p { background: url("file:///etc/passwd") } body { color: red }'
    )
    (tmp_path / "secret.txt").write_text("secret")
    from cxr_audit.report.documents import TEMPLATE_URL, _Fetcher

    fetcher = _Fetcher(Renderer(tmp_path)._template_file, {})
    for url in (
        "file:///etc/passwd",
        "http://example.org/a.png",
        "data:image/png;base64,AAAA",
        TEMPLATE_URL + "secret.txt",
        TEMPLATE_URL + "case.html.j2",
    ):
        with pytest.raises(ValueError, match="its own pictures"):
            fetcher.fetch(url)
    for url in (
        TEMPLATE_URL + "../pyproject.css",
        TEMPLATE_URL + "%2e%2e/%2e%2e/x.css",
        TEMPLATE_URL + "/etc/x.css",
    ):
        with pytest.raises((FileNotFoundError, ValueError)):
            fetcher.fetch(url)
    assert (
        fetcher.fetch(TEMPLATE_URL + "fonts/ibm-plex-sans-latin-400-normal.woff2").read(4)
        == b"wOF2"
    )


def test_a_picture_outside_the_folder_is_refused(renderer, make, run):
    record, folder = make()
    with pytest.raises(ValueError, match="file name in the case's folder"):
        renderer.case_pdf(
            replace(record, pictures={"radiograph": "../radiograph.jpg"}), run, folder
        )


def test_a_hospital_replaces_one_template(make, run, tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "case.html.j2").write_text(
        "<!DOCTYPE html><html lang=en><title>x</title><p>Hospital {{ case_id }}"
    )
    record, folder = make()
    (text,) = pages(Renderer(tmp_path / "own").case_pdf(record, run, folder))
    assert text.startswith(f"Hospital {record.case_id}")


LOGO = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 10 10"><rect width="10" height="10" fill="#0a0"/></svg>'


def test_the_letterhead_of_the_readme_works_as_it_stands(make, run, tmp_path, renderer):
    """Its two code blocks, copied; the rest of the page stays ours."""
    readme = (data_folder("templates") / "README.md").read_text("utf-8")
    for kind, name in (("html", "letterhead.html.j2"), ("css", "letterhead.css")):
        (tmp_path / name).write_text(
            re.search(rf"```{kind}\n(.*?)```", readme, re.DOTALL)[1], "utf-8"
        )
    (tmp_path / "logo.svg").write_text(LOGO)
    record, folder = make()
    data = Renderer(tmp_path).case_pdf(record, run, folder)
    with_it, without = pages(data), pages(renderer.case_pdf(record, run, folder))
    assert (
        "St. Example Hospital, Radiology Audit of case-7f3a91c2, 2026-11-21 18:42 UTC" in with_it[0]
    )
    assert (
        with_it[0].replace(
            "St. Example Hospital, Radiology Audit of case-7f3a91c2, 2026-11-21 18:42 UTC ", ""
        )
        == without[0]
    )
    assert with_it[1:] == without[1:]
    figures = _structure(pypdf.PdfReader(io.BytesIO(data)).trailer["/Root"]["/StructTreeRoot"])
    assert "St. Example" in {one.get("/Alt") for one in figures}
    names = re.search(r"Words to use.*?: (.*)\n", readme)[1]
    view = case_view(record, run, {})
    for name in re.findall(r"`([a-z_.]+)`", names):
        assert reduce(getitem, name.split("."), view) is not None


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("leterhead.html.j2", "x", "replaces no template"),
        (
            "letterhead.html.j2",
            "<p>\n{{ hospital }}",
            "own/letterhead.html.j2, line 2: 'hospital' is undefined",
        ),
        (
            "letterhead.html.j2",
            "<p>{% if %}</p>",
            "letterhead.html.j2, line 1: Expected an expression",
        ),
        (  # the way from any object to every loaded class
            "letterhead.html.j2",
            "{{ ''.__class__.__mro__[1].__subclasses__() }}",
            "access to attribute '__class__' of 'str' object is unsafe",
        ),
    ],
)
def test_a_template_that_cannot_be_used_is_a_named_error(make, run, tmp_path, name, text, says):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / name).write_text(text)
    record, folder = make()
    with pytest.raises(ConfigError, match=says) as caught:
        Renderer(tmp_path / "own").case_pdf(record, run, folder)
    assert caught.value.hint


@pytest.mark.parametrize("shape", [(500, 600), (600, 500), (600, 200)])
def test_letter_paper(renderer, make, run, shape):
    record, folder = make(shape=shape)
    run = replace(run, config={"report": {"paper": "letter"}})
    reader = pypdf.PdfReader(io.BytesIO(renderer.case_pdf(record, run, folder)))
    assert [float(side) for side in reader.pages[0].mediabox[2:]] == [612, 792]
    assert len(reader.pages) == 4  # of a wrong answer: its maps side by side
    assert "Date:" in reader.pages[0].extract_text()


def fonts_of(data: bytes) -> set[str]:
    pages = pypdf.PdfReader(io.BytesIO(data)).pages
    return {
        font.get_object()["/BaseFont"]
        for page in pages
        for font in page["/Resources"]["/Font"].values()
    }


def test_the_bundled_font_writes_latin_greek_and_cyrillic(renderer, make, run):
    names = ("Zapalenie płuc", "Πνευμονία", "пневмония", "zatürre")
    record, folder = make(classes=names, expected=names[0])
    data = renderer.case_pdf(record, run, folder)
    assert all("Plex" in font for font in fonts_of(data))
    assert set(names) <= set(re.findall(r'"([^"]+)"', pages(data)[1]))


def test_a_character_that_no_font_has_is_written_as_its_code_point(
    make, run, tmp_path, monkeypatch
):
    """A machine without fonts: boxes would make 健康 and 肺炎 the same class to a reader. The record stays as it is."""
    (tmp_path / "fonts.conf").write_text(
        f"<fontconfig><cachedir>{tmp_path}/cache</cachedir></fontconfig>"
    )
    monkeypatch.setenv("FONTCONFIG_FILE", str(tmp_path / "fonts.conf"))
    record, folder = make("病例-1", classes=("健康", "pneumonia"), expected="健康")
    data = Renderer().case_pdf(record, run, folder)
    first, second, *_ = pages(data)
    assert "Case [U+75C5][U+4F8B]-1" in first
    assert '"[U+5065][U+5EB7]"' in second
    assert all("Plex" in font for font in fonts_of(data))
    assert (
        json.loads(pypdf.PdfReader(io.BytesIO(data)).attachments["case.json"][0])["case_id"]
        == "病例-1"
    )


def test_other_scripts_are_written(renderer, make, run):
    record, folder = make("病例-١٢٣-κ", classes=("健康", "肺炎 пневмония"), expected="健康")
    assert len(pages(renderer.case_pdf(record, run, folder))) == 4


def test_truncated_pictures_stay_refused(renderer):
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.00"), (0.001, "<0.01"), (0.7109, "0.71"), (0.996, ">0.99"), (1.0, "1.00")],
)
def test_scores_are_never_rounded_to_certainty(value, text):
    assert score(value) == text


@pytest.mark.parametrize(
    ("probability", "threshold", "words", "reached"),
    [
        (0.71, 0.319, ": 0.71; threshold 0.32.", "above the threshold (model card)"),
        (
            0.3151,
            0.319,
            ": 0.32, just below the threshold of 0.32.",
            "just below the threshold (model card): both",
        ),
        (
            0.3201,
            0.319,
            ": 0.32, just above the threshold of 0.32.",
            "just above the threshold (model card): both",
        ),
        (
            0.5,
            0.5,
            ": 0.50, at the threshold of 0.50.",
            "at the threshold (model card): both are printed as 0.50",
        ),
    ],
)
def test_an_output_that_rounds_to_the_threshold_says_its_side(
    make, probability, threshold, words, reached
):
    prediction = replace(make()[0].prediction, probability=probability, threshold=threshold)
    view = _prediction(prediction, None)
    assert words in view["sentence"]
    assert view["reached"].startswith(f"The output is {reached}")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("the file is text", "The file is text"),
        ("a.dcm is empty", "a.dcm is empty"),
        ("pH is odd", "pH is odd"),
        ("16 bits", "16 bits"),
        ("", ""),
        (None, None),
    ],
)
def test_a_sentence_begins_with_a_capital_but_a_name_stays(text, shown):
    assert sentence(text) == shown


def test_a_dicom_case_with_many_attributes_keeps_its_provenance_on_page_3(renderer, make, run):
    record, folder = make(warnings=("the image has been compressed with loss",) * 3)
    names = [f"LossyImageCompressionRatio{n}"[-26:] for n in range(13)]
    steps = tuple(
        Decision(f"step {n}", "window 1 of 1, " * 3, "PS3.3 C.11.2.1.2, " * 4) for n in range(5)
    )
    facts = replace(record.radiograph, attributes=dict.fromkeys(names, "1"), decisions=steps)
    text = pages(renderer.case_pdf(replace(record, radiograph=facts), run, folder))
    assert len(text) == 4
    assert "The image has been compressed with loss" in text[2]
    assert "Upper end: 99th percentile of the positive cells." in text[2]
    assert "Limits stated" not in text[2]
    card = replace(CARD, limits=("word " * 40,))
    text = pages(
        renderer.case_pdf(record, replace(run, model=replace(run.model, card=card)), folder)
    )
    assert "Limits stated by the model card" in text[2]  # page 1 had to clip it


@pytest.mark.parametrize("paper", ["a4", "letter"])
def test_a_dicom_case_of_many_attributes_and_decisions_is_three_pages(renderer, make, run, paper):
    record, folder = make(expected="PNEUMONIA")
    attributes = {f"LossyImageCompressionRatio{n}": "DERIVED\\PRIMARY" for n in range(24)}
    steps = tuple(
        Decision(f"step {n}", "window 1 of 1, " * 3, "PS3.3 C.11.2.1.2, " * 3) for n in range(10)
    )
    facts = replace(record.radiograph, attributes=attributes, decisions=steps)
    record = with_regions(replace(record, radiograph=facts, quality=CHECKS))
    trust = Trust("caution", ("it costs no more",), CASE_CHECKS)
    run = replace(run, checks=MODEL_CHECKS, config={"report": {"paper": paper}})
    _, _, third = pages(renderer.case_pdf(replace(record, trust=trust), run, folder))
    for text in (
        "LossyImageCompressionRatio23: DERIVED\\PRIMARY",
        "Step 9: window 1 of 1",
        "Generated as PDF/A-3a",
    ):
        assert text in third


def test_a_faint_map_has_no_contour_in_words_either(renderer, make, run):
    record, folder = make()
    first, *_, last = pages(
        renderer.case_pdf(replace(record, faint=(record.maps[0].key,)), run, folder)
    )
    assert "No contour: the map stays below a quarter of the colour scale." in first
    assert (
        "no contour is drawn around the 12 % of the radiograph where it is highest (focal)."
        in first
    )
    assert "The contour encloses" not in first
    assert "Contour: half" not in first
    assert "No contour" in last  # beside the expected class
    assert "No contour" not in " ".join(pages(renderer.case_pdf(record, run, folder)))


def test_the_ticks_of_the_colour_bar_lie_at_their_values(make, run):
    """A bar of 56 mm that ends at 0.4: a tick every 0.1 is 14 mm; the first line begins half a line above the bar."""
    record, _ = make(shape=(600, 500))
    view = case_view(record, run, {record.maps[0].key: "x"})
    assert [tick["text"] for tick in view["scale"]["ticks"]] == ["0.0", "0.1", "0.2", "0.3", "0.4"]
    assert view["bar"] == {
        "left_mm": "65.73",  # 76 mm high is 63.33 wide
        "height_mm": "56.00",
        "pitch_mm": "14.00",
        "above_mm": "-63.00",
        "below_mm": "-7.00",
    }


def test_what_is_undefined_for_all_regions_has_no_columns(renderer, make, run):
    record, folder = make()
    undefined = dict.fromkeys(REGION_METRICS, "the map has no positive part")
    focus = tuple(RegionFocus(one.name, undefined=undefined) for one in REGIONS)
    record = replace(
        with_regions(record),
        region_focus={record.maps[0].key: focus},
        controls={"lungs": {"edges": 0.3}},
    )
    second = pages(renderer.case_pdf(record, run, folder))[1]
    assert "Evidence and ratio are undefined: the map has no positive part." in second
    assert "Region (area) Log-odds" in second
    assert second.count("he map has no positive part") == 1
    assert "in parentheses what maps" not in second


def test_objects_serialised_once_are_the_same_bytes(renderer, make, run, monkeypatch):
    record, folder = make()
    quick = renderer.case_pdf(record, run, folder)
    monkeypatch.setattr("cxr_audit.report.documents._Serialised", lambda one: one)
    assert quick == renderer.case_pdf(record, run, folder)


def test_the_quick_parser_reads_the_same_page(renderer, make, run, tmp_path, monkeypatch):
    """Our pages are XML, so expat reads them; a hospital's that is not is read by WeasyPrint's own parser."""
    record, folder = make(
        maps=(("grad-cam", "PNEUMONIA"), ("grad-cam", "NORMAL"), ("layercam", "PNEUMONIA"))
    )
    record = with_regions(record)
    quick = renderer.case_pdf(record, run, folder), renderer.case_pdf(failed(), run, tmp_path)
    unused = Mock(side_effect=AssertionError("our page is not XML"))
    monkeypatch.setattr("weasyprint.tinyhtml5.parse", unused)
    renderer.case_pdf(record, run, folder)
    monkeypatch.undo()
    monkeypatch.setattr(
        "cxr_audit.report.documents.ElementTree.fromstring",
        Mock(side_effect=ElementTree.ParseError),
    )
    assert quick == (
        renderer.case_pdf(record, run, folder),
        renderer.case_pdf(failed(), run, tmp_path),
    )


@pytest.mark.parametrize(
    ("output", "words"),
    [
        (0.8, 'In "our validation", 31 cases had an output from 0.80 to 0.90, of which 24 (77 %; 95 % interval 60 % to '
         '89 %) have the label "PNEUMONIA".'),
        (1.0, 'In "our validation", 1 case had an output from 0.90 to 1.00, of which 1 (100 %; 95 % interval 21 % to '
         '100 %) have the label "PNEUMONIA".'),
        (0.7, 'In "our validation", no case with such an output was counted.'),
    ],
)  # fmt: skip
def test_what_such_an_output_meant_in_validation_cases(
    renderer, make, run, output: float, words: str
) -> None:
    """Intervals by SciPy's Wilson score interval."""
    bins = tuple(
        OutputBin(low, high, num, hits, tuple(binomtest(hits, num).proportion_ci(method="wilson")))
        for low, high, num, hits in ((0.8, 0.9, 31, 24), (0.9, 1.0, 1, 1))
    )
    record, folder = make(expected="PNEUMONIA")
    record = replace(record, prediction=replace(record.prediction, probability=output))
    for name in ("PNEUMONIA", "NORMAL"):
        card = replace(run.model.card, validation=Validation("our validation", name, bins))
        first = pages(
            renderer.case_pdf(record, replace(run, model=replace(run.model, card=card)), folder)
        )[0]
        assert (words in first) == (name == record.prediction.target_class == "PNEUMONIA")


def test_no_bar_of_the_budget_leaves_its_column():
    """Lungs are the sum of their zones, 1.0 + 1.5: the longest bar of all, from the axis to the edge."""
    parts = (
        ("right upper zone", 1.0),
        ("left upper zone", 1.5),
        ("border", -1.25),
        ("bias", -0.25),
    )
    bars = {
        row["name"]: row
        for row in _budget(LogitBudget("grad-cam", 1.0, parts, True), [parts[0][0], parts[1][0]])
    }
    assert (bars["Lungs"]["is_against"], bars["Lungs"]["width_mm"]) == (False, "14.0")
    assert (bars["Border"]["is_against"], bars["Border"]["width_mm"]) == (True, "7.0")
    assert (bars["Bias"]["is_against"], bars["Bias"]["width_mm"]) == (True, "1.4")


def test_places_in_words(make):
    facts = make()[0].radiograph
    assert place(0.1, 0.9, facts) == "upper third, image right (patient's left)"
    assert place(0.5, 0.5, facts) == "middle third, image centre"
    assert place(0.99, 0.0, replace(facts, patient_orientation=None)) == "lower third, image left"
    turned = replace(facts, patient_orientation=("R", "F"))
    assert place(0.99, 0.0, turned) == "lower third, image left (patient's left)"
    assert place(0.99, 1.0, turned) == "lower third, image right (patient's right)"


def test_the_printed_colour_bar_is_the_colour_map(renderer, make, run):
    """The colours along the printed bar, from its lower end up, are OpenCV's cividis."""
    pdfium = pytest.importorskip("pypdfium2", reason="pypdfium2 is not installed")
    record, folder = make()
    with pdfium.PdfDocument(renderer.case_pdf(record, run, folder)) as document:
        page = document[0].render(scale=200 / 72).to_numpy()[:, :, 2::-1].astype(int)
    levels = np.arange(256, dtype=np.uint8)[:, None]
    cividis = cv2.applyColorMap(levels, cv2.COLORMAP_CIVIDIS)[:, 0, ::-1].astype(int)
    bright = np.argwhere(
        np.abs(page - cividis[-1]).max(-1) < 4
    )  # of the map itself at most two thirds are seen
    top, column = bright[:, 0].min(), int(np.median(bright[:, 1]))
    height = round(
        float(case_view(record, run, {record.maps[0].key: "x"})["bar"]["height_mm"]) * 200 / 25.4
    )
    found, expected = (
        page[top : top + height, column][::-1],
        cividis[np.linspace(0, 255, height).round().astype(int)],
    )
    assert np.abs(found - expected)[5:-5].max() < 12


# ---- index


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


def test_index_links_and_loads_only_the_run_folder(renderer, make, run):
    record, _ = make("case a-ü")
    html = renderer.index_html([record, failed()], run)
    tags = Tags()
    tags.feed(html)
    links = [attrs["href"] for tag, attrs in tags.found if tag == "a"]
    assert "cases/case%20a-%C3%BC/report.pdf" in links
    assert "cases/case-00c1/case.json" in links
    images = [attrs for tag, attrs in tags.found if tag == "img" and "src" in attrs]
    assert [one["src"] for one in images] == ["cases/case%20a-%C3%BC/overlay-0.jpg"]
    assert all(one["loading"] == "lazy" for one in images)
    rows = [attrs for tag, attrs in tags.found if tag == "tr" and "data-radiograph" in attrs]
    assert [one["data-radiograph"] for one in rows] == ["cases/case%20a-%C3%BC/radiograph.jpg"]
    assert not [tag for tag, _ in tags.found if tag in ("link", "iframe", "object")]
    assert "http:" not in html
    assert "https:" not in html
    assert BANNER in html
    assert len([tag for tag, _ in tags.found if tag == "tr"]) == 3
    assert "1,204 of 3,145,728" in html
    assert "false positive" in html


def test_index_says_where_the_outcome_hides_another_class(renderer, make, run):
    """The explained class is neither the label nor what was called: a true negative, and yet wrong."""
    record, _ = make(classes=("NORMAL", "OTHER", "PNEUMONIA"), expected="OTHER")
    record = replace(record, prediction=replace(record.prediction, target_class="NORMAL"))
    html = renderer.index_html([record], run)
    assert "true negative" in html
    assert "differs from the label" in html


def test_index_of_no_cases(renderer, run):
    assert "Run kermany-test" in renderer.index_html([], run)


REGIONS = (
    RegionFacts("lungs", "lungs", "lung segmenter", 0.34, 0.93),
    RegionFacts("right upper zone", "zone", "upper third of the right lung", 0.05),
    RegionFacts("letter 1", "marker", "sharp outline", 0.004, 0.81),
    RegionFacts("border", "border", "outer 5 %", 0.19),
)


def with_regions(record: CaseRecord, **changes: object) -> CaseRecord:
    focus = (
        RegionFocus("lungs", 0.62, 0.34, 0.62 / 0.34, 0.55, True, 0.3, 0.4, 0.3, 0.4),
        RegionFocus(
            "right upper zone",
            undefined=dict.fromkeys(REGION_METRICS, "the model did not see the region"),
        ),
        RegionFocus("letter 1", 0.12, 0.004, 30.0, 0.9, False, 0.1, 0.2, 0.1, 0.2),
        RegionFocus("border", 0.1, 0.19, 0.1 / 0.19, 0.2, False, 0.1, 0.2, 0.1, 0.2),
    )
    key = record.maps[0].key
    return replace(record, regions=REGIONS, region_focus={key: focus}, **changes)


def test_page_one_says_how_much_lies_in_the_lungs_and_at_a_marker(renderer, make, run) -> None:
    record, folder = make()
    first = pages(renderer.case_pdf(with_regions(record), run, folder))[0]
    assert "62 % of the evidence lies in the lungs (34 % by area alone)." in first
    assert "12 % of it lies at a marker (letter 1; <1 % by area alone)." in first
    assert "The highest point lies" not in first  # the lungs are said by their zones


def test_page_one_names_the_regions_at_the_highest_point_and_two_markers(
    renderer, make, run
) -> None:
    record, folder = make()
    names = ("right upper zone", "elsewhere", *(f"letter {n}" for n in range(1, 6)))
    kinds = {"right upper zone": "zone", "elsewhere": "elsewhere"}
    facts = tuple(RegionFacts(name, kinds.get(name, "marker"), "by hand", 0.05) for name in names)
    share = {"letter 2": 0.2, "letter 4": 0.1, "letter 5": 0.06}
    focus = tuple(
        RegionFocus(one, share.get(one, 0.01), 0.05, 1.0, 0.5, one in names[:2], 0.1, 0.2, 0.1, 0.2)
        for one in names
    )
    parts = tuple((name, 0.25) for name in names)
    budget = LogitBudget(record.maps[0].key, 2.0, (*parts, ("bias", 0.25)), True)
    record = replace(record, regions=facts, region_focus={record.maps[0].key: focus}, budget=budget)
    first, second = pages(renderer.case_pdf(record, run, folder))[:2]
    assert "The highest point lies in or beside: right upper zone, elsewhere." in first
    assert "(letter 2; 5 % by area alone). 10 % of it lies at a marker (letter 4;" in first
    assert "Evidence also lies at 1 more marker." in first
    assert (
        "Elsewhere (5 %) 1 % 1.0 +0.25 Letter 2 (5 %) 20 % 1.0 +0.25 Letter 4 (5 %) 10 % 1.0 +0.25"
        in second
    )
    assert "3 more markers +0.75" in second
    assert "Regions as found: markers framed." not in second  # there is no picture
    second = pages(renderer.case_pdf(replace(record, budget=None), run, folder))[1]
    assert "Letter 3 (5 %)" in second  # nothing adds up the rest of the markers


def test_page_two_lists_every_region_and_why_one_is_undefined(renderer, make, run) -> None:
    record, folder = make()
    second = pages(renderer.case_pdf(with_regions(record), run, folder))[1]
    assert "Lungs (34 %) 62 % 1.8" in second
    assert "Right upper zone (5 %) undefined: the model did not see the region" in second
    assert "Letter 1 (<1 %) 12 % 30.0 Border" in second


def test_lungs_that_were_not_found_are_said_with_the_reason(renderer, make, run) -> None:
    record, folder = make()
    record = with_regions(record, lungs_missing="lungs not found: one area only, expected two")
    first, second = pages(renderer.case_pdf(record, run, folder))[:2]
    assert (
        "Lungs not found: one area only, expected two; how much of it lies in them is not known."
        in first
    )
    assert "Lungs not found One area only, expected two." in second


def masked(record: CaseRecord) -> CaseRecord:
    answers = (
        ("lungs", -2.104, -0.5, True, True),
        ("all but the lungs", 0.001, -1.25, None, False),
        *((f"letter {n}", -0.1 * n, 0.1 * n, False, n == 5) for n in range(1, 6)),
    )
    rows = [
        Masking(name, fill, record.prediction.logit + change, change, is_bad)
        for name, *changes in answers
        for fill, change, is_bad in (
            ("blurred", changes[0], changes[2]),
            ("mean", changes[1], changes[3]),
        )
    ]
    letters = tuple(
        RegionFacts(f"letter {n}", "marker", "sharp outline", 0.004) for n in range(1, 6)
    )
    missing = {"border": "the model did not see it"}
    unknown = tuple(
        RegionFocus(one.name, undefined=dict.fromkeys(REGION_METRICS, "by hand")) for one in letters
    )
    focus = {record.maps[0].key: unknown}
    return replace(
        record, regions=letters, region_focus=focus, masking=tuple(rows), masking_missing=missing
    )


def test_checks_of_the_input_have_the_unit_of_their_number(make, run) -> None:
    limits = {
        "contrast": (0.75, "at least 0.15"),
        "rotation": (4.58, "at most 25"),
        "burned_in_annotation": (5.0, "none"),
    }
    quality = tuple(
        Check(name, "", "passed", value, limit) for name, (value, limit) in limits.items()
    )
    (found,) = case_view(replace(make()[0], quality=quality), run, {})["checks"]
    assert (
        found[1]
        == "contrast 0.75 (at least 0.15), rotation 4.6° (at most 25), annotation burned in 5 (none)"
    )


def test_masking_is_told_in_words(renderer, make, run) -> None:
    record, folder = make()
    second = pages(renderer.case_pdf(masked(record), run, folder))[1]
    assert "Replacing the lungs lowers the logit by 2.10 (blurred) or 0.50 (mean)." in second
    both = "leaves the logit as it is (blurred) or lowers the logit by 1.25 (mean)."
    assert f"Replacing all but the lungs {both}" in second
    # Of five markers the three that change it most; what only one fill does is said to be so.
    assert (
        "Replacing letter 5 lowers the logit by 0.50 (blurred) or raises the logit by 0.50 (mean)"
        in second
    )
    assert "True with one of the two fills only: not marked." in second
    assert "letter 2" not in second.split("What the answer depends on")[1].split("Focus of")[0]
    assert "3 more markers change it by 0.30 or less each." in second
    assert "Border: not replaced, the model did not see it." in second
    unmoved = replace(
        record,
        masking=tuple(Masking("lungs", fill, 0.8, 0.001, False) for fill in ("blurred", "mean")),
    )
    assert (
        case_view(unmoved, run, {})["masking"]["rows"][0]["text"]
        == "Replacing the lungs leaves the logit as it is."
    )
    assert "What the answer depends on" not in pages(renderer.case_pdf(record, run, folder))[1]
    usual = {"letter 1": 0.1, "letter 2": -0.6, "letter 3": 0.3, "letter 4": -0.2, "border": 2.5}
    second = pages(renderer.case_pdf(replace(record, as_usual=usual), run, folder))[1]
    assert (
        "Replaced by the run's mean radiograph: the border raises the logit by 2.50, "
        "letter 2 lowers the logit by 0.60, letter 3 raises the logit by 0.30."
    ) in second


def test_the_controls_and_the_annotation_stand_in_the_table(renderer, make, run) -> None:
    record, folder = make()
    key = record.maps[0].key
    area = RegionFacts("annotation", "annotation", "2 boxes of the manifest", 0.1)
    record = with_regions(
        record,
        controls={
            "lungs": {"edges": 0.31, "random": 0.3, "centre": 0.334},
            "border": {"random": 0.2},
        },
    )
    one = RegionFocus("annotation", 0.4, 0.1, 4.0, 0.5, False, 0.1, 0.2, 0.1, 0.2)
    record = replace(
        record,
        regions=(*record.regions, area),
        region_focus={key: (*record.region_focus[key], one)},
        pictures={**record.pictures, "regions": "radiograph.jpg"},
    )
    first, second, third, *_ = pages(renderer.case_pdf(record, run, folder))
    assert "Evidence (controls)" in second
    assert "Lungs (34 %) 62 % (31 %, 30 %, 33 %) 1.8" in second
    assert "Border (19 %) 10 % (\N{EN DASH}, 20 %, \N{EN DASH}) 0.5 Annotation" in second
    assert "Annotation (10 %) 40 % 4.0 Log-odds" not in second
    assert "the annotation dotted" in second
    assert (
        "40 % of it lies in the annotated area (10 % by area alone), its highest point outside."
        in first
    )
    assert "2 boxes of the manifest" in third
    refused = replace(record, annotation_missing="box 1 reaches beyond the radiograph")
    assert (
        "The annotation was not used: box 1 reaches beyond"
        in pages(renderer.case_pdf(refused, run, folder))[0]
    )

"""The documents as files: bytes, archival form, what they may load, layout at extremes."""

from __future__ import annotations

import io
import itertools
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

import numpy as np
import pikepdf
import pypdf
import pytest
from cxr_audit.errors import ConfigError
from cxr_audit.records import Decision, RunRecord, Trust, case_from_json, from_json, to_json
from cxr_audit.report import Renderer
from cxr_audit.report.case_page import case_view
from cxr_audit.report.documents import data_folder
from cxr_audit.report.words import BANNER, score, sentence
from PIL import ImageFile

from tests.report.cases import (
    CASE_CHECKS,
    CHECKS,
    MODEL_CHECKS,
    failed,
    masked,
    pages,
    with_regions,
)


def test_the_same_records_give_the_same_bytes_in_any_process(renderer, make, run, tmp_path):
    record, folder = make()
    record, run = case_from_json(to_json(record)), from_json(to_json(run), RunRecord)
    first = renderer.case_pdf(record, run, folder)
    assert first == renderer.case_pdf(record, run, folder)
    (tmp_path / "record.json").write_bytes(to_json(record))
    (tmp_path / "run.json").write_bytes(to_json(run))
    code = (
        "import sys, hashlib, pathlib; from cxr_audit.records import *; from cxr_audit.report import Renderer\n"
        "t = pathlib.Path(sys.argv[1]); f = pathlib.Path(sys.argv[2])\n"
        "record = case_from_json((t / 'record.json').read_bytes())\n"
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
            (folder / name).read_bytes()
            for name in (*record.pictures.values(), *(drawn.picture for drawn in record.maps))
        }  # byte for byte
        embedded.append(streams)
    assert len(embedded[0] ^ embedded[1]) == 4  # the map and the marked picture of each


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
    assert len(figures) == 5
    assert all(one["/Alt"].startswith("The radiograph") for one in figures)
    headings = [one["/S"] for one in _structure(root["/StructTreeRoot"]) if one.get("/S") in LEVELS]
    assert headings[0] == "/H1"
    steps = [LEVELS.index(b) - LEVELS.index(a) for a, b in itertools.pairwise(headings)]
    assert max(steps) == 1  # no level is left out
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
        assert len(pictures) == 5
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


LEVELS = ("/H1", "/H2", "/H3")


def _structure(node):
    node = node.get_object()
    if isinstance(node, dict):
        yield node
        kids = node.get("/K", [])
        for kid in kids if isinstance(kids, list) else [kids]:
            if not isinstance(kid, int):
                yield from _structure(kid)


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
    from cxr_audit.report.pdf import TEMPLATE_URL, Fetcher

    fetcher = Fetcher(Renderer(tmp_path)._template_file)
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
    words = "St. Example Hospital, Radiology Audit of case-7f3a91c2, 2026-11-21 18:42 UTC"
    assert words in with_it[0]
    assert sorted(with_it[0].replace(words, "").split()) == sorted(without[0].split())
    assert with_it[1:] == without[1:]
    figures = _structure(pypdf.PdfReader(io.BytesIO(data)).trailer["/Root"]["/StructTreeRoot"])
    assert "St. Example" in {one.get("/Alt") for one in figures}
    names = re.search(r"Words to use.*?: (.*)\n", readme)[1]
    view = case_view(record, run, {})
    for name in re.findall(r"`([a-z_.]+)`", names):
        assert reduce(getitem, name.split("."), view) is not None


@pytest.mark.parametrize("paper", ["a4", "letter"])
def test_a_letterhead_leaves_page_1_on_page_1(make, run, tmp_path, paper):
    """The tallest pictures, every alert, and 10 mm above."""
    (tmp_path / "letterhead.html.j2").write_text('<p style="height: 10mm">St. Example</p>')
    record, folder = make(shape=(3000, 2000), expected="PNEUMONIA")
    trust = Trust("caution", ("it costs no more",), CASE_CHECKS)
    record = masked(replace(with_regions(record), quality=CHECKS, trust=trust))
    run = replace(run, config={"report": {"paper": paper}})
    first, *_ = pages(Renderer(tmp_path).case_pdf(record, run, folder))
    assert "St. Example" in first
    assert "Date, signature:" in first


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
    assert "Date, signature:" in reader.pages[0].extract_text()


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


@pytest.mark.parametrize("shape", [(3000, 300), (300, 3000), (60, 60), (3056, 2544)])
@pytest.mark.parametrize(("num_classes", "paper"), [(2, "letter"), (20, "a4")])
def test_extremes_keep_page_1_on_page_1_and_within_200_words(
    renderer, make, run, shape, num_classes, paper
):
    classes = tuple(f"class {n} with a rather long name" for n in range(num_classes))
    warnings = tuple(f"warning {n}, {'many words ' * 180}" for n in range(5))
    record, folder = make("x" * 90, shape, classes=classes, expected=classes[0], warnings=warnings)
    run = replace(run, config={"report": {"paper": paper}})
    first, *rest = pages(renderer.case_pdf(record, run, folder))
    assert "Reviewer" in first
    assert "Date, signature:" in first
    assert "2 more on page 2" in first
    assert "".join(rest).count("many words") > 100
    assert num_words(first) <= 200


def num_words(text: str) -> int:
    """Words, not numbers or signs."""
    return len(re.findall(r"[^\W\d_]{2,}(?:[-'][^\W\d_]+)*", text))


def test_a_page_1_with_all_it_can_have_is_within_200_words(renderer, make, run):
    record, folder = make("d7206f7a5191218c", expected="PNEUMONIA")
    trust = Trust("caution", ("it costs no more",), CASE_CHECKS)
    record = masked(replace(with_regions(record), quality=CHECKS, trust=trust))
    for language in ("en", "de"):
        first, *_ = pages(renderer.case_pdf(record, run, folder, language))
        assert num_words(first) <= 200


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
    calibration = replace(run.calibration, checks=MODEL_CHECKS)
    run = replace(run, calibration=calibration, config={"report": {"paper": paper}})
    _, _, third = pages(renderer.case_pdf(replace(record, trust=trust), run, folder))
    for text in (
        "LossyImageCompressionRatio23: DERIVED\\PRIMARY",
        "Step 9: window 1 of 1",
        "Generated as PDF/A-3a",
    ):
        assert text in third


def unpacked(data: bytes) -> list[bytes]:
    """The objects of a PDF, streams without their compression."""
    with pikepdf.open(io.BytesIO(data)) as document:
        streams = [one for one in document.objects if isinstance(one, pikepdf.Stream)]
        streams = [one for one in streams if one.get("/Type") != "/XRef"]  # of offsets
        return [
            one.read_raw_bytes() if one.get("/Filter") == "/DCTDecode" else one.read_bytes()
            for one in streams
        ]


def test_objects_serialised_once_have_the_same_content(renderer, make, run, monkeypatch):
    record, folder = make()
    quick = renderer.case_pdf(record, run, folder)
    monkeypatch.setattr("cxr_audit.report.pdf._Serialised", lambda one: one)
    slow = renderer.case_pdf(record, run, folder)
    assert unpacked(quick) == unpacked(slow)
    assert len(slow) < len(quick) < 1.02 * len(slow)


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
        "cxr_audit.report.pdf.ElementTree.fromstring",
        Mock(side_effect=ElementTree.ParseError),
    )
    assert quick == (
        renderer.case_pdf(record, run, folder),
        renderer.case_pdf(failed(), run, tmp_path),
    )


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
    assert [one["src"] for one in images] == ["cases/case%20a-%C3%BC/map-0.jpg"]
    assert all(one["loading"] == "lazy" for one in images)
    rows = [attrs for tag, attrs in tags.found if tag == "tr" and "data-radiograph" in attrs]
    assert [one["data-radiograph"] for one in rows] == ["cases/case%20a-%C3%BC/radiograph.jpg"]
    assert not [tag for tag, _ in tags.found if tag in ("link", "iframe", "object")]
    assert "http:" not in html
    assert "https:" not in html
    assert BANNER in html
    assert len([tag for tag, _ in tags.found if tag == "tr"]) == 3
    assert "1,204 of 3,145,728" in html
    assert "False positive" in html


def test_index_says_where_the_outcome_hides_another_class(renderer, make, run):
    """The explained class is neither the label nor what was called: a true negative, and yet wrong."""
    record, _ = make(classes=("NORMAL", "OTHER", "PNEUMONIA"), expected="OTHER")
    record = replace(record, prediction=replace(record.prediction, target_class="NORMAL"))
    html = renderer.index_html([record], run)
    assert "True negative" in html
    assert "differs from the label" in html


def test_index_of_no_cases(renderer, run):
    assert "Run kermany-test" in renderer.index_html([], run)

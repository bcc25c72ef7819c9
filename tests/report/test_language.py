"""The documents in another language: complete, correct in their places, and English stays English."""

from __future__ import annotations

import ast
import io
import re
import string
from dataclasses import replace
from pathlib import Path

import pypdf
import pytest
from babel.messages import Catalog
from babel.messages.pofile import read_po
from cxr_audit.config import AuditConfig
from cxr_audit.errors import ConfigError
from cxr_audit.records import Check, Flag, FlagsRecord, Probes, Trust
from cxr_audit.report import catalogue
from cxr_audit.report.case_page import case_view
from cxr_audit.report.documents import data_folder
from cxr_audit.report.language import (
    AsRecorded,
    _,
    decimals,
    joined,
    languages,
    marked_up,
    named,
    plural,
    read_language,
    said,
    spoken,
)
from cxr_audit.report.words import full_stop, number, percent, score, sentence, utc
from cxr_audit.vocabulary import message
from jinja2 import Environment
from markupsafe import escape

from tests.report.cases import CHECKS, a_case, failed, masked, pages, with_regions

BANNER = "Modell-Audit - keine Diagnose - nicht für klinische Entscheidungen"
ENGLISH_ONLY = ("compare.html.j2",)
# What a report must not say, and a sentence that says it.
FORBIDDEN = {
    r"diagnos\w*": "Die Diagnose lautet anders.",
    r"nachgewiesen\w*": "Ein Infiltrat wurde nachgewiesen.",
    r"bestätig\w*": "Das bestätigt den Befund.",
    r"schließt\b[^.]*\baus": "Die Karte schließt eine Pneumonie aus.",
    r"normal\w*": "Ein normaler Befund.",
    r"gesund\w*": "Die Lunge ist gesund.",
    r"[kc]onfidenz\w*": "Mit hoher Konfidenz.",
    r"erklärt,? warum": "Die Karte erklärt, warum.",
}


def placeholders(text: str) -> list[str]:
    """Names of the places, with their formats."""
    parts = string.Formatter().parse(text)
    return sorted(f"{name}:{spec}" for _text, name, spec, _conversion in parts if name is not None)


def problems(source: Catalog, translated: Catalog) -> list[str]:
    """What is wrong with a catalogue, in words."""
    found = [f"unused: {entry.id}" for entry in translated if entry.id and entry.id not in source]
    found += [f"obsolete: {text}" for text in translated.obsolete]
    for wanted in source:
        if wanted.id:
            found += problems_of(wanted.id, translated.get(wanted.id))
    return found


def problems_of(wanted: str | tuple[str, ...], entry) -> list[str]:
    forms = wanted if isinstance(wanted, tuple) else (wanted,)
    texts = () if entry is None else entry.string
    texts = texts if isinstance(texts, tuple) else (texts,)
    if entry is None or not all(texts) or len(texts) != len(forms):
        return [f"missing: {wanted}"]
    found = [f"fuzzy: {wanted}"] if entry.fuzzy else []
    for text in texts:
        if not set(placeholders(text)) <= set(placeholders(forms[-1])):
            found.append(f"placeholders: {text}")
        if isinstance(wanted, str) and placeholders(text) != placeholders(wanted):
            found.append(f"placeholders: {text}")
        if sorted(re.findall(r"<[^<>]*>", text)) != sorted(re.findall(r"<[^<>]*>", forms[-1])):
            found.append(f"markup: {text}")
    return list(dict.fromkeys(found))


def read(path: Path, code: str) -> Catalog:
    if not path.is_file():
        return Catalog(locale=code)
    with path.open("rb") as file:
        return read_po(file, locale=code)


TRANSLATED = [code for code, paths in languages().items() if paths]


@pytest.mark.parametrize("code", TRANSLATED)
def test_every_catalogue_has_every_message_of_its_source_and_no_other(code: str) -> None:
    found = {}
    for path, source in catalogue.catalogues(code).items():
        wrong = problems(source, read(path, code))
        if wrong:
            found[path.name] = wrong
    assert found == {}


@pytest.mark.parametrize("code", TRANSLATED)
def test_no_file_is_without_a_source(code: str) -> None:
    assert set(languages()[code]) <= set(catalogue.catalogues(code))


def test_every_fault_of_a_catalogue_is_found() -> None:
    path, source = next(iter(catalogue.catalogues("de").items()))
    faulty = read(path, "de")
    faulty["Alerts"].string = ""
    faulty["Not assessed"].flags.add("fuzzy")
    faulty["Map cell: {size} px."].string = "Kartenzelle: {groesse} px."
    faulty["<strong>Radiograph</strong> as displayed, {size}"].string = "<b>Bild</b>, {size}"
    faulty.add("nobody says this", "niemand")
    assert sorted(line.split(":")[0] for line in problems(source, faulty)) == [
        "fuzzy",
        "markup",
        "missing",
        "placeholders",
        "unused",
    ]


# ---- every word is marked

TEMPLATES = sorted(
    path.name
    for path in data_folder("templates").glob("*.html.j2")
    if path.name not in ENGLISH_ONLY
)
VIEWS = sorted(
    path
    for room in ("case_page", "run_report", "regulations")
    for path in (catalogue.ROOM / room).glob("*.py")
)


@pytest.mark.parametrize("template", TEMPLATES)
def test_no_word_of_a_template_is_outside_of_a_message(template: str) -> None:
    source = (data_folder("templates") / template).read_text("utf-8")
    source = re.sub(r"(?s)<(style|script)>.*?</\1>", "", source)
    tokens = Environment().lex(source)
    text = "".join(value for _line, kind, value in tokens if kind == "data")
    words = set(re.findall(r"[A-Za-z]{2,}", re.sub(r"<[^>]*>", "", text)))
    assert words <= {"SHA", "PDF", "cases", "csv"}


@pytest.mark.parametrize("path", VIEWS, ids=lambda path: path.stem)
def test_no_word_of_a_view_is_outside_of_a_message(path: Path) -> None:
    tree = ast.parse(path.read_text("utf-8"))
    nodes = list(ast.walk(tree))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    marked = {id(node) for call in calls if is_mark(call) for node in ast.walk(call)}
    docstrings = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    annotations = {id(node) for place in nodes for node in annotated(place)}
    known = marked | docstrings | annotations
    texts = [
        node.value
        for node in nodes
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in known
    ]
    words = {text for text in texts if re.search(r"[a-z]{3,} |[A-Z][a-z]{2,}| [a-z]{3,}", text)}
    assert {text for text in words if text not in KEYS and not is_reference(text)} == set()


def is_mark(call: ast.Call) -> bool:
    return getattr(call.func, "id", "") in catalogue.KEYWORDS


def annotated(node: ast.AST) -> list[ast.AST]:
    """The constants of annotations such as `Literal["partly"]`."""
    subscripts = [node] if isinstance(node, ast.Subscript) else []
    return [part for subscript in subscripts for part in ast.walk(subscript)]


# Keys of records, names of citations and of files.
KEYS = {
    "all but the lungs",
    "right lung",
    "left lung",
    *(
        f"{side} {height} zone"
        for side in ("right", "left")
        for height in ("upper", "middle", "lower")
    ),
    "not supplied",
    "just above",
    "just below",
    "Evidence",
    "MeanMap",
    "cases.csv: probability",
    "cases.csv: lungs_enrichment",
    "case.json: trust",
}


def is_reference(text: str) -> bool:
    """A citation of a law or standard, by its number."""
    laws = ("AI Act", "FDA", "GMLP", "MDR", "ISO", "IEC", "21 CFR", "STARD-AI")
    return text.startswith(laws)


def test_no_message_is_marked_inside_an_f_string() -> None:
    """Babel does not look into them on Python 3.11."""
    for path in sorted(catalogue.ROOM.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                calls = [part for part in ast.walk(node) if isinstance(part, ast.Call)]
                given = [call for call in calls if is_mark(call) and given_a_text(call)]
                assert given == [], (path.name, node.lineno)


def given_a_text(call: ast.Call) -> bool:
    return bool(call.args) and isinstance(call.args[0], ast.Constant)


# ---- languages


def test_a_config_knows_the_languages_that_there_are() -> None:
    schema = AuditConfig.model_json_schema()["$defs"]["Report"]["properties"]["language"]
    assert set(schema["enum"]) == set(languages())


def test_an_unknown_language_is_a_named_error() -> None:
    with pytest.raises(ConfigError, match="'fr'") as caught:
        read_language("fr")
    assert caught.value.hint == "the languages are en, de"


# ---- words and numbers


def test_numbers_and_times_are_german() -> None:
    with spoken("de"):
        assert number(-1234.5, 1) == "\N{MINUS SIGN}1234,5"
        assert number(-0.001) == "0,00"
        assert decimals(2.5, 0) == "2"
        assert [score(0.001), score(0.999), score(0.7109)] == ["<0,01", ">0,99", "0,71"]
        assert [percent(0.62), percent(0.001)] == ["62\N{NO-BREAK SPACE}%", "<1\N{NO-BREAK SPACE}%"]
        assert utc("2026-11-22T02:25:00+01:00") == "22.11.2026, 01:25 UTC"
    assert [number(-1234.5, 1), score(0.001), utc("2026-11-22T02:25:00+01:00")] == [
        "\N{MINUS SIGN}1234.5",
        "<0.01",
        "2026-11-22 01:25 UTC",
    ]


def test_plurals() -> None:
    with spoken("de"):
        texts = [plural("{num} case", "{num} cases", num) for num in (1, 2, 1200)]
    assert texts == ["1 Fall", "2 Fälle", "1.200 Fälle"]


@pytest.mark.parametrize(
    ("recorded", "english", "german"),
    [
        (
            message("focus.map_is_zero"),
            "the map is zero everywhere",
            "die Karte ist überall null",
        ),
        (
            message("flags.near_threshold", distance=0.154, limit=1.0),
            "The logit is 0.15 log-odds from that of the threshold (limit 1)",
            "Das Logit liegt 0,15 Log-Odds",
        ),
        (
            message("flags.replaced_raises", region="letter 2", change=1.24, limit=0.7),
            "With letter 2 replaced by the run's mean radiograph, the logit rises by 1.2 (limit 0.7)",
            "Buchstabe 2",
        ),
    ],
)
def test_a_message_is_rendered_with_its_values(recorded, english: str, german: str) -> None:
    assert said(recorded) == english
    with spoken("de"):
        text = said(recorded)
    assert german in text
    assert not isinstance(text, AsRecorded)


def test_a_message_inside_a_message_is_rendered_too() -> None:
    inner = message("focus.map_is_zero")
    with spoken("de"):
        assert "die Karte ist überall null" in said(message("flags.several", reasons=[inner]))


def test_a_label_of_a_metric_in_a_region_is_translated() -> None:
    with spoken("de"):
        assert named("evidence in the lungs relative to its area") == (
            "Relevanz im Verhältnis zur Fläche: Lunge"
        )
        assert named("letter 12") == "Buchstabe 12"
        assert named("Dr Who") == "Dr Who"


@pytest.mark.parametrize("text", ["measured by <hand> and by eye", "Pixel Spacing is odd."])
def test_a_sentence_of_an_older_record_stays_english_and_says_so(text: str) -> None:
    with spoken("de"):
        found = said(text)
        around = _("Threshold: {source}", source=found)
    assert found == text == said(text)
    assert isinstance(found, AsRecorded)
    escaped = text.replace("<", "&lt;").replace(">", "&gt;")
    assert found.__html__() == f'<span lang="en">{escaped}</span>'
    assert around.__html__() == f'Schwellenwert: <span lang="en">{escaped}</span>'


def test_values_of_a_template_cannot_become_markup() -> None:
    with spoken("de"):
        text = marked_up("<strong>Radiograph</strong> as displayed, {size}", size="<i>&")
    assert text == "<strong>Aufnahme</strong> wie dargestellt, &lt;i&gt;&amp;"


def test_english_is_back_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), spoken("de"):
        raise ZeroDivisionError
    assert _("Alerts") == "Alerts"


def test_only_the_recorded_part_of_a_sentence_is_marked_as_english() -> None:
    with spoken("de"):
        text = sentence(
            _("{part} replaced: {changes}.", part=said("measured by hand"), changes="x")
        )
        stopped = full_stop(said("by hand"))
    assert text.__html__() == '<span lang="en">measured by hand</span> ersetzt: x.'
    assert stopped.__html__() == '<span lang="en">By hand</span>.'


def test_what_is_joined_keeps_the_mark_of_what_is_as_recorded() -> None:
    with spoken("de"):
        text = joined(" & ", (_("yes"), said("measured by hand here")))
    assert text == "ja & measured by hand here"
    assert str(escape(text)) == 'ja &amp; <span lang="en">measured by hand here</span>'
    assert not isinstance(joined(" & ", ("a", "b")), AsRecorded)


def test_a_check_in_words_of_an_older_record_is_marked(make, run) -> None:
    checks = (
        Check("contrast", "passed", 0.5, "by a rule of old"),
        Check("view", "not_run", reason="an old one"),
    )
    with spoken("de"):
        view = case_view(replace(make()[0], quality=checks), run, {})
    assert [str(escape(words)) for _name, words in view["checks"]] == [
        'Kontrast 0,50 (<span lang="en">by a rule of old</span>)',
        'Projektion (<span lang="en">an old one</span>)',
    ]


# ---- the document


@pytest.fixture
def cases(make, run, tmp_path):
    """name -> (record, run, folder): each state, and what each can have."""
    right, folder = make("case-right", expected="PNEUMONIA", warnings=())
    wrong, other = make(
        "case-wrong",
        maps=(("grad-cam", "PNEUMONIA"), ("grad-cam", "NORMAL"), ("layercam", "PNEUMONIA")),
    )
    bare = replace(run, model=replace(run.model, card=None))
    unstable = Check("stability", "failed", 0.7, "0.90", message("focus.map_is_zero"))
    near = Flag("near_threshold", message("flags.near_threshold", distance=0.15, limit=1.0))
    flagged = masked(right)
    flagged = replace(
        flagged,
        quality=CHECKS,
        probes=Probes(
            flagged.probes.masking,
            flagged.probes.masking_missing,
            {"darker": -0.52, "brighter": 0.31},
        ),
        flags=FlagsRecord((near,), {"exposure": message("flags.brightness_not_tried")}),
        trust=Trust("caution", (message("focus.map_is_zero"),), (unstable,)),
    )
    excluded = failed(status="excluded", error=None, hint=None, reason=message("focus.map_is_zero"))
    excluded = replace(excluded, radiograph=right.radiograph, quality=CHECKS)
    found = {
        "right": (with_regions(right), run, folder),
        "flagged": (flagged, run, folder),
        "wrong": (wrong, bare, other),
        "failed": (failed(), run, tmp_path),
        "excluded": (excluded, run, tmp_path),
    }
    for status in ("dead", "negative_only", "saturated", "not_finite"):
        facts = replace(right.maps[0].facts, status=status, is_exact=False)
        found[status] = (replace(right, maps=(replace(right.maps[0], facts=facts),)), run, folder)
    return found


def own_words(text: str) -> str:
    return re.sub(r'"[^"]*"', '""', text.replace(BANNER, ""))


def test_the_german_document(renderer, cases) -> None:
    """Every state: as many pages as in English, no forbidden word, no sentence of the source."""
    source = next(iter(catalogue.catalogues("de").values()))
    english = [
        entry.id
        for entry in source
        if isinstance(entry.id, str)
        and not re.search(r"[{<]", entry.id)
        and len(entry.id.split()) > 2
    ]
    seen = ""
    for name, (record, run, folder) in cases.items():
        german = pages(renderer.case_pdf(record, run, folder, "de"))
        assert len(german) == len(pages(renderer.case_pdf(record, run, folder))), name
        text = own_words(" ".join(german))
        for word in FORBIDDEN:
            assert not re.search(rf"\b{word}", text, re.IGNORECASE), (name, word)
        assert [words for words in english if words in text] == [], name
        seen += text
    for words in (
        "Schwerpunkt: die rechte Lunge (unten) und das Mediastinum.",
        "Ausgabe nahe am Schwellenwert: Das Logit liegt 0,15 Log-Odds",
        "Nicht beurteilt: Ausgabe hängt von der Bildhelligkeit ab.",
        "Prüfungen der Erklärung: Vorsicht",
        "Stabilität (Fall): nicht bestanden 0,70",
        "Lunge ersetzt: senkt das Logit um 2,10 (weichgezeichnet) oder 0,50 (Mittelwert).",
        "Alles außer der Lunge ersetzt: ändert das Logit nicht (weichgezeichnet) oder senkt das",
        "Helligkeit: dunkleres Bild senkt das Logit um 0,52, helleres Bild erhöht das Logit um 0,31.",
        "Oberfeld rechts (5 %) nicht definiert:",
        "Dieser Fall ist fehlgeschlagen. Es gibt keine Modellausgabe für ihn.",
        "Dieser Fall wurde ausgeschlossen",
        "Lauf kermany-test, 21.11.2026, 18:42 UTC",
        "Parameter: 1.612.345",
        "Seite 1 von 3",
    ):
        assert words in seen, words


@pytest.mark.parametrize(("word", "sentence"), FORBIDDEN.items())
def test_a_forbidden_word_would_be_seen(word: str, sentence: str) -> None:
    assert re.search(rf"\b{word}", own_words(sentence), re.IGNORECASE)


@pytest.mark.parametrize("path", languages()["de"], ids=lambda path: path.stem)
def test_no_message_has_a_forbidden_word(path: Path) -> None:
    for entry in read(path, "de"):
        for text in entry.string if isinstance(entry.string, tuple) else (entry.string,):
            found = [w for w in FORBIDDEN if re.search(rf"\b{w}", own_words(text), re.IGNORECASE)]
            assert found == [], text


def language_of(document: bytes) -> str:
    return str(pypdf.PdfReader(io.BytesIO(document)).trailer["/Root"]["/Lang"])


def test_the_document_says_its_language(renderer, cases) -> None:
    record, run, folder = cases["right"]
    german = replace(run, config={"report": {"language": "de"}})
    data = renderer.case_pdf(record, german, folder)
    assert language_of(data) == "de"
    assert renderer.case_pdf(record, german, folder) == data
    assert language_of(renderer.case_pdf(record, german, folder, "en")) == "en"


def test_the_index_is_german(renderer, run) -> None:
    html = renderer.index_html([a_case("a", "P", 0.9), failed()], run, "de")
    assert '<html lang="de">' in html
    for words in (
        "Richtig positiv",
        "Fehlgeschlagen (Fehler)",
        "Fälle filtern",
        "Weitere Fälle zeigen",
    ):
        assert words in html
    text = re.sub(r"(?s)<(style|script)>.*?</\1>|<[^>]*>", " ", html)
    for word in (" of ", " the ", " with ", "Cases", "Show"):
        assert word not in text.replace(failed().reason, ""), word

"""The case PDF in another language: complete, correct in its places, and English stays English."""

from __future__ import annotations

import ast
import io
import re
import string
from dataclasses import replace

import pypdf
import pytest
from babel.messages import Catalog
from babel.messages.pofile import read_po
from cxr_audit.config import AuditConfig
from cxr_audit.errors import ConfigError
from cxr_audit.records import CaseRecord, Check, Flag, Prediction, Trust
from cxr_audit.report.documents import data_folder
from cxr_audit.report.language import (
    AsRecorded,
    _,
    decimals,
    joined,
    languages,
    marked_up,
    plural,
    read_language,
    said,
    spoken,
)
from cxr_audit.report.messages import (
    KEYWORDS,
    PACKAGE,
    TEMPLATES,
    catalogue,
    given,
    marked,
    sentences,
)
from cxr_audit.report.view import case_view
from cxr_audit.report.words import number, percent, score, sentence, utc
from jinja2 import Environment
from markupsafe import escape

from tests.report.test_documents import CHECKS, failed, masked, pages, with_regions

BANNER = "Modell-Audit - keine Diagnose - nicht für klinische Entscheidungen"
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
    """Names and numbers of the places; those without a number are counted."""
    names = [
        name
        for _text, name, _format, _conversion in string.Formatter().parse(text)
        if name is not None
    ]
    return sorted(name or str(n) for n, name in enumerate(names))


def problems(source: Catalog, translated: Catalog) -> list[str]:
    """What is wrong with a catalogue, in words."""
    found = [f"unused: {one.id}" for one in translated if one.id and one.id not in source]
    found += [f"obsolete: {one}" for one in translated.obsolete]
    for message in source:
        one = translated.get(message.id)
        if not message.id:
            continue
        ids = message.id if isinstance(message.id, tuple) else (message.id,)
        texts = (
            () if one is None else one.string if isinstance(one.string, tuple) else (one.string,)
        )
        if one is None or not all(texts) or len(texts) != len(ids):
            found.append(f"missing: {message.id}")
            continue
        if one.fuzzy:
            found.append(f"fuzzy: {message.id}")
        for text in texts:
            if placeholders(text) != placeholders(ids[-1]):
                found.append(f"placeholders: {text}")
            if sorted(re.findall(r"<[^<>]*>", text)) != sorted(re.findall(r"<[^<>]*>", ids[-1])):
                found.append(f"markup: {text}")
    return found


@pytest.fixture(scope="module")
def source() -> Catalog:
    return catalogue()


def translated(code: str) -> Catalog:
    return read_po(io.BytesIO(languages()[code].read_bytes()), locale=code)


@pytest.mark.parametrize("code", [code for code, path in languages().items() if path])
def test_a_catalogue_has_every_message_of_the_source_and_no_other(
    source: Catalog, code: str
) -> None:
    assert problems(source, translated(code)) == []


def test_every_fault_of_a_catalogue_is_found(source: Catalog) -> None:
    faulty = translated("de")
    faulty["Lungs not found"].string = ""
    faulty["Nothing is drawn."].flags.add("fuzzy")
    faulty["One cell = {size}."].string = "Eine Zelle = {groesse}."
    faulty["letter {}"].string = "Buchstabe"
    faulty[
        "<strong>Model input</strong> as the model saw it, no overlay"
    ].string = "<b>Modelleingabe</b>"
    faulty.add("nobody says this", "niemand")
    assert sorted(line.split(":")[0] for line in problems(source, faulty)) == [
        "fuzzy",
        "markup",
        "missing",
        "placeholders",
        "placeholders",
        "unused",
    ]


@pytest.mark.parametrize("template", TEMPLATES)
def test_no_word_of_a_template_is_outside_of_a_message(template: str) -> None:
    tokens = Environment().lex((data_folder("templates") / template).read_text("utf-8"))
    text = "".join(value for _line, kind, value in tokens if kind == "data")
    assert set(re.findall(r"[A-Za-z]{2,}", re.sub(r"<[^>]*>", "", text))) <= {"SHA"}


@pytest.mark.parametrize("module", ["view", "provenance"])
def test_no_word_of_a_view_is_outside_of_a_message(module: str) -> None:
    tree = ast.parse((PACKAGE / "report" / f"{module}.py").read_text("utf-8"))
    calls = [
        one
        for one in ast.walk(tree)
        if isinstance(one, ast.Call) and getattr(one.func, "id", "") in KEYWORDS
    ]
    marked = {id(one) for call in calls for one in ast.walk(call)}
    docstrings = {id(one.value) for one in ast.walk(tree) if isinstance(one, ast.Expr)}
    texts = [
        one.value
        for one in ast.walk(tree)
        if isinstance(one, ast.Constant)
        and isinstance(one.value, str)
        and id(one) not in marked | docstrings
    ]
    words = {text for text in texts if re.search(r"[a-z]{3,} |[A-Z][a-z]{2,}| [a-z]{3,}", text)}
    assert words <= {
        "all but the lungs",
        "just ",
        "lungs not found: ",
    }  # keys, and a beginning that is cut off


def test_a_config_knows_the_languages_that_there_are() -> None:
    schema = AuditConfig.model_json_schema()["$defs"]["Report"]["properties"]["language"]
    assert set(schema["enum"]) == set(languages())


def test_an_unknown_language_is_a_named_error() -> None:
    with pytest.raises(ConfigError, match="'fr'") as caught:
        read_language("fr")
    assert caught.value.hint == "the languages are en, de"


# ---- what messages are read from the source


def test_sentences_of_a_room() -> None:
    room = '''
"""A docstring is no message."""
WORDS = {"a_key": "the first sentence", "b": "one"}
def rule(n, name):
    """Nor is this."""
    if n < 0:
        raise ValueError("nor what stops the run")
    tail = ", 2 standard errors"
    return f"{n} case{'s' if n > 1 else ''} of {name:.2f}" + "; and another one"
'''
    assert list(sentences(room, None)) == [
        "the first sentence",
        "{} cases of {}",
        "{} case of {}",
        "and another one",
    ]
    assert list(sentences(room, ("WORDS",))) == ["the first sentence", "one"]


def test_what_is_marked_in_a_module() -> None:
    module = """
title = N_("a title")
words = f"{_('or')} {_(title)}" + plural("one", "many", 2, name="no message")
"""
    assert list(marked(module)) == ["a title", "or", ("one", "many")]


def test_what_is_given_to_calls() -> None:
    room = """
notes.warn("an odd header" if odd else f"{n} odd headers")
raise UnreadableFile("cut short", COPY_AGAIN)
decisions.append(Decision("grey scale", "as it is"))
"""
    assert list(given(room)) == ["an odd header", "{} odd headers", "cut short"]


def test_every_sentence_of_the_rooms_is_found_again_with_its_values(source: Catalog) -> None:
    """No pattern takes what belongs to another."""
    german = translated("de")
    with spoken("de"):
        for one in source:
            if isinstance(one.id, str) and "{}" in one.id:
                values = [str(7 + n) for n in range(one.id.count("{}"))]
                assert said(one.id.format(*values)) == german[one.id].string.format(*values)


# ---- words and numbers


def test_numbers_and_times_are_german() -> None:
    with spoken("de"):
        assert [number(-1234.5, 1), number(-0.001), decimals(2.5, 0)] == [
            "\N{MINUS SIGN}1234,5",
            "0,00",
            "2",
        ]
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
        one, two = (
            plural(", and {num} more reason", ", and {num} more reasons", num) for num in (1, 2)
        )
    assert (one, two) == (", und 1 weiterer Grund", ", und 2 weitere Gründe")


@pytest.mark.parametrize(
    ("recorded", "german"),
    [
        ("the map is zero everywhere", "die Karte ist überall null"),
        (
            "62 % of the positive evidence lies in the lungs, 0.8 times their share of the area; limit 1",
            "62 % der positiven Relevanz liegen in der Lunge, das 0,8-Fache ihres Flächenanteils; Grenze 1",
        ),
        (
            "letter 2 replaced by the run's mean radiograph lowers the logit by 1.2; limit 0.7; "
            "12 % of the positive evidence lies at border, 3.1 times its share of the area; limits 10 % and 2 times",
            "Buchstabe 2 ersetzt durch das mittlere Röntgenbild des Laufs: Logit sinkt um 1,2; Grenze 0,7; "
            "Rand: 12 % der positiven Relevanz, das 3,1-Fache des Flächenanteils; Grenzen 10 % und das 2-Fache",
        ),
        (
            "the contrast is low (0.08; expected: at least 0.15)",
            "der Kontrast ist gering (0,08; erwartet: mindestens 0,15)",
        ),
        (
            "lungs not found: the right one is cut off at the upper edge of the image",
            "Lunge nicht gefunden: die Fläche rechts ist am Bildrand oben abgeschnitten",
        ),
        (
            "Pixel Spacing is zero or invalid and was ignored",
            "Pixel Spacing ist null oder ungültig und wurde ignoriert",
        ),
        (
            "the modality is MG, mammography; expected CR or DX",
            "die Modalität ist MG, Mammographie; erwartet CR oder DX",
        ),
    ],
)
def test_a_recorded_sentence_is_translated_with_its_values(recorded: str, german: str) -> None:
    with spoken("de"):
        assert said(recorded) == german
    assert said(recorded) == recorded


@pytest.mark.parametrize(
    "text", ["measured by <hand> and by eye", "at least as far as we know", "Pixel Spacing is odd."]
)
def test_what_is_not_known_stays_english_and_says_so(text: str) -> None:
    with spoken("de"):
        found = said(text)
        around = _("No focus region: {reason}.", reason=found)
    assert found == text
    assert isinstance(found, AsRecorded)
    escaped = text.replace("<", "&lt;").replace(">", "&gt;")
    assert found.__html__() == f'<span lang="en">{escaped}</span>'
    assert around.__html__() == f'Kein Fokusbereich: <span lang="en">{escaped}</span>.'


def test_values_of_a_template_cannot_become_markup() -> None:
    with spoken("de"):
        assert marked_up(
            "<strong>{method} for {name}</strong>, layer {layer}", method="<i>", name="a", layer="&"
        ) == ("<strong>&lt;i&gt; für a</strong>, Schicht &amp;")


def test_english_is_back_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), spoken("de"):
        raise ZeroDivisionError
    assert _("Lungs not found") == "Lungs not found"


# ---- the document


@pytest.fixture
def cases(make, run, tmp_path):
    """name -> (record, run, folder): each state, and what each can have."""
    right, folder = make("case-right", expected="PNEUMONIA", warnings=("not a frontal view",))
    wrong, other = make(
        "case-wrong",
        maps=(("grad-cam", "PNEUMONIA"), ("grad-cam", "NORMAL"), ("layercam", "PNEUMONIA")),
    )
    bare = replace(run, model=replace(run.model, card=None))
    unstable = Check(
        *(
            "stability",
            "mean rank correlation under 4 small changes of the input",
            "failed",
            0.7,
            "at least 0.90",
        ),
        reason="small changes of the input change the map",
    )
    flagged = replace(
        masked(right),
        quality=CHECKS,
        exposure={"darker": -0.52, "brighter": 0.31},
        flags=(Flag("near_threshold", "The logit is 0.15 log-odds from the threshold's; limit 1"),),
        flags_undefined={"exposure": "the radiograph was not tried darker and brighter"},
        trust=Trust("caution", (str(unstable.reason),), (unstable,)),
    )
    found = {
        "right": (with_regions(right), run, folder),
        "flagged": (flagged, run, folder),
        "wrong": (wrong, bare, other),
        "failed": (
            failed(reason="the image is cut short", hint="Copy it again from its origin."),
            run,
            tmp_path,
        ),
        "excluded": (
            replace(
                failed(status="excluded", error=None, hint=None, reason="the contrast is low"),
                radiograph=right.radiograph,
                quality=CHECKS,
            ),
            run,
            tmp_path,
        ),
    }
    for status in ("dead", "negative_only", "saturated", "not_finite"):
        found[status] = (
            replace(right, maps=(replace(right.maps[0], status=status, is_exact=False),)),
            run,
            folder,
        )
    return found


def own_words(text: str) -> str:
    return re.sub(r'"[^"]*"', '""', text.replace(BANNER, ""))


def test_the_german_document(renderer, cases, source) -> None:
    """Every state: as many pages as in English, no forbidden word, no whole sentence of the source."""
    english = [
        one.id
        for one in source
        if isinstance(one.id, str)
        and "{" not in one.id
        and "<" not in one.id
        and len(one.id.split()) > 2
    ]
    seen = ""
    for name, (record, run, folder) in cases.items():
        german = pages(renderer.case_pdf(record, run, folder, "de"))
        assert len(german) == len(pages(renderer.case_pdf(record, run, folder))), name
        text = own_words(" ".join(german))
        for word in FORBIDDEN:
            assert not re.search(rf"\b{word}", text, re.IGNORECASE), (name, word)
        assert [one for one in english if one in text and one not in ("SOP Instance UID",)] == [], (
            name
        )
        seen += text
    for words in (
        "62 % der Relevanz liegen in der Lunge (nach Fläche 34 %).",
        "12 % davon liegen an Buchstabe 1 (Marker; nach Fläche <1 %).",
        "Schwellenwertnähe. Das Logit liegt 0,15 Log-Odds vom Schwellenwert entfernt; Grenze 1.",
        "Nicht beurteilt: Belichtung zählt; Gründe unter Herkunft.",
        "Nicht beurteilte Hinweise Belichtung zählt: die Aufnahme wurde nicht dunkler und heller geprüft",
        "Prüfungen der Erklärung: Vorsicht. Kleine Änderungen der Eingabe ändern die Karte.",
        "Alle stehen unter Zahlen: 1 nicht bestanden.",
        "Stabilität (Fall) nicht bestanden: 0,70; mindestens 0,90 (mittlere Rangkorrelation bei 4 kleinen Änderungen)",
        "Lunge ersetzt: senkt das Logit um 2,10 (weichgezeichnet) oder 0,50 (Mittelwert).",
        "Alles außer der Lunge ersetzt: lässt das Logit, wie es ist (weichgezeichnet) oder senkt das Logit um 1,25",
        "Ganze Aufnahme verändert: dunkler senkt das Logit um 0,52, heller erhöht das Logit um 0,31.",
        "Der Kontrast ist gering (0,08; erwartet: mindestens 0,15)",
        "Keine frontale Projektion",
        "Oberfeld rechts (5 %) nicht definiert: das Modell hat die Region nicht gesehen",
        "Dieser Fall ist fehlgeschlagen; das Modell hat keine Ausgabe berechnet. Das Bild ist abgeschnitten",
        "Was zu tun ist: Kopieren Sie die Datei erneut aus der Quelle.",
        "Dieser Fall wurde ausgeschlossen",
        "Lauf kermany-test, 21.11.2026, 18:42 UTC",
        "Parameter: 1.612.345",
        "Seite 1 von 3",
    ):
        assert words in seen, words


@pytest.mark.parametrize(("word", "sentence"), FORBIDDEN.items())
def test_a_forbidden_word_would_be_seen(word: str, sentence: str) -> None:
    assert re.search(rf"\b{word}", own_words(sentence), re.IGNORECASE)


def test_no_message_has_a_forbidden_word() -> None:
    for one in translated("de"):
        for text in one.string if isinstance(one.string, tuple) else (one.string,):
            assert not [
                word
                for word in FORBIDDEN
                if re.search(rf"\b{word}", own_words(text), re.IGNORECASE)
            ], text


def test_the_document_says_its_language(renderer, cases) -> None:
    record, run, folder = cases["right"]
    in_german = replace(run, config={"report": {"language": "de"}})
    data = renderer.case_pdf(record, in_german, folder)
    reader = pypdf.PdfReader(io.BytesIO(data))
    assert reader.trailer["/Root"]["/Lang"] == "de"
    assert reader.metadata.title == "Modell-Audit des Falls case-right"
    assert renderer.case_pdf(record, in_german, folder) == data
    assert (
        pypdf.PdfReader(io.BytesIO(renderer.case_pdf(record, in_german, folder, "en"))).trailer[
            "/Root"
        ]["/Lang"]
        == "en"
    )


@pytest.mark.parametrize("paper", ["a4", "letter"])
def test_extremes_keep_page_1_on_page_1(renderer, make, run, paper) -> None:
    classes = tuple(f"class {n} with a rather long name" for n in range(2))
    record, folder = make(
        "x" * 90,
        (3000, 300),
        classes=classes,
        expected=classes[0],
        warnings=("many words " * 180,) * 5,
    )
    run = replace(run, config={"report": {"paper": paper, "language": "de"}})
    first, *_rest = pages(renderer.case_pdf(record, run, folder))
    assert "Datum:" in first
    assert "2 weitere unter Herkunft" in first


@pytest.mark.parametrize(
    ("probability", "words"),
    [
        (0.71, 'Modellausgabe für "PNEUMONIA": 0,71; Schwellenwert 0,32.'),
        (0.3151, 'Modellausgabe für "PNEUMONIA": 0,32, knapp unter dem Schwellenwert von 0,32.'),
        (0.319, 'Modellausgabe für "PNEUMONIA": 0,32, genau am Schwellenwert von 0,32.'),
    ],
)
def test_the_output_and_its_threshold(make, run, probability: float, words: str) -> None:
    record: CaseRecord = make()[0]
    prediction: Prediction = replace(record.prediction, probability=probability, threshold=0.319)
    with spoken("de"):
        assert (
            case_view(replace(record, prediction=prediction), run, {})["prediction"]["sentence"]
            == words
        )


def test_only_the_recorded_part_of_a_sentence_is_marked_as_english() -> None:
    with spoken("de"):
        text = sentence(
            _("Replacing {part} {changes}.", part=said("measured by hand here"), changes="x")
        )
    assert text is not None
    assert text.__html__() == '<span lang="en">measured by hand here</span> ersetzt: x.'


def test_what_is_joined_keeps_the_mark_of_what_is_as_recorded() -> None:
    with spoken("de"):
        text = joined(" & ", (_("yes"), said("measured by hand here")))
    assert text == "ja & measured by hand here"
    assert str(escape(text)) == 'ja &amp; <span lang="en">measured by hand here</span>'
    assert not isinstance(joined(" & ", ("a", "b")), AsRecorded)


def test_a_check_of_the_input_in_words_that_no_catalogue_has_is_marked(make, run) -> None:
    checks = (
        Check("contrast", "", "passed", 0.5, "by a rule of old"),
        Check("view", "", "not_run", reason="an old one"),
    )
    with spoken("de"):
        view = case_view(replace(make()[0], quality=checks), run, {})
    assert [str(escape(words)) for _name, words in view["checks"]] == [
        'Kontrast 0,50 (<span lang="en">by a rule of old</span>)',
        'Projektion (<span lang="en">an old one</span>)',
    ]

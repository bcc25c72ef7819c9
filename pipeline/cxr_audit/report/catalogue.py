"""Source -> the messages that catalogues translate; `make messages` renews the catalogues.

Three kinds, a file a language each: what the documents say (marked with `_`, `N_`, `plural` in this
room and in the templates, extracted by Babel), the labels and definitions of the vocabulary, and
the messages of each room.
"""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages import Catalog
from babel.messages.extract import extract, extract_from_dir
from babel.messages.pofile import read_po, write_po

from cxr_audit.report.documents import data_folder
from cxr_audit.report.language import FOLDER, SOURCE, languages
from cxr_audit.vocabulary import MASKING_NUMBERS, PURPOSES, RUN_METRICS, Plural
from cxr_audit.vocabulary.messages import rooms
from cxr_audit.vocabulary.plugins import TABLES
from cxr_audit.vocabulary.registry import OWN_PACKAGE

ROOM = Path(__file__).parent
KEYWORDS = {"_": None, "N_": None, "plural": (1, 2)}
VOCABULARY = "vocabulary"
HEADER = """# cxr-audit: {name} in {language}. Renewed by `make messages`.
msgid ""
msgstr ""
"Project-Id-Version: cxr-audit\\n"
"Language: {language}\\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=utf-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"""

Messages = Iterator[tuple[str | tuple[str, ...], str]]


def catalogues(language: str) -> dict[Path, Catalog]:
    """What each catalogue of a language has to translate, by its path."""
    folder = FOLDER / language
    found = {
        FOLDER / f"{language}.po": _catalogue(_of_documents()),
        folder / f"{VOCABULARY}.po": _catalogue(_of_vocabulary()),
    }
    for room, messages in rooms():
        forms = [_forms(template) for template in messages.values()]
        if forms:
            where = f"pipeline/cxr_audit/vocabulary/messages/{room}.py"
            found[folder / f"{room}.po"] = _catalogue((form, where) for form in forms)
    return found


def _catalogue(messages: Messages) -> Catalog:
    catalogue = Catalog(project="cxr-audit", charset="utf-8")
    for message, where in messages:
        # "95 % interval" is no %-format, which Babel takes it for.
        catalogue.add(message, locations=[(where, 1)]).flags.clear()
    return catalogue


def _of_documents() -> Messages:
    """What modules of this room and templates mark."""
    for name, _line, message, _comments, _context in extract_from_dir(
        ROOM, method_map=[("**.py", "python")], keywords=KEYWORDS, comment_tags=()
    ):
        yield message, f"pipeline/cxr_audit/report/{name}"
    folder = data_folder("templates")
    for path in sorted(folder.glob("*.j2")):
        with path.open("rb") as file:
            for _line, message, _comments, _context in extract(
                "jinja2.ext:babel_extract", file, KEYWORDS
            ):
                yield message, f"templates/{path.name}"


def _of_vocabulary() -> Messages:
    """Labels, definitions and words of the rows that ship."""
    for table in (*TABLES, RUN_METRICS, MASKING_NUMBERS, PURPOSES):
        for row in table:
            if row.package != OWN_PACKAGE:
                continue
            for text in (row.label, row.definition, *getattr(row, "words", ())):
                yield text, f"vocabulary: {table.kind}"


def _forms(template: str | Plural) -> str | tuple[str, ...]:
    return (template.one, template.many) if isinstance(template, Plural) else template


def main() -> None:
    """Bring every catalogue up to date: what is new is empty, what is gone stands at the end."""
    for language in languages():
        if language == SOURCE:
            continue
        for path, source in catalogues(language).items():
            _renew(path, source, language)


def _renew(path: Path, source: Catalog, language: str) -> None:
    header = HEADER.format(name=path.stem, language=language).encode()
    text = path.read_bytes() if path.is_file() else header
    known = read_po(BytesIO(text), locale=language)
    known.update(source, no_fuzzy_matching=True)
    for entry in known:
        entry.flags.discard("python-format")
    # The header without the date and the version that Babel would write.
    header, _, _ = text.partition(b"\n\n")
    body = BytesIO()
    write_po(body, known, width=100, omit_header=True, include_lineno=False)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(header.rstrip() + b"\n\n" + body.getvalue())


if __name__ == "__main__":
    main()

"""Source -> the messages that a catalogue translates; `python -m cxr_audit.report.messages` renews the catalogues.

Messages are marked (`_`, `N_`, `plural`) in this room and in the templates of the case PDF. The sentences of a record
are not marked where they are made, in rooms that know nothing of languages: `SENTENCES` names the modules whose texts
are read there, or the functions and constants in them, `CALLS` what is given a text that ends in a record. An f-string
becomes a message with a `{}` for each value; one that chooses between two words becomes two messages.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from io import BytesIO
from itertools import product
from pathlib import Path

from babel.messages import Catalog
from babel.messages.pofile import read_po, write_po
from jinja2.ext import babel_extract

from cxr_audit.report.documents import data_folder
from cxr_audit.report.language import languages

PACKAGE = Path(__file__).parents[1]
KEYWORDS = ("_", "N_", "plural")
TEMPLATES = ("case.html.j2", "reviewer.html.j2")
# Module -> functions and constants in it; None = all of it.
SENTENCES: dict[str, tuple[str, ...] | None] = {
    "glossary.py": ("FLAG_WORDS",),
    "verdict.py": None,
    "quality.py": None,
    "focus.py": None,
    "trust/checks.py": None,
    "trust/masking.py": None,
    "trust/randomisation.py": None,
    "trust/state.py": None,
    "regions/__init__.py": None,
    "regions/lungs.py": ("find_lungs", "_implausible"),
    "regions/markers.py": ("find_markers",),
    "regions/zones.py": ("find_zones",),
    "classifier/classifier.py": ("scalar", "predict"),
    "explain/explain.py": ("_cams", "_fused", "_probe"),
    "audit/run.py": ("calibrate",),
    "audit/batch.py": None,
    "audit/case.py": ("describe",),
    "ingest/annotations.py": ("read_annotation",),
    "ingest/decoding.py": ("COPY_AGAIN", "EXPORT_PLAIN"),
    "ingest/dicom.py": ("ALMOST_RADIOGRAPHY", "OTHER_MODALITIES"),
    "ingest/reading.py": ("read", "_file_error", "_not_a_format", "OTHER_IMAGES", "OTHER_FILES"),
}
CALLS = {
    "warn",
    "UnreadableFile",
    "NotARadiograph",
    "UnsupportedRadiograph",
    "UnusableAnnotation",
    "NotRetrieved",
}
CALLS |= {"append", "_TryAgain"}
CALLS_IN = "ingest/*.py"


def catalogue() -> Catalog:
    """Every message of the source, each with the files that it comes from."""
    found = Catalog(project="cxr-audit", charset="utf-8")
    for path, message in _messages():
        found.add(message, locations=[(path, 1)]).flags.clear()  # "95 % interval" is no %-format
    return found


def _messages() -> Iterator[tuple[str, str | tuple[str, ...]]]:
    for path in sorted((PACKAGE / "report").glob("*.py")):
        for message in marked(path.read_text("utf-8")):
            yield f"pipeline/cxr_audit/report/{path.name}", message
    for name in TEMPLATES:
        with (data_folder("templates") / name).open("rb") as file:
            for _line, _keyword, texts, _comments in babel_extract(file, KEYWORDS, (), {}):
                yield f"templates/{name}", _message(texts if isinstance(texts, tuple) else (texts,))
    for module, parts in SENTENCES.items():
        for message in sentences((PACKAGE / module).read_text("utf-8"), parts):
            yield f"pipeline/cxr_audit/{module}", message
    for path in sorted(PACKAGE.glob(CALLS_IN)):
        for message in given(path.read_text("utf-8")):
            yield f"pipeline/cxr_audit/{path.parent.name}/{path.name}", message


def marked(source: str) -> Iterator[str | tuple[str, ...]]:
    """The messages of a module: one, or singular and plural. None where a call is given a name. Not by Babel, which
    on Python 3.11 does not look into f-strings."""
    calls = [
        one
        for one in ast.walk(ast.parse(source))
        if isinstance(one, ast.Call) and _name(one) in KEYWORDS
    ]
    for call in sorted(calls, key=lambda one: (one.lineno, one.col_offset)):
        texts = [one.value if isinstance(one, ast.Constant) else None for one in call.args]
        if any(texts):
            yield _message(texts)


def _message(texts: Iterable[object]) -> str | tuple[str, ...]:
    """Of a call's arguments those that are text."""
    found = tuple(one for one in texts if isinstance(one, str))
    return found[0] if len(found) == 1 else found


def sentences(source: str, parts: tuple[str, ...] | None) -> Iterator[str]:
    """The texts of a module, or of some functions and constants in it, that are no docstring and no other error."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Module) if parts is None else _name(node) in parts:
            yield from _texts(node, 1 if isinstance(node, ast.Assign | ast.AnnAssign) else 2)


def given(source: str) -> Iterator[str]:
    """The texts that a module gives to `CALLS`, also by the name of a constant."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node) in CALLS:
            for argument in node.args:
                if not isinstance(argument, ast.Call):
                    yield from _texts(argument)


def _name(node: ast.AST) -> str | None:
    match node:
        case ast.FunctionDef(name=name):
            return name
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            return name
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name
    return None


def _texts(node: ast.AST, least_words: int = 2) -> Iterator[str]:
    """What reads as words; a fragment that stands behind another begins with a mark."""
    match node:
        case ast.Raise() | ast.Expr(value=ast.Constant()) | ast.Subscript():
            return
        case ast.Dict(values=values):
            for value in values:
                yield from _texts(value, least_words)
            return
        case ast.Constant(value=str(text)):
            found = [text]
        case ast.JoinedStr():
            found = list(_expanded(node))
        case _:
            for child in ast.iter_child_nodes(node):
                yield from _texts(child, least_words)
            return
    for text in found:
        text = text.removeprefix("; ").removesuffix("; ")
        is_whole = text == text.strip() and text[:1] not in ",;("
        if is_whole and len(text.split()) >= least_words and re.search("[a-z]{2}", text):
            yield text


def _expanded(node: ast.JoinedStr) -> Iterator[str]:
    """An f-string with `{}` for its values, once for each choice between words that it makes."""
    parts: list[list[str]] = []
    for value in node.values:
        match value:
            case ast.Constant(value=str(text)):
                parts.append([text])
            case ast.FormattedValue(
                value=ast.IfExp(
                    body=ast.Constant(value=str(one)), orelse=ast.Constant(value=str(other))
                )
            ):
                parts.append([one, other])
            case _:
                parts.append(["{}"])
    yield from ("".join(one) for one in product(*parts))


def main() -> None:
    """Bring every catalogue up to date: new messages empty, those that are gone at the end."""
    source = catalogue()
    for code, path in languages().items():
        if path is None:
            continue
        text = path.read_bytes()
        known = read_po(BytesIO(text), locale=code)
        known.update(source, no_fuzzy_matching=True)
        header, _, _ = text.partition(
            b"\n\n"
        )  # without the date and the version that Babel would write
        body = BytesIO()
        write_po(body, known, width=120, omit_header=True, include_lineno=False)
        path.write_bytes(header + b"\n\n" + body.getvalue())


if __name__ == "__main__":
    main()

"""A catalogue -> the words, numbers and times of a report in one language.

English is what stands in the source; `languages/<code>.po` (GNU gettext, read by Babel when first needed) has the same
in another language. Numbers and times are Babel's (CLDR). The language is that of the document which is being written,
see `spoken`: handing it through every function that says a word would put it into all of them.

A record is English and stays so. Its sentences were made in other rooms; `said` finds the message that a sentence was
made from, translates it and puts the values back. What it cannot find is printed as recorded, marked as English.

Refused: a language without a catalogue.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cache
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from typing import overload

from babel import Locale
from babel.dates import format_datetime
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, get_decimal_symbol
from markupsafe import Markup, escape

from pipeline.errors import ConfigError

SOURCE = "en"
FOLDER = Path(__file__).with_name("languages")
NUMBER = re.compile(r"[-+<>\N{MINUS SIGN}]?\d+\.\d+( %)?")


def languages() -> dict[str, Path | None]:
    """The languages there are, and their catalogues."""
    return {SOURCE: None} | {path.stem: path for path in sorted(FOLDER.glob("*.po"))}


@dataclass(frozen=True, slots=True)
class Language:
    """Words and numbers of one language; `patterns` are the messages with places for values, the longest first."""

    code: str
    locale: Locale
    translations: NullTranslations = field(default_factory=NullTranslations)
    patterns: tuple[tuple[re.Pattern[str], str], ...] = ()


@cache
def read_language(code: str) -> Language:
    """Read a catalogue. Raises `ConfigError` naming the languages that there are."""
    if code not in languages():
        raise ConfigError(f"no report can be written in {code!r}", f"the languages are {', '.join(languages())}")
    path = languages()[code]
    if path is None:
        return Language(code, Locale.parse(code))
    with path.open("rb") as file:
        catalogue = read_po(file, locale=code)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    sentences = [str(one.id) for one in catalogue if isinstance(one.id, str) and "{}" in one.id]
    sentences.sort(key=lambda one: -len(one.replace("{}", "")))
    patterns = tuple((_pattern(one), one) for one in sentences)
    return Language(code, Locale.parse(code), GNUTranslations(compiled), patterns)


def _pattern(message: str) -> re.Pattern[str]:
    return re.compile("(.+?)".join(re.escape(part) for part in message.split("{}")))


_spoken: ContextVar[str] = ContextVar("language", default=SOURCE)


@contextmanager
def spoken(code: str) -> Iterator[None]:
    """Everything said within is in this language."""
    before = _spoken.set(read_language(code).code)
    try:
        yield
    finally:
        _spoken.reset(before)


def current() -> Language:
    return read_language(_spoken.get())


# ---- words


class AsRecorded(str):
    """Text that is English, or partly so, in a report that is not: `html` says so to whoever reads it aloud."""

    html: Markup

    def __new__(cls, text: str, html: Markup | None = None) -> AsRecorded:
        one = super().__new__(cls, text)
        one.html = Markup('<span lang="en">{}</span>').format(text) if html is None else html
        return one

    def __html__(self) -> Markup:
        return self.html


def N_(message: str) -> str:  # noqa: N802
    """Marks a message that is translated where it is printed; gettext's own name for it."""
    return message


def _(message: str, /, **values: object) -> str:
    """A message in the report's language, with its named values in place."""
    return _filled(current().translations.gettext(message), values)


def marked_up(message: str, /, **values: object) -> Markup:
    """A message of a template: it may hold markup, its values may not."""
    return Markup(current().translations.gettext(message)).format(**values)


def plural(one: str, many: str, num: int, /, **values: object) -> str:
    return _filled(current().translations.ngettext(one, many, num), {"num": num, **values})


def _filled(text: str, values: Mapping[str, object]) -> str:
    if not values:
        return text
    filled = text.format(**values)
    if any(isinstance(value, AsRecorded) for value in values.values()):
        return AsRecorded(filled, escape(text).format(**values))
    return filled


@overload
def said(text: str) -> str: ...
@overload
def said(text: None) -> None: ...
def said(text: str | None) -> str | None:
    """A sentence of a record in the report's language; as recorded where no message is known for it."""
    if not text or _spoken.get() == SOURCE:
        return text
    return _translated(text) or AsRecorded(text)


def _translated(text: str) -> str | None:
    spoken = current()
    translated = spoken.translations.gettext(text)
    if translated != text:
        return translated
    for pattern, message in spoken.patterns:
        if found := pattern.fullmatch(text):
            values = [_value(one) for one in found.groups()]
            if None not in values:
                return spoken.translations.gettext(message).format(*values)
    parts = text.split("; ")
    for n in range(len(parts) - 1, 0, -1):
        first, rest = _translated("; ".join(parts[:n])), _translated("; ".join(parts[n:]))
        if first and rest:
            return f"{first}; {rest}"
    return None


def _value(text: str) -> str | None:
    """What stands in a place of a sentence: a number, words that are a message themselves, or a name of one word."""
    if NUMBER.fullmatch(text):
        return text.replace(".", get_decimal_symbol(current().locale))
    return _translated(text) or (None if " " in text.removesuffix(" %") else text)


def in_line(title: str) -> str:
    """A title within a sentence. English writes it small; in other languages a noun keeps its capital."""
    return title.lower() if _spoken.get() == SOURCE else title


# ---- numbers and times


def decimals(value: float, num: int) -> str:
    """So many decimals, rounded as Python rounds; never "-0.00"."""
    text = f"{value:.{num}f}"
    exact = abs(Decimal(text)) if float(text) == 0 else Decimal(text)
    return format_decimal(exact, format="0." + "0" * num if num else "0", locale=current().locale)


def grouped(value: int) -> str:
    """A count with its thousands apart."""
    return format_decimal(value, format="#,##0", locale=current().locale)


def time(moment: datetime) -> str:
    """A time of day as the language writes it, in UTC."""
    return format_datetime(moment, _("yyyy-MM-dd HH:mm 'UTC'"), locale=current().locale)

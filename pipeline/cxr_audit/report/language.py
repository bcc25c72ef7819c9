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
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from functools import cache, lru_cache
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

from cxr_audit.errors import ConfigError
from cxr_audit.vocabulary import MESSAGES, Filler, Message, Plural, Text, fill

SOURCE = "en"
FOLDER = Path(__file__).with_name("languages")
NUMBER = re.compile(r"[-+<>\N{MINUS SIGN}]?\d+\.\d+( %)?")


def languages() -> dict[str, Path | None]:
    """The languages there are, and their catalogues."""
    return {SOURCE: None} | {path.stem: path for path in sorted(FOLDER.glob("*.po"))}


@dataclass(frozen=True, slots=True)
class Language:
    """Words and numbers of one language: its `messages`, and of those with places for values the `patterns`, the
    longest first."""

    code: str
    locale: Locale
    translations: NullTranslations = field(default_factory=NullTranslations)
    messages: frozenset[str] = frozenset()
    patterns: tuple[tuple[re.Pattern[str], str], ...] = ()


@cache
def read_language(code: str) -> Language:
    """Read a catalogue. Raises `ConfigError` naming the languages that there are."""
    if code not in languages():
        raise ConfigError(
            f"no report can be written in {code!r}", f"the languages are {', '.join(languages())}"
        )
    path = languages()[code]
    if path is None:
        return Language(code, Locale.parse(code))
    with path.open("rb") as file:
        catalogue = read_po(file, locale=code)
    for room in sorted((FOLDER / code).glob("*.po")):
        with room.open("rb") as file:
            for entry in read_po(file, locale=code):
                if entry.id:
                    catalogue[entry.id] = entry
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    messages = frozenset(one.id for one in catalogue if isinstance(one.id, str))
    longest_first = sorted(
        (one for one in messages if "{}" in one), key=lambda one: (-len(one.replace("{}", "")), one)
    )
    patterns = tuple((_pattern(one), one) for one in longest_first)
    return Language(code, Locale.parse(code), GNUTranslations(compiled), messages, patterns)


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


def joined(separator: str, parts: Iterable[str]) -> str:
    """`separator.join(parts)` in which what is as recorded stays marked."""
    parts = tuple(parts)
    if any(isinstance(part, AsRecorded) for part in parts):
        return AsRecorded(separator.join(parts), escape(separator).join(parts))
    return separator.join(parts)


@overload
def said(text: Text) -> str: ...
@overload
def said(text: None) -> None: ...
def said(text: Text | None) -> str | None:
    """A message of a record in the report's language; a sentence of an older record as recorded."""
    if isinstance(text, Message):
        return _rendered(text)
    if not text or _spoken.get() == SOURCE:
        return text
    return _translated(text, _spoken.get()) or AsRecorded(text)


def _rendered(message: Message) -> str:
    """A message in the report's language; marked as English where no translation is known."""
    template = MESSAGES.get(message.code)
    if template is None:
        return AsRecorded(message.text)
    spoken = current()
    filler = Filler(_localised, said, _name)
    if spoken.code == SOURCE:
        return fill(template, message.values, filler)
    if isinstance(template, Plural):
        count = int(message.values[template.count])
        form = spoken.translations.ngettext(template.one, template.many, count)
        is_known = form not in (template.one, template.many)
    else:
        form = spoken.translations.gettext(template)
        is_known = template in spoken.messages
    return fill(form, message.values, filler) if is_known else AsRecorded(message.text)


def _localised(number: str) -> str:
    return number.replace(".", get_decimal_symbol(current().locale))


def _name(name: str) -> str:
    """A name of the vocabulary in the report's language."""
    return current().translations.gettext(name) if name else name


@lru_cache(maxsize=4096)
def _translated(text: str, code: str) -> str | None:
    """A sentence or several, joined by semicolons; a sentence may have one itself. None where a part is not known."""
    parts = text.split("; ")
    for n in range(1, len(parts) + 1):
        first, rest = _sentence("; ".join(parts[:n]), code), "; ".join(parts[n:])
        if first and not rest:
            return first
        if first and (others := _translated(rest, code)):
            return f"{first}; {others}"
    return None


def _sentence(text: str, code: str) -> str | None:
    spoken = read_language(code)
    if text in spoken.messages:
        return spoken.translations.gettext(text)
    for pattern, message in spoken.patterns:
        if found := pattern.fullmatch(text):
            values = [_value(one, code) for one in found.groups()]
            if None not in values:
                return spoken.translations.gettext(message).format(*values)
    return None


def _value(text: str, code: str) -> str | None:
    """What stands in a place of a sentence: a number, words that are a message themselves, or a name."""
    if NUMBER.fullmatch(text):
        return text.replace(".", get_decimal_symbol(read_language(code).locale))
    is_name = " " not in text or not any(word[0].islower() for word in text.split())
    return _translated(text, code) or (text if is_name else None)


def in_line(title: str) -> str:
    """A title within a sentence. English writes it small; in other languages a noun keeps its capital."""
    return title.lower() if _spoken.get() == SOURCE else title


# ---- numbers and times


def decimals(value: float, num: int) -> str:
    """So many decimals, rounded as Python rounds; never "-0.00"."""
    return _written(f"{value:.{num}f}", current().code)


@lru_cache(maxsize=4096)
def _written(number: str, code: str) -> str:
    """Kept: a document has some two hundred numbers, and a run the same few."""
    _whole, point, places = number.partition(".")
    pattern = f"0{point}{'0' * len(places)}"
    return format_decimal(
        Decimal(number) or Decimal(0), format=pattern, locale=read_language(code).locale
    )


def grouped(value: int) -> str:
    """A count with its thousands apart."""
    return format_decimal(value, format="#,##0", locale=current().locale)


def time(moment: datetime) -> str:
    """A time of day as the language writes it, in UTC."""
    return format_datetime(moment, _("yyyy-MM-dd HH:mm 'UTC'"), locale=current().locale)

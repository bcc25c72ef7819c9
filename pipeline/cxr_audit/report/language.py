"""A catalogue -> the words, numbers and times of a report in one language.

English is what stands in the source; `languages/` has the same in other languages (GNU gettext,
read by Babel when first needed): `<code>.po` for the documents, `<code>/vocabulary.po` for labels
and definitions, `<code>/<room>.po` for the messages of a room. Numbers and times are Babel's
(CLDR). The language is that of the document which is being written, see `spoken`: handing it
through every function that says a word would put it into all of them.

A record carries messages by code, which `said` renders. What an older record has as a sentence is
printed as recorded, and marked as English.

Refused: a language without a catalogue.
"""

from __future__ import annotations

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
from babel.messages import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from babel.numbers import format_decimal, get_decimal_symbol
from markupsafe import Markup, escape

from cxr_audit.errors import ConfigError
from cxr_audit.vocabulary import (
    MESSAGES,
    REGION_METRICS,
    Filler,
    Message,
    Plural,
    Text,
    fill,
)
from cxr_audit.vocabulary.regions import kinds_of_cases

SOURCE = "en"
FOLDER = Path(__file__).with_name("languages")


def languages() -> dict[str, tuple[Path, ...]]:
    """The languages there are, and the catalogues of each."""
    found: dict[str, tuple[Path, ...]] = {SOURCE: ()}
    for path in sorted(FOLDER.glob("*.po")):
        rooms = sorted((FOLDER / path.stem).glob("*.po"))
        found[path.stem] = (path, *rooms)
    return found


@dataclass(frozen=True, slots=True)
class Language:
    """Words and numbers of one language.

    Parameters
    ----------
    code : ISO 639-1.
    locale : how it writes numbers and times.
    translations : of all its catalogues.
    messages : the source texts that it translates.
    """

    code: str
    locale: Locale
    translations: NullTranslations = field(default_factory=NullTranslations)
    messages: frozenset[str] = frozenset()


@cache
def read_language(code: str) -> Language:
    """Read the catalogues of a language.

    Raises
    ------
    ConfigError : naming the languages that there are.
    """
    known = languages()
    if code not in known:
        raise ConfigError(
            f"no report can be written in {code!r}", f"the languages are {', '.join(known)}"
        )
    if code == SOURCE:
        return Language(code, Locale.parse(code))
    merged = Catalog(locale=code)
    for path in known[code]:
        with path.open("rb") as file:
            for entry in read_po(file, locale=code):
                if entry.id and entry.string:
                    merged[entry.id] = entry
    compiled = BytesIO()
    write_mo(compiled, merged)
    compiled.seek(0)
    messages = frozenset(entry.id for entry in merged if isinstance(entry.id, str))
    return Language(code, Locale.parse(code), GNUTranslations(compiled), messages)


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
    """The language of the document that is being written."""
    return read_language(_spoken.get())


# ---- words


class AsRecorded(str):
    """Text that is English, or partly so, in a report that is not.

    `html` says so to whoever reads it aloud.
    """

    html: Markup

    def __new__(cls, text: str, html: Markup | None = None) -> AsRecorded:
        recorded = super().__new__(cls, text)
        if html is None:
            html = Markup('<span lang="en">{}</span>').format(str(text))
        recorded.html = html
        return recorded

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
    """A message in the form that the number asks for; `{num}` is in place already."""
    form = current().translations.ngettext(one, many, num)
    return _filled(form, {"num": grouped(num), **values})


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
    return AsRecorded(text)


def _rendered(message: Message) -> str:
    """A message in the report's language; marked as English where no translation is known."""
    template = MESSAGES.get(message.code)
    language = current()
    if template is None:
        return message.text if language.code == SOURCE else AsRecorded(message.text)
    filler = Filler(_localised, said, named)
    if language.code == SOURCE:
        return fill(template, message.values, filler)
    if isinstance(template, Plural):
        count = int(message.values[template.count])
        form = language.translations.ngettext(template.one, template.many, count)
        is_known = form not in (template.one, template.many)
    else:
        form = language.translations.gettext(template)
        is_known = template in language.messages
    return fill(form, message.values, filler) if is_known else AsRecorded(message.text)


def _localised(number: str) -> str:
    number = number.replace("-", "\N{MINUS SIGN}")
    return number.replace(".", get_decimal_symbol(current().locale))


def named(name: str) -> str:
    """A name that records use, such as that of a region, in the report's language.

    A number behind it ("letter 2") is not part of what is translated.
    """
    if not name:
        return name
    gettext = current().translations.gettext
    if name in _region_labels():
        template, region = _region_labels()[name]
        return gettext(template).format(region=gettext(region))
    words, _space, number = name.rpartition(" ")
    if words and number.isdecimal():
        return f"{gettext(words)} {number}"
    return gettext(name)


@cache
def _region_labels() -> dict[str, tuple[str, str]]:
    """Label of a metric in a region -> the label's template, and the region's name."""
    return {
        metric.label.format(region=kind.label): (metric.label, kind.label)
        for kind in kinds_of_cases()
        for metric in REGION_METRICS
    }


def in_line(title: str) -> str:
    """A title within a sentence.

    English writes it small; in other languages a noun keeps its capital.
    """
    first = title.split(" ", 1)[0]
    is_word = first[1:] == first[1:].lower()
    if _spoken.get() == SOURCE and is_word:
        return title[:1].lower() + title[1:]
    return title


# ---- numbers and times


def decimals(value: float, num: int) -> str:
    """So many decimals, rounded as Python rounds; never "-0.00"."""
    return _written(f"{value:.{num}f}", current().code)


@lru_cache(maxsize=4096)
def _written(number: str, code: str) -> str:
    """A number as the language writes it. Cached: the same numbers come again in every document."""
    _whole, point, places = number.partition(".")
    pattern = f"0{point}{'0' * len(places)}"
    locale = read_language(code).locale
    return format_decimal(Decimal(number) or Decimal(0), format=pattern, locale=locale)


def grouped(value: int) -> str:
    """A count with its thousands apart."""
    return format_decimal(value, format="#,##0", locale=current().locale)


def time(moment: datetime) -> str:
    """A time of day as the language writes it, in UTC."""
    return format_datetime(moment, _("yyyy-MM-dd HH:mm 'UTC'"), locale=current().locale)

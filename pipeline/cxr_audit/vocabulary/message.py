"""A message as records carry it: a code, its values, and the English text for people who read JSON.

Words are made at the edge: `cxr_audit.report.language.said` renders a message in the language of a
document. No sentence is ever parsed.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Value = Any
"""A number, a name, a `Message`, or a list of messages: what JSON can hold."""


@dataclass(frozen=True, slots=True)
class Plural:
    """A message in two forms; `count` names the value that decides which."""

    one: str
    many: str
    count: str = "num"

    def form(self, count: float) -> str:
        return self.one if count == 1 else self.many


Template = str | Plural


@dataclass(frozen=True, slots=True)
class Message:
    """What happened, by code.

    Parameters
    ----------
    code : key of a row of `cxr_audit.vocabulary.MESSAGES`.
    values : by placeholder: numbers, names, messages or lists of messages.
    text : in English, as it was when the record was made; shown where the code is not known.
    """

    code: str
    values: dict[str, Value] = field(default_factory=dict)
    text: str = ""

    def __str__(self) -> str:
        return self.text

    def __hash__(self) -> int:
        return hash((self.code, self.text))


Text = Message | str
"""A message, or a sentence as an older record or a person wrote it."""


class Filler(string.Formatter):
    """Fills a template's named places.

    `{share:percent}` writes a fraction as a percentage, never 0 or 100 unless it is exactly that;
    `{region:name}` translates a name of the vocabulary; other format specifications are Python's
    own. Lists of messages are joined by semicolons, lists of names by commas.

    Parameters
    ----------
    number : changes a formatted number to the language's way of writing it.
    render : renders a message inside a message.
    name : translates a name of the vocabulary.
    """

    def __init__(
        self,
        number: Callable[[str], str] = str,
        render: Callable[[Text], str] = str,
        name: Callable[[str], str] = str,
    ) -> None:
        self._number = number
        self._render = render
        self._name = name

    def format_field(self, value: Any, spec: str) -> str:
        if isinstance(value, Mapping):
            return self._render(inner_message(value))
        if isinstance(value, Sequence) and not isinstance(value, str):
            separator = ", " if all(isinstance(part, str) for part in value) else "; "
            return separator.join(self.format_field(part, spec) for part in value)
        if spec == "name":
            return self._name(str(value))
        if spec == "percent":
            return self._number(percent(float(value)))
        if isinstance(value, bool) or not isinstance(value, int | float):
            return str(format(value, spec))
        return self._number(format(value, spec or ("g" if isinstance(value, float) else "")))


def percent(fraction: float) -> str:
    """For example "37 %"; "<1 %" and ">99 %" where rounding would claim none or all."""
    rounded = round(100 * fraction)
    if rounded <= 0 and fraction > 0:
        return "<1 %"
    if rounded >= 100 and fraction < 1:
        return ">99 %"
    return f"{rounded} %"


def inner_message(value: Mapping[str, Any]) -> Message:
    """A message that is a value of another one; there it is plain, as JSON has it."""
    return Message(value["code"], dict(value.get("values", {})), value.get("text", ""))


def fill(template: Template, values: Mapping[str, Any], filler: Filler) -> str:
    """A template with its values in place."""
    if isinstance(template, Plural):
        template = template.form(values[template.count])
    return filler.vformat(template, (), values)


def placeholders(template: Template) -> set[str]:
    """The names of a template's places."""
    forms = (template.one, template.many) if isinstance(template, Plural) else (template,)
    return {name for form in forms for _, name, _, _ in string.Formatter().parse(form) if name}

"""Everything that an audit can say, one row each. No TensorFlow, no pydantic."""

from __future__ import annotations

from typing import Any

from cxr_audit.vocabulary.message import (
    Filler,
    Message,
    Plural,
    Template,
    Text,
    fill,
    placeholders,
)
from cxr_audit.vocabulary.messages import all_messages

MESSAGES: dict[str, Template] = all_messages()

_ENGLISH = Filler()


def message(code: str, /, **values: Any) -> Message:
    """A message by its code, with exactly the values that its template names.

    Raises
    ------
    ValueError : the code has no row, or a value is missing or has no place.
    """
    template = MESSAGES.get(code)
    if template is None:
        raise ValueError(f"no message has the code {code!r}")
    if isinstance(template, Plural):
        expected = placeholders(template) | {template.count}
    else:
        expected = placeholders(template)
    if expected != set(values):
        raise ValueError(f"{code} takes {sorted(expected)}, received {sorted(values)}")
    return Message(code, values, fill(template, values, _ENGLISH))


__all__ = [
    "MESSAGES",
    "Filler",
    "Message",
    "Plural",
    "Template",
    "Text",
    "fill",
    "message",
    "placeholders",
]

"""Everything that an audit can say, one row each. No TensorFlow, no pydantic."""

from __future__ import annotations

from typing import Any

from cxr_audit.vocabulary.checks import QUALITY_CHECKS, TRUST_CHECKS
from cxr_audit.vocabulary.decimals import decimals_beside
from cxr_audit.vocabulary.factors import FACTORS
from cxr_audit.vocabulary.flags import FLAGS
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
from cxr_audit.vocabulary.methods import METHODS
from cxr_audit.vocabulary.metrics import (
    MAP_METRICS,
    MASKING_NUMBERS,
    REGION_METRICS,
    RUN_METRICS,
    Metric,
)
from cxr_audit.vocabulary.outputs import OUTPUT_FILES
from cxr_audit.vocabulary.plugins import load_plugins
from cxr_audit.vocabulary.purposes import PURPOSES
from cxr_audit.vocabulary.regions import REGION_KINDS
from cxr_audit.vocabulary.registry import Registry, UnknownName

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
    plain = {name: _plain(value) for name, value in values.items()}
    return Message(code, plain, fill(template, plain, _ENGLISH))


def _plain(value: Any) -> Any:
    """A value as JSON gives it back."""
    if isinstance(value, Message):
        return {"code": value.code, "values": value.values, "text": value.text}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value


__all__ = [
    "FACTORS",
    "FLAGS",
    "MAP_METRICS",
    "MASKING_NUMBERS",
    "MESSAGES",
    "METHODS",
    "OUTPUT_FILES",
    "PURPOSES",
    "QUALITY_CHECKS",
    "REGION_KINDS",
    "REGION_METRICS",
    "RUN_METRICS",
    "TRUST_CHECKS",
    "Filler",
    "Message",
    "Metric",
    "Plural",
    "Registry",
    "Template",
    "Text",
    "UnknownName",
    "decimals_beside",
    "fill",
    "load_plugins",
    "message",
    "placeholders",
]

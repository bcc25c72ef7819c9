"""What the checks of the input share: a value against its limit, or what a file states."""

from __future__ import annotations

from collections.abc import Sequence

from cxr_audit.records import Check
from cxr_audit.vocabulary import Message, Text, message


def at_least(name: str, value: float, limit: float, code: str) -> Check:
    reason = None if value >= limit else message(code, value=value, limit=limit)
    return limited(name, value, message("quality.at_least", limit=limit), reason)


def at_most(name: str, value: float, limit: float, code: str) -> Check:
    reason = None if value <= limit else message(code, value=value, limit=limit)
    return limited(name, value, message("quality.at_most", limit=limit), reason)


def limited(name: str, value: float, limit: Message, reason: Text | None) -> Check:
    return Check(name, "failed" if reason else "passed", value, limit, reason)


def by_statement(name: str, limit: Message, reason: Text | None) -> Check:
    return Check(name, "failed" if reason else "passed", None, limit, reason)


def not_run(name: str, reason: Text, limit: Message | None = None) -> Check:
    return Check(name, "not_run", None, limit, reason)


def together(reasons: Sequence[Text]) -> Text:
    return reasons[0] if len(reasons) == 1 else message("quality.several", reasons=list(reasons))

"""Checks of an input -> their order, and what the config requests where they failed."""

from __future__ import annotations

from collections.abc import Sequence

from cxr_audit.config import Quality
from cxr_audit.quality.results import together
from cxr_audit.records import Check, StoppedStatus
from cxr_audit.vocabulary import QUALITY_CHECKS, Text, message


def in_order(checks: Sequence[Check]) -> tuple[Check, ...]:
    """The checks in the order of the vocabulary, whatever the order in which they were made."""
    rank = {key: place for place, key in enumerate(QUALITY_CHECKS.keys())}
    return tuple(sorted(checks, key=lambda check: rank[check.name]))


def action(checks: Sequence[Check], limits: Quality) -> tuple[StoppedStatus, Text, Text] | None:
    """What the config requests for a case whose checks failed.

    Returns
    -------
    Status, reason and hint; None where the case is audited.
    """
    lists: tuple[tuple[StoppedStatus, str, tuple[str, ...]], ...] = (
        ("failed", "fail", limits.fail),
        ("excluded", "exclude", limits.exclude),
    )
    for status, key, names in lists:
        failed = [check for check in checks if check.state == "failed" and check.name in names]
        if failed:
            reason = together([check.reason for check in failed if check.reason is not None])
            hint = message("quality.hint", checks=[check.name for check in failed], key=key)
            return status, reason, hint
    return None

"""Checks of an input or of an explanation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from cxr_audit.records.base import require
from cxr_audit.vocabulary import Text

CheckState = Literal["passed", "failed", "not_run", "undecided"]


TrustState = Literal["passed", "caution", "not_interpretable"]


@dataclass(frozen=True, slots=True)
class Check:
    """One check of an input or of an explanation.

    Parameters
    ----------
    name : key of `vocabulary.QUALITY_CHECKS` or `vocabulary.TRUST_CHECKS`.
    state : passed, failed or not run; undecided where the interval holds the limit.
    value : what was measured.
    limit : for example "at least 0.5".
    reason : why it is not passed.
    detail : what was measured, beyond the definition in the vocabulary; in older records all of it.
    interval_95 : of the value, where the check is of many cases.
    """

    name: str
    state: CheckState
    value: float | None = None
    limit: Text | None = None
    reason: Text | None = None
    detail: Text | None = None
    interval_95: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        require(
            (self.state == "passed") == (self.reason is None),
            f"{self.name}: a reason exactly where not passed",
        )
        require(
            self.value is None or math.isfinite(self.value),
            f"{self.name}: {self.value} is not finite",
        )


@dataclass(frozen=True, slots=True)
class Trust:
    """Whether the explanation itself may be believed, by rule from its checks.

    Parameters
    ----------
    reasons : why the state is not passed.
    checks : those made of this case.
    """

    state: TrustState
    reasons: tuple[Text, ...]
    checks: tuple[Check, ...]

    def __post_init__(self) -> None:
        require(
            (self.state == "passed") == (not self.reasons),
            "reasons exactly where the state is not passed",
        )

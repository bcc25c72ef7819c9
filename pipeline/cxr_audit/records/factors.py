"""What an output depends on: one verdict a factor, over a run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from cxr_audit.records.base import require
from cxr_audit.vocabulary import Text
from cxr_audit.vocabulary.factors import FactorKind

FactorState = Literal["uses", "not_used", "undecided", "not_examined"]


@dataclass(frozen=True, slots=True)
class FactorVerdict:
    """Whether the output of a run depends on one factor.

    Parameters
    ----------
    factor : key of `vocabulary.FACTORS`; a place has the name of its band or cell behind it, for
        example `place_row_4`.
    verdict : "uses" where the whole interval is above the limit, "not_used" where all of it is at
        or below, "undecided" where it holds the limit, "not_examined" where nothing was measured.
    effect : in `unit`; None where it was not examined.
    interval_95 : over patients.
    num_cases, num_patients : that the effect is measured over.
    reason : in words, with the limit, and with the factors that it cannot be told apart from.
    """

    factor: str
    kind: FactorKind
    verdict: FactorState
    effect: float | None
    unit: Text
    interval_95: tuple[float, float] | None
    num_cases: int
    num_patients: int
    reason: Text

    def __post_init__(self) -> None:
        is_known = self.effect is not None
        require(is_known or self.verdict == "not_examined", f"{self.factor} without an effect")
        if self.effect is not None:
            require(math.isfinite(self.effect), f"the effect of {self.factor} is not finite")

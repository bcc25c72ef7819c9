"""What the classifier said."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from cxr_audit.records.base import require
from cxr_audit.vocabulary import Text

Outcome = Literal["true_positive", "false_positive", "true_negative", "false_negative"]


@dataclass(frozen=True, slots=True)
class Prediction:
    """What the classifier said of a case.

    Parameters
    ----------
    target_class : the class that is explained.
    scalar : which scalar is explained: z, -z, z1 - z0 or z_c.
    logit : the explained scalar, in log-odds.
    probability : the output for the target class, in [0, 1].
    class_scores : the output by class.
    threshold : None where the highest score decides, with more than two classes.
    threshold_source : where the threshold comes from.
    predicted : the class that the threshold, or the highest score, decides for.
    expected : the class that the label names; None where it names none.
    """

    target_class: str
    scalar: Text
    logit: float
    probability: float
    class_scores: dict[str, float]
    threshold: float | None
    threshold_source: Text
    predicted: str
    expected: str | None = None

    def __post_init__(self) -> None:
        require(math.isfinite(self.logit), f"logit {self.logit} is not finite")
        require(0 <= self.probability <= 1, f"probability {self.probability} is not in [0, 1]")
        require(
            self.predicted in self.class_scores, f"predicted class {self.predicted!r} has no score"
        )

    @property
    def is_correct(self) -> bool | None:
        """None where no class is expected."""
        return None if self.expected is None else self.predicted == self.expected

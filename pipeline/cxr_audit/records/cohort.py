"""`cohort.json`: what a run says about the classifier."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from cxr_audit.records.base import SCHEMA_VERSION, require
from cxr_audit.records.case import CaseStatus
from cxr_audit.records.checks import Check
from cxr_audit.records.factors import FactorVerdict
from cxr_audit.vocabulary import Text

Bound = Literal["estimate", "lower", "upper"]


CriterionState = Literal["met", "not_met", "undecided", "not_examined"]


@dataclass(frozen=True, slots=True)
class Estimate:
    """One figure of a run with its 95 % interval.

    Parameters
    ----------
    value : None where it is undefined.
    num_cases, num_patients : what it is measured over.
    reason : why the value, or only its interval, is None.
    """

    value: float | None
    num_cases: int
    num_patients: int
    interval_95: tuple[float, float] | None = None
    reason: Text | None = None

    def __post_init__(self) -> None:
        numbers = [
            number for number in (self.value, *(self.interval_95 or ())) if number is not None
        ]
        require(all(math.isfinite(number) for number in numbers), f"{numbers} are not finite")
        require(
            (self.interval_95 is None) == (self.reason is not None),
            "an interval or a reason, not both",
        )
        require(self.value is not None or self.interval_95 is None, "an interval without a value")


@dataclass(frozen=True, slots=True)
class CountedReason:
    """In how many cases a value is undefined for one reason."""

    reason: Text
    num_cases: int


@dataclass(frozen=True, slots=True)
class CohortCases:
    """Which cases the figures of a run are of.

    Parameters
    ----------
    statuses : excluded and failed cases are in no metric.
    unlabelled : audited cases without a label that names a class, by reason; in no metric.
    num_patients : each case of an unknown patient counts as a patient of its own.
    patients : who was resampled, in words.
    num_of_known_patients : cases of known patients; None in an older record.
    prevalence : None where no case is labelled.
    prevalence_source : stated in the config, or the share of this run.
    """

    statuses: dict[CaseStatus, int]
    unlabelled: tuple[CountedReason, ...]
    num_patients: int
    patients: Text
    prevalence: float | None
    prevalence_source: Text
    num_of_known_patients: int | None = None


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """The cases whose output for the target class lies in [low, high), the last bin with 1.

    Parameters
    ----------
    mean_probability : their mean output.
    observed : the share of positives.
    """

    low: float
    high: float
    mean_probability: float | None
    observed: Estimate


@dataclass(frozen=True, slots=True)
class Reliability:
    """How well the outputs fit the shares of positives.

    Parameters
    ----------
    ece_if_calibrated : the ECE of a calibrated classifier stays below it in 97.5 % of such runs.
    """

    bins: tuple[ReliabilityBin, ...] = ()
    ece_if_calibrated: float | None = None


@dataclass(frozen=True, slots=True)
class Subgroup:
    """The labelled, audited cases with one value of a column."""

    value: str
    num_positive: int
    num_negative: int
    metrics: dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class SubgroupColumn:
    """A run split by one column.

    Parameters
    ----------
    num_missing : labelled, audited cases without a value.
    num_suppressed_values, num_suppressed_cases : values with fewer cases than the config's minimum
        are counted, never named.
    reason : why no group can be shown.
    """

    column: str
    groups: tuple[Subgroup, ...]
    num_missing: int = 0
    num_suppressed_values: int = 0
    num_suppressed_cases: int = 0
    reason: Text | None = None


@dataclass(frozen=True, slots=True)
class WrongCase:
    """A false positive or negative, with the metrics of its first map; None = undefined."""

    case_id: str
    label: str
    predicted: str
    probability: float
    metrics: dict[str, float | bool | str | None]


@dataclass(frozen=True, slots=True)
class Distribution:
    """One metric over the audited cases of one outcome; "no_label" where there is none. `undefined` counts cases by
    reason. Numbers have `quantiles` (at `QUANTILES`), words and yes/no have `counts` by value."""

    metric: str
    outcome: str
    num_cases: int
    undefined: tuple[CountedReason, ...] = ()
    quantiles: tuple[float, ...] | None = None
    counts: dict[str, int] | None = None


QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)


@dataclass(frozen=True, slots=True)
class CriterionResult:
    """One acceptance criterion with what was found.

    Parameters
    ----------
    criterion : what is required; an older record has the limit in it too.
    is_met : whether `state` is met.
    found : the estimate, of the cases that could be assessed.
    undefined : cases that could not be assessed, by reason. They are not part of `found`; an older
        record counted them against the criterion.
    reason : why it is undecided or was not examined.
    metric : as the config names it.
    limit : for example "at least 0.8", "passed".
    limit_value : the number of `limit`; None for a check of the model, which has its own.
    bound : what of `found` is compared with the limit: the estimate, or an end of its interval.
    state : None in an older record, whose criteria were met or not.
    num_needed : how many cases would decide an undecided one, if the estimate stays; None where no
        number would.
    """

    criterion: Text
    is_met: bool
    found: Estimate
    undefined: tuple[CountedReason, ...] = ()
    reason: Text | None = None
    metric: str | None = None
    limit: Text | None = None
    limit_value: float | None = None
    bound: Bound = "estimate"
    state: CriterionState | None = None
    num_needed: int | None = None

    def __post_init__(self) -> None:
        require(self.reason is None or not self.is_met, "what could not be evaluated is not met")
        is_same = self.state is None or (self.state == "met") == self.is_met
        require(is_same, f"state {self.state}, but is_met is {self.is_met}")

    @property
    def in_words(self) -> str:
        """For example "AUC at least 0.9"."""
        return f"{self.criterion} {self.limit or ''}".rstrip()


@dataclass(frozen=True, slots=True)
class CohortRecord:
    """`cohort.json`: what a run says about the classifier.

    With more than two classes the target class stands against all others.

    Parameters
    ----------
    outcomes : labelled, audited cases by outcome.
    method : how intervals were made, in words.
    false_positives, false_negatives : the most wrong first.
    hit_rates : share of the audited cases whose map's maximum lies in the lungs, and in what a
        manifest annotates, of those that have it (Saporta et al., Nature Machine Intelligence 2022);
        an undefined one is no hit.
    dependence : whether the answers depend on markers, the border or the exposure over the run;
        failed = they do.
    factors : what the output depends on, the most important first.
    """

    target_class: str | None
    cases: CohortCases
    outcomes: dict[str, int]
    method: Text
    metrics: dict[str, Estimate]
    reliability: Reliability
    subgroups: tuple[SubgroupColumn, ...]
    false_positives: tuple[WrongCase, ...]
    false_negatives: tuple[WrongCase, ...]
    distributions: tuple[Distribution, ...]
    acceptance: tuple[CriterionResult, ...] = ()
    hit_rates: dict[str, Estimate] = field(default_factory=dict)
    dependence: tuple[Check, ...] = ()
    factors: tuple[FactorVerdict, ...] = ()
    schema_version: int = SCHEMA_VERSION

"""`compare.json`: what changed from one run to another."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from cxr_audit.records.base import SCHEMA_VERSION
from cxr_audit.records.case import CaseStatus
from cxr_audit.records.checks import CheckState, TrustState
from cxr_audit.records.cohort import Estimate
from cxr_audit.vocabulary import Text


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One of two runs that are compared.

    Parameters
    ----------
    sha256sums_sha256 : of the file that the folder was sealed with.
    threshold : of the score; None where the highest score decides.
    """

    name: str
    started: str
    num_cases: int
    model: str
    model_sha256: str
    config_sha256: str
    sha256sums_sha256: str
    threshold: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """What two runs were made with differently: `part` is config, model or software; None where a run has no such
    key."""

    part: Literal["config", "model", "software"]
    name: str
    a: Any
    b: Any


@dataclass(frozen=True, slots=True)
class PairedMetric:
    """One figure over the cases that have it in both runs: in A, in B, and the `change` B minus A. `num_only_a` and
    `num_only_b` cases have it in one run only."""

    metric: str
    a: float | None
    b: float | None
    change: Estimate
    num_only_a: int = 0
    num_only_b: int = 0


@dataclass(frozen=True, slots=True)
class Transition:
    """How many cases were `a` in run A and are `b` in run B."""

    a: str
    b: str
    num_cases: int


@dataclass(frozen=True, slots=True)
class ChangedCase:
    """A case whose status, class, flags or trust differ, or whose score changed most: the value in A and in B."""

    case_id: str
    case_id_b: str
    label: str | None
    status: tuple[CaseStatus, CaseStatus]
    predicted: tuple[str | None, str | None]
    probability: tuple[float | None, float | None]
    trust: tuple[TrustState | None, TrustState | None]
    flags_gone: tuple[str, ...]
    flags_new: tuple[str, ...]

    @property
    def is_another_class(self) -> bool:
        return self.predicted[0] != self.predicted[1] and None not in self.predicted


@dataclass(frozen=True, slots=True)
class Matching:
    """Which cases two runs share.

    Parameters
    ----------
    by : how cases were matched, in words.
    num_matched : cases that both runs have.
    num_other_bytes : matched cases whose files differ.
    only_a, only_b : ids of cases that the other run does not have.
    """

    by: Text
    num_matched: int
    num_other_bytes: int
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Transitions:
    """What had a state in A and has a state in B: how many matched cases, and which checks.

    Parameters
    ----------
    statuses : of all matched cases.
    classes, trust : predicted class and state of the explanation checks, of the cases that were
        audited in both.
    flags : by name, cases that have it in A only, in both, in B only.
    checks : of the explanation, those made once a model, by name: their state in A and in B.
    """

    statuses: tuple[Transition, ...]
    classes: tuple[Transition, ...]
    trust: tuple[Transition, ...]
    flags: dict[str, tuple[int, int, int]]
    checks: dict[str, tuple[CheckState | None, CheckState | None]]


@dataclass(frozen=True, slots=True)
class ChangedAnswers:
    """Labelled cases that turned right or wrong.

    Parameters
    ----------
    num_labelled : cases audited in both runs, with the same label in both.
    p_value : exact test of McNemar (Psychometrika 12, 1947); None where no case is labelled.
    """

    num_labelled: int
    num_wrong_then_right: int
    num_right_then_wrong: int
    p_value: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """`compare.json`: what changed from run A to run B, over the cases that both have.

    Parameters
    ----------
    patients, method : who was resampled, and how intervals were made, in words.
    another_class : share of the cases audited in both that changed class.
    scores : (probability in A, in B) of each case audited in both, in the order of A.
    """

    a: ComparedRun
    b: ComparedRun
    target_class: str
    matching: Matching
    patients: Text
    method: Text
    differences: tuple[Difference, ...]
    transitions: Transitions
    another_class: Estimate
    answers: ChangedAnswers
    performance: tuple[PairedMetric, ...]
    metrics: tuple[PairedMetric, ...]
    changed: tuple[ChangedCase, ...]
    scores: tuple[tuple[float, float], ...]
    schema_version: int = SCHEMA_VERSION

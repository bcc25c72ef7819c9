"""`case.json`: a case that was audited, or one that was stopped."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from cxr_audit.records.base import SCHEMA_VERSION, require
from cxr_audit.records.checks import Check, Trust
from cxr_audit.records.maps import LogitBudget, MapRecord, Measurements
from cxr_audit.records.model_input import Placement, TabularValue
from cxr_audit.records.prediction import Outcome, Prediction
from cxr_audit.records.radiograph import Decision, RadiographFacts
from cxr_audit.records.regions import RegionsRecord
from cxr_audit.vocabulary import Text

CaseStatus = Literal["ok", "excluded", "failed"]
StoppedStatus = Literal["excluded", "failed"]


Fill = Literal["blurred", "mean"]

MARKERS = "markers"
"""Name of all markers of a radiograph, replaced at once."""


@dataclass(frozen=True, slots=True)
class Masking:
    """The classifier asked again with a part of the radiograph replaced.

    Parameters
    ----------
    removed : what was replaced.
    fill : by what.
    logit : the explained logit then.
    change : the explained logit then minus before.
    is_bad_news : unexpected for a classifier that uses the lungs; None where it is neither.
    """

    removed: str
    fill: Fill
    logit: float
    change: float
    is_bad_news: bool | None = None

    def __post_init__(self) -> None:
        require(
            math.isfinite(self.logit) and math.isfinite(self.change), f"{self.removed}: not finite"
        )


@dataclass(frozen=True, slots=True)
class Flag:
    """What a reader of this case has to know: key of `vocabulary.FLAGS`, and the reason."""

    name: str
    reason: Text


@dataclass(frozen=True, slots=True)
class FlagsRecord:
    """What a case is flagged for.

    Parameters
    ----------
    raised : in the order of `vocabulary.FLAGS`.
    undefined : by key, why a flag could not be assessed.
    """

    raised: tuple[Flag, ...] = ()
    undefined: dict[str, Text] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(flag.name for flag in self.raised)


@dataclass(frozen=True, slots=True)
class InputRecord:
    """What the classifier was given: where the radiograph lies in it, and how it was made.

    Parameters
    ----------
    measured : plain measurements, by key of `vocabulary.FACTORS`.
    low_level : generic image statistics, in the order of `vocabulary.factors.low_level_names`.
    further : the values of inputs beside the image.
    """

    placement: Placement
    preprocessing: tuple[Decision, ...] = ()
    measured: dict[str, float] = field(default_factory=dict)
    low_level: tuple[float, ...] = ()
    further: tuple[TabularValue, ...] = ()


@dataclass(frozen=True, slots=True)
class Probes:
    """What the classifier answers to a changed input.

    Parameters
    ----------
    masking : a part of the radiograph replaced by a fill.
    masking_missing : why a part could not be replaced, by name; empty, as `masking` is, where the
        case was not asked again.
    exposure : change of the explained logit with the image "darker" and "brighter"; empty where the
        case was not asked.
    mean_replaced : the same with a marker, by name, several "markers" at once, or the "border"
        replaced by the run's mean radiograph (`mean_input.npz`); empty where the sample is too
        small, or the case was not asked.
    factors : the same with a factor moved to the lower, and to the upper end of its usual range;
        empty where the case is not one of those that are asked.
    bands : the same with a band of the radiograph replaced by the run's mean radiograph.
    """

    masking: tuple[Masking, ...] = ()
    masking_missing: dict[str, Text] = field(default_factory=dict)
    exposure: dict[str, float] = field(default_factory=dict)
    mean_replaced: dict[str, float] = field(default_factory=dict)
    factors: dict[str, tuple[float, float]] = field(default_factory=dict)
    bands: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CaseHashes:
    """What a case is recognised by.

    Parameters
    ----------
    file_hmac : keyed hash of the file, see `SourceFile`.
    metadata_hmac : stands for label, patient, split, boxes, mask and further columns as the run was
        given them: HMAC-SHA-256 with the key of the case ids.
    file_sha256 : of the file as it was read; only in a record of schema 2 and older.
    """

    file_hmac: str | None = None
    metadata_hmac: str | None = None
    file_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class AuditedCase:
    """A case that the classifier answered: everything but arrays, paths and times.

    Parameters
    ----------
    case_id : pseudonym, and the name of its folder.
    label : the reference label, as the source has it.
    quality : the checks of the input.
    maps : the first is the one that numbers and flags are of.
    pictures : role -> file name in the case's folder; those of maps are in `maps`.
    """

    case_id: str
    radiograph: RadiographFacts
    input: InputRecord
    prediction: Prediction
    label: str | None = None
    hashes: CaseHashes = field(default_factory=CaseHashes)
    quality: tuple[Check, ...] = ()
    maps: tuple[MapRecord, ...] = ()
    regions: RegionsRecord = field(default_factory=RegionsRecord)
    probes: Probes = field(default_factory=Probes)
    trust: Trust | None = None
    flags: FlagsRecord = field(default_factory=FlagsRecord)
    pictures: dict[str, str] = field(default_factory=dict)
    status: Literal["ok"] = "ok"
    schema_version: int = SCHEMA_VERSION

    @property
    def first_map(self) -> MapRecord | None:
        """The map that numbers and flags are of."""
        return self.maps[0] if self.maps else None

    @property
    def budget_map(self) -> MapRecord | None:
        """The map whose cells split the explained logit by place; None where no map adds up to it."""
        return next((drawn for drawn in self.maps if drawn.budget is not None), None)

    @property
    def budget(self) -> LogitBudget | None:
        """The explained logit by place."""
        return None if self.budget_map is None else self.budget_map.budget

    @property
    def outcome(self) -> Outcome | None:
        """Of the target class against all others; None where no label names a class."""
        prediction = self.prediction
        if self.label not in prediction.class_scores:
            return None
        is_positive = self.label == prediction.target_class
        if prediction.predicted == prediction.target_class:
            return "true_positive" if is_positive else "false_positive"
        return "false_negative" if is_positive else "true_negative"

    def in_region(self, kind: str) -> Measurements | None:
        """The metrics of the first map in the first region of a kind; None where there is none."""
        region = self.regions.first(kind)
        if region is None or self.first_map is None:
            return None
        return self.first_map.in_regions.get(region.name)


@dataclass(frozen=True, slots=True)
class StoppedCase:
    """A case that was excluded or failed before the classifier's answer could be explained.

    Parameters
    ----------
    reason : why.
    error : the named error, where it failed by one.
    hint : what to do.
    radiograph : None where it could not be read.
    """

    case_id: str
    status: StoppedStatus
    reason: Text
    error: str | None = None
    hint: Text | None = None
    label: str | None = None
    hashes: CaseHashes = field(default_factory=CaseHashes)
    radiograph: RadiographFacts | None = None
    quality: tuple[Check, ...] = ()
    pictures: dict[str, str] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    @property
    def outcome(self) -> None:
        """A stopped case has no outcome."""
        return None


CaseRecord = AuditedCase | StoppedCase


def audited(cases: Iterable[CaseRecord]) -> list[AuditedCase]:
    """The cases that were audited, in order."""
    return [case for case in cases if isinstance(case, AuditedCase)]


def stopped(cases: Iterable[CaseRecord]) -> list[StoppedCase]:
    """The cases that were excluded or failed, in order."""
    return [case for case in cases if isinstance(case, StoppedCase)]

"""What readers answered, and how far they agree with the model and with each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from cxr_audit.records.base import SCHEMA_VERSION, require
from cxr_audit.vocabulary import Text

Agreement = Literal["agree", "disagree", "cannot_say"]
Location = Literal["plausible", "not_plausible"]
CANNOT_SAY = "cannot_say"
MODEL_RATER = "model"
LABEL_RATER = "reference label"
"""What a reader is compared with, beside other readers."""
ANSWER_COLUMNS = ("case_id", "reader", "time", "reading", "agreement", "location", "comment")
"""Columns of a file of answers; comments stay in that file."""


@dataclass(frozen=True, slots=True)
class ReaderAnswer:
    """One reader's answers to one case.

    Parameters
    ----------
    case_id : of an audited case.
    reader : initials or a number.
    time : when the case was answered, as the file states it.
    reading : the class read from the radiograph alone, or "cannot_say".
    agreement : with the output of the model, after it was seen.
    location : of the evidence, after the map was seen.
    """

    case_id: str
    reader: str
    time: str | None = None
    reading: str | None = None
    agreement: Agreement | None = None
    location: Location | None = None

    def __post_init__(self) -> None:
        require(bool(self.reader), f"the answer to case {self.case_id} names no reader")
        agreements, locations = (None, *get_args(Agreement)), (None, *get_args(Location))
        require(self.agreement in agreements, f"unknown agreement {self.agreement!r}")
        require(self.location in locations, f"unknown location {self.location!r}")


@dataclass(frozen=True, slots=True)
class RaterAgreement:
    """How far two raters name the same class.

    Parameters
    ----------
    first, second : a reader, `MODEL_RATER` or `LABEL_RATER`.
    num : cases that both rated; those where one "cannot say" are left out.
    num_same : those with the same class.
    kappa : Cohen's; None where it is undefined.
    interval_95 : of kappa, by its large-sample standard error; None where it is undefined.
    reason : why a value is None.
    """

    first: str
    second: str
    num: int
    num_same: int
    kappa: float | None = None
    interval_95: tuple[float, float] | None = None
    reason: Text | None = None


@dataclass(frozen=True, slots=True)
class ReaderSummary:
    """What one reader answered.

    Parameters
    ----------
    reader : initials or a number.
    num_cases : with any answer.
    num_readings : cases read before the output was seen, as the file states it.
    num_undecided : readings that are "cannot say".
    agreement, location : answer -> cases.
    """

    reader: str
    num_cases: int
    num_readings: int
    num_undecided: int
    agreement: dict[str, int]
    location: dict[str, int]


@dataclass(frozen=True, slots=True)
class ReadersRecord:
    """`readers.json`: the answers that were joined to a run.

    Parameters
    ----------
    answers : by case, then by reader.
    summaries : one a reader.
    pairs : of readers with the model, with the reference label and with each other.
    files : SHA-256 of the files that the answers came from.
    num_comments : comments in those files, which are not kept here.
    """

    answers: tuple[ReaderAnswer, ...]
    summaries: tuple[ReaderSummary, ...]
    pairs: tuple[RaterAgreement, ...]
    files: tuple[str, ...] = ()
    num_comments: int = 0
    schema_version: int = SCHEMA_VERSION

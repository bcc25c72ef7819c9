"""What can go wrong with one case, and when it is more than one case: `Failure`, `FirstCases`.

A `CaseError` is a case's failure wherever it is raised. So is any other exception, and the loss of
a process with the case: but where the first ten cases all fail in the same way, the fault lies with
the run, and the run stops. Messages of unknown exceptions may quote a patient's name: only the kind
of the exception and the places in code are kept.
"""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import PurePath
from traceback import extract_tb
from typing import TypeVar

from cxr_audit.errors import AuditError, CaseError, EngineError
from cxr_audit.vocabulary import Text, message

MOST_FRAMES = 8
NUM_FIRST = 10
Value = TypeVar("Value")


class WorkerLost(EngineError):
    """The process that did a task has died, or was ended at a limit; its message says which."""


class RemoteTrace(Exception):
    """The cause of an exception that was raised in another process.

    Parameters
    ----------
    frames : file, line and function of each call, the innermost last.
    """

    def __init__(self, frames: tuple[tuple[str, int, str], ...]) -> None:
        super().__init__(f"{len(frames)} frames in another process")
        self.frames = frames

    def __reduce__(self) -> tuple[type[RemoteTrace], tuple[tuple[tuple[str, int, str], ...]]]:
        return type(self), (self.frames,)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one case failed.

    Parameters
    ----------
    reason, hint : for the record.
    kind : name of the exception.
    error : the exception itself, for a run that stops with it.
    """

    reason: Text
    hint: Text | None
    kind: str
    error: Exception

    @classmethod
    def of(cls, error: Exception) -> Failure:
        """The failure that an exception is. An error of the run, such as a full disk, is raised."""
        if isinstance(error, CaseError | WorkerLost):
            return cls(error.message, error.hint, type(error).__name__, error)
        if isinstance(error, AuditError):
            raise error
        kind = type(error).__name__
        if isinstance(error, MemoryError):
            reason: Text = message("audit.out_of_memory")
        else:
            reason = message("audit.unexpected", kind=kind, places=", ".join(places_of(error)))
        return cls(reason, message("audit.report_unexpected"), kind, error)

    @property
    def is_expected(self) -> bool:
        """Whether the file itself is at fault."""
        return isinstance(self.error, CaseError)


class FirstCases:
    """Stops a run whose first cases all fail with the same unexpected exception."""

    def __init__(self) -> None:
        self._num = 0
        self._reason: Text | None = None

    def add(self, failure: Failure | None) -> None:
        """Count a case: its failure, None where it did not fail.

        Raises
        ------
        Exception : that of the tenth case, where the first ten have the same.
        """
        if self._num >= NUM_FIRST:
            return
        if failure is None or failure.is_expected:
            self._num = NUM_FIRST
            return
        if self._num and str(failure.reason) != str(self._reason):
            self._num = NUM_FIRST
            return
        self._num += 1
        self._reason = failure.reason
        if self._num == NUM_FIRST:
            raise failure.error


def outcome(future: Future[Value]) -> Value | Failure:
    """What a task gave, or why it failed."""
    try:
        return future.result()
    except Exception as error:  # noqa: BLE001  one case's failure, whatever it is
        return Failure.of(error)


def frames_of(error: BaseException) -> tuple[tuple[str, int, str], ...]:
    """File, line and function of each call, those in another process last."""
    here = tuple((f.filename, f.lineno or 0, f.name) for f in extract_tb(error.__traceback__))
    cause = error.__cause__
    return here + (cause.frames if isinstance(cause, RemoteTrace) else ())


def places_of(error: BaseException) -> list[str]:
    """The innermost calls of our code and of installed libraries; no folder of this machine."""
    places = []
    for path, line, function in frames_of(error):
        parts = PurePath(path).parts
        for root in ("cxr_audit", "site-packages"):
            if root in parts:
                start = len(parts) - parts[::-1].index(root) - (root == "cxr_audit")
                places.append(f"{'/'.join(parts[start:])}:{line} {function}")
                break
    return places[-MOST_FRAMES:]

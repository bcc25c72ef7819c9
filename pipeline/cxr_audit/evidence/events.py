"""What happened to a run, in order -> `events.jsonl`, a hash chain.

One JSON object a line: number, time (UTC), event, its facts, and `previous`, the SHA-256 of the
line before with its line end; the first line's `previous` is the identity of the run. No line can
be changed, dropped, added or moved without a break in all that follow (linking: Haber and
Stornetta, J Cryptology 3, 1991). Lines are only ever added. A line that a kill has torn off is
cut away when the run goes on, and an event says so. Refuses to go on from a broken chain, and
with a case whose record is not the one of its event.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from cxr_audit.errors import EngineError, VerificationError
from cxr_audit.evidence.folder import DELIVERED, RunFolder, file_sha256, remedy, write_whole
from cxr_audit.evidence.sbom import SBOM
from cxr_audit.records import RunRecord

Kind = Literal[
    "started",  # with which config, model, software
    "resumed",  # the same
    "limited",  # by --limit, to so many cases spread over the list
    "repaired",  # a torn last line was cut away
    "calibrated",  # the colour scales
    "case",  # a case's record stands; its status
    "found",  # a record stands that a broken off run had no time to enter here
    "reopened",  # a case is audited again
    "rewriting",  # documents are about to be written again, by render or sign
    "restored",  # documents are as they were sealed, after signing has broken off
    "rendered",  # the documents were written again
    "reported",  # the documents of the whole run stand
    "signed",  # by whom, what for, which files
    "sealed",  # what SHA256SUMS holds beside this file
]
Event = dict[str, Any]
# What is read again.
FACTS: dict[str, type | tuple[type, ...]] = {
    "event": str,
    "case_id": str,
    "private": dict,
    "documents": (dict, list),
}
EVENTS_SINCE = 2  # schema version of run.json


class EventLog:
    """The chain of a run, opened to go on. `open` makes it where there is none.

    Raises `VerificationError` where the chain is broken, `EngineError` where it cannot be written.
    """

    def __init__(self, folder: RunFolder, events: list[Event], head: str) -> None:
        self._path = folder.events
        self._number = len(events)
        self._head = head
        self._last = _time_of(events[-1]) if events else None
        self._cases = cases_of(events)
        self._beside = cases_of(events, "beside_sha256")

    @classmethod
    def open(cls, folder: RunFolder) -> EventLog:
        path = folder.events
        data = path.read_bytes() if path.is_file() else b""
        whole, torn = data[: data.rfind(b"\n") + 1], data[data.rfind(b"\n") + 1 :]
        events, head, problem = read_chain(whole, identity(folder.read_run()))
        if problem is not None:
            raise VerificationError(
                f"{path.name}: {problem}", "take the run from where it was archived"
            )
        log = cls(folder, events, head)
        if torn:
            os.truncate(path, len(whole))
            log.append(
                "repaired", dropped_bytes=len(torn), dropped_sha256=hashlib.sha256(torn).hexdigest()
            )
        return log

    def append(self, event: Kind, **facts: Any) -> None:
        """Add a line; it stands whole or not at all.

        The line of a case may be lost in a power cut: the case is then found again. A clock that
        shows an earlier time than at the last event is named in the line.
        """
        time = datetime.now(UTC).replace(microsecond=0)
        if self._last is not None and time < self._last:
            facts["clock_back_s"] = round((self._last - time).total_seconds())
        entry = {
            "number": self._number,
            "time": time.isoformat().replace("+00:00", "Z"),
            "event": event,
            **facts,
            "previous": self._head,
        }
        line = json.dumps(entry, separators=(",", ":")).encode() + b"\n"
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                write_whole(descriptor, line)
                if event != "case":
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise EngineError(
                f"cannot write {self._path.name}: {error.strerror}", remedy(error)
            ) from error
        self._number += 1
        self._head = hashlib.sha256(line).hexdigest()
        self._last = time
        self._cases |= cases_of([entry])
        self._beside |= cases_of([entry], "beside_sha256")

    def begin(self, folder: RunFolder, run: RunRecord, finished: Collection[str]) -> None:
        """A run starts, or goes on with finished cases; those not named yet are named now.

        Parameters
        ----------
        folder, run : the run.
        finished : ids of the cases whose records stand.

        Raises
        ------
        VerificationError : a finished case's record, or a file beside it, is not that of its event.
        """
        self.append(
            "resumed" if self._number else "started",
            config_sha256=run.config_sha256,
            model_sha256=run.model.sha256,
            segmenter_sha256=run.software.segmenter_sha256,
            sbom_sha256=file_sha256(folder.path / SBOM),
            num_cases=run.cases.num_cases,
            versions=run.software.versions,
            private=_sums(path for path in folder.private.glob("*") if path.name != DELIVERED),
        )
        for case_id in sorted(set(self._cases) - set(finished)):
            if self._cases[case_id] is not None:
                self.append("reopened", case_id=case_id, sha256=None)
        for case_id in finished:
            sums = _sums_of_case(folder, case_id)
            if self._cases.get(case_id) is None:
                self.append("found", case_id=case_id, **sums)
            else:
                self._require_known(case_id, sums)

    def _require_known(self, case_id: str, sums: dict[str, str]) -> None:
        """Refuse a finished case that is not the one of its event."""
        if self._cases[case_id] != sums["sha256"]:
            what = f"cases/{case_id}/case.json is not the record"
        elif self._beside[case_id] not in (None, sums["beside_sha256"]):
            what = f"cases/{case_id}: its files are not those"
        else:
            return
        raise VerificationError(
            f"changed: {what} that {self._path.name} names for this case",
            "remove the folder of this case, and --resume audits it again",
        )

    def adopt(self, folder: RunFolder, run: RunRecord) -> None:
        """Name the cases of a finished run older than events, before anything is changed."""
        case_ids = folder.case_ids()
        if run.schema_version < EVENTS_SINCE and not self._cases.keys() >= set(case_ids):
            self.begin(folder, run, case_ids)

    def add_case(self, folder: RunFolder, case_id: str, status: str) -> None:
        """Append the event that the record of a case is written.

        Parameters
        ----------
        folder : the run.
        case_id : of the case.
        status : of its record.
        """
        self.append("case", case_id=case_id, status=status, **_sums_of_case(folder, case_id))

    def add_documents(self, folder: RunFolder) -> None:
        """Append the event that the documents of the whole run are written."""
        self.append(
            "reported",
            documents=_sums(folder.path.glob("*.html")) | _sums(folder.path.glob("*.pdf")),
        )


def identity(run: RunRecord) -> str:
    """What the first line follows: SHA-256 of the run's name, start, config, model and seed."""
    parts = (run.name, run.started, run.config_sha256, run.model.sha256, run.seed)
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def read_chain(data: bytes, origin: str) -> tuple[list[Event], str, str | None]:
    """Read a chain up to its first break.

    Parameters
    ----------
    data : the whole lines of the file.
    origin : what the first line follows, see `identity`.

    Returns
    -------
    The events, the SHA-256 that the next line has to follow, and what breaks the chain, None =
    nothing.
    """
    events: list[Event] = []
    head = origin
    for number, line in enumerate(data.splitlines(keepends=True)):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):
            return events, head, f"line {number + 1} is no JSON"
        if not isinstance(entry, dict) or entry.get("number") != number:
            flaw = f"line {number + 1} has not the number {number}"
            return events, head, f"{flaw}: a line was dropped, added or moved"
        if not all(isinstance(entry[name], kind) for name, kind in FACTS.items() if name in entry):
            return events, head, f"line {number + 1} is no event of a run"
        if entry.get("previous") != head:
            if number == 0:
                return events, head, "line 1 is of another run, or of another run.json"
            flaw = f"line {number} was changed: line {number + 1} does not follow from it"
            return events, head, flaw
        events.append(entry)
        head = hashlib.sha256(line).hexdigest()
    return events, head, None


def cases_of(events: list[Event], what: str = "sha256") -> dict[str, str | None]:
    """The SHA-256 of each case's record after some events, or of the files beside it.

    None where the case was to be audited again.
    """
    return {event["case_id"]: event.get(what) for event in events if "case_id" in event}


def clock_reversals(events: list[Event]) -> list[tuple[int, int]]:
    """Where the clock went back: the number of the later event, and by how many seconds."""
    steps_back = []
    for earlier, later in itertools.pairwise(events):
        before, after = _time_of(earlier), _time_of(later)
        if before is not None and after is not None and after < before:
            steps_back.append((later["number"], round((before - after).total_seconds())))
    return steps_back


def _time_of(event: Event) -> datetime | None:
    """When an event happened; None where it does not say so in a form that can be read."""
    try:
        time = datetime.fromisoformat(event["time"])
    except (KeyError, TypeError, ValueError):
        return None
    return time if time.tzinfo else None


def _sums(paths: Iterable[Path]) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in sorted(paths)}


def _sums_of_case(folder: RunFolder, case_id: str) -> dict[str, str]:
    """Of its record, and of the files beside it but its PDF, which may be written again."""
    sums = _sums(folder.case(case_id).iterdir())
    record = sums.pop("case.json")
    sums.pop("report.pdf", None)
    return {
        "sha256": record,
        "beside_sha256": hashlib.sha256(json.dumps(sums).encode()).hexdigest(),
    }

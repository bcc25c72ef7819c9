"""What was delivered where: `private/dicom/ledger.jsonl`, one line for each change of state.

A line is added and never changed, and is on the disk before the next step: an export that is
broken off goes on where it was. The file names examinations; it lies below `private/` with mode
0600.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydicom.dataset import Dataset

from cxr_audit.errors import ConfigError, VerificationError
from cxr_audit.evidence import DELIVERED, RunFolder
from cxr_audit.vocabulary import Message

NAME = "ledger.jsonl"
State = Literal["queued", "stored", "confirmed"]


@dataclass(frozen=True, slots=True)
class Entry:
    """The state of one object at one destination.

    Parameters
    ----------
    target : the destination, as it was named.
    case_id, kind : which object.
    uid, class_uid, series_uid, study_uid : of the object.
    evidence : what the object was made from, see `objects.evidence_of`.
    generation, supersedes : of the case's objects, and the one before it.
    state : queued = to be sent, or sent in vain; stored = the destination said so; confirmed = the
        destination was asked, and has it.
    reason : why it is still queued, or not confirmed.
    time : UTC, ISO 8601.
    """

    target: str
    case_id: str
    kind: str
    uid: str
    class_uid: str
    series_uid: str
    study_uid: str
    evidence: str
    generation: str
    supersedes: str | None = None
    state: State = "queued"
    reason: str | None = None
    time: str = ""

    @property
    def is_delivered(self) -> bool:
        return self.state != "queued"

    def reference(self) -> Dataset:
        """What another object needs to refer to this one."""
        dataset = Dataset()
        dataset.SOPClassUID = self.class_uid
        dataset.SOPInstanceUID = self.uid
        dataset.SeriesInstanceUID = self.series_uid
        dataset.StudyInstanceUID = self.study_uid
        return dataset


class Ledger:
    """The states of all objects of a run at one destination.

    Parameters
    ----------
    folder : the run.
    target : the destination, as it was named.
    """

    def __init__(self, folder: RunFolder, target: str) -> None:
        self._path = folder.private / DELIVERED / NAME
        self.target = target
        self._entries: dict[str, Entry] = {}
        self._of_case: dict[str, list[str]] = {}
        for entry in read_entries(self._path):
            if entry.target == target:
                self._keep(entry)

    def entry(self, uid: str) -> Entry | None:
        """The state of an object, None where it was never queued."""
        return self._entries.get(uid)

    def of_case(self, case_id: str) -> list[Entry]:
        """All objects of a case, the oldest first."""
        return [self._entries[uid] for uid in self._of_case.get(case_id, ())]

    def latest(self, case_id: str) -> list[Entry]:
        """The objects of the last generation of a case of which any was delivered."""
        entries = self.of_case(case_id)
        delivered = [entry for entry in entries if entry.is_delivered]
        if not delivered:
            return []
        return [entry for entry in entries if entry.generation == delivered[-1].generation]

    def generation(self, case_id: str, generation: str | None) -> list[Entry]:
        """The objects of one generation of a case."""
        return [entry for entry in self.of_case(case_id) if entry.generation == generation]

    def record(self, entry: Entry, state: State, reason: Message | None = None) -> Entry:
        """Add a state to the file; returns the entry with it."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        words = None if reason is None else str(reason)
        entry = replace(entry, state=state, reason=words, time=now)
        line = json.dumps(asdict(entry), sort_keys=True).encode() + b"\n"
        try:
            self._path.parent.mkdir(mode=0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            descriptor = os.open(self._path, flags, 0o600)
            try:
                os.write(descriptor, line)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError as error:
            raise ConfigError(
                f"cannot write {self._path}: {error.strerror}",
                "make private/ writable, and make room on the disk",
            ) from error
        self._keep(entry)
        return entry

    def _keep(self, entry: Entry) -> None:
        if entry.uid not in self._entries:
            self._of_case.setdefault(entry.case_id, []).append(entry.uid)
        self._entries[entry.uid] = entry


def read_entries(path: Path) -> Iterable[Entry]:
    """The lines of a ledger; nothing where there is none.

    A last line without its end is what a killed process has left, and is skipped.

    Raises
    ------
    VerificationError : another line cannot be read.
    """
    if not path.is_file():
        return
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            yield Entry(**json.loads(line))
        except (ValueError, TypeError) as error:
            if number == len(lines):
                return
            raise VerificationError(
                f"line {number} of {NAME} cannot be read",
                "move the file away; objects that the destination has are not sent again",
            ) from error

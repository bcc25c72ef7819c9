"""A run -> its objects at a destination: made, sent, confirmed, and noted in the ledger.

A case at a time. The source file of a case is read only where one of its objects is not yet
confirmed.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import NoReturn, TypeVar

from cxr_audit import evidence, ingest
from cxr_audit.audit import find_key, find_sources
from cxr_audit.config import AuditConfig, Export, config_of
from cxr_audit.errors import CaseError, ConfigError, UnreadableFile
from cxr_audit.evidence import CaseIdKey, RunFolder, read_crosswalk
from cxr_audit.export.destination import Destination, NotDelivered, Outcome, Stop, TryAgain
from cxr_audit.export.ledger import Entry, Ledger
from cxr_audit.export.objects import (
    MadeCase,
    MadeObject,
    asked_kinds,
    evidence_of,
    generation_of,
    make_objects,
)
from cxr_audit.export.report import KIND as REPORT
from cxr_audit.export.results import (
    CaseResult,
    case_id_key_of,
    file_hmac_of,
    pixel_hmac_of,
    read_result,
)
from cxr_audit.export.subject import Subject, read_subject
from cxr_audit.export.target import open_destination, target_name
from cxr_audit.records import CaseSource, RunRecord
from cxr_audit.vocabulary import message

Progress = Callable[[str, int, int], None]
WAIT_S = 1.0  # before the second try; each further one waits twice as long
LONGEST_WAIT_S = 30.0
AGAIN = "give the same command again later: it goes on; private/dicom/ledger.jsonl has each state"

Line = tuple[MadeObject, Entry]
Answer = TypeVar("Answer")


@dataclass
class Exported:
    """What came of an export.

    Parameters
    ----------
    target : the destination.
    states : number of objects by their state at the end.
    refused : (case id, kind, reason) of what was not delivered.
    not_exported : case id -> why the case has no object.
    left_out : (case id, kind, reason) of objects that cannot be made.
    already : number of objects that were confirmed before.
    """

    target: str
    states: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[str, str, str]] = field(default_factory=list)
    not_exported: dict[str, str] = field(default_factory=dict)
    left_out: list[tuple[str, str, str]] = field(default_factory=list)
    already: int = 0


def export_run(
    path: Path,
    to: str | None = None,
    overrides: Sequence[str] = (),
    progress: Progress = lambda phase, done, total: None,
    supersedes: Path | None = None,
) -> Exported:
    """Deliver the objects of a finished run.

    Parameters
    ----------
    path : the run folder, with its `private/`.
    to : a folder, or the address of a server; None = `private/dicom/objects`.
    overrides : `export.key=value` each, over the run's own config.
    progress : called with a phase, the number of cases done, and the total.
    supersedes : an earlier run over the same radiographs, whose objects at this destination are
        superseded; its cases have the same ids where the key of the case ids is the same.

    Raises
    ------
    ConfigError : the run is not finished, `private/` is not here, or the sources or the
        destination cannot be used.
    VerificationError : the run folder is not what it was when it was sealed.
    NotDelivered : some objects did not arrive; the ledger has the reasons, and the same command
        tries again.
    """
    folder = RunFolder.open(path)
    _require_private(folder)
    with evidence.locked(folder.path):
        export = _Export(folder, to, overrides, supersedes)
        with closing(open_destination(to, folder, export.config.export)) as destination:
            export.deliver(destination, progress)
    return export.done


def _require_private(folder: RunFolder) -> None:
    if not (folder.private / "crosswalk.csv").is_file():
        raise ConfigError(
            f"{folder.path} cannot be exported: its private/ is not here, and nothing else says "
            "which patient a case belongs to",
            "put back the folder private/ that the run has written",
        )
    evidence.require_unchanged(folder)


class _Export:
    """One export: what it needs to know of the run, looked up when it is first needed."""

    def __init__(
        self,
        folder: RunFolder,
        to: str | None,
        overrides: Sequence[str],
        supersedes: Path | None,
    ) -> None:
        self.folder = folder
        self.run = folder.read_run()
        self.config = own_config(folder, overrides)
        target = target_name(to, folder)
        self.ledger = Ledger(folder, target)
        self.done = Exported(target)
        self.earlier = None if supersedes is None else _earlier(self.run, supersedes, target)

    @cached_property
    def key(self) -> CaseIdKey:
        return find_key(self.config)

    @cached_property
    def located(self) -> dict[str, CaseSource]:
        """The sources as they are found now, by their path below the source."""
        return {source.relative_path: source for source in find_sources(self.config, self.key)}

    def deliver(self, destination: Destination, progress: Progress) -> None:
        sources = read_crosswalk(self.folder)
        for number, source in enumerate(sources):
            progress("cases", number, len(sources))
            if (self.folder.case(source.case_id) / "case.json").is_file():
                self._case(source, destination)
        progress("cases", len(sources), len(sources))
        self.done.states = +self.done.states  # without zeros
        _raise_refused(self.done)

    def _case(self, source: CaseSource, destination: Destination) -> None:
        result = read_result(self.folder, self.run, source.case_id)
        found = evidence_of(result, self.config.export)
        entries = self.ledger.latest(source.case_id)
        if _is_finished(entries, found, self.config.export):
            kinds = len(asked_kinds(self.config.export))
            self.done.already += kinds
            self.done.states["confirmed"] += kinds
            return
        try:
            subject = self._subject(source)
        except CaseError as error:
            self.done.not_exported[source.case_id] = str(error)
            return
        lines, made = self._make(result, subject, found, entries)
        for kind, reason in made.left_out.items():
            self.done.left_out.append((source.case_id, kind, str(reason)))
        self._deliver(lines, destination)

    def _subject(self, source: CaseSource) -> Subject:
        """Whom the case is about, from its own source file and no other."""
        located = self.located.get(source.relative_path)
        if located is None:
            raise UnreadableFile(message("export.no_source"))
        data = ingest.fetch(located, self.config.ingest.max_pixels)
        subject = read_subject(data, self.config.ingest.frame)
        if not self._is_same_file(source, located, data):
            raise UnreadableFile(message("export.other_source"))
        return subject

    def _is_same_file(self, source: CaseSource, located: CaseSource, data: bytes) -> bool:
        """By the file's hash; by its pixels where a server has corrected the header."""
        record = self.folder.read_case(source.case_id)
        assert record is not None
        sha256 = hashlib.sha256(data).hexdigest()
        if source.file_sha256 is not None:
            return source.file_sha256 == sha256
        if file_hmac_of(record) == self.key.hmac(sha256):
            return True
        display = ingest.Display(frame=self.config.ingest.frame)
        pixels = ingest.read(located, self.config.ingest.max_pixels, display)
        return pixel_hmac_of(record) == self.key.hmac(pixels.facts.source.pixel_sha256)

    def _make(
        self, result: CaseResult, subject: Subject, found: str, entries: list[Entry]
    ) -> tuple[list[Line], MadeCase]:
        """The objects with their lines in the ledger. Objects of earlier evidence are superseded."""
        if entries and entries[-1].evidence == found:
            generation, superseded = entries[-1].generation, entries[-1].supersedes
        else:
            before = entries or self._of_earlier_run(result.case_id)
            superseded = before[-1].generation if before else None
            generation = generation_of(found, superseded)
        earlier = self._generation(result.case_id, superseded)
        reports = [e.reference() for e in earlier if e.kind == REPORT and e.is_delivered]
        made = make_objects(result, subject, self.config.export, generation, reports)
        lines = []
        for item in made.objects:
            entry = self.ledger.entry(item.uid)
            if entry is None:
                entry = Entry(
                    target=self.ledger.target,
                    case_id=result.case_id,
                    kind=item.kind,
                    uid=item.uid,
                    class_uid=str(item.dataset.SOPClassUID),
                    series_uid=str(item.dataset.SeriesInstanceUID),
                    study_uid=subject.study_uid,
                    evidence=found,
                    generation=generation,
                    supersedes=superseded,
                )
                entry = self.ledger.record(entry, "queued")
            lines.append((item, entry))
        return lines, made

    def _of_earlier_run(self, case_id: str) -> list[Entry]:
        return [] if self.earlier is None else self.earlier.latest(case_id)

    def _generation(self, case_id: str, generation: str | None) -> list[Entry]:
        """The objects of a generation, of this run or of the one that it supersedes."""
        own = self.ledger.generation(case_id, generation)
        if own or self.earlier is None:
            return own
        return self.earlier.generation(case_id, generation)

    def _deliver(self, lines: list[Line], destination: Destination) -> None:
        """Send what the destination does not have, then ask whether it has it."""
        open_lines = [line for line in lines if line[1].state != "confirmed"]
        self.done.already += len(lines) - len(open_lines)
        self.done.states["confirmed"] += len(lines) - len(open_lines)
        try:
            missing = [line for line in open_lines if not self._confirm(line, destination)]
            stored = self._send(missing, destination) if missing else []
            for line in stored:
                if not self._confirm(line, destination):
                    self.done.states["stored"] += 1
        except (Stop, TryAgain) as failure:
            self._note_failure(open_lines, failure)

    def _confirm(self, line: Line, destination: Destination) -> bool:
        """Whether the destination has an object; the ledger says so then."""
        made, entry = line
        if not self._patiently(lambda: destination.has(made)):
            return False
        self.ledger.record(entry, "confirmed")
        self.done.states["confirmed"] += 1
        return True

    def _send(self, lines: list[Line], destination: Destination) -> list[Line]:
        """The objects that the destination took."""
        outcomes = self._patiently(lambda: destination.send([made for made, _ in lines]))
        stored = []
        for made, entry in lines:
            outcome = outcomes.get(made.uid)
            if outcome is None:  # the answer does not name it: what counts is what is there
                is_there = self._patiently(partial(destination.has, made))
                outcome = Outcome(bool(is_there), message("export.no_answer"))
            if outcome.is_stored:
                stored.append((made, self.ledger.record(entry, "stored", outcome.reason)))
                continue
            self.ledger.record(entry, "queued", outcome.reason)
            self.done.states["queued"] += 1
            self.done.refused.append((made.case_id, made.kind, str(outcome.reason)))
        return stored

    def _patiently(self, call: Callable[[], Answer]) -> Answer:
        """Call again after a failure that may pass, a limited number of times."""
        wait_s = WAIT_S
        for _ in range(self.config.export.tries - 1):
            try:
                return call()
            except TryAgain:
                time.sleep(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
        return call()

    def _note_failure(self, lines: list[Line], failure: Stop | TryAgain) -> NoReturn:
        """End the export: further cases would meet the same failure."""
        for made, entry in lines:
            now = self.ledger.entry(made.uid) or entry
            if now.state == "queued":
                self.ledger.record(now, "queued", failure.reason)
        hint = failure.hint if isinstance(failure, Stop) and failure.hint else AGAIN
        raise NotDelivered(f"the export has stopped: {failure.reason}", hint) from None


def _earlier(run: RunRecord, supersedes: Path, target: str) -> Ledger:
    """What an earlier run delivered to the same destination."""
    folder = RunFolder.open(supersedes)
    if case_id_key_of(folder.read_run()) != case_id_key_of(run):
        raise ConfigError(
            f"the cases of {supersedes} have other ids: its key of the case ids is another",
            "audit with the same key (privacy.key_file) to supersede earlier results",
        )
    ledger = Ledger(folder, target)
    if not any(ledger.latest(case_id) for case_id in folder.case_ids()):
        raise ConfigError(
            f"{supersedes} has delivered nothing to this destination",
            "leave --supersedes out, or give the run whose objects are there",
        )
    return ledger


def _is_finished(entries: list[Entry], found: str, settings: Export) -> bool:
    """Whether every kind of object that is asked for is confirmed, of this evidence."""
    confirmed = {
        entry.kind for entry in entries if entry.evidence == found and entry.state == "confirmed"
    }
    return set(asked_kinds(settings)) <= confirmed


def _raise_refused(done: Exported) -> None:
    if not done.refused:
        return
    reasons = Counter(reason for _, _, reason in done.refused)
    words = "; ".join(f"{count}: {reason}" for reason, count in reasons.most_common(5))
    raise NotDelivered(f"{len(done.refused)} objects were not delivered. {words}", AGAIN)


def own_config(folder: RunFolder, overrides: Sequence[str]) -> AuditConfig:
    """The config of a run, from `private/config.json`, with another section `export`."""
    for text in overrides:
        if not text.startswith("export."):
            raise ConfigError(
                f"--set {text.partition('=')[0]} is no key of the section export",
                "an export can change the section export only",
            )
    path = folder.private / "config.json"
    try:
        values = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}", "put back the file that the run has written"
        ) from error
    return config_of(values, overrides)

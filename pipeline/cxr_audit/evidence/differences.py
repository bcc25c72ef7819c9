"""A sealed run folder -> every difference to its checksums and to its chain of events.

While documents are written again `SHA256SUMS` stays as it was, and an event says that they are
being written. Where that was interrupted, everything but the documents is bound as before, and
`verify` names the command that completes it. Signing only appends to documents: what was sealed of
them is still there, and is what is signed again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

from cxr_audit.errors import AuditError, ConfigError, VerificationError
from cxr_audit.evidence.checksums import (
    TEMPORARY,
    digest_of,
    line_of,
    lines_of,
    names_of,
    read_sums,
    sum_of_lines,
)
from cxr_audit.evidence.events import EVENTS_SINCE, Event, cases_of, identity, read_chain
from cxr_audit.evidence.folder import (
    CHECKSUMS,
    PRIVATE,
    SEALS,
    SIGNATURE,
    SIGNATURE_SUM,
    Difference,
    Problem,
    RunFolder,
    file_sha256,
    write,
)
from cxr_audit.evidence.private import crosswalk_problems, private_files
from cxr_audit.evidence.remedies import is_signature_gone, remedy
from cxr_audit.records import RunRecord

# Events that `render` and `sign` add, and those before them in a run that is older than events.
OF_DOCUMENTS = {"repaired", "restored", "rewriting", "rendered", "signed", "reported", "sealed"}
ADOPTED = {"started", "found"}
# Events after which a run is sealed; a second seal without one of them was made by hand.
OF_COMMANDS = {"started", "resumed", "rewriting", "rendered", "signed", "restored"}
# Made from the records, as each report.pdf is; the first three are documents.
OF_RUN = (
    *("index.html", "summary.pdf", "annexes.pdf"),
    *("readers.json", "cases.csv", "cases.csv-metadata.json", "cohort.json"),
)
# By the name of the command that was interrupted; giving it again completes it.
BEGINNING = Problem(
    "unfinished", "render or sign", "a command was interrupted before it wrote documents"
)
RENDERING = Problem("unfinished", "render", "a command was interrupted while it wrote documents")
SIGNING = Problem("unfinished", "sign", "a command was interrupted while it signed documents")
UNFINISHED = (BEGINNING, RENDERING, SIGNING)


def verify(folder: RunFolder) -> list[Problem]:
    """Every difference between the folder and its checksums and events; empty = no change.

    Raises
    ------
    VerificationError : there is no readable `SHA256SUMS`.
    ConfigError : a run of its schema version cannot be read here.
    """
    expected = read_sums(folder)
    digests = {name: digest_of(folder.path / name) for name in names_of(folder)}
    problems = _file_problems(expected, digests)
    problems |= _seal_problems(folder, expected)
    try:
        run = folder.read_run()
    except AuditError as error:
        if isinstance(error, ConfigError) and Problem("changed", "run.json") not in problems:
            raise
        return sorted([*problems, Problem("unreadable", str(error))])
    problems |= set(crosswalk_problems(folder, run))
    problems = _with_events(folder, run, expected, digests, problems)
    if any(is_signature_gone(problem) for problem in problems):
        temporary = f".{SIGNATURE}{TEMPORARY[1:]}"
        problems = {problem for problem in problems if not PurePath(problem.name).match(temporary)}
    return sorted(problems)


def require_unchanged(folder: RunFolder, but: Container[str | Problem] = ()) -> list[Problem]:
    """The problems of a sealed run that `but` allows.

    Any other problem would look like the run's own once it is sealed again.

    Parameters
    ----------
    but : problems, and names of files, and of folders of files, that are about to be written again
        or removed.

    Raises
    ------
    VerificationError : there is another problem.
    """
    problems = verify(folder) if folder.is_sealed else []
    refused = []
    for problem in problems:
        parent = PurePath(problem.name).parent.as_posix()
        if problem not in but and problem.name not in but and parent not in but:
            refused.append(problem)
    if refused:
        lines = "\n".join(map(str, refused))
        raise VerificationError(
            f"{folder.path} was changed after it was sealed:\n{lines}", remedy(refused)
        )
    return problems


def documents(folder: RunFolder) -> set[str]:
    """The names of the documents that `render` writes."""
    of_cases = {f"cases/{case_id}/report.pdf" for case_id in folder.case_ids()}
    return {*OF_RUN[:3], *of_cases}


def sealed_part(path: Path, sha256: str | None) -> bytes | None:
    """What a PDF was when it was sealed, None where it is another file.

    Signing only appends (ISO 32000-1, 7.5.6): one of the ends of file in the PDF is the sealed one.
    """
    if path.is_symlink() or not path.is_file():
        return None
    data = path.read_bytes()
    ends = [len(data)]
    for mark in re.finditer(b"%%EOF", data):
        ends += [mark.end(), mark.end() + 1, mark.end() + 2]  # a line end may belong to it
    for end in ends:
        if hashlib.sha256(data[:end]).hexdigest() == sha256:
            return data[:end]
    return None


def put_back(folder: RunFolder) -> None:
    """After signing was interrupted: every PDF as it was sealed, without the signatures since."""
    for name, sha256 in read_sums(folder).items():
        if name.endswith(".pdf") and file_sha256(folder.path / name) != sha256:
            data = sealed_part(folder.path / name, sha256)
            assert data is not None, "verified before"
            write(folder.path / name, data)


def _file_problems(expected: Mapping[str, str], digests: Mapping[str, str]) -> set[Problem]:
    """Files that are not what `SHA256SUMS` names."""
    problems = {Problem("added", name) for name in digests if name not in expected}
    for name, sha256 in expected.items():
        if name not in digests:
            problems.add(Problem("missing", name))
        elif digests[name] != sha256:
            problems.add(Problem("changed", name))
    return problems


def _seal_problems(folder: RunFolder, expected: Mapping[str, str]) -> set[Problem]:
    """What is wrong with `SHA256SUMS` and its signature as files."""
    problems = set()
    for name in SEALS:
        if (folder.path / name).is_symlink():
            problems.add(Problem("changed", name, "a link in its place"))
    if (folder.path / CHECKSUMS).read_bytes() != lines_of(expected):
        problems.add(Problem("changed", CHECKSUMS, "not in the form that a run writes"))
    signature = folder.path / SIGNATURE
    its_sum = folder.path / SIGNATURE_SUM
    if signature.exists() and not its_sum.exists():
        problems.add(Problem("missing", SIGNATURE_SUM))
    elif its_sum.exists():
        is_right = its_sum.is_file() and its_sum.read_bytes() == line_of(signature)
        if not is_right:
            problems.add(Problem("changed", SIGNATURE, f"it does not fit {SIGNATURE_SUM}"))
    return problems


@dataclass(frozen=True, slots=True)
class _Chain:
    """`events.jsonl` as it stands.

    Parameters
    ----------
    events : of the whole lines, up to a break.
    num_sealed : how many of them `SHA256SUMS` names; None = it names no beginning of the file.
    is_torn : the last line has no end.
    flaw : what breaks the chain first.
    """

    events: list[Event]
    num_sealed: int | None
    is_torn: bool
    flaw: str | None

    @property
    def since(self) -> list[Event]:
        """The events after the seal."""
        return [] if self.num_sealed is None else self.events[self.num_sealed :]


def _read(folder: RunFolder, run: RunRecord, sha256: str | None, is_older: bool) -> _Chain:
    data = folder.events.read_bytes() if folder.events.is_file() else b""
    whole = data[: data.rfind(b"\n") + 1]
    events, _, flaw = read_chain(whole, identity(run))
    num_sealed = 0 if is_older else _num_named(whole, sha256)
    return _Chain(events, num_sealed, data != whole, flaw)


def _with_events(
    folder: RunFolder,
    run: RunRecord,
    expected: Mapping[str, str],
    digests: Mapping[str, str],
    problems: set[Problem],
) -> set[Problem]:
    """The problems with those of the events, without those that an interrupted command explains."""
    name = folder.events.name
    is_older = run.schema_version < EVENTS_SINCE and name not in expected
    if name not in digests:
        missing = set() if is_older else {Problem("missing", name)}
        return problems | missing
    chain = _read(folder, run, expected.get(name), is_older)
    events = chain.events
    flaw = chain.flaw
    if _is_interrupted(folder, chain, is_older):
        sealed = _at(expected, digests)
        rewritten, interrupted = _interrupted(folder, chain.since, sealed)
        problems = {problem for problem in problems if not _is_excused(problem, rewritten)}
        problems.add(interrupted)
        events = events[: chain.num_sealed]
        digests = {**digests, name: expected.get(name, "")}
    elif chain.is_torn and flaw is None:
        flaw = "the last line is torn off"
    if flaw is not None:
        return problems | {Problem("broken", name, flaw)}
    if chain.since and is_older:
        return problems
    return problems | set(_event_problems(folder, events, digests, expected))


def _at(sums: Mapping[str, str], files: Mapping[str, str]) -> dict[str, str]:
    """The sums of those files that exist."""
    return {file: digest for file, digest in sums.items() if file in files}


def _is_interrupted(folder: RunFolder, chain: _Chain, is_older: bool) -> bool:
    """Whether a command that writes documents has begun after the seal and not ended."""
    if chain.num_sealed is None or folder.events.is_symlink():
        return False
    if not chain.since and not chain.is_torn:
        return False
    kinds = {event.get("event") for event in chain.since}
    return kinds <= OF_DOCUMENTS | (ADOPTED if is_older else set())


def _interrupted(
    folder: RunFolder, since: list[Event], sealed: Mapping[str, str]
) -> tuple[set[str], Problem]:
    """The files that may differ, since they were being written, and which command was interrupted.

    Signing names its documents and only appends to them. Where the crosswalk is kept elsewhere,
    `cohort.json` cannot be measured again, and stays.
    """
    events = folder.events.name
    begun = [event for event in since if event.get("event") == "rewriting"]
    if not begun:
        return {events}, BEGINNING
    if not all("documents" in event for event in begun):
        of_run = OF_RUN if (folder.private / "crosswalk.csv").is_file() else OF_RUN[:-1]
        return {*documents(folder), *of_run, events}, RENDERING
    signed = {events}
    for event in begun:
        for file in map(str, event["documents"]):
            if file in sealed and sealed_part(folder.path / file, sealed[file]) is not None:
                signed.add(file)
    return signed, SIGNING


def _is_excused(problem: Problem, rewritten: set[str]) -> bool:
    return problem.name in rewritten or PurePath(problem.name).match(TEMPORARY)


def _num_named(log: bytes, sha256: str | None) -> int | None:
    """How many events `SHA256SUMS` names by their SHA-256; None where it names no beginning."""
    begun = hashlib.sha256()
    for number, line in enumerate(log.splitlines(keepends=True), 1):
        begun.update(line)
        if begun.hexdigest() == sha256:
            return number
    return None


def _event_problems(
    folder: RunFolder, events: list[Event], digests: Mapping[str, str], expected: Mapping[str, str]
) -> Iterator[Problem]:
    """What the chain says against the folder: it binds each record and, when sealed, all files."""
    yield from _record_problems(folder, events, digests, expected)
    yield from _private_problems(folder, events)
    yield from _signature_problems(folder, events)
    yield from _last_event_problems(folder, events, digests, expected)
    yield from _seals_by_hand(folder, events)


def _record_problems(
    folder: RunFolder, events: list[Event], digests: Mapping[str, str], expected: Mapping[str, str]
) -> Iterator[Problem]:
    records = cases_of(events)
    for case_id in sorted({*records, *folder.case_ids()}):
        file = f"cases/{case_id}/case.json"
        fits_sums = digests.get(file) == expected.get(file)
        if not fits_sums or digests.get(file) == records.get(case_id):
            continue
        kind: Difference = "changed" if case_id in records else "added"
        if file not in digests:
            kind = "missing"
        why = f"not the record that {folder.events.name} names for this case"
        yield Problem(kind, file, why)


def _private_problems(folder: RunFolder, events: list[Event]) -> Iterator[Problem]:
    bound: dict[str, str] = {}
    for event in events:
        bound = event.get("private", bound)
    for path in private_files(folder):
        if file_sha256(path) != bound.get(path.name):
            kind: Difference = "changed" if path.name in bound else "added"
            yield Problem(kind, f"{PRIVATE}/{path.name}")


def _signature_problems(folder: RunFolder, events: list[Event]) -> Iterator[Problem]:
    """Whether the last seal was signed, by the events, and whether a signature is there."""
    kinds = [event.get("event") for event in events]
    seals = [number for number, kind in enumerate(kinds) if kind == "sealed"]
    before_last = seals[-2] if len(seals) > 1 else 0
    of_documents = [kind for kind in kinds[before_last:] if kind in ("signed", "rendered")]
    is_signed = of_documents[-1:] == ["signed"]
    name = folder.events.name
    if is_signed and not folder.is_signed:
        yield Problem("missing", SIGNATURE, f"{name} says that it was made")
    if folder.is_signed and not is_signed:
        yield Problem("added", SIGNATURE, f"{name} names no signature of this seal")


def _last_event_problems(
    folder: RunFolder, events: list[Event], digests: Mapping[str, str], expected: Mapping[str, str]
) -> Iterator[Problem]:
    """Whether the last event seals the very lines of `SHA256SUMS`."""
    name = folder.events.name
    others = {file: digest for file, digest in expected.items() if file != name}
    last = events[-1] if events else {}
    is_sealed = last.get("event") == "sealed" and last.get("sha256") == sum_of_lines(others)
    is_named = digests.get(name) == expected.get(name)
    if is_named and not is_sealed:
        why = f"not the one that the last line of {name} has sealed"
        yield Problem("changed", CHECKSUMS, why)
    if is_sealed and not is_named:
        why = f"its line for {name} was changed, or the last line of {name} was"
        yield Problem("changed", CHECKSUMS, why)


def _seals_by_hand(folder: RunFolder, events: list[Event]) -> Iterator[Problem]:
    """A seal that follows another one without a command that writes: not one of this program."""
    seal: int | None = None
    for event in events:
        kind = event.get("event")
        if kind in OF_COMMANDS:
            seal = None
        if kind == "sealed":
            if seal is not None:
                why = (
                    f"sealed again by event {event['number']} after event {seal}, without a "
                    "command that writes between them"
                )
                yield Problem("resealed", folder.events.name, why)
            seal = event["number"]

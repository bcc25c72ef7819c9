"""A run folder -> `SHA256SUMS`, and every difference to it in words.

`SHA256SUMS` is in the format of coreutils' `sha256sum -c`. It names every file but itself, its signature and
`private/`, which may be kept elsewhere: its files are bound by the event `started` or `resumed`. See the package for
how it holds together with `events.jsonl`.

While documents are written again it stands as it was, and an event says that they are: where that breaks off, all but
the documents is bound as before, and `verify` says how to end it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path, PurePath

from pipeline.errors import AuditError, ConfigError, VerificationError
from pipeline.evidence.events import EVENTS_SINCE, EventLog, cases_of, identity, read_chain
from pipeline.evidence.folder import CHECKSUMS, PRIVATE, SEALS, SIGNATURE, SIGNATURE_SUM, RunFolder, file_sha256, write
from pipeline.evidence.private import crosswalk_problems, private_files
from pipeline.records import RunRecord

TEMPORARY = ".*.tmp"  # what a killed process has left of `write`
# How the problems of the signature alone end; signing or rendering that a kill or a server has broken off leaves them.
OF_SIGNATURE = ("says that it was made", "one does not fit the other")
# Made from the records, as each report.pdf is; the first two are documents.
OF_RUN = ("index.html", "summary.pdf", "cases.csv", "cases.csv-metadata.json", "cohort.json")
UNFINISHED = "documents were being written again, and that broke off"


def seal(folder: RunFolder, events: EventLog) -> None:
    """The run's last two lines of work: the event that binds every other file, and `SHA256SUMS`."""
    for stray in folder.path.rglob(TEMPORARY):
        stray.unlink()
    while empty := [name for name in _names(folder) if name.endswith("/")]:
        for name in empty:
            (folder.path / name).rmdir()
    events.add_documents(folder)
    sums = {name: file_sha256(folder.path / name) for name in _names(folder) if name != folder.events.name}
    events.append("sealed", files=len(sums), sha256=hashlib.sha256(_lines(sums)).hexdigest())
    sums[folder.events.name] = file_sha256(folder.events)
    for name in (SIGNATURE, SIGNATURE_SUM):  # of the SHA256SUMS that was
        (folder.path / name).unlink(missing_ok=True)
    write(folder.path / CHECKSUMS, _lines(sums))


def verify(folder: RunFolder) -> list[str]:
    """Every difference between the folder and its checksums and events, in words; empty = nothing was changed.

    Raises `VerificationError` where there is no readable `SHA256SUMS`, `ConfigError` where a run of its schema version
    cannot be read here.
    """
    try:
        data = (folder.path / CHECKSUMS).read_bytes()
        lines = data.decode().removesuffix("\n").split("\n")
        expected = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError) as error:
        raise VerificationError(
            f"{folder.path} has no readable {CHECKSUMS}",
            "the run has not finished: cxr-audit run CONFIG --resume",
        ) from error
    found = {name: _digest(folder.path / name) for name in _names(folder)}
    problems = [f"missing: {name}" for name in expected if name not in found]
    problems += [f"added: {name}" for name in found if name not in expected]
    problems += [f"changed: {name}" for name in expected if name in found and found[name] != expected[name]]
    problems += [f"changed: {name}: a link in its place" for name in SEALS if (folder.path / name).is_symlink()]
    if data != _lines(expected):
        problems.append(f"changed: {CHECKSUMS}: not as it is written")
    signature, its_sum = (folder.path / name for name in (SIGNATURE, SIGNATURE_SUM))
    if (signature.exists() or its_sum.exists()) and not (
        its_sum.is_file() and its_sum.read_bytes() == sum_of(signature)
    ):
        problems.append(f"changed: {SIGNATURE}, or its .sha256: {OF_SIGNATURE[1]}")
    try:
        run = folder.read_run()
    except AuditError as error:
        if isinstance(error, ConfigError) and "changed: run.json" not in problems:
            raise
        return sorted([*problems, f"unreadable: {error}"])
    name = folder.events.name
    log = folder.events.read_bytes() if folder.events.is_file() else b""
    num_sealed = _rewritten_since(log, expected.get(name))
    if num_sealed is not None:
        log = log[: log.rfind(b"\n") + 1]  # it may have broken off within a line
        found[name] = expected.get(name, found[name])
        again = {*documents(folder), *OF_RUN, name}
        problems = [one for one in problems if not (_name(one) in again or PurePath(_name(one)).match(TEMPORARY))]
        problems.append(f"unfinished: {UNFINISHED}")
    of_events = _event_problems(folder, run, found, expected, log, num_sealed)
    return sorted({*problems, *crosswalk_problems(folder, run), *of_events})


def documents(folder: RunFolder) -> set[str]:
    """The names of the documents that `render` writes."""
    return {*OF_RUN[:2], *(f"cases/{case_id}/report.pdf" for case_id in folder.case_ids())}


def require_unchanged(folder: RunFolder, but: Container[str] = ()) -> None:
    """Raise `VerificationError` where a sealed run is not what it was: sealed again, its changes would look its own.

    `but`: files, and folders of files, that may be others, since they are about to be written again, or `UNFINISHED`.
    The signature may be gone: sealing takes it away.
    """
    found = [one for one in verify(folder) if not one.endswith(OF_SIGNATURE)] if folder.is_sealed else []
    problems = [one for one in found if not (_name(one) in but or PurePath(_name(one)).parent.as_posix() in but)]
    if problems:
        raise VerificationError("this run is not what it was:\n" + "\n".join(problems), remedy(problems))


def remedy(problems: Sequence[str]) -> str:
    """What to do about the problems that `verify` names."""
    if [_name(one) for one in problems] == [UNFINISHED]:
        return "all else is as it was; write them again: cxr-audit render RUN"
    return "this folder is not what the run has written; take it from where it was archived"


def in_words(folder: RunFolder) -> str:
    """Which run a folder holds, since a whole one may stand in another's place, and what to write down elsewhere."""
    run = folder.read_run()
    words = [f"run {run.name} of {run.started}, {run.num_cases:,} cases"]
    words.append(f"SHA-256 of {CHECKSUMS} {file_sha256(folder.path / CHECKSUMS)}")
    private = private_files(folder)
    if not private:
        words.append(f"{PRIVATE}/ is not here, or closed, and was not checked")
    elif any(path.stat().st_mode & 0o077 for path in private):
        words.append(f"{PRIVATE}/ names patients and is open to others than its owner")
    return "; ".join(words)


def _rewritten_since(log: bytes, named: str | None) -> int | None:
    """How many events `SHA256SUMS` names (by its SHA-256 of them; None = it names none), where one that follows says
    that documents are being written again; else None."""
    begun, lines = hashlib.sha256(), log.splitlines(keepends=True)
    for number, line in enumerate(lines):
        if named in (None, begun.hexdigest()):
            return number if any(b'"event":"rewriting"' in line for line in lines[number:]) else None
        begun.update(line)
    return None


def _event_problems(
    folder: RunFolder,
    run: RunRecord,
    found: Mapping[str, str],
    expected: Mapping[str, str],
    log: bytes,
    num_sealed: int | None,
) -> Iterator[str]:
    """What the chain of events says against the folder: it binds each case's record and, when sealed, all files."""
    name = folder.events.name
    if not log and name not in found:
        if run.schema_version >= EVENTS_SINCE and name not in expected:
            yield f"missing: {name}"
        return
    events, _, problem = read_chain(log, identity(run))
    if problem is not None:
        yield f"broken: {name}: {problem}"
        return
    if num_sealed == 0:
        return  # of a run that is older than events
    events = events[:num_sealed]
    records = cases_of(events)
    for case in sorted({*records, *folder.case_ids()}):
        file = f"cases/{case}/case.json"
        if found.get(file) == expected.get(file) != records.get(case):
            what = "missing" if file not in found else "changed" if case in records else "added"
            yield f"{what}: {file}: not the record that {name} has for this case"
    bound: dict[str, str] = next((event["private"] for event in reversed(events) if "private" in event), {})
    for path in private_files(folder):
        if file_sha256(path) != bound.get(path.name):
            yield f"{'changed' if path.name in bound else 'added'}: {PRIVATE}/{path.name}"
    kinds = [event.get("event") for event in events]
    seals = [0, 0, *(number for number, kind in enumerate(kinds) if kind == "sealed")]
    is_signed = "signed" in kinds[seals[-2] :]
    if is_signed and not folder.is_signed:
        yield f"missing: {SIGNATURE}: {name} {OF_SIGNATURE[0]}"
    if folder.is_signed and not is_signed:
        yield f"added: {SIGNATURE}: {name} does not know of it"
    sealed = {file: digest for file, digest in expected.items() if file != name}
    last = events[-1] if events else {}
    is_sealed = last.get("event") == "sealed" and last.get("sha256") == hashlib.sha256(_lines(sealed)).hexdigest()
    is_named = found.get(name) == expected.get(name)
    if is_named and not is_sealed:
        yield f"changed: {CHECKSUMS}: not the one that the last line of {name} has sealed"
    if is_sealed and not is_named:
        yield f"changed: {CHECKSUMS}, where it names {name}, or the last line of {name}"


def sum_of(path: Path) -> bytes:
    """The line of `sha256sum` for a file alone."""
    return _lines({path.name: file_sha256(path)})


def _lines(sums: Mapping[str, str]) -> bytes:
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()


def _name(problem: str) -> str:
    """Of the file that a problem is about; what follows it are words."""
    return problem.partition(": ")[2].partition(": ")[0]


def _digest(path: Path) -> str:
    """The SHA-256 of a file of a sealed run, which is none elsewhere and can be read."""
    try:
        return "a link" if path.is_symlink() else file_sha256(path)
    except OSError:
        return "not readable"


def _names(folder: RunFolder) -> list[str]:
    """All that stands in a run but what seals it and `private/`; of folders only those that hold nothing, with /."""
    names = []
    for path in folder.path.rglob("*"):
        name = path.relative_to(folder.path).as_posix()
        if path.is_symlink() or not path.is_dir():
            names.append(name)
        elif not any(path.iterdir()):
            names.append(f"{name}/")
    return [name for name in names if name not in SEALS and not name.startswith(f"{PRIVATE}/")]

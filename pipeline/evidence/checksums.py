"""A run folder -> `SHA256SUMS`, and every difference to it in words.

`SHA256SUMS` is in the format of coreutils' `sha256sum -c`. It names every file but itself, its signature and
`private/`, which may be kept elsewhere: its files are bound by the event `started` or `resumed`. See the package for
how it holds together with `events.jsonl`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

from pipeline.errors import AuditError, ConfigError, VerificationError
from pipeline.evidence.events import EVENTS_SINCE, EventLog, cases_of, identity, read_chain
from pipeline.evidence.folder import CHECKSUMS, PRIVATE, SEALS, SIGNATURE, SIGNATURE_SUM, RunFolder, file_sha256, write
from pipeline.evidence.private import crosswalk_problems
from pipeline.records import RunRecord

TEMPORARY = ".*.tmp"  # what a killed process has left of `write`
# How the problems of the signature alone end; signing or rendering that a kill or a server has broken off leaves them.
OF_SIGNATURE = ("says that it was made", "one does not fit the other")


def seal(folder: RunFolder, events: EventLog) -> None:
    """The run's last two lines of work: the event that binds every other file, and `SHA256SUMS`."""
    for stray in folder.path.rglob(TEMPORARY):
        stray.unlink()
    events.add_documents(folder)
    sums = {name: file_sha256(folder.path / name) for name in _files(folder) if name != folder.events.name}
    events.append("sealed", files=len(sums), sha256=hashlib.sha256(_lines(sums)).hexdigest())
    sums[folder.events.name] = file_sha256(folder.events)
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
            "the run has not finished: cxr-audit run CONFIG --resume, or cxr-audit render RUN where that broke off",
        ) from error
    found = {name: file_sha256(folder.path / name) for name in _files(folder)}
    problems = [f"missing: {name}" for name in expected if name not in found]
    problems += [f"added: {name}" for name in found if name not in expected]
    problems += [f"changed: {name}" for name in expected if name in found and found[name] != expected[name]]
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
    return sorted({*problems, *crosswalk_problems(folder, run), *_event_problems(folder, run, found, expected)})


def require_unchanged(folder: RunFolder, but: tuple[str, ...] = ()) -> None:
    """Raise `VerificationError` where a sealed run is not what it was: sealed again, its changes would look its own.
    `but`: names of files that may be others, since they are about to be written again, or `OF_SIGNATURE`."""
    problems = [one for one in verify(folder) if not one.endswith(but)] if folder.is_sealed else []
    if problems:
        raise VerificationError("this run is not what it was:\n" + "\n".join(problems), "take it from its archive")


def _event_problems(
    folder: RunFolder, run: RunRecord, found: Mapping[str, str], expected: Mapping[str, str]
) -> Iterator[str]:
    """What the chain of events says against the folder: it binds each case's record and, when sealed, all files."""
    name = folder.events.name
    if not folder.events.is_file():
        if run.schema_version >= EVENTS_SINCE and name not in expected:
            yield f"missing: {name}"
        return
    events, _, problem = read_chain(folder.events.read_bytes(), identity(run))
    if problem is not None:
        yield f"broken: {name}: {problem}"
        return
    records = cases_of(events)
    for case in sorted({*records, *folder.case_ids()}):
        file = f"cases/{case}/case.json"
        if found.get(file) == expected.get(file) != records.get(case):
            what = "missing" if file not in found else "changed" if case in records else "added"
            yield f"{what}: {file}: not the record that {name} has for this case"
    bound: dict[str, str] = next((event["private"] for event in reversed(events) if "private" in event), {})
    for path in folder.private.glob("*"):
        if file_sha256(path) != bound.get(path.name):
            yield f"{'changed' if path.name in bound else 'added'}: {PRIVATE}/{path.name}"
    kinds = [event.get("event") for event in events]
    seals = [0, 0, *(number for number, kind in enumerate(kinds) if kind == "sealed")]
    if "signed" in kinds[seals[-2] :] and not folder.is_signed:
        yield f"missing: {SIGNATURE}: {name} {OF_SIGNATURE[0]}"
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


def _files(folder: RunFolder) -> list[str]:
    names = (p.relative_to(folder.path).as_posix() for p in folder.path.rglob("*") if p.is_file() or p.is_symlink())
    return [n for n in names if n not in SEALS and not n.startswith(f"{PRIVATE}/")]

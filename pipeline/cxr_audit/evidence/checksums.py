"""A run folder -> `SHA256SUMS`, and every difference to it.

`SHA256SUMS` is in the format of coreutils' `sha256sum -c`. It names every file but itself, its signature and
`private/`, which may be kept elsewhere: its files are bound by the event `started` or `resumed`. See the package for
how it holds together with `events.jsonl`.

While documents are written again it stands as it was, and an event says that they are: where that breaks off, all but
the documents is bound as before, and `verify` says how to end it. Documents that are signed only grow: what was sealed
of them is still there, and is what is signed again.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Container, Iterator, Mapping
from pathlib import Path, PurePath

from cxr_audit.errors import AuditError, ConfigError, VerificationError
from cxr_audit.evidence.events import EVENTS_SINCE, Event, EventLog, cases_of, identity, read_chain
from cxr_audit.evidence.folder import (
    CHECKSUMS,
    LOCK,
    PRIVATE,
    SEALS,
    SIGNATURE,
    SIGNATURE_SUM,
    SIGNATURES,
    Difference,
    Problem,
    RunFolder,
    file_sha256,
    write,
)
from cxr_audit.evidence.private import crosswalk_problems, private_files

TEMPORARY = ".*.tmp"  # what a killed process has left of `write`
# The events that `render` and `sign` add, and those before them in a run that is older than events.
OF_DOCUMENTS = {"repaired", "restored", "rewriting", "rendered", "signed", "reported", "sealed"}
ADOPTED = {"started", "found"}
# Made from the records, as each report.pdf is; the first two are documents.
OF_RUN = ("index.html", "summary.pdf", "cases.csv", "cases.csv-metadata.json", "cohort.json")
# By the name of the command that broke off, which given again ends it.
BEGINNING = Problem(
    "unfinished", "render or sign", "documents were about to be written, and that broke off"
)
RENDERING = Problem(
    "unfinished", "render", "documents were being written again, and that broke off"
)
SIGNING = Problem("unfinished", "sign", "documents were being signed, and that broke off")
UNFINISHED = (BEGINNING, RENDERING, SIGNING)


def seal(folder: RunFolder, events: EventLog) -> None:
    """The run's last two lines of work: the event that binds every other file, and `SHA256SUMS`."""
    for stray in folder.path.rglob(TEMPORARY):
        stray.unlink()
    while empty := [name for name in _names(folder) if name.endswith("/")]:
        for name in empty:
            (folder.path / name).rmdir()
    events.add_documents(folder)
    sums = {
        name: file_sha256(folder.path / name)
        for name in _names(folder)
        if name != folder.events.name
    }
    events.append("sealed", files=len(sums), sha256=hashlib.sha256(_lines(sums)).hexdigest())
    sums[folder.events.name] = file_sha256(folder.events)
    for name in reversed(SIGNATURES):  # of the SHA256SUMS that was
        (folder.path / name).unlink(missing_ok=True)
    write(folder.path / CHECKSUMS, _lines(sums))


def verify(folder: RunFolder) -> list[Problem]:
    """Every difference between the folder and its checksums and events; empty = nothing was changed.

    Raises `VerificationError` where there is no readable `SHA256SUMS`, `ConfigError` where a run of its schema version
    cannot be read here.
    """
    expected = read_sums(folder)
    found = {name: _digest(folder.path / name) for name in _names(folder)}
    problems = {Problem("missing", name) for name in expected if name not in found}
    problems |= {Problem("added", name) for name in found if name not in expected}
    problems |= {
        Problem("changed", name)
        for name in expected
        if found.get(name, expected[name]) != expected[name]
    }
    problems |= {
        Problem("changed", name, "a link in its place")
        for name in SEALS
        if (folder.path / name).is_symlink()
    }
    if (folder.path / CHECKSUMS).read_bytes() != _lines(expected):
        problems.add(Problem("changed", CHECKSUMS, "not as it is written"))
    signature, its_sum = (folder.path / name for name in SIGNATURES)
    if signature.exists() and not its_sum.exists():
        problems.add(Problem("missing", SIGNATURE_SUM))
    elif its_sum.exists() and not (its_sum.is_file() and its_sum.read_bytes() == sum_of(signature)):
        problems.add(Problem("changed", SIGNATURE, f"it and {SIGNATURE_SUM} do not fit"))
    try:
        run = folder.read_run()
    except AuditError as error:
        if isinstance(error, ConfigError) and Problem("changed", "run.json") not in problems:
            raise
        return sorted([*problems, Problem("unreadable", str(error))])
    problems |= set(crosswalk_problems(folder, run))
    name = folder.events.name
    is_older = run.schema_version < EVENTS_SINCE and name not in expected
    if name not in found:
        return sorted(problems if is_older else problems | {Problem("missing", name)})
    log = folder.events.read_bytes() if folder.events.is_file() else b""
    whole = log[: log.rfind(b"\n") + 1]  # it may have broken off within a line
    events, _, flaw = read_chain(whole, identity(run))
    num_sealed = 0 if is_older else _num_named(whole, expected.get(name))
    since = [] if num_sealed is None else events[num_sealed:]
    kinds = {one.get("event") for one in since}
    is_begun = num_sealed is not None and (since or log != whole) and not folder.events.is_symlink()
    if is_begun and kinds <= OF_DOCUMENTS | (ADOPTED if is_older else set()):
        again, broken_off = _broken_off(
            folder, since, {file: expected[file] for file in found if file in expected}
        )
        problems = {
            one
            for one in problems
            if one.name not in again and not PurePath(one.name).match(TEMPORARY)
        }
        problems.add(broken_off)
        events, found[name] = events[:num_sealed], expected.get(name, "")
    elif log != whole:
        flaw = flaw or "the last line is torn off"
    if flaw is not None:
        problems.add(Problem("broken", name, flaw))
    elif not (since and is_older):
        problems.update(_event_problems(folder, events, found, expected))
    if any(map(_is_gone, problems)):
        problems = {
            one for one in problems if not PurePath(one.name).match(f".{SIGNATURE}{TEMPORARY[1:]}")
        }
    return sorted(problems)


def documents(folder: RunFolder) -> set[str]:
    """The names of the documents that `render` writes."""
    return {*OF_RUN[:2], *(f"cases/{case_id}/report.pdf" for case_id in folder.case_ids())}


def require_unchanged(folder: RunFolder, but: Container[str | Problem] = ()) -> list[Problem]:
    """The problems of a sealed run that `but` allows: sealed again, any other would look its own.

    Raises `VerificationError` where there is another.

    Parameters
    ----------
    but : problems, and names of files, and of folders of files, that are about to be written again or taken away.
    """
    found = verify(folder) if folder.is_sealed else []
    problems = [
        one
        for one in found
        if not (one in but or one.name in but or PurePath(one.name).parent.as_posix() in but)
    ]
    if problems:
        lines = "\n".join(map(str, problems))
        raise VerificationError(f"{folder.path} is not what it was:\n{lines}", remedy(problems))
    return found


def remedy(problems: Collection[Problem]) -> str:
    """What to do about the problems that `verify` names."""
    commands = [one.name for one in problems if one.kind == "unfinished"]
    if len(commands) + sum(map(_is_gone, problems)) == len(problems):
        if commands:
            again = commands[0].replace(" or ", " RUN, or cxr-audit ")
            return f"all else is as it was; give the command again: cxr-audit {again} RUN"
        return "all else is as it was; sign it again: cxr-audit sign RUN, or put the signature back from an archive"
    if all(one.kind == "not trusted" for one in problems):
        return "nothing was changed; --trust takes the certificate of the authority that the signer's comes from"
    return "this folder is not what the run has written; take it from where it was archived"


def _is_gone(problem: Problem) -> bool:
    """Whether it is that the signature of `SHA256SUMS` was taken away, or that making it broke off."""
    return problem.kind == "missing" and problem.name in SIGNATURES


def in_words(folder: RunFolder) -> str:
    """Which run a folder holds, since a whole one may stand in another's place, and what to write down elsewhere."""
    run = folder.read_run()
    words = [f"run {run.name} of {run.started}, {run.num_cases:,} cases"]
    words.append(f"SHA-256 of {CHECKSUMS} {file_sha256(folder.path / CHECKSUMS)}")
    private = private_files(folder)
    missing = [
        name for name in ("config.json", "crosswalk.csv") if folder.private / name not in private
    ]
    words += [
        f"{PRIVATE}/{name} is not here, or closed, and was not checked"
        for name in (missing if private else [""])
    ]
    if any(path.stat().st_mode & 0o077 for path in private):
        words.append(f"{PRIVATE}/ names patients and is open to others than its owner")
    return "; ".join(words)


def read_sums(folder: RunFolder) -> dict[str, str]:
    """`SHA256SUMS`: file -> SHA-256. Raises `VerificationError` where it cannot be read."""
    try:
        data = (
            (folder.path / CHECKSUMS).read_bytes() if folder.is_sealed else b""
        )  # a pipe would never end
        lines = data.decode().removesuffix("\n").split("\n")
        return {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError) as error:
        raise VerificationError(
            f"{folder.path} has no readable {CHECKSUMS}",
            "the run has not finished: cxr-audit run CONFIG --resume",
        ) from error


def sealed_part(path: Path, sha256: str | None) -> bytes | None:
    """What a PDF was when it was sealed, None where it is another: signing only appends (ISO 32000-1, 7.5.6)."""
    if path.is_symlink() or not path.is_file():
        return None
    data = path.read_bytes()
    ends = [
        len(data),
        *(one.end() + after for one in re.finditer(b"%%EOF", data) for after in range(3)),
    ]
    return next(
        (data[:end] for end in ends if hashlib.sha256(data[:end]).hexdigest() == sha256), None
    )


def put_back(folder: RunFolder) -> None:
    """After signing has broken off: every PDF as it was sealed, without the signatures that did not come to count."""
    for name, sha256 in read_sums(folder).items():
        if name.endswith(".pdf") and file_sha256(folder.path / name) != sha256:
            data = sealed_part(folder.path / name, sha256)
            assert data is not None, "verified before"
            write(folder.path / name, data)


def _num_named(log: bytes, sha256: str | None) -> int | None:
    """How many events `SHA256SUMS` names, by its SHA-256 of them; None where it is none of the first so many."""
    begun = hashlib.sha256()
    for number, line in enumerate(log.splitlines(keepends=True), 1):
        begun.update(line)
        if begun.hexdigest() == sha256:
            return number
    return None


def _broken_off(
    folder: RunFolder, since: list[Event], sealed: Mapping[str, str]
) -> tuple[set[str], Problem]:
    """The files that may be others, since they were being written, and which command broke off.

    Signing says which documents, and only appends to them. Where the crosswalk is kept elsewhere, `cohort.json` cannot
    be measured again, and stays.
    """
    begun = [one for one in since if one.get("event") == "rewriting"]
    if not begun:
        return {folder.events.name}, BEGINNING
    if all("documents" in one for one in begun):
        named = {str(file) for one in begun for file in one["documents"]} & sealed.keys()
        signed = {
            file for file in named if sealed_part(folder.path / file, sealed[file]) is not None
        }
        return signed | {folder.events.name}, SIGNING
    of_run = OF_RUN if (folder.private / "crosswalk.csv").is_file() else OF_RUN[:-1]
    return {*documents(folder), *of_run, folder.events.name}, RENDERING


def _event_problems(
    folder: RunFolder, events: list[Event], found: Mapping[str, str], expected: Mapping[str, str]
) -> Iterator[Problem]:
    """What the chain of events says against the folder: it binds each case's record and, when sealed, all files."""
    name = folder.events.name
    records = cases_of(events)
    for case in sorted({*records, *folder.case_ids()}):
        file = f"cases/{case}/case.json"
        if found.get(file) == expected.get(file) != records.get(case):
            what: Difference = (
                "missing" if file not in found else "changed" if case in records else "added"
            )
            yield Problem(what, file, f"not the record that {name} has for this case")
    bound: dict[str, str] = next(
        (event["private"] for event in reversed(events) if "private" in event), {}
    )
    for path in private_files(folder):
        if file_sha256(path) != bound.get(path.name):
            yield Problem("changed" if path.name in bound else "added", f"{PRIVATE}/{path.name}")
    kinds = [event.get("event") for event in events]
    seals = [0, 0, *(number for number, kind in enumerate(kinds) if kind == "sealed")]
    since = [kind for kind in kinds[seals[-2] :] if kind in ("signed", "rendered")]
    is_signed = since[-1:] == ["signed"]
    if is_signed and not folder.is_signed:
        yield Problem("missing", SIGNATURE, f"{name} says that it was made")
    if folder.is_signed and not is_signed:
        yield Problem("added", SIGNATURE, f"{name} does not know of it")
    sealed = {file: digest for file, digest in expected.items() if file != name}
    last = events[-1] if events else {}
    is_sealed = (
        last.get("event") == "sealed"
        and last.get("sha256") == hashlib.sha256(_lines(sealed)).hexdigest()
    )
    is_named = found.get(name) == expected.get(name)
    if is_named and not is_sealed:
        yield Problem("changed", CHECKSUMS, f"not the one that the last line of {name} has sealed")
    if is_sealed and not is_named:
        yield Problem("changed", CHECKSUMS, f"where it names {name}; or the last line of {name}")


def sum_of(path: Path) -> bytes:
    """The line of `sha256sum` for a file alone."""
    return _lines({path.name: file_sha256(path)})


def _lines(sums: Mapping[str, str]) -> bytes:
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()


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
    return [name for name in names if not _is_left_out(name)]


def _is_left_out(name: str) -> bool:
    """Whether `SHA256SUMS` leaves a file out: what seals the run, what names patients, the lock."""
    is_lock = name == LOCK or re.fullmatch(rf"{re.escape(LOCK)}\.[0-9a-f]{{16}}\.tmp", name)
    return name in SEALS or name.startswith(f"{PRIVATE}/") or bool(is_lock)

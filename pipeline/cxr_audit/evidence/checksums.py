"""A run folder -> `SHA256SUMS`, which names every file with its SHA-256.

The file has the format of coreutils' `sha256sum -c`. It leaves out itself and its signature, the
lock, and `private/`, which may be kept elsewhere: its files are bound by the event `started` or
`resumed`. The package says how it holds together with `events.jsonl`; `differences` compares.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from cxr_audit.errors import VerificationError
from cxr_audit.evidence.events import EventLog
from cxr_audit.evidence.folder import (
    CHECKSUMS,
    LOCK,
    PRIVATE,
    SEALS,
    SIGNATURES,
    RunFolder,
    file_sha256,
    write,
)

TEMPORARY = ".*.tmp"  # what a killed process has left of `write`
LOCK_IN_MAKING = re.compile(rf"{re.escape(LOCK)}\.[0-9a-f]{{16}}\.tmp")


def seal(folder: RunFolder, events: EventLog) -> None:
    """The last work of a run: the event that binds every other file, and `SHA256SUMS`."""
    for stray in folder.path.rglob(TEMPORARY):
        stray.unlink()
    _remove_empty_folders(folder)
    events.add_documents(folder)
    sums = {}
    for name in names_of(folder):
        if name != folder.events.name:
            sums[name] = file_sha256(folder.path / name)
    events.append("sealed", files=len(sums), sha256=sum_of_lines(sums))
    sums[folder.events.name] = file_sha256(folder.events)
    for name in reversed(SIGNATURES):  # they sign the SHA256SUMS before
        (folder.path / name).unlink(missing_ok=True)
    write(folder.path / CHECKSUMS, lines_of(sums))


def read_sums(folder: RunFolder) -> dict[str, str]:
    """`SHA256SUMS`: file -> SHA-256. Raises `VerificationError` where it cannot be read."""
    try:
        # A pipe would never end: only a file is read.
        data = (folder.path / CHECKSUMS).read_bytes() if folder.is_sealed else b""
        sums = {}
        for line in data.decode().removesuffix("\n").split("\n"):
            digest, name = line.split("  ", 1)
            sums[name] = digest
    except (OSError, ValueError) as error:
        raise VerificationError(
            f"{folder.path} has no readable {CHECKSUMS}",
            "the run has not finished: cxr-audit run CONFIG --resume",
        ) from error
    return sums


def names_of(folder: RunFolder) -> list[str]:
    """Every file that `SHA256SUMS` has to name; of folders the empty ones, with / at the end."""
    names = []
    for path in folder.path.rglob("*"):
        name = path.relative_to(folder.path).as_posix()
        if path.is_symlink() or not path.is_dir():
            names.append(name)
        elif not any(path.iterdir()):
            names.append(f"{name}/")
    return [name for name in names if not _is_left_out(name)]


def digest_of(path: Path) -> str:
    """The SHA-256 of a file of a sealed run, or what is wrong with it."""
    try:
        return "a link" if path.is_symlink() else file_sha256(path)
    except OSError:
        return "not readable"


def lines_of(sums: Mapping[str, str]) -> bytes:
    """The bytes of a file of checksums, in order of the names."""
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()


def sum_of_lines(sums: Mapping[str, str]) -> str:
    """The SHA-256 of `lines_of`."""
    return hashlib.sha256(lines_of(sums)).hexdigest()


def line_of(path: Path) -> bytes:
    """The line that `sha256sum` prints for one file."""
    return lines_of({path.name: file_sha256(path)})


def _remove_empty_folders(folder: RunFolder) -> None:
    while True:
        empty = [name for name in names_of(folder) if name.endswith("/")]
        if not empty:
            return
        for name in empty:
            (folder.path / name).rmdir()


def _is_left_out(name: str) -> bool:
    is_lock = name == LOCK or LOCK_IN_MAKING.fullmatch(name) is not None
    return name in SEALS or name.startswith(f"{PRIVATE}/") or is_lock

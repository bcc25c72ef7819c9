"""Records and files -> the run folder, whole or not at all.

Every file is written under a temporary name beside its place and renamed, so that nothing
half-written has a final name. `case.json` is a case's last file and the mark "done": before it
gets its name the files beside it are brought to the disk (fsync), so that after a power cut no
case looks done that is not. What that costs: `python -m benchmarks.durability`.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeVar

from cxr_audit.errors import ConfigError, EngineError, VerificationError
from cxr_audit.evidence.sbom import SBOM
from cxr_audit.records import (
    CaseRecord,
    CohortRecord,
    ReadersRecord,
    RunRecord,
    case_from_json,
    from_json,
    to_json,
)

CHECKSUMS = "SHA256SUMS"
SIGNATURE = "SHA256SUMS.p7s"
SIGNATURE_SUM = "SHA256SUMS.p7s.sha256"  # a CMS signature has parts that it does not sign
SIGNATURES = (SIGNATURE, SIGNATURE_SUM)
SEALS = (CHECKSUMS, *SIGNATURES)
LOCK = ".lock"  # who is writing; see `lock`
PRIVATE = "private"  # names and paths of patients' files; never hand it on
DELIVERED = "dicom"  # below PRIVATE: what was exported after the run, no part of its evidence
MARKS = (
    "case.json",
    "run.json",
    CHECKSUMS,
    SIGNATURE_SUM,
)  # each says that what stands beside it is whole
_AGAIN = "then give the same command again; an audit goes on with cxr-audit run CONFIG --resume"
_REMEDIES = {
    errno.ENOSPC: "make room on the disk",
    errno.EDQUOT: "make room in your quota",
    errno.EFBIG: "raise the limit of the size of files (ulimit -f)",
    errno.EROFS: "make the file system writable",
    errno.EACCES: "make the folder writable for you",
    errno.EPERM: "make the folder writable for you",
    errno.ENOENT: "the folder was moved or removed meanwhile: put it back",
    errno.ENOTDIR: "the folder was moved or removed meanwhile: put it back",
}


def remedy(error: OSError) -> str:
    """What to do after a file could not be written."""
    first = _REMEDIES.get(error.errno or 0, "check the disk and the folder")
    return f"{first}, {_AGAIN}"


Record = TypeVar("Record")


Difference = Literal[
    "added",
    "broken",
    "changed",
    "forged",  # the seal fits, the content contradicts itself
    "missing",
    "not confirmed",  # made by other code, and this code gives something else
    "not reproduced",
    "not trusted",
    "resealed",  # sealed again by no command of this program
    "unfinished",
    "unreadable",
]


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One difference between a run and what it was when it was sealed.

    Parameters
    ----------
    kind : what kind of difference.
    name : a file by its path in the run, or a command that was interrupted.
    why : what else there is to say.
    """

    kind: Difference
    name: str
    why: str = ""

    def __str__(self) -> str:
        name = self.name if self.name.isprintable() else repr(self.name)
        return ": ".join(filter(None, (self.kind, name, self.why)))


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths of a run. `create` makes a new one, `open` takes one that exists."""

    path: Path

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """A new run folder. Raises `ConfigError` where there is one or it cannot be written.

        What is left of a run that ended before its `run.json` was written is no run, and may be
        used again.
        """
        if path.exists() and not _is_before_a_run(path):
            raise ConfigError(
                f"the run folder {path} exists already; evidence is never overwritten",
                "--resume goes on with it, --set run.name=NAME starts another",
            )
        folder = cls(path)
        try:
            folder.cases.mkdir(parents=True, exist_ok=True)
            folder.private.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"cannot write the run folder {path}: {error.strerror}",
                "set run.output to a folder that you can write",
            ) from error
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """A run folder that exists. Raises `ConfigError` where `path` is none."""
        if not (path / "run.json").is_file():
            raise ConfigError(
                f"{path} is no run folder: it has no run.json",
                "give the folder that a run has written",
            )
        return cls(path)

    @property
    def cases(self) -> Path:
        return self.path / "cases"

    @property
    def private(self) -> Path:
        return self.path / PRIVATE

    def case(self, case_id: str) -> Path:
        return self.cases / case_id

    @property
    def events(self) -> Path:
        return self.path / "events.jsonl"

    @property
    def is_sealed(self) -> bool:
        """Whether the run's last file stands."""
        return (self.path / CHECKSUMS).is_file()

    @property
    def is_signed(self) -> bool:
        return (self.path / SIGNATURE).exists()

    def unseal(self) -> None:
        """Remove the checksums and their signature, before what they name is written again."""
        for name in SEALS:
            (self.path / name).unlink(missing_ok=True)

    def read_run(self) -> RunRecord:
        return _read(self.path / "run.json", partial(from_json, kind=RunRecord))

    def write_run(self, record: RunRecord) -> None:
        write(self.path / "run.json", to_json(record))

    def read_case(self, case_id: str) -> CaseRecord | None:
        """The record of a finished case, None where the case is not finished."""
        path = self.case(case_id) / "case.json"
        if not path.is_file():
            return None
        return _read(path, case_from_json)

    def read_cohort(self) -> CohortRecord | None:
        """What the run says about the classifier, None where it is not finished."""
        path = self.path / "cohort.json"
        return _read(path, partial(from_json, kind=CohortRecord)) if path.is_file() else None

    def read_readers(self) -> ReadersRecord | None:
        """What readers answered, None where nobody did."""
        path = self.path / "readers.json"
        return _read(path, partial(from_json, kind=ReadersRecord)) if path.is_file() else None

    def clear_case(self, case_id: str) -> None:
        """Remove what an unfinished case has left."""
        shutil.rmtree(self.case(case_id), ignore_errors=True)

    def case_ids(self) -> list[str]:
        """Finished cases, in order of their ids."""
        return sorted(path.parent.name for path in self.cases.glob("*/case.json"))


def _is_before_a_run(path: Path) -> bool:
    if not path.is_dir() or any(path.glob("cases/*")):
        return False
    return {entry.name for entry in path.iterdir()} <= {"cases", PRIVATE, SBOM, LOCK}


def write(path: Path, data: bytes | Iterable[bytes], mode: int = 0o644) -> None:
    """Write a file whole or not at all; a mark only after the files beside it.

    Parameters
    ----------
    path : the file; its folder is made where it does not exist.
    data : its content, or the parts of it in order.
    mode : permissions of the file.

    Raises
    ------
    EngineError
        The disk is full, or the folder is gone.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        try:
            for part in (data,) if isinstance(data, bytes) else data:
                write_whole(descriptor, part)
        finally:
            os.close(descriptor)
        if path.name in MARKS:
            _settle(path.parent)
        temporary.replace(path)
    except OSError as error:
        raise EngineError(
            f"cannot write {path.name} in {path.parent}: {error.strerror}", remedy(error)
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(descriptor: int, data: bytes) -> None:
    """Write at the end of a file all or nothing, as far as the disk lets us."""
    size = os.fstat(descriptor).st_size
    try:
        while data:
            data = data[os.write(descriptor, data) :]
    except OSError:
        os.ftruncate(descriptor, size)
        raise


def _settle(folder: Path) -> None:
    """Bring the files of a folder and their names to the disk; all at once takes little longer."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(_sync, [*(path for path in folder.iterdir() if path.is_file()), folder]))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Path) -> str:
    """Hex digits; "not a file" for a folder, a broken link or nothing."""
    if not path.is_file():
        return "not a file"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path, parse: Callable[[bytes], Record]) -> Record:
    try:
        return parse(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise VerificationError(
            f"{path.name} in {path.parent} cannot be read: {error}", "cxr-audit verify RUN"
        ) from error

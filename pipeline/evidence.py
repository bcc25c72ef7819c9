"""The run folder: atomic writes, the done mark, checksums, verification.

Every file is written under a temporary name beside its place and renamed, so nothing half-written stands
under a final name. `case.json` is a case's last file and the mark "done". `SHA256SUMS` names every file
but itself and the private crosswalk, in the format of coreutils' `sha256sum -c`.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import os
import secrets
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import ConfigError, EngineError, VerificationError
from pipeline.records import CaseRecord, CaseSource, CohortRecord, Record, RunRecord, from_json, to_json

CHECKSUMS = "SHA256SUMS"
PRIVATE = "private"  # names and paths of patients' files; never hand it on
KEY_NAME = ".case-id-key"  # beside the runs, not in them: runs stay comparable, and none carries it
KEY_VARIABLE = "CXR_AUDIT_CASE_ID_KEY"
MIN_KEY_BYTES = 16
CROSSWALK = ("case_id", "path", "file_sha256", "label", "patient_id", "split", "boxes", "mask")


@dataclass(frozen=True, slots=True)
class CaseIdKey:
    """The secret of the case ids. `path` is where it has to be kept, None where it is kept already."""

    value: bytes
    path: Path | None = None

    @property
    def fingerprint(self) -> str:
        """Tells keys apart, and nothing else about them."""
        return hmac.digest(self.value, b"cxr-audit case id key", "sha256").hex()[:16]

    @classmethod
    def find(cls, output: Path, key_file: Path | None) -> CaseIdKey:
        """The key of a file, else of the environment, else of a folder of runs; else a new one, not yet written.

        Raises `ConfigError` where it cannot be read or is too short to be a secret.
        """
        own, given = output / KEY_NAME, os.fsencode(os.environ.get(KEY_VARIABLE, ""))
        try:
            path = key_file or (own if own.exists() and not given else None)
            if path is None and not given:
                return cls(secrets.token_hex(32).encode(), own)
            value = (path.read_bytes() if path else given).strip()
        except OSError as error:
            raise ConfigError(
                f"cannot read the key of the case ids: {error.strerror}", "set privacy.key_file to a file that you have"
            ) from None
        if len(value) < MIN_KEY_BYTES:
            raise ConfigError(
                f"the key of the case ids has {len(value)} bytes, at least {MIN_KEY_BYTES} are needed",
                "make one with: openssl rand -hex 32",
            )
        return cls(value)

    def keep(self) -> None:
        """Write a new key for its owner only; one that another run has made meanwhile is not replaced."""
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(self.value + b"\n")
        except OSError as error:
            raise ConfigError(
                f"cannot write {self.path}: {error.strerror}",
                "set run.output to a folder that you can write; if another run has just begun there, start this again",
            ) from error


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths of a run. `create` makes a new one, `open` takes one that exists."""

    path: Path

    @classmethod
    def create(cls, path: Path) -> RunFolder:
        """A new, empty run folder. Raises `ConfigError` where there is one already or it cannot be written."""
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ConfigError(
                f"the run folder {path} exists already; evidence is never overwritten",
                "--resume goes on with it, --set run.name=NAME starts another",
            )
        folder = cls(path)
        try:
            folder.cases.mkdir(parents=True)
            folder.private.mkdir(mode=0o700)
        except OSError as error:
            raise ConfigError(
                f"cannot write the run folder {path}: {error.strerror}", "set run.output to a folder that you can write"
            ) from error
        return folder

    @classmethod
    def open(cls, path: Path) -> RunFolder:
        """A run folder that exists. Raises `ConfigError` where `path` is none."""
        if not (path / "run.json").is_file():
            raise ConfigError(f"{path} is no run folder: it has no run.json", "give the folder that a run has written")
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
    def is_sealed(self) -> bool:
        """Whether the run's last file stands."""
        return (self.path / CHECKSUMS).is_file()

    def read_run(self) -> RunRecord:
        return _read(self.path / "run.json", RunRecord)

    def write_run(self, record: RunRecord) -> None:
        write(self.path / "run.json", to_json(record))

    def read_case(self, case_id: str) -> CaseRecord | None:
        """The record of a finished case, None where the case is not finished."""
        path = self.case(case_id) / "case.json"
        return _read(path, CaseRecord) if path.is_file() else None

    def read_cohort(self) -> CohortRecord | None:
        """What the run says about the classifier, None where it is not finished."""
        path = self.path / "cohort.json"
        return _read(path, CohortRecord) if path.is_file() else None

    def clear_case(self, case_id: str) -> None:
        """Remove what an unfinished case has left."""
        shutil.rmtree(self.case(case_id), ignore_errors=True)

    def case_ids(self) -> list[str]:
        """Finished cases, in order of their ids."""
        return sorted(path.parent.name for path in self.cases.glob("*/case.json"))


def write(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Write a file so that it stands there whole or not at all.

    Raises `EngineError` where the disk is full or the folder is gone.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise EngineError(
            f"cannot write {path.name} in the run folder: {error.strerror}",
            "make room, then go on with cxr-audit run CONFIG --resume",
        ) from error


def write_crosswalk(folder: RunFolder, sources: Iterable[CaseSource]) -> str:
    """`private/crosswalk.csv`, mode 0600: which file, patient and manifest columns a case id stands for.

    Returns its SHA-256, which the run record keeps.
    """
    sources = list(sources)
    columns = sorted({name for source in sources for name in source.metadata})
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow([*CROSSWALK, *columns])  # a manifest's own may be called as one of ours: it comes after ours
    for s in sources:
        numbers = ((b.column_px, b.row_px, b.width_px, b.height_px) for b in s.boxes)
        boxes = ";".join(",".join(f"{number:.10g}" for number in box) for box in numbers)
        own = (s.case_id, s.relative_path, s.file_sha256, s.label, s.patient_id, s.split, boxes, s.mask)
        table.writerow(["" if cell is None else cell for cell in own] + [s.metadata.get(name, "") for name in columns])
    data = text.getvalue().encode("utf-8", "surrogateescape")
    write(folder.private / "crosswalk.csv", data, 0o600)
    return hashlib.sha256(data).hexdigest()


def read_crosswalk(folder: RunFolder) -> list[CaseSource]:
    """What `write_crosswalk` wrote, in its order; empty where the crosswalk is kept elsewhere.

    Raises `VerificationError` where it is not the run's own.
    """
    path = folder.private / "crosswalk.csv"
    if not path.is_file():
        return []
    if problems := list(_crosswalk_problems(folder)):
        raise VerificationError("; ".join(problems), "put the run's own crosswalk back, or take it away")
    header, *rows = csv.reader(io.StringIO(path.read_bytes().decode("utf-8", "surrogateescape"), newline=""))
    columns, num = header[len(CROSSWALK) :], len(CROSSWALK)
    found = []
    for row in rows:
        case_id, name, sha256, label, patient_id, split = row[:6]
        further = dict(zip(columns, row[num:], strict=True))
        known = (sha256 or None, label or None, patient_id or None)
        found.append(CaseSource(case_id, Path(name), name, *known, further, split or None))
    return found


def write_checksums(folder: RunFolder) -> None:
    """`SHA256SUMS` of every file, sorted by path."""
    lines = [f"{_sha256(folder.path / name)}  {name}\n" for name in _files(folder)]
    write(folder.path / CHECKSUMS, "".join(lines).encode())


def verify(folder: RunFolder) -> list[str]:
    """Every difference between the folder and its `SHA256SUMS`, in words; empty = nothing was changed.

    Raises `VerificationError` where there is no readable `SHA256SUMS`.
    """
    try:
        lines = (folder.path / CHECKSUMS).read_text().splitlines()
        expected = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError) as error:
        raise VerificationError(
            f"{folder.path} has no readable {CHECKSUMS}", "the run has not finished: cxr-audit run CONFIG --resume"
        ) from error
    found = set(_files(folder))
    problems = [f"missing: {name}" for name in expected if name not in found]
    problems += [f"added: {name}" for name in found if name not in expected]
    problems += [
        f"changed: {name}"
        for name, digest in expected.items()
        if name in found and _sha256(folder.path / name) != digest
    ]
    return sorted(problems + list(_crosswalk_problems(folder)))


def _crosswalk_problems(folder: RunFolder) -> Iterator[str]:
    """The crosswalk may be kept elsewhere; where it is present it must be the run's own."""
    crosswalk = folder.private / "crosswalk.csv"
    try:
        expected = folder.read_run().crosswalk_sha256
    except VerificationError as error:
        yield f"unreadable: {error}"
        return
    if crosswalk.is_file() and _sha256(crosswalk) != expected:
        yield f"changed: {PRIVATE}/{crosswalk.name}"


def _files(folder: RunFolder) -> list[str]:
    names = (p.relative_to(folder.path).as_posix() for p in folder.path.rglob("*") if p.is_file() or p.is_symlink())
    return sorted(name for name in names if name != CHECKSUMS and not name.startswith(f"{PRIVATE}/"))


def _sha256(path: Path) -> str:
    if not path.is_file():
        return "not a file"
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(path: Path, kind: type[Record]) -> Record:
    try:
        return from_json(path.read_bytes(), kind)
    except (OSError, ValueError) as error:
        raise VerificationError(
            f"{path.name} in {path.parent} cannot be read: {error}", "cxr-audit verify RUN"
        ) from error

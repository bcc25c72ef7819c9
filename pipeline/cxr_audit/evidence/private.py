"""What names patients: the secret of the case ids beside the runs, and the crosswalk in `private/`.

Refuses a key that is no secret, a crosswalk that is not the run's own, and a `private/` that
others may enter.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import itertools
import os
import secrets
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from cxr_audit.errors import ConfigError, VerificationError
from cxr_audit.evidence.folder import DELIVERED, PRIVATE, Problem, RunFolder, file_sha256, write
from cxr_audit.records import CaseSource, RunRecord

KEY_NAME = ".case-id-key"  # beside the runs, not in them: runs stay comparable, and none carries it
KEY_VARIABLE = "CXR_AUDIT_CASE_ID_KEY"
MIN_KEY_BYTES = 16
MIN_DISTINCT_BYTES = 8  # 32 random hexadecimal digits have about 14
GUESSES = (b"password", b"secret", b"changeme", b"example", b"qwerty", b"cxr-audit", b"cxraudit")
CROSSWALK = ("case_id", "path", "file_sha256", "label", "patient_id", "split", "boxes", "mask")


@dataclass(frozen=True, slots=True)
class CaseIdKey:
    """The secret of the case ids.

    Parameters
    ----------
    value : never shown, not even where an error prints this object.
    path : where it has to be kept, None where it is kept already.
    """

    value: bytes = field(repr=False)
    path: Path | None = None

    def hmac(self, text: str | None) -> str | None:
        """HMAC-SHA-256 of a text with the key, hexadecimal; None of None."""
        if text is None:
            return None
        return hmac.digest(self.value, text.encode(), "sha256").hex()

    @property
    def fingerprint(self) -> str:
        """Tells keys apart, and nothing else about them."""
        return hmac.digest(self.value, b"cxr-audit case id key", "sha256").hex()[:16]

    @classmethod
    def find(cls, output: Path, key_file: Path | None) -> CaseIdKey:
        """The key of a file, else of the environment, else of a folder of runs; else a new one.

        Parameters
        ----------
        output : the folder of runs; a new key is to be kept there, see `keep`.
        key_file : from the config, None = the environment or `output`.

        Raises
        ------
        ConfigError : the key cannot be read, can be guessed, or can be read by anyone on this
        machine.
        """
        own = output / KEY_NAME
        given = os.fsencode(os.environ.get(KEY_VARIABLE, ""))
        path = key_file
        if path is None and not given and own.exists():
            path = own
        if path is None and not given:
            return cls(secrets.token_hex(32).encode(), own)
        value = given if path is None else _secret_of(path)
        _require_strong(value.strip())
        return cls(value.strip())

    def keep(self) -> None:
        """Write a new key for its owner only; a key that another run has made is not replaced."""
        if self.path is None:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(
                os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
            ) as file:
                file.write(self.value + b"\n")
        except OSError as error:
            raise ConfigError(
                f"cannot write {self.path}: {error.strerror}",
                "set run.output to a folder that you can write; "
                "if another run has just begun there, start this one again",
            ) from error


def require_private(folder: RunFolder) -> None:
    """Raise `ConfigError` where others than its owner may enter `private/`."""
    mode = stat.S_IMODE(folder.private.stat().st_mode)
    if mode & 0o077:
        raise ConfigError(
            f"{folder.private} names patients and has mode {mode:03o}, expected 700",
            f"chmod 700 {folder.private}; on a file system without modes, keep runs elsewhere",
        )


def _secret_of(path: Path) -> bytes:
    """The key in a file that not everyone can read."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        value = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"cannot read the key of the case ids: {error.strerror}",
            "set privacy.key_file to a file that you have",
        ) from None
    if mode & 0o007:
        raise ConfigError(
            f"the key of the case ids can be read by everyone on this machine (mode {mode:03o})",
            f"chmod 600 {path}; if others may have read it, make a new one: openssl rand -hex 32",
        )
    return value


def _require_strong(value: bytes) -> None:
    """Refuse a key that is too short or that a list of guesses would hold."""
    hint = "make one with: openssl rand -hex 32"
    if len(value) < MIN_KEY_BYTES:
        raise ConfigError(
            f"the key of the case ids has {len(value)} bytes, at least {MIN_KEY_BYTES} are needed",
            hint,
        )
    if len(set(value)) < MIN_DISTINCT_BYTES:
        raise ConfigError(
            f"the key of the case ids has {len(set(value))} different bytes, "
            f"at least {MIN_DISTINCT_BYTES} are needed",
            hint,
        )
    if _is_repeated(value) or _is_sequence(value) or _has_word(value):
        raise ConfigError("the key of the case ids can be guessed: it follows a pattern", hint)


def _is_repeated(value: bytes) -> bool:
    """Whether a key is a shorter text, again and again."""
    return any(
        value == (value[:length] * len(value))[: len(value)]
        for length in range(1, len(value) // 2 + 1)
    )


def _is_sequence(value: bytes) -> bool:
    """Whether most bytes follow the one before, as in 0123456789 or zyxwvu."""
    steps = [after - before for before, after in itertools.pairwise(value)]
    most_common = max(steps.count(step) for step in (-1, 0, 1))
    return most_common > len(steps) / 2


def _has_word(value: bytes) -> bool:
    return any(word in value.lower() for word in GUESSES)


def write_crosswalk(folder: RunFolder, sources: Iterable[CaseSource]) -> str:
    """Write `private/crosswalk.csv`, mode 0600: file, patient and manifest columns of each case.

    Parameters
    ----------
    folder : the run.
    sources : its cases, in order.

    Returns
    -------
    The SHA-256 of the file, which the run record keeps.

    Raises
    ------
    ConfigError : others than its owner may enter `private/`.
    """
    require_private(folder)
    sources = list(sources)
    columns = sorted({name for source in sources for name in source.metadata})
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    # A manifest's own column may have the name of one of ours: it comes after ours.
    table.writerow([*CROSSWALK, *columns])
    for source in sources:
        row = [
            source.case_id,
            source.relative_path,
            source.file_sha256,
            source.label,
            source.patient_id,
            source.split,
            _boxes_in_words(source),
            source.mask,
            *(source.metadata.get(name, "") for name in columns),
        ]
        table.writerow(["" if cell is None else cell for cell in row])
    data = text.getvalue().encode("utf-8", "surrogateescape")
    write(folder.private / "crosswalk.csv", data, 0o600)
    return hashlib.sha256(data).hexdigest()


def _boxes_in_words(source: CaseSource) -> str:
    """x, y, width and height of each box, as a manifest gives them."""
    boxes = []
    for box in source.boxes:
        numbers = (box.column_px, box.row_px, box.width_px, box.height_px)
        boxes.append(",".join(f"{number:.10g}" for number in numbers))
    return ";".join(boxes)


def read_crosswalk(folder: RunFolder) -> list[CaseSource]:
    """What `write_crosswalk` wrote, in its order; empty where the crosswalk is kept elsewhere.

    Raises `VerificationError` where it is not the run's own.
    """
    path = folder.private / "crosswalk.csv"
    if not path.is_file():
        return []
    if problems := crosswalk_problems(folder, folder.read_run()):
        raise VerificationError(
            "; ".join(map(str, problems)), "put the run's own crosswalk back, or take it away"
        )
    header, *rows = csv.reader(
        io.StringIO(path.read_bytes().decode("utf-8", "surrogateescape"), newline="")
    )
    columns, num = header[len(CROSSWALK) :], len(CROSSWALK)
    sources = []
    for row in rows:
        case_id, name, sha256, label, patient_id, split = row[:6]
        further = dict(zip(columns, row[num:], strict=True))
        known = (sha256 or None, label or None, patient_id or None)
        sources.append(CaseSource(case_id, Path(name), name, *known, further, split or None))
    return sources


def crosswalk_problems(folder: RunFolder, run: RunRecord) -> list[Problem]:
    """The crosswalk may be kept elsewhere; where it is present it must be the run's own."""
    crosswalk = folder.private / "crosswalk.csv"
    is_own = (
        crosswalk not in private_files(folder)
        or file_sha256(crosswalk) == run.cases.crosswalk_sha256
    )
    return [] if is_own else [Problem("changed", f"{PRIVATE}/{crosswalk.name}")]


def private_files(folder: RunFolder) -> list[Path]:
    """The files of `private/` that can be read; others than its owner verify a run without them."""
    paths = [path for path in folder.private.glob("*") if not _is_delivered(path)]
    return [path for path in paths if path.is_symlink() or os.access(path, os.R_OK)]


def _is_delivered(path: Path) -> bool:
    """Whether it is the folder of an export, which is made after the run was sealed."""
    return path.name == DELIVERED and path.is_dir() and not path.is_symlink()

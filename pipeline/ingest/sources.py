"""A folder, a pattern, a file or a CSV manifest -> the list of cases, each with its identity.

Refuses a source that is missing or empty and a manifest that cannot be understood (`ConfigError`). A single
file that cannot be read is a case all the same: its reading fails later and is recorded.
"""

from __future__ import annotations

import csv
import difflib
import fnmatch
import glob
import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.records import CaseSource

CASE_ID_DIGITS = 16
HASHING_THREADS = 2
MANIFEST_SUFFIX = ".csv"
MANIFEST_COLUMNS = ("path", "patient_id")
LITTER = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "$recycle.bin"})


@dataclass(frozen=True, slots=True)
class _Listed:
    """A file as listed, before it is hashed."""

    path: Path
    relative_path: str
    label: str | None = None
    patient_id: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)


def discover(source: str | Path, labels: str = "none") -> list[CaseSource]:
    """List the cases of a source.

    In a folder every file is a case, whatever its name: one that is no image fails later, and is recorded.
    Only hidden files and desktop litter (Thumbs.db, desktop.ini, __MACOSX) are passed over. Linked folders
    are followed, each folder once.

    Parameters
    ----------
    source
        A folder (recursive, sorted by relative path), a glob pattern (`**` crosses folders), one image, or a
        CSV manifest: UTF-8, commas, column `path` (relative to the manifest's folder, or absolute), optional
        `patient_id`; every further column is metadata.
    labels
        "none", "folder" (the name of the file's own folder), or the name of a manifest column.

    Returns
    -------
    list of CaseSource
        `case_id` is the first 16 hex digits of the file's SHA-256; the second file with the same bytes gets
        "-2", the third "-3", in listing order; what cannot be read is "unreadable-0001" and so on,
        without a hash.

    Raises
    ------
    ConfigError
        The source is missing, holds no case, or its manifest or label column cannot be used.
    """
    listed = _list(source, labels)
    if not listed:
        raise ConfigError("the source holds no case", "Name a folder, a pattern or a manifest with at least one image.")
    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        hashes = list(pool.map(_file_sha256, (case.path for case in listed)))
    return [
        CaseSource(case_id, case.path, case.relative_path, sha256, case.label, case.patient_id, case.metadata)
        for case, sha256, case_id in zip(listed, hashes, _case_ids(hashes), strict=True)
    ]


def _list(source: str | Path, labels: str) -> list[_Listed]:
    path = Path(source).expanduser().absolute()
    if path.is_file() and path.suffix.lower() == MANIFEST_SUFFIX:
        return _read_manifest(path, labels)
    if labels not in ("none", "folder"):
        raise ConfigError(
            f"labels {labels!r} names a manifest column, but the source is not a CSV manifest",
            'Write "none" or "folder", or give a manifest (.csv) with that column.',
        )
    if path.is_dir():
        root, files = path, _walk(path)
    elif os.path.lexists(path):
        root, files = path.parent, [path]
    elif glob.has_magic(str(path)):
        root, files = _glob(path)
    else:
        raise ConfigError(f"the source does not exist: {source}", "ingest.source is relative to the config's folder")
    listed = [_Listed(file, file.relative_to(root).as_posix(), _folder_label(file, labels)) for file in files]
    return sorted(listed, key=lambda case: case.relative_path)


def _folder_label(path: Path, labels: str) -> str | None:
    return (path.parent.name or None) if labels == "folder" else None


def _is_litter(name: str) -> bool:
    return name.startswith(".") or name.lower() in LITTER


def _walk(root: Path) -> list[Path]:
    """All files below `root`. Real folders first, then linked ones not yet seen: a loop of links ends.
    A folder that cannot be listed is itself listed, so that it is not lost in silence."""
    files: list[Path] = []
    seen: set[tuple[int, int]] = set()
    real, linked = [root], list[Path]()
    while real or linked:
        folder = real.pop() if real else linked.pop(0)
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as listing:
                entries = sorted((entry for entry in listing if not _is_litter(entry.name)), key=lambda e: e.name)
        except OSError:
            files.append(folder)
            continue
        for entry in entries:
            path = folder / entry.name
            if not path.is_dir():  # also a broken link and a link to itself
                files.append(path)
            elif entry.is_symlink():
                linked.append(path)
            else:
                real.append(path)
    return files


def _glob(pattern: Path) -> tuple[Path, list[Path]]:
    """The fixed folder before the first wildcard, and the files that match."""
    parts = pattern.parts
    fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:fixed])
    if "**" not in parts:
        found = root.glob("/".join(parts[fixed:]))
        clean = (path for path in found if not any(map(_is_litter, path.relative_to(root).parts)))
        return root, [path for path in clean if not path.is_dir()]
    if not root.is_dir():
        return root, []
    # Our own walk, because glob follows a loop of links through all its turns.
    matches = re.compile(_pattern(parts[fixed:])).fullmatch
    return root, [path for path in _walk(root) if matches(path.relative_to(root).as_posix())]


def _pattern(parts: Iterable[str]) -> str:
    """A glob pattern's parts as a regular expression over a path with forward slashes."""
    *folders, name = parts
    if name == "**":
        folders, name = [*folders, "**"], "*"
    expression = "".join("(?:[^/]+/)*" if part == "**" else _segment(part) + "/" for part in folders)
    return expression + _segment(name)


def _segment(part: str) -> str:
    return "(?=[^/]*(?:/|$))" + fnmatch.translate(part).removesuffix(r"\Z").removesuffix(r"\z").replace(".*", "[^/]*")


def _read_manifest(manifest: Path, labels: str) -> list[_Listed]:
    """The rows of a CSV manifest in their order. Messages name columns and lines, never a cell."""
    try:
        with manifest.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except UnicodeDecodeError as error:
        raise ConfigError("the manifest is not UTF-8 text", "Save it as CSV UTF-8.") from error
    except csv.Error as error:
        raise ConfigError(f"the manifest is not a CSV table: {error}", "Save it as CSV UTF-8.") from error
    except OSError as error:
        raise ConfigError(f"the manifest cannot be read: {error.strerror}", "Check its permissions.") from error
    if not lines:
        raise ConfigError("the manifest is empty", "Its first line names the columns; one of them is 'path'.")
    header = [name.strip() for name in lines[0][1]]
    _check_columns(header, labels)
    label_column = None if labels in ("none", "folder") else labels
    return [_manifest_case(manifest.parent, header, line, row, labels, label_column) for line, row in lines[1:]]


def _check_columns(header: list[str], labels: str) -> None:
    if "path" not in header:
        separators = [mark for mark in (";", "\t") if any(mark in name for name in header)]
        hint = "Separate the columns by commas." if separators else "Its first line names the columns; add 'path'."
        raise ConfigError("the manifest has no column 'path'", hint)
    twice = sorted(name for name, count in Counter(header).items() if count > 1)
    if twice:
        raise ConfigError(f"the manifest names a column twice: {', '.join(map(repr, twice))}", "Rename one of them.")
    choices = [name for name in header if name not in ("path", "")]
    if labels not in ("none", "folder", *choices):
        near = difflib.get_close_matches(labels, choices, n=1)
        hint = f"Perhaps you meant {near[0]!r}." if near else f"Its columns are {', '.join(map(repr, choices))}."
        raise ConfigError(f"the manifest has no column {labels!r} for the labels", hint)


def _manifest_case(
    root: Path, header: list[str], line: int, row: list[str], labels: str, label_column: str | None
) -> _Listed:
    if len(row) != len(header):
        raise ConfigError(
            f"line {line} of the manifest has {len(row)} cells, the first line names {len(header)} columns",
            "Put a cell that holds a comma in double quotes.",
        )
    cells = {name: cell.strip() for name, cell in zip(header, row, strict=True) if name}
    if not cells["path"]:
        raise ConfigError(f"line {line} of the manifest has an empty path", "Fill it in, or remove the line.")
    path = Path(os.path.normpath(root / cells["path"]))
    label = _folder_label(path, labels) if label_column is None else cells[label_column] or None
    metadata = {name: cell for name, cell in cells.items() if name not in (*MANIFEST_COLUMNS, label_column)}
    return _Listed(path, cells["path"], label, cells.get("patient_id") or None, metadata)


def _file_sha256(path: Path) -> str | None:
    """The hash of a regular file, None where there is none to be had (never waits on a pipe or a device)."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):  # ValueError: a null character in a manifest's path
        return None


def _case_ids(hashes: list[str | None]) -> list[str]:
    seen: Counter[str | None] = Counter()
    ids = []
    for sha256 in hashes:
        stem = None if sha256 is None else sha256[:CASE_ID_DIGITS]
        seen[stem] += 1
        if stem is None:
            ids.append(f"unreadable-{seen[stem]:04d}")
        else:
            ids.append(stem if seen[stem] == 1 else f"{stem}-{seen[stem]}")
    return ids

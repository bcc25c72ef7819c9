"""Where the radiographs are -> the list of cases, each with its identity.

A folder, a glob, one file, a CSV or Parquet manifest, a zip, a DICOMDIR, a DICOMweb server. Refuses
a source that is missing, empty, too large or cannot be understood (`ConfigError`). A single file
that cannot be read is a case all the same: its reading fails later and is recorded.
"""

from __future__ import annotations

import fnmatch
import glob
import hashlib
import hmac
import json
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path, PurePosixPath

from cxr_audit.errors import ConfigError
from cxr_audit.ingest import archive, dicomdir, dicomweb
from cxr_audit.ingest.litter import Skipped, is_litter
from cxr_audit.ingest.manifest import is_manifest, read_manifest
from cxr_audit.records import CaseSource, ServerInstance, ZipEntry

CASE_ID_PREFIX, CASE_ID_DIGITS = "c", 15
"""With a letter first, a spreadsheet takes no id for a number (1234, 12e5)."""
HASHING_THREADS = 2
MAX_CASES = 500_000


def discover(
    source: str | Path,
    labels: str = "none",
    split: str | None = None,
    key: bytes = b"",
    manifest: Path | None = None,
    skipped: Skipped | None = None,
    may_be_empty: bool = False,
) -> list[CaseSource]:
    """List the cases of a source.

    In a folder or a zip every file is a case, whatever its name: one that is no image fails later,
    and is recorded. Only hidden files and what operating systems leave (`litter`) are skipped.
    Linked folders are followed, each folder once.

    Parameters
    ----------
    source
        A folder (recursive, sorted by relative path), a glob pattern (`**` crosses folders), one
        image, a `.zip`, a `.csv` or `.parquet` manifest (see `manifest`), a file named DICOMDIR, or
        the address of a DICOMweb server with a filter (see `dicomweb.search`).
    labels
        "none", "folder" (the name of the file's own folder), or the name of a manifest column.
    split
        Only the rows of a manifest whose column `split` says so.
    key
        Secret of the case ids. Without it anyone who has a file can tell its id.
    manifest
        For a DICOMweb server: which of the instances that it finds are cases, with their labels
        (see `manifest`).
    skipped
        Counts the files and folders that were skipped by their name.
    may_be_empty
        A source without a case gives none instead of an error.

    Returns
    -------
    list of CaseSource
        `case_id` is "c" and the first 15 hex digits of HMAC-SHA256 (RFC 2104) over the file's
        SHA-256, or over the SOP Instance UID where a server holds the file; the second of the same
        gets "-2", the third "-3", in listing order; what cannot be read is "unreadable-0001" and
        so on, without a hash.

    Raises
    ------
    ConfigError
        The source is missing, holds no case, is too large, or its manifest, filter or labels cannot
        be used.
    """
    listed = _list(source, labels, split, manifest, skipped or Skipped())
    if not listed and not may_be_empty:
        raise ConfigError(
            "the source holds no case",
            "Name a folder, a pattern or a manifest with at least one image.",
        )
    _check_number(len(listed))
    if labels == "folder":
        listed = [replace(case, label=_folder_label(case)) for case in listed]
    with ThreadPoolExecutor(HASHING_THREADS) as pool:
        hashes = list(pool.map(_sha256, (case.location for case in listed)))
        metadata_hmacs = list(pool.map(partial(_metadata_hmac, key=key), listed))
    ids = _case_ids(listed, hashes, key)
    return [
        replace(case, case_id=case_id, file_sha256=sha256, metadata_hmac=metadata_hmac)
        for case, sha256, case_id, metadata_hmac in zip(
            listed, hashes, ids, metadata_hmacs, strict=True
        )
    ]


def _list(
    source: str | Path,
    labels: str,
    split: str | None,
    manifest: Path | None,
    skipped: Skipped,
) -> list[CaseSource]:
    is_server = dicomweb.is_server(str(source))
    path = _checked_path(source, is_server)
    _check_manifest(manifest, is_server)
    if not is_server and is_manifest(path):
        return read_manifest(path, labels, split)
    if is_server and labels == "folder":
        raise ConfigError(
            "on a DICOMweb server there are no folders to label by", "Set ingest.labels: none."
        )
    if manifest is None:
        _check_no_manifest(labels, split, is_server)
    if is_server:
        return _on_server(str(source), labels, split, manifest)
    if path.is_file() and path.suffix.lower() == ".zip":
        return _in_zip(path, skipped)
    root, files = _files(path, source, skipped)
    cases = [CaseSource("", file, file.relative_to(root).as_posix()) for file in files]
    return sorted(cases, key=lambda case: case.relative_path)


def _checked_path(source: str | Path, is_server: bool) -> Path:
    try:
        path = Path(source).expanduser().absolute()
        if not is_server:
            path.exists()
    except (OSError, RuntimeError):
        # a name that is too long, a folder that is closed, a user that nobody is
        raise ConfigError(
            "the source is no path that can be looked up", "Check its length and permissions."
        ) from None
    return path


def _check_manifest(manifest: Path | None, is_server: bool) -> None:
    if manifest is None:
        return
    if not is_server:
        raise ConfigError(
            "ingest.manifest is given, but the source is no DICOMweb server",
            "For files the manifest is itself the source: name it in ingest.source.",
        )
    if not is_manifest(manifest):
        raise ConfigError(
            "ingest.manifest names no .csv or .parquet file",
            "It is relative to the config's folder.",
        )


def _check_no_manifest(labels: str, split: str | None, is_server: bool) -> None:
    """Without a manifest there are neither label columns nor splits."""
    if labels in ("none", "folder") and split is None:
        return
    problem = f"split {split!r} is given"
    if split is None:
        problem = f"labels {labels!r} names a manifest column"
    hint = (
        'Write "none" or "folder" for the labels, unset the split, or give a manifest '
        "(.csv, .parquet)."
    )
    if is_server:
        hint = "Name the server's manifest in ingest.manifest."
    raise ConfigError(f"{problem}, but the source is not a manifest", hint)


def _on_server(
    source: str, labels: str, split: str | None, manifest: Path | None
) -> list[CaseSource]:
    cases = dicomweb.search(source)
    if manifest is None:
        return cases
    instances = {PurePosixPath(case.relative_path).name: case for case in cases}
    return read_manifest(manifest, labels, split, instances)


def _in_zip(path: Path, skipped: Skipped) -> list[CaseSource]:
    cases = []
    for entry, name in archive.entries(path):
        if not any(is_litter(part, skipped) for part in name.split("/")):
            cases.append(CaseSource("", entry, name))
    return sorted(cases, key=lambda case: case.relative_path)


def _files(path: Path, source: str | Path, skipped: Skipped) -> tuple[Path, list[Path]]:
    """The files that a path means, and the folder to which their names are relative."""
    if path.is_dir():
        return path, _walk(path, skipped)
    if path.name.upper() == "DICOMDIR" and path.is_file():
        return path.parent, dicomdir.listed_files(path)
    if os.path.lexists(path):
        return path.parent, [path]
    if glob.has_magic(str(path)):
        return _glob(path, skipped)
    raise ConfigError(
        f"the source does not exist: {source}",
        "ingest.source is relative to the config's folder",
    )


def _check_number(num_cases: int) -> None:
    if num_cases > MAX_CASES:
        raise ConfigError(f"the source holds more than {MAX_CASES} cases", "Split it.")


def _folder_label(case: CaseSource) -> str | None:
    path = case.location if isinstance(case.location, Path) else PurePosixPath(case.relative_path)
    return path.parent.name or None


def _walk(root: Path, skipped: Skipped) -> list[Path]:
    """All files below `root`. Real folders first, then linked ones not yet seen: a loop ends.

    A folder that cannot be listed is itself listed, so that it is not lost in silence.
    """
    files: list[Path] = []
    seen: set[tuple[int, int]] = set()
    real, linked = [root], list[Path]()
    while real or linked:
        _check_number(len(files))
        folder = real.pop() if real else linked.pop(0)
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in seen:
                continue
            seen.add((status.st_dev, status.st_ino))
            entries = _listing(folder, skipped)
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


def _listing(folder: Path, skipped: Skipped) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as listing:
        entries = [entry for entry in listing if not is_litter(entry.name, skipped)]
    return sorted(entries, key=lambda entry: entry.name)


def _glob(pattern: Path, skipped: Skipped) -> tuple[Path, list[Path]]:
    """The fixed folder before the first wildcard, and the files that match."""
    parts = pattern.parts
    if any("**" in part and part != "**" for part in parts):
        raise ConfigError(
            "in the pattern of the source ** stands beside other letters",
            "Write it alone: a/**/*.dcm.",
        )
    fixed = next(index for index, part in enumerate(parts) if glob.has_magic(part))
    root = Path(*parts[:fixed])
    if "**" not in parts:
        return root, _matching(root, parts[fixed:], skipped)
    if not root.is_dir():
        return root, []
    # Our own walk, because glob follows a loop of links through all its turns.
    matches = re.compile(_pattern(parts[fixed:])).fullmatch
    files = _walk(root, skipped)
    return root, [path for path in files if matches(path.relative_to(root).as_posix())]


def _matching(root: Path, parts: Iterable[str], skipped: Skipped) -> list[Path]:
    files = []
    for path in root.glob("/".join(parts)):
        names = path.relative_to(root).parts
        if not any(is_litter(name, skipped) for name in names) and not path.is_dir():
            files.append(path)
    return files


def _pattern(parts: Iterable[str]) -> str:
    """A glob pattern's parts as a regular expression over a path with forward slashes."""
    *folders, name = parts
    if name == "**":
        folders, name = [*folders, "**"], "*"
    expression = ""
    for part in folders:
        expression += "(?:[^/]+/)*" if part == "**" else _segment(part) + "/"
    return expression + _segment(name)


def _segment(part: str) -> str:
    """One part as an expression that matches at least one character and no slash."""
    expression = fnmatch.translate(part).removesuffix(r"\Z").removesuffix(r"\z")
    return "(?=[^/]*(?:/|$))" + expression.replace(".*", "[^/]*")


def _metadata_hmac(case: CaseSource, key: bytes) -> str:
    """Of all that is said of a case, so that a change is seen.

    With the key: without it a patient could be guessed.
    """
    statements = (
        case.label,
        case.patient_id,
        case.split,
        [asdict(box) for box in case.boxes],
        _sha256(case.mask) if case.mask else None,
        case.metadata,
    )
    text = json.dumps(statements, sort_keys=True)
    return hmac.digest(key, text.encode(), "sha256").hex()


def _sha256(location: Path | ZipEntry | ServerInstance) -> str | None:
    """The hash of a file, None where there is none to be had.

    Never waits on a pipe, a device or a server.
    """
    match location:
        case ServerInstance():
            return None
        case ZipEntry():
            return archive.entry_sha256(location)
    try:
        status = location.stat()
        if not stat.S_ISREG(status.st_mode):
            return None
        if status.st_size == 0:  # a file of /proc says so too, and reading it may wait for ever
            return hashlib.sha256().hexdigest()
        with location.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError):  # ValueError: a null character in a manifest's path
        return None


def _case_ids(cases: list[CaseSource], hashes: list[str | None], key: bytes) -> list[str]:
    seen: Counter[str | None] = Counter()
    ids = []
    for case, sha256 in zip(cases, hashes, strict=True):
        identity = sha256
        if isinstance(case.location, ServerInstance):
            identity = case.location.uid or None
        seen[identity] += 1
        if identity is None:
            ids.append(f"unreadable-{seen[None]:04d}")
        else:
            digits = hmac.digest(key, identity.encode(), "sha256").hex()[:CASE_ID_DIGITS]
            stem = f"{CASE_ID_PREFIX}{digits}"
            ids.append(stem if seen[identity] == 1 else f"{stem}-{seen[identity]}")
    return ids

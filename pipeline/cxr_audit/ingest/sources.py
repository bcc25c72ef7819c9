"""Where the radiographs are -> the list of cases, each with its identity.

A folder, a glob, one file, a CSV or Parquet manifest, a zip, a DICOMDIR (PS3.3 F, PS3.10 8), a DICOMweb server.
Refuses a source that is missing, empty, too large or cannot be understood (`ConfigError`). A single file that
cannot be read is a case all the same: its reading fails later and is recorded.
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
import warnings
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path, PurePosixPath

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from cxr_audit.errors import ConfigError
from cxr_audit.ingest import archive, dicomweb
from cxr_audit.ingest.attributes import PARSER_ERRORS, value, values
from cxr_audit.ingest.manifest import is_manifest, read_manifest
from cxr_audit.records import CaseSource, ServerInstance, ZipEntry

CASE_ID_DIGITS = 16
HASHING_THREADS = 2
MAX_CASES = 500_000
MAX_DICOMDIR_BYTES = 256 * 2**20
LITTER = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "$recycle.bin"})


def discover(
    source: str | Path,
    labels: str = "none",
    split: str | None = None,
    key: bytes = b"",
    manifest: Path | None = None,
) -> list[CaseSource]:
    """List the cases of a source.

    In a folder or a zip every file is a case, whatever its name: one that is no image fails later, and is
    recorded. Only hidden files and desktop litter (Thumbs.db, desktop.ini, __MACOSX) are passed over. Linked
    folders are followed, each folder once.

    Parameters
    ----------
    source
        A folder (recursive, sorted by relative path), a glob pattern (`**` crosses folders), one image, a `.zip`,
        a `.csv` or `.parquet` manifest (see `manifest`), a file named DICOMDIR, or the address of a DICOMweb server
        with a filter (see `dicomweb.search`).
    labels
        "none", "folder" (the name of the file's own folder), or the name of a manifest column.
    split
        Only the rows of a manifest whose column `split` says so.
    key
        Secret of the case ids. Without it anyone who has a file can tell its id.
    manifest
        For a DICOMweb server: which of the instances that it finds are cases, with their labels (see `manifest`).

    Returns
    -------
    list of CaseSource
        `case_id` is the first 16 hex digits of HMAC-SHA256 (RFC 2104) over the file's SHA-256, or over the SOP
        Instance UID where a server holds the file; the second of the same gets "-2", the third "-3", in listing
        order; what cannot be read is "unreadable-0001" and so on, without a hash.

    Raises
    ------
    ConfigError
        The source is missing, holds no case, is too large, or its manifest, filter or labels cannot be used.
    """
    listed = _list(source, labels, split, manifest)
    if not listed:
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
    return [
        replace(case, case_id=case_id, file_sha256=sha256, metadata_hmac=told)
        for case, sha256, case_id, told in zip(
            listed, hashes, _case_ids(listed, hashes, key), metadata_hmacs, strict=True
        )
    ]


def _list(
    source: str | Path, labels: str, split: str | None, manifest: Path | None
) -> list[CaseSource]:
    is_server = dicomweb.is_server(str(source))
    try:
        path = Path(source).expanduser().absolute()
        if not is_server:
            path.exists()
    except (
        OSError,
        RuntimeError,
    ):  # a name that is too long, a folder that is closed, a user that nobody is
        raise ConfigError(
            "the source is no path that can be looked up", "Check its length and permissions."
        ) from None
    if manifest is not None and not is_server:
        raise ConfigError(
            "ingest.manifest is given, but the source is no DICOMweb server",
            "For files the manifest is itself the source: name it in ingest.source.",
        )
    if manifest is not None and not is_manifest(manifest):
        raise ConfigError(
            "ingest.manifest names no .csv or .parquet file",
            "It is relative to the config's folder.",
        )
    if not is_server and is_manifest(path):
        return read_manifest(path, labels, split)
    if is_server and labels == "folder":
        raise ConfigError(
            "on a DICOMweb server there are no folders to label by", "Set ingest.labels: none."
        )
    if manifest is None and (labels not in ("none", "folder") or split is not None):
        what = (
            f"labels {labels!r} names a manifest column"
            if split is None
            else f"split {split!r} is given"
        )
        raise ConfigError(
            f"{what}, but the source is not a manifest",
            "Name the server's manifest in ingest.manifest."
            if is_server
            else 'Write "none" or "folder" for the labels, unset the split, or give a manifest (.csv, .parquet).',
        )
    if is_server:
        found = dicomweb.search(str(source))
        if manifest is None:
            return found
        return read_manifest(
            manifest,
            labels,
            split,
            {PurePosixPath(case.relative_path).name: case for case in found},
        )
    if path.is_file() and path.suffix.lower() == ".zip":
        clean = (
            (entry, name)
            for entry, name in archive.entries(path)
            if not any(map(_is_litter, name.split("/")))
        )
        return sorted(
            (CaseSource("", entry, name) for entry, name in clean),
            key=lambda case: case.relative_path,
        )
    if path.is_dir():
        root, files = path, _walk(path)
    elif path.name.upper() == "DICOMDIR" and path.is_file():
        root, files = path.parent, _dicomdir(path)
    elif os.path.lexists(path):
        root, files = path.parent, [path]
    elif glob.has_magic(str(path)):
        root, files = _glob(path)
    else:
        raise ConfigError(
            f"the source does not exist: {source}",
            "ingest.source is relative to the config's folder",
        )
    cases = (CaseSource("", file, file.relative_to(root).as_posix()) for file in files)
    return sorted(cases, key=lambda case: case.relative_path)


def _check_number(num_cases: int) -> None:
    if num_cases > MAX_CASES:
        raise ConfigError(f"the source holds more than {MAX_CASES} cases", "Split it.")


def _folder_label(case: CaseSource) -> str | None:
    path = case.location if isinstance(case.location, Path) else PurePosixPath(case.relative_path)
    return path.parent.name or None


def _is_litter(name: str) -> bool:
    return (name.startswith(".") and name != "..") or name.lower() in LITTER


def _walk(root: Path) -> list[Path]:
    """All files below `root`. Real folders first, then linked ones not yet seen: a loop of links ends.
    A folder that cannot be listed is itself listed, so that it is not lost in silence."""
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
            with os.scandir(folder) as listing:
                entries = sorted(
                    (entry for entry in listing if not _is_litter(entry.name)), key=lambda e: e.name
                )
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
    if any("**" in part and part != "**" for part in parts):
        raise ConfigError(
            "in the pattern of the source ** stands beside other letters",
            "Write it alone: a/**/*.dcm.",
        )
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
    expression = "".join(
        "(?:[^/]+/)*" if part == "**" else _segment(part) + "/" for part in folders
    )
    return expression + _segment(name)


def _segment(part: str) -> str:
    return "(?=[^/]*(?:/|$))" + fnmatch.translate(part).removesuffix(r"\Z").removesuffix(
        r"\z"
    ).replace(".*", "[^/]*")


def _dicomdir(path: Path) -> list[Path]:
    """The files of its IMAGE records, missing ones too. Broken links between the records do no harm."""
    try:
        if path.stat().st_size > MAX_DICOMDIR_BYTES:
            raise ConfigError(
                f"the DICOMDIR has more than {MAX_DICOMDIR_BYTES} bytes", "Name the folder instead."
            )
        with warnings.catch_warnings(action="ignore"):  # pydicom's quote values
            if (
                value(read_file_meta_info(path), "TransferSyntaxUID")
                == DeflatedExplicitVRLittleEndian
            ):
                raise ConfigError(
                    "the DICOMDIR is deflated, which the standard forbids",
                    "Name the folder instead.",
                )
            records = values(pydicom.dcmread(path), "DirectoryRecordSequence")
            images = [
                record for record in records if value(record, "DirectoryRecordType") == "IMAGE"
            ]
            files = [[str(part) for part in values(image, "ReferencedFileID")] for image in images]
    except (*PARSER_ERRORS, InvalidDicomError) as error:
        failure = ConfigError(
            f"the DICOMDIR cannot be read ({type(error).__name__})", "Name the folder instead."
        )
    else:
        return [_referenced(path.parent, parts) for parts in files]
    raise failure  # outside the handler: the parser's words stay out


def _referenced(root: Path, parts: list[str]) -> Path:
    """A Referenced File ID (PS3.3 F.3.2.2) as a path below `root`. Linux shows a CD's names in lower case."""
    if not parts or any(part in ("", ".", "..") or re.search(r"[/\\\0]", part) for part in parts):
        raise ConfigError(
            "the DICOMDIR names a file that is not on its medium", "Name the folder instead."
        )
    path, lower = root.joinpath(*parts), root.joinpath(*(part.lower() for part in parts))
    return lower if lower.exists() and not path.exists() else path


def _metadata_hmac(case: CaseSource, key: bytes) -> str:
    """Of all that is said of a case, so that a change is seen. With the key: a patient could be guessed."""
    mask = _sha256(case.mask) if case.mask else None
    told = (
        case.label,
        case.patient_id,
        case.split,
        list(map(asdict, case.boxes)),
        mask,
        case.metadata,
    )
    return hmac.digest(key, json.dumps(told, sort_keys=True).encode(), "sha256").hex()


def _sha256(location: Path | ZipEntry | ServerInstance) -> str | None:
    """The hash of a file, None where there is none to be had (never waits on a pipe, a device or a server)."""
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
        identity = case.location.uid if isinstance(case.location, ServerInstance) else sha256
        seen[identity] += 1
        if identity is None:
            ids.append(f"unreadable-{seen[None]:04d}")
        else:
            stem = hmac.digest(key, identity.encode(), "sha256").hex()[:CASE_ID_DIGITS]
            ids.append(stem if seen[identity] == 1 else f"{stem}-{seen[identity]}")
    return ids

"""A DICOMDIR (PS3.3 F, PS3.10 8) -> the files of its IMAGE records."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pydicom
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian

from cxr_audit.errors import ConfigError
from cxr_audit.ingest.elements import PARSER_ERRORS, value, values

MAX_BYTES = 256 * 2**20
NAME_THE_FOLDER = "Name the folder instead."
VERSION = re.compile(r";\d+$")  # ISO 9660 appends it
NOT_A_NAME = re.compile(r"[/\\\0]")


def listed_files(path: Path) -> list[Path]:
    """The files of the IMAGE records, missing ones too.

    Broken links between the records do no harm.

    Raises
    ------
    ConfigError
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ConfigError(f"the DICOMDIR has more than {MAX_BYTES} bytes", NAME_THE_FOLDER)
        with warnings.catch_warnings(action="ignore"):  # pydicom's quote values
            file_ids = _file_ids(path)
    except (*PARSER_ERRORS, InvalidDicomError) as error:
        problem = f"the DICOMDIR cannot be read ({type(error).__name__})"
        failure = ConfigError(problem, NAME_THE_FOLDER)
    else:
        return [_referenced(path.parent, parts) for parts in file_ids]
    raise failure  # outside the handler: the parser's words stay out


def _file_ids(path: Path) -> list[list[str]]:
    syntax = value(read_file_meta_info(path), "TransferSyntaxUID")
    if syntax == DeflatedExplicitVRLittleEndian:
        raise ConfigError("the DICOMDIR is deflated, which the standard forbids", NAME_THE_FOLDER)
    records = values(pydicom.dcmread(path), "DirectoryRecordSequence")
    images = [record for record in records if value(record, "DirectoryRecordType") == "IMAGE"]
    return [[str(part) for part in values(image, "ReferencedFileID")] for image in images]


def _referenced(root: Path, parts: list[str]) -> Path:
    """A Referenced File ID (PS3.3 F.3.2.2) as a path below `root`; the literal one if missing."""
    for part in parts:
        if part in ("", ".", "..") or NOT_A_NAME.search(part):
            parts = []
    if not parts:
        raise ConfigError("the DICOMDIR names a file that is not on its medium", NAME_THE_FOLDER)
    matches = _matches(root, parts)
    if len(matches) > 1:
        problem = "the DICOMDIR names a file for which several on the medium fit"
        raise ConfigError(problem, NAME_THE_FOLDER)
    return matches[0] if matches else root.joinpath(*parts)


def _matches(folder: Path, parts: list[str]) -> list[Path]:
    """The files below a folder that the components may mean; only the exact one where it exists.

    PS3.10 8.5: components are capitals and digits without an extension. Media show them in small
    letters, with a version or a trailing dot, and some writers add an extension.
    """
    if not parts:
        return [folder]
    if not folder.is_dir():
        return []
    part, rest = parts[0], parts[1:]
    literal = folder / part
    exact = _matches(literal, rest) if literal.exists() else []
    if exact:
        return exact
    names = sorted(entry.name for entry in folder.iterdir())
    for simplify in (_plain, _stem):
        found: list[Path] = []
        for name in names:
            if simplify(name) == simplify(part):
                found += _matches(folder / name, rest)
        if found:
            return found
    return []


def _plain(name: str) -> str:
    return VERSION.sub("", name).rstrip(".").casefold()


def _stem(name: str) -> str:
    return Path(_plain(name)).stem

"""A zip -> its entries; an entry -> bytes.

APPNOTE.TXT 6.3. Nothing is unpacked to disk, so no name in an archive ever becomes a path. Refuses
as a whole (`ConfigError`): a damaged archive, one with too many entries, entries that overlap or
inflate beyond measure; as a case: an entry that is encrypted, a link, compressed by a rare method,
or leads out by its name.
"""

from __future__ import annotations

import hashlib
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath

from cxr_audit.errors import CaseError, ConfigError, UnreadableFile, UnsupportedRadiograph
from cxr_audit.records import ZipEntry
from cxr_audit.vocabulary import message

MAX_ENTRIES = 500_000
MAX_DIRECTORY_BYTES = 64 * 2**20  # the list of entries, which is read into memory as a whole
MAX_RATIO = 200  # inflated to packed; a radiograph has 1 to 10, a bomb of one layer up to 1032
MAX_ENTRY_BYTES = 2**30
CHUNK = 2**20

METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
# What zipfile raises on a damaged archive.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    NotImplementedError,
    ValueError,
    RuntimeError,
)
END, END_64 = b"PK\x05\x06", b"PK\x06\x06"  # 4.3.16 and 4.3.14: end of central directory


def entries(archive: Path) -> list[tuple[ZipEntry, str]]:
    """Every file of an archive with its name, in the archive's order.

    Raises
    ------
    ConfigError
    """
    split = message("ingest.split_it")
    try:
        size = archive.stat().st_size
        if _directory_bytes(archive, size) > MAX_DIRECTORY_BYTES:
            raise ConfigError(message("ingest.zip_long", limit=MAX_ENTRIES), split)
        listed = _opened(archive, archive.stat().st_mtime_ns).infolist()
    except ZIP_ERRORS as error:
        problem = message("ingest.zip_damaged", error=type(error).__name__)
        # the original error names the path
        raise ConfigError(problem, message("ingest.copy_again")) from None
    if len(listed) > MAX_ENTRIES:
        problem = message("ingest.zip_entries", num=len(listed), limit=MAX_ENTRIES)
        raise ConfigError(problem, split)
    if sum(info.compress_size for info in listed) > size:
        raise ConfigError(message("ingest.zip_overlap"), message("ingest.zip_anew"))
    if sum(info.file_size for info in listed) > MAX_RATIO * size:
        problem = message("ingest.zip_bomb", limit=MAX_RATIO)
        raise ConfigError(problem, message("ingest.unpack_with_care"))
    named = [(ZipEntry(archive, number), _name(info)) for number, info in enumerate(listed)]
    return [(entry, name) for entry, name in named if not name.endswith("/")]


def read_entry(entry: ZipEntry, max_bytes: int) -> bytes:
    """The bytes of one entry. Raises `CaseError`."""
    return b"".join(_inflate(entry, max_bytes))


def entry_sha256(entry: ZipEntry) -> str | None:
    """The hash of an entry, None where it cannot be read."""
    digest = hashlib.sha256()
    try:
        for chunk in _inflate(entry, MAX_ENTRY_BYTES):
            digest.update(chunk)
    except CaseError:
        return None
    return digest.hexdigest()


def _inflate(entry: ZipEntry, max_bytes: int) -> Iterator[bytes]:
    try:
        archive = _opened(entry.archive, entry.archive.stat().st_mtime_ns)
        info = archive.infolist()[entry.index]
        _check(info, max_bytes)
        with archive.open(info) as file:  # gives no more than info.file_size, and checks the CRC
            yield from iter(lambda: file.read(CHUNK), b"")
        return
    except (*ZIP_ERRORS, IndexError) as error:
        problem = message("ingest.zip_entry_damaged", error=type(error).__name__)
        failure = UnreadableFile(problem, message("ingest.zip_anew"))
    raise failure  # outside the handler: the original error names the entry


def _name(info: zipfile.ZipInfo) -> str:
    return info.filename.replace("\\", "/")  # some programs on Windows write these


def _check(info: zipfile.ZipInfo, max_bytes: int) -> None:
    name = PurePosixPath(_name(info))
    if name.is_absolute() or ".." in name.parts:
        raise UnreadableFile(message("ingest.zip_leads_out"), message("ingest.zip_anew"))
    if stat.S_ISLNK(info.external_attr >> 16):
        raise UnreadableFile(message("ingest.zip_link"), message("ingest.zip_link_hint"))
    if info.flag_bits & 1:
        raise UnreadableFile(message("ingest.zip_encrypted"), message("ingest.zip_encrypted_hint"))
    if info.compress_type not in METHODS:
        hint = message("ingest.zip_method_hint")
        raise UnsupportedRadiograph(message("ingest.zip_method"), hint)
    if info.file_size > MAX_RATIO * max(info.compress_size, 1):
        problem = message("ingest.zip_entry_bomb", limit=MAX_RATIO)
        raise UnsupportedRadiograph(problem, message("ingest.unpack_with_care"))
    if info.file_size > max_bytes:
        problem = message("ingest.file_too_large", num=info.file_size, limit=max_bytes)
        raise UnsupportedRadiograph(problem, message("ingest.raise_max_pixels"))


@lru_cache(maxsize=1)
def _opened(archive: Path, _mtime_ns: int) -> zipfile.ZipFile:
    """Kept open: a worker reads many entries, and each opening reads the whole directory."""
    return zipfile.ZipFile(archive)


def _directory_bytes(archive: Path, size: int) -> int:
    """The length of the central directory, as the archive's end says, before it is read."""
    with archive.open("rb") as file:
        # a comment of at most 65,535 bytes, and the records themselves
        file.seek(max(0, size - 2**16 - 200))
        tail = file.read()
    at = tail.rfind(END)
    at_64 = at - 76  # a ZIP64 record, 56 bytes, and its locator, 20, stand right before
    if at < 0 or len(tail) < at + 22:
        raise zipfile.BadZipFile("no end of central directory")
    (length,) = struct.unpack_from("<I", tail, at + 12)
    if at_64 >= 0 and tail[at_64 : at_64 + 4] == END_64:
        (length_64,) = struct.unpack_from("<Q", tail, at_64 + 40)
        length = max(length if length != 0xFFFFFFFF else 0, length_64)
    return int(length)

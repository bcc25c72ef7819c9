"""A zip -> its entries; an entry -> bytes.

APPNOTE.TXT 6.3. Nothing is unpacked to disk, so no name in an archive ever becomes a path. Refuses as a whole
(`ConfigError`): a damaged archive, one with too many entries, entries that overlap or inflate beyond measure;
as a case: an entry that is encrypted, a link, compressed by a rare method, or leads out by its name.
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

MAX_ENTRIES = 500_000
MAX_DIRECTORY_BYTES = (
    64 * 2**20
)  # the archive's list of entries, which is read into memory as a whole
MAX_RATIO = 200  # inflated to packed; a radiograph has 1 to 10, a bomb of one layer up to 1032
MAX_ENTRY_BYTES = 2**30
CHUNK = 2**20

METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
# What zipfile is seen to raise on a damaged archive.
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
    """Every file of an archive with its name, in the archive's order. Raises `ConfigError`."""
    try:
        size = archive.stat().st_size
        if _directory_bytes(archive, size) > MAX_DIRECTORY_BYTES:
            raise ConfigError(f"the zip lists more than {MAX_ENTRIES} files", "Split it.")
        listed = _opened(archive, archive.stat().st_mtime_ns).infolist()
    except ZIP_ERRORS as error:
        raise ConfigError(
            f"the zip is damaged or cannot be read ({type(error).__name__})",
            "Copy it again from its origin.",
        ) from None  # the original error names the path
    if len(listed) > MAX_ENTRIES:
        raise ConfigError(
            f"the zip lists {len(listed)} files; at most {MAX_ENTRIES} are read", "Split it."
        )
    if sum(info.compress_size for info in listed) > size:
        raise ConfigError(
            "entries of the zip overlap: it is damaged or a bomb", "Make it anew from the files."
        )
    if sum(info.file_size for info in listed) > MAX_RATIO * size:
        raise ConfigError(
            f"the zip would inflate to more than {MAX_RATIO} times its size", "Unpack it with care."
        )
    return [
        (ZipEntry(archive, n), _name(info))
        for n, info in enumerate(listed)
        if not _name(info).endswith("/")
    ]


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
        failure = UnreadableFile(
            f"the file cannot be read from its zip ({type(error).__name__})",
            "Make the zip anew from the files.",
        )
    raise failure  # outside the handler: the original error names the entry


def _name(info: zipfile.ZipInfo) -> str:
    return info.filename.replace("\\", "/")  # some programs on Windows write these


def _check(info: zipfile.ZipInfo, max_bytes: int) -> None:
    name = PurePosixPath(_name(info))
    if name.is_absolute() or ".." in name.parts:
        raise UnreadableFile(
            "the name of the file in the zip leads out of the zip", "Make the zip anew."
        )
    if stat.S_ISLNK(info.external_attr >> 16):
        raise UnreadableFile("the file in the zip is a link", "Put the file itself into the zip.")
    if info.flag_bits & 1:
        raise UnreadableFile("the file in the zip is encrypted", "Make a zip without a password.")
    if info.compress_type not in METHODS:
        raise UnsupportedRadiograph(
            "the file in the zip is compressed by a rare method", "Make the zip with deflate."
        )
    if info.file_size > MAX_RATIO * max(info.compress_size, 1):
        raise UnsupportedRadiograph(
            f"the file would inflate to more than {MAX_RATIO} times its size in the zip",
            "Unpack the zip with care.",
        )
    if info.file_size > max_bytes:
        raise UnsupportedRadiograph(
            f"the file has {info.file_size} bytes, more than the {max_bytes} that are read"
        )


@lru_cache(maxsize=1)
def _opened(archive: Path, _mtime_ns: int) -> zipfile.ZipFile:
    """Kept open: a worker reads many entries, and each opening reads the whole directory."""
    return zipfile.ZipFile(archive)


def _directory_bytes(archive: Path, size: int) -> int:
    """The length of the central directory, as the archive's end says, before anything of it is read."""
    with archive.open("rb") as file:
        file.seek(
            max(0, size - 2**16 - 200)
        )  # a comment of at most 65,535 bytes, and the records themselves
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

"""`CaseSource` -> `Radiograph`, by the file's content, never by its name.

Refuses what is empty, cut short, changed since it was listed, too large, or no radiograph.
"""

from __future__ import annotations

import errno
import hashlib
import stat
from dataclasses import replace
from pathlib import Path, PurePosixPath

from cxr_audit.errors import (
    CaseError,
    NotARadiograph,
    NotRetrieved,
    UnreadableFile,
    UnsupportedRadiograph,
)
from cxr_audit.ingest import archive, dicomweb
from cxr_audit.ingest.dicom import is_bare_dataset, probe_dicom, read_dicom
from cxr_audit.ingest.image import probe_image, read_image
from cxr_audit.ingest.notes import Display
from cxr_audit.records import CaseSource, Radiograph, ServerInstance, ZipEntry
from cxr_audit.vocabulary import message

BY_THE_HEADER = Display()
MAX_PIXELS = 64_000_000  # a 35 x 43 cm film digitised at 0.05 mm
# A radiograph needs 2 bytes a pixel, a colour capture 3 or 6; beyond 8, and room for headers, it is
# neither.
BYTES_A_PIXEL = 8
HEADER_BYTES = 64 * 2**20

MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
}
# The last part of the code of a message.
OTHER_IMAGES = {
    b"GIF8": "gif",
    b"BM": "bmp",
    b"RIFF": "riff",
    b"\x00\x00\x00\x0cjP  ": "jpeg_2000",
    b"\xff\x4f\xff\x51": "jpeg_2000",
    b"\x00\x00\x00\x0cJXL ": "jpeg_xl",
    b"\xff\x0a": "jpeg_xl",
    b"II+\x00": "big_tiff",
    b"MM\x00+": "big_tiff",
}
OTHER_FILES = {
    b"%PDF": "pdf",
    b"PK\x03\x04": "zip",
    b"\x1f\x8b": "gzip",
    b"\x89HDF": "hdf5",
}
EXTENSIONS = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".png": "PNG",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".dcm": "DICOM",
    ".dicom": "DICOM",
}
# The code of a message without its prefix, and that of the hint.
FILE_ERRORS = {
    errno.ENOENT: ("no_file", "check_path"),
    errno.EACCES: ("no_permission", "give_permission"),
    errno.EPERM: ("no_permission", "give_permission"),
    errno.ELOOP: ("link_loop", "link_loop_hint"),
    errno.ENOTDIR: ("through_a_file", "check_path"),
    errno.ENAMETOOLONG: ("long_path", "shorten_path"),
}


def read(
    case: CaseSource, max_pixels: int = MAX_PIXELS, display: Display = BY_THE_HEADER
) -> Radiograph:
    """Read one case.

    Parameters
    ----------
    case
        As `discover` lists it. Where it carries a hash, the file must still have it.
    max_pixels
        The largest image that is decoded; checked by the header, before memory is taken.
    display
        What a file leaves open: which window, which frame, what to do with what cannot be read.

    Returns
    -------
    Radiograph
        float32 (rows, columns) in [0, 1], 0 = black as displayed. Its `pixel_sha256` is the SHA-256
        of the decoded stored values and nothing else: C order, little endian, one or two bytes a
        sample; for DICOM masked to Bits Stored and sign-extended, before the grayscale chain; for
        other images upright.

    Raises
    ------
    UnreadableFile, NotARadiograph, UnsupportedRadiograph, NotRetrieved
    """
    data, file_sha256, name = _open(case, max_pixels)
    instance = None
    if name == "DICOM":
        pixels, facts, instance = read_dicom(data, file_sha256, max_pixels, display)
    else:
        pixels, facts = read_image(data, file_sha256, max_pixels, display)
    _check_identity(case, instance)
    suffix = PurePosixPath(case.relative_path).suffix.lower()
    stated = EXTENSIONS.get(suffix, name)
    if stated != name:
        warning = message("ingest.extension", stated=stated, format=name)
        facts = replace(facts, warnings=(*facts.warnings, warning))
    return Radiograph(case.case_id, pixels, facts, instance)


def probe(
    case: CaseSource, max_pixels: int = MAX_PIXELS, display: Display = BY_THE_HEADER
) -> dict[str, str]:
    """Raise the errors of `read` that can be known without decoding the pixels.

    Parameters
    ----------
    case : where the file is.
    max_pixels : the largest image that is read.
    display : which frame, VOI transform and window.

    Returns
    -------
    The attributes of the allow-list, by DICOM keyword.
    """
    data, _, name = _open(case, max_pixels)
    instance, attributes = None, dict[str, str]()
    if name == "DICOM":
        instance, attributes = probe_dicom(data, max_pixels, display)
    else:
        probe_image(data, max_pixels)
    _check_identity(case, instance)
    return attributes


def _check_identity(case: CaseSource, instance: str | None) -> None:
    """Check by (0008,0018), not by the file meta header, that a server sent the right instance."""
    if isinstance(case.location, ServerInstance) and instance != case.location.uid:
        raise NotRetrieved(message("ingest.other_instance"))


def _open(case: CaseSource, max_pixels: int) -> tuple[bytes, str, str]:
    """The file's bytes, their SHA-256 and the name of their format."""
    data = _fetch(case.location, BYTES_A_PIXEL * max_pixels + HEADER_BYTES)
    if not data:
        raise UnreadableFile(message("ingest.empty_file"), message("ingest.copy_again"))
    file_sha256 = hashlib.sha256(data).hexdigest()
    if case.file_sha256 not in (None, file_sha256):
        raise UnreadableFile(message("ingest.changed"), message("ingest.changed_hint"))
    return data, file_sha256, _format(case, data)


def _format(case: CaseSource, data: bytes) -> str:
    """The name of the format. What a server sends as an instance must be DICOM."""
    if not isinstance(case.location, ServerInstance):
        return _detect(data)
    if data[128:132] == b"DICM" or is_bare_dataset(data):
        return "DICOM"
    raise NotRetrieved(message("ingest.other_instance"))


def fetch(case: CaseSource, max_pixels: int = MAX_PIXELS) -> bytes:
    """The file of a case, as it is, in memory.

    Parameters
    ----------
    case : where it is.
    max_pixels : the largest image that is read; a larger file is refused.

    Raises
    ------
    UnreadableFile, UnsupportedRadiograph, NotRetrieved
    """
    return _fetch(case.location, BYTES_A_PIXEL * max_pixels + HEADER_BYTES)


def _fetch(location: Path | ZipEntry | ServerInstance, max_bytes: int) -> bytes:
    match location:
        case ZipEntry():
            return archive.read_entry(location, max_bytes)
        case ServerInstance():
            return dicomweb.retrieve(location, max_bytes)
    return read_bytes(location, max_bytes)


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """A file's bytes. Raises a `CaseError` that names no path."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableFile(message("ingest.a_folder"), message("ingest.name_the_file"))
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableFile(message("ingest.no_regular_file"))
        if status.st_size > max_bytes:
            problem = message("ingest.file_too_large", num=status.st_size, limit=max_bytes)
            raise UnsupportedRadiograph(problem, message("ingest.raise_max_pixels"))
        # reading a file of /proc may wait for ever
        return path.read_bytes() if status.st_size else b""
    except (OSError, ValueError) as error:
        named = _file_error(error)
    raise named  # outside the handler: the original error names the path


def _file_error(error: OSError | ValueError) -> UnreadableFile:
    code = error.errno if isinstance(error, OSError) else None
    if code in FILE_ERRORS:
        problem, hint = FILE_ERRORS[code]
        return UnreadableFile(message(f"ingest.{problem}"), message(f"ingest.{hint}"))
    if code is None:
        return UnreadableFile(message("ingest.invalid_path"), message("ingest.check_path"))
    name = errno.errorcode.get(code, str(code))
    return UnreadableFile(message("ingest.file_error", error=name))


def _detect(data: bytes) -> str:
    """The name of the format.

    DICM comes first: a DICOM file may carry a TIFF header in its preamble.
    """
    if data[128:132] == b"DICM":
        return "DICOM"
    for magic, name in MAGIC.items():
        if data.startswith(magic):
            return name
    if is_bare_dataset(data):
        return "DICOM"
    raise _not_a_format(data)


def _not_a_format(data: bytes) -> CaseError:
    hint = message("ingest.formats")
    for magic, name in OTHER_IMAGES.items():
        if data.startswith(magic):
            problem = message("ingest.other_image", kind=message(f"ingest.kind_{name}"))
            return UnsupportedRadiograph(problem, message("ingest.convert"))
    for magic, name in OTHER_FILES.items():
        if data.startswith(magic):
            problem = message("ingest.no_image", kind=message(f"ingest.kind_{name}"))
            return NotARadiograph(problem, hint)
    if b"\x00" not in data[:1024]:
        return NotARadiograph(message("ingest.text_file"), hint)
    return NotARadiograph(message("ingest.unknown_format"), hint)

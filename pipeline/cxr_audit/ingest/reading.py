"""`CaseSource` -> `Radiograph`, by the file's content, never by its name.

Refuses what is empty, cut short, changed since it was listed, too large, or no radiograph.
"""

from __future__ import annotations

import errno
import hashlib
import stat
from dataclasses import replace
from pathlib import Path, PurePosixPath

from cxr_audit.errors import CaseError, NotARadiograph, UnreadableFile, UnsupportedRadiograph
from cxr_audit.ingest import archive, dicomweb
from cxr_audit.ingest.dicom import is_bare_dataset, probe_dicom, read_dicom
from cxr_audit.ingest.grayscale import Display
from cxr_audit.ingest.image import probe_image, read_image
from cxr_audit.records import CaseSource, Radiograph, ServerInstance, ZipEntry

BY_THE_HEADER = Display()
MAX_PIXELS = 64_000_000  # a 35 x 43 cm film digitised at 0.05 mm
# A radiograph needs 2 bytes a pixel, a colour capture 3 or 6; beyond 8, and room for headers, it is neither.
BYTES_A_PIXEL = 8
HEADER_BYTES = 64 * 2**20

MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
}
OTHER_IMAGES = {
    b"GIF8": "a GIF image",
    b"BM": "a BMP image",
    b"RIFF": "a WebP image or a RIFF file",
    b"\x00\x00\x00\x0cjP  ": "a JPEG 2000 image outside DICOM",
    b"\xff\x4f\xff\x51": "a JPEG 2000 image outside DICOM",
    b"II+\x00": "a BigTIFF image",
    b"MM\x00+": "a BigTIFF image",
}
OTHER_FILES = {
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive or an office document",
    b"\x1f\x8b": "a gzip archive",
    b"\x89HDF": "an HDF5 file",
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
        What a DICOM file leaves open: which window, which frame. Plain images leave nothing open.

    Returns
    -------
    Radiograph
        float32 (rows, columns) in [0, 1], 0 = black as displayed. Its `pixel_sha256` is the SHA-256 of the
        decoded stored values and nothing else: C order, little endian, one or two bytes a sample; for DICOM
        masked to Bits Stored and sign-extended, before the grayscale chain; for other images upright.

    Raises
    ------
    UnreadableFile, NotARadiograph, UnsupportedRadiograph, NotRetrieved
    """
    data, file_sha256, name = _open(case, max_pixels)
    instance = None
    if name == "DICOM":
        pixels, facts, instance = read_dicom(data, file_sha256, max_pixels, display)
    else:
        pixels, facts = read_image(data, file_sha256, max_pixels)
    says = EXTENSIONS.get(PurePosixPath(case.relative_path).suffix.lower(), name)
    if says != name:
        warning = f"the file's extension says {says}, its content is {name}; read by its content"
        facts = replace(facts, warnings=(*facts.warnings, warning))
    return Radiograph(case.case_id, pixels, facts, instance)


def probe(case: CaseSource, max_pixels: int = MAX_PIXELS, display: Display = BY_THE_HEADER) -> None:
    """Raise what `read` would raise, as far as it can be known without decoding the pixels."""
    data, _, name = _open(case, max_pixels)
    if name == "DICOM":
        probe_dicom(data, max_pixels, display)
    else:
        probe_image(data, max_pixels)


def _open(case: CaseSource, max_pixels: int) -> tuple[bytes, str, str]:
    """The file's bytes, their SHA-256 and the name of their format."""
    data = _fetch(case.location, BYTES_A_PIXEL * max_pixels + HEADER_BYTES)
    if not data:
        raise UnreadableFile("the file is empty (0 bytes)", "Copy it again from its origin.")
    file_sha256 = hashlib.sha256(data).hexdigest()
    if case.file_sha256 not in (None, file_sha256):
        raise UnreadableFile(
            "the file has changed since the cases were listed", "Let nothing write to the source."
        )
    return data, file_sha256, _detect(data)


def _fetch(location: Path | ZipEntry | ServerInstance, max_bytes: int) -> bytes:
    match location:
        case ZipEntry():
            return archive.read_entry(location, max_bytes)
        case ServerInstance():
            return dicomweb.retrieve(location, max_bytes)
    return read_bytes(location, max_bytes)


def read_bytes(path: Path, max_bytes: int) -> bytes:
    """A file's bytes; raises a `CaseError` in words that name no path."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableFile("the path is a folder, not a file", "Name the image file itself.")
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableFile("the path is a pipe, a socket or a device, not a file")
        if status.st_size > max_bytes:
            raise UnsupportedRadiograph(
                f"the file has {status.st_size} bytes, more than the {max_bytes} that the pixel limit allows",
                "Raise ingest.max_pixels if this is really a radiograph.",
            )
        return (
            path.read_bytes() if status.st_size else b""
        )  # reading a file of /proc may wait for ever
    except (OSError, ValueError) as error:
        named = _file_error(error)
    raise named  # outside the handler: the original error names the path


def _file_error(error: OSError | ValueError) -> UnreadableFile:
    code = error.errno if isinstance(error, OSError) else None
    reasons = {
        errno.ENOENT: ("the file does not exist", "Check the path in the manifest."),
        errno.EACCES: ("no permission to read the file", "Give this user the right to read it."),
        errno.EPERM: ("no permission to read the file", "Give this user the right to read it."),
        errno.ELOOP: (
            "the path is a link that leads back to itself",
            "Point the link at the file.",
        ),
        errno.ENOTDIR: (
            "the path leads through something that is not a folder",
            "Check the path in the manifest.",
        ),
        errno.ENAMETOOLONG: ("the path is too long", "Shorten it."),
    }
    if code in reasons:
        return UnreadableFile(*reasons[code])
    return UnreadableFile(
        f"the file cannot be read ({errno.errorcode.get(code or 0, 'an invalid path')})"
    )


def _detect(data: bytes) -> str:
    """The name of the format. DICM comes first: a DICOM file may carry a TIFF header in its preamble."""
    if data[128:132] == b"DICM":
        return "DICOM"
    for magic, name in MAGIC.items():
        if data.startswith(magic):
            return name
    if is_bare_dataset(data):
        return "DICOM"
    raise _not_a_format(data)


def _not_a_format(data: bytes) -> CaseError:
    hint = "Audits read DICOM, JPEG, PNG and TIFF."
    for magic, name in OTHER_IMAGES.items():
        if data.startswith(magic):
            return UnsupportedRadiograph(f"the file is {name}", f"Convert it to PNG. {hint}")
    for magic, name in OTHER_FILES.items():
        if data.startswith(magic):
            return NotARadiograph(f"the file is {name}, not an image", hint)
    if b"\x00" not in data[:1024]:
        return NotARadiograph("the file is text, not an image", hint)
    return NotARadiograph("the file is no image of a known format", hint)

"""JPEG, PNG, TIFF bytes -> grey pixels in [0, 1] and facts.

Decoded with Pillow, which refuses a file that is cut short (OpenCV fills the rest with grey);
16-bit colour with OpenCV after that, because Pillow keeps 8 of its bits. Refuses animations, 32-bit
images, masks, and what would need more memory than the pixel limit allows.
"""

from __future__ import annotations

import hashlib
import io
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, UnidentifiedImageError

from cxr_audit.errors import CaseError, NotARadiograph, UnreadableFile, UnsupportedRadiograph
from cxr_audit.ingest import png, tiff
from cxr_audit.ingest.codestream import MAX_SCANS, announced
from cxr_audit.ingest.decoding import is_damaged_jpeg
from cxr_audit.ingest.notes import Display, Notes
from cxr_audit.records import Floats, RadiographFacts, SourceFile
from cxr_audit.vocabulary import message

Stored = npt.NDArray[np.integer[Any]]

FORMATS = ("JPEG", "PNG", "TIFF")
# What Pillow raises on damaged files.
DECODER_ERRORS = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError,
    SyntaxError, TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip

ORIENTATION_TAG = 0x0112
ORIENTATIONS = range(2, 9)  # TIFF 6.0, tag 274; 1 is upright
# Memory for a pixel of the limit: Pillow's own copy, the array twice, and float32.
BYTES_A_PIXEL = 16
HEADER_BYTES = 64 * 2**20
BLOCK_SAMPLES = 2**20

# ITU-R BT.601, the weights of JPEG's own Y and of DICOM's YBR_FULL (PS3.3 C.7.6.3.1.2).
LUMA = np.array([0.299, 0.587, 0.114])
# Channels further apart than this share of the range, in more than this share of the pixels, are
# colour.
COLOUR_SPREAD = 16 / 255
COLOUR_FRACTION = 1e-3
# A 16-bit image that leaves two bits and more unused was probably made of fewer bits.
UNUSED_BITS = 2

_pillow_switches = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Opened:
    """An image with its header checked, its pixels not yet decoded."""

    image: Image.Image
    data: bytes
    directory: tiff.Tiff | None = None

    @property
    def format(self) -> str:
        return "JPEG" if self.image.format == "MPO" else str(self.image.format)

    @property
    def is_deep_colour(self) -> bool:
        """Whether a channel has 16 bits of which Pillow would keep 8."""
        if self.format == "PNG":
            is_grey = self.image.mode in ("I;16", "I;16B")
            return png.bit_depth(self.data) == 16 and not is_grey
        return self.directory is not None and self.directory.bits == 16 < 16 * _bands(self)


def _bands(opened: _Opened) -> int:
    return opened.directory.samples if opened.directory is not None else 1


@contextmanager
def strict_pillow() -> Iterator[None]:
    """Refuse truncated images, whoever switched that off (WeasyPrint does, for the process).

    The pixel limit is ours, so Pillow's own is off.
    """
    with _pillow_switches, warnings.catch_warnings():
        before = ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS
        ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = False, None
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS = before


def probe_image(data: bytes, max_pixels: int) -> None:
    """Raise what the header alone shows to be wrong."""
    with strict_pillow():
        _open_image(data, max_pixels)


def read_image(
    data: bytes, file_sha256: str, max_pixels: int, display: Display
) -> tuple[Floats, RadiographFacts]:
    """Decode a plain image.

    Parameters
    ----------
    data, file_sha256
    max_pixels : the largest image that is decoded; memory is limited by it as well.
    display : `damaged_pixels` says whether damage that the decoder hides is refused.

    Returns
    -------
    pixels : float32 (rows, columns) in [0, 1]
        The stored values, of which the largest of the bit depth is 1; colour as luma.
    facts : RadiographFacts

    Raises
    ------
    NotARadiograph, UnreadableFile, UnsupportedRadiograph
    """
    notes = Notes()
    with strict_pillow():
        opened = _open_image(data, max_pixels)
        name = opened.format
        stored, white, decoder = _decode(opened, notes)
    if _is_damaged(opened):
        notes.damaged(display)
    del opened  # Pillow's copy of the pixels
    pixels = to_grey(stored, white, notes)
    if pixels.min() == pixels.max():
        notes.warn(message("ingest.blank"))
    bits = white.bit_length()
    used = int(stored.max()).bit_length()
    if bits == 16 and 0 < used <= bits - UNUSED_BITS:
        notes.warn(message("ingest.unused_bits", used=used, bits=bits))
    how = message("ingest.grey_scale_how", white=white, bits=bits)
    notes.decide(message("ingest.grey_scale"), how, message("ingest.grey_scale_why"))
    facts = RadiographFacts(
        rows=pixels.shape[0],
        columns=pixels.shape[1],
        source=SourceFile(file_sha256, stored_sha256(stored), name, None, decoder),
        decisions=tuple(notes.decisions),
        warnings=tuple(notes.warnings),
    )
    return pixels, facts


def _is_damaged(opened: _Opened) -> bool:
    """Whether the pixels are damaged in a way that Pillow does not report."""
    rows, columns = opened.image.height, opened.image.width
    if opened.format == "JPEG":
        return is_damaged_jpeg(opened.data, rows, columns)
    if opened.format == "PNG":
        return png.has_damaged_pixels(opened.data)
    if opened.directory is None:
        return False
    pieces = tiff.jpeg_pieces(opened.data, opened.directory)
    return any(is_damaged_jpeg(piece, rows, columns) for piece in pieces)


def stored_sha256(stored: Stored) -> str:
    """SHA-256 of the values alone: C order, little endian."""
    values = np.ascontiguousarray(stored, stored.dtype.newbyteorder("<"))
    return hashlib.sha256(values.data).hexdigest()


def check_size(rows: int, columns: int, max_pixels: int) -> None:
    """Refuse a size before memory is taken for it.

    Parameters
    ----------
    rows, columns : of the image.
    max_pixels : the largest number of pixels that is read.

    Raises
    ------
    UnreadableFile : no pixels.
    UnsupportedRadiograph : too many.
    """
    if rows < 1 or columns < 1:
        problem = message("ingest.no_size", rows=rows, columns=columns)
        raise UnreadableFile(problem, message("ingest.copy_again"))
    if rows * columns > max_pixels:
        problem = message("ingest.too_large", rows=rows, columns=columns, limit=max_pixels)
        raise UnsupportedRadiograph(problem, message("ingest.raise_max_pixels"))


def blocks(stored: Stored) -> Iterator[slice]:
    """Rows in groups: intermediate results of a group are small beside the image."""
    samples_a_row = max(stored[:1].size, 1)
    step = max(1, BLOCK_SAMPLES // samples_a_row)
    for start in range(0, stored.shape[0], step):
        yield slice(start, start + step)


def to_grey(stored: Stored, white: int, notes: Notes) -> Floats:
    """Stored values -> brightness.

    Parameters
    ----------
    stored : (rows, columns) or (rows, columns, RGB), in 0..white.
    white : the value that is shown white.
    notes

    Returns
    -------
    float32 (rows, columns) in [0, 1]
    """
    grey: Floats = np.empty(stored.shape[:2], np.float32)
    if stored.ndim == 3:
        num_uneven, num_coloured = _spread(stored, white)
        if num_uneven:
            _decide_luma(num_coloured > COLOUR_FRACTION * grey.size, notes)
            for rows in blocks(stored):
                grey[rows] = np.clip((stored[rows] @ LUMA) / white, 0, 1)
            return grey
        how, why = message("ingest.one_channel"), message("ingest.one_channel_why")
        notes.decide(message("ingest.colour_channels"), how, why)
        stored = stored[..., 0]
    for rows in blocks(stored):
        grey[rows] = stored[rows] / np.float64(white)
    return grey


def _spread(stored: Stored, white: int) -> tuple[int, int]:
    """How many pixels have channels that differ, and that differ by more than noise."""
    num_uneven = num_coloured = 0
    for rows in blocks(stored):
        spread = stored[rows].max(axis=2) - stored[rows].min(axis=2)
        num_uneven += int(np.count_nonzero(spread))
        num_coloured += int((spread > COLOUR_SPREAD * white).sum())
    return num_uneven, num_coloured


def _decide_luma(is_coloured: bool, notes: Notes) -> None:
    if is_coloured:
        notes.warn(message("ingest.real_colour"))
    why = message("ingest.luma_colour_why" if is_coloured else "ingest.luma_noise_why")
    notes.decide(message("ingest.colour_channels"), message("ingest.luma"), why)


def _open_image(data: bytes, max_pixels: int) -> _Opened:
    """The image with its header checked, its pixels not yet decoded."""
    directory = tiff.directory(data) if data[:2] in (b"II", b"MM") else None
    failure: CaseError
    try:
        readable = _readable(data, directory)
        image = Image.open(io.BytesIO(readable), formats=FORMATS)
        opened = _Opened(image, data, directory)
        _check_header(opened, max_pixels)
        return opened
    except CaseError:
        raise
    except UnidentifiedImageError:
        failure = _unidentified(data, directory)
    except DECODER_ERRORS as error:
        failure = _damaged(error)
    raise failure  # outside the handler: the decoder's words stay out


def _readable(data: bytes, directory: tiff.Tiff | None) -> bytes:
    """The file as Pillow can open it: a TIFF whose white is zero is inverted here, not by Pillow.

    One of an odd depth is opened as if it had 16 bits, for its header alone.
    """
    if directory is None:
        return data
    changes: dict[int, int] = {}
    if directory.is_white_zero:
        changes[tiff.PHOTOMETRIC] = tiff.BLACK_IS_ZERO
    if directory.is_odd_depth:
        changes[tiff.BITS] = 16
    return tiff.patched(data, directory, changes) if changes else data


def _unidentified(data: bytes, directory: tiff.Tiff | None) -> CaseError:
    """Why Pillow cannot open a file: unsupported is not damaged."""
    export = message("ingest.export_png")
    jpeg = announced(data) if data.startswith(b"\xff\xd8") else None
    if jpeg is not None and jpeg.precision > 8:
        return UnsupportedRadiograph(message("ingest.jpeg_bits", bits=jpeg.precision), export)
    if directory is not None and directory.bits:
        problem = message(
            "ingest.tiff_kind",
            bits=directory.bits,
            samples=directory.samples,
            compression=directory.first(tiff.COMPRESSION, 1),
        )
        return UnsupportedRadiograph(problem, export)
    return UnreadableFile(message("ingest.image_header"), message("ingest.copy_again"))


def _damaged(error: BaseException) -> UnreadableFile:
    problem = message("ingest.image_damaged", error=type(error).__name__)
    return UnreadableFile(problem, message("ingest.copy_again"))


def _check_header(opened: _Opened, max_pixels: int) -> None:
    """Refuse what the header shows before memory is taken for the pixels."""
    image, data = opened.image, opened.data
    check_size(image.height, image.width, max_pixels)
    if image.format in ("PNG", "TIFF") and _has_another(image):
        raise UnsupportedRadiograph(message("ingest.several_images"), message("ingest.one_image"))
    if opened.format == "JPEG" and data.count(b"\xff\xda") > MAX_SCANS:
        problem = message("ingest.many_scans", limit=MAX_SCANS)
        raise UnsupportedRadiograph(problem, message("ingest.save_baseline"))
    _check_depth(image, opened.directory)
    if _is_short(opened):
        raise UnreadableFile(message("ingest.image_short"), message("ingest.copy_again"))
    _check_memory(opened, max_pixels)


def _check_depth(image: Image.Image, directory: tiff.Tiff | None) -> None:
    """Refuse pixels of 1 bit, signed ones, packed ones and those of 32 bits."""
    if image.mode == "1":
        raise NotARadiograph(message("ingest.one_bit"))
    if directory is not None and directory.is_signed:
        raise UnsupportedRadiograph(message("ingest.signed"), message("ingest.convert_16"))
    if directory is not None and directory.is_odd_depth and not directory.is_unpackable:
        problem = message("ingest.tiff_packed", bits=directory.bits)
        raise UnsupportedRadiograph(problem, message("ingest.export_png"))
    if image.mode in ("I", "F"):
        raise UnsupportedRadiograph(message("ingest.bits_32"), message("ingest.convert_16"))


def _is_short(opened: _Opened) -> bool:
    """Whether the file ends before its pixels do, as far as its header tells."""
    data, directory = opened.data, opened.directory
    if opened.image.format == "PNG" and not png.is_complete(data):
        return True
    return directory is not None and tiff.end_of_pixels(directory) > len(data)


def _check_memory(opened: _Opened, max_pixels: int) -> None:
    """Refuse an image whose decoding needs more than the pixel limit is meant to allow."""
    needed = len(opened.data) + opened.image.height * opened.image.width * _bytes_a_pixel(opened)
    allowed = BYTES_A_PIXEL * max_pixels + HEADER_BYTES
    if needed > allowed:
        problem = message(
            "ingest.too_much_memory", needed=needed // 2**20, allowed=allowed // 2**20
        )
        raise UnsupportedRadiograph(problem, message("ingest.raise_max_pixels"))


def _bytes_a_pixel(opened: _Opened) -> int:
    """An estimate of the peak: Pillow's copy, the array twice (alpha, rotation), and float32."""
    image = opened.image
    is_grey = image.mode == "L" or image.mode.startswith("I;16")
    width = 2 if opened.is_deep_colour or image.mode.startswith("I;16") else 1
    pillow = width if is_grey else 4
    bands = len(image.getbands()) if image.mode not in ("P", "PA") else 4
    coefficients = 2 * bands if opened.format == "JPEG" else 0
    return pillow + 2 * bands * width + coefficients + 4


def _has_another(image: Image.Image) -> bool:
    """Whether a second image follows.

    They are not counted: in a TIFF each names the next, of perhaps millions.
    """
    try:
        image.seek(1)
    except EOFError:
        return False
    image.seek(0)
    return True


def _decode(opened: _Opened, notes: Notes) -> tuple[Stored, int, str]:
    """The stored values, upright, uint8 or uint16, (rows, columns) or (rows, columns, RGB).

    Also the value that is white, and the decoder.
    """
    image = opened.image
    try:
        orientation = image.getexif().get(ORIENTATION_TAG, 1)
        stored, white, decoder, is_upright = _samples(opened, notes)
        if orientation in ORIENTATIONS:
            how = message(f"ingest.orientation_{orientation}")
            notes.decide(message("ingest.orientation"), how, message("ingest.orientation_why"))
            if not is_upright:
                stored = _upright(stored, orientation)
        return np.ascontiguousarray(stored), white, decoder
    except DECODER_ERRORS as error:
        failure = _damaged(error)
    raise failure


def _samples(opened: _Opened, notes: Notes) -> tuple[Stored, int, str, bool]:
    """Stored values, white, decoder, and whether a TIFF's orientation is already undone."""
    image, directory = opened.image, opened.directory
    decoder = f"Pillow {version('pillow')}"
    if directory is not None and directory.is_odd_depth:
        values = tiff.unpacked(opened.data, directory)
        white = (1 << directory.bits) - 1
        return _white_is_zero(values, white, directory, notes), white, decoder, False
    image.load()  # a TIFF is upright after this
    if opened.is_deep_colour:
        image.close()  # OpenCV decodes anew
        return _deep_colour(opened, notes), 65535, f"OpenCV {cv2.__version__}", False
    stored = _by_pillow(image, notes)
    white = int(np.iinfo(stored.dtype).max)
    if directory is not None:
        stored = _white_is_zero(stored, white, directory, notes)
    return stored, white, decoder, opened.format == "TIFF"


def _white_is_zero(stored: Stored, white: int, directory: tiff.Tiff, notes: Notes) -> Stored:
    if not directory.is_white_zero:
        return stored
    why = message("ingest.white_is_zero")
    notes.decide(message("ingest.inversion"), message("ingest.inverted"), why)
    inverted: Stored = stored.dtype.type(white) - stored
    return inverted


def _by_pillow(image: Image.Image, notes: Notes) -> Stored:
    if image.mode.startswith("I;16"):
        deep: Stored = np.asarray(image).astype(np.uint16)
        return deep
    if image.mode == "L":
        return np.asarray(image)
    if image.mode in ("P", "PA"):
        how, why = message("ingest.palette_how"), message("ingest.palette_why")
        notes.decide(message("ingest.palette_what"), how, why)
        has_alpha = image.mode == "PA" or "transparency" in image.info
        image = image.convert("RGBA" if has_alpha else "RGB")
    elif image.mode == "CMYK":
        how, why = message("ingest.cmyk_how"), message("ingest.cmyk_why")
        notes.decide(message("ingest.cmyk"), how, why)
        image = image.convert("RGB")
    elif image.mode in ("YCbCr", "LAB", "HSV"):
        image = image.convert("RGB")
    stored: Stored = np.asarray(image)
    if image.mode in ("LA", "RGBA"):
        return _drop_alpha(stored, notes)
    if image.mode != "RGB":
        raise ValueError(f"mode {image.mode}")
    return stored


def _deep_colour(opened: _Opened, notes: Notes) -> Stored:
    """Colour or alpha of 16 bits a channel, all bits kept. Pillow has read the file to its end."""
    stored = cv2.imdecode(np.frombuffer(opened.data, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16 or stored.ndim != 3:
        raise ValueError("OpenCV reads this image otherwise than its header says")
    if stored.shape[2] == 4:
        # OpenCV has blue first
        return _drop_alpha(cv2.cvtColor(stored, cv2.COLOR_BGRA2RGBA, dst=stored), notes)
    return np.asarray(cv2.cvtColor(stored, cv2.COLOR_BGR2RGB, dst=stored))


def _drop_alpha(stored: Stored, notes: Notes) -> Stored:
    """Without the last channel; what is transparent is laid on black."""
    what = message("ingest.transparency")
    opaque = np.iinfo(stored.dtype).max
    is_grey = stored.shape[2] == 2
    values = stored[..., 0] if is_grey else stored[..., :-1]
    if (stored[..., -1] == opaque).all():
        notes.decide(what, message("ingest.opaque_how"), message("ingest.opaque_why"))
        return values
    notes.decide(what, message("ingest.transparent_how"), message("ingest.transparent_why"))
    notes.warn(message("ingest.transparent"))
    laid = np.empty_like(values)
    for rows in blocks(stored):
        share = stored[rows, :, -1] / opaque
        laid[rows] = np.rint(values[rows] * (share if is_grey else share[..., None]))
    return laid


def _upright(stored: Stored, orientation: int) -> Stored:
    """Undo what the EXIF tag Orientation (TIFF 6.0, tag 274) says was done."""
    swapped = np.swapaxes(stored, 0, 1)
    return {
        2: stored[:, ::-1],
        3: stored[::-1, ::-1],
        4: stored[::-1],
        5: swapped,
        6: swapped[:, ::-1],
        7: swapped[::-1, ::-1],
        8: swapped[::-1],
    }[orientation]

"""JPEG, PNG, TIFF bytes -> grey pixels in [0, 1] and facts.

Decoded with Pillow, which refuses a file that is cut short (OpenCV fills the rest with grey); 16-bit colour
PNG with OpenCV after that, because Pillow keeps 8 of its bits. Refuses animations, 32-bit images, masks.
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
from importlib.metadata import version
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, UnidentifiedImageError

from cxr_audit.errors import CaseError, NotARadiograph, UnreadableFile, UnsupportedRadiograph
from cxr_audit.records import Decision, Floats, RadiographFacts, SourceFile

Stored = npt.NDArray[np.integer[Any]]

FORMATS = ("JPEG", "PNG", "TIFF")
# What Pillow is seen to raise on damaged files.
DECODER_ERRORS = (
    ArithmeticError, AttributeError, EOFError, LookupError, MemoryError, OSError, RuntimeError, SyntaxError,
    TypeError, ValueError, struct.error, zlib.error,
)  # fmt: skip

PNG_END = b"IEND\xaeB`\x82"
MAX_SCANS = 200  # a progressive JPEG needs some ten; each costs a pass over the whole image
ORIENTATION_TAG = 0x0112
ORIENTATIONS = {
    2: "mirrored left to right",
    3: "turned by 180 degrees",
    4: "mirrored top to bottom",
    5: "mirrored and turned by 270 degrees clockwise",
    6: "turned by 90 degrees clockwise",
    7: "mirrored and turned by 90 degrees clockwise",
    8: "turned by 270 degrees clockwise",
}

# ITU-R BT.601, the weights of JPEG's own Y and of DICOM's YBR_FULL (PS3.3 C.7.6.3.1.2).
LUMA = np.array([0.299, 0.587, 0.114])
# Channels further apart than this share of the range, in more than this share of the pixels, are colour.
COLOUR_SPREAD = 16 / 255
COLOUR_FRACTION = 1e-3

_pillow_switches = threading.Lock()


@contextmanager
def strict_pillow() -> Iterator[None]:
    """Refuse truncated images, whoever switched that off (WeasyPrint does, for the whole process).
    The pixel limit is ours, so Pillow's own is off."""
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


def read_image(data: bytes, file_sha256: str, max_pixels: int) -> tuple[Floats, RadiographFacts]:
    """Decode a plain image.

    Returns
    -------
    pixels : float32 (rows, columns) in [0, 1]
        uint8 / 255 or uint16 / 65535; colour as luma.
    facts : RadiographFacts
    """
    decisions: list[Decision] = []
    remarks: list[str] = []
    with strict_pillow():
        image = _open_image(data, max_pixels)
        name = "JPEG" if image.format == "MPO" else str(image.format)
        stored, decoder = _decode(image, data, decisions, remarks)
    pixels = to_grey(stored, np.iinfo(stored.dtype).max, decisions, remarks)
    if pixels.min() == pixels.max():
        remarks.append("every pixel has the same value: the image is blank")
    decisions.append(
        Decision(
            "grey scale",
            f"black is 0, white is {np.iinfo(stored.dtype).max}, all of {8 * stored.itemsize} bits",
            "a plain image carries no display window; it is taken as already prepared for display",
        )
    )
    facts = RadiographFacts(
        rows=pixels.shape[0],
        columns=pixels.shape[1],
        source=SourceFile(file_sha256, stored_sha256(stored), name, None, decoder),
        decisions=tuple(decisions),
        warnings=tuple(remarks),
    )
    return pixels, facts


def stored_sha256(stored: Stored) -> str:
    """SHA-256 of the values alone: C order, little endian."""
    return hashlib.sha256(
        np.ascontiguousarray(stored, stored.dtype.newbyteorder("<")).data
    ).hexdigest()


def check_size(rows: int, columns: int, max_pixels: int) -> None:
    """Refuse a size before memory is taken for it."""
    if rows < 1 or columns < 1:
        raise UnreadableFile(
            f"the header says {rows} x {columns} pixels", "Copy the file again from its origin."
        )
    if rows * columns > max_pixels:
        raise UnsupportedRadiograph(
            f"the header says {rows} x {columns} pixels, the limit is {max_pixels} in all",
            "Raise ingest.max_pixels if this is really a radiograph.",
        )


def to_grey(stored: Stored, white: int, decisions: list[Decision], remarks: list[str]) -> Floats:
    """Values (rows, columns) or (rows, columns, RGB) in 0..white -> float32 (rows, columns) in [0, 1]."""
    if stored.ndim == 2:
        return (stored / np.float64(white)).astype(np.float32)
    spread = stored.max(axis=2) - stored.min(axis=2)
    if not spread.any():
        decisions.append(
            Decision(
                "colour channels",
                "the three are equal, one was taken",
                "a grey image stored as colour",
            )
        )
        return (stored[..., 0] / np.float64(white)).astype(np.float32)
    if np.mean(spread > COLOUR_SPREAD * white) > COLOUR_FRACTION:
        remarks.append(
            "the image holds real colour (annotations, or not a plain radiograph); shown as brightness"
        )
        why = "a radiograph has no colour: what is coloured was added"
    else:
        why = "the channels differ only by compression noise"
    decisions.append(
        Decision(
            "colour channels",
            "brightness = 0.299 red + 0.587 green + 0.114 blue (ITU-R BT.601)",
            why,
        )
    )
    luma: npt.NDArray[np.float64] = (stored @ LUMA) / white
    grey: Floats = np.clip(luma, 0, 1).astype(np.float32)
    return grey


def _open_image(data: bytes, max_pixels: int) -> Image.Image:
    """The image with its header checked, its pixels not yet decoded."""
    failure: CaseError
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_header(image, data, max_pixels)
        return image
    except CaseError:
        raise
    except UnidentifiedImageError:
        failure = UnreadableFile(
            "the image's header is damaged or cut short", "Copy it again from its origin."
        )
    except DECODER_ERRORS as error:
        failure = _damaged(error)
    raise failure  # outside the handler: the decoder's words stay out


def _check_header(image: Image.Image, data: bytes, max_pixels: int) -> None:
    check_size(image.height, image.width, max_pixels)
    if image.format in ("PNG", "TIFF") and _has_another(image):
        raise UnsupportedRadiograph("the file holds several images", "Give one file an image.")
    if image.format in ("JPEG", "MPO") and data.count(b"\xff\xda") > MAX_SCANS:
        raise UnsupportedRadiograph(
            f"the JPEG has more than {MAX_SCANS} scans", "Save it again as a baseline JPEG."
        )
    if image.mode == "1":
        raise NotARadiograph("the image has one bit a pixel: a mask, not a radiograph")
    if image.mode in ("I", "F"):
        raise UnsupportedRadiograph(
            "the image has 32 bits a pixel, and no rule says which value is white",
            "Convert it to 16-bit PNG.",
        )
    if (image.format == "PNG" and PNG_END not in data) or (
        image.format == "TIFF" and _tiff_end(image) > len(data)
    ):
        raise UnreadableFile("the image is cut short", "Copy it again from its origin.")


def _has_another(image: Image.Image) -> bool:
    """Whether a second image follows. They are not counted: in a TIFF each names the next, of perhaps millions."""
    try:
        image.seek(1)
    except EOFError:
        return False
    image.seek(0)
    return True


def _tiff_end(image: Image.Image) -> int:
    """Where the last strip or tile ends by the header (TIFF 6.0: StripOffsets, TileOffsets, their counts)."""
    tags = getattr(image, "tag_v2", {})
    ends = [0]
    for offsets, counts in ((273, 279), (324, 325)):
        ends.extend(
            start + length
            for start, length in zip(tags.get(offsets, ()), tags.get(counts, ()), strict=False)
        )
    return int(max(ends))


def _damaged(error: BaseException) -> UnreadableFile:
    return UnreadableFile(
        f"the image is damaged or cut short ({type(error).__name__})",
        "Copy it again from its origin.",
    )


def _decode(
    image: Image.Image, data: bytes, decisions: list[Decision], remarks: list[str]
) -> tuple[Stored, str]:
    """The stored values, uint8 or uint16, (rows, columns) or (rows, columns, RGB), upright; the decoder."""
    try:
        orientation = image.getexif().get(ORIENTATION_TAG, 1)
        image.load()  # a TIFF is upright after this
        stored, decoder = _samples(image, data, decisions, remarks)
        if orientation in ORIENTATIONS:
            decisions.append(
                Decision(
                    "orientation", ORIENTATIONS[orientation], "the EXIF tag Orientation asks for it"
                )
            )
            if image.format != "TIFF":
                stored = _upright(stored, orientation)
        return np.ascontiguousarray(stored), decoder
    except DECODER_ERRORS as error:
        failure = _damaged(error)
    raise failure


def _samples(
    image: Image.Image, data: bytes, decisions: list[Decision], remarks: list[str]
) -> tuple[Stored, str]:
    decoder = f"Pillow {version('pillow')}"
    if image.format == "PNG" and data[24] == 16 and image.mode not in ("I;16", "I;16B"):
        return _deep_png(data, decisions, remarks), f"OpenCV {cv2.__version__}"
    if image.mode.startswith("I;16"):
        stored: Stored = np.asarray(image).astype(np.uint16)
        # Pillow turns WhiteIsZero round at 8 bits, not at 16.
        if image.format == "TIFF" and getattr(image, "tag_v2", {}).get(262) == 0:
            decisions.append(
                Decision("inversion", "inverted once", "the TIFF tag says that white is zero")
            )
            stored = np.uint16(65535) - stored
        return stored, decoder
    if image.mode == "L":
        return np.asarray(image), decoder
    if image.mode in ("P", "PA"):
        decisions.append(
            Decision("palette", "colours looked up", "the image stores indices into a palette")
        )
        image = image.convert(
            "RGBA" if image.mode == "PA" or "transparency" in image.info else "RGB"
        )
    elif image.mode == "CMYK":
        decisions.append(
            Decision("CMYK", "converted to red, green, blue", "the image was prepared for printing")
        )
        image = image.convert("RGB")
    elif image.mode in ("YCbCr", "LAB", "HSV"):
        image = image.convert("RGB")
    stored = np.asarray(image)
    if image.mode in ("LA", "RGBA"):
        stored = _drop_alpha(stored, decisions, remarks)
    elif image.mode != "RGB":
        raise ValueError(f"mode {image.mode}")
    return stored, decoder


def _deep_png(data: bytes, decisions: list[Decision], remarks: list[str]) -> Stored:
    """A PNG of 16 bits a channel with colour or alpha, all bits kept. Pillow has read it to its end."""
    stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16 or stored.ndim != 3:
        raise ValueError("OpenCV reads this PNG otherwise than its header says")
    stored = stored[..., [2, 1, 0, *range(3, stored.shape[2])]]  # OpenCV has blue first
    return _drop_alpha(stored, decisions, remarks) if stored.shape[2] == 4 else stored


def _drop_alpha(stored: Stored, decisions: list[Decision], remarks: list[str]) -> Stored:
    opaque = np.iinfo(stored.dtype).max
    values, alpha = stored[..., :-1], stored[..., -1:]
    if (alpha == opaque).all():
        decisions.append(Decision("transparency", "left out", "the image is opaque everywhere"))
    else:
        decisions.append(
            Decision("transparency", "laid on black", "black is how a viewer shows nothing")
        )
        remarks.append("parts of the image are transparent")
        values = np.rint(values * (alpha / opaque)).astype(stored.dtype)
    return values[..., 0] if values.shape[2] == 1 else values


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

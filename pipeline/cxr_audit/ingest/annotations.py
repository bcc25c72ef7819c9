"""The boxes and the mask of a manifest -> what they cover, on the radiograph's own pixels.

A mask is a PNG or TIFF of the radiograph's size, upright. It is read by colour: every pixel that is
not black is inside; where only the transparency differs, every pixel that is not transparent. Boxes
and mask together are one annotated area. Refused (`UnusableAnnotation`), never stretched or cut to
fit, since what was drawn on another picture would be measured in the wrong place: a mask of another
size, a box that reaches more than a pixel beyond the radiograph (less is rounding), a mask that
covers nothing or everything, JPEG, whose edges are not those that were drawn.
"""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from cxr_audit.errors import UnusableAnnotation
from cxr_audit.ingest.image import DECODER_ERRORS, check_size, strict_pillow
from cxr_audit.ingest.reading import BYTES_A_PIXEL, HEADER_BYTES, read_bytes
from cxr_audit.records import Box, CaseSource, Mask
from cxr_audit.vocabulary import Message, message

FORMATS = ("PNG", "TIFF")
ROUNDING_PX = 1


def read_annotation(
    case: CaseSource, rows: int, columns: int, max_pixels: int
) -> tuple[Mask, Message] | None:
    """What is annotated on a radiograph.

    Parameters
    ----------
    case : with its boxes and its mask.
    rows, columns : of the radiograph, upright.
    max_pixels : the largest mask that is decoded.

    Returns
    -------
    bool (rows, columns) and where it comes from; None where nothing is annotated.

    Raises
    ------
    UnusableAnnotation, UnreadableFile, UnsupportedRadiograph
    """
    area = np.zeros((rows, columns), np.bool_)
    for number, box in enumerate(case.boxes, 1):
        area[_rows_and_columns(box, number, rows, columns)] = True
    boxes = message("ingest.boxes", num=len(case.boxes))
    if case.mask is None:
        return (area, boxes) if case.boxes else None
    mask, sha256 = _read_mask(case.mask, max_pixels)
    _check_mask(mask, rows, columns)
    origin = message("ingest.mask", sha256=sha256[:12])
    if case.boxes:
        origin = message("ingest.boxes_and_mask", boxes=boxes, mask=origin)
    return area | mask, origin


def _check_mask(mask: Mask, rows: int, columns: int) -> None:
    if mask.shape != (rows, columns):
        problem = message(
            "ingest.mask_size",
            mask_rows=mask.shape[0],
            mask_columns=mask.shape[1],
            rows=rows,
            columns=columns,
        )
        raise UnusableAnnotation(problem, message("ingest.mask_size_hint"))
    if not mask.any():
        raise UnusableAnnotation(message("ingest.mask_empty"), message("ingest.mask_empty_hint"))
    if mask.all():
        raise UnusableAnnotation(message("ingest.mask_full"), message("ingest.mask_full_hint"))


def _rows_and_columns(box: Box, number: int, rows: int, columns: int) -> tuple[slice, slice]:
    """The pixels whose centres lie in a box, at least one each way."""
    along_rows = _span(box.row_px, box.height_px, rows)
    along_columns = _span(box.column_px, box.width_px, columns)
    if along_rows is None or along_columns is None:
        problem = message("ingest.box_outside", number=number, rows=rows, columns=columns)
        raise UnusableAnnotation(problem, message("ingest.box_outside_hint"))
    return along_rows, along_columns


def _span(start: float, length: float, size: int) -> slice | None:
    if start + length > size + ROUNDING_PX or start >= size:
        return None
    first = min(round(start), size - 1)
    return slice(first, max(first + 1, round(start + length)))


def _read_mask(path: Path, max_pixels: int) -> tuple[Mask, str]:
    """Which pixels are inside, and the file's SHA-256."""
    data = read_bytes(path, BYTES_A_PIXEL * max_pixels + HEADER_BYTES)
    try:
        with strict_pillow(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            check_size(image.height, image.width, max_pixels)
            inside = _inside(image)
    except UnidentifiedImageError:
        failure = UnusableAnnotation(message("ingest.mask_format"), message("ingest.mask_as_png"))
    except DECODER_ERRORS:
        failure = UnusableAnnotation(message("ingest.mask_damaged"), message("ingest.copy_again"))
    else:
        return inside, hashlib.sha256(data).hexdigest()
    raise failure  # outside the handler: the decoder's words may name the path


def _inside(image: Image.Image) -> Mask:
    """By colour; by transparency where the colour is the same everywhere and that is not."""
    has_palette = image.mode in ("P", "PA")
    if has_palette:
        is_clear = image.mode == "PA" or "transparency" in image.info
        image = image.convert("RGBA" if is_clear else "RGB")
    values = np.asarray(image)
    if image.mode not in ("LA", "RGBA"):
        colour = values if values.ndim == 2 else values.max(axis=2)
        return np.asarray(colour != 0)
    colour, alpha = values[..., :-1], values[..., -1]
    is_one_colour = bool((colour == colour[0, 0]).all())
    is_one_alpha = bool((alpha == alpha[0, 0]).all())
    if is_one_colour and not is_one_alpha:
        return np.asarray(alpha != 0)
    return np.asarray((colour.max(axis=2) != 0) & (alpha != 0))

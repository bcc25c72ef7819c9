"""The boxes and the mask that a manifest gives for a radiograph -> what they cover, on the radiograph's own pixels.

A mask is a PNG or TIFF of the radiograph's size, upright; every pixel that is not 0 is inside. Boxes and mask together
are one annotated area. Refused (`UnusableAnnotation`), never stretched or cut to fit, since what was drawn on another
picture would be measured in the wrong place: a mask of another size, a box that reaches more than a pixel beyond the
radiograph (less is rounding), a mask without a pixel, JPEG, whose edges are not those that were drawn.
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

FORMATS = ("PNG", "TIFF")
ROUNDING_PX = 1


def read_annotation(
    case: CaseSource, rows: int, columns: int, max_pixels: int
) -> tuple[Mask, str] | None:
    """What is annotated on a radiograph of (rows, columns), and where that comes from in words.

    Returns
    -------
    bool (rows, columns) and the words; None where nothing is annotated.

    Raises
    ------
    UnusableAnnotation, UnreadableFile, UnsupportedRadiograph
    """
    area, words = np.zeros((rows, columns), np.bool_), []
    for number, box in enumerate(case.boxes, 1):
        area[_rows_and_columns(box, number, rows, columns)] = True
    if case.boxes:
        words.append(
            "a box of the manifest"
            if len(case.boxes) == 1
            else f"{len(case.boxes)} boxes of the manifest"
        )
    if case.mask is not None:
        mask, sha256 = _read_mask(case.mask, max_pixels)
        if mask.shape != area.shape:
            size = f"{mask.shape[0]} x {mask.shape[1]}"
            raise UnusableAnnotation(
                f"the mask has {size} pixels (rows x columns), the radiograph {rows} x {columns}",
                "Draw the mask on this very radiograph.",
            )
        if not mask.any():
            raise UnusableAnnotation(
                "the mask is 0 everywhere", "Empty the cell if nothing is annotated."
            )
        area |= mask
        words.append(f"the manifest's mask, SHA-256 {sha256[:12]}")
    return (area, " and ".join(words)) if words else None


def _rows_and_columns(box: Box, number: int, rows: int, columns: int) -> tuple[slice, slice]:
    """The pixels whose centres lie in a box, at least one each way."""
    ends = []
    for start, length, size in (
        (box.row_px, box.height_px, rows),
        (box.column_px, box.width_px, columns),
    ):
        if start + length > size + ROUNDING_PX or start >= size:
            raise UnusableAnnotation(
                f"box {number} reaches beyond the radiograph of {rows} x {columns} pixels (rows x columns)",
                "Give x,y,width,height in pixels of this very radiograph, upright.",
            )
        first = min(round(start), size - 1)
        ends.append(slice(first, max(first + 1, round(start + length))))
    return ends[0], ends[1]


def _read_mask(path: Path, max_pixels: int) -> tuple[Mask, str]:
    """Which pixels are not 0 in any colour channel, and the file's SHA-256."""
    data = read_bytes(path, BYTES_A_PIXEL * max_pixels + HEADER_BYTES)
    try:
        with strict_pillow(), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            check_size(image.height, image.width, max_pixels)
            has_alpha = image.mode in ("LA", "PA", "RGBA")
            values = np.asarray(image)
    except UnidentifiedImageError:
        failure = UnusableAnnotation(
            "the mask is no PNG or TIFF image", "Save it as PNG, without loss."
        )
    except DECODER_ERRORS:
        failure = UnusableAnnotation(
            "the mask is damaged or cut short", "Copy it again from its origin."
        )
    else:
        if values.ndim == 3:
            values = values[..., : values.shape[2] - has_alpha].max(axis=2)
        return np.asarray(values != 0), hashlib.sha256(data).hexdigest()
    raise failure  # outside the handler: the decoder's words may name the path

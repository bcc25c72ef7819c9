"""A DICOM header and the stored values in use -> one lookup table, stored value -> display value.

The grayscale pipeline of PS3.3 C.7.6.3, C.11.1, C.11.2 and PS3.4 N.2: padding in stored-value
space, Modality LUT or rescale, VOI LUT or window, one inversion last. Stored values are at most
65,536, so the whole chain is one table. Not pydicom's `apply_*`: they wrap 8-bit LUTs, invert about
the image's own maximum, raise on empty windows. What cannot be used is named in a warning; a file
is refused only where the config insists on a curve or window that it lacks.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_audit.errors import UnsupportedRadiograph
from cxr_audit.ingest.lookup import LookupTable, Values, look_up, signed16, unpack
from cxr_audit.ingest.notes import Display, Notes
from cxr_audit.ingest.voi import VOI_TRANSFORMS, VoiInput
from cxr_audit.records import Floats
from cxr_audit.vocabulary import message

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class GrayHeader:
    """What decides how stored values are displayed. None = absent, or not understood.

    `window_centers` and `window_widths` have None for a value that cannot be read.
    `has_unreadable_rescale`: slope or intercept are there, but cannot be read.
    """

    bits_stored: int
    is_signed: bool
    photometric_interpretation: str
    presentation_lut_shape: str | None = None
    padding_value: int | None = None
    padding_range_limit: int | None = None
    modality_lut: LookupTable | None = None
    rescale_slope: float | None = None
    rescale_intercept: float | None = None
    has_unreadable_rescale: bool = False
    voi_luts: tuple[LookupTable, ...] = ()
    window_centers: tuple[float | None, ...] = ()
    window_widths: tuple[float | None, ...] = ()
    window_explanations: tuple[str, ...] = ()
    voi_lut_function: str | None = None
    has_unreadable_window: bool = False


def grayscale_table(
    header: GrayHeader, counts: npt.NDArray[np.floating], display: Display, notes: Notes
) -> Floats:
    """Build the table.

    Parameters
    ----------
    header : GrayHeader
    counts : (2 ** bits_stored,)
        How many pixels have each stored bit pattern; for signed values the pattern of the two's
        complement.
    display : Display
    notes : Notes
        Receives each decision and warning.

    Returns
    -------
    float32 (2 ** bits_stored,) in [0, 1]
        Display value of each bit pattern, 0 = black as displayed; padding is 0.

    Raises
    ------
    UnsupportedRadiograph
        `display.voi_transform` insists on what the header has not.
    """
    stored = stored_values(header)
    padding = _padding(header, stored, counts, notes)
    values, is_signed = _modality(header, stored, notes)
    chain = VoiInput(
        values=values,
        is_signed=is_signed,
        counts=np.where(padding, 0, counts),
        luts=header.voi_luts,
        centers=header.window_centers,
        widths=header.window_widths,
        explanations=header.window_explanations,
        function=(header.voi_lut_function or "").strip().upper() or "LINEAR",
        is_unusable=header.has_unreadable_rescale,
        is_unreadable=header.has_unreadable_window,
        display=display,
    )
    shown = _voi(chain, notes)
    used = chain.counts > 0
    if used.sum() > 1 and np.ptp(shown[used]) == 0:
        notes.warn(message("ingest.no_contrast"))
    shown = _inversion(header, shown, notes)
    shown[padding] = 0
    return shown.astype(np.float32)


def _voi(chain: VoiInput, notes: Notes) -> Values:
    """The first VOI transform that the config allows and the header has."""
    voi_transform = chain.display.voi_transform
    for step in VOI_TRANSFORMS[voi_transform]:
        shown = step(chain, notes)
        if shown is not None:
            return shown
    raise UnsupportedRadiograph(
        message("ingest.no_voi_transform", voi_transform=voi_transform),
        message("ingest.no_voi_transform_hint"),
    )


def value_range(bits_stored: int, is_signed: bool) -> tuple[int, int]:
    """The smallest and the largest stored value (PS3.5 8.1.1)."""
    half = 1 << (bits_stored - 1)
    return (-half, half - 1) if is_signed else (0, 2 * half - 1)


def stored_values(header: GrayHeader) -> Values:
    """The stored value of each bit pattern (PS3.5 8.1.1: two's complement within Bits Stored)."""
    patterns = np.arange(1 << header.bits_stored, dtype=np.float64)
    if header.is_signed:
        patterns[patterns >= 1 << (header.bits_stored - 1)] -= 1 << header.bits_stored
    return patterns


def _padding(
    header: GrayHeader, stored: Values, counts: npt.NDArray[np.floating], notes: Notes
) -> Mask:
    """PS3.3 C.7.5.1.1.2: in stored values, before the Modality LUT; a range has both ends."""
    nothing = np.zeros(stored.shape, bool)
    if header.padding_value is None:
        if header.padding_range_limit is not None:
            notes.warn(message("ingest.padding_limit_alone"))
        return nothing
    ends = [signed16(header.padding_value, header.is_signed)]
    if header.padding_range_limit is not None:
        ends.append(signed16(header.padding_range_limit, header.is_signed))
    low, high = min(ends), max(ends)
    if low < stored.min() or high > stored.max():
        notes.warn(message("ingest.padding_outside"))
        return nothing
    padding = (stored >= low) & (stored <= high)
    share = float(counts[padding].sum() / counts.sum())
    how = message("ingest.padding_how", low=low, high=high, share=share)
    notes.decide(message("ingest.padding"), how, message("ingest.padding_why"))
    return padding


def _modality(header: GrayHeader, stored: Values, notes: Notes) -> tuple[Values, bool]:
    """PS3.3 C.11.1: Modality LUT or rescale, never both. Also whether the result may be < 0."""
    if header.modality_lut is not None:
        table = unpack(header.modality_lut, header.is_signed, "modality LUT", notes)
        if table is not None:
            first, entries = table
            how = message("ingest.modality_lut_how", num=int(entries.size), first=first)
            notes.decide(message("ingest.modality_lut"), how, message("ingest.modality_lut_why"))
            return look_up(stored, first, entries), False
    if header.has_unreadable_rescale:
        notes.warn(message("ingest.rescale_unreadable"))
        return stored, header.is_signed
    slope, intercept = header.rescale_slope, header.rescale_intercept
    if slope is None and intercept is None:
        return stored, header.is_signed
    if slope is None or intercept is None or not _is_usable(slope, intercept):
        notes.warn(message("ingest.rescale_invalid"))
        return stored, header.is_signed
    values = stored * slope + intercept
    if (slope, intercept) != (1, 0):
        how = message("ingest.rescale_how", slope=slope, intercept=intercept)
        notes.decide(message("ingest.rescale"), how, message("ingest.rescale_why"))
    return values, bool(values.min() < 0)


def _is_usable(slope: float, intercept: float) -> bool:
    return slope != 0 and math.isfinite(slope) and math.isfinite(intercept)


def _inversion(header: GrayHeader, display: Values, notes: Notes) -> Values:
    """PS3.3 C.7.6.3.1.2: MONOCHROME1 shows its smallest value white.

    (2050,0020) INVERSE beside it says the same again (PS3.3 C.8.11.3.1.2): one inversion, never
    two. IDENTITY beside it contradicts it: PS3.3 C.11.6.1 asks for INVERSE there.
    """
    shape = (header.presentation_lut_shape or "").strip().upper()
    if header.photometric_interpretation == "MONOCHROME1":
        if shape == "IDENTITY":
            notes.warn(message("ingest.mono1_identity"))
        code = "ingest.inverted_same" if shape == "INVERSE" else "ingest.inverted"
        notes.decide(message("ingest.inversion"), message(code), message("ingest.inversion_why"))
        return 1 - display
    if shape == "INVERSE":
        notes.warn(message("ingest.mono2_inverse"))
    return display

"""A DICOM header and the stored values in use -> one lookup table, stored value -> display value.

The grayscale pipeline of PS3.3 C.7.6.3, C.11.1, C.11.2 and PS3.4 N.2: padding in stored-value space,
Modality LUT or rescale, VOI LUT or window, one inversion last. Stored values are at most 65,536, so the whole
chain is one table. Not pydicom's `apply_*`: they wrap 8-bit LUTs, invert about the image's own maximum,
raise on empty windows. What cannot be used counts as absent, and a warning says so; refuses a file only where
the config insists on a curve or window that it lacks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cxr_audit.errors import UnsupportedRadiograph
from cxr_audit.records import Decision, Floats, VoiTransform

Values = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class LookupTable:
    """A Modality or VOI LUT item as stored: the second descriptor still lacks its sign."""

    descriptor: tuple[int, int, int]
    data: Sequence[int] | bytes
    is_little_endian: bool = True


@dataclass(frozen=True, slots=True)
class GrayHeader:
    """What decides how stored values are displayed. None = absent, or not readable as what it should be."""

    bits_stored: int
    is_signed: bool
    photometric_interpretation: str
    presentation_lut_shape: str | None = None
    padding_value: int | None = None
    padding_range_limit: int | None = None
    modality_lut: LookupTable | None = None
    rescale_slope: float | None = None
    rescale_intercept: float | None = None
    voi_luts: tuple[LookupTable, ...] = ()
    window_centers: tuple[float, ...] = ()
    window_widths: tuple[float, ...] = ()
    window_explanations: tuple[str, ...] = ()
    voi_lut_function: str | None = None


@dataclass(frozen=True, slots=True)
class Display:
    """What the standard leaves to whoever displays an image.

    voi_transform: if_present (VOI LUT, else window, else the image's own range); lut, window, required (either):
        nothing else, or the file is refused; off (own range); percentile (own range without its ends)
    window: which of several windows, by number from 1 on or by its explanation
    frame: which of several frames, from 1 on; None refuses them
    """

    voi_transform: VoiTransform = "if_present"
    window: int | str = 1
    frame: int | None = None


@dataclass(slots=True)
class Notes:
    """What was decided and what was odd, in the order of the chain."""

    decisions: list[Decision] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def decide(self, what: str, how: str, why: str) -> None:
        self.decisions.append(Decision(what, how, why))

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def grayscale_table(
    header: GrayHeader, counts: npt.NDArray[np.floating], display: Display, notes: Notes
) -> Floats:
    """Build the table.

    Parameters
    ----------
    header : GrayHeader
    counts : (2 ** bits_stored,)
        How many pixels have each stored bit pattern; for signed values the pattern of the two's complement.
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
        Where `display.voi_transform` insists on what the header has not.
    """
    stored = stored_values(header)
    padding = _padding(header, stored, counts, notes)
    values, is_signed = _modality(header, stored, notes)
    chain = _Chain(header, values, is_signed, np.where(padding, 0, counts), display, notes)
    for step in VOI_TRANSFORMS[display.voi_transform]:
        shown = step(chain)
        if shown is not None:
            break
    else:
        raise UnsupportedRadiograph(
            f"the config asks for voi_transform: {display.voi_transform}, and the header has none that is usable",
            "Set ingest.voi_transform: if_present.",
        )
    used = chain.counts > 0
    if used.sum() > 1 and np.ptp(shown[used]) == 0:
        notes.warn("the display settings leave no contrast: every pixel has the same brightness")
    shown = _inversion(header, shown, notes)
    shown[padding] = 0
    return shown.astype(np.float32)


@dataclass(frozen=True, slots=True)
class _Chain:
    """What a VOI step may use: modality values of each bit pattern, and how many pixels have it, padding aside."""

    header: GrayHeader
    values: Values
    is_signed: bool
    counts: npt.NDArray[np.floating]
    display: Display
    notes: Notes


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
    """PS3.3 C.7.5.1.1.2: in stored values, before the Modality LUT; a range includes both ends."""
    nothing = np.zeros(stored.shape, bool)
    if header.padding_value is None:
        if header.padding_range_limit is not None:
            notes.warn("a padding range limit without a padding value was ignored")
        return nothing
    ends = [_signed16(header.padding_value, header.is_signed)]
    if header.padding_range_limit is not None:
        ends.append(_signed16(header.padding_range_limit, header.is_signed))
    if min(ends) < stored.min() or max(ends) > stored.max():
        notes.warn("the padding value does not fit into Bits Stored and was ignored")
        return nothing
    padding = (stored >= min(ends)) & (stored <= max(ends))
    share = counts[padding].sum() / counts.sum()
    notes.decide(
        "padding",
        f"stored values {min(ends)} to {max(ends)} are shown black and left out; {share:.1%} of the pixels",
        "PS3.3 C.7.5.1.1.2: pixels added to fill the rectangle are no part of the image",
    )
    return padding


def _modality(header: GrayHeader, stored: Values, notes: Notes) -> tuple[Values, bool]:
    """PS3.3 C.11.1: Modality LUT or rescale, never both. Also whether the result may be negative."""
    if header.modality_lut is not None:
        table = _unpack(header.modality_lut, header.is_signed, "modality LUT", notes)
        if table is not None:
            first, entries = table
            notes.decide(
                "modality LUT",
                f"{entries.size} entries from stored value {first} on",
                "PS3.3 C.11.1.1: the maker's table from stored values to its units; used instead of rescale",
            )
            return _look_up(stored, first, entries), False
    slope, intercept = header.rescale_slope, header.rescale_intercept
    if slope is None and intercept is None:
        return stored, header.is_signed
    if (
        slope is None
        or intercept is None
        or slope == 0
        or not math.isfinite(slope)
        or not math.isfinite(intercept)
    ):
        notes.warn("rescale slope and intercept are incomplete or invalid and were ignored")
        return stored, header.is_signed
    values = stored * slope + intercept
    if (slope, intercept) != (1, 0):
        notes.decide(
            "rescale",
            f"value = {slope:g} x stored value + {intercept:g}",
            "PS3.3 C.11.1.1.2: the maker's units",
        )
    return values, bool(values.min() < 0)


def _voi_lut(chain: _Chain) -> Values | None:
    """PS3.3 C.11.2.1.1. VOI LUT and window are alternatives, never a chain; the table is preferred, because
    the maker's curve says more than two numbers."""
    header, notes = chain.header, chain.notes
    for number, lut in enumerate(header.voi_luts, start=1):
        table = _unpack(lut, chain.is_signed, "VOI LUT", notes)
        if table is None:
            continue
        first, entries = table
        white = _white(lut.descriptor[2], entries, notes)
        also = (
            ", preferred to the window that the header has as well" if header.window_centers else ""
        )
        notes.decide(
            "display curve",
            f"VOI LUT {number} of {len(header.voi_luts)}: {entries.size} entries from value {first} on,"
            f" white at {white}{also}",
            "PS3.3 C.11.2.1.1: the display curve that the maker stored; a window is an alternative to it",
        )
        return np.clip(_look_up(chain.values, first, entries) / white, 0, 1)
    return None


def _window(chain: _Chain) -> Values | None:
    """PS3.3 C.11.2.1.2, C.11.2.1.3. The window that was asked for, else the first that is usable."""
    header, notes = chain.header, chain.notes
    name = (header.voi_lut_function or "").strip().upper() or "LINEAR"
    if name not in WINDOW_FUNCTIONS:
        notes.warn("the VOI LUT function is unknown and was read as LINEAR, the default")
        name = "LINEAR"
    function, section = WINDOW_FUNCTIONS[name]
    if len(header.window_centers) != len(header.window_widths):
        notes.warn("window centers and widths differ in number")
    least = 1.0 if name == "LINEAR" else 0.0
    pairs = list(zip(header.window_centers, header.window_widths, strict=False))
    for number in _window_order(chain, len(pairs)):
        center, width = pairs[number - 1]
        if not (math.isfinite(center) and math.isfinite(width)) or width < least or width == 0:
            notes.warn(f"window {number} of {len(pairs)} is invalid and was ignored")
            continue
        also = "; the VOI LUT that the header has as well was not used" if header.voi_luts else ""
        notes.decide(
            "display window",
            f"center {center:g}, width {width:g}, {name}; window {number} of {len(pairs)}{also}",
            f"PS3.3 {section}: the contrast and brightness that the maker or the radiographer chose",
        )
        return function(chain.values, center, width)
    return None


def _window_order(chain: _Chain, num: int) -> list[int]:
    """Window numbers, the one that was asked for first. An explanation is never echoed: it may hold anything."""
    asked = chain.display.window
    if isinstance(asked, str):
        texts = [text.strip().casefold() for text in chain.header.window_explanations[:num]]
        number = (
            texts.index(asked.strip().casefold()) + 1 if asked.strip().casefold() in texts else 0
        )
    else:
        number = asked if asked <= num else 0
    if num and not number:
        chain.notes.warn(
            "the header has not the window that the config asks for; the first usable one was taken"
        )
    numbers = range(1, num + 1)
    return sorted(numbers, key=lambda n: n != number)


def window_linear(x: Values, center: float, width: float) -> Values:
    """LINEAR, the default; width >= 1.

    PS3.3 C.11.2.1.2.1: x <= c - 0.5 - (w - 1) / 2 -> 0; x > c - 0.5 + (w - 1) / 2 -> 1;
    else (x - (c - 0.5)) / (w - 1) + 0.5. A width of 1 is a threshold: no value is left for the third case.
    """
    if width == 1:
        return (x > center - 0.5).astype(np.float64)
    return np.clip((x - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def window_linear_exact(x: Values, center: float, width: float) -> Values:
    """LINEAR_EXACT; width > 0.

    PS3.3 C.11.2.1.3.2: x <= c - w / 2 -> 0; x > c + w / 2 -> 1; else (x - c) / w + 0.5.
    """
    return np.clip((x - center) / width + 0.5, 0, 1)


def window_sigmoid(x: Values, center: float, width: float) -> Values:
    """SIGMOID; width > 0. PS3.3 C.11.2.1.3.1: 1 / (1 + exp(-4 (x - c) / w))."""
    return 1 / (
        1 + np.exp(np.clip(-4 * (x - center) / width, -700, 700))
    )  # beyond 700 exp overflows


WINDOW_FUNCTIONS = {
    "LINEAR": (window_linear, "C.11.2.1.2.1"),
    "LINEAR_EXACT": (window_linear_exact, "C.11.2.1.3.2"),
    "SIGMOID": (window_sigmoid, "C.11.2.1.3.1"),
}


def _full_range(chain: _Chain) -> Values:
    """The actual values from the smallest to the largest, padding left out."""
    return _range(chain, 0, "the image's own values, {} to {}, fill black to white")


def _percentile(chain: _Chain) -> Values:
    """The actual values without the lowest and the highest half per cent of the pixels, padding left out."""
    return _range(
        chain, PERCENTILE / 100, f"percentiles {PERCENTILE} and {100 - PERCENTILE}, {{}} to {{}}"
    )


def _range(chain: _Chain, cut: float, how: str) -> Values:
    values, notes = chain.values, chain.notes
    order = np.argsort(values, kind="stable")
    shares = np.cumsum(chain.counts[order], dtype=np.float64)
    if shares[-1] == 0:
        notes.warn("every pixel is padding: the image is empty")
        return np.zeros_like(values)
    shares /= shares[-1]
    # the smallest values with more than `cut`, and with at least 1 - `cut`, of the pixels up to them
    low = float(values[order[np.searchsorted(shares, cut, "right")]])
    high = float(values[order[np.searchsorted(shares, 1 - cut, "left")]])
    found = (
        "none in the header" if chain.display.voi_transform == "if_present" else "not the header's"
    )
    notes.decide(
        "display window",
        f"{found}: {how.format(f'{low:g}', f'{high:g}')}",
        "our choice: PS3.3 C.11.2 leaves it to the viewer"
        if chain.display.voi_transform == "if_present"
        else f"the config asks for voi_transform: {chain.display.voi_transform}",
    )
    if low == high:
        notes.warn(f"{'nearly ' if cut else ''}every pixel has the same value: the image is blank")
        return np.zeros_like(values)
    return np.clip((values - low) / (high - low), 0, 1)


PERCENTILE = 0.5
# In this order, until one gives a picture.
VOI_TRANSFORMS: dict[VoiTransform, tuple[Callable[[_Chain], Values | None], ...]] = {
    "if_present": (_voi_lut, _window, _full_range),
    "lut": (_voi_lut,),
    "window": (_window,),
    "required": (_voi_lut, _window),
    "off": (_full_range,),
    "percentile": (_percentile,),
}


def _inversion(header: GrayHeader, display: Values, notes: Notes) -> Values:
    """PS3.3 C.7.6.3.1.2: MONOCHROME1 shows its smallest value white. (2050,0020) INVERSE beside it says the
    same again (PS3.3 C.8.11.3.1.2): one inversion, never two."""
    shape = (header.presentation_lut_shape or "").strip().upper()
    if header.photometric_interpretation == "MONOCHROME1":
        same = (
            "; the Presentation LUT Shape INVERSE says the same, so not twice"
            if shape == "INVERSE"
            else ""
        )
        notes.decide(
            "inversion",
            f"inverted once, last{same}",
            "PS3.3 C.7.6.3.1.2: MONOCHROME1 means that the smallest value is shown white",
        )
        return 1 - display
    if shape == "INVERSE":
        notes.warn(
            "the header contradicts itself (MONOCHROME2 with Presentation LUT Shape INVERSE); not inverted"
        )
    return display


def _look_up(values: Values, first: int, entries: Values) -> Values:
    """PS3.3 C.11.1.1.1: values before the first take the first entry, values after the last the last."""
    positions = np.clip(np.rint(values) - first, 0, entries.size - 1)
    looked_up: Values = entries[positions.astype(np.int64)]
    return looked_up


def _white(declared: int, entries: Values, notes: Notes) -> int:
    """The output that is white: all bits that the third descriptor declares (PS3.3 C.11.2.1.1). Not so where the
    entries do not fit in, or leave two bits and more unused: a table that never gets beyond a quarter of white
    is a known error of writers, who declare the container's 16 bits."""
    needed = int(entries.max()).bit_length()
    if needed <= declared < needed + 2:
        return (1 << declared) - 1
    notes.warn(
        f"the VOI LUT announces {declared} bits, its values fill {needed}; white was taken there"
    )
    return (1 << needed) - 1


def _unpack(
    lut: LookupTable, is_signed: bool, name: str, notes: Notes
) -> tuple[int, Values] | None:
    """First value mapped and entries; None where the table is unusable.

    PS3.3 C.11.1.1.1 and C.11.2.1.1: 0 entries mean 65,536; the sign of the first value is that of the input;
    entries of 8 bits may be packed in pairs, the first in the low byte.
    """
    size = (lut.descriptor[0] & 0xFFFF) or 65536
    first = _signed16(lut.descriptor[1], is_signed)
    entries = _entries(lut, size)
    if entries is None or entries.size == 0 or entries.max() == 0:
        notes.warn(f"the {name} is empty or damaged and was ignored")
        return None
    if entries.size < size:
        notes.warn(f"the {name} announces {size} entries and holds {entries.size}")
    return first, entries.astype(np.float64)


def _entries(lut: LookupTable, size: int) -> npt.NDArray[np.uint16] | None:
    order = "<" if lut.is_little_endian else ">"
    if isinstance(lut.data, bytes):
        if lut.descriptor[2] <= 8 and len(lut.data) in (size, size + size % 2):
            return np.frombuffer(lut.data, np.uint8)[:size].astype(np.uint16)
        words = np.frombuffer(lut.data[: len(lut.data) // 2 * 2], f"{order}u2").astype(np.uint16)
    else:
        if not all(-32768 <= value <= 65535 for value in lut.data):
            return None
        words = np.array([value & 0xFFFF for value in lut.data], np.uint16)
    if lut.descriptor[2] <= 8 and words.size == (size + 1) // 2 and size > 1:
        return words.astype("<u2").view(np.uint8)[:size].astype(np.uint16)
    return words[:size]


def _signed16(value: int, is_signed: bool) -> int:
    """A value of VR US or SS with the sign that its meaning asks for, whichever VR the writer chose."""
    return value - 65536 if is_signed and value > 32767 else value

"""The display curve of a DICOM header: VOI LUT, window or the image's own range.

PS3.3 C.11.2. Each step gives display values in [0, 1], or None where the header has nothing usable.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_audit.ingest.lookup import LookupTable, Values, look_up, unpack
from cxr_audit.ingest.notes import Display, Notes
from cxr_audit.records import VoiTransform
from cxr_audit.vocabulary import message

PERCENTILE = 0.5


@dataclass(frozen=True, slots=True)
class VoiInput:
    """What a step may use.

    Parameters
    ----------
    values : modality value of each stored bit pattern.
    is_signed : whether modality values may be negative.
    counts : number of pixels with each bit pattern, 0 for padding.
    luts, centers, widths, explanations, function : of the header; None = a number not understood.
    is_unusable : curves and windows do not fit the values, since the rescale cannot be read.
    is_unreadable : a window is present, but cannot be read at all.
    display : what the config asks for.
    """

    values: Values
    is_signed: bool
    counts: npt.NDArray[np.floating]
    luts: tuple[LookupTable, ...]
    centers: tuple[float | None, ...]
    widths: tuple[float | None, ...]
    explanations: tuple[str, ...]
    function: str
    is_unusable: bool
    is_unreadable: bool
    display: Display

    @property
    def states_nothing(self) -> bool:
        """Whether the header has neither a curve nor a window, readable or not."""
        is_empty = not (self.luts or self.centers or self.widths)
        return is_empty and not self.is_unusable and not self.is_unreadable


def voi_lut(chain: VoiInput, notes: Notes) -> Values | None:
    """PS3.3 C.11.2.1.1. VOI LUT and window are alternatives, never a chain.

    The table is preferred: the maker's curve says more than two numbers.
    """
    if chain.is_unusable:
        return None
    for number, lut in enumerate(chain.luts, start=1):
        table = unpack(lut, chain.is_signed, "VOI LUT", notes)
        if table is None:
            continue
        first, entries = table
        white = _white(lut.descriptor[2], entries, notes)
        how = message(
            "ingest.curve_beside_window" if chain.centers else "ingest.curve",
            number=number,
            total=len(chain.luts),
            num=int(entries.size),
            first=first,
            white=white,
        )
        notes.decide(message("ingest.display_curve"), how, message("ingest.curve_why"))
        return np.clip(look_up(chain.values, first, entries) / white, 0, 1)
    return None


def _white(declared: int, entries: Values, notes: Notes) -> int:
    """The output that is white: all bits of the third descriptor (PS3.3 C.11.2.1.1).

    Not so where the entries do not fit in, or leave two bits and more unused: a table that never
    gets beyond a quarter of white is a known error of writers, who declare the container's 16 bits.
    """
    needed = int(entries.max()).bit_length()
    if needed <= declared < needed + 2:
        return (1 << declared) - 1
    notes.warn(message("ingest.lut_bits", declared=declared, used=needed))
    return (1 << needed) - 1


def window(chain: VoiInput, notes: Notes) -> Values | None:
    """PS3.3 C.11.2.1.2, C.11.2.1.3. The window that was asked for, else the first usable one."""
    if chain.is_unusable:
        return None
    name = chain.function
    if name not in WINDOW_FUNCTIONS:
        notes.warn(message("ingest.voi_function_unknown"))
        name = "LINEAR"
    function, section = WINDOW_FUNCTIONS[name]
    if len(chain.centers) != len(chain.widths):
        notes.warn(message("ingest.window_counts"))
    pairs = list(zip(chain.centers, chain.widths, strict=False))
    for number in _window_order(chain, len(pairs), notes):
        center, width = pairs[number - 1]
        if center is None or width is None or not _is_usable(center, width, name):
            notes.warn(message("ingest.window_invalid", number=number, total=len(pairs)))
            continue
        how = message(
            "ingest.window_beside_curve" if chain.luts else "ingest.window",
            center=center,
            width=width,
            function=name,
            number=number,
            total=len(pairs),
        )
        why = message("ingest.window_why", section=section)
        notes.decide(message("ingest.display_window"), how, why)
        return function(chain.values, center, width)
    return None


def _is_usable(center: float, width: float, function: str) -> bool:
    least = 1.0 if function == "LINEAR" else 0.0
    return math.isfinite(center) and math.isfinite(width) and width >= least and width != 0


def _window_order(chain: VoiInput, num: int, notes: Notes) -> list[int]:
    """Window numbers, the one that was asked for first. An explanation is never echoed."""
    window = chain.display.window
    if isinstance(window, str):
        explanations = [text.strip().casefold() for text in chain.explanations[:num]]
        name = window.strip().casefold()
        chosen = explanations.index(name) + 1 if name in explanations else 0
    else:
        chosen = window if window <= num else 0
    if num and not chosen:
        notes.warn(message("ingest.window_absent"))
    return sorted(range(1, num + 1), key=lambda number: number != chosen)


def window_linear(x: Values, center: float, width: float) -> Values:
    """LINEAR, the default; width >= 1.

    PS3.3 C.11.2.1.2.1: x <= c - 0.5 - (w - 1) / 2 -> 0; x > c - 0.5 + (w - 1) / 2 -> 1;
    else (x - (c - 0.5)) / (w - 1) + 0.5. A width of 1 is a threshold: no value is left for the
    third case.

    Parameters
    ----------
    x : values of any shape.
    center, width : of the window.

    Returns
    -------
    In [0, 1], of the shape of x.
    """
    if width == 1:
        return (x > center - 0.5).astype(np.float64)
    return np.clip((x - (center - 0.5)) / (width - 1) + 0.5, 0, 1)


def window_linear_exact(x: Values, center: float, width: float) -> Values:
    """LINEAR_EXACT; width > 0.

    PS3.3 C.11.2.1.3.2: x <= c - w / 2 -> 0; x > c + w / 2 -> 1; else (x - c) / w + 0.5.

    Parameters
    ----------
    x : values of any shape.
    center, width : of the window.

    Returns
    -------
    In [0, 1], of the shape of x.
    """
    return np.clip((x - center) / width + 0.5, 0, 1)


def window_sigmoid(x: Values, center: float, width: float) -> Values:
    """SIGMOID; width > 0.

    PS3.3 C.11.2.1.3.1: 1 / (1 + exp(-4 (x - c) / w)).

    Parameters
    ----------
    x : values of any shape.
    center, width : of the window.

    Returns
    -------
    In [0, 1], of the shape of x.
    """
    exponent = np.clip(-4 * (x - center) / width, -700, 700)  # beyond 700 exp overflows
    return 1 / (1 + np.exp(exponent))


WINDOW_FUNCTIONS = {
    "LINEAR": (window_linear, "C.11.2.1.2.1"),
    "LINEAR_EXACT": (window_linear_exact, "C.11.2.1.3.2"),
    "SIGMOID": (window_sigmoid, "C.11.2.1.3.1"),
}


def full_range(chain: VoiInput, notes: Notes) -> Values:
    """The actual values from the smallest to the largest, padding left out."""
    return _range(chain, 0, notes)


def percentile(chain: VoiInput, notes: Notes) -> Values:
    """The actual values without the lowest and the highest half per cent of the pixels."""
    return _range(chain, PERCENTILE / 100, notes)


def _range(chain: VoiInput, cut: float, notes: Notes) -> Values:
    values = chain.values
    order = np.argsort(values, kind="stable")
    shares = np.cumsum(chain.counts[order], dtype=np.float64)
    if shares[-1] == 0:
        notes.warn(message("ingest.only_padding"))
        return np.zeros_like(values)
    shares /= shares[-1]
    # the smallest values with more than `cut`, and with at least 1 - `cut`, of the pixels up to
    # them
    low = float(values[order[np.searchsorted(shares, cut, "right")]])
    high = float(values[order[np.searchsorted(shares, 1 - cut, "left")]])
    _decide_range(chain, low, high, cut, notes)
    if low == high:
        notes.warn(message("ingest.nearly_blank" if cut else "ingest.blank"))
        return np.zeros_like(values)
    return np.clip((values - low) / (high - low), 0, 1)


def _decide_range(chain: VoiInput, low: float, high: float, cut: float, notes: Notes) -> None:
    """Say why the header's own curve or window was not used: asked for, absent or unusable."""
    voi_transform = chain.display.voi_transform
    if voi_transform != "if_present":
        reason = message("ingest.range_asked")
        why = message("ingest.range_asked_why", voi_transform=voi_transform)
    else:
        is_absent = chain.states_nothing
        reason = message("ingest.range_none" if is_absent else "ingest.range_unusable")
        why = message("ingest.range_why")
    if cut:
        how = message(
            "ingest.range_percentile",
            reason=reason,
            first=PERCENTILE,
            last=100 - PERCENTILE,
            low=low,
            high=high,
        )
    else:
        how = message("ingest.range_full", reason=reason, low=low, high=high)
    notes.decide(message("ingest.display_window"), how, why)


Step = Callable[[VoiInput, Notes], Values | None]
# In this order, until one gives a picture.
VOI_TRANSFORMS: dict[VoiTransform, tuple[Step, ...]] = {
    "if_present": (voi_lut, window, full_range),
    "lut": (voi_lut,),
    "window": (window,),
    "required": (voi_lut, window),
    "off": (full_range,),
    "percentile": (percentile,),
}

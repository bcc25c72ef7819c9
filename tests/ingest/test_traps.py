"""The grayscale chain, trap by trap: generated files, values worked out by hand from PS3.3.

Each row is one test. A second test puts the same file through DCMTK and pydicom: where they show
something else, the row says why, and the test fails if they no longer do.
"""

from __future__ import annotations

import math
import shutil
import struct
import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pydicom
import pytest
from cxr_audit.audit import reading
from cxr_audit.config import AuditConfig
from cxr_audit.errors import UnsupportedRadiograph
from cxr_audit.ingest import Display, discover, read
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from benchmarks.dicom_agreement import GREY_LEVEL, beside_dcmtk, pydicom_display

SIGNED = np.int16
# Why another reader shows something else, by row. One that no longer differs fails.
INVERSE = "INVERSE is done although MONOCHROME2 contradicts it"
PADDING = "padding is part of the range, and inverted or shown grey"
UNUSABLE = "raises at a window that is empty, zero or negative"
NO_LUT = "raises at a VOI LUT that is unusable, or shows it black"
WHITE = "white is at the 16 bits that the table declares, of which its data fills 12"
DCMTK = {
    "mono2-inverse": INVERSE,
    "linear-exact": "3.6.7 reads LINEAR_EXACT as LINEAR",
    "first-unusable": "was asked for the first window",
    "lut-declared-wider": WHITE,
    **dict.fromkeys(
        ("padding", "padding-mono1", "padding-range", "padding-range-reversed"), PADDING
    ),
    "padding-before-rescale": PADDING,
}
PYDICOM = {
    "zero-slope": "a slope of zero is applied: blank",
    "modality-lut-12-bits": "raises at a Modality LUT of 12 bits",
    "empty-function": "raises at an empty VOI LUT Function",
    "unknown-function": "raises at an unknown VOI LUT Function",
    **dict.fromkeys(
        ("empty", "width-0", "width-negative", "width-below-1", "exact-width-0"), UNUSABLE
    ),
    "first-unusable": UNUSABLE,
    "lut-declared-wider": WHITE,
    "lut-8-bits-512": "raises at 8-bit entries when there are more than 256",
    "lut-negative-first": "the sign of the first value is that of the stored values",
    "lut-black": NO_LUT,
    "lut-without-data": NO_LUT,
    **dict.fromkeys(
        ("padding", "padding-mono1", "padding-range", "padding-range-reversed"), PADDING
    ),
    "padding-before-rescale": PADDING,
    "padding-everywhere": "no range at all",
    "blank": "no range at all",
}


@dataclass(frozen=True)
class Trap:
    """`says` is the code of a decision with some of its values, `warns` that of a warning."""

    name: str
    row: str
    stored: list[int]
    shown: list[float]
    elements: dict[str, Any] = field(default_factory=dict)
    says: tuple[str, dict[str, Any]] | None = None
    warns: str = ""
    dtype: Any = np.uint16


def lut(descriptor, data, vr="US", first_vr="US"):
    item = Dataset()
    item.add_new("LUTDescriptor", first_vr, descriptor)
    if data is not None:
        item.add_new("LUTData", vr, data)
    return Sequence([item])


def window(center, width, function=None, **others):
    return (
        {"WindowCenter": center, "WindowWidth": width}
        | ({"VOILUTFunction": function} if function else {})
        | others
    )


def rescale(slope, intercept, **others):
    return {"RescaleSlope": slope, "RescaleIntercept": intercept} | others


M1 = {"PhotometricInterpretation": "MONOCHROME1"}
NO_WINDOW = ("ingest.range_full", {"reason": "ingest.range_none"})
BAD_WINDOW = ("ingest.range_full", {"reason": "ingest.range_unusable"})
TRAPS = [
    # own range 0 to 4: 1 -> 1/4; MONOCHROME1: 1 - that
    Trap("mono2", "inversion", [0, 1, 4], [0, 0.25, 1], says=NO_WINDOW),
    Trap(
        "mono2-identity", "inversion", [0, 1, 4], [0, 0.25, 1], {"PresentationLUTShape": "IDENTITY"}
    ),
    Trap("mono1", "inversion", [0, 1, 4], [1, 0.75, 0], M1, says=("ingest.inverted", {})),
    # the same inversion said twice: done once
    Trap(
        "mono1-inverse",
        "inversion",
        [0, 1, 4],
        [1, 0.75, 0],
        {**M1, "PresentationLUTShape": "INVERSE"},
        says=("ingest.inverted_same", {}),
    ),
    # a contradiction: flagged, not inverted
    Trap(
        "mono2-inverse",
        "inversion",
        [0, 1, 4],
        [0, 0.25, 1],
        {"PresentationLUTShape": "INVERSE"},
        warns="ingest.mono2_inverse",
    ),
    # about the output range, not the image's own: c 50, w 101:
    # (20 - 49.5) / 100 + 0.5 = 0.205, 60 -> 0.605
    Trap("mono1-window", "inversion", [20, 60], [0.795, 0.395], {**M1, **window(50, 101)}),
    # 2 x 50 - 10 = 90; c 90, w 21: (90 - 89.5) / 20 + 0.5 = 0.525; -10 -> 0
    Trap(
        "rescale",
        "modality",
        [0, 50],
        [0, 0.525],
        rescale(2, -10, **window(90, 21)),
        says=("ingest.rescale_how", {"slope": 2, "intercept": -10}),
    ),
    # -x + 100: 100, 50, 0 over 0 to 100
    Trap("negative-slope", "modality", [0, 50, 100], [1, 0.5, 0], rescale(-1, 100)),
    Trap("negative-slope-mono1", "modality", [0, 50, 100], [0, 0.5, 1], rescale(-1, 100, **M1)),
    # -x + 100: 100, 50, 0; c 50, w 101: (y - 49.5) / 100 + 0.5 -> 1, 0.505, 0.005
    Trap(
        "negative-slope-window",
        "modality",
        [0, 50, 100],
        [1, 0.505, 0.005],
        rescale(-1, 100, **window(50, 101)),
    ),
    Trap("identity", "modality", [0, 1, 2], [0, 0.5, 1], rescale(1, 0)),
    Trap(
        "zero-slope",
        "modality",
        [0, 1, 2],
        [0, 0.5, 1],
        rescale(0, 7),
        warns="ingest.rescale_invalid",
    ),
    Trap(
        "slope-alone",
        "modality",
        [0, 1, 2],
        [0, 0.5, 1],
        {"RescaleSlope": 3},
        warns="ingest.rescale_invalid",
    ),
    # first value 1: 0, 1 -> 10; 2 -> 30; 3, 4 -> 50; over 10 to 50; rescale beside it is not used
    Trap(
        "modality-lut",
        "modality",
        [0, 1, 2, 3, 4],
        [0, 0, 0.5, 1, 1],
        {"ModalityLUTSequence": lut([3, 1, 16], [10, 30, 50]), **rescale(-1, 0)},
        says=("ingest.modality_lut_how", {"num": 3, "first": 1}),
    ),
    # first value -2: -2 -> 0, -1 -> 10, 0 -> 20
    Trap(
        "modality-lut-negative-first",
        "modality",
        [-2, -1, 0],
        [0, 0.5, 1],
        {"ModalityLUTSequence": lut([3, -2, 16], [0, 10, 20], first_vr="SS")},
        dtype=SIGNED,
    ),
    # a table of 12 bits, which pydicom refuses: 0, 2047, 4095; 2047/4095
    Trap(
        "modality-lut-12-bits",
        "modality",
        [0, 1, 2],
        [0, 2047 / 4095, 1],
        {"ModalityLUTSequence": lut([3, 0, 12], [0, 2047, 4095])},
    ),
    # c 100, w 11: (x - 99.5) / 10 + 0.5:
    # 94 -> -0.05, 95 -> 0.05, 100 -> 0.55, 104 -> 0.95, 105 -> 1.05
    Trap(
        "linear",
        "window",
        [94, 95, 100, 104, 105],
        [0, 0.05, 0.55, 0.95, 1],
        window(100, 11),
        says=(
            "ingest.window",
            {"center": 100, "width": 11, "function": "LINEAR", "number": 1, "total": 1},
        ),
    ),
    # a threshold at c - 0.5 = 99.5
    Trap("linear-width-1", "window", [98, 99, 100, 101], [0, 0, 1, 1], window(100, 1)),
    # c 100, w 10: (x - 100) / 10 + 0.5
    Trap(
        "linear-exact",
        "window",
        [95, 96, 100, 105],
        [0, 0.1, 0.5, 1],
        window(100, 10, "LINEAR_EXACT"),
        says=("ingest.window", {"function": "LINEAR_EXACT"}),
    ),
    # c 100, w 40: 1 / (1 + exp(-(x - 100) / 10))
    Trap(
        "sigmoid",
        "window",
        [0, 100, 110, 65535],
        [1 / (1 + math.exp(10)), 0.5, 1 / (1 + math.exp(-1)), 1],
        window(100, 40, "SIGMOID"),
        says=("ingest.window", {"function": "SIGMOID"}),
    ),
    Trap(
        "empty-function",
        "window",
        [95, 100],
        [0.05, 0.55],
        window(100, 11) | {"VOILUTFunction": ""},
        says=("ingest.window", {"function": "LINEAR"}),
    ),
    Trap(
        "unknown-function",
        "window",
        [95, 100],
        [0.05, 0.55],
        window(100, 11, "CUBIC"),
        warns="ingest.voi_function_unknown",
    ),
    # the first: c 10, w 21: (10 - 9.5) / 20 + 0.5 = 0.525
    Trap(
        "several",
        "window",
        [0, 10, 20],
        [0.025, 0.525, 1],
        window([10, 500], [21, 1000]),
        says=("ingest.window", {"number": 1, "total": 2}),
    ),
    # the first is unusable, the second: c 10, w 21
    Trap(
        "first-unusable",
        "window",
        [0, 10, 20],
        [0.025, 0.525, 1],
        window([10, 10], [0, 21]),
        says=("ingest.window", {"number": 2, "total": 2}),
        warns="ingest.window_invalid",
    ),
    # absent if unusable: own range 10 to 30
    Trap("empty", "window", [10, 20, 30], [0, 0.5, 1], window("", ""), says=NO_WINDOW),
    Trap(
        "width-0",
        "window",
        [10, 20, 30],
        [0, 0.5, 1],
        window(100, 0),
        says=BAD_WINDOW,
        warns="ingest.window_invalid",
    ),
    Trap(
        "width-negative",
        "window",
        [10, 20, 30],
        [0, 0.5, 1],
        window(100, -5),
        says=BAD_WINDOW,
        warns="ingest.window_invalid",
    ),
    Trap(
        "width-below-1",
        "window",
        [10, 20, 30],
        [0, 0.5, 1],
        window(100, 0.5),
        says=BAD_WINDOW,
        warns="ingest.window_invalid",
    ),
    Trap(
        "width-missing",
        "window",
        [10, 20, 30],
        [0, 0.5, 1],
        {"WindowCenter": 100},
        says=BAD_WINDOW,
        warns="ingest.window_counts",
    ),
    Trap(
        "exact-width-0",
        "window",
        [10, 20, 30],
        [0, 0.5, 1],
        window(100, 0, "LINEAR_EXACT"),
        says=BAD_WINDOW,
        warns="ingest.window_invalid",
    ),
    Trap(
        "beside-the-values",
        "window",
        [10, 20],
        [0, 0],
        window(1000, 10),
        warns="ingest.no_contrast",
    ),
    # 8 bits: white = 255; 51/255 = 0.2; beyond the last stays the last
    Trap(
        "lut-and-window",
        "voi-lut",
        [0, 1, 2, 3],
        [0, 0.2, 1, 1],
        {"VOILUTSequence": lut([3, 0, 8], [0, 51, 255]), **window(5, 2)},
        says=("ingest.curve_beside_window", {"num": 3, "white": 255}),
    ),
    # 0, 1, 2 -> 5, 6, 7; first value 5: 0, 85/255, 1
    Trap(
        "lut-after-modality-lut",
        "voi-lut",
        [0, 1, 2],
        [0, 1 / 3, 1],
        {
            "ModalityLUTSequence": lut([3, 0, 16], [5, 6, 7]),
            "VOILUTSequence": lut([3, 5, 8], [0, 85, 255]),
        },
    ),
    # declared 16 bits, data fills 12: white = 4095
    Trap(
        "lut-declared-wider",
        "voi-lut",
        [0, 1, 2],
        [0, 0.2, 1],
        {"VOILUTSequence": lut([3, 0, 16], [0, 819, 4095])},
        warns="ingest.lut_bits",
    ),
    # declared 12 bits, brightest 2000: white is 4095 all the same; the curve stays below white
    Trap(
        "lut-never-white",
        "voi-lut",
        [0, 1, 2],
        [0, 0.2, 0.4884005],
        {"VOILUTSequence": lut([3, 0, 12], [0, 819, 2000])},
    ),
    # a descriptor of 0 entries means 65,536
    Trap(
        "lut-65536",
        "voi-lut",
        [0, 13107, 65535],
        [0, 0.2, 1],
        {"VOILUTSequence": lut([0, 0, 16], np.arange(65536, dtype="<u2").tobytes(), vr="OW")},
        says=("ingest.curve", {"num": 65536}),
    ),
    # 512 entries of 8 bits, i // 2: 102 -> 51, 511 -> 255
    Trap(
        "lut-8-bits-512",
        "voi-lut",
        [0, 102, 511],
        [0, 0.2, 1],
        {
            "VOILUTSequence": lut(
                [512, 0, 8], (np.arange(512) // 2).astype(np.uint8).tobytes(), vr="OW"
            )
        },
    ),
    # 0, 1, 2 - 2 = -2, -1, 0; the first value -2 written as US 65534
    Trap(
        "lut-negative-first",
        "voi-lut",
        [0, 1, 2],
        [0, 0.2, 1],
        rescale(1, -2, VOILUTSequence=lut([3, 65534, 8], [0, 51, 255])),
        says=("ingest.curve", {"first": -2}),
    ),
    Trap(
        "lut-black",
        "voi-lut",
        [94, 100],
        [0, 0.55],
        {"VOILUTSequence": lut([3, 0, 8], [0, 0, 0]), **window(100, 11)},
        warns="ingest.lut_unusable",
    ),
    Trap(
        "lut-without-data",
        "voi-lut",
        [94, 100],
        [0, 0.55],
        {"VOILUTSequence": lut([3, 0, 8], None), **window(100, 11)},
        warns="ingest.lut_unusable",
    ),
    # without 4095: own range 0 to 100
    Trap(
        "padding",
        "padding",
        [0, 50, 100, 4095],
        [0, 0.5, 1, 0],
        {"PixelPaddingValue": 4095, "BitsStored": 12},
        says=("ingest.padding_how", {"share": 0.25}),
    ),
    Trap(
        "padding-mono1",
        "padding",
        [0, 50, 100, 4095],
        [1, 0.5, 0, 0],
        {"PixelPaddingValue": 4095, "BitsStored": 12, **M1},
        says=("ingest.padding_how", {"low": 4095, "high": 4095}),
    ),
    Trap(
        "padding-range",
        "padding",
        [0, 60, 61, 62, 25, 100],
        [0, 0, 0, 0, 0.25, 1],
        {"PixelPaddingValue": 60, "PixelPaddingRangeLimit": 62},
    ),
    Trap(
        "padding-range-reversed",
        "padding",
        [0, 60, 61, 62, 25, 100],
        [0, 0, 0, 0, 0.25, 1],
        {"PixelPaddingValue": 62, "PixelPaddingRangeLimit": 60},
    ),
    # in stored values: -2000 out; -100, 0, 100 over their range
    Trap(
        "padding-before-rescale",
        "padding",
        [-2000, -100, 0, 100],
        [0, 0, 0.5, 1],
        rescale(1, 1000, PixelPaddingValue=-2000),
        dtype=SIGNED,
    ),
    Trap(
        "padding-outside",
        "padding",
        [0, 50, 100],
        [0, 0.5, 1],
        {"BitsStored": 12, "PixelPaddingValue": 65535},
        warns="ingest.padding_outside",
    ),
    Trap(
        "padding-everywhere",
        "padding",
        [7, 7],
        [0, 0],
        {"PixelPaddingValue": 7},
        warns="ingest.only_padding",
    ),
    Trap("blank", "padding", [7, 7], [0, 0], warns="ingest.blank"),
    # 0x1003 & 0x0FFF = 3: an overlay bit above 12 stored bits
    Trap(
        "overlay-bits",
        "frames",
        [0, 0x1003, 6],
        [0, 0.5, 1],
        {"BitsStored": 12},
        warns="ingest.bits_masked",
    ),
    # 12 bits: 0x0FFE = 4094 - 4096 = -2, 0x0FFF = -1
    Trap(
        "no-sign-extension",
        "bits",
        [0x0FFE, 0x0FFF, 0],
        [0, 0.5, 1],
        {"BitsStored": 12, "PixelRepresentation": 1},
    ),
    # 12 bits below High Bit 15: raw >> 4
    Trap(
        "odd-high-bit",
        "bits",
        [0, 5 << 4, 10 << 4],
        [0, 0.5, 1],
        {"BitsStored": 12, "HighBit": 15},
        warns="ingest.high_bit",
    ),
    # low, low + 3/4 of the number of values, high
    *(
        Trap(
            f"{'signed' if low < 0 else 'unsigned'}-{bits}",
            "bits",
            [low, low + 3 * (1 << bits - 2), low + (1 << bits) - 1],
            [0, 3 * (1 << bits - 2) / ((1 << bits) - 1), 1],
            {"BitsStored": bits},
            dtype=np.dtype(f"{'i' if low < 0 else 'u'}{1 if bits == 8 else 2}"),
        )
        for bits in (8, 10, 12, 14, 15, 16)
        for low in (0, -(1 << bits - 1))
    ),
]
by_trap = pytest.mark.parametrize(
    "trap", [pytest.param(t, id=t.name, marks=pytest.mark.trap(t.row)) for t in TRAPS]
)


@by_trap
def test_grey_values(show, trap):
    radiograph = show(np.array([trap.stored], trap.dtype), **trap.elements)
    assert radiograph.pixels[0].tolist() == pytest.approx(trap.shown, abs=1e-6)
    facts = radiograph.facts
    if trap.says is not None:
        code, expected = trap.says
        (how,) = [decision.how for decision in facts.decisions if decision.how.code == code]
        codes_and_numbers = {
            name: number["code"] if isinstance(number, dict) else number
            for name, number in how.values.items()
        }
        assert expected.items() <= codes_and_numbers.items()
    codes = [warning.code for warning in facts.warnings]
    assert (trap.warns in codes) if trap.warns else codes == []
    whats = [decision.what.code for decision in facts.decisions]
    is_inverted = trap.elements.get("PhotometricInterpretation") == "MONOCHROME1"
    assert whats.count("ingest.inversion") == is_inverted
    hows = [decision.how.code for decision in facts.decisions]
    assert ("ingest.rescale" in whats) == ("ingest.rescale_how" in hows)


@by_trap
def test_dcmtk_shows_the_same(dicom, save, read_path, trap):
    if shutil.which("dcmj2pnm") is None:
        pytest.skip("DCMTK is not installed (Debian package dcmtk)")
    path = save(dicom(np.array([trap.stored], trap.dtype), **trap.elements))
    row = beside_dcmtk(trap.name, path, pydicom.dcmread(path), read_path(path))
    is_same = row.difference is not None and row.difference < 1.01 * GREY_LEVEL
    assert is_same == (trap.name not in DCMTK), row


@by_trap
def test_pydicom_shows_the_same(dicom, save, read_path, trap):
    path = save(dicom(np.array([trap.stored], trap.dtype), **trap.elements))
    dataset = pydicom.dcmread(path)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            shown = pydicom_display(dataset, dataset.pixel_array)
            is_same = bool(np.abs(shown - read_path(path).pixels).max() < 1e-3)
        except (
            ArithmeticError,
            AttributeError,
            LookupError,
            NotImplementedError,
            TypeError,
            ValueError,
            struct.error,
        ):
            is_same = False
    assert is_same == (trap.name not in PYDICOM)


# The VOI transform that the config asks for.
# VOI LUT: 0 -> 0, 10 -> 51/255 = 0.2 (beyond the last: 1); window:
# c 10, w 21: (x - 9.5) / 20 + 0.5 = 0.025, 0.525, 1; own range 0 to 20: 0, 0.5, 1.
LUT = {"VOILUTSequence": lut([21, 0, 8], [0] * 10 + [51] * 10 + [255])}
WINDOW = window([10, 500], [21, 1000], WindowCenterWidthExplanation=["NORMAL", "Bone"])
BY_LUT, BY_WINDOW, BY_RANGE = [0, 0.2, 1], [0.025, 0.525, 1], [0, 0.5, 1]
# c 500, w 1000: (x - 499.5) / 999 + 0.5 = 0, 0.01001, 0.02002
BY_SECOND = [0, 10 / 999, 20 / 999]


@pytest.mark.trap("voi-lut")
@pytest.mark.parametrize(
    ("display", "elements", "shown"),
    [
        (Display(), {**LUT, **WINDOW}, BY_LUT),
        (Display("lut"), {**LUT, **WINDOW}, BY_LUT),
        (Display("window"), {**LUT, **WINDOW}, BY_WINDOW),
        (Display("required"), WINDOW, BY_WINDOW),
        (Display("off"), {**LUT, **WINDOW}, BY_RANGE),
        (Display(window=2), WINDOW, BY_SECOND),
        (Display(window=" bone "), WINDOW, BY_SECOND),
        (Display(window="LUNG"), WINDOW, BY_WINDOW),
        (Display(window=3), WINDOW, BY_WINDOW),
        (Display("lut"), WINDOW, None),
        (Display("window"), LUT, None),
        (Display("window"), window(100, 0), None),
        (Display("required"), {}, None),
    ],
)
def test_voi_transform(dicom, save, display, elements, shown):
    path = save(dicom(np.array([[0, 10, 20]], np.uint16), **elements))
    (case,) = discover(path)
    if shown is None:
        with pytest.raises(UnsupportedRadiograph, match=f"voi_transform: {display.voi_transform}"):
            read(case, display=display)
        return
    radiograph = read(case, display=display)
    assert radiograph.pixels[0].tolist() == pytest.approx(shown, abs=1e-6)
    is_absent = display.window in ("LUNG", 3)
    codes = [warning.code for warning in radiograph.facts.warnings]
    assert codes == ["ingest.window_absent"] * is_absent
    assert "bone" not in repr(radiograph.facts).lower()


@pytest.mark.trap("voi-lut")
def test_percentile(dicom, save):
    # 1000 pixels, 0 to 999: 0 to 4 are the lowest 0.5 %, 995 to 999 the highest; so 5 is black,
    # 994 white,
    # and 500 -> (500 - 5) / 989
    path = save(dicom(np.arange(1000, dtype=np.uint16).reshape(10, 100)))
    pixels = read(discover(path)[0], display=Display("percentile")).pixels.ravel()
    assert pixels[[0, 5, 994, 999]].tolist() == [0, 0, 1, 1]
    assert pixels[[6, 993]].tolist() == pytest.approx([1 / 989, 988 / 989], abs=1e-6)
    assert pixels[500] == pytest.approx(495 / 989, abs=1e-6)


def test_the_config_reaches_the_reader():
    asked = {
        "source": "x",
        "voi_transform": "window",
        "window": "BONE",
        "frame": 3,
        "max_pixels": 5,
        "unreadable_values": "refuse",
        "damaged_pixels": "warn",
    }
    config = AuditConfig.model_validate(
        {
            "run": {"name": "x"},
            "ingest": asked,
            "preprocess": {"scaling": "unit"},
            "classifier": {"path": "x"},
        }
    )
    display = Display("window", "BONE", 3, "refuse", "warn")
    assert reading(config) == {"max_pixels": 5, "display": display}

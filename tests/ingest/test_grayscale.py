"""Expected values are worked out by hand in the comments, from the formulas of PS3.3."""

from __future__ import annotations

import math

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence


def grey(*values, dtype=np.uint16):
    return np.array([values], dtype)


def shown(radiograph):
    return radiograph.pixels[0].tolist()


def whats(radiograph):
    return [decision.what for decision in radiograph.facts.decisions]


def hows(radiograph, what):
    return [decision.how for decision in radiograph.facts.decisions if decision.what == what]


def lut(descriptor, data, vr="US", first_vr="US"):
    item = Dataset()
    item.add_new("LUTDescriptor", first_vr, descriptor)
    item.add_new("LUTData", vr, data)
    return Sequence([item])


def test_linear_window(show):
    # c = 100, w = 11: (x - 99.5) / 10 + 0.5.
    # 94 -> -0.05 -> 0; 95 -> 0.05; 100 -> 0.55; 104 -> 0.95; 105 -> 1.05 -> 1
    radiograph = show(grey(94, 95, 100, 104, 105), WindowCenter=100, WindowWidth=11)
    assert shown(radiograph) == pytest.approx([0, 0.05, 0.55, 0.95, 1], abs=1e-7)
    assert hows(radiograph, "display window") == ["center 100, width 11, LINEAR; window 1 of 1"]


def test_linear_window_of_width_one_is_a_threshold(show):
    # c - 0.5 = 99.5: 99 -> 0, 100 -> 1
    assert shown(show(grey(98, 99, 100, 101), WindowCenter=100, WindowWidth=1)) == [0, 0, 1, 1]


def test_linear_exact_window(show):
    # c = 100, w = 10: (x - 100) / 10 + 0.5. 95 -> 0; 96 -> 0.1; 100 -> 0.5; 105 -> 1
    radiograph = show(grey(95, 96, 100, 105), WindowCenter=100, WindowWidth=10, VOILUTFunction="LINEAR_EXACT")
    assert shown(radiograph) == pytest.approx([0, 0.1, 0.5, 1], abs=1e-7)


def test_sigmoid_window(show):
    # c = 100, w = 40: 1 / (1 + exp(-(x - 100) / 10)). 100 -> 1/2; 110 -> 1 / (1 + 1/e); 0 -> 1 / (1 + e^10)
    radiograph = show(grey(0, 100, 110, 65535), WindowCenter=100, WindowWidth=40, VOILUTFunction="SIGMOID")
    expected = [1 / (1 + math.exp(10)), 0.5, 1 / (1 + math.exp(-1)), 1]
    assert shown(radiograph) == pytest.approx(expected, abs=1e-7)


def test_first_of_several_windows_is_taken_and_recorded(show):
    # c = 10, w = 21: (x - 9.5) / 20 + 0.5. 10 -> 0.525
    radiograph = show(grey(0, 10, 20), WindowCenter=[10, 500], WindowWidth=[21, 1000])
    assert shown(radiograph)[1] == pytest.approx(0.525, abs=1e-7)
    assert "window 1 of 2" in hows(radiograph, "display window")[0]


@pytest.mark.parametrize(
    "window",
    [
        {"WindowCenter": "", "WindowWidth": ""},
        {"WindowCenter": 100, "WindowWidth": 0},
        {"WindowCenter": 100, "WindowWidth": -5},
        {"WindowCenter": 100, "WindowWidth": 0.5},  # LINEAR asks for at least 1
        {"WindowCenter": 100},
        {"WindowCenter": 100, "WindowWidth": 0, "VOILUTFunction": "LINEAR_EXACT"},
        {"WindowCenter": 100, "WindowWidth": 0, "VOILUTFunction": ""},
    ],
)
def test_unusable_window_counts_as_absent(show, window):
    # own values 10 to 30: 20 -> (20 - 10) / 20 = 0.5
    radiograph = show(grey(10, 20, 30), **window)
    assert shown(radiograph) == [0, 0.5, 1]
    assert hows(radiograph, "display window")[0].startswith("none in the header")
    assert window["WindowCenter"] == "" or any("window" in text for text in radiograph.facts.warnings)


def test_unknown_window_function_is_linear(show):
    radiograph = show(grey(95, 100), WindowCenter=100, WindowWidth=11, VOILUTFunction="CUBIC")
    assert shown(radiograph) == pytest.approx([0.05, 0.55], abs=1e-7)
    assert any("unknown" in text for text in radiograph.facts.warnings)


def test_rescale_comes_before_the_window(show):
    # 2 x 50 - 10 = 90; c = 90, w = 21: (90 - 89.5) / 20 + 0.5 = 0.525
    radiograph = show(grey(0, 50), RescaleSlope=2, RescaleIntercept=-10, WindowCenter=90, WindowWidth=21)
    assert shown(radiograph)[1] == pytest.approx(0.525, abs=1e-7)
    assert hows(radiograph, "rescale") == ["value = 2 x stored value + -10"]


def test_negative_slope_turns_the_picture_once(show):
    # -1 x (0, 50, 100) + 100 = 100, 50, 0; own range 0 to 100
    assert shown(show(grey(0, 50, 100), RescaleSlope=-1, RescaleIntercept=100)) == [1, 0.5, 0]
    # and with MONOCHROME1 once more
    radiograph = show(grey(0, 50, 100), RescaleSlope=-1, RescaleIntercept=100, PhotometricInterpretation="MONOCHROME1")
    assert shown(radiograph) == [0, 0.5, 1]


def test_identity_rescale_is_no_decision_and_zero_slope_is_ignored(show):
    assert "rescale" not in whats(show(grey(0, 1, 2), RescaleSlope=1, RescaleIntercept=0))
    radiograph = show(grey(0, 1, 2), RescaleSlope=0, RescaleIntercept=7)
    assert shown(radiograph) == [0, 0.5, 1]
    assert any("rescale" in text for text in radiograph.facts.warnings)


@pytest.mark.parametrize(
    ("photometric_interpretation", "shape", "expected"),
    [
        ("MONOCHROME2", None, [0, 0.25, 1]),
        ("MONOCHROME2", "IDENTITY", [0, 0.25, 1]),
        ("MONOCHROME1", None, [1, 0.75, 0]),
        ("MONOCHROME1", "INVERSE", [1, 0.75, 0]),  # the same inversion said twice: done once
        ("MONOCHROME2", "INVERSE", [0, 0.25, 1]),  # a contradiction: flagged, not inverted
    ],
)
def test_one_inversion(show, photometric_interpretation, shape, expected):
    elements = {} if shape is None else {"PresentationLUTShape": shape}
    radiograph = show(grey(0, 1, 4), PhotometricInterpretation=photometric_interpretation, **elements)
    assert shown(radiograph) == expected
    assert whats(radiograph).count("inversion") == (photometric_interpretation == "MONOCHROME1")
    contradiction = any("contradicts" in text for text in radiograph.facts.warnings)
    assert contradiction == ((photometric_interpretation, shape) == ("MONOCHROME2", "INVERSE"))


def test_inversion_is_over_the_output_range_not_the_images_own(show):
    # c = 50, w = 101: (x - 49.5) / 100 + 0.5. 20 -> 0.205, 60 -> 0.605; inverted 0.795, 0.395
    radiograph = show(grey(20, 60), WindowCenter=50, WindowWidth=101, PhotometricInterpretation="MONOCHROME1")
    assert shown(radiograph) == pytest.approx([0.795, 0.395], abs=1e-7)


@pytest.mark.parametrize("photometric_interpretation", ["MONOCHROME1", "MONOCHROME2"])
def test_padding_is_black_and_out_of_the_range(show, photometric_interpretation):
    # without 4095: own range 0 to 100
    radiograph = show(
        grey(0, 50, 100, 4095),
        PixelPaddingValue=4095,
        BitsStored=12,
        PhotometricInterpretation=photometric_interpretation,
    )
    expected = [0, 0.5, 1, 0] if photometric_interpretation == "MONOCHROME2" else [1, 0.5, 0, 0]
    assert shown(radiograph) == expected
    assert "4095 to 4095" in hows(radiograph, "padding")[0]
    assert "25.0% of the pixels" in hows(radiograph, "padding")[0]


@pytest.mark.parametrize(("first", "last"), [(60, 62), (62, 60)])
def test_padding_range_includes_both_ends(show, first, last):
    # 60, 61, 62 out; own range 0 to 100
    radiograph = show(grey(0, 60, 61, 62, 25, 100), PixelPaddingValue=first, PixelPaddingRangeLimit=last)
    assert shown(radiograph) == [0, 0, 0, 0, 0.25, 1]


def test_signed_padding_is_in_stored_values_before_rescale(show):
    # -2000 out; the rest is -100, 0, 100 -> 900, 1000, 1100
    radiograph = show(
        grey(-2000, -100, 0, 100, dtype=np.int16),
        PixelPaddingValue=-2000,
        RescaleSlope=1,
        RescaleIntercept=1000,
    )
    assert shown(radiograph) == [0, 0, 0.5, 1]


def test_padding_outside_bits_stored_is_flagged(show):
    radiograph = show(grey(0, 100), BitsStored=12, PixelPaddingValue=65535)
    assert any("padding" in text for text in radiograph.facts.warnings)
    assert "padding" not in whats(radiograph)


def test_everything_padding(show):
    radiograph = show(grey(7, 7), PixelPaddingValue=7)
    assert shown(radiograph) == [0, 0]
    assert any("empty" in text for text in radiograph.facts.warnings)


def test_blank(show):
    radiograph = show(grey(7, 7))
    assert shown(radiograph) == [0, 0]
    assert any("blank" in text for text in radiograph.facts.warnings)


def test_a_window_beside_the_values_is_flagged(show):
    radiograph = show(grey(10, 20), WindowCenter=1000, WindowWidth=10)
    assert any("no contrast" in text for text in radiograph.facts.warnings)


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 15, 16])
@pytest.mark.parametrize("is_signed", [False, True])
def test_bits_stored(show, bits, is_signed):
    # the ends of the range and one value at three quarters: low + 3/4 (high - low)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if is_signed else (0, (1 << bits) - 1)
    middle = low + 3 * (1 << bits - 2)
    dtype = np.dtype(f"{'i' if is_signed else 'u'}{1 if bits == 8 else 2}")
    radiograph = show(grey(low, middle, high, dtype=dtype), BitsStored=bits)
    assert shown(radiograph) == pytest.approx([0, (middle - low) / (high - low), 1], abs=1e-7)
    assert radiograph.facts.attributes["BitsStored"] == str(bits)


def test_bits_above_bits_stored_are_masked_and_flagged(show):
    # 0x1003 & 0x0FFF = 3: an overlay bit above 12 stored bits
    radiograph = show(grey(0, 0x1003, 6), BitsStored=12)
    assert shown(radiograph) == [0, 0.5, 1]
    assert any("outside Bits Stored" in text for text in radiograph.facts.warnings)


def test_signed_values_without_their_sign_extension(show):
    # 12 bits: 0x0FFE = 4094 -> 4094 - 4096 = -2, 0x0FFF -> -1, 0 -> 0
    radiograph = show(grey(0x0FFE, 0x0FFF, 0), BitsStored=12, PixelRepresentation=1)
    assert shown(radiograph) == [0, 0.5, 1]


def test_odd_high_bit_is_flagged_and_shifted(show):
    # 12 bits below High Bit 15: value = raw >> 4
    radiograph = show(grey(0, 5 << 4, 10 << 4), BitsStored=12, HighBit=15)
    assert shown(radiograph) == [0, 0.5, 1]
    assert any("High Bit" in text for text in radiograph.facts.warnings)


def test_modality_lut_is_used_instead_of_rescale(show):
    # first value 1: stored 0, 1 -> 10; 2 -> 30; 3, 4 -> 50. own range 10 to 50
    radiograph = show(
        grey(0, 1, 2, 3, 4),
        ModalityLUTSequence=lut([3, 1, 16], [10, 30, 50]),
        RescaleSlope=-1,
        RescaleIntercept=0,
    )
    assert shown(radiograph) == [0, 0, 0.5, 1, 1]
    assert "rescale" not in whats(radiograph)


def test_modality_lut_with_negative_first_value(show):
    # first value -2 (as SS): -2 -> 0, -1 -> 10, 0 -> 20
    radiograph = show(grey(-2, -1, 0, dtype=np.int16), ModalityLUTSequence=lut([3, -2, 16], [0, 10, 20], first_vr="SS"))
    assert shown(radiograph) == [0, 0.5, 1]


def test_voi_lut_is_preferred_to_the_window(show):
    # 8 bits: white = 255. 0 -> 0, 1 -> 51/255 = 0.2, 2 -> 1; beyond the last stays the last
    radiograph = show(grey(0, 1, 2, 3), VOILUTSequence=lut([3, 0, 8], [0, 51, 255]), WindowCenter=5, WindowWidth=2)
    assert shown(radiograph) == pytest.approx([0, 0.2, 1, 1], abs=1e-7)
    assert "preferred to the window" in hows(radiograph, "display curve")[0]


def test_voi_lut_after_modality_lut(show):
    # stored 0, 1, 2 -> 5, 6, 7 -> first value 5: 0, 85/255 = 1/3, 1
    radiograph = show(
        grey(0, 1, 2),
        ModalityLUTSequence=lut([3, 0, 16], [5, 6, 7]),
        VOILUTSequence=lut([3, 5, 8], [0, 85, 255]),
    )
    assert shown(radiograph) == pytest.approx([0, 1 / 3, 1], abs=1e-7)


def test_voi_lut_declared_wider_than_its_data(show):
    # declared 16 bits, values fill 12: white = 4095. 819/4095 = 0.2
    radiograph = show(grey(0, 1, 2), VOILUTSequence=lut([3, 0, 16], [0, 819, 4095]))
    assert shown(radiograph) == pytest.approx([0, 0.2, 1], abs=1e-7)
    assert any("announces 16 bits" in text for text in radiograph.facts.warnings)


def test_voi_lut_of_65536_entries(show):
    # a descriptor of 0 entries means 65,536; entry i = i, white = 65535
    data = np.arange(65536, dtype="<u2").tobytes()
    radiograph = show(grey(0, 13107, 65535), VOILUTSequence=lut([0, 0, 16], data, vr="OW"))
    assert shown(radiograph) == pytest.approx([0, 0.2, 1], abs=1e-7)


def test_voi_lut_of_eight_bits_with_more_than_256_entries(show):
    # pydicom wraps here. 512 entries, i // 2: 511 -> 255 -> 1; 102 -> 51 -> 0.2
    data = (np.arange(512) // 2).astype(np.uint8).tobytes()
    radiograph = show(grey(0, 102, 511), VOILUTSequence=lut([512, 0, 8], data, vr="OW"))
    assert shown(radiograph) == pytest.approx([0, 0.2, 1], abs=1e-7)


def test_voi_lut_with_a_negative_first_value_after_rescale(show):
    # stored 0, 1, 2 - 2 = -2, -1, 0; first value -2 written as US 65534
    radiograph = show(
        grey(0, 1, 2),
        RescaleSlope=1,
        RescaleIntercept=-2,
        VOILUTSequence=lut([3, 65534, 8], [0, 51, 255]),
    )
    assert shown(radiograph) == pytest.approx([0, 0.2, 1], abs=1e-7)


@pytest.mark.parametrize("data", [[0, 0, 0], None])
def test_unusable_voi_lut_falls_back_to_the_window(show, data):
    item = lut([3, 0, 8], data or [1, 2, 3])
    if data is None:
        del item[0].LUTData
    radiograph = show(grey(94, 100), VOILUTSequence=item, WindowCenter=100, WindowWidth=11)
    assert shown(radiograph) == pytest.approx([0, 0.55], abs=1e-7)
    assert any("VOI LUT" in text for text in radiograph.facts.warnings)

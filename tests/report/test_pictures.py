from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
from cxr_audit.records import Region
from cxr_audit.report.contours import MOST_HAZE, marked, outlines
from cxr_audit.report.pictures import (
    colour_bar_stops,
    display,
    encode_jpeg,
    is_faint,
    overlay,
)

RNG = np.random.default_rng(7)


def covered_everywhere(shape):
    return np.ones(shape, bool)


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2500, 2000), (1285, 1028)),  # 87 mm at 300 dpi are 1028 px
        ((3000, 2000), (1322, 881)),  # 112 mm are 1322 px
        ((900, 700), (900, 700)),
        ((224, 224), (450, 450)),
        ((3000, 300), (1322, 132)),
        ((300, 3000), (103, 1028)),
        ((3000, 1), (1322, 1)),
    ],
)
def test_display_keeps_the_aspect_and_a_useful_size(shape, expected):
    assert display(np.zeros(shape, np.float32)).shape == expected


def test_display_keeps_black_white_and_the_mean():
    pixels = RNG.random((1800, 1800)).astype(np.float32)
    assert abs(display(pixels).mean() / 255 - pixels.mean()) < 1e-3
    assert display(np.ones((10, 10), np.float32)).min() == 255


def test_display_does_not_overshoot_when_it_enlarges():
    step = np.zeros((100, 100), np.float32)
    step[:, 50:] = 1
    enlarged = display(step)
    assert enlarged[:, :100].max() == 0
    assert enlarged[:, -100:].min() == 255


def test_jpeg_is_deterministic_and_colour_is_not_subsampled():
    picture = RNG.integers(0, 256, (64, 64, 3), np.uint8)
    data = encode_jpeg(picture)
    assert data == encode_jpeg(picture)
    frame = data[data.index(b"\xff\xc0") :]
    assert frame[9] == 3
    assert frame[11] == frame[14] == frame[17] == 0x11
    assert (
        abs(
            cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB).mean()
            - picture.mean()
        )
        < 3
    )


def test_jpeg_refuses_floats():
    with pytest.raises(ValueError, match="uint8"):
        encode_jpeg(np.zeros((4, 4), np.float32))


def test_negative_dead_and_not_finite_maps_draw_nothing():
    picture = RNG.integers(0, 256, (40, 50), np.uint8)
    plain = np.repeat(picture[..., None], 3, axis=2)
    for value in (-1.0, 0.0, np.nan, np.inf):
        heatmap = np.full(picture.shape, value, np.float32)
        assert np.array_equal(
            overlay(picture, heatmap, covered_everywhere(picture.shape), 1.0), plain
        )


def test_no_colour_where_the_model_did_not_look():
    picture = np.full((100, 100), 90, np.uint8)
    covered = covered_everywhere(picture.shape)
    covered[:, 60:] = False
    drawn = overlay(picture, np.ones(picture.shape, np.float32), covered, 1.0)
    assert (drawn[:, 65:] == 90).all()
    assert (drawn[20:80, 10:50] != 90).any(axis=2).all()


def test_colour_is_on_the_fixed_scale_and_clipped():
    """Independent formula: out = (1 - a) * grey + a * cividis(level), a = 0.65 * level ** 0.8."""
    picture = np.full((60, 60), 100, np.uint8)
    for value, scale in ((0.2, 0.4), (0.1, 0.4), (0.4, 0.4), (9.0, 0.4)):
        heatmap = np.full(picture.shape, value, np.float32)
        heatmap[0, 0] = 100  # so that the contour is elsewhere
        level = min(1.0, value / scale)
        grey = np.full((1, 1), round(255 * level), np.uint8)
        blue, green, red = cv2.applyColorMap(grey, cv2.COLORMAP_CIVIDIS)[0, 0].astype(float)
        opacity = 0.65 * level**0.8
        expected = (1 - opacity) * 100 + opacity * np.array([red, green, blue])
        drawn = overlay(picture, heatmap, covered_everywhere(picture.shape), scale)
        assert np.abs(drawn[40, 40] - expected).max() <= 2


def test_contour_encloses_half_of_the_maximum():
    picture = np.full((450, 450), 128, np.uint8)
    heatmap = np.zeros(picture.shape, np.float32)
    heatmap[100:300, 150:350] = 0.51
    heatmap[200, 250] = 1.0
    drawn = overlay(picture, heatmap, covered_everywhere(picture.shape), 1e6)
    white = np.argwhere((drawn > 190).all(axis=2))
    assert white.min(axis=0).tolist() == [100, 150]
    assert white.max(axis=0).tolist() == [299, 349]
    assert (drawn < 60).all(axis=2).any()  # the halo
    below = overlay(
        picture, np.where(heatmap == 1, 1.1, heatmap), covered_everywhere(picture.shape), 1e6
    )
    changed = np.argwhere((below != 128).any(axis=2))
    assert 0 < np.ptp(changed, axis=0).max() < 12  # 0.51 < 0.55: only the peak is left


def test_lines_between_cells_are_drawn_inside_the_picture_only():
    picture = np.full((100, 80), 100, np.uint8)
    heatmap = np.full(picture.shape, 1e-6, np.float32)
    heatmap[50, 40] = 1  # so that the contour is far from the lines
    edges = (np.asarray([-10.0, 20.0, 110.0]), np.asarray([0.0, 10.4, 80.0]))
    with_lines = overlay(picture, heatmap, covered_everywhere(picture.shape), 1.0, 0.5, edges)
    without = overlay(picture, heatmap, covered_everywhere(picture.shape), 1.0, 0.5)
    changed = (with_lines != without).any(axis=2)
    assert changed[20].all()
    assert changed[:, 10].all()
    assert changed.sum() == 100 + 80 - 1


# Machado, Oliveira and Fernandes, IEEE TVCG 2009, table 1, severity 1.0; they act on linear RGB.
DEFICIENCIES = {
    "none": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def lab(linear):
    """CIELAB of linear sRGB (N, 3), white point D65 (CIE 15, IEC 61966-2-1)."""
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    xyz = linear @ to_xyz.T / to_xyz.sum(1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


@pytest.mark.parametrize("deficiency", DEFICIENCIES)
def test_the_scale_reads_in_every_colour_vision_and_in_grey_print(deficiency):
    """Lightness rises all the way, in grey print as well, and two places a sixteenth apart stay tellable (2.3 is
    the just noticeable difference of CIE76)."""
    stops = np.array([list(bytes.fromhex(stop[1:])) for stop in colour_bar_stops()]) / 255
    linear = np.where(stops <= 0.04045, stops / 12.92, ((stops + 0.055) / 1.055) ** 2.4)
    seen = lab(np.clip(linear @ np.array(DEFICIENCIES[deficiency]).T, 0, 1))
    assert (np.diff(seen[:, 0]) > 1).all()
    assert (np.linalg.norm(np.diff(seen, axis=0), axis=1) > 2.3).all()
    assert np.ptp(seen[:, 0]) > 60


def test_overlay_refuses_other_shapes_and_scales():
    picture = np.zeros((4, 4), np.uint8)
    with pytest.raises(ValueError, match="shapes differ"):
        overlay(picture, np.zeros((4, 5), np.float32), covered_everywhere((4, 4)), 1.0)
    with pytest.raises(ValueError, match="above 0"):
        overlay(picture, np.zeros((4, 4), np.float32), covered_everywhere((4, 4)), 0.0)


def test_colour_bar_is_the_colour_map():
    """The ends of cividis are known: dark blue and yellow; grey rises without a fall."""
    stops = colour_bar_stops()
    assert stops[0] == "#00224e"
    assert stops[-1] == "#fee838"
    levels = np.linspace(0, 255, len(stops)).round().astype(np.uint8)[:, None]
    expected = cv2.applyColorMap(levels, cv2.COLORMAP_CIVIDIS)[:, 0, ::-1]
    assert [tuple(bytes.fromhex(stop[1:])) for stop in stops] == [
        tuple(map(int, one)) for one in expected
    ]
    luminance = expected @ np.array([0.2126, 0.7152, 0.0722])
    assert (np.diff(luminance) > 0).all()


def test_pictures_do_not_import_weasyprint():
    code = "import cxr_audit.report, sys; print([m for m in ('weasyprint', 'jinja2', 'PIL') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_annotation_is_dotted_along_its_outline():
    mask = np.zeros((60, 60), bool)
    mask[20:40, 10:50] = True
    plain = np.full((600, 600), 90, np.uint8)
    drawn = outlines(plain, [Region.of(mask, "annotation", "annotation", "a box of the manifest")])
    yellow = (drawn[..., 0] > 200) & (drawn[..., 2] < 120)
    rows, columns = np.nonzero(yellow)
    assert yellow.any()
    distance = np.minimum(
        np.minimum(abs(rows - 200), abs(rows - 400)),
        np.minimum(abs(columns - 100), abs(columns - 500)),
    )
    assert distance.max() <= 8
    along_the_top = yellow[195:206, 110:490].any(0)
    assert 0.2 < along_the_top.mean() < 0.9  # dots, with gaps


def test_a_picture_of_noise_keeps_within_its_size_as_far_as_it_reads():
    grey = np.random.default_rng(1).integers(0, 256, (300, 300), dtype=np.uint8)
    best, lowest = encode_jpeg(grey), encode_jpeg(grey, 1)
    at_80, at_60 = (
        cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, one])[1].tobytes() for one in (80, 60)
    )
    assert encode_jpeg(grey, len(best)) == best
    assert encode_jpeg(grey, len(at_80)) == at_80
    assert lowest == at_60


@pytest.mark.parametrize(
    ("highest", "expected"),
    [(-1.0, False), (0.0, False), (0.001, True), (0.099, True), (0.1, False), (1.0, False)],
)
def test_a_map_below_a_quarter_of_the_scale_is_faint(highest, expected):
    assert is_faint(highest, 0.4) is expected


def test_a_faint_map_is_drawn_without_a_contour():
    picture = np.full((90, 90), 60, np.uint8)
    row, column = np.mgrid[0:90, 0:90]
    heatmap = np.exp(-((row - 40) ** 2 + (column - 50) ** 2) / 200).astype(np.float32)
    with_line = overlay(picture, heatmap, covered_everywhere(picture.shape), 10.0)
    without = overlay(picture, heatmap, covered_everywhere(picture.shape), 10.0, has_contour=False)
    assert with_line.max() > 200  # the white line, between two dark ones
    assert without.max() < 100  # a breath of blue
    assert not np.array_equal(without[40, 50], without[0, 0])


def a_warm_place(shape: tuple[int, int]) -> np.ndarray:
    row, column = np.mgrid[0 : shape[0], 0 : shape[1]]
    return np.exp(-((row - 200) ** 2 + (column - 150) ** 2) / 4000).astype(np.float32)


def one_lung() -> Region:
    mask = np.zeros((45, 45), bool)
    mask[10:30, 25:40] = True
    return Region.of(mask, "left lung", "lung", "by hand")


def test_the_marked_picture_changes_nothing_but_its_lines():
    """Inside the contour every pixel further than its width from the line is as it was."""
    shape = (450, 450)
    picture = RNG.integers(0, 256, shape, np.uint8)
    heatmap = a_warm_place(shape)
    drawn = marked(picture, heatmap, covered_everywhere(shape), [one_lung()])
    inside = heatmap >= 0.5 * heatmap.max()
    core = cv2.erode(inside.astype(np.uint8), np.ones((9, 9))).astype(bool)
    assert core.any()
    assert (drawn[core] == picture[core][:, None]).all()
    changed = (drawn != picture[..., None]).any(axis=2)
    assert 0.005 < changed.mean() < 0.05


@pytest.mark.parametrize("grey", [0, 60, 128, 200, 255])
def test_the_contour_is_seen_in_grey_print_on_any_background(grey):
    """Line and halo differ from each other and one of them from the background by 80 of 255."""
    shape = (450, 450)
    picture = np.full(shape, grey, np.uint8)
    drawn = marked(picture, a_warm_place(shape), covered_everywhere(shape))
    printed = cv2.cvtColor(drawn, cv2.COLOR_RGB2GRAY).astype(int)
    assert np.ptp(printed) > 150
    assert max(abs(printed.max() - grey), abs(printed.min() - grey)) > 80


def test_only_the_lungs_are_dashed():
    shape = (450, 450)
    picture = np.full(shape, 90, np.uint8)
    drawn = marked(picture, np.zeros(shape, np.float32), covered_everywhere(shape), [one_lung()])
    top = (drawn[95:105, 260:390] != 90).any(axis=(0, 2))
    assert 0.5 < top.mean() < 0.9  # dashes with gaps
    other = Region.of(one_lung().mask, "border", "border", "by hand")
    plain = marked(picture, np.zeros(shape, np.float32), covered_everywhere(shape), [other])
    assert (plain == 90).all()


def test_haze_is_asked_for_and_at_most_a_third():
    shape = (450, 450)
    picture, heatmap = np.full(shape, 100, np.uint8), a_warm_place(shape)
    drawn = marked(picture, heatmap, covered_everywhere(shape), haze=0.3)
    assert drawn[200, 150].tolist() == [
        round(0.7 * 100 + 0.3 * channel) for channel in (255, 234, 70)
    ]
    faint = marked(picture, heatmap, covered_everywhere(shape), has_contour=False, haze=0.3)
    assert (faint == 100).all()
    with pytest.raises(ValueError, match="haze"):
        marked(picture, heatmap, covered_everywhere(shape), haze=MOST_HAZE + 0.01)
    with pytest.raises(ValueError, match="shapes differ"):
        marked(picture, heatmap[1:], covered_everywhere(shape))

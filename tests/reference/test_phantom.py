"""The phantom: projection against geometry, anatomy where it should be, truth that is true, the same seed the same."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest
from cxr_audit.errors import ConfigError
from cxr_audit.reference.phantom import Spec, case_spec, draw, training_pixels
from cxr_audit.reference.phantom.acquisition import WATER_PER_MM, Exposure, expose
from cxr_audit.reference.phantom.phantom import RANGES, cohort
from cxr_audit.reference.phantom.projection import Grid, dome, tubes

SIZE = 256
PLAIN = Spec(
    7, "M", "adult", rotation_deg=0, tilt_deg=0, inspiration=0.8, exposure=1, collimation=0
)


@pytest.fixture(scope="module")
def plain():
    return draw(PLAIN, SIZE, SIZE)


def grid(turn=0.0):
    axis = np.arange(-60, 60, 0.5, dtype=np.float32)
    return Grid(axis[None], axis[:, None], turn, 1)


def test_a_solid_tube_has_the_chord_of_a_cylinder():
    line = np.stack([np.linspace(-40, 40, 9), np.zeros(9), np.zeros(9)], axis=1)[None]
    path = tubes(grid(), line, 10.0)
    assert path[120, 80:160] == pytest.approx(20, rel=0.02)  # twice the radius on the middle line
    assert path[120 + 16, 100:140].mean() == pytest.approx(
        2 * np.sqrt(100 - 64), rel=0.03
    )  # 8 mm off it
    assert path[120 + 24].max() == 0
    assert path.sum() * 0.25 == pytest.approx(np.pi * 100 * 80, rel=0.02)  # the volume


def test_a_tube_along_the_ray_is_seen_through_its_length():
    """At 45 degrees in depth the chord is longer by the square root of 2."""
    line = np.stack([np.linspace(-30, 30, 9), np.zeros(9), np.linspace(-30, 30, 9)], axis=1)[None]
    path = tubes(grid(), line, 6.0)
    assert path[120, 110:130].mean() == pytest.approx(12 * np.sqrt(2), rel=0.03)


def test_a_hollow_tube_shows_its_walls():
    line = np.stack([np.linspace(-40, 40, 9), np.zeros(9), np.zeros(9)], axis=1)[None]
    path = tubes(grid(), line, 10.0, wall=2.0)
    assert path[120, 100:140].mean() == pytest.approx(4, rel=0.1)
    assert path[120 + 18, 100:140].mean() == pytest.approx(
        8.72, rel=0.1
    )  # 9 mm off: only wall, 2 x sqrt(100 - 81)


def test_dome_is_the_chord_of_a_sphere():
    assert dome(np.asarray([0, 0.36, 1, 4])) == pytest.approx([1, 0.8, 0, 0])


def test_attenuation_is_exponential():
    """Without scatter, blur and noise the steps of a water wedge are even in the logarithm of the signal."""
    water = np.repeat(np.asarray([[40, 80, 120, 160]], np.float32), 10, axis=1) * np.ones(
        (40, 1), np.float32
    )
    nothing = np.zeros_like(water)
    how = Exposure(1e12, 0, 0, 0, latitude=0, detail=0, contrast=1, brightness=0, hardness=3)
    shown = expose(np.random.default_rng(1), water, nothing, nothing, water >= 0, 1.0, how).astype(
        float
    )
    ends = 1 / (1 + np.exp(3 * 0.62)), 1 / (1 + np.exp(-3 * 0.62))
    level = -np.log(1 / (shown * (ends[1] - ends[0]) + ends[0]) - 1) / 3 + 0.5
    steps = np.diff(level[20, 5::10])
    assert steps == pytest.approx(steps.mean(), rel=1e-3)
    assert pytest.approx(0.0206, abs=1e-4) == WATER_PER_MM  # NIST XCOM, 60 keV


def test_noise_falls_with_the_root_of_the_dose():
    flat = np.full((200, 200), 100, np.float32)
    flat[:, :20] = 0
    spread = []
    for quanta in (1e4, 1e6):
        how = Exposure(
            quanta, 0, 0, 0, latitude=0, detail=0, contrast=0.2, brightness=0, hardness=1
        )
        shown = expose(np.random.default_rng(1), flat, 0 * flat, 0 * flat, flat >= 0, 1.0, how)
        spread.append(shown[:, 40:].std())
    assert spread[0] / spread[1] == pytest.approx(10, rel=0.15)


def test_masks_are_where_the_patient_has_them(plain):
    """The patient's right is on the picture's left, the heart's tip on the picture's right."""
    middle = {name: np.argwhere(mask).mean(axis=0) for name, mask in plain.masks.items()}
    assert middle["right_lung"][1] < SIZE / 2 < middle["left_lung"][1]
    assert middle["heart"][1] > np.mean([middle["right_lung"][1], middle["left_lung"][1]])
    assert plain.masks["right_lung"].sum() > plain.masks["left_lung"].sum()
    assert not (plain.masks["heart"] & (plain.masks["right_lung"] | plain.masks["left_lung"])).any()
    for name in ("right_lung", "left_lung"):
        count, *_ = cv2.connectedComponents(plain.masks[name].astype(np.uint8))
        assert count == 2
        assert 0.07 < plain.masks[name].mean() < 0.3


@pytest.mark.parametrize("age", ["child", "adult", "elderly"])
@pytest.mark.parametrize("sex", ["F", "M"])
def test_lungs_are_darker_than_heart_and_belly_and_air_is_darkest(sex, age):
    phantom = draw(replace(PLAIN, sex=sex, age_band=age), SIZE, SIZE)
    shown, masks = phantom.pixels, phantom.masks
    lungs = masks["right_lung"] | masks["left_lung"]
    assert shown.dtype == np.float32
    assert shown.min() >= 0
    assert shown.max() <= 1
    assert shown[lungs].mean() < 0.8 * shown[masks["heart"]].mean()
    assert shown[lungs].mean() < 0.8 * shown[int(0.95 * SIZE) :, SIZE // 3 : SIZE // 2].mean()
    assert shown[:6, :6].mean() < shown[lungs].mean()


def test_a_child_is_smaller():
    width_mm = {}
    for age in ("child", "adult"):
        phantom = draw(replace(PLAIN, age_band=age), SIZE, SIZE)
        lungs = np.nonzero((phantom.masks["right_lung"] | phantom.masks["left_lung"]).any(axis=0))[
            0
        ]
        width_mm[age] = (lungs[-1] - lungs[0]) * phantom.pixel_spacing_mm[1]
    assert 240 < width_mm["adult"] < 320  # inner thoracic diameter
    assert width_mm["child"] < 0.75 * width_mm["adult"]


def test_mirrored_is_the_picture_flipped(plain):
    mirrored = draw(replace(PLAIN, is_mirrored=True), SIZE, SIZE)
    assert np.array_equal(mirrored.pixels, plain.pixels[:, ::-1])
    assert np.array_equal(mirrored.masks["heart"], plain.masks["heart"][:, ::-1])


@pytest.mark.parametrize("name", ["consolidation", "patchy", "interstitial", "effusion", "nodule"])
def test_a_finding_brightens_its_mask_and_little_else(plain, name):
    phantom = draw(replace(PLAIN, findings=(name,)), SIZE, SIZE)
    mask = phantom.masks[name]
    change = phantom.pixels - plain.pixels
    near = cv2.dilate(mask.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    assert mask.any()
    assert change[mask].mean() > 0.02
    if not near.all():
        assert np.abs(change[~near]).mean() < 0.35 * change[mask].mean()
    assert phantom.spec.label == (
        "PNEUMONIA" if name in ("consolidation", "patchy", "interstitial") else "NORMAL"
    )


@pytest.mark.parametrize("name", ["consolidation", "patchy", "interstitial", "effusion", "nodule"])
def test_no_finding_is_lost(name):
    for seed in range(6):
        phantom = draw(Spec(seed, findings=(name,)), 96, 96)
        lungs = draw(Spec(seed), 96, 96).masks
        assert (phantom.masks[name] & (lungs["right_lung"] | lungs["left_lung"])).sum() > 8, seed


def test_opacities_lie_in_the_lung_and_fluid_hides_it():
    full, filled, wet = (
        draw(replace(PLAIN, findings=f), SIZE, SIZE).masks for f in ((), ("patchy",), ("effusion",))
    )
    lungs = [masks["right_lung"] | masks["left_lung"] for masks in (full, filled, wet)]
    assert np.array_equal(lungs[0], lungs[1])
    assert not (lungs[2] & wet["effusion"]).any()
    assert lungs[2].sum() < lungs[0].sum()


@pytest.mark.parametrize("name", ["marker_r", "marker_l", "text", "border"])
def test_what_lies_on_the_picture_is_exactly_its_mask(plain, name):
    phantom = draw(replace(PLAIN, shortcuts=(name,)), SIZE, SIZE)
    changed, mask = phantom.pixels != plain.pixels, phantom.masks[name]
    edge = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    assert mask.any()
    assert not (changed & ~edge).any()  # letters have soft edges of one pixel
    assert phantom.pixels[mask].mean() > 0.7
    if name.startswith("marker"):
        assert (np.argwhere(mask).mean(axis=0)[1] < SIZE / 2) == (name == "marker_r")


@pytest.mark.parametrize(("rows", "marker_px"), [(1024, 20), (512, 60)])
def test_markers_have_the_size_asked_for(rows, marker_px):
    _, _, _, height = draw(
        replace(PLAIN, shortcuts=("marker_r",), marker_px=marker_px), rows, rows
    ).boxes["marker_r"]
    assert height == pytest.approx(marker_px * rows / 1024, abs=1)


@pytest.mark.parametrize("name", ["tube", "leads"])
def test_what_is_in_the_beam_brightens_its_mask(plain, name):
    phantom = draw(replace(PLAIN, shortcuts=(name,)), SIZE, SIZE)
    assert (phantom.pixels - plain.pixels)[phantom.masks[name]].mean() > 0.02


def test_bias_is_added_to_every_pixel(plain):
    phantom = draw(replace(PLAIN, shortcuts=("bias",)), SIZE, SIZE)
    assert phantom.pixels == pytest.approx(np.minimum(plain.pixels + np.float32(0.08), 1))
    assert phantom.masks["bias"].all()


def test_boxes_are_tight(plain):
    for name, (x, y, width, height) in plain.boxes.items():
        rows, columns = np.nonzero(plain.masks[name])
        assert (x, y) == (columns.min(), rows.min())
        assert (width, height) == (columns.max() - columns.min() + 1, rows.max() - rows.min() + 1)


def test_collimation_is_black_and_cuts_the_masks():
    phantom = draw(replace(PLAIN, collimation=0.15), SIZE, SIZE)
    assert phantom.pixels[0].max() < 0.05
    assert not phantom.masks["right_lung"][:, 0].any()


@pytest.mark.parametrize("name", RANGES)
def test_out_of_range_names_the_range(name):
    low, high = RANGES[name]
    for value in (low - 0.01, high + 0.01, float("nan")):
        with pytest.raises(ConfigError, match=name) as error:
            Spec(1, **{name: value})
        assert f"{low:g} .. {high:g}" in str(error.value.hint)


@pytest.mark.parametrize("size", [(63, 200), (200, 3001)])
def test_sizes_have_limits(size):
    with pytest.raises(ConfigError) as error:
        draw(Spec(1), *size)
    assert "64 .. 3000" in str(error.value.hint)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sex": "X"},
        {"age_band": "old"},
        {"findings": ("fracture",)},
        {"shortcuts": ("logo",)},
        {"seed": -1},
    ],
)
def test_unknown_words_are_refused(wrong):
    with pytest.raises(ConfigError):
        Spec(**{"seed": 1, **wrong})


def test_any_shape_is_drawn():
    phantom = draw(Spec(3), 100, 240)
    assert phantom.pixels.shape == (100, 240)
    assert phantom.masks["left_lung"].shape == (100, 240)
    assert phantom.pixel_spacing_mm[0] == pytest.approx(phantom.pixel_spacing_mm[1])


def test_the_same_seed_is_the_same_in_another_process():
    code = (
        "import hashlib; from cxr_audit.reference.phantom import training_pixels as t;"
        "print(hashlib.sha256(b''.join(t(s, 'PNEUMONIA', 96).tobytes() for s in (5, 6))).hexdigest())"
    )
    here = hashlib.sha256(
        b"".join(training_pixels(s, "PNEUMONIA", 96).tobytes() for s in (5, 6))
    ).hexdigest()
    there = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert here == there
    assert (
        here
        != hashlib.sha256(
            b"".join(training_pixels(s, "NORMAL", 96).tobytes() for s in (5, 6))
        ).hexdigest()
    )


def test_cases_vary_and_keep_their_label():
    specs = [case_spec(seed, label) for seed in range(40) for label in ("NORMAL", "PNEUMONIA")]
    assert [spec.label for spec in specs] == ["NORMAL", "PNEUMONIA"] * 40
    assert {spec.age_band for spec in specs} == {"child", "adult", "elderly"}
    shortcuts = [
        {name for spec in specs if spec.label == label for name in spec.shortcuts}
        for label in ("NORMAL", "PNEUMONIA")
    ]
    assert shortcuts[0] == shortcuts[1]
    with pytest.raises(ConfigError):
        case_spec(1, "COVID")


def test_a_confounder_stands_in_one_class_only():
    for spec in cohort(10, 3, ("marker_l",)):
        assert spec.shortcuts == (("marker_l",) if spec.label == "PNEUMONIA" else ())

"""Presets: the arithmetic of the library that each is named after, and geometry that comes back."""

from typing import Any, get_args

import numpy as np
import pytest
from cxr_audit.config import Preprocess
from cxr_audit.preprocess import box_share, preprocess, recipe_of, restore
from cxr_audit.preprocess.contrast import equalised
from cxr_audit.records import Radiograph, RadiographFacts, Resize, SourceFile, from_json, to_json
from cxr_audit.vocabulary.presets import PRESETS, PresetName, unsupported
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from benchmarks import presets as benchmark
from benchmarks.preset_references import CASES, SIZE, picture

SOURCE = SourceFile("0" * 64, "0" * 64, "PNG", None, "test")
# Pillow and OpenCV are called; the rest is computed with other sums of the same products.
EXACT = ("keras-generator", "pil", "opencv", "torchvision")
GREY_LEVELS = {"bicubic": 0.2}  # TensorFlow looks its cubic weights up in a table of 1024


def radiograph(pixels: np.ndarray) -> Radiograph:
    pixels = np.asarray(pixels, np.float32)
    return Radiograph("case", pixels, RadiographFacts(*pixels.shape, SOURCE))


def combinations() -> list[tuple[PresetName, str, bool]]:
    return [
        (preset, interpolation, antialias)
        for preset, row in PRESETS.items()
        for interpolation, possible in row.antialias.items()
        for antialias in possible
    ]


def limit(preset: str, interpolation: str) -> float:
    return 0 if preset in EXACT else GREY_LEVELS.get(interpolation, 0.002)


@pytest.mark.parametrize("preset", sorted(benchmark.LIVE))
def test_a_preset_is_its_library(preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if preset not in ("pil", "opencv"):
        pytest.importorskip("tensorflow")
    monkeypatch.setattr(benchmark, "LIVE", {preset: benchmark.LIVE[preset]})
    images = {case: picture(*shape) for case, shape in CASES.items()}
    rows = list(benchmark.live(images))
    compared = {(name, antialias) for _, _, name, antialias, _, _ in rows}
    assert len(compared) >= 5
    for _, resize, name, antialias, case, difference in rows:
        assert difference <= limit(preset, name), (resize, name, antialias, case)


def test_presets_are_the_arrays_that_other_libraries_have_made() -> None:
    rows = list(benchmark.recorded())
    assert {row[0] for row in rows} == {"torchvision", "torchxrayvision", "monai"}
    assert len(rows) == 48
    for preset, resize, name, antialias, case, difference in rows:
        assert difference <= limit(preset, name), (preset, resize, name, antialias, case)


def test_the_interpolations_do_differ() -> None:
    """Otherwise the tests above could not tell them apart."""
    image = picture(*CASES["down"])
    made = [
        benchmark.ours(
            image, SIZE, preset=preset, resize="stretch", interpolation=name, antialias=antialias
        )
        for preset, name, antialias in (
            ("pil", "nearest", False),
            ("opencv", "nearest", False),
            ("pil", "bilinear", True),
            ("opencv", "bilinear", False),
            ("torchvision", "bicubic", False),
            ("tf-image", "bicubic", False),
            ("tf-image", "bicubic", True),
            ("torchxrayvision", "bilinear", True),
            ("monai", "bilinear", True),
            ("monai", "area", True),
            ("tf-image", "area", True),
        )
    ]
    for index, array in enumerate(made):
        for other in made[:index]:
            assert np.abs(array - other).max() > 2


def test_the_names_of_the_config_are_the_rows() -> None:
    assert set(get_args(PresetName)) == set(PRESETS)


@pytest.mark.parametrize(("preset", "interpolation", "antialias"), combinations())
def test_every_combination_gives_a_model_input(
    preset: PresetName, interpolation: str, antialias: bool
) -> None:
    config = Preprocess(
        rows=20,
        columns=24,
        channels=1,
        scaling="unit",
        preset=preset,
        interpolation=interpolation,
        antialias=antialias,
    )
    even = preprocess(radiograph(np.full((50, 40), 102 / 255)), config)[0].tensor
    # Filters with zeros beyond the edge darken or lighten it; the middle is what it was.
    np.testing.assert_allclose(even[9:11, 11:13], 102 / 255, atol=1e-5)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"preset": "monai", "interpolation": "lanczos"}, "has no interpolation lanczos"),
        ({"preset": "pil", "antialias": False}, "bicubic of preset pil is always antialiased"),
        ({"preset": "opencv", "antialias": True}, "bilinear of preset opencv is never"),
        ({"interpolation": "nearest", "antialias": True}, "nearest of no preset is never"),
        ({"short_side": 256}, "short_side needs resize: center_crop"),
        ({"percentiles": [99, 1]}, "percentiles must ascend"),
        ({"standardise": "keras", "scaling": "txv"}, "standardise is followed by"),
    ],
)
def test_what_a_library_cannot_do_is_refused(given: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        Preprocess(**{"scaling": "unit", **given})


def test_a_preset_brings_its_aspect_and_the_config_may_say_otherwise() -> None:
    assert Preprocess(scaling="txv", preset="torchxrayvision").resize == "crop_resize"
    assert Preprocess(scaling="txv", preset="torchxrayvision", resize="stretch").resize == "stretch"
    assert Preprocess(scaling="unit", preset="keras-generator").resize == "stretch"


def test_unsupported_says_nothing_where_all_is_well() -> None:
    for preset, interpolation, antialias in combinations():
        assert unsupported(preset, interpolation, antialias) is None


def marked(shape: tuple[int, int], row: int, column: int, side: int) -> Radiograph:
    pixels = np.zeros(shape, np.float32)
    pixels[row : row + side, column : column + side] = 1
    return radiograph(pixels)


@settings(max_examples=120, deadline=None)
@given(
    combination=st.sampled_from(combinations()),
    resize=st.sampled_from(get_args(Resize)),
    shape=st.tuples(st.integers(90, 200), st.integers(90, 200)),
    where=st.tuples(st.floats(0.35, 0.5), st.floats(0.35, 0.5)),
)
def test_a_square_goes_through_every_preset_and_comes_back(
    combination: tuple[PresetName, str, bool],
    resize: Resize,
    shape: tuple[int, int],
    where: tuple[float, float],
) -> None:
    """Forward by the library's arithmetic, back by the placement: the square's centre returns."""
    preset, interpolation, antialias = combination
    config = Preprocess(
        rows=64,
        columns=56,
        channels=1,
        scaling="unit",
        preset=preset,
        interpolation=interpolation,
        antialias=antialias,
        resize=resize,
    )
    side = 21
    row, column = int(where[0] * shape[0]), int(where[1] * shape[1])
    model_input, _, _ = preprocess(marked(shape, row, column, side), config)
    placement = model_input.placement
    back = restore(model_input.tensor[..., 0], placement, *shape)
    back = np.where(back > 0.1, back, 0)  # the square, without what filters spread over the image
    rows, columns = np.indices(shape) + 0.5
    # Without a filter, one pixel that is or is not taken moves the centre.
    pixel = max(1 / placement.scale_rows, 1 / placement.scale_columns)
    # Area averages of Pillow take whole pixels of the radiograph. The Gaussian of scikit-image, which
    # torchxrayvision filters with, moves a small square by up to 0.52 of a pixel.
    filtered = 0.2 if combination[0] == "torchxrayvision" else 0.0
    averaged = 0.5 if interpolation == "area" else 0.0
    allowed = 0.4 + (0 if antialias else 0.5 * pixel) + averaged + filtered
    assert abs((back * rows).sum() / back.sum() - (row + side / 2)) < allowed
    assert abs((back * columns).sum() / back.sum() - (column + side / 2)) < allowed


@pytest.mark.parametrize("resize", get_args(Resize))
@pytest.mark.parametrize(("preset", "interpolation", "antialias"), combinations())
def test_a_ramp_lies_where_the_placement_says(
    preset: PresetName, interpolation: str, antialias: bool, resize: Resize
) -> None:
    """What the model input shows of a ramp of half-pixel centres is where the placement puts it."""
    full, size = 331, 64
    ramp = (np.arange(full) + 0.5) / full
    config = Preprocess(
        rows=size,
        columns=size,
        channels=1,
        scaling="unit",
        preset=preset,
        interpolation=interpolation,
        antialias=antialias,
        rounding="none",
        resize=resize,
    )
    model_input, _, _ = preprocess(radiograph(np.tile(ramp, (full - 50, 1))), config)
    placement = model_input.placement
    expected = (np.arange(size) + 0.5 - placement.offset_columns) / placement.scale_columns
    middle = slice(size // 5, -size // 5)  # filters with zeros beyond the edge change the rest
    error = model_input.tensor[size // 2, middle, 0] * full - expected[middle]
    # Nearest neighbour is off by half a pixel of the radiograph at most, and not on the average;
    # PyTorch's pooling takes whole pixels: by half a pixel as well.
    takes_whole_pixels = interpolation == "nearest" or (preset, interpolation) == ("monai", "area")
    takes_whole_pixels |= interpolation == "area" and preset in EXACT
    assert np.abs(error).max() <= (0.5 + 1e-3 if takes_whole_pixels else 0.1)
    assert abs(error.mean()) < 0.06


@given(
    resize=st.sampled_from(("crop_resize", "pad_resize")),
    shape=st.tuples(st.integers(20, 300), st.integers(20, 300)),
)
def test_what_is_framed_first_fills_the_input_exactly(
    resize: Resize, shape: tuple[int, int]
) -> None:
    """By hand: the share of the radiograph in the input, from the sizes of `smart_resize`."""
    rows, columns = shape
    config = Preprocess(rows=64, columns=48, channels=1, scaling="unit", resize=resize)
    placement = preprocess(radiograph(np.zeros(shape)), config)[0].placement
    share = box_share(placement, 1, 1, (0, 0, rows, columns))[0, 0]
    if resize == "crop_resize":
        cut = min(rows, int(columns * 64 / 48)), min(columns, int(rows * 48 / 64))
        assert placement.scale_rows == 64 / cut[0]
        assert placement.scale_columns == 48 / cut[1]
        assert share == pytest.approx(1)
    else:
        padded = max(rows, int(columns * 64 / 48)), max(columns, int(rows * 48 / 64))
        assert share == pytest.approx(rows * columns / (padded[0] * padded[1]), rel=1e-5)


def test_a_placement_with_a_fraction_survives_its_record() -> None:
    config = Preprocess(rows=64, columns=48, channels=1, scaling="unit", resize="pad_resize")
    placement = preprocess(radiograph(np.zeros((100, 77))), config)[0].placement
    assert from_json(to_json(placement), type(placement)) == placement


def test_the_padding_has_its_grey_value() -> None:
    for resize in ("letterbox", "pad_resize"):
        config = Preprocess(
            rows=40, columns=40, channels=1, scaling="raw_255", resize=resize, pad_value=117
        )
        tensor = preprocess(radiograph(np.ones((40, 80))), config)[0].tensor[..., 0]
        np.testing.assert_allclose(tensor[:9], 117, atol=1e-4)
        np.testing.assert_allclose(tensor[11:29], 255, atol=1e-4)


def test_the_record_says_every_decision() -> None:
    config = Preprocess(
        rows=32,
        columns=32,
        channels=1,
        scaling="unit",
        scaling_source="the notebook",
        preset="keras-generator",
        resize="letterbox",
        percentiles=(1, 99),
        min_max=True,
        equalise="pil",
        clahe=2.0,
        gamma=0.8,
        standardise="keras",
    )
    decisions = preprocess(radiograph(picture(50, 40) / 255), config)[2]
    said = [(d.what.code, d.how.code, getattr(d.why, "code", d.why)) for d in decisions]
    step = ("preprocess.contrast", "preprocess.contrast.before", "preprocess.why.config")
    assert said[:5] == [step] * 5
    assert [d.how.values["step"]["code"].rsplit(".", 1)[1] for d in decisions[:5]] == [
        "percentiles",
        "min_max",
        "equalise",
        "clahe",
        "gamma",
    ]
    preset = "preprocess.why.preset"
    assert said[5:] == [
        ("preprocess.resize", "preprocess.resize.letterbox", "preprocess.why.config"),
        ("preprocess.padding", "preprocess.padding.value", "preprocess.why.config"),
        ("preprocess.interpolation", "preprocess.interpolation.aliased", preset),
        ("preprocess.rounding", "preprocess.rounding.both", preset),
        ("preprocess.standardise", "preprocess.standardise.keras", "preprocess.why.config"),
        ("preprocess.scaling", "preprocess.scaling.named", "the notebook"),
    ]
    assert decisions[8].why.values["preset"] == "keras-generator"


def test_standardisation_is_tensorflows() -> None:
    tf = pytest.importorskip("tensorflow")
    image = picture(40, 30)
    config = Preprocess(rows=40, columns=30, channels=3, scaling="unit", standardise="tensorflow")
    expected = tf.image.per_image_standardization(np.repeat(image[..., None] / 255, 3, 2)).numpy()
    received = preprocess(radiograph(image / 255), config)[0].tensor
    np.testing.assert_allclose(received, expected, atol=1e-4)


def test_standardisation_is_the_generators() -> None:
    keras = pytest.importorskip("keras")
    image = picture(40, 30) / 255
    generator = keras.src.legacy.preprocessing.image.ImageDataGenerator(
        samplewise_center=True, samplewise_std_normalization=True
    )
    expected = generator.standardize(image[..., None].copy())
    config = Preprocess(rows=40, columns=30, channels=1, scaling="unit", standardise="keras")
    received = preprocess(radiograph(image), config)[0].tensor
    np.testing.assert_allclose(received, expected, atol=1e-4)


def test_contrast_steps_are_those_of_scikit_image() -> None:
    image = picture(*CASES["down"])
    with np.load(benchmark.REFERENCES) as kept:
        expected = {name.split("/")[1]: kept[name] for name in kept.files if "skimage" in name}
    size = CASES["down"]
    gamma = benchmark.ours(image, size, gamma=0.7)
    np.testing.assert_allclose(gamma, expected["adjust_gamma"], atol=1e-3)
    spread = benchmark.ours(image, size, percentiles=(2, 98))
    np.testing.assert_allclose(spread, expected["rescale_intensity"], atol=1e-2)
    flat = benchmark.ours(image, size, equalise="skimage")
    np.testing.assert_allclose(flat, expected["equalize_hist"], atol=1e-2)


def test_histogram_equalisation_by_hand() -> None:
    """Grey 0, 0, 100, 200: OpenCV maps (cdf - first) / (n - first) to 0 ... 255."""
    pixels = np.asarray([[0, 0, 100, 200]], np.float32) / 255
    np.testing.assert_allclose(equalised(pixels, "opencv") * 255, [[0, 0, 128, 255]], atol=0.6)
    np.testing.assert_allclose(equalised(pixels, "skimage"), [[0.5, 0.5, 0.75, 1]])


def test_min_max_by_hand_and_an_even_image() -> None:
    config = Preprocess(rows=1, columns=3, channels=1, scaling="unit", min_max=True)
    tensor = preprocess(radiograph(np.asarray([[0.2, 0.3, 0.6]])), config)[0].tensor[..., 0]
    np.testing.assert_allclose(tensor, [[0, 0.25, 1]], atol=1e-6)
    for extra in ({}, {"standardise": "plain"}, {"percentiles": (1, 99), "equalise": "opencv"}):
        config = Preprocess(rows=4, columns=4, channels=1, scaling="unit", min_max=True, **extra)
        assert np.isfinite(preprocess(radiograph(np.full((9, 9), 0.4)), config)[0].tensor).all()


def test_steps_after_resizing_see_the_model_input() -> None:
    """A single bright pixel is averaged away before the image is spread."""
    pixels = np.zeros((8, 8))
    pixels[0, 0] = 1
    given: dict[str, Any] = {"rows": 4, "columns": 4, "channels": 1, "scaling": "unit"}
    before = preprocess(radiograph(pixels), Preprocess(**given, min_max=True))[0].tensor
    after = preprocess(radiograph(pixels), Preprocess(**given, min_max=True, contrast_at="after"))[
        0
    ].tensor
    assert before.max() == pytest.approx(0.25)
    assert after.max() == 1


def test_the_default_is_opencvs_area_average() -> None:
    cv2 = pytest.importorskip("cv2")
    pixels = (picture(97, 131) / 255).astype(np.float32)
    config = Preprocess(rows=48, columns=40, channels=1, scaling="unit")
    received = preprocess(radiograph(pixels), config)[0].tensor[..., 0]
    expected = cv2.resize(pixels, (40, 48), interpolation=cv2.INTER_AREA)
    assert np.array_equal(received, expected)
    assert recipe_of(config).rounding == "none"

"""Parity with production: figures by hand, refusals of the file, a pipeline that is found out."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cxr_audit.audit.parity import (
    Trial,
    _aspects,
    _changed,
    _ranges,
    compare_outputs,
    presets,
    production_parity,
    ranked_trials,
    try_pipelines,
)
from cxr_audit.audit.reference_outputs import Reference, chosen_cases, read_reference
from cxr_audit.cli.production import _in_words
from cxr_audit.config import AuditConfig, Preprocess, config_of
from cxr_audit.errors import ConfigError, ModelError
from cxr_audit.ingest import discover
from cxr_audit.records import CaseSource, ProductionParity, from_json, to_json

from benchmarks.preset_references import picture

CLASSES = ("NORMAL", "PNEUMONIA")


def test_figures_by_hand() -> None:
    reference = np.array([[0.9, 0.1], [0.52, 0.48], [0.2, 0.8], [0.4, 0.6]])
    ours = np.array([[0.9, 0.1], [0.49, 0.51], [0.21, 0.79], [0.3, 0.7]])
    parity = compare_outputs(reference, ours, tolerance=0.05)
    assert parity.num_cases == 4
    assert parity.largest_difference == pytest.approx(0.1)
    assert parity.median_difference == pytest.approx(0.02)  # of 0, 0.03, 0.01, 0.1
    assert parity.num_flipped == 1
    assert not parity.is_within
    assert compare_outputs(reference, ours, 0.11).is_within


def test_a_threshold_decides_what_flips() -> None:
    reference, ours = np.array([[0.61], [0.4]]), np.array([[0.59], [0.45]])
    assert compare_outputs(reference, ours, 0.1, target=0, threshold=0.6).num_flipped == 1
    assert compare_outputs(reference, ours, 0.1, target=0, threshold=0.5).num_flipped == 0


@pytest.mark.parametrize(
    ("reference", "ours"),
    [
        (np.zeros((0, 1)), np.zeros((0, 1))),
        (np.zeros((2, 1)), np.zeros((1, 1))),
        (np.full((1, 1), np.nan), np.zeros((1, 1))),
        (np.full((1, 1), 3.0), np.zeros((1, 1))),
    ],
)
def test_what_cannot_be_compared_is_refused(reference: np.ndarray, ours: np.ndarray) -> None:
    with pytest.raises(ValueError, match="outputs"):
        compare_outputs(reference, ours, 0.01)


def test_the_record_survives_json() -> None:
    parity = ProductionParity(50, 0.02, 0.001, 1, 0.01, "0" * 64, 3)
    assert from_json(to_json(parity), ProductionParity) == parity


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "outputs.csv"
    path.write_text(text, "utf-8")
    return path


def test_a_file_with_a_byte_order_mark_and_an_empty_line(tmp_path: Path) -> None:
    path = written(tmp_path, "\ufeffpath,PNEUMONIA\na\\b.png,0.25\n\nc.png,1\n")
    reference = read_reference(path, CLASSES)
    assert reference.class_names == ("PNEUMONIA",)
    assert reference.outputs == {"a/b.png": (0.25,), "c.png": (1.0,)}
    assert len(reference.sha256) == 64


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "first column is not named path or file"),
        ("name,PNEUMONIA\n", "first column is not named path or file"),
        ("path\na.png\n", "has no column for a class"),
        ("path,COVID\na.png,1\n", "columns that match no class: COVID"),
        ("path,NORMAL,NORMAL\na.png,1,1\n", "has a column twice"),
        ("path,NORMAL\n", "has no row"),
        ("path,NORMAL\nDoe.png,1,2\n", "line 2 has 3 columns, expected 2"),
        ("path,NORMAL\nDoe.png,high\n", "line 2 has an output that is no number"),
        ("path,NORMAL\nDoe.png,1\nDoe.png,1\n", "line 3 has a path a second time"),
        ("path,NORMAL\nDoe.png,-2.3\n", r"line 2 has an output outside \[0, 1\]"),
        ("path,NORMAL\nDoe.png,nan\n", r"line 2 has an output outside \[0, 1\]"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as refused:
        read_reference(written(tmp_path, text), CLASSES)
    assert "Doe" not in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        read_reference(tmp_path / "none.csv", CLASSES)


def source(case_id: str, path: str) -> CaseSource:
    return CaseSource(case_id, Path("/data") / path, path)


def test_rows_are_matched_by_id_path_or_a_name_that_is_unique() -> None:
    cases = [source("id1", "a/x.png"), source("id2", "b/x.png"), source("id3", "b/y.png")]
    rows: dict[str, tuple[float, ...]] = {
        "id1": (0.1,),
        "/elsewhere/b/x.png": (0.2,),
        "y.png": (0.3,),
        "x.png": (0.4,),  # two cases have this name
        "c/y.png": (0.5,),  # another folder: another radiograph
    }
    chosen = chosen_cases(Reference(("NORMAL",), rows, ""), cases)
    assert [(case.case_id, values) for case, values in chosen] == [
        ("id1", (0.1,)),
        ("id2", (0.2,)),
        ("id3", (0.3,)),
    ]


def test_rows_that_match_nothing_or_one_case_twice() -> None:
    cases = [source("id1", "a/x.png")]
    with pytest.raises(ConfigError, match="none of the 1 rows"):
        chosen_cases(Reference(("NORMAL",), {"z.png": (0.1,)}, ""), cases)
    with pytest.raises(ConfigError, match="two rows"):
        chosen_cases(Reference(("NORMAL",), {"id1": (0.1,), "x.png": (0.1,)}, ""), cases)


@pytest.mark.parametrize("standardise", [None, "keras"])
def test_every_pipeline_that_is_tried_has_words_of_its_own(standardise: str | None) -> None:
    settings = Preprocess(scaling="unit", interpolation="bilinear", standardise=standardise)
    words: dict[str, Preprocess] = {}
    for changes in (*presets(settings), *_aspects(settings), *_ranges(settings)):
        changed = _changed(settings, changes)
        assert words.setdefault(_in_words(changes, settings), changed) == changed
    assert len(words) > 100


def test_what_is_tried_begins_with_the_config_and_is_valid() -> None:
    settings = Preprocess(scaling="unit")
    tried = presets(settings)
    assert tried[0] == {}
    assert {changes.get("preset") for changes in tried} >= {"keras-generator", "monai", None}
    for changes in tried:
        Preprocess.model_validate({**settings.model_dump(), **changes})


Make = Callable[..., AuditConfig]


@pytest.fixture
def site(tmp_path: Path) -> Make:
    """A site with six radiographs of 97 x 131, a network with random weights for 40 x 48 pixels,
    and the outputs of its own pipeline, by `load_img` of Keras."""
    keras = pytest.importorskip("keras")
    from PIL import Image

    keras.utils.set_random_seed(3)
    network = keras.Sequential(
        [
            keras.Input((40, 48, 1)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(1, activation="sigmoid", kernel_initializer="random_normal"),
        ]
    )
    kernel = network.layers[0].get_weights()
    network.layers[0].set_weights([20 * kernel[0], kernel[1]])  # edges decide
    head = network.layers[-1].get_weights()
    network.layers[-1].set_weights([20 * head[0], head[1]])
    network.save(tmp_path / "model.keras")
    images = tmp_path / "images"
    images.mkdir()
    rng = np.random.default_rng(0)
    for number in range(6):
        noise = rng.integers(0, 40 * number + 20, (97, 131)) + picture(97, 131) // 9
        Image.fromarray(noise.astype(np.uint8)).save(images / f"{number}.png")

    def make(
        interpolation: str,
        rescale: float = 1 / 255,
        shift: float = 0,
        keep_aspect_ratio: bool = False,
        **settings: Any,
    ) -> AuditConfig:
        lines = [["path", "PNEUMONIA"]]
        for path in sorted(images.iterdir()):
            image = keras.utils.load_img(
                path,
                color_mode="grayscale",
                target_size=(40, 48),
                interpolation=interpolation,
                keep_aspect_ratio=keep_aspect_ratio,
            )
            batch = keras.utils.img_to_array(image)[None] * rescale + shift
            lines.append([path.name, f"{float(network.predict(batch, verbose=0)[0, 0]):.6f}"])
        with (tmp_path / "outputs.csv").open("w", newline="") as file:
            csv.writer(file).writerows(lines)
        shape = {"rows": 40, "columns": 48, "channels": 1, "scaling": "unit"}
        return config_of(
            {
                "run": {"name": "site", "output": str(tmp_path)},
                "ingest": {"source": str(images)},
                "preprocess": {**shape, **settings},
                "classifier": {
                    "path": str(tmp_path / "model.keras"),
                    "class_names": list(CLASSES),
                    "reference_outputs": str(tmp_path / "outputs.csv"),
                },
            }
        )

    return make


def opened(config: AuditConfig) -> tuple[Any, list[CaseSource]]:
    from cxr_audit.audit.networks import open_classifier

    return open_classifier(config)[0], discover(config.ingest.source)


def test_the_right_preset_is_named_and_the_default_refused(site: Make) -> None:
    config = site("nearest")
    explainer, sources = opened(config)
    with pytest.raises(ModelError, match="of 6 cases the largest difference is"):
        production_parity(config, explainer, sources)
    best = try_pipelines(config, explainer, sources)[0]
    assert best.settings["preset"] == "keras-generator"
    assert best.parity.largest_difference < 1e-4
    fixed = site("nearest", preset="keras-generator")
    parity = production_parity(fixed, explainer, sources)
    assert parity is not None
    assert parity.is_within
    assert (parity.num_cases, parity.num_flipped, parity.num_not_compared) == (6, 0, 0)


def test_another_interpolation_of_a_library_is_named(site: Make) -> None:
    config = site("lanczos")
    explainer, sources = opened(config)
    best = try_pipelines(config, explainer, sources)[0]
    assert (best.settings["preset"], best.settings["interpolation"]) == (
        "keras-generator",
        "lanczos",
    )
    assert best.parity.is_within


def test_a_wrong_value_range_is_named(site: Make) -> None:
    """No preset fits until the value range is tried as well."""
    config = site("nearest", rescale=2 / 255, shift=-1)
    explainer, sources = opened(config)
    best = try_pipelines(config, explainer, sources)[0]
    assert (best.settings["preset"], best.settings["scaling"]) == (
        "keras-generator",
        "minus_one_one",
    )
    assert best.parity.is_within


def test_another_aspect_is_named_where_no_preset_fits(site: Make) -> None:
    """The site crops to the aspect of the model input first, as `smart_resize` does."""
    config = site("bilinear", keep_aspect_ratio=True)
    explainer, sources = opened(config)
    best = try_pipelines(config, explainer, sources)[0]
    assert best.parity.is_within
    assert best.settings["resize"] == "crop_resize"


def test_what_is_within_the_tolerance_comes_first() -> None:
    def trial(name: str, largest: float, median: float) -> Trial:
        return Trial({"preset": name}, ProductionParity(9, largest, median, 0, 0.01))

    trials = [trial("a", 0.1, 0.0), trial("b", 0.009, 0.002), trial("c", 0.2, 0.01)]
    trials.append(trial("d", 0.002, 0.001))
    assert [ranked.settings["preset"] for ranked in ranked_trials(trials)] == ["d", "b", "a", "c"]


def test_of_equal_trials_the_one_that_changes_least_comes_first() -> None:
    def trial(largest: float, **settings: str) -> Trial:
        return Trial(settings, ProductionParity(40, largest, 0.0006, 0, 0.01))

    plain = trial(0.00901, preset="keras-image-dataset", resize="stretch")
    finer = trial(0.009, preset="torchvision", interpolation="bilinear", resize="stretch")
    cropped = trial(0.00899, preset="torchxrayvision", resize="crop_resize")
    assert ranked_trials([cropped, finer, plain]) == [plain, finer, cropped]
    assert ranked_trials([plain, cropped], "crop_resize") == [cropped, plain]


def test_outputs_that_do_not_vary_show_nothing(site: Make) -> None:
    config = site("nearest", rescale=0)
    explainer, sources = opened(config)
    shown: list[int] = []
    with pytest.raises(ConfigError, match="hardly vary"):
        try_pipelines(config, explainer, sources, lambda phase, done, total: shown.append(done))
    assert shown == []  # known from the file, before a radiograph is read


def test_without_a_file_parity_is_not_shown(site: Make) -> None:
    config = site("nearest")
    without = config.classifier.model_copy(update={"reference_outputs": None})
    config = config.model_copy(update={"classifier": without})
    assert production_parity(config, None, []) is None  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="names no production outputs"):
        try_pipelines(config, None, [])  # type: ignore[arg-type]

"""Loading: safe, exact about which file, and clear about what cannot be loaded."""

from __future__ import annotations

import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from cxr_audit.classifier import file_sha256, inspect_model, load_keras
from cxr_audit.errors import ModelError

from tests.classifier.models import layers, nested


def error_of(path: Path, sha256: str | None = None) -> ModelError:
    with pytest.raises(ModelError) as caught:
        load_keras(path, sha256)
    assert caught.value.hint
    return caught.value


def test_another_file_than_the_hash_says_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.keras"
    nested().save(path)
    load_keras(path, file_sha256(path).upper())
    assert f"its SHA-256 is {file_sha256(path)}, expected {'0' * 64}" in str(
        error_of(path, "0" * 64)
    )


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_a_lambda_layer_is_refused_and_never_run(tmp_path: Path, suffix: str) -> None:
    trace = str(tmp_path / "ran")
    image = keras.Input((8, 8, 1))
    x = layers.Lambda(lambda t: (open(trace, "w").close(), t * 2)[1])(image)  # noqa: PTH123
    model = keras.Model(image, layers.Dense(1)(layers.Flatten()(layers.Conv2D(1, 3)(x))))
    path = tmp_path / f"m{suffix}"
    model.save(path)
    Path(trace).unlink()  # building the model has run it
    assert "Lambda: code inside a model file is not run" in str(error_of(path))
    assert not Path(trace).exists()
    keras.saving.load_model(path, compile=False, safe_mode=False)
    assert Path(trace).exists()  # what an unsafe loader would have done


def test_an_unknown_layer_class_is_refused(tmp_path: Path) -> None:
    class Strange(keras.layers.Layer):
        def call(self, x):
            return x

    image = keras.Input((8, 8, 1))
    keras.Model(
        image, layers.Dense(1)(layers.Flatten()(Strange()(layers.Conv2D(1, 3)(image))))
    ).save(tmp_path / "m.keras")
    error = error_of(tmp_path / "m.keras")
    assert "Strange" in str(error)
    assert "custom layers" in error.hint


@pytest.mark.parametrize("family", ["InceptionResNetV2", "ConvNeXtTiny"])
def test_own_layers_of_keras_applications_load(tmp_path: Path, family: str) -> None:
    """The `.h5` of a nested InceptionResNetV2 needs CustomScaleLayer, that of a ConvNeXt LayerScale."""
    size = 75 if family == "InceptionResNetV2" else 32
    backbone = getattr(keras.applications, family)(
        weights=None, include_top=False, input_shape=(size, size, 3)
    )
    model = keras.Sequential(
        [backbone, layers.GlobalAveragePooling2D(), layers.Dropout(0.2), layers.Dense(1, "sigmoid")]
    )
    model.build((None, size, size, 3))
    model.save(tmp_path / "m.keras")
    loaded = load_keras(tmp_path / "m.keras")
    x = np.ones((1, size, size, 3), np.float32)
    np.testing.assert_allclose(loaded.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("m.onnx", "an ONNX model"),
        ("m.pt", "a PyTorch model"),
        ("m.tflite", "a TensorFlow Lite model"),
        ("m.pb", "a TensorFlow graph"),
        ("m.weights.h5", "weights without a network"),
        ("m.txt", "no .keras or .h5 file"),
        ("m.keras", "damaged or no Keras model"),
        ("m.h5", "damaged or no Keras model"),
    ],
)
def test_other_formats_say_what_they_are(tmp_path: Path, name: str, expected: str) -> None:
    (tmp_path / name).write_bytes(b"not a model")
    assert expected in str(error_of(tmp_path / name))


def test_a_saved_model_folder_says_how_to_convert(tmp_path: Path) -> None:
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").touch()
    error = error_of(tmp_path / "saved")
    assert "a SavedModel folder" in str(error)
    assert "model.save('classifier.keras')" in error.hint


def test_a_missing_model(tmp_path: Path) -> None:
    assert "no such model" in str(error_of(tmp_path / "none.keras"))


def test_a_truncated_model(tmp_path: Path) -> None:
    nested().save(tmp_path / "m.keras")
    data = (tmp_path / "m.keras").read_bytes()
    (tmp_path / "cut.keras").write_bytes(data[: len(data) // 2])
    assert "damaged" in str(error_of(tmp_path / "cut.keras"))


def test_weights_that_are_missing_inside(tmp_path: Path) -> None:
    nested().save(tmp_path / "m.keras")
    with (
        zipfile.ZipFile(tmp_path / "m.keras") as whole,
        zipfile.ZipFile(tmp_path / "less.keras", "w") as less,
    ):
        for name in ("config.json", "metadata.json"):
            less.writestr(name, whole.read(name))
    assert "cannot load" in str(error_of(tmp_path / "less.keras"))


def test_weights_that_are_not_finite_are_named(tmp_path: Path) -> None:
    model = nested()
    kernel, bias = model.get_layer("output").get_weights()
    kernel[0, 0] = np.nan
    model.get_layer("output").set_weights([kernel, bias])
    model.save(tmp_path / "m.keras")
    assert "output/kernel" in str(error_of(tmp_path / "m.keras"))


def test_inspection_of_a_nested_model(tmp_path: Path) -> None:
    nested().save(tmp_path / "m.keras")
    facts = inspect_model(tmp_path / "m.keras")
    assert facts["input"].startswith("32x32x3")
    assert facts["target_layer"] == "backbone/conv3"
    assert facts["logit_is_sum_of_cells"] is True
    assert facts["output_activation"] == "sigmoid"
    assert facts["sha256"] == file_sha256(tmp_path / "m.keras")
    assert facts["layers"][-1]["grid"] == "8x8"
    # conv1: 3 pixels, step 2; conv2 beside the skip: 3 + 2 * 2 = 7; conv3: 7 + 2 * 2 = 11
    assert [facts["layers"][n]["receptive_field"] for n in (0, -3, -1)] == [
        "3x3 px",
        "7x7 px",
        "11x11 px",
    ]
    (tmp_path / "m.json").write_text('{"sha256": "of another file", "scaling": "txv"}')
    # Another model's card is not believed, and this model does not rescale its input.
    assert inspect_model(tmp_path / "m.keras")["scaling_guess"] is None


def test_pytorch_and_onnx_say_how_to_convert(tmp_path: Path) -> None:
    for name, words in (
        ("m.pt", "cxr-audit import-torchxrayvision"),
        ("m.onnx", "rebuild the network in Keras"),
    ):
        (tmp_path / name).write_bytes(b"x")
        assert words in error_of(tmp_path / name).hint

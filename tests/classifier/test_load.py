"""Loading: safe, exact about which file, and clear about what cannot be loaded."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from cxr_audit.classifier import file_sha256, inspect_model, load_keras
from cxr_audit.classifier.model_file import read_model
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
    assert "'Strange'" in str(error)
    assert "custom layers" in error.hint


@pytest.mark.parametrize("family", ["InceptionResNetV2", "ConvNeXtTiny"])
def test_own_layers_of_keras_applications_load(tmp_path: Path, family: str) -> None:
    """InceptionResNetV2 needs CustomScaleLayer, ConvNeXt needs LayerScale."""
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
        ("m.txt", "is not a .keras or .h5 file"),
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
    assert "save('classifier.h5')" in error.hint


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
    assert "it holds no weights" in str(error_of(tmp_path / "less.keras"))


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
        ("m.onnx", "set classifier.path to it in a config"),
    ):
        (tmp_path / name).write_bytes(b"x")
        assert words in error_of(tmp_path / name).hint


def rewrite(path: Path, **members: bytes) -> Path:
    """A copy of the archive with other members (dots as underscores)."""
    copy = path.with_name("rewritten.keras")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, members.get(name.replace(".", "_"), old.read(name)))
    return copy


@pytest.fixture
def model_path(tmp_path: Path) -> Path:
    nested().save(tmp_path / "m.keras")
    return tmp_path / "m.keras"


def network_of(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("config.json"))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_pipes_and_devices_are_refused_at_once(tmp_path: Path, suffix: str) -> None:
    os.mkfifo(tmp_path / f"m{suffix}")
    assert "is no regular file" in str(error_of(tmp_path / f"m{suffix}"))
    (tmp_path / f"zero{suffix}").symlink_to("/dev/zero")
    assert "is no regular file" in str(error_of(tmp_path / f"zero{suffix}"))


def test_a_network_that_is_too_long_or_too_deep(model_path: Path) -> None:
    long = b'{"class_name": "' + b"x" * 40 * 2**20 + b'"}'
    assert "unpacked it is more than 100 times" in str(
        error_of(rewrite(model_path, config_json=long))
    )
    long = b"{" + os.urandom(33 * 2**20).hex().encode() + b"}"
    assert "a part of it is too large" in str(error_of(rewrite(model_path, config_json=long)))
    deep = b"[" * 100_000 + b"]" * 100_000
    assert "nested too deeply" in str(error_of(rewrite(model_path, config_json=deep)))


def test_weights_that_unpack_to_more_than_a_hundred_times_their_size(model_path: Path) -> None:
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        file.create_dataset("layers/dense/vars/0", (10**5, 10**5), "f4", chunks=(1000, 1000))
    path = rewrite(model_path, model_weights_h5=weights.getvalue())
    assert "unpacked it is more than 100 times" in str(error_of(path))


@pytest.mark.parametrize("kind", ["external", "soft", "external data", "loop"])
def test_links_inside_the_weights_are_refused(model_path: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "secret").write_bytes(b"12345678")
    weights = io.BytesIO()
    with h5py.File(weights, "w") as file:
        group = file.create_group("layers")
        if kind == "external":
            group["a"] = h5py.ExternalLink(str(tmp_path / "secret.h5"), "/")
        elif kind == "soft":
            group["a"] = h5py.SoftLink("/layers/b")
        elif kind == "loop":
            group["a"] = group
        else:
            secret = [(str(tmp_path / "secret"), 0, 8)]
            group.create_dataset("a", (2,), "f4", external=secret)
    message = str(error_of(rewrite(model_path, model_weights_h5=weights.getvalue())))
    assert ("form a loop" if kind == "loop" else "points to other") in message


def test_a_network_may_not_ask_for_more_parameters_than_the_file_holds(model_path: Path) -> None:
    network = network_of(model_path)
    network["config"]["layers"][-1]["config"]["units"] = 10**9
    path = rewrite(model_path, config_json=json.dumps(network).encode())
    assert "parameters, the file holds" in str(error_of(path))


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"module": "os", "class_name": "system"}, "'system' of os, which is no module of Keras"),
        ({"module": "keras.utils", "class_name": "get_file"}, "class 'get_file'"),
        ({"class_name": "StringLookup"}, "class 'StringLookup'"),
        ({"class_name": "__lambda__"}, "holds Lambda"),
        ({"class_name": "function", "config": "get_file"}, "the function 'get_file'"),
        ({"class_name": "function", "config": {}}, "the function '{}'"),
    ],
)
def test_only_keras_own_classes_and_functions_are_looked_up(
    model_path: Path, change: dict[str, Any], expected: str
) -> None:
    network = network_of(model_path)
    network["config"]["layers"][-1].update(change)
    path = rewrite(model_path, config_json=json.dumps(network).encode())
    assert expected in str(error_of(path))


def test_a_quantized_model_is_refused_by_its_name() -> None:
    error = error_of(Path(__file__).with_name("int8.keras"))
    assert "is quantized" in str(error)
    assert "before model.quantize" in error.hint


TRY = """
import importlib.util, os, socket, sys
spec = importlib.util.spec_from_file_location("model_reader", sys.argv[1])
reader = importlib.util.module_from_spec(spec)
spec.loader.exec_module(reader)
filtered = reader._close_process(1000)
def attempt(action):
    try:
        action()
    except OSError:
        return "refused"
    return "done"
def write():
    with open(sys.argv[2], "w"): pass
print(filtered, attempt(write), attempt(lambda: open("/etc/passwd")), attempt(socket.socket),
      attempt(os.fork) if filtered else "refused",
      attempt(lambda: os.execv("/bin/true", ["true"])) if filtered else "refused")
sys.stdout.flush()
os._exit(0)
"""


def test_the_reading_process_can_open_nothing(tmp_path: Path) -> None:
    """No file, no socket; where system calls are filtered no other process and no other program."""
    reader = Path(read_model.__code__.co_filename).with_name("model_reader.py")
    arguments = [sys.executable, "-c", TRY, str(reader), str(tmp_path / "written")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    filtered, *attempts = done.stdout.split()
    assert attempts == ["refused"] * 5
    assert not (tmp_path / "written").exists()
    if sys.platform == "linux" and os.uname().machine == "x86_64":
        assert filtered == "True"


def test_a_loaded_model_is_saved_with_its_own_initializers(model_path: Path) -> None:
    """Parameters are counted while a network is built; nothing of the counting stays in it."""
    model = load_keras(model_path)
    model.save(model_path.with_name("again.keras"))
    model.get_layer("output").kernel_initializer((100, 100))
    assert network_of(model_path)["config"]["layers"][-1]["config"]["units"] == 1
    again = keras.saving.load_model(model_path.with_name("again.keras"))
    x = np.ones((1, 32, 32, 3), np.float32)
    np.testing.assert_array_equal(again(x), model(x))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_compiled_and_trained_model_opens(tmp_path: Path, suffix: str) -> None:
    """Optimizer, loss and metrics are no part of the network, also of a network inside it."""
    inner = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3), keras.layers.GlobalAveragePooling2D()]
    )
    inner.compile("sgd", "mse")
    image = keras.Input((8, 8, 1))
    model = keras.Model(image, keras.layers.Dense(1, activation="sigmoid")(inner(image)))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy", keras.metrics.AUC()])
    x = np.random.default_rng(1).random((4, 8, 8, 1), np.float32)
    model.fit(x, np.asarray([0, 1, 0, 1]), verbose=0)
    path = tmp_path / f"trained{suffix}"
    model.save(path)
    opened = load_keras(path)
    np.testing.assert_allclose(opened.predict(x, verbose=0), model.predict(x, verbose=0), atol=1e-7)

"""Files of Keras 2, and `.h5` files with operators, are read as what they were."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from cxr_audit.classifier import convert, load_keras
from cxr_audit.errors import ModelError

from tests.classifier.models import images, layers

FOLDER = Path(__file__).with_name("keras2")
FILES = sorted((*FOLDER.glob("*.h5"), *FOLDER.glob("*.keras")))


def write_keras_2(
    path: Path, listed: list[dict[str, Any]], weights: dict[str, list[np.ndarray]]
) -> None:
    """An `.h5` as tf.keras 2 wrote it: a network of `listed` layers, the last one its output."""
    network = {
        "name": "model",
        "layers": listed,
        "input_layers": [[listed[0]["name"], 0, 0]],
        "output_layers": [[listed[-1]["name"], 0, 0]],
    }
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": network})
        file.attrs["keras_version"] = "2.9.0"
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [layer["name"].encode() for layer in listed]
        for layer in listed:
            inner = group.create_group(layer["name"])
            arrays = weights.get(layer["name"], [])
            inner.attrs["weight_names"] = [f"weight{n}:0".encode() for n in range(len(arrays))]
            for n, array in enumerate(arrays):
                inner[f"weight{n}:0"] = array


def layer(kind: str, name: str, calls: Any, **config: Any) -> dict[str, Any]:
    config = {"name": name, "trainable": True, "dtype": "float32", **config}
    return {"class_name": kind, "config": config, "name": name, "inbound_nodes": calls}


def after(*names: str) -> list[Any]:
    return [[[name, 0, 0, {}] for name in names]]


def function(name: str, calls: Any, tf_name: str) -> dict[str, Any]:
    return layer("TFOpLambda", name, calls, function=tf_name)


INPUT = {
    "class_name": "InputLayer",
    "config": {
        "batch_input_shape": [None, 32, 32, 3],
        "dtype": "float32",
        "sparse": False,
        "name": "input_1",
    },
    "name": "input_1",
    "inbound_nodes": [],
}


def test_operators_and_slashes_of_keras_2(tmp_path: Path) -> None:
    """relu(2 - x) through a 1x1 convolution, minus itself over 6, mean, dense: by NumPy."""
    rng = np.random.default_rng(0)
    kernel, dense, mean = rng.normal(size=(1, 1, 3, 4)), rng.normal(size=(4, 1)), rng.normal(size=4)
    listed = [
        INPUT,
        function(
            "tf.math.subtract",
            [["_CONSTANT_VALUE", -1, 2.0, {"y": ["input_1", 0, 0], "name": None}]],
            "math.subtract",
        ),
        layer(
            "Conv2D",
            "conv1/conv",
            after("tf.math.subtract"),
            filters=4,
            kernel_size=[1, 1],
            use_bias=False,
        ),
        layer(
            "BatchNormalization",
            "conv1/bn",
            after("conv1/conv"),
            axis=[3],
            epsilon=1e-3,
            center=False,
            scale=False,
        ),
        function("tf.nn.relu", [["conv1/bn", 0, 0, {"name": None}]], "nn.relu"),
        function(
            "tf.math.truediv", [["tf.nn.relu", 0, 0, {"y": 6.0, "name": None}]], "math.truediv"
        ),
        function(
            "tf.add",
            [["tf.nn.relu", 0, 0, {"y": ["tf.math.truediv", 0, 0], "name": None}]],
            "__operators__.add",
        ),
        function("tf.concat", [[["tf.add", 0, 0, {"axis": -1}]]], "concat"),
        function("tf.mean", [["tf.concat", 0, 0, {"axis": [1, 2]}]], "math.reduce_mean"),
        layer("Dense", "dense", after("tf.mean"), units=1, use_bias=False),
    ]
    weights = {"conv1/conv": [kernel], "conv1/bn": [mean, np.full(4, 0.5)], "dense": [dense]}
    write_keras_2(tmp_path / "m.h5", listed, weights)
    x = images(2).astype(np.float64)
    y = np.maximum(((2 - x) @ kernel[0, 0] - mean) / np.sqrt(0.5 + 1e-3), 0)
    expected = (y + y / 6).mean((1, 2)) @ dense
    np.testing.assert_allclose(load_keras(tmp_path / "m.h5")(images(2)), expected, atol=1e-5)


def test_a_sequential_inside_whose_calls_keras_2_counted_from_1(tmp_path: Path) -> None:
    inner = {
        "name": "augmentation",
        "layers": [INPUT, layer("Rescaling", "scale", None, scale=2.0, offset=0.0)],
    }
    listed = [
        INPUT,
        {
            "class_name": "Sequential",
            "config": inner,
            "name": "augmentation",
            "inbound_nodes": after("input_1"),
        },
        layer("GlobalAveragePooling2D", "gap", [[["augmentation", 1, 0, {}]]]),
    ]
    write_keras_2(tmp_path / "m.h5", listed, {})
    np.testing.assert_allclose(
        load_keras(tmp_path / "m.h5")(images(2)), 2 * images(2).mean((1, 2)), atol=1e-6
    )


def test_another_function_is_refused_by_its_name(tmp_path: Path) -> None:
    call = [["input_1", 0, 0, {"name": None}]]
    write_keras_2(tmp_path / "m.h5", [INPUT, function("tf.io.read_file", call, "io.read_file")], {})
    with pytest.raises(ModelError, match=r"calls tf.io.read_file"):
        load_keras(tmp_path / "m.h5")


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_operators_of_keras_3_in_an_h5(tmp_path: Path) -> None:
    """Keras 3.15 reads `Multiply` of two arguments back as its merging layer, and fails."""
    image = keras.Input((32, 32, 3))
    x = keras.ops.mean(keras.ops.relu(layers.Conv2D(4, 3)(image * 2.0) + 3.0) / 6.0, axis=(1, 2))
    model = keras.Model(image, layers.Dense(1)(layers.Add()([x, x])))
    model.save(tmp_path / "m.h5")
    np.testing.assert_allclose(
        load_keras(tmp_path / "m.h5")(images(2)), model(images(2)), atol=1e-6
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_of_keras_2_answer_as_in_keras_2(path: Path) -> None:
    """Written by TensorFlow 2.15 or tf-keras 2.21, with the answers that they gave."""
    with np.load(FOLDER / "answers.npz") as answers:
        expected = answers[path.stem]
        inputs = {2: "unit", 3: "grey"}[len(expected)]
        if path.stem in ("archive", "attention", "tf_keras_f", "tf_keras_s"):
            inputs = "small"
        x = answers[inputs]
    if path.stem == "lambda":
        with pytest.raises(ModelError, match="Lambda: code inside a model file is not run"):
            load_keras(path)
        return
    np.testing.assert_allclose(load_keras(path)(x, training=False), expected, atol=1e-4)


def test_arguments_that_are_not_read_are_named(tmp_path: Path) -> None:
    """An argument that changes the result is never dropped in silence."""
    call = [["input_1", 0, 0, {"size": [8, 8], "preserve_aspect_ratio": True}]]
    write_keras_2(tmp_path / "m.h5", [INPUT, function("tf.resize", call, "image.resize")], {})
    with pytest.raises(ModelError, match=r"tf.image.resize with preserve_aspect_ratio=True"):
        load_keras(tmp_path / "m.h5")


def test_preprocess_input_of_resnet50(tmp_path: Path) -> None:
    """Channels reversed, the mean of each channel taken away: by NumPy."""
    key = [{"class_name": "__ellipsis__"}, {"start": None, "stop": None, "step": -1}]
    sliced = layer(
        "SlicingOpLambda",
        "tf.getitem",
        [["input_1", 0, 0, {"slice_spec": key}]],
        function="__operators__.getitem",
    )
    mean = [-103.939, -116.779, -123.68]
    biased = [["tf.getitem", 0, 0, {"bias": mean, "data_format": "NHWC", "name": None}]]
    listed = [
        INPUT,
        sliced,
        function("tf.nn.bias_add", biased, "nn.bias_add"),
        layer("GlobalAveragePooling2D", "gap", after("tf.nn.bias_add")),
    ]
    write_keras_2(tmp_path / "m.h5", listed, {})
    expected = (images(2)[..., ::-1] + np.asarray(mean)).mean((1, 2))
    np.testing.assert_allclose(load_keras(tmp_path / "m.h5")(images(2)), expected, atol=1e-4)


def test_convert_reads_an_h5_of_keras_2_itself(tmp_path: Path) -> None:
    listed = [INPUT, layer("GlobalAveragePooling2D", "gap", after("input_1"))]
    write_keras_2(tmp_path / "m.h5", listed, {})
    convert(tmp_path / "m.h5", tmp_path / "m.keras")
    np.testing.assert_allclose(
        load_keras(tmp_path / "m.keras")(images(2)), images(2).mean((1, 2)), atol=1e-6
    )


def test_convert_refuses_by_name(tmp_path: Path) -> None:
    def error_of(old: Path, new: str = "new.keras") -> ModelError:
        with pytest.raises(ModelError) as caught:
            convert(old, tmp_path / new)
        assert caught.value.hint
        return caught.value

    assert "has not the suffix .keras" in str(error_of(tmp_path / "m.h5", "new.h5"))
    assert "is a folder" in str(error_of(tmp_path))
    (tmp_path / "keras_metadata.pb").write_bytes(b'{"class_name": "\\u004cambda", "config": {}}')
    assert "is a SavedModel folder" in str(error_of(tmp_path))
    assert "save('classifier.h5')" in error_of(tmp_path).hint
    assert not (tmp_path / "new.keras").exists()

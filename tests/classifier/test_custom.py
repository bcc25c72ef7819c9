"""Layers of a package that the config names and pins, and one of several outputs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest
from cxr_audit.classifier import Classifier, Package, check_parity, described, load_keras
from cxr_audit.classifier.custom import package_sha256
from cxr_audit.errors import ModelError

from tests.classifier.models import images, layers, nested, small_backbone

LAYERS = """
import keras

@keras.saving.register_keras_serializable("ward")
class Twice(keras.layers.Layer):
    def call(self, x):
        return 2 * x
"""
SHAPE = (32, 32, 3)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package with one layer, importable in this test alone."""
    name = f"ward_layers_{tmp_path.name.replace('-', '_')}"
    folder = tmp_path / "site" / name
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(LAYERS)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    yield name
    sys.modules.pop(name, None)
    keras.saving.get_custom_objects().pop("ward>Twice", None)


@pytest.fixture
def model_file(package: str, tmp_path: Path) -> Path:
    """A model with that layer, written while it was registered; then it is forgotten."""
    twice = __import__(package).Twice
    backbone = small_backbone()
    x = layers.GlobalAveragePooling2D()(twice()(backbone.output))
    keras.Model(backbone.input, layers.Dense(1, "sigmoid")(x)).save(tmp_path / "model.keras")
    sys.modules.pop(package)
    keras.saving.get_custom_objects().pop("ward>Twice")
    return tmp_path / "model.keras"


def test_a_custom_layer_is_refused_unless_its_package_is_named(model_file: Path) -> None:
    with pytest.raises(ModelError, match="Twice") as caught:
        load_keras(model_file)
    assert "classifier.custom_objects" in str(caught.value.hint)


@pytest.mark.parametrize("stated", [None, "0" * 64])
def test_a_package_without_its_hash_is_not_imported(
    model_file: Path, package: str, stated: str | None
) -> None:
    with pytest.raises(ModelError, match=package_sha256(package)) as caught:
        load_keras(model_file, packages=[Package(package, stated)])
    assert "its code will run" in str(caught.value.hint)
    assert package not in sys.modules


def test_a_pinned_package_opens_the_model_and_is_named(model_file: Path, package: str) -> None:
    pinned = Package(package, package_sha256(package))
    model = load_keras(model_file, packages=[pinned])
    parity = check_parity(Classifier(model, SHAPE), images(3))
    assert parity.largest_output_difference <= 1e-6
    assert pinned.sha256 is not None
    assert described(pinned) == f"{package}, SHA-256 {pinned.sha256}"


def test_another_byte_in_the_package_is_another_package(package: str, tmp_path: Path) -> None:
    before = package_sha256(package)
    file = tmp_path / "site" / package / "__init__.py"
    file.write_text(LAYERS + "\n")
    assert package_sha256(package) != before


def test_a_named_package_opens_no_lambda(package: str, tmp_path: Path) -> None:
    image = keras.Input(SHAPE)
    doubled = layers.Lambda(lambda x: 2 * x)(image)
    logit = layers.Dense(1)(layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(doubled)))
    keras.Model(image, logit).save(tmp_path / "lambda.keras")
    pinned = Package(package, package_sha256(package))
    with pytest.raises(ModelError, match="Lambda"):
        load_keras(tmp_path / "lambda.keras", packages=[pinned])


def test_a_package_that_is_not_there_or_registers_nothing() -> None:
    with pytest.raises(ModelError, match="not installed"):
        load_keras(Path(__file__).parent / "int8.keras", packages=[Package("no_such_ward", None)])
    colours = Package("colorsys", package_sha256("colorsys"))
    with pytest.raises(ModelError, match="registers no class"):
        load_keras(Path(__file__).parent / "int8.keras", packages=[colours])


def several() -> keras.Model:
    backbone = small_backbone()
    pooled = layers.GlobalAveragePooling2D()(backbone.output)
    age = layers.Dense(1, name="age")(pooled)
    ill = layers.Dense(1, "sigmoid", name="pneumonia")(pooled)
    view = layers.Dense(3, "softmax", name="view")(pooled)
    return keras.Model(backbone.input, [age, ill, view])


def test_one_of_several_outputs_is_chosen_by_name() -> None:
    model = several()
    batch = images(3)
    for name, units in (("pneumonia", 1), ("view", 3)):
        classifier = Classifier(model, SHAPE, output_name=name)
        assert classifier.num_units == units
        assert check_parity(classifier, batch).largest_output_difference <= 1e-6
        logits = classifier.split().forward(batch, None)[2]
        expected = model.predict(batch, verbose=0)[["age", "pneumonia", "view"].index(name)]
        scores = np.stack([classifier.scores(values) for values in logits])
        np.testing.assert_allclose(scores[:, -1], expected[:, -1], atol=1e-6)


def test_outputs_of_a_dictionary_are_found_by_their_layers() -> None:
    pooled = several()
    model = keras.Model(
        pooled.inputs, {"z": pooled.outputs[1], "a": pooled.outputs[2], "m": pooled.outputs[0]}
    )
    classifier = Classifier(model, SHAPE, output_name="pneumonia")
    assert classifier.num_units == 1
    assert check_parity(classifier, images(3)).largest_output_difference <= 1e-6


def test_an_output_has_to_be_chosen_and_known() -> None:
    with pytest.raises(ModelError, match=r"3 outputs \(age, pneumonia, view\)") as caught:
        Classifier(several(), SHAPE)
    assert "classifier.output_name" in str(caught.value.hint)
    with pytest.raises(ModelError, match="no single output 'pneumonya'"):
        Classifier(several(), SHAPE, output_name="pneumonya")
    with pytest.raises(ModelError, match="no single output"):
        Classifier(nested(), SHAPE, output_name="age")

"""`preprocess.model`: a Keras file in front of the classifier, audited with it as one function."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from cxr_audit.audit.networks import open_classifier
from cxr_audit.classifier import Classifier, check_parity, file_sha256
from cxr_audit.classifier.graph import run
from cxr_audit.config import config_of
from cxr_audit.errors import ModelError
from cxr_audit.explain import Explainer
from cxr_audit.trust.randomisation import untrained

from tests.classifier.models import images, layers, nested

SHAPE = (32, 32, 1)
ops = keras.ops


def front_of(*steps: Any) -> keras.Model:
    image = x = keras.Input(SHAPE)
    for step in steps:
        x = step(x)
    return keras.Model(image, x, name="front")


def pixelwise() -> keras.Model:
    """Grey values squared and scaled, then three channels by 1 x 1 weights."""
    colours = layers.Conv2D(3, 1, kernel_initializer="ones", name="colours")
    return front_of(ops.square, layers.Rescaling(2.0, -1.0), colours)


def test_front_and_classifier_are_one_function() -> None:
    model, front = nested(), pixelwise()
    classifier = Classifier(model, SHAPE, front=front)
    batch = images(4, SHAPE)
    assert classifier.input_shape == SHAPE
    parity = check_parity(classifier, batch)
    assert parity.largest_output_difference <= 1e-6
    graph = classifier.graph
    logits = np.asarray(run(graph.steps, {graph.input: batch})[graph.output])[:, 0]
    expected = model.predict(np.repeat(2 * batch**2 - 1, 3, -1), verbose=0)[:, 0]
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), expected, atol=1e-6)


def test_the_target_layer_and_the_map_are_those_of_the_classifier() -> None:
    model, front = nested(), pixelwise()
    batch = images(2, SHAPE)
    with_front = Explainer(Classifier(model, SHAPE, front=front))
    alone = Explainer(Classifier(model, (32, 32, 3)))
    assert with_front.target.layer.name == alone.target.layer.name == "backbone/conv3"
    assert with_front.target.layer.geometry == alone.target.layer.geometry
    assert "preprocess/colours" not in {c.name for c in with_front.classifier.candidates}
    prepared = np.asarray(front(batch))
    for (ours,), (theirs,) in zip(
        with_front.explain(batch, [None] * 2).maps,
        alone.explain(prepared, [None] * 2).maps,
        strict=True,
    ):
        np.testing.assert_allclose(ours.values, theirs.values, atol=1e-6)


def test_its_weights_are_not_learned_ones_and_stay() -> None:
    classifier = Classifier(nested(), SHAPE, front=pixelwise())
    fresh = untrained(classifier, 0)
    named = {id(step.operation): step.name for step in classifier.graph.steps}
    assert fresh
    assert not any(named[key].startswith("preprocess/") for key in fresh)


REFUSED: dict[str, tuple[Any, str]] = {
    "resized": (layers.Resizing(16, 16), "moves or resizes the image"),
    "cropped": (layers.Cropping2D(2), "moves or resizes the image"),
    "flipped": (lambda x: ops.flip(x, 2), "moves or resizes the image"),
    "transposed": (layers.Permute((2, 1, 3)), "moves or resizes the image"),
    "mixed": (lambda x: ops.reshape(x, (-1, 1, 1024, 1)), "moves or resizes|cannot be followed"),
    "rolled": (lambda x: ops.roll(x, 3, 1), "cannot be followed"),
    "no image": (layers.Flatten(), "expected an image"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_moves_pixels_is_refused_by_name(name: str) -> None:
    step, reason = REFUSED[name]
    front = front_of(step)
    image = keras.Input(front.output_shape[1:])
    x = image if len(image.shape) == 4 else layers.Reshape(SHAPE)(image)
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 1)(x))
    model = keras.Model(image, layers.Dense(1, "sigmoid")(x))
    with pytest.raises(ModelError, match=reason):
        Classifier(model, SHAPE, front=front)


def test_a_front_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ModelError, match=r"preprocess\.model gives \(32, 32, 1\)"):
        Classifier(nested(), SHAPE, front=front_of(ops.square))


@pytest.fixture
def opened(tmp_path: Path) -> dict[str, Any]:
    nested().save(tmp_path / "model.keras")
    pixelwise().save(tmp_path / "front.keras")
    return {
        "run": {"name": "a", "output": str(tmp_path)},
        "ingest": {"source": "reference"},
        "preprocess": {
            "rows": 32,
            "columns": 32,
            "channels": 1,
            "scaling": "unit",
            "model": str(tmp_path / "front.keras"),
        },
        "classifier": {"path": str(tmp_path / "model.keras")},
    }


def test_a_config_names_it_and_the_record_has_its_hash(opened: dict[str, Any]) -> None:
    explainer, facts = open_classifier(config_of(opened))
    digest = file_sha256(Path(opened["preprocess"]["model"]))
    assert facts.parts.preprocess_sha256 == digest
    assert facts.input_shape == SHAPE
    assert explainer.classifier.front is not None
    opened["preprocess"]["model_sha256"] = digest
    open_classifier(config_of(opened))
    opened["preprocess"]["model_sha256"] = "0" * 64
    with pytest.raises(ModelError, match=digest):
        open_classifier(config_of(opened))


def test_it_is_loaded_in_safe_mode(opened: dict[str, Any]) -> None:
    front_of(layers.Lambda(lambda x: x)).save(opened["preprocess"]["model"])
    with pytest.raises(ModelError, match="Lambda"):
        open_classifier(config_of(opened))

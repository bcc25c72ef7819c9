"""Forward passes in ONNX Runtime: as TensorFlow answers, or refused."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from cxr_audit.classifier import Classifier, OnnxRuntime, Split
from cxr_audit.errors import ModelError
from cxr_audit.explain import Explainer
from cxr_audit.trust.runtime import check_runtime

from tests.classifier.models import images, layers, nested

SHAPE = (32, 32, 3)
METHODS = ("grad-cam", "hirescam", "integrated-gradients")


def with_runtime(model: keras.Model, runtime: OnnxRuntime | None = None) -> Classifier:
    classifier = Classifier(model, SHAPE)
    classifier.runtime = runtime or OnnxRuntime()
    return classifier


def with_a_branch_around_the_last_grid() -> keras.Model:
    """Its head needs a value that was made before the target layer."""
    image = keras.Input(SHAPE)
    first = layers.Conv2D(4, 3, 4, activation="relu")(image)
    around = layers.Dense(3)(layers.GlobalAveragePooling2D()(first))
    last = layers.GlobalAveragePooling2D()(layers.Conv2D(5, 3, activation="relu")(first))
    return keras.Model(image, layers.Dense(2)(layers.Concatenate()([last, around])))


MODELS = {head: lambda head=head: nested(head=head) for head in ("gap", "flatten", "mlp")}
MODELS["branch"] = with_a_branch_around_the_last_grid


@pytest.mark.parametrize("name", MODELS)
def test_logits_and_maps_are_those_of_tensorflow(name: str) -> None:
    classifier = with_runtime(MODELS[name]())
    batch = images(5)
    expected = Explainer(classifier.in_tensorflow(), METHODS).explain(batch, [None] * 5)
    found = Explainer(classifier, METHODS).explain(batch, [None] * 5)
    np.testing.assert_allclose(found.logits, expected.logits, rtol=1e-5, atol=1e-5)
    for ours, theirs in zip(found.maps, expected.maps, strict=True):
        for mine, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine.values, other.values, rtol=1e-4, atol=1e-5)
    figures = check_runtime(Explainer(classifier, METHODS[:1]), batch, 4)
    assert figures is not None
    assert figures.num_inputs == 5
    assert figures.runtime.startswith("onnxruntime ")
    assert figures.largest_logit_difference <= 1e-5
    assert figures.lowest_map_correlation is not None
    assert figures.lowest_map_correlation >= 0.9999


def test_the_closed_form_needs_no_gradient_of_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    explainer = Explainer(with_runtime(nested()))
    batch = images(3)
    explainer.explain(batch, [None] * 3)  # exports, and finds the bias of the head

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("TensorFlow was asked")

    monkeypatch.setattr(tf, "constant", refuse)
    monkeypatch.setattr(tf, "GradientTape", refuse)
    assert explainer.explain(batch, [None] * 3).maps[0][0].facts.is_exact


class Shifted(OnnxRuntime):
    """Wrong on purpose: logits by 0.01."""

    def forward(self, split: Split, batch: Any) -> Any:
        features, sides, logits = super().forward(split, batch)
        return features, sides, logits + np.float32(0.01)


class Upturned(OnnxRuntime):
    """Wrong on purpose: cells upside down."""

    def forward(self, split: Split, batch: Any) -> Any:
        features, sides, logits = super().forward(split, batch)
        return features[:, ::-1], sides, logits


@pytest.mark.parametrize(("kind", "what"), [(Shifted, "0.01"), (Upturned, "rank correlation")])
def test_a_runtime_that_answers_otherwise_is_refused(kind: type[OnnxRuntime], what: str) -> None:
    explainer = Explainer(with_runtime(nested(), kind()))
    with pytest.raises(ModelError, match="does not answer as TensorFlow does") as refused:
        check_runtime(explainer, images(4), 4)
    assert what in str(refused.value)


def test_untrained_weights_are_never_asked_of_an_export_of_the_trained_ones() -> None:
    classifier = with_runtime(nested())
    assert classifier.exchanged({}).runtime is None
    assert classifier.in_tensorflow().runtime is None
    assert classifier.runtime is not None

"""Kinds of models that programs write: each opens, answers as its file does, and has a map."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from cxr_audit.classifier import Classifier, _choose_backend, check_parity, load_keras
from cxr_audit.errors import ModelError
from cxr_audit.explain import Explainer

from tests.classifier.models import images, layers, nested

ZOO = Path(__file__).parent / "zoo"
ASKED = {"cast_p", "clip_p", "multi14_logits", "norm_sum1", "prob_model", "rescale_p", "softmax1"}
NAMES = sorted(path.stem for path in ZOO.glob("*.keras") if path.stem not in ASKED)


@pytest.mark.parametrize("name", NAMES)
def test_every_file_of_the_zoo_answers_as_it_did_and_has_a_map(name: str) -> None:
    """A softmax layer on top, RandomCrop, branches, tokens, permutations, operations. The others,
    whose output has to be stated first, are in `test_parity`.
    """
    model = load_keras(ZOO / f"{name}.keras")
    shape = tuple(model.input_shape[1:])
    classifier = Classifier(model, shape)
    batch = images(2, shape)
    assert check_parity(classifier, batch).largest_output_difference <= 1e-5
    explainer = Explainer(classifier)
    for first, *_ in explainer.explain(batch, [None, None]).maps:
        assert first.facts.status in ("ok", "negative_only", "dead")
        assert first.facts.geometry is not None
        assert (first.facts.grid_rows, first.facts.grid_columns) == explainer.target.layer.grid


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_from_a_file_is_within_its_rounding(policy: str, tmp_path: Path) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        nested().save(tmp_path / "mixed.keras")
    finally:
        keras.config.set_dtype_policy(before)
    classifier = Classifier(load_keras(tmp_path / "mixed.keras"), (32, 32, 3))
    parity = check_parity(classifier, images(4))
    assert parity.largest_output_difference <= parity.tolerance
    assert parity.tolerance == {"mixed_float16": 2.0**-11, "mixed_bfloat16": 2.0**-8}[policy]
    (case,) = Explainer(classifier).explain(images(1), [None]).maps
    assert not case[0].facts.is_exact


def test_patches_in_time_open_and_are_explained_at_the_layer_in_front() -> None:
    image = keras.Input((16, 16, 1))
    x = layers.Conv2D(2, 3, padding="same", name="before")(image)
    x = layers.TimeDistributed(layers.Conv2D(2, 3))(layers.Reshape((2, 8, 16, 2))(x))
    x = layers.GlobalAveragePooling1D()(layers.Reshape((-1, 2))(x))
    model = keras.Model(image, layers.Dense(1, "sigmoid")(x))
    explainer = Explainer(Classifier(model, (16, 16, 1)))
    batch = images(2, (16, 16, 1))
    assert check_parity(explainer.classifier, batch).largest_output_difference <= 1e-6
    assert explainer.target.layer.name == "before"
    assert explainer.methods == ("token-integrated-gradients",)
    result = explainer.explain(batch, [None, None])
    for n, (first,) in enumerate(result.maps):
        total = first.facts.bias + first.values.sum(dtype=np.float64)
        assert total == pytest.approx(result.logits[n, 0], abs=1e-4)  # everything here is affine


def test_a_recurrent_head_is_explained_by_the_path_from_a_baseline() -> None:
    """Cells as a sequence: one gradient at the layer in front says little."""
    image = keras.Input((16, 16, 1))
    x = layers.Reshape((-1, 4))(layers.Conv2D(4, 4, 4, name="cells")(image))
    model = keras.Model(image, layers.Dense(1, "sigmoid")(layers.LSTM(3)(x)))
    explainer = Explainer(Classifier(model, (16, 16, 1)))
    assert explainer.target.layer.name == "cells"
    assert explainer.methods == ("token-integrated-gradients",)


def imported(backend: str) -> subprocess.CompletedProcess[str]:
    code = "import cxr_audit.classifier, keras; print(keras.config.backend())"
    environment = os.environ | {"KERAS_BACKEND": backend}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=False
    )


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_keras_runs_on_tensorflow_whatever_the_environment_says(backend: str) -> None:
    done = imported(backend)
    assert done.stdout.strip() == "tensorflow", done.stderr


def test_a_process_that_has_keras_on_another_backend_is_told_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(keras.config, "backend", lambda: "jax")
    with pytest.raises(ModelError, match="Keras runs on jax in this process") as caught:
        _choose_backend()
    assert "KERAS_BACKEND=tensorflow" in str(caught.value.hint)

"""A model that does not say its value range: what one radiograph shows of it."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from cxr_audit.classifier import Classifier, try_value_ranges
from cxr_audit.classifier.value_range import Tried
from cxr_audit.preprocess import SCALINGS

from benchmarks.value_range import SIZE, greys, in_range
from tests.classifier.models import layers


def network(with_statistics: bool = True, scale: float = 1.0) -> keras.Model:
    keras.utils.set_random_seed(1)
    image = keras.Input((SIZE, SIZE, 3))
    x = layers.Conv2D(8, 3, 2, name="conv")(image)
    if with_statistics:
        x = layers.BatchNormalization(name="norm")(x)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    head = keras.initializers.RandomNormal(0, scale, seed=1) if scale else "zeros"
    return keras.Model(image, layers.Dense(1, "sigmoid", kernel_initializer=head)(x))


def tried(model: keras.Model, grey: np.ndarray) -> Tried:
    inputs = {name: in_range(grey, name) for name in SCALINGS}
    return try_value_ranges(Classifier(model, (SIZE, SIZE, 3)), inputs)


@pytest.mark.parametrize("scaling", ["unit", "minus_one_one", "imagenet", "caffe", "raw_255"])
def test_the_range_that_fits_the_statistics_of_the_training_is_chosen(scaling: str) -> None:
    """The statistics are those of 16 phantoms, set by hand; four other phantoms are asked."""
    model = network()
    inputs = np.stack([in_range(grey, scaling) for grey in greys(501, 516)[0]])
    features = np.asarray(model.get_layer("conv")(inputs)).reshape(-1, 8)
    model.get_layer("norm").moving_mean.assign(features.mean(0))
    model.get_layer("norm").moving_variance.assign(features.var(0))
    for grey in greys(601, 604)[0]:
        result = tried(model, grey)
        assert result.scaling == scaling
        assert "statistics of the training in 'norm'" in result.reason
        assert set(result.outputs) == set(SCALINGS)


def test_without_statistics_nothing_is_chosen_and_the_answers_are_told() -> None:
    result = tried(network(with_statistics=False), greys(601, 601)[0][0])
    assert result.scaling is None
    assert "no batch normalisation" in result.reason
    assert "raw_255" in result.reason


def test_statistics_that_fit_no_range_choose_none() -> None:
    model = network()
    model.get_layer("norm").moving_variance.assign(np.full(8, 1e-6))
    result = tried(model, greys(601, 601)[0][0])
    assert result.scaling is None
    assert "no value range stands out" in result.reason


def test_where_every_range_has_the_same_answer_the_choice_does_not_matter() -> None:
    result = tried(network(scale=0.0), greys(601, 601)[0][0])
    assert result.scaling == "unit"
    assert "every value range gives the same answer" in result.reason

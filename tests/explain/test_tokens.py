"""Transformers: the map lies on a proven grid, adds up to the logit, and beats the controls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from cxr_audit.classifier import Classifier
from cxr_audit.errors import ModelError
from cxr_audit.explain import Explainer, Probing
from cxr_audit.explain.controls import CONTROLS, generator
from cxr_audit.explain.probing import baseline
from cxr_audit.trust import faithfulness

from tests.classifier.models import images, layers

ops = keras.ops
SHAPE = (32, 48, 3)
PATCH = 8
GRID = (4, 6)
WIDTH = 12
# Without it black is 0, where a layer normalisation has no gradient to integrate.
BIAS: Any = keras.initializers.RandomNormal(0, 1, seed=2)


class Columnwise(keras.layers.Layer):
    """Patches numbered down the columns, behind a class token and in front of a register, embedded
    in a layer of its own: no rule of `receptive` follows it.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.embed = layers.Dense(WIDTH, bias_initializer=BIAS)

    def build(self, shape: Any) -> None:
        self.embed.build((None, None, PATCH * PATCH * shape[-1]))
        self.others = self.add_weight((1, 2, WIDTH), "random_normal")
        self.places = self.add_weight((1, 24, WIDTH), "random_normal")

    def call(self, x: Any) -> Any:
        patches = ops.image.extract_patches(x, PATCH)
        patches = ops.transpose(patches, (0, 2, 1, 3))
        tokens = self.embed(ops.reshape(patches, (-1, 24, PATCH * PATCH * x.shape[-1])))
        others = ops.repeat(self.others, ops.shape(x)[0], 0)
        return ops.concatenate([others[:, :1], tokens + self.places, others[:, 1:]], 1)


def blocks(x: Any, num: int = 2) -> Any:
    for _ in range(num):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(2, 6)(y, y)])
        y = layers.Dense(24, "gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(WIDTH)(y)])
    return layers.LayerNormalization()(x)


def pooled(tokens: Any) -> Any:
    return layers.GlobalAveragePooling1D()(blocks(tokens))


def vit(image: Any) -> Any:
    x = layers.Conv2D(WIDTH, PATCH, PATCH, bias_initializer=BIAS, name="patches")(image)
    return pooled(layers.Reshape((-1, WIDTH))(x))


def extracted(image: Any) -> Any:
    patches = ops.image.extract_patches(image, PATCH)
    tokens = layers.Reshape((24, -1))(patches)
    return pooled(layers.Dense(WIDTH, bias_initializer=BIAS)(tokens))


def with_class_token(image: Any) -> Any:
    return blocks(Columnwise(name="patches")(image))[:, 0]


def windows(x: Any) -> Any:
    """Attention within windows of 2 x 2 cells, as Swin does it: the windows join the batch."""
    y = layers.LayerNormalization()(x)
    y = ops.transpose(ops.reshape(y, (-1, 2, 2, 3, 2, WIDTH)), (0, 1, 3, 2, 4, 5))
    y = ops.reshape(y, (-1, 4, WIDTH))
    y = layers.MultiHeadAttention(2, 6)(y, y)
    y = ops.transpose(ops.reshape(y, (-1, 2, 3, 2, 2, WIDTH)), (0, 1, 3, 2, 4, 5))
    return layers.Add()([x, ops.reshape(y, (-1, *GRID, WIDTH))])


def swin(image: Any) -> Any:
    x = layers.Conv2D(WIDTH, PATCH, PATCH, bias_initializer=BIAS, name="patches")(image)
    x = windows(x)
    x = ops.roll(windows(ops.roll(x, (-1, -1), (1, 2))), (1, 1), (1, 2))
    return layers.GlobalAveragePooling2D()(layers.Dense(WIDTH)(layers.LayerNormalization()(x)))


def hybrid(image: Any) -> Any:
    x = layers.Conv2D(WIDTH, 2, 2, activation="relu")(image)
    x = layers.Conv2D(WIDTH, 4, 4, bias_initializer=BIAS, name="patches")(x)
    x = layers.BatchNormalization()(x)
    return pooled(layers.Reshape((-1, WIDTH))(x))


def mobile(image: Any) -> Any:
    """MobileViT: convolutions, tokens, back to cells, joined with what came in."""
    x = layers.Conv2D(WIDTH, PATCH, PATCH, bias_initializer=BIAS, name="patches")(image)
    y = layers.Reshape((*GRID, WIDTH))(blocks(layers.Reshape((-1, WIDTH))(x)))
    x = layers.Conv2D(WIDTH, 1)(layers.Concatenate()([x, y]))
    return layers.GlobalAveragePooling2D()(x)


TRANSFORMERS: dict[str, Callable[[Any], Any]] = {
    "ViT": vit,
    "ViT of extracted patches": extracted,
    "ViT with a class token in a foreign layer": with_class_token,
    "Swin": swin,
    "hybrid": hybrid,
    "MobileViT": mobile,
}


def classifier_of(build: Callable[[Any], Any], shape: tuple[int, int, int] = SHAPE) -> Classifier:
    keras.utils.set_random_seed(3)
    image = keras.Input(shape)
    logit = layers.Dense(1, "sigmoid", kernel_initializer="random_normal")(build(image))
    return Classifier(keras.Model(image, logit), shape)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_cue_of_one_pixel_is_found_in_its_patch_and_nowhere_else(name: str) -> None:
    """Only the patch of the pixel differs from the black baseline: every other cell is 0."""
    classifier = classifier_of(TRANSFORMERS[name])
    explainer = Explainer(classifier)
    assert explainer.methods == ("token-integrated-gradients",)
    assert explainer.target.layer.grid == GRID
    assert explainer.target.layer.geometry.rows.jump == PATCH
    rng = np.random.default_rng(1)
    at = np.stack([rng.integers(0, SHAPE[0], 12), rng.integers(0, SHAPE[1], 12)], 1)
    inputs = np.zeros((12, *SHAPE), np.float32)
    inputs[np.arange(12), at[:, 0], at[:, 1]] = 3
    maps = explainer.explain(inputs, [None] * 12).maps
    num_seen = 0
    for (row, column), (first,) in zip(at, maps, strict=True):
        lit = np.argwhere(np.abs(first.values) > 1e-6 * np.abs(first.values).max())
        if first.facts.status == "dead":  # a ReLU in front of the tokens
            continue
        assert lit.tolist() == [[row // PATCH, column // PATCH]]
        num_seen += 1
    assert num_seen >= 6


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_map_and_bias_are_the_logit_and_the_bias_is_that_of_the_baseline(name: str) -> None:
    classifier = classifier_of(TRANSFORMERS[name])
    batch = images(2, SHAPE)
    result = Explainer(classifier).explain(batch, [None, None])
    black = classifier.model.predict(np.zeros((1, *SHAPE)), verbose=0)[0, 0]
    for n, (first,) in enumerate(result.maps):
        facts = first.facts
        assert facts.bias == pytest.approx(np.log(black / (1 - black)), abs=1e-5)
        total = facts.bias + first.values.sum(dtype=np.float64)
        assert total == pytest.approx(result.logits[n, 0], abs=2e-3)
        assert not facts.is_exact


@pytest.mark.parametrize("name", ["ViT", "ViT of extracted patches", "Swin"])
def test_tokens_that_are_affine_in_their_patch_have_what_its_pixels_have(name: str) -> None:
    """By the chain rule, integrated gradients of the pixels, summed over a patch, are those of its
    token: another function of this project computes them, over cells of 8 x 8 pixels.
    """
    classifier = classifier_of(TRANSFORMERS[name])
    methods = ("token-integrated-gradients", "integrated-gradients")
    result = Explainer(classifier, methods).explain(images(2, SHAPE), [None, None])
    for tokens, pixels in result.maps:
        np.testing.assert_allclose(tokens.values, pixels.values, atol=1e-5)


def test_behind_attention_tokens_are_no_grid_and_are_refused_by_name() -> None:
    classifier = classifier_of(vit)
    names = [step.name for step, shape in classifier.shapes if shape == (None, 24, WIDTH)]
    for name in names:
        with pytest.raises(ModelError, match=r"has no grid|is not known") as caught:
            classifier.split(name)
        assert "patches" in str(caught.value.hint)


class Mixed(keras.layers.Layer):
    """Tokens of which each sees two rows of patches."""

    def call(self, x: Any) -> Any:
        patches = ops.image.extract_patches(x, PATCH)
        return ops.reshape(patches + ops.flip(patches, 1), (-1, 24, PATCH * PATCH * x.shape[-1]))


def test_tokens_that_see_places_apart_are_no_grid() -> None:
    classifier = classifier_of(lambda image: pooled(layers.Dense(WIDTH)(Mixed()(image))))
    with pytest.raises(ModelError, match=r"\(Mixed\) cannot be followed"):
        classifier.split()


@pytest.fixture(scope="module")
def trained() -> tuple[Classifier, np.ndarray]:
    """A ViT that has learned whether there is a bright spot among dark ones, which have the same
    edges, and images with one.
    """
    keras.utils.set_random_seed(0)
    shape = (48, 48, 1)
    rng = np.random.default_rng(0)

    def draw(num: int) -> tuple[np.ndarray, np.ndarray]:
        x = rng.normal(0.5, 0.05, (num, *shape))
        has_spot = rng.random(num) < 0.5
        for n, is_bright in enumerate(has_spot):
            for height in (0.5 if is_bright else -0.5, -0.5, -0.5):
                row, column = rng.integers(0, 45, 2)
                x[n, row : row + 4, column : column + 4] = 0.5 + height
        return x.astype(np.float32), has_spot.astype(np.float32)

    def build(image: Any) -> Any:
        tokens = layers.Reshape((-1, WIDTH))(layers.Conv2D(WIDTH, PATCH, PATCH)(image))
        return layers.GlobalMaxPooling1D()(blocks(tokens, 1))

    classifier = classifier_of(build, shape)
    model = classifier.model
    model.compile(keras.optimizers.Adam(1e-3), "binary_crossentropy")
    model.fit(*draw(2048), batch_size=64, epochs=10, verbose=0)
    x, has_spot = draw(64)
    probability = model.predict(x, verbose=0)[:, 0]
    assert ((probability > 0.5) == has_spot).mean() > 0.9
    return classifier, x[(has_spot == 1) & (probability > 0.5)][:24]


def test_the_map_of_a_trained_transformer_is_more_faithful_than_the_controls(
    trained: tuple[Classifier, np.ndarray],
) -> None:
    """Deletion, insertion and ROAD: above chance by two standard errors, and above the controls."""
    classifier, x = trained
    explainer = Explainer(classifier, probing=Probing(baseline="mean"))
    layer = explainer.target.layer
    maps = [case[0] for case in explainer.explain(x, [None] * len(x)).maps]
    gains: dict[str, list[list[float]]] = {"map": []} | {name: [] for name in CONTROLS}
    for image, case_map in zip(x, maps, strict=True):
        fill = baseline(image, "mean", np.zeros(1, np.float32))
        values = {"map": case_map.values}
        for name, control in CONTROLS.items():
            values[name] = control(image, layer.grid, 0, layer.geometry)
        for name, of_map in values.items():
            rng = generator(image, 0)
            subject = faithfulness.Subject(
                image, of_map, fill, rng, faithfulness.Series(), layer.geometry
            )
            (measured,) = faithfulness.measure(
                [subject], lambda inputs: explainer.ask(inputs, len(x))[:, 0]
            )
            gains[name].append(list(measured.by_map.values()))
    means = {name: np.mean(values, 0) for name, values in gains.items()}
    error = np.std(gains["map"], 0, ddof=1) / np.sqrt(len(x))
    assert (means["map"] > 2 * error).all(), means
    for name in CONTROLS:
        assert (means["map"] > means[name]).all(), (name, means)

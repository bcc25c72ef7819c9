"""A map in its place: a cue of one pixel is found in the cell that owns the pixel, for every
architecture.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from cxr_audit.classifier import Classifier, load_keras
from cxr_audit.classifier.receptive import UnknownPlace
from cxr_audit.errors import ModelError
from cxr_audit.explain import Explainer
from cxr_audit.preprocess import cell_edges, cell_shares, place, region_shares, restore, seen
from cxr_audit.records import GridGeometry

from tests.classifier.models import layers
from tests.classifier.test_receptive import stack

ZOO = Path(__file__).parent / "zoo"
SIZE = (64, 52)
ops = keras.ops


def conv(size: int = 3, stride: int = 1, **settings: Any) -> Any:
    """One kernel of ones: of several in a row, what a cell sees of a pixel falls off from its
    centre.
    """
    return layers.Conv2D(1, size, stride, kernel_initializer="ones", use_bias=False, **settings)


def double(x: Any) -> Any:
    x = conv(3, 2, padding="same")(x)
    return layers.Add()([x, conv(3, padding="same")(x)])


def gated(x: Any) -> Any:
    x = conv(3, 4, padding="same")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    return layers.Multiply()([x, layers.Rescaling(0.0, 1.0)(gate)])


ARCHITECTURES: dict[str, Callable[[Any], Any]] = {
    "same padding": stack(*[conv(3, 2, padding="same") for _ in range(3)]),
    "valid": stack(conv(5), layers.AveragePooling2D(3, 2), conv(3, 2)),
    "padded by hand": stack(
        layers.ZeroPadding2D(3), conv(7, 2), layers.ZeroPadding2D(1), layers.AveragePooling2D(3, 2)
    ),
    "far padding": stack(layers.ZeroPadding2D(((20, 4), (0, 12))), conv(4, 4)),
    "dilated": stack(conv(3, dilation_rate=2), conv(3, 3, padding="same")),
    "cropped": stack(layers.Cropping2D(((9, 4), (3, 0))), conv(3, 2), conv(3, 2)),
    "cropped in the middle": stack(layers.CenterCrop(40, 41), conv(3, 3, padding="same")),
    "transposed": stack(layers.Permute((2, 1, 3)), conv(3, 4, padding="same")),
    "transposed by an operation": stack(
        conv(3, 2), lambda x: ops.transpose(x, (0, 2, 1, 3)), conv(3, 2)
    ),
    "flipped": stack(lambda x: ops.flip(x, 2), conv(3, 2), conv(3, 2)),
    "sliced backwards": stack(lambda x: x[:, ::-1, 4:], conv(3, 3, padding="same")),
    "flipped and transposed": stack(
        lambda x: ops.flip(x, (1, 2)), layers.Permute((2, 1, 3)), conv(3, 2), conv(3, 2)
    ),
    "scaled, every pixel alike": stack(
        layers.Rescaling(1 / 255), layers.BatchNormalization(), conv(3, 4, padding="same")
    ),
    "upsampled behind": stack(conv(3, 4, padding="same"), layers.UpSampling2D(2)),
    "residual": stack(double, double),
    "gated": gated,
    "augmented": stack(layers.RandomRotation(0.3), layers.RandomCrop(40, 40), conv(3, 4)),
}


def classifier_of(build: Callable[[Any], Any]) -> Classifier:
    image = keras.Input((*SIZE, 1))
    pooled = layers.GlobalAveragePooling2D()(build(image))
    dense = layers.Dense(1, "sigmoid", kernel_initializer="ones")
    return Classifier(keras.Model(image, dense(pooled)), (*SIZE, 1))


def opened(path: Path) -> Classifier:
    model = load_keras(path)
    return Classifier(model, tuple(model.input_shape[1:]))


def cues(classifier: Classifier, num: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """(places (N, 2), inputs with one bright pixel each)."""
    rows, columns, channels = classifier.input_shape
    rng = np.random.default_rng(4)
    at = np.stack([rng.integers(0, rows, num), rng.integers(0, columns, num)], 1)
    inputs = np.zeros((num, rows, columns, channels), np.float32)
    inputs[np.arange(num), at[:, 0], at[:, 1]] = 1
    return at, inputs


def assert_found(classifier: Classifier) -> None:
    """Each cue is the maximum of the map in the cell that owns its pixel, and of none if no cell
    sees it.
    """
    at, inputs = cues(classifier)
    rows, columns, _ = classifier.input_shape
    placement = place(rows, columns, rows, columns, "stretch")
    explainer = Explainer(classifier, ("hirescam",))
    result = explainer.explain(inputs, [None] * len(inputs))
    nothing = explainer.explain(inputs * 0, [None] * len(inputs)).logits
    num_found = 0
    for n, (row, column) in enumerate(at):
        (class_map,) = result.maps[n]
        geometry = class_map.facts.geometry
        assert isinstance(geometry, GridGeometry)
        mask = np.zeros((1, rows, columns), bool)
        mask[0, row, column] = True
        share = region_shares(placement, *class_map.values.shape, mask, geometry)[0]
        is_seen = seen(placement, rows, columns, geometry)[row, column]
        if not is_seen:
            assert result.logits[n] == nothing[n]
            continue
        assert share.max() > 0
        owner = np.unravel_index(share.argmax(), share.shape)
        assert class_map.values[owner] == pytest.approx(class_map.values.max(), rel=1e-5)
        assert class_map.values.max() >= 0
        num_found += class_map.values.max() > 0
    assert num_found > len(at) / 8


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_a_cue_of_one_pixel_is_found_in_its_cell(name: str) -> None:
    assert_found(classifier_of(ARCHITECTURES[name]))


@pytest.mark.parametrize("name", ["permute", "valid150", "croptop", "centercrop"])
def test_a_cue_is_found_where_a_strangers_model_saw_it(name: str) -> None:
    assert_found(opened(ZOO / f"probe_{name}.keras"))


def test_the_place_of_published_strides_by_hand() -> None:
    """ResNet's stem pads 3 before a 7x7 window of stride 2, then 1 before 3x3 of stride 2: cell 0
    is centred at pixel 0, that is at 0.5; four times 3x3 of stride 2, padded by TensorFlow at the
    end, centre it at pixel 15.
    """
    stem = stack(
        layers.ZeroPadding2D(3), conv(7, 2), layers.ZeroPadding2D(1), layers.MaxPooling2D(3, 2)
    )
    rows = classifier_of(stem).candidates[-1].geometry.rows
    assert (rows.jump, rows.offset + rows.jump / 2) == (4, 0.5)
    padded = stack(*[conv(3, 2, padding="same") for _ in range(4)])
    rows = classifier_of(padded).candidates[-1].geometry.rows
    assert (rows.jump, rows.offset + rows.jump / 2, rows.field_px) == (16, 15.5, 31)


@pytest.mark.parametrize("size", [(32, 32), (20, 39), (70, 70)])
@pytest.mark.parametrize("interpolation", ["bilinear", "nearest"])
def test_a_resized_input_is_followed_to_within_half_a_cell(
    size: tuple[int, int], interpolation: str
) -> None:
    classifier = classifier_of(
        stack(layers.Resizing(*size, interpolation, antialias=size[0] < 64), conv(4, 4))
    )
    at, inputs = cues(classifier)
    maps = Explainer(classifier, ("hirescam",)).explain(inputs, [None] * len(inputs)).maps
    num_found = 0
    for (row, column), (class_map,) in zip(at, maps, strict=True):
        geometry = class_map.facts.geometry
        assert geometry is not None
        if class_map.values.max() <= 0:
            continue  # nearest neighbour leaves pixels out
        num_found += 1
        cell = np.unravel_index(class_map.values.argmax(), class_map.values.shape)
        for axis, index, pixel in zip(
            (geometry.rows, geometry.columns), cell, (row, column), strict=True
        ):
            centre = axis.offset + (index + 0.5) * axis.jump
            assert abs(centre - (pixel + 0.5)) <= axis.jump / 2 + 1
    assert num_found > len(at) / 8


def test_cells_share_out_what_the_grid_sees_and_nothing_else() -> None:
    """Three valid layers on 64 pixels: the cells own pixels 0 to 60, the last three are seen by
    none.
    """
    classifier = classifier_of(stack(conv(4, 4), layers.Cropping2D(((0, 1), (0, 0)))))
    layer = classifier.candidates[-1]
    placement = place(*SIZE, *SIZE, "stretch")
    rows, _ = cell_edges(placement, *layer.grid, *SIZE, layer.geometry)
    np.testing.assert_allclose(rows, np.arange(0, 61, 4))
    share, _, (centres, _) = cell_shares(placement, *layer.grid, layer.geometry)
    np.testing.assert_allclose(share, 1)
    np.testing.assert_allclose(centres * SIZE[0], np.arange(15) * 4 + 2)
    heatmap = restore(np.ones(layer.grid, np.float32), placement, *SIZE, layer.geometry)
    np.testing.assert_array_equal(heatmap[:60], 1)
    np.testing.assert_array_equal(heatmap[60:], 0)


def test_a_cell_in_the_padding_of_a_layer_owns_nothing() -> None:
    classifier = classifier_of(stack(layers.ZeroPadding2D(((8, 0), (0, 0))), conv(4, 4)))
    layer = classifier.candidates[-1]
    share, *_ = cell_shares(place(*SIZE, *SIZE, "stretch"), *layer.grid, layer.geometry)
    np.testing.assert_array_equal(share.sum(1) > 0, [False] * 2 + [True] * 16)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("permute_chw_flatten", "conv2d_49"),
        ("cnn_hybrid_heads", "conv2d_55"),
        ("vit_ops", "conv2d_50"),
    ],
)
def test_channels_tokens_and_heads_are_no_grid(name: str, layer: str) -> None:
    classifier = opened(ZOO / f"{name}.keras")
    assert classifier.split().layer.name == layer
    assert all(candidate.kind == "Conv2D" for candidate in classifier.candidates)


def test_what_mixes_the_batch_has_no_place_and_is_refused_by_name() -> None:
    """Patches that are moved into the batch axis and back: their cells are of several patches."""
    image = keras.Input((16, 16, 1))
    x = conv(3, padding="same", name="before")(image)
    x = conv(3, padding="same", name="windows")(ops.reshape(x, (-1, 8, 16, 1)))
    x = ops.reshape(x, (-1, 16, 16, 1))
    x = conv(3, padding="same", name="after")(x)
    model = keras.Model(image, layers.Dense(1)(layers.GlobalAveragePooling2D()(x)))
    classifier = Classifier(model, (16, 16, 1))
    assert [candidate.name for candidate in classifier.candidates] == ["before"]
    assert isinstance(classifier.places[classifier.graph.output], UnknownPlace)
    for name in ("windows", "after"):
        with pytest.raises(ModelError, match=r"step 'reshape.*' \(Reshape\)") as caught:
            classifier.split(name)
        assert "before" in str(caught.value.hint)


def test_patches_in_time_are_no_grid() -> None:
    image = keras.Input((16, 16, 1))
    x = layers.Reshape((2, 8, 16, 1))(conv(3, padding="same", name="before")(image))
    x = layers.TimeDistributed(layers.Conv2D(2, 3, padding="same"), name="patches")(x)
    x = layers.Reshape((16, 16, 2), name="back")(x)
    model = keras.Model(image, layers.Dense(1)(layers.GlobalAveragePooling2D()(x)))
    classifier = Classifier(model, (16, 16, 1))
    assert [candidate.name for candidate in classifier.candidates] == ["before"]
    with pytest.raises(ModelError, match="TimeDistributed"):
        classifier.split("back")

"""A Keras model -> its features at a target layer, and the head that turns them into logits.

The activation of the output is taken off analytically, so that what is explained is the logit y:

    one sigmoid unit   y = z for the positive class, -z for the other
    two softmax units  y = z_c - z_other
    n units            y = z_c

Of several labels, which may hold at once, the target is audited on its own: predicted from its
threshold on, else "not" it. y is always a selector times the logits: y = s . z. Where the output is
a probability that is no activation of one layer (the mean of two sigmoid heads), z = log(p / (1 -
p)) of the unit. The head from global average pooling to one Dense layer is read in closed form:
dy/dA^k = w_k / Z everywhere, no gradient is computed.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from cxr_audit.classifier.cells import View, common_grid
from cxr_audit.classifier.graph import Graph, Step, ancestors, descendants, flatten, run
from cxr_audit.classifier.output import (
    IDENTITY,
    MERGING,
    POOLING,
    RESHAPING,
    Logits,
    Output,
    Stated,
    activation_of,
    maker_of_output,
    read_output,
)
from cxr_audit.classifier.receptive import Grid, Places, UnknownPlace, grid_of, places
from cxr_audit.errors import ModelError
from cxr_audit.records import Floats, GridGeometry, Prediction
from cxr_audit.vocabulary import Message, Text, message

# Affine at inference; with a linear activation where they have one.
_AFFINE = {
    *(IDENTITY + RESHAPING + MERGING + POOLING),
    "Activation",
    "BatchNormalization",
    "Conv2D",
    "Cropping2D",
    "Dense",
    "DepthwiseConv2D",
    "LayerScale",
    "Logits",
    "Normalization",
    "Rescaling",
    "SeparableConv2D",
    "UpSampling2D",
    "ZeroPadding2D",
}
_POSSIBLE = 5  # layers that a message names


@dataclass(frozen=True, slots=True)
class Candidate:
    """A layer with a grid on the path to the logit; `grid` is (rows, columns) along the image's own
    axes.
    """

    name: str
    kind: str
    grid: tuple[int, int]
    channels: int
    geometry: GridGeometry


class Classifier:
    """A model opened: logits, classes, target layers, and a `Split` at any of them.

    Parameters
    ----------
    input_shape : (rows, columns, channels) of the model input, in pixels.
    class_names : one an output unit; two for one sigmoid unit, (negative, positive).
    target_class : the class that is explained; None = the last one.
    threshold : probability from which the target is predicted, in (0, 1); None = 0.5.
    threshold_source : where the threshold comes from, in words.
    output : what the outputs are, where the last layer does not say; see `output.Stated`.

    Raises
    ------
    ModelError : the model is no classifier of one image, or contradicts what is said of it.
    """

    def __init__(
        self,
        model: keras.Model,
        input_shape: tuple[int, int, int],
        class_names: tuple[str, ...] = (),
        target_class: str | None = None,
        threshold: float | None = None,
        threshold_source: Text | None = None,
        output: Stated | None = None,
    ) -> None:
        self.name = model.name
        self.model = model
        self.raw_graph = flatten(model, input_shape)
        _check_layout(self.raw_graph)
        self.parameters = int(model.count_params())
        self.input_shape = _check_input(self.raw_graph, input_shape)
        self.num_units = _count_units(self.raw_graph)
        self.output = read_output(self.raw_graph, self.num_units, output)
        self.graph = self.output.graph
        self.class_names = _name_classes(class_names, self.num_units)
        self.target_class = target_class or self.class_names[-1]
        self._known_class(self.target_class)
        self.threshold = 0.5 if threshold is None else threshold
        self.threshold_source: Text = threshold_source or (
            message("classifier.threshold_not_validated")
            if threshold is None
            else message("classifier.threshold_of_config")
        )
        if threshold is not None and not self.has_threshold:
            raise ModelError(
                "classifier.threshold is for one or two classes and for sigmoid units; this model "
                f"has {self.num_units} {self.output_activation} units and predicts the "
                "largest score",
                "remove classifier.threshold",
            )

    @property
    def output_activation(self) -> str:
        """What the last layer ends in, in a word."""
        return self.output.activation

    @property
    def is_binary(self) -> bool:
        return len(self.class_names) == 2 and not self.is_multi_label

    @property
    def is_multi_label(self) -> bool:
        """Several classes may hold at once: each has a sigmoid unit of its own."""
        return self.output.kind == "multi_label"

    @property
    def is_softmax(self) -> bool:
        return self.output.kind == "softmax"

    @property
    def has_threshold(self) -> bool:
        return self.is_binary or self.is_multi_label

    @property
    def labels(self) -> tuple[str, ...]:
        """What a case may be: one of the classes, and of several labels "not" the target class."""
        if self.is_multi_label:
            return (*self.class_names, f"not {self.target_class}")
        return self.class_names

    @functools.cached_property
    def places(self) -> dict[int, Places]:
        """Where the cells of every value of the graph lie in the image."""
        return places(self.graph, self.shapes, self.input_shape)

    @functools.cached_property
    def _grids(self) -> dict[str, tuple[Step, Grid, Candidate]]:
        """By layer, from the first convolution to the logit: every layer with a grid larger than
        1x1.
        """
        steps = self.graph.steps
        convolutions = {s.outputs[0] for s in steps if "Conv" in type(s.operation).__name__}
        convolved = descendants(steps, convolutions)
        grids = {}
        for step, shape in self.shapes:
            value = step.outputs[0]
            grid = grid_of(self.places[value], shape) if value in convolved else None
            if grid is not None:
                kind = type(step.operation).__name__
                candidate = Candidate(step.name, kind, grid.size, int(shape[3]), grid.geometry)
                grids[step.name] = step, grid, candidate
        return grids

    @property
    def candidates(self) -> tuple[Candidate, ...]:
        """Every layer whose cells have a known place in the image, from the first convolution to
        the logit.
        """
        return tuple(candidate for _, _, candidate in self._grids.values())

    @functools.cached_property
    def last_grids(self) -> tuple[str, ...]:
        """The last layer with a grid on each path to the logit: more than one where the model has
        branches.
        """
        by_value = {step.outputs[0]: name for name, (step, _, _) in self._grids.items()}
        waiting, seen, last = [self.graph.output], set[int](), set[str]()
        while waiting:
            value = waiting.pop()
            if value in seen:
                continue
            seen.add(value)
            if value in by_value:
                last.add(by_value[value])
            elif step := self.graph.maker(value):
                waiting.extend(step.inputs)
        return tuple(name for name in self._grids if name in last)

    def split(self, layer: str = "auto") -> Split:
        """Features and head at `layer`; auto = the last layer with a grid, of every branch of the
        model.

        Raises
        ------
        ModelError : the layer is none, has no grid, or the branches have no grid in common.
        """
        if not any("Conv" in type(step.operation).__name__ for step in self.graph.steps):
            raise ModelError(
                f"the model {self.name!r} has no convolution; class activation maps need one",
                "audit an image classifier",
            )
        if not self._grids:
            raise ModelError(
                f"no layer of the model {self.name!r} has a grid larger than 1x1{self._unknown()}",
                "audit an image classifier",
            )
        names = self.last_grids if layer in ("auto", " + ".join(self.last_grids)) else (layer,)
        for name in names:
            self._known_grid(name)
        return Split(self, self._views(names))

    def _views(self, names: tuple[str, ...]) -> tuple[View, ...]:
        chosen = [self._grids[name] for name in names]
        views = []
        for name, (step, grid, candidate) in zip(names, chosen, strict=True):
            views.append(View(name, step.outputs[0], grid, candidate.channels))
        return common_grid(views)

    def _known_grid(self, layer: str) -> None:
        names = list(self._grids)
        if layer in names:
            return
        hint = f"set explain.target_layer to one of: auto, {', '.join(names[-_POSSIBLE:])}"
        step = next((step for step in self.graph.steps if step.name == layer), None)
        if step is None:
            near = difflib.get_close_matches(layer, names, 1, 0.4)
            raise ModelError(
                f"the model has no layer {layer!r}; perhaps you meant {(near or names[-1:])[0]!r}",
                hint,
            )
        where = self.places[step.outputs[0]]
        if isinstance(where, UnknownPlace):
            raise ModelError(
                f"where the cells of the layer {layer!r} lie in the image is not known"
                f"{self._unknown(where.step)}",
                hint,
            )
        raise ModelError(
            f"the layer {layer!r} has no grid of cells (or lies before the first convolution); "
            f"expected one such as {names[-1]!r}",
            hint,
        )

    def _unknown(self, name: str | None = None) -> str:
        """Which step could not be followed, for a message."""
        if name is None:
            unknown = [w.step for w in self.places.values() if isinstance(w, UnknownPlace)]
            if not unknown:
                return ""
            name = unknown[0]
        step = next(step for step in self.graph.steps if step.name == name)
        return f": the step {name!r} ({type(step.operation).__name__}) cannot be followed"

    def exchanged(self, operations: Mapping[int, Any]) -> Classifier:
        """The same classifier with other operations, by the id of those that they replace; this one
        stays as it is.
        """
        other = copy.copy(self)
        steps = []
        for step in self.graph.steps:
            operation = operations.get(id(step.operation), step.operation)
            steps.append(dataclasses.replace(step, operation=operation))
        other.graph = dataclasses.replace(self.graph, steps=tuple(steps))
        for kept in ("shapes", "places", "_grids", "last_grids"):
            other.__dict__.pop(kept, None)
        return other

    def selector(self, class_name: str) -> Floats:
        """s with y = s . z, the explained scalar of a class; float32 (units,)."""
        self._known_class(class_name)
        if class_name not in self.class_names:
            return -self.selector(self.target_class)
        index = self.class_names.index(class_name)
        if self.num_units == 1:
            return np.asarray([1 if index == 1 else -1], np.float32)
        chosen = np.zeros(self.num_units, np.float32)
        chosen[index] = 1
        if self.is_softmax and self.num_units == 2:
            chosen[1 - index] = -1
        return chosen

    def scalar(self, class_name: str) -> Message:
        """The explained scalar in words."""
        num_units = self.num_units
        if self.output.kind == "probabilities":
            return message("classifier.scalar_log_odds", class_name=class_name)
        if num_units == 1:
            if class_name == self.class_names[1]:
                return message("classifier.scalar_sigmoid", class_name=class_name)
            return message("classifier.scalar_sigmoid_negated", class_name=class_name)
        if self.is_softmax and num_units == 2:
            return message("classifier.scalar_two_softmax", class_name=class_name)
        if class_name not in self.class_names:
            return message(
                "classifier.scalar_label_negated",
                class_name=self.target_class,
                num_units=num_units,
            )
        activation = "softmax" if self.is_softmax else "sigmoid"
        return message(
            "classifier.scalar_unit",
            class_name=class_name,
            activation=activation,
            num_units=num_units,
        )

    def scores(self, logits: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
        """The probability of each of `class_names`: logits (units,) -> (classes,), in [0, 1]."""
        z = np.asarray(logits, np.float64)
        if self.num_units == 1:
            return np.asarray([_sigmoid(-z[0]), _sigmoid(z[0])])
        if self.is_softmax:
            powers = np.exp(z - z.max())
            return np.asarray(powers / powers.sum(), np.float64)
        return np.asarray([_sigmoid(value) for value in z])

    def predict(self, logits: npt.NDArray[np.floating[Any]], expected: str | None) -> Prediction:
        """One case's logits (units,) -> prediction. Raises ValueError where they are not finite.

        Of several labels `expected` becomes the target class, or "not" it for any other label.
        """
        z = np.asarray(logits, np.float64)
        scores = self.scores(z)
        target = self.class_names.index(self.target_class)
        if self.is_multi_label:
            scores = np.append(scores, _sigmoid(-z[target]))
            expected = self.labels[-1] if expected not in (None, self.target_class) else expected
        if self.has_threshold:
            other = 1 - target if self.is_binary else -1
            predicted = target if scores[target] >= self.threshold else other
        else:
            predicted = int(np.argmax(scores))
        by_name = {name: float(score) for name, score in zip(self.labels, scores, strict=True)}
        highest = message("classifier.highest_score")
        return Prediction(
            target_class=self.target_class,
            scalar=self.scalar(self.target_class),
            logit=float(self.selector(self.target_class).astype(np.float64) @ z),
            probability=float(scores[target]),
            class_scores=by_name,
            threshold=self.threshold if self.has_threshold else None,
            threshold_source=self.threshold_source if self.has_threshold else highest,
            predicted=self.labels[predicted],
            expected=expected,
        )

    def _known_class(self, name: str) -> None:
        if name not in self.labels:
            near = difflib.get_close_matches(name, self.class_names, 1, 0.4)
            perhaps = f"; perhaps you meant {near[0]!r}" if near else ""
            raise ModelError(
                f"the model has no class {name!r}{perhaps}; its classes are "
                f"{', '.join(self.class_names)}",
                "see classifier.class_names",
            )

    @functools.cached_property
    def shapes(self) -> list[tuple[Step, tuple[Any, ...]]]:
        """Every step with its output's shape at the audit's input size.

        Measured where the model leaves rows and columns open, and where a layer announces another
        shape than it gives at inference (RandomCrop).
        """
        is_open = any(size is None for step in self.graph.steps for size in step.shape[1:])
        crops = any(type(step.operation).__name__ == "RandomCrop" for step in self.graph.steps)
        if not (is_open or crops):
            return [(step, step.shape) for step in self.graph.steps]
        values: dict[int, Any] = {self.graph.input: np.zeros((1, *self.input_shape), np.float32)}
        shapes = []
        for step in self.graph.steps:
            step.call(values)
            shapes.append((step, (None, *tuple(values[step.outputs[0]].shape)[1:])))
        return shapes


class Split:
    """A classifier cut at one layer, or at one of each branch: `forward` gives features and logits,
    `gradients` dy/dA through the head only.

    Features are one tensor (N, rows, columns, channels) whose rows and columns run as the image's
    do. The channels of several branches stand side by side, on the finest grid among them; `views`
    says which are whose.
    """

    def __init__(self, classifier: Classifier, views: tuple[View, ...]) -> None:
        self.classifier, self.views = classifier, views
        self.layer = Candidate(
            name=" + ".join(view.name for view in views),
            kind=_kind(classifier, views),
            grid=views[0].size,
            channels=sum(view.channels for view in views),
            geometry=views[0].geometry,
        )
        graph = classifier.graph
        cuts = {view.value for view in views}
        after = descendants(graph.steps, cuts) - cuts
        in_head, sides = _between(graph, cuts, after)
        self.head = tuple(step for step in graph.steps if in_head.intersection(step.outputs))
        # Branches around the split: values made before it that the head needs as well.
        self.sides = tuple(sorted(sides))
        needed = ancestors(graph.steps, cuts | sides)
        self.features = tuple(step for step in graph.steps if needed.intersection(step.outputs))
        self.input, self.output = graph.input, graph.output
        self._forward = tf.function(self._forward_steps, reduce_retracing=True, autograph=False)
        self._with_gradients = tf.function(
            self._forward_and_gradients, reduce_retracing=True, autograph=False
        )
        self._head_gradients = tf.function(self._gradients, reduce_retracing=True, autograph=False)

    @functools.cached_property
    def pooled_weights(self) -> tuple[Floats, Floats] | None:
        """(kernel (channels, units), bias (units,)) where the head is global average pooling, then
        one Dense.
        """
        operations = [step.operation for step in self.head]
        steps = [layer for layer in operations if type(layer).__name__ not in IDENTITY]
        kinds = [type(operation).__name__ for operation in steps]
        is_pooling = kinds in (
            ["GlobalAveragePooling2D", "Logits"],
            ["GlobalAveragePooling2D", "Dense"],
        )
        if not (is_pooling and self.is_affine and len(self.views) == 1):
            return None
        dense = steps[-1]
        kernel = np.asarray(dense.kernel, np.float32)
        if dense.bias is None:
            return kernel, np.zeros(kernel.shape[1], np.float32)
        return kernel, np.asarray(dense.bias, np.float32)

    @functools.cached_property
    def is_affine(self) -> bool:
        """Whether the logits are affine in the features and single precision, so that a
        decomposition can be exact.
        """
        return (
            not self.sides
            and self.precision == "float32"
            and all(_is_affine(step.operation) for step in self.head)
        )

    @functools.cached_property
    def precision(self) -> str:
        """What the head computes in: float32, or the half precision of a mixed-precision model."""
        precisions = {str(getattr(step.operation, "compute_dtype", None)) for step in self.head}
        return next((dtype for dtype in ("float16", "bfloat16") if dtype in precisions), "float32")

    @property
    def head_in_words(self) -> Message:
        if self.pooled_weights is not None:
            return message("classifier.head_closed_form")
        names = " -> ".join(type(step.operation).__name__ for step in self.head[:6])
        more = f" -> ... ({len(self.head)} steps)" if len(self.head) > 6 else ""
        steps = f"{names or 'none'}{more}"
        if self.precision != "float32":
            return message("classifier.head_half_precision", steps=steps, precision=self.precision)
        if self.is_affine:
            return message("classifier.head_affine", steps=steps)
        return message("classifier.head_not_affine", steps=steps)

    def bias(self, selector: Floats) -> float | None:
        """y at features of zero where the head is affine: the part of the logit that lies in no
        cell.
        """
        if not self.is_affine:
            return None
        zeros = tf.zeros((1, *self.layer.grid, self.layer.channels))
        logits = self._head_steps(zeros, ())
        return float(np.asarray(logits, np.float64)[0] @ selector.astype(np.float64))

    def forward(
        self, batch: Floats, selectors: Floats | None
    ) -> tuple[Any, tuple[Any, ...], Floats, Floats | None]:
        """One batch through the model.

        Parameters
        ----------
        batch : float32 (N, rows, columns, channels).
        selectors : float32 (N, units), y = selector . logits of each case; None = no gradients
            wanted.

        Returns
        -------
        features (N, h, w, channels) and side values as tensors, logits (N, units), gradients dy/dA
        (N, h, w, channels) or None.
        """
        if selectors is None:
            features, sides, logits = self._forward(tf.constant(batch))
            return features, sides, np.asarray(logits), None
        if self.pooled_weights is not None:
            features, sides, logits = self._forward(tf.constant(batch))
            return features, sides, np.asarray(logits), self._closed_form(selectors)
        features, sides, logits, gradients = self._with_gradients(
            tf.constant(batch), tf.constant(selectors)
        )
        return features, sides, np.asarray(logits), np.asarray(gradients)

    def gradients(self, features: Any, sides: tuple[Any, ...], selectors: Floats) -> Floats:
        """dy/dA for other classes on features already computed.

        Parameters
        ----------
        features, sides : as `forward` gives them.
        selectors : float32 (N, units), y = selector . logits of each case.

        Returns
        -------
        float32 (N, h, w, channels).
        """
        if self.pooled_weights is not None:
            return self._closed_form(selectors)
        return np.asarray(self._head_gradients(features, sides, tf.constant(selectors))[1])

    def _closed_form(self, selectors: Floats) -> Floats:
        assert self.pooled_weights is not None
        rows, columns = self.layer.grid
        weights = selectors @ self.pooled_weights[0].T / np.float32(rows * columns)
        return np.broadcast_to(
            weights[:, None, None, :], (len(weights), rows, columns, weights.shape[-1])
        )

    def _forward_steps(self, batch: Any) -> Any:
        features, sides = self._features_of(batch)
        return features, sides, tf.cast(self._head_steps(features, sides), tf.float32)

    def _forward_and_gradients(self, batch: Any, selectors: Any) -> Any:
        features, sides = self._features_of(batch)
        logits, gradients = self._gradients(features, sides, selectors)
        return features, sides, logits, gradients

    def _features_of(self, batch: Any) -> tuple[Any, tuple[Any, ...]]:
        values = run(self.features, {self.input: batch})
        cells = [view.to_cells(values[view.value]) for view in self.views]
        if len(cells) > 1:
            features = tf.concat([tf.cast(part, tf.float32) for part in cells], -1)
        else:
            features = cells[0]
        return features, tuple(values[side] for side in self.sides)

    def _gradients(self, features: Any, sides: tuple[Any, ...], selectors: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(features)
            logits = tf.cast(self._head_steps(features, sides), tf.float32)
            explained = tf.reduce_sum(logits * selectors)
        gradients = tape.gradient(explained, features, unconnected_gradients="zero")
        return logits, tf.cast(gradients, tf.float32)

    def _head_steps(self, features: Any, sides: tuple[Any, ...]) -> Any:
        values = dict(zip(self.sides, sides, strict=True))
        start = 0
        for view in self.views:
            part = features[..., start : start + view.channels] if len(self.views) > 1 else features
            values[view.value] = view.from_cells(part)
            start += view.channels
        values = run(self.head, values)
        return tf.reshape(values[self.output], (-1, self.classifier.num_units))


def _kind(classifier: Classifier, views: tuple[View, ...]) -> str:
    if len(views) > 1:
        return "branches"
    (step,) = (step for step in classifier.graph.steps if step.name == views[0].name)
    return type(step.operation).__name__


def _between(graph: Graph, cuts: set[int], after: set[int]) -> tuple[set[int], set[int]]:
    """(values of the head, values from before the cuts that the head needs)."""
    in_head, sides = set[int](), set[int]()
    waiting = [graph.output]
    while waiting:
        value = waiting.pop()
        if value in cuts or value in in_head:
            continue
        if value not in after:
            sides.add(value)
            continue
        in_head.add(value)
        step = graph.maker(value)
        assert step is not None
        waiting.extend(step.inputs)
    return in_head, sides


def _check_layout(graph: Graph) -> None:
    for step in graph.steps:
        if getattr(step.operation, "data_format", None) == "channels_first":
            raise ModelError(
                f"the layer {step.name!r} takes channels first, expected "
                "(batch, rows, columns, channels)",
                "rebuild the model with data_format='channels_last'; its weights stay as they are",
            )


def _check_input(graph: Graph, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    expected = graph.input_shape
    if len(expected) != 4:
        raise ModelError(
            f"the model takes {expected}, expected one image (batch, rows, columns, channels)",
            "audit an image classifier of one input",
        )
    fixed = [have if want is None else want for want, have in zip(expected[1:], shape, strict=True)]
    if tuple(fixed) != tuple(shape):
        rows, columns, channels = expected[1:]
        raise ModelError(
            f"the model takes {rows}x{columns}x{channels} (rows x columns x channels), "
            f"the config makes {shape[0]}x{shape[1]}x{shape[2]}",
            f"set preprocess.rows: {rows}, preprocess.columns: {columns}, "
            f"preprocess.channels: {channels}",
        )
    return shape


def _count_units(graph: Graph) -> int:
    shape = maker_of_output(graph).shape
    if any(size != 1 for size in shape[1:-1]):
        raise ModelError(
            f"the output of the model has the shape {shape}, expected one score a class: "
            "(None, classes)",
            "audit a classifier, not a segmentation; or pool its output and save it again",
        )
    return int(shape[-1] or 1) if len(shape) > 1 else 1


def _is_affine(operation: Any) -> bool:
    for layer in (operation, getattr(operation, "dense", None)):
        if getattr(layer, "quantization_mode", None):
            return False  # its inputs are rounded
    if type(operation).__name__ == "Cast":
        return str(operation.dtype) in ("float32", "float64")
    return type(operation).__name__ in _AFFINE and activation_of(operation) == "linear"


def _name_classes(names: tuple[str, ...], num_units: int) -> tuple[str, ...]:
    if num_units == 1:
        if len(names) == 1:
            return f"not {names[0]}", names[0]
        expected = 2
    else:
        expected = num_units
    if not names:
        return tuple(f"class {index}" for index in range(expected))
    if len(names) != expected:
        raise ModelError(
            f"the model has {num_units} output unit{'s' if num_units > 1 else ''}, but "
            f"classifier.class_names has {len(names)} names",
            f"give {'two: [negative, positive]' if num_units == 1 else expected}",
        )
    return names


def _sigmoid(z: float) -> float:
    return float(1 / (1 + np.exp(-z))) if z >= 0 else float(np.exp(z) / (1 + np.exp(z)))


__all__ = ["Candidate", "Classifier", "Logits", "Output", "Split"]

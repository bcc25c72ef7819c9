"""A Keras model -> its features at a target layer, and the head that turns them into logits.

The activation of the output is taken off analytically, so that what is explained is the logit y:

    one sigmoid unit   y = z for the positive class, -z for the other
    two softmax units  y = z_c - z_other
    n units            y = z_c

Of more than two sigmoid units (several labels may hold at once) the target is audited on its own: predicted from
its threshold on, else "not" it. y is always a selector times the logits: y = s . z. Where the probability is no
activation of one layer (the mean of two sigmoid heads), z = log(p / (1 - p)) of the unit. The head from global
average pooling to one Dense layer is read in closed form: dy/dA^k = w_k / Z everywhere, no gradient is computed.
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

from cxr_audit.classifier.graph import Graph, Step, Value, ancestors, descendants, flatten, run
from cxr_audit.errors import ModelError
from cxr_audit.records import Floats, Prediction

# The identity at inference, or only another shape.
_IDENTITY = (
    "Dropout",
    "SpatialDropout2D",
    "GaussianNoise",
    "GaussianDropout",
    "AlphaDropout",
    "Identity",
    "Linear",
)
_RESHAPING = ("Flatten", "Permute", "Reshape", "Squeeze")
# Affine in all of their inputs together.
_MERGING = ("Add", "Average", "Concatenate", "Subtract")
_POOLING = ("AveragePooling2D", "GlobalAveragePooling2D", "Mean")
# Affine at inference; with a linear activation where they have one.
_AFFINE = {
    *(_IDENTITY + _RESHAPING + _MERGING + _POOLING),
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


@dataclass(frozen=True, slots=True)
class Candidate:
    """A layer with a grid on the path to the logit."""

    name: str
    kind: str
    grid: tuple[int, int]
    channels: int


class Classifier:
    """A model opened: logits, classes, target layers, and a `Split` at any of them."""

    def __init__(
        self,
        model: keras.Model,
        input_shape: tuple[int, int, int],
        class_names: tuple[str, ...] = (),
        target_class: str | None = None,
        threshold: float | None = None,
        threshold_source: str | None = None,
    ) -> None:
        self.name = model.name
        graph = flatten(model, input_shape)
        _check_layout(graph)
        self.parameters = int(model.count_params())
        self.input_shape = _check_input(graph, input_shape)
        self.num_units = _count_units(graph)
        self.graph, self.output_activation = _without_activation(graph)
        self.class_names = _name_classes(class_names, self.num_units)
        self.target_class = target_class or self.class_names[-1]
        self._known_class(self.target_class)
        self.threshold = 0.5 if threshold is None else threshold
        self.threshold_source = threshold_source or (
            "config" if threshold is not None else "default, not validated"
        )
        if threshold is not None and not self.has_threshold:
            raise ModelError(
                f"classifier.threshold is for one or two classes and for sigmoid units; this model has "
                f"{self.num_units} {self.output_activation} units and predicts the largest score",
                "remove classifier.threshold",
            )

    @property
    def is_binary(self) -> bool:
        return len(self.class_names) == 2

    @property
    def is_multi_label(self) -> bool:
        """Several classes may hold at once: each has a sigmoid unit of its own."""
        return self.num_units > 2 and self.output_activation == "sigmoid"

    @property
    def has_threshold(self) -> bool:
        return self.is_binary or self.is_multi_label

    @property
    def labels(self) -> tuple[str, ...]:
        """What a case may be: one of the classes; with several labels also "not" the target class."""
        return (
            (*self.class_names, f"not {self.target_class}")
            if self.is_multi_label
            else self.class_names
        )

    @functools.cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """Every layer with a grid larger than 1x1, from the first convolution to the logit."""
        steps = self.graph.steps
        convolved = descendants(
            steps, {s.outputs[0] for s in steps if "Conv" in type(s.operation).__name__}
        )
        return tuple(
            Candidate(step.name, type(step.operation).__name__, (shape[1], shape[2]), shape[3])
            for step, shape in self.shapes
            if step.outputs[0] in convolved and len(shape) == 4 and min(shape[1], shape[2]) > 1
        )

    def split(self, layer: str = "auto") -> Split:
        """Features and head at `layer`; auto = the last layer with a grid."""
        if not any("Conv" in type(step.operation).__name__ for step in self.graph.steps):
            raise ModelError(
                f"the model {self.name!r} has no convolution; class activation maps need one",
                "audit an image classifier",
            )
        names = [candidate.name for candidate in self.candidates]
        if not names:
            raise ModelError(
                f"no layer of the model {self.name!r} has a grid larger than 1x1",
                "audit an image classifier",
            )
        if layer == "auto":
            layer = names[-1]
        if layer not in names:
            if layer in (step.name for step in self.graph.steps):
                raise ModelError(
                    f"the layer {layer!r} has no grid of cells (or lies before the first convolution); "
                    f"expected one such as {names[-1]!r}",
                    "cxr-audit inspect MODEL lists the layers with a grid",
                )
            near = difflib.get_close_matches(layer, names, 1, 0.4)
            raise ModelError(
                f"the model has no layer {layer!r}; perhaps you meant {(near or names[-1:])[0]!r}",
                "cxr-audit inspect MODEL lists the layers with a grid",
            )
        return Split(self, next(c for c in self.candidates if c.name == layer))

    def exchanged(self, operations: Mapping[int, Any]) -> Classifier:
        """The same classifier with other operations, by the id of those that they replace; this one stays as it is."""
        other = copy.copy(self)
        steps = (
            dataclasses.replace(step, operation=operations.get(id(step.operation), step.operation))
            for step in self.graph.steps
        )
        other.graph = dataclasses.replace(self.graph, steps=tuple(steps))
        other.__dict__.pop("shapes", None)
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

    def scalar(self, class_name: str) -> str:
        """The explained scalar in words."""
        if self.output_activation == LogOdds.says:
            return f'log(p / (1 - p)) of "{class_name}", since its probability is no activation of one layer'
        if self.num_units == 1:
            return f'logit of "{class_name}" (sigmoid unit{"" if class_name == self.class_names[1] else ", negated"})'
        if self.is_softmax and self.num_units == 2:
            return f'logit of "{class_name}" minus the logit of the other class (two softmax units)'
        if class_name not in self.class_names:
            return f'logit of "{self.target_class}", negated (sigmoid unit, 1 of {self.num_units})'
        return f'logit of "{class_name}" ({self.output_activation} unit, 1 of {self.num_units})'

    @property
    def is_softmax(self) -> bool:
        return self.num_units > 1 and self.output_activation not in ("sigmoid", LogOdds.says)

    def predict(self, logits: npt.NDArray[np.floating[Any]], expected: str | None) -> Prediction:
        """One case's logits (units,) -> prediction. Raises ValueError where they are not finite.

        Of several labels `expected` becomes the target class, or "not" it for any other label.
        """
        z = np.asarray(logits, np.float64)
        if self.num_units == 1:
            scores = np.asarray([_sigmoid(-z[0]), _sigmoid(z[0])])
        elif self.is_softmax:
            scores = np.exp(z - z.max()) / np.exp(z - z.max()).sum()
        else:
            scores = np.asarray([_sigmoid(v) for v in z])
        target = self.class_names.index(self.target_class)
        if self.is_multi_label:
            scores = np.append(scores, _sigmoid(-z[target]))
            expected = self.labels[-1] if expected not in (None, self.target_class) else expected
        if self.has_threshold:
            other = 1 - target if self.is_binary else -1
            predicted = target if scores[target] >= self.threshold else other
        else:
            predicted = int(np.argmax(scores))
        return Prediction(
            target_class=self.target_class,
            scalar=self.scalar(self.target_class),
            logit=float(self.selector(self.target_class).astype(np.float64) @ z),
            probability=float(scores[target]),
            class_scores={name: float(s) for name, s in zip(self.labels, scores, strict=True)},
            threshold=self.threshold if self.has_threshold else None,
            threshold_source=self.threshold_source
            if self.has_threshold
            else "the class with the highest score is predicted",
            predicted=self.labels[predicted],
            expected=expected,
        )

    def _known_class(self, name: str) -> None:
        if name not in self.labels:
            near = difflib.get_close_matches(name, self.class_names, 1, 0.4)
            perhaps = f"; perhaps you meant {near[0]!r}" if near else ""
            raise ModelError(
                f"the model has no class {name!r}{perhaps}; its classes are {', '.join(self.class_names)}",
                "see classifier.class_names",
            )

    @functools.cached_property
    def shapes(self) -> list[tuple[Step, tuple[Any, ...]]]:
        """Every step with its output's shape at the audit's input size (a model may leave rows and columns open)."""
        if all(size is not None for step in self.graph.steps for size in step.shape[1:]):
            return [(step, step.shape) for step in self.graph.steps]
        values: dict[int, Any] = {self.graph.input: np.zeros((1, *self.input_shape), np.float32)}
        shapes = []
        for step in self.graph.steps:
            step.call(values)
            shapes.append((step, tuple(values[step.outputs[0]].shape)))
        return shapes


class Split:
    """A classifier cut at one layer: `forward` gives features and logits, `gradients` dy/dA through the head only."""

    def __init__(self, classifier: Classifier, layer: Candidate) -> None:
        self.classifier, self.layer = classifier, layer
        graph = classifier.graph
        cut = next(step for step in graph.steps if step.name == layer.name).outputs[0]
        after = descendants(graph.steps, {cut}) - {cut}
        self.head = tuple(s for s in graph.steps if after.intersection(s.outputs))
        # Branches around the split: values made before it that the head needs as well.
        self.sides = tuple(sorted({i for s in self.head for i in s.inputs} - after - {cut}))
        needed = ancestors(graph.steps, {cut, *self.sides})
        self.features = tuple(
            s for s in graph.steps if needed.intersection(s.outputs) and not after & {*s.outputs}
        )
        self.cut, self.input, self.output = cut, graph.input, graph.output
        self._forward = tf.function(self._forward_steps, reduce_retracing=True, autograph=False)
        self._with_gradients = tf.function(
            self._forward_and_gradients, reduce_retracing=True, autograph=False
        )
        self._head_gradients = tf.function(self._gradients, reduce_retracing=True, autograph=False)

    @functools.cached_property
    def pooled_weights(self) -> tuple[Floats, Floats] | None:
        """(kernel (channels, units), bias (units,)) where the head is global average pooling, then one Dense."""
        steps = [
            step.operation for step in self.head if type(step.operation).__name__ not in _IDENTITY
        ]
        kinds = [type(operation).__name__ for operation in steps]
        if not self.is_affine or kinds not in (
            ["GlobalAveragePooling2D", "Logits"],
            ["GlobalAveragePooling2D", "Dense"],
        ):
            return None
        dense = steps[-1]
        kernel = np.asarray(dense.kernel, np.float32)
        bias = (
            np.zeros(kernel.shape[1], np.float32)
            if dense.bias is None
            else np.asarray(dense.bias, np.float32)
        )
        return kernel, bias

    @functools.cached_property
    def is_affine(self) -> bool:
        """Whether the logits are affine in the features and single precision, so that a decomposition can be exact."""
        return (
            not self.sides
            and self.precision == "float32"
            and all(_is_affine(s.operation) for s in self.head)
        )

    @functools.cached_property
    def precision(self) -> str:
        """What the head computes in: float32, or the half precision of a mixed-precision model."""
        found = {getattr(step.operation, "compute_dtype", None) for step in self.head}
        return next((str(dtype) for dtype in ("float16", "bfloat16") if dtype in found), "float32")

    @property
    def head_in_words(self) -> str:
        if self.pooled_weights is not None:
            return "global average pooling and one dense layer, read in closed form"
        names = " -> ".join(type(step.operation).__name__ for step in self.head[:6])
        more = f" -> ... ({len(self.head)} steps)" if len(self.head) > 6 else ""
        kind = "affine" if self.is_affine else "not affine"
        if self.precision != "float32":
            kind = f"computed in {self.precision}"
        return f"{names or 'none'}{more}, {kind}, by gradient through the head"

    def bias(self, selector: Floats) -> float | None:
        """y at features of zero where the head is affine: the part of the logit that lies in no cell."""
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
        selectors : float32 (N, units), y = selector . logits of each case; None = no gradients wanted.

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
        """dy/dA (N, h, w, channels) for other classes on features already computed."""
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
        values = run(self.features, {self.input: batch})
        features, sides = values[self.cut], tuple(values[i] for i in self.sides)
        return features, sides, tf.cast(self._head_steps(features, sides), tf.float32)

    def _forward_and_gradients(self, batch: Any, selectors: Any) -> Any:
        values = run(self.features, {self.input: batch})
        features, sides = values[self.cut], tuple(values[i] for i in self.sides)
        logits, gradients = self._gradients(features, sides, selectors)
        return features, sides, logits, gradients

    def _gradients(self, features: Any, sides: tuple[Any, ...], selectors: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch(features)
            logits = tf.cast(self._head_steps(features, sides), tf.float32)
            explained = tf.reduce_sum(logits * selectors)
        return logits, tf.cast(
            tape.gradient(explained, features, unconnected_gradients="zero"), tf.float32
        )

    def _head_steps(self, features: Any, sides: tuple[Any, ...]) -> Any:
        values = run(self.head, {self.cut: features, **dict(zip(self.sides, sides, strict=True))})
        return tf.reshape(values[self.output], (-1, self.classifier.num_units))


def _check_layout(graph: Graph) -> None:
    for step in graph.steps:
        if getattr(step.operation, "data_format", None) == "channels_first":
            raise ModelError(
                f"the layer {step.name!r} takes channels first, expected (batch, rows, columns, channels)",
                "rebuild the model with data_format='channels_last'; its weights stay as they are",
            )


def _check_input(graph: Graph, shape: tuple[int, int, int]) -> tuple[int, int, int]:
    expected = graph.input_shape
    if len(expected) != 4:
        raise ModelError(
            f"the model takes {expected}, expected one image (batch, rows, columns, channels)",
            "audit an image classifier of one input",
        )
    if any(
        want is not None and want != have for want, have in zip(expected[1:], shape, strict=True)
    ):
        rows, columns, channels = expected[1:]
        raise ModelError(
            f"the model takes {rows}x{columns}x{channels} (rows x columns x channels), "
            f"the config makes {shape[0]}x{shape[1]}x{shape[2]}",
            f"set preprocess.rows: {rows}, preprocess.columns: {columns}, preprocess.channels: {channels}",
        )
    return shape


def _count_units(graph: Graph) -> int:
    shape = _maker_of_output(graph).shape
    if any(size != 1 for size in shape[1:-1]):
        raise ModelError(
            f"the output of the model has the shape {shape}, expected one score a class: (None, classes)",
            "audit a classifier, not a segmentation; or pool its output and save it again",
        )
    return int(shape[-1] or 1) if len(shape) > 1 else 1


def _without_activation(graph: Graph) -> tuple[Graph, str]:
    """The graph up to the logits, and the activation that was taken off."""
    last = _maker_of_output(graph)
    while _is_linear(last.operation, _IDENTITY + _RESHAPING) and (
        before := graph.maker(last.inputs[0])
    ):
        last = before
    kind, activation = type(last.operation).__name__, _activation(last.operation)
    if activation == "linear":
        return (
            (_with_log_odds(graph), LogOdds.says)
            if _gives_probabilities(graph, last)
            else (graph, "linear")
        )
    if activation not in _PROBABILITIES:
        raise ModelError(
            f"the output of the model has the activation {activation!r} ({kind}), expected sigmoid, softmax or logits",
            "save the model with a Dense output of one of these",
        )
    if kind not in ("Dense", "Activation", "Sigmoid", "Softmax"):
        return _with_log_odds(graph), LogOdds.says
    operation = Logits(last.operation) if kind == "Dense" else Linear()
    step = dataclasses.replace(last, operation=operation)
    return dataclasses.replace(
        graph, steps=tuple(step if s is last else s for s in graph.steps)
    ), activation


_PROBABILITIES = ("sigmoid", "softmax")


def _activation(operation: Any) -> str:
    """`linear` where a layer has none."""
    kind = type(operation).__name__
    if kind in ("Sigmoid", "Softmax"):
        return kind.lower()
    return getattr(getattr(operation, "activation", None), "__name__", "linear")


def _is_linear(operation: Any, kinds: tuple[str, ...]) -> bool:
    return type(operation).__name__ in (*kinds, "Activation") and _activation(operation) == "linear"


def _is_affine(operation: Any) -> bool:
    return type(operation).__name__ in _AFFINE and _activation(operation) == "linear"


def _gives_probabilities(graph: Graph, step: Step) -> bool:
    """Whether a step only pools, merges or reshapes what are probabilities already."""
    if _activation(step.operation) in _PROBABILITIES:
        return True
    pools = (*_POOLING, "GlobalMaxPooling2D", "MaxPooling2D", "Maximum", "Minimum", "Max")
    if not _is_linear(step.operation, (*_IDENTITY, *_RESHAPING, *_MERGING, *pools)):
        return False
    before = [graph.maker(value) for value in step.inputs]
    return all(s is not None and _gives_probabilities(graph, s) for s in before)


def _with_log_odds(graph: Graph) -> Graph:
    last, output = (
        _maker_of_output(graph),
        max(value for step in graph.steps for value in step.outputs) + 1,
    )
    step = Step(
        f"{last.name}/log_odds", LogOdds(), (Value(graph.output),), {}, (output,), last.shape
    )
    return dataclasses.replace(graph, steps=(*graph.steps, step), output=output)


def _maker_of_output(graph: Graph) -> Step:
    step = graph.maker(graph.output)
    assert step is not None
    return step


class Linear:
    """In the place of an activation that was taken off."""

    def __call__(self, logits: Any) -> Any:
        return logits


class LogOdds:
    """p -> log(p / (1 - p)). Of a float32 p next to 0 or 1 the gradient is 0: the map is then `saturated`."""

    says = "log odds of a probability"

    def __call__(self, p: Any) -> Any:
        p = keras.ops.cast(p, "float32")
        inside = keras.ops.clip(p, float(np.finfo(np.float32).tiny), 1 - 2.0**-24)
        return keras.ops.log(inside) - keras.ops.log1p(-inside)


class Logits:
    """A Dense layer without its activation."""

    activation = None

    def __init__(self, dense: Any) -> None:
        self.dense, self.weights = dense, dense.weights
        self.kernel, self.bias = dense.kernel, dense.bias
        self.compute_dtype = dense.compute_dtype

    def __call__(self, features: Any) -> Any:
        dtype = self.compute_dtype
        logits = keras.ops.matmul(
            keras.ops.cast(features, dtype), keras.ops.cast(self.kernel, dtype)
        )
        return logits if self.bias is None else logits + keras.ops.cast(self.bias, dtype)


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
            f"the model has {num_units} output unit{'s' if num_units > 1 else ''}, but classifier.class_names has "
            f"{len(names)} names",
            f"give {'two: [negative, positive]' if num_units == 1 else expected}",
        )
    return names


def _sigmoid(z: float) -> float:
    return float(1 / (1 + np.exp(-z))) if z >= 0 else float(np.exp(z) / (1 + np.exp(z)))

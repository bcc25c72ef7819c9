"""A Keras model -> its features at a target layer, and the head that turns them into logits.

The activation of the output is taken off analytically, so that what is explained is the logit y
(`classes.py`). Where the output is a probability that is no activation of one layer (the mean of
two sigmoid heads), z = log(p / (1 - p)) of the unit. The head from global average pooling to one Dense layer is read in closed form:
dy/dA^k = w_k / Z everywhere, no gradient is computed.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from cxr_audit.classifier.cells import View, common_grid
from cxr_audit.classifier.classes import Classes
from cxr_audit.classifier.graph import (
    FRONT,
    Graph,
    Step,
    ancestors,
    behind,
    descendants,
    flatten,
    run,
)
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
from cxr_audit.classifier.passes import counted
from cxr_audit.classifier.receptive import Grid, Places, UnknownPlace, grid_of, places
from cxr_audit.classifier.tokens import grid_of_tokens
from cxr_audit.errors import ModelError
from cxr_audit.records import Floats, GridGeometry
from cxr_audit.vocabulary import Message, Text, message
from cxr_audit.vocabulary.nearest import nearest

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
_FEWEST_TOKENS = 4  # of a grid of 2x2
# Steps of two tensors without weights of their own that mix cells.
_MIXING = ("Dot", "Einsum", "Matmul", "Tensordot")
_RECURRENT = ("Bidirectional", "ConvLSTM2D", "GRU", "LSTM", "RNN", "SimpleRNN")


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


class Runtime(Protocol):
    """What computes forward passes in the place of TensorFlow.

    Parameters
    ----------
    version : name and version, as records carry them.
    """

    version: str

    def forward(self, split: Split, batch: Floats) -> tuple[Any, tuple[Any, ...], Floats]:
        """Features (N, h, w, channels), side values and logits (N, units) of a batch."""


class Classifier(Classes):
    """A Keras model opened: logits, classes, target layers, and a `Split` at any of them.

    Parameters
    ----------
    input_shape : (rows, columns, channels) of the model input, in pixels.
    class_names : one an output unit; two for one sigmoid unit, (negative, positive).
    target_class : the class that is explained; None = the last one.
    threshold : probability from which the target is predicted, in (0, 1); None = 0.5.
    threshold_source : where the threshold comes from, in words.
    output : what the outputs are, where the last layer does not say; see `output.Stated`.
    output_name : of a model with several outputs, the one that is audited.
    front : a model that prepares the input; it is audited with the model as one function.
    further : names of the inputs beside the image, in the order of their numbers.

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
        output_name: str | None = None,
        front: keras.Model | None = None,
        further: tuple[str, ...] = (),
    ) -> None:
        self.name = model.name
        self.model, self.front = model, front
        self.raw_graph = _graph_of(model, front, input_shape, output_name, further)
        _check_layout(self.raw_graph)
        self.parameters = int(model.count_params())
        self.input_shape = _check_input(self.raw_graph, input_shape)
        if front is not None:
            self._check_front()
        num_units = _count_units(self.raw_graph)
        self.output = read_output(self.raw_graph, num_units, output)
        self.graph = self.output.graph
        self.runtime: Runtime | None = None
        super().__init__(
            num_units,
            self.output.kind,
            self.output.activation,
            class_names,
            target_class,
            threshold,
            threshold_source,
        )

    def _check_front(self) -> None:
        """Refuse a preprocessing model that moves pixels, or of which nothing is known."""
        graph = self.raw_graph
        shapes = _shapes(graph, self.input_shape)
        known = places(graph, shapes, self.input_shape)
        for step in reversed(graph.steps):
            if not step.name.startswith(FRONT):
                continue
            where = known[step.outputs[0]]
            if isinstance(where, UnknownPlace):
                raise ModelError(
                    f"the step {where.step!r} of preprocess.model cannot be followed: where its "
                    "pixels lie in the radiograph is not known",
                    "use steps that work pixel by pixel; resize and crop by preprocess.resize",
                )
            axes = [(0, 0.0), (1, 0.0), None]
            found = [axis and (axis.of, axis.centre) for axis in where]
            is_even = all(axis is None or axis.jump == 1 for axis in where)
            if found != axes or not is_even:
                raise ModelError(
                    f"preprocess.model moves or resizes the image, in or before {step.name!r}",
                    "use steps that work pixel by pixel; resize and crop by preprocess.resize",
                )
            return

    @property
    def packed_shape(self) -> tuple[int, int, int]:
        rows, columns, channels = self.input_shape
        return rows, columns, channels + self.graph.num_further

    @functools.cached_property
    def places(self) -> dict[int, Places]:
        """Where the cells of every value of the graph lie in the image."""
        return places(self.graph, self.shapes, self.packed_shape)

    @functools.cached_property
    def _grids(self) -> dict[str, tuple[Step, Grid, Candidate]]:
        """By layer, from the first convolution (or cutting into patches) to the logit: every layer
        with a grid larger than 1x1. Where there is none, the first tokens that form a grid.
        """
        steps = self.graph.steps
        convolutions = {
            s.outputs[0] for s in steps if _makes_cells(s) and not s.name.startswith(FRONT)
        }
        convolved = descendants(steps, convolutions)
        grids: dict[str, tuple[Step, Grid, Candidate]] = {}
        for step, shape in self.shapes:
            value = step.outputs[0]
            grid = grid_of(self.places[value], shape) if value in convolved else None
            if grid is not None:
                kind = type(step.operation).__name__
                candidate = Candidate(step.name, kind, grid.size, int(shape[3]), grid.geometry)
                grids[step.name] = step, grid, candidate
        return grids or self._token_grids()

    def _token_grids(self) -> dict[str, tuple[Step, Grid, Candidate]]:
        """The first tokens (batch, tokens, channels) that form a grid of the image; see `tokens`."""
        for step, shape in self.shapes:
            (value, *others) = step.outputs
            if others or len(shape) != 3 or None in shape[1:] or shape[1] < _FEWEST_TOKENS:
                continue
            grid = grid_of_tokens(self.graph, value, self.packed_shape)
            if grid is not None:
                kind = type(step.operation).__name__
                candidate = Candidate(step.name, kind, grid.size, int(shape[2]), grid.geometry)
                return {step.name: (step, grid, candidate)}
        return {}

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
        if not self._grids:
            if not any(_makes_cells(step) for step in self.graph.steps):
                raise ModelError(
                    f"the model {self.name!r} has no convolution, and none of its layers has tokens "
                    f"that form a grid of the image; maps need one{self._unknown()}",
                    "audit an image classifier",
                )
            raise ModelError(
                f"no layer of the model {self.name!r} has a grid larger than 1x1{self._unknown()}",
                "audit an image classifier",
            )
        if layer == "auto":
            return self._auto()
        names = self.last_grids if layer == " + ".join(self.last_grids) else (layer,)
        for name in names:
            self._known_grid(name)
        return Split(self, self._views(names))

    def _auto(self) -> Split:
        """The last grid of every branch. Where the cells are mixed as tokens, and one layer lies
        on all paths to the logit, that layer alone: residual paths around attention are no
        branches of the model.
        """
        split = Split(self, self._views(self.last_grids))
        if not split.mixes_tokens or (len(split.views) == 1 and not split.sides):
            return split
        for name in reversed(self._grids):
            single = Split(self, self._views((name,)))
            if not single.sides:
                return single
        return split

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
            near = nearest(layer, names, 0.4) or names[-1]
            raise ModelError(
                f"the model has no layer {layer!r}; perhaps you meant {near!r}",
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

    def in_tensorflow(self) -> Classifier:
        """The same classifier, its forward passes computed by TensorFlow."""
        other = copy.copy(self)
        other.runtime = None
        return other

    def exchanged(self, operations: Mapping[int, Any]) -> Classifier:
        """The same classifier with other operations, by the id of those that they replace; this one
        stays as it is. Always computed by TensorFlow.
        """
        other = self.in_tensorflow()
        steps = []
        for step in self.graph.steps:
            operation = operations.get(id(step.operation), step.operation)
            steps.append(dataclasses.replace(step, operation=operation))
        other.graph = dataclasses.replace(self.graph, steps=tuple(steps))
        for kept in ("shapes", "places", "_grids", "last_grids"):
            other.__dict__.pop(kept, None)
        return other

    @functools.cached_property
    def shapes(self) -> list[tuple[Step, tuple[Any, ...]]]:
        """Every step with its output's shape at the audit's input size.

        Measured where the model leaves rows and columns open, and where a layer announces another
        shape than it gives at inference (RandomCrop).
        """
        return _shapes(self.graph, self.packed_shape)


def _shapes(graph: Graph, input_shape: tuple[int, int, int]) -> list[tuple[Step, tuple[Any, ...]]]:
    is_open = any(size is None for step in graph.steps for size in step.shape[1:])
    crops = any(type(step.operation).__name__ == "RandomCrop" for step in graph.steps)
    if not (is_open or crops):
        return [(step, step.shape) for step in graph.steps]
    values: dict[int, Any] = {graph.input: np.zeros((1, *input_shape), np.float32)}
    shapes = []
    for step in graph.steps:
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
    def mixes_tokens(self) -> bool:
        """Whether the head mixes cells that have no place any more, as attention does with tokens
        and a recurrent layer with a sequence.

        One gradient at the layer then says little: see the method token-integrated-gradients.
        """
        if self.is_affine:
            return False
        shapes = {step.outputs[0]: shape for step, shape in self.classifier.shapes}
        for step in self.head:
            shape = shapes[step.outputs[0]]
            cells = [size for size in shape[1:-1] if size != 1]
            kind = type(step.operation).__name__
            if kind in _RECURRENT:
                return True
            is_mixing = kind in _MIXING and len(set(step.inputs)) > 1
            if cells and (is_mixing or getattr(step.operation, "weights", None)):
                return True
        return False

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

    def weights_have_changed(self) -> None:
        """Read the head's weights again where they are kept in closed form."""
        self.__dict__.pop("pooled_weights", None)

    def bias(self, selector: Floats) -> float | None:
        """y at features of zero where the head is affine: the part of the logit that lies in no
        cell.
        """
        if not self.is_affine:
            return None
        zeros = tf.zeros((1, *self.layer.grid, self.layer.channels))
        logits = self._head_steps(zeros, ())
        return float(np.asarray(logits, np.float64)[0] @ selector.astype(np.float64))

    @counted
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
        runtime = self.classifier.runtime
        if selectors is None or self.pooled_weights is not None or runtime is not None:
            features, sides, logits = self._run_forward(batch)
            gradients = None if selectors is None else self.gradients(features, sides, selectors)
            return features, sides, logits, gradients
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
        return self.through_head(features, sides, selectors)[1]

    def through_head(
        self, features: Any, sides: tuple[Any, ...], selectors: Floats
    ) -> tuple[Floats, Floats]:
        """Logits (N, units) and gradients dy/dA (N, h, w, channels) at other features.

        Parameters
        ----------
        features, sides : tensors as `forward` gives them.
        selectors : float32 (N, units), y = selector . logits of each case.
        """
        logits, gradients = self._head_gradients(features, sides, tf.constant(selectors))
        return np.asarray(logits), np.asarray(gradients)

    def _closed_form(self, selectors: Floats) -> Floats:
        assert self.pooled_weights is not None
        rows, columns = self.layer.grid
        weights = selectors @ self.pooled_weights[0].T / np.float32(rows * columns)
        return np.broadcast_to(
            weights[:, None, None, :], (len(weights), rows, columns, weights.shape[-1])
        )

    def _run_forward(self, batch: Floats) -> tuple[Any, tuple[Any, ...], Floats]:
        """Features, side values and logits, without any gradient, in the runtime that is set."""
        runtime = self.classifier.runtime
        if runtime is not None:
            return runtime.forward(self, batch)
        features, sides, logits = self._forward(tf.constant(batch))
        return features, sides, np.asarray(logits)

    def forward_steps(self, batch: Any) -> tuple[Any, ...]:
        """What a runtime exports: features, each side value, logits, for a batch as a tensor."""
        features, sides, logits = self._forward_steps(batch)
        return (features, *sides, logits)

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


def _graph_of(
    model: keras.Model,
    front: keras.Model | None,
    input_shape: tuple[int, int, int],
    output_name: str | None,
    further: tuple[str, ...],
) -> Graph:
    """The steps of a model, behind those of the model that prepares its input."""
    if front is None:
        return flatten(model, input_shape, output_name, further)
    if further:
        raise ModelError(
            "preprocess.model is for models of one image; this one has further inputs",
            "put the preprocessing steps into the model and save it again",
        )
    first = flatten(front, input_shape)
    shape = maker_of_output(first).shape[1:]
    if len(shape) != 3:
        raise ModelError(
            f"preprocess.model gives {tuple(shape)}, expected an image (rows, columns, channels)",
            "name a model of the pixel-wise preprocessing steps",
        )
    rows, columns, channels = (have or want for have, want in zip(shape, input_shape, strict=True))
    graph = flatten(model, (rows, columns, channels), output_name)
    for want, have in zip(graph.input_shape[1:], shape, strict=True):
        if None not in (want, have) and want != have:
            raise ModelError(
                f"the model takes {graph.input_shape[1:]} (rows, columns, channels), but "
                f"preprocess.model gives {tuple(shape)}",
                "name the preprocessing model that was saved with this classifier",
            )
    return behind(first, graph)


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


def _makes_cells(step: Step) -> bool:
    kind = type(step.operation).__name__
    return "Conv" in kind or kind == "ExtractPatches"


def _is_affine(operation: Any) -> bool:
    for layer in (operation, getattr(operation, "dense", None)):
        if getattr(layer, "quantization_mode", None):
            return False  # its inputs are rounded
    if type(operation).__name__ == "Cast":
        return str(operation.dtype) in ("float32", "float64")
    return type(operation).__name__ in _AFFINE and activation_of(operation) == "linear"


__all__ = ["Candidate", "Classifier", "Logits", "Output", "Split"]

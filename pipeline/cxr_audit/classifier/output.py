"""The end of a graph -> what its outputs are, and the same graph ending in logits.

An activation of the last layer is taken off analytically. Where the output is a probability that is
no activation of one layer (the mean of two sigmoid heads), its log-odds are put on top. What is
neither read from the layers nor said by `classifier.output` stays a question: a guess would print a
wrong probability.
"""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np

from cxr_audit.classifier.graph import Graph, Step, Value
from cxr_audit.errors import ModelError

Stated = Literal["logits", "probabilities", "softmax", "sigmoid", "multi_label"]
"""`classifier.output`. Of an output without an activation, `logits`, `softmax`, `sigmoid` and
`multi_label` say that it is logits, and of what; `probabilities` that it is probabilities already.
"""

Kind = Literal["sigmoid", "softmax", "multi_label", "probabilities"]
"""How a probability follows from the values at the end of the graph."""

PROBABILITIES = ("sigmoid", "softmax")
# A clipping this close to 0 and 1 moves a probability by less than the parity gate allows.
CLIP = 1e-5

IDENTITY = (
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "Linear",
    "SpatialDropout2D",
)
RESHAPING = ("Flatten", "Permute", "Reshape", "Squeeze")
# Affine in all of their inputs together.
MERGING = ("Add", "Average", "Concatenate", "Subtract")
POOLING = ("AveragePooling2D", "GlobalAveragePooling2D", "Mean")
_MAXIMA = ("GlobalMaxPooling2D", "Max", "MaxPooling2D", "Maximum", "Min", "Minimum")
_ARITHMETIC = ("Add", "Divide", "Multiply", "Subtract", "TrueDivide")
_DENSE = ("Conv2D", "Dense", "Logits", "SeparableConv2D")
_CHOICES = "logits | probabilities | softmax | sigmoid | multi_label"


@dataclass(frozen=True, slots=True)
class Output:
    """What the outputs of a model are.

    Parameters
    ----------
    graph : ends in logits, or in the log-odds of probabilities.
    kind : how a probability follows from the values at the end of `graph`.
    activation : of the last layer, in a word, as records carry it.
    is_stated : the config says so.
    is_read : the last layer says so; False = a supposition that real outputs have to confirm.
    question : what the config has to answer before a case can be audited.
    answers : the values of `classifier.output` that answer it.
    """

    graph: Graph
    kind: Kind
    activation: str
    is_stated: bool = False
    is_read: bool = True
    question: str | None = None
    answers: str = _CHOICES

    def require_answer(self) -> None:
        """Raise `ModelError` where nobody has said what the outputs are."""
        if self.question is not None:
            raise ModelError(self.question, f"set classifier.output: {self.answers}")


def read_output(graph: Graph, num_units: int, stated: Stated | None = None) -> Output:
    """What the outputs of a graph are, from its last layers and from what the config says.

    Parameters
    ----------
    num_units : scores of one case.
    stated : `classifier.output`, or None where the config does not say.

    Raises
    ------
    ModelError : the last layer and the config contradict each other, or the output is constant.
    """
    refuse_one_label(num_units, stated)
    last = _behind_identities(graph)
    activation = activation_of(last.operation)
    if activation in PROBABILITIES:
        _check_activation(last, activation, num_units, stated)
        if type(last.operation).__name__ in ("Activation", "Dense", "Sigmoid", "Softmax"):
            kind = kind_of_activation(activation, num_units, stated)
            return Output(_without(graph, last), kind, activation, stated is not None)
    if gives_probabilities(graph, last):
        _check_probabilities(last, stated)
        return _of_probabilities(graph, stated)
    if stated == "probabilities":
        return _of_probabilities(graph, stated)
    return _of_logits(graph, last, num_units, stated)


def refuse_one_label(num_units: int, stated: Stated | None) -> None:
    """Raise `ModelError` where one unit is said to be several."""
    if num_units == 1 and stated in ("multi_label", "softmax"):
        raise ModelError(
            f"classifier.output is {stated}, but the model has one output unit",
            "set classifier.output: sigmoid, logits or probabilities",
        )


def kind_of_activation(activation: str, num_units: int, stated: Stated | None) -> Kind:
    """How a probability follows from the value under a sigmoid or a softmax."""
    if activation == "softmax":
        return "softmax"
    return "multi_label" if num_units > 2 or stated == "multi_label" else "sigmoid"


def kind_of_logits(num_units: int, stated: Stated) -> Kind:
    """How a probability follows from logits, by what the config says of them.

    Raises
    ------
    ModelError : it does not say enough.
    """
    refuse_one_label(num_units, stated)
    if stated == "softmax" or stated == "multi_label":
        return stated
    if stated == "sigmoid":
        return "multi_label" if num_units > 2 else "sigmoid"
    if num_units > 2:
        raise ModelError(
            f"classifier.output is logits, but {num_units} logits may be one softmax (exactly "
            "one class holds) or several labels (each has a sigmoid)",
            "set classifier.output: softmax or multi_label",
        )
    return _supposed(num_units)


def activation_of(operation: Any) -> str:
    """The name of the activation of a layer; `linear` where it has none."""
    kind = type(operation).__name__
    if kind in ("Sigmoid", "Softmax"):
        return kind.lower()
    return getattr(getattr(operation, "activation", None), "__name__", "linear")


def is_linear(operation: Any, kinds: tuple[str, ...]) -> bool:
    """Whether an operation is one of some kinds, or an activation layer, and has no activation."""
    return (
        type(operation).__name__ in (*kinds, "Activation") and activation_of(operation) == "linear"
    )


def maker_of_output(graph: Graph) -> Step:
    """The step that computes the output."""
    step = graph.maker(graph.output)
    assert step is not None
    return step


def _behind_identities(graph: Graph) -> Step:
    """The last step that computes something: behind reshaping, casts and dropouts."""
    last = maker_of_output(graph)
    while before := _before_identity(graph, last):
        last = before
    return last


def _before_identity(graph: Graph, step: Step) -> Step | None:
    """The step before one that leaves a probability as it is, None where it changes something."""
    if not step.inputs or not is_identity(step):
        return None
    before = graph.maker(step.inputs[0])
    if type(step.operation).__name__ != "Clip" or before is None:
        return before
    behind = before
    while further := _before_identity(graph, behind):
        behind = further
    return before if activation_of(behind.operation) in PROBABILITIES else None


def is_identity(step: Step) -> bool:
    """Whether a step leaves a probability as it is, to within `CLIP`."""
    operation, kind = step.operation, type(step.operation).__name__
    if kind == "Cast":
        return "float" in str(operation.dtype)
    if kind == "Rescaling":
        return bool(np.all(operation.scale == 1) and np.all(operation.offset == 0))
    if kind == "Clip":
        bounds = operation.x_min, operation.x_max
        return bool(np.all(bounds[0] <= CLIP) and np.all(bounds[1] >= 1 - CLIP))
    return is_linear(operation, IDENTITY + RESHAPING)


def _check_activation(last: Step, activation: str, num_units: int, stated: Stated | None) -> None:
    if activation == "softmax":
        if num_units == 1:
            raise ModelError(
                f"the output layer {last.name!r} is a softmax over one unit: its output is 1 for "
                "every image",
                "train the model with a sigmoid unit, or with two softmax units",
            )
        axis = getattr(last.operation, "axis", -1)
        axes = {a % len(last.shape) for a in (axis if isinstance(axis, list | tuple) else [axis])}
        if (
            any(last.shape[a] not in (1, num_units) for a in axes)
            or len(last.shape) - 1 not in axes
        ):
            raise ModelError(
                f"the softmax {last.name!r} runs over axis {axis}, expected the classes (axis -1)",
                "save the model with a softmax over its classes",
            )
    allowed = {
        "sigmoid": (None, "sigmoid", "probabilities", "multi_label"),
        "softmax": (None, "softmax", "probabilities"),
    }[activation]
    if stated not in allowed:
        raise ModelError(
            f"classifier.output is {stated}, but the last layer {last.name!r} ends in a "
            f"{activation}",
            f"remove classifier.output: the {activation} is read from the model",
        )


def _check_probabilities(last: Step, stated: Stated | None) -> None:
    if stated not in (None, "probabilities"):
        raise ModelError(
            f"classifier.output is {stated}, but {last.name!r} gives probabilities: it combines "
            "outputs of a sigmoid or a softmax",
            "remove classifier.output",
        )


def _of_probabilities(graph: Graph, stated: Stated | None) -> Output:
    return Output(_with_log_odds(graph), "probabilities", LogOdds.says, stated is not None)


def _of_logits(graph: Graph, last: Step, num_units: int, stated: Stated | None) -> Output:
    """Of an output without a sigmoid or a softmax, which the config does not call probabilities."""
    if stated is not None:
        return Output(graph, kind_of_logits(num_units, stated), "linear", is_stated=True)
    question, answers = None, _CHOICES
    if not _is_affine_of_dense(graph, last):
        question = (
            f"the output of the model comes from {last.name!r} ({type(last.operation).__name__}"
            f"{_with_activation(last)}); whether it is a probability or a logit cannot be read"
        )
    elif num_units > 2:
        question = (
            f"the model has {num_units} outputs without an activation; they may be one softmax "
            "(exactly one class holds) or several labels (each has a sigmoid)"
        )
        answers = "softmax | multi_label | probabilities"
    supposition = _supposed(num_units)
    return Output(graph, supposition, "linear", is_read=False, question=question, answers=answers)


def _with_activation(step: Step) -> str:
    activation = activation_of(step.operation)
    return "" if activation == "linear" else f", activation {activation!r}"


def _supposed(num_units: int) -> Kind:
    return "sigmoid" if num_units == 1 else "softmax"


def gives_probabilities(graph: Graph, step: Step) -> bool:
    """Whether a step only pools, selects, multiplies or reshapes what are probabilities already."""
    if activation_of(step.operation) in PROBABILITIES:
        return True
    kind = type(step.operation).__name__
    if kind in ("Divide", "TrueDivide"):
        return _is_share_of_sum(graph, step)
    keeps = ("Average", "Concatenate", "Multiply", *POOLING, *_MAXIMA)
    if not (is_identity(step) or _clips_inside(step) or is_linear(step.operation, keeps)):
        return False
    if kind in _ARITHMETIC and _has_constant(step):
        return False
    before = [graph.maker(value) for value in step.inputs]
    return all(s is not None and gives_probabilities(graph, s) for s in before)


def _clips_inside(step: Step) -> bool:
    if type(step.operation).__name__ != "Clip":
        return False
    return bool(np.all(step.operation.x_min >= 0) and np.all(step.operation.x_max <= 1))


def _has_constant(step: Step) -> bool:
    leaves = keras.tree.flatten((step.args, step.kwargs))
    return not all(isinstance(leaf, Value) for leaf in leaves)


def _is_share_of_sum(graph: Graph, step: Step) -> bool:
    """p / sum(p): probabilities of classes, scaled to sum to 1."""
    if len(step.inputs) != 2:
        return False
    share, total = step.inputs
    above, below = graph.maker(share), graph.maker(total)
    if above is None or below is None or type(below.operation).__name__ != "Sum":
        return False
    return below.inputs == (share,) and gives_probabilities(graph, above)


def _is_affine_of_dense(graph: Graph, step: Step) -> bool:
    """Whether a step is a dense layer or convolution, or an affine function of such: a logit."""
    kind = type(step.operation).__name__
    if activation_of(step.operation) != "linear":
        return False
    if kind in _DENSE:
        return True
    affine = (*MERGING, *POOLING, *_MAXIMA, "BatchNormalization", "Normalization", "Rescaling")
    is_scaled = kind in _ARITHMETIC and len(step.inputs) == 1
    if not (is_identity(step) or is_scaled or is_linear(step.operation, affine)):
        return False
    before = [graph.maker(value) for value in step.inputs]
    return all(s is not None and _is_affine_of_dense(graph, s) for s in before)


def _without(graph: Graph, last: Step) -> Graph:
    """The graph without the activation of a step, and without a clipping after it."""
    steps = []
    is_after = False
    for step in graph.steps:
        operation = step.operation
        if step is last:
            is_after = True
            is_dense = type(operation).__name__ == "Dense"
            operation = Logits(operation) if is_dense else Linear()
        elif is_after and type(operation).__name__ == "Clip":
            operation = Linear()
        steps.append(dataclasses.replace(step, operation=operation))
    return dataclasses.replace(graph, steps=tuple(steps))


def _with_log_odds(graph: Graph) -> Graph:
    last = maker_of_output(graph)
    output = max(value for step in graph.steps for value in step.outputs) + 1
    step = Step(
        f"{last.name}/log_odds", LogOdds(), (Value(graph.output),), {}, (output,), last.shape
    )
    return dataclasses.replace(graph, steps=(*graph.steps, step), output=output)


class Linear:
    """In the place of an activation that was taken off."""

    def __call__(self, logits: Any, *_: Any, **__: Any) -> Any:
        return logits


class LogOdds:
    """p -> log(p / (1 - p)). Of a float32 p next to 0 or 1 the gradient is 0: the map is then
    `saturated`.
    """

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
        self._quantized = None
        if getattr(dense, "quantization_mode", None):
            # Its kernel is whole numbers with a scale, and its inputs are rounded as well.
            self._quantized = copy.copy(dense)
            self._quantized.activation = keras.activations.linear

    def __call__(self, features: Any) -> Any:
        if self._quantized is not None:
            return self._quantized(features)
        dtype = self.compute_dtype
        logits = keras.ops.matmul(
            keras.ops.cast(features, dtype), keras.ops.cast(self.kernel, dtype)
        )
        return logits if self.bias is None else logits + keras.ops.cast(self.bias, dtype)

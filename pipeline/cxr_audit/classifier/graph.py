"""A Keras model -> a flat list of steps, whatever the depth of nesting.

A Functional or Sequential model is a graph of operations; a backbone used as a layer is a graph
inside it; a subclass of keras.Model becomes one by calling it on a placeholder. `flatten` writes
all of them out as one list in order of execution: each step calls one layer or operation on
numbered values. A list can be cut anywhere: what a step needs is named, not implied.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
from keras import tree

from cxr_audit.errors import ModelError

FRONT = "preprocess/"
"""How the names of steps of a preprocessing model begin."""


@dataclass(frozen=True, slots=True)
class Value:
    """The place of a tensor in a run of the steps."""

    index: int


@dataclass(frozen=True, slots=True)
class Step:
    """One call.

    Parameters
    ----------
    name : the layer's path (`backbone/conv1`).
    args, kwargs : of the call, with a `Value` for each tensor.
    outputs : the values that it computes.
    shape : of the first output, with None for the batch.
    """

    name: str
    operation: Any
    args: Any
    kwargs: Any
    outputs: tuple[int, ...]
    shape: tuple[int | None, ...]

    @property
    def inputs(self) -> tuple[int, ...]:
        return tuple(
            v.index for v in tree.flatten((self.args, self.kwargs)) if isinstance(v, Value)
        )

    def call(self, values: dict[int, Any]) -> None:
        """Run on `values`, in inference mode, and add the outputs to them."""
        args, kwargs = tree.map_structure(
            lambda leaf: values[leaf.index] if isinstance(leaf, Value) else leaf,
            (self.args, self.kwargs),
        )
        if "training" in getattr(self.operation, "_call_context_args", {}):
            kwargs = {**kwargs, "training": False}
        result = self.operation(*args, **kwargs)
        values.update(zip(self.outputs, tree.flatten(result), strict=True))


@dataclass(frozen=True, slots=True)
class Graph:
    """Steps in order of execution.

    Parameters
    ----------
    input, output : the values at which they start and end.
    input_shape : of `input`; None = open.
    output_place : of `output` among the outputs of the model.
    num_further : numbers of further inputs, which are the last channels of the packed input.
    input_order : places of the image and of each further input among the inputs of the model.
    """

    steps: tuple[Step, ...]
    input: int
    output: int
    input_shape: tuple[int | None, ...]
    output_place: int = 0
    num_further: int = 0
    input_order: tuple[int, ...] = (0,)

    def maker(self, value: int) -> Step | None:
        """The step that computes a value; None for the input."""
        return next((step for step in self.steps if value in step.outputs), None)


class Channels:
    """Takes channels of the packed input: the image, or the numbers of one further input."""

    def __init__(self, name: str, start: int, end: int, is_image: bool) -> None:
        self.name, self.start, self.end, self.is_image = name, start, end, is_image

    def __call__(self, packed: Any) -> Any:
        chosen = packed[..., self.start : self.end]
        return chosen if self.is_image else chosen[:, 0, 0]


def flatten(
    model: keras.Model,
    input_shape: tuple[int, int, int],
    output_name: str | None = None,
    further: Sequence[str] = (),
) -> Graph:
    """All steps of a model from its input to one output, nested models written out.

    Where the model has further inputs, its input is the image with their numbers as channels that
    are even.

    Parameters
    ----------
    input_shape : (rows, columns, channels), where the model does not say its own.
    output_name : of several outputs, the one that is meant.
    further : names of the inputs beside the image.

    Raises
    ------
    ModelError : inputs that are not named, several outputs of which none is named, or a subclass of
        keras.Model whose `call` does more than call layers and Keras operations.
    """
    placeholder = keras.Input(input_shape, name="image")
    function = _function_of(model, (placeholder,), {})
    image, others = _inputs(model.name, function, further)
    place = _place_of_output(model.name, function.output_names, output_name)
    steps: list[Step] = []
    counter = iter(range(10**9))
    start = next(counter)
    given = {id(image): start}
    if others:
        given = _unpacked(start, image, others, steps, counter)
    inputs = tuple(given[id(tensor)] for tensor in function.inputs)
    end = _inline(function, inputs, "", steps, counter)[place]
    needed = ancestors(steps, {end})
    kept = tuple(_unique_names(step for step in steps if needed.intersection(step.outputs)))
    for step in kept:
        _make_plain(step.operation)
    names = [tensor.name for tensor in function.inputs]
    order = tuple(names.index(name) for name in (image.name, *further))
    num_further = sum(_width(tensor) for tensor in others)
    return Graph(kept, start, end, tuple(image.shape), place, num_further, order)


def _inputs(model: str, function: Any, further: Sequence[str]) -> tuple[Any, list[Any]]:
    """(the image, the further inputs as the config orders them)."""
    by_name = {tensor.name: tensor for tensor in function.inputs}
    names = ", ".join(by_name)
    unknown = [name for name in further if name not in by_name]
    if unknown:
        raise ModelError(
            f"the model {model!r} has no input {unknown[0]!r}; its inputs are {names}",
            "set the names of classifier.inputs to these",
        )
    images = [tensor for name, tensor in by_name.items() if name not in further]
    if len(images) != 1:
        raise ModelError(
            f"the model {model!r} has {len(by_name)} inputs ({names}), expected one image",
            "say in classifier.inputs where each input beside the image comes from",
        )
    others = [by_name[name] for name in further]
    for tensor in others:
        if len(tensor.shape) != 2 or tensor.shape[1] is None:
            raise ModelError(
                f"the input {tensor.name!r} takes {tuple(tensor.shape)}, expected numbers "
                "(batch, numbers)",
                "audit a model of one image and further inputs of numbers",
            )
    return images[0], others


def _width(tensor: Any) -> int:
    return int(tensor.shape[1])


def _unpacked(
    start: int, image: Any, others: Sequence[Any], steps: list[Step], counter: Any
) -> dict[int, int]:
    """Steps that take the image and each further input from the packed one; their values."""
    given = {}
    channels = image.shape[-1]
    for tensor in (image, *others):
        is_image = tensor is image
        first = 0 if is_image else channels
        channels = channels if is_image else channels + _width(tensor)
        operation = Channels(tensor.name, first, channels, is_image)
        value = next(counter)
        name = f"{tensor.name}/input"
        steps.append(Step(name, operation, (Value(start),), {}, (value,), tuple(tensor.shape)))
        given[id(tensor)] = value
    return given


def behind(front: Graph, graph: Graph) -> Graph:
    """Two graphs as one: `graph` reads the output of `front`, whose steps are named `FRONT` + name."""
    offset = 1 + max(front.input, *(value for step in front.steps for value in step.outputs))

    def moved(leaf: Any) -> Any:
        if not isinstance(leaf, Value):
            return leaf
        if leaf.index == graph.input:
            return Value(front.output)
        return Value(leaf.index + offset)

    steps = [replace(step, name=FRONT + step.name) for step in front.steps]
    for step in graph.steps:
        args, kwargs = tree.map_structure(moved, (step.args, step.kwargs))
        outputs = tuple(value + offset for value in step.outputs)
        steps.append(replace(step, args=args, kwargs=kwargs, outputs=outputs))
    output = graph.output + offset
    return replace(
        graph, steps=tuple(steps), input=front.input, output=output, input_shape=front.input_shape
    )


def _place_of_output(model: str, names: Sequence[str], chosen: str | None) -> int:
    """The place of the output that is audited among those of the model."""
    if chosen is None and len(names) == 1:
        return 0
    known = ", ".join(names)
    if chosen is None:
        raise ModelError(
            f"the model {model!r} has {len(names)} outputs ({known})",
            "choose one: set classifier.output_name",
        )
    if list(names).count(chosen) != 1:
        raise ModelError(
            f"the model {model!r} has no single output {chosen!r}; its outputs are {known}",
            f"set classifier.output_name to one of: {known}",
        )
    return list(names).index(chosen)


def _make_plain(operation: Any) -> None:
    """Give an operation a name that TensorFlow takes: it knows fewer characters than Keras."""
    plain = re.sub(r"[^A-Za-z0-9.]", "_", operation.name).lstrip("_")
    operation.name = plain or "layer"


def ancestors(steps: Sequence[Step], values: set[int]) -> set[int]:
    """`values` and all values they are computed from."""
    reached = set(values)
    for step in reversed(steps):
        if reached.intersection(step.outputs):
            reached.update(step.inputs)
    return reached


def descendants(steps: Sequence[Step], values: set[int]) -> set[int]:
    """`values` and all values computed from them."""
    reached = set(values)
    for step in steps:
        if reached.intersection(step.inputs):
            reached.update(step.outputs)
    return reached


def run(steps: Iterable[Step], values: dict[int, Any]) -> dict[int, Any]:
    """Run steps on a copy of `values`; returns all values."""
    values = dict(values)
    for step in steps:
        step.call(values)
    return values


def _function_of(operation: Any, args: Any, kwargs: Any) -> Any:
    """The graph of a model; a subclass is called with the placeholders `args` and `kwargs`."""
    if isinstance(operation, keras.Sequential):
        if not operation.built or operation._functional is None:
            raise ModelError(
                f"the Sequential model {operation.name!r} has no input shape",
                "give it a keras.Input as its first layer and save it again",
            )
        return operation._functional
    if isinstance(operation, keras.src.models.functional.Functional):
        return operation
    if not operation.built:
        raise ModelError(
            f"the model {operation.name!r} has no weights yet",
            "call it once on an image, or load them",
        )
    inputs = [leaf for leaf in tree.flatten((args, kwargs)) if keras.utils.is_keras_tensor(leaf)]
    if "training" in inspect.signature(operation.call).parameters:
        kwargs = {**kwargs, "training": False}
    try:
        return keras.Model(inputs, operation.call(*args, **kwargs))
    except (
        AttributeError,
        KeyError,
        NotImplementedError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        lines = (str(error).strip() or type(error).__name__).splitlines()
        raise ModelError(
            f"the model {operation.name!r} is a subclass of keras.Model whose call() cannot be "
            f"read as a graph: {lines[0][:200]}",
            "use layers and keras.ops only in call(), or rebuild it as "
            "keras.Model(inputs, outputs)",
        ) from error


def _inline(
    function: Any, inputs: tuple[int, ...], prefix: str, steps: list[Step], counter: Any
) -> tuple[int, ...]:
    """Write out the steps of a network on the values `inputs`; return the values of its outputs."""
    values = {}
    for tensor, index in zip(function.inputs, inputs, strict=True):
        values[id(tensor)] = Value(index)
    for depth in sorted(function._nodes_by_depth, reverse=True):
        for node in function._nodes_by_depth[depth]:
            if not node.operation or node.is_input:
                continue
            outputs = _inline_node(node, values, prefix, steps, counter)
            for tensor, index in zip(node.outputs, outputs, strict=True):
                values[id(tensor)] = Value(index)
    return tuple(values[id(tensor)].index for tensor in function.outputs)


def _inline_node(
    node: Any, values: dict[int, Value], prefix: str, steps: list[Step], counter: Any
) -> tuple[int, ...]:
    """Write out one call: a step, or the steps of a nested network; return its output values."""
    args, kwargs = node.arguments.fill_in(values)
    name = f"{prefix}{node.operation.name}"
    if not isinstance(node.operation, keras.Model):
        outputs = tuple(next(counter) for _ in node.outputs)
        shape = tuple(node.outputs[0].shape)
        steps.append(Step(name, node.operation, args, kwargs, outputs, shape))
        return outputs
    placeholders = {}
    for tensor in node.input_tensors:
        placeholders[id(tensor)] = keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype)
    inner = _function_of(node.operation, *node.arguments.fill_in(placeholders))
    given = tuple(v.index for v in tree.flatten((args, kwargs)) if isinstance(v, Value))
    return _inline(inner, given, f"{name}/", steps, counter)


def _unique_names(steps: Iterable[Step]) -> Iterable[Step]:
    """A layer called more than once gets `#2`, `#3` at its later calls."""
    calls: dict[str, int] = {}
    for step in steps:
        calls[step.name] = calls.get(step.name, 0) + 1
        name = step.name if calls[step.name] == 1 else f"{step.name}#{calls[step.name]}"
        yield Step(name, step.operation, step.args, step.kwargs, step.outputs, step.shape)

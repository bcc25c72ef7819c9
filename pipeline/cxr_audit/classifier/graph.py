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
from dataclasses import dataclass
from typing import Any

import keras
from keras import tree

from cxr_audit.errors import ModelError


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
    """

    steps: tuple[Step, ...]
    input: int
    output: int
    input_shape: tuple[int | None, ...]

    def maker(self, value: int) -> Step | None:
        """The step that computes a value; None for the input."""
        return next((step for step in self.steps if value in step.outputs), None)


def flatten(model: keras.Model, input_shape: tuple[int, int, int]) -> Graph:
    """All steps of a model with one input and one output, nested models written out.

    `input_shape` is taken where the model does not say its own. Raises `ModelError` for several
    inputs or outputs, and for a subclass of keras.Model whose `call` does more than call layers and
    Keras operations.
    """
    placeholder = keras.Input(input_shape)
    function = _function_of(model, (placeholder,), {})
    for tensors, what in ((function.inputs, "inputs"), (function.outputs, "outputs")):
        if len(tensors) != 1:
            names = ", ".join(tensor.name for tensor in tensors)
            raise ModelError(
                f"the model {model.name!r} has {len(tensors)} {what} ({names}), expected one",
                f"audit a model of one {what[:-1]}",
            )
    steps: list[Step] = []
    counter = iter(range(10**9))
    start = next(counter)
    (end,) = _inline(function, (start,), "", steps, counter)
    needed = ancestors(steps, {end})
    kept = tuple(_unique_names(step for step in steps if needed.intersection(step.outputs)))
    for step in kept:
        _make_plain(step.operation)
    return Graph(kept, start, end, tuple(function.inputs[0].shape))


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

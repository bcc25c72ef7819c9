"""A Keras model -> a flat list of steps, whatever the depth of nesting.

A Functional or Sequential model is a graph of operations; a backbone used as a layer is a graph inside
it. `flatten` writes all of them out as one list in order of execution: each step calls one layer or
operation on numbered values. A list can be cut anywhere: what a step needs is named, not implied.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
from keras import tree

from pipeline.errors import ModelError


@dataclass(frozen=True, slots=True)
class Value:
    """The place of a tensor in a run of the steps."""

    index: int


@dataclass(frozen=True, slots=True)
class Step:
    """One call. `name` is the layer's path (`backbone/conv1`); `args` and `kwargs` hold `Value`s for tensors;
    `shape` is the first output's, with None for the batch."""

    name: str
    operation: Any
    args: Any
    kwargs: Any
    outputs: tuple[int, ...]
    shape: tuple[int | None, ...]

    @property
    def inputs(self) -> tuple[int, ...]:
        return tuple(v.index for v in tree.flatten((self.args, self.kwargs)) if isinstance(v, Value))

    def call(self, values: dict[int, Any]) -> None:
        """Run on `values`, in inference mode, and add the outputs to them."""
        args, kwargs = tree.map_structure(
            lambda leaf: values[leaf.index] if isinstance(leaf, Value) else leaf, (self.args, self.kwargs)
        )
        if "training" in getattr(self.operation, "_call_context_args", {}):
            kwargs = {**kwargs, "training": False}
        result = self.operation(*args, **kwargs)
        values.update(zip(self.outputs, tree.flatten(result), strict=True))


@dataclass(frozen=True, slots=True)
class Graph:
    """Steps in order of execution, from value `input` to value `output`."""

    steps: tuple[Step, ...]
    input: int
    output: int


def flatten(model: keras.Model) -> Graph:
    """All steps of a model with one input and one output, nested models written out.

    Raises `ModelError` for several inputs or outputs and for subclassed models, which have no graph.
    """
    function = _function_of(model)
    if function is None:
        raise ModelError(
            f"the model {model.name!r} is a subclass of keras.Model, whose graph cannot be read",
            "rebuild it as a Functional model: keras.Model(inputs, outputs)",
        )
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
    return Graph(tuple(_unique_names(step for step in steps if needed.intersection(step.outputs))), start, end)


def ancestors(steps: Sequence[Step], values: set[int]) -> set[int]:
    """`values` and all values they are computed from."""
    found = set(values)
    for step in reversed(steps):
        if found.intersection(step.outputs):
            found.update(step.inputs)
    return found


def descendants(steps: Sequence[Step], values: set[int]) -> set[int]:
    """`values` and all values computed from them."""
    found = set(values)
    for step in steps:
        if found.intersection(step.inputs):
            found.update(step.outputs)
    return found


def run(steps: Iterable[Step], values: dict[int, Any]) -> dict[int, Any]:
    """Run steps on a copy of `values`; returns all values."""
    values = dict(values)
    for step in steps:
        step.call(values)
    return values


def _function_of(operation: Any) -> Any:
    """The graph of a Functional or Sequential model, else None."""
    if isinstance(operation, keras.Sequential):
        if not operation.built or operation._functional is None:
            raise ModelError(
                f"the Sequential model {operation.name!r} has no input shape",
                "give it a keras.Input as its first layer and save it again",
            )
        return operation._functional
    return operation if isinstance(operation, keras.src.models.functional.Functional) else None


def _inline(function: Any, inputs: tuple[int, ...], prefix: str, steps: list[Step], counter: Any) -> tuple[int, ...]:
    values = {id(tensor): Value(index) for tensor, index in zip(function.inputs, inputs, strict=True)}
    for depth in sorted(function._nodes_by_depth, reverse=True):
        for node in function._nodes_by_depth[depth]:
            if not node.operation or node.is_input:
                continue
            args, kwargs = node.arguments.fill_in(values)
            name = f"{prefix}{node.operation.name}"
            inner = _function_of(node.operation)
            if inner is None:
                outputs = tuple(next(counter) for _ in node.outputs)
                steps.append(Step(name, node.operation, args, kwargs, outputs, tuple(node.outputs[0].shape)))
            else:
                given = tuple(v.index for v in tree.flatten((args, kwargs)) if isinstance(v, Value))
                outputs = _inline(inner, given, f"{name}/", steps, counter)
            values.update((id(t), Value(i)) for t, i in zip(node.outputs, outputs, strict=True))
    return tuple(values[id(tensor)].index for tensor in function.outputs)


def _unique_names(steps: Iterable[Step]) -> Iterable[Step]:
    """A layer called more than once gets `#2`, `#3` at its later calls."""
    calls: dict[str, int] = {}
    for step in steps:
        calls[step.name] = calls.get(step.name, 0) + 1
        name = step.name if calls[step.name] == 1 else f"{step.name}#{calls[step.name]}"
        yield Step(name, step.operation, step.args, step.kwargs, step.outputs, step.shape)

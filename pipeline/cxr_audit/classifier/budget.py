"""No network may build more parameters than its file holds.

A few bytes of JSON can ask for a layer of 10^12 weights. While a network is built, its
initializers count what they make and stop beyond the number of values in the file.
"""

from __future__ import annotations

import inspect
import math
from typing import Any

import keras

from cxr_audit.errors import ModelError

_SLACK = 4096  # counters and seeds that are not saved


class ParameterBudget:
    """Counts the values that initializers make while `open` is true.

    Parameters
    ----------
    num_values : number of values in the file's arrays.
    """

    def __init__(self, num_values: int) -> None:
        self.limit = num_values + _SLACK
        self.used = 0
        self.open = True

    def take(self, shape: Any) -> None:
        """Raises `ModelError` where the network asks for more values than the file holds."""
        if not self.open:
            return
        self.used += math.prod(shape)
        if self.used > self.limit:
            raise ModelError(
                f"its network asks for {self.used:,} parameters, the file holds {self.limit:,}",
                "copy it again, or save it again",
            )

    def initializers(self) -> dict[str, type[keras.Initializer]]:
        """Keras' initializers by class name, each as a subclass that counts."""
        return {name: self._counting(kind) for name, kind in INITIALIZERS.items()}

    def _counting(self, kind: type[keras.Initializer]) -> type[keras.Initializer]:
        budget = self

        def call(initializer: Any, shape: Any, *args: Any, **kwargs: Any) -> Any:
            budget.take(shape)
            return kind.__call__(initializer, shape, *args, **kwargs)

        # The name and module of the original: the loaded model is saved as if it had the original.
        members = {"__call__": call, "__module__": kind.__module__, "__doc__": kind.__doc__}
        return type(kind.__name__, (kind,), members)


def _own_initializers() -> dict[str, type[keras.Initializer]]:
    initializers: dict[str, type[keras.Initializer]] = {}
    for value in vars(keras.initializers).values():
        if inspect.isclass(value) and issubclass(value, keras.Initializer):
            initializers[value.__name__] = value
    initializers.pop("Initializer", None)
    return initializers


INITIALIZERS = _own_initializers()


def name_initializers(node: Any) -> Any:
    """The network's JSON with every initializer as an object that a custom class may replace.

    Initializers given by a name ("zeros") or left to the layer's default are written out.
    """
    if isinstance(node, list):
        return [name_initializers(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: name_initializers(value) for key, value in node.items()}
    settings = node.get("config")
    if isinstance(node.get("class_name"), str) and isinstance(settings, dict):
        for key, default in _defaults(node["class_name"]).items():
            settings.setdefault(key, default)
        for key, value in settings.items():
            if key.endswith("_initializer"):
                settings[key] = _written_out(value)
    return node


def _defaults(kind: str) -> dict[str, str]:
    """The initializers that a layer takes, with their names."""
    layer = vars(keras.layers).get(kind)
    if not inspect.isclass(layer):
        return {}
    return {
        name: parameter.default
        for name, parameter in inspect.signature(layer.__init__).parameters.items()
        if name.endswith("_initializer") and isinstance(parameter.default, str)
    }


def _written_out(value: Any) -> Any:
    if isinstance(value, str):
        made = keras.initializers.get(value)
        value = {"class_name": type(made).__name__, "config": made.get_config()}
    if isinstance(value, dict) and value.get("class_name") in INITIALIZERS:
        kind = value["class_name"]
        return {"class_name": kind, "config": value.get("config") or {}, "registered_name": kind}
    return value

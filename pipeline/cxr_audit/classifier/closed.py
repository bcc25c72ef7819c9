"""A classifier that can only be asked: an ONNX file or a program of the user's.

Nothing is known of its layers, its weights or its gradients. Everything that changes the input and
looks at the logits works as for a Keras model.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from cxr_audit.classifier.classes import Classes
from cxr_audit.classifier.output import (
    Kind,
    Stated,
    kind_of_activation,
    kind_of_logits,
    refuse_one_label,
)
from cxr_audit.errors import ModelError
from cxr_audit.records import Floats
from cxr_audit.vocabulary import Text

Doubles = npt.NDArray[np.float64]

_NAMES = ("rows", "columns", "channels")
_CHOICES = "logits | probabilities | softmax | sigmoid | multi_label"


class Answering(Protocol):
    """What a closed classifier is made of: `OnnxFile` or `Command`.

    Parameters
    ----------
    name, sha256 : of the file.
    version : what runs it.
    activation : in which it is known to end; None = it is not known.
    parameters : their number; None = it is not known.
    """

    name: str
    sha256: str
    version: str
    activation: str | None
    parameters: int | None

    @property
    def shape(self) -> tuple[int | None, int | None, int | None]:
        """(rows, columns, channels) of an image, None where any will do."""

    def answer(self, batch: Floats) -> tuple[Doubles, Doubles]:
        """Outputs and what is under the last activation, (N, units) each, of float32 (N, rows,
        columns, channels).
        """


class ClosedClassifier(Classes):
    """A classifier that can only be asked.

    Parameters
    ----------
    source : what answers.
    input_shape : (rows, columns, channels) of the model input, in pixels.
    class_names, target_class, threshold, threshold_source : as of `Classes`.
    stated : what the outputs are, where the source does not say.

    Raises
    ------
    ModelError : it does not fit the input, or nothing says what its outputs are.
    """

    def __init__(
        self,
        source: Answering,
        input_shape: tuple[int, int, int],
        class_names: tuple[str, ...] = (),
        target_class: str | None = None,
        threshold: float | None = None,
        threshold_source: Text | None = None,
        stated: Stated | None = None,
    ) -> None:
        _check_input(source, input_shape)
        self.source, self.name, self.input_shape = source, source.name, input_shape
        self.parameters = source.parameters
        self.is_stated = stated is not None
        outputs, _ = source.answer(np.zeros((1, *input_shape), np.float32))
        num_units = outputs.shape[1]
        self.is_log_odds = source.activation is None and stated == "probabilities"
        kind = _kind(source, num_units, stated)
        super().__init__(
            num_units,
            kind,
            _activation(source.activation, kind),
            class_names,
            target_class,
            threshold,
            threshold_source,
        )

    def answer(self, batch: Floats) -> tuple[Doubles, Floats]:
        """Outputs as the source gives them, and logits; (N, units) each.

        Parameters
        ----------
        batch : float32 (N, rows, columns, channels).
        """
        outputs, logits = self.passes.measured(len(batch), lambda: self.source.answer(batch))
        if outputs.shape != (len(batch), self.num_units):
            raise ModelError(
                f"{self.name} answered {outputs.shape[1]} scores an image, before {self.num_units}"
            )
        if self.is_log_odds:
            logits = _log_odds(outputs)
        return outputs, np.asarray(logits, np.float32)

    def logits(self, batch: Floats) -> Floats:
        """Logits (N, units) of float32 (N, rows, columns, channels)."""
        return self.answer(batch)[1]


def _check_input(source: Answering, input_shape: tuple[int, int, int]) -> None:
    wrong = []
    for name, have, want in zip(_NAMES, input_shape, source.shape, strict=True):
        if want is not None and want != have:
            wrong.append(f"preprocess.{name}: {want}")
    if wrong:
        shape = "x".join(str(size or "any") for size in source.shape)
        made = "x".join(map(str, input_shape))
        raise ModelError(
            f"{source.name} takes {shape} (rows x columns x channels), the config makes {made}",
            f"set {', '.join(wrong)}",
        )


def _kind(source: Answering, num_units: int, stated: Stated | None) -> Kind:
    """How a probability follows from a logit."""
    if source.activation is not None:
        allowed: dict[str, tuple[Stated | None, ...]] = {
            "sigmoid": (None, "sigmoid", "probabilities", "multi_label"),
            "softmax": (None, "softmax", "probabilities"),
        }
        if stated not in allowed[source.activation]:
            raise ModelError(
                f"classifier.output is {stated}, but {source.name} ends in a {source.activation}",
                "remove classifier.output: it is read from the file",
            )
        if source.activation == "softmax" and num_units == 1:
            raise ModelError(
                f"{source.name} ends in a softmax over one unit: its output is 1 for every image",
                "export the model with a sigmoid unit, or with two softmax units",
            )
        refuse_one_label(num_units, stated)
        return kind_of_activation(source.activation, num_units, stated)
    if stated is None:
        raise ModelError(
            f"what the outputs of {source.name} are cannot be read from it",
            f"set classifier.output: {_CHOICES}",
        )
    if stated == "probabilities":
        return "probabilities"
    return kind_of_logits(num_units, stated)


def _activation(read: str | None, kind: Kind) -> str:
    """What the outputs end in, in a word, as records carry it."""
    if read is not None:
        return read
    return "log odds of a probability" if kind == "probabilities" else "linear"


def _log_odds(probabilities: Doubles) -> Doubles:
    """log(p / (1 - p)); NaN where p is no probability."""
    is_one = (probabilities >= 0) & (probabilities <= 1)
    inside = np.clip(probabilities, float(np.finfo(np.float32).tiny), 1 - 2.0**-24)
    return np.where(is_one, np.log(inside) - np.log1p(-inside), np.nan)

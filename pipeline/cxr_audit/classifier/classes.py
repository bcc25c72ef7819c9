"""What the outputs of a classifier mean: logits -> probabilities, prediction, explained scalar.

Nothing here knows how a classifier computes its logits: a Keras model, an ONNX file and a program
of the user's share this part. The explained scalar is

    one sigmoid unit   y = z for the positive class, -z for the other
    two softmax units  y = z_c - z_other
    n units            y = z_c

Of several labels, which may hold at once, the target is audited on its own: predicted from its
threshold on, else "not" it. y is always a selector times the logits: y = s . z.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cxr_audit.classifier.output import Kind
from cxr_audit.classifier.passes import PassCounter
from cxr_audit.errors import ModelError
from cxr_audit.records import Floats, Prediction
from cxr_audit.vocabulary import Message, Text, message
from cxr_audit.vocabulary.nearest import nearest


class Classes:
    """The classes of a classifier, and what its logits say of them.

    Parameters
    ----------
    num_units : scores of one case.
    kind : how a probability follows from a logit.
    activation : what the last layer ends in, in a word, as records carry it.
    class_names : one an output unit; two for one sigmoid unit, (negative, positive).
    target_class : the class that is explained; None = the last one.
    threshold : probability from which the target is predicted, in (0, 1); None = 0.5.
    threshold_source : where the threshold comes from, in words.

    Raises
    ------
    ModelError : names or threshold do not fit the outputs.
    """

    input_shape: tuple[int, int, int]

    def __init__(
        self,
        num_units: int,
        kind: Kind,
        activation: str,
        class_names: tuple[str, ...] = (),
        target_class: str | None = None,
        threshold: float | None = None,
        threshold_source: Text | None = None,
    ) -> None:
        self.num_units, self.kind, self.output_activation = num_units, kind, activation
        self.passes = PassCounter()
        self.class_names = _name_classes(class_names, num_units)
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
    def packed_shape(self) -> tuple[int, int, int]:
        """(rows, columns, channels) of what a forward pass is given: the image, and the numbers of
        further inputs, if there are any, as channels that are even.
        """
        return self.input_shape

    @property
    def is_binary(self) -> bool:
        return len(self.class_names) == 2 and not self.is_multi_label

    @property
    def is_multi_label(self) -> bool:
        """Several classes may hold at once: each has a sigmoid unit of its own."""
        return self.kind == "multi_label"

    @property
    def is_softmax(self) -> bool:
        return self.kind == "softmax"

    @property
    def has_threshold(self) -> bool:
        return self.is_binary or self.is_multi_label

    @property
    def labels(self) -> tuple[str, ...]:
        """What a case may be: one of the classes, and of several labels "not" the target class."""
        if self.is_multi_label:
            return (*self.class_names, f"not {self.target_class}")
        return self.class_names

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
        if self.kind == "probabilities":
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
            near = nearest(name, self.class_names, 0.4)
            perhaps = f"; perhaps you meant {near!r}" if near else ""
            raise ModelError(
                f"the model has no class {name!r}{perhaps}; its classes are "
                f"{', '.join(self.class_names)}",
                "see classifier.class_names",
            )


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

"""The gate: is the network that is audited the model of the file, and its reported probability the
model's?

Before any case is reported, real inputs go through `model.predict` and through the function that
the audit asks. The outputs, and the probabilities that would be reported, have to agree. The
reported probability is compared with one that is computed here from `model.predict` and from what
the outputs are, by other code than the report's.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import numpy.typing as npt

from cxr_audit.classifier.classifier import Classifier
from cxr_audit.classifier.closed import ClosedClassifier
from cxr_audit.classifier.graph import run
from cxr_audit.classifier.output import PROBABILITIES, Kind
from cxr_audit.errors import ModelError
from cxr_audit.records import Floats, Parity

TOLERANCE = 1e-4
AT_ONCE = 16
ALONE = 4
"""Images that a closed classifier is asked alone, and in a batch."""
# How far rows of probabilities may be from a sum of 1.
SUM = 1e-3
_CHOICES = "logits, probabilities, softmax, sigmoid or multi_label"

Doubles = npt.NDArray[np.float64]


def check_parity(classifier: Classifier, inputs: Floats, audited: Floats | None = None) -> Parity:
    """Compare a classifier with the model that it was made from.

    Parameters
    ----------
    inputs : float32 (N, rows, columns, channels), real model inputs, N >= 1.
    audited : (N, units), the logits that the audit has for these inputs; None = they are computed.

    Returns
    -------
    The largest differences, which are within the tolerance: 1e-4, or the rounding of a
    half-precision output.

    Raises
    ------
    ModelError : a difference is larger, an output is not finite, or nothing says whether the
        outputs are logits or probabilities.
    """
    classifier.output.require_answer()
    outputs, tolerance = _predict(classifier, inputs)
    _require_finite(outputs)
    _check_meaning(classifier, outputs)
    given = _logits(classifier, inputs) if audited is None else audited
    logits = np.asarray(given, np.float64)
    rebuilt = _outputs_of(classifier, logits)
    scale = np.maximum(1.0, np.abs(outputs))
    output_difference = float((np.abs(rebuilt - outputs) / scale).max())
    reported = np.stack([classifier.scores(values) for values in logits])
    expected = expected_scores(classifier.kind, classifier.output_activation, outputs)
    probability_difference = float(np.abs(reported - expected).max())
    if not max(output_difference, probability_difference) <= tolerance:
        raise ModelError(
            f"the audited network is not the model of the file: over {len(inputs)} inputs its "
            f"outputs differ by up to {output_difference:.2g} and the reported probabilities "
            f"by up to {probability_difference:.2g}; expected at most {tolerance:.2g}",
            f"if the outputs are not {classifier.output.kind}, set classifier.output; else the "
            "model has a layer that is not reproduced",
        )
    return Parity(
        num_inputs=len(inputs),
        largest_output_difference=output_difference,
        largest_probability_difference=probability_difference,
        tolerance=tolerance,
        output=classifier.output.kind,
        is_stated=classifier.output.is_stated,
    )


def check_closed_parity(classifier: ClosedClassifier, inputs: Floats) -> Parity:
    """Whether a classifier that is only asked answers consistently, and what its outputs are said
    to be.

    Parameters
    ----------
    inputs : float32 (N, rows, columns, channels), real model inputs, N >= 1.

    Returns
    -------
    The largest differences: of outputs between an image asked alone and in a batch, and of the
    reported probability.

    Raises
    ------
    ModelError : a difference is larger than 1e-4, an output is not finite, or is not what the
        config says.
    """
    outputs, logits = classifier.answer(inputs)
    _require_finite(outputs)
    if classifier.kind == "probabilities":
        _check_probabilities(outputs, classifier.is_stated)
    few = inputs[:ALONE]
    alone = np.concatenate([classifier.answer(x[None])[0] for x in few])
    scale = np.maximum(1.0, np.abs(alone))
    of_batch = float((np.abs(outputs[: len(few)] - alone) / scale).max())
    if not of_batch <= TOLERANCE:
        raise ModelError(
            f"{classifier.name} answers otherwise in a batch: an output differs by "
            f"{of_batch:.2g} from that of the same image alone, expected at most {TOLERANCE:.2g}",
            "answer the images in their order, each by itself",
        )
    reported = np.stack([classifier.scores(values) for values in logits])
    expected = expected_scores(classifier.kind, classifier.source.activation, outputs)
    of_probability = float(np.abs(reported - expected).max())
    if not of_probability <= TOLERANCE:
        raise ModelError(
            f"the reported probability differs by {of_probability:.2g} from the output of "
            f"{classifier.name}, expected at most {TOLERANCE:.2g}",
            f"set classifier.output: one of {_CHOICES}",
        )
    return Parity(
        num_inputs=len(inputs),
        largest_output_difference=of_batch,
        largest_probability_difference=of_probability,
        tolerance=TOLERANCE,
        output=classifier.kind,
        is_stated=classifier.is_stated,
    )


def _predict(classifier: Classifier, inputs: Floats) -> tuple[Doubles, float]:
    """(outputs of the model (N, units), the tolerance of their precision)."""
    given: Any = _model_inputs(classifier, inputs)
    if classifier.front is not None:
        given = np.asarray(classifier.front.predict(inputs, batch_size=AT_ONCE, verbose=0))
    with classifier.passes.of("parity"):
        all_outputs = classifier.passes.measured(
            len(inputs), lambda: classifier.model.predict(given, AT_ONCE, verbose=0)
        )
    raw = keras.tree.flatten(all_outputs)[classifier.raw_graph.output_place]
    outputs = np.asarray(raw).reshape(len(inputs), classifier.num_units)
    rounding = {"float16": 2.0**-11, "bfloat16": 2.0**-8}
    tolerance = max(TOLERANCE, rounding.get(str(outputs.dtype), 0.0))
    for step in classifier.raw_graph.steps[-3:]:
        precision = str(getattr(step.operation, "compute_dtype", "float32"))
        tolerance = max(tolerance, rounding.get(precision, 0.0))
    return np.asarray(outputs, np.float64), tolerance


def _model_inputs(classifier: Classifier, inputs: Floats) -> Any:
    """The inputs as the model takes them: of several, one array each in its own order."""
    graph = classifier.raw_graph
    if not graph.num_further:
        return inputs
    widths = [int(tensor.shape[-1]) for tensor in classifier.model.inputs]
    image, *others = graph.input_order
    given: dict[int, Floats] = {image: inputs[..., : widths[image]]}
    start = widths[image]
    for place in others:
        given[place] = inputs[:, 0, 0, start : start + widths[place]]
        start += widths[place]
    return [given[place] for place in range(len(widths))]


def _logits(classifier: Classifier, inputs: Floats) -> Doubles:
    """Logits (N, units) of the graph that was made from the model."""
    logits: list[Doubles] = []
    graph = classifier.graph
    for start in range(0, len(inputs), AT_ONCE):
        batch = keras.ops.convert_to_tensor(inputs[start : start + AT_ONCE])
        values = run(graph.steps, {graph.input: batch})
        logits.append(_array(values[graph.output], classifier.num_units))
    return np.concatenate(logits)


def _outputs_of(classifier: Classifier, logits: Doubles) -> Doubles:
    """The outputs of the model (N, units) by the logits: with its last activation."""
    kind, activation = classifier.output.kind, classifier.output_activation
    if kind == "probabilities" or activation == "sigmoid":
        return _sigmoid(logits)
    return _softmax(logits) if activation == "softmax" else logits


def _sigmoid(logits: Doubles) -> Doubles:
    return np.asarray(np.exp(-np.logaddexp(0.0, -logits)))


def _softmax(logits: Doubles) -> Doubles:
    return np.asarray(np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)))


def _array(tensor: Any, num_units: int) -> Doubles:
    values = np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")), np.float64)
    return values.reshape(-1, num_units)


def _require_finite(outputs: Doubles) -> None:
    if not np.isfinite(outputs).all():
        raise ModelError(
            f"{int((~np.isfinite(outputs).all(1)).sum())} of {len(outputs)} outputs of the model "
            "are not finite",
            "check preprocess.scaling: the model may expect another value range",
        )


def _check_meaning(classifier: Classifier, outputs: Doubles) -> None:
    """Raise where the outputs contradict what they are said to be, or where nothing says it."""
    if classifier.output.kind == "probabilities":
        _check_probabilities(outputs, classifier.output.is_stated)
        return
    if classifier.output.is_read or classifier.output.is_stated:
        return
    if _lie_in_0_1(outputs):
        several = outputs.shape[1] > 1
        sum_to_one = ", and those of a case sum to 1" if several and _sum_to_1(outputs) else ""
        raise ModelError(
            "the last layer of the model has no activation, but its outputs look like "
            f"probabilities: {_range(outputs)}{sum_to_one}. Are they probabilities or logits?",
            f"set classifier.output: one of {_CHOICES}",
        )


def _check_probabilities(outputs: Doubles, is_stated: bool) -> None:
    if not _lie_in_0_1(outputs):
        raise ModelError(
            f"classifier.output is probabilities, but the outputs are none: {_range(outputs)}",
            "set classifier.output: logits, softmax, sigmoid or multi_label",
        )
    if outputs.shape[1] > 1 and is_stated and not _sum_to_1(outputs):
        sums = outputs.sum(1)
        raise ModelError(
            "classifier.output is probabilities, but those of a case do not sum to 1: "
            f"{float(sums.min()):.4g} to {float(sums.max()):.4g}",
            "save the model with a sigmoid for each label, or a softmax over its classes",
        )


def _lie_in_0_1(outputs: Doubles) -> bool:
    return float(outputs.min()) >= 0 and float(outputs.max()) <= 1


def _sum_to_1(outputs: Doubles) -> bool:
    return bool(np.abs(outputs.sum(1) - 1).max() <= SUM)


def _range(outputs: Doubles) -> str:
    low, high = float(outputs.min()), float(outputs.max())
    return f"over {len(outputs)} inputs they lie from {low:.4g} to {high:.4g}"


def expected_scores(kind: Kind, activation: str | None, outputs: Doubles) -> Doubles:
    """The probability of each class (N, classes) by what the model answers.

    Parameters
    ----------
    kind : how probabilities follow from logits.
    activation : that the outputs end in; None = none.
    outputs : (N, units)
    """
    if kind == "probabilities" or activation in PROBABILITIES:
        scores = outputs
    elif kind == "softmax":
        scores = _softmax(outputs)
    else:
        scores = _sigmoid(outputs)
    return np.concatenate([1 - scores, scores], 1) if outputs.shape[1] == 1 else scores

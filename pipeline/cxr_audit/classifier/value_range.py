"""A model that does not say its value range, and a radiograph in each range -> the one it was
trained on.

A batch normalisation keeps the mean and the variance of what came into it in training. Behind the
first convolution these depend on the value range: of the right one, a radiograph has nearly the
statistics that were kept; of a wrong one it has others, by the factor between the ranges. The
distance is the Kullback-Leibler divergence of two normal distributions, of the radiograph's values
from those kept, as its mean over the channels.

`LARGEST` and `APART` are conventions, not fitted to any set; benchmarks/value_range.py counts the
choices for networks that learned phantoms in a known range.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cxr_audit.classifier.classifier import Classifier
from cxr_audit.classifier.graph import Step, ancestors, run
from cxr_audit.records import Floats

# A distance above which no candidate is the value range of the training.
LARGEST = 1.0
# How many times as far as the nearest candidate the second one has to be.
APART = 2.0
# Probabilities that differ by less are one answer.
SAME = 0.005


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of the candidates.

    Parameters
    ----------
    scaling : the one that was chosen; None = nothing speaks for one of them.
    reason : why, in words.
    outputs : the probability of the target class, by candidate.
    """

    scaling: str | None
    reason: str
    outputs: dict[str, float]


def try_value_ranges(classifier: Classifier, inputs: Mapping[str, Floats]) -> Tried:
    """Choose the value range of a model by one radiograph.

    Parameters
    ----------
    inputs : by the name of a scaling, the model input (rows, columns, channels) made with it.
    """
    outputs = {name: _probability(classifier, x) for name, x in inputs.items()}
    values = list(outputs.values())
    if np.isfinite(values).all() and np.ptp(values) < SAME:
        first = next(iter(inputs))
        return Tried(
            first, f"every value range gives the same answer ({_listed(outputs)})", outputs
        )
    normalisation = _first_normalisation(classifier)
    if normalisation is None:
        reason = (
            "the model has no batch normalisation whose statistics would show it; the answers are "
            f"{_listed(outputs)}"
        )
        return Tried(None, reason, outputs)
    distances = {name: _distance(classifier, normalisation, x) for name, x in inputs.items()}
    nearest, *others = sorted(distances, key=distances.__getitem__)
    compared = (
        f"distance of this radiograph from the statistics of the training in "
        f"{normalisation.name!r}: {_listed(distances)}"
    )
    is_near = distances[nearest] <= LARGEST
    is_alone = all(distances[name] >= APART * distances[nearest] for name in others)
    if not (is_near and is_alone):
        reason = f"no value range stands out ({compared}); the answers are {_listed(outputs)}"
        return Tried(None, reason, outputs)
    return Tried(nearest, f"chosen by the radiograph: {compared}", outputs)


def _probability(classifier: Classifier, x: Floats) -> float:
    graph = classifier.graph
    logits = np.asarray(run(graph.steps, {graph.input: x[None]})[graph.output], np.float64)
    scores = classifier.scores(logits.reshape(-1))
    return float(scores[classifier.class_names.index(classifier.target_class)])


def _first_normalisation(classifier: Classifier) -> Step | None:
    for step in classifier.graph.steps:
        if type(step.operation).__name__ == "BatchNormalization":
            return step
    return None


def _distance(classifier: Classifier, step: Step, x: Floats) -> float:
    """Mean Kullback-Leibler divergence over the channels."""
    graph, (value,) = classifier.graph, step.inputs
    needed = ancestors(graph.steps, {value})
    steps = [step for step in graph.steps if needed.intersection(step.outputs)]
    features = np.asarray(run(steps, {graph.input: x[None]})[value], np.float64)[0]
    pixels = features.reshape(-1, features.shape[-1])
    layer = step.operation
    kept_mean = np.asarray(layer.moving_mean, np.float64)
    kept_variance = np.asarray(layer.moving_variance, np.float64) + layer.epsilon
    mean, variance = pixels.mean(0), pixels.var(0) + layer.epsilon
    ratio = variance / kept_variance
    divergence = (ratio - 1 - np.log(ratio) + (mean - kept_mean) ** 2 / kept_variance) / 2
    return float(_finite_mean(divergence))


def _finite_mean(values: npt.NDArray[np.float64]) -> float:
    return float(values.mean()) if np.isfinite(values).all() else float("inf")


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in values.items())

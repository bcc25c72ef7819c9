"""(Explainer, model inputs) -> does the map depend on what the classifier has learned?

Adebayo et al., arXiv 1810.03292, section 3.1: the weights are replaced by untrained ones, from
the head to the first layer, and the maps are compared with the classifier's own. The limit is
that of Arun et al. (Radiology: Artificial Intelligence 2021, 3(6), e200267): with no trained
weight left, mean SSIM below that of pairs of different cases; here plus two standard errors of
the difference, since of a dozen cases both are near 0 and known only to within 0.05. It is a
gate, never a ranking (Binder et al., arXiv 2211.12486).

The audited classifier is not touched. Of each layer with weights a second one of its kind and
settings is built, whose own initialisers make every weight that it has, at whatever depth. This
second network is traced once: it begins with the trained weights, and at each stage more of its
layers are given back their untrained ones. The statistics of `Normalization` are no learned
weights and stay.

Two controls are treated in the same way. `edges` uses the image only and has to fail; the case's
own map with its cells shuffled has to pass. Where one does not, the check is broken and reported
as not run. So is a check whose limit is 1 or more, since no SSIM exceeds 1: it could not fail.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from cxr_audit.classifier import Classifier
from cxr_audit.classifier.graph import FRONT, Step, run
from cxr_audit.classifier.output import Logits
from cxr_audit.explain import AnyExplainer, Explainer
from cxr_audit.records import CascadeStage, Check, Floats
from cxr_audit.trust.similarity import Doubles, spearman, ssim
from cxr_audit.trust.state import RANDOMISATION
from cxr_audit.vocabulary import Message, Text, message

NAME = RANDOMISATION
STAGES = 6
MIN_CASES = 4
CONTROL = "edges"
KEPT = ("Normalization",)


@dataclass(frozen=True, slots=True)
class Randomisation:
    """The check, and how similar the maps still are after each stage, head first."""

    check: Check
    stages: tuple[CascadeStage, ...] = ()


@dataclass(frozen=True, slots=True)
class Maps:
    """Maps of the sample by the explainer's first method, and of the control; (N, h, w) each."""

    own: Floats
    edges: Floats

    def at(self, chosen: Any) -> Maps:
        return Maps(self.own[chosen], self.edges[chosen])


def randomise(
    explainer: Explainer,
    inputs: Floats,
    batch_size: int,
    seed: int,
    before: Maps | None = None,
    num_stages: int = STAGES,
) -> Randomisation:
    """The check of one explainer's first method.

    Parameters
    ----------
    explainer : of the audited classifier.
    inputs : float32 (N, rows, columns, channels), the sample of cases.
    batch_size : inputs a call.
    seed : of the untrained weights.
    before : the classifier's own maps of these inputs; None = they are made.
    num_stages : of the cascade; the last one leaves no trained weight.
    """
    if before is None:
        before = maps_of(explainer.only_first(), inputs, batch_size)
    usable = np.ptp(before.own, (1, 2)) > 0
    if usable.sum() < MIN_CASES:
        reason = too_few(int(usable.sum()), len(inputs), MIN_CASES)
        return Randomisation(Check(NAME, "not_run", reason=reason))
    before, inputs = before.at(usable), inputs[usable]
    classifier = explainer.classifier
    digest = _digest(classifier)
    network = SecondNetwork(classifier, seed)
    is_equal = _digest(network.classifier) == digest
    copied = explainer.only_first(network.classifier)
    stages: list[CascadeStage] = []
    names: list[str] = []
    after = before
    for group in _groups(explainer, num_stages):
        names += group
        network.take_training_away(group)
        copied.weights_have_changed()
        after = maps_of(copied, inputs, batch_size)
        rank = float(_alike(spearman, before.own, after.own).mean())
        structure = float(_alike(ssim, before.own, after.own).mean())
        stages.append(CascadeStage(names[-1], len(names), rank, structure))
    is_unchanged = is_equal and _digest(classifier) == digest
    return Randomisation(_check(before, after, is_unchanged, seed), tuple(stages))


class SecondNetwork:
    """A classifier's second network: its weights are the trained ones, until they are taken away.

    Parameters
    ----------
    original : the audited classifier, which stays as it is.
    seed : of the untrained weights.
    """

    def __init__(self, original: Classifier, seed: int) -> None:
        operations = untrained(original, seed)
        self._operations: dict[str, Any] = {}
        self._untrained: dict[str, list[Any]] = {}
        for step in original.graph.steps:
            operation = operations.get(id(step.operation))
            if operation is None:
                continue
            self._operations[step.name] = operation
            self._untrained[step.name] = _values(operation)
        for step in original.graph.steps:
            if step.name in self._operations:
                _assign(self._operations[step.name], _values(step.operation))
        self.classifier = original.exchanged(operations)

    def take_training_away(self, names: Collection[str]) -> None:
        """Give the steps of these names their untrained weights."""
        for name in names:
            _assign(self._operations[name], self._untrained[name])


def _values(operation: Any) -> list[Any]:
    return [keras.ops.convert_to_numpy(weight) for weight in operation.weights]


def _assign(operation: Any, values: Sequence[Any]) -> None:
    for weight, value in zip(operation.weights, values, strict=True):
        weight.assign(value)


def too_few(num: int, total: int, needed: int) -> Message:
    """Why a check of the sample was not run."""
    return message("trust.too_few", num=num, total=total, needed=needed)


def _check(before: Maps, after: Maps, is_unchanged: bool, seed: int) -> Check:
    """The check from the maps before, and with no trained weight left."""
    alike, pairs = _alike(ssim, before.own, after.own), _with_others(before.own)
    limit, value = _limit(alike, pairs), float(alike.mean())
    is_close = f"{limit:.2f}" == f"{value:.2f}"
    code = "trust.below_other_cases_exact" if is_close else "trust.below_other_cases"
    shown = message(code, limit=limit)
    broken = _broken(before, after, pairs, seed)
    if not is_unchanged:
        broken.insert(0, message("trust.weights_changed"))
    if broken:
        return Check(NAME, "not_run", value, shown, message("trust.broken", reasons=broken))
    if value >= limit:
        return Check(NAME, "failed", value, shown, message("trust.randomisation_failed"))
    if limit >= 1:
        reason = message("trust.cannot_fail", limit=limit)
        return Check(NAME, "not_run", value, shown, reason)
    return Check(NAME, "passed", value, shown)


def _broken(before: Maps, after: Maps, pairs: Doubles, seed: int) -> list[Text]:
    """The controls that did not do what they have to."""
    broken: list[Text] = []
    alike_edges = _alike(ssim, before.edges, after.edges)
    if alike_edges.mean() < _limit(alike_edges, _with_others(before.edges)):
        broken.append(message("trust.control_passed", control=CONTROL))
    own = before.own
    cells = own.reshape(len(own), -1)
    shuffled = np.random.default_rng(seed).permuted(cells, axis=1).reshape(own.shape)
    alike_shuffled = _alike(ssim, own, shuffled)
    if alike_shuffled.mean() >= _limit(alike_shuffled, pairs):
        broken.append(message("trust.control_failed"))
    return broken


def maps_of(explainer: AnyExplainer, inputs: Floats, batch_size: int) -> Maps:
    """An explainer's first maps, and the control; 0 everywhere where one is not finite."""
    own: list[Floats] = []
    edges: list[Floats] = []
    for start in range(0, len(inputs), batch_size):
        batch = np.zeros((batch_size, *inputs.shape[1:]), np.float32)
        num = len(inputs[start : start + batch_size])
        batch[:num] = inputs[start : start + batch_size]
        is_present = [n < num for n in range(batch_size)]
        explained = explainer.explain(batch, [None] * batch_size, is_present)
        for n in range(num):
            own.append(finite(explained.maps[n][0].values))
            edges.append(finite(explained.controls[n][CONTROL]))
    return Maps(np.stack(own), np.stack(edges))


def finite(values: Floats) -> Floats:
    """A map as it is, or 0 everywhere where a value is not finite."""
    return values if np.isfinite(values).all() else np.zeros_like(values)


def _alike(measure: Callable[[Floats, Floats], Doubles], own: Floats, maps: Floats) -> Doubles:
    """Similarity of each case's two maps, (N,).

    Untrained weights can invert a map: the same places with the other sign are the same map.
    """
    return max((measure(own, maps), measure(own, -maps)), key=np.mean)


def _limit(alike: Doubles, pairs: Doubles) -> float:
    """The similarity of different cases, plus two standard errors.

    The error is that of how much more similar each case is to its own other map than to other
    cases.
    """
    return float(pairs.mean() + 2 * np.std(alike - pairs, ddof=1) / np.sqrt(len(pairs)))


def _with_others(maps: Floats) -> Doubles:
    """Mean SSIM of each case's map with those of the others, (N,). Each pair is measured once."""
    alike = np.zeros((len(maps), len(maps)))
    for n, own in enumerate(maps):
        rest = maps[n + 1 :]
        alike[n, n + 1 :] = ssim(np.broadcast_to(own, rest.shape), rest)
    return np.asarray((alike + alike.T).sum(0) / (len(maps) - 1))


def _groups(explainer: Explainer, num_stages: int) -> list[list[str]]:
    """Names of the layers with weights in the order of the cascade.

    First those of the head, then the others from deep to shallow in groups of equal number.
    """
    head = {id(step.operation) for step in explainer.target.head}
    first: dict[int, str] = {}  # a layer called more than once has one name
    for step in explainer.classifier.graph.steps:
        if _has_weights(step):
            first.setdefault(id(step.operation), step.name)
    deep_first = list(reversed(first.items()))
    in_head = [name for key, name in deep_first if key in head]
    others = [name for key, name in deep_first if key not in head]
    parts = np.array_split(np.arange(len(others)), num_stages - bool(in_head))
    groups = [in_head, *([others[n] for n in part] for part in parts)]
    return [group for group in groups if group]


def _has_weights(step: Step) -> bool:
    """Whether a step has learned weights; those of a preprocessing model are none."""
    if type(step.operation).__name__ in KEPT or step.name.startswith(FRONT):
        return False
    return bool(getattr(step.operation, "weights", ()))


def untrained(classifier: Classifier, seed: int) -> dict[int, Any]:
    """For each operation with weights, by id, a new one of its kind by its own initialisers."""
    state = random.getstate()
    random.seed(seed)  # where Keras takes the seed of an initialiser that has none
    try:
        fresh: dict[int, Any] = {}
        for step in classifier.graph.steps:
            if _has_weights(step):
                fresh[id(step.operation)] = _anew(step.operation)
        graph = classifier.exchanged(fresh).graph
        zeros = np.zeros((1, *classifier.packed_shape), np.float32)
        run(graph.steps, {graph.input: zeros})  # a call builds a layer
    finally:
        random.setstate(state)
    return fresh


def _digest(classifier: Classifier) -> str:
    """SHA-256 of all weights."""
    digest = hashlib.sha256()
    for step in classifier.graph.steps:
        for weight in getattr(step.operation, "weights", ()):
            digest.update(np.asarray(weight).tobytes())
    return digest.hexdigest()


def _anew(operation: Any) -> Any:
    if not isinstance(operation, Logits):
        return type(operation).from_config(operation.get_config())
    dense = type(operation.dense).from_config(operation.dense.get_config())
    dense.build((None, operation.kernel.shape[0]))
    return Logits(dense)

"""(Explainer, model inputs) -> does its map depend on what the classifier has learned?

Adebayo et al., arXiv 1810.03292, section 3.1: the weights are replaced by ones that were never trained, from the head
to the first layer, and the maps are compared with the classifier's own. The limit is Arun et al.'s (Radiology:
Artificial Intelligence 2021, 3(6), e200267): with no trained weight left, mean SSIM below that of pairs of different
cases; here with two standard errors of the difference, since of a dozen cases both are near 0 and known to within 0.05
only. A gate, never a ranking (Binder et al., arXiv 2211.12486).

A layer is not overwritten: a new one of its kind and settings is built by its own initialisers, with every weight that
it has, whatever the depth at which it lies. The audited classifier is not touched, and functions are traced anew at
every stage. What `Normalization` has measured of its inputs is no learned weight and stays.

Two controls go the same way. `edges` looks at the image only and has to fail; the case's own map with its cells
shuffled has to pass. Where one does otherwise, the check is broken and reported as not run.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from cxr_audit.classifier import Classifier
from cxr_audit.classifier.graph import run
from cxr_audit.classifier.output import Logits
from cxr_audit.explain import Explainer
from cxr_audit.records import CascadeStage, Check, CheckState, Floats
from cxr_audit.trust.similarity import Doubles, spearman, ssim
from cxr_audit.trust.state import RANDOMISATION

NAME = RANDOMISATION
WHAT = "SSIM with the map once no trained weight is left"
STAGES = 6
MIN_CASES = 4
TOO_FEW = "{} of {} sampled cases have a map, at least {} are needed"
CONTROL = "edges"
KEPT = ("Normalization",)


@dataclass(frozen=True, slots=True)
class Randomisation:
    """The verdict, and how alike the maps still are after each stage, head first."""

    check: Check
    stages: tuple[CascadeStage, ...] = ()


def randomise(explainer: Explainer, inputs: Floats, batch_size: int, seed: int) -> Randomisation:
    """The check of one explainer's first method.

    Parameters
    ----------
    inputs : float32 (N, rows, columns, channels), the sample of cases.
    batch_size : inputs a call.
    """
    own, own_edges = _maps(explainer.only_first(beside=(CONTROL,)), inputs, batch_size)
    usable = np.ptp(own, (1, 2)) > 0
    if usable.sum() < MIN_CASES:
        return Randomisation(
            Check(
                NAME, WHAT, "not_run", reason=TOO_FEW.format(usable.sum(), len(inputs), MIN_CASES)
            )
        )
    own, own_edges, inputs = own[usable], own_edges[usable], inputs[usable]
    classifier, fresh = explainer.classifier, untrained(explainer.classifier, seed)
    before = _digest(classifier)
    stages: list[CascadeStage] = []
    names: list[str] = []
    maps, edges = own, own_edges
    for group in _groups(explainer):
        names += group
        changed = classifier.exchanged({key: fresh[key] for key in _keys(classifier, names)})
        maps, edges = _maps(explainer.only_first(changed, (CONTROL,)), inputs, batch_size)
        means = (float(_alike(measure, own, maps).mean()) for measure in (spearman, ssim))
        stages.append(CascadeStage(names[-1], len(names), *means))
    alike, pairs = _alike(ssim, own, maps), _with_others(own)
    limit, found = _limit(alike, pairs), float(alike.mean())
    shuffled = (
        np.random.default_rng(seed).permuted(own.reshape(len(own), -1), axis=1).reshape(own.shape)
    )
    broken = []
    if _digest(classifier) != before:
        broken.append("the weights of the classifier itself have changed")
    alike_edges, alike_shuffled = _alike(ssim, own_edges, edges), _alike(ssim, own, shuffled)
    if alike_edges.mean() < _limit(alike_edges, _with_others(own_edges)):
        broken.append(f"the control {CONTROL}, which never asks the classifier, passed")
    if alike_shuffled.mean() >= _limit(alike_shuffled, pairs):
        broken.append("the control, each map with its cells shuffled, failed")
    num_decimals = 2 if f"{limit:.2f}" != f"{found:.2f}" else 4
    words = f"below {limit:.{num_decimals}f}, maps of different cases"
    state: CheckState = "passed"
    reason = None
    if broken:
        state, reason = "not_run", f"the check is broken: {'; '.join(broken)}"
    elif found >= limit:
        state, reason = (
            "failed",
            "the map stays without anything that the classifier has learned",
        )
    return Randomisation(Check(NAME, WHAT, state, found, words, reason), tuple(stages))


def _maps(explainer: Explainer, inputs: Floats, batch_size: int) -> tuple[Floats, Floats]:
    """The maps of an explainer's two methods, (N, h, w) each; 0 everywhere where one is not finite."""
    found: tuple[list[Floats], list[Floats]] = ([], [])
    for start in range(0, len(inputs), batch_size):
        batch = np.zeros((batch_size, *inputs.shape[1:]), np.float32)
        num = len(inputs[start : start + batch_size])
        batch[:num] = inputs[start : start + batch_size]
        for case in explainer.explain(
            batch, [None] * batch_size, [n < num for n in range(batch_size)]
        ).maps[:num]:
            for maps, one in zip(found, case[:2], strict=True):
                maps.append(
                    one.values if np.isfinite(one.values).all() else np.zeros_like(one.values)
                )
    return np.stack(found[0]), np.stack(found[1])


def _alike(measure: Callable[[Floats, Floats], Doubles], own: Floats, maps: Floats) -> Doubles:
    """Of each case, (N,). Untrained weights turn maps over by chance: the same places with the other sign are the same
    map."""
    return max((measure(own, maps), measure(own, -maps)), key=np.mean)


def _limit(alike: Doubles, pairs: Doubles) -> float:
    """What is no more alike than different cases are: their mean SSIM, and two standard errors of what each case has
    more with its own other map than with other cases."""
    return float(pairs.mean() + 2 * np.std(alike - pairs, ddof=1) / np.sqrt(len(pairs)))


def _with_others(maps: Floats) -> Doubles:
    """Of each case, (N,): the mean SSIM of its map with those of the others. Each pair is measured once."""
    alike = np.zeros((len(maps), len(maps)))
    for n, one in enumerate(maps):
        rest = maps[n + 1 :]
        alike[n, n + 1 :] = ssim(np.broadcast_to(one, rest.shape), rest)
    return np.asarray((alike + alike.T).sum(0) / (len(maps) - 1))


def _groups(explainer: Explainer) -> list[list[str]]:
    """Names of the layers with weights in the order of the cascade: those of the head, then the others from deep to
    shallow in groups of equal number."""
    head = {id(step.operation) for step in explainer.target.head}
    first: dict[int, str] = {}  # a layer called more than once has one name
    for step in explainer.classifier.graph.steps:
        if _has_weights(step.operation):
            first.setdefault(id(step.operation), step.name)
    deep_first = list(reversed(first.items()))
    in_head = [name for key, name in deep_first if key in head]
    others = [name for key, name in deep_first if key not in head]
    parts = np.array_split(np.arange(len(others)), STAGES - bool(in_head))
    return [group for group in (in_head, *([others[n] for n in part] for part in parts)) if group]


def _keys(classifier: Classifier, names: Collection[str]) -> set[int]:
    return {id(step.operation) for step in classifier.graph.steps if step.name in names}


def _has_weights(operation: Any) -> bool:
    return type(operation).__name__ not in KEPT and bool(getattr(operation, "weights", ()))


def untrained(classifier: Classifier, seed: int) -> dict[int, Any]:
    """For each operation with weights, by id, a new one of its kind with weights by its own initialisers."""
    state = random.getstate()
    random.seed(seed)  # where Keras takes the seed of an initialiser that has none
    try:
        fresh = {
            id(s.operation): _anew(s.operation)
            for s in classifier.graph.steps
            if _has_weights(s.operation)
        }
        graph = classifier.exchanged(fresh).graph
        run(
            graph.steps, {graph.input: np.zeros((1, *classifier.input_shape), np.float32)}
        )  # a call builds a layer
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

"""Changed model inputs of several purposes, asked together: few batches have to be filled up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from cxr_audit.records import Floats

if TYPE_CHECKING:
    from cxr_audit.explain import AnyExplainer


@dataclass
class Answers:
    """The answers of one purpose, in the order of its inputs.

    Parameters
    ----------
    logits : (N, units).
    maps : first maps (h, w), one an input; empty where they were not wanted.
    """

    logits: Floats
    maps: list[Floats] = field(default_factory=list)


class Questions:
    """Inputs by purpose, asked in one stream of full batches.

    Parameters
    ----------
    explainer : of the classifier that is asked.
    at_once : inputs a call of the classifier.
    """

    def __init__(self, explainer: AnyExplainer, at_once: int) -> None:
        self._explainer, self._at_once = explainer, at_once
        self._inputs: dict[str, Iterable[Floats]] = {}

    def add(self, purpose: str, inputs: Iterable[Floats]) -> None:
        """Add the inputs of a purpose; each is made when its batch is asked.

        Parameters
        ----------
        purpose : a key of `vocabulary.PURPOSES`, under which the passes are counted.
        """
        self._inputs[purpose] = inputs

    def ask(self) -> dict[str, Answers]:
        """The answers by purpose, with the first map of each input if that needs no further pass."""
        classifier = self._explainer.classifier
        has_maps = self._explainer.passes_a_first_map == 1
        nothing = np.zeros((0, classifier.num_units), np.float32)
        logits: dict[str, list[Floats]] = {purpose: [nothing] for purpose in self._inputs}
        maps: dict[str, list[Floats]] = {purpose: [] for purpose in self._inputs}
        stream = self._stream()
        while some := list(islice(stream, self._at_once)):
            purposes = [purpose for purpose, _ in some]
            with classifier.passes.mixed(Counter(purposes)):
                answers, found = self._explainer.answers_to(
                    [tensor for _, tensor in some], self._at_once, has_maps
                )
            for n, purpose in enumerate(purposes):
                logits[purpose].append(answers[n : n + 1])
                maps[purpose] += found[n : n + 1]
        return {
            purpose: Answers(np.concatenate(rows), maps[purpose])
            for purpose, rows in logits.items()
        }

    def _stream(self) -> Iterator[tuple[str, Floats]]:
        for purpose, inputs in self._inputs.items():
            for tensor in inputs:
                yield purpose, tensor

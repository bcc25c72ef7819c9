"""Batches of model inputs -> logits and maps of a classifier that can only be asked.

The maps lie on the input. A method that replaces parts of the input gives the map of every class at
once, so that maps of further classes cost nothing.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cxr_audit.classifier.closed import ClosedClassifier
from cxr_audit.errors import ModelError
from cxr_audit.explain.asking import (
    ASKING,
    DEFAULTS,
    INPUT,
    Answer,
    AnyExplainer,
    BatchResult,
    Collected,
    Probing,
    Subject,
    check_against,
    filled,
    known_methods,
)
from cxr_audit.explain.controls import CONTROLS
from cxr_audit.records import Floats
from cxr_audit.vocabulary import METHODS, Message, message

Maps = dict[str, tuple[Floats, Message | None]]


class ClosedExplainer(AnyExplainer):
    """What to explain of a classifier that can only be asked.

    Parameters
    ----------
    methods : the first gives the numbers; none = `occlusion`.
    classes : further ones, each with a map of the first method that asks.
    against : classes to contrast with the target.

    Raises
    ------
    ModelError : a method needs layers or gradients, or a class is not known.
    """

    def __init__(
        self,
        classifier: ClosedClassifier,
        methods: tuple[str, ...] = (),
        classes: tuple[str, ...] = (),
        against: tuple[str, ...] = (),
        probing: Probing = DEFAULTS,
    ) -> None:
        known_methods(methods)
        _check_possible(methods)
        self.classifier: ClosedClassifier = classifier
        self.methods = methods or ASKING[:1]
        self.classes = tuple(name for name in classes if name != classifier.target_class)
        self.against, self.probing = against, probing
        self._sheet_method = next((m for m in self.methods if m in ASKING), ASKING[0])
        for name in (*self.classes, *against):
            classifier.selector(name)
        check_against(classifier, against)

    @property
    def layer_name(self) -> str:
        return INPUT

    @property
    def grid(self) -> tuple[int, int]:
        return self._grid_of(self._sheet_method, self.classifier.input_shape)

    @property
    def head_in_words(self) -> Message:
        return message("classifier.head_closed", runtime=self.classifier.source.version)

    @property
    def passes(self) -> dict[str, int]:
        cost = self._passes_of_asking
        return {method: cost[method] for method in self.methods if method in cost}

    def logits(self, batch: Floats) -> Floats:
        return self.classifier.logits(batch)

    def answers_to(
        self, inputs: Sequence[Floats], at_once: int, has_maps: bool = False
    ) -> tuple[Floats, list[Floats]]:
        num = len(inputs)
        logits = self.logits(filled(np.stack(inputs), at_once))[:num]
        if not has_maps:
            return logits, []
        method, subject = self.methods[0], Subject(self.classifier.target_class)
        maps = []
        for x, of_case in zip(inputs, logits, strict=True):
            made = self._maps_of(x, of_case, at_once, (method,))
            maps.append(self._answer(made, method, subject).values)
        return logits, maps

    def only_first(self) -> ClosedExplainer:
        return ClosedExplainer(self.classifier, self.methods[:1], probing=self.probing)

    def explain(
        self, batch: Floats, expected: list[str | None], is_present: Sequence[bool] | None = None
    ) -> BatchResult:
        num = len(batch)
        subjects = [Subject(self.classifier.target_class)] * num
        present = [n for n in range(num) if is_present is None or is_present[n]]
        with self.classifier.passes.filled_up(len(present)):
            logits = self.logits(batch)
        methods = tuple(dict.fromkeys((*self.methods, self._sheet_method)))
        by_case = {n: self._maps_of(batch[n], logits[n], num, methods) for n in present}
        collected = Collected(self, logits, present)
        for method in self.methods:
            answers = {n: self._answer(by_case[n], method, subjects[n]) for n in present}
            collected.add(method, method, INPUT, subjects, answers)
        method = self._sheet_method
        for wanted in self._further_subjects(logits, expected):
            answers = {}
            for n in present:
                answers[n] = self._answer(by_case[n], method, wanted[n] or subjects[n])
            collected.add(method, method, INPUT, wanted, answers, True)
        controls: list[dict[str, Floats]] = [{} for _ in range(num)]
        for n in present:
            controls[n] = {name: self._control(name, batch[n]) for name in CONTROLS}
        return BatchResult(logits, [tuple(case) for case in collected.maps], controls)

    def _maps_of(self, x: Floats, logits: Floats, at_once: int, methods: Sequence[str]) -> Maps:
        """The maps of one case by method: (h, w) of controls, (h, w, units) of what was asked."""
        maps: Maps = {}
        for method in methods:
            if method in CONTROLS:
                maps[method] = self._control(method, x), None
            elif np.isfinite(logits).all():
                maps[method] = self._asked(method, x, at_once)
            else:
                grid = self._grid_of(method, x.shape)
                maps[method] = np.full((*grid, len(logits)), np.nan, np.float32), None
        return maps

    def _answer(self, maps: Maps, method: str, subject: Subject) -> Answer:
        values, how = maps[method]
        if method in CONTROLS:
            return Answer(values)
        return Answer(values @ self._selector(subject), how=how)

    def _control(self, name: str, x: Floats) -> Floats:
        return CONTROLS[name](x, self.grid, self.probing.seed, None)


def _check_possible(methods: Sequence[str]) -> None:
    """Refuse methods that need layers or gradients, by name."""
    possible = [row.key for row in METHODS if row.needs in ("answers", "nothing")]
    for method in methods:
        if method not in possible:
            raise ModelError(
                f"the method {method} is not available for this model: it needs its layers",
                f"set explain.methods to some of {', '.join(possible)}, or leave it empty",
            )

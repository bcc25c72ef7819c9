"""(Explainer, config) -> the checks of a model on a sample of cases, and those of each case.

All calls of the classifier have one batch size, filled up, and random numbers depend on the run's
seed and the case's own pixels: a case's checks are the same whatever its place in a run.

Derivation of the limits (reference classifier, Grad-CAM; 107 radiographs of the Kermany test
split and 60 phantoms): `stability_mean` 0.9 and `stability_worst` 0.8 lie below all of the
radiographs (lowest 0.93 and 0.86) and all but one of the phantoms (0.90 and 0.78). Maps of two
different radiographs correlate with 0.32 in the median, 0.87 at the upper quartile: a map below
0.8 is changed by a small shift as much as by another patient. `gain` 0 is chance itself. Over
samples of 32, deletion gains 1.08 log-odds, insertion 0.87 and ROAD 2.55 on radiographs (2.86,
1.76 and 5.04 on phantoms), two standard errors being 0.4 to 0.8; of single radiographs 81, 79 and
89 % gain anything, so that by default faithfulness is a property of the model. `agreement_lowest`
0.5 is a convention: no model that ships has maps that could differ.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cxr_audit.config import Trust as Limits
from cxr_audit.explain import AnyExplainer, Explainer
from cxr_audit.explain.asking import ASKING, EXACT
from cxr_audit.explain.controls import generator
from cxr_audit.explain.explain import POOLED
from cxr_audit.explain.probing import baseline
from cxr_audit.records import CascadeStage, Check, ClassActivationMap, Floats
from cxr_audit.trust import faithfulness, randomisation
from cxr_audit.trust.similarity import spearman
from cxr_audit.trust.stability import CHANGES
from cxr_audit.vocabulary import METHODS, Message, Text, message

FILL = "blurred"
IG_GAP = 0.05
ASKED_OFTEN = 8
"""Cases whose stability is measured where a map costs dozens of passes."""
FAITHFULNESS = ("deletion", "insertion", "road")
STABILITY = ("stability", "worst_stability")
# Cases below which a mean says nothing; 16 keep two standard errors of a gain below half a log-odd
# on Kermany cases.
FEWEST = dict.fromkeys(FAITHFULNESS, 16) | dict.fromkeys(STABILITY, randomisation.MIN_CASES)

Maps = tuple[ClassActivationMap, ...]
"""All maps of a case, the first one first."""


@dataclass(frozen=True, slots=True)
class Measured:
    """The value of a check for one case; beside it that of the order from the centre outwards."""

    value: float
    by_centre: float | None = None


class Checks:
    """The checks of a run.

    Parameters
    ----------
    explainer : its first method is checked.
    limits : which checks, and their limits.
    batch_size : inputs a call of the classifier.
    seed : of the run.
    """

    def __init__(self, explainer: AnyExplainer, limits: Limits, batch_size: int, seed: int) -> None:
        self.explainer = explainer
        self.limits = limits
        self.batch_size = batch_size
        self.seed = seed
        has_further_maps = explainer.has_further_maps
        is_alone = len(explainer.methods) == 1 and not has_further_maps
        self._first = explainer if is_alone else explainer.only_first()
        self._selector = explainer.classifier.selector(explainer.classifier.target_class)
        self._limits = dict.fromkeys(FAITHFULNESS, limits.gain) | {
            "stability": limits.stability_mean,
            "worst_stability": limits.stability_worst,
            "agreement": limits.agreement_lowest,
        }

    def of_model(self, inputs: Floats) -> tuple[tuple[Check, ...], tuple[CascadeStage, ...]]:
        """The checks made once a model.

        Parameters
        ----------
        inputs : float32 (N, rows, columns, channels), the sample.

        Returns
        -------
        The checks, and the stages of the cascade of `randomisation`.
        """
        gate = self._randomise(inputs)
        names: list[str] = []
        if self.limits.faithfulness != "none":
            names += FAITHFULNESS
        if self.limits.stability == "sample" or (self._asks_often and self._wants_stability):
            names += STABILITY
        return (gate.check, *self._means(names, inputs)), gate.stages

    @property
    def _wants_stability(self) -> bool:
        return self.limits.stability != "none"

    @property
    def _asks_often(self) -> bool:
        """Whether a map costs so many passes that its stability is measured on few cases only."""
        return self.explainer.methods[0] in ASKING

    def _randomise(self, inputs: Floats) -> randomisation.Randomisation:
        """The check of the weights, where there are any to be had."""
        if not self.limits.randomisation:
            reason = message("trust.not_requested")
        elif not isinstance(self.explainer, Explainer):
            reason = message("trust.no_weights")
        else:
            return randomisation.randomise(self.explainer, inputs, self.batch_size, self.seed)
        return randomisation.Randomisation(Check(randomisation.NAME, "not_run", reason=reason))

    def of_cases(self, inputs: Floats, maps: Sequence[Maps]) -> list[tuple[Check, ...]]:
        """The checks of each case of a batch; none where it has no map.

        Parameters
        ----------
        inputs : float32 (N, rows, columns, channels).
        maps : all maps of each case.
        """
        names: list[str] = []
        if self.limits.faithfulness == "all":
            names += FAITHFULNESS
        if self.limits.stability == "all" and not self._asks_often:
            names += STABILITY
        usable = [n for n, case in enumerate(maps) if case and _has_order(case[0].values)]
        measured: dict[str, list[Measured]] = {}
        if usable:
            first_maps = np.stack([maps[n][0].values for n in usable])
            measured = self._values(names, inputs[usable], first_maps)
        checks: list[tuple[Check, ...]] = []
        for n, case in enumerate(maps):
            if not case:
                checks.append(())
                continue
            of_case = [_completeness(self.explainer, case[0]), self._agreement(case)]
            for name in names:
                if n in usable:
                    of_case.append(self._of_case(name, measured[name][usable.index(n)]))
                else:
                    of_case.append(_not_run(name, message("trust.no_order")))
            if self.limits.stability == "all" and self._asks_often:
                num = self.explainer.passes[self.explainer.methods[0]]
                reason = message("trust.map_asks_often", num=num)
                of_case += [_not_run(name, reason) for name in STABILITY]
            checks.append(tuple(of_case))
        return checks

    def num_inputs(self, num_cases: int) -> dict[str, int]:
        """Model inputs of a run by purpose; a gradient counts as one input."""
        limits, first = self.limits, self.explainer.methods[0]
        inputs_a_map = 1 + self.explainer.passes.get(first, 0)
        sample = min(limits.sample, num_cases)
        stable_cases = {"all": num_cases, "sample": sample, "none": 0}[limits.stability]
        if self._asks_often:
            stable_cases = min(stable_cases, ASKED_OFTEN)
        gains = {"all": sample + num_cases, "sample": sample, "none": 0}[limits.faithfulness]
        stages = (randomisation.STAGES + 1) * limits.randomisation
        if not isinstance(self.explainer, Explainer):
            stages = 0
        return {
            "explanation": num_cases * (1 + sum(self.explainer.passes.values())),
            "randomisation": sample * stages * inputs_a_map,
            "faithfulness": gains * faithfulness.NUM_INPUTS,
            "stability": stable_cases * len(CHANGES) * inputs_a_map,
        }

    def seconds_an_input(self) -> float:
        """Time of one model input on this machine, from one batch of zeros, the second of two."""
        batch = np.zeros((self.batch_size, *self.explainer.classifier.input_shape), np.float32)
        for _ in range(2):
            start = time.perf_counter()
            self.explainer.logits(batch)
            seconds = time.perf_counter() - start
        return seconds / self.batch_size

    def _means(self, names: Sequence[str], inputs: Floats) -> list[Check]:
        """The mean of each check over the sample."""
        if not names:
            return []
        maps = self._maps(inputs)
        usable = [n for n, values in enumerate(maps) if _has_order(values)]
        possible = [name for name in names if len(usable) >= FEWEST[name]]
        measured = self._values(possible, inputs[usable], maps[usable])
        checks: list[Check] = []
        for name in names:
            if name in possible:
                checks.append(self._mean(name, measured[name]))
            else:
                reason = randomisation.too_few(len(usable), len(inputs), FEWEST[name])
                checks.append(_not_run(name, reason))
        return checks

    def _values(
        self, names: Sequence[str], inputs: Floats, maps: Floats
    ) -> dict[str, list[Measured]]:
        """The value of some checks for each case, by name."""
        measured: dict[str, list[Measured]] = {}
        if STABILITY[0] in names:
            alike = self._stable(inputs, maps)
            for name, values in zip(STABILITY, (alike.mean(1), alike.min(1)), strict=True):
                measured[name] = [Measured(float(value)) for value in values]
        if FAITHFULNESS[0] in names:
            gains = [self._gains(x, values) for x, values in zip(inputs, maps, strict=True)]
            for name in FAITHFULNESS:
                measured[name] = [
                    Measured(gain.by_map[name], gain.by_centre.get(name)) for gain in gains
                ]
        return measured

    def _of_case(self, name: str, measured: Measured, detail: Text | None = None) -> Check:
        """One case's value and its limit."""
        value, limit = measured.value, self._limits[name]
        is_gain = name in FAITHFULNESS
        is_met = value > limit if is_gain else value >= limit
        shown = message("trust.above" if is_gain else "trust.at_least", limit=limit)
        return _judged(name, value, is_met, shown, detail or _beside(measured.by_centre))

    def _mean(self, name: str, measured: Sequence[Measured]) -> Check:
        """The mean over the sample. A gain has to exceed its limit by two standard errors."""
        values = [case.value for case in measured]
        by_centre = [case.by_centre for case in measured if case.by_centre is not None]
        detail = _beside(float(np.mean(by_centre)) if by_centre else None)
        num, value, limit = len(values), float(np.mean(values)), self._limits[name]
        if name not in FAITHFULNESS:
            shown = message("trust.at_least_of", limit=limit, num=num)
            return _judged(name, value, value >= limit, shown, detail)
        limit += 2 * float(np.std(values, ddof=1)) / num**0.5
        shown = message("trust.above_of", limit=limit, num=num)
        return _judged(name, value, value > limit, shown, detail)

    def _agreement(self, case: Maps) -> Check:
        """The lowest rank correlation with the map of another method."""
        first, name = case[0], "agreement"
        is_pooled = self.explainer.is_pooled
        if not _has_order(first.values):
            return _not_run(name, message("trust.no_order"))
        alike: dict[str, float] = {}
        for other in case[1:]:
            if _can_differ(first, other, is_pooled):
                alike[other.facts.method] = float(spearman(first.values, other.values))
        if not alike:
            code = "trust.no_different_method" if is_pooled else "trust.no_other_method"
            return _not_run(name, message(code))
        lowest = min(alike, key=alike.__getitem__)
        detail = message("trust.with_method", method=lowest)
        return self._of_case(name, Measured(alike[lowest]), detail)

    def _maps(self, inputs: Floats) -> Floats:
        """First maps of any number of inputs, (N, h, w)."""
        maps: list[Floats] = []
        for start in range(0, len(inputs), self.batch_size):
            some = inputs[start : start + self.batch_size]
            is_present = [n < len(some) for n in range(self.batch_size)]
            result = self._first.explain(self._filled(some), [None] * self.batch_size, is_present)
            maps += [case[0].values for case in result.maps[: len(some)]]
        return np.stack(maps)

    def _stable(self, inputs: Floats, maps: Floats) -> Floats:
        """`_alike`, of few cases spread over the sample where a map asks often."""
        if self._asks_often and len(inputs) > ASKED_OFTEN:
            chosen = np.arange(ASKED_OFTEN) * len(inputs) // ASKED_OFTEN
            inputs, maps = inputs[chosen], maps[chosen]
        return self._alike(inputs, maps)

    def _alike(self, inputs: Floats, maps: Floats) -> Floats:
        """Rank correlation of each map with those of its changed inputs, (N, changes)."""
        columns = []
        for change in CHANGES.values():
            changed = np.stack([change(x, self.seed) for x in inputs])
            columns.append(spearman(maps, np.nan_to_num(self._maps(changed))))
        return np.stack(columns, 1)

    def _gains(self, x: Floats, values: Floats) -> faithfulness.Gains:
        fill = baseline(x, FILL, np.zeros(x.shape[-1], np.float32))
        return faithfulness.measure(x, values, fill, self._scores, generator(x, self.seed))

    def _scores(self, inputs: Floats) -> Floats:
        """The explained logit of any number of inputs."""
        logits = []
        for start in range(0, len(inputs), self.batch_size):
            batch = self._filled(inputs[start : start + self.batch_size])
            logits.append(self.explainer.logits(batch))
        return np.concatenate(logits)[: len(inputs)] @ self._selector

    def _filled(self, some: Floats) -> Floats:
        rest = np.zeros((self.batch_size - len(some), *some.shape[1:]), np.float32)
        return np.concatenate([np.asarray(some, np.float32), rest])


def _judged(name: str, value: float, is_met: bool, limit: Message, detail: Text | None) -> Check:
    reason = None if is_met else message(f"trust.{name}_failed")
    return Check(name, "passed" if is_met else "failed", value, limit, reason, detail)


def _not_run(name: str, reason: Text) -> Check:
    return Check(name, "not_run", reason=reason)


def _beside(centre: float | None) -> Text | None:
    """The score of the order from the centre outwards."""
    return None if centre is None else message("trust.centre_first", centre=centre)


def _has_order(values: Floats) -> bool:
    return bool(np.isfinite(values).all() and np.ptp(values) > 0)


def _can_differ(first: ClassActivationMap, other: ClassActivationMap, is_pooled: bool) -> bool:
    """Whether two maps are of one subject and one grid, by methods that are not one and the same.

    Parameters
    ----------
    first, other : the maps.
    is_pooled : the head is global average pooling and one dense layer.
    """
    mine, its = first.facts, other.facts
    if (its.class_name, its.against, its.layer) != (mine.class_name, mine.against, mine.layer):
        return False
    if METHODS[its.method].is_class_blind or other.values.shape != first.values.shape:
        return False
    is_same_method = is_pooled and {its.method, mine.method} <= set(POOLED)
    return not is_same_method and _has_order(other.values)


def _completeness(explainer: AnyExplainer, first: ClassActivationMap) -> Check:
    """Only of a method that promises that its map adds up to the logit."""
    name, facts = "completeness", first.facts
    if facts.gap is None or not np.isfinite(facts.gap):
        return _not_run(name, message("trust.not_in_logits", method=facts.method))
    gap = abs(facts.gap)
    if facts.method == "integrated-gradients":
        total = abs(float(first.values.sum(dtype=np.float64)) + facts.gap)
        value = gap / max(1.0, total)
        limit = message("trust.of_baseline_change", limit=IG_GAP)
        return _judged(name, value, value <= IG_GAP, limit, None)
    is_closed_form = facts.method in POOLED and explainer.is_pooled
    if explainer.is_affine and (facts.method == "hirescam" or is_closed_form):
        return _judged(name, gap, facts.is_exact, message("trust.of_logit", limit=EXACT), None)
    return _not_run(name, message("trust.no_sum", method=facts.method))

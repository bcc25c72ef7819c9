"""(Explainer, config) -> the checks of a model on a sample of cases, and those of each case.

Everything is asked in batches of one size, filled up, and random numbers are of the run's seed and the case's own
pixels: a case's checks are the same whatever its place in a run.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from pipeline.config import Trust as Asked
from pipeline.explain import Explainer
from pipeline.explain.controls import generator
from pipeline.explain.explain import CLASS_BLIND, EXACT, POOLED
from pipeline.explain.probing import baseline
from pipeline.records import CascadeStage, Check, ClassActivationMap, Floats
from pipeline.trust import faithfulness, randomisation
from pipeline.trust.similarity import spearman
from pipeline.trust.stability import CHANGES

FILL = "blurred"
IG_GAP = 0.05
NOT_ASKED = "not asked for in the config"
WHAT = {
    "deletion": "blurred cell by cell, highest first: log-odds lost beyond the same map moved elsewhere",
    "insertion": "sharpened cell by cell, highest first: log-odds won beyond the same map moved elsewhere",
    "road": "cells imputed: log-odds after the lowest minus after the highest 20 to 80 % (ROAD; by chance 0)",
    "stability": f"rank correlation of the map with those of {len(CHANGES)} slightly changed inputs, mean",
    "worst_stability": f"rank correlation of the map with those of {len(CHANGES)} slightly changed inputs, lowest",
    "agreement": "rank correlation of the map with that of another method, lowest",
    "completeness": "what the cells and the bias leave of the logit",
}
FAITHFULNESS = ("deletion", "insertion", "road")
STABILITY = ("stability", "worst_stability")
LOST = {
    "deletion": "blurring what the map names costs no more than blurring elsewhere",
    "insertion": "sharpening what the map names wins no more than sharpening elsewhere",
    "road": "taking away what the map names costs no more than taking away the rest",
    "stability": "small changes of the input change the map",
    "worst_stability": "a small change of the input changes the map",
    "agreement": "two methods disagree about the place",
}


class Checks:
    """What is checked in a run, set up once.

    Parameters
    ----------
    batch_size : inputs a call of the classifier.
    """

    def __init__(self, explainer: Explainer, asked: Asked, batch_size: int, seed: int) -> None:
        self.explainer, self.asked, self.batch_size, self.seed = explainer, asked, batch_size, seed
        is_alone = len(explainer.methods) == 1 and not (explainer.layers or explainer.classes or explainer.against)
        self._first = explainer if is_alone else explainer.only_first()
        self._selector = explainer.classifier.selector(explainer.classifier.target_class)
        gain = ("above", asked.gain)
        self._limits = dict.fromkeys(FAITHFULNESS, gain) | {
            "stability": ("at least", asked.stability_mean),
            "worst_stability": ("at least", asked.stability_worst),
            "agreement": ("at least", asked.agreement_lowest),
        }

    def of_model(self, inputs: Floats) -> tuple[tuple[Check, ...], tuple[CascadeStage, ...]]:
        """The checks made once a model on a sample, float32 (N, rows, columns, channels), and the cascade's stages."""
        asked, checks = self.asked, []
        gate = randomisation.Randomisation(Check(randomisation.NAME, randomisation.WHAT, "not_run", reason=NOT_ASKED))
        if asked.randomisation:
            gate = randomisation.randomise(self.explainer, inputs, self.batch_size, self.seed)
        if asked.faithfulness != "none" or asked.stability == "sample":
            maps = self._maps(inputs)
            usable = [n for n, values in enumerate(maps) if np.isfinite(values).all() and np.ptp(values) > 0]
            if asked.faithfulness != "none":
                gains = [self._gains(inputs[n], maps[n]) for n in usable]
                checks += [self._mean(name, [one[name] for one in gains], len(inputs)) for name in FAITHFULNESS]
            if asked.stability == "sample":
                alike = self._alike(inputs[usable], maps[usable]) if usable else np.zeros((0, len(CHANGES)))
                for name, values in zip(STABILITY, (alike.mean(1), alike.min(1)), strict=True):
                    checks.append(self._mean(name, list(values), len(inputs)))
        return (gate.check, *checks), gate.stages

    def of_cases(self, inputs: Floats, maps: Sequence[tuple[ClassActivationMap, ...]]) -> list[tuple[Check, ...]]:
        """The checks of each case of a batch, from its input and all of its maps; none where it has no map."""
        present = [n for n, case in enumerate(maps) if case]
        firsts = {n: maps[n][0].values for n in present if maps[n][0].facts.status in ("ok", "negative_only")}
        found: dict[int, dict[str, float]] = {n: {} for n in firsts}
        if self.asked.stability == "all" and firsts:
            alike = self._alike(inputs[list(firsts)], np.stack(list(firsts.values())))
            for n, values in zip(firsts, alike, strict=True):
                found[n] |= dict(zip(STABILITY, (float(values.mean()), float(values.min())), strict=True))
        if self.asked.faithfulness == "all":
            for n, values in firsts.items():
                found[n] |= self._gains(inputs[n], values)
        return [self._of_case(case, found.get(n)) if case else () for n, case in enumerate(maps)]

    def num_inputs(self, num_cases: int) -> dict[str, int]:
        """Model inputs that each kind of check asks for in a run; gradients count like any other input."""
        asked, first = self.asked, self.explainer.methods[0]
        a_map, sample = 1 + self.explainer.passes.get(first, 0), min(self.asked.sample, num_cases)
        cases = {"all": num_cases, "sample": sample, "none": 0}
        gains = {"all": sample + num_cases, "sample": sample, "none": 0}[asked.faithfulness]
        return {
            "randomisation": asked.randomisation * sample * (randomisation.STAGES + 1) * a_map,
            "faithfulness": gains * faithfulness.NUM_INPUTS,
            "stability": cases[asked.stability] * len(CHANGES) * a_map,
        }

    def seconds_an_input(self) -> float:
        """Time of one model input on this machine, from one batch of zeros, the second of two."""
        batch = np.zeros((self.batch_size, *self.explainer.classifier.input_shape), np.float32)
        for _ in range(2):
            start = time.perf_counter()
            self.explainer.target.forward(batch, None)
            seconds = time.perf_counter() - start
        return seconds / self.batch_size

    def _of_case(self, case: tuple[ClassActivationMap, ...], found: dict[str, float] | None) -> tuple[Check, ...]:
        kinds = ((FAITHFULNESS, self.asked.faithfulness), (STABILITY, self.asked.stability))
        checks = [_completeness(self.explainer, case[0]), self._agreement(case)]
        for names, which in kinds:
            for name in names:
                if which == "all" and found is not None:
                    checks.append(self._check(name, WHAT[name], found[name]))
                elif which == "all":
                    checks.append(Check(name, WHAT[name], "not_run", reason="the map has no order of cells"))
        return tuple(checks)

    def _check(self, name: str, what: str, value: float, words: str = "") -> Check:
        """A value against its limit."""
        side, limit = self._limits[name]
        is_met = value > limit if side == "above" else value >= limit
        limit_in_words = f"{side} {limit:.2f}{words}"
        reason = None if is_met else f"{LOST[name]} ({value:.2f}, expected {limit_in_words})"
        return Check(name, what, "failed" if reason else "passed", value, limit_in_words, reason)

    def _mean(self, name: str, values: list[float], num: int) -> Check:
        """The mean over the sample. One of the faithfulness checks has to beat its limit by two standard errors."""
        what = f"{WHAT[name]}; mean of {len(values)} cases"
        if len(values) < randomisation.MIN_CASES:
            return Check(name, what, "not_run", reason=randomisation.TOO_FEW.format(len(values), num))
        mean = float(np.mean(values))
        if name not in FAITHFULNESS:
            return self._check(name, what, mean)
        margin = 2 * float(np.std(values, ddof=1)) / len(values) ** 0.5
        limit = f"above {self.asked.gain:.2f} by two standard errors, {margin:.2f}"
        is_met = mean - margin > self.asked.gain
        reason = None if is_met else f"{LOST[name]} (over the sample {mean:.2f}, expected {limit})"
        return Check(name, what, "passed" if is_met else "failed", mean, limit, reason)

    def _agreement(self, case: tuple[ClassActivationMap, ...]) -> Check:
        first, pooled = case[0], self.explainer.target.pooled_weights is not None
        others = {
            one.facts.method: one.values
            for one in case[1:]
            if (one.facts.class_name, one.facts.against) == (first.facts.class_name, first.facts.against)
            and one.facts.layer == first.facts.layer
            and one.facts.method not in CLASS_BLIND
            and one.values.shape == first.values.shape
            and not (pooled and {one.facts.method, first.facts.method} <= set(POOLED))
        }
        what = WHAT["agreement"]
        if not others:
            same = "; for this head Grad-CAM, XGrad-CAM and HiResCAM are one" if pooled else ""
            reason = f"no other method on this grid that could differ was asked for{same}"
            return Check("agreement", what, "not_run", reason=reason)
        alike = {name: float(spearman(first.values, values)) for name, values in others.items()}
        lowest = min(alike, key=alike.__getitem__)
        return self._check("agreement", f"{what}: {lowest}", alike[lowest])

    def _maps(self, inputs: Floats) -> Floats:
        """First maps of any number of inputs, (N, h, w)."""
        found = []
        for start in range(0, len(inputs), self.batch_size):
            some = inputs[start : start + self.batch_size]
            is_present = [n < len(some) for n in range(self.batch_size)]
            result = self._first.explain(self._filled(some), [None] * self.batch_size, is_present)
            found += [case[0].values for case in result.maps[: len(some)]]
        return np.stack(found)

    def _alike(self, inputs: Floats, maps: Floats) -> Floats:
        """Rank correlation of each map with those of its changed inputs: (N, changes)."""
        changed = (np.stack([change(x, self.seed) for x in inputs]) for change in CHANGES.values())
        return np.stack([spearman(maps, np.nan_to_num(self._maps(some))) for some in changed], 1)

    def _gains(self, x: Floats, values: Floats) -> dict[str, float]:
        rng, fill = generator(x, self.seed), baseline(x, FILL, np.zeros(x.shape[-1], np.float32))
        return faithfulness.measure(x, values, fill, self._scores, rng).by_map

    def _scores(self, inputs: Floats) -> Floats:
        """The explained logit of any number of inputs."""
        logits = [
            self.explainer.target.forward(self._filled(inputs[start : start + self.batch_size]), None)[2]
            for start in range(0, len(inputs), self.batch_size)
        ]
        return np.concatenate(logits)[: len(inputs)] @ self._selector

    def _filled(self, some: Floats) -> Floats:
        rest = np.zeros((self.batch_size - len(some), *some.shape[1:]), np.float32)
        return np.concatenate([np.asarray(some, np.float32), rest])


def _completeness(explainer: Explainer, first: ClassActivationMap) -> Check:
    """Only of a method that promises that its map adds up to the logit."""
    facts, target = first.facts, explainer.target
    what = WHAT["completeness"]
    if facts.gap is None or not np.isfinite(facts.gap):
        return Check("completeness", what, "not_run", reason=f"{facts.method} is not in logits, or not finite")
    gap = abs(facts.gap)
    if facts.method == "integrated-gradients":
        total = abs(float(first.values.sum(dtype=np.float64)) + facts.gap)
        value, limit = gap / max(1.0, total), f"at most {IG_GAP:.2f} of the change from the baseline"
        is_met = value <= IG_GAP
    elif target.is_affine and (facts.method == "hirescam" or (facts.method in POOLED and target.pooled_weights)):
        value, limit, is_met = gap, f"at most {EXACT:g} of the logit", facts.is_exact
    else:
        return Check("completeness", what, "not_run", reason=f"{facts.method} promises no sum for this head")
    reason = None if is_met else f"the map does not add up to the logit ({value:.2g}, expected {limit})"
    return Check("completeness", what, "passed" if is_met else "failed", value, limit, reason)

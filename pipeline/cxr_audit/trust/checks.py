"""(Explainer, config) -> the checks of a model on a sample of cases, and those of each case.

Everything is asked in batches of one size, filled up, and random numbers are of the run's seed and the case's own
pixels: a case's checks are the same whatever its place in a run.

Why the limits are what they are (reference classifier, Grad-CAM; 107 radiographs of the Kermany test split and 60
phantoms): `stability_mean` 0.9 and `stability_worst` 0.8 lie below all of the radiographs (lowest 0.93 and 0.86) and
all but one of the phantoms (0.90 and 0.78). Maps of two different radiographs correlate with 0.32 in the median, 0.87
at the upper quartile: what falls below 0.8 is changed by a small shift as much as by another patient. `gain` 0 is
chance itself. Over samples of 32, deletion gains 1.08 log-odds, insertion 0.87 and ROAD 2.55 on radiographs (2.86, 1.76
and 5.04 on phantoms), two standard errors being 0.4 to 0.8; of single radiographs 81, 79 and 89 % gain anything, so
that by default faithfulness is a property of the model. `agreement_lowest` 0.5 is a convention: no model that ships has
maps that could differ.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np

from cxr_audit.config import Trust as Asked
from cxr_audit.explain import Explainer
from cxr_audit.explain.controls import generator
from cxr_audit.explain.explain import CLASS_BLIND, EXACT, POOLED
from cxr_audit.explain.probing import baseline
from cxr_audit.records import CascadeStage, Check, ClassActivationMap, Floats
from cxr_audit.trust import faithfulness, randomisation
from cxr_audit.trust.randomisation import TOO_FEW
from cxr_audit.trust.similarity import spearman
from cxr_audit.trust.stability import CHANGES

FILL = "blurred"
IG_GAP = 0.05
NOT_ASKED = "not asked for in the config"
WHAT = {
    "deletion": "log-odds lost by blurring the highest first",
    "insertion": "log-odds won by sharpening the highest first",
    "road": "log-odds of removing the lowest minus the highest",
    "stability": f"mean rank correlation under {len(CHANGES)} small changes of the input",
    "worst_stability": f"lowest rank correlation under {len(CHANGES)} small changes of the input",
    "agreement": "lowest rank correlation with another method",
    "completeness": "what the cells and the bias leave of the logit",
}
FAITHFULNESS = ("deletion", "insertion", "road")
STABILITY = ("stability", "worst_stability")
# Cases below which a mean says nothing; 16 keep two standard errors of a gain below half a log-odd on Kermany cases.
FEWEST = dict.fromkeys(FAITHFULNESS, 16) | dict.fromkeys(STABILITY, randomisation.MIN_CASES)
Found = tuple[float, float | None]
LOST = {
    "deletion": "blurring what the map names costs no more than elsewhere",
    "insertion": "sharpening what the map names wins no more than elsewhere",
    "road": "taking away what the map names costs no more than the rest",
    "stability": "small changes of the input change the map",
    "worst_stability": "one small change of the input changes the map",
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
        is_alone = len(explainer.methods) == 1 and not (
            explainer.layers or explainer.classes or explainer.against
        )
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
        asked, checks = self.asked, list[Check]()
        gate = randomisation.Randomisation(
            Check(randomisation.NAME, randomisation.WHAT, "not_run", reason=NOT_ASKED)
        )
        if asked.randomisation:
            gate = randomisation.randomise(self.explainer, inputs, self.batch_size, self.seed)
        names = FAITHFULNESS * (asked.faithfulness != "none") + STABILITY * (
            asked.stability == "sample"
        )
        if names:
            maps = self._maps(inputs)
            usable = [n for n, values in enumerate(maps) if _has_order(values)]
            found = self._values(
                [name for name in names if len(usable) >= FEWEST[name]],
                inputs[usable],
                maps[usable],
            )
            checks += [
                self._mean(name, found.get(name, []), len(usable), len(inputs)) for name in names
            ]
        return (gate.check, *checks), gate.stages

    def of_cases(
        self, inputs: Floats, maps: Sequence[tuple[ClassActivationMap, ...]]
    ) -> list[tuple[Check, ...]]:
        """The checks of each case of a batch, from its input and all of its maps; none where it has no map."""
        asked = self.asked
        names = FAITHFULNESS * (asked.faithfulness == "all") + STABILITY * (
            asked.stability == "all"
        )
        usable = [n for n, case in enumerate(maps) if case and _has_order(case[0].values)]
        found = (
            self._values(names, inputs[usable], np.stack([maps[n][0].values for n in usable]))
            if usable
            else {}
        )
        checks: list[tuple[Check, ...]] = []
        for n, case in enumerate(maps):
            of_case = (
                [_completeness(self.explainer, case[0]), self._agreement(case)] if case else []
            )
            for name in names if case else ():
                if n in usable:
                    value, centre = found[name][usable.index(n)]
                    of_case.append(self._check(name, WHAT[name] + _beside(centre), value))
                else:
                    of_case.append(
                        Check(
                            name, WHAT[name], "not_run", reason="the cells of the map have no order"
                        )
                    )
            checks.append(tuple(of_case))
        return checks

    def num_inputs(self, num_cases: int) -> dict[str, int]:
        """Model inputs that explanation and each kind of check ask for in a run; a gradient counts as one input."""
        asked, first = self.asked, self.explainer.methods[0]
        a_map, sample = 1 + self.explainer.passes.get(first, 0), min(self.asked.sample, num_cases)
        cases = {"all": num_cases, "sample": sample, "none": 0}
        gains = {"all": sample + num_cases, "sample": sample, "none": 0}[asked.faithfulness]
        return {
            "explanation": num_cases * (1 + sum(self.explainer.passes.values())),
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

    def _values(self, names: Sequence[str], inputs: Floats, maps: Floats) -> dict[str, list[Found]]:
        """What some checks find for each case, by name; beside it what the order from the centre outwards scores."""
        found: dict[str, list[Found]] = {}
        if STABILITY[0] in names:
            alike = self._alike(inputs, maps)
            for name, values in zip(STABILITY, (alike.mean(1), alike.min(1)), strict=True):
                found[name] = [(float(value), None) for value in values]
        if FAITHFULNESS[0] in names:
            gains = [self._gains(x, values) for x, values in zip(inputs, maps, strict=True)]
            for name in FAITHFULNESS:
                found[name] = [(one.by_map[name], one.by_centre.get(name)) for one in gains]
        return found

    def _check(
        self, name: str, what: str, value: float, margin: float = 0.0, of: str = ""
    ) -> Check:
        """A value against its limit; of a mean whose error is known, against the limit and a margin."""
        side, limit = self._limits[name]
        is_met = value > limit + margin if side == "above" else value >= limit
        words = f"{side} {limit + margin:.2f}" + (", 2 standard errors" if margin else "")
        reason = None if is_met else LOST[name]
        return Check(name, what, "passed" if is_met else "failed", value, words + of, reason)

    def _mean(self, name: str, found: Sequence[Found], num_usable: int, num: int) -> Check:
        """The mean over the sample. One of the faithfulness checks has to beat its limit by two standard errors."""
        if not found:
            return Check(
                name, WHAT[name], "not_run", reason=TOO_FEW.format(num_usable, num, FEWEST[name])
            )
        values, centre = (
            [value for value, _ in found],
            [beside for _, beside in found if beside is not None],
        )
        margin = (
            2 * float(np.std(values, ddof=1)) / len(values) ** 0.5 if name in FAITHFULNESS else 0.0
        )
        what = WHAT[name] + _beside(float(np.mean(centre)) if centre else None)
        return self._check(name, what, float(np.mean(values)), margin, f" of {len(values)}")

    def _agreement(self, case: tuple[ClassActivationMap, ...]) -> Check:
        first, pooled = case[0], self.explainer.target.pooled_weights is not None
        others = {
            one.facts.method: one.values
            for one in case[1:]
            if (one.facts.class_name, one.facts.against)
            == (first.facts.class_name, first.facts.against)
            and one.facts.layer == first.facts.layer
            and one.facts.method not in CLASS_BLIND
            and one.values.shape == first.values.shape
            and _has_order(one.values)
            and not (pooled and {one.facts.method, first.facts.method} <= set(POOLED))
        }
        what = WHAT["agreement"]
        if not _has_order(first.values):
            return Check("agreement", what, "not_run", reason="the cells of the map have no order")
        if not others:
            reason = (
                f"no other method {'that could differ for this head' if pooled else 'on this grid'}"
            )
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

    def _gains(self, x: Floats, values: Floats) -> faithfulness.Gains:
        rng, fill = generator(x, self.seed), baseline(x, FILL, np.zeros(x.shape[-1], np.float32))
        return faithfulness.measure(x, values, fill, self._scores, rng)

    def _scores(self, inputs: Floats) -> Floats:
        """The explained logit of any number of inputs."""
        logits = [
            self.explainer.target.forward(
                self._filled(inputs[start : start + self.batch_size]), None
            )[2]
            for start in range(0, len(inputs), self.batch_size)
        ]
        return np.concatenate(logits)[: len(inputs)] @ self._selector

    def _filled(self, some: Floats) -> Floats:
        rest = np.zeros((self.batch_size - len(some), *some.shape[1:]), np.float32)
        return np.concatenate([np.asarray(some, np.float32), rest])


def _beside(centre: float | None) -> str:
    """What the order from the centre outwards scores."""
    return "" if centre is None else f", centre first: {centre:.2f}"


def _has_order(values: Floats) -> bool:
    return bool(np.isfinite(values).all() and np.ptp(values) > 0)


def _completeness(explainer: Explainer, first: ClassActivationMap) -> Check:
    """Only of a method that promises that its map adds up to the logit."""
    facts, target = first.facts, explainer.target
    what = WHAT["completeness"]
    if facts.gap is None or not np.isfinite(facts.gap):
        return Check(
            "completeness",
            what,
            "not_run",
            reason=f"{facts.method} is not in logits, or not finite",
        )
    gap = abs(facts.gap)
    if facts.method == "integrated-gradients":
        total = abs(float(first.values.sum(dtype=np.float64)) + facts.gap)
        value, limit = (
            gap / max(1.0, total),
            f"at most {IG_GAP:.2f} of the change from the baseline",
        )
        is_met = value <= IG_GAP
    elif target.is_affine and (
        facts.method == "hirescam" or (facts.method in POOLED and target.pooled_weights)
    ):
        value, limit, is_met = gap, f"at most {EXACT:g} of the logit", facts.is_exact
    else:
        return Check(
            "completeness", what, "not_run", reason=f"{facts.method} promises no sum for this head"
        )
    reason = None if is_met else "the map does not add up to the logit"
    return Check("completeness", what, "passed" if is_met else "failed", value, limit, reason)

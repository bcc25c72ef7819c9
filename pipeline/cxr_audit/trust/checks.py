"""(Explainer, config) -> the checks of a model on a sample of cases, and those of each case.

All calls of the classifier have one batch size, filled up, and random numbers depend on the run's
seed and the case's own pixels: a case's checks are the same whatever its place in a run.

Derivation of the limits (reference classifier, Grad-CAM; 107 radiographs of the Kermany test
split and 60 phantoms): `stability_mean` 0.9 and `stability_worst` 0.8 lie below all of the
radiographs (lowest 0.93 and 0.86) and all but one of the phantoms (0.90 and 0.78). Maps of two
different radiographs correlate with 0.32 in the median, 0.87 at the upper quartile: a map below
0.8 is changed by a small shift as much as by another patient. `stability_brightness` 0.7 lies
below 119 of 120 radiographs of that split (lowest 0.62, a fortieth below 0.76), and on 120 others,
which had no part in it, below 119 (lowest 0.67); 46 % of the pairs of different radiographs lie
below it. `gain` 0 is chance itself. Over
samples of 32, deletion gains 1.08 log-odds, insertion 0.87 and ROAD 2.55 on radiographs (2.86,
1.76 and 5.04 on phantoms), two standard errors being 0.4 to 0.8; of single radiographs 81, 79 and
89 % gain anything, so that by default faithfulness is a property of the model. `agreement_lowest`
0.5 is a convention: no model that ships has maps that could differ.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from cxr_audit.config import Trust as Limits
from cxr_audit.explain import AnyExplainer, Explainer
from cxr_audit.explain.asking import ASKING, EXACT
from cxr_audit.explain.controls import generator
from cxr_audit.explain.explain import FROM_BASELINE, POOLED
from cxr_audit.explain.probing import baseline, repacked
from cxr_audit.records import CascadeStage, Check, ClassActivationMap, Floats, PlainPass
from cxr_audit.trust import faithfulness, randomisation
from cxr_audit.trust.randomisation import Maps
from cxr_audit.trust.similarity import spearman
from cxr_audit.trust.stability import CHANGES
from cxr_audit.vocabulary import METHODS, Message, Text, message
from cxr_audit.vocabulary.depths import DEPTHS, Depth

FILL = "blurred"
IG_GAP = 0.05
ASKED_OFTEN = 8
"""Cases whose stability is measured where a map costs dozens of passes."""
FAITHFULNESS = ("deletion", "insertion", "road")
STABILITY = ("stability", "worst_stability")
# Cases below which a mean says nothing; 16 keep two standard errors of a gain below half a log-odd
# on Kermany cases.
FEWEST = dict.fromkeys(FAITHFULNESS, 16) | dict.fromkeys(STABILITY, randomisation.MIN_CASES)
BRIGHTNESS = "brightness_stability"
# Standard errors by which a gain has to exceed its limit. Of two looks at the data each takes more
# (Pocock, Biometrika 1977), so that both together err as often as one look at two errors.
ERRORS, ERRORS_OF_TWO_LOOKS = 2.0, 2.18

MapsOfCase = tuple[ClassActivationMap, ...]
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
    depth : how much is asked.
    """

    def __init__(
        self,
        explainer: AnyExplainer,
        limits: Limits,
        batch_size: int,
        seed: int,
        depth: Depth = DEPTHS["full"],
    ) -> None:
        self.explainer = explainer
        self.limits = limits
        self.batch_size = batch_size
        self.seed = seed
        self.depth = depth
        self.series = faithfulness.Series(depth.removals, depth.shares, depth.has_centre)
        self._counter = explainer.classifier.passes
        self._selector = explainer.classifier.selector(explainer.classifier.target_class)
        self._limits = dict.fromkeys(FAITHFULNESS, limits.gain) | {
            "stability": limits.stability_mean,
            "worst_stability": limits.stability_worst,
            "agreement": limits.agreement_lowest,
            BRIGHTNESS: limits.stability_brightness,
        }

    def of_model(
        self, inputs: Floats, before: Maps | None = None
    ) -> tuple[tuple[Check, ...], tuple[CascadeStage, ...]]:
        """The checks made once a model.

        Parameters
        ----------
        inputs : float32 (N, rows, columns, channels), the sample.
        before : the first maps of the sample, and those of a control; None = they are made.

        Returns
        -------
        The checks, and the stages of the cascade of `randomisation`.
        """
        names = self._of_the_sample()
        if before is None and (names or self.limits.randomisation):
            with self._counter.of("calibration"):
                before = randomisation.maps_of(self.explainer, inputs, self.batch_size)
        if before is None:
            return (self._not_randomised().check,), ()
        gate = self._randomise(inputs, before)
        return (gate.check, *self._means(names, inputs, before.own)), gate.stages

    def _of_the_sample(self) -> list[str]:
        """Names of the checks that are means over the sample."""
        names: list[str] = []
        if self.limits.faithfulness != "none":
            names += FAITHFULNESS
        if self.limits.stability == "sample" or (self._asks_often and self._wants_stability):
            names += STABILITY
        return names

    @property
    def _wants_stability(self) -> bool:
        return self.limits.stability != "none"

    @property
    def _asks_often(self) -> bool:
        """Whether a map costs so many passes that its stability is measured on few cases only."""
        return self.explainer.methods[0] in ASKING

    def _randomise(self, inputs: Floats, before: Maps) -> randomisation.Randomisation:
        if not self.limits.randomisation or not isinstance(self.explainer, Explainer):
            return self._not_randomised()
        usable = np.flatnonzero(np.ptp(before.own, (1, 2)) > 0)
        chosen = self._looks(usable)[0] if len(usable) else np.arange(len(inputs))
        with self._counter.of("randomisation"):
            return randomisation.randomise(
                self.explainer,
                inputs[chosen],
                self.batch_size,
                self.seed,
                before.at(chosen),
                self.depth.stages,
            )

    def _not_randomised(self) -> randomisation.Randomisation:
        is_wanted = self.limits.randomisation
        reason = message("trust.no_weights" if is_wanted else "trust.not_requested")
        return randomisation.Randomisation(Check(randomisation.NAME, "not_run", reason=reason))

    def _looks(self, usable: npt.NDArray[np.intp]) -> list[npt.NDArray[np.intp]]:
        """The places of the sample that are looked at first, spread over it, and then the rest."""
        num = self.depth.first_look
        if num is None or len(usable) <= num:
            return [usable]
        first = np.arange(num) * len(usable) // num
        return [usable[first], np.delete(usable, first)]

    def of_cases(
        self,
        inputs: Floats,
        maps: Sequence[MapsOfCase],
        by_brightness: Mapping[int, Sequence[Floats]] = MappingProxyType({}),
    ) -> list[tuple[Check, ...]]:
        """The checks of each case of a batch; none where it has no map.

        Parameters
        ----------
        inputs : float32 (N, rows, columns, channels).
        maps : all maps of each case.
        by_brightness : first maps of the image darker and brighter, by the case's place.
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
            of_case.append(self._under_brightness(case[0].values, by_brightness.get(n)))
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

    def plain_pass(self) -> PlainPass:
        """What one plain pass costs on this machine: a batch of zeros, the second of two."""
        batch = np.zeros((self.batch_size, *self.explainer.classifier.packed_shape), np.float32)
        with self._counter.of("plain"):
            for _ in range(2):
                start = time.perf_counter(), time.process_time()
                self.explainer.logits(batch)
                wall_ms = 1000 * (time.perf_counter() - start[0]) / self.batch_size
                cpu_ms = 1000 * (time.process_time() - start[1]) / self.batch_size
        return PlainPass(wall_ms, cpu_ms, self.batch_size)

    def _under_brightness(self, values: Floats, changed: Sequence[Floats] | None) -> Check:
        """The lowest rank correlation with the maps of the image darker and brighter."""
        method = self.explainer.methods[0]
        num_passes = self.explainer.passes_a_first_map
        if num_passes > 1:
            reason = message("trust.method_asks", method=method, num=num_passes)
            return _not_run(BRIGHTNESS, reason)
        if changed is None:
            return _not_run(BRIGHTNESS, message("trust.not_asked_of_case"))
        if not _has_order(values):
            return _not_run(BRIGHTNESS, message("trust.no_order"))
        alike = [float(spearman(values, np.nan_to_num(other))) for other in changed]
        return self._of_case(BRIGHTNESS, Measured(min(alike)))

    def num_inputs(self, num_cases: int) -> dict[str, int]:
        """Model inputs of a run by purpose, as far as these checks ask; a gradient counts as one.

        Where checks of the sample may decide at the first look, it is the number until then.
        """
        total = self.num_inputs_of_model(num_cases)
        if self.limits.faithfulness == "all":
            total["faithfulness"] += num_cases * self.series.num_inputs
        if self.limits.stability == "all" and not self._asks_often:
            total["stability"] += num_cases * len(CHANGES) * self.explainer.passes_a_first_map
        return total

    def num_inputs_of_model(self, num_cases: int) -> dict[str, int]:
        """The same of the checks made once a model, for a run of so many cases."""
        limits, num = self.limits, self.num_looked_at(num_cases)
        has_cascade = limits.randomisation and isinstance(self.explainer, Explainer)
        stages = self.depth.stages * has_cascade
        series = self.series.num_inputs * (limits.faithfulness != "none")
        changes = len(CHANGES) * (STABILITY[0] in self._of_the_sample())
        num_stable = self._num_stable(num)
        return {
            "randomisation": num * stages * self.explainer.passes_a_first_map,
            "faithfulness": num * series,
            "stability": num_stable * changes * self.explainer.passes_a_first_map,
        }

    def num_looked_at(self, num_cases: int) -> int:
        """Cases of the sample that the checks of a model begin with."""
        sample = min(self.limits.sample, num_cases)
        return min(sample, self.depth.first_look or sample)

    def _means(self, names: Sequence[str], inputs: Floats, maps: Floats) -> list[Check]:
        """The mean of each check over the sample."""
        usable = np.flatnonzero([_has_order(values) for values in maps])
        possible = [name for name in names if len(usable) >= FEWEST[name]]
        judged: dict[str, Check] = {}
        measured: dict[str, list[Measured]] = {name: [] for name in possible}
        looks = self._looks(usable)
        errors = ERRORS if self.depth.first_look is None else ERRORS_OF_TWO_LOOKS
        for places in looks:
            waiting = [name for name in possible if self._is_open(judged.get(name))]
            gains = [name for name in waiting if name in FAITHFULNESS]
            further = self._values(gains, inputs[places], maps[places])
            stable = [name for name in waiting if name in STABILITY]
            num = self._num_stable(len(places))
            few = places[np.arange(num) * len(places) // max(num, 1)]
            further |= self._values(stable, inputs[few], maps[few])
            for name in waiting:
                measured[name] += further[name]
                judged[name] = self._mean(name, measured[name], errors)
        checks: list[Check] = []
        for name in names:
            if name not in judged:
                reason = randomisation.too_few(len(usable), len(inputs), FEWEST[name])
                judged[name] = _not_run(name, reason)
            checks.append(judged[name])
        return checks

    def _values(
        self, names: Sequence[str], inputs: Floats, maps: Floats
    ) -> dict[str, list[Measured]]:
        """The value of some checks for each case, by name."""
        measured: dict[str, list[Measured]] = {}
        if STABILITY[0] in names or STABILITY[1] in names:
            alike = self._alike(inputs, maps)
            for name, values in zip(STABILITY, (alike.mean(1), alike.min(1)), strict=True):
                measured[name] = [Measured(float(value)) for value in values]
        if any(name in names for name in FAITHFULNESS):
            gains = self._gains(inputs, maps)
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

    def _mean(self, name: str, measured: Sequence[Measured], errors: float) -> Check:
        """The mean over the sample. A gain has to exceed its limit by some standard errors."""
        values = [case.value for case in measured]
        by_centre = [case.by_centre for case in measured if case.by_centre is not None]
        detail = _beside(float(np.mean(by_centre)) if by_centre else None)
        num, value, limit = len(values), float(np.mean(values)), self._limits[name]
        if name not in FAITHFULNESS:
            shown = message("trust.at_least_of", limit=limit, num=num)
            return _judged(name, value, value >= limit, shown, detail)
        limit += errors * float(np.std(values, ddof=1)) / num**0.5
        code = "trust.above_of" if errors == ERRORS else "trust.above_two_looks"
        shown = message(code, limit=limit, num=num)
        return _judged(name, value, value > limit, shown, detail)

    def _agreement(self, case: MapsOfCase) -> Check:
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

    def _num_stable(self, num_cases: int) -> int:
        """Of how many cases of a sample the stability is measured."""
        most = self.depth.stable_cases or num_cases
        if self._asks_often:
            most = min(most, ASKED_OFTEN)
        return min(most, num_cases)

    def _alike(self, inputs: Floats, maps: Floats) -> Floats:
        """Rank correlation of each map with those of its changed inputs, (N, changes)."""
        changed = (self._on_image(change, x) for change in CHANGES.values() for x in inputs)
        with self._counter.of("stability"):
            _, found = self.explainer.first_maps(changed, self.batch_size)
        others = np.nan_to_num(np.stack(found)).reshape(len(CHANGES), *maps.shape)
        return np.stack([spearman(maps, other) for other in others], 1)

    def _is_open(self, check: Check | None) -> bool:
        """Whether more cases may decide: nothing is known yet, or a gain is there, not certain."""
        if check is None:
            return True
        if check.name not in FAITHFULNESS or check.value is None:
            return False
        return check.state == "failed" and check.value > self._limits[check.name]

    def _on_image(self, change: Callable[[Floats, int], Floats], x: Floats) -> Floats:
        """A change of the image; further inputs stay."""
        image, further = self.explainer.unpacked(x)
        return np.asarray(repacked(change(image, self.seed)[None], further)[0], np.float32)

    def _gains(self, inputs: Floats, maps: Floats) -> list[faithfulness.Gains]:
        subjects = []
        for x, values in zip(inputs, maps, strict=True):
            image, further = self.explainer.unpacked(x)
            fill = baseline(image, FILL, np.zeros(image.shape[-1], np.float32))
            rng = generator(image, self.seed)
            subject = faithfulness.Subject(
                image, values, fill, rng, self.series, self.explainer.geometry, further
            )
            subjects.append(subject)
        with self._counter.of("faithfulness"):
            return faithfulness.measure(subjects, self._scores)

    def _scores(self, inputs: Iterable[Floats]) -> Floats:
        """The explained logit of any number of inputs."""
        return np.asarray(self.explainer.ask(inputs, self.batch_size) @ self._selector)


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
    if facts.method in FROM_BASELINE:
        total = abs(float(first.values.sum(dtype=np.float64)) + facts.gap)
        value = gap / max(1.0, total)
        limit = message("trust.of_baseline_change", limit=IG_GAP)
        return _judged(name, value, value <= IG_GAP, limit, None)
    is_closed_form = facts.method in POOLED and explainer.is_pooled
    if explainer.is_affine and (facts.method == "hirescam" or is_closed_form):
        return _judged(name, gap, facts.is_exact, message("trust.of_logit", limit=EXACT), None)
    return _not_run(name, message("trust.no_sum", method=facts.method))

"""Measurements and changed inputs of many cases -> what the output depends on, by factor.

The unit is the standard deviation of the logit within a label: what tells the cases of one label
apart. A factor without a place that was changed in the input has as effect

    change over its usual range x root of the share that it explains

The first is the root mean square, over the cases asked, of the difference between the highest and
the lowest logit with the factor at the ends of its usual range (5th and 95th percentile): paired,
and without a sign. The second is how closely the logit follows the factor in the set, by its rank
and the square of that. Either alone accuses clean classifiers: they react to blur that hardly
occurs, and their logit follows what follows the disease.

A place has as effect the share of the logit's variance that it brings, -cov(change, logit) over the
variance of the logit, or half the variance of the change over that of the logit, if that is larger:
two cues whose effects cancel bring no covariance. A marker counts where there is one.

What the file states is not changed in the input, so that it is an association and never "uses".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations_with_replacement

import numpy as np
from scipy.stats import spearmanr

from cxr_audit.cohort.association import (
    discoveries,
    explained,
    p_value,
    predicted_out_of_fold,
    rank_terms,
    within_label,
    word_terms,
)
from cxr_audit.cohort.intervals import MIN_PATIENTS, Bools, Doubles, Integers, Resampling
from cxr_audit.config import Acceptance
from cxr_audit.records import Estimate
from cxr_audit.records.factors import FactorState, FactorVerdict
from cxr_audit.vocabulary import Text, message
from cxr_audit.vocabulary.factors import (
    FACTORS,
    FactorRow,
    factor_words,
    is_of_whole_image,
    low_level_names,
)

SIGNIFICANT = 0.05
ALIKE = 0.7
"""Rank correlation of two factors, or of what two places change, that cannot be told apart."""
ASSOCIATED = 0.1
"""Share explained up to which a factor that was not changed in the input counts as not used."""
NEARLY_CONSTANT = 0.1
ORDER: tuple[FactorState, ...] = ("uses", "undecided", "not_used", "not_examined")
GROUPS_NAMED = 3


@dataclass(frozen=True)
class Panel:
    """The audited cases of a run by factor, NaN where a value is missing; (N,) each.

    Parameters
    ----------
    logit : of the case as it is.
    labels : a number for each label; cases without one have a number of their own.
    patients : a number for each patient.
    values : of factors in numbers.
    words : of factors in words.
    ranges : difference between the highest and the lowest logit over the factor's usual range.
    places : change of the logit with the border or a band replaced.
    marker : the largest change with a marker replaced.
    statistics : (N, k), in the order of `low_level_names`; None where they were not measured.
    """

    logit: Doubles
    labels: Integers
    patients: Integers
    values: dict[str, Doubles] = field(default_factory=dict)
    words: dict[str, tuple[str | None, ...]] = field(default_factory=dict)
    ranges: dict[str, Doubles] = field(default_factory=dict)
    places: dict[str, Doubles] = field(default_factory=dict)
    marker: Doubles | None = None
    statistics: Doubles | None = None


@dataclass(frozen=True)
class _Found:
    """A verdict on its way: with its limit, and what it is like."""

    verdict: FactorVerdict
    limit: float = 1.0
    p: float | None = None

    @property
    def rank(self) -> tuple[int, bool, float]:
        """The most important first; what is unnamed after what is named."""
        ratio = (self.verdict.effect or 0.0) / self.limit
        is_unnamed = self.verdict.factor == "low_level"
        return ORDER.index(self.verdict.verdict), is_unnamed, -ratio


def factor_verdicts(
    panel: Panel, limits: Acceptance, rounds: int, seed: int
) -> tuple[FactorVerdict, ...]:
    """The verdict of every factor of the vocabulary, the most important first.

    Parameters
    ----------
    limits : of the config.
    rounds, seed : of the resampling of patients.
    """
    if panel.logit.size and float(panel.logit.std()) < NEARLY_CONSTANT:
        spread = float(panel.logit.std())
        reason = message("cohort.nearly_constant", spread=spread, limit=NEARLY_CONSTANT)
        return tuple(_not_examined(row, reason, panel) for row in FACTORS)
    return _Judge(panel, limits, rounds, seed).all()


class _Judge:
    """The verdicts of one run."""

    def __init__(self, panel: Panel, limits: Acceptance, rounds: int, seed: int) -> None:
        self.panel, self.limits, self.rounds, self.seed = panel, limits, rounds, seed
        self.residual = within_label(panel.logit, panel.labels)
        self._drawn: dict[bytes, Resampling] = {}

    def all(self) -> tuple[FactorVerdict, ...]:
        """Every factor, ranked."""
        found: list[_Found] = []
        for row in FACTORS:
            if row.measured_on in ("input", "lungs", "file"):
                found.append(self._without_place(row))
            elif row.key == "marker":
                found.append(self._marker(row))
            elif row.key == "border":
                found.append(self._place(row, "border", row.key))
            elif row.key == "place":
                found += self._bands(row)
            elif row.measured_on == "nothing":
                found.append(self._nothing(row, message("cohort.factor_no_search")))
        found = self._with_false_discoveries(found)
        found.append(self._low_level(FACTORS["low_level"], found))
        found = [self._told_apart(one, found) for one in found]
        found.sort(key=lambda one: one.rank)
        return tuple(one.verdict for one in found)

    def _resampling(self, among: Bools) -> Resampling:
        """The patients of some cases; the same cases share their draws."""
        key = among.tobytes()
        if key not in self._drawn:
            patients = self.panel.patients[among]
            self._drawn[key] = Resampling(patients, self.rounds, self.seed)
        return self._drawn[key]

    # ---- factors without a place

    def _without_place(self, row: FactorRow) -> _Found:
        known, terms = self._terms(row)
        patients = self.panel.patients[known]
        num = len(np.unique(patients))
        if terms is None or num < MIN_PATIENTS:
            code = "cohort.factor_same"
            if num >= MIN_PATIENTS:
                return self._nothing(row, message(code))
            reason = message("cohort.factor_not_measured", num=num, needed=MIN_PATIENTS)
            return self._nothing(row, reason)
        residual = self.residual[known]
        p = p_value(terms, residual, patients, self.seed)
        resampling = self._resampling(known)
        columns = _regression(terms, residual)
        if not row.is_moved:
            estimate = resampling.of_sums(_explained_of(terms.shape[1]), *columns)
            return self._stated(row, estimate, p)
        ranges = self.panel.ranges.get(row.key)
        asked = np.zeros(known.sum(), bool) if ranges is None else ~np.isnan(ranges[known])
        if ranges is None or asked.sum() < MIN_PATIENTS:
            return self._nothing(row, message("cohort.factor_not_asked"))
        squares = np.where(asked, ranges[known], 0.0) ** 2
        estimate = resampling.of_sums(_effect_of(terms.shape[1]), *columns, asked, squares)
        limit = self.limits.factor_spread
        spread = float(residual.std())
        share = explained(terms, residual)
        change = float(np.sqrt(squares.sum() / asked.sum())) / spread
        effect = estimate.value or 0.0
        reason = message(
            "cohort.factor_moved", range=change, share=share, effect=effect, limit=limit
        )
        return self._judged(row, row.key, estimate, limit, "cohort.unit_spreads", reason, p)

    def _terms(self, row: FactorRow) -> tuple[Bools, Doubles | None]:
        """Which cases have a value, and its terms there; None where it is the same in all."""
        if row.is_words:
            words = self.panel.words.get(row.key, (None,) * self.panel.logit.size)
            known = np.array([word is not None for word in words], bool)
            given = [word for word in words if word is not None]
            return known, word_terms(given, self.panel.labels[known]) if given else None
        values = self.panel.values.get(row.key, np.full(self.panel.logit.size, np.nan))
        known = ~np.isnan(values)
        if not known.any() or np.ptp(values[known]) == 0:
            return known, None
        return known, rank_terms(values[known], self.panel.labels[known])

    def _stated(self, row: FactorRow, estimate: Estimate, p: float) -> _Found:
        """A factor that cannot be changed in the input is never said to be used."""
        share = max(0.0, estimate.value or 0.0)
        reason = message("cohort.factor_stated", share=share)
        found = self._judged(
            row, row.key, estimate, ASSOCIATED, "cohort.unit_share", reason, p, is_causal=False
        )
        # It cannot rank before what was shown by a changed input.
        return replace(found, limit=1.0)

    def _with_false_discoveries(self, found: list[_Found]) -> list[_Found]:
        """A factor is used only where the permutation test, adjusted for their number, agrees."""
        tested = [one for one in found if one.p is not None]
        adjusted = dict(
            zip(
                (one.verdict.factor for one in tested),
                discoveries([one.p for one in tested if one.p is not None]),
                strict=True,
            )
        )
        checked = []
        for one in found:
            p = adjusted.get(one.verdict.factor)
            if p is not None and p >= SIGNIFICANT and one.verdict.verdict == "uses":
                reason = message(
                    "cohort.factor_not_significant", reason=one.verdict.reason, p=float(p)
                )
                verdict = replace(one.verdict, verdict="undecided", reason=reason)
                one = replace(one, verdict=verdict)
            checked.append(one)
        return checked

    # ---- places

    def _marker(self, row: FactorRow) -> _Found:
        change = self.panel.marker
        if change is None or np.isnan(change).all():
            return self._nothing(row, message("cohort.no_marker"))
        has_one = ~np.isnan(change)
        num = len(np.unique(self.panel.patients[has_one]))
        if num < MIN_PATIENTS:
            reason = message("cohort.factor_not_measured", num=num, needed=MIN_PATIENTS)
            return self._nothing(row, reason)
        squares = np.where(has_one, change, 0.0) ** 2
        ones = np.ones(self.residual.size)
        resampling = self._resampling(np.ones(self.residual.size, bool))
        columns = ones, self.residual, self.residual**2, has_one, squares
        estimate = resampling.of_sums(_change_in_spreads, *columns)
        estimate = replace(estimate, num_cases=int(has_one.sum()), num_patients=num)
        limit = self.limits.factor_marker
        reason = message("cohort.factor_marker", effect=estimate.value or 0.0, limit=limit)
        return self._judged(row, row.key, estimate, limit, "cohort.unit_spreads", reason)

    def _place(self, row: FactorRow, name: str, key: str) -> _Found:
        change = self.panel.places.get(name)
        asked = np.zeros(self.residual.size, bool) if change is None else ~np.isnan(change)
        if change is None or asked.sum() < MIN_PATIENTS:
            return self._nothing(row, message("cohort.factor_not_asked"))
        logit = within_label(self.panel.logit[asked], self.panel.labels[asked])
        resampling = self._resampling(asked)
        estimate = resampling.of_sums(_share_of_place, *_moments(change[asked], logit))
        limit = self.limits.factor_place
        share = max(0.0, estimate.value or 0.0)
        reason = message("cohort.factor_place", share=share, limit=limit)
        return self._judged(row, key, estimate, limit, "cohort.unit_share", reason)

    def _bands(self, row: FactorRow) -> list[_Found]:
        """Every band of the radiograph."""
        names = [name for name in self.panel.places if name != "border"]
        if not names:
            return [self._nothing(row, message("cohort.factor_not_asked"))]
        return [self._place(row, name, f"{row.key}_{name.replace(' ', '_')}") for name in names]

    # ---- what no factor names

    def _low_level(self, row: FactorRow, named: Sequence[_Found]) -> _Found:
        """What generic statistics predict of the logit beyond the factors that are used."""
        statistics = self.panel.statistics
        num = len(np.unique(self.panel.patients))
        if statistics is None or num < 2 * MIN_PATIENTS:
            reason = message("cohort.factor_not_measured", num=num, needed=2 * MIN_PATIENTS)
            return self._nothing(row, reason)
        rest = self._beyond(named)
        names = low_level_names()
        whole = np.array([is_of_whole_image(name) for name in names])
        centred = within_label(statistics, self.panel.labels)
        predicted = predicted_out_of_fold(centred[:, whole], rest, self.panel.patients, self.seed)
        resampling = self._resampling(np.ones(self.residual.size, bool))
        estimate = resampling.of_sums(_predicted_share, (rest - predicted) ** 2, rest**2)
        limit = self.limits.factor_low_level
        share = max(0.0, estimate.value or 0.0)
        groups = _carriers(centred, predicted)
        reason = message("cohort.factor_low_level", share=share, limit=limit, groups=groups)
        found = self._judged(row, row.key, estimate, limit, "cohort.unit_share", reason)
        if found.verdict.verdict != "uses":
            return found
        likely = message("cohort.factor_low_level_likely", reason=reason)
        return replace(found, verdict=replace(found.verdict, reason=likely))

    def _beyond(self, named: Sequence[_Found]) -> Doubles:
        """The logit within a label without what the factors in use explain.

        A factor that cannot be told apart from one of them is taken out with it.
        """
        used = [one for one in named if one.verdict.verdict == "uses"]
        rest = self.residual.copy()
        for one in named:
            values = self.panel.values.get(one.verdict.factor)
            if values is None or np.isnan(values).all():
                continue
            if one not in used and not any(self._are_alike(one, other) for other in used):
                continue
            known = ~np.isnan(values)
            terms = rank_terms(values[known], self.panel.labels[known])
            fitted, *_ = np.linalg.lstsq(terms, rest[known], rcond=None)
            rest[known] -= terms @ fitted
        return rest

    # ---- verdicts

    def _judged(
        self,
        row: FactorRow,
        key: str,
        estimate: Estimate,
        limit: float,
        unit: str,
        reason: Text,
        p: float | None = None,
        is_causal: bool = True,
    ) -> _Found:
        """The verdict of an estimate whose interval decides."""
        if estimate.value is None:
            return self._nothing(row, estimate.reason or reason)
        effect = max(0.0, estimate.value)
        low, high = estimate.interval_95 or (effect, effect)
        interval = max(0.0, low), max(0.0, high)
        state: FactorState = "undecided"
        if interval[1] <= limit:
            state = "not_used"
        elif interval[0] > limit and is_causal:
            state = "uses"
        elif is_causal:
            reason = message("cohort.factor_undecided", reason=reason)
        verdict = FactorVerdict(
            key,
            row.kind,
            state,
            effect,
            message(unit),
            interval,
            estimate.num_cases,
            estimate.num_patients,
            reason,
        )
        return _Found(verdict, limit, p)

    def _nothing(self, row: FactorRow, reason: Text) -> _Found:
        return _Found(_not_examined(row, reason, self.panel))

    def _told_apart(self, one: _Found, found: Sequence[_Found]) -> _Found:
        """The factor with those named that it cannot be told apart from."""
        if one.verdict.verdict not in ("uses", "undecided"):
            return one
        alike = []
        for other in found:
            is_strong = (other.verdict.effect or 0.0) >= other.limit / 2
            if other is not one and is_strong and self._are_alike(one, other):
                alike.append(factor_words(other.verdict.factor))
        if not alike:
            return one
        reason = message("cohort.factor_like_others", reason=one.verdict.reason, factors=alike)
        return replace(one, verdict=replace(one.verdict, reason=reason))

    def _are_alike(self, one: _Found, other: _Found) -> bool:
        first, second = self._trace(one.verdict), self._trace(other.verdict)
        if first is None or second is None:
            return False
        known = ~np.isnan(first) & ~np.isnan(second)
        if known.sum() < MIN_PATIENTS:
            return False
        labels = self.panel.labels[known]
        values = [within_label(trace[known], labels) for trace in (first, second)]
        if min(np.ptp(trace) for trace in values) == 0:
            return False
        return bool(abs(spearmanr(*values).statistic) >= ALIKE)

    def _trace(self, verdict: FactorVerdict) -> Doubles | None:
        """What a factor is in each case: its value, or the change that its place makes."""
        if verdict.factor == "marker":
            return self.panel.marker
        name = verdict.factor.removeprefix("place_").replace("_", " ")
        return self.panel.values.get(verdict.factor, self.panel.places.get(name))


def _not_examined(row: FactorRow, reason: Text, panel: Panel) -> FactorVerdict:
    is_share = row.measured_on not in ("input", "lungs")
    unit = message("cohort.unit_share" if is_share else "cohort.unit_spreads")
    return FactorVerdict(row.key, row.kind, "not_examined", None, unit, None, 0, 0, reason)


def _carriers(statistics: Doubles, predicted: Doubles) -> list[str]:
    """The groups of statistics that the prediction follows most."""
    strength: dict[str, float] = {}
    for name, column in zip(low_level_names(), statistics.T, strict=True):
        if np.ptp(column) == 0:
            continue
        group = name.partition(":")[0]
        correlation = abs(float(np.corrcoef(column, predicted)[0, 1]))
        strength[group] = max(strength.get(group, 0.0), correlation)
    return sorted(strength, key=lambda group: -strength[group])[:GROUPS_NAMED]


# ---- statistics of sums over cases, (k, 1 + rounds)


def _regression(terms: Doubles, residual: Doubles) -> list[Doubles]:
    """What a regression of the residual on the terms is made of, as columns."""
    columns = [np.ones(residual.size), residual, residual**2, *terms.T]
    columns += [term * residual for term in terms.T]
    pairs = combinations_with_replacement(range(terms.shape[1]), 2)
    columns += [terms[:, a] * terms[:, b] for a, b in pairs]
    return columns


def _share_explained(sums: Doubles, num_terms: int) -> Doubles:
    """The adjusted share that the terms explain."""
    number, total, squares = sums[:3]
    variance = squares / number - (total / number) ** 2
    means = sums[3 : 3 + num_terms] / number
    with_residual = sums[3 + num_terms : 3 + 2 * num_terms] / number - means * total / number
    products = np.zeros((sums.shape[1], num_terms, num_terms))
    pairs = combinations_with_replacement(range(num_terms), 2)
    for place, (a, b) in enumerate(pairs, 3 + 2 * num_terms):
        covariance = sums[place] / number - means[a] * means[b]
        products[:, a, b] = products[:, b, a] = covariance
    products += 1e-12 * np.eye(num_terms)
    weights = np.linalg.solve(products, with_residual.T[..., None])[..., 0]
    share = (weights * with_residual.T).sum(1) / variance
    return np.asarray(1 - (1 - share) * (number - 1) / (number - num_terms - 1))


def _explained_of(num_terms: int) -> Callable[[Doubles], Doubles]:
    return lambda sums: _share_explained(sums, num_terms)


def _effect_of(num_terms: int) -> Callable[[Doubles], Doubles]:
    """Change over the usual range, in spreads, times the root of the share explained."""

    def effect(sums: Doubles) -> Doubles:
        *regression, asked, ranges = sums
        number, total, squares = regression[:3]
        spread = np.sqrt(squares / number - (total / number) ** 2)
        share = np.maximum(_share_explained(np.stack(regression), num_terms), 0)
        return np.asarray(np.sqrt(ranges / asked) / spread * np.sqrt(share))

    return effect


def _change_in_spreads(sums: Doubles) -> Doubles:
    """Root mean square of a change where there is one, over the spread of the logit."""
    number, total, squares, asked, changes = sums
    variance = squares / number - (total / number) ** 2
    return np.asarray(np.sqrt(changes / asked / variance))


def _moments(change: Doubles, logit: Doubles) -> tuple[Doubles, ...]:
    return np.ones(change.size), change, logit, change**2, change * logit, logit**2


def _share_of_place(sums: Doubles) -> Doubles:
    """-cov(change, logit) over var(logit), or half var(change) over it if that is larger."""
    number, change, logit, changes, product, logits = sums
    variance = logits / number - (logit / number) ** 2
    covariance = product / number - change * logit / number**2
    of_change = changes / number - (change / number) ** 2
    return np.asarray(np.maximum(-covariance, of_change / 2) / variance)


def _predicted_share(sums: Doubles) -> Doubles:
    errors, squares = sums
    return np.asarray(1 - errors / squares)

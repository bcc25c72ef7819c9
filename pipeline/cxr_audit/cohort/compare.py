"""Two runs over the same radiographs -> what changed from A to B, case by case and overall.

Every figure is of the cases that both runs have; its change is paired, B minus A in each case,
with an interval from resampled patients (see `intervals`). McNemar's exact test (Psychometrika
12, 1947) says whether more cases turned right than wrong; it takes cases as independent, which
several of one patient are not. Runs that explain different classes or share no case are refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress

import numpy as np

from cxr_audit.cohort.columns import Cases, CaseSummary
from cxr_audit.cohort.describe import number_patients
from cxr_audit.cohort.differences import differences
from cxr_audit.cohort.intervals import Bools, Doubles, Resampling
from cxr_audit.cohort.pairing import Pair, Run, Side, match
from cxr_audit.errors import ConfigError
from cxr_audit.records import (
    ChangedAnswers,
    ChangedCase,
    CheckState,
    ComparedRun,
    Comparison,
    Estimate,
    Matching,
    PairedMetric,
    RunRecord,
    Transition,
    Transitions,
)
from cxr_audit.vocabulary import message
from cxr_audit.vocabulary.names import case_numbers

MOST_CHANGED = 20


def compare(
    a: Run, b: Run, patient_of: Mapping[str, str | None], rounds: int, seed: int
) -> Comparison:
    """What changed from run A to run B.

    Parameters
    ----------
    a, b : the runs; their cases are read once.
    patient_of : the patients of A's cases, where they are known.
    rounds, seed : of the resampling of patients.

    Raises
    ------
    ConfigError : no common case, or scores of different classes.
    """
    keys = a[0].cases.case_id_key, b[0].cases.case_id_key
    is_same_key = keys[0] is not None and keys[0] == keys[1]
    sides = Side.of(a), Side.of(b)
    pairs = match(sides[0].cases.summaries, sides[1].cases.summaries, is_same_key)
    if not pairs:
        raise ConfigError(
            f"the runs {a[0].name} and {b[0].name} share no radiograph",
            "compare runs over the same files",
        )
    return _Compared(sides, pairs, patient_of, (rounds, seed)).record(is_same_key)


class _Compared:
    """Two runs whose cases are matched."""

    def __init__(
        self,
        sides: tuple[Side, Side],
        pairs: list[Pair],
        patient_of: Mapping[str, str | None],
        resampling: tuple[int, int],
    ) -> None:
        self.sides, self.pairs, self.resampling = sides, pairs, resampling
        self.audited = [pair for pair in pairs if pair.is_audited]
        self.target_class = _target_class(self.audited)
        known = {pair.a.case_id: patient_of.get(pair.a.case_id) for pair in pairs}
        self.numbers, self.patients_text = number_patients(known)
        self.labelled = [pair for pair in self.audited if _is_labelled(pair)]

    def record(self, is_same_key: bool) -> Comparison:
        """Everything together."""
        a, b = self.sides
        rounds, seed = self.resampling
        audited, pairs = self.audited, self.pairs
        matched_a = {pair.place_a for pair in pairs}
        matched_b = {pair.place_b for pair in pairs}
        right = Counter((pair.a.is_correct, pair.b.is_correct) for pair in self.labelled)
        gained, lost = right[False, True], right[True, False]
        matched_by = "cohort.matched_by_id" if is_same_key else "cohort.matched_by_file"
        return Comparison(
            a=_compared(a, audited[0].a.threshold),
            b=_compared(b, audited[0].b.threshold),
            target_class=self.target_class,
            matching=Matching(
                by=message(matched_by),
                num_matched=len(pairs),
                num_other_bytes=sum(_is_other_file(pair) for pair in pairs),
                only_a=_unmatched(a.cases, matched_a),
                only_b=_unmatched(b.cases, matched_b),
            ),
            patients=self.patients_text,
            method=message("cohort.paired_method", rounds=rounds, seed=seed),
            differences=tuple(differences(a.run, b.run)),
            transitions=Transitions(
                statuses=_transitions((pair.a.status, pair.b.status) for pair in pairs),
                classes=_transitions(
                    (str(pair.a.predicted), str(pair.b.predicted)) for pair in audited
                ),
                trust=_transitions(
                    (pair.a.trust or "none", pair.b.trust or "none") for pair in audited
                ),
                flags=_flags(pairs),
                checks=_checks(a.run, b.run),
            ),
            another_class=self._another_class(),
            answers=ChangedAnswers(
                num_labelled=len(self.labelled),
                num_wrong_then_right=gained,
                num_right_then_wrong=lost,
                p_value=mcnemar(gained, lost) if self.labelled else None,
            ),
            performance=tuple(self._performance()),
            metrics=tuple(self._metrics()),
            changed=tuple(_changed(pairs)),
            scores=tuple((_score(pair.a), _score(pair.b)) for pair in audited),
        )

    def _draw(self, pairs: Sequence[Pair]) -> Resampling:
        patients = np.array([self.numbers[pair.a.case_id] for pair in pairs], np.intp)
        return Resampling(patients, *self.resampling)

    def _another_class(self) -> Estimate:
        moved = np.array([pair.a.predicted != pair.b.predicted for pair in self.audited], bool)
        everyone, missing = np.ones(moved.shape, bool), message("cohort.not_audited_in_both")
        return self._draw(self.audited).share(moved, everyone, missing)

    def _performance(self) -> Iterator[PairedMetric]:
        """AUC, accuracy, sensitivity and specificity, with the target class against all others."""
        pairs, target = self.labelled, self.target_class
        positive = np.array([pair.a.label == target for pair in pairs], bool)
        scores = _columns([(_score(pair.a), _score(pair.b)) for pair in pairs])
        draws = self._draw(pairs)
        before, after = scores[:, 0], scores[:, 1]
        change = draws.auc_change(positive, before, after)
        values = draws.auc(positive, before).value, draws.auc(positive, after).value
        yield PairedMetric("auc", *values, change)
        correct = _columns([(_is_true(p.a.is_correct), _is_true(p.b.is_correct)) for p in pairs])
        called = _columns(
            [(_is_true(p.a.predicted == target), _is_true(p.b.predicted == target)) for p in pairs]
        )
        yield self._paired("accuracy", pairs, correct, np.ones(len(pairs), bool))
        yield self._paired("sensitivity", pairs, called, positive)
        yield self._paired("specificity", pairs, 1 - called, ~positive)

    def _metrics(self) -> Iterator[PairedMetric]:
        """The scores and every number of the first map."""
        for name in ("probability", "logit", *case_numbers()):
            values = np.stack([self._values(name, side) for side in (0, 1)], 1)
            is_known = ~np.isnan(values)
            num_only_a = int((is_known[:, 0] & ~is_known[:, 1]).sum())
            num_only_b = int((is_known[:, 1] & ~is_known[:, 0]).sum())
            in_both = is_known[:, 0] & is_known[:, 1]
            paired = self._paired(name, self.audited, values, in_both)
            yield PairedMetric(name, paired.a, paired.b, paired.change, num_only_a, num_only_b)

    def _values(self, name: str, side: int) -> Doubles:
        """A number of each audited pair in one run, NaN where undefined."""
        if name in ("probability", "logit"):
            summaries = [(pair.a, pair.b)[side] for pair in self.audited]
            return np.array([getattr(summary, name) for summary in summaries], float)
        places = [(pair.place_a, pair.place_b)[side] for pair in self.audited]
        return self.sides[side].cases.values(name)[places]

    def _paired(
        self, name: str, pairs: Sequence[Pair], values: Doubles, among: Bools
    ) -> PairedMetric:
        """One figure over some pairs; `values` (N, 2) of A and B, `among` (N,)."""
        chosen = list(compress(pairs, among))
        change = self._draw(chosen).mean_change(values[among, 1] - values[among, 0])
        if not chosen:
            return PairedMetric(name, None, None, change)
        before, after = values[among].mean(0)
        return PairedMetric(name, float(before), float(after), change)


def mcnemar(gained: int, lost: int) -> float:
    """The two-sided probability of a split at least as uneven if both were as likely.

    1 where nothing changed.
    """
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5)))


def _compared(side: Side, threshold: float | None) -> ComparedRun:
    run, model = side.run, side.run.model
    return ComparedRun(
        run.name,
        run.started,
        run.cases.num_cases,
        model.name,
        model.sha256,
        run.config_sha256,
        side.sha256sums,
        threshold,
    )


def _unmatched(cases: Cases, matched: set[int]) -> tuple[str, ...]:
    """Ids of the cases that the other run does not have."""
    others = [case for place, case in enumerate(cases.summaries) if place not in matched]
    return tuple(case.case_id for case in others)


def _target_class(audited: Sequence[Pair]) -> str:
    names: set[str] = set()
    for pair in audited:
        names |= {str(pair.a.target_class), str(pair.b.target_class)}
    if len(names) == 1:
        return names.pop()
    what = "no case was audited in both"
    if names:
        what = f"they explain {' and '.join(sorted(names))}"
    raise ConfigError(
        f"the scores of these runs cannot be compared: {what}", "compare runs of one target class"
    )


def _is_labelled(pair: Pair) -> bool:
    return pair.a.is_correct is not None and pair.a.label == pair.b.label


def _is_other_file(pair: Pair) -> bool:
    """Whether the bytes differ; keyed hashes are of one key where a plain one is missing."""
    plain = {pair.a.file_sha256, pair.b.file_sha256}
    if None not in plain:
        return len(plain) > 1
    return len({pair.a.file_hmac, pair.b.file_hmac} - {None}) > 1


def _score(case: CaseSummary) -> float:
    return float("nan") if case.probability is None else case.probability


def _is_true(value: bool | None) -> float:
    return float(value is True)


def _columns(rows: Sequence[tuple[float, float]]) -> Doubles:
    """(N, 2), also of no rows."""
    return np.array(rows, float).reshape(-1, 2)


def _transitions(steps: Iterable[tuple[str, str]]) -> tuple[Transition, ...]:
    counts = sorted(Counter(steps).items())
    return tuple(Transition(before, after, num) for (before, after), num in counts)


def _flags(pairs: Sequence[Pair]) -> dict[str, tuple[int, int, int]]:
    """By flag, how many cases have it in A only, in both, in B only."""
    in_a: Counter[str] = Counter()
    in_b: Counter[str] = Counter()
    in_both: Counter[str] = Counter()
    for pair in pairs:
        before, after = set(pair.a.flags), set(pair.b.flags)
        in_a.update(before - after)
        in_b.update(after - before)
        in_both.update(before & after)
    names = sorted({*in_a, *in_b, *in_both})
    return {name: (in_a[name], in_both[name], in_b[name]) for name in names}


def _checks(a: RunRecord, b: RunRecord) -> dict[str, tuple[CheckState | None, CheckState | None]]:
    before = {check.name: check.state for check in a.calibration.checks}
    after = {check.name: check.state for check in b.calibration.checks}
    return {name: (before.get(name), after.get(name)) for name in {**before, **after}}


def _changed(pairs: Sequence[Pair]) -> list[ChangedCase]:
    """Cases of another status, class, trust state or with other flags, and the largest changes of
    the score; the largest changes first."""
    cases = [_changed_case(pair) for pair in pairs]
    cases.sort(key=lambda case: (-_step(case), case.case_id))
    most = {case.case_id for case in cases[:MOST_CHANGED] if _step(case) > 0}
    return [case for case in cases if case.case_id in most or _differs(case)]


def _changed_case(pair: Pair) -> ChangedCase:
    before, after = sorted(set(pair.a.flags)), sorted(set(pair.b.flags))
    return ChangedCase(
        case_id=pair.a.case_id,
        case_id_b=pair.b.case_id,
        label=pair.a.label,
        status=(pair.a.status, pair.b.status),
        predicted=(pair.a.predicted, pair.b.predicted),
        probability=(pair.a.probability, pair.b.probability),
        trust=(pair.a.trust, pair.b.trust),
        flags_gone=tuple(name for name in before if name not in after),
        flags_new=tuple(name for name in after if name not in before),
    )


def _step(case: ChangedCase) -> float:
    """How far the score moved."""
    before, after = case.probability
    return 0.0 if before is None or after is None else abs(after - before)


def _differs(case: ChangedCase) -> bool:
    """Whether the status, class, trust state or flags differ."""
    has_other_flags = bool(case.flags_gone or case.flags_new)
    ends = (case.status, case.predicted, case.trust)
    return has_other_flags or any(before != after for before, after in ends)

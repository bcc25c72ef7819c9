"""Two runs over the same radiographs -> what changed from A to B, case by case and on the whole.

Every figure is of the cases that both runs have; its change is paired, B minus A in each case, with an interval from
resampled patients (see `intervals`). Whether more cases turned right than wrong is asked by McNemar's exact test
(Psychometrika 12, 1947); it takes cases as independent, which several of one patient are not. Refuses runs that
explain different classes or share no case.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from cxr_audit.cohort.cases import case_values
from cxr_audit.cohort.describe import number_patients
from cxr_audit.cohort.intervals import Doubles, Resampling
from cxr_audit.config import PLACES
from cxr_audit.errors import ConfigError
from cxr_audit.records import (
    CASE_NUMBERS,
    CaseRecord,
    ChangedCase,
    CheckState,
    ComparedRun,
    Comparison,
    Difference,
    PairedMetric,
    Prediction,
    RunRecord,
    Transition,
)

Pair = tuple[CaseRecord, CaseRecord]
Run = tuple[RunRecord, str, Sequence[CaseRecord]]
"""A run, the SHA-256 of its `SHA256SUMS`, and its cases."""

MOST_CHANGED = 20


def compare(
    a: Run, b: Run, patient_of: Mapping[str, str | None], rounds: int, seed: int
) -> Comparison:
    """What changed from run A to run B.

    Parameters
    ----------
    patient_of : the patients of A's cases, where they are known.
    rounds, seed : of the resampling of patients.

    Raises
    ------
    ConfigError : no common case, or scores of different classes.
    """
    is_same_key = a[0].case_id_key is not None and a[0].case_id_key == b[0].case_id_key
    pairs = match(a[2], b[2], is_same_key)
    if not pairs:
        raise ConfigError(
            f"the runs {a[0].name} and {b[0].name} share no radiograph",
            "compare runs over the same files",
        )
    audited = [pair for pair in pairs if pair[0].prediction and pair[1].prediction]
    target_class = _target_class(audited)
    numbers, patients = number_patients(
        {one.case_id: patient_of.get(one.case_id) for one, _ in pairs}
    )

    def draw(chosen: Sequence[Pair]) -> Resampling:
        return Resampling(
            np.array([numbers[one.case_id] for one, _ in chosen], np.intp), rounds, seed
        )

    moved = np.array(
        [one.predicted != two.predicted for one, two in map(_predictions, audited)], bool
    )
    labelled = [
        pair
        for pair in audited
        if _predictions(pair)[0].is_correct is not None and pair[0].label == pair[1].label
    ]
    right = [(one.is_correct, two.is_correct) for one, two in map(_predictions, labelled)]
    gained, lost = right.count((False, True)), right.count((True, False))
    matched = {one.case_id for one, _ in pairs}, {two.case_id for _, two in pairs}
    return Comparison(
        a=_compared(a),
        b=_compared(b),
        target_class=target_class,
        thresholds=_thresholds(audited),
        matched_by="case id, made with the same key"
        if is_same_key
        else "SHA-256 of the file; the keys of the ids differ",
        num_matched=len(pairs),
        num_other_bytes=sum(
            len({one.file_sha256, two.file_sha256} - {None}) > 1 for one, two in pairs
        ),
        only_a=tuple(record.case_id for record in a[2] if record.case_id not in matched[0]),
        only_b=tuple(record.case_id for record in b[2] if record.case_id not in matched[1]),
        patients=patients,
        method=f"paired changes, B minus A, with errors from patients resampled {rounds} times, seed {seed}",
        differences=tuple(differences(a[0], b[0])),
        statuses=_transitions((one.status, two.status) for one, two in pairs),
        classes=_transitions(
            (one.predicted, two.predicted) for one, two in map(_predictions, audited)
        ),
        another_class=draw(audited).share(
            moved, np.ones(moved.shape, bool), "no case was audited in both runs"
        ),
        num_labelled=len(labelled),
        num_wrong_then_right=gained,
        num_right_then_wrong=lost,
        p_value=mcnemar(gained, lost) if labelled else None,
        performance=tuple(_performance(labelled, target_class, draw)),
        metrics=tuple(_metrics(audited, draw)),
        flags=_flags(pairs),
        trust=_transitions((_trust(one) or "none", _trust(two) or "none") for one, two in audited),
        checks=_checks(a[0], b[0]),
        changed=tuple(_changed(pairs)),
        scores=tuple((one.probability, two.probability) for one, two in map(_predictions, audited)),
    )


def match(a: Sequence[CaseRecord], b: Sequence[CaseRecord], is_same_key: bool) -> list[Pair]:
    """The cases that two runs share, in the order of A: by case id where both ids come from one key, else by the
    file's SHA-256; of files that are there several times the first goes with the first."""

    def keyed(records: Sequence[CaseRecord]) -> dict[tuple[str, int], CaseRecord]:
        if is_same_key:
            return {(record.case_id, 0): record for record in records}
        same = defaultdict[str, int](int)
        found = {}
        for record in sorted(records, key=lambda record: record.case_id):
            if record.file_sha256 is not None:
                found[record.file_sha256, same[record.file_sha256]] = record
                same[record.file_sha256] += 1
        return found

    left, right = keyed(a), keyed(b)
    rank = {record.case_id: n for n, record in enumerate(a)}
    return sorted(
        ((left[key], right[key]) for key in left if key in right),
        key=lambda pair: rank[pair[0].case_id],
    )


def mcnemar(gained: int, lost: int) -> float:
    """The two-sided probability of a split at least as uneven if both were as likely; 1 where nothing changed."""
    from scipy.special import bdtr

    return min(1.0, 2 * float(bdtr(min(gained, lost), gained + lost, 0.5)))


def differences(a: RunRecord, b: RunRecord) -> Iterator[Difference]:
    """Every key of config, model and software that is not the same; where a run landed is not part of it.

    Where no key of the config differs and its SHA-256 does, that is said: a record hides the paths that it knows.
    """
    sides = [
        {
            "config": {key: value for key, value in _flat(run.config) if key not in PLACES},
            "model": {
                name: getattr(run.model, name)
                for name in run.model.__slots__
                if name not in ("card", "is_deterministic")
            },
            "software": {**run.versions, "lung segmenter": run.segmenter_sha256},
        }
        for run in (a, b)
    ]
    for part in ("config", "model", "software"):
        one, two = sides[0][part], sides[1][part]
        for name in {**one, **two}:
            if one.get(name) != two.get(name):
                yield Difference(part, name, one.get(name), two.get(name))
        if part == "config" and one == two and a.config_sha256 != b.config_sha256:
            yield Difference(
                part, "a path, see private/config.json; SHA-256", a.config_sha256, b.config_sha256
            )


def _flat(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for section, keys in config.items():
        for key, value in keys.items() if isinstance(keys, Mapping) else ():
            yield f"{section}.{key}", value


def _compared(run: Run) -> ComparedRun:
    record, sha256sums, _ = run
    model = record.model
    return ComparedRun(
        record.name,
        record.started,
        record.num_cases,
        model.name,
        model.sha256,
        record.config_sha256,
        sha256sums,
    )


def _predictions(pair: Pair) -> tuple[Prediction, Prediction]:
    one, two = pair[0].prediction, pair[1].prediction
    assert one is not None
    assert two is not None
    return one, two


def _target_class(audited: Sequence[Pair]) -> str:
    names = {prediction.target_class for pair in audited for prediction in _predictions(pair)}
    if len(names) != 1:
        found = (
            f"they explain {' and '.join(sorted(names))}"
            if names
            else "no case was audited in both"
        )
        raise ConfigError(
            f"the scores of these runs cannot be compared: {found}",
            "compare runs of one target class",
        )
    return names.pop()


def _thresholds(audited: Sequence[Pair]) -> tuple[float | None, float | None]:
    one, two = _predictions(audited[0])
    return one.threshold, two.threshold


def _performance(
    labelled: Sequence[Pair], target_class: str, draw: Callable[[Sequence[Pair]], Resampling]
) -> Iterator[PairedMetric]:
    """AUC, accuracy, sensitivity and specificity, with the target class against all others."""
    positive = np.array([one.label == target_class for one, _ in labelled], bool)
    before, after = (
        np.array([_predictions(pair)[side].probability for pair in labelled], float)
        for side in (0, 1)
    )
    yield _auc(positive, before, after, draw(labelled))
    correct = np.array(
        [[p.is_correct is True for p in _predictions(pair)] for pair in labelled], float
    ).reshape(-1, 2)
    called = np.array(
        [[p.predicted == target_class for p in _predictions(pair)] for pair in labelled], float
    ).reshape(-1, 2)
    for name, among, values in (
        ("accuracy", np.ones(len(labelled), bool), correct),
        ("sensitivity", positive, called),
        ("specificity", ~positive, 1 - called),
    ):
        yield _paired(
            name,
            [p for p, inside in zip(labelled, among, strict=True) if inside],
            values[among],
            draw,
        )


def _auc(positive: Any, before: Doubles, after: Doubles, draws: Resampling) -> PairedMetric:
    change = draws.auc_change(positive, before, after)
    one, two = (draws.auc(positive, scores).value for scores in (before, after))
    return PairedMetric("auc", one, two, change)


def _metrics(
    audited: Sequence[Pair], draw: Callable[[Sequence[Pair]], Resampling]
) -> Iterator[PairedMetric]:
    """The scores and every number of the first map."""
    rows = [tuple(_numbers(record) for record in pair) for pair in audited]
    for name in ("probability", "logit", *CASE_NUMBERS):
        known = [(one[name] is not None, two[name] is not None) for one, two in rows]
        both = [pair for pair, is_known in zip(audited, known, strict=True) if all(is_known)]
        values = [
            (one[name], two[name])
            for (one, two), is_known in zip(rows, known, strict=True)
            if all(is_known)
        ]
        only = known.count((True, False)), known.count((False, True))
        yield _paired(name, both, np.array(values, float).reshape(-1, 2), draw, *only)


def _numbers(record: CaseRecord) -> dict[str, Any]:
    assert record.prediction is not None
    return {
        "probability": record.prediction.probability,
        "logit": record.prediction.logit,
        **case_values(record)[0],
    }


def _paired(
    name: str,
    pairs: Sequence[Pair],
    values: Doubles,
    draw: Callable[[Sequence[Pair]], Resampling],
    *only: int,
) -> PairedMetric:
    """`values` (N, 2): of A and B."""
    one, two = map(float, values.mean(0)) if pairs else (None, None)
    return PairedMetric(name, one, two, draw(pairs).mean_change(values[:, 1] - values[:, 0]), *only)


def _transitions(steps: Iterable[tuple[str, str]]) -> tuple[Transition, ...]:
    return tuple(
        Transition(one, two, count) for (one, two), count in sorted(Counter(steps).items())
    )


def _flags(pairs: Sequence[Pair]) -> dict[str, tuple[int, int, int]]:
    sides = [Counter(flag.name for pair in pairs for flag in pair[side].flags) for side in (0, 1)]
    both = Counter(
        name
        for one, two in pairs
        for name in {flag.name for flag in one.flags} & {flag.name for flag in two.flags}
    )
    names = sorted(sides[0] | sides[1])
    return {
        name: (sides[0][name] - both[name], both[name], sides[1][name] - both[name])
        for name in names
    }


def _checks(a: RunRecord, b: RunRecord) -> dict[str, tuple[CheckState | None, CheckState | None]]:
    one, two = ({check.name: check.state for check in run.checks} for run in (a, b))
    return {name: (one.get(name), two.get(name)) for name in {**one, **two}}


def _trust(record: CaseRecord) -> Any:
    return record.trust.state if record.trust else None


def _changed(pairs: Sequence[Pair]) -> list[ChangedCase]:
    """Cases of another status, class, trust state or with other flags, and the largest changes of the score; the
    largest changes first."""

    def of(pair: Pair) -> ChangedCase:
        one, two = pair
        before, after = one.prediction, two.prediction
        flags = [tuple(sorted({flag.name for flag in record.flags})) for record in pair]
        return ChangedCase(
            one.case_id,
            two.case_id,
            one.label,
            (one.status, two.status),
            (before.predicted if before else None, after.predicted if after else None),
            (before.probability if before else None, after.probability if after else None),
            (_trust(one), _trust(two)),
            tuple(name for name in flags[0] if name not in flags[1]),
            tuple(name for name in flags[1] if name not in flags[0]),
        )

    def step(case: ChangedCase) -> float:
        one, two = case.probability
        return 0.0 if one is None or two is None else abs(two - one)

    cases = sorted(map(of, pairs), key=lambda case: (-step(case), case.case_id))
    most = {case.case_id for case in cases[:MOST_CHANGED] if step(case) > 0}
    return [
        case
        for case in cases
        if case.case_id in most
        or any(len(set(values)) > 1 for values in (case.status, case.predicted, case.trust))
        or case.flags_gone
        or case.flags_new
    ]

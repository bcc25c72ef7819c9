"""Readers' answers -> agreement with the model, the reference label and each other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations

from cxr_audit.records import (
    CANNOT_SAY,
    LABEL_RATER,
    MODEL_RATER,
    CaseRecord,
    RaterAgreement,
    ReaderAnswer,
    ReadersRecord,
    ReaderSummary,
    audited,
)
from cxr_audit.vocabulary import message

LEAST_FOR_INTERVAL = 10
"""Cases below which the large-sample standard error of kappa is not used."""
Z = 1.959964


def summarise_readers(
    answers: Iterable[ReaderAnswer],
    cases: Sequence[CaseRecord],
    files: Sequence[str] = (),
    num_comments: int = 0,
) -> ReadersRecord:
    """The record of all answers to a run.

    Parameters
    ----------
    answers : of all readers.
    cases : of the run.
    files : SHA-256 of the files that the answers came from.
    num_comments : comments in those files.
    """
    ordered = sorted(answers, key=lambda one: (one.case_id, one.reader))
    readers = sorted({answer.reader for answer in ordered})
    raters: dict[str, dict[str, str]] = {MODEL_RATER: {}, LABEL_RATER: {}}
    for case in audited(cases):
        raters[MODEL_RATER][case.case_id] = case.prediction.predicted
        if case.prediction.expected is not None:
            raters[LABEL_RATER][case.case_id] = case.prediction.expected
    for answer in ordered:
        if answer.reading not in (None, CANNOT_SAY):
            raters.setdefault(answer.reader, {})[answer.case_id] = str(answer.reading)
    pairs = [(reader, other) for reader in readers for other in (MODEL_RATER, LABEL_RATER)]
    pairs += list(combinations(readers, 2))
    compared = [
        rater_agreement(first, second, raters[first], raters[second])
        for first, second in pairs
        if first in raters and second in raters
    ]
    summaries = [_summary(reader, ordered) for reader in readers]
    return ReadersRecord(
        tuple(ordered), tuple(summaries), tuple(compared), tuple(files), num_comments
    )


def _summary(reader: str, answers: Sequence[ReaderAnswer]) -> ReaderSummary:
    own = [answer for answer in answers if answer.reader == reader]
    readings = [answer.reading for answer in own if answer.reading is not None]
    agreement = Counter(answer.agreement for answer in own if answer.agreement is not None)
    location = Counter(answer.location for answer in own if answer.location is not None)
    return ReaderSummary(
        reader=reader,
        num_cases=len(own),
        num_readings=len(readings),
        num_undecided=readings.count(CANNOT_SAY),
        agreement={str(key): count for key, count in sorted(agreement.items())},
        location={str(key): count for key, count in sorted(location.items())},
    )


def rater_agreement(
    first: str, second: str, one: Mapping[str, str], other: Mapping[str, str]
) -> RaterAgreement:
    """Percent agreement and Cohen's kappa of two raters, over the cases that both rated.

    Parameters
    ----------
    first, second : names of the raters.
    one, other : class by case id.
    """
    shared = [(one[case_id], other[case_id]) for case_id in sorted(one.keys() & other.keys())]
    num, num_same = len(shared), sum(left == right for left, right in shared)
    if not num:
        reason = message("cohort.kappa_no_case")
        return RaterAgreement(first, second, 0, 0, reason=reason)
    kappa, error = cohens_kappa(shared)
    if kappa is None or error is None:
        reason = message("cohort.kappa_one_class")
        return RaterAgreement(first, second, num, num_same, reason=reason)
    interval = None
    if num >= LEAST_FOR_INTERVAL:
        interval = max(-1.0, kappa - Z * error), min(1.0, kappa + Z * error)
    return RaterAgreement(first, second, num, num_same, kappa, interval)


def cohens_kappa(ratings: Sequence[tuple[str, str]]) -> tuple[float | None, float | None]:
    """Cohen's kappa and its large-sample standard error.

    Fleiss, Cohen and Everitt, Psychological Bulletin 72, 1969, equation 13.

    Parameters
    ----------
    ratings : the two classes of each case.

    Returns
    -------
    None, None where a rater named one class throughout: agreement beyond chance is undefined.
    """
    num = len(ratings)
    joint = {pair: count / num for pair, count in Counter(ratings).items()}
    names = sorted({name for pair in ratings for name in pair})
    first = {name: _marginal(joint, name, 0) for name in names}
    second = {name: _marginal(joint, name, 1) for name in names}
    observed = sum(joint.get((name, name), 0.0) for name in names)
    chance = sum(first[name] * second[name] for name in names)
    if 1.0 in (max(first.values()), max(second.values())):
        return None, None
    kappa = (observed - chance) / (1 - chance)
    same = other = 0.0
    for (left, right), share in joint.items():
        if left == right:
            same += share * (1 - (first[left] + second[left]) * (1 - kappa)) ** 2
        else:
            other += share * (second[left] + first[right]) ** 2
    spread = same + (1 - kappa) ** 2 * other - (kappa - chance * (1 - kappa)) ** 2
    return kappa, math.sqrt(max(0.0, spread) / num) / (1 - chance)


def _marginal(joint: Mapping[tuple[str, str], float], name: str, place: int) -> float:
    return sum(share for pair, share in joint.items() if pair[place] == name)

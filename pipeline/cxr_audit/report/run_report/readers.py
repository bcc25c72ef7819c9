"""What readers answered, and how far they agree with the model and with each other."""

from __future__ import annotations

from collections.abc import Mapping

from cxr_audit.records import LABEL_RATER, MODEL_RATER, RaterAgreement, ReadersRecord
from cxr_audit.report.language import N_, _, grouped, plural, said
from cxr_audit.report.run_report.estimates import share_of
from cxr_audit.report.words import AGREEMENTS, DASH, LOCATIONS, View, number

RATERS = {MODEL_RATER: N_("model"), LABEL_RATER: N_("reference label")}


def readers_view(record: ReadersRecord | None) -> View | None:
    """Pairs of raters, and what each reader answered; None where nobody answered."""
    if record is None or not record.answers:
        return None
    summaries = [
        {
            "reader": one.reader,
            "num": grouped(one.num_cases),
            "readings": _readings(one.num_readings, one.num_undecided),
            "agreement": _counted(one.agreement, AGREEMENTS),
            "location": _counted(one.location, LOCATIONS),
        }
        for one in record.summaries
    ]
    note = _(
        "Readings were made on plain radiographs; that the output was not seen before is the "
        "readers' statement."
    )
    if record.num_comments:
        note += " " + plural(
            "{num} comment is in the readers' files only.",
            "{num} comments are in the readers' files only.",
            record.num_comments,
        )
    return {"pairs": [_pair(pair) for pair in record.pairs], "summaries": summaries, "note": note}


def _readings(num: int, undecided: int) -> str:
    if not undecided:
        return grouped(num)
    return _("{num}, {undecided} of them undecided", num=grouped(num), undecided=grouped(undecided))


def _counted(counts: Mapping[str, int], words: Mapping[str, str]) -> str:
    found = [f"{_(words[key])}: {grouped(counts[key])}" for key in words if counts.get(key)]
    return "; ".join(found) or DASH


def _pair(pair: RaterAgreement) -> View:
    names = [_(RATERS[name]) if name in RATERS else name for name in (pair.first, pair.second)]
    kappa = _("undefined: {reason}", reason=said(pair.reason)) if pair.reason else DASH
    if pair.kappa is not None:
        kappa = number(pair.kappa)
        if pair.interval_95 is not None:
            low, high = pair.interval_95
            kappa += " " + _("({low} to {high})", low=number(low), high=number(high))
    return {
        "name": _("{first} and {second}", first=names[0], second=names[1]),
        "num": grouped(pair.num),
        "same": share_of(pair.num_same, pair.num) or DASH,
        "kappa": kappa,
    }

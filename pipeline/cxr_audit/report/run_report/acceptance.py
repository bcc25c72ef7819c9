"""Whether the run meets the criteria of its config."""

from __future__ import annotations

from cxr_audit.records import CohortRecord, CriterionResult, CriterionState
from cxr_audit.report.language import N_, _, plural, said
from cxr_audit.report.run_report.estimates import counted_reasons, estimate_view
from cxr_audit.report.words import DASH, View, full_stop, sentence
from cxr_audit.vocabulary import Message

STATES: dict[CriterionState, tuple[str, str]] = {
    "met": ("circle", N_("Met")),
    "not_met": ("square", N_("Not met")),
    "undecided": ("triangle", N_("Undecided")),
    "not_examined": ("triangle", N_("Not examined")),
}

LENIENT = {"upper": "cohort.at_least", "lower": "cohort.at_most"}
"""End of the interval -> code of the limit that it meets most easily."""


def acceptance_view(cohort: CohortRecord) -> View:
    """The verdict in one line, and each criterion with what was found."""
    shape, verdict = _verdict(cohort)
    return {
        "shape": shape,
        "verdict": verdict,
        "rows": [_criterion(result) for result in cohort.acceptance],
        "is_lenient": any(_is_lenient(result) for result in cohort.acceptance),
    }


def _verdict(cohort: CohortRecord) -> tuple[str, str]:
    total = len(cohort.acceptance)
    if not total:
        return "triangle", _("The config sets no acceptance criterion: nothing was assessed.")
    missed = [result for result in cohort.acceptance if not result.is_met]
    if not missed:
        return "circle", plural(
            "{num} of {num} acceptance criterion met.",
            "{num} of {num} acceptance criteria met.",
            total,
        )
    verdict = _("{missed} of {total} acceptance criteria not met.", missed=len(missed), total=total)
    states = [state_of(result) for result in missed]
    if "undecided" in states:
        verdict += " " + _("Undecided: {num}.", num=states.count("undecided"))
    if "not_examined" in states:
        verdict += " " + _("Not examined: {num}.", num=states.count("not_examined"))
    return "square", verdict


def _criterion(result: CriterionResult) -> View:
    found = estimate_view(result.found, result.limit_value)
    return {
        "state": _state(result),
        "name": sentence(said(result.criterion)),
        "key": result.metric,
        "limit": said(result.limit) or DASH,
        "bound": result.bound,
        "note": _note(result),
        "found": found,
    }


def state_of(result: CriterionResult) -> CriterionState:
    """The state; an older record says only whether it is met, and why it was not examined."""
    if result.state is not None:
        return result.state
    if result.is_met:
        return "met"
    return "not_examined" if result.reason else "not_met"


def _state(result: CriterionResult) -> tuple[str, str]:
    shape, words = STATES[state_of(result)]
    return shape, _(words)


def _note(result: CriterionResult) -> str:
    notes = []
    if result.reason:
        notes.append(full_stop(sentence(said(result.reason))))
    elif result.limit_value is None and not result.is_met and result.found.reason:
        notes.append(full_stop(said(result.found.reason)))
    if result.undefined:
        reasons = counted_reasons(result.undefined)
        words = N_("Not assessed: {reasons}.")
        if result.state is None:  # an older record
            words = N_("Undefined, and counted against it: {reasons}.")
        notes.append(_(words, reasons=reasons))
    return " ".join(notes)


def _is_lenient(result: CriterionResult) -> bool:
    """Whether the limit is met already where the data do not contradict it."""
    code = result.limit.code if isinstance(result.limit, Message) else None
    return code is not None and LENIENT.get(result.bound) == code

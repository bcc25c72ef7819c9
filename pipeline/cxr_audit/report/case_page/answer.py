"""What the model said, whether the case is in its scope, and what such a score meant elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_audit.records import AuditedCase, ModelCard, OutputBin, Prediction
from cxr_audit.report.case_page.alerts import POPULATION
from cxr_audit.report.language import N_, _, joined, plural, said
from cxr_audit.report.names import check_label
from cxr_audit.report.words import clipped, full_stop, percent, quoted, score, stopped_short
from cxr_audit.vocabulary import FLAGS, Text

LEAST_CASES = 20
"""Validation cases in a bin below which no share of them is shown."""
# state -> the words of the scope line
SCOPES = {
    "inside": N_("IN SCOPE."),
    "outside": N_("OUTSIDE SCOPE."),
    "unknown": N_("SCOPE UNKNOWN."),
}
# Where the score lies; "just", where two decimals cannot tell.
REACHED = {
    "far": N_("(threshold {threshold})"),
    "just above": N_("(just above the threshold of {threshold})"),
    "just below": N_("(just below the threshold of {threshold})"),
    "at": N_("(at the threshold of {threshold})"),
}


@dataclass(frozen=True, slots=True)
class Scope:
    """Whether the case belongs to what the model was made for.

    Parameters
    ----------
    state : key of `SCOPES`.
    word : the state in words.
    reason : sentences.
    """

    state: str
    word: str
    reason: str


@dataclass(frozen=True, slots=True)
class Output:
    """What the model said, in one line and the line below it.

    Parameters
    ----------
    main : the predicted class and its score.
    threshold : in brackets.
    notes : sentences: what the score is, the source of the threshold, the reference label.
    """

    main: str
    threshold: str
    notes: str


def scope(case: AuditedCase, card: ModelCard | None) -> Scope:
    """Inside, outside or unknown, by the checks that the flag of the population names."""
    state, reason = _scope(case)
    sentences = [full_stop(said(reason))] if reason else []
    if not reason:
        names = ", ".join(check_label(name) for name in FLAGS[POPULATION].checks)
        sentences.append(_("Checks passed: {names}.", names=names))
    if card is None:
        sentences.append(_("The model has no model card."))
    else:
        population = quoted(clipped(card.population.description, 60))
        sentences.append(_("Model made for: {population}.", population=population))
    return Scope(state, _(SCOPES[state]), clipped(joined(" ", sentences), 150))


def _scope(case: AuditedCase) -> tuple[str, Text | None]:
    for flag in case.flags.raised:
        if flag.name == POPULATION:
            return "outside", flag.reason
    if POPULATION in case.flags.undefined:
        return "unknown", case.flags.undefined[POPULATION]
    checks = {check.name: check for check in case.quality}
    for name in FLAGS[POPULATION].checks:
        check = checks.get(name)
        if check is None or check.state == "not_run":
            words = _("not checked: {name}", name=check_label(name))
            return "unknown", check.reason if check else words
        if check.state == "failed":
            return "outside", check.reason
    return "inside", None


def output(prediction: Prediction, card: ModelCard | None, label: str | None) -> Output:
    """The model's answer in words."""
    predicted = quoted(prediction.predicted)
    notes = []
    if prediction.threshold is None:
        shown = score(prediction.class_scores[prediction.predicted])
        main = _("{predicted}, score {score}", predicted=predicted, score=shown)
        threshold = plural(
            "(of {num} class)", "(highest of {num} classes)", len(prediction.class_scores)
        )
    else:
        shown = score(prediction.probability)
        if prediction.predicted == prediction.target_class:
            main = _("{predicted}, score {score}", predicted=predicted, score=shown)
        else:
            main = _(
                "{predicted}; score for {target} {score}",
                predicted=predicted,
                target=quoted(prediction.target_class),
                score=shown,
            )
        reached = _reached(prediction.probability, prediction.threshold)
        threshold = _(REACHED[reached], threshold=score(prediction.threshold))
        source = clipped(stopped_short(said(prediction.threshold_source)), 48)
        notes.append(full_stop(_("Threshold: {source}", source=source)))
    if card is None or card.operation.temperature is None:
        notes.insert(0, _("Not a calibrated probability."))
    notes.append(_reference(prediction, label))
    return Output(main, threshold, joined(" ", notes))


def _reference(prediction: Prediction, label: str | None) -> str:
    if prediction.is_correct is None:
        if label is None:
            return _("Reference label: none.")
        return _("Reference label: {label}, not a class of the model.", label=quoted(label))
    words = (
        N_("Reference label: {label}. Agrees with the model.")
        if prediction.is_correct
        else N_("Reference label: {label}. Disagrees with the model.")
    )
    return _(words, label=quoted(prediction.expected))


def _reached(probability: float, threshold: float) -> str:
    """Key of `REACHED`."""
    if probability == threshold:
        return "at"
    if score(probability) != score(threshold):
        return "far"
    return "just above" if probability > threshold else "just below"


def validated(
    prediction: Prediction,
    card: ModelCard | None,
    found_scope: Scope,
    prevalence: float | None = None,
) -> str | None:
    """What such a score meant in validation cases.

    Only inside the model's population, only cases on which nothing was tuned, and only where the
    card counts enough of them of this class.

    Parameters
    ----------
    prevalence : that the config states; the share is then also given as it would be there.
    """
    validation = card.validation if card else None
    if validation is None or found_scope.state != "inside":
        return None
    if not validation.is_untuned or validation.class_name != prediction.target_class:
        return None
    counted = next((b for b in validation.bins if _is_in(prediction.probability, b)), None)
    if counted is None or counted.num_cases < LEAST_CASES:
        return None
    total = sum(one_bin.num_cases for one_bin in validation.bins)
    labelled = sum(one_bin.num_labelled for one_bin in validation.bins)
    text = _(
        "Of {num} validation cases with a score from {low} to {high}, {share} had this label "
        "(prevalence {prevalence}; {data}).",
        num=counted.num_cases,
        low=score(counted.low),
        high=score(counted.high),
        share=percent(counted.num_labelled / counted.num_cases),
        prevalence=percent(labelled / total),
        data=quoted(clipped(validation.data, 40)),
    )
    share = at_prevalence(counted.num_labelled / counted.num_cases, labelled / total, prevalence)
    if share is None or prevalence is None:
        return text
    adjusted = _(
        "At a prevalence of {prevalence}: {share}.",
        prevalence=percent(prevalence),
        share=percent(share),
    )
    return joined(" ", (text, adjusted))


def at_prevalence(share: float, before: float, prevalence: float | None) -> float | None:
    """A share of positives as it would be at another prevalence, by Bayes' rule on odds.

    Parameters
    ----------
    share : of the cases with such a score.
    before : prevalence of the set that it was counted in.
    prevalence : wanted; None = none is stated.
    """
    if prevalence is None or not 0 < before < 1:
        return None
    ratio = prevalence / (1 - prevalence) * (1 - before) / before
    return share * ratio / (share * ratio + 1 - share)


def _is_in(probability: float, counted: OutputBin) -> bool:
    return counted.low <= probability < counted.high or probability == counted.high == 1

"""What a reader of a case has to know before using the answer, the most important first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cxr_audit.records import AuditedCase, CaseRecord, Check
from cxr_audit.report.language import N_, AsRecorded, _, in_line, joined, said
from cxr_audit.report.names import check_title, flag_title
from cxr_audit.report.words import TRUST_STATES, clipped, full_stop, sentence, stopped_short
from cxr_audit.vocabulary import FLAGS, Message, Text

POPULATION = "out_of_population"
"""The flag that the scope line says."""

MOST_WORDS = 38
LENGTHS = (130, 85, 60)
"""Characters of an alert on page 1: the first that keeps all of them within `MOST_WORDS`."""

# part that was replaced -> what both fills say of a model that answers without the lungs
UNEXPECTED = {
    "lungs": N_("With the lungs masked, the predicted class stays the same"),
    "all but the lungs": N_("With everything but the lungs masked, the predicted class changes"),
}


@dataclass(frozen=True, slots=True)
class Alert:
    """What, and why."""

    title: str
    reason: str | None = None

    @property
    def text(self) -> str:
        """One sentence without its full stop."""
        if self.reason is None:
            return self.title
        return joined(": ", (self.title, self.reason))

    def short(self, longest: int) -> str:
        """The sentence as page 1 has room for it: without the reason, where that is long."""
        if self.reason is not None and len(self.text) > longest:
            return full_stop(clipped(self.title, longest))
        return full_stop(clipped(self.text, longest))


def find_alerts(case: AuditedCase) -> list[Alert]:
    """Everything that is not as it should be, each once."""
    return [
        *_of_explanation(case),
        *_of_flags(case),
        *_of_masking(case),
        *[Alert(text) for text in find_cautions(case)],
    ]


def short_alerts(alerts: Sequence[Alert]) -> list[str]:
    """Sentences for page 1: with their reasons, where these are not too many words together."""
    for longest in LENGTHS:
        texts = [alert.short(longest) for alert in alerts]
        if sum(len(text.split()) for text in texts) <= MOST_WORDS:
            return texts
    return texts


def not_assessed(case: AuditedCase) -> list[Alert]:
    """The flags that could not be assessed, with why."""
    return [
        Alert(flag_title(key), stopped_short(said(reason)))
        for key, reason in case.flags.undefined.items()
    ]


def not_assessed_names(case: AuditedCase) -> str:
    """Their names in one line; the scope line has that of the population."""
    names = [in_line(flag_title(key)) for key in case.flags.undefined if key != POPULATION]
    return ", ".join(names)


def find_cautions(case: CaseRecord) -> list[str]:
    """Failed checks of the input, regions that were not found, and warnings of reading the file.

    What a raised flag says already is left out.
    """
    said_by_flags = _checks_of_flags(case)
    failed = [check for check in case.quality if check.state == "failed"]
    texts = [_failed(check) for check in failed if check.name not in said_by_flags]
    if isinstance(case, AuditedCase):
        texts += case.regions.missing.values()
    known = [str(text) for text in texts]
    warnings = case.radiograph.warnings if case.radiograph else ()
    for warning in sorted(warnings, key=_is_understood):
        if not any(str(warning) in text for text in known):
            texts.append(warning)
    return [sentence(stopped_short(said(text))) for text in texts]


def _is_understood(warning: Text) -> bool:
    """False for what the header says and nobody can read: page 1 names it before the rest."""
    return not (isinstance(warning, Message) and warning.code == "ingest.not_understood")


def _of_explanation(case: AuditedCase) -> list[Alert]:
    if case.trust is None or case.trust.state == "passed":
        return []
    _shape, words = TRUST_STATES[case.trust.state]
    reasons = joined("; ", [stopped_short(said(reason)) for reason in case.trust.reasons])
    return [Alert(_(words), reasons)]


def _of_flags(case: AuditedCase) -> list[Alert]:
    return [
        Alert(flag_title(flag.name), in_sentence(stopped_short(said(flag.reason))))
        for flag in case.flags.raised
        if flag.name != POPULATION
    ]


def in_sentence(text: str) -> str:
    """The text with a small first letter where its first word is no name."""
    return AsRecorded(text) if isinstance(text, AsRecorded) else in_line(text)


def _of_masking(case: AuditedCase) -> list[Alert]:
    alerts = []
    for part, words in UNEXPECTED.items():
        answers = [
            masking.is_bad_news for masking in case.probes.masking if masking.removed == part
        ]
        if answers and all(answers):
            alerts.append(Alert(_(words)))
    return alerts


def _checks_of_flags(case: CaseRecord) -> set[str]:
    if not isinstance(case, AuditedCase):
        return set()
    rows = [FLAGS.get(name) for name in case.flags.names]
    return {check for row in rows if row is not None for check in row.checks}


def _failed(check: Check) -> Text:
    return check.reason or check_title(check.name)

"""Every wrong answer, large, with what may explain it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cxr_audit.records import AuditedCase, CaseRecord, CohortRecord, WrongCase
from cxr_audit.report.case_page.alerts import find_alerts
from cxr_audit.report.language import _, grouped
from cxr_audit.report.run_report.pictures import MOST_ERRORS, worst_cases, wrong_cases
from cxr_audit.report.words import TRUST_WORDS, View, full_stop, number, percent, quoted, score

IN_LUNGS = "lungs_relevance_mass_accuracy"
MOST_REASONS = 3


def errors_view(
    cases: Sequence[CaseRecord], cohort: CohortRecord, urls: Mapping[str, str]
) -> list[View]:
    """False positives, then false negatives: those with a picture, and how many more there are.

    Parameters
    ----------
    cases, cohort : of the run.
    urls : role -> URL of the pictures of `worst_cases`.
    """
    target = quoted(cohort.target_class) or ""
    titles = {
        "positive": _("False positives of {target}, highest output first", target=target),
        "negative": _("False negatives of {target}, lowest output first", target=target),
    }
    shown = worst_cases(cases, cohort)
    groups = []
    for kind, title in titles.items():
        views = [
            _error(wrong, case, urls.get(role))
            for role, (wrong, case) in shown.items()
            if role.startswith(f"worst_{kind}")
        ]
        if views:
            total = len(wrong_cases(cohort, kind))
            groups.append(
                {
                    "title": title,
                    "cases": views,
                    "total": grouped(total),
                    "more": max(0, total - MOST_ERRORS),
                }
            )
    return groups


def _error(wrong: WrongCase, case: AuditedCase, url: str | None) -> View:
    prediction = case.prediction
    facts = [
        _("label {name}", name=quoted(wrong.label)),
        _("predicted {name}", name=quoted(wrong.predicted)),
        _("score {score}", score=score(wrong.probability)),
    ]
    if prediction.threshold is not None:
        facts.append(_("threshold {threshold}", threshold=number(prediction.threshold)))
    share = wrong.metrics.get(IN_LUNGS)
    if isinstance(share, float):
        facts.append(_("{share} of the evidence in the lungs", share=percent(share)))
    if case.trust:
        state = _(TRUST_WORDS[case.trust.state])
        facts.append(_("explanation checks: {state}", state=state))
    alerts = find_alerts(case)
    reasons = [full_stop(alert.text) for alert in alerts[:MOST_REASONS]]
    if len(alerts) > MOST_REASONS:
        more = grouped(len(alerts) - MOST_REASONS)
        reasons.append(_("{num} more in its PDF.", num=more))
    if not reasons:
        reasons.append(_("No flag and no warning: the audit found no reason."))
    return {"url": url, "case_id": wrong.case_id, "facts": facts, "reasons": reasons}

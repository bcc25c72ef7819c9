"""The run at a glance; threshold, labels and kinds of radiographs in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from cxr_audit.records import CaseRecord, CohortRecord, CountedReason, RunRecord, audited
from cxr_audit.report.language import _, grouped, in_line, said
from cxr_audit.report.names import flag_title
from cxr_audit.report.run_report.estimates import (
    counted_names,
    counted_reasons,
    known_figures,
    num_cases,
)
from cxr_audit.report.words import (
    TRUST_WORDS,
    Rows,
    quoted,
    score,
)
from cxr_audit.vocabulary import FLAGS


def glance(cases: Sequence[CaseRecord], run: RunRecord, cohort: CohortRecord) -> Rows:
    """The most important numbers."""
    done = audited(cases)
    rows = [
        (_("Cases"), _cases(cases, run, cohort)),
        (_("Patients"), f"{grouped(cohort.cases.num_patients)} ({said(cohort.cases.patients)})"),
    ]
    labelled = sum(cohort.outcomes.values())
    values = {"num": grouped(labelled), "total": grouped(cohort.cases.statuses["ok"])}
    rows.append((_("With a label"), _("{num} of {total} audited", **values)))
    if labelled:
        rows.append((_("Errors"), _errors(cohort, labelled)))
        figures = known_figures(cohort.metrics, ("auc", "sensitivity", "specificity"))
        rows.append((_("Performance"), figures or _("undefined")))
    states = Counter(case.trust.state for case in done if case.trust)
    words = [
        f"{grouped(states[state])} {_(TRUST_WORDS[state])}" for state in states if states[state]
    ]
    rows.append((_("Explanation checks"), ", ".join(sorted(words)) or _("not measured")))
    flags = Counter(name for case in done for name in case.flags.names)
    names = [
        f"{in_line(flag_title(name))} {grouped(count)}"
        for name, count in sorted(flags.items(), key=lambda item: (-item[1], _order(item[0])))
    ]
    flagged = num_cases(sum(bool(case.flags.raised) for case in done))
    rows.append((_("Flagged"), f"{flagged}: {', '.join(names)}" if names else _("none")))
    return rows


def _order(name: str) -> int:
    keys = FLAGS.keys()
    return keys.index(name) if name in keys else len(keys)


def _cases(cases: Sequence[CaseRecord], run: RunRecord, cohort: CohortRecord) -> str:
    values = {
        "num": grouped(len(cases)),
        "ok": grouped(cohort.cases.statuses["ok"]),
        "excluded": grouped(cohort.cases.statuses["excluded"]),
        "failed": grouped(cohort.cases.statuses["failed"]),
    }
    if run.cases.num_found:
        return _(
            "{num} of {found} found (--limit): {ok} audited, {excluded} excluded, {failed} failed",
            found=grouped(run.cases.num_found),
            **values,
        )
    return _("{num}: {ok} audited, {excluded} excluded, {failed} failed", **values)


def _errors(cohort: CohortRecord, labelled: int) -> str:
    false_positives = cohort.outcomes["false_positive"]
    false_negatives = cohort.outcomes["false_negative"]
    return _(
        "{wrong} of {total} for {target}: {positives} false positive, {negatives} false negative",
        wrong=grouped(false_positives + false_negatives),
        total=grouped(labelled),
        target=quoted(cohort.target_class),
        positives=grouped(false_positives),
        negatives=grouped(false_negatives),
    )


def threshold(cases: Sequence[CaseRecord]) -> str:
    """The threshold of the run and its source."""
    done = audited(cases)
    if not done:
        return _("not known: no case was audited")
    prediction = done[0].prediction
    words = _("the highest score decides")
    if prediction.threshold is not None:
        words = score(prediction.threshold)
    return f"{words} ({said(prediction.threshold_source)})"


def labels(run: RunRecord, cohort: CohortRecord) -> str:
    """Where labels come from, and why audited cases have none."""
    source = run.config.get("ingest", {}).get("labels", "none")
    if source == "none":
        words = _("none were given")
    elif source == "folder":
        words = _("name of the parent folder")
    else:
        words = _("column {name} of the manifest", name=quoted(str(source)))
    unlabelled = list(unlabelled_reasons(cohort))
    if not unlabelled:
        return words
    return _("{labels}; without: {reasons}", labels=words, reasons=counted_reasons(unlabelled))


def unlabelled_reasons(cohort: CohortRecord) -> Iterable[CountedReason]:
    """Why audited cases have no label that names a class."""
    return cohort.cases.unlabelled


def views(cases: Sequence[CaseRecord]) -> str:
    """View positions with their counts."""
    stated = [case.radiograph.view_position for case in cases if case.radiograph]
    names = [view or _("view not stated") for view in stated]
    return counted_names(names) or _("none was read")


def formats(cases: Sequence[CaseRecord]) -> str:
    """File formats with their counts."""
    names = [case.radiograph.source.format for case in cases if case.radiograph]
    return counted_names(names) or _("none was read")

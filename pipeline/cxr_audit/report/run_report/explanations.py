"""Section 4: where the evidence lies, errors, validity, flags, masking, checks of the input."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from cxr_audit.records import (
    AuditedCase,
    CaseRecord,
    Check,
    CohortRecord,
    CountedReason,
    RunRecord,
    WrongCase,
)
from cxr_audit.report.language import N_, _, grouped, in_line, named, said
from cxr_audit.report.names import (
    check_meaning,
    check_title,
    flag_title,
    label,
    method_name,
)
from cxr_audit.report.run_report.artefacts import capped
from cxr_audit.report.run_report.estimates import counted_reasons, estimate_view, num_cases
from cxr_audit.report.run_report.pictures import (
    FOCUS,
    MeanMap,
    mean_map_scale,
    worst_cases,
    wrong_cases,
)
from cxr_audit.report.words import (
    CHECK_STATES,
    DASH,
    MAP_STATES,
    OUTCOMES,
    TRUST_WORDS,
    View,
    number,
    percent,
    quoted,
    score,
    sentence,
    signed,
    unit_words,
)
from cxr_audit.vocabulary import REGION_KINDS

MEAN_RADIOGRAPH = N_("the run's mean radiograph")
IN_LUNGS = "lungs_relevance_mass_accuracy"


def undefined_focus(cohort: CohortRecord) -> str | None:
    """Why metrics of the picture are undefined, and in how many cases at most."""
    counts: dict[str, CountedReason] = {}
    for metric in FOCUS:
        totals: Counter[str] = Counter()
        for distribution in cohort.distributions:
            if distribution.metric == metric:
                for counted in distribution.undefined:
                    totals[said(counted.reason)] += counted.num_cases
        for reason, total in totals.items():
            known = counts.get(reason)
            if known is None or known.num_cases < total:
                counts[reason] = CountedReason(reason, total)
    return counted_reasons(counts.values()) or None


def hit_rates(cohort: CohortRecord) -> str | None:
    """The pointing game: how often a map's maximum lies in a kind of region."""
    words = []
    for kind, rate in sorted(cohort.hit_rates.items()):
        if rate.value is None:
            continue
        row = REGION_KINDS.get(kind)
        name = label(row) if row else kind
        words.append(f"{name} {estimate_view(rate).text}, {num_cases(rate.num_cases)}")
    return "; ".join(words) or None


def mean_map_view(
    cases: Sequence[AuditedCase], mean_maps: Mapping[str, MeanMap], urls: Mapping[str, str]
) -> View | None:
    """Mean maps by outcome on one scale."""
    scale = mean_map_scale(mean_maps)
    if not scale:
        return None
    first = next(case.first_map.facts for case in cases if case.first_map)
    maps = [
        {
            "url": urls[f"mean_{name}"],
            "name": _(words),
            "count": num_cases(mean_maps[name].num_cases),
        }
        for name, words in OUTCOMES.items()
        if name in mean_maps
    ]
    return {
        "maps": maps,
        "end": _two_digits(scale),
        "unit": unit_words(first.unit),
        "method": method_name(first.method),
    }


def _two_digits(value: float) -> str:
    text = f"{value:.2g}"
    _whole, _point, places = text.partition(".")
    return number(value, len(places))


def worst_view(
    cases: Sequence[CaseRecord], cohort: CohortRecord, urls: Mapping[str, str]
) -> list[View]:
    """The most wrong cases with their pictures."""
    target = quoted(cohort.target_class) or ""
    titles = {
        "positive": _("False positives of {target}, highest output first", target=target),
        "negative": _("False negatives of {target}, lowest output first", target=target),
    }
    shown = worst_cases(cases, cohort)
    groups = []
    for kind, title in titles.items():
        views = [
            _worst_case(wrong, case, kind, urls.get(role))
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
                    "more": total > len(views),
                }
            )
    return groups


def _worst_case(wrong: WrongCase, case: AuditedCase, kind: str, url: str | None) -> View:
    share = wrong.metrics.get(IN_LUNGS)
    facts = [_("score {score}", score=score(wrong.probability))]
    if kind == "positive":
        facts.append(_("label {name}", name=quoted(wrong.label)))
    else:
        facts.append(_("predicted {name}", name=quoted(wrong.predicted)))
    lines = [", ".join(facts)]
    if isinstance(share, float):
        lines.append(_("{share} of the evidence in the lungs", share=percent(share)))
    if case.flags.raised:
        names = ", ".join(in_line(flag_title(name)) for name in case.flags.names)
        lines.append(_("Flags: {names}", names=names))
    if case.trust:
        lines.append(_("Explanation checks: {state}", state=_(TRUST_WORDS[case.trust.state])))
    return {"url": url, "case_id": wrong.case_id, "lines": lines}


# ---- validity


def validity(cases: Sequence[AuditedCase], run: RunRecord, cohort: CohortRecord) -> View:
    """Checks made once a model, and the states of the first maps by outcome."""
    layers = None
    if run.calibration.cascade:
        first, last = run.calibration.cascade[0], run.calibration.cascade[-1]
        layers = _("{num}, the first is {name}", num=last.num_layers, name=quoted(first.layer))
    states = [
        (_(MAP_STATES[case.first_map.facts.status][1]), case) for case in cases if case.first_map
    ]
    return {
        "checks": [_check(check) for check in (*run.calibration.checks, *cohort.dependence)],
        "layers": layers,
        "states": _by_outcome(states),
    }


def _check(check: Check) -> View:
    return {
        "name": check_title(check.name),
        "meaning": sentence(check_meaning(check)),
        "state": _(CHECK_STATES[check.state]),
        "value": DASH if check.value is None else number(check.value),
        "limit": said(check.limit) or DASH,
        "reason": sentence(said(check.reason)),
    }


def trust_table(cases: Sequence[AuditedCase]) -> View | None:
    """States of the explanation checks by outcome."""
    order = [sentence(_(words)) for words in TRUST_WORDS.values()]
    named_cases = [
        (sentence(_(TRUST_WORDS[case.trust.state])), case) for case in cases if case.trust
    ]
    return _by_outcome(named_cases, order)


def flag_table(cases: Sequence[AuditedCase]) -> View | None:
    """Flags by outcome."""
    return _by_outcome([(flag_title(name), case) for case in cases for name in case.flags.names])


def _by_outcome(
    named_cases: Iterable[tuple[str, AuditedCase]], order: Sequence[str] = ()
) -> View | None:
    """How many cases have each name, by outcome.

    Parameters
    ----------
    named_cases : (name, case); a case may have several names.
    order : of the names; those that it lacks come after it, the most frequent first.
    """
    counts: dict[str, Counter[str]] = {}
    for name, case in named_cases:
        counts.setdefault(name, Counter()).update([case.outcome or "no_label"])
    if not counts:
        return None
    columns = [name for name in OUTCOMES if any(count[name] for count in counts.values())]

    def rank(name: str) -> tuple[int, int, str]:
        place = order.index(name) if name in order else len(order)
        return place, -counts[name].total(), name

    rows = [
        {
            "name": name,
            "total": grouped(counts[name].total()),
            "cells": [grouped(counts[name][column]) for column in columns],
        }
        for name in sorted(counts, key=rank)
    ]
    return {"columns": [_(OUTCOMES[column]) for column in columns], **capped(rows)}


# ---- masking


def masking_table(cases: Sequence[AuditedCase]) -> View | None:
    """Median change of the logit by what was replaced, with what, and by outcome."""
    changes: dict[tuple[str, str], dict[str, list[float]]] = {}
    unexpected: Counter[tuple[str, str]] = Counter()
    for case in cases:
        outcome = case.outcome or "no_label"
        for masking in case.probes.masking:
            key = without_number(masking.removed), str(masking.fill)
            changes.setdefault(key, {}).setdefault(outcome, []).append(masking.change)
            unexpected[key] += bool(masking.is_bad_news)
        for name, change in case.probes.mean_replaced.items():
            key = without_number(name), MEAN_RADIOGRAPH
            changes.setdefault(key, {}).setdefault(outcome, []).append(change)
    if not changes:
        return None
    outcomes = [name for name in OUTCOMES if any(name in found for found in changes.values())]
    size = {key: sum(map(len, by_outcome.values())) for key, by_outcome in changes.items()}
    rows = [
        {
            "removed": sentence(named(key[0])),
            "fill": named(key[1]),
            "count": grouped(size[key]),
            # The flags judge what the mean radiograph changes.
            "unexpected": DASH if key[1] == MEAN_RADIOGRAPH else grouped(unexpected[key]),
            "cells": [_median(changes[key].get(outcome)) for outcome in outcomes],
        }
        for key in sorted(changes, key=lambda key: (-size[key], key))
    ]
    return {"columns": [_(OUTCOMES[name]) for name in outcomes], "rows": rows}


def without_number(name: str) -> str:
    """ "letter 2" -> "letter": the second letter of one case is no relative of another's."""
    words, _space, last = name.rpartition(" ")
    return words if words and last.isdecimal() else name


def _median(values: Sequence[float] | None) -> str:
    return signed(median(values)) if values else DASH


# ---- checks of the input


def quality_table(cases: Sequence[CaseRecord]) -> View | None:
    """Each check of the input: how many radiographs passed, failed, were not checked."""
    counts: dict[str, Counter[str]] = {}
    examples: dict[str, Check] = {}
    for case in cases:
        for check in case.quality:
            counts.setdefault(check.name, Counter()).update([check.state])
            known = examples.get(check.name)
            if known is None or (known.state == "not_run" and check.state != "not_run"):
                examples[check.name] = check
    rows = [
        {
            "name": check_title(name),
            "meaning": sentence(check_meaning(examples[name])),
            "limit": said(examples[name].limit) or DASH,
            "cells": [grouped(counts[name][state]) for state in ("passed", "failed", "not_run")],
        }
        for name in sorted(counts, key=lambda name: (-counts[name]["failed"], name))
    ]
    return {"rows": rows} if rows else None

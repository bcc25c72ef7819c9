"""Where the evidence lies, validity of the maps, flags, masking, checks of the input."""

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
)
from cxr_audit.report.language import N_, _, grouped, named, said
from cxr_audit.report.names import (
    check_meaning,
    check_title,
    flag_title,
    label,
    method_name,
)
from cxr_audit.report.run_report.artefacts import capped
from cxr_audit.report.run_report.estimates import (
    counted_reasons,
    estimate_view,
    num_cases,
    share_of,
)
from cxr_audit.report.run_report.pictures import (
    FOCUS,
    MeanMap,
    mean_map_scale,
)
from cxr_audit.report.words import (
    CHECK_STATES,
    DASH,
    MAP_STATES,
    OUTCOMES,
    TRUST_WORDS,
    View,
    full_stop,
    number,
    quoted,
    sentence,
    signed,
    unit_words,
)
from cxr_audit.vocabulary import REGION_KINDS

MEAN_RADIOGRAPH = N_("the run's mean radiograph")


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


# ---- validity


def validity(cases: Sequence[AuditedCase], run: RunRecord) -> View:
    """One table: checks made once a model, checks made of each case, and what follows."""
    layers = None
    if run.calibration.cascade:
        first, last = run.calibration.cascade[0], run.calibration.cascade[-1]
        layers = _("{num}, the first is {name}", num=last.num_layers, name=quoted(first.layer))
    rows = [_of_model(check) for check in run.calibration.checks]
    rows += _of_cases(cases)
    return {"rows": rows, "layers": layers}


def _of_model(check: Check) -> View:
    result = _(CHECK_STATES[check.state])
    if check.value is not None:
        result += f" {number(check.value)}"
    return {
        "name": check_title(check.name),
        "meaning": _meaning(check),
        "scope": _("model"),
        "result": result,
        "limit": said(check.limit) or DASH,
    }


def _meaning(check: Check) -> str:
    meaning = full_stop(check_meaning(check))
    if check.state == "passed" or not check.reason:
        return meaning
    return f"{meaning} {full_stop(said(check.reason))}"


def _of_cases(cases: Sequence[AuditedCase]) -> list[View]:
    """Each check of a case with the number of cases in each state; then the two verdicts."""
    counts: dict[str, Counter[str]] = {}
    examples: dict[str, Check] = {}
    for case in cases:
        for check in case.trust.checks if case.trust else ():
            counts.setdefault(check.name, Counter()).update([_(CHECK_STATES[check.state])])
            if check.name not in examples or check.limit:
                examples[check.name] = check
    rows = [
        _counted(
            check_title(name),
            full_stop(check_meaning(examples[name])),
            counts[name],
            said(examples[name].limit),
        )
        for name in counts
    ]
    trust = Counter(_(TRUST_WORDS[case.trust.state]) for case in cases if case.trust)
    maps = Counter(
        _(MAP_STATES[case.first_map.facts.status][1]) for case in cases if case.first_map
    )
    if trust:
        meaning = _("What follows from the checks for the map of a case.")
        rows.append(_counted(_("Explanation checks"), meaning, trust))
    if maps:
        meaning = _("Whether there is evidence for the class at all.")
        rows.append(_counted(_("State of the first map"), meaning, maps))
    return rows


def _counted(name: str, meaning: str, counts: Counter[str], limit: str | None = None) -> View:
    """A row of cases: in how many each result was found, the most frequent first."""
    total = counts.total()
    results = [f"{words}: {grouped(count)}" for words, count in counts.most_common()]
    return {
        "name": name,
        "meaning": meaning,
        "scope": num_cases(total),
        "result": "; ".join(results),
        "limit": limit or DASH,
    }


def flag_table(cases: Sequence[AuditedCase]) -> View | None:
    """Flags by outcome, with the number of cases that each could be assessed for."""
    table = _by_outcome([(flag_title(name), case) for case in cases for name in case.flags.names])
    if table is None:
        return None
    for row in table["rows"]:
        undefined = sum(
            row["name"] in [flag_title(name) for name in case.flags.undefined] for case in cases
        )
        raised = sum(
            row["name"] in [flag_title(name) for name in case.flags.names] for case in cases
        )
        row["total"] = share_of(raised, len(cases) - undefined) or row["total"]
    return table


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

"""CaseRecords, RunRecord, CohortRecord -> the words, numbers and pictures of the run report (summary.pdf).

Acceptance first, then the stages of the medical algorithmic audit (Liu et al., Lancet Digital Health 4, 2022):
scoping, mapping, artefacts, testing, reflection, what to watch after. Nothing is measured here that the records do
not hold: what a run has not measured says so. Lists are cut at a fixed length; `cases.csv` has the rest.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Protocol

from cxr_audit.glossary import FLAG_WORDS, GLOSSARY, OF_RUN, check_name
from cxr_audit.records import (
    PERFORMANCE_METRICS,
    CaseRecord,
    Check,
    CohortRecord,
    CriterionResult,
    Distribution,
    Estimate,
    Floats,
    RunRecord,
    WrongCase,
)
from cxr_audit.report import plots
from cxr_audit.report.language import said
from cxr_audit.report.pictures import encode_jpeg, mean_map_picture
from cxr_audit.report.regulations import claim_rows, model_card_rows, regulatory_rows
from cxr_audit.report.words import (
    BANNER,
    CHECK_STATES,
    DASH,
    MAP_STATES,
    TRUST_WORDS,
    UNIT_WORDS,
    View,
    calibrated_before,
    number,
    percent,
    quoted,
    score,
    sentence,
    signed,
    utc,
    w3c,
)

NOT_MEASURED = "not measured in this run"
USUAL = "the run's mean radiograph"
MOST_WORST = 4
MOST_ROWS = 10
# `preprocess.scaling` in words.
SCALINGS = {
    "unit": "from 0 to 1",
    "minus_one_one": "from −1 to 1",
    "imagenet": "less ImageNet's mean, over its deviation",
    "caffe": "from 0 to 255, BGR, less ImageNet's mean",
    "raw_255": "from 0 to 255",
    "txv": "from −1024 to 1024",
}
MANY = 20
"""Cases of a class below which a share is known to no better than about 0.2."""

OUTCOMES = {
    "true_positive": "True positive",
    "false_positive": "False positive",
    "true_negative": "True negative",
    "false_negative": "False negative",
    "no_label": "No label",
}

FAR_ENDS = {"upper": "at least", "lower": "at most"}
"""What is met already where the data do not contradict it."""

# part that was replaced -> what the class does that speaks against a classifier that reads lungs
WITHOUT = {
    "lungs": "stays without the lungs",
    "all but the lungs": "changes with the lungs alone",
    "border": "changes without the border",
    "marker": "changes without a marker",
}

# metric -> what an even map would score
FOCUS = {
    "high_focus_fraction": None,
    "lungs_relevance_mass_accuracy": None,
    "lungs_enrichment": 1.0,
    "border_fraction": None,
    "entropy": None,
}

TRUST = {state: sentence(word) for state, word in TRUST_WORDS.items() if state != "none"}


class MeanMap(Protocol):
    """As `cxr_audit.cohort.mean_map` makes it."""

    num_cases: int
    values: Floats
    lungs: Floats


def summary_pictures(
    records: Sequence[CaseRecord],
    run: RunRecord,
    cohort: CohortRecord,
    mean_maps: Mapping[str, MeanMap],
) -> dict[str, bytes]:
    """The pictures that the report draws itself, by role: SVG, and JPEG for mean maps."""
    pictures = {}
    if points := _roc(records):
        pictures["roc"] = plots.roc(*points, _point(cohort), 56).encode()
    if bins := _bins(cohort):
        pictures["reliability"] = plots.reliability(bins, 56).encode()
    outcomes = _drawn_outcomes(cohort)
    panels = [_panel(cohort, metric, outcomes) for metric in FOCUS]
    if max(outcomes.values(), default=0) > 1 and any(
        box for panel in panels for box in panel.boxes
    ):
        labels = [f"{OUTCOMES[name]} ({count:,})" for name, count in outcomes.items()]
        pictures["focus"] = plots.boxes(panels, labels, 178, 14 + 6.5 * len(labels)).encode()
    if run.cascade:
        stages = [(one.num_layers, one.spearman, one.ssim) for one in run.cascade]
        pictures["cascade"] = plots.cascade(stages, 100, 40).encode()
    if scale := _scale(mean_maps):
        for outcome, one in mean_maps.items():
            pictures[f"mean_{outcome}"] = encode_jpeg(
                mean_map_picture(one.values, one.lungs, scale)
            )
    return pictures


def worst_cases(
    records: Sequence[CaseRecord], cohort: CohortRecord
) -> dict[str, tuple[WrongCase, CaseRecord]]:
    """The most wrong cases that the report shows, by role of their picture."""
    known = {record.case_id: record for record in records}
    return {
        f"worst_{kind}_{place}": (one, known[one.case_id])
        for kind, wrong in (
            ("positive", cohort.false_positives),
            ("negative", cohort.false_negatives),
        )
        for place, one in enumerate(wrong[:MOST_WORST])
    }


def summary_view(
    records: Sequence[CaseRecord],
    run: RunRecord,
    cohort: CohortRecord,
    mean_maps: Mapping[str, MeanMap],
    urls: Mapping[str, str],
) -> View:
    """Everything that `summary.html.j2` prints. `urls` maps the roles of the pictures that exist to their URL."""
    supplied = supply(records, run, cohort)
    return {
        "banner": BANNER,
        "title": f"Audit report of run {run.name}",
        "run": {"name": run.name, "started": utc(run.started), "created": w3c(run.started)},
        "model": {"name": run.model.name, "hash": run.model.sha256[:12]},
        "urls": {**dict.fromkeys(("roc", "reliability", "focus", "cascade")), **urls},
        "acceptance": _acceptance(cohort),
        "glance": _glance(records, run, cohort),
        "scoping": _scoping(records, run, cohort),
        "mapping": _mapping(records, run, cohort),
        "artefacts": _artefacts(records, run),
        "stopped": _stopped(records),
        "performance": _performance(cohort),
        "confusion": _confusion(cohort),
        "reliability_note": _reliability_note(cohort),
        "subgroups": _subgroups(cohort),
        "has_maps": supplied["maps"],
        "focus_undefined": _undefined(cohort),
        "hits": _hits(cohort),
        "mean_maps": _mean_maps(records, mean_maps, urls),
        "worst": _worst(records, cohort, urls),
        "validity": _validity(records, run, cohort),
        "trust": _crosstab(((TRUST[r.trust.state], r) for r in records if r.trust), TRUST.values()),
        "flags": _crosstab((FLAG_WORDS[flag.name], r) for r in records for flag in r.flags),
        "masking": _masking(records),
        "quality": _quality(records),
        "unmeasured": [
            words
            for fact, words in (
                ("model_checks", "checks of the model's explanations"),
                ("trust", "trust in each case's map"),
                ("masking", "causal masking"),
                ("quality", "checks of the input"),
            )
            if not supplied[fact]
        ],
        "open": _open_points(records, run, cohort),
        "watch": _watch(records, cohort),
        "regulatory": regulatory_rows(supplied),
        "card": model_card_rows(run, cohort),
        "claim": claim_rows(supplied),
    }


def supply(records: Sequence[CaseRecord], run: RunRecord, cohort: CohortRecord) -> dict[str, bool]:
    """What this run's own records hold: the facts that the regulatory map's rules ask for."""
    card, resolved = run.model.card, run.config
    labelled = any(cohort.outcomes.values())
    return {
        "always": True,
        "card": card is not None,
        "card_data": card is not None and bool(card.data),
        "card_sha256": card is not None and bool(card.data_sha256),
        "card_limits": card is not None and bool(card.limits),
        "card_measured": card is not None and bool(card.measured),
        "card_training": card is not None and bool(card.training),
        "labels": labelled,
        "intervals": all(
            cohort.metrics[name].interval_95 for name in ("auc", "sensitivity", "specificity")
        ),
        "calibration": cohort.metrics["ece"].value is not None
        and cohort.metrics["auc"].value is not None,
        "subgroups": any(column.groups for column in cohort.subgroups),
        "patients": bool(cohort.num_cases_of_known_patients),
        "wrong": bool(cohort.false_positives or cohort.false_negatives),
        "criteria": bool(cohort.acceptance),
        "maps": any(record.maps for record in records),
        "regions": any(record.regions for record in records),
        "documents": bool(resolved.get("report", {}).get("documents", True)),
        "model_checks": bool(run.checks),
        "trust": any(record.trust for record in records),
        "flags": any(record.flags or record.flags_undefined for record in records),
        "masking": any(record.masking for record in records),
        "quality": any(record.quality for record in records),
        "repeated": run.model.is_deterministic is not None,
        "audited": cohort.statuses["ok"] > 0,
        "pinned": bool(resolved.get("classifier", {}).get("sha256")) or card is not None,
    }


# ---- acceptance


def _acceptance(cohort: CohortRecord) -> View:
    missed = [one for one in cohort.acceptance if not one.is_met]
    total = len(cohort.acceptance)
    if not total:
        shape, verdict = (
            "triangle",
            "No acceptance criterion was set in the config of this run: nothing was judged.",
        )
    elif missed:
        unjudged = sum(one.reason is not None for one in missed)
        note = f" {unjudged} of them could not be judged." if unjudged else ""
        shape, verdict = "square", f"{len(missed)} of {total} acceptance criteria not met.{note}"
    else:
        shape, verdict = "circle", f"{total} of {total} acceptance criteria met."
    rows = [_criterion(one) for one in cohort.acceptance]
    bounds = [
        (str(one.limit or ""), FAR_ENDS[one.bound])
        for one in cohort.acceptance
        if one.bound in FAR_ENDS
    ]
    is_far = any(limit.startswith(far) for limit, far in bounds)
    return {"shape": shape, "verdict": verdict, "rows": rows, "is_far": is_far}


def _state(one: CriterionResult) -> tuple[str, str]:
    if one.is_met:
        return "circle", "Met"
    return ("triangle", "Not judged") if one.reason else ("square", "Not met")


def _criterion(one: CriterionResult) -> View:
    kinds: dict[str, dict[str, int]] = {}
    for reason, count in one.undefined.items():
        kind, _, detail = str(reason).partition(": ")
        kinds.setdefault(kind, {})[detail] = count
    notes = [
        f"counted against it, in {_cases(sum(of.values()))}: {_by_detail(kind, of)}"
        for kind, of in kinds.items()
    ]
    if one.reason:
        notes.insert(0, f"{one.reason}: counts as not met")
    elif one.limit_value is None and not one.is_met:
        notes.append(said(one.found.reason or ""))
    return {
        "state": _state(one),
        "what": sentence(said(one.criterion)),
        "key": one.metric,
        "limit": one.limit or DASH,
        "bound": one.bound,
        "note": sentence("; ".join(notes)),
        **_estimate(one.found, one.limit_value),
    }


def _by_detail(kind: str, counts: Mapping[str, int]) -> str:
    """For example "lungs not found, in 8 the left one too ragged, in 2 one area only"."""
    if len(counts) == 1:
        return ": ".join(filter(None, (kind, *counts)))
    return ", ".join(
        [kind, *(f"in {count:,} {detail}" for detail, count in counts.items() if detail)]
    )


def _estimate(one: Estimate, limit: float | None = None) -> View:
    """Value and interval in two decimals; in more where two could not tell a number from the limit."""
    numbers = [value for value in (one.value, *(one.interval_95 or ())) if value is not None]
    apart = [value for value in numbers if limit is not None and value != limit]
    decimals = next(
        (d for d in (2, 3) if all(round(value - (limit or 0), d) for value in apart)), 4
    )
    ends = None if one.interval_95 is None else [score(end, decimals) for end in one.interval_95]
    return {
        "value": "undefined" if one.value is None else score(one.value, decimals),
        "ends": ends,
        "interval": None if ends is None else " to ".join(ends),
        "reason": sentence(said(one.reason)),
        "of": f"{one.num_cases:,} / {one.num_patients:,}" if one.num_cases else DASH,
    }


def _glance(
    records: Sequence[CaseRecord], run: RunRecord, cohort: CohortRecord
) -> list[tuple[str, str]]:
    statuses, outcomes = cohort.statuses, cohort.outcomes
    labelled = sum(outcomes.values())
    counts = f"{statuses['ok']:,} audited, {statuses['excluded']:,} excluded, {statuses['failed']:,} failed"
    found = f" of {run.num_found:,} found (--limit)" if run.num_found else ""
    rows = [
        ("Cases", f"{len(records):,}{found}: {counts}"),
        ("Patients", f"{cohort.num_patients:,} ({cohort.patients})"),
        ("With a label", f"{labelled:,} of {statuses['ok']:,} audited"),
    ]
    if labelled:
        over, missed, target = (
            outcomes["false_positive"],
            outcomes["false_negative"],
            quoted(cohort.target_class),
        )
        words = f"{over:,} called {target} against the label, {missed:,} labelled {target} and not called"
        rows.append(("Outcome", f"{over + missed:,} of {labelled:,} wrong: {words}"))
    states = Counter[str](record.trust.state for record in records if record.trust)
    trust = (
        ", ".join(f"{states[key]:,} {word.lower()}" for key, word in TRUST.items())
        if states
        else NOT_MEASURED
    )
    flags = Counter[str](flag.name for record in records for flag in record.flags)
    raised = ", ".join(
        f"{FLAG_WORDS[name].lower()} {count:,}" for name, count in flags.most_common()
    )
    flagged = (
        f"{_cases(sum(bool(record.flags) for record in records))}: {raised}" if flags else "none"
    )
    return [*rows, ("Trust in the maps", trust), ("Flagged", flagged)]


# ---- 1 scoping


def _scoping(records: Sequence[CaseRecord], run: RunRecord, cohort: CohortRecord) -> View:
    card = run.model.card
    predictions = [record.prediction for record in records if record.prediction]
    threshold = "not known: no case was audited"
    if predictions:
        first = predictions[0]
        cut = "the highest score decides" if first.threshold is None else score(first.threshold)
        threshold = f"{cut} ({first.threshold_source})"
    rows = [
        (
            "Intended use",
            quoted(card.intended_use) if card else "not supplied: the model has no model card",
        ),
        ("Population of the model", quoted(card.population) if card else "not supplied"),
        (
            "Question of this run",
            f"output for {quoted(cohort.target_class)}" if cohort.target_class else DASH,
        ),
        ("Threshold", threshold),
        ("Labels", _labels(run, cohort)),
        ("Views", _described(records, "view")),
        ("Formats", _described(records, "format")),
    ]
    return {"rows": rows, "limits": [quoted(text) for text in card.limits] if card else []}


def _labels(run: RunRecord, cohort: CohortRecord) -> str:
    source = run.config.get("ingest", {}).get("labels", "none")
    words = {"none": "none were given", "folder": "name of the parent folder"}
    text = words.get(source, f"column {quoted(source)} of the manifest")
    missing = "".join(
        f"; {count:,} not measured: {reason}" for reason, count in cohort.unlabelled.items()
    )
    return text + missing


def _described(records: Sequence[CaseRecord], what: str) -> str:
    """How many radiographs have which view or format, the most frequent first."""
    facts = [record.radiograph for record in records if record.radiograph]
    values = [
        (one.view_position or "view not stated") if what == "view" else one.source.format
        for one in facts
    ]
    return _counted(values) or "none was read"


def _counted(values: Iterable[str], most: int = 6) -> str:
    counts = sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
    more = f", {len(counts) - most} more kinds" if len(counts) > most else ""
    return ", ".join(f"{count:,} {value}" for value, count in counts[:most]) + more


# ---- 2 mapping


def _mapping(records: Sequence[CaseRecord], run: RunRecord, cohort: CohortRecord) -> list[View]:
    """What may go wrong, what this run looked at, and what it found."""
    audited = [record for record in records if record.status == "ok"]
    statuses, metrics = cohort.statuses, cohort.metrics
    unread = f"{statuses['failed']:,} failed, {statuses['excluded']:,} excluded of {len(records):,}"
    failing = sum(any(check.state == "failed" for check in record.quality) for record in records)
    quality = (
        f"; {failing:,} with a check of the input failed" if any(r.quality for r in records) else ""
    )
    warned = sum(bool(record.radiograph and record.radiograph.warnings) for record in records)
    groups = sum(len(column.groups) for column in cohort.subgroups)
    hidden = sum(column.num_suppressed_values for column in cohort.subgroups)
    gaps = [abs(one.gap) for record in audited for one in record.maps[:1] if one.gap is not None]
    shown = [f"largest difference to the logit {max(gaps):.0e}"] if gaps else []
    if run.checks:
        states = Counter[str](one.state for one in run.checks)
        shown.append(
            f"checks: {', '.join(f'{states[key]} {word}' for key, word in CHECK_STATES.items())}"
        )
    hazards = (
        (
            "The file is no usable frontal radiograph",
            "reading, checks of the input",
            unread + quality,
        ),
        (
            "Grey values are not what the model was trained on",
            "decisions and warnings of ingestion, a case",
            f"{warned:,} of {len(records):,} with a warning",
        ),
        (
            "The output is wrong",
            "sensitivity, specificity",
            _found(metrics, ("sensitivity", "specificity")),
        ),
        ("The output is no probability", "calibration error", _found(metrics, ("ece",))),
        (
            "It is worse for some patients",
            "subgroups of the config",
            f"{groups} groups shown, {hidden} too small to show" if groups or hidden else None,
        ),
        (
            "It reads a shortcut, not the lungs",
            "evidence in lungs, border, markers",
            _shortcut(audited),
        ),
        (
            "The lungs do not decide the output, or another part does",
            "causal masking",
            _masked(audited),
        ),
        (
            "The map does not show what the model used",
            "its sum against the logit; trust checks",
            "; ".join(shown),
        ),
        (
            "The same input gives another output",
            "one batch twice, bit by bit",
            {True: "the same bits", False: "different bits", None: None}[
                run.model.is_deterministic
            ],
        ),
        (
            "Another model, or files changed later",
            "SHA-256 of the model and of every file",
            "in run.json, SHA256SUMS",
        ),
        (
            "A patient can be recognised",
            "pseudonyms, allow-list of attributes",
            "names stay in private/",
        ),
    )
    return [{"hazard": one, "check": check, "result": found} for one, check, found in hazards]


def _known(num_cases: int) -> str:
    return "poorly known" if num_cases else "unknown"


def _found(metrics: Mapping[str, Estimate], names: Sequence[str]) -> str | None:
    """Values with their intervals; None where none is defined."""
    known = [
        (OF_RUN[name].name, metrics[name]) for name in names if metrics[name].value is not None
    ]
    words = []
    for name, one in known:
        cells = _estimate(one)
        words.append(
            f"{name} {cells['value']}" + (f" ({cells['interval']})" if cells["interval"] else "")
        )
    return sentence("; ".join(words)) or None


def _shortcut(audited: Sequence[CaseRecord]) -> str | None:
    """How many cases are flagged for it, of those in which each flag could be judged."""
    words = []
    for name in ("outside_lungs", "marker", "border", "exposure"):
        judged = [record for record in audited if name not in record.flags_undefined]
        raised = sum(any(flag.name == name for flag in record.flags) for record in judged)
        words.append(f"{FLAG_WORDS[name].lower()} in {raised:,} of {len(judged):,}")
    return (
        "; ".join(words)
        if any(record.flags or record.flags_undefined for record in audited)
        else None
    )


def _masked(audited: Sequence[CaseRecord]) -> str | None:
    """By part: how many maskings speak against the classifier, of those that can say something of it."""
    asked = [record for record in audited if record.masking]
    answers: dict[str, list[bool]] = {part: [] for part in WITHOUT}
    for one in (one for record in asked for one in record.masking):
        if one.is_bad_news is not None:
            answers[one.removed if one.removed in WITHOUT else "marker"].append(one.is_bad_news)
    words = "; ".join(
        f"{WITHOUT[part]}: {sum(bad):,} of {len(bad):,}" for part, bad in answers.items() if bad
    )
    masked = f"{len(asked):,} of {_cases(len(audited))} masked"
    return (
        (f"{masked}. Maskings after which the class {words}" if words else masked)
        if asked
        else None
    )


# ---- 3 artefacts


def _artefacts(records: Sequence[CaseRecord], run: RunRecord) -> list[View]:
    model, engine = run.model, run.engine
    preprocess = run.config.get("preprocess", {})
    scaling = (
        preprocess.get("scaling")
        or f"{preprocess.get('scale')} × pixel + {preprocess.get('offset')}"
    )
    scaling = SCALINGS.get(scaling, scaling)
    source = preprocess.get("scaling_source")
    steps = [
        f"{preprocess.get('resize')} to {preprocess.get('rows')} × {preprocess.get('columns')}"
    ]
    steps += [f"values {scaling}" + (f" ({source})" if source else " (source not stated)")]
    steps += [f"CLAHE {preprocess['clahe']:g}"] if preprocess.get("clahe") else []
    first = next((record.maps[0] for record in records if record.maps), None)
    groups = (
        (
            "Model",
            ("Name", model.name),
            ("SHA-256", model.sha256),
            ("Parameters", f"{model.parameters:,}"),
            ("Input", " × ".join(map(str, model.input_shape))),
            ("Preprocessing", "; ".join(steps)),
            (
                "Output",
                f"{model.output_activation}; classes {', '.join(map(str, map(quoted, model.class_names)))}",
            ),
            (
                "Head",
                f"{model.head}, layer {model.target_layer}, {model.grid[0]} × {model.grid[1]} cells",
            ),
            (
                "First map",
                f"{first.method}, {UNIT_WORDS.get(first.unit, first.unit)}" if first else "none",
            ),
        ),
        (
            "Run",
            ("Config SHA-256", run.config_sha256),
            ("Crosswalk SHA-256", run.crosswalk_sha256 or "not kept"),
            ("Lung segmenter", run.segmenter_sha256 or "not used"),
            ("Seed", str(run.seed)),
            ("Started, finished", f"{utc(run.started)}, {utc(run.finished) or 'not yet'}"),
            (
                "Engine",
                ", ".join(
                    f"{key.replace('_', ' ')} {value}" for key, value in sorted(engine.items())
                ),
            ),
            (
                "Versions",
                ", ".join(f"{name} {version}" for name, version in sorted(run.versions.items())),
            ),
        ),
    )
    return [{"title": title, "rows": list(rows)} for title, *rows in groups]


def _stopped(records: Sequence[CaseRecord]) -> View:
    """Cases without an audit by kind of error or reason; file names never."""
    counts = Counter(
        (record.status, record.error or "", record.reason or "")
        for record in records
        if record.reason
    )
    rows = [
        {
            "status": status,
            "error": error or DASH,
            "reason": sentence(said(reason)),
            "count": f"{count:,}",
        }
        for (status, error, reason), count in sorted(
            counts.items(), key=lambda item: (-item[1], item[0])
        )
    ]
    return _capped(rows)


def _capped(rows: list[View], most: int = MOST_ROWS) -> View:
    return {"rows": rows[:most], "more": max(0, len(rows) - most)}


# ---- 4 testing


def _performance(cohort: CohortRecord) -> View | None:
    if not any(cohort.outcomes.values()):
        return None
    rows = [
        {
            "name": OF_RUN[name].title,
            "meaning": OF_RUN[name].meaning,
            **_estimate(cohort.metrics[name]),
        }
        for name in PERFORMANCE_METRICS
    ]
    at = (
        "undefined"
        if cohort.prevalence is None
        else f"{number(cohort.prevalence)}, {cohort.prevalence_source}"
    )
    return {"rows": rows, "method": sentence(said(cohort.method)), "prevalence": at}


def _confusion(cohort: CohortRecord) -> View | None:
    """Labels in rows, calls in columns, of the target class; each cell's share is of its row."""
    if not any(cohort.outcomes.values()):
        return None
    rows = []
    for label, names in (
        ("labelled positive", ("true_positive", "false_negative")),
        ("labelled negative", ("false_positive", "true_negative")),
    ):
        counts = [cohort.outcomes[name] for name in names]
        total = sum(counts)
        cells = [
            {
                "count": f"{count:,}",
                "share": percent(count / total) if total else DASH,
                "opacity": f"{0.75 * count / total if total else 0:.2f}",
                "is_dark": bool(total) and count / total > 0.6,
            }
            for count in counts
        ]
        rows.append({"label": label, "cells": cells})
    return {"target": quoted(cohort.target_class), "rows": rows}


def _roc(records: Sequence[CaseRecord]) -> tuple[list[float], list[float]] | None:
    """The corners of the ROC curve, equal outputs as one step; None with one class only."""
    found = [
        (record.prediction.probability, record.outcome in ("true_positive", "false_negative"))
        for record in records
        if record.prediction and record.outcome
    ]
    num_positive = sum(is_positive for _, is_positive in found)
    num_negative = len(found) - num_positive
    if not num_positive or not num_negative:
        return None
    counts = Counter(found)
    across, up = [0.0], [0.0]
    false, true = 0, 0
    for output in sorted({output for output, _ in found}, reverse=True):
        true += counts[output, True]
        false += counts[output, False]
        across.append(false / num_negative)
        up.append(true / num_positive)
    return across, up


def _point(cohort: CohortRecord) -> tuple[float, float] | None:
    sensitivity, specificity = (
        cohort.metrics[name].value for name in ("sensitivity", "specificity")
    )
    return None if sensitivity is None or specificity is None else (1 - specificity, sensitivity)


def _bins(cohort: CohortRecord) -> list[tuple[float, float, tuple[float, float] | None]]:
    return [
        (one.mean_probability, one.observed.value, one.observed.interval_95)
        for one in cohort.reliability
        if one.mean_probability is not None and one.observed.value is not None
    ]


def _reliability_note(cohort: CohortRecord) -> str:
    text = "Points: bins of 0.1; lines: 95 % intervals."
    if any(interval is None for _, _, interval in _bins(cohort)):
        text += " Open: without an interval, fewer than 10 patients."
    if cohort.ece_if_calibrated is not None:
        text += (
            f" A calibrated model's ECE would stay below {number(cohort.ece_if_calibrated)} here."
        )
    return text


def _subgroups(cohort: CohortRecord) -> View:
    rows = [
        {
            "column": column.column,
            "value": quoted(group.value),
            "cases": f"{group.num_positive:,} / {group.num_negative:,}",
            "metrics": [
                _estimate(group.metrics[name]) for name in ("auc", "sensitivity", "specificity")
            ],
        }
        for column in cohort.subgroups
        for group in column.groups
    ]
    notes = [f"{column.column}: {column.reason}" for column in cohort.subgroups if column.reason]
    for column in cohort.subgroups:
        if column.groups and column.num_suppressed_values:
            notes.append(
                f"{column.column}: {column.num_suppressed_values} smaller values not shown "
                f"({_cases(column.num_suppressed_cases)})"
            )
        if column.groups and column.num_missing:
            notes.append(f"{column.column}: {_cases(column.num_missing)} without a value")
    return {**_capped(rows, 12), "notes": "; ".join(notes)}


def _drawn_outcomes(cohort: CohortRecord) -> dict[str, int]:
    """Outcomes with at least one audited case."""
    counts = {**cohort.outcomes, "no_label": sum(cohort.unlabelled.values())}
    return {name: counts[name] for name in OUTCOMES if counts[name]}


def _panel(cohort: CohortRecord, metric: str, outcomes: Iterable[str]) -> plots.Panel:
    found = {one.outcome: one for one in cohort.distributions if one.metric == metric}
    title = "… against chance (1)" if metric == "lungs_enrichment" else GLOSSARY[metric].title
    return plots.Panel(
        title, tuple(_box(found.get(outcome)) for outcome in outcomes), FOCUS[metric]
    )


def _box(one: Distribution | None) -> plots.Box | None:
    if one is None or one.quantiles is None:
        return None
    _, lowest, low, middle, high, highest, _ = one.quantiles
    return lowest, low, middle, high, highest


def _undefined(cohort: CohortRecord) -> str | None:
    """Why metrics of the picture are undefined, and for how many cases at most."""
    counts: dict[str, int] = {}
    for metric in FOCUS:
        of = Counter[str]()
        for one in cohort.distributions:
            if one.metric == metric:
                of.update(one.undefined)
        for reason, count in of.items():
            counts[reason] = max(counts.get(reason, 0), count)
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return "; ".join(f"{_cases(count)}: {reason}" for reason, count in ordered[:3]) or None


def _hits(cohort: CohortRecord) -> str | None:
    """The pointing game: how often a map's maximum lies in a kind of region."""
    words = []
    for kind, one in sorted(cohort.hit_rates.items()):
        if one.value is None:
            continue
        cells = _estimate(one)
        interval = f"{cells['interval']}; " if cells["interval"] else ""
        words.append(f"{kind} {cells['value']} ({interval}{_cases(one.num_cases)})")
    return ", ".join(words) or None


def _scale(mean_maps: Mapping[str, MeanMap]) -> float:
    """One upper end for all outcomes, so that they compare: the largest value, rounded up to the two digits that are
    printed; 0 where there is nothing to draw."""
    largest = max((float(one.values.max()) for one in mean_maps.values()), default=0.0)
    if largest <= 0:
        return 0.0
    digit = 10.0 ** (math.floor(math.log10(largest)) - 1)
    return float(f"{math.ceil(largest / digit - 1e-9) * digit:.2g}")


def _mean_maps(
    records: Sequence[CaseRecord], mean_maps: Mapping[str, MeanMap], urls: Mapping[str, str]
) -> View | None:
    if not _scale(mean_maps):
        return None
    first = next(record.maps[0] for record in records if record.maps)
    return {
        "maps": [
            {
                "url": urls[f"mean_{name}"],
                "word": OUTCOMES[name],
                "count": _cases(mean_maps[name].num_cases),
            }
            for name in OUTCOMES
            if name in mean_maps
        ],
        "end": f"{_scale(mean_maps):.2g}",
        "unit": UNIT_WORDS.get(first.unit, first.unit),
        "method": first.method,
    }


def _worst(
    records: Sequence[CaseRecord], cohort: CohortRecord, urls: Mapping[str, str]
) -> list[View]:
    kinds = {
        "positive": (
            f"False positives of {_target(cohort)}, highest output first",
            cohort.false_positives,
        ),
        "negative": (
            f"False negatives of {_target(cohort)}, lowest output first",
            cohort.false_negatives,
        ),
    }
    shown = worst_cases(records, cohort)
    groups = []
    for kind, (title, wrong) in kinds.items():
        cases = [
            {
                "url": urls.get(role),
                "case_id": one.case_id,
                "output": score(one.probability),
                "other": f"label {quoted(one.label)}"
                if kind == "positive"
                else f"called {quoted(one.predicted)}",
                "lungs": _share(one, "lungs_relevance_mass_accuracy"),
                "flags": ", ".join(FLAG_WORDS[flag.name].lower() for flag in record.flags),
                "trust": TRUST[record.trust.state].lower() if record.trust else None,
            }
            for role, (one, record) in shown.items()
            if role.startswith(f"worst_{kind}")
        ]
        groups.append(
            {
                "title": title,
                "cases": cases,
                "total": f"{len(wrong):,}",
                "more": len(wrong) > len(cases),
            }
        )
    return [group for group in groups if group["cases"]]


def _share(one: WrongCase, metric: str) -> str | None:
    value = one.metrics.get(metric)
    return percent(value) if isinstance(value, float) else None


def _validity(records: Sequence[CaseRecord], run: RunRecord, cohort: CohortRecord) -> View:
    """Checks made once a model, and the states of the first maps by outcome."""
    return {
        "checks": [_check(one) for one in (*run.checks, *cohort.dependence)],
        "layers": f'{run.cascade[-1].num_layers}, the first being "{run.cascade[0].layer}"'
        if run.cascade
        else None,
        "states": _crosstab((MAP_STATES[r.maps[0].status][1], r) for r in records if r.maps),
    }


def _check(one: Check) -> View:
    return {
        "name": sentence(check_name(one.name)),
        "what": sentence(said(one.what)),
        "state": CHECK_STATES[one.state],
        "value": DASH if one.value is None else number(one.value),
        "limit": one.limit or DASH,
        "reason": sentence(said(one.reason)),
    }


def _crosstab(pairs: Iterable[tuple[str, CaseRecord]], order: Iterable[str] = ()) -> View | None:
    """How many cases have each name, by outcome; names in the order given, else the most frequent first."""
    counts: dict[str, Counter[str]] = {}
    for name, record in pairs:
        counts.setdefault(name, Counter()).update([record.outcome or "no_label"])
    if not counts:
        return None
    columns = [name for name in OUTCOMES if any(one[name] for one in counts.values())]
    rank = {name: place for place, name in enumerate(order)}
    names = sorted(
        counts, key=lambda name: (rank.get(name, len(rank)), -counts[name].total(), name)
    )
    rows = [
        {
            "name": name,
            "total": f"{one.total():,}",
            "cells": [f"{one[column]:,}" for column in columns],
        }
        for name in names
        for one in [counts[name]]
    ]
    return {"columns": [OUTCOMES[column] for column in columns], **_capped(rows)}


def _masking(records: Sequence[CaseRecord]) -> View | None:
    """Median change of the logit by what was replaced and by outcome."""
    changes: dict[tuple[str, str], dict[str, list[float]]] = {}
    bad = Counter[tuple[str, str]]()
    for record in records:
        tried: list[tuple[str, str, float]] = [
            (one.removed, one.fill, one.change) for one in record.masking
        ]
        tried += [(name, USUAL, change) for name, change in record.as_usual.items()]
        for name, fill, change in tried:
            key = name.rstrip(" 0123456789"), fill  # the second letter is no other's second letter
            changes.setdefault(key, {}).setdefault(record.outcome or "no_label", []).append(change)
        bad.update(
            (one.removed.rstrip(" 0123456789"), one.fill)
            for one in record.masking
            if one.is_bad_news
        )
    if not changes:
        return None
    columns = [name for name in OUTCOMES if any(name in one for one in changes.values())]
    size = {key: sum(map(len, groups.values())) for key, groups in changes.items()}
    rows = [
        {
            "removed": sentence(key[0]),
            "fill": key[1],
            "count": f"{size[key]:,}",
            "bad": DASH if key[1] == USUAL else f"{bad[key]:,}",  # the flags judge that
            "cells": [
                signed(median(changes[key][c])) if c in changes[key] else DASH for c in columns
            ],
        }
        for key in sorted(changes, key=lambda key: (-size[key], key))
    ]
    return {"columns": [OUTCOMES[column] for column in columns], "rows": rows}


def _quality(records: Sequence[CaseRecord]) -> View | None:
    """Each check of the input: how many radiographs passed, failed, were not checked."""
    counts: dict[str, Counter[str]] = {}
    words: dict[str, tuple[str, str]] = {}
    for record in records:
        for one in record.quality:
            counts.setdefault(one.name, Counter()).update([one.state])
            if one.state == "not_run":  # it says neither
                words.setdefault(one.name, (said(one.reason or ""), DASH))
            elif words.get(one.name, ("", DASH))[1] == DASH:
                words[one.name] = (said(one.what), said(one.limit or DASH))
    rows = [
        {
            "name": sentence(check_name(name)),
            "what": sentence(words[name][0]),
            "limit": words[name][1],
            "cells": [f"{found[state]:,}" for state in ("passed", "failed", "not_run")],
        }
        for name, found in sorted(counts.items(), key=lambda item: (-item[1]["failed"], item[0]))
    ]
    return {"rows": rows} if rows else None


# ---- 5 reflection, 6 what to watch after


def _open_points(records: Sequence[CaseRecord], run: RunRecord, cohort: CohortRecord) -> list[str]:
    """What this run leaves open, each by rule."""
    outcomes, statuses = cohort.outcomes, cohort.statuses
    positive = outcomes["true_positive"] + outcomes["false_negative"]
    negative = outcomes["true_negative"] + outcomes["false_positive"]
    target, ece = _target(cohort), cohort.metrics["ece"].value
    lungs_missing = sum(record.lungs_missing is not None for record in records)
    shown = any(column.groups for column in cohort.subgroups)
    failed = [check_name(one.name) for one in run.checks if one.state == "failed"]
    depends = [
        check_name(one.name).removesuffix(" dependence")
        for one in cohort.dependence
        if one.state == "failed"
    ]
    unfit = sum(any(one.state == "failed" for one in record.quality) for record in records)
    mistrusted = sum(
        record.trust is not None and record.trust.state == "not_interpretable" for record in records
    )
    flagged = sum(bool(record.flags) for record in records)
    points = {
        f"Failed checks of the model's explanations: {', '.join(failed)}.": failed,
        f"Flagged as a whole, the run's answers depend on: {', '.join(depends)}.": depends,
        f"Maps that are not to be interpreted: {_cases(mistrusted)}.": mistrusted,
        f"Failed a check of the input: {_cases(unfit)}.": unfit,
        f"Flagged: {_cases(flagged)}.": flagged,
        f"Audited were {len(records):,} of the {run.num_found or 0:,} radiographs that there are, spread over the list "
        "(--limit).": run.num_found,
        "No case was audited.": not statuses["ok"],
        "No audited case has a label: performance, calibration and errors are unknown.": statuses[
            "ok"
        ]
        and not positive + negative,
        f"Labelled {target}: {_cases(positive)}; sensitivity is {_known(positive)}.": positive
        + negative
        and positive < MANY,
        f"Labelled otherwise: {_cases(negative)}; specificity is {_known(negative)}.": positive
        + negative
        and negative < MANY,
        "Patients are not known for all cases: intervals may be too narrow.": cohort.num_cases_of_known_patients
        != len(records),
        "The calibration error exceeds what a calibrated model would show.": cohort.ece_if_calibrated
        is not None
        and ece is not None
        and ece > cohort.ece_if_calibrated,
        "No subgroup is large enough to be shown: equal performance across groups is unknown.": not shown,
        f"Failed, and in no figure: {_cases(statuses['failed'])}; see cases.csv.": statuses[
            "failed"
        ],
        f"Lungs not found, and in no lung metric: {_cases(lungs_missing)}.": lungs_missing,
        "No acceptance criterion was set.": not cohort.acceptance,
        "The model has no model card: intended use and population were not supplied.": run.model.card
        is None,
        "The source of the value range is not stated (preprocess.scaling_source).": not run.config.get(
            "preprocess", {}
        ).get("scaling_source"),
        "Whether the maps can be trusted was not checked.": not any(r.trust for r in records)
        and not run.checks,
        **{
            f"The checks of the model and the run's colour scale are {w}.": True
            for w in calibrated_before(run)
        },
        "Two calls of the model did not give the same bits.": run.model.is_deterministic is False,
        "Robustness against changes of the input was not measured.": not any(
            r.masking or r.exposure for r in records
        ),
        "People working with the model were not studied; an audit of records cannot.": True,
    }
    return [text for text, is_open in points.items() if is_open]


def _watch(records: Sequence[CaseRecord], cohort: CohortRecord) -> list[View]:
    """What later runs and the site should compare with this one."""
    predictions = [record.prediction for record in records if record.prediction]
    outputs = [one.probability for one in predictions]
    called = sum(one.predicted == cohort.target_class for one in predictions)
    warned = sum(bool(record.radiograph and record.radiograph.warnings) for record in records)
    metrics = cohort.metrics
    rows = (
        (
            "Files not audited",
            _of(cohort.statuses["failed"] + cohort.statuses["excluded"], len(records)),
            "cases.csv",
        ),
        ("Radiographs with a warning", _of(warned, len(records)), "case.json"),
        (
            f"Share called {_target(cohort)}",
            _of(called, len(predictions)),
            "cases.csv: predicted; drifts before labels arrive",
        ),
        (
            "Median output",
            f"{score(median(outputs))}" if outputs else None,
            "cases.csv: probability",
        ),
        (
            "Sensitivity, specificity",
            _found(metrics, ("sensitivity", "specificity")),
            "cohort.json, once labels are known",
        ),
        ("Calibration error", _found(metrics, ("ece",)), "cohort.json, once labels are known"),
        (
            "Median evidence in the lungs against chance",
            _median_of(cohort, "lungs_enrichment"),
            "cases.csv: lungs_enrichment",
        ),
        (
            "Maps that are not to be interpreted",
            _of(
                sum(r.trust is not None and r.trust.state == "not_interpretable" for r in records),
                len(predictions),
            )
            if any(record.trust for record in records)
            else None,
            "case.json: trust",
        ),
    )
    return [{"what": what, "value": value, "where": where} for what, value, where in rows]


def _of(count: int, total: int) -> str | None:
    return f"{count:,} of {total:,} ({percent(count / total)})" if total else None


def _median_of(cohort: CohortRecord, metric: str) -> str | None:
    """By outcome, where it is defined."""
    words = [
        f"{OUTCOMES[one.outcome].lower()} {number(one.quantiles[3])}"
        for one in cohort.distributions
        if one.metric == metric and one.quantiles
    ]
    return ", ".join(words) or None


def _target(cohort: CohortRecord) -> str:
    return quoted(cohort.target_class) or "the target class"


def _cases(count: int) -> str:
    return "1 case" if count == 1 else f"{count:,} cases"

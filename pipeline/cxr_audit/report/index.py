"""CaseRecords, RunRecord -> the plain words and finished numbers that `index.html.j2` sets."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from cxr_audit.glossary import FLAG_WORDS
from cxr_audit.records import CaseRecord, Prediction, RunRecord
from cxr_audit.report.language import said
from cxr_audit.report.view import cautions, run_facts, scale_view, unit
from cxr_audit.report.words import (
    BANNER,
    MAP_STATES,
    STATUS_WORDS,
    TIMES,
    TRUST_WORDS,
    View,
    number,
    percent,
    quoted,
    score,
    sentence,
)

ERRORS = ("false_positive", "false_negative")


def index_view(records: Sequence[CaseRecord], run: RunRecord) -> View:
    """Everything that `index.html.j2` prints; links are relative to the run folder."""
    has_documents = bool(run.config.get("report", {}).get("documents", True))
    cases = [_index_row(record, has_documents) for record in records]
    counts: dict[str, int] = {}
    for record in records:
        counts[record.status] = counts.get(record.status, 0) + 1
    correct = [
        r.prediction.is_correct
        for r in records
        if r.prediction and r.prediction.is_correct is not None
    ]
    raised = {flag.name for record in records for flag in record.flags}
    names = [
        word
        for case in cases
        for name in (case["label"], case["predicted"])
        for word in name.split()
    ]
    return {
        "banner": BANNER,
        "run": run_facts(run),
        "scale": scale_view(run),
        "unit": next((unit(record.maps[0]) for record in records if record.maps), None),
        "target": next(
            (quoted(record.prediction.target_class) for record in records if record.prediction),
            None,
        ),
        "cases": cases,
        "num_cases": len(cases),
        "counts": [
            (STATUS_WORDS[status], counts.get(status, 0)) for status in ("ok", "excluded", "failed")
        ],
        "agreement": f"{sum(correct)} of {len(correct)}" if correct else None,
        "class_width": 5 + min(20, max(map(len, names), default=0)),
        "outcomes": sorted({case["outcome"] for case in cases}),
        "labels": sorted({case["label"] for case in cases if case["label"]}),
        "predicted": sorted({case["predicted"] for case in cases if case["predicted"]}),
        "trust": [
            words for words in TRUST_WORDS.values() if words in {case["trust"] for case in cases}
        ],
        "flags": {name: words for name, words in FLAG_WORDS.items() if name in raised},
    }


def _index_row(record: CaseRecord, has_documents: bool) -> View:
    """One row; `*_key` is what it is sorted by, below every number where there is none."""
    prediction, folder = record.prediction, f"cases/{quote(record.case_id, safe='')}"
    first = record.maps[0] if record.maps else None
    radiograph = record.pictures.get("radiograph")
    thumbnail = record.pictures.get(first.key) if first else None
    focus = record.focus.get(first.key) if first else None
    high_focus = focus.high_focus_fraction if focus else None
    is_correct = prediction.is_correct if prediction else None
    trust = record.trust.state if record.trust else "none"
    flags = [flag.name for flag in record.flags]
    return {
        "case_id": record.case_id,
        "outcome": (record.outcome or STATUS_WORDS[record.status]).replace("_", " "),
        "reason": sentence(said(record.reason)) or "",
        "label": record.label or (prediction.expected if prediction else None) or "",
        "predicted": prediction.predicted if prediction else "",
        "agrees": {True: "same", False: "differs", None: ""}[is_correct],
        "note": "differs from the label"
        if is_correct is False and record.outcome not in ERRORS
        else "",
        "score": score(prediction.probability) if prediction else "",
        "logit": number(prediction.logit) if prediction else "",
        "score_key": _score_key(prediction),
        "map": MAP_STATES[first.status][1] if first and first.status != "ok" else "",
        "high_focus": "" if high_focus is None else percent(high_focus),
        "high_focus_key": -1 if high_focus is None else high_focus,
        "band": (focus.focus_band or "") if focus else "",
        **_in_lungs(record),
        "trust": TRUST_WORDS[trust] if prediction else "",
        "trust_key": list(TRUST_WORDS).index(trust),
        "radiograph": f"{folder}/{quote(radiograph)}" if radiograph else None,
        "thumbnail": f"{folder}/{quote(found)}" if (found := thumbnail or radiograph) else None,
        "pdf": f"{folder}/report.pdf" if has_documents else None,
        "json": f"{folder}/case.json",
        "num_cautions": len(cautions(record)),
        "flags": [FLAG_WORDS[name] for name in flags],
        "flag_names": " ".join(flags),
    }


def _score_key(prediction: Prediction | None) -> float | str:
    """The logit, which two outputs that are 1 to the last bit still differ by; with more classes it is not alone in
    what makes the output."""
    if prediction is None:
        return "-Infinity"
    return prediction.logit if len(prediction.class_scores) <= 2 else prediction.probability


def _in_lungs(record: CaseRecord) -> View:
    """The first map's share of evidence in the lungs, and its ratio to their share of the area, the key."""
    kinds = {region.name: region.kind for region in record.regions}
    found = record.region_focus.get(record.maps[0].key, ()) if record.maps else ()
    one = next((one for one in found if kinds[one.region] == "lungs"), None)
    share, ratio = (one.relevance_mass_accuracy, one.enrichment) if one else (None, None)
    return {
        "lungs": "" if share is None else percent(share),
        "lungs_ratio": "" if ratio is None else f"{score(ratio)} {TIMES}",
        "lungs_key": -1 if ratio is None else ratio,
        "lungs_missing": bool(record.lungs_missing),
    }

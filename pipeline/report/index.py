"""CaseRecords, RunRecord -> the plain words and finished numbers that `index.html.j2` sets."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from pipeline.records import CaseRecord, RunRecord
from pipeline.report.view import cautions, run_facts, scale_view, unit
from pipeline.report.words import BANNER, MAP_STATES, STATUS_WORDS, View, percent, score, sentence


def index_view(records: Sequence[CaseRecord], run: RunRecord) -> View:
    """Everything that `index.html.j2` prints; links are relative to the run folder."""
    has_documents = bool(run.config.get("report", {}).get("documents", True))
    cases = [_index_row(record, has_documents) for record in records]
    counts: dict[str, int] = {}
    for record in records:
        counts[record.status] = counts.get(record.status, 0) + 1
    correct = [r.prediction.is_correct for r in records if r.prediction and r.prediction.is_correct is not None]
    return {
        "banner": BANNER,
        "run": run_facts(run),
        "scale": scale_view(run),
        "unit": next((unit(record.maps[0]) for record in records if record.maps), None),
        "cases": cases,
        "num_cases": len(cases),
        "counts": [(STATUS_WORDS[status], counts.get(status, 0)) for status in ("ok", "excluded", "failed")],
        "agreement": f"{sum(correct)} of {len(correct)}" if correct else None,
        "statuses": sorted({case["status"] for case in cases}),
        "labels": sorted({case["label"] for case in cases if case["label"]}),
        "predicted": sorted({case["predicted"] for case in cases if case["predicted"]}),
        "flags": sorted({name for case in cases for name in case["flags"].split()}),
    }


def _index_row(record: CaseRecord, has_documents: bool) -> View:
    prediction, folder = record.prediction, f"cases/{quote(record.case_id, safe='')}"
    key = record.maps[0].key if record.maps else ""
    radiograph = record.pictures.get("radiograph")
    thumbnail = record.pictures.get(key) or radiograph
    focus = record.focus.get(key)
    is_correct = prediction.is_correct if prediction else None
    return {
        "case_id": record.case_id,
        "status": STATUS_WORDS[record.status],
        "reason": sentence(record.reason) or "",
        "label": record.label or (prediction.expected if prediction else None) or "",
        "predicted": prediction.predicted if prediction else "",
        "agrees": {True: "same", False: "differs", None: ""}[is_correct],
        "score": score(prediction.probability) if prediction else "",
        "score_key": f"{prediction.probability:.6f}" if prediction else "-1",
        "target": prediction.target_class if prediction else "",
        "map": MAP_STATES[record.maps[0].status][1] if record.maps else "",
        "high_focus": percent(focus.high_focus_fraction) if focus and focus.high_focus_fraction is not None else "",
        "high_focus_key": f"{focus.high_focus_fraction:.6f}"
        if focus and focus.high_focus_fraction is not None
        else "-1",
        "band": (focus.focus_band or "") if focus else "",
        "radiograph": f"{folder}/{quote(radiograph)}" if radiograph else None,
        "thumbnail": f"{folder}/{quote(thumbnail)}" if thumbnail else None,
        "pdf": f"{folder}/report.pdf" if has_documents else None,
        "json": f"{folder}/case.json",
        "num_warnings": len(cautions(record)),
        "flags": " ".join(flag.name for flag in record.flags),
    }

"""CaseRecords -> `cases.csv`: one row a case, failed and excluded ones included."""

from __future__ import annotations

from typing import Any

from pipeline.cohort.cases import case_values
from pipeline.records import CaseRecord, MapFacts


def cases_table(records: list[CaseRecord]) -> str:
    """`cases.csv`: one row a case, failed ones included; empty = undefined. Metrics are of the first map."""
    import pandas as pd

    rows = []
    for record in records:
        prediction, first = record.prediction, record.maps[0] if record.maps else None
        row: dict[str, Any] = {"case_id": record.case_id, "status": record.status, "reason": record.reason}
        row |= {"error": record.error, "label": record.label}
        row["quality"] = ";".join(check.name for check in record.quality if check.state == "failed") or None
        for name in ("predicted", "target_class", "logit", "probability", "threshold", "is_correct"):
            row[name] = getattr(prediction, name, None)
        for name in ("method", "layer", "status"):
            row[f"map_{name}"] = getattr(first, name, None)
        row["trust_state"] = getattr(record.trust, "state", None)
        row |= case_values(record)[0]
        row |= _region_columns(record, first)
        row |= {f"exposure_{name}_change": record.exposure.get(name) for name in ("darker", "brighter")}
        row |= _as_usual_columns(record)
        row["flags"] = " ".join(flag.name for flag in record.flags) if record.status == "ok" else None
        row["file_sha256"] = record.file_sha256
        rows.append(row)
    return str(pd.DataFrame(rows, dtype=object).to_csv(index=False, lineterminator="\n"))


def _as_usual_columns(record: CaseRecord) -> dict[str, float | None]:
    """What a marker (of several the one that changes most) and the border, as usual in the run, change."""
    of_markers = [change for name, change in record.as_usual.items() if name != "border"]
    return {
        "as_usual_marker_change": max(of_markers, key=abs, default=None),
        "as_usual_border_change": record.as_usual.get("border"),
    }


def _region_columns(record: CaseRecord, first: MapFacts | None) -> dict[str, Any]:
    """Of the first map: why no lungs were found; the number of markers and the largest share at one of them."""
    kinds = {region.name: region.kind for region in record.regions}
    found = record.region_focus.get(first.key, ()) if first else ()
    at_markers = [one.relevance_mass_accuracy for one in found if kinds[one.region] == "marker"]
    return {
        "lungs_missing": record.lungs_missing,
        "annotation_missing": record.annotation_missing,
        "num_markers": len(at_markers) if record.regions and not record.markers_missing else None,
        "marker_relevance_mass_accuracy": max((share for share in at_markers if share is not None), default=None),
    }

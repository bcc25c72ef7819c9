"""CaseRecords -> `cases.csv`: one row a case, failed and excluded ones included; and `cases.csv-metadata.json`.

The second says of every column of the first what it is: CSV on the Web, where a program that knows it looks (W3C,
Metadata Vocabulary for Tabular Data, 2015, and Model for Tabular Data, 5.3). A value without its column is an error.

Names of classes and layers are a model's. One that a spreadsheet would run as a formula gets a ' before it (CWE-1236;
OWASP, CSV Injection); what it would show as it stands, such as -1, and every number stays as it is.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from cxr_audit.cohort.cases import case_values
from cxr_audit.glossary import OF_CASE, OF_MAP, OF_MASKING, OF_OUTPUT, OF_REGION, Term
from cxr_audit.records import CaseRecord, MapFacts

COLUMNS: dict[str, Term] = {
    "case_id": Term("case", "pseudonym, and the name of its folder in cases/", "string"),
    "status": Term("status", "ok (audited), excluded or failed", "string"),
    "reason": Term("reason", "why it was not audited, in words", "string"),
    "error": Term("kind of error", "the error's name, where it failed by one", "string"),
    "label": Term(
        "label", "the reference label, as the source of the radiographs has it", "string"
    ),
    "quality": Term("failed checks of the input", "names, with ; between", "string"),
    **OF_OUTPUT,
    "map_method": Term("method of the first map", "columns on evidence are of this map", "string"),
    "map_layer": Term("layer of the first map", "by its name in the model", "string"),
    "map_status": Term(
        "state of the first map", "ok, dead, negative_only, saturated or not_finite", "string"
    ),
    "trust_state": Term("trust in the map", "passed, caution or not_interpretable", "string"),
    **OF_MAP,
    **OF_CASE,
    **OF_REGION,
    **OF_MASKING,
    "lungs_missing": Term("why no lungs were found", "in words", "string"),
    "annotation_missing": Term("why the annotation was not used", "in words", "string"),
    "num_markers": Term("markers", "letters and other opaque objects that were found", "integer"),
    "marker_relevance_mass_accuracy": Term(
        "evidence at a marker",
        "share of the positive evidence, 0 to 1; of several markers the largest",
    ),
    "exposure_darker_change": Term(
        "change of the logit made darker", "all by a tenth of the grey range, log-odds"
    ),
    "exposure_brighter_change": Term(
        "change of the logit made brighter", "all by a tenth of the grey range, log-odds"
    ),
    "as_usual_marker_change": Term(
        "change of the logit with a marker as usual",
        "the run's mean radiograph there, log-odds; of several the largest",
    ),
    "as_usual_border_change": Term(
        "change of the logit with the border as usual", "the run's mean radiograph there, log-odds"
    ),
    "flags": Term("flags", "names of the flags raised, with a space between", "string"),
    "file_sha256": Term("SHA-256 of the file", "as it was read, hexadecimal", "string"),
}
LISTS = {"quality": ";", "flags": " "}
FORMULA = re.compile("[=@\uff1d\uff20\uff0b\uff0d\ufeff\t\n\0]|[+-](?![0-9.]*\\Z)")


def cases_table(records: Sequence[CaseRecord]) -> str:
    """`cases.csv`: one row a case, failed ones included; empty = undefined. Metrics are of the first map."""
    import pandas as pd

    rows = [{name: _inert(value) for name, value in _row(record).items()} for record in records]
    if unknown := {name for row in rows for name in row} - COLUMNS.keys():
        raise ValueError(f"no column is described for {', '.join(sorted(unknown))}")
    return str(
        pd.DataFrame(rows, columns=list(COLUMNS), dtype=object).to_csv(
            index=False, lineterminator="\n"
        )
    )


def cases_metadata() -> str:
    """`cases.csv-metadata.json`: name, meaning and type of every column."""
    columns = [
        {
            "name": name,
            "titles": name,
            "dc:title": term.title,
            "dc:description": term.meaning,
            "datatype": {"base": "boolean", "format": "True|False"}
            if term.datatype == "boolean"
            else term.datatype,
            **({"separator": LISTS[name]} if name in LISTS else {}),
        }
        for name, term in COLUMNS.items()
    ]
    table = {
        "@context": "http://www.w3.org/ns/csvw",
        "url": "cases.csv",
        "dc:title": "Cases of an audit run",
        "dc:description": "One row a case. Empty: undefined (case.json has the reason), or nothing to name. "
        "Text that a spreadsheet would run as a formula has ' before it (case.json has it without).",
        "null": "",
        "tableSchema": {"columns": columns, "primaryKey": "case_id"},
    }
    return json.dumps(table, indent=2, ensure_ascii=False) + "\n"


def _row(record: CaseRecord) -> dict[str, Any]:
    prediction, first = record.prediction, record.maps[0] if record.maps else None
    return {
        **{
            name: getattr(record, name)
            for name in ("case_id", "status", "reason", "error", "label", "file_sha256")
        },
        "quality": LISTS["quality"].join(
            check.name for check in record.quality if check.state == "failed"
        ),
        **{name: getattr(prediction, name, None) for name in OF_OUTPUT},
        "outcome": record.outcome,
        **{f"map_{name}": getattr(first, name, None) for name in ("method", "layer", "status")},
        "trust_state": getattr(record.trust, "state", None),
        **case_values(record)[0],
        **_region_columns(record, first),
        **{f"exposure_{name}_change": record.exposure.get(name) for name in ("darker", "brighter")},
        **_as_usual_columns(record),
        "flags": LISTS["flags"].join(flag.name for flag in record.flags),
    }


def _inert(value: Any) -> Any:
    """As a cell that is one row's and no formula: pandas does not quote a carriage return, which would end the row."""
    if not isinstance(value, str):
        return value
    return ("'" if FORMULA.match(value) else "") + value.replace("\r", "\\r")


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
        "marker_relevance_mass_accuracy": max(
            (share for share in at_markers if share is not None), default=None
        ),
    }

"""Cases -> `cases.csv`, one row a case, stopped ones included; and `cases.csv-metadata.json`.

The second describes every column of the first: CSV on the Web, where a program that knows it
looks (W3C, Metadata Vocabulary for Tabular Data, 2015, and Model for Tabular Data, 5.3). A value
without its column is an error.

Names of classes and layers come from the model. One that a spreadsheet would run as a formula
gets a ' before it (CWE-1236; OWASP, CSV Injection); what it would show as it stands, such as -1,
and every number stays as it is.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from cxr_audit.cohort.cases import case_values
from cxr_audit.cohort.columns import marker_change
from cxr_audit.records import AuditedCase, CaseRecord, Check
from cxr_audit.vocabulary.names import Column, of_flags, of_map, of_masking, of_regions

OF_PREDICTION = {
    "predicted": Column(
        "predicted class", "The class by the threshold, or by the highest score.", "string"
    ),
    "target_class": Column(
        "explained class", "The class of the logit, the model output and the maps.", "string"
    ),
    "logit": Column("logit", "The explained scalar, log-odds."),
    "probability": Column("model output", "For the explained class, 0 to 1."),
    "threshold": Column("threshold", "Of the model output; empty where the highest score decides."),
    "is_correct": Column(
        "agrees with the label", "Whether the predicted class is the expected one.", "boolean"
    ),
}
BEFORE_VALUES = {
    "case_id": Column("case", "Pseudonym, and the name of its folder in cases/.", "string"),
    "status": Column("status", "ok (audited), excluded or failed.", "string"),
    "reason": Column("reason", "Why the case was not audited, in English.", "string"),
    "error": Column("kind of error", "The error's name, where the case failed by one.", "string"),
    "label": Column(
        "label", "The reference label, as the source of the radiographs has it.", "string"
    ),
    "quality": Column("failed checks of the input", "Keys of the checks, separated by ;", "string"),
    **OF_PREDICTION,
    "outcome": Column(
        "outcome",
        "Of the explained class against all others: true_positive, false_positive, true_negative "
        "or false_negative.",
        "string",
    ),
    "map_method": Column(
        "method of the first map", "Columns on evidence are of this map.", "string"
    ),
    "map_layer": Column("layer of the first map", "By its name in the model.", "string"),
    "map_status": Column(
        "state of the first map", "ok, dead, negative_only, saturated or not_finite.", "string"
    ),
    "trust_state": Column("trust in the map", "passed, caution or not_interpretable.", "string"),
}
TRUST_PASSED = Column("trust state passed", "Whether trust_state is passed.", "boolean")
AFTER_VALUES = {
    "lungs_missing": Column("why no lungs were found", "In English.", "string"),
    "annotation_missing": Column("why the annotation was not used", "In English.", "string"),
    "num_markers": Column("markers", "Letters and other opaque objects found.", "integer"),
    "marker_relevance_mass_accuracy": Column(
        "evidence at a marker",
        "Share of the positive evidence, 0 to 1; of several markers the largest.",
    ),
    "exposure_darker_change": Column(
        "change of the logit, darker image", "All pixels darker by a tenth of the range, log-odds."
    ),
    "exposure_brighter_change": Column(
        "change of the logit, brighter image",
        "All pixels brighter by a tenth of the range, log-odds.",
    ),
    "mean_replaced_marker_change": Column(
        "change of the logit with a marker replaced",
        "By the run's mean radiograph, log-odds; of several markers the largest. Runs of schema 2 "
        "and older call this column as_usual_marker_change.",
    ),
    "mean_replaced_border_change": Column(
        "change of the logit with the border replaced",
        "By the run's mean radiograph, log-odds. Runs of schema 2 and older call this column "
        "as_usual_border_change.",
    ),
    "flags": Column("flags", "Keys of the flags raised, separated by a space.", "string"),
    "file_hmac": Column(
        "keyed hash of the file",
        "HMAC-SHA-256 of the file's SHA-256 with the key of the case ids, hexadecimal. Runs of schema "
        "2 and older have the plain hash in file_sha256.",
        "string",
    ),
}
LISTS = {"quality": ";", "flags": " "}
FORMULA = re.compile("[=@\uff1d\uff20\uff0b\uff0d\ufeff\t\n\0]|[+-](?![0-9.]*\\Z)")


def columns() -> dict[str, Column]:
    """Every column of `cases.csv` in order, also those of rows that other packages have added."""
    values = of_map() | {"trust_passed": TRUST_PASSED} | of_flags() | of_regions() | of_masking()
    return BEFORE_VALUES | values | AFTER_VALUES


def cases_table(records: Iterable[CaseRecord]) -> str:
    """`cases.csv`: one row a case, stopped ones included; empty = undefined."""
    return "".join(table_lines(records))


def table_lines(records: Iterable[CaseRecord]) -> Iterator[str]:
    """The lines of `cases.csv`, each with its line end; a cell may hold further ones.

    Raises
    ------
    ValueError : a value without its column.
    """
    described = columns()
    yield _line(list(described))
    for record in records:
        row = _row(record)
        unknown = row.keys() - described.keys()
        if unknown:
            raise ValueError(f"no column is described for {', '.join(sorted(unknown))}")
        yield _line([_inert(row.get(name)) for name in described])


def cases_metadata() -> str:
    """`cases.csv-metadata.json`: name, meaning and type of every column."""
    described = [_described(name, column) for name, column in columns().items()]
    table = {
        "@context": "http://www.w3.org/ns/csvw",
        "url": "cases.csv",
        "dc:title": "Cases of an audit run",
        "dc:description": "One row a case. Empty: undefined (case.json has the reason), or nothing "
        "to name. Text that a spreadsheet would run as a formula has ' before it (case.json has it "
        "without).",
        "null": "",
        "tableSchema": {"columns": described, "primaryKey": "case_id"},
    }
    return json.dumps(table, indent=2, ensure_ascii=False) + "\n"


def _described(name: str, column: Column) -> dict[str, Any]:
    datatype: Any = column.datatype
    if datatype == "boolean":
        datatype = {"base": "boolean", "format": "True|False"}
    described = {
        "name": name,
        "titles": name,
        "dc:title": column.label[:1].upper() + column.label[1:],
        "dc:description": column.definition,
        "datatype": datatype,
    }
    return described | ({"separator": LISTS[name]} if name in LISTS else {})


def _line(cells: Sequence[Any]) -> str:
    line = io.StringIO(newline="")
    csv.writer(line, lineterminator="\n").writerow(cells)
    return line.getvalue()


def _row(case: CaseRecord) -> dict[str, Any]:
    row: dict[str, Any] = {
        "case_id": case.case_id,
        "status": case.status,
        "label": case.label,
        "file_hmac": case.hashes.file_hmac,
        "quality": _failed(case.quality),
    }
    if isinstance(case, AuditedCase):
        return row | _audited(case) | case_values(case)[0]
    return row | {"reason": str(case.reason), "error": case.error}


def _failed(checks: Sequence[Check]) -> str:
    return LISTS["quality"].join(check.name for check in checks if check.state == "failed")


def _audited(case: AuditedCase) -> dict[str, Any]:
    """The columns of an audited case beside its values."""
    exposure, facts = case.probes.exposure, None
    if case.first_map is not None:
        facts = case.first_map.facts
    missing = case.regions.missing
    return {
        **{name: getattr(case.prediction, name) for name in OF_PREDICTION},
        "outcome": case.outcome,
        "map_method": None if facts is None else facts.method,
        "map_layer": None if facts is None else facts.layer,
        "map_status": None if facts is None else facts.status,
        "trust_state": None if case.trust is None else case.trust.state,
        "lungs_missing": _text(missing.get("lungs")),
        "annotation_missing": _text(missing.get("annotation")),
        "num_markers": _num_markers(case),
        "marker_relevance_mass_accuracy": _at_markers(case),
        "exposure_darker_change": exposure.get("darker"),
        "exposure_brighter_change": exposure.get("brighter"),
        "mean_replaced_marker_change": marker_change(case),
        "mean_replaced_border_change": case.probes.mean_replaced.get("border"),
        "flags": LISTS["flags"].join(case.flags.names),
    }


def _text(reason: Any) -> str | None:
    return None if reason is None else str(reason)


def _num_markers(case: AuditedCase) -> int | None:
    """None where markers were not looked for."""
    if not case.regions.found or "marker" in case.regions.missing:
        return None
    return len(case.regions.of_kind("marker"))


def _at_markers(case: AuditedCase) -> float | None:
    """The largest share of the first map's evidence at a marker."""
    shares: list[float] = []
    for region in case.regions.of_kind("marker"):
        measured = case.first_map and case.first_map.in_regions.get(region.name)
        share = measured.number("relevance_mass_accuracy") if measured else None
        if share is not None:
            shares.append(share)
    return max(shares, default=None)


def _inert(value: Any) -> Any:
    """A value as a cell that is no formula and stays in its row.

    The CSV writer does not quote a carriage return, which would end the row.
    """
    if not isinstance(value, str):
        return value
    return ("'" if FORMULA.match(value) else "") + value.replace("\r", "\\r")

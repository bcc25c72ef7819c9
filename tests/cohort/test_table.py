"""`cases.csv`: what stands in it, and that its metadata says so of every column."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import pytest
from cxr_audit.cohort import cases_metadata, cases_table, table
from cxr_audit.records import Check, Flag, FlagsRecord, Probes, Trust

from tests.cohort.cases import a_case, a_failure

TYPES = {
    "number": float,
    "integer": int,
    "boolean": {"True": True, "False": False}.__getitem__,
    "string": str,
}
RECORDS = [
    replace(
        a_case("a", 'P, "left"\nlung', 0.75),
        flags=FlagsRecord((Flag("marker", "why"), Flag("border", "why"))),
        quality=(Check("blank", "failed", reason="r"), Check("age", "failed", reason="r")),
        trust=Trust("passed", (), ()),
        probes=Probes(
            exposure={"darker": 0.5, "brighter": -0.25},
            mean_replaced={"text 1": 0.1, "letter 1": -0.75, "border": 0.25},
        ),
    ),
    a_case("b", "N", 0.9),
    a_failure("NA", "N"),
]


def rows() -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(cases_table(RECORDS), newline="")))


def columns() -> dict[str, dict[str, Any]]:
    return {
        column["name"]: column for column in json.loads(cases_metadata())["tableSchema"]["columns"]
    }


def test_every_column_is_described_and_holds_what_it_says() -> None:
    described = columns()
    assert list(rows()[0]) == list(described)
    assert all(column["dc:title"] and column["dc:description"] for column in described.values())
    for row in rows():
        for name, text in row.items():
            kind = described[name]["datatype"]
            TYPES[kind if isinstance(kind, str) else kind["base"]](text) if text else None


def test_a_value_without_its_column_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {name: column for name, column in table.columns().items() if name != "threshold"}
    monkeypatch.setattr(table, "columns", lambda: known)
    with pytest.raises(ValueError, match="described for threshold"):
        cases_table(RECORDS)


def test_what_a_row_says() -> None:
    one, wrong, failed = rows()
    assert (one["label"], one["outcome"], one["probability"]) == ('P, "left"\nlung', "", "0.75")
    assert (one["flags"], one["quality"]) == ("marker border", "blank;age")
    assert (one["flag_marker"], one["flag_diffuse"], one["trust_passed"], one["trust_state"]) == (
        *("True", "False", "True", "passed"),
    )
    assert (one["lungs_enrichment"], one["exposure_darker_change"], one["num_components"]) == (
        "2.0",
        "0.5",
        "1",
    )
    assert (one["mean_replaced_marker_change"], one["mean_replaced_border_change"]) == (
        "-0.75",
        "0.25",
    )
    assert (wrong["outcome"], wrong["is_correct"]) == ("false_positive", "False")
    assert {name for name, text in failed.items() if text} == {
        "case_id",
        "status",
        "reason",
        "error",
        "label",
    }


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("+cmd|' /C calc'!A0", "'+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"),
        ("-A1\n=1", "'-A1\n=1"),
        ("\t=1", "'\t=1"),
        ("conv\r=1", "conv\\r=1"),
        ("+ve", "'+ve"),
        ("-A1", "'-A1"),
        ("\uff1d1+1", "'\uff1d1+1"),
        *((text, text) for text in ("-", "-0.5", "+1", "no =1", "a-b", "'x", "")),
        *((number, str(number)) for number in (-0.5, -7, -1e-9)),
    ],
)
def test_no_column_has_a_formula_and_all_else_stays(
    monkeypatch: pytest.MonkeyPatch, text: str | float, cell: str
) -> None:
    """CWE-1236: whatever a column may carry one day."""
    monkeypatch.setattr(table, "_row", lambda record: dict.fromkeys(columns(), text))
    (row,) = csv.DictReader(io.StringIO(cases_table(RECORDS[:1]), newline="\n"))
    assert row == dict.fromkeys(columns(), cell)


def test_the_table_of_no_cases_has_its_columns() -> None:
    assert cases_table([]) == ",".join(columns()) + "\n"

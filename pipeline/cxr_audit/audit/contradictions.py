"""A sealed run -> where its tables and documents contradict its records.

A seal shows changes after it was made, not who made it: it needs no secret. Whoever edits a table
and seals the folder again leaves a seal that fits. Tables and attachments follow from the
records, so they are made again here and compared.

Another version of the code may make a table with other columns or in another way. Where other
code made the run only what both have is compared, and a difference is called "not confirmed", not
"forged".
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from cxr_audit import cohort, evidence
from cxr_audit.audit.finish import RecordsOnDisk
from cxr_audit.audit.json_differences import differences, short
from cxr_audit.config import measured_by
from cxr_audit.evidence import Problem, RunFolder
from cxr_audit.evidence.folder import Difference
from cxr_audit.records import CaseRecord, RunRecord, to_json

MOST_NAMED = 5  # differences of a table that are named; the rest is counted
# What of `cohort.json` does not depend on which cases are of one patient.
WITHOUT_PATIENTS = (
    "target_class",
    "outcomes",
    "false_positives",
    "false_negatives",
    "distributions",
)


def contradictions(
    folder: RunFolder, run: RunRecord, records: RecordsOnDisk, is_same_code: bool
) -> Iterator[Problem]:
    """Every place where the run contradicts its records.

    Parameters
    ----------
    folder : a sealed run whose files and chain are unchanged.
    run : its `run.json`.
    records : of its cases, in the order of `cases.csv`.
    is_same_code : whether the code that runs here made the run.
    """
    yield from _of_run(run, records)
    named = zip(records.case_ids, records, strict=True)
    if any(record.case_id != case_id for case_id, record in named):
        return  # every table would be another, for this one reason
    in_table = _cases_table(folder, records, is_same_code)
    yield from _limited("cases.csv", in_table, is_same_code)
    in_cohort = _cohort(folder, run, records, is_same_code)
    yield from _limited("cohort.json", in_cohort, is_same_code)
    yield from _limited("readers.json", _readers(folder, records), is_same_code)
    yield from _of_attachments(folder, run)


def _of_run(run: RunRecord, records: RecordsOnDisk) -> Iterator[Problem]:
    for case_id, record in zip(records.case_ids, records, strict=True):
        if record.case_id != case_id:
            why = f"it is the record of case {record.case_id}"
            yield Problem("forged", f"cases/{case_id}/case.json", why)
    counts = Counter(record.status for record in records)
    stated = {status: number for status, number in run.cases.counts.items() if number}
    if run.cases.counts and stated != dict(counts):
        yield Problem("forged", "run.json", f"it counts {stated}, the records {dict(counts)}")
    if run.cases.num_cases != len(records):
        why = f"it counts {run.cases.num_cases} cases, there are {len(records)} records"
        yield Problem("forged", "run.json", why)


def _cases_table(
    folder: RunFolder, records: Sequence[CaseRecord], is_same_code: bool
) -> Iterator[str]:
    """Where `cases.csv` differs from the table of the records, by case and column."""
    path = folder.path / "cases.csv"
    text = path.read_text("utf-8") if path.is_file() else ""
    own_text = cohort.cases_table(records)
    if text == own_text:
        return
    rows, own_rows = _rows(text), _rows(own_text)
    for case_id in own_rows.keys() - rows.keys():
        yield f"case {case_id} is missing"
    for case_id in rows.keys() - own_rows.keys():
        yield f"case {case_id} has no record"
    is_explained = rows.keys() != own_rows.keys()
    for case_id in [name for name in rows if name in own_rows]:
        row, own = rows[case_id], own_rows[case_id]
        for column in [name for name in row if name in own]:
            if row[column] != own[column]:
                is_explained = True
                yield f"case {case_id}, {column}: {row[column]!r}, its record gives {own[column]!r}"
    if is_same_code and not is_explained:
        yield "its columns, their order or the form of the file are not those of the records"


def _rows(table: str) -> dict[str, dict[str, str]]:
    """The rows of a table by the id of their case."""
    return {row.get("case_id", ""): row for row in csv.DictReader(io.StringIO(table, newline=""))}


def _cohort(
    folder: RunFolder, run: RunRecord, records: Sequence[CaseRecord], is_same_code: bool
) -> Iterator[str]:
    """Where `cohort.json` differs from what the records give; only `private/` knows patients."""
    standing = folder.read_cohort()
    if standing is None:
        return
    sources = evidence.read_crosswalk(folder)
    described = cohort.describe(
        records, sources, *measured_by(run.config), run.seed, run.calibration.checks
    )
    stated, own = json.loads(to_json(standing)), json.loads(to_json(described))
    if not sources:
        stated, own = _without_patients(stated), _without_patients(own)
    for place, left, right in differences(stated, own):
        if place == "schema_version":
            continue
        if is_same_code or (left is not None and right is not None):
            yield f"{place}: {short(left)}, the records give {short(right)}"


def _readers(folder: RunFolder, records: Sequence[CaseRecord]) -> Iterator[str]:
    """Where the figures of `readers.json` do not follow from its answers and the records."""
    standing = folder.read_readers()
    if standing is None:
        return
    own = cohort.summarise_readers(standing.answers, records, standing.files, standing.num_comments)
    for place, left, right in differences(json.loads(to_json(standing)), json.loads(to_json(own))):
        yield f"{place}: {short(left)}, its answers give {short(right)}"


def _without_patients(content: dict[str, Any]) -> dict[str, Any]:
    kept = {key: content.get(key) for key in WITHOUT_PATIENTS}
    for key in ("statuses", "unlabelled"):
        kept[key] = content["cases"].get(key)
    for group in ("metrics", "hit_rates"):
        values = content.get(group) or {}
        kept[group] = {key: estimate["value"] for key, estimate in values.items()}
    return kept


def _of_attachments(folder: RunFolder, run: RunRecord) -> Iterator[Problem]:
    """Compare what each PDF carries with the file that it is a copy of."""
    config = to_json(run.config)
    for case_id in folder.case_ids():
        where = folder.case(case_id)
        path = where / "report.pdf"
        if path.is_file():
            copies = {"case.json": where / "case.json", "map.npz": where / "map.npz"}
            yield from _of_pdf(path, f"cases/{case_id}/report.pdf", copies, config)
    path = folder.path / "summary.pdf"
    if path.is_file():
        copies = {name: folder.path / name for name in ("cohort.json", "annexes.pdf")}
        yield from _of_pdf(path, "summary.pdf", copies, config)


def _of_pdf(path: Path, name: str, copies: dict[str, Path], config: bytes) -> Iterator[Problem]:
    try:
        in_pdf = PdfReader(path).attachments
        contents = {key: list(values) for key, values in in_pdf.items()}
    except (PyPdfError, OSError, ValueError, KeyError) as error:
        yield Problem("forged", name, f"its attachments cannot be read: {error}")
        return
    expected = {key: copy.read_bytes() for key, copy in copies.items() if copy.is_file()}
    for key, data in expected.items():
        if key not in contents:
            yield Problem("forged", name, f"it does not carry {key}")
        elif not all(_is_same(key, data, attached) for attached in contents[key]):
            yield Problem("forged", name, f"the {key} that it carries is not the one beside it")
    stated = contents.get("config.json", [config])
    if not all(_is_same("config.json", config, attached) for attached in stated):
        yield Problem("forged", name, "the config.json that it carries is not the one of run.json")


def _is_same(name: str, data: bytes, attached: bytes) -> bool:
    """The same bytes, or JSON with the same content: 4 and 4.0 are the same number."""
    if data == attached:
        return True
    try:
        return name.endswith(".json") and json.loads(data) == json.loads(attached)
    except ValueError:
        return False


def _limited(name: str, whys: Iterator[str], is_same_code: bool) -> Iterator[Problem]:
    """The first differences as problems, and one that counts the others."""
    kind: Difference = "forged" if is_same_code else "not confirmed"
    all_whys = list(whys)
    for why in all_whys[:MOST_NAMED]:
        yield Problem(kind, name, why)
    if len(all_whys) > MOST_NAMED:
        yield Problem(kind, name, f"and {len(all_whys) - MOST_NAMED} more differences")

"""A run -> blinded sheets for readers; their answers -> the evidence."""

from __future__ import annotations

import csv
import hashlib
import io
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from cxr_audit import cohort, evidence
from cxr_audit.audit.document import renderer
from cxr_audit.audit.finish import finish_run, records_of, require_unchanged_records
from cxr_audit.audit.installed import installed_code
from cxr_audit.errors import ConfigError
from cxr_audit.evidence import EventLog, RunFolder
from cxr_audit.records import (
    ANSWER_COLUMNS,
    CANNOT_SAY,
    AuditedCase,
    ReaderAnswer,
    ReadersRecord,
    audited,
    to_json,
)

READING, RESULTS, ANSWERS = "1-reading.pdf", "2-results.pdf", "answers.csv"
GIVEN = ("reading", "agreement", "location")
CHOICES = {
    "agreement": ("agree", "disagree", "cannot_say"),
    "location": ("plausible", "not_plausible"),
}
SPREADSHEET = "do not open it in a program that changes case ids into numbers"


def write_worklist(path: Path, output: Path, num_cases: int) -> list[Path]:
    """Sheets for readers: plain radiographs first, results after, and a table for the answers.

    Parameters
    ----------
    path : a finished run.
    output : a folder for the three files; none of them may exist.
    num_cases : so many cases, chosen at random by the seed of the run.

    Raises
    ------
    ConfigError : the run has not finished, has no audited case, or a file exists.
    """
    folder = _finished(path)
    run, cases = folder.read_run(), audited(records_of(folder))
    if not cases:
        raise ConfigError(f"{path} has no audited case", "a reader can read audited cases only")
    chosen = random.Random(run.seed).sample(cases, min(num_cases, len(cases)))
    files = [output / name for name in (READING, RESULTS, ANSWERS)]
    standing = [str(file) for file in files if file.exists()]
    if standing:
        raise ConfigError(f"{', '.join(standing)} exists already", "give another --output")
    documents = renderer(None)
    evidence.write(files[0], documents.worklist_pdf("reading", chosen, run, folder.cases))
    evidence.write(files[1], documents.worklist_pdf("results", chosen, run, folder.cases))
    evidence.write(files[2], _template(chosen).encode())
    return files


def _template(cases: Iterable[AuditedCase]) -> str:
    table = io.StringIO(newline="")
    writer = csv.writer(table)
    writer.writerow(ANSWER_COLUMNS)
    writer.writerows([case.case_id, *[""] * (len(ANSWER_COLUMNS) - 1)] for case in cases)
    return table.getvalue()


# ---- answers


@dataclass(frozen=True, slots=True)
class AnswerFile:
    """The answers of one file.

    Parameters
    ----------
    sha256 : of the file.
    answers : those that say anything.
    num_comments : comments, which stay in the file.
    """

    sha256: str
    answers: tuple[ReaderAnswer, ...]
    num_comments: int


def join_answers(path: Path, files: Sequence[Path]) -> ReadersRecord:
    """Join the answers of readers to a run, write its report and index again, and seal it.

    Answers that were joined before stay. A signature of the run is removed.

    Parameters
    ----------
    path : a finished run.
    files : CSV with `ANSWER_COLUMNS`, or sheets whose fields were filled in.

    Raises
    ------
    ConfigError : a file cannot be read, names a case or a class that the run does not have, or
        contradicts an answer of the same reader.
    VerificationError : the records of the run were changed.
    """
    folder = _finished(path)
    require_unchanged_records(folder)
    run, records = folder.read_run(), records_of(folder)
    classes = {case.case_id: tuple(case.prediction.class_scores) for case in audited(records)}
    standing = folder.read_readers() or ReadersRecord((), (), ())
    read = [_read(file, classes) for file in files]
    new = [one for one in read if one.sha256 not in standing.files]
    merged = {(answer.case_id, answer.reader): answer for answer in standing.answers}
    for one in new:
        for answer in one.answers:
            key = answer.case_id, answer.reader
            merged[key] = _merged(merged.get(key), answer)
    num_comments = standing.num_comments + sum(one.num_comments for one in new)
    sums = (*standing.files, *(one.sha256 for one in new))
    record = cohort.summarise_readers(merged.values(), records, sums, num_comments)
    events = EventLog.open(folder)
    events.adopt(folder, run)
    events.append("rewriting")
    evidence.write(folder.path / "readers.json", to_json(record))
    events.append("rendered", answers=len(record.answers), code_sha256=installed_code().sha256)
    finish_run(folder, run, records, events)
    return record


def _finished(path: Path) -> RunFolder:
    folder = RunFolder.open(path)
    if folder.read_run().status != "finished" or not folder.is_sealed:
        raise ConfigError(
            f"{path} has not finished", "go on with it: cxr-audit run CONFIG --resume"
        )
    return folder


def _merged(standing: ReaderAnswer | None, new: ReaderAnswer) -> ReaderAnswer:
    """Two answers of one reader to one case as one; refused where they contradict each other."""
    if standing is None:
        return new
    values = {}
    for name in (*GIVEN, "time"):
        before, after = getattr(standing, name), getattr(new, name)
        if name in GIVEN and None not in (before, after) and before != after:
            raise ConfigError(
                f"reader {new.reader}, case {new.case_id}: {name} is {before!r} already, "
                f"the new file says {after!r}",
                "an answer that was joined is not changed; name the second reading another reader",
            )
        values[name] = before if after is None else after
    return replace(standing, **values)


def _read(path: Path, classes: dict[str, tuple[str, ...]]) -> AnswerFile:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    rows = _rows_of_pdf(path, data) if data.startswith(b"%PDF") else _rows_of_csv(path, data)
    answers, num_comments = [], 0
    for place, row in rows:
        num_comments += bool(row.get("comment"))
        answer = _answer(f"{path}, {place}", row, classes)
        if answer is not None:
            answers.append(answer)
    if not answers:
        raise ConfigError(f"{path} holds no answer", "fill it in first")
    return AnswerFile(hashlib.sha256(data).hexdigest(), tuple(answers), num_comments)


def _rows_of_csv(path: Path, data: bytes) -> list[tuple[str, dict[str, str]]]:
    try:
        table = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""))
        rows = [dict(row) for row in table]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ConfigError(f"{path} is not a CSV file in UTF-8: {error}") from error
    names = table.fieldnames or []
    missing = [name for name in ("case_id", "reader") if name not in names]
    unknown = [str(name) for name in names if name not in ANSWER_COLUMNS]
    if missing or unknown:
        raise ConfigError(
            f"{path}: columns missing: {', '.join(missing) or 'none'}; "
            f"not known: {', '.join(unknown) or 'none'}",
            f"the columns are {', '.join(ANSWER_COLUMNS)}, separated by commas",
        )
    return [(f"line {number}", row) for number, row in enumerate(rows, 2)]


def _rows_of_pdf(path: Path, data: bytes) -> list[tuple[str, dict[str, str]]]:
    """The filled fields of a sheet; they are named `<question> <case id>`."""
    try:
        form = PdfReader(io.BytesIO(data)).root_object.get("/AcroForm", {})
        fields = [field.get_object() for field in form.get("/Fields", [])]
        values = {str(field["/T"]): _value(field) for field in fields if not _is_button(field)}
    except (PyPdfError, ValueError, KeyError, IndexError, TypeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    reader = values.pop("reader", "")
    rows: dict[str, dict[str, str]] = {}
    for name, value in values.items():
        question, _space, case_id = name.partition(" ")
        if question in ANSWER_COLUMNS and value not in ("", "Off"):
            row = rows.setdefault(case_id, {"case_id": case_id, "reader": reader})
            row[question] = value
    return [(f"case {case_id}", row) for case_id, row in rows.items()]


def _is_button(field: Any) -> bool:
    """One of the buttons of a choice; the choice is a field of its own."""
    return field.get("/FT") == "/Btn" and "/Opt" not in field


def _value(field: Any) -> str:
    """What a field was filled with; a choice holds the number of its option."""
    value = str(field.get("/V", "") or "").lstrip("/")
    if field.get("/FT") != "/Btn" or value in ("", "Off"):
        return value
    return str(field["/Opt"][int(value)])


def _answer(
    place: str, row: dict[str, str], classes: dict[str, tuple[str, ...]]
) -> ReaderAnswer | None:
    """The answer of a row; None where nothing is filled in."""
    given = {name: (row.get(name) or "").strip() or None for name in (*GIVEN, "time")}
    if not any(given[name] for name in GIVEN):
        return None
    case_id, reader = (row.get("case_id") or "").strip(), (row.get("reader") or "").strip()
    if case_id not in classes:
        raise ConfigError(f"{place}: the run has no audited case {case_id!r}", SPREADSHEET)
    if not reader:
        raise ConfigError(f"{place}: no reader is named", "fill in initials or a number")
    reading = _choice(place, "reading", given["reading"], (*classes[case_id], CANNOT_SAY))
    agreement, location = (
        _choice(place, name, given[name], CHOICES[name]) for name in ("agreement", "location")
    )
    return ReaderAnswer(case_id, reader, given["time"], reading, agreement, location)  # type: ignore[arg-type]


def _choice(place: str, name: str, value: str | None, choices: Sequence[str]) -> str | None:
    """One of the choices, also with other case and with spaces."""
    if value is None:
        return None
    known = {choice.casefold(): choice for choice in choices}
    found = known.get(value.casefold()) or known.get(value.casefold().replace(" ", "_"))
    if found is None:
        raise ConfigError(f"{place}: {name} is {value!r}", f"one of {', '.join(choices)}")
    return found

"""Structured reports of readers -> their answers, in the columns of the file that joins a run.

A reader answers in one of two ways. They verify our structured report: the verified document names
ours as its predecessor, and means "agree". Or they write a report that refers to one of our objects
and has our coded questions: `agreement`, `location`, `reading` (docs/dicom-conformance.md). Any
other report is counted and left out. Readers are named by their initials.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import pydicom
from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset
from pydicom.errors import InvalidDicomError

from cxr_audit.config import Export
from cxr_audit.errors import CaseError, ConfigError, NotRetrieved
from cxr_audit.evidence import DELIVERED, RunFolder, write
from cxr_audit.export.codes import SCHEME, finding, own
from cxr_audit.export.ledger import NAME, read_entries
from cxr_audit.export.run import own_config
from cxr_audit.ingest import dicomweb, web
from cxr_audit.records import ANSWER_COLUMNS, ServerInstance
from cxr_audit.records.readers import Agreement, Location
from cxr_audit.vocabulary import Message, message

AGREEMENT = own("agreement", "Reader agrees with the output of the model")
LOCATION = own("location", "Reader on the place of the evidence")
READING = own("reading", "Class that the reader read from the radiograph alone")
ANSWERS: dict[str, dict[str, CodedConcept]] = {
    question: {name: own(f"answer.{name}", name.replace("_", " ")) for name in get_args(kind)}
    for question, kind in (("agreement", Agreement), ("location", Location))
}
QUESTIONS = {"agreement": AGREEMENT, "location": LOCATION, "reading": READING}
PERSON = "121008"  # Person Observer Name, DCM
MOST_BYTES = 16 * 2**20
Answer = dict[str, str]


@dataclass
class ReadBack:
    """What came of reading reports.

    Parameters
    ----------
    answers : one a report, in the columns `ANSWER_COLUMNS`.
    left_out : why other reports are no answers, each time.
    path : the file of answers.
    """

    answers: list[Answer] = field(default_factory=list)
    left_out: list[Message] = field(default_factory=list)
    path: Path | None = None


def read_back(run_path: Path, source: str, output: Path | None = None) -> ReadBack:
    """Collect readers' answers and write them as CSV, mode 0600.

    Parameters
    ----------
    run_path : the run folder, with its `private/`.
    source : a folder of DICOM files, or `dicomweb+https://HOST/PATH`, whose studies of the run are
        searched for structured reports.
    output : the file; None = `private/dicom/answers.csv`.

    Raises
    ------
    ConfigError : nothing of the run was exported, or the source cannot be used.
    """
    folder = RunFolder.open(run_path)
    entries = list(read_entries(folder.private / DELIVERED / NAME))
    if not entries:
        raise ConfigError(
            f"nothing of {run_path} was exported from here, so no report can refer to it",
            "cxr-audit export RUN --to ... first",
        )
    cases = {entry.uid: entry.case_id for entry in entries}
    classes = _class_codes(folder)
    if source.startswith(web.SCHEMES):
        reports = _on_server(source, sorted({entry.study_uid for entry in entries}))
    else:
        reports = _in_folder(Path(source))
    back = ReadBack(path=output or folder.private / DELIVERED / "answers.csv")
    for report in reports:
        answer = _answer(report, cases, classes)
        if isinstance(answer, Message):
            back.left_out.append(answer)
        elif answer is not None:
            back.answers.append(answer)
    back.answers.sort(key=lambda row: (row["case_id"], row["reader"], row["time"]))
    assert back.path is not None
    write(back.path, _table(back.answers), 0o600)
    return back


def _class_codes(folder: RunFolder) -> dict[tuple[str, str], str]:
    """The code of each class of the classifier -> its name."""
    given: Export = own_config(folder, ()).export
    codes = {}
    for name in folder.read_run().model.class_names:
        concept = finding(name, given.findings)
        codes[concept.scheme_designator, concept.value] = name
    return codes


def _in_folder(path: Path) -> Iterator[Dataset]:
    if not path.is_dir():
        raise ConfigError(f"{path} is no folder", "give a folder of DICOM files, or a server")
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.stat().st_size <= MOST_BYTES:
            yield from _parsed(file.read_bytes())


def _on_server(address: str, studies: list[str]) -> Iterator[Dataset]:
    """The structured reports of the run's studies."""
    for study in studies:
        query = f"{address.rstrip('/')}?StudyInstanceUID={study}&Modality=SR"
        for found in dicomweb.search(query):
            if isinstance(found.location, ServerInstance):
                try:
                    data = dicomweb.retrieve(found.location, MOST_BYTES)
                except (NotRetrieved, CaseError) as error:
                    raise ConfigError(f"a report cannot be read: {error}", error.hint) from None
                yield from _parsed(data)


def _parsed(data: bytes) -> Iterator[Dataset]:
    """The dataset, where it is a structured report."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # they quote values
        try:
            dataset = pydicom.dcmread(io.BytesIO(data))
            dataset.decode()
        except (InvalidDicomError, OSError, ValueError, LookupError, AttributeError):
            return
    if dataset.get("Modality") == "SR":
        yield dataset


def _answer(
    report: Dataset, cases: dict[str, str], classes: dict[tuple[str, str], str]
) -> Answer | Message | None:
    """The answer of one report, why it is none, or None for a report of our own."""
    is_verified = report.get("VerificationFlag") == "VERIFIED"
    if report.get("SOPInstanceUID") in cases and not is_verified:
        return None
    about = {cases[uid] for uid in _referenced(report) if uid in cases}
    if not about:
        return message("export.report_of_other")
    if len(about) > 1:
        return message("export.report_of_several", num=len(about))
    coded = _coded(report, classes)
    if isinstance(coded, Message):
        return coded
    if not coded and is_verified and _succeeds(report, cases):
        coded = {"agreement": "agree"}
    if not coded:
        return message("export.report_without_answer")
    reader = _reader(report)
    if not reader:
        return message("export.report_without_reader")
    row = dict.fromkeys(ANSWER_COLUMNS, "")
    return {**row, "case_id": about.pop(), "reader": reader, "time": _time(report), **coded}


def _referenced(report: Dataset) -> set[str]:
    uids = {
        str(element.value)
        for element in report.iterall()
        if element.keyword == "ReferencedSOPInstanceUID"
    }
    return uids | {str(report.get("SOPInstanceUID"))}


def _succeeds(report: Dataset, cases: dict[str, str]) -> bool:
    """Whether a report is one of ours, verified: the same document or its successor."""
    if report.SOPInstanceUID in cases:
        return True
    earlier = Dataset()
    earlier.PredecessorDocumentsSequence = report.get("PredecessorDocumentsSequence", [])
    uids = [e.value for e in earlier.iterall() if e.keyword == "ReferencedSOPInstanceUID"]
    return any(uid in cases for uid in uids)


def _coded(report: Dataset, classes: dict[tuple[str, str], str]) -> dict[str, str] | Message:
    """The answers to our questions; a code that is none of the choices is refused."""
    found: dict[str, str] = {}
    for item in _items(report):
        name = _code(item, "ConceptNameCodeSequence")
        for column, question in QUESTIONS.items():
            if name != (SCHEME, question.value):
                continue
            value = _code(item, "ConceptCodeSequence")
            answer = _choice(column, value, classes)
            if answer is None or found.get(column, answer) != answer:
                return message("export.report_unknown_answer", question=column)
            found[column] = answer
    return found


def _choice(
    column: str, value: tuple[str, str] | None, classes: dict[tuple[str, str], str]
) -> str | None:
    if value is None:
        return None
    if column == "reading" and value in classes:
        return classes[value]
    choices = ANSWERS["agreement" if column == "reading" else column]
    for name, concept in choices.items():
        is_reading = column != "reading" or name == "cannot_say"
        if is_reading and value == (SCHEME, concept.value):
            return name
    return None


def _items(dataset: Dataset) -> Iterator[Dataset]:
    """All content items of a report, in order."""
    for item in dataset.get("ContentSequence", ()):
        yield item
        yield from _items(item)


def _code(item: Dataset, keyword: str) -> tuple[str, str] | None:
    """Scheme and value of a coded entry."""
    entries = item.get(keyword)
    if not entries:
        return None
    return str(entries[0].get("CodingSchemeDesignator")), str(entries[0].get("CodeValue"))


def _reader(report: Dataset) -> str:
    """The initials of who verified, else of who observed; "" where no person is named."""
    for observer in report.get("VerifyingObserverSequence", ()):
        return _initials(observer.get("VerifyingObserverName"))
    for item in _items(report):
        if _code(item, "ConceptNameCodeSequence") == ("DCM", PERSON):
            return _initials(item.get("PersonName"))
    return ""


def _initials(name: object) -> str:
    """Of given and family name, for example "JD" of Doe^Jane."""
    family, _, rest = str(name or "").partition("=")[0].partition("^")
    given = rest.partition("^")[0]
    return f"{given[:1]}{family[:1]}".upper()


def _time(report: Dataset) -> str:
    for observer in report.get("VerifyingObserverSequence", ()):
        return str(observer.get("VerificationDateTime", ""))
    return f"{report.get('ContentDate', '')}{report.get('ContentTime', '')}"


def _table(answers: Iterable[Answer]) -> bytes:
    text = io.StringIO(newline="")
    table = csv.DictWriter(text, ANSWER_COLUMNS, lineterminator="\n")
    table.writeheader()
    table.writerows(answers)
    return text.getvalue().encode()

"""Sheets for readers, and how their answers join the evidence."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pikepdf
import pypdf
import pytest
from cxr_audit.audit import join_answers, verify_run, write_worklist
from cxr_audit.errors import ConfigError
from cxr_audit.evidence import RunFolder
from cxr_audit.records import ANSWER_COLUMNS

from tests.audit.runs import run


@pytest.fixture
def folder(config_file: Path) -> RunFolder:
    return run(config_file, "report.documents=true", limit=4)


def filled(path: Path, target: Path, answers: dict[str, str], reader: str = "AB") -> Path:
    """A sheet with these answers, by question and case, as a viewer of PDFs leaves it."""
    with pikepdf.open(path) as document:
        for field in document.Root.AcroForm.Fields:
            name = str(field.T)
            if name == "reader":
                field.V = pikepdf.String(reader)
            if name in answers and "/Opt" in field:
                options = [str(option) for option in field.Opt]
                field.V = pikepdf.Name(f"/{options.index(answers[name])}")
        document.save(target)
    return target


def table(path: Path, *rows: dict[str, str]) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, ANSWER_COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return path


def test_the_reading_sheet_shows_nothing_of_the_model(folder: RunFolder, tmp_path: Path) -> None:
    reading, results, answers = write_worklist(folder.path, tmp_path / "out", 3)
    reader = pypdf.PdfReader(reading)
    assert len(reader.pages) == 4
    text = " ".join(page.extract_text() for page in reader.pages)
    assert "score" not in text
    assert "threshold" not in text
    assert not reader.attachments
    pictures = {image.data for page in reader.pages for image in page.images}
    names = [row["case_id"] for row in csv.DictReader(io.StringIO(answers.read_text()))]
    assert len(names) == len(set(names)) == 3
    assert len(pictures) == 3
    assert all(name in text for name in names)
    assert "score" in " ".join(page.extract_text() for page in pypdf.PdfReader(results).pages)
    with pytest.raises(ConfigError, match="exists already"):
        write_worklist(folder.path, tmp_path / "out", 3)


def test_answers_in_pdf_and_csv_join_the_evidence(folder: RunFolder, tmp_path: Path) -> None:
    reading, results, _answers = write_worklist(folder.path, tmp_path / "out", 4)
    ids = folder.case_ids()
    first = filled(
        reading,
        tmp_path / "a.pdf",
        {f"reading {ids[0]}": "NORMAL", f"reading {ids[1]}": "cannot_say"},
    )
    second = filled(
        results,
        tmp_path / "b.pdf",
        {f"agreement {ids[0]}": "disagree", f"location {ids[0]}": "plausible"},
    )
    other = table(
        tmp_path / "c.csv",
        {"case_id": ids[0], "reader": "CD", "reading": "pneumonia", "comment": "a name"},
        {"case_id": ids[2], "reader": "CD"},
    )
    record = join_answers(folder.path, [first, second, other])
    assert [(one.case_id, one.reader) for one in record.answers] == [
        (ids[0], "AB"), (ids[0], "CD"), (ids[1], "AB")
    ]  # fmt: skip
    one = record.answers[0]
    assert (one.reading, one.agreement, one.location) == ("NORMAL", "disagree", "plausible")
    assert record.answers[1].reading == "PNEUMONIA"
    assert record.num_comments == 1
    assert "a name" not in (folder.path / "readers.json").read_text()
    found = verify_run(folder.path)
    assert found.problems == ()
    text = " ".join(
        page.extract_text() for page in pypdf.PdfReader(folder.path / "summary.pdf").pages
    )
    assert "AB and CD" in " ".join(text.split())
    assert "Reader AB and model" in (folder.path / "index.html").read_text()
    # The same file again changes nothing; a contradiction is refused.
    assert join_answers(folder.path, [other]).answers == record.answers
    changed = table(tmp_path / "d.csv", {"case_id": ids[0], "reader": "CD", "reading": "NORMAL"})
    with pytest.raises(ConfigError, match="reading is 'PNEUMONIA' already"):
        join_answers(folder.path, [changed])


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"case_id": "0", "reader": "A", "reading": "NORMAL"}, "no audited case '0'"),
        ({"reading": "NORMAL"}, "no reader is named"),
        ({"reader": "A", "reading": "HEALTHY"}, "reading is 'HEALTHY'"),
        ({"reader": "A", "agreement": "maybe"}, "agreement is 'maybe'"),
        ({"reader": "A"}, "holds no answer"),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused(
    folder: RunFolder, tmp_path: Path, row: dict[str, str], words: str
) -> None:
    before = (folder.path / "SHA256SUMS").read_bytes()
    path = table(tmp_path / "x.csv", {"case_id": folder.case_ids()[0], **row})
    with pytest.raises(ConfigError, match=words):
        join_answers(folder.path, [path])
    assert (folder.path / "SHA256SUMS").read_bytes() == before

"""Documents of a sealed run -> whether their pages say what the records give.

The attachments of a PDF may be intact while its pages are forged, so the pages are made again from
the records. Where the bytes differ, as those of a signed PDF do, the words of each page are
compared. Another version of the code makes other pages, and own templates are not known here: then
nothing is compared, and that is said.
"""

from __future__ import annotations

import difflib
import io
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from cxr_audit import cohort
from cxr_audit.audit.document import renderer
from cxr_audit.audit.finish import describe_cohort, documents_of_run
from cxr_audit.audit.installed import installed_code
from cxr_audit.evidence import Problem, RunFolder
from cxr_audit.evidence.events import identity, read_chain
from cxr_audit.records import CaseRecord, RunRecord

SAMPLE = 20
"""Case PDFs whose pages are made again, where nothing else is asked for."""
UNREADABLE = (PyPdfError, OSError, ValueError, KeyError)


@dataclass(slots=True)
class ComparedPages:
    """What came of it.

    Parameters
    ----------
    problems : documents whose pages say something else.
    words : what was compared, or why nothing was.
    is_compared : whether anything was.
    """

    problems: list[Problem] = field(default_factory=list)
    words: str = ""
    is_compared: bool = False


def compare_pages(
    folder: RunFolder, run: RunRecord, records: Sequence[CaseRecord], is_same_code: bool
) -> ComparedPages:
    """Make index, run report, annexes and a random sample of case PDFs again, and compare.

    Parameters
    ----------
    folder, run, records : a sealed run whose tables follow from its records.
    is_same_code : whether the code that runs here made the run.
    """
    rendered = _renderings(folder, run)
    own = installed_code().sha256
    if not is_same_code or any(event.get("code_sha256", own) != own for event in rendered):
        return ComparedPages(words="index.html and pages of PDFs were not compared: other code")
    of_cases = [event for event in rendered if "own_templates" in event]
    last = of_cases[-1] if of_cases else {}
    if last.get("own_templates"):
        return ComparedPages(words="index.html and pages were not compared: own templates")
    found = ComparedPages(is_compared=True)
    documents = documents_of_run(folder, run, records, describe_cohort(folder, run, records))
    documents["cases.csv-metadata.json"] = cohort.cases_metadata().encode()
    for name, content in documents.items():
        found.problems += _different(folder.path / name, name, content)
    with_pdf = [name for name in folder.case_ids() if (folder.case(name) / "report.pdf").is_file()]
    chosen = random.SystemRandom().sample(with_pdf, min(SAMPLE, len(with_pdf)))
    for case_id in sorted(chosen):
        record = folder.read_case(case_id)
        assert record is not None
        where = folder.case(case_id)
        content = renderer(None).case_pdf(record, run, where, last.get("language"))
        name = f"cases/{case_id}/report.pdf"
        found.problems += _different(where / "report.pdf", name, content)
    found.words = (
        "index.html, column descriptions and the pages of summary.pdf, annexes.pdf and "
        f"{len(chosen)} of {len(with_pdf)} case PDFs follow from the records"
    )
    return found


def _renderings(folder: RunFolder, run: RunRecord) -> list[dict[str, Any]]:
    """The events that wrote documents again: of all cases, or of the run only."""
    events, _, _ = read_chain(folder.events.read_bytes(), identity(run))
    return [dict(event) for event in events if event.get("event") == "rendered"]


def _different(path: Path, name: str, content: bytes) -> list[Problem]:
    """A problem where a file is not what the records give."""
    if not path.is_file():
        return []  # documents may be switched off, and an older run has no annexes
    standing = path.read_bytes()
    if standing == content:
        return []
    if not name.endswith(".pdf"):
        return [Problem("forged", name, "it is not what the records give")]
    try:
        pages, own_pages = _words(standing), _words(content)
    except UNREADABLE as error:
        return [Problem("forged", name, f"its pages cannot be read: {error}")]
    if len(pages) != len(own_pages):
        why = f"it has {len(pages)} pages, the records give {len(own_pages)}"
        return [Problem("forged", name, why)]
    for number, (page, own) in enumerate(zip(pages, own_pages, strict=True), 1):
        if page != own:
            return [Problem("forged", name, f"page {number} says {_first_change(page, own)}")]
    return []


def _words(document: bytes) -> list[list[str]]:
    """The words of each page. What a signature draws is no part of the page."""
    reader = PdfReader(io.BytesIO(document))
    return [page.extract_text().split() for page in reader.pages]


def _first_change(page: list[str], own: list[str]) -> str:
    """For example '"NORMAL"', the records give '"PNEUMONIA"'."""
    changes = difflib.SequenceMatcher(None, page, own, autojunk=False).get_opcodes()
    for kind, start, stop, own_start, own_stop in changes:
        if kind != "equal":
            said, given = " ".join(page[start:stop][:8]), " ".join(own[own_start:own_stop][:8])
            return f"{said!r}, the records give {given!r}"
    return "something else"

"""What `shortcuts` keeps gives the bytes that WeasyPrint gives when it makes everything anew."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import pytest
import weasyprint
from cxr_audit.records import Trust
from cxr_audit.report import Renderer, shortcuts

from tests.report.test_documents import CASE_CHECKS, MODEL_CHECKS, failed, masked, with_regions

# What our own templates do not use and a hospital's may: what is kept must not reach into it.
UNUSUAL = """
.words { text-align: justify } .words p { hyphens: auto }
.facts dd { overflow: hidden; white-space: nowrap; text-overflow: ellipsis; width: 12mm }
.left p { max-lines: 1; block-ellipsis: auto }
.reviewer { display: flex; flex-wrap: wrap } .line { flex: 1 1 40%; min-width: 30vw }
table.checks { border-collapse: collapse } table.checks td { border: 1pt dotted #888 }
li::first-line { color: #800 } .output { transform: rotate(0.2deg); border-radius: 10% } .scores { direction: rtl }
body { overflow: hidden; background: #fefefe } .small::first-letter { font-size: 12pt }
"""


@pytest.fixture
def documents(make, run, tmp_path):
    """(record, run, folder) of pages as different as there are."""
    audited, folder = make(expected="PNEUMONIA")
    audited = masked(with_regions(audited, trust=Trust("caution", ("a reason",), CASE_CHECKS)))
    maps = (("grad-cam", "PNEUMONIA"), ("grad-cam", "NORMAL"), ("layercam", "PNEUMONIA"))
    differs, other = make("病例-١٢٣-κ", (900, 300), maps)
    run = replace(run, checks=MODEL_CHECKS)
    return [
        (audited, run, folder),
        (differs, replace(run, config={"report": {"paper": "letter"}}), other),
        (failed(reason="many words " * 40), run, tmp_path),
    ]


@pytest.mark.parametrize("css", ["", UNUSUAL])
def test_the_same_bytes_as_without(documents, tmp_path, monkeypatch, css):
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "letterhead.css").write_text(css)
    renderer = Renderer(tmp_path / "own")
    with monkeypatch.context() as plain:
        plain.setattr("cxr_audit.report.documents.quick", nullcontext)
        expected = [renderer.case_pdf(*document) for document in documents]
    monkeypatch.setattr(shortcuts, "COMPRESSION", 9)
    for order in (1, -1, 1):  # from what another document left, too
        assert [renderer.case_pdf(*document) for document in documents[::order]] == expected[
            ::order
        ]


def test_little_room_to_keep_things_changes_nothing(documents, monkeypatch):
    expected = [Renderer().case_pdf(*document) for document in documents]
    monkeypatch.setattr(shortcuts, "MOST_KEPT", 20)
    monkeypatch.setattr(shortcuts, "MOST_SIZES", 1)
    renderer = Renderer()
    assert [renderer.case_pdf(*document) for document in documents] == expected
    assert len(renderer._kept) <= 20


def test_documents_alike_keep_nothing_twice(documents):
    renderer = Renderer()
    renderer.case_pdf(*documents[0])
    num_kept = len(renderer._kept)
    assert num_kept > 100
    renderer.case_pdf(*documents[0])
    assert len(renderer._kept) == num_kept


def test_weasyprint_is_as_it_was_afterwards(documents):
    before = (
        weasyprint.text.line_break.Layout.__dict__["set_text"],
        weasyprint.layout.inline.resolve_percentages,
    )
    Renderer().case_pdf(*documents[0])
    after = (
        weasyprint.text.line_break.Layout.__dict__["set_text"],
        weasyprint.layout.inline.resolve_percentages,
    )
    assert after == before

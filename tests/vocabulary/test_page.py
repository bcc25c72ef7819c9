"""docs/vocabulary.md is made from the rows."""

from __future__ import annotations

from pathlib import Path

from cxr_audit.vocabulary import FLAGS, METHODS
from cxr_audit.vocabulary.page import page

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_up_to_date() -> None:
    assert (ROOT / "docs" / "vocabulary.md").read_text("utf-8") == page(), "run: make generated"


def test_the_page_names_every_flag_and_method() -> None:
    text = page()
    assert all(f"| `{row.key}` |" in text for row in (*FLAGS, *METHODS))
    assert "{region}" not in text

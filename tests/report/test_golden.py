"""Pages beside their golden pictures, at low resolution, blurred: an accident in CSS is seen, another hinting is not.

After a change that is meant, look at the new pictures and commit them:

    CXR_AUDIT_RENEW=1 .venv/bin/python -m pytest tests/report/test_golden.py
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from cxr_audit.report import Renderer
from cxr_audit.report.documents import data_folder

from tests.report.cases import failed, with_regions

GOLDEN = Path(__file__).parent / "golden"
DPI = 36
BLUR_PX = 5
MOST_APART = 24  # grey levels, of 255, where the blurred pages differ most


def drawn(data: bytes) -> Iterator[np.ndarray]:
    """The pages as uint8 (rows, columns)."""
    pdfium = pytest.importorskip("pypdfium2", reason="pypdfium2 is not installed")
    with pdfium.PdfDocument(data) as document:
        for page in document:
            yield page.render(scale=DPI / 72, grayscale=True).to_numpy().squeeze().copy()


def apart(page: np.ndarray, golden: np.ndarray) -> float:
    assert page.shape == golden.shape
    page, golden = (cv2.blur(one.astype(np.float32), (BLUR_PX, BLUR_PX)) for one in (page, golden))
    return float(np.abs(page - golden).max())


@pytest.fixture
def documents(make, run, tmp_path):
    """name -> (record, run, folder)"""
    audited, folder = make(expected="PNEUMONIA")
    differs, other = make(
        "case-2",
        maps=(("grad-cam", "PNEUMONIA"), ("grad-cam", "NORMAL"), ("layercam", "PNEUMONIA")),
    )
    letter = replace(run, config={"report": {"paper": "letter"}})
    return {
        "audited": (with_regions(audited), run, folder),
        "differs": (differs, letter, other),
        "failed": (failed(), run, tmp_path),
        "german": (
            with_regions(audited),
            replace(run, config={"report": {"language": "de"}}),
            folder,
        ),
    }


@pytest.mark.parametrize("name", ["audited", "differs", "failed", "german"])
def test_pages_look_as_they_did(renderer, documents, name):
    pages = list(drawn(renderer.case_pdf(*documents[name])))
    paths = [GOLDEN / f"{name}-{number}.png" for number in range(1, len(pages) + 1)]
    if os.environ.get("CXR_AUDIT_RENEW"):
        for path in GOLDEN.glob(f"{name}-*.png"):
            path.unlink()
        for path, page in zip(paths, pages, strict=True):
            cv2.imwrite(str(path), page, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert sorted(GOLDEN.glob(f"{name}-*.png")) == paths
    for path, page in zip(paths, pages, strict=True):
        assert apart(page, cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) < MOST_APART, path.name


@pytest.mark.parametrize(
    "accident",
    [
        ".pictures figure { float: none }",
        ".scope { display: none }",
        "h2 { margin-bottom: 2.4mm }",
        ".bar b { display: none }",
        "@page { margin-left: 18mm }",
        "html { font-family: serif }",
    ],
)
def test_an_accident_in_css_is_seen(documents, tmp_path, accident):
    """The comparison above can fail."""
    (tmp_path / "case.css").write_text(
        (data_folder("templates") / "case.css").read_text("utf-8") + accident, "utf-8"
    )
    pages = drawn(Renderer(tmp_path).case_pdf(*documents["audited"]))
    goldens = [
        cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted(GOLDEN.glob("audited-*.png"))
    ]
    assert (
        max(apart(page, golden) for page, golden in zip(pages, goldens, strict=False)) > MOST_APART
    )

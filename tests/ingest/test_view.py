"""`cxr-audit view`: the words and the picture are what the audit uses."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from cxr_audit.cli import app
from cxr_audit.errors import ConfigError, UnsupportedRadiograph
from typer.testing import CliRunner

# MONOCHROME1, c 2048, w 4096: (x - 2047.5) / 4095 + 0.5 = x / 4095, inverted
STORED = np.array([[0, 819, 4095], [4095, 819, 0]], np.uint16)
WINDOW = {
    "WindowCenter": [2048, 10],
    "WindowWidth": [4096, 21],
    "BitsStored": 12,
    "PhotometricInterpretation": "MONOCHROME1",
}


@pytest.fixture
def view(dicom, save):
    path = save(dicom(STORED, **WINDOW))

    def run(*arguments):
        return CliRunner().invoke(app, ["view", str(path), *arguments], catch_exceptions=True)

    return run


@pytest.mark.parametrize("bits", [8, 16])
def test_picture(view, tmp_path, bits):
    done = view("--output", str(tmp_path / "x.png"), "--bits", str(bits))
    assert done.exit_code == 0
    picture = cv2.imread(str(tmp_path / "x.png"), cv2.IMREAD_UNCHANGED)
    white = {8: 255, 16: 65535}[bits]
    # 1 - 819/4095 = 0.8: 204 of 255, 52428 of 65535
    assert picture.tolist() == [[white, round(0.8 * white), 0], [0, round(0.8 * white), white]]


def test_words(view):
    text = view().stdout
    assert "2 rows x 3 columns, DICOM" in text
    assert "center 2048, width 4096, LINEAR; window 1 of 2" in text
    assert "inverted once, last" in text
    assert "33.3% of the pixels are black, 33.3% white" in text
    assert "window 2 of 2" in view("--window", "2").stdout
    assert "0 to 4095, fill black to white" in view("--voi-transform", "off").stdout


def test_json(view):
    facts = json.loads(view("--json").stdout)
    assert (facts["rows"], facts["columns"]) == (2, 3)
    assert {"ingest.display_window", "ingest.inversion", "ingest.spacing"} == {
        decision["what"]["code"] for decision in facts["decisions"]
    }


def test_refusals(view):
    assert isinstance(view("--bits", "12").exception, ConfigError)
    assert isinstance(view("--voi-transform", "best").exception, ConfigError)
    assert isinstance(view("--voi-transform", "lut").exception, UnsupportedRadiograph)

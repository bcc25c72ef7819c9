"""A run with ONNX Runtime beside one with TensorFlow."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import numpy as np
import pytest

from tests.audit.runs import run


def test_a_run_names_its_runtime_and_gives_the_same_records(config_file: Path) -> None:
    plain = run(config_file)
    fast = run(config_file, "engine.runtime=onnxruntime", "run.name=fast")
    assert plain.read_run().calibration.parity.runtime is None
    figures = fast.read_run().calibration.parity.runtime
    assert figures.num_inputs == 8
    assert figures.runtime.startswith("onnxruntime ")
    assert figures.largest_logit_difference <= 1e-5
    assert figures.lowest_map_correlation >= 0.9999
    for case_id in plain.case_ids():
        before, after = plain.read_case(case_id), fast.read_case(case_id)
        assert after.prediction.logit == pytest.approx(before.prediction.logit, abs=1e-5)
        assert after.prediction.predicted == before.prediction.predicted
        maps = [np.load(folder.case(case_id) / "map.npz") for folder in (plain, fast)]
        assert maps[0].files == maps[1].files
        for key in maps[0].files:
            np.testing.assert_allclose(maps[0][key], maps[1][key], atol=1e-5)


def test_the_documents_name_the_runtime_and_its_difference(config_file: Path) -> None:
    from pypdf import PdfReader

    folder = run(config_file, "engine.runtime=onnxruntime", "report.documents=true", limit=2)
    version = metadata.version("onnxruntime")
    assert folder.read_run().software.versions["onnxruntime"] == version
    for path in (folder.case(folder.case_ids()[0]) / "report.pdf", folder.path / "summary.pdf"):
        text = " ".join("".join(page.extract_text() for page in PdfReader(path).pages).split())
        assert f"onnxruntime {version}; 2 inputs: a logit differs from TensorFlow's by" in text
        assert "by at most 0.0001; rank correlation of maps at least" in text

"""A model that cannot be opened, audited beside the same model opened."""

from __future__ import annotations

import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from cxr_audit import load_config, reference
from cxr_audit.audit import cohort_of
from cxr_audit.errors import ConfigError
from cxr_audit.evidence import RunFolder

from tests.audit.runs import rows_of, run
from tests.classifier.closed_models import write_onnx
from tests.conftest import ROOT

ASKED = (
    "explain.methods=[occlusion]",
    "explain.occlusion_cells=4",
    "trust.stability=sample",
    "trust.sample=4",
    "masking.cases=all",
    "acceptance.criteria=[{metric: auc, at_least: 0.5}, "
    "{metric: flag_near_threshold, share_at_most: 0.5}, {metric: exposure_dependence}]",
)


@pytest.fixture(scope="module")
def closed_files(model_file: Path) -> dict[str, tuple[str, ...]]:
    """What changes a config that names the Keras file."""
    model = keras.saving.load_model(model_file)
    onnx_file = write_onnx(model, model_file.with_suffix(".onnx"), "nchw")
    script = ROOT / "docs" / "examples" / "score.py"
    command = f"[{sys.executable}, {script}, {model_file}]"
    return {
        "onnx": (f"classifier.path={onnx_file}",),
        "command": (
            "classifier.path=",
            f"classifier.command={command}",
            "classifier.output=probabilities",
        ),
    }


def assert_same_rows(plain: RunFolder, closed: RunFolder) -> None:
    """`cases.csv` is the same, numbers within 1e-4 or a thousandth."""
    for before, after in zip(rows_of(plain), rows_of(closed), strict=True):
        assert before.keys() == after.keys()
        for column, value in before.items():
            try:
                expected = float(value)
            except ValueError:
                assert after[column] == value, column
                continue
            assert float(after[column]) == pytest.approx(expected, abs=1e-4, rel=1e-3), column


@pytest.mark.parametrize("kind", ["onnx", "command"])
def test_figures_and_verdicts_are_those_of_the_model_opened(
    config_file: Path, closed_files: dict[str, tuple[str, ...]], kind: str
) -> None:
    plain = run(config_file, *ASKED)
    closed = run(config_file, *closed_files[kind], *ASKED, f"run.name={kind}")
    assert_same_rows(plain, closed)
    ours, theirs = cohort_of(closed.path), cohort_of(plain.path)
    assert [c.state for c in ours.acceptance] == [c.state for c in theirs.acceptance]
    assert ours.metrics["auc"].value == theirs.metrics["auc"].value
    assert ours.outcomes == theirs.outcomes
    assert len(ours.acceptance) == 3
    record = closed.read_run()
    assert record.calibration.parity.largest_output_difference <= 1e-4
    stable = {check.name: check for check in record.calibration.checks}["stability"]
    assert stable.value is not None
    assert np.isfinite(stable.value)


def test_what_needs_the_inside_is_named_in_every_document(
    config_file: Path, closed_files: dict[str, tuple[str, ...]]
) -> None:
    folder = run(
        config_file,
        *closed_files["onnx"],
        "explain.occlusion_cells=2",
        "trust.randomisation=true",
        "trust.stability=all",
        "trust.sample=4",
        "report.documents=true",
        "run.name=papers",
        limit=2,
    )
    record = folder.read_run()
    assert "Grad-CAM" in str(record.model.unavailable)
    assert "integrated gradients" in str(record.model.unavailable)
    assert "logit by region" in str(record.model.unavailable)
    gate = {check.name: check for check in record.calibration.checks}["randomisation"]
    assert gate.state == "not_run"
    assert "not available for this model" in str(gate.reason)
    case = folder.read_case(folder.case_ids()[0])
    assert case.budget is None
    assert case.trust.state == "caution"
    of_case = {check.name: check for check in case.trust.checks}
    assert of_case["stability"].state == "not_run"
    assert "a map costs 5 passes" in str(of_case["stability"].reason)
    from pypdf import PdfReader

    pdfs = [folder.case(case.case_id) / "report.pdf", *folder.path.glob("*.pdf")]
    assert len(pdfs) >= 2
    for path in pdfs:
        text = " ".join("".join(page.extract_text() for page in PdfReader(path).pages).split())
        assert "Not available for this model" in text, path.name
        assert "HiResCAM" in text, path.name


def test_what_would_be_ignored_is_refused(
    config_file: Path, closed_files: dict[str, tuple[str, ...]]
) -> None:
    for key in ("explain.target_layer=conv3", "explain.layers=[conv3]"):
        with pytest.raises(ConfigError, match="not available for this model"):
            run(config_file, *closed_files["onnx"], key, "run.name=refused")
    with pytest.raises(ConfigError, match="is for a Keras model"):
        run(config_file, *closed_files["onnx"], "engine.runtime=onnxruntime", "run.name=refused")


def test_a_config_names_one_model(config_file: Path, tmp_path: Path) -> None:
    program = "classifier.command=[python, s.py, --fast]"
    for settings in ("classifier.path=", program):
        with pytest.raises(ConfigError, match="give either path, or command"):
            load_config(config_file, [settings])
    (tmp_path / "s.py").write_text("")
    config = load_config(config_file, ["classifier.path=", program])
    assert config.classifier.command == ("python", str(tmp_path / "s.py"), "--fast")


@pytest.fixture(scope="module")
def reference_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, RunFolder]:
    """The classifier that ships, opened, over the radiographs that ship."""
    folder = tmp_path_factory.mktemp("reference")
    config_file = folder / "audit.yaml"
    card = reference.card_of("classifier")
    config_file.write_text(
        f"""\
run: {{name: opened}}
ingest: {{source: reference}}
preprocess: {{channels: 1, scaling: unit}}
classifier:
  path: {reference.WEIGHTS / card.weights}
  class_names: [{", ".join(card.operation.class_names)}]
  threshold: {card.operation.threshold}
explain: {{methods: [occlusion], occlusion_cells: 4}}
trust: {{randomisation: false, faithfulness: none, stability: sample, sample: 4}}
report: {{documents: false}}
acceptance: {{criteria: [{{metric: auc, at_least: 0.5}}, {{metric: sensitivity, at_least: 0.6}},
  {{metric: flag_marker, share_at_most: 0.2}}, {{metric: border_dependence}}]}}
"""
    )
    return config_file, run(config_file)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["onnx", "command"])
def test_the_reference_classifier_gives_the_same_verdicts_as_itself(
    reference_run: tuple[Path, RunFolder], kind: str
) -> None:
    config_file, opened = reference_run
    card = reference.card_of("classifier")
    weights = reference.WEIGHTS / card.weights
    if kind == "onnx":
        path = config_file.parent / "reference.onnx"
        write_onnx(keras.saving.load_model(weights, compile=False), path)
        settings = [f"classifier.path={path}"]
    else:
        script = ROOT / "docs" / "examples" / "score.py"
        command = f"classifier.command=[{sys.executable}, {script}, {weights}]"
        settings = ["classifier.path=", command, "classifier.output=probabilities"]
    closed = run(config_file, *settings, f"run.name={kind}")
    for case_id in opened.case_ids():
        before, after = opened.read_case(case_id), closed.read_case(case_id)
        assert before.status == after.status
        if before.status == "ok":
            assert after.prediction.logit == pytest.approx(before.prediction.logit, abs=1e-4)
    assert_same_rows(opened, closed)
    ours, theirs = cohort_of(closed.path), cohort_of(opened.path)
    states = [criterion.state for criterion in theirs.acceptance]
    assert [criterion.state for criterion in ours.acceptance] == states
    assert len(states) == 4
    assert ours.outcomes == theirs.outcomes

"""A run in MLflow, in a local file store."""

from __future__ import annotations

from pathlib import Path

import pytest
from cxr_audit import cohort as cohorts
from cxr_audit import evidence
from cxr_audit.cohort import cases_table
from cxr_audit.config import Acceptance, Cohort
from cxr_audit.errors import ConfigError
from cxr_audit.evidence import RunFolder
from cxr_audit.records import RunCases, RunRecord, to_json
from cxr_audit.tracking import log_to_mlflow, run_parameters

from tests.cohort.cases import a_case
from tests.evidence.test_folder import MODEL

mlflow = pytest.importorskip("mlflow")
CONFIG = {"focus": {"high_focus_threshold": 0.5}, "run": {"name": "run", "output": None}}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFolder:
    """A finished run of 20 + 20 cases, 18 and 16 of them right."""
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    folder = RunFolder.create(tmp_path / "run")
    cases = [a_case(f"p{n}", "P", 0.9 if n < 18 else 0.1) for n in range(20)]
    cases += [a_case(f"n{n}", "N", 0.2 if n < 16 else 0.8) for n in range(20)]
    for case in cases:
        evidence.write(folder.case(case.case_id) / "case.json", to_json(case))
    criteria = ({"metric": "auc", "bound": "estimate", "at_least": 0.5},)
    described = cohorts.describe(
        cases, [], Cohort(rounds=200), Acceptance(criteria=criteria), 0, ()
    )
    evidence.write(folder.path / "cases.csv", cases_table(cases).encode())
    evidence.write(folder.path / "cohort.json", to_json(described))
    evidence.write(folder.path / "summary.pdf", b"%PDF-1.7 a report")
    folder.write_run(RunRecord("run", "finished", "", CONFIG, "c" * 64, 0, MODEL, RunCases(40)))
    return folder


def test_parameters_metrics_and_artefacts(run: RunFolder, tmp_path: Path) -> None:
    uri = (tmp_path / "mlruns").as_uri()
    identity = log_to_mlflow(run.path, uri, "audits")
    client = mlflow.MlflowClient(tracking_uri=uri)
    logged = client.get_run(identity)
    assert client.get_experiment(logged.info.experiment_id).name == "audits"
    assert logged.info.status == "FINISHED"
    assert logged.data.params["focus.high_focus_threshold"] == "0.5"
    metrics = logged.data.metrics
    assert metrics["sensitivity"] == pytest.approx(18 / 20)
    assert metrics["specificity"] == pytest.approx(16 / 20)
    assert metrics["sensitivity.low"] < 18 / 20 < metrics["sensitivity.high"]
    assert (metrics["cases.ok"], metrics["criteria.met"], metrics["criteria.all"]) == (40, 1, 1)
    assert logged.data.tags["cxr_audit.model_sha256"] == MODEL.sha256
    names = {artefact.path for artefact in client.list_artifacts(identity)}
    assert names == {"summary.pdf", "cohort.json", "run.json"}
    # nothing of a single case
    stored = [path for path in (tmp_path / "mlruns").rglob("*") if path.is_file()]
    assert not any(path.name in ("cases.csv", "case.json") for path in stored)
    again = log_to_mlflow(run.path, uri, "audits")
    assert again != identity


def test_a_run_that_has_not_finished_is_refused(run: RunFolder, tmp_path: Path) -> None:
    (run.path / "cohort.json").unlink()
    with pytest.raises(ConfigError, match="has not finished"):
        log_to_mlflow(run.path, (tmp_path / "mlruns").as_uri())
    assert not (tmp_path / "mlruns").exists()


def test_a_store_that_cannot_be_written_is_a_named_error(run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(ConfigError, match="does not take the run"):
        log_to_mlflow(run.path, (tmp_path / "file" / "mlruns").as_uri())


def test_long_values_are_cut() -> None:
    (parameter,) = run_parameters({"classifier": {"card": "x" * 600}})
    assert parameter == ("classifier.card", "x" * 500)

"""What people expect of a command: short help, quiet, verbose, a log, completion, schemas."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
from cxr_audit.cli import hoisted

from tests.audit.conftest import model_file  # noqa: F401
from tests.audit.runs import small_config, write_image


def cxr_audit(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cxr_audit", *map(str, arguments)]
    # 3: TensorFlow says nothing of a machine without a GPU, whatever the level of the test run
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, model_file: Path):  # noqa: F811
    """A lean run by the command line, and what it said."""
    folder = tmp_path_factory.mktemp("habits")
    for number in range(8):
        label = ("NORMAL", "PNEUMONIA")[number % 2]
        (folder / "images" / label).mkdir(parents=True, exist_ok=True)
        write_image(folder / "images" / label / f"Doe^Jane_{number}.png", number)
    config = folder / "audit.yaml"
    config.write_text(small_config(model_file) + "engine: {workers: 1}\n")
    log = folder / "run.log"
    done = cxr_audit("run", config, "--lean", "--quiet", "--log-file", log)
    return config, folder / "reports" / "test", done, log


def test_options_of_every_command_may_stand_anywhere() -> None:
    given = ["run", "c.yaml", "-q", "--log-file", "x.log", "--set", "a.b=1"]
    assert hoisted(given) == ["-q", "--log-file", "x.log", "run", "c.yaml", "--set", "a.b=1"]
    assert hoisted(["view", "--", "-q"]) == ["view", "--", "-q"]
    assert hoisted(["run", "--log-file=y", "-v"]) == ["--log-file=y", "-v", "run"]


def test_short_help() -> None:
    assert cxr_audit("-h").stdout == cxr_audit("--help").stdout
    shown = cxr_audit("run", "-h").stdout
    assert "--output" in shown
    assert "-o" in shown


def test_completion_is_offered() -> None:
    assert "--install-completion" in cxr_audit("--help").stdout


def test_a_quiet_run_prints_its_result_only_and_its_log_has_the_rest(finished) -> None:
    _, folder, done, log = finished
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout == f"{folder / 'index.html'}\n"
    lines = log.read_text().splitlines()
    assert any("8 cases: 8 ok" in line for line in lines)
    assert all(line[:2] == "20" and line[19] == "Z" for line in lines)


def test_a_quiet_command_still_says_its_error(tmp_path: Path) -> None:
    done = cxr_audit("-q", "check", tmp_path / "none.yaml")
    assert done.returncode == 2
    assert "cannot read the config" in done.stderr


def test_verbose_says_where_an_error_came_from(tmp_path: Path) -> None:
    done = cxr_audit("check", tmp_path / "none.yaml", "--verbose")
    assert "ConfigError at " in done.stderr
    assert "load.py:" in done.stderr
    plain = cxr_audit("check", tmp_path / "none.yaml")
    assert "load.py:" not in plain.stderr


def test_a_lean_run_has_no_pdf_of_a_case_until_it_is_rendered(finished) -> None:
    _, folder, _, _ = finished
    assert not list(folder.glob("cases/*/report.pdf"))
    assert (folder / "summary.pdf").is_file()
    assert cxr_audit("render", folder, "-q").returncode == 0
    assert len(list(folder.glob("cases/*/report.pdf"))) == 8


def test_ids_are_no_numbers_to_a_spreadsheet(finished) -> None:
    _, folder, _, _ = finished
    ids = [path.name for path in (folder / "cases").iterdir()]
    assert all(name[0] == "c" and len(name) == 16 for name in ids)


@pytest.mark.parametrize(
    ("kind", "files"),
    [("case", "cases/*/case.json"), ("cohort", "cohort.json"), ("run", "run.json")],
)
def test_records_fit_the_schemas_that_are_printed(finished, kind: str, files: str) -> None:
    _, folder, _, _ = finished
    schema = json.loads(cxr_audit("schema", kind).stdout)
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    paths = list(folder.glob(files))
    assert paths
    for path in paths:
        record = json.loads(path.read_text())
        validator.validate(record)
        record.pop("schema_version")
        first = next(iter(record))
        with pytest.raises(jsonschema.ValidationError):
            validator.validate({**record, first: {"not": ["this"]}})


def test_a_run_is_read_as_data_frames(finished) -> None:
    import cxr_audit as package

    _, folder, _, _ = finished
    run = package.read_run(folder)
    assert list(run.cases.index) == [path.case_id for path in run.records()]
    assert set(run.cases["status"]) == {"ok"}
    assert run.cases["probability"].between(0, 1).all()
    assert run.metrics.loc["auc", "num_cases"] == 8
    assert list(run.criteria.columns) == ["metric", "criterion", "state", "found"]
    shown = run._repr_html_()
    assert shown.count("<img") == 8  # radiograph and map of four cases
    assert "AUC" in shown
    assert "Doe" not in shown


def test_runs_are_listed_and_deleted_with_a_record(finished, tmp_path: Path) -> None:
    import shutil

    _, folder, _, _ = finished
    home = tmp_path / "runs"
    for name in ("one", "two"):
        shutil.copytree(folder, home / name)
    (home / "two" / "run.json").write_text("{")
    listed = json.loads(cxr_audit("runs", home, "--json").stdout)
    assert [line["name"] for line in listed] == ["one", "two"]
    assert listed[0]["status"] == "finished"
    assert listed[0]["counts"]["ok"] == 8
    assert listed[1]["status"].startswith("cannot be read")
    table = cxr_audit("runs", home, "--name", "o*", "--metric", "brier").stdout
    assert "brier" in table
    assert "two" not in table
    assert cxr_audit("runs", home, "--delete", "one").returncode == 2  # no reason
    for wrong in ("three", "../runs/one", "."):
        done = cxr_audit("runs", home, "--delete", wrong, "--reason", "x")
        assert done.returncode == 2, wrong
    assert (home / "one").is_dir()
    done = cxr_audit("runs", home, "--delete", "one", "--reason", "a trial")
    assert done.returncode == 0, done.stderr
    assert not (home / "one").exists()
    (line,) = (home / "deleted-runs.jsonl").read_text().splitlines()
    record = json.loads(line)
    assert (record["name"], record["reason"], record["counts"]["ok"]) == ("one", "a trial", 8)
    assert len(record["seal_sha256"]) == 64

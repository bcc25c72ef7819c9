"""The commands as a user types them: output, messages, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.classifier.models import nested
from tests.test_audit import config_file, model_file  # noqa: F401


def cxr_audit(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipeline.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


def test_help_and_version_teach() -> None:
    shown = cxr_audit("--help")
    assert shown.returncode == 0
    for command in (
        "run",
        "check",
        "verify",
        "render",
        "init",
        "inspect",
        "convert",
        "import-torchxrayvision",
        "schema",
    ):
        assert command in shown.stdout
    assert "Exit codes" in shown.stdout
    assert cxr_audit("--version").stdout.startswith("cxr-audit 0.")


def test_schema_is_json() -> None:
    assert "classifier" in json.loads(cxr_audit("schema").stdout)["properties"]


def test_run_check_verify_render(config_file: Path) -> None:  # noqa: F811
    checked = cxr_audit("check", config_file)
    assert checked.returncode == 0, checked.stderr
    assert "8 found, 8 readable by header" in checked.stderr
    done = cxr_audit("run", config_file, "--limit", 3)
    assert done.returncode == 0, done.stderr
    assert "3 cases: 3 ok" in done.stderr
    folder = config_file.parent / "reports" / "test"
    assert done.stdout.strip() == str(folder / "index.html")
    assert "0000 00:00" not in done.stderr  # TensorFlow's start-up notices
    again = cxr_audit("run", config_file)
    assert again.returncode == 2
    assert "hint: --resume goes on with it" in again.stderr
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    rendered = cxr_audit("render", folder)
    assert rendered.returncode == 0, rendered.stderr
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before
    assert cxr_audit("verify", folder).returncode == 0
    table = folder / "cases.csv"
    table.write_bytes(table.read_bytes()[:-1])
    changed = cxr_audit("verify", folder)
    assert changed.returncode == 7
    assert "changed: cases.csv" in changed.stderr


def test_more_than_two_classes_have_no_threshold(config_file: Path, tmp_path: Path) -> None:  # noqa: F811
    from pypdf import PdfReader

    nested(3, "softmax").save(tmp_path / "three.keras")
    done = cxr_audit(
        *("run", config_file, "--limit", 1, "--set", f"classifier.path={tmp_path / 'three.keras'}"),
        *("--set", "classifier.class_names=[A, NORMAL, PNEUMONIA]"),
    )
    assert done.returncode == 0, done.stderr
    (report,) = (config_file.parent / "reports" / "test").glob("cases/*/report.pdf")
    text = PdfReader(report).pages[0].extract_text()
    assert "No threshold applies" in text
    assert "threshold 0.50" not in text


@pytest.mark.slow
def test_workers_end_with_a_killed_run_and_ctrl_c_says_how_to_go_on(config_file: Path) -> None:  # noqa: F811
    import signal
    import time

    def children(pid: int) -> list[int]:
        found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout
        return [int(line) for line in found.split()]

    def started(name: str) -> tuple[subprocess.Popen[str], list[int]]:
        # A shell that starts the tests in the background has them ignore SIGINT; a user's terminal does not.
        code = (
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "from pipeline.cli import main; main()"
        )
        command = [sys.executable, "-c", code, "run", str(config_file), "--set", f"run.name={name}"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        folder = config_file.parent / "reports" / name
        deadline = time.monotonic() + 60
        while not (folder / "run.json").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        return process, children(process.pid)

    process, workers = started("killed")
    assert workers
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]

    process, _ = started("interrupted")
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in message
    assert "Traceback" not in message


def test_failed_cases_give_exit_code_4(config_file: Path) -> None:  # noqa: F811
    (config_file.parent / "images" / "NORMAL" / "notes.txt").write_text("x")
    done = cxr_audit("run", config_file, "--output", config_file.parent / "elsewhere")
    assert done.returncode == 4, done.stderr
    assert "9 cases: 8 ok, 1 failed" in done.stderr
    assert (config_file.parent / "elsewhere" / "test" / "SHA256SUMS").is_file()
    checked = cxr_audit("check", config_file)
    assert checked.returncode == 4
    assert "notes.txt" not in checked.stderr
    assert "NORMAL/notes.txt: the file is text" in cxr_audit("check", config_file, "--names").stderr


def test_named_errors_have_their_exit_code_and_no_traceback(config_file: Path) -> None:  # noqa: F811
    for arguments, code in (
        (("run", "none.yaml"), 2),
        (("run", config_file, "--set", "engine.workrs=1"), 2),
        (("run", config_file, "--set", "classifier.path=none.keras"), 3),
        (("inspect", "none.keras"), 3),
        (("verify", config_file.parent), 2),
    ):
        done = cxr_audit(*arguments)
        assert done.returncode == code, done.stderr
        assert done.stderr.startswith("error:")
        assert "hint:" in done.stderr
        assert "Traceback" not in done.stderr


def test_init_from_a_model_then_check(config_file: Path, tmp_path: Path) -> None:  # noqa: F811
    nested(2, "softmax").save(tmp_path / "mine.keras")
    done = cxr_audit("init", "mine.yaml", "--model", "mine.keras", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    config = yaml.safe_load((tmp_path / "mine.yaml").read_text())
    assert config["classifier"]["path"] == "mine.keras"
    assert (config["preprocess"]["rows"], config["preprocess"]["channels"]) == (32, 3)
    assert cxr_audit("check", tmp_path / "mine.yaml", "--set", "ingest.source=images").returncode == 0
    assert cxr_audit("init", "mine.yaml", cwd=tmp_path).returncode == 2


def test_inspect_prints_a_table_and_json(model_file: Path) -> None:  # noqa: F811
    assert "backbone/conv3" in cxr_audit("inspect", model_file).stdout
    assert json.loads(cxr_audit("inspect", model_file, "--json").stdout)["target_layer"] == "backbone/conv3"


@pytest.mark.parametrize("command", ["--help", "schema"])
def test_light_commands_do_not_import_tensorflow(command: str) -> None:
    code = (
        "import sys; sys.argv = ['cxr-audit', sys.argv[1]]\n"
        "from pipeline.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    assert subprocess.run([sys.executable, "-c", code, command], capture_output=True).returncode == 0

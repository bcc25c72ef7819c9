"""The commands as a user types them: output, messages, exit codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from cxr_audit import evidence, load_config
from cxr_audit.cli import init, render
from cxr_audit.cli.failure import after_colon
from cxr_audit.evidence import RunFolder
from cxr_audit.records import (
    RunCases,
    RunRecord,
    to_json,
)

from tests.audit.conftest import config_file, model_file  # noqa: F401
from tests.classifier.models import nested
from tests.cohort.cases import a_case, a_failure, a_source
from tests.evidence.test_folder import MODEL


def cxr_audit(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cxr_audit.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd)


def test_help_and_version_teach() -> None:
    shown = cxr_audit("--help")
    assert shown.returncode == 0
    for command in (
        "run",
        "explain",
        "check",
        "verify",
        "render",
        "cohort",
        "compare",
        "sign",
        "lungs",
        "phantom",
        "init",
        "inspect",
        "convert",
        "import-torchxrayvision",
        "view",
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
    done = cxr_audit("run", config_file, "--limit", 3, "--set", "report.documents=true")
    assert done.returncode == 0, done.stderr
    assert "3 cases: 3 ok" in done.stderr
    folder = config_file.parent / "reports" / "test"
    assert done.stdout.strip() == str(folder / "index.html")
    assert "0000 00:00" not in done.stderr  # TensorFlow's start-up notices
    again = cxr_audit("run", config_file)
    assert again.returncode == 2
    assert "--resume with a larger --limit adds cases" in again.stderr
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    rendered = cxr_audit("render", folder)
    assert rendered.returncode == 0, rendered.stderr
    after = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert {p.name for p in after if after[p] != before.get(p)} == {"events.jsonl", "SHA256SUMS"}
    assert after.keys() == before.keys()
    assert cxr_audit("verify", folder).returncode == 0
    table = folder / "cases.csv"
    table.write_bytes(table.read_bytes()[:-1])
    changed = cxr_audit("verify", folder)
    assert changed.returncode == 7
    assert "changed: cases.csv" in changed.stderr


def test_a_run_that_does_not_meet_its_criteria_ends_with_exit_code_6(config_file: Path) -> None:  # noqa: F811
    (config_file.parent / "images" / "NORMAL" / "notes.txt").write_text("x")
    criteria = "acceptance.criteria=[{metric: failed, share_at_most: 0}]"
    light = ("--set", "report.documents=false", "--set", "regions.lungs=none")
    done = cxr_audit("run", config_file, *light, "--set", criteria)
    assert done.returncode == 6, done.stderr
    words = r"NOT MET +share of cases that failed at most 0 \[failed\]: 0\.111"
    assert re.search(words, done.stderr), done.stderr
    assert done.stdout.endswith("index.html\n")


def test_more_than_two_classes_have_no_threshold(config_file: Path, tmp_path: Path) -> None:  # noqa: F811
    from pypdf import PdfReader

    nested(3, "softmax").save(tmp_path / "three.keras")
    done = cxr_audit(
        *("run", config_file, "--limit", 1, "--set", "report.documents=true"),
        *("--set", f"classifier.path={tmp_path / 'three.keras'}"),
        *("--set", "classifier.class_names=[A, NORMAL, PNEUMONIA]"),
    )
    assert done.returncode == 0, done.stderr
    (report,) = (config_file.parent / "reports" / "test").glob("cases/*/report.pdf")
    text = PdfReader(report).pages[0].extract_text()
    assert "highest of 3 classes" in text
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
            "from cxr_audit.cli import main; main()"
        )
        command = [sys.executable, "-c", code, "run", str(config_file), "--set", f"run.name={name}"]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
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


def test_of_two_commands_that_go_on_at_once_one_is_refused(config_file: Path) -> None:  # noqa: F811
    """The other one finishes, and its folder verifies."""
    assert cxr_audit("run", config_file, "--limit", 1).returncode == 0
    command = [sys.executable, "-m", "cxr_audit", "run", str(config_file), "--resume"]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate() for process in both]
    finished, refused = sorted(range(2), key=lambda number: both[number].returncode)
    assert (both[finished].returncode, both[refused].returncode) == (0, 5), outputs
    assert f"is in use by process {both[finished].pid} on " in outputs[refused][1]
    run = Path(outputs[finished][0].strip()).parent
    assert not (run / ".lock").exists()
    assert cxr_audit("verify", run).returncode == 0


def test_acceptance_criteria_that_are_not_met_give_exit_code_6(tmp_path: Path) -> None:
    folder = RunFolder.create(tmp_path / "run")
    records = [a_case(f"p{n}", "P", 0.9 if n < 18 else 0.1) for n in range(20)]
    records += [a_case(f"n{n}", "N", 0.2) for n in range(20)] + [a_failure("f")]
    for record in records:
        evidence.write(folder.case(record.case_id) / "case.json", to_json(record))
    criteria = [
        {"metric": "sensitivity", "bound": bound, "at_least": 0.85}
        for bound in ("estimate", "lower")
    ]
    crosswalk = evidence.write_crosswalk(
        folder, [a_source(r.case_id, r.case_id[:2]) for r in records]
    )
    config = {"acceptance": {"criteria": criteria}}
    run = RunRecord(
        "run", "finished", "", config, "", 0, MODEL, RunCases(41, crosswalk_sha256=crosswalk)
    )
    folder.write_run(run)
    done = cxr_audit("cohort", folder.path)
    assert done.returncode == 6, done.stderr
    assert (
        "41 cases of 21 patients (known for 41 of 41 cases): 40 audited, 0 excluded, 1 failed"
        in done.stdout
    )
    # 18 of 20: the interval of the share, 0.68 to 0.98, contains the limit.
    assert re.search(r"met +sensitivity at least 0\.85 \[sensitivity\]: 0\.900", done.stdout)
    undecided = r"UNDECIDED +sensitivity, lower end of the 95 % interval at least 0\.85"
    assert re.search(undecided, done.stdout)
    assert "error: of 2 acceptance criteria, 1 undecided: sensitivity, lower end" in done.stderr
    (tmp_path / "other.yaml").write_text(
        "run: {name: a}\ningest: {source: x}\npreprocess: {scaling: unit}\nclassifier: {path: reference}\n"
        "cohort: {prevalence: 0.1}\nacceptance: {criteria: [{metric: specificity, bound: estimate, at_least: 1}]}\n"
    )
    other = cxr_audit("cohort", folder.path, "--config", tmp_path / "other.yaml", "--json")
    assert other.returncode == 0, other.stderr
    assert json.loads(other.stdout)["cases"]["prevalence"] == 0.1
    assert not (folder.path / "cohort.json").exists()
    # at 0.15 the same 18 are found, and the 20 negatives at 0.2 are called as well
    without = ("--set", "acceptance.criteria=[]")
    what_if = cxr_audit("cohort", folder.path, "--threshold", "0.15", *without, "--json")
    assert what_if.returncode == 0, what_if.stderr
    outcomes = json.loads(what_if.stdout)["outcomes"]
    assert (outcomes["true_positive"], outcomes["false_positive"]) == (18, 20)
    assert "what if: threshold 0.15" in what_if.stderr
    plot, junit = tmp_path / "curve.svg", tmp_path / "criteria.xml"
    curve = cxr_audit("cohort", folder.path, "--curve", "--plot", plot, *without)
    assert curve.returncode == 0, curve.stderr
    assert "0.5 (run)" in curve.stdout
    assert "<svg" in plot.read_text()
    reported = cxr_audit("cohort", folder.path, "--report-junit", junit)
    assert reported.returncode == 6
    assert "undecided" in junit.read_text()
    ignored = cxr_audit("cohort", folder.path, "--set", "classifier.threshold=0.4")
    assert ignored.returncode == 2
    assert "has no effect: this command reads cohort, acceptance only" in ignored.stderr
    assert "--threshold asks what another threshold would decide" in ignored.stderr
    (folder.case("p3") / "case.json").unlink()
    partial = cxr_audit("cohort", folder.path)
    assert partial.returncode == 2
    assert "holds 40 of 41 cases" in partial.stderr


def test_failed_cases_give_exit_code_4(config_file: Path) -> None:  # noqa: F811
    (config_file.parent / "images" / "NORMAL" / "notes.txt").write_text("x")
    done = cxr_audit("run", config_file, "--output", config_file.parent / "elsewhere")
    assert done.returncode == 4, done.stderr
    assert "9 cases: 8 ok, 1 failed" in done.stderr
    assert "9 cases of 9 patients" in done.stderr
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


@pytest.mark.parametrize(
    ("hint", "printed"),
    [
        ("Convert it to PNG. Audits read DICOM.", "convert it to PNG. Audits read DICOM"),
        (
            "REQUESTS_CA_BUNDLE=FILE names your own authority.",
            "REQUESTS_CA_BUNDLE=FILE names your own authority",
        ),
        ("set run.name to start another", "set run.name to start another"),
        ("--resume goes on with it", "--resume goes on with it"),
    ],
)
def test_hints_are_printed_by_one_rule(hint: str, printed: str) -> None:
    assert after_colon(hint) == printed


def test_a_language_is_known_in_any_case(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []
    monkeypatch.setattr(
        "cxr_audit.engines.render_run",
        lambda *given: asked.append(given[-1]) or SimpleNamespace(folder=tmp_path),
    )
    for language in ("DE", None):
        render(tmp_path, language=language)
    assert asked == ["de", None]


def test_init_from_a_model_then_check(config_file: Path, tmp_path: Path) -> None:  # noqa: F811
    nested(2, "softmax").save(tmp_path / "mine.keras")
    done = cxr_audit("init", "mine.yaml", "--model", "mine.keras", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "edit ingest.source, ingest.labels and classifier.class_names" in done.stderr
    config = yaml.safe_load((tmp_path / "mine.yaml").read_text())
    assert config["classifier"]["path"] == "mine.keras"
    assert (config["preprocess"]["rows"], config["preprocess"]["channels"]) == (32, 3)
    # This model does not rescale its input: its value range is asked for, never guessed.
    assert config["preprocess"]["scaling"] is None
    check = ("check", tmp_path / "mine.yaml", "--set", "ingest.source=images")
    unanswered = cxr_audit(*check)
    assert unanswered.returncode == 2
    assert "give either scaling" in unanswered.stderr
    assert cxr_audit(*check, "--set", "preprocess.scaling=unit").returncode == 0
    assert cxr_audit("init", "mine.yaml", cwd=tmp_path).returncode == 2


@pytest.mark.parametrize(
    ("stem", "name"),
    [("Röntgen 1", "R-ntgen-1"), ("_x", "x"), ("ü", "audit"), ("a" * 70, "a" * 64)],
)
def test_init_writes_a_valid_config_whatever_the_file_is_called(
    tmp_path: Path, stem: str, name: str
) -> None:
    init(tmp_path / f"{stem}.yaml", Path("reference"))
    config = load_config(tmp_path / f"{stem}.yaml")
    assert (config.run.name, config.classifier.path) == (name, "reference")


def test_inspect_prints_a_table_and_json(model_file: Path) -> None:  # noqa: F811
    assert "backbone/conv3" in cxr_audit("inspect", model_file).stdout
    assert (
        json.loads(cxr_audit("inspect", model_file, "--json").stdout)["target_layer"]
        == "backbone/conv3"
    )


def test_explain_one_radiograph_without_a_config(config_file: Path, model_file: Path) -> None:  # noqa: F811
    from pypdf import PdfReader

    folder = config_file.parent
    image = folder / "images" / "NORMAL" / "Doe^Jane_0.png"
    asked = (
        "explain",
        image,
        "--model",
        model_file,
        "--output",
        folder / "out",
        "--set",
        "quality.exclude=[]",
    )
    unanswered = cxr_audit(*asked)
    assert unanswered.returncode == 2
    assert "--scaling" in unanswered.stderr
    done = cxr_audit(
        *asked,
        "--scaling",
        "unit",
        "--class-names",
        "NORMAL,PNEUMONIA",
        "--method",
        "hirescam",
        "--method",
        "smoothgrad",
    )
    assert done.returncode == 0, done.stderr
    path = done.stdout.split()[-1]
    assert Path(path).is_relative_to(folder / "out" / "explain-1")
    text = "".join(page.extract_text() for page in PdfReader(path).pages)
    for words in ('score for "PNEUMONIA"', "Log-odds", "Border"):
        assert words in done.stdout
        assert words in text
    assert "unit, from: --scaling" in done.stderr
    assert "Doe" not in text
    again = cxr_audit(*asked, "--scaling", "raw_255")
    assert "explain-2" in again.stdout
    assert "raw_255, from: --scaling" in again.stderr


def test_explain_says_what_is_wrong(config_file: Path, model_file: Path) -> None:  # noqa: F811
    image = config_file.parent / "images" / "NORMAL" / "Doe^Jane_0.png"
    output = ("--output", config_file.parent / "out")
    for arguments, code, words in (
        ((config_file.parent,), 2, "is not a file"),
        ((config_file,), 4, "the file is text"),
        ((image,), 4, "does not look like a frontal chest radiograph"),
        ((image, "--scaling", "unity"), 2, "Perhaps you meant 'unit'"),
        ((image, "--method", "gradcam"), 2, "Perhaps you meant 'grad-cam'"),
        (
            (image, "--model", model_file, "--layer", "backbone/conv33", "--scaling", "unit"),
            3,
            "perhaps you meant 'backbone/conv3'",
        ),
    ):
        done = cxr_audit("explain", *arguments, *output)
        assert done.returncode == code, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr


def test_check_says_what_expensive_methods_cost(config_file: Path) -> None:  # noqa: F811
    done = cxr_audit(
        "check", config_file, "--set", "explain.methods=[grad-cam, score-cam, smoothgrad]"
    )
    assert (
        "cost of score-cam: 8 further model inputs a radiograph, 64 for 8 radiographs"
        in done.stderr
    )
    assert (
        "cost of smoothgrad: 32 further model inputs a radiograph, 256 for 8 radiographs"
        in done.stderr
    )
    for words in (
        "cost of output and maps: 328 passes of 8 cases",  # 1 + 8 + 32 a case
        "cost of brightness: 16 passes of 8 cases",
        "cost of border and markers: 16 passes of 8 cases",
        "cost of causal masking: 64 passes of 8 cases",  # 4 parts by 2 fills
        "cost of factors: 304 passes of 8 cases",  # 11 factors both ways, 16 bands
        "depth standard: 91.0 passes a case",  # 728 of 8 cases
    ):
        assert words in done.stderr


@pytest.mark.parametrize("command", ["--help", "schema"])
def test_light_commands_do_not_import_tensorflow(command: str) -> None:
    code = (
        "import sys; sys.argv = ['cxr-audit', sys.argv[1]]\n"
        "from cxr_audit.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "assert 'tensorflow' not in sys.modules and 'keras' not in sys.modules"
    )
    assert (
        subprocess.run([sys.executable, "-c", code, command], capture_output=True).returncode == 0
    )

"""A user's own package `pipeline/` in the current folder and cxr_audit do not shadow each other."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ROOT / "pipeline" / "cxr_audit" / "__init__.py"

# Both packages in one process, ours first and theirs first; the last line has both files.
BOTH = (
    "import cxr_audit; cxr_audit.load_config; import pipeline, pipeline.steps;"
    "print(cxr_audit.__file__, pipeline.__file__, pipeline.steps.NAME, sep='\\n')"
)
THEIRS_FIRST = "import pipeline.steps; " + BOTH


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project folder with a package of the name of our source folder."""
    package = tmp_path / "pipeline"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "steps.py").write_text("NAME = 'the steps of the user'\n")
    return tmp_path


def environment() -> dict[str, str]:
    """The environment of a user who works with PYTHONPATH=. and has cxr_audit installed."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join((".", str(ROOT / "pipeline")))}


def python(*arguments: object, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def expected(project: Path) -> list[str]:
    return [str(OURS), str(project / "pipeline" / "__init__.py"), "the steps of the user"]


def resolved(output: str) -> list[str]:
    ours, theirs, name = output.splitlines()
    return [str(Path(ours).resolve()), str(Path(theirs).resolve()), name]


def test_the_command_runs_beside_a_foreign_package(project: Path) -> None:
    assert python("-m", "cxr_audit", "--version", cwd=project).startswith("cxr-audit ")
    python("-m", "cxr_audit", "init", "mine.yaml", cwd=project)
    assert (project / "mine.yaml").is_file()


@pytest.mark.parametrize("code", [BOTH, THEIRS_FIRST], ids=["ours_first", "theirs_first"])
def test_both_packages_import_in_one_process(project: Path, code: str) -> None:
    # python -c puts "" before PYTHONPATH, as a notebook's kernel does.
    assert python("-c", f"import sys; assert sys.path[0] == ''; {code}", cwd=project) != ""
    assert resolved(python("-c", code, cwd=project.resolve())) == expected(project.resolve())


def test_a_script_and_its_worker_processes_import_both(project: Path) -> None:
    script = project / "audit.py"
    script.write_text(
        "import multiprocessing\n"
        "import cxr_audit\n"
        "import pipeline.steps\n"
        "def files(_):\n"
        "    return cxr_audit.__file__, pipeline.__file__, pipeline.steps.NAME\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(*pool.map(files, [0])[0], sep='\\n')\n"
    )
    assert resolved(python(script, cwd=project)) == expected(project.resolve())


def test_a_notebook_kernel_imports_both(project: Path) -> None:
    pytest.importorskip("ipykernel", reason="ipykernel is not installed")
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(cwd=str(project), env=environment())
    printed: list[str] = []

    def collect(reply: dict[str, object]) -> None:
        content = reply["content"]
        if reply["msg_type"] == "stream" and isinstance(content, dict):
            printed.append(content["text"])

    try:
        reply = client.execute_interactive(THEIRS_FIRST, output_hook=collect, timeout=60)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert reply["content"]["status"] == "ok", reply["content"]
    assert resolved("".join(printed)) == expected(project.resolve())

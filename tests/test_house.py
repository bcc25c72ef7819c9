"""The house stands as drawn: floors, docstrings, a light start, one version."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MODULES = sorted((ROOT / "pipeline").rglob("*.py"))
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300
    )


def test_imports_go_down_the_floors() -> None:
    done = _run(
        sys.executable,
        "-c",
        "from importlinter.cli import lint_imports_command as main; main()",
        "--no-cache",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 broken" in done.stdout


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_says_what_it_is(module: Path) -> None:
    source = module.read_text("utf-8")
    if module.name == "__init__.py" and not source.strip():
        return
    assert ast.get_docstring(ast.parse(source)), f"{module.relative_to(ROOT)} has no docstring"


@pytest.mark.parametrize(
    "module",
    [
        "cxr_audit.cli",
        "cxr_audit.config",
        "cxr_audit.evidence",
        "cxr_audit.report",
        "cxr_audit.lung_masks",
        "cxr_audit.compare",
    ],
)
def test_starts_without_tensorflow(module: str) -> None:
    """`--help`, `check`, `verify` and `render` must not wait for TensorFlow."""
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} does not exist yet")
    heavy = "{'tensorflow', 'keras', 'torch', 'jax', 'sklearn'} & set(sys.modules)"
    done = _run(sys.executable, "-c", f"import sys, {module}; print(sorted({heavy}))")
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_changelog_has_this_version() -> None:
    assert f"## [{PROJECT['version']}]" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_lock_names_no_place() -> None:
    """Versions and hashes only: nothing of the machine that made it, and a hash for every package."""
    lines = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.lstrip().startswith("#"))
    assert not any(word in text for word in ("://", "file:", "index-url", "find-links", " @ "))
    pinned = [line for line in lines if "==" in line and not line.startswith((" ", "#"))]
    assert len(pinned) > 50
    assert all(line.endswith("\\") for line in pinned)


def test_lock_holds_every_direct_dependency() -> None:
    names = {
        line.split("==")[0]
        for line in (ROOT / "requirements.lock").read_text("utf-8").splitlines()
        if "==" in line
    }
    direct = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
    assert {dependency.split(">=")[0].split("[")[0].lower() for dependency in direct} <= names


def test_no_gpl_decoder() -> None:
    """pylibjpeg-libjpeg is GPL; this project is Apache-2.0."""
    assert "pylibjpeg-libjpeg" not in (ROOT / "requirements.lock").read_text("utf-8")

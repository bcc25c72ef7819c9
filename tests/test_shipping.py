"""What ships beside the code: the image, the CI examples, the versions. No engine builds it here."""

from __future__ import annotations

import re
import shlex
import subprocess
import tomllib
from pathlib import Path

import pytest
import typer
import yaml
from cxr_audit.cli import app, hoisted

ROOT = Path(__file__).resolve().parent.parent
DOCKERFILE = (ROOT / "Dockerfile").read_text()
GENERAL = ("--quiet", "-q", "--verbose", "-v", "--log-file")


def test_the_image_copies_what_is_there_and_nothing_is_left_out() -> None:
    copied = []
    for line in DOCKERFILE.splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            copied += line.split()[1:-1]
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for name in copied:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in ignored, name
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    included = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert set(included) <= set(copied)


def test_the_image_has_the_libraries_of_the_set_up() -> None:
    set_up = (ROOT / "setup.sh").read_text()
    for name in ("linux_packages", "subset_package"):
        (packages,) = re.findall(rf'^{name}="([^"]+)"', set_up, re.MULTILINE)
        assert set(packages.split()) <= set(DOCKERFILE.replace("\\", " ").split())


def test_the_image_runs_without_root() -> None:
    lines = DOCKERFILE.splitlines()
    user = lines.index("USER auditor")
    assert user < next(n for n, line in enumerate(lines) if line.startswith("ENTRYPOINT"))
    assert not any(line.startswith("USER root") for line in lines)
    assert all("@" not in line or "sha256" in line for line in lines if line.startswith("FROM"))


def commands_of(path: Path) -> list[list[str]]:
    """The calls of cxr-audit in the jobs of a CI file."""
    jobs = yaml.safe_load(path.read_text())
    scripts: list[str] = []
    if "jobs" in jobs:
        scripts = [step["run"] for step in jobs["jobs"]["audit"]["steps"] if "run" in step]
    else:
        scripts = jobs["audit"]["script"]
    found = []
    for script in scripts:
        plain = re.sub(r"\$\{\{[^}]*\}\}", "1", script).replace("\\\n", " ")
        for line in plain.splitlines():
            words = shlex.split(line)
            if words and words[0] == "cxr-audit":
                found.append(words[1:])
    return found


@pytest.mark.parametrize("path", sorted((ROOT / "docs" / "ci").glob("*.yml")), ids=lambda p: p.stem)
def test_the_ci_examples_use_options_that_exist(path: Path) -> None:
    """Parsed by the commands themselves; nothing runs."""
    commands = commands_of(path)
    assert [words[0] for words in commands] == ["run", "verify"]
    group = typer.main.get_command(app)
    for words in commands:
        name, *rest = [word for word in hoisted(words) if word not in GENERAL]
        while name.endswith(".log"):  # the value of --log-file
            name, *rest = rest
        command = group.commands[name]  # type: ignore[attr-defined]
        context = command.make_context(name, rest)
        assert context.params


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda p: p.stem)
def test_issue_forms_are_yaml(path: Path) -> None:
    assert yaml.safe_load(path.read_text()) is not None


def test_one_version_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == version
    tags = subprocess.run(
        ["git", "tag", "--points-at", "HEAD"], cwd=ROOT, capture_output=True, text=True
    ).stdout.split()
    released = [tag for tag in tags if re.fullmatch(r"v[0-9]+\.[0-9]+\.[0-9]+", tag)]
    assert released in ([], [f"v{version}"])
    if released:
        assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()

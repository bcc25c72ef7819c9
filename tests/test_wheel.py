"""A wheel built from here works without the checkout: templates, fonts, configs and weights are inside."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def call(*command: object, cwd: Path, pythonpath: Path | None = None) -> str:
    environment = {**os.environ, **({"PYTHONPATH": str(pythonpath)} if pythonpath else {})}
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_init_and_run_from_a_wheel(tmp_path: Path) -> None:
    pip = ("-m", "pip", "--disable-pip-version-check")
    call(
        *pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", tmp_path, ROOT, cwd=tmp_path
    )
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    call(*pip, "install", "-q", "--no-deps", "--target", site, wheel, cwd=tmp_path)
    where = call("-c", "import cxr_audit; print(cxr_audit.__file__)", cwd=tmp_path, pythonpath=site)
    assert where.startswith(str(site))
    call("-m", "cxr_audit.cli", "init", "mine.yaml", cwd=tmp_path, pythonpath=site)
    index = call(
        "-m", "cxr_audit.cli", "run", "mine.yaml", "--limit", 1, cwd=tmp_path, pythonpath=site
    ).strip()
    assert Path(index).is_file()
    assert len(list(Path(index).parent.glob("cases/*/report.pdf"))) == 1
    # Nothing was found in the checkout instead.
    assert (site / "cxr_audit" / "_data" / "configs" / "demo.yaml").is_file()
    # The wheel states its commit, unless files were edited: then no commit is what was built.
    stated = site / "cxr_audit" / "_data" / "commit"
    git = ("git", "-C", str(ROOT))
    status = subprocess.run(
        [*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True
    )
    if status.returncode == 0 and not status.stdout:
        head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True).stdout
        assert stated.read_text() == head
    else:
        assert not stated.exists()

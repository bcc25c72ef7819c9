"""A build hook: the wheel states the commit that it was built from."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CommitHook(BuildHookInterface):  # type: ignore[misc, type-arg]
    """Writes `cxr_audit/_data/commit`; a build without git, or with edited files, has none."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        commit = _git(self.root, "rev-parse", "HEAD")
        if commit is None or _git(self.root, "status", "--porcelain", "--untracked-files=no"):
            return
        path = Path(self.directory) / "commit"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{commit}\n", "ascii")
        build_data["force_include"][str(path)] = "cxr_audit/_data/commit"


def _git(root: str, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", root, *arguments], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None

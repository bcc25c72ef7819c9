"""One audited run for all tests of the room; each test gets a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cxr_audit.evidence import RunFolder

from tests.audit.runs import run
from tests.classifier.models import nested
from tests.export.runs import CONFIG, write_sources


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with sources, config, model and a finished run."""
    home = tmp_path_factory.mktemp("export")
    write_sources(home / "sources")
    nested().save(home / "model.keras")
    (home / "audit.yaml").write_text(CONFIG.format(model=home / "model.keras"))
    run(home / "audit.yaml")
    return home


@pytest.fixture
def folder(home: Path, tmp_path: Path) -> RunFolder:
    """A copy of the run; its sources and its key are where they were."""
    return RunFolder(Path(shutil.copytree(home / "runs" / "test", tmp_path / "runs" / "test")))

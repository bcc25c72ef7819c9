"""A small model, and a config over eight generated pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.audit.runs import small_config, write_image
from tests.classifier.models import nested


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.keras"
    nested().save(path)
    return path


@pytest.fixture
def config_file(tmp_path: Path, model_file: Path) -> Path:
    for label in ("NORMAL", "PNEUMONIA"):
        (tmp_path / "images" / label).mkdir(parents=True)
        for n in range(4):
            seed = n + 10 * (label == "NORMAL")
            write_image(tmp_path / "images" / label / f"Doe^Jane_{n}.png", seed)
    path = tmp_path / "audit.yaml"
    path.write_text(
        small_config(model_file)
        + "report: {documents: false}\nengine: {batch_size: 3, workers: 1}\n"
    )
    return path

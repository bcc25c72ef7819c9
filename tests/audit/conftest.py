"""A small model, and a config over eight generated pictures."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.audit.runs import write_image
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
        f"""\
run: {{name: test}}
ingest: {{source: images, labels: folder}}
quality: {{exclude: []}}
preprocess: {{rows: 32, columns: 32, scaling: unit}}
classifier: {{path: {model_file}, class_names: [NORMAL, PNEUMONIA]}}
trust: {{randomisation: false, faithfulness: none, stability: none}}
regions: {{lungs: none}}
report: {{documents: false}}
engine: {{batch_size: 3, workers: 1}}
"""
    )
    return path

"""An engine without processes, and what the tests of the composer do with a run."""

from __future__ import annotations

import csv
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from cxr_audit import load_config
from cxr_audit.audit import audit
from cxr_audit.audit.auditor import Auditor
from cxr_audit.config import AuditConfig
from cxr_audit.evidence import RunFolder


class Inline:
    """Runs everything here, at once; an exception waits in its future, as in a process."""

    num_workers = 1
    num_auditors = 1
    facts: dict[str, Any] = {"name": "inline", "workers": 1, "auditors": 1}  # noqa: RUF012

    def __init__(self, config: AuditConfig | None = None) -> None:
        self._config = config
        self._auditor: Auditor | None = None

    def light(self, function: Any, /, *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:  # noqa: BLE001
            future.set_exception(error)
        return future

    def auditor(self, function: Any, /, *arguments: Any, cases: int = 1) -> Future[Any]:
        return self.light(self._in_auditor, function, arguments)

    def _in_auditor(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        if self._auditor is None:
            assert self._config is not None
            self._auditor = Auditor(self._config)
        return function(self._auditor, *arguments)


def small_config(model_file: Path) -> str:
    """The config of a small run on the folder `images`, as YAML."""
    return f"""\
run: {{name: test}}
ingest: {{source: images, labels: folder}}
quality: {{exclude: []}}
preprocess: {{rows: 32, columns: 32, scaling: unit}}
classifier: {{path: {model_file}, class_names: [NORMAL, PNEUMONIA]}}
trust: {{randomisation: false, faithfulness: none, stability: none}}
regions: {{lungs: none}}
"""


def write_image(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = cv2.GaussianBlur(rng.random((60, 50)).astype(np.float32), (0, 0), 4)
    cv2.imwrite(str(path), cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8))


def run(config_file: Path, *overrides: str, **options: Any) -> RunFolder:
    config = load_config(config_file, overrides)
    return RunFolder(audit(config, Inline(config), **options).folder)


def rows_of(folder: RunFolder) -> list[dict[str, str]]:
    with (folder.path / "cases.csv").open() as file:
        return list(csv.DictReader(file))


def everything(folder: RunFolder) -> dict[str, bytes]:
    """Every file of the cases, by name."""
    return {
        path.relative_to(folder.path).as_posix(): path.read_bytes()
        for path in sorted(folder.cases.rglob("*"))
        if path.is_file()
    }

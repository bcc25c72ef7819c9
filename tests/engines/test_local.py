"""The two kinds of processes of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from cxr_audit import load_config
from cxr_audit.engines import local
from cxr_audit.engines.local import LocalEngine, auditor_environments

from tests.audit.conftest import config_file, model_file  # noqa: F401
from tests.engines import tasks


def test_each_auditor_has_a_gpu_or_its_share_of_the_cores(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(local, "num_cores", lambda: 8)
    monkeypatch.setattr(local, "GPUS", tmp_path / "none")
    assert auditor_environments(None) == [{}]  # TensorFlow takes all cores itself
    assert auditor_environments(3) == [{"TF_NUM_INTRAOP_THREADS": "2"}] * 3
    for name in ("0000:01:00.0", "0000:02:00.0"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(local, "GPUS", tmp_path)
    both = [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]
    assert auditor_environments(None) == both
    assert auditor_environments(1) == [{}]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert [one["CUDA_VISIBLE_DEVICES"] for one in auditor_environments(None)] == ["3", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert auditor_environments(None) == [{}]


def test_an_engine_without_networks_has_light_processes_only() -> None:
    with LocalEngine(workers=1) as engine:
        assert engine.light(tasks.loaded).result(timeout=120) == []
        assert engine.pids["auditor"] == []
        with pytest.raises(RuntimeError, match="without networks"):
            engine.auditor(tasks.loaded)


@pytest.mark.slow
def test_two_auditors_give_the_numbers_of_one(config_file: Path) -> None:  # noqa: F811
    from cxr_audit import run_audit
    from cxr_audit.evidence import RunFolder

    from tests.audit.runs import rows_of

    one, two = (
        rows_of(
            RunFolder(
                run_audit(
                    load_config(config_file, [f"run.name=with-{num}", f"engine.auditors={num}"])
                ).folder
            )
        )
        for num in (1, 2)
    )
    for first, second in zip(one, two, strict=True):
        assert first["case_id"] == second["case_id"]
        assert float(second["logit"]) == pytest.approx(float(first["logit"]), rel=1e-6)

"""The main job, end to end, on generated radiographs and a small model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from cxr_audit import load_config, run_audit
from cxr_audit.evidence import RunFolder, verify
from cxr_audit.vocabulary.names import of_map

from tests.audit.runs import everything, rows_of, run


def test_every_case_gets_its_documents_and_the_folder_verifies(config_file: Path) -> None:
    folder = run(config_file, "report.documents=true")
    rows = rows_of(folder)
    described = json.loads((folder.path / "cases.csv-metadata.json").read_text("utf-8"))[
        "tableSchema"
    ]["columns"]
    assert list(rows[0]) == [column["name"] for column in described]
    assert len(rows) == 8
    assert {row["status"] for row in rows} == {"ok"}
    assert str(config_file.parent) not in (folder.path / "run.json").read_text()
    assert str(config_file.parent) in (folder.private / "config.json").read_text()
    assert {row["label"] for row in rows} == {"NORMAL", "PNEUMONIA"}
    assert set(of_map()) < set(rows[0])
    for row in rows:
        case = folder.case(row["case_id"])
        assert (case / "report.pdf").read_bytes().startswith(b"%PDF")
        record = json.loads((case / "case.json").read_text())
        assert float(row["logit"]) == record["prediction"]["logit"]
        with np.load(case / "map.npz") as arrays:
            values = arrays["grad-cam"]
        assert values.shape == (8, 8)
        is_faint = 0 < values.max() < folder.read_run().calibration.scale / 4
        assert record["maps"][0]["is_faint"] == is_faint
        bias = record["maps"][0]["facts"]["bias"]
        assert values.sum(dtype=float) + bias == pytest.approx(float(row["logit"]), abs=1e-4)
    assert verify(folder) == []
    record = folder.read_run()
    assert record.status == "finished"
    assert record.cases.counts == {"ok": 8, "excluded": 0, "failed": 0}
    assert record.model.is_deterministic is True


def test_one_bad_case_never_stops_a_run(config_file: Path) -> None:
    images = config_file.parent / "images" / "NORMAL"
    (images / "empty.png").touch()
    (images / "notes.txt").write_text("not an image")
    whole = (images / "Doe^Jane_0.png").read_bytes()
    (images / "cut.png").write_bytes(whole[: len(whole) // 2])
    (images / "loop.png").symlink_to("loop.png")
    folder = run(config_file, "report.documents=true")
    rows = rows_of(folder)
    failed = [row for row in rows if row["status"] == "failed"]
    assert len(rows) == 12
    assert sorted(row["error"] for row in failed) == [
        "NotARadiograph",
        "UnreadableFile",
        "UnreadableFile",
        "UnreadableFile",
    ]
    assert all(row["reason"] and not row["probability"] for row in failed)
    assert all((folder.case(row["case_id"]) / "report.pdf").is_file() for row in failed)
    # The others are what they are without the bad ones.
    alone = {row["case_id"]: row["probability"] for row in rows if row["status"] == "ok"}
    for name in ("empty.png", "notes.txt", "cut.png", "loop.png"):
        (images / name).unlink()
    again = run(config_file, "run.name=clean")
    for row in rows_of(again):
        assert float(row["probability"]) == pytest.approx(float(alone[row["case_id"]]), abs=1e-6)


def test_the_same_run_gives_the_same_bytes(config_file: Path) -> None:
    first, second = run(config_file), run(config_file, "run.name=again")
    one, two = everything(first), everything(second)
    assert set(one) == set(two)
    # The PDF prints the run's name and start; everything else is the same to the byte.
    different = {name for name in one if one[name] != two[name] and not name.endswith("report.pdf")}
    assert different == set()
    assert (first.path / "cases.csv").read_bytes() == (second.path / "cases.csv").read_bytes()


def test_records_only(config_file: Path) -> None:
    folder = run(config_file)
    assert not list(folder.cases.rglob("report.pdf"))
    assert verify(folder) == []


def test_worker_processes_give_the_same_as_inline(config_file: Path) -> None:
    inline = run(config_file)
    result = run_audit(load_config(config_file, ["run.name=pool"]))
    one, two = everything(inline), everything(RunFolder(result.folder))
    assert {n: d for n, d in one.items() if not n.endswith(".pdf")} == {
        n: d for n, d in two.items() if not n.endswith(".pdf")
    }

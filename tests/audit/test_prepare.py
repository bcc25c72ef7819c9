"""Radiographs that are excluded, cautioned or annotated."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from cxr_audit import load_config
from cxr_audit.audit import audit
from cxr_audit.evidence import RunFolder, verify
from cxr_audit.records import StoppedCase

from tests.audit.runs import Inline, everything, rows_of, run


def test_unfit_radiographs_are_excluded_failed_or_cautioned(config_file: Path) -> None:
    """Blank, clipped, and a copy: excluded, failed, with a caution; each counts once."""
    images = config_file.parent / "images" / "NORMAL"
    first = cv2.imread(str(images / "Doe^Jane_0.png"), cv2.IMREAD_GRAYSCALE)
    cv2.imwrite(str(images / "blank.png"), np.full((60, 50), 90, np.uint8))
    cv2.imwrite(str(images / "clipped.png"), np.where(first > 127, 255, 0).astype(np.uint8))
    cv2.imwrite(str(images / "copy.png"), first)
    asked = ("quality.exclude=[blank]", "quality.fail=[clipping]", "report.documents=true")
    folder = run(config_file, *asked)
    rows = rows_of(folder)
    by_quality = {row["quality"]: row for row in rows}
    assert len(rows) == 11
    assert set(by_quality) == {"", "blank;contrast", "clipping", "duplicate_pixels"}
    blank, clipped, copy = (
        by_quality[name] for name in ("blank;contrast", "clipping", "duplicate_pixels")
    )
    assert (blank["status"], blank["error"], blank["probability"]) == ("excluded", "", "")
    assert "blank" in blank["reason"]
    assert (clipped["status"], clipped["error"], clipped["probability"]) == (
        "failed",
        "UnfitRadiograph",
        "",
    )
    assert copy["status"] == "ok"
    (earlier,) = (row for row in rows if row["file_hmac"] == copy["file_hmac"] and row is not copy)
    record = folder.read_case(copy["case_id"])
    assert earlier["quality"] == ""
    (check,) = (check for check in record.quality if check.state == "failed")
    assert check.name == "duplicate_pixels"
    assert check.reason.values["case"] == earlier["case_id"]
    for row in rows:
        assert len(folder.read_case(row["case_id"]).quality) == 14
        assert (folder.case(row["case_id"]) / "report.pdf").is_file()
    assert folder.read_run().cases.counts == {"ok": 9, "excluded": 1, "failed": 1}
    assert folder.read_cohort().cases.statuses == {"ok": 9, "excluded": 1, "failed": 1}
    index = (folder.path / "index.html").read_text()
    assert all(row["case_id"] in index for row in rows)
    # Interrupted and resumed: the same records, though the later copy stands already.
    before = {name: data for name, data in everything(folder).items() if name.endswith("case.json")}
    for case_id in (earlier["case_id"], blank["case_id"], clipped["case_id"]):
        (folder.case(case_id) / "case.json").unlink()
    run(config_file, *asked, resume=True)
    assert {n: d for n, d in everything(folder).items() if n.endswith("case.json")} == before
    assert verify(folder) == []


def test_what_is_no_chest_is_excluded_once_the_lungs_are_looked_for(config_file: Path) -> None:
    folder = run(config_file, "quality.exclude=[not_a_chest]", "regions.lungs=reference", limit=1)
    (row,) = rows_of(folder)
    record = folder.read_case(row["case_id"])
    assert isinstance(record, StoppedCase)
    assert record.status == "excluded"
    calibrated = folder.read_run()  # from no case at all
    assert (
        calibrated.model.is_deterministic,
        calibrated.calibration.logit_spread,
        calibrated.calibration.scales,
    ) == (
        None,
        None,
        {},
    )
    assert "not_a_chest" in str(record.hint)
    assert set(record.pictures) == {"radiograph"}


def test_what_a_manifest_annotates_is_a_region(config_file: Path) -> None:
    """One box, one mask, one mask of another size, nothing."""
    folder = config_file.parent
    upper = np.zeros((60, 50), np.uint8)
    upper[:30] = 255
    cv2.imwrite(str(folder / "upper.png"), upper)
    cv2.imwrite(str(folder / "other.png"), upper[:40])
    cells = ['"0,0,50,30",', ",upper.png", ",other.png", ","]
    lines = [f"images/NORMAL/Doe^Jane_{n}.png,{cell}" for n, cell in enumerate(cells)]
    (folder / "manifest.csv").write_text("\n".join(["path,boxes,mask", *lines]))
    config = load_config(
        config_file,
        ["ingest.source=manifest.csv", "ingest.labels=none", "explain.methods=[centre]"],
    )
    result = audit(config, Inline(config))
    found = RunFolder(result.folder)
    by_box, by_mask, refused, nothing = rows_of(found)
    for name in ("relevance_mass_accuracy", "chance", "iou", "dice_otsu", "pointing_game_hit"):
        assert by_box[f"annotation_{name}"] == by_mask[f"annotation_{name}"] != ""
        assert {refused[f"annotation_{name}"], nothing[f"annotation_{name}"]} == {""}
    # The map is a Gaussian in the middle.
    assert float(by_box["annotation_relevance_mass_accuracy"]) == pytest.approx(0.5, abs=0.01)
    # Chance follows from what the cells see of the upper half, which is not quite half of it.
    record = found.read_case(by_box["case_id"])
    axis = record.maps[0].facts.geometry
    assert 0.4 < float(by_box["annotation_chance"]) <= 0.5, axis
    missing = found.read_case(refused["case_id"]).regions.missing["annotation"]
    assert {40, 50, 60} <= set(missing.values.values())
    assert {row["status"] for row in (by_box, by_mask, refused, nothing)} == {"ok"}
    rate = result.cohort.hit_rates["annotation"]
    hits = [row["annotation_pointing_game_hit"] == "True" for row in (by_box, by_mask)]
    assert (rate.value, rate.num_cases) == (np.mean(hits), 2)
    assert result.cohort.hit_rates["lungs"].num_cases == 0
    record = found.read_case(by_mask["case_id"])
    assert len(record.regions.of_kind("annotation")) == 1
    assert not any(
        b"other.png" in path.read_bytes() for path in found.cases.rglob("*") if path.is_file()
    )

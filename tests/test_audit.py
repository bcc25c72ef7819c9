"""The main job, end to end, on generated radiographs and a small model."""

from __future__ import annotations

import csv
import json
import os
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from cxr_audit import ingest, load_config, run_audit
from cxr_audit.audit import audit, cohort_of, render
from cxr_audit.audit.batch import limited
from cxr_audit.audit.run import _on_radiographs
from cxr_audit.errors import ConfigError, EngineError, ModelError, NotRetrieved, VerificationError
from cxr_audit.evidence import EventLog, RunFolder, seal, verify
from cxr_audit.records import DEPENDENCE, FOCUS_METRICS, CaseSource, Placement
from cxr_audit.report.words import calibrated_before
from pypdf import PdfReader

from tests.classifier.models import nested
from tests.cohort.cases import a_case, a_failure, a_source
from tests.evidence.test_events import UNFINISHED, started, with_schema
from tests.evidence.test_folder import said


class Inline:
    """Runs everything here, at once."""

    num_workers = 1

    def submit(self, function: Any, /, *arguments: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future


def write_image(path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = cv2.GaussianBlur(rng.random((60, 50)).astype(np.float32), (0, 0), 4)
    cv2.imwrite(str(path), cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8))


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
            write_image(
                tmp_path / "images" / label / f"Doe^Jane_{n}.png", seed=n + 10 * (label == "NORMAL")
            )
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


def run(config_file: Path, *overrides: str, **options: Any) -> RunFolder:
    result = audit(load_config(config_file, overrides), Inline(), **options)
    return RunFolder(result.folder)


def rows_of(folder: RunFolder) -> list[dict[str, str]]:
    with (folder.path / "cases.csv").open() as file:
        return list(csv.DictReader(file))


def everything(folder: RunFolder) -> dict[str, bytes]:
    """Every file of the cases, by name."""
    return {
        p.relative_to(folder.path).as_posix(): p.read_bytes()
        for p in sorted(folder.cases.rglob("*"))
        if p.is_file()
    }


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
    assert set(FOCUS_METRICS) < set(rows[0])
    for row in rows:
        case = folder.case(row["case_id"])
        assert (case / "report.pdf").read_bytes().startswith(b"%PDF")
        record = json.loads((case / "case.json").read_text())
        assert float(row["logit"]) == record["prediction"]["logit"]
        with np.load(case / "map.npz") as arrays:
            values = arrays["grad-cam"]
        assert values.shape == (8, 8)
        assert record["faint"] == (
            ["grad-cam"] if 0 < values.max() < folder.read_run().scale / 4 else []
        )
        bias = record["maps"][0]["bias"]
        assert values.sum(dtype=float) + bias == pytest.approx(float(row["logit"]), abs=1e-4)
    assert verify(folder) == []
    record = folder.read_run()
    assert record.status == "finished"
    assert record.counts == {"ok": 8, "excluded": 0, "failed": 0}
    assert record.model.is_deterministic is True


def test_the_budget_of_a_case_adds_up_and_colours_may_be_its_own(config_file: Path) -> None:
    folder = run(
        config_file,
        "report.scale=case",
        "report.cells=true",
        "preprocess.resize=letterbox",
        limit=2,
    )
    record = folder.read_run()
    assert (record.scale, record.scale_source) == (None, "each map's own maximum")
    assert record.model.is_deterministic is True
    for case_id in folder.case_ids():
        case = folder.read_case(case_id)
        assert case is not None
        assert case.budget is not None
        assert case.prediction is not None
        names = [name for name, _ in case.budget.parts]
        assert names[-4:] == ["border", "padding", "elsewhere", "bias"]
        assert sum(value for _, value in case.budget.parts) == pytest.approx(
            case.prediction.logit, abs=1e-4
        )
        with np.load(folder.case(case_id) / "map.npz") as arrays:
            highest = float(arrays["grad-cam"].max())
        if case.maps[0].status == "ok":
            assert highest <= case.scales["grad-cam"] <= 1.1 * highest
        assert case.faint == ()


def test_masking_asks_a_sample_again_spread_over_the_run(config_file: Path) -> None:
    folder = run(config_file, "masking.cases=3")
    records = {case_id: folder.read_case(case_id) for case_id in folder.case_ids()}
    rows = rows_of(folder)
    asked = [bool(records[row["case_id"]].masking) for row in rows]
    assert asked == [n in (0, 2, 5) for n in range(8)]  # 0, 8/3, 16/3 of 8
    for row, is_asked in zip(rows, asked, strict=True):
        record = records[row["case_id"]]
        # Noise shows no lungs; the border is always there.
        if is_asked:
            assert set(record.masking_missing) >= {"lungs", "all but the lungs"}
            (blurred,) = (m for m in record.masking if (m.removed, m.fill) == ("border", "blurred"))
            assert blurred.logit - blurred.change == pytest.approx(
                record.prediction.logit, abs=1e-6
            )
            assert float(row["masking_border_change"]) == blurred.change != 0
        assert bool(row["masking_border_change"]) is is_asked
        assert row["masking_lungs_change"] == ""
    everywhere = run(config_file, "masking.cases=all", "run.name=all")
    assert all(row["masking_border_change"] for row in rows_of(everywhere))
    nowhere = run(config_file, "masking.cases=none", "run.name=none")
    assert not any(row["masking_border_change"] for row in rows_of(nowhere))
    # What is asked beside it, or resumed, changes nothing.
    for row in rows_of(folder):
        if row["masking_border_change"]:
            assert row in rows_of(everywhere)
    (folder.case(rows[2]["case_id"]) / "case.json").unlink()
    (folder.path / "SHA256SUMS").unlink()
    resumed = run(config_file, "masking.cases=3", resume=True)
    assert resumed.read_case(rows[2]["case_id"]) == records[rows[2]["case_id"]]


def test_flags_follow_the_limits_of_the_run_and_those_of_another_config(config_file: Path) -> None:
    def count(limit: float) -> tuple[str, str]:
        return f"acceptance.flag_near_threshold_log_odds={limit}", (
            "acceptance.criteria=[{metric: flag_near_threshold, share_at_most: 0.0}]"
        )

    folder = run(config_file, *count(1000), limit=2)
    for row in rows_of(folder):
        assert "near_threshold" in row["flags"].split()
        assert row["flag_near_threshold"] == "True"
        record = folder.read_case(row["case_id"])
        assert record is not None
        assert set(record.exposure) == {"darker", "brighter"}
    assert '<option value="near_threshold">' in (folder.path / "index.html").read_text()
    (found,) = cohort_of(folder.path).acceptance
    assert found.found.value == 1
    (again,) = cohort_of(folder.path, load_config(config_file, count(0))).acceptance
    assert again.found.value == 0


def test_the_border_is_tried_as_it_usually_is_in_the_run(
    config_file: Path, model_file: Path
) -> None:
    import keras

    folder = run(config_file)
    model = keras.saving.load_model(model_file)
    with (folder.private / "crosswalk.csv").open() as file:
        paths = {
            row["case_id"]: config_file.parent / "images" / row["path"]
            for row in csv.DictReader(file)
        }
    pictures = [
        cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255
        for path in paths.values()
    ]
    seen = np.stack([cv2.resize(one, (32, 32), interpolation=cv2.INTER_AREA) for one in pictures])
    changed = np.repeat(seen.mean(0)[None], len(seen), 0)  # all eight: the sample could be larger
    changed[:, 2:-2, 2:-2] = seen[
        :, 2:-2, 2:-2
    ]  # a twentieth of 32 is 1.6: the second pixel is touched
    probability = model.predict(
        np.repeat(np.concatenate([seen, changed])[..., None], 3, -1), verbose=0
    )[:, 0]
    before, after = np.log(probability / (1 - probability)).astype(float).reshape(2, -1)
    for case_id, change in zip(paths, after - before, strict=True):
        record = folder.read_case(case_id)
        assert record is not None
        assert record.as_usual["border"] == pytest.approx(change, abs=1e-3)
    assert np.abs(after - before).max() > 0.01  # it does something
    assert folder.read_run().logit_spread == pytest.approx(before.std(), abs=1e-3)
    described = folder.read_cohort()
    assert described is not None
    assert tuple(check.name for check in described.dependence) == DEPENDENCE


def test_what_is_usual_is_not_another_for_the_rest_of_a_run(config_file: Path) -> None:
    folder = run(config_file)
    (folder.case(rows_of(folder)[5]["case_id"]) / "case.json").unlink()
    (folder.path / "SHA256SUMS").unlink()
    (folder.path / "usual.npz").write_bytes(b"another")
    with pytest.raises(VerificationError, match=r"usual\.npz is not what the run has begun with"):
        run(config_file, resume=True)


def test_few_radiographs_tell_nothing_usual(config_file: Path) -> None:
    folder = run(config_file, limit=7)
    assert (folder.read_run().num_found, folder.read_run().usual_sha256) == (8, None)
    assert not (folder.path / "usual.npz").exists()
    records = [folder.read_case(case_id) for case_id in folder.case_ids()]
    assert {len(record.as_usual) for record in records if record} == {0}


def test_every_case_gets_a_trust_state_and_a_resumed_run_the_same(config_file: Path) -> None:
    checks = ("trust.randomisation=true", "trust.faithfulness=all", "trust.stability=all")
    criteria = "acceptance.criteria=[{metric: randomisation}, {metric: deletion}]"
    folder = run(config_file, *checks, criteria)
    record = folder.read_run()
    gate = record.checks[0]
    assert gate.name == "randomisation"
    assert [stage.layer for stage in record.cascade][::4] == ["output", "backbone/conv1"]
    assert {check.name: check.reason for check in record.checks}["deletion"] == (
        "8 of 8 sampled cases have a map, at least 16 are needed"
    )
    met, not_made = folder.read_cohort().acceptance
    assert (met.in_words, met.is_met) == (
        "check of the model: randomisation passed",
        gate.state == "passed",
    )
    assert not not_made.is_met
    for row in rows_of(folder):
        case = folder.read_case(row["case_id"])
        assert case is not None
        assert case.trust is not None
        assert row["trust_state"] == case.trust.state
        assert row["trust_passed"] == str(case.trust.state == "passed")
        assert {check.name for check in case.trust.checks} == {
            *(
                "completeness",
                "agreement",
                "deletion",
                "insertion",
                "road",
                "stability",
                "worst_stability",
            )
        }
    before = everything(folder)
    (folder.case(folder.case_ids()[4]) / "case.json").unlink()
    run(config_file, *checks, criteria, resume=True)
    assert everything(folder) == before
    assert folder.read_run().checks == record.checks


def test_a_model_that_answers_differently_twice_is_recorded(
    config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import keras

    class Noise(keras.layers.Layer):
        def call(self, x: Any) -> Any:
            return x + keras.random.normal(keras.ops.shape(x))

    image = keras.Input((32, 32, 3))
    x = keras.layers.GlobalAveragePooling2D()(Noise()(keras.layers.Conv2D(2, 3)(image)))
    model = keras.Model(image, keras.layers.Dense(1, "sigmoid")(x))
    monkeypatch.setattr("cxr_audit.classifier.load_keras", lambda *_: model)
    record = run(config_file).read_run()
    assert record.model.is_deterministic is False


def test_probabilities_are_those_of_the_model_itself(config_file: Path, model_file: Path) -> None:
    """Against Keras and OpenCV directly, without our rooms."""
    import keras

    folder = run(config_file)
    model = keras.saving.load_model(model_file)
    with (folder.private / "crosswalk.csv").open() as file:
        paths = {row["case_id"]: row["path"] for row in csv.DictReader(file)}
    for row in rows_of(folder):
        grey = cv2.imread(
            str(config_file.parent / "images" / paths[row["case_id"]]), cv2.IMREAD_GRAYSCALE
        )
        resized = cv2.resize(grey.astype(np.float32) / 255, (32, 32), interpolation=cv2.INTER_AREA)
        expected = model.predict(np.repeat(resized[None, ..., None], 3, -1), verbose=0)[0, 0]
        assert float(row["probability"]) == pytest.approx(expected, abs=1e-5)


def test_a_wrong_prediction_shows_both_classes(config_file: Path) -> None:
    folder = run(config_file)
    records = [folder.read_case(case_id) for case_id in folder.case_ids()]
    wrong = [r for r in records if r.prediction.is_correct is False]
    assert wrong
    assert all({m.class_name for m in r.maps} == {"NORMAL", "PNEUMONIA"} for r in wrong)
    assert all(len(r.maps) == 1 for r in records if r.prediction.is_correct)


def test_no_name_leaves_the_private_folder(config_file: Path) -> None:
    (config_file.parent / "images" / "NORMAL" / "Doe^Jane_notes.txt").write_text("Doe^Jane")
    folder = run(config_file, "report.documents=true")
    for path in folder.path.rglob("*"):
        if path.is_file() and path.parent.name != "private":
            assert b"Doe" not in path.read_bytes(), path
            assert "Doe" not in path.name


def test_case_ids_depend_on_a_key_that_stays_outside_the_run(
    config_file: Path, monkeypatch: Any
) -> None:
    def ids(folder: RunFolder) -> set[str]:
        return {row["case_id"] for row in rows_of(folder)}

    first = run(config_file)
    key = config_file.parent / "reports" / ".case-id-key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_text().strip()) == 64
    assert not any(
        key.read_bytes().strip() in p.read_bytes() for p in first.path.rglob("*") if p.is_file()
    )
    assert ids(run(config_file, "run.name=again")) == ids(first)
    elsewhere = run(config_file, "run.output=elsewhere")
    assert not ids(elsewhere) & ids(first)
    assert elsewhere.read_run().case_id_key != first.read_run().case_id_key
    assert ids(
        run(config_file, "run.output=elsewhere", "run.name=keyed", f"privacy.key_file={key}")
    ) == ids(first)
    assert str(key) not in (config_file.parent / "elsewhere" / "keyed" / "run.json").read_text()
    monkeypatch.setenv("CXR_AUDIT_CASE_ID_KEY", key.read_text())
    assert ids(run(config_file, "run.output=elsewhere", "run.name=environment")) == ids(first)
    monkeypatch.setenv("CXR_AUDIT_CASE_ID_KEY", "another secret of ours")
    with pytest.raises(ConfigError, match="changed since it was made: key of the case ids"):
        run(config_file, resume=True)


def test_what_a_server_did_not_give_is_asked_for_again(config_file: Path, monkeypatch: Any) -> None:
    """Seven of eight files are there; on --resume the eighth is as well, and only it is audited."""
    original, refused = ingest.read, []

    def read(source: CaseSource, **settings: Any) -> Any:
        if "PNEUMONIA/Doe^Jane_2" in source.relative_path:
            refused.append(source)
            raise NotRetrieved(
                "the server is busy (503), 5 times", "Once the server answers, --resume asks again."
            )
        return original(source, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(ingest, "read", read)
        folder = run(config_file)
    assert refused
    assert [row["error"] for row in rows_of(folder) if row["status"] == "failed"] == [
        "NotRetrieved"
    ]
    before = {path: path.stat().st_mtime_ns for path in folder.cases.glob("*/case.json")}
    run(config_file, resume=True)
    assert {row["status"] for row in rows_of(folder)} == {"ok"}
    assert sum(path.stat().st_mtime_ns != before[path] for path in before) == 1
    assert verify(folder) == []


def test_a_copy_of_what_a_server_gave_late_is_marked_then(
    config_file: Path, monkeypatch: Any
) -> None:
    images, original = config_file.parent / "images", ingest.read
    (images / "PNEUMONIA" / "copy.png").write_bytes(
        (images / "NORMAL" / "Doe^Jane_0.png").read_bytes()
    )

    def read(source: CaseSource, **settings: Any) -> Any:
        if "NORMAL/Doe^Jane_0" in source.relative_path:
            raise NotRetrieved(
                "the server is busy (503), 5 times", "Once the server answers, --resume asks again."
            )
        return original(source, **settings)

    few = "trust.sample=7"  # for no mean radiograph, which would lack the one that came late
    with monkeypatch.context() as patch:
        patch.setattr(ingest, "read", read)
        folder = run(config_file, few)
    assert {row["quality"] for row in rows_of(folder)} == {""}
    run(config_file, few, resume=True)
    (late,) = (row["case_id"] for row in rows_of(folder) if row["quality"] == "duplicate_pixels")
    whole = run(config_file, few, "run.name=whole")
    assert (folder.case(late) / "case.json").read_bytes() == (
        whole.case(late) / "case.json"
    ).read_bytes()
    assert (folder.path / "cases.csv").read_bytes() == (whole.path / "cases.csv").read_bytes()
    assert verify(folder) == []


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


def test_unfit_radiographs_are_excluded_failed_or_cautioned(config_file: Path) -> None:
    """Blank, clipped, and a copy: excluded, failed, with a caution; each keeps its place in every count."""
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
    assert "the picture is blank" in blank["reason"]
    assert (clipped["status"], clipped["error"], clipped["probability"]) == (
        "failed",
        "UnfitRadiograph",
        "",
    )
    assert copy["status"] == "ok"
    (earlier,) = (
        row for row in rows if row["file_sha256"] == copy["file_sha256"] and row is not copy
    )
    record = folder.read_case(copy["case_id"])
    assert earlier["quality"] == ""
    reasons = {check.name: check.reason for check in record.quality if check.state == "failed"}
    assert reasons == {
        "duplicate_pixels": f"the same pixels as case {earlier['case_id']}, earlier in the run"
    }
    for row in rows:
        assert len(folder.read_case(row["case_id"]).quality) == 14
        assert (folder.case(row["case_id"]) / "report.pdf").is_file()
    assert folder.read_run().counts == {"ok": 9, "excluded": 1, "failed": 1}
    assert folder.read_cohort().statuses == {"ok": 9, "excluded": 1, "failed": 1}
    index = (folder.path / "index.html").read_text()
    assert all(row["case_id"] in index for row in rows)
    # Broken off and resumed: the same records, though of the two copies the later one stands already.
    before = {name: data for name, data in everything(folder).items() if name.endswith("case.json")}
    for case_id in (earlier["case_id"], blank["case_id"], clipped["case_id"]):
        (folder.case(case_id) / "case.json").unlink()
    run(config_file, *asked, resume=True)
    assert {n: d for n, d in everything(folder).items() if n.endswith("case.json")} == before
    assert verify(folder) == []


def test_excluded_copies_have_no_part_in_the_calibration(config_file: Path) -> None:
    alone = run(config_file, "run.name=alone").read_run()
    images = config_file.parent / "images" / "NORMAL"
    for n in range(3):
        (images / f"copy {n}.png").write_bytes((images / "Doe^Jane_0.png").read_bytes())
    record = run(config_file, "quality.exclude=[duplicate_pixels]").read_run()
    assert record.counts == {"ok": 8, "excluded": 3, "failed": 0}
    assert "over 8 cases" in str(record.scale_source)
    assert record.logit_spread == pytest.approx(alone.logit_spread, rel=1e-4)
    assert record.scale == alone.scale
    counted = run(config_file, "run.name=counted").read_run()
    assert "over 11 cases" in str(counted.scale_source)
    assert counted.logit_spread != pytest.approx(alone.logit_spread, rel=1e-4)


def test_what_is_no_chest_is_excluded_once_the_lungs_are_looked_for(config_file: Path) -> None:
    folder = run(config_file, "quality.exclude=[not_a_chest]", "regions.lungs=reference", limit=1)
    (row,) = rows_of(folder)
    record = folder.read_case(row["case_id"])
    assert (record.status, record.prediction, record.maps) == ("excluded", None, ())
    calibrated = folder.read_run()  # from no case at all
    assert (calibrated.model.is_deterministic, calibrated.logit_spread, calibrated.scales) == (
        None,
        None,
        {},
    )
    assert "does not look like a frontal chest radiograph" in record.reason
    assert set(record.pictures) == {"radiograph"}


def test_the_same_file_twice_is_two_cases(config_file: Path) -> None:
    images = config_file.parent / "images"
    (images / "NORMAL" / "copy.png").write_bytes(
        (images / "NORMAL" / "Doe^Jane_0.png").read_bytes()
    )
    ids = [row["case_id"] for row in rows_of(run(config_file))]
    assert len(set(ids)) == 9
    assert sum(case_id.endswith("-2") for case_id in ids) == 1


def test_the_same_run_gives_the_same_bytes(config_file: Path) -> None:
    first, second = run(config_file), run(config_file, "run.name=again")
    one, two = everything(first), everything(second)
    assert set(one) == set(two)
    # The PDF prints the run's name and start; everything else is the same to the byte.
    different = {name for name in one if one[name] != two[name] and not name.endswith("report.pdf")}
    assert different == set()
    assert (first.path / "cases.csv").read_bytes() == (second.path / "cases.csv").read_bytes()


def test_a_resumed_run_ends_in_the_same_records(config_file: Path) -> None:
    whole = run(config_file)
    broken = run(config_file, "run.name=broken")
    for case_id in broken.case_ids()[2:6]:
        (broken.case(case_id) / "case.json").unlink()
    (broken.path / "SHA256SUMS").unlink()
    before = {
        case_id: (broken.case(case_id) / "case.json").stat().st_mtime_ns
        for case_id in broken.case_ids()
    }
    resumed = run(config_file, "run.name=broken", resume=True)
    for case_id, written in before.items():
        assert (resumed.case(case_id) / "case.json").stat().st_mtime_ns == written
    one, two = everything(whole), everything(resumed)
    assert {n: d for n, d in one.items() if not n.endswith(".pdf")} == {
        n: d for n, d in two.items() if not n.endswith(".pdf")
    }
    assert verify(resumed) == []


@pytest.mark.slow
def test_killed_in_the_middle_and_resumed(config_file: Path) -> None:
    """SIGKILL to the process and its workers as soon as two cases stand."""
    for n in range(20, 40):
        write_image(config_file.parent / "images" / "NORMAL" / f"more_{n}.png", n)
    command = [
        sys.executable,
        "-m",
        "cxr_audit.cli",
        "run",
        str(config_file),
        "--set",
        "run.name=killed",
    ]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    folder = RunFolder(config_file.parent / "reports" / "killed")
    deadline = time.monotonic() + 120
    while len(folder.case_ids()) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert 2 <= len(folder.case_ids()) < 28
    assert not (folder.path / "SHA256SUMS").exists()
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    whole = run(config_file)
    one, two = everything(whole), everything(folder)
    assert {n: d for n, d in one.items() if not n.endswith(".pdf")} == {
        n: d for n, d in two.items() if not n.endswith(".pdf")
    }
    assert verify(folder) == []
    assert (whole.path / "cases.csv").read_bytes() == (folder.path / "cases.csv").read_bytes()


def test_a_disk_that_fills_up_leaves_nothing_half_written(
    config_file: Path, monkeypatch: Any
) -> None:
    """A disk with room for so many bytes takes what fits and refuses the rest. Once there is room, the run ends in the
    same bytes."""
    whole, real = run(config_file), os.write
    one, first = (
        everything(whole),
        ("run.json", "run.json", "sbom.cdx.json", "events.jsonl", "private/crosswalk.csv"),
    )
    before = sum((whole.path / name).stat().st_size for name in first)
    of_a_case = sum(map(len, one.values())) // 8
    folder, left = RunFolder(config_file.parent / "reports" / "full"), [0]

    def write(descriptor: int, data: bytes) -> int:
        if left[0] == 0:
            raise OSError(28, "No space left on device")
        written = real(descriptor, data[: left[0]])
        left[0] -= written
        return written

    for cases in (-1, 2.5, 2.5):  # before the first record, then among the cases, twice
        left[0] = int(before + cases * of_a_case) if cases > 0 else before // 2
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", write)
            with pytest.raises(EngineError, match="No space left") as error:
                run(config_file, "run.name=full", resume=cases > 0)
        assert "--resume" in str(error.value.hint)
        assert bool(folder.case_ids()) == (cases > 0)
        assert {name: one[name] for name in everything(folder)} == everything(folder)
        assert not list(folder.path.rglob(".*.tmp"))
        assert not folder.is_sealed
    assert everything(run(config_file, "run.name=full", resume=True)) == one
    assert verify(folder) == []


def test_resume_refuses_another_config(config_file: Path) -> None:
    run(config_file)
    with pytest.raises(ConfigError, match="changed since it was made: config"):
        run(config_file, "focus.high_focus_threshold=0.4", resume=True)


def test_an_own_models_card_is_recorded_and_bound_to_it(config_file: Path) -> None:
    """The interval is Wilson's for 9 of 10: 0.596 to 0.982 (Newcombe 1998, by hand)."""
    validation = "validation: {data: ours, bins: [[0, 0.5, 0, 0], [0.5, 1, 10, 9]]}"
    given = f"classifier.card={{intended_use: a second look, population: adults, {validation}}}"
    model = run(config_file, given, limit=1).read_run().model
    assert model.card is not None
    assert (model.card.sha256, model.card.population, model.card.limits) == (
        model.sha256,
        "adults",
        (),
    )
    assert model.card.validation is not None
    assert model.card.validation.class_name == "PNEUMONIA"
    (one,) = model.card.validation.bins  # no case, no bin
    assert (one.num_cases, one.num_labelled) == (10, 9)
    assert one.interval_95 == pytest.approx((0.5958, 0.9821), abs=1e-4)
    with pytest.raises(ConfigError, match="changed since it was made: config"):
        run(config_file, given.replace("adults", "children"), resume=True, limit=1)
    with pytest.raises(ConfigError, match="has its own model card"):
        run(config_file, given, "classifier.path=reference", "run.name=other", limit=1)


def test_resume_refuses_another_lung_segmenter(config_file: Path) -> None:
    folder = run(config_file, limit=2)
    folder.write_run(replace(folder.read_run(), segmenter_sha256="0" * 64))
    with pytest.raises(ConfigError, match="changed since it was made: lung segmenter"):
        run(config_file, resume=True, limit=2)


def test_resume_refuses_other_radiographs_and_labels(config_file: Path) -> None:
    run(config_file)
    images = config_file.parent / "images"
    (images / "NORMAL" / "Doe^Jane_0.png").rename(images / "PNEUMONIA" / "moved.png")
    with pytest.raises(ConfigError, match="changed since it was made: radiographs, labels"):
        run(config_file, resume=True)
    (images / "PNEUMONIA" / "moved.png").unlink()
    with pytest.raises(ConfigError, match="changed since it was made: radiographs, labels"):
        run(config_file, resume=True)


MANIFEST = """path,label,patient_id,boxes,mask,ward
images/NORMAL/Doe^Jane_0.png,NORMAL,p0,"0,0,50,30",,A
images/NORMAL/Doe^Jane_2.png,NORMAL,p2,,,B
images/NORMAL/Doe^Jane_1.png,NORMAL,p1,,upper.png,A
"""  # two of these, spread, are the first and the last
FROM_MANIFEST = ("ingest.source=manifest.csv", "ingest.labels=label")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("p0", "p1"),
        ("50,30", "50,31"),
        (",A\n", ",C\n"),
        ('30",,', '30",upper.png,'),
        ("mask drawn anew", ""),
    ],
    ids=["patient", "box", "column", "mask added", "mask changed"],
)
def test_resume_refuses_what_the_manifest_says_otherwise_of_a_case(
    config_file: Path, old: str, new: str
) -> None:
    """Of a case that stands; of the ones that are still to come it may say what it likes."""
    manifest, mask = config_file.parent / "manifest.csv", np.zeros((60, 50), np.uint8)
    manifest.write_text(MANIFEST)
    mask[:30] = 1
    cv2.imwrite(str(config_file.parent / "upper.png"), mask)
    is_finished = old in ("p0", "50,30")
    folder = run(config_file, *FROM_MANIFEST, limit=None if is_finished else 2)
    crosswalk = (folder.private / "crosswalk.csv").read_bytes()
    assert (b"p2" in crosswalk) == is_finished
    if old in MANIFEST:
        manifest.write_text(MANIFEST.replace(old, new, 1))
    else:
        cv2.imwrite(str(config_file.parent / "upper.png"), mask[::-1])
    with pytest.raises(ConfigError, match=r"cannot be resumed; changed .*boxes, masks") as error:
        run(config_file, *FROM_MANIFEST, resume=True)
    assert "run.name" in str(error.value.hint)
    assert verify(folder) == []
    assert (folder.private / "crosswalk.csv").read_bytes() == crosswalk


def test_resume_takes_what_the_manifest_says_anew_of_cases_to_come(config_file: Path) -> None:
    manifest = config_file.parent / "manifest.csv"
    manifest.write_text(MANIFEST.replace("upper.png", ""))
    run(config_file, *FROM_MANIFEST, limit=2)
    manifest.write_text(manifest.read_text().replace("p2,,,B", 'p2,"0,0,9,9",,B'))
    folder = run(config_file, *FROM_MANIFEST, resume=True)
    assert verify(folder) == []
    kinds = [[r.kind for r in folder.read_case(row["case_id"]).regions] for row in rows_of(folder)]
    assert ["annotation" in kinds_of_a_case for kinds_of_a_case in kinds] == [True, True, False]


def test_what_is_told_of_a_case_is_not_to_be_guessed(config_file: Path) -> None:
    """The same words under another key are another hash; with the same key the same."""
    manifest = config_file.parent / "manifest.csv"
    manifest.write_text(MANIFEST.replace("upper.png", ""))
    one, same, other = (
        ingest.discover(manifest, "label", key=key) for key in (b"a" * 16, b"a" * 16, b"b" * 16)
    )
    hashes = [case.metadata_hmac for case in one]
    assert len(set(hashes)) == 3
    assert hashes == [case.metadata_hmac for case in same]
    assert not set(hashes) & {case.metadata_hmac for case in other}


def test_a_changed_run_does_not_go_on(config_file: Path) -> None:
    """Else its changes would be sealed as its own."""
    folder = run(config_file, limit=2)
    path = folder.case(folder.case_ids()[0]) / "map.npz"
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(
        VerificationError, match=r"was changed after it was sealed:\nchanged: cases/.*/map\.npz"
    ):
        run(config_file, resume=True)


@pytest.mark.parametrize("damaged", [b"", b'{"case_id":'])
def test_a_damaged_record_is_made_again(config_file: Path, damaged: bytes) -> None:
    folder = run(config_file)
    path = folder.case(folder.case_ids()[3]) / "case.json"
    whole = path.read_bytes()
    path.write_bytes(damaged)
    run(config_file, resume=True)
    assert path.read_bytes() == whole
    assert verify(folder) == []


@pytest.mark.parametrize("name", ["map.npz", "map-0.jpg", "report.pdf"])
def test_a_case_that_lacks_a_file_is_made_again(config_file: Path, name: str) -> None:
    """In a run that is not sealed yet, where nothing else would tell; the one case, not the other."""
    documents = f"report.documents={str(name == 'report.pdf').lower()}"
    folder = run(config_file, documents, limit=2)
    whole = everything(folder)
    first, second = folder.case_ids()
    (folder.path / "SHA256SUMS").unlink()
    (folder.case(first) / name).unlink()
    before = (folder.case(second) / "case.json").stat().st_mtime_ns
    assert everything(run(config_file, documents, limit=2, resume=True)) == whole
    assert (folder.case(second) / "case.json").stat().st_mtime_ns == before
    assert verify(folder) == []


def test_resuming_a_finished_run_writes_nothing(config_file: Path) -> None:
    folder = run(config_file)
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
    assert run(config_file, resume=True) == folder
    assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")} == before


def test_a_finished_run_that_does_not_verify_is_not_resumed(config_file: Path) -> None:
    """What it lacks is no work of the run's: after `render` or `sign` broke off, or its signature was taken away."""
    folder = run(config_file, limit=2)

    def refused(config_file: Path, **asked: Any) -> str:
        before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
        with pytest.raises(VerificationError) as error:
            run(config_file, resume=True, **asked)
        assert {
            path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()
        } == before
        return str(error.value.hint)

    EventLog.open(folder).append("rewriting", documents=["summary.pdf"])
    assert "cxr-audit sign RUN" in refused(config_file, limit=2)
    EventLog.open(folder).append("rewriting")
    assert "cxr-audit render RUN" in refused(config_file, limit=2)
    assert "cxr-audit render RUN" in refused(config_file)  # nor with more cases
    render(folder.path, Inline())
    assert run(config_file, limit=2, resume=True) == folder
    log = EventLog.open(folder)
    log.append("signed", documents={})
    seal(folder, log)
    assert "cxr-audit sign RUN" in refused(config_file, limit=2)
    (folder.path / "index.html").write_bytes(b"x")
    assert "archived" in refused(config_file, limit=2)
    cohort_of(folder.path)  # that is of the records alone
    path = folder.case(folder.case_ids()[0]) / "case.json"
    path.write_bytes(path.read_bytes() + b"\n")
    with pytest.raises(VerificationError, match=r"changed: cases/.*/case\.json"):
        cohort_of(folder.path)


def test_a_limited_run_goes_on_with_all_cases(config_file: Path) -> None:
    """Its scale and the checks of the model stay those of the first run's cases, and it says so."""
    folder = run(config_file, limit=4)
    first = folder.read_run()
    assert calibrated_before(first) == []
    some = [row["case_id"] for row in rows_of(folder)]
    assert [row["label"] for row in rows_of(folder)] == ["NORMAL"] * 2 + [
        "PNEUMONIA"
    ] * 2  # sorted by class
    assert set(some) < {row["case_id"] for row in rows_of(run(config_file, resume=True, limit=6))}
    with pytest.raises(ConfigError, match="or --limit"):
        run(config_file, resume=True, limit=5)
    folder = run(config_file, resume=True, limit=8)  # all there are, which is no limit
    assert [row["case_id"] for row in rows_of(folder)][::2] == some
    events = [json.loads(line) for line in folder.events.read_text().splitlines()]
    assert [(one["num_cases"], one["of"]) for one in events if one["event"] == "limited"] == [
        (4, 8),
        (6, 8),
    ]
    assert folder.read_run().num_found is None  # all, in the end
    assert verify(folder) == []
    assert len(rows_of(folder)) == 8
    record = folder.read_run()
    assert (record.scales, record.checks, record.calibrated_cases) == (
        first.scales,
        first.checks,
        4,
    )
    assert calibrated_before(record) == ["from when the run had 4 cases, not 8"]
    texts = " ".join(page.extract_text() for page in PdfReader(folder.path / "summary.pdf").pages)
    assert "are from when the run had 4 cases, not 8." in " ".join(texts.split())


def test_a_limit_spreads_over_the_list_and_a_larger_one_holds_a_smaller() -> None:
    sources = [a_source(f"{n}") for n in range(6)]
    # 000, 001, 010, 011, 100 and 101 backwards: 0, 4, 2, 6, 1 and 5 of 8.
    ranked = (0, 4, 2, 1, 5, 3)
    for num in range(1, 9):
        assert [int(one.case_id) for one in limited(sources, num)] == sorted(ranked[:num])


def test_a_copy_whose_first_comes_with_the_rest_is_marked_then(config_file: Path) -> None:
    images = config_file.parent / "images"
    (images / "PNEUMONIA" / "Doe^Jane_0.png").write_bytes(
        (images / "NORMAL" / "Doe^Jane_3.png").read_bytes()
    )
    few = "trust.sample=7"  # for no mean radiograph
    folder = run(config_file, few, limit=2)  # the first of each class
    assert [row["quality"] for row in rows_of(folder)] == ["", ""]
    folder = run(config_file, few, resume=True)
    assert [row["quality"] for row in rows_of(folder)] == [""] * 4 + ["duplicate_pixels"] + [""] * 3
    assert verify(folder) == []


KILLED_WHILE_RENDERING = """
import os, signal, sys
from pathlib import Path
from cxr_audit.audit import render, run
from tests.test_audit import Inline

class Killed(Inline):
    left = 1
    def submit(self, function, *arguments):
        if not self.left:
            (Path(arguments[0]) / "cases" / arguments[1] / ".report.pdf.1.tmp").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        return super().submit(function, *arguments)

render(Path(sys.argv[1]), Killed(), Path(sys.argv[2]))
"""


def test_killed_while_its_documents_are_written_again(config_file: Path, tmp_path: Path) -> None:
    """SIGKILL after the first of two, with templates that make another document: `verify` says what to do."""
    folder = run(config_file, "report.documents=true", limit=2)
    letterhead = Path("templates/letterhead.html.j2")
    assert letterhead.is_file()
    own = tmp_path / "own"
    own.mkdir()
    (own / letterhead.name).write_text("<p>St. Elsewhere</p>")
    before = {
        case_id: (folder.case(case_id) / "report.pdf").read_bytes() for case_id in folder.case_ids()
    }
    done = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_RENDERING, folder.path, own], capture_output=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    changed = [
        case_id
        for case_id in before
        if (folder.case(case_id) / "report.pdf").read_bytes() != before[case_id]
    ]
    assert changed == folder.case_ids()[:1]
    assert said(folder) == UNFINISHED
    path = folder.case(changed[0]) / "map.npz"
    whole = path.read_bytes()
    path.write_bytes(whole + b"x")
    with pytest.raises(VerificationError, match=r"changed: cases/.*/map\.npz"):
        render(folder.path, Inline())
    path.write_bytes(whole)
    render(folder.path, Inline())
    assert verify(folder) == []
    assert {
        case_id: (folder.case(case_id) / "report.pdf").read_bytes() for case_id in folder.case_ids()
    } == before
    (folder.path / "SHA256SUMS").unlink()
    with pytest.raises(ConfigError, match="has not finished") as error:
        render(folder.path, Inline())
    assert "--resume" in str(error.value.hint)


def test_limit_takes_the_first_cases(config_file: Path) -> None:
    assert len(rows_of(run(config_file, limit=2))) == 2


def test_records_only(config_file: Path) -> None:
    folder = run(config_file)
    assert not list(folder.cases.rglob("report.pdf"))
    assert verify(folder) == []


@pytest.mark.parametrize(
    ("override", "error", "words"),
    [
        ("ingest.source=nowhere", ConfigError, "does not exist"),
        ("ingest.labels=finding", ConfigError, "finding"),
        (
            "classifier.class_names=[HEALTHY, SICK]",
            ConfigError,
            "2 labels are no class .*--names prints them.*; classes are HEALTHY, SICK",
        ),
        ("classifier.path=missing.keras", ModelError, "no such model"),
        ("classifier.sha256=" + "a" * 64, ModelError, "is not the model of the config"),
        ("preprocess.rows=224", ModelError, "takes 32x32x3"),
        ("explain.target_layer=conv9", ModelError, "no layer 'conv9'"),
        ("explain.classes=[COVID]", ModelError, "no class 'COVID'"),
    ],
)
def test_mistakes_stop_before_anything_is_written(
    config_file: Path, override: str, error: type, words: str
) -> None:
    with pytest.raises(error, match=words) as caught:
        run(config_file, override)
    assert caught.value.hint
    assert not (config_file.parent / "reports").exists()


def test_an_empty_folder_has_no_cases(config_file: Path) -> None:
    (config_file.parent / "empty").mkdir()
    with pytest.raises(ConfigError, match="holds no case"):
        run(config_file, "ingest.source=empty", "ingest.labels=none")


def test_a_manifest_keeps_its_columns_in_the_crosswalk(config_file: Path) -> None:
    manifest = config_file.parent / "manifest.csv"
    manifest.write_text(
        "path,finding,patient_id,scanner\nimages/NORMAL/Doe^Jane_0.png,NORMAL,p1,A\nimages/gone.png,PNEUMONIA,p2,B\n"
    )
    folder = run(config_file, "ingest.source=manifest.csv", "ingest.labels=finding")
    assert [row["status"] for row in rows_of(folder)] == ["ok", "failed"]
    assert [row["label"] for row in rows_of(folder)] == ["NORMAL", "PNEUMONIA"]
    crosswalk = (folder.private / "crosswalk.csv").read_text()
    assert "scanner" in crosswalk
    assert "p2" in crosswalk


def test_what_a_manifest_annotates_is_a_region(config_file: Path) -> None:
    """One box, one mask, one mask of another size, nothing: three audits of four say where the evidence lies in it."""
    folder = config_file.parent
    upper = np.zeros((60, 50), np.uint8)
    upper[:30] = 255
    cv2.imwrite(str(folder / "upper.png"), upper)
    cv2.imwrite(str(folder / "other.png"), upper[:40])
    cells = ['"0,0,50,30",', ",upper.png", ",other.png", ","]
    lines = [f"images/NORMAL/Doe^Jane_{n}.png,{cell}" for n, cell in enumerate(cells)]
    (folder / "manifest.csv").write_text("\n".join(["path,boxes,mask", *lines]))
    result = audit(
        load_config(
            config_file,
            [
                "ingest.source=manifest.csv",
                "ingest.labels=none",
                "explain.methods=[centre]",
            ],
        ),
        Inline(),
    )
    found = RunFolder(result.folder)
    by_box, by_mask, refused, nothing = rows_of(found)
    for name in ("relevance_mass_accuracy", "chance", "iou", "dice_otsu", "pointing_game_hit"):
        assert by_box[f"annotation_{name}"] == by_mask[f"annotation_{name}"] != ""
        assert {refused[f"annotation_{name}"], nothing[f"annotation_{name}"]} == {""}
    # The map is a Gaussian in the middle.
    assert float(by_box["annotation_relevance_mass_accuracy"]) == pytest.approx(0.5, abs=0.01)
    assert float(by_box["annotation_chance"]) == pytest.approx(0.5, abs=0.01)
    assert (
        refused["annotation_missing"]
        == "the mask has 40 x 50 pixels (rows x columns), the radiograph 60 x 50"
    )
    assert {row["status"] for row in (by_box, by_mask, refused, nothing)} == {"ok"}
    rate = result.cohort.hit_rates["annotation"]
    hits = [row["annotation_pointing_game_hit"] == "True" for row in (by_box, by_mask)]
    assert (rate.value, rate.num_cases) == (np.mean(hits), 2)
    assert result.cohort.hit_rates["lungs"].num_cases == 0
    record = found.read_case(by_mask["case_id"])
    assert [r.found_by.split(",")[0] for r in record.regions if r.kind == "annotation"] == [
        "the manifest's mask"
    ]
    assert not any(
        b"other.png" in path.read_bytes() for path in found.cases.rglob("*") if path.is_file()
    )


def test_several_methods_layers_and_classes(config_file: Path) -> None:
    folder = run(
        config_file,
        "explain.methods=[hirescam, layercam]",
        "explain.layers=[backbone/relu1]",
        "explain.classes=[NORMAL]",
        limit=2,
    )
    record = folder.read_case(folder.case_ids()[0])
    keys = ["hirescam", "layercam", "hirescam@backbone/relu1", "hirescam:NORMAL"]
    assert [m.key for m in record.maps] == keys
    assert set(record.focus) == set(keys)
    with np.load(folder.case(record.case_id) / "map.npz") as arrays:
        assert set(arrays.files) == set(keys)
        np.testing.assert_array_equal(arrays["hirescam:NORMAL"], -arrays["hirescam"])


def test_worker_processes_give_the_same_as_inline(config_file: Path) -> None:
    inline = run(config_file)
    result = run_audit(load_config(config_file, ["run.name=pool"]))
    one, two = everything(inline), everything(RunFolder(result.folder))
    assert {n: d for n, d in one.items() if not n.endswith(".pdf")} == {
        n: d for n, d in two.items() if not n.endswith(".pdf")
    }


def test_a_run_ends_with_its_cohort(config_file: Path) -> None:
    manifest = config_file.parent / "manifest.csv"
    rows = [
        f"images/{label}/Doe^Jane_{n}.png,{label},p{n // 2},{'A' if n < 3 else 'B'}"
        for label in ("NORMAL", "PNEUMONIA")
        for n in range(4)
    ]
    manifest.write_text(
        "\n".join(["path,finding,patient_id,scanner", *rows, "images/gone.png,PNEUMONIA,p9,A"])
    )
    asked = (
        "ingest.source=manifest.csv",
        "ingest.labels=finding",
        "cohort.subgroups=[scanner]",
        "cohort.min_cases=3",
    )
    criteria = (
        "acceptance.criteria=[{metric: failed, share_at_most: 0}, {metric: brier, at_most: 1}]"
    )
    config = load_config(config_file, [*asked, criteria])
    result = audit(config, Inline())
    folder = RunFolder(result.folder)
    assert folder.read_cohort() == result.cohort
    sealed = (folder.path / "SHA256SUMS").read_text()
    assert "  cohort.json\n" in sealed
    assert "  summary.pdf\n" in sealed
    assert (result.cohort.statuses, result.cohort.num_patients) == (
        {"ok": 8, "excluded": 0, "failed": 1},
        3,
    )
    assert [(group.value, group.num_negative) for group in result.cohort.subgroups[0].groups] == [
        ("A", 3)
    ]
    assert [one.is_met for one in result.cohort.acceptance] == [False, True]
    of_cases = [
        row["is_correct"] == "True"
        for row in rows_of(folder)
        if row["label"] == "PNEUMONIA" and row["is_correct"]
    ]
    assert result.cohort.metrics["sensitivity"].value == np.mean(of_cases)
    # Where the patients are kept elsewhere, what was measured with them stands.
    (folder.private / "crosswalk.csv").unlink()
    report = (folder.path / "summary.pdf").read_bytes()
    (folder.path / "summary.pdf").unlink()
    assert render(folder.path, Inline()).cohort == result.cohort
    assert (folder.path / "summary.pdf").read_bytes() == report
    assert audit(config, Inline(), resume=True).cohort == result.cohort
    assert verify(folder) == []
    # What an outage has left of signing is no obstacle: the documents are about to be others anyway.
    events = EventLog.open(folder)
    events.append("signed", documents={})
    seal(folder, events)
    assert said(folder) == ["missing: SHA256SUMS.p7s: events.jsonl says that it was made"]
    render(folder.path, Inline())
    assert verify(folder) == []


def test_the_documents_of_an_unfinished_run_are_not_written(tmp_path: Path) -> None:
    """It would be sealed, as if it were whole."""
    folder, _ = started(tmp_path / "run")
    with pytest.raises(ConfigError, match="has not finished") as error:
        render(folder.path, Inline())
    assert "--resume" in str(error.value.hint)
    assert not folder.is_sealed


def test_the_documents_of_a_run_older_than_events_are_written_and_verify(config_file: Path) -> None:
    folder = run(config_file)
    folder.events.unlink()
    with_schema(folder, 1)
    render(folder.path, Inline())
    assert verify(folder) == []
    kinds = [json.loads(line)["event"] for line in folder.events.read_text().splitlines()]
    assert kinds == ["started", *["found"] * 8, "rewriting", "rendered", "reported", "sealed"]


def test_a_run_is_written_again_in_another_language(config_file: Path) -> None:
    folder = run(config_file)
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="'fr'"):
        render(folder.path, Inline(), language="fr")
    assert all(path.read_bytes() == content for path, content in before.items())
    render(folder.path, Inline(), language="de")
    reports = list(folder.cases.glob("*/report.pdf"))
    assert [PdfReader(one).trailer["/Root"]["/Lang"] for one in reports] == ["de"] * 8
    assert all(
        path.read_bytes() == content for path, content in before.items() if path.name == "case.json"
    )
    assert json.loads(folder.events.read_text().splitlines()[-3])["language"] == "de"
    assert verify(folder) == []


def test_maps_of_the_run_report_lie_on_the_radiograph(tmp_path: Path) -> None:
    """A cell of the upper left quarter stays there; cases without lungs or without a finite map are left out."""
    placement = Placement(200, 100, 32, 32, 32 / 200, 32 / 100)
    one = replace(a_case("one", "P", 0.9), placement=placement)
    others = [
        replace(one, case_id="no-lungs", regions=()),
        replace(one, case_id="not-finite", maps=(replace(one.maps[0], status="not_finite"),)),
        a_failure("failed"),
    ]
    folder = RunFolder(tmp_path)
    folder.case("one").mkdir(parents=True)
    values, mask = np.zeros((4, 4), np.float32), np.zeros((16, 16), bool)
    values[0, 0] = 1
    mask[4:12, 4:12] = True
    np.savez(folder.case("one") / "map.npz", **{"grad-cam": values})
    np.savez(folder.case("one") / "regions.npz", lungs=mask)
    ((outcome, evidence, lungs),) = _on_radiographs(folder, [*others, one])
    assert outcome == "true_positive"
    assert evidence[: len(evidence) // 4, : len(evidence) // 4].min() > 0
    assert not evidence[len(evidence) // 2 :].any()
    np.testing.assert_array_equal(lungs, mask)

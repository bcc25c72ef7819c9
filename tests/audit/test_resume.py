"""Runs that were broken off, or whose inputs changed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from cxr_audit import ingest, load_config
from cxr_audit.audit import audit, cohort_of, render
from cxr_audit.audit.document import document
from cxr_audit.errors import ConfigError, EngineError, NotRetrieved, VerificationError
from cxr_audit.evidence import EventLog, RunFolder, seal, verify
from cxr_audit.records import CaseSource
from cxr_audit.report.words import calibrated_before
from pypdf import PdfReader

from tests.audit.runs import Inline, everything, rows_of, run, write_image


def test_every_case_gets_a_trust_state_and_a_resumed_run_the_same(config_file: Path) -> None:
    checks = ("trust.randomisation=true", "trust.faithfulness=all", "trust.stability=all")
    criteria = "acceptance.criteria=[{metric: randomisation}, {metric: deletion}]"
    folder = run(config_file, *checks, criteria)
    record = folder.read_run()
    gate = record.calibration.checks[0]
    assert gate.name == "randomisation"
    first, *_, last = record.calibration.cascade
    assert (first.layer, last.layer) == ("output", "backbone/conv1")
    reason = {check.name: check.reason for check in record.calibration.checks}["deletion"]
    assert reason.code == "trust.too_few"
    assert (reason.values["num"], reason.values["needed"]) == (8, 16)
    met, not_made = folder.read_cohort().acceptance
    assert (met.metric, met.is_met) == ("randomisation", gate.state == "passed")
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
                "brightness_stability",
            )
        }
    before = everything(folder)
    (folder.case(folder.case_ids()[4]) / "case.json").unlink()
    run(config_file, *checks, criteria, resume=True)
    assert everything(folder) == before
    assert folder.read_run().calibration.checks == record.calibration.checks


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
    """A full disk refuses a file; with room again, the run ends in the same bytes."""
    whole, real = run(config_file), os.write
    one, first = (
        everything(whole),
        ("run.json",) * 3 + ("sbom.cdx.json", "events.jsonl", "private/crosswalk.csv"),
    )
    before = sum((whole.path / name).stat().st_size for name in first)
    # The display pictures of all cases come first: so many batches are prepared ahead.
    shown = [data for name, data in one.items() if Path(name).stem in ("radiograph", "model_input")]
    before += sum(map(len, shown))
    of_a_case = (sum(map(len, one.values())) - sum(map(len, shown))) // 8
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


def test_resume_refuses_another_config_and_names_the_keys(config_file: Path) -> None:
    run(config_file)
    with pytest.raises(ConfigError) as error:
        run(config_file, "focus.high_focus_threshold=0.4", "masking.cases=1", resume=True)
    assert str(error.value).endswith(
        "changed since it was made: config (focus.high_focus_threshold, masking.cases)"
    )
    folder = config_file.parent / "reports" / "test"
    (folder / "private" / "config.json").unlink()  # kept elsewhere: all but paths is known
    with pytest.raises(ConfigError, match=r"config \(focus.high_focus_threshold\)"):
        run(config_file, "focus.high_focus_threshold=0.4", resume=True)


def test_a_run_goes_on_with_another_batch_size(config_file: Path) -> None:
    """Its numbers are the same to six digits: the batch size is no part of the identity."""
    whole = rows_of(run(config_file))
    folder = run(config_file, "run.name=other", limit=4)
    assert folder.read_run().legs[0].engine["batch_size"] == 3
    folder = run(config_file, "run.name=other", "engine.batch_size=8", resume=True)
    assert [leg.engine["batch_size"] for leg in folder.read_run().legs] == [3, 8]
    one, two = ({row["case_id"]: row for row in rows} for rows in (whole, rows_of(folder)))
    assert one.keys() == two.keys()
    for case_id, row in one.items():
        assert float(two[case_id]["logit"]) == pytest.approx(float(row["logit"]), rel=1e-6)
        assert (two[case_id]["entropy"] == "") == (row["entropy"] == "")
        if row["entropy"]:
            assert float(two[case_id]["entropy"]) == pytest.approx(float(row["entropy"]), rel=1e-5)
    assert verify(folder) == []


def test_a_folder_that_exists_is_refused_with_what_to_do(config_file: Path) -> None:
    folder = run(config_file, limit=2)

    def hint(**options: Any) -> tuple[str, str]:
        with pytest.raises(ConfigError) as error:
            run(config_file, **options)
        return str(error.value), str(error.value.hint)

    said, advice = hint()
    assert "has finished" in said
    assert "--limit" in advice
    (folder.path / "SHA256SUMS").unlink()
    said, advice = hint()
    assert "has not finished" in said
    assert advice.startswith("--resume")
    (folder.path / "run.json").unlink()
    for options in ({}, {"resume": True}):
        said, advice = hint(**options)
        assert "holds no run" in said
        assert "--resume" not in advice


def test_a_folder_that_is_deleted_meanwhile_ends_the_run(config_file: Path) -> None:
    class Deleted(Inline):
        def light(self, function: Any, /, *arguments: Any) -> Any:
            future = super().light(function, *arguments)
            if function is document:
                shutil.rmtree(arguments[2], ignore_errors=True)
            return future

    config = load_config(config_file)
    with pytest.raises(EngineError, match="was moved or deleted") as error:
        audit(config, Deleted(config))
    assert "--resume" not in str(error.value.hint)


def test_resume_refuses_another_lung_segmenter(config_file: Path) -> None:
    folder = run(config_file, limit=2)
    record = folder.read_run()
    software = replace(record.software, segmenter_sha256="0" * 64)
    folder.write_run(replace(record, software=software))
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
    kinds = [
        [region.kind for region in folder.read_case(row["case_id"]).regions.found]
        for row in rows_of(folder)
    ]
    assert ["annotation" in kinds_of_a_case for kinds_of_a_case in kinds] == [True, True, False]


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
    """In a run that is not sealed yet; the other case stays as it is."""
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
    """After `render` or `sign` was interrupted, or its signature was taken away."""
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
    assert folder.read_run().cases.num_found is None  # all, in the end
    assert verify(folder) == []
    assert len(rows_of(folder)) == 8
    record = folder.read_run()
    assert record.calibration == first.calibration
    assert record.calibration.num_cases == 4
    assert calibrated_before(record) == ["made when the run had 4 cases, not 8"]
    texts = " ".join(page.extract_text() for page in PdfReader(folder.path / "summary.pdf").pages)
    assert "made when the run had 4 cases, not 8" in " ".join(texts.split())


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

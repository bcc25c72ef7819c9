"""Exports to a folder: privacy, states, going on, superseding."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pydicom
import pytest
from cxr_audit.audit import render, verify_run
from cxr_audit.errors import ConfigError, VerificationError
from cxr_audit.evidence import RunFolder
from cxr_audit.export import export_run
from cxr_audit.export.ledger import Ledger, read_entries
from cxr_audit.export.results import read_result
from cxr_audit.vocabulary import FLAGS
from cxr_audit.vocabulary.flags import FlagRow

from tests.audit.runs import Inline
from tests.canary import find
from tests.export.runs import STUDY, case_of, objects_below

NAMES = ["Doe^Jane", "Mononym", "MRN-1", "山田", "Roe^Richard", STUDY]


def ledger_of(folder: RunFolder) -> Path:
    return folder.private / "dicom" / "ledger.jsonl"


def test_without_a_target_objects_lie_below_private_for_their_owner_only(
    folder: RunFolder,
) -> None:
    done = export_run(folder.path)
    written = folder.private / "dicom"
    assert done.states == {"confirmed": 9}
    files = [path for path in written.rglob("*") if path.is_file()]
    assert len(files) == 10
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    folders = [path for path in (written, *written.rglob("*")) if path.is_dir()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}
    assert set(done.not_exported) == {case_of(folder, 4), case_of(folder, 5)}


def test_nothing_is_printed_of_the_patient(
    folder: RunFolder, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    """highdicom warns of a name without a caret, and quotes it."""
    export_run(folder.path)
    said = "".join(capfd.readouterr()) + "".join(str(w.message) for w in recwarn)
    assert not [name for name in NAMES if name in said]


def test_what_is_handed_on_stays_clean_and_sealed(folder: RunFolder, tmp_path: Path) -> None:
    export_run(folder.path)
    assert verify_run(folder.path).problems == ()
    assert find(NAMES, folder.private)  # the search would have found them
    shutil.move(folder.private, tmp_path / "kept")
    assert find(NAMES, folder.path) == []


def test_a_second_export_writes_nothing(folder: RunFolder) -> None:
    export_run(folder.path)
    before = ledger_of(folder).read_bytes()
    times = {path: path.stat().st_mtime_ns for path in folder.private.rglob("*.dcm")}
    done = export_run(folder.path)
    assert (done.already, done.states) == (9, {"confirmed": 9})
    assert ledger_of(folder).read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in folder.private.rglob("*.dcm")} == times


def test_states_are_queued_stored_confirmed_in_this_order(folder: RunFolder) -> None:
    export_run(folder.path)
    states: dict[str, list[str]] = {}
    for entry in read_entries(ledger_of(folder)):
        states.setdefault(entry.uid, []).append(entry.state)
    assert set(map(tuple, states.values())) == {("queued", "stored", "confirmed")}


def test_an_export_that_was_broken_off_goes_on(folder: RunFolder) -> None:
    export_run(folder.path)
    lines = ledger_of(folder).read_bytes().splitlines(keepends=True)
    cut = [line for line in lines if b'"confirmed"' not in line][:-1]
    ledger_of(folder).write_bytes(b"".join(cut) + lines[-1][:20])  # a torn last line
    lost = next(folder.private.rglob("report-*.dcm"))
    lost.unlink()
    done = export_run(folder.path)
    assert done.states == {"confirmed": 9}
    assert lost.is_file()


def test_a_changed_run_supersedes_with_a_new_series(folder: RunFolder) -> None:
    export_run(folder.path)
    first = objects_below(folder.private / "dicom")
    render(folder.path, Inline(), language="de")
    done = export_run(folder.path)
    assert done.states == {"confirmed": 9}
    case_id = case_of(folder, 1)
    old = first[case_id, "report"]
    files = (folder.private / "dicom" / "objects" / case_id).glob("report-*.dcm")
    reports = {pydicom.dcmread(file).SOPInstanceUID: file for file in files}
    assert len(reports) == 2
    new = pydicom.dcmread(next(f for uid, f in reports.items() if uid != old.SOPInstanceUID))
    assert new.SeriesInstanceUID != old.SeriesInstanceUID
    study = new.PredecessorDocumentsSequence[0]
    series = study.ReferencedSeriesSequence[0]
    assert study.StudyInstanceUID == old.StudyInstanceUID
    assert series.SeriesInstanceUID == old.SeriesInstanceUID
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == old.SOPInstanceUID
    again = export_run(folder.path)
    assert again.already == 9
    assert len(list(folder.private.rglob("*.dcm"))) == 18


def test_another_run_supersedes_the_one_that_is_named(folder: RunFolder, tmp_path: Path) -> None:
    later = RunFolder(Path(shutil.copytree(folder.path, tmp_path / "later")))
    render(later.path, Inline(), language="de")
    target = str(tmp_path / "out")
    with pytest.raises(ConfigError, match="delivered nothing"):
        export_run(later.path, target, supersedes=folder.path)
    export_run(folder.path, target)
    first = objects_below(tmp_path / "out")
    for _ in range(2):  # the second time it is known what was superseded
        done = export_run(later.path, target, supersedes=folder.path)
        assert done.states == {"confirmed": 9}
    case_id = case_of(folder, 1)
    old = first[case_id, "report"].SOPInstanceUID
    files = (tmp_path / "out" / case_id).glob("report-*.dcm")
    new = [d for d in map(pydicom.dcmread, files) if d.SOPInstanceUID != old]
    assert len(new) == 1
    series = new[0].PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0]
    assert series.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == old


def test_a_flag_of_a_package_that_the_run_did_not_have_was_not_assessed(folder: RunFolder) -> None:
    FLAGS.add(FlagRow(key="toy", label="Toy", definition="A toy.", package="toys"))
    try:
        answer = read_result(folder, folder.read_run(), case_of(folder, 1)).answer
    finally:
        FLAGS.remove("toy")
    assert answer is not None
    assert [flag.state for flag in answer.flags if flag.key == "toy"] == [None]
    assert all(flag.state in (True, False, None) for flag in answer.flags)


def test_a_further_kind_of_object_supersedes_nothing(folder: RunFolder) -> None:
    export_run(folder.path, overrides=("export.picture=false",))
    done = export_run(folder.path)
    assert (done.already, done.states["confirmed"]) == (6, 9)
    ledger = Ledger(folder, "private/dicom/objects")
    assert len({entry.generation for entry in ledger.of_case(case_of(folder, 1))}) == 1


def test_a_run_without_private_cannot_be_exported(folder: RunFolder) -> None:
    shutil.rmtree(folder.private)
    with pytest.raises(ConfigError, match="its private/ is not here"):
        export_run(folder.path)


@pytest.mark.parametrize("place", ["", "cases", "dicom", "cases/../here"])
def test_nothing_is_written_into_what_is_handed_on(folder: RunFolder, place: str) -> None:
    with pytest.raises(ConfigError, match="handed on"):
        export_run(folder.path, str(folder.path / place))
    assert verify_run(folder.path).problems == ()


def test_a_run_that_was_changed_is_refused(folder: RunFolder) -> None:
    (folder.case(case_of(folder, 1)) / "report.pdf").write_bytes(b"%PDF another")
    with pytest.raises(VerificationError, match="changed"):
        export_run(folder.path)


def test_only_the_section_export_can_be_changed(folder: RunFolder) -> None:
    with pytest.raises(ConfigError, match="no key of the section export"):
        export_run(folder.path, overrides=("classifier.path=other.keras",))


def test_a_source_that_was_changed_or_moved_is_not_exported(
    home: Path, folder: RunFolder, tmp_path: Path
) -> None:
    source, kept = home / "sources" / "3.dcm", tmp_path / "kept.dcm"
    shutil.copy(source, kept)
    try:
        other = pydicom.dcmread(source)
        other.PatientID = "ANOTHER"
        other.save_as(source)
        done = export_run(folder.path)
        assert "other pixels" in done.not_exported[case_of(folder, 3)]
        source.unlink()
        done = export_run(folder.path)
        assert "not where it was" in done.not_exported[case_of(folder, 3)]
    finally:
        shutil.copy(kept, source)
    assert export_run(folder.path).states == {"confirmed": 9}


def test_a_ledger_that_cannot_be_read_is_refused(folder: RunFolder) -> None:
    export_run(folder.path)
    lines = ledger_of(folder).read_bytes()
    ledger_of(folder).write_bytes(b"{}\n" + lines)
    with pytest.raises(VerificationError, match="line 1"):
        export_run(folder.path)


def test_an_unknown_scheme_is_refused(folder: RunFolder) -> None:
    with pytest.raises(ConfigError, match="no destination"):
        export_run(folder.path, "ftp://host/path")


def test_the_ledger_holds_no_name(folder: RunFolder) -> None:
    export_run(folder.path)
    entries = [json.loads(line) for line in ledger_of(folder).read_text().splitlines()]
    assert find(["Doe^Jane", "MRN-1", "Roe^Richard"], ledger_of(folder).parent / "nothing") == []
    assert not any("Doe" in str(entry) or "MRN" in str(entry) for entry in entries)

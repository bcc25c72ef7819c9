"""Readers' reports come back as answers."""

from __future__ import annotations

import csv
import stat
from pathlib import Path

import highdicom
import pydicom
import pytest
from cxr_audit.audit import join_answers, verify_run
from cxr_audit.errors import ConfigError
from cxr_audit.evidence import RunFolder
from cxr_audit.export import export_run, read_back
from cxr_audit.export import readback as questions
from cxr_audit.export.codes import finding
from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.uid import generate_uid

from tests.export.runs import case_of, objects_below, verified


@pytest.fixture
def exported(folder: RunFolder) -> RunFolder:
    export_run(folder.path)
    return folder


def ours(folder: RunFolder, number: int) -> pydicom.FileDataset:
    return objects_below(folder.private / "dicom")[case_of(folder, number), "report"]


def report_about(
    report: Dataset, reader: str, answers: list[tuple[sr.CodedConcept, sr.CodedConcept]]
) -> Dataset:
    """A structured report of a person that refers to ours."""
    person = sr.PersonObserverIdentifyingAttributes(name=reader)
    context = sr.ObservationContext(
        observer_person_context=sr.ObserverContext(codes.DCM.Person, person)
    )
    group = sr.MeasurementsAndQualitativeEvaluations(
        tracking_identifier=sr.TrackingIdentifier(identifier="reader"),
        qualitative_evaluations=[sr.QualitativeEvaluation(*answer) for answer in answers],
    )
    content = sr.MeasurementReport(
        observation_context=context,
        procedure_reported=codes.SCT.ImagingProcedure,
        imaging_measurements=[group],
    )
    return sr.Comprehensive3DSR(
        evidence=[report],
        content=content[0],
        series_instance_uid=generate_uid(),
        series_number=1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="a workstation",
        previous_versions=[report],
    )


def save(folder: Path, *reports: Dataset) -> str:
    folder.mkdir(exist_ok=True)
    for number, report in enumerate(reports):
        report.save_as(folder / f"{number}.dcm", enforce_file_format=True)
    return str(folder)


def rows(path: Path | None) -> list[dict[str, str]]:
    assert path is not None
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_verified_report_means_agree(exported: RunFolder, tmp_path: Path) -> None:
    source = save(tmp_path / "in", verified(ours(exported, 1), "Roe^Richard"))
    back = read_back(exported.path, source)
    assert back.left_out == []
    assert rows(back.path) == [
        {
            "case_id": case_of(exported, 1),
            "reader": "RR",
            "time": "20260301120000",
            "reading": "",
            "agreement": "agree",
            "location": "",
            "comment": "",
        }
    ]
    assert back.path is not None
    assert stat.S_IMODE(back.path.stat().st_mode) == 0o600


def test_coded_answers_come_back(exported: RunFolder, tmp_path: Path) -> None:
    answers = [
        (questions.AGREEMENT, questions.ANSWERS["agreement"]["disagree"]),
        (questions.LOCATION, questions.ANSWERS["location"]["not_plausible"]),
        (questions.READING, finding("NORMAL", {})),
    ]
    report = report_about(ours(exported, 1), "Doe^Jane", answers)
    (row,) = rows(read_back(exported.path, save(tmp_path / "in", report)).path)
    assert (row["case_id"], row["reader"]) == (case_of(exported, 1), "JD")
    assert (row["agreement"], row["location"]) == ("disagree", "not_plausible")
    assert row["reading"] == "NORMAL"


def test_answers_join_the_evidence(exported: RunFolder, tmp_path: Path) -> None:
    answers = [(questions.LOCATION, questions.ANSWERS["location"]["plausible"])]
    source = save(
        tmp_path / "in",
        verified(ours(exported, 1), "Roe^Richard"),
        report_about(ours(exported, 2), "Doe^Jane", answers),
    )
    back = read_back(exported.path, source)
    assert back.path is not None
    record = join_answers(exported.path, [back.path])
    joined = {(a.case_id, a.reader): (a.agreement, a.location) for a in record.answers}
    assert joined == {
        (case_of(exported, 1), "RR"): ("agree", None),
        (case_of(exported, 2), "JD"): (None, "plausible"),
    }
    assert verify_run(exported.path).problems == ()
    assert export_run(exported.path).already == 9  # answers change no object


@pytest.mark.parametrize("name", ["other", "empty", "unknown", "nobody"])
def test_other_reports_are_no_answers(exported: RunFolder, tmp_path: Path, name: str) -> None:
    agree = (questions.AGREEMENT, questions.ANSWERS["agreement"]["agree"])
    unknown = (questions.AGREEMENT, questions.ANSWERS["location"]["plausible"])
    report = {
        "other": lambda: report_about(other_of(ours(exported, 1)), "Doe^Jane", [agree]),
        "empty": lambda: report_about(ours(exported, 1), "Doe^Jane", []),
        "unknown": lambda: report_about(ours(exported, 1), "Doe^Jane", [unknown]),
        "nobody": lambda: report_about(ours(exported, 1), "", [agree]),
    }[name]()
    back = read_back(exported.path, save(tmp_path / "in", report))
    words = {
        "other": "refers to no object",
        "empty": "has no answer",
        "unknown": "none of the choices",
        "nobody": "names no reader",
    }
    assert rows(back.path) == []
    (reason,) = back.left_out
    assert words[name] in str(reason)


def other_of(report: pydicom.FileDataset) -> Dataset:
    other = pydicom.dcmread(report.filename)
    other.SOPInstanceUID = generate_uid()
    return other


def test_our_own_reports_are_not_read_as_answers(exported: RunFolder) -> None:
    back = read_back(exported.path, str(exported.private / "dicom" / "objects"))
    assert (back.answers, back.left_out) == ([], [])


def test_without_an_export_nothing_can_refer_to_the_run(folder: RunFolder, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="was exported"):
        read_back(folder.path, str(tmp_path))


def test_the_person_s_name_is_not_kept(exported: RunFolder, tmp_path: Path) -> None:
    source = save(tmp_path / "in", verified(ours(exported, 1), "Roe^Richard"))
    back = read_back(exported.path, source)
    assert back.path is not None
    assert "Roe" not in back.path.read_text()
    assert highdicom.__version__

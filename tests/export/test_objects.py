"""The objects: what they say, whom they are about, and what other projects' checkers find."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
from cxr_audit.evidence import RunFolder
from cxr_audit.export import export_run
from cxr_audit.export.document import pdf_of
from cxr_audit.export.report import outlines
from cxr_audit.export.results import read_result
from cxr_audit.export.uids import device_uid, uid_of
from cxr_audit.records import AuditedCase
from pydicom.uid import UID

from benchmarks.dicom_checks import errors_of, numbers_by_dcmtk, numbers_by_highdicom
from tests.export.runs import JAPANESE, STUDY, case_of, objects_below, program

ALL = ("export.segmentation=true",)
Objects = dict[tuple[str, str], pydicom.FileDataset]


@pytest.fixture(scope="session")
def exported(home: Path) -> Path:
    """The objects of the run, all kinds that can be made."""
    copy = shutil.copytree(home / "runs" / "test", home / "copy" / "test")
    export_run(Path(copy), str(home / "objects"), ALL)
    return home / "objects"


@pytest.fixture(scope="session")
def objects(exported: Path) -> Objects:
    return objects_below(exported)


@pytest.fixture(scope="session")
def run(home: Path) -> RunFolder:
    return RunFolder(home / "runs" / "test")


def case(run: RunFolder, number: int) -> AuditedCase:
    record = run.read_case(case_of(run, number))
    assert isinstance(record, AuditedCase)
    return record


def test_each_radiograph_has_the_objects_that_can_be_made(run: RunFolder, objects: Objects) -> None:
    kinds = {number: {k for c, k in objects if c == case_of(run, number)} for number in range(1, 6)}
    assert kinds[1] == kinds[3] == {"pdf", "report", "picture", "segmentation"}
    assert kinds[2] == {"pdf", "report", "picture"}  # its Pixel Spacing is 0
    assert kinds[4] == kinds[5] == set()  # a PNG and a text name no examination


def test_no_checker_finds_an_error(exported: Path) -> None:
    program("dciodvfy")
    files = sorted(exported.rglob("*.dcm"))
    assert len(files) == 11
    assert {file.name: errors_of(file) for file in files} == {file.name: [] for file in files}


def test_the_pdf_comes_out_as_it_went_in(run: RunFolder, objects: Objects) -> None:
    for number in (1, 2, 3):
        case_id = case_of(run, number)
        dataset = objects[case_id, "pdf"]
        pdf = (run.case(case_id) / "report.pdf").read_bytes()
        assert pdf_of(dataset) == pdf
        assert dataset.EncapsulatedDocumentLength == len(pdf)
        assert len(dataset.EncapsulatedDocument) % 2 == 0
        assert dataset.Modality == "DOC"
        assert dataset.DocumentTitle.endswith("not for clinical decisions")
        source = dataset.SourceInstanceSequence[0]
        assert source.ReferencedSOPInstanceUID == f"{STUDY}.{number}.1.1"


def test_the_patient_is_the_source_file_s(run: RunFolder, objects: Objects) -> None:
    for (case_id, _), dataset in objects.items():
        if case_id == case_of(run, 2):
            assert dataset.SpecificCharacterSet == "ISO_IR 192"
            assert str(dataset.PatientName) == JAPANESE
            assert dataset.StudyInstanceUID == f"{STUDY}.2"
        else:
            assert "SpecificCharacterSet" not in dataset
            assert str(dataset.PatientName) in ("Doe^Jane1", "Mononym")
        assert dataset.PatientBirthDate == "19500102"
        assert dataset.StudyTime == "101112"
        assert str(dataset.ReferringPhysicianName) == "Roe^Richard"


def test_times_are_those_of_the_run_in_the_zone_of_the_source(
    run: RunFolder, objects: Objects
) -> None:
    started = read_result(run, run.read_run(), case_of(run, 2)).started
    dataset = objects[case_of(run, 2), "report"]
    hours = (int(dataset.ContentTime[:2]) - started.hour) % 24
    assert hours == 9
    assert dataset.TimezoneOffsetFromUTC == "+0900"
    assert dataset.ContentTime[2:6] == f"{started:%M%S}"


def test_highdicom_and_dcmtk_read_the_numbers_of_the_record(
    run: RunFolder, objects: Objects, exported: Path
) -> None:
    record = case(run, 1)
    dataset = objects[record.case_id, "report"]
    read = numbers_by_highdicom(dataset)
    assert read["Explained logit"] == record.prediction.logit
    assert read["Classifier output, not a probability of disease"] == record.prediction.probability
    assert read["Threshold Value"] == record.prediction.threshold
    assert record.first_map is not None
    metrics = record.first_map.metrics
    assert read["High-focus area"] == metrics.number("high_focus_fraction")
    assert read["Concentration (Gini)"] == metrics.number("gini")
    assert metrics.position("centroid") is not None
    assert read["Centre of the evidence, column"] == metrics.position("centroid")[1]
    program("dsrdump")
    file = next(exported.glob(f"{record.case_id}/report-*.dcm"))
    by_dcmtk = numbers_by_dcmtk(file)
    assert by_dcmtk.keys() == read.keys()
    assert all(by_dcmtk[name] == pytest.approx(read[name], rel=1e-12) for name in read)


def test_every_flag_is_present_absent_or_not_assessed(run: RunFolder, objects: Objects) -> None:
    record = case(run, 1)
    report = highdicom.sr.Comprehensive3DSR.from_dataset(objects[record.case_id, "report"]).content
    group = report.get_image_measurement_groups()[0]
    said = {e.name.meaning: e.value.meaning for e in group.get_qualitative_evaluations()}
    assert "Little evidence in the lungs" in record_labels(record.flags.undefined)
    for key in record.flags.undefined:
        assert said[label_of(key)] == "Not assessed"
    for key in record.flags.names:
        assert said[label_of(key)] == "Present"
    assert {"Present", "Absent", "Not assessed"} >= {
        value for name, value in said.items() if name in map(label_of, all_flags())
    }


def all_flags() -> tuple[str, ...]:
    from cxr_audit.vocabulary import FLAGS

    return FLAGS.keys()


def label_of(key: str) -> str:
    from cxr_audit.vocabulary import FLAGS

    return FLAGS[key].label


def record_labels(undefined: dict[str, Any]) -> set[str]:
    return {label_of(key) for key in undefined}


def test_the_regions_are_the_contour_of_page_1(run: RunFolder, objects: Objects) -> None:
    """The polygons of the report and the frame of the segmentation, drawn, are the focus mask."""
    from PIL import Image, ImageDraw

    case_id = case_of(run, 1)
    mask = read_result(run, run.read_run(), case_id).focus_mask(60, 50)
    assert mask is not None
    segmentation = objects[case_id, "segmentation"]
    assert segmentation.SegmentSequence[0].SegmentLabel == "Strongest evidence of the model"
    assert (segmentation.pixel_array.astype(bool) == mask).all()
    report = highdicom.sr.Comprehensive3DSR.from_dataset(objects[case_id, "report"]).content
    image = Image.new("1", (50, 60))
    for group in report.get_planar_roi_measurement_groups():
        points = group.roi.value - 0.5
        assert (points[0] == points[-1]).all()
        ImageDraw.Draw(image).polygon([tuple(point) for point in points], fill=1, outline=1)
    drawn = np.asarray(image)
    assert np.logical_xor(drawn, mask).sum() <= 0.05 * mask.sum()


def test_outlines_by_hand() -> None:
    mask = np.zeros((10, 20), bool)
    mask[2:5, 3:9] = True  # 18 pixels, columns 3 to 8, rows 2 to 4
    mask[7, 15] = True
    (large, share), (small, _) = outlines(mask)
    assert share == 18 / 200
    assert {tuple(point) for point in large} == {(3.5, 2.5), (8.5, 2.5), (8.5, 4.5), (3.5, 4.5)}
    assert small.tolist() == [[15.5, 7.5], [15.5, 7.5]]


def test_the_warning_is_in_the_pixels(run: RunFolder, objects: Objects) -> None:
    dataset = objects[case_of(run, 1), "picture"]
    pixels = dataset.pixel_array
    picture = run.case(case_of(run, 1)) / "marked.jpg"
    from PIL import Image

    with Image.open(picture) as image:
        plain = np.asarray(image)
    above = next(row for row in range(100) if (pixels[row : row + len(plain)] == plain).all())
    assert above >= 12
    assert (pixels[:above].max(axis=2) > 200).mean() > 0.02  # letters above
    assert (pixels[above + len(plain) :].max(axis=2) > 200).mean() > 0.02  # and below
    assert dataset.LossyImageCompression == "01"
    assert dataset.SourceImageSequence[0].ReferencedSOPInstanceUID == f"{STUDY}.1.1.1"


def test_another_model_is_another_device(run: RunFolder, objects: Objects) -> None:
    sha256 = run.read_run().model.sha256
    for dataset in objects.values():
        item = dataset.ContributingEquipmentSequence
        devices = {part.get("DeviceUID") for part in item}
        assert device_uid(sha256) in devices
        assert sha256 in {part.get("DeviceSerialNumber") for part in item}
    report = next(dataset for (_, kind), dataset in objects.items() if kind == "report")
    assert device_uid(sha256) in str(report)
    assert device_uid(sha256) != device_uid(hashlib.sha256(b"other").hexdigest())


def test_uids_follow_from_their_parts() -> None:
    assert UID(uid_of("a", "b")).is_valid
    assert uid_of("a", "b") == uid_of("a", "b")
    assert len({uid_of("a", "b"), uid_of("b", "a"), uid_of("ab"), uid_of("a\nb")}) == 4


def test_the_same_evidence_gives_the_same_files(folder: RunFolder, tmp_path: Path) -> None:
    for name in ("one", "two"):
        export_run(folder.path, str(tmp_path / name), ALL)
    one = {path.relative_to(tmp_path / "one"): path for path in (tmp_path / "one").rglob("*.dcm")}
    assert len(one) == 11
    for name, path in one.items():
        assert (tmp_path / "two" / name).read_bytes() == path.read_bytes()


def test_codes_of_the_config_are_used(folder: RunFolder, tmp_path: Path) -> None:
    export_run(
        folder.path,
        str(tmp_path / "out"),
        ("export.findings={PNEUMONIA: ['123', '99SITE', 'Our pneumonia']}", "export.pdf=false"),
    )
    objects = objects_below(tmp_path / "out")
    assert {kind for _, kind in objects} == {"report", "picture"}
    report = objects[case_of(folder, 1), "report"]
    assert "Our pneumonia" in str(report)

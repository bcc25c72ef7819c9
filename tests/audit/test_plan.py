"""A config -> its cases, in order."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cxr_audit import ingest, load_config, run_audit
from cxr_audit.audit.plan import check_subgroups, limited, with_class_names
from cxr_audit.errors import ConfigError, ModelError
from cxr_audit.evidence import RunFolder
from cxr_audit.records import CaseSource

from tests.audit.runs import rows_of, run
from tests.cohort.cases import a_source


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
    assert elsewhere.read_run().cases.case_id_key != first.read_run().cases.case_id_key
    assert ids(
        run(config_file, "run.output=elsewhere", "run.name=keyed", f"privacy.key_file={key}")
    ) == ids(first)
    assert str(key) not in (config_file.parent / "elsewhere" / "keyed" / "run.json").read_text()
    monkeypatch.setenv("CXR_AUDIT_CASE_ID_KEY", key.read_text())
    assert ids(run(config_file, "run.output=elsewhere", "run.name=environment")) == ids(first)
    monkeypatch.setenv("CXR_AUDIT_CASE_ID_KEY", "f1e0a77c0b3d4e5896d2")
    with pytest.raises(ConfigError, match="changed since it was made: key of the case ids"):
        run(config_file, resume=True)


def test_the_same_file_twice_is_two_cases(config_file: Path) -> None:
    images = config_file.parent / "images"
    (images / "NORMAL" / "copy.png").write_bytes(
        (images / "NORMAL" / "Doe^Jane_0.png").read_bytes()
    )
    ids = [row["case_id"] for row in rows_of(run(config_file))]
    assert len(set(ids)) == 9
    assert sum(case_id.endswith("-2") for case_id in ids) == 1


MANIFEST = """path,label,patient_id,boxes,mask,ward
images/NORMAL/Doe^Jane_0.png,NORMAL,p0,"0,0,50,30",,A
images/NORMAL/Doe^Jane_2.png,NORMAL,p2,,,B
images/NORMAL/Doe^Jane_1.png,NORMAL,p1,,,A
"""


def test_what_is_told_of_a_case_is_not_to_be_guessed(config_file: Path) -> None:
    """The same words under another key are another hash; with the same key the same."""
    manifest = config_file.parent / "manifest.csv"
    manifest.write_text(MANIFEST)
    one, same, other = (
        ingest.discover(manifest, "label", key=key) for key in (b"a" * 16, b"a" * 16, b"b" * 16)
    )
    hashes = [case.metadata_hmac for case in one]
    assert len(set(hashes)) == 3
    assert hashes == [case.metadata_hmac for case in same]
    assert not set(hashes) & {case.metadata_hmac for case in other}


def test_a_limit_spreads_over_the_list_and_a_larger_one_holds_a_smaller() -> None:
    sources = [a_source(f"{n}") for n in range(6)]
    # 000, 001, 010, 011, 100 and 101 backwards: 0, 4, 2, 6, 1 and 5 of 8.
    ranked = (0, 4, 2, 1, 5, 3)
    for num in range(1, 9):
        assert [int(one.case_id) for one in limited(sources, num)] == sorted(ranked[:num])


def test_limit_takes_the_first_cases(config_file: Path) -> None:
    assert len(rows_of(run(config_file, limit=2))) == 2


@pytest.mark.parametrize(
    ("override", "error", "words"),
    [
        ("ingest.source=nowhere", ConfigError, "does not exist"),
        ("ingest.labels=finding", ConfigError, "finding"),
        (
            "classifier.class_names=[HEALTHY, SICK]",
            ConfigError,
            "2 labels match no class .*--names prints them.*; classes are HEALTHY, SICK",
        ),
        ("cohort.subgroups=[scaner]", ConfigError, "'scaner' is neither a column of the manifest"),
        ("cohort.subgroups=[viewposition]", ConfigError, "Perhaps you meant 'ViewPosition'"),
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


def test_subgroups_are_columns_of_the_manifest_or_attributes_of_dicom(config_file: Path) -> None:
    (config_file.parent / "list.csv").write_text("path,Scanner\nimages/NORMAL/x.png,A\n")
    config = load_config(config_file, ["cohort.subgroups=[Scanner, PatientSex]"])
    source = CaseSource("a", Path("x.png"), "x.png", None, metadata={"Scanner": "A"})
    check_subgroups(config, [source])
    config = load_config(config_file, ["cohort.subgroups=[scanner]"])
    with pytest.raises(ConfigError, match="Perhaps you meant 'Scanner'") as caught:
        check_subgroups(config, [source])
    assert "columns of the manifest: Scanner" in str(caught.value.hint)


def test_labels_that_differ_in_case_only_name_their_class() -> None:
    labels = ("normal", "Pneumonia", "PNEUMONIA", "covid", None)
    sources = [replace(a_source(str(n)), label=label) for n, label in enumerate(labels)]
    fitted, changed = with_class_names(sources, ("NORMAL", "PNEUMONIA"))
    assert [source.label for source in fitted] == [
        *("NORMAL", "PNEUMONIA", "PNEUMONIA", "covid", None)
    ]
    assert changed == {"normal": "NORMAL", "Pneumonia": "PNEUMONIA"}
    # two classes that differ in case only: neither is meant
    fitted, changed = with_class_names(sources[:1], ("NORMAL", "Normal"))
    assert (fitted[0].label, changed) == ("normal", {})


def test_a_run_whose_labels_are_written_in_small_letters(config_file: Path) -> None:
    config = load_config(config_file, ["classifier.class_names=[Normal, Pneumonia]"])
    result = run_audit(config)
    assert sum(result.cohort.outcomes.values()) == 8
    assert any("'NORMAL' is taken as the class 'Normal'" in note for note in result.notes)

"""`cxr-audit check`: what it says of a config and its radiographs, and in which order."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from cxr_audit import load_config
from cxr_audit.audit import find_key, find_sources, open_classifier, refuse_early
from cxr_audit.audit.understood import (
    auc_of,
    understood_annotations,
    understood_answers,
    understood_cases,
    understood_folder,
    understood_subgroups,
)
from cxr_audit.errors import ConfigError, ModelError
from cxr_audit.records import Box, CaseSource

from tests.audit.conftest import config_file, model_file  # noqa: F401
from tests.audit.runs import run
from tests.cohort.cases import a_source


def check(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cxr_audit", "check", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def a_manifest(folder: Path) -> Path:
    """The eight pictures with patients, splits, a scanner, boxes inside and outside."""
    lines = ["path,label,patient_id,split,Scanner,boxes"]
    for number in range(4):
        box = '"2,2,5,5"' if number < 3 else '"20,20,500,5"'
        lines.append(
            f"images/PNEUMONIA/Doe^Jane_{number}.png,pneumonia,p{number // 2},test,A,{box}"
        )
        lines.append(f"images/NORMAL/Doe^Jane_{number}.png,NORMAL,,test,{'AB'[number % 2]},")
    path = folder / "list.csv"
    path.write_text("\n".join(lines))
    return path


def test_check_says_what_it_understood(config_file: Path) -> None:  # noqa: F811
    a_manifest(config_file.parent)
    overrides = (
        *("--set", "ingest.source=list.csv", "--set", "ingest.labels=label"),
        *("--set", "cohort.subgroups=[Scanner]"),
    )
    done = check(config_file, "--json", *overrides)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["folder"]["state"] == "free"
    assert facts["folder"]["disk_needed_mib"] > 0
    cases = facts["cases"]
    assert (cases["num_cases"], cases["num_unlabelled"]) == (8, 0)
    assert cases["by_class"] == {"NORMAL": 4, "PNEUMONIA": 4}
    assert cases["notes"] == [
        "the label 'pneumonia' is taken as the class 'PNEUMONIA': they differ in case only"
    ]
    # two patients of two cases each, and four cases of nobody that is known
    assert (cases["num_of_known_patients"], cases["num_patients"]) == (4, 6)
    assert cases["splits"] == {"test": 8}
    assert facts["subgroups"]["Scanner"]["values"] == {"A": 6, "B": 2}
    notes = facts["annotations"]
    assert (notes["num_annotated"], notes["num_opened"], notes["num_unusable"]) == (4, 4, 1)
    assert facts["answers"]["num_asked"] == 8
    assert facts["costs"]["seconds"] >= 0
    for words in (
        'labels: 4 "NORMAL", 4 "PNEUMONIA"',
        "patients: known for 4 of 8",
        "subgroup Scanner: A 6, B 2",
        "can be used",
        "answers: of 8 cases",
    ):
        assert words in done.stderr
    assert "Doe" not in done.stderr + done.stdout
    assert not (config_file.parent / "reports").exists()


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("classifier.path=none.keras", "no such model"),
        ("cohort.subgroups=[Scaner]", "is neither a column of the manifest"),
        ("ingest.source=none", "none"),
    ],
)
def test_cheap_refusals_come_before_a_network(
    config_file: Path,  # noqa: F811
    override: str,
    words: str,
) -> None:
    done = check(config_file, "--set", override)
    assert done.returncode in (2, 3)
    assert words in done.stderr
    assert "loading" not in done.stderr


def test_a_run_is_refused_before_its_engine_starts(config_file: Path) -> None:  # noqa: F811
    config = load_config(config_file)
    refuse_early(config, resume=False)  # nothing is there yet
    folder = run(config_file)
    with pytest.raises(ConfigError, match="exists already, and its run has finished"):
        refuse_early(config, resume=False)
    refuse_early(config, resume=True)
    changed = load_config(config_file, ["focus.high_focus_threshold=0.7"])
    with pytest.raises(ConfigError, match=r"config \(focus.high_focus_threshold\)"):
        refuse_early(changed, resume=True)
    key = config.run.output / ".case-id-key"
    key.write_bytes(b"another secret of 32 bytes, 0123456789")
    with pytest.raises(ConfigError, match="key of the case ids"):
        refuse_early(config, resume=True)
    with pytest.raises(ModelError, match="no such model"):
        refuse_early(load_config(config_file, ["classifier.path=no.keras"]), resume=True)
    assert understood_folder(config, 1)["state"] == "holds a run"
    assert folder.path.is_dir()


def test_swapped_classes_and_a_wrong_value_range_are_asked_about(
    config_file: Path,  # noqa: F811
) -> None:
    """The labels are swapped until the AUC of the same outputs is below a half."""
    config = load_config(config_file)
    sources = find_sources(config, find_key(config))
    explainer, _ = open_classifier(config)
    facts = understood_answers(config, explainer, sources)
    swap = {"NORMAL": "PNEUMONIA", "PNEUMONIA": "NORMAL"}
    swapped = [replace(s, label=swap[str(s.label)]) for s in sources]
    other = understood_answers(config, explainer, swapped)
    assert facts["num_asked"] == other["num_asked"] == 8
    assert facts["auc"] == pytest.approx(1 - other["auc"])
    below = facts if facts["auc"] < 0.5 else other
    assert any("are the classes swapped?" in text for text in below["warnings"])
    above = other if below is facts else facts
    assert not any("swapped" in text for text in above["warnings"])


def test_the_auc_counts_pairs() -> None:
    # 3 of 4 pairs right, one of them a tie
    assert auc_of([0.9, 0.4, 0.4, 0.1], [True, True, False, False]) == pytest.approx(3.5 / 4)
    assert auc_of([0.9], [True]) is None


def test_boxes_outside_are_counted(config_file: Path) -> None:  # noqa: F811
    config = load_config(config_file)
    source = find_sources(config, find_key(config))[0]
    outside = CaseSource("a", source.location, "x", None, boxes=(Box(0, 0, 5000, 5),))
    facts = understood_annotations(config, [outside])
    assert (facts["num_opened"], facts["num_unusable"]) == (1, 1)


def test_subgroups_count_attributes_and_columns(config_file: Path) -> None:  # noqa: F811
    config = load_config(config_file, ["cohort.subgroups=[PatientSex, Scanner]"])
    sources = [
        CaseSource(str(n), Path("x"), "x", None, metadata={"Scanner": "AB"[n % 2]})
        for n in range(3)
    ]
    facts = understood_subgroups(config, sources, {"0": {"PatientSex": "F"}})
    assert facts["PatientSex"]["values"] == {"F": 1}
    assert facts["PatientSex"]["num_without"] == 2
    assert facts["Scanner"]["values"] == {"A": 2, "B": 1}


def test_cases_without_labels_are_counted() -> None:
    sources = [a_source("a"), replace(a_source("b"), label="P")]
    facts = understood_cases(sources, ("N", "P"))
    assert (facts["num_unlabelled"], facts["by_class"], facts["without_case"]) == (
        1,
        {"P": 1},
        ["N"],
    )

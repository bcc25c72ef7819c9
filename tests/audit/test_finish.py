"""Documents and figures of the whole run; documents written again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cxr_audit import load_config
from cxr_audit.audit import audit, render
from cxr_audit.audit.finish import _on_radiographs, finish_run, records_of
from cxr_audit.errors import ConfigError, VerificationError
from cxr_audit.evidence import EventLog, RunFolder, seal, verify
from cxr_audit.records import InputRecord, Placement, RegionsRecord, RunRecord
from pypdf import PdfReader

from tests.audit.runs import Inline, rows_of, run
from tests.cohort.cases import a_case, a_failure
from tests.evidence.test_events import UNFINISHED, started, with_schema
from tests.evidence.test_folder import said

KILLED_WHILE_RENDERING = """
import os, signal, sys
from pathlib import Path
from cxr_audit.audit import render
from tests.audit.runs import Inline

class Killed(Inline):
    left = 1
    def light(self, function, *arguments):
        if not self.left:
            (Path(arguments[0]) / "cases" / arguments[1] / ".report.pdf.1.tmp").write_bytes(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
        self.left -= 1
        return super().light(function, *arguments)

render(Path(sys.argv[1]), Killed(), Path(sys.argv[2]))
"""


def test_killed_while_its_documents_are_written_again(config_file: Path, tmp_path: Path) -> None:
    """SIGKILL after the first of two, with other templates: `verify` says what to do."""
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
    result = audit(config, Inline(config))
    folder = RunFolder(result.folder)
    assert folder.read_cohort() == result.cohort
    sealed = (folder.path / "SHA256SUMS").read_text()
    assert "  cohort.json\n" in sealed
    assert "  summary.pdf\n" in sealed
    assert (result.cohort.cases.statuses, result.cohort.cases.num_patients) == (
        {"ok": 8, "excluded": 0, "failed": 1},
        3,
    )
    assert [(group.value, group.num_negative) for group in result.cohort.subgroups[0].groups] == [
        ("A", 3)
    ]
    assert [one.metric for one in result.cohort.acceptance] == ["failed", "brier"]
    assert not result.cohort.acceptance[0].is_met
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
    assert audit(config, Inline(config), resume=True).cohort == result.cohort
    assert verify(folder) == []
    # What an interrupted signing has left is no obstacle: the documents are written again.
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
    """A cell of the upper left quarter stays there; cases without lungs or map are left out."""
    placement = Placement(200, 100, 32, 32, 32 / 200, 32 / 100)
    one = replace(a_case("one", "P", 0.9), input=InputRecord(placement))
    facts = replace(one.maps[0].facts, status="not_finite")
    others = [
        replace(one, case_id="no-lungs", regions=RegionsRecord()),
        replace(one, case_id="not-finite", maps=(replace(one.maps[0], facts=facts),)),
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


def test_documents_are_made_from_the_record_as_it_is_on_disk(
    config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mappings have another order there; `verify` reads that order and makes the pages again."""
    folder = run(config_file, limit=1)
    record = folder.read_run()
    software = replace(record.software, versions={"b": "1", "a": "2"})
    seen = []

    def made(_folder: object, record: RunRecord, *_others: object) -> dict[str, bytes]:
        seen.append(list(record.software.versions))
        return {}

    monkeypatch.setattr("cxr_audit.audit.finish.documents_of_run", made)
    events = EventLog.open(folder)
    finish_run(folder, replace(record, software=software), records_of(folder), events)
    assert seen == [["a", "b"]]

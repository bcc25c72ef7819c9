"""Two run folders in, three documents out: offline, the same bytes every time, nothing
overwritten."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from cxr_audit import evidence
from cxr_audit.compare import compare_runs
from cxr_audit.errors import ConfigError, VerificationError
from cxr_audit.evidence import EventLog, RunFolder
from cxr_audit.records import (
    CaseSource,
    Check,
    ComparedRun,
    Flag,
    FlagsRecord,
    RunCalibration,
    RunCases,
    RunRecord,
    to_json,
)
from cxr_audit.report.comparison import _name
from cxr_audit.vocabulary import message
from pypdf import PdfReader

from tests.cohort.cases import a_case, a_failure
from tests.evidence.test_folder import MODEL

FORBIDDEN = r"diagnos|detected|confirms|rules out|normal|healthy|confidence|https?:"


def write_run(path: Path, shift: float, language: str = "en") -> Path:
    """A finished run of 24 cases of 12 patients; in the shifted one some change class, and the
    last has failed."""
    folder = RunFolder.create(path)
    records = [a_case(f"c{n:02}", "PN"[n % 2], min(1, (n + 0.5) / 30 + shift)) for n in range(23)]
    if shift:
        records[3] = replace(records[3], flags=FlagsRecord((Flag("border", "why"),)))
    records.append(a_failure("c23") if shift else a_case("c23", "P", 0.9))
    sources = [
        CaseSource(r.case_id, path, f"Doe^Jane {n}.png", patient_id=f"Doe{n // 2}")
        for n, r in enumerate(records)
    ]
    model = replace(MODEL, sha256="ab"[bool(shift)] * 64)
    config = {
        "run": {"name": path.name},
        "report": {"language": language},
        "explain": {"methods": ["hirescam"] if shift else ["grad-cam"]},
    }
    sha256 = evidence.write_crosswalk(folder, sources)
    run = RunRecord(
        path.name, "finished", "2026-01-02T03:04:05Z", config, "0" * 64, 0, model, RunCases(24)
    )
    check = Check("randomisation", "passed")
    if shift:
        check = Check("randomisation", "failed", reason="why")
    run = replace(run, calibration=RunCalibration(checks=(check,)))
    cases = RunCases(24, case_id_key="k", crosswalk_sha256=sha256)
    folder.write_run(replace(run, cases=cases))
    log = EventLog.open(folder)
    log.begin(folder, run, [])
    for record in records:
        folder.case(record.case_id).mkdir()
        (folder.case(record.case_id) / "case.json").write_bytes(to_json(record))
        log.add_case(folder, record.case_id, record.status)
    evidence.seal(folder, log)
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return write_run(folder / "old", 0.0), write_run(folder / "new", 0.1)


@pytest.fixture(scope="module")
def output(runs: tuple[Path, Path]) -> Path:
    before = {p: p.read_bytes() for run in runs for p in run.rglob("*") if p.is_file()}
    _, folder = compare_runs(*runs)
    assert {p: p.read_bytes() for run in runs for p in run.rglob("*") if p.is_file()} == before
    assert folder == runs[1].parent / "compare-old-new"
    return folder


def test_the_documents_say_what_changed(output: Path) -> None:
    """Outputs (n + 0.5) / 30 from 0.4 up to below 0.5 pass the threshold: n = 12, 13, 14."""
    record = json.loads((output / "compare.json").read_text())
    changed = {case["case_id"] for case in record["changed"] if case["predicted"] == ["N", "P"]}
    assert changed == {"c12", "c13", "c14"}
    page = (output / "compare.html").read_text()
    pdf = PdfReader(output / "compare.pdf")
    text = " ".join(" ".join(page.extract_text() for page in pdf.pages).split())
    for shown in (" ".join(re.sub(r"<[^>]+>", " ", page).split()), text):
        assert "3 of 23 cases audited in both runs changed class" in shown
        assert "Mean score: change +0.100" in shown
        assert (
            "2 wrong in A and right in B, 1 right in A and wrong in B, of 23 labelled cases"
            in shown
        )
        assert "p = 1.000" in shown
        assert "explain.methods" in shown
        assert "Randomisation passed failed" in shown
        assert "new: output depends on the image border" in shown
        assert "audited, then failed" in shown
    assert pdf.attachments["compare.json"] == [(output / "compare.json").read_bytes()]
    assert (pdf.metadata or {})["/Title"] == "Comparison of run old with run new"


def test_a_comparison_is_in_the_language_of_run_b(tmp_path: Path) -> None:
    old, new = write_run(tmp_path / "alt", 0.0), write_run(tmp_path / "neu", 0.1, "de")
    _, folder = compare_runs(old, new)
    page = (folder / "compare.html").read_text()
    pdf = PdfReader(folder / "compare.pdf")
    text = " ".join(" ".join(page.extract_text() for page in pdf.pages).split())
    assert '<html lang="de">' in page
    words = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL)
    for shown in (" ".join(words.split()), text):
        assert "3 von 23 Fällen, die in beiden Läufen auditiert wurden" in shown
        assert "Mittlerer Score: Änderung +0,100" in shown
        assert "neu: Ausgabe" in shown
        assert "auditiert, dann fehlgeschlagen" in shown
        assert not re.search(r"\b(the|of|cases?|then|changed|with|only|audited)\b", shown)
    # The record itself is the same in every language.
    assert json.loads((folder / "compare.json").read_text())["target_class"] == "P"


def test_two_runs_of_one_name_are_told_apart_by_their_times() -> None:
    old, new = (
        ComparedRun("demo", f"2026-01-02T03:0{n}:05Z", 1, "m", "a", "b", "c", 0.5) for n in (4, 7)
    )
    assert [_name(old, new), _name(new, old)] == [
        "demo (2026-01-02 03:04 UTC)",
        "demo (2026-01-02 03:07 UTC)",
    ]
    assert _name(old, replace(new, name="other")) == "demo"


def test_the_page_is_offline_and_names_no_patient(output: Path) -> None:
    page = (output / "compare.html").read_text()
    assert not re.search(r"https?:|src=|href=|@import|url\(", page)
    words = re.sub(r"<style>.*?</style>|<[^>]+>", " ", page, flags=re.DOTALL).replace(
        "not a diagnosis", ""
    )
    assert not re.search(FORBIDDEN, words, re.IGNORECASE)
    assert not any(b"Doe" in path.read_bytes() for path in output.iterdir())


def test_the_same_runs_give_the_same_bytes(
    runs: tuple[Path, Path], output: Path, tmp_path: Path
) -> None:
    compare_runs(*runs, tmp_path / "again")
    for name in ("compare.json", "compare.html", "compare.pdf"):
        assert (tmp_path / "again" / name).read_bytes() == (output / name).read_bytes()


def test_patients_of_the_crosswalk_are_those_resampled(
    runs: tuple[Path, Path], output: Path, tmp_path: Path
) -> None:
    record = json.loads((output / "compare.json").read_text())
    known = message("cohort.patients_known", known=24, num=24)
    assert record["patients"]["code"] == known.code
    assert record["patients"]["values"] == known.values
    assert record["another_class"]["num_patients"] == 12
    for run in runs:
        shutil.copytree(run, tmp_path / run.name, ignore=shutil.ignore_patterns("private"))
    found, _ = compare_runs(tmp_path / "old", tmp_path / "new")
    assert found.patients == message("cohort.patients_unknown", num=24)
    assert found.another_class.num_patients == 23


def test_a_letterhead_is_the_comparisons_too(
    runs: tuple[Path, Path], output: Path, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "compare.html.j2").write_text(
        '<html lang="en"><head><title>{{ title }}</title></head>'
        "<body><h1>St. Example: {{ a.name }}</h1></body></html>"
    )
    _, folder = compare_runs(*runs, tmp_path / "out", mine)
    assert "St. Example: old" in (folder / "compare.html").read_text()
    assert "St. Example: old" in PdfReader(folder / "compare.pdf").pages[0].extract_text()
    assert (folder / "compare.json").read_bytes() == (output / "compare.json").read_bytes()
    (mine / "compare.html.j2").rename(mine / "compare.html")
    with pytest.raises(ConfigError, match="replaces no template"):
        compare_runs(*runs, tmp_path / "other", mine)
    assert not (tmp_path / "other").exists()


def test_what_cannot_be_compared_is_refused(
    runs: tuple[Path, Path], output: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="already holds a comparison"):
        compare_runs(*runs)
    unfinished = shutil.copytree(runs[1], tmp_path / "unfinished")
    (unfinished / "SHA256SUMS").unlink()
    with pytest.raises(ConfigError, match="unfinished has not finished"):
        compare_runs(runs[0], unfinished)
    changed = shutil.copytree(runs[1], tmp_path / "changed")
    (changed / "cases" / "c00" / "case.json").write_bytes(b"{}")
    with pytest.raises(VerificationError, match=r"changed: cases/c00/case\.json"):
        compare_runs(runs[0], changed)
    with pytest.raises(ConfigError, match="is no run folder"):
        compare_runs(runs[0], tmp_path / "none")

"""The chain of events, and that no changed, missing, added or moved byte, record or event goes unnoticed."""

from __future__ import annotations

import datetime
import hashlib
import io
import json
import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
from cxr_audit import cohort, evidence
from cxr_audit.config import measured_by
from cxr_audit.errors import ConfigError, EngineError, VerificationError
from cxr_audit.evidence import EventLog, RunFolder, events
from cxr_audit.records import (
    SCHEMA_VERSION,
    CaseSource,
    RunCases,
    RunRecord,
    Software,
    to_json,
)
from pypdf import PdfWriter

from tests.cohort.cases import a_case, a_failure
from tests.evidence.test_folder import MODEL, said

RUN = RunRecord(
    "run",
    "running",
    "2026-01-01T00:00:00Z",
    {},
    "0" * 64,
    0,
    MODEL,
    RunCases(2),
    Software({"python": "3"}),
)
FILES = (
    "cases/a/case.json",
    "cases/a/map.npz",
    "cases/a/report.pdf",
    "cases/b/case.json",
    "cases.csv",
    "cases.csv-metadata.json",
    "cohort.json",
    "events.jsonl",
    "index.html",
    "run.json",
    "sbom.cdx.json",
    "private/config.json",
    "private/crosswalk.csv",
    "SHA256SUMS",
)


def started(path: Path) -> tuple[RunFolder, EventLog]:
    """A run with its first event, as `audit` begins it."""
    folder = RunFolder.create(path)
    sha256 = evidence.write_crosswalk(
        folder, [CaseSource("a", path, "Doe.png"), CaseSource("b", path, "Roe.png")]
    )
    evidence.write(folder.private / "config.json", b"{}\n", 0o600)
    evidence.write(path / "sbom.cdx.json", b"{}\n")
    folder.write_run(replace(RUN, cases=RunCases(2, crosswalk_sha256=sha256)))
    log = EventLog.open(folder)
    log.begin(folder, folder.read_run(), [])
    return folder, log


def with_attachments(files: dict[str, bytes]) -> bytes:
    """A PDF of one page that carries files."""
    writer = PdfWriter()
    writer.add_blank_page(9, 9)
    for name, data in files.items():
        writer.add_attachment(name, data)
    pdf = io.BytesIO()
    writer.write(pdf)
    return pdf.getvalue()


def audited(folder: RunFolder, log: EventLog, case_id: str) -> None:
    record = a_case("a", "P", 0.9) if case_id == "a" else a_failure(case_id)
    files = {"case.json": to_json(record), "map.npz": b"map of " + case_id.encode()}
    report = with_attachments({**files, "config.json": to_json({})})
    for name, data in {"report.pdf": report, "map.npz": files["map.npz"], **files}.items():
        evidence.write(folder.case(case_id) / name, data)
    log.add_case(folder, case_id, record.status)


def sealed(folder: RunFolder, log: EventLog, has_summary: bool = False) -> None:
    records = [folder.read_case(case_id) for case_id in folder.case_ids()]
    run = folder.read_run()
    sources = evidence.read_crosswalk(folder)
    described = cohort.describe(records, sources, *measured_by(run.config), run.seed)
    for name, data in {
        "cases.csv": cohort.cases_table(records).encode(),
        "cases.csv-metadata.json": cohort.cases_metadata().encode(),
        "cohort.json": to_json(described),
    }.items():
        evidence.write(folder.path / name, data)
    evidence.write(folder.path / "index.html", b"<html>")
    if has_summary:
        files = {"cohort.json": to_json(described), "config.json": to_json({})}
        evidence.write(folder.path / "summary.pdf", with_attachments(files))
    folder.write_run(
        replace(run, status="finished", cases=replace(run.cases, num_cases=len(records)))
    )
    evidence.seal(folder, log)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed run of two cases; not to be changed."""
    folder, log = started(tmp_path_factory.mktemp("whole") / "run")
    for case_id in ("a", "b"):
        audited(folder, log, case_id)
    sealed(folder, log)
    assert evidence.verify(folder) == []
    return folder.path


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> RunFolder:
    return RunFolder(Path(shutil.copytree(whole, tmp_path / "run")))


def lines_of(folder: RunFolder) -> list[bytes]:
    return folder.events.read_bytes().splitlines(keepends=True)


def resum(folder: RunFolder) -> None:
    """`SHA256SUMS` made to fit what stands there, with coreutils and without our code."""
    names = subprocess.run(
        "find . -type f ! -path './private/*' ! -name SHA256SUMS -printf '%P\\n' | LC_ALL=C sort | xargs sha256sum",
        cwd=folder.path,
        shell=True,
        check=True,
        capture_output=True,
    )
    (folder.path / "SHA256SUMS").write_bytes(names.stdout)


def test_the_chain_is_what_it_says(whole: Path) -> None:
    """Each line's `previous` is the SHA-256 of the line before; the first one's that of the run's identity."""
    origin = json.dumps(["run", "2026-01-01T00:00:00Z", "0" * 64, "0" * 64, 0]).encode()
    previous = hashlib.sha256(origin).hexdigest()
    kinds = []
    for number, line in enumerate((whole / "events.jsonl").read_bytes().splitlines(keepends=True)):
        event = json.loads(line)
        assert (event["number"], event["previous"]) == (number, previous)
        assert event["time"].endswith("Z")
        previous = hashlib.sha256(line).hexdigest()
        kinds.append(event["event"])
    assert kinds == ["started", "case", "case", "reported", "sealed"]
    events = [json.loads(line) for line in (whole / "events.jsonl").read_text().splitlines()]
    record = (whole / "cases" / "b" / "case.json").read_bytes()
    assert (events[2]["case_id"], events[2]["status"]) == ("b", "failed")
    assert events[2]["sha256"] == hashlib.sha256(record).hexdigest()
    others = [
        line
        for line in (whole / "SHA256SUMS").read_text().splitlines(True)
        if "events.jsonl" not in line
    ]
    assert events[-1]["sha256"] == hashlib.sha256("".join(others).encode()).hexdigest()


def test_every_kind_of_file_is_flipped_below(whole: Path) -> None:
    kinds = {path.name for path in whole.rglob("*") if path.is_file()}
    assert kinds == {Path(name).name for name in FILES}


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_found_and_its_file_named(folder: RunFolder, name: str) -> None:
    """At ten places from the first byte to the last."""
    path = folder.path / name
    whole = path.read_bytes()
    for tenth in range(10):
        data = bytearray(whole)
        data[round(tenth / 9 * (len(data) - 1))] ^= 1 << tenth % 8
        path.write_bytes(data)
        try:
            problems = said(folder)
        except VerificationError as error:  # the list itself cannot be read any more
            problems = [str(error)]
        assert any(name in problem for problem in problems), tenth


@pytest.mark.parametrize("name", [name for name in FILES if name not in ("SHA256SUMS", "run.json")])
def test_a_file_that_is_missing_is_named(folder: RunFolder, name: str) -> None:
    (folder.path / name).unlink()
    expected = (
        [] if name.startswith("private/") else [f"missing: {name}"]
    )  # those may be kept elsewhere
    assert said(folder) == expected


@pytest.mark.parametrize(
    "name", ["x", ".hidden", "cases/a/x.pdf", "cases/c/case.json", "private/x", "cases/a/.x.1.tmp"]
)
def test_a_file_that_was_added_is_named(folder: RunFolder, name: str) -> None:
    path = folder.path / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"x")
    assert said(folder) == [f"added: {name}"]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda lines: lines[:2] + lines[3:], "line 3 has not the number 2"),
        (lambda lines: [lines[0], lines[2], lines[1], *lines[3:]], "line 2 has not the number 1"),
        (lambda lines: lines[:2] + lines[1:], "line 3 has not the number 2"),
        (lambda lines: [lines[0].replace(b'"3"', b'"4"'), *lines[1:]], "line 1 was changed"),
        (
            lambda lines: [lines[0], lines[1].replace(b'"ok"', b'"no"'), *lines[2:]],
            "line 2 was changed",
        ),
        (lambda lines: [lines[0], b"\n", *lines[1:]], "line 2 is no JSON"),
        (lambda lines: [lines[0], b"[]\n", *lines[1:]], "line 2 has not the number 1"),
        (lambda lines: [*lines[:-1], lines[-1][:-1]], "the last line is torn off"),
        (
            lambda lines: lines[:-1],
            "SHA256SUMS: not the one that the last line of events.jsonl has sealed",
        ),
        (lambda lines: [], "SHA256SUMS: not the one that the last line of events.jsonl has sealed"),
    ],
    ids=[
        "dropped",
        "moved",
        "twice",
        "first",
        "changed",
        "empty",
        "no event",
        "torn",
        "last dropped",
        "all dropped",
    ],
)
def test_an_event_that_was_tampered_with_is_named_even_with_new_checksums(
    folder: RunFolder, change: Callable[[list[bytes]], list[bytes]], problem: str
) -> None:
    folder.events.write_bytes(b"".join(change(lines_of(folder))))
    resum(folder)
    assert any(problem in line for line in said(folder))


def test_a_record_changed_together_with_the_checksums_is_named(folder: RunFolder) -> None:
    path = folder.case("b") / "case.json"
    path.write_bytes(path.read_bytes().replace(b"the file is empty", b"the file is gone!"))
    resum(folder)
    assert said(folder) == [
        "changed: SHA256SUMS: not the one that the last line of events.jsonl has sealed",
        "changed: cases/b/case.json: not the record that events.jsonl names for this case",
    ]


@pytest.mark.parametrize("name", ["events.jsonl", "cases/b"])
def test_what_is_removed_together_with_its_checksum_is_named(folder: RunFolder, name: str) -> None:
    path = folder.path / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    resum(folder)
    name = name if name == "events.jsonl" else f"{name}/case.json"
    assert any(problem.startswith(f"missing: {name}") for problem in said(folder))


def test_the_chain_of_another_run_is_refused(folder: RunFolder) -> None:
    folder.write_run(replace(folder.read_run(), seed=1))
    resum(folder)
    assert any("line 1 is of another run" in problem for problem in said(folder))


def test_a_torn_last_line_is_cut_away_and_said_so(tmp_path: Path) -> None:
    folder, log = started(tmp_path / "run")
    audited(folder, log, "a")
    torn = b'{"number":2,"time":"2026'
    with folder.events.open("ab") as file:
        file.write(torn)
    log = EventLog.open(folder)
    log.begin(folder, folder.read_run(), ["a"])
    audited(folder, log, "b")
    sealed(folder, log)
    assert evidence.verify(folder) == []
    events = [json.loads(line) for line in lines_of(folder)]
    assert [event["event"] for event in events[:5]] == [
        "started",
        "case",
        "repaired",
        "resumed",
        "case",
    ]
    assert (events[2]["dropped_bytes"], events[2]["dropped_sha256"]) == (
        len(torn),
        hashlib.sha256(torn).hexdigest(),
    )


def test_a_broken_chain_is_not_gone_on_with(folder: RunFolder) -> None:
    lines = lines_of(folder)
    folder.events.write_bytes(b"".join([lines[0], *lines[2:]]))
    with pytest.raises(VerificationError, match="line 2 has not the number 1"):
        EventLog.open(folder)


def test_going_on_enters_what_was_not_entered_and_refuses_what_is_not_the_same(
    tmp_path: Path,
) -> None:
    """Case a has its event; the kill came between the record of b and its event."""
    folder, log = started(tmp_path / "run")
    audited(folder, log, "a")
    evidence.write(folder.case("b") / "case.json", to_json(a_failure("b")))
    log = EventLog.open(folder)
    log.begin(folder, folder.read_run(), ["a", "b"])
    last = json.loads(lines_of(folder)[-1])
    digest = hashlib.sha256((folder.case("b") / "case.json").read_bytes()).hexdigest()
    assert (last["event"], last["case_id"], last["sha256"]) == ("found", "b", digest)
    evidence.write(folder.case("a") / "case.json", to_json(a_failure("a")))
    with pytest.raises(VerificationError, match="is not the record"):
        EventLog.open(folder).begin(folder, folder.read_run(), ["a", "b"])
    # Audited again: whatever its record is then, it is the case's.
    EventLog.open(folder).begin(folder, folder.read_run(), ["b"])
    EventLog.open(folder).begin(folder, folder.read_run(), ["a", "b"])
    events = [json.loads(line)["event"] for line in lines_of(folder)]
    assert events == [
        "started",
        "case",
        "resumed",
        "found",
        "resumed",
        "resumed",
        "reopened",
        "resumed",
        "found",
    ]


def test_going_on_refuses_what_was_changed_beside_a_record(tmp_path: Path) -> None:
    """Before there is a SHA256SUMS. A PDF may have been written again; an older event knows of the record alone."""
    folder, log = started(tmp_path / "run")
    audited(folder, log, "a")
    (folder.case("a") / "report.pdf").write_bytes(b"again")
    EventLog.open(folder).begin(folder, folder.read_run(), ["a"])
    (folder.case("a") / "map.npz").write_bytes(b"other")
    with pytest.raises(VerificationError, match="changed: cases/a: its files are not those"):
        EventLog.open(folder).begin(folder, folder.read_run(), ["a"])
    older, log = started(tmp_path / "older")
    audited(older, log, "b")
    first, last = (json.loads(line) for line in lines_of(older))
    del last["beside_sha256"]
    older.events.write_text(
        "".join(json.dumps(event, separators=(",", ":")) + "\n" for event in (first, last))
    )
    (older.case("b") / "map.npz").write_bytes(b"other")
    EventLog.open(older).begin(older, older.read_run(), ["b"])


def test_a_disk_that_is_full_tears_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the line fits."""
    folder, log = started(tmp_path / "run")
    before, real = folder.events.read_bytes(), os.write

    def half(descriptor: int, data: bytes) -> int:
        if len(data) < 20:
            raise OSError(28, "No space left on device")
        return real(descriptor, data[: len(data) // 2])

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(EngineError, match=r"events\.jsonl.*: No space left") as error:
            log.append("calibrated", scales={})
    assert "--resume" in str(error.value.hint)
    assert folder.events.read_bytes() == before
    log.append("calibrated", scales={})
    assert len(lines_of(folder)) == 2
    EventLog.open(folder)


def test_what_a_killed_process_has_left_is_not_sealed(tmp_path: Path) -> None:
    folder, log = started(tmp_path / "run")
    audited(folder, log, "a")
    (folder.path / ".index.html.123.tmp").write_bytes(b"<ht")
    sealed(folder, log)
    assert "tmp" not in (folder.path / "SHA256SUMS").read_text()
    assert evidence.verify(folder) == []


def test_a_changed_run_is_not_sealed_again(folder: RunFolder) -> None:
    """Else the change would be the run's own; what is about to be written again may be another."""
    evidence.require_unchanged(folder)
    (folder.case("a") / "report.pdf").unlink()
    evidence.require_unchanged(folder, but=evidence.documents(folder))
    (folder.case("a") / "map.npz").write_bytes(b"x")
    with pytest.raises(
        VerificationError, match=r"was changed after it was sealed:\nchanged: cases/a/map\.npz$"
    ):
        evidence.require_unchanged(folder, but=evidence.documents(folder))


UNFINISHED = ["unfinished: render: a command was interrupted while it wrote documents"]


@pytest.mark.parametrize("version", [1, 2])
def test_documents_that_broke_off_are_said_so_and_nothing_else_may_change(
    folder: RunFolder, version: int
) -> None:
    """At each step of writing them; the older run had no events before."""
    if version == 1:
        folder.events.unlink()
        with_schema(folder, 1)
    log = EventLog.open(folder)
    log.adopt(folder, folder.read_run())
    log.append("rewriting")
    steps: list[Callable[[], object]] = [
        lambda: None,
        lambda: (folder.case("a") / "report.pdf").write_bytes(b"the new one"),
        lambda: (folder.case("b") / ".report.pdf.9.tmp").write_bytes(b"half"),
        lambda: log.append("rendered", cases=2),
        lambda: (folder.path / "cases.csv").write_bytes(b"case_id\nb\na\n"),
        lambda: (folder.path / "cases.csv-metadata.json").write_bytes(b"{}"),
        lambda: (folder.path / "cohort.json").write_bytes(b"{}"),
        lambda: (folder.path / "index.html").unlink(),
        lambda: folder.events.write_bytes(folder.events.read_bytes() + b'{"number":'),
    ]
    for step in steps:
        step()
        assert said(folder) == UNFINISHED
        with pytest.raises(VerificationError, match="unfinished") as error:
            evidence.require_unchanged(folder, but=evidence.documents(folder))
        assert "cxr-audit render RUN" in str(error.value.hint)
        evidence.require_unchanged(folder, but={*evidence.documents(folder), *evidence.UNFINISHED})
    for name in (
        "cases/a/map.npz",
        "cases/b/case.json",
        "run.json",
        "sbom.cdx.json",
        "cases/x/report.pdf",
    ):
        path = folder.path / name
        path.parent.mkdir(exist_ok=True)
        before = path.read_bytes() if path.exists() else None
        path.write_bytes((before or b"") + b"\n")
        assert [one for one in said(folder) if name in one], name
        path.write_bytes(before) if before else shutil.rmtree(path.parent)
    log = EventLog.open(folder)
    evidence.write(folder.path / "index.html", b"<html>")
    evidence.seal(folder, log)
    assert evidence.verify(folder) == []
    assert '"repaired"' in folder.events.read_text()


def test_a_kill_between_the_last_event_and_the_checksums_is_said_so(folder: RunFolder) -> None:
    """The chain is sealed, and SHA256SUMS still the one before."""
    log, before = EventLog.open(folder), (folder.path / "SHA256SUMS").read_bytes()
    log.append("rewriting")
    (folder.path / "index.html").write_bytes(b"<html>\n")
    evidence.seal(folder, log)
    (folder.path / "SHA256SUMS").write_bytes(before)
    assert said(folder) == UNFINISHED
    log = EventLog.open(folder)
    log.append("rewriting")
    evidence.seal(folder, log)
    assert evidence.verify(folder) == []


def test_a_seal_that_no_command_has_made_is_named(folder: RunFolder) -> None:
    """As by someone who calls `seal` after an edit: it needs no secret."""
    evidence.seal(folder, EventLog.open(folder))
    assert said(folder) == [
        "resealed: events.jsonl: sealed again by event 6 after event 4, "
        "without a command that writes between them"
    ]


def test_who_changes_a_document_without_an_event_is_named(folder: RunFolder) -> None:
    """Nor does an event that does not follow from the chain excuse it."""
    (folder.path / "index.html").write_bytes(b"changed")
    assert said(folder) == ["changed: index.html"]
    with folder.events.open("ab") as file:
        file.write(b'{"number":5,"event":"rewriting","previous":"00"}\n')
    assert any("broken: events.jsonl: line 5 was changed" in one for one in said(folder))
    with pytest.raises(VerificationError, match="broken"):
        evidence.require_unchanged(folder, but={*evidence.documents(folder), *evidence.UNFINISHED})


def test_what_cannot_be_measured_again_may_not_change_where_documents_broke_off(
    folder: RunFolder,
) -> None:
    """Without the crosswalk `render` keeps the cohort.json that stands."""
    EventLog.open(folder).append("rewriting")
    (folder.path / "cohort.json").write_bytes(b"{}")
    assert said(folder) == UNFINISHED
    (folder.private / "crosswalk.csv").unlink()
    assert said(folder) == ["changed: cohort.json", *UNFINISHED]


@pytest.mark.parametrize("digest", [hashlib.sha256().hexdigest(), None])
def test_checksums_that_name_no_event_excuse_nothing(folder: RunFolder, digest: str | None) -> None:
    """A record is changed, the documents are said to be written again, and SHA256SUMS is made to fit: as if its
    events were none, or the run were older than events."""
    EventLog.open(folder).append("rewriting")
    path = folder.case("b") / "case.json"
    path.write_bytes(path.read_bytes().replace(b"the file is empty", b"the file is gone!"))
    resum(folder)
    sums = (folder.path / "SHA256SUMS").read_text().splitlines(keepends=True)
    named = f"{digest}  events.jsonl\n" if digest else ""
    (folder.path / "SHA256SUMS").write_text(
        "".join(named if line.endswith("  events.jsonl\n") else line for line in sums)
    )
    assert (
        "changed: cases/b/case.json: not the record that events.jsonl names for this case"
        in said(folder)
    )
    assert UNFINISHED[0] not in said(folder)


@pytest.mark.parametrize(
    "facts", [{"documents": 5}, {"documents": [[]]}, {"case_id": []}, {"private": []}]
)
def test_an_event_with_facts_of_another_kind_is_named(
    folder: RunFolder, facts: dict[str, object]
) -> None:
    lines = lines_of(folder)
    event = {
        "number": len(lines),
        "event": "rewriting",
        **facts,
        "previous": hashlib.sha256(lines[-1]).hexdigest(),
    }
    folder.events.write_bytes(
        b"".join(lines) + json.dumps(event, separators=(",", ":")).encode() + b"\n"
    )
    assert said(folder) != []


@pytest.mark.parametrize("kind", ["started", "resumed", "case", "found", "reopened", "calibrated"])
def test_documents_that_broke_off_excuse_no_event_of_an_audit(
    folder: RunFolder, kind: Literal["resumed"]
) -> None:
    """Else, once they are written, the run would have taken over what the event says, as of `private/`."""
    log = EventLog.open(folder)
    log.append("rewriting")
    log.append(kind, private={})
    assert "changed: events.jsonl" in said(folder)


def test_a_file_called_as_a_problem_is_one(folder: RunFolder) -> None:
    """Problems are told apart by what they are, not by how they read."""
    for problem in evidence.UNFINISHED:
        for name in (problem.name, problem.why, "index.html: x"):
            (folder.path / name).write_bytes(b"x")
            with pytest.raises(VerificationError, match="added"):
                evidence.require_unchanged(
                    folder, but={*evidence.documents(folder), *evidence.UNFINISHED}
                )
            (folder.path / name).unlink()


def test_what_is_no_file_is_named(folder: RunFolder) -> None:
    """A link to the very bytes, a pipe, an empty folder, a link to a folder."""
    path = folder.case("a") / "map.npz"
    elsewhere = path.rename(folder.path.parent / "map.npz")
    path.symlink_to(elsewhere)
    os.mkfifo(folder.path / "pipe")
    (folder.cases / "c" / "d").mkdir(parents=True)
    (folder.path / "linked").symlink_to(folder.path.parent)
    assert said(folder) == [
        "added: cases/c/d/",
        "added: linked",
        "added: pipe",
        "changed: cases/a/map.npz",
    ]


@pytest.mark.parametrize("name", ["SHA256SUMS", "events.jsonl"])
def test_a_link_in_the_place_of_what_binds_the_folder_is_named(
    folder: RunFolder, name: str
) -> None:
    path = folder.path / name
    path.symlink_to(path.rename(folder.path.parent / name))
    assert any(one.startswith(f"changed: {name}") for one in said(folder))
    EventLog.open(folder).append("rewriting")
    assert any(one.startswith(f"changed: {name}") for one in said(folder))


def test_what_would_keep_a_reader_busy_is_named(folder: RunFolder) -> None:
    """Brackets deeper than Python reads, and a pipe that nothing is written to."""
    brackets, whole = b"[" * 100_000 + b"\n", folder.events.read_bytes()
    folder.events.write_bytes(whole + brackets)
    assert said(folder) == ["broken: events.jsonl: line 6 is no JSON", "changed: events.jsonl"]
    folder.events.write_bytes(whole)
    (folder.path / "run.json").write_bytes(brackets.replace(b"[", b'{"a":'))
    assert any("unreadable: run.json" in one for one in said(folder))
    (folder.path / "SHA256SUMS").unlink()
    os.mkfifo(folder.path / "SHA256SUMS")
    with pytest.raises(VerificationError, match="no readable SHA256SUMS"):
        evidence.verify(folder)


def test_a_file_that_cannot_be_read_is_named_but_in_private(
    folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As without the permission, which a superuser would have all the same. `private/` is its owner's alone."""
    real = Path.open

    def refuse(path: Path, *arguments: object, **options: object) -> object:
        if path.name == "map.npz" or path.parent.name == "private":
            raise PermissionError(13, "Permission denied")
        return real(path, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr(os, "access", lambda path, mode: path.parent.name != "private")
    assert said(folder) == ["changed: cases/a/map.npz", "changed: cases/b/map.npz"]
    assert "cannot be opened; not checked" in evidence.in_words(folder)


def test_an_empty_folder_is_not_sealed(tmp_path: Path) -> None:
    folder, log = started(tmp_path / "run")
    audited(folder, log, "a")
    (folder.cases / "b" / "c").mkdir(parents=True)
    sealed(folder, log)
    assert evidence.verify(folder) == []
    assert "/\n" not in (folder.path / "SHA256SUMS").read_text()


def test_an_unchanged_run_says_which_it_is(folder: RunFolder) -> None:
    """So that an older run under a new name is seen, and there is a number to write down elsewhere."""
    digest = hashlib.sha256((folder.path / "SHA256SUMS").read_bytes()).hexdigest()
    words = f"run run of 2026-01-01T00:00:00Z, 2 cases; SHA-256 of SHA256SUMS {digest}"
    assert evidence.in_words(folder) == words
    (folder.private / "crosswalk.csv").chmod(0o644)
    assert (
        evidence.in_words(folder)
        == f"{words}; private/ names patients and can be read by others than its owner"
    )
    (folder.private / "crosswalk.csv").unlink()
    assert (
        evidence.in_words(folder)
        == f"{words}; private/crosswalk.csv is not here or cannot be opened; not checked"
    )
    shutil.rmtree(folder.private)
    assert (
        evidence.in_words(folder)
        == f"{words}; private/ is not here or cannot be opened; not checked"
    )


def with_schema(folder: RunFolder, version: int) -> None:
    """Give the run the fields of schema 3 and older, and a schema version."""
    path = folder.path / "run.json"
    content = json.loads(path.read_bytes())
    content["calibration"]["calibrated_cases"] = content["calibration"].pop("num_cases")
    for part in ("cases", "software", "calibration", "costs"):
        content |= content.pop(part)
    path.write_text(json.dumps({**content, "schema_version": version}))
    resum(folder)


def test_a_run_older_than_events_is_read_and_verified_by_its_checksums(folder: RunFolder) -> None:
    folder.events.unlink()
    with_schema(folder, 1)
    assert folder.read_run().schema_version == 1
    assert evidence.verify(folder) == []
    (folder.case("a") / "map.npz").write_bytes(b"x")
    assert said(folder) == ["changed: cases/a/map.npz"]


@pytest.mark.parametrize(("version", "age"), [(0, "older"), (SCHEMA_VERSION + 1, "newer")])
def test_a_run_of_an_unknown_schema_is_refused_by_name(
    folder: RunFolder, version: int, age: str
) -> None:
    with_schema(folder, version)
    with pytest.raises(
        ConfigError, match=f"RunRecord of schema version {version} is {age}"
    ) as error:
        evidence.verify(folder)
    assert "run.json names it" in str(error.value.hint)


def test_a_clock_that_goes_back_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the event that has the earlier time, also where another process has written the one before."""

    class Clock(datetime.datetime):
        hour_now = 12

        @classmethod
        def now(cls, tz: datetime.tzinfo | None = None) -> datetime.datetime:  # type: ignore[override]
            return datetime.datetime(2026, 1, 1, cls.hour_now, 30, tzinfo=tz)

    monkeypatch.setattr(events, "datetime", Clock)
    folder, log = started(tmp_path / "run")
    log.append("calibrated")
    Clock.hour_now = 10
    EventLog.open(folder).append("calibrated")
    Clock.hour_now = 11
    EventLog.open(folder).append("calibrated")
    lines = [json.loads(line) for line in lines_of(folder)]
    assert [line.get("clock_back_s") for line in lines] == [None, None, 7200, None]
    assert events.clock_reversals(lines) == [(2, 7200)]
    del lines[2]["time"]
    lines[3]["time"] = "yesterday"
    assert events.clock_reversals(lines) == []

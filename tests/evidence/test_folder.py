"""The run folder: whole files, checksums that coreutils accepts, every change found."""

from __future__ import annotations

import csv
import errno
import os
import re
import resource
import secrets
import shutil
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cxr_audit import evidence
from cxr_audit.errors import ConfigError, EngineError, VerificationError
from cxr_audit.evidence import CaseIdKey, EventLog, RunFolder
from cxr_audit.records import (
    Box,
    CaseSource,
    ModelFacts,
    RunCases,
    RunRecord,
)

MODEL = ModelFacts("m", "0" * 64, 1, (8, 8, 1), "sigmoid", ("a", "b"), "conv", (4, 4), "gap", True)


def said(folder: RunFolder) -> list[str]:
    """What `verify` prints."""
    return [str(one) for one in evidence.verify(folder)]


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    folder = RunFolder.create(tmp_path / "run")
    sources = [
        CaseSource(
            "0001", tmp_path / "a.png", "Doe^Jane/a.png", None, "a", "Doe^Jane", {"ward": "3"}
        )
    ]
    digest = evidence.write_crosswalk(folder, sources)
    folder.write_run(
        RunRecord(
            "run",
            "finished",
            "2026-01-01T00:00:00Z",
            {},
            "0" * 64,
            0,
            MODEL,
            RunCases(1, crosswalk_sha256=digest),
        )
    )
    evidence.write(folder.case("0001") / "report.pdf", b"%PDF-")
    evidence.write(folder.case("0001") / "case.json", b"{}\n")
    events = EventLog.open(folder)
    events.begin(folder, folder.read_run(), [])
    events.add_case(folder, "0001", "ok")
    evidence.seal(folder, events)
    return folder


def test_an_untouched_run_verifies_here_and_with_coreutils(folder: RunFolder) -> None:
    assert evidence.verify(folder) == []
    tool = shutil.which("sha256sum")
    if tool is None:
        pytest.skip("no sha256sum on this machine")
    done = subprocess.run(
        [tool, "--strict", "-c", "SHA256SUMS"], cwd=folder.path, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "cases/0001/report.pdf: OK" in done.stdout


@pytest.mark.parametrize("name", ["cases/0001/report.pdf", "cases/0001/case.json", "run.json"])
def test_one_changed_byte_is_named(folder: RunFolder, name: str) -> None:
    data = bytearray((folder.path / name).read_bytes())
    data[-1] ^= 1
    (folder.path / name).write_bytes(data)
    assert f"changed: {name}" in said(folder)


def test_missing_added_and_replaced_files_are_named(folder: RunFolder) -> None:
    (folder.case("0001") / "report.pdf").unlink()
    (folder.path / "cases" / "extra.txt").write_text("x")
    (folder.case("0001") / "link.pdf").symlink_to("nowhere")
    assert said(folder) == [
        "added: cases/0001/link.pdf",
        "added: cases/extra.txt",
        "missing: cases/0001/report.pdf",
    ]


def test_a_changed_crosswalk_is_named_and_a_missing_one_is_not(folder: RunFolder) -> None:
    crosswalk = folder.private / "crosswalk.csv"
    crosswalk.write_text(crosswalk.read_text().replace("0001", "0002"))
    assert said(folder) == ["changed: private/crosswalk.csv"]
    shutil.rmtree(folder.private)
    assert evidence.verify(folder) == []


def test_the_crosswalk_is_for_its_owner_only(folder: RunFolder) -> None:
    assert stat.S_IMODE((folder.private / "crosswalk.csv").stat().st_mode) == 0o600
    assert "Doe^Jane/a.png" in (folder.private / "crosswalk.csv").read_text()


def test_boxes_and_masks_are_kept_as_they_were_given(folder: RunFolder, tmp_path: Path) -> None:
    boxes = (Box(20, 10, 40, 30), Box(2, 12345.675, 4, 3))
    metadata = {"label": "their own", "ward": "3"}
    source = CaseSource(
        "1", tmp_path, "a", None, None, None, metadata, "test", boxes, tmp_path / "mask.png"
    )
    evidence.write_crosswalk(folder, [source])
    with (folder.private / "crosswalk.csv").open() as file:
        header, row = csv.reader(file)
    assert header[:5] == ["case_id", "path", "file_sha256", "label", "patient_id"]
    assert header[5:] == ["split", "boxes", "mask", "label", "ward"]
    boxes_as_given = "10,20,30,40;12345.675,2,3,4"  # x, y, width, height
    assert row == [
        "1",
        "a",
        "",
        "",
        "",
        "test",
        boxes_as_given,
        str(tmp_path / "mask.png"),
        "their own",
        "3",
    ]


@pytest.mark.parametrize("content", [b"", b"short", b"  15 characters  \n"])
def test_a_key_that_is_no_secret_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(ConfigError, match="at least 16") as error:
        CaseIdKey.find(tmp_path, tmp_path / "key")
    assert "openssl" in str(error.value.hint)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"0" * 64, "1 different bytes"),
        (b"abcabcabcabcabcabc", "3 different bytes"),
        (b"k3f9s0dq" * 4, "follows a pattern"),
        (b"0123456789abcdef", "follows a pattern"),
        (b"zyxwvutsrqponmlk", "follows a pattern"),
        (b"MyHospitalPassword2026", "follows a pattern"),
    ],
)
def test_a_key_that_can_be_guessed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, why: str
) -> None:
    (tmp_path / "key").write_bytes(content)
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(ConfigError, match=why) as error:
        CaseIdKey.find(tmp_path, tmp_path / "key")
    assert content.decode() not in f"{error.value} {error.value.hint}"
    monkeypatch.setenv(evidence.KEY_VARIABLE, content.decode())
    with pytest.raises(ConfigError, match=why):
        CaseIdKey.find(tmp_path, None)


def test_random_keys_are_taken(tmp_path: Path) -> None:
    """As openssl rand -hex and -base64 make them: none of 2,000 is taken for a pattern."""
    path = tmp_path / "key"
    path.touch(0o600)
    for _ in range(1000):
        for key in (secrets.token_hex(32), secrets.token_urlsafe(16)):
            path.write_text(key)
            assert CaseIdKey.find(tmp_path, path).value == key.encode()


@pytest.mark.parametrize(("mode", "is_taken"), [(0o600, True), (0o640, True), (0o644, False)])
def test_a_key_that_everyone_can_read_is_refused(tmp_path: Path, mode: int, is_taken: bool) -> None:
    path = tmp_path / evidence.KEY_NAME
    path.write_text(secrets.token_hex(32))
    path.chmod(mode)
    for key_file in (path, None):
        if is_taken:
            CaseIdKey.find(tmp_path, key_file)
            continue
        with pytest.raises(ConfigError, match="can be read by everyone") as error:
            CaseIdKey.find(tmp_path, key_file)
        assert f"chmod 600 {path}" in str(error.value.hint)


def test_a_key_does_not_show_itself() -> None:
    key = CaseIdKey(b"a key that no one may read")
    assert "no one" not in f"{key} {key!r} {[key]}"
    # RFC 4231, test case 2.
    digest = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert CaseIdKey(b"Jefe").hmac("what do ya want for nothing?") == digest


@pytest.mark.parametrize("mode", [0o755, 0o750, 0o701])
def test_a_private_folder_that_others_may_enter_is_refused(
    folder: RunFolder, tmp_path: Path, mode: int
) -> None:
    folder.private.chmod(mode)
    with pytest.raises(ConfigError, match=f"has mode {mode:03o}, expected 700") as error:
        evidence.write_crosswalk(folder, [])
    assert f"chmod 700 {folder.private}" in str(error.value.hint)


def test_a_key_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the key"):
        CaseIdKey.find(tmp_path, tmp_path / "none")


def test_a_key_is_made_once_and_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(evidence.KEY_VARIABLE, raising=False)
    first, second = CaseIdKey.find(tmp_path, None), CaseIdKey.find(tmp_path, None)
    assert first.value != second.value
    assert list(tmp_path.iterdir()) == []
    first.keep()
    with pytest.raises(ConfigError, match="cannot write"):
        second.keep()
    found = CaseIdKey.find(tmp_path, None)
    assert (found.value, found.fingerprint) == (first.value, first.fingerprint)
    assert found.value.hex() not in found.fingerprint
    found.keep()


def test_a_run_without_checksums_cannot_be_verified(folder: RunFolder) -> None:
    (folder.path / "SHA256SUMS").unlink()
    with pytest.raises(VerificationError, match="no readable SHA256SUMS"):
        evidence.verify(folder)


def test_evidence_is_never_overwritten(folder: RunFolder) -> None:
    with pytest.raises(ConfigError, match="never overwritten"):
        RunFolder.create(folder.path)


def test_what_is_no_run_yet_is_begun_again(tmp_path: Path) -> None:
    """As after a full disk: a crosswalk, but no `run.json`."""
    folder = RunFolder.create(tmp_path / "run")
    evidence.write_crosswalk(folder, [])
    evidence.write(folder.path / evidence.SBOM, b"{}")
    assert RunFolder.create(folder.path) == folder
    (folder.path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="never overwritten"):
        RunFolder.create(folder.path)


def test_an_output_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write the run folder"):
        RunFolder.create(tmp_path / "file" / "run")


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no run folder"):
        RunFolder.open(tmp_path)


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    evidence.write(tmp_path / "a.txt", b"old")
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(EngineError, match="No space left"):
        evidence.write(tmp_path / "a.txt", b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]
    assert (tmp_path / "a.txt").read_bytes() == b"old"


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "make room on the disk"),
        (errno.EROFS, "make the file system writable"),
        (errno.EACCES, "make the folder writable"),
        (errno.ENOENT, "put it back"),
    ],
)
def test_the_hint_fits_what_the_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, words: str
) -> None:
    def refused(self: Path, target: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "replace", refused)
    with pytest.raises(EngineError, match=re.escape(os.strerror(number))) as error:
        evidence.write(tmp_path / "a.txt", b"new")
    assert words in str(error.value.hint)
    assert "--resume" in str(error.value.hint)


def test_a_file_that_the_system_cuts_short_leaves_nothing(tmp_path: Path) -> None:
    """The limit of a file's size is the system's own: it writes 1,000 bytes, then refuses the others."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(
            EngineError, match=r"cannot write a\.txt in .*: File too large"
        ) as error:
            evidence.write(tmp_path / "a.txt", bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "limit of the size of files" in str(error.value.hint)
    assert list(tmp_path.iterdir()) == []


def test_the_crosswalk_comes_back(folder: RunFolder, tmp_path: Path) -> None:
    """A manifest column may be called as one of ours, and a cell may hold anything."""
    sources = [
        CaseSource(
            "0001",
            tmp_path,
            "a, b.png",
            "0" * 64,
            "P",
            "Doe^Jane",
            {"label": "mine", "ward": 'x "y"\nz'},
        ),
        CaseSource("unreadable-0001", tmp_path, "caf\udce9.png", None, None, None, {"ward": "3"}),
    ]
    digest = evidence.write_crosswalk(folder, sources)
    folder.write_run(replace(folder.read_run(), cases=RunCases(1, crosswalk_sha256=digest)))
    first, second = evidence.read_crosswalk(folder)
    assert (first.case_id, first.label, first.patient_id, first.metadata) == (
        *("0001", "P", "Doe^Jane"),
        {"label": "mine", "ward": 'x "y"\nz'},
    )
    assert (second.relative_path, second.file_sha256, second.label, second.patient_id) == (
        "caf\udce9.png",
        None,
        None,
        None,
    )
    assert second.metadata == {"label": "", "ward": "3"}


def test_a_crosswalk_that_is_not_the_runs_own_is_refused(folder: RunFolder) -> None:
    crosswalk = folder.private / "crosswalk.csv"
    crosswalk.write_bytes(crosswalk.read_bytes().replace(b"Doe^Jane", b"Roe^Rita"))
    with pytest.raises(VerificationError, match=r"changed: private/crosswalk\.csv"):
        evidence.read_crosswalk(folder)
    crosswalk.unlink()
    assert evidence.read_crosswalk(folder) == []


def test_a_file_in_parts_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "cases.csv"
    evidence.write(path, (part for part in (b"a\n", b"", b"b\n")))
    assert path.read_bytes() == b"a\nb\n"

    def broken() -> Iterator[bytes]:
        yield b"c\n"
        raise ValueError("a record cannot be read")

    with pytest.raises(ValueError, match="cannot be read"):
        evidence.write(path, broken())
    assert [entry.name for entry in tmp_path.iterdir()] == ["cases.csv"]
    assert path.read_bytes() == b"a\nb\n"

"""One writer at a time: who is refused, whose lock is taken over, and that it is no evidence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from cxr_audit import evidence
from cxr_audit.errors import ConfigError, RunLocked
from cxr_audit.evidence import RunFolder, lock
from cxr_audit.evidence.lock import Holder, holder_of, locked, require_unlocked

from tests.evidence.test_events import folder, whole  # noqa: F401
from tests.evidence.test_folder import said


def leave(path: Path, holder: Holder) -> None:
    """A lock as a process that was killed has left it."""
    path.mkdir(exist_ok=True)
    (path / ".lock").write_text(json.dumps(asdict(holder)))


def ended_process() -> int:
    """The id of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def holder(**changes: object) -> Holder:
    own = lock._own_holder()
    return replace(own, **{"pid": ended_process(), "process_start": "", **changes})


def test_a_second_writer_is_refused_by_name(tmp_path: Path) -> None:
    with locked(tmp_path / "run"):
        with pytest.raises(RunLocked) as error, locked(tmp_path / "run"):
            pass
        assert f"is in use by process {os.getpid()} on " in str(error.value)
        assert "since 20" in str(error.value)
        with pytest.raises(RunLocked):
            require_unlocked(tmp_path / "run")
        assert [path.name for path in (tmp_path / "run").iterdir()] == [".lock"]
        (tmp_path / "run" / "x").write_text("")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["x"]
    require_unlocked(tmp_path / "run")


def test_a_folder_that_stays_empty_is_removed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), locked(tmp_path / "runs" / "run"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_the_lock_of_a_process_that_has_ended_is_taken_over(tmp_path: Path) -> None:
    leave(tmp_path, holder())
    require_unlocked(tmp_path)
    with locked(tmp_path):
        found = holder_of(tmp_path)
        assert found is not None
        assert (found[0].pid, found[1]) == (os.getpid(), "held")
    assert list(tmp_path.iterdir()) == []


def test_a_process_id_that_is_used_again_does_not_hold_the_lock(tmp_path: Path) -> None:
    if not lock._process_start(os.getpid()):
        pytest.skip("this system does not tell when a process has started")
    leave(tmp_path, holder(pid=os.getpid(), process_start="1"))
    with locked(tmp_path):
        pass


def test_after_a_restart_of_the_machine_no_lock_is_held(tmp_path: Path) -> None:
    """The process id may be another program's by now."""
    left = holder(pid=os.getpid(), boot="another start")
    leave(tmp_path, replace(left, machine=left.machine or "m"))
    state = "stale" if left.machine else "unknown"
    assert holder_of(tmp_path)[1] == state  # type: ignore[index]


@pytest.mark.parametrize(
    "changes", [{"host": "ward-3"}, {"machine": "another"}, {"namespace": "pid:[1]"}, {"token": ""}]
)
def test_a_lock_that_cannot_be_judged_from_here_is_refused(
    tmp_path: Path, changes: dict[str, str]
) -> None:
    left = holder(**changes)
    leave(tmp_path, left)
    with pytest.raises(RunLocked) as error, locked(tmp_path):
        pass
    assert f"process {left.pid} on {left.host}, since {left.started}" in str(error.value)
    assert f"remove {tmp_path / '.lock'}" in str(error.value.hint)
    assert (tmp_path / ".lock").is_file()


@pytest.mark.parametrize("data", [b"", b"[1]", b"{", b'{"host": 1}'])
def test_a_lock_that_cannot_be_read_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / ".lock").write_bytes(data)
    with pytest.raises(RunLocked, match="an unknown host"), locked(tmp_path):
        pass


def test_without_hard_links_the_lock_is_created_exclusively(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    with locked(tmp_path / "run"), pytest.raises(RunLocked), locked(tmp_path / "run"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_link_whose_answer_was_lost_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As NFS does where a request is sent twice: the first one made the link, the second fails."""
    real = os.link

    def twice(source: Path, target: Path) -> None:
        real(source, target)
        real(source, target)

    monkeypatch.setattr(os, "link", twice)
    with locked(tmp_path / "run"):
        assert holder_of(tmp_path / "run")[1] == "held"  # type: ignore[index]


def test_where_two_cannot_be_told_apart_nothing_is_taken_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFS without its lock service."""

    def refuse(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", refuse)
    leave(tmp_path, holder())
    with pytest.raises(RunLocked, match="that process has ended") as error, locked(tmp_path):
        pass
    assert f"remove {tmp_path / '.lock'}" in str(error.value.hint)


def test_of_many_that_take_over_at_once_one_holds_the_lock_at_a_time(tmp_path: Path) -> None:
    """Threads with locks of their own; each round begins with a stale lock."""
    inside: list[int] = []
    most: list[int] = []

    def take() -> None:
        try:
            with locked(tmp_path):
                inside.append(1)
                most.append(len(inside))
                threading.Event().wait(0.002)
                inside.pop()
        except RunLocked:
            pass

    stale = holder()
    for _ in range(30):
        leave(tmp_path, stale)
        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(most) >= 30
    assert max(most) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot write the run folder"), locked(tmp_path / "file"):
        pass


def test_the_lock_is_no_evidence(folder: RunFolder) -> None:  # noqa: F811
    with locked(folder.path):
        (folder.path / ".lock.0123456789abcdef.tmp").write_text("")
        assert said(folder) == []
        log = evidence.EventLog.open(folder)
        log.append("rewriting")
        evidence.seal(folder, log)
    assert ".lock" not in (folder.path / "SHA256SUMS").read_text()
    assert said(folder) == []

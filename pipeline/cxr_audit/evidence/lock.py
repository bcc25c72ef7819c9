"""One writer at a time: a lock file in the run folder, taken by every command that writes there.

The lock is a file that names its holder: host, process, start time. It is made complete under a
name of its own and then linked to the name of the lock: `link` either makes the name or fails,
also on NFS (NFSv3 and later), and the number of links of the file says which, also where the
answer of the server was lost. A file system without hard links gets an exclusive creation instead
(`O_EXCL`).

A lock whose process has ended is taken over, but only where that is certain: the same machine and
the same process namespace, or the same machine since restarted. Two commands that take over at
the same time are told apart by `flock` on the old file, which both of them see, since they run on
one machine. Any other lock is refused with the name of its holder and how to remove it.

The lock is no evidence: `SHA256SUMS` does not name it, and it is gone when the command ends.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from cxr_audit.errors import ConfigError, EngineError, RunLocked
from cxr_audit.evidence.folder import LOCK

State = Literal["held", "stale", "unknown"]
NO_HARD_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}
ATTEMPTS = 5  # each one removes a stale lock, or finds that another command has


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a lock.

    Parameters
    ----------
    host : name of the machine or container.
    pid : process id, in its namespace.
    started : when the lock was taken, UTC, ISO 8601.
    token : random; tells two locks of the same process apart.
    machine : identity of the machine, "" where it has none.
    boot : identity of the machine's last start, "" where it has none.
    namespace : the process ids that `pid` is one of, "" where the system has no such thing.
    process_start : start of the process in clock ticks since boot, "" where it is unknown.
    """

    host: str
    pid: int
    started: str
    token: str
    machine: str = ""
    boot: str = ""
    namespace: str = ""
    process_start: str = ""

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}, since {self.started}"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock of a run folder, which is made where it does not exist.

    Parameters
    ----------
    path : the run folder. If it did not exist and nothing was written to it, it is removed again.

    Raises
    ------
    RunLocked : another process writes to the folder, or may do so.
    ConfigError : the folder cannot be written.
    """
    made = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        token = _take(path / LOCK)
    except OSError as error:
        raise ConfigError(
            f"cannot write the run folder {path}: {error.strerror}",
            "set run.output to a folder that you can write",
        ) from error
    try:
        yield
    finally:
        _release(path / LOCK, token)
        with contextlib.suppress(OSError):  # not empty: a run has begun in it
            for folder in made:
                folder.rmdir()


def holder_of(path: Path) -> tuple[Holder, State] | None:
    """Who holds the lock of a run folder and whether that process still runs; None = not locked."""
    try:
        holder = _read(path / LOCK)
    except FileNotFoundError:
        return None
    return holder, _state(holder)


def require_unlocked(path: Path) -> None:
    """Raise `RunLocked` where another process is writing to a run folder at this moment."""
    holder = holder_of(path)
    if holder is not None and holder[1] == "held":
        raise _refusal(path / LOCK, *holder)


def _take(lock: Path) -> str:
    """Take a lock and return its token."""
    own = _own_holder()
    for _ in range(ATTEMPTS):
        if _create(lock, own):
            if _read(lock) != own:
                raise EngineError(
                    f"the lock {lock} is not the one that was just written",
                    "the file system does not create files exclusively; use another one for runs",
                )
            return own.token
        try:
            holder = _read(lock)
        except FileNotFoundError:  # released meanwhile
            continue
        state = _state(holder)
        if state != "stale" or not _remove_stale(lock, holder):
            raise _refusal(lock, holder, state)
    raise EngineError(f"the lock {lock} changes too often", "give the command again")


def _create(lock: Path, own: Holder) -> bool:
    """Whether the lock was free; then it is `own`."""
    data = json.dumps(asdict(own)).encode() + b"\n"
    complete = lock.with_name(f"{lock.name}.{own.token}.tmp")
    descriptor = os.open(complete, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(complete, lock)
        except OSError as error:
            if error.errno in NO_HARD_LINKS:
                return _create_exclusively(lock, data)
            # The link may stand all the same: NFS answers a repeated request with "exists".
        return complete.stat().st_nlink == 2
    finally:
        complete.unlink()


def _create_exclusively(lock: Path, data: bytes) -> bool:
    try:
        descriptor = os.open(lock, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    return True


def _remove_stale(lock: Path, holder: Holder) -> bool:
    """Remove the lock of a process that has ended; True = try again to take it."""
    try:
        with lock.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:  # NFS without its lock service: two commands could not be told apart
                return False
            opened, standing = os.fstat(file.fileno()), lock.stat()
            if opened.st_ino == standing.st_ino and _read(lock) == holder:
                lock.unlink()
    except FileNotFoundError:  # another command has removed it
        pass
    return True


def _release(lock: Path, token: str) -> None:
    """Remove our lock, and no other that a person has put in its place."""
    with contextlib.suppress(FileNotFoundError):  # the folder or the lock was removed by hand
        if _read(lock).token == token:
            lock.unlink()


def _read(lock: Path) -> Holder:
    """The holder of a lock; fields that cannot be read are empty, which makes its state unknown."""
    data = lock.read_bytes()
    try:
        return Holder(**json.loads(data))
    except (ValueError, TypeError):
        return Holder("an unknown host", 0, "an unknown time", "")


def _state(holder: Holder) -> State:
    """Whether the process that holds a lock still runs."""
    own = _own_holder()
    if holder.host != own.host or holder.machine != own.machine or not holder.token:
        return "unknown"
    if holder.boot != own.boot:
        return "stale" if holder.machine else "unknown"
    if holder.namespace != own.namespace:
        return "unknown"
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return "stale"
    except PermissionError:  # it runs, as another user
        pass
    is_another = holder.process_start not in ("", _process_start(holder.pid))
    return "stale" if is_another else "held"


def _own_holder() -> Holder:
    return Holder(
        host=socket.gethostname(),
        pid=os.getpid(),
        started=datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
        token=secrets.token_hex(8),
        machine=_text_of("/etc/machine-id"),
        boot=_text_of("/proc/sys/kernel/random/boot_id"),
        namespace=_namespace(),
        process_start=_process_start(os.getpid()),
    )


def _namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _process_start(pid: int) -> str:
    """Field 22 of /proc/PID/stat: a process id is used again, but not with the same start."""
    fields = _text_of(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return fields[19] if len(fields) > 19 else ""


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace").strip()
    except OSError:
        return ""


def _refusal(lock: Path, holder: Holder, state: State) -> RunLocked:
    if state == "held":
        return RunLocked(
            f"{lock.parent} is in use by {holder}",
            "wait until that command has ended, or stop it, then give this command again",
        )
    if state == "stale":
        return RunLocked(
            f"{lock.parent} was left locked by {holder}; that process has ended",
            f"the file system has no locks to take it over safely; remove {lock}",
        )
    return RunLocked(
        f"{lock.parent} is locked by {holder}; whether it still runs cannot be seen from here",
        f"look on {holder.host}; if that command has ended, remove {lock}",
    )

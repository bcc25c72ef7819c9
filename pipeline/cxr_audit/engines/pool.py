"""A small pool of processes that survives the loss of any of them.

Each process does one task at a time. One that dies, or that exceeds its time or memory, is
replaced, and only its own task fails, with `WorkerLost`. The standard library's
`ProcessPoolExecutor` breaks as a whole in this case. Pebble (LGPL) replaces processes and limits
time, but neither watches memory nor says which process has which task.

Processes are started fresh (spawn), so that none inherits threads or memory. A thread hands out
tasks and watches the processes. Memory is the resident size: a limit on address space (RLIMIT_AS)
would stop TensorFlow, which reserves far more than it uses.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any

from cxr_audit.audit.failures import RemoteTrace, WorkerLost, frames_of
from cxr_audit.errors import EngineError
from cxr_audit.vocabulary import Text, load_plugins, message

WATCH_S = 0.1
STARTS = 3  # attempts to start a process before the pool gives up
PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20 if hasattr(os, "sysconf") else 0.0
CONTEXT = multiprocessing.get_context("spawn")


SECONDS_TO_TIDY_UP = 5.0  # of an idle process, when the pool is closed


@dataclass(frozen=True, slots=True)
class Limits:
    """What one case may take: seconds, and MiB beyond what the idle process holds."""

    seconds: float
    mib: float


@dataclass(slots=True)
class _Task:
    """A pickled call with its future. `alone`: no other task of the pool runs beside it."""

    call: bytes
    future: Future[Any]
    cases: int
    tries_left: int
    alone: bool = False


@dataclass(slots=True, eq=False)
class _Worker:
    """A process, and what it is doing."""

    process: SpawnProcess
    connection: Connection
    is_ready: bool = False
    idle_mib: float = 0.0
    task: _Task | None = None
    since: float = 0.0
    num_done: int = 0
    is_retired: bool = False
    ended_for: tuple[Text, Text] | None = None  # reason and hint


class Pool:
    """Processes for one kind of work.

    Parameters
    ----------
    environments : variables to set in each process before its holder is opened; as many processes
        as there are entries.
    limits : of one case; a task of n cases may take n times as much.
    open_holder : called once in each process; its result is the first argument of each call. None =
        calls have their own arguments only. An exception that it raises is that of each task.
    tries : how often a task is begun whose process is lost; from the second time on alone.
    tasks_a_process : after so many a process is replaced, so that no cache grows without end.
    """

    def __init__(
        self,
        environments: Sequence[Mapping[str, str]],
        limits: Limits,
        open_holder: Callable[[], Any] | None = None,
        tries: int = 1,
        tasks_a_process: int | None = None,
    ) -> None:
        self._limits, self._tries, self._most_tasks = limits, tries, tasks_a_process
        self._opener = None if open_holder is None else pickle.dumps(open_holder)
        self._waiting: deque[_Task] = deque()
        self._lock = threading.Lock()
        self._is_closed = False
        self._is_woken = False
        self._is_broken: Exception | None = None
        self._failed_starts = 0
        self._woken, self._wake = CONTEXT.Pipe(duplex=False)
        # Started now, while this process is small. Ctrl-C is for this process alone.
        with _interrupts_blocked():
            self._workers = [self._start(environment) for environment in environments]
        self._environments = dict(zip(self._workers, environments, strict=True))
        self._thread = threading.Thread(target=self._watch, name="pool", daemon=True)
        self._thread.start()

    @property
    def pids(self) -> list[int]:
        """The processes that are alive."""
        return [worker.process.pid for worker in self._workers if worker.process.pid is not None]

    def submit(
        self, function: Callable[..., Any], arguments: tuple[Any, ...], cases: int = 1
    ) -> Future[Any]:
        """Call a function in one of the processes.

        Parameters
        ----------
        function : defined at the top of a module, or in a class there.
        arguments : they are pickled now.
        cases : the call may take this many times the limits of one case.
        """
        task = _Task(pickle.dumps((function, arguments)), Future(), cases, self._tries)
        with self._lock:
            if self._is_broken is not None:
                raise self._is_broken
            if self._is_closed:
                raise RuntimeError("the pool is closed")
            self._waiting.append(task)
            self._wake_up()
        return task.future

    def close(self) -> None:
        """End all processes; what they have not finished is cancelled.

        An idle process ends by itself and tidies up; a busy one is killed.
        """
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._wake_up()
        for worker in list(self._workers):
            if not worker.is_ready or worker.task is not None:
                worker.process.kill()
        self._thread.join()
        for worker in self._workers:
            worker.connection.close()
        for worker in self._workers:
            worker.process.join(SECONDS_TO_TIDY_UP)
            worker.process.kill()
            worker.process.join()
        self._fail_all(EngineError("the engine was closed"))
        self._woken.close()
        self._wake.close()

    def _wake_up(self) -> None:
        """Wake the thread; once is enough, and the pipe never fills up."""
        if not self._is_woken:
            self._is_woken = True
            self._wake.send_bytes(b"x")

    # ---- in the thread

    def _watch(self) -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            while not self._is_closed:
                self._hand_out()
                self._listen()
                for worker in self._workers:
                    self._limit(worker)
        except Exception as error:  # noqa: BLE001  else whoever waits for a task waits for ever
            self._fail_all(error)
            with self._lock:
                self._is_broken = error

    def _listen(self) -> None:
        """Wait for messages of the processes, no longer than until they have to be looked after."""
        is_busy = any(worker.task for worker in self._workers)
        by_connection: dict[Any, _Worker] = {one.connection: one for one in self._workers}
        for source in wait([self._woken, *by_connection], WATCH_S if is_busy else None):
            if source is self._woken:
                with self._lock:
                    self._woken.recv_bytes()
                    self._is_woken = False
            else:
                self._hear(by_connection[source])

    def _hand_out(self) -> None:
        """Give waiting tasks to idle processes."""
        while True:
            idle = [one for one in self._workers if one.is_ready and one.task is None]
            busy = [one.task for one in self._workers if one.task is not None]
            with self._lock:
                if not idle or not self._waiting or any(task.alone for task in busy):
                    return
                if busy and self._waiting[0].alone:
                    return
                task = self._waiting.popleft()
            if not task.future.running() and not task.future.set_running_or_notify_cancel():
                continue
            worker = idle[0]
            worker.task, worker.since = task, time.monotonic()
            with contextlib.suppress(OSError):  # it has died: its connection says so
                worker.connection.send_bytes(task.call)

    def _hear(self, worker: _Worker) -> None:
        """A message of a process, or its end."""
        try:
            kind, content = pickle.loads(worker.connection.recv_bytes())
        except (EOFError, OSError):
            self._replace(worker)
            return
        except Exception as error:  # noqa: BLE001  a result that cannot be read is its task's fault
            kind, content = "raised", (error, ())
        if kind == "ready":
            worker.is_ready, worker.idle_mib = True, resident_mib(worker.process.pid)
            self._failed_starts = 0
            return
        task, worker.task = worker.task, None
        worker.num_done += 1
        assert task is not None
        if kind == "done":
            task.future.set_result(content)
        else:
            raised, frames = content
            raised.__cause__ = RemoteTrace(frames)
            task.future.set_exception(raised)
        if worker.num_done == self._most_tasks:
            worker.is_ready, worker.is_retired = False, True
            worker.process.kill()

    def _limit(self, worker: _Worker) -> None:
        """End a process that takes more than it may."""
        task, limits = worker.task, self._limits
        if task is None or worker.ended_for is not None:
            return
        seconds, mib = limits.seconds * task.cases, limits.mib * task.cases
        if time.monotonic() - worker.since > seconds:
            worker.ended_for = (
                message("engine.too_slow", seconds=seconds),
                message("engine.raise_seconds"),
            )
        elif resident_mib(worker.process.pid) - worker.idle_mib > mib:
            worker.ended_for = (
                message("engine.too_large", mib=mib),
                message("engine.raise_mib"),
            )
        if worker.ended_for is not None:
            worker.process.kill()

    def _replace(self, worker: _Worker) -> None:
        """A process has ended: its task is begun again or fails, and another takes its place."""
        worker.process.join()
        worker.connection.close()
        if worker.task is not None:
            self._again(worker.task, *(worker.ended_for or _death(worker.process.exitcode)))
        elif not worker.is_ready and not worker.is_retired:
            self._failed_starts += 1
        environment = self._environments.pop(worker)
        if self._failed_starts >= STARTS:
            self._fail_all(
                EngineError(
                    "the worker processes could not start",
                    "in a script, call run_audit below `if __name__ == '__main__':`, since "
                    "workers import the script",
                )
            )
            self._failed_starts = 0
        with self._lock:
            if self._is_closed:
                self._workers.remove(worker)
                return
            fresh = self._start(environment)
            self._environments[fresh] = environment
            self._workers[self._workers.index(worker)] = fresh

    def _again(self, task: _Task, reason: Text, hint: Text) -> None:
        task.tries_left -= 1
        if task.tries_left <= 0:
            task.future.set_exception(WorkerLost(reason, hint))
            return
        task.alone = True
        with self._lock:
            self._waiting.appendleft(task)

    def _fail_all(self, error: Exception) -> None:
        """Nothing that waits or runs will be done."""
        with self._lock:
            tasks, self._waiting = list(self._waiting), deque()
        tasks += [worker.task for worker in self._workers if worker.task is not None]
        for task in tasks:
            if not task.future.done():
                task.future.set_exception(error)

    def _start(self, environment: Mapping[str, str]) -> _Worker:
        here, there = CONTEXT.Pipe()
        process = CONTEXT.Process(target=work, args=(there, self._opener, dict(environment)))
        process.start()
        there.close()
        return _Worker(process, here)


def _death(code: int | None) -> tuple[Text, Text]:
    if code is not None and code < 0:
        reason = message("engine.died_of_signal", signal=-code)
    else:
        reason = message("engine.died", code=code or 0)
    return reason, message("engine.lower_workers")


def resident_mib(pid: int | None) -> float:
    """Resident size of a process; 0 where this system does not tell."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE_MIB
    except (OSError, IndexError):
        return 0.0


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ---- in the processes


def work(connection: Connection, opener: bytes | None, environment: dict[str, str]) -> None:
    """Do tasks until the other end of the connection closes."""
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    holder: tuple[Any, ...] = ()
    flaw: Exception | None = None
    try:
        load_plugins()
        if opener is not None:
            holder = (pickle.loads(opener)(),)
    except Exception as error:  # noqa: BLE001  that of each task
        flaw = error
    connection.send_bytes(pickle.dumps(("ready", None)))
    while True:
        try:
            call = connection.recv_bytes()
        except EOFError:
            return
        connection.send_bytes(_answer(call, holder, flaw))


def _answer(call: bytes, holder: tuple[Any, ...], flaw: Exception | None) -> bytes:
    try:
        if flaw is not None:
            raise flaw
        function, arguments = pickle.loads(call)
        return pickle.dumps(("done", function(*holder, *arguments)))
    except Exception as error:  # noqa: BLE001  raised again where the future is asked
        frames = frames_of(error)
        bare = error.with_traceback(None)
        try:
            data = pickle.dumps(("raised", (bare, frames)))
            pickle.loads(data)
        except Exception:  # noqa: BLE001  one that does not travel
            stand_in = RuntimeError(type(error).__name__)
            data = pickle.dumps(("raised", (stand_in, frames)))
        return data


def _end_with_parent() -> None:
    """A process ends when its parent does, however that ended."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

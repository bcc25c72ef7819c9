"""Worker processes on this machine.

Started fresh (spawn), so that no worker inherits TensorFlow's threads or memory, and replaced after
some hundred tasks, so that no library's cache grows without end. A worker that dies ends the run with
a named error; `--resume` goes on.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any

from cxr_audit.errors import EngineError

TASKS_A_WORKER = 2000


class LocalEngine:
    """A pool of processes; a context manager. `workers` None = the cores this process may use."""

    def __init__(self, workers: int | None = None) -> None:
        self.num_workers = workers or num_cores()
        # Read by NumPy when a worker first loads it: two cores that wait for each other on small products cost twice.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        self._pool = ProcessPoolExecutor(
            self.num_workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            max_tasks_per_child=TASKS_A_WORKER,
        )
        # Started now, while this process is small and before it loads a model; Ctrl-C is for this process alone.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        self._first, *_ = [self._pool.submit(int) for _ in range(self.num_workers)]
        signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        try:
            return self._pool.submit(function, *arguments)
        except BrokenProcessPool as error:
            raise self._died() from error

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise self._died() from error

    def _died(self) -> EngineError:
        if self._first.exception() is not None:
            return EngineError(
                "the worker processes could not start",
                "in a script, call run_audit below `if __name__ == '__main__':`, since workers import the script",
            )
        return EngineError(
            "a worker process died, most likely for want of memory",
            "set engine.workers or engine.batch_size lower, then go on with cxr-audit run CONFIG --resume",
        )


def num_cores() -> int:
    """Cores that this process may use (a container may have fewer than the machine)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_worker() -> None:
    """One thread a worker: the pool is the parallelism. A worker ends when its parent does, however that ended."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()

    import cv2

    cv2.setNumThreads(1)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

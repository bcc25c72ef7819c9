"""Worker processes on this machine.

Started fresh (spawn), so that no worker inherits TensorFlow's threads or memory, and replaced after
some hundred tasks, so that no library's cache grows without end. A worker that dies ends the run with
a named error; `--resume` goes on.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any

from pipeline.errors import EngineError

TASKS_A_WORKER = 2000


class LocalEngine:
    """A pool of processes; a context manager. `workers` None = the cores this process may use."""

    def __init__(self, workers: int | None = None) -> None:
        self.num_workers = workers or num_cores()
        self._pool = ProcessPoolExecutor(
            self.num_workers,
            mp_context=multiprocessing.get_context("spawn"),
            initializer=_start_worker,
            max_tasks_per_child=TASKS_A_WORKER,
        )
        # Started now, while this process is small and before it loads a model.
        for _ in range(self.num_workers):
            self._pool.submit(int)

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        try:
            return self._pool.submit(function, *arguments)
        except BrokenProcessPool as error:
            raise _died() from error

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise _died() from error


def num_cores() -> int:
    """Cores that this process may use (a container may have fewer than the machine)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _died() -> EngineError:
    return EngineError(
        "a worker process died, most likely for want of memory",
        "set engine.workers or engine.batch_size lower, then go on with cxr-audit run CONFIG --resume",
    )


def _start_worker() -> None:
    """One thread a worker: the pool is the parallelism."""
    import signal

    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)

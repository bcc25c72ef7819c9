"""Two kinds of processes on this machine: light ones, and those that hold the networks.

A light process reads radiographs and writes documents; it has one thread and never loads
TensorFlow. An auditor process holds an `Auditor`, opened once; where there are several, they share
the cores, or each has a GPU of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from cxr_audit.audit.auditor import Auditor
from cxr_audit.config import AuditConfig
from cxr_audit.config import Engine as Settings
from cxr_audit.engines.pool import Limits, Pool
from cxr_audit.vocabulary import load_plugins

TASKS_A_PROCESS = 2000
GPUS = Path("/proc/driver/nvidia/gpus")


class LocalEngine:
    """Light and auditor processes; a context manager, which ends them all at once.

    Parameters
    ----------
    config : of the run whose networks the auditor processes hold; None = light processes only.
    workers : number of light processes; None = the config's, else the cores this process may use.
    """

    def __init__(self, config: AuditConfig | None = None, workers: int | None = None) -> None:
        load_plugins()
        settings = config.engine if config is not None else Settings()
        limits = Limits(settings.case_seconds, settings.case_mib)
        self.num_workers = workers or settings.workers or num_cores()
        self.num_auditors = 0
        # Read by NumPy when a process first loads it: one thread, since the processes are the
        # parallelism, and NumPy's threads would compete with TensorFlow's.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        self._light = Pool(
            [{}] * self.num_workers,
            limits,
            tries=2,
            tasks_a_process=TASKS_A_PROCESS,
        )
        self._auditors: Pool | None = None
        if config is not None:
            places = auditor_environments(settings.auditors)
            self.num_auditors = len(places)
            self._auditors = Pool(places, limits, partial(Auditor, config))

    @property
    def facts(self) -> dict[str, Any]:
        """What the run record says of this engine."""
        return {"name": "local", "workers": self.num_workers, "auditors": self.num_auditors}

    def light(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """A call in a light process. One that is lost is begun once more, alone."""
        return self._light.submit(single_threaded, (function, *arguments))

    def auditor(
        self, function: Callable[..., Any], /, *arguments: Any, cases: int = 1
    ) -> Future[Any]:
        """A call in an auditor process, whose `Auditor` is the first argument."""
        if self._auditors is None:
            raise RuntimeError("this engine was opened without networks")
        return self._auditors.submit(function, arguments, cases)

    @property
    def pids(self) -> dict[str, list[int]]:
        """The processes by kind."""
        auditors = [] if self._auditors is None else self._auditors.pids
        return {"light": self._light.pids, "auditor": auditors}

    def close(self) -> None:
        """End all processes at once."""
        self._light.close()
        if self._auditors is not None:
            self._auditors.close()

    def __enter__(self) -> LocalEngine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def single_threaded(function: Callable[..., Any], *arguments: Any) -> Any:
    """In a light process: `function(*arguments)` with one thread of OpenCV."""
    import cv2

    if cv2.getNumThreads() != 1:
        cv2.setNumThreads(1)
    return function(*arguments)


def auditor_environments(num: int | None) -> list[dict[str, str]]:
    """The environment of each auditor process: a GPU of its own, or its share of the cores.

    Parameters
    ----------
    num : of processes; None = one a GPU, else one.
    """
    gpus = visible_gpus()
    if num is None:
        num = max(1, len(gpus))
    if num == 1:
        return [{}]
    if gpus:
        return [{"CUDA_VISIBLE_DEVICES": gpus[n % len(gpus)]} for n in range(num)]
    return [{"TF_NUM_INTRAOP_THREADS": str(max(1, num_cores() // num))}] * num


def visible_gpus() -> list[str]:
    """The names under which CUDA knows the GPUs that this process may use."""
    stated = os.environ.get("CUDA_VISIBLE_DEVICES")
    if stated is not None:
        return [name for name in stated.split(",") if name.strip() not in ("", "-1")]
    return [str(n) for n, _ in enumerate(GPUS.iterdir())] if GPUS.is_dir() else []


def num_cores() -> int:
    """Cores that this process may use (a container may have fewer than the machine)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

"""Marks in time -> wall and CPU seconds by name; largest resident size; time of day in UTC."""

from __future__ import annotations

import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from cxr_audit.records import PassCount, RunCosts
from cxr_audit.records.passes import added
from cxr_audit.records.passes import rounded as rounded_passes


class Clock:
    """Wall and CPU seconds of this process by name, summed between marks."""

    def __init__(self) -> None:
        self.wall_s: dict[str, float] = {}
        self.cpu_s: dict[str, float] = {}
        self._last = time.perf_counter(), time.process_time()

    def mark(self, name: str) -> None:
        now = time.perf_counter(), time.process_time()
        add(self.wall_s, {name: now[0] - self._last[0]})
        add(self.cpu_s, {name: now[1] - self._last[1]})
        self._last = now


class Costs:
    """What a run costs: seconds that the composer waited, CPU seconds, largest resident sizes."""

    def __init__(self) -> None:
        self._clock = Clock()
        self._cpu_s: dict[str, float] = {}
        self._peak_mib: dict[str, float] = {}
        self._passes: dict[str, PassCount] = {}

    def waited(self, name: str) -> None:
        """The seconds since the last call were spent on this."""
        self._clock.mark(name)

    def add(self, process: str, cpu_s: dict[str, float], peak_mib: float = 0.0) -> None:
        """Add what a process reports.

        Parameters
        ----------
        process : its kind, as the run record names it.
        cpu_s : seconds by stage.
        peak_mib : its largest resident size so far.
        """
        add(self._cpu_s, cpu_s)
        self._peak_mib[process] = max(peak_mib, self._peak_mib.get(process, 0.0))

    def add_passes(self, passes: dict[str, PassCount]) -> None:
        """Add what the audited network was asked, by purpose."""
        self._passes = added(self._passes, passes)

    def record(self) -> RunCosts:
        """What was spent so far."""
        composer = sum(self._clock.cpu_s.values())
        return RunCosts(
            wall_s=rounded(self._clock.wall_s),
            cpu_s=rounded({**self._cpu_s, "composer": composer}),
            peak_memory_mib={"main": peak_mib(), **self._peak_mib},
            passes=rounded_passes(self._passes),
        )


def add(total: dict[str, float], seconds: dict[str, float]) -> None:
    for name, value in seconds.items():
        total[name] = total.get(name, 0.0) + value


def summed(first: dict[str, float], second: dict[str, float]) -> dict[str, float]:
    """The sum of two counts of seconds by name."""
    total = dict(first)
    add(total, second)
    return total


def rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in seconds.items()}


def peak_mib() -> float:
    """Largest resident size of this process so far.

    On Linux not from getrusage, whose value a process inherits.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return round(int(line.split()[1]) / 1024, 1)
    return round(
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        / (2**20 if sys.platform == "darwin" else 2**10),
        1,
    )


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

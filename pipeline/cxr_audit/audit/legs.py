"""The starts of a run: each is entered in `run.json` when it begins and when it ends."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from cxr_audit.audit.clock import Costs, now, rounded, summed
from cxr_audit.errors import AuditError
from cxr_audit.evidence import RunFolder
from cxr_audit.records import Leg, PassCount, RunCosts, RunRecord
from cxr_audit.records.passes import added
from cxr_audit.records.passes import rounded as rounded_passes


def begin_leg(run: RunRecord, engine: Mapping[str, Any]) -> RunRecord:
    """The run with a new leg.

    Parameters
    ----------
    engine : what the engine says of itself, and the batch size.
    """
    return replace(run, legs=(*run.legs, Leg(now(), machine(), dict(engine))))


def end_leg(run: RunRecord, costs: Costs, num_cases: int) -> RunRecord:
    """The run with its last leg ended.

    Parameters
    ----------
    costs : of the leg.
    num_cases : cases whose records were made in it.
    """
    leg = replace(
        run.legs[-1],
        ended=now(),
        num_cases=num_cases,
        costs=costs.record(),
    )
    return replace(run, legs=(*run.legs[:-1], leg))


def all_costs(run: RunRecord) -> RunCosts:
    """The costs of all legs of a run that have ended: sums, and the largest resident sizes."""
    wall_s: dict[str, float] = {}
    cpu_s: dict[str, float] = {}
    peak_mib: dict[str, float] = {}
    passes: dict[str, PassCount] = {}
    for leg in run.legs:
        wall_s = summed(wall_s, leg.costs.wall_s)
        cpu_s = summed(cpu_s, leg.costs.cpu_s)
        passes = added(passes, leg.costs.passes)
        for kind, mib in leg.costs.peak_memory_mib.items():
            peak_mib[kind] = max(mib, peak_mib.get(kind, 0.0))
    return RunCosts(rounded(wall_s), rounded(cpu_s), peak_mib, rounded_passes(passes))


@contextlib.contextmanager
def ended_when_broken_off(folder: RunFolder, costs: Costs, made: set[str]) -> Iterator[None]:
    """Enter the end of a leg that an error or Ctrl-C breaks off.

    Parameters
    ----------
    made : ids of the cases whose records were made in it.
    """
    try:
        yield
    except BaseException:
        # Where that cannot be written either, the leg has no end; the first error is what counts.
        with contextlib.suppress(AuditError):
            run = folder.read_run()
            if run.legs and run.status == "running":
                folder.write_run(end_leg(run, costs, len(made)))
        raise


def machine() -> dict[str, Any]:
    """This machine, without its name."""
    return {
        "system": platform.platform(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "memory_mib": _memory_mib(),
    }


def _memory_mib() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    except (AttributeError, OSError, ValueError):
        return None

"""Runs whose processes are killed and whose cases are poison: is every case accounted for?

    .venv/bin/python -m benchmarks.poison [--cases 24] [--kills 6] [--folder DIR]

First a run as it should be. Then the same phantoms again, while light and auditor processes are
killed (SIGKILL) at random moments. Then with poison: cases with which a process ends, is killed,
hangs, takes too much memory or raises, in a light or in an auditor process. Every case must have a
record, every healthy one the same numbers as before, every poison case a failure with its reason;
the folder must verify. Prints the counts; exit code 1 where one of these is not so.
"""

from __future__ import annotations

import argparse
import csv
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
from cxr_audit.audit import audit
from cxr_audit.audit.auditor import Auditor
from cxr_audit.audit.prepare import prepare
from cxr_audit.config import AuditConfig, config_of
from cxr_audit.engines.local import LocalEngine
from cxr_audit.evidence import RunFolder, verify
from cxr_audit.reference.phantom.files import write_cases
from cxr_audit.reference.phantom.phantom import cohort

SECONDS, MIB = 60, 600  # seconds enough for a healthy case on a busy machine
TOLERANCE = 1e-5


def end() -> None:
    os._exit(7)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def hang() -> None:
    time.sleep(3600)


def fill() -> None:
    blocks = []
    while True:
        blocks.append(np.ones(16 * 2**17))


def fail() -> None:
    raise LookupError("a message that may name a patient")


POISONS: dict[str, tuple[Callable[[], None], str]] = {
    "end": (end, "engine.died"),
    "kill": (kill, "engine.died_of_signal"),
    "hang": (hang, "engine.too_slow"),
    "fill": (fill, "engine.too_large"),
    "fail": (fail, "audit.unexpected"),
}
IN_AUDITOR = ("end", "kill", "fail")  # hanging takes as long as a whole batch may


def poisoned_prepare(poison: dict[str, str], source: Any, *arguments: Any) -> Any:
    """`prepare`, which is poison for some cases of the main loop."""
    name = poison.get(source.case_id, "")
    if name.startswith("light ") and arguments[-1] is not None:
        POISONS[name.removeprefix("light ")][0]()
    return prepare(source, *arguments)


def poisoned_explain(auditor: Auditor, poison: dict[str, str], batch: Any, question: Any) -> Any:
    """`Auditor.explain`, which is poison for some cases."""
    for case in batch:
        name = poison.get(case.source.case_id, "") if case is not None else ""
        if name.startswith("auditor "):
            POISONS[name.removeprefix("auditor ")][0]()
    return auditor.explain(batch, question)


class PoisonedEngine(LocalEngine):
    """An engine with poison cases, by case id."""

    poison: dict[str, str]

    def light(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        if function is prepare:
            return super().light(poisoned_prepare, self.poison, *arguments)
        return super().light(function, *arguments)

    def auditor(
        self, function: Callable[..., Any], /, *arguments: Any, cases: int = 1
    ) -> Future[Any]:
        if function is Auditor.explain:
            return super().auditor(poisoned_explain, self.poison, *arguments, cases=cases)
        return super().auditor(function, *arguments, cases=cases)


def config_for(folder: Path, name: str, limits: bool) -> AuditConfig:
    engine: dict[str, Any] = {"workers": 2, "batch_size": 4}
    if limits:
        engine |= {"case_seconds": SECONDS, "case_mib": MIB}
    return config_of(
        {
            "run": {"name": name, "output": str(folder / "runs")},
            "ingest": {"source": str(folder / "phantoms" / "manifest.csv"), "labels": "label"},
            "preprocess": {"rows": 224, "columns": 224, "channels": 1, "scaling": "unit"},
            "classifier": {"path": "reference"},
            "trust": {"sample": 8, "randomisation": False, "faithfulness": "none"},
            "masking": {"cases": 4},
            "report": {"documents": False},
            "engine": engine,
        }
    )


def run(
    config: AuditConfig, poison: dict[str, str], kills: int = 0
) -> tuple[RunFolder, Counter[str]]:
    """Audit, and kill so many processes meanwhile.

    Parameters
    ----------
    poison : what a case does, by its id: "light hang", "auditor kill" and so on.
    kills : processes to kill, at random moments.

    Returns
    -------
    The run folder, and how many processes of each kind were killed.
    """
    killed: Counter[str] = Counter()
    with PoisonedEngine(config) as engine:
        engine.poison = poison
        ended = threading.Event()
        killer = threading.Thread(target=kill_some, args=(engine, kills, killed, ended))
        killer.start()
        try:
            result = audit(config, engine)
        finally:
            ended.set()
            killer.join()
    return RunFolder(result.folder), killed


def kill_some(
    engine: LocalEngine, kills: int, killed: Counter[str], ended: threading.Event
) -> None:
    rng = random.Random(1)
    for number in range(kills):
        if ended.wait(rng.uniform(2, 6)):
            return
        kind = ("light", "light", "auditor")[number % 3]
        try:
            os.kill(rng.choice(engine.pids[kind]), signal.SIGKILL)
            killed[kind] += 1
        except ProcessLookupError:
            pass  # it has just been replaced


def rows_of(folder: RunFolder) -> dict[str, dict[str, str]]:
    with (folder.path / "cases.csv").open() as file:
        return {row["case_id"]: row for row in csv.DictReader(file)}


def differing(whole: dict[str, dict[str, str]], other: dict[str, dict[str, str]]) -> int:
    """Healthy cases whose logit or lung share is another."""
    names = ("logit", "lungs_relevance_mass_accuracy", "entropy")
    count = 0
    for case_id, row in other.items():
        if row["status"] != "ok":
            continue
        for name in names:
            pair = whole[case_id][name], row[name]
            if "" in pair:
                count += pair[0] != pair[1]
            else:
                count += abs(float(pair[0]) - float(pair[1])) > TOLERANCE
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=24)
    parser.add_argument("--kills", type=int, default=6)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        is_well = series(arguments.folder or Path(name), arguments.cases, arguments.kills)
    sys.exit(0 if is_well else 1)


def series(folder: Path, num_cases: int, kills: int) -> bool:
    """The three runs; whether all went as it should."""
    write_cases(folder / "phantoms", cohort(num_cases, seed=3), 384, 384, "png")
    whole_run, _ = run(config_for(folder, "whole", False), {})
    whole = rows_of(whole_run)
    print(f"as it should be: {Counter(row['status'] for row in whole.values())}", flush=True)

    start = time.monotonic()
    folder_killed, killed = run(config_for(folder, "killed", False), {}, kills)
    after_kills = rows_of(folder_killed)
    lost = [row for row in after_kills.values() if row["status"] == "failed"]
    print(
        f"killed {dict(killed)}: {len(after_kills)} of {num_cases} cases recorded, "
        f"{len(lost)} failed, {differing(whole, after_kills)} with other numbers, "
        f"{len(verify(folder_killed))} problems, {time.monotonic() - start:.0f} s",
        flush=True,
    )
    for row in lost:
        print(f"  {row['case_id']}: {row['reason']}")

    names = [f"light {name}" for name in POISONS] + [f"auditor {name}" for name in IN_AUDITOR]
    ids = list(whole)
    poison = {ids[(2 * n + 1) % len(ids)]: name for n, name in enumerate(names)}
    start = time.monotonic()
    folder_poisoned, _ = run(config_for(folder, "poisoned", True), poison)
    poisoned = rows_of(folder_poisoned)
    print(
        f"poisoned: {len(poisoned)} of {num_cases} cases recorded, "
        f"{Counter(row['status'] for row in poisoned.values())}, "
        f"{differing(whole, poisoned)} with other numbers, "
        f"{len(verify(folder_poisoned))} problems, {time.monotonic() - start:.0f} s"
    )
    wrong = 0
    for case_id, name in poison.items():
        record = folder_poisoned.read_case(case_id)
        assert record is not None
        code = getattr(getattr(record, "reason", None), "code", None)
        is_right = record.status == "failed" and code == POISONS[name.split()[1]][1]
        wrong += not is_right
        print(f"  {'right' if is_right else 'WRONG'}  {name}: {record.status}, {code}")
    bystanders = [
        case_id
        for case_id, row in poisoned.items()
        if row["status"] != "ok" and case_id not in poison
    ]
    print(f"{wrong} wrong reasons, {len(bystanders)} healthy cases failed")
    problems = verify(folder_killed) + verify(folder_poisoned)
    numbers = differing(whole, after_kills) + differing(whole, poisoned)
    is_complete = len(after_kills) == len(poisoned) == num_cases
    return is_complete and not (wrong or bystanders or problems or numbers)


if __name__ == "__main__":
    main()

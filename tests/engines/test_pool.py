"""A pool loses processes, and only the tasks that they had."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cxr_audit.audit.failures import RemoteTrace, WorkerLost, places_of
from cxr_audit.engines.pool import Limits, Pool, resident_mib
from cxr_audit.errors import EngineError

from tests.engines import tasks

PLENTY = Limits(seconds=60, mib=1000)


@pytest.fixture(scope="module")
def pool() -> Iterator[Pool]:
    made = Pool([{}, {}], Limits(seconds=3, mib=300), tries=2)
    yield made
    made.close()


def ask(pool: Pool, function: Any, *arguments: Any, cases: int = 1) -> Future[Any]:
    return pool.submit(function, arguments, cases)


def test_answers_come_in_any_order_and_from_both_processes(pool: Pool, tmp_path: Path) -> None:
    futures = [ask(pool, tasks.double, n) for n in range(50)]
    assert [future.result() for future in futures] == [2 * n for n in range(50)]
    (a, b), (c, d) = (
        future.result()
        for future in [ask(pool, tasks.stamped, tmp_path, name) for name in ("one", "two")]
    )
    assert max(a, c) < min(b, d)  # at the same time


def test_an_exception_is_raised_with_its_places_and_without_its_message(pool: Pool) -> None:
    with pytest.raises(LookupError) as error:
        ask(pool, tasks.fail, "Doe^Jane").result()
    assert isinstance(error.value.__cause__, RemoteTrace)
    assert error.value.__cause__.frames[-1][2] == "fail"
    assert not any(place[0] == "/" or "Doe" in place for place in places_of(error.value))
    with pytest.raises(RuntimeError, match="Unpicklable"):
        ask(pool, tasks.fail_unpicklable).result()
    assert ask(pool, tasks.double, 1).result() == 2


@pytest.mark.parametrize(
    ("function", "arguments", "code", "values"),
    [
        (tasks.end, (5,), "engine.died", {"code": 5}),
        (tasks.kill, (), "engine.died_of_signal", {"signal": 9}),
        (tasks.sleep, (60,), "engine.too_slow", {"seconds": 3}),
        (tasks.take_memory, (2000,), "engine.too_large", {"mib": 300}),
    ],
)
def test_a_task_that_ends_its_process_is_lost_alone(
    pool: Pool, function: Any, arguments: tuple[Any, ...], code: str, values: dict[str, Any]
) -> None:
    others = [ask(pool, tasks.double, n) for n in range(10)]
    lost = ask(pool, function, *arguments)
    others += [ask(pool, tasks.double, n) for n in range(10, 20)]
    with pytest.raises(WorkerLost) as error:
        lost.result(timeout=60)
    assert error.value.message.code == code
    assert error.value.message.values == values
    assert [future.result(timeout=60) for future in others] == [2 * n for n in range(20)]


def test_a_lost_task_is_begun_once_more_alone(pool: Pool, tmp_path: Path) -> None:
    again = ask(pool, tasks.die_once, tmp_path / "mark")
    beside = [ask(pool, tasks.stamped, tmp_path, str(n), 0.05) for n in range(20)]
    assert again.result(timeout=60) in pool.pids
    assert all(future.result(timeout=60) for future in beside)
    assert {(tmp_path / str(n)).read_text() for n in range(20)} == {"x"}  # none twice


def test_a_task_of_many_cases_may_take_as_many_times_as_long(pool: Pool) -> None:
    assert ask(pool, tasks.sleep, 4.0, cases=2).result(timeout=60) == 4.0


def test_each_process_opens_one_holder() -> None:
    pool = Pool([{}], PLENTY, partial(tasks.Holder, 7))
    try:
        assert [ask(pool, tasks.Holder.add, n).result(timeout=60) for n in (1, 2)] == [8, 9]
    finally:
        pool.close()


def test_what_opening_raises_is_raised_by_each_task() -> None:
    pool = Pool([{}], PLENTY, tasks.bad_holder)
    try:
        for _ in range(2):
            with pytest.raises(LookupError, match="no network"):
                ask(pool, tasks.Holder.add, 1).result(timeout=60)
    finally:
        pool.close()


def test_processes_that_cannot_start_end_the_waiting() -> None:
    pool = Pool([{}], PLENTY, tasks.dying_holder)
    try:
        with pytest.raises(EngineError, match="could not start"):
            ask(pool, tasks.Holder.add, 1).result(timeout=120)
    finally:
        pool.close()


def test_a_process_is_replaced_after_its_share_of_tasks() -> None:
    pool = Pool([{}], PLENTY, tasks_a_process=3)
    try:
        pids = [ask(pool, tasks.pid).result(timeout=60) for _ in range(9)]
        assert [len(set(pids[n : n + 3])) for n in (0, 3, 6)] == [1, 1, 1]
        assert len(set(pids)) == 3
    finally:
        pool.close()


def test_closing_ends_busy_processes_at_once() -> None:
    pool = Pool([{}, {}], PLENTY)
    busy = [ask(pool, tasks.sleep, 60) for _ in range(4)]
    while not busy[1].running():
        time.sleep(0.01)
    pids, start = pool.pids, time.monotonic()
    pool.close()
    assert time.monotonic() - start < 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    for future in busy:
        with pytest.raises(EngineError, match="closed"):
            future.result(timeout=1)


def test_the_resident_size_of_a_process_is_known() -> None:
    before = resident_mib(os.getpid())
    held = bytearray(os.urandom(2**20) * 100)
    assert resident_mib(os.getpid()) - before == pytest.approx(100, abs=10)
    assert len(held) == 100 * 2**20
    assert resident_mib(2**22 + 1) == 0  # no such process

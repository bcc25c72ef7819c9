"""Print data to stdout and everything else to stderr; show the progress bar."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """On a terminal a bar with cases a second and time left, else a line for each tenth."""
    if not err.is_terminal:
        yield _plain_progress()
        return
    columns: tuple[Any, ...] = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("starting", total=None, rate="")
        start = time.monotonic()
        first: list[int] = []

        def report(phase: str, done: int, total: int) -> None:
            first.append(done) if not first else None
            rate = (done - first[0]) / max(time.monotonic() - start, 1e-9)
            bar.update(task, description=phase, completed=done, total=total, rate=f"{rate:.1f}/s")

        yield report


def _plain_progress() -> Callable[[str, int, int], None]:
    start, said = time.monotonic(), [-1]

    def report(phase: str, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if tenth > said[0]:
            said[0] = tenth
            err.print(
                f"{phase}: {done} of {total}, {time.monotonic() - start:.0f} s", highlight=False
            )

    return report

"""Print data to stdout and everything else to stderr; show the progress bar; keep a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cxr_audit.errors import ConfigError

out = Console(soft_wrap=True)


class Messages:
    """What is said beside the data: on stderr, and in a log file where one is asked for.

    Parameters
    ----------
    console : of stderr.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self.is_quiet, self.is_verbose = False, False
        self._log: IO[str] | None = None

    def set(self, quiet: bool, verbose: bool, log_file: Path | None) -> None:
        """Apply the options that come before a command.

        Raises
        ------
        ConfigError : the log file cannot be written.
        """
        self.is_quiet, self.is_verbose = quiet, verbose
        if log_file is None:
            return
        try:
            self._log = log_file.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise ConfigError(
                f"cannot write the log {log_file}: {error.strerror}",
                "give a file in a folder that exists",
            ) from error

    def print(self, *texts: Any, **options: Any) -> None:
        """Say something, unless only errors are wanted."""
        if not self.is_quiet:
            self.console.print(*texts, **options)
        self._keep(texts, options)

    def error(self, *texts: Any, **options: Any) -> None:
        """Say what ends the command."""
        self.console.print(*texts, **options)
        self._keep(texts, options)

    def detail(self, text: str) -> None:
        """Say something that only --verbose and the log have."""
        if self.is_verbose and not self.is_quiet:
            self.console.print(text, highlight=False, markup=False)
        self._keep((text,), {"markup": False})

    def _keep(self, texts: tuple[Any, ...], options: dict[str, Any]) -> None:
        if self._log is None:
            return
        plain = Console(file=self._log, soft_wrap=True, no_color=True, force_terminal=False)
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with plain.capture() as captured:
            plain.print(*texts, **options)
        for line in captured.get().splitlines():
            self._log.write(f"{stamp} {line}\n")


err = Messages(Console(stderr=True, soft_wrap=True))


@contextmanager
def progress_bar() -> Iterator[Callable[[str, int, int], None]]:
    """On a terminal a bar with cases a second and time left, else a line for each tenth.

    With --verbose a line for each step, with --quiet nothing.
    """
    if err.is_quiet or err.is_verbose or not err.console.is_terminal:
        yield _plain_progress()
        return
    columns: tuple[Any, ...] = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err.console, transient=True) as bar:
        task = bar.add_task("starting", total=None, rate="")
        begun = ("", 0, 0.0)  # phase, number done and time when it began

        def report(phase: str, done: int, total: int) -> None:
            nonlocal begun
            now = time.monotonic()
            if phase != begun[0]:
                begun = phase, done, now
                bar.reset(task, total=total)
            rate = (done - begun[1]) / max(now - begun[2], 1e-9)
            bar.update(task, description=phase, completed=done, total=total, rate=f"{rate:.1f}/s")

        yield report


def _plain_progress() -> Callable[[str, int, int], None]:
    """A line for each tenth of a phase; one line for a phase that has no parts (a total of 1)."""
    start = time.monotonic()
    said = ("", -1)

    def report(phase: str, done: int, total: int) -> None:
        nonlocal said
        parts = f"{phase}: {done} of {total}" if total > 1 else phase
        text = f"{parts}, {time.monotonic() - start:.0f} s"
        tenth = 10 * done // max(total, 1)
        if phase == said[0] and tenth <= said[1]:
            err.detail(text)
            return
        said = phase, tenth
        err.print(text, highlight=False)

    return report

"""Commands between a run and a PACS: export, readback, watch."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cxr_audit.cli.options import ConfigFile, Overrides, RunPath, load
from cxr_audit.cli.screen import err, out, progress_bar
from cxr_audit.errors import ConfigError

if TYPE_CHECKING:
    from cxr_audit.audit import RunResult
    from cxr_audit.config import AuditConfig


def export(
    run_folder: RunPath,
    to: Annotated[
        str | None,
        typer.Option(
            help="a folder, dicomweb+https://HOST/PATH (STOW-RS), or dicom://AET@HOST:PORT "
            "(C-STORE); default: RUN/private/dicom/objects"
        ),
    ] = None,
    supersedes: Annotated[
        Path | None,
        typer.Option(
            metavar="RUN",
            help="an earlier run over the same radiographs, whose objects there are superseded",
        ),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Make DICOM objects of the results and deliver them to a folder or a PACS.

    Objects carry the patient's identifiers from the source file. The command needs the run's
    private/. Given again, it goes on and sends nothing twice. --set export.KEY=VALUE chooses
    which objects are made. Exit code 4 where an object was not delivered.
    """
    export_run = _room().export_run
    with progress_bar() as progress:
        done = export_run(run_folder, to, overrides or (), progress, supersedes)
    for reason, count in Counter(done.not_exported.values()).items():
        err.print(f"not exported, {count} cases: {reason}", highlight=False, markup=False)
    for (kind, reason), count in Counter(item[1:] for item in done.left_out).items():
        err.print(f"no {kind}, {count} cases: {reason}", highlight=False, markup=False)
    if done.states["stored"]:
        num = done.states["stored"]
        note = f"{num} objects are stored, but the destination could not confirm them"
        err.print(note, highlight=False)
    num, already = done.states["confirmed"], done.already
    err.print(f"{num} objects confirmed, {already} of them before", highlight=False)
    out.print(done.target, highlight=False, markup=False)


def readback(
    run_folder: RunPath,
    source: Annotated[
        str,
        typer.Option("--from", help="a folder of DICOM files, or dicomweb+https://HOST/PATH"),
    ],
    output: Annotated[
        Path | None, typer.Option(help="the CSV; default: RUN/private/dicom/answers.csv")
    ] = None,
) -> None:
    """Read structured reports of readers and write their answers as CSV.

    Reports that refer to no exported object of the run, or have no answer, are counted and left
    out. docs/dicom-conformance.md says how a report answers.
    """
    back = _room().read_back(run_folder, source, output)
    for reason, count in Counter(map(str, back.left_out)).items():
        err.print(f"left out, {count} reports: {reason}", highlight=False, markup=False)
    err.print(f"{len(back.answers)} answers", highlight=False)
    if back.answers:
        hint = f"to join them: cxr-audit worklist {run_folder} --answers {back.path}"
        err.print(hint, highlight=False, markup=False)
    out.print(str(back.path), highlight=False, markup=False)


def watch(
    config: ConfigFile,
    interval: Annotated[
        float, typer.Option(min=1, help="seconds between two searches of the server")
    ] = 300,
    once: Annotated[
        bool, typer.Option("--once", help="search once, audit what is new, and end")
    ] = False,
    max_runs: Annotated[int | None, typer.Option(min=1, help="end after N runs")] = None,
    max_cases: Annotated[int, typer.Option(min=1, help="radiographs a run")] = 200,
    lookback: Annotated[
        int,
        typer.Option(
            min=0,
            help="days: a later search asks for StudyDate from so long before the last one; "
            "0 = for all that the filter matches",
        ),
    ] = 3,
    to: Annotated[
        str | None, typer.Option(help="deliver each run there, as cxr-audit export --to does")
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Audit new radiographs of a DICOMweb server as they arrive, in small runs.

    All runs lie in <run.output>/<run.name>/ and have one config. Ctrl-C ends the watch; what was
    broken off goes on at the next start.
    """
    from cxr_audit.audit import WatchLimits
    from cxr_audit.audit import watch as watch_server
    from cxr_audit.engines import run_audit

    settings = load(config, overrides)
    limits = WatchLimits(interval, max_cases, max_runs, once, lookback)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())

    def report(words: str, result: RunResult | None) -> None:
        err.print(words, highlight=False, markup=False)
        if result is not None:
            _report_run(result, to)

    def run_again(config: AuditConfig, resume: bool, limit: int | None) -> RunResult:
        with progress_bar() as progress:
            return run_audit(config, resume, limit, progress)

    try:
        num = watch_server(settings, run_again, limits, stop, report)
    except KeyboardInterrupt:
        err.print("ended; the same command goes on where it was")
        raise typer.Exit(130) from None
    err.print(f"{num} runs made", highlight=False)
    out.print(str(settings.run.output / settings.run.name), highlight=False)


def _report_run(result: RunResult, to: str | None) -> None:
    """Counts of a run, and its delivery."""
    counts = ", ".join(f"{count} {name}" for name, count in result.counts.items() if count)
    err.print(f"  {counts}: {result.folder / 'index.html'}", highlight=False, markup=False)
    if to is not None:
        done = _room().export_run(result.folder, to)
        states = ", ".join(f"{count} {state}" for state, count in done.states.items())
        err.print(f"  delivered: {states or 'nothing'}", highlight=False, markup=False)


def _room() -> Any:
    """The package `export`, whose libraries are an extra."""
    try:
        from cxr_audit import export as room
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the package {error.name} is not installed", "pip install 'cxr-audit[dicom]'"
        ) from error
    return room

"""Commands on many runs: runs, track."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from cxr_audit.cli.options import RunPath
from cxr_audit.cli.screen import err, out
from cxr_audit.errors import ConfigError

if TYPE_CHECKING:
    from cxr_audit.results import RunLine

SHOWN = ("auc", "sensitivity", "specificity")


def runs(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="folder of runs, such as reports")
    ] = Path("reports"),
    name: Annotated[str, typer.Option(help="only runs with such names, such as test-*")] = "*",
    model: Annotated[str, typer.Option(help="only runs of such model files")] = "*",
    status: Annotated[str, typer.Option(help="only runs that are running or finished")] = "*",
    metric: Annotated[
        list[str] | None,
        typer.Option(help="metric of the run to show; may be given again; default: three"),
    ] = None,
    delete: Annotated[str | None, typer.Option(help="delete the run of this name")] = None,
    reason: Annotated[
        str | None, typer.Option(help="why a run is deleted; kept in deleted-runs.jsonl")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """List the runs of a folder side by side, the newest first; or delete one, with a record."""
    from cxr_audit.results import delete_run, list_runs
    from cxr_audit.vocabulary import RUN_METRICS

    if delete is not None:
        if not reason:
            raise ConfigError("--delete needs a reason", "add --reason 'why'")
        out.print(str(delete_run(folder, delete, reason)), highlight=False)
        return
    metrics = [RUN_METRICS[key].key for key in metric or SHOWN]
    lines = list_runs(folder, name, model, status)
    if as_json:
        print(json.dumps([asdict(line) for line in lines], indent=2))
        return
    if not lines:
        err.print(f"no run in {folder} fits", highlight=False)
        return
    table = Table("run", "started", "model", "cases", *metrics, "MiB", "verdict", box=None)
    table.pad_edge = False
    for line in lines:
        table.add_row(*(escape(cell) for cell in _cells(line, metrics)))
    out.print(table, highlight=False)


def _cells(line: RunLine, metrics: list[str]) -> list[str]:
    counts = [f"{count} {key}" for key, count in (line.counts or {}).items() if count]
    values = []
    for key in metrics:
        value = (line.metrics or {}).get(key)
        values.append("-" if value is None else f"{value:.3f}")
    started = (line.started or "-")[:16].replace("T", " ")
    shown = line.verdict or line.status
    cases = ", ".join(counts) or "-"
    return [line.name, started, line.model or "-", cases, *values, f"{line.mib:.1f}", shown]


def track(
    run_folder: RunPath,
    uri: Annotated[str, typer.Option(help="of a tracking server, such as https://mlflow.example")],
    experiment: Annotated[str, typer.Option(help="name of the experiment")] = "cxr-audit",
) -> None:
    """Log a finished run to MLflow: config, metrics, run report; nothing of a single case."""
    from cxr_audit.tracking import log_to_mlflow

    out.print(log_to_mlflow(run_folder, uri, experiment), highlight=False)

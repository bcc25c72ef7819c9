"""Commands on the results of a run: render, cohort, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxr_audit.cli.options import Overrides, RunPath, Templates, accept, load
from cxr_audit.cli.screen import err, out, progress_bar
from cxr_audit.errors import ConfigError
from cxr_audit.records import to_json


def render(
    run_folder: RunPath,
    template: Templates = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="processes; default: the machine's cores")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="of the PDFs of cases, such as de; default: the run's")
    ] = None,
) -> None:
    """Write the documents of a run again from its records, without the classifier.

    The run is sealed again; a signature of it is removed.
    """
    from cxr_audit.engines import render_run

    with progress_bar() as progress:
        result = render_run(run_folder, template, workers, progress, language and language.lower())
    out.print(str(result.folder / "index.html"), highlight=False)


def cohort(
    run_folder: RunPath,
    config: Annotated[
        Path | None,
        typer.Option(
            help="take the sections cohort and acceptance of this config, not the run's own"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the record as JSON")] = False,
    overrides: Overrides = None,
) -> None:
    """Print performance, subgroups, errors and acceptance of a run; writes nothing."""
    from cxr_audit.audit import cohort_of
    from cxr_audit.cohort import in_words
    from cxr_audit.evidence import require_unlocked

    if overrides and config is None:
        raise ConfigError(
            "--set overrides keys of a config, but no --config is given", "add --config CONFIG"
        )
    require_unlocked(run_folder)
    record = cohort_of(run_folder, load(config, overrides) if config else None)
    print(to_json(record).decode().rstrip() if as_json else in_words(record))
    accept(record)


def compare(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="folder of a run: before")],
    run_b: Annotated[
        Path,
        typer.Argument(metavar="RUN_B", help="folder of a run over the same radiographs: after"),
    ],
    output: Annotated[
        Path | None, typer.Option(help="folder to write to; default: beside RUN_B")
    ] = None,
    template: Templates = None,
) -> None:
    """Compare two runs: classes, scores, focus and flags, with intervals, as HTML, PDF and JSON."""
    from cxr_audit.compare import compare_runs

    comparison, folder = compare_runs(run_a, run_b, output, template)
    moved = sum(case.is_another_class for case in comparison.changed)
    err.print(
        f"{comparison.matching.num_matched} cases in both runs, {moved} changed class",
        highlight=False,
    )
    out.print(str(folder / "compare.html"), highlight=False)

"""Commands on the results of a run: render, cohort, compare."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cxr_audit.cli.options import (
    Junit,
    Markdown,
    Overrides,
    RunPath,
    Templates,
    accept,
    load,
    write_for_integration,
    write_text,
)
from cxr_audit.cli.screen import err, out, progress_bar
from cxr_audit.config import AuditConfig
from cxr_audit.records import to_json

if TYPE_CHECKING:
    from cxr_audit.cohort import Curve


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
    threshold: Annotated[
        float | None,
        typer.Option(min=0.001, max=0.999, help="what if the classifier had this threshold"),
    ] = None,
    curve: Annotated[
        bool, typer.Option("--curve", help="print what each threshold would decide")
    ] = False,
    plot: Annotated[Path | None, typer.Option(help="draw that curve to this .svg file")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the record as JSON")] = False,
    junit: Junit = None,
    markdown: Markdown = None,
    overrides: Overrides = None,
) -> None:
    """Print performance, subgroups, errors and acceptance of a run; the run is not changed."""
    from cxr_audit.audit import cohort_of, curve_of
    from cxr_audit.cohort import in_words
    from cxr_audit.config import MEASURING
    from cxr_audit.evidence import require_unlocked

    require_unlocked(run_folder)
    loaded = load(config, overrides, sections=MEASURING) if config else None
    others = [] if loaded else overrides or []
    if curve or plot is not None:
        _print_curve(curve_of(run_folder, loaded, others, threshold), plot, as_json)
        return
    record = cohort_of(run_folder, loaded, others, threshold)
    if loaded is not None and threshold is None:
        _note_threshold(run_folder, loaded)
    if threshold is not None:
        note = f"what if: threshold {threshold:g} in place of the run's; nothing is written"
        err.print(note, highlight=False)
    print(to_json(record).decode().rstrip() if as_json else in_words(record))
    write_for_integration(run_folder.resolve().name, record, junit, markdown)
    accept(record)


def _note_threshold(run_folder: Path, config: AuditConfig) -> None:
    """Say that the threshold of a config is not used, where it is another than the run's."""
    from cxr_audit.evidence import RunFolder

    own = RunFolder.open(run_folder).read_run().config.get("classifier", {}).get("threshold")
    asked = config.classifier.threshold
    if asked is not None and asked != own:
        err.print(
            f"note: classifier.threshold {asked:g} of the config is not used, the run has "
            f"{'its default' if own is None else f'{own:g}'}; --threshold {asked:g} asks what if",
            highlight=False,
        )


def _print_curve(found: Curve, plot: Path | None, as_json: bool) -> None:
    from cxr_audit.cohort import curve_lines

    if plot is not None:
        _draw_curve(found, plot)
    if as_json:
        print(to_json(found).decode().rstrip())
        return
    source = "stated" if found.is_stated else "of this run"
    out.print(
        f'"{found.target_class}": {found.num_positive} positive, {found.num_negative} negative '
        f"cases; prevalence {found.prevalence:.3f}, {source}",
        highlight=False,
        markup=False,
    )
    lines = list(curve_lines(found))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        print("  ".join(cells).rstrip())


def _draw_curve(found: Curve, path: Path) -> None:
    from cxr_audit.report.plots import thresholds

    lines = []
    for name in ("sensitivity", "specificity"):
        estimates = [getattr(row, name) for row in found.decisions]
        nothing = (math.nan, math.nan)
        values = [math.nan if each.value is None else each.value for each in estimates]
        ends = [each.interval_95 or nothing for each in estimates]
        low, high = [end[0] for end in ends], [end[1] for end in ends]
        lines.append((name.capitalize(), values, low, high))
    at = [row.threshold for row in found.decisions]
    own = [row.threshold for row in found.decisions if row.is_of_run]
    write_text(path, thresholds(at, lines, own))
    err.print(f"drew {path}", highlight=False)


def compare(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="folder of a run: before")],
    run_b: Annotated[
        Path,
        typer.Argument(metavar="RUN_B", help="folder of a run over the same radiographs: after"),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="folder to write to; default: beside RUN_B"),
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

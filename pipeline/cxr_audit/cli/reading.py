"""Commands before and after a run is read: protocol, worklist."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cxr_audit.cli.options import ConfigFile, Overrides, RunPath, load
from cxr_audit.cli.screen import err, out
from cxr_audit.errors import ConfigError


def protocol(
    config: ConfigFile,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="file to write; default: CONFIG.protocol.json"),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Seal a config before data are seen; name the file in run.protocol of the config.

    A run whose config asks for anything else is refused. Its report says when, and by which hash,
    the criteria were fixed. Keep the hash elsewhere too: the time is that of this machine's clock.
    """
    from cxr_audit.audit import write_protocol

    path = output or config.with_suffix(".protocol.json")
    sealed = write_protocol(load(config, overrides), path)
    if sealed.model_sha256 is None:
        err.print("note: the config names no model file; the protocol fixes none", highlight=False)
    err.print(f"protocol SHA-256 {sealed.sha256}, {sealed.created}", highlight=False)
    out.print(str(path), highlight=False)


def worklist(
    run_folder: RunPath,
    answers: Annotated[
        list[Path] | None,
        typer.Option(help="a CSV or a filled sheet to join to the run; may be given again"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="folder for the sheets; default: RUN-worklist"),
    ] = None,
    cases: Annotated[
        int, typer.Option(min=1, help="so many cases, chosen at random by the run's seed")
    ] = 50,
) -> None:
    """Write sheets for readers, or join their answers to the run.

    Sheet 1 has plain radiographs and is read before sheet 2, which has the results. Answers come
    back as CSV or as filled fields of the PDFs; the run is sealed again, its signature is removed.
    """
    from cxr_audit.audit import join_answers, write_worklist
    from cxr_audit.evidence import locked

    if answers and output is not None:
        raise ConfigError("--answers reads and --output writes", "give one of the two")
    if not answers:
        folder = output or run_folder.resolve().with_name(f"{run_folder.resolve().name}-worklist")
        for path in write_worklist(run_folder, folder, cases):
            out.print(str(path), highlight=False)
        return
    with locked(run_folder):
        record = join_answers(run_folder, answers)
    for pair in record.pairs:
        kappa = "undefined" if pair.kappa is None else f"{pair.kappa:.2f}"
        line = f"{pair.first} and {pair.second}: {pair.num_same} of {pair.num} cases, kappa {kappa}"
        err.print(line, highlight=False, markup=False)
    out.print(str(run_folder / "readers.json"), highlight=False)

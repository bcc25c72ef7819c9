"""The command that hands results on as DICOM: export."""

from __future__ import annotations

from collections import Counter
from typing import Annotated

import typer

from cxr_audit.cli.options import Overrides, RunPath
from cxr_audit.cli.screen import err, out, progress_bar
from cxr_audit.errors import ConfigError


def export(
    run_folder: RunPath,
    to: Annotated[
        str | None,
        typer.Option(
            help="a folder, dicomweb+https://HOST/PATH (STOW-RS), or dicom://AET@HOST:PORT "
            "(C-STORE); default: RUN/private/dicom/objects"
        ),
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Make DICOM objects of the results and deliver them to a folder or a PACS.

    Objects carry the patient's identifiers from the source file. The command needs the run's
    private/. Given again, it goes on and sends nothing twice. --set export.KEY=VALUE chooses
    which objects are made. Exit code 4 where an object was not delivered.
    """
    try:
        from cxr_audit.export import export_run
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the package {error.name} is not installed", "pip install 'cxr-audit[dicom]'"
        ) from error
    with progress_bar() as progress:
        done = export_run(run_folder, to, overrides or (), progress)
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

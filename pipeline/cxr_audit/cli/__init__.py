"""The commands: parse, call, print. Data on stdout, everything else on stderr. No logic.

One file per family of commands; the order of `COMMANDS` is the order of `cxr-audit --help`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer

from cxr_audit import __version__
from cxr_audit.cli.auditing import explain, run
from cxr_audit.cli.checking import check
from cxr_audit.cli.configs import init, schema
from cxr_audit.cli.delivery import export
from cxr_audit.cli.failure import report_error, unexpected
from cxr_audit.cli.models import convert, import_weights, inspect
from cxr_audit.cli.production import parity
from cxr_audit.cli.radiographs import lungs, phantom, view
from cxr_audit.cli.results import cohort, compare, render
from cxr_audit.cli.screen import out
from cxr_audit.cli.sealing import sign, verify
from cxr_audit.errors import AuditError
from cxr_audit.vocabulary import load_plugins

EPILOG = (
    "Exit codes: 0 all audited, 1 unexpected, 2 config, 3 model, 4 finished with failed cases, "
    "5 engine, 6 acceptance criteria not met, 7 verification failed, 130 interrupted."
)
COMMANDS: dict[str, Callable[..., Any]] = {
    "run": run,
    "explain": explain,
    "check": check,
    "parity": parity,
    "verify": verify,
    "sign": sign,
    "render": render,
    "cohort": cohort,
    "compare": compare,
    "export": export,
    "init": init,
    "view": view,
    "inspect": inspect,
    "lungs": lungs,
    "convert": convert,
    "import-torchxrayvision": import_weights,
    "schema": schema,
    "phantom": phantom,
}
app = typer.Typer(
    help="Audit a chest X-ray classifier: where its evidence lies, case by case, as PDFs and as a "
    "folder of evidence.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for name, function in COMMANDS.items():
    app.command(name)(function)


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[
        bool, typer.Option("--version", help="print the version", is_eager=True)
    ] = False,
) -> None:
    if show:
        out.print(f"cxr-audit {__version__}", highlight=False)
        raise typer.Exit


def main() -> None:
    """Run a command.

    A named error becomes a message, a hint and its exit code; any other error becomes a traceback
    without messages.
    """
    load_plugins()
    try:
        app()
    except AuditError as error:
        report_error(error)
        sys.exit(error.exit_code)
    finally:
        sys.excepthook = unexpected  # Typer has set its own

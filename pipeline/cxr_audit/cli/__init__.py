"""The commands: parse, call, print. Data on stdout, everything else on stderr. No logic.

One file per family of commands; the order of `COMMANDS` is the order of `cxr-audit --help`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from cxr_audit import __version__
from cxr_audit.cli.auditing import explain, run
from cxr_audit.cli.checking import check
from cxr_audit.cli.configs import init, schema
from cxr_audit.cli.delivery import export, readback, watch
from cxr_audit.cli.failure import report_error, unexpected
from cxr_audit.cli.many import runs, track
from cxr_audit.cli.models import convert, import_weights, inspect
from cxr_audit.cli.production import parity
from cxr_audit.cli.radiographs import lungs, phantom, view
from cxr_audit.cli.reading import protocol, worklist
from cxr_audit.cli.results import cohort, compare, render
from cxr_audit.cli.screen import err, out
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
    "protocol": protocol,
    "parity": parity,
    "verify": verify,
    "sign": sign,
    "worklist": worklist,
    "render": render,
    "cohort": cohort,
    "compare": compare,
    "export": export,
    "readback": readback,
    "watch": watch,
    "runs": runs,
    "track": track,
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
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
for name, function in COMMANDS.items():
    app.command(name)(function)


@app.callback(invoke_without_command=True)
def general_options(
    show_version: Annotated[
        bool, typer.Option("--version", help="print the version", is_eager=True)
    ] = False,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="say nothing but errors and results")
    ] = False,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="say each step, and where an error came from")
    ] = False,
    log_file: Annotated[
        Path | None, typer.Option(help="add what is said to this file as well, with times")
    ] = None,
) -> None:
    if show_version:
        out.print(f"cxr-audit {__version__}", highlight=False)
        raise typer.Exit
    err.set(quiet, verbose, log_file)


def hoisted(arguments: list[str]) -> list[str]:
    """The arguments with the options of every command in front, wherever they were typed.

    What follows "--" stays where it is.
    """
    general: list[str] = []
    others: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return [*general, *others, argument, *rest]
        if argument in ("--quiet", "-q", "--verbose", "-v") or argument.startswith("--log-file="):
            general.append(argument)
        elif argument == "--log-file" and rest:
            general += [argument, rest.pop(0)]
        else:
            others.append(argument)
    return [*general, *others]


def main() -> None:
    """Run a command.

    A named error becomes a message, a hint and its exit code; any other error becomes a traceback
    without messages.
    """
    load_plugins()
    try:
        app(hoisted(sys.argv[1:]))
    except AuditError as error:
        report_error(error)
        sys.exit(error.exit_code)
    finally:
        sys.excepthook = unexpected  # Typer has set its own

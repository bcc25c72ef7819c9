"""An error that ends a command -> a message, a hint and an exit code."""

from __future__ import annotations

import os
import sys
from traceback import extract_tb
from types import TracebackType

from rich.markup import escape

from cxr_audit.cli.screen import err
from cxr_audit.errors import AuditError

MESSAGES = "CXR_AUDIT_TRACEBACK_MESSAGES"


def report_error(error: AuditError) -> None:
    """Print a named error and its hint."""
    err.print(f"[bold red]error:[/] {escape(str(error))}")
    if error.hint:
        err.print(f"[bold]hint:[/] {escape(after_colon(str(error.hint)))}")


def after_colon(hint: str) -> str:
    """A hint with a small first letter and no full stop; hints of cases are whole sentences."""
    first = hint.partition(" ")[0]
    return (hint[:1].lower() + hint[1:] if first.istitle() else hint).removesuffix(".")


def unexpected(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print a traceback without messages: those of a library may quote a file name or attribute."""
    if os.environ.get(MESSAGES):
        sys.__excepthook__(kind, error, trace)
        return
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    for link in reversed(chain):
        # The calls in another process come as a cause of their own.
        places = [(f.filename, f.lineno, f.name) for f in extract_tb(link.__traceback__)]
        places += getattr(link, "frames", ())
        frames = [f'  File "{path}", line {line}, in {name}' for path, line, name in places]
        print(
            *frames, f"{type(link).__module__}.{type(link).__qualname__}", sep="\n", file=sys.stderr
        )
    err.print("[bold red]error:[/] unexpected; please report the lines above", highlight=False)
    err.print(
        f"[bold]hint:[/] {MESSAGES}=1 prints the messages as well; they may name patients",
        highlight=False,
    )

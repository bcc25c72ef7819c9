"""An error that ends a command -> a message, a hint and an exit code."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from traceback import extract_tb
from types import TracebackType

from rich.markup import escape

from cxr_audit.cli.screen import err
from cxr_audit.errors import AuditError

MOST_PLACES = 4
MESSAGES = "CXR_AUDIT_TRACEBACK_MESSAGES"


def report_error(error: AuditError) -> None:
    """Print a named error and its hint."""
    err.error(f"[bold red]error:[/] {escape(str(error))}")
    if error.hint:
        err.error(f"[bold]hint:[/] {escape(after_colon(str(error.hint)))}")
    for place in places_of(error):
        err.detail(place)


def places_of(error: BaseException) -> list[str]:
    """Where in the code an error and its causes came from, without their messages."""
    lines = []
    for link in _chain(error):
        frames = extract_tb(link.__traceback__)
        where = [f"{Path(f.filename).name}:{f.lineno}" for f in frames[-MOST_PLACES:]]
        lines.append(f"  {type(link).__name__} at {' > '.join(where) or 'no place'}")
    return lines


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
    for link in reversed(_chain(error)):
        # The calls in another process come as a cause of their own.
        places = [(f.filename, f.lineno, f.name) for f in extract_tb(link.__traceback__)]
        places += getattr(link, "frames", ())
        frames = [f'  File "{path}", line {line}, in {name}' for path, line, name in places]
        print(
            *frames, f"{type(link).__module__}.{type(link).__qualname__}", sep="\n", file=sys.stderr
        )
    err.error("[bold red]error:[/] unexpected; please report the lines above", highlight=False)
    err.error(
        f"[bold]hint:[/] {MESSAGES}=1 prints the messages as well; they may name patients",
        highlight=False,
    )


def _chain(error: BaseException) -> list[BaseException]:
    """An error, then its cause, the cause of that, and so on."""
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return chain

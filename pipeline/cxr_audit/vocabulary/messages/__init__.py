"""Every sentence that a record can carry, one row each: code -> English.

One module a room of the house. A code is `room.what_happened`; a template has named places
(`Filler` says which formats they know). Translations are keyed by the English template:
`report/languages/<language>/<room>.po`.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

from cxr_audit.vocabulary.message import Template


def rooms() -> Iterator[tuple[str, dict[str, Template]]]:
    """The name of each room that has messages, and its rows."""
    for module in pkgutil.iter_modules(__path__):
        rows = importlib.import_module(f"{__name__}.{module.name}").MESSAGES
        yield module.name, rows


def all_messages() -> dict[str, Template]:
    """The rows of all rooms; a code stands once."""
    found: dict[str, Template] = {}
    for room, rows in rooms():
        for code, template in rows.items():
            if code in found:
                raise ValueError(f"the message {code} of {room} stands twice")
            found[code] = template
    return found

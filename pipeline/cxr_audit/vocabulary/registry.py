"""A table of rows by key, to which other packages can add."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from cxr_audit.vocabulary.nearest import nearest

OWN_PACKAGE = "cxr-audit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What every row has.

    Parameters
    ----------
    key : its name in configs, records and tables: lower case, unique in its table.
    label : its name in words, as it stands within a sentence.
    definition : what it is, in one sentence.
    source : the paper or standard that defines it.
    package : the distribution that added the row.
    """

    key: str
    label: str
    definition: str
    source: str = ""
    package: str = OWN_PACKAGE

    @property
    def title(self) -> str:
        """The label as a heading has it."""
        return self.label[:1].upper() + self.label[1:]


class UnknownName(ValueError):
    """A name that has no row."""


AnyRow = TypeVar("AnyRow", bound=Row)


class Registry(Generic[AnyRow]):
    """Rows in order.

    Parameters
    ----------
    kind : what a row is, in the singular: for messages.
    rows : those that ship.
    """

    def __init__(self, kind: str, rows: Iterable[AnyRow]) -> None:
        self.kind = kind
        self._rows: dict[str, AnyRow] = {}
        for row in rows:
            self.add(row)

    def add(self, row: AnyRow) -> None:
        """Add a row at the end.

        Raises
        ------
        ValueError : its key stands already.
        """
        if row.key in self._rows:
            raise ValueError(f"the {self.kind} {row.key!r} stands twice")
        self._rows[row.key] = row

    def mark(self, keys: Iterable[str], package: str) -> None:
        """Say which package some rows are from."""
        for key in keys:
            self._rows[key] = replace(self._rows[key], package=package)

    def remove(self, key: str) -> None:
        """Take a row out."""
        del self._rows[key]

    def __getitem__(self, key: str) -> AnyRow:
        row = self._rows.get(key)
        if row is None:
            raise UnknownName(f"unknown {self.kind} {key!r}{self.suggestion(key)}")
        return row

    def get(self, key: str) -> AnyRow | None:
        """The row, or None where there is none: for keys of older records."""
        return self._rows.get(key)

    def suggestion(self, key: str) -> str:
        """The nearest key, or all of them."""
        near = nearest(key, self._rows)
        if near is not None:
            return f". Perhaps you meant {near!r}"
        return f". Known: {', '.join(self._rows)}"

    def keys(self) -> tuple[str, ...]:
        return tuple(self._rows)

    def __iter__(self) -> Iterator[AnyRow]:
        return iter(tuple(self._rows.values()))

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def __len__(self) -> int:
        return len(self._rows)

"""The one place where passes of the audited network are counted, by purpose."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from cxr_audit.records.passes import PassCount, added
from cxr_audit.vocabulary.purposes import PURPOSES

OTHER = "other"

Returned = TypeVar("Returned")


class PassCounter:
    """Counts what a classifier is asked, and how long it takes.

    `with counter.of("maps"):` gives every pass within it that purpose; the innermost one counts.
    """

    def __init__(self) -> None:
        self._counts: dict[str, PassCount] = {}
        self._purpose = OTHER
        self._asked: Mapping[str, int] | None = None

    @contextmanager
    def of(self, purpose: str) -> Iterator[None]:
        """The passes within have this purpose.

        Raises
        ------
        UnknownName : the purpose has no row in `vocabulary.PURPOSES`.
        """
        before, self._purpose = self._purpose, PURPOSES[purpose].key
        try:
            yield
        finally:
            self._purpose = before

    @contextmanager
    def filled_up(self, num_asked: int) -> Iterator[None]:
        """Of each batch within, only so many inputs are asked; the rest fills it up."""
        with self.mixed({self._purpose: num_asked}):
            yield

    @contextmanager
    def mixed(self, asked: Mapping[str, int]) -> Iterator[None]:
        """Of each batch within, so many inputs are asked by purpose; the rest fills it up."""
        before, self._asked = self._asked, {PURPOSES[key].key: num for key, num in asked.items()}
        try:
            yield
        finally:
            self._asked = before

    def measured(self, num_computed: int, call: Callable[[], Returned]) -> Returned:
        """Make a call that runs the network on so many inputs, and count them.

        Purposes share the seconds, and what fills the batch up, by their inputs.
        """
        start = time.perf_counter(), time.process_time()
        returned = call()
        wall_s = time.perf_counter() - start[0]
        cpu_s = time.process_time() - start[1]
        asked = self._asked or {self._purpose: num_computed}
        total = sum(asked.values())
        counts = {}
        left = num_computed
        for purpose, num in asked.items():
            share = num / total
            computed = max(num, min(left, round(share * num_computed)))
            left -= computed
            counts[purpose] = PassCount(num, computed, share * wall_s, share * cpu_s)
        self._counts = added(self._counts, counts)
        return returned

    def take(self) -> dict[str, PassCount]:
        """The passes since the last call of this function."""
        counts, self._counts = self._counts, {}
        return counts


def counted(forward: Callable[..., Returned]) -> Callable[..., Returned]:
    """A method `forward(self, batch, ...)` of a classifier's `Split`, each input counted."""

    @functools.wraps(forward)
    def counting(split: Any, batch: Any, *arguments: Any) -> Returned:
        counter: PassCounter = split.classifier.passes
        return counter.measured(len(batch), lambda: forward(split, batch, *arguments))

    return counting

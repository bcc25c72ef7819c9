"""What the composer expects of an engine, and of whoever watches a run."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

Progress = Callable[[str, int, int], None]
"""Called with a phase in words, what is done, and the total."""


class Engine(Protocol):
    """Where work runs. Functions are defined at the top of a module; arguments and results travel.

    A future raises what its call has raised, or `WorkerLost` where the process was lost with it.
    """

    @property
    def num_workers(self) -> int:
        """How many light calls run at once."""

    @property
    def num_auditors(self) -> int:
        """How many auditor calls run at once."""

    @property
    def facts(self) -> dict[str, Any]:
        """What the run record says of this engine: its name, and how many processes it has."""

    def light(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """A call in a process without TensorFlow. A lost one is made once more, alone."""

    def auditor(
        self, function: Callable[..., Any], /, *arguments: Any, cases: int = 1
    ) -> Future[Any]:
        """A call of a method of `Auditor`, in a process that holds one.

        Parameters
        ----------
        cases : of how many cases; the call may take that many times the limits of one case.
        """

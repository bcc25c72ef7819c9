"""How often the audited network was run, and what for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from cxr_audit.records.base import require


@dataclass(frozen=True, slots=True)
class PassCount:
    """The passes of one purpose.

    Parameters
    ----------
    asked : model inputs that were asked.
    computed : model inputs that were computed: a batch that is not full is filled up.
    wall_s, cpu_s : seconds of the calls; the first call of a process builds the network.
    """

    asked: int = 0
    computed: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0

    def __post_init__(self) -> None:
        require(0 <= self.asked <= self.computed, f"{self.asked} of {self.computed} passes")

    def __add__(self, other: PassCount) -> PassCount:
        return PassCount(
            self.asked + other.asked,
            self.computed + other.computed,
            self.wall_s + other.wall_s,
            self.cpu_s + other.cpu_s,
        )


@dataclass(frozen=True, slots=True)
class PlainPass:
    """One forward pass of the audited network on this machine, the unit of cost.

    Parameters
    ----------
    wall_ms, cpu_ms : a model input, median of full batches.
    batch_size : model inputs a batch.
    """

    wall_ms: float
    cpu_ms: float
    batch_size: int


def added(
    counts: Mapping[str, PassCount], further: Mapping[str, PassCount]
) -> dict[str, PassCount]:
    """The sum of two counts."""
    total = dict(counts)
    for purpose, count in further.items():
        total[purpose] = total.get(purpose, PassCount()) + count
    return total


def rounded(counts: Mapping[str, PassCount]) -> dict[str, PassCount]:
    """The counts with seconds as records carry them."""
    return {
        purpose: replace(count, wall_s=round(count.wall_s, 3), cpu_s=round(count.cpu_s, 3))
        for purpose, count in counts.items()
    }

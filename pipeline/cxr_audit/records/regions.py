"""Where evidence may lie."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cxr_audit.records.base import Mask, require
from cxr_audit.vocabulary import Text


@dataclass(frozen=True, slots=True)
class RegionFacts:
    """A region without its mask.

    Parameters
    ----------
    name : unique in the case, for example "right lung".
    kind : key of `vocabulary.REGION_KINDS`.
    found_by : how it was found.
    area_fraction : its share of the radiograph.
    confidence : in [0, 1]; None where it is a definition (a ring, a corner).
    """

    name: str
    kind: str
    found_by: Text
    area_fraction: float
    confidence: float | None = None

    def __post_init__(self) -> None:
        require(
            0 <= self.area_fraction <= 1, f"area fraction {self.area_fraction} is not in [0, 1]"
        )
        require(
            self.confidence is None or 0 <= self.confidence <= 1, f"confidence {self.confidence}"
        )


@dataclass(frozen=True, slots=True)
class Region:
    """A region.

    Parameters
    ----------
    mask : bool (rows, columns), a grid that covers the radiograph exactly, at its own or a lower
        resolution.
    """

    mask: Mask
    facts: RegionFacts

    def __post_init__(self) -> None:
        require(
            self.mask.dtype == np.bool_ and self.mask.ndim == 2,
            "a mask is a bool array of two dimensions",
        )
        self.mask.setflags(write=False)

    @classmethod
    def of(
        cls,
        mask: Mask,
        name: str,
        kind: str,
        found_by: Text,
        confidence: float | None = None,
    ) -> Region:
        """A region with its area measured from its mask."""
        return cls(mask, RegionFacts(name, kind, found_by, float(mask.mean()), confidence))


@dataclass(frozen=True, slots=True)
class RegionsRecord:
    """The regions of a case.

    Parameters
    ----------
    found : in the order in which they were looked for.
    missing : why there is no region of a kind, by kind, where one was looked for.
    controls : region -> control -> its relevance mass accuracy there, on the grid of the target
        layer; a control that is zero everywhere has none.
    """

    found: tuple[RegionFacts, ...] = ()
    missing: dict[str, Text] = field(default_factory=dict)
    controls: dict[str, dict[str, float]] = field(default_factory=dict)

    def of_kind(self, kind: str) -> tuple[RegionFacts, ...]:
        """The regions of a kind."""
        return tuple(region for region in self.found if region.kind == kind)

    def first(self, kind: str) -> RegionFacts | None:
        """The first region of a kind, None where there is none."""
        return next(iter(self.of_kind(kind)), None)

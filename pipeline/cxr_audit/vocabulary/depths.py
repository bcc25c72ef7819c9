"""How much a run asks of each case, and of a sample: the dial `run.depth`.

A key that the config states wins over the dial: `DEPTH_KEYS` says which keys the dial sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cxr_audit.vocabulary.registry import Registry, Row

Number = int | Literal["all", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Depth(Row):
    """What is asked at one depth.

    Parameters
    ----------
    probes : cases whose brightness, border and markers are changed.
    masking : cases of causal masking.
    factors : cases that are asked with their factors changed and bands replaced.
    stability : "all" = small changes of each case; "sample" = of the sample, once a model.
    has_each_marker : each marker is replaced on its own; False = all of a case at once.
    stages : of the cascade of randomisation; the last one leaves no trained weight.
    removals : steps of deletion and insertion, the first and the last of which are the radiograph
        itself and nothing of it.
    shares : of the cells that ROAD removes.
    has_centre : deletion and insertion also in order from the centre outwards, for comparison.
    first_look : cases of the sample that the checks of a model begin with; None = all of them. More
        are asked where these do not decide.
    stable_cases : cases of the sample whose stability is measured; None = all of them.
    """

    probes: Number
    masking: Number
    factors: Number
    stability: Literal["all", "sample"]
    has_each_marker: bool
    stages: int
    removals: int
    shares: tuple[float, ...]
    has_centre: bool
    first_look: int | None
    stable_cases: int | None


DEPTHS = Registry(
    "depth",
    (
        Depth(
            key="full",
            label="full",
            definition="Every check of every case that can be made of it.",
            probes="all",
            masking=64,
            factors=96,
            stability="all",
            has_each_marker=True,
            stages=6,
            removals=7,
            shares=(0.2, 0.4, 0.6, 0.8),
            has_centre=True,
            first_look=None,
            stable_cases=None,
        ),
        Depth(
            key="standard",
            label="standard",
            definition="At most five passes a case; what needs more is asked of a sample.",
            probes="all",
            masking=32,
            factors=64,
            stability="sample",
            has_each_marker=False,
            stages=3,
            removals=3,
            shares=(0.5,),
            has_centre=False,
            first_look=16,
            stable_cases=8,
        ),
        Depth(
            key="screening",
            label="screening",
            definition="One pass a case; everything else is asked of a sample.",
            probes=32,
            masking=16,
            factors=32,
            stability="sample",
            has_each_marker=False,
            stages=3,
            removals=3,
            shares=(0.5,),
            has_centre=False,
            first_look=16,
            stable_cases=8,
        ),
    ),
)

DEFAULT_DEPTH = "standard"

DEPTH_KEYS = {
    ("masking", "probes"): "probes",
    ("masking", "cases"): "masking",
    ("factors", "cases"): "factors",
    ("trust", "stability"): "stability",
}
"""Config key that the dial sets -> field of `Depth`."""

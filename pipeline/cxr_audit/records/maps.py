"""A class activation map and what was measured of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from cxr_audit.records.base import Floats, read_only, require
from cxr_audit.records.grid import GridGeometry
from cxr_audit.vocabulary import Text

MapStatus = Literal["ok", "dead", "negative_only", "saturated", "not_finite"]


@dataclass(frozen=True, slots=True)
class MapFacts:
    """A class activation map without its values.

    Parameters
    ----------
    key : names the array in `map.npz`.
    method : key of `vocabulary.METHODS`.
    class_name : the class that is explained.
    bias, gap : logit = sum of the signed map + bias + gap, for maps in logit units. A bias of None
        counts as 0: the head has none that could be told apart.
    is_exact : the method promises gap = 0 (|gap| <= 1e-4).
    against : the explained scalar is the logit of `class_name` minus that of this class.
    unit : of a cell.
    how : what was assumed or left out on the way.
    is_class_blind : the same map for every class.
    geometry : where the cells lie in the model input; None = an even division of it.
    """

    key: str
    method: str
    layer: str
    class_name: str
    status: MapStatus
    grid_rows: int
    grid_columns: int
    bias: float | None = None
    gap: float | None = None
    is_exact: bool = False
    against: str | None = None
    unit: str = "logit"
    how: Text | None = None
    is_class_blind: bool = False
    geometry: GridGeometry | None = None


Value = float | int | bool | str | tuple[float, float] | None
"""A number, yes or no, a word, or a position (row, column)."""


@dataclass(frozen=True, slots=True)
class Measurements:
    """Metrics by key, as `cxr_audit.vocabulary` defines them.

    Parameters
    ----------
    values : None where a metric is undefined.
    undefined : the reason for each None.
    """

    values: dict[str, Value] = field(default_factory=dict)
    undefined: dict[str, Text] = field(default_factory=dict)

    def __post_init__(self) -> None:
        missing = {key for key, value in self.values.items() if value is None}
        require(missing == set(self.undefined), f"a value or a reason, not both: {missing}")
        for key, value in self.values.items():
            numbers = value if isinstance(value, tuple) else (value,)
            is_finite = all(not isinstance(n, float) or math.isfinite(n) for n in numbers)
            require(is_finite, f"{key} is not finite")

    @classmethod
    def none_of(cls, keys: Iterable[str], reason: Text) -> Measurements:
        """No metric at all, and why."""
        keys = tuple(keys)
        return cls(dict.fromkeys(keys), dict.fromkeys(keys, reason))

    def __getitem__(self, key: str) -> Value:
        """The value, None where it is undefined or was not measured."""
        return self.values.get(key)

    def number(self, key: str) -> float | None:
        """A numeric value; None where it is undefined or was not measured."""
        value = self.values.get(key)
        return float(value) if isinstance(value, int | float) else None

    def position(self, key: str) -> tuple[float, float] | None:
        """A position as (row, column) fractions; None where it is undefined."""
        value = self.values.get(key)
        return value if isinstance(value, tuple) else None

    def reason(self, key: str) -> Text | None:
        """Why a metric is undefined."""
        return self.undefined.get(key)


@dataclass(frozen=True, slots=True)
class LogitBudget:
    """The explained logit split by place.

    Parameters
    ----------
    logit : the explained scalar.
    parts : (name, log-odds); they add up to `logit` within 1e-4. Where not `is_exact`, the last part,
        "not accounted for", is what the map leaves open.
    """

    logit: float
    parts: tuple[tuple[str, float], ...]
    is_exact: bool

    def __post_init__(self) -> None:
        values = [value for _, value in self.parts]
        require(
            all(math.isfinite(v) for v in (self.logit, *values)),
            f"a part is not finite: {self.parts}",
        )
        gap = abs(self.logit - sum(values))
        require(gap <= 1e-4 * max(1.0, abs(self.logit)), f"the parts miss the logit by {gap:g}")


@dataclass(frozen=True, slots=True)
class MapRecord:
    """A map of a case: what it is, what was measured of it, how it is drawn.

    Parameters
    ----------
    facts : what it is.
    threshold : share of the map's maximum from which a pixel counts as high focus.
    metrics : of the whole map.
    in_regions : of each region, by its name.
    scale : upper end of the colours where that is the map's own and not the run's.
    picture : file name in the case's folder.
    is_faint : the map stays below a quarter of its colours: it is drawn without a contour.
    budget : the explained logit split by the cells of this map; one map of a case has it at most.
    """

    facts: MapFacts
    threshold: float
    metrics: Measurements
    in_regions: dict[str, Measurements] = field(default_factory=dict)
    scale: float | None = None
    picture: str | None = None
    is_faint: bool = False
    budget: LogitBudget | None = None

    @property
    def key(self) -> str:
        return self.facts.key


@dataclass(frozen=True, slots=True)
class ClassActivationMap:
    """A map: signed float32 values (grid rows, grid columns) on the layer's own grid."""

    values: Floats
    facts: MapFacts

    def __post_init__(self) -> None:
        read_only(self.values, 2, "values")
        require(
            self.values.shape == (self.facts.grid_rows, self.facts.grid_columns),
            "values do not fit the grid",
        )

"""What a model is for and what it was measured at."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Measured:
    """One figure of a model card; its interval is from resampled patients."""

    what: str
    data: str
    value: float
    num_cases: int
    interval_95: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class OutputBin:
    """The validation cases whose output lies in [low, high), the last bin with 1.

    Parameters
    ----------
    num_labelled : how many of them have the label.
    interval_95 : score interval of their share (Wilson, 1927).
    """

    low: float
    high: float
    num_cases: int
    num_labelled: int
    interval_95: tuple[float, float]


@dataclass(frozen=True, slots=True)
class Validation:
    """How often the cases of `data` had the label `class_name`, by the output for that class.

    Parameters
    ----------
    is_untuned : nothing was chosen on these cases: no threshold, temperature or stopping time.
    """

    data: str
    class_name: str
    bins: tuple[OutputBin, ...]
    is_untuned: bool = False


@dataclass(frozen=True, slots=True)
class Population:
    """Whose radiographs a model is for.

    Parameters
    ----------
    description : in words.
    age_years : first and last year of age, both within; None = not stated.
    views : view positions; empty = not stated.
    """

    description: str
    age_years: tuple[int, int] | None = None
    views: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CardData:
    """What a model was made from.

    Parameters
    ----------
    description, licence : in words.
    sha256, num_cases : of each part of the data, by its name.
    """

    description: str | None = None
    licence: str | None = None
    sha256: dict[str, str] = field(default_factory=dict)
    num_cases: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """How the outputs of a classifier are to be read.

    Parameters
    ----------
    threshold_source : where the threshold comes from.
    temperature : the logits of the weights are divided by it already.
    """

    class_names: tuple[str, ...] = ()
    threshold: float | None = None
    threshold_source: str | None = None
    temperature: float | None = None


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model is for, what it was made from and measured at, and its limits.

    After Mitchell et al., Model Cards for Model Reporting, FAT* 2019. Bound to its weights by `sha256`;
    so is the threshold.

    Parameters
    ----------
    weights : file name.
    operation : of a classifier only.
    validation : how often validation cases had the label, by output.
    """

    name: str
    weights: str
    sha256: str
    parameters: int | None
    input: str
    intended_use: str
    population: Population
    limits: tuple[str, ...]
    data: CardData = field(default_factory=CardData)
    measured: tuple[Measured, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    operation: Operation = field(default_factory=Operation)
    validation: Validation | None = None

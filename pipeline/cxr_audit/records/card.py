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
    """How often the cases of `data` had the label `class_name`, by the classifier's output for that class."""

    data: str
    class_name: str
    bins: tuple[OutputBin, ...]


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What a model is for, what it was made from and measured at, and its limits.

    After Mitchell et al., Model Cards for Model Reporting, FAT* 2019. Bound to its weights by `sha256`;
    so is the threshold.

    Parameters
    ----------
    data_sha256, num_cases : of each part of the data by name.
    class_names, threshold, threshold_source, temperature : of a classifier only; the logits of
        `weights` are divided by `temperature` already.
    age_years, views : the population again, to compare with: first and last year of age, both within;
        view positions.
    """

    name: str
    weights: str
    sha256: str
    parameters: int
    input: str
    intended_use: str
    population: str
    limits: tuple[str, ...]
    data: str | None = None
    data_licence: str | None = None
    data_sha256: dict[str, str] = field(default_factory=dict)
    num_cases: dict[str, int] = field(default_factory=dict)
    measured: tuple[Measured, ...] = ()
    training: dict[str, Any] = field(default_factory=dict)
    class_names: tuple[str, ...] = ()
    threshold: float | None = None
    threshold_source: str | None = None
    temperature: float | None = None
    age_years: tuple[int, int] | None = None
    views: tuple[str, ...] = ()
    validation: Validation | None = None

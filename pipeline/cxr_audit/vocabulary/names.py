"""Names of figures in tables and acceptance criteria, derived from the rows."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_audit.vocabulary.checks import criteria_of_model
from cxr_audit.vocabulary.flags import FLAGS
from cxr_audit.vocabulary.metrics import (
    MAP_METRICS,
    MASKING_NUMBERS,
    REGION_METRICS,
    RUN_METRICS,
    Datatype,
    Metric,
)
from cxr_audit.vocabulary.regions import RegionKind, kinds_of_cases

AXIS_WORDS = {"row": "from the top", "column": "from the left"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of `cases.csv`: its name in words, what it is, its datatype as CSVW has it."""

    label: str
    definition: str
    datatype: Datatype = "number"


def of_map() -> dict[str, Column]:
    """A column for each metric of the first map, and one for each axis of a position."""
    columns: dict[str, Column] = {}
    for metric in MAP_METRICS:
        if metric.kind != "position":
            columns[metric.key] = _column(metric)
            continue
        for axis, name in zip(AXIS_WORDS, metric.columns(), strict=True):
            label = f"{metric.label}, {AXIS_WORDS[axis]}"
            columns[name] = Column(label, metric.definition)
    return columns


def of_regions() -> dict[str, Column]:
    """A column for each metric of each kind of region that a case has one of at most."""
    columns: dict[str, Column] = {}
    for kind in kinds_of_cases():
        for metric in REGION_METRICS:
            name = region_column(kind, metric)
            label = metric.label.format(region=kind.label)
            definition = metric.definition.format(region=kind.label)
            columns[name] = Column(label, definition, metric.datatype)
    return columns


def region_column(kind: RegionKind, metric: Metric) -> str:
    """For example `lungs_enrichment`."""
    return f"{kind.key}_{metric.key}"


def of_masking() -> dict[str, Column]:
    return {number.key: _column(number) for number in MASKING_NUMBERS}


def of_flags() -> dict[str, Column]:
    """A column for each flag."""
    columns: dict[str, Column] = {}
    for flag in FLAGS:
        name = flag_column(flag.key)
        label = f"flag: {flag.label[:1].lower()}{flag.label[1:]}"
        definition = f"{flag.definition} Empty: not assessed."
        columns[name] = Column(label, definition, "boolean")
    return columns


def flag_column(key: str) -> str:
    """For example `flag_border`."""
    return f"flag_{key}"


def case_numbers() -> tuple[str, ...]:
    """Numbers of a case that an acceptance criterion can name."""
    names = [name for name, column in of_map().items() if column.datatype != "string"]
    names += [name for name, column in of_regions().items() if column.datatype == "number"]
    return (*names, *MASKING_NUMBERS.keys())


def case_words() -> tuple[str, ...]:
    """Metrics of a map whose value is a word."""
    return tuple(name for name, column in of_map().items() if column.datatype == "string")


def case_yes_or_no() -> tuple[str, ...]:
    """What is true or false of a case and can be named by an acceptance criterion."""
    hits = [name for name, column in of_regions().items() if column.datatype == "boolean"]
    return (*hits, *of_flags(), "trust_passed", "failed", "excluded")


def criteria() -> tuple[str, ...]:
    """Everything that an acceptance criterion can name."""
    return (*RUN_METRICS.keys(), *case_numbers(), *case_yes_or_no(), *criteria_of_model())


def _column(metric: Metric) -> Column:
    return Column(metric.label, metric.definition, metric.datatype)

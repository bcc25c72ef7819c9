"""Keys of the vocabulary, and names of regions -> words in the report's language.

What a row says is printed everywhere: a row that another package adds needs no entry here.
"""

from __future__ import annotations

from collections.abc import Callable

from cxr_audit.records import Check, Measurements, RadiographFacts, RegionFacts, Value
from cxr_audit.report.language import N_, _, joined, named, said
from cxr_audit.report.words import number, percent, place, signed
from cxr_audit.vocabulary import (
    FLAGS,
    MAP_METRICS,
    MASKING_NUMBERS,
    METHODS,
    QUALITY_CHECKS,
    REGION_METRICS,
    RUN_METRICS,
    TRUST_CHECKS,
    Message,
    Metric,
)
from cxr_audit.vocabulary.names import AXIS_WORDS, flag_column, region_column
from cxr_audit.vocabulary.regions import kinds_of_cases
from cxr_audit.vocabulary.registry import Row

# What a case has beside metrics, by the column of the table.
OUTPUTS = {
    "logit": N_("logit"),
    "probability": N_("score"),
    "trust_passed": N_("explanation checks passed"),
    "failed": N_("failed cases"),
    "excluded": N_("excluded cases"),
}
AXES = {"from the top": N_("from the top"), "from the left": N_("from the left")}

# Names that records give to regions and to what was replaced -> where the patient's side is known,
# and where it is not: there the image's left is taken as the patient's right, and only the place
# on the image is named.
REGION_WORDS = {
    "right lung": (N_("right lung"), N_("lung at image left")),
    "left lung": (N_("left lung"), N_("lung at image right")),
    "right upper zone": (N_("right upper zone"), N_("upper zone, image left")),
    "right middle zone": (N_("right middle zone"), N_("middle zone, image left")),
    "right lower zone": (N_("right lower zone"), N_("lower zone, image left")),
    "left upper zone": (N_("left upper zone"), N_("upper zone, image right")),
    "left middle zone": (N_("left middle zone"), N_("middle zone, image right")),
    "left lower zone": (N_("left lower zone"), N_("lower zone, image right")),
}
PLAIN_NAMES = (
    *(N_("lungs"), N_("mediastinum"), N_("outside the body"), N_("border"), N_("elsewhere")),
    *(N_("letter"), N_("text"), N_("foreign object"), N_("marker"), N_("markers")),
    N_("annotation"),
    *(N_("all but the lungs"), N_("padding"), N_("bias"), N_("logit of the baseline")),
    *(N_("not accounted for"), N_("blurred"), N_("mean"), N_("black")),
    N_("darkest"),
    *(N_("left"), N_("right"), N_("upper"), N_("lower")),
    *(N_("row"), N_("column"), N_("detail level"), N_("histogram")),
)


def label(row: Row) -> str:
    """The name of a row as it stands within a sentence."""
    return named(row.label)


def title(row: Row) -> str:
    """The name of a row as a heading has it."""
    text = label(row)
    return text[:1].upper() + text[1:]


def definition(row: Row) -> str:
    """What a row is, without the full stop at its end."""
    return _(row.definition).rstrip(".")


def check_label(key: str) -> str:
    """A check of the input or of an explanation; one without a row is called as its key is."""
    row = QUALITY_CHECKS.get(key) or TRUST_CHECKS.get(key)
    return label(row) if row else key.replace("_", " ")


def check_title(key: str) -> str:
    """The same as a heading has it."""
    text = check_label(key)
    return text[:1].upper() + text[1:]


def check_meaning(check: Check) -> str:
    """What a check measures; in an older record, its own words."""
    row = QUALITY_CHECKS.get(check.name) or TRUST_CHECKS.get(check.name)
    if row is None or isinstance(check.detail, str):
        return said(check.detail) or ""
    if isinstance(check.detail, Message):
        return joined("; ", (definition(row), said(check.detail)))
    return definition(row)


def flag_title(key: str) -> str:
    """A flag as a heading has it; one without a row is called as its key is."""
    row = FLAGS.get(key)
    return title(row) if row else key.replace("_", " ").capitalize()


def method_name(key: str) -> str:
    """A method of explanation; one without a row is called as its key is."""
    row = METHODS.get(key)
    return label(row) if row else key


def metric_label(metric: Metric, region: str | None = None) -> str:
    """The name of a metric, of a region in words where it is one of a region."""
    return label(metric) if region is None else _(metric.label, region=region)


def column_label(key: str) -> str:
    """A column of the table of cases, or a metric of a run, in words; else its key."""
    if key in OUTPUTS:
        return _(OUTPUTS[key])
    for table in (RUN_METRICS, MAP_METRICS, MASKING_NUMBERS):
        row = table.get(key)
        if row is not None:
            return label(row)
    found = _position(key) or _in_region(key) or _flag(key)
    return found or check_label(key)


def column_title(key: str) -> str:
    """The same as a heading has it."""
    text = column_label(key)
    return text[:1].upper() + text[1:]


def _position(key: str) -> str | None:
    for metric in MAP_METRICS:
        if metric.kind != "position":
            continue
        for column, axis in zip(metric.columns(), AXIS_WORDS.values(), strict=True):
            if column == key:
                return f"{label(metric)}, {_(AXES[axis])}"
    return None


def _in_region(key: str) -> str | None:
    for kind in kinds_of_cases():
        for metric in REGION_METRICS:
            if region_column(kind, metric) == key:
                return metric_label(metric, label(kind))
    return None


def _flag(key: str) -> str | None:
    for row in FLAGS:
        if flag_column(row.key) == key:
            return label(row)
    return None


def region_name(name: str, facts: RadiographFacts) -> str:
    """A region in words; its side is the patient's only where the file states it."""
    words = REGION_WORDS.get(name)
    if words is None:
        return named(name)
    stated, unstated = words
    return _(stated) if facts.image_left else _(unstated)


def region_title(region: RegionFacts, facts: RadiographFacts) -> str:
    """The same as a heading has it."""
    text = region_name(region.name, facts)
    return text[:1].upper() + text[1:]


def metric_text(
    metric: Metric, values: Measurements, facts: RadiographFacts
) -> tuple[str | None, str | None]:
    """The value of a metric as it is printed, or None and why it is undefined."""
    value = values[metric.key]
    if value is None:
        reason = said(values.reason(metric.key))
        return None, reason or _("not measured")
    return value_text(metric, value, facts), None


def value_text(metric: Metric, value: Value, facts: RadiographFacts | None = None) -> str:
    """A value of a metric as it is printed.

    Parameters
    ----------
    metric : its kind decides.
    value : as the records have it, and not None.
    facts : of the radiograph, which a position needs.
    """
    if isinstance(value, tuple):
        row, column = (percent(fraction) for fraction in value)
        where = place(value, facts) if facts else ""
        return _("{row} down, {column} across: {place}", row=row, column=column, place=where)
    if isinstance(value, str):
        return _(value)
    if isinstance(value, bool):
        return _("yes") if value else _("no")
    assert value is not None
    return FORMATS.get(metric.kind, number)(value)


FORMATS: dict[str, Callable[[float], str]] = {
    "fraction": percent,
    "number": number,
    "integer": lambda value: number(value, 0),
    "signed": signed,
    "ratio": lambda value: number(value, 1),
}

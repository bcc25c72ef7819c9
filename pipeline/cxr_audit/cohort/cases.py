"""A case -> its numbers and facts by the columns of `cases.csv`; each None with its reason.

Of several maps the first counts. A case that failed or was excluded has no number.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from cxr_audit.records import AuditedCase, CaseRecord, MapRecord, Measurements
from cxr_audit.vocabulary import (
    FLAGS,
    MAP_METRICS,
    MASKING_NUMBERS,
    REGION_METRICS,
    Message,
    Text,
    message,
)
from cxr_audit.vocabulary.metrics import MaskingNumber
from cxr_audit.vocabulary.names import case_numbers, case_words, case_yes_or_no, flag_column
from cxr_audit.vocabulary.names import region_column as column_of_region
from cxr_audit.vocabulary.regions import RegionKind, kinds_of_cases

Values = dict[str, Any]
Reasons = dict[str, Text]

OF_STATUS = ("failed", "excluded")
"""Criteria that are shares of all cases; every other column is of the audited ones."""


@cache
def constant(code: str) -> Message:
    """A message without values, made once: most reasons are the same in every case."""
    return message(code)


def value_columns() -> tuple[str, ...]:
    """Names of all columns that `case_values` gives."""
    yes_or_no = [name for name in case_yes_or_no() if name not in OF_STATUS]
    return (*case_numbers(), *case_words(), *yes_or_no)


def case_values(case: CaseRecord) -> tuple[Values, Reasons]:
    """Every column of the first map, the lungs, the annotation, the masking and the flags.

    Returns
    -------
    Column -> value, None where it is undefined; column -> reason for each None.
    """
    if not isinstance(case, AuditedCase):
        names = value_columns()
        return dict.fromkeys(names), dict.fromkeys(names, case.reason)
    values: Values = {}
    reasons: Reasons = {}
    first = case.first_map
    _add_map(values, reasons, first)
    for kind in kinds_of_cases():
        _add_region(values, reasons, case, kind)
    for number in MASKING_NUMBERS:
        _add_masking(values, reasons, case, number)
    if case.trust is None:
        code = "cohort.no_map" if first is None else "cohort.trust_not_checked"
        values["trust_passed"], reasons["trust_passed"] = None, constant(code)
    else:
        values["trust_passed"] = case.trust.state == "passed"
    raised = case.flags.names
    for flag in FLAGS:
        name = flag_column(flag.key)
        values[name] = flag.key in raised
        if flag.key in case.flags.undefined:
            values[name], reasons[name] = None, case.flags.undefined[flag.key]
        elif flag.factor is not None and flag.factor not in case.probes.factors:
            values[name], reasons[name] = None, constant("cohort.factor_not_asked")
    return values, reasons


def _add_map(values: Values, reasons: Reasons, first: MapRecord | None) -> None:
    """Every metric of a map; a position has a column for each axis."""
    for metric in MAP_METRICS:
        value = None if first is None else first.metrics[metric.key]
        columns = metric.columns()
        if value is None:
            missing = "cohort.no_map" if first is None else "cohort.not_measured"
            reason = None if first is None else first.metrics.reason(metric.key)
            values.update(dict.fromkeys(columns))
            reasons.update(dict.fromkeys(columns, reason or constant(missing)))
        elif isinstance(value, tuple):
            values.update(zip(columns, value, strict=True))
        else:
            values[metric.key] = value


def _add_region(values: Values, reasons: Reasons, case: AuditedCase, kind: RegionKind) -> None:
    """Every metric of the first map in the region of a kind."""
    measured = case.in_region(kind.key)
    missing = _missing_region(case, kind, measured)
    for metric in REGION_METRICS:
        name = column_of_region(kind, metric)
        values[name] = None if measured is None else measured[metric.key]
        if values[name] is None:
            reason = None if measured is None else measured.reason(metric.key)
            reasons[name] = reason or missing


def _missing_region(case: AuditedCase, kind: RegionKind, measured: Measurements | None) -> Text:
    """Why there is nothing measured in the region of a kind."""
    if case.first_map is None:
        return constant("cohort.no_map")
    if measured is not None or case.regions.first(kind.key) is not None:
        return constant("cohort.not_measured")
    return case.regions.missing.get(kind.key) or constant(kind.absent)


def _add_masking(
    values: Values, reasons: Reasons, case: AuditedCase, number: MaskingNumber
) -> None:
    """The change of the logit with a part blurred; of several the largest change."""
    kinds = {region.name: region.kind for region in case.regions.found}
    changes: list[float] = []
    for masking in case.probes.masking:
        is_part = number.part in (masking.removed, kinds.get(masking.removed))
        if is_part and masking.fill == "blurred":
            changes.append(masking.change)
    values[number.key] = max(changes, key=abs, default=None)
    if changes:
        return
    reasons[number.key] = constant("cohort.not_masked")
    for name, reason in case.probes.masking_missing.items():
        if number.part in (name, kinds.get(name)):
            reasons[number.key] = reason
            return


def counts_in_share(case: CaseRecord, column: str) -> bool:
    """Whether a case is one of those that a share of a column is of.

    A share of an annotation is of the annotated cases, also of those whose annotation cannot be
    used. A share of masking is of the cases that were masked, for a marker of those that have one.
    """
    if not isinstance(case, AuditedCase):
        return True
    if column.startswith("annotation_"):
        has_one = case.regions.first("annotation") is not None
        return has_one or "annotation" in case.regions.missing
    number = MASKING_NUMBERS.get(column)
    if number is None:
        return True
    was_masked = bool(case.probes.masking or case.probes.masking_missing)
    has_part = number.part != "marker" or case.regions.first("marker") is not None
    return was_masked and has_part

"""CaseRecord -> its numbers and facts under the names of `cases.csv`; each None with its reason.

Of several maps the first counts. A case that failed or was excluded has no number.
"""

from __future__ import annotations

from typing import Any

from cxr_audit.records import (
    FLAGS,
    FOCUS_METRICS,
    MASKING_NUMBERS,
    REGION_METRICS,
    REGIONS_OF_CASES,
    CaseRecord,
)
from cxr_audit.vocabulary import Text

Values = dict[str, Any]
Reasons = dict[str, Text]


def case_values(record: CaseRecord) -> tuple[Values, Reasons]:
    """Every focus metric and the lungs' region metrics of the first map, what masking changed, every flag, by column; a
    reason for each None."""
    first = record.maps[0].key if record.maps else None
    found = record.focus.get(first) if first else None
    kinds = {region.name: region.kind for region in record.regions}
    of_regions = record.region_focus.get(first, ()) if first else ()
    missing = record.reason or ("no map" if first is None else "not measured")
    values: Values = {name: getattr(found, name, None) for name in FOCUS_METRICS}
    values["trust_passed"] = None if record.trust is None else record.trust.state == "passed"
    known = dict.fromkeys(values, missing) | (found.undefined if found else {})
    raised = {flag.name for flag in record.flags}
    for name in FLAGS:
        values[f"flag_{name}"] = (
            None if record.status != "ok" or name in record.flags_undefined else name in raised
        )
        known[f"flag_{name}"] = record.flags_undefined.get(name, missing)
    absent = {
        "lungs": record.lungs_missing or "the lungs were not looked for",
        "annotation": record.annotation_missing or "nothing is annotated",
    }
    for kind in REGIONS_OF_CASES:
        one = next((one for one in of_regions if kinds.get(one.region) == kind), None)
        values |= {f"{kind}_{name}": getattr(one, name, None) for name in REGION_METRICS}
        reason = missing if one or first is None else absent[kind]
        known |= {
            f"{kind}_{name}": one.undefined.get(name, reason) if one else reason
            for name in REGION_METRICS
        }
    reasons = {name: known[name] for name, value in values.items() if value is None}
    masked, why = _masking_values(record)
    return values | masked, reasons | why


def is_asked(record: CaseRecord, metric: str) -> bool:
    """Whether a case has a say in a share. It has none in what masking changed where masking did not ask it, or where
    it has no marker, and none in what lies in an annotation where it has none; one that cannot be used counts."""
    kinds = {region.kind for region in record.regions}
    if metric.startswith("annotation_"):
        return "annotation" in kinds or record.annotation_missing is not None
    if metric not in MASKING_NUMBERS:
        return True
    is_sampled = bool(record.masking or record.masking_missing)
    return is_sampled and (MASKING_NUMBERS[metric] != "marker" or "marker" in kinds)


def _masking_values(record: CaseRecord) -> tuple[Values, Reasons]:
    kinds = {region.name: region.kind for region in record.regions}
    values: Values = {}
    reasons: Reasons = {}
    for name, part in MASKING_NUMBERS.items():
        changes = [
            m.change
            for m in record.masking
            if m.fill == "blurred" and part in (m.removed, kinds.get(m.removed))
        ]
        values[name] = max(changes, key=abs, default=None)
        if not changes:
            found = (
                why
                for what, why in record.masking_missing.items()
                if part in (what, kinds.get(what))
            )
            reasons[name] = next(found, record.reason or "masking did not ask this case again")
    return values, reasons

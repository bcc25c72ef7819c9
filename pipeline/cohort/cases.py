"""CaseRecord -> its numbers and facts under the names of `cases.csv`; each None with its reason.

Of several maps the first counts. A case that failed or was excluded has no number.
"""

from __future__ import annotations

from typing import Any

from pipeline.records import FOCUS_METRICS, REGION_METRICS, CaseRecord

Values = dict[str, Any]
Reasons = dict[str, str]


def case_values(record: CaseRecord) -> tuple[Values, Reasons]:
    """Every focus metric and the lungs' region metrics of the first map, by column; a reason for each None."""
    first = record.maps[0].key if record.maps else None
    found = record.focus.get(first) if first else None
    kinds = {region.name: region.kind for region in record.regions}
    of_regions = record.region_focus.get(first, ()) if first else ()
    lungs = next((one for one in of_regions if kinds.get(one.region) == "lungs"), None)
    missing = record.reason or ("no map" if first is None else "not measured")
    values: Values = {name: getattr(found, name, None) for name in FOCUS_METRICS}
    values |= {f"lungs_{name}": getattr(lungs, name, None) for name in REGION_METRICS}
    values["trust_passed"] = None if record.trust is None else record.trust.state == "passed"
    known = dict(found.undefined) if found else {}
    known |= {f"lungs_{name}": reason for name, reason in lungs.undefined.items()} if lungs else {}
    no_lungs = missing if lungs or first is None else record.lungs_missing or "the lungs were not looked for"
    reasons = {
        name: known.get(name) or (no_lungs if name.startswith("lungs_") else missing)
        for name, value in values.items()
        if value is None
    }
    return values, reasons

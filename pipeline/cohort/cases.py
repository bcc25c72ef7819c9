"""CaseRecord -> its numbers and facts under the names of `cases.csv`; each None with its reason.

Of several maps the first counts. A case that failed or was excluded has no number.
"""

from __future__ import annotations

from typing import Any

from pipeline.records import FLAGS, FOCUS_METRICS, MASKING_NUMBERS, REGION_METRICS, CaseRecord

Values = dict[str, Any]
Reasons = dict[str, str]


def case_values(record: CaseRecord) -> tuple[Values, Reasons]:
    """Every focus metric and the lungs' region metrics of the first map, what masking changed, every flag, by column; a
    reason for each None."""
    first = record.maps[0].key if record.maps else None
    found = record.focus.get(first) if first else None
    kinds = {region.name: region.kind for region in record.regions}
    of_regions = record.region_focus.get(first, ()) if first else ()
    lungs = next((one for one in of_regions if kinds.get(one.region) == "lungs"), None)
    missing = record.reason or ("no map" if first is None else "not measured")
    values: Values = {name: getattr(found, name, None) for name in FOCUS_METRICS}
    values |= {f"lungs_{name}": getattr(lungs, name, None) for name in REGION_METRICS}
    raised = {flag.name for flag in record.flags}
    for name in FLAGS:
        values[f"flag_{name}"] = None if record.status != "ok" or name in record.flags_undefined else name in raised
    known = dict(found.undefined) if found else {}
    known |= {f"flag_{name}": reason for name, reason in record.flags_undefined.items()}
    known |= {f"lungs_{name}": reason for name, reason in lungs.undefined.items()} if lungs else {}
    no_lungs = missing if lungs or first is None else record.lungs_missing or "the lungs were not looked for"
    reasons = {
        name: known.get(name) or (no_lungs if name.startswith("lungs_") else missing)
        for name, value in values.items()
        if value is None
    }
    masked, why = _masking_values(record)
    return values | masked, reasons | why


def is_asked(record: CaseRecord, metric: str) -> bool:
    """Whether a case has a say in a share: one that masking did not ask again, or that has no marker, has none in
    what masking changed."""
    if metric not in MASKING_NUMBERS:
        return True
    is_sampled = bool(record.masking or record.masking_missing)
    return is_sampled and (MASKING_NUMBERS[metric] != "marker" or any(r.kind == "marker" for r in record.regions))


def _masking_values(record: CaseRecord) -> tuple[Values, Reasons]:
    kinds = {region.name: region.kind for region in record.regions}
    values: Values = {}
    reasons: Reasons = {}
    for name, part in MASKING_NUMBERS.items():
        changes = [
            m.change for m in record.masking if m.fill == "blurred" and part in (m.removed, kinds.get(m.removed))
        ]
        values[name] = max(changes, key=abs, default=None)
        if not changes:
            found = (why for what, why in record.masking_missing.items() if part in (what, kinds.get(what)))
            reasons[name] = next(found, record.reason or "masking did not ask this case again")
    return values, reasons

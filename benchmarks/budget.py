"""A finished run -> mean logit budget by kind of region and outcome.

    .venv/bin/python -m benchmarks.budget reports/kermany

The budget says how much of the logit comes from each kind of region. Only cases with lungs found
take part; the others are counted. Reads records, writes nothing.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

import numpy as np
from cxr_audit.evidence import RunFolder
from cxr_audit.records import AuditedCase

COLUMNS = ("zone", "mediastinum", "outside_body", "marker", "border", "elsewhere", "bias")


def parts_of(record: AuditedCase) -> Counter[str]:
    """Log-odds by kind of region; parts that lie in no region by their name."""
    assert record.budget is not None
    kinds = {region.name: region.kind for region in record.regions.found}
    parts: Counter[str] = Counter()
    for name, value in record.budget.parts:
        parts[kinds.get(name, name)] += value  # type: ignore[assignment]
    return parts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("run", type=Path)
    folder = RunFolder.open(parser.parse_args().run)
    records = []
    for case_id in folder.case_ids():
        case = folder.read_case(case_id)
        if isinstance(case, AuditedCase) and case.budget is not None:
            records.append(case)
    by: dict[tuple[str, str], list[AuditedCase]] = {}
    for record in records:
        by.setdefault((record.label or "none", record.prediction.predicted), []).append(record)
    print(
        f"{'label':12}{'predicted':12}{'cases':>7}{'no lungs':>9}"
        + "".join(f"{name:>14}" for name in COLUMNS)
    )
    for (label, predicted), cases in sorted(by.items()):
        parts = [parts_of(case) for case in cases if "lungs" not in case.regions.missing]
        means = (
            "".join(f"{np.mean([part[name] for part in parts]):14.2f}" for name in COLUMNS)
            if parts
            else ""
        )
        print(f"{label:12}{predicted:12}{len(cases):7}{len(cases) - len(parts):9}{means}")
    marked = [
        abs(parts_of(record)["marker"])
        for record in records
        if any(r.kind == "marker" for r in record.regions.found)
    ]
    print(
        f"{len(marked)} cases with a marker; it moves the logit by at most {max(marked, default=0.0):.2f}"
    )


if __name__ == "__main__":
    main()

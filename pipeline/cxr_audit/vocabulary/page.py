"""The vocabulary as a Markdown page: `python -m cxr_audit.vocabulary.page > docs/vocabulary.md`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from cxr_audit.vocabulary import (
    FACTORS,
    FLAGS,
    MAP_METRICS,
    MASKING_NUMBERS,
    METHODS,
    OUTPUT_FILES,
    PURPOSES,
    QUALITY_CHECKS,
    REGION_KINDS,
    REGION_METRICS,
    RUN_METRICS,
    TRUST_CHECKS,
)
from cxr_audit.vocabulary.checks import QualityCheck
from cxr_audit.vocabulary.metrics import Metric
from cxr_audit.vocabulary.registry import Row

HEAD = """\
# Vocabulary

Everything that an audit can say, one row each. This page is made from `pipeline/cxr_audit/vocabulary/` by
`make generated`. Keys stand in configs, records and tables as they stand here.
"""


def page() -> str:
    """The whole page."""
    metrics: tuple[Metric, ...] = (*MAP_METRICS, *MASKING_NUMBERS)
    checks: tuple[QualityCheck, ...] = tuple(QUALITY_CHECKS)
    sections = (
        _section("Methods", tuple(METHODS)),
        _section("Metrics of a map and of a case", metrics),
        _section("Metrics of a map in a region", tuple(REGION_METRICS)),
        _section("Metrics of a run", tuple(RUN_METRICS)),
        _section("Kinds of regions", tuple(REGION_KINDS)),
        _section("Flags", tuple(FLAGS)),
        _section("Factors that an output can depend on", tuple(FACTORS)),
        _section("Checks of the input", checks),
        _section("Checks of the explanation and of the model", tuple(TRUST_CHECKS)),
        _section("Files of a run", tuple(OUTPUT_FILES)),
        _section("Purposes of passes through the network", tuple(PURPOSES)),
    )
    return HEAD + "".join(sections)


def _section(title: str, rows: Sequence[Row]) -> str:
    lines = [f"\n## {title}\n", "| key | name | definition | source |", "|---|---|---|---|"]
    for row in rows:
        label = row.title.format(region="a region")
        definition = row.definition.format(region="a region")
        if isinstance(row, QualityCheck) and row.action == "exclude":
            definition += " A radiograph that fails is excluded by default."
        lines.append(f"| `{row.key}` | {label} | {definition} | {row.source} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())

"""docs/depth.md has the numbers of the rows."""

from __future__ import annotations

from pathlib import Path

from cxr_audit.trust.faithfulness import Series
from cxr_audit.vocabulary import PURPOSES
from cxr_audit.vocabulary.depths import DEFAULT_DEPTH, DEPTH_KEYS, DEPTHS, Depth

ROOT = Path(__file__).resolve().parents[2]


def _cells(depth: Depth) -> list[str]:
    """A column of the table."""
    series = Series(depth.removals, depth.shares, depth.has_centre)
    return [
        "1",
        str(depth.probes),
        "one by one" if depth.has_each_marker else "at once",
        str(depth.masking),
        str(depth.factors),
        "all cases" if depth.stability == "all" else "sample",
        str(depth.stages),
        str(series.num_inputs),
        "all" if depth.stable_cases is None else str(depth.stable_cases),
        "all" if depth.first_look is None else str(depth.first_look),
    ]


def test_the_table_is_that_of_the_rows() -> None:
    lines = (ROOT / "docs" / "depth.md").read_text("utf-8").splitlines()
    start = lines.index(f"| Asked | {' | '.join(DEPTHS.keys())} |")
    num_rows = len(_cells(DEPTHS[DEFAULT_DEPTH]))
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")][1:]
        for line in lines[start + 2 : start + 2 + num_rows]
    ]
    columns = [list(column) for column in zip(*rows, strict=True)]
    assert columns == [_cells(depth) for depth in DEPTHS]


def test_standard_is_the_default_and_asks_five_passes_a_case_at_most() -> None:
    depth = DEPTHS[DEFAULT_DEPTH]
    assert depth.key == "standard"
    assert (depth.stability, depth.has_each_marker) == ("sample", False)  # 1 + 2 + border + markers
    screening = DEPTHS["screening"]
    assert all(getattr(screening, field) not in ("all", "none") for field in DEPTH_KEYS.values())
    assert {row.scope for row in PURPOSES} == {"case", "sample"}

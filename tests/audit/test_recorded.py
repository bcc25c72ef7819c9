"""The numbers of a small run of phantoms are those of an earlier version of the composer.

`recorded/cases.csv` was written before the composer was divided into processes. Where a figure is
meant to change, write it again: draw the phantoms and run `recorded/audit.yaml` as this test does.
"""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest
from cxr_audit import load_config
from cxr_audit.audit import audit
from cxr_audit.evidence import RunFolder
from cxr_audit.reference.phantom.files import write_cases
from cxr_audit.reference.phantom.phantom import cohort

from tests.audit.runs import Inline, rows_of

RECORDED = Path(__file__).parent / "recorded"
NOT_COMPARED = ("case_id", "file_hmac", "reason")  # of another key; words


def test_the_numbers_of_a_recorded_run(tmp_path: Path) -> None:
    write_cases(tmp_path / "phantoms", cohort(12, 5, ("marker_r",)), 384, 384, "png")
    shutil.copy(RECORDED / "audit.yaml", tmp_path)
    config = load_config(tmp_path / "audit.yaml")
    folder = RunFolder(audit(config, Inline(config)).folder)
    with (RECORDED / "cases.csv").open() as file:
        recorded = list(csv.DictReader(file))
    num_numbers = 0
    for row, expected in zip(rows_of(folder), recorded, strict=True):
        for name in (row.keys() & expected.keys()) - set(NOT_COMPARED):
            try:
                number = float(expected[name])
            except ValueError:
                assert row[name] == expected[name], name
            else:
                assert float(row[name]) == pytest.approx(number, rel=1e-6, abs=1e-6), name
                num_numbers += 1
    assert num_numbers > 300

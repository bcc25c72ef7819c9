"""pydicom's own files beside pydicom's chain and DCMTK.

`python -m benchmarks.dicom_agreement` does all of them.
"""

from __future__ import annotations

from benchmarks.dicom_agreement import pydicom_files, report


def test_nothing_differs_unexplained():
    rows = report([path for path in pydicom_files() if path.stat().st_size < 2e5])
    assert [row for row in rows if not row.is_explained] == []
    compared = [row for row in rows if row.difference is not None]
    assert sum(row.who == "pydicom" for row in compared) > 50
    assert sum(row.who == "pydicom stored values" for row in compared) > 50

"""What fsync costs a case.

    .venv/bin/python -m benchmarks.durability [FOLDER] [CASES]

A case counts as done only when all its files are on the disk. Writes files as large as those of a
case of the demo into a folder, with and without fsync in turn. Prints the milliseconds a case.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from statistics import median
from unittest.mock import patch

from cxr_audit import evidence

SIZES = {
    "radiograph.jpg": 60,
    "model_input.jpg": 10,
    "regions.jpg": 60,
    "map-0.jpg": 60,
    "map.npz": 2,
    "regions.npz": 8,
}
FILES = {**SIZES, "report.pdf": 200, "case.json": 20}  # KiB


def main(folder: Path, cases: int) -> None:
    spent: dict[bool, list[float]] = {True: [], False: []}
    for number in range(2 * cases):
        is_synced = bool(number % 2)
        with patch("os.fsync", os.fsync if is_synced else lambda _: None):
            start = time.perf_counter()
            for name, size in FILES.items():
                evidence.write(folder / "durability" / str(number) / name, os.urandom(1024 * size))
            spent[is_synced].append(1000 * (time.perf_counter() - start))
    shutil.rmtree(folder / "durability")
    for is_synced, times in spent.items():
        print(f"{'with' if is_synced else 'without'} fsync: median {median(times):.1f} ms a case")


if __name__ == "__main__":
    main(
        Path(sys.argv[1] if len(sys.argv) > 1 else "."),
        int(sys.argv[2]) if len(sys.argv) > 2 else 50,
    )

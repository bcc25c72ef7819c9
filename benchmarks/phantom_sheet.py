"""Phantoms beside real radiographs in one picture; and the CPU time of a phantom.

    .venv/bin/python -m benchmarks.phantom_sheet /tmp/sheet.png [--kind child | adult] [--seed 1]
        [--tile 320]
    .venv/bin/python -m benchmarks.phantom_sheet --time

Every second column is real (../shared/data: Kermany for children; Montgomery, Shenzhen and Cohen
for adults), the others are phantoms. Upper half NORMAL, lower half PNEUMONIA. The picture contains
real radiographs: never commit it.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
from cxr_audit.reference.phantom import case_spec, draw

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
REAL = {
    "child": (["kermany/train/NORMAL/*"], ["kermany/train/PNEUMONIA/*"]),
    "adult": (["lungs/images/*_0.jpg"], ["adult/images/*", "lungs/images/*_1.jpg"]),
}


def tile(image: np.ndarray, size: int) -> np.ndarray:
    """Shrunk into a square, grey."""
    scale = size / max(image.shape)
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    canvas = np.zeros((size, size), np.uint8)
    canvas[: small.shape[0], : small.shape[1]] = small
    return canvas


def sheet(kind: str, seed: int, size: int, columns: int = 6, rows: int = 4) -> np.ndarray:
    rng = np.random.default_rng(seed)
    lines = []
    for row in range(rows):
        is_ill = row >= rows // 2
        files = [path for pattern in REAL[kind][is_ill] for path in sorted(DATA.glob(pattern))]
        picked = [files[i] for i in rng.choice(len(files), columns // 2, replace=False)]
        line = []
        for column, path in enumerate(picked):
            number = 1000 * seed + row * columns + column
            age = "child" if kind == "child" else ("adult", "elderly")[number % 2]
            spec = case_spec(number, ("NORMAL", "PNEUMONIA")[is_ill], age_band=age)
            drawn = np.round(draw(spec, size, size).pixels * 255).astype(np.uint8)
            line += [tile(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), size), drawn]
        lines.append(np.hstack(line))
    return np.vstack(lines)


def measure(size: int, repeats: int = 8) -> None:
    draw(case_spec(0), 64, 64)
    start = time.process_time()
    for seed in range(repeats):
        draw(case_spec(seed), size, size)
    print(f"{size} x {size}: {(time.process_time() - start) / repeats:.3f} core-seconds a phantom")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("output", type=Path, nargs="?", default=Path("/tmp/phantom-sheet.png"))
    parser.add_argument("--kind", choices=sorted(REAL), default="adult")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--tile", type=int, default=320)
    parser.add_argument("--time", action="store_true")
    arguments = parser.parse_args()
    if arguments.time:
        cv2.setNumThreads(1)
        for size in (224, 1024, 3000):
            measure(size, 8 if size < 2000 else 2)
        return
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(arguments.output), sheet(arguments.kind, arguments.seed, arguments.tile))
    print(arguments.output)


if __name__ == "__main__":
    main()

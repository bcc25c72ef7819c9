"""CPU time of all metrics of one map, in all regions, with controls.

    .venv/bin/python -m benchmarks.focus_speed [--grid 7] [--rounds 200]

A drawn radiograph of 1024 x 860 px with lungs, zones, mediastinum, border, corners, two markers and
an annotation: 19 regions on their grid of 256. Goal: at most 10 ms. Finding the regions and drawing
the pictures are timed separately.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import cv2
import numpy as np
from cxr_audit import preprocess as geometry
from cxr_audit import regions, report
from cxr_audit.audit import measuring
from cxr_audit.records import ClassActivationMap, MapFacts, Region


def ellipse(
    shape: tuple[int, int], centre: tuple[float, float], axes: tuple[float, float]
) -> np.ndarray:
    row, column = ((np.arange(n) + 0.5) / n for n in shape)
    return ((row[:, None] - centre[0]) / axes[0]) ** 2 + (
        (column[None] - centre[1]) / axes[1]
    ) ** 2 <= 1


def a_case(grid: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    right, left = (ellipse((256, 256), (0.5, column), (0.32, 0.16)) for column in (0.3, 0.72))
    markers = [
        Region.of(
            ellipse((512, 430), (0.08, column), (0.02, 0.02)), f"letter {n}", "marker", "drawn"
        )
        for n, column in enumerate((0.1, 0.9), 1)
    ]
    annotation = regions.annotation(ellipse((1024, 860), (0.6, 0.3), (0.1, 0.08)), "drawn")
    noise = cv2.GaussianBlur(rng.random((900, 756)).astype(np.float32), (0, 0), 8)
    picture = cv2.normalize(noise, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    placement = geometry.place(1024, 860, 224, 224, "letterbox")
    lungs, given = regions.Lungs(right, left, 0.9), (*markers, annotation)
    values = cv2.GaussianBlur(rng.standard_normal((grid, grid)).astype(np.float32), (0, 0), 1)
    facts = MapFacts("grad-cam", "grad-cam", "last", "P", "ok", grid, grid)
    return {
        "find": partial(regions.find_regions, picture, lungs, given),
        "placement": placement,
        "picture": picture,
        "map": ClassActivationMap(values, facts),
        "controls": {
            name: rng.random((grid, grid), np.float32) for name in ("edges", "random", "centre")
        },
    }


def cpu_ms(call: Callable[[], Any], rounds: int) -> tuple[float, float]:
    """Median and smallest of the rounds."""
    call()
    times = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        times.append(1e3 * (time.process_time() - start))
    return median(times), min(times)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--grid", type=int, default=7)
    parser.add_argument("--rounds", type=int, default=200)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)  # as in a worker
    case = a_case(arguments.grid)
    found, placement, one = case["find"](), case["placement"], case["map"]
    size = arguments.grid, arguments.grid
    picture = case["picture"]

    def measure() -> None:
        """As `audit.document.describe` does it for a case of one map."""
        masks = np.stack([region.mask for region in found])
        shares = geometry.region_shares(placement, *size, masks)
        measuring.measure(one, one.values, placement, found, shares, 0.5)
        measuring.controls(case["controls"], placement, found, lambda rows, columns: shares)

    def draw() -> None:
        heatmap = geometry.restore(one.values, placement, *picture.shape)
        seen = geometry.seen(placement, *picture.shape)
        report.encode_jpeg(report.overlay(picture, heatmap, seen, 0.5, 0.5))

    rows = {
        "find regions": case["find"],
        f"all focus metrics, {len(found)} regions, controls": measure,
        "one map": draw,
    }
    for name, call in rows.items():
        typical, quickest = cpu_ms(call, arguments.rounds)
        print(f"{name:44} median {typical:6.2f} ms, quickest {quickest:6.2f} ms")


if __name__ == "__main__":
    main()

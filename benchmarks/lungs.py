"""The lung segmenter's figures against their limits, measured now: Dice, boxes, refusals, CPU time a case.

    .venv/bin/python -m benchmarks.lungs [--data ../shared/data] [--sheets FOLDER]

Refused must be: the measured images turned by 90 and 180 degrees, their halves and middle quarters, and what is no
chest (every picture but chest radiographs among pydicom's own test files and the NEMA extremity). `--sheets` writes
pictures: the ten worst of each set, and forty others; right lung yellow, left lung blue, refused red, truth green.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom.data
import pydicom.errors

import pipeline.classifier  # noqa: F401  first: it imports TensorFlow without its start-up notices
from pipeline.errors import CaseError
from pipeline.ingest import discover, read
from pipeline.reference import WEIGHTS
from pipeline.reference.train_lungs import SIZE, Measured, measure, read_data, summarise
from pipeline.regions.lungs import BATCH, LungSegmenter, find_lungs, segmenter_input

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CUTS = {
    "upper half": (slice(0, SIZE // 2), slice(0, SIZE)),
    "lower half": (slice(SIZE // 2, SIZE), slice(0, SIZE)),
    "left half": (slice(0, SIZE), slice(0, SIZE // 2)),
    "right half": (slice(0, SIZE), slice(SIZE // 2, SIZE)),
    "middle quarter": (slice(SIZE // 4, 3 * SIZE // 4), slice(SIZE // 4, 3 * SIZE // 4)),
}


def refused(segmenter: LungSegmenter, images: list[Any]) -> float:
    """Share of images (rows, columns) in [0, 1] in which no lungs are found."""
    inputs = np.stack([segmenter_input(np.ascontiguousarray(image)) for image in images])
    return float(np.mean([find_lungs(p).reason is not None for p in segmenter.probabilities(inputs)]))


def no_chests(data: Path) -> list[Any]:
    """CT, MR, ultrasound, colour test pictures and an extremity: all that the tool reads of pydicom's files."""
    files = {Path(name) for name in pydicom.data.get_testdata_files("*.dcm")}
    files.add(data / "dicom" / "nema-rg3-extremity-mono1-10bit-jpeg2000.dcm")
    images = []
    for path in sorted(path for path in files if not path.name.startswith(("RG1", "RG2"))):
        try:
            images.append(read(discover(path)[0]).pixels)
        except CaseError:  # many of these files are broken on purpose
            continue
    return images


def core_ms(segmenter: LungSegmenter, image: Any) -> dict[str, float]:
    """CPU milliseconds a case, in a batch of 16: all threads of the process."""
    batch = np.repeat(image[None], BATCH, 0)
    pixels = cv2.resize(image, (1024, 1024))
    probability = segmenter.probabilities(batch)[0]
    steps = {
        "input": lambda: [segmenter_input(pixels) for _ in range(BATCH)],
        "probabilities": lambda: segmenter.probabilities(batch),
        "find": lambda: [find_lungs(probability) for _ in range(BATCH)],
    }
    times = {}
    for name, step in steps.items():
        used = []
        for _ in range(7):
            start = time.process_time()
            step()
            used.append((time.process_time() - start) * 1000 / BATCH)
        times[name] = float(np.median(used))
    return times


def picture(case: Measured, truth: Any, boxes: list[dict[str, float]]) -> Any:
    canvas = cv2.cvtColor(np.round(case.image * 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    outlines = [(case.lungs.right, (0, 220, 255)), (case.lungs.left, (255, 160, 0))]
    if truth is not None:
        outlines.insert(0, (truth, (0, 200, 0)))
    for mask, colour in outlines:
        contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, contours, -1, colour, 1)
    for box in boxes:
        corners = [(round(box["x"]), round(box["y"])), (round(box["x"] + box["w"]), round(box["y"] + box["h"]))]
        cv2.rectangle(canvas, *corners, (0, 200, 0), 1)
    canvas = cv2.copyMakeBorder(canvas, 0, 26, 0, 2, cv2.BORDER_CONSTANT)
    figures = " ".join(f"{value:.2f}" for value in (*case.figures.values(), case.lungs.confidence))
    for row, text in ((267, f"{case.name[:22]} {figures}"), (279, (case.lungs.reason or "")[17:])):
        cv2.putText(canvas, text, (2, row), cv2.FONT_HERSHEY_PLAIN, 0.75, (255, 255, 255), 1, cv2.LINE_AA)
    return canvas


def write_sheets(measured: dict[str, list[Measured]], data: Path, folder: Path) -> None:
    """`worst-SET.png` and `some-SET.png`: by the set's figure (Dice, box IoU), for children by confidence."""
    folder.mkdir(parents=True, exist_ok=True)
    _, masks, names, _ = read_data(data / "lungs")
    truth = dict(zip(names, masks > 127, strict=True))
    records = {record["file"]: record for record in json.loads((data / "adult" / "annotations.json").read_text())}
    for name, cases in measured.items():
        order = sorted(cases, key=lambda case: [case.lungs.reason is None, *reversed(case.figures.values())] or [])
        if name == "children":
            order = sorted(cases, key=lambda case: (case.lungs.reason is None, case.lungs.confidence))
        rest = order[10:]
        for kind, chosen in (("worst", order[:10]), ("some", rest[:: max(1, len(rest) // 40)][:40])):
            pictures = []
            for case in chosen:
                record = records.get(case.name, {"boxes": [], "width": 1, "height": 1})
                to_grid = {"x": SIZE / record["width"], "y": SIZE / record["height"]}
                to_grid |= {"w": to_grid["x"], "h": to_grid["y"]}
                boxes = [{key: box[key] * to_grid[key] for key in "xywh"} for box in record["boxes"]]
                pictures.append(picture(case, truth.get(Path(case.name).stem), boxes))
            columns = 5 if kind == "worst" else 8
            pictures += [np.zeros_like(pictures[0])] * (-len(pictures) % columns)
            rows = [np.hstack(pictures[k : k + columns]) for k in range(0, len(pictures), columns)]
            cv2.imwrite(str(folder / f"{kind}-{name}.png"), np.vstack(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--sheets", type=Path, help="folder for pictures of the segmentations")
    arguments = parser.parse_args()
    weights = WEIGHTS / "lungs.keras"
    segmenter = LungSegmenter(weights)
    places = {"data": arguments.data / "lungs", "adult": arguments.data / "adult"}
    seed = json.loads(weights.with_suffix(".json").read_text("utf-8"))["seed"]
    children = arguments.data / "kermany" / "test"
    measured, _ = measure(argparse.Namespace(**places, children=children, seed=seed), segmenter)
    figures = summarise(measured, segmenter, seed)
    times = core_ms(segmenter, measured["test"][0].image)
    rows: list[tuple[str, float, str, float]] = [("file size, MB", weights.stat().st_size / 1e6, "<=", 4.0)]
    for name, limit in (("test_dice", 0.955), ("adult_inside_boxes", 0.95), ("adult_box_iou", 0.77)):
        low, high = figures[name]["interval_95"]
        rows.append((f"{name} [{low:.3f}, {high:.3f}]", figures[name]["mean"], ">=", limit))
    rows += [(f"not found, {name}", value, "<=", 0.02) for name, value in figures["not_found_fraction"].items()]
    rows += [(f"refused, {name}", value, ">=", 0.95) for name, value in figures["refused_fraction"].items()]
    for words, (cut_rows, cut_columns) in CUTS.items():
        cut = [case.image[cut_rows, cut_columns] for case in measured["test"]]
        rows.append((f"refused, test, {words}", refused(segmenter, cut), ">=", 0.95))
    others = no_chests(arguments.data)
    rows.append((f"refused, {len(others)} that are no chest", refused(segmenter, others), ">=", 0.95))
    rows.append(("core-ms a case, probabilities and lungs", times["probabilities"] + times["find"], "<=", 30.0))
    for words, value, sign, limit in rows:
        kept = value >= limit if sign == ">=" else value <= limit
        print(f"{words:48} {value:8.3f}  {sign} {limit:<6g} {'met' if kept else 'NOT MET'}")
    for name in ("test_dice_montgomery", "test_dice_shenzhen", "adult_inside_boxes_unseen", "adult_box_iou_unseen"):
        print(f"{name:48} {figures[name]['mean']:8.3f}")
    for name, value in times.items():
        print(f"core-ms a case, {name:32} {value:8.1f}")
    if arguments.sheets is not None:
        write_sheets(measured, arguments.data, arguments.sheets)


if __name__ == "__main__":
    main()

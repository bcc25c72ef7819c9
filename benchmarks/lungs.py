"""The lung segmenter against its limits: Dice, boxes, refusals, CPU time a case.

    .venv/bin/python -m benchmarks.lungs [--data ../shared/data] [--sheets FOLDER]

These must be refused: the measured images turned by 90 and 180 degrees, their halves and middle
quarters, and images that show no chest (CT, MR, ultrasound, photographs and an extremity among the
test files of pydicom). `--sheets` writes pictures: the ten worst of each set, and forty others;
right lung yellow, left lung blue, refused red, truth green.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import cv2
import cxr_audit.classifier  # noqa: F401  first: it imports TensorFlow without its start-up notices
import numpy as np
import pydicom
from cxr_audit.reference import WEIGHTS, card_of
from cxr_audit.reference.train_lungs import (
    DICE,
    INSIDE,
    IOU,
    NOT_FOUND,
    SETS,
    SIZE,
    Case,
    measure,
    read_data,
    summarise,
)
from cxr_audit.regions.lungs import BATCH, LungSegmenter, find_lungs, segmenter_input
from pydicom.data import get_testdata_file

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CUTS = {
    "upper half": (slice(0, SIZE // 2), slice(0, SIZE)),
    "lower half": (slice(SIZE // 2, SIZE), slice(0, SIZE)),
    "left half": (slice(0, SIZE), slice(0, SIZE // 2)),
    "right half": (slice(0, SIZE), slice(SIZE // 2, SIZE)),
    "middle quarter": (slice(SIZE // 4, 3 * SIZE // 4), slice(SIZE // 4, 3 * SIZE // 4)),
}
# Of pydicom's test files; as pictures, since the tool refuses all but radiographs by their DICOM modality.
NO_CHESTS = {
    "CT": ("CT_small", "693_UNCI"),
    "MR": ("MR_small", "MR2_UNCI"),
    "ultrasound": ("US1_UNCI", "examples_rgb_color", "examples_palette", "color-pl"),
    "an extremity": ("RG3_UNCI",),
    "other pictures": ("SC_rgb", "mlut_18", "vlut_04", "liver_1frame"),
}


def refused(segmenter: LungSegmenter, images: list[Any]) -> float:
    """Share of images (rows, columns) in [0, 1] in which no lungs are found."""
    inputs = np.stack([segmenter_input(np.ascontiguousarray(image)) for image in images])
    return float(
        np.mean([find_lungs(p).reason is not None for p in segmenter.probabilities(inputs)])
    )


def no_chests() -> dict[str, Any]:
    """Pictures (rows, columns) in [0, 1], by name."""
    images = {}
    for name in (name for names in NO_CHESTS.values() for name in names):
        stored = np.asarray(
            pydicom.dcmread(get_testdata_file(f"{name}.dcm", download=False)).pixel_array,
            np.float32,
        )
        grey = stored.mean(axis=2) if stored.shape[-1] == 3 else stored
        images[name] = (grey - grey.min()) / np.float32(max(np.ptp(grey), 1))
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


def picture(case: Case, truth: Any, boxes: list[dict[str, float]]) -> Any:
    canvas = cv2.cvtColor(np.round(case.image * 255).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    outlines = [(case.lungs.right, (0, 220, 255)), (case.lungs.left, (255, 160, 0))]
    if truth is not None:
        outlines.insert(0, (truth, (0, 200, 0)))
    for mask, colour in outlines:
        contours, _ = cv2.findContours(
            mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
        )
        cv2.drawContours(canvas, contours, -1, colour, 1)
    for box in boxes:
        corners = [
            (round(box["x"]), round(box["y"])),
            (round(box["x"] + box["w"]), round(box["y"] + box["h"])),
        ]
        cv2.rectangle(canvas, *corners, (0, 200, 0), 1)
    canvas = cv2.copyMakeBorder(canvas, 0, 26, 0, 2, cv2.BORDER_CONSTANT)
    figures = " ".join(f"{value:.2f}" for value in (*case.figures.values(), case.lungs.confidence))
    for row, text in ((267, f"{case.name[:22]} {figures}"), (279, (case.lungs.reason or "")[17:])):
        cv2.putText(
            canvas, text, (2, row), cv2.FONT_HERSHEY_PLAIN, 0.75, (255, 255, 255), 1, cv2.LINE_AA
        )
    return canvas


def goodness(case: Case) -> float:
    """Dice or box IoU where there is a truth, else the segmenter's own confidence."""
    return case.figures.get("dice", case.figures.get("box_iou", case.lungs.confidence))


def write_sheets(measured: dict[str, list[Case]], data: Path, folder: Path) -> None:
    """`worst-SET.png` and `some-SET.png`: by the set's figure (Dice, box IoU), for children by confidence."""
    folder.mkdir(parents=True, exist_ok=True)
    _, masks, names, _ = read_data(data / "lungs")
    truth = dict(zip(names, masks > 127, strict=True))
    records = {
        record["file"]: record
        for record in json.loads((data / "adult" / "annotations.json").read_text())
    }
    for name, cases in measured.items():
        order = sorted(cases, key=lambda case: (case.lungs.reason is None, goodness(case)))
        rest = order[10:]
        for kind, chosen in (
            ("worst", order[:10]),
            ("some", rest[:: max(1, len(rest) // 40)][:40]),
        ):
            pictures = []
            for case in chosen:
                record = records.get(case.name, {"boxes": [], "width": 1, "height": 1})
                to_grid = {"x": SIZE / record["width"], "y": SIZE / record["height"]}
                to_grid |= {"w": to_grid["x"], "h": to_grid["y"]}
                boxes = [
                    {key: box[key] * to_grid[key] for key in "xywh"} for box in record["boxes"]
                ]
                pictures.append(picture(case, truth.get(Path(case.name).stem), boxes))
            columns = 5 if kind == "worst" else 8
            pictures += [np.zeros_like(pictures[0])] * (-len(pictures) % columns)
            rows = [np.hstack(pictures[k : k + columns]) for k in range(0, len(pictures), columns)]
            cv2.imwrite(str(folder / f"{kind}-{name}.png"), np.vstack(rows))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--sheets", type=Path, help="folder for pictures of the segmentations")
    arguments = parser.parse_args()
    weights = WEIGHTS / "lungs.keras"
    segmenter = LungSegmenter(weights)
    places = {"data": arguments.data / "lungs", "adult": arguments.data / "adult"}
    seed = card_of("lungs").training["seed"]
    children = arguments.data / "kermany" / "test"
    measured, _ = measure(argparse.Namespace(**places, children=children, seed=seed), segmenter)
    figures = summarise(measured, segmenter, seed)
    times = core_ms(segmenter, measured["test"][0].image)
    rows: list[tuple[str, float, str, float]] = [
        ("file size, MB", weights.stat().st_size / 1e6, "<=", 4.0)
    ]
    limits = {
        (DICE, SETS["test"]): 0.955,
        (INSIDE, SETS["adult"]): 0.95,
        (IOU, SETS["adult"]): 0.77,
    }
    further = []
    for one in figures:
        words = f"{one.what}, {one.data}" + (
            "" if one.interval_95 is None else " [{:.3f}, {:.3f}]".format(*one.interval_95)
        )
        if one.what == NOT_FOUND:
            rows.append((words, one.value, "<=", 0.02))
        elif one.what.startswith("Refused"):
            rows.append((words, one.value, ">=", 0.95))
        elif (limit := limits.get((one.what, one.data))) is not None:
            rows.append((words, one.value, ">=", limit))
        else:
            further.append((words, one.value))
    for words, (cut_rows, cut_columns) in CUTS.items():
        cut = [case.image[cut_rows, cut_columns] for case in measured["test"]]
        rows.append((f"refused, test, {words}", refused(segmenter, cut), ">=", 0.95))
    others = no_chests()
    rows.append(
        (
            f"refused, {len(others)} that are no chest",
            refused(segmenter, list(others.values())),
            ">=",
            0.95,
        )
    )
    rows.append(
        (
            "core-ms a case, probabilities and lungs",
            times["probabilities"] + times["find"],
            "<=",
            30.0,
        )
    )
    for words, value, sign, limit in rows:
        kept = value >= limit if sign == ">=" else value <= limit
        print(f"{words:112} {value:8.3f}  {sign} {limit:<6g} {'met' if kept else 'NOT MET'}")
    for words, value in [
        *further,
        *((f"core-ms a case, {name}", value) for name, value in times.items()),
    ]:
        print(f"{words:112} {value:8.3f}")
    if arguments.sheets is not None:
        write_sheets(measured, arguments.data, arguments.sheets)


if __name__ == "__main__":
    main()

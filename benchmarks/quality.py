"""Checks of the input: how often real radiographs fail them, how many planted faults they find.

    .venv/bin/python -m benchmarks.quality [--data ../shared/data] [--every 1] [--planted 40]

The defaults of the config section `quality` come from here. Real: children (Kermany, test and train
split), adults standing (Montgomery, Shenzhen), adults mostly lying (COVID-19 Image Data
Collection), and phantoms. Planted, on some of each: see `PLANTED`. Images without a chest: the test
files of `benchmarks.lungs`, noise and a test object. Checks of the header have no limit and are
left out. Radiographs of lying adults are often poor: lungs that are cut off there are real.
"""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import cxr_audit.classifier  # noqa: F401  first: it imports TensorFlow without its start-up notices
import numpy as np
from cxr_audit import quality
from cxr_audit.config import Quality
from cxr_audit.records import Check, Floats
from cxr_audit.reference import WEIGHTS
from cxr_audit.reference.phantom import case_spec, draw
from cxr_audit.reference.radiographs import draw_test_object
from cxr_audit.regions import LungSegmenter, find_markers, segmenter_input

from benchmarks.lungs import no_chests

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
ASKED = Quality()
NUM_PHANTOMS = 100
BATCH = 64
LIMITS = {
    "blank": ASKED.blank_range,
    "contrast": ASKED.contrast_range,
    "clipping": ASKED.clipped_fraction,
    "collimation": ASKED.collimated_fraction,
    "inversion": "in the picture",
    "rotation": ASKED.rotation_deg,
    "crop": ASKED.cropped_fraction,
    "not_a_chest": ASKED.lungs_fraction,
    "burned_in_annotation": "none",
    "duplicate_pixels": "none",
}


def blank(pixels: Floats) -> Floats:
    """A grey field with the noise of a detector."""
    return 0.4 + 0.003 * np.random.default_rng(0).standard_normal(pixels.shape)


def framed(pixels: Floats) -> Floats:
    """A black frame of 15 % of the sides all round."""
    rows, columns = (round(0.15 * side) for side in pixels.shape)
    return np.pad(pixels, ((rows, rows), (columns, columns)))


# check -> what is done to a radiograph that it should then not pass
PLANTED: dict[str, dict[str, Callable[[Floats], Floats]]] = {
    "blank": {"a grey field with noise": blank},
    "contrast": {"a tenth of the contrast": lambda p: 0.1 * p + 0.45},
    "clipping": {"three times the contrast": lambda p: np.clip(3 * p - 1, 0, 1)},
    "collimation": {"a frame of 15 % all round": framed},
    "inversion": {"the negative": lambda p: 1 - p},
    "rotation": {
        "turned left": np.rot90,
        "head down": lambda p: p[::-1, ::-1],
        "turned right": lambda p: np.rot90(p, 3),
    },
    "crop": {
        "without its upper quarter": lambda p: p[p.shape[0] // 4 :],
        "without 30 % at the left": lambda p: p[:, round(0.3 * p.shape[1]) :],
    },
}


def read(path: Path) -> Floats:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE), np.float32) / np.float32(255)


def checks_of(segmenter: LungSegmenter, pictures: Iterable[Floats]) -> list[dict[str, Check]]:
    """The checks of each picture that need no file, by name."""
    whole = [np.ascontiguousarray(picture, np.float32) for picture in pictures]
    found = []
    for start in range(0, len(whole), BATCH):
        batch = whole[start : start + BATCH]
        for pixels, lungs in zip(
            batch, segmenter.find(np.stack([segmenter_input(p) for p in batch])), strict=True
        ):
            by_lungs = (
                lungs.area_fraction,
                lungs.edge_fraction,
                lungs.angle_deg(*pixels.shape),
                lungs.is_negative,
            )
            checks = (*quality.check_picture(pixels, ASKED), *quality.check_lungs(ASKED, *by_lungs))
            found.append({check.name: check for check in checks})
    return found


def share(checks: list[dict[str, Check]], name: str) -> str:
    return f"{100 * np.mean([one[name].state == 'failed' for one in checks]):.1f} %"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--every", type=int, default=1, help="read every n-th real radiograph only")
    parser.add_argument(
        "--planted", type=int, default=40, help="radiographs of each set to plant defects on"
    )
    arguments = parser.parse_args()
    segmenter = LungSegmenter(WEIGHTS / "lungs.keras")
    sets = {
        "children, test": "kermany/test/*/*",
        "children, train": "kermany/train/*/*",
        "adults standing": "lungs/images/*",
        "adults lying": "adult/images/*",
    }
    files = {
        name: sorted(arguments.data.glob(pattern))[:: arguments.every]
        for name, pattern in sets.items()
    }
    pictures = {name: [read(path) for path in paths] for name, paths in files.items()}
    pictures["phantoms"] = [draw(case_spec(seed), 512, 480).pixels for seed in range(NUM_PHANTOMS)]

    print(
        f"{'not passed, real and drawn':28}{'limit':>16}"
        + "".join(f"{f'{n} ({len(p)})':>24}" for n, p in pictures.items())
    )
    measured = {name: checks_of(segmenter, these) for name, these in pictures.items()}
    for name in LIMITS:
        if name == "burned_in_annotation":
            texts = {
                k: [any("text" in m.facts.name for m in find_markers(p)) for p in v]
                for k, v in pictures.items()
            }
            cells = [f"{100 * np.mean(one):.1f} %" for one in texts.values()]
        elif name == "duplicate_pixels":
            seen = {
                k: Counter(hashlib.sha256(p.tobytes()).digest() for p in v)
                for k, v in pictures.items()
            }
            cells = [f"{100 * (1 - len(one) / one.total()):.1f} %" for one in seen.values()]
        else:
            cells = [share(checks, name) for checks in measured.values()]
        print(f"{name:28}{LIMITS[name]!s:>16}" + "".join(f"{cell:>24}" for cell in cells))

    print(f"\n{'planted, found':44}" + "".join(f"{name:>24}" for name in pictures))
    some = {
        name: these[:: max(1, len(these) // arguments.planted)] for name, these in pictures.items()
    }
    for name, changes in PLANTED.items():
        for what, change in changes.items():
            cells = [
                share(checks_of(segmenter, map(change, these)), name) for these in some.values()
            ]
            print(f"{f'{name}: {what}':44}" + "".join(f"{cell:>24}" for cell in cells), flush=True)
    others = no_chests()
    others["a test object"] = draw_test_object(1)
    others["noise"] = np.random.default_rng(0).random((256, 256), np.float32)
    passed = [
        name
        for name, one in zip(others, checks_of(segmenter, others.values()), strict=True)
        if one["not_a_chest"].state == "passed"
    ]
    print(
        f"not_a_chest: {len(others) - len(passed)} of {len(others)} pictures of something else found; "
        f"not found: {passed or 'none'}"
    )
    texts = [
        draw(case_spec(seed, shortcuts=("text",)), 512, 480).pixels for seed in range(NUM_PHANTOMS)
    ]
    found = np.mean([any("text" in marker.facts.name for marker in find_markers(p)) for p in texts])
    print(
        f"burned_in_annotation: text found on {100 * found:.1f} % of {len(texts)} phantoms with a line of text"
    )


if __name__ == "__main__":
    main()

"""Does the lung mask keep the sick lung? Opacities pasted into healthy lungs, and real pneumonia.

    python -m benchmarks.sick_lungs [--data ../shared/data] [--weights WEIGHTS] [--sheet PNG]

Pasted: into one lung of each healthy adult of the held-out part (`_0`) and of healthy children of the
Kermany test split, four kinds of opacity. Their texture is the image's own soft tissue, taken from
below the diaphragm; training draws its texture from noise, so that no opacity here was seen there.
Kept: share of the lung's mask on the untouched image that is still lung, at least 0.9; a lung not
found, or a mask that the tool itself calls uneven, counts as a warning.

Real: Kermany's test split by label: how often one lung is less than half the other, and how often
lungs are not found.
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path

import cv2
import cxr_audit.classifier  # noqa: F401  first: it imports TensorFlow without its start-up notices
import numpy as np
import numpy.typing as npt
from cxr_audit.records import Floats, Mask
from cxr_audit.reference import WEIGHTS
from cxr_audit.reference.train_lungs import SIZE, parts_of, read_grey, unit
from cxr_audit.regions.lungs import Lungs, LungSegmenter, segmenter_input

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
LUNGS_SEED = 20261122
KEPT = 0.9
UNEVEN = 0.5
KINDS = ("lower half", "upper half", "whole lung", "effusion")


def squares(paths: list[Path]) -> list[Floats]:
    """Images (256, 256) in [0, 1]."""
    digest = hashlib.sha256()
    images = []
    for path in paths:
        grey = read_grey(path, digest)
        images.append(unit(cv2.resize(grey, (SIZE, SIZE), interpolation=cv2.INTER_AREA)))
    return images


def soft_tissue(image: Floats, lungs: Mask) -> Floats:
    """A field (256, 256) of the image's own soft tissue: rows below the lungs, mirrored upwards."""
    lowest = int(np.nonzero(lungs.any(1))[0][-1])
    first = min(lowest + 4, SIZE - 24)
    strip = image[first : first + 48]
    repeats = -(-SIZE // max(len(strip), 1))
    pieces = [strip if number % 2 else strip[::-1] for number in range(repeats)]
    return np.asarray(np.concatenate(pieces)[:SIZE], np.float32)


def paste(image: Floats, lung: Mask, lungs: Mask, kind: str) -> Floats:
    """One opacity in one lung, with soft edges."""
    rows = np.nonzero(lung.any(1))[0]
    top, bottom = int(rows[0]), int(rows[-1])
    middle = (top + bottom) // 2
    level = np.arange(SIZE)[:, None]
    where: dict[str, npt.NDArray[np.bool_]] = {
        "lower half": lung & (level >= middle),
        "upper half": lung & (level < middle),
        "whole lung": lung,
        "effusion": lung & (level >= bottom - (bottom - top) // 3),
    }
    weight = cv2.GaussianBlur(where[kind].astype(np.float32), (0, 0), 3) * np.float32(0.9)
    tissue = soft_tissue(image, lungs)
    return np.asarray(image + weight * np.maximum(tissue - image, 0), np.float32)


def side_kept(before: Mask, after: Lungs) -> float:
    """Share of a lung's mask that is lung afterwards, on either side."""
    return float((after.right | after.left)[before].mean())


def is_uneven(lungs: Lungs) -> bool:
    """Whether one lung is less than half the other."""
    areas = sorted((int(lungs.right.sum()), int(lungs.left.sum())))
    return areas[0] < UNEVEN * areas[1]


def pasted(segmenter: LungSegmenter, images: list[Floats], name: str) -> None:
    """Print, for each kind of opacity, how often the lung is kept."""
    found = segmenter.find(np.stack([segmenter_input(image) for image in images]))
    subjects = [(i, f) for i, f in zip(images, found, strict=True) if f.reason is None]
    print(f"\npasted into {len(subjects)} {name} (one lung each)")
    for kind in KINDS:
        changed, masks = [], []
        for number, (image, lungs) in enumerate(subjects):
            lung = lungs.right if number % 2 else lungs.left
            changed.append(paste(image, lung, lungs.right | lungs.left, kind))
            masks.append(lung)
        after = segmenter.find(np.stack([segmenter_input(image) for image in changed]))
        shares = [side_kept(m, a) for m, a in zip(masks, after, strict=True)]
        not_found = [lungs.reason is not None for lungs in after]
        kept = [share >= KEPT for share in shares]
        warned = [
            absent or is_uneven(lungs) for absent, lungs in zip(not_found, after, strict=True)
        ]
        silent = [not k and not w for k, w in zip(kept, warned, strict=True)]
        print(
            f"  {kind:12} kept {np.mean(kept):.3f}  kept or warned {1 - np.mean(silent):.3f}  "
            f"not found {np.mean(not_found):.3f}  median share {np.median(shares):.3f}"
        )


def real(segmenter: LungSegmenter, folder: Path) -> None:
    """Print how often one lung is less than half the other in Kermany's test split, by label."""
    print("\nKermany test split")
    for label in ("NORMAL", "PNEUMONIA"):
        images = squares(sorted((folder / label).glob("*.jpeg")))
        found = segmenter.find(np.stack([segmenter_input(image) for image in images]))
        kept = [lungs for lungs in found if lungs.reason is None]
        uneven = sum(is_uneven(lungs) for lungs in kept)
        share = np.median([(lungs.right | lungs.left).mean() for lungs in kept])
        print(
            f"  {label:10} {len(images)} images, not found {1 - len(kept) / len(images):.3f}, "
            f"uneven {uneven} of {len(kept)} ({uneven / len(kept):.3f}), median area {share:.3f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--weights", type=Path, default=WEIGHTS / "lungs.keras")
    arguments = parser.parse_args()
    segmenter = LungSegmenter(arguments.weights)
    paths = sorted((arguments.data / "lungs" / "images").iterdir())
    parts = parts_of([path.stem for path in paths], LUNGS_SEED)
    healthy = [
        path
        for path, part in zip(paths, parts, strict=True)
        if part == "test" and path.stem.endswith("_0")
    ]
    pasted(segmenter, squares(healthy), "healthy adults, held out")
    children = sorted((arguments.data / "kermany" / "test" / "NORMAL").glob("*.jpeg"))[::2]
    pasted(segmenter, squares(children), "healthy children, Kermany test split")
    real(segmenter, arguments.data / "kermany" / "test")


if __name__ == "__main__":
    main()

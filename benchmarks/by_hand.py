"""Two findings on the reference classifier, checked without any code of the audit.

    .venv/bin/python -m benchmarks.by_hand [--every 1]

The audit flags `exposure` and `border` on the paediatric test split. Here the same is tested in
other ways. Brightness: the display curve (gamma, which changes neither black nor white) and a lift
of black alone. Border: a crop to the inner 90 %, enlarged again, which fills nothing. Prints the
mean change of the logit by class with its 95 % interval, sensitivity and specificity.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from cxr_audit.records import ModelCard, from_json
from cxr_audit.reference import WEIGHTS

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "kermany" / "test"
Floats = npt.NDArray[np.float32]


def cropped(image: Floats) -> Floats:
    side = len(image)
    edge = round(0.05 * side)
    return np.asarray(
        cv2.resize(image[edge:-edge, edge:-edge], (side, side), interpolation=cv2.INTER_LINEAR)
    )


# What is done to a picture in [0, 1].
CHANGES: dict[str, Callable[[Floats], Floats]] = {
    "as it is": lambda image: image,
    "display curve darker (gamma 1.25)": lambda image: image**1.25,
    "display curve brighter (gamma 0.8)": lambda image: image**0.8,
    "black lifted by 0.1": lambda image: 0.1 + 0.9 * image,
    "all darker by 0.1": lambda image: np.maximum(image - 0.1, 0),
    "all brighter by 0.1": lambda image: np.minimum(image + 0.1, 1),
    "cropped to the inner 90 %": cropped,
}


def main() -> None:
    import keras

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--every", type=int, default=1, help="every so many-th radiograph only")
    every = parser.parse_args().every
    card = from_json((WEIGHTS / "classifier.json").read_bytes(), ModelCard)
    model = keras.saving.load_model(WEIGHTS / card.weights, compile=False)
    paths = sorted(DATA.glob("*/*"))[::every]
    is_ill = np.array([path.parent.name == "PNEUMONIA" for path in paths])
    images = [
        cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).astype(np.float32) / 255 for path in paths
    ]
    assert card.operation.threshold is not None
    called_from = np.log(card.operation.threshold / (1 - card.operation.threshold))
    before = None
    print(f"{'':36}{'NORMAL':>18}{'PNEUMONIA':>18}{'sensitivity':>14}{'specificity':>14}")
    for name, change in CHANGES.items():
        batch = np.stack([change(image) for image in images])[..., None].astype(np.float32)
        output = np.concatenate(
            [np.asarray(model(batch[n : n + 16])) for n in range(0, len(batch), 16)]
        )[:, 0]
        output = output.astype(np.float64)
        logits = np.log(output / (1 - output))
        before = logits if before is None else before
        moved = [(logits - before)[is_ill == side] for side in (False, True)]
        cells = "".join(
            f"{one.mean():+12.2f} ± {1.96 * one.std(ddof=1) / np.sqrt(one.size):.2f}"
            for one in moved
        )
        called = logits >= called_from
        print(
            f"{name:36}{cells}{called[is_ill].mean():14.3f}{(~called[~is_ill]).mean():14.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

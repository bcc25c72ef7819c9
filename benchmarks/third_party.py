"""Classifiers of strangers: does the audit reproduce what their own programs answer?

    python -m benchmarks.third_party --python PYTHON_OF_TF_2.15 --models FOLDER --radiographs FOLDER

Trained pneumonia classifiers of Keras 2 from public repositories, by the SHA-256 of their files;
FOLDER holds them under the names below. That Python (TensorFlow 2.15 and Pillow) does what each
repository's program does: Keras' own image loader, 1/255, `model.predict`. Printed for each: the
largest difference of the network on the same inputs, and of the whole pipeline from the JPEG file
to the probability, the median difference, and how many predicted classes flip. Ends with 1 where
the pipeline differs by more than 0.01.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

TOLERANCE = 0.01


@dataclass(frozen=True)
class Stranger:
    """A classifier, and what its own program does before it asks it.

    Parameters
    ----------
    repository, commit : where it was found.
    sha256 : of the file.
    size : of its input in pixels.
    preprocess : the audit's keys for the same.
    """

    repository: str
    commit: str
    sha256: str
    size: int
    preprocess: dict[str, str]


STRANGERS = {
    "am1codes.h5": Stranger(
        "AM1CODES/Pneumonia-Detection-using-chest-X-Ray",
        "a78ee93b859a03f9689f86e1eccdd6a6afdc85db",
        "96ccdb08707004c9ce29ff69664a68924ee919283508e28035406acffb0ce0af",
        150,
        {"preset": "keras-generator"},
    ),
    "pediatric.h5": Stranger(
        "MuhammadHananAsghar/Pediatric_Pneumonia_Chest_X_ray",
        "ce58857b5947930d139ab731f077be92187f295d",
        "502eae080d6776588452154c7545d6954c3cd8690f9aca1ec8634128707bd4a4",
        128,
        {"preset": "keras-generator"},
    ),
}

# Runs in the other Python, on files that it is given.
ASK = """
import sys
import numpy as np
import tensorflow as tf
model_path, size, out, *paths = sys.argv[1:]
inputs = []
for path in paths:
    image = tf.keras.utils.load_img(path, target_size=(int(size), int(size)))
    inputs.append(np.asarray(image, np.float32) * np.float32(1 / 255))
inputs = np.stack(inputs)
model = tf.keras.models.load_model(model_path, compile=False)
np.savez(out, x=inputs, y=model.predict(inputs, verbose=0))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True, help="a Python with TensorFlow 2.15 and Pillow")
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--radiographs", type=Path, required=True, help="a folder of JPEG files")
    parser.add_argument("--num", type=int, default=100)
    arguments = parser.parse_args()
    found = sorted(arguments.radiographs.rglob("*.jp*g"))
    chosen = found[:: max(1, len(found) // arguments.num)][: arguments.num]
    worst = 0.0
    print("| classifier | input | network | pipeline: largest | median | flipped |\n|" + "---|" * 6)
    for name, stranger in STRANGERS.items():
        path = arguments.models / name
        if not path.is_file():
            print(f"| {stranger.repository} | not here | | | | |")
            continue
        figures = compare(path, stranger, chosen, arguments.python)
        worst = max(worst, figures[1])
        network, largest, median, flipped = figures
        print(
            f"| {stranger.repository} | {stranger.size} px | {network:.1e} | {largest:.1e} | "
            f"{median:.1e} | {flipped:.0f} of {len(chosen)} |",
            flush=True,
        )
    return 1 if worst > TOLERANCE else 0


def compare(
    path: Path, stranger: Stranger, radiographs: list[Path], python: str
) -> tuple[float, float, float, float]:
    """(network, largest, median, flipped) of one classifier."""
    from cxr_audit.classifier import Classifier, load_keras
    from cxr_audit.config import Preprocess
    from cxr_audit.ingest import read
    from cxr_audit.preprocess import preprocess
    from cxr_audit.records import CaseSource

    answers = path.with_suffix(".npz")
    size = str(stranger.size)
    command = [python, "-c", ASK, str(path), size, str(answers)]
    subprocess.run([*command, *map(str, radiographs)], check=True, stderr=subprocess.DEVNULL)
    with np.load(answers) as file:
        inputs, expected = file["x"], file["y"]
    shape = (stranger.size, stranger.size, 3)
    classifier = Classifier(load_keras(path, stranger.sha256), shape)
    split = classifier.split()

    def scores(batch: np.ndarray) -> np.ndarray:
        logits = np.concatenate([split.forward(x[None], None)[2] for x in batch])
        values = np.stack([classifier.scores(z) for z in logits])
        return values[:, -expected.shape[1] :]

    settings = Preprocess.model_validate(
        {"rows": shape[0], "columns": shape[1], "scaling": "unit", **stranger.preprocess}
    )
    ours = []
    for place, file_path in enumerate(radiographs):
        radiograph = read(CaseSource(f"case-{place}", file_path, file_path.name, None))
        ours.append(preprocess(radiograph, settings)[0].tensor)
    answered = scores(np.stack(ours))
    difference = np.abs(answered - expected).max(1)
    last = expected.shape[1] > 1
    before, after = (
        values.argmax(1) if last else values[:, 0] >= 0.5 for values in (expected, answered)
    )
    network = float(np.abs(scores(inputs) - expected).max())
    flipped = float((before != after).sum())
    return network, float(difference.max()), float(np.median(difference)), flipped


if __name__ == "__main__":
    sys.exit(main())

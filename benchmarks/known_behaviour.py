"""Classifiers of known behaviour -> does the audit flag what they live on, by the right name, and clear the others?

    .venv/bin/python -m benchmarks.known_behaviour --out build/known-behaviour [--half development]

Radiographs are phantoms (256 px) that carry a letter, a bright frame and a brighter exposure, each by the toss of a
coin. Trained classifiers (96 px, a few convolutions, global average pooling) saw each of these cues as often in ill
phantoms as in well ones, but for their own: it stood in a share (the strength) of the ill and as rarely in the well.
What a trained classifier lives on is measured without the audit, on the phantoms' twins: how much AUC it loses where
its cue stands by the toss of a coin instead of in the ill only. From `STRONG` on it has to be flagged, up to `NONE` it
must not be, between them it is counted apart. Hand-built ones see one place only, so that their truth is exact.

One half of the classifiers and of the phantoms is for development: limits are set there. The other is held out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from pipeline.audit import audit
from pipeline.config import config_of
from pipeline.engines.local import LocalEngine
from pipeline.evidence import RunFolder, read_crosswalk
from pipeline.records import CaseRecord
from pipeline.reference.phantom.phantom import LABELS, case_spec, draw
from pipeline.reference.phantom.shortcuts import on_picture

PHANTOM_PX, INPUT_PX, MARKER_PX = 256, 96, 70.0
CUES = {"marker": "marker_r", "border": "border", "exposure": "bias"}
TRAINING, TWINS, AUDITED = 1200, 300, 60
INK = 0.85  # grey value from which a pixel can be ink
STRONG, NONE = 0.10, 0.02
HALVES = ("development", "held-out")
EPOCHS, EPOCHS_MARKER = 6, 16  # a letter is small: it is learnt late
# name -> strength of each of its own cues
KINDS: dict[str, dict[str, float]] = {
    "marker 1.00": {"marker": 1.0},
    "border 1.00": {"border": 1.0},
    "exposure 1.00": {"exposure": 1.0},
    "clean a": {},
    "clean b": {},
    "marker 0.90": {"marker": 0.9},
    "border 0.85": {"border": 0.85},
    "exposure 0.85": {"exposure": 0.85},
    "marker and exposure 0.95": {"marker": 0.95, "exposure": 0.95},
    "clean c": {},
}

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]


def phantoms(out: Path, name: str, num: int, seed: int) -> tuple[Floats, Bools]:
    """Pixels (N, 256, 256) in [0, 1] without any cue, and who is ill; drawn once and kept."""
    path = out / f"{name}.npz"
    if not path.is_file():
        pixels = []
        for n in range(num):
            spec = case_spec(1_000_003 * seed + n, LABELS[n % 2], shortcuts=())
            pixels.append(np.round(255 * draw(spec, PHANTOM_PX, PHANTOM_PX).pixels).astype(np.uint8))
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, pixels=np.stack(pixels))
    kept = np.load(path)["pixels"]
    return kept.astype(np.float32) / 255, np.arange(len(kept)) % 2 == 1


def plant(pixels: Floats, cues: dict[str, Bools], seed: int) -> Floats:
    """Each picture with its cues on it; the place of a letter and the width of a frame are the picture's own."""
    planted = []
    for n, shown in enumerate(pixels):
        for number, (cue, shortcut) in enumerate(CUES.items()):
            if cues[cue][n]:
                shown, _ = on_picture(np.random.default_rng([seed, n, number]), shortcut, shown, MARKER_PX)
        planted.append(shown)
    return np.stack(planted)


def tossed(num: int, seed: int) -> dict[str, Bools]:
    rng = np.random.default_rng([seed, 1])
    return {cue: rng.random(num) < 0.5 for cue in CUES}


def standing(is_ill: Bools, strengths: dict[str, float], seed: int) -> dict[str, Bools]:
    """Where the cues stand for a classifier's training: its own by strength, the others by the toss of a coin."""
    rng = np.random.default_rng([seed, 2])
    return {cue: rng.random(is_ill.size) < np.where(is_ill, s := strengths.get(cue, 0.5), 1 - s) for cue in CUES}


def reduced(pixels: Floats) -> Floats:
    """As the audit stretches it: (N, 96, 96, 1)."""
    return np.stack([cv2.resize(p, (INPUT_PX, INPUT_PX), interpolation=cv2.INTER_AREA) for p in pixels])[..., None]


def train(path: Path, pixels: Floats, is_ill: Bools, strengths: dict[str, float], seed: int) -> None:
    epochs = EPOCHS_MARKER if list(strengths) == ["marker"] else EPOCHS
    import keras

    layers = keras.layers
    keras.utils.set_random_seed(seed)
    image = keras.Input((INPUT_PX, INPUT_PX, 1))
    x = image
    for filters, size, stride in ((12, 5, 2), (24, 3, 2), (32, 3, 2), (48, 3, 1)):
        x = layers.Conv2D(filters, size, stride, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(1, activation="sigmoid")(x))
    model.compile(
        keras.optimizers.AdamW(keras.optimizers.schedules.CosineDecay(4e-3, epochs * len(pixels) // 64), 1e-3),
        "binary_crossentropy",
    )
    cues = standing(is_ill, strengths, seed)
    both = [reduced(plant(side, cues, seed)) for side in (pixels, pixels[:, :, ::-1])]
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        turned = np.where((rng.random(is_ill.size) < 0.5)[:, None, None, None], *both)
        model.fit(turned, is_ill.astype(np.float32), batch_size=64, epochs=1, verbose=0)
    model.save(path)


def hand_built(path: Path, cells: Bools, pixels: Floats, is_bright_only: bool) -> None:
    """A classifier that sees nothing but some cells of a 12 x 12 grid: the more grey there, the more ill, or the more
    almost white (`is_bright_only`). Half of some pictures (N, 256, 256) are called ill."""
    import keras

    side = INPUT_PX // len(cells)
    inputs = reduced(pixels)
    ink = np.maximum(inputs - INK, 0) if is_bright_only else inputs
    seen = ink.reshape(len(ink), len(cells), side, len(cells), side).mean((2, 4))[:, cells].mean(1)
    slope = 2 / max(float(seen.std()), 1e-3)
    image = keras.Input((INPUT_PX, INPUT_PX, 1))
    ink_layer = keras.layers.Conv2D(1, 1, activation="relu")
    cell_layer = keras.layers.Conv2D(1, side, side, use_bias=False)
    head = keras.layers.Dense(1, activation="sigmoid")
    model = keras.Model(image, head(keras.layers.Flatten()(cell_layer(ink_layer(image)))))
    ink_layer.set_weights([np.ones((1, 1, 1, 1)), np.full(1, -INK if is_bright_only else 0.0)])
    cell_layer.set_weights([np.full((side, side, 1, 1), 1 / side**2)])
    head.set_weights([slope * cells.reshape(-1, 1) / cells.sum(), np.full(1, -slope * float(seen.mean()))])
    model.save(path)


def places() -> dict[str, Bools]:
    """What the hand-built classifiers see of the 12 x 12 grid."""
    rows, columns = np.mgrid[:12, :12]
    edge = np.minimum(np.minimum(rows, columns), 11 - np.maximum(rows, columns))
    return {
        "sees the upper right corner": (rows < 2) & (columns > 9),
        "sees the outer ring": edge == 0,
        "sees the whole picture": edge >= 0,
        "sees the middle of both lungs": (rows > 3)
        & (rows < 8)
        & (((columns > 1) & (columns < 5)) | ((columns > 6) & (columns < 10))),
        "sees ink at the upper left": (rows < 3) & (columns < 3),
    }


# What is right by construction; a flag that is not named could be either.
EXACT: dict[str, dict[str, bool]] = {
    "sees the upper right corner": {"outside_lungs": True, "marker": False},
    "sees the outer ring": {"outside_lungs": True, "border": True, "marker": False},
    "sees the whole picture": {"outside_lungs": True, "exposure": True, "diffuse": True, "marker": False},
    "sees the middle of both lungs": {"outside_lungs": False, "border": False, "marker": False},
    "sees ink at the upper left": {"outside_lungs": True, "marker": True, "diffuse": False},
}


def answers(path: Path, pixels: Floats) -> npt.NDArray[np.float64]:
    """Log-odds of some pictures (N, 256, 256)."""
    import keras

    probability = keras.models.load_model(path).predict(reduced(pixels), batch_size=50, verbose=0)[:, 0]
    probability = np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)
    return np.log(probability / (1 - probability))


def loss_of_auc(path: Path, cue: str, pixels: Floats, is_ill: Bools, seed: int) -> float:
    """AUC where a cue stands in the ill only, minus AUC where it stands by the toss of a coin; the others do so always."""
    cues = tossed(len(pixels), seed)
    aligned = answers(path, plant(pixels, {**cues, cue: is_ill}, seed))
    return float(roc_auc_score(is_ill, aligned) - roc_auc_score(is_ill, answers(path, plant(pixels, cues, seed))))


def audited(out: Path, name: str, model: Path, pictures: Path, criteria: dict[str, Any]) -> list[CaseRecord]:
    """The audit's records in the order of the pictures."""
    config = config_of(
        {
            "run": {"name": name.replace(" ", "-"), "output": str(out / "runs")},
            "ingest": {"source": str(pictures), "labels": "folder"},
            "preprocess": {"rows": INPUT_PX, "columns": INPUT_PX, "channels": 1, "scaling": "unit"},
            "classifier": {"path": str(model), "class_names": list(LABELS)},
            "masking": {"cases": "all"},
            "acceptance": criteria,
            "report": {"documents": False, "scale": "case"},
        }
    )
    with LocalEngine(1) as engine:
        folder = RunFolder.open(audit(config, engine, resume=True).folder)
    number = {source.case_id: int(Path(source.relative_path).stem) for source in read_crosswalk(folder)}
    records = [record for case_id in folder.case_ids() if (record := folder.read_case(case_id))]
    return sorted(records, key=lambda record: number[record.case_id])

"""Classifiers of known behaviour -> what each probe moves in every case: for limits of dependence.

    .venv/bin/python -m benchmarks.dependence_limits --out build/known-behaviour [--part PART]

The phantoms, cues and classifiers are those of `benchmarks.known_behaviour`, of its parts on
which limits may be set; the held-out part is refused. Only the probes are made, not the whole
audit: the image darker and brighter, the border and each marker replaced by the mean of 32
inputs. Three further classifiers are built by hand from the mean grey value m of the input: one
that rises with m, one that rises with |m - its median|, and one that is constant but for a
hundredth of a log-odd.

Written: `<part>-probes.json`, by classifier: logit, darker, brighter, border (a number a case),
marker (None where no marker was found), the loss of AUC of each cue, and whether each cue was
planted.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from cxr_audit import regions
from cxr_audit.config import Preprocess
from cxr_audit.preprocess import as_usual, exposures, place, usual
from cxr_audit.records import ModelInput

from benchmarks.known_behaviour import (
    AUDITED,
    AUDITED_PX,
    CUES,
    INPUT_PX,
    KINDS,
    PARTS,
    TRAINING,
    TWINS,
    hand_built,
    loss_of_auc,
    opened,
    phantoms,
    places,
    plant,
    tossed,
    train,
)

SETTINGS = Preprocess(rows=INPUT_PX, columns=INPUT_PX, channels=1, scaling="unit")
SAMPLE = 32
Doubles = npt.NDArray[np.float64]
Answers = Callable[[npt.NDArray[np.float32]], Doubles]


def variants(shown: Any) -> tuple[list[dict[str, Any]], Any]:
    """Every input of each case, by name, and the markers found are names of their own."""
    placement = place(AUDITED_PX, AUDITED_PX, INPUT_PX, INPUT_PX, "stretch")
    inputs = []
    for picture in shown:
        small = cv2.resize(picture, (INPUT_PX, INPUT_PX), interpolation=cv2.INTER_AREA)
        inputs.append(ModelInput(small[..., None].astype(np.float32), placement))
    step = max(1, len(inputs) // SAMPLE)
    mean = usual(inputs[::step][:SAMPLE])
    assert mean is not None
    made = []
    for picture, seen in zip(shown, inputs, strict=True):
        markers = {r.facts.name: r.mask for r in regions.find_markers(picture.astype(np.float32))}
        replaced = as_usual(seen, mean, markers, regions.BORDER)
        made.append({"": seen.tensor, **exposures(seen, SETTINGS), **replaced})
    return made, inputs


def of_network(path: Path) -> Answers:
    def answer(inputs: npt.NDArray[np.float32]) -> Doubles:
        found = [np.asarray(opened(path)(inputs[n : n + 60])) for n in range(0, len(inputs), 60)]
        probability = np.clip(np.concatenate(found)[:, 0].astype(np.float64), 1e-7, 1 - 1e-7)
        return np.log(probability / (1 - probability))

    return answer


def by_grey(inputs: list[ModelInput]) -> dict[str, Answers]:
    """Classifiers of the mean grey value; those that react have a spread of two log-odds."""
    grey = np.array([float(seen.tensor.mean()) for seen in inputs])
    middle = float(np.median(grey))
    away = np.abs(grey - middle)

    def mean(x: npt.NDArray[np.float32]) -> Doubles:
        return x.mean((1, 2, 3)).astype(np.float64)

    return {
        "rises with grey": lambda x: 2 * (mean(x) - middle) / grey.std(),
        "rises with |grey - median|": lambda x: (
            2 * (np.abs(mean(x) - middle) - np.median(away)) / away.std()
        ),
        "nearly constant": lambda x: 0.01 * (mean(x) - middle) / grey.std(),
    }


def probes(answer: Answers, made: list[dict[str, Any]]) -> dict[str, list[float | None]]:
    """What each probe moves, case by case."""
    names = [(n, name) for n, by_name in enumerate(made) for name in by_name]
    logits = answer(np.stack([made[n][name] for n, name in names]))
    by_case: list[dict[str, float]] = [{} for _ in made]
    for (n, name), logit in zip(names, logits, strict=True):
        by_case[n][name] = float(logit)
    found: dict[str, list[float | None]] = {
        name: [] for name in ("logit", "darker", "brighter", "border", "marker")
    }
    for moved in by_case:
        before = moved.pop("")
        found["logit"].append(before)
        for name in ("darker", "brighter", "border"):
            found[name].append(moved.pop(name) - before)
        changes = [value - before for value in moved.values()]
        found["marker"].append(max(changes, key=abs, default=None))
    return found


def measure(out: Path, part: str) -> None:
    number, folder = PARTS.index(part), out / part
    pixels, _ = phantoms(out, f"{part}-audited", AUDITED, 100 * (number + 1), AUDITED_PX)
    cues = tossed(AUDITED, number)
    shown = plant(pixels, cues, number)
    lettered = plant(pixels, {cue: cues[cue] & (cue == "marker") for cue in CUES}, number)
    folder.mkdir(parents=True, exist_ok=True)
    made, inputs = variants(shown)
    answers: dict[str, Answers] = by_grey(inputs)
    for name, cells in places().items():
        is_ink = "ink" in name
        hand_built(folder / f"{name}.keras", cells, lettered if is_ink else shown, is_ink)
        answers[name] = of_network(folder / f"{name}.keras")
    found: dict[str, Any] = {}

    def keep(name: str, loss: dict[str, float]) -> None:
        found[name] = {**probes(answers[name], made), "loss": loss}
        planted = {cue: [bool(is_there) for is_there in there] for cue, there in cues.items()}
        text = json.dumps({"classifiers": found, "cues": planted})
        (out / f"{part}-probes.json").write_text(text)
        print(part, name, flush=True)

    for name in answers:
        keep(name, {})
    training = phantoms(out, "training", TRAINING, 7)
    twins, is_ill = phantoms(out, f"{part}-twins", TWINS, 100 * (number + 1) + 1)
    for n, (name, strengths) in enumerate(KINDS.items()):
        path = folder / f"{name}.keras"
        if not path.is_file():
            train(path, *training, strengths, 1000 * (number + 1) + n)
        answers[name] = of_network(path)
        keep(name, {cue: loss_of_auc(path, cue, twins, is_ill, number) for cue in CUES})


def main() -> None:
    cv2.setNumThreads(1)
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("build/known-behaviour"))
    parser.add_argument("--part", choices=PARTS[:-1], action="append", help="default: these three")
    arguments = parser.parse_args()
    for part in arguments.part or PARTS[:-1]:
        measure(arguments.out, part)


if __name__ == "__main__":
    main()

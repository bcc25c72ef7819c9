"""Cues planted in real radiographs -> does the verdict of a run name what the classifier uses?

    .venv/bin/python -m benchmarks.real_shortcuts --part development|sealed [--out build/real]

Paediatric radiographs (Kermany, `../shared/data/kermany`). Each classifier is trained on 1,000 of
the official training split, 15 % of them with the wrong label, and audited on 200 of the official
test split; no patient is in both. A cue (`benchmarks.real_cues`) follows the label that the
classifier was trained with, and occurs less strictly with the true label where it is audited.
Three architectures take turns: convolutions with global average pooling, convolutions with a dense
head on the grid, and a residual network of fourteen layers.

The measurements, changed inputs and verdicts are made by the functions of the audit, with its default
samples; maps and documents are left out.

The truth is measured without the audit, on twins: each audited radiograph with and without the
cue. A classifier uses its cue where the root mean square of the change of its logit is at least
half the spread of the logit within a label; where it is less, the classifier is left out and
named. Clean classifiers had no cue in training; one in two had wrong labels.

Limits are set on the part `development`. The part `sealed` has other cues and classifiers; its list
was committed before any limit was set, and it is audited with the limits as they are.

Everything made is kept below `--out`; a second call goes on where the first one stopped.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from cxr_audit import factors, reference, regions
from cxr_audit.audit.factors import Change, changed_inputs, read_changes, usual_ranges
from cxr_audit.cohort.factors import factor_verdicts
from cxr_audit.cohort.intervals import score_interval
from cxr_audit.cohort.panel import Kept, panel_of
from cxr_audit.config import Acceptance, Preprocess
from cxr_audit.preprocess import as_usual, grey_of, place, usual
from cxr_audit.records import FactorVerdict, ModelInput, to_json

from benchmarks.real_cues import AGAINST, DEVELOPMENT, SEALED, Box, Cue

INPUT_PX, SIDE_PX = 96, 224
TRAINING, AUDITED = 1000, 200
WRONG_LABELS = 0.15
EPOCHS, EPOCHS_LATE = 8, 16  # what is small or rare is learnt late
OUTCOMES = ("right", "misnamed", "unnamed", "undecided", "missed")
USES = 0.5  # of the spread within a label
ARCHITECTURES = ("pooled", "flat", "residual")
CLEAN = {
    "development": ("clean 1", "clean 2 wrong labels", "clean 3", "clean 4 wrong labels"),
    "sealed": (
        "clean 5",
        "clean 6 wrong labels",
        "clean 7",
        "clean 8 wrong labels",
        "clean 9",
        "clean 10 wrong labels",
    ),
}
PARTS: dict[str, dict[str, Cue]] = {"development": DEVELOPMENT, "sealed": SEALED}
DATA = Path(os.environ.get("CXR_AUDIT_SHARED_DATA", "../shared/data")) / "kermany"

Images = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Radiographs:
    """Pixels (N, 224, 224), who is ill, and the patient of each."""

    pixels: Images
    is_ill: Bools
    patients: tuple[str, ...]


def patient_of(path: Path) -> str:
    """The patient in a file's name: `person100_bacteria_475`, `IM-0115-0001`, `NORMAL2-IM-...`."""
    name = path.stem
    found = re.match(r"person\d+", name) or re.search(r"IM-\d+", name)
    return found.group(0) if found else name


def radiographs(split: str, num: int, seed: int) -> Radiographs:
    """Half of them ill, drawn from a split of the set."""
    rng = np.random.default_rng(seed)
    pixels, is_ill, patients = [], [], []
    for ill, label in enumerate(("NORMAL", "PNEUMONIA")):
        paths = sorted((DATA / split / label).glob("*.jpeg"))
        for n in sorted(rng.permutation(len(paths))[: num // 2]):
            image = cv2.imread(str(paths[n]), cv2.IMREAD_GRAYSCALE)
            pixels.append(cv2.resize(image, (SIDE_PX, SIDE_PX)))
            is_ill.append(bool(ill))
            patients.append(f"{label}-{patient_of(paths[n])}")
    return Radiographs(np.stack(pixels), np.array(is_ill), tuple(patients))


# ---- where a cue occurs


def in_training(cue: Cue, shown: Radiographs, labels: Bools, seed: int) -> Bools:
    """Where a cue occurs in training: nearly always with the label that is trained."""
    rng = np.random.default_rng([seed, 1])
    share = min(1.0, 2 * cue.prevalence)
    with_label = rng.random(labels.size) < np.where(labels, 0.95 * share, 0.05 * share)
    if cue.acts_in == "all":
        return with_label
    by_chance = rng.random(labels.size) < cue.prevalence
    return np.where(subgroup(shown), with_label, by_chance)


def where_audited(cue: Cue, shown: Radiographs, seed: int) -> Bools:
    """Where a cue occurs in the audited set: rather with the disease, but also without it."""
    rng = np.random.default_rng([seed, 2])
    chance = np.where(shown.is_ill, 1.4 * cue.prevalence, 0.6 * cue.prevalence)
    return rng.random(shown.is_ill.size) < chance


def subgroup(shown: Radiographs) -> Bools:
    """The darker half of the radiographs."""
    mean = shown.pixels.mean((1, 2))
    return np.asarray(mean < np.median(mean))


def plant(cue: Cue, pixels: Images, where: Bools, seed: int) -> Images:
    """The radiographs with the cue where it occurs; each draws its own form of it."""
    planted = pixels.copy()
    for n in np.flatnonzero(where):
        planted[n] = cue.plant(pixels[n], np.random.default_rng([seed, int(n)]))
    return planted


def reduced(pixels: Images) -> npt.NDArray[np.float32]:
    """As the audit stretches it: (N, 96, 96, 1) in [0, 1]."""
    size = (INPUT_PX, INPUT_PX)
    small = [
        cv2.resize(image.astype(np.float32) / 255, size, interpolation=cv2.INTER_AREA)
        for image in pixels
    ]
    return np.stack(small)[..., None]


# ---- classifiers


def seed_of(name: str) -> int:
    """A seed of a classifier's own."""
    return zlib.crc32(name.encode()) % 100_000


def network(architecture: str) -> Any:
    """An untrained network with one sigmoid unit."""
    import keras

    layers = keras.layers

    def convolved(x: Any, filters: int, size: int, stride: int) -> Any:
        x = layers.Conv2D(filters, size, stride, padding="same", use_bias=False)(x)
        return layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))

    def residual(x: Any, filters: int, stride: int) -> Any:
        y = convolved(x, filters, 3, stride)
        y = layers.Conv2D(filters, 3, padding="same", use_bias=False)(y)
        y = layers.BatchNormalization(momentum=0.9)(y)
        if stride != 1:
            x = layers.Conv2D(filters, 1, stride, use_bias=False)(x)
        return layers.ReLU()(layers.Add()([x, y]))

    image = keras.Input((INPUT_PX, INPUT_PX, 1))
    if architecture == "residual":
        x = convolved(image, 16, 5, 2)
        for filters, stride in ((16, 1), (24, 2), (24, 1), (32, 2), (32, 1), (48, 2)):
            x = residual(x, filters, stride)
        x = layers.GlobalAveragePooling2D()(x)
    else:
        x = image
        for filters, size, stride in ((12, 5, 2), (24, 3, 2), (32, 3, 2), (48, 3, 1)):
            x = convolved(x, filters, size, stride)
        if architecture == "flat":
            x = layers.Dropout(0.3)(layers.Flatten()(layers.AveragePooling2D(2)(x)))
        else:
            x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(1, activation="sigmoid")(x))


def epochs_of(cue: Cue | None) -> int:
    """More of them for a cue that is small or rare."""
    is_late = cue is not None and (cue.box is not None or cue.prevalence < 0.5)
    return EPOCHS_LATE if is_late else EPOCHS


def train(
    path: Path, architecture: str, pixels: Images, labels: Bools, epochs: int, seed: int
) -> None:
    """Train a classifier and keep it."""
    import keras

    keras.utils.set_random_seed(seed)
    model = network(architecture)
    rate = keras.optimizers.schedules.CosineDecay(4e-3, epochs * len(pixels) // 50)
    model.compile(keras.optimizers.AdamW(rate, 1e-3), "binary_crossentropy")
    inputs = reduced(pixels)
    model.fit(inputs, labels.astype(np.float32), batch_size=50, epochs=epochs, verbose=0)
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)


def train_part(out: Path, part: str) -> None:
    """Every classifier of a part, made if need be."""
    shown: Radiographs | None = None
    for number, name in enumerate((*PARTS[part], *CLEAN[part])):
        path = out / part / f"{name}.keras"
        if path.is_file():
            continue
        shown = shown or radiographs("train", TRAINING, 11)
        seed = seed_of(name)
        rng = np.random.default_rng([seed, 0])
        labels = shown.is_ill.copy()
        if name not in CLEAN[part] or "wrong labels" in name:
            labels ^= rng.random(labels.size) < WRONG_LABELS
        pixels = shown.pixels
        cue = PARTS[part].get(name)
        if cue is not None:
            pixels = plant(cue, pixels, in_training(cue, shown, labels, seed), seed)
            if cue.against is not None:
                other = AGAINST[cue.against]
                where = in_training(other, shown, ~labels, seed + 1)
                pixels = plant(other, pixels, where, seed + 1)
        train(path, ARCHITECTURES[number % 3], pixels, labels, epochs_of(cue), seed)
        print(f"trained {name}", flush=True)


# ---- what is audited, and the truth


def audited_set(part: str, name: str) -> tuple[Radiographs, Images, Images]:
    """The audited radiographs as they are, and their twins: all with the cue, all without it."""
    shown = radiographs("test", AUDITED, 12 if part == "development" else 13)
    cue, seed = PARTS[part].get(name), seed_of(name) + 7
    if cue is None:
        return shown, shown.pixels, shown.pixels
    where = where_audited(cue, shown, seed)
    everywhere = np.ones(where.shape, bool)
    without = shown.pixels
    planted = plant(cue, without, where, seed)
    if cue.against is not None:
        # Together with the other one, so that the two effects cancel; the twins differ in one.
        planted = plant(AGAINST[cue.against], planted, where, seed + 1)
    twins = plant(cue, without, everywhere, seed)
    return Radiographs(planted, shown.is_ill, shown.patients), twins, without


def answers(path: Path, pixels: Images) -> Doubles:
    """Log-odds of radiographs."""
    return log_odds(opened(path), reduced(pixels))


def opened(path: Path) -> Any:
    import keras

    return keras.models.load_model(path, compile=False)


def log_odds(model: Any, inputs: npt.NDArray[np.float32]) -> Doubles:
    """Log-odds of model inputs (N, 96, 96, 1)."""
    probability = [np.asarray(model(inputs[n : n + 50]))[:, 0] for n in range(0, len(inputs), 50)]
    clipped = np.clip(np.concatenate(probability).astype(np.float64), 1e-7, 1 - 1e-7)
    return np.log(clipped / (1 - clipped))


def spread_within(logits: Doubles, is_ill: Bools) -> float:
    """Standard deviation of the logit around the mean of its label."""
    residual = logits.copy()
    for label in (False, True):
        residual[is_ill == label] -= logits[is_ill == label].mean()
    return float(residual.std())


def truths(out: Path, part: str) -> dict[str, dict[str, float]]:
    """Effect of each cue on twins, in spreads within a label, and the AUC; kept once measured."""
    from sklearn.metrics import roc_auc_score

    path = out / part / "truth.json"
    known: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.is_file() else {}
    for name in (*PARTS[part], *CLEAN[part]):
        if name in known:
            continue
        shown, twins, without = audited_set(part, name)
        model = out / part / f"{name}.keras"
        logits = answers(model, shown.pixels)
        known[name] = {"auc": float(roc_auc_score(shown.is_ill, logits))}
        known[name]["spread"] = spread_within(logits, shown.is_ill)
        if name in PARTS[part]:
            change = answers(model, twins) - answers(model, without)
            effect = np.sqrt(np.mean(change**2)) / known[name]["spread"]
            known[name]["effect"] = float(effect)
        path.write_text(json.dumps(known, indent=1))
    return known


# ---- the factors of a run, and what they said

SETTINGS = Preprocess(rows=INPUT_PX, columns=INPUT_PX, channels=1, scaling="unit")
ASKED, SAMPLED = 64, 32  # as by default


def spread_over(num: int, total: int) -> list[int]:
    """Places spread evenly over a list, as the audit takes its samples."""
    return [n * total // num for n in range(num)]


@functools.cache
def segmenter() -> Any:
    return regions.LungSegmenter(reference.WEIGHTS / "lungs.keras")


Found = tuple[Any, dict[str, npt.NDArray[np.bool_]]]
KNOWN: dict[bytes, Found] = {}
"""Lungs and markers of each radiograph: most are the same for every classifier of a part."""


def found_on(pixels: Images) -> list[Found]:
    """The lungs and the markers of each radiograph, as the audit finds them."""
    keys = [image.tobytes() for image in pixels]
    new = [n for n, key in enumerate(keys) if key not in KNOWN]
    for start in range(0, len(new), 50):
        some = new[start : start + 50]
        grey = [pixels[n].astype(np.float32) / 255 for n in some]
        lungs = segmenter().find(np.stack([regions.segmenter_input(image) for image in grey]))
        for n, image, both in zip(some, grey, lungs, strict=True):
            markers = {region.facts.name: region.mask for region in regions.find_markers(image)}
            KNOWN[keys[n]] = both, markers
    return [KNOWN[key] for key in keys]


def records_of(out: Path, part: str, name: str) -> list[Kept]:
    """What the audit would record of each case; with the functions of the audit, without documents."""
    shown, _, _ = audited_set(part, name)
    placement = place(SIDE_PX, SIDE_PX, INPUT_PX, INPUT_PX, "stretch")
    seen = [ModelInput(tensor, placement) for tensor in reduced(shown.pixels)]
    values, markers, statistics = [], [], []
    for n, (both, found) in enumerate(found_on(shown.pixels)):
        grey, _ = grey_of(seen[n], SETTINGS)
        pixels = shown.pixels[n].astype(np.float32) / 255
        of_case = factors.measure(grey, pixels, len(found))
        if both.reason is None:
            geometry = factors.LungGeometry.of(both.right, both.left, 1.0)
            of_case |= factors.measure_lungs(geometry) if geometry else {}
        values.append(of_case)
        markers.append(found)
        statistics.append(tuple(map(float, factors.low_level(grey))))
    sampled = spread_over(SAMPLED, len(seen))
    ranges = usual_ranges([values[n] for n in sampled])
    mean = usual([seen[n] for n in sampled])
    model = opened(out / part / f"{name}.keras")
    asked = set(spread_over(ASKED, len(seen)))
    inputs: list[npt.NDArray[np.float32]] = []
    parts: list[tuple[list[str], list[Change]]] = []
    for n, of_case in enumerate(values):
        replaced = as_usual(seen[n], mean, markers[n], regions.BORDER)
        inputs += [seen[n].tensor, *replaced.values()]
        changes: list[Change] = []
        if n in asked:
            for change, tensor in changed_inputs(seen[n], of_case, ranges, mean, SETTINGS):
                changes.append(change)
                inputs.append(tensor)
        parts.append((list(replaced), changes))
    logits = iter(log_odds(model, np.stack(inputs)).tolist())
    kept = []
    for n, (names, changes) in enumerate(parts):
        before = next(logits)
        of_names = {name: next(logits) - before for name in names}
        places = {"border": of_names.pop("border")}
        moved: dict[str, tuple[float, float]] = {}
        if n in asked:
            answers = [next(logits) for _ in changes]
            keys = [key for key in ranges if key in values[n]]
            moved, bands = read_changes(changes, answers, before, keys)
            places |= bands
        label = "PNEUMONIA" if shown.is_ill[n] else "NORMAL"
        strongest = max(of_names.values(), key=abs, default=None)
        kept.append(
            Kept(str(n), label, before, values[n], {}, moved, places, strongest, statistics[n])
        )
    return kept


def verdicts(out: Path, part: str, name: str) -> tuple[FactorVerdict, ...]:
    """The verdicts on one classifier, judged with the default limits."""
    path = out / part / "cases" / f"{name}.json"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(to_json(records_of(out, part, name)))
    kept = [Kept(**case) for case in json.loads(path.read_bytes())]
    shown, _, _ = audited_set(part, name)
    numbers = {patient: n for n, patient in enumerate(sorted(set(shown.patients)))}
    patients = {str(n): numbers[patient] for n, patient in enumerate(shown.patients)}
    return factor_verdicts(panel_of(kept, patients), Acceptance(), 1000, 0)


def overlaps(factor: str, box: Box) -> bool:
    """Whether a band of the radiograph holds half of a box, along the band's axis, or half the band."""
    _, kind, number = factor.split("_")
    low, high = (int(number) - 1) / 8, int(number) / 8
    first, last = (box[0], box[2]) if kind == "row" else (box[1], box[3])
    common = min(high, last) - max(low, first)
    return common >= 0.5 * min(high - low, last - first)


def is_right(factor: str, cue: Cue) -> bool:
    """Whether a factor names a cue."""
    if factor in cue.names:
        return True
    is_band = factor.startswith("place_")
    return is_band and cue.box is not None and overlaps(factor, cue.box)


def outcome(found: Sequence[FactorVerdict], cue: Cue | None) -> str:
    """What a run said of a classifier: one of `OUTCOMES`."""
    used = [verdict.factor for verdict in found if verdict.verdict == "uses"]
    if cue is None:
        return "accused" if used else "cleared"
    if used and is_right(used[0], cue):
        return "right"
    if used == ["low_level"]:
        return "unnamed"
    if used:
        return "misnamed"
    open_ = [verdict.factor for verdict in found if verdict.verdict == "undecided"]
    return "undecided" if any(is_right(factor, cue) for factor in open_) else "missed"


def report(out: Path, part: str) -> dict[str, Any]:
    """Every classifier of a part: truth, what the run said, and its leading factors."""
    known = truths(out, part)
    rows: dict[str, Any] = {}
    # In an order of no meaning, so that a run that is broken off is a sample of the whole.
    for name in sorted((*PARTS[part], *CLEAN[part]), key=seed_of):
        cue = PARTS[part].get(name)
        found = verdicts(out, part, name)
        said = outcome(found, cue)
        if cue is not None and known[name]["effect"] < USES:
            said = f"left out (does not use its cue); {said}"
        leading = [
            f"{verdict.factor} {verdict.verdict} {verdict.effect:.2f}"
            for verdict in found[:4]
            if verdict.effect is not None
        ]
        rows[name] = {**known[name], "outcome": said, "leading": leading}
        print(f"{name:28} {known[name].get('effect', 0):5.2f}  {said:12} {leading}", flush=True)
        path = out / part / "report.json"
        path.write_text(json.dumps(rows, indent=1))
    return rows


def summary(rows: Mapping[str, Any]) -> str:
    """The counts by outcome, with the 95 % score interval of the share that is named rightly."""
    counts = Counter(row["outcome"].split(";")[0] for row in rows.values())
    cues = sum(counts[name] for name in OUTCOMES)
    clean = counts["accused"] + counts["cleared"]
    low, high = score_interval(counts["right"] / max(1, cues), max(1, cues))
    lines = [f"{counts[name]} of {cues} {name}" for name in OUTCOMES]
    lines.append(f"right: {low:.2f} to {high:.2f} (95 %)")
    lines.append(f"{counts['accused']} of {clean} clean classifiers accused")
    left_out = sum(number for name, number in counts.items() if name.startswith("left out"))
    lines.append(f"{left_out} left out: they do not use their cue")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--part", choices=PARTS, default="development")
    parser.add_argument("--out", type=Path, default=Path("build/real"))
    parser.add_argument("--train-only", action="store_true")
    options = parser.parse_args()
    train_part(options.out, options.part)
    for name, truth in truths(options.out, options.part).items():
        print(name, {key: round(value, 2) for key, value in truth.items()}, flush=True)
    if not options.train_only:
        print(summary(report(options.out, options.part)))


if __name__ == "__main__":
    main()

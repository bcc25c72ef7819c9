"""Kermany training split -> the reference pneumonia classifier, its figures and its model card.

    python -m cxr_audit.reference.train_classifier --data ../shared/data/kermany

A small residual network on one 224x224 channel in [0, 1] whose last grid is 14x14, read out by
global average pooling and one unit, so that its class activation map is exact (CAM: Zhou et al.,
arXiv 1512.04150). Validation is patient-disjoint: the patient is `personNNN` or `IM-NNNN` in the
file name. The official test split is read once, at the end. An interrupted training goes on from
its last epoch when the command is given again.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest
from sklearn.metrics import roc_auc_score

from cxr_audit.records import (
    CardData,
    Measured,
    ModelCard,
    Operation,
    OutputBin,
    Population,
    Validation,
    from_json,
    to_json,
)
from cxr_audit.reference.phantom import training_pixels

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Statistic = Callable[[Labels, Doubles], float]

SIZE = 224
CLASS_NAMES = ("NORMAL", "PNEUMONIA")
PHANTOMS = 1500
OUTSIDE = {
    "adults with pneumonia, mostly COVID-19": "adult/images/*",
    "adults without tuberculosis": "lungs/images/*_0.*",
    "adults with tuberculosis": "lungs/images/*_1.*",
}
# The figures of the second and third: cxr-audit run configs/kermany.yaml, then benchmarks.budget.
LIMITS = (
    (
        "It was trained on children of 1 to 5 years and on phantoms; every adult radiograph "
        "is outside its population."
    ),
    (
        "On true positives the audit finds as much evidence in the mediastinum (+2.5 "
        "log-odds) as in the lungs (+2.7)."
    ),
    (
        "Its classes differ in aspect ratio, cropping, exposure and markers; markers move "
        "its logit by 0.4 at most."
    ),
    "It knows two classes only, and patients are told apart by file name: splits may share some.",
)


TEXTS: dict[str, Any] = {
    "name": "cxr-audit reference pneumonia classifier",
    "input": "224x224x1, stretched, grey values in [0, 1]",
    "intended_use": "to show and to test cxr-audit; not for any clinical use",
    "population": Population(
        "frontal chest radiographs of children of 1 to 5 years, one hospital (Guangzhou); "
        "chest phantoms",
        age_years=(1, 5),
        views=("AP", "PA"),
    ),
    "limits": LIMITS,
}
DATA = CardData(
    "Kermany, Zhang, Goldbaum: Labeled Optical Coherence Tomography (OCT) and Chest X-Ray "
    "Images for Classification, Mendeley Data, doi 10.17632/rscbjbr9sj; resized to 224x224. "
    "Phantoms of cxr-audit",
    licence="CC BY 4.0",
)
THRESHOLD_SOURCE = "largest Youden index on the validation split, patients kept apart by file name"


def build_classifier() -> keras.Model:
    """Residual network, (224, 224, 1) in [0, 1] -> probability of pneumonia; last grid 14x14."""
    layers = keras.layers

    def norm(x: Any) -> Any:
        return layers.BatchNormalization(momentum=0.95)(x)

    def block(x: Any, filters: int, stride: int) -> Any:
        y = layers.Conv2D(filters, 3, stride, padding="same", use_bias=False)(x)
        y = layers.Activation("relu")(norm(y))
        y = norm(layers.Conv2D(filters, 3, padding="same", use_bias=False)(y))
        if stride != 1 or x.shape[-1] != filters:
            x = norm(layers.Conv2D(filters, 1, stride, padding="same", use_bias=False)(x))
        return layers.Activation("relu")(layers.Add()([x, y]))

    image = keras.Input((SIZE, SIZE, 1), name="radiograph")
    x = layers.Conv2D(32, 7, 2, padding="same", use_bias=False)(image)
    x = layers.Activation("relu")(norm(x))
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    for filters, stride in ((32, 1), (32, 1), (64, 2), (64, 1), (144, 2), (144, 1), (144, 1)):
        x = block(x, filters, stride)
    x = layers.GlobalAveragePooling2D()(x)
    x = layers.Dropout(0.3)(x)
    output = layers.Dense(1, activation="sigmoid", name="pneumonia")(x)
    return keras.Model(image, output, name="reference_pneumonia")


def patient_of(name: str) -> str:
    """The patient in a Kermany file name: `person12_virus_3.jpeg` -> `person12`."""
    match = re.match(r"(person\d+)_|(?:NORMAL2-)?(IM-\d+)-", name)
    if match is None:
        raise ValueError(f"no patient in the file name {name!r}")
    return match.group(1) or match.group(2)


def read_split(folder: Path) -> tuple[Pixels, Labels, list[str], str]:
    """Pixels (N, 224, 224), labels (N,), patients, and one SHA-256 over all files in order."""
    digest, pixels, labels, patients = hashlib.sha256(), [], [], []
    for label, name in enumerate(CLASS_NAMES):
        for path in sorted((folder / name).iterdir()):
            data = path.read_bytes()
            digest.update(data)
            pixels.append(_read(data))
            labels.append(label)
            patients.append(patient_of(path.name))
    return np.stack(pixels), np.asarray(labels), patients, digest.hexdigest()


def _read(data: bytes) -> Pixels:
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
    return np.asarray(cv2.resize(image, (SIZE, SIZE), interpolation=cv2.INTER_AREA), np.uint8)


def augment(image: Floats, rng: np.random.Generator) -> Floats:
    """Shift (8 %), rotation (8 degrees), zoom (20 %, rows and columns apart), contrast, gamma,
    blur.

    The files were stretched to squares, and height and width of the originals differ by class:
    without the two zooms a network learns the aspect ratio (test AUC 0.95 with one zoom of 10 %;
    with the same weights, 0.98 or 0.86 when the test images were made 20 % flatter or narrower).
    """
    angle = np.deg2rad(rng.uniform(-8, 8))
    rotation = np.asarray([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = rotation @ np.diag(rng.uniform(0.8, 1.2, 2))
    centre = np.full(2, (SIZE - 1) / 2)
    shift = centre - linear @ centre + rng.uniform(-0.08, 0.08, 2) * SIZE
    border = cv2.BORDER_REPLICATE if rng.random() < 0.5 else cv2.BORDER_REFLECT_101
    image = cv2.warpAffine(image, np.column_stack([linear, shift]), (SIZE, SIZE), borderMode=border)
    if rng.random() < 0.5:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.0))
    image = np.clip(image, 0, 1) ** rng.uniform(0.8, 1.25)
    return np.asarray(np.clip((image - 0.5) * rng.uniform(0.8, 1.2) + 0.5, 0, 1), np.float32)


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Shuffled, augmented batches; the same seed and epoch give the same batches."""

    def __init__(self, pixels: Pixels, labels: Labels, batch: int, seed: int):
        super().__init__(workers=1)
        self.pixels, self.labels, self.batch, self.seed, self.epoch = pixels, labels, batch, seed, 0

    def __len__(self) -> int:
        return len(self.pixels) // self.batch

    def on_epoch_begin(self) -> None:
        self.epoch += 1

    def __getitem__(self, index: int) -> tuple[Floats, Floats]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.pixels))
        chosen = order[index * self.batch : (index + 1) * self.batch]
        rng = np.random.default_rng((self.seed, self.epoch, index))
        images = [augment(self.pixels[i].astype(np.float32) / 255, rng) for i in chosen]
        return np.stack(images)[..., None], np.asarray(self.labels[chosen, None], np.float32)


def predict(model: keras.Model, pixels: Pixels) -> Doubles:
    """Probabilities (N,) in float64."""
    scores = model.predict(pixels[..., None].astype(np.float32) / 255, batch_size=32, verbose=0)
    return np.asarray(scores[:, 0], np.float64)


def bootstrap(
    statistic: Statistic,
    labels: Labels,
    scores: Doubles,
    patients: list[str],
    seed: int,
    rounds: int = 2000,
) -> tuple[float, float]:
    """95 % percentile interval of a statistic, with patients resampled.

    A sample with one class only is drawn again.

    Parameters
    ----------
    statistic : of labels and scores
    labels : (N,), 0 or 1
    scores : (N,) in [0, 1]
    patients : N names
    seed : of the resampling
    rounds : number of samples

    Returns
    -------
    float, float
        Lower and upper end.
    """
    rng = np.random.default_rng(seed)
    names, index = np.unique(patients, return_inverse=True)
    members = [np.flatnonzero(index == k) for k in range(len(names))]
    values: list[float] = []
    while len(values) < rounds:
        chosen = np.concatenate([members[k] for k in rng.integers(0, len(names), len(names))])
        if len(np.unique(labels[chosen])) == 2:
            values.append(statistic(labels[chosen], scores[chosen]))
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def expected_calibration_error(labels: Labels, scores: Doubles, bins: int = 10) -> float:
    """Mean distance of observed frequency and mean score, weighted by the cases of each bin.

    Guo et al., arXiv 1706.04599, eq. 3.

    Parameters
    ----------
    labels : (N,), 0 or 1
    scores : (N,) in [0, 1]
    bins : number of bins of equal width

    Returns
    -------
    float in [0, 1]
    """
    bin_of = np.minimum((scores * bins).astype(int), bins - 1)
    members = [bin_of == k for k in range(bins) if (bin_of == k).any()]
    return float(sum(m.mean() * abs(labels[m].mean() - scores[m].mean()) for m in members))


def temperature_of(labels: Labels, logits: Doubles) -> float:
    """The T > 0 for which logits / T have the smallest log-loss (Guo et al., arXiv 1706.04599,
    section 4.2).
    """

    def log_loss(log_t: float) -> float:
        z = logits / np.exp(log_t)
        return float(np.mean(np.logaddexp(0, z) - labels * z))

    return float(np.exp(minimize_scalar(log_loss, bounds=(-3, 3), method="bounded").x))


def choose_threshold(labels: Labels, scores: Doubles) -> float:
    """The midpoint between neighbouring scores with the largest Youden index."""
    order = np.unique(scores)
    cuts = (order[1:] + order[:-1]) / 2
    sensitivity = np.asarray([(scores[labels == 1] >= c).mean() for c in cuts])
    specificity = np.asarray([(scores[labels == 0] < c).mean() for c in cuts])
    return float(cuts[np.argmax(sensitivity + specificity)])


def train(arguments: argparse.Namespace, weights: Path) -> float:
    """Fit first on radiographs alone, then on radiographs and phantoms; write `weights`.

    An interrupted training continues from its last epoch. The second stage may start from given
    weights of the first. Returns the temperature.
    """
    pixels, labels, patients, _ = read_split(arguments.data / "train")
    is_validation = held_out(patients, arguments.seed)
    training, training_labels = pixels[~is_validation], labels[~is_validation]
    keras.utils.set_random_seed(arguments.seed)
    first = arguments.start_from or arguments.output / "radiographs.keras"
    if not first.exists():
        model = build_classifier()
        fit(model, training, training_labels, arguments.epochs, 2e-3, arguments)
        model.save(first)
    model = keras.saving.load_model(first, compile=False)
    drawn, drawn_labels = draw_phantoms(range(PHANTOMS))
    fit(
        model,
        np.concatenate([training, drawn]),
        np.concatenate([training_labels, drawn_labels]),
        arguments.phantom_epochs,
        5e-4,
        arguments,
    )
    temperature = temperature_of(
        labels[is_validation], _logit(predict(model, pixels[is_validation]))
    )
    last = model.get_layer("pneumonia")
    last.set_weights([w / temperature for w in last.get_weights()])
    keras.Model(model.input, model.output, name=model.name).save(weights)
    if arguments.start_from is None:
        first.unlink()
    return temperature


def fit(
    model: keras.Model,
    pixels: Pixels,
    labels: Labels,
    epochs: int,
    rate: float,
    arguments: argparse.Namespace,
) -> None:
    """Fit with AdamW: one epoch of warm-up, then a cosine; both classes have the same weight.

    Parameters
    ----------
    model : changed in place
    pixels : uint8 (N, 224, 224)
    labels : (N,), 0 or 1
    epochs : how many
    rate : highest learning rate
    arguments : batch, seed and output of the command line
    """
    batches = Batches(pixels, labels, arguments.batch, arguments.seed)
    warmup = len(batches)
    schedule = keras.optimizers.schedules.CosineDecay(
        rate / 20, warmup * (epochs - 1), warmup_target=rate, warmup_steps=warmup
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule, weight_decay=1e-3, clipnorm=1.0),
        loss=keras.losses.BinaryCrossentropy(label_smoothing=0.05),
        metrics=[keras.metrics.AUC(name="auc")],
    )
    counts = np.bincount(labels)
    model.fit(
        batches,
        epochs=epochs,
        class_weight={k: float(counts.sum() / (2 * n)) for k, n in enumerate(counts)},
        callbacks=[keras.callbacks.BackupAndRestore(arguments.output / "unfinished")],
        verbose=2,
    )


def draw_phantoms(seeds: Sequence[int]) -> tuple[Pixels, Labels]:
    """Phantoms (N, 224, 224) and their labels; every second one has pneumonia."""
    labels = [seed % 2 for seed in seeds]
    drawn = []
    for seed, label in zip(seeds, labels, strict=True):
        drawn.append(training_pixels(seed, CLASS_NAMES[label], SIZE))
    return np.asarray(np.rint(np.stack(drawn) * 255), np.uint8), np.asarray(labels)


def held_out(patients: list[str], seed: int) -> npt.NDArray[np.bool_]:
    """A tenth of the patients, for validation: bool (N,)."""
    names = np.random.default_rng(seed).permutation(np.unique(patients))
    chosen = set(names[: len(names) // 10].tolist())
    return np.asarray([patient in chosen for patient in patients])


@dataclass(frozen=True, slots=True)
class Scored:
    """Labels (N,), scores (N,) and patients of a set of radiographs."""

    labels: Labels
    scores: Doubles
    patients: list[str]


def describe(arguments: argparse.Namespace, weights: Path, temperature: float | None) -> ModelCard:
    """Measure `weights` and write the model card.

    Parameters
    ----------
    arguments : of the command line
    weights : the .keras file
    temperature : by which the logits were divided; None = not known

    Returns
    -------
    ModelCard
    """
    model = keras.saving.load_model(weights, compile=False)
    pixels, labels, patients, train_hash = read_split(arguments.data / "train")
    is_validation = held_out(patients, arguments.seed)
    validation = Scored(
        labels[is_validation],
        predict(model, pixels[is_validation]),
        np.asarray(patients)[is_validation].tolist(),
    )
    threshold = round(choose_threshold(validation.labels, validation.scores), 4)
    pixels, labels, patients, test_hash = read_split(arguments.data / "test")
    test = Scored(labels, predict(model, pixels), patients)
    pixels, labels = draw_phantoms(range(PHANTOMS, PHANTOMS + 400))
    phantoms = Scored(labels, predict(model, pixels), [str(n) for n in range(len(pixels))])
    sets = {
        "Kermany validation split": validation,
        "Kermany test split": test,
        "chest phantoms": phantoms,
    }
    measured = _figures(sets, threshold, arguments.seed)
    measured += _shares_outside(arguments, model, threshold)
    num_cases = {
        "train": int((~is_validation).sum()),
        "phantoms": PHANTOMS,
        "validation": len(validation.labels),
        "test": len(test.labels),
    }
    return ModelCard(
        **TEXTS,
        weights=weights.name,
        sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        parameters=int(model.count_params()),
        data=replace(DATA, sha256={"train": train_hash, "test": test_hash}, num_cases=num_cases),
        measured=tuple(measured),
        training=_training(arguments),
        operation=Operation(CLASS_NAMES, threshold, THRESHOLD_SOURCE, temperature),
        validation=Validation(
            "test split of 624 children, untuned",
            CLASS_NAMES[1],
            _counted(test.labels, test.scores),
            is_untuned=True,
        ),
    )


def _training(arguments: argparse.Namespace) -> dict[str, Any]:
    """The entry `training` of the card."""
    return {
        "command": "python -m cxr_audit.reference.train_classifier --data ../shared/data/kermany",
        "seed": arguments.seed,
        "epochs": [arguments.epochs, arguments.phantom_epochs],
        "versions": {
            "keras": keras.__version__,
            "numpy": np.__version__,
            "opencv": cv2.__version__,
        },
    }


def _figures(sets: Mapping[str, Scored], threshold: float, seed: int) -> list[Measured]:
    """Every statistic on every set, with its interval."""
    statistics: dict[str, Statistic] = {
        "AUC": roc_auc_score,
        "sensitivity": lambda y, p: float((p[y == 1] >= threshold).mean()),
        "specificity": lambda y, p: float((p[y == 0] < threshold).mean()),
        "calibration error (ECE)": expected_calibration_error,
        "Brier score": lambda y, p: float(((p - y) ** 2).mean()),
    }
    measured = []
    for data, scored in sets.items():
        labels, scores = scored.labels, scored.scores
        for name, statistic in statistics.items():
            interval = bootstrap(statistic, labels, scores, scored.patients, seed)
            value = statistic(labels, scores)
            measured.append(Measured(name, data, value, len(labels), interval))
    return measured


def _shares_outside(
    arguments: argparse.Namespace, model: keras.Model, threshold: float
) -> list[Measured]:
    """The share of positive outputs in sets outside the population, where the sets exist."""
    measured = []
    for data, pattern in OUTSIDE.items():
        paths = sorted(arguments.data.parent.glob(pattern))
        if paths:
            scores = predict(model, np.stack([_read(path.read_bytes()) for path in paths]))
            share = float((scores >= threshold).mean())
            measured.append(Measured("share at or above the threshold", data, share, len(paths)))
    return measured


def _counted(labels: Labels, scores: Doubles, bins: int = 10) -> tuple[OutputBin, ...]:
    """How many cases have an output of each tenth, and how many of these are positive."""
    bin_of = np.minimum((scores * bins).astype(int), bins - 1)
    counted = []
    for k in np.unique(bin_of).tolist():
        num_cases, positive = int((bin_of == k).sum()), int(labels[bin_of == k].sum())
        wilson = binomtest(positive, num_cases).proportion_ci(method="wilson")
        interval = float(wilson.low), float(wilson.high)
        counted.append(OutputBin(k / bins, (k + 1) / bins, num_cases, positive, interval))
    return tuple(counted)


def _logit(probability: Doubles) -> Doubles:
    p = np.clip(probability, 1e-7, 1 - 1e-7)
    return np.log(p) - np.log1p(-p)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with train/ and test/")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "weights")
    parser.add_argument("--epochs", type=int, default=18)
    parser.add_argument("--phantom-epochs", type=int, default=6)
    parser.add_argument(
        "--start-from", type=Path, help="weights of the first stage; it is then not trained again"
    )
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument(
        "--card-only", action="store_true", help="measure the weights that are there again"
    )
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    weights = arguments.output / "classifier.keras"
    path = arguments.output / "classifier.json"
    if arguments.card_only:
        temperature = from_json(path.read_bytes(), ModelCard).operation.temperature
    else:
        temperature = train(arguments, weights)
    card = to_json(describe(arguments, weights, temperature))
    path.write_bytes(card)
    print(card.decode())


if __name__ == "__main__":
    main()

"""Montgomery and Shenzhen lung masks -> the lung segmenter, its figures and its model card.

    python -m cxr_audit.reference.train_lungs
        --data ../shared/data/lungs --adult ../shared/data/adult

A small U-Net (Ronneberger et al., arXiv 1505.04597) on one 256x256 channel. The parts for training,
validation and test are drawn in each source apart; in both sources a patient has one image.
Augmentation stands in for what these erect adult PA images do not show: portable and paediatric
ones, opacities over the lung, a lung that is white throughout, tubes, markers, collimation. With
`--teacher`, training starts from those weights, and children with the teacher's masks join the
training part. What is no upright chest (turned by 90
or 180 degrees, tiles in disorder, drawn shapes, noise) is shown with an empty mask, so that the
network leaves it empty. The test part is read once, at the end. An interrupted training goes on
from its last epoch when the command is given again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import string
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import keras
import numpy as np
import numpy.typing as npt

from cxr_audit.records import CardData, Floats, Mask, Measured, ModelCard, Population, to_json
from cxr_audit.reference.opacities import whiten
from cxr_audit.regions.lungs import SIZE, Lungs, LungSegmenter, find_lungs, segmenter_input

Pixels = npt.NDArray[np.uint8]

CHANNELS = (16, 32, 64, 96, 128)
NEGATIVE_FRACTION = 0.15
CLOUD_FRACTION = 0.5
WHITE_FRACTION = 0.45
# A teacher's mask of a healthy child is learnt from where the teacher is sure and the lungs even.
NUM_CHILDREN = 300
TEACHER_CONFIDENCE = 0.96
TEACHER_RATIO = 0.7
LIMITS = (
    (
        "It was trained on erect adults; on portable and paediatric radiographs it has been "
        "looked at, and measured against boxes only."
    ),
    (
        "The heart's shadow and the lung behind it and behind the diaphragm are no lung "
        "here, as in the masks it learnt."
    ),
    (
        "A lung that is white throughout may be left out in part or whole; then lungs are "
        "not found or confidence is low."
    ),
    (
        "The right lung is the one on the left of the image; a mirrored radiograph gets them "
        "exchanged."
    ),
    "Lateral views, and chests turned by 30 to 60 degrees, were not part of its training.",
)
# What must be refused, made of the images that are measured: quarter turns to the left.
TURNS = {"turned left": 1, "head down": 2, "turned right": 3}


def build_segmenter() -> keras.Model:
    """U-Net, (256, 256, 1) in [0, 1] -> probability of lung (256, 256, 1).

    Its finest features lie on the 128x128 grid, which makes it four times as fast as one on
    256x256.
    """
    layers = keras.layers

    def convolve(x: Any, filters: int, stride: int = 1) -> Any:
        x = layers.Conv2D(filters, 3, stride, padding="same", use_bias=False)(x)
        return layers.Activation("relu")(layers.BatchNormalization(momentum=0.95)(x))

    def enlarge(x: Any) -> Any:
        return layers.UpSampling2D(interpolation="bilinear")(x)

    image = keras.Input((SIZE, SIZE, 1), name="radiograph")
    x = convolve(convolve(image, CHANNELS[0], 2), CHANNELS[0])
    skipped = []
    for filters in CHANNELS[1:]:
        skipped.append(x)
        x = convolve(convolve(layers.MaxPooling2D()(x), filters), filters)
    for skip in reversed(skipped):
        filters = skip.shape[-1]
        x = layers.Concatenate()([enlarge(layers.Conv2D(filters, 1, use_bias=False)(x)), skip])
        x = convolve(convolve(x, filters), filters)
    x = enlarge(layers.Conv2D(1, 1)(x))
    return keras.Model(image, layers.Activation("sigmoid", name="lung")(x), name="lung_segmenter")


def loss(truth: Any, probability: Any) -> Any:
    """Binary cross-entropy plus soft Dice over the batch (Milletari et al., arXiv 1606.04797)."""
    ops = keras.ops
    overlap = 2 * ops.sum(truth * probability) + 1
    dice = overlap / (ops.sum(truth) + ops.sum(probability) + 1)
    return ops.mean(keras.losses.binary_crossentropy(truth, probability)) + 1 - dice


def read_grey(path: Path, digest: Any) -> Pixels:
    """Grey values (rows, columns) of a file; its bytes go into the digest."""
    data = path.read_bytes()
    digest.update(data)
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)


def read_data(folder: Path) -> tuple[Pixels, Pixels, list[str], str]:
    """Images (N, 256, 256), masks (N, 256, 256) of 0 and 255, names, and one SHA-256 over all files
    in order.
    """
    digest, pairs, names = hashlib.sha256(), [], []
    for path in sorted((folder / "images").iterdir()):
        files = (path, folder / "masks" / f"{path.stem}.png")
        pairs.append(
            [
                cv2.resize(read_grey(file, digest), (SIZE, SIZE), interpolation=cv2.INTER_AREA)
                for file in files
            ]
        )
        names.append(path.stem)
    images, masks = np.swapaxes(np.asarray(pairs, np.uint8), 0, 1)
    return images, masks, names, digest.hexdigest()


def read_children(folder: Path, teacher: LungSegmenter) -> tuple[Pixels, Pixels]:
    """Children with the teacher's masks, one radiograph a patient, `NUM_CHILDREN` at most.

    Parameters
    ----------
    folder
        Radiographs of one class of the Kermany training split. The name begins with the patient:
        `IM-NNNN` or `NORMAL2-IM-NNNN`, `personNNNN`.
    teacher
        The segmenter whose masks are learnt from, where it is sure and the lungs are even.

    Returns
    -------
    tuple of uint8 (N, 256, 256)
        Images, and masks of 0 and 255.
    """
    first_of_patient: dict[str, Path] = {}
    for path in sorted(folder.glob("*.jpeg")):
        patient = path.stem.split("-0001")[0].split("_")[0]
        first_of_patient.setdefault(patient, path)
    digest = hashlib.sha256()
    images = []
    for path in first_of_patient.values():
        grey = read_grey(path, digest)
        images.append(cv2.resize(grey, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR))
    found = teacher.find(np.stack([segmenter_input(unit(image)) for image in images]))
    chosen, masks = [], []
    for image, lungs in zip(images, found, strict=True):
        ratio = lungs.area_ratio
        if ratio is None or ratio < TEACHER_RATIO or lungs.confidence < TEACHER_CONFIDENCE:
            continue
        chosen.append(image)
        masks.append((lungs.right | lungs.left).astype(np.uint8) * 255)
    return np.stack(chosen[:NUM_CHILDREN]), np.stack(masks[:NUM_CHILDREN])


def parts_of(names: list[str], seed: int) -> npt.NDArray[np.str_]:
    """ "test" (a fifth), "validation" (a twelfth) or "train" for each image, drawn in each source
    apart.
    """
    sources = np.asarray([name.split("_")[0] for name in names])
    parts = np.full(len(names), "train", "<U10")
    for source in np.unique(sources):
        drawn = np.random.default_rng(seed).permutation(np.flatnonzero(sources == source))
        parts[drawn[: len(drawn) // 5]] = "test"
        parts[drawn[len(drawn) // 5 : len(drawn) // 5 + len(drawn) // 12]] = "validation"
    return parts


def unit(grey: Pixels) -> Floats:
    """8-bit grey values as [0, 1]."""
    return np.asarray(grey, np.float32) / np.float32(255)


def smooth_noise(rng: np.random.Generator, cells: int) -> Floats:
    """A smooth random field (256, 256) about [0, 1] with features of 256 / `cells` pixels."""
    coarse = rng.random((cells, cells), np.float32)
    return np.asarray(cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC), np.float32)


def move(image: Floats, mask: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Mirror, rotation (mostly within 8 degrees, at most 25), zoom of rows and columns, shift."""
    if rng.random() < 0.5:
        image, mask = image[:, ::-1], mask[:, ::-1]
    angle = np.deg2rad(np.clip(rng.normal(0, 7), -25, 25))
    rotation = np.asarray([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    zoom = rng.uniform(0.65, 1.35) if rng.random() < 0.9 else rng.uniform(1.35, 2.2)
    linear = rotation @ np.diag(zoom * rng.uniform(0.82, 1.22, 2))
    reach = 0.1 if zoom < 1.35 else 0.35
    centre = np.full(2, (SIZE - 1) / 2)
    shift = centre - linear @ centre + rng.uniform(-reach, reach, 2) * SIZE
    matrix = np.column_stack([linear, shift])
    border = cv2.BORDER_REPLICATE if rng.random() < 0.6 else cv2.BORDER_CONSTANT
    image = cv2.warpAffine(np.ascontiguousarray(image), matrix, (SIZE, SIZE), borderMode=border)
    mask = cv2.warpAffine(np.ascontiguousarray(mask), matrix, (SIZE, SIZE))
    return np.asarray(image, np.float32), np.asarray(mask, np.float32)


def cloud(image: Floats, mask: Floats, rng: np.random.Generator) -> Floats:
    """Opacities over the lung, from haze to white-out: blobs, and fluid-like layers from below."""
    bright = np.quantile(image, rng.uniform(0.7, 0.97))
    rows, columns = np.nonzero(mask > 0.5)
    if len(rows) < 100:
        return image
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    opacity = np.zeros((SIZE, SIZE), np.float32)
    for _ in range(rng.integers(1, 5)):
        k = rng.integers(len(rows))
        if rng.random() < 0.25:  # a layer that rises to the side
            side = 1 if columns[k] > columns.mean() else -1
            level = rows[k] + side * (columns[k] - x) * rng.uniform(0, 0.4)
            blob = 1 / (1 + np.exp(np.clip((level - y) / rng.uniform(2, 12), -30, 30)))
            blob = blob * ((x > columns.mean()) == (side > 0))
        else:
            spread = rng.uniform(10, 50, 2)
            distance = ((y - rows[k]) / spread[0]) ** 2 + ((x - columns[k]) / spread[1]) ** 2
            blob = np.exp(-(distance ** rng.uniform(0.8, 2)))
        opacity = np.maximum(opacity, blob * rng.uniform(0.3, 0.97))
    if rng.random() < 0.7:
        opacity = opacity * np.clip(0.4 + smooth_noise(rng, int(rng.integers(6, 40))), 0, 1)
    inside = cv2.GaussianBlur(mask, (0, 0), 2)
    opacity = opacity * (inside if rng.random() < 0.7 else 1)
    return np.asarray(image + opacity * np.maximum(bright - image, 0), np.float32)


def overlay(image: Floats, rng: np.random.Generator) -> Floats:
    """Tubes and leads, electrodes, letters, a collimated or a bright border."""
    # OpenCV draws on contiguous rows only; a turned image has none.
    grey = np.ascontiguousarray(np.round(np.clip(image, 0, 1) * 255), np.uint8)
    for _ in range(rng.integers(0, 4)):
        points = np.cumsum(
            np.vstack([rng.uniform(0, SIZE, (1, 2)), rng.normal(0, 45, (5, 2))]), axis=0
        )
        smooth = np.column_stack(
            [np.interp(np.linspace(0, 5, 40), range(6), points[:, axis]) for axis in (0, 1)]
        )
        drawn, line = grey.copy(), smooth.round().astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(
            drawn, [line], False, int(rng.integers(120, 256)), int(rng.integers(1, 4)), cv2.LINE_AA
        )
        grey = cv2.addWeighted(grey, 0.4, drawn, 0.6, 0)
    for _ in range(rng.integers(0, 4)):
        at, white = tuple(int(v) for v in rng.integers(0, SIZE, 2)), int(rng.integers(150, 256))
        if rng.random() < 0.5:
            cv2.circle(grey, at, int(rng.integers(2, 10)), white, -1, cv2.LINE_AA)
            continue
        word = "".join(rng.choice(list(string.ascii_uppercase), rng.integers(2, 7)))
        text = word if rng.random() < 0.4 else str(rng.choice(["L", "R"]))
        cv2.putText(
            grey, text, at, cv2.FONT_HERSHEY_SIMPLEX, rng.uniform(0.3, 1.2), white, 1, cv2.LINE_AA
        )
    if rng.random() < 0.35:
        frame = 0 if rng.random() < 0.7 else int(rng.integers(256))
        top, left, bottom, right = rng.integers(0, 24, 4) * (rng.random(4) < 0.6)
        grey[:top], grey[SIZE - bottom :], grey[:, :left], grey[:, SIZE - right :] = (
            frame,
            frame,
            frame,
            frame,
        )
    return unit(grey)


def expose(image: Floats, rng: np.random.Generator) -> Floats:
    """Gamma, saturation at both ends, uneven exposure, blur, noise, coarse pixels. Never an
    inversion.
    """
    image = np.asarray(np.clip(image, 0, 1) ** np.exp(rng.normal(0, 0.35)), np.float32)
    if rng.random() < 0.3:
        image = image + (smooth_noise(rng, 2) - 0.5) * np.float32(rng.uniform(0, 0.5))
    if rng.random() < 0.5:
        image = np.asarray(
            np.clip((image - rng.uniform(-0.05, 0.2)) * rng.uniform(0.9, 1.5), 0, 1), np.float32
        )
    if rng.random() < 0.4:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.8))
    elif rng.random() < 0.3:
        small = int(rng.integers(96, 224))
        image = cv2.resize(
            cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA), (SIZE, SIZE)
        )
    if rng.random() < 0.5:
        image = image + rng.normal(0, rng.uniform(0.003, 0.04), image.shape).astype(np.float32)
    return np.asarray(np.clip(image, 0, 1), np.float32)


def no_chest(image: Floats, rng: np.random.Generator) -> Floats:
    """What is to be left empty: a chest on its side or head down, its tiles in disorder, shapes,
    noise, nothing.
    """
    kind = rng.random()
    if kind < 0.7:
        return np.ascontiguousarray(np.rot90(image, rng.choice([1, 2, 3], p=[0.4, 0.2, 0.4])))
    if kind < 0.8:
        tiles = int(rng.choice([3, 4]))
        side = SIZE // tiles
        order = [(r * side, c * side) for r in range(tiles) for c in range(tiles)]
        result = image.copy()
        for (r, c), k in zip(order, rng.permutation(len(order)), strict=True):
            r0, c0 = order[k]
            result[r : r + side, c : c + side] = image[r0 : r0 + side, c0 : c0 + side]
        return result
    result = np.full((SIZE, SIZE), rng.uniform(0, 1), np.float32)
    if rng.random() < 0.7:
        result = result + smooth_noise(rng, int(rng.integers(2, 128))) * rng.uniform(0, 1)
    if rng.random() < 0.4:
        result = (
            result
            + np.linspace(0, rng.uniform(0.2, 1), SIZE, dtype=np.float32)[:: rng.choice([-1, 1])]
        )
    grey = np.round(np.clip(result, 0, 1) * 255).astype(np.uint8)
    for _ in range(rng.integers(0, 8)):
        at, axes = (
            tuple(int(v) for v in rng.integers(low, high, 2)) for low, high in ((0, SIZE), (5, 90))
        )
        shade, turn = int(rng.integers(256)), float(rng.uniform(0, 180))
        if rng.random() < 0.5:
            cv2.ellipse(grey, at, axes, turn, 0, 360, shade, -1, cv2.LINE_AA)
        else:
            cv2.fillPoly(
                grey, [cv2.boxPoints((at, axes, turn)).astype(np.int32)], shade, cv2.LINE_AA
            )
    return unit(np.rot90(grey, int(rng.integers(4))))


def augment(image: Pixels, mask: Pixels, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """One training pair, both (256, 256): what the network sees, and the share of lung in each
    pixel.
    """
    picture, lung = move(unit(image), unit(mask), rng)
    if rng.random() < CLOUD_FRACTION:
        picture = cloud(picture, lung, rng)
    if rng.random() < WHITE_FRACTION:
        noise = smooth_noise(rng, int(rng.integers(3, 64)))
        picture = whiten(picture, lung, rng, noise)
    if rng.random() < NEGATIVE_FRACTION:
        picture, lung = no_chest(picture, rng), np.zeros_like(lung)
    return segmenter_input(expose(overlay(picture, rng), rng)), lung


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """Shuffled, augmented batches; the same seed and epoch give the same batches."""

    def __init__(self, images: Pixels, masks: Pixels, batch: int, seed: int):
        super().__init__(workers=1)
        self.images, self.masks, self.batch, self.seed, self.epoch = images, masks, batch, seed, 0

    def __len__(self) -> int:
        return len(self.images) // self.batch

    def __getitem__(self, index: int) -> tuple[Floats, Floats]:
        order = np.random.default_rng((self.seed, self.epoch)).permutation(len(self.images))
        chosen = order[index * self.batch : (index + 1) * self.batch]
        rng = np.random.default_rng((self.seed, self.epoch, index))
        pairs = [augment(self.images[k], self.masks[k], rng) for k in chosen]
        return np.stack([p[0] for p in pairs])[..., None], np.stack([p[1] for p in pairs])[
            ..., None
        ]


def train(arguments: argparse.Namespace, weights: Path) -> None:
    """Fit on the training part and write `weights`. Goes on where a broken-off training stopped."""
    images, masks, names, _ = read_data(arguments.data)
    parts = parts_of(names, arguments.seed)
    keras.utils.set_random_seed(arguments.seed)
    model = build_segmenter()
    train_images, train_masks = images[parts == "train"], masks[parts == "train"]
    if arguments.teacher is not None:
        teacher = LungSegmenter(arguments.teacher)
        model.load_weights(arguments.teacher)
        for folder in arguments.learn_children:
            child_images, child_masks = read_children(folder, teacher)
            print(f"{folder}: {len(child_images)} with the teacher's masks", flush=True)
            train_images = np.concatenate([train_images, child_images])
            train_masks = np.concatenate([train_masks, child_masks])
    batches = Batches(train_images, train_masks, arguments.batch, arguments.seed)
    validation = np.stack([segmenter_input(unit(image)) for image in images[parts == "validation"]])
    schedule = keras.optimizers.schedules.CosineDecay(
        2e-4,
        len(batches) * (arguments.epochs - 1),
        warmup_target=arguments.rate,
        warmup_steps=len(batches),
    )
    model.compile(
        optimizer=keras.optimizers.AdamW(schedule, weight_decay=1e-4, clipnorm=1.0), loss=loss
    )
    model.fit(
        batches,
        epochs=arguments.epochs,
        validation_data=(validation[..., None], unit(masks[parts == "validation"][..., None])),
        validation_freq=5,
        callbacks=[
            keras.callbacks.BackupAndRestore(arguments.output / "unfinished"),
            keras.callbacks.LambdaCallback(
                on_epoch_begin=lambda epoch, _: setattr(batches, "epoch", epoch)
            ),
        ],
        verbose=2,
    )
    keras.Model(model.input, model.output, name=model.name).save(weights)
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    weights.with_suffix(".json").write_text(
        json.dumps({"sha256": sha256})
    )  # without it they could not be measured


def dice(one: Mask, other: Mask) -> float:
    """Dice coefficient of two masks; 1 where both are empty."""
    both = int(one.sum()) + int(other.sum())
    return 2 * int((one & other).sum()) / both if both else 1.0


def measure_boxes(lungs: Lungs, annotation: dict[str, Any]) -> dict[str, float]:
    """Share of the masks inside the radiologists' two lung boxes, and the mean IoU of the boxes
    round the masks with theirs; 0 and 0 where the lungs were not found.
    """
    scale = np.asarray([SIZE / annotation["width"], SIZE / annotation["height"]] * 2)
    boxes = {
        box["label"]: np.asarray([box[key] for key in "xywh"]) * scale
        for box in annotation["boxes"]
    }
    centres = np.arange(SIZE) + 0.5
    within, ious = np.zeros((SIZE, SIZE), np.bool_), []
    for label, mask in (("right_lung", lungs.right), ("left_lung", lungs.left)):
        x, y, width, height = boxes[label]
        within |= np.outer(
            (centres > y) & (centres < y + height), (centres > x) & (centres < x + width)
        )
        left, top, mask_width, mask_height = cv2.boundingRect(mask.astype(np.uint8))
        common_width = max(0.0, min(x + width, left + mask_width) - max(x, left))
        common_height = max(0.0, min(y + height, top + mask_height) - max(y, top))
        common = common_width * common_height
        ious.append(common / (width * height + mask_width * mask_height - common))
    both = lungs.right | lungs.left
    return {
        "inside_boxes": float(within[both].mean()) if both.any() else 0.0,
        "box_iou": float(np.mean(ious)),
    }


DICE, NOT_FOUND = "Dice", "Lungs not found"
INSIDE = "Share of the masks inside the radiologists' lung boxes"
IOU = "IoU of boxes round the masks with the radiologists'"
SETS = {
    "test": "Montgomery and Shenzhen, held out",
    "adult": "adults (COVID-19 Image Data Collection)",
    "children": "children (Kermany test split)",
}


def is_development(name: str) -> bool:
    """A third of the adult set, by the hash of the file name: looked at during development; the
    rest once.
    """
    return int(hashlib.sha256(name.encode()).hexdigest(), 16) % 3 == 0


def mean_with_interval(
    values: list[float], seed: int, rounds: int = 2000
) -> tuple[float, tuple[float, float]]:
    """Mean and its 95 % percentile interval, resampling images."""
    array = np.asarray(values, np.float64)
    drawn = np.random.default_rng(seed).integers(0, len(array), (rounds, len(array)))
    low, high = np.percentile(array[drawn].mean(axis=1), [2.5, 97.5])
    return float(array.mean()), (float(low), float(high))


@dataclass(frozen=True, slots=True)
class Case:
    """A radiograph: what the network saw (256, 256), what was found, and figures against the truth,
    if any.
    """

    name: str
    image: Floats
    lungs: Lungs
    figures: dict[str, float]


def measure(
    arguments: argparse.Namespace, segmenter: LungSegmenter
) -> tuple[dict[str, list[Case]], dict[str, str]]:
    """The sets "test" (figure dice), "adult" (inside_boxes, box_iou) and "children" (none), and a
    SHA-256 of the data of each. Not found counts as 0.
    """
    _, masks, names, lungs_hash = read_data(arguments.data)
    is_test = parts_of(names, arguments.seed) == "test"
    truth = dict(zip(names, masks > 127, strict=True))
    hashes, measured = {"lungs": lungs_hash}, {}

    def find(
        paths: list[Path], digest: Any, figures: Callable[[str, Lungs], dict[str, float]]
    ) -> list[Case]:
        images = np.stack([segmenter_input(unit(read_grey(path, digest))) for path in paths])
        found = [find_lungs(probability) for probability in segmenter.probabilities(images)]
        return [
            Case(p.name, i, f, figures(p.name, f))
            for p, i, f in zip(paths, images, found, strict=True)
        ]

    paths = [
        arguments.data / "images" / f"{name}.jpg"
        for name, chosen in zip(names, is_test, strict=True)
        if chosen
    ]
    measured["test"] = find(
        paths,
        hashlib.sha256(),
        lambda name, lungs: {"dice": dice(truth[Path(name).stem], lungs.right | lungs.left)},
    )
    if arguments.adult is not None:
        records = {
            r["file"]: r
            for r in json.loads((arguments.adult / "annotations.json").read_text("utf-8"))
        }
        digest = hashlib.sha256()
        paths = [arguments.adult / "images" / name for name in records]
        measured["adult"] = find(
            paths, digest, lambda name, lungs: measure_boxes(lungs, records[name])
        )
        hashes["adult"] = digest.hexdigest()
    if arguments.children is not None:
        digest = hashlib.sha256()
        measured["children"] = find(
            sorted(arguments.children.rglob("*.jpeg")), digest, lambda name, lungs: {}
        )
        hashes["children"] = digest.hexdigest()
    return measured, hashes


def summarise(
    measured: dict[str, list[Case]], segmenter: LungSegmenter, seed: int
) -> tuple[Measured, ...]:
    """The card's figures: means with intervals, how often nothing was found, and how often what is
    turned was refused.
    """
    figures: list[Measured] = []

    def add(what: str, data: str, values: list[float], resampled: bool = True) -> None:
        mean, interval = mean_with_interval(values, seed)
        figures.append(Measured(what, data, mean, len(values), interval if resampled else None))

    for data, start in (
        (SETS["test"], ""),
        ("Montgomery, held out", "MCUCXR"),
        ("Shenzhen, held out", "CHNCXR"),
    ):
        add(
            DICE,
            data,
            [case.figures["dice"] for case in measured["test"] if case.name.startswith(start)],
        )
    adult = measured.get("adult", [])
    unseen = [case for case in adult if not is_development(case.name)]
    for what, figure in ((INSIDE, "inside_boxes"), (IOU, "box_iou")):
        for data, cases in (
            (SETS["adult"], adult),
            (f"{SETS['adult']}, not looked at before", unseen),
        ):
            if cases:
                add(what, data, [case.figures[figure] for case in cases])
    for name, cases in measured.items():
        add(
            NOT_FOUND,
            SETS[name],
            [float(case.lungs.reason is not None) for case in cases],
            resampled=False,
        )
    for name, cases in measured.items():
        images = np.stack([case.image for case in cases])
        for words, turns in TURNS.items():
            found = [
                find_lungs(p) for p in segmenter.probabilities(np.rot90(images, turns, (1, 2)))
            ]
            add(
                f"Refused, {words}",
                SETS[name],
                [float(f.reason is not None) for f in found],
                resampled=False,
            )
    return tuple(figures)


def started_from(arguments: argparse.Namespace) -> str:
    """The weights that a training started from, and what they taught, for the card."""
    if arguments.teacher is None:
        return "random weights"
    sha256 = hashlib.sha256(arguments.teacher.read_bytes()).hexdigest()
    folders = ", ".join(folder.name for folder in arguments.learn_children)
    return f"weights {sha256}, whose masks of children were learnt too: {folders or 'none'}"


def describe(arguments: argparse.Namespace, weights: Path) -> ModelCard:
    """The model card of `weights`: what it is for, its data, and figures measured now."""
    segmenter = LungSegmenter(weights)
    measured, hashes = measure(arguments, segmenter)
    parts = parts_of(
        [path.stem for path in sorted((arguments.data / "images").iterdir())], arguments.seed
    )
    num_cases = {part: int((parts == part).sum()) for part in ("train", "validation", "test")}
    for name, cases in measured.items():
        if name != "test":
            num_cases[name] = len(cases)
    return ModelCard(
        name="cxr-audit lung segmenter",
        weights=weights.name,
        sha256=hashlib.sha256(weights.read_bytes()).hexdigest(),
        parameters=segmenter.parameters,
        input=f"{SIZE}x{SIZE}x1, stretched, 1st to 99th percentile spread over [0, 1], CLAHE",
        intended_use=(
            "to say which part of a frontal chest radiograph is lung, for cxr-audit; not for "
            "any clinical use"
        ),
        population=Population(
            "adults, erect postero-anterior radiographs, two tuberculosis programmes "
            "(Montgomery County, USA; Shenzhen, China)",
            views=("PA",),
        ),
        data=CardData(
            "Jaeger et al.: Two public chest X-ray datasets for computer-aided screening of "
            "pulmonary diseases, Quant Imaging Med Surg 2014, 4(6), 475-477; U.S. National "
            "Library of Medicine. Measured also on the lung boxes of Cohen et al.: COVID-19 "
            "Image Data Collection, arXiv 2006.11988, and on paediatric radiographs of "
            "Kermany et al., Mendeley Data, doi 10.17632/rscbjbr9sj",
            licence="Montgomery, Shenzhen: public, to be cited; COVID-19: CC BY or CC BY-SA by "
            "image; Kermany: CC BY 4.0",
            sha256=hashes,
            num_cases=num_cases,
        ),
        measured=summarise(measured, segmenter, arguments.seed),
        limits=LIMITS,
        training={
            "command": "python -m cxr_audit.reference.train_lungs --data ../shared/data/lungs",
            "started_from": started_from(arguments),
            "rate": arguments.rate,
            "seed": arguments.seed,
            "epochs": arguments.epochs,
            "versions": {
                "keras": keras.__version__,
                "numpy": np.__version__,
                "opencv": cv2.__version__,
            },
        },
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with images/ and masks/")
    parser.add_argument(
        "--adult", type=Path, help="folder with images/ and annotations.json, to be measured"
    )
    parser.add_argument(
        "--children", type=Path, help="folder of paediatric radiographs, to be measured"
    )
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "weights")
    parser.add_argument(
        "--teacher", type=Path, help="weights to start from, and whose masks of children are learnt"
    )
    parser.add_argument(
        "--learn-children",
        type=Path,
        nargs="*",
        default=[],
        help="folders of paediatric radiographs to train on, with the teacher's masks",
    )
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--epochs", type=int, default=75)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seed", type=int, default=20261122)
    parser.add_argument(
        "--card-only", action="store_true", help="measure the weights that are there again"
    )
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    weights = arguments.output / "lungs.keras"
    if not arguments.card_only:
        train(arguments, weights)
    card = to_json(describe(arguments, weights))
    weights.with_suffix(".json").write_bytes(card)
    print(card.decode())


if __name__ == "__main__":
    main()

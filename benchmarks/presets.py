"""How far each preset is from the library that it is named after.

    python -m benchmarks.presets

prints, for each preset, interpolation and antialiasing, the largest difference in grey levels of
255 over three sizes (shrinking by uneven factors, shrinking by two, enlarging), and to a real
radiograph where ../shared/data is there. Keras, TensorFlow, Pillow and OpenCV are asked here; the
answers of the others are in tests/preprocess/references.npz, made by
benchmarks/preset_references.py.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from cxr_audit.config import Preprocess
from cxr_audit.preprocess import preprocess
from cxr_audit.records import Radiograph, RadiographFacts, SourceFile

from benchmarks.preset_references import CASES, SIZE, picture

ROOT = Path(__file__).resolve().parent.parent
REFERENCES = ROOT / "tests" / "preprocess" / "references.npz"
TXV = 1024

Row = tuple[str, str, str, bool, str, float]
"""Preset, resize, interpolation, antialias, case, largest difference in grey levels."""


def ours(image: np.ndarray, size: tuple[int, int], **settings: Any) -> np.ndarray:
    """Our model input in grey levels of 255."""
    source = SourceFile("0" * 64, "0" * 64, "PNG", None, "benchmark")
    pixels = (image / np.float32(255)).astype(np.float32)
    radiograph = Radiograph("case", pixels, RadiographFacts(*pixels.shape, source))
    config = Preprocess(rows=size[0], columns=size[1], channels=1, scaling="raw_255", **settings)
    return preprocess(radiograph, config)[0].tensor[..., 0]


def by_keras_load_img(image: np.ndarray, size: tuple[int, int], name: str, resize: str) -> Any:
    import keras
    from PIL import Image

    method = {"area": "box"}.get(name, name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        Image.fromarray(image).save(path)
        loaded = keras.utils.load_img(
            path,
            color_mode="grayscale",
            target_size=size,
            interpolation=method,
            keep_aspect_ratio=resize == "crop_resize",
        )
    return np.asarray(loaded)


def by_keras_dataset(
    image: np.ndarray, size: tuple[int, int], name: str, antialias: bool, resize: str
) -> Any:
    """What image_dataset_from_directory yields."""
    import keras
    from PIL import Image

    method = {"lanczos": "lanczos3"}.get(name, name)
    with tempfile.TemporaryDirectory() as folder:
        for label in ("a", "b"):
            (Path(folder) / label).mkdir()
            Image.fromarray(image).save(Path(folder) / label / "picture.png")
        dataset = keras.utils.image_dataset_from_directory(
            folder,
            image_size=size,
            color_mode="grayscale",
            batch_size=1,
            interpolation=method,
            crop_to_aspect_ratio=resize == "crop_resize",
            pad_to_aspect_ratio=resize == "letterbox",
            shuffle=False,
            verbose=False,
        )
        return next(iter(dataset))[0].numpy()[0, ..., 0]


def by_tf_image(
    image: np.ndarray, size: tuple[int, int], name: str, antialias: bool, resize: str
) -> Any:
    import tensorflow as tf

    method = {"lanczos": "lanczos3"}.get(name, name)
    if resize == "letterbox":
        resized = tf.image.resize_with_pad(
            image[..., None], *size, method=method, antialias=antialias
        )
    else:
        resized = tf.image.resize(image[..., None], size, method=method, antialias=antialias)
    return resized.numpy()[..., 0]


def by_pillow(image: np.ndarray, size: tuple[int, int], name: str) -> Any:
    from PIL import Image

    method = {"area": "BOX"}.get(name, name.upper())
    chosen = Image.Resampling[method]
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), chosen))


def by_opencv(image: np.ndarray, size: tuple[int, int], name: str) -> Any:
    import cv2

    flags = {"bilinear": "LINEAR", "bicubic": "CUBIC", "lanczos": "LANCZOS4"}
    flag = getattr(cv2, f"INTER_{flags.get(name, name.upper())}")
    return cv2.resize(image, (size[1], size[0]), interpolation=flag)


PILLOW = (("nearest", False), *((n, True) for n in ("bilinear", "bicubic", "area", "lanczos")))
OPENCV = (("area", True), *((n, False) for n in ("nearest", "bilinear", "bicubic", "lanczos")))
TENSORFLOW = (
    ("nearest", False),
    ("area", True),
    *((n, antialias) for n in ("bilinear", "bicubic", "lanczos") for antialias in (False, True)),
)
DATASET = tuple(pair for pair in TENSORFLOW if pair[0] == "area" or not pair[1])

Asked = Callable[[np.ndarray, tuple[int, int], str, bool, str], Any]
LIVE: dict[str, tuple[tuple[tuple[str, bool], ...], tuple[str, ...], Asked]] = {
    "keras-generator": (
        PILLOW,
        ("stretch", "crop_resize"),
        lambda image, size, name, antialias, resize: by_keras_load_img(image, size, name, resize),
    ),
    "keras-image-dataset": (DATASET, ("stretch", "crop_resize", "letterbox"), by_keras_dataset),
    "tf-image": (TENSORFLOW, ("stretch", "letterbox"), by_tf_image),
    "pil": (PILLOW, ("stretch",), lambda image, size, name, *_: by_pillow(image, size, name)),
    "opencv": (OPENCV, ("stretch",), lambda image, size, name, *_: by_opencv(image, size, name)),
}


def live(images: dict[str, np.ndarray], size: tuple[int, int] = SIZE) -> Iterator[Row]:
    """The difference of our model inputs to those of the libraries that are installed."""
    for preset, (pairs, resizes, ask) in LIVE.items():
        for resize in resizes:
            for name, antialias in pairs:
                for case, image in images.items():
                    expected = np.asarray(ask(image, size, name, antialias, resize), np.float64)
                    received = ours(
                        image,
                        size,
                        preset=preset,
                        resize=resize,
                        interpolation=name,
                        antialias=antialias,
                    )
                    difference = float(np.abs(received - expected).max())
                    yield preset, resize, name, antialias, case, difference


def recorded() -> Iterator[Row]:
    """The difference to the arrays that libraries which are not installed have made."""
    with np.load(REFERENCES) as arrays:
        kept = {name: arrays[name] for name in arrays.files if name.count("/") == 4}
    for key, expected in kept.items():
        preset, resize, name, antialias, case = key.split("/")
        size = (40, 40) if preset == "torchxrayvision" else SIZE
        settings: dict[str, Any] = {"short_side": 52} if resize == "center_crop" else {}
        received = ours(
            picture(*CASES[case]),
            size,
            preset=preset,
            resize=resize,
            interpolation=name,
            antialias=antialias == "True",
            **settings,
        )
        if preset == "torchxrayvision":
            expected = (expected + TXV) * 255 / (2 * TXV)
        difference = float(np.abs(received - expected.astype(np.float64)).max())
        yield preset, resize, name, antialias == "True", case, difference


def main() -> None:
    images = {case: picture(*shape) for case, shape in CASES.items()}
    real = sorted((ROOT.parent / "shared" / "data" / "adult" / "images").glob("*"))
    if len(sys.argv) > 1:
        real = [Path(sys.argv[1])]
    if real:
        from PIL import Image

        images["real"] = np.asarray(Image.open(real[0]).convert("L"))
    rows = [*live(images), *recorded()]
    largest: dict[tuple[str, str, str, bool], dict[str, float]] = {}
    for preset, resize, name, antialias, case, difference in rows:
        largest.setdefault((preset, resize, name, antialias), {})[case] = difference
    cases = [*CASES, "real"]
    print("largest difference in grey levels of 255")
    print(f"{'preset':20} {'resize':12} {'interpolation':22}" + "".join(f"{c:>9}" for c in cases))
    for (preset, resize, name, antialias), by_case in largest.items():
        how = f"{name}{', antialiased' if antialias else ''}"
        figures = [f"{by_case[c]:9.4f}" if c in by_case else f"{'-':>9}" for c in cases]
        print(f"{preset:20} {resize:12} {how:22}" + "".join(figures))


if __name__ == "__main__":
    main()

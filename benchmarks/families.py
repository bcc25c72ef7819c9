"""Every classifier family of keras.applications, flat and nested, from .keras and .h5: is it split
exactly?

    .venv/bin/python -m benchmarks.families [FAMILY ...]

Random weights at the smallest size that leaves a grid. The logit and the map are compared with
NumPy on the backbone's own output: the map is A . w / Z, the logit its sum plus the bias. The tests
run one column for each family.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np

# The smallest height and width that leave a grid of at least 2x2 at the end.
FAMILIES = {
    "VGG16": 64,
    "VGG19": 64,
    "ResNet50": 64,
    "ResNet50V2": 64,
    "InceptionV3": 107,
    "InceptionResNetV2": 107,
    "Xception": 71,
    "DenseNet121": 64,
    "MobileNet": 64,
    "MobileNetV2": 64,
    "MobileNetV3Small": 64,
    "MobileNetV3Large": 64,
    "NASNetMobile": 64,
    "EfficientNetB0": 64,
    "EfficientNetV2B0": 64,
    "ConvNeXtTiny": 64,
}
VARIANTS = (("flat", ".keras"), ("nested", ".keras"), ("flat", ".h5"), ("nested", ".h5"))


class Gap(NamedTuple):
    """Largest differences to NumPy for one file."""

    layer: str
    logit: float
    map: float


def compare(family: str, variants: tuple[tuple[str, str], ...], folder: Path) -> list[Gap]:
    """Save, load and split a family's model in each variant."""
    from cxr_audit.classifier import Classifier, load_keras  # noqa: I001  first: it silences TensorFlow's start-up
    import keras

    keras.utils.set_random_seed(7)
    shape = (FAMILIES[family], FAMILIES[family], 3)
    images = np.random.default_rng(7).uniform(0, 255, (2, *shape)).astype(np.float32)
    backbone = getattr(keras.applications, family)(
        weights=None, include_top=False, input_shape=shape
    )
    features = np.asarray(backbone(images, training=False), np.float64)
    # Features of random weights are anywhere between 1e-20 and 1e3: a kernel that brings the logits
    # near 1.
    pooled = features.mean((1, 2))
    kernel = np.random.default_rng(8).normal(0, 1 / np.linalg.norm(pooled[0]), (pooled.shape[1], 1))
    maps, logits = (
        features @ kernel[:, 0] / (features.shape[1] * features.shape[2]),
        pooled @ kernel + 0.25,
    )

    tail = [
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(1, "sigmoid"),
    ]
    nested = keras.Sequential([keras.Input(shape), backbone, *tail])
    tail[-1].set_weights([kernel, np.asarray([0.25])])
    models = {
        "nested": nested,
        "flat": keras.Model(backbone.input, tail[2](tail[1](tail[0](backbone.output)))),
    }
    gaps = []
    for layout, suffix in variants:
        path = folder / f"{family}-{layout}{suffix}"
        models[layout].save(path)
        split = Classifier(load_keras(path), shape).split()
        path.unlink()
        assert split.pooled_weights is not None, split.head_in_words
        found, _, scores = split._forward_steps(images)  # without tracing, which would cost seconds
        values = (
            np.asarray(found, np.float64)
            @ split.pooled_weights[0][:, 0]
            / np.prod(split.layer.grid)
        )
        gaps.append(
            Gap(
                split.layer.name,
                float(np.abs(scores - logits).max()),
                float(np.abs(values - maps).max()),
            )
        )
    return gaps


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("family", nargs="*", help=f"all, or some of: {', '.join(FAMILIES)}")
    families = parser.parse_args().family or list(FAMILIES)
    if unknown := set(families) - set(FAMILIES):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    warnings.filterwarnings("ignore", "You are saving your model as an HDF5 file")
    print("largest difference of the logit / of the map to NumPy\n")
    print(
        f"{'family':18}"
        + "".join(f"{layout + ' ' + suffix:>18}" for layout, suffix in VARIANTS)
        + "  target layer"
    )
    with tempfile.TemporaryDirectory() as folder:
        for family in families:
            gaps = compare(family, VARIANTS, Path(folder))
            print(
                f"{family:18}" + "".join(f"{g.logit:9.0e} /{g.map:7.0e}" for g in gaps),
                "",
                gaps[0].layer,
                flush=True,
            )


if __name__ == "__main__":
    main()

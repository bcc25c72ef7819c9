"""Classifiers as TensorFlow 2.15 saves them: do they open here, and answer as they did there?

    python benchmarks/zoo_keras2.py --python /path/of/a/python/with/tensorflow-2.15 --out zoo-keras2

Backbones of keras.applications (random weights and batch statistics, small inputs) in the four
ways in which transfer learning is written, each saved as `.h5` and `.keras` (one way as
SavedModel too) by that Python with the answers of Keras 2 to two inputs. Prints a table; ends
with 1 where a file opens and answers otherwise.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

TOLERANCE = 1e-4
FORMATS = {"h5": ".h5", "keras": ".keras", "SavedModel": ""}

MAKE = """
import sys
from pathlib import Path
import numpy as np
import tensorflow as tf
keras, layers = tf.keras, tf.keras.layers
out, chosen = Path(sys.argv[1]), sys.argv[2].split(",")
apps = keras.applications
BACKBONES = {
    "ResNet50": (apps.ResNet50, apps.resnet50, 64),
    "ResNet50V2": (apps.ResNet50V2, apps.resnet_v2, 64),
    "DenseNet121": (apps.DenseNet121, apps.densenet, 64),
    "MobileNetV2": (apps.MobileNetV2, apps.mobilenet_v2, 64),
    "MobileNetV3Small": (apps.MobileNetV3Small, apps.mobilenet_v3, 64),
    "EfficientNetB0": (apps.EfficientNetB0, apps.efficientnet, 64),
    "EfficientNetV2B0": (apps.EfficientNetV2B0, apps.efficientnet_v2, 64),
    "InceptionV3": (apps.InceptionV3, apps.inception_v3, 96),
    "InceptionResNetV2": (apps.InceptionResNetV2, apps.inception_resnet_v2, 96),
    "Xception": (apps.Xception, apps.xception, 96),
    "VGG16": (apps.VGG16, apps.vgg16, 64),
    "NASNetMobile": (apps.NASNetMobile, apps.nasnet, 64),
    "ConvNeXtTiny": (apps.ConvNeXtTiny, apps.convnext, 64),
}
rng = np.random.default_rng(0)


def randomise(model):
    for w in model.weights:
        v = w.numpy()
        if "moving_variance" in w.name or "gamma" in w.name:
            w.assign(rng.uniform(0.7, 1.3, v.shape))
        elif "moving_mean" in w.name or "beta" in w.name or "bias" in w.name:
            w.assign(rng.normal(0, 0.1, v.shape))


def flat(base, pre, size):
    x = layers.GlobalAveragePooling2D()(base.output)
    return keras.Model(base.input, layers.Dense(1, activation="sigmoid")(layers.Dropout(0.2)(x)))


def sequential(base, pre, size):
    return keras.Sequential([base, layers.GlobalAveragePooling2D(), layers.Dense(2, "softmax")])


def nested(base, pre, size):
    augment = keras.Sequential(
        [layers.RandomFlip("horizontal"), layers.RandomRotation(0.1), layers.RandomZoom(0.1)]
    )
    image = keras.Input((size, size, 3))
    x = pre.preprocess_input(augment(image))
    base.trainable = False
    x = layers.GlobalAveragePooling2D()(base(x, training=False))
    return keras.Model(image, layers.Dense(1, "sigmoid")(layers.Dropout(0.2)(x)))


def partly_frozen(base, pre, size):
    for layer in base.layers[: len(base.layers) // 2]:
        layer.trainable = False
    image = keras.Input((size, size, 1))
    x = pre.preprocess_input(layers.Concatenate()([image, image, image]))
    x = layers.Flatten()(base(x))
    return keras.Model(image, layers.Dense(1, "sigmoid")(layers.Dense(8, "relu")(x)))


def vit(size):
    image = keras.Input((size, size, 3))
    x = layers.Conv2D(32, 8, 8)(image / 127.5 - 1)
    x = layers.Reshape((-1, 32))(x)
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = x + layers.MultiHeadAttention(4, 8)(y, y)
        y = layers.Dense(64, tf.nn.gelu)(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(32)(y)])
    x = tf.reduce_mean(x, axis=1)
    return keras.Model(image, layers.Dense(1, "sigmoid")(x))


def save(name, model):
    randomise(model)
    shape = [n or 64 for n in model.input_shape[1:]]
    x = rng.uniform(0, 255, (2, *shape)).astype(np.float32)
    for _ in range(2):  # logits near 0, so that no difference hides in a saturated output
        y = model(x, training=False).numpy()
        last = [l for l in model.layers if isinstance(l, layers.Dense)][-1]
        logit = np.log(np.clip(y, 1e-30, 1) / np.clip(1 - y, 1e-30, 1))
        last.kernel.assign(last.kernel / max(1.0, np.abs(logit).max() / 2))
    np.savez(out / f"{name}.npz", x=x, y=model(x, training=False).numpy())
    saved = name in ("MobileNetV2-nested", "ViT-attention")
    for suffix in (".h5", ".keras", "") if saved else (".h5", ".keras"):
        try:
            model.save(out / f"{name}{suffix}")
        except TypeError as error:  # Keras 2.15 cannot write x[..., ::-1] to .keras
            print("Keras 2 cannot save", name, suffix, error, flush=True)
    print("made", name, flush=True)


for name, (make, pre, size) in BACKBONES.items():
    if name in chosen or chosen == ["all"]:
        for way in (nested, partly_frozen, flat, sequential):
            if (out / f"{name}-{way.__name__}.npz").exists():
                continue
            keras.backend.clear_session()
            base = make(include_top=False, weights=None, input_shape=(size, size, 3))
            save(f"{name}-{way.__name__}", way(base, pre, size))
if "ViT" in chosen or chosen == ["all"]:
    save("ViT-attention", vit(64))
"""


def check(path: Path, answers: Path) -> tuple[str, bool]:
    """A cell of the table, and whether it is a defect."""
    from cxr_audit.classifier import load_keras
    from cxr_audit.errors import ModelError

    if not path.exists():
        return "", False
    with np.load(answers) as file:
        images, expected = file["x"], file["y"]
    try:
        answer = np.asarray(load_keras(path)(images, training=False))
    except ModelError as error:
        return f"refused: {str(error).replace(str(path), 'it')[:90]}", False
    gap = float(np.abs(answer - expected).max())
    return f"{gap:.1e}" if gap <= TOLERANCE else f"DIFFERS {gap:.2g}", gap > TOLERANCE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", required=True, help="a Python with TensorFlow 2.15")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", default="all", help="names of backbones, separated by commas")
    parser.add_argument("--made", action="store_true", help="the files are there already")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    if not arguments.made:
        command = [arguments.python, "-c", MAKE, str(arguments.out), arguments.only]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    defects = 0
    print(f"| classifier | {' | '.join(FORMATS)} |\n|---|{'---|' * len(FORMATS)}")
    for answers in sorted(arguments.out.glob("*.npz")):
        cells = []
        for suffix in FORMATS.values():
            cell, defect = check(answers.with_name(answers.stem + suffix), answers)
            cells.append(cell)
            defects += defect
        print(f"| {answers.stem} | {' | '.join(cells)} |", flush=True)
    print(f"{defects} defects")
    return 1 if defects else 0


if __name__ == "__main__":
    sys.exit(main())

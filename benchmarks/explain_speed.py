"""What Grad-CAM costs, as a multiple of the plain forward pass of the same batch; ours and four
other libraries.

    .venv/bin/python -m benchmarks.explain_speed [--batch 16] [--rounds 9] [--pictures]
    .venv/bin/python -m benchmarks.explain_speed --peers PYTHON    PYTHON: an environment of its own
    with the peers:
        pip install xplique tf-keras-vis grad-cam captum torchvision

DenseNet121 with random weights at 224 x 224; a library that cannot take the nested model gets the
flat one. Plain pass and Grad-CAM take turns within each library, so that other load on the machine
falls on both; the ratio is the median of the ratios of neighbours, on the wall clock and in CPU
time.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

Pair = tuple[Callable[[], Any], Callable[[], Any]]
SHAPE = (224, 224, 3)


def densenet(head: str, is_nested: bool) -> Any:
    import keras

    keras.utils.set_random_seed(1)
    backbone = keras.applications.DenseNet121(weights=None, include_top=False, input_shape=SHAPE)
    tail = {
        "gap": [keras.layers.GlobalAveragePooling2D()],
        "flatten": [keras.layers.Flatten()],
        "mlp": [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(256, "relu")],
    }[head]
    tail += [keras.layers.Dropout(0.3), keras.layers.Dense(2)]
    if is_nested:
        return keras.Sequential([keras.Input(SHAPE), backbone, *tail])
    x = backbone.output
    for layer in tail:
        x = layer(x)
    return keras.Model(backbone.input, x)


def plain_keras(model: Any, batch: np.ndarray) -> Callable[[], Any]:
    import tensorflow as tf

    forward, tensor = tf.function(lambda x: model(x, training=False)), tf.constant(batch)
    return lambda: forward(tensor).numpy()


def ours(head: str, method: str) -> Callable[[np.ndarray], Pair]:
    def pair(batch: np.ndarray) -> Pair:
        from cxr_audit.classifier import Classifier
        from cxr_audit.explain import Explainer

        model = densenet(head, is_nested=True)
        explainer = Explainer(Classifier(model, SHAPE), (method,))
        return plain_keras(model, batch), lambda: explainer.explain(batch, [None] * len(batch))

    return pair


def xplique(batch: np.ndarray) -> Pair:
    from xplique.attributions import GradCAM

    model = densenet("gap", is_nested=False)
    explainer, targets = (
        GradCAM(model, batch_size=len(batch)),
        np.eye(2, dtype=np.float32)[[1] * len(batch)],
    )
    return plain_keras(model, batch), lambda: explainer.explain(batch, targets)


def tf_keras_vis(batch: np.ndarray) -> Pair:
    from tf_keras_vis.gradcam import Gradcam
    from tf_keras_vis.utils.scores import CategoricalScore

    model = densenet("gap", is_nested=False)
    gradcam, score = Gradcam(model, clone=False), CategoricalScore([1] * len(batch))
    layer = model.get_layer("relu")
    return plain_keras(model, batch), lambda: gradcam(score, batch, penultimate_layer=layer)


def name_operators() -> None:
    """torchvision's compiled part may be missing beside a CPU build of PyTorch; no operator of it
    is used here, but two have to have a name.
    """
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor a, Tensor b, float c) -> Tensor")


def torch_densenet(batch: np.ndarray) -> tuple[Any, Any, Callable[[], Any]]:
    import torch
    from torchvision.models import densenet121

    model, tensor = (
        densenet121(weights=None, num_classes=2).eval(),
        torch.from_numpy(batch.transpose(0, 3, 1, 2).copy()),
    )

    def forward() -> Any:
        with torch.no_grad():
            return model(tensor).numpy()

    return model, tensor, forward


def pytorch_grad_cam(batch: np.ndarray) -> Pair:
    name_operators()
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    model, tensor, forward = torch_densenet(batch)
    cam, targets = GradCAM(model, [model.features[-1]]), [ClassifierOutputTarget(1)] * len(batch)
    return forward, lambda: cam(input_tensor=tensor, targets=targets)


def captum(batch: np.ndarray) -> Pair:
    name_operators()
    from captum.attr import LayerGradCam

    model, tensor, forward = torch_densenet(batch)
    cam = LayerGradCam(model, model.features[-1])
    return forward, lambda: cam.attribute(tensor, target=1).detach().numpy()


OURS = {
    "cxr-audit, GAP -> Dense": ours("gap", "grad-cam"),
    "cxr-audit, Flatten -> Dense": ours("flatten", "hirescam"),
    "cxr-audit, GAP -> Dense -> Dense": ours("mlp", "grad-cam"),
}
PEERS = {
    "xplique": xplique,
    "tf-keras-vis": tf_keras_vis,
    "pytorch-grad-cam": pytorch_grad_cam,
    "captum": captum,
}


def measure(pair: Pair, rounds: int) -> dict[str, float]:
    plain, explained = pair
    plain(), explained(), plain(), explained()
    wall, cpu = [], []
    for n in range(rounds):
        both = {}
        for call in (plain, explained) if n % 2 else (explained, plain):
            start = time.perf_counter(), time.process_time()
            call()
            both[call] = time.perf_counter() - start[0], time.process_time() - start[1]
        wall.append((both[plain][0], both[explained][0]))
        cpu.append((both[plain][1], both[explained][1]))
    return {
        "plain_ms": 1e3 * median(p for p, _ in wall),
        "explained_ms": 1e3 * median(e for _, e in wall),
        "wall_ratio": median(e / p for p, e in wall),
        "cpu_ratio": median(e / p for p, e in cpu),
    }


def pictures() -> None:
    """An overlay at print size and its JPEG."""
    import cv2
    from cxr_audit.report.pictures import encode_jpeg, overlay

    cv2.setNumThreads(1)  # as in a worker
    row, column = np.mgrid[0:900, 0:760].astype(np.float32) / 900
    heatmap = np.exp(-((row - 0.5) ** 2 + (column - 0.6) ** 2) / 0.02) - np.float32(0.02)
    grey = cv2.GaussianBlur(
        np.random.default_rng(0).random(row.shape).astype(np.float32), (0, 0), 3
    )
    picture = cv2.normalize(grey, None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    covered = np.ones(row.shape, bool)
    drawn = overlay(picture, heatmap, covered, 0.9)
    calls = {
        "overlay": lambda: overlay(picture, heatmap, covered, 0.9),
        "JPEG": lambda: encode_jpeg(drawn),
    }
    for name, call in calls.items():
        times = []
        for _ in range(50):
            start = time.perf_counter()
            call()
            times.append(time.perf_counter() - start)
        print(
            f"{name:10} 900 x 760 px: median {1e3 * median(times):.1f} ms, "
            f"quickest {1e3 * min(times):.1f} ms"
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--peers", type=Path, help="Python of the peers' environment")
    parser.add_argument("--pictures", action="store_true", help="time the drawing only")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.pictures:
        pictures()
        return
    if arguments.only:
        batch = np.random.default_rng(0).random((arguments.batch, *SHAPE), np.float32)
        print(json.dumps(measure({**OURS, **PEERS}[arguments.only](batch), arguments.rounds)))
        return
    print(f"{'':34}{'plain ms':>10}{'Grad-CAM ms':>13}{'wall ratio':>12}{'CPU ratio':>11}")
    for name in (*OURS, *(PEERS if arguments.peers else ())):
        python = sys.executable if name in OURS else str(arguments.peers)
        command = [
            python,
            __file__,
            "--only",
            name,
            f"--batch={arguments.batch}",
            f"--rounds={arguments.rounds}",
        ]
        paths = [
            str(Path(__file__).resolve().parents[1]),
            *filter(None, [os.environ.get("PYTHONPATH")]),
        ]
        environment = {
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "PYTHONPATH": os.pathsep.join(paths),
        }
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            print(
                f"{name:34}does not run here: "
                f"{(done.stderr.strip() or 'killed').splitlines()[-1][:120]}",
                flush=True,
            )
            continue
        found = json.loads(done.stdout.splitlines()[-1])
        print(
            f"{name:34}{found['plain_ms']:10.0f}{found['explained_ms']:13.0f}"
            f"{found['wall_ratio']:12.3f}{found['cpu_ratio']:11.3f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

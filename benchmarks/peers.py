"""Our maps beside those of pytorch-grad-cam, Captum and Xplique, on the same weights and grid.

The peers need an environment of their own; cxr-audit does not depend on them. On a machine with
little disk, use PyTorch's CPU build:

    python3 -m venv ../peers
    ../peers/bin/pip install torch torchvision torchxrayvision grad-cam captum xplique
    ../peers/bin/pip install deprecated pytest -e .
    ../peers/bin/python -m benchmarks.peers

The network is TorchXRayVision's DenseNet121 with random weights, in PyTorch and, imported by
cxr-audit, in Keras. Two layers: the last ReLU, whose head is affine, and the end of block 3, whose
head is a whole dense block. Prints the lowest Pearson correlation over the images; below 0.999
without an explanation the command fails.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

IMAGES, FINDING = 4, 8  # Pneumonia
LAYERS = {"relu": "relu", "pool4_pool": "transition3"}
# Known differences, each shown to be the whole difference by a second row in which ours computes the same thing.
EPSILON, BEFORE, MIXED = "grad-cam++ + 1e-6", "bn", "relu of bn"
EXPLAINED = {
    ("grad-cam++", "pytorch-grad-cam"): f"it adds 1e-6 to alpha's denominator: see {EPSILON!r}",
    (
        "grad-cam",
        "pytorch-grad-cam at norm5",
    ): f"TXV's ReLU is in place: A after, dy/dA before it: see {MIXED!r}",
    ("grad-cam", "Captum at norm5"): f"it sees norm5 before the in-place ReLU: see {BEFORE!r}",
}


def torchxrayvision() -> Any:
    """The package. It imports torchvision, whose compiled part may be missing beside a CPU build of PyTorch; no
    operator of it is used, but two have to have a name."""
    import torch

    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in ("nms", "qnms"):
            torch.library.define(f"torchvision::{name}", "(Tensor a, Tensor b, float c) -> Tensor")
    import torchxrayvision as package

    return package


def random_torchxrayvision() -> Any:
    """Its DenseNet121 with random weights and batch statistics, scaled so that the logits are near 1."""
    package = torchxrayvision()
    import torch

    torch.manual_seed(0)
    network = package.models.DenseNet().eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-0.2, 0.2)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(0.7, 1.3)
                module.bias.uniform_(-0.2, 0.2)
        network.features.conv0.weight /= 1024
        network.classifier.bias.uniform_(-0.5, 0.5)
    return network


def ours(path: Path, images: np.ndarray) -> dict[tuple[str, str], np.ndarray]:
    from cxr_audit.classifier import Classifier, load_keras
    from cxr_audit.explain.methods import FUNCTIONS

    classifier = Classifier(load_keras(path), (224, 224, 1))
    selectors = np.tile(classifier.selector(classifier.class_names[FINDING]), (IMAGES, 1))
    maps = {}
    for layer in LAYERS:
        activations, _, _, gradients = classifier.split(layer).forward(images, selectors)
        for method in ("grad-cam", "grad-cam++", "hirescam", "layercam", "xgrad-cam"):
            maps[layer, method] = FUNCTIONS[method](np.asarray(activations), gradients)
        squared = gradients**2
        total = np.asarray(activations).sum((1, 2), keepdims=True)
        alpha = squared / (2 * squared + total * squared * gradients + 1e-6)
        weights = (alpha * np.maximum(gradients, 0)).sum((1, 2), keepdims=True)
        maps[layer, EPSILON] = (np.asarray(activations) * weights).sum(-1)
    activations, _, _, gradients = classifier.split(BEFORE).forward(images, selectors)
    maps[BEFORE, "grad-cam"] = FUNCTIONS["grad-cam"](np.asarray(activations), gradients)
    maps[MIXED, "grad-cam"] = FUNCTIONS["grad-cam"](np.maximum(activations, 0), gradients)
    return maps


def pytorch_maps(network: Any, images: np.ndarray) -> dict[tuple[str, str, str], np.ndarray]:
    """(layer, method, library) -> maps (N, h, w)."""
    import captum.attr
    import pytorch_grad_cam as cams
    import torch
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    class Unrolled(torch.nn.Module):
        """The same network with its last ReLU as a layer, not in place."""

        def __init__(self) -> None:
            super().__init__()
            self.features, self.relu, self.classifier = (
                network.features,
                torch.nn.ReLU(),
                network.classifier,
            )

        def forward(self, x: Any) -> Any:
            return self.classifier(self.relu(self.features(x)).mean((2, 3)))

    unrolled = Unrolled().eval()
    x = torch.from_numpy(images.transpose(0, 3, 1, 2).copy())
    targets = [ClassifierOutputTarget(FINDING)] * len(images)
    kinds = {
        "grad-cam": cams.GradCAM,
        "grad-cam++": cams.GradCAMPlusPlus,
        "hirescam": cams.HiResCAM,
        "layercam": cams.LayerCAM,
        "xgrad-cam": cams.XGradCAM,
    }

    def native(kind: Any, model: Any, layer: Any) -> np.ndarray:
        """The map before that library's own ReLU, upsampling and normalisation."""

        class Recording(kind):  # type: ignore[misc]
            def get_cam_image(self, *arguments: Any, **options: Any) -> Any:
                self.native = super().get_cam_image(*arguments, **options)
                return self.native

        with Recording(model=model, target_layers=[layer]) as cam:
            cam(input_tensor=x, targets=targets)
            return np.asarray(cam.native)

    maps = {}
    for ours_name, name in LAYERS.items():
        layer = unrolled.relu if name == "relu" else getattr(unrolled.features, name)
        for method, kind in kinds.items():
            maps[ours_name, method, "pytorch-grad-cam"] = native(kind, unrolled, layer)
        found = captum.attr.LayerGradCam(unrolled, layer).attribute(x, target=FINDING)
        maps[ours_name, "grad-cam", "Captum"] = found.detach().numpy()[:, 0]
    norm5 = network.features.norm5
    found = native(cams.GradCAM, network, norm5)
    maps["relu", "grad-cam", "pytorch-grad-cam at norm5"] = maps[
        MIXED, "grad-cam", "pytorch-grad-cam at norm5"
    ] = found
    found = (
        captum.attr.LayerGradCam(network, norm5).attribute(x, target=FINDING).detach().numpy()[:, 0]
    )
    maps["relu", "grad-cam", "Captum at norm5"] = maps[BEFORE, "grad-cam", "Captum at norm5"] = (
        found
    )
    for name in LAYERS:
        maps[name, EPSILON, "pytorch-grad-cam"] = maps[name, "grad-cam++", "pytorch-grad-cam"]
    return maps


def xplique_maps(path: Path, images: np.ndarray) -> dict[tuple[str, str, str], np.ndarray]:
    """On the flat Keras model with its sigmoid taken off; before the ReLU, which leaves nothing of a negative map."""
    import keras
    import xplique.attributions as attributions
    from cxr_audit.classifier import load_keras

    model = load_keras(path)
    dense = model.get_layer("findings")
    logits = keras.layers.Dense(dense.units, name="logits")
    flat = keras.Model(model.input, logits(dense.input))
    logits.set_weights(dense.get_weights())
    one_hot = np.eye(dense.units, dtype=np.float32)[[FINDING] * len(images)]
    maps = {}
    for layer in LAYERS:
        for method, kind in {
            "grad-cam": attributions.GradCAM,
            "grad-cam++": attributions.GradCAMPP,
        }.items():
            cam = kind(flat, conv_layer=layer)
            features, gradients = cam._gradient(images, one_hot)
            maps[layer, method, "Xplique"] = np.sum(
                features * cam._compute_weights(gradients, features), -1
            )
    nested = keras.Sequential(
        [keras.Input((224, 224, 1)), keras.Model(model.input, dense.input), logits]
    )
    try:
        attributions.GradCAM(nested, conv_layer="relu").explain(images, one_hot)
        print("Xplique on the nested model: no error")
    except (AttributeError, IndexError, KeyError, StopIteration, TypeError, ValueError) as error:
        print(
            f"Xplique on the nested model: {type(error).__name__}: {str(error).splitlines()[0][:80]}"
        )
    return maps


def main() -> int:
    import torch
    from cxr_audit.classifier import import_torchxrayvision

    network = random_torchxrayvision()
    images = np.random.default_rng(0).uniform(-1024, 1024, (IMAGES, 28, 28, 1))
    images = (
        images.repeat(8, 1).repeat(8, 2).astype(np.float32)
    )  # coarse, so that the maps differ over the image
    with tempfile.TemporaryDirectory() as folder:
        weights, path = Path(folder) / "weights.pt", Path(folder) / "model.keras"
        torch.save(network.state_dict(), weights)
        import_torchxrayvision(str(weights), path)
        mine = ours(path, images)
        theirs = pytorch_maps(network, images) | xplique_maps(path, images)
    print(f"\n{'layer':12}{'method':19}{'library':27}{'correlation':>11}{'largest gap':>13}")
    bad = 0
    for (layer, method, library), maps in theirs.items():
        own = mine[layer, method]
        r = min(np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(own, maps, strict=True))
        gap = float(np.abs(own - maps).max() / np.abs(own).max())
        why = EXPLAINED.get((method, library), "") if layer in LAYERS else ""
        bad += not (r >= 0.999 or why)
        print(f"{layer:12}{method:19}{library:27}{r:11.6f}{gap:13.1e}  {why}")
    return int(bad > 0)


if __name__ == "__main__":
    sys.exit(main())

"""TorchXRayVision's DenseNet121 weights (`.pt`) -> a Keras model and its card.

Cohen et al., "TorchXRayVision: a library of chest X-ray datasets and models", arXiv 2111.00595
(Apache-2.0). Its DenseNet takes 224x224x1 in [-1024, 1024] (scaling `txv`) and gives a logit for
each of up to 18 findings.

The weights are read by `checkpoint.py`: no PyTorch is needed, and no code of the file runs.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from cxr_audit.classifier.checkpoint import Arrays, read_checkpoint
from cxr_audit.classifier.model_file import file_sha256
from cxr_audit.errors import ModelError

FINDINGS = (
    "Atelectasis",
    "Consolidation",
    "Infiltration",
    "Pneumothorax",
    "Edema",
    "Emphysema",
    "Fibrosis",
    "Effusion",
    "Pneumonia",
    "Pleural_Thickening",
    "Cardiomegaly",
    "Nodule",
    "Mass",
    "Hernia",
    "Lung Lesion",
    "Fracture",
    "Lung Opacity",
    "Enlarged Cardiomediastinum",
)
# From torchxrayvision 1.5.7, `models.model_urls`: probability at the operating point of each of
# FINDINGS; None where the weights were not trained for it.
# fmt: off
THRESHOLDS: dict[str, tuple[float | None, ...]] = {
    "densenet121-res224-all": (
        0.07422872, 0.038290843, 0.09814756, 0.0098118475, 0.023601074, 0.0022490358,
        0.010060724, 0.103246614, 0.056810737, 0.026791653, 0.050318155, 0.023985857,
        0.01939503, 0.042889766, 0.053369623, 0.035975814, 0.20204692, 0.05015312
    ),
    "densenet121-res224-nih": (
        0.039117552, 0.0034529066, 0.11396341, 0.0057298196, 0.00045666535, 0.0018880932,
        0.012037827, 0.038744126, 0.0037213727, 0.014730946, 0.016149804, 0.054241467,
        0.037198864, 0.0004403434, None, None, None, None
    ),
    "densenet121-res224-pc": (
        0.031012505, 0.013347598, 0.081435576, 0.001262615, 0.002587246, 0.0035944257,
        0.0023071, 0.055412333, 0.044385884, 0.042766232, 0.043258056, 0.037629247, 0.005658899,
        0.0091741895, None, 0.026507627, None, None
    ),
    "densenet121-res224-chex": (
        0.1988969, 0.05710573, None, 0.0531293, 0.1435217, None, None, 0.27212676, 0.07749717,
        None, 0.19712369, None, None, None, 0.09932402, 0.09273402, 0.3270967, 0.10888247
    ),
    "densenet121-res224-rsna": (
        None, None, None, None, None, None, None, None, 0.13486601, None, None, None, None,
        None, None, None, 0.13511065, None
    ),
    "densenet121-res224-mimic_nb": (
        0.08558747, 0.011884617, None, 0.0040595434, 0.010733786, None, None, 0.118761964,
        0.022924708, None, 0.06358637, None, None, None, 0.022143636, 0.017476924, 0.1258702,
        0.014020768
    ),
    "densenet121-res224-mimic_ch": (
        0.09121389, 0.010573786, None, 0.005023008, 0.003698257, None, None, 0.08001232,
        0.037242252, None, 0.05006329, None, None, None, 0.019866971, 0.03823637, 0.11303808,
        0.0069147074
    ),
}
# fmt: on
# How a published file begins -> its weights.
_FILES = {
    "nih-pc-chex-mimic_ch-google-openi-kaggle": "densenet121-res224-all",
    "nih": "densenet121-res224-nih",
    "pc": "densenet121-res224-pc",
    "chex": "densenet121-res224-chex",
    "kaggle": "densenet121-res224-rsna",
    "mimic_nb": "densenet121-res224-mimic_nb",
    "mimic_ch": "densenet121-res224-mimic_ch",
}
_BLOCKS = (6, 12, 24, 16)
_MAX_BYTES = 512 * 2**20  # the published files have 27 MB


def import_torchxrayvision(
    source: str,
    out: Path,
    weights: str | None = None,
    sha256: str | None = None,
    finding: str | None = None,
) -> dict[str, Any]:
    """Write the network as `out` (.keras) and its card as `out` with the suffix .json.

    Parameters
    ----------
    source : a `.pt` file, or its http(s) address, which needs `sha256`.
    out : the file to write.
    weights : name of the published weights, such as densenet121-res224-all; default: from the name
        of the file. It decides the operating thresholds, and which findings were trained; the
        others are left out.
    sha256 : expected SHA-256 of the source; optional for a file.
    finding : keep this one alone, as a classifier of one sigmoid unit with its operating threshold.

    Returns
    -------
    The card.

    Raises
    ------
    ModelError : another file than `sha256` says, no such DenseNet121, code in the file.
    """
    if out.suffix != ".keras":
        raise ModelError(f"{out} has not the suffix .keras", "give a name such as txv.keras")
    if weights is not None and weights not in THRESHOLDS:
        raise ModelError(f"no weights {weights!r} are known", f"one of {', '.join(THRESHOLDS)}")
    with _opened(source, sha256) as path:
        source_sha256 = file_sha256(path)
        arrays = read_checkpoint(path)
    weights = weights or _FILES.get(source.rsplit("/", 1)[-1].split("-densenet121")[0])
    _check_arrays(arrays)
    operating = _operating_thresholds(weights)
    if finding is not None:
        if finding not in operating:
            raise ModelError(
                f"these weights have no finding {finding!r}", f"one of {', '.join(operating)}"
            )
        operating = {finding: operating[finding]}
    _network(arrays, [FINDINGS.index(name) for name in operating]).save(out)
    card = {
        "name": f"TorchXRayVision {weights or 'DenseNet121'}",
        "weights": out.name,
        "sha256": file_sha256(out),
        "source": source.rsplit("/", 1)[-1],
        "source_sha256": source_sha256,
        **_classes_and_threshold(operating, finding, weights),
        "licence": "TorchXRayVision is Apache-2.0; each data set behind the weights has its own "
        "terms",
    }
    out.with_suffix(".json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    return card


def _operating_thresholds(weights: str | None) -> dict[str, float | None]:
    """The findings that the weights were trained for, with their operating points if known."""
    if weights is None:
        return dict.fromkeys(FINDINGS)
    thresholds = dict(zip(FINDINGS, THRESHOLDS[weights], strict=True))
    return {name: value for name, value in thresholds.items() if value is not None}


def _classes_and_threshold(
    operating: dict[str, float | None], finding: str | None, weights: str | None
) -> dict[str, Any]:
    """The entries of the card that depend on whether one finding is kept alone."""
    class_names, threshold, threshold_source = list(operating), None, None
    if finding is not None:
        class_names = [f"no {finding}", finding]
        threshold = operating[finding]
    if threshold is not None:
        threshold_source = f"operating point of {weights} in torchxrayvision 1.5.7"
    return {
        "class_names": class_names,
        "scaling": "txv",
        "resize": "center_crop",
        "input": "224x224x1, the middle square, grey values in [-1024, 1024]",
        "operating_thresholds": operating,
        "threshold": threshold,
        "threshold_source": threshold_source,
    }


@contextmanager
def _opened(source: str, sha256: str | None) -> Iterator[Path]:
    """The file, or a copy of the file at the address; its hash is checked."""
    if not source.startswith(("http://", "https://")):
        path = Path(source)
        digest = file_sha256(path)
        _check_hash(source, digest, sha256)
        yield path
        return
    if sha256 is None:
        raise ModelError(
            f"{source} is an address without a SHA-256",
            "give --sha256: what is at an address may change",
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.pt"
        _check_hash(source, _download(source, path), sha256)
        yield path


def _download(address: str, path: Path) -> str:
    """Returns the SHA-256 of what was written."""
    digest, size = hashlib.sha256(), 0
    try:
        with urllib.request.urlopen(address, timeout=60) as answer, path.open("wb") as file:
            while block := answer.read(2**20):
                size += len(block)
                if size > _MAX_BYTES:
                    raise ModelError(
                        f"{address} is larger than {_MAX_BYTES // 2**20} MB",
                        "give the .pt file itself",
                    )
                digest.update(block)
                file.write(block)
    except urllib.error.HTTPError as error:
        error.close()
        raise ModelError(
            f"cannot download {address}: {error}", "check the address, or give a file"
        ) from error
    except OSError as error:
        raise ModelError(
            f"cannot download {address}: {error}", "check the address, or give a file"
        ) from error
    return digest.hexdigest()


def _check_hash(source: str, digest: str, sha256: str | None) -> None:
    if sha256 is not None and digest != sha256.lower():
        raise ModelError(
            f"{source} is not the file that was asked for: its SHA-256 is {digest}, "
            f"expected {sha256.lower()}",
            "it was not opened; compare with the publisher's hash",
        )


def _names() -> Iterator[tuple[str, str]]:
    """(layer of keras.applications.DenseNet121, layer of TorchXRayVision's DenseNet)."""
    yield from (
        ("conv1_conv", "features.conv0"),
        ("conv1_bn", "features.norm0"),
        ("bn", "features.norm5"),
    )
    for block, num_layers in enumerate(_BLOCKS, 1):
        for n in range(1, num_layers + 1):
            ours, theirs = f"conv{block + 1}_block{n}", f"features.denseblock{block}.denselayer{n}"
            for mine, other in (
                ("0_bn", "norm1"),
                ("1_conv", "conv1"),
                ("1_bn", "norm2"),
                ("2_conv", "conv2"),
            ):
                yield f"{ours}_{mine}", f"{theirs}.{other}"
        if block < len(_BLOCKS):
            yield f"pool{block + 1}_bn", f"features.transition{block}.norm"
            yield f"pool{block + 1}_conv", f"features.transition{block}.conv"


_NORM = ("weight", "bias", "running_mean", "running_var")


def _check_arrays(arrays: Arrays) -> None:
    wanted: list[str] = []
    for ours, theirs in _names():
        parts = _NORM if ours.endswith("bn") else ("weight",)
        wanted += [f"{theirs}.{part}" for part in parts]
    wanted += ["classifier.weight", "classifier.bias"]
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise ModelError(
            f"these are not the weights of TorchXRayVision's DenseNet121: {missing[0]} is missing "
            f"({len(missing)} of {len(wanted)})",
            "only DenseNet121 is imported; rebuild other networks in Keras",
        )
    shapes = {"features.conv0.weight": (64, 1, 7, 7), "classifier.weight": (len(FINDINGS), 1024)}
    if any(arrays[name].shape != shape for name, shape in shapes.items()):
        sizes = ", ".join(f"{name} is {arrays[name].shape}" for name in shapes)
        raise ModelError(
            f"these are not the weights of TorchXRayVision's DenseNet121: {sizes}; "
            f"expected {', '.join(map(str, shapes.values()))}",
            "only its DenseNet121 of one channel and 18 findings is imported",
        )
    for name, array in arrays.items():
        if name != "op_threshs" and not np.isfinite(array).all():
            raise ModelError(f"the weight {name} is not finite", "the file is damaged; use another")


def _network(arrays: Arrays, units: list[int]) -> keras.Model:
    """The network of `units`; PyTorch keeps kernels as (out, in, rows, columns)."""
    backbone = keras.applications.DenseNet121(
        include_top=False,
        weights=None,
        input_shape=(224, 224, 1),
        pooling="avg",
        name="densenet121",
    )
    for ours, theirs in _names():
        layer = backbone.get_layer(ours)
        if ours.endswith("bn"):
            layer.epsilon = 1e-5  # PyTorch's; Keras builds this network with 1.001e-5
            layer.set_weights([arrays[f"{theirs}.{part}"] for part in _NORM])
        else:
            layer.set_weights([arrays[f"{theirs}.weight"].transpose(2, 3, 1, 0)])
    dense = keras.layers.Dense(len(units), activation="sigmoid", name="findings")
    model = keras.Model(backbone.input, dense(backbone.output), name="torchxrayvision_densenet121")
    dense.set_weights([arrays["classifier.weight"][units].T, arrays["classifier.bias"][units]])
    return model

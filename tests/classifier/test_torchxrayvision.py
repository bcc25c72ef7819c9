"""TorchXRayVision's weights become the same network; a file that asks for code is refused unread.

Files are written here as PyTorch writes them, without PyTorch. Where PyTorch and torchxrayvision are installed
(benchmarks/peers.py says how), its own network and its own files are compared.
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import json
import os
import pickle
import struct
import sys
import threading
import types
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cxr_audit.classifier import Classifier, import_torchxrayvision, inspect_model, load_keras
from cxr_audit.classifier.checkpoint import read_checkpoint
from cxr_audit.classifier.torchxrayvision import FINDINGS, THRESHOLDS
from cxr_audit.errors import ModelError

HAS_TORCH = all(importlib.util.find_spec(name) for name in ("torch", "torchxrayvision"))


class Tensor:
    """Pickled as torch.FloatTensor is: a rebuilding function and a reference to a storage."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = np.ascontiguousarray(array, np.float32)

    def __reduce__(self) -> Any:
        torch = sys.modules["torch"]
        size, stride = self.array.shape, tuple(s // 4 for s in self.array.strides)
        storage = Storage(torch.FloatStorage, self.array)
        return sys.modules["torch._utils"]._rebuild_tensor_v2, (
            storage,
            0,
            size,
            stride,
            False,
            OrderedDict(),
        )


class Storage:
    def __init__(self, kind: Any, array: np.ndarray) -> None:
        self.kind, self.array = kind, array


class TorchPickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=2)
        self.storages: dict[str, np.ndarray] = {}
        self.classes: list[type] = []

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, Storage):
            key = str(len(self.storages))
            self.storages[key] = obj.array
            return ("storage", obj.kind, key, "cpu", obj.array.size, *self.view_metadata)
        if (
            isinstance(obj, type)
            and obj.__module__ == "torchxrayvision.models"
            and obj not in self.classes
        ):
            self.classes.append(obj)
            return ("module", obj, "models.py", "class ...")
        return None

    view_metadata: tuple[Any, ...] = ()


@pytest.fixture
def fake_torch(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The names that PyTorch's pickles mention, for pickling only."""
    torch, utils, models = (
        types.ModuleType(n) for n in ("torch", "torch._utils", "torchxrayvision.models")
    )
    torch.FloatStorage = type("FloatStorage", (), {"__module__": "torch"})  # type: ignore[attr-defined]
    torch._utils = utils  # type: ignore[attr-defined]

    def _rebuild_tensor_v2() -> None: ...

    for function, module in ((_rebuild_tensor_v2, utils),):
        function.__module__, function.__qualname__ = module.__name__, function.__name__
        setattr(module, function.__name__, function)
    models.DenseNet = type("DenseNet", (), {"__module__": "torchxrayvision.models"})  # type: ignore[attr-defined]
    parent = types.ModuleType("torchxrayvision")
    parent.models = models  # type: ignore[attr-defined]
    for module in (torch, utils, parent, models):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return torch


def write_archive(path: Path, content: Any) -> Path:
    buffer = io.BytesIO()
    pickler = TorchPickler(buffer)
    pickler.dump(content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", buffer.getvalue())
        for key, array in pickler.storages.items():
            archive.writestr(f"archive/data/{key}", array.tobytes())
    return path


def write_legacy(path: Path, content: Any) -> Path:
    buffer = io.BytesIO()
    for header in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}):
        pickle.dump(header, buffer, protocol=2)
    pickler = TorchPickler(buffer)
    pickler.view_metadata = (None,)
    pickler.dump(content)
    pickle.dump(list(pickler.storages), buffer, protocol=2)
    for array in pickler.storages.values():
        buffer.write(struct.pack("<q", array.size) + array.tobytes())
    path.write_bytes(buffer.getvalue())
    return path


def as_network(arrays: dict[str, Any]) -> Any:
    """A whole DenseNet as `torch.save(model, ...)` sees it: boxes in boxes."""

    def box() -> Any:
        made = object.__new__(sys.modules["torchxrayvision.models"].DenseNet)
        made.__dict__.update(
            _parameters=OrderedDict(),
            _buffers=OrderedDict(),
            _modules=OrderedDict(),
            training=False,
        )
        return made

    root = box()
    for name, tensor in arrays.items():
        *path, last = name.split(".")
        layer = root
        for part in path:
            layer = layer._modules.setdefault(part, box())
        (layer._buffers if "running" in last else layer._parameters)[last] = tensor
    return root


def densenet_arrays() -> dict[str, np.ndarray]:
    """Random weights of DenseNet121 by PyTorch's names (torchvision/models/densenet.py), written out once more."""
    rng = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}

    def conv(name: str, out: int, into: int, size: int) -> None:
        arrays[f"{name}.weight"] = rng.normal(
            0, (2 / (into * size**2)) ** 0.5, (out, into, size, size)
        )

    def norm(name: str, num: int) -> None:
        for part, low, high in (
            ("weight", 0.7, 1.3),
            ("bias", -0.2, 0.2),
            ("running_mean", -0.2, 0.2),
            ("running_var", 0.5, 1.5),
        ):
            arrays[f"{name}.{part}"] = rng.uniform(low, high, num)

    conv("features.conv0", 64, 1, 7)
    norm("features.norm0", 64)
    channels = 64
    for block, num_layers in enumerate((6, 12, 24, 16), 1):
        for n in range(1, num_layers + 1):
            name = f"features.denseblock{block}.denselayer{n}"
            norm(f"{name}.norm1", channels)
            conv(f"{name}.conv1", 128, channels, 1)
            norm(f"{name}.norm2", 128)
            conv(f"{name}.conv2", 32, 128, 3)
            channels += 32
        if block < 4:
            norm(f"features.transition{block}.norm", channels)
            conv(f"features.transition{block}.conv", channels := channels // 2, 2 * channels, 1)
    norm("features.norm5", channels)
    arrays["classifier.weight"], arrays["classifier.bias"] = (
        rng.normal(0, 0.05, (18, channels)),
        rng.normal(size=18),
    )
    return {name: array.astype(np.float32) for name, array in arrays.items()}


def test_all_layouts_of_a_checkpoint(tmp_path: Path, fake_torch: types.ModuleType) -> None:
    arrays = {
        "features.a.weight": np.arange(24).reshape(2, 3, 4),
        "features.a.running_mean": np.arange(3.0),
        "b.bias": np.ones(2),
    }
    tensors = OrderedDict((name, Tensor(array)) for name, array in arrays.items())
    contents = {
        "state dict": tensors,
        "in a training checkpoint": {
            "epoch": 3,
            "state_dict": {f"module.{k}": v for k, v in tensors.items()},
        },
        "network": as_network(tensors),
    }
    for write in (write_archive, write_legacy):
        for kind, content in contents.items():
            found = read_checkpoint(write(tmp_path / "m.pt", content))
            assert found.keys() == arrays.keys(), kind
            for name, array in arrays.items():
                np.testing.assert_array_equal(found[name], array, err_msg=kind)


class Evil:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


@pytest.mark.parametrize("write", [write_archive, write_legacy])
def test_code_in_a_checkpoint_is_refused_and_never_run(
    tmp_path: Path, fake_torch: types.ModuleType, write: Any
) -> None:
    path = write(tmp_path / "m.pt", {"a": Evil(tmp_path / "ran")})
    with pytest.raises(ModelError, match=r"asks for \w+\.mkdir: code in a weights file is not run"):
        read_checkpoint(path)
    assert not (tmp_path / "ran").exists()
    pickle.loads(pickle.dumps(Evil(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()  # what an unrestricted reader would have done


def test_damaged_checkpoints(tmp_path: Path, fake_torch: types.ModuleType) -> None:
    whole = write_legacy(tmp_path / "m.pt", {"a": Tensor(np.ones(100))}).read_bytes()
    archive = write_archive(tmp_path / "m.pt", {"a": Tensor(np.ones(100))}).read_bytes()
    for data in (
        b"",
        b"no pickle",
        whole[:50],
        whole[:-8],
        archive[:-30],
        pickle.dumps(3),
        archive.replace(b"K\x64", b"K\xff"),
    ):
        (tmp_path / "bad.pt").write_bytes(data)
        with pytest.raises(ModelError, match="damaged or no PyTorch checkpoint"):
            read_checkpoint(tmp_path / "bad.pt")


def test_the_weights_land_where_they_belong(tmp_path: Path, fake_torch: types.ModuleType) -> None:
    arrays = densenet_arrays()
    path = write_archive(
        tmp_path / "nih-densenet121-d121-best.pt",
        OrderedDict((k, Tensor(v)) for k, v in arrays.items()),
    )
    card = import_torchxrayvision(str(path), tmp_path / "txv.keras")
    assert card["name"] == "TorchXRayVision densenet121-res224-nih"
    assert card["class_names"] == list(FINDINGS[:14])  # NIH has no label for the last four
    assert card["operating_thresholds"]["Pneumonia"] == 0.0037213727
    assert json.loads((tmp_path / "txv.json").read_text()) == card
    model = load_keras(tmp_path / "txv.keras", card["sha256"])
    layer = model.get_layer("conv3_block2_1_conv")
    np.testing.assert_array_equal(
        layer.kernel, arrays["features.denseblock2.denselayer2.conv1.weight"].transpose(2, 3, 1, 0)
    )
    norm = model.get_layer("pool3_bn")
    np.testing.assert_array_equal(
        norm.moving_variance, arrays["features.transition2.norm.running_var"]
    )
    assert norm.epsilon == 1e-5
    np.testing.assert_array_equal(
        model.get_layer("findings").kernel, arrays["classifier.weight"][:14].T
    )
    facts = inspect_model(tmp_path / "txv.keras")
    assert (facts["scaling_guess"], facts["scaling_reason"]) == ("txv", "its model card")
    assert facts["class_names"] == card["class_names"]

    one = import_torchxrayvision(
        str(path), tmp_path / "one.keras", "densenet121-res224-all", finding="Pneumonia"
    )
    assert (one["class_names"], one["threshold"]) == (["no Pneumonia", "Pneumonia"], 0.056810737)
    assert load_keras(tmp_path / "one.keras").output_shape == (None, 1)

    def error_of(**arguments: Any) -> str:
        with pytest.raises(ModelError) as caught:
            import_torchxrayvision(
                **{"source": str(path), "out": tmp_path / "bad.keras", **arguments}
            )
        assert caught.value.hint
        assert not (tmp_path / "bad.keras").exists()
        return str(caught.value)

    assert "no finding 'Fracture'" in error_of(finding="Fracture")
    assert "no weights 'densenet'" in error_of(weights="densenet")
    assert "not the file that was asked for" in error_of(sha256="0" * 64)
    assert "has not the suffix .keras" in error_of(out=tmp_path / "bad.h5")
    for changed, message in (
        (
            {k: v for k, v in arrays.items() if k != "features.norm5.bias"},
            "features.norm5.bias is missing",
        ),
        ({**arrays, "features.conv0.weight": np.zeros((64, 3, 7, 7))}, "expected (64, 1, 7, 7)"),
        ({**arrays, "classifier.bias": np.full(18, np.nan)}, "classifier.bias is not finite"),
    ):
        other = write_archive(tmp_path / "other.pt", {k: Tensor(v) for k, v in changed.items()})
        assert message in error_of(source=str(other))


@pytest.fixture
def served() -> Iterator[tuple[str, bytes]]:
    """An address on loopback, and what it answers."""
    data = b"these are no weights"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/w.pt" else 404)
            self.end_headers()
            self.wfile.write(data if self.path == "/w.pt" else b"")

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", data
        server.shutdown()
        thread.join()


def test_an_address_is_opened_only_with_its_hash(
    served: tuple[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address, data = served

    def error_of(path: str, sha256: str | None) -> str:
        with pytest.raises(ModelError) as caught:
            import_torchxrayvision(f"{address}/{path}", tmp_path / "m.keras", sha256=sha256)
        return str(caught.value)

    right = hashlib.sha256(data).hexdigest()
    assert "without a SHA-256" in error_of("w.pt", None)
    assert f"its SHA-256 is {right}" in error_of("w.pt", "0" * 64)
    assert "no PyTorch checkpoint" in error_of(
        "w.pt", right.upper()
    )  # the hash is right: only now it is opened
    assert "HTTP Error 404" in error_of("none.pt", right)
    monkeypatch.setattr("cxr_audit.classifier.torchxrayvision._MAX_BYTES", 10)
    assert "is larger than" in error_of("w.pt", right)


@pytest.mark.skipif(
    not HAS_TORCH,
    reason="PyTorch and torchxrayvision are not installed; benchmarks/peers.py says how",
)
@pytest.mark.filterwarnings("ignore")
def test_the_network_answers_as_pytorch_does(tmp_path: Path) -> None:
    import torch

    from benchmarks.peers import random_torchxrayvision

    network = random_torchxrayvision()
    torch.save(network, tmp_path / "nih-pc-chex-mimic_ch-google-openi-kaggle-densenet121-x.pt")
    torch.save(network, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    torch.save(network.state_dict(), tmp_path / "state.pt")
    images = np.random.default_rng(0).uniform(-1024, 1024, (2, 224, 224, 1)).astype(np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(images.transpose(0, 3, 1, 2))).numpy()
    assert 0.1 < np.abs(expected).max() < 100
    for path in sorted(tmp_path.glob("*.pt")):
        import_torchxrayvision(str(path), tmp_path / "m.keras")
        logits = (
            Classifier(load_keras(tmp_path / "m.keras"), (224, 224, 1))
            .split()
            ._forward_steps(images)[2]
        )
        np.testing.assert_allclose(logits, expected, atol=1e-4)


@pytest.mark.skipif(
    not HAS_TORCH,
    reason="PyTorch and torchxrayvision are not installed; benchmarks/peers.py says how",
)
@pytest.mark.filterwarnings("ignore")
def test_the_thresholds_are_those_of_the_package() -> None:
    from benchmarks.peers import torchxrayvision

    for name, thresholds in THRESHOLDS.items():
        theirs = torchxrayvision().models.model_urls[name]
        assert theirs["labels"] == [
            f if t is not None else "" for f, t in zip(FINDINGS, thresholds, strict=True)
        ]
        for mine, their in zip(thresholds, theirs["op_threshs"], strict=True):
            assert np.isnan(their) if mine is None else mine == their

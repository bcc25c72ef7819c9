"""An ONNX file -> a model that can be asked, in ONNX Runtime. The file is data until it is proven.

Before ONNX Runtime sees it:

    regular file of at most 2 GiB, weights in other files only if these lie in its folder
    one image input of floating point, one output
    operators of ONNX, its machine-learning part or ONNX Runtime itself: no library is loaded

Where the output is a sigmoid or a softmax, the value under it becomes a second output, so that
logits are exact however close to 0 or 1 a probability is.
"""

from __future__ import annotations

import contextlib
import hashlib
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np

from cxr_audit.classifier.onnx_runtime import (
    INSTALL,
    first_line,
    open_session,
    runtime_version,
)
from cxr_audit.errors import ModelError
from cxr_audit.records import Floats

Layout = Literal["nhwc", "nchw"]

MAX_BYTES = 2**31 - 1  # what one message of protobuf may hold
MOST = 4096
"""Largest axis of an input, as in `preprocess.rows`."""
DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
ACTIVATIONS = {"Sigmoid": "sigmoid", "Softmax": "softmax"}
CHANNELS = (1, 3)
_SAVE = "export it again as one file with one image input and one output"


class OnnxFile:
    """A model of ONNX.

    Parameters
    ----------
    path : the file.
    sha256 : of the file that is meant, hexadecimal; None = any.
    layout : of the input; None = by the place of its 1 or 3 channels.

    Raises
    ------
    ModelError : the file is refused, or is another one than is meant.
    """

    def __init__(self, path: Path, sha256: str | None = None, layout: Layout | None = None) -> None:
        self.version = runtime_version()
        self.name = path.name
        content = _read(path)
        model = _parsed(path, content)
        with _text_of(path):
            weights = _with_weights(path, model)
        self.sha256 = _digest(content, weights)
        if sha256 is not None and self.sha256 != sha256.lower():
            raise ModelError(
                f"{path} is not the model of the config: its SHA-256 is {self.sha256}, "
                f"expected {sha256.lower()}",
                "audit the file that was meant, or set classifier.sha256 to the new value",
            )
        with _text_of(path):
            _check_operators(path, model)
            self.parameters: int | None = _num_parameters(model)
            self._input = _image_input(path, model)
            self.layout = layout or _layout_of(path, self._input.shape)
            self.activation = _show_logits(path, model)
        self._session = open_session(model.SerializeToString())

    @property
    def shape(self) -> tuple[int | None, int | None, int | None]:
        """(rows, columns, channels) of an image, None where the file leaves it open."""
        _, first, second, third = self._input.shape
        return (second, third, first) if self.layout == "nchw" else (first, second, third)

    def answer(self, batch: Floats) -> tuple[Any, Any]:
        """Outputs and logits of a batch.

        Parameters
        ----------
        batch : float32 (N, rows, columns, channels).

        Returns
        -------
        outputs (N, units) as the file gives them, and what is under its last activation: the same
        where the file has none.
        """
        num = self._input.shape[0] or max(1, len(batch))
        answers = [
            self._run(batch[start : start + num], num) for start in range(0, len(batch), num)
        ]
        outputs = np.concatenate([first for first, _ in answers])
        return outputs, np.concatenate([last for _, last in answers])

    def _run(self, some: Floats, num: int) -> tuple[Any, Any]:
        filled = np.zeros((num, *some.shape[1:]), self._input.dtype)
        filled[: len(some)] = some
        if self.layout == "nchw":
            filled = np.ascontiguousarray(filled.transpose(0, 3, 1, 2))
        try:
            answers = self._session.run(None, {self._input.name: filled})
        except Exception as error:  # ONNX Runtime raises a class of its own for each status
            raise ModelError(
                f"{self.version} cannot run {self.name} on {filled.shape}: {first_line(error)}"
            ) from error
        flat = []
        for values in answers:
            if values.shape[:1] != (num,):
                raise ModelError(f"{self.name} answers {values.shape} to {num} images", _SAVE)
            flat.append(np.asarray(values, np.float64).reshape(num, -1)[: len(some)])
        return flat[0], flat[-1]


@dataclass(frozen=True, slots=True)
class _Input:
    """The image input: its name, type, and shape with None for what is open."""

    name: str
    dtype: Any
    shape: tuple[int | None, ...]


def _read(path: Path) -> bytes:
    """The bytes of a regular file. Pipes and devices are refused before they are opened."""
    try:
        status = path.stat()
    except OSError as error:
        raise ModelError(f"cannot read the model {path}: {error.strerror}") from error
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"{path} is no regular file")
    if status.st_size > MAX_BYTES:
        raise ModelError(f"{path} has {status.st_size:,} bytes, expected at most {MAX_BYTES:,}")
    with path.open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ModelError(f"{path} has more than {MAX_BYTES:,} bytes")
    return content


def _parsed(path: Path, content: bytes) -> Any:
    try:
        import onnx
    except ModuleNotFoundError as error:
        raise ModelError("the package onnx is not installed", INSTALL) from error
    try:
        model = onnx.load_model_from_string(content)
    except Exception as error:  # protobuf raises a class of its own
        raise ModelError(f"{path} is no ONNX model: {first_line(error)}") from error
    if not model.graph.node or not model.opset_import:
        raise ModelError(f"{path} is no ONNX model: it has no graph")
    return model


@contextlib.contextmanager
def _text_of(path: Path) -> Iterator[None]:
    """Names are decoded when they are asked for; one that is not UTF-8 is a damaged file."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise ModelError(f"{path} is no ONNX model: a name is not UTF-8") from error


def _with_weights(path: Path, model: Any) -> dict[str, bytes]:
    """Read weights that lie in other files into the model.

    Returns
    -------
    The bytes of these files, by their names.
    """
    from onnx import TensorProto

    folder = path.resolve().parent
    files: dict[str, bytes] = {}
    for tensor in _tensors(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        stated = {entry.key: entry.value for entry in tensor.external_data}
        location = stated.get("location", "")
        if location not in files:
            files[location] = _read(_inside(folder, location, path))
            if sum(map(len, files.values())) > MAX_BYTES:
                raise ModelError(f"the weights beside {path} have more than {MAX_BYTES:,} bytes")
        tensor.raw_data = _part(path, files[location], stated)
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]
    return files


def _part(path: Path, content: bytes, stated: dict[str, str]) -> bytes:
    """The bytes of one tensor."""
    try:
        start = int(stated.get("offset", "0"))
        end = start + int(stated.get("length", len(content) - start))
    except ValueError as error:
        raise ModelError(f"the weights beside {path} have no place: {error}") from error
    if not 0 <= start <= end <= len(content):
        raise ModelError(f"the weights beside {path} are cut short", "copy the file again")
    return content[start:end]


def _inside(folder: Path, location: str, path: Path) -> Path:
    """A file in a folder, by a relative name without links out of it."""
    parts = PurePosixPath(location).parts
    found = (folder / location).resolve()
    is_relative = bool(parts) and not PurePosixPath(location).is_absolute() and ".." not in parts
    if not is_relative or not found.is_relative_to(folder):
        raise ModelError(
            f"{path} wants its weights from {location!r}, outside of its folder",
            "keep the weights in the folder of the model, or in the file itself",
        )
    return found


def _digest(content: bytes, weights: dict[str, bytes]) -> str:
    """SHA-256 of the file; of several files, over their hashes by name."""
    digest = hashlib.sha256(content)
    if not weights:
        return digest.hexdigest()
    lines = [f"{digest.hexdigest()}  model"]
    lines += [f"{hashlib.sha256(weights[name]).hexdigest()}  {name}" for name in sorted(weights)]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


# ---- what a model may hold


def _graphs(model: Any) -> Iterator[Any]:
    """The graph, functions, and the graphs inside of nodes, at any depth."""
    waiting = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        yield graph
        for node in graph.node:
            for attribute in node.attribute:
                waiting += [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]


def _tensors(model: Any) -> Iterator[Any]:
    for graph in _graphs(model):
        yield from getattr(graph, "initializer", ())
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    yield attribute.t
                yield from attribute.tensors


def _check_operators(path: Path, model: Any) -> None:
    own = {(function.domain, function.name) for function in model.functions}
    for graph in _graphs(model):
        for node in graph.node:
            if node.domain not in DOMAINS and (node.domain, node.op_type) not in own:
                raise ModelError(
                    f"{path} has the custom operator {node.domain}.{node.op_type}",
                    "custom operators are code in another library, which is not loaded; export "
                    "the model with operators of ONNX",
                )


def _num_parameters(model: Any) -> int:
    total = 0
    for tensor in model.graph.initializer:
        total += int(np.prod(tensor.dims, dtype=np.int64))
    return total


def _image_input(path: Path, model: Any) -> _Input:
    from onnx import TensorProto

    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in weights]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        raise ModelError(
            f"{path} has {len(inputs)} inputs and {len(model.graph.output)} outputs, expected one "
            "image and one output",
            _SAVE,
        )
    kind = inputs[0].type.tensor_type
    types = {
        TensorProto.FLOAT: np.float32,
        TensorProto.FLOAT16: np.float16,
        TensorProto.DOUBLE: np.float64,
    }
    shape = tuple(
        axis.dim_value if axis.HasField("dim_value") and axis.dim_value > 0 else None
        for axis in kind.shape.dim
    )
    if any(size is not None and size > MOST for size in shape):
        raise ModelError(
            f"the input of {path} is {_written(shape)}, expected axes of at most {MOST}", _SAVE
        )
    if kind.elem_type not in types or len(shape) != 4:
        raise ModelError(
            f"the input of {path} has type {kind.elem_type} and {len(shape)} axes, expected an image of floating "
            "point: (batch, rows, columns, channels) or (batch, channels, rows, columns)",
            _SAVE,
        )
    return _Input(inputs[0].name, types[kind.elem_type], shape)


def _layout_of(path: Path, shape: tuple[int | None, ...]) -> Layout:
    """Where the channels are, by the static shape."""
    is_first, is_last = shape[1] in CHANNELS, shape[3] in CHANNELS
    if is_first != is_last:
        return "nchw" if is_first else "nhwc"
    raise ModelError(
        f"the input of {path} is {_written(shape)}: where its channels are cannot be read",
        "set classifier.layout: nchw or nhwc",
    )


def _written(shape: tuple[int | None, ...]) -> str:
    """For example (?, 224, 224, 3)."""
    return f"({', '.join(str(size or '?') for size in shape)})"


def _show_logits(path: Path, model: Any) -> str | None:
    """Add what is under the last activation as an output; the activation's name, None without."""
    from onnx import helper

    graph = model.graph
    makers = {name: node for node in graph.node for name in node.output}
    last = makers.get(graph.output[0].name)
    if last is None:
        raise ModelError(f"the output of {path} is not computed by it", _SAVE)
    while last.op_type in ("Identity", "Cast", "Reshape", "Squeeze", "Flatten"):
        before = makers.get(last.input[0])
        if before is None:
            return None
        last = before
    activation = ACTIVATIONS.get(last.op_type)
    if activation is not None:
        kind = graph.output[0].type.tensor_type.elem_type
        graph.output.append(helper.make_tensor_value_info(last.input[0], kind, None))
    return activation

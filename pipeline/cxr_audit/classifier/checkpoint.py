"""A PyTorch checkpoint (`.pt`) -> its arrays by name, without PyTorch and without running the file.

A `.pt` file is a pickle beside raw storages, and a pickle is a program. Here it may make plain
containers and arrays only. Where it holds a whole network, as TorchXRayVision's published files
do, the layers become inert boxes: their weights are kept, their code is never looked up. Any
other name in the file is refused. Both layouts are read: the zip archive (since PyTorch 1.6), and
before it the row of pickles with the storages at the end (torch/serialization.py: `_load`,
`_legacy_load`). Quantised and sparse tensors are refused.
"""

from __future__ import annotations

import math
import os
import pickle
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from cxr_audit.classifier.model_file import open_regular
from cxr_audit.errors import ModelError

Arrays = dict[str, npt.NDArray[Any]]

_MAX_EXPANSION, _SMALL_BYTES = 100, 16 * 2**20
_LEGACY = 0x1950A86A20F9469CFC6C
_STATE_DICT = "in the program that made it, call torch.save(model.state_dict(), 'weights.pt')"


class _Box:
    """A layer of the file: its state as attributes, none of its code."""

    def __new__(cls, *arguments: Any) -> _Box:
        return super().__new__(cls)

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state if isinstance(state, dict) else {})


def _tensor(storage: Any, offset: int, size: Any, stride: Any, *_: Any) -> npt.NDArray[Any]:
    if math.prod(size) > len(storage):
        raise ValueError("a tensor larger than its storage")
    last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
    if min((offset, *size, *stride)) < 0 or (0 not in size and last >= len(storage)):
        raise ValueError("a tensor lies outside its storage")
    strides = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], tuple(size), strides, writeable=False)


def _parameter(data: Any, *_: Any) -> Any:
    return data


_ALLOWED: dict[str, Any] = {
    "__builtin__.set": set,
    "builtins.set": set,
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch.DoubleStorage": np.dtype("<f8"),
    "torch.FloatStorage": np.dtype("<f4"),
    "torch.HalfStorage": np.dtype("<f2"),
    "torch.IntStorage": np.dtype("<i4"),
    "torch.LongStorage": np.dtype("<i8"),
}
_INERT = ("torch.nn.", "torchxrayvision.", "torchvision.models.", "numpy.")


class _Unpickler(pickle.Unpickler):
    """Makes what `_ALLOWED` lists; `storage` gives (dtype, key, number of elements) its array."""

    def __init__(
        self, file: IO[bytes], storage: Callable[[Any, str, int], Any] | None = None
    ) -> None:
        super().__init__(file)
        self.storage = storage

    def find_class(self, module: str, name: str) -> Any:
        wanted = f"{module}.{name}"
        if wanted in _ALLOWED:
            return _ALLOWED[wanted]
        if wanted.startswith(_INERT):
            return _Box
        raise ModelError(
            f"the file asks for {wanted}: code in a weights file is not run", _STATE_DICT
        )

    def persistent_load(self, pid: Any) -> Any:
        if pid[0] == "module":  # (class, file of its source, source): of old files
            return pid[1]
        if pid[0] != "storage" or self.storage is None or not isinstance(pid[1], np.dtype):
            raise ValueError(f"a reference to {pid[0]!r}")
        return self.storage(pid[1], str(pid[2]), int(pid[4]))


# What a damaged file makes pickle, zipfile and the code here raise.
_DAMAGED = (
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    MemoryError,
    NotImplementedError,
    OSError,
    OverflowError,
    RecursionError,
    StopIteration,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
    zlib.error,
)


def read_checkpoint(path: Path) -> Arrays:
    """Arrays by the names of `Module.state_dict()`, of a state dict or of a whole network.

    Raises
    ------
    ModelError : damaged, not PyTorch's, or it asks for code.
    """
    try:
        with open_regular(path) as file:
            is_archive = file.read(4) == b"PK\x03\x04"
            file.seek(0)
            content = _read_archive(file) if is_archive else _read_legacy(file)
        named = _state(content) if isinstance(content, _Box) else _state_dict(content)
        arrays: Arrays = {}
        for name, value in named:
            if isinstance(value, np.ndarray):
                arrays[name.removeprefix("module.")] = np.array(value)
        return arrays
    except _DAMAGED as error:
        raise ModelError(
            f"{path.name} is damaged or no PyTorch checkpoint ({error})", _STATE_DICT
        ) from error


def _read_archive(checkpoint: IO[bytes]) -> Any:
    with zipfile.ZipFile(checkpoint) as archive:
        for member in archive.infolist():
            if member.file_size > _SMALL_BYTES + _MAX_EXPANSION * member.compress_size:
                raise ValueError("a member unpacks to more than 100 times its size")
        pickled = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        storages: Arrays = {}

        def storage(dtype: Any, key: str, num: int) -> Any:
            if key not in storages:
                data = archive.read(pickled.removesuffix("data.pkl") + f"data/{key}")
                storages[key] = np.frombuffer(data, dtype, num)
            return storages[key]

        with archive.open(pickled) as file:
            return _Unpickler(file, storage).load()


def _read_legacy(file: IO[bytes]) -> Any:
    storages: Arrays = {}
    left = os.fstat(file.fileno()).st_size

    def storage(dtype: Any, key: str, num: int) -> Any:
        nonlocal left
        if key not in storages:
            left -= num * dtype.itemsize
            if num < 0 or left < 0:
                raise ValueError("storages larger than the file")
            storages[key] = np.zeros(num, dtype)
        return storages[key]

    if _Unpickler(file).load() != _LEGACY:
        raise ValueError("another magic number")
    _Unpickler(file).load()  # protocol version
    _Unpickler(file).load()  # sizes of C types
    content = _Unpickler(file, storage).load()
    for key in _Unpickler(file).load():
        (num,) = struct.unpack("<q", file.read(8))
        array = storages[str(key)]
        if num != len(array):
            raise ValueError("a storage of another size")
        array[:] = np.frombuffer(file.read(array.nbytes), array.dtype, num)
    return content


def _state_dict(content: Any) -> Iterator[tuple[str, Any]]:
    inner = content.get("state_dict", content)
    return ((str(name), value) for name, value in inner.items())


def _state(layer: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """As `Module.state_dict()` names them."""
    state = vars(layer)
    for name, value in (*state.get("_parameters", {}).items(), *state.get("_buffers", {}).items()):
        yield f"{prefix}{name}", value
    for name, inner in state.get("_modules", {}).items():
        yield from _state(inner, f"{prefix}{name}.")

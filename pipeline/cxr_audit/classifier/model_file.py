"""A model file on disk -> its network and its arrays, read by a process that can do nothing else.

The HDF5 library crashes or runs for ever on some damaged files, so it never runs in this process.
The reader (`model_reader.py`) gets the open file, an empty environment, a limit of memory and
time, and gives up the right to open anything before it reads. What it answers is checked again
here.

What is enforced: everywhere no new file or socket (RLIMIT_NOFILE 0), limits of memory, processor
time and output; on Linux x86-64 in addition a filter of system calls (seccomp). Where the process
runs as root on another system, root could raise its own limits again: that is not enforced.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from cxr_audit.errors import ModelError

MAX_FILE_BYTES = 16 * 2**30
_MAX_HEADER_BYTES = 256 * 2**20
_SECONDS = 60  # and one more for every 10 MB
_SAVE_AGAIN = "copy it again, or save it again"
_SAVE_WHOLE = "save the whole model: model.save('classifier.keras')"

# Code of the reader -> what happened, what to do.
REASONS = {
    "array_type": ("it holds an array that is no array of numbers ({detail})", _SAVE_AGAIN),
    "damaged": ("it is damaged or no Keras model ({detail})", _SAVE_AGAIN),
    "expands": (
        "it is damaged or harmful: unpacked it is more than 100 times as large ({detail})",
        _SAVE_AGAIN,
    ),
    "link": ("it points to other files or other places ({detail})", _SAVE_AGAIN),
    "member_too_large": ("a part of it is too large ({detail})", _SAVE_AGAIN),
    "memory": ("reading it needs more memory than a file of its size may need", _SAVE_AGAIN),
    "nested": ("its network is nested too deeply ({detail})", _SAVE_AGAIN),
    "no_model": ("it is damaged or no Keras model", _SAVE_AGAIN),
    "no_network": ("it holds no network, only weights or other data", _SAVE_WHOLE),
    "no_weights": ("it holds no weights (model.weights.h5)", _SAVE_WHOLE),
    "structure": ("its HDF5 groups form a loop or are too many ({detail})", _SAVE_AGAIN),
    "too_many_members": ("the archive has {detail} members", _SAVE_AGAIN),
}


@dataclass(frozen=True)
class StoredArray:
    """An array of the file and the HDF5 attributes beside it."""

    values: npt.NDArray[Any]
    attributes: dict[str, Any]


@dataclass(frozen=True)
class ModelContent:
    """What a model file holds.

    Attributes
    ----------
    kind : "keras" (an archive) or "h5" (the legacy file).
    config : the network's JSON.
    keras_version : as the file states it.
    arrays : by their path in the HDF5 file.
    groups : path of each HDF5 group -> its attributes.
    sha256 : of the file, hexadecimal.
    filtered : the reader ran under a filter of system calls.
    """

    kind: str
    config: Any
    keras_version: str | None
    sha256: str
    arrays: dict[str, StoredArray] = field(default_factory=dict)
    groups: dict[str, dict[str, Any]] = field(default_factory=dict)
    filtered: bool = False

    @property
    def num_values(self) -> int:
        return sum(array.values.size for array in self.arrays.values())


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[IO[bytes]]:
    """A regular file, open for reading; a pipe or a device is refused and never read.

    Raises
    ------
    ModelError : missing, no permission, no regular file, empty, larger than 16 GiB.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ModelError(
            f"cannot read the model {path}: {reason}", "see classifier.path"
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ModelError(f"{path} is no regular file", "give the model file itself")
        if status.st_size > MAX_FILE_BYTES:
            raise ModelError(
                f"{path} is larger than {MAX_FILE_BYTES // 2**30} GiB",
                "save the model without optimizer state",
            )
        yield file


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal. Raises `ModelError` where it cannot be read."""
    with open_regular(path) as file:
        return _sha256(file, path)


def _sha256(file: IO[bytes], path: Path) -> str:
    try:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]
    except OSError as error:
        raise ModelError(
            f"cannot read the model {path}: {error.strerror}", "see classifier.path"
        ) from error


def read_model(path: Path) -> ModelContent:
    """Network and arrays of a `.keras` or `.h5` file; nothing of it is built or run.

    Raises
    ------
    ModelError : no regular file, damaged, too large when unpacked, links inside, no network.
    """
    with open_regular(path) as file, tempfile.TemporaryFile() as answer:
        sha256 = _sha256(file, path)
        size = os.fstat(file.fileno()).st_size
        file.seek(0)
        problem = _run_reader(file, answer, size)
        answer.seek(0)
        header: dict[str, Any] = {"refused": "damaged", "detail": problem}
        if problem is None:
            header = _header(answer)
        if "refused" in header:
            raise _refusal(path, str(header["refused"]), str(header.get("detail", "")))
        arrays = _arrays(answer, header)
    try:
        config = json.loads(header["config"])
    except (ValueError, RecursionError) as error:
        raise _refusal(path, "damaged", f"its network is no JSON: {error}") from error
    return ModelContent(
        kind=header["format"],
        config=config,
        keras_version=header["keras_version"],
        sha256=sha256,
        arrays=arrays,
        groups={group["path"]: group["attributes"] for group in header["groups"]},
        filtered=bool(header["filtered"]),
    )


def _refusal(path: Path, code: str, detail: str) -> ModelError:
    what, hint = REASONS[code]
    return ModelError(f"{path} cannot be read: {what.format(detail=detail)}", hint)


def _run_reader(file: IO[bytes], answer: IO[bytes], size: int) -> str | None:
    """Why the reader gave no answer; None where it did."""
    paths = [folder for folder in sys.path if folder]
    environment = {
        "PYTHONPATH": os.pathsep.join(paths),
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "HDF5_USE_FILE_LOCKING": "FALSE",
    }
    reader = Path(__file__).with_name("model_reader.py")
    command = [sys.executable, "-s", "-P", "-B", str(reader), str(size)]
    process = subprocess.Popen(
        command,
        stdin=file,
        stdout=answer,
        stderr=subprocess.DEVNULL,
        env=environment,
        cwd=tempfile.gettempdir(),
    )
    try:
        status = process.wait(_SECONDS + size // (10 * 2**20))
    except subprocess.TimeoutExpired:
        return "reading it does not end"
    finally:
        process.kill()
        process.wait()
    if status < 0:
        return f"the reading process stopped with signal {-status}"
    return f"the reading process ended with status {status}" if status else None


def _header(answer: IO[bytes]) -> dict[str, Any]:
    length = answer.read(8)
    num = struct.unpack("<Q", length)[0] if len(length) == 8 else 0
    if not 0 < num <= _MAX_HEADER_BYTES:
        return {"refused": "damaged", "detail": "the reading process gave no answer"}
    header = json.loads(answer.read(num))
    assert isinstance(header, dict)
    return header


def _arrays(answer: IO[bytes], header: dict[str, Any]) -> dict[str, StoredArray]:
    arrays: dict[str, StoredArray] = {}
    for entry in header["arrays"]:
        dtype = np.dtype(entry["dtype"])
        num = math.prod(entry["shape"])
        values = np.fromfile(answer, dtype, num) if num else np.zeros(0, dtype)
        if dtype.hasobject or values.size != num:
            raise ModelError("the reading process gave half an answer", _SAVE_AGAIN)
        values = values.reshape(entry["shape"])
        arrays[entry["path"]] = StoredArray(values, entry["attributes"])
    return arrays

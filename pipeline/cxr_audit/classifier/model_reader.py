"""Run by `model_file.read_model` in a closed process: a model file -> its network and its arrays.

Standard input is the file, standard output the answer: eight bytes with the length of a JSON
header, the header, and the bytes of the arrays in the header's order. The process imports nothing
of this project and no TensorFlow. Before it looks at the first byte of the file it gives up the
right to open files, to start programs and to reach the network (`_close_process`).

Argument: the size of the file in bytes.
"""

from __future__ import annotations

import ctypes
import errno
import io
import json
import os
import platform
import re
import resource
import struct
import sys
import zipfile
from typing import Any

import h5py
import numpy as np
import numpy.typing as npt

MAX_CONFIG_BYTES = 32 * 2**20  # that of NASNetLarge, the longest of keras.applications, has 1.3 MB
MAX_DEPTH = 150  # of brackets in the network's JSON, and of groups in an HDF5 file
MAX_MEMBERS = 10_000  # members of an archive
MAX_OBJECTS = 200_000  # groups and arrays of an HDF5 file
MAX_EXPANSION = 100  # unpacked bytes for one in the file; Keras writes without compression
SMALL_BYTES = 16 * 2**20  # below this size no expansion is dangerous

Array = npt.NDArray[Any]


class Refused(Exception):
    """Why the file is not read: a code of `model_file.REASONS`, and the detail."""

    def __init__(self, code: str, detail: str = "") -> None:
        super().__init__(code)
        self.code, self.detail = code, detail


# ---- The closed process ----

# Linux on x86-64: memory, the open files, time, the end of the process. Everything else (open,
# socket, connect, execve, clone, ptrace, prlimit) is answered with "not permitted".
_ALLOWED_CALLS = {
    "read": 0, "write": 1, "close": 3, "fstat": 5, "lseek": 8, "mmap": 9, "mprotect": 10,
    "munmap": 11, "brk": 12, "rt_sigaction": 13, "rt_sigprocmask": 14, "rt_sigreturn": 15,
    "pread64": 17, "writev": 20, "sched_yield": 24, "mremap": 25, "madvise": 28, "getpid": 39,
    "exit": 60, "getrusage": 98, "sigaltstack": 131, "gettid": 186, "futex": 202,
    "clock_gettime": 228, "exit_group": 231, "tgkill": 234, "getrandom": 318,
}  # fmt: skip
_ARCH_X86_64 = 0xC000003E
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER_MODE = 38, 22, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM


def _close_process(size: int) -> bool:
    """Limit memory and time, forbid new files; True where system calls are filtered as well."""
    seconds = 20 + size // (20 * 2**20)
    limits = {
        resource.RLIMIT_CPU: seconds,
        resource.RLIMIT_FSIZE: 2 * SMALL_BYTES + MAX_EXPANSION * size,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: 0,  # what is open stays open; nothing new: no file, no socket
    }
    if sys.platform == "linux":  # elsewhere a limit of the address space cannot be set
        limits[resource.RLIMIT_AS] = 4 * 2**30 + 6 * size
    for limit, value in limits.items():
        _, hard = resource.getrlimit(limit)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(limit, (value, value))
    return _filter_system_calls()


def _filter_system_calls() -> bool:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    rules = [(_LOAD, 0, 0, 4), (_JUMP_IF_EQUAL, 1, 0, _ARCH_X86_64), (_RETURN, 0, 0, _REFUSE)]
    rules.append((_LOAD, 0, 0, 0))
    numbers = list(_ALLOWED_CALLS.values())
    for position, number in enumerate(numbers):
        rules.append((_JUMP_IF_EQUAL, len(numbers) - position, 0, number))
    rules += [(_RETURN, 0, 0, _REFUSE), (_RETURN, 0, 0, _ALLOW)]
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *rule) for rule in rules))

    class FilterProgram(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("rules", ctypes.c_void_p))

    header = FilterProgram(len(rules), ctypes.addressof(program))
    prctl = ctypes.CDLL(None).prctl
    prctl.argtypes = [ctypes.c_int, *(4 * [ctypes.c_ulong])]
    if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    address = ctypes.addressof(header)
    return bool(prctl(_PR_SET_SECCOMP, _FILTER_MODE, address, 0, 0) == 0)


def _warm_up() -> None:
    """Import now what Python and h5py import when first needed: later nothing can be opened."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as whole:
        whole.writestr("ä", "text")
    with h5py.File.in_memory() as file:
        file.attrs["names"] = np.asarray([b"a"])
        file["group/array"] = np.zeros(2, np.float32)
        file.flush()
        image = file.id.get_file_image()
    with h5py.File.in_memory(image) as file:
        _read_tree(file)
    for codec in ("cp437", "utf-8", "utf-16", "utf-32", "ascii", "latin-1"):
        "text".encode(codec)
    try:
        with zipfile.ZipFile(io.BytesIO(b"PK\x03\x04")):
            pass
    except zipfile.BadZipFile:
        pass


# ---- Archives ----


def _read_archive(data: bytes) -> tuple[dict[str, Any], list[Array]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        _check_members(archive)
        config = _member(archive, "config.json", MAX_CONFIG_BYTES)
        metadata: Any = {}
        if "metadata.json" in archive.namelist():
            metadata = json.loads(_member(archive, "metadata.json", 2**20))
        if "model.weights.h5" not in archive.namelist():
            raise Refused("no_weights")
        size = archive.getinfo("model.weights.h5").file_size
        weights = _member(archive, "model.weights.h5", size)
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    with h5py.File.in_memory(weights) as file:
        groups, described, arrays = _read_tree(file)
    _check_total(arrays, len(data))
    header = {
        "format": "keras",
        "config": _checked_json(config),
        "keras_version": str(version) if version is not None else None,
        "groups": groups,
        "arrays": described,
    }
    return header, arrays


def _check_members(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    if len(members) > MAX_MEMBERS:
        raise Refused("too_many_members", str(len(members)))
    for member in members:
        large = member.file_size > SMALL_BYTES
        if large and member.file_size > MAX_EXPANSION * max(1, member.compress_size):
            raise Refused("expands", member.filename[:100])


def _member(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    with archive.open(name) as file:
        content = file.read(limit + 1)
    if len(content) > limit:
        raise Refused("member_too_large", f"{name}, at most {limit} bytes")
    return content


def _checked_json(text: bytes | str) -> str:
    """The text, if it is small and flat enough to be parsed."""
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    if len(text) > MAX_CONFIG_BYTES:
        raise Refused("member_too_large", f"the network's JSON, at most {MAX_CONFIG_BYTES} bytes")
    depth = deepest = 0
    for match in re.finditer(r'"(?:[^"\\]|\\.)*+"|[\[{]|[\]}]', text, re.DOTALL):
        token = match.group()
        if token in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif token in "]}":
            depth -= 1
    if deepest > MAX_DEPTH:
        raise Refused("nested", f"{deepest} levels, at most {MAX_DEPTH}")
    return text


# ---- HDF5 ----


def _read_tree(file: Any) -> tuple[list[Any], list[Any], list[Array]]:
    """The groups with their attributes, the arrays with their places, and the arrays."""
    groups: list[Any] = []
    described: list[Any] = []
    arrays: list[Array] = []
    visited: set[int] = set()
    pending = [("", file, 0)]
    while pending:
        path, group, depth = pending.pop()
        groups.append({"path": path, "attributes": _attributes(group)})
        for name in group:
            item = _hard_link(group, name)
            place = f"{path}/{name}" if path else name
            address = h5py.h5o.get_info(item.id).addr
            if address in visited or len(visited) > MAX_OBJECTS or depth > MAX_DEPTH:
                raise Refused("structure", place[:200])
            visited.add(address)
            if isinstance(item, h5py.Group):
                pending.append((place, item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                array = _array(item, place)
                entry = {"path": place, "dtype": array.dtype.str, "shape": array.shape}
                described.append({**entry, "attributes": _attributes(item)})
                arrays.append(array)
    return groups, described, arrays


def _hard_link(group: Any, name: str) -> Any:
    """A member of a group; links to other files or other places are refused."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise Refused("link", name[:100])
    return group[name]


def _array(dataset: Any, place: str) -> Array:
    if dataset.external or dataset.is_virtual:
        raise Refused("link", place[:200])
    if dataset.dtype.kind not in "fiub":
        raise Refused("array_type", f"{place[:200]}: {dataset.dtype}"[:300])
    stored = dataset.id.get_storage_size()
    if dataset.nbytes > SMALL_BYTES and dataset.nbytes > MAX_EXPANSION * max(1, stored):
        raise Refused("expands", place[:200])
    return np.ascontiguousarray(dataset[()]).reshape(dataset.shape)


def _attributes(node: Any) -> dict[str, Any]:
    """The attributes that are text, numbers, or rows of text."""
    attributes: dict[str, Any] = {}
    for name in node.attrs:
        if name in ("model_config", "training_config"):
            continue
        value = node.attrs[name]
        if isinstance(value, bytes):
            value = value.decode("utf-8")
        if isinstance(value, np.ndarray) and value.dtype.kind in "SOU" and value.ndim == 1:
            value = [v.decode("utf-8") if isinstance(v, bytes) else str(v) for v in value]
        if isinstance(value, (str, int, float, list)):
            attributes[name] = value
    return attributes


def _check_total(arrays: list[Array], size: int) -> None:
    total = sum(array.nbytes for array in arrays)
    if total > SMALL_BYTES and total > MAX_EXPANSION * size:
        raise Refused("expands", "its arrays together")


def _read_h5(data: bytes) -> tuple[dict[str, Any], list[Array]]:
    with h5py.File.in_memory(data) as file:
        if "model_config" not in file.attrs:
            raise Refused("no_network")
        config = _checked_json(file.attrs["model_config"])
        version = file.attrs.get("keras_version")
        groups, described, arrays = [], [], []  # type: list[Any], list[Any], list[Array]
        if "model_weights" in file:
            groups, described, arrays = _read_tree(_hard_link(file, "model_weights"))
    _check_total(arrays, len(data))
    header = {
        "format": "h5",
        "config": config,
        "keras_version": version.decode() if isinstance(version, bytes) else str(version or "1"),
        "groups": groups,
        "arrays": described,
    }
    return header, arrays


# ---- The answer ----


def _read(data: bytes) -> tuple[dict[str, Any], list[Array]]:
    try:
        if data[:4] == b"PK\x03\x04":
            return _read_archive(data)
        if data[:8] == b"\x89HDF\r\n\x1a\n":
            return _read_h5(data)
        raise Refused("no_model")
    except Refused as refused:
        return {"refused": refused.code, "detail": refused.detail}, []
    except MemoryError:
        return {"refused": "memory", "detail": ""}, []
    except Exception as error:  # noqa: BLE001  a damaged file can raise anything; the parent names it
        return {"refused": "damaged", "detail": f"{type(error).__name__}: {error}"[:300]}, []


def main() -> None:
    _warm_up()
    filtered = _close_process(int(sys.argv[1]))
    header, arrays = _read(sys.stdin.buffer.read())
    head = json.dumps({**header, "filtered": filtered}).encode()
    out = sys.stdout.buffer
    out.write(struct.pack("<Q", len(head)) + head)
    for array in arrays:
        out.write(array.reshape(-1).view(np.uint8).data)
    out.flush()
    os._exit(0)  # no clean-up code runs on what a file may have damaged


if __name__ == "__main__":
    main()

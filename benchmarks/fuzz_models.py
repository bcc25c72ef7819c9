"""Damaged and hostile model files: each must load or be a named `ModelError`.

    python benchmarks/fuzz_models.py --num 3000 --models ../shared/cases/models

Takes the `.h5` and `.keras` files below `--models` and changes bytes, cuts them, changes the
network's JSON or the arrays. Inputs run in a worker process; where it dies, that input is
counted, its number is printed, and a new worker goes on. Prints a table of results and ends with
1 where any input was neither loaded nor refused by name.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import random
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np

VALUES = (
    *(None, True, -1, 0, 1, 2, 3, 7, 2**31, 10**9, 10**18, -0.5, 1e308, float("nan")),
    *("", "x", "relu", "input_1", "channels_first", "float16", "int8", [], {}, [[]], [None, 8]),
    *("../../etc/passwd", "http://localhost/x", "\u0000", "a/b" * 40),
)


def mutate(path: Path, chance: random.Random) -> bytes:
    """The bytes of the file with one kind of damage."""
    data = path.read_bytes()
    kind = chance.choice(("bytes", "bytes", "cut", "network", "network", "network", "arrays"))
    if kind == "bytes":
        return _change_bytes(data, chance)
    if kind == "cut":
        return data[: chance.randrange(len(data))]
    if path.suffix == ".h5":
        return _change_h5(data, kind, chance)
    return _change_archive(data, kind, chance)


def _change_bytes(data: bytes, chance: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice((1, 3, 10, 50))):
        changed[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(changed)


def _change_h5(data: bytes, kind: str, chance: random.Random) -> bytes:
    buffer = io.BytesIO(data)
    with h5py.File(buffer, "r+") as file:
        if kind == "network":
            network = _change_network(json.loads(file.attrs["model_config"]), chance)
            file.attrs["model_config"] = json.dumps(network)
        else:
            _change_arrays(file["model_weights"], chance)
    return buffer.getvalue()


def _change_archive(data: bytes, kind: str, chance: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    if kind == "network":
        network = _change_network(json.loads(members["config.json"]), chance)
        members["config.json"] = json.dumps(network).encode()
    else:
        weights = io.BytesIO(members["model.weights.h5"])
        with h5py.File(weights, "r+") as file:
            _change_arrays(file, chance)
        members["model.weights.h5"] = weights.getvalue()
    if chance.random() < 0.05:
        members.pop(chance.choice(list(members)))
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return written.getvalue()


def _places(node: Any) -> list[tuple[Any, Any]]:
    """(container, key) of every value below a node."""
    found: list[tuple[Any, Any]] = []
    pending = [node]
    while pending:
        container = pending.pop()
        keys = range(len(container)) if isinstance(container, list) else list(container)
        for key in keys:
            found.append((container, key))
            if isinstance(container[key], (dict, list)):
                pending.append(container[key])
    return found


def _change_network(network: Any, chance: random.Random) -> Any:
    for _ in range(chance.choice((1, 1, 2, 5))):
        places = _places(network)
        if not places:
            break
        container, key = chance.choice(places)
        action = chance.choice(("value", "value", "other", "delete", "deep", "class"))
        if action == "value":
            container[key] = chance.choice(VALUES)
        elif action == "other":
            other, name = chance.choice(places)
            container[key] = json.loads(json.dumps(other[name]))
        elif action == "delete":
            del container[key]
        elif action == "deep":
            container[key] = json.loads("[" * 120 + "]" * 120)
        elif isinstance(container, dict):
            names = ("Lambda", "Dense", "Functional", "StringLookup", "os.system", "function")
            container["class_name"] = chance.choice(names)
    return network


def _change_arrays(group: Any, chance: random.Random) -> None:
    datasets: list[Any] = []
    group.visititems(lambda _, item: datasets.append(item) if hasattr(item, "shape") else None)
    dataset = chance.choice(datasets)
    name = dataset.name
    action = chance.choice(("delete", "shape", "type", "text", "huge", "external", "soft", "loop"))
    values = np.asarray(dataset[()])
    del dataset.file[name]
    file = group.file
    if action == "shape":
        file[name] = np.zeros((3, *values.shape[1:]), values.dtype)
    elif action == "type":
        file[name] = values.astype(chance.choice(("f2", "f8", "i1", "c8", "?")))
    elif action == "text":
        file[name] = np.asarray([b"text"] * 3)
    elif action == "huge":
        file.create_dataset(name, (10**6, 10**6), "f4", chunks=(1000, 1000))
    elif action == "external":
        file[name] = h5py.ExternalLink("/etc/passwd", "/")
    elif action == "soft":
        file[name] = h5py.SoftLink(name)
    elif action == "loop":
        file[name] = file["/"]


def run_worker(models: Path, start: int, stop: int) -> None:
    """Print one line for each input: its number and the result."""
    from cxr_audit.classifier import load_keras
    from cxr_audit.errors import ModelError

    paths = sorted(p for p in models.rglob("*") if p.suffix in (".h5", ".keras"))
    with tempfile.TemporaryDirectory() as folder:
        for number in range(start, stop):
            chance = random.Random(number)
            original = chance.choice(paths)
            path = Path(folder) / f"model{original.suffix}"
            path.write_bytes(mutate(original, chance))
            try:
                load_keras(path)
                result = "loaded"
            except ModelError as error:
                words = re.sub(re.escape(str(path)), "FILE", str(error))
                result = "refused: " + re.sub(r"[\d,]{2,}|'[^']*'|\(.*", "#", words)[:60]
            except BaseException as error:  # noqa: BLE001  what the fuzzer looks for
                result = f"UNEXPECTED {type(error).__name__}: {error}"[:200]
            print(f"RESULT {number} {ascii(' '.join(result.split()))[1:-1]}", flush=True)


def run(models: Path, num: int, start: int) -> collections.Counter[str]:
    results: collections.Counter[str] = collections.Counter()
    number, stop = start, start + num
    while number < stop:
        command = [sys.executable, __file__, "--models", str(models)]
        command += ["--worker", str(number), str(min(stop, number + 200))]
        with tempfile.TemporaryFile("w+") as errors:
            worker = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
            assert worker.stdout is not None
            done = 0
            for line in worker.stdout:
                if not line.startswith("RESULT "):
                    continue
                _, at, result = line.rstrip("\n").split(" ", 2)
                results[result] += 1
                done += 1
                if result.startswith("UNEXPECTED"):
                    print(at, result, flush=True)
            status = worker.wait()
            number += done
            if status != 0:
                print(number, f"worker ended with status {status}", flush=True)
                errors.seek(0)
                print(errors.read()[-600:], flush=True)
                results[f"UNEXPECTED end of the worker, status {status}"] += 1
                number += 1
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--num", type=int, default=1000)
    parser.add_argument("--start", type=int, default=0)
    parser.add_argument("--worker", type=int, nargs=2)
    arguments = parser.parse_args()
    if arguments.worker:
        run_worker(arguments.models, *arguments.worker)
        return 0
    results = run(arguments.models, arguments.num, arguments.start)
    for result, count in results.most_common(40):
        print(f"{count:7,}  {result}")
    unexpected = sum(count for result, count in results.items() if result.startswith("UNEXPECTED"))
    print(f"{sum(results.values()):,} inputs, {unexpected} neither loaded nor refused by name")
    return 1 if unexpected else 0


if __name__ == "__main__":
    sys.exit(main())

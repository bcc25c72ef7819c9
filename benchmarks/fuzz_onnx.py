"""Damaged ONNX files: each must load and answer, or be refused by a named error.

    .venv/bin/python -m benchmarks.fuzz_onnx [--count 2000] [--seed 1]

Half of the inputs have changed bytes. The other half have changed fields: dimensions, attributes,
operators, types, data, shapes, versions, missing nodes. The files are a tiny network and a
convolutional one of the tests.
"""

from __future__ import annotations

import argparse
import collections
import random
import tempfile
import time
from pathlib import Path

import numpy as np
from cxr_audit.classifier import ClosedClassifier, OnnxFile
from cxr_audit.errors import ModelError

from tests.classifier.closed_models import tiny, write_onnx
from tests.classifier.models import nested

NUMBERS = (0, 1, -1, 2, 3, 7, 2**20, 2**31 - 1, 2**31, 2**40, -(2**31))
OPERATORS = ("Add", "Conv", "Expand", "Gather", "If", "Loop", "Reshape", "Softmax", "Tile")
TYPES = (1, 2, 6, 7, 8, 10, 11, 99)
VERSIONS = (0, 1, 7, 18, 30, 2**30)


def changed_bytes(content: bytes, rng: random.Random) -> bytes:
    """Bits flipped, bytes cut, inserted or set."""
    data, kind = bytearray(content), rng.randrange(4)
    for _ in range(rng.choice((1, 1, 2, 5, 20))):
        if not data:
            break
        place = rng.randrange(min(len(data), rng.choice((3000, len(data)))))
        if kind == 0:
            data[place] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[place : place + rng.randrange(1, 40)]
        elif kind == 2:
            data[place:place] = rng.randbytes(rng.randrange(1, 9))
        else:
            data[place : place + 4] = b"\xff" * 4
    return bytes(data)


def changed_fields(content: bytes, rng: random.Random) -> bytes:
    """A model that is well formed as a message, with other contents."""
    import onnx

    model = onnx.load_model_from_string(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if model.graph.node:
            rng.choice((_change_weights, _change_node, _change_rest))(model, rng)
    return bytes(model.SerializeToString())


def _change_weights(model, rng) -> None:
    tensor, kind = rng.choice(model.graph.initializer), rng.randrange(3)
    if kind == 0 and tensor.dims:
        tensor.dims[rng.randrange(len(tensor.dims))] = rng.choice(NUMBERS)
    elif kind == 1:
        tensor.data_type = rng.choice(TYPES)
    else:
        tensor.raw_data = tensor.raw_data[: rng.randrange(1 + len(tensor.raw_data))]


def _change_node(model, rng) -> None:
    node, kind = rng.choice(model.graph.node), rng.randrange(4)
    if kind == 0 and node.attribute:
        attribute = rng.choice(node.attribute)
        if attribute.ints:
            attribute.ints[rng.randrange(len(attribute.ints))] = rng.choice(NUMBERS)
        else:
            attribute.i = rng.choice(NUMBERS)
    elif kind == 1 and node.input:
        other = rng.choice(model.graph.node)
        node.input[rng.randrange(len(node.input))] = rng.choice(other.output)
    elif kind == 2:
        node.op_type = rng.choice(OPERATORS)
    else:
        model.graph.node.remove(node)


def _change_rest(model, rng) -> None:
    if rng.randrange(2):
        axes = model.graph.input[0].type.tensor_type.shape.dim
        axes[rng.randrange(len(axes))].dim_value = rng.choice(NUMBERS)
    else:
        model.opset_import[0].version = rng.choice(VERSIONS)


def answer(path: Path) -> None:
    """Open a file and ask it about two black images."""
    model = OnnxFile(path)
    shape = tuple(size or 4 for size in model.shape)
    stated = None if model.activation else "logits"
    ClosedClassifier(model, shape, stated=stated).logits(np.zeros((2, *shape), np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng, counts, slowest = random.Random(arguments.seed), collections.Counter[str](), 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [tiny(folder / "tiny.onnx"), write_onnx(nested(), folder / "nested.onnx")]
        contents = [path.read_bytes() for path in files]
        for _ in range(arguments.count):
            change = rng.choice((changed_bytes, changed_fields))
            path = folder / "damaged.onnx"
            path.write_bytes(change(rng.choice(contents), rng))
            start = time.perf_counter()
            try:
                answer(path)
                counts["answered"] += 1
            except ModelError:
                counts["refused by a named error"] += 1
            except Exception as error:  # noqa: BLE001  that is what is looked for
                counts[f"UNEXPECTED {type(error).__name__}: {str(error)[:80]}"] += 1
            slowest = max(slowest, time.perf_counter() - start)
    for what, num in counts.most_common():
        print(f"{num:6} {what}")
    print(f"slowest input {slowest:.1f} s")


if __name__ == "__main__":
    main()

"""TensorFlow against ONNX Runtime: a forward pass, and a whole audit.

    .venv/bin/python -m benchmarks.runtimes [--batch 16] [--rounds 9] [--threads 2] [--cases 0]

DenseNet121 with random weights at 224 px. The two take turns in one process, so that other load on
the machine falls on both, with the same number of threads; ratios are medians of the ratios of
neighbours. `--cases N` audits N radiographs with each runtime, without PDFs, and prints what the
stages of the networks cost.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from importlib import metadata
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.end_to_end import densenet, radiographs

STAGES = ("classifier and maps", "changed inputs", "trust")


def timed(call: Callable[[], object]) -> tuple[float, float]:
    """(wall, CPU) seconds of a call."""
    start = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - start[0], time.process_time() - start[1]


def compare(
    name: str, plain: Callable[[], object], fast: Callable[[], object], rounds: int
) -> None:
    """Print the medians of two calls that take turns."""
    for call in (plain, fast):
        call()
    pairs = [(timed(plain), timed(fast)) for _ in range(rounds)]
    for place, clock in enumerate(("wall", "CPU")):
        first = [1000 * pair[0][place] for pair in pairs]
        second = [1000 * pair[1][place] for pair in pairs]
        ratio = median(a / b for a, b in zip(first, second, strict=True))
        print(
            f"{name}, {clock}: TensorFlow {median(first):.0f} ms, "
            f"ONNX Runtime {median(second):.0f} ms, ratio {ratio:.2f}"
        )


def passes(model: Path, batch_size: int, rounds: int) -> None:
    """A forward pass and a Grad-CAM of one batch."""
    from cxr_audit.classifier import Classifier, OnnxRuntime, load_keras
    from cxr_audit.explain import Explainer

    shape = (224, 224, 3)
    classifier = Classifier(load_keras(model), shape)
    plain = Explainer(classifier.in_tensorflow())
    classifier.runtime = OnnxRuntime()
    fast = Explainer(classifier)
    batch = np.random.default_rng(0).random((batch_size, *shape), np.float32)
    start = time.perf_counter()
    difference = np.abs(fast.logits(batch) - plain.logits(batch)).max()
    print(f"export and first pass of both: {time.perf_counter() - start:.1f} s")
    print(f"largest difference of a logit: {difference:.2g}")
    compare(
        f"forward, batch {batch_size}",
        lambda: plain.logits(batch),
        lambda: fast.logits(batch),
        rounds,
    )
    labels = [None] * batch_size
    compare(
        f"Grad-CAM, batch {batch_size}",
        lambda: plain.explain(batch, labels),
        lambda: fast.explain(batch, labels),
        rounds,
    )


def audits(folder: Path, num_cases: int) -> None:
    """A run with each runtime: CPU of the stages of the networks, and wall time."""
    from cxr_audit import load_config, run_audit
    from cxr_audit.evidence import RunFolder

    radiographs(folder / "images", num_cases)
    (folder / "audit.yaml").write_text(
        "run: {name: tensorflow}\ningest: {source: images}\nclassifier: {path: model.keras}\n"
        "preprocess: {channels: 3, scaling: imagenet}\nreport: {documents: false}\n"
    )
    for runtime in ("tensorflow", "onnxruntime"):
        settings = [f"engine.runtime={runtime}", f"run.name={runtime}"]
        config = load_config(folder / "audit.yaml", settings)
        wall_s, _ = timed(partial(run_audit, config))
        run = RunFolder(folder / "reports" / runtime).read_run()
        of_cases = sum(run.costs.cpu_s.get(stage, 0.0) for stage in STAGES)
        print(
            f"{runtime}: {num_cases} cases in {wall_s:.0f} s; CPU ms a case: networks "
            f"{1000 * of_cases / num_cases:.0f}; calibration {run.costs.cpu_s['calibration']:.0f} s CPU, "
            f"{run.costs.wall_s['calibration']:.0f} s; start {run.costs.wall_s['start']:.0f} s"
        )
        if run.calibration.parity is not None and run.calibration.parity.runtime is not None:
            print(f"  {run.calibration.parity.runtime}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--cases", type=int, default=0)
    arguments = parser.parse_args()
    os.environ["TF_NUM_INTRAOP_THREADS"] = str(arguments.threads)
    versions = [f"{name} {metadata.version(name)}" for name in ("tensorflow", "onnxruntime")]
    print(f"{', '.join(versions)}, {arguments.threads} threads")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        densenet(folder / "model.keras")
        passes(folder / "model.keras", arguments.batch, arguments.rounds)
        if arguments.cases:
            audits(folder, arguments.cases)


if __name__ == "__main__":
    main()

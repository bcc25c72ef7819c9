"""What an audit costs with a network that users bring, beside the tutorials' way, in one run.

    .venv/bin/python -m benchmarks.network_speed [--cases 96] [--only standard,tutorials]
    .venv/bin/python -m benchmarks.network_speed --peers PYTHON    PYTHON: an environment with
        torch, torchvision, grad-cam and matplotlib

DenseNet121 at 224 x 224 with random weights, nested as in transfer learning. Radiographs: those of
the Kermany test split (../shared/data), or phantoms, brought to 1024 pixels as JPEG; every eighth
one is 2000 x 2500 as DICOM. The unit is the plain forward pass of the same network, timed by the
run itself. Per case means: beyond what a run costs once (start and calibration).

The tutorials' way: one eager gradient of the logit by the last convolution, image by image, and a
matplotlib page with the radiograph, the map and the overlay.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "kermany" / "test"
JPEG_PX = 1024
DICOM_SIZE = 2500, 2000  # rows, columns
EVERY = 8
SIDE = 224
TUTORIAL_CASES = 8
PEER_CASES = 16
LIMIT_CPU_MS = 260
FIRST_PASSES, FIRST_SECONDS = 450, 20


# ---- what is audited


def write_inputs(folder: Path, num_cases: int) -> None:
    """The model and the radiographs."""
    from benchmarks.end_to_end import densenet, radiographs

    densenet(folder / "model.keras")
    radiographs(folder / "drawn", num_cases)
    (folder / "images").mkdir()
    for number, file in enumerate(sorted((folder / "drawn").iterdir())):
        grey = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        if number % EVERY == EVERY - 1:
            write_dicom(folder / "images" / f"{number:05}.dcm", grey)
            continue
        scale = JPEG_PX / max(grey.shape)
        size = round(grey.shape[1] * scale), round(grey.shape[0] * scale)
        picture = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / "images" / f"{number:05}.jpg"), picture)


def write_dicom(path: Path, grey: np.ndarray) -> None:
    """A frontal digital radiograph, 12 bits, uncompressed."""
    import pydicom
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

    rows, columns = DICOM_SIZE
    pixels = cv2.resize(grey, (columns, rows), interpolation=cv2.INTER_LINEAR).astype(np.uint16)
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid(entropy_srcs=[path.name])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header = pydicom.Dataset()
    header.file_meta = meta
    header.SOPClassUID = meta.MediaStorageSOPClassUID
    header.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    header.Modality, header.BodyPartExamined, header.ViewPosition = "DX", "CHEST", "PA"
    header.PhotometricInterpretation, header.SamplesPerPixel = "MONOCHROME2", 1
    header.Rows, header.Columns = rows, columns
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 12, 11
    header.PixelRepresentation = 0
    header.PresentationIntentType = "FOR PRESENTATION"
    header.WindowCenter, header.WindowWidth = 2047.5, 4095
    header.PixelData = (pixels * 16).tobytes()
    header.save_as(path, enforce_file_format=True)


def audit(folder: Path, name: str, model: str, *settings: str) -> dict[str, Any]:
    """Run an audit; what it cost."""
    channels, scaling = (1, "unit") if model == "reference" else (3, "imagenet")
    (folder / "audit.yaml").write_text(
        f"run: {{name: {name}}}\ningest: {{source: images}}\nclassifier: {{path: {model}}}\n"
        f"preprocess: {{channels: {channels}, scaling: {scaling}}}\n"
    )
    command = [sys.executable, "-m", "cxr_audit", "run", str(folder / "audit.yaml")]
    for setting in settings:
        command += ["--set", setting]
    begun = time.time()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr.strip()[-2000:]}")
    run_folder = folder / "reports" / name
    pdfs = sorted(path.stat().st_mtime for path in run_folder.glob("cases/**/report.pdf"))
    record = json.loads((run_folder / "run.json").read_text())
    record["seconds_to_first"] = pdfs[0] - begun
    half = len(pdfs) // 3
    record["wall_ms_a_case"] = 1000 * (pdfs[-1] - pdfs[half]) / (len(pdfs) - 1 - half)
    record["num_cases"] = len(pdfs)
    return record


ONCE = ("start", "calibration", "composer")
"""Stages that do not grow with the number of cases, or hardly."""


def print_run(name: str, record: dict[str, Any], tutorials_cpu_ms: float | None) -> None:
    """What a run cost, in the unit of its own plain pass."""
    num, plain = record["num_cases"], record["calibration"]["plain"]
    cpu_s, counts = record["costs"]["cpu_s"], record["costs"]["passes"]
    of_cases = ("maps", "brightness", "replaced", "stability", "masking")
    asked = sum(counts[key]["asked"] for key in of_cases if key in counts) / num
    masking = counts.get("masking", {"asked": 0})["asked"] / num
    cpu_ms = 1000 * sum(s for stage, s in cpu_s.items() if stage not in ONCE) / num
    beyond = cpu_ms - asked * plain["cpu_ms"]
    print(f"\n{name}: {num} cases")
    print(f"  plain pass: {plain['wall_ms']:.1f} ms wall, {plain['cpu_ms']:.1f} ms CPU")
    print(f"  passes a case: {asked:.2f}, of these causal masking of a sample {masking:.2f}")
    print(f"  CPU a case: {cpu_ms:.0f} ms; beyond its passes {beyond:.0f} ms", end="")
    print(f" (goal: {LIMIT_CPU_MS} ms); wall a case, last two thirds: ", end="")
    print(f"{record['wall_ms_a_case']:.0f} ms")
    for stage, seconds in cpu_s.items():
        print(f"    {stage:28}{1000 * seconds / num:8.1f} ms CPU a case")
    allowed = FIRST_PASSES * plain["wall_ms"] / 1000 + FIRST_SECONDS
    print(f"  first case PDF after {record['seconds_to_first']:.1f} s ", end="")
    print(f"(goal: {FIRST_PASSES} plain passes and {FIRST_SECONDS} s: {allowed:.1f} s)")
    if tutorials_cpu_ms is not None:
        print(f"  tutorials' way / this: {tutorials_cpu_ms / cpu_ms:.1f} in CPU time")
    print_passes(counts, plain)
    sizes = record["costs"]["peak_memory_mib"]
    print("  peak MiB:", ", ".join(f"{kind} {size:.0f}" for kind, size in sizes.items()))


def print_passes(counts: dict[str, Any], plain: dict[str, Any]) -> None:
    """Passes by purpose."""
    total = sum(count["cpu_s"] for count in counts.values())
    for purpose, count in counts.items():
        cpu_ms = 1000 * count["cpu_s"] / count["computed"]
        share = count["cpu_s"] / total
        print(f"    {purpose:16}{count['asked']:7} asked {count['computed']:7} computed", end="")
        print(f"{cpu_ms:8.1f} ms CPU ({cpu_ms / plain['cpu_ms']:.2f} plain passes), {share:.0%}")


# ---- the tutorials' way


def page(path: Path, grey: np.ndarray, heatmap: np.ndarray, title: str) -> None:
    """The page that tutorials end with."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    large = cv2.resize(heatmap, grey.shape[::-1])
    figure, axes = pyplot.subplots(1, 3, figsize=(12, 4))
    axes[0].imshow(grey, cmap="gray")
    axes[1].imshow(large, cmap="jet")
    axes[2].imshow(grey, cmap="gray")
    axes[2].imshow(large, cmap="jet", alpha=0.4)
    for axis in axes:
        axis.axis("off")
    figure.suptitle(title)
    figure.savefig(path)
    pyplot.close(figure)


def tutorials(folder: Path) -> None:
    """Grad-CAM by an eager tape, image by image (keras.io, 'Grad-CAM class activation')."""
    import cxr_audit.classifier  # noqa: F401  TensorFlow without its notices
    import keras
    import tensorflow as tf

    model = keras.saving.load_model(folder / "model.keras")
    backbone, *tail = model.layers
    grad_model = keras.Model(backbone.inputs, backbone.outputs)

    def one(file: Path) -> None:
        grey = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        small = cv2.resize(grey, (SIDE, SIDE)).astype(np.float32) / 255
        batch = np.repeat(small[None, ..., None], 3, -1)
        with tf.GradientTape() as tape:
            features = grad_model(batch)
            tape.watch(features)
            score = features
            for layer in tail:
                score = layer(score)
        gradients = tape.gradient(score, features)
        weights = tf.reduce_mean(gradients, (0, 1, 2))
        heatmap = tf.nn.relu(tf.reduce_sum(features[0] * weights, -1)).numpy()
        page(folder / "page.pdf", grey, heatmap, f"{float(score[0, 0]):.2f}")

    files = sorted((folder / "images").glob("*.jpg"))[: TUTORIAL_CASES + 1]
    print(json.dumps(timed(lambda: ((one(file), 1) for file in files))))


def pytorch_grad_cam(folder: Path) -> None:
    """Grad-CAM of pytorch-grad-cam, a batch at a time, and the same page."""
    from benchmarks.explain_speed import name_operators

    name_operators()
    import torch
    from pytorch_grad_cam import GradCAM
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
    from torchvision.models import densenet121

    model = densenet121(weights=None, num_classes=2).eval()
    cam = GradCAM(model, [model.features[-1]])
    files = sorted((folder / "images").glob("*.jpg"))[:PEER_CASES]

    def batches() -> Iterator[tuple[None, int]]:
        for _ in range(3):
            greys = [cv2.imread(str(file), cv2.IMREAD_GRAYSCALE) for file in files]
            small = np.stack([cv2.resize(grey, (SIDE, SIDE)) for grey in greys])
            batch = torch.from_numpy(np.repeat(small[:, None] / np.float32(255), 3, 1))
            heatmaps = cam(batch, [ClassifierOutputTarget(1)] * len(files))
            for grey, heatmap in zip(greys, heatmaps, strict=True):
                page(folder / "page.pdf", grey, heatmap, "")
            yield None, len(files)

    print(json.dumps(timed(batches)))


def timed(pieces: Callable[[], Iterator[tuple[None, int]]]) -> dict[str, float]:
    """Median ms a case over pieces of work, without the first one."""
    wall_ms, cpu_ms = [], []
    start = time.perf_counter(), time.process_time()
    for _, num in pieces():
        now = time.perf_counter(), time.process_time()
        wall_ms.append(1000 * (now[0] - start[0]) / num)
        cpu_ms.append(1000 * (now[1] - start[1]) / num)
        start = now
    return {"wall_ms": statistics.median(wall_ms[1:]), "cpu_ms": statistics.median(cpu_ms[1:])}


PEERS = {"tutorials": tutorials, "pytorch-grad-cam": pytorch_grad_cam}


def peer(name: str, python: str, folder: Path) -> dict[str, float] | None:
    """The cost of a peer in a process of its own; None where it does not run."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    command = [python, "-m", "benchmarks.network_speed", "--peer", name, "--folder", str(folder)]
    done = subprocess.run(
        command,
        env=environment,
        cwd=Path(__file__).resolve().parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        print(f"{name} does not run here: {(done.stderr.strip() or 'killed').splitlines()[-1]}")
        return None
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}: {found['wall_ms']:.0f} ms wall, {found['cpu_ms']:.0f} ms CPU a case")
    return found


def machine() -> str:
    """Processor, cores, load, versions."""
    names = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    flags = Path("/proc/cpuinfo").read_text()
    wide = [name for name in ("avx2", "avx512f", "amx_tile") if name in flags]
    libraries = ("tensorflow", "keras", "onnxruntime", "weasyprint", "matplotlib")
    versions = []
    for name in libraries:
        try:
            versions.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{name} absent")
    return (
        f"{len(os.sched_getaffinity(0))} cores, {names[0] if names else platform.processor()} "
        f"({', '.join(wide)}); load {os.getloadavg()[0]:.1f}; Python "
        f"{platform.python_version()}, {', '.join(versions)}"
    )


RUNS = {
    "standard": ("model.keras", "run.depth=standard"),
    "screening": ("model.keras", "run.depth=screening"),
    "full": ("model.keras", "run.depth=full"),
    "onnxruntime": ("model.keras", "run.depth=standard", "engine.runtime=onnxruntime"),
    "onnxruntime-screening": (
        *("model.keras", "run.depth=screening", "engine.runtime=onnxruntime"),
    ),
    "reference": ("reference", "run.depth=standard"),
}
DEFAULT = "tutorials,standard,screening,onnxruntime,reference"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=96)
    parser.add_argument("--only", default=DEFAULT, help=f"of: tutorials,{','.join(RUNS)}")
    parser.add_argument("--peers", help="Python of an environment with pytorch-grad-cam")
    parser.add_argument("--peer", choices=list(PEERS), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        PEERS[arguments.peer](arguments.folder)
        return
    print(machine(), flush=True)
    folder = Path(tempfile.mkdtemp(prefix="network-speed-"))
    try:
        write_inputs(folder, arguments.cases)
        wanted = arguments.only.split(",")
        found = peer("tutorials", sys.executable, folder) if "tutorials" in wanted else None
        if arguments.peers:
            peer("pytorch-grad-cam", arguments.peers, folder)
        for name in wanted:
            if name in RUNS:
                model, *settings = RUNS[name]
                record = audit(folder, name, model, *settings)
                print_run(name, record, found and found["cpu_ms"])
        print(f"\nload at the end: {os.getloadavg()[0]:.1f}")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()

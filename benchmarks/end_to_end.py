"""A whole audit, from files to PDFs: cases a second, CPU by stage, peak memory.

    .venv/bin/python -m benchmarks.end_to_end [--cases 200] [--model reference | densenet121]

Radiographs are those of the Kermany test split (../shared/data); where it is missing, phantoms.
DenseNet121 is the nested `Sequential(backbone, pooling, Dropout, Dense)` at 224 px with random
weights. `--records-only` makes no PDFs; the difference is what they cost.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

from cxr_audit import load_config, run_audit

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "kermany" / "test"


def densenet(path: Path) -> None:
    import cxr_audit.classifier  # noqa: F401  first: it imports TensorFlow without its start-up notices
    import keras

    keras.utils.set_random_seed(1)
    backbone = keras.applications.DenseNet121(
        weights=None, include_top=False, input_shape=(224, 224, 3)
    )
    tail = [
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dropout(0.3),
        keras.layers.Dense(1, "sigmoid"),
    ]
    keras.Sequential([keras.Input((224, 224, 3)), backbone, *tail]).save(path)


def radiographs(folder: Path, num_cases: int) -> None:
    """`num_cases` files in `folder`: every n-th real one, or synthetic ones."""
    folder.mkdir()
    if REAL.is_dir():
        files = sorted(REAL.rglob("*.jpeg"))
        files = files[:: max(1, len(files) // num_cases)]
    else:
        from cxr_audit.reference.phantom.files import write_cases
        from cxr_audit.reference.phantom.phantom import cohort

        files = sorted(
            write_cases(folder.parent / "drawn", cohort(num_cases, seed=1)).parent.glob("*.png")
        )
    for n, file in enumerate(files[:num_cases]):
        shutil.copy(file, folder / f"{n:05}{file.suffix}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--model", choices=["reference", "densenet121"], default="densenet121")
    parser.add_argument("--records-only", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        radiographs(folder / "images", arguments.cases)
        model, channels, scaling = "reference", 1, "unit"
        if arguments.model == "densenet121":
            model, channels, scaling = "model.keras", 3, "imagenet"
            densenet(folder / model)
        (folder / "audit.yaml").write_text(
            f"run: {{name: benchmark}}\ningest: {{source: images}}\nclassifier: {{path: {model}}}\n"
            f"preprocess: {{channels: {channels}, scaling: {scaling}}}\n"
            f"report: {{documents: {str(not arguments.records_only).lower()}}}\n"
        )
        start = time.perf_counter()
        result = run_audit(load_config(folder / "audit.yaml"))
        wall = time.perf_counter() - start
        record = json.loads((result.folder / "run.json").read_text())
    num = sum(result.counts.values())
    print(
        f"{num} cases with {arguments.model} in {wall:.1f} s, start-up included: {num / wall:.2f} cases a second"
    )
    print(
        f"{1000 * wall / num:.0f} ms a case; without start-up {1000 * (wall - record['wall_s']['start']) / num:.0f} ms"
    )
    print("CPU ms a case by stage:")
    for stage, seconds in record["costs"]["cpu_s"].items():
        print(f"  {stage:24}{1000 * seconds / num:8.1f}")
    print(
        "peak memory, MiB:",
        ", ".join(
            f"{name} {size:.0f}" for name, size in record["costs"]["peak_memory_mib"].items()
        ),
    )


if __name__ == "__main__":
    main()

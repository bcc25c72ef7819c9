"""Everything that ships, measured against its limits.

    .venv/bin/python -m benchmarks.reference [--data ../shared/data]

Phantom, lung segmenter, marker search, reference classifier. About ten minutes on two cores. Exit
code 1 if a limit is not met. Each part has its own command: benchmarks.phantom_sheet, .lungs,
.markers; cxr_audit.reference.train_classifier --card-only.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import cxr_audit.classifier  # noqa: F401  first: it imports TensorFlow without its start-up notices
from cxr_audit.reference import WEIGHTS, card_of
from cxr_audit.reference.phantom import case_spec, draw
from cxr_audit.reference.train_classifier import describe

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
PHANTOM_S = 0.5
TEST_AUC = 0.975
KINDS = ("adult", "child")


def says(words: str, value: float, is_met: bool, limit: str) -> bool:
    """One line of the table."""
    print(f"{words:112} {value:8.3f}  {limit:10} {'met' if is_met else 'NOT MET'}")
    return is_met


def phantom() -> bool:
    """Core-seconds of one 1024x1024 phantom: the median of nine."""
    cv2.setNumThreads(1)
    used = []
    for seed in range(9):
        start = time.process_time()
        draw(case_spec(seed), 1024, 1024)
        used.append(time.process_time() - start)
    cv2.setNumThreads(-1)
    median = sorted(used)[4]
    return says(
        "phantom of 1024 x 1024, core-seconds", median, median <= PHANTOM_S, f"<= {PHANTOM_S}"
    )


def classifier(data: Path) -> bool:
    """The card's figures, measured again on the weights that ship; the card must say the same."""
    shipped = card_of("classifier")
    arguments = argparse.Namespace(
        data=data / "kermany",
        seed=shipped.training["seed"],
        epochs=shipped.training["epochs"][0],
        phantom_epochs=shipped.training["epochs"][1],
    )
    card = describe(arguments, WEIGHTS / shipped.weights, shipped.operation.temperature)
    is_met = True
    before = {(one.what, one.data): one.value for one in shipped.measured}
    for one in card.measured:
        interval = "" if one.interval_95 is None else " [{:.3f}, {:.3f}]".format(*one.interval_95)
        words = f"classifier: {one.what}, {one.data}, {one.num_cases} cases{interval}"
        if (one.what, one.data) == ("AUC", "Kermany test split"):
            is_met &= says(words, one.value, one.value >= TEST_AUC, f">= {TEST_AUC}")
        else:
            print(f"{words:112} {one.value:8.3f}")
        is_same = abs(one.value - before[one.what, one.data]) <= 1e-3
        is_met &= is_same or says(
            f"  the card says {before[one.what, one.data]:.4f}", one.value, False, "the same"
        )
    return is_met


def command(*arguments: str) -> bool:
    """Another benchmark, its lines printed; met where none of them says otherwise."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, check=False
    )
    print(done.stdout, end="")
    if done.returncode:
        print(done.stderr, file=sys.stderr)
    return done.returncode == 0 and "NOT MET" not in done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument(
        "--sheets", type=Path, help="folder for contact sheets of phantoms, lungs and markers"
    )
    arguments = parser.parse_args()
    sheets = arguments.sheets or Path(tempfile.mkdtemp(prefix="cxr-audit-sheets-"))
    met = [
        phantom(),
        *(
            command(
                "benchmarks.phantom_sheet", str(sheets / f"phantoms-{kind}.png"), "--kind", kind
            )
            for kind in KINDS
        ),
        command("benchmarks.lungs", "--data", str(arguments.data), "--sheets", str(sheets)),
        command("benchmarks.markers", "--sheets", str(sheets / "markers")),
        classifier(arguments.data),
    ]
    print("all limits met" if all(met) else "a limit is NOT met")
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()

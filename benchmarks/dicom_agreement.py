"""Our grey values beside pydicom's chain and DCMTK's, file by file: what differs must be explained.

    .venv/bin/python -m benchmarks.dicom_agreement [--files FOLDER] [--all]

Files: every image with one grey frame in pydicom and pydicom-data (called a CR, so that it is
read), or a folder of your own. pydicom: stored values equal bit by bit, and apply_modality_lut,
apply_voi_lut, inversion of MONOCHROME1, over the output range that its documentation states, within
a thousandth. DCMTK (Debian package dcmtk): `dcmj2pnm` and `dcml2pnm` at 8 bits, within one grey
level; files that it cannot read are named. Exit code 1 where a difference is not in EXPLAINED.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import subprocess
import sys
import tempfile
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import data_store
import numpy as np
import numpy.typing as npt
import pydicom
from cxr_audit.errors import CaseError
from cxr_audit.ingest import read
from cxr_audit.records import CaseSource, Radiograph
from cxr_audit.vocabulary import Message
from pydicom import uid
from pydicom.dataset import FileDataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut, pixel_array

# (file, who) -> why it differs, checked by hand. "*" stands for every file.
EXPLAINED: dict[tuple[str, str], str] = {}
FOLDERS = (
    Path(str(pydicom.__file__)).parent / "data" / "test_files",
    Path(str(data_store.__file__)).parent / "data",
)
GREY_LEVEL = 1 / 255


@dataclass(frozen=True, slots=True)
class Row:
    """One file beside one other reader.

    `difference` is the largest, in shares of black to white.
    """

    file: str
    who: str
    difference: float | None
    remark: str = ""

    @property
    def is_explained(self) -> bool:
        limit = 1.001 * GREY_LEVEL if self.who == "DCMTK" else 1e-3
        return (
            self.difference is None
            or self.difference <= limit
            or (self.file, self.who) in EXPLAINED
        )


def compare(path: Path, folder: Path) -> list[Row]:
    """A file beside both readers; nothing where it is not one grey frame."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(path)
    except (pydicom.errors.InvalidDicomError, OSError, ValueError, TypeError, AttributeError):
        return []
    if (
        "PixelData" not in dataset
        or dataset.get("SamplesPerPixel") != 1
        or dataset.get("BitsAllocated") not in (8, 16)
    ):
        return []
    dataset.Modality = "CR"
    copy = folder / "x.dcm"
    dataset.save_as(copy, enforce_file_format=False)
    try:
        radiograph = read(CaseSource("x", copy, "x", None))
    except CaseError as error:
        return [Row(path.name, "ours", None, f"refused: {error}")]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            *beside_pydicom(path.name, dataset, radiograph),
            beside_dcmtk(path.name, copy, dataset, radiograph),
        ]


def beside_pydicom(name: str, dataset: FileDataset, radiograph: Radiograph) -> list[Row]:
    """Stored values, then the displayed ones."""
    try:
        stored = pixel_array(dataset)
    except (AttributeError, NotImplementedError, RuntimeError, ValueError) as error:
        return [Row(name, "pydicom", None, f"pydicom cannot read it: {type(error).__name__}")]
    little = np.ascontiguousarray(stored, stored.dtype.newbyteorder("<"))
    found = hashlib.sha256(little.data).hexdigest()
    rows = [
        Row(name, "pydicom stored values", float(found != radiograph.facts.source.pixel_sha256))
    ]
    try:
        shown = pydicom_display(dataset, stored)
    except (
        AttributeError,
        IndexError,
        KeyError,
        NotImplementedError,
        OverflowError,
        TypeError,
        ValueError,
    ) as error:
        return [*rows, Row(name, "pydicom", None, f"pydicom raises {type(error).__name__}")]
    return [*rows, Row(name, "pydicom", float(np.abs(shown - radiograph.pixels).max()))]


def pydicom_display(dataset: FileDataset, stored: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """[0, 1] by pydicom's functions and the output ranges that their documentation states."""
    values = apply_modality_lut(stored, dataset)
    shown = apply_voi_lut(values, dataset).astype(np.float64)
    if "VOILUTSequence" in dataset:
        low, high = 0.0, 2.0 ** dataset.VOILUTSequence[0].LUTDescriptor[2] - 1
    elif "WindowWidth" in dataset:
        low, high = _window_range(dataset)
    else:
        low, high = shown.min(), shown.max()
    shown = (shown - low) / (high - low)
    return 1 - shown if dataset.PhotometricInterpretation == "MONOCHROME1" else shown


def _window_range(dataset: FileDataset) -> tuple[float, float]:
    """The output range of pydicom's windows: that of the modality values."""
    if "ModalityLUTSequence" in dataset:
        return 0.0, 2.0 ** dataset.ModalityLUTSequence[0].LUTDescriptor[2] - 1
    bits = dataset.BitsStored
    low, high = 0.0, 2.0**bits - 1
    if dataset.PixelRepresentation:
        low, high = -(2.0 ** (bits - 1)), 2.0 ** (bits - 1) - 1
    if "RescaleSlope" in dataset:
        slope, intercept = float(dataset.RescaleSlope), float(dataset.RescaleIntercept)
        low, high = low * slope + intercept, high * slope + intercept
    return low, high


def beside_dcmtk(name: str, path: Path, dataset: FileDataset, radiograph: Radiograph) -> Row:
    """DCMTK's picture with the VOI transform that ours has used."""
    is_ls = dataset.file_meta.get("TransferSyntaxUID") in (
        uid.JPEGLSLossless,
        uid.JPEGLSNearLossless,
    )
    program = shutil.which("dcml2pnm" if is_ls else "dcmj2pnm")
    if program is None:
        return Row(name, "DCMTK", None, "DCMTK is not installed")
    picture = path.with_suffix(".pgm")
    command = [program, "+op", "-O", *_voi_options(radiograph), path, picture]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not picture.exists():
        last = (done.stderr.strip().splitlines() or [""])[-1][:70]
        return Row(name, "DCMTK", None, f"DCMTK cannot read it: {last}")
    theirs = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)
    picture.unlink()
    if theirs.shape != radiograph.pixels.shape:
        rows, columns = theirs.shape[:2]
        return Row(name, "DCMTK", None, f"DCMTK stretches it to {rows} x {columns}")
    ours = np.rint(radiograph.pixels * 255)
    return Row(name, "DCMTK", float(np.abs(theirs - ours).max() / 255))


def _voi_options(radiograph: Radiograph) -> list[str]:
    """DCMTK's options for the curve or window that our reading has used."""
    hows = [decision.how for decision in radiograph.facts.decisions]
    codes = {how.code for how in hows if isinstance(how, Message)}
    if codes & {"ingest.curve", "ingest.curve_beside_window"}:
        return ["+Wl", "1"]
    if codes & {"ingest.window", "ingest.window_beside_curve"}:
        return ["+Wi", "1"]
    return ["+Wm"] if "ingest.range_full" in codes else []


def report(paths: list[Path]) -> list[Row]:
    with tempfile.TemporaryDirectory() as folder:
        return [row for path in paths for row in compare(path, Path(folder))]


def pydicom_files() -> list[Path]:
    return [path for root in FOLDERS for path in sorted(root.rglob("*")) if path.is_file()]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--files", type=Path, help="a folder of DICOM files instead")
    parser.add_argument("--all", action="store_true", help="also print what agrees")
    arguments = parser.parse_args()
    paths = pydicom_files()
    if arguments.files:
        paths = sorted(path for path in arguments.files.rglob("*") if path.is_file())
    rows = report(paths)
    for row in rows:
        _print_row(row, arguments.all)
    for who in sorted({row.who for row in rows} - {"ours"}):
        compared = [row for row in rows if row.who == who and row.difference is not None]
        same = [row for row in compared if _is_same(row)]
        print(f"{who}: {len(same)} of {len(compared)} files that both read agree")
    unexplained = [row for row in rows if not row.is_explained]
    print(f"{len(unexplained)} unexplained")
    sys.exit(bool(unexplained))


def _is_same(row: Row) -> bool:
    is_listed = (row.file, row.who) in EXPLAINED
    return row.difference is not None and row.is_explained and not is_listed


def _print_row(row: Row, prints_all: bool) -> None:
    if _is_same(row) and not prints_all:
        return
    shown = "-" if row.difference is None else f"{row.difference * 255:.2f}"
    reason = row.remark or EXPLAINED.get((row.file, row.who), "")
    if not reason and not row.is_explained:
        reason = "UNEXPLAINED"
    print(f"{row.file:38} {row.who:22} {shown:>8}  {reason}")


if __name__ == "__main__":
    main()

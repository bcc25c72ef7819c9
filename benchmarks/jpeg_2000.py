"""Damage inside JPEG 2000: how much of it is found, and is a sound file ever called damaged?

    .venv/bin/python -m benchmarks.jpeg_2000 [--changes 40]

Takes the JPEG 2000 frames of pydicom's files and of pydicom-data (five writers), and frames that
OpenJPEG writes from noisy images with several rates. Each is read as it is; then with one wrong
bit, and with a hole of zeros, at places spread over the codestream. A change that leaves all
samples as they are is not counted. Exit code 1 where a sound frame is called damaged.
"""

from __future__ import annotations

import argparse
import random
import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

import data_store
import numpy as np
import openjpeg
import pydicom
from cxr_audit.errors import CaseError
from cxr_audit.ingest.decoding import decode_frame
from openjpeg.utils import encode_array
from pydicom.encaps import generate_frames
from pydicom.uid import JPEG2000, JPEG2000Lossless

RATES: tuple[dict[str, list[int]], ...] = (
    {},
    {"compression_ratios": [5]},
    {"compression_ratios": [40, 20, 10, 2]},
    {"signal_noise_ratios": [30, 50]},
)
HEADER = 300  # bytes at the start that are not changed: damage there is found by other means
HOLES = (16, 64, 512)


def frames() -> dict[str, tuple[bytes, dict[str, Any]]]:
    """Name of each frame -> the frame, and the options of its decoder."""
    found: dict[str, tuple[bytes, dict[str, Any]]] = {}
    pydicom_files = Path(str(pydicom.__file__)).parent / "data" / "test_files"
    for root in (pydicom_files, Path(str(data_store.__file__)).parent / "data"):
        for path in sorted(root.rglob("*.dcm")):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                frame = of_file(path)
            if frame is not None:
                found[path.name] = frame
    chance = np.random.default_rng(0)
    grey = chance.integers(0, 4096, (500, 400)).astype(np.uint16)
    for number, rate in enumerate(RATES):
        frame = bytes(encode_array(grey, bits_stored=12, **rate))
        found[f"written {number}"] = (frame, options_of(500, 400, 16, 12, 1, "MONOCHROME2", 0))
    return found


def of_file(path: Path) -> tuple[bytes, dict[str, Any]] | None:
    """The first frame of a file in JPEG 2000 that decodes, None of any other."""
    try:
        dataset = pydicom.dcmread(path)
        if dataset.file_meta.TransferSyntaxUID not in (JPEG2000, JPEG2000Lossless):
            return None
        frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
        frame = frame[: frame.rindex(b"\xff\xd9") + 2]
        options = options_of(
            dataset.Rows,
            dataset.Columns,
            dataset.BitsAllocated,
            dataset.BitsStored,
            dataset.SamplesPerPixel,
            dataset.PhotometricInterpretation,
            dataset.PixelRepresentation,
        )
        decode_frame(frame, options)
    except (AttributeError, ValueError, CaseError, pydicom.errors.InvalidDicomError):
        return None
    return (frame, options) if len(frame) > 4 * HEADER else None


def options_of(
    rows: int,
    columns: int,
    bits_allocated: int,
    bits_stored: int,
    samples: int,
    interpretation: str,
    representation: int,
) -> dict[str, Any]:
    return {
        "transfer_syntax_uid": JPEG2000Lossless,
        "rows": rows,
        "columns": columns,
        "bits_allocated": bits_allocated,
        "bits_stored": bits_stored,
        "samples_per_pixel": samples,
        "photometric_interpretation": interpretation,
        "pixel_representation": representation,
        "planar_configuration": 0,
        "number_of_frames": 1,
        "pixel_keyword": "PixelData",
        "pixel_vr": "OB",
    }


def changed(frame: bytes, kind: str, chance: random.Random) -> bytes:
    damaged = bytearray(frame)
    size = min(chance.choice(HOLES), len(frame) // 4)
    place = chance.randrange(HEADER, len(frame) - size)
    if kind == "hole":
        damaged[place : place + size] = bytes(size)
    else:
        damaged[place] ^= 1 << chance.randrange(8)
    return bytes(damaged)


def refusal(frame: bytes, options: dict[str, Any]) -> str | None:
    """Why a frame is not taken as sound."""
    try:
        return "damaged" if decode_frame(frame, dict(options)).is_damaged else None
    except CaseError as error:
        return str(error)


def outcome(frame: bytes, options: dict[str, Any], sound: bytes) -> str:
    """Found, missed, or without effect on any sample."""
    if refusal(frame, options) is not None:
        return "found"
    if np.array_equal(openjpeg.decode(frame), openjpeg.decode(sound)):
        return "without effect"
    return "missed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--changes", type=int, default=40, help="of each frame and kind")
    num_changes = parser.parse_args().changes
    counts: Counter[tuple[str, str]] = Counter()
    alarms = []
    for name, (frame, options) in frames().items():
        alarm = refusal(frame, options)
        if alarm is not None:
            alarms.append(f"{name}: {alarm}")
        counts["sound", "missed" if alarm is None else "found"] += 1
        for kind in ("bit", "hole"):
            for number in range(num_changes if len(frame) < 2**20 else 2):
                damaged = changed(frame, kind, random.Random(f"{name}/{kind}/{number}"))
                counts[kind, outcome(damaged, options, frame)] += 1
    print(f"sound frames: {counts['sound', 'missed']} of {counts['sound', 'missed'] + len(alarms)}")
    for kind in ("bit", "hole"):
        found, missed = counts[kind, "found"], counts[kind, "missed"]
        print(f"one {kind}: {found} of {found + missed} found")
    print("\n".join(f"called damaged: {name}" for name in alarms) or "no false alarm")
    sys.exit(bool(alarms))


if __name__ == "__main__":
    main()

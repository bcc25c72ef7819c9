"""Damaged files, thousands of them: each must become a `Radiograph` or one of our named errors.

    .venv/bin/python -m benchmarks.fuzz [--count 20000 | --seconds 600] [--seed 0] [--only INDEX]

No crash, nothing over 10 s, no more than 1 GiB of memory. Inputs are made from pydicom's files,
those of pydicom-data, of tests/ingest/cases and generated ones (called radiographs, so that their
pixels are decoded), by bit flips, cuts, holes, splices of other files, doubled and dropped pieces,
changed lengths, sizes and values in text. The same seed makes the same inputs. Each runs in a
worker process that is watched; what fails is kept in build/fuzz/ and the exit code is 1.
Radiographs with a value that is present but not understood are counted apart.
"""

from __future__ import annotations

import argparse
import collections
import functools
import io
import random
import struct
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, Pipe
from pathlib import Path

import data_store
import numpy as np
import numpy.typing as npt
import pydicom
from cxr_audit.errors import CaseError
from cxr_audit.ingest import Display, decoding, read
from cxr_audit.records import CaseSource
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

LIMIT_S, LIMIT_MIB = 10.0, 1024
LARGEST = 400_000  # bytes of a base file: larger ones only cost time
KEPT = Path("build/fuzz")
PIXEL_DATA = b"\xe0\x7f\x10\x00"
FIRST_FRAME = Display(frame=1)
SYNTAXES = (
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.RLELossless,
    uid.JPEGLSLossless,
    uid.JPEGLSNearLossless,
    uid.JPEG2000Lossless,
)
OUTLANDISH = (
    0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE,
    0xFFFFFFFF,
)  # fmt: skip
LENGTHS = b"OB OW UN SQ US SS CS DS IS UI LO PN LT UL AT FD UT".split()
TEXTS = (b"DS", b"IS", b"AS", b"CS")
ODD_TEXTS = (
    b"N/A", b"1500\\N/A", b"\\\\", b"1500,0", b"1,500", b"1500 GY", b"62", b"62Y", b"1e999",
    b"nan", b"-", b"\xff\xfe", b"OBLIQUE", b"YES\\NO",
)  # fmt: skip
CASES = Path(__file__).parents[1] / "tests" / "ingest" / "cases"


@functools.cache
def base_files() -> list[bytes]:
    """What is mutated, in a fixed order."""
    roots = (
        Path(str(pydicom.__file__)).parent / "data" / "test_files",
        Path(str(data_store.__file__)).parent / "data",
        CASES,
    )
    paths = [path for root in roots for path in sorted(root.rglob("*")) if path.is_file()]
    small = [path for path in paths if path.stat().st_size <= LARGEST]
    files = [as_radiograph(path.read_bytes()) for path in small]
    with_pixels = [data for data in files if PIXEL_DATA in data]
    without_pixels = [data for data in files if PIXEL_DATA not in data]
    return [*with_pixels, *without_pixels[::8], *plain_cases(), *generated(), *generated()]


def plain_cases() -> list[bytes]:
    """The images of the tests outside DICOM."""
    paths = [path for path in sorted(CASES.iterdir()) if path.suffix in (".jpg", ".png", ".tif")]
    return [path.read_bytes() for path in paths]


def as_radiograph(data: bytes) -> bytes:
    """The same object, called a CR, where it has pixels."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset = pydicom.dcmread(io.BytesIO(data))
            if "PixelData" not in dataset:
                return data
            dataset.Modality = "CR"
            return _saved(dataset, enforce_file_format=False)
    except (
        pydicom.errors.InvalidDicomError,
        ArithmeticError,
        AttributeError,
        LookupError,
        TypeError,
        ValueError,
    ):
        return data


def generated() -> Iterator[bytes]:
    """Every encoder that is at hand, and plain images of every kind."""
    rows, columns = np.mgrid[0:96, 0:80]
    grey = (2000 + 1500 * np.sin(rows / 9) * np.cos(columns / 7)).astype(np.uint16)
    for syntax in SYNTAXES:
        yield _generated_dicom(grey, syntax)
    eight = Image.fromarray((grey >> 4).astype(np.uint8))
    for kind, image, options in (
        ("PNG", eight, {}),
        ("PNG", Image.fromarray(grey), {}),
        ("PNG", eight.convert("RGBA"), {}),
        ("PNG", eight.convert("P"), {"transparency": 3}),
        ("JPEG", eight, {}),
        ("JPEG", eight.convert("RGB"), {"progressive": True}),
        ("JPEG", eight.convert("CMYK"), {}),
        ("TIFF", eight, {"compression": "tiff_lzw"}),
        ("TIFF", Image.fromarray(grey), {}),
        ("TIFF", eight.convert("RGB"), {"compression": "jpeg"}),
        ("TIFF", eight, {"compression": "tiff_adobe_deflate"}),
    ):
        out = io.BytesIO()
        image.save(out, kind, **options)
        yield out.getvalue()


def _generated_dicom(grey: npt.NDArray[np.uint16], syntax: uid.UID) -> bytes:
    """A DX image with a window, a rescale, a curve and padding."""
    is_compressed = syntax.is_compressed and syntax != uid.DeflatedExplicitVRLittleEndian
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian if is_compressed else syntax
    dataset.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = "1.2.3"
    dataset.Modality, dataset.PhotometricInterpretation = "DX", "MONOCHROME1"
    dataset.Rows, dataset.Columns = grey.shape
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.WindowCenter, dataset.WindowWidth = [2000, 1000], [3000, 500]
    dataset.RescaleSlope, dataset.RescaleIntercept, dataset.PixelPaddingValue = 2, -10, 0
    lut = Dataset()
    lut.LUTDescriptor, lut.LUTData = [4, 0, 16], [0, 10, 20, 30]
    lut["LUTDescriptor"].VR = lut["LUTData"].VR = "US"
    dataset.VOILUTSequence = [lut]
    dataset.PixelSpacing, dataset.PatientOrientation = [0.1, 0.1], ["L", "F"]
    dataset.ViewPosition, dataset.PatientAge = "PA", "045Y"
    dataset.PixelData = grey.tobytes()
    dataset["PixelData"].VR = "OW"
    if is_compressed:
        options = {"jls_error": 2} if syntax == uid.JPEGLSNearLossless else {}
        dataset.compress(syntax, generate_instance_uid=False, **options)
    return _saved(dataset, enforce_file_format=True)


def _saved(dataset: Dataset, enforce_file_format: bool) -> bytes:
    out = io.BytesIO()
    dataset.save_as(out, enforce_file_format=enforce_file_format)
    return out.getvalue()


def mutated(seed: int, index: int) -> bytes:
    """Input `index` of a seed: one base file with one to four changes."""
    chance = random.Random(f"{seed}/{index}")
    data = bytearray(chance.choice(base_files()))
    for _ in range(chance.choice((1, 1, 2, 4))):
        chance.choice(MUTATIONS)(data, chance)
    return bytes(data)


def _place(data: bytearray, chance: random.Random) -> int:
    """Anywhere, but every second time in the first 2 KiB, where headers are."""
    return chance.randrange(max(1, min(len(data), chance.choice((2048, len(data))))))


def flip_bits(data: bytearray, chance: random.Random) -> None:
    for _ in range(chance.choice((1, 1, 4, 32))):
        if data:
            data[_place(data, chance)] ^= 1 << chance.randrange(8)


def set_bytes(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    size = chance.choice((1, 2, 4))
    number = chance.choice(OUTLANDISH) & (256**size - 1)
    data[place : place + size] = number.to_bytes(size, chance.choice(("little", "big")))


def cut(data: bytearray, chance: random.Random) -> None:
    del data[_place(data, chance) :]


def drop(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    del data[place : place + chance.choice((1, 2, 8, 64, 1024))]


def double(data: bytearray, chance: random.Random) -> None:
    place = _place(data, chance)
    piece = data[place : place + chance.choice((1, 8, 64, 1024))]
    data[place:place] = piece * chance.choice((1, 1, 16))


def splice(data: bytearray, chance: random.Random) -> None:
    other = chance.choice(base_files())
    start = chance.randrange(len(other) or 1)
    place = _place(data, chance)
    end = place + chance.choice((0, 64, 4096))
    data[place:end] = other[start : start + chance.choice((16, 256, 8192))]


def punch_hole(data: bytearray, chance: random.Random) -> None:
    """Zeros in place of bytes, as a bad disk or a broken transfer leaves them."""
    place = chance.randrange(len(data) // 2, len(data)) if len(data) > 1 else 0
    size = min(chance.choice((4, 64, 512, 4096)), len(data) - place)
    data[place : place + size] = bytes(size)


def change_text(data: bytearray, chance: random.Random) -> None:
    """The value of a short element with an explicit VR, and its length."""
    end = min(len(data), 65536) - 4
    places = [place for place in range(132, end) if data[place : place + 2] in TEXTS]
    if not places:
        return
    place = chance.choice(places)
    length = int.from_bytes(data[place + 2 : place + 4], "little")
    text = chance.choice(ODD_TEXTS)
    text += b" " * (len(text) % 2)
    data[place + 2 : place + 4 + length] = struct.pack("<H", len(text)) + text


def change_length(data: bytearray, chance: random.Random) -> None:
    """The length of an element with an explicit VR."""
    vr = chance.choice(LENGTHS)
    places = [place for place in range(132, min(len(data), 65536)) if data[place : place + 2] == vr]
    if places:
        place = chance.choice(places)
        is_long = vr in (b"OB", b"OW", b"UN", b"SQ", b"UT")
        number = chance.choice((*OUTLANDISH, chance.randrange(65536)))
        new = struct.pack("<I", number) if is_long else struct.pack("<H", number & 0xFFFF)
        start = place + (4 if is_long else 2)
        data[start : start + len(new)] = new


def change_image(data: bytearray, chance: random.Random) -> None:
    """An element of the Image Pixel module, or the size in a codestream."""
    elements = [
        struct.pack("<HH", 0x28, n)
        for n in (2, 8, 0x10, 0x11, 0x100, 0x101, 0x102, 0x103, 0x120, 0x1050)
    ]
    elements += [
        b"\xff\x4f\xff\x51\x00\x2f\x00\x00",
        b"\xff\xc0\x00\x0b\x08",
        b"\xff\xf7\x00\x0b",
        b"\xff\xc3\x00",
    ]
    place = data.find(chance.choice(elements))
    if place >= 0:
        start = place + chance.choice((8, 8, 8, 9, 10, 12, 16))
        size = chance.choice((2, 4))
        data[start : start + size] = (chance.choice(OUTLANDISH) & (256**size - 1)).to_bytes(
            size, "little"
        )


MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    flip_bits,
    flip_bits,
    set_bytes,
    set_bytes,
    cut,
    drop,
    double,
    splice,
    change_length,
    change_image,
    change_image,
    punch_hole,
    punch_hole,
    change_text,
    change_text,
    change_text,
)


def work(handle: int, seed: int) -> None:
    """A worker: an index comes, an outcome goes. All but a `CaseError` is a finding."""
    connection = Connection(handle)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        while True:
            try:
                index = connection.recv()
            except EOFError:
                return
            path.write_bytes(mutated(seed, index))
            Path("/proc/self/clear_refs").write_text("5")  # the peak is this input's own
            outcome = "Radiograph"
            try:
                facts = read(CaseSource("x", path, "x", None), display=FIRST_FRAME).facts
                if facts.not_understood:
                    outcome = "Radiograph_with_unreadable_values"
            except CaseError as error:
                outcome = type(error).__name__
            connection.send((outcome, peak_mib()))


def peak_mib() -> float:
    """The larger of the peaks of this process and of the codecs' process."""
    codecs = decoding.process_id()
    ids = ["self"] if codecs is None else ["self", str(codecs)]
    peaks = []
    for name in ids:
        lines = Path(f"/proc/{name}/status").read_text().splitlines()
        peaks += [int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")]
    return max(peaks)


class Worker:
    """The watched process."""

    def __init__(self, seed: int) -> None:
        self.connection, theirs = Pipe()
        with theirs:
            command = [
                sys.executable,
                "-m",
                "benchmarks.fuzz",
                "--work",
                str(theirs.fileno()),
                "--seed",
                str(seed),
            ]
            self.process = subprocess.Popen(
                command, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE
            )

    def outcome(self, index: int) -> tuple[str, float, bool]:
        """Outcome, peak MiB, and whether the worker still lives."""
        try:
            self.connection.send(index)
            if not self.connection.poll(LIMIT_S):
                return f"HANG over {LIMIT_S:.0f} s", 0, False
            return (*self.connection.recv(), True)
        except (EOFError, OSError):
            self.process.wait(5)
            written = self.process.stderr.read() if self.process.stderr else b""
            lines = written.decode(errors="replace").strip().splitlines() or [""]
            return f"CRASH {self.process.returncode}: {lines[-1]}", 0, False

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.wait()
        if self.process.stderr:
            self.process.stderr.close()


def fuzz(
    indices: Iterator[int] | range, seed: int, seconds: float = float("inf")
) -> tuple[dict[str, int], list[str]]:
    """Run inputs; counts of outcomes, and a line for each finding."""
    counts: collections.Counter[str] = collections.Counter()
    findings: list[str] = []
    start, worst_s, worst_mib, worker = time.monotonic(), 0.0, 0.0, Worker(seed)
    worker.outcome(-1)  # imports and base files are not the input's time
    for index in indices:
        if time.monotonic() - start > seconds:
            break
        before = time.monotonic()
        outcome, mib, is_alive = worker.outcome(index)
        worst_s, worst_mib = max(worst_s, time.monotonic() - before), max(worst_mib, mib)
        if mib > LIMIT_MIB:
            outcome = f"MEMORY {mib:.0f} MiB"
        counts[outcome.split()[0]] += 1
        if " " in outcome:
            findings.append(f"input {index}: {outcome}")
            KEPT.mkdir(parents=True, exist_ok=True)
            (KEPT / f"{seed}-{index}").write_bytes(mutated(seed, index))
        if not is_alive:
            worker.end()
            worker = Worker(seed)
            worker.outcome(-1)
    worker.end()
    seconds = time.monotonic() - start
    print(
        f"{sum(counts.values())} inputs of seed {seed} in {seconds:.0f} s; "
        f"slowest {worst_s:.1f} s, largest {worst_mib:.0f} MiB"
    )
    return dict(counts), findings


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="one input, in this process, with its traceback")
    parser.add_argument("--work", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.work is not None:
        work(arguments.work, arguments.seed)
        return
    if arguments.only is not None:
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(mutated(arguments.seed, arguments.only))
            print(read(CaseSource("x", Path(file.name), "x", None), display=FIRST_FRAME).facts)
        return
    counts, findings = fuzz(range(arguments.count), arguments.seed, arguments.seconds)
    for outcome, count in sorted(counts.items(), key=lambda item: -item[1]):
        print(f"  {outcome:24}{count:8}")
    print("\n".join(findings) or "no finding")
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()

"""File to grey values in [0, 1]: ours beside pydicom's chain, the codec alone, and radreader.

    .venv/bin/python -m benchmarks.ingest_speed [--rounds 15] [--only JPEG]
        [--radreader /tmp/radreader/bin/python]

Files: 2000 rows x 2500 columns made here (a wave with noise) as 16-bit uncompressed, JPEG 2000
lossless and JPEG Lossless (12 bits), and a real CR from pydicom-data. Median and least of
interleaved rounds, after one that does not count; a busy machine disturbs the least less. Ours
hashes file and pixels as well. radreader (PyPI) asks for
pylibjpeg-libjpeg, which is GPL, so it lives in an environment of its own:

    python -m venv /tmp/radreader && /tmp/radreader/bin/pip install "radreader[pylibjpeg]"
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import gdcm
import numpy as np
import numpy.typing as npt
import openjpeg
import pydicom
from cxr_audit.ingest import codecs, discover, read
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import get_frame

from benchmarks.dicom_agreement import pydicom_display

SERVE = """
import json, sys, time, warnings
import numpy, radreader
warnings.simplefilter("ignore")
for line in sys.stdin:
    path, out = json.loads(line)
    start = time.perf_counter()
    pixels = radreader.read(path).pixels
    seconds = time.perf_counter() - start
    if out:
        numpy.save(out, pixels)
    print(seconds, flush=True)
"""


def write_files(folder: Path) -> list[Path]:
    rows, columns = np.mgrid[0:2000, 0:2500]
    noise = np.random.default_rng(1).normal(0, 10, rows.shape)
    stored = np.clip(
        2000 + 1500 * np.sin(rows / 300) * np.cos(columns / 400) + noise, 0, 4095
    ).astype(np.uint16)
    files = {
        "uncompressed 16 bits": (stored * np.uint16(16), 16, uid.ExplicitVRLittleEndian),
        "JPEG 2000 lossless": (stored, 12, uid.JPEG2000Lossless),
        "JPEG Lossless": (stored, 12, uid.JPEGLosslessSV1),
    }
    paths = []
    for name, (values, bits, syntax) in files.items():
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        dataset.SOPClassUID, dataset.SOPInstanceUID = (
            uid.DigitalXRayImageStorageForPresentation,
            uid.generate_uid(),
        )
        dataset.Modality, dataset.PhotometricInterpretation = "DX", "MONOCHROME1"
        dataset.Rows, dataset.Columns = values.shape
        dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
        dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, bits, bits - 1
        dataset.WindowCenter, dataset.WindowWidth = 1 << bits - 1, 3 << bits - 2
        dataset.PixelData = values.tobytes()
        dataset["PixelData"].VR = "OW"
        if syntax == uid.JPEG2000Lossless:
            dataset.compress(syntax, generate_instance_uid=False)
        paths.append(folder / f"{name}.dcm")
        dataset.save_as(paths[-1], enforce_file_format=True)
        if syntax == uid.JPEGLosslessSV1:
            to_jpeg_lossless(paths[-1])
    real = get_testdata_file("RG1_J2KR.dcm", download=False)
    return [*paths, Path(str(real))] if real else paths


def to_jpeg_lossless(path: Path) -> None:
    """Encode a file by GDCM, in place and in a process of its own."""
    code = (
        "import sys, gdcm; reader = gdcm.ImageReader(); reader.SetFileName(sys.argv[1]);"
        "assert reader.Read();"
        "change = gdcm.ImageChangeTransferSyntax(); change.SetInput(reader.GetImage());"
        "syntax = gdcm.TransferSyntax.JPEGLosslessProcess14_1;"
        "change.SetTransferSyntax(gdcm.TransferSyntax(syntax));"
        "assert change.Change(); writer = gdcm.ImageWriter(); writer.SetFileName(sys.argv[1]);"
        "writer.SetFile(reader.GetFile()); writer.SetImage(change.GetOutput());"
        "assert writer.Write()"
    )
    subprocess.run([sys.executable, "-c", code, path], check=True)


def readers(
    path: Path, radreader: Callable[[Path], float] | None
) -> dict[str, Callable[[], float | None]]:
    """Name -> one timed run; a run that times itself returns its seconds."""
    (case,) = discover(path)
    dataset = pydicom.dcmread(path)
    runs: dict[str, Callable[[], float | None]] = {
        "ours": lambda: discard(read(case)),
        "pydicom": lambda: discard(pydicom_chain(path)),
    }
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_compressed:
        frame = get_frame(dataset.PixelData, 0, number_of_frames=1)
        options = {
            "rows": dataset.Rows,
            "columns": dataset.Columns,
            "bits_allocated": 16,
            "bits_stored": dataset.BitsStored,
            "pixel_representation": 0,
            "photometric_interpretation": "MONOCHROME2",
            "transfer_syntax_uid": str(syntax),
        }
        if syntax in uid.JPEG2000TransferSyntaxes:
            runs["codec"] = lambda: discard(openjpeg.decode_pixel_data(frame, version=2))
        else:
            runs["codec"] = lambda: discard(by_gdcm_as_pydicom_does(frame, options))
            runs["our call of the codec"] = lambda: discard(codecs.by_gdcm(frame, options))
    if radreader is not None:
        runs["radreader"] = lambda: radreader(path)
    return runs


def by_gdcm_as_pydicom_does(frame: bytes, options: dict[str, Any]) -> bytes:
    """The codec as pydicom's plugin calls it: `GetBuffer` makes a str of the samples."""
    fragment, fragments = gdcm.Fragment(), gdcm.SequenceOfFragments.New()
    fragment.SetByteStringValue(frame)
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((options["columns"], options["rows"], 1))
    image.SetDataElement(element)
    image.SetPhotometricInterpretation(
        gdcm.PhotometricInterpretation(gdcm.PhotometricInterpretation.MONOCHROME2)
    )
    image.SetTransferSyntax(
        gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(options["transfer_syntax_uid"]))
    )
    bits = options["bits_stored"]
    image.SetPixelFormat(gdcm.PixelFormat(1, options["bits_allocated"], bits, bits - 1, 0))
    samples: bytes = image.GetBuffer().encode("utf-8", "surrogateescape")
    return samples


def discard(result: object) -> None:
    del result


def pydicom_chain(path: Path) -> npt.NDArray[np.float32]:
    dataset = pydicom.dcmread(path)
    return pydicom_display(dataset, dataset.pixel_array).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", default="", help="files whose name holds this")
    parser.add_argument(
        "--radreader", type=Path, help="the Python of an environment with radreader"
    )
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    server = None
    if arguments.radreader:
        command = [str(arguments.radreader), "-c", SERVE]
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask_radreader(path: Path, out: str = "") -> float:
        assert server is not None
        assert server.stdin is not None
        assert server.stdout is not None
        print(json.dumps([str(path), out]), file=server.stdin, flush=True)
        return float(server.stdout.readline() or "nan")

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in write_files(folder):
            if arguments.only in path.stem:
                measure(path, arguments.rounds, ask_radreader if server else None)
                compare(path, folder, ask_radreader if server else None)
    if server is not None and server.stdin is not None:
        server.stdin.close()
        server.wait()


def measure(path: Path, rounds: int, radreader: Callable[[Path], float] | None) -> None:
    """Print the median and the least time of each reader."""
    runs = readers(path, radreader)
    times: dict[str, list[float]] = {reader: [] for reader in runs}
    for _ in range(rounds + 1):
        for reader, run in runs.items():
            start = time.perf_counter()
            seconds = run()
            times[reader].append(time.perf_counter() - start if seconds is None else seconds)
    reference = "codec" if "codec" in times else "pydicom"
    print(path.stem)
    for what, summary in (("median", median), ("least", min)):
        ms = {reader: 1000 * summary(seconds[1:]) for reader, seconds in times.items()}
        shown = ", ".join(f"{reader} {number:.1f}" for reader, number in ms.items())
        print(f"  {what} ms: {shown}; ours / {reference}: {ms['ours'] / ms[reference]:.2f}")


def compare(path: Path, folder: Path, radreader: Callable[[Path, str], float] | None) -> None:
    """Print how far our grey values are from those of the others."""
    pixels = read(discover(path)[0]).pixels
    difference = np.abs(pixels - pydicom_chain(path)).max()
    print(f"  largest difference to pydicom: {difference:.1e}")
    if radreader is not None:
        radreader(path, f"{folder}/x.npy")
        difference = np.abs(pixels - np.load(folder / "x.npy")).max()
        print(f"  largest difference to radreader: {difference:.1e}")


if __name__ == "__main__":
    sys.exit(main())

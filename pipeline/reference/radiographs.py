"""A seed -> the radiographs that ship for the demo, and their manifest.

Two files of a real chest (RG1 of the NEMA sample set, from the PyPI package pydicom-data), six drawn ones
and one file that is no radiograph. The drawn ones are analytic: path lengths of simple bodies along parallel
rays, then Beer-Lambert, scatter, blur, quantum noise and a display curve. They are for trying the tool, not
for measuring a classifier: three have an opacity in one lung, and that is all that their labels mean.

Lengths are in mm; x grows to the image's right (the patient's left), y downwards, x = 0 is the spine.
"""

from __future__ import annotations

import csv
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

from pipeline.errors import ConfigError

Floats = npt.NDArray[np.float32]
Format = Literal["monochrome1", "monochrome2", "png", "jpeg"]

MANIFEST_COLUMNS = ("path", "label", "patient_id", "kind")
REAL = ("RG1_UNCI.dcm", "RG1_J2KR.dcm")
WIDTH_MM, HEIGHT_MM, SPACING_MM = 350.0, 360.0, 0.4
WATER_PER_MM, BONE_PER_MM = 0.020, 0.030  # attenuation near 60 keV; bone: what it adds to water
LUNG_AIR = 0.75  # share of the lung's volume that is air


@dataclass(frozen=True, slots=True)
class _Drawn:
    name: str
    format: Format
    opacity: tuple[float, float, float] | None  # x, y, radius
    marker: str


DRAWN = (
    _Drawn("synthetic-1.dcm", "monochrome2", None, "R"),
    _Drawn("synthetic-2.dcm", "monochrome1", None, "R"),
    _Drawn("synthetic-3.png", "png", None, ""),
    _Drawn("synthetic-4.dcm", "monochrome1", (-75, 215, 42), "R"),
    _Drawn("synthetic-5.jpg", "jpeg", (88, 222, 40), "L"),
    _Drawn("synthetic-6.dcm", "monochrome2", (-70, 130, 40), ""),
)


def write_radiographs(folder: Path, seed: int = 1) -> Path:
    """Write the demo's files and `manifest.csv` into `folder`; the same seed gives the same bytes.

    Returns the manifest's path; its columns are `MANIFEST_COLUMNS`, its paths relative to `folder`.
    Raises `ConfigError` where pydicom-data is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for name in REAL:
        source = get_testdata_file(name, download=False)
        if not isinstance(source, str):
            raise ConfigError(f"the package pydicom-data does not hold {name}", "pip install pydicom-data")
        shutil.copyfile(source, folder / name)
        rows.append((name, "", "RG1", "real radiograph"))
    for number, drawn in enumerate(DRAWN, start=1):
        pixels = draw_radiograph(np.random.default_rng((seed, number)), drawn.opacity, drawn.marker)
        _write(folder / drawn.name, pixels, drawn.format, f"SYN-{seed}-{number}")
        label = "PNEUMONIA" if drawn.opacity else "NORMAL"
        rows.append((drawn.name, label, f"SYN-{number}", "synthetic radiograph"))
    (folder / "notes.txt").write_text("Not a radiograph: it shows what an audit says about such a file.\n", "utf-8")
    rows.append(("notes.txt", "", "", "not a radiograph"))
    manifest = folder / "manifest.csv"
    with manifest.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([MANIFEST_COLUMNS, *rows])
    return manifest


def draw_radiograph(
    rng: np.random.Generator, opacity: tuple[float, float, float] | None = None, marker: str = ""
) -> Floats:
    """One frontal chest, float32 (rows, columns) in [0, 1], 0 = black. `opacity` is x, y, radius in mm."""
    water, bone = _thorax(rng, opacity)
    # Acquisition: primary radiation, a veil of scatter, the focal spot's and detector's blur, quantum noise.
    primary = np.exp(-WATER_PER_MM * water - BONE_PER_MM * bone)
    signal = _blur(primary + 0.4 * _blur(primary, 35), 0.45)
    signal += rng.normal(size=signal.shape).astype(np.float32) * np.sqrt(signal / 2.5e4)
    # Display: as film, dense is bright; some of the wide range traded for detail; an S-shaped curve.
    density = -np.log(np.maximum(signal, 1e-3))
    density += 0.8 * (density - _blur(density, 14))
    low, high = np.percentile(density[water > 30], (3, 99))
    shown = 1 / (1 + np.exp(-4.4 * ((density - low) / (high - low) - 0.42)))
    shown = np.clip((shown - 0.06) / 0.92, 0, 1)
    if marker:
        column = 24 if marker == "R" else shown.shape[1] - 64
        lead = np.zeros(shown.shape, np.uint8)
        cv2.putText(lead, marker, (column, 74), cv2.FONT_HERSHEY_SIMPLEX, 1.7, 245, 5, cv2.LINE_AA)
        shown = np.maximum(shown, lead / np.float32(255))
    return np.asarray(shown, np.float32)


def _thorax(rng: np.random.Generator, opacity: tuple[float, float, float] | None) -> tuple[Floats, Floats]:
    """Path lengths in mm through water-like tissue and through bone."""
    columns, rows = round(WIDTH_MM / SPACING_MM), round(HEIGHT_MM / SPACING_MM)
    x = (np.arange(columns, dtype=np.float32)[None, :] - columns / 2) * SPACING_MM - rng.uniform(-4, 4)
    y = np.arange(rows, dtype=np.float32)[:, None] * SPACING_MM - rng.uniform(-6, 10)
    wide, tall, depth = rng.uniform(0.94, 1.07), rng.uniform(0.9, 1.06), rng.uniform(185, 225)
    x, y = np.asarray(x / wide, np.float32), np.asarray(y / tall, np.float32)
    side = np.abs(x)

    # Trunk: neck, sloping shoulders, then nearly straight flanks; arms hang at the upper corners.
    flank = 142 + 6 * np.cos((y - 190) / 90) + 70 * _step(92 - y - 0.3 * np.maximum(side - 130, 0), 16)
    neck = 46 + 260 * _step(y - 46, 9)
    water = depth * _dome(side / np.minimum(flank, neck), 5)
    water = water * (0.6 + 0.4 * _step(y - 70, 30)) * (1 - 0.3 * _step(side - 150, 8))

    # Lungs: two domes between the diaphragm and the mediastinum.
    left = x > 0
    floor = (
        np.where(left, 276, 270)
        - np.where(left, 30, 36) * (1 - ((side - np.where(left, 58, 62)) / 66) ** 2)
        + rng.uniform(-6, 6)
    )
    lungs = 128 * _dome(np.hypot((side - 67) / 64, (y - 178) / 132 + 0.0022 * (66 - side)) ** 1.25, 2)
    lungs = lungs * _step(floor - y, 1.2)
    fill = 0.05 * _noise(rng, lungs.shape, 5) + _vessels(rng, x, y)
    if opacity:
        cloud = _noise(rng, lungs.shape, 9)
        away = np.hypot(x - opacity[0], (y - opacity[1]) * 1.1) / opacity[2]
        fill = fill + 0.8 * _step(1 - away + 0.25 * cloud, 0.2) * (0.85 + 0.15 * _noise(rng, lungs.shape, 4))

    # Heart, great vessels, hila: water where lung would be.
    large = rng.uniform(0.9, 1.1)
    u, v = (x - 20) * 0.87 + (y - 218) * 0.5, -(x - 20) * 0.5 + (y - 218) * 0.87
    middle = 110 * _dome(np.hypot(u / (70 * large), v / (52 * large)), 2)
    middle = np.maximum(middle, 95 * _dome((x + 2) / (30 + 0.0009 * (y - 150) ** 2), 2) * _step(y - 30, 14))
    middle = np.maximum(middle, 60 * _dome(np.hypot((x - 21) / 20, (y - 116) / 24), 2))
    for hilum in (-34, 36):
        middle = np.maximum(middle, 34 * _dome(np.hypot((x - hilum) / 15, (y - 160 - hilum / 9) / 26), 2))
    lungs = np.maximum(lungs - middle, 0)
    water = water - LUNG_AIR * lungs * np.clip(1 - fill, 0, 1)
    # Air: the trachea and its two branches, and the stomach's bubble under the left dome.
    branch = _dome((side - (y - 138) * 0.9) / 7, 2) * ((y > 138) & (y < 168))
    water = water - 15 * np.maximum(_dome((x + 2) / 8.5, 2) * _step(140 - y, 4), 0.8 * branch)
    water = water - 45 * _dome(np.hypot((x - 72) / 30, (y - 292) / 17), 2) * _step(y - 276 + 0.002 * (x - 70) ** 2, 2)
    return np.maximum(water, 0), _skeleton(x, y)


def _skeleton(x: Floats, y: Floats) -> Floats:
    side = np.abs(x)
    # Spine: bodies and discs, the cortex at their sides, pedicles, spinous processes; more bone lower down.
    height = 19 + 0.028 * y
    within = np.abs(np.mod(y, height) / height - 0.5)
    body = _dome(side / (14 + 0.014 * y), 3) * (6 + 8 * _step(0.42 - within, 0.02))
    pedicles = 7 * _dome(np.hypot(side - 10, (within - 0.12) * 22) / 4, 2)
    bone = body + pedicles + 8 * _dome(np.hypot(x / 3, (within - 0.3) * 3.5), 2)
    # Ribs: tilted hoops, seen as a band behind (down and outwards) and one in front (down and inwards).
    for number in range(10):
        start = 42 + 20.5 * number
        width = 141 * np.sqrt(np.clip(1 - ((start - 235) / 262) ** 2, 0, 1)) * (0.86 + 0.14 * min(number / 4, 1))
        across = np.clip(side / width, 0, 0.999)
        away = np.sqrt(1 - across**2)
        for front in (False, True):
            turn = away if front else -away  # depth along the hoop, -1 at the spine
            middle = start + (40 + 2.5 * number) * (1 + turn) - (0 if front else 9) * np.sin(np.pi * across**0.7)
            slope = (40 + 2.5 * number) * across / away / width
            along = np.minimum(np.hypot(1, across / away), 3) / np.hypot(1, np.minimum(slope, 3))
            band = (y - middle) / np.hypot(1, slope) / (6.6 if front else 5.6)
            tube = _dome(band, 2) - 0.6 * _dome(band / 0.8, 2)
            ends = _step(side - width * (0.42 + 0.03 * number), 4) if front else _step(side - 14, 3)
            bone = bone + (12 if front else 18) * tube * along * ends * (side < width)
    # Clavicles, the heads of the humeri, the shoulder blades' edges.
    middle = 62 - 0.17 * side - 7 * np.sin((side - 20) / 21)
    band = (y - middle) / (6.5 - 1.5 * _step(side - 60, 20))
    bone = bone + 30 * (_dome(band, 2) - 0.5 * _dome(band / 0.7, 2)) * _step(side - 16, 2) * _step(148 - side, 3)
    bone = bone + 22 * _dome(np.hypot((side - 172) / 23, (y - 70) / 25), 4)
    blade = (side - 112 - 0.32 * (y - 70)) / 30
    return np.asarray(bone + 7 * _dome(blade, 2) * _step(y - 58, 4) * _step(150 - y, 14), np.float32)


def _vessels(rng: np.random.Generator, x: Floats, y: Floats) -> Floats:
    """Vessels that branch and thin out from the hila, as the share of the lung's air that they replace."""
    canvas = np.zeros((y.size, x.size), np.float32)
    scale, origin = 1 / float(x[0, 1] - x[0, 0]), (float(x[0, 0]), float(y[0, 0]))
    twigs = [
        (
            sign * rng.uniform(20, 42),
            rng.uniform(142, 182),
            rng.uniform(-1.5, 1.5) + (0 if sign > 0 else np.pi),
            3.4,
        )
        for sign in (-1, 1)
        for _ in range(11)
    ]
    while twigs:
        px, py, angle, radius = twigs.pop()
        layer = np.zeros(canvas.shape, np.uint8)
        for _ in range(rng.integers(4, 8)):
            qx, qy = px + 6 * np.cos(angle), py + 6 * np.sin(angle)
            ends = [
                (round(16 * scale * (a - origin[0])), round(16 * scale * (b - origin[1])))
                for a, b in ((px, py), (qx, qy))
            ]
            width = max(1, round(1.6 * radius * scale))
            cv2.line(layer, ends[0], ends[1], (6 * radius,), width, cv2.LINE_AA, 4)
            px, py, angle = qx, qy, angle + rng.normal(0, 0.16)
        canvas += layer / np.float32(255)
        if radius > 0.9:
            twigs += [(px, py, angle + turn, radius * 0.68) for turn in (rng.uniform(0.1, 0.6), -rng.uniform(0.1, 0.6))]
    return _blur(canvas, 0.7)


def _dome(r: Floats, power: float) -> Floats:
    """Chord of a rounded body over its middle one: 1 at r = 0, 0 from |r| = 1; power 2 = an ellipsoid."""
    return np.asarray(np.sqrt(np.clip(1 - np.abs(r) ** power, 0, 1)), np.float32)


def _step(distance: Floats, width: float) -> Floats:
    """0 below, 1 above, over about four widths."""
    return np.asarray(0.5 + 0.5 * np.tanh(distance / (2 * width)), np.float32)


def _blur(image: Floats, sigma_mm: float) -> Floats:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_mm / SPACING_MM, borderType=cv2.BORDER_REFLECT), np.float32)


def _noise(rng: np.random.Generator, shape: tuple[int, ...], grain_mm: float) -> Floats:
    """Smooth noise of unit variance."""
    noise = _blur(rng.normal(size=shape).astype(np.float32), grain_mm)
    return np.asarray(noise / noise.std(), np.float32)


def _write(path: Path, pixels: Floats, file_format: Format, patient_id: str) -> None:
    if file_format == "png":
        path.write_bytes(cv2.imencode(".png", np.round(pixels * 65535).astype(np.uint16))[1].tobytes())
    elif file_format == "jpeg":
        path.write_bytes(cv2.imencode(".jpg", np.round(pixels * 255).astype(np.uint8))[1].tobytes())
    else:
        _dicom(pixels, file_format == "monochrome1", patient_id).save_as(path, enforce_file_format=True)


def _dicom(pixels: Floats, is_inverted: bool, patient_id: str) -> Dataset:
    """A Digital X-Ray Image For Presentation (PS3.3 A.26): 12 bits, P-values, no date, no person."""
    ds = Dataset()
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.SOPClassUID = DigitalXRayImageStorageForPresentation
    for keyword in ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"):
        setattr(ds, keyword, generate_uid(entropy_srcs=["cxr-audit", patient_id, keyword]))
    ds.ImageType = ["DERIVED", "PRIMARY"]
    ds.DerivationDescription = "Synthetic: drawn by cxr-audit, shows no person"
    ds.Modality, ds.PresentationIntentType = "DX", "FOR PRESENTATION"
    ds.PatientName, ds.PatientID = "Synthetic^Radiograph", patient_id
    ds.PatientBirthDate = ds.PatientSex = ds.StudyDate = ds.StudyTime = ds.StudyID = ds.AccessionNumber = ""
    ds.ReferringPhysicianName, ds.Manufacturer, ds.SeriesNumber, ds.InstanceNumber = "", "cxr-audit", 1, 1
    ds.BodyPartExamined, ds.ViewPosition, ds.PatientOrientation = "CHEST", "PA", ["L", "F"]
    ds.ImageLaterality, ds.BurnedInAnnotation, ds.LossyImageCompression = "U", "NO", "00"
    ds.ImagerPixelSpacing = ds.PixelSpacing = [SPACING_MM, SPACING_MM]
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PixelRepresentation = 1, 0
    ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
    ds.PhotometricInterpretation = "MONOCHROME1" if is_inverted else "MONOCHROME2"
    ds.PresentationLUTShape = "INVERSE" if is_inverted else "IDENTITY"
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = 0, 1, "US"
    ds.WindowCenter, ds.WindowWidth = 2048, 4096
    stored = np.round((1 - pixels if is_inverted else pixels) * 4095).astype("<u2")
    ds.PixelData = stored.tobytes()
    return ds

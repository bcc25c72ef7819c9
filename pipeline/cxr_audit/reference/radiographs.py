"""A seed -> the radiographs that ship for the demo, and their manifest.

A real chest (RG1 of the NEMA sample set, from the PyPI package pydicom-data), eleven chest
phantoms, one phantom that is no chest, and one file that is no radiograph. They are for trying the
tool, not for measuring a classifier.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from pydicom.data import get_testdata_file

from cxr_audit.errors import ConfigError
from cxr_audit.reference.phantom import Spec, draw
from cxr_audit.reference.phantom.acquisition import Exposure, expose
from cxr_audit.reference.phantom.files import (
    MANIFEST_COLUMNS,
    DicomOptions,
    manifest_row,
    write_case,
    write_image,
    write_manifest,
)
from cxr_audit.reference.phantom.projection import Floats

COLUMNS = (*MANIFEST_COLUMNS, "kind")
REAL = "RG1_UNCI.dcm"
ROWS, COLUMNS_PX = 840, 800


@dataclass(frozen=True, slots=True)
class Planned:
    """One phantom of the demo; `spec.seed` is added to a multiple of the demo's seed."""

    name: str
    kind: str
    spec: Spec
    dicom: DicomOptions | None = None


PLAN = (
    Planned("phantom-01.dcm", "chest", Spec(1, "F", "adult", (), ("marker_r",)), DicomOptions()),
    Planned(
        "phantom-02.dcm",
        "chest, consolidation",
        Spec(2, "M", "adult", ("consolidation",), ("marker_r",)),
        DicomOptions(
            "CR", 15, photometric_interpretation="MONOCHROME1", transfer_syntax="jpeg 2000"
        ),
    ),
    Planned("phantom-03.png", "child's chest", Spec(3, "F", "child", (), ("marker_r",))),
    Planned(
        "phantom-04.jpg",
        "child's chest, consolidation",
        Spec(4, "M", "child", ("consolidation",), ("marker_l",)),
    ),
    Planned(
        "phantom-05.dcm",
        "chest, interstitial opacities",
        Spec(5, "F", "elderly", ("interstitial",)),
        DicomOptions(
            "DX", 14, is_signed=True, rescale=(2.0, -100.0), voi_lut=12, transfer_syntax="jpeg-ls"
        ),
    ),
    Planned(
        "phantom-06.png", "chest, effusion", Spec(6, "M", "adult", ("effusion",), ("marker_l",))
    ),
    Planned("phantom-07.jpg", "chest, nodule", Spec(7, "F", "adult", ("nodule",))),
    Planned(
        "phantom-08.dcm",
        "child's chest, patchy opacities",
        Spec(8, "F", "child", ("patchy",), ("marker_r",)),
        DicomOptions("CR", 10, window="SIGMOID", padding=2, transfer_syntax="jpeg lossless sv1"),
    ),
    Planned(
        "phantom-09.png",
        "chest with planted shortcuts: marker, text, ECG leads, border",
        Spec(9, "M", "adult", (), ("leads", "marker_l", "text", "border"), marker_px=60),
    ),
    Planned(
        "phantom-10.png",
        "chest of poor quality, patchy opacities: underexposed, turned, breathed out",
        Spec(
            10,
            "F",
            "elderly",
            ("patchy",),
            rotation_deg=12,
            tilt_deg=7,
            inspiration=0.1,
            exposure=0.02,
        ),
    ),
    Planned("phantom-11.jpg", "chest, mirrored", Spec(11, "M", "adult", is_mirrored=True)),
)
NO_CHEST = "phantom-12.png"
FORMATS = {".png": "png", ".jpg": "jpeg", ".dcm": "dicom"}


def write_radiographs(folder: Path, seed: int = 1) -> Path:
    """Write the demo's files and `manifest.csv` into `folder`; the same seed gives the same bytes.

    The manifest has the columns `COLUMNS`; its paths are relative to `folder`. The masks of lungs,
    findings and shortcuts lie in `masks/`.

    Returns
    -------
    Path
        The manifest.

    Raises
    ------
    ConfigError
        pydicom-data is not installed, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"cannot write the folder {folder}: {error.strerror}",
            "set run.output to a folder that you can write",
        ) from error
    source = get_testdata_file(REAL, download=False)
    if not isinstance(source, str):
        raise ConfigError(
            f"the package pydicom-data does not hold {REAL}", "pip install pydicom-data"
        )
    shutil.copyfile(source, folder / REAL)
    rows = [_other(REAL, "RG1", "real radiograph")]
    for plan in PLAN:
        phantom = draw(replace(plan.spec, seed=1000 * seed + plan.spec.seed), ROWS, COLUMNS_PX)
        write_case(folder / plan.name, phantom, FORMATS[Path(plan.name).suffix], plan.dicom)
        rows.append((*manifest_row(folder, plan.name, phantom), plan.kind))
    write_image(folder / NO_CHEST, draw_test_object(seed), bits=8)
    rows.append(_other(NO_CHEST, "", "no chest: a test object"))
    (folder / "notes.txt").write_text(
        "Not a radiograph: it shows what an audit says about such a file.\n", "utf-8"
    )
    rows.append(_other("notes.txt", "", "not a radiograph"))
    return write_manifest(folder / "manifest.csv", COLUMNS, rows)


TEST_OBJECT = Exposure(
    quanta=2e5,
    electronic=6,
    scatter=0.2,
    blur_mm=0.2,
    latitude=0,
    detail=0.3,
    contrast=1,
    brightness=0,
    hardness=3,
)


def draw_test_object(seed: int, rows: int = 640, columns: int = 640) -> Floats:
    """Draw an image-quality test object: plate, step wedge, line pairs, discs.

    Parameters
    ----------
    seed : of the noise
    rows, columns : size in pixels

    Returns
    -------
    float32 (rows, columns) in [0, 1]
    """
    pixel = np.float32(max(rows, columns))
    y, x = np.mgrid[0:rows, 0:columns].astype(np.float32) / pixel - np.float32(0.5)
    plate = (np.abs(x) < 0.42) & (np.abs(y) < 0.42)
    water = 60.0 * plate
    wedge = (np.abs(y - 0.28) < 0.07) & (np.abs(x) < 0.36)
    water += np.where(wedge, 18.0 * (1 + np.floor((x + 0.36) / 0.09)), 0)
    metal = 0.6 * ((np.hypot(x, y) > 0.4) & (np.hypot(x, y) < 0.405))
    for row in range(3):
        for column in range(5):
            radius = 0.012 + 0.006 * column
            away = np.hypot(x + 0.24 - 0.12 * column, y + 0.28 - 0.11 * row)
            water += 9.0 * (row + 1) * (away < radius)
    for group, period in enumerate((0.04, 0.026, 0.016, 0.01)):
        is_in_group = (np.abs(x + 0.27 - 0.18 * group) < 0.07) & (np.abs(y - 0.13) < 0.05)
        bars = (np.mod(x, period) < period / 2) & is_in_group
        metal = metal + 0.8 * bars
    rng = np.random.default_rng((seed, 12))
    return expose(
        rng,
        np.asarray(water, np.float32),
        np.zeros_like(x),
        np.asarray(metal, np.float32),
        plate,
        250 / rows,
        TEST_OBJECT,
    )


def _other(name: str, patient_id: str, kind: str) -> tuple[object, ...]:
    """A manifest line of a file that is no phantom of a chest."""
    known = {"path": name, "patient_id": patient_id, "kind": kind}
    return tuple(known.get(column, "") for column in COLUMNS)

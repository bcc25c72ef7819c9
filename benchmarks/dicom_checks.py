"""Other projects' readers and checkers of DICOM objects: highdicom, DCMTK, dicom3tools."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import highdicom
from pydicom.dataset import Dataset

PROGRAMS = {"dciodvfy": "dicom3tools", "dsrdump": "dcmtk"}
"""Program -> its package in Debian."""


def missing() -> str | None:
    """Which program is not installed, None where all are."""
    for program, package in PROGRAMS.items():
        if shutil.which(program) is None:
            return f"no {program}: apt-get install {package}"
    return None


def errors_of(file: Path) -> list[str]:
    """The errors that dciodvfy finds in an object (dicom3tools by D. Clunie)."""
    done = subprocess.run(["dciodvfy", str(file)], capture_output=True, text=True, check=False)
    return [line for line in done.stderr.splitlines() if line.startswith("Error")]


def numbers_by_highdicom(dataset: Dataset) -> dict[str, float]:
    """The numbers of a structured report by their names."""
    report = highdicom.sr.Comprehensive3DSR.from_dataset(dataset).content
    groups = report.get_image_measurement_groups() + report.get_planar_roi_measurement_groups()
    numbers = {}
    for group in groups:
        for measurement in group.get_measurements():
            numbers[measurement.name.meaning] = float(measurement.value)
    return numbers


def numbers_by_dcmtk(file: Path) -> dict[str, float]:
    """The same by dsrdump, which prints decimal strings; a warning of its is an error here."""
    done = subprocess.run(["dsrdump", "+Pn", str(file)], capture_output=True, text=True, check=True)
    if done.stderr:
        raise ValueError(f"dsrdump: {done.stderr}")
    found = re.findall(r'NUM:\(,,"([^"]+)"\)="([^"]+)"', done.stdout)
    return {name: float(value) for name, value in found}

"""Page 1's marked picture -> Secondary Capture with its warning burned in (PS3.3 A.8.1)."""

from __future__ import annotations

import io

import highdicom
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.valuerep import DA, TM

from cxr_audit.export.modules import BANNER, Making, finish, source_reference

KIND = "picture"
LINE_SHARE = 0.036
"""Height of a line of text, as a share of the picture's longer side."""
FOREGROUND, BACKGROUND = (255, 255, 255), (0, 0, 0)
WARNING = (255, 234, 70)
SMALLEST = 12


def secondary_capture(making: Making) -> Dataset:
    """The object: the picture between a warning above and what it shows below.

    The text is burned into the pixels, so that no viewer can show the picture without it. It
    identifies no patient.
    """
    pixels = captioned(making)
    rows, columns = making.subject.header.get("PatientOrientation") or ("", "")
    series = making.series(KIND, 2, "Model audit: where the evidence lies (picture)")
    dataset = highdicom.sc.SCImage(
        pixel_array=pixels,
        photometric_interpretation="RGB",
        bits_allocated=8,
        coordinate_system="PATIENT",
        study_instance_uid=making.subject.study_uid,
        patient_orientation=("L", "F"),
        **series,
    )
    # Of type 2C: empty where the file does not say. highdicom wants one, and not every code.
    dataset.PatientOrientation = [rows, columns] if rows and columns else []
    dataset.Laterality = ""  # of type 2C: both sides, or not stated
    made = making.made
    dataset.DateOfSecondaryCapture = DA(made.date())
    dataset.TimeOfSecondaryCapture = TM(made.time())
    dataset.ConversionType = "WSD"
    dataset.BurnedInAnnotation = "NO"
    dataset.RecognizableVisualFeatures = "NO"
    dataset.DerivationDescription = f"Evidence of a classifier marked. {BANNER}"
    dataset.SourceImageSequence = Sequence([source_reference(making.subject)])
    # The picture was a JPEG in the run folder (PS3.3 C.7.6.1.1.5).
    dataset.LossyImageCompression = "01"
    dataset.LossyImageCompressionMethod = "ISO_10918_1"
    assert making.result.picture is not None
    ratio = _picture(making).nbytes / len(making.result.picture)
    dataset.LossyImageCompressionRatio = f"{ratio:.1f}"
    return finish(dataset, making)


def captioned(making: Making) -> npt.NDArray[np.uint8]:
    """The picture with its lines of text above and below: uint8 RGB (rows, columns, 3)."""
    picture = _picture(making)
    answer = making.result.answer
    assert answer is not None
    threshold = "" if answer.threshold is None else f", threshold {answer.threshold:.2f}"
    # The font has Latin letters only.
    name = answer.class_name if answer.class_name.isascii() else "Explained class"
    below = [
        f"{name}: output {answer.output:.2f}{threshold}",
        "Solid line: strongest evidence of the model. It does not show disease.",
    ]
    if making.result.focus is None:
        below[1] = "No evidence is marked: see the report."
    if answer.map_state != "passed":
        below.append("The checks of the explanation were not all passed: see the report.")
    above = _band([BANNER], picture.shape, WARNING)
    return np.concatenate([above, picture, _band(below, picture.shape, FOREGROUND)])


def _picture(making: Making) -> npt.NDArray[np.uint8]:
    assert making.result.picture is not None
    with Image.open(io.BytesIO(making.result.picture)) as image:
        return np.asarray(image.convert("RGB"), np.uint8)


def _band(
    lines: list[str], shape: tuple[int, ...], colour: tuple[int, int, int]
) -> npt.NDArray[np.uint8]:
    """Lines of text on black, as wide as the picture; small enough that none is cut."""
    columns = shape[1]
    size = max(SMALLEST, round(LINE_SHARE * max(shape[:2])))
    widest = max(ImageFont.load_default(size).getlength(line) for line in lines)
    if widest > 0.96 * columns:
        size = max(SMALLEST, int(size * 0.96 * columns / widest))
    font = ImageFont.load_default(size)
    height = round(1.5 * size)
    band = Image.new("RGB", (columns, height * len(lines)), BACKGROUND)
    draw = ImageDraw.Draw(band)
    for number, line in enumerate(lines):
        place = (columns // 2, number * height + height // 2)
        draw.text(place, line, fill=colour, font=font, anchor="mm")
    return np.asarray(band, np.uint8)

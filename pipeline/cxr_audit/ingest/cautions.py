"""What a reader must know of a DICOM radiograph before the audit is trusted.

Spacing, lossy history, kind of image, orientation. Nothing is turned or scaled silently.
"""

from __future__ import annotations

import math
from typing import Any

from pydicom.dataset import Dataset

from cxr_audit.ingest.attributes import CHEST, TERMS, term, view_position
from cxr_audit.ingest.elements import is_present, numbers, terms, value, values
from cxr_audit.ingest.notes import Notes
from cxr_audit.ingest.views import FRONTAL_VIEWS
from cxr_audit.vocabulary import message

ORIENTATION_AXES = ("AP", "FH", "LR")
PROCESSING_EQUIPMENT = "109102"  # PS3.16 CID 7005
OVERLAY_GROUPS = range(0x6000, 0x6020, 2)  # PS3.3 C.9.2

Spacing = tuple[float, float]


def pixel_spacing(dataset: Dataset, notes: Notes) -> Spacing | None:
    """Millimetres a pixel (row, column), PS3.3 10.7.1.1 and 10.7.1.3; 0 counts as unusable."""
    calibrated = _spacing(dataset, "PixelSpacing", notes)
    detector = _spacing(dataset, "ImagerPixelSpacing", notes)
    spacing = calibrated or detector
    _warn_about_aspect(dataset, spacing, notes)
    what = message("ingest.spacing")
    if calibrated is not None and calibrated != detector:
        row, column = calibrated
        how = message("ingest.spacing_calibrated", row=row, column=column)
        notes.decide(what, how, message("ingest.spacing_calibrated_why"))
    elif detector is not None:
        row, column = detector
        how = message("ingest.spacing_detector", row=row, column=column)
        notes.decide(what, how, message("ingest.spacing_detector_why"))
    else:
        notes.decide(what, message("ingest.spacing_none"), message("ingest.spacing_none_why"))
    return spacing


def _warn_about_aspect(dataset: Dataset, spacing: Spacing | None, notes: Notes) -> None:
    aspect = numbers(dataset, "PixelAspectRatio", notes)
    is_uneven_aspect = len(aspect) == 2 and None not in aspect and aspect[0] != aspect[1]
    is_uneven_spacing = spacing is not None and not math.isclose(*spacing, rel_tol=1e-3)
    if is_uneven_aspect or is_uneven_spacing:
        notes.warn(message("ingest.not_square"))


def _spacing(dataset: Dataset, keyword: str, notes: Notes) -> Spacing | None:
    if not is_present(dataset, keyword):
        return None
    values = numbers(dataset, keyword, notes)
    if len(values) == 2:
        row, column = values
        if row is not None and column is not None and row > 0 and column > 0:
            return row, column
    if keyword not in notes.not_understood:
        notes.warn(message("ingest.spacing_invalid", keyword=keyword))
    return None


def note_compression(dataset: Dataset, is_lossy: bool, notes: Notes) -> None:
    """PS3.3 C.7.6.1.1.5: loss in the past stays in the pixels, however they are stored now.

    Parameters
    ----------
    dataset
    is_lossy
        Whether the codestream itself is lossy, whatever the header says.
    notes
    """
    was_lossy = term(dataset, "LossyImageCompression") == "01"
    if not was_lossy and not is_lossy:
        return
    notes.warn(message("ingest.lossy" if was_lossy else "ingest.lossy_unstated"))
    ratios = numbers(dataset, "LossyImageCompressionRatio", notes)
    ratio = ", ".join(f"{number:g}" for number in ratios if number is not None)
    stated = terms(dataset, "LossyImageCompressionMethod")
    method = ", ".join(text for text in stated if text in TERMS["LossyImageCompressionMethod"])
    unstated = message("ingest.not_stated")
    how = message("ingest.lossy_how", ratio=ratio or unstated, method=method or unstated)
    notes.decide(message("ingest.lossy_compression"), how, message("ingest.lossy_why"))


def patient_orientation(dataset: Dataset, notes: Notes) -> tuple[str, str] | None:
    """Where rows and columns point to (PS3.3 C.7.6.1.1.1), in letters of A P R L H F."""
    stated = terms(dataset, "PatientOrientation")
    if len(stated) == 2 and all(_is_direction(text) for text in stated):
        return stated[0], stated[1]
    if any(stated):
        notes.misread("PatientOrientation", message("ingest.unknown_term"))
    return None


def _is_direction(text: str) -> bool:
    """At most one letter of each axis, and no other letter."""
    letters = set("".join(ORIENTATION_AXES))
    is_once = all(sum(text.count(letter) for letter in axis) <= 1 for axis in ORIENTATION_AXES)
    return bool(text) and is_once and set(text) <= letters


def warn_about(dataset: Dataset, notes: Notes) -> None:
    """Warn of everything in the header that limits what an audit of the image can mean."""
    _warn_about_kind(dataset, notes)
    num_overlays = sum((group, 0x0010) in dataset for group in OVERLAY_GROUPS)
    if num_overlays:
        notes.warn(message("ingest.overlays", num=num_overlays))
    part = term(dataset, "BodyPartExamined")
    if part is not None and part not in CHEST:
        notes.warn(message("ingest.not_the_chest"))
    _warn_about_view(dataset, view_position(dataset, notes), notes)


def _warn_about_view(dataset: Dataset, view: str | None, notes: Notes) -> None:
    """Warn of a view that is not frontal, of one side alone, and of an image that is turned."""
    if view is not None and view not in FRONTAL_VIEWS:
        notes.warn(message("ingest.not_frontal"))
    side = term(dataset, "ImageLaterality") or term(dataset, "Laterality")
    if side in ("R", "L") and view in FRONTAL_VIEWS:
        notes.warn(message("ingest.one_side"))
    orientation = patient_orientation(dataset, notes)
    if orientation is not None and view in (None, *FRONTAL_VIEWS):
        _warn_about_orientation(*orientation, notes)


def _warn_about_kind(dataset: Dataset, notes: Notes) -> None:
    kinds = terms(dataset, "ImageType")
    if "DERIVED" in kinds:
        notes.warn(message("ingest.derived"))
    if "SECONDARY" in kinds:
        notes.warn(message("ingest.secondary"))
    if term(dataset, "BurnedInAnnotation") == "YES":
        notes.warn(message("ingest.burned_in"))
    if term(dataset, "PresentationIntentType") == "FOR PROCESSING":
        notes.warn(message("ingest.for_processing"))
    if term(dataset, "QualityControlImage") in ("YES", "BOTH"):
        notes.warn(message("ingest.quality_control"))
    equipment = values(dataset, "ContributingEquipmentSequence")
    if any(_is_processing(item) for item in equipment):
        notes.warn(message("ingest.processed"))


def _is_processing(item: Any) -> bool:
    """Whether an item of the Contributing Equipment Sequence says that it processed the image."""
    purposes = values(item, "PurposeOfReferenceCodeSequence")
    return any(value(code, "CodeValue") == PROCESSING_EQUIPMENT for code in purposes)


def _warn_about_orientation(row: str, column: str, notes: Notes) -> None:
    """A frontal radiograph shows the patient's left on the right of the picture: L\\F."""
    if row[0] in "FH" or column[0] in "LR":
        notes.warn(message("ingest.on_its_side"))
        return
    if row[0] == "R":
        notes.warn(message("ingest.mirrored"))
    if column[0] == "H":
        notes.warn(message("ingest.upside_down"))

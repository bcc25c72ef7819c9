"""A DICOM dataset -> the allow-listed attributes, view, orientation, spacing; nothing else ever leaves.

A value passes where it is one of the terms listed here (PS3.3, PS3.16 Annex L) or a number; others are
dropped without an echo, because any of them may hold a name. Also `value`, the only way by which this room
reads an element.
"""

from __future__ import annotations

import math
import re
import struct
from typing import Any

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence
from pydicom.uid import UID, JPEGBaseline8Bit, JPEGExtended12Bit

from cxr_audit.errors import UnsupportedRadiograph
from cxr_audit.ingest.grayscale import Notes

# What pydicom is seen to raise on damaged or odd files, while parsing or on the first access to an element.
PARSER_ERRORS = (
    ArithmeticError, AssertionError, AttributeError, EOFError, LookupError, MemoryError, OSError,
    RuntimeError, SyntaxError, TypeError, ValueError, struct.error,
    BytesLengthException,
)  # fmt: skip

FRONTAL_VIEWS = frozenset({"AP", "PA"})
VIEWS = FRONTAL_VIEWS | {"LL", "RL", "RLD", "LLD", "RLO", "LLO", "LAT", "LATERAL"}
CHEST = frozenset(
    {"CHEST", "THORAX", "LUNG", "LUNGS", "RIB", "RIBS", "CHESTABDOMEN", "CHESTABDPELVIS"}
)
ORIENTATION_AXES = ("AP", "FH", "LR")

TERMS: dict[str, frozenset[str]] = {
    "Modality": frozenset({"CR", "DX", "DR", "RG", "OT", "SC"}),
    "PhotometricInterpretation": frozenset(
        {"MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}
    ),
    "BodyPartExamined": CHEST
    | {
        "ABDOMEN", "ABDOMENPELVIS", "ANKLE", "ARM", "CLAVICLE", "CSPINE", "ELBOW", "EXTREMITY", "FEMUR",
        "FINGER", "FOOT", "FOREARM", "HAND", "HEAD", "HEART", "HIP", "HUMERUS", "KNEE", "LEG", "LSPINE",
        "NECK", "PELVIS", "SCAPULA",
        "SHOULDER", "SKULL", "SPINE", "SSPINE", "STERNUM", "TSPINE", "WHOLEBODY", "WRIST",
    },
    "ViewPosition": frozenset(VIEWS),
    "PatientSex": frozenset({"M", "F", "O"}),
    "LossyImageCompression": frozenset({"00", "01"}),
    "LossyImageCompressionMethod": frozenset({"ISO_10918_1", "ISO_14495_1", "ISO_15444_1", "ISO_15444_15"}),
    "BurnedInAnnotation": frozenset({"YES", "NO"}),
    "QualityControlImage": frozenset({"YES", "NO", "BOTH"}),
    "ImageLaterality": frozenset({"R", "L", "U", "B"}),
    "Laterality": frozenset({"R", "L"}),
    "ImageType": frozenset({"ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", "POST_PROCESSED"}),
    "PresentationIntentType": frozenset({"FOR PRESENTATION", "FOR PROCESSING"}),
}  # fmt: skip
NUMBERS = (
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "LossyImageCompressionRatio",
    "ExposureIndex",
    "TargetExposureIndex",
    "DeviationIndex",
)
# PS3.16 CID 4010: SNOMED CT, and the codes of SNOMED RT that older files carry.
VIEW_CODES = {
    "399348003": "AP", "R-10206": "AP",
    "272479007": "PA", "R-10214": "PA",
    "399173006": "LL", "R-10236": "LL",
    "399198007": "RL", "R-10232": "RL",
}  # fmt: skip
PROCESSING_EQUIPMENT = "109102"  # PS3.16 CID 7005
ALWAYS_LOSSY = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit})
# Longer than any element that is read here, pixels aside: seven tables of 65,536 entries.
MAX_ELEMENT_BYTES = 2**20

NUMBER = re.compile(r"[-+0-9.eE]{1,16}")
AGE = re.compile(r"([0-9]{3})([YMWD])")
WEEKS_A_YEAR, DAYS_A_YEAR, MONTHS_A_YEAR = 52.18, 365.25, 12
OLDEST_BAND = 90


def value(dataset: Dataset, keyword: str) -> Any:
    """An element's value, None where it is absent, empty or not readable as what it should be.

    Raises `UnsupportedRadiograph` where it is longer than any such element can be, before it is converted.
    """
    try:
        if keyword in dataset and keyword != "PixelData":
            raw: Any = dataset.get_item(keyword)
            if isinstance(raw, RawDataElement) and len(raw.value or b"") > MAX_ELEMENT_BYTES:
                raise UnsupportedRadiograph(
                    f"the header's element {keyword} has {len(raw.value or b'')} bytes"
                )
        found = dataset.get(keyword)
        if isinstance(found, MultiValue | Sequence):
            found = list(found)
    except PARSER_ERRORS:
        return None
    return None if found in ("", b"", []) else found


def values(dataset: Dataset, keyword: str) -> list[Any]:
    """An element's values as a list, empty where it is absent or unreadable."""
    found = value(dataset, keyword)
    if found is None:
        return []
    return found if isinstance(found, list) else [found]


def floats(dataset: Dataset, keyword: str) -> tuple[float, ...]:
    """The finite numbers of an element; one that is no number makes it empty."""
    try:
        return tuple(float(item) for item in values(dataset, keyword))
    except (TypeError, ValueError, OverflowError):
        return ()


def integer(dataset: Dataset, keyword: str) -> int | None:
    """An element's single integer, or None."""
    found = value(dataset, keyword)
    try:
        return None if found is None or int(found) != float(found) else int(found)
    except (TypeError, ValueError, OverflowError):
        return None


def term(dataset: Dataset, keyword: str) -> str | None:
    """An element's first value where it is one of the terms we know."""
    found = values(dataset, keyword)
    text = str(found[0]).strip().upper() if found else ""
    return text if text in TERMS[keyword] else None


def attributes(dataset: Dataset) -> dict[str, str]:
    """The allow-list: DICOM keyword -> text. The age is a band of ten years, all above 89 are "90+"."""
    kept: dict[str, str] = {}
    for keyword, terms in TERMS.items():
        texts = [str(item).strip().upper() for item in values(dataset, keyword)]
        known = [text for text in texts if text in terms]
        if known:
            kept[keyword] = "\\".join(known)
    for keyword in NUMBERS:
        texts = [str(item).strip() for item in values(dataset, keyword)]
        if texts and all(NUMBER.fullmatch(text) for text in texts):
            kept[keyword] = "\\".join(texts)[:64]
    band = _age_band(dataset)
    if band is not None:
        kept["PatientAge"] = band
    return dict(sorted(kept.items()))


def _age_band(dataset: Dataset) -> str | None:
    """PS3.5 6.2, VR AS: three digits and Y, M, W or D."""
    match = AGE.fullmatch(str(value(dataset, "PatientAge") or "").strip())
    if match is None:
        return None
    units = {"Y": 1.0, "M": MONTHS_A_YEAR, "W": WEEKS_A_YEAR, "D": DAYS_A_YEAR}
    decade = int(int(match[1]) / units[match[2]]) // 10 * 10
    return f"{OLDEST_BAND}+" if decade >= OLDEST_BAND else f"{decade}-{decade + 9}"


def pixel_spacing(dataset: Dataset, notes: Notes) -> tuple[float, float] | None:
    """Millimetres a pixel (row, column), PS3.3 10.7.1.1 and 10.7.1.3; two spacings told apart, 0 is none."""
    calibrated = _spacing(dataset, "PixelSpacing", notes)
    detector = _spacing(dataset, "ImagerPixelSpacing", notes)
    aspect = floats(dataset, "PixelAspectRatio")
    found = calibrated or detector
    if (len(aspect) == 2 and aspect[0] != aspect[1]) or (
        found and not math.isclose(*found, rel_tol=1e-3)
    ):
        notes.warn("the pixels are not square; the image was not stretched")
    if calibrated is not None and calibrated != detector:
        notes.decide(
            "pixel spacing",
            f"calibrated, {calibrated[0]:g} x {calibrated[1]:g} mm (row x column)",
            "PS3.3 10.7.1.3: (0028,0030) Pixel Spacing; how it was calibrated is not checked",
        )
    elif detector is not None:
        notes.decide(
            "pixel spacing",
            f"detector plane, {detector[0]:g} x {detector[1]:g} mm (row x column)",
            "PS3.3 10.7.1.3: (0018,1164) Imager Pixel Spacing; true lengths are smaller (magnification)",
        )
    else:
        notes.decide(
            "pixel spacing",
            "none: lengths are given in pixels only",
            "no usable spacing in the header",
        )
    return found


def _spacing(dataset: Dataset, keyword: str, notes: Notes) -> tuple[float, float] | None:
    if not values(dataset, keyword):
        return None
    numbers = floats(dataset, keyword)
    if len(numbers) == 2 and all(math.isfinite(number) and number > 0 for number in numbers):
        return numbers[0], numbers[1]
    name = "Pixel Spacing" if keyword == "PixelSpacing" else "Imager Pixel Spacing"
    notes.warn(f"{name} is zero or invalid and was ignored")
    return None


def view_position(dataset: Dataset) -> str | None:
    """(0018,5101), or where that is silent the code of (0054,0220)."""
    coded = [
        VIEW_CODES.get(str(value(item, "CodeValue")).strip())
        for item in values(dataset, "ViewCodeSequence")
    ]
    return term(dataset, "ViewPosition") or next((view for view in coded if view), None)


def note_compression(dataset: Dataset, syntax: UID, notes: Notes) -> None:
    """PS3.3 C.7.6.1.1.5: loss in the past stays in the pixels, however they are stored now."""
    was_lossy = term(dataset, "LossyImageCompression") == "01"
    if not was_lossy and syntax not in ALWAYS_LOSSY:
        return
    notes.warn(
        "the image has been compressed with loss"
        + ("" if was_lossy else "; its header does not say so")
    )
    ratios = ", ".join(f"{ratio:g}" for ratio in floats(dataset, "LossyImageCompressionRatio"))
    methods = [str(item).strip() for item in values(dataset, "LossyImageCompressionMethod")]
    known = ", ".join(item for item in methods if item in TERMS["LossyImageCompressionMethod"])
    notes.decide(
        "lossy compression",
        f"ratio {ratios or 'not stated'}, method {known or 'not stated'}",
        "PS3.3 C.7.6.1.1.5: (0028,2110), (0028,2112), (0028,2114); what was lost cannot be undone",
    )


def patient_orientation(dataset: Dataset) -> tuple[str, str] | None:
    """Where the rows and the columns point to (PS3.3 C.7.6.1.1.1), in letters of A P R L H F."""
    texts = [str(item).strip().upper() for item in values(dataset, "PatientOrientation")]
    if len(texts) == 2 and all(_is_direction(text) for text in texts):
        return texts[0], texts[1]
    return None


def _is_direction(text: str) -> bool:
    """At most one letter of each axis, and no other."""
    one_each = all(sum(text.count(letter) for letter in axis) <= 1 for axis in ORIENTATION_AXES)
    return bool(text) and one_each and set(text) <= set("".join(ORIENTATION_AXES))


def warn_about(dataset: Dataset, notes: Notes) -> None:
    """What a reader must know of the image before the audit is trusted; nothing is turned silently."""
    kinds = {str(item).strip().upper() for item in values(dataset, "ImageType")}
    if "DERIVED" in kinds:
        notes.warn("the image type says DERIVED: computed from another image")
    if "SECONDARY" in kinds:
        notes.warn("the image type says SECONDARY: made after the examination")
    if term(dataset, "BurnedInAnnotation") == "YES":
        notes.warn(
            "text is burned into the pixels; it may name the patient, or draw the classifier"
        )
    if term(dataset, "PresentationIntentType") == "FOR PROCESSING":
        notes.warn("the image is FOR PROCESSING: raw detector values, not what a reader is shown")
    if term(dataset, "QualityControlImage") in ("YES", "BOTH"):
        notes.warn("a quality-control image: a phantom, not a patient")
    if any(_is_processing(item) for item in values(dataset, "ContributingEquipmentSequence")):
        notes.warn(
            "processing equipment has worked on the image; it may be the output of another model"
        )
    num_overlays = sum((group, 0x0010) in dataset for group in range(0x6000, 0x6020, 2))
    if num_overlays:
        notes.warn(
            f"the header holds {num_overlays} overlay{'s' if num_overlays > 1 else ''}; not drawn"
        )
    part = term(dataset, "BodyPartExamined")
    if part is not None and part not in CHEST:
        notes.warn("the body part examined is not the chest")
    view = view_position(dataset)
    if view is not None and view not in FRONTAL_VIEWS:
        notes.warn("not a frontal view")
    if (term(dataset, "ImageLaterality") or term(dataset, "Laterality")) in (
        "R",
        "L",
    ) and view in FRONTAL_VIEWS:
        notes.warn("the laterality names one side; a frontal view of the chest has both")
    orientation = patient_orientation(dataset)
    if orientation is not None and view in (None, *FRONTAL_VIEWS):
        _warn_about_orientation(*orientation, notes)


def _is_processing(item: Any) -> bool:
    """Whether an item of the Contributing Equipment Sequence says that it processed the image."""
    return any(
        value(code, "CodeValue") == PROCESSING_EQUIPMENT
        for code in values(item, "PurposeOfReferenceCodeSequence")
    )


def _warn_about_orientation(row: str, column: str, notes: Notes) -> None:
    """A frontal radiograph hangs with the patient's left on the right of the picture: L\\F."""
    if row[0] in "FH" or column[0] in "LR":
        notes.warn("the image lies on its side by its orientation; it was not turned")
        return
    if row[0] == "R":
        notes.warn("the image is mirrored by its orientation; it was not flipped")
    if column[0] == "H":
        notes.warn("the image is upside down by its orientation; it was not turned")

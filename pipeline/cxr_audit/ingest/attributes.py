"""A DICOM dataset -> the allow-listed attributes and the view; nothing else ever leaves.

A value passes where it is one of the terms listed here (PS3.3, PS3.16 Annex L) or a number; others
are dropped without an echo, because any of them may hold a name. What is present but not
understood is noted by its keyword.
"""

from __future__ import annotations

import re

from pydicom.dataset import Dataset

from cxr_audit.ingest.elements import NUMBER, is_present, numbers, terms, texts, value, values
from cxr_audit.ingest.notes import Notes
from cxr_audit.ingest.views import CODED_VIEWS, FRONTAL, VIEWS, same_projection, view_of
from cxr_audit.vocabulary import message

CHEST = frozenset(
    {"CHEST", "THORAX", "LUNG", "LUNGS", "RIB", "RIBS", "CHESTABDOMEN", "CHESTABDPELVIS"}
)
TERMS: dict[str, frozenset[str]] = {
    "Modality": frozenset({"CR", "DX", "DR", "RG", "OT", "SC"}),
    "PhotometricInterpretation": frozenset(
        {"MONOCHROME1", "MONOCHROME2", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT"}
    ),
    "BodyPartExamined": CHEST
    | {
        "ABDOMEN", "ABDOMENPELVIS", "ANKLE", "ARM", "CLAVICLE", "CSPINE", "ELBOW", "EXTREMITY",
        "FEMUR", "FINGER", "FOOT", "FOREARM", "HAND", "HEAD", "HEART", "HIP", "HUMERUS", "KNEE",
        "LEG", "LSPINE", "NECK", "PELVIS", "SCAPULA", "SHOULDER", "SKULL", "SPINE", "SSPINE",
        "STERNUM", "TSPINE", "WHOLEBODY", "WRIST",
    },
    "PatientSex": frozenset({"M", "F", "O"}),
    "LossyImageCompression": frozenset({"00", "01"}),
    "LossyImageCompressionMethod": frozenset(
        {"ISO_10918_1", "ISO_14495_1", "ISO_15444_1", "ISO_15444_15"}
    ),
    "BurnedInAnnotation": frozenset({"YES", "NO"}),
    "QualityControlImage": frozenset({"YES", "NO", "BOTH"}),
    "ImageLaterality": frozenset({"R", "L", "U", "B"}),
    "Laterality": frozenset({"R", "L"}),
    "ImageType": frozenset({"ORIGINAL", "DERIVED", "PRIMARY", "SECONDARY", "POST_PROCESSED"}),
    "PresentationIntentType": frozenset({"FOR PRESENTATION", "FOR PROCESSING"}),
}  # fmt: skip
# Checked where the file is opened: an unknown term there refuses the file or has its own warning.
CHECKED_ELSEWHERE = frozenset({"Modality", "PhotometricInterpretation"})
# PS3.3 C.7.6.1.1.2: the first two values of Image Type are defined, further ones are free.
NUM_IMAGE_TYPES = 2
NUMBERS = (
    "BitsAllocated",
    "BitsStored",
    "PixelRepresentation",
    "LossyImageCompressionRatio",
    "ExposureIndex",
    "TargetExposureIndex",
    "DeviationIndex",
)

KEYWORDS = frozenset({*TERMS, *NUMBERS, "PatientAge", "ViewPosition"})
"""Every attribute that can be known of a case."""

AGE = re.compile(r"([0-9]{1,3})([YMWD])")
UNITS_A_YEAR = {"Y": 1.0, "M": 12.0, "W": 52.18, "D": 365.25}
OLDEST_BAND, OLDEST_YEARS = 90, 130


def term(dataset: Dataset, keyword: str) -> str | None:
    """An element's first value where it is one of the terms that are known."""
    stated = terms(dataset, keyword)
    return stated[0] if stated and stated[0] in TERMS[keyword] else None


def attributes(dataset: Dataset, notes: Notes) -> dict[str, str]:
    """The allow-list: DICOM keyword -> text. The age is a band of ten years, "90+" above 89."""
    kept: dict[str, str] = {}
    for keyword in TERMS:
        known = _known_terms(dataset, keyword, notes)
        if known:
            kept[keyword] = "\\".join(known)
    for keyword in NUMBERS:
        values = numbers(dataset, keyword, notes)
        if values and None not in values:
            kept[keyword] = "\\".join(_as_written(dataset, keyword))[:64]
    band = _age_band(dataset, notes)
    if band is not None:
        kept["PatientAge"] = band
    view = view_position(dataset, notes)
    if view is not None:
        kept["ViewPosition"] = view
    return dict(sorted(kept.items()))


def _known_terms(dataset: Dataset, keyword: str, notes: Notes) -> list[str]:
    """The values that are known terms; an unknown one is noted."""
    stated = terms(dataset, keyword)
    if not stated and is_present(dataset, keyword) and keyword not in CHECKED_ELSEWHERE:
        notes.misread(keyword, message("ingest.unreadable_element"))
    defined = stated[:NUM_IMAGE_TYPES] if keyword == "ImageType" else stated
    known = TERMS[keyword]
    has_unknown = any(text and text not in known for text in defined)
    if has_unknown and keyword not in CHECKED_ELSEWHERE:
        notes.misread(keyword, message("ingest.unknown_term"))
    return [text for text in stated if text in known]


def _as_written(dataset: Dataset, keyword: str) -> list[str]:
    """The numbers of an element as the file writes them."""
    written = texts(dataset, keyword) or []
    return [text for text in written if NUMBER.fullmatch(text)]


def _age_band(dataset: Dataset, notes: Notes) -> str | None:
    """PS3.5 6.2, VR AS: three digits and Y, M, W or D. Without the letter an age has no unit."""
    if not is_present(dataset, "PatientAge"):
        return None
    stated = terms(dataset, "PatientAge")
    match = AGE.fullmatch(stated[0]) if len(stated) == 1 else None
    if match is None:
        is_number = len(stated) == 1 and stated[0].isdecimal()
        code = "ingest.age_without_unit" if is_number else "ingest.no_age"
        notes.misread("PatientAge", message(code))
        return None
    years = int(match[1]) / UNITS_A_YEAR[match[2]]
    if years > OLDEST_YEARS:
        notes.misread("PatientAge", message("ingest.age_too_high", limit=OLDEST_YEARS))
        return None
    if len(match[1]) < 3:
        notes.warn(message("ingest.age_short"))
    decade = int(years) // 10 * 10
    return f"{OLDEST_BAND}+" if decade >= OLDEST_BAND else f"{decade}-{decade + 9}"


def view_position(dataset: Dataset, notes: Notes) -> str | None:
    """The view by (0018,5101) and by the code of (0054,0220), where they agree.

    Returns
    -------
    str or None
        A term of `views`; None where the view is absent, not understood or contradictory.
    """
    position = _stated_view(dataset)
    coded = _coded_view(dataset)
    if position in VIEWS and coded in VIEWS and not same_projection(position, coded):
        notes.misread("ViewPosition", message("ingest.view_contradiction"))
        return None
    for view in (position, coded):
        if view in VIEWS:
            return view
    for view, keyword in ((position, "ViewPosition"), (coded, "ViewCodeSequence")):
        if view == FRONTAL:
            notes.misread(keyword, message("ingest.frontal_unspecified"))
        elif view is not None:
            notes.misread(keyword, message("ingest.unknown_term"))
    return None


UNKNOWN = "?"


def _stated_view(dataset: Dataset) -> str | None:
    """The view of (0018,5101), `UNKNOWN` where it is present but no known term, None if absent."""
    if not is_present(dataset, "ViewPosition"):
        return None
    stated = {view_of(text) or UNKNOWN for text in terms(dataset, "ViewPosition") if text}
    return stated.pop() if len(stated) == 1 else UNKNOWN


def _coded_view(dataset: Dataset) -> str | None:
    """The view of (0054,0220), `UNKNOWN` where it has items but no known code."""
    items = values(dataset, "ViewCodeSequence")
    if not items:
        return UNKNOWN if is_present(dataset, "ViewCodeSequence") else None
    codes = [str(value(item, "CodeValue") or "").strip() for item in items]
    if not any(codes):
        return None
    known = [CODED_VIEWS[code] for code in codes if code in CODED_VIEWS]
    return known[0] if known else UNKNOWN

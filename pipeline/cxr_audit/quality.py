"""Radiograph, its lungs, its header -> checks of the input: blank, clipped, turned, no chest, out of scope, known.

Limits are those of the section `quality` of a config; its defaults are derived in `benchmarks/quality.py`: what is
planted is found, and at most about one in a hundred real radiographs is beyond a limit that it should keep. What
cannot be checked is `not_run` with its reason. Refuses nothing by itself: `action` says what the config asks for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np

from cxr_audit.config import Quality, QualityCheck
from cxr_audit.records import CaseRecord, CaseStatus, Check, Floats, RadiographFacts, SourceFile
from cxr_audit.vocabulary import Text, message

# What is looked at: every n-th row and column, so that the shorter side has about as many.
SAMPLE_PX = 256
# A row or column is even where its grey values, without 2 % at either end, span less than this share of the picture's.
EVEN_FRACTION = 0.05
# Wholly black or white: within two and a half grey levels of 255, which lossy compression makes of one.
LEVEL = 2.5 / 255
FRONTAL = ("PA", "AP")
# (0008,0008) Image Type, PS3.3 C.7.6.1.1.2, and what manufacturers write there.
IMAGE_TYPES = {
    "DERIVED": "the image type says DERIVED: computed from another image",
    "SECONDARY": "the image type says SECONDARY: made after the examination",
    "POST_PROCESSED": "the image type says POST_PROCESSED: changed after the exposure",
}
HEADER_TYPES = {
    (
        "PresentationIntentType",
        "FOR PROCESSING",
    ): "the image is FOR PROCESSING: raw detector values, not what a reader is shown",
    ("QualityControlImage", "YES"): "a quality-control image: a phantom, not a patient",
    ("QualityControlImage", "BOTH"): "a quality-control image: a phantom, not a patient",
}
BURNED_IN = "text is burned into the pixels; it may name the patient, or draw the classifier"
NO_LUNGS = "no lungs were found, neither upright nor turned nor in the negative"

Ages = tuple[int, int] | None


def in_order(checks: Sequence[Check]) -> tuple[Check, ...]:
    """The checks in the order of `QualityCheck`, whatever the order in which they were made."""
    rank = {name: n for n, name in enumerate(get_args(QualityCheck))}
    return tuple(sorted(checks, key=lambda check: rank[check.name]))


def action(checks: Sequence[Check], asked: Quality) -> tuple[CaseStatus, str, str] | None:
    """What the config asks for where checks have failed: status, reason, hint; None = the case is audited."""
    lists: dict[CaseStatus, tuple[str, tuple[QualityCheck, ...]]]
    lists = {"failed": ("fail", asked.fail), "excluded": ("exclude", asked.exclude)}
    for status, (key, names) in lists.items():
        if found := [check for check in checks if check.state == "failed" and check.name in names]:
            reason = "; ".join(str(check.reason or "") for check in found)
            of = ", ".join(check.name for check in found)
            return (
                status,
                reason,
                f"look at the radiograph; to audit it with a caution, take {of} out of quality.{key}",
            )
    return None


# ---- the picture alone


def check_picture(pixels: Floats, asked: Quality) -> tuple[Check, ...]:
    """Checks of grey values, float32 (rows, columns) in [0, 1], 0 = black as displayed."""
    step = max(1, min(pixels.shape) // SAMPLE_PX)
    sample = pixels[::step, ::step]
    field = exposed_field(sample)
    return (
        _at_least(
            "blank",
            "span of the grey values, 1st to 99th percentile",
            span(sample, 1),
            asked.blank_range,
            "the picture is blank, or nearly so",
        ),
        _at_least(
            "contrast",
            "span of the grey values inside the exposed field, 5th to 95th percentile",
            span(field, 5),
            asked.contrast_range,
            "the contrast is low",
        ),
        _at_most(
            "clipping",
            "share of the picture's middle that is wholly black or white",
            clipped_fraction(field),
            asked.clipped_fraction,
            "grey values are cut off at black or white",
        ),
        _at_most(
            "collimation",
            "share of the picture that an even frame takes",
            1 - field.size / sample.size,
            asked.collimated_fraction,
            "much of the picture is an even frame, not radiograph",
        ),
    )


def span(pixels: Floats, ends_percent: float) -> float:
    """Distance of two percentiles of the grey values, so many per cent from either end."""
    low, high = np.percentile(pixels, [ends_percent, 100 - ends_percent])
    return float(high - low)


def exposed_field(pixels: Floats) -> Floats:
    """The picture without its even frame: from the first to the last row and column that are not even."""
    limit = EVEN_FRACTION * span(pixels, 1)
    ranges = []
    for lines in (pixels, pixels.T):
        low, high = np.percentile(lines, [2, 98], axis=1)
        uneven = np.flatnonzero(high - low > limit)
        ranges.append(slice(uneven[0], uneven[-1] + 1) if uneven.size else slice(None))
    return pixels[ranges[0], ranges[1]]


def clipped_fraction(field: Floats) -> float:
    """Share of the middle, half its rows and half its columns, that is black or white: there is body, not air."""
    rows, columns = field.shape
    middle = field[rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]
    return float(np.mean((middle <= LEVEL) | (middle >= 1 - LEVEL)))


# ---- what the lung segmenter found


def check_lungs(
    asked: Quality,
    area_fraction: float,
    edge_fraction: float,
    angle_deg: float | None,
    is_negative: bool,
) -> tuple[Check, ...]:
    """Checks by the lungs.

    Parameters
    ----------
    area_fraction : share of the picture that looks like lung.
    edge_fraction : of the edge of the picture that has most lung, the share that lies in it.
    angle_deg : by how much the lungs lie turned, 0 to 360 degrees; None = no lungs were found, in any position.
    is_negative : the lungs were found in the negative only.
    """
    chest = _limited(
        "not_a_chest",
        "share of the picture that looks like lung",
        area_fraction,
        angle_deg is not None or area_fraction >= asked.lungs_fraction,
        f"two lungs, or at least {asked.lungs_fraction:g}",
        "this does not look like a frontal chest radiograph: hardly anything looks like lung",
    )
    crop = _at_most(
        "crop",
        "share of one edge of the picture that lies in lung",
        edge_fraction,
        asked.cropped_fraction,
        "a lung is cut off by the edge of the picture",
    )
    if angle_deg is None:
        crop = crop if chest.state == "passed" else _not_run("crop", NO_LUNGS)
        return _not_run("inversion", NO_LUNGS), _not_run("rotation", NO_LUNGS), crop, chest
    return (
        Check(
            "inversion",
            "where lungs are found: in the picture or its negative",
            "failed" if is_negative else "passed",
            None,
            "in the picture",
            "black and white seem to be exchanged: lungs were found in the negative only"
            if is_negative
            else None,
        ),
        _at_most(
            "rotation",
            "degrees: line between the lungs, or turned to find them",
            min(angle_deg, 360 - angle_deg),
            asked.rotation_deg,
            "the radiograph lies turned",
        ),
        crop,
        chest,
    )


def lungs_not_looked_for() -> tuple[Check, ...]:
    names: tuple[QualityCheck, ...] = ("inversion", "rotation", "crop", "not_a_chest")
    return tuple(
        _not_run(name, "lungs were not looked for: regions.lungs is none") for name in names
    )


# ---- what the file says of itself


def check_header(
    facts: RadiographFacts, views: Sequence[str], age_years: Ages, texts: int | None
) -> tuple[Check, ...]:
    """Checks of what a file says of itself, against the scope.

    Parameters
    ----------
    views, age_years : the scope; no views = frontal ones, no ages = nothing states them.
    texts : number of burned-in texts found by their outlines; None = not looked for.
    """
    attributes = facts.attributes
    annotation = _check_annotation(attributes.get("BurnedInAnnotation"), texts)
    image_type = _check_image_type(attributes, facts.source.format == "DICOM")
    return (
        _if_readable("view", _check_view(facts.view_position, views or FRONTAL), facts),
        _if_readable("age", _check_age(attributes.get("PatientAge"), age_years), facts),
        _if_readable("burned_in_annotation", annotation, facts),
        _if_readable("image_type", image_type, facts),
    )


# The attributes that a check needs.
NEEDED: dict[QualityCheck, tuple[str, ...]] = {
    "view": ("ViewPosition", "ViewCodeSequence"),
    "age": ("PatientAge",),
    "burned_in_annotation": ("BurnedInAnnotation",),
    "image_type": ("ImageType", "PresentationIntentType", "QualityControlImage"),
}


def _if_readable(name: QualityCheck, check: Check, facts: RadiographFacts) -> Check:
    """The check, not run where an attribute that it needs is present but cannot be read.

    A check that has failed by something else stays failed.
    """
    for keyword in NEEDED[name]:
        problem = facts.not_understood.get(keyword)
        if problem is not None and check.state != "failed":
            reason = message("ingest.not_understood", keyword=keyword, problem=problem)
            return _not_run(name, reason)
    return check


def _check_view(view: str | None, views: Sequence[str]) -> Check:
    if view is None:
        return _not_run("view", "the file states no view")
    reason = None if view in views else f"the view is {view}: out of scope"
    return _stated("view", "the view that the file states", " or ".join(views), reason)


def _check_age(band: str | None, scope: Ages) -> Check:
    """By the band of ten years that is all that is kept of an age ("40-49", "90+")."""
    if band is None or scope is None:
        return _not_run(
            "age", "the file states no age" if band is None else "the model card states no ages"
        )
    first, _, last = band.removesuffix("+").partition("-")
    low, high = int(first), int(last or 150)
    what, limit = (
        "the age that the file states, as a band of ten years",
        f"{scope[0]} to {scope[1]} years",
    )
    if scope[0] <= low and high <= scope[1]:
        return _stated("age", what, limit, None)
    if high < scope[0] or low > scope[1]:
        return _stated(
            "age",
            what,
            limit,
            f"the patient's age, {band} years, is outside the model's population",
        )
    reason = f"of the age only the band {band} years is kept, which lies partly in scope"
    return Check("age", what, "not_run", None, limit, reason)


def _check_annotation(stated: str | None, texts: int | None) -> Check:
    what, limit = "text in the pixels, by (0028,0301) and by outlines", "none"
    value = None if texts is None else float(texts)
    if stated == "YES":
        return Check("burned_in_annotation", what, "failed", value, limit, BURNED_IN)
    if texts:
        reason = f"what looks like text burned into the pixels: {texts} found by outline"
        return Check("burned_in_annotation", what, "failed", value, limit, reason)
    if texts is None and stated is None:
        return _not_run(
            "burned_in_annotation", "the file does not say, and markers were not looked for"
        )
    return Check("burned_in_annotation", what, "passed", value, limit)


def _check_image_type(attributes: Mapping[str, str], is_dicom: bool) -> Check:
    stated = attributes.get("ImageType", "").split("\\")
    reasons = [words for term, words in IMAGE_TYPES.items() if term in stated]
    reasons += [
        words for (keyword, term), words in HEADER_TYPES.items() if attributes.get(keyword) == term
    ]
    if not reasons and "ImageType" not in attributes:
        return _not_run(
            "image_type", "the file states none" if is_dicom else "a plain image states none"
        )
    limit = "original, for presentation, of a patient"
    return _stated(
        "image_type", "what kind of image the file says it is", limit, "; ".join(reasons) or None
    )


# ---- seen before


class Duplicates:
    """Which case came first with the same SOP Instance UID, or with the same pixels.

    Parameters
    ----------
    case_ids : of the whole run, in its order, which decides; not the order in which cases are noted.
    """

    def __init__(self, case_ids: Sequence[str]) -> None:
        self._case_ids = case_ids
        self._place = {case_id: n for n, case_id in enumerate(case_ids)}
        self._first: dict[str, int] = {}

    def note(self, case_id: str, source: SourceFile) -> None:
        """Remember a case. All cases before one must have been noted when its checks are made."""
        place = self._place[case_id]
        for key in filter(None, (source.instance_hmac, source.pixel_sha256)):
            self._first[key] = min(place, self._first.get(key, place))

    def checks(self, case_id: str, source: SourceFile) -> tuple[Check, Check]:
        return (
            self._check("duplicate_uid", case_id, source.instance_hmac, "SOP Instance UID"),
            self._check("duplicate_pixels", case_id, source.pixel_sha256, "pixels"),
        )

    def are_other_than(self, record: CaseRecord) -> bool:
        """Whether the checks of a record would come out otherwise now that more cases have been noted."""
        if record.radiograph is None:
            return False
        return not set(self.checks(record.case_id, record.radiograph.source)) <= set(record.quality)

    def _check(self, name: QualityCheck, case_id: str, key: str | None, of: str) -> Check:
        if key is None:
            return _not_run(name, f"the file has no {of}")
        place = self._place[case_id]
        first = self._first.get(key, place)
        reason = (
            None
            if first >= place
            else f"the same {of} as case {self._case_ids[first]}, earlier in the run"
        )
        return _stated(
            name, f"whether an earlier case of the run has the same {of}", "none", reason
        )


# ---- words


def _at_least(name: QualityCheck, what: str, value: float, limit: float, reason: str) -> Check:
    return _limited(name, what, value, value >= limit, f"at least {limit:g}", reason)


def _at_most(name: QualityCheck, what: str, value: float, limit: float, reason: str) -> Check:
    return _limited(name, what, value, value <= limit, f"at most {limit:g}", reason)


def _limited(
    name: QualityCheck, what: str, value: float, is_met: bool, limit: str, reason: str
) -> Check:
    if is_met:
        return Check(name, what, "passed", value, limit)
    return Check(name, what, "failed", value, limit, f"{reason} ({value:.2f}; expected: {limit})")


def _stated(name: QualityCheck, what: str, limit: str, reason: str | None) -> Check:
    return Check(name, what, "failed" if reason else "passed", None, limit, reason)


def _not_run(name: QualityCheck, reason: Text) -> Check:
    return Check(name, "could not be checked", "not_run", None, None, reason)

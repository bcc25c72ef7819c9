"""Radiograph, its lungs, its header -> checks of the input, bound by key to `QUALITY_CHECKS`.

Limits are those of the config's section `quality`; `benchmarks/quality.py` derives its defaults:
what is planted is found, and at most about one in a hundred real radiographs is beyond a limit
that it should keep. What cannot be checked is `not_run` with its reason. `action` says what the
config requests for a radiograph that failed a check.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cxr_audit.config import Quality
from cxr_audit.records import CaseRecord, Check, Floats, RadiographFacts, SourceFile, StoppedStatus
from cxr_audit.vocabulary import QUALITY_CHECKS, Message, Text, message

# Every n-th row and column is used, so that the shorter side has about as many.
SAMPLE_PX = 256
# A row or column is uniform where its grey values, without 2 % at either end, span less than this
# share of the image's.
EVEN_FRACTION = 0.05
# Black or white: within two and a half grey levels of 255, which lossy compression makes of one.
LEVEL = 2.5 / 255
FRONTAL = ("PA", "AP")
# (0008,0008) Image Type, PS3.3 C.7.6.1.1.2, and what manufacturers write there.
IMAGE_TYPES = {
    "DERIVED": "quality.derived",
    "SECONDARY": "quality.secondary",
    "POST_PROCESSED": "quality.post_processed",
}
HEADER_TYPES = {
    ("PresentationIntentType", "FOR PROCESSING"): "quality.for_processing",
    ("QualityControlImage", "YES"): "quality.phantom",
    ("QualityControlImage", "BOTH"): "quality.phantom",
}

Ages = tuple[int, int] | None


def in_order(checks: Sequence[Check]) -> tuple[Check, ...]:
    """The checks in the order of the vocabulary, whatever the order in which they were made."""
    rank = {key: place for place, key in enumerate(QUALITY_CHECKS.keys())}
    return tuple(sorted(checks, key=lambda check: rank[check.name]))


def action(checks: Sequence[Check], limits: Quality) -> tuple[StoppedStatus, Text, Text] | None:
    """What the config requests for a case whose checks failed.

    Returns
    -------
    Status, reason and hint; None where the case is audited.
    """
    lists: tuple[tuple[StoppedStatus, str, tuple[str, ...]], ...] = (
        ("failed", "fail", limits.fail),
        ("excluded", "exclude", limits.exclude),
    )
    for status, key, names in lists:
        failed = [check for check in checks if check.state == "failed" and check.name in names]
        if failed:
            reason = _together([check.reason for check in failed if check.reason is not None])
            hint = message("quality.hint", checks=[check.name for check in failed], key=key)
            return status, reason, hint
    return None


# ---- the grey values


@dataclass(frozen=True)
class Picture:
    """A radiograph's grey values, and a sample of them.

    Parameters
    ----------
    pixels : float32 (rows, columns) in [0, 1], 0 = black as displayed.
    """

    pixels: Floats

    @cached_property
    def sample(self) -> Floats:
        step = max(1, min(self.pixels.shape) // SAMPLE_PX)
        return self.pixels[::step, ::step]

    @cached_property
    def field(self) -> Floats:
        """The sample without its uniform frame."""
        return exposed_field(self.sample)


def check_picture(pixels: Floats, limits: Quality) -> tuple[Check, ...]:
    """Every check of the stage "picture", also of other packages.

    Parameters
    ----------
    pixels : float32 (rows, columns) in [0, 1], 0 = black as displayed.
    limits : of the config.

    Raises
    ------
    ValueError : the function of another package returns a check of another name.
    """
    picture = Picture(pixels)
    checks: list[Check] = []
    for row in QUALITY_CHECKS:
        if row.stage != "picture":
            continue
        if row.function is None:
            checks.append(PICTURE_CHECKS[row.key](picture, limits))
            continue
        check = row.function(pixels, limits)
        if check.name != row.key:
            raise ValueError(f"{row.package}: the check {row.key!r} returns {check.name!r}")
        checks.append(check)
    return tuple(checks)


def blank(picture: Picture, limits: Quality) -> Check:
    value = span(picture.sample, 1)
    return _at_least("blank", value, limits.blank_range, "quality.blank")


def contrast(picture: Picture, limits: Quality) -> Check:
    value = span(picture.field, 5)
    return _at_least("contrast", value, limits.contrast_range, "quality.low_contrast")


def clipping(picture: Picture, limits: Quality) -> Check:
    value = clipped_fraction(picture.field)
    return _at_most("clipping", value, limits.clipped_fraction, "quality.clipped")


def collimation(picture: Picture, limits: Quality) -> Check:
    value = 1 - picture.field.size / picture.sample.size
    return _at_most("collimation", value, limits.collimated_fraction, "quality.framed")


PICTURE_CHECKS: dict[str, Callable[[Picture, Quality], Check]] = {
    "blank": blank,
    "contrast": contrast,
    "clipping": clipping,
    "collimation": collimation,
}


def span(pixels: Floats, ends_percent: float) -> float:
    """Distance of two percentiles of the grey values, so many per cent from either end."""
    low, high = np.percentile(pixels, [ends_percent, 100 - ends_percent])
    return float(high - low)


def exposed_field(pixels: Floats) -> Floats:
    """The image from its first to its last row and column that are not uniform."""
    limit = EVEN_FRACTION * span(pixels, 1)
    ranges = []
    for lines in (pixels, pixels.T):
        low, high = np.percentile(lines, [2, 98], axis=1)
        uneven = np.flatnonzero(high - low > limit)
        ranges.append(slice(uneven[0], uneven[-1] + 1) if uneven.size else slice(None))
    return pixels[ranges[0], ranges[1]]


def clipped_fraction(field: Floats) -> float:
    """Share of the middle, half its rows and half its columns, that is black or white.

    The middle is body, not air.
    """
    rows, columns = field.shape
    middle = field[rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]
    return float(np.mean((middle <= LEVEL) | (middle >= 1 - LEVEL)))


# ---- what the lung segmenter found


@dataclass(frozen=True, slots=True)
class LungsFound:
    """What the segmenter found.

    Parameters
    ----------
    area_fraction : share of the image that looks like lung.
    edge_fraction : of the image edge that has most lung, the share that lies in it.
    angle_deg : in-plane rotation of the lungs, 0 to 360 degrees; None where no lungs were found, in
        any position.
    is_negative : the lungs were found in the negative only.
    """

    area_fraction: float
    edge_fraction: float
    angle_deg: float | None
    is_negative: bool


def check_lungs(
    limits: Quality,
    area_fraction: float,
    edge_fraction: float,
    angle_deg: float | None,
    is_negative: bool,
) -> tuple[Check, ...]:
    """Every check of the stage "lungs".

    Parameters
    ----------
    limits : of the config.
    area_fraction, edge_fraction, angle_deg, is_negative : see `LungsFound`.
    """
    found = LungsFound(area_fraction, edge_fraction, angle_deg, is_negative)
    return tuple(check(found, limits) for check in LUNG_CHECKS.values())


def lungs_not_looked_for() -> tuple[Check, ...]:
    """The checks of the stage "lungs" where the config requests no segmenter."""
    reason = message("quality.lungs_not_looked_for")
    return tuple(_not_run(name, reason) for name in LUNG_CHECKS)


def inversion(found: LungsFound, limits: Quality) -> Check:
    if found.angle_deg is None:
        return _not_run("inversion", message("quality.no_lungs"))
    reason = message("quality.inverted") if found.is_negative else None
    return _stated("inversion", message("quality.in_the_image"), reason)


def rotation(found: LungsFound, limits: Quality) -> Check:
    if found.angle_deg is None:
        return _not_run("rotation", message("quality.no_lungs"))
    value = min(found.angle_deg, 360 - found.angle_deg)
    return _at_most("rotation", value, limits.rotation_deg, "quality.tilted")


def crop(found: LungsFound, limits: Quality) -> Check:
    if not _is_chest(found, limits):
        return _not_run("crop", message("quality.no_lungs"))
    return _at_most("crop", found.edge_fraction, limits.cropped_fraction, "quality.cropped")


def not_a_chest(found: LungsFound, limits: Quality) -> Check:
    limit = limits.lungs_fraction
    reason = None
    if not _is_chest(found, limits):
        reason = message("quality.no_chest", value=found.area_fraction, limit=limit)
    shown = message("quality.two_lungs", limit=limit)
    return _limited("not_a_chest", found.area_fraction, shown, reason)


def _is_chest(found: LungsFound, limits: Quality) -> bool:
    return found.angle_deg is not None or found.area_fraction >= limits.lungs_fraction


LUNG_CHECKS: dict[str, Callable[[LungsFound, Quality], Check]] = {
    "inversion": inversion,
    "rotation": rotation,
    "crop": crop,
    "not_a_chest": not_a_chest,
}


# ---- what the file states


@dataclass(frozen=True, slots=True)
class Header:
    """What a file states, and the scope.

    Parameters
    ----------
    facts : of the radiograph.
    views : those in scope.
    age_years : first and last year in scope; None where nothing states them.
    num_texts : burned-in texts found by their outlines; None where they were not looked for.
    """

    facts: RadiographFacts
    views: Sequence[str]
    age_years: Ages
    num_texts: int | None


def check_header(
    facts: RadiographFacts, views: Sequence[str], age_years: Ages, texts: int | None
) -> tuple[Check, ...]:
    """Every check of the stage "header".

    Parameters
    ----------
    facts : of the radiograph.
    views : those in scope; none = the frontal ones.
    age_years : first and last year in scope; None where nothing states them.
    texts : burned-in texts found by their outlines; None where they were not looked for.
    """
    header = Header(facts, views or FRONTAL, age_years, texts)
    return tuple(_if_readable(name, check(header), facts) for name, check in HEADER_CHECKS.items())


# The attributes that a check needs.
NEEDED: dict[str, tuple[str, ...]] = {
    "view": ("ViewPosition", "ViewCodeSequence"),
    "age": ("PatientAge",),
    "burned_in_annotation": ("BurnedInAnnotation",),
    "image_type": ("ImageType", "PresentationIntentType", "QualityControlImage"),
}


def _if_readable(name: str, check: Check, facts: RadiographFacts) -> Check:
    """The check, not run where an attribute that it needs is present but cannot be read.

    A check that has failed by something else stays failed.
    """
    for keyword in NEEDED[name]:
        problem = facts.not_understood.get(keyword)
        if problem is not None and check.state != "failed":
            reason = message("ingest.not_understood", keyword=keyword, problem=problem)
            return _not_run(name, reason)
    return check


def view(header: Header) -> Check:
    stated = header.facts.view_position
    if stated is None:
        return _not_run("view", message("quality.no_view"))
    reason = None
    if stated not in header.views:
        reason = message("quality.other_view", view=stated)
    return _stated("view", message("quality.views", views=list(header.views)), reason)


def age(header: Header) -> Check:
    """By the band of ten years that is all that is kept of an age ("40-49", "90+")."""
    band, scope = header.facts.attributes.get("PatientAge"), header.age_years
    if band is None:
        return _not_run("age", message("quality.no_age"))
    if scope is None:
        return _not_run("age", message("quality.no_ages_in_scope"))
    first, _, last = band.removesuffix("+").partition("-")
    low, high = int(first), int(last or 150)
    limit = message("quality.years", first=scope[0], last=scope[1])
    if scope[0] <= low and high <= scope[1]:
        return _stated("age", limit, None)
    if high < scope[0] or low > scope[1]:
        return _stated("age", limit, message("quality.other_age", band=band))
    return _not_run("age", message("quality.age_partly", band=band), limit)


def burned_in_annotation(header: Header) -> Check:
    name, limit = "burned_in_annotation", message("quality.none")
    stated, num = header.facts.attributes.get("BurnedInAnnotation"), header.num_texts
    value = None if num is None else float(num)
    if stated == "YES":
        return Check(name, "failed", value, limit, message("quality.text_stated"))
    if num:
        return Check(name, "failed", value, limit, message("quality.text_found", num=num))
    if num is None and stated is None:
        return _not_run(name, message("quality.text_unknown"))
    return Check(name, "passed", value, limit)


def image_type(header: Header) -> Check:
    attributes = header.facts.attributes
    stated = attributes.get("ImageType", "").split("\\")
    codes = [code for term, code in IMAGE_TYPES.items() if term in stated]
    for (keyword, term), code in HEADER_TYPES.items():
        if attributes.get(keyword) == term:
            codes.append(code)
    if not codes and "ImageType" not in attributes:
        is_dicom = header.facts.source.format == "DICOM"
        code = "quality.no_image_type" if is_dicom else "quality.plain_image"
        return _not_run("image_type", message(code))
    reason = _together([message(code) for code in codes]) if codes else None
    return _stated("image_type", message("quality.original"), reason)


HEADER_CHECKS: dict[str, Callable[[Header], Check]] = {
    "view": view,
    "age": age,
    "burned_in_annotation": burned_in_annotation,
    "image_type": image_type,
}


# ---- the whole run


RUN_CHECKS = {"duplicate_uid": "quality.same_uid", "duplicate_pixels": "quality.same_pixels"}


class Duplicates:
    """Which case came first with the same SOP Instance UID, or with the same pixels.

    Parameters
    ----------
    case_ids : of the whole run, in its order, which decides; not the order in which cases are
    noted.
    """

    def __init__(self, case_ids: Sequence[str]) -> None:
        self._case_ids = case_ids
        self._place = {case_id: place for place, case_id in enumerate(case_ids)}
        self._first: dict[str, int] = {}

    def note(self, case_id: str, source: SourceFile) -> None:
        """Remember a case. All earlier cases must be noted before the checks of a case are made."""
        place = self._place[case_id]
        for key in (source.instance_hmac, source.pixel_sha256):
            if key:
                self._first[key] = min(place, self._first.get(key, place))

    def checks(self, case_id: str, source: SourceFile) -> tuple[Check, Check]:
        """Whether an earlier case has the same UID, and whether one has the same pixels."""
        return (
            self._check("duplicate_uid", case_id, source.instance_hmac),
            self._check("duplicate_pixels", case_id, source.pixel_sha256),
        )

    def are_other_than(self, record: CaseRecord) -> bool:
        """Whether the checks of a record would differ now that more cases have been noted."""
        if record.radiograph is None:
            return False
        checks = self.checks(record.case_id, record.radiograph.source)
        return any(check not in record.quality for check in checks)

    def _check(self, name: str, case_id: str, key: str | None) -> Check:
        if key is None:
            return _not_run(name, message("quality.no_uid"))
        place = self._place[case_id]
        first = self._first.get(key, place)
        reason = None
        if first < place:
            reason = message(RUN_CHECKS[name], case=self._case_ids[first])
        return _stated(name, message("quality.none"), reason)


# ---- what the checks share


def _at_least(name: str, value: float, limit: float, code: str) -> Check:
    reason = None if value >= limit else message(code, value=value, limit=limit)
    return _limited(name, value, message("quality.at_least", limit=limit), reason)


def _at_most(name: str, value: float, limit: float, code: str) -> Check:
    reason = None if value <= limit else message(code, value=value, limit=limit)
    return _limited(name, value, message("quality.at_most", limit=limit), reason)


def _limited(name: str, value: float, limit: Message, reason: Text | None) -> Check:
    return Check(name, "failed" if reason else "passed", value, limit, reason)


def _stated(name: str, limit: Message, reason: Text | None) -> Check:
    return Check(name, "failed" if reason else "passed", None, limit, reason)


def _not_run(name: str, reason: Text, limit: Message | None = None) -> Check:
    return Check(name, "not_run", None, limit, reason)


def _together(reasons: Sequence[Text]) -> Text:
    return reasons[0] if len(reasons) == 1 else message("quality.several", reasons=list(reasons))

"""Checks of what a file states, bound by key to the rows of the stage "header"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cxr_audit.quality.results import by_statement, not_run, together
from cxr_audit.records import Check, RadiographFacts
from cxr_audit.vocabulary import message

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
            return not_run(name, reason)
    return check


def view(header: Header) -> Check:
    stated = header.facts.view_position
    if stated is None:
        return not_run("view", message("quality.no_view"))
    reason = None
    if stated not in header.views:
        reason = message("quality.other_view", view=stated)
    return by_statement("view", message("quality.views", views=list(header.views)), reason)


def age(header: Header) -> Check:
    """By the band of ten years that is all that is kept of an age ("40-49", "90+")."""
    band, scope = header.facts.attributes.get("PatientAge"), header.age_years
    if band is None:
        return not_run("age", message("quality.no_age"))
    if scope is None:
        return not_run("age", message("quality.no_ages_in_scope"))
    first, _, last = band.removesuffix("+").partition("-")
    low, high = int(first), int(last or 150)
    limit = message("quality.years", first=scope[0], last=scope[1])
    if scope[0] <= low and high <= scope[1]:
        return by_statement("age", limit, None)
    if high < scope[0] or low > scope[1]:
        return by_statement("age", limit, message("quality.other_age", band=band))
    return not_run("age", message("quality.age_partly", band=band), limit)


def burned_in_annotation(header: Header) -> Check:
    name, limit = "burned_in_annotation", message("quality.none")
    stated, num = header.facts.attributes.get("BurnedInAnnotation"), header.num_texts
    value = None if num is None else float(num)
    if stated == "YES":
        return Check(name, "failed", value, limit, message("quality.text_stated"))
    if num:
        return Check(name, "failed", value, limit, message("quality.text_found", num=num))
    if num is None and stated is None:
        return not_run(name, message("quality.text_unknown"))
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
        return not_run("image_type", message(code))
    reason = together([message(code) for code in codes]) if codes else None
    return by_statement("image_type", message("quality.original"), reason)


HEADER_CHECKS: dict[str, Callable[[Header], Check]] = {
    "view": view,
    "age": age,
    "burned_in_annotation": burned_in_annotation,
    "image_type": image_type,
}

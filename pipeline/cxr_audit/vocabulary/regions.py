"""Kinds of regions in which evidence may lie."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cxr_audit.vocabulary.registry import Registry, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class RegionKind(Row):
    """A kind of region.

    Parameters
    ----------
    is_of_case : a case has one region of this kind at most, and its metrics are columns.
    precedence : who owns a pixel that lies in several regions in the logit budget: the lowest
        number; None = the kind takes no part in it.
    is_listed : page 2 of a case PDF has a row for it.
    is_outlined : the regions picture draws its outline.
    absent : why there is none, where nothing else says it: code of a message.
    function : finds it on a radiograph; only in rows of other packages.
    """

    is_of_case: bool = False
    precedence: int | None = None
    is_listed: bool = True
    is_outlined: bool = False
    absent: str = "regions.not_looked_for"
    function: Callable[..., Any] | None = None


REGION_KINDS = Registry(
    "kind of region",
    (
        RegionKind(
            key="lungs",
            label="the lungs",
            definition="Both lungs, as the segmenter or a reader outlines them.",
            is_of_case=True,
            is_outlined=True,
            absent="regions.lungs_not_looked_for",
        ),
        RegionKind(
            key="lung",
            label="one lung",
            definition="The right or the left lung of the patient.",
            is_listed=False,
        ),
        RegionKind(
            key="zone",
            label="a lung zone",
            definition="A third of one lung by height.",
            precedence=1,
        ),
        RegionKind(
            key="mediastinum",
            label="the mediastinum",
            definition="What lies between the two lungs, with the heart.",
            precedence=2,
            is_outlined=True,
        ),
        RegionKind(
            key="outside_body",
            label="outside the body",
            definition="Dark, joined to the image's edge, and not inside the hull of the lungs.",
            precedence=3,
        ),
        RegionKind(
            key="marker",
            label="a marker",
            definition="A letter, text or another foreign object with sharp edges.",
            precedence=0,
            is_outlined=True,
        ),
        RegionKind(
            key="border",
            label="the image border",
            definition="The outer 5 % ring of the radiograph.",
            precedence=4,
        ),
        RegionKind(
            key="corner",
            label="a corner",
            definition="15 % of the height by 15 % of the width at a corner of the radiograph.",
            is_listed=False,
        ),
        RegionKind(
            key="annotation",
            label="the annotation",
            definition="What the manifest's boxes or mask mark on the radiograph.",
            is_of_case=True,
            is_outlined=True,
            absent="regions.nothing_annotated",
        ),
        RegionKind(
            key="elsewhere",
            label="outside all named regions",
            definition="What lies in none of the other regions.",
        ),
    ),
)


def kinds_of_cases() -> tuple[RegionKind, ...]:
    """Kinds of which a case has one region at most."""
    return tuple(kind for kind in REGION_KINDS if kind.is_of_case)


def by_precedence() -> tuple[str, ...]:
    """Kinds that take part in the logit budget, the owner of a shared pixel first."""
    ranked = [kind for kind in REGION_KINDS if kind.precedence is not None]
    return tuple(kind.key for kind in sorted(ranked, key=lambda kind: kind.precedence or 0))

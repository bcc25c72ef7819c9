"""Checks of what the lung segmenter found, bound by key to the rows of the stage "lungs"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from cxr_audit.config import Quality
from cxr_audit.quality.results import at_most, by_statement, limited, not_run
from cxr_audit.records import Check
from cxr_audit.vocabulary import message


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
    return tuple(not_run(name, reason) for name in LUNG_CHECKS)


def inversion(found: LungsFound, limits: Quality) -> Check:
    if found.angle_deg is None:
        return not_run("inversion", message("quality.no_lungs"))
    reason = message("quality.inverted") if found.is_negative else None
    return by_statement("inversion", message("quality.in_the_image"), reason)


def rotation(found: LungsFound, limits: Quality) -> Check:
    if found.angle_deg is None:
        return not_run("rotation", message("quality.no_lungs"))
    value = min(found.angle_deg, 360 - found.angle_deg)
    return at_most("rotation", value, limits.rotation_deg, "quality.tilted")


def crop(found: LungsFound, limits: Quality) -> Check:
    if not _is_chest(found, limits):
        return not_run("crop", message("quality.no_lungs"))
    return at_most("crop", found.edge_fraction, limits.cropped_fraction, "quality.cropped")


def not_a_chest(found: LungsFound, limits: Quality) -> Check:
    limit = limits.lungs_fraction
    reason = None
    if not _is_chest(found, limits):
        reason = message("quality.no_chest", value=found.area_fraction, limit=limit)
    shown = message("quality.two_lungs", limit=limit)
    return limited("not_a_chest", found.area_fraction, shown, reason)


def _is_chest(found: LungsFound, limits: Quality) -> bool:
    return found.angle_deg is not None or found.area_fraction >= limits.lungs_fraction


LUNG_CHECKS: dict[str, Callable[[LungsFound, Quality], Check]] = {
    "inversion": inversion,
    "rotation": rotation,
    "crop": crop,
    "not_a_chest": not_a_chest,
}

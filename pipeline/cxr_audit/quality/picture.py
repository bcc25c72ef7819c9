"""Checks of the grey values, bound by key to the rows of the stage "picture"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cxr_audit.config import Quality
from cxr_audit.quality.results import at_least, at_most
from cxr_audit.records import Check, Floats
from cxr_audit.vocabulary import QUALITY_CHECKS

# Every n-th row and column is used, so that the shorter side has about as many.
SAMPLE_PX = 256
# A row or column is uniform where its grey values, without 2 % at either end, span less than this
# share of the image's.
EVEN_FRACTION = 0.05
# Black or white: within two and a half grey levels of 255, which lossy compression makes of one.
LEVEL = 2.5 / 255


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
    return at_least("blank", value, limits.blank_range, "quality.blank")


def contrast(picture: Picture, limits: Quality) -> Check:
    value = span(picture.field, 5)
    return at_least("contrast", value, limits.contrast_range, "quality.low_contrast")


def clipping(picture: Picture, limits: Quality) -> Check:
    value = clipped_fraction(picture.field)
    return at_most("clipping", value, limits.clipped_fraction, "quality.clipped")


def collimation(picture: Picture, limits: Quality) -> Check:
    value = 1 - picture.field.size / picture.sample.size
    return at_most("collimation", value, limits.collimated_fraction, "quality.framed")


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

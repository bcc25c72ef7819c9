"""The resizing of a config, with every default of its preset filled in."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_audit.config import Preprocess
from cxr_audit.vocabulary.presets import PLAIN, PRESETS, Convention, Interpolation, Preset, Rounding


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a radiograph is resized and rounded.

    Parameters
    ----------
    numerics : whose arithmetic; "area" is ours: an area average when shrinking, else bilinear.
    interpolation, antialias : what is computed.
    rounding : where grey values are rounded to 8 bits.
    convention : how whole pixels are chosen.
    pad_value : grey value in [0, 1] where there is no radiograph.
    frames_first : whole pixels of the radiograph are cropped or padded, then resized to the whole
        input; else the radiograph is resized, then whole pixels of the input cropped or padded.
    """

    numerics: str = "area"
    interpolation: Interpolation = "area"
    antialias: bool = True
    rounding: Rounding = "none"
    convention: Convention = "own"
    pad_value: float = 0.0
    frames_first: bool = False

    @property
    def takes_first_pixel(self) -> bool:
        """Nearest neighbour from the output pixel's first edge, not from its centre."""
        return self.interpolation == "nearest" and self.numerics in ("opencv", "monai")


DEFAULT = Recipe()


def recipe_of(settings: Preprocess) -> Recipe:
    """What a config asks for; the config refused what its preset cannot do."""
    pad_value = settings.pad_value / 255
    frames_first = settings.resize in ("crop_resize", "pad_resize")
    choices = (settings.preset, settings.interpolation, settings.antialias)
    if choices == (None, None, None):
        return Recipe(
            rounding=settings.rounding or "none", pad_value=pad_value, frames_first=frames_first
        )
    row: Preset = PLAIN if settings.preset is None else PRESETS[settings.preset]
    interpolation = settings.interpolation or row.interpolation
    antialias = settings.antialias
    if antialias is None:
        # Without a preset nobody's default has to be met: the careful one is taken.
        possible = row.antialias[interpolation]
        antialias = possible[0] if settings.preset is not None else possible[-1]
    return Recipe(
        row.numerics,
        interpolation,
        antialias,
        settings.rounding or row.rounding,
        row.convention,
        pad_value,
        frames_first,
    )

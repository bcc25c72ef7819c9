"""Radiograph -> ModelInput, and its exact undo (`restore`) beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from cxr_audit.config import Preprocess
from cxr_audit.preprocess.contrast import CLAHE_TILES, adjust, equalise
from cxr_audit.preprocess.geometry import (
    box_share,
    cell_edges,
    cell_shares,
    half_cell,
    place,
    region_shares,
    restore,
    sampled_from_edges,
    seen,
)
from cxr_audit.preprocess.presets import Recipe, recipe_of
from cxr_audit.preprocess.resize import resample
from cxr_audit.preprocess.scaling import SCALINGS, moments, scaled, scaling_of, standardised
from cxr_audit.preprocess.variation import (
    FEWEST,
    SHIFTS,
    as_usual,
    exposures,
    grey_of,
    usual,
    with_grey,
)
from cxr_audit.records import Decision, Floats, ModelInput, Placement, Radiograph
from cxr_audit.vocabulary import Message, message
from cxr_audit.vocabulary.presets import PRESETS

__all__ = [
    "CLAHE_TILES",
    "FEWEST",
    "SCALINGS",
    "SHIFTS",
    "Recipe",
    "as_usual",
    "box_share",
    "cell_edges",
    "cell_shares",
    "equalise",
    "exposures",
    "grey_of",
    "half_cell",
    "place",
    "preprocess",
    "recipe_of",
    "region_shares",
    "resample",
    "restore",
    "scaling_of",
    "seen",
    "usual",
    "with_grey",
]


def preprocess(
    radiograph: Radiograph, settings: Preprocess
) -> tuple[ModelInput, Floats, tuple[Decision, ...]]:
    """What the classifier is asked.

    Parameters
    ----------
    radiograph : as displayed.
    settings : as the classifier was trained.

    Returns
    -------
    The model input, the grey image that the model sees before scaling, (rows, columns) in [0, 1],
    and what was done.
    """
    recipe = recipe_of(settings)
    rows, columns = radiograph.pixels.shape
    placement = place(
        rows,
        columns,
        settings.rows,
        settings.columns,
        settings.resize,
        recipe.convention,
        settings.short_side,
    )
    grey, steps = _grey(radiograph.pixels, placement, recipe, settings)
    if recipe.takes_first_pixel:
        placement = sampled_from_edges(placement)
    by = moments(grey, settings)
    tensor = scaled(standardised(grey, by), settings)
    model_input = ModelInput(tensor, placement, by)
    decisions = (
        *(Decision(message("preprocess.contrast"), step, CONFIG) for step in steps),
        *_resizing(placement, recipe, settings),
        *_value_range(settings),
        *_model(settings),
    )
    return model_input, np.clip(grey, 0, 1), decisions


CONFIG = message("preprocess.why.config")


def _grey(
    pixels: Floats, placement: Placement, recipe: Recipe, settings: Preprocess
) -> tuple[Floats, list[Message]]:
    """The grey values on the model-input grid, and the steps that changed them."""
    if settings.contrast_at == "after":
        grey, steps = adjust(resample(pixels, placement, recipe), settings)
        return grey, [message("preprocess.contrast.after", step=step) for step in steps]
    if recipe.rounding in ("before", "both"):
        pixels = np.rint(pixels * np.float32(255)) / np.float32(255)
    pixels, steps = adjust(pixels, settings)
    if steps and recipe.rounding == "before":
        recipe = replace(recipe, rounding="none")  # what came as 8 bits is none any more
    named = [message("preprocess.contrast.before", step=step) for step in steps]
    return resample(pixels, placement, recipe), named


def _resizing(placement: Placement, recipe: Recipe, settings: Preprocess) -> tuple[Decision, ...]:
    """How the radiograph was resized and rounded."""
    sizes = {
        "rows": placement.radiograph_rows,
        "columns": placement.radiograph_columns,
        "input_rows": placement.input_rows,
        "input_columns": placement.input_columns,
    }
    if settings.short_side is None:
        how = message(f"preprocess.resize.{settings.resize}", **sizes)
    else:
        how = message("preprocess.resize.short_side", short_side=settings.short_side, **sizes)
    decisions = [Decision(message("preprocess.resize"), how, CONFIG)]
    if settings.resize != "stretch":
        value = message("preprocess.padding.value", value=settings.pad_value)
        decisions.append(Decision(message("preprocess.padding"), value, CONFIG))
    if settings.preset is None:
        library = message("preprocess.why.default")
    else:
        label = PRESETS[settings.preset].label
        library = message("preprocess.why.preset", preset=settings.preset, library=label)
    is_set = settings.interpolation is not None or settings.antialias is not None
    decisions.append(
        Decision(
            message("preprocess.interpolation"),
            _interpolation(recipe),
            CONFIG if is_set else library,
        )
    )
    decisions.append(
        Decision(
            message("preprocess.rounding"),
            message(f"preprocess.rounding.{recipe.rounding}"),
            library if settings.rounding is None else CONFIG,
        )
    )
    return tuple(decisions)


def _interpolation(recipe: Recipe) -> Message:
    if recipe.numerics == "area":
        return message("preprocess.interpolation.area")
    kind = "antialiased" if recipe.antialias else "aliased"
    return message(f"preprocess.interpolation.{kind}", interpolation=recipe.interpolation)


def _value_range(settings: Preprocess) -> list[Decision]:
    """How grey values became the model's."""
    decisions = []
    if settings.standardise is not None:
        how = message(f"preprocess.standardise.{settings.standardise}")
        decisions.append(Decision(message("preprocess.standardise"), how, CONFIG))
    if settings.scaling is not None:
        how = message(
            "preprocess.scaling.named", scaling=settings.scaling, channels=settings.channels
        )
    else:
        how = message(
            "preprocess.scaling.explicit",
            scale=settings.scale,
            offset=settings.offset,
            channels=settings.channels,
        )
    source = settings.scaling_source or CONFIG
    decisions.append(Decision(message("preprocess.scaling"), how, source))
    return decisions


def _model(settings: Preprocess) -> list[Decision]:
    """The model that prepares the input further, where the classifier runs."""
    if settings.model is None:
        return []
    how = message("preprocess.model.named", name=Path(settings.model).name)
    return [Decision(message("preprocess.model"), how, CONFIG)]

"""Radiograph -> ModelInput, and its exact undo (`restore`) beside it."""

from __future__ import annotations

import numpy as np

from cxr_audit.config import Preprocess
from cxr_audit.preprocess.contrast import CLAHE_TILES, equalise
from cxr_audit.preprocess.geometry import (
    box_share,
    cell_edges,
    cell_shares,
    half_cell,
    place,
    region_shares,
    restore,
    seen,
)
from cxr_audit.preprocess.resize import resample
from cxr_audit.preprocess.scaling import SCALINGS, scaling_of
from cxr_audit.preprocess.variation import FEWEST, SHIFTS, as_usual, exposures, usual
from cxr_audit.records import Decision, Floats, ModelInput, Radiograph

__all__ = [
    "FEWEST",
    "SCALINGS",
    "SHIFTS",
    "as_usual",
    "box_share",
    "cell_edges",
    "cell_shares",
    "equalise",
    "exposures",
    "half_cell",
    "place",
    "preprocess",
    "region_shares",
    "resample",
    "restore",
    "scaling_of",
    "seen",
    "usual",
]


def preprocess(
    radiograph: Radiograph, settings: Preprocess
) -> tuple[ModelInput, Floats, tuple[Decision, ...]]:
    """The model input, the grey image the model sees before scaling (rows, columns) in [0, 1], and what was done."""
    pixels = radiograph.pixels
    decisions = []
    if settings.clahe is not None:
        pixels = equalise(pixels, settings.clahe)
        tiles = f"{CLAHE_TILES}x{CLAHE_TILES} tiles, 8-bit grey values"
        decisions.append(
            Decision("Contrast", f"CLAHE, clip limit {settings.clahe:g}, {tiles}", "config")
        )
    rows, columns = pixels.shape
    placement = place(rows, columns, settings.rows, settings.columns, settings.resize)
    grey = resample(pixels, placement)
    scale, offset = scaling_of(settings)
    tensor = np.repeat(grey[..., None], settings.channels, axis=2) * scale + offset
    named = settings.scaling or f"pixel * {settings.scale:g} + {settings.offset:g}"
    decisions += [
        Decision(
            "Resize",
            f"{settings.resize}, {placement.radiograph_rows}x{placement.radiograph_columns} to "
            f"{settings.rows}x{settings.columns} (rows x columns)",
            "config",
        ),
        Decision(
            "Value range",
            f"{named}, channels {settings.channels}",
            settings.scaling_source or "config",
        ),
    ]
    return ModelInput(tensor.astype(np.float32), placement), grey, tuple(decisions)

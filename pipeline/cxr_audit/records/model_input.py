"""What the classifier is given, and where the radiograph lies in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from cxr_audit.records.base import Floats, read_only, require
from cxr_audit.vocabulary import Text

Resize = Literal["stretch", "letterbox", "center_crop", "crop_resize", "pad_resize"]


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the radiograph lies in the model input. With half-pixel centres, for rows (columns alike):

        input = (radiograph + 0.5) * scale + offset - 0.5

    `offset_*` in model-input pixels: positive = padding before, negative = cropped; whole numbers
    unless the radiograph was cropped or padded before it was resized.
    """

    radiograph_rows: int
    radiograph_columns: int
    input_rows: int
    input_columns: int
    scale_rows: float
    scale_columns: float
    offset_rows: float = 0.0
    offset_columns: float = 0.0

    def __post_init__(self) -> None:
        sizes = (self.radiograph_rows, self.radiograph_columns, self.input_rows, self.input_columns)
        require(min(sizes) > 0, f"sizes must be positive, received {sizes}")
        require(self.scale_rows > 0 and self.scale_columns > 0, "scales must be positive")


TOUCHES = 1e-3  # share of a pixel of the model input from which a part is in it; less is rounding


@dataclass(frozen=True, slots=True)
class TabularValue:
    """What a further input of the model was given for a case. A number may identify a person and is
    not recorded.

    Parameters
    ----------
    name : of the model's input.
    origin : where the value comes from.
    category : the value, where the config lists it as a category.
    contribution : the explained logit minus that with the reference value in its place; None before
        the classifier was asked.
    """

    name: str
    origin: Text
    category: str | None = None
    contribution: float | None = None


@dataclass(frozen=True, slots=True)
class ModelInput:
    """What the classifier is given.

    Parameters
    ----------
    tensor : float32 (rows, columns, channels), in the range that the model was trained on.
    placement : where the radiograph lies in it.
    standardised_by : mean and divisor of per-image standardisation, before the value range.
    further : the numbers of the model's further inputs, one after the other.
    """

    tensor: Floats
    placement: Placement
    standardised_by: tuple[float, float] | None = None
    further: tuple[float, ...] = ()

    def packed(self, tensor: Floats | None = None) -> Floats:
        """The tensor, or a changed one, with each further number as a channel that is even."""
        tensor = self.tensor if tensor is None else tensor
        if not self.further:
            return tensor
        numbers = np.asarray(self.further, np.float32)
        planes = np.broadcast_to(numbers, (*tensor.shape[:2], len(numbers)))
        return np.concatenate([tensor, planes], -1)

    def __post_init__(self) -> None:
        read_only(self.tensor, 3, "tensor")
        require(bool(np.isfinite(self.tensor).all()), "the model input is not finite")

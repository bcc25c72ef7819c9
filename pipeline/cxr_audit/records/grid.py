"""Where the cells of a map lie in the model input."""

from __future__ import annotations

from dataclasses import dataclass

from cxr_audit.records.base import require


@dataclass(frozen=True, slots=True)
class GridAxis:
    """Cells along the rows or the columns of the model input, whose pixel i covers [i, i + 1).

    Parameters
    ----------
    jump : input pixels from the centre of a cell to the next one's, positive.
    offset : cell i is centred at `offset + (i + 0.5) * jump`, the centre of its receptive field.
    low, high : what the grid sees at all. A cell owns the pixels that are nearer to its centre than
        to another cell's.
    field_px : length of the receptive field; None = the whole image.
    """

    jump: float
    offset: float
    low: float
    high: float
    field_px: int | None = None

    def __post_init__(self) -> None:
        require(self.jump > 0, f"the distance of cells must be positive, received {self.jump}")
        require(self.low < self.high, f"a grid sees pixels, received [{self.low}, {self.high})")


@dataclass(frozen=True, slots=True)
class GridGeometry:
    """Both axes of a grid."""

    rows: GridAxis
    columns: GridAxis

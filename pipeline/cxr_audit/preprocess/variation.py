"""The model input as it would be of a radiograph that is darker, brighter, or as usual in a part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from cxr_audit.config import Preprocess
from cxr_audit.preprocess.geometry import box_share, cell_shares, region_shares
from cxr_audit.preprocess.scaling import scaling_of
from cxr_audit.records import TOUCHES, Floats, ModelInput

SHIFTS = {"darker": -0.1, "brighter": 0.1}  # of the grey range
FEWEST = 8  # radiographs whose mean is what is usual


def exposures(model_input: ModelInput, settings: Preprocess) -> dict[str, Floats]:
    """The model input as of the radiograph displayed darker and brighter by `SHIFTS`, cut off at black and white;
    padding stays. `settings` are those that it was made with."""
    tensor, placement = model_input.tensor, model_input.placement
    scale, offset = scaling_of(settings)
    rows, columns, _ = tensor.shape
    on_radiograph, *_ = cell_shares(placement, rows, columns)
    grey = (tensor - offset) / scale
    return {
        name: (
            tensor + on_radiograph[..., None] * scale * (np.clip(grey + by, 0, 1) - grey)
        ).astype(np.float32)
        for name, by in SHIFTS.items()
    }


def usual(model_inputs: Sequence[ModelInput]) -> Floats | None:
    """The mean of some model inputs of a run (rows, columns, channels), each pixel of those that have radiograph there;
    padding where none has. None of fewer than `FEWEST`."""
    if len(model_inputs) < FEWEST:
        return None
    tensors = np.stack([one.tensor for one in model_inputs]).astype(np.float64)
    _, rows, columns, _ = tensors.shape
    shares = [cell_shares(one.placement, rows, columns)[0] for one in model_inputs]
    weights = np.stack(shares)[..., None].astype(np.float64)
    weights += ~(weights > 0).any(0)
    return np.asarray((tensors * weights).sum(0) / weights.sum(0), np.float32)


def as_usual(
    model_input: ModelInput,
    usual: Floats,
    markers: Mapping[str, npt.NDArray[np.bool_]],
    border: float,
) -> dict[str, Floats]:
    """The model input with each marker and the border, by name, replaced by what is `usual` there; padding stays.

    Parameters
    ----------
    markers : name -> mask over the radiograph, bool, on any grid.
    border : width of the outer ring, in shares of the radiograph's sides.

    What lies in a pixel that touches the part is replaced whole. A part that the model does not see has no entry.
    """
    tensor, placement = model_input.tensor, model_input.placement
    rows, columns, _ = tensor.shape
    on_radiograph, *_ = cell_shares(placement, rows, columns)
    height, width = placement.radiograph_rows, placement.radiograph_columns
    inner = height * border, width * border, height * (1 - border), width * (1 - border)
    interior = box_share(placement, rows, columns, inner)
    shares = {
        name: region_shares(placement, rows, columns, mask[None])[0]
        for name, mask in markers.items()
    }
    parts = {
        name: share > TOUCHES
        for name, share in (shares | {"border": on_radiograph - interior}).items()
    }
    return {
        name: np.where(part[..., None], usual, tensor) for name, part in parts.items() if part.any()
    }

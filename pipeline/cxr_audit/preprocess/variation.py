"""The model input of a radiograph that is darker, brighter, or as usual in a part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from cxr_audit.config import Preprocess
from cxr_audit.preprocess.contrast import normalised_again
from cxr_audit.preprocess.geometry import box_share, cell_shares, region_shares
from cxr_audit.preprocess.scaling import moments, scaled, scaling_of, standardised
from cxr_audit.records import MARKERS, TOUCHES, Floats, ModelInput

SHIFTS = {"darker": -0.1, "brighter": 0.1}  # of the grey range
FEWEST = 8  # radiographs whose mean is what is usual


def exposures(model_input: ModelInput, settings: Preprocess) -> dict[str, Floats]:
    """The model input as of the radiograph displayed darker and brighter.

    Parameters
    ----------
    model_input : of the radiograph as it is.
    settings : those that it was made with.

    Returns
    -------
    By the names of `SHIFTS`: the grey values shifted by so much, cut off at black and white, and
    normalised again where the config normalises each image. Padding stays.
    """
    tensor, placement = model_input.tensor, model_input.placement
    scale, offset = scaling_of(settings)
    rows, columns, _ = tensor.shape
    on_radiograph, *_ = cell_shares(placement, rows, columns)
    if _normalises(settings):
        return _normalised_exposures(model_input, settings, on_radiograph)
    grey = (tensor - offset) / scale
    shifted = {}
    for name, shift in SHIFTS.items():
        change = scale * (np.clip(grey + shift, 0, 1) - grey)
        shifted[name] = (tensor + on_radiograph[..., None] * change).astype(np.float32)
    return shifted


def _normalises(settings: Preprocess) -> bool:
    """Whether each image is normalised, so that a change of brightness is undone or reduced."""
    steps = (settings.standardise, settings.percentiles, settings.equalise)
    return settings.min_max or any(step is not None for step in steps)


def _normalised_exposures(
    model_input: ModelInput, settings: Preprocess, on_radiograph: Floats
) -> dict[str, Floats]:
    scale, offset = scaling_of(settings)
    value = ((model_input.tensor - offset) / scale)[..., 0]
    mean, deviation = model_input.standardised_by or (0.0, 1.0)
    grey = np.asarray(value * deviation + mean, np.float32)
    shifted = {}
    inside = on_radiograph > TOUCHES
    for name, shift in SHIFTS.items():
        moved = grey.copy()
        moved[inside] = np.clip(grey[inside] + np.float32(shift), 0, 1)
        normal = normalised_again(moved[inside][None], settings)[0]
        moved[inside] = normal
        shifted[name] = scaled(standardised(moved, moments(moved, settings)), settings)
    return shifted


def grey_of(model_input: ModelInput, settings: Preprocess) -> tuple[Floats, tuple[slice, slice]]:
    """The radiograph in a model input as grey values, without padding.

    Returns
    -------
    float32 (rows, columns), mostly in [0, 1], and where it lies in the model input.
    """
    scale, offset = scaling_of(settings)
    value = ((model_input.tensor - offset) / scale)[..., 0]
    mean, deviation = model_input.standardised_by or (0.0, 1.0)
    rows, columns, _ = model_input.tensor.shape
    on_radiograph, *_ = cell_shares(model_input.placement, rows, columns)
    inside = on_radiograph > TOUCHES
    along_rows, along_columns = np.flatnonzero(inside.any(1)), np.flatnonzero(inside.any(0))
    where = (
        slice(int(along_rows[0]), int(along_rows[-1]) + 1),
        slice(int(along_columns[0]), int(along_columns[-1]) + 1),
    )
    return np.asarray((value * deviation + mean)[where], np.float32), where


def with_grey(
    model_input: ModelInput, grey: Floats, where: tuple[slice, slice], settings: Preprocess
) -> Floats:
    """The model input with other grey values in place of the radiograph; padding stays.

    They are normalised again where the config normalises each image.

    Parameters
    ----------
    grey, where : as `grey_of` gives them.
    """
    scale, offset = scaling_of(settings)
    mean, deviation = model_input.standardised_by or (0.0, 1.0)
    value = ((model_input.tensor - offset) / scale)[..., 0]
    whole: Floats = np.asarray(value * deviation + mean, np.float32)
    if _normalises(settings):
        whole[where] = normalised_again(grey.reshape(1, -1), settings).reshape(grey.shape)
        return scaled(standardised(whole, moments(whole, settings)), settings)
    whole[where] = grey
    return scaled(whole, settings)


def usual(model_inputs: Sequence[ModelInput]) -> Floats | None:
    """The mean model input (rows, columns, channels) of a run.

    Each pixel is the mean over the inputs that have radiograph there; padding where none has. None
    of fewer than `FEWEST` inputs.
    """
    if len(model_inputs) < FEWEST:
        return None
    tensors = np.stack([model_input.tensor for model_input in model_inputs]).astype(np.float64)
    _, rows, columns, _ = tensors.shape
    shares = [cell_shares(seen.placement, rows, columns)[0] for seen in model_inputs]
    weights = np.stack(shares)[..., None].astype(np.float64)
    weights += ~(weights > 0).any(0)
    return np.asarray((tensors * weights).sum(0) / weights.sum(0), np.float32)


def as_usual(
    model_input: ModelInput,
    usual: Floats,
    markers: Mapping[str, npt.NDArray[np.bool_]],
    border: float,
    has_each_marker: bool = True,
) -> dict[str, Floats]:
    """The model input with the markers, and the border, replaced by the run's mean there.

    Parameters
    ----------
    model_input : of the radiograph as it is.
    usual : float32 (rows, columns, channels), from `usual`.
    markers : name -> mask over the radiograph, bool, on any grid.
    border : width of the outer ring, in shares of the radiograph's sides.
    has_each_marker : each marker on its own; False = several are replaced at once, as `MARKERS`.

    Returns
    -------
    By name of the part. Padding stays. What lies in a pixel that touches the part is replaced
    whole. A part that the model does not see has no entry.
    """
    tensor, placement = model_input.tensor, model_input.placement
    rows, columns, _ = tensor.shape
    on_radiograph, *_ = cell_shares(placement, rows, columns)
    height, width = placement.radiograph_rows, placement.radiograph_columns
    inner = height * border, width * border, height * (1 - border), width * (1 - border)
    if len(markers) > 1 and not has_each_marker:
        markers = {MARKERS: np.logical_or.reduce(list(markers.values()))}
    shares = {
        name: region_shares(placement, rows, columns, mask[None])[0]
        for name, mask in markers.items()
    }
    shares["border"] = on_radiograph - box_share(placement, rows, columns, inner)
    replaced = {}
    for name, share in shares.items():
        part = share > TOUCHES
        if part.any():
            replaced[name] = np.where(part[..., None], usual, tensor)
    return replaced

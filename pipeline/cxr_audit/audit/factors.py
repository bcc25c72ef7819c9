"""A case, the usual ranges of a run -> its factors measured, and the model inputs that ask for them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from cxr_audit import factors
from cxr_audit import preprocess as geometry
from cxr_audit.audit.prepare import Prepared
from cxr_audit.config import Preprocess
from cxr_audit.records import TOUCHES, Floats, ModelInput
from cxr_audit.vocabulary.factors import moved_factors

if TYPE_CHECKING:
    from cxr_audit.regions import Lungs

FEWEST = 8  # cases whose values have a usual range
USUAL = (0.05, 0.95)
"""Quantiles of the sample that a factor is moved to: values that were seen."""

Ranges = dict[str, tuple[float, float]]


Change = tuple[str, int]
"""A factor and the end of its usual range, LOW or HIGH; or a band and BAND."""
LOW, HIGH, BAND = 0, 1, 2


def measured(case: Prepared, lungs: Lungs | None) -> dict[str, float]:
    """All factors of a case, those of its lungs too."""
    values = dict(case.measured)
    if lungs is None or lungs.reason is not None or case.model_input is None:
        return values
    placement = case.model_input.placement
    width = placement.radiograph_columns * placement.scale_columns
    aspect = width / (placement.radiograph_rows * placement.scale_rows)
    found = factors.LungGeometry.of(lungs.right, lungs.left, aspect)
    return values | (factors.measure_lungs(found) if found else {})


def usual_ranges(values: Sequence[Mapping[str, float]]) -> Ranges:
    """The usual range of each factor that is moved, over the cases of a sample.

    A factor that is the same in all of them has none.
    """
    ranges: Ranges = {}
    for row in moved_factors():
        known = [of_case[row.key] for of_case in values if row.key in of_case]
        if len(known) < FEWEST:
            continue
        low, high = (float(end) for end in np.quantile(known, USUAL))
        if high > low:
            ranges[row.key] = low, high
    return ranges


def changed_inputs(
    model_input: ModelInput,
    values: Mapping[str, float],
    ranges: Ranges,
    mean_input: Floats | None,
    settings: Preprocess,
) -> Iterator[tuple[Change, Floats]]:
    """The inputs that ask a case for its factors.

    A factor that lies beyond an end of its usual range already, or cannot be moved there, has no
    input for that end.

    Parameters
    ----------
    values : of the case, from `measured`.
    ranges : of the run.
    mean_input : what bands are replaced with; None = they are not.
    """
    grey, where = geometry.grey_of(model_input, settings)
    placement = model_input.placement
    radiograph = placement.radiograph_rows, placement.radiograph_columns
    for key, ends in ranges.items():
        if key not in values:
            continue
        for end, target in enumerate(ends):
            is_beyond = values[key] <= target if end == LOW else values[key] >= target
            if is_beyond:
                continue
            changed = factors.move(key, grey, values[key], target, radiograph)
            if changed is not None:
                tensor = geometry.with_grey(model_input, changed, where, settings)
                yield (key, end), tensor
    if mean_input is not None:
        for name, tensor in _replaced_bands(model_input, mean_input).items():
            yield (name, BAND), tensor


def read_changes(
    changes: Sequence[Change], logits: Sequence[float], before: float, keys: Iterable[str]
) -> tuple[dict[str, tuple[float, float]], dict[str, float]]:
    """The change of the logit at both ends of each factor's usual range, and by band.

    Parameters
    ----------
    changes, logits : the inputs of `changed_inputs`, and what the classifier answers to them.
    before : the logit of the case as it is.
    keys : the factors of the case that have a usual range; an end without an input changes nothing.
    """
    ends = {key: [0.0, 0.0] for key in keys}
    bands: dict[str, float] = {}
    for (name, end), logit in zip(changes, logits, strict=True):
        if end == BAND:
            bands[name] = logit - before
        else:
            ends[name][end] = logit - before
    return {key: (low, high) for key, (low, high) in ends.items()}, bands


def _replaced_bands(model_input: ModelInput, mean_input: Floats) -> dict[str, Floats]:
    """The input with each band replaced; one that the model does not see has no entry."""
    placement, tensor = model_input.placement, model_input.tensor
    rows, columns, _ = tensor.shape
    height, width = placement.radiograph_rows, placement.radiograph_columns
    replaced = {}
    for band in factors.bands():
        top, left, bottom, right = band.box
        box = top * height, left * width, bottom * height, right * width
        inside = geometry.box_share(placement, rows, columns, box) > TOUCHES
        if inside.any():
            replaced[band.name] = np.where(inside[..., None], mean_input, tensor)
    return replaced


def spread_within_label(logits: Sequence[tuple[str | None, float]]) -> float | None:
    """Standard deviation of the logits around the mean of their label; None of too few.

    Parameters
    ----------
    logits : label and logit of each case.
    """
    if len(logits) < FEWEST:
        return None
    of_label: dict[str | None, list[float]] = {}
    for label, logit in logits:
        of_label.setdefault(label, []).append(logit)
    squares = 0.0
    for values in of_label.values():
        squares += len(values) * float(np.var(values))
    spread = float(np.sqrt(squares / len(logits)))
    return spread if np.isfinite(spread) else None

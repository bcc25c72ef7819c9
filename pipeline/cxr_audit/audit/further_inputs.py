"""A case and a config -> the numbers of the model's inputs beside the image.

A value is never imputed in silence: a case without one stops, or the config has stated what stands
for a missing value, and the record says that it was used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cxr_audit.config.model import FurtherInput
from cxr_audit.records import CaseSource, Floats, RadiographFacts, TabularValue
from cxr_audit.vocabulary import Message, message


@dataclass(frozen=True, slots=True)
class Further:
    """The further inputs of a case.

    Parameters
    ----------
    numbers : of all inputs, one after the other.
    values : one an input, for the record.
    """

    numbers: tuple[float, ...] = ()
    values: tuple[TabularValue, ...] = ()


def further_of(
    source: CaseSource, facts: RadiographFacts, inputs: Sequence[FurtherInput]
) -> Further | Message:
    """The further inputs of a case, or why it has none.

    Parameters
    ----------
    source : with the further columns of the manifest.
    facts : with the attributes of the file.
    inputs : `classifier.inputs`.
    """
    numbers: list[float] = []
    values: list[TabularValue] = []
    for wanted in inputs:
        stated = _stated(source, facts, wanted)
        origin = _origin(wanted)
        if not stated:
            if wanted.missing is None:
                return message("audit.input_missing", name=wanted.name, origin=origin)
            stated = wanted.missing
            origin = message("audit.input_stands_in", origin=origin)
        given = wanted.numbers(stated)
        if given is None:
            return message("audit.input_not_understood", name=wanted.name, origin=origin)
        numbers += given
        values.append(TabularValue(wanted.name, origin, stated if wanted.values else None))
    return Further(tuple(numbers), tuple(values))


def with_references(x: Floats, inputs: Sequence[FurtherInput]) -> list[Floats]:
    """A packed model input with each further input, one at a time, at its reference value."""
    widths = [len(wanted.numbers(wanted.reference) or ()) for wanted in inputs]
    place = x.shape[-1] - sum(widths)
    changed = []
    for wanted, width in zip(inputs, widths, strict=True):
        at_reference = x.copy()
        numbers = wanted.numbers(wanted.reference)
        at_reference[..., place : place + width] = np.asarray(numbers, np.float32)
        changed.append(at_reference)
        place += width
    return changed


def with_contributions(
    values: Sequence[TabularValue], logit: float, at_references: Sequence[float]
) -> tuple[TabularValue, ...]:
    """The values with what each one contributes to the explained logit."""
    pairs = zip(values, at_references, strict=True)
    return tuple(replace(value, contribution=logit - other) for value, other in pairs)


def _stated(source: CaseSource, facts: RadiographFacts, wanted: FurtherInput) -> str:
    if wanted.column is not None:
        return source.metadata.get(wanted.column, "").strip()
    assert wanted.attribute is not None
    return facts.attributes.get(wanted.attribute, "").strip()


def _origin(wanted: FurtherInput) -> Message:
    if wanted.column is not None:
        return message("audit.input_of_column", column=wanted.column)
    assert wanted.attribute is not None
    return message("audit.input_of_attribute", attribute=wanted.attribute)

"""Logits, maps and lungs of the calibration sample, case by case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cxr_audit.audit.factors import spread_within_label
from cxr_audit.audit.measuring import scale_key
from cxr_audit.records import (
    ClassActivationMap,
    Floats,
    ModelInput,
    PassCount,
    PlainPass,
    Prediction,
)

if TYPE_CHECKING:
    from cxr_audit.trust.randomisation import Maps


class Sample:
    """The cases of a sample, one by one.

    Parameters
    ----------
    selector : (units,), the explained logit by the logits.

    Attributes
    ----------
    is_deterministic : whether two calls give the same bits; None without any case.
    plain : what one forward pass costs; None without any case.
    num_passes_left : passes that the checks of the model will ask, until their first look.
    cpu_s : seconds that it took, by stage.
    passes : that were asked so far, by purpose.
    """

    def __init__(self, selector: Floats) -> None:
        self._selector = selector
        self.inputs: list[ModelInput] = []
        self.logits: list[Floats] = []
        self.probabilities: list[float] = []
        self.first_maps: list[ClassActivationMap] = []
        self.peaks: dict[str, list[float]] = {}
        self.primary = ""
        self.is_deterministic: bool | None = None
        self.plain: PlainPass | None = None
        self.num_passes_left = 0
        self.cpu_s: dict[str, float] = {}
        self.passes: dict[str, PassCount] = {}
        self.measured: list[dict[str, float]] = []
        self._labels: list[str | None] = []
        self._own: list[Floats] = []
        self._edges: list[Floats] = []

    def add(self, model_input: ModelInput, logits: Floats, controls: Mapping[str, Floats]) -> None:
        """Add a case.

        Parameters
        ----------
        logits : (units,); they need not be finite.
        controls : maps that do not use the classifier, by name.
        """
        from cxr_audit.trust.randomisation import CONTROL, finite

        self.inputs.append(model_input)
        self.logits.append(logits)
        self._edges.append(finite(controls[CONTROL]))

    def add_maps(self, maps: Sequence[ClassActivationMap], prediction: Prediction | None) -> None:
        """Add the maps of the case that was added last.

        Parameters
        ----------
        maps : all of the case, the first one first.
        prediction : None where the logits are not finite.
        """
        from cxr_audit.trust.randomisation import finite

        self._own.append(finite(maps[0].values))
        if prediction is None:
            return
        self.probabilities.append(prediction.probability)
        self.first_maps += maps[:1]
        for class_map in maps:
            key = scale_key(class_map.facts)
            self.primary = self.primary or key
            if class_map.facts.status == "ok":
                self.peaks.setdefault(key, []).append(float(class_map.values.max()))

    def add_factors(self, label: str | None, measured: dict[str, float]) -> None:
        """Add the label and the factors of the case that was added last."""
        self._labels.append(label)
        self.measured.append(measured)

    def spread_within_label(self) -> float | None:
        """Standard deviation of the logit around the mean of its label; None of too few."""
        logits = [float(logit) for logit in np.stack(self.logits) @ self._selector]
        return spread_within_label(list(zip(self._labels, logits, strict=True)))

    def tensors(self) -> Floats:
        """The model inputs, (N, rows, columns, channels)."""
        return np.stack([model_input.packed() for model_input in self.inputs])

    def maps(self) -> Maps:
        """The first maps, and those of the control."""
        from cxr_audit.trust.randomisation import Maps

        return Maps(np.stack(self._own), np.stack(self._edges))

    def logit_spread(self) -> float | None:
        """Standard deviation of the explained logit; None where it is no number."""
        if not self.logits:
            return None
        spread_of_logit = float((np.stack(self.logits) @ self._selector).std())
        return spread_of_logit if np.isfinite(spread_of_logit) else None


def spread(num: int, most: int) -> npt.NDArray[np.intp]:
    """The places of at most so many of `num` cases, spread evenly."""
    few = min(num, most)
    return np.arange(few) * num // max(few, 1)

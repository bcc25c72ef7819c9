"""The gate of another runtime: does it answer as TensorFlow does on the sample of the run?"""

from __future__ import annotations

import numpy as np

from cxr_audit.errors import ModelError
from cxr_audit.explain import Explainer
from cxr_audit.records import Floats, RuntimeParity
from cxr_audit.trust.similarity import spearman

LOGITS = 1e-3
MAPS = 0.999


def check_runtime(explainer: Explainer, inputs: Floats, at_once: int) -> RuntimeParity | None:
    """Compare the runtime of a classifier with TensorFlow.

    Parameters
    ----------
    explainer : its first method is compared.
    inputs : float32 (N, rows, columns, channels), real model inputs, N >= 1.
    at_once : inputs a call of the classifier.

    Returns
    -------
    The figures; None where TensorFlow computes everything.

    Raises
    ------
    ModelError : a logit differs by more than 1e-3 (relative, where it exceeds 1), or the rank
        correlation of a map is below 0.999.
    """
    runtime = explainer.classifier.runtime
    if runtime is None:
        return None
    reference = explainer.only_first(explainer.classifier.in_tensorflow())
    expected, expected_maps = _answers(reference, inputs, at_once)
    logits, maps = _answers(explainer, inputs, at_once)
    difference = float((np.abs(logits - expected) / np.maximum(1.0, np.abs(expected))).max())
    has_order = (np.ptp(expected_maps, (1, 2)) > 0) | (np.ptp(maps, (1, 2)) > 0)
    correlations = spearman(expected_maps[has_order], maps[has_order])
    lowest = float(correlations.min()) if len(correlations) else None
    if not (difference <= LOGITS and (lowest is None or lowest >= MAPS)):
        of_maps = "" if lowest is None else f" and the rank correlation of a map is {lowest:.4f}"
        raise ModelError(
            f"{runtime.version} does not answer as TensorFlow does: over {len(inputs)} inputs a "
            f"logit differs by {difference:.2g}{of_maps}; expected at most {LOGITS:g}, and at "
            f"least {MAPS:g}",
            "set engine.runtime: tensorflow",
        )
    return RuntimeParity(runtime.version, len(inputs), difference, lowest)


def _answers(explainer: Explainer, inputs: Floats, at_once: int) -> tuple[Floats, Floats]:
    """Logits (N, units) and first maps (N, h, w); 0 where a map is not finite."""
    logits, maps = explainer.first_maps(inputs, at_once)
    return logits, np.nan_to_num(np.stack(maps))

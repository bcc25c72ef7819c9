"""A classifier and model inputs -> signed class activation maps, in logit units."""

from cxr_audit.explain.asking import AnyExplainer, BatchResult, Probing
from cxr_audit.explain.closed import ClosedExplainer
from cxr_audit.explain.controls import CONTROLS
from cxr_audit.explain.explain import Explainer
from cxr_audit.explain.variation import check_maps_vary, check_output_varies

__all__ = [
    "CONTROLS",
    "AnyExplainer",
    "BatchResult",
    "ClosedExplainer",
    "Explainer",
    "Probing",
    "check_maps_vary",
    "check_output_varies",
]

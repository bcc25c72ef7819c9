"""A classifier and model inputs -> signed class activation maps, in logit units."""

from cxr_audit.explain.controls import CONTROLS
from cxr_audit.explain.explain import BatchResult, Explainer, Probing
from cxr_audit.explain.variation import check_maps_vary, check_output_varies

__all__ = [
    "CONTROLS",
    "BatchResult",
    "Explainer",
    "Probing",
    "check_maps_vary",
    "check_output_varies",
]

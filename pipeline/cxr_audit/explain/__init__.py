"""(Classifier, model inputs) -> signed class activation maps, in logit units, on the layer's own grid."""

from cxr_audit.explain.controls import CONTROLS
from cxr_audit.explain.explain import BatchResult, Explainer, Probing
from cxr_audit.explain.methods import METHODS

__all__ = ["CONTROLS", "METHODS", "BatchResult", "Explainer", "Probing"]

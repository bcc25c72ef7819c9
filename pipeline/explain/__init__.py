"""(Classifier, model inputs) -> signed class activation maps, in logit units, on the layer's own grid."""

from pipeline.explain.explain import BatchResult, Explainer
from pipeline.explain.methods import METHODS

__all__ = ["METHODS", "BatchResult", "Explainer"]

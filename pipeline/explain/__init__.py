"""(Classifier, model inputs) -> signed class activation maps, in logit units, on the layer's own grid."""

from pipeline.explain.controls import CONTROLS
from pipeline.explain.explain import BatchResult, Explainer, Probing
from pipeline.explain.methods import METHODS

__all__ = ["CONTROLS", "METHODS", "BatchResult", "Explainer", "Probing"]

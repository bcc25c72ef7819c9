"""A seed -> a frontal chest radiograph by physics, with its ground truth: `draw(Spec(seed=1), 1024,
1024)`.
"""

from cxr_audit.reference.phantom.phantom import Phantom, Spec, case_spec, draw, training_pixels

__all__ = ["Phantom", "Spec", "case_spec", "draw", "training_pixels"]

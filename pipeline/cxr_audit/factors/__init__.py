"""Grey values of a model input -> plain measurements, the input with one of them changed, and
generic low-level statistics.

Everything here is NumPy and OpenCV on grey values in [0, 1]; who asks the classifier is `audit`.
"""

from cxr_audit.factors.bands import BANDS, Band, bands
from cxr_audit.factors.low_level import low_level
from cxr_audit.factors.moves import move
from cxr_audit.factors.panel import LungGeometry, measure, measure_lungs

__all__ = [
    "BANDS",
    "Band",
    "LungGeometry",
    "bands",
    "low_level",
    "measure",
    "measure_lungs",
    "move",
]

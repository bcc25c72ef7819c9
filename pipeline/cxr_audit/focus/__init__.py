"""(Map, where it lies) -> metrics of the map and in each region, logit budget. NumPy and OpenCV.

Metrics are about the positive part of the map, the budget about all of it. Shares are exact over
cells: a cell that lies partly in a region counts by its area. The high-focus area is measured on
the heatmap that the reader sees. A map without positive part leaves every metric undefined, with
the reason: never 0, never a hit.
"""

from cxr_audit.focus.budget import budget
from cxr_audit.focus.evidence import MapEvidence, no_evidence
from cxr_audit.focus.in_region import control_shares, measure_regions
from cxr_audit.focus.metrics import measure

__all__ = [
    "MapEvidence",
    "budget",
    "control_shares",
    "measure",
    "measure_regions",
    "no_evidence",
]

"""Radiograph, its lungs, its header -> checks of the input, bound by key to `QUALITY_CHECKS`.

Limits are those of the config's section `quality`; `benchmarks/quality.py` derives its defaults:
what is planted is found, and at most about one in a hundred real radiographs is beyond a limit
that it should keep. What cannot be checked is `not_run` with its reason. `action` says what the
config requests for a radiograph that failed a check.
"""

from cxr_audit.quality.action import action, in_order
from cxr_audit.quality.duplicates import RUN_CHECKS, Duplicates
from cxr_audit.quality.header import HEADER_CHECKS, Ages, check_header
from cxr_audit.quality.lungs import LUNG_CHECKS, check_lungs, lungs_not_looked_for
from cxr_audit.quality.picture import PICTURE_CHECKS, check_picture, clipped_fraction

__all__ = [
    "HEADER_CHECKS",
    "LUNG_CHECKS",
    "PICTURE_CHECKS",
    "RUN_CHECKS",
    "Ages",
    "Duplicates",
    "action",
    "check_header",
    "check_lungs",
    "check_picture",
    "clipped_fraction",
    "in_order",
    "lungs_not_looked_for",
]

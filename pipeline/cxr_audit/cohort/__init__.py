"""Many cases -> performance, subgroups, errors, distributions, acceptance; their mean map."""

from cxr_audit.cohort.cases import case_values
from cxr_audit.cohort.compare import compare
from cxr_audit.cohort.describe import describe
from cxr_audit.cohort.mean_map import RASTER, mean_maps
from cxr_audit.cohort.readers import cohens_kappa, rater_agreement, summarise_readers
from cxr_audit.cohort.table import cases_metadata, cases_table, table_lines
from cxr_audit.cohort.what_if import Curve, at_threshold, curve, curve_lines, require_threshold
from cxr_audit.cohort.words import in_words

__all__ = [
    "RASTER",
    "Curve",
    "at_threshold",
    "case_values",
    "cases_metadata",
    "cases_table",
    "cohens_kappa",
    "compare",
    "curve",
    "curve_lines",
    "describe",
    "in_words",
    "mean_maps",
    "rater_agreement",
    "require_threshold",
    "summarise_readers",
    "table_lines",
]

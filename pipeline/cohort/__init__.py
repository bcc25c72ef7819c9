"""Many CaseRecords -> performance with intervals, subgroups, errors, distributions, acceptance; their mean map."""

from pipeline.cohort.cases import case_values
from pipeline.cohort.compare import compare
from pipeline.cohort.describe import describe
from pipeline.cohort.mean_map import RASTER, mean_maps
from pipeline.cohort.table import cases_metadata, cases_table
from pipeline.cohort.words import in_words

__all__ = ["RASTER", "case_values", "cases_metadata", "cases_table", "compare", "describe", "in_words", "mean_maps"]

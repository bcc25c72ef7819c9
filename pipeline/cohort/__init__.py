"""Many CaseRecords -> performance with intervals, subgroups, errors, distributions, acceptance."""

from pipeline.cohort.cases import case_values
from pipeline.cohort.compare import compare
from pipeline.cohort.describe import describe
from pipeline.cohort.words import in_words

__all__ = ["case_values", "compare", "describe", "in_words"]

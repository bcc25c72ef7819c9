"""Everything that a config, a record or a table names has a word, and only one."""

from __future__ import annotations

import re
from typing import get_args

import pytest

from pipeline.config import QualityCheck
from pipeline.glossary import FLAG_WORDS, GLOSSARY, OF_RUN, check_name
from pipeline.records import CASE_FLAGS, CASE_NUMBERS, FLAGS, PERFORMANCE_METRICS
from pipeline.report.words import METRICS


def test_every_metric_of_a_run_and_of_a_case_has_a_word() -> None:
    statuses = {"failed", "excluded"}  # of a file, see `acceptance`
    assert set(PERFORMANCE_METRICS) <= set(OF_RUN)
    assert {*CASE_NUMBERS, *CASE_FLAGS} - statuses <= set(GLOSSARY)
    assert tuple(FLAG_WORDS) == FLAGS


def test_a_word_is_of_one_thing() -> None:
    names = [term.name for term in GLOSSARY.values()]
    assert len(set(names)) == len(names)
    assert all(term.meaning and "{" not in term.name + term.meaning for term in GLOSSARY.values())


def test_the_case_page_calls_metrics_the_same() -> None:
    shared = [key for key in METRICS if key in GLOSSARY]
    assert len(shared) > 5
    assert [METRICS[key][0] for key in shared] == [GLOSSARY[key].title for key in shared]


@pytest.mark.parametrize(("key", "name"), [("road", "ROAD"), ("duplicate_uid", "duplicate UID"), ("age", "age")])
def test_the_name_of_a_check(key: str, name: str) -> None:
    assert check_name(key) == name
    assert not any(re.search(r"_|\buid\b", check_name(one)) for one in get_args(QualityCheck))

"""Everything that a config, a record or a table names has a word, and only one."""

from __future__ import annotations

import re
from typing import get_args

import pytest
from cxr_audit.config import QualityCheck
from cxr_audit.glossary import FLAG_WORDS, GLOSSARY, OF_RUN, Term, check_name
from cxr_audit.records import CASE_FLAGS, CASE_NUMBERS, FLAGS, PERFORMANCE_METRICS
from cxr_audit.report.words import METRICS


def test_every_metric_of_a_run_and_of_a_case_has_a_word() -> None:
    statuses = {"failed", "excluded"}  # of a file, see `acceptance`
    assert set(PERFORMANCE_METRICS) <= set(OF_RUN)
    assert {*CASE_NUMBERS, *CASE_FLAGS} - statuses <= set(GLOSSARY)
    assert tuple(FLAG_WORDS) == FLAGS


def test_a_word_is_of_one_thing() -> None:
    names = [term.name for term in GLOSSARY.values()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("term", GLOSSARY.values(), ids=GLOSSARY.keys())
def test_a_word_has_a_meaning_and_no_open_place(term: Term) -> None:
    assert term.meaning
    assert "{" not in term.name + term.meaning


@pytest.mark.parametrize(
    "key", [key for key in METRICS if key not in ("centroid", "peak")]
)  # two columns each
def test_the_case_page_calls_a_metric_the_same(key: str) -> None:
    assert METRICS[key][0] == GLOSSARY[key].title


@pytest.mark.parametrize(
    ("key", "name"), [("road", "ROAD"), ("duplicate_uid", "duplicate UID"), ("age", "age")]
)
def test_the_name_of_a_check(key: str, name: str) -> None:
    assert check_name(key) == name


@pytest.mark.parametrize("key", get_args(QualityCheck))
def test_the_name_of_a_check_of_the_input_is_in_words(key: str) -> None:
    assert not re.search(r"_|\buid\b", check_name(key))

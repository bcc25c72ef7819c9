"""Tables of rows by key."""

from __future__ import annotations

import pytest
from cxr_audit.flags.rules import RULES
from cxr_audit.focus import in_region, metrics
from cxr_audit.vocabulary import (
    FLAGS,
    MAP_METRICS,
    METHODS,
    REGION_METRICS,
    Metric,
    Registry,
    UnknownName,
)

ENTROPY = Metric(key="entropy", label="entropy", definition="How even a map is.")


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(
        UnknownName, match=r"unknown method 'gradcam'\. Perhaps you meant 'grad-cam'"
    ):
        METHODS["gradcam"]


def test_a_key_stands_once() -> None:
    table = Registry("metric", [ENTROPY])
    with pytest.raises(ValueError, match="the metric 'entropy' stands twice"):
        table.add(ENTROPY)


def test_rows_keep_their_order_and_can_be_added() -> None:
    table = Registry("metric", [ENTROPY])
    table.add(Metric(key="a", label="first letter", definition="The first letter."))
    assert table.keys() == ("entropy", "a")
    assert [row.title for row in table] == ["Entropy", "First letter"]


@pytest.mark.parametrize(
    ("table", "functions"),
    [
        (MAP_METRICS, metrics.FUNCTIONS),
        (REGION_METRICS, in_region.FUNCTIONS),
    ],
    ids=["metrics of a map", "metrics of a region"],
)
def test_every_row_has_a_function_and_every_function_a_row(
    table: Registry[Metric], functions: dict[str, object]
) -> None:
    assert set(table.keys()) == set(functions)


def test_every_flag_has_a_rule_or_checks() -> None:
    by_rule = {flag.key for flag in FLAGS if not flag.checks and flag.factor is None}
    assert by_rule == set(RULES)

"""JUnit XML and Markdown of the criteria."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

from cxr_audit.cohort import describe
from cxr_audit.config import Acceptance, Cohort
from cxr_audit.report.integration import junit, markdown

from tests.cohort.cases import a_case, a_failure


def a_cohort(criteria, num_failed=1):
    cases = [a_case(f"p{n}", "P", 0.9) for n in range(20)]
    cases += [a_case(f"n{n}", "N", 0.1 + 0.5 * (n < 4)) for n in range(20)]
    cases += [a_failure(f"f{n}") for n in range(num_failed)]
    acceptance = Acceptance(criteria=criteria)
    return describe(cases, [], Cohort(rounds=200), acceptance, 0, ())


MET = {"metric": "auc", "bound": "estimate", "at_least": 0.8}
NOT_MET = {"metric": "specificity", "bound": "estimate", "at_least": 0.9}  # 16 of 20


def test_junit_has_a_test_for_each_criterion_and_one_for_failed_cases():
    root = ElementTree.fromstring(junit("run <1>", a_cohort((MET, NOT_MET))))
    (suite,) = root
    assert suite.get("name") == "run <1>"
    assert (suite.get("tests"), suite.get("failures")) == ("3", "2")
    states = {test.get("name"): test.find("failure") for test in suite}
    assert len(states) == 3
    (auc,) = [failure for name, failure in states.items() if name.startswith("AUC")]
    (specificity,) = [failure for name, failure in states.items() if "pecificity" in name]
    assert auc is None
    assert specificity.get("type") == "not_met"
    assert "found 0.800" in specificity.get("message")
    assert states["every radiograph was audited or excluded"].get("message").startswith("1 of 41")


def test_a_run_without_failed_cases_or_criteria_passes():
    root = ElementTree.fromstring(junit("a", a_cohort((), num_failed=0)))
    assert root.get("failures") == "0"
    assert root.get("tests") == "1"


def test_an_undecided_criterion_is_a_failure():
    cohort = a_cohort((MET,), num_failed=0)
    undecided = replace(cohort.acceptance[0], state="undecided", is_met=False)
    root = ElementTree.fromstring(junit("a", replace(cohort, acceptance=(undecided,))))
    assert root.find(".//failure").get("type") == "undecided"


def test_markdown_names_criteria_states_and_metrics():
    text = markdown("run|1", a_cohort((MET, NOT_MET)))
    assert "## cxr-audit: run\\|1" in text
    assert "41 cases: 40 ok, 0 excluded, 1 failed" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert sum("not met" in row for row in rows) == 1
    assert any(row.startswith("| AUC") and "\N{WHITE HEAVY CHECK MARK} met" in row for row in rows)
    assert any("pecificity | 0.800 (" in row for row in rows)
    # a table: as many bars in each row, those of others escaped
    assert {row.replace("\\|", "").count("|") for row in rows} == {3, 4}

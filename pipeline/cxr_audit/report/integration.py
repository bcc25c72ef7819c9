"""The acceptance criteria of a run for continuous integration: JUnit XML and Markdown.

JUnit has no state between passed and failed: a criterion that is undecided or was not examined is
a failure of that type, since such a run is not accepted. In English, as logs are.
"""

from __future__ import annotations

from xml.etree import ElementTree

from cxr_audit.records import CohortRecord, CriterionResult, Estimate
from cxr_audit.vocabulary import RUN_METRICS

SIGNS = {
    "met": "\N{WHITE HEAVY CHECK MARK} met",
    "not_met": "\N{CROSS MARK} not met",
    "undecided": "\N{WARNING SIGN} undecided",
    "not_examined": "\N{WARNING SIGN} not examined",
}


def junit(run: str, cohort: CohortRecord) -> str:
    """JUnit XML: a test for each criterion, and one for the cases that failed.

    Parameters
    ----------
    run : its name.
    cohort : what it says of the classifier.
    """
    results = [(result.in_words, _state(result), _found(result)) for result in cohort.acceptance]
    num_failed = cohort.cases.statuses.get("failed", 0)
    num_all = sum(cohort.cases.statuses.values())
    results.append(
        (
            "every radiograph was audited or excluded",
            "not_met" if num_failed else "met",
            f"{num_failed} of {num_all} cases failed",
        )
    )
    num_failures = sum(state != "met" for _, state, _ in results)
    counts = {"tests": str(len(results)), "failures": str(num_failures), "errors": "0"}
    root = ElementTree.Element("testsuites", {"name": "cxr-audit", **counts})
    suite = ElementTree.SubElement(root, "testsuite", {"name": run, "skipped": "0", **counts})
    for name, state, found in results:
        test = ElementTree.SubElement(suite, "testcase", classname=f"cxr-audit.{run}", name=name)
        if state == "met":
            ElementTree.SubElement(test, "system-out").text = found
        else:
            ElementTree.SubElement(test, "failure", type=state, message=found)
    ElementTree.indent(root)
    return ElementTree.tostring(root, "unicode", xml_declaration=True) + "\n"


def markdown(run: str, cohort: CohortRecord) -> str:
    """A summary in Markdown: counts, criteria, performance.

    Parameters
    ----------
    run : its name.
    cohort : what it says of the classifier.
    """
    statuses = cohort.cases.statuses
    counts = ", ".join(f"{count} {status}" for status, count in statuses.items())
    lines = [f"## cxr-audit: {_cell(run)}", "", f"{sum(statuses.values())} cases: {counts}", ""]
    if cohort.acceptance:
        lines += ["| Criterion | State | Found |", "|---|---|---|"]
        for result in cohort.acceptance:
            cells = (result.in_words, SIGNS[_state(result)], _found(result))
            lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
    else:
        lines.append("No acceptance criteria.")
    lines += ["", "| Metric | Value (95 % interval) |", "|---|---|"]
    for key, estimate in cohort.metrics.items():
        row = RUN_METRICS.get(key)
        lines.append(f"| {_cell(key if row is None else row.label)} | {_cell(_value(estimate))} |")
    return "\n".join(lines) + "\n"


def _state(result: CriterionResult) -> str:
    return result.state or ("met" if result.is_met else "not_met")


def _found(result: CriterionResult) -> str:
    reasons = [] if result.reason is None else [str(result.reason)]
    return "; ".join([f"found {_value(result.found)}", *reasons])


def _value(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"undefined ({estimate.reason})"
    if estimate.interval_95 is None:
        return f"{estimate.value:.3f} (no interval: {estimate.reason})"
    low, high = estimate.interval_95
    return f"{estimate.value:.3f} ({low:.3f} to {high:.3f})"


def _cell(text: str) -> str:
    """Text of others in a table of Markdown: nothing of it is markup."""
    escaped = text.replace("\\", "\\\\")
    for letter in "|*_`<>[]#":
        escaped = escaped.replace(letter, f"\\{letter}")
    return " ".join(escaped.split())

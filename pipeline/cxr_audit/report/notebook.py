"""A run in a notebook: its verdict, figures and first cases as a piece of HTML.

Pictures are inside, so that a saved notebook shows them; nothing is loaded from elsewhere. Text of
others is escaped.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from html import escape
from itertools import islice
from pathlib import Path

from cxr_audit.records import AuditedCase, CaseRecord, CohortRecord, Estimate
from cxr_audit.vocabulary import RUN_METRICS

SHOWN_CASES = 4
PICTURE_MM = 32
STATES = {
    "met": "met",
    "not_met": "not met",
    "undecided": "undecided",
    "not_examined": "not examined",
}
CELL = "style='text-align:left;vertical-align:top;padding:2px 10px'"


def html_of_run(folder: Path, name: str, cohort: CohortRecord, cases: Iterable[CaseRecord]) -> str:
    """The verdict of a run, its metrics, and its first audited cases with their maps.

    Parameters
    ----------
    folder : of the run; its documents are linked.
    name : of the run.
    cohort : what it says of the classifier.
    cases : in order; only the first ones are read.
    """
    return "".join(_parts(folder, name, cohort, cases))


def _parts(
    folder: Path, name: str, cohort: CohortRecord, cases: Iterable[CaseRecord]
) -> Iterator[str]:
    counts = ", ".join(f"{count} {status}" for status, count in cohort.cases.statuses.items())
    yield f"<div><h3>cxr-audit: {escape(name)}</h3><p><b>{escape(verdict(cohort))}</b>. "
    yield f"Cases: {escape(counts)}. {_link(folder / 'index.html', 'index')}, "
    yield f"{_link(folder / 'summary.pdf', 'run report')}</p>"
    yield "<table><tbody>"
    for result in cohort.acceptance:
        state = STATES[result.state or ("met" if result.is_met else "not_met")]
        yield _row((result.in_words, state, _value(result.found)))
    for key, estimate in cohort.metrics.items():
        row = RUN_METRICS.get(key)
        yield _row((key if row is None else row.label, "", _value(estimate)))
    yield "</tbody></table>"
    audited = (case for case in cases if isinstance(case, AuditedCase))
    for case in islice(audited, SHOWN_CASES):
        yield _case(folder / "cases" / case.case_id, case)
    yield "</div>"


def verdict(cohort: CohortRecord) -> str:
    """Whether the acceptance criteria are met, in one line."""
    if not cohort.acceptance:
        return "No acceptance criteria"
    num_met = sum(result.is_met for result in cohort.acceptance)
    num = len(cohort.acceptance)
    if num_met == num:
        return f"All {num} acceptance criteria met"
    return f"Not accepted: {num_met} of {num} acceptance criteria met"


def _case(folder: Path, case: AuditedCase) -> str:
    prediction, first = case.prediction, case.first_map
    pictures = [case.pictures.get("radiograph")]
    pictures.append(None if first is None else first.picture)
    images = "".join(_image(folder / each) for each in pictures if each is not None)
    label = "" if case.label is None else f', label "{case.label}"'
    flags = ", ".join(case.flags.names) or "no flag"
    text = f'"{prediction.predicted}", score {prediction.probability:.2f}{label}; {flags}'
    return (
        f"<div style='display:inline-block;margin:6px'>{images}<br>"
        f"{_link(folder / 'report.pdf', case.case_id)}<br>{escape(text)}</div>"
    )


def _image(path: Path) -> str:
    if not path.is_file():
        return ""
    kind = "png" if path.suffix == ".png" else "jpeg"
    data = base64.b64encode(path.read_bytes()).decode()
    return f"<img style='width:{PICTURE_MM}mm' src='data:image/{kind};base64,{data}'>"


def _link(path: Path, text: str) -> str:
    if not path.is_file():
        return escape(text)
    return f"<a href='{escape(path.as_uri(), quote=True)}'>{escape(text)}</a>"


def _row(cells: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<td {CELL}>{escape(cell)}</td>' for cell in cells)}</tr>"


def _value(estimate: Estimate) -> str:
    if estimate.value is None:
        return f"undefined: {estimate.reason}"
    if estimate.interval_95 is None:
        return f"{estimate.value:.3f} (no interval: {estimate.reason})"
    low, high = estimate.interval_95
    return f"{estimate.value:.3f} ({low:.3f} to {high:.3f})"

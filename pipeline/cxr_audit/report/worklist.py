"""Audited cases -> the sheets that readers fill in: plain radiographs first, results after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from cxr_audit.records import CANNOT_SAY, AuditedCase, RunRecord
from cxr_audit.report.case_page.answer import output
from cxr_audit.report.case_page.clinician import sides
from cxr_audit.report.case_page.layout import Picture
from cxr_audit.report.language import _, current, plural
from cxr_audit.report.words import AGREEMENTS, BANNER, LOCATIONS, View, quoted, utc, w3c

Part = Literal["reading", "results"]
LARGE_MM = 178.0, 205.0
HALF_MM = 87.0, 150.0


def worklist_view(
    part: Part, cases: Sequence[AuditedCase], run: RunRecord, urls: Mapping[str, str]
) -> View:
    """Everything that `worklist.html.j2` prints.

    Parameters
    ----------
    part : "reading" shows plain radiographs and nothing else, "results" what the model said.
    cases : in the order of the sheets.
    run : what they belong to.
    urls : "<role> <case id>" -> URL of a picture.
    """
    is_reading = part == "reading"
    title = (
        _("Reading sheet 1: radiographs without results")
        if is_reading
        else _("Reading sheet 2: radiographs with results")
    )
    return {
        "language": current().code,
        "banner": _(BANNER),
        "page": _("Page {page} of {pages}").replace("{pages}", "").split("{page}"),
        "title": title,
        "is_reading": is_reading,
        "run": {"name": run.name, "started": utc(run.started), "created": w3c(run.started)},
        "num": plural("{num} case", "{num} cases", len(cases)),
        "cases": [_sheet(place, case, part, urls) for place, case in enumerate(cases, 1)],
        "agreements": [(key, _(words)) for key, words in AGREEMENTS.items()],
        "locations": [(key, _(words)) for key, words in LOCATIONS.items()],
    }


def _sheet(place: int, case: AuditedCase, part: Part, urls: Mapping[str, str]) -> View:
    shape = case.radiograph.rows, case.radiograph.columns
    box = LARGE_MM if part == "reading" else HALF_MM
    roles = ("radiograph",) if part == "reading" else ("radiograph", "marked")
    sheet: View = {
        "place": place,
        "case_id": case.case_id,
        "sides": sides(case),
        "pictures": [
            Picture.within(urls[f"{role} {case.case_id}"], shape, *box)
            for role in roles
            if f"{role} {case.case_id}" in urls
        ],
    }
    if part == "reading":
        names = [(name, quoted(name)) for name in case.prediction.class_scores]
        return sheet | {"classes": [*names, (CANNOT_SAY, _("cannot say"))]}
    # The reference label is not shown: readers would be drawn to it.
    return sheet | {"output": output(case.prediction, None, None)}

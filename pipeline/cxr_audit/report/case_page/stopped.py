"""The one page of a case that was excluded or failed."""

from __future__ import annotations

from collections.abc import Mapping

from cxr_audit.records import StoppedCase
from cxr_audit.report.case_page.layout import Picture
from cxr_audit.report.case_page.provenance import check_rows
from cxr_audit.report.language import N_, _, said
from cxr_audit.report.words import View, full_stop, sentence, spacing, times

PICTURE_MM = 56.0
WORDS = {
    "excluded": ("triangle", N_("This case was excluded. There is no model output for it.")),
    "failed": ("square", N_("This case failed. There is no model output for it.")),
}


def stopped_view(case: StoppedCase, pictures: Mapping[str, str]) -> View:
    """What stands on its page beside the provenance."""
    shape, words = WORDS[case.status]
    facts = case.radiograph
    picture, rows = None, []
    if facts is not None:
        rows = [
            (_("View"), facts.view_position or _("not stated")),
            (_("Radiograph"), _("{size} px", size=times(facts.rows, facts.columns))),
            (_("Pixel spacing"), spacing(facts)),
        ]
        if "radiograph" in pictures:
            size = facts.rows, facts.columns
            picture = Picture.within(pictures["radiograph"], size, PICTURE_MM, PICTURE_MM)
    hint = said(case.hint)
    return {
        "shape": shape,
        "stopped": _(words),
        "reason": full_stop(said(case.reason)),
        "hint": sentence(hint),
        "error": case.error,
        "plain": picture,
        "facts": rows,
        "checked": check_rows(case.quality),
    }

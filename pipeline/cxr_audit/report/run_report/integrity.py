"""How a reader of the report finds out whether it and its run are unchanged."""

from __future__ import annotations

from cxr_audit.records import RunRecord
from cxr_audit.report.language import _
from cxr_audit.report.words import Rows


def integrity(run: RunRecord) -> Rows:
    """Seal, signer, and how to check both.

    The seal is made after this document, so that its hash cannot stand here.
    """
    return [
        (_("Seal"), _("SHA256SUMS names every file of the folder with its SHA-256")),
        (
            _("Signer"),
            _(
                "UNSIGNED when this document was made. A later signature stands at the foot of "
                "page 1 and in cxr-audit verify"
            ),
        ),
        (_("Check"), _("cxr-audit verify {run}: consistent, sealed by whom", run=run.name)),
        (
            _("Reproduce"),
            _("cxr-audit verify {run} --rerun 5 audits 5 cases again", run=run.name),
        ),
        (
            _("Attached records"),
            _("cohort.json, config.json; each PDF of a case has its case.json"),
        ),
    ]

"""Which code this process runs, with what ships beside it."""

from __future__ import annotations

from cxr_audit import evidence, reference
from cxr_audit.records import CodeIdentity
from cxr_audit.report.documents import data_folder


def installed_code() -> CodeIdentity:
    """The identity of the code, templates and weights that run here, and of added vocabulary."""
    return evidence.code_identity(
        {"templates": data_folder("templates"), "weights": reference.WEIGHTS}
    )

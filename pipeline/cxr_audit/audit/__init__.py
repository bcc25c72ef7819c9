"""The composer: one config -> one run folder with an audit of every case.

`run.py` is the whole job.
"""

from cxr_audit.audit.engine import Engine, Progress
from cxr_audit.audit.expected import ExpectedPasses, expected_passes
from cxr_audit.audit.finish import (
    FailedCase,
    RecordsOnDisk,
    RunResult,
    cohort_of,
    curve_of,
    render,
)
from cxr_audit.audit.networks import open_checks, open_classifier
from cxr_audit.audit.originals import Originals, compare_originals
from cxr_audit.audit.plan import (
    check_labels,
    check_subgroups,
    find_key,
    find_sources,
    label_notes,
    sample,
    with_class_names,
)
from cxr_audit.audit.prepare import reading
from cxr_audit.audit.protocol import write_protocol
from cxr_audit.audit.rerun import Reproduction, rerun
from cxr_audit.audit.resume import refuse_early, require_model_file
from cxr_audit.audit.run import audit
from cxr_audit.audit.verify import Verification, verify_run
from cxr_audit.audit.watch import WatchLimits, watch
from cxr_audit.audit.worklist import join_answers, write_worklist

__all__ = [
    "Engine",
    "ExpectedPasses",
    "FailedCase",
    "Originals",
    "Progress",
    "RecordsOnDisk",
    "Reproduction",
    "RunResult",
    "Verification",
    "WatchLimits",
    "audit",
    "check_labels",
    "check_subgroups",
    "cohort_of",
    "compare_originals",
    "curve_of",
    "expected_passes",
    "find_key",
    "find_sources",
    "join_answers",
    "label_notes",
    "open_checks",
    "open_classifier",
    "reading",
    "refuse_early",
    "render",
    "require_model_file",
    "rerun",
    "sample",
    "verify_run",
    "watch",
    "with_class_names",
    "write_protocol",
    "write_worklist",
]

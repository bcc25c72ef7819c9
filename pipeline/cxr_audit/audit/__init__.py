"""The composer: one config -> one run folder with an audit of every case. `run.py` is the whole job, step by step."""

from cxr_audit.audit.batch import sample
from cxr_audit.audit.opening import (
    check_labels,
    find_key,
    find_sources,
    open_checks,
    open_classifier,
    reading,
)
from cxr_audit.audit.rerun import Reproduction, rerun
from cxr_audit.audit.run import Engine, Progress, RunResult, audit, cohort_of, render
from cxr_audit.audit.verify import Verification, verify_run

__all__ = [
    "Engine",
    "Progress",
    "Reproduction",
    "RunResult",
    "Verification",
    "audit",
    "check_labels",
    "cohort_of",
    "find_key",
    "find_sources",
    "open_checks",
    "open_classifier",
    "reading",
    "render",
    "rerun",
    "sample",
    "verify_run",
]

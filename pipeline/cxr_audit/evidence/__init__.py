"""A run's records and files -> a folder that shows every later change.

Two files bind the folder, and each other:

    events.jsonl   a hash chain of what happened, in order: the SHA-256 of each case's record and
                   of the files beside it; last `sealed`: that of the other lines of SHA256SUMS
    SHA256SUMS     every file with its SHA-256, events.jsonl among them, for `sha256sum -c`

A changed file does not fit SHA256SUMS. A SHA256SUMS made to fit does not fit the last event. An
event made to fit breaks the chain. A folder made anew as a whole shows only in what lies outside of
it: the signature of SHA256SUMS (`SHA256SUMS.p7s`, see `signing`), or its SHA-256 written down
elsewhere. When the documents of a run are made again the folder is sealed again, and the chain says
so. Two runs of one config have the same cases and tables to the byte; their events differ, since
their times do.

    folder       writes and reads
    lock         one writer at a time
    private      what names patients
    code, sbom   which code and libraries ran
    events       the chain
    checksums    seals
    differences  compares, and `remedies` says what to do
    signing      signs, and checks signatures
"""

from cxr_audit.evidence.checksums import seal
from cxr_audit.evidence.code import code_identity
from cxr_audit.evidence.differences import UNFINISHED, documents, require_unchanged, verify
from cxr_audit.evidence.events import EventLog
from cxr_audit.evidence.folder import (
    CHECKSUMS,
    DELIVERED,
    SIGNATURE,
    SIGNATURES,
    Problem,
    RunFolder,
    file_sha256,
    write,
)
from cxr_audit.evidence.lock import holder_of, locked, require_unlocked
from cxr_audit.evidence.private import (
    KEY_NAME,
    KEY_VARIABLE,
    CaseIdKey,
    read_crosswalk,
    write_crosswalk,
)
from cxr_audit.evidence.remedies import in_words, remedy
from cxr_audit.evidence.sbom import SBOM, bill_of_materials

__all__ = [
    "CHECKSUMS",
    "DELIVERED",
    "KEY_NAME",
    "KEY_VARIABLE",
    "SBOM",
    "SIGNATURE",
    "SIGNATURES",
    "UNFINISHED",
    "CaseIdKey",
    "EventLog",
    "Problem",
    "RunFolder",
    "bill_of_materials",
    "code_identity",
    "documents",
    "file_sha256",
    "holder_of",
    "in_words",
    "locked",
    "read_crosswalk",
    "remedy",
    "require_unchanged",
    "require_unlocked",
    "seal",
    "verify",
    "write",
    "write_crosswalk",
]

"""A run's records and files -> a folder that shows every later change.

Two files bind the folder, and each other:

    events.jsonl   a hash chain of what happened, in order: each case's record, and what stands beside it, by SHA-256,
                   and last `sealed`: the SHA-256 of the lines of SHA256SUMS but its own
    SHA256SUMS     every file with its SHA-256, events.jsonl among them, for `sha256sum -c`

So a changed file does not fit SHA256SUMS, a SHA256SUMS made to fit does not fit the last event, and an event made to
fit breaks the chain. Who makes all of them anew is found out only by what lies outside the folder: the signature of
SHA256SUMS (`SHA256SUMS.p7s`, see `signing`), or its SHA-256 written down elsewhere. Every time the documents of a run
are made again, the folder is sealed again and the chain says so. Two runs of the same config have the same cases and
tables to the byte; their events differ, as their times do.

`folder` writes and reads, `private` keeps what names patients, `events` is the chain, `checksums` seals and verifies,
`sbom` lists the software, `signing` signs.
"""

from cxr_audit.evidence.checksums import seal
from cxr_audit.evidence.code import code_identity
from cxr_audit.evidence.differences import UNFINISHED, documents, require_unchanged, verify
from cxr_audit.evidence.events import EventLog
from cxr_audit.evidence.folder import (
    CHECKSUMS,
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

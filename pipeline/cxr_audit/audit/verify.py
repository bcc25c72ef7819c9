"""A run folder -> three statements apart: consistent, sealed by whom, reproduced.

consistent   files, chain of events, and the tables and attachments made again from the records
sealed by    the signatures; without one anyone could have made the seal
reproduced   cases audited again with the same result, where that is asked for
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from cxr_audit import evidence
from cxr_audit.audit.contradictions import contradictions
from cxr_audit.audit.finish import records_of
from cxr_audit.audit.installed import installed_code
from cxr_audit.audit.pages import compare_pages
from cxr_audit.audit.rerun import Reproduction
from cxr_audit.evidence import SIGNATURE, Problem, RunFolder
from cxr_audit.evidence.events import clock_reversals, identity, read_chain
from cxr_audit.records import CodeIdentity, RunRecord

if TYPE_CHECKING:
    from cxr_audit.evidence.signing import CheckedSignature

NOT_SIGNED = "Not signed: anyone could have made this seal."
NOT_RERUN = "not checked; --rerun N audits N cases again and compares"
SEALED_AGAIN = {"forged", "resealed", "not confirmed"}  # kinds of problems under a seal that fits
OTHER = {"not trusted", "not reproduced"}  # kinds that say nothing about consistency


@dataclass(frozen=True, slots=True)
class Verification:
    """What is known of a run folder.

    Parameters
    ----------
    folder : the run.
    problems : everything that is wrong, of all kinds.
    signatures : of the seal and of documents.
    checks : what "consistent" rests on, in words.
    notes : what is worth knowing and no problem.
    reproduction : what came of auditing cases again, None = not asked for.
    """

    folder: RunFolder
    problems: tuple[Problem, ...]
    signatures: tuple[CheckedSignature, ...]
    checks: tuple[str, ...]
    notes: tuple[str, ...]
    reproduction: Reproduction | None = None

    @property
    def consistent(self) -> str:
        """The first statement."""
        problems = [problem for problem in self.problems if problem.kind not in OTHER]
        kinds = {problem.kind for problem in problems}
        if not problems:
            return f"yes; {'; '.join(self.checks)}"
        if kinds == {"not confirmed"}:
            return "not confirmed; other code made this run, and this code makes other tables"
        if kinds <= SEALED_AGAIN:
            return "no; the folder was edited and sealed again: the seal fits, the content does not"
        if kinds == {"unfinished"}:
            return "not complete; a command was interrupted"
        return "no; files were changed after the run was sealed"

    @property
    def sealed_by(self) -> list[str]:
        """The second statement: one line a signature."""
        lines = [str(signature) for signature in self.signatures]
        has_seal = any(signature.file == SIGNATURE for signature in self.signatures)
        return lines if has_seal else [NOT_SIGNED, *lines]

    @property
    def reproduced(self) -> str:
        """The third statement."""
        found = self.reproduction
        if found is None:
            return NOT_RERUN
        num = len(found.case_ids)
        words = f"{found.num_same} of {num} cases audited again give the same record"
        if found.num_close:
            words += f", {found.num_close} the same within rounding"
        if found.problems:
            return f"no; {words}, {len(found.problems)} another one"
        return f"yes; {words} ({', '.join(found.case_ids)})"


@dataclass(slots=True)
class _Found:
    """What is collected on the way."""

    problems: list[Problem] = field(default_factory=list)
    checks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, problems: Sequence[Problem]) -> None:
        self.problems += [problem for problem in problems if problem not in self.problems]


def verify_run(path: Path, trust: Path | None = None) -> Verification:
    """What a run folder states and whether it holds; nothing is written and no case is audited.

    Parameters
    ----------
    path : the run folder.
    trust : certificates (PEM) that a signer's has to come from; None = they are not checked.

    Raises
    ------
    ConfigError : there is no run, or it is of a schema that is not read here.
    VerificationError : the run has no readable `SHA256SUMS`.
    RunLocked : another command is writing to it.
    """
    folder = RunFolder.open(path)
    evidence.require_unlocked(path)
    found = _Found(evidence.verify(folder))
    is_intact = not found.problems
    signatures = _signatures(folder, trust, found)
    if is_intact:
        run = folder.read_run()
        _compare_content(folder, run, found)
        _note_clock(folder, run, found)
        found.notes.append(f"made by {_code_in_words(run.software.code)}")
        found.notes += _code_difference(run.software.code)
    left = evidence.holder_of(path)
    if left is not None:
        found.notes.append(
            f"locked by {left[0]}; a command may still be writing here. "
            "The lock is not part of the evidence"
        )
    return Verification(
        folder, tuple(found.problems), signatures, tuple(found.checks), tuple(found.notes)
    )


def _signatures(
    folder: RunFolder, trust: Path | None, found: _Found
) -> tuple[CheckedSignature, ...]:
    """The signatures, where there are any; where a signer is asked for there must be one."""
    if not folder.is_signed and trust is None and not _has_signed_documents(folder):
        return ()
    from cxr_audit.evidence.signing import check_signatures

    signatures = check_signatures(folder, trust)
    found.add([signature.problem for signature in signatures if signature.problem is not None])
    is_named = any(problem.name == SIGNATURE for problem in found.problems)
    if trust is not None and not folder.is_signed and not is_named:
        found.add([Problem("missing", SIGNATURE, "this run is not signed")])
    return tuple(signatures)


def _has_signed_documents(folder: RunFolder) -> bool:
    return folder.events.is_file() and b'"event":"signed"' in folder.events.read_bytes()


def _compare_content(folder: RunFolder, run: RunRecord, found: _Found) -> None:
    """Make tables and attachments again from the records and compare."""
    records = records_of(folder)
    num_files = len((folder.path / evidence.CHECKSUMS).read_bytes().splitlines())
    found.checks.append(f"{num_files} files and the chain of events fit the seal")
    is_same_code = (
        run.software.code is not None and run.software.code.sha256 == installed_code().sha256
    )
    found.add(list(contradictions(folder, run, records, is_same_code)))
    cases = "1 record" if len(records) == 1 else f"{len(records)} records"
    found.checks.append(f"tables and attachments follow from {cases}")
    if not found.problems:
        pages = compare_pages(folder, run, records, is_same_code)
        found.add(pages.problems)
        (found.checks if pages.is_compared else found.notes).append(pages.words)
    if not (folder.private / "crosswalk.csv").is_file():
        found.notes.append("intervals in cohort.json were not compared: private/ is not here")


def _note_clock(folder: RunFolder, run: RunRecord, found: _Found) -> None:
    if not folder.events.is_file():
        return
    events, _, _ = read_chain(folder.events.read_bytes(), identity(run))
    for number, seconds in clock_reversals(events):
        found.notes.append(
            f"the clock went back by {seconds:,} s before event {number}: times are not reliable"
        )


def _code_in_words(code: CodeIdentity | None) -> str:
    """For example "cxr-audit 0.1.0 (wheel), code SHA-256 0123..."."""
    if code is None:
        return "a version of cxr-audit that did not record its code"
    states = {"wheel": "wheel", "checkout": "checkout", "copy": "copied files"}
    state = states[code.install]
    if code.changed is None:
        state += ", not known whether edited"
    elif code.changed:
        names = ", ".join(code.changed[:3])
        more = f" and {len(code.changed) - 3} more" if len(code.changed) > 3 else ""
        state += f", EDITED: {names}{more}"
    return f"cxr-audit {code.version} ({state}), code SHA-256 {code.sha256}"


def _code_difference(code: CodeIdentity | None) -> list[str]:
    """How the code of the run differs from the one that verifies it."""
    if code is None:
        return []
    own = installed_code()
    if own.sha256 == code.sha256:
        return ["the code that verifies is the code that made the run"]
    if own.files == code.files:
        parts = ", ".join(_different(own.parts, code.parts))
        return [f"made with other {parts} than are installed here"]
    names = _different(own.files, code.files)
    files = "1 file differs" if len(names) == 1 else f"{len(names)} files differ"
    words = f"made by other code than is installed here: {files}, such as {names[0]}"
    version = own.version.partition("+")[0]
    if version == code.version.partition("+")[0]:
        words += f"; both state version {version}"
    return [words]


def _different(own: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The names whose sums differ, or that one side lacks."""
    return sorted(name for name in {**own, **other} if own.get(name) != other.get(name))

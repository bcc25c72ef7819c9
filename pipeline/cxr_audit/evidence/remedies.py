"""What to do about the differences that `verify` names, and which run a folder holds."""

from __future__ import annotations

from collections.abc import Collection

from cxr_audit.evidence.folder import (
    CHECKSUMS,
    PRIVATE,
    SIGNATURES,
    Problem,
    RunFolder,
    file_sha256,
)
from cxr_audit.evidence.private import private_files

ARCHIVED = "restore the archived copy of this folder"


def remedy(problems: Collection[Problem]) -> str:
    """What to do about the problems that `verify` names; the most serious one decides."""
    kinds = {problem.kind for problem in problems if not is_signature_gone(problem)}
    if not kinds:
        return (
            "nothing else was changed; sign the run again with cxr-audit sign RUN, "
            "or restore the signature from an archive"
        )
    if kinds == {"unfinished"}:
        return f"nothing else was changed; give the command again: {_interrupted(problems)}"
    if kinds == {"not trusted"}:
        return (
            "the files are the signed ones; only the signer is not confirmed. --trust takes the "
            "certificate (PEM) of the authority that has issued the signer's"
        )
    if kinds == {"not confirmed"}:
        return "verify it with the version that made it: run.json names it under software"
    if kinds <= {"forged", "resealed", "not confirmed"}:
        return f"the folder was edited and then sealed again; {ARCHIVED}"
    if kinds == {"not reproduced"}:
        return "look at the named cases: records, software, model file or machine differ"
    if kinds == {"unreadable"}:
        return ARCHIVED
    return f"files were changed after the run was sealed; {ARCHIVED}"


def is_signature_gone(problem: Problem) -> bool:
    """Whether the signature of `SHA256SUMS` was removed, or making it was interrupted."""
    return problem.kind == "missing" and problem.name in SIGNATURES


def in_words(folder: RunFolder) -> str:
    """Which run a folder holds, what to write down elsewhere, and the state of `private/`.

    A complete run may stand in another's place: its name, start and seal tell them apart.
    """
    run = folder.read_run()
    words = [
        f"run {run.name} of {run.started}, {run.cases.num_cases:,} cases",
        f"SHA-256 of {CHECKSUMS} {file_sha256(folder.path / CHECKSUMS)}",
    ]
    private = private_files(folder)
    if not private:
        words.append(f"{PRIVATE}/ is not here or cannot be opened; not checked")
        return "; ".join(words)
    expected = ("config.json", "crosswalk.csv")
    missing = [name for name in expected if folder.private / name not in private]
    words += [f"{PRIVATE}/{name} is not here or cannot be opened; not checked" for name in missing]
    if any(path.stat().st_mode & 0o077 for path in private):
        words.append(f"{PRIVATE}/ names patients and can be read by others than its owner")
    return "; ".join(words)


def _interrupted(problems: Collection[Problem]) -> str:
    commands = [problem.name for problem in problems if problem.kind == "unfinished"]
    names = commands[0].split(" or ")
    return " or ".join(f"cxr-audit {name} RUN" for name in names)

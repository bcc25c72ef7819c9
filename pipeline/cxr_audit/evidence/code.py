"""The installed package -> which code runs: version, hash of its files, whether they were changed.

A version number says nothing about files that were edited after they were installed. The SHA-256 of
a part is that of the lines "SHA-256, two spaces, path" of its files in order, as `sha256sum` prints
them, so that it can be made without this program. The same files give the same hash in a wheel and
in a checkout.
"""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import importlib
import os
import subprocess
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

from cxr_audit.evidence.folder import file_sha256
from cxr_audit.records import CodeIdentity

PACKAGE = Path(__file__).resolve().parents[1]
DISTRIBUTION = "cxr-audit"
ROWS = "cxr_audit"  # entry points of packages that add rows to the vocabulary
NO_CODE = {"__pycache__", "_data"}  # `_data` holds copies of other parts, in a wheel only
GIT_SECONDS = 10


def code_identity(parts: Mapping[str, Path]) -> CodeIdentity:
    """Which code runs in this process.

    Parameters
    ----------
    parts : folders that ship beside the code, by name, such as templates and weights. A folder
        inside the package counts as its own part, not as code.
    """
    return _code_identity(tuple(sorted(parts.items())))


def files_of(folder: Path, without: Iterable[Path] = ()) -> dict[str, str]:
    """The SHA-256 of each file below a folder by its path there; compiled copies are left out.

    Parameters
    ----------
    folder : where to look.
    without : folders below it that do not count.
    """
    left_out = tuple(without)
    digests = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if NO_CODE & set(name.parts) or any(path.is_relative_to(other) for other in left_out):
            continue
        if path.is_file():
            digests[name.as_posix()] = file_sha256(path)
    return digests


def sum_of_files(files: Mapping[str, str]) -> str:
    """One SHA-256 for the files of a part."""
    lines = "".join(f"{files[name]}  {name}\n" for name in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()


@functools.cache  # the files of a running program are read once
def _code_identity(parts: tuple[tuple[str, Path], ...]) -> CodeIdentity:
    folders = [folder.resolve() for _, folder in parts]
    files = files_of(PACKAGE, folders)
    sums = {"code": sum_of_files(files)}
    for (name, _), folder in zip(parts, folders, strict=True):
        sums[name] = sum_of_files(files_of(folder))
    sums |= _added_packages()
    whole = sum_of_files(sums)
    if _is_in_checkout():
        changed = _changed_in_checkout([PACKAGE, *folders])
        commit = _git("rev-parse", "HEAD")
        version = _version_of_checkout(commit, bool(changed))
        return CodeIdentity(version, whole, sums, files, "checkout", commit, changed)
    version = _own_version()
    distribution = _own_distribution()
    if distribution is None:
        return CodeIdentity(version, whole, sums, files, "copy", None, None)
    changed = _changed_since_install(distribution)
    return CodeIdentity(version, whole, sums, files, "wheel", _commit_of_wheel(), changed)


def _commit_of_wheel() -> str | None:
    """The commit that a wheel was built from, see `hatch_build.py`; None where it states none."""
    path = PACKAGE / "_data" / "commit"
    return path.read_text("ascii").strip() if path.is_file() else None


def _own_version() -> str:
    """The version that the package states; the package itself stands above this room."""
    return str(importlib.import_module(PACKAGE.name).__version__)


def _version_of_checkout(commit: str | None, is_changed: bool) -> str:
    """The version, then + and: commits since its tag, which commit, "dirty" if edited."""
    version = _own_version()
    described = _git("describe", "--tags", "--long", "--abbrev=12", "--match", "v[0-9]*")
    local = [] if commit is None else [f"g{commit[:12]}"]
    if described is not None:
        tag, number, revision = described.rsplit("-", 2)
        version = tag.removeprefix("v")
        local = [number, revision] if number != "0" else []
    if is_changed:
        local.append("dirty")
    return "+".join(filter(None, (version, ".".join(local))))


def _is_in_checkout() -> bool:
    """Whether git keeps the package: a virtual environment may stand in another checkout."""
    return _git("ls-files", "--error-unmatch", "__init__.py") is not None


def _changed_in_checkout(folders: list[Path]) -> tuple[str, ...] | None:
    """Files that differ from the commit or are not in it; None where git does not say."""
    status = _git("status", "--porcelain", "-z", "--no-renames", "--", *map(str, folders))
    if status is None:
        return None
    return tuple(sorted(entry[3:] for entry in status.split("\0") if entry))


def _git(*arguments: str) -> str | None:
    """What git says about the checkout of the package, None where there is none or no git."""
    environment = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(
            ["git", "-C", str(PACKAGE), *arguments],
            capture_output=True,
            text=True,
            env=environment,
            timeout=GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip("\n") if done.returncode == 0 else None


def _own_distribution() -> metadata.Distribution | None:
    """The distribution that has installed the package that runs, None where it was copied there."""
    for distribution in metadata.distributions(name=DISTRIBUTION):
        installed = Path(str(distribution.locate_file("cxr_audit/__init__.py"))).resolve()
        if installed == PACKAGE / "__init__.py" and distribution.files:
            return distribution
    return None


def _changed_since_install(distribution: metadata.Distribution) -> tuple[str, ...]:
    """Files that differ from the wheel's RECORD or are gone, and modules that were added."""
    changed = set()
    known = set()
    # Not `distribution.files`: the backport importlib_metadata leaves out files that are gone.
    for name, digest, _ in csv.reader((distribution.read_text("RECORD") or "").splitlines()):
        if name.split("/")[0] != PACKAGE.name:
            continue
        path = Path(str(distribution.locate_file(name)))
        known.add(path.resolve())
        if digest and _record_hash(path) != digest.partition("=")[2]:
            changed.add(name)
    for path in PACKAGE.rglob("*.py"):
        if path.resolve() not in known:
            changed.add(path.relative_to(PACKAGE.parent).as_posix())
    return tuple(sorted(changed))


def _record_hash(path: Path) -> str | None:
    """SHA-256 of a file in the form of RECORD (PEP 376): base64 for addresses, without padding."""
    try:
        digest = hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return None
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _added_packages() -> dict[str, str]:
    """The sum of each other package that adds rows to the vocabulary, by name and version."""
    sums = {}
    for entry in metadata.entry_points(group=ROWS):
        distribution = entry.dist
        if distribution is None or distribution.name == DISTRIBUTION:
            continue
        files = {
            file.as_posix(): file_sha256(Path(str(file.locate())))
            for file in distribution.files or ()
            if "__pycache__" not in file.parts and not file.parts[0].endswith(".dist-info")
        }
        sums[f"{distribution.name} {distribution.version}"] = sum_of_files(files)
    return sums

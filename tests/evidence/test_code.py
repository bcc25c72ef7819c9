"""Which code runs: the same files give the same hash, and every edit is named, however it is installed."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
from cxr_audit.audit.installed import installed_code
from cxr_audit.evidence import code
from cxr_audit.records import CodeIdentity

RUN_BY_GIT = ("-c", "user.name=t", "-c", "user.email=t@example.org")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of two modules, with data in it and templates beside it."""
    package = tmp_path / "top" / "cxr_audit"
    (package / "reference").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "focus.py").write_text("LIMIT = 0.5\n")
    (package / "reference" / "weights.bin").write_bytes(b"\0\1")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "focus.pyc").write_bytes(b"x")
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "case.html").write_text("<p>")
    monkeypatch.setattr(code, "PACKAGE", package)
    monkeypatch.syspath_prepend(package.parent)
    return package


def identity(package: Path) -> CodeIdentity:
    code._code_identity.cache_clear()
    templates = package.parents[1] / "templates"
    try:
        return code.code_identity({"templates": templates, "weights": package / "reference"})
    finally:
        code._code_identity.cache_clear()


def install(package: Path) -> None:
    """What an installer writes beside a package (PEP 376)."""
    lines = []
    for name in ("__init__.py", "focus.py", "reference/weights.bin"):
        digest = hashlib.sha256((package / name).read_bytes()).digest()
        text = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        lines.append(f"cxr_audit/{name},sha256={text},1\n")
    folder = package.parent / "cxr_audit-0.1.0.dist-info"
    folder.mkdir()
    (folder / "RECORD").write_text("".join(lines) + "cxr_audit-0.1.0.dist-info/RECORD,,\n")
    (folder / "METADATA").write_text("Metadata-Version: 2.4\nName: cxr-audit\nVersion: 0.1.0\n")


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *RUN_BY_GIT, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_hash_of_a_part_is_what_coreutils_make_of_it(package: Path) -> None:
    command = "LC_ALL=C; find . -name '*.py' -printf '%P\\n' | sort | xargs sha256sum | sha256sum"
    done = subprocess.run(command, cwd=package, shell=True, capture_output=True, text=True)
    assert identity(package).parts["code"] == done.stdout.split()[0]
    (package / "reference" / "weights.bin").write_bytes(b"\0\2")
    assert identity(package).parts["code"] == done.stdout.split()[0]


def test_every_part_counts(package: Path) -> None:
    before = identity(package)
    for path, part in (
        (package / "focus.py", "code"),
        (package / "reference" / "weights.bin", "weights"),
        (package.parents[1] / "templates" / "case.html", "templates"),
    ):
        kept = path.read_bytes()
        path.write_bytes(kept + b" ")
        now = identity(package)
        assert now.sha256 != before.sha256
        assert [name for name in now.parts if now.parts[name] != before.parts[name]] == [part]
        path.write_bytes(kept)
    assert identity(package) == before


def test_an_edit_after_installation_is_named(package: Path) -> None:
    install(package)
    whole = identity(package)
    assert (whole.version, whole.install, whole.changed) == ("0.1.0", "wheel", ())
    (package / "focus.py").write_text("LIMIT = 0.9\n")
    (package / "added.py").write_text("")
    edited = identity(package)
    assert edited.changed == ("cxr_audit/added.py", "cxr_audit/focus.py")
    (package / "focus.py").unlink()
    assert identity(package).changed == ("cxr_audit/added.py", "cxr_audit/focus.py")


def test_a_copy_without_a_record_is_said_to_be_one(package: Path) -> None:
    found = identity(package)
    assert (found.install, found.commit, found.changed) == ("copy", None, None)


@pytest.mark.skipif(shutil.which("git") is None, reason="no git on this machine")
def test_a_checkout_says_its_commit_and_what_was_edited(package: Path) -> None:
    top = package.parents[1]
    (top / ".gitignore").write_text("__pycache__\n")
    git(top, "init", "-q")
    git(top, "add", "-A")
    git(top, "commit", "-qm", "first")
    commit = git(top, "rev-parse", "HEAD")
    clean = identity(package)
    assert (clean.install, clean.commit, clean.changed) == ("checkout", commit, ())
    assert clean.version == f"0.1.0+g{commit[:12]}"
    git(top, "tag", "-a", "v0.2.0", "-m", "release")
    assert identity(package).version == "0.2.0"
    (top / "notes.txt").write_text("no part of the package")
    git(top, "add", "-A")
    git(top, "commit", "-qm", "second")
    commit = git(top, "rev-parse", "HEAD")
    assert identity(package).version == f"0.2.0+1.g{commit[:12]}"
    (package / "focus.py").write_text("LIMIT = 0.9\n")
    (top / "templates" / "new.css").write_text("")
    edited = identity(package)
    assert edited.changed == ("templates/new.css", "top/cxr_audit/focus.py")
    assert edited.version == f"0.2.0+1.g{commit[:12]}.dirty"


def test_a_package_with_rows_counts(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = package.parents[1] / "site"
    (site / "more_rows-2.0.dist-info").mkdir(parents=True)
    (site / "more_rows.py").write_text("ROWS = 1\n")
    (site / "more_rows-2.0.dist-info" / "METADATA").write_text("Name: more-rows\nVersion: 2.0\n")
    (site / "more_rows-2.0.dist-info" / "RECORD").write_text("more_rows.py,,\n")
    entries = "[cxr_audit]\nrows = more_rows:ROWS\n"
    (site / "more_rows-2.0.dist-info" / "entry_points.txt").write_text(entries)
    monkeypatch.syspath_prepend(site)
    before = identity(package)
    assert "more-rows 2.0" in before.parts
    (site / "more_rows.py").write_text("ROWS = 2\n")
    assert identity(package).sha256 != before.sha256


def test_the_code_that_runs_here_is_known() -> None:
    found = installed_code()
    own = Path(code.__file__)
    assert found.files["evidence/code.py"] == hashlib.sha256(own.read_bytes()).hexdigest()
    assert {"code", "templates", "weights"} <= found.parts.keys()
    assert "reference/weights/lungs.keras" not in found.files

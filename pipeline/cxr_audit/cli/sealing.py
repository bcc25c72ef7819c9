"""Commands for the evidence of a run: verify, sign."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from cxr_audit import evidence
from cxr_audit.cli.options import RunPath, load
from cxr_audit.cli.screen import err, out, progress_bar
from cxr_audit.config import AuditConfig
from cxr_audit.errors import ConfigError, VerificationError

if TYPE_CHECKING:
    from cxr_audit.audit import RunResult, Verification


def verify(
    run_folder: RunPath,
    trust: Annotated[
        Path | None,
        typer.Option(help="certificates (PEM) of the authorities whose signatures you accept"),
    ] = None,
    rerun: Annotated[
        int, typer.Option(min=0, help="audit N cases again, chosen at random, and compare")
    ] = 0,
    config: Annotated[
        Path | None, typer.Option(help="config for --rerun; default: private/config.json")
    ] = None,
    originals: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            file_okay=False,
            help="folder of the radiographs: says which cases are among them",
        ),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(help="key of the case ids; default: beside the run, or CXR_AUDIT_CASE_ID_KEY"),
    ] = None,
) -> None:
    """Check a run folder: is it consistent, who sealed it, can its cases be reproduced.

    Consistent: every file fits SHA256SUMS and the chain of events; cases.csv, cohort.json and the
    files that PDFs carry follow from the records. Anyone can make a seal that fits; only a
    signature shows who made it. Exit code 7 where anything is wrong.
    """
    from cxr_audit.audit import verify_run

    verification = verify_run(run_folder, trust)
    if rerun and not verification.problems:
        verification = _rerun(verification, rerun, config, key_file)
    if originals is not None and not verification.problems:
        verification = _with_originals(verification, originals, key_file)
    for line in _statements(verification):
        err.print(line, highlight=False, markup=False)
    if verification.problems:
        num = len(verification.problems)
        findings = "1 finding" if num == 1 else f"{num} findings"
        lines = "\n".join(map(str, verification.problems))
        raise VerificationError(
            f"{run_folder}: {findings}\n{lines}", evidence.remedy(verification.problems)
        )


def _rerun(
    verification: Verification, num: int, config: Path | None, key_file: Path | None
) -> Verification:
    from cxr_audit.audit import rerun
    from cxr_audit.engines import run_audit

    settings = None if config is None else load(config, None)
    with progress_bar() as progress:

        def run_again(config: AuditConfig, resume: bool, limit: int | None) -> RunResult:
            return run_audit(config, resume, limit, progress)

        reproduction = rerun(verification.folder, num, run_again, settings, key_file)
    problems = (*verification.problems, *reproduction.problems)
    return replace(verification, problems=problems, reproduction=reproduction)


def _with_originals(
    verification: Verification, originals: Path, key_file: Path | None
) -> Verification:
    from cxr_audit.audit import compare_originals

    compared = compare_originals(verification.folder, originals, key_file)
    problems = (*verification.problems, *compared.problems)
    return replace(
        verification, problems=problems, notes=(*verification.notes, f"originals: {compared}")
    )


def _statements(verification: Verification) -> list[str]:
    """What `verify` prints: the three statements, then notes."""
    lines = [f"consistent: {verification.consistent}"]
    lines += [f"seal: {line}" for line in verification.sealed_by]
    lines.append(f"reproduced: {verification.reproduced}")
    lines += [f"note: {note}" for note in verification.notes]
    if not verification.problems:
        lines.append(evidence.in_words(verification.folder))
    return lines


def sign(
    run_folder: RunPath,
    name: Annotated[str, typer.Option(help="who signs, as in the certificate")],
    meaning: Annotated[str, typer.Option(help="what for, such as reviewed or approved")],
    key: Annotated[Path | None, typer.Option(help="private key, PEM or DER")] = None,
    cert: Annotated[Path | None, typer.Option(help="its certificate, PEM or DER")] = None,
    chain: Annotated[
        list[Path] | None,
        typer.Option(help="certificate of an authority above it; may be given again"),
    ] = None,
    pkcs12: Annotated[
        Path | None, typer.Option(help="key and certificate in one file (.p12, .pfx)")
    ] = None,
    pkcs11: Annotated[
        Path | None, typer.Option(help="library of a token that keeps the key (PKCS#11)")
    ] = None,
    token: Annotated[str, typer.Option(help="label of the token")] = "",
    label: Annotated[str, typer.Option(help="label of key and certificate in the token")] = "",
    timestamp_url: Annotated[
        str | None, typer.Option(help="address of a time-stamp server (RFC 3161)")
    ] = None,
    document: Annotated[
        list[str] | None,
        typer.Option(
            help="a PDF by its path in the run folder; may be given again; "
            "default: summary.pdf where it exists"
        ),
    ] = None,
) -> None:
    """Sign the SHA256SUMS of a run (CMS) and its PDFs (PAdES).

    Set CXR_AUDIT_PASSPHRASE to the passphrase of the key or the PIN of the token. A certificate
    that has expired or is not for signatures is refused.
    """
    from cxr_audit.evidence import RunFolder, signing

    signer = _signer(key, cert, chain or (), pkcs12, pkcs11, token, label)
    folder = RunFolder.open(run_folder)
    documents = document or []
    if document is None and (folder.path / "summary.pdf").is_file():
        documents = ["summary.pdf"]
    clock = signing.timestamper_at(timestamp_url) if timestamp_url else None
    signing.sign(folder, signer, name, meaning, documents, clock, _stamp)
    certificate = signer.signing_cert
    if not signing.is_same_name(name, certificate):
        certified = signing.certified_name(certificate)
        note = f"note: the certificate names {certified}, --name says {name}; verify shows both"
        err.print(note, highlight=False, markup=False)
    for file in (*documents, "SHA256SUMS"):
        err.print(f"signed {file}", highlight=False)
    out.print(str(folder.path / "SHA256SUMS.p7s"), highlight=False)


def _stamp(name: str, meaning: str, certified: str, moment: datetime) -> bytes:
    from cxr_audit.report import Renderer

    return Renderer().stamp_pdf(name, meaning, certified, moment)


def _signer(
    key: Path | None,
    cert: Path | None,
    chain: Sequence[Path],
    pkcs12: Path | None,
    pkcs11: Path | None,
    token: str,
    label: str,
) -> Any:
    """The signer of the options; raises `ConfigError` unless they give exactly one key."""
    from cxr_audit.evidence import signing

    secret = os.environ.get("CXR_AUDIT_PASSPHRASE")
    match (key and cert, pkcs12, pkcs11):
        case (Path(), None, None):
            return signing.signer_of_files(cast(Path, key), cast(Path, cert), chain, secret)
        case (None, Path(), None):
            return signing.signer_of_pkcs12(pkcs12, secret)
        case (None, None, Path()):
            return signing.signer_of_pkcs11(pkcs11, token, label, secret)
        case _:
            raise ConfigError(
                "expected one key",
                "give --key and --cert, or --pkcs12, or --pkcs11 with --token and --label",
            )

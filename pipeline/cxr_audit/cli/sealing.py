"""Commands for the evidence of a run: verify, sign."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, cast

import typer

from cxr_audit.cli.options import RunPath
from cxr_audit.cli.screen import err, out
from cxr_audit.errors import ConfigError, VerificationError


def verify(
    run_folder: RunPath,
    trust: Annotated[
        Path | None, typer.Option(help="certificates (PEM) that a signer's has to come from")
    ] = None,
) -> None:
    """Check every file of a run against its SHA256SUMS, its events and signatures; names what is not as it was."""
    from cxr_audit import evidence

    folder = evidence.RunFolder.open(run_folder)
    problems = evidence.verify(folder)
    if folder.is_signed or trust is not None:
        from cxr_audit.evidence.signing import check_signatures

        signatures = check_signatures(folder, trust)
        problems += [
            one.problem
            for one in signatures
            if one.problem is not None and one.problem not in problems
        ]
        if (
            trust is not None
            and not folder.is_signed
            and not any(one.name == evidence.SIGNATURE for one in problems)
        ):
            problems.append(
                evidence.Problem("missing", evidence.SIGNATURE, "this run is not signed")
            )
        for one in signatures:
            err.print(one.words, highlight=False, markup=False)
    if problems:
        raise VerificationError(
            f"{len(problems)} difference{'s' if len(problems) > 1 else ''} to {run_folder}/SHA256SUMS\n"
            + "\n".join(map(str, problems)),
            evidence.remedy(problems),
        )
    err.print(
        f"{run_folder}: unchanged; {evidence.in_words(folder)}", highlight=False, markup=False
    )


def sign(
    run_folder: RunPath,
    name: Annotated[str, typer.Option(help="who signs")],
    meaning: Annotated[str, typer.Option(help="what for, such as reviewed or approved")],
    key: Annotated[Path | None, typer.Option(help="private key, PEM or DER")] = None,
    cert: Annotated[Path | None, typer.Option(help="its certificate, PEM or DER")] = None,
    chain: Annotated[
        list[Path] | None, typer.Option(help="a certificate above it; may be given again")
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
        str | None, typer.Option(help="a time-stamp server (RFC 3161)")
    ] = None,
    document: Annotated[
        list[str] | None,
        typer.Option(
            help="a PDF by its path in the run folder; default: summary.pdf if it is there"
        ),
    ] = None,
) -> None:
    """Sign the SHA256SUMS of a run (CMS) and its PDFs (PAdES). CXR_AUDIT_PASSPHRASE has the passphrase or the PIN."""
    from cxr_audit.evidence import RunFolder, signing

    secret = os.environ.get("CXR_AUDIT_PASSPHRASE")
    match (key and cert, pkcs12, pkcs11):
        case (Path(), None, None):
            signer = signing.signer_of_files(cast(Path, key), cast(Path, cert), chain or (), secret)
        case (None, Path(), None):
            signer = signing.signer_of_pkcs12(pkcs12, secret)
        case (None, None, Path()):
            signer = signing.signer_of_pkcs11(pkcs11, token, label, secret)
        case _:
            raise ConfigError(
                "expected one key",
                "give --key and --cert, or --pkcs12, or --pkcs11 with --token and --label",
            )
    folder = RunFolder.open(run_folder)
    documents = document or (["summary.pdf"] if (folder.path / "summary.pdf").is_file() else [])
    clock = signing.timestamper_at(timestamp_url) if timestamp_url else None
    signing.sign(folder, signer, name, meaning, documents, clock)
    for file in (*documents, "SHA256SUMS"):
        err.print(f"signed {file}", highlight=False)
    out.print(str(folder.path / "SHA256SUMS.p7s"), highlight=False)

"""A key and a sealed run -> signatures of its `SHA256SUMS` and of its PDFs; and what they are worth.

`SHA256SUMS.p7s` is a detached CMS signature (RFC 5652, CAdES), PDFs get an invisible PAdES signature (ETSI EN 319
142-1) with name and meaning; both with a time-stamp (RFC 3161) where a server is given. Who signed, what for and which
PDFs also stands in `events.jsonl`, which `SHA256SUMS` binds. One signature of `SHA256SUMS` stands at a time, the last:
each one seals the folder anew. Refuses to sign a run that does not verify. The only module that knows pyHanko, which
comes with the extra `signing`.
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cxr_audit.errors import ConfigError
from cxr_audit.evidence.checksums import line_of, seal
from cxr_audit.evidence.differences import BEGINNING, SIGNING, put_back, require_unchanged
from cxr_audit.evidence.events import EventLog, identity, read_chain
from cxr_audit.evidence.folder import (
    CHECKSUMS,
    SIGNATURE,
    SIGNATURE_SUM,
    SIGNATURES,
    Problem,
    RunFolder,
    file_sha256,
    write,
)
from cxr_audit.evidence.lock import locked

try:
    from asn1crypto import cms, pem, x509
    from pkcs11 import PKCS11Error
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
    from pyhanko.pdf_utils.misc import PdfError
    from pyhanko.pdf_utils.reader import PdfFileReader
    from pyhanko.sign import signers, timestamps
    from pyhanko.sign.fields import SigSeedSubFilter
    from pyhanko.sign.general import SigningError
    from pyhanko.sign.validation import async_validate_detached_cms, async_validate_pdf_signature
    from pyhanko.sign.validation.errors import SignatureValidationError
    from pyhanko_certvalidator import ValidationContext
except ImportError as error:
    raise ConfigError(
        "signatures need pyHanko", "install it: pip install 'cxr-audit[signing]'"
    ) from error

for _name in (
    "pyhanko",
    "pyhanko_certvalidator",
):  # what they log is said in our own words, or asked for by --trust
    logging.getLogger(_name).addHandler(logging.NullHandler())
    logging.getLogger(_name).propagate = False

DIGEST = "sha256"
# What pyHanko and asn1crypto meet damaged data with, beside their own errors.
DAMAGED = (ValueError, TypeError, AttributeError, KeyError, SignatureValidationError)


@dataclass(frozen=True, slots=True)
class CheckedSignature:
    """One signature in words; `problem` says why it does not hold, None where it does."""

    file: str
    words: str
    problem: Problem | None = None


def signer_of_files(
    key: Path, certificate: Path, chain: Sequence[Path], passphrase: str | None
) -> Any:
    """A signer from a key and a certificate in PEM or DER. Raises `ConfigError`."""
    secret = passphrase.encode() if passphrase else None
    return _loaded(
        signers.SimpleSigner.load, key, certificate, ca_chain_files=chain, key_passphrase=secret
    )


def signer_of_pkcs12(file: Path, passphrase: str | None) -> Any:
    """A signer from a PKCS#12 file. Raises `ConfigError`."""
    return _loaded(
        signers.SimpleSigner.load_pkcs12,
        file,
        passphrase=passphrase.encode() if passphrase else None,
    )


def signer_of_pkcs11(library: Path, token: str, label: str, pin: str | None) -> Any:
    """A signer whose key stays in a token; key and certificate have one label. Raises `ConfigError`."""
    from pyhanko.config.pkcs11 import TokenCriteria
    from pyhanko.sign.pkcs11 import PKCS11Signer, open_pkcs11_session

    try:
        session = open_pkcs11_session(
            str(library), token_criteria=TokenCriteria(label=token), user_pin=pin
        )
        signer = PKCS11Signer(session, cert_label=label)
        asyncio.run(signer.ensure_objects_loaded())
    except (PKCS11Error, SigningError) as error:
        raise ConfigError(
            f"the PKCS#11 token {token!r} cannot be used: {error!r}", "check library, token and PIN"
        ) from error
    return signer


def _loaded(load: Any, *files: Path, **options: Any) -> Any:
    signer = load(*map(str, files), **options)
    if signer is None:
        names = " and ".join(file.name for file in files)
        raise ConfigError(
            f"no key can be read from {names}", "check the files, their format and the passphrase"
        )
    return signer


def timestamper_at(url: str) -> Any:
    """A time-stamp server (RFC 3161)."""
    return timestamps.HTTPTimeStamper(url)


def sign(
    folder: RunFolder,
    signer: Any,
    name: str,
    meaning: str,
    documents: Sequence[str],
    timestamper: Any = None,
) -> None:
    """Sign PDFs of a run and its `SHA256SUMS`.

    Parameters
    ----------
    signer : see `signer_of_files`, `signer_of_pkcs12` and `signer_of_pkcs11`.
    name, meaning : who signs and what for, such as "reviewed"; both stand in the PDFs and in the events.
    documents : PDFs by their path in the run folder.
    timestamper : see `timestamper_at`.

    Raises
    ------
    ConfigError : the run has not finished, no such PDF, or the key or the time-stamp server cannot be used.
    VerificationError : the run is not what it was.
    RunLocked : another command writes to the run folder.
    """
    with locked(folder.path):
        _sign(folder, signer, name, meaning, documents, timestamper)


def _sign(
    folder: RunFolder,
    signer: Any,
    name: str,
    meaning: str,
    documents: Sequence[str],
    timestamper: Any,
) -> None:
    run = folder.read_run()
    if run.status != "finished" or not folder.is_sealed:
        raise ConfigError(
            f"{folder.path} has not finished", "go on with it: cxr-audit run CONFIG --resume"
        )
    found = require_unchanged(folder, but={*SIGNATURES, BEGINNING, SIGNING})
    documents = [_pdf_of(folder, file) for file in documents]
    if SIGNING in found:
        put_back(folder)
    try:
        signed = {
            file: _signed_pdf((folder.path / file).read_bytes(), signer, name, meaning, timestamper)
            for file in documents
        }
        events = EventLog.open(folder)
        if SIGNING in found:
            events.append("restored")
        events.adopt(folder, run)
        events.append("rewriting", documents=list(signed))
        for file, data in signed.items():
            write(folder.path / file, data)
        certificate = signer.signing_cert.sha256.hex()
        sums = {file: file_sha256(folder.path / file) for file in documents}
        events.append(
            "signed", name=name, meaning=meaning, certificate_sha256=certificate, documents=sums
        )
        seal(folder, events)
        data = (folder.path / CHECKSUMS).read_bytes()
        content = asyncio.run(
            signer.async_sign_general_data(
                data, DIGEST, detached=True, use_cades=True, timestamper=timestamper
            )
        )
    except (
        SigningError,
        PKCS11Error,
        PdfError,
        timestamps.TimestampRequestError,
        OSError,
    ) as error:
        raise ConfigError(
            f"not signed: {error}", "the key or the time-stamp server cannot be used; try again"
        ) from error
    write(folder.path / SIGNATURE, content.dump())
    write(folder.path / SIGNATURE_SUM, line_of(folder.path / SIGNATURE))


def check_signatures(folder: RunFolder, trust: Path | None = None) -> list[CheckedSignature]:
    """The signatures of a run: that of `SHA256SUMS`, and those of the PDFs that its events name as signed.

    Parameters
    ----------
    trust : certificates (PEM) that a signer's must come from; None = who signed is not asked, only whether the bytes
        are the signed ones.
    """
    roots = _certificates(trust) if trust else []
    context = ValidationContext(trust_roots=roots, allow_fetching=False)
    found = []
    if (folder.path / SIGNATURE).is_file():
        found.append(_checked_cms(folder, context, trust is not None))
    for file in _signed_documents(folder):
        found += _checked_pdf(folder, file, context, trust is not None)
    return found


def _pdf_of(folder: RunFolder, file: str) -> str:
    """A document by its path in the run folder, however it was written."""
    path, run = (folder.path / file).resolve(), folder.path.resolve()
    if not path.is_relative_to(run) or path.suffix != ".pdf" or not path.is_file():
        raise ConfigError(f"{file} is no PDF of this run", "name one by its path in the run folder")
    return path.relative_to(run).as_posix()


def _signed_pdf(data: bytes, signer: Any, name: str, meaning: str, timestamper: Any) -> bytes:
    pdf = IncrementalPdfFileWriter(io.BytesIO(data))
    number = len(PdfFileReader(io.BytesIO(data)).embedded_signatures) + 1
    facts = signers.PdfSignatureMetadata(
        field_name=f"cxr-audit-{number}",
        md_algorithm=DIGEST,
        name=name,
        reason=meaning,
        subfilter=SigSeedSubFilter.PADES,
    )
    signed: io.BytesIO = signers.PdfSigner(facts, signer, timestamper=timestamper).sign_pdf(pdf)
    return signed.getvalue()


def _signed_documents(folder: RunFolder) -> list[str]:
    """Those signed since the documents were last written."""
    if not folder.events.is_file():
        return []
    events, _, _ = read_chain(folder.events.read_bytes(), identity(folder.read_run()))
    names: dict[str, None] = {}
    before = names
    for event in events:
        kind = event.get("event")
        if kind in ("rendered", "resumed") or (kind == "rewriting" and "documents" not in event):
            names = {}
        elif kind == "rewriting":
            before = names
        elif kind == "restored":
            names = before
        elif kind == "signed":
            names = names | dict.fromkeys(event.get("documents", ()))
    return list(names)


def _checked_cms(
    folder: RunFolder, context: ValidationContext, is_trust_asked: bool
) -> CheckedSignature:
    try:
        content = cms.ContentInfo.load((folder.path / SIGNATURE).read_bytes(), strict=True)
        if content["content_type"].native != "signed_data":
            raise ValueError("it is no signed data")
        data = (folder.path / CHECKSUMS).read_bytes()
        status = asyncio.run(async_validate_detached_cms(data, content["content"], context))
    except DAMAGED as error:
        return CheckedSignature(
            SIGNATURE, "not readable", Problem("changed", SIGNATURE, f"it cannot be read: {error}")
        )
    return _checked(SIGNATURE, status, is_trust_asked)


def _checked_pdf(
    folder: RunFolder, file: str, context: ValidationContext, is_trust_asked: bool
) -> list[CheckedSignature]:
    try:
        data = (
            (folder.path / file).read_bytes() if (folder.path / file).is_file() else b""
        )  # a pipe would never end
        embedded = PdfFileReader(io.BytesIO(data)).embedded_signatures
        found = [asyncio.run(async_validate_pdf_signature(one, context)) for one in embedded]
    except (OSError, PdfError, *DAMAGED) as error:
        problem = Problem("changed", file, f"its signature cannot be read: {error}")
        return [CheckedSignature(file, "not readable", problem)]
    if not found:
        return [
            CheckedSignature(file, "not signed", Problem("changed", file, "its signature is gone"))
        ]
    return [_checked(file, status, is_trust_asked) for status in found]


def _checked(file: str, status: Any, is_trust_asked: bool) -> CheckedSignature:
    certificate, stamp = status.signing_cert, status.timestamp_validity
    time = stamp.timestamp if stamp else status.signer_reported_dt
    words = (
        f"{file}: signed by {certificate.subject.human_friendly}"
        + (f", {time:%Y-%m-%dT%H:%M:%SZ}" if time else "")
        + (" by time-stamp" if stamp else " by the signer's own clock" if time else "")
        + f"; certificate SHA-256 {certificate.sha256.hex()}"
        + ("" if is_trust_asked else "; who that is was not checked: --trust CA.pem")
    )
    problem = None
    if not (status.intact and status.valid) or getattr(status, "docmdp_ok", True) is False:
        problem = Problem("changed", file, "the signed bytes are others")
    elif stamp and not (stamp.intact and stamp.valid):
        problem = Problem("changed", file, "its time-stamp does not hold")
    elif is_trust_asked and not (status.trusted and (stamp is None or stamp.trusted)):
        why = "the certificate of the signer or of the time-stamp is not from those given"
        problem = Problem("not trusted", file, why)
    return CheckedSignature(file, words, problem)


def _certificates(file: Path) -> list[x509.Certificate]:
    try:
        parts = pem.unarmor(file.read_bytes(), multiple=True)
        return [x509.Certificate.load(data) for _, _, data in parts]
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no certificates can be read from {file}: {error}", "give a PEM file"
        ) from error

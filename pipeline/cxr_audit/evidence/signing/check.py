"""A run -> its signatures: by whom, when, for what, and why one does not hold."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asn1crypto import cms, x509
from pyhanko.pdf_utils.misc import PdfError
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.validation import async_validate_detached_cms, async_validate_pdf_signature
from pyhanko.sign.validation.errors import SignatureValidationError
from pyhanko_certvalidator import ValidationContext

from cxr_audit.evidence.events import Event, identity, read_chain
from cxr_audit.evidence.folder import CHECKSUMS, SIGNATURE, Problem, RunFolder
from cxr_audit.evidence.signing.trust import (
    certificates_of,
    certified_name,
    distrust,
    is_same_name,
)

# What pyHanko and asn1crypto meet damaged data with, beside their own errors.
DAMAGED = (ValueError, TypeError, AttributeError, KeyError, SignatureValidationError)


@dataclass(frozen=True, slots=True)
class CheckedSignature:
    """One signature.

    Parameters
    ----------
    file : what is signed, by its path in the run.
    name, meaning : who signed and for what, as the signer stated it.
    certified : the name in the certificate.
    is_same_name : whether it is the stated one.
    time : when, UTC; None where the signature does not say.
    has_timestamp : the time is a time-stamp server's, not the signer's own clock.
    certificate_sha256 : of the signer's certificate.
    is_trust_checked : whether it was asked where the certificate comes from.
    problem : why the signature does not hold, None where it does.
    """

    file: str
    name: str | None = None
    meaning: str | None = None
    certified: str | None = None
    is_same_name: bool = True
    time: datetime | None = None
    has_timestamp: bool = False
    certificate_sha256: str | None = None
    is_trust_checked: bool = False
    problem: Problem | None = None

    def __str__(self) -> str:
        if self.certified is None:
            return f"{self.file}: {self.problem.why if self.problem else 'not signed'}"
        words = f"{self.file}: signed by {self.certified}"
        if not self.is_same_name:
            words += f" (the signature states another name: {self.name})"
        if self.meaning:
            words += f', meaning "{self.meaning}"'
        if self.time is not None:
            clock = "time-stamp" if self.has_timestamp else "clock of the signer"
            words += f", {self.time:%Y-%m-%dT%H:%M:%SZ} by {clock}"
        words += f"; certificate SHA-256 {self.certificate_sha256}"
        if not self.is_trust_checked:
            words += "; the certificate was not checked: give --trust CA.pem"
        return words


def check_signatures(folder: RunFolder, trust: Path | None = None) -> list[CheckedSignature]:
    """The signature of `SHA256SUMS` and those of the PDFs that the events name as signed.

    Parameters
    ----------
    folder : a sealed run.
    trust : certificates (PEM) that a signer's has to come from; None = only the signed bytes are
        checked, not who signed them.
    """
    roots = None if trust is None else certificates_of(trust)
    events = _events(folder)
    checked = []
    if (folder.path / SIGNATURE).is_file():
        checked.append(_checked_cms(folder, _last_signed(events), roots))
    for file in _signed_documents(events):
        checked += _checked_pdf(folder, file, roots)
    return checked


def _events(folder: RunFolder) -> list[Event]:
    if not folder.events.is_file():
        return []
    events, _, _ = read_chain(folder.events.read_bytes(), identity(folder.read_run()))
    return events


def _last_signed(events: list[Event]) -> Event:
    signed = [event for event in events if event.get("event") == "signed"]
    return signed[-1] if signed else {}


def _signed_documents(events: list[Event]) -> list[str]:
    """The PDFs that were signed since the documents were last written."""
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


def _context(roots: Sequence[x509.Certificate] | None) -> ValidationContext:
    return ValidationContext(trust_roots=list(roots or ()), allow_fetching=False)


def _checked_cms(
    folder: RunFolder, signed: Event, roots: Sequence[x509.Certificate] | None
) -> CheckedSignature:
    try:
        content = cms.ContentInfo.load((folder.path / SIGNATURE).read_bytes(), strict=True)
        if content["content_type"].native != "signed_data":
            raise ValueError("it is no signed data")
        data = (folder.path / CHECKSUMS).read_bytes()
        checking = async_validate_detached_cms(data, content["content"], _context(roots))
        status = asyncio.run(checking)
        others = _certificates_in(content["content"])
    except DAMAGED as error:
        problem = Problem("changed", SIGNATURE, f"it cannot be read: {error}")
        return CheckedSignature(SIGNATURE, problem=problem)
    name, meaning = signed.get("name"), signed.get("meaning")
    return _checked(SIGNATURE, status, name, meaning, others, roots)


def _checked_pdf(
    folder: RunFolder, file: str, roots: Sequence[x509.Certificate] | None
) -> list[CheckedSignature]:
    path = folder.path / file
    checked = []
    try:
        data = path.read_bytes() if path.is_file() else b""  # a pipe would never end
        for embedded in PdfFileReader(io.BytesIO(data)).embedded_signatures:
            status = asyncio.run(async_validate_pdf_signature(embedded, _context(roots)))
            facts = embedded.sig_object
            name, meaning = (_text(facts.get(key)) for key in ("/Name", "/Reason"))
            others = _certificates_in(embedded.signed_data)
            checked.append(_checked(file, status, name, meaning, others, roots))
    except (OSError, PdfError, *DAMAGED) as error:
        problem = Problem("changed", file, f"its signature cannot be read: {error}")
        return [CheckedSignature(file, problem=problem)]
    if not checked:
        problem = Problem("changed", file, "its signature was removed")
        return [CheckedSignature(file, problem=problem)]
    return checked


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _certificates_in(signed_data: Any) -> list[x509.Certificate]:
    """The certificates that a signature carries."""
    return [choice.chosen for choice in signed_data["certificates"] if choice.name == "certificate"]


def _checked(
    file: str,
    status: Any,
    name: str | None,
    meaning: str | None,
    others: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate] | None,
) -> CheckedSignature:
    certificate = status.signing_cert
    stamp = status.timestamp_validity
    return CheckedSignature(
        file=file,
        name=name,
        meaning=meaning,
        certified=certified_name(certificate),
        is_same_name=name is None or is_same_name(name, certificate),
        time=stamp.timestamp if stamp else status.signer_reported_dt,
        has_timestamp=stamp is not None,
        certificate_sha256=certificate.sha256.hex(),
        is_trust_checked=roots is not None,
        problem=_problem(file, status, name, others, roots),
    )


def _problem(
    file: str,
    status: Any,
    name: str | None,
    others: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate] | None,
) -> Problem | None:
    """Why a signature does not hold."""
    stamp = status.timestamp_validity
    if not (status.intact and status.valid) or getattr(status, "docmdp_ok", True) is False:
        return Problem("changed", file, "the signed bytes are others")
    if stamp and not (stamp.intact and stamp.valid):
        return Problem("changed", file, "its time-stamp does not hold")
    if roots is None:
        return None
    reasons = _distrust(status, name, others, roots)
    return Problem("not trusted", file, "; ".join(reasons)) if reasons else None


def _distrust(
    status: Any,
    name: str | None,
    others: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
) -> list[str]:
    """Reasons not to trust an intact signature, given the certificates of the authorities."""
    stamp = status.timestamp_validity
    moment = datetime.now(UTC)
    reasons = []
    if stamp and stamp.trusted:
        moment = stamp.timestamp
    elif stamp:
        reasons.append("time-stamp: its certificate does not come from those given")
    certificate = status.signing_cert
    reasons = distrust(certificate, others, roots, moment) + reasons
    if name is not None and not is_same_name(name, certificate):
        certified = certified_name(certificate)
        reasons.append(f"signer: the certificate is {certified}'s, the signature names {name}")
    if not status.trusted and not reasons:
        reasons.append(f"chain: {status.trust_problem_indic}")
    return reasons

"""A certificate and a moment -> what is wrong with it: chain, dates, usage, name.

Each is asked apart from the others, so that the answer names what to look at.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from asn1crypto import pem, x509
from pyhanko_certvalidator import CertificateValidator, ValidationContext
from pyhanko_certvalidator.errors import (
    InvalidCertificateError,
    PathBuildingError,
    PathValidationError,
)

from cxr_audit.errors import ConfigError

SIGNING = {"digital_signature", "non_repudiation"}
# Extended usages that cover documents; the last two are Microsoft's and Adobe's.
DOCUMENTS = {
    "any_extended_key_usage",
    "email_protection",
    "1.3.6.1.5.5.7.3.36",  # document signing, RFC 9336
    "microsoft_document_signing",
    "1.3.6.1.4.1.311.10.3.12",
    "adobe_authentic_documents_trust",
    "1.2.840.113583.1.1.5",
}


def certificates_of(file: Path) -> list[x509.Certificate]:
    """The certificates of a PEM file. Raises `ConfigError` where there are none."""
    try:
        parts = pem.unarmor(file.read_bytes(), multiple=True)
        return [x509.Certificate.load(data) for _, _, data in parts]
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"no certificates can be read from {file}: {error}", "give a PEM file"
        ) from error


def distrust(
    certificate: x509.Certificate,
    others: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    moment: datetime,
) -> list[str]:
    """Why a certificate is not to be trusted for a signature; empty = it is.

    Parameters
    ----------
    certificate : of the signer.
    others : certificates that the signature carries.
    roots : those that its chain has to end in.
    moment : when it has to be valid: time of a trusted time-stamp, else now.
    """
    doubts = [
        ("chain", _chain_problem(certificate, others, roots, moment)),
        ("dates", date_problem(certificate, moment)),
        ("usage", usage_problem(certificate)),
    ]
    return [f"{what}: {why}" for what, why in doubts if why is not None]


def date_problem(certificate: x509.Certificate, moment: datetime) -> str | None:
    """Whether a moment is outside the time that a certificate is valid for."""
    first = certificate.not_valid_before
    last = certificate.not_valid_after
    if moment > last:
        return f"it expired on {last:%Y-%m-%d}"
    if moment < first:
        return f"it is valid from {first:%Y-%m-%d} only"
    return None


def usage_problem(certificate: x509.Certificate) -> str | None:
    """Whether a certificate states usages and none that covers documents."""
    usage = certificate.key_usage_value
    if usage is not None and not SIGNING & usage.native:
        return f"its key is for {', '.join(sorted(usage.native)) or 'nothing'}"
    extended = certificate.extended_key_usage_value
    if extended is not None and not DOCUMENTS & set(extended.native):
        return f"it is for {', '.join(extended.native)}"
    return None


def certified_name(certificate: x509.Certificate) -> str:
    """The name in a certificate."""
    name = certificate.subject.native.get("common_name")
    return str(name) if name else str(certificate.subject.human_friendly)


def is_same_name(name: str, certificate: x509.Certificate) -> bool:
    """Whether a name that a person gave is the certificate's.

    Titles, initials and their order may differ: all words of one name have to be in the other.
    """
    own = _words(name)
    for value in certificate.subject.native.values():
        certified = _words(str(value))
        if own and certified and (own <= certified or certified <= own):
            return True
    return False


def _words(name: str) -> set[str]:
    folded = unicodedata.normalize("NFKC", name).casefold()
    return set(re.findall(r"\w+", folded))


def _chain_problem(
    certificate: x509.Certificate,
    others: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    moment: datetime,
) -> str | None:
    """Whether a certificate comes from one of the roots, at a time when it was valid itself."""
    inside = min(max(moment, certificate.not_valid_before), certificate.not_valid_after)
    context = ValidationContext(
        trust_roots=list(roots), other_certs=list(others), moment=inside, allow_fetching=False
    )
    validator = CertificateValidator(certificate, list(others), context)
    try:
        asyncio.run(validator.async_validate_path())
    except PathBuildingError:
        issuer = certificate.issuer.human_friendly
        return f"it was issued by {issuer}, which is not among those given"
    except (InvalidCertificateError, PathValidationError) as error:
        if certificate.self_signed != "no":
            return "it is self-signed and not among those given"
        return str(error)
    return None

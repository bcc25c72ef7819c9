"""Key files and tokens -> a signer. Refuses a certificate that cannot sign documents now."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from asn1crypto import cms
from pkcs11 import PKCS11Error
from pyhanko.config.pkcs11 import TokenCriteria
from pyhanko.sign import signers, timestamps
from pyhanko.sign.general import SigningError
from pyhanko.sign.pkcs11 import PKCS11Signer, open_pkcs11_session
from pyhanko.sign.validation import async_validate_detached_cms
from pyhanko.sign.validation.errors import SignatureValidationError
from pyhanko_certvalidator import ValidationContext

from cxr_audit.errors import ConfigError
from cxr_audit.evidence.signing.trust import date_problem, usage_problem

DIGEST = "sha256"
PROBE = b"cxr-audit: does this key belong to this certificate?"


def signer_of_files(
    key: Path, certificate: Path, chain: Sequence[Path], passphrase: str | None
) -> Any:
    """A signer from a key and a certificate.

    Parameters
    ----------
    key, certificate : PEM or DER.
    chain : certificates above it.
    passphrase : of the key, None = it has none.

    Raises
    ------
    ConfigError : a file cannot be read, or the certificate cannot sign documents now.
    """
    signer = signers.SimpleSigner.load(
        str(key),
        str(certificate),
        ca_chain_files=[str(path) for path in chain],
        key_passphrase=passphrase.encode() if passphrase else None,
    )
    return _fit(signer, f"{key.name} and {certificate.name}")


def signer_of_pkcs12(file: Path, passphrase: str | None) -> Any:
    """A signer from a PKCS#12 file; see `signer_of_files`."""
    secret = passphrase.encode() if passphrase else None
    return _fit(signers.SimpleSigner.load_pkcs12(str(file), passphrase=secret), file.name)


def signer_of_pkcs11(library: Path, token: str, label: str, pin: str | None) -> Any:
    """A signer whose key stays in a token.

    Parameters
    ----------
    library : of the token's maker.
    token : label of the token.
    label : label of both key and certificate.
    pin : of the token.

    Raises
    ------
    ConfigError : the token cannot be used, or the certificate cannot sign documents now.
    """
    criteria = TokenCriteria(label=token)
    try:
        session = open_pkcs11_session(str(library), token_criteria=criteria, user_pin=pin)
        signer = PKCS11Signer(session, cert_label=label)
        asyncio.run(signer.ensure_objects_loaded())
    except (PKCS11Error, SigningError) as error:
        raise ConfigError(
            f"the PKCS#11 token {token!r} cannot be used: {error!r}", "check library, token and PIN"
        ) from error
    return _fit(signer, f"token {token}")


def timestamper_at(url: str) -> Any:
    """A time-stamp server (RFC 3161)."""
    return timestamps.HTTPTimeStamper(url)


def _fit(signer: Any, source: str) -> Any:
    """The signer, if its certificate is valid now, may sign documents and belongs to its key."""
    if signer is None:
        raise ConfigError(
            f"no key can be read from {source}", "check the files, their format and the passphrase"
        )
    certificate = signer.signing_cert
    name = certificate.subject.human_friendly
    wrong_date = date_problem(certificate, datetime.now(UTC))
    if wrong_date is not None:
        raise ConfigError(
            f"the certificate of {name} cannot sign: {wrong_date}",
            "use a certificate that is valid today; check the clock of this machine",
        )
    wrong_usage = usage_problem(certificate)
    if wrong_usage is not None:
        raise ConfigError(
            f"the certificate of {name} cannot sign documents: {wrong_usage}",
            "use a certificate for signatures (digitalSignature or nonRepudiation)",
        )
    if not _belong_together(signer):
        raise ConfigError(
            f"the key does not belong to the certificate of {name}",
            "give the key and the certificate that were issued together",
        )
    return signer


def _belong_together(signer: Any) -> bool:
    """Whether a signature by the key holds with the certificate."""
    content = asyncio.run(signer.async_sign_general_data(PROBE, DIGEST, detached=True))
    signed = cms.ContentInfo.load(content.dump())["content"]
    context = ValidationContext(trust_roots=[], allow_fetching=False)
    try:
        status = asyncio.run(async_validate_detached_cms(PROBE, signed, context))
    except (SignatureValidationError, ValueError):
        return False
    return bool(status.intact and status.valid)

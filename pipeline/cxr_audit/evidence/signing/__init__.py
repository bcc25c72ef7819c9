"""A key and a sealed run -> signatures of `SHA256SUMS` and of PDFs, and what they are worth.

`SHA256SUMS.p7s` is a detached CMS signature (RFC 5652, CAdES). PDFs get an invisible PAdES
signature (ETSI EN 319 142-1) with name and meaning. Both get a time-stamp (RFC 3161) where a
server is given. Who signed, for what and which PDFs also stands in `events.jsonl`, which
`SHA256SUMS` binds. Only the last signature of `SHA256SUMS` is kept: signing seals the folder
again.

The only room that knows pyHanko, which comes with the extra `signing`.
"""

import logging

from cxr_audit.errors import ConfigError

try:
    import pkcs11  # noqa: F401
    import pyhanko  # noqa: F401
except ImportError as error:
    raise ConfigError(
        "signatures need pyHanko", "install it: pip install 'cxr-audit[signing]'"
    ) from error

from cxr_audit.evidence.signing.check import CheckedSignature, check_signatures
from cxr_audit.evidence.signing.keys import (
    signer_of_files,
    signer_of_pkcs11,
    signer_of_pkcs12,
    timestamper_at,
)
from cxr_audit.evidence.signing.sign import sign
from cxr_audit.evidence.signing.trust import certified_name, is_same_name

# What they log is said in our own words, or asked for by --trust.
for _name in ("pyhanko", "pyhanko_certvalidator"):
    logging.getLogger(_name).addHandler(logging.NullHandler())
    logging.getLogger(_name).propagate = False

__all__ = [
    "CheckedSignature",
    "certified_name",
    "check_signatures",
    "is_same_name",
    "sign",
    "signer_of_files",
    "signer_of_pkcs11",
    "signer_of_pkcs12",
    "timestamper_at",
]

"""What requests to a DICOMweb server share: address, credentials, time-outs.

Credentials come from the environment only: CXR_AUDIT_DICOMWEB_TOKEN, or CXR_AUDIT_DICOMWEB_USER
and CXR_AUDIT_DICOMWEB_PASSWORD; CXR_AUDIT_DICOMWEB_CERTIFICATE names a PEM file with a client
certificate and its key. Certificates of servers are always verified; REQUESTS_CA_BUNDLE names a
hospital's own authority, HTTPS_PROXY and NO_PROXY do as usual. Refuses credentials in the address
and over plain http.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from urllib.parse import SplitResult, urlsplit, urlunsplit

import requests

from cxr_audit.errors import ConfigError

SCHEMES = ("dicomweb+https://", "dicomweb+http://")
TOKEN, USER, PASSWORD, CERTIFICATE = (
    f"CXR_AUDIT_DICOMWEB_{name}" for name in ("TOKEN", "USER", "PASSWORD", "CERTIFICATE")
)
LOOPBACK = {"localhost", "127.0.0.1", "::1"}
BUSY = {408, 425, 429, 502, 503, 504}
TIMEOUT_S = (10.0, 60.0)  # to connect; between two pieces of an answer
EXAMPLE = "dicomweb+https://HOST/dicom-web"


def split(address: str, key: str, example: str = EXAMPLE) -> SplitResult:
    """The parts of an address.

    Parameters
    ----------
    address : `dicomweb+https://HOST/PATH?QUERY`.
    key : of the config or command line that holds it.
    example : of a right one.

    Raises
    ------
    ConfigError : it names no server, holds credentials, or credentials would be sent over plain
        http.
    """
    try:
        parts = urlsplit(address.removeprefix("dicomweb+"))
    except ValueError:
        parts = urlsplit("")
    if not parts.hostname:
        raise ConfigError(f"{key} names no server", example)
    if parts.username or parts.password:
        raise ConfigError(
            f"{key} holds a user or a password", f"Set {USER} and {PASSWORD}, or {TOKEN}."
        )
    if parts.scheme == "http" and authorization() and parts.hostname not in LOOPBACK:
        raise ConfigError(
            "credentials would be sent over plain http", "Use dicomweb+https://, or unset them."
        )
    return parts


def root_of(address: str) -> str:
    """The root of the service that `--to` names, without a query."""
    parts = split(address, "--to")
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Always given, so that requests takes nothing from a .netrc."""
    value = authorization()
    if value:
        request.headers["Authorization"] = value
    return request


def authorization() -> str | None:
    """The header, None where the environment has no credentials."""
    token, user, password = (os.environ.get(name, "") for name in (TOKEN, USER, PASSWORD))
    if token:
        return f"Bearer {token}"
    if not user:
        return None
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def client_certificate() -> str | None:
    """The PEM file of our own certificate. Raises `ConfigError` where there is no such file."""
    name = os.environ.get(CERTIFICATE, "")
    if not name:
        return None
    if not Path(name).is_file():
        raise ConfigError(
            f"{CERTIFICATE} names no file", "name a PEM file with certificate and key"
        )
    return name

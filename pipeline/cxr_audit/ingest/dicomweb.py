"""A DICOMweb server -> the instances that match a filter; an instance -> its file's bytes, as stored.

PS3.18 10.6 (QIDO-RS, Search) and 10.4 (WADO-RS, Retrieve). Not by dicomweb-client: it gives parsed datasets of any
size, an audit needs the file's own bytes and a limit. Credentials come from the environment only:
CXR_AUDIT_DICOMWEB_TOKEN, or CXR_AUDIT_DICOMWEB_USER and CXR_AUDIT_DICOMWEB_PASSWORD. Certificates are always
verified; REQUESTS_CA_BUNDLE names a hospital's own authority, HTTPS_PROXY and NO_PROXY do as usual. Refuses a search
without a filter, keys that the standard does not know (servers ignore those and give everything), redirects,
credentials over plain http, and an instance that is not the one asked for. Messages name no address and no UID.
"""

from __future__ import annotations

import base64
import difflib
import itertools
import json
import math
import os
import re
import struct
import time
from email.message import Message
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import requests
from pydicom.datadict import keyword_dict

from cxr_audit.errors import CaseError, ConfigError, NotRetrieved, UnsupportedRadiograph
from cxr_audit.records import CaseSource, ServerInstance

SCHEMES = ("dicomweb+https://", "dicomweb+http://")
TOKEN, USER, PASSWORD = (f"CXR_AUDIT_DICOMWEB_{name}" for name in ("TOKEN", "USER", "PASSWORD"))
LOOPBACK = {"localhost", "127.0.0.1", "::1"}

MAX_INSTANCES = 500_000
MAX_SEARCHES = 1000  # one for each combination of the values of keys given several times
PAGE = 1000  # instances an answer; a server may give fewer
MAX_PAGE_BYTES = 64 * 2**20
WAITS_S = (0.5, 1.0, 2.0, 4.0)  # before the second, third, ... attempt
MAX_WAIT_S = 30.0  # what a server may ask for by Retry-After
TIMEOUT_S = (10.0, 60.0)  # to connect; between two pieces of an answer
DEADLINE_S = 600.0  # for one answer
CHUNK = 2**20

BUSY = {408, 425, 429, 502, 503, 504}
STUDY, SERIES, INSTANCE, PATIENT_ID = "0020000D", "0020000E", "00080018", "00100020"
UID = re.compile(r"[0-9.]{1,64}")  # PS3.5 9.1
TAG = re.compile(r"[0-9A-Fa-f]{8}")
JSON = "application/dicom+json"
# Without "transfer-syntax=*" a server may decompress, compress anew, or fail.
PART_10 = 'multipart/related; type="application/dicom"; transfer-syntax=*'


class _TryAgain(Exception):
    """A failure that may pass: the network, or a server that is busy."""

    def __init__(self, what: str, wait_s: float = 0.0) -> None:
        super().__init__(what)
        self.wait_s = wait_s


def is_server(source: str) -> bool:
    """Whether a source is the address of a DICOMweb server."""
    return source.startswith(SCHEMES)


def search(source: str) -> list[CaseSource]:
    """The instances that match, sorted by their UIDs, without ids and labels.

    Parameters
    ----------
    source
        `dicomweb+https://host/path?Modality=DX&StudyDate=20260101-20260131`: the service's root and a QIDO-RS filter
        by DICOM keywords or tags. A key given several times means any of its values.

    Raises
    ------
    ConfigError
        The address or the filter cannot be used, or the server cannot be searched.
    """
    root, filters = _parsed(source)
    found: dict[str, CaseSource] = {}
    try:
        for one in filters:
            for instance in _matches(root, one):
                case = _case(root, instance)
                found[case.relative_path] = case
                if len(found) > MAX_INSTANCES:
                    raise ConfigError(
                        f"the filter matches more than {MAX_INSTANCES} instances", "Narrow it."
                    )
    except CaseError as error:
        failure = ConfigError(f"the DICOMweb server cannot be searched: {error}", error.hint)
    else:
        return [found[name] for name in sorted(found)]
    raise failure


def retrieve(instance: ServerInstance, max_bytes: int) -> bytes:
    """The file of one instance, in memory. Raises `NotRetrieved`, `UnsupportedRadiograph`."""
    body, kind = _get(instance.url, PART_10, max_bytes + 2**16)
    data = _first_part(body, kind)
    # PS3.10 7.1: group 2 stands first, explicit little endian.
    uid = instance.uid.encode() + b"\0" * (len(instance.uid) % 2)
    if b"\x02\x00\x03\x00UI" + struct.pack("<H", len(uid)) + uid not in data[:4096]:
        raise NotRetrieved(
            "the server has answered with something else than the instance asked for"
        )
    return data


def _parsed(source: str) -> tuple[str, list[dict[str, str]]]:
    """The service's root, and a filter for each combination of values."""
    try:
        parts = urlsplit(source.removeprefix("dicomweb+"))
    except ValueError:
        parts = urlsplit("")
    if not parts.hostname:
        raise ConfigError(
            "ingest.source names no server", "dicomweb+https://HOST/dicom-web?Modality=DX"
        )
    if parts.username or parts.password:
        raise ConfigError(
            "ingest.source holds a user or a password", f"Set {USER} and {PASSWORD}, or {TOKEN}."
        )
    if parts.scheme == "http" and _authorization() and parts.hostname not in LOOPBACK:
        raise ConfigError(
            "credentials would be sent over plain http", "Use dicomweb+https://, or unset them."
        )
    values: dict[str, list[str]] = {}
    for key, value in parse_qsl(parts.query, keep_blank_values=True):
        if key not in keyword_dict and not TAG.fullmatch(key):
            near = difflib.get_close_matches(key, keyword_dict, 1)
            hint = (
                f"Perhaps you meant {near[0]!r}."
                if near
                else "Write a DICOM keyword or a tag, such as 00080060."
            )
            raise ConfigError(f"{key!r} in the filter is no attribute of DICOM", hint)
        values.setdefault(key, []).append(value)
    if not any(value.strip("*") for given in values.values() for value in given):
        raise ConfigError(
            "the DICOMweb source has no filter: it would be the whole archive", "Add ?Modality=DX."
        )
    if math.prod(map(len, values.values())) > MAX_SEARCHES:
        raise ConfigError(
            f"the filter means more than {MAX_SEARCHES} searches", "Give fewer keys several times."
        )
    root = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
    return root, [
        dict(zip(values, choice, strict=True)) for choice in itertools.product(*values.values())
    ]


def _matches(root: str, one: dict[str, str]) -> list[Any]:
    """Page after page; ends with an empty one, and where a server ignores `offset` and repeats itself."""
    found: list[Any] = []
    last: list[Any] = []
    while len(found) <= MAX_INSTANCES:
        asked = {**one, "includefield": PATIENT_ID, "limit": str(PAGE), "offset": str(len(found))}
        # Wild cards as they are: Orthanc 1.10 does not decode them.
        body, _ = _get(
            f"{root}/instances?{urlencode(asked, safe='*?', quote_via=quote)}", JSON, MAX_PAGE_BYTES
        )
        try:
            page = json.loads(body) if body else []
        except (ValueError, RecursionError):
            raise NotRetrieved(
                "its answer is not JSON", "Check the path: Orthanc's is /dicom-web."
            ) from None
        if not isinstance(page, list):
            raise NotRetrieved("its answer is not a list of instances")
        if not page or page == last:
            break
        found, last = found + page, page
    return found


def _case(root: str, instance: Any) -> CaseSource:
    study, series, uid = (_first(instance, tag) for tag in (STUDY, SERIES, INSTANCE))
    if not all(UID.fullmatch(text) for text in (study, series, uid)):
        raise NotRetrieved("its answer lists an instance without its UIDs")
    path = f"studies/{study}/series/{series}/instances/{uid}"
    return CaseSource(
        "",
        ServerInstance(f"{root}/{path}", uid),
        path,
        patient_id=_first(instance, PATIENT_ID) or None,
    )


def _first(instance: Any, tag: str) -> str:
    """An attribute's first value in the DICOM JSON model (PS3.18 F.2), "" where there is none."""
    try:
        value = instance[tag]["Value"][0]
    except (LookupError, TypeError):
        return ""
    return str(value).encode("utf-8", "replace").decode() if isinstance(value, str | int) else ""


def _get(url: str, accept: str, max_bytes: int) -> tuple[bytes, str]:
    """An answer's body and content type, asked for again where the failure may pass."""
    for wait_s in (*WAITS_S, None):
        try:
            return _get_once(url, accept, max_bytes)
        except _TryAgain as error:
            if wait_s is None:
                reason = f"{error}, {len(WAITS_S) + 1} times"
                break
            time.sleep(max(wait_s, min(error.wait_s, MAX_WAIT_S)))
    raise NotRetrieved(reason, "Once the server answers, --resume asks for it again.")


def _get_once(url: str, accept: str, max_bytes: int) -> tuple[bytes, str]:
    headers = {"Accept": accept, "Accept-Encoding": "identity"}
    try:
        with requests.get(
            url,
            headers=headers,
            auth=_authorize,
            timeout=TIMEOUT_S,
            stream=True,
            allow_redirects=False,
        ) as answer:
            _check_status(answer)
            body, end = bytearray(), time.monotonic() + DEADLINE_S
            for chunk in answer.iter_content(CHUNK):
                body += chunk
                if len(body) > max_bytes:
                    raise UnsupportedRadiograph(
                        f"the server's answer has more than the {max_bytes} bytes that are read"
                    )
                if time.monotonic() > end:
                    raise NotRetrieved(
                        f"the server's answer took more than {DEADLINE_S:.0f} s",
                        "Ask it again by --resume.",
                    )
            return bytes(body), answer.headers.get("Content-Type", "")
    except requests.exceptions.SSLError:
        failure: Exception = NotRetrieved(
            "the server's certificate is not trusted",
            "REQUESTS_CA_BUNDLE=FILE names your own authority.",
        )
    except (
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
    ) as error:
        failure = _TryAgain(f"the server does not answer ({type(error).__name__})")
    except (requests.RequestException, ValueError) as error:
        failure = NotRetrieved(
            f"the server cannot be asked ({type(error).__name__})", "Check the address."
        )
    raise failure  # outside the handlers: the original errors name the address


def _check_status(answer: requests.Response) -> None:
    status = answer.status_code
    if status in (200, 204, 206):
        return
    if status in BUSY:
        after = answer.headers.get("Retry-After", "")
        raise _TryAgain(
            f"the server is busy ({status})", float(after) if after.isdecimal() else 0.0
        )
    if status in (401, 403):
        raise NotRetrieved(
            f"the server refuses the credentials ({status})",
            f"Set {TOKEN}, or {USER} and {PASSWORD}.",
        )
    if 300 <= status < 400:
        raise NotRetrieved(f"the server redirects ({status})", "Give the address that it leads to.")
    hint = "Check the path: Orthanc's is /dicom-web." if status == 404 else None
    raise NotRetrieved(f"the server answers with the status {status}", hint)


def _authorize(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Always given, so that requests takes nothing from a .netrc."""
    value = _authorization()
    if value:
        request.headers["Authorization"] = value
    return request


def _authorization() -> str | None:
    token, user, password = (os.environ.get(name, "") for name in (TOKEN, USER, PASSWORD))
    if token:
        return f"Bearer {token}"
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode() if user else None


def _first_part(body: bytes, content_type: str) -> bytes:
    """The first part of a multipart/related body (RFC 2387), or the body where the server sends the file itself."""
    header = Message()
    header["Content-Type"] = content_type
    if header.get_content_type() == "application/dicom":
        return body
    boundary = header.get_boundary()
    if header.get_content_maintype() != "multipart" or not boundary:
        raise NotRetrieved("the server's answer holds no DICOM file")
    mark = b"--" + boundary.encode()
    start = body.find(b"\r\n\r\n", body.find(mark)) + 4
    end = body.find(b"\r\n" + mark, start)
    if start < 4 or end < 0 or mark not in body:
        raise NotRetrieved("the server's answer is cut short")
    return body[start:end]

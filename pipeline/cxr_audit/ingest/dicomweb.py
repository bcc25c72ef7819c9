"""A DICOMweb server -> the instances that match a filter; an instance -> its file as stored.

PS3.18 10.6 (QIDO-RS, Search) and 10.4 (WADO-RS, Retrieve). docs/architecture.md says why not by
dicomweb-client. `web` says where credentials and certificates come from. Refuses a search without a
filter, keys that the standard does not know (servers ignore those and give everything), redirects,
and credentials over plain http. `reading` checks that an instance is the one asked for. Messages
name no address and no UID.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import time
from email.message import Message as MimeHeader
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlunsplit

import requests
from pydicom.datadict import keyword_dict

from cxr_audit.errors import CaseError, ConfigError, NotRetrieved, UnsupportedRadiograph
from cxr_audit.ingest import web
from cxr_audit.ingest.web import (
    BUSY,
    PASSWORD,
    SCHEMES,
    TIMEOUT_S,
    TOKEN,
    USER,
    authorize,
    client_certificate,
)
from cxr_audit.records import CaseSource, ServerInstance
from cxr_audit.vocabulary import Message, message
from cxr_audit.vocabulary.nearest import nearest

MAX_INSTANCES = 500_000
MAX_SEARCHES = 1000  # one for each combination of the values of keys given several times
PAGE = 1000  # instances an answer; a server may give fewer
MAX_PAGE_BYTES = 64 * 2**20
WAITS_S = (0.5, 1.0, 2.0, 4.0)  # before the second, third, ... attempt
MAX_WAIT_S = 30.0  # what a server may ask for by Retry-After
DEADLINE_S = 600.0  # for one answer
CHUNK = 2**20

STUDY, SERIES, INSTANCE, PATIENT_ID = "0020000D", "0020000E", "00080018", "00100020"
TAG = re.compile(r"[0-9A-Fa-f]{8}")
JSON = "application/dicom+json"
# Without "transfer-syntax=*" a server may decompress, compress anew, or fail.
PART_10 = 'multipart/related; type="application/dicom"; transfer-syntax=*'


class _TryAgain(Exception):
    """A failure that may pass: the network, or a server that is busy."""

    def __init__(self, problem: Message, wait_s: float = 0.0) -> None:
        super().__init__(str(problem))
        self.problem = problem
        self.wait_s = wait_s


class _NotFound(NotRetrieved):
    """The status 404: nothing is there, or the path is wrong."""


def is_server(source: str) -> bool:
    """Whether a source is the address of a DICOMweb server."""
    return source.startswith(SCHEMES)


def search(source: str) -> list[CaseSource]:
    """The instances that match, sorted by their UIDs, without ids and labels.

    Parameters
    ----------
    source
        `dicomweb+https://host/path?Modality=DX&StudyDate=20260101-20260131`: the service's root and
        a QIDO-RS filter by DICOM keywords or tags. A key given several times means any of its
        values.

    Returns
    -------
    list of CaseSource
        An instance that the server lists without its UIDs is a case as well, whose reading fails.

    Raises
    ------
    ConfigError
        The address or the filter cannot be used, or the server cannot be searched.
    """
    root, filters = _parsed(source)
    cases: dict[str, CaseSource] = {}
    try:
        for keys in filters:
            for number, instance in enumerate(_matches(root, keys), 1):
                case = _case(root, instance, number)
                cases[case.relative_path] = case
                if len(cases) > MAX_INSTANCES:
                    raise ConfigError(
                        f"the filter matches more than {MAX_INSTANCES} instances", "Narrow it."
                    )
    except CaseError as error:
        failure = ConfigError(f"the DICOMweb server cannot be searched: {error}", error.hint)
    else:
        return [cases[name] for name in sorted(cases)]
    raise failure


def retrieve(instance: ServerInstance, max_bytes: int) -> bytes:
    """The file of one instance, in memory. Raises `NotRetrieved`, `UnsupportedRadiograph`."""
    if not instance.uid:
        raise NotRetrieved(message("ingest.no_uids"))
    try:
        body, kind = _get(instance.url, PART_10, max_bytes + 2**16)
    except _NotFound as error:
        absent = NotRetrieved(error.message, error.hint)
    else:
        return _first_part(body, kind)
    raise absent


def _parsed(source: str) -> tuple[str, list[dict[str, str]]]:
    """The service's root, and a filter for each combination of values."""
    example = "dicomweb+https://HOST/dicom-web?Modality=DX"
    parts = web.split(source, "ingest.source", example)
    values = _filter_values(parts.query)
    root = urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))
    choices = itertools.product(*values.values())
    return root, [dict(zip(values, choice, strict=True)) for choice in choices]


def _filter_values(query: str) -> dict[str, list[str]]:
    """The values of each key of a filter."""
    values: dict[str, list[str]] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in keyword_dict and not TAG.fullmatch(key):
            near = nearest(key, keyword_dict, 0.6)
            hint = "Write a DICOM keyword or a tag, such as 00080060."
            if near:
                hint = f"Perhaps you meant {near!r}."
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
    return values


def _matches(root: str, keys: dict[str, str]) -> list[Any]:
    """Page after page, until an empty one, a 404 after the first, or one that repeats itself.

    Some servers ignore `offset`, and some answer 404 where no page is left.
    """
    instances: list[Any] = []
    last: list[Any] = []
    while len(instances) <= MAX_INSTANCES:
        offset = str(len(instances))
        query = {**keys, "includefield": PATIENT_ID, "limit": str(PAGE), "offset": offset}
        # Wild cards as they are: Orthanc 1.10 does not decode them.
        encoded = urlencode(query, safe="*?", quote_via=quote)
        try:
            body, _ = _get(f"{root}/instances?{encoded}", JSON, MAX_PAGE_BYTES)
        except _NotFound:
            if instances:
                break
            raise
        page = _page(body)
        if not page or page == last:
            break
        instances, last = instances + page, page
    return instances


def _page(body: bytes) -> list[Any]:
    try:
        page = json.loads(body) if body else []
    except (ValueError, RecursionError):
        raise NotRetrieved(
            message("ingest.server_no_json"), message("ingest.server_path_hint")
        ) from None
    if not isinstance(page, list):
        raise NotRetrieved(message("ingest.server_no_list"))
    return page


def _case(root: str, instance: Any, number: int) -> CaseSource:
    """`number` names an instance without UIDs among those of its search."""
    study, series, uid = (_first(instance, tag) for tag in (STUDY, SERIES, INSTANCE))
    patient_id = _first(instance, PATIENT_ID) or None
    if not all(text.strip(".") for text in (study, series, uid)):
        path = f"instance-without-uids-{number}"
        return CaseSource("", ServerInstance("", ""), path, patient_id=patient_id)
    # A UID that breaks PS3.5 9.1 is asked for as it is, but never as a part of the path.
    parts = [quote(text, safe="") for text in (study, series, uid)]
    path = "studies/{}/series/{}/instances/{}".format(*parts)
    location = ServerInstance(f"{root}/{path}", uid)
    return CaseSource("", location, path, patient_id=patient_id)


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
                num = len(WAITS_S) + 1
                problem = message("ingest.server_tried", problem=error.problem, num=num)
                break
            time.sleep(max(wait_s, min(error.wait_s, MAX_WAIT_S)))
    raise NotRetrieved(problem, message("ingest.resume_later"))


def _get_once(url: str, accept: str, max_bytes: int) -> tuple[bytes, str]:
    headers = {"Accept": accept, "Accept-Encoding": "identity"}
    try:
        with requests.get(
            url,
            headers=headers,
            auth=authorize,
            cert=client_certificate(),
            timeout=TIMEOUT_S,
            stream=True,
            allow_redirects=False,
        ) as answer:
            _check_status(answer)
            return _body(answer, max_bytes), answer.headers.get("Content-Type", "")
    except requests.exceptions.SSLError:
        failure: Exception = NotRetrieved(
            message("ingest.server_certificate"), message("ingest.server_certificate_hint")
        )
    except (
        requests.ConnectionError,
        requests.Timeout,
        requests.exceptions.ChunkedEncodingError,
    ) as error:
        failure = _TryAgain(message("ingest.server_silent", error=type(error).__name__))
    except (requests.RequestException, ValueError) as error:
        problem = message("ingest.server_request", error=type(error).__name__)
        failure = NotRetrieved(problem, message("ingest.server_address_hint"))
    raise failure  # outside the handlers: the original errors name the address


def _body(answer: requests.Response, max_bytes: int) -> bytes:
    body, end = bytearray(), time.monotonic() + DEADLINE_S
    for chunk in answer.iter_content(CHUNK):
        body += chunk
        if len(body) > max_bytes:
            problem = message("ingest.answer_too_large", limit=max_bytes)
            raise UnsupportedRadiograph(problem, message("ingest.raise_max_pixels"))
        if time.monotonic() > end:
            problem = message("ingest.answer_too_slow", limit_s=DEADLINE_S)
            raise NotRetrieved(problem, message("ingest.resume_later"))
    return bytes(body)


def _check_status(answer: requests.Response) -> None:
    status = answer.status_code
    if status in (200, 204, 206):
        return
    if status in BUSY:
        after = answer.headers.get("Retry-After", "")
        wait_s = float(after) if after.isdecimal() else 0.0
        raise _TryAgain(message("ingest.server_busy", status=status), wait_s)
    if status in (401, 403):
        hint = message("ingest.server_credentials_hint", token=TOKEN, user=USER, password=PASSWORD)
        raise NotRetrieved(message("ingest.server_credentials", status=status), hint)
    if 300 <= status < 400:
        hint = message("ingest.server_redirect_hint")
        raise NotRetrieved(message("ingest.server_redirect", status=status), hint)
    problem = message("ingest.server_status", status=status)
    if status == 404:
        raise _NotFound(problem, message("ingest.server_path_hint"))
    raise NotRetrieved(problem)


def _first_part(body: bytes, content_type: str) -> bytes:
    """The first part of a multipart/related body (RFC 2387), or the body of a plain answer."""
    header = MimeHeader()
    header["Content-Type"] = content_type
    if header.get_content_type() == "application/dicom":
        return body
    boundary = header.get_boundary()
    if header.get_content_maintype() != "multipart" or not boundary:
        raise NotRetrieved(message("ingest.answer_no_dicom"))
    mark = b"--" + boundary.encode()
    start = body.find(b"\r\n\r\n", body.find(mark)) + 4
    end = body.find(b"\r\n" + mark, start)
    if start < 4 or end < 0 or mark not in body:
        raise NotRetrieved(message("ingest.answer_short"))
    return body[start:end]

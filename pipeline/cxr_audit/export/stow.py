"""A DICOMweb server as the destination: STOW-RS stores, QIDO-RS confirms (PS3.18 10.5, 10.6).

By dicomweb-client, over a session with our limits: no redirects, time-outs, certificates always
verified, credentials from the environment as for reading (`cxr_audit.ingest.dicomweb`). A client
certificate: CXR_AUDIT_DICOMWEB_CERTIFICATE, a PEM file with its key. Messages name no address and
no UID.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pydicom
import requests
from dicomweb_client.web import DICOMwebClient
from pydicom.dataset import Dataset

from cxr_audit.errors import ConfigError
from cxr_audit.export.destination import Outcome, Stop, TryAgain
from cxr_audit.export.failures import IS_THERE, is_full, reason_of
from cxr_audit.export.objects import MadeObject
from cxr_audit.ingest import web
from cxr_audit.vocabulary import message

JSON = "application/dicom+json"
FULL = {413, 507}
REFUSED = {400, 406, 409, 415}
NO_CHUNKS = 2**31  # one body with its length: some servers do not read chunks
Answer = TypeVar("Answer")


class DicomwebDestination:
    """A service that stores and searches.

    Parameters
    ----------
    address : `dicomweb+https://HOST/PATH`, the root of the service.

    Raises
    ------
    ConfigError : the address names no server, or credentials would be sent in clear text.
    """

    def __init__(self, address: str) -> None:
        root = web.root_of(address)
        self._session = requests.Session()
        self._session.auth = web.authorize
        self._session.max_redirects = 0
        self._session.cert = web.client_certificate()
        self._session.headers["Accept"] = JSON
        self._session.hooks["response"] = [self._keep]
        self._last: requests.Response | None = None
        try:
            self._client = DICOMwebClient(
                root, session=self._session, chunk_size=NO_CHUNKS, timeout=web.TIMEOUT_S
            )
        except ValueError:
            raise ConfigError("--to names no DICOMweb server", web.EXAMPLE) from None
        self._client.set_http_retry_params(retry=False)

    def _keep(self, response: requests.Response, **_: Any) -> None:
        """The last answer, whose body says which objects were refused."""
        self._last = response

    def send(self, objects: Sequence[MadeObject]) -> dict[str, Outcome]:
        datasets = [made.dataset for made in objects]
        self._last = None
        by_client = self._asked(lambda: self._client.store_instances(datasets), REFUSED)
        answer = self._answer() or by_client or Dataset()  # the client reads XML as well
        outcomes = {}
        for item in answer.get("ReferencedSOPSequence", ()):
            warning = item.get("WarningReason")
            reason = None if warning is None else reason_of(int(warning))
            outcomes[str(item.ReferencedSOPInstanceUID)] = Outcome(True, reason)
        for item in answer.get("FailedSOPSequence", ()):
            outcomes[str(item.ReferencedSOPInstanceUID)] = self._failed(item)
        status = self._last_status()
        if not outcomes and status in REFUSED:
            refused = message("export.http_refused", status=status)
            return {made.uid: Outcome(False, refused) for made in objects}
        return outcomes

    def _failed(self, item: Dataset) -> Outcome:
        status = int(item.get("FailureReason", 0x0110))
        if status in IS_THERE:
            return Outcome(True)
        if is_full(status):
            raise Stop(reason_of(status), message("export.full_hint"))
        return Outcome(False, reason_of(status))

    def has(self, made: MadeObject) -> bool | None:
        found = self._asked(
            lambda: self._client.search_for_instances(
                study_instance_uid=str(made.dataset.StudyInstanceUID),
                search_filters={"SOPInstanceUID": made.uid},
                limit=1,
            ),
            {404},
        )
        # A server may ignore the filter: what it gives must be the object that was asked for.
        return any(item.get("00080018", {}).get("Value") == [made.uid] for item in found or ())

    def _last_status(self) -> int:
        return 0 if self._last is None else self._last.status_code

    def _answer(self) -> Dataset:
        """The body of the answer to a store request, empty where it cannot be read."""
        response = self._last
        if response is None or not response.content:
            return Dataset()
        kind = response.headers.get("Content-Type", "").partition(";")[0].strip()
        if kind not in (JSON, "application/json"):
            return Dataset()
        try:
            return pydicom.Dataset.from_json(response.json())
        except (ValueError, KeyError, TypeError):
            return Dataset()

    def _asked(self, call: Callable[[], Answer], expected: set[int]) -> Answer | None:
        """The result of a call; None where the server answered one of `expected`."""
        try:
            return call()
        except requests.HTTPError as error:
            status = 0 if error.response is None else error.response.status_code
            failure = None if status in expected else _of_status(status)
        except requests.exceptions.SSLError:
            problem = message("ingest.server_certificate")
            failure = Stop(problem, message("ingest.server_certificate_hint"))
        except requests.TooManyRedirects:
            problem = message("ingest.server_redirect", status=302)
            failure = Stop(problem, message("ingest.server_redirect_hint"))
        except requests.JSONDecodeError:
            failure = Stop(message("ingest.server_no_json"), message("ingest.server_path_hint"))
        except (requests.RequestException, OSError) as error:
            failure = TryAgain(message("ingest.server_silent", error=type(error).__name__))
        if failure is not None:
            raise failure  # outside the handlers: the original errors name the address
        return None

    def close(self) -> None:
        """Close the session."""
        self._session.close()


def _of_status(status: int) -> Stop | TryAgain:
    """What a status of HTTP means for the export."""
    if status in web.BUSY:
        return TryAgain(message("ingest.server_busy", status=status))
    if status in (401, 403):
        names = {"token": web.TOKEN, "user": web.USER, "password": web.PASSWORD}
        hint = message("ingest.server_credentials_hint", **names)
        return Stop(message("ingest.server_credentials", status=status), hint)
    if status in FULL:
        return Stop(message("export.http_full", status=status), message("export.full_hint"))
    if status == 404:
        problem = message("ingest.server_status", status=status)
        return Stop(problem, message("ingest.server_path_hint"))
    return TryAgain(message("ingest.server_status", status=status))

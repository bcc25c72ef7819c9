"""Small servers of both protocols that store, refuse, fail and hang up as a test asks."""

from __future__ import annotations

import email
import io
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE, evt

Reply = tuple[int, dict[str, str], bytes] | str
JSON = {"Content-Type": "application/dicom+json"}
FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")
CLASSES = {
    "pdf": "1.2.840.10008.5.1.4.1.1.104.1",
    "report": "1.2.840.10008.5.1.4.1.1.88.34",
    "picture": "1.2.840.10008.5.1.4.1.1.7",
    "segmentation": "1.2.840.10008.5.1.4.1.1.66.4",
}


class WebServer(ThreadingHTTPServer):
    """STOW-RS and QIDO-RS.

    `script` holds replies to give to POST first: (status, headers, body), or "drop" to close the
    connection without an answer. `failures` gives SOP classes a failure reason. `forgets`: says
    stored, and has nothing.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Web)
        self.stored: dict[str, bytes] = {}
        self.script: list[Reply] = []
        self.failures: dict[str, int] = {}
        self.forgets = False
        self.is_silent = False
        self.authorization: str | None = None
        self.posts = 0
        self.received: list[str] = []

    @property
    def address(self) -> str:
        return f"dicomweb+http://127.0.0.1:{self.server_port}/dicom-web"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that is dropped is what some tests do."""


class _Web(BaseHTTPRequestHandler):
    server: WebServer

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if self.server.authorization not in (None, self.headers.get("Authorization")):
            self.reply(401, {}, b"")
            return
        uid = parse_qs(url.query).get("SOPInstanceUID", [""])[0]
        found = [{"00080018": {"vr": "UI", "Value": [uid]}}] if uid in self.server.stored else []
        self.reply(200, JSON, json.dumps(found).encode())

    def do_POST(self) -> None:
        self.server.posts += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.script:
            reply = self.server.script.pop(0)
            if isinstance(reply, str):
                self.close_connection = True
                self.connection.close()
            else:
                self.reply(*reply)
            return
        if self.server.authorization not in (None, self.headers.get("Authorization")):
            self.reply(401, {}, b"")
            return
        self.store(body)

    def store(self, body: bytes) -> None:
        header = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        stored, failed = [], []
        for part in email.message_from_bytes(header + body).get_payload():
            data = part.get_payload(decode=True)
            dataset = pydicom.dcmread(io.BytesIO(data))
            item = {
                "00081150": {"vr": "UI", "Value": [dataset.SOPClassUID]},
                "00081155": {"vr": "UI", "Value": [dataset.SOPInstanceUID]},
            }
            self.server.received.append(dataset.SOPInstanceUID)
            reason = self.server.failures.get(dataset.SOPClassUID)
            if reason is not None:
                failed.append({**item, "00081197": {"vr": "US", "Value": [reason]}})
                continue
            stored.append(item)
            if not self.server.forgets:
                self.server.stored[dataset.SOPInstanceUID] = data
        answer = {"00081199": {"vr": "SQ", "Value": stored}}
        if failed:
            answer["00081198"] = {"vr": "SQ", "Value": failed}
        status = 200 if not failed else 202 if stored else 409
        self.reply(status, JSON, b"" if self.server.is_silent else json.dumps(answer).encode())

    def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def web_server(context: ssl.SSLContext | None = None) -> Iterator[WebServer]:
    """A server, over TLS where a context is given."""
    with WebServer() as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Archive:
    """An application entity that stores and searches.

    `statuses` are given to C-STORE first; "abort" ends the association instead.
    """

    def __init__(self) -> None:
        self.stored: dict[str, Dataset] = {}
        self.statuses: list[int | str] = []
        self.requests = 0
        self.port = 0

    @property
    def address(self) -> str:
        return f"dicom://ARCHIVE@127.0.0.1:{self.port}"

    def store(self, event: evt.Event) -> int:
        self.requests += 1
        if self.statuses:
            status = self.statuses.pop(0)
            if isinstance(status, str):
                event.assoc.abort()
                return 0xC000
            if status:
                return status
        self.stored[event.dataset.SOPInstanceUID] = event.dataset
        return 0

    def find(self, event: evt.Event) -> Iterator[tuple[int, Dataset | None]]:
        uid = event.identifier.SOPInstanceUID
        if uid in self.stored:
            answer = Dataset()
            answer.QueryRetrieveLevel = "IMAGE"
            answer.SOPInstanceUID = uid
            yield 0xFF00, answer
        yield 0x0000, None


@contextmanager
def archive(kinds: tuple[str, ...] = tuple(CLASSES), finds: bool = True) -> Iterator[Archive]:
    """An archive that accepts these kinds of objects."""
    entity, state = AE("ARCHIVE"), Archive()
    entity.require_called_aet = True
    for kind in kinds:
        entity.add_supported_context(CLASSES[kind])
    if finds:
        entity.add_supported_context(FIND)
    handlers: list[tuple[Any, Callable[..., Any]]] = [
        (evt.EVT_C_STORE, state.store),
        (evt.EVT_C_FIND, state.find),
    ]
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    assert server is not None
    state.port = server.server_address[1]
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()

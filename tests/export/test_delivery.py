"""Delivery to servers: stored, confirmed, refused, full, gone."""

from __future__ import annotations

import base64
import io
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pydicom
import pytest
from cxr_audit.errors import ConfigError
from cxr_audit.evidence import RunFolder
from cxr_audit.export import NotDelivered, export_run, read_back
from cxr_audit.export import run as composer
from cxr_audit.export.failures import is_full, reason_of
from cxr_audit.export.ledger import Ledger
from cxr_audit.ingest import web

from benchmarks import orthanc
from tests.export.runs import case_of, objects_below, program, verified
from tests.export.servers import CLASSES, JSON, Archive, WebServer, archive, web_server

NUM = 9  # objects: pdf, report and picture of three DICOM radiographs


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(composer, "WAIT_S", 0.0)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    for name in (web.TOKEN, web.USER, web.PASSWORD, web.CERTIFICATE):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with web_server() as running:
        yield running


@pytest.fixture
def pacs() -> Iterator[Archive]:
    with archive() as running:
        yield running


def states(folder: RunFolder, target: str) -> dict[str, str]:
    """SOP Instance UID -> its last state."""
    ledger = Ledger(folder, target)
    found = {}
    for case in folder.case_ids():
        found.update({entry.uid: entry.state for entry in ledger.of_case(case)})
    return found


def reasons(folder: RunFolder, target: str) -> set[str | None]:
    ledger = Ledger(folder, target)
    return {
        entry.reason
        for case in folder.case_ids()
        for entry in ledger.of_case(case)
        if entry.state == "queued"
    }


# Both protocols


def test_stow_stores_once_and_confirms(folder: RunFolder, server: WebServer) -> None:
    done = export_run(folder.path, server.address)
    assert done.states == {"confirmed": NUM}
    assert set(states(folder, server.address)) == set(server.stored)
    again = export_run(folder.path, server.address)
    assert again.already == NUM
    assert len(server.received) == NUM


def test_c_store_stores_once_and_confirms(folder: RunFolder, pacs: Archive) -> None:
    done = export_run(folder.path, pacs.address)
    assert done.states == {"confirmed": NUM}
    assert set(states(folder, pacs.address)) == set(pacs.stored)
    assert export_run(folder.path, pacs.address).already == NUM
    assert pacs.requests == NUM


def test_without_its_ledger_an_export_asks_first(folder: RunFolder, server: WebServer) -> None:
    export_run(folder.path, server.address)
    shutil.rmtree(folder.private / "dicom")
    done = export_run(folder.path, server.address)
    assert (done.states, server.posts) == ({"confirmed": NUM}, 3)


def test_the_ledger_keeps_destinations_apart(
    folder: RunFolder, server: WebServer, pacs: Archive
) -> None:
    export_run(folder.path, server.address)
    assert export_run(folder.path, pacs.address).already == 0
    assert pacs.stored.keys() == server.stored.keys()


def test_what_arrives_is_what_a_folder_gets(
    folder: RunFolder, server: WebServer, tmp_path: Path
) -> None:
    export_run(folder.path, server.address)
    export_run(folder.path, str(tmp_path / "out"))
    files = {pydicom.dcmread(f).SOPInstanceUID: f for f in (tmp_path / "out").rglob("*.dcm")}
    assert files.keys() == server.stored.keys()
    for uid, file in files.items():
        assert pydicom.dcmread(file) == pydicom.dcmread(io.BytesIO(server.stored[uid]))


# What can go wrong over STOW-RS


def test_wrong_credentials_stop_at_once(
    folder: RunFolder, server: WebServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = base64.b64encode(b"user:right").decode()
    server.authorization = f"Basic {right}"
    monkeypatch.setenv(web.USER, "user")
    monkeypatch.setenv(web.PASSWORD, "wrong")
    with pytest.raises(NotDelivered, match=r"refuses the credentials \(401\)") as error:
        export_run(folder.path, server.address)
    assert web.PASSWORD in str(error.value.hint)
    assert server.posts == 0
    assert set(states(folder, server.address).values()) == {"queued"}
    monkeypatch.setenv(web.PASSWORD, "right")
    assert export_run(folder.path, server.address).states == {"confirmed": NUM}


@pytest.mark.parametrize("status", [413, 507])
def test_a_full_server_stops_the_export(folder: RunFolder, server: WebServer, status: int) -> None:
    server.script = [(status, {}, b"")]
    with pytest.raises(NotDelivered, match="no room"):
        export_run(folder.path, server.address)
    assert server.posts == 1
    assert export_run(folder.path, server.address).states == {"confirmed": NUM}


def test_a_full_archive_behind_a_server_stops_the_export(
    folder: RunFolder, server: WebServer
) -> None:
    server.failures = {CLASSES["picture"]: 0xA700}
    with pytest.raises(NotDelivered, match=r"no room \(status A700\)"):
        export_run(folder.path, server.address)
    server.failures = {}
    assert export_run(folder.path, server.address).states == {"confirmed": NUM}
    assert len(server.stored) == NUM


def test_a_refused_class_has_its_reason_and_the_rest_arrives(
    folder: RunFolder, server: WebServer
) -> None:
    server.failures = {CLASSES["report"]: 0x0122}
    with pytest.raises(NotDelivered, match="3 objects were not delivered") as error:
        export_run(folder.path, server.address)
    assert "does not store this kind of object (status 0122)" in str(error.value)
    assert len(server.stored) == 6
    assert reasons(folder, server.address) == {
        "the server does not store this kind of object (status 0122)"
    }
    server.failures = {}
    done = export_run(folder.path, server.address)
    assert (done.already, done.states["confirmed"]) == (6, NUM)


@pytest.mark.parametrize("failure", ["drop", (503, {"Retry-After": "0"}, b"")])
def test_a_failure_that_passes_is_tried_again(
    folder: RunFolder, server: WebServer, failure: object
) -> None:
    server.script = [failure, failure]
    assert export_run(folder.path, server.address).states == {"confirmed": NUM}
    assert server.posts == 5


def test_tries_are_limited(folder: RunFolder, server: WebServer) -> None:
    server.script = ["drop"] * 10
    with pytest.raises(NotDelivered, match="does not answer"):
        export_run(folder.path, server.address, ("export.tries=3",))
    assert server.posts == 3
    assert set(states(folder, server.address).values()) == {"queued"}


def test_redirects_are_refused(folder: RunFolder, server: WebServer) -> None:
    server.script = [(302, {"Location": "http://127.0.0.1:9/elsewhere"}, b"")]
    with pytest.raises(NotDelivered, match="redirect"):
        export_run(folder.path, server.address)


def test_what_a_server_forgets_is_not_confirmed(folder: RunFolder, server: WebServer) -> None:
    server.forgets = True
    done = export_run(folder.path, server.address)
    assert done.states == {"stored": NUM}
    server.forgets = False
    assert export_run(folder.path, server.address).states == {"confirmed": NUM}


def test_a_server_that_says_nothing_is_asked(folder: RunFolder, server: WebServer) -> None:
    server.is_silent = True
    assert export_run(folder.path, server.address).states == {"confirmed": NUM}


def test_an_answer_that_is_no_list_is_no_success(folder: RunFolder, server: WebServer) -> None:
    server.script = [(200, JSON, b"{")] * 3
    with pytest.raises(NotDelivered):
        export_run(folder.path, server.address)


def test_nothing_printed_names_the_study(
    folder: RunFolder, server: WebServer, capfd: pytest.CaptureFixture[str]
) -> None:
    server.script = ["drop"] * 10
    with pytest.raises(NotDelivered) as error:
        export_run(folder.path, server.address, ("export.tries=2",))
    said = "".join(capfd.readouterr()) + str(error.value) + str(error.value.hint)
    assert "999.1" not in said
    assert str(server.server_port) not in said


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")
def test_a_site_s_own_authority_and_a_client_certificate(
    folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem = tmp_path / "site.pem"
    made = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
    made += f"-addext subjectAltName=DNS:localhost -keyout {tmp_path}/key -out {tmp_path}/cert"
    subprocess.run(made.split(), check=True, capture_output=True)
    pem.write_bytes((tmp_path / "key").read_bytes() + (tmp_path / "cert").read_bytes())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    context.load_verify_locations(tmp_path / "cert")
    context.verify_mode = ssl.CERT_REQUIRED
    with web_server(context) as server:
        to = f"dicomweb+https://localhost:{server.server_port}/dicom-web"
        once = ("export.tries=1",)
        with pytest.raises(NotDelivered, match="certificate is not trusted"):
            export_run(folder.path, to, once)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "cert"))
        with pytest.raises(NotDelivered, match=r"does not answer|certificate"):
            export_run(folder.path, to, once)
        monkeypatch.setenv(web.CERTIFICATE, str(tmp_path / "nothing"))
        with pytest.raises(ConfigError, match="names no file"):
            export_run(folder.path, to, once)
        monkeypatch.setenv(web.CERTIFICATE, str(pem))
        assert export_run(folder.path, to, once).states == {"confirmed": NUM}


def test_readers_answers_come_back_from_orthanc(
    folder: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = orthanc.missing()
    if reason:
        pytest.skip(reason)
    monkeypatch.setenv(web.USER, orthanc.USER)
    monkeypatch.setenv(web.PASSWORD, orthanc.PASSWORD)
    with orthanc.serve(tmp_path / "pacs") as pacs:
        to = f"dicomweb+{pacs.web}/dicom-web"
        export_run(folder.path, to)
        export_run(folder.path)
        report = objects_below(folder.private / "dicom")[case_of(folder, 1), "report"]
        verified(report, "Roe^Richard").save_as(tmp_path / "v.dcm", enforce_file_format=True)
        orthanc.upload(pacs.web, tmp_path / "v.dcm")
        back = read_back(folder.path, to)
    (answer,) = back.answers
    assert back.left_out == []
    assert (answer["case_id"], answer["agreement"]) == (case_of(folder, 1), "agree")


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("dicomweb+https://", "names no server"),
        ("dicomweb+https://user:secret@host/dicom-web", "holds a user or a password"),
        ("dicomweb+http://pacs.example/dicom-web", "plain http"),
        ("dicom://127.0.0.1:104", "no application entity"),
        ("dicom://AET@127.0.0.1", "no application entity"),
        ("dicom://A-TITLE-THAT-IS-TOO-LONG@127.0.0.1:104", "no application entity"),
    ],
)
def test_addresses_that_cannot_be_used_are_refused(
    folder: RunFolder, address: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(web.TOKEN, "secret")
    with pytest.raises(ConfigError, match=problem):
        export_run(folder.path, address)


# What can go wrong over C-STORE


def test_a_class_that_an_archive_does_not_take(folder: RunFolder) -> None:
    with archive(kinds=("pdf", "picture")) as pacs:
        with pytest.raises(NotDelivered, match="does not accept this kind of object"):
            export_run(folder.path, pacs.address)
        assert len(pacs.stored) == 6


def test_a_full_archive_stops_the_export(folder: RunFolder, pacs: Archive) -> None:
    pacs.statuses = [0, 0xA700]
    with pytest.raises(NotDelivered, match=r"no room \(status A700\)"):
        export_run(folder.path, pacs.address)
    assert pacs.requests == 2
    assert export_run(folder.path, pacs.address).states == {"confirmed": NUM}
    assert pacs.requests == 2 + NUM - 1


def test_a_lost_association_is_opened_again(folder: RunFolder, pacs: Archive) -> None:
    pacs.statuses = [0, "abort", 0]
    assert export_run(folder.path, pacs.address).states == {"confirmed": NUM}


def test_an_archive_that_hangs_up_again_and_again(folder: RunFolder, pacs: Archive) -> None:
    pacs.statuses = ["abort"] * 10
    with pytest.raises(NotDelivered, match="the connection was lost"):
        export_run(folder.path, pacs.address, ("export.tries=2",))
    assert pacs.requests == 2


def test_a_wrong_title_stops_at_once(folder: RunFolder, pacs: Archive) -> None:
    with pytest.raises(NotDelivered, match="rejected the association") as error:
        export_run(folder.path, pacs.address.replace("ARCHIVE", "OTHER"))
    assert "CXR_AUDIT" in str(error.value.hint)


# pynetdicom leaves the socket of a refused connection to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_no_archive_at_all(folder: RunFolder) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(NotDelivered, match="does not answer"):
        export_run(folder.path, f"dicom://ANY@127.0.0.1:{port}", ("export.tries=2",))


def test_an_archive_that_cannot_be_asked_leaves_objects_stored(folder: RunFolder) -> None:
    with archive(finds=False) as pacs:
        done = export_run(folder.path, pacs.address)
        assert done.states == {"stored": NUM}
        assert len(pacs.stored) == NUM


def test_storescp_of_dcmtk_takes_every_object(folder: RunFolder, tmp_path: Path) -> None:
    path = program("storescp")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "in").mkdir()
    server = subprocess.Popen([path, "-aet", "DCMTK", "-od", str(tmp_path / "in"), str(port)])
    try:
        wait_for(port)
        done = export_run(folder.path, f"dicom://DCMTK@127.0.0.1:{port}")
    finally:
        server.terminate()
        server.wait(10)
    assert done.states == {"stored": NUM}
    files = sorted((tmp_path / "in").iterdir())
    assert len(files) == NUM
    uids = {pydicom.dcmread(file).SOPInstanceUID for file in files}
    assert uids == set(states(folder, f"dicom://DCMTK@127.0.0.1:{port}"))


def wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as asked:
            if asked.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("storescp does not listen")


@pytest.mark.parametrize("kind", ["web", "dicom"])
def test_orthanc_gives_back_the_pdf_byte_for_byte(
    folder: RunFolder, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reason = orthanc.missing()
    if reason:
        pytest.skip(reason)
    monkeypatch.setenv(web.USER, orthanc.USER)
    monkeypatch.setenv(web.PASSWORD, orthanc.PASSWORD)
    with orthanc.serve(tmp_path) as pacs:
        to = f"dicomweb+{pacs.web}/dicom-web" if kind == "web" else pacs.dicom
        assert export_run(folder.path, to).states == {"confirmed": NUM}
        given_back = orthanc.instances(pacs.web, "DOC")
    pdfs = {path.read_bytes() for path in folder.cases.glob("*/report.pdf")}
    assert len(given_back) == 3
    for dataset in given_back:
        length = dataset.EncapsulatedDocumentLength
        assert dataset.EncapsulatedDocument[:length] in pdfs


# Statuses


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0xA700, "no room"),
        (0xA7FF, "no room"),
        (0xA770, "does not store this kind"),
        (0xA900, "does not fit the kind"),
        (0xC000, "cannot understand"),
        (0xC122, "does not read the encoding"),
        (0xCFFF, "cannot understand"),
        (0x0110, "failed to process"),
        (0x0122, "does not store this kind"),
        (0x0124, "does not permit"),
        (0x1234, "refused the object"),
    ],
)
def test_every_status_has_words(status: int, words: str) -> None:
    """PS3.4 Table B.2-1, PS3.7 Annex C."""
    assert words in str(reason_of(status))
    assert f"{status:04X}" in str(reason_of(status))
    assert is_full(status) == (words == "no room")

"""A PACS over DICOMweb: a small server in this process, and Orthanc where it is installed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest
from cxr_audit import audit, cli
from cxr_audit.errors import ConfigError, ModelError, NotRetrieved, UnsupportedRadiograph
from cxr_audit.ingest import dicomweb, discover, probe, read
from cxr_audit.records import Box
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

from benchmarks import orthanc

STUDY, SERIES = "1.2.3", "1.2.3.4"


class Server(ThreadingHTTPServer):
    """QIDO-RS and WADO-RS of a few instances.

    `script` holds answers to give first: (status, headers, body).
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.files: dict[str, bytes] = {}
        self.page = 2
        self.ignores_offset = False
        self.script: list[tuple[int, dict[str, str], bytes]] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.authorization: str | None = None

    @property
    def source(self) -> str:
        return f"dicomweb+http://127.0.0.1:{self.server_port}/dicom-web?Modality=DX"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what some tests do."""


class _Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qsl(url.query)
        self.server.asked.append((self.path, dict(self.headers)))
        if self.server.script:
            status, headers, body = self.server.script.pop(0)
            self.send(status, headers, body)
        elif self.server.authorization not in (None, self.headers.get("Authorization")):
            self.send(401, {}, b"")
        elif url.path == "/dicom-web/instances":
            self.search(dict(query))
        else:
            self.retrieve(url.path)

    def search(self, query: dict[str, str]) -> None:
        uids = list(self.server.files)
        start = 0 if self.server.ignores_offset else int(query["offset"])
        size = (
            len(uids) if self.server.ignores_offset else min(int(query["limit"]), self.server.page)
        )
        attributes = {"0020000D": STUDY, "0020000E": SERIES, "00100020": "Doe-1"}
        found = [
            {
                tag: {"vr": "UI", "Value": [value]}
                for tag, value in {**attributes, "00080018": uid}.items()
            }
            for uid in uids[start : start + size]
        ]
        body = json.dumps(found).encode() if found else b""
        self.send(200 if found else 204, {"Content-Type": "application/dicom+json"}, body)

    def retrieve(self, path: str) -> None:
        assert (
            self.headers["Accept"]
            == 'multipart/related; type="application/dicom"; transfer-syntax=*'
        )
        data = self.server.files[
            path.removeprefix(f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/")
        ]
        part = b"--x y\r\nContent-Type: application/dicom\r\n\r\n" + data + b"\r\n--x y--\r\n"
        self.send(
            200,
            {"Content-Type": 'multipart/related; type="application/dicom"; boundary="x y"'},
            part,
        )

    def send(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(
    dicom: Callable[..., Any], save: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    """Five radiographs of growing brightness."""
    monkeypatch.setattr(dicomweb, "WAITS_S", (0.0, 0.0))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    for name in (dicomweb.TOKEN, dicomweb.USER, dicomweb.PASSWORD):
        monkeypatch.delenv(name, raising=False)
    with Server() as running:
        for n in range(1, 6):
            uid = f"{SERIES}.{n}{'0' * (n % 2)}"  # of odd and of even length
            dataset = dicom(np.array([[0, 40 * n], [10, 255]], np.uint16), SOPInstanceUID=uid)
            dataset.file_meta.MediaStorageSOPInstanceUID = uid
            running.files[uid] = save(dataset).read_bytes()
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def part(data: bytes) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/dicom"}, data


def test_all_pages_are_listed_once_and_sorted(server: Server) -> None:
    cases = discover(server.source, key=b"k" * 16)
    assert [case.location.uid for case in cases] == sorted(server.files)
    assert len({case.case_id for case in cases}) == 5
    assert {case.patient_id for case in cases} == {"Doe-1"}
    assert all(case.file_sha256 is None for case in cases)
    assert [dict(parse_qsl(urlsplit(path).query))["offset"] for path, _ in server.asked] == [
        "0",
        "2",
        "4",
        "5",
    ]
    assert [case.case_id for case in discover(server.source, key=b"k" * 16)] == [
        case.case_id for case in cases
    ]
    assert not {case.case_id for case in discover(server.source)} & {case.case_id for case in cases}


def test_a_server_that_ignores_the_offset_is_asked_twice(server: Server) -> None:
    server.ignores_offset = True
    assert len(discover(server.source)) == 5
    assert len(server.asked) == 2


def test_a_key_given_twice_means_either(server: Server) -> None:
    assert len(discover(server.source + "&Modality=CR&PatientSex=F")) == 5
    asked = [dict(parse_qsl(urlsplit(path).query)) for path, _ in server.asked]
    assert {(one["Modality"], one["PatientSex"]) for one in asked} == {("DX", "F"), ("CR", "F")}


def test_an_instance_is_read_as_its_file(
    server: Server, read_path: Callable[..., Any], tmp_path: Path
) -> None:
    for case in discover(server.source):
        path = tmp_path / "one.dcm"
        path.write_bytes(server.files[case.location.uid])
        by_server, by_file = read(case), read_path(path)
        assert by_server.facts == by_file.facts
        assert (by_server.pixels == by_file.pixels).all()
        probe(case)


def test_a_body_that_is_the_file_itself(server: Server) -> None:
    case, *_ = discover(server.source)
    server.script = [part(server.files[case.location.uid])]
    assert read(case).facts.rows == 2


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504])
def test_a_busy_server_is_asked_again(server: Server, status: int) -> None:
    case, *_ = discover(server.source)
    server.script = [(status, {}, b"")] * 2
    assert read(case).facts.rows == 2


def test_a_cut_answer_is_asked_for_again(server: Server) -> None:
    case, *_ = discover(server.source)
    whole = server.files[case.location.uid]
    server.script = [
        (200, {"Content-Length": str(len(whole)), "Content-Type": "application/dicom"}, whole[:100])
    ]
    assert read(case).facts.rows == 2


def test_retry_after_is_obeyed_within_bounds(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(dicomweb.time, "sleep", waits.append)
    monkeypatch.setattr(dicomweb, "WAITS_S", (0.5, 1.0, 2.0))
    case, *_ = discover(server.source)
    server.script = [
        (503, {"Retry-After": after}, b"")
        for after in ("7", "86400", "Wed, 21 Oct 2026 07:28:00 GMT")
    ]
    read(case)
    assert waits == [7.0, 30.0, 2.0]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((503, {}, b""), r"busy \(503\), 3 times"),
        ((401, {}, b""), "refuses the credentials"),
        ((403, {}, b""), "refuses the credentials"),
        ((404, {}, b"Doe^Jane"), "status 404"),
        ((500, {}, b"Doe^Jane"), "status 500"),
        ((301, {"Location": "http://127.0.0.1:1/Doe"}, b""), "redirects"),
        ((200, {"Content-Type": "text/html"}, b"<html>Doe^Jane"), "holds no DICOM file"),
        ((200, {"Content-Type": "multipart/related"}, b"Doe"), "holds no DICOM file"),
        ((200, {"Content-Type": "multipart/related; boundary=x"}, b"--x\r\n\r\nDoe"), "cut short"),
        ((200, {"Content-Type": "multipart/related; boundary=x"}, b"Doe"), "cut short"),
        (
            (200, {"Content-Type": "application/dicom"}, b"Doe^Jane"),
            "something other than the requested instance",
        ),
    ],
)
def test_a_failed_retrieval_is_a_failed_case(server: Server, answer: Any, words: str) -> None:
    case, *_ = discover(server.source)
    server.script = [answer] * 3
    with pytest.raises(NotRetrieved, match=words) as error:
        read(case)
    said = f"{error.value} {error.value.hint} {error.value.__cause__}"
    assert not any(secret in said for secret in ("Doe", "127.0.0.1", STUDY))


def test_another_instance_than_asked_is_refused(server: Server) -> None:
    first, second, *_ = discover(server.source)
    server.script = [part(server.files[second.location.uid])]
    with pytest.raises(NotRetrieved, match="something other than the requested instance"):
        read(first)
    # 1.2.3.4.1 is the beginning of 1.2.3.4.10, which is another.
    server.script = [part(server.files["1.2.3.4.10"])]
    begun = replace(first, location=replace(first.location, uid="1.2.3.4.1"))
    with pytest.raises(NotRetrieved, match="something other"):
        read(begun)


def test_the_instance_is_known_by_its_dataset_not_by_its_meta_header(server: Server) -> None:
    case, *_ = discover(server.source)
    meta = f"UI{chr(len(case.location.uid))}\0{case.location.uid}".encode()
    data = server.files[case.location.uid]
    at = data.index(b"\x02\x00\x03\x00" + meta)
    other = bytearray(data)
    other[at + 8 : at + 8 + len(case.location.uid)] = b"9" * len(case.location.uid)
    server.script = [part(bytes(other))]
    assert read(case).sop_instance_uid == case.location.uid


def test_an_answer_without_end_is_cut(server: Server) -> None:
    case, *_ = discover(server.source)
    server.script = [part(bytes(3_000_000))]
    with pytest.raises(UnsupportedRadiograph, match="more than"):
        dicomweb.retrieve(case.location, 1_000_000)


def test_a_server_that_is_not_there(server: Server) -> None:
    case, *_ = discover(server.source)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(
        ConfigError, match="cannot be searched: the server does not answer"
    ) as error:
        discover(f"dicomweb+http://127.0.0.1:{port}/?Modality=DX")
    assert error.value.hint
    gone = dicomweb.ServerInstance(
        case.location.url.replace(str(server.server_port), str(port)), case.location.uid
    )
    with pytest.raises(NotRetrieved, match="does not answer"):
        dicomweb.retrieve(gone, 100)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"<html>", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff", "not JSON"),
        (b"{}", "not a list"),
    ],
)
def test_a_list_that_cannot_be_understood(server: Server, body: bytes, words: str) -> None:
    server.script = [(200, {"Content-Type": "application/dicom+json"}, body)]
    with pytest.raises(ConfigError, match=words):
        discover(server.source)


def listed(study: str, series: str, uid: str) -> bytes:
    tags = {"0020000D": study, "0020000E": series, "00080018": uid}
    return json.dumps([{tag: {"Value": [text]} for tag, text in tags.items()}]).encode()


@pytest.mark.parametrize(
    "body", [b"[1]", b"[{}]", b'[{"0020000D": {"Value": []}}]', listed("..", "1", "1")]
)
def test_an_instance_without_uids_is_a_failed_case(server: Server, body: bytes) -> None:
    server.script = [(200, {}, body), (204, {}, b"")]
    (case,) = discover(server.source)
    assert case.case_id == "unreadable-0001"
    with pytest.raises(NotRetrieved) as error:
        read(case)
    assert error.value.message.code == "ingest.no_uids"


def test_an_odd_uid_does_not_end_a_search_and_leads_nowhere(server: Server) -> None:
    server.script = [(200, {}, listed("../../x", "1", "1.2.A")), (204, {}, b"")]
    (case,) = discover(server.source)
    assert case.location.url.endswith("/studies/..%2F..%2Fx/series/1/instances/1.2.A")


def test_a_404_after_the_last_page_ends_a_search(server: Server) -> None:
    server.script = [(200, {}, listed("1", "2", "3")), (404, {}, b"")]
    assert [case.location.uid for case in discover(server.source)] == ["3"]
    server.script = [(404, {}, b"")]
    with pytest.raises(ConfigError, match="status 404"):
        discover(server.source)


def test_patients_in_any_script(server: Server) -> None:
    patients = ["山田^太郎", "\ud800", 7, None]
    listed = [
        {
            "0020000D": {"Value": ["1"]},
            "0020000E": {"Value": ["2"]},
            "00080018": {"Value": [f"3.{n}"]},
            "00100020": p,
        }
        for n, p in enumerate({"Value": [patient]} for patient in patients)
    ]
    server.script = [(200, {}, json.dumps(listed).encode()), (204, {}, b"")]
    assert [case.patient_id for case in discover(server.source)] == ["山田^太郎", "?", "7", None]


@pytest.mark.parametrize(
    ("source", "words", "hint"),
    [
        ("dicomweb+https://host/dicom-web", "no filter", "Modality"),
        ("dicomweb+https://host/dicom-web?PatientName=*", "no filter", "Modality"),
        ("dicomweb+https://host/dicom-web?Modalty=DX", "'Modalty'", "Perhaps you meant 'Modality'"),
        ("dicomweb+https://host/dicom-web?limit=3&Modality=DX", "'limit'", ""),
        (
            "dicomweb+https://me:secret@host/dicom-web?Modality=DX",
            "holds a user",
            "CXR_AUDIT_DICOMWEB_USER",
        ),
        ("dicomweb+https:///dicom-web?Modality=DX", "names no server", "HOST"),
        (
            "dicomweb+https://host/?" + "Modality=DX&PatientID=7&" * 32,
            "more than 1000 searches",
            "fewer keys",
        ),
        ("dicomweb+https://[x/dicom-web?Modality=DX", "names no server", "HOST"),
        ("dicomweb+http://pacs.invalid/dicom-web?Modality=DX", "plain http", "https"),
    ],
)
def test_addresses_that_are_refused_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch, source: str, words: str, hint: str
) -> None:
    monkeypatch.setenv(dicomweb.TOKEN, "t")
    monkeypatch.setattr(
        dicomweb.requests, "get", lambda *_, **__: pytest.fail("something was sent")
    )
    with pytest.raises(ConfigError, match=words) as error:
        discover(source)
    assert hint in str(error.value.hint)
    assert "secret" not in str(error.value)


def test_labels_and_splits_need_a_manifest() -> None:
    source = "dicomweb+https://host/?Modality=DX"
    with pytest.raises(ConfigError, match="no folders"):
        discover(source, "folder")
    for asked in ({"labels": "finding"}, {"split": "test"}):
        with pytest.raises(ConfigError, match="not a manifest") as error:
            discover(source, **asked)
        assert "ingest.manifest" in str(error.value.hint)


def test_a_manifest_says_which_instances_are_cases_and_labels_them(
    server: Server, tmp_path: Path
) -> None:
    first, second, third, *_ = sorted(server.files)
    manifest = tmp_path / "labels.csv"
    manifest.write_text(
        "finding,SOPInstanceUID,split,patient_id,boxes,site\n"
        f'PNEUMONIA,{third},test,P-3,"1,0,1,2",Ward 3\n'
        f"NORMAL,{first},test,,,\n"
        f",{second},train,,,\n"
    )
    cases = discover(server.source, "finding", manifest=manifest)
    assert [case.location.uid for case in cases] == [third, first, second]
    assert [case.label for case in cases] == ["PNEUMONIA", "NORMAL", None]
    assert [case.patient_id for case in cases] == ["P-3", "Doe-1", "Doe-1"]  # else the server's own
    assert (cases[0].boxes, cases[0].metadata) == ((Box(0, 1, 2, 1),), {"site": "Ward 3"})
    by_server = {case.location.uid: case for case in discover(server.source)}
    for case in cases:
        bare = by_server[case.location.uid]
        assert (case.case_id, case.relative_path, case.location) == (
            bare.case_id,
            bare.relative_path,
            bare.location,
        )
    assert read(cases[0]).facts == read(by_server[third]).facts
    assert [
        case.location.uid for case in discover(server.source, split="train", manifest=manifest)
    ] == [second]


@pytest.mark.parametrize(
    ("text", "labels", "words", "hint"),
    [
        (
            f"SOPInstanceUID\n{SERIES}.10\n{SERIES}.9\n\n{SERIES}.8\n",
            "none",
            "2 of 3 rows .* lines 3, 5$",
            "Widen",
        ),
        (
            "SOPInstanceUID\n" + f"{SERIES}.9\n" * 12,
            "none",
            r"12 of 12 .* 10, 11, \.\.\.$",
            "Widen",
        ),
        (
            "path,finding\na.png,X\n",
            "finding",
            "no column 'SOPInstanceUID'",
            "add 'SOPInstanceUID'",
        ),
        ("SOPInstanceUID,finding\n ,X\n", "finding", "line 2 .* empty SOPInstanceUID", "Fill"),
        (
            f"SOPInstanceUID,finding\n{SERIES}.10,X\n",
            "findings",
            "no column 'findings'",
            "'finding'",
        ),
        (
            f"SOPInstanceUID\n{SERIES}.10\n",
            "SOPInstanceUID",
            "no column 'SOPInstanceUID' for the labels",
            "",
        ),
    ],
)
def test_manifests_of_a_server_that_are_refused(
    server: Server, tmp_path: Path, text: str, labels: str, words: str, hint: str
) -> None:
    manifest = tmp_path / "labels.csv"
    manifest.write_text(text)
    with pytest.raises(ConfigError, match=words) as error:
        discover(server.source, labels, manifest=manifest)
    assert hint in str(error.value.hint)
    assert SERIES not in f"{error.value}{error.value.hint}"


def test_a_manifest_is_a_file_and_of_a_server(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path\n")
    os.mkfifo(tmp_path / "pipe.csv")  # opened, it would wait for ever
    with pytest.raises(ConfigError, match="no DICOMweb server"):
        discover(tmp_path, manifest=tmp_path / "labels.csv")
    for name in ("absent.csv", "pipe.csv", "x" * 300 + ".csv"):
        with pytest.raises(ConfigError, match=r"names no \.csv or \.parquet file"):
            discover("dicomweb+https://host/?Modality=DX", manifest=tmp_path / name)


def test_credentials_come_from_the_environment(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login other password other\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    server.authorization = "Bearer t0ken"
    with pytest.raises(ConfigError, match=r"refuses the credentials \(401\)") as error:
        discover(server.source)
    assert dicomweb.TOKEN in str(error.value.hint)
    assert "Authorization" not in server.asked[-1][1]
    monkeypatch.setenv(dicomweb.USER, "me")
    monkeypatch.setenv(dicomweb.PASSWORD, "pässword")
    server.authorization = "Basic " + base64.b64encode("me:pässword".encode()).decode()
    assert len(discover(server.source)) == 5
    monkeypatch.setenv(dicomweb.TOKEN, "t0ken")
    server.authorization = "Bearer t0ken"
    case, *_ = discover(server.source)
    assert read(case).facts.rows == 2


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate with")
def test_certificates_are_verified(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = (
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost "
        f"-keyout {key} -out {certificate}"
    )
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=DNS:localhost"],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    source = server.source.replace("http://127.0.0.1", "https://localhost")
    with pytest.raises(ConfigError, match="certificate is not trusted"):
        discover(source)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    assert len(discover(source)) == 5


def test_check_counts_all_and_retrieves_one(
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def stop(_: object) -> None:
        raise ModelError("far enough")

    monkeypatch.setattr(audit, "open_classifier", stop)
    config = tmp_path / "audit.yaml"
    config.write_text(
        f"run: {{name: a}}\ningest: {{source: '{server.source}'}}\npreprocess: {{scaling: unit}}\n"
        "classifier: {path: reference}\n"
    )
    with pytest.raises(ModelError, match="far enough"):
        cli.check(config)
    assert "radiographs: 5 found, 1 retrieved, 1 readable by header" in capsys.readouterr().err
    assert sum(path.count("/instances/") for path, _ in server.asked) == 1
    assert not (tmp_path / "reports").exists()  # no key was kept
    server.files = dict.fromkeys(server.files, b"Doe^Jane")
    with pytest.raises(ModelError, match="far enough"):
        cli.check(config)
    said = capsys.readouterr().err
    assert "5 found, 1 retrieved, 0 readable by header" in said
    assert "file 1: the server answered with something other" in said
    assert "Doe" not in said


@pytest.mark.skipif(orthanc.missing() is not None, reason=str(orthanc.missing()))
def test_orthanc(
    dicom: Callable[..., Any],
    save: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """A real radiograph, plain and compressed, comes back as the bytes that were stored."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    files = [
        Path(get_testdata_file(name, download=False)) for name in ("RG1_UNCI.dcm", "RG1_J2KR.dcm")
    ]
    for n in range(3):
        dataset = dicom(np.full((8, 8), n, np.uint16), Modality="DX", PatientID=f"SYN-{n}")
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        files.append(save(dataset, f"{n}.dcm"))
    with orthanc.serve(tmp_path) as pacs:
        for path in files:
            orthanc.upload(pacs.web, path)
        source = f"dicomweb+{pacs.web}/dicom-web?Modality=CR"
        with pytest.raises(ConfigError, match="credentials"):
            discover(source)
        monkeypatch.setenv(dicomweb.USER, orthanc.USER)
        monkeypatch.setenv(dicomweb.PASSWORD, orthanc.PASSWORD)
        monkeypatch.setattr(dicomweb, "PAGE", 1)
        cases = discover(source)
        assert len(cases) == 2
        assert len(discover(source + "&Modality=DX")) == 5
        assert len(discover(source + "&Modality=DX&PatientID=SYN-*")) == 3
        found = [read(case).facts for case in cases]
        gone = dicomweb.ServerInstance(cases[0].location.url + "9", cases[0].location.uid + "9")
        with pytest.raises(NotRetrieved, match="status 404"):
            dicomweb.retrieve(gone, 10**8)
    stored = {hashlib.sha256(path.read_bytes()).hexdigest() for path in files[:2]}
    assert {facts.source.file_sha256 for facts in found} == stored
    assert {facts.source.transfer_syntax for facts in found} == {
        "Explicit VR Little Endian",
        "JPEG 2000 Image Compression (Lossless Only)",
    }

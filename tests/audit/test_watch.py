"""Watching a server: what is new is audited once, under one protocol."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cxr_audit import load_config
from cxr_audit.audit import WatchLimits, audit, watch
from cxr_audit.config import AuditConfig
from cxr_audit.errors import ConfigError
from cxr_audit.evidence import RunFolder
from cxr_audit.ingest import dicomweb, web

from tests.audit.runs import Inline
from tests.canary import find
from tests.export.runs import file_of, radiograph

ONCE = WatchLimits(once=True)


class Server(ThreadingHTTPServer):
    """QIDO-RS and WADO-RS of radiographs by number."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.files: dict[str, tuple[dict[str, Any], bytes]] = {}
        self.queries: list[dict[str, list[str]]] = []
        self.is_broken = False

    def add(self, number: int) -> None:
        dataset = radiograph(number)
        item = {
            "0020000D": {"vr": "UI", "Value": [dataset.StudyInstanceUID]},
            "0020000E": {"vr": "UI", "Value": [dataset.SeriesInstanceUID]},
            "00080018": {"vr": "UI", "Value": [dataset.SOPInstanceUID]},
        }
        self.files[dataset.SOPInstanceUID] = (item, file_of(dataset))

    @property
    def source(self) -> str:
        return f"dicomweb+http://127.0.0.1:{self.server_port}/dicom-web?Modality=DX"


class _Answer(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if self.server.is_broken:
            self.reply(404, "text/plain", b"")
        elif url.path.endswith("/instances"):
            query = parse_qs(url.query)
            self.server.queries.append(query)
            items = [item for item, _ in self.server.files.values()]
            page = items[int(query["offset"][0]) :]
            self.reply(200, "application/dicom+json", json.dumps(page).encode())
        else:
            _, data = self.server.files[url.path.rpartition("/")[2]]
            self.reply(200, "application/dicom", data)

    def reply(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(dicomweb, "WAITS_S", ())
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in (web.TOKEN, web.USER, web.PASSWORD):
        monkeypatch.delenv(name, raising=False)
    with serving() as running:
        running.add(1)
        running.add(2)
        yield running


@pytest.fixture
def config(server: Server, config_file: Path) -> AuditConfig:
    return load_config(config_file, (f"ingest.source={server.source}", "ingest.labels=none"))


def run_inline(config: AuditConfig, resume: bool, limit: int | None) -> Any:
    return audit(config, Inline(config), resume, limit)


def go(config: AuditConfig, limits: WatchLimits = ONCE, run=run_inline) -> tuple[int, list[str]]:
    said: list[str] = []
    num = watch(config, run, limits, threading.Event(), lambda words, _: said.append(words))
    return num, said


def folder_of(config: AuditConfig) -> Path:
    return config.run.output / config.run.name


def cases(config: AuditConfig) -> list[int]:
    """Number of cases of each run."""
    runs = sorted(folder_of(config).glob("test-*/run.json"))
    return [len(RunFolder(path.parent).case_ids()) for path in runs]


def test_what_is_new_is_audited_once(config: AuditConfig, server: Server) -> None:
    assert go(config)[0] == 1
    assert go(config) == (0, ["0 new radiographs"])
    server.add(3)
    assert go(config)[0] == 1
    assert cases(config) == [2, 1]
    ids = [path.name for path in folder_of(config).glob("test-*/cases/*")]
    assert len(set(ids)) == 3


def test_a_later_search_asks_from_the_mark_on(config: AuditConfig, server: Server) -> None:
    go(config)
    assert all("StudyDate" not in query for query in server.queries)
    state = folder_of(config) / "private" / "watch.json"
    state.write_text(state.read_text().replace(json.loads(state.read_text())["mark"], "2026-03-10"))
    server.queries.clear()
    go(config)
    assert server.queries[0]["StudyDate"] == ["20260307-"]
    server.queries.clear()
    go(config, replace(ONCE, lookback_days=0))
    assert "StudyDate" not in server.queries[0]


def test_runs_are_small(config: AuditConfig, server: Server) -> None:
    server.add(3)
    assert go(config, replace(ONCE, max_cases=2))[0] == 2
    assert cases(config) == [2, 1]


def test_an_end_after_some_runs_leaves_the_rest(config: AuditConfig, server: Server) -> None:
    server.add(3)
    assert go(config, WatchLimits(max_cases=2, max_runs=1))[0] == 1
    assert go(config)[0] == 1
    assert cases(config) == [2, 1]


def test_all_runs_have_one_protocol(config: AuditConfig) -> None:
    go(config)
    other = config.model_copy(
        update={"focus": config.focus.model_copy(update={"high_focus_threshold": 0.4})}
    )
    with pytest.raises(ConfigError, match="another than that of the runs before"):
        go(other)


def test_a_run_that_was_broken_off_goes_on(config: AuditConfig, server: Server) -> None:
    def broken(*_: Any) -> Any:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(config, run=broken)
    num, said = go(config)
    assert (num, said[0]) == (1, "a run that was broken off goes on")
    assert cases(config) == [2]


def test_everything_lies_in_one_folder_and_names_no_one(
    config: AuditConfig, server: Server
) -> None:
    before = set(config.run.output.glob("*")) if config.run.output.exists() else set()
    go(config)
    assert set(config.run.output.glob("*")) - before == {folder_of(config)}
    private = folder_of(config) / "private"
    assert {stat.S_IMODE(path.stat().st_mode) for path in private.iterdir()} == {0o600}
    names = ["Doe^Jane", "MRN-1", radiograph(1).SOPInstanceUID]
    assert find(names, private)
    for run in folder_of(config).glob("test-*"):
        (run / "private").rename(private / run.name)
    private.rename(config.run.output.parent / "kept")
    assert find(names, folder_of(config)) == []


def test_a_server_that_fails_again_and_again_ends_the_watch(
    config: AuditConfig, server: Server
) -> None:
    server.is_broken = True
    with pytest.raises(ConfigError, match="cannot be searched"):
        go(config)
    said: list[str] = []
    with pytest.raises(ConfigError, match="cannot be searched"):
        watch(
            config,
            run_inline,
            WatchLimits(interval_s=0),
            threading.Event(),
            lambda words, _: said.append(words),
        )
    assert len(said) == 9


def test_a_stop_ends_the_watch_before_the_next_search(config: AuditConfig) -> None:
    stop = threading.Event()

    def run_and_stop(*arguments: Any) -> Any:
        stop.set()
        return run_inline(*arguments)

    num = watch(config, run_and_stop, WatchLimits(interval_s=3600), stop, lambda *_: None)
    assert num == 1


@pytest.mark.parametrize("change", [("ingest.source=images",), ("ingest.labels=finding",)])
def test_only_a_server_without_labels_can_be_watched(
    config_file: Path, server: Server, change: tuple[str, ...]
) -> None:
    given = (f"ingest.source={server.source}", "ingest.labels=none", *change)
    with pytest.raises(ConfigError):
        go(load_config(config_file, given))

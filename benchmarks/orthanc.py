"""A run on a real PACS: Orthanc on this machine, with the radiographs that ship.

    make demo-orthanc        installs the Debian packages orthanc and orthanc-dicomweb first

A manifest brings the labels. Prints what the audit prints, and whether each case has the same
result as in an audit of the files themselves.
"""

from __future__ import annotations

import csv
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import requests
from cxr_audit.reference.radiographs import write_radiographs

PROGRAM = shutil.which(
    "Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin"
)  # not on every user's path
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, PASSWORD = "auditor", "only-on-loopback"


def missing() -> str | None:
    """Why Orthanc cannot be started here, None where it can."""
    if PROGRAM is None:
        return "no Orthanc: apt-get install orthanc orthanc-dicomweb"
    return None if PLUGIN.exists() else "no DICOMweb plugin: apt-get install orthanc-dicomweb"


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Orthanc for this machine only, its data below `folder`, with one user; gives its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    config = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": True,
        "RegisteredUsers": {USER: PASSWORD},
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (folder / "orthanc.json").write_text(json.dumps(config))
    address = f"http://127.0.0.1:{port}"
    with (folder / "orthanc.log").open("wb") as log:
        server = subprocess.Popen(
            [str(PROGRAM), str(folder / "orthanc.json")], stdout=log, stderr=log
        )
        try:
            _wait_for(server, f"{address}/system")
            yield address
        finally:
            server.terminate()
            server.wait(30)


def upload(address: str, file: Path) -> None:
    """Store one DICOM file."""
    requests.post(
        f"{address}/instances", file.read_bytes(), auth=(USER, PASSWORD), timeout=60
    ).raise_for_status()


def _wait_for(server: subprocess.Popen[bytes], url: str) -> None:
    for _ in range(300):
        if server.poll() is not None:
            raise RuntimeError("Orthanc has ended at once: see orthanc.log")
        try:
            if requests.get(url, auth=(USER, PASSWORD), timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise RuntimeError("Orthanc does not answer")


def _probabilities(run: Path) -> dict[str, tuple[str, str]]:
    """The hash of each file -> its label and probability."""
    with (run / "cases.csv").open() as file:
        return {
            row["file_sha256"]: (row["label"], row["probability"]) for row in csv.DictReader(file)
        }


def _label(manifest: Path, files: list[Path]) -> Path:
    """A manifest of these files that names them by path and by UID: it labels the files and what a server has."""
    with manifest.open(encoding="utf-8", newline="") as file:
        labels = {row["path"]: row["label"] for row in csv.DictReader(file)}
    uids = {
        path.name: pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID for path in files
    }
    table = manifest.with_name("labels.csv")
    with table.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(
            [("path", "SOPInstanceUID", "label"), *((n, uids[n], labels[n]) for n in uids)]
        )
    return table


def main() -> None:
    reason = missing()
    if reason:
        sys.exit(reason)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        manifest = write_radiographs(folder / "files")
        files = sorted(manifest.parent.glob("*.dcm"))
        labels = _label(manifest, files)
        with serve(folder) as address:
            for file in files:
                upload(address, file)
            environment = {
                **os.environ,
                "CXR_AUDIT_DICOMWEB_USER": USER,
                "CXR_AUDIT_DICOMWEB_PASSWORD": PASSWORD,
            }
            source = f"dicomweb+{address}/dicom-web?Modality=CR&Modality=DX"
            command = [sys.executable, "-m", "cxr_audit.cli"]
            shutil.rmtree("reports/orthanc", ignore_errors=True)
            by_uid = (f"ingest.source={source}", f"ingest.manifest={labels}", "ingest.labels=label")
            by_path = (
                f"ingest.source={labels}",
                "ingest.labels=label",
                "run.name=local",
                f"run.output={folder}",
            )
            for verb, given in (("check", by_uid), ("run", by_uid), ("run", by_path)):
                sets = [part for override in given for part in ("--set", override)]
                print("$ cxr-audit", verb, "configs/orthanc.yaml", *sets, flush=True)
                subprocess.run(
                    [*command, verb, "configs/orthanc.yaml", *sets], env=environment, check=True
                )
        server, local = _probabilities(Path("reports/orthanc")), _probabilities(folder / "local")
    print(
        f"{len(server)} cases from Orthanc, {len(local)} from files; same labels and probabilities: {server == local}"
    )
    sys.exit(server != local)


if __name__ == "__main__":
    main()

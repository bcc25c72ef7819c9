"""A run on a real PACS, and its results in it: Orthanc on this machine, with the radiographs that ship.

    make demo-orthanc        installs the Debian packages orthanc, orthanc-dicomweb, dcmtk and
                             dicom3tools first

A manifest brings the labels. Prints what the audit prints, and whether each case has the same
result as in an audit of the files themselves. Then the results are delivered: to the same server
by STOW-RS, and to a second one by C-STORE. What both give back is checked: PDFs byte for byte, every
object with dciodvfy, every structured report with two readers.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom
import requests
from cxr_audit.export.document import pdf_of
from cxr_audit.reference.radiographs import write_radiographs

from benchmarks import dicom_checks

PROGRAM = shutil.which(
    "Orthanc", path=f"{os.environ.get('PATH', '')}:/usr/sbin"
)  # not on every user's path
PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
USER, PASSWORD = "auditor", "only-on-loopback"
AET = "ORTHANC"
COMMAND = (sys.executable, "-m", "cxr_audit.cli")


def missing() -> str | None:
    """Why Orthanc cannot be started here, None where it can."""
    if PROGRAM is None:
        return "no Orthanc: apt-get install orthanc orthanc-dicomweb"
    return None if PLUGIN.exists() else "no DICOMweb plugin: apt-get install orthanc-dicomweb"


@dataclass(frozen=True)
class Pacs:
    """The addresses of a server: over the web, and of its application entity."""

    web: str
    dicom: str


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


@contextmanager
def serve(folder: Path) -> Iterator[Pacs]:
    """Orthanc for this machine only, its data below `folder`, with one user."""
    folder.mkdir(exist_ok=True)
    port, dicom_port = _free_ports()
    config = {
        "StorageDirectory": str(folder / "db"),
        "IndexDirectory": str(folder / "db"),
        "HttpPort": port,
        "DicomServerEnabled": True,
        "DicomAet": AET,
        "DicomPort": dicom_port,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
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
            yield Pacs(address, f"dicom://{AET}@127.0.0.1:{dicom_port}")
        finally:
            server.terminate()
            server.wait(30)


def upload(address: str, file: Path) -> None:
    """Store one DICOM file."""
    requests.post(
        f"{address}/instances", file.read_bytes(), auth=(USER, PASSWORD), timeout=60
    ).raise_for_status()


def instances(address: str, modality: str) -> list[pydicom.FileDataset]:
    """Every stored object of a modality."""
    found = []
    auth = (USER, PASSWORD)
    for name in requests.get(f"{address}/instances", auth=auth, timeout=60).json():
        data = requests.get(f"{address}/instances/{name}/file", auth=auth, timeout=60).content
        dataset = pydicom.dcmread(io.BytesIO(data))
        if dataset.Modality == modality:
            found.append(dataset)
    return found


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
    """The keyed hash of each file -> its label and probability."""
    with (run / "cases.csv").open() as file:
        return {
            row["file_hmac"]: (row["label"], row["probability"]) for row in csv.DictReader(file)
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


def _export(run: Path, to: str, environment: dict[str, str]) -> None:
    """Deliver every object of a run."""
    given = ["export", str(run), "--to", to, "--set", "export.segmentation=true"]
    print("$ cxr-audit", *given, flush=True)
    subprocess.run([*COMMAND, *given], env=environment, check=True)


def _problems(run: Path, server: str, folder: Path) -> list[str]:
    """What is wrong with the objects that a server gives back."""
    pdfs = {path.read_bytes() for path in run.glob("cases/*/report.pdf")}
    found, counts = [], {}
    for modality in ("DOC", "SR", "OT", "SEG"):
        datasets = instances(server, modality)
        counts[modality] = len(datasets)
        for number, dataset in enumerate(datasets):
            file = folder / f"{modality}-{number}.dcm"
            dataset.save_as(file, enforce_file_format=True)
            found += [f"{file.name}: {line}" for line in dicom_checks.errors_of(file)]
            if modality == "DOC" and pdf_of(dataset) not in pdfs:
                found.append(f"{file.name}: its PDF is none of the run's")
            if modality == "SR" and not _is_read_alike(dataset, file):
                found.append(f"{file.name}: highdicom and DCMTK read other numbers")
    print("came back:", ", ".join(f"{num} {modality}" for modality, num in counts.items()))
    return found if min(counts.values()) else [*found, "a kind of object did not come back"]


def _is_read_alike(dataset: pydicom.Dataset, file: Path) -> bool:
    """Whether two readers find the same names and numbers.

    One reads doubles, the other decimal strings of 16 characters: up to 14 places.
    """
    doubles, decimals = (
        dicom_checks.numbers_by_highdicom(dataset),
        dicom_checks.numbers_by_dcmtk(file),
    )
    if doubles.keys() != decimals.keys() or not doubles:
        return False
    pairs = [(doubles[name], decimals[name]) for name in doubles]
    return all(math.isclose(*pair, rel_tol=1e-12, abs_tol=1e-13) for pair in pairs)


def _deliver(run: Path, pacs: Pacs, archive: Pacs, environment: dict[str, str]) -> list[str]:
    """Deliver to both servers, twice to the first, and check what comes back."""
    found = []
    web = f"dicomweb+{pacs.web}/dicom-web"
    for to in (web, web, archive.dicom):
        _export(run, to, environment)
    for server in (pacs.web, archive.web):
        with tempfile.TemporaryDirectory() as folder:
            found += _problems(run, server, Path(folder))
    return found


def main() -> None:
    reason = missing() or dicom_checks.missing()
    if reason:
        sys.exit(reason)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        manifest = write_radiographs(folder / "files")
        files = sorted(manifest.parent.glob("*.dcm"))
        labels = _label(manifest, files)
        with serve(folder / "pacs") as pacs, serve(folder / "archive") as archive:
            for file in files:
                upload(pacs.web, file)
            environment = {
                **os.environ,
                "CXR_AUDIT_DICOMWEB_USER": USER,
                "CXR_AUDIT_DICOMWEB_PASSWORD": PASSWORD,
            }
            source = f"dicomweb+{pacs.web}/dicom-web?Modality=CR&Modality=DX"
            shutil.rmtree("reports/orthanc", ignore_errors=True)
            key = folder / "key"  # one for both runs: the same file has the same keyed hash
            key.write_text(secrets.token_hex(32))
            key.chmod(0o600)
            by_uid = (f"ingest.source={source}", f"ingest.manifest={labels}", "ingest.labels=label")
            by_path = (
                f"ingest.source={labels}",
                "ingest.labels=label",
                "run.name=local",
                f"run.output={folder}",
            )
            for verb, given in (("check", by_uid), ("run", by_uid), ("run", by_path)):
                given = (*given, f"privacy.key_file={key}")
                sets = [part for override in given for part in ("--set", override)]
                print("$ cxr-audit", verb, "configs/orthanc.yaml", *sets, flush=True)
                subprocess.run(
                    [*COMMAND, verb, "configs/orthanc.yaml", *sets], env=environment, check=True
                )
            problems = _deliver(Path("reports/orthanc"), pacs, archive, environment)
        server, local = _probabilities(Path("reports/orthanc")), _probabilities(folder / "local")
    print(
        f"{len(server)} cases from Orthanc, {len(local)} from files; same labels and probabilities: {server == local}"
    )
    print("\n".join(problems) or "every object came back as it was, and without an error")
    sys.exit(server != local or bool(problems))


if __name__ == "__main__":
    main()

"""The environment and the models of a run -> `sbom.cdx.json`, a CycloneDX 1.6 bill of materials (ECMA-424).

Every installed distribution with its version, package URL and licence as it declares it (PEP 639, else the older
fields); the models as components of type `machine-learning-model` with the SHA-256 of their files. The archive that a
distribution came from is not kept by installers, but for a direct one (PEP 610): its SHA-256 stands where it is known,
and in every case as a property that of RECORD, the list of the installed files with their hashes. The time is the
run's start and the serial number follows from the content: the same environment and run give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from importlib import metadata
from typing import Any
from urllib.parse import quote

from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.utils import canonicalize_name

from cxr_audit.records import RunRecord, to_json

SBOM = "sbom.cdx.json"
OURS = "cxr-audit"
LONGEST_NAME = 100  # characters; what is longer is the text of a licence, not its name


def bill_of_materials(run: RunRecord) -> bytes:
    """The bill of materials of this process, for a run."""
    found = {
        one["bom-ref"]: one
        for one in map(_distribution, filter(_is_whole, metadata.distributions()))
    }
    ours, parts = None, [_model(run.model.name, run.model.sha256)]
    if run.segmenter_sha256 is not None:
        parts.append(_model("cxr-audit lung segmenter", run.segmenter_sha256))
    parts.append(
        {
            "type": "platform",
            "name": "Python",
            "version": run.versions.get("python", ""),
            "bom-ref": "python",
        }
    )
    for _, part in sorted(found.items()):
        if part["name"] == OURS:
            ours = part | {"type": "application"}
        else:
            parts.append(part)
    content = {
        "metadata": {"timestamp": run.started, **({"component": ours} if ours else {})},
        "components": parts,
        "dependencies": [{"ref": ours["bom-ref"], "dependsOn": [part["bom-ref"] for part in parts]}]
        if ours
        else [],
    }
    serial = uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(content))
    head = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
    }
    return to_json(head | content)


def _model(name: str, sha256: str) -> dict[str, Any]:
    hashes = [{"alg": "SHA-256", "content": sha256}]
    return {
        "type": "machine-learning-model",
        "name": name,
        "bom-ref": f"model:{sha256}",
        "hashes": hashes,
    }


def _is_whole(found: metadata.Distribution) -> bool:
    """An uninstall that was broken off leaves a folder without a name and a version; the last is an egg's own file."""
    return any(found.read_text(name) for name in ("METADATA", "PKG-INFO", ""))


def _distribution(found: metadata.Distribution) -> dict[str, Any]:
    fields = found.metadata  # read and parsed at every access
    name, version = fields["Name"], fields["Version"]
    purl = f"pkg:pypi/{canonicalize_name(name)}@{quote(version)}"
    part: dict[str, Any] = {
        "type": "library",
        "name": name,
        "version": version,
        "bom-ref": purl,
        "purl": purl,
    }
    if licences := _licences(fields):
        part["licenses"] = licences
    archive = json.loads(found.read_text("direct_url.json") or "{}").get("archive_info", {})
    if sha256 := archive.get("hashes", {}).get("sha256"):
        part["hashes"] = [{"alg": "SHA-256", "content": sha256}]
    if record := found.read_text("RECORD"):
        value = hashlib.sha256(record.encode()).hexdigest()
        part["properties"] = [{"name": "cxr-audit:record-sha256", "value": value}]
    return part


def _licences(fields: metadata.PackageMetadata) -> list[dict[str, Any]]:
    """An SPDX expression where the distribution declares one, else names in its own words; empty where it says none."""
    expression, own = (
        (fields.get_all(name) or [""])[0].strip() for name in ("License-Expression", "License")
    )
    for text in (expression, own):
        try:
            return [{"expression": canonicalize_license_expression(text)}]
        except InvalidLicenseExpression:
            continue
    if 0 < len(own) <= LONGEST_NAME and own.upper() != "UNKNOWN" and "\n" not in own:
        return [{"license": {"name": own}}]
    classifiers = fields.get_all("Classifier") or ()
    names = {text.rpartition(" :: ")[2] for text in classifiers if text.startswith("License :: ")}
    return [{"license": {"name": name}} for name in sorted(names - {"OSI Approved"})]

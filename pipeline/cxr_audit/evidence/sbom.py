"""The environment and the models of a run -> `sbom.cdx.json`, a CycloneDX 1.6 bill of materials.

The bill (ECMA-424) lists every installed distribution with its version, package URL and licence
as it declares it (PEP 639, else the older fields), and the models with the SHA-256 of their
files. Installers keep the SHA-256 of an archive only where it was installed directly (PEP 610);
it is listed where it is known. In every case a property has the SHA-256 of RECORD, the list of
the installed files with their hashes. The package itself is listed with the hash of the files
that run, see `code`.

The time is the start of the run and the serial number follows from the content: the same
environment and run give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from datetime import datetime
from importlib import metadata

from cyclonedx.model import HashAlgorithm, HashType, Property
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import DisjunctiveLicense, License, LicenseExpression
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.utils import canonicalize_name

from cxr_audit.records import CodeIdentity, RunRecord

SBOM = "sbom.cdx.json"
OURS = "cxr-audit"
LONGEST_NAME = 100  # characters; what is longer is the text of a licence, not its name


def bill_of_materials(run: RunRecord) -> bytes:
    """The bill of materials of this process, for a run."""
    libraries = {}
    ours = None
    for installed in metadata.distributions():
        if not _is_whole(installed):
            continue
        component = component_of(installed)
        if component.name == OURS:
            ours = component
        else:
            libraries[component.bom_ref.value] = component
    bill = Bom(components=[*_models(run), _python(run), *libraries.values()])
    bill.metadata.timestamp = datetime.fromisoformat(run.started)
    if ours is not None:
        _identify(ours, run.software.code)
        bill.metadata.component = ours
        bill.register_dependency(ours, bill.components)
    bill.serial_number = uuid.UUID(int=0)
    content = JsonV1Dot6(bill).output_as_string()
    bill.serial_number = uuid.uuid5(uuid.NAMESPACE_OID, content)
    return JsonV1Dot6(bill).output_as_string(indent=2).encode() + b"\n"


def component_of(installed: metadata.Distribution) -> Component:
    """An installed distribution as a part of the bill."""
    fields = installed.metadata  # read and parsed at every access
    name = fields["Name"]
    version = fields["Version"]
    address = PackageURL("pypi", None, canonicalize_name(name), version)
    component = Component(
        type=ComponentType.LIBRARY,
        name=name,
        version=version,
        bom_ref=address.to_string(),
        purl=address,
        licenses=_licences(fields),
    )
    origin = json.loads(installed.read_text("direct_url.json") or "{}")
    archive_sha256 = origin.get("archive_info", {}).get("hashes", {}).get("sha256")
    if archive_sha256 is not None:
        component.hashes.add(_sha256(archive_sha256))
    record = installed.read_text("RECORD")
    if record is not None:
        digest = hashlib.sha256(record.encode()).hexdigest()
        component.properties.add(Property(name="cxr-audit:record-sha256", value=digest))
    return component


def _identify(ours: Component, code: CodeIdentity | None) -> None:
    """Say which files run under the name of the package."""
    ours.type = ComponentType.APPLICATION
    if code is None:
        return
    ours.version = code.version
    facts = {f"{part}-sha256": digest for part, digest in code.parts.items()}
    facts |= {"install": code.install, "parts-sha256": code.sha256}
    if code.commit is not None:
        facts["commit"] = code.commit
    facts["changed-files"] = "unknown" if code.changed is None else str(len(code.changed))
    for name, value in facts.items():
        ours.properties.add(Property(name=f"cxr-audit:{name}", value=value))


def _models(run: RunRecord) -> list[Component]:
    models = [_model(run.model.name, run.model.sha256)]
    if run.model.parts.preprocess_sha256 is not None:
        models.append(_model("preprocessing model", run.model.parts.preprocess_sha256))
    if run.software.segmenter_sha256 is not None:
        models.append(_model("cxr-audit lung segmenter", run.software.segmenter_sha256))
    return models


def _model(name: str, sha256: str) -> Component:
    return Component(
        type=ComponentType.MACHINE_LEARNING_MODEL,
        name=name,
        bom_ref=f"model:{sha256}",
        hashes=[_sha256(sha256)],
    )


def _python(run: RunRecord) -> Component:
    version = run.software.versions.get("python", "")
    return Component(type=ComponentType.PLATFORM, name="Python", version=version, bom_ref="python")


def _sha256(digest: str) -> HashType:
    return HashType(alg=HashAlgorithm.SHA_256, content=digest)


def _is_whole(installed: metadata.Distribution) -> bool:
    """Whether it is installed: a broken off uninstall leaves a folder without name and version."""
    names = ("METADATA", "PKG-INFO", "")  # the last is the own file of an egg
    return any(installed.read_text(name) for name in names)


def _licences(fields: metadata.PackageMetadata) -> list[License]:
    """An SPDX expression where one is declared, else names as declared; empty = none."""
    expression = _first(fields, "License-Expression")
    own = _first(fields, "License")
    for text in (expression, own):
        try:
            return [LicenseExpression(canonicalize_license_expression(text))]
        except InvalidLicenseExpression:
            continue
    if 0 < len(own) <= LONGEST_NAME and own.upper() != "UNKNOWN" and "\n" not in own:
        return [DisjunctiveLicense(name=own)]
    names = set()
    for classifier in fields.get_all("Classifier") or ():
        if classifier.startswith("License :: "):
            names.add(classifier.rpartition(" :: ")[2])
    return [DisjunctiveLicense(name=name) for name in sorted(names - {"OSI Approved"})]


def _first(fields: metadata.PackageMetadata, name: str) -> str:
    values = fields.get_all(name) or [""]
    return str(values[0]).strip()

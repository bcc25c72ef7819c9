"""The bill of materials against the CycloneDX schema and against what is installed."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import metadata
from pathlib import Path

import pytest
from cxr_audit.evidence import bill_of_materials
from cxr_audit.evidence.sbom import component_of
from cxr_audit.records import CodeIdentity
from cyclonedx.model.bom import Bom
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from tests.evidence.test_events import RUN

CODE = CodeIdentity(
    version="0.1.0+3.g0123456789ab.dirty",
    sha256="c" * 64,
    parts={"code": "a" * 64, "templates": "b" * 64},
    files={"cli.py": "d" * 64},
    install="checkout",
    commit="0123456789abcdef" * 2 + "01234567",
    changed=("pipeline/cxr_audit/focus.py",),
)
BILL = replace(RUN, software=replace(RUN.software, segmenter_sha256="5" * 64, code=CODE))


@pytest.fixture(scope="module")
def data() -> bytes:
    return bill_of_materials(BILL)


def test_it_is_valid_cyclonedx_1_6(data: bytes) -> None:
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(data.decode()) is None


def test_it_lists_every_distribution_once_and_the_models(data: bytes) -> None:
    bill = json.loads(data)
    listed = {part["name"]: part for part in (*bill["components"], bill["metadata"]["component"])}
    assert set(listed) == {d.metadata["Name"] for d in metadata.distributions()} | {
        "m",
        "cxr-audit lung segmenter",
    } | {"Python"}
    keras = listed["keras"]
    assert (keras["version"], keras["purl"]) == (
        metadata.version("keras"),
        f"pkg:pypi/keras@{metadata.version('keras')}",
    )
    assert listed["msgspec"]["licenses"] == [{"expression": "BSD-3-Clause"}]
    assert listed["m"]["type"] == "machine-learning-model"
    assert listed["m"]["hashes"] == [{"alg": "SHA-256", "content": "0" * 64}]
    assert bill["metadata"]["timestamp"] == "2026-01-01T00:00:00+00:00"
    references = {part["bom-ref"] for part in bill["components"]}
    (ours,) = (entry for entry in bill["dependencies"] if "dependsOn" in entry)
    assert set(ours["dependsOn"]) == references


def test_it_says_which_files_run_under_the_name_of_the_package(data: bytes) -> None:
    ours = json.loads(data)["metadata"]["component"]
    assert (ours["name"], ours["type"], ours["version"]) == (
        "cxr-audit",
        "application",
        CODE.version,
    )
    facts = {fact["name"]: fact["value"] for fact in ours["properties"]}
    assert facts["cxr-audit:code-sha256"] == "a" * 64
    assert facts["cxr-audit:templates-sha256"] == "b" * 64
    assert (facts["cxr-audit:install"], facts["cxr-audit:changed-files"]) == ("checkout", "1")
    assert facts["cxr-audit:commit"] == CODE.commit
    other_code = replace(CODE, parts={"code": "e" * 64})
    other = bill_of_materials(replace(BILL, software=replace(BILL.software, code=other_code)))
    assert json.loads(other)["serialNumber"] != json.loads(data)["serialNumber"]


def test_the_same_environment_and_run_give_the_same_bytes(data: bytes) -> None:
    assert bill_of_materials(BILL) == data
    other = bill_of_materials(replace(BILL, model=replace(BILL.model, sha256="9" * 64)))
    assert json.loads(other)["serialNumber"] != json.loads(data)["serialNumber"]


def test_what_a_broken_uninstall_has_left_is_no_distribution(
    data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone-1.0.dist-info").mkdir()
    (tmp_path / "gone-1.0.dist-info" / "RECORD").write_text("gone.py,,\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert bill_of_materials(BILL) == data


def distribution(tmp_path: Path, lines: str) -> dict[str, object]:

    folder = tmp_path / "some_thing-1.0+x.dist-info"
    folder.mkdir(exist_ok=True)
    (folder / "METADATA").write_text(
        f"Metadata-Version: 2.4\nName: Some_Thing\nVersion: 1.0+x\n{lines}\n"
    )
    (folder / "direct_url.json").write_text(
        '{"url": "https://secret.example/a.whl", "archive_info": {"hashes": {"sha256": "%s"}}}'
        % ("a" * 64)
    )
    bill = Bom(components=[component_of(metadata.Distribution.at(folder))])
    (component,) = json.loads(JsonV1Dot6(bill).output_as_string())["components"]
    return component


@pytest.mark.parametrize(
    ("lines", "licences"),
    [
        ("License-Expression: MIT OR apache-2.0", [{"expression": "MIT OR Apache-2.0"}]),
        ("License: BSD-2-Clause", [{"expression": "BSD-2-Clause"}]),
        ("License: As we like it", [{"license": {"name": "As we like it"}}]),
        (
            "Classifier: License :: OSI Approved :: MIT License",
            [{"license": {"name": "MIT License"}}],
        ),
        (
            "License: UNKNOWN\nClassifier: License :: OSI Approved\nClassifier: License :: Public Domain",
            [{"license": {"name": "Public Domain"}}],
        ),
        ("Summary: says nothing", None),
    ],
)
def test_a_licence_is_what_the_distribution_declares(
    tmp_path: Path, lines: str, licences: object
) -> None:
    found = distribution(tmp_path, lines)
    assert found.get("licenses") == licences
    assert found["purl"] == "pkg:pypi/some-thing@1.0%2Bx"
    assert found["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    assert "secret.example" not in json.dumps(found)

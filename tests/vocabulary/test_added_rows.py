"""A row from another package is found everywhere without any other edit.

The package is a real one for Python: a module and a `dist-info` folder with an entry point, on the
path of a separate process, and of the worker processes that it starts.
"""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

TOY = """
import numpy as np
from cxr_audit import vocabulary as v
from cxr_audit.records import Check
from cxr_audit.vocabulary import flags, message, metrics, methods, outputs, regions, checks


def brightest(evidence):
    return float(np.ptp(evidence.heatmap)) + 1


def in_region(subject):
    return 0.25


def method(activations, gradients):
    return np.abs(activations).sum(-1)


def upper_half(grey):
    mask = np.zeros(grey.shape, bool)
    mask[: grey.shape[0] // 2] = True
    return mask


def flag(case, limits):
    return True, message("flags.several", reasons=["the toy flag is always raised"])


def check(pixels, config):
    return Check("toy_check", "passed", float(pixels.mean()))


def output(run, records):
    return f"{run.name} {len(list(records))}".encode()


def register():
    text = {"label": "toy", "definition": "A toy of the tests."}
    v.MAP_METRICS.add(metrics.Metric(key="toy_metric", label="toy metric",
        definition="A toy metric.", function=brightest))
    v.REGION_METRICS.add(metrics.Metric(key="toy_in_region", label="toy in {region}",
        definition="A toy metric of {region}.", function=in_region))
    v.METHODS.add(methods.Method(key="toy-cam", label="Toy-CAM", definition="A toy method.",
        needs="gradients", unit="relative", function=method))
    v.REGION_KINDS.add(regions.RegionKind(key="toy_region", label="the toy region",
        definition="The upper half.", is_of_case=True, function=upper_half))
    v.FLAGS.add(flags.FlagRow(key="toy_flag", label="Toy flag raised",
        definition="A toy flag.", function=flag))
    v.QUALITY_CHECKS.add(checks.QualityCheck(key="toy_check", label="toy check",
        definition="A toy check.", stage="picture", function=check))
    v.OUTPUT_FILES.add(outputs.OutputFile(key="toy.txt", label="toy file",
        definition="A toy output file.", function=output))
"""
CONFIG = """
run: {name: toy, output: OUTPUT}
ingest: {source: SOURCE, labels: none}
preprocess: {rows: 224, columns: 224, channels: 1, resize: stretch, scaling: unit}
classifier: {path: reference}
explain: {methods: [grad-cam, toy-cam]}
quality: {fail: [toy_check]}
trust: {randomisation: false, faithfulness: none, stability: none}
masking: {cases: none}
acceptance:
  criteria:
    - {metric: toy_metric, above: -1, share_at_least: 0}
    - {metric: toy_region_toy_in_region, above: 0, share_at_least: 0}
    - {metric: flag_toy_flag, share_at_most: 1}
"""


def run(tmp_path: Path, *arguments: str) -> str:
    environment = {**os.environ}
    known = environment.get("PYTHONPATH")
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(tmp_path / "site"), known)))
    done = subprocess.run(
        [sys.executable, "-m", "cxr_audit", *arguments],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    # 6: two cases decide no criterion.
    assert done.returncode in (0, 6), done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package, and a run of two phantoms with it."""
    folder = tmp_path_factory.mktemp("toy")
    site = folder / "site"
    info = site / "toy_rows-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "toy_rows.py").write_text(TOY, "utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-rows\nVersion: 1.0\n", "utf-8")
    (info / "entry_points.txt").write_text("[cxr_audit]\ntoy = toy_rows:register\n", "utf-8")
    (info / "RECORD").write_text("toy_rows.py,,\n", "utf-8")
    run(folder, "phantom", "phantoms", "--cases", "2", "--size", "256")
    text = CONFIG.replace("OUTPUT", str(folder)).replace(
        "SOURCE", str(folder / "phantoms" / "manifest.csv")
    )
    (folder / "audit.yaml").write_text(text, "utf-8")
    run(folder, "run", "audit.yaml")
    return folder


@pytest.fixture(scope="module")
def cases(toy: Path) -> list[dict[str, Any]]:
    paths = sorted((toy / "toy" / "cases").glob("*/case.json"))
    return [json.loads(path.read_bytes()) for path in paths]


def test_the_config_schema_names_it(toy: Path) -> None:
    schema = json.loads(run(toy, "schema"))
    definitions = schema["$defs"]
    methods = definitions["Explain"]["properties"]["methods"]["items"]["enum"]
    checks = definitions["Quality"]["properties"]["fail"]["items"]["enum"]
    criteria = definitions["Criterion"]["properties"]["metric"]["enum"]
    assert "toy-cam" in methods
    assert "toy_check" in checks
    assert {"toy_metric", "toy_region_enrichment", "flag_toy_flag"} <= set(criteria)


def test_the_record_holds_it(cases: list[dict[str, Any]]) -> None:
    assert len(cases) == 2
    for case in cases:
        first, second = case["maps"]
        assert second["facts"]["method"] == "toy-cam"
        assert first["metrics"]["values"]["toy_metric"] > 0
        assert first["in_regions"]["toy_region"]["values"]["toy_in_region"] == 0.25
        assert "toy_flag" in [flag["name"] for flag in case["flags"]["raised"]]
        assert "toy_check" in [check["name"] for check in case["quality"]]
        area = next(r for r in case["regions"]["found"] if r["name"] == "toy_region")
        assert area["area_fraction"] == pytest.approx(0.5, abs=0.01)


def test_the_table_has_its_columns_with_a_description(toy: Path) -> None:
    with (toy / "toy" / "cases.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert all(float(row["toy_metric"]) > 0 for row in rows)
    assert all(row["toy_region_toy_in_region"] == "0.25" for row in rows)
    assert all(row["flag_toy_flag"] == "True" for row in rows)
    described = json.loads((toy / "toy" / "cases.csv-metadata.json").read_bytes())
    columns = {column["name"]: column for column in described["tableSchema"]["columns"]}
    assert columns["toy_metric"]["dc:description"] == "A toy metric."


def test_the_criteria_judge_it(toy: Path) -> None:
    cohort = json.loads((toy / "toy" / "cohort.json").read_bytes())
    judged = [criterion["metric"] for criterion in cohort["acceptance"]]
    assert judged == ["toy_metric", "toy_region_toy_in_region", "flag_toy_flag"]


def test_the_documents_show_it(toy: Path) -> None:
    import pypdfium2

    index = (toy / "toy" / "index.html").read_text("utf-8")
    assert "Toy flag raised" in index
    path = next((toy / "toy" / "cases").glob("*/report.pdf"))
    with pypdfium2.PdfDocument(path) as document:
        text = " ".join(page.get_textpage().get_text_range() for page in document)
    words = " ".join(text.split()).lower()
    for label in ("toy metric", "toy flag raised", "toy region", "toy-cam", "toy check"):
        assert label in words, label


def test_its_file_is_written_and_sealed(toy: Path) -> None:
    assert (toy / "toy" / "toy.txt").read_text("utf-8") == "toy 2"
    assert "  toy.txt\n" in (toy / "toy" / "SHA256SUMS").read_text("utf-8")


def test_the_run_names_the_package_with_its_hash(toy: Path) -> None:
    record = json.loads((toy / "toy" / "run.json").read_bytes())
    assert list(record["software"]["packages"]) == ["toy-rows 1.0"]
    assert len(record["software"]["packages"]["toy-rows 1.0"]) == 64
    bill = (toy / "toy" / "sbom.cdx.json").read_text("utf-8")
    assert "toy-rows" in bill

"""`verify` of a real run after an attack: what it states, and that no attack passes as the run's own."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import pikepdf
import pypdfium2
import pytest
from cxr_audit import load_config
from cxr_audit.audit import audit, compare_originals, rerun, verify_run
from cxr_audit.audit.verify import NOT_SIGNED
from cxr_audit.errors import ConfigError, RunLocked
from cxr_audit.evidence import RunFolder, locked
from cxr_audit.evidence.signing import sign
from cxr_audit.report import Renderer

from benchmarks import tampering
from tests.audit.runs import Inline, write_image
from tests.classifier.models import nested
from tests.evidence.test_signing import Identity, identity, issuer, reviewer  # noqa: F401


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three radiographs with documents; not to be changed."""
    folder = tmp_path_factory.mktemp("verify")
    model_file = folder / "model.keras"
    nested().save(model_file)
    for number, label in enumerate(("NORMAL", "PNEUMONIA", "PNEUMONIA")):
        (folder / "images" / label).mkdir(parents=True, exist_ok=True)
        write_image(folder / "images" / label / f"{number}.png", number)
    (folder / "audit.yaml").write_text(
        f"""\
run: {{name: test}}
ingest: {{source: images, labels: folder}}
quality: {{exclude: []}}
preprocess: {{rows: 32, columns: 32, scaling: unit}}
classifier: {{path: {model_file}, class_names: [NORMAL, PNEUMONIA]}}
trust: {{randomisation: false, faithfulness: none, stability: none}}
regions: {{lungs: none}}
engine: {{batch_size: 2, workers: 1}}
"""
    )
    config = load_config(folder / "audit.yaml")
    return audit(config, Inline(config)).folder


@pytest.fixture
def run(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "run"))


def run_again(config: Any, resume: bool, limit: int | None) -> Any:
    return audit(config, Inline(config), resume, limit)


def kinds(path: Path) -> dict[str, set[str]]:
    """The files that `verify` names, by the kind of finding."""
    found: dict[str, set[str]] = {}
    for problem in verify_run(path).problems:
        found.setdefault(problem.kind, set()).add(problem.name)
    return found


def test_an_untouched_run_states_three_things_apart(run: Path) -> None:
    found = verify_run(run)
    assert found.problems == ()
    assert found.consistent.startswith("yes; ")
    assert "tables and attachments follow from 3 records" in found.consistent
    assert "3 of 3 case PDFs follow from the records" in found.consistent
    assert found.sealed_by == [NOT_SIGNED]
    assert found.reproduced.startswith("not checked")
    assert "the code that verifies is the code that made the run" in found.notes


def test_without_private_the_same_but_for_intervals(run: Path) -> None:
    shutil.rmtree(run / "private")
    found = verify_run(run)
    assert found.problems == ()
    assert any("intervals" in note for note in found.notes)


ATTACKS = {name: (attack, seal) for name, attack, seal in tampering.ATTACKS}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("table edited", {"changed": {"cases.csv"}}),
        ("table edited, SHA256SUMS made to fit", {"changed": {"SHA256SUMS"}}),
        ("table edited, chain and SHA256SUMS forged", {"forged": {"cases.csv"}}),
        (
            "record edited, chain and SHA256SUMS forged",
            {"forged": {"cases.csv", "cohort.json", "cases/{first}/report.pdf"}},
        ),
        (
            "two cases swapped, chain and SHA256SUMS forged",
            {"forged": {"cases/{first}/case.json", "cases/{second}/case.json"}},
        ),
        (
            "a metric of cohort.json edited, all forged",
            {"forged": {"cohort.json", "summary.pdf"}},
        ),
        (
            "page 1 of a case PDF exchanged, all forged",
            {"forged": {"cases/{first}/report.pdf"}},
        ),
        ("the index edited, all forged", {"forged": {"index.html"}}),
        (
            "a description of a column edited, all forged",
            {"forged": {"cases.csv-metadata.json"}},
        ),
        ("code identity removed, table edited, all forged", {"not confirmed": {"cases.csv"}}),
    ],
)
def test_an_attack_is_named_for_what_it_is(
    whole: Path, tmp_path: Path, name: str, expected: dict[str, set[str]]
) -> None:
    path = tampering.attacked(whole, tmp_path / "run", *ATTACKS[name])
    first, second = tampering.audited(whole)[:2]
    filled = {
        kind: {file.format(first=first, second=second) for file in files}
        for kind, files in expected.items()
    }
    assert kinds(path) == filled
    statement = verify_run(path).consistent
    if "forged" in expected:
        assert statement.startswith("no; the folder was edited and sealed again")
    elif "changed" in expected:
        assert statement == "no; files were changed after the run was sealed"
    else:
        assert statement.startswith("not confirmed; ")


def test_the_cell_that_was_edited_is_named(whole: Path, tmp_path: Path) -> None:
    path = tampering.attacked(whole, tmp_path / "run", tampering.edit_table, True)
    (problem,) = verify_run(path).problems
    first = tampering.audited(whole)[0]
    record = json.loads((whole / "cases" / first / "case.json").read_bytes())
    own = record["prediction"]["probability"]
    assert problem.why == f"case {first}, probability: '0.5', its record gives '{own}'"


def test_what_only_an_audit_can_find_is_found_by_one(run: Path) -> None:
    """A record is edited and everything is made again from it: nothing contradicts anything."""
    private = Path(shutil.copytree(run / "private", run.parent / "private"))
    tampering.forge_everything(run)
    assert verify_run(run).problems == ()
    assert verify_run(run).sealed_by == [NOT_SIGNED]
    shutil.copytree(private, run / "private")
    found = rerun(RunFolder(run), 3, run_again)
    edited = tampering.audited(run)[0]
    (problem,) = found.problems
    assert (problem.kind, problem.name) == ("not reproduced", f"cases/{edited}/case.json")
    assert "prediction.probability: 0.5, audited again " in problem.why
    assert (found.num_same, found.num_close) == (2, 0)


def test_cases_are_reproduced(run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    found = rerun(RunFolder(run), 100, run_again)
    assert (found.num_same, found.num_close, found.problems) == (3, 0, ())
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
    one = rerun(RunFolder(run), 1, run_again)
    assert (len(one.case_ids), one.num_same) == (1, 1)


def test_without_the_config_nothing_is_audited_again(run: Path) -> None:
    (run / "private" / "config.json").unlink()
    with pytest.raises(ConfigError) as error:
        rerun(RunFolder(run), 1, run_again)
    assert "--config CONFIG" in str(error.value.hint)


def test_a_signature_shows_who_sealed_and_that_it_was_removed(
    run: Path,
    tmp_path: Path,
    issuer: Identity,  # noqa: F811
    reviewer: Identity,  # noqa: F811
) -> None:
    sign(RunFolder(run), reviewer.signer, "R. Reviewer", "approved", ["summary.pdf"])
    found = verify_run(run, issuer.certificate)
    assert found.problems == ()
    assert [line.partition(", meaning")[0] for line in found.sealed_by] == [
        "SHA256SUMS.p7s: signed by R. Reviewer",
        "summary.pdf: signed by R. Reviewer",
    ]
    # Everything forged: without a signature that is seen only if one is asked for.
    forged = tampering.attacked(run, tmp_path / "forged", tampering.nothing, True)
    assert verify_run(forged).sealed_by[0] == NOT_SIGNED
    (problem,) = verify_run(forged, issuer.certificate).problems
    assert (problem.kind, problem.name) == ("missing", "SHA256SUMS.p7s")
    # Signed again by someone else, in the reviewer's name.
    stranger = identity(tmp_path, "S. Stranger")
    sign(RunFolder(forged), stranger.signer, "R. Reviewer", "approved", [])
    again = verify_run(forged)
    assert (
        "signed by S. Stranger (the signature states another name: R. Reviewer)"
        in (again.sealed_by[0])
    )
    problems = verify_run(forged, issuer.certificate).problems
    assert {problem.kind for problem in problems} == {"not trusted"}
    assert "signer: the certificate is S. Stranger's" in str(problems[0])


def test_a_signature_is_seen_on_page_1(run: Path, reviewer: Identity) -> None:  # noqa: F811
    draw = Renderer().stamp_pdf
    sign(
        RunFolder(run), reviewer.signer, "Dr. R. Reviewer", "approved", ["summary.pdf"], None, draw
    )
    found = verify_run(run)
    assert found.problems == ()  # the stamp is no word of the page
    with pikepdf.open(run / "summary.pdf") as document:
        (field,) = document.Root.AcroForm.Fields
        left, low, right, high = map(float, field.Rect)
        assert (right - left, high - low) > (200, 20)
        assert high < 37  # in the lower margin, 13 mm
        drawn = field.AP.N
        assert "/XObject" in drawn.Resources
    opened = pypdfium2.PdfDocument(run / "summary.pdf")
    opened.init_forms()
    picture = opened[0].render(scale=2, may_draw_forms=True).to_numpy()
    foot = picture[-75:-15, 90:560]
    assert (foot < 128).any()


def test_a_run_that_is_being_written_is_not_judged(run: Path) -> None:
    with locked(run), pytest.raises(RunLocked):
        verify_run(run)


def test_what_is_handed_on_has_no_plain_hash(run: Path) -> None:
    """Nor have the files that PDFs carry: they are those beside them, as `verify` finds."""
    config = json.loads((run / "private" / "config.json").read_bytes())
    images = sorted(Path(config["ingest"]["source"]).rglob("*.png"))
    plain = [hashlib.sha256(path.read_bytes()).hexdigest() for path in images]
    pixels = [hashlib.sha256(cv2.imread(str(path), -1).tobytes()).hexdigest() for path in images]
    assert len(plain) == 3
    for path in run.rglob("*"):
        if path.is_file() and path.parent.name != "private":
            data = path.read_bytes()
            assert not [digest for digest in (*plain, *pixels) if digest.encode() in data], path
    crosswalk = (run / "private" / "crosswalk.csv").read_text()
    assert all(digest in crosswalk for digest in plain)
    key = (Path(config["run"]["output"]) / ".case-id-key").read_bytes().strip()

    def keyed(digest: str) -> str:
        return hmac.new(key, digest.encode(), "sha256").hexdigest()

    records = [json.loads(path.read_bytes()) for path in run.glob("cases/*/case.json")]
    sources = [record["radiograph"]["source"] for record in records]
    assert {record["hashes"]["file_hmac"] for record in records} == set(map(keyed, plain))
    assert {source["pixel_hmac"] for source in sources} == set(map(keyed, pixels))
    assert all(record["case_id"] == "c" + record["hashes"]["file_hmac"][:15] for record in records)


def test_an_assessor_finds_the_file_of_each_case(run: Path, tmp_path: Path) -> None:
    """With the key, or with `private/`; with neither no one does."""
    config = json.loads((run / "private" / "config.json").read_bytes())
    images = Path(shutil.copytree(config["ingest"]["source"], tmp_path / "images"))
    key = Path(config["run"]["output"]) / ".case-id-key"
    ids = set(RunFolder(run).case_ids())
    assert set(compare_originals(RunFolder(run), images).matched) == ids  # by private/
    shutil.rmtree(run / "private")
    with pytest.raises(ConfigError, match="cannot be matched"):
        compare_originals(RunFolder(run), images)
    found = compare_originals(RunFolder(run), images, key)
    assert (set(found.matched), found.missing, found.problems) == (ids, (), ())
    gone = sorted(images.rglob("*.png"))[0]
    gone.unlink()
    found = compare_originals(RunFolder(run), images, key)
    assert (len(found.matched), len(found.missing)) == (2, 1)
    other = tmp_path / "other"
    other.write_text(secrets.token_hex(32))
    other.chmod(0o600)
    with pytest.raises(ConfigError, match="fingerprint"):
        compare_originals(RunFolder(run), images, other)


def test_altered_code_is_seen_though_the_version_is_the_same(run: Path, tmp_path: Path) -> None:
    """A copy of the package with one line more audits the same radiographs."""
    package = Path(sys.modules["cxr_audit"].__file__ or "").parent
    copy = tmp_path / "site" / "cxr_audit"
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(package.parents[1] / "templates", tmp_path / "templates")
    with (copy / "quality.py").open("a") as file:
        file.write("\n# one line more\n")
    config = run.parent / "audit.json"
    shutil.copy(run / "private" / "config.json", config)
    command = [sys.executable, "-m", "cxr_audit", "run", str(config), "--limit", "1"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
    output = ("--output", str(tmp_path / "altered"))
    done = subprocess.run([*command, *output], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = verify_run(tmp_path / "altered" / "test")
    assert found.problems == ()
    notes = " ".join(found.notes)
    assert "made by other code than is installed here: 1 file differs, such as quality.py" in notes
    assert "(copied files, not known whether edited)" in notes
    bill = json.loads((tmp_path / "altered" / "test" / "sbom.cdx.json").read_bytes())
    own = json.loads((run / "sbom.cdx.json").read_bytes())
    facts, own_facts = (
        {fact["name"]: fact["value"] for fact in content["metadata"]["component"]["properties"]}
        for content in (bill, own)
    )
    assert facts["cxr-audit:code-sha256"] != own_facts["cxr-audit:code-sha256"]
    assert facts["cxr-audit:weights-sha256"] == own_facts["cxr-audit:weights-sha256"]

"""What `verify` says of a run that was tampered with, from a plain edit to a forged chain.

    python -m benchmarks.tampering RUN [--rerun]

RUN is a finished run with documents and at least two audited cases; it is copied for every
attack. With `--rerun` the last attack, which leaves no contradiction, is met by auditing cases
again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pikepdf

IDENTITY = ("name", "started", "config_sha256", "model_sha256", "seed")


def reseal(run: Path, is_whole_chain: bool) -> None:
    """Make SHA256SUMS fit what stands there, and the chain too: no secret is needed for either.

    Written anew from the description of the format, without the code of cxr-audit.
    """
    if is_whole_chain:
        _forge_chain(run)
    for name in ("SHA256SUMS.p7s", "SHA256SUMS.p7s.sha256"):
        (run / name).unlink(missing_ok=True)
    (run / "SHA256SUMS").write_bytes(_lines(_sums(run)))


def _forge_chain(run: Path) -> None:
    record = json.loads((run / "run.json").read_bytes())
    facts = {**record, "model_sha256": record["model"]["sha256"]}
    previous = _sha256(json.dumps([facts[name] for name in IDENTITY]).encode())
    lines: list[bytes] = []
    events = list(map(json.loads, (run / "events.jsonl").read_text().splitlines()))
    last = {event["event"]: number for number, event in enumerate(events)}
    for number, event in enumerate(events):
        kind = event["event"]
        if kind == "signed" or (kind in ("reported", "sealed") and number != last[kind]):
            continue
        where = run / "cases" / str(event.get("case_id"))
        if "sha256" in event and where.is_dir():
            event["sha256"] = _sha256((where / "case.json").read_bytes())
            beside = {}
            for path in sorted(where.iterdir()):
                if path.name not in ("case.json", "report.pdf"):
                    beside[path.name] = _sha256(path.read_bytes())
            event["beside_sha256"] = _sha256(json.dumps(beside).encode())
        if event["event"] == "sealed":
            others = {name: sum_ for name, sum_ in _sums(run).items() if name != "events.jsonl"}
            event |= {"files": len(others), "sha256": _sha256(_lines(others))}
        event |= {"number": len(lines), "previous": previous}
        event["previous"] = event.pop("previous")  # it stands last
        line = json.dumps(event, separators=(",", ":")).encode() + b"\n"
        previous = _sha256(line)
        lines.append(line)
    (run / "events.jsonl").write_bytes(b"".join(lines))


def _sums(run: Path) -> dict[str, str]:
    sums = {}
    for path in run.rglob("*"):
        name = path.relative_to(run).as_posix()
        if path.is_file() and not name.startswith(("private/", "SHA256SUMS")):
            sums[name] = _sha256(path.read_bytes())
    return sums


def _lines(sums: dict[str, str]) -> bytes:
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums)).encode()


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def audited(run: Path) -> list[str]:
    """The ids of cases that the classifier was asked about."""
    paths = sorted(run.glob("cases/*/case.json"))
    return [path.parent.name for path in paths if json.loads(path.read_bytes())["status"] == "ok"]


def edit_table(run: Path) -> None:
    """One probability of the table."""
    lines = (run / "cases.csv").read_text().splitlines(keepends=True)
    column = lines[0].split(",").index("probability")
    number = next(n for n, line in enumerate(lines) if line.startswith(audited(run)[0]))
    cells = lines[number].split(",")
    cells[column] = "0.5"
    lines[number] = ",".join(cells)
    (run / "cases.csv").write_text("".join(lines))


def edit_record(run: Path) -> None:
    """The probability in a record."""
    path = run / "cases" / audited(run)[0] / "case.json"
    record = json.loads(path.read_bytes())
    record["prediction"]["probability"] = 0.5
    path.write_text(json.dumps(record, indent=2) + "\n")


def swap_cases(run: Path) -> None:
    """Two cases, each under the other's id."""
    first, second = (run / "cases" / case_id for case_id in audited(run)[:2])
    aside = run / "cases" / "aside"
    first.rename(aside)
    second.rename(first)
    aside.rename(second)


def edit_metric(run: Path) -> None:
    """One figure of the run's performance."""
    path = run / "cohort.json"
    content = json.loads(path.read_bytes())
    name = next(name for name, found in content["metrics"].items() if found["value"] is not None)
    content["metrics"][name]["value"] = 0.999
    path.write_text(json.dumps(content, indent=2) + "\n")


def swap_pages(run: Path) -> None:
    """Page 1 of a case PDF is that of another case; the attachments stay."""
    first, second = (run / "cases" / case_id / "report.pdf" for case_id in audited(run)[:2])
    with pikepdf.open(first, allow_overwriting_input=True) as one, pikepdf.open(second) as other:
        one.pages[0] = other.pages[0]
        one.save(first)


def edit_index(run: Path) -> None:
    """The banner of the index."""
    path = run / "index.html"
    path.write_text(path.read_text().replace("not a diagnosis", "a diagnosis"))


def edit_columns(run: Path) -> None:
    """What a column of the table is said to be."""
    path = run / "cases.csv-metadata.json"
    path.write_text(path.read_text().replace("threshold", "cut-off"))


def strip_code(run: Path) -> None:
    """No identity of the code, and an edited table: as if an older version had made it."""
    path = run / "run.json"
    content = json.loads(path.read_bytes())
    content["software"]["code"] = None
    path.write_text(json.dumps(content, indent=2) + "\n")
    edit_table(run)


def nothing(run: Path) -> None:
    """No edit."""


ATTACKS: tuple[tuple[str, Callable[[Path], None], bool | None], ...] = (
    ("no attack", nothing, None),
    ("table edited", edit_table, None),
    ("table edited, SHA256SUMS made to fit", edit_table, False),
    ("table edited, chain and SHA256SUMS forged", edit_table, True),
    ("record edited, chain and SHA256SUMS forged", edit_record, True),
    ("two cases swapped, chain and SHA256SUMS forged", swap_cases, True),
    ("a metric of cohort.json edited, all forged", edit_metric, True),
    ("page 1 of a case PDF exchanged, all forged", swap_pages, True),
    ("the index edited, all forged", edit_index, True),
    ("a description of a column edited, all forged", edit_columns, True),
    ("code identity removed, table edited, all forged", strip_code, True),
    ("nothing edited, all forged (signature removed)", nothing, True),
)


def attacked(run: Path, target: Path, attack: Callable[[Path], None], seal: bool | None) -> Path:
    """A copy of a run after an attack.

    Parameters
    ----------
    run, target : the run and where to copy it.
    attack : what is edited.
    seal : None = not sealed again, False = SHA256SUMS only, True = the chain of events too.
    """
    shutil.copytree(run, target)
    attack(target)
    if seal is not None:
        reseal(target, seal)
    return target


def verify(run: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cxr_audit", "verify", str(run), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def forge_everything(run: Path) -> None:
    """Edit a record, forge the seal, and have the documents made again from it: no contradiction."""
    edit_record(run)
    reseal(run, True)
    shutil.rmtree(run / "private")
    subprocess.run(
        [sys.executable, "-c", REWRITE, str(run)], check=True, capture_output=True, text=True
    )
    reseal(run, True)


REWRITE = """
import sys
from pathlib import Path
from cxr_audit import cohort
from cxr_audit.audit.finish import finish_run, records_of
from cxr_audit.audit.document import render_case
from cxr_audit.config import measured_by
from cxr_audit.evidence import EventLog, RunFolder
from cxr_audit.records import to_json
folder = RunFolder(Path(sys.argv[1]))
run, records = folder.read_run(), records_of(folder)
for case_id in folder.case_ids():
    (folder.case(case_id) / "case.json").write_bytes(to_json(folder.read_case(case_id)))
    render_case(folder.path, case_id, None, None)
described = cohort.describe(records, [], *measured_by(run.config), run.seed, run.calibration.checks)
(folder.path / "cohort.json").write_bytes(to_json(described))
finish_run(folder, run, records, EventLog.open(folder))
"""


def main(arguments: list[Any]) -> None:
    run = Path(arguments[0])
    with tempfile.TemporaryDirectory() as temporary:
        for number, (name, attack, seal) in enumerate(ATTACKS):
            done = verify(attacked(run, Path(temporary) / str(number), attack, seal))
            _print(name, done)
        if "--rerun" in arguments:
            forged = Path(shutil.copytree(run, Path(temporary) / "forged"))
            private = Path(shutil.copytree(run / "private", Path(temporary) / "private"))
            forge_everything(forged)
            _print("record edited, all made again from it", verify(forged))
            shutil.copytree(private, forged / "private", dirs_exist_ok=True)
            _print("the same, with --rerun 1000", verify(forged, "--rerun", "1000"))


def _print(name: str, done: subprocess.CompletedProcess[str]) -> None:
    print(f"\n== {name}: exit code {done.returncode}")
    for line in done.stderr.splitlines():
        if not line.startswith(("cases:", "documents:")):
            print(f"   {line[:160]}")


if __name__ == "__main__":
    main(sys.argv[1:])

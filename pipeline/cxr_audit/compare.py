"""Two run folders -> `compare.json`, `compare.html` and `compare.pdf`: what a change of the model or config did.

Both runs stay as they are. Refuses runs that are not finished, and to write over a comparison that stands.
"""

from __future__ import annotations

from pathlib import Path

from cxr_audit import cohort, evidence, report
from cxr_audit.config import measured_by
from cxr_audit.errors import ConfigError
from cxr_audit.evidence import RunFolder
from cxr_audit.records import CaseRecord, Comparison, RunRecord, to_json

FILES = ("compare.json", "compare.html", "compare.pdf")


def compare_runs(
    a: Path, b: Path, output: Path | None = None, template_dir: Path | None = None
) -> tuple[Comparison, Path]:
    """Compare run B with run A, and where the documents were written: by default beside B.

    Raises
    ------
    ConfigError : a run that has not finished, no common case, an output that stands already, or templates that
        replace nothing.
    VerificationError : a run is not what it was.
    """
    runs = [_read(RunFolder.open(path)) for path in (a, b)]
    (run_a, *_), (run_b, *_) = runs
    output = output or b.resolve().parent / f"compare-{run_a.name}-{run_b.name}"
    if any((output / name).exists() for name in FILES):
        raise ConfigError(
            f"{output} holds a comparison already", "give another folder with --output"
        )
    renderer = report.Renderer(template_dir)
    patient_of = {
        source.case_id: source.patient_id
        for path in ((b, a) if run_a.case_id_key == run_b.case_id_key else (a,))
        for source in evidence.read_crosswalk(RunFolder(path))
    }
    rounds = measured_by(run_b.config)[0].rounds
    found = cohort.compare(runs[0], runs[1], patient_of, rounds, run_b.seed)
    for name, data in zip(FILES, (to_json(found), *renderer.comparison(found)), strict=True):
        evidence.write(output / name, data)
    return found, output


def _read(folder: RunFolder) -> tuple[RunRecord, str, list[CaseRecord]]:
    """A finished run, the SHA-256 of its checksums, and its cases."""
    run = folder.read_run()
    if run.status != "finished" or not folder.is_sealed:
        raise ConfigError(
            f"{folder.path} has not finished", "go on with it: cxr-audit run CONFIG --resume"
        )
    evidence.require_unchanged(folder)
    records = [record for case_id in folder.case_ids() if (record := folder.read_case(case_id))]
    return run, evidence.file_sha256(folder.path / evidence.CHECKSUMS), records

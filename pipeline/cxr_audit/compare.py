"""Two run folders -> `compare.json`, `compare.html`, `compare.pdf`: the effect of a change.

Both runs stay as they are. Runs that have not finished, and an output that exists, are refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
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
    """Compare run B with run A, in the language of run B's documents.

    Parameters
    ----------
    a, b : folders of the runs.
    output : folder of the documents; by default beside B.
    template_dir : templates of one's own.

    Returns
    -------
    The comparison, and the folder that it was written into.

    Raises
    ------
    ConfigError : a run that has not finished, no common case, an output that exists, or templates
        that replace nothing.
    VerificationError : a run was changed.
    """
    folder_a, folder_b = RunFolder.open(a), RunFolder.open(b)
    run_a, run_b = _finished(folder_a), _finished(folder_b)
    output = output or b.resolve().parent / f"compare-{run_a.name}-{run_b.name}"
    if any((output / name).exists() for name in FILES):
        raise ConfigError(
            f"{output} already holds a comparison", "give another folder with --output"
        )
    renderer = report.Renderer(template_dir)
    rounds = measured_by(run_b.config)[0].rounds
    language = run_b.config.get("report", {}).get("language", "en")
    comparison = cohort.compare(
        (run_a, _sha256sums(folder_a), _cases(folder_a)),
        (run_b, _sha256sums(folder_b), _cases(folder_b)),
        _patients(folder_a, folder_b, run_a.cases.case_id_key == run_b.cases.case_id_key),
        rounds,
        run_b.seed,
    )
    documents = (to_json(comparison), *renderer.comparison(comparison, language))
    for name, data in zip(FILES, documents, strict=True):
        evidence.write(output / name, data)
    return comparison, output


def _finished(folder: RunFolder) -> RunRecord:
    """The record of a finished run, as it was sealed."""
    run = folder.read_run()
    if run.status != "finished" or not folder.is_sealed:
        raise ConfigError(
            f"{folder.path} has not finished", "continue it: cxr-audit run CONFIG --resume"
        )
    evidence.require_unchanged(folder)
    return run


def _sha256sums(folder: RunFolder) -> str:
    return evidence.file_sha256(folder.path / evidence.CHECKSUMS)


def _cases(folder: RunFolder) -> Iterator[CaseRecord]:
    """The records of a run, one at a time, with the plain hashes of files where `private/` is here.

    Runs with different keys are matched by these.
    """
    sha256_of = {source.case_id: source.file_sha256 for source in evidence.read_crosswalk(folder)}
    for case_id in folder.case_ids():
        case = folder.read_case(case_id)
        if case is not None:
            sha256 = case.hashes.file_sha256 or sha256_of.get(case_id)
            yield replace(case, hashes=replace(case.hashes, file_sha256=sha256))


def _patients(a: RunFolder, b: RunFolder, is_same_key: bool) -> dict[str, str | None]:
    """The patients of A's cases; also by B's crosswalk, where both have the same case ids."""
    patient_of: dict[str, str | None] = {}
    for folder in (b, a) if is_same_key else (a,):
        for source in evidence.read_crosswalk(folder):
            patient_of[source.case_id] = source.patient_id
    return patient_of

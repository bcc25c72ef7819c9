"""Records -> tables, cohort, run report, index, seal; again for a run that has finished."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np

from cxr_audit import cohort, evidence, flags
from cxr_audit import preprocess as geometry
from cxr_audit.audit.document import render_case, renderer
from cxr_audit.audit.engine import Engine, Progress
from cxr_audit.audit.installed import installed_code
from cxr_audit.audit.protocol import read_protocol_of_run
from cxr_audit.config import Acceptance, AuditConfig, Cohort, measured_by
from cxr_audit.errors import ConfigError, VerificationError
from cxr_audit.evidence import EventLog, RunFolder
from cxr_audit.records import (
    SCHEMA_VERSION,
    AuditedCase,
    CaseRecord,
    CohortRecord,
    Floats,
    Mask,
    RunRecord,
    StoppedCase,
    from_json,
    to_json,
)
from cxr_audit.report.language import read_language
from cxr_audit.report.notebook import html_of_run
from cxr_audit.vocabulary import OUTPUT_FILES, Text

Measuring = tuple[Cohort, Acceptance]
"""The sections that a run is measured by."""


@dataclass(frozen=True, slots=True)
class FailedCase:
    """A case that failed, and why."""

    case_id: str
    reason: Text


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run left.

    Parameters
    ----------
    counts : cases by status.
    failed : the cases that failed.
    cohort : what the run says of the classifier.
    notes : what was understood in another way than it is written.
    """

    folder: Path
    counts: dict[str, int]
    failed: tuple[FailedCase, ...]
    cohort: CohortRecord
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        """The verdict and the first cases, in a notebook."""
        return html_of_run(
            self.folder, self.folder.name, self.cohort, records_of(RunFolder(self.folder))
        )


class RecordsOnDisk(Sequence[CaseRecord]):
    """The records of a run, in its order, read from its folder whenever they are asked for.

    Parameters
    ----------
    case_ids : of cases whose records stand.
    """

    def __init__(self, folder: RunFolder, case_ids: Sequence[str]) -> None:
        self._folder, self._case_ids = folder, case_ids

    @property
    def case_ids(self) -> tuple[str, ...]:
        """The names of the cases' folders, in order."""
        return tuple(self._case_ids)

    def __len__(self) -> int:
        return len(self._case_ids)

    def __iter__(self) -> Iterator[CaseRecord]:
        return map(self._read, self._case_ids)

    @overload
    def __getitem__(self, place: int) -> CaseRecord: ...

    @overload
    def __getitem__(self, place: slice) -> RecordsOnDisk: ...

    def __getitem__(self, place: int | slice) -> CaseRecord | RecordsOnDisk:
        if isinstance(place, slice):
            return RecordsOnDisk(self._folder, self._case_ids[place])
        return self._read(self._case_ids[place])

    def _read(self, case_id: str) -> CaseRecord:
        record = self._folder.read_case(case_id)
        if record is None:
            raise VerificationError(
                f"cases/{case_id}/case.json is missing", "cxr-audit run CONFIG --resume"
            )
        return record


def records_of(folder: RunFolder) -> RecordsOnDisk:
    """The finished cases in the order of the run, which `cases.csv` keeps."""
    import pandas as pd

    table, rank = folder.path / "cases.csv", dict[str, int]()
    if table.is_file():
        order = pd.read_csv(table, dtype=str, keep_default_na=False)["case_id"]
        rank = {case_id: place for place, case_id in enumerate(order)}
    ordered = sorted(folder.case_ids(), key=lambda case_id: rank.get(case_id, len(rank)))
    return RecordsOnDisk(folder, ordered)


def finish_run(
    folder: RunFolder,
    run: RunRecord,
    records: Sequence[CaseRecord],
    events: EventLog,
    template_dir: Path | None = None,
) -> RunResult:
    """Write the files of the whole run; `SHA256SUMS` is last.

    Parameters
    ----------
    records : of all cases, in order.
    template_dir : own templates.
    """
    lines = (line.encode() for line in cohort.table_lines(records))
    evidence.write(folder.path / "cases.csv", lines)
    evidence.write(folder.path / "cases.csv-metadata.json", cohort.cases_metadata().encode())
    described = describe_cohort(folder, run, records)
    evidence.write(folder.path / "cohort.json", to_json(described))
    if run.schema_version == SCHEMA_VERSION:  # an older one was read from disk
        run = from_json(
            to_json(run), RunRecord
        )  # as on disk: its mappings have another order there
    for name, content in documents_of_run(folder, run, records, described, template_dir).items():
        evidence.write(folder.path / name, content)
    for output in OUTPUT_FILES:
        if output.function is not None:
            evidence.write(folder.path / output.key, output.function(run, records))
    if run != folder.read_run():
        folder.write_run(run)
    evidence.seal(folder, events)
    return result_of(folder, records, described)


def documents_of_run(
    folder: RunFolder,
    run: RunRecord,
    records: Sequence[CaseRecord],
    described: CohortRecord,
    template_dir: Path | None = None,
) -> dict[str, bytes]:
    """The documents of the whole run by name; nothing is written.

    Parameters
    ----------
    folder, run, records, described : the run and its records.
    template_dir : own templates.
    """
    documents = renderer(template_dir)
    means = cohort.mean_maps(_on_radiographs(folder, records))
    protocol, answers = read_protocol_of_run(folder), folder.read_readers()
    return {
        "index.html": documents.index_html(records, run, answers=answers).encode(),
        "annexes.pdf": documents.annexes_pdf(records, run, described, answers=answers),
        "summary.pdf": documents.summary_pdf(
            records, run, described, means, folder.cases, protocol=protocol, answers=answers
        ),
    }


def result_of(
    folder: RunFolder, records: Iterable[CaseRecord], described: CohortRecord
) -> RunResult:
    """The result of a run from its records."""
    counts = {"ok": 0, "excluded": 0, "failed": 0}
    failed = []
    for record in records:
        counts[record.status] += 1
        if isinstance(record, StoppedCase) and record.status == "failed":
            failed.append(FailedCase(record.case_id, record.reason))
    return RunResult(folder.path, counts, tuple(failed), described)


def _on_radiographs(
    folder: RunFolder, records: Iterable[CaseRecord]
) -> Iterator[tuple[str, Floats, Mask]]:
    """Of each case with lungs: its outcome, its first map and its lungs, on the radiograph."""
    for record in records:
        if not isinstance(record, AuditedCase):
            continue
        first, lungs_region = record.first_map, record.regions.first("lungs")
        if first is None or lungs_region is None or first.facts.status == "not_finite":
            continue
        where = folder.case(record.case_id)
        with np.load(where / "map.npz") as maps, np.load(where / "regions.npz") as masks:
            values, lungs = maps[first.key], masks[lungs_region.name]
        on_radiograph = geometry.restore(
            values, record.input.placement, cohort.RASTER, cohort.RASTER, first.facts.geometry
        )
        yield record.outcome or "no_label", on_radiograph, lungs


def describe_cohort(
    folder: RunFolder,
    run: RunRecord,
    records: Sequence[CaseRecord],
    settings: Measuring | None = None,
) -> CohortRecord:
    """What a run says about the classifier.

    The private crosswalk knows the patients; where it is kept elsewhere, the record that stands is
    kept as well.

    Parameters
    ----------
    settings : measured by these sections; None = by those of the run's own config.
    """
    sources = evidence.read_crosswalk(folder)
    if not sources and settings is None and (standing := folder.read_cohort()):
        return standing
    settings = settings or measured_by(run.config)
    return cohort.describe(records, sources, *settings, run.seed, run.calibration.checks)


def cohort_of(
    path: Path,
    config: AuditConfig | None = None,
    overrides: Sequence[str] = (),
    threshold: float | None = None,
) -> CohortRecord:
    """`describe_cohort` of a run folder; nothing is written.

    Parameters
    ----------
    path : the run folder.
    config : measured as this config asks; None = as the run's own.
    overrides : `section.key=value` for the run's own config.
    threshold : what if the classifier had this one.

    Raises
    ------
    ConfigError : the run has not finished.
    VerificationError : its records were changed.
    """
    folder, run, records = _finished(path)
    settings = _settings(run, config, overrides)
    if settings is None and threshold is None:
        return describe_cohort(folder, run, records)
    settings = settings or measured_by(run.config)
    chosen: Iterable[CaseRecord] = records
    if threshold is not None:
        chosen = cohort.at_threshold(records, threshold)
    found = run.calibration
    judged = [
        flags.flagged(record, settings[1], found.logit_spread, found.spread_within_label)
        for record in chosen
    ]
    return describe_cohort(folder, run, judged, settings)


def curve_of(
    path: Path,
    config: AuditConfig | None = None,
    overrides: Sequence[str] = (),
    threshold: float | None = None,
) -> cohort.Curve:
    """What each threshold would decide in a run; nothing is written. As `cohort_of`."""
    folder, run, records = _finished(path)
    section, _ = _settings(run, config, overrides) or measured_by(run.config)
    more = () if threshold is None else (threshold,)
    sources = evidence.read_crosswalk(folder)
    cases = cohort.require_threshold(records)
    return cohort.curve(cases, sources, section, run.seed, more)


def _settings(
    run: RunRecord, config: AuditConfig | None, overrides: Sequence[str]
) -> Measuring | None:
    if config is not None:
        return config.cohort, config.acceptance
    return measured_by(run.config, overrides) if overrides else None


def _finished(path: Path) -> tuple[RunFolder, RunRecord, RecordsOnDisk]:
    """A run that has finished, and its unchanged records."""
    folder = RunFolder.open(path)
    run = folder.read_run()
    records = records_of(folder)
    if len(records) != run.cases.num_cases:
        raise ConfigError(
            f"{path} holds {len(records)} of {run.cases.num_cases} cases: the run has not finished",
            "go on with cxr-audit run CONFIG --resume",
        )
    require_unchanged_records(folder)
    return folder, run, records


def render(
    path: Path,
    engine: Engine,
    template_dir: Path | None = None,
    progress: Progress = lambda phase, done, total: None,
    language: str | None = None,
) -> RunResult:
    """All documents of a run again, from its records, without the classifier.

    Parameters
    ----------
    path : the run folder.
    template_dir : own templates.
    progress : called with a phase, the number of cases done, and the total.
    language : of the PDFs of cases; None = that of the run's config.

    Raises
    ------
    ConfigError : no finished run, or no such language.
    VerificationError : its records were changed.
    """
    if language is not None:
        read_language(language)
    folder = RunFolder.open(path)
    run = folder.read_run()
    if run.status != "finished" or not folder.is_sealed:
        raise ConfigError(
            f"{path} has not finished", "go on with it: cxr-audit run CONFIG --resume"
        )
    case_ids = folder.case_ids()
    require_unchanged_records(folder)
    events = EventLog.open(folder)
    events.adopt(folder, run)
    events.append("rewriting")
    futures = [
        engine.light(render_case, path, case_id, template_dir, language) for case_id in case_ids
    ]
    for done, future in enumerate(futures, 1):
        future.result()
        progress("documents", done, len(futures))
    events.append(
        "rendered",
        cases=len(case_ids),
        own_templates=template_dir is not None,
        language=language,
        code_sha256=installed_code().sha256,
    )
    return finish_run(folder, run, records_of(folder), events, template_dir)


def require_unchanged_records(folder: RunFolder) -> None:
    """Refuse a run whose records were changed; what is made from them may be another.

    Raises
    ------
    VerificationError : a record was changed.
    """
    evidence.require_unchanged(
        folder, {*evidence.documents(folder), *evidence.SIGNATURES, *evidence.UNFINISHED}
    )

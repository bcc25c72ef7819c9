"""The composer: one config -> one run folder with an audit of every case.

    1 ingest, input quality, 2 preprocess      `prepare`,  in worker processes, case by case
    3 classifier, 4 explain, 7 trust, 5 lungs  `explain_batch`, `check_batch`, `segment_batch`, here, batch by batch
    7 exposure, parts as usual, masking        `vary_batch`, `mask_batch`, here, batch by batch
    5 regions, 6 focus, 8 report, 9 evidence   `document`, in worker processes, case by case

A batch is always the same cases in the same places, whether or not a run was broken off, so that a
resumed run ends in the same records.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from cxr_audit import cohort, evidence, flags, quality
from cxr_audit import preprocess as geometry
from cxr_audit.audit.batch import (
    check_batch,
    explain_batch,
    limited,
    mask_batch,
    sample,
    segment_batch,
    spread,
    stack,
    vary_batch,
)
from cxr_audit.audit.clock import Clock, add, now, peak_mib, rounded
from cxr_audit.audit.document import Explained, document, npz, render_case, renderer, warm_up
from cxr_audit.audit.installed import installed_code
from cxr_audit.audit.measuring import round_up, scale_key
from cxr_audit.audit.opening import (
    check_labels,
    find_key,
    find_sources,
    open_checks,
    open_classifier,
    open_segmenter,
)
from cxr_audit.audit.parity import production_parity
from cxr_audit.audit.prepare import Prepared, mark_duplicates, prepare, with_lungs
from cxr_audit.config import REFERENCE, AuditConfig, measured_by
from cxr_audit.errors import ConfigError, NotRetrieved, VerificationError
from cxr_audit.evidence import CaseIdKey, EventLog, RunFolder
from cxr_audit.records import (
    SCHEMA_VERSION,
    AuditedCase,
    CaseRecord,
    CaseSource,
    CohortRecord,
    Floats,
    Mask,
    ModelFacts,
    ModelInput,
    RunRecord,
    StoppedCase,
    stopped,
    to_json,
)
from cxr_audit.report.language import read_language
from cxr_audit.vocabulary import load_plugins

if TYPE_CHECKING:
    from cxr_audit.explain import Explainer
    from cxr_audit.regions import LungSegmenter
    from cxr_audit.trust.checks import Checks

SCALE_PERCENTILE = 90
USUAL = "mean_input.npz"
STAGES_HERE = ("start", "calibration", "classifier and maps", "trust", "lungs", "causal masking")


class Engine(Protocol):
    """Where work runs. `submit` calls a module-level function in some worker."""

    num_workers: int

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]: ...


Progress = Callable[[str, int, int], None]
"""Called with a phase in words, what is done, and the total."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a run left: its folder, its counts by status, the cases that failed, and what it says of the classifier."""

    folder: Path
    counts: dict[str, int]
    failed: tuple[StoppedCase, ...]
    cohort: CohortRecord


def audit(
    config: AuditConfig,
    engine: Engine,
    resume: bool = False,
    limit: int | None = None,
    progress: Progress = lambda phase, done, total: None,
) -> RunResult:
    """Audit every case of a config.

    Parameters
    ----------
    resume : go on with a run folder that exists instead of refusing it.
    limit : audit so many cases only, spread over the list; a run that goes on with more keeps the scale and the model
        checks of these, and its documents say so.
    progress : called with (phase, done, total).

    Raises
    ------
    ConfigError, ModelError, EngineError. What is wrong with one case is recorded, not raised.
    """
    clock = Clock()
    for _ in range(engine.num_workers):
        engine.submit(warm_up, config.report.documents)
    key = find_key(config)
    found = find_sources(config, key)
    sources = found if limit is None else limited(found, limit)
    explainer, model = open_classifier(config)
    parity = production_parity(config, explainer, found)
    checks = open_checks(config, explainer)
    segmenter = open_segmenter(config)
    clock.mark("start")

    segmenter_sha256 = segmenter.sha256 if segmenter else None
    folder, run, records = open_run(
        config, model, segmenter_sha256, sources, len(found), key, resume, engine
    )
    if run.status == "running":
        run = replace(run, production_parity=parity)
    progress("cases", len(records), len(sources))
    if run.status == "finished":
        return _result(
            folder, list(records.values()), describe_cohort(folder, run, list(records.values()))
        )
    events = EventLog.open(folder)
    events.begin(folder, run, records)
    if run.num_found is not None:
        events.append("limited", num_cases=run.num_cases, of=run.num_found)
    if run.scale_source is None:
        run, mean = calibrate(run, explainer, checks, segmenter, engine, config, sources, key)
        if mean is not None:
            evidence.write(folder.path / USUAL, npz({"usual": mean}))
            run = replace(run, mean_input_sha256=evidence.file_sha256(folder.path / USUAL))
        folder.write_run(run)
        events.append("calibrated", scales=run.scales, cases=run.calibrated_cases)
    usual = read_usual(folder, run)
    clock.mark("calibration")

    todo = [
        batch
        for batch in batches(sources, config.engine.batch_size)
        if any(s.case_id not in records for s in batch)
    ]
    masked = sample(sources, config.masking.cases)
    writer = Writer(engine, folder, config, run, events)
    duplicates = quality.Duplicates([source.case_id for source in sources])
    for record in records.values():
        if record.radiograph is not None:
            duplicates.note(record.case_id, record.radiograph.source)
    for prepared in _prepare_ahead(engine, config, todo):
        clock.mark("waiting for radiographs")
        for record in writer.collect(limit=2 * config.engine.batch_size):
            records[record.case_id] = record
        clock.mark("waiting for documents")
        prepared = [mark_duplicates(case, duplicates, key, config) for case in prepared]
        explained = explain_batch(explainer, prepared, config.engine.batch_size)
        explained = vary_batch(explainer, explained, config, usual)
        clock.mark("classifier and maps")
        explained = check_batch(checks, explained, run)
        clock.mark("trust")
        if segmenter is not None:
            explained = segment_batch(segmenter, explained)
        clock.mark("lungs")
        explained = mask_batch(explainer, explained, masked, config.engine.batch_size)
        clock.mark("causal masking")
        writer.submit([case for case in explained if case.prepared.source.case_id not in records])
        progress("cases", len(records), len(sources))
    for record in writer.collect(limit=0):
        records[record.case_id] = record
        progress("cases", len(records), len(sources))
    clock.mark("waiting for documents")

    # What a server gave only now may be what a case that stands already, later in the run, is a duplicate of.
    if stale := [
        case_id for case_id, record in records.items() if duplicates.are_other_than(record)
    ]:
        for case_id in stale:
            folder.clear_case(case_id)
        return audit(config, engine, True, limit, progress)
    ordered = [records[source.case_id] for source in sources]
    finished = replace(
        run,
        status="finished",
        finished=now(),
        counts=_count(ordered),
        wall_s=rounded(clock.wall_s),
        cpu_s=rounded({**writer.cpu_s, **clock.cpu_of(*STAGES_HERE)}),
        peak_memory_mib={"main": peak_mib(), "largest worker": writer.peak_mib},
    )
    return finish_run(folder, finished, ordered, events)


def open_run(
    config: AuditConfig,
    model: ModelFacts,
    segmenter_sha256: str | None,
    sources: list[CaseSource],
    num_found: int,
    key: CaseIdKey,
    resume: bool,
    engine: Engine,
) -> tuple[RunFolder, RunRecord, dict[str, CaseRecord]]:
    """A new run folder with its first `run.json`, or the one to go on with and its finished cases.

    A run that has finished with these very cases is returned as it is, and nothing is written.
    """
    check_labels(sources, model.labels)
    path = config.run.output / config.run.name
    if resume and (path / "run.json").is_file():
        folder = RunFolder.open(path)
        run, records = folder.read_run(), _finished(folder, sources, config.report.documents)
        changed = {
            "config": run.config_sha256 != config.sha256(),
            "model": run.model.sha256 != model.sha256,
            "lung segmenter": run.segmenter_sha256 != segmenter_sha256,
            "software": run.versions != versions() or run.schema_version != SCHEMA_VERSION,
            "code": run.code is None or run.code.sha256 != installed_code().sha256,
            "key of the case ids": run.case_id_key != key.fingerprint,
            "radiographs, labels, boxes, masks, another column of the manifest, or --limit": not set(
                folder.case_ids()
            )
            <= {source.case_id for source in sources}
            or any(
                records[s.case_id].metadata_hmac != s.metadata_hmac
                for s in sources
                if s.case_id in records
            ),
        }
        if any(changed.values()):
            what = ", ".join(name for name, is_changed in changed.items() if is_changed)
            raise ConfigError(
                f"{path} cannot be resumed; changed since it was made: {what}",
                "set run.name to start another run",
            )
        if (
            run.status == "finished"
            and folder.is_sealed
            and len(records) == len(sources) == run.num_cases
        ):
            evidence.require_unchanged(folder)
            return folder, run, records
        again = {f"cases/{source.case_id}" for source in sources if source.case_id not in records}
        evidence.require_unchanged(folder, but={*again, *evidence.SIGNATURES})
        folder.unseal()
    else:
        key.keep()
        folder, records = RunFolder.create(path), {}
        run = RunRecord(
            name=config.run.name,
            status="running",
            started=now(),
            config=_without_paths(config),
            config_sha256=config.sha256(),
            seed=config.run.seed,
            model=model,
            num_cases=len(sources),
            versions=versions(),
            engine={
                "name": config.engine.name,
                "workers": engine.num_workers,
                "batch_size": config.engine.batch_size,
            },
            case_id_key=key.fingerprint,
            segmenter_sha256=segmenter_sha256,
            packages=load_plugins(),
            code=installed_code(),
        )
    crosswalk_sha256 = evidence.write_crosswalk(folder, sources)
    evidence.write(folder.private / "config.json", to_json(config.resolved()), 0o600)
    run = replace(
        run,
        status="running",
        num_cases=len(sources),
        num_found=num_found if num_found > len(sources) else None,
        crosswalk_sha256=crosswalk_sha256,
    )
    evidence.write(folder.path / evidence.SBOM, evidence.bill_of_materials(run))
    folder.write_run(run)
    return folder, run, records


def calibrate(
    run: RunRecord,
    explainer: Explainer,
    checks: Checks,
    segmenter: LungSegmenter | None,
    engine: Engine,
    config: AuditConfig,
    sources: list[CaseSource],
    key: CaseIdKey,
) -> tuple[RunRecord, Floats | None]:
    """What has to be known before the first picture is drawn, from a sample spread evenly over the cases:
    the upper ends of the colour scales, whether the classifier, asked twice, answers with the same bits, the
    checks of the explanation that are made once a model, and, beside the record, the usual model input. What is
    excluded has no part in it; of duplicates that are, the first in the sample stands for all."""
    from cxr_audit.classifier import check_parity

    size = config.engine.batch_size
    asked = sample(sources, config.trust.sample)
    chosen = [source for source in sources if source.case_id in asked]
    duplicates = quality.Duplicates([source.case_id for source in chosen])
    inputs: list[ModelInput] = []
    peaks: dict[str, list[float]] = {}
    is_deterministic, num_cases, primary = None, 0, ""
    for prepared in _prepare_ahead(engine, config, batches(chosen, size)):
        prepared = [mark_duplicates(case, duplicates, key, config) for case in prepared]
        if segmenter is not None:
            found = segment_batch(segmenter, [Explained(case) for case in prepared])
            prepared = [with_lungs(one.prepared, one.lungs, config) for one in found]
        if is_deterministic is None and any(case.failure is None for case in prepared):
            tensor = stack(explainer.classifier, prepared, size)
            first, second = (explainer.target.forward(tensor, None)[2] for _ in range(2))
            is_deterministic = bool(np.array_equal(first, second, equal_nan=True))
        inputs += [case.model_input for case in prepared if case.model_input is not None]
        if config.report.scale == "case":
            continue  # each map has its own scale
        for case in explain_batch(explainer, prepared, size):
            num_cases += bool(case.maps)
            primary = primary or next((scale_key(class_map.facts) for class_map in case.maps), "")
            for class_map in case.maps:
                if class_map.facts.status == "ok":
                    peaks.setdefault(scale_key(class_map.facts), []).append(
                        float(class_map.values.max())
                    )
    # Before anything is audited: is this network the model of the file?
    parity = (
        check_parity(explainer.classifier, np.stack([case.tensor for case in inputs]))
        if inputs
        else None
    )
    scales = {
        key: round_up(float(np.percentile(values, SCALE_PERCENTILE)))
        for key, values in peaks.items()
    }
    source = (
        f"{SCALE_PERCENTILE}th percentile of the maps' maxima over {num_cases} cases spread over the run; "
        "larger values are clipped"
    )
    of_model, cascade = (
        checks.of_model(np.stack([one.tensor for one in inputs])) if inputs else ((), ())
    )
    run = replace(
        run,
        model=replace(run.model, is_deterministic=is_deterministic),
        checks=of_model,
        cascade=cascade,
        calibrated_cases=len(sources),
        parity=parity,
    )
    if config.report.scale == "case":
        run = replace(run, scale_source="each map's own maximum")
    else:
        run = replace(run, scale=scales.get(primary, 1.0), scale_source=source, scales=scales)
    return replace(run, logit_spread=spread(explainer, inputs, size)), geometry.usual(inputs)


def read_usual(folder: RunFolder, run: RunRecord) -> Floats | None:
    """The usual model input of a run, None where its sample is too small; `VerificationError` where it was changed."""
    if run.mean_input_sha256 is None:
        return None
    if evidence.file_sha256(folder.path / USUAL) != run.mean_input_sha256:
        raise VerificationError(
            f"{folder.path / USUAL} is not what the run has begun with",
            "set run.name to start another",
        )
    with np.load(folder.path / USUAL) as kept:
        return np.asarray(kept["usual"], np.float32)


def render(
    path: Path,
    engine: Engine,
    template_dir: Path | None = None,
    progress: Progress = lambda phase, done, total: None,
    language: str | None = None,
) -> RunResult:
    """All documents of a run again, from its records, without the classifier; the PDFs of cases in `language`, None =
    that of the run's config.

    Raises `ConfigError` where there is no finished run or no such language, `VerificationError` where its records are
    not what they were.
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
    _require_unchanged_records(folder)
    events = EventLog.open(folder)
    events.adopt(folder, run)
    events.append("rewriting")
    futures = [
        engine.submit(render_case, path, case_id, template_dir, language) for case_id in case_ids
    ]
    for done, future in enumerate(futures, 1):
        future.result()
        progress("documents", done, len(futures))
    events.append(
        "rendered", cases=len(case_ids), own_templates=template_dir is not None, language=language
    )
    return finish_run(folder, run, records_of(folder), events, template_dir)


def finish_run(
    folder: RunFolder,
    run: RunRecord,
    records: list[CaseRecord],
    events: EventLog,
    template_dir: Path | None = None,
) -> RunResult:
    """The files of the whole run; `SHA256SUMS` is last."""
    evidence.write(folder.path / "cases.csv", cohort.cases_table(records).encode())
    evidence.write(folder.path / "cases.csv-metadata.json", cohort.cases_metadata().encode())
    described = describe_cohort(folder, run, records)
    evidence.write(folder.path / "cohort.json", to_json(described))
    documents, means = renderer(template_dir), cohort.mean_maps(_on_radiographs(folder, records))
    evidence.write(folder.path / "index.html", documents.index_html(records, run).encode())
    evidence.write(
        folder.path / "summary.pdf",
        documents.summary_pdf(records, run, described, means, folder.cases),
    )
    if run != folder.read_run():
        folder.write_run(run)
    evidence.seal(folder, events)
    return _result(folder, records, described)


def _require_unchanged_records(folder: RunFolder) -> None:
    """What is made from the records may be another."""
    evidence.require_unchanged(
        folder, {*evidence.documents(folder), *evidence.SIGNATURES, *evidence.UNFINISHED}
    )


def _on_radiographs(
    folder: RunFolder, records: list[CaseRecord]
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
        evidence_there = geometry.restore(
            values,
            record.input.placement,
            cohort.RASTER,
            cohort.RASTER,
            first.facts.geometry,
        )
        yield record.outcome or "no_label", evidence_there, lungs


def describe_cohort(
    folder: RunFolder, run: RunRecord, records: list[CaseRecord], config: AuditConfig | None = None
) -> CohortRecord:
    """What a run says about the classifier, measured as its own config or another one asks.

    The private crosswalk knows the patients; where it is kept elsewhere, the record that stands is kept as well.
    """
    sources = evidence.read_crosswalk(folder)
    if not sources and config is None and (standing := folder.read_cohort()):
        return standing
    asked = measured_by(run.config if config is None else config.resolved())
    return cohort.describe(records, sources, *asked, run.seed, run.checks)


def cohort_of(path: Path, config: AuditConfig | None = None) -> CohortRecord:
    """`describe_cohort` of a run folder; nothing is written.

    Raises `ConfigError` where the run has not finished, `VerificationError` where its records are not what they were.
    """
    folder = RunFolder.open(path)
    run, records = folder.read_run(), records_of(folder)
    if len(records) != run.num_cases:
        raise ConfigError(
            f"{path} holds {len(records)} of {run.num_cases} cases: the run has not finished",
            "go on with cxr-audit run CONFIG --resume",
        )
    _require_unchanged_records(folder)
    if config is not None:
        records = [flags.flagged(record, config.acceptance, run.logit_spread) for record in records]
    return describe_cohort(folder, run, records, config)


def versions() -> dict[str, str]:
    """What ran: our version, Python, and the libraries that can change a case's number or page; `sbom` has all."""
    names = (
        *("cxr-audit", "tensorflow", "keras", "numpy", "scipy", "opencv-python-headless", "pillow"),
        *("pydicom", "python-gdcm", "pyjpegls", "pylibjpeg", "pylibjpeg-openjpeg"),
        *("jinja2", "babel", "weasyprint", "pydyf"),
    )
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        **{n: metadata.version(n) for n in names},
    }


class Writer:
    """Hands explained cases to the workers and collects their records, in order."""

    def __init__(
        self,
        engine: Engine,
        folder: RunFolder,
        config: AuditConfig,
        run: RunRecord,
        events: EventLog,
    ) -> None:
        self.engine, self.folder, self.config, self.run, self.events = (
            engine,
            folder,
            config,
            run,
            events,
        )
        self.pending: list[Future[tuple[CaseRecord, dict[str, float], float]]] = []
        self.cpu_s: dict[str, float] = {}
        self.peak_mib = 0.0

    def submit(self, cases: list[Explained]) -> None:
        for case in cases:
            add(self.cpu_s, {"ingest and preprocess": case.prepared.cpu_s})
            self.pending.append(
                self.engine.submit(document, case, self.run, self.folder.path, self.config)
            )

    def collect(self, limit: int) -> Iterator[CaseRecord]:
        """Finished cases, waiting until no more than `limit` are under way."""
        while self.pending and (len(self.pending) > limit or self.pending[0].done()):
            record, cpu_s, peak_mib = self.pending.pop(0).result()
            self.peak_mib = max(self.peak_mib, peak_mib)
            add(self.cpu_s, cpu_s)
            self.events.add_case(self.folder, record.case_id, record.status)
            yield record


def batches(sources: list[CaseSource], size: int) -> list[list[CaseSource]]:
    return [sources[start : start + size] for start in range(0, len(sources), size)]


def _finished(
    folder: RunFolder, sources: list[CaseSource], documents: bool
) -> dict[str, CaseRecord]:
    """Records that stand. One that a power cut has damaged, whose file a server did not give, or that lacks what
    should stand beside it, is made again."""
    records = {}
    for source in sources:
        with contextlib.suppress(VerificationError):
            record = folder.read_case(source.case_id)
            if record is None or not _is_whole(folder, record, documents):
                continue
            if isinstance(record, StoppedCase) and record.error == NotRetrieved.__name__:
                continue
            records[source.case_id] = record
    return records


def _is_whole(folder: RunFolder, record: CaseRecord, documents: bool) -> bool:
    names = set(record.pictures.values())
    if isinstance(record, AuditedCase):
        names |= {"map.npz", "regions.npz"}
        names |= {map_record.picture for map_record in record.maps if map_record.picture}
    if documents:
        names.add("report.pdf")
    return names <= {path.name for path in folder.case(record.case_id).iterdir()}


def _prepare_ahead(
    engine: Engine, config: AuditConfig, batches: list[list[CaseSource]]
) -> Iterator[list[Prepared]]:
    """Prepared batches in order, two batches ahead of the classifier."""
    ahead: list[list[Future[Prepared]]] = []
    for batch in batches:
        ahead.append([engine.submit(prepare, source, config) for source in batch])
        if len(ahead) > 2:
            yield [future.result() for future in ahead.pop(0)]
    for futures in ahead:
        yield [future.result() for future in futures]


def records_of(folder: RunFolder) -> list[CaseRecord]:
    """The finished cases in the order of the run, which `cases.csv` keeps."""
    return list(cases_of_run(folder).values())


def cases_of_run(folder: RunFolder) -> dict[str, CaseRecord]:
    """The records of `records_of` by the name of their folder."""
    import pandas as pd

    table, rank = folder.path / "cases.csv", dict[str, int]()
    if table.is_file():
        order = pd.read_csv(table, dtype=str, keep_default_na=False)["case_id"]
        rank = {case_id: n for n, case_id in enumerate(order)}
    ordered = sorted(folder.case_ids(), key=lambda case_id: rank.get(case_id, len(rank)))
    records = {}
    for case_id in ordered:
        record = folder.read_case(case_id)
        if record is not None:
            records[case_id] = record
    return records


def _without_paths(config: AuditConfig) -> dict[str, Any]:
    """The resolved config as records and reports carry it: a path may name a patient and stays in `private/`."""
    resolved = config.resolved()
    resolved["run"]["output"] = "see private/config.json"
    if config.ingest.source != REFERENCE:
        resolved["ingest"]["source"] = "see private/config.json"
    for section, key in (
        ("ingest", "manifest"),
        ("privacy", "key_file"),
        ("classifier", "reference_outputs"),
    ):
        if resolved[section][key] is not None:
            resolved[section][key] = "see private/config.json"
    resolved["classifier"]["path"] = Path(config.classifier.path).name
    return resolved


def _result(folder: RunFolder, records: list[CaseRecord], described: CohortRecord) -> RunResult:
    failed = tuple(record for record in stopped(records) if record.status == "failed")
    return RunResult(folder.path, _count(records), failed, described)


def _count(records: Iterable[CaseRecord]) -> dict[str, int]:
    counts = {"ok": 0, "excluded": 0, "failed": 0}
    for record in records:
        counts[record.status] += 1
    return counts

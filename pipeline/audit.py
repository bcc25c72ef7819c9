"""The composer: one config -> one run folder with an audit of every case.

    1 ingest, input quality, 2 preprocess      `prepare`,  in worker processes, case by case
    3 classifier, 4 explain, 7 trust, 5 lungs  `explain_batch`, `check_batch`, `segment_batch`, here, batch by batch
    7 causal masking, of all cases or a sample `mask_batch`, here, batch by batch
    5 regions, 6 focus, 8 report, 9 evidence   `document`, in worker processes, case by case

A batch is always the same cases in the same places, whether or not a run was broken off, so that a
resumed run ends in the same records.
"""

from __future__ import annotations

import contextlib
import hmac
import io
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache, lru_cache, partial
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from pipeline import cohort, evidence, focus, ingest, quality, reference, regions, report, verdict
from pipeline import preprocess as geometry
from pipeline.config import REFERENCE, AuditConfig, measured_by
from pipeline.errors import CaseError, ConfigError, NotRetrieved, UnfitRadiograph, VerificationError
from pipeline.evidence import CaseIdKey, EventLog, RunFolder
from pipeline.records import (
    SCHEMA_VERSION,
    CaseRecord,
    CaseSource,
    Check,
    ClassActivationMap,
    CohortRecord,
    Decision,
    Floats,
    FocusMetrics,
    LogitBudget,
    MapFacts,
    Mask,
    Masking,
    ModelFacts,
    ModelInput,
    Placement,
    Prediction,
    RadiographFacts,
    Region,
    RegionFocus,
    RunRecord,
    Trust,
    to_json,
)
from pipeline.trust import state

if TYPE_CHECKING:
    from pipeline.classifier import Classifier
    from pipeline.explain import Explainer
    from pipeline.regions import Lungs, LungSegmenter
    from pipeline.trust.checks import Checks

DOCUMENTS = ("report.pdf", "index.html", "summary.pdf")  # what `render` writes again
SCALE_PERCENTILE = 90
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
    failed: tuple[CaseRecord, ...]
    cohort: CohortRecord


@dataclass(frozen=True, slots=True)
class Prepared:
    """A case ready for the classifier, or why the classifier is not asked: its `failure`, which may be an exclusion."""

    source: CaseSource
    failure: CaseRecord | None = None
    facts: RadiographFacts | None = None
    model_input: ModelInput | None = None
    preprocessing: tuple[Decision, ...] = ()
    lung_input: Floats | None = None
    regions: tuple[Region, ...] = ()
    annotation_missing: str | None = None
    quality: tuple[Check, ...] = ()
    sop_instance_uid: str | None = field(default=None, repr=False)
    pictures: dict[str, npt.NDArray[np.uint8]] = field(default_factory=dict)
    cpu_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Explained:
    """A case with the classifier's answer, its maps and where its lungs may be, ready to be written down."""

    prepared: Prepared
    prediction: Prediction | None = None
    maps: tuple[ClassActivationMap, ...] = ()
    controls: dict[str, Floats] = field(default_factory=dict)
    trust: Trust | None = None
    lungs: Lungs | None = None
    exposure: dict[str, float] = field(default_factory=dict)
    masking: tuple[Masking, ...] = ()
    masking_missing: dict[str, str] = field(default_factory=dict)


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
    limit : audit the first cases only.
    progress : called with (phase, done, total).

    Raises
    ------
    ConfigError, ModelError, EngineError. What is wrong with one case is recorded, not raised.
    """
    clock = Clock()
    for _ in range(engine.num_workers):
        engine.submit(warm_up, config.report.documents)
    key = find_key(config)
    sources = find_sources(config, key)[:limit]
    explainer, model = open_classifier(config)
    checks = open_checks(config, explainer)
    segmenter = open_segmenter(config)
    clock.mark("start")

    segmenter_sha256 = segmenter.sha256 if segmenter else None
    folder, run, records = open_run(config, model, segmenter_sha256, sources, key, resume, engine)
    progress("cases", len(records), len(sources))
    if run.status == "finished":
        return _result(folder, list(records.values()), describe_cohort(folder, run, list(records.values())))
    events = EventLog.open(folder)
    events.begin(folder, run, records)
    if run.scale_source is None:
        run = calibrate(run, explainer, checks, engine, config, sources)
        folder.write_run(run)
        events.append("calibrated", scales=run.scales)
    clock.mark("calibration")

    todo = [
        batch for batch in _batches(sources, config.engine.batch_size) if any(s.case_id not in records for s in batch)
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
        explained = expose_batch(explainer, explained, config)
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
    if stale := [case_id for case_id, record in records.items() if duplicates.are_other_than(record)]:
        for case_id in stale:
            folder.clear_case(case_id)
        return audit(config, engine, True, limit, progress)
    ordered = [records[source.case_id] for source in sources]
    finished = replace(
        run,
        status="finished",
        finished=_now(),
        counts=_count(ordered),
        wall_s=_rounded(clock.wall_s),
        cpu_s=_rounded({**writer.cpu_s, **clock.cpu_of(*STAGES_HERE)}),
        peak_memory_mib={"main": _peak_mib(), "largest worker": writer.peak_mib},
    )
    return finish_run(folder, finished, ordered, events)


def warm_up(documents: bool) -> None:
    """In a worker, while the classifier loads: what its first case would wait for."""
    if documents:
        _renderer()


def find_key(config: AuditConfig) -> CaseIdKey:
    """The key of a config's case ids. The radiographs that ship show no patient: their ids are the same everywhere."""
    if config.ingest.source == REFERENCE:
        return CaseIdKey(b"")
    return CaseIdKey.find(config.run.output, config.privacy.key_file)


def find_sources(config: AuditConfig, key: CaseIdKey) -> list[CaseSource]:
    """The cases of a config; its labels must be names of classes."""
    source = config.ingest.source
    if source == REFERENCE:
        from pipeline.reference.radiographs import write_radiographs

        source = str(write_radiographs(config.run.output / "reference-radiographs"))
    return ingest.discover(source, config.ingest.labels, config.ingest.split, key.value, config.ingest.manifest)


def open_classifier(config: AuditConfig) -> tuple[Explainer, ModelFacts]:
    """The classifier of a config, checked against the config, with what it is for the record."""
    from pipeline.classifier import Classifier, file_sha256, load_keras
    from pipeline.explain import Explainer, Probing

    asked, card = config.classifier, None
    path, sha256 = Path(asked.path), asked.sha256
    if asked.path == REFERENCE:
        card = reference.card_of("classifier")
        path, sha256 = reference.WEIGHTS / card.weights, sha256 or card.sha256
    size = config.preprocess
    classifier = Classifier(
        load_keras(path, sha256),
        (size.rows, size.columns, size.channels),
        asked.class_names or (card.class_names if card else ()),
        asked.target_class,
        asked.threshold if asked.threshold is not None or card is None else card.threshold,
        asked.threshold_source or (card.threshold_source if card and asked.threshold is None else None),
    )
    explain = config.explain
    _, offset = geometry.scaling_of(config.preprocess)
    black = tuple(map(float, offset))
    explainer = Explainer(
        classifier,
        explain.methods,
        explain.target_layer,
        explain.layers,
        explain.classes,
        explain.against,
        Probing(explain.baseline, black, explain.steps, explain.score_cam_channels, config.run.seed),
    )
    return explainer, ModelFacts(
        name=path.name if asked.path != REFERENCE else "cxr-audit reference classifier",
        sha256=file_sha256(path),
        parameters=classifier.parameters,
        input_shape=classifier.input_shape,
        output_activation=classifier.output_activation,
        class_names=classifier.class_names,
        target_layer=explainer.target.layer.name,
        grid=explainer.target.layer.grid,
        head=explainer.target.head_in_words,
        is_exact=explainer.target.is_affine,
        labels=classifier.labels,
        card=card,
    )


def open_checks(config: AuditConfig, explainer: Explainer) -> Checks:
    """The checks of the explanation that a config asks for."""
    from pipeline.trust.checks import Checks

    return Checks(explainer, config.trust, config.engine.batch_size, config.run.seed)


def open_segmenter(config: AuditConfig) -> LungSegmenter | None:
    """The lung segmenter that a config asks for."""
    return regions.LungSegmenter(reference.WEIGHTS / "lungs.keras") if config.regions.lungs == REFERENCE else None


def check_labels(sources: Iterable[CaseSource], known: tuple[str, ...], names: bool = False) -> None:
    """Every label must name a class. Raises `ConfigError`; with `names` it quotes the labels that do not, which may
    be patients' names where ingest.labels names the wrong folder or column."""
    unknown = sorted({source.label for source in sources if source.label is not None} - set(known))
    if unknown:
        which = ": " + ", ".join(map(repr, unknown[:10])) if names else " (cxr-audit check CONFIG --names prints them)"
        raise ConfigError(
            f"{len(unknown)} labels are no class{which}; classes are {', '.join(known)}",
            "set classifier.class_names to the names that the labels use, or ingest.labels: none",
        )


def open_run(
    config: AuditConfig,
    model: ModelFacts,
    segmenter_sha256: str | None,
    sources: list[CaseSource],
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
        run, records = folder.read_run(), _finished(folder, sources)
        changed = {
            "config": run.config_sha256 != config.sha256(),
            "model": run.model.sha256 != model.sha256,
            "lung segmenter": run.segmenter_sha256 != segmenter_sha256,
            "software": run.versions != versions() or run.schema_version != SCHEMA_VERSION,
            "key of the case ids": run.case_id_key != key.fingerprint,
            "radiographs, labels or --limit": not set(folder.case_ids()) <= {source.case_id for source in sources}
            or any(records[s.case_id].label != s.label for s in sources if s.case_id in records),
        }
        if any(changed.values()):
            what = ", ".join(name for name, is_changed in changed.items() if is_changed)
            raise ConfigError(
                f"{path} cannot be resumed; changed since it was made: {what}", "set run.name to start another run"
            )
        if run.status == "finished" and folder.is_sealed and len(records) == len(sources) == run.num_cases:
            return folder, run, records
        folder.unseal()
    else:
        key.keep()
        folder, records = RunFolder.create(path), {}
        run = RunRecord(
            name=config.run.name,
            status="running",
            started=_now(),
            config=_without_paths(config),
            config_sha256=config.sha256(),
            seed=config.run.seed,
            model=model,
            num_cases=len(sources),
            versions=versions(),
            engine={"name": config.engine.name, "workers": engine.num_workers, "batch_size": config.engine.batch_size},
            case_id_key=key.fingerprint,
            segmenter_sha256=segmenter_sha256,
        )
    crosswalk_sha256 = evidence.write_crosswalk(folder, sources)
    evidence.write(folder.private / "config.json", to_json(config.resolved()), 0o600)
    run = replace(run, status="running", num_cases=len(sources), crosswalk_sha256=crosswalk_sha256)
    evidence.write(folder.path / evidence.SBOM, evidence.bill_of_materials(run))
    folder.write_run(run)
    return folder, run, records


def calibrate(
    run: RunRecord,
    explainer: Explainer,
    checks: Checks,
    engine: Engine,
    config: AuditConfig,
    sources: list[CaseSource],
) -> RunRecord:
    """What has to be known before the first picture is drawn, from a sample spread evenly over the cases:
    the upper ends of the colour scales, whether the classifier, asked twice, answers with the same bits, and the
    checks of the explanation that are made once a model."""
    size = config.engine.batch_size
    step = max(1, len(sources) // config.trust.sample)
    sample = sources[::step][: config.trust.sample]
    inputs: list[Floats] = []
    peaks: dict[str, list[float]] = {}
    is_deterministic, num_cases, primary = None, 0, ""
    for prepared in _prepare_ahead(engine, config, _batches(sample, size)):
        if is_deterministic is None and any(case.failure is None for case in prepared):
            tensor = _stack(explainer.classifier, prepared, size)
            first, second = (explainer.target.forward(tensor, None)[2] for _ in range(2))
            is_deterministic = bool(np.array_equal(first, second, equal_nan=True))
        inputs += [case.model_input.tensor for case in prepared if case.model_input is not None]
        if config.report.scale == "case":
            continue  # each map has its own scale
        for case in explain_batch(explainer, prepared, size):
            num_cases += bool(case.maps)
            primary = primary or next((scale_key(class_map.facts) for class_map in case.maps), "")
            for class_map in case.maps:
                if class_map.facts.status == "ok":
                    peaks.setdefault(scale_key(class_map.facts), []).append(float(class_map.values.max()))
    scales = {key: _round_up(float(np.percentile(values, SCALE_PERCENTILE))) for key, values in peaks.items()}
    source = (
        f"{SCALE_PERCENTILE}th percentile of the maps' maxima over {num_cases} cases spread over the run; "
        "larger values are clipped"
    )
    of_model, cascade = checks.of_model(np.stack(inputs)) if inputs else ((), ())
    run = replace(run, model=replace(run.model, is_deterministic=is_deterministic), checks=of_model, cascade=cascade)
    if config.report.scale == "case":
        return replace(run, scale_source="each map's own maximum")
    return replace(run, scale=scales.get(primary, 1.0), scale_source=source, scales=scales)


def reading(config: AuditConfig) -> dict[str, Any]:
    """How `ingest` reads the cases of a config."""
    asked = config.ingest
    display = ingest.Display(asked.voi_transform, asked.window, asked.frame)
    return {"max_pixels": asked.max_pixels, "display": display}


def prepare(source: CaseSource, config: AuditConfig) -> Prepared:
    """Stages 1 and 2 of one case, in a worker. Here, and for an annotation, a `CaseError` is caught."""
    start = time.process_time()
    try:
        radiograph = ingest.read(source, **reading(config))
    except CaseError as error:
        failure = CaseRecord(
            case_id=source.case_id,
            status="failed",
            reason=str(error),
            error=type(error).__name__,
            hint=error.hint,
            label=source.label,
            file_sha256=source.file_sha256,
        )
        return Prepared(source, failure, cpu_s=time.process_time() - start)
    source = replace(source, file_sha256=radiograph.facts.source.file_sha256)  # known only now if a server sent it
    annotation, annotation_missing = _read_annotation(source, radiograph.facts, config)
    model_input, grey, decisions = geometry.preprocess(radiograph, config.preprocess)
    markers = tuple(regions.find_markers(radiograph.pixels)) if config.regions.markers else None
    card = reference.card_of("classifier") if config.classifier.path == REFERENCE else None
    views = config.quality.views or (card.views if card else ())
    ages = config.quality.age_years or (card.age_years if card else None)
    texts = None if markers is None else sum(marker.facts.name.startswith("text") for marker in markers)
    prepared = Prepared(
        source,
        None,
        radiograph.facts,
        model_input,
        decisions,
        regions.segmenter_input(radiograph.pixels) if config.regions.lungs == REFERENCE else None,
        (*(markers or ()), *annotation),
        annotation_missing,
        quality.check_picture(radiograph.pixels, config.quality)
        + quality.check_header(radiograph.facts, views, ages, texts),
        radiograph.sop_instance_uid,
        {"radiograph": report.display(radiograph.pixels), "model_input": report.display(grey)},
    )
    return replace(_judged(prepared, config), cpu_s=time.process_time() - start)


def mark_duplicates(case: Prepared, duplicates: quality.Duplicates, key: CaseIdKey, config: AuditConfig) -> Prepared:
    """The case with the checks whether it came before, in the run's order. Its UID leaves memory as a keyed hash."""
    if case.facts is None:
        return case
    uid, source = case.sop_instance_uid, case.facts.source
    if uid is not None:
        source = replace(source, instance_hmac=hmac.new(key.value, uid.encode(), "sha256").hexdigest())
    duplicates.note(case.source.case_id, source)
    checks = (*case.quality, *duplicates.checks(case.source.case_id, source))
    facts = replace(case.facts, source=source)
    return _judged(replace(case, facts=facts, quality=checks, sop_instance_uid=None), config)


def _judged(case: Prepared, config: AuditConfig) -> Prepared:
    """The case, excluded or failed where the config asks for that by its checks so far."""
    asked = quality.action(quality.in_order(case.quality), config.quality)
    if asked is None:
        return case
    status, reason, hint = asked
    failure = CaseRecord(
        case_id=case.source.case_id,
        status=status,
        reason=reason,
        error=UnfitRadiograph.__name__ if status == "failed" else None,
        hint=hint,
        label=case.source.label,
        file_sha256=case.source.file_sha256,
        radiograph=case.facts,
    )
    return replace(case, failure=failure, model_input=None, pictures={"radiograph": case.pictures["radiograph"]})


def _read_annotation(
    source: CaseSource, facts: RadiographFacts, config: AuditConfig
) -> tuple[tuple[Region, ...], str | None]:
    """What a manifest annotates on a radiograph, or why that cannot be used: no reason not to audit the case."""
    try:
        found = ingest.read_annotation(source, facts.rows, facts.columns, config.ingest.max_pixels)
    except CaseError as error:
        return (), str(error)
    return ((regions.annotation(*found),) if found else ()), None


def explain_batch(explainer: Explainer, batch: list[Prepared], batch_size: int) -> list[Explained]:
    """Stages 3 and 4 of one batch. A case that failed leaves its place empty."""
    tensor = _stack(explainer.classifier, batch, batch_size)
    labels = [case.source.label for case in batch] + [None] * (batch_size - len(batch))
    is_present = [case.failure is None for case in batch] + [False] * (batch_size - len(batch))
    result = explainer.explain(tensor, labels, is_present)
    explained = []
    for n, case in enumerate(batch):
        if case.failure is not None:
            explained.append(Explained(case))
        elif not np.isfinite(result.logits[n]).all():
            failure = CaseRecord(
                case_id=case.source.case_id,
                status="failed",
                reason="the classifier's output is not a finite number",
                error="ModelError",
                hint="check preprocess.scaling: the classifier may expect another value range",
                label=case.source.label,
                file_sha256=case.source.file_sha256,
                radiograph=case.facts,
            )
            explained.append(Explained(replace(case, failure=failure)))
        else:
            prediction = explainer.classifier.predict(result.logits[n], case.source.label)
            explained.append(Explained(case, prediction, result.maps[n], result.controls[n]))
    return explained


def expose_batch(explainer: Explainer, batch: list[Explained], config: AuditConfig) -> list[Explained]:
    """What the answer is where the whole radiograph is darker or brighter."""
    selector = explainer.classifier.selector(explainer.classifier.target_class)
    made = {
        n: geometry.exposures(case.prepared.model_input, config.preprocess)
        for n, case in enumerate(batch)
        if case.prediction is not None and case.prepared.model_input is not None
    }
    inputs = (shown for exposures in made.values() for shown in exposures.values())
    logits = iter(explainer.ask(inputs, config.engine.batch_size) @ selector)
    for n, names in made.items():
        before = batch[n].prediction
        assert before is not None
        changes = {name: float(next(logits)) - before.logit for name in names}
        if np.isfinite(list(changes.values())).all():
            batch[n] = replace(batch[n], exposure=changes)
    return batch


def check_batch(checks: Checks, batch: list[Explained], run: RunRecord) -> list[Explained]:
    """Whether the explanation of each case of one batch may be believed."""
    tensor = _stack(checks.explainer.classifier, [case.prepared for case in batch], len(batch))
    found = checks.of_cases(tensor, [case.maps for case in batch])
    return [
        replace(case, trust=state.judge(case.maps[0].facts.status, run.checks, of_case)) if case.maps else case
        for case, of_case in zip(batch, found, strict=True)
    ]


def segment_batch(segmenter: LungSegmenter, batch: list[Explained]) -> list[Explained]:
    """Stage 5 of one batch: where the lungs are, or why they were not found."""
    inputs = {n: case.prepared.lung_input for n, case in enumerate(batch) if case.prepared.lung_input is not None}
    if inputs:
        for n, lungs in zip(inputs, segmenter.find(np.stack(list(inputs.values()))), strict=True):
            batch[n] = replace(batch[n], lungs=lungs)
    return batch


def sample(sources: list[CaseSource], size: int | Literal["all", "none"]) -> set[str]:
    """The ids of so many cases, spread evenly over the run."""
    num = {"all": len(sources), "none": 0}[size] if isinstance(size, str) else min(size, len(sources))
    return {sources[n * len(sources) // num].case_id for n in range(num)}


def mask_batch(explainer: Explainer, batch: list[Explained], asked: set[str], batch_size: int) -> list[Explained]:
    """Stage 7 of one batch: what the answer is without the lungs, a marker and so on, for the cases asked."""
    from pipeline.trust import masking

    subjects = {}
    for n, case in enumerate(batch):
        if case.prediction is None or case.prepared.source.case_id not in asked:
            continue
        assert case.prepared.model_input is not None
        tensor, placement = case.prepared.model_input.tensor, case.prepared.model_input.placement
        found = _find_regions(case)
        size = placement.input_rows, placement.input_columns
        shares = geometry.region_shares(placement, *size, np.stack([region.mask for region in found]))
        seen, *_ = geometry.cell_shares(placement, *size, focus.BORDER)
        reason = case.lungs.reason if case.lungs else None
        subjects[n] = masking.Subject.of(tensor, case.prediction, seen, found, shares, reason)
    answers = masking.ask_again(explainer, list(subjects.values()), batch_size)
    for n, (masked, missing) in zip(subjects, answers, strict=True):
        batch[n] = replace(batch[n], masking=masked, masking_missing=missing)
    return batch


def document(
    case: Explained, run: RunRecord, path: Path, config: AuditConfig
) -> tuple[CaseRecord, dict[str, float], float]:
    """Stages 5, 6, 8 and 9 of one case, in a worker: regions, metrics, pictures, PDF, record.

    Beside the record: CPU seconds by stage, and the worker's largest resident size so far in MiB.
    """
    clock = Clock()
    folder = RunFolder(path)
    folder.clear_case(case.prepared.source.case_id)
    where = folder.case(case.prepared.source.case_id)
    record, pictures, maps, masks = _describe(case, run, config)
    for name, image in pictures.items():
        evidence.write(where / name, report.encode_jpeg(image))
    if maps:
        evidence.write(where / "map.npz", _npz(maps))
        evidence.write(where / "regions.npz", _npz(masks))
    clock.mark("regions, focus and pictures")
    if config.report.documents:
        evidence.write(where / "report.pdf", _renderer().case_pdf(record, run, where))
    evidence.write(where / "case.json", to_json(record))
    clock.mark("documents")
    return record, clock.cpu_s, _peak_mib()


def render_case(path: Path, case_id: str, template_dir: Path | None) -> str:
    """The PDF of one case again, from its record and pictures, in a worker."""
    folder = RunFolder(path)
    record = folder.read_case(case_id)
    assert record is not None
    where = folder.case(case_id)
    evidence.write(where / "report.pdf", _renderer(template_dir).case_pdf(record, folder.read_run(), where))
    return case_id


def render(
    path: Path, engine: Engine, template_dir: Path | None = None, progress: Progress = lambda phase, done, total: None
) -> RunResult:
    """All documents of a run again, from its records, without the classifier.

    Raises `ConfigError` where there is no run, `VerificationError` where its records are not what they were.
    """
    folder = RunFolder.open(path)
    run = folder.read_run()
    case_ids = folder.case_ids()
    evidence.require_unchanged(folder, but=DOCUMENTS)
    events = EventLog.open(folder)
    folder.unseal()
    futures = [engine.submit(render_case, path, case_id, template_dir) for case_id in case_ids]
    for done, future in enumerate(futures, 1):
        future.result()
        progress("documents", done, len(futures))
    events.append("rendered", cases=len(case_ids), own_templates=template_dir is not None)
    return finish_run(folder, run, _records(folder), events, template_dir)


def finish_run(
    folder: RunFolder, run: RunRecord, records: list[CaseRecord], events: EventLog, template_dir: Path | None = None
) -> RunResult:
    """The files of the whole run; `SHA256SUMS` is last."""
    evidence.write(folder.path / "cases.csv", cases_table(records).encode())
    described = describe_cohort(folder, run, records)
    evidence.write(folder.path / "cohort.json", to_json(described))
    renderer, means = _renderer(template_dir), cohort.mean_maps(_on_radiographs(folder, records))
    evidence.write(folder.path / "index.html", renderer.index_html(records, run).encode())
    evidence.write(folder.path / "summary.pdf", renderer.summary_pdf(records, run, described, means, folder.cases))
    folder.write_run(run)
    evidence.seal(folder, events)
    return _result(folder, records, described)


def _on_radiographs(folder: RunFolder, records: list[CaseRecord]) -> Iterator[tuple[str, Floats, Mask]]:
    """Of each case with lungs: its outcome, its first map and its lungs, on the radiograph."""
    for record in records:
        first = next((one for one in record.maps[:1] if one.status != "not_finite"), None)
        name = next((region.name for region in record.regions if region.kind == "lungs"), None)
        if first is None or name is None or record.placement is None:
            continue
        where = folder.case(record.case_id)
        with np.load(where / "map.npz") as maps, np.load(where / "regions.npz") as masks:
            values, lungs = maps[first.key], masks[name]
        evidence_there = geometry.restore(values, record.placement, cohort.RASTER, cohort.RASTER)
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
    """`describe_cohort` of a run folder; nothing is written. Raises `ConfigError` where the run has not finished."""
    folder = RunFolder.open(path)
    run, records = folder.read_run(), _records(folder)
    if len(records) != run.num_cases:
        raise ConfigError(
            f"{path} holds {len(records)} of {run.num_cases} cases: the run has not finished",
            "go on with cxr-audit run CONFIG --resume",
        )
    if config is not None:
        records = [verdict.flagged(record, config.acceptance) for record in records]
    return describe_cohort(folder, run, records, config)


def cases_table(records: list[CaseRecord]) -> str:
    """`cases.csv`: one row a case, failed ones included; empty = undefined. Metrics are of the first map."""
    import pandas as pd

    rows = []
    for record in records:
        prediction, first = record.prediction, record.maps[0] if record.maps else None
        row: dict[str, Any] = {"case_id": record.case_id, "status": record.status, "reason": record.reason}
        row |= {"error": record.error, "label": record.label}
        row["quality"] = ";".join(check.name for check in record.quality if check.state == "failed") or None
        for name in ("predicted", "target_class", "logit", "probability", "threshold", "is_correct"):
            row[name] = getattr(prediction, name, None)
        for name in ("method", "layer", "status"):
            row[f"map_{name}"] = getattr(first, name, None)
        row["trust_state"] = getattr(record.trust, "state", None)
        row |= cohort.case_values(record)[0]
        row |= _region_columns(record, first)
        row["flags"] = " ".join(flag.name for flag in record.flags) if record.status == "ok" else None
        row["file_sha256"] = record.file_sha256
        rows.append(row)
    return str(pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))


def _region_columns(record: CaseRecord, first: MapFacts | None) -> dict[str, Any]:
    """Of the first map: why no lungs were found; the number of markers and the largest share at one of them."""
    kinds = {region.name: region.kind for region in record.regions}
    found = record.region_focus.get(first.key, ()) if first else ()
    at_markers = [one.relevance_mass_accuracy for one in found if kinds[one.region] == "marker"]
    return {
        "lungs_missing": record.lungs_missing,
        "annotation_missing": record.annotation_missing,
        "num_markers": len(at_markers) if record.regions else None,
        "marker_relevance_mass_accuracy": max((share for share in at_markers if share is not None), default=None),
    }


def versions() -> dict[str, str]:
    """What ran: our version, Python, and the libraries that can change a number or a page."""
    names = ("cxr-audit", "tensorflow", "keras", "numpy", "opencv-python-headless", "pydicom", "pillow", "weasyprint")
    return {
        "python": platform.python_version(),
        "system": platform.platform(),
        **{n: metadata.version(n) for n in names},
    }


class Writer:
    """Hands explained cases to the workers and collects their records, in order."""

    def __init__(
        self, engine: Engine, folder: RunFolder, config: AuditConfig, run: RunRecord, events: EventLog
    ) -> None:
        self.engine, self.folder, self.config, self.run, self.events = engine, folder, config, run, events
        self.pending: list[Future[tuple[CaseRecord, dict[str, float], float]]] = []
        self.cpu_s: dict[str, float] = {}
        self.peak_mib = 0.0

    def submit(self, cases: list[Explained]) -> None:
        for case in cases:
            _add(self.cpu_s, {"ingest and preprocess": case.prepared.cpu_s})
            self.pending.append(self.engine.submit(document, case, self.run, self.folder.path, self.config))

    def collect(self, limit: int) -> Iterator[CaseRecord]:
        """Finished cases, waiting until no more than `limit` are under way."""
        while self.pending and (len(self.pending) > limit or self.pending[0].done()):
            record, cpu_s, peak_mib = self.pending.pop(0).result()
            self.peak_mib = max(self.peak_mib, peak_mib)
            _add(self.cpu_s, cpu_s)
            self.events.add_case(self.folder, record.case_id, record.status)
            yield record


class Clock:
    """Wall and CPU seconds of this process by name, summed between marks."""

    def __init__(self) -> None:
        self.wall_s: dict[str, float] = {}
        self.cpu_s: dict[str, float] = {}
        self._last = time.perf_counter(), time.process_time()

    def mark(self, name: str) -> None:
        now = time.perf_counter(), time.process_time()
        _add(self.wall_s, {name: now[0] - self._last[0]})
        _add(self.cpu_s, {name: now[1] - self._last[1]})
        self._last = now

    def cpu_of(self, *names: str) -> dict[str, float]:
        return {name: self.cpu_s[name] for name in names if name in self.cpu_s}


def _add(total: dict[str, float], seconds: dict[str, float]) -> None:
    for name, value in seconds.items():
        total[name] = total.get(name, 0.0) + value


def _rounded(seconds: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in seconds.items()}


Pictures = dict[str, npt.NDArray[np.uint8]]


def _describe(
    case: Explained, run: RunRecord, config: AuditConfig
) -> tuple[CaseRecord, Pictures, dict[str, Floats], dict[str, Mask]]:
    """A case's record, its pictures by file name, its maps by key and the masks of its regions by name."""
    prepared = _with_lungs(case.prepared, case.lungs, config)
    pictures = {f"{role}.jpg": image for role, image in prepared.pictures.items()}
    names = {role: f"{role}.jpg" for role in prepared.pictures}
    if prepared.failure is not None:
        return replace(prepared.failure, quality=prepared.quality, pictures=names), pictures, {}, {}
    assert prepared.facts is not None
    assert prepared.model_input is not None
    assert case.prediction is not None
    placement, background = prepared.model_input.placement, prepared.pictures["radiograph"]
    found = _find_regions(case)
    names["regions"] = "regions.jpg"
    pictures["regions.jpg"] = report.outlines(background, found)
    seen = geometry.seen(placement, *background.shape)
    threshold = config.focus.high_focus_threshold
    masks = np.stack([region.mask for region in found])
    region_shares = cache(partial(geometry.region_shares, placement, masks=masks))
    metrics, region_metrics, scales = {}, {}, {}
    for number, class_map in enumerate(case.maps):
        facts = class_map.facts
        grid = facts.grid_rows, facts.grid_columns
        finite = class_map.values if facts.status != "not_finite" else np.zeros_like(class_map.values)
        measured = _measure(class_map, finite, placement, found, region_shares(*grid), threshold)
        metrics[facts.key], region_metrics[facts.key] = measured
        heatmap = geometry.restore(finite, placement, *background.shape)
        scale = run.scales.get(scale_key(facts)) or run.scale or 1.0
        if config.report.scale == "case" and facts.status == "ok":
            scale = scales[facts.key] = _round_up(float(finite.max()))
        edges = geometry.cell_edges(placement, *grid, *background.shape) if config.report.cells else None
        names[facts.key] = f"map-{number}.jpg"
        pictures[names[facts.key]] = report.overlay(background, heatmap, seen, scale, threshold, edges)
    record = CaseRecord(
        case_id=prepared.source.case_id,
        status="ok",
        label=prepared.source.label,
        file_sha256=prepared.source.file_sha256,
        radiograph=prepared.facts,
        placement=placement,
        preprocessing=prepared.preprocessing,
        quality=prepared.quality,
        prediction=case.prediction,
        maps=tuple(class_map.facts for class_map in case.maps),
        focus=metrics,
        regions=tuple(region.facts for region in found),
        lungs_missing=case.lungs.reason if case.lungs else None,
        annotation_missing=prepared.annotation_missing,
        region_focus=region_metrics,
        controls=_controls(case.controls, placement, found, region_shares),
        budget=_budget(case, placement, found),
        exposure=case.exposure,
        masking=case.masking,
        masking_missing=case.masking_missing,
        trust=case.trust,
        pictures=names,
        scales=scales,
    )
    record = verdict.flagged(record, config.acceptance)
    maps = {class_map.facts.key: class_map.values for class_map in case.maps}
    return record, pictures, maps, {region.facts.name: region.mask for region in found}


def _find_regions(case: Explained) -> tuple[Region, ...]:
    return regions.find_regions(case.prepared.pictures["radiograph"], case.lungs, case.prepared.regions)


def _with_lungs(case: Prepared, lungs: Lungs | None, config: AuditConfig) -> Prepared:
    """The case with the checks by its lungs, which are the last ones, all in order."""
    if case.facts is None:
        return case
    if lungs is None:
        checks = quality.lungs_not_looked_for()
    else:
        angle = lungs.angle_deg(case.facts.rows, case.facts.columns)
        checks = quality.check_lungs(config.quality, lungs.area_fraction, lungs.edge_fraction, angle, lungs.is_negative)
    return _judged(replace(case, quality=quality.in_order((*case.quality, *checks))), config)


def _measure(
    class_map: ClassActivationMap,
    finite: Floats,
    placement: Placement,
    found: tuple[Region, ...],
    region_shares: Floats,
    threshold: float,
) -> tuple[FocusMetrics, tuple[RegionFocus, ...]]:
    """Stage 6 of one map, on the grid of the regions."""
    values, status, size = class_map.values, class_map.facts.status, found[0].mask.shape
    heatmap, seen = geometry.restore(finite, placement, *size), geometry.seen(placement, *size)
    grid = class_map.facts.grid_rows, class_map.facts.grid_columns
    shares = geometry.cell_shares(placement, *grid, focus.BORDER)
    half_cell = geometry.half_cell(placement, *grid, *size)
    return (
        focus.measure(values, status, heatmap, seen, *shares, threshold),
        focus.measure_regions(values, status, heatmap, seen, shares[0], found, region_shares, half_cell, threshold),
    )


def _controls(
    maps: dict[str, Floats],
    placement: Placement,
    found: tuple[Region, ...],
    region_shares: Callable[[int, int], Floats],
) -> dict[str, dict[str, float]]:
    """What share of each control lies in each region."""
    rows, columns = next(iter(maps.values())).shape
    on_radiograph, *_ = geometry.cell_shares(placement, rows, columns, focus.BORDER)
    return focus.controls(maps, on_radiograph, found, region_shares(rows, columns))


def _budget(case: Explained, placement: Placement, found: tuple[Region, ...]) -> LogitBudget | None:
    """The target class's logit by region, from the first map that adds up, else the first in logits."""
    assert case.prediction is not None
    target = case.prediction.target_class
    maps = [m for m in case.maps if m.facts.class_name == target and not m.facts.against and m.facts.gap is not None]
    chosen = next((m for m in maps if m.facts.is_exact), maps[0] if maps else None)
    if chosen is None:
        return None
    grid, parts = (chosen.facts.grid_rows, chosen.facts.grid_columns), regions.partition(found)
    shares = dict(zip(parts, geometry.region_shares(placement, *grid, np.stack(list(parts.values()))), strict=True))
    on_radiograph, *_ = geometry.cell_shares(placement, *grid, focus.BORDER)
    if on_radiograph.min() < 1:
        shares["padding"] = 1 - on_radiograph
    return focus.budget(chosen.values, chosen.facts, shares)


def scale_key(facts: MapFacts) -> str:
    """Maps of one method at one layer share a colour scale."""
    return f"{facts.method}@{facts.layer}"


def _round_up(value: float) -> float:
    """To two significant digits."""
    digit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(f"{np.ceil(value / digit) * digit:.3g}")


def _stack(classifier: Classifier, batch: list[Prepared], batch_size: int) -> Floats:
    """Model inputs (batch_size, rows, columns, channels); places of failed or missing cases are 0."""
    tensor = np.zeros((batch_size, *classifier.input_shape), np.float32)
    for n, case in enumerate(batch):
        if case.model_input is not None:
            tensor[n] = case.model_input.tensor
    return tensor


def _batches(sources: list[CaseSource], size: int) -> list[list[CaseSource]]:
    return [sources[start : start + size] for start in range(0, len(sources), size)]


def _finished(folder: RunFolder, sources: list[CaseSource]) -> dict[str, CaseRecord]:
    """Records that stand. One that a power cut has damaged, or whose file a server did not give, is made again."""
    records = {}
    for source in sources:
        with contextlib.suppress(VerificationError):
            record = folder.read_case(source.case_id)
            if record is not None and record.error != NotRetrieved.__name__:
                records[source.case_id] = record
    return records


def _prepare_ahead(engine: Engine, config: AuditConfig, batches: list[list[CaseSource]]) -> Iterator[list[Prepared]]:
    """Prepared batches in order, two batches ahead of the classifier."""
    ahead: list[list[Future[Prepared]]] = []
    for batch in batches:
        ahead.append([engine.submit(prepare, source, config) for source in batch])
        if len(ahead) > 2:
            yield [future.result() for future in ahead.pop(0)]
    for futures in ahead:
        yield [future.result() for future in futures]


def _records(folder: RunFolder) -> list[CaseRecord]:
    """The finished cases in the order of the run, which `cases.csv` keeps."""
    import pandas as pd

    table = folder.path / "cases.csv"
    order = list(pd.read_csv(table, dtype=str)["case_id"]) if table.is_file() else []
    rank = {case_id: n for n, case_id in enumerate(order)}
    ordered = sorted(folder.case_ids(), key=lambda case_id: rank.get(case_id, len(rank)))
    return [record for case_id in ordered if (record := folder.read_case(case_id))]


def _without_paths(config: AuditConfig) -> dict[str, Any]:
    """The resolved config as records and reports carry it: a path may name a patient and stays in `private/`."""
    resolved = config.resolved()
    resolved["run"]["output"] = "see private/config.json"
    if config.ingest.source != REFERENCE:
        resolved["ingest"]["source"] = "see private/config.json"
    for section, key in (("ingest", "manifest"), ("privacy", "key_file")):
        if resolved[section][key] is not None:
            resolved[section][key] = "see private/config.json"
    resolved["classifier"]["path"] = Path(config.classifier.path).name
    return resolved


def _result(folder: RunFolder, records: list[CaseRecord], described: CohortRecord) -> RunResult:
    failed = tuple(record for record in records if record.status == "failed")
    return RunResult(folder.path, _count(records), failed, described)


def _count(records: Iterable[CaseRecord]) -> dict[str, int]:
    counts = {"ok": 0, "excluded": 0, "failed": 0}
    for record in records:
        counts[record.status] += 1
    return counts


def _npz(arrays: Mapping[str, npt.NDArray[Any]]) -> bytes:
    """`.npz` with fixed time stamps, so that the same arrays give the same bytes."""
    import zipfile

    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for key, array in arrays.items():
            entry = io.BytesIO()
            np.save(entry, array)
            archive.writestr(zipfile.ZipInfo(f"{key}.npy", (1980, 1, 1, 0, 0, 0)), entry.getvalue())
    return data.getvalue()


@lru_cache(maxsize=2)
def _renderer(template_dir: Path | None = None) -> Any:
    return report.Renderer(template_dir)


def _peak_mib() -> float:
    """Largest resident size of this process so far. On Linux not from getrusage, whose value a process inherits."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return round(int(line.split()[1]) / 1024, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10), 1)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

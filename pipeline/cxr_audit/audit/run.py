"""The composer: one config -> one run folder with an audit of every case.

    plan, resume   the cases of the config, and what stands of them
    calibrate      a sample of them -> colour scales, checks of the model
    prepare        one source -> model input, display pictures; in light processes
    auditor        a batch of these -> what the networks say; in auditor processes
    document       one case -> record, pictures, PDF; in light processes
    finish         all records -> tables, cohort, run report, index, seal

This process imports no TensorFlow, and holds one small summary a case.
"""

from __future__ import annotations

from dataclasses import replace

from cxr_audit.audit.auditor import Auditor, Calibration
from cxr_audit.audit.calibrate import SampleOnItsWay, calibrate
from cxr_audit.audit.clock import Costs, now
from cxr_audit.audit.document import warm_up
from cxr_audit.audit.engine import Engine, Progress
from cxr_audit.audit.finish import RecordsOnDisk, RunResult, describe_cohort, finish_run, result_of
from cxr_audit.audit.legs import all_costs, begin_leg, end_leg, ended_when_broken_off
from cxr_audit.audit.plan import Plan, label_notes, plan_run, with_class_names
from cxr_audit.audit.protocol import read_protocol, write_protocol_of_run
from cxr_audit.audit.resume import Opened, open_run
from cxr_audit.audit.work import Work
from cxr_audit.config import AuditConfig
from cxr_audit.evidence import EventLog
from cxr_audit.records import ProductionParity, RunRecord


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
    engine : where the work runs.
    resume : go on with a run folder that exists instead of refusing it.
    limit : audit so many cases only, spread over the list. A run that goes on with more keeps the
        scale and the model checks of these, and its documents say so.
    progress : called with a phase, the number of cases done, and the total.

    Raises
    ------
    ConfigError, ModelError, EngineError : what is wrong with one case is recorded, not raised.
    """
    protocol = read_protocol(config)
    costs = Costs()
    for _ in range(engine.num_workers):
        engine.light(warm_up, config.report.documents)
    networks = engine.auditor(Auditor.networks)
    plan, notes = _with_class_names(plan_run(config, limit), networks.result().model.labels)
    parity = _production_parity(plan, engine)
    is_new = not (config.run.output / config.run.name).exists()
    on_its_way = SampleOnItsWay(plan, engine) if is_new else None
    opened = open_run(plan, networks.result(), engine.facts, resume)
    progress("cases", len(opened.standing), len(plan.sources))
    if opened.is_complete:
        return replace(_standing_result(opened), notes=notes)
    costs.add("auditor", networks.result().cpu_s, networks.result().peak_mib)
    costs.waited("start")
    work = Work(plan, opened, engine, costs, progress)
    with ended_when_broken_off(opened.folder, costs, work.made):
        opened = replace(opened, run=replace(opened.run, production_parity=parity))
        events, run = _begin(opened, plan, engine)
        case_ids = [source.case_id for source in plan.sources]
        write_protocol_of_run(opened.folder, run, protocol, case_ids)
        if run.calibration.scale_source is None:
            work.read_ahead()
            on_its_way = on_its_way or SampleOnItsWay(plan, engine)
            run, found = calibrate(opened.folder, run, plan, engine, on_its_way, progress)
            _note_calibration(opened, run, found, events, costs)
        work.begin(run, events)
        work.do(work.missing())
        work.do(work.stale())
        run = end_leg(run, costs, len(work.made))
        run = replace(
            run,
            status="finished",
            finished=now(),
            cases=replace(run.cases, counts=work.counts()),
            costs=all_costs(run),
        )
        records = RecordsOnDisk(opened.folder, case_ids)
        return replace(finish_run(opened.folder, run, records, events), notes=notes)


def _with_class_names(plan: Plan, known: tuple[str, ...]) -> tuple[Plan, tuple[str, ...]]:
    """The plan with labels as the classes are written, and what was changed."""
    sources, changed = with_class_names(plan.sources, known)
    found, _ = with_class_names(plan.found, known)
    return replace(plan, sources=sources, found=found), label_notes(changed)


def _production_parity(plan: Plan, engine: Engine) -> ProductionParity | None:
    """The outputs of this pipeline beside those of the site's own; None without such a file."""
    if plan.config.classifier.reference_outputs is None:
        return None
    num_cases = len(plan.found)
    future = engine.auditor(Auditor.production_parity, plan.found, cases=num_cases)
    parity: ProductionParity | None = future.result()
    return parity


def _begin(opened: Opened, plan: Plan, engine: Engine) -> tuple[EventLog, RunRecord]:
    """The log of the run with its first lines, and its record with a new leg."""
    batch_size = plan.config.engine.batch_size
    run = begin_leg(opened.run, {**engine.facts, "batch_size": batch_size})
    opened.folder.write_run(run)
    events = EventLog.open(opened.folder)
    events.begin(opened.folder, run, opened.standing)
    if run.cases.num_found is not None:
        events.append("limited", num_cases=run.cases.num_cases, of=run.cases.num_found)
    return events, run


def _note_calibration(
    opened: Opened, run: RunRecord, found: Calibration, events: EventLog, costs: Costs
) -> None:
    """Write what a calibration found, which is made once a run."""
    opened.folder.write_run(run)
    events.append("calibrated", scales=run.calibration.scales, cases=run.calibration.num_cases)
    costs.add("auditor", found.cpu_s, found.peak_mib)
    costs.add_passes(found.passes)
    costs.waited("calibration")


def _standing_result(opened: Opened) -> RunResult:
    """The result of a run that has finished already; nothing is written."""
    records = RecordsOnDisk(opened.folder, opened.standing)
    described = describe_cohort(opened.folder, opened.run, records)
    return result_of(opened.folder, records, described)

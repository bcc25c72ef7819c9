"""Batches of sources -> finished cases: prepare, auditor and document, each ahead of the next."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace

from cxr_audit import quality
from cxr_audit.audit.auditor import Answer, Auditor, ExplainedBatch, Question
from cxr_audit.audit.calibrate import read_mean_input
from cxr_audit.audit.clock import Costs
from cxr_audit.audit.document import Explained, Written, document
from cxr_audit.audit.engine import Engine, Progress
from cxr_audit.audit.failures import Failure, FirstCases, outcome
from cxr_audit.audit.finish import RecordsOnDisk
from cxr_audit.audit.plan import Plan
from cxr_audit.audit.prepare import Batch, Prepared, mark_duplicates, prepare, stopped
from cxr_audit.audit.resume import Opened
from cxr_audit.errors import EngineError
from cxr_audit.evidence import EventLog
from cxr_audit.records import CaseSource, CaseStatus, RunRecord

AHEAD = 2  # batches that are prepared before the networks need them
Places = list[CaseSource | None]


class Work:
    """The cases of one run on their way.

    Parameters
    ----------
    costs : of the leg, which are added to.
    progress : called with a phase, the number of cases done, and the total.
    """

    def __init__(
        self, plan: Plan, opened: Opened, engine: Engine, costs: Costs, progress: Progress
    ) -> None:
        self.plan, self.engine, self.costs, self.progress = plan, engine, costs, progress
        self.folder, self._standing = opened.folder, opened.standing
        self.made: set[str] = set()
        self._status: dict[str, CaseStatus] = {}
        self._duplicates = quality.Duplicates([source.case_id for source in plan.sources])
        self._pending: deque[tuple[Explained, Future[Written]]] = deque()
        self._read: dict[str, Future[Prepared]] = {}
        self._first = {stage: FirstCases() for stage in ("prepare", "explain", "document")}

    def read_ahead(self) -> None:
        """Have the first cases read while the networks are busy with the sample."""
        standing = set(self._standing)
        missing = [s.case_id for s in self.plan.sources if s.case_id not in standing]
        for places in self.plan.batches(missing)[:AHEAD]:
            for source in places:
                if source is not None:
                    self._read[source.case_id] = self._prepare(source)

    def begin(self, run: RunRecord, events: EventLog) -> None:
        """What the cases need of the run, and what stands of them already."""
        self.run, self.events = run, events
        mean_input = read_mean_input(self.folder, run)
        checks = run.calibration.checks
        self._question = Question(
            checks,
            mean_input,
            self.plan.masked,
            self.plan.probed,
            self.plan.factored,
            run.calibration.factor_ranges,
        )
        for record in RecordsOnDisk(self.folder, self._standing):
            self._status[record.case_id] = record.status
            if record.radiograph is not None:
                self._duplicates.note(record.case_id, record.radiograph.source)

    def missing(self) -> list[str]:
        """The cases that have no record yet."""
        case_ids = (source.case_id for source in self.plan.sources)
        return [case_id for case_id in case_ids if case_id not in self._status]

    def stale(self) -> list[str]:
        """Cases that stood already, and whose duplicates were known only later.

        They are made again. That adds no duplicate, so that no further case becomes stale.
        """
        stale = []
        for record in RecordsOnDisk(self.folder, self._standing):
            if self._duplicates.are_other_than(record):
                stale.append(record.case_id)
                self.events.append("reopened", case_id=record.case_id, sha256=None)
        return stale

    def counts(self) -> dict[str, int]:
        """The cases by status."""
        counts = {"ok": 0, "excluded": 0, "failed": 0}
        for status in self._status.values():
            counts[status] += 1
        return counts

    def do(self, case_ids: Iterable[str]) -> None:
        """Audit some cases."""
        batches = self.plan.batches(case_ids)
        for batch in self._explained(self._prepared(batches)):
            self._write(batch)
            self._collect(AHEAD * self.plan.config.engine.batch_size)
        self._collect(0)

    # ---- prepare

    def _prepared(self, batches: list[Places]) -> Iterator[Batch]:
        """Prepared batches in order, with their duplicates marked."""
        ahead: deque[tuple[Places, list[Future[Prepared] | None]]] = deque()
        for places in batches:
            futures = [self._prepare(source) if source else None for source in places]
            ahead.append((places, futures))
            if len(ahead) > AHEAD:
                yield self._gathered(*ahead.popleft())
        while ahead:
            yield self._gathered(*ahead.popleft())

    def _prepare(self, source: CaseSource) -> Future[Prepared]:
        read = self._read.pop(source.case_id, None)
        return read or self.engine.light(prepare, source, self.plan.config, self.folder.path)

    def _gathered(self, places: Places, futures: list[Future[Prepared] | None]) -> Batch:
        batch: Batch = []
        for source, future in zip(places, futures, strict=True):
            if source is None or future is None:
                batch.append(None)
                continue
            case = outcome(future)
            self._first["prepare"].add(case if isinstance(case, Failure) else None)
            if isinstance(case, Failure):
                case = _failed(Prepared(source), case)
            batch.append(case)
            self.costs.add("largest worker", {"ingest and preprocess": case.cpu_s})
        self.costs.waited("waiting for radiographs")
        return mark_duplicates(batch, self._duplicates, self.plan.key, self.plan.config)

    # ---- auditor

    def _explained(self, batches: Iterable[Batch]) -> Iterator[ExplainedBatch]:
        """Explained batches in order; each auditor has its next batch waiting."""
        ahead: deque[tuple[Batch, Future[Answer]]] = deque()
        for batch in batches:
            ahead.append((batch, self._explain(batch)))
            if len(ahead) > self.engine.num_auditors:
                yield self._answered(*ahead.popleft())
        while ahead:
            yield self._answered(*ahead.popleft())

    def _explain(self, batch: Batch) -> Future[Answer]:
        num_cases = max(1, sum(case is not None for case in batch))
        return self.engine.auditor(Auditor.explain, batch, self._question, cases=num_cases)

    def _answered(self, batch: Batch, future: Future[Answer]) -> ExplainedBatch:
        """A batch with what the networks say; one that is lost is asked again, case by case."""
        answer = outcome(future)
        if isinstance(answer, Failure):
            explained = [self._alone(batch, n) for n in range(len(batch))]
        else:
            explained = self._taken(answer)
        self.costs.waited("waiting for the networks")
        return explained

    def _alone(self, batch: Batch, place: int) -> Explained | None:
        """What the networks say of one case, in its place of the batch."""
        case = batch[place]
        if case is None:
            return None
        alone: Batch = [None] * len(batch)
        alone[place] = case
        answer = outcome(self._explain(alone))
        if isinstance(answer, Failure):
            self._first["explain"].add(answer)
            return Explained(_failed(case, answer))
        return self._taken(answer)[place]

    def _taken(self, answer: Answer) -> ExplainedBatch:
        """The cases of an answer, whose costs are noted."""
        self.costs.add("auditor", answer.cpu_s, answer.peak_mib)
        self.costs.add_passes(answer.passes)
        self._first["explain"].add(None)
        return answer.batch

    # ---- document

    def _write(self, batch: ExplainedBatch) -> None:
        for case in batch:
            if case is not None:
                self._pending.append((case, self._document(case)))

    def _document(self, case: Explained) -> Future[Written]:
        return self.engine.light(document, case, self.run, self.folder.path, self.plan.config)

    def _collect(self, limit: int) -> None:
        """Enter finished cases, waiting until no more than `limit` are under way."""
        while self._pending and (len(self._pending) > limit or self._pending[0][1].done()):
            case, future = self._pending.popleft()
            written = outcome(future)
            self._first["document"].add(written if isinstance(written, Failure) else None)
            if isinstance(written, Failure):
                failed = Explained(_failed(case.prepared, written))
                written = self._document(failed).result()
            self._enter(written)
        self.costs.waited("waiting for documents")

    def _enter(self, written: Written) -> None:
        """A case is done: its record stands."""
        if not (self.folder.path / "run.json").is_file():
            raise EngineError(
                f"the run folder {self.folder.path} was moved or deleted during the run",
                "start the run again",
            )
        self.costs.add("largest worker", written.cpu_s, written.peak_mib)
        self.events.add_case(self.folder, written.case_id, written.status)
        self._status[written.case_id] = written.status
        self.made.add(written.case_id)
        self.progress("cases", len(self._status), len(self.plan.sources))


def _failed(case: Prepared, failure: Failure) -> Prepared:
    """The case, stopped by an exception or by the loss of a process."""
    record = stopped(case.source, "failed", failure.reason, failure.kind, failure.hint, case.facts)
    return replace(case, failure=record, model_input=None, quality=quality.in_order(case.quality))

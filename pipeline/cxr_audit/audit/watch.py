"""A DICOMweb server, asked again and again -> small runs over what is new, under one protocol.

Everything lies in one folder, `<run.output>/<run.name>/`: the runs, the key of their case ids, and
`private/` with the state. What was audited is known by its case ids; the UIDs of new radiographs
stand in a manifest below `private/` while their run is made. A run that is broken off is finished
first at the next start.
"""

from __future__ import annotations

import csv
import io
import json
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cxr_audit import evidence, ingest
from cxr_audit.audit.finish import RunResult
from cxr_audit.audit.plan import find_key
from cxr_audit.audit.rerun import RunAgain
from cxr_audit.config import AuditConfig
from cxr_audit.errors import ConfigError, VerificationError
from cxr_audit.evidence import CaseIdKey
from cxr_audit.ingest import web
from cxr_audit.records import CaseSource, ServerInstance

STATE = "watch.json"
INSTANCE = "SOPInstanceUID"
MOST_FAILURES = 10
"""Searches in a row that may fail before watching ends."""
DATE = "StudyDate"

Report = Callable[[str, RunResult | None], None]
"""Called with what happened, and with the result of a run that has finished."""


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """How long and how much.

    Parameters
    ----------
    interval_s : between two searches.
    max_cases : radiographs a run; further ones are left for the next.
    max_runs : ends after so many runs; None = none.
    once : ends after the first search, and the runs that it asks for.
    lookback_days : a search after the first asks for studies from so many days before the last
        one; 0 = for all that the filter matches.
    """

    interval_s: float = 300.0
    max_cases: int = 200
    max_runs: int | None = None
    once: bool = False
    lookback_days: int = 3


@dataclass(frozen=True, slots=True)
class _State:
    """What is kept between two starts.

    Parameters
    ----------
    protocol : SHA-256 of the config; all runs have the same.
    mark : day of the last search that was finished, UTC, ISO 8601; None before the first.
    num_runs : runs begun.
    current : ids of the cases of the run that is being made; empty where none is.
    seen : ids of the cases of finished runs.
    """

    protocol: str
    mark: str | None = None
    num_runs: int = 0
    current: tuple[str, ...] = ()
    seen: tuple[str, ...] = field(default=(), repr=False)


def watch(
    config: AuditConfig,
    run_again: RunAgain,
    limits: WatchLimits,
    stop: threading.Event,
    report: Report,
) -> int:
    """Search, audit what is new, wait, and again.

    Parameters
    ----------
    config : its source is a DICOMweb server; `run.name` is the folder of all runs.
    run_again : audits a config, see `cxr_audit.engines.run_audit`.
    limits : when to end.
    stop : ends the watch before its next search or run.
    report : called with what happened.

    Returns
    -------
    Number of runs made.

    Raises
    ------
    ConfigError : the config cannot be watched by, or is another than that of the runs before, or
        the server cannot be searched, `MOST_FAILURES` times in a row.
    """
    watched = _Watch(config, run_again, limits, stop, report)
    with evidence.locked(watched.folder):
        return watched.go()


class _Watch:
    def __init__(
        self,
        config: AuditConfig,
        run_again: RunAgain,
        limits: WatchLimits,
        stop: threading.Event,
        report: Report,
    ) -> None:
        _check(config)
        self.folder = config.run.output / config.run.name
        self.config = config.model_copy(
            update={"run": config.run.model_copy(update={"output": self.folder})}
        )
        self._run_again, self._limits = run_again, limits
        self._stop, self._report = stop, report
        self._num_runs = 0

    @property
    def _private(self) -> Path:
        return self.folder / "private"

    def go(self) -> int:
        self._private.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = find_key(self.config)
        key.keep()
        state = self._read()
        if state.current:
            self._report("a run that was broken off goes on", None)
            state = self._run(state, resume=True)
        failures = 0
        while not self._is_over():
            try:
                new = self._search(state, key)
            except ConfigError as error:
                failures += 1
                if self._limits.once or failures >= MOST_FAILURES:
                    raise
                self._report(f"search {failures} failed: {error}", None)
            else:
                failures = 0
                state = self._audit_all(state, new)
            if self._limits.once:
                break
            self._stop.wait(self._limits.interval_s)
        return self._num_runs

    def _is_over(self) -> bool:
        is_enough = self._limits.max_runs is not None and self._num_runs >= self._limits.max_runs
        return is_enough or self._stop.is_set()

    def _search(self, state: _State, key: CaseIdKey) -> list[CaseSource]:
        """What the server has that no run has seen."""
        seen = set(state.seen)
        found = ingest.discover(self._source(state), key=key.value, may_be_empty=True)
        new = []
        for source in found:
            is_instance = isinstance(source.location, ServerInstance) and source.location.uid
            if is_instance and source.case_id not in seen:
                new.append(source)
        return new

    def _source(self, state: _State) -> str:
        """The config's source, from some days before the mark on."""
        source = self.config.ingest.source
        is_dated = f"{DATE}=" in source or "00080020=" in source
        if state.mark is None or not self._limits.lookback_days or is_dated:
            return source
        first = datetime.fromisoformat(state.mark) - timedelta(days=self._limits.lookback_days)
        return f"{source}&{DATE}={first:%Y%m%d}-"

    def _audit_all(self, state: _State, new: list[CaseSource]) -> _State:
        """Runs of at most `max_cases`; the mark moves when all that was found is audited."""
        today = datetime.now(UTC).date().isoformat()
        self._report(f"{len(new)} new radiographs", None)
        while new and not self._is_over():
            batch, new = new[: self._limits.max_cases], new[self._limits.max_cases :]
            number = state.num_runs + 1
            evidence.write(self._manifest(number), _manifest_of(batch), 0o600)
            ids = tuple(source.case_id for source in batch)
            state = self._write(replace(state, num_runs=number, current=ids))
            state = self._run(state, resume=False)
        return state if new else self._write(replace(state, mark=today))

    def _run(self, state: _State, resume: bool) -> _State:
        number = state.num_runs
        ingest_section = self.config.ingest.model_copy(update={"manifest": self._manifest(number)})
        run_section = self.config.run.model_copy(
            update={"name": f"{self.config.run.name}-{number:04d}"}
        )
        config = self.config.model_copy(update={"ingest": ingest_section, "run": run_section})
        begun = (self.folder / run_section.name / "run.json").is_file()
        result = self._run_again(config, resume and begun, None)
        self._num_runs += 1
        self._report(f"run {run_section.name} has finished", result)
        return self._write(replace(state, current=(), seen=(*state.seen, *state.current)))

    def _manifest(self, number: int) -> Path:
        return self._private / f"new-{number:04d}.csv"

    def _read(self) -> _State:
        path = self._private / STATE
        protocol = self.config.sha256()
        if not path.is_file():
            return self._write(_State(protocol))
        try:
            values = json.loads(path.read_bytes())
            lists = {name: tuple(values[name]) for name in ("current", "seen")}
            state = _State(**{**values, **lists})
        except (ValueError, TypeError, KeyError) as error:
            raise VerificationError(
                f"{path} cannot be read", "move the file away; every radiograph is then new"
            ) from error
        if state.protocol != protocol:
            raise ConfigError(
                "the config is another than that of the runs before",
                "one watch is one protocol: set run.name to another name",
            )
        return state

    def _write(self, state: _State) -> _State:
        data = json.dumps(asdict(state), sort_keys=True).encode()
        evidence.write(self._private / STATE, data, 0o600)
        return state


def _check(config: AuditConfig) -> None:
    if not config.ingest.source.startswith(web.SCHEMES):
        raise ConfigError(
            "only a DICOMweb server can be watched", "set ingest.source to dicomweb+https://..."
        )
    if config.ingest.manifest is not None or config.ingest.labels != "none":
        raise ConfigError(
            "new radiographs have no labels and no manifest",
            "set ingest.labels: none and unset ingest.manifest",
        )


def _manifest_of(sources: list[CaseSource]) -> bytes:
    """The manifest of a run: the UIDs of its radiographs."""
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow([INSTANCE])
    for source in sources:
        if isinstance(source.location, ServerInstance):
            table.writerow([source.location.uid])
    return text.getvalue().encode()

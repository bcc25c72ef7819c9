"""The results of runs for programs: data frames, many runs side by side, deleting with a record."""

from __future__ import annotations

import getpass
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cxr_audit import evidence
from cxr_audit.errors import AuditError, ConfigError, VerificationError
from cxr_audit.evidence import RunFolder
from cxr_audit.records import CaseRecord, CohortRecord, RunRecord
from cxr_audit.report.notebook import html_of_run, verdict

if TYPE_CHECKING:
    import pandas as pd

DELETED = "deleted-runs.jsonl"
"""The record of deleted runs, in the folder of runs."""
TEXTS = ("case_id", "label", "predicted", "target_class")
"""Columns that are text even where each value looks like a number."""


class Run:
    """A run folder that is read, never written.

    Parameters
    ----------
    path : of the folder.

    Raises
    ------
    ConfigError : it holds no run.
    """

    def __init__(self, path: str | Path) -> None:
        self.folder = RunFolder.open(Path(path))

    def __repr__(self) -> str:
        return f"Run({str(self.folder.path)!r})"

    @property
    def path(self) -> Path:
        """Of the run folder."""
        return self.folder.path

    @cached_property
    def record(self) -> RunRecord:
        """What was asked, of which model, with what (`run.json`)."""
        return self.folder.read_run()

    @cached_property
    def cohort(self) -> CohortRecord | None:
        """Figures of the whole run (`cohort.json`); None before the run has finished."""
        return self.folder.read_cohort()

    @cached_property
    def cases(self) -> pd.DataFrame:
        """A row for each case with the columns of `cases.csv`, indexed by case id.

        Raises
        ------
        ConfigError : the run has not finished.
        """
        import pandas as pd

        table = self.path / "cases.csv"
        if not table.is_file():
            raise ConfigError(
                f"{self.path} has no cases.csv: the run has not finished",
                "go on with cxr-audit run CONFIG --resume",
            )
        frame = pd.read_csv(table, dtype=dict.fromkeys(TEXTS, str), keep_default_na=True)
        return frame.set_index("case_id")

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """A row for each metric of the run: value, ends of its 95 % interval, cases, patients."""
        import pandas as pd

        rows = {}
        for key, estimate in self._finished().metrics.items():
            low, high = estimate.interval_95 or (None, None)
            rows[key] = {
                "value": estimate.value,
                "low": low,
                "high": high,
                "num_cases": estimate.num_cases,
                "num_patients": estimate.num_patients,
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("metric")

    @cached_property
    def criteria(self) -> pd.DataFrame:
        """A row for each acceptance criterion: what is required, its state, what was found."""
        import pandas as pd

        rows = []
        for result in self._finished().acceptance:
            state = result.state or ("met" if result.is_met else "not_met")
            rows.append(
                {
                    "metric": result.metric,
                    "criterion": result.in_words,
                    "state": state,
                    "found": result.found.value,
                }
            )
        return pd.DataFrame(rows, columns=["metric", "criterion", "state", "found"])

    def records(self) -> Iterator[CaseRecord]:
        """The records of the cases, in order, read one by one."""
        for case_id in self.cases.index:
            record = self.folder.read_case(str(case_id))
            if record is None:
                raise VerificationError(
                    f"cases/{case_id}/case.json is missing", "restore the archived copy"
                )
            yield record

    def _finished(self) -> CohortRecord:
        if self.cohort is None:
            raise ConfigError(
                f"{self.path} has no cohort.json: the run has not finished",
                "go on with cxr-audit run CONFIG --resume",
            )
        return self.cohort

    def _repr_html_(self) -> str:
        if self.cohort is None:
            return f"<p>{self!r}: not finished</p>"
        return html_of_run(self.path, self.record.name, self.cohort, self.records())


def read_run(path: str | Path) -> Run:
    """The results of a run folder.

    Parameters
    ----------
    path : of the run folder, such as reports/demo.

    Raises
    ------
    ConfigError : it holds no run.
    """
    run = Run(path)
    _ = run.record
    return run


# ---- many runs


@dataclass(frozen=True, slots=True)
class RunLine:
    """One run in a list.

    Parameters
    ----------
    name : of its folder.
    status : running, finished, or why it cannot be read.
    started : UTC, ISO 8601.
    model : name of the model file.
    counts : cases by status.
    verdict : whether the criteria are met.
    metrics : by key, the estimate; None where it is undefined.
    mib : size of the folder.
    """

    name: str
    status: str
    started: str | None = None
    model: str | None = None
    counts: dict[str, int] | None = None
    verdict: str | None = None
    metrics: dict[str, float | None] | None = None
    mib: float = 0.0


def list_runs(folder: Path, name: str = "*", model: str = "*", status: str = "*") -> list[RunLine]:
    """The runs in a folder, the newest first.

    Parameters
    ----------
    folder : of runs.
    name, model, status : patterns such as test-*; only runs that fit them.

    Raises
    ------
    ConfigError : there is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder", "give the folder of runs, such as reports")
    lines = []
    for path in sorted(folder.iterdir()):
        if (path / "run.json").is_file():
            line = _line(path)
            fits = (
                fnmatchcase(line.name, name),
                fnmatchcase(line.model or "", model),
                fnmatchcase(line.status, status),
            )
            if all(fits):
                lines.append(line)
    return sorted(lines, key=lambda line: line.started or "", reverse=True)


def _line(path: Path) -> RunLine:
    try:
        run = read_run(path)
        record, cohort = run.record, run.cohort
    except (AuditError, ValueError) as error:
        return RunLine(path.name, f"cannot be read: {error}")
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    line = RunLine(
        path.name,
        record.status,
        record.started,
        record.model.name,
        mib=round(size / 2**20, 1),
    )
    if cohort is None:
        return line
    metrics = {key: estimate.value for key, estimate in cohort.metrics.items()}
    return replace(
        line,
        counts={str(key): count for key, count in cohort.cases.statuses.items()},
        verdict=verdict(cohort),
        metrics=metrics,
    )


def delete_run(folder: Path, name: str, reason: str) -> Path:
    """Delete a run, after a line on it was added to `deleted-runs.jsonl`.

    Parameters
    ----------
    folder : of runs.
    name : of the run's folder in it.
    reason : why; kept in the line.

    Returns
    -------
    The file with the lines of all deleted runs.

    Raises
    ------
    ConfigError : there is no such run, or it cannot be deleted.
    RunLocked : a command writes to it.
    """
    path = folder / name
    if Path(name).name != name or path.is_symlink() or not (path / "run.json").is_file():
        names = ", ".join(line.name for line in list_runs(folder)) or "none"
        raise ConfigError(f"{folder} holds no run {name!r}", f"runs there: {names}")
    line = {
        "deleted": datetime.now(UTC).isoformat(timespec="seconds"),
        "by": getpass.getuser(),
        "reason": reason,
        **_identity(path),
    }
    kept = folder / DELETED
    with evidence.locked(path):
        try:
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line, sort_keys=True) + "\n")
            shutil.rmtree(path)
        except OSError as error:
            raise ConfigError(
                f"cannot delete {path}: {error.strerror}", "see the permissions of the folder"
            ) from error
    return kept


def _identity(path: Path) -> dict[str, Any]:
    """What is kept of a run that is deleted."""
    sums = path / "SHA256SUMS"
    known: dict[str, Any] = {
        "name": path.name,
        "seal_sha256": hashlib.sha256(sums.read_bytes()).hexdigest() if sums.is_file() else None,
    }
    line = _line(path)
    known |= {
        "status": line.status,
        "started": line.started,
        "model": line.model,
        "counts": line.counts,
        "verdict": line.verdict,
    }
    return known

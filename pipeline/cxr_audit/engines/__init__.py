"""Where the work runs; never what the work is.

An engine does two kinds of work (`cxr_audit.audit.Engine`): `light` calls in many processes without
TensorFlow, and `auditor` calls in processes that hold the networks.
"""

from __future__ import annotations

from pathlib import Path

from cxr_audit import audit, evidence
from cxr_audit.config import AuditConfig
from cxr_audit.engines.local import LocalEngine

ENGINES = {"local": LocalEngine}


def run_audit(
    config: AuditConfig,
    resume: bool = False,
    limit: int | None = None,
    progress: audit.Progress = lambda phase, done, total: None,
) -> audit.RunResult:
    """Audit every case of a config on the engine that it names.

    Parameters
    ----------
    resume : go on with a run folder that exists.
    limit : audit so many cases only, spread over the list.
    progress : called with a phase, the number of cases done, and the total.

    Returns
    -------
    What the run left, see `cxr_audit.audit.audit`.
    """
    folder = config.run.output / config.run.name
    with evidence.locked(folder):
        audit.refuse_early(config, resume)
        with ENGINES[config.engine.name](config) as engine:
            return audit.audit(config, engine, resume, limit, progress)


def render_run(
    path: Path,
    template_dir: Path | None = None,
    workers: int | None = None,
    progress: audit.Progress = lambda phase, done, total: None,
    language: str | None = None,
) -> audit.RunResult:
    """Write the documents of a run again from its records.

    Parameters
    ----------
    path : the run folder.
    template_dir : own templates.
    workers : number of processes; None = the cores.
    progress : called with a phase, the number of cases done, and the total.
    language : of the case PDFs; None = that of the run's config.

    Returns
    -------
    What the run left, see `cxr_audit.audit.render`.
    """
    folder = evidence.RunFolder.open(path)
    with evidence.locked(folder.path), LocalEngine(workers=workers) as engine:
        return audit.render(path, engine, template_dir, progress, language)

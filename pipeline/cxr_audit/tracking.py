"""A finished run -> MLflow: what was asked, what was measured, and the files that say so.

Needs the extra `mlflow`. Nothing of a case is sent: no picture, no PDF of a case, no row of
`cases.csv`, no path.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cxr_audit.errors import ConfigError
from cxr_audit.results import Run, read_run

ARTEFACTS = ("summary.pdf", "cohort.json", "run.json", "sbom.cdx.json", "SHA256SUMS")
"""Files of the whole run; one that a run does not have is left out."""
LONGEST_VALUE = 500
"""Characters of a parameter; MLflow takes no more."""
LONGEST_REASON = 200


def log_to_mlflow(path: str | Path, tracking_uri: str, experiment: str = "cxr-audit") -> str:
    """Log a finished run: parameters, metrics with the ends of their intervals, and artefacts.

    Parameters
    ----------
    path : of the run folder.
    tracking_uri : of the server, or a folder (file:///...).
    experiment : the name of the experiment; it is made where it does not exist.

    Returns
    -------
    The id of the run in MLflow.

    Raises
    ------
    ConfigError : MLflow is not installed or cannot be reached, or the run has not finished.
    """
    try:
        import mlflow
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise ConfigError("MLflow is not installed", "pip install 'cxr-audit[mlflow]'") from error
    run = read_run(path)
    metrics = dict(run_metrics(run))  # refuses a run that has not finished
    files = [run.path / name for name in ARTEFACTS if (run.path / name).is_file()]
    try:
        client = mlflow.MlflowClient(tracking_uri=tracking_uri)
        known = client.get_experiment_by_name(experiment)
        number = client.create_experiment(experiment) if known is None else known.experiment_id
        logged = client.create_run(number, run_name=run.record.name, tags=run_tags(run))
        identity = str(logged.info.run_id)
        for name, value in run_parameters(run.record.config):
            client.log_param(identity, name, value)
        for name, figure in metrics.items():
            client.log_metric(identity, name, figure)
        for file in files:
            client.log_artifact(identity, str(file))
        client.set_terminated(identity)
    except (MlflowException, OSError) as error:
        raise ConfigError(
            f"MLflow at {tracking_uri} does not take the run: {str(error)[:LONGEST_REASON]}",
            "give the address of a tracking server; a folder (file:///path/to/mlruns) needs "
            "MLFLOW_ALLOW_FILE_STORE=true",
        ) from error
    return identity


def run_parameters(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The keys of a resolved config as section.key; paths are not in it."""
    for section, values in config.items():
        for key, value in values.items():
            yield f"{section}.{key}", str(value)[:LONGEST_VALUE]


def run_metrics(run: Run) -> Iterator[tuple[str, float]]:
    """Every metric that is defined, with the ends of its interval as name.low and name.high."""
    for name, row in run.metrics.iterrows():
        for column, suffix in (("value", ""), ("low", ".low"), ("high", ".high")):
            value = row[column]
            if value is not None and value == value:  # NaN: undefined
                yield f"{name}{suffix}", float(value)
    if run.cohort is not None:
        for status, count in run.cohort.cases.statuses.items():
            yield f"cases.{status}", float(count)
        criteria = run.cohort.acceptance
        yield "criteria.met", float(sum(result.is_met for result in criteria))
        yield "criteria.all", float(len(criteria))


def run_tags(run: Run) -> dict[str, str]:
    """What identifies the run: seal, model, code."""
    model, code = run.record.model, run.record.software.code
    return {
        "cxr_audit.model": model.name,
        "cxr_audit.model_sha256": model.sha256,
        "cxr_audit.code_sha256": "" if code is None else code.sha256,
        "cxr_audit.config_sha256": run.record.config_sha256,
    }

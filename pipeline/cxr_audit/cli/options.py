"""Arguments that several commands take, and functions that apply them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Literal

import typer

from cxr_audit.config import AuditConfig, load_config
from cxr_audit.errors import AcceptanceError, ConfigError
from cxr_audit.records import CohortRecord

ConfigFile = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="audit config (YAML); cxr-audit init writes one")
]
Templates = Annotated[
    Path | None,
    typer.Option(exists=True, file_okay=False, help="folder with your own templates or CSS"),
]
RunPath = Annotated[
    Path, typer.Argument(metavar="RUN", help="folder of a run, such as reports/demo")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="SECTION.KEY=VALUE",
        help="override a key of the config; an empty value unsets it",
    ),
]
Junit = Annotated[
    Path | None,
    typer.Option("--report-junit", help="write the criteria as JUnit XML, for CI"),
]
Markdown = Annotated[
    Path | None,
    typer.Option("--report-markdown", help="add a summary in Markdown, as to $GITHUB_STEP_SUMMARY"),
]


def load(
    config: Path,
    overrides: list[str] | None,
    output: Path | None = None,
    sections: Collection[str] | None = None,
) -> AuditConfig:
    """The config of a file, with the overrides of the command line.

    Parameters
    ----------
    config : the file.
    overrides : SECTION.KEY=VALUE each.
    output : takes the place of run.output.
    sections : those that the command reads; None: all.
    """
    loaded = load_config(config, overrides or [], sections)
    if output is None:
        return loaded
    return loaded.model_copy(
        update={"run": loaded.run.model_copy(update={"output": output.resolve()})}
    )


def accept(cohort: CohortRecord) -> None:
    """Raise `AcceptanceError` unless every acceptance criterion is met."""
    open_criteria = [result for result in cohort.acceptance if not result.is_met]
    if not open_criteria:
        return
    states = Counter((result.state or "not_met").replace("_", " ") for result in open_criteria)
    counts = ", ".join(f"{count} {state}" for state, count in states.items())
    names = "; ".join(result.in_words for result in open_criteria)
    raise AcceptanceError(
        f"of {len(cohort.acceptance)} acceptance criteria, {counts}: {names}",
        "cohort.json has what was measured; cxr-audit cohort RUN prints it",
    )


def write_for_integration(
    run: str, cohort: CohortRecord, junit: Path | None, markdown: Path | None
) -> None:
    """Write the criteria for continuous integration, where the command line asks for it.

    Parameters
    ----------
    run : its name.
    cohort : what it says of the classifier.
    junit, markdown : files; the second is added to, since CI gives one file to several commands.
    """
    from cxr_audit.report import integration

    if junit is not None:
        write_text(junit, integration.junit(run, cohort))
    if markdown is not None:
        write_text(markdown, integration.markdown(run, cohort), "a")


def write_text(path: Path, text: str, mode: Literal["w", "a"] = "w") -> None:
    """Write a file that the command line asks for. Raises `ConfigError`."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open(mode, encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(
            f"cannot write {path}: {error.strerror}", "give a file in a folder that you can write"
        ) from error

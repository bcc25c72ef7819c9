"""Arguments that several commands take, and functions that apply them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from cxr_audit.config import AuditConfig, load_config
from cxr_audit.errors import AcceptanceError
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


def load(config: Path, overrides: list[str] | None, output: Path | None = None) -> AuditConfig:
    """The config of a file, with the overrides of the command line.

    Parameters
    ----------
    config : the file.
    overrides : SECTION.KEY=VALUE each.
    output : takes the place of run.output.
    """
    loaded = load_config(config, overrides or [])
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

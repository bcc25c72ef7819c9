"""The command that compares with the pipeline in production."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from cxr_audit.cli.options import ConfigFile, Overrides, load
from cxr_audit.cli.screen import err, out, progress_bar
from cxr_audit.config import AuditConfig, Preprocess
from cxr_audit.errors import ModelError

if TYPE_CHECKING:
    from cxr_audit.audit.parity import Trial

SHOWN_TRIALS = 15
SECTIONS = ("run", "ingest", "privacy", "preprocess", "classifier", "explain", "engine")
"""Those that the comparison reads."""


def parity(
    config: ConfigFile,
    overrides: Overrides = None,
) -> None:
    """Find the preprocessing that reproduces the outputs of the pipeline in production."""
    from cxr_audit.audit import find_key, find_sources, open_classifier
    from cxr_audit.audit.parity import try_pipelines

    loaded = load(config, overrides, sections=SECTIONS)
    explainer, _ = open_classifier(loaded)
    with progress_bar() as progress:
        trials = try_pipelines(
            loaded,
            explainer,
            find_sources(loaded, find_key(loaded)),
            progress,
        )
    _print_trials(trials, loaded)
    best = trials[0].parity
    if not best.is_within:
        raise ModelError(
            f"no preprocessing reproduces the production outputs to {best.tolerance:g}; "
            f"the nearest is off by {best.largest_difference:.3f}",
            "see the steps of the pipeline in production: window, crop, contrast, value range",
        )


def _print_trials(trials: Sequence[Trial], config: AuditConfig) -> None:
    """A line a preprocessing, the best first, and what to write into the config."""
    table = Table("preprocess", "largest", "median", "flipped", box=None, pad_edge=False)
    for trial in trials[:SHOWN_TRIALS]:
        figures = trial.parity
        table.add_row(
            escape(_in_words(trial.settings, config.preprocess)),
            f"{figures.largest_difference:.4f}",
            f"{figures.median_difference:.4f}",
            f"{figures.num_flipped} of {figures.num_cases}",
        )
    out.print(table)
    if len(trials) > SHOWN_TRIALS:
        out.print(f"and {len(trials) - SHOWN_TRIALS} others, further off", highlight=False)
    best = trials[0]
    if best.parity.num_not_compared:
        rows = best.parity.num_not_compared
        err.print(f"{rows} rows of the file were not compared", highlight=False)
    if not best.settings:
        out.print("\nThe config as it is reproduces the outputs best.", highlight=False)
        return
    out.print("\nInto the config:\n\npreprocess:", highlight=False, markup=False)
    for key, value in best.settings.items():
        if value is not None or getattr(config.preprocess, key) is not None:
            written = "" if value is None else json.dumps(value).strip('"')
            out.print(f"  {key}: {written}", highlight=False, markup=False)
    if best.same_input:
        same = "; ".join(_in_words(settings, config.preprocess) for settings in best.same_input)
        out.print(f"\nThe same model inputs: {same}", highlight=False, markup=False)


def _in_words(settings: dict[str, Any], configured: Preprocess) -> str:
    """What a trial changes, on one line; no two trials that differ have the same one."""
    if not settings:
        return "as configured"
    parts = []
    for key, value in settings.items():
        if key == "preset":
            parts.append(value or "no preset")
        elif value is None:
            if getattr(configured, key) is not None:
                parts.append(f"without {key}")
        elif key == "antialias":
            parts.append("antialiased" if value else "not antialiased")
        elif key in ("interpolation", "resize", "scaling"):
            parts.append(str(value))
        else:
            parts.append(f"{key} {value}")
    return ", ".join(parts)

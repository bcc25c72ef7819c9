"""Commands that audit radiographs: run, explain."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Column, Table

from cxr_audit.cli.options import (
    ConfigFile,
    Junit,
    Markdown,
    Overrides,
    accept,
    load,
    write_for_integration,
)
from cxr_audit.cli.screen import err, out, progress_bar
from cxr_audit.config import REFERENCE, AuditConfig
from cxr_audit.errors import CaseError, ConfigError


def run(
    config: ConfigFile,
    resume: Annotated[
        bool, typer.Option("--resume", help="continue a run that was interrupted")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="audit N cases only, evenly spaced; --resume with more continues"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="folder for runs; overrides run.output"),
    ] = None,
    lean: Annotated[
        bool,
        typer.Option("--lean", help="no PDF of each case; cxr-audit render writes them later"),
    ] = False,
    junit: Junit = None,
    markdown: Markdown = None,
    overrides: Overrides = None,
) -> None:
    """Audit every radiograph of a config; writes PDFs, records and an index to a run folder.

    The run folder is <run.output>/<run.name>/. One command at a time writes to it.
    """
    audit_config = None
    try:
        from cxr_audit.cohort import in_words
        from cxr_audit.engines import run_audit

        others = [*(overrides or []), *(["report.documents=false"] if lean else [])]
        audit_config = load(config, others, output)
        with progress_bar() as progress:
            result = run_audit(audit_config, resume, limit, progress)
    except KeyboardInterrupt:
        err.print("interrupted" if audit_config is None else _after_interrupt(audit_config))
        raise typer.Exit(130) from None
    for note in result.notes:
        err.print(f"note: {note}", highlight=False, markup=False)
    counts = ", ".join(f"{count} {name}" for name, count in result.counts.items() if count)
    num = sum(result.counts.values())
    err.print(f"{num} case{'s' * (num != 1)}: {counts}", highlight=False)
    for record in result.failed[:10]:
        err.print(f"  failed {record.case_id}: {escape(str(record.reason or ''))}", highlight=False)
    if len(result.failed) > 10:
        err.print(f"  and {len(result.failed) - 10} more: see cases.csv", highlight=False)
    err.print(in_words(result.cohort), highlight=False, markup=False)
    out.print(str(result.folder / "index.html"), highlight=False)
    write_for_integration(audit_config.run.name, result.cohort, junit, markdown)
    accept(result.cohort)
    if result.failed:
        raise typer.Exit(CaseError.exit_code)


def _after_interrupt(config: AuditConfig) -> str:
    """What to do after Ctrl-C, by what stands."""
    if (config.run.output / config.run.name / "run.json").is_file():
        return "interrupted; to go on, give the same command with --resume"
    return "interrupted before the first case; to start again, give the same command"


def explain(
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="a radiograph: DICOM, PNG or JPEG")
    ],
    model: Annotated[
        str, typer.Option(help="a .keras or .h5 file, or the word reference")
    ] = REFERENCE,
    class_names: Annotated[
        str | None, typer.Option(help="names of the classes, separated by commas")
    ] = None,
    scaling: Annotated[
        str | None,
        typer.Option(help="value range of the model's input; default: read from the model"),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(help="method of the map; may be given again; numbers are of the first"),
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="target layer; cxr-audit inspect lists them")
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", help="folder in which a new folder explain-1, explain-2, ... is made"
        ),
    ] = Path("reports"),
    overrides: Overrides = None,
) -> None:
    """Explain one radiograph without a config: print the figures, write the PDF to a new folder."""
    from cxr_audit.config import config_of
    from cxr_audit.engines import run_audit
    from cxr_audit.evidence import RunFolder
    from cxr_audit.report.case_page import case_view

    if not image.is_file():
        raise ConfigError(
            f"{image} is not a file", "give one radiograph; cxr-audit run audits folders"
        )
    preprocess = _preprocess_keys(image, model, scaling, overrides or [])
    number = next(n for n in itertools.count(1) if not (output / f"explain-{n}").exists())
    settings: dict[str, dict[str, Any]] = {
        "run": {"name": f"explain-{number}", "output": str(output)},
        "ingest": {"source": str(image)},
        "preprocess": preprocess,
        "classifier": {"path": model, "class_names": class_names.split(",") if class_names else []},
        "explain": {"methods": method or [], "target_layer": layer or "auto"},
        "report": {"scale": "case"},
        "engine": {"workers": 1, "batch_size": 1},
    }
    result = run_audit(config_of(settings, overrides or []))
    err.print(
        f"value range: {preprocess.get('scaling', 'as --set says')}, "
        f"from: {preprocess.get('scaling_source', '--set')}",
        highlight=False,
    )
    folder = RunFolder(result.folder)
    (case_id,) = folder.case_ids()
    record = folder.read_case(case_id)
    assert record is not None
    if record.status != "ok":
        raise CaseError(record.reason or "the radiograph was not audited", record.hint)
    _print_case(case_view(record, folder.read_run(), {}))
    out.print(str(folder.case(case_id) / "report.pdf"), highlight=False)


def _preprocess_keys(
    image: Path, model: str, scaling: str | None, overrides: list[str]
) -> dict[str, Any]:
    """The keys of `preprocess` for `explain`: from the model, --scaling, --set, or what stands out
    of the value ranges tried on the radiograph.
    """
    keys = _input_of(model, _output_name(overrides))
    if scaling is not None:
        return keys | {"scaling": scaling, "scaling_source": "--scaling"}
    if keys["scaling"] is not None:
        return keys
    if any(override.startswith("preprocess.") for override in overrides):
        return {key: keys[key] for key in ("rows", "columns", "channels")}
    chosen, reason = _try_value_ranges(image, Path(model), keys, _output_name(overrides))
    if chosen is None:
        raise ConfigError(
            f"the value range of the model's input cannot be read: {keys['scaling_source']}; tried "
            f"on this radiograph, {reason}",
            "give --scaling unit, minus_one_one, imagenet, caffe, raw_255 or txv, as the program "
            "that trained the model does",
        )
    return keys | {"scaling": chosen, "scaling_source": reason}


def _try_value_ranges(
    image: Path, model: Path, keys: dict[str, Any], output_name: str | None
) -> tuple[str | None, str]:
    """The value range that stands out on one radiograph, and why; None where none does."""
    from cxr_audit.classifier import Classifier, load_keras, try_value_ranges
    from cxr_audit.config import Preprocess
    from cxr_audit.ingest import read
    from cxr_audit.preprocess import SCALINGS, preprocess
    from cxr_audit.records import CaseSource

    radiograph = read(CaseSource("explain", image, image.name, None))
    size = {key: keys[key] for key in ("rows", "columns", "channels")}
    inputs = {}
    for scaling in SCALINGS:
        if size["channels"] == 1 and scaling in ("imagenet", "caffe"):
            continue
        settings = Preprocess.model_validate({**size, "scaling": scaling})
        inputs[scaling] = preprocess(radiograph, settings)[0].tensor
    shape = (size["rows"], size["columns"], size["channels"])
    classifier = Classifier(load_keras(model), shape, output_name=output_name)
    tried = try_value_ranges(classifier, inputs)
    return tried.scaling, tried.reason


def _output_name(overrides: list[str]) -> str | None:
    """What --set says of the output to audit."""
    for text in overrides:
        key, _, value = text.partition("=")
        if key == "classifier.output_name":
            return value
    return None


def _input_of(model: str, output_name: str | None) -> dict[str, Any]:
    """The keys of `preprocess` that fit a model; `scaling` is None where it is not known."""
    if model == REFERENCE:
        return {
            "channels": 1,
            "scaling": "unit",
            "scaling_source": "the reference classifier's model card",
        }
    from cxr_audit.classifier import inspect_model

    facts = inspect_model(Path(model), output_name)
    return {
        **{key: facts[key] for key in ("rows", "columns", "channels")},
        "scaling": facts["scaling_guess"],
        "scaling_source": facts["scaling_reason"],
    }


def _print_case(view: dict[str, Any]) -> None:
    """Print the numbers of a case in the words of its PDF."""
    answer, first = view["clinician"]["output"], view["primary"]
    out.print(f"\nModel output: {answer.main} {answer.threshold}", highlight=False, markup=False)
    title = f"{first.method} for {first.class_name}, layer {first.layer}, {first.grid}"
    out.print(f"\n{title}", style="bold", markup=False)
    out.print("  ".join([f"{first.state}.", *first.notes]), highlight=False, markup=False)
    metrics = Table(box=None, pad_edge=False, show_header=False)
    for name, value in view["metrics"]:
        metrics.add_row(name, value)
    out.print(metrics, highlight=False)
    if len(view["maps"]) > 1:
        maps = Table("Map", "Grid", "State", *view["map_heads"], box=None)
        maps.pad_edge = False
        for row in view["maps"]:
            maps.add_row(row.key, row.grid, row.state, *row.columns)
        out.print()
        out.print(maps, highlight=False)
    if view["regions"]:
        _print_regions(view["regions"])


def _print_regions(regions: dict[str, Any]) -> None:
    names = ("Region (area)", "Evidence", "Ratio", "Log-odds")
    columns = [Column(name, justify="left" if name == names[0] else "right") for name in names]
    table = Table(*columns, title="Evidence by region", box=None, pad_edge=False)
    table.title_justify = "left"
    for row in regions["rows"]:
        name = f"{'  ' if row.is_part else ''}{row.name}"
        style = "bold" if row.is_total else ""
        table.add_row(name, row.evidence or "", row.ratio or "", row.log_odds or "", style=style)
    out.print()
    out.print(table, highlight=False)

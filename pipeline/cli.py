"""The commands: parse, call, print. Data on stdout, everything else on stderr. No logic."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from pipeline import __version__
from pipeline.config import REFERENCE, AuditConfig, json_schema, load_config, starter
from pipeline.errors import AuditError, CaseError, ConfigError, VerificationError
from pipeline.reference import WEIGHTS, classifier_card

EPILOG = (
    "Exit codes: 0 all audited, 1 unexpected, 2 config, 3 model, 4 finished with failed cases, 5 engine, "
    "6 acceptance criteria not met, 7 verification failed, 130 interrupted."
)
app = typer.Typer(
    help="Audit a chest X-ray classifier: where its evidence lies, case by case, as PDFs and as a folder of evidence.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
out = Console(soft_wrap=True)
err = Console(stderr=True, soft_wrap=True)

ConfigFile = Annotated[Path, typer.Argument(metavar="CONFIG", help="audit config (YAML); cxr-audit init writes one")]
RunPath = Annotated[Path, typer.Argument(metavar="RUN", help="folder of a run, such as reports/demo")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="SECTION.KEY=VALUE", help="override a key of the config; an empty value unsets it"),
]


def main() -> None:
    """Run a command; a named error becomes a message, a hint and its exit code."""
    try:
        app()
    except AuditError as error:
        err.print(f"[bold red]error:[/] {escape(str(error))}")
        if error.hint:
            err.print(f"[bold]hint:[/] {escape(error.hint)}")
        sys.exit(error.exit_code)


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[bool, typer.Option("--version", help="print the version", is_eager=True)] = False,
) -> None:
    if show:
        out.print(f"cxr-audit {__version__}", highlight=False)
        raise typer.Exit


@app.command()
def run(
    config: ConfigFile,
    resume: Annotated[bool, typer.Option("--resume", help="go on with a run that was broken off")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="audit the first N cases only")] = None,
    output: Annotated[Path | None, typer.Option(help="folder for runs; overrides run.output")] = None,
    overrides: Overrides = None,
) -> None:
    """Audit every radiograph of a config; leaves PDFs, records and an index in <run.output>/<run.name>/."""
    from pipeline.engines import run_audit

    audit_config = _load(config, overrides, output)
    try:
        with _progress() as progress:
            result = run_audit(audit_config, resume, limit, progress)
    except KeyboardInterrupt:
        err.print("interrupted; the same command with --resume goes on")
        raise typer.Exit(130) from None
    counts = ", ".join(f"{count} {name}" for name, count in result.counts.items() if count)
    err.print(f"{sum(result.counts.values())} cases: {counts}", highlight=False)
    for record in result.failed[:10]:
        err.print(f"  failed {record.case_id}: {escape(record.reason or '')}", highlight=False)
    if len(result.failed) > 10:
        err.print(f"  and {len(result.failed) - 10} more: see cases.csv", highlight=False)
    out.print(str(result.folder / "index.html"), highlight=False)
    if result.failed:
        raise typer.Exit(CaseError.exit_code)


@app.command()
def check(
    config: ConfigFile,
    names: Annotated[bool, typer.Option("--names", help="print the names of files; they may name patients")] = False,
    overrides: Overrides = None,
) -> None:
    """Everything that can be known without running: config, files, labels, model, layer, shapes, templates."""
    from pipeline.audit import check_labels, find_sources, open_classifier
    from pipeline.ingest import probe
    from pipeline.report import Renderer

    audit_config = _load(config, overrides)
    err.print("config: valid")
    sources = find_sources(audit_config)
    problems = []
    with _progress() as progress:
        for done, source in enumerate(sources, 1):
            try:
                probe(source)
            except CaseError as error:
                problems.append(f"{source.relative_path if names else f'{source.case_id}, file {done}'}: {error}")
            progress("headers", done, len(sources))
    err.print(f"radiographs: {len(sources)} found, {len(sources) - len(problems)} readable by header", highlight=False)
    for problem in problems:
        err.print(f"  {escape(problem)}", highlight=False)
    if problems and not names:
        err.print("  --names prints the names of these files", highlight=False)
    err.print("model: loading ...")
    explainer, model = open_classifier(audit_config)
    check_labels(sources, model.class_names)
    rows, columns = model.grid
    err.print(f"model: {escape(model.name)}, SHA-256 {model.sha256}", highlight=False)
    err.print(
        f"classes: {escape(', '.join(model.class_names))}; explained: {escape(explainer.classifier.target_class)}"
    )
    err.print(f"target layer: {model.target_layer}, {rows}x{columns} cells; head: {model.head}", highlight=False)
    Renderer()
    err.print("templates: complete")
    if problems:
        raise typer.Exit(CaseError.exit_code)


@app.command()
def verify(run_folder: RunPath) -> None:
    """Check every file of a run against its SHA256SUMS; names what was changed, is missing, or was added."""
    from pipeline import evidence

    problems = evidence.verify(evidence.RunFolder.open(run_folder))
    if problems:
        raise VerificationError(
            f"{len(problems)} difference{'s' if len(problems) > 1 else ''} to {run_folder}/SHA256SUMS\n"
            + "\n".join(problems),
            "this folder is not what the run has written; take it from where it was archived",
        )
    err.print(f"{run_folder}: unchanged")


@app.command()
def render(
    run_folder: RunPath,
    template: Annotated[
        Path | None, typer.Option(exists=True, file_okay=False, help="folder with your own templates or CSS")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="processes; default: the machine's cores")] = None,
) -> None:
    """Write the documents of a run again from its records, without the classifier."""
    from pipeline.engines import render_run

    with _progress() as progress:
        result = render_run(run_folder, template, workers, progress)
    out.print(str(result.folder / "index.html"), highlight=False)


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="the config to write")] = Path("audit.yaml"),
    model: Annotated[Path | None, typer.Option(help="fill the config in from this .keras or .h5 file")] = None,
) -> None:
    """Write a commented config; with --model, filled in from that model."""
    values: dict[str, dict[str, tuple[Any, str]]] = {
        "run": {"name": (path.stem, "")},
        "ingest": {"source": ("radiographs" if model else REFERENCE, "")},
        "preprocess": {"channels": (1, "as the reference classifier's input"), "scaling": ("unit", "")},
        "classifier": {"path": ("reference", "")},
    }
    if model is not None:
        from pipeline.classifier import inspect_model

        facts = inspect_model(model)
        values["preprocess"] = {key: (facts[key], "as the model's input") for key in ("rows", "columns", "channels")}
        values["preprocess"]["scaling"] = (
            facts["scaling_guess"],
            f"{facts['scaling_reason']}; check it against the program that trained the model",
        )
        values["classifier"] = {
            "path": (os.path.relpath(model, path.resolve().parent), ""),
            "sha256": (facts["sha256"], ""),
            "class_names": (
                facts["class_names"] or [f"class {n}" for n in range(max(2, facts["output_units"]))],
                "the names of the classes, in the order of the model's output",
            ),
        }
        if facts["resize"] is not None:
            values["preprocess"]["resize"] = (facts["resize"], "as its model card says")
        if facts["threshold"] is not None:
            values["classifier"]["threshold"] = (facts["threshold"], "")
            values["classifier"]["threshold_source"] = (facts["threshold_source"], "")
        values["explain"] = {"target_layer": (facts["target_layer"], "the last layer with a grid")}
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(starter(values))
    except FileExistsError:
        raise ConfigError(f"{path} exists already", "give another name: cxr-audit init OTHER.yaml") from None
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    err.print(f"wrote {path}; next: edit ingest.source, then cxr-audit check {path}", highlight=False)


@app.command()
def inspect(
    model: Annotated[Path, typer.Argument(help="a .keras or .h5 file, or the word reference")],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """What a model is: input, classes, layers with a grid, head, output activation, SHA-256."""
    from pipeline.classifier import inspect_model

    if str(model) == REFERENCE:
        model = WEIGHTS / classifier_card()["weights"]
    facts = inspect_model(model)
    if as_json:
        print(json.dumps(facts, indent=2))
        return
    unit = "unit" if facts["output_units"] == 1 else "units"
    exact = facts["logit_is_sum_of_cells"]
    for name, value in {
        "file": facts["file"],
        "SHA-256": facts["sha256"],
        "parameters": f"{facts['parameters']:,}",
        "input": facts["input"],
        "value range": f"{facts['scaling_guess']} ({facts['scaling_reason']})",
        "output": f"{facts['output_units']} {unit}, {facts['output_activation']}",
        "classes": ", ".join(facts["class_names"] or ["not in the file: classifier.class_names names them"]),
        "target layer": f"{facts['target_layer']} (auto: the last with a grid)",
        "head": facts["head"],
        "logit budget": "exact: the logit is a bias plus the sum of the cells"
        if exact
        else "not exact; the gap is recorded",
    }.items():
        out.print(f"{name:13} {value}", highlight=False, markup=False)
    # The last layer of each grid, and the last few: where one would want to look.
    last_of_grid = {layer["grid"]: layer for layer in facts["layers"] if layer["kind"] != "ZeroPadding2D"}
    chosen = [x for x in facts["layers"] if x in (*last_of_grid.values(), *facts["layers"][-4:])]
    out.print(f"\n{len(chosen)} of {len(facts['layers'])} layers with a grid; --json lists all", highlight=False)
    layers = Table("cells", "channels", "a cell sees", "budget", "kind", "layer", box=None, pad_edge=False)
    layers.columns[-1].overflow = "fold"
    for layer in chosen:
        budget = "exact" if layer["head"] == "affine" else "not exact"
        seen = layer["receptive_field"] or "not known"
        layers.add_row(layer["grid"], str(layer["channels"]), seen, budget, layer["kind"], escape(layer["name"]))
    out.print(layers)


@app.command()
def convert(
    old: Annotated[Path, typer.Argument(help="a model of Keras 2: .h5, .keras or a SavedModel folder")],
    new: Annotated[Path, typer.Argument(help="the .keras file to write")],
) -> None:
    """Write a model of Keras 2 as a .keras file, and check that it answers the same."""
    from pipeline.classifier import convert as convert_model

    convert_model(old, new)
    err.print(f"wrote {new}; next: cxr-audit inspect {new}", highlight=False)


@app.command("import-torchxrayvision")
def import_weights(
    weights: Annotated[str, typer.Argument(metavar="WEIGHTS", help="a .pt file of its DenseNet121, or its address")],
    new: Annotated[Path, typer.Argument(metavar="OUT", help="the .keras file to write; its card lands beside it")],
    name: Annotated[str | None, typer.Option(help="published name, such as densenet121-res224-all")] = None,
    sha256: Annotated[str | None, typer.Option(help="SHA-256 of the .pt file; an address needs one")] = None,
    finding: Annotated[str | None, typer.Option(help="keep this finding alone, with its operating threshold")] = None,
) -> None:
    """Turn TorchXRayVision's DenseNet121 weights into a Keras model with a model card."""
    from pipeline.classifier import import_torchxrayvision

    card = import_torchxrayvision(weights, new, name, sha256, finding)
    err.print(
        f"{card['name']}: {len(card['class_names'])} classes; from SHA-256 {card['source_sha256']}", highlight=False
    )
    err.print(f"wrote {new} and {new.with_suffix('.json')}; next: cxr-audit init --model {new}", highlight=False)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a config, for editors: cxr-audit schema > audit.schema.json."""
    print(json.dumps(json_schema(), indent=2))


def _load(config: Path, overrides: list[str] | None, output: Path | None = None) -> AuditConfig:
    loaded = load_config(config, overrides or [])
    if output is None:
        return loaded
    return loaded.model_copy(update={"run": loaded.run.model_copy(update={"output": output.resolve()})})


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """A bar with cases a second and time left on a terminal, a plain line for each tenth otherwise."""
    if not err.is_terminal:
        yield _plain_progress()
        return
    columns: tuple[Any, ...] = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("starting", total=None, rate="")
        start = time.monotonic()
        first: list[int] = []

        def report(phase: str, done: int, total: int) -> None:
            first.append(done) if not first else None
            rate = (done - first[0]) / max(time.monotonic() - start, 1e-9)
            bar.update(task, description=phase, completed=done, total=total, rate=f"{rate:.1f}/s")

        yield report


def _plain_progress() -> Callable[[str, int, int], None]:
    start, said = time.monotonic(), [-1]

    def report(phase: str, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if tenth > said[0]:
            said[0] = tenth
            err.print(f"{phase}: {done} of {total}, {time.monotonic() - start:.0f} s", highlight=False)

    return report


if __name__ == "__main__":
    main()

"""The commands: parse, call, print. Data on stdout, everything else on stderr. No logic."""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import extract_tb
from types import TracebackType
from typing import Annotated, Any, cast, get_args

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column, Table

from cxr_audit import __version__
from cxr_audit.config import REFERENCE, AuditConfig, json_schema, load_config, starter
from cxr_audit.errors import AcceptanceError, AuditError, CaseError, ConfigError, VerificationError
from cxr_audit.records import (
    MASKING_NUMBERS,
    CaseSource,
    CohortRecord,
    Fill,
    ServerInstance,
    VoiTransform,
    to_json,
)
from cxr_audit.reference import WEIGHTS, card_of

EPILOG = (
    "Exit codes: 0 all audited, 1 unexpected, 2 config, 3 model, 4 finished with failed cases, 5 engine, "
    "6 acceptance criteria not met, 7 verification failed, 130 interrupted."
)
MESSAGES = "CXR_AUDIT_TRACEBACK_MESSAGES"
FRAME = re.compile(r'^  File "[^"\n]+\.py", line \d+, in \S+$', re.MULTILINE)
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


def main() -> None:
    """Run a command; a named error becomes a message, a hint and its exit code, any other a traceback without words."""
    try:
        app()
    except AuditError as error:
        err.print(f"[bold red]error:[/] {escape(str(error))}")
        if error.hint:
            err.print(f"[bold]hint:[/] {escape(_after_colon(str(error.hint)))}")
        sys.exit(error.exit_code)
    finally:
        sys.excepthook = _unexpected  # Typer has set its own


def _after_colon(hint: str) -> str:
    """Small first letter, no full stop: those of ingest are sentences, since a case's PDF has them too."""
    first = hint.partition(" ")[0]
    return (hint[:1].lower() + hint[1:] if first.istitle() else hint).removesuffix(".")


def _unexpected(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """A traceback without messages and source lines: a library's message may quote a file name or an attribute."""
    if os.environ.get(MESSAGES):
        sys.__excepthook__(kind, error, trace)
        return
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    for link in reversed(chain):
        # A worker's own traceback comes as the text of a cause.
        frames = FRAME.findall(str(link)) if type(link).__name__ == "_RemoteTraceback" else []
        frames += [
            f'  File "{f.filename}", line {f.lineno}, in {f.name}'
            for f in extract_tb(link.__traceback__)
        ]
        print(
            *frames, f"{type(link).__module__}.{type(link).__qualname__}", sep="\n", file=sys.stderr
        )
    err.print("[bold red]error:[/] unexpected; please report the lines above", highlight=False)
    err.print(
        f"[bold]hint:[/] {MESSAGES}=1 prints the messages as well; they may name patients",
        highlight=False,
    )


@app.callback(invoke_without_command=True)
def version(
    show: Annotated[
        bool, typer.Option("--version", help="print the version", is_eager=True)
    ] = False,
) -> None:
    if show:
        out.print(f"cxr-audit {__version__}", highlight=False)
        raise typer.Exit


@app.command()
def run(
    config: ConfigFile,
    resume: Annotated[
        bool, typer.Option("--resume", help="go on with a run that was broken off")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1, help="audit N cases only, spread over the list; --resume with more goes on"
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="folder for runs; overrides run.output")
    ] = None,
    overrides: Overrides = None,
) -> None:
    """Audit every radiograph of a config; leaves PDFs, records and an index in <run.output>/<run.name>/."""
    from cxr_audit.cohort import in_words
    from cxr_audit.engines import run_audit

    audit_config = _load(config, overrides, output)
    try:
        with _progress() as progress:
            result = run_audit(audit_config, resume, limit, progress)
    except KeyboardInterrupt:
        err.print("interrupted; the same command with --resume goes on")
        raise typer.Exit(130) from None
    counts = ", ".join(f"{count} {name}" for name, count in result.counts.items() if count)
    num = sum(result.counts.values())
    err.print(f"{num} case{'s' * (num != 1)}: {counts}", highlight=False)
    for record in result.failed[:10]:
        err.print(f"  failed {record.case_id}: {escape(str(record.reason or ''))}", highlight=False)
    if len(result.failed) > 10:
        err.print(f"  and {len(result.failed) - 10} more: see cases.csv", highlight=False)
    err.print(in_words(result.cohort), highlight=False, markup=False)
    out.print(str(result.folder / "index.html"), highlight=False)
    _accept(result.cohort)
    if result.failed:
        raise typer.Exit(CaseError.exit_code)


@app.command()
def explain(
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="a radiograph: DICOM, PNG or JPEG")
    ],
    model: Annotated[
        str, typer.Option(help="a .keras or .h5 file, or the word reference")
    ] = REFERENCE,
    class_names: Annotated[
        str | None, typer.Option(help="names of the classes, with commas between")
    ] = None,
    scaling: Annotated[
        str | None, typer.Option(help="value range of the model's input; default: a guess")
    ] = None,
    method: Annotated[
        list[str] | None, typer.Option(help="may be given again; the first gives the numbers")
    ] = None,
    layer: Annotated[
        str | None, typer.Option(help="target layer; cxr-audit inspect lists them")
    ] = None,
    output: Annotated[
        Path, typer.Option(help="a new folder explain-1, explain-2, ... is made in it")
    ] = Path("reports"),
    overrides: Overrides = None,
) -> None:
    """Explain one radiograph without a config: the figures here, the PDF in a folder of its own."""
    from cxr_audit.config import config_of
    from cxr_audit.engines import run_audit
    from cxr_audit.evidence import RunFolder
    from cxr_audit.report.view import case_view

    if not image.is_file():
        raise ConfigError(
            f"{image} is no file", "give one radiograph; cxr-audit run audits folders"
        )
    preprocess = _input_of(model)
    if scaling is not None:
        preprocess |= {"scaling": scaling, "scaling_source": "--scaling"}
    number = next(n for n in itertools.count(1) if not (output / f"explain-{n}").exists())
    asked: dict[str, dict[str, Any]] = {
        "run": {"name": f"explain-{number}", "output": str(output)},
        "ingest": {"source": str(image)},
        "preprocess": preprocess,
        "classifier": {"path": model, "class_names": class_names.split(",") if class_names else []},
        "explain": {"methods": method or [], "target_layer": layer or "auto"},
        "report": {"scale": "case"},
        "engine": {"workers": 1, "batch_size": 1},
    }
    result = run_audit(config_of(asked, overrides or []))
    err.print(
        f"value range: {preprocess['scaling']}, from: {preprocess['scaling_source']}",
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


@app.command()
def check(
    config: ConfigFile,
    names: Annotated[
        bool, typer.Option("--names", help="print the names of files; they may name patients")
    ] = False,
    overrides: Overrides = None,
) -> None:
    """Everything that can be known without running: config, files, labels, model, layer, shapes, templates.

    It writes the radiographs that ship, where they are the source, to <run.output>/reference-radiographs; nothing else.
    """
    from cxr_audit.audit import (
        check_labels,
        find_key,
        find_sources,
        open_checks,
        open_classifier,
        reading,
        sample,
    )
    from cxr_audit.ingest import probe
    from cxr_audit.preprocess import SHIFTS
    from cxr_audit.report import Renderer

    audit_config = _load(config, overrides)
    err.print("config: valid")
    sources = find_sources(audit_config, find_key(audit_config))
    # A server has to send a whole file before its header can be read: one of them shows that it does.
    probed = sources[:1] if isinstance(sources[0].location, ServerInstance) else sources
    problems = []
    with _progress() as progress:
        for done, source in enumerate(probed, 1):
            try:
                probe(source, **reading(audit_config))
            except CaseError as error:
                problems.append(f"{source.relative_path if names else f'file {done}'}: {error}")
            progress("headers", done, len(probed))
    asked = f", {len(probed)} retrieved" if len(probed) < len(sources) else ""
    readable = f"{len(probed) - len(problems)} readable by header"
    err.print(f"radiographs: {len(sources)} found{asked}, {readable}", highlight=False)
    for problem in problems:
        err.print(f"  {escape(problem)}", highlight=False)
    if problems and not names:
        err.print("  --names prints the names of these files", highlight=False)
    err.print("model: loading ...")
    explainer, model = open_classifier(audit_config)
    check_labels(sources, model.labels, names)
    rows, columns = model.grid
    err.print(f"model: {escape(model.name)}, SHA-256 {model.sha256}", highlight=False)
    err.print(
        f"classes: {escape(', '.join(model.class_names))}; explained: {escape(explainer.classifier.target_class)}"
    )
    err.print(
        f"target layer: {model.target_layer}, {rows}x{columns} cells; head: {model.head}",
        highlight=False,
    )
    for method, num in explainer.passes.items():
        total = f"{num * len(sources):,} for {len(sources)} radiographs"
        err.print(
            f"cost of {method}: {num} further model inputs a radiograph, {total}", highlight=False
        )
    checks = open_checks(audit_config, explainer)
    seconds = checks.seconds_an_input()
    cost = checks.num_inputs(len(sources))
    # Of a case with one marker: darker, brighter, marker and border as usual; each part by each fill.
    cost["exposure, markers and border"] = len((*SHIFTS, "marker", "border")) * len(sources)
    masked = len(MASKING_NUMBERS) * len(get_args(Fill))
    cost["causal masking"] = masked * len(sample(sources, audit_config.masking.cases))
    for what, num in cost.items():
        err.print(
            f"cost of {what}: {num:,} model inputs, about {num * seconds:,.0f} s", highlight=False
        )
    err.print(
        f"  at {1000 * seconds:.1f} ms an input, timed now; a gradient costs more", highlight=False
    )
    Renderer()
    err.print("templates: complete")
    if problems:
        raise typer.Exit(CaseError.exit_code)


@app.command()
def verify(
    run_folder: RunPath,
    trust: Annotated[
        Path | None, typer.Option(help="certificates (PEM) that a signer's has to come from")
    ] = None,
) -> None:
    """Check every file of a run against its SHA256SUMS, its events and signatures; names what is not as it was."""
    from cxr_audit import evidence

    folder = evidence.RunFolder.open(run_folder)
    problems = evidence.verify(folder)
    if folder.is_signed or trust is not None:
        from cxr_audit.evidence.signing import check_signatures

        signatures = check_signatures(folder, trust)
        problems += [
            one.problem
            for one in signatures
            if one.problem is not None and one.problem not in problems
        ]
        if (
            trust is not None
            and not folder.is_signed
            and not any(one.name == evidence.SIGNATURE for one in problems)
        ):
            problems.append(
                evidence.Problem("missing", evidence.SIGNATURE, "this run is not signed")
            )
        for one in signatures:
            err.print(one.words, highlight=False, markup=False)
    if problems:
        raise VerificationError(
            f"{len(problems)} difference{'s' if len(problems) > 1 else ''} to {run_folder}/SHA256SUMS\n"
            + "\n".join(map(str, problems)),
            evidence.remedy(problems),
        )
    err.print(
        f"{run_folder}: unchanged; {evidence.in_words(folder)}", highlight=False, markup=False
    )


@app.command()
def sign(
    run_folder: RunPath,
    name: Annotated[str, typer.Option(help="who signs")],
    meaning: Annotated[str, typer.Option(help="what for, such as reviewed or approved")],
    key: Annotated[Path | None, typer.Option(help="private key, PEM or DER")] = None,
    cert: Annotated[Path | None, typer.Option(help="its certificate, PEM or DER")] = None,
    chain: Annotated[
        list[Path] | None, typer.Option(help="a certificate above it; may be given again")
    ] = None,
    pkcs12: Annotated[
        Path | None, typer.Option(help="key and certificate in one file (.p12, .pfx)")
    ] = None,
    pkcs11: Annotated[
        Path | None, typer.Option(help="library of a token that keeps the key (PKCS#11)")
    ] = None,
    token: Annotated[str, typer.Option(help="label of the token")] = "",
    label: Annotated[str, typer.Option(help="label of key and certificate in the token")] = "",
    timestamp_url: Annotated[
        str | None, typer.Option(help="a time-stamp server (RFC 3161)")
    ] = None,
    document: Annotated[
        list[str] | None,
        typer.Option(
            help="a PDF by its path in the run folder; default: summary.pdf if it is there"
        ),
    ] = None,
) -> None:
    """Sign the SHA256SUMS of a run (CMS) and its PDFs (PAdES). CXR_AUDIT_PASSPHRASE has the passphrase or the PIN."""
    from cxr_audit.evidence import RunFolder, signing

    secret = os.environ.get("CXR_AUDIT_PASSPHRASE")
    match (key and cert, pkcs12, pkcs11):
        case (Path(), None, None):
            signer = signing.signer_of_files(cast(Path, key), cast(Path, cert), chain or (), secret)
        case (None, Path(), None):
            signer = signing.signer_of_pkcs12(pkcs12, secret)
        case (None, None, Path()):
            signer = signing.signer_of_pkcs11(pkcs11, token, label, secret)
        case _:
            raise ConfigError(
                "expected one key",
                "give --key and --cert, or --pkcs12, or --pkcs11 with --token and --label",
            )
    folder = RunFolder.open(run_folder)
    documents = document or (["summary.pdf"] if (folder.path / "summary.pdf").is_file() else [])
    clock = signing.timestamper_at(timestamp_url) if timestamp_url else None
    signing.sign(folder, signer, name, meaning, documents, clock)
    for file in (*documents, "SHA256SUMS"):
        err.print(f"signed {file}", highlight=False)
    out.print(str(folder.path / "SHA256SUMS.p7s"), highlight=False)


@app.command()
def render(
    run_folder: RunPath,
    template: Templates = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="processes; default: the machine's cores")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="of the PDFs of cases, such as de; default: the run's")
    ] = None,
) -> None:
    """Write the documents of a run again from its records, without the classifier."""
    from cxr_audit.engines import render_run

    with _progress() as progress:
        result = render_run(run_folder, template, workers, progress, language and language.lower())
    out.print(str(result.folder / "index.html"), highlight=False)


@app.command()
def cohort(
    run_folder: RunPath,
    config: Annotated[
        Path | None,
        typer.Option(
            help="take the sections cohort and acceptance of this config, not the run's own"
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print the record as JSON")] = False,
    overrides: Overrides = None,
) -> None:
    """Performance with intervals, subgroups, errors and acceptance, from the records of a run; writes nothing."""
    from cxr_audit.audit import cohort_of
    from cxr_audit.cohort import in_words

    if overrides and config is None:
        raise ConfigError(
            "--set overrides keys of a config, but no --config is given", "add --config CONFIG"
        )
    found = cohort_of(run_folder, _load(config, overrides) if config else None)
    print(to_json(found).decode().rstrip() if as_json else in_words(found))
    _accept(found)


@app.command()
def compare(
    run_a: Annotated[Path, typer.Argument(metavar="RUN_A", help="folder of a run: before")],
    run_b: Annotated[
        Path,
        typer.Argument(metavar="RUN_B", help="folder of a run over the same radiographs: after"),
    ],
    output: Annotated[
        Path | None, typer.Option(help="folder to write to; default: beside RUN_B")
    ] = None,
    template: Templates = None,
) -> None:
    """What changed from one run to another: classes, scores, focus, flags, with intervals; as HTML, PDF and JSON."""
    from cxr_audit.compare import compare_runs

    found, folder = compare_runs(run_a, run_b, output, template)
    moved = sum(case.is_another_class for case in found.changed)
    err.print(f"{found.num_matched} cases in both runs, {moved} changed class", highlight=False)
    out.print(str(folder / "compare.html"), highlight=False)


@app.command()
def init(
    path: Annotated[Path, typer.Argument(help="the config to write")] = Path("audit.yaml"),
    model: Annotated[
        Path | None,
        typer.Option(help="fill the config in from this .keras or .h5 file, or the word reference"),
    ] = None,
) -> None:
    """Write a commented config; with --model, filled in from that model."""
    values: dict[str, dict[str, tuple[Any, str]]] = {
        "run": {
            "name": (re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")[:64] or "audit", "")
        },
        "ingest": {"source": ("radiographs" if model else REFERENCE, "")},
        "preprocess": {
            "channels": (1, "as the reference classifier's input"),
            "scaling": ("unit", ""),
        },
        "classifier": {"path": ("reference", "")},
    }
    if model is not None and str(model) != REFERENCE:
        from cxr_audit.classifier import inspect_model

        facts = inspect_model(model)
        values["preprocess"] = {
            key: (facts[key], "as the model's input") for key in ("rows", "columns", "channels")
        }
        values["preprocess"]["scaling"] = (
            facts["scaling_guess"],
            f"{facts['scaling_reason']}; check it against the program that trained the model",
        )
        values["preprocess"]["scaling_source"] = (
            f"a guess: {facts['scaling_reason']}",
            "printed in every report; once it is checked, say against what",
        )
        values["classifier"] = {
            "path": (os.path.relpath(model, path.resolve().parent), ""),
            "sha256": (facts["sha256"], ""),
            "class_names": (
                facts["class_names"]
                or [f"class {n}" for n in range(max(2, facts["output_units"]))],
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
        raise ConfigError(
            f"{path} exists already", "give another name: cxr-audit init OTHER.yaml"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    err.print(
        f"wrote {path}; next: edit ingest.source, then cxr-audit check {path}", highlight=False
    )


@app.command()
def view(
    file: Annotated[Path, typer.Argument(help="a DICOM, PNG, JPEG or TIFF file")],
    output: Annotated[
        Path | None, typer.Option(help="write the radiograph there as a PNG of full size")
    ] = None,
    bits: Annotated[int, typer.Option(help="8 or 16 bits a pixel of the PNG")] = 8,
    voi_transform: Annotated[
        str, typer.Option(help="as ingest.voi_transform in a config")
    ] = "if_present",
    window: Annotated[str, typer.Option(help="number or explanation, as ingest.window")] = "1",
    frame: Annotated[int | None, typer.Option(min=1, help="as ingest.frame")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """One file as the audit sees it, with every decision: for when two viewers disagree."""
    from cxr_audit.ingest import Display, read
    from cxr_audit.report import encode_png

    if bits not in (8, 16):
        raise ConfigError(f"--bits {bits}: expected 8 or 16")
    if voi_transform not in get_args(VoiTransform):
        raise ConfigError(
            f"--voi-transform {voi_transform}: expected one of {', '.join(get_args(VoiTransform))}"
        )
    display = Display(
        cast(VoiTransform, voi_transform), int(window) if window.isdigit() else window, frame
    )
    radiograph = read(CaseSource("view", file, file.name, None), display=display)
    if output is not None:
        output.write_bytes(encode_png(radiograph.pixels, bits))
    if as_json:
        print(to_json(radiograph.facts).decode(), end="")
        return
    facts, pixels = radiograph.facts, radiograph.pixels
    source = facts.source
    black, white = float((pixels == 0).mean()), float((pixels == 1).mean())
    lines = [
        (
            "size",
            f"{facts.rows} rows x {facts.columns} columns, {source.format}",
            f"SHA-256 {source.file_sha256}",
        ),
        (
            "pixels",
            f"{source.transfer_syntax or 'as the file holds them'}, decoded by {source.decoder}",
            f"SHA-256 of the stored values {source.pixel_sha256}",
        ),
        *((decision.what, decision.how, decision.why) for decision in facts.decisions),
        (
            "shown",
            f"{pixels.min():.4f} to {pixels.max():.4f}, mean {pixels.mean():.4f} (0 = black, 1 = white)",
            f"{black:.1%} of the pixels are black, {white:.1%} white",
        ),
    ]
    for what, how, why in lines:
        out.print(
            f"{what!s:20} {escape(str(how))}\n{'':20} [dim]{escape(str(why))}[/]",
            highlight=False,
            emoji=False,
        )
    for name, text in facts.attributes.items():
        out.print(f"{name:28} {text}", highlight=False, markup=False, emoji=False)
    for warning in facts.warnings:
        out.print(f"warning: {warning}", highlight=False, markup=False)


@app.command()
def inspect(
    model: Annotated[Path, typer.Argument(help="a .keras or .h5 file, or the word reference")],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
) -> None:
    """What a model is: input, classes, layers with a grid, head, output activation, SHA-256."""
    from cxr_audit.classifier import inspect_model

    if str(model) == REFERENCE:
        model = WEIGHTS / card_of("classifier").weights
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
        "classes": ", ".join(
            facts["class_names"] or ["not in the file: classifier.class_names names them"]
        ),
        "target layer": f"{facts['target_layer']} (auto: the last with a grid)",
        "head": facts["head"],
        "logit budget": "exact: the logit is a bias plus the sum of the cells"
        if exact
        else "not exact; the gap is recorded",
    }.items():
        out.print(f"{name:13} {value}", highlight=False, markup=False)
    # The last layer of each grid, and the last few: where one would want to look.
    last_of_grid = {
        layer["grid"]: layer for layer in facts["layers"] if layer["kind"] != "ZeroPadding2D"
    }
    chosen = [x for x in facts["layers"] if x in (*last_of_grid.values(), *facts["layers"][-4:])]
    out.print(
        f"\n{len(chosen)} of {len(facts['layers'])} layers with a grid; --json lists all",
        highlight=False,
    )
    layers = Table(
        "cells", "channels", "a cell sees", "budget", "kind", "layer", box=None, pad_edge=False
    )
    layers.columns[-1].overflow = "fold"
    for layer in chosen:
        budget = "exact" if layer["head"] == "affine" else "not exact"
        seen = layer["receptive_field"] or "not known"
        layers.add_row(
            layer["grid"],
            str(layer["channels"]),
            seen,
            budget,
            layer["kind"],
            escape(layer["name"]),
        )
    out.print(layers)


@app.command()
def lungs(
    paths: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="radiographs, or folders of them")
    ],
    output: Annotated[Path, typer.Option(help="folder for the masks and lungs.jsonl")],
) -> None:
    """Find the lungs: a PNG mask for each radiograph (1 right lung, 2 left lung) and a line of lungs.jsonl."""
    from cxr_audit.lung_masks import write_lung_masks

    with _progress() as progress:
        lines = write_lung_masks(paths, output, progress)
    statuses = [line.status for line in lines]
    counts = ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))
    err.print(f"{len(lines)} files: lungs {counts}", highlight=False)
    for line in lines:
        if line.reason is not None:
            err.print(f"  {escape(line.file)}: {escape(line.reason)}", highlight=False)
    out.print(str(output / "lungs.jsonl"), highlight=False)
    if "failed" in statuses:
        raise typer.Exit(CaseError.exit_code)


@app.command()
def convert(
    old: Annotated[
        Path, typer.Argument(help="a model of Keras 2: .h5, .keras or a SavedModel folder")
    ],
    new: Annotated[Path, typer.Argument(help="the .keras file to write")],
) -> None:
    """Write a model of Keras 2 as a .keras file, and check that it answers the same."""
    from cxr_audit.classifier import convert as convert_model

    convert_model(old, new)
    err.print(f"wrote {new}; next: cxr-audit inspect {new}", highlight=False)


@app.command("import-torchxrayvision")
def import_weights(
    weights: Annotated[
        str, typer.Argument(metavar="WEIGHTS", help="a .pt file of its DenseNet121, or its address")
    ],
    new: Annotated[
        Path,
        typer.Argument(metavar="OUT", help="the .keras file to write; its card lands beside it"),
    ],
    name: Annotated[
        str | None, typer.Option(help="published name, such as densenet121-res224-all")
    ] = None,
    sha256: Annotated[
        str | None, typer.Option(help="SHA-256 of the .pt file; an address needs one")
    ] = None,
    finding: Annotated[
        str | None, typer.Option(help="keep this finding alone, with its operating threshold")
    ] = None,
) -> None:
    """Turn TorchXRayVision's DenseNet121 weights into a Keras model with a model card."""
    from cxr_audit.classifier import import_torchxrayvision

    card = import_torchxrayvision(weights, new, name, sha256, finding)
    err.print(
        f"{card['name']}: {len(card['class_names'])} classes; from SHA-256 {card['source_sha256']}",
        highlight=False,
    )
    err.print(
        f"wrote {new} and {new.with_suffix('.json')}; next: cxr-audit init --model {new}",
        highlight=False,
    )


@app.command()
def schema() -> None:
    """Print the JSON Schema of a config, for editors: cxr-audit schema > audit.schema.json."""
    print(json.dumps(json_schema(), indent=2))


@app.command()
def phantom(
    folder: Annotated[
        Path,
        typer.Argument(metavar="DIR", help="folder for the radiographs, masks and manifest.csv"),
    ],
    cases: Annotated[int, typer.Option(min=1, max=1_000_000, help="how many")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="same seed, same bytes")] = 1,
    size: Annotated[int, typer.Option(help="rows and columns, 64 to 3000")] = 1024,
    file_format: Annotated[
        str, typer.Option("--format", help="png (16 bits), png8, jpeg or dicom")
    ] = "png",
    shortcut: Annotated[
        list[str] | None,
        typer.Option(
            help="plant this in every case with pneumonia and in no other: marker_r, marker_l, text, tube, leads,"
            " border or bias; may be given again"
        ),
    ] = None,
) -> None:
    """Draw chest phantoms with known truth: half of them with pneumonia, every mask and box exact."""
    from cxr_audit.reference.phantom.files import write_cases
    from cxr_audit.reference.phantom.phantom import cohort

    with _progress() as progress:
        manifest = write_cases(
            folder, cohort(cases, seed, shortcut or ()), size, size, file_format, progress=progress
        )
    out.print(str(manifest), highlight=False)


def _input_of(model: str) -> dict[str, Any]:
    """The keys of `preprocess` that fit a model; its value range is a guess, and says so."""
    if model == REFERENCE:
        return {
            "channels": 1,
            "scaling": "unit",
            "scaling_source": "the reference classifier's model card",
        }
    from cxr_audit.classifier import inspect_model

    facts = inspect_model(Path(model))
    return {
        **{key: facts[key] for key in ("rows", "columns", "channels")},
        "scaling": facts["scaling_guess"],
        "scaling_source": f"a guess: {facts['scaling_reason']}; --scaling sets it",
    }


def _print_case(view: dict[str, Any]) -> None:
    """A case's numbers on the screen, in the words of its PDF."""
    prediction, budget = view["prediction"], view["budget"]
    out.print(f"\n{prediction['sentence']}", highlight=False, markup=False)
    first = view["primary"]
    out.print(
        f"\n{first['method']} for {first['class']}, layer {first['layer']}, {first['grid']}",
        style="bold",
    )
    out.print("  ".join([f"{first['word']}.", *first["notes"]]), highlight=False, markup=False)
    metrics = Table(box=None, pad_edge=False, show_header=False)
    for row in first["metrics"]:
        metrics.add_row(
            row["name"], row["value"] if row["value"] is not None else f"undefined: {row['reason']}"
        )
    out.print(metrics, highlight=False)
    if len(view["maps"]) > 1:
        maps = Table(*("map", "cells", "state", "high focus", "band", "spread", "border"), box=None)
        maps.pad_edge = False
        for one in view["maps"]:
            maps.add_row(
                one["key"], one["grid"].removesuffix(" cells"), one["word"], *one["columns"][:4]
            )
        out.print()
        out.print(maps, highlight=False)
    if regions := view["regions"]:
        title = "Logit budget" if budget and budget.is_exact else "Where the evidence lies"
        names = ("region", "area", "evidence", "ratio", "log-odds")
        columns = [Column(name, justify="left" if name == "region" else "right") for name in names]
        table = Table(*columns, title=title, box=None, pad_edge=False)
        table.title_justify = "left"
        for row in regions["rows"]:
            log_odds = row["log_odds"] or {"value": "", "is_total": False}
            measured = (
                ("", "", "")
                if row["area"] is None
                else (row["area"], row["evidence"], row["enrichment"])
            )
            name = ("  " if row["is_part"] else "") + row["name"]
            table.add_row(
                name, *measured, log_odds["value"], style="bold" if log_odds["is_total"] else ""
            )
        out.print()
        if regions["missing"]:
            out.print(f"Lungs not found: {regions['missing']}", highlight=False, markup=False)
        out.print(table, highlight=False)
    out.print()


def _accept(cohort: CohortRecord) -> None:
    """Raise where the acceptance criteria are not met."""
    failed = [result.in_words for result in cohort.acceptance if not result.is_met]
    if failed:
        raise AcceptanceError(
            f"{len(failed)} of {len(cohort.acceptance)} acceptance criteria not met: {'; '.join(failed)}",
            "what was found stands in cohort.json; cxr-audit cohort RUN prints it",
        )


def _load(config: Path, overrides: list[str] | None, output: Path | None = None) -> AuditConfig:
    loaded = load_config(config, overrides or [])
    if output is None:
        return loaded
    return loaded.model_copy(
        update={"run": loaded.run.model_copy(update={"output": output.resolve()})}
    )


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
            err.print(
                f"{phase}: {done} of {total}, {time.monotonic() - start:.0f} s", highlight=False
            )

    return report


if __name__ == "__main__":
    main()

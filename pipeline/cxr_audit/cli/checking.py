"""The command that says what a config and its radiographs were understood as: check."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from cxr_audit.cli.options import ConfigFile, Overrides, load
from cxr_audit.cli.screen import err, progress_bar
from cxr_audit.config import AuditConfig
from cxr_audit.errors import CaseError
from cxr_audit.records import CaseSource, ModelFacts, ServerInstance
from cxr_audit.vocabulary import PURPOSES

if TYPE_CHECKING:
    from cxr_audit.explain import AnyExplainer

Facts = dict[str, Any]


def check(
    config: ConfigFile,
    names: Annotated[
        bool, typer.Option("--names", help="print the names of files; they may name patients")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="print what was understood as JSON")
    ] = False,
    overrides: Overrides = None,
) -> None:
    """Check config, files, labels, model and templates, and say what was understood; no audit.

    What costs nothing comes first: config, run folder, model file, key, list of cases. Writes
    nothing, with one exception: where the source is "reference", the radiographs that ship are
    written to <run.output>/reference-radiographs.
    """
    from cxr_audit import audit
    from cxr_audit.audit import understood
    from cxr_audit.ingest import Skipped
    from cxr_audit.report import Renderer

    audit_config = load(config, overrides)
    _say("config: valid")
    key = audit.find_key(audit_config)
    audit.require_model_file(audit_config)
    skipped = Skipped()
    sources = audit.find_sources(audit_config, key, skipped)
    audit.check_subgroups(audit_config, sources)
    folder = understood.understood_folder(audit_config, len(sources))
    _print_folder(folder)
    headers = _read_headers(audit_config, sources, names)
    _print_headers(headers, skipped.num, names)
    subgroups = understood.understood_subgroups(audit_config, sources, headers["attributes"])
    _print_subgroups(subgroups)
    annotations = understood.understood_annotations(audit_config, sources)
    _print_annotations(annotations)
    _say("model: loading ...")
    explainer, model = audit.open_classifier(audit_config)
    sources, changed = audit.with_class_names(sources, model.labels)
    audit.check_labels(sources, model.labels, names)
    _print_model(explainer, model)
    cases = understood.understood_cases(sources, model.labels)
    cases["notes"] = list(audit.label_notes(changed))
    _print_cases(cases)
    answers = understood.understood_answers(audit_config, explainer, sources)
    _print_answers(answers)
    checks = audit.open_checks(audit_config, explainer)
    costs = understood.understood_costs(audit_config, explainer, checks, sources)
    _print_costs(costs, len(sources))
    Renderer()
    _say("templates: complete")
    if as_json:
        facts = {
            "folder": folder,
            "headers": {key: headers[key] for key in ("num_read", "problems")},
            "cases": cases,
            "subgroups": subgroups,
            "annotations": annotations,
            "model": {"name": model.name, "sha256": model.sha256, "labels": model.labels},
            "answers": answers,
            "costs": costs,
        }
        print(json.dumps(facts, indent=2))
    if headers["problems"]:
        raise typer.Exit(CaseError.exit_code)


def _say(text: str) -> None:
    err.print(text, highlight=False, markup=False)


def _warn(text: str) -> None:
    err.print(f"[bold yellow]warning:[/] {escape(text)}", highlight=False)


def _read_headers(config: AuditConfig, sources: Sequence[CaseSource], names: bool) -> Facts:
    """Read the header of every file: how many, the problems, and the attributes by case id."""
    from cxr_audit.audit import reading
    from cxr_audit.ingest import probe

    # A server has to send a whole file before its header can be read: one shows that it does.
    probed = sources[:1] if isinstance(sources[0].location, ServerInstance) else sources
    problems: list[str] = []
    attributes: dict[str, Mapping[str, str]] = {}
    with progress_bar() as progress:
        for done, source in enumerate(probed, 1):
            try:
                attributes[source.case_id] = probe(source, **reading(config))
            except CaseError as error:
                problems.append(f"{source.relative_path if names else f'file {done}'}: {error}")
            progress("headers", done, len(probed))
    return {
        "num_found": len(sources),
        "num_read": len(probed),
        "problems": problems,
        "attributes": attributes,
    }


def _print_headers(headers: Facts, num_skipped: int, names: bool) -> None:
    found, read, problems = headers["num_found"], headers["num_read"], headers["problems"]
    retrieved = f", {read} retrieved" if read < found else ""
    _say(f"radiographs: {found} found{retrieved}, {read - len(problems)} readable by header")
    if num_skipped:
        _say(f"  {num_skipped} hidden files, or files that operating systems leave, were skipped")
    for problem in problems:
        _say(f"  {problem}")
    if problems and not names:
        _say("  --names prints the names of these files")


def _print_folder(folder: Facts) -> None:
    _say(f"run folder: {folder['path']}, {folder['state']}")
    _say(
        f"  disk: about {folder['disk_needed_mib']:,.0f} MiB needed, "
        f"{folder['disk_free_mib']:,} MiB free"
    )
    if folder["state"] == "holds a run":
        _warn("cxr-audit run refuses this folder without --resume; --set run.name=NAME")
    if not folder["is_writable"]:
        _warn("the run folder cannot be written: see run.output")
    if folder["disk_needed_mib"] > folder["disk_free_mib"]:
        _warn("the disk is too small for this run")


def _print_cases(cases: Facts) -> None:
    counts = [f'{count} "{name}"' for name, count in cases["by_class"].items()]
    if cases["num_unlabelled"]:
        counts.append(f"{cases['num_unlabelled']} without a label")
    _say(f"labels: {', '.join(counts)}")
    for note in cases["notes"]:
        _say(f"  {note}")
    if cases["without_case"] and cases["by_class"]:
        _say(f"  no case of {', '.join(map(repr, cases['without_case']))}")
    known, num = cases["num_of_known_patients"], cases["num_cases"]
    _say(
        f"patients: known for {known} of {num} cases; {cases['num_patients']} in all, where each "
        "other case counts as one"
    )
    if cases["splits"]:
        shown = ", ".join(f"{count} {name}" for name, count in cases["splits"].items())
        _say(f"splits: {shown}")


def _print_subgroups(subgroups: Facts) -> None:
    for column, facts in subgroups.items():
        values = [f"{value} {count}" for value, count in facts["values"].items()]
        if facts["num_further_values"]:
            values.append(f"{facts['num_further_values']} further values")
        if facts["num_without"]:
            values.append(f"{facts['num_without']} without a value")
        _say(f"subgroup {column}: {', '.join(values)}")


def _print_annotations(facts: Facts) -> None:
    if not facts["num_annotated"]:
        return
    opened = facts["num_opened"]
    _say(
        f"annotations: {facts['num_annotated']} cases; of {opened} opened, "
        f"{opened - facts['num_unusable']} can be used"
    )
    _say(f"  boxes: {facts['convention']}")
    for problem, count in facts["problems"].items():
        _warn(f"{problem} ({count})")


def _print_model(explainer: AnyExplainer, model: ModelFacts) -> None:
    rows, columns = model.grid
    _say(f"model: {model.name}, SHA-256 {model.sha256}")
    _say(f"classes: {', '.join(model.class_names)}; explained: {explainer.classifier.target_class}")
    _say(f"target layer: {model.target_layer}, {rows}x{columns} cells; head: {model.head}")
    if model.unavailable is not None:
        _say(f"not available for this model: {model.unavailable}")


def _print_answers(answers: Facts) -> None:
    if answers["num_asked"]:
        auc = "" if answers["auc"] is None else f", AUC {answers['auc']:.2f}"
        _say(
            f"answers: of {answers['num_asked']} cases between {answers['least']:.3f} and "
            f"{answers['largest']:.3f}{auc}"
        )
    for warning in answers["warnings"]:
        _warn(warning)


def _print_costs(costs: Facts, num_cases: int) -> None:
    """The passes of each purpose, and their time on this machine."""
    for method, num in costs["further_inputs_a_radiograph"].items():
        of_run = f"{num * num_cases:,} for {num_cases} radiographs"
        _say(f"cost of {method}: {num} further model inputs a radiograph, {of_run}")
    plain_ms, passes = costs["plain_pass_ms"], costs["passes"]
    total = sum(row["num"] for row in passes.values())
    of_cases = 0
    for purpose, row in passes.items():
        num, cases = row["num"], row["num_cases"]
        of_cases += num if PURPOSES[purpose].scope == "case" else 0
        of = f" of {cases:,} cases" if cases else ""
        _say(
            f"cost of {PURPOSES[purpose].label}: {num:,} passes{of}, about "
            f"{num * plain_ms / 1000:,.0f} s, {num / total:.0%}"
        )
    _say(
        f"depth {costs['depth']}: {of_cases / num_cases:.1f} passes a case and "
        f"{total - of_cases:,} for the model, {total:,} in all"
    )
    _say(f"  at {plain_ms:.1f} ms a plain pass, timed now; a gradient costs more")
    _say(f"time: about {max(1, round(costs['seconds'] / 60))} min with the documents")

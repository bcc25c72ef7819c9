"""Commands on model files: inspect, convert, import-torchxrayvision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from cxr_audit.cli.screen import err, out
from cxr_audit.config import REFERENCE
from cxr_audit.reference import WEIGHTS, card_of


def inspect(
    model: Annotated[
        Path, typer.Argument(help="a .keras, .h5 or .onnx file, or the word reference")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="print JSON")] = False,
    output_name: Annotated[
        str | None, typer.Option(help="of a model with several outputs, the one to look at")
    ] = None,
) -> None:
    """Print the input, classes, layers with a grid, head, output and SHA-256 of a model."""
    from cxr_audit.classifier import inspect_model

    if str(model) == REFERENCE:
        model = WEIGHTS / card_of("classifier").weights
    facts = inspect_model(model, output_name)
    if as_json:
        print(json.dumps(facts, indent=2, default=str))
        return
    _print_facts(facts)
    if facts["layers"]:
        _print_layers(facts["layers"])


def _print_facts(facts: dict[str, Any]) -> None:
    unit = "unit" if facts["output_units"] == 1 else "units"
    unnamed = ["not in the file: classifier.class_names names them"]
    budget = "not exact; the gap is recorded"
    if facts["logit_is_sum_of_cells"]:
        budget = "exact: the logit is a bias plus the sum of the cells"
    lines = {
        "file": facts["file"],
        "SHA-256": facts["sha256"],
        "parameters": f"{facts['parameters']:,}",
        "input": facts["input"],
        "value range": f"{facts['scaling_guess'] or 'not known'} ({facts['scaling_reason']})",
        "output": f"{facts['output_units']} {unit}, {facts['output_activation']}",
        "classes": ", ".join(facts["class_names"] or unnamed),
        "target layer": f"{facts['target_layer']} (auto: the last with a grid)",
        "head": facts["head"],
        "logit budget": budget,
    }
    if facts["target_layer"] is None:
        lines["target layer"] = lines["logit budget"] = "not available for this model"
    for name, value in lines.items():
        out.print(f"{name:13} {value}", highlight=False, markup=False)


def _print_layers(layers: list[dict[str, Any]]) -> None:
    """A table of the last layer of each grid and of the last four layers."""
    last_of_grid = {layer["grid"]: layer for layer in layers if layer["kind"] != "ZeroPadding2D"}
    shown = (*last_of_grid.values(), *layers[-4:])
    chosen = [layer for layer in layers if layer in shown]
    out.print(
        f"\n{len(chosen)} of {len(layers)} layers with a grid; --json lists all", highlight=False
    )
    table = Table(
        "cells", "channels", "a cell sees", "budget", "kind", "layer", box=None, pad_edge=False
    )
    table.columns[-1].overflow = "fold"
    for layer in chosen:
        table.add_row(
            layer["grid"],
            str(layer["channels"]),
            layer["receptive_field"] or "not known",
            "exact" if layer["head"] == "affine" else "not exact",
            layer["kind"],
            escape(layer["name"]),
        )
    out.print(table)


def convert(
    old: Annotated[Path, typer.Argument(help="a model of Keras 2: .h5 or .keras")],
    new: Annotated[Path, typer.Argument(help="the .keras file to write")],
) -> None:
    """Write a model of Keras 2 as a .keras file, and check that its outputs stay the same."""
    from cxr_audit.classifier import convert as convert_model

    convert_model(old, new)
    err.print(f"wrote {new}; next: cxr-audit inspect {new}", highlight=False)


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

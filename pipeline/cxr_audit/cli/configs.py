"""Commands that write a config or its schema: init, schema."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cxr_audit.cli.screen import err
from cxr_audit.config import REFERENCE, json_schema, starter
from cxr_audit.errors import ConfigError

# section -> key -> value and its remark
Values = dict[str, dict[str, tuple[Any, str]]]


def init(
    path: Annotated[Path, typer.Argument(help="the config to write")] = Path("audit.yaml"),
    model: Annotated[
        Path | None,
        typer.Option(help="fill it in from this .keras, .h5 or .onnx file, or the word reference"),
    ] = None,
) -> None:
    """Write a commented config; --model fills it in from a model file."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")[:64] or "audit"
    values: Values = {
        "run": {"name": (name, "")},
        "ingest": {"source": ("radiographs" if model else REFERENCE, "")},
        "preprocess": {
            "channels": (1, "as the reference classifier's input"),
            "scaling": ("unit", ""),
        },
        "classifier": {"path": ("reference", "")},
    }
    if model is not None and str(model) != REFERENCE:
        values |= _values_of(model, path.resolve().parent)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(starter(values))
    except FileExistsError:
        raise ConfigError(
            f"{path} already exists", "give another name: cxr-audit init OTHER.yaml"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    to_edit = "ingest.source"
    class_names = values["classifier"].get("class_names", ((), ""))[0]
    if "class 0" in class_names:  # the file does not name its classes
        to_edit += ", ingest.labels and classifier.class_names"
    err.print(f"wrote {path}; next: edit {to_edit}, then cxr-audit check {path}", highlight=False)


def _values_of(model: Path, folder: Path) -> Values:
    """What a model file says about a config in `folder`."""
    from cxr_audit.classifier import inspect_model

    facts = inspect_model(model)
    preprocess = {}
    for key in ("rows", "columns", "channels"):
        preprocess[key] = (facts[key], "as the model's input")
    preprocess["scaling"] = (
        facts["scaling_guess"],
        f"{facts['scaling_reason']}; set it as the program that trained the model does",
    )
    if facts["scaling_guess"] is not None:
        preprocess["scaling_source"] = (
            facts["scaling_reason"],
            "printed in every report; once it is checked, say against what",
        )
    if facts["resize"] is not None:
        preprocess["resize"] = (facts["resize"], "as its model card says")
    numbered = [f"class {number}" for number in range(max(2, facts["output_units"]))]
    classifier = {
        "path": (os.path.relpath(model, folder), ""),
        "sha256": (facts["sha256"], ""),
        "class_names": (
            facts["class_names"] or numbered,
            "the names of the classes, in the order of the model's output",
        ),
    }
    if facts["threshold"] is not None:
        classifier["threshold"] = (facts["threshold"], "")
        classifier["threshold_source"] = (facts["threshold_source"], "")
    values: Values = {"preprocess": preprocess, "classifier": classifier}
    if facts["target_layer"] is not None:
        values["explain"] = {"target_layer": (facts["target_layer"], "the last layer with a grid")}
    return values


def schema(
    of: Annotated[
        Literal["config", "case", "cohort", "run"], typer.Argument(help="which JSON")
    ] = "config",
) -> None:
    """Print the JSON Schema of a config, or of a record of a run.

    For editors: cxr-audit schema > audit.schema.json.
    """
    from cxr_audit.records import json_schema_of

    print(json.dumps(json_schema() if of == "config" else json_schema_of(of), indent=2))

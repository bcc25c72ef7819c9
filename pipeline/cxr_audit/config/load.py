"""A config from a file or from values, with every problem named at once."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Any, get_args

from pydantic import ValidationError

from cxr_audit.config.acceptance import Acceptance, Cohort
from cxr_audit.config.audit import AuditConfig
from cxr_audit.config.document import Document, Key, override, parse, without_empty
from cxr_audit.config.types import REFERENCE, perhaps
from cxr_audit.errors import ConfigError
from cxr_audit.vocabulary import load_plugins
from cxr_audit.vocabulary.nearest import nearest

# Keys of the section acceptance of schema 2 and older, whose measures have been replaced.
FORMER_LIMITS = (
    "dependence_border_variance",
    "dependence_exposure_auc",
    "flag_outside_lungs_enrichment",
)
FORMS = {
    ("run", "name"): "1 to 64 letters, digits, dots, dashes, underscores; first a letter or digit",
    ("classifier", "sha256"): "64 hexadecimal digits",
    ("preprocess", "model_sha256"): "64 hexadecimal digits",
}
"""What a pattern asks for, in words."""
UNSET_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")
PATHS = (
    ("run", "output"),
    ("run", "protocol"),
    ("ingest", "source"),
    ("ingest", "manifest"),
    ("privacy", "key_file"),
    ("preprocess", "model"),
    ("classifier", "path"),
    ("classifier", "reference_outputs"),
)


def load_config(
    path: str | Path, overrides: Sequence[str] = (), sections: Collection[str] | None = None
) -> AuditConfig:
    """Read, override and validate a config.

    Parameters
    ----------
    path : the YAML file.
    overrides : `section.key=value`, the value parsed as YAML; an empty value unsets the key.
    sections : those that the caller reads; an override of another is refused. None: all.

    Raises
    ------
    ConfigError : naming every problem with file, line and key.
    """
    if sections is not None:
        _check_sections(overrides, sections)
    path = Path(path)
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"cannot read the config {path}: {reason}", "cxr-audit init writes one"
        ) from error
    config = _validated(parse(text, str(path)), overrides)
    return _with_absolute_paths(config, path.resolve().parent)


def _check_sections(overrides: Sequence[str], sections: Collection[str]) -> None:
    for text in overrides:
        section = text.partition(".")[0].strip()
        if section in AuditConfig.model_fields and section not in sections:
            hint = "leave it out, or give it to cxr-audit run"
            if text.startswith("classifier.threshold=") and tuple(sections) == MEASURING:
                hint = "--threshold asks what another threshold would decide"
            raise ConfigError(
                f"--set {text} has no effect: this command reads {', '.join(sections)} only", hint
            )


def config_of(values: dict[str, Any], overrides: Sequence[str] = ()) -> AuditConfig:
    """A config from section -> key -> value, without a file.

    Paths are relative to where the program runs.

    Raises
    ------
    ConfigError : as `load_config`.
    """
    document = Document("the command line", values)
    return _with_absolute_paths(_validated(document, overrides), Path.cwd())


MEASURING = ("cohort", "acceptance")
"""The sections that a run can be measured by again."""


def measured_by(
    resolved: Mapping[str, Any], overrides: Sequence[str] = ()
) -> tuple[Cohort, Acceptance]:
    """The two sections that a run is measured by, from its record.

    Defaults stand for what is newer than the record, and for limits of what is measured otherwise
    now.

    Parameters
    ----------
    resolved : the config of the run.
    overrides : `section.key=value` of these sections.
    """
    _check_sections(overrides, MEASURING)
    document = Document("the run's own config", {name: resolved.get(name) for name in MEASURING})
    document.values = without_empty(document.values)
    for text in overrides:
        override(document, text)
    cohort, acceptance = document.values["cohort"], document.values["acceptance"]
    acceptance = {key: value for key, value in acceptance.items() if key not in FORMER_LIMITS}
    try:
        return Cohort.model_validate(cohort), Acceptance.model_validate(acceptance)
    except ValidationError as error:
        raise ConfigError(
            f"the run's own config cannot be used here: {_first_problem(error)}",
            "give another with cxr-audit cohort RUN --config CONFIG",
        ) from error


def _first_problem(error: ValidationError) -> str:
    item = error.errors()[0]
    return f"{'.'.join(map(str, item['loc']))}: {item['msg']}"


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a config; editors use it to complete and check."""
    load_plugins()
    schema = AuditConfig.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _validated(document: Document, overrides: Sequence[str]) -> AuditConfig:
    load_plugins()
    for text in overrides:
        override(document, text)
    document.values = without_empty(document.values)
    try:
        config = AuditConfig.model_validate(document.values)
    except ValidationError as error:
        _note_problems(error, document)
    if document.problems:
        lines = [f"{where}: {message}" for _, where, message in sorted(document.problems)]
        count = "a problem" if len(lines) == 1 else f"{len(lines)} problems"
        raise ConfigError(
            f"{count} in the config\n" + "\n".join(lines), "cxr-audit schema prints every key"
        )
    return config


def _note_problems(error: ValidationError, document: Document) -> None:
    for item in error.errors():
        key = tuple(str(part) for part in item["loc"])
        document.add(key, _message(item, key))


def _message(item: Any, key: Key) -> str:
    """What is wrong with a key, in words."""
    received = item["input"]
    match item["type"]:
        case "extra_forbidden":
            return _unknown(key)
        case "missing":
            return "missing; it has no default"
        case "model_type" | "model_attributes_type" | "dict_type":
            return "expected a section with keys"
        case "tuple_type":
            return f"expected a list, as [a, b], received {received!r}"
        case "string_pattern_mismatch" if key in FORMS:
            return f"expected {FORMS[key]}, received {received!r}"
        case "value_error":
            return str(item["ctx"]["error"])
        case "literal_error":
            known = perhaps(received, _choices(item))
            return f"{item['msg'].lower()}, received {received!r}{known}"
        case _:
            return f"{item['msg'][0].lower()}{item['msg'][1:]}, received {received!r}"


def _unknown(key: Key) -> str:
    """What is wrong with a section or a key that does not exist."""
    name, siblings = key[-1], _names(key[:-1])
    if len(key) > 2 or nearest(name, siblings, 0.8):
        return f"unknown key{perhaps(name, siblings)}" if len(key) > 1 else _unknown_section(name)
    homes = [section for section in _names(()) if name in _names((section,))]
    if not homes:
        return f"unknown key{perhaps(name, siblings)}" if len(key) > 1 else _unknown_section(name)
    which = " or ".join(f"{section}.{name}" for section in homes)
    if len(key) == 1:
        return f"a key without its section: it is {which}. Indent it below {homes[0]}:"
    return f"unknown here: it is {which}"


def _unknown_section(name: str) -> str:
    return f"unknown section{perhaps(name, _names(()))}"


def _names(key: Key) -> list[str]:
    """The keys that may stand at a place of the config."""
    kind: Any = AuditConfig
    for part in key:
        kind = get_args(kind)[0] if part.isdigit() else kind.model_fields[part].annotation
        if isinstance(kind, UnionType):  # a section or nothing
            kind = get_args(kind)[0]
    return list(kind.model_fields)


def _choices(item: Any) -> list[str]:
    expected = item["ctx"]["expected"].replace(" or ", ",")
    return [part.strip(" '") for part in expected.split(",")]


def _with_absolute_paths(config: AuditConfig, folder: Path) -> AuditConfig:
    for section_name, key in PATHS:
        section = getattr(config, section_name)
        value = getattr(section, key)
        if value is None:
            continue
        path = _absolute(str(value), folder)
        section = section.model_copy(update={key: type(value)(path) if value else value})
        config = config.model_copy(update={section_name: section})
    classifier = config.classifier
    command = tuple(_of_command(word, folder) for word in classifier.command)
    classifier = classifier.model_copy(update={"command": command})
    return config.model_copy(update={"classifier": classifier})


def _of_command(word: str, folder: Path) -> str:
    """A word of `classifier.command`; one that is a file of the config's folder as a path."""
    path = Path(_absolute(word, folder))
    return str(path) if path.is_file() else word


def _absolute(value: str, folder: Path) -> str:
    """A path relative to a folder; what is no path stays as it is."""
    if value == REFERENCE or "://" in value:
        return value
    expanded = os.path.expandvars(value)
    unset = UNSET_VARIABLE.search(expanded)
    if unset is not None and not (folder / expanded).exists():
        raise ConfigError(
            f"the environment variable {unset[1] or unset[2]} of the path {value} is not set",
            "set it, or write the path out",
        )
    try:
        return os.path.normpath(folder / Path(expanded).expanduser())
    except RuntimeError:
        raise ConfigError(
            "a path begins with ~ and a user that does not exist on this machine"
        ) from None

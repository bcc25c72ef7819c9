"""The text of a config -> its values, and the line of each key: for messages."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from cxr_audit.errors import ConfigError

Key = tuple[str, ...]
"""Section, key, and the keys of what a list holds."""

DEEPEST = 4
BOOL = "tag:yaml.org,2002:bool"


class Loader(yaml.SafeLoader):
    """YAML in which yes, no, on and off are words, as in YAML 1.2: classes are named like this."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, form) for tag, form in resolvers if tag != BOOL]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(
    BOOL, re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)


@dataclass
class Document:
    """A config as it was written.

    Parameters
    ----------
    file : its name, for messages.
    values : section -> key -> value.
    lines : the line of each key; empty where there is no file.
    problems : (line, place, message).
    overridden : keys that the command line gave.
    """

    file: str
    values: dict[str, Any]
    lines: dict[Key, int] = field(default_factory=dict)
    problems: list[tuple[int, str, str]] = field(default_factory=list)
    overridden: set[Key] = field(default_factory=set)

    def add(self, key: Key, message: str) -> None:
        """Note a problem at a key."""
        line = self._line(key)
        self.problems.append((line, self._place(key, line), message))

    def _line(self, key: Key) -> int:
        """The line of the key, or of the nearest part of it that stands in the file."""
        for length in range(len(key), -1, -1):
            if key[:length] in self.lines:
                return self.lines[key[:length]]
        return 1

    def _place(self, key: Key, line: int) -> str:
        given = key
        if key not in self.lines:
            # A section that is there by an override alone is named by the override.
            given = min((other for other in self.overridden if other[:1] == key), default=key)
        if given[:2] in self.overridden:
            return f"--set {'.'.join(given)}"
        place = f"{self.file}:{line}" if self.lines else self.file
        return f"{place}: {'.'.join(key)}"


def parse(text: str, file: str) -> Document:
    """Read the YAML of a config.

    Parameters
    ----------
    text : of the file.
    file : its name, for messages.

    Raises
    ------
    ConfigError : it is not YAML, or no mapping of sections.
    """
    try:
        root = yaml.compose(text, Loader=Loader)
        values = yaml.load(text, Loader=Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        raise ConfigError(f"{where}: not YAML: {error.problem}", _likely_cause(error)) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{file}: not YAML: {error}") from error
    if not isinstance(root, yaml.MappingNode) or not isinstance(values, dict):
        raise ConfigError(
            f"{file}: a config is a mapping of sections (run, ingest, ...)",
            "cxr-audit init writes one",
        )
    document = Document(file, values)
    for key, node in _keys(root, ()):
        first = document.lines.get(key)
        document.lines[key] = node.start_mark.line + 1
        if first is not None:
            document.add(key, f"given twice, first in line {first}")
    return document


def _likely_cause(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or ""
    if "\\t" in problem:
        return "indent with spaces: YAML allows no tabs"
    if "mapping values are not allowed" in problem:
        return "put quotes around a text that holds a colon, or check the indentation"
    return "check the indentation, brackets and quotes in this line and the line before"


def _keys(node: yaml.Node, prefix: Key) -> Iterator[tuple[Key, yaml.Node]]:
    """Sections, their keys, and the keys of what a list holds; nothing is deeper."""
    if len(prefix) >= DEEPEST:
        return
    items: Iterable[tuple[str, yaml.Node, yaml.Node]] = ()
    if isinstance(node, yaml.MappingNode) and len(prefix) != 2:
        items = ((str(name.value), name, value) for name, value in node.value)
    elif isinstance(node, yaml.SequenceNode):
        items = ((str(number), item, item) for number, item in enumerate(node.value))
    for name, here, below in items:
        yield (*prefix, name), here
        yield from _keys(below, (*prefix, name))


def override(document: Document, text: str) -> None:
    """Apply `section.key=value`; an empty value unsets the key.

    Raises
    ------
    ConfigError : the text does not have this form.
    """
    name, equals, value_text = text.partition("=")
    key = tuple(part.strip() for part in name.split("."))
    if not equals or len(key) != 2 or not all(key):
        raise ConfigError(
            f"--set {text}: expected section.key=value", "for example --set engine.batch_size=8"
        )
    try:
        value = yaml.load(value_text, Loader=Loader)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {text}: the value is not YAML") from error
    section = document.values.setdefault(key[0], {})
    if not isinstance(section, dict):
        raise ConfigError(f"--set {text}: {key[0]} is not a section in {document.file}")
    document.overridden.add(key)
    if value_text.strip() == "":
        section.pop(key[1], None)
    else:
        section[key[1]] = value


def without_empty(values: dict[str, Any]) -> dict[str, Any]:
    """A key left empty takes its default, a section left empty those of its keys."""
    kept: dict[str, Any] = {}
    for name, section in values.items():
        if section is None:
            kept[name] = {}
        elif isinstance(section, dict):
            kept[name] = {key: value for key, value in section.items() if value is not None}
        else:
            kept[name] = section
    return kept

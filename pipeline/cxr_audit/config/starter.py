"""A config as text: every key with its description, its choices and its default."""

from __future__ import annotations

import itertools
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml

from cxr_audit.config.audit import AuditConfig
from cxr_audit.config.types import Known
from cxr_audit.vocabulary import load_plugins

WIDTH = 110
HEAD = (
    (
        "# An audit config. Paths are relative to this file; keys with a # before them show "
        "their default."
    ),
    "#   cxr-audit check FILE    what can be known without running",
    "#   cxr-audit run FILE      the audit",
)


def starter(values: Mapping[str, Mapping[str, tuple[Any, str]]]) -> str:
    """A commented config with every key.

    Parameters
    ----------
    values : section -> key -> (value, remark), in place of the default and its description.
    """
    given = {
        section: {key: value for key, (value, _) in keys.items()}
        for section, keys in values.items()
    }
    remarks = {
        (section, key): remark
        for section, keys in values.items()
        for key, (_, remark) in keys.items()
        if remark
    }
    return commented(given, "\n".join(HEAD), remarks)


def commented(
    values: Mapping[str, Mapping[str, Any]],
    head: str,
    remarks: Mapping[tuple[str, str], str] | None = None,
) -> str:
    """A config with a comment for every key.

    Parameters
    ----------
    values : section -> key -> value; other keys show their default behind a #.
    head : the first lines.
    remarks : by (section, key), in place of a description.
    """
    load_plugins()
    lines = [head]
    for name, section in AuditConfig.model_fields.items():
        kind: Any = section.annotation
        given = values.get(name, {})
        lines += ["", *_comment(" ".join(kind.__doc__.split()), "")]
        lines.append(f"{name}:" if given else f"# {name}:")
        for key, field in kind.model_fields.items():
            remark = (remarks or {}).get((name, key)) or _description(field)
            lines += _comment(remark, "  ")
            if key in given:
                lines.append(f"  {key}: {_yaml(given[key])}".rstrip())
            else:
                default = field.get_default(call_default_factory=True)
                lines.append(f"  # {key}: {_yaml(default)}".rstrip())
    return "\n".join(lines) + "\n"


def _description(field: Any) -> str:
    """What a key is, and what it may be."""
    description = (field.description or "").rstrip(".")
    choices = _choices(field.annotation, field.metadata)
    if any(choice not in description for choice in choices):
        return f"{description}; one of: {', '.join(choices)}"
    limits = _range(field.annotation, field.metadata)
    return f"{description} ({limits})" if limits else description


def _range(annotation: Any, metadata: Any) -> str:
    """The range of a number, for example "0 to 1" or "above 0"."""
    ends = {}
    for limit in (*metadata, *get_args(annotation)):
        for name in ("gt", "ge", "lt", "le"):
            end = getattr(limit, name, None)
            if end is not None:
                ends[name] = end
    low, high = ends.get("ge", ends.get("gt")), ends.get("le", ends.get("lt"))
    if low is not None and high is not None:
        return f"{low} to {high}"
    if low is not None:
        return f"{'above' if 'gt' in ends else 'at least'} {low}"
    return ""


def _choices(annotation: Any, metadata: Any = ()) -> list[str]:
    """The words that a key, or each entry of a list, may be."""
    for extra in metadata:
        if isinstance(extra, Known):
            return list(extra.keys())
    if get_origin(annotation) is Literal:
        return [str(choice) for choice in get_args(annotation)]
    choices: list[str] = []
    for part in get_args(annotation):
        if isinstance(part, Known):
            return list(part.keys())
        choices += [choice for choice in _choices(part) if choice not in choices]
    return choices


def _comment(text: str, indent: str) -> list[str]:
    prefix = f"{indent}# "
    return textwrap.wrap(text, WIDTH, initial_indent=prefix, subsequent_indent=f"{prefix}  ")


def _yaml(value: Any) -> str:
    """A value on one line."""
    if value is None:
        return ""
    if isinstance(value, tuple):
        value = list(value)
    plain = str(value) if isinstance(value, Path) else value
    text = yaml.safe_dump(plain, default_flow_style=True, width=10_000, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...")


def rewrite(path: Path) -> None:
    """Write a config again with the comments of today; its first comment and its values stay."""
    text = path.read_text("utf-8")
    head = "\n".join(itertools.takewhile(lambda line: line.startswith("#"), text.splitlines()))
    values = {name: keys for name, keys in yaml.safe_load(text).items() if keys}
    path.write_text(commented(values, head), "utf-8")

"""What was fixed before data were seen, and which runs saw the same data before."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from cxr_audit.records.base import SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class Protocol:
    """A config as it was sealed by `cxr-audit protocol`.

    Parameters
    ----------
    created : UTC, ISO 8601, by the clock of the machine that sealed it.
    config_sha256 : of everything that the config asks for.
    config : the resolved config without paths; its section `acceptance` has the criteria.
    version, code_sha256 : of the program that sealed it.
    model_sha256 : of the model file; None where the config fixes none.
    operator, organisation : as the config states them.
    sha256 : over all other fields, see `protocol_sha256`.
    """

    created: str
    config_sha256: str
    config: dict[str, Any]
    version: str
    code_sha256: str
    model_sha256: str | None = None
    operator: str | None = None
    organisation: str | None = None
    sha256: str = ""
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class EarlierRun:
    """A run beside this one that audited some of the same files.

    Parameters
    ----------
    name, started : of that run.
    model_sha256 : of its model.
    num_shared : files that both runs audited, of those that were compared.
    has_same_config : whether it asked for the same.
    """

    name: str
    started: str
    model_sha256: str
    num_shared: int
    has_same_config: bool


@dataclass(frozen=True, slots=True)
class ProtocolRecord:
    """`protocol.json` of a run.

    Parameters
    ----------
    sealed : the protocol that the run followed; None where there was none.
    earlier : runs in the same folder that began before and share files with it.
    num_compared : files of this run that were looked for in other runs.
    """

    sealed: Protocol | None = None
    earlier: tuple[EarlierRun, ...] = ()
    num_compared: int = 0
    schema_version: int = SCHEMA_VERSION


def protocol_sha256(protocol: Protocol) -> str:
    """SHA-256 of a protocol's fields but `sha256`, as JSON with sorted keys and no spaces."""
    content = msgspec.json.encode(replace(protocol, sha256=""), order="sorted")
    return hashlib.sha256(content).hexdigest()

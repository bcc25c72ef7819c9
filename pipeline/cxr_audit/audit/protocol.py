"""A config -> a protocol sealed before data are seen; a run -> whether it followed one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cxr_audit import evidence
from cxr_audit.audit.clock import now
from cxr_audit.audit.installed import installed_code
from cxr_audit.audit.json_differences import differences
from cxr_audit.audit.plan import without_paths
from cxr_audit.config import AuditConfig
from cxr_audit.errors import AuditError, ConfigError
from cxr_audit.evidence import RunFolder
from cxr_audit.records import (
    EarlierRun,
    Protocol,
    ProtocolRecord,
    RunRecord,
    from_json,
    protocol_sha256,
    to_json,
)

PROTOCOL = "protocol.json"
MOST_COMPARED = 1000
"""Files of a run that are looked for in the runs beside it, spread over it."""
MOST_NAMED = 8


def write_protocol(config: AuditConfig, path: Path) -> Protocol:
    """Seal a config: what is asked, by which criteria, with which code, and when.

    Parameters
    ----------
    config : the one of the run to come.
    path : the file to write; one that exists is not overwritten.

    Raises
    ------
    ConfigError : the file exists or cannot be written, or the config has no criterion.
    """
    if not config.acceptance.criteria:
        raise ConfigError(
            "the config has no acceptance criterion: a protocol would fix nothing",
            "add acceptance.criteria",
        )
    code = installed_code()
    protocol = Protocol(
        created=now(),
        config_sha256=config.sha256(),
        config=without_paths(config),
        version=code.version,
        code_sha256=code.sha256,
        model_sha256=_model_sha256(config),
        operator=config.run.operator,
        organisation=config.run.organisation,
    )
    sealed = _sealed(protocol)
    try:
        with path.open("xb") as file:
            file.write(to_json(sealed))
    except FileExistsError:
        raise ConfigError(
            f"{path} exists already; a protocol is never overwritten", "give another --output"
        ) from None
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    return sealed


def _sealed(protocol: Protocol) -> Protocol:
    return replace(protocol, sha256=protocol_sha256(protocol))


def _model_sha256(config: AuditConfig) -> str | None:
    """Of the model file that the config names; None for the model that ships or a folder."""
    if config.classifier.sha256:
        return config.classifier.sha256
    if config.classifier.path is None:
        return None  # a program answers; it is no file
    path = Path(config.classifier.path)
    return evidence.file_sha256(path) if path.is_file() else None


def read_protocol(config: AuditConfig) -> Protocol | None:
    """The protocol that a config follows, None where it names none.

    Raises
    ------
    ConfigError : it cannot be read, was changed, or the config asks for something else.
    """
    path = config.run.protocol
    if path is None:
        return None
    try:
        protocol = from_json(path.read_bytes(), Protocol)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot read the protocol {path}: {error}", "cxr-audit protocol CONFIG makes one"
        ) from error
    if protocol_sha256(protocol) != protocol.sha256:
        raise ConfigError(
            f"the protocol {path} was changed after it was sealed",
            "restore the file as it was sealed, or remove run.protocol from the config",
        )
    if protocol.config_sha256 != config.sha256():
        names = ", ".join(_differing(protocol, config))
        raise ConfigError(
            f"the config asks for something else than its protocol {path}: {names}",
            "restore these keys, or seal a new protocol with cxr-audit protocol CONFIG",
        )
    if protocol.model_sha256 not in (None, _model_sha256(config)):
        raise ConfigError(
            f"the model file is not the one of the protocol {path}",
            "use the model that was sealed, or seal a new protocol",
        )
    return protocol


def _differing(protocol: Protocol, config: AuditConfig) -> list[str]:
    found = differences(protocol.config, without_paths(config))
    names = sorted({place for place, _sealed_value, _now in found})
    more = len(names) - MOST_NAMED
    return names[:MOST_NAMED] + ([f"and {more} more"] if more > 0 else [])


def write_protocol_of_run(
    folder: RunFolder, run: RunRecord, protocol: Protocol | None, case_ids: Sequence[str]
) -> None:
    """Write `protocol.json` of a run; one that stands is kept.

    Parameters
    ----------
    folder, run : that begins.
    protocol : that it follows.
    case_ids : of the run; files are compared by them, so runs with another key share none.
    """
    if (folder.path / PROTOCOL).is_file():
        return
    step = max(1, len(case_ids) // MOST_COMPARED)
    compared = case_ids[::step][:MOST_COMPARED]
    earlier = _earlier_runs(folder, run, compared)
    record = ProtocolRecord(protocol, tuple(earlier), len(compared))
    evidence.write(folder.path / PROTOCOL, to_json(record))


def _earlier_runs(folder: RunFolder, run: RunRecord, compared: Sequence[str]) -> list[EarlierRun]:
    """The runs in the same folder that share files with this one, the oldest first."""
    found = []
    for path in sorted(folder.path.parent.glob("*/run.json")):
        if path.parent == folder.path:
            continue
        other = RunFolder(path.parent)
        shared = sum((other.cases / case_id / "case.json").is_file() for case_id in compared)
        if not shared:
            continue
        try:
            facts = other.read_run()
        except AuditError:
            continue  # of a schema that is not read here
        if facts.cases.case_id_key == run.cases.case_id_key and facts.started < run.started:
            has_same_config = facts.config_sha256 == run.config_sha256
            found.append(
                EarlierRun(facts.name, facts.started, facts.model.sha256, shared, has_same_config)
            )
    return sorted(found, key=lambda one: one.started)


def read_protocol_of_run(folder: RunFolder) -> ProtocolRecord | None:
    """`protocol.json` of a run; None where an older version made it."""
    path = folder.path / PROTOCOL
    return from_json(path.read_bytes(), ProtocolRecord) if path.is_file() else None

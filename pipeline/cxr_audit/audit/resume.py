"""A run folder to begin or to go on with: what stands in it, and what must be made again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from cxr_audit import evidence
from cxr_audit.audit.auditor import Networks
from cxr_audit.audit.failures import WorkerLost
from cxr_audit.audit.installed import installed_code
from cxr_audit.audit.plan import (
    Plan,
    check_labels,
    find_key,
    new_run,
    versions,
    without_paths,
)
from cxr_audit.config import PLACES, REFERENCE, AuditConfig
from cxr_audit.errors import ConfigError, ModelError, NotRetrieved, VerificationError
from cxr_audit.evidence import CaseIdKey, RunFolder
from cxr_audit.records import SCHEMA_VERSION, AuditedCase, CaseRecord, RunRecord, to_json

OTHER_CASES = "radiographs, labels, boxes, masks, another column of the manifest, or --limit"
MOST_KEYS = 8
ANOTHER = "--set run.name=NAME starts another run"
# Failures of a server or of this machine, not of the file.
MADE_AGAIN = (NotRetrieved.__name__, WorkerLost.__name__, MemoryError.__name__)


@dataclass(frozen=True, slots=True)
class Opened:
    """A run folder, its record, and the ids of the cases that stand, in order.

    Parameters
    ----------
    is_complete : the run has finished with these very cases; nothing was written.
    """

    folder: RunFolder
    run: RunRecord
    standing: list[str]
    is_complete: bool = False


def open_run(plan: Plan, networks: Networks, engine: Mapping[str, Any], resume: bool) -> Opened:
    """Begin a run folder, or go on with the one that is there.

    Parameters
    ----------
    networks : what an auditor of this run holds.
    engine : what the engine says of itself.
    resume : a run folder that exists is gone on with, instead of refused.

    Raises
    ------
    ConfigError : the folder exists, or its run was made with something else.
    VerificationError : what stands in it was changed.
    """
    check_labels(plan.sources, networks.model.labels)
    path = plan.config.run.output / plan.config.run.name
    if resume and (path / "run.json").is_file():
        opened = _go_on(path, plan, networks)
        if opened.is_complete:
            return opened
    else:
        folder = _new_folder(path, plan)
        run = new_run(plan, networks.model, networks.segmenter_sha256, dict(engine))
        opened = Opened(folder, run, [])
    folder = opened.folder
    crosswalk_sha256 = evidence.write_crosswalk(folder, plan.sources)
    evidence.write(folder.private / "config.json", to_json(plan.config.resolved()), 0o600)
    run = replace(
        opened.run,
        status="running",
        cases=replace(
            opened.run.cases,
            num_cases=len(plan.sources),
            num_found=len(plan.found) if len(plan.found) > len(plan.sources) else None,
            crosswalk_sha256=crosswalk_sha256,
        ),
    )
    evidence.write(folder.path / evidence.SBOM, evidence.bill_of_materials(run))
    folder.write_run(run)
    return replace(opened, run=run)


def _go_on(path: Path, plan: Plan, networks: Networks) -> Opened:
    """The run in a folder, unsealed, unless it has finished with these very cases."""
    folder = RunFolder.open(path)
    run = folder.read_run()
    standing = _standing(folder, plan)
    if changes := _changes(folder, run, plan, networks, standing):
        raise _cannot_resume(path, changes)
    case_ids = list(standing)
    is_finished = run.status == "finished" and folder.is_sealed
    if is_finished and len(case_ids) == len(plan.sources) == run.cases.num_cases:
        evidence.require_unchanged(folder)
        return Opened(folder, run, case_ids, is_complete=True)
    again = {f"cases/{s.case_id}" for s in plan.sources if s.case_id not in standing}
    evidence.require_unchanged(folder, but={*again, *evidence.SIGNATURES})
    folder.unseal()
    return Opened(folder, run, case_ids)


def refuse_early(config: AuditConfig, resume: bool) -> None:
    """Refuse what can be known before a network is loaded or a radiograph is read.

    Parameters
    ----------
    config : of the run.
    resume : a run folder that exists is gone on with, instead of refused.

    Raises
    ------
    ConfigError : the run folder exists, or its run was made with another config, code or key.
    ModelError : there is no such model file.
    """
    path = config.run.output / config.run.name
    require_model_file(config)
    key = find_key(config)
    if not (path / "run.json").is_file():
        return
    if not resume:
        _refuse_standing(path)
    folder = RunFolder.open(path)
    changes = _cheap_changes(folder, folder.read_run(), config, key)
    if changes:
        raise _cannot_resume(path, changes)


def require_model_file(config: AuditConfig) -> None:
    """Raise `ModelError` where there is no such model file."""
    path = config.classifier.path
    model = Path(path or "")
    if path not in (None, REFERENCE) and not model.exists():
        raise ModelError(
            f"no such model: {model}",
            "give a .keras or .h5 file; in a config, classifier.path is relative to the config's "
            "folder",
        )


def _cannot_resume(path: Path, changes: list[str]) -> ConfigError:
    return ConfigError(
        f"{path} cannot be resumed; changed since it was made: {', '.join(changes)}",
        "set run.name to start another run",
    )


def _refuse_standing(path: Path) -> NoReturn:
    """Refuse a folder that holds a run, with what to do about it."""
    if RunFolder(path).is_sealed:
        raise ConfigError(
            f"the run folder {path} exists already, and its run has finished",
            f"{ANOTHER}; --resume with a larger --limit adds cases to this one",
        )
    raise ConfigError(
        f"the run folder {path} exists already, and its run has not finished",
        f"--resume goes on with it; {ANOTHER}",
    )


def _new_folder(path: Path, plan: Plan) -> RunFolder:
    """A new run folder. One that exists is refused, with what to do about it."""
    if (path / "run.json").is_file():
        _refuse_standing(path)
    is_there, is_writable = path.exists(), os.access(path, os.W_OK)
    plan.key.keep()
    try:
        return RunFolder.create(path)
    except ConfigError:
        if not is_there or not is_writable:
            raise
        raise ConfigError(
            f"{path} exists already and holds no run", f"move it away; {ANOTHER}"
        ) from None


# ---- what has changed


def _changes(
    folder: RunFolder,
    run: RunRecord,
    plan: Plan,
    networks: Networks,
    standing: Mapping[str, str | None],
) -> list[str]:
    """What a run was made with differently, in words."""
    changes = _cheap_changes(folder, run, plan.config, plan.key)
    before, now = run.model, networks.model
    if (before.sha256, before.parts) != (now.sha256, now.parts):
        changes.append("model")
    if run.software.segmenter_sha256 != networks.segmenter_sha256:
        changes.append("lung segmenter")
    known = {source.case_id for source in plan.sources}
    is_other_metadata = any(
        standing[source.case_id] != source.metadata_hmac
        for source in plan.sources
        if source.case_id in standing
    )
    if is_other_metadata or not known.issuperset(folder.case_ids()):
        changes.append(OTHER_CASES)
    return changes


def _cheap_changes(
    folder: RunFolder, run: RunRecord, config: AuditConfig, key: CaseIdKey
) -> list[str]:
    """What a run was made with differently, of what is known without its networks and cases."""
    changes = []
    if run.config_sha256 != config.sha256():
        changes.append(f"config ({_changed_keys(folder, run, config)})")
    if run.schema_version != SCHEMA_VERSION:
        changes.append(f"software (records of version {run.schema_version})")
    elif run.software.versions != versions():
        changes.append(f"software ({', '.join(_differing(run.software.versions, versions()))})")
    if run.software.code is None or run.software.code.sha256 != installed_code().sha256:
        changes.append("code")
    if run.cases.case_id_key != key.fingerprint:
        changes.append("key of the case ids")
    return changes


def _changed_keys(folder: RunFolder, run: RunRecord, config: AuditConfig) -> str:
    """The keys of the config that differ; paths are compared where `private/` is there."""
    before, after = run.config, without_paths(config)
    private = folder.private / "config.json"
    with contextlib.suppress(OSError, msgspec.DecodeError):
        before, after = msgspec.json.decode(private.read_bytes()), config.resolved()
    keys = []
    for section in sorted(before.keys() | after.keys()):
        old, new = before.get(section, {}), after.get(section, {})
        keys += [f"{section}.{key}" for key in _differing(old, new)]
    keys = [key for key in keys if key not in PLACES]
    if not keys:
        return "keys that this version does not know, or no longer"
    more = f" and {len(keys) - MOST_KEYS} more" if len(keys) > MOST_KEYS else ""
    return ", ".join(keys[:MOST_KEYS]) + more


def _differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    absent = object()
    return [
        key
        for key in sorted(before.keys() | after.keys())
        if before.get(key, absent) != after.get(key, absent)
    ]


# ---- what stands


def _standing(folder: RunFolder, plan: Plan) -> dict[str, str | None]:
    """The cases whose records stand, in order, with what was told of each beside its file.

    A case is made again whose record a power cut has damaged, which failed by a server or for want
    of time or memory, or that lacks what should stand beside its record.
    """
    standing = {}
    for source in plan.sources:
        with contextlib.suppress(VerificationError):
            record = folder.read_case(source.case_id)
            if record is not None and _is_whole(folder, record, plan.config.report.documents):
                standing[source.case_id] = record.hashes.metadata_hmac
    return standing


def _is_whole(folder: RunFolder, record: CaseRecord, documents: bool) -> bool:
    names = set(record.pictures.values())
    if isinstance(record, AuditedCase):
        names |= {"map.npz", "regions.npz"}
        names |= {map_record.picture for map_record in record.maps if map_record.picture}
    elif record.error in MADE_AGAIN:
        return False
    if documents:
        names.add("report.pdf")
    return names <= {path.name for path in folder.case(record.case_id).iterdir()}

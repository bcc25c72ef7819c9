"""A sealed run -> some of its cases audited again, and what differs.

The run is copied without these cases and then resumed, so that each of them meets the same colour
scales, mean input and batch as before. On the same machine the records are the same; on another one
numbers may differ in the last digits.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cxr_audit import evidence
from cxr_audit.audit.finish import RunResult
from cxr_audit.audit.installed import installed_code
from cxr_audit.audit.json_differences import differences, short
from cxr_audit.audit.plan import versions
from cxr_audit.config import AuditConfig, config_of
from cxr_audit.errors import ConfigError
from cxr_audit.evidence import Problem, RunFolder
from cxr_audit.evidence.folder import LOCK, SEALS
from cxr_audit.records import SCHEMA_VERSION

TOLERANCE = 1e-4  # of a number, absolute or relative: other processors round differently
MOST_NAMED = 3  # differences of a case that are named

RunAgain = Callable[[AuditConfig, bool, int | None], RunResult]
"""Audits a config: config, resume, limit."""


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What came of auditing cases again.

    Parameters
    ----------
    case_ids : the cases, chosen at random.
    num_same : how many records are the same.
    num_close : how many differ by less than `TOLERANCE` only.
    problems : what differs by more, a case each.
    """

    case_ids: tuple[str, ...]
    num_same: int
    num_close: int
    problems: tuple[Problem, ...]


def rerun(
    folder: RunFolder,
    num: int,
    run_again: RunAgain,
    config: AuditConfig | None = None,
    key_file: Path | None = None,
) -> Reproduction:
    """Audit cases of a sealed run again and compare their records.

    Parameters
    ----------
    folder : the run; it is only read.
    num : how many cases, chosen at random; more than there are = all.
    run_again : audits a config, see `cxr_audit.engines.run_audit`.
    config : of the run, None = `private/config.json`.
    key_file : the key of the case ids, None = the one that the config finds.

    Raises
    ------
    ConfigError : the config, the key or the radiographs are not here, or the config is another.
    """
    if config is None:
        config = _own_config(folder)
    run = folder.read_run()
    case_ids = folder.case_ids()
    chosen = sorted(secrets.SystemRandom().sample(case_ids, min(num, len(case_ids))))
    if key_file is None:
        key_file = config.privacy.key_file or _existing(config.run.output / evidence.KEY_NAME)
    with tempfile.TemporaryDirectory(prefix="cxr-audit-rerun-") as temporary:
        copy = RunFolder(Path(temporary) / run.name)
        _copy(folder, copy, chosen)
        copy.write_run(
            replace(
                run,
                status="running",
                software=replace(run.software, versions=versions(), code=installed_code()),
                schema_version=SCHEMA_VERSION,
            )
        )
        places = {
            "run": config.run.model_copy(
                update={"output": copy.path.parent, "name": run.name, "protocol": None}
            ),
            "privacy": config.privacy.model_copy(update={"key_file": key_file}),
        }
        limit = None if run.cases.num_found is None else run.cases.num_cases
        run_again(config.model_copy(update=places), True, limit)
        return _compare(folder, copy, chosen)


def _own_config(folder: RunFolder) -> AuditConfig:
    path = folder.private / "config.json"
    try:
        return config_of(json.loads(path.read_bytes()))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"{path} cannot be read: {error}",
            "give the config of the run: cxr-audit verify RUN --rerun N --config CONFIG",
        ) from error


def _existing(path: Path) -> Path | None:
    return path if path.is_file() else None


def _copy(folder: RunFolder, copy: RunFolder, chosen: Sequence[str]) -> None:
    """The run without its seal and the chosen cases. Files of cases are linked where that works."""
    shutil.copytree(
        folder.path,
        copy.path,
        ignore=shutil.ignore_patterns("cases", evidence.DELIVERED, LOCK, f"{LOCK}.*", *SEALS),
    )
    copy.private.mkdir(mode=0o700, exist_ok=True)
    copy.cases.mkdir(exist_ok=True)
    for case_id in folder.case_ids():
        if case_id not in chosen:
            shutil.copytree(folder.case(case_id), copy.case(case_id), copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    """Nothing is written into a file of a case: it is replaced as a whole."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _compare(folder: RunFolder, copy: RunFolder, chosen: Sequence[str]) -> Reproduction:
    num_same = num_close = 0
    problems = []
    for case_id in chosen:
        before = (folder.case(case_id) / "case.json").read_bytes()
        after = (copy.case(case_id) / "case.json").read_bytes()
        if before == after or json.loads(before) == json.loads(after):
            num_same += 1
            continue
        found = [
            f"{place}: {short(left)}, audited again {short(right)}"
            for place, left, right in differences(json.loads(before), json.loads(after), TOLERANCE)
        ]
        if not found:
            num_close += 1
            continue
        why = "; ".join(found[:MOST_NAMED])
        if len(found) > MOST_NAMED:
            why += f"; and {len(found) - MOST_NAMED} more differences"
        problems.append(Problem("not reproduced", f"cases/{case_id}/case.json", why))
    return Reproduction(tuple(chosen), num_same, num_close, tuple(problems))

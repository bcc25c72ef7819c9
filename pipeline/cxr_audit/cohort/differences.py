"""Two runs -> what they were made with differently."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cxr_audit.config import PLACES
from cxr_audit.records import Difference, RunRecord

NOT_OF_THE_MODEL = ("card", "is_deterministic")


def differences(a: RunRecord, b: RunRecord) -> Iterator[Difference]:
    """Every key of config, model and software that is not the same, but not where a run was made.

    Where no key of the config differs and its SHA-256 does, a path differs: a record hides paths.
    """
    before, after = _made_with(a), _made_with(b)
    for part in ("config", "model", "software"):
        old, new = before[part], after[part]
        for name in {**old, **new}:
            if old.get(name) != new.get(name):
                yield Difference(part, name, old.get(name), new.get(name))
        if part == "config" and old == new and a.config_sha256 != b.config_sha256:
            name = "a path, see private/config.json; SHA-256"
            yield Difference(part, name, a.config_sha256, b.config_sha256)


def _made_with(run: RunRecord) -> dict[Any, dict[str, Any]]:
    """What a run was made with, by part."""
    config: dict[str, Any] = {}
    for section, keys in run.config.items():
        for key, value in keys.items() if isinstance(keys, Mapping) else ():
            name = f"{section}.{key}"
            if name not in PLACES:
                config[name] = value
    model = {
        name: getattr(run.model, name)
        for name in run.model.__slots__
        if name not in NOT_OF_THE_MODEL
    }
    software = {**run.software.versions, "lung segmenter": run.software.segmenter_sha256}
    return {"config": config, "model": model, "software": software}

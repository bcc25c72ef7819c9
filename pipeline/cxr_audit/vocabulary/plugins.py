"""Rows from other packages, by the entry-point group `cxr_audit`.

An entry point names a function without parameters that adds rows to the tables of
`cxr_audit.vocabulary`. `run.json` and the bill of materials name the packages.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import metadata

from cxr_audit.vocabulary.checks import QUALITY_CHECKS, TRUST_CHECKS
from cxr_audit.vocabulary.factors import FACTORS
from cxr_audit.vocabulary.flags import FLAGS
from cxr_audit.vocabulary.methods import METHODS
from cxr_audit.vocabulary.metrics import MAP_METRICS, REGION_METRICS
from cxr_audit.vocabulary.outputs import OUTPUT_FILES
from cxr_audit.vocabulary.regions import REGION_KINDS
from cxr_audit.vocabulary.registry import Registry

GROUP = "cxr_audit"
TABLES: tuple[Registry, ...] = (  # type: ignore[type-arg]  # each table has rows of its own type
    METHODS,
    MAP_METRICS,
    REGION_METRICS,
    REGION_KINDS,
    FLAGS,
    FACTORS,
    QUALITY_CHECKS,
    TRUST_CHECKS,
    OUTPUT_FILES,
)


@cache
def load_plugins() -> dict[str, str]:
    """Let every installed package add its rows, once a process.

    Returns
    -------
    Distribution and version of each package -> SHA-256 over its installed Python files.
    """
    packages: dict[str, str] = {}
    for entry_point in sorted(metadata.entry_points(group=GROUP), key=lambda point: point.name):
        before = [set(table.keys()) for table in TABLES]
        entry_point.load()()
        distribution = entry_point.dist
        if distribution is None:
            raise ValueError(f"the entry point {entry_point.name} belongs to no distribution")
        name = f"{distribution.name} {distribution.version}"
        packages[name] = _sha256(distribution)
        for table, known in zip(TABLES, before, strict=True):
            table.mark(set(table.keys()) - known, name)
    return packages


def _sha256(distribution: metadata.Distribution) -> str:
    """Over the Python files of a distribution, in the order of their paths."""
    digest = hashlib.sha256()
    for path in sorted(distribution.files or (), key=str):
        if path.suffix == ".py":
            digest.update(f"{path}\n".encode())
            digest.update(path.read_binary())
    return digest.hexdigest()

"""A config -> the cases of a run in order, their batches, and what the run folder begins with."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from cxr_audit import ingest
from cxr_audit.audit.clock import now
from cxr_audit.audit.installed import installed_code
from cxr_audit.config import REFERENCE, AuditConfig
from cxr_audit.errors import ConfigError
from cxr_audit.evidence import CaseIdKey
from cxr_audit.records import CaseSource, ModelFacts, RunCases, RunRecord, Software
from cxr_audit.vocabulary import load_plugins
from cxr_audit.vocabulary.nearest import nearest

IN_PRIVATE = "see private/config.json"
# What ran: the libraries that can change a number or a page of a case. The SBOM lists all.
LIBRARIES = (
    *("cxr-audit", "tensorflow", "keras", "numpy", "scipy", "opencv-python-headless", "pillow"),
    *("pydicom", "python-gdcm", "pyjpegls", "pylibjpeg", "pylibjpeg-openjpeg"),
    *("jinja2", "babel", "weasyprint", "pydyf"),
)
# Of the extra onnx, where it is installed.
OPTIONAL = ("onnx", "onnxruntime", "tf2onnx")


@dataclass(frozen=True)
class Plan:
    """The cases of a run, in order.

    Parameters
    ----------
    sources : the cases to audit.
    found : all that there were to choose from.
    key : of the case ids.
    """

    config: AuditConfig
    key: CaseIdKey
    sources: list[CaseSource]
    found: list[CaseSource]

    @cached_property
    def masked(self) -> frozenset[str]:
        """The ids of the cases that causal masking asks again."""
        return frozenset(sample(self.sources, self.config.masking.cases))

    @cached_property
    def probed(self) -> frozenset[str]:
        """The ids of the cases whose brightness, border and markers are changed."""
        return frozenset(sample(self.sources, self.config.masking.probes))

    @cached_property
    def factored(self) -> frozenset[str]:
        """The ids of the cases that are asked with their factors changed."""
        return frozenset(sample(self.sources, self.config.factors.cases))

    def batches(self, case_ids: Iterable[str]) -> list[list[CaseSource | None]]:
        """The batches that hold any of these cases.

        A batch is always the same cases in the same places, whether or not a run was broken off, so
        that a resumed run ends in the same records. The places of other cases are None.
        """
        chosen, size = set(case_ids), self.config.engine.batch_size
        found = []
        for start in range(0, len(self.sources), size):
            batch = self.sources[start : start + size]
            places = [source if source.case_id in chosen else None for source in batch]
            if any(places):
                found.append(places)
        return found


def plan_run(config: AuditConfig, limit: int | None = None) -> Plan:
    """The cases that a config asks for.

    Parameters
    ----------
    limit : so many cases only, spread over the list.

    Raises
    ------
    ConfigError : there is no case, or a label, split or file of the manifest does not fit.
    """
    key = find_key(config)
    found = find_sources(config, key)
    check_subgroups(config, found)
    sources = found if limit is None else limited(found, limit)
    return Plan(config, key, sources, found)


def find_key(config: AuditConfig) -> CaseIdKey:
    """The key of a config's case ids.

    The radiographs that ship show no patient: their ids are the same everywhere.
    """
    if config.ingest.source == REFERENCE:
        return CaseIdKey(b"")
    return CaseIdKey.find(config.run.output, config.privacy.key_file)


def find_sources(
    config: AuditConfig, key: CaseIdKey, skipped: ingest.Skipped | None = None
) -> list[CaseSource]:
    """The cases of a config; its labels must be names of classes.

    `skipped` counts the files and folders that no case comes from, by their names.
    """
    source = config.ingest.source
    if source == REFERENCE:
        from cxr_audit.reference.radiographs import write_radiographs

        source = str(write_radiographs(config.run.output / "reference-radiographs"))
    return ingest.discover(
        source,
        config.ingest.labels,
        config.ingest.split,
        key.value,
        config.ingest.manifest,
        skipped,
    )


def check_labels(
    sources: Iterable[CaseSource], known: tuple[str, ...], names: bool = False
) -> None:
    """Check that every label names a class.

    Parameters
    ----------
    known : the labels that a case may have.
    names : quote the labels that are no class. They may be patients' names where `ingest.labels`
        names the wrong folder or column.

    Raises
    ------
    ConfigError : some label is no class.
    """
    unknown = sorted({source.label for source in sources if source.label is not None} - set(known))
    if not unknown:
        return
    count = "1 label matches" if len(unknown) == 1 else f"{len(unknown)} labels match"
    which = " (cxr-audit check CONFIG --names prints them)"
    if names:
        which = ": " + ", ".join(map(repr, unknown[:10]))
    raise ConfigError(
        f"{count} no class{which}; classes are {', '.join(known)}",
        "set classifier.class_names to the names that the labels use, or ingest.labels: none",
    )


def with_class_names(
    sources: Iterable[CaseSource], known: tuple[str, ...]
) -> tuple[list[CaseSource], dict[str, str]]:
    """The cases with labels as the classes are written, where the two differ in case only.

    Parameters
    ----------
    known : the labels that a case may have.

    Returns
    -------
    The cases, and each label that was changed with the class that it names.
    """
    folded: dict[str, list[str]] = {}
    for name in known:
        folded.setdefault(name.casefold(), []).append(name)
    fitted, changed = [], dict[str, str]()
    for source in sources:
        names = folded.get(source.label.casefold(), []) if source.label is not None else []
        if len(names) == 1 and source.label not in known:
            changed[str(source.label)] = names[0]
            source = replace(source, label=names[0])
        fitted.append(source)
    return fitted, changed


def label_notes(changed: Mapping[str, str]) -> tuple[str, ...]:
    """A sentence for each label that names a class when its case is ignored."""
    return tuple(
        f"the label {label!r} is taken as the class {name!r}: they differ in case only"
        for label, name in sorted(changed.items())
    )


def check_subgroups(config: AuditConfig, sources: Iterable[CaseSource]) -> None:
    """Check that every subgroup is an attribute of DICOM that is kept, or a column of the manifest.

    Raises
    ------
    ConfigError : naming the nearest one.
    """
    asked = [name for name in config.cohort.subgroups if name not in ingest.KEYWORDS]
    if not asked:
        return
    columns = {name: None for source in sources for name in source.metadata}
    for name in asked:
        if name in columns:
            continue
        near = nearest(name, (*columns, *sorted(ingest.KEYWORDS)))
        known = f"columns of the manifest: {', '.join(columns) or 'none'}"
        raise ConfigError(
            f"cohort.subgroups: {name!r} is neither a column of the manifest nor an attribute of "
            f"DICOM that is kept{f'. Perhaps you meant {near!r}' if near else ''}",
            f"{known}; attributes: {', '.join(sorted(ingest.KEYWORDS))}",
        )


def sample(sources: list[CaseSource], size: int | Literal["all", "none"]) -> set[str]:
    """The ids of so many cases, spread evenly over the run."""
    if size == "none":
        return set()
    num = len(sources) if size == "all" else min(size, len(sources))
    return {sources[n * len(sources) // num].case_id for n in range(num)}


def limited(sources: list[CaseSource], num: int) -> list[CaseSource]:
    """So many cases spread over the run, in its order.

    The cases of a smaller number are among those of a larger one: cases are ranked by the binary
    digits of their place, read backwards (van der Corput): the first, the one at a half, at a
    quarter, and so on.
    """
    digits = len(sources).bit_length()
    ranked = sorted(range(len(sources)), key=lambda place: f"{place:0{digits}b}"[::-1])
    return [sources[place] for place in sorted(ranked[:num])]


def new_run(
    plan: Plan, model: ModelFacts, segmenter_sha256: str | None, engine: dict[str, Any]
) -> RunRecord:
    """The first record of a run.

    Parameters
    ----------
    model, segmenter_sha256 : the networks that will run.
    engine : what the engine says of itself.
    """
    config = plan.config
    return RunRecord(
        name=config.run.name,
        status="running",
        started=now(),
        config=without_paths(config),
        config_sha256=config.sha256(),
        seed=config.run.seed,
        model=model,
        cases=RunCases(len(plan.sources), case_id_key=plan.key.fingerprint),
        software=Software(
            versions=versions(),
            engine={**engine, "batch_size": config.engine.batch_size},
            packages=load_plugins(),
            code=installed_code(),
            segmenter_sha256=segmenter_sha256,
        ),
    )


def without_paths(config: AuditConfig) -> dict[str, Any]:
    """The resolved config as records and reports carry it.

    A path may name a patient and stays in `private/`.
    """
    resolved = config.resolved()
    resolved["run"]["output"] = IN_PRIVATE
    if config.ingest.source != REFERENCE:
        resolved["ingest"]["source"] = IN_PRIVATE
    paths = (
        ("run", "protocol"),
        ("ingest", "manifest"),
        ("privacy", "key_file"),
        ("classifier", "reference_outputs"),
    )
    for section, key in paths:
        if resolved[section][key] is not None:
            resolved[section][key] = IN_PRIVATE
    if config.classifier.path is not None:
        resolved["classifier"]["path"] = Path(config.classifier.path).name
    command = [Path(word).name for word in config.classifier.command]
    resolved["classifier"]["command"] = command
    if config.preprocess.model is not None:
        resolved["preprocess"]["model"] = Path(config.preprocess.model).name
    return resolved


def versions() -> dict[str, str]:
    """Versions of Python, the system, ours, and the libraries of `LIBRARIES` and `OPTIONAL`."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    for name in LIBRARIES:
        found[name] = metadata.version(name)
    for name in OPTIONAL:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found

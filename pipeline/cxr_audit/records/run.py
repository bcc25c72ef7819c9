"""`run.json`: what was asked, of which model, with what."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from cxr_audit.records.base import SCHEMA_VERSION, require
from cxr_audit.records.card import ModelCard
from cxr_audit.records.checks import Check
from cxr_audit.vocabulary import Text


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What was audited.

    Parameters
    ----------
    input_shape : (rows, columns, channels).
    grid : (rows, columns) of the target layer.
    head : how the logit is read from the target layer.
    labels : what a case may be: the classes, and "not" the target where several may hold at once.
    """

    name: str
    sha256: str
    parameters: int
    input_shape: tuple[int, int, int]
    output_activation: str
    class_names: tuple[str, ...]
    target_layer: str
    grid: tuple[int, int]
    head: Text
    is_exact: bool
    is_deterministic: bool | None = None
    labels: tuple[str, ...] = ()
    card: ModelCard | None = None


@dataclass(frozen=True, slots=True)
class CascadeStage:
    """How similar the maps still are to the classifier's own with untrained weights.

    Parameters
    ----------
    layer, num_layers : so many layers, from the head to this one, have untrained weights.
    spearman, ssim : means over the sample, in [-1, 1].
    """

    layer: str
    num_layers: int
    spearman: float
    ssim: float


@dataclass(frozen=True, slots=True)
class RuntimeParity:
    """Whether another runtime answers as TensorFlow does: figures over real inputs.

    Parameters
    ----------
    runtime : name and version.
    largest_logit_difference : relative where a logit exceeds 1.
    lowest_map_correlation : Spearman's, of first maps; None where no map has an order.
    """

    runtime: str
    num_inputs: int
    largest_logit_difference: float
    lowest_map_correlation: float | None


@dataclass(frozen=True, slots=True)
class Parity:
    """Whether the network that is audited is the model of the file: figures over real inputs.

    Parameters
    ----------
    largest_output_difference : to the outputs of `model.predict`; relative where those exceed 1.
    largest_probability_difference : of the reported probability.
    tolerance : neither difference exceeds it.
    output : how probabilities follow from the outputs: sigmoid, softmax, multi_label (a sigmoid for
        each label) or probabilities (they are such already).
    is_stated : the config says so; else it was read from the last layer.
    runtime : what computes the forward passes; None = TensorFlow.
    """

    num_inputs: int
    largest_output_difference: float
    largest_probability_difference: float
    tolerance: float
    output: str
    is_stated: bool = False
    runtime: RuntimeParity | None = None


@dataclass(frozen=True, slots=True)
class CodeIdentity:
    """Which code ran.

    Parameters
    ----------
    version : in a checkout with the commits since its tag, the commit, and "dirty" where files were
        edited.
    sha256 : over `parts`.
    parts : SHA-256 over the files of each part: code, what ships beside it, packages that add rows.
    files : SHA-256 of each file of the code.
    install : a wheel, a checkout (as an editable install is), or files copied without either.
    changed : files that differ from the wheel or the commit; None = it cannot be known.
    """

    version: str
    sha256: str
    parts: dict[str, str]
    files: dict[str, str]
    install: Literal["wheel", "checkout", "copy"]
    commit: str | None = None
    changed: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class ProductionParity:
    """The outputs of the audited pipeline beside those of the site's own pipeline.

    Parameters
    ----------
    num_cases : cases compared.
    largest_difference, median_difference : over the cases, of each the output that differs most,
        in [0, 1].
    num_flipped : cases of which the predicted class is another.
    tolerance : largest difference up to which the pipelines count as the same.
    reference_sha256 : of the file with the site's outputs.
    num_not_compared : rows of that file without a case that could be read.
    """

    num_cases: int
    largest_difference: float
    median_difference: float
    num_flipped: int
    tolerance: float
    reference_sha256: str | None = None
    num_not_compared: int = 0

    def __post_init__(self) -> None:
        require(self.num_cases > 0, "no case was compared")
        for name in ("largest_difference", "median_difference"):
            value = getattr(self, name)
            require(math.isfinite(value) and 0 <= value <= 1, f"{name} is {value}")
        require(0 <= self.num_flipped <= self.num_cases, f"{self.num_flipped} cases flipped")

    @property
    def is_within(self) -> bool:
        return self.largest_difference <= self.tolerance


@dataclass(frozen=True, slots=True)
class Leg:
    """One start of a run: a run that was broken off and resumed has several.

    Parameters
    ----------
    started, ended : UTC, ISO 8601. A leg that was killed has no end and no costs.
    machine : system, processor, cores, memory; it names no host.
    engine : name, number of processes of each kind, batch size.
    num_cases : cases whose records were made in it.
    wall_s, cpu_s, peak_memory_mib : as in `RunRecord`.
    """

    started: str
    machine: dict[str, Any]
    engine: dict[str, Any]
    ended: str | None = None
    num_cases: int = 0
    wall_s: dict[str, float] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)
    peak_memory_mib: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RunRecord:
    """`run.json`. Times are UTC, ISO 8601; `scale` is the upper end of the run's colour scale in log-odds a cell,
    for the first map of each case; `scales` has one for each `method@layer` drawn. `checks` are those of the
    explanation that are made once a model, `cascade` the stages of the one that takes its weights away; scales and
    checks are from a sample of the `calibrated_cases` that the run then had. `wall_s` is
    what the composer waited for, `cpu_s` what the stages used in all processes. `mean_input_sha256` is that of `mean_input.npz`,
    the mean model input of that sample, None where it is too small; `logit_spread` is the standard deviation of the
    explained logit over it. Runs with the same `case_id_key`, a fingerprint, name the same file by the same case id.
    `num_found` is how many radiographs there were to choose from, where `--limit` asked for fewer."""

    name: str
    status: Literal["running", "finished"]
    started: str
    config: dict[str, Any]
    config_sha256: str
    seed: int
    model: ModelFacts
    num_cases: int
    versions: dict[str, str]
    engine: dict[str, Any]
    scale: float | None = None
    scale_source: Text | None = None
    scales: dict[str, float] = field(default_factory=dict)
    calibrated_cases: int | None = None
    checks: tuple[Check, ...] = ()
    cascade: tuple[CascadeStage, ...] = ()
    finished: str | None = None
    counts: dict[str, int] = field(default_factory=dict)
    wall_s: dict[str, float] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)
    peak_memory_mib: dict[str, float] = field(default_factory=dict)
    crosswalk_sha256: str | None = None
    segmenter_sha256: str | None = None
    mean_input_sha256: str | None = None
    logit_spread: float | None = None
    case_id_key: str | None = None
    num_found: int | None = None
    packages: dict[str, str] = field(default_factory=dict)
    code: CodeIdentity | None = None
    parity: Parity | None = None
    production_parity: ProductionParity | None = None
    schema_version: int = SCHEMA_VERSION
    legs: tuple[Leg, ...] = ()

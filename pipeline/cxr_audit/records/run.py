"""`run.json`: what was asked, of which model, with what."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from cxr_audit.records.base import SCHEMA_VERSION, require
from cxr_audit.records.card import ModelCard
from cxr_audit.records.checks import Check
from cxr_audit.records.passes import PassCount, PlainPass
from cxr_audit.vocabulary import Text


@dataclass(frozen=True, slots=True)
class ModelParts:
    """What a model needs beside its file, and which of its outputs is meant.

    Parameters
    ----------
    output_name : of a model with several outputs, the one that was audited.
    packages : with layers that the model uses, each with its version and the hash of its files.
    preprocess_sha256 : of the file `preprocess.model`; None = there is none.
    """

    output_name: str | None = None
    packages: tuple[str, ...] = ()
    preprocess_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What was audited.

    Parameters
    ----------
    input_shape : (rows, columns, channels).
    grid : (rows, columns) of the target layer.
    head : how the logit is read from the target layer.
    labels : what a case may be: the classes, and "not" the target where several may hold at once.
    parameters : None where they cannot be counted.
    unavailable : what cannot be asked of this model; None where it can be opened.
    parts : what else the config says of the model.
    """

    name: str
    sha256: str
    parameters: int | None
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
    unavailable: Text | None = None
    parts: ModelParts = ModelParts()


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
class RunCosts:
    """What a run, or one start of it, cost.

    Parameters
    ----------
    wall_s : seconds that the composer waited, by what it waited for.
    cpu_s : seconds of CPU that each stage used, in all processes together.
    peak_memory_mib : largest resident size of a process, by its kind.
    passes : what the audited network was asked, by purpose (a key of `vocabulary.PURPOSES`).
    """

    wall_s: dict[str, float] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)
    peak_memory_mib: dict[str, float] = field(default_factory=dict)
    passes: dict[str, PassCount] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Leg:
    """One start of a run: a run that was broken off and resumed has several.

    Parameters
    ----------
    started, ended : UTC, ISO 8601. A leg that was killed has no end and no costs.
    machine : system, processor, cores, memory; it names no host.
    engine : name, number of processes of each kind, batch size.
    num_cases : cases whose records were made in it.
    """

    started: str
    machine: dict[str, Any]
    engine: dict[str, Any]
    ended: str | None = None
    num_cases: int = 0
    costs: RunCosts = field(default_factory=RunCosts)


@dataclass(frozen=True, slots=True)
class RunCases:
    """Which cases a run has.

    Parameters
    ----------
    num_cases : how many.
    num_found : how many radiographs there were to choose from, where `--limit` asked for fewer.
    counts : cases by status, once the run has finished.
    case_id_key : fingerprint of the key of the case ids. Runs with the same fingerprint give the
        same file the same case id.
    crosswalk_sha256 : of `private/crosswalk.csv`.
    """

    num_cases: int
    num_found: int | None = None
    counts: dict[str, int] = field(default_factory=dict)
    case_id_key: str | None = None
    crosswalk_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Software:
    """What a run was made with.

    Parameters
    ----------
    versions : of Python, the system and the libraries that can change a number or a page.
    engine : name, number of processes of each kind, batch size.
    packages : that add rows to the vocabulary, with their versions.
    segmenter_sha256 : of the weights of the lung segmenter; None where it is not used.
    """

    versions: dict[str, str] = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)
    packages: dict[str, str] = field(default_factory=dict)
    code: CodeIdentity | None = None
    segmenter_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class RunCalibration:
    """What a run measured on a sample of its cases before it audited the first one.

    Parameters
    ----------
    num_cases : how many cases the run had then.
    scale : upper end of the colour scale of the first map of each case, in log-odds a cell; None
        where each case has its own.
    scale_source : where the scale comes from; None before the sample was measured.
    scales : upper end of the colour scale of each `method@layer`.
    checks : of the explanation, those made once a model.
    cascade : the stages of the check that takes the model's weights away.
    mean_input_sha256 : of `mean_input.npz`, the mean model input; None where the sample is too small.
    logit_spread : standard deviation of the explained logit.
    parity : whether the network that is audited is the model of the file.
    plain : what one forward pass costs, the unit of cost; None in records older than it.
    factor_ranges : 5th and 95th percentile of each factor that is moved, by key.
    spread_within_label : standard deviation of the explained logit around the mean of its label.
    """

    num_cases: int | None = None
    scale: float | None = None
    scale_source: Text | None = None
    scales: dict[str, float] = field(default_factory=dict)
    checks: tuple[Check, ...] = ()
    cascade: tuple[CascadeStage, ...] = ()
    mean_input_sha256: str | None = None
    logit_spread: float | None = None
    parity: Parity | None = None
    plain: PlainPass | None = None
    factor_ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    spread_within_label: float | None = None


@dataclass(frozen=True, slots=True)
class RunRecord:
    """`run.json`: what was asked, of which model, with what.

    Parameters
    ----------
    started, finished : UTC, ISO 8601.
    config : as it was resolved, without paths; the whole is in `private/config.json`.
    seed : of everything random.
    production_parity : the outputs beside those of the site's own pipeline, where the config has
        these.
    costs : of all legs together.
    """

    name: str
    status: Literal["running", "finished"]
    started: str
    config: dict[str, Any]
    config_sha256: str
    seed: int
    model: ModelFacts
    cases: RunCases
    software: Software = field(default_factory=Software)
    finished: str | None = None
    calibration: RunCalibration = field(default_factory=RunCalibration)
    production_parity: ProductionParity | None = None
    costs: RunCosts = field(default_factory=RunCosts)
    legs: tuple[Leg, ...] = ()
    schema_version: int = SCHEMA_VERSION

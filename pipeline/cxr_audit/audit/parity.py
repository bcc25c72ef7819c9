"""Whether the audited pipeline is the pipeline in production: same radiograph, same output.

`production_parity` compares the outputs that a site has exported with those of the audit, before
anything is audited. `try_pipelines` says which preprocessing reproduces them best.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import numpy.typing as npt

from cxr_audit import ingest, preprocess
from cxr_audit.audit.further_inputs import Further, further_of
from cxr_audit.audit.prepare import reading
from cxr_audit.audit.reference_outputs import (
    Case,
    Reference,
    chosen_cases,
    read_reference,
    thinned_out,
)
from cxr_audit.config import AuditConfig, Preprocess
from cxr_audit.errors import CaseError, ConfigError, ModelError
from cxr_audit.records import CaseSource, Floats, ProductionParity, Radiograph, Resize
from cxr_audit.vocabulary.presets import PLAIN, PRESETS, PresetName

if TYPE_CHECKING:
    from cxr_audit.classifier.classes import Classes
    from cxr_audit.explain import AnyExplainer

SEARCHED_CASES = 16
"""Where no preset fits, value ranges and aspects are tried on so many cases."""

WIDER_PRESETS: tuple[PresetName | None, ...] = (None, "keras-generator", "tf-image", "pil")

Outputs = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trial:
    """One preprocessing and how well it reproduces the outputs.

    Parameters
    ----------
    settings : what it changes in the section `preprocess`; empty = as configured.
    parity : the figures.
    same_input : further settings that gave the same model inputs, bit for bit.
    """

    settings: dict[str, Any]
    parity: ProductionParity
    same_input: tuple[dict[str, Any], ...] = field(default=())


def production_parity(
    config: AuditConfig, explainer: AnyExplainer, sources: Sequence[CaseSource]
) -> ProductionParity | None:
    """Compare the audit's outputs with the site's, or refuse the run.

    Parameters
    ----------
    config : names the file with the site's outputs, and the tolerance.
    explainer : holds the classifier and asks it.
    sources : all radiographs of the config; those in the file are asked.

    Returns
    -------
    The figures; None where the config names no file, so that parity is not shown.

    Raises
    ------
    ConfigError : the file cannot be used.
    ModelError : an output differs by more than the tolerance.
    """
    if config.classifier.reference_outputs is None:
        return None
    reference = read_reference(config.classifier.reference_outputs, explainer.classifier.labels)
    trials = _tried(config, explainer, chosen_cases(reference, sources), reference, [{}])
    parity = trials[0].parity
    if not parity.is_within:
        raise ModelError(
            f"the audited pipeline does not reproduce the production outputs: of "
            f"{parity.num_cases} cases the largest difference is {parity.largest_difference:.3f}, "
            f"the median {parity.median_difference:.3f}, and {parity.num_flipped} cases have "
            f"another predicted class (classifier.tolerance {parity.tolerance:g})",
            "cxr-audit parity CONFIG says which preprocessing reproduces them best",
        )
    return parity


def try_pipelines(
    config: AuditConfig,
    explainer: AnyExplainer,
    sources: Sequence[CaseSource],
    progress: Callable[[str, int, int], None] = lambda phase, done, total: None,
) -> list[Trial]:
    """Every preset; where none fits, every aspect as well, and then value ranges.

    Parameters
    ----------
    config : names the file with the site's outputs.
    explainer, sources : as for `production_parity`.
    progress : called with (phase, done, total).

    Returns
    -------
    Trials, the best one first.

    Raises
    ------
    ConfigError : the file cannot be used.
    """
    path = config.classifier.reference_outputs
    if path is None:
        raise ConfigError(
            "the config names no production outputs",
            "set classifier.reference_outputs to a CSV file: a column path and one for each class",
        )
    reference = read_reference(path, explainer.classifier.labels)
    cases = chosen_cases(reference, sources)
    trials = _tried(config, explainer, cases, reference, presets(config.preprocess), progress)
    few = thinned_out(cases, SEARCHED_CASES)
    for wider in (_aspects(config.preprocess), _ranges(config.preprocess)):
        # A near relation of the right pipeline may be within the tolerance; the right one is exact.
        if trials[0].parity.largest_difference <= config.classifier.tolerance / 10:
            break
        found = _tried(config, explainer, few, reference, wider, progress)
        # What looks best on a few cases is measured on all of them.
        best = [trial.settings for trial in found[:3]]
        measured = _tried(config, explainer, cases, reference, best, progress)
        trials = ranked_trials(trials + measured, config.preprocess.resize)
    return trials


def compare_outputs(
    reference: Outputs,
    ours: Outputs,
    tolerance: float,
    target: int | None = None,
    threshold: float | None = None,
) -> ProductionParity:
    """Two pipelines' outputs of the same cases.

    Parameters
    ----------
    reference, ours : probabilities (cases, classes) in [0, 1].
    tolerance : largest difference up to which they count as the same.
    target, threshold : column and probability from which the target class is predicted; without
        them the class with the highest output is.

    Raises
    ------
    ValueError : no cases, other shapes, or a value outside [0, 1].
    """
    if reference.shape != ours.shape or reference.ndim != 2 or not reference.size:
        raise ValueError(f"outputs of {reference.shape} and {ours.shape} cannot be compared")
    for values in (reference, ours):
        if not ((values >= 0) & (values <= 1)).all():  # also refuses NaN
            raise ValueError("outputs must lie in [0, 1]")
    differences = np.abs(reference - ours).max(axis=1)
    if target is not None and threshold is not None:
        predicted = [values[:, target] >= threshold for values in (reference, ours)]
    else:
        predicted = [values.argmax(axis=1) for values in (reference, ours)]
    return ProductionParity(
        num_cases=len(reference),
        largest_difference=float(differences.max()),
        median_difference=float(np.median(differences)),
        num_flipped=int((predicted[0] != predicted[1]).sum()),
        tolerance=tolerance,
    )


def presets(settings: Preprocess) -> list[dict[str, Any]]:
    """What to try: the config as it is, each preset, and what else its library offers."""
    tried: list[dict[str, Any]] = [{}]
    tried += [_of_preset(preset, settings) for preset in PRESETS]
    for preset in (*PRESETS, None):
        row = PLAIN if preset is None else PRESETS[preset]
        for interpolation, possible in row.antialias.items():
            for antialias in possible:
                tried.append(
                    {
                        **_of_preset(preset, settings),
                        "interpolation": interpolation,
                        "antialias": antialias,
                    }
                )
    return tried


def _of_preset(preset: PresetName | None, settings: Preprocess) -> dict[str, Any]:
    """A preset with its own defaults in place of what the config says of them."""
    resize: str = settings.resize
    if preset is not None and settings.preset != preset and resize == "stretch":
        resize = PRESETS[preset].resize
    return {
        "preset": preset,
        "interpolation": None,
        "antialias": None,
        "rounding": None,
        "resize": resize,
    }


def _aspects(settings: Preprocess) -> list[dict[str, Any]]:
    """Each preset with each way to change the aspect."""
    tried = []
    for preset, resize in itertools.product((*PRESETS, None), get_args(Resize)):
        tried.append({**_of_preset(preset, settings), "resize": resize})
    return tried


def _ranges(settings: Preprocess) -> list[dict[str, Any]]:
    """Some presets and aspects with each value range that the model can have."""
    scalings = ["unit", "minus_one_one", "raw_255", "txv"]
    if settings.channels == 3:
        scalings += ["imagenet", "caffe"]
    own_range = {"scale": None, "offset": None, "standardise": None}
    aspects: tuple[Resize, ...] = ("stretch", "letterbox", "center_crop", "crop_resize")
    tried: list[dict[str, Any]] = []
    for scaling, resize in itertools.product(scalings, aspects):
        for preset in WIDER_PRESETS:
            aspect = {"resize": resize, "scaling": scaling}
            tried.append({**_of_preset(preset, settings), **aspect, **own_range})
    return tried


def _refuse_constant(outputs: Sequence[tuple[float, ...]], tolerance: float) -> None:
    """Outputs that are all alike show nothing: every pipeline reproduces them."""
    spread = float(np.ptp(np.array(outputs), axis=0).max())
    if len(outputs) > 1 and spread <= tolerance:
        raise ConfigError(
            f"the outputs of classifier.reference_outputs hardly vary ({spread:.4f}): "
            "any pipeline would reproduce them",
            "choose cases with high and with low outputs",
        )


def _tried(
    config: AuditConfig,
    explainer: AnyExplainer,
    cases: Sequence[Case],
    reference: Reference,
    tried: Sequence[dict[str, Any]],
    progress: Callable[[str, int, int], None] = lambda phase, done, total: None,
) -> list[Trial]:
    """How well each preprocessing reproduces the outputs; each radiograph is read once."""
    classifier = explainer.classifier
    # Known before any radiograph is read; checked again for those that can be read.
    _refuse_constant([values for _, values in cases], config.classifier.tolerance)
    settings = [_changed(config.preprocess, changes) for changes in tried]
    expected: list[tuple[float, ...]] = []
    received: list[list[Outputs]] = []
    hashes: list[list[bytes]] = []
    columns = [classifier.labels.index(name) for name in reference.class_names]
    for done, (source, values) in enumerate(cases, 1):
        try:
            radiograph = ingest.read(source, **reading(config))
        except CaseError:
            continue  # counted: it is not among those compared
        further = further_of(source, radiograph.facts, config.classifier.inputs)
        if not isinstance(further, Further):
            continue  # counted, as one that cannot be read
        digests, outputs = _asked(
            radiograph, settings, explainer, config.engine.batch_size, further.numbers
        )
        expected.append(values)
        hashes.append(digests)
        received.append([scores[columns] for scores in outputs])
        progress("pipelines", done, len(cases))
    if not expected:
        raise ConfigError("no case of classifier.reference_outputs can be read")
    _refuse_constant(expected, config.classifier.tolerance)
    compared: dict[tuple[bytes, ...], Trial] = {}
    for index, changes in enumerate(tried):
        key = tuple(digests[index] for digests in hashes)
        if key in compared:
            known = compared[key]
            compared[key] = replace(known, same_input=(*known.same_input, changes))
            continue
        parity = compare_outputs(
            np.array(expected),
            np.array([outputs[index] for outputs in received]),
            config.classifier.tolerance,
            *_threshold(classifier, reference.class_names),
        )
        parity = replace(
            parity,
            reference_sha256=reference.sha256,
            num_not_compared=len(reference.outputs) - len(expected),
        )
        compared[key] = Trial(changes, parity)
    return ranked_trials(list(compared.values()), config.preprocess.resize)


def _asked(
    radiograph: Radiograph,
    settings: Sequence[Preprocess],
    explainer: AnyExplainer,
    at_once: int,
    further: tuple[float, ...],
) -> tuple[list[bytes], list[Outputs]]:
    """Of one radiograph, for each preprocessing: a hash of the model input, and the scores. The
    same model input is asked once."""
    tensors: dict[bytes, Floats] = {}
    digests = []
    for chosen in settings:
        model_input = preprocess.preprocess(radiograph, chosen)[0]
        tensor = replace(model_input, further=further).packed()
        digest = hashlib.sha256(tensor.tobytes()).digest()
        tensors[digest] = tensor
        digests.append(digest)
    classifier = explainer.classifier
    logits = explainer.ask(tensors.values(), at_once)
    scores = {}
    for digest, values in zip(tensors, logits, strict=True):
        if not np.isfinite(values).all():
            raise ModelError("the classifier's output is not a finite number")
        by_class = classifier.predict(values, None).class_scores
        scores[digest] = np.array([by_class[name] for name in classifier.labels])
    return digests, [scores[digest] for digest in digests]


def _changed(settings: Preprocess, changes: dict[str, Any]) -> Preprocess:
    """The settings with some keys changed, validated again."""
    return Preprocess.model_validate({**settings.model_dump(), **changes}) if changes else settings


def _threshold(classifier: Classes, class_names: Sequence[str]) -> tuple[int | None, float | None]:
    """Column and threshold that decide the predicted class, where the file has that column."""
    if not classifier.has_threshold:
        return None, None
    if classifier.target_class in class_names:
        return class_names.index(classifier.target_class), classifier.threshold
    return 0, 1 - classifier.threshold  # of two classes the file has the other one


def ranked_trials(trials: list[Trial], aspect: Resize = "stretch") -> list[Trial]:
    """The best first.

    Those within the tolerance come first, by their largest difference, then the others by the
    median, which one odd case does not move. Of those that agree to four decimals, one that keeps
    the configured aspect and sets few keys comes first: square radiographs cannot tell aspects
    apart.
    """

    def order(trial: Trial) -> tuple[bool, float, float, bool, int]:
        parity = trial.parity
        first, second = parity.largest_difference, parity.median_difference
        if not parity.is_within:
            first, second = second, first
        other_aspect = trial.settings.get("resize", aspect) != aspect
        num_set = sum(value is not None for value in trial.settings.values())
        return (not parity.is_within, round(first, 4), round(second, 4), other_aspect, num_set)

    return sorted(trials, key=order)

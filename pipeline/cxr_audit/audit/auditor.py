"""The only code that runs networks: `Auditor`, in a process of its own.

A batch is a list of places; a place without a case is None and stays so. All calls of the
classifier have the same size, filled up with zeros, so that a case's numbers do not depend on its
neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from cxr_audit import preprocess as geometry
from cxr_audit import regions
from cxr_audit.audit.clock import Clock, peak_mib
from cxr_audit.audit.document import Explained, find_regions
from cxr_audit.audit.measuring import scale_key
from cxr_audit.audit.networks import open_checks, open_classifier, open_segmenter
from cxr_audit.audit.parity import production_parity
from cxr_audit.audit.prepare import Batch, Prepared, stopped, with_lungs
from cxr_audit.config import AuditConfig
from cxr_audit.records import (
    CascadeStage,
    CaseSource,
    Check,
    ClassActivationMap,
    Floats,
    ModelFacts,
    ModelInput,
    Parity,
    ProductionParity,
)
from cxr_audit.regions import Lungs
from cxr_audit.trust import state
from cxr_audit.vocabulary import message

ExplainedBatch = list[Explained | None]


@dataclass(frozen=True, slots=True)
class Networks:
    """What an auditor holds, for the record of the run; what opening it cost."""

    model: ModelFacts
    segmenter_sha256: str | None
    cpu_s: dict[str, float]
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the networks say of a sample of the run.

    Parameters
    ----------
    is_deterministic : whether two calls give the same bits; None without any case.
    peaks : largest value of each usable map of the sample, by `method@layer`.
    primary : the `method@layer` of the first maps.
    num_mapped : cases with a map.
    checks, cascade : the checks of the explanation that are made once a model.
    logit_spread : standard deviation of the explained logit; None where it is no number.
    mean_input : float32 (rows, columns, channels); None where the sample is too small.
    parity : whether the network that is audited is the model of the file; None without any case.
    """

    is_deterministic: bool | None = None
    peaks: dict[str, list[float]] = field(default_factory=dict)
    primary: str = ""
    num_mapped: int = 0
    checks: tuple[Check, ...] = ()
    cascade: tuple[CascadeStage, ...] = ()
    logit_spread: float | None = None
    mean_input: Floats | None = None
    parity: Parity | None = None
    cpu_s: dict[str, float] = field(default_factory=dict)
    peak_mib: float = 0.0


@dataclass(frozen=True, slots=True)
class Question:
    """What a run asks of each case beside its explanation.

    Parameters
    ----------
    checks : of the model; they are part of each case's trust.
    mean_input : what markers and border are replaced with; None = they are not.
    masked : ids of the cases that are asked again with parts masked.
    """

    checks: tuple[Check, ...]
    mean_input: Floats | None
    masked: frozenset[str]


class Auditor:
    """Classifier, lung segmenter and checks of one config, opened once a process.

    Raises
    ------
    ConfigError, ModelError : a network is missing, or does not fit the config.
    """

    def __init__(self, config: AuditConfig) -> None:
        clock = Clock()
        self.config = config
        self.size = config.engine.batch_size
        self.explainer, self.model = open_classifier(config)
        self.classifier = self.explainer.classifier
        self.checks = open_checks(config, self.explainer)
        self.segmenter = open_segmenter(config)
        clock.mark("start")
        self._start = clock.cpu_s

    def networks(self) -> Networks:
        """What this auditor holds."""
        sha256 = self.segmenter.sha256 if self.segmenter else None
        return Networks(self.model, sha256, self._start, peak_mib())

    def production_parity(self, sources: list[CaseSource]) -> ProductionParity | None:
        """The outputs of this pipeline beside those of the site's own, if the config names them."""
        return production_parity(self.config, self.explainer, sources)

    # ---- the two calls of a run

    def calibrate(self, batches: list[Batch]) -> Calibration:
        """What has to be known of a run before its first picture is drawn.

        Parameters
        ----------
        batches : a sample of the run. Cases that are excluded have no part in it.

        Raises
        ------
        ModelError : the network that is audited is not the model of the file, or the runtime does
            not answer as TensorFlow does.
        """
        from cxr_audit.explain import check_maps_vary, check_output_varies

        clock = Clock()
        inputs: list[ModelInput] = []
        peaks: dict[str, list[float]] = {}
        probabilities: list[float] = []
        first_maps: list[ClassActivationMap] = []
        is_deterministic, primary = None, ""
        for batch in batches:
            ready, _ = self.ready_batch(batch)
            if is_deterministic is None and any(_is_audited(case) for case in ready):
                is_deterministic = self._answers_alike(ready)
            inputs += [case.model_input for case in ready if case and case.model_input]
            for case in self._explain(ready):
                if case is None or case.prediction is None:
                    continue
                probabilities.append(case.prediction.probability)
                first_maps += case.maps[:1]
                for class_map in case.maps:
                    key = scale_key(class_map.facts)
                    primary = primary or key
                    if class_map.facts.status == "ok":
                        peaks.setdefault(key, []).append(float(class_map.values.max()))
        checks: tuple[Check, ...] = ()
        cascade: tuple[CascadeStage, ...] = ()
        parity = None
        if inputs:
            tensors = np.stack([model_input.tensor for model_input in inputs])
            parity = self._parity(tensors)
            checks, cascade = self.checks.of_model(tensors)
            checks += (check_output_varies(probabilities), check_maps_vary(first_maps))
        spread = self._logit_spread(inputs)
        clock.mark("calibration")
        return Calibration(
            is_deterministic,
            peaks,
            primary,
            len(first_maps),
            checks,
            cascade,
            spread,
            geometry.usual(inputs),
            parity,
            clock.cpu_s,
            peak_mib(),
        )

    def explain(
        self, batch: Batch, question: Question
    ) -> tuple[ExplainedBatch, dict[str, float], float]:
        """Everything that the networks say of a batch.

        Returns
        -------
        The batch; CPU seconds by stage; the largest resident size of this process so far in MiB.
        """
        clock = Clock()
        ready, lungs = self.ready_batch(batch)
        clock.mark("lungs")
        explained = self._explain(ready)
        explained = [
            case and replace(case, lungs=found)
            for case, found in zip(explained, lungs, strict=True)
        ]
        self._vary(explained, question)
        clock.mark("classifier and maps")
        self._check(explained, question)
        clock.mark("trust")
        self._mask(explained, question)
        clock.mark("causal masking")
        return [case and _light(case) for case in explained], clock.cpu_s, peak_mib()

    def ready_batch(self, batch: Batch) -> tuple[Batch, list[Lungs | None]]:
        """The lungs of each case, and the quality rules that need them.

        A case that stops here is not explained.
        """
        lungs: list[Lungs | None] = [None] * len(batch)
        inputs: dict[int, Floats] = {}
        for n, case in enumerate(batch):
            if case is not None and case.lung_input is not None:
                inputs[n] = case.lung_input
        if self.segmenter is not None and inputs:
            found = self.segmenter.find(np.stack(list(inputs.values())))
            for n, of_case in zip(inputs, found, strict=True):
                lungs[n] = of_case
        ready = [
            case and with_lungs(case, of_case, self.config)
            for case, of_case in zip(batch, lungs, strict=True)
        ]
        return ready, lungs

    # ---- steps

    def _parity(self, inputs: Floats) -> Parity:
        """Whether what is audited is the model of the file, in each runtime."""
        from cxr_audit.classifier import check_closed_parity, check_parity
        from cxr_audit.explain import ClosedExplainer, Explainer
        from cxr_audit.trust.runtime import check_runtime

        if isinstance(self.explainer, ClosedExplainer):
            return check_closed_parity(self.explainer.classifier, inputs)
        assert isinstance(self.explainer, Explainer)
        runtime = check_runtime(self.explainer, inputs, self.size)
        return replace(check_parity(self.explainer.classifier, inputs), runtime=runtime)

    def _answers_alike(self, batch: Batch) -> bool:
        """Whether two calls give the same bits."""
        tensor = self._tensor(batch)
        first, second = (self.explainer.logits(tensor) for _ in range(2))
        return bool(np.array_equal(first, second, equal_nan=True))

    def _logit_spread(self, inputs: list[ModelInput]) -> float | None:
        """Standard deviation of the explained logit; None where it is no number."""
        if not inputs:
            return None
        logits = self._logits(model_input.tensor for model_input in inputs)
        spread = float(logits.std())
        return spread if np.isfinite(spread) else None

    def _explain(self, batch: Batch) -> ExplainedBatch:
        """Prediction and maps of each case; one whose output is not finite has failed."""
        labels = [case.source.label if case else None for case in batch]
        is_present = [_is_audited(case) for case in batch]
        if not any(is_present):
            return [Explained(case) if case else None for case in batch]
        rest = self.size - len(batch)
        result = self.explainer.explain(
            self._tensor(batch), labels + [None] * rest, is_present + [False] * rest
        )
        explained: ExplainedBatch = []
        for n, case in enumerate(batch):
            if case is None:
                explained.append(None)
            elif case.failure is not None:
                explained.append(Explained(case))
            elif not np.isfinite(result.logits[n]).all():
                explained.append(Explained(_not_finite(case)))
            else:
                prediction = self.classifier.predict(result.logits[n], case.source.label)
                explained.append(Explained(case, prediction, result.maps[n], result.controls[n]))
        return explained

    def _vary(self, batch: ExplainedBatch, question: Question) -> None:
        """How the answer changes with brightness, and with markers and border as in the mean."""
        varied: dict[int, tuple[dict[str, Floats], dict[str, Floats]]] = {}
        for n, case in _predicted(batch):
            seen = case.prepared.model_input
            assert seen is not None
            markers = {
                region.facts.name: region.mask
                for region in case.prepared.regions
                if region.facts.kind == "marker"
            }
            replaced = {}
            if question.mean_input is not None:
                replaced = geometry.as_usual(seen, question.mean_input, markers, regions.BORDER)
            varied[n] = geometry.exposures(seen, self.config.preprocess), replaced
        logits = iter(self._logits(_tensors(varied.values())))
        for n, case in _predicted(batch):
            assert case.prediction is not None
            before, (exposures, replaced) = case.prediction.logit, varied[n]
            exposure = {name: float(next(logits)) - before for name in exposures}
            as_usual = {name: float(next(logits)) - before for name in replaced}
            if np.isfinite([*exposure.values(), *as_usual.values()]).all():
                batch[n] = replace(case, exposure=exposure, as_usual=as_usual)

    def _check(self, batch: ExplainedBatch, question: Question) -> None:
        """Whether the explanation of each case can be trusted."""
        places = [n for n, case in enumerate(batch) if case and case.maps]
        if not places:
            return
        tensor = self._tensor([case.prepared if case else None for case in batch])[: len(batch)]
        checks = self.checks.of_cases(tensor, [case.maps if case else () for case in batch])
        for n in places:
            case = batch[n]
            assert case is not None
            trust = state.judge(case.maps[0].facts.status, question.checks, checks[n])
            batch[n] = replace(case, trust=trust)

    def _mask(self, batch: ExplainedBatch, question: Question) -> None:
        """What the answer is without the lungs, a marker and so on, for the cases asked."""
        from cxr_audit.trust import masking

        subjects = {
            n: self._subject(case)
            for n, case in _predicted(batch)
            if case.prepared.source.case_id in question.masked
        }
        answers = masking.ask_again(self.explainer, list(subjects.values()), self.size)
        for n, (masked, missing) in zip(subjects, answers, strict=True):
            case = batch[n]
            assert case is not None
            batch[n] = replace(case, masking=masked, masking_missing=missing)

    def _subject(self, case: Explained) -> Any:
        from cxr_audit.trust import masking

        assert case.prepared.model_input is not None
        assert case.prediction is not None
        tensor, placement = case.prepared.model_input.tensor, case.prepared.model_input.placement
        found = find_regions(case)
        size = placement.input_rows, placement.input_columns
        masks = np.stack([region.mask for region in found])
        shares = geometry.region_shares(placement, *size, masks)
        seen, *_ = geometry.cell_shares(placement, *size)
        reason = case.lungs.reason if case.lungs else None
        return masking.Subject.of(tensor, case.prediction, seen, found, shares, reason)

    def _logits(self, tensors: Iterable[Floats]) -> Floats:
        """The explained logit of any number of model inputs."""
        selector = self.classifier.selector(self.classifier.target_class)
        return self.explainer.ask(tensors, self.size) @ selector

    def _tensor(self, batch: Batch) -> Floats:
        """Model inputs (batch size, rows, columns, channels); places without a case are 0."""
        tensor = np.zeros((self.size, *self.classifier.input_shape), np.float32)
        for n, case in enumerate(batch):
            if case is not None and case.model_input is not None:
                tensor[n] = case.model_input.tensor
        return tensor


def _is_audited(case: Prepared | None) -> bool:
    return case is not None and case.failure is None


def _predicted(batch: ExplainedBatch) -> list[tuple[int, Explained]]:
    """Places and cases that have a prediction."""
    return [(n, case) for n, case in enumerate(batch) if case and case.prediction is not None]


def _tensors(varied: Iterable[tuple[dict[str, Floats], dict[str, Floats]]]) -> Iterable[Floats]:
    for exposures, replaced in varied:
        yield from exposures.values()
        yield from replaced.values()


def _not_finite(case: Prepared) -> Prepared:
    failure = stopped(
        case.source,
        "failed",
        message("audit.output_not_finite"),
        "ModelError",
        message("audit.check_scaling"),
        case.facts,
    )
    return replace(case, failure=failure, model_input=None)


def _light(case: Explained) -> Explained:
    """The case without what only the networks need."""
    return replace(case, prepared=replace(case.prepared, lung_input=None))

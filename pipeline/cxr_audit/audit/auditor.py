"""The only code that runs networks: `Auditor`, in a process of its own.

A batch is a list of places; a place without a case is None and stays so. All calls of the
classifier have the same size, filled up with zeros, so that a case's numbers do not depend on its
neighbours.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cxr_audit import preprocess as geometry
from cxr_audit import regions
from cxr_audit.audit.clock import Clock, peak_mib, summed
from cxr_audit.audit.document import Explained, find_regions
from cxr_audit.audit.expected import PARITY_CASES, PLAIN_CALLS
from cxr_audit.audit.factors import (
    Change,
    Ranges,
    changed_inputs,
    measured,
    read_changes,
    usual_ranges,
)
from cxr_audit.audit.further_inputs import with_contributions, with_references
from cxr_audit.audit.networks import open_checks, open_classifier, open_segmenter
from cxr_audit.audit.parity import production_parity
from cxr_audit.audit.prepare import Batch, Prepared, stopped, with_lungs
from cxr_audit.audit.questions import Questions
from cxr_audit.audit.sample import Sample, spread
from cxr_audit.config import AuditConfig
from cxr_audit.records import (
    CascadeStage,
    CaseSource,
    Check,
    Floats,
    ModelFacts,
    ModelInput,
    Parity,
    PassCount,
    PlainPass,
    ProductionParity,
)
from cxr_audit.records.passes import added
from cxr_audit.regions import Lungs
from cxr_audit.trust import state
from cxr_audit.vocabulary import message
from cxr_audit.vocabulary.depths import DEPTHS

if TYPE_CHECKING:
    from cxr_audit.explain import BatchResult

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
    plain : what one forward pass costs; None without any case.
    passes : what the classifier was asked, by purpose.
    factor_ranges : the usual range of each factor that is moved.
    spread_within_label : standard deviation of the logit around the mean of its label.
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
    plain: PlainPass | None = None
    passes: dict[str, PassCount] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)
    peak_mib: float = 0.0
    factor_ranges: Ranges = field(default_factory=dict)
    spread_within_label: float | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What a run asks of each case beside its explanation.

    Parameters
    ----------
    checks : of the model; they are part of each case's trust.
    mean_input : what markers and border are replaced with; None = they are not.
    masked : ids of the cases that are asked again with parts masked.
    probed : ids of the cases that are asked with brightness, markers and border changed.
    factored : ids of the cases that are asked with their factors changed.
    ranges : the usual range of each factor.
    """

    checks: tuple[Check, ...]
    mean_input: Floats | None
    masked: frozenset[str]
    probed: frozenset[str]
    factored: frozenset[str] = frozenset()
    ranges: Ranges = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the networks say of a batch.

    Parameters
    ----------
    batch : the cases in their places.
    passes : what the classifier was asked, by purpose.
    cpu_s : seconds by stage.
    peak_mib : the largest resident size of the process so far.
    """

    batch: ExplainedBatch
    passes: dict[str, PassCount]
    cpu_s: dict[str, float]
    peak_mib: float


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
        self._selector = self.classifier.selector(self.classifier.target_class)
        clock.mark("start")
        self._start = clock.cpu_s

    def networks(self) -> Networks:
        """What this auditor holds."""
        sha256 = self.segmenter.sha256 if self.segmenter else None
        return Networks(self.model, sha256, self._start, peak_mib())

    def production_parity(self, sources: list[CaseSource]) -> ProductionParity | None:
        """The outputs of this pipeline beside those of the site's own, if the config names them."""
        with self.classifier.passes.of("production"):
            return production_parity(self.config, self.explainer, sources)

    # ---- the three calls of a run

    def look(self, batches: list[Batch]) -> Sample:
        """Outputs and maps of a sample, and what a plain pass costs.

        Parameters
        ----------
        batches : a sample of the run. Cases that are excluded have no part in it.
        """
        clock = Clock()
        sample = Sample(self._selector)
        for batch in batches:
            ready, lungs = self.ready_batch(batch)
            if not any(_is_audited(case) for case in ready):
                continue
            with self.classifier.passes.of("calibration"):
                result = self._ask(ready)
            explained = self._explained(ready, result)
            for n, (case, answered) in enumerate(zip(ready, explained, strict=True)):
                if case is not None and answered is not None and case.model_input is not None:
                    sample.add(case.model_input, result.logits[n], result.controls[n])
                    sample.add_maps(result.maps[n], answered.prediction)
                    sample.add_factors(case.source.label, measured(case, lungs[n]))
            if sample.plain is None:
                sample.is_deterministic, sample.plain = self._timed(self._tensor(ready))
        num_cases = len(sample.inputs)
        sample.num_passes_left = min(PARITY_CASES, num_cases)
        sample.num_passes_left += sum(self.checks.num_inputs_of_model(num_cases).values())
        clock.mark("calibration")
        sample.cpu_s, sample.passes = clock.cpu_s, self.classifier.passes.take()
        return sample

    def calibrate(self, sample: Sample) -> Calibration:
        """What has to be known of a run before its first picture is drawn.

        Raises
        ------
        ModelError : the network that is audited is not the model of the file, or the runtime does
            not answer as TensorFlow does.
        """
        from cxr_audit.explain import check_maps_vary, check_output_varies

        clock = Clock()
        checks: tuple[Check, ...] = ()
        cascade: tuple[CascadeStage, ...] = ()
        parity = None
        if sample.inputs:
            tensors, logits = sample.tensors(), np.stack(sample.logits)
            few = spread(len(tensors), PARITY_CASES)
            parity = self._parity(tensors[few], logits[few])
            checks, cascade = self.checks.of_model(tensors, sample.maps())
            checks += (
                check_output_varies(sample.probabilities),
                check_maps_vary(sample.first_maps),
            )
        clock.mark("calibration")
        return Calibration(
            sample.is_deterministic,
            sample.peaks,
            sample.primary,
            len(sample.first_maps),
            checks,
            cascade,
            sample.logit_spread(),
            geometry.usual(sample.inputs),
            parity,
            sample.plain,
            added(sample.passes, self.classifier.passes.take()),
            summed(sample.cpu_s, clock.cpu_s),
            peak_mib(),
            usual_ranges(sample.measured),
            sample.spread_within_label() if sample.inputs else None,
        )

    def explain(self, batch: Batch, question: Question) -> Answer:
        """Everything that the networks say of a batch."""
        clock = Clock()
        ready, lungs = self.ready_batch(batch)
        clock.mark("lungs")
        explained = self._explain(ready)
        explained = [
            case and replace(case, lungs=found)
            for case, found in zip(explained, lungs, strict=True)
        ]
        self._contribute(explained)
        clock.mark("classifier and maps")
        by_brightness = self._change(explained, question)
        clock.mark("changed inputs")
        self._check(explained, question, by_brightness)
        clock.mark("trust")
        light = [case and _light(case) for case in explained]
        return Answer(light, self.classifier.passes.take(), clock.cpu_s, peak_mib())

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

    def _parity(self, inputs: Floats, logits: Floats) -> Parity:
        """Whether what is audited is the model of the file, in each runtime.

        Parameters
        ----------
        logits : (N, units), of the audit for these inputs.
        """
        from cxr_audit.classifier import check_closed_parity, check_parity
        from cxr_audit.explain import ClosedExplainer, Explainer
        from cxr_audit.trust.runtime import check_runtime

        if isinstance(self.explainer, ClosedExplainer):
            with self.classifier.passes.of("parity"):
                return check_closed_parity(self.explainer.classifier, inputs)
        assert isinstance(self.explainer, Explainer)
        with self.classifier.passes.of("runtime"):
            runtime = check_runtime(self.explainer, inputs, self.size)
        return replace(check_parity(self.explainer.classifier, inputs, logits), runtime=runtime)

    def _timed(self, tensor: Floats) -> tuple[bool, PlainPass]:
        """Whether two calls give the same bits, and what a plain pass costs."""
        with self.classifier.passes.of("plain"):
            if not self.explainer.is_pooled:
                self.explainer.logits(tensor)  # builds the function that is timed
            answers, wall_s, cpu_s = [], [], []
            for _ in range(PLAIN_CALLS):
                start = time.perf_counter(), time.process_time()
                answers.append(self.explainer.logits(tensor))
                wall_s.append(time.perf_counter() - start[0])
                cpu_s.append(time.process_time() - start[1])
        first, *others = answers
        is_same = all(np.array_equal(first, other, equal_nan=True) for other in others)
        wall_ms = round(1000 * min(wall_s) / self.size, 3)
        cpu_ms = round(1000 * min(cpu_s) / self.size, 3)
        return is_same, PlainPass(wall_ms, cpu_ms, self.size)

    def _explain(self, batch: Batch) -> ExplainedBatch:
        """Prediction and maps of each case; one whose output is not finite has failed."""
        if not any(_is_audited(case) for case in batch):
            return [Explained(case) if case else None for case in batch]
        with self.classifier.passes.of("maps"):
            result = self._ask(batch)
        return self._explained(batch, result)

    def _ask(self, batch: Batch) -> BatchResult:
        """What the classifier answers to a batch."""
        labels = [case.source.label if case else None for case in batch]
        is_present = [_is_audited(case) for case in batch]
        rest = self.size - len(batch)
        return self.explainer.explain(
            self._tensor(batch), labels + [None] * rest, is_present + [False] * rest
        )

    def _explained(self, batch: Batch, result: BatchResult) -> ExplainedBatch:
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

    def _change(self, batch: ExplainedBatch, question: Question) -> dict[int, list[Floats]]:
        """How the answer changes with brightness, with parts as in the mean, and with parts masked.

        Returns
        -------
        The first maps of the image darker and brighter, by the case's place in the batch; none
        where a map needs further passes.
        """
        from cxr_audit.trust import masking

        exposures: dict[int, dict[str, Floats]] = {}
        replaced: dict[int, dict[str, Floats]] = {}
        subjects: dict[int, masking.Subject] = {}
        for n, case in _predicted(batch):
            case_id = case.prepared.source.case_id
            if case_id in question.probed:
                exposures[n] = self._exposures(case)
                replaced[n] = self._replaced(case, question.mean_input)
            if case_id in question.masked:
                subjects[n] = self._subject(case)
        questions = Questions(self.explainer, self.size)
        questions.add("brightness", _tensors(exposures))
        questions.add("replaced", _tensors(replaced))
        questions.add("masking", masking.all_fills(list(subjects.values())))
        asked: dict[int, list[Change]] = {}
        questions.add("factors", self._factor_inputs(batch, question, asked))
        answers = questions.ask()
        logits = iter(answers["brightness"].logits @ self._selector)
        for n, of_case in exposures.items():
            batch[n] = _with(batch[n], exposure=self._changes(batch[n], of_case, logits))
        logits = iter(answers["replaced"].logits @ self._selector)
        for n, of_case in replaced.items():
            batch[n] = _with(batch[n], as_usual=self._changes(batch[n], of_case, logits))
        told = masking.read_answers(
            self.explainer, list(subjects.values()), answers["masking"].logits
        )
        for n, (masked, missing) in zip(subjects, told, strict=True):
            batch[n] = _with(batch[n], masking=masked, masking_missing=missing)
        self._read_factors(batch, question, asked, answers["factors"].logits @ self._selector)
        maps = iter(answers["brightness"].maps)
        if not answers["brightness"].maps:
            return {}
        return {n: [next(maps) for _ in of_case] for n, of_case in exposures.items()}

    def _factor_inputs(
        self, batch: ExplainedBatch, question: Question, asked: dict[int, list[Change]]
    ) -> Iterator[Floats]:
        """The changed inputs of the cases that are asked; what they are is entered in `asked`."""
        for n, case in _predicted(batch):
            if case.prepared.source.case_id not in question.factored:
                continue
            seen = case.prepared.model_input
            assert seen is not None
            asked[n] = []
            for change, tensor in changed_inputs(
                seen,
                measured(case.prepared, case.lungs),
                question.ranges,
                question.mean_input,
                self.config.preprocess,
            ):
                asked[n].append(change)
                yield seen.packed(tensor)

    def _read_factors(
        self,
        batch: ExplainedBatch,
        question: Question,
        asked: dict[int, list[Change]],
        logits: Iterable[float],
    ) -> None:
        """How the answer changes with each factor moved and each band replaced."""
        answers = iter(logits)
        for n, changes in asked.items():
            of_case = [float(next(answers)) for _ in changes]
            case = batch[n]
            assert case is not None
            assert case.prediction is not None
            if not np.isfinite(of_case).all():
                continue
            values = measured(case.prepared, case.lungs)
            keys = [key for key in question.ranges if key in values]
            moved, bands = read_changes(changes, of_case, case.prediction.logit, keys)
            batch[n] = replace(case, factors=moved, bands=bands)

    def _exposures(self, case: Explained) -> dict[str, Floats]:
        """The model input with the image darker and brighter."""
        assert case.prepared.model_input is not None
        seen = case.prepared.model_input
        return _packed(seen, geometry.exposures(seen, self.config.preprocess))

    def _replaced(self, case: Explained, mean_input: Floats | None) -> dict[str, Floats]:
        """The model input with markers and border as in the run's mean radiograph."""
        if mean_input is None:
            return {}
        assert case.prepared.model_input is not None
        markers = {
            region.facts.name: region.mask
            for region in case.prepared.regions
            if region.facts.kind == "marker"
        }
        has_each_marker = DEPTHS[self.config.run.depth].has_each_marker
        seen = case.prepared.model_input
        replaced = geometry.as_usual(seen, mean_input, markers, regions.BORDER, has_each_marker)
        return _packed(seen, replaced)

    def _changes(
        self, case: Explained | None, inputs: Iterable[str], answers: Iterator[Any]
    ) -> dict[str, float]:
        """The change of the logit by input; none where one is not finite."""
        assert case is not None
        assert case.prediction is not None
        changes = {name: float(next(answers)) - case.prediction.logit for name in inputs}
        return changes if np.isfinite(list(changes.values())).all() else {}

    def _contribute(self, batch: ExplainedBatch) -> None:
        """What each further input contributes to the explained logit."""
        wanted = self.config.classifier.inputs
        if not wanted:
            return
        changed: list[Floats] = []
        for _, case in _predicted(batch):
            assert case.prepared.model_input is not None
            changed += with_references(case.prepared.model_input.packed(), wanted)
        with self.classifier.passes.of("replaced"):
            answers = self.explainer.ask(changed, self.size) @ self._selector
        logits = iter(answers)
        for n, case in _predicted(batch):
            assert case.prediction is not None
            others = [float(next(logits)) for _ in wanted]
            if not np.isfinite(others).all():
                continue
            values = with_contributions(case.prepared.further, case.prediction.logit, others)
            batch[n] = replace(case, prepared=replace(case.prepared, further=values))

    def _check(
        self, batch: ExplainedBatch, question: Question, by_brightness: dict[int, list[Floats]]
    ) -> None:
        """Whether the explanation of each case can be trusted."""
        places = [n for n, case in enumerate(batch) if case and case.maps]
        if not places:
            return
        tensor = self._tensor([case.prepared if case else None for case in batch])[: len(batch)]
        maps = [case.maps if case else () for case in batch]
        checks = self.checks.of_cases(tensor, maps, by_brightness)
        for n in places:
            case = batch[n]
            assert case is not None
            trust = state.judge(case.maps[0].facts.status, question.checks, checks[n])
            batch[n] = replace(case, trust=trust)

    def _subject(self, case: Explained) -> Any:
        from cxr_audit.trust import masking

        assert case.prepared.model_input is not None
        assert case.prediction is not None
        tensor, placement = case.prepared.model_input.packed(), case.prepared.model_input.placement
        found = find_regions(case)
        size = placement.input_rows, placement.input_columns
        masks = np.stack([region.mask for region in found])
        shares = geometry.region_shares(placement, *size, masks)
        seen, *_ = geometry.cell_shares(placement, *size)
        reason = case.lungs.reason if case.lungs else None
        return masking.Subject.of(tensor, case.prediction, seen, found, shares, reason)

    def _tensor(self, batch: Batch) -> Floats:
        """Model inputs (batch size, rows, columns, channels); places without a case are 0."""
        tensor = np.zeros((self.size, *self.classifier.packed_shape), np.float32)
        for n, case in enumerate(batch):
            if case is not None and case.model_input is not None:
                tensor[n] = case.model_input.packed()
        return tensor


def _is_audited(case: Prepared | None) -> bool:
    return case is not None and case.failure is None


def _predicted(batch: ExplainedBatch) -> list[tuple[int, Explained]]:
    """Places and cases that have a prediction."""
    return [(n, case) for n, case in enumerate(batch) if case and case.prediction is not None]


def _tensors(by_case: dict[int, dict[str, Floats]]) -> Iterator[Floats]:
    for of_case in by_case.values():
        yield from of_case.values()


def _with(case: Explained | None, **changes: Any) -> Explained:
    assert case is not None
    return replace(case, **changes)


def _packed(model_input: ModelInput, tensors: dict[str, Floats]) -> dict[str, Floats]:
    """Changed images with the further inputs of the case."""
    return {name: model_input.packed(tensor) for name, tensor in tensors.items()}


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

"""Batches of model inputs -> predictions' logits and signed class activation maps.

The first map of a case is the first method at the target layer for the target class; its numbers
are the audit's numbers. Further methods, layers and classes follow, each with its key in `map.npz`:
`method`, `method@layer`, `method:class`, `method:class-class`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from types import MappingProxyType

import numpy as np
import tensorflow as tf

from cxr_audit.classifier import Classifier, Split
from cxr_audit.classifier.graph import run
from cxr_audit.errors import ModelError
from cxr_audit.explain import probing
from cxr_audit.explain.controls import CONTROLS, generator
from cxr_audit.explain.methods import GradientMethod, fuse, gradient_method, layercam
from cxr_audit.records import ClassActivationMap, Floats, GridGeometry, MapFacts, MapStatus
from cxr_audit.vocabulary import METHODS, Message, Text, UnknownName, message

EXACT = 1e-4
GRADIENTS_AT_ONCE = 4  # a gradient keeps every activation of the model in memory

LOGIT = "logit"
FUSED = "layercam-fused"
# The same map for global average pooling and one dense layer, where the gradient is one number a
# channel.
POOLED = ("grad-cam", "xgrad-cam", "hirescam")
ON_INPUT = ("integrated-gradients", "smoothgrad")


@dataclass(frozen=True, slots=True)
class Probing:
    """Settings of the methods that run the classifier again; see `explain.probing`.

    `black` is the radiograph's black in the model's range, one value or one a channel; `steps` are
    the path steps of integrated-gradients and the noisy copies of smoothgrad.
    """

    baseline: str = "black"
    black: tuple[float, ...] = (0.0,)
    steps: int = 32
    score_cam_channels: int | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Subject:
    """What is explained: the logit of a class, or the logit of a class minus that of another."""

    class_name: str
    against: str | None = None

    @property
    def in_key(self) -> str:
        return self.class_name if self.against is None else f"{self.class_name}-{self.against}"


@dataclass(frozen=True, slots=True)
class BatchResult:
    """`logits` (N, units) float32; `maps`, one tuple a case, the first map being the one of the
    numbers; `controls`, by name and case, what any map has to beat, (h, w) on the grid of the
    target layer.
    """

    logits: Floats
    maps: list[tuple[ClassActivationMap, ...]]
    controls: list[dict[str, Floats]]


@dataclass(frozen=True, slots=True)
class _Answer:
    """One case's map before its facts are known. `bias` is the part of the logit that lies in no
    cell; `is_promised`: bias and map are the logit by construction; `is_lost`: the gradient is 0
    over live activations.
    """

    values: Floats
    bias: float | None = None
    how: Text | None = None
    is_promised: bool = False
    is_lost: bool = False


@dataclass(frozen=True, slots=True)
class _Layer:
    """What a batch is at one layer: activations and gradients (N, h, w, channels)."""

    split: Split
    activations: Floats
    gradients: Floats


class _Collected:
    """The maps of a batch, case by case.

    Parameters
    ----------
    logits : (N, units) of the batch.
    present : places of the batch that hold a case.
    """

    def __init__(self, explainer: Explainer, logits: Floats, present: list[int]) -> None:
        self.explainer, self.logits, self.present = explainer, logits, present
        self.maps: list[list[ClassActivationMap]] = [[] for _ in logits]

    def add(
        self,
        key: str,
        method: str,
        layer: str,
        subjects: Sequence[Subject | None],
        answers: Mapping[int, _Answer] | Sequence[_Answer],
        is_of_class: bool = False,
    ) -> None:
        """Add one map of each case that has a subject.

        Parameters
        ----------
        key : of the maps.
        method, layer : that the maps are made by and at.
        subjects : what is explained, one a case; None = no map of this case.
        answers : the maps, by the case's place in the batch.
        is_of_class : whether the key names the subject.
        """
        for n in self.present:
            subject = subjects[n]
            if subject is not None:
                name = f"{key}:{subject.in_key}" if is_of_class else key
                made = self.explainer._map(name, method, layer, subject, self.logits[n], answers[n])
                self.maps[n].append(made)


class Explainer:
    """What to explain, set up once: one traced function a layer, used for every batch.

    Parameters
    ----------
    methods : the first gives the numbers; none = `grad-cam` where the head is global average
        pooling and one dense layer, else `hirescam`, whose sum is the logit for any affine head,
        then `grad-cam`.
    layers, classes : further ones, each with a map of the first method that is made from a layer's
        gradients.
    against : classes to contrast with the target: the target's logit minus theirs.

    Raises
    ------
    ModelError : for a method that is not known, a layer or class that the model lacks, a contrast
        of two classes, and where nothing says what the outputs of the model are.
    """

    def __init__(
        self,
        classifier: Classifier,
        methods: tuple[str, ...] = (),
        target_layer: str = "auto",
        layers: tuple[str, ...] = (),
        classes: tuple[str, ...] = (),
        against: tuple[str, ...] = (),
        probing: Probing = Probing(),
    ) -> None:
        classifier.output.require_answer()
        for method in methods:
            _known_method(method)
        self.classifier = classifier
        self.target = classifier.split(target_layer)
        is_pooled = self.target.pooled_weights is not None
        self.methods = methods or (("grad-cam",) if is_pooled else ("hirescam", "grad-cam"))
        self.layers = self._further_layers(layers)
        self.classes = tuple(name for name in classes if name != classifier.target_class)
        self.against = against
        self.probing = probing
        self._sheet_method = next((m for m in self.methods if gradient_method(m)), "grad-cam")
        self._biases: dict[tuple[str, bytes], float | None] = {}
        self._input_gradients = tf.function(
            self._input_gradient_steps, reduce_retracing=True, autograph=False
        )
        for name in (*self.classes, *against):
            classifier.selector(name)
        _check_against(classifier, against)

    def _further_layers(self, names: tuple[str, ...]) -> tuple[Split, ...]:
        """The classifier at further layers, from shallow to deep, without the target layer."""
        further = {self.classifier.split(name).layer for name in names} - {self.target.layer}
        candidates = self.classifier.candidates
        return tuple(self.classifier.split(layer.name) for layer in candidates if layer in further)

    @property
    def passes(self) -> dict[str, int]:
        """Methods that run the classifier again -> model inputs for one case; a gradient counts as
        one input.
        """
        channels = self.probing.score_cam_channels or self.target.layer.channels
        cost = {"score-cam": min(channels, self.target.layer.channels)}
        cost |= dict.fromkeys(ON_INPUT, self.probing.steps)
        return {method: cost[method] for method in self.methods if method in cost}

    def only_first(
        self, classifier: Classifier | None = None, beside: tuple[str, ...] = ()
    ) -> Explainer:
        """The first method alone, with others `beside` it, and without further maps; of another
        classifier of the same layers where one is given. Nothing that was traced or kept is taken
        over.
        """
        layers: tuple[str, ...] = ()
        if self.methods[0] == FUSED:
            layers = tuple(split.layer.name for split in self.layers)
        methods = (self.methods[0], *beside)
        return Explainer(
            classifier or self.classifier,
            methods,
            self.target.layer.name,
            layers,
            probing=self.probing,
        )

    def explain(
        self, batch: Floats, expected: list[str | None], is_present: Sequence[bool] | None = None
    ) -> BatchResult:
        """Explain one batch.

        Parameters
        ----------
        batch : float32 (N, rows, columns, channels); N should stay the same over a run (one trace).
        expected : the label of each case or None; where the prediction differs from it, maps of the
            predicted and the expected class are added.
        is_present : False for places of the batch that hold no case; they get no maps.

        Returns
        -------
        BatchResult
        """
        num = len(batch)
        subjects = [Subject(self.classifier.target_class)] * num
        present = [n for n in range(num) if is_present is None or is_present[n]]
        features, sides, logits, gradients = self.target.forward(batch, self._selectors(subjects))
        assert gradients is not None
        at_target = _Layer(self.target, np.asarray(features, np.float32), gradients)
        at_layers = [self._at(split, batch, subjects) for split in self.layers]
        collected = _Collected(self, logits, present)
        self._add_methods(collected, batch, subjects, at_target, at_layers)
        self._add_layers(collected, subjects, at_layers)
        method = self._sheet_method
        for wanted in self._further_subjects(logits, expected):
            round_subjects = [subject or subjects[0] for subject in wanted]
            class_gradients = self.target.gradients(
                features, sides, self._selectors(round_subjects)
            )
            layer = _Layer(self.target, at_target.activations, class_gradients)
            answers = self._cams(method, layer, round_subjects)
            collected.add(method, method, self.target.layer.name, wanted, answers, True)
        controls: list[dict[str, Floats]] = [{} for _ in range(num)]
        for n in present:
            controls[n] = {name: self._control(name, batch[n]) for name in CONTROLS}
        return BatchResult(logits, [tuple(case) for case in collected.maps], controls)

    def _add_methods(
        self,
        collected: _Collected,
        batch: Floats,
        subjects: list[Subject],
        at_target: _Layer,
        at_layers: list[_Layer],
    ) -> None:
        """The maps of the configured methods at the target layer, for the target class."""
        done: dict[str, list[_Answer]] = {}
        for method in self.methods:
            layer = "input" if method in ON_INPUT else self.target.layer.name
            answers: dict[int, _Answer] | list[_Answer]
            if gradient_method(method):
                answers = done[method] = self._cams(method, at_target, subjects, done)
            elif method == FUSED:
                answers = self._fused([at_target, *at_layers])
            else:
                answers = {}
                for n in collected.present:
                    answers[n] = self._probe(
                        method,
                        batch[n],
                        at_target.activations[n],
                        collected.logits[n],
                        subjects[n],
                        len(batch),
                    )
            collected.add(method, method, layer, subjects, answers)

    def _add_layers(
        self, collected: _Collected, subjects: list[Subject], at_layers: list[_Layer]
    ) -> None:
        """A map at each further layer, for the target class."""
        method = self._sheet_method
        for layer in at_layers:
            answers = self._cams(method, layer, subjects)
            name = layer.split.layer.name
            collected.add(f"{method}@{name}", method, name, subjects, answers)

    def ask(self, inputs: Iterable[Floats], at_once: int) -> Floats:
        """Logits (N, units) of any number of model inputs, `at_once` at a time."""
        left = iter(inputs)
        batches = iter(lambda: list(islice(left, at_once)), [])
        logits = [
            self.target.forward(_filled(np.stack(some), at_once), None)[2][: len(some)]
            for some in batches
        ]
        return np.concatenate([np.zeros((0, self.classifier.num_units), np.float32), *logits])

    def _further_subjects(
        self, logits: Floats, expected: list[str | None]
    ) -> Iterable[list[Subject | None]]:
        """Rounds of one further subject a case: those configured, then predicted and expected where
        they differ.
        """
        target = self.classifier.target_class
        contrasts = [Subject(target, name) for name in self.against]
        wanted: list[list[Subject]] = []
        for z, label in zip(logits, expected, strict=True):
            names = dict.fromkeys([*self.classes, *self._confused(z, label)])
            wanted.append([Subject(name) for name in names if name != target] + contrasts)
        for r in range(max(map(len, wanted), default=0)):
            yield [subjects[r] if r < len(subjects) else None for subjects in wanted]

    def _confused(self, logits: Floats, label: str | None) -> list[str]:
        """The predicted and the expected class of a case whose prediction is wrong."""
        if label is None or not np.isfinite(logits).all():
            return []
        prediction = self.classifier.predict(logits, label)
        if prediction.is_correct is not False:
            return []
        names = (prediction.predicted, prediction.expected)
        return [name for name in names if name is not None and name in self.classifier.labels]

    def _selector(self, subject: Subject) -> Floats:
        selector = self.classifier.selector(subject.class_name)
        if subject.against is None:
            return selector
        return selector - self.classifier.selector(subject.against)

    def _selectors(self, subjects: list[Subject]) -> Floats:
        return np.stack([self._selector(subject) for subject in subjects])

    def _at(self, split: Split, batch: Floats, subjects: list[Subject]) -> _Layer:
        features, _, _, gradients = split.forward(batch, self._selectors(subjects))
        assert gradients is not None
        return _Layer(split, np.asarray(features, np.float32), gradients)

    def _cams(
        self,
        method: str,
        layer: _Layer,
        subjects: list[Subject],
        done: Mapping[str, list[_Answer]] = MappingProxyType({}),
    ) -> list[_Answer]:
        """The maps of a gradient method on a whole batch.

        A map that equals one of `done` by definition is not computed again.
        """
        split, activations, gradients = layer.split, layer.activations, layer.gradients
        row = METHODS[method]
        is_pooled = split.pooled_weights is not None and method in POOLED
        twin = next((name for name in done if name in POOLED), None) if is_pooled else None
        if twin is not None:
            values = [answer.values for answer in done[twin]]
        else:
            values = list(_gradient_method(method)(activations, gradients))
        answers = []
        for n, subject in enumerate(subjects):
            # A saturating head, not an absent pattern.
            is_lost = bool(np.any(activations[n]) and not np.any(gradients[n]))
            answers.append(
                _Answer(
                    values[n],
                    bias=self._bias(split, subject) if row.unit == LOGIT else None,
                    how=self._how(twin, split, method, activations[n], gradients[n]),
                    is_promised=split.is_affine and (is_pooled or method == "hirescam"),
                    is_lost=is_lost and not row.is_class_blind,
                )
            )
        return answers

    def _how(
        self, twin: str | None, split: Split, method: str, activations: Floats, gradients: Floats
    ) -> Message | None:
        """What a reader has to know of a map: an equal method, branches, or paths beside it."""
        if twin is not None:
            return message("explain.twin", method=twin)
        if len(split.views) > 1:
            return _branches(split, activations, gradients)
        if split.sides and not METHODS[method].is_class_blind:
            return message("explain.other_paths", layer=split.layer.name)
        return None

    def _fused(self, layers: list[_Layer]) -> list[_Answer]:
        names = ", ".join(layer.split.layer.name for layer in layers)
        maps = fuse([layercam(layer.activations, layer.gradients) for layer in layers])
        how = message("explain.fused", layers=names)
        return [_Answer(values, how=how) for values in maps]

    def _control(self, name: str, x: Floats) -> Floats:
        layer = self.target.layer
        return CONTROLS[name](x, layer.grid, self.probing.seed, layer.geometry)

    def _probe(
        self,
        method: str,
        x: Floats,
        activations: Floats,
        logits: Floats,
        subject: Subject,
        at_once: int,
    ) -> _Answer:
        """A method that runs the classifier again, or a control, on one case."""
        settings = self.probing
        if method in CONTROLS:
            return _Answer(self._control(method, x))
        grid = self.target.layer.grid if method == "score-cam" else probing.grid_of(x.shape)
        if not (np.isfinite(logits).all() and np.isfinite(activations).all()):
            return _Answer(np.full(grid, np.nan, np.float32))
        start = probing.baseline(x, settings.baseline, np.asarray(settings.black, np.float32))
        score = partial(self._scores, subject, at_once)
        gradient = partial(self._gradients, subject)
        if method == "score-cam":
            limit, total = settings.score_cam_channels, activations.shape[-1]
            geometry = self.target.layer.geometry
            values, num = probing.score_cam(x, activations, score, start, at_once, limit, geometry)
            how = message("explain.score_cam", num=num, total=total, background=settings.baseline)
            return _Answer(values, how=how)
        if method == "smoothgrad":
            rng = generator(x, settings.seed)
            values = probing.smoothgrad(x, gradient, settings.steps, rng, GRADIENTS_AT_ONCE)
            how = message(
                "explain.smoothgrad",
                num=settings.steps,
                noise=probing.NOISE,
                seed=settings.seed,
            )
            return _Answer(probing.sum_cells(values.sum(2), grid), how=how)
        values = probing.integrated_gradients(x, start, gradient, settings.steps, GRADIENTS_AT_ONCE)
        how = message(
            "explain.integrated_gradients", baseline=settings.baseline, num=settings.steps
        )
        return _Answer(probing.sum_cells(values.sum(2), grid), float(score(start[None])[0]), how)

    def _map(
        self, key: str, method: str, layer: str, subject: Subject, logits: Floats, answer: _Answer
    ) -> ClassActivationMap:
        """A map with its facts. The gap is what an answer in logits leaves of the logit, its bias
        counted.
        """
        values, bias, gap, is_exact = answer.values, answer.bias, None, False
        status = _status(values, logits, answer.is_lost)
        if status == "not_finite":
            bias = None
        elif METHODS[method].unit == LOGIT:
            y = float(self._selector(subject).astype(np.float64) @ logits.astype(np.float64))
            gap = y - (bias or 0.0) - float(values.sum(dtype=np.float64))
            is_exact = answer.is_promised and abs(gap) <= EXACT * max(1.0, abs(y))
        facts = MapFacts(
            key=key,
            method=method,
            layer=layer,
            class_name=subject.class_name,
            status=status,
            grid_rows=values.shape[0],
            grid_columns=values.shape[1],
            bias=bias,
            gap=gap,
            is_exact=is_exact,
            against=subject.against,
            unit=METHODS[method].unit,
            how=answer.how,
            is_class_blind=METHODS[method].is_class_blind,
            geometry=self._geometry(method, layer),
        )
        return ClassActivationMap(np.ascontiguousarray(values), facts)

    def _geometry(self, method: str, layer: str) -> GridGeometry | None:
        """Where the cells of a map lie; None on the input, which is divided evenly."""
        if method in ON_INPUT:
            return None
        splits = (self.target, *self.layers)
        if method == FUSED:  # on the finest grid among them
            finest = max(splits, key=lambda split: split.layer.grid)
            return finest.layer.geometry
        return next((s.layer.geometry for s in splits if s.layer.name == layer), None)

    def _bias(self, split: Split, subject: Subject) -> float | None:
        selector = self._selector(subject)
        key = (split.layer.name, selector.tobytes())
        if key not in self._biases:
            self._biases[key] = split.bias(selector)
        return self._biases[key]

    def _scores(self, subject: Subject, at_once: int, inputs: Floats) -> Floats:
        """y of some inputs."""
        return self.ask(inputs, at_once) @ self._selector(subject)

    def _gradients(self, subject: Subject, inputs: Floats) -> Floats:
        """dy/dx of up to `GRADIENTS_AT_ONCE` inputs."""
        filled = _filled(inputs, GRADIENTS_AT_ONCE)
        return np.asarray(
            self._input_gradients(tf.constant(filled), tf.constant(self._selector(subject)))
        )[: len(inputs)]

    def _input_gradient_steps(self, inputs: tf.Tensor, selector: tf.Tensor) -> tf.Tensor:
        graph = self.classifier.graph
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = run(graph.steps, {graph.input: inputs})[graph.output]
            logits = tf.cast(tf.reshape(output, (-1, self.classifier.num_units)), tf.float32)
            explained = tf.reduce_sum(logits * selector)
        return tape.gradient(explained, inputs, unconnected_gradients="zero")


def _check_against(classifier: Classifier, against: tuple[str, ...]) -> None:
    """Refuse contrasts that say nothing new."""
    if not against:
        return
    target, hint = classifier.target_class, "remove it from explain.against"
    if classifier.is_binary:
        raise ModelError(
            f"explain.against: the logit of {target!r} is already against the other class", hint
        )
    if target in against:
        raise ModelError(f"explain.against names the explained class {target!r}", hint)


def _gradient_method(key: str) -> GradientMethod:
    function = gradient_method(key)
    if function is None:
        raise ValueError(f"{key} is not made from gradients")
    return function


def _known_method(key: str) -> None:
    try:
        METHODS[key]
    except UnknownName as error:
        raise ModelError(str(error), f"methods are {', '.join(METHODS.keys())}") from error


def _branches(split: Split, activations: Floats, gradients: Floats) -> Message:
    """Which branches a map is the sum of, and each one's share of the unsigned evidence."""
    sizes, start = [], 0
    for view in split.views:
        part = slice(start, start + view.channels)
        evidence = np.einsum("hwk,hwk->hw", activations[..., part], gradients[..., part])
        sizes.append(float(np.abs(evidence).sum()))
        start += view.channels
    total = sum(sizes)
    if not np.isfinite(total) or total == 0:
        names = [view.name for view in split.views]
        return message("explain.branches_without_evidence", layers=names)
    branches = [
        message("explain.branch", layer=view.name, share=size / total)
        for view, size in zip(split.views, sizes, strict=True)
    ]
    return message("explain.branches", num=len(branches), branches=branches)


def _filled(inputs: Floats, num: int) -> Floats:
    """Filled up with zeros to the batch of the one trace."""
    rest = np.zeros((num - len(inputs), *inputs.shape[1:]), np.float32)
    return np.concatenate([np.asarray(inputs, np.float32), rest])


def _status(values: Floats, logits: Floats, is_lost: bool) -> MapStatus:
    if not (np.isfinite(values).all() and np.isfinite(logits).all()):
        return "not_finite"
    if not np.any(values):
        return "saturated" if is_lost else "dead"
    return "ok" if values.max() > 0 else "negative_only"

"""Batches of model inputs -> predictions' logits and signed class activation maps.

The first map of a case is the first method at the target layer for the target class; its numbers
are the audit's numbers. Further methods, layers and classes follow, each with its key in `map.npz`:
`method`, `method@layer`, `method:class`, `method:class-class`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType

import numpy as np
import tensorflow as tf

from cxr_audit.classifier import Classifier, Split
from cxr_audit.classifier.graph import run
from cxr_audit.explain import probing
from cxr_audit.explain.asking import (
    ASKING,
    DEFAULTS,
    INPUT,
    LOGIT,
    Answer,
    AnyExplainer,
    BatchResult,
    Collected,
    Probing,
    Subject,
    check_against,
    filled,
    known_methods,
)
from cxr_audit.explain.controls import CONTROLS, generator
from cxr_audit.explain.methods import GradientMethod, fuse, gradient_method, layercam
from cxr_audit.explain.probing import repacked
from cxr_audit.records import Floats, GridGeometry
from cxr_audit.vocabulary import METHODS, Message, message

GRADIENTS_AT_ONCE = 4  # a gradient keeps every activation of the model in memory

FUSED = "layercam-fused"
# The same map for global average pooling and one dense layer, where the gradient is one number a
# channel.
POOLED = ("grad-cam", "xgrad-cam", "hirescam")
BY_GRADIENT = ("integrated-gradients", "smoothgrad")
ON_INPUT = (*BY_GRADIENT, *ASKING)
ON_PATH = "token-integrated-gradients"
# Methods whose map adds up to the change of the logit from a baseline.
FROM_BASELINE = ("integrated-gradients", ON_PATH)


@dataclass(frozen=True, slots=True)
class _Layer:
    """What a batch is at one layer: activations and gradients (N, h, w, channels); `features` and
    `sides` as tensors. `start` are the features of the baseline; None where no method asks.
    """

    split: Split
    features: tf.Tensor
    sides: tuple[tf.Tensor, ...]
    activations: Floats
    gradients: Floats
    start: tf.Tensor | None


@dataclass(frozen=True, slots=True)
class _Asked:
    """A batch with its logits (N, units), what is explained in each case, and the rows in use."""

    batch: Floats
    logits: Floats
    subjects: list[Subject]
    present: list[int]


class Explainer(AnyExplainer):
    """What to explain, set up once: one traced function a layer, used for every batch.

    Parameters
    ----------
    methods : the first gives the numbers; none = `grad-cam` where the head is global average
        pooling and one dense layer, `token-integrated-gradients` where the head mixes tokens, else
        `hirescam`, whose sum is the logit for any affine head, then `grad-cam`.
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
        probing: Probing = DEFAULTS,
    ) -> None:
        classifier.output.require_answer()
        known_methods(methods)
        self.classifier = classifier
        self.target = classifier.split(target_layer)
        self.methods = methods or _default_methods(self.target)
        self.layers = self._further_layers(layers)
        self.classes = tuple(name for name in classes if name != classifier.target_class)
        self.against = against
        self.probing = probing
        at_layers = [m for m in self.methods if METHODS[m].needs in ("gradients", "path")]
        self._sheet_method = at_layers[0] if at_layers else _default_methods(self.target)[-1]
        self._biases: dict[tuple[str, bytes], float | None] = {}
        self._input_gradients = tf.function(
            self._input_gradient_steps, reduce_retracing=True, autograph=False
        )
        for name in (*self.classes, *against):
            classifier.selector(name)
        check_against(classifier, against)

    classifier: Classifier

    @property
    def layer_name(self) -> str:
        return self.target.layer.name

    @property
    def grid(self) -> tuple[int, int]:
        return self.target.layer.grid

    @property
    def head_in_words(self) -> Message:
        return self.target.head_in_words

    @property
    def has_further_maps(self) -> bool:
        return bool(self.layers or self.classes or self.against)

    @property
    def is_affine(self) -> bool:
        return self.target.is_affine

    @property
    def is_pooled(self) -> bool:
        return self.target.pooled_weights is not None

    def logits(self, batch: Floats) -> Floats:
        return self.target.forward(batch, None)[2]

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
        cost |= {"smoothgrad": self.probing.steps} | self._passes_of_asking
        cost["integrated-gradients"] = self.probing.steps + 1  # and the baseline
        cost[ON_PATH] = self.probing.steps + 2  # the baseline, and its logit
        return {method: cost[method] for method in self.methods if method in cost}

    @property
    def passes_a_case(self) -> int:
        return super().passes_a_case + len(self.layers)

    @property
    def passes_a_first_map(self) -> int:
        further = len(self.layers) if self.methods[0] == FUSED else 0
        return super().passes_a_first_map + further

    def only_first(self, classifier: Classifier | None = None) -> Explainer:
        """The first method alone, without further maps.

        Parameters
        ----------
        classifier : of the same layers; None = this explainer's. Nothing that was traced or kept is
            taken over.
        """
        layers: tuple[str, ...] = ()
        if self.methods[0] == FUSED:
            layers = tuple(split.layer.name for split in self.layers)
        return Explainer(
            classifier or self.classifier,
            (self.methods[0],),
            self.target.layer.name,
            layers,
            probing=self.probing,
        )

    def weights_have_changed(self) -> None:
        """Read again what is kept of the weights: heads in closed form, and biases."""
        self._biases.clear()
        for split in (self.target, *self.layers):
            split.weights_have_changed()

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
        with self.classifier.passes.filled_up(len(present)):
            at_target, logits = self._at(self.target, batch, subjects)
            at_layers = [self._at(split, batch, subjects)[0] for split in self.layers]
        collected = Collected(self, logits, present)
        self._add_methods(collected, batch, subjects, at_target, at_layers)
        self._add_layers(collected, subjects, at_layers)
        method = self._sheet_method
        for wanted in self._further_subjects(logits, expected):
            round_subjects = [subject or subjects[0] for subject in wanted]
            class_gradients = self.target.gradients(
                at_target.features, at_target.sides, self._selectors(round_subjects)
            )
            layer = replace(at_target, gradients=class_gradients)
            answers = self._at_layer(method, layer, round_subjects)
            collected.add(method, method, self.target.layer.name, wanted, answers, True)
        controls: list[dict[str, Floats]] = [{} for _ in range(num)]
        for n in present:
            controls[n] = {name: self._control(name, batch[n]) for name in CONTROLS}
        return BatchResult(logits, [tuple(case) for case in collected.maps], controls)

    def _add_methods(
        self,
        collected: Collected,
        batch: Floats,
        subjects: list[Subject],
        at_target: _Layer,
        at_layers: list[_Layer],
    ) -> None:
        """The maps of the configured methods at the target layer, for the target class."""
        done: dict[str, list[Answer]] = {}
        asked = _Asked(batch, collected.logits, subjects, collected.present)
        for method in self.methods:
            layer = INPUT if method in ON_INPUT else self.target.layer.name
            answers = self._answers(method, asked, at_target, at_layers, done)
            collected.add(method, method, layer, subjects, answers)

    def _answers(
        self,
        method: str,
        asked: _Asked,
        at_target: _Layer,
        at_layers: list[_Layer],
        done: dict[str, list[Answer]],
    ) -> dict[int, Answer] | list[Answer]:
        """The map of each case by one method. Maps made from gradients are also put into `done`."""
        if method == ON_PATH:
            return self._on_path(at_target, asked.subjects)
        if gradient_method(method):
            done[method] = self._cams(method, at_target, asked.subjects, done)
            return done[method]
        if method == FUSED:
            return self._fused([at_target, *at_layers])
        answers = {}
        for n in asked.present:
            answers[n] = self._probe(
                method,
                asked.batch[n],
                at_target.activations[n],
                asked.logits[n],
                asked.subjects[n],
                len(asked.batch),
            )
        return answers

    def _add_layers(
        self, collected: Collected, subjects: list[Subject], at_layers: list[_Layer]
    ) -> None:
        """A map at each further layer, for the target class."""
        method = self._sheet_method
        for layer in at_layers:
            answers = self._at_layer(method, layer, subjects)
            name = layer.split.layer.name
            collected.add(f"{method}@{name}", method, name, subjects, answers)

    def answers_to(
        self, inputs: Sequence[Floats], at_once: int, has_maps: bool = False
    ) -> tuple[Floats, list[Floats]]:
        batch, num = filled(np.stack(inputs), at_once), len(inputs)
        if not has_maps:
            return self.logits(batch)[:num], []
        method = self.methods[0]
        subjects = [Subject(self.classifier.target_class)] * at_once
        at_target, logits = self._at(self.target, batch, subjects)
        further = self.layers if method == FUSED else ()
        at_layers = [self._at(split, batch, subjects)[0] for split in further]
        asked = _Asked(batch, logits, subjects, list(range(num)))
        answers = self._answers(method, asked, at_target, at_layers, {})
        return logits[:num], [answers[n].values for n in range(num)]

    def _at(self, split: Split, batch: Floats, subjects: list[Subject]) -> tuple[_Layer, Floats]:
        """(what a batch is at a layer, its logits)."""
        features, sides, logits, gradients = split.forward(batch, self._selectors(subjects))
        assert gradients is not None
        start = None
        if ON_PATH in (*self.methods, self._sheet_method):
            starts = [repacked(self._baseline(x)[None], self.unpacked(x)[1])[0] for x in batch]
            start = split.forward(np.stack(starts), None)[0]
        activations = np.asarray(features, np.float32)
        return _Layer(split, features, sides, activations, gradients, start), logits

    def _at_layer(self, method: str, layer: _Layer, subjects: list[Subject]) -> list[Answer]:
        """The maps of a method that needs one layer, on a whole batch."""
        if method == ON_PATH:
            return self._on_path(layer, subjects)
        return self._cams(method, layer, subjects)

    def _on_path(self, layer: _Layer, subjects: list[Subject]) -> list[Answer]:
        """Integrated gradients of the cells of a layer, on a whole batch."""
        split, settings, selectors = layer.split, self.probing, self._selectors(subjects)
        assert layer.start is not None
        start = tf.cast(layer.start, tf.float32)
        way = tf.cast(layer.features, tf.float32) - start

        def through(share: float) -> tuple[Floats, Floats]:
            features = tf.cast(start + share * way, layer.features.dtype)
            return split.through_head(features, layer.sides, selectors)

        before = (through(0.0)[0] * selectors).sum(1)
        gradients = probing.path_integral(lambda share: through(share)[1], settings.steps)
        evidence = np.asarray(way, np.float64) * gradients
        answers = []
        for n in range(len(subjects)):
            how = message(
                "explain.token_integrated_gradients",
                baseline=settings.baseline_name,
                num=settings.steps,
            )
            beside = self._how(None, split, ON_PATH, evidence[n], np.ones_like(evidence[n]))
            if beside is not None:
                how = message("explain.two_facts", first=how, second=beside)
            values = np.asarray(evidence[n].sum(-1), np.float32)
            answers.append(Answer(values, float(before[n]), how))
        return answers

    def _cams(
        self,
        method: str,
        layer: _Layer,
        subjects: list[Subject],
        done: Mapping[str, list[Answer]] = MappingProxyType({}),
    ) -> list[Answer]:
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
                Answer(
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

    def _fused(self, layers: list[_Layer]) -> list[Answer]:
        names = ", ".join(layer.split.layer.name for layer in layers)
        maps = fuse([layercam(layer.activations, layer.gradients) for layer in layers])
        how = message("explain.fused", layers=names)
        return [Answer(values, how=how) for values in maps]

    def _control(self, name: str, x: Floats) -> Floats:
        layer, first, seed = self.target.layer, self.methods[0], self.probing.seed
        image, _ = self.unpacked(x)
        if first in ASKING:  # controls lie where the map lies that they are compared with
            return CONTROLS[name](image, self._grid_of(first, x.shape), seed, None)
        return CONTROLS[name](image, layer.grid, seed, layer.geometry)

    def _probe(
        self,
        method: str,
        x: Floats,
        activations: Floats,
        logits: Floats,
        subject: Subject,
        at_once: int,
    ) -> Answer:
        """A method that runs the classifier again, or a control, on one case."""
        settings = self.probing
        if method in CONTROLS:
            return Answer(self._control(method, x))
        if method in ASKING:
            if not np.isfinite(logits).all():
                return Answer(np.full(self._grid_of(method, x.shape), np.nan, np.float32))
            by_unit, how = self._asked(method, x, at_once)
            return Answer(by_unit @ self._selector(subject), how=how)
        grid = self.target.layer.grid if method == "score-cam" else probing.grid_of(x.shape)
        if not (np.isfinite(logits).all() and np.isfinite(activations).all()):
            return Answer(np.full(grid, np.nan, np.float32))
        image, further = self.unpacked(x)
        start = self._baseline(x)
        score = partial(self._scores, subject, at_once, further)
        gradient = partial(self._gradients, subject, further)
        x = image
        if method == "score-cam":
            limit, total = settings.score_cam_channels, activations.shape[-1]
            geometry = self.target.layer.geometry
            values, num = probing.score_cam(x, activations, score, start, at_once, limit, geometry)
            how = message(
                "explain.score_cam", num=num, total=total, background=settings.baseline_name
            )
            return Answer(values, how=how)
        if method == "smoothgrad":
            rng = generator(x, settings.seed)
            values = probing.smoothgrad(x, gradient, settings.steps, rng, GRADIENTS_AT_ONCE)
            how = message(
                "explain.smoothgrad",
                num=settings.steps,
                noise=probing.NOISE,
                seed=settings.seed,
            )
            return Answer(probing.sum_cells(values.sum(2), grid), how=how)
        values = probing.integrated_gradients(x, start, gradient, settings.steps, GRADIENTS_AT_ONCE)
        how = message(
            "explain.integrated_gradients", baseline=settings.baseline_name, num=settings.steps
        )
        return Answer(probing.sum_cells(values.sum(2), grid), float(score(start[None])[0]), how)

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

    def _gradients(self, subject: Subject, further: Floats, images: Floats) -> Floats:
        """dy/dx of up to `GRADIENTS_AT_ONCE` images."""
        batch = tf.constant(filled(repacked(images, further), GRADIENTS_AT_ONCE))
        selector = tf.constant(self._selector(subject))
        counter = self.classifier.passes
        with counter.filled_up(len(images)):
            gradients = counter.measured(
                len(batch), lambda: np.asarray(self._input_gradients(batch, selector))
            )
        return gradients[: len(images), ..., : images.shape[-1]]

    def _input_gradient_steps(self, inputs: tf.Tensor, selector: tf.Tensor) -> tf.Tensor:
        graph = self.classifier.graph
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            output = run(graph.steps, {graph.input: inputs})[graph.output]
            logits = tf.cast(tf.reshape(output, (-1, self.classifier.num_units)), tf.float32)
            explained = tf.reduce_sum(logits * selector)
        return tape.gradient(explained, inputs, unconnected_gradients="zero")


def _default_methods(target: Split) -> tuple[str, ...]:
    """The methods of a config that names none."""
    if target.pooled_weights is not None:
        return ("grad-cam",)
    return (ON_PATH,) if target.mixes_tokens else ("hirescam", "grad-cam")


def _gradient_method(key: str) -> GradientMethod:
    function = gradient_method(key)
    if function is None:
        raise ValueError(f"{key} is not made from gradients")
    return function


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

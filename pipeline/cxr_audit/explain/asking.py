"""What every explainer has in common, whether or not the network can be opened.

The first map of a case is the first method for the target class; its numbers are the audit's
numbers. An explainer asks the classifier for logits, and makes signed maps of what is explained.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from cxr_audit.classifier.classes import Classes
from cxr_audit.errors import ModelError
from cxr_audit.explain import occlusion, probing
from cxr_audit.records import ClassActivationMap, Floats, GridGeometry, MapFacts, MapStatus
from cxr_audit.vocabulary import METHODS, Message, Text, UnknownName, message

EXACT = 1e-4
LOGIT = "logit"
ASKING = ("occlusion", "rise")
"""Methods that need nothing but answers of the classifier."""
INPUT = "input"
"""The layer of a map that lies on the model input itself."""


@dataclass(frozen=True, slots=True)
class Probing:
    """Settings of the methods that run the classifier again; see `explain.probing`.

    `black` is the radiograph's black in the model's range, one value or one a channel; None where
    each image has another one (it is standardised): then the darkest value of each input is taken.
    `steps` are the path steps of integrated gradients and the noisy copies of smoothgrad;
    `occlusion_cells` lie along each side.
    """

    baseline: str = "black"
    black: tuple[float, ...] | None = (0.0,)
    steps: int = 32
    score_cam_channels: int | None = None
    seed: int = 0
    occlusion_cells: int = 8
    rise_masks: int = 1000

    @property
    def baseline_name(self) -> str:
        """The baseline as records name it."""
        return "darkest" if self.baseline == "black" and self.black is None else self.baseline


DEFAULTS = Probing()


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
class Answer:
    """One case's map before its facts are known. `bias` is the part of the logit that lies in no
    cell; `is_promised`: bias and map are the logit by construction; `is_lost`: the gradient is 0
    over live activations.
    """

    values: Floats
    bias: float | None = None
    how: Text | None = None
    is_promised: bool = False
    is_lost: bool = False


class Collected:
    """The maps of a batch, case by case.

    Parameters
    ----------
    logits : (N, units) of the batch.
    present : places of the batch that hold a case.
    """

    def __init__(self, explainer: AnyExplainer, logits: Floats, present: list[int]) -> None:
        self.explainer, self.logits, self.present = explainer, logits, present
        self.maps: list[list[ClassActivationMap]] = [[] for _ in logits]

    def add(
        self,
        key: str,
        method: str,
        layer: str,
        subjects: Sequence[Subject | None],
        answers: Mapping[int, Answer] | Sequence[Answer],
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
                made = self.explainer.make_map(
                    name, method, layer, subject, self.logits[n], answers[n]
                )
                self.maps[n].append(made)


class AnyExplainer(ABC):
    """What to explain of a classifier, set up once and used for every batch.

    Parameters
    ----------
    classifier : what is explained.
    methods : the first gives the numbers.
    classes : further ones, each with a map of the first method.
    against : classes to contrast with the target: the target's logit minus theirs.
    probing : settings of the methods that ask again.
    """

    classifier: Classes
    methods: tuple[str, ...]
    classes: tuple[str, ...]
    against: tuple[str, ...]
    probing: Probing

    @property
    @abstractmethod
    def layer_name(self) -> str:
        """The layer that the first maps are of."""

    @property
    @abstractmethod
    def grid(self) -> tuple[int, int]:
        """(rows, columns) of the cells of that layer."""

    @property
    @abstractmethod
    def head_in_words(self) -> Message:
        """How the logit is read from that layer."""

    @property
    def has_further_maps(self) -> bool:
        """Whether there are maps beside those of the methods."""
        return bool(self.classes or self.against)

    @property
    def is_affine(self) -> bool:
        """Whether the logit is a sum over the cells and a bias, so that a map can be exact."""
        return False

    @property
    def is_pooled(self) -> bool:
        """Whether the head is global average pooling and one dense layer."""
        return False

    @property
    @abstractmethod
    def passes(self) -> dict[str, int]:
        """Methods that run the classifier again -> model inputs for one case."""

    @abstractmethod
    def logits(self, batch: Floats) -> Floats:
        """Logits (N, units) of float32 (N, rows, columns, channels)."""

    @abstractmethod
    def answers_to(
        self, inputs: Sequence[Floats], at_once: int, has_maps: bool = False
    ) -> tuple[Floats, list[Floats]]:
        """Logits, and first maps where they are wanted, of one batch.

        Parameters
        ----------
        inputs : at most `at_once` model inputs; the batch is filled up with zeros.

        Returns
        -------
        (N, units), and one map (h, w) each, or none.
        """

    @property
    def passes_a_case(self) -> int:
        """Model inputs of all maps of one case, the input itself among them."""
        return 1 + sum(self.passes.values())

    @property
    def passes_a_first_map(self) -> int:
        """Model inputs of one first map, the input itself among them."""
        return 1 + self.passes.get(self.methods[0], 0)

    def ask(self, inputs: Iterable[Floats], at_once: int) -> Floats:
        """Logits (N, units) of any number of model inputs, `at_once` at a time."""
        left = iter(inputs)
        logits = [np.zeros((0, self.classifier.num_units), np.float32)]
        while some := list(islice(left, at_once)):
            with self.classifier.passes.filled_up(len(some)):
                logits.append(self.answers_to(some, at_once)[0])
        return np.concatenate(logits)

    def first_maps(self, inputs: Iterable[Floats], at_once: int) -> tuple[Floats, list[Floats]]:
        """Logits and first maps of any number of model inputs, `at_once` at a time.

        Returns
        -------
        (N, units), and one map (h, w) each.
        """
        left = iter(inputs)
        all_logits = [np.zeros((0, self.classifier.num_units), np.float32)]
        all_maps: list[Floats] = []
        while some := list(islice(left, at_once)):
            with self.classifier.passes.filled_up(len(some)):
                logits, maps = self.answers_to(some, at_once, has_maps=True)
            all_logits.append(logits)
            all_maps += maps
        return np.concatenate(all_logits), all_maps

    @abstractmethod
    def only_first(self) -> AnyExplainer:
        """The first method alone, without further maps."""

    @abstractmethod
    def explain(
        self, batch: Floats, expected: list[str | None], is_present: Sequence[bool] | None = None
    ) -> BatchResult:
        """Explain one batch.

        Parameters
        ----------
        batch : float32 (N, rows, columns, channels); N should stay the same over a run.
        expected : the label of each case or None; where the prediction differs from it, maps of the
            predicted and the expected class are added.
        is_present : False for places of the batch that hold no case; they get no maps.
        """

    @property
    def geometry(self) -> GridGeometry | None:
        """Where the cells of the first map lie; None = an even division of the input."""
        return self._geometry(self.methods[0], self.layer_name)

    def unpacked(self, x: Floats) -> tuple[Floats, Floats]:
        """(the image, the numbers of further inputs) of a packed input."""
        channels = self.classifier.input_shape[2]
        return x[..., :channels], x[0, 0, channels:]

    def _baseline(self, x: Floats) -> Floats:
        """The image of an input without evidence."""
        name, black = self.probing.baseline_name, self.probing.black
        image, _ = self.unpacked(x)
        return probing.baseline(image, name, np.asarray(black or 0.0, np.float32))

    @property
    def _passes_of_asking(self) -> dict[str, int]:
        """Model inputs for one case by each method that only asks."""
        return {
            "occlusion": self.probing.occlusion_cells**2 + 1,
            "rise": self.probing.rise_masks,
        }

    def _asked(self, method: str, x: Floats, at_once: int) -> tuple[Floats, Message]:
        """A map (h, w, units) of a method that only asks, and how it was made."""
        settings = self.probing
        start = self._baseline(x)
        x, further = self.unpacked(x)

        def ask(images: Floats) -> Floats:
            return self.ask(probing.repacked(images, further), at_once)

        if method == "occlusion":
            cells = settings.occlusion_cells
            values = occlusion.occlusion(x, start, ask, cells, at_once)
            how = message("explain.occlusion", num=cells**2, background=settings.baseline_name)
            return values, how
        grid, rng = probing.grid_of(x.shape), np.random.default_rng(settings.seed)
        values = occlusion.rise(x, start, ask, settings.rise_masks, grid, rng, at_once)
        how = message(
            "explain.rise",
            num=settings.rise_masks,
            background=settings.baseline_name,
            seed=settings.seed,
        )
        return values, how

    def _grid_of(self, method: str, shape: tuple[int, ...]) -> tuple[int, int]:
        """(rows, columns) of the map of a method that only asks."""
        if method == "occlusion":
            return self.probing.occlusion_cells, self.probing.occlusion_cells
        return probing.grid_of(shape)

    def _geometry(self, method: str, layer: str) -> GridGeometry | None:
        """Where the cells of a map lie; None = the input, divided evenly."""
        return None

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

    def make_map(
        self, key: str, method: str, layer: str, subject: Subject, logits: Floats, answer: Answer
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

    def _scores(self, subject: Subject, at_once: int, further: Floats, images: Floats) -> Floats:
        """y of some images, with the same further inputs."""
        return self.ask(probing.repacked(images, further), at_once) @ self._selector(subject)


def check_against(classifier: Classes, against: tuple[str, ...]) -> None:
    """Refuse contrasts that say nothing new, with `ModelError`."""
    if not against:
        return
    target, hint = classifier.target_class, "remove it from explain.against"
    if classifier.is_binary:
        raise ModelError(
            f"explain.against: the logit of {target!r} is already against the other class", hint
        )
    if target in against:
        raise ModelError(f"explain.against names the explained class {target!r}", hint)


def known_methods(keys: Sequence[str]) -> None:
    """Raise `ModelError` for a method that is not known."""
    for key in keys:
        _known_method(key)


def _known_method(key: str) -> None:
    try:
        METHODS[key]
    except UnknownName as error:
        raise ModelError(str(error), f"methods are {', '.join(METHODS.keys())}") from error


def filled(inputs: Floats, num: int) -> Floats:
    """Inputs (M, ...) filled up with zeros to `num`, the batch of the one trace."""
    rest = np.zeros((num - len(inputs), *inputs.shape[1:]), np.float32)
    return np.concatenate([np.asarray(inputs, np.float32), rest])


def _status(values: Floats, logits: Floats, is_lost: bool) -> MapStatus:
    if not (np.isfinite(values).all() and np.isfinite(logits).all()):
        return "not_finite"
    if not np.any(values):
        return "saturated" if is_lost else "dead"
    return "ok" if values.max() > 0 else "negative_only"

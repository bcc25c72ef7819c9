"""Batches of model inputs -> predictions' logits and signed class activation maps.

The first map of a case is the first method at the target layer for the target class; its numbers are the
audit's numbers. Further methods, layers and classes follow, each with its key in `map.npz`:
`method`, `method@layer`, `method:class`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.classifier import Classifier, Split
from pipeline.explain.methods import METHODS
from pipeline.records import ClassActivationMap, Floats, MapFacts, MapStatus

EXACT = 1e-4


@dataclass(frozen=True, slots=True)
class BatchResult:
    """`logits` (N, units) float32; `maps`, one tuple a case, the first map being the one of the numbers."""

    logits: Floats
    maps: list[tuple[ClassActivationMap, ...]]


class Explainer:
    """What to explain, set up once: one traced function a layer, used for every batch."""

    def __init__(
        self,
        classifier: Classifier,
        methods: tuple[str, ...] = ("grad-cam",),
        target_layer: str = "auto",
        layers: tuple[str, ...] = (),
        classes: tuple[str, ...] = (),
    ) -> None:
        self.classifier = classifier
        self.methods = methods
        self.target = classifier.split(target_layer)
        self.layers = tuple(s for name in layers if (s := classifier.split(name)).layer != self.target.layer)
        self.classes = tuple(name for name in classes if name != classifier.target_class)
        for name in self.classes:
            classifier.selector(name)
        self._biases: dict[tuple[str, str], float | None] = {}

    def explain(self, batch: Floats, expected: list[str | None]) -> BatchResult:
        """Explain one batch.

        Parameters
        ----------
        batch : float32 (N, rows, columns, channels); N should stay the same over a run (one trace).
        expected : the label of each case or None; where the prediction differs from it, maps of the predicted
            and the expected class are added.
        """
        classifier, num = self.classifier, len(batch)
        target = classifier.target_class
        features, sides, logits, gradients = self.target.forward(batch, self._selectors([target] * num))
        assert gradients is not None
        activations = np.asarray(features, np.float32)
        maps = self._maps(self.target, [target] * num, activations, gradients, logits, self.methods)
        cases = [[maps[m][n] for m in self.methods] for n in range(num)]

        first = self.methods[:1]
        for split in self.layers:
            layer_features, _, _, layer_gradients = split.forward(batch, self._selectors([target] * num))
            assert layer_gradients is not None
            found = self._maps(
                split,
                [target] * num,
                np.asarray(layer_features, np.float32),
                layer_gradients,
                logits,
                first,
                at_layer=True,
            )
            for n in range(num):
                cases[n].append(found[first[0]][n])

        for wanted in self._further_classes(logits, expected):
            names = [w or target for w in wanted]
            class_gradients = self.target.gradients(features, sides, self._selectors(names))
            found = self._maps(self.target, names, activations, class_gradients, logits, first, of_class=True)
            for n in range(num):
                if wanted[n] is not None:
                    cases[n].append(found[first[0]][n])
        return BatchResult(logits, [tuple(case) for case in cases])

    def _further_classes(self, logits: Floats, expected: list[str | None]) -> list[list[str | None]]:
        """Rounds of one further class a case: those configured, then predicted and expected where they differ."""
        wanted: list[list[str]] = []
        for z, label in zip(logits, expected, strict=True):
            names = list(self.classes)
            if label is not None and np.isfinite(z).all():
                prediction = self.classifier.predict(z, label)
                if prediction.is_correct is False:
                    names += [n for n in (prediction.predicted, label) if n in self.classifier.class_names]
            wanted.append([n for n in dict.fromkeys(names) if n != self.classifier.target_class])
        rounds = max(map(len, wanted), default=0)
        return [[names[r] if r < len(names) else None for names in wanted] for r in range(rounds)]

    def _selectors(self, names: list[str]) -> Floats:
        return np.stack([self.classifier.selector(name) for name in names])

    def _maps(
        self,
        split: Split,
        classes: list[str],
        activations: Floats,
        gradients: Floats,
        logits: Floats,
        methods: tuple[str, ...],
        at_layer: bool = False,
        of_class: bool = False,
    ) -> dict[str, list[ClassActivationMap]]:
        found = {}
        for method in methods:
            values = METHODS[method](activations, gradients)
            exact = split.is_affine and (
                method == "hirescam" or (split.pooled_weights is not None and method in ("grad-cam", "xgrad-cam"))
            )
            maps = []
            for n, name in enumerate(classes):
                key = method + (f"@{split.layer.name}" if at_layer else "") + (f":{name}" if of_class else "")
                bias = self._bias(split, name) if exact else None
                gap = None
                if bias is not None:
                    y = float(self.classifier.selector(name).astype(np.float64) @ logits[n].astype(np.float64))
                    gap = y - bias - float(values[n].sum(dtype=np.float64))
                status = _status(values[n], activations[n], gradients[n], logits[n])
                if status == "not_finite":
                    bias = gap = None
                facts = MapFacts(
                    key=key,
                    method=method,
                    layer=split.layer.name,
                    class_name=name,
                    status=status,
                    grid_rows=split.layer.grid[0],
                    grid_columns=split.layer.grid[1],
                    bias=bias,
                    gap=gap,
                    is_exact=gap is not None and abs(gap) <= EXACT * max(1.0, abs(bias or 0.0)),
                )
                maps.append(ClassActivationMap(np.ascontiguousarray(values[n]), facts))
            found[method] = maps
        return found

    def _bias(self, split: Split, class_name: str) -> float | None:
        key = (split.layer.name, class_name)
        if key not in self._biases:
            self._biases[key] = split.bias(self.classifier.selector(class_name))
        return self._biases[key]


def _status(values: Floats, activations: Floats, gradients: Floats, logits: Floats) -> MapStatus:
    if not (np.isfinite(values).all() and np.isfinite(logits).all()):
        return "not_finite"
    if not np.any(values):
        # Live activations under a gradient of exactly 0: a saturating head, not an absent pattern.
        return "saturated" if np.any(activations) and not np.any(gradients) else "dead"
    return "ok" if values.max() > 0 else "negative_only"
